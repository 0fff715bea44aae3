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

/// The table that decides what an output does: its occupied slots, the highest first. Most have one
/// or two of ten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    occupied: Vec<(Slot, Entry)>,
    /// Something has changed that is kept over a restart.
    is_unkept: bool,
}

impl Slots {
    pub(crate) fn get(&self, slot: Slot) -> Option<&Entry> {
        let at = self.place(slot).ok()?;
        Some(&self.occupied[at].1)
    }

    pub(crate) fn set(&mut self, slot: Slot, entry: Entry) {
        self.is_unkept |= slot.is_kept();
        match self.place(slot) {
            Ok(at) => self.occupied[at].1 = entry,
            Err(at) => {
                self.occupied.reserve_exact(1);
                self.occupied.insert(at, (slot, entry));
            }
        }
    }

    pub(crate) fn clear(&mut self, slot: Slot) -> Option<Entry> {
        let at = self.place(slot).ok()?;
        self.is_unkept |= slot.is_kept();
        Some(self.occupied.remove(at).1)
    }

    fn place(&self, slot: Slot) -> Result<usize, usize> {
        let of_entry = |(known, _): &(Slot, Entry)| *known;
        self.occupied.binary_search_by_key(&slot, of_entry)
    }

    /// Whether anything has changed that is kept, since this was last asked.
    pub(crate) const fn take_unkept(&mut self) -> bool {
        std::mem::replace(&mut self.is_unkept, false)
    }

    /// The highest occupied slot.
    pub(crate) fn winner(&self) -> Option<(Slot, &Entry)> {
        self.occupied().next()
    }

    /// All occupied slots, the winner first.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        self.occupied.iter().map(|(slot, entry)| (*slot, entry))
    }

    /// What keeps a command of this slot from being obeyed: a higher slot that wants something else.
    pub(crate) fn overrules(&self, slot: Slot, value: &Value) -> Option<(Slot, &Entry)> {
        self.winner()
            .filter(|(winner, entry)| *winner < slot && entry.value != *value)
    }

    /// Empties the slots whose time has come; true if there were any.
    pub(crate) fn expire(&mut self, now: Now) -> bool {
        let Self {
            occupied,
            is_unkept,
        } = self;
        let before = occupied.len();
        occupied.retain(|(slot, entry)| {
            let ends = entry.has_ended(now);
            *is_unkept |= ends && slot.is_kept();
            !ends
        });
        occupied.len() < before
    }

    pub(crate) fn next_end(&self) -> Option<Moment> {
        let ends = self.occupied.iter();
        ends.filter_map(|(_, entry)| entry.until).min()
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
