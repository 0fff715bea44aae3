//! The maintenance locks once more, in a file of their own: lives hang on them, so any version of the
//! program reads what any other has written, whatever becomes of the rest of the site's state.
//!
//! ```text
//! lamplighter locks 1
//! lock<TAB>main_street<TAB>by=anna<TAB>since=1750000000<TAB>output=lamps.l1<TAB>output=lamps.l2
//! end<TAB>1<TAB>5e51bc4d
//! ```
//!
//! What follows the name may change, and so may other lines; `lock`, the name and the last line
//! (number of locks, CRC-32 of all before it) never do. `unknown` says that an earlier list could
//! not be read and nobody has locked or unlocked since.
//! Something is locked where this list or the site's state says so.

use std::{collections::BTreeMap, io};

use lamplighter_model::{BootId, UnixTime, device::Origin};
use lamplighter_site::saved::{SavedLock, SavedMoment, SavedSite};

use super::{
    disk::Disk,
    snapshot::{self, CHECKSUM},
};

pub(super) const FILE: &str = "locks.txt";
const HEAD: &str = "lamplighter locks";
const VERSION: u32 = 1;

/// What the list says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) locks: BTreeMap<String, SavedLock>,
    /// There may have been more.
    pub(super) is_unknown: bool,
}

/// `None` where there has never been a list.
pub(super) fn read(disk: &mut dyn Disk) -> Option<Found> {
    let mut all = Found::default();
    let mut exists = false;
    for file in [FILE.to_owned(), snapshot::previous(FILE)] {
        let content = disk.read(&file);
        let found = match &content {
            Ok(None) => continue,
            Ok(Some(bytes)) => parse(bytes),
            Err(error) => Err(Damaged {
                why: error.to_string(),
                rest: BTreeMap::new(),
            }),
        };
        match found {
            Ok(found) => {
                all.is_unknown |= found.is_unknown;
                all.locks.extend(found.locks);
                return Some(all);
            }
            // The list before lacks the last lock, or has one that was taken away.
            Err(Damaged { why, rest }) => {
                tracing::error!(file, why, "The list of maintenance locks is damaged");
                all.is_unknown = true;
                all.locks.extend(rest);
            }
        }
        exists = true;
    }
    exists.then_some(all)
}

/// Writes the list where it is another than `known`, the last that was written or read.
pub(super) fn write(
    disk: &mut dyn Disk,
    known: &mut Option<String>,
    site: &SavedSite,
) -> io::Result<()> {
    let text = text_of(site);
    if known.as_ref() == Some(&text) {
        return Ok(());
    }
    *known = None;
    snapshot::replace(disk, FILE, text.as_bytes())?;
    *known = Some(text);
    Ok(())
}

fn text_of(site: &SavedSite) -> String {
    let mut text = format!("{HEAD} {VERSION}\n");
    for (name, lock) in &site.locks {
        let by = match &lock.by {
            Origin::Local(user) => user.clone(),
            Origin::Mqtt => "MQTT".to_owned(),
            Origin::Rule(rule) => rule.clone(),
            Origin::Server(ssid) => format!("server {ssid}"),
        };
        text.push_str(&format!("lock\t{}\tby={}", plain(name), plain(&by)));
        if let Some(since) = lock.since.unix {
            text.push_str(&format!("\tsince={}", since.seconds()));
        }
        for output in &lock.outputs {
            text.push_str(&format!("\toutput={}", plain(output)));
        }
        text.push('\n');
    }
    if site.locks_unknown {
        text.push_str("unknown\n");
    }
    let checksum = CHECKSUM.checksum(text.as_bytes());
    text.push_str(&format!("end\t{}\t{checksum:08x}\n", site.locks.len()));
    text
}

/// Names are plain; who somebody is need not be.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// A list that is not as it was written.
#[derive(Debug, PartialEq)]
struct Damaged {
    why: String,
    /// What can be read all the same.
    rest: BTreeMap<String, SavedLock>,
}

fn parse(bytes: &[u8]) -> Result<Found, Damaged> {
    let text = String::from_utf8_lossy(bytes);
    let locks: BTreeMap<_, _> = text.lines().filter_map(lock_of).collect();
    match complaint(&text, locks.len()) {
        None => Ok(Found {
            locks,
            is_unknown: text.lines().any(|line| line == "unknown"),
        }),
        Some(why) => Err(Damaged {
            why: why.to_owned(),
            rest: locks,
        }),
    }
}

fn complaint(text: &str, locks: usize) -> Option<&'static str> {
    let Some((body, end)) = text.trim_end_matches('\n').rsplit_once('\n') else {
        return Some("it is cut");
    };
    let mut end = end.split('\t');
    let (word, count, checksum) = (end.next(), end.next(), end.next());
    let checksum = checksum.and_then(|sum| u32::from_str_radix(sum, 16).ok());
    let actual = CHECKSUM.checksum(format!("{body}\n").as_bytes());
    if !text.starts_with(HEAD) {
        Some("it does not begin as it should")
    } else if word != Some("end") {
        Some("it has no end")
    } else if count != Some(&locks.to_string()) {
        Some("its end counts other locks")
    } else if checksum != Some(actual) {
        Some("its checksum does not fit")
    } else {
        None
    }
}

fn lock_of(line: &str) -> Option<(String, SavedLock)> {
    let mut fields = line.split('\t');
    let (word, name) = (fields.next(), fields.next()?);
    if word != Some("lock") {
        return None;
    }
    let mut lock = SavedLock {
        by: Origin::Local(String::new()),
        // Of no start that there ever was: only the date counts.
        since: SavedMoment {
            boot: BootId(0),
            mono_ns: 0,
            unix: None,
        },
        outputs: Vec::new(),
    };
    for (key, value) in fields.filter_map(|field| field.split_once('=')) {
        match key {
            "by" => lock.by = Origin::Local(value.to_owned()),
            "since" => {
                let since = value.parse().ok();
                lock.since.unix = since.map(UnixTime::from_seconds);
            }
            "output" => lock.outputs.push(value.to_owned()),
            _ => {}
        }
    }
    Some((name.to_owned(), lock))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StateDir;

    fn lock(by: &str, outputs: &[&str]) -> SavedLock {
        SavedLock {
            by: Origin::Local(by.to_owned()),
            since: SavedMoment {
                boot: BootId(0),
                mono_ns: 0,
                unix: Some(UnixTime::from_seconds(1_750_000_000)),
            },
            outputs: outputs.iter().map(|output| (*output).to_owned()).collect(),
        }
    }

    fn site(locks: &[(&str, SavedLock)]) -> SavedSite {
        let locks = locks.iter();
        SavedSite {
            locks: locks
                .map(|(name, lock)| ((*name).to_owned(), lock.clone()))
                .collect(),
            ..SavedSite::default()
        }
    }

    fn anna() -> SavedSite {
        site(&[
            ("all", lock("anna (local)", &[])),
            ("main_street", lock("anna", &["lamps.l1", "lamps.l2"])),
        ])
    }

    fn put(disk: &mut StateDir, bytes: &[u8]) -> Found {
        disk.remove(FILE).unwrap();
        disk.write_at(FILE, 0, bytes).unwrap();
        read(disk).expect("there is a list")
    }

    #[test]
    fn a_list_reads_back_as_it_was_and_is_written_on_change_only() {
        let mut disk = StateDir::new(&crate::fake::directory("locks-read"));
        assert_eq!(read(&mut disk), None);
        let mut known = None;
        write(&mut disk, &mut known, &anna()).unwrap();
        let found = Found {
            locks: anna().locks,
            is_unknown: false,
        };
        assert_eq!(read(&mut disk), Some(found));
        disk.remove(FILE).unwrap();
        write(&mut disk, &mut known, &anna()).unwrap();
        assert_eq!(read(&mut disk), None, "nothing has changed");
        let unknown = SavedSite {
            locks_unknown: true,
            ..site(&[])
        };
        write(&mut disk, &mut known, &unknown).unwrap();
        assert!(read(&mut disk).unwrap().is_unknown);
    }

    #[test]
    fn what_a_newer_version_adds_is_passed_over() {
        let body = "lamplighter locks 7\nsign\tlamp 4\nlock\tmain_street\tuntil=9\tby=anna\n";
        let sum = CHECKSUM.checksum(body.as_bytes());
        let text = format!("{body}end\t1\t{sum:08x}\tmore\n");
        let mut disk = StateDir::new(&crate::fake::directory("locks-newer"));
        let found = put(&mut disk, text.as_bytes());
        assert!(!found.is_unknown);
        assert_eq!(
            found.locks["main_street"].by,
            Origin::Local("anna".to_owned())
        );
    }

    #[test]
    fn of_a_damaged_list_no_lock_is_lost_without_a_word() {
        let mut disk = StateDir::new(&crate::fake::directory("locks-damaged"));
        let mut known = None;
        let first = site(&[("lamps.l9", lock("anna", &["lamps.l9"]))]);
        write(&mut disk, &mut known, &first).unwrap();
        write(&mut disk, &mut known, &anna()).unwrap();
        let whole = disk.read(FILE).unwrap().unwrap();
        for cut in 0..whole.len() - 1 {
            let found = put(&mut disk, &whole[..cut]);
            assert!(found.is_unknown, "cut at {cut}");
            assert!(found.locks.contains_key("lamps.l9"), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            let found = put(&mut disk, &flipped);
            assert!(
                found.is_unknown || found.locks == anna().locks,
                "flipped at {at}"
            );
        }
        let found = put(&mut disk, &whole[..whole.len() - 9]);
        assert!(found.locks.contains_key("main_street"), "what can be read");
    }
}
