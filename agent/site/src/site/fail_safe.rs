//! What happens to outputs when their device, or every server, is lost.
//!
//! A command does not outlive the loss of its device by more than the fail-safe's time: then it is
//! released, and the device is put into its safe state as soon as it can be told. When it has
//! accepted that, the slot is left again and rules and new commands decide.
//! Without servers the site's own rules go on; after the output's time, servers' commands end.

use std::time::Duration;

use lamplighter_model::{
    Now,
    device::{AdapterId, LinkState, Origin},
};

use super::Site;
use crate::{
    boundary::{FailSafeOn, Slot},
    deadlines::Timer,
    moment::Moment,
    output::OutputIndex,
    slots::Entry,
};

/// design: "for the output's own time (default 4 h)".
const SERVER_LOST_AFTER: Duration = Duration::from_secs(4 * 3600);

/// Who it was, in words.
const DEVICE_LOST: &str = "device lost";
const SERVER_LOST: &str = "server lost";

impl Site {
    pub(super) fn on_link(&mut self, adapter: AdapterId, state: LinkState, now: Now) {
        let before = self
            .links
            .insert(adapter, state)
            .unwrap_or(LinkState::Starting);
        if before == state {
            return;
        }
        if state == LinkState::Offline {
            self.on_inputs_lost(adapter, now);
        }
        for index in self.outputs_of(adapter) {
            match (before, state) {
                (LinkState::Offline, LinkState::Online) => self.on_device_back(index, now),
                (
                    LinkState::Starting | LinkState::Suspect | LinkState::Online,
                    LinkState::Online,
                ) => {
                    self.deadlines.clear(Timer::DeviceLost(index));
                    self.output_mut(index).end_pause();
                    self.drive(index, now);
                }
                (_, LinkState::Offline) => {
                    self.output_mut(index).contact.on_lost();
                    self.judge_interlocks(index, now);
                    self.start_device_lost(index, now);
                }
                (_, LinkState::Starting | LinkState::Suspect) => {}
            }
        }
    }

    fn start_device_lost(&mut self, index: OutputIndex, now: Now) {
        if let Some(after) = self.output(index).fail_safe_after(FailSafeOn::DeviceLost) {
            self.deadlines
                .set(Timer::DeviceLost(index), Moment::of(now).plus(after));
        }
    }

    pub(super) fn on_device_lost(&mut self, index: OutputIndex, now: Now) {
        self.fill(index, Slot::DeviceFailSafe, DEVICE_LOST, now);
        self.disarm(index, Some(&Origin::Rule(DEVICE_LOST.to_owned())));
        let output = self.output_mut(index);
        output.slots.clear(Slot::GroupCommand);
        let waiter = output.release_command();
        self.dirty_outputs = true;
        self.rearm_hold(index);
        self.answer_replaced(waiter, index, now);
        self.drive(index, now);
    }

    /// The safe state has been accepted by a device that is there.
    pub(super) fn end_device_lost(&mut self, index: OutputIndex) {
        if self.links.get(&self.output(index).config.adapter) != Some(&LinkState::Offline) {
            self.output_mut(index).slots.clear(Slot::DeviceFailSafe);
            self.dirty_outputs = true;
        }
    }

    fn on_device_back(&mut self, index: OutputIndex, now: Now) {
        self.deadlines.clear(Timer::DeviceLost(index));
        self.output_mut(index).on_lost(now);
        self.reassert(index, now);
    }

    pub(super) fn on_server_contact(&mut self, contact: bool, now: Now) {
        if contact {
            self.servers_lost = None;
            for index in self.indices() {
                self.deadlines.clear(Timer::ServerLost(index));
                if self.output(index).slots.get(Slot::ServerLost).is_some() {
                    self.output_mut(index).slots.clear(Slot::ServerLost);
                    self.dirty_outputs = true;
                    self.drive(index, now);
                }
            }
            return;
        }
        if self.servers_lost.is_some() {
            return;
        }
        self.servers_lost = Some(Moment::of(now));
        for index in self.indices() {
            let after = self
                .output(index)
                .fail_safe_after(FailSafeOn::ServerLost)
                .unwrap_or(SERVER_LOST_AFTER);
            self.deadlines
                .set(Timer::ServerLost(index), Moment::of(now).plus(after));
        }
    }

    /// The output's time without a server has passed: servers' commands end if anything else is
    /// there to decide. An output that nothing else decides stays as it is.
    pub(super) fn on_server_lost(&mut self, index: OutputIndex, now: Now) {
        let falls_back = self.output(index).fail_safe_after(FailSafeOn::ServerLost);
        if falls_back.is_some() {
            self.fill(index, Slot::ServerLost, SERVER_LOST, now);
        }
        let slots = &self.output(index).slots;
        let takes_over = [Slot::Schedule, Slot::Thermostat, Slot::ServerLost];
        if takes_over.into_iter().all(|slot| slots.get(slot).is_none()) {
            return;
        }
        let of_server = |slot| {
            slots
                .get(slot)
                .is_some_and(|entry| matches!(entry.by, Origin::Server(_)))
        };
        let (single, group) = (of_server(Slot::Command), of_server(Slot::GroupCommand));
        let armed = self.output(index).armed_or_begun();
        if armed.is_some_and(|armed| matches!(armed.entry.by, Origin::Server(_))) {
            self.disarm(index, Some(&Origin::Rule(SERVER_LOST.to_owned())));
        }
        if falls_back.is_none() && !single && !group {
            return;
        }
        let output = self.output_mut(index);
        let waiter = if single {
            output.release_command()
        } else {
            None
        };
        if group {
            output.slots.clear(Slot::GroupCommand);
        }
        self.dirty_outputs = true;
        self.answer_replaced(waiter, index, now);
        self.rearm_hold(index);
        self.drive(index, now);
    }

    fn fill(&mut self, index: OutputIndex, slot: Slot, rule: &str, now: Now) {
        let Some(fail_safe) = self.output(index).config.fail_safe.clone() else {
            return;
        };
        let output = self.output(index);
        let Ok(value) = fail_safe.value.fit(output.data_type) else {
            return;
        };
        let value = output.nearest(value);
        let by = Origin::Rule(rule.to_owned());
        let entry = Entry {
            id: self.new_command(),
            value,
            by,
            since: Moment::of(now),
            until: None,
            group: None,
        };
        self.output_mut(index).slots.set(slot, entry);
    }
}
