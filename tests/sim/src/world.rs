//! Boxes, servers, the network between them, and the one clock that all of them go by.
//!
//! What must hold whatever happens is watched here; the first breach is the world's verdict.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use lamplighter_lwm2m::boundary::{Command, Event, Input, LinkEvent, LinkId, Output};
use lamplighter_model::{
    Path, ResourceAddress, Value,
    device::{DeviceEvent, DeviceRequest, OpId},
    object::Definitions,
    tables,
};
use lamplighter_sim::server::{
    Answer, CancelMode, Misbehaviour, Operation, RequestError, RequestId, ServerEvent,
    ServerOptions,
};

use crate::{
    cabinet::{Cabinet, Settings, host_of},
    chance::Chance,
    host::Host,
    logs,
    network::{Arrival, Carried, Network, Socket, Weather},
    wire::{Sent, kind},
};

mod fate;

/// A box of this world, by its place.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct BoxId(pub usize);

/// A server of this world, by its place.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ServerId(pub usize);

/// What a bearer that is lost says about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Loss {
    /// The box is told that its links are down.
    Told,
    /// Datagrams vanish.
    Silent,
}

/// Who has a deadline.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Party {
    Box(usize),
    Server(usize),
}

/// Something that happens to a box of this run later.
#[derive(Debug)]
struct Delayed {
    to: BoxId,
    run: u32,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The devices do what they were asked.
    Device(OpId, DeviceRequest),
    Input(Input),
    PowerOn,
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    pub now: Duration,
    chance: Chance,
    definitions: Arc<Definitions>,
    network: Network,
    boxes: Vec<Cabinet>,
    servers: Vec<Host>,
    delayed: BTreeMap<(Duration, u64), Delayed>,
    delays: u64,
    deadlines: BTreeSet<(Duration, Party)>,
    scheduled: BTreeMap<Party, Duration>,
    /// How bearers are lost now, by box.
    losses: BTreeMap<BoxId, Loss>,
    /// No packet from this box to this server before then.
    silences: BTreeMap<(BoxId, ServerId), Duration>,
    /// The same for those who still have a link.
    leaving: BTreeMap<(BoxId, ServerId), Duration>,
    sent: BTreeMap<(BoxId, ServerId), Sent>,
    expected_logs: Vec<&'static str>,
    /// Things that happened at this moment.
    turns: u64,
    verdict: Option<String>,
    /// What happened, line by line, where somebody wants to read it.
    story: Option<Vec<String>>,
}

/// Things that may happen at one moment, per box: more is no progress.
const TURNS: u64 = 2_000;

/// Timeouts of one box at one moment.
const SPINS: u32 = 20;

/// A link stands, or is refused, after this time.
const LINK_TAKES: Duration = Duration::from_millis(20);

/// Between a crash of the agent and its next start.
const RESTART_TAKES: Duration = Duration::from_secs(2);

impl World {
    /// Without boxes and servers.
    pub fn new(seed: u64) -> Self {
        logs::listen();
        // What others on this thread have left.
        logs::take();
        let mut chance = Chance::new(seed);
        Self {
            now: Duration::from_secs(1_000),
            network: Network::new(chance.next()),
            chance,
            definitions: Arc::new(tables::standard()),
            boxes: Vec::new(),
            servers: Vec::new(),
            delayed: BTreeMap::new(),
            delays: 0,
            deadlines: BTreeSet::new(),
            scheduled: BTreeMap::new(),
            losses: BTreeMap::new(),
            silences: BTreeMap::new(),
            leaving: BTreeMap::new(),
            sent: BTreeMap::new(),
            expected_logs: Vec::new(),
            turns: 0,
            verdict: None,
            story: None,
        }
    }

    pub fn add_server(&mut self, options: ServerOptions) -> ServerId {
        let id = ServerId(self.servers.len());
        let options = ServerOptions {
            seed: self.chance.next(),
            definitions: Arc::clone(&self.definitions),
            ..options
        };
        self.servers.push(Host::new(id, options));
        id
    }

    /// A box that is switched on at once.
    pub fn add_box(&mut self, settings: Settings, weather: Weather) -> BoxId {
        let id = BoxId(self.boxes.len());
        self.network.add(weather);
        let cabinet = Cabinet::new(id, settings, &self.definitions, self.now);
        self.boxes.push(cabinet);
        self.start(id);
        id
    }

    pub fn cabinet(&self, id: BoxId) -> &Cabinet {
        &self.boxes[id.0]
    }

    pub fn cabinet_mut(&mut self, id: BoxId) -> &mut Cabinet {
        &mut self.boxes[id.0]
    }

    pub fn host(&self, id: ServerId) -> &Host {
        &self.servers[id.0]
    }

    pub fn host_mut(&mut self, id: ServerId) -> &mut Host {
        &mut self.servers[id.0]
    }

    pub fn boxes(&self) -> impl Iterator<Item = BoxId> + use<> {
        (0..self.boxes.len()).map(BoxId)
    }

    pub fn servers(&self) -> impl Iterator<Item = ServerId> + use<> {
        (0..self.servers.len()).map(ServerId)
    }

    pub fn carried(&self) -> Carried {
        self.network.carried
    }

    /// The first thing that was wrong, if any.
    pub fn verdict(&self) -> Option<&str> {
        self.verdict.as_deref()
    }

    /// From now on everything that happens is written down.
    pub fn tell_story(&mut self) {
        self.story = Some(Vec::new());
    }

    pub fn story(&self) -> &[String] {
        self.story.as_deref().unwrap_or_default()
    }

    fn note(&mut self, what: impl FnOnce(&Self) -> String) {
        if self.story.is_some() {
            let line = format!("{:12.3} {}", self.now.as_secs_f64(), what(self));
            self.story.get_or_insert_default().push(line);
        }
    }

    /// From now on a WARN or ERROR that contains this is no failure.
    pub fn expect_log(&mut self, text: &'static str) {
        self.expected_logs.push(text);
    }

    /// Says that something is wrong; the first word counts.
    pub fn blame(&mut self, what: String) {
        let at = self.now;
        self.verdict
            .get_or_insert_with(|| format!("{at:?}: {what}"));
    }

    /// The devices have the next numbered value at this address.
    pub fn sample(&mut self, id: BoxId, address: ResourceAddress) -> Value {
        let cabinet = &mut self.boxes[id.0];
        let value = cabinet.devices.number();
        if cabinet.is_on() {
            cabinet.measured(address, &value, self.now);
        }
        self.change(id, address, value.clone());
        value
    }

    /// The devices have this value.
    pub fn change(&mut self, id: BoxId, address: ResourceAddress, value: Value) {
        let cabinet = &mut self.boxes[id.0];
        let at = cabinet.clock(self.now).stamp();
        let sample = cabinet.devices.set(address, value, at);
        self.input(id, Input::Device(DeviceEvent::Changed(vec![sample])));
    }

    pub fn command(&mut self, id: BoxId, command: Command) {
        self.input(id, Input::Command(command));
    }

    /// An input of a box; one that is off hears nothing.
    pub fn input(&mut self, id: BoxId, input: Input) {
        let cabinet = &mut self.boxes[id.0];
        let clock = cabinet.clock(self.now);
        let Some(subject) = &mut cabinet.subject else {
            return;
        };
        subject.handle(input, &mut cabinet.tree, clock);
        self.drain(id);
    }

    /// Asks a box something.
    ///
    /// # Errors
    /// Where nothing could be sent.
    pub fn request(
        &mut self,
        server: ServerId,
        of: BoxId,
        operation: &Operation,
    ) -> Result<RequestId, RequestError> {
        let name = self.boxes[of.0].name.clone();
        let host = &mut self.servers[server.0];
        let id = host.lw.request(&name, operation, self.now)?;
        self.serve(server);
        Ok(id)
    }

    /// Asks a box something and lets time pass until that is over.
    ///
    /// # Errors
    /// Where no answer came.
    pub fn ask(
        &mut self,
        server: ServerId,
        of: BoxId,
        operation: &Operation,
    ) -> Result<Answer, RequestError> {
        let id = self.request(server, of, operation)?;
        let outcome = |(_, event): &(Duration, ServerEvent)| match event {
            ServerEvent::Answered(over, _, answer) if *over == id => Some(Ok(answer.clone())),
            ServerEvent::Failed(over, _, error) if *over == id => Some(Err(*error)),
            ServerEvent::Answered(..)
            | ServerEvent::Deregistered(_)
            | ServerEvent::Expired(_)
            | ServerEvent::Failed(..)
            | ServerEvent::Notified(..)
            | ServerEvent::ObservationEnded(..)
            | ServerEvent::Registered(_)
            | ServerEvent::Sent(..)
            | ServerEvent::Updated(_) => None,
        };
        let end = self.now + Duration::from_secs(100_000);
        loop {
            let events = &self.servers[server.0].events;
            if let Some(outcome) = events.iter().rev().find_map(outcome) {
                return outcome;
            }
            if self.verdict.is_some() || !self.step(end) {
                return Err(RequestError::Stopped);
            }
        }
    }

    /// Lets this much time pass.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.verdict.is_none() && self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until this holds; false where it does not within the limit.
    pub fn until(&mut self, limit: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !holds(self) {
            if self.verdict.is_some() || !self.step(end) {
                return false;
            }
        }
        true
    }

    /// Whether the server knows this box.
    pub fn is_registered(&self, server: ServerId, of: BoxId) -> bool {
        let name = &self.boxes[of.0].name;
        self.servers[server.0].lw.client(name).is_some()
    }

    /// Whether the server knows this box, and where it is.
    pub fn is_reachable(&self, server: ServerId, of: BoxId) -> bool {
        let client = self.servers[server.0].lw.client(&self.boxes[of.0].name);
        client.is_some_and(|client| self.network.is_mapped(client.address))
    }

    /// Datagrams from a box to a server, lost ones included.
    pub fn sent(&self, of: BoxId, to: ServerId) -> Sent {
        self.sent.get(&(of, to)).copied().unwrap_or_default()
    }

    /// The operator wants this of every box, and of this one now.
    pub fn watch(&mut self, server: ServerId, of: BoxId, path: Path) {
        let name = self.boxes[of.0].name.clone();
        let now = self.now;
        self.servers[server.0].watch(&name, of, path, now);
        self.serve(server);
    }

    /// Ends what is observed of this box at this path.
    pub fn cancel(&mut self, server: ServerId, of: BoxId, path: Path, mode: CancelMode) {
        let now = self.now;
        let host = &mut self.servers[server.0];
        let observed: Vec<RequestId> = host
            .observations()
            .filter(|(_, by, at)| (*by, *at) == (of, path))
            .map(|(id, ..)| id)
            .collect();
        for id in observed {
            // One that has just ended needs no end.
            let _ = host.lw.cancel(id, mode, now);
        }
        self.serve(server);
    }

    /// Every Register, Update and Send gets 5.03 with this Max-Age; `None` ends it.
    pub fn overload(&mut self, server: ServerId, max_age: Option<u32>) {
        let overload = Misbehaviour::Overload(max_age);
        self.servers[server.0].lw.misbehave(overload);
    }

    /// What a box wants to be called for next.
    pub fn deadline(&self, of: BoxId) -> Option<(Duration, &'static str)> {
        self.boxes[of.0].timeout(self.now)
    }

    /// Goes to the next moment at which something happens; false if that is after `end`.
    fn step(&mut self, end: Duration) -> bool {
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let delayed = self.delayed.keys().next().map(|(at, _)| *at);
        let times = [self.network.next(), deadline, delayed];
        let Some(next) = times.into_iter().flatten().min() else {
            return false;
        };
        if next > end {
            return false;
        }
        if next > self.now {
            self.now = next;
            self.turns = 0;
        }
        self.turns += 1;
        if self.turns > TURNS * (self.boxes.len() as u64).max(1) {
            self.blame("no progress: too much happens at one moment".to_owned());
            return false;
        }
        if let Some(arrival) = self.network.arrived(self.now) {
            self.arrive(arrival);
        } else if let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= self.now
        {
            let delayed = entry.remove();
            self.on_delayed(delayed);
        } else if let Some((at, party)) = self.deadlines.pop_first() {
            debug_assert!(at <= self.now);
            self.scheduled.remove(&party);
            self.on_deadline(party);
        }
        true
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::AtBox(socket, datagram) => {
                let cabinet = &self.boxes[socket.of.0];
                let is_open = cabinet.run == socket.run && cabinet.links.contains_key(&socket.link);
                self.note(|_| {
                    format!(
                        "{:?} hears {} bytes, open {is_open}",
                        socket.of,
                        datagram.len()
                    )
                });
                if is_open {
                    self.input(socket.of, Input::Received(socket.link, datagram));
                }
            }
            Arrival::AtServer(server, from, datagram) => {
                let now = self.now;
                let host = &mut self.servers[server.0];
                host.count(now);
                if host.is_up {
                    host.lw.handle_datagram(from, &datagram, now);
                    self.serve(server);
                }
            }
        }
    }

    fn on_delayed(&mut self, delayed: Delayed) {
        let Delayed { to, run, what } = delayed;
        let now = self.now;
        let cabinet = &mut self.boxes[to.0];
        if cabinet.run != run {
            return;
        }
        match what {
            What::Device(op, request) => {
                let at = cabinet.clock(now).stamp();
                let done = cabinet.devices.answer(op, request, now, at);
                self.input(to, Input::Device(done));
            }
            What::Input(Input::Link(link, event)) => {
                if !cabinet.links.contains_key(&link) {
                    return;
                }
                if event == LinkEvent::Up {
                    cabinet.up.insert(link);
                } else {
                    cabinet.up.remove(&link);
                }
                self.input(to, Input::Link(link, event));
            }
            What::Input(input) => self.input(to, input),
            What::PowerOn => self.start(to),
        }
    }

    fn on_deadline(&mut self, party: Party) {
        match party {
            Party::Box(index) => {
                let id = BoxId(index);
                let before = self.deadline(id);
                self.input(id, Input::Timeout);
                let is_spinning = self.deadline(id).is_some_and(|(at, _)| at <= self.now);
                let cabinet = &mut self.boxes[index];
                cabinet.spins = if is_spinning { cabinet.spins + 1 } else { 0 };
                if cabinet.spins > SPINS {
                    self.blame(format!("busy loop of {id:?}: {before:?}"));
                }
            }
            Party::Server(index) => {
                let now = self.now;
                self.servers[index].lw.handle_timeout(now);
                self.serve(ServerId(index));
            }
        }
    }

    /// Does what a server wants done.
    pub(crate) fn serve(&mut self, id: ServerId) {
        let now = self.now;
        let host = &mut self.servers[id.0];
        let lines = host.operate(now);
        while let Some((to, datagram)) = host.lw.poll_transmit() {
            if host.is_up {
                self.network.leave_server(to, datagram, now);
            }
        }
        let due = host.lw.poll_timeout();
        self.schedule(Party::Server(id.0), due);
        let host = &self.servers[id.0];
        let first = host.events.len().saturating_sub(lines);
        let lines: Vec<String> = if self.story.is_some() {
            let events = host.events.range(first..);
            events
                .map(|(_, event)| format!("{id:?} {event:?}"))
                .collect()
        } else {
            Vec::new()
        };
        for line in lines {
            self.note(|_| line);
        }
    }

    fn start(&mut self, id: BoxId) {
        let now = self.now;
        let cabinet = &mut self.boxes[id.0];
        cabinet.start(&self.definitions, now);
        let refused = cabinet.tree.declare(&cabinet.devices.declared());
        let at = cabinet.clock(now).stamp();
        let all = cabinet.devices.all(now, at);
        if !refused.is_empty() {
            self.blame(format!("not declared: {refused:?}"));
        }
        self.drain(id);
        self.input(id, Input::Device(all));
    }

    fn stop(&mut self, id: BoxId) {
        let cabinet = &mut self.boxes[id.0];
        cabinet.subject = None;
        cabinet.fuse = None;
        let run = cabinet.run;
        for link in std::mem::take(&mut cabinet.links).into_keys() {
            self.network.forget(Socket { of: id, run, link });
        }
        let (left, stay) = std::mem::take(&mut self.leaving)
            .into_iter()
            .partition(|((of, _), _)| *of == id);
        self.leaving = stay;
        self.silences.extend::<BTreeMap<_, _>>(left);
        // Nobody is there any more to whom this could be said.
        self.delayed.retain(|_, delayed| delayed.to != id);
        self.schedule(Party::Box(id.0), None);
    }

    fn later_start(&mut self, id: BoxId, after: Duration) {
        self.delay(id, after, What::PowerOn);
    }

    fn later(&mut self, to: BoxId, after: Duration, input: Input) {
        self.delay(to, after, What::Input(input));
    }

    fn delay(&mut self, to: BoxId, after: Duration, what: What) {
        self.delays += 1;
        let run = self.boxes[to.0].run;
        let delayed = Delayed { to, run, what };
        self.delayed
            .insert((self.now + after, self.delays), delayed);
    }

    fn schedule(&mut self, party: Party, due: Option<Duration>) {
        let due = due.map(|due| due.max(self.now));
        let before = match due {
            Some(due) => self.scheduled.insert(party, due),
            None => self.scheduled.remove(&party),
        };
        if before == due {
            return;
        }
        if let Some(before) = before {
            self.deadlines.remove(&(before, party));
        }
        if let Some(due) = due {
            self.deadlines.insert((due, party));
        }
    }

    /// Does what a box wants done.
    fn drain(&mut self, id: BoxId) {
        while let Some(output) = self.boxes[id.0].poll() {
            self.perform(id, output);
            let Some((left, off)) = &mut self.boxes[id.0].fuse else {
                continue;
            };
            *left = left.saturating_sub(1);
            if *left == 0 {
                let off = *off;
                self.cut_power(id, off);
                break;
            }
        }
        for line in logs::take() {
            if !self.expected_logs.iter().any(|text| line.contains(text)) {
                self.blame(format!("{id:?} logged{line}"));
            }
        }
        let due = self.deadline(id).map(|(at, _)| at);
        self.schedule(Party::Box(id.0), due);
    }

    fn perform(&mut self, id: BoxId, output: Output) {
        let now = self.now;
        let cabinet = &mut self.boxes[id.0];
        match output {
            Output::Answer(request, answer) => cabinet.answered(request, answer),
            Output::Close(link) => self.close(id, link),
            Output::Commit(commit, records) => {
                cabinet.store.commit(records, now);
                let takes = cabinet.settings.commit_takes;
                self.later(id, takes, Input::Committed(commit));
            }
            Output::Device(op, request) => {
                let takes = cabinet.devices.takes;
                self.delay(id, takes, What::Device(op, request));
            }
            Output::Erase(ssid, paths) => {
                let erased = cabinet.store.erase(ssid, &paths);
                self.later(id, Duration::ZERO, Input::KeptErased(ssid, erased));
            }
            Output::Event(event) => self.on_event(id, event),
            Output::Fetch(ssid, from, at_most) => {
                let kept = cabinet.store.fetch(ssid, from, at_most);
                self.later(id, Duration::from_millis(1), Input::Kept(ssid, kept));
            }
            Output::Forget(ssid, up_to) => cabinet.store.forget(ssid, up_to, now),
            Output::Host(_) => {}
            Output::Journal(record) => cabinet.store.journal(record, now),
            Output::Keep(ssid, kept) => {
                if let Some((first, count)) = cabinet.store.keep(ssid, kept, now) {
                    let dropped = Input::KeptDropped(ssid, first, count);
                    self.later(id, Duration::ZERO, dropped);
                }
            }
            Output::Open(link, uri, _) => self.open(id, link, &uri.host),
            Output::Transmit(link, datagram) => self.transmit(id, link, datagram),
        }
    }

    fn on_event(&mut self, id: BoxId, event: Event) {
        let now = self.now;
        self.note(|_| format!("{id:?} says {event:?}"));
        self.boxes[id.0].note(event, now);
    }

    fn open(&mut self, id: BoxId, link: LinkId, host: &str) {
        let Some(server) = self.servers().find(|server| host_of(*server) == host) else {
            return self.blame(format!("{id:?} opens a link to {host}"));
        };
        self.boxes[id.0].newest.insert(server, link);
        self.note(|_| format!("{id:?} opens {link:?} to {server:?}"));
        if self.boxes[id.0].links.insert(link, server).is_some() {
            self.blame(format!("{id:?} opens {link:?} twice"));
        }
        let to_it = self.boxes[id.0].links.values();
        if to_it.filter(|of| **of == server).count() > 2 {
            self.blame(format!("{id:?} has more than two links to {server:?}"));
        }
        let event = match self.losses.get(&id) {
            Some(Loss::Told) => LinkEvent::Down("no carrier".to_owned()),
            Some(Loss::Silent) | None => LinkEvent::Up,
        };
        self.later(id, LINK_TAKES, Input::Link(link, event));
    }

    fn close(&mut self, id: BoxId, link: LinkId) {
        self.note(|_| format!("{id:?} closes {link:?}"));
        let cabinet = &mut self.boxes[id.0];
        let run = cabinet.run;
        cabinet.up.remove(&link);
        match cabinet.links.remove(&link) {
            None => self.blame(format!("{id:?} closes {link:?}, which is not open")),
            Some(server) => {
                let is_gone = !cabinet.links.values().any(|of| *of == server);
                if is_gone && let Some(until) = self.leaving.remove(&(id, server)) {
                    self.silences.insert((id, server), until);
                }
            }
        }
        self.network.forget(Socket { of: id, run, link });
    }

    fn transmit(&mut self, id: BoxId, link: LinkId, datagram: Vec<u8>) {
        let cabinet = &self.boxes[id.0];
        let Some(server) = cabinet.links.get(&link).copied() else {
            return self.blame(format!("{id:?} sends on {link:?}, which is closed"));
        };
        if let Some(until) = self.silences.get(&(id, server)).copied() {
            if self.now < until {
                return self.blame(format!(
                    "{id:?} sends to {server:?}, by which it is disabled until {until:?}"
                ));
            }
            self.silences.remove(&(id, server));
        }
        self.note(|_| {
            let kind = kind(&datagram);
            let id_of_message = datagram.get(2..4).unwrap_or_default();
            format!("{id:?} sends {kind:?} {id_of_message:02x?} to {server:?}")
        });
        match kind(&datagram) {
            Some(kind) => self.sent.entry((id, server)).or_default().count(kind),
            None => self.blame(format!("{id:?} sends what is no CoAP: {datagram:02x?}")),
        }
        let run = self.boxes[id.0].run;
        let socket = Socket { of: id, run, link };
        self.network.leave_box(socket, server, datagram, self.now);
    }

    /// The account of a server at a box.
    pub fn account(&self, of: BoxId, server: ServerId) -> usize {
        self.boxes[of.0].account(server).expect("an account")
    }
}
