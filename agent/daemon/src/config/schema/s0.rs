//! `[device.NAME]` of a meter with a pulse output.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Backend, Bias, Scalar};

/// One meter with a pulse output (S0) on a digital line.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S0Device {
    /// As in `[device.NAME]` of GPIO lines.
    pub backend: Option<Backend>,
    pub chip: Option<String>,
    /// Name of the line, required. Example: `"GPIO27"`.
    pub line: Option<String>,
    /// A low level is a pulse: the output pulls the line down. Default: true.
    pub active_low: Option<bool>,
    /// Pull resistor. Default: `"pull_up"`.
    pub bias: Option<Bias>,
    /// How long the line must be steady in milliseconds, 0–25; pulses have at least 30. Default: 10.
    pub debounce_ms: Option<u64>,
    /// Pulses of one `unit`, 1–10000000, required. Example: `1000`.
    pub pulses_per_unit: Option<u32>,
    /// What the pulses count, and the unit of `counter_start`. Default: `"kWh"`.
    pub unit: Option<String>,
    /// What the meter showed when it was connected. Another value than before is another meter: the
    /// counter begins there. Default: 0. Example: `"12345.6"`.
    pub counter_start: Option<Scalar>,
    /// How often changes are told in seconds, 1–3600. Default: 10.
    pub every_s: Option<u64>,
    /// Without a pulse for this time in seconds the power is 0, 10–86400. Default: 300.
    pub zero_after_s: Option<u64>,
    /// `[device.NAME.point]`.
    pub point: BTreeMap<String, S0Point>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S0Point {
    /// The resource that this point is, required. Example: `"/3331/0/5700"`.
    pub resource: Option<String>,
    /// What it tells, required.
    pub quantity: Option<S0Quantity>,
    /// SenML unit; converted exactly. Default: that of the definition, else that of the pulses.
    pub unit: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum S0Quantity {
    Counter,
    Power,
}
