//! One server at run time: its link, session, exchanges, registration and observations.
//!
//! Flow of one turn: something arrives ([`Server::receive`], [`Server::on_link`],
//! [`Server::answer`] …), then [`Server::settle`] carries everything on until nothing moves:
//! datagrams to the session, messages to the endpoint, requests to operations, registration steps
//! to requests, due observations to notifications.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use lamplighter_coap::{
    Delivery, Endpoint, Event as Coap, ExchangeId, Failure, NotificationId, Reliability, Request,
    RequestKey, Token,
};
use lamplighter_dtls::{Session, SessionEvent};
use lamplighter_model::{Address, Now, Path, Ssid, Stamp, tables::bundled_version};

use crate::{
    boundary::{Event, Output, Transport},
    client::ServerConfig,
    object::{self, Account, Direction, Spoken},
    observe::{AttributeStore, Defaults, Observations, Rules},
    operation::{
        links::{self, Versions},
        part,
    },
    outbox::Outbox,
    perform::{News, Shared, Turn},
    registration::{self, Phase, Purpose, Registration, Step, Terms},
    rng::Rng,
    saved::{Record, SavedRegistration},
    view::View,
};

mod cause;
mod intruders;
mod keeping;
mod leaving;
mod messages;
mod path;
mod refusal;
mod reporting;
mod requests;
mod restore;
mod securing;
mod sending;
mod silence;
mod sleep;
mod status;
mod telling;
mod urgent;
mod uri;
mod withholding;

pub use cause::Cause;
pub(crate) use cause::Trouble;
pub use intruders::Intrusions;
use keeping::Uplink;
use path::Link;
pub(crate) use path::survives_move;
pub use status::{ServerState, ServerStatus};
use telling::Telling;
pub use uri::{Scheme, ServerUri, UriError};

/// One server.
#[derive(Debug)]
pub(crate) struct Server {
    /// When the last Register or Update was sent.
    asked: Duration,
    attributes: AttributeStore,
    config: ServerConfig,
    endpoint: Endpoint,
    /// Of what is being written in pieces.
    envelope: part::Envelope,
    exchanges: BTreeMap<ExchangeId, Purpose>,
    /// Bytes of IP and UDP in front of a datagram.
    headers: u64,
    /// As people were last told.
    intrusions: Intrusions,
    /// Requests that came before the registration was complete.
    held: VecDeque<(RequestKey, Request)>,
    last_error: Option<String>,
    link: Link,
    notifications: BTreeMap<NotificationId, (Token, Reliability)>,
    observations: Observations,
    outbox: Outbox,
    pub(crate) registration: Registration,
    /// How the last run has left the server; until [`Self::start`].
    saved: Option<SavedRegistration>,
    security: securing::Security,
    session: Session,
    shown: (Phase, Stamp),
    /// Sends on request that are under way.
    tellings: Vec<Telling>,
    /// Why there is no session to be had: nothing is sent, and no link opened.
    unusable: Option<String>,
    uplink: Uplink,
    view: View,
    /// What the server observed before it registered us anew is kept until then.
    orphans_until: Option<Duration>,
    wake: sleep::Wake,
}

/// The first of many deadlines, and whose it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Earliest(pub(crate) Option<(Duration, &'static str)>);

/// Notifications whose fate is awaited.
const MAX_NOTIFICATIONS: usize = 2048;

impl Earliest {
    pub(crate) fn take(&mut self, due: Option<Duration>, who: &'static str) {
        let Some(due) = due else {
            return;
        };
        if self.0.is_none_or(|(first, _)| due < first) {
            self.0 = Some((due, who));
        }
    }
}

impl Server {
    /// `name`: of this endpoint.
    pub(crate) fn new(
        config: ServerConfig,
        name: &str,
        account: &Account,
        saved: Option<SavedRegistration>,
        seed: u64,
        now: Now,
    ) -> Self {
        let mut rng = Rng::new(seed ^ u64::from(config.ssid.0));
        let mut params = config.coap.clone();
        params.streamed = part::LARGE
            .map(|path| path.map(str::to_owned).to_vec())
            .to_vec();
        let mut endpoint = Endpoint::new(params, rng.next());
        endpoint.follow_clock(ahead(now));
        let terms = Terms {
            choice: config.version,
            identity: format!("{name} at {}", config.uri),
            lifetime: account.lifetime,
            margin: config.coap.max_transmit_wait(),
            policy: account.retry(),
            queue_mode: account.queue_mode,
            return_spread: account.registration.return_spread,
        };
        let mut registration = Registration::new(terms, rng);
        let limits = config.limits;
        let (session, unusable) = match config.security.session_over(&config.coap) {
            Ok(session) => (session, None),
            Err(why) => (Session::plain(), Some(why.to_string())),
        };
        registration.remember(saved.as_ref());
        Self {
            asked: Duration::ZERO,
            attributes: AttributeStore::new(limits.attribute_paths),
            headers: headers(&config.uri),
            config,
            endpoint,
            envelope: part::Envelope::default(),
            exchanges: BTreeMap::new(),
            intrusions: Intrusions::default(),
            held: VecDeque::new(),
            last_error: None,
            link: Link::default(),
            notifications: BTreeMap::new(),
            observations: Observations::new(limits),
            outbox: Outbox::default(),
            registration,
            saved,
            security: securing::Security::default(),
            session,
            shown: (Phase::Offline, now.stamp()),
            tellings: Vec::new(),
            unusable,
            uplink: Uplink::default(),
            orphans_until: None,
            view: View::Flat,
            wake: sleep::Wake::default(),
        }
    }

    /// Begins, or takes up what was saved. There may be no tree yet: all that can be done is to ask
    /// for a link.
    pub(crate) fn start(&mut self, shared: &mut Shared, now: Now) {
        let account = shared.core.account_of(self.config.ssid);
        let delay = account.and_then(|(_, account)| account.registration.initial_delay_s);
        let delay = Duration::from_secs(delay.unwrap_or(0).into());
        self.registration.start(self.saved.take(), delay, now);
        self.speak(shared);
        while let Some(step) = self.registration.poll() {
            if step == Step::Open {
                self.open(shared);
            }
        }
    }

    /// The account is gone: nobody waits for the end of the de-registration, and nothing is kept of
    /// it; what is stored for it only where the account comes back.
    pub(crate) fn give_up(&mut self, is_final: bool, turn: &mut Turn<'_>) {
        if is_final {
            self.discard_all(turn.shared);
            let everything = Output::Erase(self.config.ssid, vec![Path::Root]);
            turn.shared.out.push(everything);
            self.tell_losses(turn.shared);
        }
        self.forget_reporting(turn);
        self.close(turn);
        self.forget_observations(turn);
        self.remove_attributes(Address::gateway(Path::Root), turn.shared);
        let ssid = self.config.ssid;
        let mut records = vec![
            Record::Account(ssid, None),
            Record::Registration(ssid, None),
        ];
        records.extend(self.forgotten_session());
        turn.shared.out.commit_all(records);
    }

    /// 1/x/4: kept at once, so that an answer that leaves now is true after a power cut as well.
    pub(crate) fn disable(&mut self, turn: &mut Turn<'_>) {
        let Some((_, account)) = turn.shared.core.account_of(self.config.ssid) else {
            return;
        };
        self.registration.disable(account.disable_timeout, turn.now);
        while let Some(saved) = self.registration.poll_save() {
            self.perform(Step::Save(saved), turn);
        }
    }

    /// The agent ends.
    pub(crate) fn stop(&mut self, now: Now) {
        self.security.is_ending = true;
        self.registration.stop(now);
    }

    /// The server has written something into its account.
    pub(crate) fn obey(&mut self, account: &Account, now: Now) {
        let wish = registration::Wish {
            lifetime: account.lifetime,
            policy: account.retry(),
            queue_mode: account.queue_mode,
        };
        self.registration.obey(wish, now);
    }

    pub(crate) const fn config(&self) -> &ServerConfig {
        &self.config
    }

    pub(crate) const fn is_registered(&self) -> bool {
        matches!(self.registration.phase(), Phase::Registered)
    }

    pub(crate) const fn ssid(&self) -> Ssid {
        self.config.ssid
    }

    pub(crate) fn handle_timeout(&mut self, turn: &Turn<'_>) {
        let now = turn.now;
        self.session.handle_timeout(now.mono);
        self.endpoint.handle_timeout(now.mono);
        self.registration.handle_timeout(now);
        if self
            .observations
            .timeout()
            .is_some_and(|due| due <= now.mono)
        {
            let rules = Self::rules(&self.attributes, self.config.ssid, turn);
            self.observations.handle_timeout(rules);
        }
        self.fall_asleep(now.mono);
    }

    pub(crate) fn timeouts(&self, next: &mut Earliest) {
        if let Some((due, who)) = self.registration.timeout() {
            next.take(Some(due), who);
        }
        next.take(self.endpoint.poll_timeout(), "retransmission");
        next.take(self.session.poll_timeout(), "session");
        next.take(self.observations.timeout(), "notification");
        next.take(self.uplink_timeout(), "stored samples");
        next.take(self.reading_timeout(), "how far the queue was read");
        next.take(self.orphans_until, "end of former observations");
        next.take(self.sleep_at(), "sleep");
        next.take(self.link.in_vain.then_some(Duration::ZERO), "no session");
    }

    /// Carries on what this turn has begun, until nothing moves.
    pub(crate) fn settle(&mut self, turn: &mut Turn<'_>) {
        self.end_orphans(turn);
        self.doubt_session(turn);
        self.go_round_hole(turn);
        self.notice_loss(turn.now.mono);
        self.tell_owed(turn);
        if std::mem::take(&mut self.link.in_vain)
            && let Some(why) = self.unusable.clone()
        {
            let trouble = Cause::Account.told(why);
            self.registration.disconnected(trouble, turn.now);
        }
        // What is to leave goes first: a Close may follow. Only a Disable is kept before its answer
        // leaves.
        while !turn.shared.has_disable() {
            if let Some(event) = self.session.poll() {
                self.on_session(event, turn);
            } else if let Some(datagram) = self.endpoint.poll_transmit() {
                self.session.send(datagram, turn.now.mono);
            } else if let Some(event) = self.endpoint.poll_event() {
                self.on_event(event, turn);
            } else if let Some(step) = self.registration.poll() {
                self.perform(step, turn);
            } else if !self.notify_next(turn) {
                break;
            }
        }
        self.tell_silence(turn.shared);
        self.tell_losses(turn.shared);
        self.tell_intruders(turn.shared);
        self.journal_reading(turn);
        let phase = self.registration.phase();
        if self.shown.0 != phase {
            self.shown = (phase, turn.now.stamp());
            let is_disabled = phase == Phase::Disabled;
            (turn.shared.core).set_disabled(self.config.ssid, is_disabled);
        }
    }

    /// The list of objects for Register.
    pub(crate) fn links(&self, turn: &Turn<'_>) -> Vec<crate::format::link::Link> {
        self.links_in(turn.catalogue())
    }

    pub(crate) fn links_in(
        &self,
        catalogue: crate::catalogue::Catalogue<'_>,
    ) -> Vec<crate::format::link::Link> {
        let enabler = self.registration.version();
        links::registration(
            catalogue,
            (self.view, Some(self.ssid())),
            Versions {
                configured: &self.config.object_versions,
                enabler,
            },
            self.registration.list(),
        )
    }

    fn on_session(&mut self, event: SessionEvent, turn: &mut Turn<'_>) {
        match event {
            SessionEvent::Application(message) => {
                self.hear(turn.now.mono);
                self.endpoint.receive(&message, turn.now.mono);
            }
            SessionEvent::Closed(why) => self.session_closed(why, turn),
            SessionEvent::Established(how) => self.established(how, turn),
            SessionEvent::Transmit(datagram) => {
                self.stir(turn.now.mono);
                if let Some(link) = self.link.id {
                    let (length, headers) = (datagram.len(), self.headers);
                    let shared = &mut turn.shared;
                    shared
                        .core
                        .count(Direction::Sent, length, headers, turn.now);
                    shared.out.push(Output::Transmit(link, datagram));
                }
            }
        }
    }

    fn on_event(&mut self, event: Coap, turn: &mut Turn<'_>) {
        match event {
            Coap::Delivered(id, delivery) => self.on_delivered(id, delivery, turn),
            Coap::Failed(id, _)
                if self.send_unanswered(id) || self.telling_unanswered(id, turn) =>
            {
                self.lose_trust(turn);
            }
            Coap::Failed(id, failure) => {
                if let Some(purpose) = self.exchanges.remove(&id) {
                    let reason = self.failure_text(failure);
                    self.last_error = Some(reason.clone());
                    self.distrust(turn);
                    self.session.distrust();
                    let trouble = Cause::Silence.told(reason);
                    self.registration.unanswered(purpose, trouble, turn.now);
                }
            }
            Coap::Notification(id, _) => self.endpoint.cancel(id),
            Coap::Request(key, request) => self.on_request(key, request, turn),
            Coap::Response(id, response) => {
                let reply: registration::Reply = response.into();
                if let Some(purpose) = self.exchanges.remove(&id) {
                    self.end_silence(turn.shared);
                    self.request_answered(reply.code.is_success(), turn);
                    self.registration.replied(purpose, reply, turn.now);
                } else if !self.send_answered(id, &reply, turn) {
                    self.telling_answered(id, &reply, turn);
                }
            }
        }
    }

    fn perform(&mut self, step: Step, turn: &mut Turn<'_>) {
        let ssid = self.config.ssid;
        match step {
            Step::Close => self.close(turn),
            Step::Deregister { location } => {
                self.send(Purpose::Deregister, messages::deregister(location), turn)
            }
            Step::Failed { trouble, retry_in } => {
                let Trouble { cause, words } = trouble;
                self.last_error = Some(words.clone());
                turn.shared
                    .out
                    .push(Output::Event(Event::RegistrationFailed {
                        cause,
                        ssid,
                        reason: words,
                        retry_in,
                    }));
            }
            Step::GaveUp => turn.shared.news.push(News::GaveUp(ssid)),
            Step::ListShortened => turn
                .shared
                .out
                .push(Output::Event(Event::ListShortened(ssid))),
            Step::Left => turn
                .shared
                .out
                .push(Output::Event(Event::Deregistered(ssid))),
            Step::Open => self.open(turn.shared),
            Step::Register => {
                self.speak(turn.shared);
                let parameters = messages::Parameters {
                    binding: self.binding(turn),
                    enabler: self.registration.version(),
                    endpoint: &turn.shared.endpoint,
                    lifetime: self.registration.lifetime(),
                    queue_mode: self.registration.queue_mode(),
                    vendor: &self.config.register_parameters,
                };
                let request = messages::register(&parameters, &self.links(turn));
                self.send(Purpose::Register, request, turn);
            }
            Step::Registered { anew } => self.on_registered(anew, turn),
            // A restart must not break the silence that a server has asked for.
            Step::Save(saved @ SavedRegistration::Disabled { .. }) => {
                turn.shared
                    .out
                    .commit(Record::Registration(ssid, Some(saved)));
            }
            Step::Save(saved) => turn
                .shared
                .out
                .push(Output::Journal(Record::Registration(ssid, Some(saved)))),
            Step::Update {
                location,
                binding,
                lifetime,
                objects,
            } => {
                let links = objects.then(|| self.links(turn));
                let lifetime = lifetime.then(|| self.registration.lifetime());
                let binding = binding.then(|| self.binding(turn));
                let request = messages::update(location, lifetime, binding, links.as_deref());
                self.send(Purpose::Update, request, turn);
            }
        }
    }

    /// Object 1 is shown in the version that is spoken.
    fn speak(&self, shared: &mut Shared) {
        let enabler = self.registration.version();
        let configured = self.config.object_versions.get(&object::SERVER);
        let bundled = || bundled_version(enabler, object::SERVER);
        let spoken = Spoken {
            enabler,
            object: configured.copied().unwrap_or_else(bundled),
        };
        shared.core.speak(self.config.ssid, spoken);
    }

    fn binding(&self, turn: &Turn<'_>) -> &'static str {
        let account = turn.shared.core.account_of(self.config.ssid);
        account.map_or(object::server::BINDING, |(_, account)| account.binding())
    }

    fn send(&mut self, purpose: Purpose, request: Request, turn: &Turn<'_>) {
        self.abandon_exchanges();
        self.mark_request(turn.now.mono);
        // Of what was sent before.
        self.link.refused = false;
        let id = self.endpoint.request(request, turn.now.mono);
        self.asked = turn.now.mono;
        self.await_answer();
        self.exchanges.insert(id, purpose);
    }

    /// Where nothing can be said the attempt fails at once, and comes again after the usual pause.
    fn open(&mut self, shared: &mut Shared) {
        if self.unusable.is_some() {
            self.link.in_vain = true;
            return;
        }
        let id = shared.new_link();
        self.link = Link::new(id);
        shared
            .out
            .push(Output::Open(id, self.config.uri.clone(), Transport::Udp));
    }

    fn close(&mut self, turn: &mut Turn<'_>) {
        self.abandon_exchanges();
        self.distrust(turn);
        for (key, _) in std::mem::take(&mut self.held) {
            self.endpoint.ignore(key);
        }
        self.leave_session(turn);
        let Link { former, id, .. } = std::mem::take(&mut self.link);
        for link in former.into_iter().chain(id) {
            turn.shared.out.push(Output::Close(link));
        }
    }

    fn on_registered(&mut self, anew: bool, turn: &mut Turn<'_>) {
        let (ssid, version) = (self.config.ssid, self.registration.version().as_str());
        self.last_error = None;
        turn.shared
            .news
            .extend([News::Reached(self.asked), News::Taken(ssid)]);
        if let Some(former) = self.link.former.take() {
            turn.shared.out.push(Output::Close(former));
        }
        self.trust(anew, turn);
        if anew {
            self.forget_observations(turn);
            turn.shared
                .out
                .push(Output::Event(Event::Registered { ssid, version }));
        } else {
            turn.shared.out.push(Output::Event(Event::Updated(ssid)));
        }
        for (key, request) in std::mem::take(&mut self.held) {
            self.operate(key, &request, turn);
        }
    }

    fn on_delivered(&mut self, id: NotificationId, delivery: Delivery, turn: &mut Turn<'_>) {
        let is_acknowledged = delivery == Delivery::Acknowledged;
        let pack = self.pack_delivered(id, is_acknowledged, turn);
        let told = self.notifications.remove(&id).map(|(token, _)| token);
        let Some(token) = pack.or(told) else {
            return;
        };
        match delivery {
            Delivery::Acknowledged => {
                self.notification_acknowledged(id, turn);
                self.delivered(token, true, turn);
            }
            Delivery::Reset => {
                self.forget_mark(id);
                self.reset(token, turn);
            }
            Delivery::TimedOut => {
                self.delivered(token, false, turn);
                self.lose_trust(turn);
            }
        }
    }

    fn abandon_exchanges(&mut self) {
        for id in std::mem::take(&mut self.exchanges).into_keys() {
            self.endpoint.cancel(id);
        }
    }

    fn failure_text(&self, failure: Failure) -> String {
        match failure {
            Failure::BadResponse => "the server's answer cannot be understood".to_owned(),
            Failure::Reset => "the server rejected the message".to_owned(),
            Failure::TimedOut if self.link.refused => {
                format!(
                    "no answer; the host of {} says that nobody listens there",
                    self.config.uri
                )
            }
            Failure::TimedOut => format!("no answer from {}", self.config.uri),
            Failure::TooLarge => "the answer is larger than allowed".to_owned(),
        }
    }

    fn rules<'a>(attributes: &'a AttributeStore, ssid: Ssid, turn: &'a Turn<'_>) -> Rules<'a> {
        let defaults =
            turn.shared
                .core
                .account_of(ssid)
                .map_or_else(Defaults::default, |(_, account)| Defaults {
                    con: account.confirms,
                    pmax: account.pmax,
                    pmin: account.pmin,
                });
        Rules {
            attributes,
            catalogue: turn.catalogue(),
            defaults,
            ssid,
        }
    }
}

/// Of IPv4 where a name does not say which.
fn headers(uri: &ServerUri) -> u64 {
    let ip = if uri.host.contains(':') { 40 } else { 20 };
    ip + 8
}

/// How far the date, in seconds since 1970, is ahead of the monotonic clock; nothing while it is
/// unknown. It goes on over a restart.
fn ahead(now: Now) -> Duration {
    let date = now.unix.and_then(|unix| u64::try_from(unix.0).ok());
    date.map_or(Duration::ZERO, |ms| {
        Duration::from_millis(ms).saturating_sub(now.mono)
    })
}
