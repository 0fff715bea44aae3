//! Object 5, Firmware Update, as an adapter: values of what the keeper shows, and wishes that it
//! judges.

use lamplighter_adapters::{Adapter, Clock, Limits, Wake};
use lamplighter_model::{
    InstanceAddress, InstancePath, Quality, ResourceAddress, ResourceId, ResourceInstanceId,
    Sample, Scope, Stamp, Value,
    device::{Assignment, Declaration, Fault, Part},
    object::Operations,
};
use std::time::Duration;

use super::{
    Ask, Desk, Shown,
    machine::{Severity, Source},
};

/// How it is called among the adapters.
pub(crate) const ADAPTER: &str = "update";

const INSTANCE: InstancePath = InstancePath::new(5, 0);

pub(super) mod id {
    pub(in crate::update) const PACKAGE: u16 = 0;
    pub(in crate::update) const URI: u16 = 1;
    pub(in crate::update) const UPDATE: u16 = 2;
    pub(in crate::update) const STATE: u16 = 3;
    pub(in crate::update) const RESULT: u16 = 5;
    pub(in crate::update) const NAME: u16 = 6;
    pub(in crate::update) const VERSION: u16 = 7;
    pub(in crate::update) const PROTOCOLS: u16 = 8;
    pub(in crate::update) const DELIVERY: u16 = 9;
    pub(in crate::update) const CANCEL: u16 = 10;
    pub(in crate::update) const SEVERITY: u16 = 11;
    pub(in crate::update) const CHANGED: u16 = 12;
    pub(in crate::update) const MAX_DEFER: u16 = 13;
    pub(in crate::update) const AUTOMATIC: u16 = 14;
}

const RESOURCES: [(u16, Operations); 14] = [
    (id::PACKAGE, Operations::W),
    (id::URI, Operations::RW),
    (id::UPDATE, Operations::E),
    (id::STATE, Operations::R),
    (id::RESULT, Operations::R),
    (id::NAME, Operations::R),
    (id::VERSION, Operations::R),
    (id::PROTOCOLS, Operations::R),
    (id::DELIVERY, Operations::R),
    (id::CANCEL, Operations::E),
    (id::SEVERITY, Operations::RW),
    (id::CHANGED, Operations::R),
    (id::MAX_DEFER, Operations::RW),
    (id::AUTOMATIC, Operations::RW),
];

/// 5/0/8: CoAP, CoAPS, HTTP 1.1, HTTPS.
const PROTOCOLS: [i64; 4] = [0, 1, 2, 3];
/// 5/0/9: pull and push.
const BOTH: i64 = 2;

#[derive(Debug)]
pub(crate) struct Object {
    clock: Clock,
    desk: Desk,
    /// What was told last.
    told: Vec<(u16, Option<u16>, Value)>,
}

impl Object {
    pub(crate) const fn new(clock: Clock, desk: Desk) -> Self {
        Self {
            clock,
            desk,
            told: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(super) const fn desk(&self) -> &Desk {
        &self.desk
    }

    fn news(&mut self) -> Vec<Sample> {
        let values = values(&self.desk.shown());
        let stamp = self.clock.stamp();
        let is_news = |value: &&_| !self.told.contains(value);
        let news = values.iter().filter(is_news);
        let news = news.map(|value| sample(value, stamp)).collect();
        self.told = values;
        news
    }
}

impl Adapter for Object {
    fn declared(&self) -> Vec<Declaration> {
        declarations()
    }

    async fn read(
        &mut self,
        _: InstanceAddress,
        wanted: &[ResourceId],
    ) -> Result<Vec<Sample>, Fault> {
        let stamp = self.clock.stamp();
        let values = values(&self.desk.shown());
        let is_wanted = |(resource, _, _): &&(u16, _, _)| wanted.contains(&ResourceId(*resource));
        let samples: Vec<Sample> = values
            .iter()
            .filter(is_wanted)
            .map(|value| sample(value, stamp))
            .collect();
        if samples.is_empty() {
            return Err(Fault::NoValue);
        }
        Ok(samples)
    }

    async fn write(&mut self, values: &[Assignment]) -> Result<(), Fault> {
        let values = values.to_vec();
        self.desk.ask(|reply| Ask::Write(values, reply)).await
    }

    async fn write_part(&mut self, part: &Part) -> Result<(), Fault> {
        let part = part.clone();
        self.desk.ask(|reply| Ask::Part(part, reply)).await
    }

    async fn execute(&mut self, resource: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        self.desk.ask(|reply| Ask::Execute(resource, reply)).await
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        loop {
            let news = self.news();
            if !news.is_empty() {
                return Ok(Wake::News(news));
            }
            if self.desk.shown.changed().await.is_err() {
                return Err(Fault::Unreachable);
            }
        }
    }
}

/// What is to be read. A resource without a value is told as an empty one: what was there may be
/// gone.
fn values(shown: &Shown) -> Vec<(u16, Option<u16>, Value)> {
    if !shown.is_known {
        return Vec::new();
    }
    let machine = &shown.machine;
    let uri = match &machine.source {
        Source::Uri(uri) => uri.clone(),
        Source::Local | Source::None | Source::Pushed => String::new(),
    };
    let (name, version) = machine.package.clone().unwrap_or_default();
    let mut values = vec![
        (id::URI, None, Value::String(uri)),
        (id::STATE, None, Value::Integer(machine.state as i64)),
        (id::RESULT, None, Value::Integer(machine.outcome as i64)),
        (id::NAME, None, Value::String(name)),
        (id::VERSION, None, Value::String(version)),
        (id::DELIVERY, None, Value::Integer(BOTH)),
        (id::SEVERITY, None, Value::Integer(machine.severity as i64)),
        (id::MAX_DEFER, None, Value::Unsigned(machine.max_defer_s)),
        (id::AUTOMATIC, None, Value::Boolean(machine.is_automatic)),
    ];
    let protocols = (0..).zip(PROTOCOLS);
    values.extend(
        protocols.map(|(index, number)| (id::PROTOCOLS, Some(index), Value::Integer(number))),
    );
    values.extend(
        machine
            .changed
            .map(|seconds| (id::CHANGED, None, Value::Time(seconds))),
    );
    values
}

/// Whether a value may be written at all.
pub(super) fn check(value: &Assignment) -> Result<(), Fault> {
    let bad = |why: &str| Err(Fault::BadValue(why.to_owned()));
    match (value.address.path.resource.0, &value.value) {
        (id::PACKAGE, Value::Opaque(_))
        | (id::URI, Value::String(_))
        | (id::MAX_DEFER, Value::Unsigned(_))
        | (id::AUTOMATIC, Value::Boolean(_)) => Ok(()),
        (id::SEVERITY, Value::Integer(number)) => match Severity::try_from(*number) {
            Ok(_) => Ok(()),
            Err(()) => bad("0 critical, 1 mandatory or 2 optional is wanted"),
        },
        _ => bad("a value of another type is wanted"),
    }
}

/// At 5/0/0 that is the wish to forget what is there.
pub(super) fn is_nothing(bytes: &[u8]) -> bool {
    matches!(bytes, [] | [0])
}

fn sample((resource, index, value): &(u16, Option<u16>, Value), stamp: Stamp) -> Sample {
    Sample {
        address: at(*resource),
        index: index.map(ResourceInstanceId),
        value: value.clone(),
        at: stamp,
        source_time: None,
        quality: Quality::Good,
    }
}

/// What a box has of object 5, where a key is configured.
pub(crate) fn declarations() -> Vec<Declaration> {
    let declaration = |(resource, operations)| Declaration {
        address: at(resource),
        operations,
    };
    RESOURCES.map(declaration).to_vec()
}

/// What is told when it changes is read anew by whoever asks for it.
pub(crate) fn limits() -> Limits {
    Limits {
        max_age: Duration::ZERO,
        ..Limits::default()
    }
}

const fn at(resource: u16) -> ResourceAddress {
    ResourceAddress {
        scope: Scope::Gateway,
        path: INSTANCE.resource(resource),
    }
}
