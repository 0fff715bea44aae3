//! Room for data and software on this box, as object 3 tells it (3/0/10 and 3/0/21).

use std::path::Path;

use lamplighter_model::{InstancePath, Value, device::Fault};
use nix::sys::statvfs::statvfs;

pub(crate) const INSTANCE: InstancePath = InstancePath::new(3, 0);

const FREE: u16 = 10;
const TOTAL: u16 = 21;
pub(crate) const RESOURCES: [u16; 2] = [FREE, TOTAL];

/// The standard's unit.
const KILOBYTE: u128 = 1000;

/// Free kilobytes are told in steps, so that nobody who observes them hears of each file.
const STEP: u128 = 1000;

/// What there is where the agent keeps its state.
pub(crate) fn look(directory: &Path) -> Result<[(u16, Value); 2], Fault> {
    let room = statvfs(directory)
        .map_err(|error| Fault::Device(format!("cannot tell the free memory: {error}")))?;
    let block = u128::from(room.fragment_size());
    let free = u128::from(room.blocks_available()) * block / KILOBYTE;
    let total = u128::from(room.blocks()) * block / KILOBYTE;
    let number = |kilobytes| Value::Integer(i64::try_from(kilobytes).unwrap_or(i64::MAX));
    Ok([(FREE, number(free / STEP * STEP)), (TOTAL, number(total))])
}
