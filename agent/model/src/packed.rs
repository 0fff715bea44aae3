//! Maps of thousands of entries that come once and stay, in as little memory as they need.

use std::{
    collections::BTreeMap,
    mem,
    ops::{Deref, DerefMut},
};

/// Built anew, each node full, after so many new entries and a part of all.
const FEW: usize = 3;
const PART: usize = 8;

/// A B-tree map that is packed now and then: one that only grows is hardly more than half full.
#[derive(Clone, Debug)]
pub struct Packed<K, V> {
    map: BTreeMap<K, V>,
    /// Entries when it was packed last.
    packed: usize,
}

impl<K: Ord, V> Packed<K, V> {
    pub const fn new() -> Self {
        Self {
            map: BTreeMap::new(),
            packed: 0,
        }
    }

    /// As that of the map.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = self.map.insert(key, value);
        self.pack();
        old
    }

    /// Packs it if enough has come; to be called after entries were made in the map itself.
    pub fn pack(&mut self) {
        let new = self.map.len().saturating_sub(self.packed);
        if new > FEW + self.map.len() / PART {
            self.map = mem::take(&mut self.map).into_iter().collect();
            self.packed = self.map.len();
        }
    }
}

impl<K: Ord, V> Default for Packed<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> Deref for Packed<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &Self::Target {
        &self.map
    }
}

impl<K, V> DerefMut for Packed<K, V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_a_map_holds_and_is_built_anew_seldom() {
        let (mut packed, mut times) = (Packed::new(), 0);
        for number in (0..2000_u32).map(|number| number * 7919 % 2000) {
            let before = packed.packed;
            assert_eq!(packed.insert(number, number), None);
            times += u32::from(packed.packed != before);
        }
        assert_eq!(packed.insert(5, 6), Some(5));
        let all: Vec<u32> = packed.values().copied().collect();
        let expected: Vec<u32> = (0..2000)
            .map(|number| if number == 5 { 6 } else { number })
            .collect();
        assert_eq!(all, expected);
        assert!(times < 60, "{times}");
        packed.retain(|number, _| *number < 10);
        assert_eq!(packed.len(), 10);
    }
}
