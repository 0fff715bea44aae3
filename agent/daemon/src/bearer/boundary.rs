//! What the parts of a bearer say to each other. The selector takes [`BearerEvent`]s and gives
//! [`Action`]s; people and objects are shown [`BearerFacts`].

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use lamplighter_model::Stamp;

use crate::config::BearerKind;

/// One bearer: the position of its `[bearer.NAME]` in the order of the names.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BearerId(pub u16);

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum AddressFamily {
    V4,
    V6,
}

/// What the kernel says of a bearer's interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkFacts {
    /// Another one after the device was plugged in again: sockets of the former are dead for ever.
    pub index: u32,
    pub interface: String,
    /// Administratively up, with a carrier.
    pub is_up: bool,
    /// Without those of the link.
    pub v4: Vec<Ipv4Addr>,
    /// Without link-local ones, and those that are not confirmed to be unique yet.
    pub v6: Vec<Ipv6Addr>,
    /// Families with a default route by this interface, in any table; without one the kernel takes
    /// every server for a neighbour.
    pub routes: Vec<AddressFamily>,
    pub gateways: Vec<IpAddr>,
    /// Largest packet in bytes.
    pub mtu: u32,
}

/// What a manager says of a bearer. Nothing of it is needed: managers may be absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    /// Known by NetworkManager; the configuration goes first.
    pub metered: Option<bool>,
    /// Whether a modem is registered with its network; `None` where nobody knows.
    pub registered: Option<bool>,
    /// Less is received than a server accepts (object 13): not to be used where there is another.
    pub is_weak: bool,
    pub roaming: Option<bool>,
    /// dBm
    pub signal: Option<i32>,
    /// dB, or % of a wireless LAN
    pub quality: Option<i32>,
    /// dB
    pub snr: Option<i32>,
    /// `"21401"`
    pub operator: Option<String>,
    pub operator_name: Option<String>,
    pub cell: Option<u64>,
    /// Location or tracking area code.
    pub area: Option<u32>,
    /// Code of object 4 (0–20 cellular).
    pub technology: Option<u8>,
    pub apn: Option<String>,
    /// Of this bearer's network.
    pub name_servers: Vec<IpAddr>,
    /// What the manager has to complain about: no SIM, PIN wanted, no DHCP.
    pub trouble: Option<String>,
}

/// What the selector is told.
#[derive(Clone, Debug, PartialEq)]
pub enum BearerEvent {
    /// The interface of a bearer; `None`: there is no such interface.
    Link(BearerId, Option<LinkFacts>),
    Meta(BearerId, Meta),
    /// Answers [`Action::Probe`]: the round-trip time, or why there is none;
    /// [`Reason::Untried`]: there is no server to ask.
    Probed(BearerId, Result<Duration, Reason>),
    /// A server has said something in a session over the current bearer, at this time of the
    /// monotonic clock.
    Heard(Duration),
    /// Something that wants an answer has been without one over the current bearer since this time
    /// of the monotonic clock; `None`: nothing is.
    Awaited(Option<Duration>),
    /// A server took Register or Update over the current bearer.
    Taken,
    /// A server could not be reached over the current bearer: the exchange was given up.
    Failed(Reason),
    /// Bytes over the interface, both ways, today and this month.
    Usage(BearerId, u64, u64),
    /// A person's wish, or that of a server.
    Choose(Choice),
    /// No server may be spoken to now (all are disabled or left): nothing is probed.
    Quiet(bool),
    Timeout,
}

/// Who decides which bearer is used.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Choice {
    /// Ends [`Choice::Use`]; the order of [`Choice::Prefer`] stays.
    #[default]
    Auto,
    /// This one as long as it is connected; taken back where no server was reached over it in time.
    Use(BearerId),
    /// By the values of 13/0/0, in their order; empty: as configured.
    Prefer(Vec<u8>),
    /// None, until this time of the monotonic clock or until [`Choice::Online`].
    Offline(Option<Duration>),
    Online,
}

/// What the selector wants done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// A throw-away exchange with a server over this bearer, outside of any session, answered by
    /// [`BearerEvent::Probed`] within this time.
    Probe(BearerId, Duration),
    /// An empty confirmable message in the sessions over the current bearer (CoAP ping): answers come
    /// as [`BearerEvent::Heard`].
    Ping,
    Switch(Switch),
    /// Something that people see has changed.
    Show(BearerId),
}

/// Sockets are to be opened anew.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Switch {
    /// `None`: there is no way to a server now.
    pub to: Option<BearerId>,
    pub why: Want,
}

/// Why sockets are opened anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Want {
    /// Nothing better is known.
    First,
    /// The former one does not carry any more.
    FailOver,
    /// A preferred one has held for long enough.
    FailBack,
    /// A person or a server wants it.
    Command,
    /// The same bearer, with another address or device, or a mapping of a NAT that was lost.
    Renew,
    /// A cap was reached.
    Cap,
    /// Offline was asked for, or nothing works.
    Offline,
}

/// Whether messages can be exchanged with a server through a bearer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Status {
    Connected,
    #[default]
    Disconnected,
}

/// Why a bearer is disconnected.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Reason {
    /// A portal answers in the place of the server.
    Captive,
    CapReached,
    /// By the configuration, a person, or a server.
    Disabled,
    /// The name of the server could not be looked up through this bearer.
    Dns,
    /// Keys were not agreed upon.
    Dtls,
    /// The interface has no address of a family that the server has.
    NoAddress,
    /// No interface, no cable, no radio.
    NoLink,
    /// No default route by the interface.
    NoRoute,
    /// The modem is not registered with a network.
    NotRegistered,
    /// The network says that the server cannot be reached, or the server's host that nobody listens.
    Refused,
    /// No answer.
    Timeout,
    /// Nobody has tried yet.
    #[default]
    Untried,
}

/// What people, pages and objects are shown of one bearer.
#[derive(Clone, Debug, PartialEq)]
pub struct BearerFacts {
    pub id: BearerId,
    pub name: String,
    pub kind: BearerKind,
    /// As configured, or as found.
    pub interface: Option<String>,
    pub status: Status,
    /// `None` where it is connected.
    pub reason: Option<Reason>,
    pub since: Stamp,
    /// Sessions go over it.
    pub is_current: bool,
    /// Its cap is reached: only alarms and what keeps a server informed that the box is there go over
    /// it.
    pub is_urgent_only: bool,
    pub last_exchange: Option<Stamp>,
    pub round_trip: Option<Duration>,
    /// From which servers are spoken to over it.
    pub address: Option<IpAddr>,
    pub is_metered: bool,
    pub bytes_today: u64,
    pub bytes_month: u64,
    /// How often it went from connected to disconnected.
    pub flaps: u32,
    pub meta: Meta,
    pub link: Option<LinkFacts>,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
        }
    }
}

impl Reason {
    /// Whether it is worth a trial over a bearer that is disconnected for this reason.
    pub const fn may_be_tried(self) -> bool {
        match self {
            Self::CapReached
            | Self::Disabled
            | Self::NoAddress
            | Self::NoLink
            | Self::NoRoute
            | Self::NotRegistered => false,
            Self::Captive
            | Self::Dns
            | Self::Dtls
            | Self::Refused
            | Self::Timeout
            | Self::Untried => true,
        }
    }

    /// The word of the local API and of the vendor object Bearer.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Captive => "captive",
            Self::CapReached => "cap-reached",
            Self::Disabled => "disabled",
            Self::Dns => "dns",
            Self::Dtls => "dtls",
            Self::NoAddress => "no-address",
            Self::NoLink => "no-link",
            Self::NoRoute => "no-route",
            Self::NotRegistered => "not-registered",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Untried => "untried",
        }
    }
}
