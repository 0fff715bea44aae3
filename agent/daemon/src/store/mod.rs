//! What survives a restart, on a thread of its own so that no disk ever holds up the loop.
//!
//! Accounts, registrations and observations are records ([`records`]), the site's state is a
//! snapshot ([`snapshot`]), what servers are still to be told are queues ([`queue`]). A commit is
//! answered when it is on the disk; everything else is with the operating system at once, where the
//! end of the process does not harm it, and on the disk with the next commit or after the time of
//! `flush_s`. A disk that refuses is reported, and the box goes on without it.

mod base;
mod board;
mod counters;
mod dates;
mod disk;
mod events;
mod history;
mod inbox;
mod locks;
mod pack;
mod pulses;
mod queue;
mod queues;
mod records;
pub(crate) mod served;
mod shelf;
mod site;
pub(crate) mod snapshot;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    io,
    path::Path,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use lamplighter_lwm2m::{
    boundary::{ClientId, CommitId, Kept},
    saved::Record,
};
use lamplighter_model::Ssid;
use lamplighter_site::saved::{SavedChange, SavedSite};
use tokio::sync::{mpsc, oneshot};

pub(crate) use board::recognise;
pub(crate) use counters::CounterFile;
use dates::Dates;
use disk::Disk;
pub(crate) use disk::StateDir;
pub(crate) use events::FILES as EVENT_FILES;
use events::{EventFiles, Waiting as WaitingEvents};
pub(crate) use history::{History, Search};
use inbox::{Shared, Wanted};
pub use pack::{PackError, unpack};
pub(crate) use pulses::PulseFile;
use queue::HISTORY;
use queues::Queues;
use records::Records;
use shelf::Shelf;
use site::SiteFiles;
use writer::{Everything, Writer};

use crate::{
    bearer::dbus::MANAGERS_FILE,
    clock::Clock,
    events::{LoadedLog, SavedLog},
};

/// `[store]`: how much is kept, and how long it may wait for the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StoreConfig {
    /// Longest time until what was handed over is on the disk.
    pub flush: Duration,
    /// Bound of the queues of all servers together, in bytes.
    pub queue_max: u64,
    /// Bound of the log of events, in bytes.
    pub events_max: u64,
    /// Bound of the history of points, in bytes; 0: none is kept.
    pub history_max: u64,
    /// Size of a block, in bytes.
    pub(crate) block: usize,
}

/// Long enough that each of 2,000 points comes often; it costs twice that on the disk for every
/// server, and once in memory.
const BLOCK: usize = 128 * 1024;

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            flush: Duration::from_secs(60),
            queue_max: 256 * 1024 * 1024,
            events_max: 16 * 1024 * 1024,
            history_max: 256 * 1024 * 1024,
            block: BLOCK,
        }
    }
}

/// What the state directory held at start.
#[derive(Debug, Default)]
pub struct Loaded {
    pub records: Vec<(ClientId, Record)>,
    pub site: Option<SavedSite>,
    pub(crate) events: LoadedLog,
    /// The number that the next sample of the history gets at least.
    pub(crate) history_next: u64,
}

/// The way of events to the store thread.
#[derive(Clone, Debug)]
pub(crate) struct EventSink(Shared);

/// The way to the store thread.
#[derive(Debug)]
pub struct Store {
    shared: Shared,
    reports: mpsc::UnboundedSender<Stored>,
    thread: Option<thread::JoinHandle<()>>,
    stored: mpsc::UnboundedReceiver<Stored>,
}

/// What the thread reports.
#[derive(Debug, PartialEq)]
pub enum Stored {
    /// In order. Also sent where the disk refused, after a [`Stored::Trouble`].
    Committed(ClientId, CommitId),
    /// Samples of a queue that were dropped, and the first that is still there.
    Dropped {
        client: ClientId,
        ssid: Ssid,
        first: u64,
        count: u64,
    },
    /// Answers [`Store::erase`]: so many samples that nobody had fetched and forgotten yet.
    Erased(ClientId, Ssid, u64),
    /// Answers [`Store::fetch`].
    Kept(ClientId, Ssid, Vec<Kept>),
    SiteSaved,
    /// The disk refuses (the reason), or takes again (`None`). Sent on change.
    Trouble(Option<String>),
}

impl Store {
    /// Loads what is there and starts the thread.
    pub fn open(state_dir: &Path, config: StoreConfig, clock: Clock) -> (Self, Loaded) {
        let disk = Box::new(StateDir::new(state_dir));
        let (reports, stored) = mpsc::unbounded_channel();
        let shared = Shared::default();
        let (writer, loaded) = load(disk, config, clock, reports.clone());
        let inbox = shared.clone();
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(&inbox))
            .ok();
        if thread.is_none() {
            shared.lock().is_dead = true;
        }
        let store = Self {
            shared,
            reports,
            thread,
            stored,
        };
        (store, loaded)
    }

    /// Keeps all of the records, or none.
    pub fn commit(&self, client: ClientId, id: CommitId, records: Vec<Record>) {
        if self.is_dead() {
            self.report(Stored::Committed(client, id));
            return;
        }
        self.shared.put(|inbox| inbox.commit(client, id, records));
    }

    pub fn journal(&self, client: ClientId, record: Record) {
        let mut is_kept = true;
        self.shared
            .put(|inbox| is_kept = inbox.journal(client, record));
        if !is_kept {
            tracing::debug!("A record is not kept: too many wait for the disk");
        }
    }

    pub fn save_site(&self, change: SavedChange) {
        if self.is_dead() {
            self.report(Stored::SiteSaved);
            return;
        }
        self.shared.put(|inbox| inbox.save_site(change));
    }

    /// Appends samples to the queue of a server.
    pub fn keep(&self, client: ClientId, ssid: Ssid, samples: Vec<Kept>) {
        self.shared.put(|inbox| inbox.keep((client, ssid), samples));
    }

    /// Appends samples to the history of points.
    pub(crate) fn remember(&self, samples: Vec<Kept>) {
        self.shared.put(|inbox| inbox.keep(HISTORY, samples));
    }

    /// Where the history is read.
    pub(crate) fn history(&self) -> History {
        History::new(self.shared.clone())
    }

    /// Wants samples of a queue from this number on; answered by [`Stored::Kept`].
    pub fn fetch(&self, client: ClientId, ssid: Ssid, from: u64, limit: usize) {
        let owner = (client, ssid);
        let wanted = Wanted { owner, from, limit };
        self.shared.put(|inbox| inbox.wanted.push(wanted));
    }

    /// The samples of a queue up to and including this number are not needed any more.
    pub fn forget(&self, client: ClientId, ssid: Ssid, up_to: u64) {
        self.shared.put(|inbox| {
            let known = inbox.forgotten.entry((client, ssid)).or_default();
            *known = up_to.max(*known);
        });
    }

    /// Nothing of the samples of these paths, and of all below, is to be found on the disk any more, nor
    /// of any that were forgotten; with the root, nothing of the queue.
    pub fn erase(&self, client: ClientId, ssid: Ssid, paths: Vec<lamplighter_model::Path>) {
        let owner = (client, ssid);
        self.shared.put(|inbox| inbox.erase(owner, paths));
    }

    /// The next report.
    pub fn poll_stored(&mut self, context: &mut Context<'_>) -> Poll<Stored> {
        match self.stored.poll_recv(context) {
            Poll::Ready(Some(stored)) => Poll::Ready(stored),
            // It has a sender of its own, so that there is always another.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Where events go.
    pub(crate) fn event_sink(&self) -> EventSink {
        EventSink(self.shared.clone())
    }

    /// Writes what is left and ends the thread.
    pub fn close(mut self) {
        self.shared.put(|inbox| inbox.is_closed = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// The box goes on without it; nobody waits for what never comes.
    fn is_dead(&self) -> bool {
        self.shared.lock().is_dead
    }

    fn report(&self, answer: Stored) {
        let trouble = "the store has ended, state is not kept".to_owned();
        for report in [Stored::Trouble(Some(trouble)), answer] {
            // The receiver lives as long as this.
            let _ = self.reports.send(report);
        }
    }
}

impl EventSink {
    /// A line of the log; with the operating system at once, on the disk within the time of `flush`.
    pub(crate) fn append(&self, line: String) {
        self.0.put(|inbox| inbox.events.append(line));
    }

    /// What object 20 holds. What is given back ends when it is on the disk, or the disk refuses.
    pub(crate) fn save(&self, log: SavedLog) -> oneshot::Receiver<()> {
        let (written, when_written) = oneshot::channel();
        self.0.put(|inbox| {
            // Nobody waits for what never comes.
            if !inbox.is_dead {
                inbox.events.save(log, written);
            }
        });
        when_written
    }
}

/// Deletes everything that servers changed and all that was stored. Maintenance locks are neither:
/// people at this box have set them.
pub(crate) fn erase(state_dir: &Path) -> io::Result<()> {
    let mut disk = StateDir::new(state_dir);
    for name in disk.names()? {
        let snapshots = [
            records::SNAPSHOT,
            site::FILE,
            dates::FILE,
            events::SNAPSHOT,
            MANAGERS_FILE,
        ];
        let is_snapshot = snapshots
            .iter()
            .any(|snapshot| name == *snapshot || name == snapshot::previous(snapshot));
        let is_base = name.starts_with(base::FILE);
        let is_tail = name == records::TAIL || name == site::TAIL || queue::owner(&name).is_some();
        let is_log = EVENT_FILES.contains(&name.as_str());
        let is_counter = name.starts_with(counters::FILES) || name.starts_with(pulses::FILES);
        let is_of_device = is_counter || served::is_file(&name);
        if is_snapshot || is_base || is_tail || is_of_device || is_log {
            disk.remove(&name)?;
        }
    }
    disk.sync_names()
}

/// What the disk holds. What cannot be read is reported and counts as not there.
fn load(
    mut disk: Box<dyn Disk>,
    config: StoreConfig,
    clock: Clock,
    reports: mpsc::UnboundedSender<Stored>,
) -> (Writer, Loaded) {
    let site = SiteFiles::load(disk.as_mut());
    let records = Records::load(disk.as_mut());
    let mut shelf = Shelf::new(disk, config.queue_max, config.history_max, config.block);
    let queues = Queues::load(&mut shelf).unwrap_or_else(|error| {
        tracing::error!(%error, "Cannot read the queues");
        Queues::default()
    });
    let (events, log) = EventFiles::load(shelf.disk(), config.events_max);
    let mut loaded = Loaded {
        records: records.all(),
        site: site.latest().cloned(),
        events: log,
        history_next: queues.history_next(),
    };
    loaded.records.extend(queues.records());
    let dates = Dates::load(shelf.disk());
    let kept = Everything {
        shelf,
        records,
        site,
        queues,
        dates,
        events,
    };
    let writer = Writer::new(kept, clock, reports, config.flush);
    (writer, loaded)
}
