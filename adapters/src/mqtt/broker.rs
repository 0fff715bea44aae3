//! The connection to the broker: one task, whatever number of devices speaks through it.
//!
//! 1. Each connection is a new one with nothing in its queue: a command that has not left when the
//!    connection breaks never leaves. Messages go once at most, for the same reason. A command that
//!    is given up before the broker has it ends the connection (`connection.rs`).
//! 2. When it stands, all topics of all devices are subscribed to, and devices are told.
//! 3. Messages go into the inbox of each device that wants their topic. A device that does not keep
//!    up loses older messages of a topic first.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lamplighter_model::device::Fault;
use rumqttc::{
    Connect, ConnectReturnCode, Packet, Publish, QoS, Subscribe, SubscribeFilter,
    SubscribeReasonCode, tokio_rustls::TlsConnector,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

use super::connection::{Carrier, Client, Connection, Ticket, Wire, connect};

/// Largest packet of the broker; the connection ends with a larger one.
pub const PACKET_MAX: usize = 1 << 20;

/// Messages that wait for one device.
pub const INBOX_MAX: usize = 256;

/// Topics in one subscription.
const TOPICS_AT_ONCE: usize = 50;

/// How long the broker may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// First and longest pause before the next connection.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A connection that stood this long begins with the first pause again.
const STEADY: Duration = Duration::from_secs(30);

/// Where the broker is and who we are to it.
#[derive(Clone)]
pub struct BrokerConfig {
    pub host: String,
    pub port: u16,
    pub client_id: String,
    pub user: Option<(String, String)>,
    /// Certificates (DER) of whom the broker's own must come from; `None`: without TLS.
    pub ca: Option<Vec<Vec<u8>>>,
    pub keep_alive: Duration,
}

/// What is known of the connection.
#[derive(Clone)]
pub(super) enum BrokerState {
    /// With the words for people.
    Down(String),
    Up(Client),
}

/// The way of a device to the broker.
#[derive(Clone)]
pub struct BrokerHandle {
    state: watch::Receiver<BrokerState>,
}

/// What came for one device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    /// The broker has kept it, nobody knows since when.
    pub is_retained: bool,
}

/// Messages that a device has not taken yet.
#[derive(Debug, Default)]
pub struct Inbox {
    messages: Mutex<VecDeque<Message>>,
    arrived: Notify,
}

/// The task.
pub struct Broker {
    config: BrokerConfig,
    tls: Option<Arc<ClientConfig>>,
    wanted: BTreeMap<String, Vec<Arc<Inbox>>>,
    /// The same in the order in which they are subscribed to.
    topics: Vec<String>,
    state: watch::Sender<BrokerState>,
    /// The next pause.
    pause: Duration,
}

impl Broker {
    /// # Errors
    /// The certificates cannot be used, in words.
    pub fn new(config: BrokerConfig) -> Result<(Self, BrokerHandle), String> {
        let tls = config.ca.as_deref().map(tls).transpose()?;
        let (state, seen) = watch::channel(BrokerState::Down("not connected yet".to_owned()));
        let broker = Self {
            config,
            tls,
            wanted: BTreeMap::new(),
            topics: Vec::new(),
            state,
            pause: PAUSES.0,
        };
        Ok((broker, BrokerHandle { state: seen }))
    }

    /// Messages of these topics go into an inbox of their own.
    pub fn subscribe(&mut self, topics: impl IntoIterator<Item = String>) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::default());
        for topic in topics {
            if !self.wanted.contains_key(&topic) {
                self.topics.push(topic.clone());
            }
            let wanted = self.wanted.entry(topic).or_default();
            wanted.push(Arc::clone(&inbox));
        }
        inbox
    }

    /// Keeps the connection until the future is dropped.
    pub async fn run(mut self) {
        loop {
            let begun = Instant::now();
            let words = self.connection().await;
            self.tell(words);
            if begun.elapsed() >= STEADY {
                self.pause = PAUSES.0;
            }
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(PAUSES.1);
        }
    }

    /// One connection, until it ends; why it did.
    async fn connection(&self) -> String {
        let begun = timeout(CONNECT, async {
            let mut wire = Wire::new(self.dial().await?);
            self.enter(&mut wire).await?;
            Ok(wire)
        });
        match begun.await {
            Ok(Ok(wire)) => self.serve(wire).await,
            Ok(Err(words)) => words,
            Err(_) => "the broker does not answer".to_owned(),
        }
    }

    async fn dial(&self) -> Result<Box<dyn Carrier>, String> {
        let BrokerConfig { host, port, .. } = &self.config;
        let stream = connect(host, *port).await;
        let stream = stream.map_err(|error| format!("the broker cannot be reached: {error}"))?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(host.clone())
            .map_err(|error| format!("no TLS with the broker: {error}"))?;
        let secured = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
        let secured = secured.await;
        let secured = secured.map_err(|error| format!("no TLS with the broker: {error}"))?;
        Ok(Box::new(secured))
    }

    /// Says who we are and what we want to hear.
    pub(super) async fn enter<S: Carrier>(&self, wire: &mut Wire<S>) -> Result<(), String> {
        let mut hello = Connect::new(self.config.client_id.clone());
        let keep_alive = self.config.keep_alive.as_secs();
        hello.keep_alive = u16::try_from(keep_alive).unwrap_or(u16::MAX);
        if let Some((user, password)) = &self.config.user {
            hello.set_login(user, password);
        }
        wire.tell(&Packet::Connect(hello))?;
        let Packet::ConnAck(answer) = wire.packet().await? else {
            return Err("the broker says nonsense".to_owned());
        };
        if answer.code != ConnectReturnCode::Success {
            return Err(words_of(answer.code));
        }
        for (at, topics) in self.topics.chunks(TOPICS_AT_ONCE).enumerate() {
            let filter = |topic: &String| SubscribeFilter::new(topic.clone(), QoS::AtMostOnce);
            let mut wanted = Subscribe::new_many(topics.iter().map(filter));
            // Nobody waits for the answers, but 0 is no number. // MQTT 3.1.1, 2.3.1
            wanted.pkid = u16::try_from(at + 1).map_err(|_| "there are too many topics")?;
            wire.tell(&Packet::Subscribe(wanted))?;
        }
        Ok(())
    }

    pub(super) async fn serve<S: Carrier>(&self, wire: Wire<S>) -> String {
        let (mut connection, client) = Connection::new(wire, self.config.keep_alive);
        self.state.send_replace(BrokerState::Up(client));
        tracing::info!(broker = self.config.host, "Broker connected");
        loop {
            match connection.next().await {
                Ok(Packet::Publish(message)) => self.deliver(message),
                Ok(Packet::SubAck(answer)) => {
                    if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                        tracing::warn!(broker = self.config.host, "The broker refuses topics");
                    }
                }
                Ok(Packet::Disconnect) => return "the broker has ended the connection".to_owned(),
                Ok(_) => {}
                Err(words) => return words,
            }
        }
    }

    fn deliver(&self, message: Publish) {
        let Some(inboxes) = self.wanted.get(&message.topic) else {
            return;
        };
        for inbox in inboxes {
            inbox.push(Message {
                topic: message.topic.clone(),
                payload: message.payload.to_vec(),
                is_retained: message.retain,
            });
        }
    }

    fn tell(&self, words: String) {
        let is_news = !matches!(&*self.state.borrow(), BrokerState::Down(last) if *last == words);
        if is_news {
            tracing::warn!(broker = self.config.host, words, "Broker not connected");
            self.state.send_replace(BrokerState::Down(words));
        }
    }
}

impl Inbox {
    fn push(&self, message: Message) {
        let mut messages = self.messages();
        if messages.len() >= INBOX_MAX {
            let same = messages
                .iter()
                .position(|waiting| waiting.topic == message.topic);
            messages.remove(same.unwrap_or(0));
        }
        messages.push_back(message);
        drop(messages);
        self.arrived.notify_one();
    }

    /// The next message; may be dropped at any time.
    pub async fn next(&self) -> Message {
        loop {
            let arrived = self.arrived.notified();
            if let Some(message) = self.messages().pop_front() {
                return message;
            }
            arrived.await;
        }
    }

    /// As [`Self::next`], of what is here already.
    pub fn try_next(&self) -> Option<Message> {
        self.messages().pop_front()
    }

    /// What was sent before is of no use any more.
    pub fn clear(&self) {
        self.messages().clear();
    }

    fn messages(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BrokerHandle {
    /// Gives a message to the connection that stands. Dropping the ticket withdraws it where the
    /// broker does not have it.
    pub(crate) fn publish(
        &self,
        topic: &str,
        payload: &str,
        retain: bool,
    ) -> Result<Ticket, Fault> {
        let state = self.state.borrow();
        let BrokerState::Up(client) = &*state else {
            return Err(Fault::Unreachable);
        };
        let mut message = Publish::new(topic, QoS::AtMostOnce, payload.as_bytes());
        message.retain = retain;
        client.publish(message).ok_or(Fault::Busy)
    }

    /// The next change of the connection; `Err` with the words where it is down.
    pub async fn changed(&mut self) -> Result<(), String> {
        if self.state.changed().await.is_err() {
            return std::future::pending().await;
        }
        self.now()
    }

    /// As [`Self::changed`], how it is now.
    pub fn now(&mut self) -> Result<(), String> {
        match &*self.state.borrow_and_update() {
            BrokerState::Down(words) => Err(words.clone()),
            BrokerState::Up(_) => Ok(()),
        }
    }
}

fn tls(ca: &[Vec<u8>]) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in ca {
        roots
            .add(CertificateDer::from(certificate.clone()))
            .map_err(|error| format!("its ca cannot be used: {error}"))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn words_of(code: ConnectReturnCode) -> String {
    let is_login = matches!(
        code,
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized
    );
    if is_login {
        return "the broker refuses user and password".to_owned();
    }
    format!("the broker refuses: {code:?}")
}
