//! The state of the site: one snapshot, replaced whole.

use std::io;

use lamplighter_site::saved::SavedSite;

use super::{disk::Disk, snapshot};

pub(super) const FILE: &str = "site.cbor";
const FORMAT: &str = "lamplighter site";
const VERSION: u32 = 1;

pub(super) fn read(disk: &mut dyn Disk) -> Option<SavedSite> {
    snapshot::read(disk, FILE, FORMAT, VERSION).map(|found| found.body)
}

pub(super) fn write(disk: &mut dyn Disk, site: &SavedSite) -> io::Result<()> {
    snapshot::write(disk, FILE, FORMAT, VERSION, site).map(drop)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lamplighter_site::saved::{SavedGroup, SavedOutput};

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
}
