//! What the box itself has to tell: an adapter like any other, so that the core needs no special path
//! for it. It answers for object 4 (which way messages take), memory and power of object 3, object 6
//! where the configuration says where the box is, object 20 (what happened here), Bearer and Device
//! link.

mod bearers;
mod connectivity;
mod fed;
mod links;
mod location;
mod log;
mod memory;
mod power;
mod seen;
mod utilisation;
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
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    bearer::{Board, dbus::Controls},
    config::{Config, POWER_RESOURCES, Position},
    events::EventLog,
    status::{ServerState, Status},
    update::Desk,
};
use bearers::Bearers;
use connectivity::Connectivity;
use links::Links;
use location::Location;
use log::Log;
use memory::Shortage;
use power::Power;
use seen::{Answers, Seen};
use utilisation::Utilisation;
use zone::Zone;

pub(crate) use links::Counters;
pub(crate) use zone::Told as ToldZone;

/// Error codes of 3/0/11 that are told here. Those of devices are the loop's (3 GPS failure where a
/// device that tells the position is given up, 8 peripheral malfunction), 16 that of the start.
pub(crate) const CODES: [u8; 5] = {
    let [battery, supply] = power::CODES;
    let [signal, connectivity] = connectivity::CODES;
    [battery, supply, signal, memory::OUT_OF_MEMORY, connectivity]
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
    bearers: Bearers,
    board: Board,
    /// Of the board.
    revisions: watch::Receiver<u64>,
    connectivity: Connectivity,
    /// For a box without configured bearers, and what was seen of the servers then.
    seen: Seen,
    answers: Option<Answers>,
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
    /// Error codes of power and memory.
    faults: BTreeSet<u8>,
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
    /// What servers can do with modems and the choice of bearers; `None` where there are none.
    pub(crate) controls: Option<Controls>,
    pub(crate) state_dir: PathBuf,
    pub(crate) log: EventLog,
    pub(crate) status: Status,
    /// Where updates are asked for; `None` where no key is configured.
    pub(crate) update: Option<Desk>,
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
        let board = parts.status.board();
        let utilisation = Utilisation::new("/sys/class/net".into());
        Self {
            clock,
            due: Instant::now(),
            round: VecDeque::new(),
            bearers: Bearers::new(config, board.clone()),
            revisions: board.revisions(),
            connectivity: Connectivity::new(board.clone(), utilisation),
            board,
            seen: Seen::new("/".into()),
            answers: None,
            links: Links::new(config, parts.status.clone(), counters),
            location: config.location.map(Location::new),
            log: Log::new(parts.log.clone()),
            power: Power::new(power::DIRECTORY.into(), sources, taken),
            shortage: Shortage::new("/proc/meminfo".into()),
            zone: Zone::new("/".into()),
            told_zone: ToldZone::default(),
            fed: BTreeSet::new(),
            faults: BTreeSet::new(),
            errors: BTreeSet::new(),
            parts,
        }
    }

    /// Sees what there is now, so that the first Register names all of it.
    pub(crate) fn look_around(mut self) -> Self {
        self.see();
        self.bearers.begin();
        self
    }

    fn look(&mut self, instance: InstancePath) -> Result<Vec<Sample>, Fault> {
        let stamp = self.clock.stamp();
        let sample = |(resource, value)| Sample::good(at(instance, resource), value, stamp);
        match (instance, &mut self.location) {
            (connectivity::INSTANCE, _) => Ok(self.connectivity.look(stamp)),
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
            (other, _) if self.bearers.has(other) => {
                Ok(self.bearers.samples(other, self.log.now()))
            }
            (other, _) if self.links.has(other) => Ok(self.links.samples(other, self.log.now())),
            (other, _) => self.log.samples(other, stamp),
        }
    }

    /// Everything that is looked at now and then. An instance of a resource can only go with all of
    /// them: where other supplies are there than before, they are declared anew.
    fn begin_round(&mut self) {
        self.see();
        self.measure_utilisation();
        self.tell_bearers();
        let zone = self.zone.look(self.log.now());
        if zone != self.told_zone && (self.parts.on_zone)(&zone) {
            self.told_zone = zone;
        }
        let (told, mut faults) = self.power.look();
        faults.extend(self.shortage.look(&self.parts.state_dir));
        self.faults = faults;
        self.tell_errors();
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

    /// Without configured bearers the board shows what can be seen of the interfaces.
    fn see(&mut self) {
        if self.board.is_configured() {
            return;
        }
        let answers = self.ask_answers();
        let stamp = self.clock.stamp();
        let all = self.seen.look(&self.board.all(), answers, stamp);
        self.answers = Some(answers);
        self.board.see(all);
    }

    fn ask_answers(&self) -> Answers {
        let servers = self.parts.status.servers(self.log.now());
        let some = |state| servers.iter().any(|server| server.state == state);
        if some(ServerState::Registered) {
            Answers::Yes
        } else if some(ServerState::Offline) {
            Answers::No
        } else {
            Answers::NotAskedYet
        }
    }

    fn measure_utilisation(&mut self) {
        let current = self.board.current().and_then(|facts| facts.interface);
        if let Some(interface) = current {
            let stamp = self.clock.stamp();
            self.connectivity.utilisation.look(&interface, stamp);
        }
    }

    /// What the board shows, as objects.
    fn tell_bearers(&mut self) {
        self.revisions.mark_unchanged();
        let (declared, resources) = self.connectivity.changed(self.clock.stamp());
        self.round.extend(declared.map(Wake::Declared));
        let resources: Vec<u16> = resources.into_iter().collect();
        self.round
            .push_back(due(connectivity::INSTANCE, &resources));
        let (declared, news) = self.bearers.news(self.log.now());
        self.round.extend(declared.map(Wake::Declared));
        if !news.is_empty() {
            self.round.push_back(Wake::News(news));
        }
    }

    fn tell_errors(&mut self) {
        let mut errors = self.connectivity.errors();
        errors.extend(&self.faults);
        if errors != self.errors && (self.parts.on_errors)(&errors) {
            self.errors = errors;
        }
    }
}

impl Adapter for System {
    fn declared(&self) -> Vec<Declaration> {
        let position = self.location.as_ref().map(Location::position);
        let mut others = self.links.addresses();
        others.extend(self.bearers.addresses());
        declared(position, others)
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
                Ok(()) = self.revisions.changed() => {
                    self.tell_bearers();
                    self.tell_errors();
                }
                () = self.links.changed() => {
                    // A server that answers, or does not any more, says what its way is worth.
                    if self.answers.is_some() && self.answers != Some(self.ask_answers()) {
                        self.see();
                    }
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

/// What every box has of objects 3, 4, 6, 20, Bearer and Device link, but what depends on the kernel.
pub(crate) fn declarations(config: &Config) -> Vec<Declaration> {
    let mut others = links::addresses(config);
    others.extend(bearers::addresses(config));
    declared(config.location, others)
}

fn declared(position: Option<Position>, others: Vec<ResourceAddress>) -> Vec<Declaration> {
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
        .chain(others);
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
