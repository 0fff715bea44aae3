//! One bearer: what is known of its link, and whether servers answer through it.
//!
//! 1. No link, no address, no route, not registered: disconnected at once, nothing is asked.
//! 2. A fresh link is untried, and asked at once; `up` answers in a row make it connected.
//! 3. `down` answers missed in a row make it disconnected; it is asked less and less often.

mod schedule;

use std::{net::IpAddr, time::Duration};

use lamplighter_model::{Now, Stamp};

pub(super) use schedule::{BACK_OFF_MAX, Role};

use super::{
    cap::{Level, Limit},
    damper::{Damper, Damping},
    keep_alive::KeepAlive,
    session::Pace,
};
use crate::{
    bearer::{AddressFamily, BearerFacts, BearerId, LinkFacts, Meta, Reason, Status},
    config::{Bearer, Tier},
};

const HOUR: Duration = Duration::from_secs(3600);
/// Longest time that a bearer that came back must wait until it is used again.
const HOLD_MAX: Duration = Duration::from_secs(1800);
/// A metered stand-by that was asked within this time is not asked again because another one fails.
const ASKED_LATELY: Duration = Duration::from_secs(300);
/// Probes of a link that comes and goes.
const FRESH: Damping = Damping {
    first: Duration::from_millis(500),
    longest: Duration::from_secs(30),
    decay: Duration::from_secs(10),
};
/// Sockets opened anew because of silence.
const RENEWAL: Damping = Damping {
    first: Duration::from_secs(30),
    longest: HOUR,
    decay: HOUR,
};

#[derive(Debug)]
pub(super) struct Watch {
    pub(super) config: Bearer,
    pub(super) link: Option<LinkFacts>,
    /// Somebody has looked for its interface.
    pub(super) is_known: bool,
    pub(super) meta: Meta,
    pub(super) reach: Reach,
    /// Answers, and answers missed, in a row.
    pub(super) hits: u8,
    pub(super) misses: u8,
    /// Of the last miss.
    why: Option<Reason>,
    /// Probes in vain in a row since it is disconnected, and sessions that failed though probes were
    /// answered.
    tries: u32,
    distrust: u32,
    asked: Option<Duration>,
    /// A probe is under way, its result is due.
    flight: Option<Duration>,
    is_urgent: bool,
    fresh: Damper,
    fresh_pause: Duration,
    last_exchange: Option<Stamp>,
    pub(super) round_trip: Option<Duration>,
    flaps: u32,
    hold: Damper,
    /// A bearer that came back is preferred from then on.
    pub(super) ready_at: Duration,
    renewals: Damper,
    pub(super) keep_alive: KeepAlive,
    level: Level,
    bytes: (u64, u64),
    shown: (Status, Option<Reason>),
    since: Stamp,
}

/// Whether servers answer through a bearer whose link is good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    Untried,
    Connected,
    Down(Reason),
}

/// What has changed for the sockets of a bearer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    None,
    /// Their address or device is gone, another one is there.
    Sockets,
    /// The path may be another one.
    Path,
}

impl Watch {
    pub(super) fn new(config: &Bearer, now: Now) -> Self {
        let mut watch = Self {
            config: config.clone(),
            link: None,
            is_known: false,
            meta: Meta::default(),
            reach: Reach::Untried,
            hits: 0,
            misses: 0,
            why: None,
            tries: 0,
            distrust: 0,
            asked: None,
            flight: None,
            is_urgent: false,
            fresh: Damper::default(),
            fresh_pause: Duration::ZERO,
            last_exchange: None,
            round_trip: None,
            flaps: 0,
            hold: Damper::default(),
            ready_at: Duration::ZERO,
            renewals: Damper::default(),
            keep_alive: KeepAlive::default(),
            level: Level::Free,
            bytes: (0, 0),
            shown: (Status::Disconnected, None),
            since: stamp(now),
        };
        watch.shown = watch.status(false);
        watch
    }

    pub(super) fn is_metered(&self) -> bool {
        let known = self.config.metered.or(self.meta.metered);
        known.unwrap_or_else(|| self.config.kind.is_metered())
    }

    pub(super) fn tier(&self) -> Tier {
        match (self.config.tier, self.is_metered()) {
            (Some(tier), _) => tier,
            (None, true) => Tier::Secondary,
            (None, false) => Tier::Primary,
        }
    }

    fn limit(&self) -> Limit {
        self.level.limit(self.config.cap.as_ref())
    }

    pub(super) fn is_demoted(&self) -> bool {
        matches!(self.limit(), Limit::Demoted | Limit::Urgent)
    }

    pub(super) fn is_urgent_only(&self) -> bool {
        self.limit() == Limit::Urgent
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.limit() == Limit::Blocked
    }

    /// Only used where nothing better is connected, and not asked before.
    pub(super) fn is_reserve(&self) -> bool {
        self.tier() == Tier::Backup || (self.is_metered() && self.is_demoted())
    }

    /// Why nothing can be sent, as far as this box knows by itself.
    pub(super) fn gate(&self) -> Result<(), Reason> {
        if self.tier() == Tier::Never {
            return Err(Reason::Disabled);
        }
        if self.meta.registered == Some(false) {
            return Err(Reason::NotRegistered);
        }
        let link = self.link.as_ref().filter(|link| link.is_up);
        let link = link.ok_or(Reason::NoLink)?;
        if link.v4.is_empty() && link.v6.is_empty() {
            return Err(Reason::NoAddress);
        }
        if sources(link).next().is_none() {
            return Err(Reason::NoRoute);
        }
        if self.is_blocked() {
            return Err(Reason::CapReached);
        }
        Ok(())
    }

    /// Sessions may be tried over it: nobody has found it bad, or the last probe was answered.
    pub(super) fn is_usable(&self) -> bool {
        let is_down = matches!(self.reach, Reach::Down(_)) && self.hits == 0;
        self.gate().is_ok() && !is_down
    }

    pub(super) fn is_connected(&self) -> bool {
        self.gate().is_ok() && self.reach == Reach::Connected
    }

    pub(super) fn pace(&self) -> Pace {
        let timing = &self.config.timing;
        Pace {
            idle: self.keep_alive.idle(timing.active),
            longest_idle: timing.standby,
            timeout: timing.timeout,
            round_trip: self.round_trip,
        }
    }

    pub(super) fn set_link(&mut self, link: Option<LinkFacts>, now: Now) -> Change {
        let was_good = self.gate().is_ok();
        let former = std::mem::replace(&mut self.link, link);
        self.is_known = true;
        self.regate(was_good, now);
        let (Some(former), Some(link)) = (&former, &self.link) else {
            return Change::None;
        };
        if !was_good || self.gate().is_err() || former == link {
            return Change::None;
        }
        let is_replaced = former.index != link.index || former.interface != link.interface;
        let is_gone = sources(former).any(|used| !is_source(link, used));
        let is_rerouted = former.gateways != link.gateways || former.routes != link.routes;
        let change = match (is_replaced || is_gone, is_rerouted) {
            (true, _) => Change::Sockets,
            (false, true) => Change::Path,
            (false, false) => return Change::None,
        };
        if is_replaced {
            self.refresh(now.mono);
        } else {
            self.tries = 0;
            self.is_urgent = true;
        }
        change
    }

    pub(super) fn set_meta(&mut self, meta: Meta, now: Now) {
        let was_good = self.gate().is_ok();
        self.meta = meta;
        self.regate(was_good, now);
    }

    /// Whether people should know.
    pub(super) fn set_usage(&mut self, today: u64, month: u64, now: Now) -> bool {
        let was_good = self.gate().is_ok();
        self.bytes = (today, month);
        let level = Level::of(self.config.cap.as_ref(), today, month);
        let is_news = level != self.level;
        self.level = level;
        self.regate(was_good, now);
        is_news
    }

    fn regate(&mut self, was_good: bool, now: Now) {
        match (was_good, self.gate().is_ok()) {
            (true, false) => {
                if self.reach == Reach::Connected && !self.is_blocked() {
                    self.flap(now.mono);
                }
                self.forget();
            }
            (false, true) => self.refresh(now.mono),
            (true, true) | (false, false) => {}
        }
    }

    /// A new link: what was known of the former one means nothing.
    fn refresh(&mut self, now: Duration) {
        self.forget();
        self.fresh.hit(&FRESH, now);
        self.fresh_pause = self.fresh.pause(&FRESH, now);
    }

    /// To be tried again from the start.
    pub(super) fn forget(&mut self) {
        self.reach = Reach::Untried;
        self.why = None;
        self.hits = 0;
        self.misses = 0;
        self.tries = 0;
        self.distrust = 0;
        self.flight = None;
        self.is_urgent = false;
        self.round_trip = None;
    }

    /// Whether a probe was under way.
    pub(super) fn land(&mut self) -> bool {
        self.flight.take().is_some()
    }

    pub(super) fn answered(&mut self, round_trip: Duration, now: Now) {
        self.hits = self.hits.saturating_add(1);
        self.misses = 0;
        self.why = None;
        self.tries = 0;
        self.measured(round_trip);
        self.last_exchange = Some(stamp(now));
        if self.hits >= self.config.timing.up {
            self.connect(now.mono);
        }
    }

    /// In a session.
    pub(super) fn heard(&mut self, at: Duration, now: Now) {
        self.hits = self.config.timing.up;
        self.misses = 0;
        self.why = None;
        self.distrust = 0;
        let at = Stamp {
            boot: now.boot,
            mono: at.min(now.mono),
        };
        self.last_exchange = self.last_exchange.max(Some(at));
        self.connect(now.mono);
    }

    pub(super) fn measured(&mut self, round_trip: Duration) {
        self.round_trip = Some(match self.round_trip {
            Some(known) => known * 7 / 8 + round_trip / 8,
            None => round_trip,
        });
    }

    pub(super) fn missed(&mut self, reason: Reason, now: Now) {
        self.hits = 0;
        if matches!(self.reach, Reach::Down(_)) {
            self.reach = Reach::Down(reason);
            self.tries = self.tries.saturating_add(1);
            return;
        }
        self.why = Some(reason);
        self.misses = self.misses.saturating_add(1);
        if self.misses >= self.config.timing.down {
            self.lose(reason, now);
        }
    }

    /// The sessions over it are silent.
    pub(super) fn fall_silent(&mut self, now: Now) {
        // Probes know more of the cause.
        self.lose(self.why.unwrap_or(Reason::Timeout), now);
    }

    /// There is no server yet: not its fault, and to be tried later.
    pub(super) fn not_asked(&mut self) {
        self.hits = 0;
        self.misses = 0;
        self.tries = self.tries.saturating_add(1);
    }

    fn lose(&mut self, reason: Reason, now: Now) {
        if self.reach == Reach::Connected {
            self.flap(now.mono);
        }
        self.reach = Reach::Down(reason);
        self.hits = 0;
        self.misses = 0;
        self.tries = 0;
        self.asked = Some(now.mono);
    }

    /// Sessions fail over it, whatever the probes say.
    pub(super) fn distrust(&mut self, reason: Reason, now: Now) {
        self.distrust = self.distrust.saturating_add(1);
        self.lose(reason, now);
    }

    /// Begins again with short pauses.
    pub(super) fn hurry(&mut self) {
        self.tries = 0;
    }

    /// Another one fails: is this one good?
    pub(super) fn ask_soon(&mut self, now: Duration) {
        let lately = match (self.is_metered(), self.reach) {
            (false, _) => Duration::ZERO,
            (true, Reach::Connected) => ASKED_LATELY,
            (true, Reach::Untried | Reach::Down(_)) => BACK_OFF_MAX,
        };
        let is_due = self.asked.is_none_or(|asked| now >= asked + lately);
        self.is_urgent |= is_due;
    }

    pub(super) fn ask_now(&mut self) {
        self.is_urgent = true;
    }

    /// Whether sockets may be opened anew because of silence.
    pub(super) fn may_renew(&mut self, now: Duration) -> bool {
        let may = self.renewals.is_over(&RENEWAL, now);
        if may {
            self.renewals.hit(&RENEWAL, now);
        }
        may
    }

    fn connect(&mut self, now: Duration) {
        if self.reach == Reach::Connected {
            return;
        }
        self.reach = Reach::Connected;
        self.misses = 0;
        self.tries = 0;
        self.ready_at = now + self.hold.pause(&self.holding(), now);
    }

    fn flap(&mut self, now: Duration) {
        self.flaps = self.flaps.saturating_add(1);
        let holding = self.holding();
        self.hold.hit(&holding, now);
    }

    const fn holding(&self) -> Damping {
        Damping {
            first: self.config.timing.hold,
            longest: HOLD_MAX,
            decay: HOUR,
        }
    }

    pub(super) fn status(&self, is_offline: bool) -> (Status, Option<Reason>) {
        let reason = match (self.gate(), self.reach) {
            (Err(reason), _) => reason,
            (Ok(()), _) if is_offline => Reason::Disabled,
            (Ok(()), Reach::Connected) => return (Status::Connected, None),
            (Ok(()), Reach::Down(reason)) => reason,
            (Ok(()), Reach::Untried) => Reason::Untried,
        };
        (Status::Disconnected, Some(reason))
    }

    /// Whether it is news.
    pub(super) fn show(&mut self, is_offline: bool, now: Now) -> bool {
        let status = self.status(is_offline);
        if status == self.shown {
            return false;
        }
        if status.0 != self.shown.0 {
            self.since = stamp(now);
        }
        self.shown = status;
        true
    }

    pub(super) fn facts(&self, id: BearerId, is_current: bool) -> BearerFacts {
        let interface = self.link.as_ref().map(|link| link.interface.clone());
        let (status, reason) = self.shown;
        BearerFacts {
            id,
            name: self.config.name.clone(),
            kind: self.config.kind,
            interface: self.config.interface.clone().or(interface),
            status,
            reason,
            since: self.since,
            is_current,
            is_urgent_only: self.is_urgent_only(),
            last_exchange: self.last_exchange,
            round_trip: self.round_trip,
            address: self.link.as_ref().and_then(|link| sources(link).next()),
            is_metered: self.is_metered(),
            bytes_today: self.bytes.0,
            bytes_month: self.bytes.1,
            flaps: self.flaps,
            meta: self.meta.clone(),
            link: self.link.clone(),
        }
    }
}

const fn stamp(now: Now) -> Stamp {
    Stamp {
        boot: now.boot,
        mono: now.mono,
    }
}

/// The addresses that sockets are sent from: the first one of each family with a route.
fn sources(link: &LinkFacts) -> impl Iterator<Item = IpAddr> {
    let has_route = |family| link.routes.contains(&family);
    let v4 = link.v4.first().filter(|_| has_route(AddressFamily::V4));
    let v6 = link.v6.first().filter(|_| has_route(AddressFamily::V6));
    let v4 = v4.map(|address| IpAddr::V4(*address));
    v4.into_iter().chain(v6.map(|address| IpAddr::V6(*address)))
}

/// Whether sockets may still be sent from this address.
fn is_source(link: &LinkFacts, address: IpAddr) -> bool {
    let (is_there, family) = match address {
        IpAddr::V4(address) => (link.v4.contains(&address), AddressFamily::V4),
        IpAddr::V6(address) => (link.v6.contains(&address), AddressFamily::V6),
    };
    is_there && link.routes.contains(&family)
}
