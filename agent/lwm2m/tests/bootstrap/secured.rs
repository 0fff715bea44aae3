//! A bootstrap over DTLS: keys on the way in, and what a wrong one comes to.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use lamplighter_coap::{
    Code, Endpoint, Event as Coap, Method, Params, Request, RequestKey, Response,
};
use lamplighter_dtls::Closed;
use lamplighter_dtls::{
    Secret as Key,
    test_server::{ClientId, ServerEvent, Settings, TestServer},
};
use lamplighter_lwm2m::{
    boundary::{BootstrapEvent, Event, Input, LinkEvent, LinkId, Output},
    client::{BootstrapConfig, Client, ClientConfig},
    saved::{Record, RecordKey},
    security::{Secret, SecurityAccount, SecurityMode},
    server::Cause,
    tree::Tree,
};
use lamplighter_model::{BootId, Now, Value};

use crate::world::{B, BS, SSID_B, config, finish, security, server, write_owned};

const KEY: &[u8] = b"swordfish-swordfish";

/// A box and its bootstrap server; other servers are not there.
struct Pair {
    answers: Vec<Code>,
    client: Client,
    dtls: TestServer,
    events: Vec<Event>,
    /// Whose server there is.
    host: &'static str,
    /// Nothing reaches it.
    is_mute: bool,
    link: Option<LinkId>,
    now: Duration,
    opened: Vec<u64>,
    peers: BTreeMap<ClientId, Endpoint>,
    requests: Vec<Request>,
    saved: BTreeMap<RecordKey, Record>,
    tree: Tree,
}

fn keyed(key: &[u8]) -> ClientConfig {
    let mut config = config(&[]);
    config.bootstrap = Some(BootstrapConfig {
        allow_unsecured: true,
        ..BootstrapConfig::new(SecurityAccount {
            identity: b"cab-17".to_vec(),
            mode: SecurityMode::Psk,
            secret_key: Secret::new(key.to_vec()),
            uri: "coaps://bs.example".to_owned(),
            ..SecurityAccount::default()
        })
    });
    config
}

impl Pair {
    fn new(key: &[u8]) -> Self {
        Self::at_server(BS, (b"cab-17", KEY), keyed(key), BTreeMap::new())
    }

    /// A box that has kept something, beside a server that admits one identity.
    fn at_server(
        host: &'static str,
        (identity, key): (&[u8], &[u8]),
        config: ClientConfig,
        saved: BTreeMap<RecordKey, Record>,
    ) -> Self {
        let mut dtls = TestServer::new(Settings::default()).expect("a server");
        dtls.admit(identity, Key::new(key.to_vec()));
        let now = Duration::from_secs(1000);
        let records = saved.values().cloned().collect();
        Self {
            answers: Vec::new(),
            tree: Tree::new(config.definitions.clone()),
            client: Client::new(config, records, at(now)),
            dtls,
            events: Vec::new(),
            host,
            is_mute: false,
            link: None,
            now,
            opened: Vec::new(),
            peers: BTreeMap::new(),
            requests: Vec::new(),
            saved,
        }
    }

    fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        self.input(Input::Timeout);
        for _ in 0..10_000 {
            let client = self.client.poll_timeout().map(|(due, _)| due);
            let peers = self.peers.values().filter_map(Endpoint::poll_timeout);
            let due = peers.chain(client).chain(self.dtls.poll_timeout()).min();
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

    fn input(&mut self, input: Input) {
        self.client.handle(input, &mut self.tree, at(self.now));
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
                self.client.handle(input, &mut self.tree, at(self.now));
            }
        }
    }

    fn perform(&mut self, output: Output, inputs: &mut Vec<Input>) {
        match output {
            Output::Commit(id, records) => {
                let records = records.into_iter().map(|record| (record.key(), record));
                self.saved.extend(records);
                inputs.push(Input::Committed(id));
            }
            Output::Close(link) if self.link == Some(link) => self.link = None,
            Output::Event(event) => self.events.push(event),
            Output::Open(link, uri, _) if uri.host == self.host => {
                self.opened.push(self.now.as_secs());
                self.link = Some(link);
                inputs.push(Input::Link(link, LinkEvent::Up));
            }
            Output::Open(link, ..) => {
                let why = LinkEvent::Down("no such host".to_owned());
                inputs.push(Input::Link(link, why));
            }
            Output::Transmit(..) if self.is_mute => {}
            Output::Transmit(link, datagram) => {
                self.dtls.receive(address(link), &datagram, self.now);
            }
            Output::Journal(record) => drop(self.saved.insert(record.key(), record)),
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

    fn serve(&mut self, inputs: &mut Vec<Input>) {
        while let Some(event) = self.dtls.poll() {
            match event {
                ServerEvent::Application(client, message) => {
                    let endpoint = || Endpoint::new(Params::default(), 99);
                    let peer = self.peers.entry(client).or_insert_with(endpoint);
                    peer.receive(&message, self.now);
                }
                ServerEvent::Closed(client) => drop(self.peers.remove(&client)),
                ServerEvent::Established(..) => {}
                ServerEvent::Transmit(to, datagram) => {
                    let link = self.link.filter(|link| address(*link) == to);
                    inputs.extend(link.map(|link| Input::Received(link, datagram)));
                }
            }
            self.pump();
        }
    }

    fn pump(&mut self) {
        for (client, peer) in &mut self.peers {
            let mut asked: Vec<(RequestKey, Request)> = Vec::new();
            while let Some(event) = peer.poll_event() {
                match event {
                    Coap::Request(key, request) => asked.push((key, request)),
                    Coap::Response(_, response) => self.answers.push(response.code),
                    Coap::Delivered(..) | Coap::Failed(..) | Coap::Notification(..) => {}
                }
            }
            for (key, request) in asked {
                self.requests.push(request);
                peer.respond(key, Response::new(Code::CHANGED), self.now);
            }
            while let Some(message) = peer.poll_transmit() {
                self.dtls.send(*client, &message, self.now);
            }
        }
    }

    fn ask(&mut self, request: Request) -> Code {
        let (_, peer) = self.peers.iter_mut().next_back().expect("a session");
        peer.request(request, self.now);
        self.pump();
        self.input(Input::Timeout);
        self.answers.pop().expect("an answer")
    }

    fn told(&self, wanted: fn(&BootstrapEvent) -> bool) -> usize {
        let told = |event: &&Event| matches!(event, Event::Bootstrap(event) if wanted(event));
        self.events.iter().filter(told).count()
    }
}

fn at(now: Duration) -> Now {
    Now {
        boot: BootId(1),
        mono: now,
        unix: None,
    }
}

/// Each link has a port of its own, as a new socket has.
fn address(link: LinkId) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 10_000 + link.0 as u16))
}

#[test]
fn accounts_come_over_a_session_with_a_key() {
    let mut pair = Pair::new(KEY);
    pair.wait(1);
    assert_eq!(pair.requests[0].path, ["bs"]);
    assert_eq!(pair.requests[0].method, Method::Post);
    assert_eq!(pair.ask(security(1, SSID_B, "b.example")), Code::CHANGED);
    assert_eq!(pair.ask(server(0, SSID_B, 600)), Code::CHANGED);
    assert_eq!(pair.ask(finish()), Code::CHANGED);
    let servers: Vec<u16> = pair.client.states().map(|(ssid, _)| ssid.0).collect();
    assert_eq!(servers, [SSID_B]);
    // The session ends with what was to be said over it.
    pair.wait(200);
    assert!(pair.peers.is_empty() && pair.link.is_none());
}

/// A wrong key is told with its reason, and tried by the table: 60, 120, 240 … seconds and what a
/// handshake takes.
#[test]
fn a_wrong_key_is_told_and_tried_no_faster_than_the_table() {
    let mut pair = Pair::new(b"another-key-entirely");
    pair.wait(1500);
    let reason = |event: &BootstrapEvent| matches!(event, BootstrapEvent::Failed { reason, .. } if reason.contains("key"));
    assert!(pair.told(reason) >= 4);
    assert_eq!(
        pair.told(reason),
        pair.told(|event| matches!(event, BootstrapEvent::Failed { .. }))
    );
    assert!(pair.requests.is_empty());
    let pauses: Vec<u64> = pair
        .opened
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    assert!(pauses[0] >= 60 && pauses.is_sorted(), "{pauses:?}");
    assert!((4..=6).contains(&pair.opened.len()), "{:?}", pair.opened);
    let status = pair.client.bootstrap();
    assert!(status.last_error.is_some_and(|error| error.contains("key")));
    // RFC 5246, 7.2: bad_record_mac.
    assert_eq!(status.cause, Some(Cause::Handshake(Closed::Peer(20))));
}

#[test]
fn a_handshake_waits_as_the_file_says() {
    let given_up_after = |ack_timeout| {
        let mut config = keyed(KEY);
        let terms = config.bootstrap.as_mut().expect("a bootstrap server");
        terms.coap.ack_timeout = Duration::from_secs(ack_timeout);
        let mut pair = Pair::at_server(BS, (b"cab-17", KEY), config, BTreeMap::new());
        pair.is_mute = true;
        let begin = pair.now;
        while pair.client.bootstrap().cause.is_none() && pair.now < begin + Duration::from_secs(100)
        {
            pair.wait(1);
        }
        (pair.now - begin).as_secs()
    };
    // Flights after 1, 2, 4 and 8 seconds, or after three times as many.
    assert_eq!(given_up_after(1), 15);
    assert_eq!(given_up_after(3), 45);
}

/// The instance of object 0 of server B, by a key.
fn keyed_security(identity: &[u8], key: &[u8]) -> Request {
    let value = |resource, value| (format!("/0/1/{resource}"), value);
    let values = vec![
        value(0, Value::String(format!("coaps://{B}"))),
        value(1, Value::Boolean(false)),
        value(2, Value::Integer(0)),
        value(3, Value::Opaque(identity.to_vec())),
        value(4, Value::Opaque(Vec::new())),
        value(5, Value::Opaque(key.to_vec())),
        value(10, Value::Integer(SSID_B.into())),
    ];
    write_owned("/0/1", values)
}

#[test]
fn a_given_key_is_of_use_after_a_restart_and_another_is_not() {
    let (identity, key): (&[u8], &[u8]) = (b"box-of-b", b"given-by-bootstrap");
    let mut pair = Pair::new(KEY);
    pair.wait(1);
    assert_eq!(pair.ask(keyed_security(identity, key)), Code::CHANGED);
    assert_eq!(pair.ask(server(0, SSID_B, 600)), Code::CHANGED);
    assert_eq!(pair.ask(finish()), Code::CHANGED);

    let restarted = |admitted| {
        let mut pair = Pair::at_server(B, admitted, keyed(KEY), pair.saved.clone());
        pair.wait(100);
        pair.requests
    };
    let requests = restarted((identity, key));
    assert_eq!(requests[0].path, ["rd"]);
    assert!(restarted((identity, b"another")).is_empty());
    assert!(restarted((b"another", key)).is_empty());
}
