//! What the site makes of a relay that is configured as an object instance: the resources of that
//! object, derived from a boolean or a level, and its counters. A relay knows only 0 and 100 %.

use std::time::Duration;

use lamplighter_model::{
    Decimal, Now, ResourceId, ResourcePath, UnixTime, Value, device::Fault, object::Operations,
};

use crate::{boundary::PointKind, moment::Moment, saved::SavedCounters};

/// A resource that follows from the state of a relay, in the words of several objects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LampResource {
    /// 3416/1: what is commanded, 0 or 100.
    Command,
    /// 3416/2: what was accepted by the device.
    CommandInAction,
    /// 3416/3: what is measured.
    Level,
    /// 3416/5, where the power of the lamp is watched.
    LampFailure,
    /// 3416/9, where a contact says what the relay does.
    RelayFailure,
    /// 3416/10, where the power of the lamp is watched.
    DayBurner,
    /// 3416/50: since when a hand switch holds it, 0 for "not". // lwm2m/70, 3416
    ManualStart,
    /// 3416/51: until when, 0 for "not by itself".
    ManualEnd,
    /// 3416/54: a hand switch holds it.
    ManualActive,
    /// 3416/15, hours.
    OperatingHours,
    /// 3416/16
    OperatingHoursReset,
    /// 3416/17: when it was last switched on.
    OnTimestamp,
    /// 3416/18
    SwitchCounter,
    /// 3416/19
    SwitchCounterReset,
    /// 5850, 5550: command and measured state.
    OnOff,
    /// 5851: command and measured level.
    Dimmer,
    /// 5852, seconds; writing 0 resets it.
    OnTime,
}

/// What a value written to a lamp's resource asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LampWrite {
    /// 0–100.
    Level(u8),
    Reset(Reset),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reset {
    OnTime,
    OperatingHours,
    SwitchCounter,
}

const OUTDOOR_LAMP_CONTROLLER: &[(u16, LampResource)] = &[
    (1, LampResource::Command),
    (2, LampResource::CommandInAction),
    (3, LampResource::Level),
    (5, LampResource::LampFailure),
    (9, LampResource::RelayFailure),
    (10, LampResource::DayBurner),
    (15, LampResource::OperatingHours),
    (16, LampResource::OperatingHoursReset),
    (17, LampResource::OnTimestamp),
    (18, LampResource::SwitchCounter),
    (19, LampResource::SwitchCounterReset),
    (50, LampResource::ManualStart),
    (51, LampResource::ManualEnd),
    (54, LampResource::ManualActive),
];
const ACTUATION: &[(u16, LampResource)] =
    &[(5850, LampResource::OnOff), (5852, LampResource::OnTime)];
const LIGHT_CONTROL: &[(u16, LampResource)] = &[
    (5850, LampResource::OnOff),
    (5851, LampResource::Dimmer),
    (5852, LampResource::OnTime),
];
const DIGITAL_OUTPUT: &[(u16, LampResource)] = &[(5550, LampResource::OnOff)];

/// What a relay can say of an object: 3201, 3306, 3311, 3312 and 3416. Of any other object it is
/// just the configured resource.
pub(crate) fn resources(path: ResourcePath) -> Vec<(ResourceId, LampResource)> {
    let table = match path.object().0 {
        3201 => DIGITAL_OUTPUT,
        3306 => ACTUATION,
        3311 | 3312 => LIGHT_CONTROL,
        3416 => OUTDOOR_LAMP_CONTROLLER,
        _ => return vec![(path.resource, LampResource::OnOff)],
    };
    table
        .iter()
        .map(|(id, resource)| (ResourceId(*id), *resource))
        .collect()
}

impl LampResource {
    pub(crate) const fn operations(self) -> Operations {
        match self {
            Self::Command | Self::Dimmer | Self::OnOff | Self::OnTime => Operations::RW,
            Self::CommandInAction
            | Self::DayBurner
            | Self::LampFailure
            | Self::Level
            | Self::ManualActive
            | Self::ManualEnd
            | Self::ManualStart
            | Self::OnTimestamp
            | Self::OperatingHours
            | Self::RelayFailure
            | Self::SwitchCounter => Operations::R,
            Self::OperatingHoursReset | Self::SwitchCounterReset => Operations::E,
        }
    }

    /// Whether reading it means reading the device.
    pub(crate) const fn is_measured(self) -> bool {
        match self {
            Self::Dimmer | Self::Level | Self::OnOff => true,
            Self::Command
            | Self::CommandInAction
            | Self::DayBurner
            | Self::LampFailure
            | Self::ManualActive
            | Self::ManualEnd
            | Self::ManualStart
            | Self::OnTime
            | Self::OnTimestamp
            | Self::OperatingHours
            | Self::OperatingHoursReset
            | Self::RelayFailure
            | Self::SwitchCounter
            | Self::SwitchCounterReset => false,
        }
    }

    /// What writing this value means; refused with words where the line cannot do it.
    pub(crate) fn write(self, value: &Value, kind: PointKind) -> Result<LampWrite, Fault> {
        let number = value.as_f64();
        match self {
            Self::Command | Self::Dimmer => match (number, kind) {
                (Some(0.0), _) => Ok(LampWrite::Level(0)),
                (Some(100.0), _) => Ok(LampWrite::Level(100)),
                // Rounded: the range was looked at.
                (Some(level), PointKind::Dimmer) if (0.0..=100.0).contains(&level) => {
                    Ok(LampWrite::Level(level.round() as u8))
                }
                (_, PointKind::Dimmer) => Err(Fault::BadValue("a level is 0 to 100".to_owned())),
                (_, PointKind::Lamp | PointKind::Output | PointKind::Value) => Err(
                    Fault::BadValue("a relay cannot dim: only 0 and 100 are possible".to_owned()),
                ),
            },
            Self::OnOff => match number {
                Some(number) => Ok(LampWrite::Level(if number == 0.0 { 0 } else { 100 })),
                None => Err(Fault::BadValue("not a state".to_owned())),
            },
            Self::OnTime => match number {
                Some(0.0) => Ok(LampWrite::Reset(Reset::OnTime)),
                Some(_) | None => Err(Fault::BadValue(
                    "the on time can only be reset to 0".to_owned(),
                )),
            },
            Self::CommandInAction
            | Self::DayBurner
            | Self::LampFailure
            | Self::Level
            | Self::ManualActive
            | Self::ManualEnd
            | Self::ManualStart
            | Self::OnTimestamp
            | Self::OperatingHours
            | Self::OperatingHoursReset
            | Self::RelayFailure
            | Self::SwitchCounter
            | Self::SwitchCounterReset => Err(Fault::Unsupported),
        }
    }

    pub(crate) const fn reset(self) -> Option<Reset> {
        match self {
            Self::OperatingHoursReset => Some(Reset::OperatingHours),
            Self::SwitchCounterReset => Some(Reset::SwitchCounter),
            Self::Command
            | Self::CommandInAction
            | Self::DayBurner
            | Self::Dimmer
            | Self::LampFailure
            | Self::Level
            | Self::ManualActive
            | Self::ManualEnd
            | Self::ManualStart
            | Self::OnOff
            | Self::OnTime
            | Self::OnTimestamp
            | Self::OperatingHours
            | Self::RelayFailure
            | Self::SwitchCounter => None,
        }
    }
}

/// What a lamp is told or seen to do, as a level.
pub(crate) fn level_of(value: &Value) -> Value {
    if let Value::Boolean(on) = value {
        return level(*on);
    }
    let number = value.as_f64().unwrap_or_default();
    // Nothing is lost within 0 and 100.
    Value::Integer(number.clamp(0.0, 100.0) as i64)
}

/// A state as a level.
pub(crate) const fn level(on: bool) -> Value {
    Value::Integer(if on { 100 } else { 0 })
}

/// Time on and switching of one output.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    saved: SavedCounters,
    on: Option<bool>,
    /// Since when it is on, as far as `saved.on_total` does not hold it yet.
    counting_since: Option<Moment>,
    on_since: Option<Moment>,
    /// Something has changed that is kept over a restart, beside the time on.
    is_unkept: bool,
}

impl Counters {
    pub(crate) const fn new(saved: SavedCounters) -> Self {
        Self {
            saved,
            on: None,
            counting_since: None,
            on_since: None,
            is_unkept: false,
        }
    }

    pub(crate) fn to_saved(&self, now: Now) -> SavedCounters {
        SavedCounters {
            on_total: self.on_total(now),
            ..self.saved
        }
    }

    /// The output is seen, or believed, in this state. True if it was not before.
    pub(crate) fn on_state(&mut self, on: bool, now: Now) -> bool {
        if self.on == Some(on) {
            return false;
        }
        self.is_unkept = true;
        self.saved.on_total = self.on_total(now);
        self.counting_since = on.then(|| Moment::of(now));
        if on && self.on == Some(false) {
            self.saved.switches = self.saved.switches.saturating_add(1);
        }
        // Found on at start: since when is not known.
        self.on_since = self.counting_since.filter(|_| self.on.is_some());
        self.on = Some(on);
        true
    }

    /// Whether anything has changed that is kept, since this was last asked.
    pub(crate) const fn take_unkept(&mut self) -> bool {
        std::mem::replace(&mut self.is_unkept, false)
    }

    pub(crate) const fn is_counting(&self) -> bool {
        self.counting_since.is_some()
    }

    /// Hours on, to a hundredth.
    pub(crate) fn operating_hours(&self, now: Now) -> Value {
        let time = self.on_total(now).saturating_sub(self.saved.hours_reset);
        Value::Decimal(Decimal::new(
            i64::try_from(time.as_secs() / 36).unwrap_or(i64::MAX),
            -2,
        ))
    }

    /// Seconds on.
    pub(crate) fn on_time(&self, now: Now) -> Value {
        let time = self.on_total(now).saturating_sub(self.saved.on_time_reset);
        Value::Integer(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
    }

    pub(crate) fn switches(&self) -> Value {
        let switches = self
            .saved
            .switches
            .saturating_sub(self.saved.switches_reset);
        Value::Integer(i64::try_from(switches).unwrap_or(i64::MAX))
    }

    /// When it was last switched on; `None` while it is off or nobody knows.
    pub(crate) fn switched_on(&self, now: Now) -> Option<UnixTime> {
        self.on_since?.unix(now)
    }

    pub(crate) fn reset(&mut self, reset: Reset, now: Now) {
        self.is_unkept = true;
        match reset {
            Reset::OnTime => self.saved.on_time_reset = self.on_total(now),
            Reset::OperatingHours => self.saved.hours_reset = self.on_total(now),
            Reset::SwitchCounter => self.saved.switches_reset = self.saved.switches,
        }
    }

    fn on_total(&self, now: Now) -> Duration {
        let current = self
            .counting_since
            .map_or(Duration::ZERO, |since| since.age(now));
        self.saved.on_total.saturating_add(current)
    }
}
