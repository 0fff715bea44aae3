//! A client and a scripted server in virtual time, joined by a network that can lose datagrams.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lamplighter_coap::{
    Code, Endpoint, Event as Coap, Method, Params, Request, RequestKey, Response, Token,
};
use lamplighter_lwm2m::{
    boundary::{
        Command, Event, Input, Kept, LinkEvent, LinkId, LocalOperation, LocalRequest, Output,
        RequestId,
    },
    client::{Client, ClientConfig, Creation, DeviceDescription, ServerConfig},
    saved::{Record, RecordKey, SavedQueue},
    tree::Tree,
};
use lamplighter_model::{
    BootId, DataType, Now, ObjectId, ResourceAddress, ResourceId, Sample, Ssid, UnixTime, Value,
    device::{Answer, Declaration, Declared, DeviceEvent, DeviceRequest, Fault, OpId},
    object::{Definitions, Multiplicity, ObjectDef, Operations, ResourceDef, Version},
};

pub(crate) const SSID: Ssid = Ssid(101);
pub(crate) const TEMPERATURE: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
pub(crate) const SET_POINT: ResourceAddress = ResourceAddress::gateway(3308, 0, 5900);
pub(crate) const RESET: ResourceAddress = ResourceAddress::gateway(3303, 0, 5605);
pub(crate) const NAMES: ResourceAddress = ResourceAddress::gateway(3303, 0, 6000);

/// What the server of the test does with a request of the client.
pub(crate) type Script = fn(&Request) -> Option<Response>;

/// Both sides and what passed between them.
pub(crate) struct World {
    pub(crate) client: Client,
    /// Device requests that nobody has answered.
    pub(crate) device: Vec<(OpId, DeviceRequest)>,
    pub(crate) events: Vec<Event>,
    pub(crate) answers: Vec<(
        RequestId,
        Result<lamplighter_lwm2m::boundary::LocalAnswer, lamplighter_lwm2m::reject::Reject>,
    )>,
    /// Bytes that the client has sent.
    pub(crate) bytes: usize,
    /// Links that the client has closed.
    pub(crate) closed: Vec<LinkId>,
    /// Datagrams of the client that are longer are lost.
    pub(crate) hole: usize,
    pub(crate) hosts: usize,
    /// What the store holds for the server.
    pub(crate) kept: BTreeMap<u64, Kept>,
    next_kept: u64,
    /// Bytes of the longest datagram that has reached the server.
    pub(crate) largest: usize,
    pub(crate) link: Option<LinkId>,
    /// Whether links come up when they are asked for.
    pub(crate) links_work: bool,
    /// Datagrams in both directions are lost while set.
    pub(crate) lossy: bool,
    /// Of a hundred datagrams so many are lost, either way.
    pub(crate) loss_percent: u32,
    pub(crate) dice: u32,
    /// Notifications, and answers that came later than their acknowledgement, to be confirmed.
    pub(crate) confirmable: usize,
    pub(crate) notifications: Vec<(Duration, Token, Response)>,
    pub(crate) now: Duration,
    pub(crate) opened: Vec<Duration>,
    /// Requests of the client, with their times.
    pub(crate) requests: Vec<(Duration, Request)>,
    pub(crate) responses: Vec<(Token, Response)>,
    pub(crate) saved: BTreeMap<RecordKey, Record>,
    pub(crate) script: Script,
    pub(crate) server: Endpoint,
    pub(crate) sent: Vec<Duration>,
    pub(crate) tree: Tree,
    pub(crate) unix: Option<i64>,
    pub(crate) boot: u32,
    exchanges: BTreeMap<lamplighter_coap::ExchangeId, ()>,
}

pub(crate) fn accept_all(request: &Request) -> Option<Response> {
    Some(match request.method {
        Method::Delete => Response::new(Code::DELETED),
        Method::Post if request.path == ["rd"] => Response {
            location_path: vec!["rd".to_owned(), "5a3f".to_owned()],
            ..Response::new(Code::CREATED)
        },
        Method::Fetch
        | Method::Get
        | Method::IPatch
        | Method::Patch
        | Method::Post
        | Method::Put => Response::new(Code::CHANGED),
    })
}

pub(crate) fn config() -> ClientConfig {
    ClientConfig {
        bootstrap: None,
        creation: Creation::default(),
        definitions: Arc::new(definitions()),
        device: DeviceDescription {
            manufacturer: "Lamplighter".to_owned(),
            ..DeviceDescription::default()
        },
        endpoint: "cab-17".to_owned(),
        seed: 7,
        servers: vec![server_config()],
    }
}

pub(crate) fn server_config() -> ServerConfig {
    let uri = "coap://server.example".parse().expect("a URI");
    ServerConfig::new("main", SSID, uri)
}

impl World {
    /// Registered, with the devices declared.
    pub(crate) fn registered() -> Self {
        let mut world = Self::new(config(), Vec::new(), accept_all);
        world.run();
        assert!(
            world
                .requests
                .iter()
                .any(|(_, request)| request.path == ["rd"]),
            "no Register"
        );
        world
    }

    pub(crate) fn new(config: ClientConfig, saved: Vec<Record>, script: Script) -> Self {
        Self::at(Duration::from_secs(1000), 1, config, saved, script)
    }

    pub(crate) fn at(
        now: Duration,
        boot: u32,
        config: ClientConfig,
        saved: Vec<Record>,
        script: Script,
    ) -> Self {
        let mut world = Self::bare(now, boot, config, saved, script);
        let refused = world.tree.declare(&Declared {
            added: declarations(),
            removed: Vec::new(),
        });
        assert!(refused.is_empty(), "{refused:?}");
        world
    }

    /// On the first start, with nothing behind the core.
    pub(crate) fn without_devices(config: ClientConfig, script: Script) -> Self {
        Self::bare(Duration::from_secs(1000), 1, config, Vec::new(), script)
    }

    fn bare(
        now: Duration,
        boot: u32,
        config: ClientConfig,
        saved: Vec<Record>,
        script: Script,
    ) -> Self {
        let tree = Tree::new(Arc::clone(&config.definitions));
        let unix = Some(1_790_000_000 + i64::try_from(now.as_secs()).expect("a short time"));
        let at = Now {
            boot: BootId(boot),
            mono: now,
            unix: unix.map(UnixTime::from_seconds),
        };
        Self {
            client: Client::new(config, saved, at),
            device: Vec::new(),
            events: Vec::new(),
            answers: Vec::new(),
            bytes: 0,
            closed: Vec::new(),
            hole: usize::MAX,
            hosts: 0,
            kept: BTreeMap::new(),
            next_kept: 0,
            largest: 0,
            link: None,
            links_work: true,
            lossy: false,
            loss_percent: 0,
            dice: 1,
            confirmable: 0,
            notifications: Vec::new(),
            now,
            opened: Vec::new(),
            requests: Vec::new(),
            responses: Vec::new(),
            saved: BTreeMap::new(),
            script,
            server: Endpoint::new(
                Params {
                    nstart: 64,
                    ..Params::default()
                },
                99,
            ),
            sent: Vec::new(),
            tree,
            unix,
            boot,
            exchanges: BTreeMap::new(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            boot: BootId(self.boot),
            mono: self.now,
            unix: self.unix.map(UnixTime::from_seconds),
        }
    }

    pub(crate) fn input(&mut self, input: Input) {
        let now = self.now();
        self.client.handle(input, &mut self.tree, now);
        self.run();
    }

    /// Passes datagrams until nobody has anything to say.
    pub(crate) fn run(&mut self) {
        loop {
            let mut inputs = Vec::new();
            while let Some(output) = self.client.poll() {
                self.perform(output, &mut inputs);
            }
            self.serve(&mut inputs);
            if inputs.is_empty() {
                return;
            }
            for input in inputs {
                let now = self.now();
                self.client.handle(input, &mut self.tree, now);
            }
        }
    }

    /// Lets time pass, with every timer of both sides at its moment.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        self.run();
        for _ in 0..1_000_000 {
            let client = self.client.poll_timeout().map(|(due, _)| due);
            let due = client.into_iter().chain(self.server.poll_timeout()).min();
            let Some(due) = due.filter(|due| *due <= end) else {
                self.advance_to(end);
                return;
            };
            self.advance_to(due);
            self.server.handle_timeout(self.now);
            self.input(Input::Timeout);
        }
        panic!(
            "timers do not come to rest: {:?}",
            self.client.poll_timeout()
        );
    }

    pub(crate) fn seconds(&mut self, seconds: u64) {
        self.wait(Duration::from_secs(seconds));
    }

    fn advance_to(&mut self, to: Duration) {
        let to = to.max(self.now);
        let passed = to.as_secs() - self.now.as_secs();
        self.unix = self
            .unix
            .map(|unix| unix + i64::try_from(passed).expect("a short time"));
        self.now = to;
    }

    /// A request of the server; the answer is in `responses` when it has come.
    pub(crate) fn request(&mut self, request: Request) {
        let id = self.server.request(request, self.now);
        self.exchanges.insert(id, ());
        self.run();
    }

    /// A request and its answer, which does not wait for a device.
    pub(crate) fn ask(&mut self, request: Request) -> Response {
        let before = self.responses.len();
        self.request(request);
        assert!(self.responses.len() > before, "no answer yet");
        self.responses.last().expect("an answer").1.clone()
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.ask(get(path))
    }

    pub(crate) fn put(&mut self, path: &str, text: &str) -> Response {
        self.ask(Request {
            content_format: Some(0),
            payload: text.as_bytes().to_vec(),
            ..Request::new(Method::Put, segments(path))
        })
    }

    pub(crate) fn execute(&mut self, path: &str, args: &str) -> Response {
        self.ask(Request {
            payload: args.as_bytes().to_vec(),
            ..Request::new(Method::Post, segments(path))
        })
    }

    pub(crate) fn attributes(&mut self, path: &str, queries: &[&str]) -> Response {
        self.ask(Request {
            queries: queries.iter().map(|query| (*query).to_owned()).collect(),
            ..Request::new(Method::Put, segments(path))
        })
    }

    /// The device says something.
    pub(crate) fn sample(&mut self, address: ResourceAddress, value: Value) {
        let sample = Sample::good(address, value, self.now().stamp());
        self.input(Input::Device(DeviceEvent::Changed(vec![sample])));
    }

    pub(crate) fn done(&mut self, result: Result<Answer, Fault>) {
        let (op, _) = self.device.remove(0);
        self.input(Input::Device(DeviceEvent::Done(op, result)));
    }

    pub(crate) fn local(&mut self, operation: LocalOperation) {
        let request = LocalRequest {
            user: "anna".to_owned(),
            operation,
        };
        self.input(Input::Command(Command::Local(RequestId(1), request)));
    }

    /// What the store gives back at the next start.
    pub(crate) fn records(&self) -> Vec<Record> {
        let first = self.kept.keys().next().copied().unwrap_or(self.next_kept);
        let queue = SavedQueue {
            dropped: 0,
            first,
            next: self.next_kept,
        };
        let mut records: Vec<Record> = self.saved.values().cloned().collect();
        if self.next_kept > 0 {
            records.push(Record::Queue(SSID, queue));
        }
        records
    }

    /// The same box some time later, after its process was killed; the server has stayed.
    pub(crate) fn restarted(mut self, later: Duration, boot: u32) -> Self {
        let config = ClientConfig {
            seed: 8,
            ..config()
        };
        let mut world = Self::at(self.now + later, boot, config, self.records(), self.script);
        world.kept = std::mem::take(&mut self.kept);
        world.next_kept = self.next_kept;
        world.saved = self.saved;
        world.server = self.server;
        world.exchanges = self.exchanges;
        world
    }

    /// Times of the client's requests to `path`, since the beginning.
    pub(crate) fn times(&self, path: &[&str]) -> Vec<Duration> {
        self.requests
            .iter()
            .filter(|(_, request)| request.path == path)
            .map(|(at, _)| *at)
            .collect()
    }

    fn perform(&mut self, output: Output, inputs: &mut Vec<Input>) {
        match output {
            Output::Answer(id, answer) => self.answers.push((id, answer)),
            Output::Close(link) => {
                self.closed.push(link);
                if self.link == Some(link) {
                    self.link = None;
                }
            }
            Output::Commit(id, records) => {
                records.into_iter().for_each(|record| self.save(record));
                inputs.push(Input::Committed(id));
            }
            Output::Device(op, request) => self.device.push((op, request)),
            Output::Event(event) => self.events.push(event),
            Output::Host(_) => self.hosts += 1,
            Output::Fetch(ssid, from, most) => {
                let kept = self.kept.range(from..).take(most);
                let kept = kept.map(|(_, kept)| kept.clone()).collect();
                inputs.push(Input::Kept(ssid, kept));
            }
            Output::Erase(ssid, paths) => {
                let before = self.kept.len();
                self.kept.retain(|_, kept| !kept.is_below(&paths));
                let erased = (before - self.kept.len()) as u64;
                inputs.push(Input::KeptErased(ssid, erased));
            }
            Output::Forget(_, upto) => self.kept = self.kept.split_off(&(upto + 1)),
            Output::Keep(_, kept) => {
                for kept in kept {
                    self.next_kept = kept.number + 1;
                    self.kept.insert(kept.number, kept);
                }
            }
            Output::Journal(record) => self.save(record),
            // A second server, which is never reached.
            Output::Open(link, uri, _) if uri.host.starts_with("unreachable") => {
                let why = LinkEvent::Down("no route".to_owned());
                inputs.push(Input::Link(link, why));
            }
            Output::Open(link, ..) => {
                self.opened.push(self.now);
                self.link = Some(link);
                inputs.push(Input::Link(
                    link,
                    if self.links_work {
                        LinkEvent::Up
                    } else {
                        LinkEvent::Down("no route".to_owned())
                    },
                ));
            }
            Output::Transmit(link, datagram) => {
                assert_eq!(Some(link), self.link, "a datagram for a closed link");
                self.sent.push(self.now);
                self.bytes += datagram.len();
                // RFC 7252, 3: version 1, type 0, code 2.05.
                let is_confirmable = datagram.first().is_some_and(|byte| byte & 0x30 == 0);
                if is_confirmable && datagram.get(1) == Some(&0x45) {
                    self.confirmable += 1;
                }
                if !self.loses() && datagram.len() <= self.hole {
                    self.largest = self.largest.max(datagram.len());
                    self.server.receive(&datagram, self.now);
                }
            }
        }
    }

    fn loses(&mut self) -> bool {
        // Numerical Recipes: random enough for packets.
        self.dice = self
            .dice
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        self.lossy || (self.dice >> 16) % 100 < self.loss_percent
    }

    fn save(&mut self, record: Record) {
        if record.is_removal() {
            self.saved.remove(&record.key());
        } else {
            self.saved.insert(record.key(), record);
        }
    }

    fn serve(&mut self, inputs: &mut Vec<Input>) {
        while let Some(event) = self.server.poll_event() {
            match event {
                Coap::Request(key, request) => self.on_request(key, request),
                Coap::Response(id, response) => self.on_response(id, response),
                Coap::Notification(id, response) => {
                    self.notifications.push((self.now, token_of(id), response));
                }
                Coap::Delivered(..) | Coap::Failed(..) => {}
            }
        }
        while let Some(datagram) = self.server.poll_transmit() {
            if let (Some(link), false) = (self.link, self.loses()) {
                inputs.push(Input::Received(link, datagram));
            }
        }
    }

    fn on_request(&mut self, key: RequestKey, request: Request) {
        let response = (self.script)(&request);
        self.requests.push((self.now, request));
        if let Some(response) = response {
            self.server.respond(key, response, self.now);
        }
    }

    fn on_response(&mut self, id: lamplighter_coap::ExchangeId, response: Response) {
        self.responses.push((token_of(id), response));
    }
}

/// Exchanges of the test server have no visible token; their id in debug form stands for it.
fn token_of(id: lamplighter_coap::ExchangeId) -> Token {
    let digits: String = format!("{id:?}")
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    Token::new(&digits.as_bytes()[..digits.len().min(8)]).expect("eight digits")
}

pub(crate) fn segments(path: &str) -> Vec<String> {
    path.split('/')
        .skip(1)
        .filter(|segment| !segment.is_empty())
        .map(str::to_owned)
        .collect()
}

pub(crate) fn get(path: &str) -> Request {
    Request::new(Method::Get, segments(path))
}

pub(crate) fn text(response: &Response) -> &str {
    std::str::from_utf8(&response.payload).expect("text")
}

pub(crate) fn declarations() -> Vec<Declaration> {
    [
        (TEMPERATURE, Operations::R),
        (SET_POINT, Operations::RW),
        (RESET, Operations::E),
        (NAMES, Operations::RW),
        (ResourceAddress::gateway(3303, 1, 5700), Operations::R),
    ]
    .into_iter()
    .map(|(address, operations)| Declaration {
        address,
        operations,
    })
    .collect()
}

fn resource(id: u16, operations: Operations, data_type: DataType) -> ResourceDef {
    ResourceDef {
        id: ResourceId(id),
        name: format!("resource {id}"),
        operations,
        multiplicity: Multiplicity::Single,
        mandatory: false,
        data_type,
        range: None,
        unit: String::new(),
    }
}

fn object(id: u16, version: Version, resources: Vec<ResourceDef>) -> ObjectDef {
    ObjectDef {
        id: ObjectId(id),
        name: format!("object {id}"),
        version,
        multiplicity: Multiplicity::Multiple,
        mandatory: false,
        resources: resources
            .into_iter()
            .map(|resource| (resource.id, resource))
            .collect(),
    }
}

/// A request in one line: method, path, Content-Format, payload.
pub(crate) fn request(
    method: Method,
    path: &str,
    content_format: Option<u16>,
    payload: &[u8],
) -> Request {
    Request {
        content_format,
        payload: payload.to_vec(),
        ..Request::new(method, segments(path))
    }
}

pub(crate) fn accepting(path: &str, accept: u16) -> Request {
    Request {
        accept: Some(accept),
        ..get(path)
    }
}

/// The few definitions that the tests need.
pub(crate) fn definitions() -> Definitions {
    use DataType::{Float, Integer, Opaque, String, Time};
    let mandatory = |resource: ResourceDef| ResourceDef {
        mandatory: true,
        ..resource
    };
    let multiple = |resource: ResourceDef| ResourceDef {
        multiplicity: Multiplicity::Multiple,
        ..resource
    };
    let (r, rw, e) = (Operations::R, Operations::RW, Operations::E);
    let mut definitions = Definitions::default();
    let standard = lamplighter_model::tables::standard();
    let servers = standard.object(ObjectId(1)).expect("object 1");
    definitions.insert(ObjectDef::clone(servers));
    let mut device: Vec<ResourceDef> = [0, 1, 2, 3, 17, 18, 19]
        .into_iter()
        .map(|id| resource(id, r, String))
        .collect();
    device.extend([
        mandatory(resource(4, e, DataType::None)),
        resource(5, e, DataType::None),
        multiple(mandatory(resource(11, r, Integer))),
        resource(12, e, DataType::None),
        resource(13, rw, Time),
        resource(14, rw, String),
        resource(15, rw, String),
        mandatory(resource(16, r, String)),
        resource(9, r, Integer),
    ]);
    definitions.insert(ObjectDef {
        multiplicity: Multiplicity::Single,
        ..object(3, Version::new(1, 2), device)
    });
    definitions.insert(object(
        3303,
        Version::new(1, 1),
        vec![
            mandatory(resource(5700, r, Float)),
            resource(5605, e, DataType::None),
            multiple(resource(6000, rw, String)),
            resource(6001, rw, Opaque),
        ],
    ));
    definitions.insert(object(
        3308,
        Version::V1_0,
        vec![ResourceDef {
            range: Some((0.0, 100.0)),
            ..mandatory(resource(5900, rw, Float))
        }],
    ));
    definitions
}
