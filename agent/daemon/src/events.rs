//! The event log: what happened at this box, for people (`lamplighter events`, `GET /events`) and for
//! servers (object 20), from one source.
//!
//! 1. Whoever notices something tells it ([`EventLog::tell`]); that never waits.
//! 2. It gets a number, goes to the store thread as a line of `events.jsonl`, and into what object
//!    20 collects.
//! 3. The newest stand in memory; older ones are read from the files.

mod bearers;
mod collection;
mod entry;
mod history;
mod increments;
mod pace;
mod words;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lamplighter_model::{Now, device::Fault};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use pace::Pace;

pub use bearers::{
    of_bearer, of_bearer_ask, of_bearer_cap, of_bearer_taken_back, of_managed,
    of_preference_taken_back, of_switch, of_wake,
};
pub(crate) use collection::{Collection, DATA, INCREMENT, Increment, OBJECT};
pub(crate) use entry::Entry;
pub use entry::{Class, EventView, News};
pub(crate) use increments::Increments;
pub use words::Names;
pub(crate) use words::{of_link, of_note};

use crate::store::EventSink;

/// Instances of object 20: what was refused, and everything.
pub(crate) const INSTANCES: u16 = 2;

/// Bytes of lines in memory.
const RECENT: usize = 64 * 1024;
/// Bytes of lines after which what object 20 holds is saved again; the lines since then are found at
/// the end of the files, of which at least this much is read at start.
const SAVE_EVERY: usize = RECENT / 2;
/// What it counts in bytes of lines that a server was sent an increment.
const SENT: usize = 512;
/// The most that one question is answered with.
pub(crate) const MAX_ANSWER: usize = 1000;

/// A handle; all handles of an agent are the same log.
#[derive(Clone)]
pub struct EventLog(Arc<Shared>);

struct Shared {
    clock: Box<dyn Fn() -> Now + Send + Sync>,
    /// Changes with everything that readers or object 20 can see.
    revision: watch::Sender<u64>,
    /// Where it is kept; `None` in tests that need no disk.
    kept: Option<(EventSink, PathBuf)>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Of the next event.
    next: u64,
    recent: VecDeque<(Entry, usize)>,
    recent_bytes: usize,
    collections: Vec<Collection>,
    paces: BTreeMap<Class, Pace>,
    /// Bytes of lines since what object 20 holds was saved.
    unsaved: usize,
}

/// What is kept of object 20.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct SavedLog {
    /// The last event that is in it, if it was to be.
    last: u64,
    collections: Vec<Collection>,
}

/// What the disk held at start.
#[derive(Debug, Default)]
pub(crate) struct LoadedLog {
    pub(crate) saved: Option<SavedLog>,
    /// The last lines, in order.
    pub(crate) lines: Vec<Entry>,
}

impl EventLog {
    /// One that goes on where the last run ended.
    pub(crate) fn new(
        clock: impl Fn() -> Now + Send + Sync + 'static,
        loaded: LoadedLog,
        kept: Option<(EventSink, PathBuf)>,
    ) -> Self {
        Self(Arc::new(Shared {
            clock: Box::new(clock),
            revision: watch::Sender::new(0),
            kept,
            state: Mutex::new(State::new(loaded)),
        }))
    }

    /// Logs what happened, unless there is too much of its kind.
    pub fn tell(&self, news: News) {
        let now = self.now();
        let class = news.class;
        let mut state = self.state();
        let missed = state.paces.entry(class).or_default().pass(now.mono);
        match missed {
            None => state.collections.iter_mut().for_each(|one| one.miss(class)),
            Some(0) => self.record(&mut state, news, now),
            Some(missed) => {
                let text = format!("{missed} events of this class were not logged");
                self.record(&mut state, News::new(class, "missed").text(text), now);
                self.record(&mut state, news, now);
            }
        }
        drop(state);
        self.revise();
    }

    fn record(&self, state: &mut State, news: News, now: Now) {
        let entry = Entry::new(state.next, news, now);
        state.next += 1;
        let Ok(mut line) = serde_json::to_string(&entry) else {
            return;
        };
        line.push('\n');
        state.unsaved += line.len();
        state.take(entry, line.len());
        let Some((sink, _)) = &self.0.kept else {
            return;
        };
        sink.append(line);
        self.save_sometimes(state);
    }

    /// What is not saved is found at the end of the files, but for what servers were sent: after the
    /// end of the process they may be sent that again.
    fn save_sometimes(&self, state: &mut State) {
        let Some((sink, _)) = &self.0.kept else {
            return;
        };
        if state.unsaved > SAVE_EVERY {
            state.unsaved = 0;
            drop(sink.save(state.saved()));
        }
    }

    /// Whether anything is to be sent to servers.
    pub(crate) fn has_increments(&self) -> bool {
        let state = self.state();
        let mut collections = state.collections.iter();
        collections.any(|collection| collection.interval_s() > 0)
    }

    /// What a server is to be sent of an instance of object 20.
    pub(crate) fn increment(&self, instance: u16, server: &str) -> Option<Increment> {
        let now = self.now();
        let state = self.state();
        let collection = state.collections.get(usize::from(instance))?;
        collection.increment(instance, server, now)
    }

    /// A server has been sent everything up to this event.
    pub(crate) fn was_sent(&self, instance: u16, server: &str, last: u64) {
        let mut state = self.state();
        if let Some(collection) = state.collections.get_mut(usize::from(instance)) {
            collection.was_sent(server, last);
        }
        state.unsaved += SENT;
        self.save_sometimes(&mut state);
    }

    /// Saves what only stands in memory, at the end of the agent.
    pub(crate) fn put_away(&self) {
        let mut state = self.state();
        state.unsaved = 0;
        if let Some((sink, _)) = &self.0.kept {
            drop(sink.save(state.saved()));
        }
    }

    /// Events behind this number in order, at most so many; without a number the newest.
    pub(crate) async fn events(&self, since: Option<u64>, limit: usize) -> Vec<EventView> {
        let limit = limit.min(MAX_ANSWER);
        let now = self.now();
        let (mut older, newer) = {
            let state = self.state();
            let first = state.first();
            let since = since.unwrap_or_else(|| state.next.saturating_sub(limit as u64 + 1));
            let wanted = |entry: &&Entry| entry.id > since;
            let recent = state.recent.iter().map(|(entry, _)| entry);
            let newer: Vec<Entry> = recent.filter(wanted).take(limit).cloned().collect();
            ((since + 1 < first).then_some((since, first)), newer)
        };
        let mut entries = Vec::new();
        if let (Some((since, first)), Some((_, directory))) = (older.take(), &self.0.kept) {
            let directory = directory.clone();
            let read = move || history::read(&directory, since, first, limit);
            // Only a panic or the end of the agent ends it before it is done.
            entries = tokio::task::spawn_blocking(read).await.unwrap_or_default();
        }
        entries.extend(newer);
        entries
            .iter()
            .take(limit)
            .map(|entry| entry.view(now))
            .collect()
    }

    /// Changes whenever there is something new to be seen.
    pub(crate) fn revisions(&self) -> watch::Receiver<u64> {
        self.0.revision.subscribe()
    }

    /// What an instance of object 20 holds.
    pub(crate) fn collection(&self, instance: u16) -> Option<Collection> {
        self.state().collections.get(usize::from(instance)).cloned()
    }

    /// Changes an instance of object 20; what came of it is on the disk when this returns.
    pub(crate) async fn change(
        &self,
        instance: u16,
        change: impl FnOnce(&mut Collection) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let written = {
            let mut state = self.state();
            let found = state.collections.get_mut(usize::from(instance));
            let collection = found.ok_or(Fault::Unsupported)?;
            let mut changed = collection.clone();
            change(&mut changed)?;
            *collection = changed;
            state.unsaved = 0;
            let sink = self.0.kept.as_ref().map(|(sink, _)| sink);
            sink.map(|sink| sink.save(state.saved()))
        };
        self.revise();
        if let Some(written) = written {
            // A store that has ended was told as a problem.
            let _ = written.await;
        }
        Ok(())
    }

    pub(crate) fn now(&self) -> Now {
        (self.0.clock)()
    }

    fn revise(&self) {
        self.0.revision.send_modify(|revision| *revision += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What stands in it is whole after every change.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(loaded: LoadedLog) -> Self {
        let LoadedLog { saved, lines } = loaded;
        let saved = saved.unwrap_or_else(|| SavedLog {
            last: 0,
            collections: Vec::new(),
        });
        let usual = [Collection::of(Some(Class::Security)), Collection::of(None)];
        let mut collections = saved.collections;
        collections.truncate(usual.len());
        collections.extend(usual.into_iter().skip(collections.len()));
        let mut state = Self {
            next: saved.last + 1,
            recent: VecDeque::new(),
            recent_bytes: 0,
            collections,
            paces: BTreeMap::new(),
            unsaved: 0,
        };
        for entry in lines {
            let bytes = serde_json::to_string(&entry).map_or(0, |line| line.len());
            let is_new = entry.id > saved.last;
            state.next = state.next.max(entry.id + 1);
            if is_new {
                state.unsaved += bytes;
                state.take(entry, bytes);
            } else {
                state.remember(entry, bytes);
            }
        }
        state
    }

    fn take(&mut self, entry: Entry, bytes: usize) {
        self.collections.iter_mut().for_each(|one| one.take(&entry));
        self.remember(entry, bytes);
    }

    fn remember(&mut self, entry: Entry, bytes: usize) {
        self.recent.push_back((entry, bytes));
        self.recent_bytes += bytes;
        while self.recent_bytes > RECENT {
            let Some((_, bytes)) = self.recent.pop_front() else {
                return;
            };
            self.recent_bytes -= bytes;
        }
    }

    /// The first that stands in memory.
    fn first(&self) -> u64 {
        self.recent.front().map_or(self.next, |(entry, _)| entry.id)
    }

    fn saved(&self) -> SavedLog {
        SavedLog {
            last: self.next - 1,
            collections: self.collections.clone(),
        }
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
