//! Commands of an output and the requests that wait for them: taken, replaced, withdrawn, ended.
//!
//! A request is answered once: with success when its command has been carried out or was accepted, else
//! with an error, and then its command is never carried out later.

use lamplighter_model::{
    Now,
    device::{Fault, OpId},
};

use super::{Output, left};
use crate::{boundary::Slot, moment::Moment, slots::Entry};

impl Output {
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

    /// A command that is answered with an error is never executed later.
    pub(super) fn withdraw(&mut self, now: Now) {
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
}
