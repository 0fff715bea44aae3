//! Invocation counters of DLMS meters.
//!
//! A number that were used twice under one key would give the key away. So numbers belong to a key with
//! our title, whatever the device is called; the check of the configuration sees to it that no two
//! devices have the same. What is taken is on the disk before it is used, in blocks, so that the disk is written once in many
//! readouts; each block is taken under a lock, from what stands on the disk then, so that two processes
//! never have the same. And the first one of a process lies far above what the meter has seen: of
//! numbers whose file was lost, or was put back from a copy, some may never have reached it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use lamplighter_adapters::dlms::{Counter, CounterError, Security};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest as _, Sha256};

use crate::atomic;

/// Numbers that are taken from the disk at once.
const BLOCK: u32 = 16_384;
/// A meter that claims to have seen more is not believed: to follow it would use up all numbers, for
/// good, on the word of whoever answers on the line.
const SEEN_MAX: u32 = u32::MAX - (1 << 20);

/// The counter of one key with one title.
#[derive(Debug)]
pub(super) struct KeptCounter {
    path: PathBuf,
    /// The next number, and the first one that is not ours; `None` before the disk was read.
    ours: Mutex<Option<(u32, u32)>>,
}

impl KeptCounter {
    /// In this directory.
    pub(super) fn of(directory: &Path, security: &Security) -> Self {
        // Where nothing is encrypted nobody asks it.
        let space = security.number_space().unwrap_or_default();
        let digest = Sha256::digest(space.as_slice());
        let name: String = digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            path: directory.join(format!("{name}.counter")),
            ours: Mutex::new(None),
        }
    }

    /// A new block: its first number, and the first one behind it.
    fn take(&self, ours: Option<(u32, u32)>, seen: u32, count: u32) -> Result<u32, CounterError> {
        let failed = |error: io::Error| CounterError(format!("{}: {error}", self.path.display()));
        let none_left = || CounterError("no numbers are left under these keys".to_owned());
        let directory = self.path.parent().unwrap_or_else(|| Path::new("."));
        atomic::private_directory(directory).map_err(failed)?;
        let lock = File::open(directory).map_err(failed)?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, errno)| failed(errno.into()))?;
        let kept = self.kept().map_err(failed)?;
        let above = match ours {
            Some((_, end)) => end,
            // What an earlier run may have sent that the meter never saw.
            None => seen
                .checked_add(BLOCK)
                .and_then(|above| above.checked_add(count))
                .ok_or_else(none_left)?,
        };
        let first = kept.max(above).max(seen.saturating_add(1));
        let after = first.checked_add(count).ok_or_else(none_left)?;
        let end = after.saturating_add(BLOCK);
        atomic::write(&self.path, format!("{end}\n").as_bytes(), 0o600).map_err(failed)?;
        Ok(first)
    }

    /// The first number that nobody has taken.
    fn kept(&self) -> io::Result<u32> {
        match fs::read_to_string(&self.path) {
            Ok(text) => text.trim().parse().map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }
}

impl Counter for KeptCounter {
    fn reserve(&self, seen: u32, count: u32) -> Result<u32, CounterError> {
        if seen > SEEN_MAX {
            let what = "the meter says that nearly all numbers under this key were used: it needs a new key";
            return Err(CounterError(what.to_owned()));
        }
        let mut ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((next, end)) = *ours {
            let first = next.max(seen.saturating_add(1));
            let after = first.saturating_add(count);
            if after <= end {
                *ours = Some((after, end));
                return Ok(first);
            }
        }
        let first = self.take(*ours, seen, count)?;
        let after = first.saturating_add(count);
        *ours = Some((after, after.saturating_add(BLOCK)));
        Ok(first)
    }

    fn give_back(&self, unused: u32, end: u32) {
        let mut ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        // Only where nobody has taken any behind them.
        if let Some((next, _)) = ours.as_mut()
            && *next == end
            && unused < end
        {
            *next = unused;
        }
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_adapters::dlms::Key;

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let name = format!("lamplighter-dlms-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&directory);
        directory
    }

    fn gmac(key: u8, title: &[u8; 8]) -> Security {
        Security::Gmac {
            encryption_key: Key::new(&[key; 16]).unwrap(),
            authentication_key: Key::new(&[0; 16]).unwrap(),
            system_title: *title,
        }
    }

    fn of(directory: &Path) -> KeptCounter {
        KeptCounter::of(directory, &gmac(1, b"LMPcab17"))
    }

    #[test]
    fn no_number_is_given_twice_also_after_a_crash_or_beside_another_process() {
        let directory = directory("crash");
        let one = of(&directory);
        let first = one.reserve(0, 10).unwrap();
        assert_eq!(one.reserve(0, 10), Ok(first + 10));
        assert_eq!(one.reserve(first + 500, 10), Ok(first + 501));
        // Dropped without a word; and another one beside it.
        let other = of(&directory);
        let theirs = other.reserve(0, 10).unwrap();
        assert!(theirs >= first + 511 + BLOCK - 501, "{theirs}");
        // Our block is at its end: the next one lies behind theirs.
        let next = one.reserve(0, BLOCK).unwrap();
        assert!(next >= theirs + 10 + BLOCK, "{next}");
    }

    #[test]
    fn numbers_belong_to_a_key_and_a_title() {
        let directory = directory("spaces");
        let first = of(&directory).reserve(0, 10).unwrap();
        assert!(of(&directory).reserve(0, 10).unwrap() > first);
        for other in [gmac(2, b"LMPcab17"), gmac(1, b"LMPcab18")] {
            assert_eq!(
                KeptCounter::of(&directory, &other).reserve(0, 10),
                Ok(first)
            );
        }
    }

    #[test]
    fn a_lost_or_old_file_does_not_bring_numbers_back_that_the_meter_has_not_seen() {
        let directory = directory("lost");
        let one = of(&directory);
        let mut last = one.reserve(1000, 1000).unwrap();
        // A block of them, none of which reached the meter.
        while last + 1000 < 1000 + BLOCK {
            last = one.reserve(1000, 1000).unwrap();
        }
        fs::remove_dir_all(&directory).unwrap();
        let first = of(&directory).reserve(1000, 10).unwrap();
        assert!(first > 1000 + BLOCK, "{first}");
    }

    #[test]
    fn what_no_message_had_is_given_again_and_only_that() {
        let directory = directory("rest");
        let one = of(&directory);
        let first = one.reserve(0, 100).unwrap();
        one.give_back(first + 7, first + 100);
        assert_eq!(one.reserve(0, 100), Ok(first + 7));
        let next = one.reserve(0, 100).unwrap();
        // Somebody has taken what lies behind.
        one.give_back(first + 8, next);
        assert_eq!(one.reserve(0, 100), Ok(next + 100));
    }

    #[test]
    fn a_meter_that_claims_the_end_is_not_believed_and_nothing_is_lost() {
        let directory = directory("end");
        let one = of(&directory);
        assert!(one.reserve(u32::MAX - 5, 10).is_err());
        assert!(one.reserve(7, 10).is_ok());
        drop(one);
        let file = fs::read_dir(&directory).unwrap().next().unwrap().unwrap();
        atomic::write(&file.path(), b"nonsense", 0o600).unwrap();
        let damaged = of(&directory).reserve(1, 1);
        assert!(
            damaged.is_err(),
            "a counter that is not known is not begun anew"
        );
    }
}
