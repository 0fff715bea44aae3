//! The connection to the broker: one task, whatever number of devices speaks through it.
//!
//! 1. Each connection is a new one with nothing in its queue: a command that has not left when the
//!    connection breaks never leaves. Messages go once at most, for the same reason.
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
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet,
    Publish, QoS, StateError, SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep},
};

/// Largest packet of the broker; the connection ends with a larger one.
pub const PACKET_MAX: usize = 1 << 20;

/// Messages that wait for one device.
pub const INBOX_MAX: usize = 256;

/// Commands that wait for the connection.
const QUEUE: usize = 64;

/// Topics in one subscription.
const TOPICS_AT_ONCE: usize = 50;

/// How long the broker may take to accept a connection.
const CONNECT_S: u64 = 5;

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
    Up(AsyncClient),
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
            state,
            pause: PAUSES.0,
        };
        Ok((broker, BrokerHandle { state: seen }))
    }

    /// Messages of these topics go into an inbox of their own.
    pub fn subscribe(&mut self, topics: impl IntoIterator<Item = String>) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::default());
        for topic in topics {
            let wanted = self.wanted.entry(topic).or_default();
            wanted.push(Arc::clone(&inbox));
        }
        inbox
    }

    /// Keeps the connection until the future is dropped.
    pub async fn run(mut self) {
        loop {
            let begun = Instant::now();
            let words = self.serve().await;
            self.tell(words);
            if begun.elapsed() >= STEADY {
                self.pause = PAUSES.0;
            }
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(PAUSES.1);
        }
    }

    /// One connection, until it ends; why it did.
    async fn serve(&self) -> String {
        let (client, mut events) = AsyncClient::new(self.options(), QUEUE + self.wanted.len());
        events.network_options.set_connection_timeout(CONNECT_S);
        loop {
            if let Some(words) = self.turn(&client, &mut events).await {
                return words;
            }
        }
    }

    async fn turn(&self, client: &AsyncClient, events: &mut EventLoop) -> Option<String> {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                if !self.ask_for_topics(client) {
                    return Some("there are too many topics".to_owned());
                }
                self.state.send_replace(BrokerState::Up(client.clone()));
                tracing::info!(broker = self.config.host, "Broker connected");
                None
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                self.deliver(message);
                None
            }
            Ok(Event::Incoming(Packet::SubAck(answer))) => {
                if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                    tracing::warn!(broker = self.config.host, "The broker refuses topics");
                }
                None
            }
            Ok(Event::Incoming(Packet::Disconnect)) => {
                Some("the broker has ended the connection".to_owned())
            }
            Ok(_) => None,
            Err(error) => Some(words_of(&error)),
        }
    }

    fn options(&self) -> MqttOptions {
        let BrokerConfig {
            host,
            port,
            client_id,
            ..
        } = &self.config;
        let mut options = MqttOptions::new(client_id, host, *port);
        options
            .set_clean_session(true)
            .set_keep_alive(self.config.keep_alive)
            .set_max_packet_size(PACKET_MAX, PACKET_MAX);
        if let Some((user, password)) = &self.config.user {
            options.set_credentials(user, password);
        }
        if let Some(tls) = &self.tls {
            let tls = TlsConfiguration::Rustls(Arc::clone(tls));
            options.set_transport(Transport::tls_with_config(tls));
        }
        options
    }

    fn ask_for_topics(&self, client: &AsyncClient) -> bool {
        let topics: Vec<&String> = self.wanted.keys().collect();
        topics.chunks(TOPICS_AT_ONCE).all(|topics| {
            let filter = |topic: &&String| SubscribeFilter::new((*topic).clone(), QoS::AtMostOnce);
            let asked = client.try_subscribe_many(topics.iter().map(filter));
            asked.is_ok()
        })
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

    /// What was sent before is of no use any more.
    pub fn clear(&self) {
        self.messages().clear();
    }

    fn messages(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BrokerHandle {
    /// Gives a message to the connection that stands.
    pub fn publish(&self, topic: &str, payload: &str, retain: bool) -> Result<(), Fault> {
        let state = self.state.borrow();
        let BrokerState::Up(client) = &*state else {
            return Err(Fault::Unreachable);
        };
        client
            .try_publish(topic, QoS::AtMostOnce, retain, payload.as_bytes())
            .map_err(|_| Fault::Busy)
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

fn words_of(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => "the broker refuses user and password".to_owned(),
        ConnectionError::ConnectionRefused(code) => format!("the broker refuses: {code:?}"),
        ConnectionError::Tls(error) => format!("no TLS with the broker: {error}"),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            "the broker does not answer".to_owned()
        }
        ConnectionError::Io(error) => format!("the broker cannot be reached: {error}"),
        ConnectionError::MqttState(StateError::Io(error)) => {
            format!("the connection to the broker broke: {error}")
        }
        ConnectionError::MqttState(StateError::AwaitPingResp) => {
            "the broker does not answer".to_owned()
        }
        ConnectionError::MqttState(error) => format!("the broker says nonsense: {error}"),
        ConnectionError::NotConnAck(_) | ConnectionError::RequestsDone => {
            "the broker says nonsense".to_owned()
        }
    }
}
