//! What the site keeps over a restart. The store writes it; there is no file here.
//!
//! Outputs and groups are kept by their configured names, so that a changed order of the
//! configuration moves nothing; what is no longer configured is left out at the next save.

mod change;

use std::{collections::BTreeMap, time::Duration};

use lamplighter_model::{BootId, Now, UnixTime, Value, device::Origin};
use serde::{Deserialize, Serialize};

pub use change::{SavedChange, SavedPart};

use crate::{
    boundary::{Hand, Slot},
    moment::Moment,
};

/// Slots, guard times and counters of all outputs.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedSite {
    /// [`SavedSite::VERSION`] of the writer. A newer one is not understood, and nothing but
    /// its locks is used.
    pub version: u16,
    pub outputs: BTreeMap<String, SavedOutput>,
    pub groups: BTreeMap<String, SavedGroup>,
    /// Of the writer; `None` from writers that did not say.
    #[serde(default)]
    pub boot: Option<BootId>,
    /// Hand switches that stand on something else than auto, by group.
    #[serde(default)]
    pub hands: BTreeMap<String, SavedHand>,
    /// Outputs that hold an interlock, by its name. Of no use after another start of the machine.
    #[serde(default)]
    pub holders: BTreeMap<String, String>,
    /// Maintenance locks by what is locked. Of a newer version they are used all the same.
    #[serde(default)]
    pub locks: BTreeMap<String, SavedLock>,
    /// There may have been other locks: what was kept of them could not be read, and nobody has
    /// locked or unlocked anything since.
    #[serde(default)]
    pub locks_unknown: bool,
    /// The last start of the machine, as far as outputs wait after it.
    #[serde(default)]
    pub power_return: Option<SavedPowerReturn>,
    /// Commands that wait for standstill, by output.
    #[serde(default)]
    pub armed: BTreeMap<String, SavedArmed>,
    /// By kind and name: `schedule main_street`, `thermostat server_room`.
    #[serde(default)]
    pub rules: BTreeMap<String, SavedRule>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedArmed {
    pub value: Value,
    pub by: Origin,
    pub since: SavedMoment,
    /// From when it is carried out.
    pub hold: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedPowerReturn {
    pub at: SavedMoment,
    /// Where the random times come from.
    pub seed: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedHand {
    pub position: Hand,
    pub since: SavedMoment,
    /// Of a switch with a limit.
    #[serde(default)]
    pub until: Option<SavedEnd>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedLock {
    pub by: Origin,
    pub since: SavedMoment,
    /// What was locked then; a group that has more members now is locked altogether.
    pub outputs: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SavedOutput {
    /// Occupied slots whose content nobody but the site knows.
    pub slots: Vec<SavedSlot>,
    pub guard: Option<SavedGuard>,
    pub counters: SavedCounters,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedSlot {
    pub slot: Slot,
    pub value: Value,
    pub by: Origin,
    pub since: SavedMoment,
    pub until: Option<SavedEnd>,
    /// The group whose command this is.
    pub group: Option<String>,
}

/// The end of a command with a holding time, or of a hand switch with a limit.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedEnd {
    pub at: SavedMoment,
    /// Time left when it was saved; counts where nobody knows how long the machine was off.
    pub left: Duration,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SavedGuard {
    /// `None`: unknown, or a switching write was under way.
    pub on: Option<bool>,
    pub on_since: Option<SavedMoment>,
    pub off_since: Option<SavedMoment>,
    pub starts: Vec<SavedMoment>,
    /// The date could be believed when this was kept.
    #[serde(default)]
    pub dated: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SavedCounters {
    /// Time in the state on, since ever.
    pub on_total: Duration,
    /// `on_total` when the operating hours were last reset.
    pub hours_reset: Duration,
    /// `on_total` when the on time (5852) was last reset.
    pub on_time_reset: Duration,
    pub switches: u64,
    /// `switches` when the switch counter was last reset.
    pub switches_reset: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedGroup {
    /// The last command, 0–100.
    pub level: u8,
    pub by: Origin,
    pub since: SavedMoment,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SavedRule {
    /// What it wanted last.
    pub on: Option<bool>,
    /// And how much, 0–100.
    #[serde(default)]
    pub level: Option<u8>,
    /// What the photocell said last.
    #[serde(default)]
    pub dark: Option<bool>,
    /// The set point that a device held last.
    #[serde(default)]
    pub setpoint: Option<f64>,
    /// What servers have written, by parameter.
    #[serde(default)]
    pub written: BTreeMap<String, SavedParameter>,
}

/// A parameter that wins over the configuration as long as that says what it said then.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedParameter {
    pub value: String,
    pub configured: String,
}

/// A point of time that another start of the machine can place, if either the boot is the same or
/// the date was known both times.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SavedMoment {
    pub boot: BootId,
    /// Nanoseconds since that start of the machine, negative before it.
    pub mono_ns: i64,
    pub unix: Option<UnixTime>,
}

impl SavedEnd {
    pub(crate) fn of(end: Moment, now: Now) -> Self {
        Self {
            at: end.to_saved(now),
            left: Moment::of(now).until(end),
        }
    }

    pub(crate) fn restore(self, now: Now) -> Moment {
        // Never longer than was left, however the clock was set since.
        let latest = Moment::of(now).plus(self.left);
        Moment::from_saved(self.at, now).map_or(latest, |at| at.min(latest))
    }
}

impl SavedSite {
    pub const VERSION: u16 = 1;
}

impl Default for SavedSite {
    fn default() -> Self {
        Self {
            version: Self::VERSION,
            outputs: BTreeMap::new(),
            groups: BTreeMap::new(),
            boot: None,
            hands: BTreeMap::new(),
            holders: BTreeMap::new(),
            locks: BTreeMap::new(),
            locks_unknown: false,
            power_return: None,
            armed: BTreeMap::new(),
            rules: BTreeMap::new(),
        }
    }
}
