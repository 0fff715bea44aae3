//! `adapter = "w1"` and `adapter = "system"`: what the kernel shows as files.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct W1Device {
    /// Period of readings in seconds, 1–86400; each sensor takes 0.75 s. Default: 30.
    pub read_s: Option<u64>,
    /// `[device.NAME.point.POINT]`.
    pub point: BTreeMap<String, W1Point>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct W1Point {
    /// The resource that this point is, required. Example: `"/3303/0/5700"`.
    pub resource: Option<String>,
    /// Name of the sensor, required: see /sys/bus/w1/devices. Example: `"28-00000abcdef0"`.
    pub sensor: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SystemDevice {
    /// Period of readings in seconds, 1–86400. Default: 60.
    pub read_s: Option<u64>,
    /// `[device.NAME.point.POINT]`.
    pub point: BTreeMap<String, SystemPoint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SystemPoint {
    /// The resource that this point is, required. Example: `"/3303/9/5700"`.
    pub resource: Option<String>,
    /// What is measured. Required, or `file`.
    pub what: Option<What>,
    /// A directory of the file system that `disk_used` is of. Default: `"/var"`.
    pub directory: Option<String>,
    /// A file with a number. Example: `"/sys/class/hwmon/hwmon0/in1_input"`.
    pub file: Option<String>,
    /// Value = number of the file × scale. Default: 1.
    pub scale: Option<f64>,
    /// SenML unit of the value. Default: that of the object definition.
    pub unit: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// In degrees Celsius.
    CpuTemperature,
    /// In percent.
    DiskUsed,
    /// In percent.
    MemoryUsed,
    /// The supply has been too low (Raspberry Pi), a Boolean.
    Undervoltage,
}
