//! Brings outputs to what their tables say, and tells whoever waits for it.

use std::{collections::VecDeque, time::Duration};

use lamplighter_model::{
    Now, Value,
    device::{Action, AdapterId, Assignment, Fault},
};

use super::{Site, answer::Purpose};
use crate::{
    boundary::{SiteEvent, Slot},
    deadlines::Timer,
    group::MemberResult,
    moment::Moment,
    output::{DriveResult, GroupIndex, Next, OutputIndex, Writing, is_on},
    slots::CommandId,
};

/// Writes of outputs that may stand in the queue in front of one adapter at a time. The queue is
/// longer (256), so that reads and values find room.
const MOST_WRITES: usize = 24;
/// Of these, as many may come from rules and groups.
const MOST_RULE_WRITES: usize = 16;

/// A command that somebody waits for and that waited longer for room is not begun any more: the
/// adapter takes up to 3.5 s, and the core answers after 4 s (design: a command answered with an
/// error is never executed later).
const LANE_PATIENCE: Duration = Duration::from_millis(500);

/// Writes of the outputs of one adapter.
#[derive(Debug, Default)]
pub(super) struct Lane {
    under_way: usize,
    /// Outputs that are to be driven when there is room, each once, and since when somebody waits
    /// for it.
    waiting: VecDeque<(OutputIndex, Option<Moment>)>,
}

impl Site {
    /// Looks at an output once more: something that concerns it has changed, or its time has come.
    pub(super) fn drive(&mut self, index: OutputIndex, now: Now) {
        self.judge_interlocks(index, now);
        if let Some((request, result)) = self.output_mut(index).take_overruled_waiter(now) {
            self.dirty_outputs = true;
            self.answer_waiter(request, index, result, now);
        }
        self.arm_late(index, now);
        self.note_ended(index);
        self.note_overruled(index);
        self.judge_alarms(index, now);
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
                if let Some(turn) = self.wait_for_turn(index, slot, &value, now) {
                    return self.deadlines.set(Timer::Drive(index), turn);
                }
                self.deadlines.clear(Timer::Drive(index));
                if self.has_room(index, now) {
                    self.dispatch(index, value, slot, command, now);
                }
            }
        }
    }

    /// Members of a group are switched one after the other, whatever it was that they waited for:
    /// takes a turn where the output has none, or something else has outlasted it.
    fn wait_for_turn(
        &mut self,
        index: OutputIndex,
        slot: Slot,
        value: &Value,
        now: Now,
    ) -> Option<Moment> {
        let now = Moment::of(now);
        let (group, turn) = self.output(index).turn(slot, value)?;
        if turn.is_some_and(|turn| self.group(group).is_current(turn, now)) {
            return None;
        }
        let turn = self.group_mut(group).pace(now);
        self.output_mut(index).set_turn((group, turn));
        Some(turn).filter(|turn| *turn > now)
    }

    /// Whether the queue in front of the adapter can take one more; else the output is driven when
    /// an earlier one has been answered. Commands that somebody waits for go before the others.
    fn has_room(&mut self, index: OutputIndex, now: Now) -> bool {
        let urgent = self.output(index).has_waiter();
        let lane = self
            .lanes
            .entry(self.output(index).config.adapter)
            .or_default();
        let room = lane.under_way
            < if urgent {
                MOST_WRITES
            } else {
                MOST_RULE_WRITES
            };
        let earlier = lane
            .waiting
            .iter()
            .position(|(waiting, _)| *waiting == index);
        let known = earlier.and_then(|at| lane.waiting.remove(at));
        // Since when somebody waits for it, which a command that comes to a waiting output begins.
        let since = known.map(|(_, since)| since);
        if room {
            return true;
        }
        let somebody_since = since.flatten().or_else(|| urgent.then(|| Moment::of(now)));
        match (urgent, earlier) {
            (true, _) => lane.waiting.push_front((index, somebody_since)),
            (false, Some(at)) => lane.waiting.insert(at, (index, None)),
            (false, None) => lane.waiting.push_back((index, None)),
        }
        false
    }

    /// A write of an output was answered: the next one that waits for the same adapter goes.
    pub(super) fn next_in_lane(&mut self, adapter: AdapterId, now: Now) {
        let Some(lane) = self.lanes.get_mut(&adapter) else {
            return;
        };
        lane.under_way = lane.under_way.saturating_sub(1);
        // One that has nothing to write any more leaves its place to the next.
        while let Some((index, since)) = self.next_with_room(adapter) {
            if since.is_some_and(|since| since.plus(LANE_PATIENCE) <= Moment::of(now)) {
                self.refuse_late(index, now);
            }
            self.drive(index, now);
        }
    }

    fn next_with_room(&mut self, adapter: AdapterId) -> Option<(OutputIndex, Option<Moment>)> {
        let lane = self.lanes.get_mut(&adapter)?;
        let (_, since) = lane.waiting.front()?;
        let most = if since.is_some() {
            MOST_WRITES
        } else {
            MOST_RULE_WRITES
        };
        if lane.under_way < most {
            lane.waiting.pop_front()
        } else {
            None
        }
    }

    /// Withdraws a command that waited too long for room in front of its adapter.
    fn refuse_late(&mut self, index: OutputIndex, now: Now) {
        if let Some(request) = self.output_mut(index).take_late_waiter(now) {
            self.dirty_outputs = true;
            self.rearm_hold(index);
            self.answer_waiter(request, index, Err(Fault::Busy), now);
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
        let switches_on = is_on(&value);
        self.ask(adapter, action, Purpose::Drive(index), now);
        self.lanes.entry(adapter).or_default().under_way += 1;
        self.dirty |= self.output(index).armed().is_some();
        let (paced_by, replaced) = self
            .output_mut(index)
            .on_dispatch(value, slot, command, now);
        if let Some(group) = paced_by {
            self.group_mut(group).on_switched(Moment::of(now));
        }
        if switches_on {
            self.take_interlocks(index, now);
        }
        // Guard times must not be forgotten by a power cut in mid-write.
        self.dirty_outputs |= self.output(index).guard.is_some();
        self.answer_replaced(replaced, index, now);
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
            self.dirty_outputs = true;
            self.answer_waiter(request, index, refusal.map_or(Ok(()), Err), now);
            self.drive(index, now);
        }
    }

    /// The adapter has answered a write of this output.
    pub(super) fn on_driven(&mut self, index: OutputIndex, result: Result<(), Fault>, now: Now) {
        self.dirty_outputs |= self.output(index).guard.is_some();
        let was_kept = self.output(index).armed_to_keep().is_some();
        let was_armed = self.output(index).armed_or_begun().is_some();
        match result {
            Ok(()) => self.on_driven_well(index, now),
            Err(fault) => self.on_driven_badly(index, &fault, now),
        }
        if was_kept && self.output(index).armed_to_keep().is_none() {
            self.on_carried_out(index, was_armed);
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
        // Whoever wanted it: the device is as safe as it was to be.
        let output = self.output(index);
        let fail_safe = output.slots.get(Slot::DeviceFailSafe);
        if fail_safe.is_some_and(|entry| output.in_effect.as_ref() == Some(&entry.value)) {
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
        // So that people are told when it does again what it should.
        self.output_mut(index).announced = None;
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
            self.dirty_outputs = true;
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
        self.dirty_outputs |= expired;
        if self.output(index).slots.get(Slot::HandSwitch).is_none() {
            self.fill_hand(index, now);
        }
        self.rearm_hold(index);
        self.answer_replaced(waiter, index, now);
        self.drive(index, now);
    }

    /// The date can be believed: guards need not count as just now what they know to be long ago, and
    /// what they know is kept with this date.
    pub(super) fn on_dated(&mut self, now: Now) {
        for index in self.indices() {
            if self.output(index).guard.is_none() {
                continue;
            }
            self.dirty_outputs = true;
            if self.output_mut(index).on_dated(now) {
                self.drive(index, now);
            }
        }
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

    /// What groups wanted of this member, and has left its slot before it was carried out.
    fn note_ended(&mut self, index: OutputIndex) {
        let current = self
            .output(index)
            .slots
            .get(Slot::GroupCommand)
            .map(|entry| entry.id);
        for group in self.output(index).groups.clone() {
            let gone = self
                .group(group)
                .command
                .as_ref()
                .is_some_and(|command| Some(command.id) != current);
            let result = if current.is_some() {
                MemberResult::Replaced
            } else {
                MemberResult::Ended
            };
            match self.group(group).result(index) {
                Some(MemberResult::Failed(_) | MemberResult::Guarded | MemberResult::Pending)
                    if gone =>
                {
                    self.set_result(group, index, result);
                }
                Some(
                    MemberResult::Done
                    | MemberResult::Ended
                    | MemberResult::Failed(_)
                    | MemberResult::Guarded
                    | MemberResult::None
                    | MemberResult::Overruled(_)
                    | MemberResult::Pending
                    | MemberResult::Replaced,
                )
                | None => {}
            }
        }
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
