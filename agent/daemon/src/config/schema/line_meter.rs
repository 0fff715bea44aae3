//! `[device.NAME]` of meters that may share a line with others of their kind.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A meter on a wired M-Bus.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MbusDevice {
    /// Name of a `[bus.NAME]`, which other M-Bus meters may share. Required.
    pub bus: Option<String>,
    /// Primary address, 0–250, or 254 for the only meter on the line. Required, or `secondary`.
    /// Example: `5`.
    pub address: Option<u8>,
    /// Secondary address: the eight digits on the plate, or sixteen characters with maker, version and
    /// medium as scanning programs print them; `F` stands for any. Example: `"26718590"`.
    pub secondary: Option<String>,
    /// How many times the standard's time an answer may take, 1–20; slow meters need 2. Default: 1.
    pub timeout_factor: Option<u32>,
    /// Further attempts before a readout has failed, 0–5. Default: 2.
    pub retries: Option<u8>,
    /// Period of readouts in seconds, 5–86400; meters with a battery permit few. Default: 900.
    pub read_s: Option<u64>,
    /// Age in seconds from which a value counts as stale. Default: twice `read_s`.
    pub stale_after_s: Option<u64>,
    /// `[device.NAME.point.POINT]`.
    pub point: BTreeMap<String, MbusPoint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MbusPoint {
    /// The resource that this point is, required. Example: `"/3331/0/5700"`.
    pub resource: Option<String>,
    /// Which record of the meter, required. Example: `{ quantity = "energy" }`.
    pub record: Option<MbusRecord>,
    /// SenML unit; what the meter says is converted exactly. Default: that of the definition.
    pub unit: Option<String>,
    /// Lowest and highest credible value, in `unit`. Default: no check.
    pub valid: Option<Vec<f64>>,
    /// As with other meters. Default: false.
    pub monotonic: Option<bool>,
}

/// As `lamplighter meter read` prints it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MbusRecord {
    /// What it measures. Required, or `header`. Example: `"volume_flow"`.
    pub quantity: Option<String>,
    /// Default: `"instantaneous"`.
    pub function: Option<MbusFunction>,
    /// 0 is now, others are earlier periods. Default: 0.
    pub storage: Option<u64>,
    /// 0 is the total. Default: 0.
    pub tariff: Option<u32>,
    /// Of meters that count for several. Default: 0.
    pub subunit: Option<u32>,
    /// What distinguishes it from others of its quantity. Example: `"phase_l1"`. Default: nothing.
    pub qualifier: Option<String>,
    /// The bytes in front of its value, where words are not enough. Example: `"0C 06"`.
    pub header: Option<String>,
    /// Which of several that are alike, counted from 1. Default: there is one only.
    pub number: Option<u16>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum MbusFunction {
    DuringError,
    Instantaneous,
    Maximum,
    Minimum,
}

/// A meter that speaks DLMS/COSEM.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DlmsDevice {
    /// Name of a `[bus.NAME]`, which other DLMS meters may share: HDLC on a serial line and behind
    /// `rtu_over_tcp`, the wrapper with `tcp`. Required.
    pub bus: Option<String>,
    /// Who we are to the meter, 1–127. Default: 16, the public client.
    pub client: Option<u8>,
    /// Logical device of the meter, 1–16383. Default: 1, its management.
    pub server: Option<u16>,
    /// Which meter on an HDLC line, 0–16383; often the last four digits of its number plus 1000.
    /// Default: there is one only.
    pub physical: Option<u16>,
    /// Bytes of its HDLC address, 1, 2 or 4. Default: as many as the numbers need.
    pub address_bytes: Option<u8>,
    /// How the meter is asked to believe us. Default: `{ mode = "none" }`.
    pub security: DlmsSecurity,
    /// How long an answer may take in milliseconds, 100–30000. Default: 2000.
    pub timeout_ms: Option<u64>,
    /// Further attempts before a readout has failed, 0–5. Default: 1.
    pub retries: Option<u8>,
    /// Period of readouts in seconds, 5–86400. Default: 900.
    pub read_s: Option<u64>,
    /// Age in seconds from which a value counts as stale. Default: twice `read_s`.
    pub stale_after_s: Option<u64>,
    /// `[device.NAME.point.POINT]`.
    pub point: BTreeMap<String, DlmsPoint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DlmsSecurity {
    /// Default: `"none"`.
    pub mode: Option<DlmsMode>,
    /// A secret, for `password`. Example: `"credential:meter-password"`.
    pub password: Option<String>,
    /// Secrets of 16 bytes, for `gmac`.
    pub encryption_key: Option<String>,
    pub authentication_key: Option<String>,
    /// Our own, eight characters or sixteen hexadecimal digits, for `gmac`; no other client of the meter
    /// may have it. Example: `"LMPcab17"`.
    pub system_title: Option<String>,
    /// Where the meter tells the public client its invocation counter; required for `gmac`.
    /// Example: `"0-0:43.1.0"`.
    pub counter: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum DlmsMode {
    /// Security suite 0: everything authenticated and encrypted.
    Gmac,
    None,
    /// Low level security: in clear on the line.
    Password,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DlmsPoint {
    /// The resource that this point is, required. Example: `"/3331/0/5700"`.
    pub resource: Option<String>,
    /// Logical name, required. Example: `"1-0:1.8.0*255"`.
    pub obis: Option<String>,
    /// Class of the object: 1 data, 3 register, 4 extended, 5 demand register, 8 clock. Default: 3.
    pub class: Option<u16>,
    /// Default: 2, the value.
    pub attribute: Option<i8>,
    /// SenML unit; what the meter says is converted exactly. Default: that of the definition.
    pub unit: Option<String>,
    /// Lowest and highest credible value, in `unit`. Default: no check.
    pub valid: Option<Vec<f64>>,
    /// As with other meters. Default: false.
    pub monotonic: Option<bool>,
}
