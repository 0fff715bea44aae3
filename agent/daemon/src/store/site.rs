//! The state of the site: one snapshot, replaced whole.

use std::{collections::BTreeMap, io};

use lamplighter_site::saved::SavedSite;

use super::{disk::Disk, locks, snapshot};

pub(super) const FILE: &str = "site.cbor";
const FORMAT: &str = "lamplighter site";
const VERSION: u32 = 1;

/// With the maintenance locks of their own list, whatever has become of the rest.
pub(super) fn read(disk: &mut dyn Disk) -> Option<SavedSite> {
    let found = snapshot::read::<SavedSite>(disk, FILE, FORMAT, VERSION).map(|found| found.body);
    let listed = match (locks::read(disk), &found) {
        (Some(listed), _) => listed,
        // A version without the list has kept the locks in what cannot be read.
        (None, None) => locks::Found {
            locks: BTreeMap::new(),
            is_unknown: exists(disk),
        },
        (None, Some(_)) => return found,
    };
    if found.is_none() && listed == locks::Found::default() {
        return None;
    }
    let mut site = found.unwrap_or_default();
    let mut all = listed.locks;
    // The site knows more of those that both know.
    all.append(&mut site.locks);
    Some(SavedSite {
        locks: all,
        locks_unknown: site.locks_unknown || listed.is_unknown,
        ..site
    })
}

fn exists(disk: &mut dyn Disk) -> bool {
    [FILE.to_owned(), snapshot::previous(FILE)]
        .iter()
        .any(|file| !matches!(disk.read(file), Ok(None)))
}

pub(super) fn write(disk: &mut dyn Disk, site: &SavedSite) -> io::Result<()> {
    snapshot::write(disk, FILE, FORMAT, VERSION, site).map(drop)
}

#[cfg(test)]
mod tests {
    use lamplighter_model::{BootId, device::Origin};
    use lamplighter_site::saved::{SavedGroup, SavedLock, SavedMoment, SavedOutput};

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
        let found = read(&mut disk).unwrap();
        assert_eq!(found.outputs, outputs);
        assert!(found.rules.is_empty());
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

    fn both(disk: &mut StateDir, site: &SavedSite) {
        locks::write(disk, &mut None, site).unwrap();
        write(disk, site).unwrap();
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
        both(&mut disk, &locked());
        assert_eq!(read(&mut disk), Some(locked()), "the site knows more");
        damage(&mut disk, FILE);
        let found = read(&mut disk).unwrap();
        assert_eq!(found.locks["main_street"].outputs, ["lamps.l1"]);
        assert!(!found.locks_unknown);
        damage(&mut disk, locks::FILE);
        let found = read(&mut disk).unwrap();
        assert!(found.locks.is_empty() && found.locks_unknown);
    }

    #[test]
    fn where_only_the_list_is_damaged_the_site_still_says_what_is_locked() {
        let mut disk = StateDir::new(&crate::fake::directory("site-list"));
        both(&mut disk, &locked());
        damage(&mut disk, locks::FILE);
        let found = read(&mut disk).unwrap();
        assert_eq!(found.locks, locked().locks);
        assert!(found.locks_unknown, "there may have been another");
    }

    #[test]
    fn a_state_without_a_list_has_its_locks_and_a_lost_one_says_that_nobody_knows() {
        let mut disk = StateDir::new(&crate::fake::directory("site-no-list"));
        assert_eq!(read(&mut disk), None);
        write(&mut disk, &locked()).unwrap();
        assert_eq!(read(&mut disk), Some(locked()));
        damage(&mut disk, FILE);
        assert!(read(&mut disk).unwrap().locks_unknown);
    }
}
