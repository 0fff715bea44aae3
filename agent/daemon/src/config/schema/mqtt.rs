//! `[mqtt]`, the broker, and `adapter = "mqtt"`, devices that speak through it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{FailSafe, Guard, Limit};

/// `[mqtt]`: the broker of all devices with `adapter = "mqtt"`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    /// `mqtts://HOST[:PORT]`, required; the port is 8883 by default. `mqtt://` (1883) is not secured.
    /// Example: `"mqtts://broker.local"`.
    pub url: Option<String>,
    /// Default: none is said. Example: `"lamplighter"`.
    pub user: Option<String>,
    /// Example: `"credential:mqtt"`. Default: none is said.
    pub password: Option<String>,
    /// Certificates (PEM) of whom that of the broker must come from; required with `mqtts://`.
    /// Example: `"/etc/lamplighter/mqtt-ca.pem"`.
    pub ca: Option<String>,
    /// Client identifier. Default: the endpoint name.
    pub client_id: Option<String>,
    /// Seconds between signs of life, 5–3600. Default: 30.
    pub keep_alive_s: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttDevice {
    /// The last will of the device.
    /// Example: `{ topic = "tele/plug/LWT", online = "Online", offline = "Offline" }`. Default: none.
    pub availability: Option<Availability>,
    /// Said when the broker is connected, so that the device tells its state.
    /// Example: `{ topic = "cmnd/plug/POWER", payload = "" }`. Default: nothing.
    pub query: Option<Query>,
    /// Age in seconds from which a value counts as stale. Default: when the link is lost.
    pub stale_after_s: Option<u64>,
    /// `[device.NAME.point.POINT]`.
    pub point: BTreeMap<String, MqttPoint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Availability {
    /// Required.
    pub topic: Option<String>,
    /// Where in a JSON message (RFC 6901). Default: the message is the word.
    pub field: Option<String>,
    /// Default: `"online"`.
    pub online: Option<String>,
    /// Default: `"offline"`.
    pub offline: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// Required.
    pub topic: Option<String>,
    /// Default: `""`.
    pub payload: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttPoint {
    /// The resource that this point is. Required, or `instance`. Example: `"/3303/0/5700"`.
    pub resource: Option<String>,
    /// The lamp or relay instance that this point switches. Example: `"/3416/1"`.
    pub instance: Option<String>,
    /// Where the device tells the value, required. Example: `"stat/plug/POWER"`.
    pub topic: Option<String>,
    /// Where in a JSON message (RFC 6901). Example: `"/ENERGY/Power"`. Default: the message is the value.
    pub field: Option<String>,
    /// Word of a Boolean that is true. Default: `"ON"`.
    pub on: Option<String>,
    /// Word of a Boolean that is false. Default: `"OFF"`.
    pub off: Option<String>,
    /// Value = number × scale. Default: 1.
    pub scale: Option<f64>,
    /// That it may be written, and how. Default: read only.
    pub command: Option<Command>,
    /// SenML unit of the value. Default: that of the object definition.
    pub unit: Option<String>,
    /// Shortest time between two switchings of an output in seconds, 0–3600. Default: 0.
    pub min_switch_s: Option<f64>,
    /// Longest random wait in seconds before the output goes on after a return of power, 0–600.
    /// Default: that of its groups.
    pub power_return_spread_s: Option<u64>,
    pub limit: Option<Limit>,
    pub guard: Option<Guard>,
    pub fail_safe: Option<FailSafe>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Command {
    /// Required. Example: `"cmnd/plug/POWER"`.
    pub topic: Option<String>,
    /// `{value}` stands for the value. Example: `'{"state":"{value}"}'`. Default: `"{value}"`.
    pub payload: Option<String>,
    /// Have the broker keep the command, so that a device that sleeps hears it whenever it wakes, even
    /// where it was answered with an error. Not for outputs. Default: false.
    pub retain: Option<bool>,
    /// Time in which the state comes back in milliseconds, 100–3400. Default: 2000.
    pub within_ms: Option<u64>,
    /// Largest difference, in `unit`, that counts as done. Default: 0.
    pub tolerance: Option<f64>,
}
