//! Room for data and software on this box, as object 3 tells it (3/0/10 and 3/0/21).

use std::path::Path;

use lamplighter_model::{Value, device::Fault};
use nix::sys::statvfs::statvfs;

const FREE: u16 = 10;
const TOTAL: u16 = 21;
pub(super) const RESOURCES: [u16; 2] = [FREE, TOTAL];

/// The standard's unit.
const KILOBYTE: u128 = 1000;

/// Free kilobytes are told in steps, so that nobody who observes them hears of each file.
const STEP: u128 = 1000;

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
    fn a_directory_that_is_not_there_has_no_memory() {
        assert!(matches!(
            look(Path::new("/nowhere/at/all")),
            Err(Fault::Device(_))
        ));
    }
}
