//! Values with their time and quality.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ResourceAddress, ResourceInstanceId, Value};

/// Which start of the machine a time belongs to: the monotonic clock begins anew at each.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct BootId(pub u32);

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct UnixTime(pub i64);

/// The time of one turn of the event loop; the last argument wherever time matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Now {
    pub boot: BootId,
    /// Time since the machine started, suspended time included. All deadlines use it.
    pub mono: Duration,
    /// Wall clock; `None` until the date is known. Only for payloads, schedules and logs.
    pub unix: Option<UnixTime>,
}

/// When a sample was taken, on the monotonic clock; wall time is computed when sending.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct Stamp {
    pub boot: BootId,
    /// Time since that start of the machine.
    pub mono: Duration,
}

/// How far a value can be relied on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// The device says that the value is wrong, or it is outside its valid range.
    Bad,
    /// Measured as configured.
    Good,
    /// Older than it may be.
    Stale,
    /// Taken over without a check (no valid range known, first value after start).
    Unchecked,
}

/// A value with its time and quality.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Sample {
    pub address: ResourceAddress,
    /// Set for an instance of a multiple resource.
    pub index: Option<ResourceInstanceId>,
    pub value: Value,
    pub at: Stamp,
    /// The device's own time of the value, where it gives one.
    pub source_time: Option<UnixTime>,
    pub quality: Quality,
}

impl Now {
    pub const fn stamp(self) -> Stamp {
        Stamp {
            boot: self.boot,
            mono: self.mono,
        }
    }

    /// Wall time of a stamp of this boot; `None` for another boot or while the date is unknown.
    pub fn unix_of(self, stamp: Stamp) -> Option<UnixTime> {
        if stamp.boot != self.boot {
            return None;
        }
        let age = self.mono.saturating_sub(stamp.mono);
        let unix = self.unix?;
        Some(UnixTime(unix.0 - i64::try_from(age.as_millis()).ok()?))
    }
}

impl UnixTime {
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

impl Sample {
    /// A good sample of a single resource, taken at `at`.
    pub const fn good(address: ResourceAddress, value: Value, at: Stamp) -> Self {
        Self {
            address,
            index: None,
            value,
            at,
            source_time: None,
            quality: Quality::Good,
        }
    }
}
