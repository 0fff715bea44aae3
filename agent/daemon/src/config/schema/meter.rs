//! `[device.NAME]` of meters, and their points.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A meter that is asked through an optical head.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Iec62056Device {
    /// Name of a `[bus.NAME]` of its own, required.
    pub bus: Option<String>,
    /// Protocol mode. Default: `"auto"`, what the meter says of itself.
    pub mode: Option<MeterMode>,
    /// Device address for the sign-on, at most 32 characters. Default: `""`, any meter.
    pub address: Option<String>,
    /// Highest speed to agree on. Default: 9600.
    pub max_baud: Option<u32>,
    /// Pause before we answer in milliseconds, 20–1500. Default: 200.
    pub reaction_ms: Option<u64>,
    /// Pause around the change of speed in milliseconds, 0–1500; USB heads need 250. Default: 250.
    pub baud_change_delay_ms: Option<u64>,
    /// Zeros before the sign-on, for meters with a battery: each readout costs some of it.
    /// Default: false.
    pub wake_up: Option<bool>,
    /// Longest time for one readout in seconds, 5–600. Default: 120.
    pub readout_s: Option<u64>,
    /// Period of readouts in seconds, 5–86400; one takes 60–90 s at 300 Bd. Default: 300. Not with
    /// mode D, where the meter decides.
    pub read_s: Option<u64>,
    /// Age in seconds from which a value counts as stale. Default: twice `read_s`, 60 with mode D.
    pub stale_after_s: Option<u64>,
    /// `[device.NAME.point.POINT]`.
    pub point: BTreeMap<String, MeterPoint>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub enum MeterMode {
    #[serde(rename = "auto")]
    Auto,
    /// No change of speed, also where the meter offers one.
    A,
    /// The meter changes the speed by itself.
    B,
    C,
    /// The meter sends by itself, mostly at 2400 Bd.
    D,
}

/// A German meter that sends SML by itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmlDevice {
    /// Name of a `[bus.NAME]` of its own, required.
    pub bus: Option<String>,
    /// The meter that is meant, as it tells its number; another is refused.
    /// Example: `"0A01454D480000ABCDEF"`. Default: any meter.
    pub server_id: Option<String>,
    /// Age in seconds from which a value counts as stale, 5–3600. Default: 20.
    pub stale_after_s: Option<u64>,
    /// `[device.NAME.point.POINT]`.
    pub point: BTreeMap<String, MeterPoint>,
}

/// A meter with a customer port (DSMR P1).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct P1Device {
    /// Name of a `[bus.NAME]` of its own, required.
    pub bus: Option<String>,
    /// Age in seconds from which a value counts as stale, 5–3600. Default: 60.
    pub stale_after_s: Option<u64>,
    /// `[device.NAME.point.POINT]`.
    pub point: BTreeMap<String, MeterPoint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MeterPoint {
    /// The resource that this point is, required. Example: `"/3331/0/5700"`.
    pub resource: Option<String>,
    /// OBIS code, required. Example: `"1-0:1.8.0*255"`.
    pub obis: Option<String>,
    /// SenML unit; what the meter says is converted exactly. Default: that of the definition.
    pub unit: Option<String>,
    /// Lowest and highest credible value, in `unit`. Default: no check.
    pub valid: Option<Vec<f64>>,
    /// A counter that never runs backwards: a smaller reading is believed only when it is confirmed
    /// three times, or when another meter has come. Default: false.
    pub monotonic: Option<bool>,
}
