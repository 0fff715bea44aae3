//! Why an output does not do what somebody wants, in words.

use std::time::Duration;

use lamplighter_model::{
    Now, Value,
    device::{Fault, Origin},
};

use super::{Output, is_on};
use crate::{
    boundary::{Slot, WhileWaiting},
    moment::Moment,
    slots::Entry,
};

impl Output {
    /// Why a command of this value is refused now.
    pub(crate) fn refusal(&self, value: &Value, now: Now) -> Option<Fault> {
        if !self.present {
            return Some(Fault::Unreachable);
        }
        if let Some(fault) = self.held_against(value, now) {
            return Some(fault);
        }
        let guard = self.guard.as_ref()?;
        let wait = guard.free_at(is_on(value), now);
        match guard.rule().while_waiting {
            WhileWaiting::Queue => None,
            WhileWaiting::Reject if wait <= Moment::of(now) => None,
            WhileWaiting::Reject => {
                let retry_after = Some(Moment::of(now).until(wait));
                let reason = format!(
                    "the guard of {} waits{}",
                    self.config.name,
                    left(retry_after)
                );
                Some(Fault::Refused {
                    reason,
                    retry_after,
                })
            }
        }
    }

    /// Why a command of this value would be overruled by a higher slot.
    pub(crate) fn held_against(&self, value: &Value, now: Now) -> Option<Fault> {
        let (slot, entry) = self.slots.overrules(Slot::Command, value)?;
        let retry_after = entry.until.map(|until| Moment::of(now).until(until));
        let reason = format!("{}{}", self.held_by(slot, entry), left(retry_after));
        Some(Fault::Refused {
            reason,
            retry_after,
        })
    }

    /// Who holds it against a command, in words.
    pub(crate) fn held_by(&self, slot: Slot, entry: &Entry) -> String {
        let name = &self.config.name;
        match slot {
            Slot::HandSwitch if is_on(&entry.value) => "hand switch on".to_owned(),
            Slot::HandSwitch => "hand switch off".to_owned(),
            Slot::Interlock => self.block.as_ref().map_or_else(
                || format!("{name} is held by its {slot}"),
                |block| block.reason.clone(),
            ),
            Slot::MaintenanceLock => match &entry.by {
                Origin::Local(user) => format!("{name} is locked for maintenance by {user}"),
                Origin::Mqtt | Origin::Rule(_) | Origin::Server(_) => {
                    format!("{name} is locked for maintenance")
                }
            },
            Slot::Command
            | Slot::Default
            | Slot::DeviceFailSafe
            | Slot::GroupCommand
            | Slot::Schedule
            | Slot::ServerLost
            | Slot::Thermostat => format!("{name} is held by its {slot}"),
        }
    }

    /// What of interlock, lock and hand switch keeps it from what anything below wants.
    pub(crate) fn held_in_words(&self, now: Now) -> Option<String> {
        let (slot, winner) = self.slots.winner()?;
        if let Some(until) = self.power_wait(slot, winner, now) {
            let time = left(Some(Moment::of(now).until(until)));
            return Some(format!("waits after the return of power{time}"));
        }
        let held = self
            .slots
            .occupied()
            .any(|(_, entry)| entry.value != winner.value);
        (slot <= Slot::HandSwitch && held).then(|| self.held_by(slot, winner))
    }
}

/// The rest of a sentence about something that ends by itself.
pub(crate) fn left(time: Option<Duration>) -> String {
    match time.map(|time| time.as_secs()) {
        None => String::new(),
        Some(seconds) if seconds >= 120 => format!(", {} min left", seconds.div_ceil(60)),
        Some(seconds) => format!(", {} s left", seconds.max(1)),
    }
}
