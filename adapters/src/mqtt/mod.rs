//! `adapter = "mqtt"`: a device that speaks through a broker: Tasmota, Shelly, Zigbee2MQTT and others.
//!
//! 1. The broker's task ([`Broker`]) keeps the one connection and hands over messages.
//! 2. A message of a point's topic is its value. What the broker had kept is of unknown age: it is
//!    told as stale, or unchecked where the device's last will says that it is there.
//! 3. A command is done when the state that comes back says so: a message sent after it, not one that
//!    the broker had kept. One that is given up is withdrawn where the broker does not have it yet;
//!    what it has it may hand on whenever the device listens, and nothing can stop that.
//! 4. The last will, or the loss of the broker, is the device's link.

mod broker;
mod connection;
mod payload;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use lamplighter_model::{
    InstanceAddress, Quality, ResourceAddress, ResourceId, Sample, Value,
    device::{Assignment, Declaration, Fault},
    object::Operations,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

pub use self::{
    broker::{Broker, BrokerConfig, BrokerHandle, INBOX_MAX, Inbox, Message, PACKET_MAX},
    payload::{Form, NoValue, PAYLOAD_MAX, field},
};
use crate::{Adapter, Clock, Limits, Wake};

/// A device as it is configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MqttConfig {
    pub points: Vec<MqttPoint>,
    pub availability: Option<Availability>,
    /// Said when the connection stands: devices tell their state then.
    pub query: Option<Query>,
    /// Age from which a value is stale.
    pub stale_after: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MqttPoint {
    pub address: ResourceAddress,
    /// Where the device tells the value.
    pub topic: String,
    pub form: Form,
    pub command: Option<MqttCommand>,
}

/// How a value is written.
#[derive(Clone, Debug, PartialEq)]
pub struct MqttCommand {
    pub topic: String,
    /// `{value}` stands for the value.
    pub payload: String,
    pub retain: bool,
    /// Time in which the state comes back.
    pub within: Duration,
    /// Largest difference that counts as equal.
    pub tolerance: f64,
}

/// The last will.
#[derive(Clone, Debug, PartialEq)]
pub struct Availability {
    pub topic: String,
    /// As [`Form::field`].
    pub field: String,
    pub online: String,
    pub offline: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub topic: String,
    pub payload: String,
}

impl MqttConfig {
    /// Everything that is to be subscribed to. The last will comes first: what the broker has kept of
    /// the rest is judged by it.
    pub fn topics(&self) -> Vec<String> {
        let will = self.availability.iter().map(|will| will.topic.clone());
        let mut topics: Vec<String> = will.collect();
        for point in &self.points {
            if !topics.contains(&point.topic) {
                topics.push(point.topic.clone());
            }
        }
        topics
    }

    /// As the supervisor in front of the adapter takes them. Devices tell by themselves.
    pub fn limits(&self) -> Limits {
        Limits {
            max_age: Duration::MAX,
            stale_after: self.stale_after,
            retry_first: Duration::ZERO,
            retry_max: Duration::ZERO,
            ..Limits::default()
        }
    }
}

/// What became of the messages, for people: by kind.
pub type MqttStats = BTreeMap<&'static str, u64>;

/// The device.
pub struct MqttDevice {
    config: MqttConfig,
    broker: BrokerHandle,
    inbox: Arc<Inbox>,
    /// As the last will says; `None`: nothing said yet.
    is_available: Option<bool>,
    is_connected: bool,
    /// Whether the broker was looked at.
    has_begun: bool,
    last: BTreeMap<ResourceAddress, Sample>,
    pending: VecDeque<Wake>,
    read_back: Vec<Sample>,
    stats: watch::Sender<MqttStats>,
    clock: Clock,
}

impl MqttDevice {
    /// `inbox` is that of [`MqttConfig::topics`].
    pub fn new(config: MqttConfig, broker: BrokerHandle, inbox: Arc<Inbox>, clock: Clock) -> Self {
        Self {
            config,
            broker,
            inbox,
            is_available: None,
            is_connected: false,
            has_begun: false,
            last: BTreeMap::new(),
            pending: VecDeque::new(),
            read_back: Vec::new(),
            stats: watch::Sender::default(),
            clock,
        }
    }

    pub fn stats(&self) -> watch::Receiver<MqttStats> {
        self.stats.subscribe()
    }

    /// Takes the next message or change of the connection. May be dropped at any time.
    async fn step(&mut self) {
        if !self.has_begun {
            self.has_begun = true;
            let now = self.broker.now();
            return self.on_broker(now);
        }
        tokio::select! {
            biased;
            changed = self.broker.changed() => self.on_broker(changed),
            message = self.inbox.next() => self.on_message(&message),
        }
    }

    fn on_broker(&mut self, state: Result<(), String>) {
        match state {
            Ok(()) => {
                self.is_connected = true;
                if let Some(Query { topic, payload }) = &self.config.query {
                    // Where it does not go the device tells its state by itself, later.
                    if let Ok(told) = self.broker.publish(topic, payload, false) {
                        told.forget();
                    }
                }
            }
            Err(words) => {
                self.is_connected = false;
                self.is_available = None;
                self.inbox.clear();
                self.pending.push_back(Wake::Lost(words));
            }
        }
    }

    fn on_message(&mut self, message: &Message) {
        if let Some(will) = &self.config.availability
            && will.topic == message.topic
        {
            match will.says(&message.payload) {
                Some(is_available) => self.on_will(is_available),
                None => self.count("garbled"),
            }
        }
        let quality = match (message.is_retained, self.is_available) {
            (false, _) => Quality::Good,
            (true, Some(true)) => Quality::Unchecked,
            (true, Some(false) | None) => Quality::Stale,
        };
        let mut samples = Vec::new();
        for point in &self.config.points {
            if point.topic != message.topic {
                continue;
            }
            match point.form.decode(&message.payload) {
                Ok(value) => samples.push(Sample {
                    quality,
                    ..Sample::good(point.address, value, self.clock.stamp())
                }),
                Err(NoValue::Absent) => {}
                Err(NoValue::Garbled) => self.count("garbled"),
                Err(NoValue::WrongType) => self.count("wrong_type"),
            }
        }
        for sample in &samples {
            self.last.insert(sample.address, sample.clone());
        }
        if !samples.is_empty() {
            self.pending.push_back(Wake::News(samples));
        }
        while self.pending.len() > INBOX_MAX {
            self.pending.pop_front();
            self.count("dropped");
        }
    }

    fn on_will(&mut self, is_available: bool) {
        if self.is_available == Some(is_available) {
            return;
        }
        self.is_available = Some(is_available);
        if !is_available {
            let words = "it is gone, says its last will".to_owned();
            return self.pending.push_back(Wake::Lost(words));
        }
        self.pending.push_back(Wake::Alive);
        // What the broker had kept may have come before the last will.
        let kept = self.last.values_mut();
        let kept = kept.filter(|sample| sample.quality != Quality::Good);
        let unchecked = kept.map(|sample| {
            sample.quality = Quality::Unchecked;
            sample.clone()
        });
        let unchecked: Vec<Sample> = unchecked.collect();
        if !unchecked.is_empty() {
            self.pending.push_back(Wake::News(unchecked));
        }
    }

    fn is_there(&self) -> bool {
        self.is_connected && self.is_available != Some(false)
    }

    async fn command(&mut self, assignment: &Assignment) -> Result<Sample, Fault> {
        let at = assignment.address;
        let mut points = self.config.points.iter();
        let point = points.find(|point| point.address == at);
        let Some((form, command)) =
            point.and_then(|point| Some((&point.form, point.command.clone()?)))
        else {
            return Err(Fault::Unsupported);
        };
        let Some(word) = form.encode(&assignment.value) else {
            return Err(Fault::BadValue("it has no word for this value".to_owned()));
        };
        let Some(payload) = payload::filled(&command.payload, &word, &assignment.value) else {
            let words = "its message has no place for this text".to_owned();
            return Err(Fault::BadValue(words));
        };
        // What was sent before says nothing about what is told now.
        while let Some(message) = self.inbox.try_next() {
            self.on_message(&message);
        }
        if !self.is_there() {
            return Err(Fault::Unreachable);
        }
        let told = self
            .broker
            .publish(&command.topic, &payload, command.retain)?;
        let before = self.last.remove(&at);
        let result = self.confirmed(assignment, &command, &word).await;
        if let Some(before) = before {
            self.last.entry(at).or_insert(before);
        }
        if result.is_ok() {
            told.forget();
        }
        result
    }

    /// Waits for the state that comes back.
    async fn confirmed(
        &mut self,
        assignment: &Assignment,
        command: &MqttCommand,
        word: &str,
    ) -> Result<Sample, Fault> {
        let deadline = Instant::now() + command.within;
        let mut said = None;
        let came = timeout_at(deadline, async {
            loop {
                self.step().await;
                if !self.is_there() {
                    return Err(Fault::Unreachable);
                }
                let sample = self.last.get(&assignment.address);
                let Some(sample) = sample.filter(|sample| sample.quality == Quality::Good) else {
                    continue;
                };
                if is_same(&sample.value, &assignment.value, command.tolerance) {
                    return Ok(sample.clone());
                }
                said = Some(sample.value.clone());
            }
        });
        let result = came.await;
        result.unwrap_or_else(|_| {
            Err(match said {
                Some(value) => Fault::Device(format!("it was told {word} and says {value}")),
                None => Fault::Timeout,
            })
        })
    }

    fn count(&self, kind: &'static str) {
        self.stats
            .send_modify(|stats| *stats.entry(kind).or_default() += 1);
    }
}

impl Adapter for MqttDevice {
    fn declared(&self) -> Vec<Declaration> {
        let declaration = |point: &MqttPoint| Declaration {
            address: point.address,
            operations: Operations {
                read: true,
                write: point.command.is_some(),
                execute: false,
            },
        };
        self.config.points.iter().map(declaration).collect()
    }

    async fn read(
        &mut self,
        instance: InstanceAddress,
        resources: &[ResourceId],
    ) -> Result<Vec<Sample>, Fault> {
        if !self.is_there() {
            return Err(Fault::Unreachable);
        }
        let known = resources.iter().filter_map(|resource| {
            let address = ResourceAddress {
                scope: instance.scope,
                path: instance.path.resource(resource.0),
            };
            self.last.get(&address)
        });
        // The supervisor asks for what has grown old only.
        let known: Vec<Sample> = known
            .map(|sample| Sample {
                quality: Quality::Stale,
                ..sample.clone()
            })
            .collect();
        if known.is_empty() {
            return Err(Fault::NoValue);
        }
        Ok(known)
    }

    async fn write(&mut self, values: &[Assignment]) -> Result<(), Fault> {
        for assignment in values {
            let sample = self.command(assignment).await?;
            self.read_back.push(sample);
        }
        Ok(())
    }

    fn take_read_back(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.read_back)
    }

    async fn execute(&mut self, _: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        loop {
            if let Some(wake) = self.pending.pop_front() {
                return Ok(wake);
            }
            self.step().await;
        }
    }
}

impl Availability {
    fn says(&self, payload: &[u8]) -> Option<bool> {
        let text = std::str::from_utf8(payload).ok()?;
        let word = if self.field.is_empty() {
            text.trim().to_owned()
        } else {
            field(text, &self.field).ok()?
        };
        if word == self.online {
            Some(true)
        } else {
            (word == self.offline).then_some(false)
        }
    }
}

impl fmt::Debug for MqttDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MqttDevice({} points)", self.config.points.len())
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Broker")
    }
}

impl fmt::Debug for BrokerConfig {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerConfig({}:{})", self.host, self.port)
    }
}

impl fmt::Debug for BrokerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerHandle")
    }
}

fn is_same(said: &Value, told: &Value, tolerance: f64) -> bool {
    match (said.as_f64(), told.as_f64()) {
        (Some(said), Some(told)) => (said - told).abs() <= tolerance.max(f64::EPSILON),
        (Some(_), None) | (None, Some(_)) => false,
        (None, None) => said == told,
    }
}
