//! A point of time on the monotonic clock, possibly before this start of the machine.

use std::time::Duration;

use lamplighter_model::{Now, Stamp, UnixTime};

use crate::saved::SavedMoment;

/// Nanoseconds since this start of the machine, negative before it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Moment(i64);

impl Moment {
    pub(crate) fn of(now: Now) -> Self {
        Self::at(now.mono)
    }

    pub(crate) fn at(mono: Duration) -> Self {
        Self(nanos(mono))
    }

    /// When a sample was taken; one of another boot counts as taken before this one.
    pub(crate) fn of_stamp(stamp: Stamp, now: Now) -> Self {
        if stamp.boot == now.boot {
            Self::at(stamp.mono)
        } else {
            Self(-1)
        }
    }

    pub(crate) fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }

    pub(crate) fn minus(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(time)))
    }

    /// Time from this moment to `later`; zero if it lies after.
    pub(crate) fn until(self, later: Self) -> Duration {
        Duration::from_nanos(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }

    pub(crate) fn age(self, now: Now) -> Duration {
        self.until(Self::of(now))
    }

    /// On the clock of `poll_timeout`; a moment before the start is the start.
    pub(crate) fn mono(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }

    pub(crate) fn unix(self, now: Now) -> Option<UnixTime> {
        let offset = (self.0 - nanos(now.mono)) / 1_000_000;
        now.unix.map(|unix| UnixTime(unix.0.saturating_add(offset)))
    }

    pub(crate) fn to_saved(self, now: Now) -> SavedMoment {
        SavedMoment {
            boot: now.boot,
            mono_ns: self.0,
            unix: self.unix(now),
        }
    }

    /// `None` where it cannot be known how long ago it was.
    pub(crate) fn from_saved(saved: SavedMoment, now: Now) -> Option<Self> {
        if saved.boot == now.boot {
            return Some(Self(saved.mono_ns.min(nanos(now.mono))));
        }
        let age_ms = now.unix?.0.checked_sub(saved.unix?.0)?;
        let age = Duration::from_millis(u64::try_from(age_ms).ok()?);
        Some(Self::of(now).minus(age))
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
