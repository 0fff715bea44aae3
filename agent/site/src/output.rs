//! One output: the table of slots that decides, and what became of the decision.
//!
//! 1. A source fills its slot ([`Slots::set`]); the highest occupied slot is the winner.
//! 2. [`Output::next`] says what to do about it: nothing, wait (guard, stagger, retry), or write.
//! 3. [`Output::on_dispatch`], then [`Output::on_done`] or [`Output::on_failed`].
//!
//! A later command replaces an earlier one, whoever gave it. A command that fails is withdrawn,
//! and the last one that was accepted is in force again.
//! A new group command releases older commands of its members, unless they have a holding time:
//! who commands a whole street wants it to obey, but "for two hours" is a promise.

mod command;
mod held;
mod kept;
mod limit;
mod next;
mod waiting;
mod written;

use std::time::Duration;

use lamplighter_model::{
    DataType, Now, Quality, Stamp, Value,
    device::{OpId, Origin},
};

pub(crate) use held::left;

use crate::{
    boundary::{BootState, FailSafeOn, Guard, PointConfig, Slot},
    contact::Contact,
    group::Seen,
    guard::GuardState,
    lamp::{Counters, LampResource},
    moment::Moment,
    power_return::Delay,
    saved::{SavedGuard, SavedOutput},
    site::{InterlockIndex, WatchIndex},
    slots::{CommandId, Entry, Slots},
    standstill::{Begun, Standstill},
};

/// An output, in the order of the configuration; also the instance of its status object.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct OutputIndex(pub(crate) u16);

/// A group, in the order of the configuration; also the instance of its vendor object.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct GroupIndex(pub(crate) u16);

#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) config: PointConfig,
    /// The type of the values that the adapter understands.
    pub(crate) data_type: DataType,
    pub(crate) slots: Slots,
    /// Its adapter has declared it.
    pub(crate) present: bool,
    pub(crate) groups: Vec<GroupIndex>,
    pub(crate) interlocks: Vec<InterlockIndex>,
    /// What is in its slot of the interlock, and why.
    pub(crate) block: Option<Block>,
    pub(crate) contact: Contact,
    pub(crate) guard: Option<Box<GuardState>>,
    /// `min_switch`: a guard that is not kept, so that a street of lamps costs no writing. At a start
    /// nothing is known: a line stays as it is for that long.
    steady: Option<Box<GuardState>>,
    pub(crate) counters: Counters,
    /// What was last written and accepted; `None` after a write that nobody knows the fate of.
    pub(crate) in_effect: Option<Value>,
    pub(crate) measured: Option<Measured>,
    pub(crate) result: DriveResult,
    /// Watches of its power, alone or with others.
    pub(crate) watches: Vec<WatchIndex>,
    /// What these watches know that it was told.
    pub(crate) watched: Option<bool>,
    pub(crate) shows_lamp_alarms: bool,
    pub(crate) has_hand: bool,
    pub(crate) relay_failure: bool,
    /// What it must not do while something moves.
    pub(crate) standstill: Option<Box<Standstill>>,
    /// Since when its feedback contact says something else than it was told.
    pub(crate) disagrees_since: Option<Moment>,
    /// How long it waits before it goes on after a return of power.
    pub(crate) power_return: Option<Delay>,
    /// What was last written, whatever became of it.
    told: Option<bool>,
    /// What people were last told.
    pub(crate) announced: Option<(Slot, Value)>,
    /// The last command that was answered with an error.
    pub(crate) refused: Option<Box<Refused>>,
    /// The last command that was accepted, in force again when a later one fails.
    accepted: Option<Entry>,
    /// The request that is answered when the command in its slot has been carried out.
    waiter: Option<OpId>,
    writing: Option<Box<Writing>>,
    /// The winner is to be written even if it is in effect already.
    forced: bool,
    paced: Option<(GroupIndex, Moment)>,
    retry: Option<Moment>,
    failures: u32,
    /// How often, and when last, the device was seen to do something else by itself.
    astray: Option<(Moment, u32)>,
    settled: Moment,
}

/// A command that will never be carried out.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) value: Value,
    pub(crate) by: Origin,
    pub(crate) reason: String,
    pub(crate) at: Moment,
}

/// An interlock keeps an output off.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    /// Name of the interlock.
    pub(crate) by: String,
    pub(crate) reason: String,
    /// When the dead time ends; `None` while another member is, or may be, on.
    pub(crate) until: Option<Moment>,
    pub(crate) kind: BlockKind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BlockKind {
    /// It may not go on.
    Holds,
    /// It was seen on while nobody else is known to be: it is left alone, but not told to be on.
    Leaves,
    /// It was seen on beside another: switched off whatever its guard says.
    Trips,
}

/// What the device was last seen to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) value: Value,
    pub(crate) at: Stamp,
    pub(crate) quality: Quality,
    /// Not seen: the device has accepted it and never says what it does.
    pub(crate) assumed: bool,
}

/// A write that the adapter has not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Writing {
    pub(crate) value: Value,
    pub(crate) slot: Slot,
    pub(crate) command: CommandId,
    pub(crate) waiter: Option<OpId>,
    /// The single command that is being carried out, unless it was released since.
    entry: Option<Entry>,
    /// It is one that has waited for standstill.
    pub(crate) begun: Option<Begun>,
}

/// What became of the last write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum DriveResult {
    Never,
    Done,
    Failed(String),
}

/// What is to be done about an output now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// Nothing before something changes.
    Settled,
    Wait(Moment),
    /// Write this for the slot.
    Write(Value, Slot, CommandId),
}

impl Measured {
    pub(crate) fn is_usable(&self) -> bool {
        matches!(self.quality, Quality::Good | Quality::Unchecked)
    }
}

impl std::fmt::Display for DriveResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Never => f.write_str("nothing was written yet"),
        }
    }
}

impl Output {
    pub(crate) fn new(
        config: PointConfig,
        data_type: DataType,
        saved: Option<&SavedOutput>,
        now: Now,
    ) -> Self {
        let guard = config
            .guard
            .map(|rule| GuardState::new(rule, saved.and_then(|saved| saved.guard.as_ref()), now));
        let counters = Counters::new(saved.map(|saved| saved.counters).unwrap_or_default());
        let steady = Some(config.min_switch).filter(|time| !time.is_zero());
        let steady = steady.map(|time| {
            let rule = Guard {
                min_on: time,
                min_off: time,
                ..Guard::default()
            };
            GuardState::new(rule, Some(&SavedGuard::default()), now)
        });
        Self {
            config,
            data_type,
            slots: Slots::default(),
            present: false,
            groups: Vec::new(),
            interlocks: Vec::new(),
            block: None,
            contact: Contact::new(),
            guard: guard.map(Box::new),
            steady: steady.map(Box::new),
            counters,
            in_effect: None,
            measured: None,
            result: DriveResult::Never,
            watches: Vec::new(),
            watched: None,
            shows_lamp_alarms: false,
            has_hand: false,
            relay_failure: false,
            standstill: None,
            disagrees_since: None,
            power_return: None,
            told: None,
            announced: None,
            refused: None,
            accepted: None,
            waiter: None,
            writing: None,
            forced: false,
            paced: None,
            retry: None,
            failures: 0,
            astray: None,
            settled: Moment::of(now),
        }
    }

    /// What the lowest slot holds, for outputs that are not adopted as they are found.
    pub(crate) fn default_value(&self) -> Option<Value> {
        match self.config.boot {
            BootState::Adopt => None,
            BootState::Decide | BootState::Off => self.nearest_to_level(0),
            BootState::On => self.nearest_to_level(100),
        }
    }

    /// What a level of 0–100 means to the adapter; `None` where it cannot do it.
    pub(crate) fn value_of_level(&self, level: u8) -> Option<Value> {
        match (self.data_type, level) {
            (DataType::Boolean, 0) => Some(Value::Boolean(false)),
            (DataType::Boolean, 100) => Some(Value::Boolean(true)),
            (DataType::Integer, level) => Some(Value::Integer(i64::from(level))),
            (DataType::Unsigned, level) => Some(Value::Unsigned(u64::from(level))),
            (DataType::Float, level) => Some(Value::Float(f64::from(level))),
            (
                DataType::Boolean
                | DataType::Corelnk
                | DataType::None
                | DataType::Objlnk
                | DataType::Opaque
                | DataType::String
                | DataType::Time,
                _,
            ) => None,
        }
    }

    /// What the device does: as measured, or as last accepted where it was never seen.
    pub(crate) fn actual(&self) -> Option<&Value> {
        self.measured
            .as_ref()
            .map(|measured| &measured.value)
            .or(self.in_effect.as_ref())
    }

    /// The same, as groups sum it up.
    pub(crate) fn seen(&self) -> Option<Seen> {
        let is_on = is_on(self.actual()?);
        let level = self.level();
        Some(Seen { is_on, level })
    }

    /// Whether a request waits for its command to be carried out.
    pub(crate) const fn has_waiter(&self) -> bool {
        self.waiter.is_some()
    }

    /// Whether the device never says what it does.
    pub(crate) fn is_assumed(&self) -> bool {
        self.measured
            .as_ref()
            .is_some_and(|measured| measured.assumed)
    }

    pub(crate) fn commanded(&self) -> Option<&Value> {
        self.slots.winner().map(|(_, entry)| &entry.value)
    }

    /// Whether its feedback contact says something else than it was told; `None` where nobody can
    /// say.
    pub(crate) fn disagrees(&self) -> Option<bool> {
        let measured = self.measured.as_ref().filter(|seen| !seen.assumed)?;
        let told = self.told.filter(|_| self.writing.is_none())?;
        Some(is_on(&measured.value) != told)
    }

    /// Whether readers see a resource of its object.
    pub(crate) const fn shows(&self, resource: LampResource) -> bool {
        match resource {
            LampResource::DayBurner | LampResource::LampFailure => self.shows_lamp_alarms,
            LampResource::ManualActive | LampResource::ManualEnd | LampResource::ManualStart => {
                self.has_hand
            }
            LampResource::RelayFailure => self.config.feedback.is_some(),
            LampResource::Command
            | LampResource::CommandInAction
            | LampResource::Dimmer
            | LampResource::Level
            | LampResource::OnOff
            | LampResource::OnTime
            | LampResource::OnTimestamp
            | LampResource::OperatingHours
            | LampResource::OperatingHoursReset
            | LampResource::SwitchCounter
            | LampResource::SwitchCounterReset => true,
        }
    }

    /// What it does in percent, where anybody has seen it.
    fn level(&self) -> Option<f64> {
        let number = self.actual()?.as_f64()?;
        Some(if self.data_type == DataType::Boolean {
            number * 100.0
        } else {
            number
        })
    }

    pub(crate) fn fail_safe_after(&self, on: FailSafeOn) -> Option<Duration> {
        self.config
            .fail_safe
            .as_ref()
            .filter(|rule| rule.on == on)
            .map(|rule| rule.after)
    }
}

/// Whether a value means that the output is on.
pub(crate) fn is_on(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number != 0.0)
}

#[cfg(test)]
mod tests {
    use lamplighter_model::BootId;

    use super::*;

    /// A site may have thousands, and the page wants memory too.
    #[test]
    fn an_output_takes_less_than_a_kilobyte() {
        assert!(size_of::<Output>() <= 1024, "{}", size_of::<Output>());
    }

    #[test]
    fn guards_apply_to_all_but_interlock_and_lock() {
        let now = Now {
            boot: BootId(1),
            mono: Duration::from_secs(100),
            unix: None,
        };
        let rule = Guard {
            min_off: Duration::from_secs(60),
            ..Default::default()
        };
        let config = PointConfig {
            name: "fan".to_owned(),
            adapter: lamplighter_model::device::AdapterId(0),
            address: lamplighter_model::ResourceAddress::gateway(3306, 0, 5850),
            kind: crate::boundary::PointKind::Output,
            limit: None,
            guard: Some(rule),
            fail_safe: None,
            boot: BootState::Adopt,
            min_switch: Duration::ZERO,
            feedback: None,
            power_return_spread: Duration::ZERO,
        };
        let output = Output::new(config, DataType::Boolean, None, now);
        for slot in Slot::ALL {
            let waits = output
                .guard_wait(slot, &Value::Boolean(true), now)
                .is_some();
            assert_eq!(waits, slot > Slot::MaintenanceLock, "{slot}");
        }
    }
}
