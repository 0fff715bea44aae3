//! Bearers in the loop: what the kernel, the probes and the servers say goes to the selector; what it
//! wants goes to links, probes and the core.

mod commanded;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    task::{Context, Poll, ready},
    time::Duration,
};

use lamplighter_coap::Code;
use lamplighter_dtls::Closed;
use lamplighter_lwm2m::{
    boundary::{Command, Event, Input, LinkEvent, LinkId},
    client::Client,
    reject::Reject,
    server::{Cause, ServerState, ServerUri},
};
use lamplighter_model::{Now, Ssid};
use tokio::task::JoinHandle;

pub(crate) use commanded::Commanded;

use super::{Agent, managers::Managed};
use crate::{
    ask::{BearerAsk, LONGEST_OFFLINE},
    bearer::{
        Action, BearerEvent, BearerId, Board, Choice, Chosen, Level, Monitor, Prober, Reason,
        Selector, Switch, Want, Way,
        dbus::{ManagerEvent, Managers},
        usage,
    },
    clock::Clock,
    config, events,
    link::LinkKey,
};

/// A server is reached over a bearer that was chosen by hand within this time, or the choice is taken
/// back.
pub(super) const TRIAL: Duration = Duration::from_secs(120);
/// A server that was heard within this time is not silent.
const SILENCE: Duration = Duration::from_secs(10);
/// How often what was counted is kept, for the case of a power cut.
const KEEP_EVERY: Duration = Duration::from_secs(300);

/// The bearers of the configuration, and who looks after them.
#[derive(Debug)]
pub struct Bearers {
    board: Board,
    configs: Vec<config::Bearer>,
    selector: Selector,
    monitor: Monitor,
    prober: Prober,
    managed: Managed,
    state_dir: PathBuf,
    keep_at: Duration,
    /// What was counted is on its way to the disk.
    keeping: Option<JoinHandle<()>>,
    /// Where to probe for while there is no account but that of the bootstrap server.
    bootstrap: Option<ServerUri>,
    /// Links that the core has open, and to whom.
    open: BTreeMap<LinkKey, ServerUri>,
    /// Sockets that shall take the place of others, once they are open.
    replacing: BTreeMap<LinkKey, LinkKey>,
    /// One of the sockets of the last switch has come up.
    has_moved: bool,
    next_link: u64,
    /// A choice by hand that no server has confirmed yet, and until when it may.
    trial: Option<Trial>,
    /// Bytes of which people were told, by day and by month.
    told_usage: BTreeMap<BearerId, (u64, u64)>,
    heard: Option<Duration>,
    awaited: Option<Duration>,
    is_quiet: bool,
    /// Where sessions were told to go last.
    used: Option<BearerId>,
}

/// A choice by hand.
#[derive(Debug)]
struct Trial {
    until: Duration,
    bearer: BearerId,
    ask: BearerAsk,
}

impl Bearers {
    /// Begins to watch. Its first events say what there is.
    pub(crate) fn start(
        config: &config::Config,
        state_dir: &std::path::Path,
        board: Board,
        managers: Managers,
        commanded: Commanded,
        clock: Clock,
    ) -> std::io::Result<Option<Self>> {
        if config.bearers.is_empty() {
            return Ok(None);
        }
        let now = clock.now();
        let saved = usage::Saved::read(state_dir);
        let bootstrap = config.bootstrap.as_ref();
        let bootstrap = bootstrap.and_then(|account| account.security.uri.parse().ok());
        let mut bearers = Self {
            board,
            selector: Selector::new(&config.bearers, now),
            monitor: Monitor::start(&config.bearers, "/sys".into(), saved, clock)?,
            prober: Prober::default(),
            managed: Managed::new(managers),
            state_dir: state_dir.to_owned(),
            keep_at: now.mono + KEEP_EVERY,
            keeping: None,
            bootstrap,
            configs: config.bearers.clone(),
            open: BTreeMap::new(),
            replacing: BTreeMap::new(),
            has_moved: false,
            next_link: 0,
            trial: None,
            told_usage: BTreeMap::new(),
            heard: None,
            awaited: None,
            is_quiet: false,
            used: None,
        };
        bearers.take_up(commanded, clock);
        Ok(Some(bearers))
    }

    /// Somebody has asked for silence.
    pub(crate) const fn is_offline(&self) -> bool {
        self.selector.is_offline()
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<BearerEvent> {
        if let Poll::Ready((id, result)) = self.prober.poll_result(context) {
            return Poll::Ready(BearerEvent::Probed(id, result));
        }
        let event = ready!(self.monitor.poll_event(context));
        self.managed.link(&event);
        Poll::Ready(event)
    }

    pub(super) fn poll_managers(&mut self, context: &mut Context<'_>) -> Poll<ManagerEvent> {
        self.managed.poll(context)
    }

    pub(super) fn deadline(&self) -> Duration {
        let selector = self.selector.poll_timeout().unwrap_or(Duration::MAX);
        let trial = self
            .trial
            .as_ref()
            .map_or(Duration::MAX, |trial| trial.until);
        let managed = self.managed.deadline();
        selector.min(trial).min(managed).min(self.keep_at)
    }

    /// What a socket needs to leave through a bearer; `None` while it has no interface.
    fn way(&self, id: BearerId) -> Option<Way> {
        let facts = self.selector.facts(id);
        let configured = &self.configs.get(usize::from(id.0))?.dns;
        let name_servers = match configured.is_empty() {
            true => facts.meta.name_servers,
            false => configured.clone(),
        };
        Some(Way::new(&facts.link?, name_servers))
    }

    fn new_link(&mut self) -> LinkId {
        self.next_link += 1;
        LinkId::of_shell(self.next_link)
    }

    /// One that may be used, or at least tried.
    fn usable(&self, name: &str) -> Result<BearerId, Reject> {
        let Some(id) = self.named(name) else {
            let what = format!("there is no [bearer.{name}]");
            return Err(Reject::new(Code::NOT_FOUND, what));
        };
        let facts = self.selector.facts(id);
        match facts.reason.filter(|reason| !reason.may_be_tried()) {
            Some(reason) => {
                let what = format!("{name} is disconnected: {}", reason.as_str());
                Err(Reject::new(Code::CONFLICT, what))
            }
            None => Ok(id),
        }
    }

    /// Tells people who decides, and until when only.
    fn show_choice(&self) {
        self.board.choose(Chosen {
            choice: self.selector.choice(),
            trial_until: self.trial.as_ref().map(|trial| trial.until),
        });
    }

    /// What people are told of a cap that comes near, or is reached.
    fn news_of_usage(&mut self, id: BearerId, today: u64, month: u64) -> Vec<events::News> {
        let former = self.told_usage.insert(id, (today, month));
        let config = self.configs.get(usize::from(id.0));
        // What was so at the start was told before it.
        let (Some((told_today, told_month)), Some(config)) = (former, config) else {
            return Vec::new();
        };
        let Some(cap) = config.cap else {
            return Vec::new();
        };
        let periods = [
            ("today", cap.day, told_today, today),
            ("this month", cap.month, told_month, month),
        ];
        let news = periods.into_iter().filter_map(|(period, cap, told, used)| {
            let cap = cap?;
            (Level::of_one(cap, told) < Level::of_one(cap, used))
                .then(|| events::of_bearer_cap(&config.name, period, used, cap))
        });
        news.collect()
    }

    fn name(&self, id: BearerId) -> String {
        self.configs
            .get(usize::from(id.0))
            .map_or_else(String::new, |bearer| bearer.name.clone())
    }

    /// Keeps the counters. A disk that fails costs them only.
    fn keep(&mut self, now: Now) {
        self.keep_at = now.mono + KEEP_EVERY;
        // One writer at a time.
        if self
            .keeping
            .as_ref()
            .is_some_and(|task| !task.is_finished())
        {
            return;
        }
        let (directory, saved) = (self.state_dir.clone(), self.monitor.saved_usage());
        self.keeping = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = saved.write(&directory) {
                tracing::warn!(%error, "Counters of bearers cannot be kept");
            }
        }));
    }

    /// At the end: the counters are on the disk when it returns.
    pub(super) async fn put_away(&mut self, now: Now) {
        self.kept().await;
        self.keep(now);
        self.kept().await;
    }

    async fn kept(&mut self) {
        if let Some(task) = self.keeping.take() {
            // One that panicked has said so.
            let _ = task.await;
        }
    }
}

impl Agent {
    /// What a person wants of the bearers.
    pub(super) fn ask_bearers(&mut self, what: BearerAsk, user: &str) -> Result<(), Reject> {
        let now = self.clock.now();
        let Some(bearers) = &mut self.bearers else {
            let what = "no bearers are configured: [bearer.NAME]";
            return Err(Reject::new(Code::NOT_IMPLEMENTED, what));
        };
        if bearers.selector.is_offline() && matches!(what, BearerAsk::Auto | BearerAsk::Use(_)) {
            let what = "offline was asked for: `lamplighter online` ends it";
            return Err(Reject::new(Code::CONFLICT, what));
        }
        let choice = match &what {
            BearerAsk::Use(name) => Choice::Use(bearers.usable(name)?),
            BearerAsk::Auto => Choice::Auto,
            BearerAsk::Offline(time) => Choice::Offline(time.map(|time| now.mono + time)),
            BearerAsk::Online => Choice::Online,
        };
        self.events.tell(events::of_bearer_ask(&what, user));
        let until = now.mono + TRIAL;
        let on_trial = bearers.trial.take();
        bearers.trial = match choice {
            // Where it is in use already there is nothing to find out.
            Choice::Use(bearer) if bearers.selector.current() != Some(bearer) => Some(Trial {
                until,
                bearer,
                ask: what,
            }),
            Choice::Auto | Choice::Prefer(_) | Choice::Use(_) => None,
            // Nothing can be found out meanwhile: it goes on afterwards.
            Choice::Offline(end) => on_trial.map(|trial| Trial {
                until: end.unwrap_or(now.mono + LONGEST_OFFLINE) + TRIAL,
                ..trial
            }),
            Choice::Online => on_trial.map(|trial| Trial { until, ..trial }),
        };
        let is_offline = matches!(choice, Choice::Offline(_));
        self.on_bearer(BearerEvent::Choose(choice));
        // There may be sockets also where no bearer works.
        if is_offline {
            self.links.set_way(None);
            self.cut_links();
        }
        Ok(())
    }

    pub(super) fn on_bearer(&mut self, event: BearerEvent) {
        let now = self.clock.now();
        let Some(bearers) = &mut self.bearers else {
            return;
        };
        let is_of_choice = matches!(event, BearerEvent::Choose(_) | BearerEvent::Timeout);
        let is_of_way = matches!(event, BearerEvent::Link(..) | BearerEvent::Meta(..));
        let mut counted = None;
        if let BearerEvent::Usage(id, today, month) = event {
            counted = Some(id);
            let news = bearers.news_of_usage(id, today, month);
            news.into_iter().for_each(|news| self.events.tell(news));
        }
        bearers.selector.handle(event, now);
        if is_of_choice {
            bearers.show_choice();
        }
        if bearers.selector.is_silent() {
            bearers.prober.stop_all();
        }
        self.perform_bearers();
        if let Some(id) = counted {
            self.show_bearer(id);
        }
        if is_of_way {
            self.renew_way();
        }
        self.restrict();
    }

    /// Tells the sessions whether the bearer in use leaves room for more than what is urgent.
    fn restrict(&mut self) {
        let bearers = self.bearers.as_ref();
        let is_urgent_only = bearers.is_some_and(|bearers| bearers.selector.is_urgent_only());
        if std::mem::replace(&mut self.waiting.is_urgent_only, is_urgent_only) != is_urgent_only {
            self.every_client(&Input::UrgentOnly(is_urgent_only));
        }
    }

    /// The bearer in use has got another family, or other name servers: new sockets go by that.
    fn renew_way(&mut self) {
        let Some(bearers) = &self.bearers else {
            return;
        };
        let way = bearers.used.and_then(|id| bearers.way(id));
        let (Some(way), Some(former)) = (way, self.links.way()) else {
            return;
        };
        if way == *former {
            return;
        }
        let has_more = (way.v4 && !former.v4) || (way.v6 && !former.v6);
        self.links.set_way(Some(way));
        if has_more {
            self.every_client(&Input::PathUp);
        }
    }

    /// What is due of the bearers.
    pub(super) fn time_bearers(&mut self) {
        let now = self.clock.now();
        let Some(bearers) = &mut self.bearers else {
            return;
        };
        if bearers.keep_at <= now.mono {
            bearers.keep(now);
        }
        if let Some(trial) = bearers.trial.take_if(|trial| trial.until <= now.mono) {
            self.events.tell(events::of_bearer_taken_back(&trial.ask));
            return self.on_bearer(BearerEvent::Choose(Choice::Auto));
        }
        if let Some(choice) = bearers.managed.timeout(bearers.heard, now) {
            self.events.tell(events::of_preference_taken_back());
            return self.on_bearer(BearerEvent::Choose(choice));
        }
        self.on_bearer(BearerEvent::Timeout);
    }

    pub(super) fn managed(&mut self) -> Option<&mut Managed> {
        self.bearers.as_mut().map(|bearers| &mut bearers.managed)
    }

    pub(super) fn bearer_name(&self, id: BearerId) -> String {
        let bearers = self.bearers.as_ref();
        bearers.map(|bearers| bearers.name(id)).unwrap_or_default()
    }

    /// Tells the selector what this turn has shown of the sessions.
    pub(super) fn tell_bearers(&mut self) {
        let Some(bearers) = &mut self.bearers else {
            return;
        };
        let heard = self.clients.values().filter_map(Client::heard).max();
        let awaited = self.clients.values().filter_map(Client::awaited).min();
        let is_quiet = is_quiet(&self.waiting.servers);
        let mut events = Vec::new();
        if let Some(at) = heard.filter(|at| bearers.heard != Some(*at)) {
            bearers.heard = heard;
            events.push(BearerEvent::Heard(at));
        }
        if bearers.awaited != awaited {
            bearers.awaited = awaited;
            events.push(BearerEvent::Awaited(awaited));
        }
        if bearers.is_quiet != is_quiet {
            bearers.is_quiet = is_quiet;
            events.push(BearerEvent::Quiet(is_quiet));
        }
        events.into_iter().for_each(|event| self.on_bearer(event));
    }

    /// What an exchange with a server says of the way to it.
    pub(super) fn on_server_event(&mut self, event: &Event) {
        let now = self.clock.now();
        let Some(bearers) = &mut self.bearers else {
            return;
        };
        if matches!(event, Event::Registered { .. } | Event::Updated(_)) {
            // An answer over the former bearer confirms nothing.
            let current = bearers.selector.current();
            let is_there = bearers.replacing.is_empty();
            let trial = &mut bearers.trial;
            let ended = trial.take_if(|trial| is_there && current == Some(trial.bearer));
            if ended.is_some() {
                bearers.show_choice();
            }
            return self.on_bearer(BearerEvent::Taken);
        }
        let Event::RegistrationFailed { cause, .. } = event else {
            return;
        };
        // Another server may answer over the same bearer.
        let silent_since = bearers.heard.unwrap_or_default();
        let is_silent = now.mono.saturating_sub(silent_since) > SILENCE;
        if let Some(reason) = reason_of(*cause).filter(|_| is_silent) {
            self.on_bearer(BearerEvent::Failed(reason));
        }
    }

    /// The core has opened a link, or closed it.
    pub(super) fn note_link(&mut self, key: LinkKey, uri: Option<&ServerUri>) {
        let Some(bearers) = &mut self.bearers else {
            return;
        };
        match uri {
            Some(uri) => {
                bearers.open.insert(key, uri.clone());
            }
            None => {
                bearers.open.remove(&key);
                let replacing = bearers.replacing.iter();
                let orphans: Vec<LinkKey> = replacing
                    .filter(|(_, former)| **former == key)
                    .map(|(new, _)| *new)
                    .collect();
                bearers.replacing.retain(|_, former| *former != key);
                orphans.into_iter().for_each(|new| self.links.close(new));
            }
        }
    }

    /// A socket that shall take the place of another is open, or not to be had; false where it is
    /// none of those.
    pub(super) fn on_replacement(&mut self, new: LinkKey, event: &LinkEvent) -> bool {
        let Some(bearers) = &mut self.bearers else {
            return false;
        };
        let Some(former) = bearers.replacing.remove(&new) else {
            return false;
        };
        if *event != LinkEvent::Up {
            tracing::warn!(?event, "The server cannot be reached over the new bearer");
            let why = self.links.why(new).unwrap_or(Reason::Timeout);
            self.links.close(new);
            if bearers.replacing.is_empty() && !bearers.has_moved {
                self.on_bearer(BearerEvent::Failed(why));
            } else {
                // It is this server that cannot be reached that way: it is tried again with pauses.
                let (client, link) = former;
                self.core(client, Input::Link(link, event.clone()));
            }
            return true;
        }
        bearers.has_moved = true;
        if let Some(uri) = bearers.open.get(&former).cloned() {
            bearers.open.insert(new, uri);
        }
        let (client, link) = former;
        self.core(client, Input::Link(link, LinkEvent::Replacement(new.1)));
        true
    }

    fn perform_bearers(&mut self) {
        while let Some(action) = self.bearers.as_mut().and_then(|it| it.selector.poll()) {
            match action {
                Action::Ping => self.every_client(&Input::Command(Command::Ping)),
                Action::Probe(id, timeout) => self.probe(id, timeout),
                Action::Show(id) => self.show_bearer(id),
                Action::Switch(switch) => self.switch(&switch),
            }
        }
    }

    fn probe(&mut self, id: BearerId, timeout: Duration) {
        let targets = self.targets();
        let Some(bearers) = &mut self.bearers else {
            return;
        };
        match bearers.way(id) {
            Some(way) if !targets.is_empty() => bearers.prober.start(id, way, targets, timeout),
            Some(_) | None => {
                let now = self.clock.now();
                let nothing = BearerEvent::Probed(id, Err(Reason::Untried));
                bearers.selector.handle(nothing, now);
            }
        }
    }

    /// Whom to probe for: servers that may be spoken to, else the bootstrap server.
    fn targets(&self) -> Vec<ServerUri> {
        let servers = self.clients.values().flat_map(Client::servers);
        let spoken_to = servers.filter(|server| may_be_probed(server.state));
        let mut uris: Vec<ServerUri> = spoken_to
            .filter_map(|server| server.uri.parse().ok())
            .collect();
        if uris.is_empty() {
            uris.extend(self.bearers.iter().filter_map(|it| it.bootstrap.clone()));
        }
        uris
    }

    fn show_bearer(&mut self, id: BearerId) {
        let Some(bearers) = &mut self.bearers else {
            return;
        };
        let facts = bearers.selector.facts(id);
        bearers.managed.show(&facts);
        let before = bearers.board.show(facts.clone());
        if let Some(news) = events::of_bearer(before.as_ref(), &facts) {
            self.events.tell(news);
        }
    }

    fn switch(&mut self, switch: &Switch) {
        let Some(bearers) = &mut self.bearers else {
            return;
        };
        let way = switch.to.and_then(|id| bearers.way(id));
        let to = switch.to.map(|id| bearers.name(id));
        let from = std::mem::replace(&mut bearers.used, switch.to);
        let from = from.map(|id| bearers.name(id));
        tracing::info!(from, to, why = ?switch.why, "Bearer changed");
        (self.events).tell(events::of_switch(
            from.as_deref(),
            to.as_deref(),
            switch.why,
        ));
        bearers.has_moved = false;
        self.links.set_way(way.clone());
        let pending: Vec<LinkKey> = std::mem::take(&mut bearers.replacing).into_keys().collect();
        pending.into_iter().for_each(|new| self.links.close(new));
        match way {
            Some(way) => self.move_links(&way),
            None if switch.why == Want::Cap || bearers.selector.is_offline() => self.cut_links(),
            None => {}
        }
    }

    /// A fresh socket for each session, and another try for servers without one.
    fn move_links(&mut self, way: &Way) {
        let Some(bearers) = &mut self.bearers else {
            return;
        };
        let open: Vec<(LinkKey, ServerUri)> = bearers.open.clone().into_iter().collect();
        for (former, uri) in open {
            let new = (former.0, bearers.new_link());
            bearers.replacing.insert(new, former);
            self.links.open_over(new, uri, way.clone());
        }
        self.every_client(&Input::PathUp);
    }

    /// Nothing leaves this box any more.
    fn cut_links(&mut self) {
        let open = self.bearers.iter().flat_map(|bearers| bearers.open.keys());
        for key in open.copied().collect::<Vec<_>>() {
            self.links.close(key);
            let why = LinkEvent::Down("no bearer may be used".to_owned());
            self.core(key.0, Input::Link(key.1, why));
        }
    }
}

const fn may_be_probed(state: ServerState) -> bool {
    match state {
        ServerState::Disabled | ServerState::Left => false,
        ServerState::Offline | ServerState::Registered | ServerState::Registering => true,
    }
}

/// Whether there are servers, and none of them may be spoken to.
fn is_quiet(servers: &[(Ssid, ServerState)]) -> bool {
    let mut states = servers.iter().map(|(_, state)| *state);
    !servers.is_empty() && !states.any(may_be_probed)
}

/// What a failure says of the way; nothing where somebody has answered.
fn reason_of(cause: Cause) -> Option<Reason> {
    match cause {
        Cause::Silence => Some(Reason::Timeout),
        Cause::Link => Some(Reason::Dns),
        Cause::Handshake(Closed::TimedOut) => Some(Reason::Timeout),
        Cause::Account | Cause::Handshake(_) | Cause::Inconsistent | Cause::Refused(_) => None,
    }
}

#[cfg(test)]
mod tests;
