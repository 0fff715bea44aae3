//! What core, site and adapters say to each other. The core speaks to `site` as if it were the one
//! device behind the tree; `site` speaks to the adapters in the same words.

use std::time::Duration;

use crate::{ResourceAddress, ResourceInstanceId, Sample, Ssid, Value, object::Operations};

/// Identifies one request until it is done. Core and site number their own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OpId(pub u64);

/// One configured adapter, in the order of the configuration.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AdapterId(pub u16);

/// Who wants something; every write carries it.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Origin {
    /// A person at this box: command line or page, with the name.
    Local(String),
    Mqtt,
    /// A rule of `site`, by its name.
    Rule(String),
    Server(Ssid),
}

/// A value for a resource, or for one instance of a multiple resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    pub address: ResourceAddress,
    pub index: Option<ResourceInstanceId>,
    pub value: Value,
}

/// What is to be done with resources that core does not answer itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Execute {
        resource: ResourceAddress,
        args: Vec<u8>,
    },
    /// May use the bus where the last sample is too old.
    Read(Vec<ResourceAddress>),
    /// All checks first, then applied. `hold`: how long a command holds against the rules of the
    /// site; `None` until the next schedule event.
    Write {
        values: Vec<Assignment>,
        hold: Option<Duration>,
    },
    /// A piece of a value that is too large to be passed on as a whole.
    WritePart(Part),
}

/// A piece of the value of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub resource: ResourceAddress,
    /// Where it stands in the value. 0 begins anew, whatever came before.
    pub offset: u64,
    pub bytes: Vec<u8>,
    /// Others follow, without a gap.
    pub has_more: bool,
    /// Bytes of the whole value, where that is known.
    pub total: Option<u64>,
}

/// A request of the core, or of a person through the core.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceRequest {
    pub origin: Origin,
    pub action: Action,
}

/// A resource that somebody behind the core answers for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Declaration {
    pub address: ResourceAddress,
    /// What the device can do; the definition may allow less, and then less it is.
    pub operations: Operations,
}

/// A change of what exists.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Declared {
    pub added: Vec<Declaration>,
    pub removed: Vec<ResourceAddress>,
}

/// What a request brought. A Read may succeed in part: what failed stands in `failed`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub samples: Vec<Sample>,
    pub failed: Vec<(ResourceAddress, Fault)>,
}

/// Why a device or a rule of the site did not do what was asked. `lwm2m/src/reject.rs` turns it
/// into a response code, in one place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The device or a limit refuses this value.
    BadValue(String),
    /// The queue in front of the device is full.
    Busy,
    /// The device answered with an error of its own.
    Device(String),
    /// Nothing was ever read from it.
    NoValue,
    /// A rule of the site forbids it for now (lock, hand switch, guard, interlock).
    Refused {
        reason: String,
        retry_after: Option<Duration>,
    },
    /// No answer within the time.
    Timeout,
    /// The value has more bytes than there is room for.
    TooLarge,
    /// The line or the device is gone.
    Unreachable,
    /// The device cannot do this.
    Unsupported,
}

/// What comes from behind the core.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceEvent {
    Changed(Vec<Sample>),
    Declared(Declared),
    Done(OpId, Result<Answer, Fault>),
}

/// State of the way to a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// Not heard yet.
    Starting,
    Online,
    /// Missed an answer.
    Suspect,
    /// Given up for now; probed with growing pauses.
    Offline,
}

/// A request to one adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterRequest {
    pub op: OpId,
    pub action: Action,
}

/// Something that happened at a device and is no value: for the event log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// A fixed word: `meter_exchanged`.
    pub what: &'static str,
    /// Without values.
    pub text: String,
    /// With them, for people at the box only.
    pub detail: String,
}

/// What an adapter's supervisor reports.
#[derive(Clone, Debug, PartialEq)]
pub enum AdapterEvent {
    Changed(Vec<Sample>),
    Declared(Declared),
    Done(OpId, Result<Answer, Fault>),
    /// Sent on change only, with the reason in words for people.
    Link(LinkState, String),
    Note(Note),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadValue(why) | Self::Device(why) => f.write_str(why),
            Self::Busy => f.write_str("the device is busy"),
            Self::NoValue => f.write_str("no value was read yet"),
            Self::Refused { reason, .. } => f.write_str(reason),
            Self::Timeout => f.write_str("the device did not answer in time"),
            Self::TooLarge => f.write_str("it is too large"),
            Self::Unreachable => f.write_str("the device cannot be reached"),
            Self::Unsupported => f.write_str("the device cannot do this"),
        }
    }
}
