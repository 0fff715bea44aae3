//! A whole client core before a server that says anything, or with anything on its disk.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, LazyLock},
    time::Duration,
};

use lamplighter_coap::{Code, Endpoint, Event, Method, Params, Request, Response};
use lamplighter_lwm2m::{
    access::Grants,
    boundary::{Command, Input as CoreInput, Kept, LinkEvent, LinkId, Output},
    client::{Client, ClientConfig, Creation, DeviceDescription, ServerConfig},
    saved::{Record, RecordKey},
    tree::Tree,
};
use lamplighter_model::{
    BootId, Now, Quality, ResourceAddress, ResourcePath, Sample, Scope, Ssid, Stamp, UnixTime,
    Value,
    device::{Answer, Declaration, Declared, DeviceEvent, Fault, OpId},
    object::{Definitions, Operations},
    tables,
};

use crate::input::Input;

static DEFINITIONS: LazyLock<Arc<Definitions>> = LazyLock::new(|| Arc::new(tables::standard()));

const SSID: Ssid = Ssid(101);
const BOOT: BootId = BootId(1);
/// Inputs of one turn, and deadlines of one pause; more is standing still.
const TURNS: u32 = 5_000;
/// Requests to devices that wait.
const WAITING: usize = 64;
/// Methods of requests.
const METHODS: [Method; 7] = [
    Method::Get,
    Method::Put,
    Method::Post,
    Method::Delete,
    Method::Fetch,
    Method::Patch,
    Method::IPatch,
];
/// Content formats of requests; the last is unknown.
const FORMATS: [u16; 12] = [0, 40, 42, 60, 110, 112, 320, 322, 11542, 11543, 11544, 50];

mod bootstrap;

pub(crate) use bootstrap::bootstrap;

struct Rig {
    client: Client,
    /// What the store has.
    saved: BTreeMap<RecordKey, Record>,
    tree: Tree,
    server: Endpoint,
    link: Option<LinkId>,
    now: Duration,
    devices: VecDeque<OpId>,
    kept: BTreeMap<Ssid, VecDeque<Kept>>,
    inputs: VecDeque<CoreInput>,
}

/// A registered client gets requests, datagrams, answers of devices and pauses.
pub(crate) fn messages(bytes: &[u8]) {
    let mut rig = Rig::new(Vec::new());
    rig.turn(CoreInput::Timeout);
    rig.pass(Duration::from_secs(30));
    let mut input = Input::new(bytes);
    while !input.is_empty() {
        rig.step(&mut input);
    }
    rig.pass(Duration::from_secs(600));
}

/// A client starts with these records (CBOR, one behind a length byte each), and lives an hour.
pub(crate) fn restart(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut records: Vec<Record> = Vec::new();
    while !input.is_empty() {
        records.extend(minicbor_serde::from_slice(input.piece()));
    }
    let mut rig = Rig::new(records);
    rig.turn(CoreInput::Timeout);
    rig.pass(Duration::from_secs(60));
    rig.change(ResourcePath::new(3303, 0, 5700), 21.5);
    rig.pass(Duration::from_secs(3600));
}

impl Rig {
    fn new(saved: Vec<Record>) -> Self {
        Self::with(config(), saved)
    }

    fn with(config: ClientConfig, saved: Vec<Record>) -> Self {
        let mut tree = Tree::new(Arc::clone(&DEFINITIONS));
        let refused = tree.declare(&Declared {
            added: declarations(),
            removed: Vec::new(),
        });
        assert!(refused.is_empty(), "{refused:?}");
        let now = Duration::from_secs(1_000);
        Self {
            client: Client::new(config, saved, at(now)),
            saved: BTreeMap::new(),
            tree,
            server: Endpoint::new(
                Params {
                    nstart: 64,
                    ..Params::default()
                },
                99,
            ),
            link: None,
            now,
            devices: VecDeque::new(),
            kept: BTreeMap::new(),
            inputs: VecDeque::new(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 12 {
            0 | 1 => {
                if let Some(link) = self.link {
                    self.turn(CoreInput::Received(link, input.piece().to_vec()));
                }
            }
            2..=5 => self.request(input),
            6 => self.pass(input.pause()),
            7 => self.answer(input),
            8 => {
                let path = input.one_of(&PATHS);
                self.change(path, f64::from(input.byte()));
            }
            9 => self.link_event(input),
            10 => {
                let command = match input.byte() % 6 {
                    0 => Command::Update(SSID),
                    1 => Command::Register(SSID),
                    2 => Command::Deregister(Some(SSID)),
                    3 => Command::DeviceError {
                        code: input.byte(),
                        present: input.is_set(),
                    },
                    4 => Command::Ping,
                    _ => Command::Deregister(None),
                };
                self.turn(CoreInput::Command(command));
            }
            _ => self.turn(CoreInput::Timeout),
        }
    }

    /// A request as a server would make it, with any path and payload.
    fn request(&mut self, input: &mut Input<'_>) {
        let method = input.one_of(&METHODS);
        let flags = input.byte();
        let (format, accept) = (input.one_of(&FORMATS), input.one_of(&FORMATS));
        let path = input.text().split('/').filter(|part| !part.is_empty());
        let mut request = Request::new(method, path.map(str::to_owned).collect());
        if flags & 1 != 0 {
            let queries = input.text().split('&');
            request.queries = queries.map(str::to_owned).collect();
        }
        request.content_format = (flags & 2 != 0).then_some(format);
        request.accept = (flags & 4 != 0).then_some(accept);
        request.observe = (flags & 8 != 0).then_some(u32::from(flags >> 7));
        request.payload = input.piece().to_vec();
        self.server.request(request, self.now);
        self.exchange();
    }

    fn answer(&mut self, input: &mut Input<'_>) {
        let Some(op) = self.devices.pop_front() else {
            return;
        };
        let result = match input.byte() % 4 {
            0 => Err(input.one_of(&[Fault::Busy, Fault::NoValue, Fault::Timeout])),
            1 => Ok(Answer::default()),
            _ => Ok(Answer {
                samples: vec![self.sample(input.one_of(&PATHS), f64::from(input.byte()))],
                failed: Vec::new(),
            }),
        };
        self.turn(CoreInput::Device(DeviceEvent::Done(op, result)));
    }

    fn change(&mut self, path: ResourcePath, value: f64) {
        let sample = self.sample(path, value);
        self.turn(CoreInput::Device(DeviceEvent::Changed(vec![sample])));
    }

    fn sample(&self, path: ResourcePath, value: f64) -> Sample {
        Sample {
            address: address(path),
            index: None,
            value: match path.resource.0 {
                5700 => Value::Float(value),
                5850 => Value::Boolean(value > 100.0),
                _ => Value::String("degC".to_owned()),
            },
            at: Stamp {
                boot: BOOT,
                mono: self.now,
            },
            source_time: None,
            quality: Quality::Good,
        }
    }

    fn link_event(&mut self, input: &mut Input<'_>) {
        let Some(link) = self.link else {
            return;
        };
        let event = match input.byte() % 6 {
            0 => LinkEvent::Down("gone".to_owned()),
            1 => LinkEvent::MtuShrunk(input.number()),
            2 => LinkEvent::Refused,
            3 => LinkEvent::Up,
            4 => {
                let new = LinkId::of_shell(input.byte().into());
                self.link = Some(new);
                LinkEvent::Replacement(new)
            }
            _ => return self.turn(CoreInput::PathUp),
        };
        self.turn(CoreInput::Link(link, event));
    }

    fn pass(&mut self, pause: Duration) {
        let end = self.now + pause;
        for _ in 0..TURNS {
            let client = self.client.poll_timeout().map(|(at, _)| at);
            let next = client.into_iter().chain(self.server.poll_timeout()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.server.handle_timeout(self.now);
            self.turn(CoreInput::Timeout);
        }
        let who = self.client.poll_timeout();
        panic!("{TURNS} deadlines within {pause:?}, the last {who:?}");
    }

    fn turn(&mut self, input: CoreInput) {
        self.inputs.push_back(input);
        self.exchange();
    }

    /// Until nobody has anything to say.
    fn exchange(&mut self) {
        for _ in 0..TURNS {
            self.serve();
            let Some(input) = self.inputs.pop_front() else {
                return;
            };
            self.client.handle(input, &mut self.tree, at(self.now));
            while let Some(output) = self.client.poll() {
                self.perform(output);
            }
        }
        panic!("{TURNS} inputs at one moment");
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Open(link, _, _) => {
                self.link = Some(link);
                self.inputs.push_back(CoreInput::Link(link, LinkEvent::Up));
            }
            Output::Close(link) => self.link = self.link.filter(|open| *open != link),
            Output::Transmit(_, datagram) => {
                let before = self.server.counters().malformed;
                self.server.receive(&datagram, self.now);
                let after = self.server.counters().malformed;
                assert_eq!(before, after, "{datagram:02x?}");
            }
            Output::Commit(id, records) => {
                records.into_iter().for_each(|record| self.save(record));
                self.inputs.push_back(CoreInput::Committed(id));
            }
            Output::Journal(record) => self.save(record),
            Output::Device(op, _) => {
                if self.devices.len() < WAITING {
                    self.devices.push_back(op);
                }
            }
            Output::Keep(ssid, kept) => self.kept.entry(ssid).or_default().extend(kept),
            Output::Fetch(ssid, from, at_most) => {
                let kept = self.kept.entry(ssid).or_default().iter();
                let kept = kept.filter(|kept| kept.number >= from).take(at_most);
                let input = CoreInput::Kept(ssid, kept.cloned().collect());
                self.inputs.push_back(input);
            }
            Output::Erase(ssid, paths) => {
                let queue = self.kept.entry(ssid).or_default();
                let before = queue.len();
                queue.retain(|kept| !kept.is_below(&paths));
                let erased = (before - queue.len()) as u64;
                self.inputs.push_back(CoreInput::KeptErased(ssid, erased));
            }
            Output::Forget(ssid, up_to) => {
                let queue = self.kept.entry(ssid).or_default();
                queue.retain(|kept| kept.number > up_to);
            }
            Output::Answer(..) | Output::Event(_) | Output::Host(_) => {}
        }
    }

    fn save(&mut self, record: Record) {
        if record.is_removal() {
            self.saved.remove(&record.key());
        } else {
            self.saved.insert(record.key(), record);
        }
    }

    /// The server takes every registration and every report.
    fn serve(&mut self) {
        while let Some(event) = self.server.poll_event() {
            if let Event::Request(key, request) = event {
                let mut response = Response::new(Code::CHANGED);
                if request.path == ["rd"] {
                    response = Response::new(Code::CREATED);
                    response.location_path = vec!["rd".to_owned(), "1".to_owned()];
                }
                self.server.respond(key, response, self.now);
            }
        }
        while let Some(datagram) = self.server.poll_transmit() {
            if let Some(link) = self.link {
                self.inputs.push_back(CoreInput::Received(link, datagram));
            }
        }
    }
}

/// What the devices have.
const PATHS: [ResourcePath; 4] = [
    ResourcePath::new(3303, 0, 5700),
    ResourcePath::new(3303, 0, 5701),
    ResourcePath::new(3303, 1, 5700),
    ResourcePath::new(3311, 0, 5850),
];

fn address(path: ResourcePath) -> ResourceAddress {
    ResourceAddress {
        scope: Scope::Gateway,
        path,
    }
}

fn declarations() -> Vec<Declaration> {
    let declaration = |path: &ResourcePath| Declaration {
        address: address(*path),
        operations: if path.resource.0 == 5850 {
            Operations::RW
        } else {
            Operations::R
        },
    };
    PATHS.iter().map(declaration).collect()
}

fn config() -> ClientConfig {
    let uri = "coap://server.example".parse().expect("a URI");
    ClientConfig {
        bootstrap: None,
        creation: Creation::default(),
        definitions: Arc::clone(&DEFINITIONS),
        device: DeviceDescription::default(),
        endpoint: "fuzz".to_owned(),
        seed: 7,
        servers: vec![ServerConfig {
            rights: Grants {
                owner: true,
                rights: BTreeMap::new(),
            },
            ..ServerConfig::new("main", SSID, uri)
        }],
    }
}

fn at(now: Duration) -> Now {
    let since = i64::try_from(now.as_secs()).unwrap_or(0);
    Now {
        boot: BOOT,
        mono: now,
        unix: Some(UnixTime::from_seconds(1_790_000_000 + since)),
    }
}
