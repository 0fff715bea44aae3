//! `[device.NAME]` that tells where the box is.

use serde::Deserialize;

/// The daemon `gpsd`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpsdDevice {
    /// `HOST:PORT` of gpsd. Default: `"127.0.0.1:2947"`.
    pub address: Option<String>,
    /// Only this one of its receivers. Example: `"/dev/ttyACM0"`. Default: one that has a fix.
    pub receiver: Option<String>,
    /// As in [`NmeaDevice`].
    pub instances: Option<Vec<String>>,
    pub every_s: Option<u64>,
    pub stale_after_s: Option<u64>,
    pub max_speed_kmh: Option<f64>,
}

/// A receiver that speaks NMEA 0183.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NmeaDevice {
    /// Name of a serial `[bus.NAME]` of its own, or of a `tcp` one, required.
    pub bus: Option<String>,
    /// Instances of objects 6 and 3336 that tell the position. Default: `["/6/0"]`.
    pub instances: Option<Vec<String>>,
    /// Shortest time between two positions that are told in seconds, 1–3600. Default: 5.
    pub every_s: Option<u64>,
    /// Time without a fix in seconds after which the position is stale, 3–86400. Default: three times
    /// `every_s`, at least 15.
    pub stale_after_s: Option<u64>,
    /// Positions that nothing so fast could have come to are not believed, 1–100000 km/h.
    /// Default: 400.
    pub max_speed_kmh: Option<f64>,
}
