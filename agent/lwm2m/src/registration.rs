//! Registration of one server: a state machine without messages.
//!
//! 1. [`Registration::start`] asks for a link ([`Step::Open`]); once it is usable
//!    ([`Registration::connected`]) Register goes out, or an Update where the server knows us.
//! 2. An Update goes out before the lifetime ends and whenever something that the server was told
//!    has changed. What changes while one is under way goes into the next.
//! 3. Whatever fails ends in [`Registration::retry`]: the table of object 1, then one attempt per
//!    hour for ever, each with a fresh link.

use std::{collections::VecDeque, time::Duration};

use crate::{
    client::VersionChoice,
    rng::Rng,
    saved::{Moment, SavedRegistration},
};
use lamplighter_coap::Code;
use lamplighter_model::Now;
pub use lamplighter_model::tables::Enabler;

mod reply;
mod retry;

pub(crate) use reply::Reply;
pub(crate) use retry::{Backoff, RetryPolicy};

/// Where one server stands.
#[derive(Debug)]
pub(crate) struct Registration {
    backoff: Backoff,
    /// The version has been accepted by this server.
    is_proven: bool,
    pending: Pending,
    /// Links that were opened since the server has last answered over one.
    reconnects: u32,
    rng: Rng,
    state: State,
    steps: VecDeque<Step>,
    terms: Terms,
    version: Enabler,
}

/// What a registration is made with.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) choice: VersionChoice,
    /// Under which name at which address. A registration that was saved with another is not ours.
    pub(crate) identity: String,
    pub(crate) lifetime: Duration,
    /// How long before the end of the lifetime an Update goes out, so that it can use all its
    /// retransmissions (RFC 7252, 4.8.2: MAX_TRANSMIT_WAIT).
    pub(crate) margin: Duration,
    pub(crate) policy: RetryPolicy,
}

/// What the server at run time is to do, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Give up the link and every exchange on it.
    Close,
    Deregister {
        location: Vec<String>,
    },
    Failed {
        reason: String,
        retry_in: Duration,
    },
    Left,
    Open,
    Register,
    /// The server knows us; `anew` where it forgot all observations.
    Registered {
        anew: bool,
    },
    Save(SavedRegistration),
    Update {
        location: Vec<String>,
        lifetime: bool,
        objects: bool,
    },
}

/// What a registration request was for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    Deregister,
    Register,
    Update,
}

/// What a person sees of the state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    Disabled,
    Offline,
    Registered,
    Registering,
}

/// Why we leave, and so what comes after.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum After {
    Disabled { until: Duration },
    Off,
}

#[derive(Debug)]
enum State {
    Disabled {
        until: Duration,
    },
    Leaving {
        after: After,
        until: Duration,
    },
    Off,
    /// A link was asked for; `live` is what the server still knows of us.
    Opening {
        live: Option<Live>,
        until: Duration,
    },
    Registered(Live),
    Registering,
    /// Between attempts; `live` as long as the server still knows us.
    Waiting {
        live: Option<Live>,
        until: Duration,
    },
}

/// A registration that the server holds.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Live {
    expires: Duration,
    /// What the Update says that is under way.
    in_flight: Option<Pending>,
    location: Vec<String>,
    update_at: Duration,
}

/// What the next Update has to say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Pending {
    lifetime: bool,
    /// Since when the list of objects differs.
    objects: Option<Duration>,
    trigger: bool,
}

/// A link that is not there by then is not coming (name look-up included).
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// De-register is a courtesy; nobody waits for it longer.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Objects that appear together go into one Update.
const OBJECTS_DELAY: Duration = Duration::from_secs(1);
/// First and longest pause between links while the registration lives.
const RECONNECT_FIRST: Duration = Duration::from_secs(1);
const RECONNECT_LONGEST: Duration = Duration::from_secs(60);
/// Longest Disable, and longest Max-Age that is obeyed: nobody cuts the box off for ever.
pub(crate) const MAX_ABSENCE: Duration = Duration::from_secs(86_400);

impl Registration {
    pub(crate) const fn new(terms: Terms, rng: Rng) -> Self {
        Self {
            backoff: Backoff::new(terms.policy),
            is_proven: false,
            pending: Pending {
                lifetime: false,
                objects: None,
                trigger: false,
            },
            reconnects: 0,
            rng,
            state: State::Off,
            steps: VecDeque::new(),
            version: terms.choice.highest(),
            terms,
        }
    }

    /// Begins, or takes up what was saved before a restart.
    pub(crate) fn start(&mut self, saved: Option<SavedRegistration>, now: Now) {
        match saved {
            None => self.open(None, now),
            Some(SavedRegistration::None { version }) => {
                self.remember(version);
                self.open(None, now);
            }
            Some(SavedRegistration::Disabled { began, lasts }) => {
                // Where no clock can tell how long we were off, the time counts from now.
                let elapsed = began.elapsed(now).unwrap_or_default();
                let until = now.mono + lasts.saturating_sub(elapsed);
                self.state = State::Disabled { until };
            }
            Some(SavedRegistration::Registered { identity, .. })
                if identity != self.terms.identity =>
            {
                self.open(None, now);
            }
            Some(SavedRegistration::Registered {
                at,
                identity: _,
                lifetime,
                location,
                version,
            }) => {
                self.remember(version);
                if version != self.version {
                    return self.open(None, now);
                }
                self.is_proven = true;
                // The server counts with what it was told.
                self.pending.lifetime = lifetime != self.terms.lifetime;
                let left = lifetime.saturating_sub(at.elapsed(now).unwrap_or_default());
                let live = Live {
                    expires: now.mono + left,
                    in_flight: None,
                    location,
                    update_at: now.mono,
                };
                self.open((!left.is_zero()).then_some(live), now);
            }
        }
    }

    /// Register at once, whatever timer runs.
    pub(crate) fn register_now(&mut self, now: Now) {
        self.backoff.reset();
        self.steps.push_back(Step::Close);
        self.open(None, now);
    }

    /// An Update at once, with nothing new in it (1/x/8, or a person).
    pub(crate) fn trigger(&mut self, now: Now) {
        self.pending.trigger = true;
        self.update_if_due(now);
    }

    pub(crate) fn set_lifetime(&mut self, lifetime: Duration, now: Now) {
        self.terms.lifetime = lifetime;
        self.pending.lifetime = true;
        self.update_if_due(now);
    }

    /// The list of objects is another than the server was told.
    pub(crate) fn objects_changed(&mut self, now: Now) {
        self.pending.objects.get_or_insert(now.mono + OBJECTS_DELAY);
    }

    /// 1/x/4: leave, and send nothing for this long.
    pub(crate) fn disable(&mut self, lasts: Duration, now: Now) {
        let lasts = self.spread(lasts.min(MAX_ABSENCE));
        self.steps
            .push_back(Step::Save(SavedRegistration::Disabled {
                began: Moment::of(now),
                lasts,
            }));
        let until = now.mono + lasts;
        self.leave(After::Disabled { until }, now);
    }

    /// The agent ends: de-register, but a silence that a server has asked for goes on afterwards.
    pub(crate) fn stop(&mut self, now: Now) {
        match &mut self.state {
            State::Disabled { .. } => self.left(After::Off),
            State::Leaving {
                after: after @ After::Disabled { .. },
                ..
            } => *after = After::Off,
            State::Leaving {
                after: After::Off, ..
            }
            | State::Off
            | State::Opening { .. }
            | State::Registered(_)
            | State::Registering
            | State::Waiting { .. } => self.deregister(now),
        }
    }

    /// De-register and stay away.
    pub(crate) fn deregister(&mut self, now: Now) {
        self.steps.push_back(Step::Save(SavedRegistration::None {
            version: self.version,
        }));
        self.leave(After::Off, now);
    }

    /// The link is there and the session stands.
    pub(crate) fn connected(&mut self, now: Now) {
        match std::mem::replace(&mut self.state, State::Registering) {
            State::Opening {
                live: Some(live), ..
            } if live.expires > now.mono => {
                self.state = State::Registered(live);
                self.send_update(now);
            }
            State::Opening { .. } => self.send_register(),
            other @ (State::Disabled { .. }
            | State::Leaving { .. }
            | State::Off
            | State::Registered(_)
            | State::Registering
            | State::Waiting { .. }) => self.state = other,
        }
    }

    /// The path under an existing registration was replaced: the server must learn the new address.
    pub(crate) fn moved(&mut self, now: Now) {
        match &mut self.state {
            State::Registered(live) => {
                self.pending.add(live.in_flight.take());
                self.trigger(now);
            }
            // What was asked over the former path is not answered any more.
            State::Registering => self.send_register(),
            State::Disabled { .. }
            | State::Leaving { .. }
            | State::Off
            | State::Opening { .. }
            | State::Waiting { .. } => {}
        }
    }

    /// The link is gone.
    pub(crate) fn disconnected(&mut self, reason: &str, now: Now) {
        match std::mem::replace(&mut self.state, State::Off) {
            State::Registered(mut live) => {
                self.pending.add(live.in_flight.take());
                // Links that break before the server has answered over them come with pauses.
                if self.reconnects > 0 {
                    return self.not_opened(Some(live), reason, now);
                }
                self.reconnects = 1;
                self.steps.push_back(Step::Close);
                self.open(Some(live), now);
            }
            State::Leaving { after, .. } => self.left(after),
            State::Opening { live, .. } => self.not_opened(live, reason, now),
            State::Registering => self.retry(reason.to_owned(), None, now),
            other @ (State::Disabled { .. } | State::Off | State::Waiting { .. }) => {
                self.state = other
            }
        }
    }

    /// A link did not come up. As long as the registration lives the next try comes soon.
    fn not_opened(&mut self, live: Option<Live>, reason: &str, now: Now) {
        let Some(live) = live.filter(|live| live.expires > now.mono) else {
            return self.retry(reason.to_owned(), None, now);
        };
        let before = self.reconnects.saturating_sub(1);
        let factor = 1u32.checked_shl(before).unwrap_or(u32::MAX);
        self.reconnects = self.reconnects.max(1).saturating_add(1);
        let delay = RECONNECT_FIRST
            .saturating_mul(factor)
            .min(RECONNECT_LONGEST);
        self.steps.push_back(Step::Close);
        self.steps.push_back(Step::Failed {
            reason: reason.to_owned(),
            retry_in: delay,
        });
        self.state = State::Waiting {
            live: Some(live),
            until: now.mono + delay,
        };
    }

    /// The peer may have forgotten us: ask by an Update.
    pub(crate) fn suspect(&mut self, now: Now) {
        self.trigger(now);
    }

    pub(crate) fn replied(&mut self, purpose: Purpose, reply: Reply, now: Now) {
        self.reconnects = 0;
        match purpose {
            Purpose::Deregister => self.leaving_ended(),
            Purpose::Register => self.register_replied(reply, now),
            Purpose::Update => self.update_replied(&reply, now),
        }
    }

    /// A request got no answer.
    pub(crate) fn unanswered(&mut self, purpose: Purpose, reason: String, now: Now) {
        match purpose {
            Purpose::Deregister => self.leaving_ended(),
            Purpose::Register if matches!(self.state, State::Registering) => {
                self.retry(reason, None, now)
            }
            Purpose::Update if matches!(self.state, State::Registered(_)) => {
                self.register_over_new_link(now)
            }
            Purpose::Register | Purpose::Update => {}
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Now) {
        if self.timeout().is_none_or(|(due, _)| due > now.mono) {
            return;
        }
        match &mut self.state {
            State::Disabled { .. } => self.open(None, now),
            State::Waiting { live, .. } => {
                let live = live.take().filter(|live| live.expires > now.mono);
                self.open(live, now);
            }
            State::Leaving { .. } => self.leaving_ended(),
            State::Opening { live, .. } => {
                let live = live.take();
                self.not_opened(live, "no link to the server could be opened", now);
            }
            // Overloaded for longer than the lifetime: not even a Register before that has ended.
            State::Registered(live) if live.expires <= now.mono && live.update_at > now.mono => {
                let until = live.update_at;
                self.steps.push_back(Step::Close);
                self.state = State::Waiting { live: None, until };
            }
            State::Registered(live) if live.expires <= now.mono => self.register_over_new_link(now),
            State::Registered(_) => self.send_update(now),
            State::Off | State::Registering => {}
        }
    }

    pub(crate) fn timeout(&self) -> Option<(Duration, &'static str)> {
        match &self.state {
            State::Disabled { until } => Some((*until, "end of disable")),
            State::Leaving { until, .. } => Some((*until, "end of de-register")),
            State::Opening { until, .. } => Some((*until, "opening of a link")),
            State::Registered(live) if live.in_flight.is_some() => {
                Some((live.expires, "end of lifetime"))
            }
            State::Registered(live) => {
                let due = self
                    .pending
                    .objects
                    .map_or(live.update_at, |due| due.min(live.update_at));
                Some((due.min(live.expires), "update"))
            }
            State::Waiting { until, .. } => Some((*until, "next attempt to register")),
            State::Off | State::Registering => None,
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    pub(crate) const fn version(&self) -> Enabler {
        self.version
    }

    pub(crate) const fn lifetime(&self) -> Duration {
        self.terms.lifetime
    }

    pub(crate) const fn is_off(&self) -> bool {
        matches!(self.state, State::Off)
    }

    pub(crate) const fn phase(&self) -> Phase {
        match &self.state {
            State::Disabled { .. } => Phase::Disabled,
            State::Leaving {
                after: After::Disabled { .. },
                ..
            } => Phase::Disabled,
            State::Leaving {
                after: After::Off, ..
            }
            | State::Off
            | State::Waiting { .. } => Phase::Offline,
            State::Opening { .. } | State::Registering => Phase::Registering,
            State::Registered(_) => Phase::Registered,
        }
    }

    fn open(&mut self, live: Option<Live>, now: Now) {
        self.steps.push_back(Step::Open);
        self.state = State::Opening {
            live,
            until: now.mono + OPEN_TIMEOUT,
        };
    }

    fn send_register(&mut self) {
        self.pending = Pending::default();
        self.state = State::Registering;
        self.steps.push_back(Step::Register);
    }

    fn register_over_new_link(&mut self, now: Now) {
        self.steps.push_back(Step::Close);
        self.open(None, now);
    }

    fn register_replied(&mut self, reply: Reply, now: Now) {
        if !matches!(self.state, State::Registering) {
            return;
        }
        match reply.code {
            Code::CREATED if reply.location.is_empty() => {
                self.retry(
                    "the server named no location for the registration".to_owned(),
                    None,
                    now,
                );
            }
            Code::CREATED => self.registered(reply.location, now),
            // Core 1.1, 6.2.1: the version is not supported.
            Code::PRECONDITION_FAILED => self.step_down(&reply, now),
            // Old servers say this to a version that they do not know (lwm2m/10, 17): after the
            // pause with another one, unless this one has worked already.
            Code::BAD_REQUEST if !self.is_proven && self.terms.choice == VersionChoice::Auto => {
                self.version =
                    next_lower(self.version).unwrap_or_else(|| self.terms.choice.highest());
                self.retry(reply.reason(), None, now);
            }
            Code::SERVICE_UNAVAILABLE => self.retry(reply.reason(), reply.max_age, now),
            _ => self.retry(reply.reason(), None, now),
        }
    }

    fn registered(&mut self, location: Vec<String>, now: Now) {
        self.backoff.reset();
        self.is_proven = true;
        self.steps
            .push_back(Step::Save(self.saved(location.clone(), now)));
        self.steps.push_back(Step::Registered { anew: true });
        self.state = State::Registered(self.live(location, now));
        self.update_if_due(now);
    }

    fn update_replied(&mut self, reply: &Reply, now: Now) {
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
            _ => self.send_register(),
        }
    }

    /// One version lower at once, or the round begins anew after a pause.
    fn step_down(&mut self, reply: &Reply, now: Now) {
        let lower = next_lower(self.version).filter(|_| self.terms.choice == VersionChoice::Auto);
        match lower {
            Some(lower) => {
                self.version = lower;
                self.send_register();
            }
            None => {
                self.version = self.terms.choice.highest();
                self.retry(reply.reason(), None, now);
            }
        }
    }

    fn retry(&mut self, reason: String, at_least: Option<Duration>, now: Now) {
        let table = self.backoff.next(&mut self.rng);
        let delay = at_least.map_or(table, |least| table.max(least.min(MAX_ABSENCE)));
        self.steps.push_back(Step::Close);
        self.steps.push_back(Step::Failed {
            reason,
            retry_in: delay,
        });
        self.state = State::Waiting {
            live: None,
            until: now.mono + delay,
        };
    }

    fn leave(&mut self, after: After, now: Now) {
        match std::mem::replace(&mut self.state, State::Off) {
            State::Registered(live) => {
                self.steps.push_back(Step::Deregister {
                    location: live.location,
                });
                self.state = State::Leaving {
                    after,
                    until: now.mono + LEAVE_TIMEOUT,
                };
            }
            State::Leaving { until, .. } => self.state = State::Leaving { after, until },
            State::Disabled { .. }
            | State::Off
            | State::Opening { .. }
            | State::Registering
            | State::Waiting { .. } => self.left(after),
        }
    }

    fn leaving_ended(&mut self) {
        if let State::Leaving { after, .. } = self.state {
            self.left(after);
        }
    }

    fn left(&mut self, after: After) {
        self.steps.extend([Step::Close, Step::Left]);
        self.state = match after {
            After::Disabled { until } => State::Disabled { until },
            After::Off => State::Off,
        };
    }

    /// Never before the end, and spread so that a thousand boxes do not return at once.
    fn spread(&mut self, lasts: Duration) -> Duration {
        let spread = Duration::from_secs(60).max(lasts / 4);
        lasts + self.rng.between(Duration::ZERO, spread)
    }

    fn update_if_due(&mut self, now: Now) {
        let State::Registered(live) = &self.state else {
            return;
        };
        let objects_due = self.pending.objects.is_some_and(|due| due <= now.mono);
        if live.in_flight.is_none()
            && (self.pending.lifetime || self.pending.trigger || objects_due)
        {
            self.send_update(now);
        }
    }

    fn send_update(&mut self, _now: Now) {
        let State::Registered(live) = &mut self.state else {
            return;
        };
        let pending = std::mem::take(&mut self.pending);
        live.in_flight = Some(pending);
        self.steps.push_back(Step::Update {
            location: live.location.clone(),
            lifetime: pending.lifetime,
            objects: pending.objects.is_some(),
        });
    }

    fn live(&self, location: Vec<String>, now: Now) -> Live {
        Live {
            expires: now.mono + self.terms.lifetime,
            in_flight: None,
            location,
            update_at: now.mono + self.terms.update_after(),
        }
    }

    fn saved(&self, location: Vec<String>, now: Now) -> SavedRegistration {
        let (at, lifetime, version) = (Moment::of(now), self.terms.lifetime, self.version);
        SavedRegistration::Registered {
            at,
            identity: self.terms.identity.clone(),
            lifetime,
            location,
            version,
        }
    }

    /// The version of the last time, unless the configuration now says otherwise.
    fn remember(&mut self, version: Enabler) {
        if self.terms.choice == VersionChoice::Auto {
            self.version = version;
        }
    }
}

/// RFC 7252, 5.10.5: Max-Age where the option is absent.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(60);

impl Pending {
    /// An Update did not get through: what it said is still to be said.
    fn add(&mut self, unsaid: Option<Self>) {
        let unsaid = unsaid.unwrap_or_default();
        self.lifetime |= unsaid.lifetime;
        self.objects = self.objects.or(unsaid.objects);
        self.trigger |= unsaid.trigger;
    }
}

const fn next_lower(version: Enabler) -> Option<Enabler> {
    match version {
        Enabler::V1_0 => None,
        Enabler::V1_1 => Some(Enabler::V1_0),
        Enabler::V1_2 => Some(Enabler::V1_1),
    }
}

impl VersionChoice {
    const fn highest(self) -> Enabler {
        match self {
            Self::Auto | Self::V1_2 => Enabler::V1_2,
            Self::V1_0 => Enabler::V1_0,
            Self::V1_1 => Enabler::V1_1,
        }
    }
}

impl Terms {
    /// When to send an Update after the last one.
    fn update_after(&self) -> Duration {
        if self.lifetime >= self.margin.saturating_mul(2) {
            self.lifetime.saturating_sub(self.margin)
        } else {
            self.lifetime / 2
        }
    }
}

#[cfg(test)]
mod tests;
