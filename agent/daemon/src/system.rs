//! What the box itself has to tell: an adapter like any other, so that the core needs no special path
//! for it. It answers for object 4 (which way packets take), memory and power of object 3, object 6
//! where the configuration says where the box is, object 20 (what happened here), and Device link.

mod connectivity;
mod links;
mod location;
mod log;
mod memory;
mod power;
mod zone;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    path::PathBuf,
    time::Duration,
};

use lamplighter_adapters::{Adapter, Clock, Limits, Wake};
use lamplighter_model::{
    InstanceAddress, InstancePath, Quality, ResourceAddress, ResourceId, ResourceInstanceId,
    Sample, Scope,
    device::{AdapterId, Assignment, Declaration, Declared, Fault},
    object::Operations,
};
use tokio::time::{Instant, sleep_until};

use crate::{
    config::{Config, POWER_RESOURCES, Position},
    events::EventLog,
    status::Status,
};
use links::Links;
use location::Location;
use log::Log;
use memory::Shortage;
use power::Power;
use zone::Zone;

pub(crate) use links::Counters;
pub(crate) use zone::Told as ToldZone;

/// Error codes of 3/0/11 that are told here. Those of devices are the loop's (3 GPS failure where a
/// device that tells the position is given up, 8 peripheral malfunction), 16 that of the start. Low
/// signal (4), SMS (6) and IP connectivity (7) are matters of bearers: nothing knows of them yet.
pub(crate) const CODES: [u8; 3] = {
    let [battery, supply] = power::CODES;
    [battery, supply, memory::OUT_OF_MEMORY]
};

/// How it is called among the adapters.
pub(crate) const ADAPTER: &str = "system";

/// How often the addresses, the memory and the power are looked at.
const PERIOD: Duration = Duration::from_secs(30);

const DEVICE: InstancePath = InstancePath::new(3, 0);

/// Watches this machine.
#[derive(Debug)]
pub(crate) struct System {
    clock: Clock,
    due: Instant,
    /// What is still to be done in this round.
    round: VecDeque<Wake>,
    links: Links,
    location: Option<Location>,
    log: Log,
    power: Power,
    shortage: Shortage,
    zone: Zone,
    /// What was told of it.
    told_zone: ToldZone,
    /// Which values of the power are told, and by which instances.
    fed: BTreeSet<(u16, Option<ResourceInstanceId>)>,
    /// Error codes that were told.
    errors: BTreeSet<u8>,
    parts: Parts,
}

/// Takes error codes; false where nobody could hear them.
type TellErrors = Box<dyn FnMut(&BTreeSet<u8>) -> bool + Send>;
/// The same with the zone.
type TellZone = Box<dyn FnMut(&ToldZone) -> bool + Send>;

/// What the parts need to know.
pub(crate) struct Parts {
    pub(crate) state_dir: PathBuf,
    pub(crate) log: EventLog,
    pub(crate) status: Status,
    /// Takes those of [`CODES`] that hold when they change; false: to be told again.
    pub(crate) on_errors: TellErrors,
    /// The same with the zone of the machine.
    pub(crate) on_zone: TellZone,
}

impl System {
    pub(crate) fn new(
        clock: Clock,
        config: &Config,
        counters: BTreeMap<AdapterId, Counters>,
        parts: Parts,
    ) -> Self {
        let told = |resource: &u16| config.is_told_by_device(at(DEVICE, *resource));
        let taken = POWER_RESOURCES.into_iter().filter(told).collect();
        let sources = config.power_sources.clone();
        Self {
            clock,
            due: Instant::now(),
            round: VecDeque::new(),
            links: Links::new(config, parts.status.clone(), counters),
            location: config.location.map(Location::new),
            log: Log::new(parts.log.clone()),
            power: Power::new(power::DIRECTORY.into(), sources, taken),
            shortage: Shortage::new("/proc/meminfo".into()),
            zone: Zone::new("/".into()),
            told_zone: ToldZone::default(),
            fed: BTreeSet::new(),
            errors: BTreeSet::new(),
            parts,
        }
    }

    fn look(&mut self, instance: InstancePath) -> Result<Vec<Sample>, Fault> {
        let stamp = self.clock.stamp();
        let sample = |(resource, value)| Sample::good(at(instance, resource), value, stamp);
        match (instance, &mut self.location) {
            (connectivity::INSTANCE, _) => connectivity::look(stamp),
            (DEVICE, _) => {
                let memory = memory::look(&self.parts.state_dir)?.map(sample);
                let (power, _) = self.power.look();
                let power = power.into_iter().map(|(resource, index, value)| Sample {
                    address: at(DEVICE, resource),
                    index,
                    value,
                    at: stamp,
                    source_time: None,
                    quality: Quality::Good,
                });
                Ok(memory.into_iter().chain(power).collect())
            }
            (location::INSTANCE, Some(location)) => {
                let place = location.look(self.log.now());
                Ok(place.into_iter().map(sample).collect())
            }
            (other, _) if self.links.has(other) => Ok(self.links.samples(other, self.log.now())),
            (other, _) => self.log.samples(other, stamp),
        }
    }

    /// Everything that is looked at now and then. An instance of a resource can only go with all of
    /// them: where other supplies are there than before, they are declared anew.
    fn begin_round(&mut self) {
        self.round
            .push_back(due(connectivity::INSTANCE, &connectivity::RESOURCES));
        let zone = self.zone.look(self.log.now());
        if zone != self.told_zone && (self.parts.on_zone)(&zone) {
            self.told_zone = zone;
        }
        let (told, mut errors) = self.power.look();
        errors.extend(self.shortage.look(&self.parts.state_dir));
        if errors != self.errors && (self.parts.on_errors)(&errors) {
            self.errors = errors;
        }
        let fed: BTreeSet<_> = told
            .iter()
            .map(|(resource, index, _)| (*resource, *index))
            .collect();
        if fed != self.fed {
            let changed = Declared {
                added: readable(resources(&fed)).collect(),
                removed: resources(&self.fed)
                    .map(|resource| at(DEVICE, resource))
                    .collect(),
            };
            self.round.push_back(Wake::Declared(changed));
            self.fed = fed;
        }
        let device: Vec<u16> = memory::RESOURCES
            .into_iter()
            .chain(resources(&self.fed))
            .collect();
        self.round.push_back(due(DEVICE, &device));
        let links = self.links.news(self.log.now());
        if !links.is_empty() {
            self.round.push_back(Wake::News(links));
        }
        if let Some(location) = &self.location
            && !location.is_complete()
        {
            let resources = location::resources(&location.position());
            self.round.push_back(due(location::INSTANCE, &resources));
        }
    }
}

impl Adapter for System {
    fn declared(&self) -> Vec<Declaration> {
        let position = self.location.as_ref().map(Location::position);
        declared(position, self.links.addresses())
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
        loop {
            if let Some(wake) = self.round.pop_front() {
                return Ok(wake);
            }
            tokio::select! {
                () = sleep_until(self.due) => {
                    self.due = Instant::now() + PERIOD;
                    self.begin_round();
                }
                () = self.links.changed() => {
                    let news = self.links.news(self.log.now());
                    if !news.is_empty() {
                        return Ok(Wake::News(news));
                    }
                }
                () = self.log.news() => {
                    return Ok(Wake::News(self.log.told(self.clock.stamp())));
                }
            }
        }
    }
}

fn due(instance: InstancePath, resources: &[u16]) -> Wake {
    let address = InstanceAddress {
        scope: Scope::Gateway,
        path: instance,
    };
    let resources = resources.iter().copied().map(ResourceId);
    Wake::Due(address, resources.collect())
}

/// Each once, in order.
fn resources(
    fed: &BTreeSet<(u16, Option<ResourceInstanceId>)>,
) -> impl Iterator<Item = u16> + use<> {
    let resources: BTreeSet<u16> = fed.iter().map(|(resource, _)| *resource).collect();
    resources.into_iter()
}

fn readable(resources: impl Iterator<Item = u16>) -> impl Iterator<Item = Declaration> {
    resources.map(|resource| read_only(at(DEVICE, resource)))
}

const fn read_only(address: ResourceAddress) -> Declaration {
    Declaration {
        address,
        operations: Operations::R,
    }
}

/// What every box has of objects 3, 4, 6, 20 and Device link, but what depends on the kernel.
pub(crate) fn declarations(config: &Config) -> Vec<Declaration> {
    declared(config.location, links::addresses(config))
}

fn declared(position: Option<Position>, links: Vec<ResourceAddress>) -> Vec<Declaration> {
    let connectivity = connectivity::RESOURCES.map(|resource| at(connectivity::INSTANCE, resource));
    let memory = memory::RESOURCES.map(|resource| at(DEVICE, resource));
    let place = position
        .map(|position| location::resources(&position))
        .unwrap_or_default();
    let place = place
        .into_iter()
        .map(|resource| at(location::INSTANCE, resource));
    let readable = connectivity
        .into_iter()
        .chain(memory)
        .chain(place)
        .chain(links);
    readable.map(read_only).chain(log::declarations()).collect()
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

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
