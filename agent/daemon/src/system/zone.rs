//! The time zone of the machine, as object 3 tells it (3/0/14, 3/0/15).

use std::{fs, path::PathBuf};

use lamplighter_model::Now;
use tz::TimeZone;

/// Name and offset; empty where not known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Told {
    /// As in the tz database: `Europe/Paris`.
    pub(crate) name: String,
    /// `+02:00`
    pub(crate) utc_offset: String,
}

#[derive(Debug)]
pub(super) struct Zone {
    /// `/` but in tests.
    root: PathBuf,
}

impl Zone {
    pub(super) const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// What holds now. While the date is not known, the offset is not either.
    pub(super) fn look(&self, now: Now) -> Told {
        let unix = now.unix.map(|unix| unix.seconds());
        let offset = unix.and_then(|unix| self.offset(unix));
        Told {
            name: self.name(),
            utc_offset: offset.map(text_of).unwrap_or_default(),
        }
    }

    /// Where the link says it, or the file of Debian; without either the machine is in UTC.
    fn name(&self) -> String {
        let file = self.root.join("etc/localtime");
        let target = fs::read_link(&file).unwrap_or_default();
        let linked = target
            .to_str()
            .and_then(|path| path.split_once("zoneinfo/"))
            .map(|(_, name)| name.to_owned());
        let written = || {
            let text = fs::read_to_string(self.root.join("etc/timezone")).ok()?;
            let name = text.lines().next()?.trim().to_owned();
            (!name.is_empty()).then_some(name)
        };
        let without = || (!file.exists()).then(|| "Etc/UTC".to_owned());
        linked.or_else(written).or_else(without).unwrap_or_default()
    }

    /// Seconds east of Greenwich.
    fn offset(&self, unix: i64) -> Option<i32> {
        let file = self.root.join("etc/localtime");
        if !file.exists() {
            return Some(0);
        }
        let zone = TimeZone::from_tz_data(&fs::read(file).ok()?).ok()?;
        Some(zone.find_local_time_type(unix).ok()?.ut_offset())
    }
}

/// `+02:00`; the seconds of the time before zones are left out.
fn text_of(offset: i32) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.unsigned_abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use lamplighter_model::UnixTime;

    use super::*;
    use crate::fake::now_at;

    /// A file of the tz database that says everything by its rule (RFC 9636, 3).
    fn tz_file(rule: &str) -> Vec<u8> {
        let mut part = b"TZif2".to_vec();
        part.extend([0; 15]);
        // Of UT and standard indicators, leap seconds, transitions, types, letters.
        for count in [0u32, 0, 0, 0, 1, 4] {
            part.extend(count.to_be_bytes());
        }
        part.extend([0; 6]);
        part.extend(b"LMT\0");
        [part.clone(), part, format!("\n{rule}\n").into_bytes()].concat()
    }

    fn machine(localtime: Option<&str>, timezone: Option<&str>) -> Zone {
        let root = crate::fake::directory("zone");
        fs::create_dir_all(root.join("etc")).unwrap();
        let files = [
            ("etc/localtime", localtime.map(tz_file)),
            (
                "etc/timezone",
                timezone.map(|name| name.as_bytes().to_vec()),
            ),
        ];
        for (name, content) in files {
            if let Some(content) = content {
                crate::atomic::write(&root.join(name), &content, 0o644).unwrap();
            }
        }
        Zone::new(root)
    }

    fn offset(zone: &Zone, unix: i64) -> String {
        let now = Now {
            unix: Some(UnixTime::from_seconds(unix)),
            ..now_at(1)
        };
        zone.look(now).utc_offset
    }

    const JANUARY: i64 = 1_768_478_400;
    const JULY: i64 = 1_784_116_800;

    #[test]
    fn the_offset_follows_the_seasons() {
        let berlin = machine(Some("CET-1CEST,M3.5.0,M10.5.0/3"), None);
        assert_eq!(offset(&berlin, JANUARY), "+01:00");
        assert_eq!(offset(&berlin, JULY), "+02:00");
        // 2026-10-25T01:00:00Z, and the second before.
        assert_eq!(offset(&berlin, 1_792_889_999), "+02:00");
        assert_eq!(offset(&berlin, 1_792_890_000), "+01:00");
        let newfoundland = machine(Some("NST3:30NDT,M3.2.0,M11.1.0"), None);
        assert_eq!(offset(&newfoundland, JANUARY), "-03:30");
    }

    #[test]
    fn without_a_date_there_is_no_offset() {
        let now = Now {
            unix: None,
            ..now_at(1)
        };
        let told = machine(Some("CET-1"), Some("Europe/Berlin\n")).look(now);
        assert_eq!(told.name, "Europe/Berlin");
        assert_eq!(told.utc_offset, "");
    }

    #[test]
    fn the_name_comes_from_the_link_or_the_file() {
        let linked = machine(None, Some("Europe/Berlin"));
        let link = linked.root.join("etc/localtime");
        std::os::unix::fs::symlink("/usr/share/zoneinfo/America/St_Johns", link).unwrap();
        assert_eq!(linked.name(), "America/St_Johns");
        let copied = machine(Some("CET-1"), None);
        assert_eq!(copied.name(), "", "nobody knows");
    }

    #[test]
    fn a_machine_that_was_never_told_is_in_utc() {
        let zone = machine(None, None);
        assert_eq!(zone.name(), "Etc/UTC");
        assert_eq!(offset(&zone, JULY), "+00:00");
    }

    #[test]
    fn a_file_that_is_none_tells_no_offset() {
        let zone = machine(None, None);
        let file = zone.root.join("etc/localtime");
        crate::atomic::write(&file, b"TZif9nonsense", 0o644).unwrap();
        assert_eq!(offset(&zone, JULY), "");
    }
}
