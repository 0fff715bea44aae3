//! What a box keeps over a restart. Two files that are written in order: records, and the queues of
//! samples. After a power cut each of them has everything up to some point behind the last flush.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use lamplighter_lwm2m::{
    boundary::Kept,
    saved::{Record, RecordKey, SavedQueue},
};
use lamplighter_model::{Path, Ssid};

use crate::chance::Chance;

/// One thing that was written.
#[derive(Clone, Debug)]
enum Entry {
    Record(Box<Record>),
    Keep(Ssid, Kept),
    Forget(Ssid, u64),
}

#[derive(Clone, Debug, Default)]
struct Queue {
    kept: VecDeque<Kept>,
    next: u64,
    dropped: u64,
}

#[derive(Clone, Debug, Default)]
struct Content {
    records: BTreeMap<RecordKey, Record>,
    queues: BTreeMap<Ssid, Queue>,
}

/// Entries that a power cut may take back, with their times.
#[derive(Clone, Debug, Default)]
struct Unflushed(VecDeque<(Duration, Entry)>);

/// Records and queues of one box.
#[derive(Clone, Debug)]
pub struct Store {
    /// What a power cut leaves.
    disk: Content,
    /// What the process sees.
    seen: Content,
    records: Unflushed,
    samples: Unflushed,
    /// What servers observe, and power cuts have taken the records of.
    forgotten: BTreeSet<(Ssid, String)>,
    /// What was written longer ago is on the disk.
    pub flush: Duration,
    /// Samples that one queue holds.
    pub bound: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            disk: Content::default(),
            seen: Content::default(),
            records: Unflushed::default(),
            samples: Unflushed::default(),
            forgotten: BTreeSet::new(),
            flush: Duration::from_secs(60),
            bound: 100_000,
        }
    }
}

impl Store {
    /// Durable when this returns, with all records before them.
    pub fn commit(&mut self, records: Vec<Record>, now: Duration) {
        for record in records {
            self.journal(record, now);
        }
        for (_, entry) in std::mem::take(&mut self.records.0) {
            self.disk.apply(entry);
        }
    }

    pub fn journal(&mut self, record: Record, now: Duration) {
        if let Some(observed) = observed(&record) {
            self.forgotten.remove(&observed);
        }
        let entry = Entry::Record(Box::new(record));
        self.seen.apply(entry.clone());
        self.records.0.push_back((now, entry));
        self.age(now);
    }

    /// Where the bound was exceeded: the first number that is still there, and how many went.
    pub fn keep(&mut self, ssid: Ssid, kept: Vec<Kept>, now: Duration) -> Option<(u64, u64)> {
        for kept in kept {
            let entry = Entry::Keep(ssid, kept);
            self.seen.apply(entry.clone());
            self.samples.0.push_back((now, entry));
        }
        self.age(now);
        let queue = self.seen.queues.get(&ssid)?;
        let excess = queue.kept.len().checked_sub(self.bound)?;
        let first = queue
            .kept
            .get(excess)
            .map_or(queue.next, |kept| kept.number);
        if excess == 0 {
            return None;
        }
        for content in [&mut self.seen, &mut self.disk] {
            content.drop_before(ssid, first);
        }
        Some((first, excess as u64))
    }

    pub fn fetch(&self, ssid: Ssid, from: u64, at_most: usize) -> Vec<Kept> {
        let queue = self.seen.queues.get(&ssid);
        let kept = queue.into_iter().flat_map(|queue| &queue.kept);
        kept.filter(|kept| kept.number >= from)
            .take(at_most)
            .cloned()
            .collect()
    }

    pub fn forget(&mut self, ssid: Ssid, up_to: u64, now: Duration) {
        let entry = Entry::Forget(ssid, up_to);
        self.seen.apply(entry.clone());
        self.samples.0.push_back((now, entry));
        self.age(now);
    }

    /// What lies below these paths leaves at once and for good; how many samples that were.
    pub fn erase(&mut self, ssid: Ssid, paths: &[Path]) -> u64 {
        self.samples.0.retain(|(_, entry)| {
            !matches!(entry, Entry::Keep(of, kept) if *of == ssid && kept.is_below(paths))
        });
        let mut erased = 0;
        for content in [&mut self.disk, &mut self.seen] {
            if let Some(queue) = content.queues.get_mut(&ssid) {
                let before = queue.kept.len();
                queue.kept.retain(|kept| !kept.is_below(paths));
                erased = (before - queue.kept.len()) as u64;
            }
        }
        erased
    }

    /// Samples that wait for this server.
    pub fn waiting(&self, ssid: Ssid) -> usize {
        self.seen
            .queues
            .get(&ssid)
            .map_or(0, |queue| queue.kept.len())
    }

    /// Samples of this server that went because of the bound.
    pub fn dropped(&self, ssid: Ssid) -> u64 {
        self.seen.queues.get(&ssid).map_or(0, |queue| queue.dropped)
    }

    /// The process ends without a word; what it wrote is with the operating system.
    pub fn kill(&mut self) {
        self.records.0.clear();
        self.samples.0.clear();
        self.disk = self.seen.clone();
    }

    /// The power fails: of what was not flushed, chance leaves the first so many of each file. The
    /// samples that are gone.
    pub fn cut(&mut self, chance: &mut Chance, now: Duration) -> Vec<(Ssid, Kept)> {
        self.age(now);
        let before = self.seen.all();
        self.forgotten.extend(self.seen.observed());
        for unflushed in [&mut self.records, &mut self.samples] {
            let entries = std::mem::take(&mut unflushed.0);
            let left = chance.index(entries.len() + 1);
            for (_, entry) in entries.into_iter().take(left) {
                self.disk.apply(entry);
            }
        }
        // A number is never given twice, whatever was lost.
        for (ssid, queue) in &self.seen.queues {
            let left = self.disk.queues.entry(*ssid).or_default();
            left.next = left.next.max(queue.next);
        }
        self.seen = self.disk.clone();
        let observed: BTreeSet<_> = self.seen.observed().collect();
        self.forgotten.retain(|lost| !observed.contains(lost));
        let after = self.seen.all();
        before
            .into_iter()
            .filter(|(key, _)| !after.contains_key(key))
            .map(|((ssid, _), kept)| (ssid, kept))
            .collect()
    }

    /// Whether a power cut has taken what said that this server observes this path, and it has not
    /// observed it since: the box cannot know that anybody waits for it.
    pub fn has_forgotten(&self, ssid: Ssid, path: Path) -> bool {
        self.forgotten.contains(&(ssid, path.to_string()))
    }

    /// What the next start finds.
    pub fn load(&self) -> Vec<Record> {
        let queues = self.seen.queues.iter().map(|(ssid, queue)| {
            let first = queue.kept.front().map_or(queue.next, |kept| kept.number);
            Record::Queue(
                *ssid,
                SavedQueue {
                    dropped: queue.dropped,
                    first,
                    next: queue.next,
                },
            )
        });
        self.seen.records.values().cloned().chain(queues).collect()
    }

    /// Records and samples that are kept, to see that they do not grow.
    pub fn size(&self) -> (usize, usize) {
        let samples = self.seen.queues.values().map(|queue| queue.kept.len());
        (self.seen.records.len(), samples.sum())
    }

    fn age(&mut self, now: Duration) {
        for unflushed in [&mut self.records, &mut self.samples] {
            while let Some((at, _)) = unflushed.0.front()
                && *at + self.flush <= now
            {
                if let Some((_, entry)) = unflushed.0.pop_front() {
                    self.disk.apply(entry);
                }
            }
        }
    }
}

impl Content {
    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Record(record) if record.is_removal() => {
                self.records.remove(&record.key());
            }
            Entry::Record(record) => {
                self.records.insert(record.key(), *record);
            }
            Entry::Keep(ssid, kept) => {
                let queue = self.queues.entry(ssid).or_default();
                queue.next = kept.number + 1;
                queue.kept.push_back(kept);
            }
            Entry::Forget(ssid, up_to) => {
                let queue = self.queues.entry(ssid).or_default();
                queue.next = queue.next.max(up_to + 1);
                queue.kept.retain(|kept| kept.number > up_to);
            }
        }
    }

    fn observed(&self) -> impl Iterator<Item = (Ssid, String)> {
        self.records.values().filter_map(observed)
    }

    fn drop_before(&mut self, ssid: Ssid, first: u64) {
        if let Some(queue) = self.queues.get_mut(&ssid) {
            let before = queue.kept.len();
            queue.kept.retain(|kept| kept.number >= first);
            queue.dropped += (before - queue.kept.len()) as u64;
        }
    }

    fn all(&self) -> BTreeMap<(Ssid, u64), Kept> {
        let queues = self.queues.iter();
        queues
            .flat_map(|(ssid, queue)| {
                let kept = queue.kept.iter();
                kept.map(|kept| ((*ssid, kept.number), kept.clone()))
            })
            .collect()
    }
}

/// What the record says that a server observes, or did before it registered the box anew.
fn observed(record: &Record) -> Option<(Ssid, String)> {
    let Record::Observation(ssid, _, Some(saved)) = record else {
        return None;
    };
    Some((*ssid, saved.path.clone()))
}

#[cfg(test)]
mod tests {
    use lamplighter_lwm2m::saved::SavedObservation;

    use super::*;

    const SSID: Ssid = Ssid(101);

    fn observation(path: &str) -> Record {
        let saved = SavedObservation {
            attributes: None,
            composite: None,
            format: 112,
            is_orphan: false,
            path: path.to_owned(),
        };
        Record::Observation(SSID, path.as_bytes().to_vec(), Some(saved))
    }

    #[test]
    fn a_power_cut_forgets_what_was_not_flushed_until_it_is_observed_again() {
        let path = |text: &str| -> Path { text.parse().expect("a path") };
        let (old, new) = (path("/3303/0/5700"), path("/3304/0/5700"));
        let at = Duration::from_secs;
        // Chance leaves it in one of two cuts.
        for seed in 0..20 {
            let mut store = Store::default();
            store.journal(observation("/3303/0/5700"), at(0));
            store.journal(observation("/3304/0/5700"), at(70));
            assert!(!store.has_forgotten(SSID, new), "the power has not failed");
            store.cut(&mut Chance::new(seed), at(80));
            let is_left = store.load().contains(&observation("/3304/0/5700"));
            assert_eq!(store.has_forgotten(SSID, new), !is_left);
            assert!(!store.has_forgotten(SSID, old), "on the disk");
            assert!(!store.has_forgotten(Ssid(102), new));
            store.journal(observation("/3304/0/5700"), at(90));
            assert!(!store.has_forgotten(SSID, new));
        }
    }
}
