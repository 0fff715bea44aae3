//! Whether a device answers, and when to try again.

use lamplighter_model::device::{Fault, LinkState};
use tokio::time::Instant;

use super::Limits;

/// State of the way to one device.
#[derive(Debug)]
pub(super) struct Link {
    state: LinkState,
    words: String,
    /// Answers missed in a row.
    missed: u32,
    /// Answers in a row that were errors.
    refused: u32,
    retry_at: Option<Instant>,
    /// It was said to be gone: what stays without answer is no news.
    is_lost: bool,
}

/// What people are told when the state or its reason changes.
pub(super) type Change = Option<(LinkState, String)>;

impl Link {
    pub(super) fn new() -> (Self, Change) {
        let words = "not heard yet".to_owned();
        let change = Some((LinkState::Starting, words.clone()));
        (
            Self {
                state: LinkState::Starting,
                words,
                missed: 0,
                refused: 0,
                retry_at: None,
                is_lost: false,
            },
            change,
        )
    }

    /// What was told last.
    pub(super) fn told(&self) -> (LinkState, String) {
        (self.state, self.words.clone())
    }

    pub(super) fn is_offline(&self) -> bool {
        self.state == LinkState::Offline
    }

    /// Not to be disturbed before this time.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.retry_at.filter(|at| *at > now)
    }

    pub(super) fn heard(&mut self) -> Change {
        self.missed = 0;
        self.refused = 0;
        self.retry_at = None;
        self.is_lost = false;
        self.enter(LinkState::Online, "answers")
    }

    /// Nobody answered.
    pub(super) fn missed(&mut self, fault: &Fault, limits: &Limits, now: Instant) -> Change {
        if self.is_lost {
            return None;
        }
        self.missed = self.missed.saturating_add(1);
        self.rest(self.missed, limits, now);
        let given_up = self.missed >= limits.offline_after;
        let state = if given_up {
            LinkState::Offline
        } else {
            LinkState::Suspect
        };
        self.enter(state, &fault.to_string())
    }

    /// The device answered what was due with an error of its own. One that does nothing else
    /// becomes Suspect, never Offline.
    pub(super) fn refused(&mut self, fault: &Fault, limits: &Limits, now: Instant) -> Change {
        self.refused = self.refused.saturating_add(1);
        if self.refused < limits.offline_after {
            return None;
        }
        self.rest(self.refused - limits.offline_after + 1, limits, now);
        self.enter(LinkState::Suspect, &fault.to_string())
    }

    /// The adapter is no more, or the device is said to be gone.
    pub(super) fn lost(&mut self, words: &str) -> Change {
        self.is_lost = true;
        self.enter(LinkState::Offline, words)
    }

    fn rest(&mut self, times: u32, limits: &Limits, now: Instant) {
        let doubled = limits
            .retry_first
            .saturating_mul(1 << times.saturating_sub(1).min(16));
        self.retry_at = Some(now + doubled.min(limits.retry_max));
    }

    fn enter(&mut self, state: LinkState, words: &str) -> Change {
        if (self.state, self.words.as_str()) == (state, words) {
            return None;
        }
        self.state = state;
        words.clone_into(&mut self.words);
        Some((state, words.to_owned()))
    }
}

/// What a fault says about the way to the device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Meaning {
    /// Nothing: the request was wrong, not the device.
    None,
    /// The device or its line is in trouble, but somebody answers.
    Refused,
    /// Nobody answered.
    Silence,
}

pub(super) fn meaning(fault: &Fault) -> Meaning {
    match fault {
        Fault::Timeout | Fault::Unreachable => Meaning::Silence,
        Fault::Busy | Fault::Device(_) => Meaning::Refused,
        Fault::BadValue(_)
        | Fault::NoValue
        | Fault::Refused { .. }
        | Fault::TooLarge
        | Fault::Unsupported => Meaning::None,
    }
}
