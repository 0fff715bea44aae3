//! What must not be switched while something moves (design, 6 "Engine or machine shut-down").
//!
//! A command that would, is armed: accepted, kept, and carried out once the speed has been low for
//! long enough. An unknown speed counts as moving. Only commands wait: interlocks and maintenance
//! locks are there for the people beside the machine, and the configuration lets no rule switch such
//! an output.

use std::time::Duration;

use lamplighter_model::ResourceAddress;

use crate::{moment::Moment, output::OutputIndex, slots::Entry};

/// `[site.standstill.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct StandstillConfig {
    pub name: String,
    /// Addresses of the points, as in [`crate::boundary::GroupConfig::members`].
    pub outputs: Vec<ResourceAddress>,
    /// The state that waits.
    pub on: bool,
    /// A measured number.
    pub speed: ResourceAddress,
    /// Up to this it counts as standing.
    pub below: f64,
    /// How long it must have stood.
    pub lasts: Duration,
}

/// A rule, in the order of the configuration.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct MotionIndex(pub(crate) usize);

/// What is known of the speed.
#[derive(Debug)]
pub(crate) struct Motion {
    pub(crate) config: StandstillConfig,
    pub(crate) outputs: Vec<OutputIndex>,
    /// As last measured; `None` while nobody can say.
    pub(crate) speed: Option<f64>,
    /// Since when it is low.
    slow_since: Option<Moment>,
}

/// At an output that waits for standstill.
#[derive(Debug)]
pub(crate) struct Standstill {
    pub(crate) motion: MotionIndex,
    /// The state that waits.
    pub(crate) on: bool,
    pub(crate) is_still: bool,
    pub(crate) armed: Option<Armed>,
    /// The command that is being taken is carried out whatever moves.
    pub(crate) is_forced: bool,
}

/// A command that waits; its holding time begins when it is carried out.
#[derive(Clone, Debug)]
pub(crate) struct Armed {
    pub(crate) entry: Entry,
    pub(crate) hold: Option<Duration>,
}

impl Motion {
    pub(crate) const fn new(config: StandstillConfig, outputs: Vec<OutputIndex>) -> Self {
        Self {
            config,
            outputs,
            speed: None,
            slow_since: None,
        }
    }

    pub(crate) fn see(&mut self, speed: Option<f64>, at: Moment) {
        self.speed = speed.filter(|speed| speed.is_finite() && *speed >= 0.0);
        let is_slow = self.speed.is_some_and(|speed| speed <= self.config.below);
        self.slow_since = is_slow.then(|| self.slow_since.unwrap_or(at));
    }

    /// From when on it counts as standing; `None` while it moves, or may.
    pub(crate) fn still_at(&self) -> Option<Moment> {
        Some(self.slow_since?.plus(self.config.lasts))
    }

    /// What is waited for, in words.
    pub(crate) fn in_words(&self) -> String {
        match self.speed {
            None => "the speed is not known".to_owned(),
            Some(_) if self.slow_since.is_some() => {
                let seconds = self.config.lasts.as_secs();
                format!("it does not stand for {seconds} s yet")
            }
            Some(speed) => format!("it moves ({speed:.1})"),
        }
    }
}
