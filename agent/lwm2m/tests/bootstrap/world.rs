//! A client between its bootstrap server and other servers, in virtual time; its power can be cut
//! behind any output.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lamplighter_coap::{
    Code, Endpoint, Event as Coap, ExchangeId, Method, Params, Request, RequestKey, Response,
};
use lamplighter_lwm2m::{
    boundary::{BootstrapEvent, Command, Event, Input, Kept, LinkEvent, LinkId, Output},
    client::{BootstrapConfig, Client, ClientConfig, Creation, DeviceDescription, ServerConfig},
    format::{self, Content, ContentFormat, Node},
    saved::{Record, RecordKey, SavedQueue},
    security::SecurityAccount,
    server::ServerState,
    tree::Tree,
};
use lamplighter_model::{
    BootId, Now, Path, ResourceAddress, ResourceInstanceId, Sample, Ssid, UnixTime, Value,
    device::{Declaration, Declared, DeviceEvent},
    object::Operations,
    tables,
};

pub(crate) const BS: &str = "bs.example";
pub(crate) const A: &str = "a.example";
pub(crate) const B: &str = "b.example";
pub(crate) const SSID_A: u16 = 101;
pub(crate) const SSID_B: u16 = 102;
pub(crate) const TEMPERATURE: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);

/// What a server does with a request of the client; `None`: nothing.
pub(crate) type Script = fn(&Request) -> Option<Response>;

pub(crate) struct World {
    boot: u32,
    pub(crate) client: Client,
    /// Outputs that are performed until the power is cut.
    pub(crate) cut: Option<usize>,
    pub(crate) events: Vec<Event>,
    /// The box does not know the date.
    is_dateless: bool,
    pub(crate) kept: BTreeMap<(Ssid, u64), Kept>,
    links: BTreeMap<LinkId, String>,
    pub(crate) now: Duration,
    /// How many outputs were performed.
    pub(crate) outputs: usize,
    pub(crate) peers: BTreeMap<String, Peer>,
    pub(crate) saved: BTreeMap<RecordKey, Record>,
    /// Records that were written, of each key.
    pub(crate) writes: BTreeMap<RecordKey, usize>,
    pub(crate) tree: Tree,
}

/// A server.
pub(crate) struct Peer {
    /// What came to it, whatever it was.
    pub(crate) datagrams: Vec<Vec<u8>>,
    endpoint: Endpoint,
    exchanges: Vec<ExchangeId>,
    is_lost: bool,
    /// Requests without an answer.
    held: Vec<RequestKey>,
    link: Option<LinkId>,
    pub(crate) requests: Vec<(Duration, Request)>,
    responses: Vec<Response>,
    pub(crate) script: Script,
    /// Notifications that came.
    pub(crate) told: usize,
}

pub(crate) fn accept(request: &Request) -> Option<Response> {
    Some(match request.method {
        Method::Delete => Response::new(Code::DELETED),
        Method::Post if request.path == ["rd"] => Response {
            location_path: vec!["rd".to_owned(), "1".to_owned()],
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

pub(crate) fn refuse(_: &Request) -> Option<Response> {
    Some(Response::new(Code::FORBIDDEN))
}

pub(crate) fn mute(_: &Request) -> Option<Response> {
    None
}

/// A box with a bootstrap server, and these servers in its file.
pub(crate) fn config(servers: &[(u16, &str)]) -> ClientConfig {
    let server = |(ssid, host): &(u16, &str)| {
        let uri = format!("coap://{host}").parse().expect("a URI");
        ServerConfig::new(&format!("file-{ssid}"), Ssid(*ssid), uri)
    };
    ClientConfig {
        bootstrap: Some(BootstrapConfig::new(SecurityAccount {
            uri: format!("coap://{BS}"),
            ..SecurityAccount::default()
        })),
        creation: Creation::default(),
        definitions: Arc::new(tables::standard()),
        device: DeviceDescription::default(),
        endpoint: "cab-17".to_owned(),
        seed: 7,
        servers: servers.iter().map(server).collect(),
    }
}

impl World {
    pub(crate) fn new(config: ClientConfig) -> Self {
        Self::start(config, Vec::new(), Duration::from_secs(1000), (1, false))
    }

    pub(crate) fn without_date(config: ClientConfig) -> Self {
        Self::start(config, Vec::new(), Duration::from_secs(1000), (1, true))
    }

    fn start(
        config: ClientConfig,
        saved: Vec<Record>,
        now: Duration,
        (boot, is_dateless): (u32, bool),
    ) -> Self {
        let mut tree = Tree::new(Arc::clone(&config.definitions));
        let refused = tree.declare(&Declared {
            added: vec![Declaration {
                address: TEMPERATURE,
                operations: Operations::R,
            }],
            removed: Vec::new(),
        });
        assert!(refused.is_empty());
        let records = saved.iter().cloned();
        let records = records.map(|record| (record.key(), record)).collect();
        let client = Client::new(config, saved, at(now, boot, is_dateless));
        Self {
            boot,
            client,
            cut: None,
            events: Vec::new(),
            is_dateless,
            kept: BTreeMap::new(),
            links: BTreeMap::new(),
            now,
            outputs: 0,
            peers: [(BS, accept as Script), (A, accept), (B, accept)]
                .into_iter()
                .map(|(host, script)| (host.to_owned(), Peer::new(script)))
                .collect(),
            saved: records,
            writes: BTreeMap::new(),
            tree,
        }
    }

    /// The same box after a power cut, with what the store has of it; the servers have stayed.
    pub(crate) fn restarted(self, config: ClientConfig, later: u64) -> Self {
        let mut records: Vec<Record> = self.saved.values().cloned().collect();
        let mut queues: BTreeMap<Ssid, Vec<u64>> = BTreeMap::new();
        for (ssid, number) in self.kept.keys() {
            queues.entry(*ssid).or_default().push(*number);
        }
        for (ssid, numbers) in queues {
            records.push(Record::Queue(
                ssid,
                SavedQueue {
                    dropped: 0,
                    first: numbers[0],
                    next: numbers[numbers.len() - 1] + 1,
                },
            ));
        }
        let now = self.now + Duration::from_secs(later);
        let config = ClientConfig {
            seed: config.seed + u64::from(self.boot),
            ..config
        };
        let mut world = Self::start(config, records, now, (self.boot + 1, self.is_dateless));
        world.kept = self.kept;
        world.writes = self.writes;
        world.peers = self.peers;
        for peer in world.peers.values_mut() {
            peer.link = None;
        }
        world
    }

    fn at(&self) -> Now {
        at(self.now, self.boot, self.is_dateless)
    }

    pub(crate) fn script(&mut self, host: &str, script: Script) {
        self.peer(host).script = script;
    }

    pub(crate) fn peer(&mut self, host: &str) -> &mut Peer {
        self.peers.get_mut(host).expect("a known server")
    }

    pub(crate) fn input(&mut self, input: Input) {
        let now = self.at();
        self.client.handle(input, &mut self.tree, now);
        self.run();
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    pub(crate) fn sample(&mut self, degrees: f64) {
        let stamp = self.at().stamp();
        let sample = Sample::good(TEMPERATURE, Value::Float(degrees), stamp);
        self.input(Input::Device(DeviceEvent::Changed(vec![sample])));
    }

    pub(crate) const fn is_dead(&self) -> bool {
        match self.cut {
            Some(cut) => self.outputs >= cut,
            None => false,
        }
    }

    /// Passes everything on until nobody has anything to say.
    pub(crate) fn run(&mut self) {
        loop {
            let mut inputs = Vec::new();
            while !self.is_dead()
                && let Some(output) = self.client.poll()
            {
                self.outputs += 1;
                self.perform(output, &mut inputs);
            }
            self.serve(&mut inputs);
            if inputs.is_empty() || self.is_dead() {
                return;
            }
            for input in inputs {
                let now = self.at();
                self.client.handle(input, &mut self.tree, now);
            }
        }
    }

    /// Lets time pass, with every timer at its moment.
    pub(crate) fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        self.run();
        for _ in 0..100_000 {
            let client = self.client.poll_timeout().map(|(due, _)| due);
            let peers = self.peers.values();
            let peers = peers.filter_map(|peer| peer.endpoint.poll_timeout());
            let due = client.into_iter().chain(peers).min();
            let Some(due) = due.filter(|due| *due <= end && !self.is_dead()) else {
                self.now = end;
                return;
            };
            self.now = due.max(self.now);
            for peer in self.peers.values_mut() {
                peer.endpoint.handle_timeout(self.now);
            }
            self.input(Input::Timeout);
        }
        panic!(
            "timers do not come to rest: {:?}",
            self.client.poll_timeout()
        );
    }

    /// A request of a server and its answer.
    pub(crate) fn ask(&mut self, host: &str, request: Request) -> Response {
        let before = self.peer(host).responses.len();
        self.post(host, request);
        let responses = &self.peer(host).responses;
        assert!(responses.len() > before, "no answer");
        responses[responses.len() - 1].clone()
    }

    /// A request of a server, which may be answered later or never.
    pub(crate) fn post(&mut self, host: &str, request: Request) {
        let now = self.now;
        let peer = self.peer(host);
        let id = peer.endpoint.request(request, now);
        peer.exchanges.push(id);
        self.run();
    }

    /// Requests of the client at a path of a server.
    pub(crate) fn asked(&self, host: &str, path: &str) -> Vec<&Request> {
        let path = segments(path);
        let requests = self.peers[host].requests.iter();
        let requests = requests.map(|(_, request)| request);
        requests.filter(|request| request.path == path).collect()
    }

    pub(crate) fn times(&self, host: &str, path: &str) -> Vec<u64> {
        let path = segments(path);
        let requests = self.peers[host].requests.iter();
        let requests = requests.filter(|(_, request)| request.path == path);
        requests.map(|(at, _)| at.as_secs()).collect()
    }

    pub(crate) fn states(&self) -> Vec<(u16, ServerState)> {
        let states = self.client.states();
        states.map(|(ssid, state)| (ssid.0, state)).collect()
    }

    /// Answers that a server has got.
    pub(crate) fn answers(&self, host: &str) -> usize {
        self.peers[host].responses.len()
    }

    /// What a server writes about itself.
    pub(crate) fn put_lifetime(&mut self, host: &str, seconds: &str) {
        let write = Request {
            content_format: Some(0),
            payload: seconds.as_bytes().to_vec(),
            ..request(Method::Put, "/1/0/1")
        };
        assert_eq!(self.ask(host, write).code, Code::CHANGED);
    }

    /// Answers all that was not answered.
    pub(crate) fn answer_late(&mut self, host: &str, code: Code) {
        let now = self.now;
        let peer = self.peer(host);
        for key in std::mem::take(&mut peer.held) {
            peer.endpoint.respond(key, Response::new(code), now);
        }
        self.run();
    }

    /// Everything to and from a server is lost from now on.
    pub(crate) fn lose(&mut self, host: &str) {
        self.peer(host).is_lost = true;
    }

    /// Nothing is lost any more.
    pub(crate) fn find(&mut self, host: &str) {
        self.peer(host).is_lost = false;
    }

    /// The servers that there are, with where they are.
    pub(crate) fn servers(&self) -> Vec<u16> {
        self.client.states().map(|(ssid, _)| ssid.0).collect()
    }

    pub(crate) fn bootstrap_events(&self) -> Vec<&BootstrapEvent> {
        let events = self.events.iter().filter_map(|event| {
            let Event::Bootstrap(event) = event else {
                return None;
            };
            Some(event)
        });
        events.collect()
    }

    fn perform(&mut self, output: Output, inputs: &mut Vec<Input>) {
        match output {
            Output::Close(link) => {
                let host = self.links.remove(&link).expect("an open link");
                let peer = self.peer(&host);
                peer.link = peer.link.filter(|own| *own != link);
            }
            Output::Commit(id, records) => {
                records.into_iter().for_each(|record| self.save(record));
                inputs.push(Input::Committed(id));
            }
            Output::Event(event) => self.events.push(event),
            Output::Fetch(ssid, from, most) => {
                let kept = self.kept.range((ssid, from)..=(ssid, u64::MAX)).take(most);
                let kept = kept.map(|(_, kept)| kept.clone()).collect();
                inputs.push(Input::Kept(ssid, kept));
            }
            Output::Erase(ssid, paths) => {
                self.kept
                    .retain(|(of, _), kept| *of != ssid || !kept.is_below(&paths));
            }
            Output::Forget(ssid, upto) => {
                self.kept
                    .retain(|(of, number), _| *of != ssid || *number > upto);
            }
            Output::Journal(record) => self.save(record),
            Output::Keep(ssid, kept) => {
                let kept = kept.into_iter().map(|kept| ((ssid, kept.number), kept));
                self.kept.extend(kept);
            }
            Output::Open(link, uri, _) => {
                self.links.insert(link, uri.host.clone());
                let event = match self.peers.get_mut(&uri.host) {
                    Some(peer) => {
                        peer.link = Some(link);
                        LinkEvent::Up
                    }
                    None => LinkEvent::Down("no such host".to_owned()),
                };
                inputs.push(Input::Link(link, event));
            }
            Output::Transmit(link, datagram) => {
                let host = self.links.get(&link).expect("an open link").clone();
                let now = self.now;
                let peer = self.peer(&host);
                peer.datagrams.push(datagram.clone());
                if !peer.is_lost {
                    peer.endpoint.receive(&datagram, now);
                }
            }
            Output::Answer(..) | Output::Device(..) | Output::Host(_) => {}
        }
    }

    fn save(&mut self, record: Record) {
        let key = record.key();
        *self.writes.entry(key.clone()).or_default() += 1;
        if record.is_removal() {
            self.saved.remove(&key);
        } else {
            self.saved.insert(key, record);
        }
    }

    fn serve(&mut self, inputs: &mut Vec<Input>) {
        for peer in self.peers.values_mut() {
            while let Some(event) = peer.endpoint.poll_event() {
                match event {
                    Coap::Request(key, request) => {
                        let response = (peer.script)(&request);
                        peer.requests.push((self.now, request));
                        match response {
                            Some(response) => peer.endpoint.respond(key, response, self.now),
                            None => peer.held.push(key),
                        }
                    }
                    Coap::Response(_, response) => peer.responses.push(response),
                    Coap::Notification(..) => peer.told += 1,
                    Coap::Delivered(..) | Coap::Failed(..) => {}
                }
            }
            while let Some(datagram) = peer.endpoint.poll_transmit() {
                let link = peer.link.into_iter();
                inputs.extend(link.map(|link| Input::Received(link, datagram.clone())));
            }
        }
    }
}

impl Peer {
    fn new(script: Script) -> Self {
        let params = Params {
            nstart: 64,
            ..Params::default()
        };
        Self {
            endpoint: Endpoint::new(params, 99),
            datagrams: Vec::new(),
            exchanges: Vec::new(),
            held: Vec::new(),
            is_lost: false,
            link: None,
            requests: Vec::new(),
            responses: Vec::new(),
            script,
            told: 0,
        }
    }
}

/// Of a box whose owner is A: he may do everything where another server comes.
pub(crate) fn owned() -> ClientConfig {
    let mut config = config(&[(SSID_A, A)]);
    config.servers[0].rights.owner = true;
    config
}

/// Registered with its owner.
pub(crate) fn at_a() -> World {
    let mut world = World::new(owned());
    world.wait(1);
    assert_eq!(world.states(), [(SSID_A, ServerState::Registered)]);
    world
}

fn at(mono: Duration, boot: u32, is_dateless: bool) -> Now {
    let unix = 1_790_000_000 + i64::try_from(mono.as_secs()).expect("a short time");
    Now {
        boot: BootId(boot),
        mono,
        unix: (!is_dateless).then(|| UnixTime::from_seconds(unix)),
    }
}

pub(crate) fn segments(path: &str) -> Vec<String> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.map(str::to_owned).collect()
}

pub(crate) fn request(method: Method, path: &str) -> Request {
    Request::new(method, segments(path))
}

/// A Write of values to a path, in a format.
pub(crate) fn write(path: &str, values: &[(&str, Value)], format: ContentFormat) -> Request {
    let node = |(resource, value): &(&str, Value)| {
        let path: Path = resource.parse().expect("a path");
        let (path, content) = match path {
            Path::Resource(path) => (path, Content::Single(value.clone())),
            Path::ResourceInstance(path, ResourceInstanceId(index)) => {
                let index = ResourceInstanceId(index);
                (path, Content::Multiple(vec![(index, value.clone())]))
            }
            Path::Root | Path::Object(_) | Path::Instance(_) => {
                panic!("{resource} is not a resource")
            }
        };
        Node {
            path,
            content,
            time: None,
        }
    };
    let mut nodes: Vec<Node> = Vec::new();
    for next in values.iter().map(node) {
        match (nodes.last_mut(), next.content) {
            (Some(last), Content::Multiple(values)) if last.path == next.path => {
                if let Content::Multiple(known) = &mut last.content {
                    known.extend(values);
                }
            }
            (_, content) => nodes.push(Node { content, ..next }),
        }
    }
    let target = path.parse().expect("a path");
    let definitions = tables::standard();
    let payload = format::encode(format, target, "", &nodes, &definitions);
    Request {
        content_format: Some(format.number()),
        payload: payload.expect("a payload"),
        ..request(Method::Put, path)
    }
}

/// The instance of object 0 of a server without security.
pub(crate) fn security(instance: u16, ssid: u16, host: &str) -> Request {
    let path = format!("/0/{instance}");
    let values: Vec<(String, Value)> = vec![
        (format!("{path}/0"), Value::String(format!("coap://{host}"))),
        (format!("{path}/1"), Value::Boolean(false)),
        (format!("{path}/2"), Value::Integer(3)),
        (format!("{path}/3"), Value::Opaque(Vec::new())),
        (format!("{path}/4"), Value::Opaque(Vec::new())),
        (format!("{path}/5"), Value::Opaque(Vec::new())),
        (format!("{path}/10"), Value::Integer(ssid.into())),
    ];
    write_owned(&path, values)
}

pub(crate) fn server(instance: u16, ssid: u16, lifetime: i64) -> Request {
    let path = format!("/1/{instance}");
    let values: Vec<(String, Value)> = vec![
        (format!("{path}/0"), Value::Integer(ssid.into())),
        (format!("{path}/1"), Value::Integer(lifetime)),
        (format!("{path}/6"), Value::Boolean(true)),
        (format!("{path}/7"), Value::String("U".to_owned())),
    ];
    write_owned(&path, values)
}

pub(crate) fn write_owned(path: &str, values: Vec<(String, Value)>) -> Request {
    let values: Vec<(&str, Value)> = values
        .iter()
        .map(|(path, value)| (path.as_str(), value.clone()))
        .collect();
    write(path, &values, ContentFormat::Tlv)
}

pub(crate) fn finish() -> Request {
    request(Method::Post, "/bs")
}

/// All that makes the box one of server B and of nobody else.
pub(crate) fn move_to_b() -> Vec<Request> {
    vec![
        request(Method::Delete, "/0"),
        request(Method::Delete, "/1"),
        security(1, SSID_B, B),
        server(0, SSID_B, 600),
        finish(),
    ]
}

/// One payload of several Writes, as a pack has it.
pub(crate) fn write_all(requests: &[Request]) -> Request {
    let definitions = tables::standard();
    let mut nodes = Vec::new();
    for request in requests {
        let path: Path = format!("/{}", request.path.join("/"))
            .parse()
            .expect("a path");
        let decoded = format::decode(ContentFormat::Tlv, path, "", &request.payload, &definitions);
        nodes.extend(decoded.expect("a payload").nodes);
    }
    let format = ContentFormat::SenmlCbor;
    let payload = format::encode(format, Path::Root, "", &nodes, &definitions);
    Request {
        content_format: Some(format.number()),
        payload: payload.expect("a payload"),
        ..request(Method::Put, "/")
    }
}
