//! Update: what makes one due, and what its answers mean (lwm2m/10, 5 and 6).

use std::time::Duration;

use lamplighter_coap::Code;
use lamplighter_model::Now;

use super::{MAX_ABSENCE, Registration, Reply, RetryPolicy, State, Step};

/// A registration that the server holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Live {
    pub(super) expires: Duration,
    /// What the Update says that is under way.
    pub(super) in_flight: Option<Pending>,
    pub(super) location: Vec<String>,
    pub(super) update_at: Duration,
}

/// What the next Update has to say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Pending {
    pub(super) binding: bool,
    pub(super) lifetime: bool,
    /// Since when the list of objects differs.
    pub(super) objects: Option<Duration>,
    pub(super) trigger: bool,
}

/// What a server may change of the terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) lifetime: Duration,
    pub(crate) policy: RetryPolicy,
    pub(crate) queue_mode: bool,
}

/// Objects that appear together go into one Update.
const OBJECTS_DELAY: Duration = Duration::from_secs(1);
/// RFC 7252, 5.10.5: Max-Age where the option is absent.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(60);

impl Registration {
    /// An Update at once, with nothing new in it (1/x/8, or a person).
    pub(crate) fn trigger(&mut self, now: Now) {
        self.pending.trigger = true;
        self.update_if_due(now);
    }

    /// The peer may have forgotten us: ask by an Update.
    pub(crate) fn suspect(&mut self, now: Now) {
        self.trigger(now);
    }

    /// The server has written its account. One Update says what it has to be told; the retry table
    /// counts from the next failure on.
    pub(crate) fn obey(&mut self, wish: Wish, now: Now) {
        let terms = &mut self.terms;
        // The binding says it up to 1.0. Since 1.1 queue mode is no matter of the server.
        self.pending.binding |= terms.queue_mode != wish.queue_mode;
        self.pending.lifetime |= terms.lifetime != wish.lifetime;
        terms.lifetime = wish.lifetime;
        terms.queue_mode = wish.queue_mode;
        self.backoff.set_policy(wish.policy);
        self.update_if_due(now);
    }

    /// The list of objects is another than the server was told.
    pub(crate) fn objects_changed(&mut self, now: Now) {
        self.pending.objects.get_or_insert(now.mono + OBJECTS_DELAY);
    }

    pub(super) fn update_if_due(&mut self, now: Now) {
        let State::Registered(live) = &self.state else {
            return;
        };
        let objects_due = self.pending.objects.is_some_and(|due| due <= now.mono);
        let Pending {
            binding,
            lifetime,
            trigger,
            ..
        } = self.pending;
        if live.in_flight.is_none() && (binding || lifetime || trigger || objects_due) {
            self.send_update();
        }
    }

    pub(super) fn send_update(&mut self) {
        let State::Registered(live) = &mut self.state else {
            return;
        };
        let pending = std::mem::take(&mut self.pending);
        live.in_flight = Some(pending);
        self.steps.push_back(Step::Update {
            location: live.location.clone(),
            binding: pending.binding,
            lifetime: pending.lifetime,
            objects: pending.objects.is_some(),
        });
    }

    pub(super) fn update_replied(&mut self, reply: &Reply, now: Now) {
        let State::Registered(live) = &mut self.state else {
            return;
        };
        match reply.code {
            Code::CHANGED => {
                let location = std::mem::take(&mut live.location);
                self.steps
                    .push_back(Step::Save(self.saved(location.clone(), now)));
                self.steps.push_back(Step::Registered { anew: false });
                self.state = State::Registered(self.live(location, now));
                self.update_if_due(now);
            }
            Code::SERVICE_UNAVAILABLE => {
                let wait = reply
                    .max_age
                    .unwrap_or(DEFAULT_MAX_AGE)
                    .clamp(Duration::from_secs(1), MAX_ABSENCE);
                live.update_at = now.mono + wait;
                self.pending.add(live.in_flight.take());
                self.pending.objects = self.pending.objects.map(|_| live.update_at);
            }
            // Core 1.2, 6.2.3: the server has forgotten us. Every other refusal ends there as well.
            _ => self.register(now),
        }
    }

    pub(super) fn live(&self, location: Vec<String>, now: Now) -> Live {
        let version = self.version();
        Live {
            expires: end(self.terms.lifetime(version), now),
            in_flight: None,
            location,
            update_at: now.mono + self.terms.update_after(version),
        }
    }
}

impl Live {
    /// A registration of before a restart; `None` where it has ended.
    pub(super) fn after(
        elapsed: Duration,
        lifetime: Duration,
        location: Vec<String>,
        now: Now,
    ) -> Option<Self> {
        let left = lifetime.saturating_sub(elapsed);
        let expires = match (lifetime.is_zero(), left.is_zero()) {
            (true, _) => end(lifetime, now),
            (false, true) => return None,
            (false, false) => now.mono + left,
        };
        Some(Self {
            expires,
            in_flight: None,
            location,
            update_at: now.mono,
        })
    }
}

impl Pending {
    /// An Update did not get through: what it said is still to be said. That there was to be one is
    /// not: whoever sets it aside knows when the next comes.
    pub(super) fn add(&mut self, unsaid: Option<Self>) {
        let unsaid = unsaid.unwrap_or_default();
        self.binding |= unsaid.binding;
        self.lifetime |= unsaid.lifetime;
        self.objects = self.objects.or(unsaid.objects);
    }
}

fn end(lifetime: Duration, now: Now) -> Duration {
    if lifetime.is_zero() {
        return Duration::MAX;
    }
    now.mono.saturating_add(lifetime)
}
