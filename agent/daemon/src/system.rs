//! What the box itself has to tell: an adapter like any other, so that the core needs no special path
//! for it. It answers for object 4 (which way packets take), the memory of object 3 and object 20
//! (what happened here).

mod connectivity;
mod log;
mod memory;

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    time::Duration,
};

use lamplighter_adapters::{Adapter, Clock, Limits, Wake};
use lamplighter_model::{
    InstanceAddress, InstancePath, ResourceAddress, ResourceId, Sample, Scope,
    device::{Assignment, Declaration, Fault},
    object::Operations,
};
use tokio::time::{Instant, sleep_until};

use crate::events::EventLog;
use log::Log;

/// How it is called among the adapters.
pub(crate) const ADAPTER: &str = "system";

/// How often the addresses and the memory are looked at.
const PERIOD: Duration = Duration::from_secs(30);

const DEVICE: InstancePath = InstancePath::new(3, 0);

/// Watches this machine.
#[derive(Debug)]
pub(crate) struct System {
    clock: Clock,
    due: Instant,
    /// What is still to be looked at in this round.
    round: VecDeque<InstancePath>,
    log: Log,
    state_dir: PathBuf,
}

impl System {
    pub(crate) fn new(clock: Clock, state_dir: PathBuf, log: EventLog) -> Self {
        Self {
            clock,
            due: Instant::now(),
            round: VecDeque::new(),
            log: Log::new(log),
            state_dir,
        }
    }

    fn look(&self, instance: InstancePath) -> Result<Vec<Sample>, Fault> {
        let stamp = self.clock.stamp();
        match instance {
            connectivity::INSTANCE => connectivity::look(stamp),
            DEVICE => {
                let sample = |(resource, value)| Sample::good(at(DEVICE, resource), value, stamp);
                Ok(memory::look(&self.state_dir)?.map(sample).to_vec())
            }
            other => self.log.samples(other, stamp),
        }
    }
}

impl Adapter for System {
    fn declared(&self) -> Vec<Declaration> {
        declarations()
    }

    async fn read(
        &mut self,
        instance: InstanceAddress,
        wanted: &[ResourceId],
    ) -> Result<Vec<Sample>, Fault> {
        let mut samples = self.look(instance.path)?;
        samples.retain(|sample| wanted.contains(&sample.address.path.resource));
        Ok(samples)
    }

    async fn write(&mut self, values: &[Assignment]) -> Result<(), Fault> {
        self.log.write(values).await
    }

    async fn execute(&mut self, resource: ResourceAddress, args: &[u8]) -> Result<(), Fault> {
        self.log.execute(resource.path, args).await
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        if let Some(instance) = self.round.pop_front() {
            return Ok(due(instance));
        }
        tokio::select! {
            () = sleep_until(self.due) => {
                self.due = Instant::now() + PERIOD;
                self.round.push_back(DEVICE);
                Ok(due(connectivity::INSTANCE))
            }
            () = self.log.news() => Ok(Wake::News(self.log.told(self.clock.stamp()))),
        }
    }
}

/// Everything of an instance that is looked at now and then.
fn due(instance: InstancePath) -> Wake {
    let resources: &[u16] = match instance {
        connectivity::INSTANCE => &connectivity::RESOURCES,
        _ => &memory::RESOURCES,
    };
    let address = InstanceAddress {
        scope: Scope::Gateway,
        path: instance,
    };
    let resources = resources.iter().copied().map(ResourceId);
    Wake::Due(address, resources.collect())
}

/// What every box has of objects 3, 4 and 20.
pub(crate) fn declarations() -> Vec<Declaration> {
    let connectivity = connectivity::RESOURCES.map(|resource| at(connectivity::INSTANCE, resource));
    let memory = memory::RESOURCES.map(|resource| at(DEVICE, resource));
    let readable = connectivity.into_iter().chain(memory);
    let readable = readable.map(|address| Declaration {
        address,
        operations: Operations::R,
    });
    readable.chain(log::declarations()).collect()
}

/// What is told when it changes is read anew by whoever asks for it.
pub(crate) fn limits() -> Limits {
    let logged = log::declarations().map(|declaration| (declaration.address, Duration::ZERO));
    Limits {
        max_age: 2 * PERIOD,
        max_age_of: logged.collect::<BTreeMap<_, _>>(),
        ..Limits::default()
    }
}

const fn at(instance: InstancePath, resource: u16) -> ResourceAddress {
    ResourceAddress {
        scope: Scope::Gateway,
        path: instance.resource(resource),
    }
}

#[cfg(test)]
mod tests;
