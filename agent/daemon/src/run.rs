//! The one event loop. It waits for one thing, tells the part that owns it, and performs what comes
//! out; it never waits for a device, a disk or a name server.
//!
//! 1. Something happens: datagrams, an adapter's event, a question of a person, the store's report,
//!    a timer, a signal.
//! 2. Core and site are drained until neither has anything left ([`Agent::drain`]). What the core
//!    wants of devices goes through the site; what adapters report goes through the site.
//! 3. Outputs behind a commit wait for the store; everything else goes on.

mod bootstrap;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use lamplighter_adapters::supervise::Handles;
use lamplighter_lwm2m::{
    bootstrap::BootstrapState,
    boundary::{
        ClientId, Command, Event, HostRequest, Input, LinkEvent, LocalAnswer, Output, RequestId,
    },
    client::Client,
    reject::Reject,
    server::ServerState,
    tree::Tree,
};
use lamplighter_model::{
    InstancePath, ObjectId, Quality, ResourcePath, Sample, Ssid,
    device::{
        Action, AdapterEvent, AdapterId, AdapterRequest, DeviceEvent, Fault, LinkState, OpId,
    },
};
use lamplighter_site::{
    Site,
    boundary::{SiteInput, SiteOutput},
    companions::Companions,
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    ask::Ask,
    bearer::{BearerEvent, dbus::ManagerEvent},
    clock::{self, Clock},
    events::{self, Class, EventLog, News},
    history::Recorder,
    link::{LinkKey, Links},
    status::Status,
    store::{Store, Stored},
    systemd,
};

mod asks;
mod bearers;
mod bell;
mod managers;
mod reload;
mod telling;
mod waits;

pub(crate) use bearers::{Bearers, Commanded};
pub use reload::Check;
pub(crate) use reload::LAST_GOOD_RUNS;
pub use waits::Signals;
use waits::Waits;

/// How long the agent waits for servers to answer its de-registrations when it is stopped.
const FAREWELL: Duration = Duration::from_secs(5);

/// The endpoint that is the box itself; people speak to it.
pub const THE_BOX: ClientId = ClientId(0);

/// How long the box stays when it was told to restart: where the answer got lost the request comes
/// again by then, and is answered from memory instead of obeyed twice. // RFC 7252, 4.2 and 4.8
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// What is to be done and waited longer for the disk is not begun any more, where somebody waits for
/// it: the adapter takes up to 3.5 s, and the core answers after 4 s.
const DISK_PATIENCE: Duration = Duration::from_millis(500);

/// How long the first Register waits for adapters to say what they have.
const DECLARATIONS: Duration = Duration::from_millis(500);

/// Error codes of 3/0/11.
const GPS_FAILURE: u8 = 3;
const PERIPHERAL_MALFUNCTION: u8 = 8;

/// Where the box is.
const LOCATION: ObjectId = ObjectId(6);
const LOCATION_TIME: ResourcePath = InstancePath::new(6, 0).resource(5);

/// What the loop owns.
#[derive(Debug)]
pub struct Agent {
    /// What people shall know of the accounts of the configuration, by their tables.
    pub account_warnings: BTreeMap<String, String>,
    pub adapters: Handles,
    pub asks: mpsc::Receiver<Ask>,
    /// `None`: the kernel routes.
    pub bearers: Option<Bearers>,
    /// Before a reload.
    pub check: Check,
    /// The endpoints of this box over one tree; the first is the box itself.
    pub clients: BTreeMap<ClientId, Client>,
    pub clock: Clock,
    pub clock_watch: clock::Watch,
    pub companions: Companions,
    pub events: EventLog,
    pub history: Recorder,
    pub links: Links,
    pub names: events::Names,
    pub server_names: BTreeMap<String, (ClientId, Ssid)>,
    /// Those of the life before; `None`: nobody has listened yet.
    pub signals: Option<Signals>,
    pub site: Site,
    pub status: Status,
    pub store: Store,
    pub tree: Tree,
    pub waiting: Waiting,
}

/// What is not finished yet.
#[derive(Debug, Default)]
pub struct Waiting {
    /// What people were last told of accounts.
    account_warnings: BTreeMap<String, String>,
    answers: BTreeMap<RequestId, oneshot::Sender<Result<LocalAnswer, Reject>>>,
    /// Outputs of the site behind each save of its state that is on its way, the oldest first, and since
    /// when they wait.
    behind_saves: VecDeque<VecDeque<(Duration, SiteOutput)>>,
    /// Adapters whose queue was full: told to the site after its outputs are drained.
    bounced: VecDeque<(AdapterId, AdapterEvent)>,
    /// Why and when the loop ends.
    ends: Option<(Ended, Duration)>,
    /// What sockets reported while sending.
    links: VecDeque<(LinkKey, LinkEvent)>,
    /// Who asked for a maintenance lock, by the number at the site.
    locks: BTreeMap<OpId, oneshot::Sender<Result<(), Fault>>>,
    next_op: u64,
    next_request: u64,
    /// Requests at the site, by its number, and whose they are.
    ops: BTreeMap<OpId, (ClientId, OpId)>,
    /// What people were last told of the bootstrap server.
    bootstrap: Option<BootstrapState>,
    /// What people and the site were last told of the servers.
    servers: Vec<(Ssid, ServerState)>,
    /// Servers that do not expect to hear us, as people were told.
    asleep: BTreeSet<Ssid>,
    /// The sessions were told that only what is urgent may leave.
    is_urgent_only: bool,
    /// Whether the site was told that a server can be reached.
    contact: Option<bool>,
    /// Devices that are given up.
    offline: BTreeSet<AdapterId>,
    /// More or less is stored for a server than people were told.
    is_queue_changed: bool,
    /// What the service manager was last told of servers and devices.
    standing: Option<telling::Standing>,
    stopped: BTreeSet<ClientId>,
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// A server or a person asked for a factory reset.
    FactoryReset,
    /// A server or a person asked for a reboot.
    Reboot,
    /// The configuration is to be taken up anew; servers are not left for it.
    Reload,
    /// By a signal.
    Stopped,
}

/// What is left when the loop has ended.
#[derive(Debug)]
pub struct Left {
    pub ended: Ended,
    /// The ways to the adapters.
    pub adapters: Handles,
    /// What holds after a reload.
    pub(crate) commanded: Commanded,
    /// Listened to until the next life does: what comes meanwhile is not lost.
    pub signals: Signals,
}

/// The one thing that happened.
enum Happening {
    Adapter(AdapterId, Option<AdapterEvent>),
    Ask(Ask),
    Bearer(BearerEvent),
    Link(LinkKey, LinkEvent),
    Manager(ManagerEvent),
    Readable(LinkKey),
    Signal(&'static str),
    Stored(Stored),
    Timer,
}

impl Agent {
    /// Runs until a signal, a reload, a reboot or a factory reset; but for a reload it then
    /// de-registers everywhere.
    pub async fn run(mut self) -> std::io::Result<Left> {
        let mut waits = Waits::new(self.signals.take())?;
        self.watch_clock();
        self.hear_declarations().await;
        self.waiting.is_queue_changed = true;
        self.know_servers();
        self.drain();
        systemd::ready();
        let ended = loop {
            self.tell_manager();
            let mut due = self.handle_due();
            if let Some((ended, at)) = self.waiting.ends {
                if at <= clock::mono() {
                    break ended;
                }
                due = due.min(at);
            }
            let happening = self.next(due, &mut waits).await;
            self.on(happening);
            self.drain();
        };
        match ended {
            Ended::FactoryReset | Ended::Reboot | Ended::Stopped => {
                self.farewell(&mut waits).await;
            }
            Ended::Reload => self.hear_managers(),
        }
        self.events.put_away();
        self.store.remember(self.history.put_away(self.clock.now()));
        self.store.close();
        let mut commanded = Commanded::default();
        if let Some(bearers) = &mut self.bearers {
            bearers.put_away(self.clock.now()).await;
            commanded = bearers.commanded();
        }
        Ok(Left {
            ended,
            adapters: self.adapters,
            commanded,
            signals: waits.signals,
        })
    }

    /// Adapters say at once what they have. Waiting for it a moment makes the first Register whole,
    /// instead of one that is followed by an Update.
    async fn hear_declarations(&mut self) {
        let mut silent = self.adapters.len();
        let heard = async {
            while silent > 0 {
                let (id, event) = self.adapters.recv().await;
                silent -= usize::from(matches!(event, None | Some(AdapterEvent::Declared(_))));
                self.on(Happening::Adapter(id, event));
                self.drain_site();
            }
        };
        if tokio::time::timeout(DECLARATIONS, heard).await.is_err() {
            tracing::warn!(silent, "Adapters have not said what they have");
        }
    }

    /// Waits for what happens next, until `due` at most.
    async fn next(&mut self, due: Duration, waits: &mut Waits) -> Happening {
        waits.wake_at(due);
        poll_fn(|context| self.poll_next(waits, context)).await
    }

    fn poll_next(&mut self, waits: &mut Waits, context: &mut Context<'_>) -> Poll<Happening> {
        waits.are_links_first = !waits.are_links_first;
        let are_links_first = waits.are_links_first;
        if are_links_first && let Poll::Ready(happening) = self.poll_links(context) {
            return Poll::Ready(happening);
        }
        let other = self.poll_others(waits, context);
        if are_links_first || other.is_ready() {
            return other;
        }
        self.poll_links(context)
    }

    fn poll_links(&mut self, context: &mut Context<'_>) -> Poll<Happening> {
        let readable = self.links.poll_readable(context);
        readable.map(|(key, found)| match found {
            Ok(()) => Happening::Readable(key),
            Err(event) => Happening::Link(key, event),
        })
    }

    /// What there is least of goes first.
    fn poll_others(&mut self, waits: &mut Waits, context: &Context<'_>) -> Poll<Happening> {
        let Waits { signals, timer, .. } = waits;
        waits.bell.poll(context, |context| {
            if let Poll::Ready(name) = signals.poll_recv(context) {
                return Poll::Ready(Happening::Signal(name));
            }
            if let Poll::Ready((key, event)) = self.links.poll_opened(context) {
                return Poll::Ready(Happening::Link(key, event));
            }
            if let Some(bearers) = &mut self.bearers
                && let Poll::Ready(event) = bearers.poll(context)
            {
                return Poll::Ready(Happening::Bearer(event));
            }
            if let Some(bearers) = &mut self.bearers
                && let Poll::Ready(event) = bearers.poll_managers(context)
            {
                return Poll::Ready(Happening::Manager(event));
            }
            if let Poll::Ready(stored) = self.store.poll_stored(context) {
                return Poll::Ready(Happening::Stored(stored));
            }
            if let Poll::Ready(Some(ask)) = self.asks.poll_recv(context) {
                return Poll::Ready(Happening::Ask(ask));
            }
            if let Poll::Ready((id, event)) = self.adapters.poll_recv(context) {
                return Poll::Ready(Happening::Adapter(id, event));
            }
            timer.poll_fired(context).map(|()| Happening::Timer)
        })
    }

    /// Does what is due, even where something else always happens first, and says when to come
    /// again.
    fn handle_due(&mut self) -> Duration {
        let due = self.deadline();
        let mono = clock::mono();
        if mono >= self.clock_watch.due() {
            self.watch_clock();
        } else if due > mono {
            return due;
        }
        self.on(Happening::Timer);
        self.drain();
        self.deadline()
    }

    fn watch_clock(&mut self) {
        let now = self.clock.now();
        if let Some(trust) = self.clock_watch.look(now) {
            self.status.on_clock(trust);
            self.every_client(&Input::Clock(trust));
        }
        let clock = self.clock_watch.of_site();
        self.site.handle(SiteInput::Clock(clock), now);
    }

    /// When core or site want to be called again.
    fn deadline(&self) -> Duration {
        let mut next = Duration::MAX;
        for client in self.clients.values() {
            next = next.min(client.poll_timeout().map_or(Duration::MAX, |(at, _)| at));
        }
        next = next.min(
            self.bearers
                .as_ref()
                .map_or(Duration::MAX, Bearers::deadline),
        );
        next.min(self.site.poll_timeout().map_or(Duration::MAX, |(at, _)| at))
    }

    fn on(&mut self, happening: Happening) {
        match happening {
            Happening::Adapter(id, Some(event)) => self.on_adapter(id, event),
            Happening::Adapter(id, None) => {
                let gone =
                    AdapterEvent::Link(LinkState::Offline, "the adapter has stopped".to_owned());
                self.on_adapter(id, gone);
            }
            Happening::Ask(ask) => self.on_ask(ask),
            Happening::Bearer(event) => self.on_bearer(event),
            Happening::Link(key, event) => self.on_link(key, event),
            Happening::Manager(event) => self.on_manager(event),
            Happening::Readable(key) => self.on_readable(key),
            // Who is refused reads why in the log, the events and the status.
            Happening::Signal("SIGHUP") => drop(self.reload(None)),
            Happening::Signal(name) => {
                tracing::info!(name, "Stopping");
                systemd::stopping();
                let news = News::new(Class::System, "stopping");
                self.events.tell(news.text(name));
                self.waiting.ends = Some((Ended::Stopped, Duration::ZERO));
            }
            Happening::Stored(stored) => self.on_stored(stored),
            Happening::Timer => {
                self.every_client(&Input::Timeout);
                self.site.handle(SiteInput::Timeout, self.clock.now());
                self.time_bearers();
            }
        }
    }

    fn on_link(&mut self, key: LinkKey, event: LinkEvent) {
        if self.on_replacement(key, &event) {
            return;
        }
        let (client, link) = key;
        self.core(client, Input::Link(link, event));
    }

    /// A readable socket is drained before the loop waits again.
    fn on_readable(&mut self, key: LinkKey) {
        let (client, link) = key;
        for _ in 0..Links::burst() {
            match self.links.receive(key) {
                Some(Ok(datagram)) => {
                    self.core(client, Input::Received(link, datagram));
                    self.perform();
                }
                Some(Err(event)) => return self.on_link(key, event),
                None => return,
            }
        }
    }

    fn on_adapter(&mut self, id: AdapterId, event: AdapterEvent) {
        let now = self.clock.now();
        if let AdapterEvent::Link(state, words) = &event {
            self.note_offline(id, *state);
            // Other words for the same state are no news to an operator.
            match self.status.on_link(id, *state, words, now) {
                Some(device) => {
                    tracing::info!(device, ?state, words, "Device link changed");
                    self.events.tell(events::of_link(&device, *state, words));
                }
                None => tracing::debug!(adapter = id.0, ?state, words, "Device link explained"),
            }
        }
        if let AdapterEvent::Changed(samples) = &event {
            self.ask_satellites(samples);
        }
        if let AdapterEvent::Note(note) = &event {
            let device = self.status.device_name(id);
            self.events.tell(events::of_note(&device, note));
        }
        self.site.handle(SiteInput::Adapter(id, event), now);
    }

    /// A receiver that tells the position tells the date too (6/0/5).
    fn ask_satellites(&mut self, samples: &[Sample]) {
        let is_date = |sample: &&Sample| {
            sample.address.path == LOCATION_TIME && sample.quality == Quality::Good
        };
        let told = samples.iter().find(is_date);
        if let Some((date, at)) = told.and_then(|sample| Some((sample.source_time?, sample.at))) {
            self.clock_watch.on_gnss(date, at);
        }
    }

    /// A device that is given up is a malfunction of the box's periphery (3/0/11); where it tells the
    /// position, it is that of the GPS too.
    fn note_offline(&mut self, id: AdapterId, state: LinkState) {
        let before = self.device_faults();
        if state == LinkState::Offline {
            self.waiting.offline.insert(id);
        } else {
            self.waiting.offline.remove(&id);
        }
        for (after, before) in self.device_faults().into_iter().zip(before) {
            if after != before {
                let (code, present) = after;
                self.device_error(code, present);
            }
        }
    }

    fn device_faults(&self) -> [(u8, bool); 2] {
        let mut offline = self.waiting.offline.iter();
        let is_lost = offline.any(|id| self.status.tells(*id, LOCATION));
        [
            (GPS_FAILURE, is_lost),
            (PERIPHERAL_MALFUNCTION, !self.waiting.offline.is_empty()),
        ]
    }

    fn device_error(&mut self, code: u8, present: bool) {
        self.every_client(&Input::Command(Command::DeviceError { code, present }));
    }

    fn on_stored(&mut self, stored: Stored) {
        let now = self.clock.now();
        match stored {
            Stored::Committed(client, id) => self.core(client, Input::Committed(id)),
            Stored::Dropped {
                client,
                ssid,
                first,
                count,
            } => {
                tracing::warn!(%ssid, count, "Stored samples were dropped");
                self.events.tell(self.names.of_dropped(ssid, count));
                self.waiting.is_queue_changed = true;
                self.core(client, Input::KeptDropped(ssid, first, count));
            }
            Stored::Erased(client, ssid, count) => {
                self.waiting.is_queue_changed = true;
                self.core(client, Input::KeptErased(ssid, count));
            }
            Stored::Kept(client, ssid, kept) => self.core(client, Input::Kept(ssid, kept)),
            Stored::SiteSaved => {
                let behind = self.waiting.behind_saves.pop_front();
                for (since, output) in behind.into_iter().flatten() {
                    self.release(output, since);
                }
            }
            Stored::Trouble(Some(words)) => {
                let text = format!("the state directory cannot be written: {words}");
                self.status.problem("store", &text, now);
                let news = News::new(Class::System, "store_fails");
                self.events.tell(news.text(words));
            }
            Stored::Trouble(None) => {
                self.status.solved("store");
                self.events.tell(News::new(Class::System, "store_works"));
            }
        }
    }

    fn core(&mut self, id: ClientId, input: Input) {
        let now = self.clock.now();
        if let Some(client) = self.clients.get_mut(&id) {
            client.handle(input, &mut self.tree, now);
        }
    }

    fn every_client(&mut self, input: &Input) {
        let now = self.clock.now();
        for client in self.clients.values_mut() {
            client.handle(input.clone(), &mut self.tree, now);
        }
    }

    /// Performs everything that core and site want, until neither wants more, and tells people what
    /// has become of it.
    fn drain(&mut self) {
        self.perform();
        while self.tell_states() {
            self.perform();
        }
        self.tell_bearers();
        self.tell_queues();
        self.tell_sleep();
        self.tell_bootstrap();
    }

    /// A client behind a commit has nothing to say until that is on the disk; the others go on.
    fn perform(&mut self) {
        loop {
            self.drain_site();
            if let Some((id, output)) = self.poll_clients() {
                self.perform_core(id, output);
            } else if let Some((key, event)) = self.waiting.links.pop_front() {
                self.on_link(key, event);
            } else {
                return;
            }
        }
    }

    fn poll_clients(&mut self) -> Option<(ClientId, Output)> {
        let mut clients = self.clients.iter_mut();
        clients.find_map(|(id, client)| Some((*id, client.poll()?)))
    }

    fn drain_site(&mut self) {
        loop {
            if let Some(output) = self.site.poll() {
                self.perform_site(output);
            } else if let Some((id, event)) = self.waiting.bounced.pop_front() {
                self.site
                    .handle(SiteInput::Adapter(id, event), self.clock.now());
            } else {
                return;
            }
        }
    }

    fn perform_core(&mut self, id: ClientId, output: Output) {
        match output {
            Output::Answer(request, answer) => {
                if let Some(reply) = self.waiting.answers.remove(&request) {
                    let _ = reply.send(answer);
                }
            }
            Output::Close(link) => {
                self.note_link((id, link), None);
                self.links.close((id, link));
            }
            Output::Commit(commit, records) => self.store.commit(id, commit, records),
            Output::Device(op, request) => {
                let ours = OpId(self.waiting.next_op);
                self.waiting.next_op += 1;
                self.waiting.ops.insert(ours, (id, op));
                let now = self.clock.now();
                match self.companions.on_request(ours, request) {
                    Ok(request) => self.site.handle(SiteInput::Request(ours, request), now),
                    Err(answer) => self.tell_clients(answer),
                }
            }
            Output::Erase(ssid, paths) => {
                self.waiting.is_queue_changed = true;
                self.store.erase(id, ssid, paths);
            }
            Output::Event(event) => self.on_event(id, &event),
            Output::Fetch(ssid, from, limit) => self.store.fetch(id, ssid, from, limit),
            Output::Forget(ssid, up_to) => {
                self.waiting.is_queue_changed = true;
                self.store.forget(id, ssid, up_to);
            }
            Output::Host(HostRequest::FactoryReset) => {
                self.end_soon(Ended::FactoryReset, "factory_reset");
            }
            Output::Host(HostRequest::Reboot) => {
                self.end_soon(Ended::Reboot, "reboot");
            }
            Output::Keep(ssid, samples) => {
                self.waiting.is_queue_changed = true;
                self.store.keep(id, ssid, samples);
            }
            Output::Journal(record) => self.store.journal(id, record),
            Output::Open(link, uri, _) => {
                self.note_link((id, link), Some(&uri));
                self.links.open((id, link), uri);
            }
            Output::Transmit(link, datagram) => {
                let event = self.links.transmit((id, link), &datagram);
                let noticed = event.map(|event| ((id, link), event));
                self.waiting.links.extend(noticed);
            }
        }
    }

    /// The first who asks decides; a reload is no reason to forget what else was promised.
    fn end_soon(&mut self, ended: Ended, word: &'static str) {
        let is_first = self
            .waiting
            .ends
            .is_none_or(|(other, _)| other == Ended::Reload);
        if is_first && self.waiting.ends.map(|(other, _)| other) != Some(ended) {
            self.events.tell(News::new(Class::System, word));
            self.waiting.ends = Some((ended, self.clock.now().mono + LAST_ANSWERS));
        }
    }

    fn perform_site(&mut self, output: SiteOutput) {
        match self.waiting.behind_saves.back_mut() {
            Some(behind) if waits_for_save(&output) => {
                behind.push_back((self.clock.now().mono, output));
            }
            Some(_) | None => self.perform_site_now(output),
        }
    }

    /// Performs what has waited for the disk; what comes too late for that is refused.
    fn release(&mut self, output: SiteOutput, since: Duration) {
        let now = self.clock.now();
        let is_late = since + DISK_PATIENCE <= now.mono;
        match output {
            SiteOutput::Adapter(id, AdapterRequest { op, .. })
                if is_late && !self.site.may_be_late(op, now) =>
            {
                self.waiting.bounced.push_back((id, done(op, Fault::Busy)));
            }
            SiteOutput::Adapter(..)
            | SiteOutput::Core(_)
            | SiteOutput::Event(_)
            | SiteOutput::Save(_) => self.perform_site_now(output),
        }
    }

    fn perform_site_now(&mut self, output: SiteOutput) {
        match output {
            SiteOutput::Adapter(id, request) => self.hand_to(id, request),
            SiteOutput::Core(event) => {
                // People see the quality and the unit of a value with it.
                self.show(&event);
                let event = self.companions.on_event(event);
                self.tell_clients(event);
            }
            SiteOutput::Event(event) => {
                self.status.on_site_event(&event, self.clock.now());
                self.events.tell(self.names.of_site(&event));
            }
            SiteOutput::Save(state) => {
                // Also while another is on its way: what waits for the disk goes there together.
                self.waiting.behind_saves.push_back(VecDeque::new());
                self.store.save_site(state);
            }
        }
    }

    /// A full queue comes back as a fault, at once.
    fn hand_to(&mut self, id: AdapterId, request: AdapterRequest) {
        let op = request.op;
        if let Err(fault) = self.adapters.try_send(id, request) {
            self.waiting.bounced.push_back((id, done(op, fault)));
        }
    }

    /// What is done goes to the client that asked, everything else to all of them.
    fn tell_clients(&mut self, event: DeviceEvent) {
        let DeviceEvent::Done(ours, result) = event else {
            return self.every_client(&Input::Device(event));
        };
        if let Some(reply) = self.waiting.locks.remove(&ours) {
            // Nobody may be waiting any more.
            let _ = reply.send(result.map(|_| ()));
        } else if let Some((id, op)) = self.waiting.ops.remove(&ours) {
            self.core(id, Input::Device(DeviceEvent::Done(op, result)));
        }
    }

    fn show(&mut self, event: &DeviceEvent) {
        match event {
            DeviceEvent::Changed(samples) => self.show_samples(samples),
            DeviceEvent::Declared(declared) => self.status.on_removed(&declared.removed),
            DeviceEvent::Done(_, Ok(answer)) => self.show_samples(&answer.samples),
            DeviceEvent::Done(_, Err(_)) => {}
        }
    }

    fn show_samples(&mut self, samples: &[Sample]) {
        self.status.on_samples(samples);
        let remembered = self.history.take(samples, self.clock.now());
        if !remembered.is_empty() {
            self.store.remember(remembered);
        }
    }

    fn on_event(&mut self, id: ClientId, event: &Event) {
        let now = self.clock.now();
        telling::log(event);
        self.status.on_event(event, now);
        if let Some(news) = self.names.of_core(event) {
            self.events.tell(news);
        }
        self.on_server_event(event);
        if let Event::Bootstrap(event) = event {
            self.on_bootstrap(event);
        }
        if matches!(event, Event::Stopped) {
            self.waiting.stopped.insert(id);
        }
    }

    /// De-registers everywhere, for a bounded time; a second signal ends it at once.
    async fn farewell(&mut self, waits: &mut Waits) {
        self.every_client(&Input::Command(Command::Stop));
        self.drain();
        let farewell = async {
            while self.waiting.stopped.len() < self.clients.len() {
                let due = self.handle_due();
                let happening = self.next(due, waits).await;
                if matches!(happening, Happening::Signal(_)) {
                    break;
                }
                self.on(happening);
                self.drain();
            }
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("A server did not answer the de-registration");
        }
    }
}

/// Whether something may only happen once the site's state is on the disk: what acts on devices, and
/// what tells somebody that it was accepted. Reads and samples go on, however slow the disk is.
const fn waits_for_save(output: &SiteOutput) -> bool {
    match output {
        SiteOutput::Adapter(_, request) => !matches!(request.action, Action::Read(_)),
        SiteOutput::Core(DeviceEvent::Done(..)) | SiteOutput::Event(_) => true,
        SiteOutput::Core(DeviceEvent::Changed(_) | DeviceEvent::Declared(_))
        | SiteOutput::Save(_) => false,
    }
}

fn done(op: OpId, fault: Fault) -> AdapterEvent {
    AdapterEvent::Done(op, Err(fault))
}

#[cfg(test)]
mod tests;
