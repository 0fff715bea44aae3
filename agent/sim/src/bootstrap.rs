//! An LwM2M bootstrap server for tests, as a state machine: no sockets, no clock.
//!
//! Whoever asks is given a list of [`BsStep`]s, one after another, each when the one before was
//! answered, whatever the answer was. With feature `io` the same stands behind a UDP socket
//! ([`net`]).

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use lamplighter_coap::{
    Code, Endpoint, Event, ExchangeId, Failure, Method, Params, Request, RequestKey, Response,
};
use lamplighter_lwm2m::format::{self, Content, ContentFormat, Node};
use lamplighter_model::{Path, ResourceInstanceId, ResourcePath, Ssid, Value, tables};

#[cfg(feature = "io")]
pub mod net;

/// One operation of the server.
#[derive(Clone, Debug, PartialEq)]
pub enum BsStep {
    Delete(Path),
    Discover(Path),
    Finish,
    Read(Path),
    /// Values by resource or resource instance.
    Write(Path, Vec<(Path, Value)>),
}

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct BsOptions {
    pub coap: Params,
    /// By which the writes are encoded where the client prefers none.
    pub format: ContentFormat,
    /// What is answered to a Bootstrap-Request instead of 2.04.
    pub refuses: Option<Code>,
    pub seed: u64,
    pub steps: Vec<BsStep>,
}

/// What the server has seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BsEvent {
    /// A step was answered: its number, the code, and the payload as text where it is some.
    Answered(usize, Code, String),
    /// By this endpoint name.
    Asked(String),
    /// A step has no answer.
    Failed(usize, Failure),
}

/// A bootstrap server.
///
/// After every call: [`Self::poll_transmit`] and [`Self::poll_event`] until `None`, then
/// [`Self::poll_timeout`]. All times count from one fixed origin.
#[derive(Debug)]
pub struct BsServer {
    events: VecDeque<BsEvent>,
    options: BsOptions,
    peers: BTreeMap<SocketAddr, Peer>,
    transmits: VecDeque<(SocketAddr, Vec<u8>)>,
}

#[derive(Debug)]
struct Peer {
    endpoint: Endpoint,
    /// The step that is under way.
    exchange: Option<(ExchangeId, usize)>,
    format: ContentFormat,
}

/// Peers that are remembered; the first goes where there are more.
const MAX_PEERS: usize = 1024;

impl Default for BsOptions {
    fn default() -> Self {
        Self {
            coap: Params::default(),
            format: ContentFormat::Tlv,
            refuses: None,
            seed: 1,
            steps: Vec::new(),
        }
    }
}

impl BsServer {
    pub const fn new(options: BsOptions) -> Self {
        Self {
            events: VecDeque::new(),
            options,
            peers: BTreeMap::new(),
            transmits: VecDeque::new(),
        }
    }

    /// For whoever asks from now on.
    pub fn set_steps(&mut self, steps: Vec<BsStep>) {
        self.options.steps = steps;
    }

    /// What is answered instead of 2.04 from now on.
    pub const fn refuse(&mut self, code: Option<Code>) {
        self.options.refuses = code;
    }

    /// A datagram of any content from anybody.
    pub fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Duration) {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&from) {
            self.peers.pop_first();
        }
        let options = &self.options;
        let peer = self.peers.entry(from).or_insert_with(|| Peer {
            endpoint: Endpoint::new(options.coap.clone(), options.seed ^ u64::from(from.port())),
            exchange: None,
            format: options.format,
        });
        peer.endpoint.receive(datagram, now);
        self.pump(from, now);
    }

    /// Does what is due; calls without need do nothing.
    pub fn handle_timeout(&mut self, now: Duration) {
        let addresses: Vec<SocketAddr> = self.peers.keys().copied().collect();
        for address in addresses {
            if let Some(peer) = self.peers.get_mut(&address) {
                peer.endpoint.handle_timeout(now);
            }
            self.pump(address, now);
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let peers = self.peers.values();
        peers.filter_map(|peer| peer.endpoint.poll_timeout()).min()
    }

    /// The next datagram and where it goes.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.transmits.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<BsEvent> {
        self.events.pop_front()
    }

    fn pump(&mut self, address: SocketAddr, now: Duration) {
        while let Some(peer) = self.peers.get_mut(&address) {
            if let Some(datagram) = peer.endpoint.poll_transmit() {
                self.transmits.push_back((address, datagram));
            } else if let Some(event) = peer.endpoint.poll_event() {
                self.on_event(address, event, now);
            } else {
                return;
            }
        }
    }

    fn on_event(&mut self, from: SocketAddr, event: Event, now: Duration) {
        match event {
            Event::Request(key, request) => self.on_request(from, key, &request, now),
            Event::Response(id, response) => {
                let Some(step) = self.ended(from, id) else {
                    return;
                };
                let text = String::from_utf8_lossy(&response.payload).into_owned();
                self.events
                    .push_back(BsEvent::Answered(step, response.code, text));
                self.next(from, step + 1, now);
            }
            Event::Failed(id, failure) => {
                if let Some(step) = self.ended(from, id) {
                    self.events.push_back(BsEvent::Failed(step, failure));
                }
            }
            Event::Delivered(..) | Event::Notification(..) => {}
        }
    }

    fn on_request(&mut self, from: SocketAddr, key: RequestKey, request: &Request, now: Duration) {
        let is_asked = request.method == Method::Post && request.path == ["bs"];
        let code = match self.options.refuses {
            _ if !is_asked => Code::NOT_FOUND,
            Some(code) => code,
            None => Code::CHANGED,
        };
        let query = |name: &str| {
            let mut queries = request.queries.iter();
            queries.find_map(|query| query.strip_prefix(name))
        };
        let preferred = query("pct=").and_then(|number| number.parse().ok());
        let preferred = preferred.and_then(ContentFormat::from_number);
        let name = query("ep=").unwrap_or_default().to_owned();
        let format = preferred.unwrap_or(self.options.format);
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.endpoint.respond(key, Response::new(code), now);
            if code == Code::CHANGED {
                peer.format = format;
                // Whoever asks again begins anew.
                if let Some((id, _)) = peer.exchange.take() {
                    peer.endpoint.cancel(id);
                }
            }
        }
        if is_asked {
            self.events.push_back(BsEvent::Asked(name));
        }
        if code == Code::CHANGED {
            self.next(from, 0, now);
        }
    }

    fn ended(&mut self, from: SocketAddr, id: ExchangeId) -> Option<usize> {
        let peer = self.peers.get_mut(&from)?;
        let (_, step) = peer.exchange.take_if(|(of, _)| *of == id)?;
        Some(step)
    }

    fn next(&mut self, to: SocketAddr, step: usize, now: Duration) {
        if let Some(wanted) = self.options.steps.get(step)
            && let Some(peer) = self.peers.get_mut(&to)
        {
            let request = wanted.request(peer.format);
            let id = peer.endpoint.request(request, now);
            peer.exchange = Some((id, step));
        }
    }
}

impl BsStep {
    /// What an account of a server without security consists of.
    pub fn account(instance: u16, ssid: Ssid, uri: &str, lifetime_s: i64) -> Vec<Self> {
        let security = [
            (0, Value::String(uri.to_owned())),
            (1, Value::Boolean(false)),
            (2, Value::Integer(3)),
            (10, Value::Integer(ssid.0.into())),
        ];
        let server = [
            (0, Value::Integer(ssid.0.into())),
            (1, Value::Integer(lifetime_s)),
            (6, Value::Boolean(true)),
            (7, Value::String("U".to_owned())),
        ];
        let write = |object: u16, values: &[(u16, Value)]| {
            let path = lamplighter_model::InstancePath::new(object, instance);
            let value = |(id, value): &(u16, Value)| (path.resource(*id).into(), value.clone());
            Self::Write(path.into(), values.iter().map(value).collect())
        };
        vec![write(0, &security), write(1, &server)]
    }

    /// Everything goes, an account comes, and it is finished.
    pub fn only(ssid: Ssid, uri: &str, lifetime_s: i64) -> Vec<Self> {
        let mut steps = vec![Self::Delete(Path::Root)];
        steps.extend(Self::account(1, ssid, uri, lifetime_s));
        steps.push(Self::Finish);
        steps
    }

    fn request(&self, format: ContentFormat) -> Request {
        match self {
            Self::Delete(path) => Request::new(Method::Delete, segments(*path)),
            Self::Discover(path) => Request {
                accept: Some(ContentFormat::Link.number()),
                ..Request::new(Method::Get, segments(*path))
            },
            Self::Finish => Request::new(Method::Post, vec!["bs".to_owned()]),
            Self::Read(path) => Request {
                accept: Some(ContentFormat::SenmlJson.number()),
                ..Request::new(Method::Get, segments(*path))
            },
            Self::Write(path, values) => {
                let definitions = tables::standard();
                let nodes = nodes(values);
                let encoded = format::encode(format, *path, "", &nodes, &definitions);
                Request {
                    content_format: Some(format.number()),
                    // What cannot be encoded goes as nothing, and the client refuses it.
                    payload: encoded.unwrap_or_default(),
                    ..Request::new(Method::Put, segments(*path))
                }
            }
        }
    }
}

/// The instances of a multiple resource stand together.
fn nodes(values: &[(Path, Value)]) -> Vec<Node> {
    let mut nodes: BTreeMap<ResourcePath, Content> = BTreeMap::new();
    for (path, value) in values {
        match path {
            Path::Resource(path) => drop(nodes.insert(*path, Content::Single(value.clone()))),
            Path::ResourceInstance(path, index) => {
                let known = nodes.entry(*path);
                let known = known.or_insert_with(|| Content::Multiple(Vec::new()));
                add(known, *index, value);
            }
            Path::Root | Path::Object(_) | Path::Instance(_) => {}
        }
    }
    let node = |(path, content)| Node {
        path,
        content,
        time: None,
    };
    nodes.into_iter().map(node).collect()
}

fn add(content: &mut Content, index: ResourceInstanceId, value: &Value) {
    if let Content::Multiple(values) = content {
        values.push((index, value.clone()));
    }
}

fn segments(path: Path) -> Vec<String> {
    let text = path.to_string();
    let segments = text.split('/').filter(|segment| !segment.is_empty());
    segments.map(str::to_owned).collect()
}
