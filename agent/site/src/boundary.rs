//! The whole surface of the site on one page.
//!
//! Contract: one `Site::handle`, then `Site::poll` until `None`, then `Site::poll_timeout`.

use std::{sync::Arc, time::Duration};

use lamplighter_model::{
    ResourceAddress, Value,
    device::{AdapterEvent, AdapterId, AdapterRequest, DeviceEvent, DeviceRequest, OpId, Origin},
    object::Definitions,
};

pub use crate::rule::config::{
    Clock, ClockTrust, LightLevels, Mode, PhotocellConfig, Policy, Position, Setpoint,
    ThermostatConfig, WhenLost, WhyRule,
};
use crate::rule::schedule::Schedule;
pub use crate::standstill::StandstillConfig;

/// What the site is told.
#[derive(Clone, Debug)]
pub enum SiteInput {
    /// A `Done` of a write may carry what was read back; it counts as measured.
    Adapter(AdapterId, AdapterEvent),
    /// The date, as far as it can be believed, and the zone of the machine: told at start, on change
    /// and now and then, so that a step of the clock is noticed. No rule is looked at before.
    Clock(Clock),
    /// From a person at this box; answered by [`DeviceEvent::Done`] with the same id.
    Lock(OpId, LockRequest),
    /// From the core, for a server or a person; answered by [`DeviceEvent::Done`] with the same id.
    Request(OpId, DeviceRequest),
    /// Whether any server is registered, told on change; before it is told, nothing is lost. Not to
    /// be told while every server is suspended on purpose: no fail-safe may fire because of that.
    ServerContact(bool),
    Timeout,
}

/// What the site wants done.
#[derive(Clone, Debug)]
pub enum SiteOutput {
    /// Never waits: a full queue in front of the adapter comes back as a fault.
    Adapter(AdapterId, AdapterRequest),
    Core(DeviceEvent),
    Event(SiteEvent),
    /// What has changed of the site's state, to be durable before later outputs of the site are
    /// performed. Costs as much as has changed.
    Save(crate::saved::SavedChange),
}

/// Something that people are told.
#[derive(Clone, Debug, PartialEq)]
pub enum SiteEvent {
    /// A command waits for standstill; `again` where it did before the program ended.
    Armed {
        name: String,
        by: Origin,
        again: bool,
    },
    /// It waits no more: somebody has given another one or called it off, a fail-safe has ended it, or
    /// (`None`) it was carried out.
    Disarmed { name: String, by: Option<Origin> },
    /// Something is wrong with an output or a group, or no longer.
    Alarm {
        name: String,
        alarm: Alarm,
        active: bool,
    },
    /// An output has another winner or value.
    Switched {
        name: String,
        value: Value,
        by: Origin,
        slot: Slot,
    },
    /// A device did not do what it was told.
    Failed { name: String, reason: String },
    /// A write to several devices failed at one of them after others had taken it.
    PartlyApplied {
        applied: Vec<String>,
        failed: String,
        reason: String,
    },
    /// A group command has reached all its members, or has not.
    GroupDone {
        name: String,
        failed: u16,
        members: u16,
    },
    /// The hand switch of a group stands elsewhere.
    HandSwitch { group: String, position: Hand },
    /// A maintenance lock is in force; `again` where it was before the program ended.
    Locked {
        name: String,
        by: Origin,
        again: bool,
    },
    /// What was locked before the program ended cannot be read; over once somebody has locked or
    /// unlocked anything.
    LocksUnknown { over: bool },
    /// A maintenance lock was taken away.
    Unlocked { name: String, by: Origin },
    /// Something that was kept over a restart does not fit any more and was left out or changed.
    Outdated { name: String, reason: String },
    /// A rule cannot do what it should, and what it does instead; `None`: it can again.
    Rule {
        name: String,
        trouble: Option<String>,
    },
}

/// What a hand switch says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Hand {
    #[default]
    Auto,
    Off,
    On,
}

impl std::fmt::Display for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Off => "off",
            Self::On => "on",
        })
    }
}

/// The fixed priorities of an output, highest first (design: "Outputs and who wins").
#[derive(
    Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize,
)]
pub enum Slot {
    Interlock,
    MaintenanceLock,
    HandSwitch,
    DeviceFailSafe,
    Command,
    GroupCommand,
    Schedule,
    Thermostat,
    ServerLost,
    Default,
}

impl Slot {
    /// All of them, highest first.
    pub const ALL: [Self; 10] = [
        Self::Interlock,
        Self::MaintenanceLock,
        Self::HandSwitch,
        Self::DeviceFailSafe,
        Self::Command,
        Self::GroupCommand,
        Self::Schedule,
        Self::Thermostat,
        Self::ServerLost,
        Self::Default,
    ];

    /// Whether its content survives a restart. What is left out follows from the configuration or
    /// from what is measured.
    pub(crate) const fn is_kept(self) -> bool {
        match self {
            Self::Command | Self::DeviceFailSafe | Self::GroupCommand | Self::ServerLost => true,
            // Locks and hand switches are kept by themselves.
            Self::Default
            | Self::HandSwitch
            | Self::Interlock
            | Self::MaintenanceLock
            | Self::Schedule
            | Self::Thermostat => false,
        }
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Command => "command",
            Self::Default => "default",
            Self::DeviceFailSafe => "device fail-safe",
            Self::GroupCommand => "group command",
            Self::HandSwitch => "hand switch",
            Self::Interlock => "interlock",
            Self::MaintenanceLock => "maintenance lock",
            Self::Schedule => "schedule",
            Self::ServerLost => "server-lost fall-back",
            Self::Thermostat => "thermostat",
        })
    }
}

/// What the site is made of; built from the checked configuration.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    pub definitions: Arc<Definitions>,
    pub groups: Vec<GroupConfig>,
    pub interlocks: Vec<InterlockConfig>,
    pub lamp_watches: Vec<LampWatchConfig>,
    pub points: Vec<PointConfig>,
    /// Of this start of the program; for random times only.
    pub seed: u64,
    /// Where the sun is looked at from.
    pub position: Option<Position>,
    pub standstills: Vec<StandstillConfig>,
    pub thermostats: Vec<ThermostatConfig>,
    /// Vendor objects begin here: Bearer +0, Group +1, Output status +2, Device link +3, Site rule +4.
    pub vendor_object_base: u16,
}

/// One configured point of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct PointConfig {
    /// `ahu1.setpoint`
    pub name: String,
    pub adapter: AdapterId,
    /// The resource that the adapter reads and writes. Of a lamp: its Command, as a boolean.
    pub address: ResourceAddress,
    pub kind: PointKind,
    pub limit: Option<Limit>,
    pub guard: Option<Guard>,
    pub fail_safe: Option<FailSafe>,
    /// What an output does before anybody commands it. Without meaning for [`PointKind::Value`].
    pub boot: BootState,
    /// Shortest time between two switchings, whoever wants them; a command waits for its end.
    pub min_switch: Duration,
    /// The adapter reports a contact of its own, which follows within this time.
    pub feedback: Option<Duration>,
    /// Longest random wait after a return of power. Zero: that of its groups.
    pub power_return_spread: Duration,
}

/// What stands in the lowest slot of an output, and so what it does after the very first start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum BootState {
    /// Nothing: the state in which the device is found stays until somebody commands it. For bus
    /// devices, which keep their state and can be read.
    Adopt,
    /// The site decides before the line is first driven: what was commanded before the restart,
    /// else off.
    #[default]
    Decide,
    /// As `Decide`, else off, said explicitly.
    Off,
    /// As `Decide`, else on.
    On,
}

/// What the site makes of a point.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PointKind {
    /// Passed on as it is; a write is passed on after the limit.
    Value,
    /// Two states (or a level) with a table of slots.
    Output,
    /// `instance = "/3416/1"` (or 3311, 3306, 3312 …): the line is a boolean, the site fills the
    /// resources of that object from it.
    Lamp,
    /// As a lamp, and the line takes a level of 0–100.
    Dimmer,
}

impl PointKind {
    /// Whether the site fills the resources of an instance from it.
    pub const fn is_lamp(self) -> bool {
        match self {
            Self::Dimmer | Self::Lamp => true,
            Self::Output | Self::Value => false,
        }
    }
}

/// Permitted values of a write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub on_violation: OnViolation,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnViolation {
    Clamp,
    /// Answered with 4.00, nothing is written.
    Reject,
}

/// Protects a compressor or a lamp from being switched too often.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Guard {
    pub min_on: Duration,
    pub min_off: Duration,
    pub max_starts_per_hour: Option<u32>,
    pub while_waiting: WhileWaiting,
}

/// What a command does that a guard delays.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WhileWaiting {
    /// Accepted, executed when the guard's time has passed.
    #[default]
    Queue,
    /// Refused with the time left.
    Reject,
}

/// What an output does when nobody commands it any more.
#[derive(Clone, Debug, PartialEq)]
pub struct FailSafe {
    pub on: FailSafeOn,
    pub after: Duration,
    pub value: Value,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailSafeOn {
    DeviceLost,
    ServerLost,
}

/// Outputs that are commanded together.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupConfig {
    pub name: String,
    /// Addresses of the points (for a lamp the address in its [`PointConfig`]).
    pub members: Vec<ResourceAddress>,
    /// Pause between two members, so that inrush currents do not add up.
    pub stagger: Duration,
    /// Shown in addition as this instance, e.g. `/3416/60000`, for servers without our definition.
    pub standard_instance: Option<lamplighter_model::InstanceAddress>,
    /// The switch on the spot that takes the group out of everybody else's hands.
    pub manual: Option<ManualConfig>,
    /// Longest random wait after a return of power.
    pub power_return_spread: Duration,
    pub schedule: Option<Schedule>,
    pub photocell: Option<PhotocellConfig>,
    /// Commands of its members, and its own, hold until the next event of schedule or photocell;
    /// otherwise until another one comes.
    pub until_next_event: bool,
}

/// Outputs of which one goes on only after all others are known to be off.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InterlockConfig {
    pub name: String,
    /// Addresses of the points, as in [`GroupConfig::members`].
    pub never_together: Vec<ResourceAddress>,
    /// How long all others must have been off.
    pub dead_time: Duration,
}

/// The power of an output or a group, and what it says of the lamps behind.
#[derive(Clone, Debug, PartialEq)]
pub struct LampWatchConfig {
    pub name: String,
    /// Name of an output or a group.
    pub target: String,
    /// A number: power, or current.
    pub input: ResourceAddress,
    /// Less than this while all is on: lamp failure.
    pub on_below: Option<f64>,
    /// More than this while all is off: day burner.
    pub off_above: Option<f64>,
    /// How long that must last.
    pub after: Duration,
}

/// What may be wrong with an output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Alarm {
    /// Something burns that was told to be off.
    DayBurner,
    LampFailure,
    /// The feedback contact does not follow.
    RelayFailure,
}

impl std::fmt::Display for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::DayBurner => "day burner",
            Self::LampFailure => "lamp failure",
            Self::RelayFailure => "relay failure",
        })
    }
}

/// A hand switch: one contact (hand or automatic), or two (hand on, hand off, automatic).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ManualConfig {
    /// True switches all members on.
    pub on: Option<ResourceAddress>,
    /// True switches all members off, also where `on` says the contrary.
    pub off: Option<ResourceAddress>,
    /// How long the switch holds; `None` as long as it stands there.
    pub limit: Option<Duration>,
}

/// Of the maintenance lock: what it lets pass is OFF.
#[derive(Clone, Debug, PartialEq)]
pub enum LockRequest {
    /// `what` is a group, an output, or [`ALL_OUTPUTS`].
    Lock { what: String, by: Origin },
    /// `None`: everything that is locked.
    Unlock { what: Option<String>, by: Origin },
}

/// What a maintenance lock of every output is called.
pub const ALL_OUTPUTS: &str = "all";

/// A maintenance lock that is in force.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct LockView {
    /// A group, an output, or [`ALL_OUTPUTS`].
    pub name: String,
    pub by: Origin,
    /// Its age.
    pub since: Duration,
    pub outputs: usize,
}

/// Who commands an output, and what was overruled: the answer of `lamplighter why`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Why {
    pub name: String,
    /// What the winner wants.
    pub commanded: Option<Value>,
    /// What was last written to the device and accepted by it.
    pub in_effect: Option<Value>,
    /// What the device was last seen to do.
    pub measured: Option<Value>,
    /// Occupied slots, the winner first.
    pub slots: Vec<WhySlot>,
    /// Time until a guard lets the winner through.
    pub guard_left: Option<Duration>,
    /// What keeps it from what it is wanted to do, in words: interlock, lock, hand switch.
    pub held_by: Option<String>,
    /// Why it does less than what on means elsewhere, in words.
    pub limited: Option<String>,
    /// The last command that was refused.
    pub refused: Option<WhyRefused>,
    /// The rules that switch it.
    pub rules: Vec<WhyRule>,
    /// What happened to the last write, in words.
    pub result: String,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct WhySlot {
    pub slot: Slot,
    pub value: Value,
    pub by: Origin,
    /// Age of the command.
    pub since: Duration,
    /// Time until it ends by itself.
    pub ends_in: Option<Duration>,
}

/// A command that was answered with an error and will never be carried out.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct WhyRefused {
    pub value: Value,
    pub by: Origin,
    pub reason: String,
    /// Its age.
    pub since: Duration,
}
