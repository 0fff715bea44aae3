//! A DTLS server for tests and the demo, without sockets: many clients, told apart by Connection ID
//! or address. It can forget what it knows, as a server does that was started anew.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    engine::{Certificates, Endpoint, Engine},
    security::{Secret, Unusable},
    serving::{Shared, Side},
    suite::{Kind, SUITES, Suite},
};

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our certificate, its issuers and its key, and whose certificates clients must show.
    pub certificate: Option<ServerCertificate>,
    /// Length of the identifiers that it gives to clients; `None`: it knows no Connection ID.
    pub connection_id: Option<usize>,
    /// Whether it asks for a cookie first.
    pub hello_verify: bool,
    /// What it accepts, by number; empty: everything.
    pub suites: Vec<u16>,
}

#[derive(Clone, Debug)]
pub struct ServerCertificate {
    pub chain: Vec<Vec<u8>>,
    pub key: Secret,
    pub trust: Vec<Vec<u8>>,
}

/// A client, for as long as its association lives.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClientId(pub u64);

/// What the server has to tell or to send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ServerEvent {
    Application(ClientId, Vec<u8>),
    Closed(ClientId),
    /// Who the client has shown to be.
    Established(ClientId, Vec<u8>),
    Transmit(SocketAddr, Vec<u8>),
}

/// The server.
#[derive(Debug)]
pub struct TestServer {
    clients: BTreeMap<ClientId, Client>,
    cookie_key: [u8; 32],
    events: VecDeque<ServerEvent>,
    next: u64,
    settings: Settings,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Client {
    address: SocketAddr,
    connection_id: Option<Vec<u8>>,
    engine: Engine,
    established: bool,
}

/// Associations, finished or not; more are not begun.
const MAX_CLIENTS: usize = 4096;

const MAX_EVENTS: usize = 16 * 1024;

/// Content types. // RFC 6347, 4.3.1; RFC 9146, 4
const HANDSHAKE: u8 = 22;
const WITH_CONNECTION_ID: u8 = 25;

/// Type, version, epoch and sequence number stand before the identifier. // RFC 9146, 4
const BEFORE_CONNECTION_ID: usize = 11;

impl Default for Settings {
    fn default() -> Self {
        Self {
            certificate: None,
            connection_id: Some(8),
            hello_verify: true,
            suites: Vec::new(),
        }
    }
}

impl TestServer {
    pub fn new(settings: Settings) -> Result<Self, Unusable> {
        let mut cookie_key = [0; 32];
        getrandom::fill(&mut cookie_key).map_err(|_| Unusable::Engine(0))?;
        let server = Self {
            clients: BTreeMap::new(),
            cookie_key,
            events: VecDeque::new(),
            next: 0,
            settings,
            shared: Arc::default(),
        };
        server.engine(None).map(|_| server)
    }

    /// Lets a client in that has this key.
    pub fn admit(&mut self, identity: &[u8], key: Secret) {
        self.with_shared(|shared| shared.admit(identity, key));
    }

    /// All associations, as after a restart without storage. `sessions`: also what resumption
    /// needs.
    pub fn forget(&mut self, sessions: bool) {
        self.clients.clear();
        if sessions {
            self.with_shared(Shared::forget_sessions);
        }
    }

    fn with_shared(&self, change: impl FnOnce(&mut Shared)) {
        change(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn receive(&mut self, from: SocketAddr, datagram: &[u8], now: Duration) {
        let Some(id) = self.find(from, datagram).or_else(|| self.accept(from)) else {
            return;
        };
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.engine.input(datagram.to_vec());
        // An authentic record moves the association; forged ones leave it where it was.
        let former = std::mem::replace(&mut client.address, from);
        let useful = self.carry_on(id, now);
        if !useful && let Some(client) = self.clients.get_mut(&id) {
            client.address = former;
        }
    }

    /// Whose datagram it is. A new handshake from a known address replaces the association.
    fn find(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<ClientId> {
        let kind = *datagram.first()?;
        if kind == WITH_CONNECTION_ID {
            let id = datagram.get(BEFORE_CONNECTION_ID..)?;
            let owner = self.clients.iter().find(|(_, client)| {
                let own = client.connection_id.as_deref();
                client.established && own.is_some_and(|own| !own.is_empty() && id.starts_with(own))
            });
            return owner.map(|(owner, _)| *owner);
        }
        let at = self
            .clients
            .iter()
            .find(|(_, client)| client.address == from);
        let (id, client) = at?;
        let id = *id;
        let begins = kind == HANDSHAKE && datagram.get(3..5) == Some(&[0, 0]);
        if begins && client.established && datagram.get(13) == Some(&1) {
            self.clients.remove(&id);
            return None;
        }
        Some(id)
    }

    fn accept(&mut self, from: SocketAddr) -> Option<ClientId> {
        if self.clients.len() >= MAX_CLIENTS {
            return None;
        }
        let connection_id = match self.settings.connection_id {
            None => None,
            Some(length) => {
                let mut id = vec![0; length];
                getrandom::fill(&mut id).ok()?;
                Some(id)
            }
        };
        let mut engine = self.engine(connection_id.as_deref()).ok()?;
        engine.set_address(from.to_string().as_bytes()).ok()?;
        let id = ClientId(self.next);
        self.next += 1;
        let client = Client {
            address: from,
            connection_id,
            engine,
            established: false,
        };
        self.clients.insert(id, client);
        Some(id)
    }

    fn engine(&self, connection_id: Option<&[u8]>) -> Result<Engine, Unusable> {
        let accepted = |suite: &Suite| {
            let known = suite.kind == Kind::Psk || self.settings.certificate.is_some();
            let listed = &self.settings.suites;
            known && (listed.is_empty() || listed.contains(&suite.number))
        };
        let suites: Vec<Suite> = SUITES.iter().copied().filter(accepted).collect();
        let mut engine = Engine::new(Endpoint::Server, &suites)?;
        let side = Side::new(Arc::clone(&self.shared), self.cookie_key);
        engine.serve(side, self.settings.hello_verify);
        if let Some(certificate) = &self.settings.certificate {
            engine.present(&certificate.chain, certificate.key.expose())?;
            let mut trusted = Certificates::new();
            for der in &certificate.trust {
                trusted.add(der).ok_or(Unusable::TrustStoreUnreadable)?;
            }
            engine.trust(trusted, None);
        }
        engine.set_up(connection_id)?;
        engine.set_mtu(1232);
        Ok(engine)
    }

    /// Whether anything came of it.
    fn carry_on(&mut self, id: ClientId, now: Duration) -> bool {
        let Some(client) = self.clients.get_mut(&id) else {
            return false;
        };
        let mut useful = false;
        if !client.established {
            useful = true;
            match client.engine.handshake(now) {
                Ok(false) => {}
                Ok(true) => {
                    client.established = true;
                    client.engine.set_mtu(0);
                    let identity = client.engine.client_identity().unwrap_or_default();
                    self.push(ServerEvent::Established(id, identity));
                }
                Err(end) if end.code == Engine::COOKIE_ASKED => {
                    let address = client.address.to_string();
                    let own = client.connection_id.as_deref();
                    let again = client
                        .engine
                        .reset(own)
                        .and_then(|()| client.engine.set_address(address.as_bytes()));
                    self.transmit(id);
                    if again.is_err() {
                        self.clients.remove(&id);
                    }
                    return true;
                }
                Err(_) => {
                    self.transmit(id);
                    self.end(id);
                    return true;
                }
            }
        }
        while let Some(client) = self
            .clients
            .get_mut(&id)
            .filter(|client| client.established)
        {
            match client.engine.read(now) {
                Ok(Some(message)) => {
                    useful = true;
                    self.push(ServerEvent::Application(id, message));
                }
                Ok(None) => break,
                Err(_) => {
                    useful = true;
                    self.transmit(id);
                    self.end(id);
                }
            }
        }
        self.transmit(id);
        useful
    }

    fn end(&mut self, id: ClientId) {
        let gone = self.clients.remove(&id);
        if gone.is_some_and(|client| client.established) {
            self.push(ServerEvent::Closed(id));
        }
    }

    fn transmit(&mut self, id: ClientId) {
        while let Some(client) = self.clients.get_mut(&id)
            && let Some(datagram) = client.engine.output()
        {
            let to = client.address;
            self.push(ServerEvent::Transmit(to, datagram));
        }
    }

    /// Sends a message to where the client was heard last. `false`: there is no such client.
    pub fn send(&mut self, id: ClientId, message: &[u8], now: Duration) -> bool {
        let Some(client) = self.clients.get_mut(&id) else {
            return false;
        };
        let sent = client.established && client.engine.write(message, now).is_ok();
        self.transmit(id);
        sent
    }

    /// Sends an alert that ends nothing. // RFC 5246, 7.2
    pub fn warn(&mut self, id: ClientId, alert: u8) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.engine.warn(alert);
            self.transmit(id);
        }
    }

    /// Says goodbye to a client.
    pub fn close(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.engine.close_notify();
            self.transmit(id);
            self.clients.remove(&id);
        }
    }

    pub fn poll(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let shaking = self.clients.values().filter(|client| !client.established);
        shaking.filter_map(|client| client.engine.deadline()).min()
    }

    /// Repeats flights that were not answered.
    pub fn handle_timeout(&mut self, now: Duration) {
        let due = |client: &Client| {
            !client.established && client.engine.deadline().is_some_and(|due| due <= now)
        };
        let late: Vec<ClientId> = self
            .clients
            .iter()
            .filter(|(_, client)| due(client))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.carry_on(id, now);
        }
    }

    fn push(&mut self, event: ServerEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }
}
