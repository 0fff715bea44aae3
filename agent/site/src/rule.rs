//! What outputs do by themselves: schedules and photocells of groups, thermostats.
//!
//! A rule looks at the clock, the sun and measurements and says what it wants; the site puts that
//! into the slot of its outputs. Parameters may be written by servers: such a value wins over the
//! configuration until the configuration says something else than it did then.

mod calendar;
pub(crate) mod config;
mod light;
mod photocell;
mod resource;
pub mod schedule;
pub(crate) mod sky;
mod sun;
mod thermostat;

use std::collections::BTreeMap;

use lamplighter_model::{Now, Value};

pub use self::{
    calendar::Zone,
    sky::{Almanac, Year},
    thermostat::DEFAULT_MAX_AGE,
};
pub(crate) use self::{
    light::Light,
    photocell::Photocell,
    resource::RuleResource,
    thermostat::{Decision, Thermostat},
};
use self::{schedule::Schedule, sky::Sky, thermostat::Thresholds};
use crate::{
    boundary::{GroupConfig, LightLevels, Limit, Setpoint, Slot, ThermostatConfig, WhenLost},
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
    /// What it wants of its outputs; `None`: nothing.
    pub(crate) on: Option<bool>,
    /// When it switches next by the clock, in seconds since 1970, and to what.
    pub(crate) next: Option<(i64, bool)>,
    /// What people were told of it.
    pub(crate) trouble: Option<String>,
    written: BTreeMap<Parameter, SavedParameter>,
    /// What its outputs were last told; `None`: they are to be told anew.
    pub(crate) applied: Option<Applied>,
}

/// What a rule wants of its outputs, and the event before which commands end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Applied {
    pub(crate) on: Option<bool>,
    pub(crate) wanted: Wanted,
    pub(crate) event: Option<i64>,
}

#[derive(Clone, Debug)]
pub(crate) enum RuleKind {
    Light(Box<Light>),
    Thermostat(Box<Thermostat>),
}

/// What servers may change.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Parameter {
    Enabled,
    OffThreshold,
    OnThreshold,
    Schedule,
    Setpoint,
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
    Switch(bool),
    /// On for lamps, as before for everything else: nobody knows what time it is.
    SwitchLamps,
}

impl Wanted {
    /// What it is said to want for good.
    const fn state(self) -> Option<bool> {
        match self {
            Self::Keep | Self::Release | Self::SwitchLamps => None,
            Self::Switch(on) => Some(on),
        }
    }
}

const PARAMETERS: [(Parameter, &str); 5] = [
    (Parameter::Enabled, "enabled"),
    (Parameter::OffThreshold, "off_threshold"),
    (Parameter::OnThreshold, "on_threshold"),
    (Parameter::Schedule, "schedule"),
    (Parameter::Setpoint, "setpoint"),
];

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
        let mut rule = Self {
            name,
            enabled: true,
            kind,
            targets,
            on: saved.and_then(|saved| saved.on),
            next: None,
            trouble: None,
            written: BTreeMap::new(),
            applied: None,
        };
        if let Some(saved) = saved {
            rule.restore(&saved.written);
        }
        rule
    }

    /// What servers have written, as far as the configuration is as it was then.
    fn restore(&mut self, written: &BTreeMap<String, SavedParameter>) {
        let valid = PARAMETERS.into_iter().filter_map(|(parameter, key)| {
            let saved = written.get(key)?;
            let same = self.configured(parameter).as_ref() == Some(&saved.configured);
            same.then(|| (parameter, saved.value.clone()))
        });
        let valid: BTreeMap<_, _> = valid.collect();
        if let Err(reason) = self.change(&valid) {
            tracing::warn!(
                rule = self.name,
                reason,
                "What was written is not valid any more"
            );
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

    /// What the configuration says; `None` where the rule has no such parameter.
    fn configured(&self, parameter: Parameter) -> Option<String> {
        let number = |number: f64| number.to_string();
        match (&self.kind, parameter) {
            (_, Parameter::Enabled) => Some(true.to_string()),
            (RuleKind::Light(light), Parameter::Schedule) => {
                light.configured.as_ref().map(ToString::to_string)
            }
            (RuleKind::Light(light), Parameter::OnThreshold) => {
                Some(number(light.photocell.as_ref()?.config.levels?.on_lux))
            }
            (RuleKind::Light(light), Parameter::OffThreshold) => {
                Some(number(light.photocell.as_ref()?.config.levels?.off_lux))
            }
            (RuleKind::Thermostat(thermostat), Parameter::OnThreshold) => {
                Some(number(thermostat.config.on_threshold))
            }
            (RuleKind::Thermostat(thermostat), Parameter::OffThreshold) => {
                Some(number(thermostat.config.off_threshold))
            }
            (RuleKind::Thermostat(thermostat), Parameter::Setpoint) => {
                match thermostat.config.setpoint {
                    Setpoint::Fixed(value) => Some(number(value)),
                    Setpoint::Point(_) => None,
                }
            }
            (RuleKind::Light(_), Parameter::Setpoint)
            | (RuleKind::Thermostat(_), Parameter::Schedule) => None,
        }
    }

    /// Values that may be written of a parameter, where that is configured.
    pub(crate) fn limit(&self, parameter: Parameter) -> Option<&Limit> {
        match (&self.kind, parameter) {
            (RuleKind::Thermostat(thermostat), Parameter::Setpoint) => {
                thermostat.config.limit.as_ref()
            }
            (RuleKind::Light(_) | RuleKind::Thermostat(_), _) => None,
        }
    }

    /// Takes new parameters, all or none. Refused with words.
    pub(crate) fn change(&mut self, changes: &BTreeMap<Parameter, String>) -> Result<(), String> {
        let mut kind = self.kind.clone();
        let mut enabled = self.enabled;
        for (parameter, text) in changes {
            set(&mut kind, &mut enabled, *parameter, text)?;
        }
        check(&kind)?;
        let mut written = self.written.clone();
        for (parameter, text) in changes {
            let configured = self.configured(*parameter).unwrap_or_default();
            let saved = SavedParameter {
                value: text.clone(),
                configured,
            };
            written.insert(*parameter, saved);
        }
        (self.kind, self.enabled, self.written) = (kind, enabled, written);
        self.forget_ahead();
        Ok(())
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
                light.look(ahead, self.on, sky, now)
            }
            RuleKind::Thermostat(thermostat) => look_thermostat(thermostat, actual, now),
        }
    }

    /// What it does and waits for, in words.
    pub(crate) fn says(&self, sky: &Sky, now: Now) -> String {
        if !self.enabled {
            return "not enabled".to_owned();
        }
        if let Some(trouble) = &self.trouble {
            return trouble.clone();
        }
        match &self.kind {
            RuleKind::Light(light) => light.says(self.on, self.next, sky, now),
            RuleKind::Thermostat(thermostat) => thermostat.says(),
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
        let written = PARAMETERS
            .into_iter()
            .filter_map(|(parameter, key)| Some((key.to_owned(), self.written.get(&parameter)?)))
            .map(|(key, saved)| (key, saved.clone()));
        SavedRule {
            on: self.on,
            dark,
            setpoint,
            written: written.collect(),
        }
    }
}

fn look_thermostat(thermostat: &mut Thermostat, actual: Option<bool>, now: Now) -> Verdict {
    let decision = thermostat.decide(actual, now);
    let (wanted, does) = match (decision, thermostat.config.when_lost) {
        (Decision::Switch(on), _) => (Wanted::Switch(on), None),
        (Decision::Wait, _) => (Wanted::Keep, None),
        (Decision::Lost, WhenLost::Off) => (Wanted::Switch(false), Some("off")),
        (Decision::Lost, WhenLost::On) => (Wanted::Switch(true), Some("on")),
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
        trouble: does.map(|does| format!("the sensor tells nothing usable: {does}")),
    }
}

fn set(
    kind: &mut RuleKind,
    enabled: &mut bool,
    parameter: Parameter,
    text: &str,
) -> Result<(), String> {
    let number = || {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| format!("`{text}` is not a number"))
    };
    match (kind, parameter) {
        (_, Parameter::Enabled) => *enabled = text == "true",
        (RuleKind::Light(light), Parameter::Schedule) if light.configured.is_some() => {
            light.schedule = Some(text.parse()?);
        }
        (RuleKind::Light(light), Parameter::OnThreshold) => light.levels()?.on_lux = number()?,
        (RuleKind::Light(light), Parameter::OffThreshold) => light.levels()?.off_lux = number()?,
        (RuleKind::Thermostat(thermostat), Parameter::OnThreshold) => {
            thermostat.thresholds.on = number()?;
        }
        (RuleKind::Thermostat(thermostat), Parameter::OffThreshold) => {
            thermostat.thresholds.off = number()?;
        }
        (RuleKind::Thermostat(thermostat), Parameter::Setpoint) => {
            thermostat.setpoint = Some(number()?);
        }
        (RuleKind::Light(_), Parameter::Schedule | Parameter::Setpoint)
        | (RuleKind::Thermostat(_), Parameter::Schedule) => {
            return Err("the rule has no such parameter".to_owned());
        }
    }
    Ok(())
}

/// Whether parameters go together.
fn check(kind: &RuleKind) -> Result<(), String> {
    match kind {
        RuleKind::Light(light) => match light.photocell.as_ref().and_then(|cell| cell.levels) {
            Some(levels) => levels.check(),
            None => Ok(()),
        },
        RuleKind::Thermostat(thermostat) => thermostat.thresholds.check(),
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

/// What a written value means as a parameter.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Corelnk(_) | Value::Objlnk(_) | Value::Opaque(_) => None,
        Value::Decimal(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Time(_)
        | Value::Unsigned(_) => value.as_f64().map(|number| number.to_string()),
    }
}
