//! A session and a server with somebody in between who changes, loses, repeats and invents
//! datagrams, at any time and in any state.
//!
//! Whatever he does: what a session hands out is what the server has sent, and not more often.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::OnceLock,
    time::Duration,
};

use lamplighter_dtls::{
    Certificate, Clock, Frozen, Matching, Peer, Psk, Secret, Security, Session, SessionEvent,
    Usage,
    test_server::{ClientId, ServerCertificate, ServerEvent, Settings, TestServer},
};

use crate::input::Input;

/// Calls of the timer at one moment; more is standing still.
const SPINS: u32 = 1_000;
/// Events of one call.
const BURST: u32 = 10_000;
/// Datagrams that wait on their way.
const MAX_WAITING: usize = 64;

const HARDWARE: &[u8] = b"board";

struct Rig {
    peer: Peer,
    session: Session,
    server: TestServer,
    now: Duration,
    port: u16,
    to_session: VecDeque<Vec<u8>>,
    to_server: VecDeque<Vec<u8>>,
    /// Those that were sent, to be repeated.
    former: VecDeque<Vec<u8>>,
    client: Option<ClientId>,
    /// How often each message is still owed to the session.
    owed: BTreeMap<Vec<u8>, u32>,
    sent: u8,
}

/// A handshake with keys in which anything happens.
pub(crate) fn handshake(bytes: &[u8]) {
    Rig::new(with_key(), Settings::default()).run(bytes);
}

/// The same with certificates.
pub(crate) fn certificates(bytes: &[u8]) {
    let (peer, settings) = with_certificates();
    Rig::new(peer, settings).run(bytes);
}

/// What comes when the session stands.
pub(crate) fn records(bytes: &[u8]) {
    let mut rig = Rig::new(with_key(), Settings::default());
    rig.session.start(Clock::default(), rig.now);
    rig.drain();
    while let Some(datagram) = rig.to_server.pop_front() {
        rig.server.receive(rig.address(), &datagram, rig.now);
        rig.drain();
        while let Some(datagram) = rig.to_session.pop_front() {
            rig.session.receive(datagram, rig.now);
            rig.drain();
        }
    }
    assert!(rig.client.is_some(), "no session to begin with");
    rig.run(bytes);
}

/// Certificates and keys as people and servers provide them.
pub(crate) fn credentials(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let usage = Usage::by_number(u64::from(input.byte() % 4)).unwrap_or_default();
    let matching = Matching::by_number(u64::from(input.byte() % 4)).unwrap_or_default();
    let kind = input.byte();
    let rest = input.rest();
    let list = lamplighter_dtls::certificates(rest).unwrap_or_default();
    let key = lamplighter_dtls::private_key(rest).unwrap_or_default();
    let (mut peer, _) = with_certificates();
    if let Security::Certificate(account) = &mut peer.security {
        (account.usage, account.matching) = (usage, matching);
        match kind % 4 {
            0 => account.chain = list,
            1 => account.trust_store = list,
            2 => account.server = rest.to_vec(),
            _ => account.key = key.into(),
        }
    }
    // Either is an answer.
    let _ = peer.check();
    let frozen = Frozen::from_bytes(rest.to_vec());
    let mark = frozen.mark();
    let thawed = Session::thaw(with_key(), frozen, mark, HARDWARE);
    assert!(thawed.is_err(), "a session out of nothing");
}

fn with_key() -> Peer {
    let security = Security::Psk(Psk {
        identity: b"box".to_vec(),
        key: Secret::new(b"0123456789abcdef".to_vec()),
    });
    Peer::new("server.example", security)
}

fn with_certificates() -> (Peer, Settings) {
    static FILES: OnceLock<[Vec<u8>; 6]> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let names = [
            "client",
            "client.key",
            "server",
            "server.key",
            "issuer",
            "authority",
        ];
        names.map(|name| {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/dtls");
            fs::read(directory.join(format!("{name}.der"))).unwrap_or_default()
        })
    });
    let [client, client_key, server, server_key, issuer, authority] = files.clone();
    let account = Certificate {
        chain: vec![client],
        key: Secret::new(client_key),
        matching: Matching::Exact,
        server: Vec::new(),
        strict_time: false,
        trust_store: vec![authority.clone()],
        usage: Usage::TrustAnchorAssertion,
    };
    let settings = Settings {
        certificate: Some(ServerCertificate {
            chain: vec![server, issuer],
            key: Secret::new(server_key),
            trust: vec![authority],
        }),
        ..Settings::default()
    };
    let security = Security::Certificate(Box::new(account));
    (Peer::new("server.example", security), settings)
}

impl Rig {
    fn new(peer: Peer, settings: Settings) -> Self {
        let session = Session::dtls(peer.clone()).expect("the credentials are good");
        let mut server = TestServer::new(settings).expect("the credentials are good");
        server.admit(b"box", Secret::new(b"0123456789abcdef".to_vec()));
        Self {
            peer,
            session,
            server,
            now: Duration::from_secs(1),
            port: 1,
            to_session: VecDeque::new(),
            to_server: VecDeque::new(),
            former: VecDeque::new(),
            client: None,
            owed: BTreeMap::new(),
            sent: 0,
        }
    }

    fn address(&self) -> SocketAddr {
        (IpAddr::V4(Ipv4Addr::LOCALHOST), self.port).into()
    }

    fn run(&mut self, bytes: &[u8]) {
        let mut input = Input::new(bytes);
        while !input.is_empty() {
            self.step(&mut input);
            self.drain();
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 12 {
            0..=2 => self.pass_on(Some),
            3 => {
                let (at, by) = (usize::from(input.number()), input.byte());
                self.pass_on(|mut datagram| {
                    let at = at % datagram.len().max(1);
                    *datagram.get_mut(at)? ^= by;
                    Some(datagram)
                });
            }
            4 => {
                let (at, piece) = (usize::from(input.number()), input.piece().to_vec());
                self.pass_on(|mut datagram| {
                    datagram.truncate(at % datagram.len().max(1));
                    datagram.extend(piece);
                    Some(datagram)
                });
            }
            5 => self.pass_on(|_| None),
            6 => {
                let again = usize::from(input.byte()) % self.former.len().max(1);
                if let Some(datagram) = self.former.get(again).cloned() {
                    self.session.receive(datagram, self.now);
                }
            }
            7 => self.session.receive(input.piece().to_vec(), self.now),
            8 => {
                let from = self.address();
                self.server.receive(from, input.piece(), self.now);
            }
            9 => self.pass(input.pause()),
            10 => self.talk(input),
            _ => self.change(input),
        }
    }

    /// Both waiting datagrams, as somebody has changed them.
    fn pass_on(&mut self, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
        if let Some(datagram) = self.to_session.pop_front() {
            self.former.push_back(datagram.clone());
            self.former.truncate(MAX_WAITING);
            if let Some(datagram) = change(datagram) {
                self.session.receive(datagram, self.now);
            }
        } else if let Some(datagram) = self.to_server.pop_front()
            && let Some(datagram) = change(datagram)
        {
            self.server.receive(self.address(), &datagram, self.now);
        }
    }

    fn talk(&mut self, input: &mut Input<'_>) {
        let message = vec![self.sent; usize::from(input.number() % 3000)];
        match self.client {
            Some(client) if input.is_set() => {
                if self.server.send(client, &message, self.now) {
                    *self.owed.entry(message).or_default() += 1;
                    self.sent = self.sent.wrapping_add(1);
                }
            }
            Some(_) | None => self.session.send(message, self.now),
        }
    }

    fn change(&mut self, input: &mut Input<'_>) {
        match input.byte() % 8 {
            0..=2 => {
                self.port = self.port.wrapping_add(1).max(1);
                self.session.start(Clock::default(), self.now);
            }
            3 => {
                self.session.restart(Clock::default(), self.now);
            }
            4 => self.session.close(self.now),
            5 => self.session.distrust(),
            6 => self.server.forget(input.is_set()),
            _ => self.restart(),
        }
    }

    fn restart(&mut self) {
        let Some(frozen) = self.session.freeze(HARDWARE) else {
            return;
        };
        let mark = frozen.mark();
        self.session = Session::thaw(self.peer.clone(), frozen, mark, HARDWARE)
            .expect("what was frozen can be thawed");
    }

    fn pass(&mut self, pause: Duration) {
        let end = self.now + pause;
        for _ in 0..SPINS {
            let times = [self.session.poll_timeout(), self.server.poll_timeout()];
            match times.into_iter().flatten().min() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => {
                    self.now = end;
                    return;
                }
            }
            self.session.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
            self.drain();
            let next = self.session.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "what was due at {:?} is due again",
                self.now
            );
        }
        panic!("{SPINS} deadlines within {pause:?}");
    }

    fn drain(&mut self) {
        for _ in 0..BURST {
            let told = self.session.poll();
            let served = self.server.poll();
            if told.is_none() && served.is_none() {
                return;
            }
            match told {
                Some(SessionEvent::Transmit(datagram)) if self.to_server.len() < MAX_WAITING => {
                    self.to_server.push_back(datagram);
                }
                Some(SessionEvent::Application(message)) => self.heard(&message),
                Some(
                    SessionEvent::Transmit(_)
                    | SessionEvent::Closed(_)
                    | SessionEvent::Established(_),
                )
                | None => {}
            }
            match served {
                Some(ServerEvent::Transmit(_, datagram)) if self.to_session.len() < MAX_WAITING => {
                    self.to_session.push_back(datagram);
                }
                Some(ServerEvent::Established(client, _)) => self.client = Some(client),
                Some(
                    ServerEvent::Application(..)
                    | ServerEvent::Closed(_)
                    | ServerEvent::Transmit(..),
                )
                | None => {}
            }
        }
        panic!("one call brought {BURST} events");
    }

    fn heard(&mut self, message: &[u8]) {
        let owed = self.owed.get_mut(message);
        let owed = owed.expect("a message that the server has not sent");
        *owed = owed
            .checked_sub(1)
            .expect("a message that came more often than it was sent");
    }
}
