//! Questions and answers as values; the local API and the command line have them as JSON.

use std::{fmt, time::Duration};

use lamplighter_adapters::modbus::{RegisterRange, Reply};
use lamplighter_model::Quality;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// One of `GET /modbus`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LineView {
    /// Name of the `[bus.NAME]`.
    pub bus: String,
    /// `serial`, `tcp`, `rtu_over_tcp`
    pub kind: String,
    /// Path or address.
    pub at: String,
    /// `9600-8E1`, of a serial line.
    pub line: Option<String>,
    pub open: bool,
    /// Why it is not open.
    pub reason: String,
    pub units: Vec<UnitView>,
}

/// A unit for which a device is configured.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct UnitView {
    pub unit: u8,
    pub device: String,
}

/// `POST /modbus/probe`
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub bus: String,
    pub unit: u8,
    /// Speed and format where they are not those of the line.
    #[serde(default)]
    pub line: Option<String>,
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Probed {
    /// What was answered; `null`: nothing.
    pub answer: Option<String>,
    pub round_trip_ms: Option<f64>,
    /// Who is configured there.
    pub device: Option<String>,
}

/// `POST /modbus/read`; addresses count from 0.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawRead {
    pub bus: String,
    pub unit: u8,
    /// `coil`, `discrete`, `holding`, `input`
    pub table: String,
    pub at: u16,
    pub count: u16,
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// `POST /modbus/write`; of coils 0 is off.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawWrite {
    pub bus: String,
    pub unit: u8,
    /// `coil`, `holding`
    pub table: String,
    pub at: u16,
    pub values: Vec<u16>,
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// What stands there; after a write to everybody nothing is known.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Raw {
    pub table: String,
    pub at: u16,
    #[serde(flatten)]
    pub words: Words,
    pub round_trip_ms: f64,
}

/// What is known after a write.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RawWritten {
    /// What was read back; empty where nothing was.
    #[serde(flatten)]
    pub raw: Raw,
    pub outcome: Outcome,
    /// Why it is not confirmed; empty where it is.
    #[serde(default)]
    pub why: String,
}

/// What has become of a write.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Sent to all devices of a line: nobody answers, and nothing can be read back.
    Broadcast,
    /// The device took it, and reads otherwise.
    Differs,
    /// It was sent, or may have been; what stands there is not known.
    Unconfirmed,
    /// It was read back as it was written.
    Written,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Words {
    Bits(Vec<bool>),
    Registers(Vec<u16>),
}

/// `POST /modbus/point`
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PointView {
    pub name: String,
    pub path: String,
    pub device: String,
    pub bus: String,
    pub unit_number: u8,
    pub raw: Raw,
    /// Null where the registers cannot be read as what the configuration says.
    pub value: Option<Json>,
    /// SenML unit.
    pub unit: String,
    pub quality: Option<Quality>,
    pub writable: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unanswered {
    /// The line has other things to do.
    #[error("{0}")]
    Busy(String),
    /// The line cannot be used.
    #[error("{0}")]
    Line(String),
    /// The device, or the agent, will not.
    #[error("{0}")]
    Refused(String),
    /// No device could be asked that.
    #[error("{0}")]
    Senseless(String),
    /// Nobody answers.
    #[error("{0}")]
    Silent(String),
    /// There is no such line or point.
    #[error("{0}")]
    Unknown(String),
}

impl RawWritten {
    pub(super) fn read_back(
        range: RegisterRange,
        values: &[u16],
        reply: Reply,
        round_trip: Duration,
    ) -> Self {
        let is_same = match &reply {
            Reply::Bits(bits) => {
                let wanted = values.iter().map(|value| *value != 0);
                bits.iter().copied().eq(wanted)
            }
            Reply::Registers(registers) => registers == values,
            Reply::Written => false,
        };
        let outcome = if is_same {
            Outcome::Written
        } else {
            Outcome::Differs
        };
        Self {
            raw: Raw::of(range, reply, round_trip),
            outcome,
            why: String::new(),
        }
    }

    pub(super) fn unconfirmed(range: RegisterRange, round_trip: Duration, why: String) -> Self {
        Self {
            raw: Raw::of(range, Reply::Written, round_trip),
            outcome: Outcome::Unconfirmed,
            why,
        }
    }

    pub(super) fn to_all(range: RegisterRange, round_trip: Duration) -> Self {
        Self {
            raw: Raw::of(range, Reply::Written, round_trip),
            outcome: Outcome::Broadcast,
            why: String::new(),
        }
    }

    /// What is not as it should be, in a sentence.
    pub fn doubt(&self) -> Option<String> {
        match self.outcome {
            Outcome::Broadcast | Outcome::Written => None,
            Outcome::Differs => Some(format!("written, but reads {}", self.raw.words)),
            Outcome::Unconfirmed => Some(format!("sent, but not confirmed: {}", self.why)),
        }
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = match self {
            Self::Bits(bits) => bits
                .iter()
                .map(|on| if *on { "on" } else { "off" }.to_owned())
                .collect(),
            Self::Registers(registers) => registers.iter().map(u16::to_string).collect(),
        };
        f.write_str(&words.join(" "))
    }
}

impl Raw {
    pub(super) fn of(range: RegisterRange, reply: Reply, round_trip: Duration) -> Self {
        let words = match reply {
            Reply::Bits(bits) => Words::Bits(bits),
            Reply::Registers(registers) => Words::Registers(registers),
            Reply::Written => Words::Registers(Vec::new()),
        };
        Self {
            table: range.table.to_string(),
            at: range.at,
            words,
            round_trip_ms: super::milliseconds(round_trip),
        }
    }
}
