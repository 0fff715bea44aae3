//! What the loop has for the store thread. Handing over never waits for the disk, and what has not
//! been taken yet is bounded: a newer record replaces an older one, samples have a bound in bytes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lamplighter_lwm2m::{
    boundary::{ClientId, CommitId, Kept},
    saved::Record,
};
use lamplighter_model::{Path, Value};
use lamplighter_site::saved::SavedChange;

use super::{WaitingEvents, base::Owner, history::Asked, records::Key};

/// Samples that may wait for the disk, in bytes of memory; the oldest are dropped first.
const MAX_WAITING: usize = 2 * 1024 * 1024;
/// Journalled keys that may wait for the disk; more are not kept.
const MAX_CHANGES: usize = 8192;

/// Samples of one server that wait for the disk.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) samples: VecDeque<Kept>,
    /// Dropped before them.
    pub(super) lost: u64,
}

/// Samples that the core wants back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Wanted {
    pub(super) owner: Owner,
    pub(super) from: u64,
    pub(super) limit: usize,
}

/// Everything that waits for the thread.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) changes: BTreeMap<Key, (ClientId, Record)>,
    pub(super) commits: Vec<(ClientId, CommitId)>,
    pub(super) events: WaitingEvents,
    /// Of whom nothing of these paths may stay.
    pub(super) erased: BTreeMap<Owner, BTreeSet<Path>>,
    pub(super) forgotten: BTreeMap<Owner, u64>,
    pub(super) searches: Vec<Asked>,
    pub(super) kept: BTreeMap<Owner, Waiting>,
    kept_bytes: usize,
    pub(super) site: Option<SavedChange>,
    pub(super) wanted: Vec<Wanted>,
    /// How often the site's state was handed over.
    pub(super) sites: u32,
    pub(super) is_closed: bool,
    /// The thread has ended.
    pub(super) is_dead: bool,
}

/// Both ends share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<(Mutex<Inbox>, Condvar)>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inbox> {
        // A panic elsewhere ends the process; what stands here is whole after every change.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands something over.
    pub(super) fn put(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.lock());
        self.0.1.notify_one();
    }

    /// Waits until there is something, at most so long, and takes all of it.
    pub(super) fn take(&self, patience: Option<Duration>) -> Inbox {
        let nothing = |inbox: &mut Inbox| inbox.is_empty();
        let inbox = self.lock();
        let mut inbox = match patience {
            Some(patience) => {
                let waited = self.0.1.wait_timeout_while(inbox, patience, nothing);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let waited = self.0.1.wait_while(inbox, nothing);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
        };
        let is_closed = inbox.is_closed;
        let taken = std::mem::take(&mut *inbox);
        inbox.is_closed = is_closed;
        taken
    }
}

impl Inbox {
    fn is_empty(&self) -> bool {
        !self.is_closed
            && self.changes.is_empty()
            && self.commits.is_empty()
            && self.events.is_empty()
            && self.erased.is_empty()
            && self.forgotten.is_empty()
            && self.searches.is_empty()
            && self.kept.is_empty()
            && self.site.is_none()
            && self.wanted.is_empty()
    }

    pub(super) fn commit(&mut self, client: ClientId, id: CommitId, records: Vec<Record>) {
        for record in records {
            self.changes
                .insert(super::records::key(client, &record), (client, record));
        }
        self.commits.push((client, id));
    }

    /// Whether there was room.
    pub(super) fn journal(&mut self, client: ClientId, record: Record) -> bool {
        let key = super::records::key(client, &record);
        let is_free = self.changes.len() < MAX_CHANGES || self.changes.contains_key(&key);
        if is_free {
            self.changes.insert(key, (client, record));
        }
        is_free
    }

    pub(super) fn erase(&mut self, owner: Owner, paths: Vec<Path>) {
        self.erased.entry(owner).or_default().extend(paths);
    }

    pub(super) fn save_site(&mut self, change: SavedChange) {
        match &mut self.site {
            Some(waiting) => waiting.merge(change),
            None => self.site = Some(change),
        }
        self.sites += 1;
    }

    pub(super) fn keep(&mut self, owner: Owner, samples: Vec<Kept>) {
        self.kept_bytes += samples.iter().map(size).sum::<usize>();
        self.kept.entry(owner).or_default().samples.extend(samples);
        self.drop_oldest();
    }

    /// Puts back what the disk refused, before what has come since.
    pub(super) fn put_back(&mut self, owner: Owner, refused: Waiting) {
        self.kept_bytes += refused.samples.iter().map(size).sum::<usize>();
        let waiting = self.kept.entry(owner).or_default();
        let since = std::mem::replace(waiting, refused);
        waiting.samples.extend(since.samples);
        waiting.lost += since.lost;
        self.drop_oldest();
    }

    /// Drops the oldest sample of the server that has most, until the bound is kept.
    fn drop_oldest(&mut self) {
        while self.kept_bytes > MAX_WAITING {
            let longest = self
                .kept
                .values_mut()
                .max_by_key(|waiting| waiting.samples.len());
            let Some((waiting, oldest)) = longest.and_then(|waiting| {
                let oldest = waiting.samples.pop_front()?;
                Some((waiting, oldest))
            }) else {
                return;
            };
            waiting.lost += 1;
            self.kept_bytes = self.kept_bytes.saturating_sub(size(&oldest));
        }
    }
}

/// Bytes of memory that a sample takes.
fn size(kept: &Kept) -> usize {
    let behind = match &kept.sample.value {
        Value::Corelnk(text) | Value::String(text) => text.len(),
        Value::Opaque(bytes) => bytes.len(),
        Value::Boolean(_)
        | Value::Decimal(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Objlnk(_)
        | Value::Time(_)
        | Value::Unsigned(_) => 0,
    };
    size_of::<Kept>() + behind
}
