//! `[bearer.NAME]`, complete.

use std::{net::IpAddr, time::Duration};

use crate::config::secret::Secret;

pub use crate::config::schema::{AtCap, BearerKind, Manage, Tier};

/// One `[bearer.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Bearer {
    pub name: String,
    pub kind: BearerKind,
    /// `None`: the first one that looks like the kind.
    pub interface: Option<String>,
    /// Lower is preferred.
    pub priority: u16,
    /// `None`: by whether it is metered.
    pub tier: Option<Tier>,
    /// `None`: what a manager says, else by the kind.
    pub metered: Option<bool>,
    pub cap: Option<Cap>,
    pub manage: Manage,
    pub apn: Option<Apn>,
    pub pin: Option<Secret>,
    /// Empty: those of its manager, else of the system.
    pub dns: Vec<IpAddr>,
    pub sms_from: Vec<String>,
    pub timing: Timing,
}

/// Of a bearer of which nothing else is said.
pub(in crate::config) const PRIORITY: u16 = 100;

impl Bearer {
    /// One of which the configuration says nothing but the kind.
    pub fn new(name: &str, kind: BearerKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            interface: None,
            priority: PRIORITY,
            tier: None,
            metered: None,
            cap: None,
            manage: Manage::None,
            apn: None,
            pin: None,
            dns: Vec::new(),
            sms_from: Vec::new(),
            timing: kind.timing(),
        }
    }
}

/// An access point of a cellular network.
#[derive(Clone, Debug, PartialEq)]
pub struct Apn {
    pub name: String,
    pub user: Option<String>,
    pub password: Option<Secret>,
}

impl Apn {
    /// Letters, digits, `-` and `.`, 100 at most. // 3GPP TS 23.003, 9.1
    pub fn is_name(name: &str) -> bool {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        (1..=100).contains(&name.len()) && name.chars().all(is_plain)
    }
}

/// Bytes; at least one is given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cap {
    pub day: Option<u64>,
    pub month: Option<u64>,
    pub at_cap: AtCap,
}

/// How a bearer is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Idle time after which a server is asked over the bearer in use.
    pub active: Duration,
    /// Between two probes of one that is not in use.
    pub standby: Duration,
    /// Longest time for an answer.
    pub timeout: Duration,
    /// Answers missed in a row that make it disconnected.
    pub down: u8,
    /// Answers in a row that make it connected.
    pub up: u8,
    /// How long a preferred one must have been connected before it is used again.
    pub hold: Duration,
}

impl Bearer {
    /// As configured, else by whether it is metered, as far as the configuration knows.
    pub fn usual_tier(&self) -> Tier {
        let is_metered = self.metered.unwrap_or_else(|| self.kind.is_metered());
        let usual = if is_metered {
            Tier::Secondary
        } else {
            Tier::Primary
        };
        self.tier.unwrap_or(usual)
    }
}

impl Tier {
    /// The word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Backup => "backup",
            Self::Never => "never",
        }
    }
}

impl BearerKind {
    /// Whether its traffic costs money, where nobody says.
    pub const fn is_metered(self) -> bool {
        match self {
            Self::Cellular | Self::TetherBluetooth | Self::TetherUsb | Self::TetherWifi => true,
            Self::Ethernet | Self::Wifi => false,
        }
    }

    /// The word of the configuration and of the local API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cellular => "cellular",
            Self::Ethernet => "ethernet",
            Self::TetherBluetooth => "tether-bluetooth",
            Self::TetherUsb => "tether-usb",
            Self::TetherWifi => "tether-wifi",
            Self::Wifi => "wifi",
        }
    }

    /// How long each may be blind, against what asking costs: a black hole is seen within
    /// `active + down × timeout`, in 9 s (no charge), 36 s (a phone) and 90 s (cellular).
    pub const fn timing(self) -> Timing {
        let (active, standby, timeout, down, up, hold) = match self {
            Self::Ethernet | Self::Wifi => (3, 60, 2, 3, 2, 30),
            Self::TetherUsb | Self::TetherWifi => (30, 60, 2, 3, 2, 30),
            Self::TetherBluetooth => (60, 300, 5, 3, 2, 60),
            Self::Cellular => (60, 900, 10, 3, 2, 60),
        };
        Timing {
            active: Duration::from_secs(active),
            standby: Duration::from_secs(standby),
            timeout: Duration::from_secs(timeout),
            down,
            up,
            hold: Duration::from_secs(hold),
        }
    }
}
