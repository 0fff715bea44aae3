//! Bytes from lines of meters that send by themselves.

use lamplighter_adapters::{
    meter::{Spoilt, Telegrams},
    p1::{self, TextTelegrams},
    sml::{self, SmlTelegrams},
};

/// A customer port.
pub(crate) fn text(bytes: &[u8]) {
    for software_parity in [false, true] {
        line(TextTelegrams::new(software_parity), bytes);
    }
    let _ = p1::readings(bytes);
}

pub(crate) fn sml(bytes: &[u8]) {
    line(SmlTelegrams::default(), bytes);
    // Behind the check at the end, which chance does not pass.
    let _ = sml::read(bytes);
    if let Some(within) = bytes.get(8..bytes.len().saturating_sub(8)) {
        let _ = sml::read(within);
    }
}

fn line(mut telegrams: impl Telegrams, bytes: &[u8]) {
    for byte in bytes {
        match telegrams.push(*byte) {
            Some(Ok(readout)) => assert!(readout.readings.len() <= bytes.len()),
            Some(Err(
                Spoilt::Checksum | Spoilt::Encrypted(_) | Spoilt::Malformed(_) | Spoilt::TooLong,
            ))
            | None => {}
        }
    }
    telegrams.reset();
}
