//! When a bearer is asked, and how long what it said is believed.

use std::time::Duration;

use lamplighter_model::Now;

use super::{Reach, Watch};
use crate::bearer::Reason;

/// Pause between two probes of a disconnected bearer: doubles from the first to the longest.
const BACK_OFF: Duration = Duration::from_millis(500);
pub(in super::super) const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// For a probe whose result nobody gives.
const GRACE: Duration = Duration::from_secs(1);
/// For what a bearer is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Role {
    Current,
    /// With the longest pause between two probes while it is disconnected.
    StandBy(Duration),
    /// Only used where nothing else works: not asked.
    Reserve,
}

impl Watch {
    /// When [`Watch::expire`], [`Watch::forget_stale`] or [`Watch::probe`] has something to do.
    pub(in super::super) fn due(&self, role: Role) -> Option<Duration> {
        match self.flight {
            Some(flight) => Some(flight),
            None if self.gate().is_err() => None,
            None => self.probe_due(role).or_else(|| self.stale_at(role)),
        }
    }

    /// Nothing has come of a probe.
    pub(in super::super) fn expire(&mut self, now: Now) {
        if self.flight.is_some_and(|flight| now.mono >= flight) {
            self.flight = None;
            self.missed(Reason::Timeout, now);
        }
    }

    pub(in super::super) fn forget_stale(&mut self, role: Role, now: Duration) {
        if self.stale_at(role).is_some_and(|at| now >= at) {
            self.forget();
        }
    }

    /// Whether a probe is to be sent now.
    pub(in super::super) fn probe(&mut self, role: Role, wait: Duration, now: Duration) -> bool {
        let is_idle = self.flight.is_none() && self.gate().is_ok();
        if !is_idle || self.probe_due(role).is_none_or(|due| now < due) {
            return false;
        }
        self.is_urgent = false;
        self.asked = Some(now);
        self.flight = Some(now + wait + GRACE);
        true
    }

    fn probe_due(&self, role: Role) -> Option<Duration> {
        let timing = &self.config.timing;
        let asked = self.asked.unwrap_or_default();
        let fresh = asked + self.asked.map_or(Duration::ZERO, |_| self.fresh_pause);
        let longest = match role {
            Role::Current => BACK_OFF_MAX,
            Role::StandBy(longest) => longest,
            Role::Reserve => return None,
        };
        if self.is_urgent {
            return Some(fresh);
        }
        if self.misses > 0 {
            return Some(asked + timing.timeout / 2);
        }
        match (self.reach, role) {
            (Reach::Connected, Role::StandBy(_)) => {
                let heard = self.last_exchange.map_or(asked, |at| at.mono);
                Some(asked.max(heard) + timing.standby)
            }
            (Reach::Connected, Role::Current | Role::Reserve) => None,
            (Reach::Untried | Reach::Down(_), _) if self.hits > 0 => Some(asked),
            (Reach::Untried, _) if self.tries == 0 => Some(fresh),
            (Reach::Untried | Reach::Down(_), _) => Some(asked + self.back_off(longest)),
        }
    }

    fn back_off(&self, longest: Duration) -> Duration {
        let doublings = self.tries.saturating_add(self.distrust).min(16);
        BACK_OFF.saturating_mul(1 << doublings).min(longest)
    }

    /// A connected one that is not asked any more.
    fn stale_at(&self, role: Role) -> Option<Duration> {
        let timing = &self.config.timing;
        let is_stale = role == Role::Reserve && self.is_connected();
        let heard = self.last_exchange.filter(|_| is_stale)?.mono;
        Some(heard + timing.standby * 2 + timing.timeout * u32::from(timing.down))
    }
}
