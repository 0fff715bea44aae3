//! Registration of one server: a state machine without messages.
//!
//! 1. [`Registration::start`] asks for a link ([`Step::Open`]); once it is usable
//!    ([`Registration::connected`]) Register goes out, or an Update where the server knows us.
//! 2. An Update goes out before the lifetime ends and whenever something that the server was told
//!    has changed (`update`). What changes while one is under way goes into the next.
//! 3. Whatever fails ends in `Registration::retry`: the table of object 1, then one attempt per
//!    hour for ever, each with a fresh link.

use std::{collections::VecDeque, time::Duration};

use lamplighter_model::Now;
pub use lamplighter_model::tables::Enabler;

use crate::{
    rng::Rng,
    saved::{Moment, SavedRegistration},
    server::{Cause, Trouble},
};

mod leave;
mod link;
mod register;
mod reply;
mod retry;
mod terms;
mod update;
mod version;

use leave::After;
pub(crate) use reply::Reply;
pub(crate) use retry::{Backoff, RetryPolicy};
pub(crate) use terms::Terms;
pub(crate) use update::Wish;
use update::{Live, Pending};
use version::Ladder;

/// Where one server stands.
#[derive(Debug)]
pub(crate) struct Registration {
    backoff: Backoff,
    /// The end of the table, or a refusal, was told since the last success.
    has_given_up: bool,
    list: List,
    pending: Pending,
    /// Links that were opened since the server has last answered over one.
    reconnects: u32,
    rng: Rng,
    state: State,
    steps: VecDeque<Step>,
    terms: Terms,
    versions: Ladder,
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
        trouble: Trouble,
        retry_in: Duration,
    },
    /// The table of object 1 is through, or the server has refused us: once until the next success.
    /// Attempts go on.
    GaveUp,
    Left,
    ListShortened,
    Open,
    Register,
    /// The server knows us; `anew` where it forgot all observations.
    Registered {
        anew: bool,
    },
    Save(SavedRegistration),
    Update {
        location: Vec<String>,
        binding: bool,
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
    /// By a person, or because the agent ends.
    Left,
    Offline,
    Registered,
    Registering,
}

/// How much of the list of objects a server is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum List {
    Full,
    /// It found the whole too long (4.13): objects with many instances are named without them.
    Short,
}

#[derive(Debug)]
enum State {
    Disabled {
        until: Duration,
    },
    /// Others are registered first.
    Held,
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
        /// Another way to the server may be all that is wanted.
        for_path: bool,
        live: Option<Live>,
        until: Duration,
    },
}

/// Longest Disable, and longest Max-Age that is obeyed: nobody cuts the box off for ever.
pub(crate) const MAX_ABSENCE: Duration = Duration::from_secs(86_400);

impl Registration {
    pub(crate) fn new(terms: Terms, rng: Rng) -> Self {
        Self {
            backoff: Backoff::new(terms.policy),
            has_given_up: false,
            list: List::Full,
            pending: Pending::default(),
            reconnects: 0,
            rng,
            state: State::Held,
            steps: VecDeque::new(),
            versions: Ladder::new(terms.choice),
            terms,
        }
    }

    /// Takes up what was saved before a restart, as far as it is known without a link. Nothing is
    /// sent before [`Self::start`].
    pub(crate) fn remember(&mut self, saved: Option<&SavedRegistration>) {
        match saved {
            Some(SavedRegistration::Disabled {
                version: Some(version),
                refused,
                ..
            }) => self.versions.remember(*version, *refused, false),
            Some(SavedRegistration::None { version, refused }) => {
                self.versions.remember(*version, *refused, false);
            }
            Some(SavedRegistration::Registered {
                version, refused, ..
            }) => self.versions.remember(*version, *refused, true),
            Some(SavedRegistration::Disabled { version: None, .. }) | None => {}
        }
    }

    /// Begins after `delay` (1/x/14), or takes up at once what was saved before a restart.
    /// Who has begun already, or was sent away, is left as he is.
    pub(crate) fn start(&mut self, saved: Option<SavedRegistration>, delay: Duration, now: Now) {
        if !matches!(self.state, State::Held) {
            return;
        }
        self.remember(saved.as_ref());
        match saved {
            Some(SavedRegistration::Disabled { began, lasts, .. }) => {
                // Where no clock can tell how long we were off, the time counts from now.
                let elapsed = began.elapsed(now).unwrap_or_default();
                let until = now.mono + lasts.saturating_sub(elapsed);
                self.state = State::Disabled { until };
            }
            Some(SavedRegistration::Registered {
                at,
                identity,
                lifetime,
                location,
                version,
                ..
            }) if identity == self.terms.identity && version == self.version() => {
                // The server counts with what it was told.
                self.pending.lifetime = lifetime != self.lifetime();
                let elapsed = at.elapsed(now).unwrap_or_default();
                let live = Live::after(elapsed, lifetime, location, now);
                match live {
                    Some(live) => self.open(Some(live), now),
                    None => self.begin(delay, now),
                }
            }
            Some(SavedRegistration::None { .. } | SavedRegistration::Registered { .. }) | None => {
                self.begin(delay, now);
            }
        }
    }

    /// Register at once, whatever timer runs.
    pub(crate) fn register_now(&mut self, now: Now) {
        self.backoff.reset();
        self.steps.push_back(Step::Close);
        self.open(None, now);
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
    pub(crate) fn unanswered(&mut self, purpose: Purpose, trouble: Trouble, now: Now) {
        match purpose {
            Purpose::Deregister => self.leaving_ended(),
            Purpose::Register if matches!(self.state, State::Registering) => {
                self.versions.unheard(now);
                self.retry(trouble, None, now);
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
                let trouble = Cause::Link.told("no link to the server could be opened");
                self.not_opened(live, trouble, now);
            }
            // Overloaded for longer than the lifetime: not even a Register before that has ended.
            State::Registered(live) if live.expires <= now.mono && live.update_at > now.mono => {
                let until = live.update_at;
                self.steps.push_back(Step::Close);
                self.state = waiting(until);
            }
            State::Registered(live) if live.expires <= now.mono => self.register_over_new_link(now),
            State::Registered(_) => self.send_update(),
            State::Held | State::Off | State::Registering => {}
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
            State::Held | State::Off | State::Registering => None,
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// What is to be kept, if that is next.
    pub(crate) fn poll_save(&mut self) -> Option<SavedRegistration> {
        let Some(Step::Save(saved)) = self.steps.front() else {
            return None;
        };
        let saved = saved.clone();
        self.steps.pop_front();
        Some(saved)
    }

    pub(crate) const fn version(&self) -> Enabler {
        self.versions.current()
    }

    /// What the server is told; zero: for ever.
    pub(crate) const fn lifetime(&self) -> Duration {
        self.terms.lifetime(self.version())
    }

    pub(crate) const fn queue_mode(&self) -> bool {
        self.terms.queue_mode
    }

    pub(crate) const fn list(&self) -> List {
        self.list
    }

    pub(crate) const fn has_given_up(&self) -> bool {
        self.has_given_up
    }

    pub(crate) const fn is_off(&self) -> bool {
        matches!(self.state, State::Held | State::Off)
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
            | State::Off => Phase::Left,
            State::Held | State::Waiting { .. } => Phase::Offline,
            State::Opening { .. } | State::Registering => Phase::Registering,
            State::Registered(_) => Phase::Registered,
        }
    }

    fn begin(&mut self, delay: Duration, now: Now) {
        if delay.is_zero() {
            return self.open(None, now);
        }
        self.state = waiting(now.mono + delay.min(MAX_ABSENCE));
    }

    fn retry(&mut self, trouble: Trouble, at_least: Option<Duration>, now: Now) {
        let for_path = trouble.is_of_path();
        let table = self.backoff.next(&mut self.rng);
        let delay = at_least.map_or(table, |least| table.max(least.min(MAX_ABSENCE)));
        self.steps.push_back(Step::Close);
        self.steps.push_back(Step::Failed {
            trouble,
            retry_in: delay,
        });
        if self.backoff.is_exhausted() {
            self.give_up();
        }
        self.state = State::Waiting {
            for_path,
            live: None,
            until: now.mono + delay,
        };
    }

    fn give_up(&mut self) {
        if !std::mem::replace(&mut self.has_given_up, true) {
            self.steps.push_back(Step::GaveUp);
        }
    }

    fn saved(&self, location: Vec<String>, now: Now) -> SavedRegistration {
        SavedRegistration::Registered {
            at: Moment::of(now),
            identity: self.terms.identity.clone(),
            lifetime: self.lifetime(),
            location,
            version: self.version(),
            refused: self.versions.refused(),
        }
    }
}

const fn waiting(until: Duration) -> State {
    State::Waiting {
        for_path: false,
        live: None,
        until,
    }
}

#[cfg(test)]
mod tests;
