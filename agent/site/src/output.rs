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

mod held;
mod kept;
mod waiting;

use std::time::Duration;

use lamplighter_model::{
    DataType, Now, Quality, Stamp, Value,
    device::{Fault, OpId, Origin},
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
    standstill::Standstill,
};

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// A device that was obedient for so long is brought back at once when it does something else.
const OBEDIENT: Duration = Duration::from_secs(600);

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
            BootState::Decide | BootState::Off => self.value_of_level(0),
            BootState::On => self.value_of_level(100),
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

    fn is_blocked(&self, kind: BlockKind) -> bool {
        self.block.as_ref().is_some_and(|block| block.kind == kind)
    }

    /// An interlock wants nothing to be written: what a device that keeps its state is not seen to
    /// do need not be ended, and what was only seen to be on is not told to be.
    fn is_left_alone(&self, slot: Slot, value: &Value) -> bool {
        let is_adopted = self.config.boot == BootState::Adopt;
        (slot == Slot::Interlock && is_adopted && self.is_blocked(BlockKind::Holds))
            || (is_on(value) && self.is_blocked(BlockKind::Leaves))
    }

    /// The winner is written even if it is in effect already, and at once.
    pub(crate) const fn write_anew(&mut self) {
        self.forced = true;
        self.retry = None;
    }

    /// The date can be believed now. True if a guard may let it switch earlier because of that.
    pub(crate) fn on_dated(&mut self, now: Now) -> bool {
        self.guard.as_mut().is_some_and(|guard| guard.on_dated(now))
    }

    /// What failed before need not be waited for: something else is to be written.
    pub(crate) const fn try_at_once(&mut self) {
        self.retry = None;
    }

    /// Takes a command that has passed [`Output::refusal`]. Gives back the request whose command it
    /// replaces before that was carried out.
    pub(crate) fn command(&mut self, entry: Entry, waiter: Option<OpId>) -> Option<OpId> {
        if waiter.is_none() {
            self.accepted = Some(entry.clone());
        }
        self.slots.set(Slot::Command, entry);
        self.refused = None;
        self.forced = true;
        self.paced = None;
        self.retry = None;
        std::mem::replace(&mut self.waiter, waiter)
    }

    /// Takes the command of a group. Gives back a request whose command it releases.
    pub(crate) fn group_command(&mut self, entry: Entry, pace: Moment) -> Option<OpId> {
        self.paced = entry.group.map(|group| (group, pace));
        self.slots.set(Slot::GroupCommand, entry);
        self.forced = true;
        self.retry = None;
        if self
            .slots
            .get(Slot::Command)
            .is_some_and(|command| command.until.is_some())
        {
            // One without a holding time does not come back either, should this one fail.
            self.accepted.take_if(|accepted| accepted.until.is_none());
            return None;
        }
        self.release_command()
    }

    /// Empties the command slot. Gives back a request that waited for it.
    pub(crate) fn release_command(&mut self) -> Option<OpId> {
        self.slots.clear(Slot::Command);
        self.accepted = None;
        if let Some(writing) = &mut self.writing {
            writing.entry = None;
        }
        self.waiter.take()
    }

    /// A rule or a hand switch has filled a slot; `turn` is when its group lets this output switch.
    pub(crate) fn set_turn(&mut self, turn: (GroupIndex, Moment)) {
        self.paced = Some(turn);
        self.retry = None;
    }

    /// Ends the holding times that have passed; true if a slot became free.
    pub(crate) fn expire(&mut self, now: Now) -> (bool, Option<OpId>) {
        let expired = self.slots.expire(now);
        if !expired || self.slots.get(Slot::Command).is_some() {
            return (expired, None);
        }
        // One that was never begun is answered with an error, and changes nothing.
        let Some(waiter) = self.waiter.take() else {
            return (expired, self.release_command());
        };
        self.withdraw(now);
        (expired, Some(waiter))
    }

    /// The device is there (again) and may have forgotten everything: the winner is written anew.
    pub(crate) fn reassert(&mut self, pace: Option<(GroupIndex, Moment)>) {
        self.forced = true;
        self.retry = None;
        self.failures = 0;
        self.paced = pace;
    }

    /// A request whose command is not, or no longer, the winner, and why it is refused: not where
    /// the winner wants the same.
    pub(crate) fn take_overruled_waiter(&mut self, now: Now) -> Option<(OpId, Result<(), Fault>)> {
        let (slot, winner) = self.slots.winner()?;
        let left_alone = self.block.as_ref();
        let left_alone = left_alone.filter(|_| self.is_left_alone(slot, &winner.value));
        if slot >= Slot::Command && left_alone.is_none() {
            return None;
        }
        if let (Some(block), Slot::Command) = (left_alone, slot) {
            let reason = block.reason.clone();
            let retry_after = block.until.map(|until| Moment::of(now).until(until));
            let waiter = self.waiter.take()?;
            self.withdraw(now);
            let refused = Fault::Refused {
                reason,
                retry_after,
            };
            return Some((waiter, Err(refused)));
        }
        let waiter = self.waiter.take()?;
        let command = self.slots.get(Slot::Command);
        if command.is_some_and(|command| command.value == winner.value) {
            self.accepted = command.cloned();
            return Some((waiter, Ok(())));
        }
        let retry_after = winner.until.map(|until| Moment::of(now).until(until));
        let reason = format!("{}{}", self.held_by(slot, winner), left(retry_after));
        self.withdraw(now);
        let refused = Fault::Refused {
            reason,
            retry_after,
        };
        Some((waiter, Err(refused)))
    }

    /// A request whose command could not be begun in time; it is withdrawn.
    pub(crate) fn take_late_waiter(&mut self, now: Now) -> Option<OpId> {
        let waiter = self.waiter.take()?;
        self.withdraw(now);
        Some(waiter)
    }

    /// A request whose command a guard has come to delay since it was checked: accepted if the
    /// guard queues, else withdrawn.
    pub(crate) fn take_delayed_waiter(&mut self, now: Now) -> Option<(OpId, Option<Fault>)> {
        let waiter = self.waiter.take()?;
        let entry = self.slots.get(Slot::Command)?.clone();
        let refusal = self.refusal(&entry.value, now);
        if refusal.is_some() {
            self.withdraw(now);
        } else {
            self.accepted = Some(entry);
        }
        Some((waiter, refusal))
    }

    pub(crate) fn next(&self, now: Now) -> Next {
        let Some((slot, entry)) = self.decisive() else {
            return Next::Settled;
        };
        if !self.present || self.writing.is_some() {
            return Next::Settled;
        }
        if self.is_left_alone(slot, &entry.value) {
            return Next::Settled;
        }
        if !self.forced && self.in_effect.as_ref() == Some(&entry.value) {
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

    /// When something may go on that was wanted before the power came back, or that a rule wants.
    fn power_wait(&self, slot: Slot, entry: &Entry, now: Now) -> Option<Moment> {
        let Delay { since, until } = self.power_return?;
        let waits = match slot {
            Slot::HandSwitch | Slot::Interlock | Slot::MaintenanceLock => false,
            Slot::Command | Slot::DeviceFailSafe | Slot::GroupCommand => entry.since <= since,
            Slot::Default | Slot::Schedule | Slot::ServerLost | Slot::Thermostat => true,
        };
        Some(until).filter(|at| waits && is_on(&entry.value) && *at > Moment::of(now))
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

    /// Whether it is switched outside of its turn. Safety does not queue up behind a street, nor does
    /// a hand that switches off, nor somebody who is answered within seconds: what he is refused must
    /// not be done later.
    fn is_urgent(&self, slot: Slot, value: &Value) -> bool {
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

    /// The value leaves for the device. Gives back the group whose stagger let it wait.
    pub(crate) fn on_dispatch(
        &mut self,
        value: Value,
        slot: Slot,
        command: CommandId,
        now: Now,
    ) -> Option<GroupIndex> {
        self.guards()
            .for_each(|guard| guard.on_dispatch(is_on(&value), now));
        self.contact.on_dispatch(is_on(&value));
        self.told = Some(is_on(&value));
        self.forced = false;
        self.retry = None;
        let entry = self
            .slots
            .get(Slot::Command)
            .filter(|_| slot == Slot::Command)
            .cloned();
        let waiter = entry.as_ref().and_then(|_| self.waiter.take());
        self.writing = Some(Box::new(Writing {
            value,
            slot,
            command,
            waiter,
            entry,
        }));
        self.paced.take().map(|(group, _)| group)
    }

    /// The device has accepted the value.
    pub(crate) fn on_done(&mut self, now: Now) -> Option<Writing> {
        let mut writing = *self.writing.take()?;
        self.take_carried_out(writing.command, now);
        self.guards()
            .for_each(|guard| guard.on_done(is_on(&writing.value), now));
        self.contact.on_done(is_on(&writing.value), now);
        // One that came later may have been accepted before this one was carried out.
        let newer = |known: &Entry, entry: &Entry| known.id.0 > entry.id.0;
        if let Some(entry) = writing.entry.take()
            && !self
                .accepted
                .as_ref()
                .is_some_and(|known| newer(known, &entry))
        {
            self.accepted = Some(entry);
        }
        self.in_effect = Some(writing.value.clone());
        self.result = DriveResult::Done;
        self.failures = 0;
        self.settled = Moment::of(now);
        Some(writing)
    }

    /// The device has not accepted the value, or nobody knows whether it has.
    pub(crate) fn on_failed(&mut self, fault: &Fault, now: Now) -> Option<Writing> {
        let writing = *self.writing.take()?;
        self.guards()
            .for_each(|guard| guard.on_failed(is_on(&writing.value), now));
        self.contact.on_failed();
        self.in_effect = None;
        self.result = DriveResult::Failed(fault.to_string());
        self.forced = true;
        self.settled = Moment::of(now);
        self.pause(now);
        let in_slot = self
            .slots
            .get(Slot::Command)
            .is_some_and(|entry| entry.id == writing.command);
        if writing.waiter.is_some() && in_slot {
            self.withdraw(now);
        }
        Some(writing)
    }

    /// Waits before the next try, unless somebody wants it now.
    fn pause(&mut self, now: Now) {
        if self.waiter.is_some() {
            return;
        }
        let pause = pause_after(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.retry = Some(Moment::of(now).plus(pause));
    }

    /// The device is heard: whatever is to be written is tried at once.
    pub(crate) fn end_pause(&mut self) {
        self.retry = None;
        self.failures = 0;
    }

    /// A command that is answered with an error is never executed later.
    fn withdraw(&mut self, now: Now) {
        self.slots.clear(Slot::Command);
        // The one before may be on its way to the device, and will be answered as done.
        let under_way = self
            .writing
            .as_ref()
            .and_then(|writing| writing.entry.clone());
        let before = under_way.or_else(|| self.accepted.clone());
        if let Some(entry) = before.filter(|entry| !entry.has_ended(now)) {
            self.slots.set(Slot::Command, entry);
        }
    }

    fn guards(&mut self) -> impl Iterator<Item = &mut GuardState> {
        let all = self.guard.iter_mut().chain(&mut self.steady);
        all.map(Box::as_mut)
    }

    /// The device was seen in a state. True if it does something else than it was told and has
    /// accepted: it is told again, with growing pauses.
    pub(crate) fn on_measured(&mut self, measured: Measured, now: Now) -> bool {
        let on = is_on(&measured.value);
        let usable = measured.quality == Quality::Good || measured.quality == Quality::Unchecked;
        // While a write is under way, and from before it, a sample says nothing about the outcome.
        let conclusive =
            usable && self.writing.is_none() && Moment::of_stamp(measured.at, now) >= self.settled;
        if usable {
            self.counters.on_state(on, now);
        }
        let at = Moment::of_stamp(measured.at, now);
        self.measured = Some(measured);
        if conclusive {
            self.guards().for_each(|guard| {
                guard.on_seen(on, now);
            });
            // A contact that opens for a moment is not off while the device has been told to be on.
            let has_accepted = self.in_effect.as_ref().is_some_and(is_on);
            let wanted = has_accepted || self.commanded().is_some_and(is_on);
            self.contact.on_seen(on, wanted, at);
        } else if !usable {
            self.contact.on_lost();
        }
        conclusive && self.goes_astray(on, now)
    }

    fn goes_astray(&mut self, on: bool, now: Now) -> bool {
        let obeyed = self.in_effect.as_ref().is_none_or(|told| is_on(told) == on);
        if obeyed || self.forced || self.commanded() != self.in_effect.as_ref() {
            return false;
        }
        let recent = self.astray.filter(|(last, _)| last.age(now) < OBEDIENT);
        let count = recent.map_or(0, |(_, count)| count.saturating_add(1));
        self.astray = Some((Moment::of(now), count));
        self.retry = Some(Moment::of(now).plus(pause_after(count)));
        self.forced = true;
        self.announced = None;
        true
    }

    /// The device may have been without power.
    pub(crate) fn on_lost(&mut self, now: Now) {
        self.in_effect = None;
        self.settled = Moment::of(now);
        self.guards().for_each(|guard| guard.on_unknown(now));
        self.contact.on_lost();
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

fn pause_after(failures: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(1 << failures.min(16))
        .min(LONGEST_RETRY)
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
