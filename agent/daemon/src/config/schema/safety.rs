//! `[site.interlock.NAME]`, hand switches and feedback contacts.

use serde::Deserialize;

/// `[site.interlock.NAME]`: outputs of which one goes on only after all others are known to be off.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Interlock {
    /// Names or paths of at least two outputs, required.
    /// Example: `["ahu1.compressor", "ahu1.heater"]`.
    pub never_together: Option<Vec<String>>,
    /// How long all others must have been off in seconds, 0–3600. Default: 0.
    pub dead_time_s: Option<u64>,
}

/// A switch on the spot that wins over servers, people and rules.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manual {
    /// Name or path of a boolean input: true is on by hand, false automatic.
    /// Example: `"lamps.hand"`.
    pub input: Option<String>,
    /// A second contact of hand-0-automatic: true is off by hand. Default: none.
    pub off_input: Option<String>,
    /// How long the switch holds in seconds, 60–604800. Default: as long as it stands there.
    pub limit_s: Option<u64>,
}

/// `[site.lamp_watch.NAME]`: what the power of lamps says of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LampWatch {
    /// Name or path of an output, or name of a group whose lamps are measured together; required.
    /// Example: `"lamps.l1"`.
    pub target: Option<String>,
    /// Name or path of the measured power (or current), required. Example: `"meter.power"`.
    pub input: Option<String>,
    /// Less than this while all is on: lamp failure, in the unit of `input`. Default: not watched.
    pub on_below: Option<f64>,
    /// More than this while all is off: day burner. Default: not watched.
    pub off_above: Option<f64>,
    /// How long that must last in seconds, 10–86400. Default: 300.
    pub after_s: Option<u64>,
}

/// `[site.standstill.NAME]`: commands that wait until something stands still.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Standstill {
    /// Names or paths of outputs, required. Example: `["car.engine"]`.
    pub outputs: Option<Vec<String>>,
    /// The state that waits. Default: `"off"`.
    pub state: Option<super::OnOff>,
    /// Name or path of the measured speed, required. Example: `"gps.speed"`.
    pub speed: Option<String>,
    /// Up to this it counts as standing, in the unit of `speed`. Default: 0.5.
    pub below: Option<f64>,
    /// How long it must have stood in seconds, 1–3600. Default: 10.
    pub for_s: Option<u64>,
}

/// A contact that says whether a relay did what it was told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Feedback {
    /// Name of the line, required. Example: `"GPIO16"`.
    pub line: Option<String>,
    /// Time in milliseconds in which the contact follows, 10–3000. Default: 500.
    pub within_ms: Option<u64>,
    /// A low level means on. Default: false, whatever the output has.
    pub active_low: Option<bool>,
    /// Pull resistor. Default: `"as_is"`.
    pub bias: Option<super::Bias>,
    /// How long the contact must be steady in milliseconds, 0–1000. Default: 0.
    pub debounce_ms: Option<u64>,
}
