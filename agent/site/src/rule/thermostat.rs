//! Switches an output by a measured value with hysteresis.
//!
//! Cooling is on from the set point plus the on threshold, and off from the set point minus the off
//! threshold; heating the other way round. In between it stays as it is. Guards are the output's own.

use std::time::Duration;

use lamplighter_model::{DataType, Now, Value};

use crate::{
    boundary::{Limit, Mode, Setpoint, ThermostatConfig},
    check,
    moment::Moment,
};

/// A thermostat with what it knows.
#[derive(Clone, Debug)]
pub(crate) struct Thermostat {
    pub(crate) config: ThermostatConfig,
    /// Distances from the set point, as written by a server, else as configured.
    pub(crate) thresholds: Thresholds,
    /// As last seen or written.
    pub(crate) setpoint: Option<f64>,
    /// What the device holds, where its limit does not permit that.
    beyond: Option<f64>,
    reading: Option<(f64, Moment)>,
    /// The sensor says that it cannot tell.
    bad: bool,
    /// What it said last is not vouched for any more.
    stale: bool,
    pub(crate) on: Option<bool>,
    begun: Moment,
}

/// Distances from the set point, neither of them negative; together greater than zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Thresholds {
    pub(crate) on: f64,
    pub(crate) off: f64,
}

/// What a thermostat wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    /// Nothing was measured for too long.
    Lost,
    Switch(bool),
    /// Nothing was measured yet, or there is no set point yet.
    Wait,
}

impl Thresholds {
    /// Refused with words where it would switch at one value for ever.
    pub(crate) fn check(self) -> Result<(), String> {
        let Self { on, off } = self;
        for distance in [on, off] {
            if !(0.0..=MAX_THRESHOLD).contains(&distance) {
                return Err(format!(
                    "a threshold is a distance from the set point, 0 to {MAX_THRESHOLD}: {distance} is none"
                ));
            }
        }
        if on + off > 0.0 {
            return Ok(());
        }
        Err(format!(
            "thresholds of {on} and {off} leave no band between on and off: their sum must be \
             greater than 0"
        ))
    }
}

impl Thermostat {
    /// `on`, `setpoint`: what held before the restart.
    pub(crate) fn new(
        config: ThermostatConfig,
        thresholds: Thresholds,
        setpoint: Option<f64>,
        on: Option<bool>,
        now: Now,
    ) -> Self {
        Self {
            config,
            thresholds,
            setpoint,
            beyond: None,
            reading: None,
            bad: false,
            stale: false,
            on,
            begun: Moment::of(now),
        }
    }

    /// The sensor said something at that time; `None`: it cannot tell.
    pub(crate) fn see(&mut self, reading: Option<f64>, at: Moment) {
        match reading.filter(|reading| reading.is_finite()) {
            Some(reading) => {
                self.reading = Some((reading, at));
                self.bad = false;
                self.stale = false;
            }
            None => self.bad = true,
        }
    }

    /// Nothing is heard of the sensor any more.
    pub(crate) fn lose_sight(&mut self) {
        self.stale = true;
    }

    /// The device that holds the set point says what it is; true if it is news. One outside its
    /// limit was not written through us and counts as the nearest inside.
    pub(crate) fn see_setpoint(&mut self, held: f64, limit: Option<&Limit>) -> bool {
        if !held.is_finite() {
            return false;
        }
        let counts = check::nearest(Value::Float(held), limit, Some(DataType::Float));
        let counts = counts.as_f64().unwrap_or(held);
        let beyond = (counts != held).then_some(held);
        let news = (self.setpoint, self.beyond) != (Some(counts), beyond);
        (self.setpoint, self.beyond) = (Some(counts), beyond);
        news
    }

    /// Whether a set point that is written here is one that may be.
    pub(crate) fn check_setpoint(&self) -> Result<(), String> {
        match (self.config.setpoint, self.setpoint) {
            (Setpoint::Fixed(_), Some(setpoint)) => {
                let limit = self.config.limit.as_ref();
                check::within(Value::Float(setpoint), limit, Some(DataType::Float))
                    .map(drop)
                    .map_err(|fault| fault.to_string())
            }
            (Setpoint::Fixed(_) | Setpoint::Point(_), _) => Ok(()),
        }
    }

    /// What is wrong with its set point, in words.
    pub(crate) fn complaint(&self) -> Option<String> {
        let (held, counts) = self.beyond.zip(self.setpoint)?;
        Some(format!(
            "the device holds the set point {held}, which its limit does not permit: {counts} counts"
        ))
    }

    /// `actual`: what the output does, for the first decision inside the band.
    pub(crate) fn decide(&mut self, actual: Option<bool>, now: Now) -> Decision {
        if self.bad || self.expires().is_some_and(|at| at <= Moment::of(now)) {
            return Decision::Lost;
        }
        let Some((reading, _)) = self.reading else {
            return Decision::Wait;
        };
        let Some((on_at, off_at)) = self.limits() else {
            return Decision::Wait;
        };
        let (on, off) = match self.config.mode {
            Mode::Cool => (reading >= on_at, reading <= off_at),
            Mode::Heat => (reading <= on_at, reading >= off_at),
        };
        let before = self.on.or(actual).unwrap_or(false);
        let on = on || before && !off;
        self.on = Some(on);
        Decision::Switch(on)
    }

    /// When the sensor counts as lost, unless it is heard: where its last value is not vouched for
    /// any more, or it has never said anything.
    pub(crate) fn expires(&self) -> Option<Moment> {
        match self.reading {
            Some((_, at)) if self.stale => Some(at.plus(self.config.max_age)),
            Some(_) => None,
            None => Some(self.begun.plus(self.config.max_age)),
        }
    }

    /// The values from which it is on, and off.
    pub(crate) fn limits(&self) -> Option<(f64, f64)> {
        let setpoint = self.setpoint?;
        let Thresholds { on, off } = self.thresholds;
        Some(match self.config.mode {
            Mode::Cool => (setpoint + on, setpoint - off),
            Mode::Heat => (setpoint - on, setpoint + off),
        })
    }

    /// What it does, and what it waits for.
    pub(crate) fn says(&self) -> String {
        let Some((on_at, off_at)) = self.limits() else {
            return "waits for its set point".to_owned();
        };
        let (above, below) = match self.config.mode {
            Mode::Cool => ("above", "below"),
            Mode::Heat => ("below", "above"),
        };
        match self.on {
            Some(true) => format!("on, off at {} or {below}", short(off_at)),
            Some(false) => format!("off, on at {} or {above}", short(on_at)),
            None => "waits for its sensor".to_owned(),
        }
    }
}

/// Without the noise of binary fractions.
fn short(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

/// The greatest distance of a threshold from the set point.
pub const MAX_THRESHOLD: f64 = 1000.0;

/// Sensors that say nothing for longer are lost, unless configured.
pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(600);
