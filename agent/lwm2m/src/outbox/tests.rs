//! Numbered samples through a queue that is doubted, parked, read again and restarted.

use std::collections::{BTreeMap, BTreeSet};

use lamplighter_model::{ResourceAddress, Sample, Stamp, Value};
use proptest::prelude::*;

use super::*;

mod numbers;

const PARTS: u16 = 3;

#[derive(Clone, Debug)]
enum Act {
    /// A sample of this part, told at once where nothing older waits.
    Measure(u16),
    /// So many of those that wait are told and confirmed; those without a way are passed by.
    Deliver(usize),
    Confirm,
    Doubt,
    Fetch,
    /// The first that waits and has no way is passed by, while others are not confirmed yet.
    PassBy,
    /// There is a way for a part, or none any more.
    Way(u16, bool),
    Reread,
    Restart,
    /// The store drops its oldest.
    Drop(usize),
}

/// The store, the server, and what is told to it without any confirmation.
#[derive(Debug, Default)]
struct World {
    outbox: Outbox,
    dropped: u64,
    kept: BTreeMap<u64, Kept>,
    measured: u64,
    /// What the server has for certain, by part.
    arrived: BTreeMap<u16, Vec<u64>>,
    /// Told and not confirmed.
    flying: Vec<u64>,
    no_way: BTreeSet<u16>,
    next: u64,
}

fn part_of(kept: &Kept) -> u16 {
    kept.sample.address.path.instance.instance.0
}

impl World {
    fn act(&mut self, act: &Act) {
        match act {
            Act::Measure(part) => self.measure(*part),
            Act::Deliver(count) => self.deliver(*count),
            Act::Confirm => self.confirm(),
            Act::Doubt => {
                self.flying.clear();
                self.outbox.doubt();
            }
            Act::Fetch => self.fetch(),
            Act::PassBy => self.pass_by(),
            Act::Way(part, true) => {
                self.no_way.remove(part);
            }
            Act::Way(part, false) => {
                self.no_way.insert(*part);
            }
            Act::Reread => self.reread(),
            Act::Restart => self.restart(),
            Act::Drop(count) => self.drop_oldest(*count),
        }
        self.forget();
    }

    fn measure(&mut self, part: u16) {
        let address = ResourceAddress::gateway(3303, part, 5700);
        let value = Value::Integer(i64::try_from(self.measured).unwrap());
        let sample = Sample::good(address, value, Stamp::default());
        self.measured += 1;
        // A sample can be told at once only where there is a way and nothing of it is parked.
        let is_live = self.outbox.is_drained()
            && !self.no_way.contains(&part)
            && !self.outbox.parked().contains_key(&(address, None));
        let kept = if is_live {
            let kept = self.outbox.told(vec![sample]);
            self.flying.extend(kept.iter().map(|kept| kept.number));
            kept
        } else {
            self.outbox.queue(vec![sample])
        };
        for kept in kept {
            self.next = kept.number + 1;
            self.kept.insert(kept.number, kept);
        }
    }

    fn deliver(&mut self, count: usize) {
        // What was told before is confirmed by the answer.
        self.confirm();
        for _ in 0..count {
            let Some(head) = self.outbox.waiting().front().cloned() else {
                return;
            };
            if !self.outbox.is_due(&head) {
                self.outbox.advance(1);
            } else if self.no_way.contains(&part_of(&head)) {
                self.outbox.park();
            } else if self.outbox.overtakes(&head).is_some() {
                return self.reread();
            } else {
                self.arrive(head.number);
                self.outbox.advance(1);
            }
            self.outbox.confirm(self.outbox.mark());
        }
    }

    fn pass_by(&mut self) {
        let Some(head) = self.outbox.waiting().front().cloned() else {
            return;
        };
        if self.outbox.is_due(&head) && self.no_way.contains(&part_of(&head)) {
            self.outbox.park();
        }
    }

    fn confirm(&mut self) {
        self.outbox.confirm(self.outbox.mark());
        for number in std::mem::take(&mut self.flying) {
            self.arrive(number);
        }
    }

    fn arrive(&mut self, number: u64) {
        let kept = &self.kept[&number];
        let value = kept.sample.value.as_f64().unwrap() as u64;
        self.arrived.entry(part_of(kept)).or_default().push(value);
    }

    fn fetch(&mut self) {
        if let Some((from, most)) = self.outbox.fetch() {
            let kept = self.kept.range(from..).take(most);
            let kept = kept.map(|(_, kept)| kept.clone()).collect();
            self.outbox.fetched(kept);
        }
    }

    fn reread(&mut self) {
        let parked = self.outbox.parked().iter();
        let from = parked
            .filter(|((address, _), _)| !self.no_way.contains(&address.path.instance.instance.0))
            .map(|(_, parked)| parked.first)
            .min();
        if let (Some(from), true) = (from, self.flying.is_empty()) {
            self.outbox.reread(from);
        }
    }

    fn restart(&mut self) {
        let (cursor, parked) = (self.outbox.settled(), self.outbox.parked().clone());
        self.flying.clear();
        self.outbox = Outbox::default();
        let first = self.kept.keys().next().copied().unwrap_or(self.next);
        self.outbox.restore(SavedQueue {
            dropped: self.dropped,
            first,
            next: self.next,
        });
        self.outbox.restore_position(cursor, parked);
    }

    fn drop_oldest(&mut self, count: usize) {
        let numbers: Vec<u64> = self.kept.keys().copied().take(count).collect();
        let Some(last) = numbers.last().copied() else {
            return;
        };
        self.flying.retain(|number| *number > last);
        numbers.iter().for_each(|number| {
            self.kept.remove(number);
        });
        self.dropped += numbers.len() as u64;
        self.outbox.dropped(last + 1, numbers.len() as u64);
    }

    fn forget(&mut self) {
        if let Some(upto) = self.outbox.forget() {
            self.kept = self.kept.split_off(&(upto + 1));
        }
    }

    /// Everything has a way now, and time.
    fn finish(&mut self) {
        self.no_way.clear();
        for _ in 0..200 {
            self.reread();
            self.fetch();
            self.deliver(usize::MAX);
            self.forget();
            if self.kept.is_empty() {
                return;
            }
        }
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0..PARTS).prop_map(Act::Measure),
        4 => (1..6usize).prop_map(Act::Deliver),
        1 => Just(Act::Confirm),
        1 => Just(Act::Doubt),
        3 => Just(Act::Fetch),
        3 => Just(Act::PassBy),
        2 => (0..PARTS, any::<bool>()).prop_map(|(part, way)| Act::Way(part, way)),
        1 => Just(Act::Reread),
        1 => Just(Act::Restart),
    ];
    prop::collection::vec(act, 0..120)
}

proptest! {
    #[test]
    fn every_sample_arrives_once_and_in_the_order_of_its_part(acts in acts()) {
        let mut world = World::default();
        acts.iter().for_each(|act| world.act(act));
        world.finish();
        let mut all: Vec<u64> = Vec::new();
        for arrived in world.arrived.values() {
            prop_assert!(arrived.is_sorted(), "{:?}", world.arrived);
            all.extend(arrived);
        }
        all.sort_unstable();
        prop_assert_eq!(all, (0..world.measured).collect::<Vec<_>>());
        prop_assert!(world.kept.is_empty(), "{:?}", world);
        prop_assert_eq!(world.outbox.queued(), 0);
        prop_assert_eq!(world.outbox.losses().total(), 0);
    }

    #[test]
    fn what_the_store_drops_is_all_that_is_missing(
        acts in acts(),
        drops in prop::collection::vec((0..120usize, 1..5usize), 0..4),
    ) {
        let mut world = World::default();
        for (at, act) in acts.iter().enumerate() {
            world.act(act);
            for (_, count) in drops.iter().filter(|(drop, _)| *drop == at) {
                world.act(&Act::Drop(*count));
            }
        }
        world.finish();
        let arrived: usize = world.arrived.values().map(Vec::len).sum();
        prop_assert!(world.kept.is_empty(), "{:?}", world);
        prop_assert!(arrived as u64 + world.dropped >= world.measured);
        for arrived in world.arrived.values() {
            prop_assert!(arrived.is_sorted_by(|a, b| a < b), "{:?}", world.arrived);
        }
    }
}

#[test]
fn memory_holds_a_bounded_part_of_a_long_queue() {
    let mut world = World::default();
    world.no_way.insert(0);
    for _ in 0..5000 {
        world.act(&Act::Measure(0));
    }
    assert_eq!(world.outbox.waiting().len(), BUFFERED);
    assert_eq!(world.outbox.queued(), 5000);
    world.finish();
    assert_eq!(world.arrived[&0].len(), 5000);
}

#[test]
fn what_was_passed_by_and_is_doubted_does_not_wait_for_itself() {
    let mut world = World::default();
    world.act(&Act::Measure(0));
    world.act(&Act::Way(1, false));
    world.act(&Act::Measure(1));
    // Nothing shows yet that the first has arrived.
    world.act(&Act::PassBy);
    world.act(&Act::Doubt);
    world.act(&Act::Way(1, true));
    world.act(&Act::Fetch);
    for kept in world.outbox.waiting() {
        assert_eq!(world.outbox.overtakes(kept), None, "{kept:?}");
    }
    world.finish();
    assert_eq!(world.arrived, BTreeMap::from([(0, vec![0]), (1, vec![1])]));
}

#[test]
fn what_the_store_has_lost_of_the_parked_holds_up_nothing() {
    let mut world = World::default();
    world.act(&Act::Way(0, false));
    world.act(&Act::Measure(0));
    world.act(&Act::PassBy);
    world.kept.clear();
    world.act(&Act::Way(0, true));
    world.act(&Act::Measure(0));
    world.finish();
    assert_eq!(world.arrived, BTreeMap::from([(0, vec![1])]));
    assert_eq!(world.outbox.losses().store, 1);
    assert_eq!(world.outbox.queued(), 0);
}
