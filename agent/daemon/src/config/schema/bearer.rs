//! `[bearer.NAME]`: ways to the servers.

use serde::Deserialize;

/// `[bearer.NAME]`. Without any such table all servers are reached as the kernel routes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bearer {
    /// Required.
    pub kind: Option<BearerKind>,
    /// Name of the network interface. Default: the first one that looks like `kind`.
    /// Example: `"wwan0"`.
    pub interface: Option<String>,
    /// Lower is preferred, 0–65535; of the same, the first by name. Default: 100.
    pub priority: Option<u16>,
    /// Cost goes before priority: `"primary"`, `"secondary"`, `"backup"` (used where nothing else
    /// works, not probed before) or `"never"`. Default: secondary where metered, else primary.
    pub tier: Option<Tier>,
    /// Whether its traffic costs money: probed less often, no downloads of software over it.
    /// Default: what NetworkManager says, else true for cellular and tethered phones.
    pub metered: Option<bool>,
    /// `[bearer.NAME.cap]`: a limit of its traffic. Default: none.
    pub cap: Option<Cap>,
    /// Who connects it: `"none"` (somebody else does), `"networkmanager"` or `"modemmanager"`.
    /// Default: `"none"`.
    pub manage: Option<Manage>,
    /// Access point name of the network. Only with a manager. Default: that of the SIM or profile.
    pub apn: Option<String>,
    /// Default: none.
    pub apn_user: Option<String>,
    /// Example: `"credential:apn"`. Default: none.
    pub apn_password: Option<String>,
    /// PIN of the SIM, only with `manage = "modemmanager"`; a wrong one is tried once, never again.
    /// Example: `"credential:sim-pin"`. Default: none.
    pub pin: Option<String>,
    /// Name servers to ask through this bearer. Default: those that its manager names, else those of
    /// the system.
    pub dns: Option<Vec<String>>,
    /// Senders whose SMS may wake this box, as the network writes them. Only with
    /// `manage = "modemmanager"`. Example: `["+4915112345678"]`. Default: none.
    pub sms_from: Option<Vec<String>>,
    /// `[bearer.NAME.probe]`: how it is watched.
    pub probe: Option<BearerProbe>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "kebab-case")]
pub enum BearerKind {
    Cellular,
    Ethernet,
    TetherBluetooth,
    TetherUsb,
    TetherWifi,
    Wifi,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    Primary,
    Secondary,
    Backup,
    Never,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Manage {
    #[default]
    None,
    ModemManager,
    NetworkManager,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cap {
    /// Example: `"20MiB"`. Default: none.
    pub day: Option<String>,
    /// Counted from the first of the month, UTC. Example: `"200MiB"`. Default: none.
    pub month: Option<String>,
    /// `"warn"`, `"demote"` (behind all others), `"urgent"` (the same, and over it go registration,
    /// answers, states and alarms only; what is measured is stored) or `"block"`. Default: `"warn"`.
    pub at_cap: Option<AtCap>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum AtCap {
    #[default]
    Warn,
    Block,
    Demote,
    Urgent,
}

/// What is left out is that of the kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BearerProbe {
    /// Seconds without a word of a server after which it is asked, over the bearer in use, 1–86400.
    pub active_s: Option<f64>,
    /// Seconds between two probes of a bearer that is not in use, 1–86400.
    pub standby_s: Option<f64>,
    /// Longest time in seconds for an answer, 0.2–120.
    pub timeout_s: Option<f64>,
    /// Answers missed in a row that make it disconnected, 1–20.
    pub down: Option<u8>,
    /// Answers in a row that make it connected, 1–20.
    pub up: Option<u8>,
    /// Seconds that a preferred bearer must have been connected before it is used again, 0–86400;
    /// longer after each flap.
    pub hold_s: Option<f64>,
}
