//! The vendor object Device link: one instance for each configured device, in their order.
//!
//! What changes by itself (counters, ages) is looked at with everything else; a device that is lost or
//! comes back is told at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_adapters::{modbus::DeviceStats, supervise::Health};
use lamplighter_model::{
    InstancePath, Now, ObjectId, Quality, ResourceAddress, ResourceInstanceId, Sample, Stamp,
    Value,
    device::{AdapterId, LinkState},
    tables::VendorObject,
};
use tokio::sync::watch;

use super::at;
use crate::{
    config::Config,
    status::{LinkFacts, Status, Watch},
};

/// All of the object.
const RESOURCES: [u16; 9] = [
    DEVICE, ADAPTER, STATE, SINCE, LAST_GOOD, ERRORS, ROUND_TRIP, QUALITIES, REASON,
];
const DEVICE: u16 = 0;
const ADAPTER: u16 = 1;
const STATE: u16 = 2;
const SINCE: u16 = 3;
const LAST_GOOD: u16 = 4;
const ERRORS: u16 = 5;
const ROUND_TRIP: u16 = 6;
const QUALITIES: u16 = 7;
const REASON: u16 = 8;

/// Where a device's counters stand.
#[derive(Clone, Debug)]
pub(crate) enum Counters {
    /// Every request on the line.
    Modbus(watch::Receiver<DeviceStats>),
    /// What its supervisor sees.
    Supervised(watch::Receiver<Health>),
}

#[derive(Debug)]
pub(super) struct Links {
    object: ObjectId,
    counters: BTreeMap<AdapterId, Counters>,
    devices: BTreeSet<AdapterId>,
    status: Status,
    /// `None` where too many follow already: then everything waits for the next round.
    watch: Option<Watch>,
    told: BTreeMap<(ResourceAddress, Option<ResourceInstanceId>), Value>,
}

impl Links {
    pub(super) fn new(
        config: &Config,
        status: Status,
        counters: BTreeMap<AdapterId, Counters>,
    ) -> Self {
        Self {
            object: object(config),
            counters,
            devices: config.devices.iter().map(|device| device.id).collect(),
            watch: status.watch(Vec::new()).ok(),
            status,
            told: BTreeMap::new(),
        }
    }

    /// What there is to read.
    pub(super) fn addresses(&self) -> Vec<ResourceAddress> {
        addresses_of(self.object, self.devices.iter().copied())
    }

    pub(super) fn has(&self, instance: InstancePath) -> bool {
        instance.object == self.object
    }

    /// Waits until something about a device, a server or a problem has changed.
    pub(super) async fn changed(&self) {
        match &self.watch {
            None => std::future::pending().await,
            Some(watch) => {
                watch.changed().await;
            }
        }
    }

    /// What is other than it was told last.
    pub(super) fn news(&mut self, now: Now) -> Vec<Sample> {
        let mut all: Vec<Sample> = self.all(now);
        all.retain(|sample| {
            let key = (sample.address, sample.index);
            let is_news = self.told.get(&key) != Some(&sample.value);
            if is_news {
                self.told.insert(key, sample.value.clone());
            }
            is_news
        });
        all
    }

    /// All that is known of one device.
    pub(super) fn samples(&self, instance: InstancePath, now: Now) -> Vec<Sample> {
        let mut all = self.all(now);
        all.retain(|sample| sample.address.path.instance == instance);
        all
    }

    fn all(&self, now: Now) -> Vec<Sample> {
        let links = self.status.links(now);
        let ours = links.iter().filter(|link| self.devices.contains(&link.id));
        ours.flat_map(|link| self.of(link, now)).collect()
    }

    fn of(&self, link: &LinkFacts, now: Now) -> Vec<Sample> {
        let instance = InstancePath::new(self.object.0, link.id.0);
        let mut telling = Telling {
            instance,
            stamp: now.stamp(),
            samples: Vec::new(),
        };
        let time = |stamp: Stamp| now.unix_of(stamp).map(|unix| Value::Time(unix.seconds()));
        telling.one(DEVICE, text(&link.name));
        telling.one(ADAPTER, text(&link.adapter));
        telling.one(STATE, text(word(link.state)));
        telling.one(SINCE, time(link.since));
        telling.one(LAST_GOOD, link.last_good.and_then(time));
        telling.one(REASON, text(&link.detail));
        let (errors, round_trip) = match self.counters.get(&link.id) {
            Some(Counters::Modbus(stats)) => of_modbus(&stats.borrow()),
            Some(Counters::Supervised(health)) => of_supervised(*health.borrow()),
            None => ([0; 4], None),
        };
        telling.each(ERRORS, errors);
        telling.one(ROUND_TRIP, round_trip.map(Value::Integer));
        let count = |quality| link.qualities.iter().filter(|of| **of == quality).count();
        let qualities = [
            Quality::Good,
            Quality::Stale,
            Quality::Bad,
            Quality::Unchecked,
        ];
        telling.each(QUALITIES, qualities.map(|quality| count(quality) as u64));
        telling.samples
    }
}

struct Telling {
    instance: InstancePath,
    stamp: Stamp,
    samples: Vec<Sample>,
}

impl Telling {
    fn one(&mut self, resource: u16, value: Option<Value>) {
        let address = at(self.instance, resource);
        let sample = value.map(|value| Sample::good(address, value, self.stamp));
        self.samples.extend(sample);
    }

    fn each(&mut self, resource: u16, counts: [u64; 4]) {
        for (index, count) in (0u16..).zip(counts) {
            let value = Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
            self.samples.push(Sample {
                index: Some(ResourceInstanceId(index)),
                ..Sample::good(at(self.instance, resource), value, self.stamp)
            });
        }
    }
}

/// What there is to read of every configured device.
pub(super) fn addresses(config: &Config) -> Vec<ResourceAddress> {
    addresses_of(
        object(config),
        config.devices.iter().map(|device| device.id),
    )
}

fn addresses_of(
    object: ObjectId,
    devices: impl Iterator<Item = AdapterId>,
) -> Vec<ResourceAddress> {
    let of_device = |id: AdapterId| {
        let instance = InstancePath::new(object.0, id.0);
        RESOURCES.map(|resource| at(instance, resource))
    };
    devices.flat_map(of_device).collect()
}

fn object(config: &Config) -> ObjectId {
    VendorObject::DeviceLink.id(config.site.vendor_object_base)
}

fn of_modbus(stats: &DeviceStats) -> ([u64; 4], Option<i64>) {
    let refused = stats.exceptions.values().sum();
    let errors = [stats.timeouts, stats.line_down, refused, stats.garbled];
    let round_trip = (stats.answers > 0).then(|| milliseconds(stats.round_trip));
    (errors, round_trip)
}

fn of_supervised(health: Health) -> ([u64; 4], Option<i64>) {
    let Health {
        timeouts,
        unreachable,
        refused,
        malformed,
        round_trip,
    } = health;
    let errors = [timeouts, unreachable, refused, malformed];
    (errors, round_trip.map(milliseconds))
}

fn text(text: &str) -> Option<Value> {
    Some(Value::String(text.to_owned()))
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

const fn word(state: LinkState) -> &'static str {
    match state {
        LinkState::Offline => "offline",
        LinkState::Online => "online",
        LinkState::Starting => "starting",
        LinkState::Suspect => "suspect",
    }
}
