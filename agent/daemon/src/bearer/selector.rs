//! Which bearer is used: a pure machine, without a clock and without sockets.
//!
//! 1. Each bearer is watched (`watch`): link, answers to probes, caps.
//! 2. The one in use is watched by what the servers say in the sessions (`session`).
//! 3. After each event: what has run out, then the choice, then what is to be asked.
//!
//! Contract: one [`Selector::handle`], then [`Selector::poll`] to `None`, then
//! [`Selector::poll_timeout`], at which [`BearerEvent::Timeout`] is wanted.

mod cap;
mod choice;
mod damper;
mod keep_alive;
mod rank;
mod session;
#[cfg(test)]
mod tests;
mod watch;

use std::{collections::VecDeque, time::Duration};

use lamplighter_model::Now;

pub(crate) use self::cap::Level;
use self::{
    rank::Wish,
    session::{Session, Step},
    watch::{BACK_OFF_MAX, Change, Role, Watch},
};
use super::{Action, BearerEvent, BearerFacts, BearerId, Choice, LinkFacts, Reason, Switch, Want};
use crate::config::Bearer;

/// How long the first choice waits until all interfaces were looked for.
const START: Duration = Duration::from_millis(300);
/// A bearer that somebody wants to use is used at once if it is connected within this time.
const COMMAND: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Selector {
    /// [`BearerId`] counts here.
    watches: Vec<Watch>,
    current: Option<BearerId>,
    /// Over the current bearer.
    session: Session,
    wish: Wish,
    offline: Option<Offline>,
    is_quiet: bool,
    start: Start,
    actions: VecDeque<Action>,
}

/// Nobody may be spoken to.
#[derive(Clone, Copy, Debug)]
struct Offline {
    until: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Start {
    /// At the latest until this time of the monotonic clock.
    AwaitLinks(Duration),
    Done,
}

impl Selector {
    pub fn new(bearers: &[Bearer], now: Now) -> Self {
        Self {
            watches: bearers
                .iter()
                .map(|bearer| Watch::new(bearer, now))
                .collect(),
            current: None,
            session: Session::opened(now.mono),
            wish: Wish::default(),
            offline: None,
            is_quiet: false,
            start: Start::AwaitLinks(now.mono + START),
            actions: VecDeque::new(),
        }
    }

    pub fn handle(&mut self, event: BearerEvent, now: Now) {
        match event {
            BearerEvent::Link(id, link) => self.on_link(id, link, now),
            BearerEvent::Meta(id, meta) => {
                if let Some(watch) = self.watch_mut(id)
                    && watch.meta != meta
                {
                    watch.set_meta(meta, now);
                    self.tell(id);
                }
            }
            BearerEvent::Probed(id, result) => self.on_probed(id, result, now),
            BearerEvent::Heard(at) => self.on_heard(at, now),
            BearerEvent::Awaited(since) => self.session.wait_for(since),
            BearerEvent::Taken => self.on_heard(now.mono, now),
            BearerEvent::Failed(reason) => self.on_failed(reason, now),
            BearerEvent::Usage(id, today, month) => {
                let watch = self.watch_mut(id);
                if watch.is_some_and(|watch| watch.set_usage(today, month, now)) {
                    self.tell(id);
                }
            }
            BearerEvent::Choose(choice) => self.on_choose(choice, now),
            BearerEvent::Quiet(is_quiet) => self.on_quiet(is_quiet, now),
            BearerEvent::Timeout => {}
        }
        self.expire(now);
        self.choose(now);
        self.forget_stale(now);
        self.ask(now);
        self.show(now);
    }

    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`BearerEvent::Timeout`] is wanted, on the monotonic clock.
    pub fn poll_timeout(&self) -> Option<Duration> {
        if let Some(offline) = self.offline {
            return offline.until;
        }
        let start = match self.start {
            Start::AwaitLinks(until) => Some(until),
            Start::Done => None,
        };
        if self.is_quiet {
            return start;
        }
        let probes = self.ids().filter_map(|id| self.at(id).due(self.role(id)));
        let session = self.current.map(|id| self.session.due(&self.at(id).pace()));
        let others = [start, self.fail_back_at(), session];
        probes.chain(others.into_iter().flatten()).min()
    }

    /// # Panics
    ///
    /// Where there is no such bearer in the configuration.
    pub fn facts(&self, id: BearerId) -> BearerFacts {
        self.at(id).facts(id, self.current == Some(id))
    }

    /// Somebody has asked for silence.
    pub const fn is_offline(&self) -> bool {
        self.offline.is_some()
    }

    /// Who decides now.
    pub fn choice(&self) -> Choice {
        match (self.offline, self.wish.used) {
            (Some(offline), _) => Choice::Offline(offline.until),
            (None, Some(id)) => Choice::Use(id),
            (None, None) if self.wish.preferred.is_empty() => Choice::Auto,
            (None, None) => Choice::Prefer(self.wish.preferred.clone()),
        }
    }

    /// Until when somebody has asked for silence; `Some(None)`: until [`Choice::Online`].
    pub fn offline(&self) -> Option<Option<Duration>> {
        self.offline.map(|offline| offline.until)
    }

    /// The one that a person has chosen.
    pub const fn used(&self) -> Option<BearerId> {
        self.wish.used
    }

    pub const fn current(&self) -> Option<BearerId> {
        self.current
    }

    /// The cap of the bearer in use is reached, and leaves room for what is urgent only.
    pub fn is_urgent_only(&self) -> bool {
        self.current.is_some_and(|id| self.at(id).is_urgent_only())
    }

    fn on_link(&mut self, id: BearerId, link: Option<LinkFacts>, now: Now) {
        let Some(watch) = self.watch_mut(id) else {
            return;
        };
        let is_news = watch.link != link;
        let change = watch.set_link(link, now);
        if is_news {
            self.tell(id);
        }
        if self.watches.iter().all(|watch| watch.is_known) {
            self.start = Start::Done;
        }
        if self.current != Some(id) {
            return;
        }
        match change {
            Change::None => {}
            Change::Path => {
                let pace = self.at(id).pace();
                self.session.ask_now(&pace, now.mono);
                self.actions.push_back(Action::Ping);
            }
            Change::Sockets => self.renew(id, now),
        }
    }

    fn on_probed(&mut self, id: BearerId, result: Result<Duration, Reason>, now: Now) {
        let is_current = self.current == Some(id);
        let is_talking = self.session.is_heard() && !self.session.is_missing();
        let Some(watch) = self.watch_mut(id) else {
            return;
        };
        if !watch.land() {
            return; // of a former link, or too late
        }
        match result {
            Ok(round_trip) => {
                watch.answered(round_trip, now);
                if is_current {
                    self.session.path_is_good();
                }
            }
            Err(Reason::Untried) => watch.not_asked(),
            // What the sessions say counts more.
            Err(_) if is_current && watch.is_connected() && is_talking => {}
            Err(reason) => watch.missed(reason, now),
        }
    }

    fn on_heard(&mut self, at: Duration, now: Now) {
        let Some(current) = self.current else {
            return;
        };
        let gap = self.session.gap;
        let (is_news, round_trip) = self.session.hear(at);
        if !is_news {
            return;
        }
        self.session.gap = None;
        let watch = self.at_mut(current);
        if watch.gate().is_err() {
            return;
        }
        watch.heard(at, now);
        if let Some(round_trip) = round_trip {
            watch.measured(round_trip);
        }
        let active = watch.config.timing.active;
        match gap {
            Some(gap) => watch.keep_alive.learn(gap, active, now.mono),
            None => watch.keep_alive.hold(active, now.mono),
        }
    }

    fn on_failed(&mut self, reason: Reason, now: Now) {
        let Some(current) = self.current else {
            return;
        };
        let pace = self.at(current).pace();
        if self.session.is_heard_lately(pace.timeout, now.mono) {
            // Others answer: that one server is gone, or the path since a moment ago.
            let misses = self.session.miss(&pace, now.mono);
            self.on_missed(current, misses, now);
            return;
        }
        self.at_mut(current).distrust(reason, now);
    }

    fn on_choose(&mut self, choice: Choice, now: Now) {
        match choice {
            Choice::Auto => {
                self.wish.used = None;
                self.wish.fresh_until = Some(now.mono);
            }
            Choice::Offline(until) => {
                self.offline = Some(Offline { until });
                self.watches.iter_mut().for_each(Watch::forget);
            }
            Choice::Online => self.offline = None,
            Choice::Prefer(preferred) => {
                self.wish.preferred = preferred;
                self.wish.fresh_until = Some(now.mono);
            }
            Choice::Use(id) => {
                self.wish.used = Some(id);
                self.wish.fresh_until = Some(now.mono + COMMAND);
                if let Some(watch) = self.watch_mut(id) {
                    watch.ask_now();
                }
            }
        }
    }

    fn on_quiet(&mut self, is_quiet: bool, now: Now) {
        if is_quiet == self.is_quiet {
            return;
        }
        self.is_quiet = is_quiet;
        self.session.rest(now.mono);
        for watch in &mut self.watches {
            watch.land();
        }
    }

    fn expire(&mut self, now: Now) {
        if matches!(self.start, Start::AwaitLinks(until) if now.mono >= until) {
            self.start = Start::Done;
        }
        let until = self.offline.and_then(|offline| offline.until);
        if until.is_some_and(|until| now.mono >= until) {
            self.offline = None;
        }
        if self.is_silent() {
            return;
        }
        for id in self.ids() {
            self.at_mut(id).expire(now);
        }
        let Some(current) = self.current else {
            return;
        };
        match self.session.step(&self.at(current).pace(), now.mono) {
            None => {}
            Some(Step::Ping) => self.actions.push_back(Action::Ping),
            Some(Step::PingAndProbe) => {
                self.actions.push_back(Action::Ping);
                self.at_mut(current).ask_now();
            }
            Some(Step::Missed(misses)) => self.on_missed(current, misses, now),
        }
    }

    /// A ping over the current bearer, or a request, is without an answer.
    fn on_missed(&mut self, current: BearerId, misses: u8, now: Now) {
        let down = self.at(current).config.timing.down;
        // A request without an answer may be the trouble of one server: a ping must tell.
        let is_request = self.session.urgent_pace().is_some();
        let down = if is_request { down.max(2) } else { down };
        if misses > 1 && self.session.is_path_good() {
            let gap = self.session.gap();
            let can_renew = self.session.is_heard() && self.at_mut(current).may_renew(now.mono);
            if !can_renew {
                self.session.bear_silence(now.mono);
                return;
            }
            self.renew(current, now);
            self.session.gap = gap;
            return;
        }
        if misses >= down {
            self.at_mut(current).fall_silent(now);
            return;
        }
        self.actions.push_back(Action::Ping);
        for id in self.ids() {
            let is_last = misses + 1 >= down;
            let watch = self.at_mut(id);
            if current == id && misses == 1 {
                watch.ask_now();
            } else if current != id && (is_last || !watch.is_metered()) {
                watch.ask_soon(now.mono);
            }
        }
    }

    fn renew(&mut self, current: BearerId, now: Now) {
        self.session = self.session.reopened(now.mono);
        self.actions.push_back(Action::Switch(Switch {
            to: Some(current),
            why: Want::Renew,
        }));
    }

    /// What is known of those that are not asked any more grows old.
    fn forget_stale(&mut self, now: Now) {
        if self.is_silent() {
            return;
        }
        for id in self.ids() {
            let role = self.role(id);
            self.at_mut(id).forget_stale(role, now.mono);
        }
    }

    fn ask(&mut self, now: Now) {
        if self.is_silent() {
            return;
        }
        let is_urgent = self.session.urgent_pace().is_some();
        for id in self.ids() {
            let role = self.role(id);
            let watch = self.at_mut(id);
            let pace = watch.pace();
            let wait = if is_urgent {
                pace.patience(watch.is_connected())
            } else {
                pace.timeout
            };
            if watch.probe(role, wait, now.mono) {
                self.actions.push_back(Action::Probe(id, wait));
            }
        }
    }

    fn show(&mut self, now: Now) {
        let is_offline = self.offline.is_some();
        for id in self.ids() {
            if self.at_mut(id).show(is_offline, now) {
                self.tell(id);
            }
        }
    }

    /// For what a bearer is asked now.
    fn role(&self, id: BearerId) -> Role {
        if self.current == Some(id) {
            return Role::Current;
        }
        let watch = self.at(id);
        let is_wished = self.wish.used == Some(id);
        if watch.is_reserve() && !is_wished && self.is_better_good(id) {
            return Role::Reserve;
        }
        let is_any = self.watches.iter().any(Watch::is_connected);
        Role::StandBy(match watch.is_metered() && is_any {
            true => watch.config.timing.standby,
            false => BACK_OFF_MAX,
        })
    }

    /// Whether a better one than this works without a doubt.
    fn is_better_good(&self, id: BearerId) -> bool {
        let rank = self.rank(id);
        self.ids().any(|other| {
            let watch = self.at(other);
            let is_current = self.current == Some(other);
            let is_good = match is_current {
                // The first one is used untried.
                true => watch.is_usable() && watch.misses == 0 && !self.session.is_missing(),
                false => watch.is_connected(),
            };
            is_good && self.rank(other) < rank
        })
    }

    /// Nothing may be asked now.
    pub const fn is_silent(&self) -> bool {
        self.is_quiet || self.offline.is_some()
    }

    fn tell(&mut self, id: BearerId) {
        let show = Action::Show(id);
        if !self.actions.contains(&show) {
            self.actions.push_back(show);
        }
    }

    fn ids(&self) -> impl Iterator<Item = BearerId> + use<> {
        (0..self.watches.len()).map(|id| BearerId(id as u16))
    }

    fn at(&self, id: BearerId) -> &Watch {
        &self.watches[usize::from(id.0)]
    }

    fn at_mut(&mut self, id: BearerId) -> &mut Watch {
        &mut self.watches[usize::from(id.0)]
    }

    fn watch_mut(&mut self, id: BearerId) -> Option<&mut Watch> {
        self.watches.get_mut(usize::from(id.0))
    }
}
