//! What every layer needs: parameters, chance, deadlines, the time.

use std::time::Duration;

use crate::{
    params::Params,
    random::Random,
    timer::{Timer, Timers},
};

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) params: Params,
    pub(crate) random: Random,
    pub(crate) timers: Timers,
    /// Of the call that is being worked on.
    pub(crate) now: Duration,
}

impl Context {
    /// Arms a timer `after` from now; the deadline, to disarm it by.
    pub(crate) fn arm_in(&mut self, after: Duration, timer: Timer) -> Duration {
        let at = self.now.saturating_add(after);
        self.timers.arm(at, timer);
        at
    }
}
