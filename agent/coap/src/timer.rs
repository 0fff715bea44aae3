//! All deadlines of an endpoint in one ordered set.

use std::{collections::BTreeSet, time::Duration};

use crate::exchange::ExchangeId;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Timer {
    /// No block of this upload has come for long.
    Assembly(u64),
    /// No answer to our request after its acknowledgement.
    Exchange(ExchangeId),
    /// Remembered message ids are old enough to forget.
    Forget,
    /// Send the confirmable message with this id again, or give up.
    Retransmit(u16),
    /// Nobody has fetched blocks of this body for long.
    Snapshot(u64),
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: BTreeSet<(Duration, Timer)>,
}

impl Timers {
    pub(crate) fn arm(&mut self, at: Duration, timer: Timer) {
        self.set.insert((at, timer));
    }

    pub(crate) fn disarm(&mut self, at: Duration, timer: Timer) {
        self.set.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.set.first().map(|(at, _)| *at)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }

    pub(crate) fn pop_due(&mut self, now: Duration) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.set.pop_first().map(|(_, timer)| timer)
    }
}
