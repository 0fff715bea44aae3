//! Who follows values as they change.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use lamplighter_model::{Now, Path};
use tokio::sync::Notify;

use super::{
    ReadView, Status,
    catalogue::{Key, lies_under},
};

/// Pages and `lamplighter watch` together.
const MAX_WATCHERS: usize = 32;

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too many watchers")]
pub struct TooManyWatchers;

/// One follower.
#[derive(Debug)]
pub struct Watch {
    status: Status,
    marks: Arc<Marks>,
}

/// What happened since the follower last looked.
#[derive(Debug)]
pub struct Changes(Pending);

impl Watch {
    pub(super) fn new(status: Status, marks: Arc<Marks>) -> Self {
        Self { status, marks }
    }

    /// Waits until something changed. Changes of one value merge until they are fetched.
    pub async fn changed(&self) -> Changes {
        loop {
            let pending = mem::take(&mut *self.marks.pending());
            if pending.status || !pending.values.is_empty() {
                return Changes(pending);
            }
            self.marks.wake.notified().await;
        }
    }

    /// The newest of each changed value.
    pub fn values(&self, changes: &Changes, now: Now) -> Vec<ReadView> {
        let keys: Vec<Key> = changes.0.values.iter().copied().collect();
        self.status.read_views(&keys, now)
    }
}

impl Changes {
    /// Whether servers, devices, groups or problems changed.
    pub fn status(&self) -> bool {
        self.0.status
    }
}

/// All followers; they go when their [`Watch`] is dropped.
#[derive(Debug, Default)]
pub(super) struct Watchers(Vec<Weak<Marks>>);

impl Watchers {
    pub(super) fn add(&mut self, paths: Vec<Path>) -> Result<Arc<Marks>, TooManyWatchers> {
        self.0.retain(|marks| marks.strong_count() > 0);
        if self.0.len() >= MAX_WATCHERS {
            return Err(TooManyWatchers);
        }
        let marks = Arc::new(Marks {
            paths,
            pending: Mutex::default(),
            wake: Notify::new(),
        });
        self.0.push(Arc::downgrade(&marks));
        Ok(marks)
    }

    pub(super) fn values_changed(&self, keys: &[Key]) {
        self.0
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|marks| marks.mark(keys));
    }

    pub(super) fn status_changed(&self) {
        for marks in self.0.iter().filter_map(Weak::upgrade) {
            marks.pending().status = true;
            marks.wake.notify_one();
        }
    }
}

/// Marks of what changed, at most one per value.
#[derive(Debug)]
pub(super) struct Marks {
    paths: Vec<Path>,
    pending: Mutex<Pending>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    values: BTreeSet<Key>,
    status: bool,
}

impl Marks {
    pub(super) fn mark(&self, keys: &[Key]) {
        let mut watched = keys
            .iter()
            .copied()
            .filter(|key| self.paths.iter().any(|path| lies_under(*path, *key)))
            .peekable();
        if watched.peek().is_none() {
            return;
        }
        self.pending().values.extend(watched);
        self.wake.notify_one();
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
