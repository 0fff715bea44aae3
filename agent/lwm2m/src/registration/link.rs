//! The link under a registration: it comes up, moves, breaks.

use std::time::Duration;

use lamplighter_model::Now;

use super::{List, Live, Registration, State, Step};
use crate::server::Trouble;

/// A link that is not there by then is not coming (name look-up included).
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// A session that does not stand by then has told why itself: its last flight is repeated until
/// 123 s.
const SHAKE_TIMEOUT: Duration = Duration::from_secs(150);
/// First and longest pause between links while the registration lives.
const RECONNECT_FIRST: Duration = Duration::from_secs(1);
const RECONNECT_LONGEST: Duration = Duration::from_secs(60);

impl Registration {
    /// The link is there; both sides may have to agree upon keys.
    pub(crate) fn link_up(&mut self, now: Now) {
        if let State::Opening { until, .. } = &mut self.state {
            *until = now.mono + SHAKE_TIMEOUT;
        }
    }

    /// The session stands, over a new link or the same. `is_new`: the server has not seen its keys
    /// before, and so does not know whose they are until we register. // lwm2m/60, 14
    pub(crate) fn established(&mut self, is_new: bool, now: Now) {
        match &mut self.state {
            State::Opening { live, .. } => {
                if is_new {
                    *live = None;
                }
                self.connected(now);
            }
            State::Registered(_) if is_new => self.register(now),
            State::Disabled { .. }
            | State::Held
            | State::Leaving { .. }
            | State::Off
            | State::Registered(_)
            | State::Registering
            | State::Waiting { .. } => self.moved(now),
        }
    }

    /// The link is there and the session stands.
    pub(crate) fn connected(&mut self, now: Now) {
        match std::mem::replace(&mut self.state, State::Registering) {
            State::Opening {
                live: Some(live), ..
            } if live.expires > now.mono => {
                self.state = State::Registered(live);
                self.send_update();
            }
            State::Opening { .. } => self.register(now),
            other @ (State::Disabled { .. }
            | State::Held
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
            | State::Held
            | State::Leaving { .. }
            | State::Off
            | State::Opening { .. }
            | State::Waiting { .. } => {}
        }
    }

    /// The link is gone.
    pub(crate) fn disconnected(&mut self, trouble: Trouble, now: Now) {
        match std::mem::replace(&mut self.state, State::Off) {
            State::Registered(mut live) => {
                self.pending.add(live.in_flight.take());
                // Links that break before the server has answered over them come with pauses.
                if self.reconnects > 0 {
                    return self.not_opened(Some(live), trouble, now);
                }
                self.reconnects = 1;
                self.steps.push_back(Step::Close);
                self.open(Some(live), now);
            }
            State::Leaving { after, .. } => self.left(after),
            State::Opening { live, .. } => self.not_opened(live, trouble, now),
            State::Registering => self.retry(trouble, None, now),
            other @ (State::Disabled { .. } | State::Held | State::Off | State::Waiting { .. }) => {
                self.state = other
            }
        }
    }

    /// There is a way to servers, or another. `is_up`: the link that was asked for is there.
    pub(crate) fn path_up(&mut self, is_up: bool, now: Now) {
        let live = match &mut self.state {
            State::Waiting {
                for_path: true,
                live,
                ..
            } => live.take(),
            // It was asked for where there was no way.
            State::Opening { live, .. } if !is_up => {
                self.steps.push_back(Step::Close);
                live.take()
            }
            State::Disabled { .. }
            | State::Held
            | State::Leaving { .. }
            | State::Off
            | State::Opening { .. }
            | State::Registered(_)
            | State::Registering
            | State::Waiting { .. } => return,
        };
        self.reconnects = 0;
        self.open(live.filter(|live| live.expires > now.mono), now);
    }

    pub(super) fn open(&mut self, live: Option<Live>, now: Now) {
        if live.is_none() {
            self.list = List::Full;
        }
        self.steps.push_back(Step::Open);
        self.state = State::Opening {
            live,
            until: now.mono + OPEN_TIMEOUT,
        };
    }

    /// A link did not come up. As long as the registration lives the next try comes soon.
    pub(super) fn not_opened(&mut self, live: Option<Live>, trouble: Trouble, now: Now) {
        let Some(live) = live.filter(|live| live.expires > now.mono) else {
            return self.retry(trouble, None, now);
        };
        let before = self.reconnects.saturating_sub(1);
        let factor = 1u32.checked_shl(before).unwrap_or(u32::MAX);
        self.reconnects = self.reconnects.max(1).saturating_add(1);
        let delay = RECONNECT_FIRST
            .saturating_mul(factor)
            .min(RECONNECT_LONGEST);
        let for_path = trouble.is_of_path();
        self.steps.push_back(Step::Close);
        self.steps.push_back(Step::Failed {
            trouble,
            retry_in: delay,
        });
        self.state = State::Waiting {
            for_path,
            live: Some(live),
            until: now.mono + delay,
        };
    }
}
