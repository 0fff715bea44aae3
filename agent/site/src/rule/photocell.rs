//! Whether it is dark, as a twilight switch or a light sensor says it.
//!
//! A change counts once it has lasted for the dwell time. An input that is dark at noon or bright
//! at midnight is not believed until it has changed.

use std::time::Duration;

use lamplighter_model::{Now, Value};

use crate::{
    boundary::{LightLevels, PhotocellConfig, Policy},
    moment::Moment,
};

/// How long the first value is waited for after a start before the lamps do without it.
const PATIENCE: Duration = Duration::from_secs(10);
/// An input that has been so for less is not judged at noon and midnight.
pub(super) const JUDGED_AFTER: Duration = Duration::from_secs(30 * 60);
/// Degrees of the sun above the horizon at noon, and below it at midnight, that leave no doubt.
const SURE: f64 = 8.0;

/// What is known of the light outside.
#[derive(Clone, Debug)]
pub(crate) struct Photocell {
    pub(crate) config: PhotocellConfig,
    /// As written by a server, else as configured. Of a light sensor only.
    pub(crate) levels: Option<LightLevels>,
    dark: Option<bool>,
    /// What the input says, and since when.
    input: Option<(bool, Moment)>,
    usable: bool,
    believed: bool,
    begun: Moment,
}

impl Photocell {
    /// `dark`: what held before the restart.
    pub(crate) fn new(config: PhotocellConfig, dark: Option<bool>, now: Now) -> Self {
        Self {
            levels: config.levels,
            config,
            dark,
            input: None,
            usable: true,
            believed: true,
            begun: Moment::of(now),
        }
    }

    /// The input says something; `None`: it cannot be used.
    pub(crate) fn see(&mut self, value: Option<&Value>, now: Now) {
        let input = value.and_then(|value| self.is_dark(value));
        self.usable = input.is_some();
        let Some(dark) = input else {
            self.input = None;
            return;
        };
        if self.input.is_none_or(|(known, _)| known != dark) {
            self.believed = true;
            self.input = Some((dark, Moment::of(now)));
        }
    }

    /// Between the levels it is as before.
    fn is_dark(&self, value: &Value) -> Option<bool> {
        let number = value.as_f64().filter(|number| number.is_finite())?;
        let Some(levels) = self.levels else {
            return Some(number != 0.0);
        };
        if number < levels.on_lux {
            return Some(true);
        }
        if number > levels.off_lux {
            return Some(false);
        }
        let before = self.input.map(|(dark, _)| dark);
        before.or(self.dark).or(Some(false))
    }

    /// Takes over what the input has said for long enough, and says when to look again.
    pub(crate) fn settle(&mut self, now: Now) -> Option<Moment> {
        let Some((dark, since)) = self.input else {
            let end = self.begun.plus(PATIENCE);
            return (self.is_awaited(now)).then_some(end);
        };
        let at = since.plus(self.config.dwell);
        if self.dark.is_none() || self.dark == Some(dark) || at <= Moment::of(now) {
            self.dark = Some(dark);
            return None;
        }
        Some(at)
    }

    /// Whether it is dark; `None` while nobody can tell.
    pub(crate) fn dark(&self) -> Option<bool> {
        self.dark.filter(|_| self.usable && self.believed)
    }

    /// To be kept over a restart.
    pub(crate) const fn kept(&self) -> Option<bool> {
        self.dark
    }

    /// Whether its first value can still come.
    pub(crate) fn is_awaited(&self, now: Now) -> bool {
        self.dark.is_none()
            && self.usable
            && self.input.is_none()
            && Moment::of(now) < self.begun.plus(PATIENCE)
    }

    /// Looks at what the input says while the sun is at `elevation`, at noon or at midnight. True if
    /// it is not believed from now on.
    pub(crate) fn judge(&mut self, elevation: f64, now: Now) -> bool {
        let Some((dark, since)) = self.input.filter(|_| self.believed) else {
            return false;
        };
        let absurd = if dark {
            elevation > SURE
        } else {
            elevation < -SURE
        };
        self.believed = !(absurd && since.age(now) >= JUDGED_AFTER);
        !self.believed
    }

    /// Why it cannot be used.
    pub(crate) fn trouble(&self, now: Now) -> Option<&'static str> {
        if self.dark.is_none() && self.usable && !self.is_awaited(now) {
            return Some("the photocell says nothing");
        }
        match (self.usable, self.believed, self.input) {
            (false, ..) => Some("the photocell tells nothing usable"),
            (true, false, Some((true, _))) => Some("the photocell says dark at noon"),
            (true, false, _) => Some("the photocell says bright at midnight"),
            (true, true, _) => None,
        }
    }
}

/// Whether outputs are on, by schedule and photocell together; `None` stands for what there is not or
/// what nobody can tell. Where nobody can tell anything, lamps are on.
pub(crate) fn combine(policy: Policy, schedule: Option<bool>, dark: Option<bool>) -> bool {
    match (schedule, dark, policy) {
        (Some(schedule), Some(dark), Policy::And) => schedule && dark,
        (Some(schedule), Some(dark), Policy::Or) => schedule || dark,
        (Some(only), None, _) | (None, Some(only), _) => only,
        (None, None, _) => true,
    }
}
