//! What all families of meters share: how a register is called, units, what a readout is, and what
//! becomes of it.
//!
//! 1. A family (IEC 62056-21, SML, P1, M-Bus, DLMS) makes a [`Readout`] of what its meter says.
//! 2. The [`Ledger`] finds the register of each point, converts it exactly, judges it and makes a
//!    sample; what gives none is complained of once.
//! 3. A counter that runs backwards, another meter in the same place and an error of the meter itself
//!    become [`Note`]s for the event log and lines of `status`.

mod board;
mod counter;
mod defaults;
mod ledger;
mod lines;
mod obis;
mod point;
#[cfg(feature = "serial")]
mod pull;
#[cfg(feature = "serial")]
mod push;
mod unit;

use lamplighter_model::{Decimal, Quality, UnixTime};

#[cfg(feature = "serial")]
pub use self::pull::{Pull, PullDevice, Trouble};
#[cfg(any(feature = "dlms", feature = "mbus"))]
pub(crate) use self::pull::{READOUT_MAX, shared_limits};
#[cfg(feature = "serial")]
pub use self::push::{PushConfig, PushDevice, Spoilt, Telegrams};
pub use self::{
    board::{Board, Progress, View},
    counter::{Believed, CONFIRMATIONS, Counted, Counters},
    defaults::{Usual, usual},
    ledger::Ledger,
    lines::parse_lines,
    obis::{NotObis, Obis},
    point::MeterPoint,
    unit::{MeterUnit, NotUnit, Unit},
};
pub use lamplighter_model::device::Note;

/// Registers of one readout; a meter has some hundreds at most.
pub const READINGS_MAX: usize = 4096;

/// What a meter told in one go.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Readout {
    /// Who told it, as the meter says: `/ISk5MT174-0001`.
    pub meter: String,
    /// The number on its plate, by which an exchange is seen; `None` where it does not say.
    pub serial: Option<String>,
    /// What the meter says is wrong with itself; then its values are not checked.
    pub error: Option<String>,
    /// In the order of the meter, at most [`READINGS_MAX`].
    pub readings: Vec<Reading>,
}

/// The value of one register.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reading {
    pub register: Register,
    /// Of several values of one register the how-manieth; points take the first, 0.
    pub place: u8,
    pub content: Content,
    pub unit: MeterUnit,
    /// The meter's own time of the value.
    pub time: Option<UnixTime>,
    /// What the meter says of the value.
    pub quality: Quality,
}

/// How a register is called.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Register {
    Obis(Obis),
    /// A record of a meter that knows no OBIS, by its family's name for it.
    Record(String),
}

/// What stands in a register.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    Number(Decimal),
    /// As the meter writes it; a number too, where it is one.
    Text(String),
}

impl Readout {
    /// The first value of a register.
    pub fn find(&self, register: &Register) -> Option<&Reading> {
        self.readings
            .iter()
            .find(|reading| reading.place == 0 && register.matches(&reading.register))
    }
}

impl Readout {
    /// What stands in the first of these registers that has something in it.
    pub fn text_of(&self, mut registers: impl Iterator<Item = Obis>) -> Option<String> {
        registers.find_map(|obis| {
            let text = self.find(&obis.into())?.content.to_string();
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        })
    }

    /// F.F: anything but zero is a fatal error of the meter.
    pub fn fatal_error(&self) -> Option<String> {
        self.text_of(std::iter::once(Obis::ERRORS))
            .filter(|register| register.bytes().any(|byte| !matches!(byte, b'0' | b' ')))
    }
}

impl Reading {
    /// A good value that the meter gives no time for.
    pub fn good(register: Register, content: Content, unit: MeterUnit) -> Self {
        Self {
            register,
            place: 0,
            content,
            unit,
            time: None,
            quality: Quality::Good,
        }
    }
}

impl Register {
    /// Whether a configured register means this one of a readout.
    pub fn matches(&self, told: &Self) -> bool {
        match (self, told) {
            (Self::Obis(wanted), Self::Obis(told)) => wanted.matches(told),
            (Self::Record(wanted), Self::Record(told)) => wanted == told,
            (Self::Obis(_), Self::Record(_)) | (Self::Record(_), Self::Obis(_)) => false,
        }
    }
}

impl From<Obis> for Register {
    fn from(obis: Obis) -> Self {
        Self::Obis(obis)
    }
}

impl std::fmt::Display for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Obis(obis) => obis.fmt(f),
            Self::Record(name) => name.fmt(f),
        }
    }
}

impl std::fmt::Display for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}
