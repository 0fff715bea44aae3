//! Brings outputs to what their tables say, and tells whoever waits for it.

use lamplighter_model::{
    Now, Value,
    device::{Action, Assignment, Fault},
};

use super::{Site, answer::Purpose};
use crate::{
    boundary::{SiteEvent, Slot},
    deadlines::Timer,
    group::MemberResult,
    moment::Moment,
    output::{CommandId, DriveResult, GroupIndex, Next, OutputIndex, Writing},
};

impl Site {
    /// Looks at an output once more: something that concerns it has changed, or its time has come.
    pub(super) fn drive(&mut self, index: OutputIndex, now: Now) {
        if let Some(request) = self.output_mut(index).take_overruled_waiter(now) {
            let winner = self.output(index).slots.winner();
            let reason =
                winner.map_or_else(String::new, |(slot, _)| format!("overruled by {slot}"));
            self.dirty = true;
            self.answer_waiter(
                request,
                index,
                Err(Fault::Refused {
                    reason,
                    retry_after: None,
                }),
                now,
            );
        }
        self.note_overruled(index);
        match self.output(index).next(now) {
            Next::Settled => {
                self.deadlines.clear(Timer::Drive(index));
                self.announce(index);
            }
            Next::Wait(at) => {
                self.deadlines.set(Timer::Drive(index), at);
                self.on_delay(index, now);
            }
            Next::Write(value, slot, command) => {
                self.deadlines.clear(Timer::Drive(index));
                self.dispatch(index, value, slot, command, now);
            }
        }
    }

    fn dispatch(
        &mut self,
        index: OutputIndex,
        value: Value,
        slot: Slot,
        command: CommandId,
        now: Now,
    ) {
        let (adapter, address) = (
            self.output(index).config.adapter,
            self.output(index).config.address,
        );
        let action = Action::Write {
            values: vec![Assignment {
                address,
                index: None,
                value: value.clone(),
            }],
            hold: None,
        };
        self.ask(adapter, action, Purpose::Drive(index), now);
        let paced_by = self
            .output_mut(index)
            .on_dispatch(value, slot, command, now);
        if let Some(group) = paced_by {
            self.group_mut(group).on_switched(Moment::of(now));
        }
        // Guard times must not be forgotten by a power cut in mid-write.
        self.dirty |= self.output(index).guard.is_some();
    }

    /// The winner has to wait for a guard, its turn in the group, or the next try.
    fn on_delay(&mut self, index: OutputIndex, now: Now) {
        let guarded = self.output(index).slots.winner().and_then(|(slot, entry)| {
            let at = self.output(index).guard_wait(slot, &entry.value, now)?;
            Some((entry.id, at))
        });
        let Some((command, _)) = guarded else { return };
        self.note_member(index, command, &MemberResult::Guarded);
        if let Some((request, refusal)) = self.output_mut(index).take_delayed_waiter(now) {
            self.dirty = true;
            self.answer_waiter(request, index, refusal.map_or(Ok(()), Err), now);
            self.drive(index, now);
        }
    }

    /// The adapter has answered a write of this output.
    pub(super) fn on_driven(&mut self, index: OutputIndex, result: Result<(), Fault>, now: Now) {
        self.dirty |= self.output(index).guard.is_some();
        match result {
            Ok(()) => self.on_driven_well(index, now),
            Err(fault) => self.on_driven_badly(index, &fault, now),
        }
        self.drive(index, now);
    }

    fn on_driven_well(&mut self, index: OutputIndex, now: Now) {
        let Some(Writing {
            command,
            waiter,
            slot,
            ..
        }) = self.output_mut(index).on_done(now)
        else {
            return;
        };
        self.assume_measured(index, now);
        self.announce(index);
        if slot == Slot::GroupCommand {
            self.note_member(index, command, &MemberResult::Done);
        }
        if slot == Slot::DeviceFailSafe {
            self.end_device_lost(index);
        }
        if let Some(request) = waiter {
            self.answer_waiter(request, index, Ok(()), now);
        }
    }

    fn on_driven_badly(&mut self, index: OutputIndex, fault: &Fault, now: Now) {
        let known = self.output(index).result.clone();
        let Some(Writing {
            command,
            waiter,
            slot,
            ..
        }) = self.output_mut(index).on_failed(fault, now)
        else {
            return;
        };
        let reason = fault.to_string();
        if known != DriveResult::Failed(reason.clone()) {
            let name = self.output(index).config.name.clone();
            self.tell(SiteEvent::Failed {
                name,
                reason: reason.clone(),
            });
        }
        if slot == Slot::GroupCommand {
            self.note_member(index, command, &MemberResult::Failed(reason));
        }
        if let Some(request) = waiter {
            self.dirty = true;
            self.rearm_hold(index);
            self.answer_waiter(request, index, Err(fault.clone()), now);
        }
    }

    /// The adapter has declared the output: it is decided before it is first driven.
    pub(super) fn on_present(&mut self, index: OutputIndex, now: Now) {
        self.reassert(index, now);
    }

    /// Writes the winner anew, one member of a group after the other.
    pub(super) fn reassert(&mut self, index: OutputIndex, now: Now) {
        let group = self.output(index).groups.first().copied();
        let paced = group.filter(|_| self.output(index).slots.winner().is_some());
        let turn = paced.map(|group| (group, self.group_mut(group).pace(Moment::of(now))));
        self.output_mut(index).reassert(turn);
        self.drive(index, now);
    }

    pub(super) fn on_hold_end(&mut self, index: OutputIndex, now: Now) {
        let (expired, waiter) = self.output_mut(index).expire(now);
        self.dirty |= expired;
        self.rearm_hold(index);
        self.answer_replaced(waiter, index, now);
        self.drive(index, now);
    }

    /// Tells people when another slot decides or another value has come into effect.
    fn announce(&mut self, index: OutputIndex) {
        let output = self.output(index);
        let Some((slot, entry)) = output.slots.winner() else {
            return;
        };
        let current = (slot, entry.value.clone());
        if output.in_effect.as_ref() != Some(&entry.value)
            || output.announced.as_ref() == Some(&current)
        {
            return;
        }
        let (name, by) = (output.config.name.clone(), entry.by.clone());
        let value = entry.value.clone();
        self.output_mut(index).announced = Some(current);
        self.tell(SiteEvent::Switched {
            name,
            value,
            by,
            slot,
        });
    }

    /// A group's command that a higher slot keeps from being carried out.
    fn note_overruled(&mut self, index: OutputIndex) {
        let slots = &self.output(index).slots;
        let (Some((winner, _)), Some(entry)) = (slots.winner(), slots.get(Slot::GroupCommand))
        else {
            return;
        };
        if winner < Slot::GroupCommand {
            let command = entry.id;
            self.note_member(index, command, &MemberResult::Overruled(winner));
        } else if !self.output(index).present {
            let command = entry.id;
            self.note_member(
                index,
                command,
                &MemberResult::Failed("its device is not there".to_owned()),
            );
        }
    }

    /// Notes what became of a command of a group at one of its members.
    fn note_member(&mut self, index: OutputIndex, command: CommandId, result: &MemberResult) {
        let groups = self.output(index).groups.clone();
        for group in groups {
            let ours = self
                .group(group)
                .command
                .as_ref()
                .is_some_and(|known| known.id == command);
            if ours {
                self.set_result(group, index, result.clone());
                self.finish_group(group);
            }
        }
    }

    pub(super) fn set_result(
        &mut self,
        group: GroupIndex,
        member: OutputIndex,
        result: MemberResult,
    ) {
        if self.group_mut(group).set_result(member, result) {
            self.finish_group(group);
        }
    }

    /// Tells people once when a group's command has been tried at all members.
    pub(super) fn finish_group(&mut self, index: GroupIndex) {
        if !self.group_mut(index).take_finished() {
            return;
        }
        let group = self.group(index);
        let members = u16::try_from(group.members.len()).unwrap_or(u16::MAX);
        let (name, failed) = (group.config.name.clone(), group.failed());
        self.tell(SiteEvent::GroupDone {
            name,
            failed,
            members,
        });
    }
}
