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

    /// A moment of this start of the machine; `None` for all others.
    pub(crate) fn of_this_boot(saved: SavedMoment, now: Now) -> Option<Self> {
        let same = saved.boot == now.boot;
        same.then(|| Self(saved.mono_ns).min(Self::of(now)))
    }

    /// A moment that lies in the past, however the clock was set since. `None` where it cannot be
    /// known how long ago it was.
    pub(crate) fn past(saved: SavedMoment, now: Now) -> Option<Self> {
        Self::from_saved(saved, now).map(|at| at.min(Self::of(now)))
    }

    /// `None` where its distance from now cannot be known. It goes by any date, be it believed or not:
    /// what must not be wrong uses [`Self::of_this_boot`].
    pub(crate) fn from_saved(saved: SavedMoment, now: Now) -> Option<Self> {
        if saved.boot == now.boot {
            return Some(Self(saved.mono_ns));
        }
        let distance_ms = saved.unix?.0.checked_sub(now.unix?.0)?;
        let distance = distance_ms.checked_mul(1_000_000)?;
        Some(Self(nanos(now.mono).saturating_add(distance)))
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
