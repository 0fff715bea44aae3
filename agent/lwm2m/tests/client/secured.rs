//! Sessions with keys under a registration: new links, servers that forget, restarts.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use lamplighter_coap::{Code, Endpoint, Event as Coap, Method, Params, Request, Response};
use lamplighter_dtls::{
    Secret as Key,
    test_server::{ClientId, ServerEvent, Settings, TestServer},
};
use lamplighter_lwm2m::{
    boundary::{Command, Event, Input, LinkEvent, LinkId, Output},
    client::{Client, ClientConfig},
    saved::{Record, RecordKey},
    security::{Secret, SecurityAccount, SecurityMode},
    tree::Tree,
};
use lamplighter_model::{BootId, Now, UnixTime};

use crate::common::{SSID, config};

/// Of the start of the first machine.
pub(crate) const TODAY: i64 = 1_800_000_000;

const KEY: &[u8] = b"swordfish-swordfish";
/// Content type of records with a Connection ID. // RFC 9146, 4
const WITH_CONNECTION_ID: u8 = 25;
const HANDSHAKE: u8 = 22;

/// A box, a server with DTLS, and what passed between them.
pub(crate) struct World {
    client: Client,
    tree: Tree,
    dtls: TestServer,
    peers: BTreeMap<ClientId, Endpoint>,
    link: Option<LinkId>,
    now: Duration,
    boot: u32,
    pub(crate) date: Option<i64>,
    /// Whether the server knows the registration.
    is_known: bool,
    /// Nothing reaches anybody.
    is_cut: bool,
    requests: Vec<(Duration, Request)>,
    responses: Vec<Response>,
    pub(crate) events: Vec<Event>,
    /// What the box has sent since the test has looked.
    sent: Vec<Vec<u8>>,
    pub(crate) opened: usize,
    pub(crate) stored: BTreeMap<RecordKey, Record>,
    /// A removal of a session that the store has not been told to be durable yet.
    is_pending: bool,
}

pub(crate) fn secured() -> ClientConfig {
    let mut config = config();
    let server = &mut config.servers[0];
    server.uri = "coaps://server.example".parse().unwrap();
    server.security = SecurityAccount {
        identity: b"cab-17".to_vec(),
        mode: SecurityMode::Psk,
        secret_key: Secret::new(KEY.to_vec()),
        ssid: Some(SSID),
        uri: "coaps://server.example".to_owned(),
        ..SecurityAccount::default()
    };
    config.device.serial = "100000003d1d1c36".to_owned();
    config
}

impl World {
    pub(crate) fn new(config: ClientConfig, settings: Settings) -> Self {
        let mut dtls = TestServer::new(settings).unwrap();
        dtls.admit(b"cab-17", Key::new(KEY.to_vec()));
        let now = Duration::from_secs(1000);
        Self {
            tree: Tree::new(Arc::clone(&config.definitions)),
            client: Client::new(config, Vec::new(), at(now, 1, Some(TODAY))),
            dtls,
            peers: BTreeMap::new(),
            link: None,
            now,
            boot: 1,
            date: Some(TODAY),
            is_known: false,
            is_cut: false,
            requests: Vec::new(),
            responses: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
            opened: 0,
            stored: BTreeMap::new(),
            is_pending: false,
        }
    }

    fn registered(settings: Settings) -> Self {
        let mut world = Self::new(secured(), settings);
        world.run();
        assert_eq!(world.asked(), ["POST rd"]);
        world
    }

    /// The process starts again; the server has stayed.
    fn restarted(mut self, config: ClientConfig, boot: u32) -> Self {
        // Message ids differ from start to start.
        let config = ClientConfig {
            seed: self.now.as_secs(),
            ..config
        };
        let records = self.stored.values().cloned().collect();
        self.boot = boot;
        self.now += Duration::from_secs(5);
        self.tree = Tree::new(Arc::clone(&config.definitions));
        self.client = Client::new(config, records, self.at());
        self.link = None;
        self.sent.clear();
        self.requests.clear();
        self.run();
        self
    }

    fn at(&self) -> Now {
        at(self.now, self.boot, self.date)
    }

    pub(crate) fn input(&mut self, input: Input) {
        let now = self.at();
        self.client.handle(input, &mut self.tree, now);
        self.run();
    }

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
                let now = self.at();
                self.client.handle(input, &mut self.tree, now);
            }
        }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            let client = self.client.poll_timeout().map(|(due, _)| due);
            let peers = self.peers.values().filter_map(Endpoint::poll_timeout);
            let server = self.dtls.poll_timeout();
            let due = peers.chain(client).chain(server).min();
            let Some(due) = due.filter(|due| *due <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(due);
            self.dtls.handle_timeout(self.now);
            for peer in self.peers.values_mut() {
                peer.handle_timeout(self.now);
            }
            self.input(Input::Timeout);
        }
        panic!("timers do not come to rest");
    }

    fn perform(&mut self, output: Output, inputs: &mut Vec<Input>) {
        match output {
            Output::Commit(id, records) => {
                for record in records {
                    self.is_pending |= matches!(record, Record::Session(_, None));
                    self.store(record);
                }
                self.is_pending = false;
                inputs.push(Input::Committed(id));
            }
            Output::Journal(record) => self.store(record),
            Output::Close(link) if self.link == Some(link) => self.link = None,
            Output::Open(link, ..) => {
                self.opened += 1;
                self.link = Some(link);
                inputs.push(Input::Link(link, LinkEvent::Up));
            }
            Output::Transmit(link, datagram) => {
                assert!(!self.is_pending, "sent before the removal is durable");
                self.sent.push(datagram.clone());
                if !self.is_cut {
                    self.dtls.receive(address(link), &datagram, self.now);
                }
            }
            Output::Event(event) => self.events.push(event),
            Output::Answer(..)
            | Output::Close(_)
            | Output::Device(..)
            | Output::Erase(..)
            | Output::Fetch(..)
            | Output::Forget(..)
            | Output::Host(_)
            | Output::Keep(..) => {}
        }
    }

    fn store(&mut self, record: Record) {
        if record.is_removal() {
            self.stored.remove(&record.key());
        } else {
            self.stored.insert(record.key(), record);
        }
    }

    fn serve(&mut self, inputs: &mut Vec<Input>) {
        while let Some(event) = self.dtls.poll() {
            match event {
                ServerEvent::Application(client, message) => {
                    let endpoint = || Endpoint::new(Params::default(), 99);
                    let peer = self.peers.entry(client).or_insert_with(endpoint);
                    peer.receive(&message, self.now);
                }
                ServerEvent::Closed(client) => drop(self.peers.remove(&client)),
                ServerEvent::Established(_, identity) => assert_eq!(identity, b"cab-17"),
                ServerEvent::Transmit(to, datagram) => {
                    let link = self.link.filter(|link| address(*link) == to);
                    if let (Some(link), false) = (link, self.is_cut) {
                        inputs.push(Input::Received(link, datagram));
                    }
                }
            }
            self.answer();
        }
    }

    fn answer(&mut self) {
        let clients: Vec<ClientId> = self.peers.keys().copied().collect();
        for client in clients {
            let Some(peer) = self.peers.get_mut(&client) else {
                continue;
            };
            while let Some(event) = peer.poll_event() {
                if let Coap::Response(_, response) = &event {
                    self.responses.push(response.clone());
                }
                if let Coap::Request(key, request) = event {
                    let is_register = request.path == ["rd"];
                    let is_end = request.method == Method::Delete;
                    let response = if is_end {
                        Response::new(Code::DELETED)
                    } else if is_register {
                        Response {
                            location_path: vec!["rd".to_owned(), "5a3f".to_owned()],
                            ..Response::new(Code::CREATED)
                        }
                    } else if self.is_known {
                        Response::new(Code::CHANGED)
                    } else {
                        Response::new(Code::NOT_FOUND)
                    };
                    self.is_known = !is_end && (self.is_known || is_register);
                    self.requests.push((self.now, request));
                    peer.respond(key, response, self.now);
                }
            }
            while let Some(message) = peer.poll_transmit() {
                self.dtls.send(client, &message, self.now);
            }
        }
    }

    /// The answer to a Read of the server.
    fn read(&mut self, path: &[&str]) -> Response {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        let mut peers = self.peers.iter_mut();
        let (client, peer) = peers.next_back().unwrap();
        let read = Request {
            accept: Some(0),
            ..Request::new(Method::Get, path)
        };
        peer.request(read, self.now);
        while let Some(message) = peer.poll_transmit() {
            self.dtls.send(*client, &message, self.now);
        }
        self.run();
        self.responses.pop().unwrap()
    }

    /// Methods and paths of the requests since the test has asked.
    pub(crate) fn asked(&mut self) -> Vec<String> {
        let requests = self.requests.drain(..);
        let told = |request: Request| {
            let method = format!("{:?}", request.method).to_uppercase();
            format!("{method} {}", request.path.join("/"))
        };
        requests.map(|(_, request)| told(request)).collect()
    }

    /// Datagrams of handshakes that the box has sent since the test has asked.
    pub(crate) fn handshakes(&mut self) -> usize {
        let sent = self.sent.drain(..);
        sent.filter(|datagram| datagram[0] == HANDSHAKE).count()
    }

    /// A better path stands ready.
    fn moved(&mut self) {
        let old = self.link.unwrap();
        let new = LinkId(old.0 + 1000);
        self.link = Some(new);
        self.input(Input::Link(old, LinkEvent::Replacement(new)));
    }

    fn lost(&mut self) {
        let old = self.link.take().unwrap();
        let why = LinkEvent::Down("cable".to_owned());
        self.input(Input::Link(old, why));
    }

    fn forget(&mut self, sessions: bool) {
        self.dtls.forget(sessions);
        self.peers.clear();
    }

    fn stop(&mut self) {
        self.input(Input::Command(Command::Stop));
        assert!(self.events.contains(&Event::Stopped));
    }
}

/// `date`: of the start of the machine, where it is known.
fn at(now: Duration, boot: u32, date: Option<i64>) -> Now {
    let since = i64::try_from(now.as_secs()).unwrap();
    Now {
        boot: BootId(boot),
        mono: now,
        unix: date.map(|date| UnixTime::from_seconds(date + since)),
    }
}

fn address(link: LinkId) -> SocketAddr {
    let port = u16::try_from(link.0 % 50_000).unwrap() + 10_000;
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn session() -> RecordKey {
    Record::Session(SSID, None).key()
}

fn without_connection_id() -> Settings {
    Settings {
        connection_id: None,
        ..Settings::default()
    }
}

#[test]
fn a_server_with_a_key_is_registered_with() {
    let mut world = World::registered(Settings::default());
    assert!(world.handshakes() > 0);
    assert_eq!(world.opened, 1);
}

// RFC 9146; design, 9: 0 handshake bytes.
#[test]
fn with_a_connection_id_a_new_path_costs_an_update_only() {
    let mut world = World::registered(Settings::default());
    world.handshakes();
    world.moved();
    assert_eq!(world.asked(), ["POST rd/5a3f"]);
    assert!(world.sent.iter().all(|sent| sent[0] == WITH_CONNECTION_ID));
    world.lost();
    assert_eq!(world.asked(), ["POST rd/5a3f"]);
    assert_eq!(world.handshakes(), 0);
}

#[test]
fn without_a_connection_id_a_new_path_resumes_and_updates() {
    let mut world = World::registered(without_connection_id());
    for step in [World::moved, World::lost] {
        world.handshakes();
        step(&mut world);
        assert_eq!(world.asked(), ["POST rd/5a3f"]);
        assert!(world.handshakes() > 0);
    }
}

// lwm2m/60, 14: new keys mean a new Register.
#[test]
fn a_path_to_a_server_without_memory_registers_anew() {
    let mut world = World::registered(without_connection_id());
    world.forget(true);
    world.moved();
    assert_eq!(world.asked(), ["POST rd"]);
}

/// Until the next Update is due.
fn next_update(world: &mut World) {
    world.sent.clear();
    world.requests.clear();
    let before = world.sent.len();
    for _ in 0..3600 {
        if world.sent.len() > before {
            return;
        }
        world.wait(Duration::from_secs(1));
    }
    panic!("no Update");
}

#[test]
fn a_server_that_lost_the_association_is_back_within_one_request() {
    let mut world = World::registered(Settings::default());
    world.forget(false);
    next_update(&mut world);
    let begun = world.now;
    world.wait(Duration::from_secs(30));
    assert_eq!(world.asked(), ["POST rd/5a3f"]);
    assert!(world.handshakes() > 0);
    assert_eq!(world.opened, 1);
    // Nobody had to hear of it.
    let failed = |event: &Event| matches!(event, Event::RegistrationFailed { .. });
    assert!(!world.events.iter().any(failed));
    assert!(world.now - begun <= Duration::from_secs(30));
}

#[test]
fn a_server_that_lost_everything_is_registered_with_anew_within_one_request() {
    let mut world = World::registered(Settings::default());
    world.forget(true);
    world.is_known = false;
    next_update(&mut world);
    world.wait(Duration::from_secs(30));
    assert_eq!(world.asked(), ["POST rd"]);
    let registered = |event: &&Event| matches!(event, Event::Registered { .. });
    assert_eq!(world.events.iter().filter(registered).count(), 2);
}

// One lost datagram is no reason to doubt.
#[test]
fn an_update_that_was_lost_once_costs_no_handshake() {
    let mut world = World::registered(Settings::default());
    world.is_cut = true;
    next_update(&mut world);
    world.is_cut = false;
    world.wait(Duration::from_secs(30));
    assert_eq!(world.asked(), ["POST rd/5a3f"]);
    assert_eq!(world.handshakes(), 0);
}

#[test]
fn after_an_outage_the_server_is_updated_again() {
    let mut world = World::registered(Settings::default());
    next_update(&mut world);
    world.wait(Duration::from_secs(5));
    world.asked();
    world.is_cut = true;
    next_update(&mut world);
    world.wait(Duration::from_secs(60));
    world.is_cut = false;
    world.wait(Duration::from_secs(240));
    let asked = world.asked();
    assert!(!asked.is_empty(), "nothing after the outage");
    assert!(asked.iter().all(|asked| asked.starts_with("POST rd")));
}

#[test]
fn a_clean_stop_puts_the_session_away_and_the_next_start_uses_it_once() {
    let mut world = World::registered(Settings::default());
    world.stop();
    assert_eq!(world.asked(), ["DELETE rd/5a3f"]);
    assert!(world.stored.contains_key(&session()));
    let mut world = world.restarted(secured(), 2);
    assert_eq!(world.asked(), ["POST rd"]);
    assert_eq!(world.handshakes(), 0);
    // What is kept now may be used again: it is no association.
    let Some(Record::Session(_, Some(kept))) = world.stored.get(&session()) else {
        panic!("nothing is kept for a crash");
    };
    assert_eq!(kept.mark, None);
}

/// When the box begins a flight of a handshake next.
fn next_flight(world: &mut World) -> Duration {
    world.sent.clear();
    for _ in 0..1000 {
        if world.handshakes() > 0 {
            return world.now;
        }
        world.wait(Duration::from_millis(100));
    }
    panic!("no handshake");
}

#[test]
fn a_session_that_was_taken_up_shakes_hands_at_the_pace_of_its_account() {
    let mut config = secured();
    let pause = Duration::from_secs(7);
    config.servers[0].coap.ack_timeout = pause;
    let mut world = World::new(config.clone(), Settings::default());
    world.run();
    world.stop();
    world.is_cut = true;
    let mut world = world.restarted(config, 2);
    assert_eq!(world.handshakes(), 0);
    // The server has forgotten it: nobody answers.
    let first = next_flight(&mut world);
    let second = next_flight(&mut world);
    assert!(
        (second - first).abs_diff(pause) <= Duration::from_millis(200),
        "{first:?} {second:?}"
    );
}

#[test]
fn after_a_crash_the_session_is_resumed_and_the_registration_goes_on() {
    let world = World::registered(Settings::default());
    let mut world = world.restarted(secured(), 1);
    assert_eq!(world.asked(), ["POST rd/5a3f"]);
    assert!(world.handshakes() > 0);
    let mut world = world.restarted(secured(), 2);
    assert_eq!(world.asked(), ["POST rd/5a3f"]);
}

#[test]
fn a_card_in_another_machine_begins_with_a_handshake() {
    let mut world = World::registered(Settings::default());
    world.stop();
    let mut other = secured();
    other.device.serial = "100000003d1d1c37".to_owned();
    let mut world = world.restarted(other, 2);
    assert_eq!(world.asked(), ["POST rd"]);
    assert!(world.handshakes() > 0);
}

#[test]
fn a_wrong_key_is_told_and_does_not_loop() {
    let mut config = secured();
    config.servers[0].security.secret_key = Secret::new(b"another-key-entirely".to_vec());
    let mut world = World::new(config, Settings::default());
    world.run();
    let reasons = world.events.iter().filter_map(|event| {
        let Event::RegistrationFailed { reason, .. } = event else {
            return None;
        };
        Some(reason.clone())
    });
    let reasons: Vec<String> = reasons.collect();
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].contains("another key"), "{reasons:?}");
    world.wait(Duration::from_secs(50));
    assert_eq!(world.opened, 1);
}

/// 1/x/11: why a server refused us last is there to be read once it takes us again.
#[test]
fn the_last_alert_of_a_server_is_shown_over_restarts() {
    let mut world = World::registered(Settings::default());
    assert_eq!(world.read(&["1", "0", "11"]).code, Code::NOT_FOUND);
    world.forget(true);
    let mut stranger = secured();
    stranger.servers[0].security.identity = b"cab-18".to_vec();
    let mut world = world.restarted(stranger, 2);
    world.wait(Duration::from_secs(50));
    let told = |event: &Event| matches!(event, Event::RegistrationFailed { reason, .. } if reason.contains("alert 115"));
    assert!(world.events.iter().any(told), "{:?}", world.events);
    let mut world = world.restarted(secured(), 3);
    // RFC 4279, 2: unknown_psk_identity.
    let answer = world.read(&["1", "0", "11"]);
    assert_eq!(
        (answer.code, answer.payload),
        (Code::CONTENT, b"115".to_vec())
    );
}

#[test]
fn no_record_shows_a_key() {
    let mut world = World::registered(Settings::default());
    world.stop();
    let Some(Record::Session(_, Some(kept))) = world.stored.get(&session()) else {
        panic!("nothing is kept");
    };
    let printed = format!("{:?}", world.stored);
    let bytes = format!("{:?}", &kept.bytes.expose()[60..68]);
    assert!(!printed.contains(bytes.trim_matches(['[', ']'])));
}

#[test]
fn a_server_that_is_left_is_told_goodbye() {
    let mut world = World::registered(Settings::default());
    world.input(Input::Command(Command::Deregister(None)));
    assert_eq!(world.asked(), ["DELETE rd/5a3f"]);
    assert!(world.peers.is_empty(), "the association is still there");
    world.input(Input::Command(Command::Register(SSID)));
    assert_eq!(world.asked(), ["POST rd"]);
}

#[test]
fn a_link_that_breaks_before_an_answer_costs_no_handshake() {
    let mut world = World::registered(Settings::default());
    world.sent.clear();
    let old = world.link.unwrap();
    world.is_cut = true;
    world.moved();
    assert!(
        world
            .sent
            .iter()
            .all(|datagram| datagram[0] == WITH_CONNECTION_ID)
    );
    let new = world.link.replace(old).unwrap();
    world.is_cut = false;
    world.input(Input::Link(new, LinkEvent::Down("cable".to_owned())));
    assert_eq!(world.asked(), ["POST rd/5a3f"]);
    assert_eq!((world.handshakes(), world.opened), (0, 1));
}

#[test]
fn a_ping_goes_through_the_session_and_is_heard() {
    let mut world = World::registered(Settings::default());
    world.wait(Duration::from_secs(30));
    assert!(world.client.heard() < Some(world.now));
    world.sent.clear();
    world.input(Input::Command(Command::Ping));
    assert_eq!(world.client.heard(), Some(world.now));
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.sent[0][0], WITH_CONNECTION_ID);
}

#[test]
fn a_handshake_that_nobody_answers_is_awaited() {
    let mut world = World::new(secured(), Settings::default());
    world.is_cut = true;
    world.run();
    let begun = world.now;
    world.wait(Duration::from_secs(20));
    assert_eq!(world.client.awaited(), Some(begun));
    assert_eq!(world.client.heard(), None);
}

#[test]
fn what_comes_over_the_former_link_does_not_disturb_a_handshake() {
    let mut world = World::registered(Settings {
        connection_id: None,
        ..Settings::default()
    });
    let old = world.link.unwrap();
    let (client, peer) = world.peers.iter_mut().next().unwrap();
    peer.request(Request::new(Method::Get, vec!["3".to_owned()]), world.now);
    let message = peer.poll_transmit().unwrap();
    world.dtls.send(*client, &message, world.now);
    let Some(ServerEvent::Transmit(_, late)) = world.dtls.poll() else {
        panic!("no record");
    };
    world.is_cut = true;
    world.moved();
    world.input(Input::Received(old, late));
    world.is_cut = false;
    world.asked();
    world.wait(Duration::from_secs(5));
    assert_eq!(world.asked(), ["POST rd/5a3f"]);
}

#[test]
fn a_doubt_that_nobody_answered_is_taken_back_over_another_link() {
    let mut world = World::registered(Settings::default());
    world.is_cut = true;
    next_update(&mut world);
    world.wait(Duration::from_secs(20));
    assert!(world.handshakes() > 0, "it doubts the session");
    world.is_cut = false;
    world.moved();
    assert_eq!(world.asked(), ["POST rd/5a3f"]);
    assert_eq!((world.handshakes(), world.opened), (0, 1));
    // A server that has lost it is asked for another all the same.
    world.forget(false);
    world.moved();
    world.wait(Duration::from_secs(20));
    assert!(world.handshakes() > 0);
    assert_eq!(world.asked(), ["POST rd/5a3f"]);
}
