//! The vendor object Bearer: one instance for each bearer, in their order. Object 4 has one instance
//! only, and shows the bearer in use.
//!
//! A bearer that comes, goes or is used is told at once; what changes with every message (bytes, the
//! last exchange, the round-trip time) is told now and then, or messages about it would never end.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_model::{
    InstancePath, Now, ObjectId, ResourceAddress, Sample, Stamp, Value, device::Declared,
    tables::VendorObject,
};

use super::{
    at,
    fed::Fed,
    seen::{Answers, Seen},
};
use crate::{
    bearer::{BearerFacts, Board, Reason, Status},
    config::Config,
};

const NAME: u16 = 0;
const KIND: u16 = 1;
const INTERFACE: u16 = 2;
const STATUS: u16 = 3;
const REASON: u16 = 4;
const SINCE: u16 = 5;
const LAST_EXCHANGE: u16 = 6;
const ROUND_TRIP: u16 = 7;
const ADDRESS: u16 = 8;
const METERED: u16 = 9;
const BYTES_TODAY: u16 = 10;
const BYTES_MONTH: u16 = 11;
const FLAPS: u16 = 12;
/// Those that every bearer has.
const RESOURCES: [u16; 7] = [NAME, KIND, STATUS, METERED, BYTES_TODAY, BYTES_MONTH, FLAPS];
/// What changes with every message.
const BUSY: [u16; 4] = [LAST_EXCHANGE, ROUND_TRIP, BYTES_TODAY, BYTES_MONTH];

/// How often what changes with every message is told.
const BUSY_PERIOD: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Bearers {
    board: Board,
    object: ObjectId,
    fed: Fed,
    told: BTreeMap<ResourceAddress, Value>,
    /// When what changes with every message was told.
    told_busy: Option<Duration>,
}

impl Bearers {
    pub(super) fn new(config: &Config, board: Board) -> Self {
        let object = object(config);
        Self {
            fed: known(&board, object),
            board,
            object,
            told: BTreeMap::new(),
            told_busy: None,
        }
    }

    /// Takes what the board shows now for what there is from the start.
    pub(super) fn begin(&mut self) {
        self.fed = known(&self.board, self.object);
    }

    /// What there is to read.
    pub(super) fn addresses(&self) -> Vec<ResourceAddress> {
        self.fed.addresses().collect()
    }

    pub(super) fn has(&self, instance: InstancePath) -> bool {
        instance.object == self.object
    }

    /// What is to be declared before, and what is other than it was told last.
    pub(super) fn news(&mut self, now: Now) -> (Option<Declared>, Vec<Sample>) {
        let all = self.all(now);
        let declared = self.fed.follow(&all);
        // What was taken back begins anew where it comes again.
        let is_there = |address: &ResourceAddress| all.iter().any(|one| one.address == *address);
        self.told.retain(|address, _| is_there(address));
        let busy_due = self.told_busy.is_none_or(|at| at + BUSY_PERIOD <= now.mono);
        if busy_due {
            self.told_busy = Some(now.mono);
        }
        let is_news = |sample: &Sample| {
            let told = self.told.get(&sample.address);
            let is_busy = BUSY.contains(&sample.address.path.resource.0);
            told != Some(&sample.value) && (busy_due || !is_busy || told.is_none())
        };
        let news: Vec<Sample> = all.into_iter().filter(is_news).collect();
        let told = news.iter().map(|one| (one.address, one.value.clone()));
        self.told.extend(told);
        (declared, news)
    }

    /// All that is known of one bearer.
    pub(super) fn samples(&self, instance: InstancePath, now: Now) -> Vec<Sample> {
        let mut all = self.all(now);
        all.retain(|sample| sample.address.path.instance == instance);
        all
    }

    fn all(&self, now: Now) -> Vec<Sample> {
        let all = self.board.all();
        all.iter().flat_map(|facts| self.of(facts, now)).collect()
    }

    fn of(&self, facts: &BearerFacts, now: Now) -> impl Iterator<Item = Sample> + use<> {
        let instance = InstancePath::new(self.object.0, facts.id.0);
        let stamp = now.stamp();
        let values = values(facts, now).into_iter();
        values.filter_map(move |(resource, value)| {
            Some(Sample::good(at(instance, resource), value?, stamp))
        })
    }
}

fn values(facts: &BearerFacts, now: Now) -> [(u16, Option<Value>); 13] {
    let time = |stamp: Stamp| now.unix_of(stamp).map(|unix| Value::Time(unix.seconds()));
    let text = |text: &str| Value::String(text.to_owned());
    let count = |number: u64| Some(Value::Integer(i64::try_from(number).unwrap_or(i64::MAX)));
    let reason = match facts.status {
        Status::Connected => None,
        Status::Disconnected => Some(facts.reason.unwrap_or_default()),
    };
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    [
        (NAME, Some(text(&facts.name))),
        (KIND, Some(text(facts.kind.as_str()))),
        (INTERFACE, facts.interface.as_deref().map(text)),
        (STATUS, Some(text(facts.status.as_str()))),
        (REASON, reason.map(Reason::as_str).map(text)),
        (SINCE, time(facts.since)),
        (LAST_EXCHANGE, facts.last_exchange.and_then(time)),
        (
            ROUND_TRIP,
            facts.round_trip.map(milliseconds).and_then(count),
        ),
        (
            ADDRESS,
            facts.address.map(|address| text(&address.to_string())),
        ),
        (METERED, Some(Value::Boolean(facts.is_metered))),
        (BYTES_TODAY, count(facts.bytes_today)),
        (BYTES_MONTH, count(facts.bytes_month)),
        (FLAPS, count(facts.flaps.into())),
    ]
}

/// What every bearer on the board has.
fn known(board: &Board, object: ObjectId) -> Fed {
    let ids = board.all().into_iter().map(|facts| facts.id.0);
    Fed::with(addresses_of(object, ids))
}

/// What there is to read of every configured bearer, whatever becomes of it.
pub(super) fn addresses(config: &Config) -> Vec<ResourceAddress> {
    let count = match config.bearers.len() {
        // Those that are seen stand in their place.
        0 => {
            let seen = Seen::new("/".into());
            seen.look(&[], Answers::NotAskedYet, Stamp::default()).len()
        }
        count => count,
    };
    addresses_of(object(config), (0..).take(count))
}

fn addresses_of(object: ObjectId, ids: impl Iterator<Item = u16>) -> Vec<ResourceAddress> {
    let of_bearer = |id| {
        let instance = InstancePath::new(object.0, id);
        RESOURCES.map(|resource| at(instance, resource))
    };
    ids.flat_map(of_bearer).collect()
}

fn object(config: &Config) -> ObjectId {
    VendorObject::Bearer.id(config.site.vendor_object_base)
}
