//! What waits for the supervisor, within bounds whatever a program says meanwhile.

use std::collections::VecDeque;

use lamplighter_model::device::Declared;

use crate::Wake;

/// Samples, declarations and states of the link that wait, beside the newest; older samples make
/// room.
pub(super) const PENDING_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Pending {
    wakes: VecDeque<Wake>,
    size: usize,
}

impl Pending {
    /// Gives back how many batches of samples had to make room.
    pub(super) fn push(&mut self, wake: Wake) -> u64 {
        self.size += size(&wake);
        self.wakes.push_back(wake);
        let mut dropped = 0;
        while self.size > PENDING_MAX {
            let is_news = |wake: &Wake| matches!(wake, Wake::News(_));
            let mut older = self.wakes.iter().take(self.wakes.len() - 1);
            let Some(at) = older.position(is_news) else {
                self.condense();
                break;
            };
            let news = self.wakes.remove(at);
            self.size -= news.as_ref().map_or(0, size);
            dropped += 1;
        }
        dropped
    }

    pub(super) fn pop(&mut self) -> Option<Wake> {
        let wake = self.wakes.pop_front()?;
        self.size -= size(&wake);
        Some(wake)
    }

    /// What all changes come to, the last state of the link, and samples where they are the newest.
    /// What exists is limited elsewhere.
    fn condense(&mut self) {
        let mut all = Declared::default();
        let (mut link, mut news) = (None, None);
        for wake in std::mem::take(&mut self.wakes) {
            match wake {
                Wake::Declared(change) => merge(&mut all, change),
                Wake::Alive | Wake::Lost(_) => link = Some(wake),
                Wake::News(_) => news = Some(wake),
                Wake::Due(..) => {}
            }
        }
        if all != Declared::default() {
            self.wakes.push_back(Wake::Declared(all));
        }
        self.wakes.extend(link.into_iter().chain(news));
        self.size = self.wakes.iter().map(size).sum();
    }
}

fn size(wake: &Wake) -> usize {
    match wake {
        Wake::Alive | Wake::Due(..) | Wake::Lost(_) => 1,
        Wake::Declared(change) => 1 + change.added.len() + change.removed.len(),
        Wake::News(samples) => 1 + samples.len(),
    }
}

/// Both changes as one; what came and went between is none.
fn merge(all: &mut Declared, next: Declared) {
    for address in next.removed {
        let before = all.added.len();
        all.added.retain(|added| added.address != address);
        if all.added.len() == before && !all.removed.contains(&address) {
            all.removed.push(address);
        }
    }
    all.added.extend(next.added);
}

#[cfg(test)]
mod tests {
    use lamplighter_model::{
        BootId, ResourceAddress, Sample, Stamp, Value, device::Declaration, object::Operations,
    };

    use super::*;

    fn address(instance: u16) -> ResourceAddress {
        ResourceAddress::gateway(3303, instance, 5700)
    }

    fn declared(added: &[u16], removed: &[u16]) -> Declared {
        let added = added.iter().map(|instance| Declaration {
            address: address(*instance),
            operations: Operations::R,
        });
        Declared {
            added: added.collect(),
            removed: removed.iter().copied().map(address).collect(),
        }
    }

    fn news(value: f64) -> Wake {
        let at = Stamp {
            boot: BootId(1),
            mono: std::time::Duration::ZERO,
        };
        Wake::News(vec![Sample::good(address(1), Value::Float(value), at)])
    }

    fn all(pending: &mut Pending) -> Vec<Wake> {
        std::iter::from_fn(|| pending.pop()).collect()
    }

    #[test]
    fn older_samples_make_room_for_newer_ones() {
        let mut pending = Pending::default();
        pending.push(Wake::Declared(declared(&[1], &[])));
        let values = (0..10_000).map(f64::from);
        let dropped: u64 = values.map(|value| pending.push(news(value))).sum();
        let kept = all(&mut pending);
        assert_eq!(kept.len() as u64, 10_001 - dropped);
        assert_eq!(kept[0], Wake::Declared(declared(&[1], &[])));
        assert_eq!(kept.last(), Some(&news(9999.0)));
        assert_eq!(pending.size, 0);
    }

    #[test]
    fn a_link_that_comes_and_goes_leaves_its_last_state() {
        let mut pending = Pending::default();
        pending.push(Wake::Declared(declared(&[1, 2], &[])));
        for _ in 0..100_000 {
            pending.push(Wake::Alive);
            pending.push(Wake::Lost("x".to_owned()));
            assert!(pending.wakes.len() <= PENDING_MAX);
        }
        let kept = all(&mut pending);
        assert!(kept.contains(&Wake::Declared(declared(&[1, 2], &[]))));
        assert_eq!(kept.last(), Some(&Wake::Lost("x".to_owned())));
    }

    #[test]
    fn declarations_that_come_and_go_come_to_what_is_left() {
        let mut pending = Pending::default();
        pending.push(Wake::Declared(declared(&[], &[9])));
        for instance in 0..60_000 {
            pending.push(Wake::Declared(declared(&[instance], &[])));
            pending.push(Wake::Declared(declared(&[], &[instance])));
            assert!(pending.size <= PENDING_MAX);
        }
        pending.push(Wake::Declared(declared(&[9], &[])));
        let mut sum = Declared::default();
        for wake in all(&mut pending) {
            let Wake::Declared(change) = wake else {
                panic!("{wake:?}")
            };
            merge(&mut sum, change);
        }
        assert_eq!(sum, declared(&[9], &[9]), "first gone, then there again");
    }
}
