//! What rules are configured with, and what people are told of them.

use std::{sync::Arc, time::Duration};

use lamplighter_model::{InstanceAddress, ResourceAddress};

use super::calendar::Zone;
use crate::boundary::Limit;

/// The date and the zone of the machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Clock {
    pub trust: ClockTrust,
    pub zone: Arc<Zone>,
}

/// How far the date can be believed. Rules go by any date; without one they go by none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClockTrust {
    #[default]
    Estimated,
    Trusted,
}

/// A place on earth, WGS 84, in degrees to the north and to the east.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    pub lat: f64,
    pub lon: f64,
}

/// `photocell = { input = …, policy = … }` of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct PhotocellConfig {
    /// A twilight switch, true when it is dark; or a light sensor, where there are `levels`.
    pub input: ResourceAddress,
    pub policy: Policy,
    pub levels: Option<LightLevels>,
    /// How long the input must say something else before it counts.
    pub dwell: Duration,
    /// Shown and adjusted as this instance of object 3419; of a light sensor only.
    pub instance: Option<InstanceAddress>,
}

/// How photocell and schedule go together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Policy {
    /// On when both say so.
    And,
    /// On when one of them says so.
    #[default]
    Or,
}

/// Lux below which lamps are switched on, and above which off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LightLevels {
    pub on_lux: f64,
    pub off_lux: f64,
}

/// `[site.thermostat.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct ThermostatConfig {
    pub name: String,
    pub sensor: ResourceAddress,
    pub setpoint: Setpoint,
    /// Distances from the set point at which it switches, together greater than zero.
    pub on_threshold: f64,
    pub off_threshold: f64,
    pub output: ResourceAddress,
    pub mode: Mode,
    pub when_lost: WhenLost,
    /// How old the last value of a sensor that is not heard any more may get.
    pub max_age: Duration,
    /// A fixed set point is shown and adjusted as this instance of object 3308.
    pub instance: Option<InstanceAddress>,
    /// Set points that may be written there.
    pub limit: Option<Limit>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setpoint {
    Fixed(f64),
    /// A device holds it.
    Point(ResourceAddress),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    Cool,
    Heat,
}

/// What a thermostat does while its sensor says nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WhenLost {
    Off,
    On,
    /// Nothing: lower slots decide.
    #[default]
    Release,
}

/// A rule that switches an output, for `lamplighter why`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct WhyRule {
    pub name: String,
    pub kind: &'static str,
    pub enabled: bool,
    /// What it does and waits for, in words.
    pub says: String,
    /// Time until it switches by the clock, and to what, 0–100.
    pub next: Option<(Duration, u8)>,
}
