//! What becomes of what is written to the device, and what the device is seen to do.

use std::time::Duration;

use lamplighter_model::{
    Now, Value,
    device::{Fault, OpId},
};

use super::{DriveResult, GroupIndex, Measured, Output, Writing, is_on};
use crate::{
    boundary::Slot,
    guard::GuardState,
    moment::Moment,
    slots::{CommandId, Entry},
};

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// A device that was obedient for so long is brought back at once when it does something else.
const OBEDIENT: Duration = Duration::from_secs(600);

impl Output {
    /// The value leaves for the device. Gives back the group whose stagger let it wait, and a request
    /// whose command was replaced by one that has waited for standstill.
    pub(crate) fn on_dispatch(
        &mut self,
        value: Value,
        slot: Slot,
        command: CommandId,
        now: Now,
    ) -> (Option<GroupIndex>, Option<OpId>) {
        let begun = (slot == Slot::Command).then(|| self.begin_armed(command));
        let (begun, replaced) = begun.flatten().unzip();
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
            begun,
        }));
        let paced = self.paced.take().map(|(group, _)| group);
        (paced, replaced.flatten())
    }

    /// The device has accepted the value.
    pub(crate) fn on_done(&mut self, now: Now) -> Option<Writing> {
        let mut writing = *self.writing.take()?;
        self.end_armed(&mut writing, now);
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
        let mut writing = *self.writing.take()?;
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
        let begun = writing.begun.take();
        if (writing.waiter.is_some() || begun.is_some()) && in_slot {
            self.withdraw(now);
            begun.into_iter().for_each(|begun| self.arm_again(begun));
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

    fn guards(&mut self) -> impl Iterator<Item = &mut GuardState> {
        let all = self.guard.iter_mut().chain(&mut self.steady);
        all.map(Box::as_mut)
    }

    /// The device was seen in a state. True if it does something else than it was told and has
    /// accepted: it is told again, with growing pauses.
    pub(crate) fn on_measured(&mut self, measured: Measured, now: Now) -> bool {
        let on = is_on(&measured.value);
        let usable = measured.is_usable();
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

    /// The date can be believed now. True if a guard may let it switch earlier because of that.
    pub(crate) fn on_dated(&mut self, now: Now) -> bool {
        self.guard.as_mut().is_some_and(|guard| guard.on_dated(now))
    }

    /// The device is there (again) and may have forgotten everything: the winner is written anew.
    pub(crate) fn reassert(&mut self, pace: Option<(GroupIndex, Moment)>) {
        self.forced = true;
        self.retry = None;
        self.failures = 0;
        self.paced = pace;
    }

    /// The winner is written even if it is in effect already, and at once.
    pub(crate) const fn write_anew(&mut self) {
        self.forced = true;
        self.retry = None;
    }

    /// What failed before need not be waited for: something else is to be written.
    pub(crate) const fn try_at_once(&mut self) {
        self.retry = None;
    }
}

fn pause_after(failures: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(1 << failures.min(16))
        .min(LONGEST_RETRY)
}
