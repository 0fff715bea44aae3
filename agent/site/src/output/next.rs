//! What is to be done about an output: nothing, wait, or write what the winner wants.

use std::time::Duration;

use lamplighter_model::{Now, Value};

use super::{BlockKind, DriveResult, GroupIndex, Next, Output, is_on};
use crate::{
    boundary::{BootState, Slot},
    moment::Moment,
    power_return::Delay,
    slots::Entry,
};

impl Output {
    pub(crate) fn next(&self, now: Now) -> Next {
        let Some((slot, entry)) = self.decisive(now) else {
            return Next::Settled;
        };
        if !self.present || self.writing.is_some() {
            return Next::Settled;
        }
        if self.is_left_alone(slot, &entry.value) {
            return Next::Settled;
        }
        // What was armed ends with a write, whatever has switched it meanwhile.
        let is_armed = self.armed().is_some_and(|armed| armed.entry.id == entry.id);
        if !self.forced && !is_armed && self.in_effect.as_ref() == Some(&entry.value) {
            return Next::Settled;
        }
        let wait = self.wait(slot, &entry.value, now);
        let Some(wait) = wait.max(self.power_wait(slot, entry, now)) else {
            return Next::Write(entry.value.clone(), slot, entry.id);
        };
        // A line that was never driven is put into its resting state while a guard holds the winner.
        let rest = self
            .value_of_level(0)
            .filter(|_| self.result == DriveResult::Never && self.default_value().is_some());
        let Some(rest) = rest.filter(|rest| *rest != entry.value) else {
            return Next::Wait(wait);
        };
        match self.wait(slot, &rest, now) {
            None => Next::Write(rest, Slot::Default, entry.id),
            Some(until) => Next::Wait(until.min(wait)),
        }
    }

    /// Whether a guard would delay this value now, and until when.
    pub(crate) fn guard_wait(&self, slot: Slot, value: &Value, now: Now) -> Option<Moment> {
        // design: guards apply to all but interlock and maintenance lock. An interlock that only
        // keeps from going on lets the guard decide when a state that nobody knows ends.
        let applies = match slot {
            Slot::Interlock => self.is_blocked(BlockKind::Holds),
            Slot::MaintenanceLock => false,
            Slot::Command
            | Slot::Default
            | Slot::DeviceFailSafe
            | Slot::GroupCommand
            | Slot::HandSwitch
            | Slot::Schedule
            | Slot::ServerLost
            | Slot::Thermostat => true,
        };
        let guards = self.guard.iter().chain(&self.steady);
        let free = guards.map(|guard| guard.free_at(is_on(value), now));
        free.max().filter(|at| applies && *at > Moment::of(now))
    }

    pub(super) fn is_blocked(&self, kind: BlockKind) -> bool {
        self.block.as_ref().is_some_and(|block| block.kind == kind)
    }

    /// An interlock wants nothing to be written: what a device that keeps its state is not seen to
    /// do need not be ended, and what was only seen to be on is not told to be.
    pub(super) fn is_left_alone(&self, slot: Slot, value: &Value) -> bool {
        let is_adopted = self.config.boot == BootState::Adopt;
        (slot == Slot::Interlock && is_adopted && self.is_blocked(BlockKind::Holds))
            || (is_on(value) && self.is_blocked(BlockKind::Leaves))
    }

    /// When something may go on that was wanted before the power came back, or that a rule wants.
    pub(super) fn power_wait(&self, slot: Slot, entry: &Entry, now: Now) -> Option<Moment> {
        let Delay { since, until } = self.power_return?;
        let waits = match slot {
            Slot::HandSwitch | Slot::Interlock | Slot::MaintenanceLock => false,
            Slot::Command | Slot::DeviceFailSafe | Slot::GroupCommand => entry.since <= since,
            Slot::Default | Slot::Schedule | Slot::ServerLost | Slot::Thermostat => true,
        };
        Some(until).filter(|at| waits && is_on(&entry.value) && *at > Moment::of(now))
    }

    /// Whether it is switched outside of its turn. Safety does not queue up behind a street, nor does
    /// a hand that switches off, nor somebody who is answered within seconds: what he is refused must
    /// not be done later.
    pub(super) fn is_urgent(&self, slot: Slot, value: &Value) -> bool {
        slot < Slot::HandSwitch
            || (slot == Slot::HandSwitch && !is_on(value))
            || (slot == Slot::Command && self.has_waiter())
    }

    /// The group of which it has to be switched in turn, and the last turn that it was given.
    pub(crate) fn turn(&self, slot: Slot, value: &Value) -> Option<(GroupIndex, Option<Moment>)> {
        if self.is_urgent(slot, value) {
            return None;
        }
        if let Some((group, at)) = self.paced {
            return Some((group, Some(at)));
        }
        let winner = self.slots.winner().and_then(|(_, entry)| entry.group);
        let group = winner.or_else(|| self.groups.first().copied())?;
        Some((group, None))
    }

    fn wait(&self, slot: Slot, value: &Value, now: Now) -> Option<Moment> {
        let paced = self.paced.map(|(_, at)| at);
        let paced = paced.filter(|_| !self.is_urgent(slot, value));
        let latest = self
            .guard_wait(slot, value, now)
            .max(paced)
            .max(self.retry)?;
        Some(latest).filter(|at| *at > Moment::of(now))
    }

    /// Time until the guard lets the winner through.
    pub(crate) fn guard_left(&self, now: Now) -> Option<Duration> {
        let (slot, entry) = self.slots.winner()?;
        if self.in_effect.as_ref() == Some(&entry.value) && !self.forced {
            return None;
        }
        self.guard_wait(slot, &entry.value, now)
            .map(|at| Moment::of(now).until(at))
    }

    /// A rule or a hand switch has filled a slot; `turn` is when its group lets this output switch.
    pub(crate) fn set_turn(&mut self, turn: (GroupIndex, Moment)) {
        self.paced = Some(turn);
        self.retry = None;
    }
}
