//! Object 20, Event Log: what was refused, and all that happened, as servers see it (lwm2m/70).

use std::time::Duration;

use lamplighter_model::{
    InstancePath, Now, ResourcePath, Sample, Stamp, Value,
    device::{Assignment, Declaration, Fault},
    object::Operations,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::at;
use crate::events::{DATA, EventLog, INCREMENT, INSTANCES, OBJECT};

mod id {
    pub(super) const CLASS: u16 = 4010;
    pub(super) const START: u16 = 4011;
    pub(super) const STOP: u16 = 4012;
    pub(super) const STATUS: u16 = 4013;
    pub(super) const FORMAT: u16 = 4015;
    pub(super) const INTERVAL: u16 = 4017;
}

/// Resources and what can be done with them; 4016 stands in a Send only.
const RESOURCES: [(u16, Operations); 8] = [
    (id::CLASS, Operations::RW),
    (id::START, Operations::E),
    (id::STOP, Operations::E),
    (id::STATUS, Operations::R),
    (DATA, Operations::R),
    (id::FORMAT, Operations::RW),
    (INCREMENT, Operations::NONE),
    (id::INTERVAL, Operations::RW),
];

/// Whoever observes the log is told no more often: LogData is long, and a flood of events ends up on
/// his line.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Log {
    log: EventLog,
    revisions: watch::Receiver<u64>,
    /// The revision that was told; `None` before the first.
    told: Option<u64>,
    next: Instant,
}

impl Log {
    pub(super) fn new(log: EventLog) -> Self {
        Self {
            revisions: log.revisions(),
            log,
            told: None,
            next: Instant::now(),
        }
    }

    /// Waits for something that was not told. May be dropped at will.
    pub(super) async fn news(&mut self) {
        let told = self.told;
        let is_new = |revision: &u64| Some(*revision) != told;
        if self.revisions.wait_for(is_new).await.is_err() {
            std::future::pending().await
        }
        sleep_until(self.next).await;
    }

    pub(super) fn now(&self) -> Now {
        self.log.now()
    }

    /// Everything as it is now.
    pub(super) fn told(&mut self, stamp: Stamp) -> Vec<Sample> {
        self.told = Some(*self.revisions.borrow_and_update());
        self.next = Instant::now() + PAUSE;
        let instances = (0..INSTANCES).map(|instance| InstancePath::new(OBJECT, instance));
        instances
            .flat_map(|instance| self.samples(instance, stamp).unwrap_or_default())
            .collect()
    }

    pub(super) fn samples(&self, path: InstancePath, stamp: Stamp) -> Result<Vec<Sample>, Fault> {
        let instance = instance_of(path)?;
        let collection = self.log.collection(instance).ok_or(Fault::Unsupported)?;
        let number = |number: u8| Value::Integer(number.into());
        let values = [
            (id::CLASS, number(collection.class())),
            (id::STATUS, number(collection.status())),
            (
                DATA,
                Value::Opaque(collection.data(instance, self.log.now())),
            ),
            (id::FORMAT, number(collection.format())),
            (
                id::INTERVAL,
                Value::Unsigned(collection.interval_s().into()),
            ),
        ];
        let sample = |(resource, value)| Sample::good(at(path, resource), value, stamp);
        Ok(values.map(sample).to_vec())
    }

    /// All of it or nothing of an instance.
    pub(super) async fn write(&self, values: &[Assignment]) -> Result<(), Fault> {
        for instance in 0..INSTANCES {
            let is_own = |value: &&Assignment| {
                value.address.path.instance == InstancePath::new(OBJECT, instance)
            };
            let own: Vec<&Assignment> = values.iter().filter(is_own).collect();
            if own.is_empty() {
                continue;
            }
            let change = |collection: &mut _| {
                own.iter()
                    .try_for_each(|assignment| assign(collection, assignment))
            };
            self.log.change(instance, change).await?;
        }
        Ok(())
    }

    pub(super) async fn execute(&self, path: ResourcePath, args: &[u8]) -> Result<(), Fault> {
        let instance = instance_of(path.instance)?;
        let says_one = argument(args)?;
        let resource = path.resource.0;
        self.log
            .change(instance, |collection| {
                match resource {
                    id::START => collection.start(says_one),
                    id::STOP => collection.stop(says_one),
                    _ => return Err(Fault::Unsupported),
                }
                Ok(())
            })
            .await
    }
}

pub(super) fn declarations() -> impl Iterator<Item = Declaration> {
    let instances = (0..INSTANCES).map(|instance| InstancePath::new(OBJECT, instance));
    instances.flat_map(|instance| {
        RESOURCES.map(|(resource, operations)| Declaration {
            address: at(instance, resource),
            operations,
        })
    })
}

fn assign(
    collection: &mut crate::events::Collection,
    assignment: &Assignment,
) -> Result<(), Fault> {
    match (assignment.address.path.resource.0, &assignment.value) {
        (id::CLASS, Value::Integer(number)) => collection.set_class(*number),
        (id::FORMAT, Value::Integer(number)) => collection.set_format(*number),
        (id::INTERVAL, Value::Unsigned(seconds)) => collection.set_interval(*seconds),
        (id::CLASS | id::FORMAT | id::INTERVAL, _) => {
            Err(Fault::BadValue("a number is wanted".to_owned()))
        }
        _ => Err(Fault::Unsupported),
    }
}

fn instance_of(path: InstancePath) -> Result<u16, Fault> {
    let instance = path.instance.0;
    let is_ours = path.object.0 == OBJECT && instance < INSTANCES;
    is_ours.then_some(instance).ok_or(Fault::Unsupported)
}

/// The one argument of LogStart and LogStop: whether `0` is 1. Without a value, or left out, it is 0.
fn argument(args: &[u8]) -> Result<bool, Fault> {
    match args {
        b"" | b"0" | b"0='0'" => Ok(false),
        b"0='1'" => Ok(true),
        _ => Err(Fault::BadValue("0='0' or 0='1' is wanted".to_owned())),
    }
}
