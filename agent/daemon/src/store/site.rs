//! The state of the site: a snapshot, and what has changed since as frames of a tail file, each of
//! them on the disk before it is reported as kept.
//!
//! As with the records of the core, a tail belongs to the snapshot whose checksum its first frame
//! names.

use std::io;

use lamplighter_site::saved::{SavedChange, SavedPart, SavedSite};

use super::{
    disk::Disk,
    locks, snapshot,
    tail::{Room, Tail},
};

pub(super) const FILE: &str = "site.cbor";
pub(super) const TAIL: &str = "site.tail";
const FORMAT: &str = "lamplighter site";
const VERSION: u32 = 1;

/// Bytes of a half of the tail: a snapshot is written when so much has changed. A snapshot of 2,000
/// outputs is some ten times as much.
const HALF: usize = 64 * 1024;

/// What is kept of the site.
#[derive(Debug)]
pub(super) struct SiteFiles {
    /// `None` before the site was first kept.
    latest: Option<SavedSite>,
    /// Of the snapshot that the tail belongs to.
    base: u32,
    tail: Tail,
    /// Not everything is in snapshot and tail.
    is_behind: bool,
    /// Something is in the tail only.
    has_tail: bool,
    /// The list of maintenance locks that is on the disk, where that is known.
    listed: Option<String>,
    /// The disk did not take the last list.
    is_list_behind: bool,
}

impl SiteFiles {
    pub(super) fn load(disk: &mut dyn Disk) -> Self {
        let found = snapshot::read(disk, FILE, FORMAT, VERSION);
        let (latest, base) = match found {
            Some(found) => (Some(found.body), found.checksum),
            None => (None, 0),
        };
        let (tail, frames) = Tail::load(disk, TAIL, HALF);
        let mut files = Self {
            latest,
            base,
            tail,
            is_behind: false,
            has_tail: false,
            listed: None,
            is_list_behind: false,
        };
        files.replay(&frames);
        files.take_locks(disk);
        files
    }

    /// The maintenance locks of their own list, whatever has become of the rest.
    fn take_locks(&mut self, disk: &mut dyn Disk) {
        let listed = match (locks::read(disk), &self.latest) {
            (Some(listed), _) => listed,
            // A version without the list has kept the locks in what cannot be read.
            (None, None) => locks::Found {
                is_unknown: exists(disk),
                ..locks::Found::default()
            },
            (None, Some(_)) => return,
        };
        if self.latest.is_none() && listed == locks::Found::default() {
            return;
        }
        let site = self.latest.get_or_insert_default();
        // The site knows more of those that both know.
        let mut all = listed.locks;
        all.append(&mut site.locks);
        site.locks = all;
        site.locks_unknown |= listed.is_unknown;
    }

    fn replay(&mut self, frames: &[Vec<u8>]) {
        let Some((base, frames)) = frames.split_first() else {
            return;
        };
        if *base != self.base.to_le_bytes() {
            return;
        }
        for frame in frames {
            match minicbor_serde::from_slice::<SavedPart>(frame) {
                Ok(part) => {
                    self.apply(SavedChange::Part(part));
                    self.has_tail = true;
                }
                Err(error) => {
                    tracing::error!(%error, "A change of the site is not understood, nor what came after it");
                    return;
                }
            }
        }
    }

    fn apply(&mut self, change: SavedChange) {
        self.latest.get_or_insert_default().apply(change);
    }

    pub(super) const fn latest(&self) -> Option<&SavedSite> {
        self.latest.as_ref()
    }

    /// Makes a change durable; where that fails, it is tried again with the next.
    pub(super) fn keep(&mut self, disk: &mut dyn Disk, change: SavedChange) -> io::Result<()> {
        let appended = match &change {
            SavedChange::Part(part) => self.append(disk, part).unwrap_or(false),
            SavedChange::Whole(_) => false,
        };
        self.is_behind |= !appended;
        self.apply(change);
        self.flush(disk)
    }

    /// Whether there was room for it.
    fn append(&mut self, disk: &mut dyn Disk, part: &SavedPart) -> io::Result<bool> {
        let body = minicbor_serde::to_vec(part).map_err(io::Error::other)?;
        let is_written = self.tail.append(disk, &body)? == Room::Written;
        self.has_tail |= is_written;
        Ok(is_written)
    }

    /// Writes a snapshot of everything and begins its tail.
    fn fold(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        let Some(latest) = &self.latest else {
            return Ok(());
        };
        self.tail.end();
        self.base = snapshot::write(disk, FILE, FORMAT, VERSION, latest)?;
        self.tail.begin(disk, &self.base.to_le_bytes(), false)?;
        (self.is_behind, self.has_tail) = (false, false);
        Ok(())
    }

    pub(super) const fn is_unsynced(&self) -> bool {
        self.is_list_behind || self.is_behind || self.tail.is_unsynced()
    }

    /// Tries again what the disk refused, and makes everything durable.
    pub(super) fn flush(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        let listed = self.list_locks(disk);
        if self.is_behind {
            self.fold(disk)?;
        }
        if self.tail.is_unsynced() {
            self.tail.sync(disk)?;
        }
        listed
    }

    fn list_locks(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        let Some(site) = &self.latest else {
            return Ok(());
        };
        let listed = locks::write(disk, &mut self.listed, site);
        self.is_list_behind = listed.is_err();
        listed
    }

    /// At the end of the program everything stands in the snapshot, where programs that know of no
    /// tail find it.
    pub(super) fn close(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        self.is_behind |= self.has_tail;
        self.flush(disk)
    }
}

fn exists(disk: &mut dyn Disk) -> bool {
    [FILE.to_owned(), snapshot::previous(FILE)]
        .iter()
        .any(|file| !matches!(disk.read(file), Ok(None)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lamplighter_model::{BootId, device::Origin};
    use lamplighter_site::saved::{SavedCounters, SavedGroup, SavedLock, SavedMoment, SavedOutput};

    use super::*;
    use crate::store::StateDir;

    /// As the first versions of the program kept it: without rules.
    #[derive(serde::Serialize)]
    struct First {
        version: u16,
        outputs: BTreeMap<String, SavedOutput>,
        groups: BTreeMap<String, SavedGroup>,
    }

    #[test]
    fn what_a_version_without_rules_kept_is_read() {
        let directory = crate::fake::directory("site-first");
        let mut disk = StateDir::new(&directory);
        let outputs: BTreeMap<_, _> = [("lamps.l1".to_owned(), SavedOutput::default())].into();
        let first = First {
            version: SavedSite::VERSION,
            outputs: outputs.clone(),
            groups: BTreeMap::new(),
        };
        snapshot::write(&mut disk, FILE, FORMAT, VERSION, &first).unwrap();
        let files = SiteFiles::load(&mut disk);
        let found = files.latest().unwrap();
        assert_eq!(found.outputs, outputs);
        assert!(found.rules.is_empty());
        std::fs::remove_dir_all(directory).unwrap();
    }

    fn switched(times: u64) -> SavedChange {
        let counters = SavedCounters {
            switches: times,
            ..SavedCounters::default()
        };
        let output = SavedOutput {
            counters,
            ..SavedOutput::default()
        };
        SavedChange::Part(SavedPart {
            outputs: [("lamps.l1".to_owned(), output)].into(),
            rest: None,
        })
    }

    /// A site of so many outputs, kept.
    fn site_of(outputs: u16, disk: &mut dyn Disk) -> SiteFiles {
        let names = (1..=outputs).map(|number| format!("lamps.l{number}"));
        let site = SavedSite {
            outputs: names.map(|name| (name, SavedOutput::default())).collect(),
            ..SavedSite::default()
        };
        let mut files = SiteFiles::load(disk);
        files.keep(disk, SavedChange::Whole(site)).unwrap();
        files
    }

    fn switches(files: &SiteFiles) -> u64 {
        let output = &files.latest().unwrap().outputs["lamps.l1"];
        output.counters.switches
    }

    #[test]
    fn a_change_of_one_output_of_many_writes_no_snapshot_and_is_found_again() {
        let directory = crate::fake::directory("site-part");
        let mut disk = StateDir::new(&directory);
        let mut files = site_of(2000, &mut disk);
        let snapshot = disk.read(FILE).unwrap();
        for times in 1..=100 {
            files.keep(&mut disk, switched(times)).unwrap();
        }
        assert_eq!(disk.read(FILE).unwrap(), snapshot);
        let mut files = SiteFiles::load(&mut disk);
        assert_eq!(switches(&files), 100);
        assert_eq!(files.latest().unwrap().outputs.len(), 2000);
        // Nothing goes on behind what another process has written.
        files.keep(&mut disk, switched(101)).unwrap();
        assert_ne!(disk.read(FILE).unwrap(), snapshot);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn more_changes_than_the_tail_takes_go_into_a_snapshot() {
        let directory = crate::fake::directory("site-full");
        let mut disk = StateDir::new(&directory);
        let mut files = site_of(20, &mut disk);
        for times in 1..=2000 {
            files.keep(&mut disk, switched(times)).unwrap();
        }
        assert_eq!(switches(&SiteFiles::load(&mut disk)), 2000);
        let tail = disk.read(TAIL).unwrap().unwrap();
        assert_eq!(tail.len(), 2 * HALF);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn at_the_end_of_the_program_the_snapshot_holds_everything() {
        let directory = crate::fake::directory("site-closed");
        let mut disk = StateDir::new(&directory);
        let mut files = site_of(20, &mut disk);
        files.keep(&mut disk, switched(7)).unwrap();
        files.close(&mut disk).unwrap();
        disk.remove(TAIL).unwrap();
        assert_eq!(switches(&SiteFiles::load(&mut disk)), 7);
        std::fs::remove_dir_all(directory).unwrap();
    }

    /// The next program may know of no tail.
    #[test]
    fn what_the_last_process_left_in_the_tail_is_in_the_snapshot_after_one_that_changes_nothing() {
        let directory = crate::fake::directory("site-quiet");
        let mut disk = StateDir::new(&directory);
        let mut killed = site_of(20, &mut disk);
        killed.keep(&mut disk, switched(7)).unwrap();
        SiteFiles::load(&mut disk).close(&mut disk).unwrap();
        disk.remove(TAIL).unwrap();
        assert_eq!(switches(&SiteFiles::load(&mut disk)), 7);
        std::fs::remove_dir_all(directory).unwrap();
    }

    fn locked() -> SavedSite {
        let lock = SavedLock {
            by: Origin::Local("anna".to_owned()),
            since: SavedMoment {
                boot: BootId(3),
                mono_ns: 7,
                unix: None,
            },
            outputs: vec!["lamps.l1".to_owned()],
        };
        SavedSite {
            locks: [("main_street".to_owned(), lock)].into(),
            outputs: [("lamps.l1".to_owned(), SavedOutput::default())].into(),
            ..SavedSite::default()
        }
    }

    fn keep(disk: &mut StateDir, site: &SavedSite) {
        let mut files = SiteFiles::load(disk);
        files.keep(disk, SavedChange::Whole(site.clone())).unwrap();
    }

    fn kept(disk: &mut StateDir) -> Option<SavedSite> {
        SiteFiles::load(disk).latest().cloned()
    }

    fn damage(disk: &mut StateDir, file: &str) {
        for file in [file.to_owned(), snapshot::previous(file)] {
            disk.remove(&file).unwrap();
            disk.write_at(&file, 0, b"not any more").unwrap();
        }
    }

    #[test]
    fn locks_survive_whatever_becomes_of_the_state_of_the_site() {
        let mut disk = StateDir::new(&crate::fake::directory("site-locks"));
        keep(&mut disk, &locked());
        assert_eq!(kept(&mut disk), Some(locked()), "the site knows more");
        damage(&mut disk, FILE);
        let found = kept(&mut disk).unwrap();
        assert_eq!(found.locks["main_street"].outputs, ["lamps.l1"]);
        assert!(!found.locks_unknown);
        damage(&mut disk, locks::FILE);
        let found = kept(&mut disk).unwrap();
        assert!(found.locks.is_empty() && found.locks_unknown);
    }

    #[test]
    fn where_only_the_list_is_damaged_the_site_still_says_what_is_locked() {
        let mut disk = StateDir::new(&crate::fake::directory("site-list"));
        keep(&mut disk, &locked());
        damage(&mut disk, locks::FILE);
        let found = kept(&mut disk).unwrap();
        assert_eq!(found.locks, locked().locks);
        assert!(found.locks_unknown, "there may have been another");
    }

    #[test]
    fn a_state_without_a_list_has_its_locks_and_a_lost_one_says_that_nobody_knows() {
        let mut disk = StateDir::new(&crate::fake::directory("site-no-list"));
        assert_eq!(kept(&mut disk), None);
        keep(&mut disk, &locked());
        for file in [locks::FILE.to_owned(), snapshot::previous(locks::FILE)] {
            disk.remove(&file).unwrap();
        }
        assert_eq!(kept(&mut disk), Some(locked()));
        damage(&mut disk, FILE);
        assert!(kept(&mut disk).unwrap().locks_unknown);
    }
}
