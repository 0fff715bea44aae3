//! What `[site]` does by itself: schedules, photocells, thermostats.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Limit, Scalar};

/// `[site.group.NAME.schedule]`: when the group is on. Times are `"23:30"`, `"sunset-00:15"`,
/// `"sunrise+00:10>=06:00<=07:30"` in the zone of the machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Required but with `always`. Example: `"sunset-00:15"`.
    pub on: Option<String>,
    /// Required but with `always`. Example: `"sunrise+00:10"`.
    pub off: Option<String>,
    /// After a break: on again. Example: `"05:00"`. Default: off until the next `on`.
    pub resume: Option<String>,
    /// Off after `resume`. Default: `"sunrise"`.
    pub end: Option<String>,
    /// On or off without any times.
    pub always: Option<OnOff>,
    /// How much on is in percent, 1–100. Default: 100.
    pub level: Option<u8>,
    /// Levels from some times on, 0–100, in the order of the night.
    /// Example: `["50@22:30", "80@05:00"]`. Default: none.
    pub dim: Option<Vec<String>>,
    /// `[site.group.NAME.schedule.days]`: days with another programme, the closest name wins.
    /// Example: `{ "sat,sun" = { on = "sunset", off = "01:00" }, "12-24..12-26" = { always = "on" } }`.
    pub days: BTreeMap<String, Programme>,
}

/// As [`Schedule`], of the days that are named.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Programme {
    pub on: Option<String>,
    pub off: Option<String>,
    pub resume: Option<String>,
    pub end: Option<String>,
    /// For the whole of the dates, from midnight to midnight.
    pub always: Option<OnOff>,
    pub level: Option<u8>,
    pub dim: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum OnOff {
    Off,
    On,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum CommandsHold {
    ForEver,
    UntilNextEvent,
}

/// `[site.group.NAME.photocell]`: a twilight switch, or a light sensor with levels.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Photocell {
    /// Name or path of the point, required: true when it is dark, or lux. Example: `"lamps.twilight"`.
    pub input: Option<String>,
    /// Lamps are on when schedule or photocell say so, or when both do. Default: `"or"`.
    pub policy: Option<Policy>,
    /// Of a light sensor, required: on below this. Example: `20.0`.
    pub on_lux: Option<f64>,
    /// Of a light sensor, required: off above this. Example: `35.0`.
    pub off_lux: Option<f64>,
    /// How long the input must say something else before it counts in seconds, 0–3600.
    /// Default: 60 for a light sensor, 0 for a switch.
    pub dwell_s: Option<u64>,
    /// Of a light sensor: also show it as this instance of object 3419, where servers may change the
    /// levels. Example: `"/3419/0"`. Default: not shown.
    pub instance: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    And,
    Or,
}

/// `[site.thermostat.NAME]`: switches an output by a measured value.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thermostat {
    /// Name or path of the measured value, required. Example: `"ahu1.supply_air"`.
    pub sensor: Option<String>,
    /// A number, or the name or path of the point that holds it; required.
    /// Example: `"ahu1.setpoint"`.
    pub setpoint: Option<Scalar>,
    /// Name or path of the output, required. Example: `"ahu1.compressor"`.
    pub output: Option<String>,
    /// Required.
    pub mode: Option<Mode>,
    /// Cooling: on from this far above the set point. Default: 0.5.
    pub on_above: Option<f64>,
    /// Cooling: off from this far below the set point. Default: 0.5.
    pub off_below: Option<f64>,
    /// Heating: on from this far below the set point. Default: 0.5.
    pub on_below: Option<f64>,
    /// Heating: off from this far above the set point. Default: 0.5.
    pub off_above: Option<f64>,
    /// What it does while the sensor tells nothing usable. Default: `"release"`, lower slots decide.
    pub when_lost: Option<WhenLost>,
    /// How old the last value of a sensor that is not heard may get, in seconds, 10–86400.
    /// Default: 600.
    pub lost_after_s: Option<u64>,
    /// Show a set point that is a number as this instance of object 3308, where servers may change
    /// it. Example: `"/3308/20"`. Default: not shown.
    pub instance: Option<String>,
    /// Set points that may be written to that instance.
    /// Example: `{ min = 16.0, max = 28.0, on_violation = "reject" }`. Default: all.
    pub limit: Option<Limit>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Cool,
    Heat,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum WhenLost {
    Off,
    On,
    Release,
}
