//! The zone of the machine, for what the site does by the clock.

use std::{fs, path::Path, sync::Arc};

use lamplighter_site::rule::Zone;

/// Where every Linux has it.
const FILE: &str = "/etc/localtime";

/// Read anew now and then, so that a change needs no restart.
#[derive(Debug)]
pub(super) struct LocalZone {
    file: Vec<u8>,
    zone: Arc<Zone>,
}

impl Default for LocalZone {
    fn default() -> Self {
        Self {
            file: Vec::new(),
            zone: Arc::new(Zone::utc()),
        }
    }
}

impl LocalZone {
    pub(super) fn look(&mut self) -> Arc<Zone> {
        self.look_at(Path::new(FILE))
    }

    /// Without a file it is UTC; one that cannot be understood changes nothing.
    fn look_at(&mut self, path: &Path) -> Arc<Zone> {
        let file = fs::read(path).unwrap_or_default();
        if file != self.file {
            let zone = match Zone::from_tz_data(&file) {
                Some(zone) => Some(zone),
                None if file.is_empty() => Some(Zone::utc()),
                None => None,
            };
            match zone {
                Some(zone) => self.zone = Arc::new(zone),
                None => tracing::warn!(path = %path.display(), "The time zone is not understood"),
            }
            self.file = file;
        }
        Arc::clone(&self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_read_anew_and_nonsense_changes_nothing() {
        let directory = crate::fake::directory("local-zone");
        let path = directory.join("localtime");
        let mut local = LocalZone::default();
        assert_eq!(*local.look_at(&path), Zone::utc());
        // Two hours east of Greenwich, without a rule (RFC 9636, 3).
        let mut file = b"TZif".to_vec();
        file.extend([0; 16]);
        for count in [0u32, 0, 0, 0, 1, 4] {
            file.extend(count.to_be_bytes());
        }
        file.extend(7200i32.to_be_bytes());
        file.extend([0, 0]);
        file.extend(b"EET\0");
        crate::atomic::write(&path, &file, 0o644).unwrap();
        let east = local.look_at(&path);
        assert_ne!(*east, Zone::utc());
        crate::atomic::write(&path, b"nonsense", 0o644).unwrap();
        assert_eq!(local.look_at(&path), east);
        fs::remove_file(&path).unwrap();
        assert_eq!(*local.look_at(&path), Zone::utc());
        fs::remove_dir_all(directory).unwrap();
    }
}
