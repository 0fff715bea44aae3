//! Commands of an output that wait until nothing moves.

use lamplighter_model::{Now, Value};

use super::{Output, is_on};
use crate::{
    boundary::Slot,
    moment::Moment,
    slots::{CommandId, Entry},
    standstill::Armed,
};

impl Output {
    pub(crate) fn armed(&self) -> Option<&Armed> {
        self.standstill.as_ref()?.armed.as_ref()
    }

    /// Whether a command of this value has to wait for standstill: not where the output is in that
    /// state already.
    pub(crate) fn must_arm(&self, value: &Value) -> bool {
        let Some(standstill) = &self.standstill else {
            return false;
        };
        let is_so = self.actual().map(is_on) == Some(standstill.on);
        let waits = !standstill.is_still && !standstill.is_forced;
        is_on(value) == standstill.on && waits && !is_so
    }

    /// The last one that was accepted waits, whoever gave it.
    pub(crate) fn arm(&mut self, armed: Armed) {
        if let Some(standstill) = &mut self.standstill {
            standstill.armed = Some(armed);
        }
    }

    pub(crate) fn disarm(&mut self) -> Option<Armed> {
        self.standstill.as_mut()?.armed.take()
    }

    /// What decides now: the highest occupied slot, or a command that has waited for standstill.
    pub(super) fn decisive(&self) -> Option<(Slot, &Entry)> {
        let winner = self.slots.winner();
        let standstill = self.standstill.as_ref();
        let armed = standstill.filter(|standstill| standstill.is_still);
        let armed = armed.and_then(|standstill| standstill.armed.as_ref());
        let is_free = winner.is_none_or(|(slot, _)| slot >= Slot::Command);
        armed
            .filter(|_| is_free)
            .map(|armed| (Slot::Command, &armed.entry))
            .or(winner)
    }

    /// A command that has waited was carried out: from now on it is one like any other.
    pub(super) fn take_carried_out(&mut self, command: CommandId, now: Now) {
        let armed = self.armed().filter(|armed| armed.entry.id == command);
        if armed.is_none() {
            return;
        }
        let Some(Armed { mut entry, hold }) = self.disarm() else {
            return;
        };
        entry.until = hold.map(|hold| Moment::of(now).plus(hold));
        self.accepted = Some(entry.clone());
        self.slots.set(Slot::Command, entry);
    }
}
