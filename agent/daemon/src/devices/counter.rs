//! Invocation counters of DLMS meters, each in a file of its own.
//!
//! What is taken is on the disk before it is used: a counter that were used twice under one key would
//! give the key away. They are taken in blocks, so that the disk is written once in many readouts.

use std::{
    io,
    path::{Path, PathBuf},
};

use lamplighter_adapters::dlms::{Counter, CounterError};

use crate::atomic;

/// Numbers that are taken from the disk at once.
const BLOCK: u32 = 16_384;

/// The counter of one meter.
#[derive(Debug)]
pub(super) struct KeptCounter {
    path: PathBuf,
    /// The next number, and the first one that is not ours yet; `None` before the disk was read.
    ours: Option<(u32, u32)>,
}

impl KeptCounter {
    /// Of the meter with this name, in this directory.
    pub(super) fn new(directory: &Path, name: &str) -> Self {
        Self {
            path: directory.join(format!("{name}.counter")),
            ours: None,
        }
    }

    /// The first number that nobody has taken.
    fn kept(&self) -> io::Result<u32> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => text.trim().parse().map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn keep(&self, next: u32) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            atomic::private_directory(directory)?;
        }
        atomic::write(&self.path, format!("{next}\n").as_bytes(), 0o600)
    }
}

impl Counter for KeptCounter {
    fn reserve(&mut self, at_least: u32, count: u32) -> Result<u32, CounterError> {
        let failed = |error: io::Error| CounterError(format!("{}: {error}", self.path.display()));
        let none_left = || CounterError("no numbers are left under these keys".to_owned());
        let (next, end) = match self.ours {
            Some(ours) => ours,
            None => {
                let kept = self.kept().map_err(failed)?;
                (kept, kept)
            }
        };
        let first = next.max(at_least);
        let after = first.checked_add(count).ok_or_else(none_left)?;
        let end = if after > end {
            let end = after.saturating_add(BLOCK);
            self.keep(end).map_err(failed)?;
            end
        } else {
            end
        };
        self.ours = Some((after, end));
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_twice_also_after_a_crash() {
        let directory =
            std::env::temp_dir().join(format!("lamplighter-dlms-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let mut counter = KeptCounter::new(&directory, "meter");
        assert_eq!(counter.reserve(1, 10), Ok(1));
        assert_eq!(counter.reserve(1, 10), Ok(11));
        assert_eq!(counter.reserve(500, 10), Ok(500));
        // Dropped without a word.
        let mut next = KeptCounter::new(&directory, "meter");
        let first = next.reserve(1, 10).unwrap();
        assert!(first >= 510, "{first}");
        assert_eq!(KeptCounter::new(&directory, "other").reserve(1, 1), Ok(1));
        assert!(next.reserve(u32::MAX - 5, 10).is_err());
        atomic::write(&directory.join("meter.counter"), b"nonsense", 0o600).unwrap();
        let damaged = KeptCounter::new(&directory, "meter").reserve(1, 1);
        assert!(
            damaged.is_err(),
            "a counter that is not known is not begun anew"
        );
        std::fs::remove_dir_all(directory).unwrap();
    }
}
