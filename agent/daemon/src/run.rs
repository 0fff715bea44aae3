//! The one event loop. It waits for one thing, tells the part that owns it, and performs what comes
//! out; it never waits for a device, a disk or a name server.
//!
//! 1. Something happens: datagrams, an adapter's event, a question of a person, the store's report,
//!    a timer, a signal.
//! 2. Core and site are drained until neither has anything left ([`Agent::drain`]). What the core
//!    wants of devices goes through the site; what adapters report goes through the site.
//! 3. Outputs behind a commit wait for the store; everything else goes on.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use lamplighter_adapters::supervise::Handles;
use lamplighter_coap::Code;
use lamplighter_lwm2m::{
    boundary::{
        Command, CommitId, Event, HostRequest, Input, LinkEvent, LinkId, LocalAnswer, Output,
        RequestId,
    },
    client::Client,
    reject::Reject,
    server::ServerState,
    tree::Tree,
};
use lamplighter_model::{
    Ssid,
    device::{AdapterEvent, AdapterId, AdapterRequest, DeviceEvent, Fault, LinkState},
};
use lamplighter_site::{
    Site,
    boundary::{SiteInput, SiteOutput},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
    time::sleep,
};

use crate::{
    ask::{Ask, ServerAction},
    clock::Clock,
    link::{Heard, Links},
    status::{self, Status},
    store::{Store, Stored},
};

/// How long the agent waits for servers to answer its de-registrations when it is stopped.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long the first Register waits for adapters to say what they have.
const DECLARATIONS: Duration = Duration::from_millis(500);

/// Longest sleep. Timers of the runtime stand still while the machine is suspended, our deadlines do
/// not.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// What the loop owns.
#[derive(Debug)]
pub struct Agent {
    pub adapters: Handles,
    pub asks: mpsc::Receiver<Ask>,
    pub client: Client,
    pub clock: Clock,
    pub links: Links,
    pub server_names: BTreeMap<String, Ssid>,
    pub site: Site,
    pub status: Status,
    pub store: Store,
    pub tree: Tree,
    pub waiting: Waiting,
}

/// What is not finished yet.
#[derive(Debug, Default)]
pub struct Waiting {
    answers: BTreeMap<RequestId, oneshot::Sender<Result<LocalAnswer, Reject>>>,
    /// Outputs of the core behind the commit in front of them.
    behind_commit: Option<(CommitId, VecDeque<Output>)>,
    /// Outputs of the site behind a save of its state.
    behind_save: Option<VecDeque<SiteOutput>>,
    /// Adapters whose queue was full: told to the site after its outputs are drained.
    bounced: VecDeque<(AdapterId, AdapterEvent)>,
    ended: Option<Ended>,
    /// What sockets reported while sending.
    links: VecDeque<(LinkId, LinkEvent)>,
    next_request: u64,
    /// What people and the site were last told of the servers.
    servers: Vec<(Ssid, ServerState)>,
    /// Whether the site was told that a server can be reached.
    contact: Option<bool>,
    stopped: bool,
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// A server or a person asked for a factory reset.
    FactoryReset,
    /// A server or a person asked for a reboot.
    Reboot,
    /// By a signal.
    Stopped,
}

/// The one thing that happened.
enum Happening {
    Adapter(AdapterId, Option<AdapterEvent>),
    Ask(Option<Ask>),
    Link(Heard),
    Signal(&'static str),
    Stored(Stored),
    Timer,
}

/// The signals that end the agent or would, unhandled.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Agent {
    /// Runs until a signal, a reboot or a factory reset, then de-registers everywhere.
    pub async fn run(mut self) -> std::io::Result<Ended> {
        let mut signals = Signals::new()?;
        self.hear_declarations().await;
        self.drain();
        let ended = loop {
            let happening = self.next(&mut signals).await;
            self.on(happening);
            self.drain();
            self.handle_due();
            if let Some(ended) = self.waiting.ended {
                break ended;
            }
        };
        self.farewell(&mut signals).await;
        self.store.close();
        Ok(ended)
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

    async fn next(&mut self, signals: &mut Signals) -> Happening {
        let timer = self.until_timer();
        tokio::select! {
            heard = self.links.heard() => Happening::Link(heard),
            (id, event) = self.adapters.recv() => Happening::Adapter(id, event),
            stored = self.store.stored() => Happening::Stored(stored),
            ask = self.asks.recv() => Happening::Ask(ask),
            name = signals.recv() => Happening::Signal(name),
            () = sleep(timer) => Happening::Timer,
        }
    }

    /// Does what is due even where something else always happens first.
    fn handle_due(&mut self) {
        if self.until_timer().is_zero() {
            self.on(Happening::Timer);
            self.drain();
        }
    }

    /// Time until core or site want to be called again.
    fn until_timer(&self) -> Duration {
        let deadlines = [self.client.poll_timeout(), self.site.poll_timeout()];
        let next = deadlines.into_iter().flatten().map(|(at, _)| at).min();
        let now = self.clock.now().mono;
        next.map_or(LONGEST_SLEEP, |at| {
            at.saturating_sub(now).min(LONGEST_SLEEP)
        })
    }

    fn on(&mut self, happening: Happening) {
        match happening {
            Happening::Adapter(id, Some(event)) => self.on_adapter(id, event),
            Happening::Adapter(id, None) => {
                let gone =
                    AdapterEvent::Link(LinkState::Offline, "the adapter has stopped".to_owned());
                self.on_adapter(id, gone);
            }
            Happening::Ask(Some(ask)) => self.on_ask(ask),
            Happening::Ask(None) => {}
            Happening::Link(Heard::Event(id, event)) => self.core(Input::Link(id, event)),
            Happening::Link(Heard::Readable(id)) => self.on_readable(id),
            Happening::Signal("SIGHUP") => {
                tracing::warn!(
                    "Reloading is not available in this version, restart the agent instead"
                );
            }
            Happening::Signal(name) => {
                tracing::info!(name, "Stopping");
                self.waiting.ended = Some(Ended::Stopped);
            }
            Happening::Stored(stored) => self.on_stored(stored),
            Happening::Timer => {
                self.core(Input::Timeout);
                self.site.handle(SiteInput::Timeout, self.clock.now());
            }
        }
    }

    /// A readable socket is drained before the loop waits again.
    fn on_readable(&mut self, id: LinkId) {
        for _ in 0..Links::burst() {
            match self.links.receive(id) {
                Some(Ok(datagram)) => {
                    self.core(Input::Received(id, datagram));
                    self.drain();
                }
                Some(Err(event)) => {
                    self.core(Input::Link(id, event));
                    return;
                }
                None => return,
            }
        }
    }

    fn on_adapter(&mut self, id: AdapterId, event: AdapterEvent) {
        let now = self.clock.now();
        if let AdapterEvent::Link(state, words) = &event {
            tracing::info!(adapter = id.0, ?state, words, "Device link changed");
            self.status.on_link(id, *state, words, now);
        }
        self.site.handle(SiteInput::Adapter(id, event), now);
    }

    fn on_ask(&mut self, ask: Ask) {
        match ask {
            Ask::Local(request, reply) => {
                let id = RequestId(self.waiting.next_request);
                self.waiting.next_request += 1;
                self.waiting.answers.insert(id, reply);
                self.core(Input::Command(Command::Local(id, request)));
            }
            Ask::Server {
                name,
                action,
                user,
                reply,
            } => {
                let told = self.tell_server(&name, action, &user);
                // Nobody may be waiting any more.
                let _ = reply.send(told);
            }
            Ask::Why(name, reply) => {
                let _ = reply.send(self.site.why(&name, self.clock.now()));
            }
        }
    }

    fn tell_server(&mut self, name: &str, action: ServerAction, user: &str) -> Result<(), Reject> {
        let Some(ssid) = self.server_names.get(name).copied() else {
            return Err(Reject::new(
                Code::NOT_FOUND,
                format!("there is no server {name}"),
            ));
        };
        tracing::info!(server = name, ?action, user, "Asked by a person");
        self.core(Input::Command(match action {
            ServerAction::Deregister => Command::Deregister(Some(ssid)),
            ServerAction::Refresh => Command::Update(ssid),
            ServerAction::Register => Command::Register(ssid),
        }));
        Ok(())
    }

    fn on_stored(&mut self, stored: Stored) {
        let now = self.clock.now();
        match stored {
            Stored::Committed(id) => self.on_committed(id),
            Stored::SiteSaved => {
                for output in self.waiting.behind_save.take().into_iter().flatten() {
                    self.perform_site(output);
                }
            }
            Stored::Trouble(Some(words)) => {
                let text = format!("the state directory cannot be written: {words}");
                self.status.problem("store", &text, now);
            }
            Stored::Trouble(None) => self.status.solved("store"),
        }
    }

    fn on_committed(&mut self, id: CommitId) {
        self.core(Input::Committed(id));
        let held = match self.waiting.behind_commit.take() {
            Some((awaited, held)) if awaited == id => held,
            other => {
                self.waiting.behind_commit = other;
                return;
            }
        };
        for output in held {
            self.perform_core(output);
        }
    }

    fn core(&mut self, input: Input) {
        let now = self.clock.now();
        self.client.handle(input, &mut self.tree, now);
    }

    /// Performs everything that core and site want, until neither wants more.
    fn drain(&mut self) {
        loop {
            self.drain_site();
            if let Some(output) = self.client.poll() {
                self.perform_core(output);
            } else if let Some((id, event)) = self.waiting.links.pop_front() {
                self.core(Input::Link(id, event));
            } else if !self.tell_states() {
                return;
            }
        }
    }

    /// Tells people where the servers stand, and the site whether any can be reached.
    fn tell_states(&mut self) -> bool {
        if self
            .client
            .states()
            .eq(self.waiting.servers.iter().copied())
        {
            return false;
        }
        let now = self.clock.now();
        self.waiting.servers = self.client.states().collect();
        for (ssid, state) in &self.waiting.servers {
            self.status.on_server_state(*ssid, shown(*state), now);
        }
        let Some(contact) = contact(&self.waiting.servers) else {
            return false;
        };
        if self.waiting.contact.replace(contact) == Some(contact) {
            return false;
        }
        self.site.handle(SiteInput::ServerContact(contact), now);
        true
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

    fn perform_core(&mut self, output: Output) {
        if let Some((_, held)) = &mut self.waiting.behind_commit {
            held.push_back(output);
            return;
        }
        match output {
            Output::Answer(id, answer) => {
                if let Some(reply) = self.waiting.answers.remove(&id) {
                    let _ = reply.send(answer);
                }
            }
            Output::Close(id) => self.links.close(id),
            Output::Commit(id, record) => {
                self.waiting.behind_commit = Some((id, VecDeque::new()));
                self.store.commit(id, record);
            }
            Output::Device(op, request) => {
                self.site
                    .handle(SiteInput::Request(op, request), self.clock.now());
            }
            Output::Event(event) => self.on_event(&event),
            Output::Host(HostRequest::FactoryReset) => {
                self.waiting.ended = Some(Ended::FactoryReset)
            }
            Output::Host(HostRequest::Reboot) => self.waiting.ended = Some(Ended::Reboot),
            Output::Journal(record) => self.store.journal(record),
            Output::Open(id, uri, _) => self.links.open(id, uri),
            Output::Transmit(id, datagram) => {
                let event = self.links.transmit(id, &datagram);
                self.waiting.links.extend(event.map(|event| (id, event)));
            }
        }
    }

    fn perform_site(&mut self, output: SiteOutput) {
        if let Some(held) = &mut self.waiting.behind_save {
            held.push_back(output);
            return;
        }
        match output {
            SiteOutput::Adapter(id, request) => self.hand_to(id, request),
            SiteOutput::Core(event) => {
                self.show(&event);
                self.core(Input::Device(event));
            }
            SiteOutput::Event(event) => self.status.on_site_event(&event, self.clock.now()),
            SiteOutput::Save(state) => {
                self.waiting.behind_save = Some(VecDeque::new());
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

    fn show(&self, event: &DeviceEvent) {
        match event {
            DeviceEvent::Changed(samples) => self.status.on_samples(samples),
            DeviceEvent::Declared(declared) => self.status.on_removed(&declared.removed),
            DeviceEvent::Done(_, Ok(answer)) => self.status.on_samples(&answer.samples),
            DeviceEvent::Done(_, Err(_)) => {}
        }
    }

    fn on_event(&mut self, event: &Event) {
        let now = self.clock.now();
        log(event);
        self.status.on_event(event, now);
        if matches!(event, Event::Stopped) {
            self.waiting.stopped = true;
        }
    }

    /// De-registers everywhere, for a bounded time; a second signal ends it at once.
    async fn farewell(&mut self, signals: &mut Signals) {
        self.core(Input::Command(Command::Stop));
        self.drain();
        let farewell = async {
            while !self.waiting.stopped {
                let happening = self.next(signals).await;
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

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.hangup.recv() => "SIGHUP",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

fn done(op: lamplighter_model::device::OpId, fault: Fault) -> AdapterEvent {
    AdapterEvent::Done(op, Err(fault))
}

/// Whether any server can be reached; `None` where there is no server. One that was suspended on
/// purpose is not lost.
fn contact(servers: &[(Ssid, ServerState)]) -> Option<bool> {
    let is_there = |(_, state): &(Ssid, ServerState)| match state {
        ServerState::Disabled | ServerState::Registered => true,
        ServerState::Offline | ServerState::Registering => false,
    };
    (!servers.is_empty()).then(|| servers.iter().any(is_there))
}

const fn shown(state: ServerState) -> status::ServerState {
    match state {
        ServerState::Disabled => status::ServerState::Disabled,
        ServerState::Offline => status::ServerState::Offline,
        ServerState::Registered => status::ServerState::Registered,
        ServerState::Registering => status::ServerState::Registering,
    }
}

/// INFO is what an operator wants to see per day; values and addresses stay at DEBUG.
fn log(event: &Event) {
    match event {
        Event::Deregistered(ssid) => tracing::info!(%ssid, "Deregistered"),
        Event::Obeyed {
            by,
            operation,
            path,
            detail,
        } => {
            tracing::info!(?by, operation, %path, "Obeyed");
            tracing::debug!(%path, detail, "Obeyed in detail");
        }
        Event::Refused {
            by,
            operation,
            path,
            code,
        } => {
            tracing::info!(?by, operation, %path, code, "Refused");
        }
        Event::Registered { ssid, version } => tracing::info!(%ssid, version, "Registered"),
        Event::RegistrationFailed {
            ssid,
            reason,
            retry_in,
        } => {
            tracing::warn!(%ssid, reason, ?retry_in, "Registration failed");
        }
        Event::Stopped => tracing::info!("Stopped"),
        Event::Updated(ssid) => tracing::debug!(%ssid, "Updated"),
    }
}

#[cfg(test)]
mod tests;
