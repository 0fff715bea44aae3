//! Which instance of object 2 speaks of which instance. A number must not come to mean something
//! else while a server remembers it, and thousands of instances must not need thousands of records:
//! numbers are given to blocks of neighbouring instances, and only the blocks are kept.

use std::collections::{BTreeMap, BTreeSet};

use lamplighter_model::{InstancePath, ObjectId, ObjectInstanceId};

/// Blocks in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Numbers {
    blocks: Vec<Block>,
    places: BTreeMap<Block, u16>,
}

/// An object, and which sixteen of its instances.
type Block = (ObjectId, u16);

/// Instances of a block. Few, so that numbers stay short: each stands in every Register.
const SIZE: u16 = 16;
/// The last number that a block can give is 65519: 65535 is not an instance.
const MAX_BLOCKS: u16 = u16::MAX / SIZE;

impl Numbers {
    pub(super) fn restore(&mut self, blocks: &[(u16, u16)]) {
        self.blocks = blocks
            .iter()
            .take(usize::from(MAX_BLOCKS))
            .map(|(object, block)| (ObjectId(*object), *block))
            .collect();
        self.places = self.blocks.iter().copied().zip(0..).collect();
    }

    pub(super) fn saved(&self) -> Vec<(u16, u16)> {
        let plain = |(object, block): &Block| (object.0, *block);
        self.blocks.iter().map(plain).collect()
    }

    /// The instance of object 2 that is about `path`.
    pub(super) fn number(&self, path: InstancePath) -> Option<ObjectInstanceId> {
        let place = self.places.get(&block(path))?;
        Some(ObjectInstanceId(place * SIZE + path.instance.0 % SIZE))
    }

    /// What an instance of object 2 is about, whether that exists or not.
    pub(super) fn target(&self, number: ObjectInstanceId) -> Option<InstancePath> {
        let (object, block) = *self.blocks.get(usize::from(number.0 / SIZE))?;
        // A damaged file may name a block that cannot be.
        let first = block.checked_mul(SIZE)?;
        Some(InstancePath {
            object,
            instance: ObjectInstanceId(first + number.0 % SIZE),
        })
    }

    /// Gives numbers to all that exists. True where there was something new. A block of which
    /// nothing exists gives its numbers away when there are no others left.
    pub(super) fn reserve(&mut self, existing: impl Iterator<Item = InstancePath>) -> bool {
        let needed: BTreeSet<Block> = existing.map(block).collect();
        let new: Vec<Block> = needed
            .iter()
            .copied()
            .filter(|block| !self.places.contains_key(block))
            .collect();
        for block in &new {
            self.place(*block, &needed);
        }
        !new.is_empty()
    }

    fn place(&mut self, block: Block, needed: &BTreeSet<Block>) {
        let count = self.blocks.len() as u16;
        if count < MAX_BLOCKS {
            self.blocks.push(block);
            self.places.insert(block, count);
            return;
        }
        let Some(free) = self.blocks.iter().position(|known| !needed.contains(known)) else {
            tracing::warn!(object = %block.0, "No number of object 2 is left: nobody has rights on its instances");
            return;
        };
        self.places.remove(&self.blocks[free]);
        self.blocks[free] = block;
        self.places.insert(block, free as u16);
    }
}

const fn block(path: InstancePath) -> Block {
    (path.object, path.instance.0 / SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(instances: &[(u16, u16)]) -> impl Iterator<Item = InstancePath> {
        instances
            .iter()
            .map(|(object, instance)| InstancePath::new(*object, *instance))
    }

    #[test]
    fn a_number_leads_back_to_its_instance_and_outlives_a_restart() {
        let mut numbers = Numbers::default();
        let instances = [(3, 0), (3416, 7), (3416, 1999), (3416, u16::MAX)];
        assert!(numbers.reserve(all(&instances)));
        assert!(!numbers.reserve(all(&[(3416, 1), (3, 0)])), "known blocks");
        let mut restored = Numbers::default();
        restored.restore(&numbers.saved());
        for path in all(&instances) {
            let number = restored.number(path).expect("a number");
            assert_eq!(restored.target(number), Some(path));
            assert_eq!(numbers.number(path), Some(number));
        }
        assert_eq!(restored.number(InstancePath::new(3416, 100)), None);
        assert_eq!(restored.target(ObjectInstanceId(u16::MAX)), None);
    }

    #[test]
    fn a_damaged_block_speaks_of_nothing() {
        let mut numbers = Numbers::default();
        numbers.restore(&[(3416, u16::MAX), (3, 0)]);
        assert_eq!(numbers.target(ObjectInstanceId(0)), None);
        assert_eq!(
            numbers.target(ObjectInstanceId(SIZE)),
            Some(InstancePath::new(3, 0))
        );
    }

    #[test]
    fn two_thousand_lamps_take_125_blocks() {
        let mut numbers = Numbers::default();
        numbers.reserve((0..2000).map(|lamp| InstancePath::new(3416, lamp)));
        assert_eq!(numbers.saved().len(), 125);
    }

    #[test]
    fn numbers_of_what_is_gone_are_given_away_only_when_no_others_are_left() {
        let mut numbers = Numbers::default();
        numbers.reserve(all(&[(3, 0)]));
        let kept = numbers.number(InstancePath::new(3, 0));
        // A server that makes and deletes instances for ever.
        for instance in (0..u16::MAX).step_by(16) {
            numbers.reserve(all(&[(3, 0), (16, instance)]));
        }
        assert_eq!(numbers.number(InstancePath::new(3, 0)), kept);
        assert_eq!(numbers.saved().len(), usize::from(MAX_BLOCKS));
        let newest = InstancePath::new(16, 65_520);
        let number = numbers.number(newest).expect("a number");
        assert_eq!(numbers.target(number), Some(newest));
        assert_eq!(numbers.number(InstancePath::new(16, 0)), None);
    }
}
