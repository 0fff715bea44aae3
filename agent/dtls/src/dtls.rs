//! DTLS 1.2 with one server, over whatever link carries it at the moment.
//!
//! The ladder, each rung taken when the one before is not possible or was not believed:
//! 1. A Connection ID: the association goes on over the new link, without a single byte.
//! 2. Resumption: the keys of the former session are taken up again, one round trip.
//! 3. A full handshake. A server that has lost its state turns 2 into 3 by itself.
//!
//! A server that has lost its state drops what comes under rung 1 without a word. Only the caller
//! can notice: a request times out, and [`Dtls::restart`] takes the next rung.

use std::{collections::VecDeque, time::Duration};

use zeroize::Zeroizing;

use crate::{
    client::{self, Read, Step},
    closed::Closed,
    codes::{Flaw, TOO_LONG},
    engine::Engine,
    frozen::{Content, Frozen, Kind, Mark, Stale},
    security::{Peer, Security, Unusable},
    session::{Established, MAX_EVENTS, SessionEvent},
    suite::Suite,
    verify::{Clock, Validity},
};

/// The state towards one server.
#[derive(Debug)]
pub struct Dtls {
    clock: Clock,
    counters: Counters,
    /// Whether the association is not to be believed any more.
    distrusted: bool,
    events: VecDeque<SessionEvent>,
    memory: Option<Memory>,
    /// Of a datagram of a handshake.
    mtu: u16,
    peer: Peer,
    /// The association that a restart has put in doubt, as long as no server has answered that: it
    /// may be the path that is dead.
    set_aside: Option<Engine>,
    state: State,
    /// When the certificates by which the server was believed are valid.
    validity: Option<Validity>,
}

/// What happened since the session was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// New links without a handshake.
    pub continued: u64,
    /// Records whose integrity check failed; dropped.
    pub forged: u64,
    /// Full handshakes that succeeded.
    pub full: u64,
    /// Handshakes that did not.
    pub failed: u64,
    /// Datagrams that are no records of this session; dropped.
    pub malformed: u64,
    /// Records that came before, or are too old to know; dropped.
    pub replayed: u64,
    /// Handshakes that took up a former session.
    pub resumed: u64,
    /// Messages that were too long to be sent; dropped.
    pub too_long: u64,
}

#[derive(Debug)]
enum State {
    Idle,
    Open(Engine),
    Shaking(Engine),
}

/// What a resumption needs.
struct Memory {
    /// A handshake with it has failed. Anybody can make one fail, and the server itself where it
    /// cannot cope with what is offered: so it is offered once more, then not again.
    is_doubted: bool,
    session: Zeroizing<Vec<u8>>,
}

/// Handshake messages are split into datagrams that pass every path of IPv6 (1280 bytes with its
/// headers).
const FLIGHT_MTU: u16 = 1232;
/// No path has less room, whatever a router says. // RFC 791, 3.1: 68 bytes, and some for a record
const LEAST_MTU: u16 = 256;

/// Records that answer a handshake: alerts and handshake messages. // RFC 5246, 6.2.1
const SHAKES: [u8; 2] = [21, 22];

impl Memory {
    const fn new(session: Zeroizing<Vec<u8>>) -> Self {
        Self {
            is_doubted: false,
            session,
        }
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memory")
    }
}

impl Dtls {
    pub(crate) fn new(peer: Peer) -> Result<Self, Unusable> {
        peer.check()?;
        Ok(Self {
            clock: Clock::default(),
            counters: Counters::default(),
            distrusted: false,
            events: VecDeque::new(),
            memory: None,
            mtu: FLIGHT_MTU,
            peer,
            set_aside: None,
            state: State::Idle,
            validity: None,
        })
    }

    /// Takes up what [`Self::freeze`] or [`Self::remember`] has given.
    pub(crate) fn thaw(
        peer: Peer,
        frozen: Frozen,
        mark: Option<Mark>,
        hardware: &[u8],
    ) -> Result<Self, Stale> {
        let mut dtls = Self::new(peer).map_err(Stale::Unusable)?;
        let content = frozen.open(&dtls.peer, mark, hardware)?;
        let session = content.session;
        dtls.validity = content.validity;
        match content.kind {
            Kind::Memory => dtls.memory = Some(Memory::new(session)),
            Kind::Association => {
                let engine = client::thaw(&dtls.peer, &session);
                let mut engine = engine.ok_or(Stale::Damaged)?;
                dtls.memory = engine.memory().map(Memory::new);
                dtls.state = State::Open(engine);
            }
        }
        Ok(dtls)
    }

    /// A new link stands ready: continue, resume or begin.
    pub(crate) fn start(&mut self, clock: Clock, now: Duration) {
        self.clock = clock;
        if let Some(engine) = self.set_aside.take() {
            self.state = State::Open(engine);
        }
        if let State::Open(engine) = &self.state
            && engine.has_connection_id()
            && !self.distrusted
            && self.is_valid(clock)
        {
            self.counters.continued += 1;
            self.push(SessionEvent::Established(Established::Continued));
            return;
        }
        self.shake(now);
    }

    /// Agrees upon keys anew over the same link: the next rung.
    pub(crate) fn restart(&mut self, clock: Clock, now: Duration) {
        self.clock = clock;
        if let State::Open(engine) = std::mem::replace(&mut self.state, State::Idle) {
            self.set_aside = Some(engine);
        }
        self.shake(now);
    }

    /// The next link begins with a handshake.
    pub(crate) fn distrust(&mut self) {
        self.distrusted = true;
    }

    pub(crate) fn set_mtu(&mut self, most: Option<u16>) {
        self.mtu = most.map_or(FLIGHT_MTU, |most| most.clamp(LEAST_MTU, FLIGHT_MTU));
        if let State::Shaking(engine) = &mut self.state {
            engine.set_mtu(self.mtu);
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    fn shake(&mut self, now: Duration) {
        if !self.is_valid(self.clock) {
            self.memory = None;
        }
        self.distrusted = false;
        self.state = State::Idle;
        let memory = self.memory.as_ref().map(|memory| memory.session.as_slice());
        match client::begin(&self.peer, self.clock, memory) {
            Ok(mut engine) => {
                engine.set_mtu(self.mtu);
                self.state = State::Shaking(engine);
                self.carry_on(now);
            }
            Err(why) => self.push(SessionEvent::Closed(Closed::Unusable(why))),
        }
    }

    /// Whether the certificates by which the server was believed would convince now.
    pub(crate) fn is_valid(&self, clock: Clock) -> bool {
        let strict = match &self.peer.security {
            Security::Certificate(certificate) => certificate.strict_time,
            Security::Psk(_) => false,
        };
        let validity = self.validity;
        validity.is_none_or(|validity| clock.check(validity, strict).is_ok())
    }

    pub(crate) fn receive(&mut self, datagram: Vec<u8>, now: Duration) {
        match &mut self.state {
            State::Idle => {}
            State::Open(engine) => {
                let (copy, seen) = (datagram.clone(), engine.window());
                engine.input(datagram);
                if !self.read_all(now) {
                    self.count_flaw(copy, seen);
                }
            }
            State::Shaking(engine) => {
                if datagram.first().is_some_and(|kind| SHAKES.contains(kind)) {
                    self.set_aside = None;
                }
                engine.input(datagram);
                self.carry_on(now);
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.carry_on(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        match &self.state {
            State::Shaking(engine) => engine.deadline(),
            State::Idle | State::Open(_) => None,
        }
    }

    fn carry_on(&mut self, now: Duration) {
        let State::Shaking(engine) = &mut self.state else {
            return;
        };
        let step = client::shake(engine, now);
        self.transmit();
        match step {
            Step::Waiting => {}
            Step::Failed(why) => {
                self.counters.failed += 1;
                if why != Closed::TimedOut {
                    self.doubt_memory();
                }
                self.end(why);
            }
            Step::Done => {
                self.established();
                self.read_all(now);
            }
        }
    }

    fn doubt_memory(&mut self) {
        self.memory = self.memory.take().filter(|memory| !memory.is_doubted);
        if let Some(memory) = &mut self.memory {
            memory.is_doubted = true;
        }
    }

    fn established(&mut self) {
        let State::Shaking(mut engine) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        let is_resumed = engine.is_resumed();
        // A resumption shows no certificates: it stands on those of the former session.
        if !is_resumed {
            let verdict = engine.judge().and_then(|judge| judge.verdict);
            self.validity = verdict.and_then(Result::ok);
        }
        self.memory = engine.memory().map(Memory::new);
        self.state = State::Open(engine);
        let established = if is_resumed {
            self.counters.resumed += 1;
            Established::Resumed
        } else {
            self.counters.full += 1;
            Established::Full
        };
        self.push(SessionEvent::Established(established));
    }

    /// Whether anything came of what was received.
    fn read_all(&mut self, now: Duration) -> bool {
        let mut useful = false;
        while let State::Open(engine) = &mut self.state {
            match client::read(engine, now) {
                Read::Message(message) => {
                    useful = true;
                    self.push(SessionEvent::Application(message));
                }
                Read::Nothing => break,
                Read::Ended(why) => {
                    useful = true;
                    self.transmit();
                    // RFC 5246, 7.2.2: what ended by a fatal alert is not resumed.
                    if why != Closed::Peer(0) {
                        self.memory = None;
                    }
                    self.end(why);
                }
            }
        }
        self.transmit() || useful
    }

    /// `seen`: what was seen before it came.
    fn count_flaw(&mut self, datagram: Vec<u8>, seen: (u64, u64)) {
        let State::Open(engine) = &self.state else {
            return;
        };
        // An alert that asks for nothing is the server's all the same.
        if engine.window() != seen {
            return;
        }
        match engine.flaw(datagram) {
            Some(Flaw::Forged) => self.counters.forged += 1,
            Some(Flaw::Malformed) => self.counters.malformed += 1,
            Some(Flaw::Replayed) => self.counters.replayed += 1,
            None => {}
        }
    }

    /// Hands over what the engine wants to send; whether there was anything.
    fn transmit(&mut self) -> bool {
        let mut any = false;
        while let State::Open(engine) | State::Shaking(engine) = &mut self.state
            && let Some(datagram) = engine.output()
        {
            any = true;
            self.push(SessionEvent::Transmit(datagram));
        }
        any
    }

    pub(crate) fn send(&mut self, message: &[u8], now: Duration) {
        let State::Open(engine) = &mut self.state else {
            return;
        };
        match engine.write(message, now) {
            Ok(()) => {}
            Err(TOO_LONG) => self.counters.too_long += 1,
            Err(code) => {
                self.memory = None;
                self.end(Closed::Protocol(code));
            }
        }
        self.transmit();
    }

    pub(crate) fn close(&mut self) {
        match &mut self.state {
            State::Idle => return,
            State::Shaking(_) => {}
            State::Open(engine) => {
                engine.close_notify();
                self.transmit();
            }
        }
        self.end(Closed::Locally);
    }

    /// Puts the association away for the next start; ends it here. Where that is not possible
    /// (CBC, no Connection ID) what a resumption needs is left.
    pub(crate) fn freeze(&mut self, hardware: &[u8]) -> Option<Frozen> {
        let state = std::mem::replace(&mut self.state, State::Idle);
        if let State::Open(engine) = state
            && engine.has_connection_id()
            && !self.distrusted
            && let Some(session) = engine.freeze()
        {
            let content = Content {
                kind: Kind::Association,
                session,
                validity: self.validity,
            };
            return Frozen::new(&content, &self.peer, hardware);
        }
        self.remember(hardware)
    }

    /// What a resumption needs; unlike a frozen association it may be used again.
    pub(crate) fn remember(&self, hardware: &[u8]) -> Option<Frozen> {
        let memory = self.memory.as_ref()?;
        let content = Content {
            kind: Kind::Memory,
            session: memory.session.clone(),
            validity: self.validity,
        };
        Frozen::new(&content, &self.peer, hardware)
    }

    pub(crate) fn poll(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether a new link will need no handshake.
    pub fn has_connection_id(&self) -> bool {
        matches!(&self.state, State::Open(engine) if engine.has_connection_id())
    }

    /// What was agreed with the server, once there is a session.
    pub fn suite(&self) -> Option<Suite> {
        match &self.state {
            State::Open(engine) => engine.suite(),
            State::Idle | State::Shaking(_) => None,
        }
    }

    fn end(&mut self, why: Closed) {
        self.state = State::Idle;
        if why != Closed::TimedOut {
            self.set_aside = None;
        }
        self.push(SessionEvent::Closed(why));
    }

    fn push(&mut self, event: SessionEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        security::{Certificate, Matching, Secret, Usage},
        test_server::{ServerCertificate, ServerEvent, Settings, TestServer},
        verify::Time,
    };

    fn file(name: &str) -> Vec<u8> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/dtls");
        std::fs::read(format!("{root}/{name}.der")).unwrap()
    }

    fn peer() -> Peer {
        let certificate = Certificate {
            chain: vec![file("client")],
            key: Secret::new(file("client.key")),
            matching: Matching::Exact,
            server: Vec::new(),
            strict_time: false,
            trust_store: vec![file("authority")],
            usage: Usage::TrustAnchorAssertion,
        };
        let security = Security::Certificate(Box::new(certificate));
        Peer::new("server.example", security)
    }

    /// With a server whose certificate was valid then.
    fn established(clock: Clock) -> Dtls {
        let mut server = TestServer::new(Settings {
            certificate: Some(ServerCertificate {
                chain: vec![file("expired"), file("issuer")],
                key: Secret::new(file("server.key")),
                trust: vec![file("authority")],
            }),
            ..Settings::default()
        })
        .unwrap();
        let (mut dtls, now) = (Dtls::new(peer()).unwrap(), Duration::ZERO);
        let address = "192.0.2.1:5684".parse().unwrap();
        dtls.start(clock, now);
        loop {
            match dtls.poll() {
                Some(SessionEvent::Transmit(sent)) => server.receive(address, &sent, now),
                Some(SessionEvent::Established(Established::Full)) => return dtls,
                other => assert_eq!(other, None),
            }
            while let Some(event) = server.poll() {
                if let ServerEvent::Transmit(_, sent) = event {
                    dtls.receive(sent, now);
                }
            }
        }
    }

    // A server that gives its sessions no name leaves nothing for a resumption.
    #[test]
    fn without_a_memory_a_session_still_ends_with_its_certificate() {
        let then = 1_609_372_800;
        let at = |time| Clock {
            floor: 0,
            time: Time::Trusted(time),
        };
        let started = |mut dtls: Dtls, time| {
            dtls.start(at(time), Duration::ZERO);
            dtls.poll()
        };
        let alive = || {
            let mut dtls = established(at(then));
            dtls.memory = None;
            dtls
        };
        let thawed = || {
            let frozen = alive().freeze(b"board").unwrap();
            let mark = frozen.mark();
            let mut dtls = Dtls::thaw(peer(), frozen, mark, b"board").unwrap();
            dtls.memory = None;
            dtls
        };
        let goes_on = Some(SessionEvent::Established(Established::Continued));
        let begins = |event: Option<SessionEvent>| matches!(event, Some(SessionEvent::Transmit(_)));
        let later = then + 3 * 86_400;
        assert_eq!(started(alive(), then), goes_on);
        assert_eq!(started(thawed(), then), goes_on);
        assert!(begins(started(alive(), later)));
        assert!(begins(started(thawed(), later)));
    }
}
