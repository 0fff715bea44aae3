//! Room for data and software on this box, as object 3 tells it (3/0/10 and 3/0/21), and whether it
//! runs out of it (3/0/11).

use std::{
    fs,
    path::{Path, PathBuf},
};

use lamplighter_model::{Value, device::Fault};
use nix::sys::statvfs::statvfs;

const FREE: u16 = 10;
const TOTAL: u16 = 21;
pub(super) const RESOURCES: [u16; 2] = [FREE, TOTAL];

/// The standard's unit.
const KILOBYTE: u128 = 1000;

/// Free kilobytes are told in steps, so that nobody who observes them hears of each file.
const STEP: u128 = 1000;

/// Error code of 3/0/11.
pub(super) const OUT_OF_MEMORY: u8 = 5;

/// Below this share of its main memory the machine is about to kill programs.
const SCARCE: u64 = 32;
/// Kilobytes for the agent's state that are too few.
const LITTLE: u64 = 4_000;
/// So many times as much is there when it is over, so that nobody hears of each page.
const AMPLE: u64 = 2;

/// Whether the machine runs out of main memory, or of room for the agent's state.
#[derive(Debug)]
pub(super) struct Shortage {
    /// `/proc/meminfo` but in tests.
    meminfo: PathBuf,
    is_short: bool,
}

impl Shortage {
    pub(super) const fn new(meminfo: PathBuf) -> Self {
        Self {
            meminfo,
            is_short: false,
        }
    }

    /// What cannot be told is not short.
    pub(super) fn look(&mut self, directory: &Path) -> Option<u8> {
        let factor = if self.is_short { AMPLE } else { 1 };
        let main = main_memory(&fs::read_to_string(&self.meminfo).unwrap_or_default());
        let is_scarce = main.is_some_and(|(available, total)| available < total / SCARCE * factor);
        let is_full = room(directory).is_some_and(|free| free < LITTLE * factor);
        self.is_short = is_scarce || is_full;
        self.is_short.then_some(OUT_OF_MEMORY)
    }
}

/// Available and total kilobytes, as the kernel estimates them (proc(5)).
fn main_memory(meminfo: &str) -> Option<(u64, u64)> {
    let figure = |name: &str| {
        let mut lines = meminfo.lines();
        let text = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        text.split_whitespace().next()?.parse().ok()
    };
    Some((figure("MemAvailable")?, figure("MemTotal")?))
}

/// Free kilobytes.
fn room(directory: &Path) -> Option<u64> {
    let room = statvfs(directory).ok()?;
    let free = u128::from(room.blocks_available()) * u128::from(room.fragment_size());
    u64::try_from(free / KILOBYTE).ok()
}

/// What there is where the agent keeps its state.
pub(super) fn look(directory: &Path) -> Result<[(u16, Value); 2], Fault> {
    let room = statvfs(directory)
        .map_err(|error| Fault::Device(format!("cannot tell the free memory: {error}")))?;
    let block = u128::from(room.fragment_size());
    let free = u128::from(room.blocks_available()) * block / KILOBYTE;
    let total = u128::from(room.blocks()) * block / KILOBYTE;
    let number = |kilobytes| Value::Integer(i64::try_from(kilobytes).unwrap_or(i64::MAX));
    Ok([(FREE, number(free / STEP * STEP)), (TOTAL, number(total))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_told_in_whole_megabytes() {
        let [(FREE, Value::Integer(free)), (TOTAL, Value::Integer(total))] =
            look(Path::new("/")).unwrap()
        else {
            panic!("other resources");
        };
        assert!(
            free >= 0 && free % 1000 == 0 && free <= total,
            "{free} of {total}"
        );
    }

    #[test]
    fn a_machine_is_short_of_memory_until_there_is_twice_as_much() {
        let directory = crate::fake::directory("memory");
        let meminfo = directory.join("meminfo");
        let mut shortage = Shortage::new(meminfo.clone());
        for (available, code) in [
            (500_000, None),
            (31_249, Some(5)),
            (40_000, Some(5)),
            (62_500, None),
            (40_000, None),
        ] {
            let text = format!(
                "MemTotal:       1000000 kB\nMemFree:            1 kB\nMemAvailable: {available} kB\n"
            );
            crate::atomic::write(&meminfo, text.as_bytes(), 0o600).unwrap();
            assert_eq!(shortage.look(&directory), code, "{available}");
        }
        crate::atomic::write(&meminfo, b"MemTotal: much\n", 0o600).unwrap();
        assert_eq!(shortage.look(&directory), None);
        assert_eq!(shortage.look(Path::new("/nowhere/at/all")), None);
    }

    #[test]
    fn a_directory_that_is_not_there_has_no_memory() {
        assert!(matches!(
            look(Path::new("/nowhere/at/all")),
            Err(Fault::Device(_))
        ));
    }
}
