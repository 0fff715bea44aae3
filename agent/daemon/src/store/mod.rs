//! What survives a restart, on a thread of its own so that no disk ever holds up the loop.
//!
//! Accounts, registrations and the site's state are snapshots ([`snapshot`]). A commit is answered
//! when it is on the disk; what is only journalled is written with the next commit or after
//! [`FLUSH`]. A disk that refuses is reported, and the box goes on without it.

pub(crate) mod snapshot;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use lamplighter_lwm2m::{
    boundary::{ClientId, CommitId},
    saved::Record,
};
use lamplighter_site::saved::SavedSite;
use tokio::sync::mpsc as tokio_mpsc;

/// Longest time that a journalled record stays in memory only.
const FLUSH: Duration = Duration::from_secs(60);

/// The files that hold state.
pub(crate) const FILES: [&str; 2] = [CORE.0, SITE.0];

const CORE: (&str, &str, u32) = ("core.cbor", "lamplighter core", 1);
const SITE: (&str, &str, u32) = ("site.cbor", "lamplighter site", 1);

/// What the state directory held at start.
#[derive(Debug, Default)]
pub struct Loaded {
    pub records: Vec<(ClientId, Record)>,
    pub site: Option<SavedSite>,
}

/// The way to the store thread.
#[derive(Debug)]
pub struct Store {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
    stored: tokio_mpsc::UnboundedReceiver<Stored>,
}

/// What the thread reports.
#[derive(Debug, Eq, PartialEq)]
pub enum Stored {
    /// In order. Also sent where the disk refused, after a [`Stored::Trouble`].
    Committed(ClientId, CommitId),
    SiteSaved,
    /// The disk refuses (the reason), or takes again (`None`). Sent on change.
    Trouble(Option<String>),
}

#[derive(Debug)]
enum Job {
    Commit(ClientId, CommitId, Record),
    Journal(ClientId, Record),
    Site(SavedSite),
}

impl Store {
    /// Loads what is there and starts the thread.
    pub fn open(state_dir: &Path) -> (Self, Loaded) {
        let records: Records =
            snapshot::read(&state_dir.join(CORE.0), CORE.1, CORE.2).unwrap_or_default();
        let site = snapshot::read(&state_dir.join(SITE.0), SITE.1, SITE.2);
        let loaded = Loaded {
            records: records
                .values()
                .map(|(client, record)| (ClientId(*client), record.clone()))
                .collect(),
            site,
        };
        let (jobs, inbox) = mpsc::channel();
        let (reports, stored) = tokio_mpsc::unbounded_channel();
        let writer = Writer {
            state_dir: state_dir.to_owned(),
            records,
            reports,
            refused: false,
            dirty: false,
        };
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(&inbox))
            .ok();
        (
            Self {
                jobs: Some(jobs),
                thread,
                stored,
            },
            loaded,
        )
    }

    pub fn commit(&self, client: ClientId, id: CommitId, record: Record) {
        self.send(Job::Commit(client, id, record));
    }

    pub fn journal(&self, client: ClientId, record: Record) {
        self.send(Job::Journal(client, record));
    }

    pub fn save_site(&self, site: SavedSite) {
        self.send(Job::Site(site));
    }

    /// The next report. Never returns once the thread is gone, which only happens at the end.
    pub async fn stored(&mut self) -> Stored {
        match self.stored.recv().await {
            Some(stored) => stored,
            None => std::future::pending().await,
        }
    }

    /// Writes what is left and ends the thread.
    pub fn close(mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    fn send(&self, job: Job) {
        let sent = self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            tracing::error!("The store has ended, state is not kept");
        }
    }
}

/// The latest record of each key, and whose it is.
type Records = BTreeMap<String, (u16, Record)>;

struct Writer {
    state_dir: PathBuf,
    records: Records,
    reports: tokio_mpsc::UnboundedSender<Stored>,
    refused: bool,
    /// Journalled records wait for the disk.
    dirty: bool,
}

impl Writer {
    fn run(mut self, inbox: &mpsc::Receiver<Job>) {
        loop {
            let first = if self.dirty {
                inbox.recv_timeout(FLUSH)
            } else {
                inbox
                    .recv()
                    .map_err(|_| mpsc::RecvTimeoutError::Disconnected)
            };
            match first {
                Ok(job) => self.turn(job, inbox),
                Err(mpsc::RecvTimeoutError::Timeout) => self.write_core(),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        if self.dirty {
            self.write_core();
        }
    }

    /// Everything that waits is written at once, then all of it is reported.
    fn turn(&mut self, first: Job, inbox: &mpsc::Receiver<Job>) {
        let (mut reports, mut site, mut commit) = (Vec::new(), None, false);
        for job in std::iter::once(first).chain(inbox.try_iter()) {
            match job {
                Job::Commit(client, id, record) => {
                    self.keep(client, record);
                    commit = true;
                    reports.push(Stored::Committed(client, id));
                }
                Job::Journal(client, record) => {
                    self.keep(client, record);
                    self.dirty = true;
                }
                Job::Site(saved) => {
                    site = Some(saved);
                    reports.push(Stored::SiteSaved);
                }
            }
        }
        if commit {
            self.write_core();
        }
        if let Some(site) = site {
            let written = snapshot::write(&self.state_dir.join(SITE.0), SITE.1, SITE.2, &site);
            self.note(written);
        }
        for report in reports {
            // The receiver is gone only when the agent ends.
            let _ = self.reports.send(report);
        }
    }

    fn keep(&mut self, client: ClientId, record: Record) {
        let key = format!("{}/{}", client.0, record.key());
        if record.is_removal() {
            self.records.remove(&key);
        } else {
            self.records.insert(key, (client.0, record));
        }
    }

    fn write_core(&mut self) {
        self.dirty = false;
        let written = snapshot::write(&self.state_dir.join(CORE.0), CORE.1, CORE.2, &self.records);
        self.note(written);
    }

    fn note(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) if self.refused => {
                self.refused = false;
                let _ = self.reports.send(Stored::Trouble(None));
            }
            Err(error) if !self.refused => {
                self.refused = true;
                tracing::error!(%error, "Cannot write to the state directory");
                let _ = self.reports.send(Stored::Trouble(Some(error.to_string())));
            }
            Ok(()) | Err(_) => {}
        }
    }
}
