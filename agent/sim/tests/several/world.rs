//! One client core and several servers, each on a host of its own, joined by a network that takes no
//! time; a set point and a temperature behind the client. Time passes on demand only.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use lamplighter_coap::Code;
use lamplighter_lwm2m::{
    access::Grants,
    boundary::{Event, Input, Kept, LinkEvent, LinkId, Output},
    client::{Client, ClientConfig, Creation, DeviceDescription, ServerConfig},
    format::ContentFormat,
    saved::{Record, RecordKey},
    tree::Tree,
};
use lamplighter_model::{
    BootId, Now, Path, ResourceAddress, Sample, Ssid, UnixTime, Value,
    device::{Action, Answer, Declaration, Declared, DeviceEvent, DeviceRequest, OpId},
    object::Operations,
};
use lamplighter_sim::server::{
    Answer as Told, LwServer, Operation, RequestId, ServerEvent, ServerOptions, WriteMode,
};

pub(crate) const NAME: &str = "cab-17";
pub(crate) const TEMPERATURE: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
pub(crate) const SET_POINT: ResourceAddress = ResourceAddress::gateway(3308, 0, 5900);

/// The servers, by their place.
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;

/// `owner`, and `rights` by pattern.
pub(crate) type Share<'a> = (bool, &'a [(&'a str, &'a str)]);

pub(crate) struct World {
    client: Client,
    tree: Tree,
    hosts: Vec<Host>,
    pub(crate) now: Duration,
    links: BTreeMap<LinkId, usize>,
    memory: BTreeMap<ResourceAddress, Value>,
    saved: BTreeMap<RecordKey, Record>,
    kept: BTreeMap<Ssid, BTreeMap<u64, Kept>>,
    pub(crate) told: Vec<Event>,
}

struct Host {
    server: LwServer,
    /// Nothing reaches it.
    is_mute: bool,
    events: Vec<(Duration, ServerEvent)>,
}

pub(crate) fn ssid(server: usize) -> Ssid {
    Ssid(101 + server as u16)
}

pub(crate) fn path(text: &str) -> Path {
    text.parse().expect("a path")
}

pub(crate) fn account(server: usize, (owner, rights): Share<'_>) -> ServerConfig {
    let rights = rights.iter().map(|(pattern, rights)| {
        (
            pattern.parse().expect("a pattern"),
            rights.parse().expect("rights"),
        )
    });
    let uri = format!("coap://{server}.example").parse().expect("a URI");
    ServerConfig {
        rights: Grants {
            owner,
            rights: rights.collect(),
        },
        ..ServerConfig::new(&format!("server{server}"), ssid(server), uri)
    }
}

impl World {
    /// Registered with everybody who is not mute.
    pub(crate) fn new(shares: &[Share<'_>], mute: &[usize]) -> Self {
        let now = Duration::from_secs(1_000);
        let hosts = (0..shares.len()).map(|number| Host {
            server: LwServer::new(ServerOptions {
                seed: number as u64,
                ..ServerOptions::default()
            }),
            is_mute: mute.contains(&number),
            events: Vec::new(),
        });
        let mut world = Self {
            client: Client::new(config(shares), Vec::new(), stamp(now)),
            tree: tree(),
            hosts: hosts.collect(),
            now,
            links: BTreeMap::new(),
            memory: [
                (TEMPERATURE, Value::Float(20.5)),
                (SET_POINT, Value::Float(21.0)),
            ]
            .into(),
            saved: BTreeMap::new(),
            kept: BTreeMap::new(),
            told: Vec::new(),
        };
        world.settle();
        world.change(TEMPERATURE, 20.5);
        world.change(SET_POINT, 21.0);
        world
    }

    /// The power was cut and is back; the configuration may be another.
    pub(crate) fn restart(&mut self, shares: &[Share<'_>]) {
        let saved = self.saved.values().cloned().collect();
        self.links.clear();
        self.now += Duration::from_secs(5);
        self.client = Client::new(config(shares), saved, stamp(self.now));
        self.tree = tree();
        self.settle();
        self.change(TEMPERATURE, 20.5);
        self.change(SET_POINT, 21.0);
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.client.handle(input, &mut self.tree, stamp(self.now));
        self.settle();
    }

    /// The device has a new value.
    pub(crate) fn change(&mut self, address: ResourceAddress, value: f64) {
        self.memory.insert(address, Value::Float(value));
        let sample = Sample::good(address, Value::Float(value), stamp(self.now).stamp());
        self.input(Input::Device(DeviceEvent::Changed(vec![sample])));
    }

    pub(crate) fn declare(&mut self, addresses: &[ResourceAddress]) {
        self.input(Input::Device(DeviceEvent::Declared(declared(addresses))));
    }

    pub(crate) fn remove(&mut self, address: ResourceAddress) {
        self.input(Input::Device(DeviceEvent::Declared(Declared {
            added: Vec::new(),
            removed: vec![address],
        })));
    }

    /// Everything that happens until then.
    pub(crate) fn seconds(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            let client = self.client.poll_timeout().map(|(at, _)| at);
            let servers = self.hosts.iter().map(|host| host.server.poll_timeout());
            let next = servers.chain([client]).flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = next.max(self.now);
            let now = self.now;
            for host in &mut self.hosts {
                host.server.handle_timeout(now);
            }
            self.input(Input::Timeout);
        }
    }

    /// Nobody is reached.
    pub(crate) fn cut(&mut self, is_cut: bool) {
        for host in &mut self.hosts {
            host.is_mute = is_cut;
        }
    }

    pub(crate) fn silence(&mut self, server: usize, is_mute: bool) {
        self.hosts[server].is_mute = is_mute;
    }

    pub(crate) fn is_registered(&self, server: usize) -> bool {
        self.hosts[server].server.client(NAME).is_some()
    }

    /// Bytes of the list of what there is.
    pub(crate) fn register_size(&self) -> usize {
        self.client
            .register_payload_size(&self.tree, stamp(self.now))
    }

    /// What a server was told that there is.
    pub(crate) fn listed(&self, server: usize) -> BTreeSet<String> {
        let client = self.hosts[server].server.client(NAME).expect("registered");
        client.paths().map(|path| path.to_string()).collect()
    }

    /// Asks the client, which answers at once.
    pub(crate) fn ask(&mut self, server: usize, operation: &Operation) -> Told {
        let id = self.begin(server, operation);
        let events = &mut self.hosts[server].events;
        let at = events
            .iter()
            .position(|(_, event)| matches!(event, ServerEvent::Answered(over, ..) if *over == id))
            .unwrap_or_else(|| panic!("no answer to {operation:?}: {events:?}"));
        let ServerEvent::Answered(_, _, answer) = events.remove(at).1 else {
            panic!("it was one");
        };
        answer
    }

    /// Whether a change waits for being confirmed.
    pub(crate) fn has_trials(&self) -> bool {
        let mut saved = self.saved.values();
        saved.any(|record| matches!(record, Record::Trial(..)))
    }

    pub(crate) fn begin(&mut self, server: usize, operation: &Operation) -> RequestId {
        let server = &mut self.hosts[server].server;
        let id = server.request(NAME, operation, self.now).expect("sent");
        self.settle();
        id
    }

    pub(crate) fn code(&mut self, server: usize, operation: &Operation) -> Code {
        self.ask(server, operation).code
    }

    pub(crate) fn read(&mut self, server: usize, text: &str) -> Told {
        self.ask(
            server,
            &Operation::Read(path(text), Some(ContentFormat::SenmlJson)),
        )
    }

    pub(crate) fn observe(&mut self, server: usize, text: &str) {
        let answer = self.ask(
            server,
            &Operation::Observe(path(text), Some(ContentFormat::SenmlJson)),
        );
        assert!(answer.is_observed(), "{answer:?}");
    }

    /// Values of the notifications of a server since last asked.
    pub(crate) fn notified(&mut self, server: usize) -> Vec<(Duration, Value)> {
        let mut notified = Vec::new();
        self.hosts[server].events.retain(|(at, event)| {
            let ServerEvent::Notified(_, _, answer) = event else {
                return true;
            };
            notified.extend(answer.value().map(|value| (*at, value.clone())));
            false
        });
        notified
    }

    /// Paths of what a server was sent without asking since last asked.
    pub(crate) fn sent(&mut self, server: usize) -> Vec<String> {
        let mut sent = Vec::new();
        self.hosts[server].events.retain(|(_, event)| {
            let ServerEvent::Sent(_, nodes) = event else {
                return true;
            };
            sent.extend(nodes.iter().map(|node| node.path.to_string()));
            false
        });
        sent
    }

    /// The instance of object 2 that is about a path, as a server finds it.
    pub(crate) fn about(&mut self, server: usize, object: i64, instance: i64) -> Option<String> {
        let all = self.read(server, "/2").nodes;
        let holds = |path: String, value: i64| {
            let value = Value::Integer(value);
            all.iter().any(|node| {
                node.path.to_string() == path
                    && node.content == lamplighter_lwm2m::format::Content::Single(value.clone())
            })
        };
        let instances: BTreeSet<String> = all
            .iter()
            .map(|node| node.path.instance.to_string())
            .collect();
        instances
            .into_iter()
            .find(|at| holds(format!("{at}/0"), object) && holds(format!("{at}/1"), instance))
    }

    fn settle(&mut self) {
        loop {
            let mut inputs = Vec::new();
            while let Some(output) = self.client.poll() {
                self.perform(output, &mut inputs);
            }
            for host in &mut self.hosts {
                while let Some((to, datagram)) = host.server.poll_transmit() {
                    inputs.push(Input::Received(link_of(to), datagram));
                }
                while let Some(event) = host.server.poll_event() {
                    host.events.push((self.now, event));
                }
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
            Output::Commit(id, records) => {
                records.into_iter().for_each(|record| self.keep(record));
                inputs.push(Input::Committed(id));
            }
            Output::Device(op, request) => inputs.push(self.device(op, request)),
            Output::Event(event) => self.told.push(event),
            Output::Fetch(ssid, from, count) => {
                let kept = self.kept.entry(ssid).or_default().range(from..).take(count);
                let kept = kept.map(|(_, kept)| kept.clone()).collect();
                inputs.push(Input::Kept(ssid, kept));
            }
            Output::Erase(ssid, paths) => {
                let kept = self.kept.entry(ssid).or_default();
                let before = kept.len();
                kept.retain(|_, kept| !kept.is_below(&paths));
                inputs.push(Input::KeptErased(ssid, (before - kept.len()) as u64));
            }
            Output::Forget(ssid, to) => {
                let kept = self.kept.entry(ssid).or_default();
                *kept = kept.split_off(&(to + 1));
            }
            Output::Keep(ssid, samples) => {
                let samples = samples.into_iter().map(|kept| (kept.number, kept));
                self.kept.entry(ssid).or_default().extend(samples);
            }
            Output::Journal(record) => self.keep(record),
            Output::Open(link, uri, _) => {
                let host = uri.host.split('.').next().expect("a name");
                self.links.insert(link, host.parse().expect("a number"));
                inputs.push(Input::Link(link, LinkEvent::Up));
            }
            Output::Transmit(link, datagram) => {
                let host = &mut self.hosts[self.links[&link]];
                if !host.is_mute {
                    host.server
                        .handle_datagram(address_of(link), &datagram, self.now);
                }
            }
            Output::Answer(..) | Output::Host(_) => {}
        }
    }

    fn keep(&mut self, record: Record) {
        if record.is_removal() {
            self.saved.remove(&record.key());
        } else {
            self.saved.insert(record.key(), record);
        }
    }

    /// The device does what it is asked, at once.
    fn device(&mut self, op: OpId, request: DeviceRequest) -> Input {
        let wanted: Vec<ResourceAddress> = match request.action {
            Action::Execute { .. } | Action::WritePart(_) => Vec::new(),
            Action::Read(addresses) => addresses,
            Action::Write { values, .. } => {
                let write = values.into_iter().map(|assignment| {
                    self.memory.insert(assignment.address, assignment.value);
                    assignment.address
                });
                write.collect()
            }
        };
        let stamp = stamp(self.now).stamp();
        let sample = |address| Sample::good(address, self.memory[&address].clone(), stamp);
        let answer = Answer {
            samples: wanted.into_iter().map(sample).collect(),
            failed: Vec::new(),
        };
        Input::Device(DeviceEvent::Done(op, Ok(answer)))
    }
}

/// Forgets extremes of [`TEMPERATURE`].
pub(crate) const RESET: ResourceAddress = ResourceAddress::gateway(3303, 0, 5605);

const EXECUTABLE: Operations = Operations {
    read: false,
    write: false,
    execute: true,
};

/// Writes the set point.
pub(crate) fn write(value: f64) -> Operation {
    write_value("/3308/0/5900", Value::Float(value))
}

pub(crate) fn write_value(text: &str, value: Value) -> Operation {
    Operation::write_value(path(text), value, ContentFormat::Tlv, WriteMode::Replace)
        .expect("a resource")
}

fn config(shares: &[Share<'_>]) -> ClientConfig {
    let servers = shares.iter().enumerate();
    ClientConfig {
        bootstrap: None,
        creation: Creation::default(),
        definitions: ServerOptions::default().definitions,
        device: DeviceDescription::default(),
        endpoint: NAME.to_owned(),
        seed: 3,
        servers: servers
            .map(|(number, share)| account(number, *share))
            .collect(),
    }
}

fn tree() -> Tree {
    let mut tree = Tree::new(Arc::clone(&ServerOptions::default().definitions));
    let refused = tree.declare(&declared(&[TEMPERATURE, SET_POINT]));
    assert!(refused.is_empty(), "{refused:?}");
    tree
}

fn declared(addresses: &[ResourceAddress]) -> Declared {
    let added = addresses.iter().map(|address| Declaration {
        address: *address,
        operations: if *address == RESET {
            EXECUTABLE
        } else {
            Operations::RW
        },
    });
    Declared {
        added: added.collect(),
        removed: Vec::new(),
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

/// Every link has a port of its own.
fn address_of(link: LinkId) -> SocketAddr {
    let port = u16::try_from(link.0).expect("small") + 10_000;
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn link_of(address: SocketAddr) -> LinkId {
    LinkId(u64::from(address.port() - 10_000))
}
