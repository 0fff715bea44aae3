//! The real client core against this server, in virtual time over a network with latency and loss.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use lamplighter_coap::Code;
use lamplighter_lwm2m::{
    boundary::{Command, Event, Input, LinkEvent, LinkId, Output},
    client::{Client, ClientConfig, DeviceDescription, ServerConfig, VersionChoice},
    format::ContentFormat,
    tree::Tree,
};
use lamplighter_model::{
    BootId, Now, Path, ResourceAddress, Sample, Ssid, UnixTime, Value,
    device::{Action, Answer, Declaration, Declared, DeviceEvent, DeviceRequest, OpId},
    object::Operations,
    tables,
};
use lamplighter_sim::server::{
    Answer as Told, CancelMode, LwServer, Operation, RequestError, RequestId, ServerEvent,
    ServerOptions, WriteMode,
};

const SERVER: Ssid = Ssid(101);
const NAME: &str = "cab-17";
const TEMPERATURE: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
const SET_POINT: ResourceAddress = ResourceAddress::gateway(3308, 0, 5900);

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug)]
struct Weather {
    latency: Duration,
    /// How many of 100 datagrams are lost.
    loss: u64,
}

const FAIR: Weather = Weather {
    latency: Duration::from_millis(40),
    loss: 0,
};
const FOUL: Weather = Weather {
    latency: Duration::from_millis(300),
    loss: 20,
};

/// A datagram on its way.
#[derive(Debug)]
enum Flying {
    ToClient(LinkId, Vec<u8>),
    ToServer(LinkId, Vec<u8>),
}

/// Client, server, what lies between them, and a device with a memory behind the client.
struct World {
    client: Client,
    tree: Tree,
    server: LwServer,
    now: Duration,
    weather: Weather,
    random: u64,
    /// By arrival, then by number.
    flying: BTreeMap<(Duration, u64), Flying>,
    flown: u64,
    lost: u64,
    links: BTreeSet<LinkId>,
    memory: BTreeMap<ResourceAddress, Value>,
    /// What the device was asked to write.
    written: Vec<(ResourceAddress, Value)>,
    client_events: Vec<Event>,
    events: Vec<(Duration, ServerEvent)>,
}

impl World {
    fn new(weather: Weather, lifetime: u64) -> Self {
        let definitions = Arc::new(tables::standard());
        let config = ClientConfig {
            definitions: Arc::clone(&definitions),
            device: DeviceDescription {
                manufacturer: "Lamplighter".to_owned(),
                ..DeviceDescription::default()
            },
            endpoint: NAME.to_owned(),
            seed: 3,
            servers: vec![ServerConfig {
                lifetime: Duration::from_secs(lifetime),
                name: "main".to_owned(),
                object_versions: BTreeMap::new(),
                ssid: SERVER,
                store_notifications: true,
                uri: "coap://server.example".parse().expect("a URI"),
                version: VersionChoice::Auto,
            }],
        };
        let mut tree = Tree::new(Arc::clone(&definitions));
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
            server: LwServer::new(ServerOptions {
                definitions,
                ..ServerOptions::default()
            }),
            now,
            weather,
            random: 42,
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
    fn registered(weather: Weather, lifetime: u64) -> Self {
        let mut world = Self::new(weather, lifetime);
        let registered = |world: &Self| world.server.client(NAME).is_some();
        world.until(Duration::from_secs(600), registered);
        // The answer has to arrive, too.
        let told = |world: &Self| world.told(|event| matches!(event, Event::Registered { .. }));
        world.until(Duration::from_secs(600), told);
        world.events.clear();
        world
    }

    fn told(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.client_events.iter().any(wanted)
    }

    /// An input of the client.
    fn input(&mut self, input: Input) {
        self.client.handle(input, &mut self.tree, stamp(self.now));
        self.settle();
    }

    /// The device has a new value.
    fn change(&mut self, address: ResourceAddress, value: Value) {
        self.memory.insert(address, value.clone());
        let sample = Sample::good(address, value, stamp(self.now).stamp());
        self.input(Input::Device(DeviceEvent::Changed(vec![sample])));
    }

    /// Asks the client and lets time pass until it has answered.
    fn ask(&mut self, operation: &Operation) -> Result<Told, RequestError> {
        let id = self.server.request(NAME, operation, self.now)?;
        self.settle();
        self.answer(id)
    }

    fn answer(&mut self, id: RequestId) -> Result<Told, RequestError> {
        let is_over = |(_, event): &(Duration, ServerEvent)| match event {
            ServerEvent::Answered(over, ..) | ServerEvent::Failed(over, ..) => *over == id,
            ServerEvent::Deregistered(_)
            | ServerEvent::Expired(_)
            | ServerEvent::Notified(..)
            | ServerEvent::ObservationEnded(..)
            | ServerEvent::Registered(_)
            | ServerEvent::Updated(_) => false,
        };
        self.until(Duration::from_secs(300), |world| {
            world.events.iter().any(is_over)
        });
        let at = self.events.iter().position(is_over).expect("over");
        match self.events.remove(at).1 {
            ServerEvent::Answered(_, _, answer) => Ok(answer),
            ServerEvent::Failed(_, _, error) => Err(error),
            event => panic!("{event:?}"),
        }
    }

    fn observe(&mut self, path: Path) -> (RequestId, Told) {
        let observe = Operation::Observe(path, Some(ContentFormat::SenmlCbor));
        let id = self.server.request(NAME, &observe, self.now).expect("sent");
        self.settle();
        let first = self.answer(id).expect("an answer");
        (id, first)
    }

    /// Values and times of the notifications until now; they are told once.
    fn notified(&mut self) -> Vec<(Duration, Option<Value>)> {
        let events = std::mem::take(&mut self.events);
        let (notified, others) = events
            .into_iter()
            .partition(|(_, event)| matches!(event, ServerEvent::Notified(..)));
        self.events = others;
        let notified: Vec<(Duration, ServerEvent)> = notified;
        notified
            .into_iter()
            .map(|(at, event)| match event {
                ServerEvent::Notified(_, _, answer) => (at, answer.value().cloned()),
                event => panic!("{event:?}"),
            })
            .collect()
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    fn seconds(&mut self, seconds: u64) {
        self.wait(Duration::from_secs(seconds));
    }

    /// Lets time pass until this holds.
    fn until(&mut self, limit: Duration, holds: impl Fn(&Self) -> bool) {
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
    fn settle(&mut self) {
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
            Output::Answer(..) | Output::Host(_) | Output::Journal(_) => {}
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

fn path(text: &str) -> Path {
    text.parse().expect("a path")
}

fn write(value: f64) -> Operation {
    let path = Path::Resource(SET_POINT.path);
    let mode = WriteMode::Replace;
    Operation::write_value(path, Value::Float(value), ContentFormat::Tlv, mode).expect("a resource")
}

fn read(text: &str, format: ContentFormat) -> Operation {
    Operation::Read(path(text), Some(format))
}

#[test]
fn a_client_registers_with_its_objects() {
    let world = World::registered(FAIR, 300);
    let client = world.server.client(NAME).expect("registered");
    let paths: Vec<String> = client.paths().map(|path| path.to_string()).collect();
    for wanted in ["/1/0", "/3/0", "/3303/0", "/3308/0"] {
        assert!(
            paths.iter().any(|path| path == wanted),
            "{wanted}: {paths:?}"
        );
    }
    assert_eq!(client.lifetime, Duration::from_secs(300));
}

#[test]
fn core_objects_and_a_device_are_read_in_every_format() {
    let mut world = World::registered(FAIR, 300);
    let structured = [
        ContentFormat::Tlv,
        ContentFormat::SenmlJson,
        ContentFormat::SenmlCbor,
    ];
    for format in structured {
        for object in ["/1", "/3", "/3/0"] {
            let answer = world.ask(&read(object, format)).expect("an answer");
            assert_eq!(answer.code, Code::CONTENT, "{object} {format:?}");
            assert_eq!(answer.problem, None, "{object} {format:?}");
            assert!(!answer.nodes.is_empty(), "{object} {format:?}");
        }
        let answer = world.ask(&read("/3303/0/5700", format)).expect("an answer");
        assert_eq!(answer.value(), Some(&Value::Float(20.5)), "{format:?}");
    }
    let text = read("/3/0/0", ContentFormat::Text);
    let answer = world.ask(&text).expect("an answer");
    assert_eq!(
        answer.value(),
        Some(&Value::String("Lamplighter".to_owned()))
    );
}

#[test]
fn what_a_server_may_not_do_is_refused() {
    let mut world = World::registered(FAIR, 300);
    let mut code = |operation: Operation| world.ask(&operation).expect("an answer").code;
    assert_eq!(code(Operation::Read(path("/0"), None)), Code::UNAUTHORIZED);
    assert_eq!(code(Operation::Read(path("/9/0"), None)), Code::NOT_FOUND);
    let temperature = path("/3303/0/5700");
    let write = Operation::write_value(
        temperature,
        Value::Float(1.0),
        ContentFormat::Text,
        WriteMode::Replace,
    );
    assert_eq!(code(write.expect("a resource")), Code::METHOD_NOT_ALLOWED);
    let execute = Operation::Execute(temperature, String::new());
    assert_eq!(code(execute), Code::METHOD_NOT_ALLOWED);
}

#[test]
fn a_write_reaches_the_device() {
    let mut world = World::registered(FAIR, 300);
    let answer = world.ask(&write(23.5)).expect("an answer");
    assert_eq!(answer.code, Code::CHANGED);
    assert_eq!(world.written, [(SET_POINT, Value::Float(23.5))]);
    let text = read("/3308/0/5900", ContentFormat::Text);
    let answer = world.ask(&text).expect("an answer");
    assert_eq!(answer.value(), Some(&Value::Float(23.5)));
}

#[test]
fn discover_lists_what_is_there() {
    let mut world = World::registered(FAIR, 300);
    let answer = world
        .ask(&Operation::Discover(path("/3303")))
        .expect("an answer");
    let targets: Vec<_> = answer
        .links
        .iter()
        .map(|link| link.target.as_str())
        .collect();
    assert!(targets.contains(&"/3303/0/5700"), "{targets:?}");
}

#[test]
fn notifications_keep_pmin_and_pmax() {
    let mut world = World::registered(FAIR, 3_600);
    let temperature = path("/3303/0/5700");
    let periods = vec!["pmin=10".to_owned(), "pmax=60".to_owned()];
    let attributes = Operation::WriteAttributes(temperature, periods);
    assert_eq!(
        world.ask(&attributes).expect("an answer").code,
        Code::CHANGED
    );
    world
        .ask(&read("/3303/0/5700", ContentFormat::Text))
        .expect("an answer");
    let (id, first) = world.observe(temperature);
    assert!(first.is_observed());
    assert_eq!(first.value(), Some(&Value::Float(20.5)));
    let begun = world.now;

    // Five changes within five seconds are one notification, with the last of them.
    for n in 0..5 {
        world.change(TEMPERATURE, Value::Float(21.0 + f64::from(n)));
        world.seconds(1);
    }
    world.seconds(15);
    let [(at, value)] = world.notified().try_into().expect("one notification");
    assert_eq!(value, Some(Value::Float(25.0)));
    let after = at - begun;
    assert!((9..=11).contains(&after.as_secs()), "pmin: {after:?}");

    // Without any change there is one a minute.
    world.seconds(185);
    let repeated = world.notified();
    assert_eq!(repeated.len(), 3, "pmax: {repeated:?}");

    let cancel = world.server.cancel(id, CancelMode::Active, world.now);
    let cancel = cancel.expect("observed").expect("a request");
    world.settle();
    assert!(!world.answer(cancel).expect("an answer").is_observed());
    world.change(TEMPERATURE, Value::Float(5.0));
    world.seconds(200);
    assert_eq!(world.notified(), []);
}

#[test]
fn an_observation_that_is_reset_is_over_for_the_client_too() {
    let mut world = World::registered(FAIR, 3_600);
    let (id, _) = world.observe(path("/3303/0/5700"));
    let cancelled = world.server.cancel(id, CancelMode::Reset, world.now);
    assert_eq!(cancelled, Ok(None));
    for n in 0..3 {
        world.change(TEMPERATURE, Value::Float(30.0 + f64::from(n)));
        world.seconds(5);
    }
    let before = world.server.counters().datagrams_in;
    world.change(TEMPERATURE, Value::Float(40.0));
    world.seconds(5);
    assert_eq!(world.server.counters().datagrams_in, before);
}

#[test]
fn an_update_comes_before_the_lifetime_ends() {
    let mut world = World::registered(FAIR, 300);
    world.seconds(3_000);
    let is_expired =
        |(_, event): &(Duration, ServerEvent)| matches!(event, ServerEvent::Expired(_));
    assert!(!world.events.iter().any(is_expired));
    let client = world.server.client(NAME).expect("registered");
    assert!((10..=20).contains(&client.updates), "{}", client.updates);
}

#[test]
fn a_lifetime_that_the_server_writes_is_confirmed_by_an_update() {
    let mut world = World::registered(FAIR, 3_600);
    let lifetime = path("/1/0/1");
    let mode = WriteMode::Replace;
    let write = Operation::write_value(lifetime, Value::Integer(120), ContentFormat::Text, mode);
    let answer = world.ask(&write.expect("a resource")).expect("an answer");
    assert_eq!(answer.code, Code::CHANGED);
    world.seconds(10);
    let client = world.server.client(NAME).expect("registered");
    assert_eq!(client.lifetime, Duration::from_secs(120));
}

#[test]
fn a_client_registers_anew_when_the_server_has_forgotten_it() {
    let mut world = World::registered(FAIR, 300);
    assert!(world.server.forget(NAME, world.now));
    world.until(Duration::from_secs(300), |world| {
        world.server.client(NAME).is_some()
    });
    world.seconds(1);
    let text = read("/3303/0/5700", ContentFormat::Text);
    assert_eq!(world.ask(&text).expect("an answer").code, Code::CONTENT);
}

#[test]
fn a_client_that_stops_deregisters() {
    let mut world = World::registered(FAIR, 300);
    world.input(Input::Command(Command::Stop));
    world.seconds(5);
    assert!(world.server.client(NAME).is_none());
    assert!(world.told(|event| *event == Event::Stopped));
    let deregistered = ServerEvent::Deregistered(NAME.into());
    assert!(world.events.iter().any(|(_, event)| *event == deregistered));
}

#[test]
fn one_datagram_lost_in_five_delays_everything_and_breaks_nothing() {
    let mut world = World::registered(FOUL, 600);
    let (_, first) = world.observe(path("/3303/0/5700"));
    assert!(first.is_observed());
    for n in 0..40 {
        let value = 20.0 + f64::from(n);
        let answer = world.ask(&write(value)).expect("an answer");
        assert_eq!(answer.code, Code::CHANGED);
        let answer = world.ask(&read("/3308/0/5900", ContentFormat::SenmlJson));
        assert_eq!(
            answer.expect("an answer").value(),
            Some(&Value::Float(value))
        );
        world.change(TEMPERATURE, Value::Float(value));
        world.seconds(30);
    }
    // Each Write was done once, however often its datagrams were repeated.
    assert_eq!(world.written.len(), 40);
    assert!(world.lost > 20, "only {} lost", world.lost);
    assert!(world.notified().len() >= 20);
    world.seconds(3_000);
    assert!(world.server.client(NAME).is_some());
}
