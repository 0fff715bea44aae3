//! A session over a real socket: for tests against real servers.

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use lamplighter_dtls::{Clock, Peer, Session, SessionEvent, Time};
use tokio::time::Instant;

/// In 2026; the certificates of the tests are made around it.
pub const TODAY: i64 = 1_800_000_000;

/// One session with one server.
#[derive(Debug)]
pub struct Secured {
    begun: Instant,
    pub clock: Clock,
    pub session: Session,
    server: SocketAddr,
    socket: UdpSocket,
    told: Vec<SessionEvent>,
    traffic: Traffic,
}

/// Datagrams and their bytes, without headers of UDP and IP.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    pub sent: (usize, usize),
    pub received: (usize, usize),
}

/// What the largest record fits in.
const DATAGRAM: usize = 64 * 1024;

impl Secured {
    pub fn new(peer: Peer, server: SocketAddr) -> Self {
        Self {
            begun: Instant::now(),
            clock: Clock {
                floor: TODAY,
                time: Time::Trusted(TODAY),
            },
            session: Session::dtls(peer).unwrap(),
            server,
            socket: socket(server),
            told: Vec::new(),
            traffic: Traffic::default(),
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Begins over a fresh socket, and gives what is told first.
    pub fn start(&mut self, within: Duration) -> Option<SessionEvent> {
        self.socket = socket(self.server);
        self.traffic = Traffic::default();
        self.session.start(self.clock, self.now());
        self.hear(within)
    }

    pub fn restart(&mut self, within: Duration) -> Option<SessionEvent> {
        self.traffic = Traffic::default();
        self.session.restart(self.clock, self.now());
        self.hear(within)
    }

    pub fn say(&mut self, message: &[u8]) {
        self.session.send(message.to_vec(), self.now());
        self.flush();
    }

    pub fn close(&mut self) {
        self.session.close(self.now());
        self.flush();
        self.told.clear();
    }

    /// Since the last start.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The next thing that is told, beside datagrams.
    pub fn hear(&mut self, within: Duration) -> Option<SessionEvent> {
        let end = self.now() + within;
        let mut buffer = vec![0; DATAGRAM];
        loop {
            self.flush();
            if !self.told.is_empty() {
                return Some(self.told.remove(0));
            }
            let due = self.session.poll_timeout();
            let until = due.map_or(end, |due| due.min(end));
            let pause = until.saturating_sub(self.now());
            if pause.is_zero() && until == end {
                return None;
            }
            let pause = pause.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(pause)).unwrap();
            if let Ok(length) = self.socket.recv(&mut buffer) {
                self.traffic.received.0 += 1;
                self.traffic.received.1 += length;
                self.session.receive(buffer[..length].to_vec(), self.now());
            } else {
                self.session.handle_timeout(self.now());
            }
        }
    }

    fn flush(&mut self) {
        while let Some(event) = self.session.poll() {
            match event {
                SessionEvent::Transmit(datagram) => {
                    self.traffic.sent.0 += 1;
                    self.traffic.sent.1 += datagram.len();
                    // What cannot be sent is lost, as on any link.
                    let _ = self.socket.send(&datagram);
                }
                event @ (SessionEvent::Application(_)
                | SessionEvent::Closed(_)
                | SessionEvent::Established(_)) => self.told.push(event),
            }
        }
    }
}

fn socket(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket
}
