//! The log of events: lines of JSON in two files. Lines are appended to the newer; when it has half of
//! the bound, it becomes the older. Nothing else is ever written into them, so that whatever a power
//! cut leaves at the end is at worst a line that cannot be read.

use std::{collections::VecDeque, io};

use tokio::sync::oneshot;

use super::{disk::Disk, snapshot};
use crate::events::{Entry, LoadedLog, SavedLog};

const OLDER: &str = "events.1.jsonl";
const NEWER: &str = "events.jsonl";
/// In the order of what stands in them.
pub(crate) const FILES: [&str; 2] = [OLDER, NEWER];

/// What object 20 holds.
pub(super) const SNAPSHOT: &str = "events.cbor";
const FORMAT: &str = "lamplighter events";
const VERSION: u32 = 1;

/// Bytes at the end of a file that are read at start; more than is logged between two snapshots.
const END: usize = 64 * 1024;
/// Lines that may wait for the disk, in bytes; the oldest are dropped first.
const MAX_WAITING: usize = 256 * 1024;

/// What waits for the thread.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    lines: VecDeque<String>,
    bytes: usize,
    saved: Option<SavedLog>,
    written: Vec<oneshot::Sender<()>>,
}

#[derive(Debug)]
pub(super) struct EventFiles {
    /// Of the newer file.
    length: u64,
    /// The bound of both files together.
    max: u64,
    /// What the disk refused.
    waiting: Waiting,
    is_unsynced: bool,
    /// The newer file may end within a line.
    is_torn: bool,
    /// The name of the newer file is on the disk.
    is_named: bool,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.saved.is_none() && self.written.is_empty()
    }

    pub(super) fn append(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > MAX_WAITING
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= oldest.len();
        }
    }

    pub(super) fn save(&mut self, log: SavedLog, written: oneshot::Sender<()>) {
        self.saved = Some(log);
        self.written.push(written);
    }

    /// What has come since goes behind what is here.
    fn add(&mut self, since: Self) {
        since.lines.into_iter().for_each(|line| self.append(line));
        if since.saved.is_some() {
            self.saved = since.saved;
        }
        self.written.extend(since.written);
    }
}

impl EventFiles {
    /// The last lines of the files.
    pub(super) fn load(disk: &mut dyn Disk, max: u64) -> (Self, LoadedLog) {
        let mut end = |name: &str| {
            let end = disk.end(name, END).unwrap_or_else(|error| {
                tracing::error!(name, %error, "Cannot read the log of events");
                None
            });
            end.unwrap_or_default()
        };
        let (_, older) = end(OLDER);
        let (length, newer) = end(NEWER);
        let saved = snapshot::read(disk, SNAPSHOT, FORMAT, VERSION).map(|found| found.body);
        let files = Self {
            length,
            max,
            waiting: Waiting::default(),
            is_unsynced: false,
            is_named: false,
            is_torn: newer.last().is_some_and(|last| *last != b'\n'),
        };
        let lines = [older, newer].concat();
        let lines = lines.split(|byte| *byte == b'\n');
        let mut entries: Vec<Entry> = Vec::new();
        for entry in lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok()) {
            // They only rise, unless somebody has put a file there.
            if entries.last().is_none_or(|last| last.id < entry.id) {
                entries.push(entry);
            }
        }
        let log = LoadedLog {
            saved,
            lines: entries,
        };
        (files, log)
    }

    /// Writes what waits; what the disk refuses waits on.
    pub(super) fn write(&mut self, disk: &mut dyn Disk, waiting: Waiting) -> io::Result<()> {
        self.waiting.add(waiting);
        let written = self.write_waiting(disk);
        // Whoever waits is told in any case: the box goes on without a disk.
        for written in self.waiting.written.drain(..) {
            // Nobody may be waiting any more.
            let _ = written.send(());
        }
        written
    }

    pub(super) fn is_unsynced(&self) -> bool {
        self.is_unsynced || !self.waiting.is_empty()
    }

    /// Makes everything durable.
    pub(super) fn flush(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        self.write_waiting(disk)?;
        self.sync(disk)
    }

    fn sync(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        if !self.is_unsynced {
            return Ok(());
        }
        disk.sync(NEWER)?;
        if !self.is_named {
            disk.sync_names()?;
        }
        (self.is_unsynced, self.is_named) = (false, true);
        Ok(())
    }

    fn write_waiting(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        if !self.waiting.lines.is_empty() {
            self.rotate(disk)?;
            let end_of_torn = if self.is_torn { "\n" } else { "" };
            let lines = self.waiting.lines.iter().map(String::as_str);
            let lines: String = std::iter::once(end_of_torn).chain(lines).collect();
            disk.write_at(NEWER, self.length, lines.as_bytes())?;
            self.length += lines.len() as u64;
            (self.is_torn, self.is_unsynced) = (false, true);
            self.waiting.lines.clear();
            self.waiting.bytes = 0;
        }
        if self.waiting.saved.is_none() {
            return Ok(());
        }
        // The lines are first: numbers that are in the snapshot are not given again.
        self.sync(disk)?;
        if let Some(saved) = &self.waiting.saved {
            snapshot::write(disk, SNAPSHOT, FORMAT, VERSION, saved)?;
        }
        self.waiting.saved = None;
        Ok(())
    }

    /// Begins a new file when the newer has its share.
    fn rotate(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        let waiting = self.waiting.bytes as u64;
        if self.length == 0 || self.length + waiting < self.max / 2 {
            return Ok(());
        }
        disk.sync(NEWER)?;
        disk.rename(NEWER, OLDER)?;
        self.length = 0;
        (self.is_torn, self.is_unsynced, self.is_named) = (false, false, false);
        disk.sync_names()
    }
}
