//! What outputs do by themselves: schedules and photocells of groups, thermostats.
//!
//! A rule looks at the clock, the sun and measurements and says what it wants; the site puts that
//! into the slot of its outputs. Parameters may be written by servers: such a value wins over the
//! configuration until the configuration says something else than it did then.

mod calendar;
pub(crate) mod config;
mod light;
mod parameter;
mod photocell;
mod resource;
pub mod schedule;
pub(crate) mod sky;
mod sun;
mod thermostat;

use std::collections::{BTreeMap, BTreeSet};

use lamplighter_model::Now;

pub use self::{
    calendar::Zone,
    sky::{Almanac, Year},
    thermostat::{DEFAULT_MAX_AGE, MAX_THRESHOLD},
};
pub(crate) use self::{
    light::Light,
    parameter::{Parameter, text_of},
    photocell::Photocell,
    resource::RuleResource,
    thermostat::{Decision, Thermostat},
};
use self::{
    schedule::{FULL, Schedule},
    sky::Sky,
    thermostat::Thresholds,
};
use crate::{
    boundary::{GroupConfig, LightLevels, Setpoint, Slot, ThermostatConfig, WhenLost},
    moment::Moment,
    output::{GroupIndex, OutputIndex},
    saved::{SavedParameter, SavedRule},
};

/// A rule: those of groups in their order, then thermostats; also the instance of its vendor object.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct RuleIndex(pub(crate) u16);

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) kind: RuleKind,
    pub(crate) targets: Vec<OutputIndex>,
    /// What it wants of its outputs, 0–100; `None`: nothing.
    pub(crate) level: Option<u8>,
    /// When it switches next by the clock, in seconds since 1970, and to what.
    pub(crate) next: Option<(i64, u8)>,
    /// What people were told of it.
    pub(crate) trouble: Option<String>,
    written: BTreeMap<Parameter, SavedParameter>,
    /// What its outputs were last told; `None`: they are to be told anew.
    pub(crate) applied: Option<Applied>,
}

/// What a rule wants of its outputs, and the event before which commands end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Applied {
    pub(crate) level: Option<u8>,
    pub(crate) wanted: Wanted,
    pub(crate) event: Option<i64>,
}

#[derive(Clone, Debug)]
pub(crate) enum RuleKind {
    Light(Box<Light>),
    Thermostat(Box<Thermostat>),
}

/// What a rule wants of its outputs now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) wanted: Wanted,
    /// When it is to be looked at again.
    pub(crate) wake: Option<Moment>,
    /// When it has switched last by the clock: commands from before it end.
    pub(crate) event: Option<i64>,
    pub(crate) trouble: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    /// What it wanted before.
    Keep,
    /// Nothing.
    Release,
    /// 0–100
    Level(u8),
    /// On for lamps, as before for everything else: nobody knows what time it is.
    SwitchLamps,
}

impl Wanted {
    /// What it is said to want for good.
    const fn level(self) -> Option<u8> {
        match self {
            Self::Keep | Self::Release | Self::SwitchLamps => None,
            Self::Level(level) => Some(level),
        }
    }

    const fn switch(on: bool) -> Self {
        Self::Level(if on { FULL } else { 0 })
    }
}

impl Rule {
    /// The rule of a group, where it has one.
    pub(crate) fn light(
        config: &GroupConfig,
        group: GroupIndex,
        targets: Vec<OutputIndex>,
        saved: Option<&SavedRule>,
        now: Now,
    ) -> Option<Self> {
        let dark = saved.and_then(|saved| saved.dark);
        let light = Light::new(config, group, dark, now)?;
        let kind = RuleKind::Light(Box::new(light));
        Some(Self::new(config.name.clone(), kind, targets, saved))
    }

    pub(crate) fn thermostat(
        config: ThermostatConfig,
        target: OutputIndex,
        saved: Option<&SavedRule>,
        now: Now,
    ) -> Self {
        let name = config.name.clone();
        let setpoint = match config.setpoint {
            Setpoint::Fixed(value) => Some(value),
            Setpoint::Point(_) => saved.and_then(|saved| saved.setpoint),
        };
        let thresholds = Thresholds {
            on: config.on_threshold,
            off: config.off_threshold,
        };
        let on = saved.and_then(|saved| saved.on);
        let thermostat = Thermostat::new(config, thresholds, setpoint, on, now);
        let kind = RuleKind::Thermostat(Box::new(thermostat));
        Self::new(name, kind, vec![target], saved)
    }

    fn new(
        name: String,
        kind: RuleKind,
        targets: Vec<OutputIndex>,
        saved: Option<&SavedRule>,
    ) -> Self {
        Self {
            name,
            enabled: true,
            kind,
            targets,
            level: saved.and_then(|saved| {
                let on = saved.on.map(|on| if on { FULL } else { 0 });
                saved.level.filter(|level| *level <= FULL).or(on)
            }),
            next: None,
            trouble: None,
            written: BTreeMap::new(),
            applied: None,
        }
    }

    pub(crate) fn kind_name(&self) -> &'static str {
        match &self.kind {
            RuleKind::Light(light) if light.schedule.is_none() => "photocell",
            RuleKind::Light(_) => "schedule",
            RuleKind::Thermostat(_) => "thermostat",
        }
    }

    /// The name under which its state is kept.
    pub(crate) fn key(&self) -> String {
        match self.kind {
            RuleKind::Light(_) => format!("schedule {}", self.name),
            RuleKind::Thermostat(_) => format!("thermostat {}", self.name),
        }
    }

    pub(crate) const fn slot(&self) -> Slot {
        match self.kind {
            RuleKind::Light(_) => Slot::Schedule,
            RuleKind::Thermostat(_) => Slot::Thermostat,
        }
    }

    /// Another zone, or another schedule: nothing holds that was found out.
    pub(crate) fn forget_ahead(&mut self) {
        match &mut self.kind {
            RuleKind::Light(light) => light.ahead = None,
            RuleKind::Thermostat(_) => {}
        }
    }

    pub(crate) fn needs_sun(&self) -> bool {
        match &self.kind {
            RuleKind::Light(light) => light.schedule.as_ref().is_some_and(Schedule::needs_sun),
            RuleKind::Thermostat(_) => false,
        }
    }

    /// Levels that it may want besides on and off.
    pub(crate) fn levels(&self) -> BTreeSet<u8> {
        match &self.kind {
            RuleKind::Light(light) => light
                .schedule
                .as_ref()
                .map(Schedule::levels)
                .unwrap_or_default(),
            RuleKind::Thermostat(_) => BTreeSet::new(),
        }
    }

    /// What it wants now. `actual`: whether its first output is on.
    pub(crate) fn look(&mut self, sky: &mut Sky, actual: Option<bool>, now: Now) -> Verdict {
        if !self.enabled {
            self.next = None;
            return Verdict {
                wanted: Wanted::Release,
                wake: None,
                event: None,
                trouble: None,
            };
        }
        match &mut self.kind {
            RuleKind::Light(light) => {
                let ahead = light.ahead(sky, now);
                self.next = ahead.and_then(|ahead| ahead.next);
                light.look(ahead, self.level, sky, now)
            }
            RuleKind::Thermostat(thermostat) => look_thermostat(thermostat, actual, now),
        }
    }

    /// What it does and waits for, in words.
    pub(crate) fn says(&self, sky: &Sky, now: Now) -> String {
        if !self.enabled {
            return "not enabled".to_owned();
        }
        let complaint = match &self.kind {
            RuleKind::Light(_) => None,
            RuleKind::Thermostat(thermostat) => thermostat.complaint(),
        };
        if let Some(trouble) = self.trouble.as_ref().filter(|_| self.trouble != complaint) {
            return trouble.clone();
        }
        let does = match &self.kind {
            RuleKind::Light(light) => light.says(self.level, self.next, sky, now),
            RuleKind::Thermostat(thermostat) => thermostat.says(),
        };
        match complaint {
            Some(complaint) => format!("{does}; {complaint}"),
            None => does,
        }
    }

    /// When it switches next by the clock.
    pub(crate) fn next_at(&self, now: Now) -> Option<Moment> {
        moment(self.next?.0, now)
    }

    /// What it knows that has to be kept: whether it is dark, and the set point of a device.
    pub(crate) fn kept(&self) -> (Option<bool>, Option<f64>) {
        match &self.kind {
            RuleKind::Light(light) => (light.photocell.as_ref().and_then(Photocell::kept), None),
            RuleKind::Thermostat(thermostat) => (None, thermostat.setpoint),
        }
    }

    pub(crate) fn to_saved(&self) -> SavedRule {
        let (dark, setpoint) = self.kept();
        let written = self.written.iter();
        let written = written.map(|(parameter, saved)| (parameter.to_string(), saved.clone()));
        SavedRule {
            on: self.level.map(|level| level > 0),
            level: self.level,
            dark,
            setpoint,
            written: written.collect(),
        }
    }
}

fn look_thermostat(thermostat: &mut Thermostat, actual: Option<bool>, now: Now) -> Verdict {
    let decision = thermostat.decide(actual, now);
    let (wanted, does) = match (decision, thermostat.config.when_lost) {
        (Decision::Switch(on), _) => (Wanted::switch(on), None),
        (Decision::Wait, _) => (Wanted::Keep, None),
        (Decision::Lost, WhenLost::Off) => (Wanted::switch(false), Some("off")),
        (Decision::Lost, WhenLost::On) => (Wanted::switch(true), Some("on")),
        (Decision::Lost, WhenLost::Release) => (Wanted::Release, Some("left to other rules")),
    };
    if decision == Decision::Lost {
        // What it will do when the sensor is back follows from what the output does then.
        thermostat.on = None;
    }
    Verdict {
        wanted,
        wake: thermostat.expires().filter(|at| *at > Moment::of(now)),
        event: None,
        trouble: does
            .map(|does| format!("the sensor tells nothing usable: {does}"))
            .or_else(|| thermostat.complaint()),
    }
}

impl LightLevels {
    /// Refused with words where lamps would switch at one level for ever.
    pub fn check(self) -> Result<(), String> {
        let Self { on_lux, off_lux } = self;
        if on_lux >= 0.0 && off_lux > on_lux && off_lux.is_finite() {
            return Ok(());
        }
        Err(format!(
            "lamps go on below {on_lux} lx and off above {off_lux} lx: the second must be greater"
        ))
    }
}

/// Seconds since 1970.
pub(crate) fn seconds(now: Now) -> Option<i64> {
    now.unix.map(|unix| unix.0.div_euclid(1000))
}

/// When the clock will show this; `None` while it shows nothing.
fn moment(unix: i64, now: Now) -> Option<Moment> {
    let left = unix.saturating_mul(1000).saturating_sub(now.unix?.0);
    let left = std::time::Duration::from_millis(u64::try_from(left).unwrap_or(0));
    Some(Moment::of(now).plus(left))
}
