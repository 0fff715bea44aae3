//! The latest record of each key: a snapshot, and what came after it as frames of a tail file.
//!
//! A tail belongs to the snapshot whose checksum its first frame names. A new snapshot is written
//! with everything that the tail says, so from that moment on the old tail counts no more; until
//! then it counts with the old snapshot.

use std::{collections::BTreeMap, io};

use lamplighter_lwm2m::{boundary::ClientId, saved::Record};
use zeroize::Zeroizing;

use super::{
    disk::Disk,
    snapshot,
    tail::{Room, Tail},
};

pub(super) const SNAPSHOT: &str = "core.cbor";
pub(super) const TAIL: &str = "core.tail";
const FORMAT: &str = "lamplighter core";
const VERSION: u32 = 1;

/// Bytes of a half of the tail: how much comes together before a snapshot is written.
const HALF: usize = 32 * 1024;

/// A key of any client: `CLIENT/KEY`.
pub(super) type Key = String;

/// What is known of the keys.
#[derive(Debug)]
pub(super) struct Records {
    latest: BTreeMap<Key, (u16, Record)>,
    /// Of the snapshot that the tail belongs to.
    base: u32,
    tail: Tail,
    /// Not everything is in snapshot and tail.
    is_behind: bool,
    /// Keys that do not count any more may stand in what came before.
    is_stained: bool,
}

/// The key of a record of this client.
pub(super) fn key(client: ClientId, record: &Record) -> Key {
    format!("{}/{}", client.0, record.key())
}

impl Records {
    /// What the disk holds; a tail that cannot be read is reported and counts as not there.
    pub(super) fn load(disk: &mut dyn Disk) -> Self {
        let found = snapshot::read(disk, SNAPSHOT, FORMAT, VERSION);
        let (latest, base) = match found {
            Some(found) => (found.body, found.checksum),
            None => (BTreeMap::new(), 0),
        };
        let (tail, frames) = Tail::load(disk, TAIL, HALF);
        let mut records = Self {
            latest,
            base,
            tail,
            is_behind: false,
            is_stained: false,
        };
        records.replay(&frames);
        records
    }

    fn replay(&mut self, frames: &[Vec<u8>]) {
        let Some((base, frames)) = frames.split_first() else {
            return;
        };
        if *base != self.base.to_le_bytes() {
            return;
        }
        for frame in frames {
            match minicbor_serde::from_slice::<Vec<(u16, Record)>>(frame) {
                Ok(changes) => changes
                    .into_iter()
                    .for_each(|(client, record)| self.apply(client, record)),
                Err(error) => {
                    tracing::error!(%error, "A record is not understood, nor what came after it");
                    return;
                }
            }
        }
    }

    fn apply(&mut self, client: u16, record: Record) {
        let key = key(ClientId(client), &record);
        if record.is_removal() {
            self.latest.remove(&key);
        } else {
            self.latest.insert(key, (client, record));
        }
    }

    pub(super) fn all(&self) -> Vec<(ClientId, Record)> {
        let all = self.latest.values();
        all.map(|(client, record)| (ClientId(*client), record.clone()))
            .collect()
    }

    /// Keeps records, all of them or none. They are with the operating system when it returns; where
    /// it fails, they are written with the next.
    pub(super) fn keep(
        &mut self,
        disk: &mut dyn Disk,
        changes: impl IntoIterator<Item = (ClientId, Record)>,
    ) -> io::Result<()> {
        let changes = changes.into_iter();
        let changes: Vec<_> = changes.map(|(client, record)| (client.0, record)).collect();
        if !changes.is_empty() {
            // What was refused, or had no room, goes into the next snapshot.
            self.is_behind |= !self.append(disk, &changes).unwrap_or(false);
        }
        let ends_keys = changes.iter().any(|(_, record)| ends_keys(record));
        for (client, record) in changes {
            self.apply(client, record);
        }
        self.is_stained |= ends_keys && !self.is_on_trial();
        if self.is_stained {
            return self.scrub(disk);
        }
        match self.is_behind {
            true => self.fold(disk),
            false => Ok(()),
        }
    }

    /// Former accounts may come back, and are among what counts.
    fn is_on_trial(&self) -> bool {
        let mut latest = self.latest.values();
        latest.any(|(_, record)| matches!(record, Record::Fallback(_)))
    }

    /// Writes over everything but what counts. At any moment there is one intact snapshot, and at the
    /// end there are two.
    fn scrub(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        self.fold(disk)?;
        self.tail.sync(disk)?;
        snapshot::wipe_previous(disk, SNAPSHOT)?;
        self.fold(disk)?;
        self.tail.wipe_rest(disk)?;
        self.is_stained = false;
        Ok(())
    }

    /// Whether there was room for it.
    fn append(&mut self, disk: &mut dyn Disk, changes: &[(u16, Record)]) -> io::Result<bool> {
        // It may hold keys.
        let body = minicbor_serde::to_vec(changes).map_err(io::Error::other)?;
        let body = Zeroizing::new(body);
        Ok(self.tail.append(disk, &body)? == Room::Written)
    }

    /// Writes a snapshot of everything and begins its tail.
    fn fold(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        self.tail.end();
        self.sync(disk)?;
        self.base = snapshot::write(disk, SNAPSHOT, FORMAT, VERSION, &self.latest)?;
        self.tail.begin(disk, &self.base.to_le_bytes(), false)?;
        self.is_behind = false;
        Ok(())
    }

    pub(super) fn sync(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        match self.tail.is_unsynced() {
            true => self.tail.sync(disk),
            false => Ok(()),
        }
    }

    pub(super) const fn is_unsynced(&self) -> bool {
        self.is_behind || self.is_stained || self.tail.is_unsynced()
    }

    /// Tries again what the disk refused, and makes everything durable.
    pub(super) fn flush(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        self.keep(disk, [])?;
        self.sync(disk)
    }
}

/// Whether the keys of accounts are others from here on.
const fn ends_keys(record: &Record) -> bool {
    matches!(record, Record::Fallback(None) | Record::Given(_))
}
