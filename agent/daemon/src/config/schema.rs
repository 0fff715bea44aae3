//! The configuration as it is written. Nothing is checked here but names and types of keys; the
//! checked form is [`super::Config`].
//!
//! Every key that may be left out is an `Option`, also the required ones: `check` reports all that
//! are missing, a deserializer only the first. A table that is one of several kinds is an enum; its
//! kind stands in the key named in [`KIND_KEYS`].

mod bearer;
mod bus;
mod device;
mod files;
mod line_meter;
mod location;
mod meter;
mod mqtt;
mod remote;
mod rule;
mod s0;
mod safety;
mod scalar;
mod security;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use bearer::{AtCap, Bearer, BearerKind, BearerProbe, Cap, Manage, Tier};
pub use bus::{Bus, Reopen, Rs485, SerialBus, TcpBus};
pub use device::{
    Addressing, Backend, Bias, Boot, Byte, Device, Exit, FailSafe, FailSafeOn, GpioDefaults,
    GpioDevice, GpioPoint, Guard, Limit, ModbusDevice, ModbusPoint, OnViolation, Order, Probe,
    Read, RegisterType, SimDevice, SimPoint, Table, Verify, WhileWaiting, Write, WriteFunction,
};
pub use files::{SystemDevice, SystemPoint, W1Device, W1Point, What};
pub use line_meter::{
    DlmsDevice, DlmsMode, DlmsPoint, DlmsSecurity, MbusDevice, MbusFunction, MbusPoint, MbusRecord,
};
pub use location::{GpsdDevice, NmeaDevice};
pub use meter::{Iec62056Device, MeterMode, MeterPoint, P1Device, SmlDevice};
pub use mqtt::{Availability, Command, Mqtt, MqttDevice, MqttPoint, Query};
pub use remote::{RemoteDevice, RemotePoint};
pub use rule::{
    CommandsHold, Mode, OnOff, Photocell, Policy, Programme, Schedule, Thermostat, WhenLost,
};
pub use s0::{S0Device, S0Point, S0Quantity};
pub use safety::{Feedback, Interlock, LampWatch, Manual, Standstill};
pub use scalar::Scalar;
pub use security::{CertificateUsage, Security, SecurityMode};

/// Which key says what kind of table it is, by the name of the enum.
pub const KIND_KEYS: [(&str, &str); 2] = [("Bus", "kind"), ("Device", "adapter")];

/// A whole configuration: `lamplighter.toml`, its drop-ins and the environment together.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Root {
    pub client: Client,
    /// `[bootstrap]`: who gives this box its accounts.
    pub bootstrap: Option<Bootstrap>,
    /// `[server.NAME]`: LwM2M servers.
    pub server: BTreeMap<String, Server>,
    /// `[bearer.NAME]`: ways to the servers, watched and chosen from.
    pub bearer: BTreeMap<String, Bearer>,
    /// `[bus.NAME]`: physical lines and endpoints that devices share.
    pub bus: BTreeMap<String, Bus>,
    /// `[device.NAME]`: things on the wall.
    pub device: BTreeMap<String, Device>,
    /// `[mqtt]`: the broker of devices with `adapter = "mqtt"`.
    pub mqtt: Option<Mqtt>,
    pub site: Site,
    pub store: Store,
    /// `[update]`: new versions of this program. Without this table there are none.
    pub update: Option<Update>,
    /// `[web]`: the page. Without this table no TCP port is opened.
    pub web: Option<Web>,
}

/// `[client]`: this box towards all servers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// Endpoint client name, at most 64 bytes. Default: from the hardware serial. Example: `"cab-17"`.
    pub endpoint: Option<String>,
    /// Number of the first vendor object (Bearer +0 … Site rule +4), 26241–42768 private range or
    /// registered vendor range up to 65530. Default: 42800.
    pub vendor_object_base: Option<u16>,
    /// Objects that servers may create instances of, to keep there what they like; never those of
    /// which devices have instances. Default: 16, 19 and those that only files in `objects/`
    /// define. Example: `[16, 19]`.
    pub creatable: Option<Vec<u16>>,
    /// Tell servers where this box is (object 6), as `site.position` says: the owner, and those whose
    /// `rights` name `/6`. Default: false.
    pub location: Option<bool>,
    /// What this box is fed from, where the kernel does not know: `"dc"`, `"battery"`,
    /// `"external_battery"`, `"fuel_cell"`, `"poe"`, `"usb"`, `"ac"`, `"solar"` (3/0/6). Default: what
    /// the kernel says. Example: `["ac"]`.
    pub power_sources: Option<Vec<PowerSource>>,
    /// `[client.created]`: limits of what servers create.
    pub created: Created,
    /// `[client.limits]`: what one server can make the box remember.
    pub limits: Limits,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a body that comes in blocks, and of all that have begun, 1024–268435456; more is
    /// answered 4.13. Default: 1048576.
    pub body_bytes: Option<u32>,
    /// Requests that a server may observe by, 1–65535; more are read and not observed.
    /// Default: 1024.
    pub observations: Option<u32>,
    /// Paths that all of these may name together, 1–65535. Default: 8192.
    pub observed_paths: Option<u32>,
    /// Paths that a server may attach attributes to, 1–65535; more are answered 5.00.
    /// Default: 4096.
    pub attribute_paths: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Created {
    /// Instances of one object, 1–65535. Default: 256.
    pub instances: Option<u32>,
    /// Bytes of all values together, 1–268435456. Default: 4194304.
    pub bytes: Option<u32>,
    /// Bytes of one value, 1–1048576. Default: 65536.
    pub value_bytes: Option<u32>,
}

/// As 3/0/6 counts them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "snake_case")]
pub enum PowerSource {
    Dc,
    Battery,
    ExternalBattery,
    FuelCell,
    Poe,
    Usb,
    Ac,
    Solar,
}

/// `[server.NAME]`: an account at an LwM2M server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// `coaps://HOST[:PORT]`, required; the port is 5684 by default. `coap://` (5683) is not secured.
    /// Example: `"coaps://lwm2m.example"`.
    pub uri: Option<String>,
    /// Short Server ID, 1–65534, required. Example: `101`.
    pub short_id: Option<u16>,
    /// Registration lifetime in seconds, 5–31536000. Default: 3600.
    pub lifetime_s: Option<u32>,
    /// Tell this server that we sleep between exchanges. Default: false.
    pub queue_mode: Option<bool>,
    /// Keep notifications that cannot be sent (1/x/6). Default: true.
    pub store_notifications: Option<bool>,
    /// Send nothing to this server that it has not asked for (1/x/23). Default: false.
    pub mute_send: Option<bool>,
    /// All rights everywhere; what the box makes belongs to this server. One at most. Default: false.
    pub owner: Option<bool>,
    /// What this server may do where there are several: R, W, E, D, C by object, instance or `*`; the
    /// longest that fits counts. Example: `{ "/3416" = "RWE", "*" = "R" }`. Default: none.
    pub rights: BTreeMap<String, String>,
    /// How this server sees devices behind the box. Default: `"flat"`.
    pub expose: Option<Expose>,
    /// Object versions to announce instead of ours. Example: `{ 3416 = "1.0" }`. Default: none.
    pub object_versions: BTreeMap<String, String>,
    /// What the server wants to know beside at registration. Example: `{ imei = "490154203237518" }`.
    /// Default: nothing.
    pub register_parameters: BTreeMap<String, String>,
    /// Who we are, and how the server proves who it is; required.
    /// Example: `{ mode = "psk", identity = "cab-17", key = "credential:main-psk" }`.
    pub security: Option<Security>,
    /// Must be true for `security = { mode = "none" }`. Default: false.
    pub allow_unsecured: Option<bool>,
    /// LwM2M version to register with. Default: `"auto"`, the highest first.
    pub version: Option<Version>,
    /// `[server.NAME.registration]`: order and retries (1/x/13 to 1/x/20), as long as no server has
    /// written them.
    pub registration: Registration,
    /// `[server.NAME.coap]`: transmission parameters (RFC 7252, 4.8).
    pub coap: Coap,
}

/// `[bootstrap]`: the account at a bootstrap server. What that server gives is kept in the state
/// directory and wins over `[server]` tables.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// `coaps://HOST[:PORT]`, required; the port is 5684 by default. `coap://` (5683) is not secured.
    /// Example: `"coaps://bs.example:5784"`.
    pub uri: Option<String>,
    /// As in `[server.NAME]`, required.
    /// Example: `{ mode = "psk", identity = "cab-17", key = "credential:bs-psk" }`.
    pub security: Option<Security>,
    /// Must be true for `security = { mode = "none" }`, and for accounts without security that the
    /// server gives. Default: false.
    pub allow_unsecured: Option<bool>,
    /// Pause before the server is asked in seconds, 0–86400 (0/x/11). Default: 0.
    pub hold_off_s: Option<u32>,
    /// Seconds after which the account is given up once it has done its work, 0–31536000; 0 is never
    /// (0/x/12). Default: 0.
    pub account_timeout_s: Option<u32>,
    /// Seconds after which the former accounts come back where none of the new servers has taken
    /// this box, 5–86400. Default: 1800.
    pub rollback_s: Option<u32>,
    /// Ask for all accounts in one answer first, as LwM2M 1.2 has it. Default: false.
    pub pack: Option<bool>,
    /// Give the server the hold-off time to begin by itself, as in LwM2M 1.0. Default: false.
    pub server_initiated: Option<bool>,
    /// Attempts in a sequence, 1–100; then one per hour for ever. Default: 5.
    pub retry_count: Option<u32>,
    /// Pause before the first retry in seconds, 1–86400; doubled each time. Default: 60.
    pub retry_timer_s: Option<u32>,
    /// `[bootstrap.coap]`: transmission parameters (RFC 7252, 4.8).
    pub coap: Coap,
}

/// What is not set is as the standard has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registration {
    /// Servers with a number are registered with one after another, the lowest first (1/x/13).
    /// Default: independently of others.
    pub priority: Option<u32>,
    /// Pause before the first registration in seconds, 0–86400 (1/x/14). Default: 0.
    pub initial_delay_s: Option<u32>,
    /// While this server cannot be registered with, those after it wait (1/x/15). Default: false.
    pub failure_block: Option<bool>,
    /// A failure is a case for the bootstrap server (1/x/16). Default: true.
    pub bootstrap_on_failure: Option<bool>,
    /// Attempts in a sequence, 1–100 (1/x/17). Default: 5.
    pub retry_count: Option<u32>,
    /// Pause before the first retry in seconds, 1–86400; doubled each time (1/x/18). Default: 60.
    pub retry_timer_s: Option<u32>,
    /// Pause between sequences in seconds, 1–86400 (1/x/19). Default: 86400.
    pub sequence_delay_s: Option<u32>,
    /// Sequences, 1–100; then one attempt per hour for ever (1/x/20). Default: 1.
    pub sequence_count: Option<u32>,
    /// Longest random pause after the end of a Disable in seconds, 0–86400. Default: a quarter of it,
    /// at least 60.
    pub return_spread_s: Option<u32>,
}

/// What is not set is as the RFC has it, which fits most networks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Coap {
    /// Shortest first wait for an acknowledgement in seconds, 0.1–60; below 1 only where the network
    /// is ours alone. Default: 2.0.
    pub ack_timeout_s: Option<f64>,
    /// The first wait is at most `ack_timeout_s` times this, 1–4. Default: 1.5.
    pub ack_random_factor: Option<f64>,
    /// How often a message is repeated, each time after twice the wait, 0–8. Default: 4.
    pub max_retransmit: Option<u32>,
    /// How many exchanges of ours are open at once, 1–16. Default: 1.
    pub nstart: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Expose {
    /// All objects in one tree.
    Flat,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub enum Version {
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "1.0")]
    V1_0,
    #[serde(rename = "1.1")]
    V1_1,
    #[serde(rename = "1.2")]
    V1_2,
}

/// `[site]`: what the box does by itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// Where this box is. Example: `{ lat = 52.52, lon = 13.40 }`.
    pub position: Option<Position>,
    /// `[site.group.NAME]`: outputs that are commanded together.
    pub group: BTreeMap<String, Group>,
    /// `[site.thermostat.NAME]`: outputs that are switched by a measured value.
    pub thermostat: BTreeMap<String, Thermostat>,
    /// `[site.interlock.NAME]`: outputs that are never on together.
    pub interlock: BTreeMap<String, Interlock>,
    /// `[site.standstill.NAME]`: outputs that are not switched while something moves.
    pub standstill: BTreeMap<String, Standstill>,
    /// `[site.lamp_watch.NAME]`: failed lamps and day burners, by their power.
    pub lamp_watch: BTreeMap<String, LampWatch>,
}

/// WGS 84.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Position {
    /// Degrees to the north, -90 to 90, required.
    pub lat: Option<f64>,
    /// Degrees to the east, -180 to 180, required.
    pub lon: Option<f64>,
    /// Metres above the sea. Default: not told.
    pub altitude_m: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Group {
    /// Names or paths of outputs, required. Example: `["lamps.l1", "/3416/2/1"]`.
    pub members: Option<Vec<String>>,
    /// Pause between two members in milliseconds, 0–60000, so that inrush currents do not add up.
    /// Default: 300.
    pub stagger_ms: Option<u64>,
    /// Also show the group as this instance, id 60000 and up, of object 3416, 3306, 3311 or 3312,
    /// for servers without our definition. Example: `"/3416/60000"`. Default: not shown.
    pub instance: Option<String>,
    /// `[site.group.NAME.schedule]`: when it is on by itself.
    /// Example: `{ on = "sunset-00:15", off = "sunrise+00:10" }`. Default: never.
    pub schedule: Option<Schedule>,
    /// `[site.group.NAME.photocell]`: whether it is dark.
    /// Example: `{ input = "lamps.twilight", policy = "or" }`. Default: nobody asks.
    pub photocell: Option<Photocell>,
    /// Commands without a time hold `"until_next_event"` of schedule or photocell, or `"for_ever"`.
    /// Default: `"until_next_event"`.
    pub commands_hold: Option<CommandsHold>,
    /// The switch on the spot that wins over everybody else. Example: `{ input = "lamps.hand" }`.
    /// Default: none.
    pub manual: Option<Manual>,
    /// Longest random wait in seconds before members go on after a return of power, 0–600, so that
    /// feeders do not hit the grid together. Default: 0.
    pub power_return_spread_s: Option<u64>,
}

/// `[store]`: what is kept on the disk.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Longest time in seconds that samples wait until they are on the disk, 1–3600: what a power
    /// cut can cost. Default: 60.
    pub flush_s: Option<u32>,
    /// Most that is kept for all servers together while they cannot be reached; the oldest goes
    /// first. Default: `"256MiB"`.
    pub queue_max: Option<String>,
    /// Most that is kept of the history of points, for people at the box; the oldest goes first.
    /// `"0"`: none. Default: `"256MiB"`.
    pub history_max: Option<String>,
    /// Most that is kept of the log of events; the oldest go first. Default: `"16MiB"`.
    pub events_max: Option<String>,
}

/// `[update]`: new versions of this program, from servers (object 5) and people (`lamplighter update`).
/// The files are read by `lamplighter-updater` too, which installs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Update {
    /// File with the public key of minisign that packages are signed with, an absolute path, required.
    /// Example: `"/etc/lamplighter/update.pub"`.
    pub key: Option<String>,
    /// Who installs: `"deb"` (dpkg), `"rauc"`, `"swupdate"`, or `"script"`. Default: `"deb"`.
    pub installer: Option<String>,
    /// Program of `installer = "script"` and its arguments; `install FILE`, `good` or `rollback` is
    /// added. Example: `["/usr/local/sbin/image"]`.
    pub command: Option<Vec<String>>,
    /// How long in seconds a new version has to be as well as the one before, 0–86400; then the one
    /// before is installed again. Default: 300.
    pub prove_s: Option<u32>,
    /// Largest package. Default: `"64MiB"`.
    pub max_size: Option<String>,
    /// Packages are fetched over bearers that cost, too. Default: false.
    pub metered: Option<bool>,
    /// File with the authorities that HTTPS servers' certificates must come from, an absolute path.
    /// Default: `"/etc/ssl/certs/ca-certificates.crt"`.
    pub ca: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// Address and port of the page. The password is set by `lamplighter web enable`.
    /// Default: `"127.0.0.1:8080"`.
    pub listen: Option<String>,
}
