//! What of an output survives a restart.

use lamplighter_model::Now;

use super::{GroupIndex, Output};
use crate::{
    boundary::Slot,
    saved::{SavedEnd, SavedOutput, SavedSlot},
    slots::Entry,
};

impl Output {
    /// Fills a slot with what stood there before the restart.
    pub(crate) fn restore_slot(&mut self, slot: Slot, entry: Entry) {
        if slot == Slot::Command {
            self.accepted = Some(entry.clone());
        }
        self.slots.set(slot, entry);
    }

    /// Whether anything has changed that is kept, since this was last asked.
    pub(crate) fn take_unkept(&mut self) -> bool {
        let of_guard = self.guard.as_mut().map(|guard| guard.take_unkept());
        let of_others = [self.slots.take_unkept(), self.counters.take_unkept()];
        of_guard == Some(true) || of_others.contains(&true)
    }

    pub(crate) fn to_saved(
        &self,
        group_name: impl Fn(GroupIndex) -> Option<String>,
        dated: bool,
        now: Now,
    ) -> SavedOutput {
        let kept = self.slots.occupied().filter(|(slot, _)| slot.is_kept());
        let slots = kept.map(|(slot, entry)| SavedSlot {
            slot,
            value: entry.value.clone(),
            by: entry.by.clone(),
            since: entry.since.to_saved(now),
            until: entry.until.map(|end| SavedEnd::of(end, now)),
            group: entry.group.and_then(&group_name),
        });
        SavedOutput {
            slots: slots.collect(),
            guard: self.guard.as_ref().map(|guard| guard.to_saved(dated, now)),
            counters: self.counters.to_saved(now),
        }
    }
}
