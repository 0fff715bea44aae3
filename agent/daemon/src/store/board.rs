//! The board that the state was made on (design, section 2). A memory card that was cloned or put
//! into another box carries along what only the former may go on with.

use std::{io, path::Path};

use lamplighter_lwm2m::boundary::ClientId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    disk::{Disk, StateDir},
    records::Records,
    snapshot,
};

const FILE: &str = "board.cbor";
const FORMAT: &str = "lamplighter board";
const VERSION: u32 = 1;

/// Tells boards apart and nothing else of them.
#[derive(Deserialize, PartialEq, Serialize)]
struct Board {
    fingerprint: Vec<u8>,
}

/// Before the state is read: whether it was made on another board than the one with this serial.
/// What belongs to that is removed then, once for ever. A board without a serial is no other.
///
/// # Errors
/// The disk refuses: what belongs to another board may still be there.
pub(crate) fn recognise(state_dir: &Path, serial: Option<&str>) -> io::Result<bool> {
    recognise_on(&mut StateDir::new(state_dir), serial)
}

pub(super) fn recognise_on(disk: &mut dyn Disk, serial: Option<&str>) -> io::Result<bool> {
    let Some(serial) = serial else {
        return Ok(false);
    };
    let ours = Board {
        fingerprint: Sha256::digest(serial).to_vec(),
    };
    let known = snapshot::read::<Board>(disk, FILE, FORMAT, VERSION).map(|found| found.body);
    if known.as_ref() == Some(&ours) {
        return Ok(false);
    }
    if known.is_some() {
        remove_foreign(disk)?;
    }
    // Only now: a power cut before repeats it.
    snapshot::write(disk, FILE, FORMAT, VERSION, &ours)?;
    Ok(known.is_some())
}

fn remove_foreign(disk: &mut dyn Disk) -> io::Result<()> {
    let mut records = Records::load(disk);
    let all = records.all().into_iter();
    let changed: Vec<(ClientId, _)> = all
        .filter_map(|(client, record)| Some((client, record.on_another_board()?)))
        .collect();
    records.keep(disk, changed)?;
    records.flush(disk)
}
