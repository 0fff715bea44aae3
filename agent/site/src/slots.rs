//! The table of slots that decides what an output does: the highest occupied one wins.

use lamplighter_model::{Now, Value, device::Origin};

use crate::{boundary::Slot, moment::Moment, output::GroupIndex};

/// Identifies one command as long as it stands in slots; unique within a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CommandId(pub(crate) u64);

/// The content of an occupied slot.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: CommandId,
    pub(crate) value: Value,
    pub(crate) by: Origin,
    pub(crate) since: Moment,
    pub(crate) until: Option<Moment>,
    /// The group whose command this is.
    pub(crate) group: Option<GroupIndex>,
}

/// The table that decides what an output does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots([Option<Entry>; Slot::ALL.len()]);

impl Slots {
    pub(crate) const fn get(&self, slot: Slot) -> Option<&Entry> {
        self.0[slot as usize].as_ref()
    }

    pub(crate) fn set(&mut self, slot: Slot, entry: Entry) {
        self.0[slot as usize] = Some(entry);
    }

    pub(crate) fn clear(&mut self, slot: Slot) -> Option<Entry> {
        self.0[slot as usize].take()
    }

    /// The highest occupied slot.
    pub(crate) fn winner(&self) -> Option<(Slot, &Entry)> {
        self.occupied().next()
    }

    /// All occupied slots, the winner first.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        Slot::ALL
            .into_iter()
            .filter_map(|slot| Some((slot, self.get(slot)?)))
    }

    /// What keeps a command of this slot from being obeyed: a higher slot that wants something else.
    pub(crate) fn overrules(&self, slot: Slot, value: &Value) -> Option<(Slot, &Entry)> {
        self.winner()
            .filter(|(winner, entry)| *winner < slot && entry.value != *value)
    }

    /// Empties the slots whose time has come; true if there were any.
    pub(crate) fn expire(&mut self, now: Now) -> bool {
        let mut expired = false;
        for slot in &mut self.0 {
            if slot.as_ref().is_some_and(|entry| entry.has_ended(now)) {
                *slot = None;
                expired = true;
            }
        }
        expired
    }

    pub(crate) fn next_end(&self) -> Option<Moment> {
        self.0
            .iter()
            .flatten()
            .filter_map(|entry| entry.until)
            .min()
    }
}

impl Entry {
    pub(crate) fn has_ended(&self, now: Now) -> bool {
        self.until.is_some_and(|until| until <= Moment::of(now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lamplighter_model::Ssid;

    use super::*;

    fn entry(on: bool) -> Entry {
        Entry {
            id: CommandId(0),
            value: Value::Boolean(on),
            by: Origin::Server(Ssid(1)),
            since: Moment::at(Duration::ZERO),
            until: None,
            group: None,
        }
    }

    #[test]
    fn of_every_pair_of_sources_the_higher_decides_whichever_came_first() {
        for (at, higher) in Slot::ALL.into_iter().enumerate() {
            for lower in Slot::ALL.into_iter().skip(at + 1) {
                for first in [higher, lower] {
                    let mut slots = Slots::default();
                    slots.set(first, entry(first == higher));
                    let second = if first == higher { lower } else { higher };
                    slots.set(second, entry(second == higher));
                    let winner = slots
                        .winner()
                        .map(|(slot, entry)| (slot, entry.value.clone()));
                    assert_eq!(
                        winner,
                        Some((higher, Value::Boolean(true))),
                        "{higher} over {lower}"
                    );
                    assert!(slots.overrules(lower, &Value::Boolean(false)).is_some());
                    assert!(slots.overrules(higher, &Value::Boolean(false)).is_none());
                    slots.clear(higher);
                    assert_eq!(slots.winner().map(|(slot, _)| slot), Some(lower));
                }
            }
        }
    }

    #[test]
    fn a_lock_lets_pass_what_it_wants_itself() {
        let mut slots = Slots::default();
        slots.set(Slot::MaintenanceLock, entry(false));
        assert!(
            slots
                .overrules(Slot::Command, &Value::Boolean(false))
                .is_none()
        );
        assert!(
            slots
                .overrules(Slot::Command, &Value::Boolean(true))
                .is_some()
        );
    }
}
