//! Which version of LwM2M a server is spoken to in: the highest first, the next lower at once on
//! 4.12 (Core 1.2, 6.2.1). What worked is remembered. A higher one is tried again a week after it
//! was refused, and only when a Register is due anyway: no registration is given up for it.

use std::time::Duration;

use lamplighter_model::Now;

use super::Enabler;
use crate::{client::VersionChoice, saved::Moment};

#[derive(Debug)]
pub(super) struct Ladder {
    choice: VersionChoice,
    current: Enabler,
    /// The version that this server has accepted last.
    proven: Option<Enabler>,
    /// When it did not take a higher one.
    refused: Option<Moment>,
}

/// What follows a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Another version, now.
    AtOnce,
    /// Another version after the pause.
    Later,
    /// It is not the version.
    Same,
}

const TRY_HIGHER_AFTER: Duration = Duration::from_secs(7 * 86_400);

impl Ladder {
    pub(super) const fn new(choice: VersionChoice) -> Self {
        Self {
            choice,
            current: highest(choice),
            proven: None,
            refused: None,
        }
    }

    pub(super) const fn current(&self) -> Enabler {
        self.current
    }

    pub(super) const fn refused(&self) -> Option<Moment> {
        self.refused
    }

    /// The version of the last time, unless the configuration now says otherwise.
    pub(super) fn remember(
        &mut self,
        version: Enabler,
        refused: Option<Moment>,
        is_registered: bool,
    ) {
        let is_lower = version < highest(self.choice);
        if self.choice == VersionChoice::Auto {
            self.current = version;
            self.refused = refused;
        }
        let worked = is_registered || is_lower;
        self.proven = (worked && version == self.current).then_some(version);
    }

    /// A Register is due that is no answer to a refusal.
    pub(super) fn begin(&mut self, now: Now) {
        let is_time = self.refused.is_none_or(|refused| {
            let elapsed = refused.elapsed(now);
            elapsed.is_some_and(|elapsed| elapsed >= TRY_HIGHER_AFTER)
        });
        if self.choice == VersionChoice::Auto && self.proven.is_some() && is_time {
            self.current = highest(self.choice);
        }
    }

    pub(super) const fn accepted(&mut self) {
        self.proven = Some(self.current);
    }

    /// 4.12: the version is not supported.
    pub(super) fn unsupported(&mut self, now: Now) -> Next {
        let lower = next_lower(self.current).filter(|_| self.choice == VersionChoice::Auto);
        match lower {
            Some(lower) => {
                self.current = lower;
                self.refused = Some(Moment::of(now));
                Next::AtOnce
            }
            None => {
                self.current = highest(self.choice);
                Next::Same
            }
        }
    }

    /// 4.00: old servers say it to a version that they do not know (lwm2m/10, 17).
    pub(super) fn bad_request(&mut self, now: Now) -> Next {
        if self.fall_back(now) {
            return Next::AtOnce;
        }
        if self.proven.is_some() || self.choice != VersionChoice::Auto {
            return Next::Same;
        }
        match next_lower(self.current) {
            Some(lower) => {
                self.current = lower;
                Next::Later
            }
            None => {
                self.current = highest(self.choice);
                Next::Same
            }
        }
    }

    /// No answer. A server may pass over what it does not know.
    pub(super) fn unheard(&mut self, now: Now) {
        self.fall_back(now);
    }

    /// Back to the version that worked, if this is a trial of a higher one.
    fn fall_back(&mut self, now: Now) -> bool {
        let Some(proven) = self.proven.filter(|proven| *proven < self.current) else {
            return false;
        };
        self.current = proven;
        self.refused = Some(Moment::of(now));
        true
    }
}

const fn highest(choice: VersionChoice) -> Enabler {
    match choice {
        VersionChoice::Auto | VersionChoice::V1_2 => Enabler::V1_2,
        VersionChoice::V1_0 => Enabler::V1_0,
        VersionChoice::V1_1 => Enabler::V1_1,
    }
}

const fn next_lower(version: Enabler) -> Option<Enabler> {
    match version {
        Enabler::V1_0 => None,
        Enabler::V1_1 => Some(Enabler::V1_0),
        Enabler::V1_2 => Some(Enabler::V1_1),
    }
}
