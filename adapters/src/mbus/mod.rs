//! Wired M-Bus (EN 13757-2 and -3): heat, water, gas and electricity meters on a two-wire line.
//!
//! Several meters share a line ([`crate::bus::SharedLine`]) and are read in turns. [`ReadOut`] knows
//! what to say next, the `line` module says it in the times of the standard, [`parse`] takes answers
//! apart into [`Record`]s with exact values, and [`MbusDevice`] is the adapter of one meter.

mod address;
mod device;
mod fixed;
mod frame;
mod line;
mod meaning;
mod readout;
mod record;
mod scan;
mod selector;
mod telegram;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use address::{ALONE, ANY_DIGIT, Address, NotAddress, Secondary};
pub use device::{MbusConfig, MbusDevice, point};
pub use frame::{BadFrame, FRAME_MAX, Found, Frame, find};
pub use line::{Heard, Timing, USUAL_LINE, exchange};
pub use meaning::{Meaning, UNKNOWN, quantities};
pub use readout::{Failure, ReadOut, TELEGRAMS_MAX};
pub use record::{Function, Record, RecordValue};
pub use scan::{Looked, SecondaryScan, look, read_out};
pub use selector::{SelectBy, Selector};
pub use telegram::{Header, Status, Telegram, TelegramError, parse};
