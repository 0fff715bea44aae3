//! What was commanded of the bearers, for the life after a reload: that takes nothing of it back.

use std::time::Duration;

use super::{Bearers, Trial};
use crate::{
    ask::BearerAsk,
    bearer::{BearerEvent, BearerId, Choice, dbus::Tried},
    clock::Clock,
};

/// What people and servers have commanded, and what was tried so far. Times are those of the
/// monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Commanded {
    /// `Some(None)`: until somebody ends it.
    offline: Option<Option<Duration>>,
    /// The bearer that a person uses, by its name, and until when that is on trial.
    used: Option<(String, Option<Duration>)>,
    /// Since when a server's choice is on trial, and until when.
    preference: Option<(Duration, Duration)>,
    tried: Tried,
}

impl Commanded {
    /// For the managers of the next life.
    pub(crate) fn tried(&self) -> Tried {
        self.tried.clone()
    }
}

impl Bearers {
    pub(in crate::run) fn commanded(&self) -> Commanded {
        let until = self.trial.as_ref().map(|trial| trial.until);
        Commanded {
            offline: self.selector.offline(),
            used: self.selector.used().map(|id| (self.name(id), until)),
            preference: self.managed.trial(),
            tried: self.managed.tried(),
        }
    }

    /// Goes on with what was commanded before; what belongs to a bearer that is not configured any
    /// more is forgotten.
    pub(super) fn take_up(&mut self, commanded: Commanded, clock: Clock) {
        let now = clock.now();
        let mut choices = Vec::new();
        choices.extend(self.managed.begin(commanded.preference, now));
        if let Some((name, until)) = commanded.used
            && let Some(bearer) = self.named(&name)
        {
            choices.push(Choice::Use(bearer));
            let ask = BearerAsk::Use(name);
            self.trial = until.map(|until| Trial { until, bearer, ask });
        }
        choices.extend(commanded.offline.map(Choice::Offline));
        for choice in choices {
            self.selector.handle(BearerEvent::Choose(choice), now);
        }
        self.show_choice();
    }

    pub(super) fn named(&self, name: &str) -> Option<BearerId> {
        let found = self.configs.iter().position(|bearer| bearer.name == name)?;
        u16::try_from(found).ok().map(BearerId)
    }
}
