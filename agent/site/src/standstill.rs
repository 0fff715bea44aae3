//! What must not be switched while something moves (design, 6 "Engine or machine shut-down").
//!
//! A command that would, is armed: accepted, kept, and carried out once the speed has been low for
//! long enough. An unknown speed counts as moving, and one that nobody tells again soon is unknown.
//! Only commands wait: interlocks and maintenance locks are there for the people beside the machine,
//! and the configuration lets no rule switch such an output.

use std::time::Duration;

use lamplighter_model::{Now, ResourceAddress};

use crate::{
    moment::Moment,
    output::OutputIndex,
    slots::{CommandId, Entry},
};

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
    /// Since when it is low, and when that was last told.
    slow: Option<(Moment, Moment)>,
    /// The youngest sample.
    told: Option<Moment>,
}

/// At an output that waits for standstill.
#[derive(Debug)]
pub(crate) struct Standstill {
    pub(crate) motion: MotionIndex,
    /// The state that waits.
    pub(crate) on: bool,
    /// It stands until then at least, as far as anybody has told.
    pub(crate) still_until: Option<Moment>,
    pub(crate) armed: Option<Armed>,
    /// The command that is being taken is carried out whatever moves.
    pub(crate) is_forced: bool,
    /// The last one that was.
    pub(crate) forced: Option<CommandId>,
}

/// A command that waits; its holding time begins when it is carried out.
#[derive(Clone, Debug)]
pub(crate) struct Armed {
    pub(crate) entry: Entry,
    pub(crate) hold: Option<Duration>,
    /// It was on its way to the device when the program ended: nobody knows whether it got there.
    pub(crate) is_unsure: bool,
}

/// A command that has waited, on its way to the device.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) armed: Armed,
    /// Should it fail, it does not wait again.
    pub(crate) is_called_off: bool,
}

impl Standstill {
    pub(crate) fn is_still(&self, now: Now) -> bool {
        self.still_until
            .is_some_and(|until| until > Moment::of(now))
    }
}

impl Motion {
    pub(crate) const fn new(config: StandstillConfig, outputs: Vec<OutputIndex>) -> Self {
        Self {
            config,
            outputs,
            speed: None,
            slow: None,
            told: None,
        }
    }

    /// `speed` is `None` where it was told that nobody can say.
    pub(crate) fn see(&mut self, speed: Option<f64>, at: Moment) {
        let speed = speed.filter(|speed| speed.is_finite() && *speed >= 0.0);
        let is_slow = speed.is_some_and(|speed| speed <= self.config.below);
        let is_late = self.told.is_some_and(|told| at < told);
        if is_slow && is_late {
            return;
        }
        self.told = self.told.max(Some(at));
        self.speed = speed;
        let before = self.slow.filter(|_| self.known_until() > Some(at));
        let since = before.map_or(at, |(since, _)| since);
        self.slow = is_slow.then_some((since, at));
    }

    /// When a low speed is not believed any more, unless it is told again.
    pub(crate) fn known_until(&self) -> Option<Moment> {
        let (_, told) = self.slow?;
        Some(told.plus(self.config.lasts))
    }

    /// Until when it stands: for long enough it was told again and again that it does, and just now.
    /// Two traffic lights are no standstill.
    pub(crate) fn still_until(&self) -> Option<Moment> {
        let (since, told) = self.slow?;
        self.known_until()
            .filter(|_| since.plus(self.config.lasts) <= told)
    }

    /// Forgets what was told too long ago.
    pub(crate) fn forget_old(&mut self, now: Moment) {
        if self.known_until().is_some_and(|until| until <= now) {
            (self.slow, self.speed) = (None, None);
        }
    }

    /// What is waited for, in words.
    pub(crate) fn in_words(&self) -> String {
        match self.speed {
            None => "the speed is not known".to_owned(),
            Some(_) if self.still_until().is_some() => {
                "it stands, and is switched as soon as its guard lets it".to_owned()
            }
            Some(_) if self.slow.is_some() => {
                let seconds = self.config.lasts.as_secs();
                format!("it does not stand for {seconds} s yet")
            }
            Some(speed) => format!("it moves ({speed:.1})"),
        }
    }
}
