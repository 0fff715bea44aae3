//! A session and a server with a link between them that tests cut, move and listen to.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use lamplighter_dtls::{
    Clock, Counters, Established, Peer, Psk, Secret, Security, Session, SessionEvent, Time,
    test_server::{ClientId, ServerCertificate, ServerEvent, Settings, TestServer},
};

pub(crate) const IDENTITY: &[u8] = b"cab-17";
pub(crate) const KEY: &[u8] = b"secretPSKsecret1";

/// In 2026; the certificates of the tests are made around it.
pub(crate) const TODAY: i64 = 1_800_000_000;

pub(crate) struct Pair {
    pub(crate) clock: Clock,
    pub(crate) session: Session,
    pub(crate) server: TestServer,
    pub(crate) address: SocketAddr,
    pub(crate) now: Duration,
    /// What the session has told, without what it sent.
    pub(crate) told: Vec<SessionEvent>,
    pub(crate) served: Vec<ServerEvent>,
    /// Everything that was sent, lost or not: by us, and by the server.
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) answered: Vec<Vec<u8>>,
    /// Whether datagrams are lost: ours, the server's.
    pub(crate) lose: (bool, bool),
}

impl Pair {
    pub(crate) fn new(peer: Peer, settings: Settings) -> Self {
        let mut server = TestServer::new(settings).unwrap();
        server.admit(IDENTITY, Secret::new(KEY.to_vec()));
        Self {
            clock: Clock {
                floor: TODAY - 86_400,
                time: Time::Trusted(TODAY),
            },
            session: Session::dtls(peer).unwrap(),
            server,
            address: "192.0.2.17:5000".parse().unwrap(),
            now: Duration::ZERO,
            told: Vec::new(),
            served: Vec::new(),
            sent: Vec::new(),
            answered: Vec::new(),
            lose: (false, false),
        }
    }

    pub(crate) fn psk() -> Self {
        Self::new(psk(), Settings::default())
    }

    /// A new link, with everything that follows at once.
    pub(crate) fn start(&mut self) -> Vec<SessionEvent> {
        self.session.start(self.clock, self.now);
        self.run()
    }

    /// How a new link has begun.
    pub(crate) fn established(&mut self) -> Established {
        let told = self.start();
        how(&told)
    }

    /// Carries datagrams until nothing moves, and gives what was told meanwhile.
    pub(crate) fn run(&mut self) -> Vec<SessionEvent> {
        let before = self.told.len();
        while self.step() {}
        self.told[before..].to_vec()
    }

    /// One event of either side; whether there was any.
    pub(crate) fn step(&mut self) -> bool {
        if let Some(event) = self.session.poll() {
            match event {
                SessionEvent::Transmit(datagram) => self.carry(datagram),
                event @ (SessionEvent::Application(_)
                | SessionEvent::Closed(_)
                | SessionEvent::Established(_)) => self.told.push(event),
            }
        } else if let Some(event) = self.server.poll() {
            match event {
                ServerEvent::Transmit(to, datagram) => self.bring(to, datagram),
                event @ (ServerEvent::Application(..)
                | ServerEvent::Closed(_)
                | ServerEvent::Established(..)) => self.served.push(event),
            }
        } else {
            return false;
        }
        true
    }

    fn carry(&mut self, datagram: Vec<u8>) {
        if !self.lose.0 {
            self.server.receive(self.address, &datagram, self.now);
        }
        self.sent.push(datagram);
    }

    fn bring(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        self.answered.push(datagram.clone());
        if !self.lose.1 && to == self.address {
            self.session.receive(datagram, self.now);
        }
    }

    /// The next timer of the session, and what follows.
    pub(crate) fn time_out(&mut self) -> Vec<SessionEvent> {
        let due = self.session.poll_timeout().unwrap();
        self.now = self.now.max(due);
        self.session.handle_timeout(self.now);
        self.run()
    }

    /// From here on we have another address.
    pub(crate) fn move_to(&mut self, address: &str) {
        self.address = address.parse().unwrap();
    }

    /// Sends a message and lets the server answer with another; whether both arrived.
    pub(crate) fn exchange(&mut self) -> bool {
        self.session.send(b"question".to_vec(), self.now);
        let served = self.served.len();
        self.run();
        let Some(ServerEvent::Application(client, message)) = self.served.get(served).cloned()
        else {
            return false;
        };
        assert_eq!(message, b"question");
        self.server.send(client, b"answer", self.now);
        self.run() == [SessionEvent::Application(b"answer".to_vec())]
    }

    pub(crate) fn client(&self) -> ClientId {
        let ids = self.served.iter().filter_map(|event| match event {
            ServerEvent::Established(id, _) => Some(*id),
            ServerEvent::Application(..) | ServerEvent::Closed(_) | ServerEvent::Transmit(..) => {
                None
            }
        });
        ids.max().unwrap()
    }

    pub(crate) fn counters(&self) -> Counters {
        match &self.session {
            Session::Dtls(dtls) => dtls.counters(),
            Session::Plain(_) => unreachable!(),
        }
    }

    pub(crate) fn suite(&self) -> &'static str {
        match &self.session {
            Session::Dtls(dtls) => dtls.suite().unwrap().name,
            Session::Plain(_) => unreachable!(),
        }
    }
}

pub(crate) fn psk() -> Peer {
    let security = Security::Psk(Psk {
        identity: IDENTITY.to_vec(),
        key: Secret::new(KEY.to_vec()),
    });
    Peer::new("server.example", security)
}

/// The first thing told, which must be how it began.
pub(crate) fn how(told: &[SessionEvent]) -> Established {
    match told.first() {
        Some(SessionEvent::Established(how)) => *how,
        other => panic!("not established but {other:?}"),
    }
}

/// Of `tests/vectors/dtls`, without `.der`.
pub(crate) fn vector(name: &str) -> Vec<u8> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/dtls");
    fs::read(directory.join(name).with_extension("der")).unwrap()
}

/// A server with this certificate, whose chain is sent with it.
pub(crate) fn server_with(certificate: &str, issuers: &[&str]) -> Settings {
    let names = std::iter::once(&certificate).chain(issuers);
    Settings {
        certificate: Some(ServerCertificate {
            chain: names.map(|name| vector(name)).collect(),
            key: Secret::new(key("server")),
            trust: vec![vector("authority")],
        }),
        ..Settings::default()
    }
}

pub(crate) fn key(name: &str) -> Vec<u8> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/dtls");
    fs::read(directory.join(format!("{name}.key.der"))).unwrap()
}
