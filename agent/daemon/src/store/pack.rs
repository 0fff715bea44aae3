//! Samples as bytes: a few bytes for each where a site goes on as it did before.
//!
//! A block is a version byte, then one sample after the other. Each says only what differs from
//! what its predecessors let expect: a path is the one that followed its predecessor last time,
//! time and wall time go on evenly, a number is near its last value.
//!
//! ```text
//! sample = head [skipped numbers] path [boot] time [source time] [quality] value
//! head   = bits 0–1  path: 0 as expected, 1 number of a path of this block, 2 written out
//!          bit  2    another start of the machine
//!          bit  3    value written out with its kind; else as a difference to the last of its path
//!          bit  4    another quality than the last of its path
//!          bits 5–6  source time: 0 none, 1 as expected, 2 as a difference to that
//!          bit  7    numbers are skipped
//! ```
//! Numbers are LEB128, signed ones zigzag; time is in milliseconds.

mod coder;
#[cfg(test)]
mod tests;
mod value;

use lamplighter_lwm2m::boundary::Kept;

pub(super) use coder::{Packer, Unpacker};

/// First byte of a block.
pub(super) const VERSION: u8 = 1;

/// Why bytes are not samples, and where.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PackError {
    #[error("the bytes end at {0} in the middle of a sample")]
    Ended(usize),
    #[error("a code at {0} that this version does not know")]
    Unknown(usize),
    #[error("a number at {0} that is too large")]
    TooLarge(usize),
    #[error("a path at {0} that is none")]
    NoPath(usize),
}

const PATH: u8 = 0b11;
const PATH_EXPECTED: u8 = 0;
const PATH_KNOWN: u8 = 1;
const PATH_NEW: u8 = 2;
const NEW_BOOT: u8 = 1 << 2;
const WHOLE_VALUE: u8 = 1 << 3;
const NEW_QUALITY: u8 = 1 << 4;
const SOURCE: u8 = 0b11 << 5;
const SOURCE_NONE: u8 = 0;
const SOURCE_EXPECTED: u8 = 1 << 5;
const SOURCE_OTHER: u8 = 2 << 5;
const SKIPPED: u8 = 1 << 7;

/// Reads what [`put_unsigned`] and the others write.
#[derive(Debug)]
struct Bytes<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    const fn is_empty(&self) -> bool {
        self.at >= self.all.len()
    }

    fn byte(&mut self) -> Result<u8, PackError> {
        let byte = self.all.get(self.at).ok_or(PackError::Ended(self.at))?;
        self.at += 1;
        Ok(*byte)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], PackError> {
        let rest = self.all.get(self.at..).unwrap_or_default();
        let slice = rest.get(..length).ok_or(PackError::Ended(self.at))?;
        self.at += length;
        Ok(slice)
    }

    fn unsigned(&mut self) -> Result<u64, PackError> {
        let begin = self.at;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(PackError::TooLarge(begin))
    }

    fn signed(&mut self) -> Result<i64, PackError> {
        let zigzag = self.unsigned()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    fn u16(&mut self) -> Result<u16, PackError> {
        let begin = self.at;
        u16::try_from(self.unsigned()?).map_err(|_| PackError::TooLarge(begin))
    }

    fn u32(&mut self) -> Result<u32, PackError> {
        let begin = self.at;
        u32::try_from(self.unsigned()?).map_err(|_| PackError::TooLarge(begin))
    }
}

/// All samples of a block, without its version byte.
///
/// # Errors
/// The first place that is not understood.
pub fn unpack(block: &[u8]) -> Result<Vec<Kept>, PackError> {
    let mut samples = Vec::new();
    Unpacker::default().unpack(block, |kept| samples.push(kept))?;
    Ok(samples)
}

/// A row of numbers, as [`put_numbers`] writes it, and what stands behind it.
pub(super) fn numbers<const N: usize>(bytes: &[u8]) -> Result<([u64; N], &[u8]), PackError> {
    let mut bytes = Bytes { all: bytes, at: 0 };
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = bytes.unsigned()?;
    }
    let rest = bytes.all.get(bytes.at..).unwrap_or_default();
    Ok((numbers, rest))
}

pub(super) fn put_numbers(numbers: &[u64], out: &mut Vec<u8>) {
    for number in numbers {
        put_unsigned(out, *number);
    }
}

fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}
