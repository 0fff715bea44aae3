//! An LwM2M server for tests and the demo, as a state machine: no sockets, no clock.
//!
//! | what | file |
//! |---|---|
//! | peers, timers, who gets which datagram | here |
//! | Register, Update, De-register, Send | `directory`, `registry` |
//! | requests to clients, answers, observations | `request`, `operation`, `answer` |
//! | misbehaviour on demand | `script` |
//! | protocol log | `log` |
//! | the same behind a UDP socket (feature `io`) | `net` |
//!
//! It can do what the standard wants of servers over UDP without security; it is no production code.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use lamplighter_coap::{Endpoint, Event, ExchangeId, Params, RequestKey, Response};
use lamplighter_model::{object::Definitions, tables};

mod answer;
mod directory;
mod event;
mod log;
#[cfg(feature = "io")]
pub mod net;
mod operation;
mod registry;
mod request;
mod script;
mod timers;

pub use answer::Answer;
pub use event::{EndReason, ServerEvent};
pub use log::{Exchange, Side};
pub use operation::{CancelMode, Operation, RequestError, RequestId, WriteMode};
pub use registry::ClientInfo;
pub use script::{Misbehaviour, Refusal};

use log::Log;
use registry::{Location, Registry};
use request::{Pending, Waiting};
use script::Script;
use timers::Timers;

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// For each peer; `max_body` also limits object lists.
    pub coap: Params,
    /// For tokens, message ids and locations; should differ from start to start.
    pub seed: u64,
    /// By which values are encoded and decoded.
    pub definitions: Arc<Definitions>,
    /// LwM2M versions it knows; others get 4.12.
    pub versions: Vec<String>,
    /// More get 5.03.
    pub max_clients: usize,
    /// Addresses that are remembered although nobody is registered from them.
    pub max_strangers: usize,
    /// Requests and observations that may be open per client.
    pub max_requests: usize,
    /// Exchanges that the log keeps.
    pub log_length: usize,
    /// How long a client in queue mode listens after its last message; what is asked later waits
    /// until it says something. Core 1.2, 6.5: MAX_TRANSMIT_WAIT.
    pub awake: Duration,
}

impl Default for ServerOptions {
    /// The standard's parameters and objects, all versions of LwM2M, 10,000 clients.
    fn default() -> Self {
        Self {
            coap: Params {
                max_body: 256 << 10,
                ..Params::default()
            },
            seed: 1,
            definitions: Arc::new(tables::standard()),
            versions: ["1.0", "1.1", "1.2"].map(str::to_owned).to_vec(),
            max_clients: 10_000,
            max_strangers: 1_000,
            max_requests: 256,
            log_length: 512,
            awake: Params::default().max_transmit_wait(),
        }
    }
}

/// What the server has done, to judge its cost by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ServerCounters {
    pub datagrams_in: u64,
    pub datagrams_out: u64,
    /// Peers that were looked at, whatever for.
    pub peers_touched: u64,
    /// Timers that came due.
    pub timers_due: u64,
}

/// An LwM2M server.
///
/// After every call: [`Self::poll_transmit`] and [`Self::poll_event`] until `None`, then
/// [`Self::poll_timeout`]. All times count from one fixed origin.
#[derive(Debug)]
pub struct LwServer {
    options: ServerOptions,
    peers: BTreeMap<SocketAddr, Peer>,
    peers_ever: u64,
    registry: Registry,
    registrations_ever: u64,
    pending: BTreeMap<RequestId, Pending>,
    /// Requests to clients that do not listen now.
    asleep: BTreeMap<RequestId, Waiting>,
    requests_ever: u64,
    held: BTreeMap<u64, Held>,
    held_ever: u64,
    script: Script,
    log: Log,
    timers: Timers<Due>,
    /// Peers without a registration: when each is forgotten.
    strangers: Timers<SocketAddr>,
    transmits: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<ServerEvent>,
    counters: ServerCounters,
}

/// Somebody with an address.
#[derive(Debug)]
struct Peer {
    endpoint: Endpoint,
    /// Registrations that came from here.
    registrations: BTreeSet<Location>,
    exchanges: BTreeMap<ExchangeId, RequestId>,
}

/// An answer that leaves later than it should.
#[derive(Debug)]
struct Held {
    to: SocketAddr,
    key: RequestKey,
    response: Response,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Due {
    Expire(Location),
    Held(u64),
    Peer(SocketAddr),
}

impl LwServer {
    pub fn new(options: ServerOptions) -> Self {
        Self {
            log: Log::new(options.log_length),
            options,
            peers: BTreeMap::new(),
            peers_ever: 0,
            registry: Registry::default(),
            registrations_ever: 0,
            pending: BTreeMap::new(),
            asleep: BTreeMap::new(),
            requests_ever: 0,
            held: BTreeMap::new(),
            held_ever: 0,
            script: Script::default(),
            timers: Timers::new(),
            strangers: Timers::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counters: ServerCounters::default(),
        }
    }

    /// A datagram of any content from anybody.
    pub fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Duration) {
        self.counters.datagrams_in += 1;
        if self.script.is_mute() {
            return;
        }
        self.peer(from).endpoint.receive(datagram, now);
        self.pump(from, now);
        self.heard(from, now);
        self.rate_stranger(from, now);
    }

    /// Does what is due; calls without need do nothing.
    pub fn handle_timeout(&mut self, now: Duration) {
        while let Some(due) = self.timers.pop_due(now) {
            self.counters.timers_due += 1;
            match due {
                Due::Expire(location) => self.on_expired(location, now),
                Due::Held(held) => self.on_held(held, now),
                Due::Peer(address) => {
                    if let Some(peer) = self.peers.get_mut(&address) {
                        peer.endpoint.handle_timeout(now);
                    }
                    self.pump(address, now);
                }
            }
        }
        while let Some(address) = self.strangers.pop_due(now) {
            self.counters.timers_due += 1;
            self.forget_peer(address);
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let times = [self.timers.next(), self.strangers.next()];
        times.into_iter().flatten().min()
    }

    /// The next datagram and where it goes.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.transmits.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// Who is registered, by name.
    pub fn clients(&self) -> impl Iterator<Item = &ClientInfo> {
        self.registry.clients()
    }

    pub fn client(&self, endpoint: &str) -> Option<&ClientInfo> {
        self.registry.client(endpoint)
    }

    /// The exchanges with a higher number that the log still has, oldest first.
    pub fn log(&self, after: u64) -> Vec<Exchange> {
        self.log.after(after)
    }

    pub fn counters(&self) -> ServerCounters {
        self.counters
    }

    /// Addresses that it remembers, registered or not.
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// From now on, do wrong.
    pub fn misbehave(&mut self, act: Misbehaviour) {
        self.script.add(act);
    }

    /// Loses a registration without telling anybody, as after a restart. Whether there was one.
    pub fn forget(&mut self, endpoint: &str, now: Duration) -> bool {
        let Some(location) = self.registry.location(endpoint) else {
            return false;
        };
        self.end_registration(location, now);
        true
    }

    /// Starts anew with these options: registrations, observations and open requests are lost, and
    /// no client is told. Whoever runs the server is: by the end of each request and observation.
    pub fn restart(&mut self, options: ServerOptions, now: Duration) {
        let locations: Vec<Location> = self.registry.locations().collect();
        for location in locations {
            self.end_registration(location, now);
        }
        let events = std::mem::take(&mut self.events);
        let former = std::mem::replace(self, Self::new(options));
        self.events = events;
        self.log = former.log;
        self.counters = former.counters;
        // Names are never used twice.
        self.requests_ever = former.requests_ever;
        self.registrations_ever = former.registrations_ever;
        self.peers_ever = former.peers_ever;
    }

    fn peer(&mut self, address: SocketAddr) -> &mut Peer {
        self.peers.entry(address).or_insert_with(|| {
            self.peers_ever += 1;
            let seed = mixed(self.options.seed, self.peers_ever);
            Peer {
                endpoint: Endpoint::new(self.options.coap.clone(), seed),
                registrations: BTreeSet::new(),
                exchanges: BTreeMap::new(),
            }
        })
    }

    /// Sends and hears what an endpoint has to say, until it is silent.
    fn pump(&mut self, address: SocketAddr, now: Duration) {
        self.counters.peers_touched += 1;
        loop {
            self.collect_transmits(address);
            let Some(peer) = self.peers.get_mut(&address) else {
                return;
            };
            let Some(event) = peer.endpoint.poll_event() else {
                break;
            };
            self.on_event(address, event, now);
        }
        self.rearm(address);
    }

    fn collect_transmits(&mut self, address: SocketAddr) {
        let Some(peer) = self.peers.get_mut(&address) else {
            return;
        };
        while let Some(datagram) = peer.endpoint.poll_transmit() {
            self.counters.datagrams_out += 1;
            self.transmits.push_back((address, datagram));
        }
    }

    fn rearm(&mut self, address: SocketAddr) {
        let at = self
            .peers
            .get(&address)
            .and_then(|peer| peer.endpoint.poll_timeout());
        self.timers.set(Due::Peer(address), at);
    }

    fn on_event(&mut self, from: SocketAddr, event: Event, now: Duration) {
        match event {
            Event::Request(key, request) => self.on_request(from, key, request, now),
            Event::Response(exchange, response) => self.on_response(from, exchange, response, now),
            Event::Notification(exchange, response) => {
                self.on_notification(from, exchange, response, now);
            }
            Event::Failed(exchange, failure) => self.on_failed(from, exchange, failure, now),
            // This server is observed by nobody.
            Event::Delivered(..) => {}
        }
    }

    fn respond(&mut self, to: SocketAddr, key: RequestKey, response: Response, now: Duration) {
        let Some(peer) = self.peers.get_mut(&to) else {
            return;
        };
        peer.endpoint.respond(key, response, now);
        let copies = 1 + usize::from(self.script.answers_twice());
        while let Some(datagram) = peer.endpoint.poll_transmit() {
            for _ in 0..copies {
                self.counters.datagrams_out += 1;
                self.transmits.push_back((to, datagram.clone()));
            }
        }
    }

    fn hold(&mut self, held: Held, until: Duration) {
        self.held_ever += 1;
        self.timers.set(Due::Held(self.held_ever), Some(until));
        self.held.insert(self.held_ever, held);
    }

    fn on_held(&mut self, held: u64, now: Duration) {
        if let Some(Held { to, key, response }) = self.held.remove(&held) {
            self.respond(to, key, response, now);
            self.pump(to, now);
        }
    }

    /// Peers without registration are kept as long as their messages may be met again, and only a
    /// limited number of them.
    fn rate_stranger(&mut self, address: SocketAddr, now: Duration) {
        let Some(peer) = self.peers.get(&address) else {
            return;
        };
        let is_stranger = peer.registrations.is_empty();
        let until = now.saturating_add(self.options.coap.exchange_lifetime());
        self.strangers.set(address, is_stranger.then_some(until));
        if self.strangers.len() > self.options.max_strangers.max(1)
            && let Some(oldest) = self.strangers.pop_first()
        {
            self.forget_peer(oldest);
        }
    }

    fn forget_peer(&mut self, address: SocketAddr) {
        self.timers.set(Due::Peer(address), None);
        self.strangers.set(address, None);
        let Some(peer) = self.peers.remove(&address) else {
            return;
        };
        for request in peer.exchanges.into_values() {
            self.abandon(request);
        }
    }
}

/// SplitMix64: numbers that look random, different for every `n`.
fn mixed(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
