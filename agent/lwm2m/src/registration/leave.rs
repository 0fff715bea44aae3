//! De-register and Disable (lwm2m/10, 8 and 13).

use std::time::Duration;

use lamplighter_model::Now;

use super::{MAX_ABSENCE, Registration, State, Step};
use crate::saved::{Moment, SavedRegistration};

/// Why we leave, and so what comes after.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum After {
    Disabled { until: Duration },
    Off,
}

/// De-register is a courtesy; nobody waits for it longer.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

impl Registration {
    /// 1/x/4: leave, and send nothing for this long.
    pub(crate) fn disable(&mut self, lasts: Duration, now: Now) {
        let lasts = lasts.min(MAX_ABSENCE);
        // Never before the end.
        let spread = self.terms.spread_of(lasts);
        let lasts = lasts + self.rng.between(Duration::ZERO, spread);
        self.steps
            .push_back(Step::Save(SavedRegistration::Disabled {
                began: Moment::of(now),
                lasts,
                version: Some(self.version()),
                refused: self.versions.refused(),
            }));
        let until = now.mono + lasts;
        self.leave(After::Disabled { until }, now);
    }

    /// The agent ends: de-register, but a silence that a server has asked for goes on afterwards.
    pub(crate) fn stop(&mut self, now: Now) {
        match &mut self.state {
            State::Disabled { .. } => self.left(After::Off),
            State::Leaving {
                after: after @ After::Disabled { .. },
                ..
            } => *after = After::Off,
            State::Leaving {
                after: After::Off, ..
            }
            | State::Held
            | State::Off
            | State::Opening { .. }
            | State::Registered(_)
            | State::Registering
            | State::Waiting { .. } => self.deregister(now),
        }
    }

    /// De-register and stay away.
    pub(crate) fn deregister(&mut self, now: Now) {
        self.steps.push_back(Step::Save(SavedRegistration::None {
            version: self.version(),
            refused: self.versions.refused(),
        }));
        self.leave(After::Off, now);
    }

    /// What to keep of a server that is left now: the silence that it has asked for, if any.
    pub(crate) fn left_behind(&self, now: Now) -> SavedRegistration {
        let (version, refused) = (self.version(), self.versions.refused());
        match self.state {
            State::Disabled { until }
            | State::Leaving {
                after: After::Disabled { until },
                ..
            } => SavedRegistration::Disabled {
                began: Moment::of(now),
                lasts: until.saturating_sub(now.mono),
                version: Some(version),
                refused,
            },
            State::Leaving {
                after: After::Off, ..
            }
            | State::Held
            | State::Off
            | State::Opening { .. }
            | State::Registered(_)
            | State::Registering
            | State::Waiting { .. } => SavedRegistration::None { version, refused },
        }
    }

    pub(super) fn leaving_ended(&mut self) {
        if let State::Leaving { after, .. } = self.state {
            self.left(after);
        }
    }

    pub(super) fn left(&mut self, after: After) {
        self.steps.extend([Step::Close, Step::Left]);
        self.state = match after {
            After::Disabled { until } => State::Disabled { until },
            After::Off => State::Off,
        };
    }

    fn leave(&mut self, after: After, now: Now) {
        match std::mem::replace(&mut self.state, State::Off) {
            State::Registered(live) => {
                self.steps.push_back(Step::Deregister {
                    location: live.location,
                });
                self.state = State::Leaving {
                    after,
                    until: now.mono + LEAVE_TIMEOUT,
                };
            }
            State::Leaving { until, .. } => self.state = State::Leaving { after, until },
            State::Disabled { .. }
            | State::Held
            | State::Off
            | State::Opening { .. }
            | State::Registering
            | State::Waiting { .. } => self.left(after),
        }
    }
}
