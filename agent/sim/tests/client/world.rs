//! The client core, the server, what lies between them, and a device behind the client.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use lamplighter_lwm2m::{
    boundary::{Event, Input, LinkEvent, LinkId, Output},
    client::{Client, ClientConfig, Creation, DeviceDescription, ServerConfig},
    format::ContentFormat,
    tree::Tree,
};
use lamplighter_model::{
    BootId, Now, Path, ResourceAddress, Sample, Ssid, UnixTime, Value,
    device::{Action, Answer, Declaration, Declared, DeviceEvent, DeviceRequest, OpId},
    object::Operations,
};
use lamplighter_sim::server::{
    Answer as Told, LwServer, Operation, RequestError, RequestId, ServerEvent, ServerOptions,
};

const SERVER: Ssid = Ssid(101);
pub(crate) const NAME: &str = "cab-17";
pub(crate) const TEMPERATURE: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
pub(crate) const SET_POINT: ResourceAddress = ResourceAddress::gateway(3308, 0, 5900);

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) latency: Duration,
    /// How many of 100 datagrams are lost.
    pub(crate) loss: u64,
    /// Which ones.
    pub(crate) seed: u64,
}

pub(crate) const FAIR: Weather = Weather {
    latency: Duration::from_millis(40),
    loss: 0,
    seed: 42,
};

/// A datagram on its way.
#[derive(Debug)]
enum Flying {
    ToClient(LinkId, Vec<u8>),
    ToServer(LinkId, Vec<u8>),
}

/// Client, server, what lies between them, and a device with a memory behind the client.
pub(crate) struct World {
    client: Client,
    tree: Tree,
    pub(crate) server: LwServer,
    pub(crate) now: Duration,
    weather: Weather,
    random: u64,
    /// By arrival, then by number.
    flying: BTreeMap<(Duration, u64), Flying>,
    flown: u64,
    pub(crate) lost: u64,
    links: BTreeSet<LinkId>,
    pub(crate) memory: BTreeMap<ResourceAddress, Value>,
    /// What the device was asked to write.
    pub(crate) written: Vec<(ResourceAddress, Value)>,
    pub(crate) client_events: Vec<Event>,
    pub(crate) events: Vec<(Duration, ServerEvent)>,
}

impl World {
    pub(crate) fn new(weather: Weather, lifetime: u64, options: ServerOptions) -> Self {
        let definitions = Arc::clone(&options.definitions);
        let config = ClientConfig {
            creation: Creation::default(),
            definitions: Arc::clone(&definitions),
            device: DeviceDescription {
                manufacturer: "Lamplighter".to_owned(),
                ..DeviceDescription::default()
            },
            endpoint: NAME.to_owned(),
            seed: 3,
            servers: vec![ServerConfig {
                lifetime: Duration::from_secs(lifetime),
                ..ServerConfig::new(
                    "main",
                    SERVER,
                    "coap://server.example".parse().expect("a URI"),
                )
            }],
        };
        let mut tree = Tree::new(definitions);
        let declaration = |address, operations| Declaration {
            address,
            operations,
        };
        let refused = tree.declare(&Declared {
            added: vec![
                declaration(TEMPERATURE, Operations::R),
                declaration(SET_POINT, Operations::RW),
            ],
            removed: Vec::new(),
        });
        assert!(refused.is_empty(), "{refused:?}");
        let memory = [
            (TEMPERATURE, Value::Float(20.5)),
            (SET_POINT, Value::Float(21.0)),
        ];
        let now = Duration::from_secs(1_000);
        let mut world = Self {
            client: Client::new(config, Vec::new(), stamp(now)),
            tree,
            server: LwServer::new(options),
            now,
            weather,
            random: weather.seed,
            flying: BTreeMap::new(),
            flown: 0,
            lost: 0,
            links: BTreeSet::new(),
            memory: memory.into(),
            written: Vec::new(),
            client_events: Vec::new(),
            events: Vec::new(),
        };
        world.settle();
        world
    }

    /// With the client registered.
    pub(crate) fn registered(weather: Weather, lifetime: u64) -> Self {
        let mut world = Self::new(weather, lifetime, ServerOptions::default());
        let registered = |world: &Self| world.server.client(NAME).is_some();
        world.until(Duration::from_secs(600), registered);
        // The answer has to arrive, too.
        let told = |world: &Self| world.told(|event| matches!(event, Event::Registered { .. }));
        world.until(Duration::from_secs(600), told);
        world.events.clear();
        world
    }

    pub(crate) fn told(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.client_events.iter().any(wanted)
    }

    /// An input of the client.
    pub(crate) fn input(&mut self, input: Input) {
        self.client.handle(input, &mut self.tree, stamp(self.now));
        self.settle();
    }

    /// The device has a new value.
    pub(crate) fn change(&mut self, address: ResourceAddress, value: Value) {
        self.memory.insert(address, value.clone());
        let sample = Sample::good(address, value, stamp(self.now).stamp());
        self.input(Input::Device(DeviceEvent::Changed(vec![sample])));
    }

    /// Asks the client and lets time pass until it has answered.
    pub(crate) fn ask(&mut self, operation: &Operation) -> Result<Told, RequestError> {
        let id = self.server.request(NAME, operation, self.now)?;
        self.settle();
        self.answer(id)
    }

    pub(crate) fn answer(&mut self, id: RequestId) -> Result<Told, RequestError> {
        let is_over = |(_, event): &(Duration, ServerEvent)| match event {
            ServerEvent::Answered(over, ..) | ServerEvent::Failed(over, ..) => *over == id,
            ServerEvent::Deregistered(_)
            | ServerEvent::Expired(_)
            | ServerEvent::Notified(..)
            | ServerEvent::ObservationEnded(..)
            | ServerEvent::Registered(_)
            | ServerEvent::Sent(..)
            | ServerEvent::Updated(_) => false,
        };
        self.until(Duration::from_secs(300), |world| {
            world.events.iter().any(is_over)
        });
        let at = self.events.iter().position(is_over).expect("over");
        let (_, event) = self.events.remove(at);
        if let ServerEvent::Failed(_, _, error) = event {
            return Err(error);
        }
        let ServerEvent::Answered(_, _, answer) = event else {
            panic!("{event:?}")
        };
        Ok(answer)
    }

    /// Asks until the observation stands.
    pub(crate) fn observe(&mut self, path: Path) -> (RequestId, Told) {
        let observe = Operation::Observe(path, Some(ContentFormat::SenmlCbor));
        for _ in 0..3 {
            let id = self.server.request(NAME, &observe, self.now).expect("sent");
            self.settle();
            if let Ok(first) = self.answer(id) {
                return (id, first);
            }
        }
        panic!("no answer to Observe")
    }

    /// Values and times of the notifications until now; they are told once.
    pub(crate) fn notified(&mut self) -> Vec<(Duration, Option<Value>)> {
        let mut notified = Vec::new();
        self.events.retain(|(at, event)| {
            let ServerEvent::Notified(_, _, answer) = event else {
                return true;
            };
            notified.push((*at, answer.value().cloned()));
            false
        });
        notified
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    pub(crate) fn seconds(&mut self, seconds: u64) {
        self.wait(Duration::from_secs(seconds));
    }

    /// Lets time pass until this holds.
    pub(crate) fn until(&mut self, limit: Duration, holds: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !holds(self) {
            assert!(
                self.step(end),
                "not within {limit:?}: {:?}",
                self.client_events
            );
        }
    }

    /// Goes to the next moment at which something happens; `false` if that is after `end`.
    fn step(&mut self, end: Duration) -> bool {
        let arrival = self.flying.keys().next().map(|(at, _)| *at);
        let client = self.client.poll_timeout().map(|(at, _)| at);
        let times = [arrival, client, self.server.poll_timeout()];
        let Some(next) = times.into_iter().flatten().min() else {
            return false;
        };
        if next > end {
            return false;
        }
        self.now = next.max(self.now);
        while let Some(entry) = self.flying.first_entry()
            && entry.key().0 <= self.now
        {
            match entry.remove() {
                Flying::ToClient(link, datagram) if self.links.contains(&link) => {
                    self.client.handle(
                        Input::Received(link, datagram),
                        &mut self.tree,
                        stamp(self.now),
                    );
                }
                Flying::ToClient(..) => {}
                Flying::ToServer(link, datagram) => {
                    self.server
                        .handle_datagram(address_of(link), &datagram, self.now);
                }
            }
        }
        self.server.handle_timeout(self.now);
        self.input(Input::Timeout);
        true
    }

    /// Does what client and server want done at this moment.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut inputs = Vec::new();
            while let Some(output) = self.client.poll() {
                self.perform(output, &mut inputs);
            }
            while let Some((to, datagram)) = self.server.poll_transmit() {
                self.fly(Flying::ToClient(link_of(to), datagram));
            }
            while let Some(event) = self.server.poll_event() {
                self.events.push((self.now, event));
            }
            if inputs.is_empty() {
                return;
            }
            for input in inputs {
                self.client.handle(input, &mut self.tree, stamp(self.now));
            }
        }
    }

    fn perform(&mut self, output: Output, inputs: &mut Vec<Input>) {
        match output {
            Output::Close(link) => {
                self.links.remove(&link);
            }
            Output::Commit(id, _) => inputs.push(Input::Committed(id)),
            Output::Device(op, request) => inputs.push(self.device(op, request)),
            Output::Event(event) => self.client_events.push(event),
            Output::Answer(..)
            | Output::Fetch(..)
            | Output::Forget(..)
            | Output::Host(_)
            | Output::Journal(_)
            | Output::Keep(..) => {}
            Output::Open(link, ..) => {
                self.links.insert(link);
                inputs.push(Input::Link(link, LinkEvent::Up));
            }
            Output::Transmit(link, datagram) => self.fly(Flying::ToServer(link, datagram)),
        }
    }

    /// The device does what it is asked, at once.
    fn device(&mut self, op: OpId, request: DeviceRequest) -> Input {
        let wanted = match request.action {
            Action::Execute { .. } => Vec::new(),
            Action::Read(addresses) => addresses,
            Action::Write { values, .. } => {
                for assignment in values {
                    self.memory
                        .insert(assignment.address, assignment.value.clone());
                    self.written.push((assignment.address, assignment.value));
                }
                self.written
                    .last()
                    .map(|(address, _)| *address)
                    .into_iter()
                    .collect()
            }
        };
        let stamp = stamp(self.now).stamp();
        let samples = wanted
            .into_iter()
            .map(|address| Sample::good(address, self.memory[&address].clone(), stamp))
            .collect();
        let answer = Answer {
            samples,
            failed: Vec::new(),
        };
        Input::Device(DeviceEvent::Done(op, Ok(answer)))
    }

    fn fly(&mut self, flying: Flying) {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (dice, jitter) = (self.random >> 33, self.random >> 40 & 31);
        if dice % 100 < self.weather.loss {
            self.lost += 1;
            return;
        }
        self.flown += 1;
        let arrival = self.now + self.weather.latency + Duration::from_millis(jitter);
        self.flying.insert((arrival, self.flown), flying);
    }
}

fn stamp(now: Duration) -> Now {
    let seconds = i64::try_from(now.as_secs()).expect("a short time");
    Now {
        boot: BootId(1),
        mono: now,
        unix: Some(UnixTime::from_seconds(1_790_000_000 + seconds)),
    }
}

/// Every link has a port of its own, as behind a NAT.
fn address_of(link: LinkId) -> SocketAddr {
    let port = u16::try_from(link.0 % 50_000).expect("small") + 10_000;
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn link_of(address: SocketAddr) -> LinkId {
    LinkId(u64::from(address.port() - 10_000))
}
