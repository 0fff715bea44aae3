//! What survives a restart, on a thread of its own so that no disk ever holds up the loop.
//!
//! Accounts, registrations and the site's state are snapshots ([`snapshot`]). A commit is answered
//! when it is on the disk; what is only journalled is written with the next commit or after
//! [`FLUSH`]. A disk that refuses is reported, and the box goes on without it.

pub(crate) mod snapshot;

use std::{
    collections::BTreeMap,
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

use crate::clock;

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
    reports: tokio_mpsc::UnboundedSender<Stored>,
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
    Commit(ClientId, CommitId, Vec<Record>),
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
        let writer = Writer::new(state_dir, records, reports.clone(), FLUSH);
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(&inbox))
            .ok();
        (
            Self {
                jobs: Some(jobs),
                reports,
                thread,
                stored,
            },
            loaded,
        )
    }

    pub fn commit(&self, client: ClientId, id: CommitId, records: Vec<Record>) {
        self.send(Job::Commit(client, id, records));
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
        let Some(jobs) = &self.jobs else {
            return;
        };
        let Err(mpsc::SendError(job)) = jobs.send(job) else {
            return;
        };
        // The box goes on without it; nobody waits for what never comes.
        let trouble = "the store has ended, state is not kept".to_owned();
        let answer = match job {
            Job::Commit(client, id, _) => Some(Stored::Committed(client, id)),
            Job::Journal(..) => None,
            Job::Site(_) => Some(Stored::SiteSaved),
        };
        for report in std::iter::once(Stored::Trouble(Some(trouble))).chain(answer) {
            // The receiver lives as long as this.
            let _ = self.reports.send(report);
        }
    }
}

/// The latest record of each key, and whose it is.
type Records = BTreeMap<String, (u16, Record)>;

struct Writer {
    state_dir: PathBuf,
    records: Records,
    reports: tokio_mpsc::UnboundedSender<Stored>,
    flush: Duration,
    /// When what waits for the disk is written at the latest.
    due: Option<Duration>,
    /// Records wait for the disk.
    dirty: bool,
    /// The site's state, as long as it waits for the disk.
    site: Option<SavedSite>,
    /// Why the disk has refused the records and the site's state.
    troubles: [Option<String>; 2],
    is_told: bool,
}

impl Writer {
    fn new(
        state_dir: &Path,
        records: Records,
        reports: tokio_mpsc::UnboundedSender<Stored>,
        flush: Duration,
    ) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
            records,
            reports,
            flush,
            due: None,
            dirty: false,
            site: None,
            troubles: [None, None],
            is_told: false,
        }
    }

    fn run(mut self, inbox: &mpsc::Receiver<Job>) {
        loop {
            let first = match self.due {
                Some(due) => inbox.recv_timeout(due.saturating_sub(clock::mono())),
                None => inbox
                    .recv()
                    .map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            };
            match first {
                Ok(job) => self.turn(job, inbox),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            self.flush_due();
        }
        self.write();
    }

    /// Everything that waits is written at once, then all of it is reported.
    fn turn(&mut self, first: Job, inbox: &mpsc::Receiver<Job>) {
        let (mut reports, mut is_urgent) = (Vec::new(), false);
        for job in std::iter::once(first).chain(inbox.try_iter()) {
            match job {
                Job::Commit(client, id, records) => {
                    for record in records {
                        self.keep(client, record);
                    }
                    is_urgent = true;
                    reports.push(Stored::Committed(client, id));
                }
                Job::Journal(client, record) => self.keep(client, record),
                Job::Site(saved) => {
                    self.site = Some(saved);
                    reports.push(Stored::SiteSaved);
                }
            }
        }
        if is_urgent {
            self.write_records();
        }
        // Nothing of the site's waits here unless it came now or was refused before.
        self.write_site();
        self.tell_trouble();
        for report in reports {
            // The receiver is gone only when the agent ends.
            let _ = self.reports.send(report);
        }
    }

    /// Writes what has waited long enough, however much else there is to do. What the disk refuses
    /// is tried again after the same time.
    fn flush_due(&mut self) {
        let now = clock::mono();
        if self.due.is_some_and(|due| due <= now) {
            self.write();
            self.due = None;
        }
        if self.dirty || self.site.is_some() {
            self.due.get_or_insert(now + self.flush);
        } else {
            self.due = None;
        }
    }

    fn write(&mut self) {
        if self.dirty {
            self.write_records();
        }
        self.write_site();
        self.tell_trouble();
    }

    fn keep(&mut self, client: ClientId, record: Record) {
        let key = format!("{}/{}", client.0, record.key());
        if record.is_removal() {
            self.records.remove(&key);
        } else {
            self.records.insert(key, (client.0, record));
        }
        self.dirty = true;
    }

    fn write_records(&mut self) {
        let written = snapshot::write(&self.state_dir.join(CORE.0), CORE.1, CORE.2, &self.records);
        self.dirty = written.is_err();
        self.troubles[0] = written.err().map(|error| error.to_string());
    }

    fn write_site(&mut self) {
        let Some(site) = &self.site else {
            return;
        };
        let written = snapshot::write(&self.state_dir.join(SITE.0), SITE.1, SITE.2, site);
        if written.is_ok() {
            self.site = None;
        }
        self.troubles[1] = written.err().map(|error| error.to_string());
    }

    fn tell_trouble(&mut self) {
        let trouble = self.troubles.iter().flatten().next().cloned();
        if trouble.is_some() == self.is_told {
            return;
        }
        self.is_told = trouble.is_some();
        if let Some(error) = &trouble {
            tracing::error!(error, "Cannot write to the state directory");
        }
        let _ = self.reports.send(Stored::Trouble(trouble));
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_lwm2m::saved::SavedDevice;

    use super::*;

    const BOX: ClientId = ClientId(0);

    fn record(zone: &str) -> Record {
        Record::Device(SavedDevice {
            timezone: Some(zone.to_owned()),
            utc_offset: None,
        })
    }

    /// A writer, what it reports, and its directory, which is not there yet.
    fn writer(
        name: &str,
        flush: Duration,
    ) -> (Writer, tokio_mpsc::UnboundedReceiver<Stored>, PathBuf) {
        let state_dir = crate::fake::directory(name).join("later");
        let (reports, stored) = tokio_mpsc::unbounded_channel();
        let writer = Writer::new(&state_dir, BTreeMap::new(), reports, flush);
        (writer, stored, state_dir)
    }

    fn loaded(state_dir: &Path) -> Vec<Record> {
        let records = Store::open(state_dir).1.records.into_iter();
        records.map(|(_, record)| record).collect()
    }

    #[test]
    fn what_the_disk_refused_is_written_when_it_takes_again() {
        let (mut writer, mut stored, state_dir) = writer("refused", Duration::ZERO);
        let (_jobs, inbox) = mpsc::channel();
        writer.turn(Job::Commit(BOX, CommitId(1), vec![record("a")]), &inbox);
        writer.turn(Job::Site(SavedSite::default()), &inbox);
        let mut reports = Vec::new();
        while let Ok(report) = stored.try_recv() {
            reports.push(report);
        }
        assert!(
            matches!(
                reports[..],
                [
                    Stored::Trouble(Some(_)),
                    Stored::Committed(BOX, CommitId(1)),
                    Stored::SiteSaved
                ]
            ),
            "{reports:?}"
        );
        std::fs::create_dir(&state_dir).unwrap();
        writer.flush_due();
        writer.flush_due();
        assert_eq!(stored.try_recv(), Ok(Stored::Trouble(None)));
        assert_eq!(writer.due, None);
        let (_, loaded) = Store::open(&state_dir);
        assert_eq!(loaded.records, [(BOX, record("a"))]);
        assert!(loaded.site.is_some());
    }

    #[test]
    fn records_that_keep_coming_do_not_put_off_the_flush() {
        let (mut writer, _stored, state_dir) = writer("flush", Duration::from_secs(3600));
        std::fs::create_dir(&state_dir).unwrap();
        let (_jobs, inbox) = mpsc::channel();
        writer.turn(Job::Journal(BOX, record("a")), &inbox);
        writer.flush_due();
        let due = writer.due;
        writer.turn(Job::Journal(BOX, record("b")), &inbox);
        writer.flush_due();
        assert_eq!((writer.due, due.is_some()), (due, true));
        assert_eq!(loaded(&state_dir), []);
        writer.due = Some(Duration::ZERO);
        writer.flush_due();
        assert_eq!(loaded(&state_dir), [record("b")]);
    }

    #[test]
    fn nobody_waits_for_a_store_that_has_ended() {
        let (mut store, _) = Store::open(&crate::fake::directory("ended"));
        let (jobs, inbox) = mpsc::channel();
        drop(inbox);
        store.jobs = Some(jobs);
        store.commit(BOX, CommitId(7), vec![record("a")]);
        assert!(matches!(
            store.stored.try_recv(),
            Ok(Stored::Trouble(Some(_)))
        ));
        assert_eq!(
            store.stored.try_recv(),
            Ok(Stored::Committed(BOX, CommitId(7)))
        );
    }
}
