//! Minimum times and starts per hour of one output.
//!
//! What cannot be known counts against switching: an unknown last-off was just now. Over a start of
//! the machine only a date that was believed before, and is believed now, says how long ago it was.

use std::{collections::VecDeque, time::Duration};

use lamplighter_model::Now;

use crate::{
    boundary::Guard,
    moment::Moment,
    saved::{SavedGuard, SavedMoment},
};

const HOUR: Duration = Duration::from_secs(3600);
/// More starts than this in an hour are not remembered one by one.
const MAX_STARTS: usize = 3600;

/// A guard with what it remembers.
#[derive(Clone, Debug)]
pub(crate) struct GuardState {
    rule: Guard,
    state: State,
    on_since: Option<Moment>,
    off_since: Moment,
    /// Starts of the last hour, oldest first.
    starts: VecDeque<Moment>,
    /// A switching write is under way: should this run end now, the next must not trust `state`.
    switching: bool,
    /// That write did not wait for this guard: should it fail, its repetition has to.
    hurried: bool,
    /// What was kept before this start of the machine, until a date can be believed: the times that
    /// still count as just now.
    undated: Option<Box<SavedGuard>>,
    /// Something has changed that is kept over a restart.
    is_unkept: bool,
}

/// Whether the device is on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Unknown,
    Known(bool),
    /// A write of this state failed; the device may have taken it or may be as before.
    Tried(bool),
}

impl GuardState {
    pub(crate) fn new(rule: Guard, saved: Option<&SavedGuard>, now: Now) -> Self {
        let unknown = Self {
            rule,
            state: State::Unknown,
            on_since: None,
            off_since: Moment::of(now),
            starts: VecDeque::new(),
            switching: false,
            hurried: false,
            undated: None,
            is_unkept: false,
        };
        let Some(saved) = saved else { return unknown };
        let restore = |saved| Moment::of_this_boot(saved, now).unwrap_or_else(|| Moment::of(now));
        let unknown = Self {
            undated: undated(saved, now).map(Box::new),
            ..unknown
        };
        let starts = saved
            .starts
            .iter()
            .take(MAX_STARTS)
            .copied()
            .map(restore)
            .collect();
        let on_since = saved.on_since.map(restore);
        match (saved.on, saved.off_since) {
            (Some(false), Some(off)) => Self {
                state: State::Known(false),
                on_since,
                off_since: restore(off),
                starts,
                ..unknown
            },
            // It was on: whether it still is, or went off with the power just now, must be seen.
            (Some(true), _) => Self {
                on_since,
                starts,
                ..unknown
            },
            (None, _) | (Some(false), None) => Self {
                on_since: Some(Moment::of(now)),
                starts,
                ..unknown
            },
        }
    }

    /// `dated`: the date can be believed.
    pub(crate) fn to_saved(&self, dated: bool, now: Now) -> SavedGuard {
        let on = match self.state {
            State::Known(on) if !self.switching => Some(on),
            State::Known(_) | State::Tried(_) | State::Unknown => None,
        };
        SavedGuard {
            on,
            on_since: self.on_since.map(|at| at.to_saved(now)),
            off_since: Some(self.off_since.to_saved(now)),
            starts: self.starts.iter().map(|at| at.to_saved(now)).collect(),
            dated,
        }
    }

    /// The date can be believed now: what was kept with such a date was as long ago as it says. True
    /// if that may let the output switch earlier.
    pub(crate) fn on_dated(&mut self, now: Now) -> bool {
        self.is_unkept = true;
        let Some(kept) = self.undated.take() else {
            return false;
        };
        let earlier = |known: Moment, kept: Option<SavedMoment>| {
            let kept = kept.and_then(|kept| Moment::past(kept, now));
            kept.map_or(known, |kept| kept.min(known))
        };
        for (start, kept) in self.starts.iter_mut().zip(kept.starts) {
            *start = earlier(*start, Some(kept));
        }
        self.on_since = self.on_since.map(|since| earlier(since, kept.on_since));
        self.off_since = earlier(self.off_since, kept.off_since);
        true
    }

    /// Something has happened since, which is known better than what was kept.
    fn on_news(&mut self) {
        self.is_unkept = true;
        if let Some(kept) = &mut self.undated {
            (kept.on_since, kept.off_since) = (None, None);
        }
    }

    /// Whether anything has changed that is kept, since this was last asked.
    pub(crate) const fn take_unkept(&mut self) -> bool {
        std::mem::replace(&mut self.is_unkept, false)
    }

    pub(crate) const fn rule(&self) -> Guard {
        self.rule
    }

    /// When the output may take this state; a moment that has passed means at once.
    pub(crate) fn free_at(&self, on: bool, now: Now) -> Moment {
        let now = Moment::of(now);
        if self.state == State::Known(on) || self.state == State::Tried(on) {
            return now;
        }
        if !on {
            return self
                .on_since
                .map_or(now, |since| since.plus(self.rule.min_on));
        }
        let rested = self.off_since.plus(self.rule.min_off);
        let Some(max) = self.rule.max_starts_per_hour else {
            return rested;
        };
        let Some(index) = self.starts.len().checked_sub(max as usize) else {
            return rested;
        };
        // With a limit of zero there is no start to wait for: never.
        self.starts
            .get(index)
            .map_or_else(|| now.plus(HOUR), |start| rested.max(start.plus(HOUR)))
    }

    /// A write of this state leaves for the device now.
    pub(crate) fn on_dispatch(&mut self, on: bool, now: Now) {
        self.hurried = self.free_at(on, now) > Moment::of(now);
        match self.state {
            State::Known(known) if known == on => return,
            State::Tried(tried) if tried == on => {
                if on {
                    self.starts.pop_back();
                }
                self.switched(on, now);
            }
            State::Known(_) | State::Tried(_) | State::Unknown => self.switched(on, now),
        }
        self.on_news();
        self.switching = true;
    }

    /// The device has taken the state that was dispatched, at some time since.
    pub(crate) fn on_done(&mut self, on: bool, now: Now) {
        self.end_of_write(State::Known(on), on, now);
    }

    /// The device has not answered as it should to the state that was dispatched.
    pub(crate) fn on_failed(&mut self, on: bool, now: Now) {
        let state = if self.hurried {
            State::Unknown
        } else {
            State::Tried(on)
        };
        self.end_of_write(state, on, now);
    }

    fn end_of_write(&mut self, state: State, on: bool, now: Now) {
        if !std::mem::take(&mut self.switching) {
            return;
        }
        self.is_unkept = true;
        self.state = state;
        if on {
            self.on_since = Some(Moment::of(now));
        } else {
            self.off_since = Moment::of(now);
        }
    }

    /// Nobody knows what the device does, or has done until now.
    pub(crate) fn on_unknown(&mut self, now: Now) {
        self.on_news();
        self.state = State::Unknown;
        self.on_since = Some(Moment::of(now));
        self.off_since = Moment::of(now);
    }

    /// The device was seen in this state. True if that is news.
    pub(crate) fn on_seen(&mut self, on: bool, now: Now) -> bool {
        match self.state {
            State::Known(known) if known == on => return false,
            State::Known(_) => self.switched(on, now),
            State::Unknown => {
                // When it has come to that is not known; where nothing else is, it was just now.
                let nothing_known = self.on_since.is_none_or(|since| since == self.off_since);
                self.state = State::Known(on);
                if !on {
                    self.off_since = Moment::of(now);
                } else if nothing_known {
                    self.on_since = Some(Moment::of(now));
                }
            }
            State::Tried(_) => {
                self.state = State::Known(on);
                if on {
                    self.on_since.get_or_insert_with(|| Moment::of(now));
                }
            }
        }
        self.on_news();
        true
    }

    fn switched(&mut self, on: bool, now: Now) {
        self.state = State::Known(on);
        let now = Moment::of(now);
        if !on {
            self.off_since = now;
            return;
        }
        self.on_since = Some(now);
        while self
            .starts
            .front()
            .is_some_and(|start| start.plus(HOUR) <= now)
            || self.starts.len() >= MAX_STARTS
        {
            self.starts.pop_front();
            // They go together with what they stand for.
            if let Some(kept) = self.undated.as_mut().filter(|kept| !kept.starts.is_empty()) {
                kept.starts.remove(0);
            }
        }
        self.starts.push_back(now);
    }
}

/// What of it a date that can be believed will place.
fn undated(saved: &SavedGuard, now: Now) -> Option<SavedGuard> {
    let boot = saved.off_since.map(|at| at.boot);
    if !saved.dated || boot == Some(now.boot) {
        return None;
    }
    let starts = saved.starts.iter().take(MAX_STARTS);
    Some(SavedGuard {
        on_since: saved.on_since.filter(|_| saved.on.is_some()),
        off_since: saved.off_since.filter(|_| saved.on == Some(false)),
        starts: starts.copied().collect(),
        ..*saved
    })
}
