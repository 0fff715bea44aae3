//! Objects 10, 11 and 13, as an adapter: the radio of this box, the access points of its cellular
//! bearers, and which bearer servers would like to be spoken to over.
//!
//! Objects 10 and 11 exist where a cellular bearer is configured, 13 where any bearer is. What a
//! server writes is kept, and what could cut the box off is taken back where it does.

mod profile;
mod radio;
mod selection;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lamplighter_adapters::{Adapter, Clock, Limits, Wake};
use lamplighter_model::{
    InstanceAddress, InstancePath, Quality, ResourceAddress, ResourceId, ResourceInstanceId,
    Sample, Scope, Stamp, Value,
    device::{Assignment, Declaration, Declared, Fault},
    object::Operations,
};
use tokio::time::{Duration, Instant, sleep_until};

use super::dbus::Controls;
use crate::config::{Bearer, BearerKind, Manage};

/// How it is called among the adapters.
pub(crate) const ADAPTER: &str = "bearers";

/// How often it is looked at what changes by itself: counters, minutes.
const PERIOD: Duration = Duration::from_secs(60);

const RADIO: InstancePath = InstancePath::new(10, 0);
const PROFILE: u16 = 11;
const SELECTION: InstancePath = InstancePath::new(13, 0);

/// A value of one of these objects: its place and itself.
type Told = (InstancePath, u16, Option<u16>, Value);

/// What there is of a bearer, as far as the objects depend on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Cell {
    number: u16,
    /// We connect it.
    is_ours: bool,
}

#[derive(Debug)]
pub(crate) struct Objects {
    clock: Clock,
    controls: Controls,
    cells: Vec<Cell>,
    /// What was told last; what a resource has no more is taken back.
    told: BTreeMap<(ResourceAddress, Option<ResourceInstanceId>), Value>,
    round: VecDeque<Wake>,
    due: Instant,
}

impl Objects {
    pub(crate) fn new(clock: Clock, bearers: &[Bearer], controls: Controls) -> Self {
        Self {
            clock,
            controls,
            cells: cells(bearers),
            told: BTreeMap::new(),
            round: VecDeque::new(),
            due: Instant::now(),
        }
    }

    /// Everything that there is now.
    fn look(&self) -> Vec<Sample> {
        let stamp = self.clock.stamp();
        let mut told = selection::look(&self.controls);
        if !self.cells.is_empty() {
            let profiles = self.controls.profiles();
            told.extend(radio::look(&self.controls, &profiles));
            told.extend(profiles.iter().flat_map(profile::look));
        }
        told.into_iter().map(|told| sample(told, stamp)).collect()
    }

    /// What has changed since it was told. An instance of a resource goes only with all of them: the
    /// resource is declared anew before.
    fn begin_round(&mut self) {
        let samples = self.look();
        let now: BTreeMap<_, _> = samples
            .iter()
            .map(|sample| ((sample.address, sample.index), sample.value.clone()))
            .collect();
        let gone = self.told.keys().filter(|key| !now.contains_key(key));
        let gone: BTreeSet<_> = gone.map(|(address, _)| *address).collect();
        if !gone.is_empty() {
            let again = gone
                .iter()
                .map(|address| declaration(*address, &self.cells));
            self.round.push_back(Wake::Declared(Declared {
                added: again.collect(),
                removed: gone.iter().copied().collect(),
            }));
        }
        let is_news = |sample: &Sample| {
            let key = (sample.address, sample.index);
            gone.contains(&sample.address) || self.told.get(&key) != Some(&sample.value)
        };
        let news: Vec<_> = samples.into_iter().filter(is_news).collect();
        if !news.is_empty() {
            self.round.push_back(Wake::News(news));
        }
        self.told = now;
    }
}

impl Adapter for Objects {
    fn declared(&self) -> Vec<Declaration> {
        declared(&self.cells)
    }

    async fn read(
        &mut self,
        instance: InstanceAddress,
        wanted: &[ResourceId],
    ) -> Result<Vec<Sample>, Fault> {
        let mut samples = self.look();
        samples.retain(|sample| {
            let path = sample.address.path;
            path.instance == instance.path && wanted.contains(&path.resource)
        });
        if samples.is_empty() {
            return Err(Fault::NoValue);
        }
        Ok(samples)
    }

    /// All checks first.
    async fn write(&mut self, values: &[Assignment]) -> Result<(), Fault> {
        let of = |is_it: &dyn Fn(InstancePath) -> bool| -> Vec<&Assignment> {
            let own = values.iter();
            own.filter(|value| is_it(value.address.path.instance))
                .collect()
        };
        let radio = radio::check(&of(&|path| path == RADIO))?;
        let selection = selection::check(&of(&|path| path == SELECTION), &self.controls)?;
        let mut profiles = Vec::new();
        for cell in &self.cells {
            let own = of(&|path| path == InstancePath::new(PROFILE, cell.number));
            if !own.is_empty() {
                profiles.push((cell.number, profile::check(&own)?));
            }
        }
        for (number, wanted) in profiles {
            profile::apply(number, wanted, &self.controls).await?;
        }
        selection::apply(selection, &self.controls).await?;
        if let Some(minutes) = radio {
            self.controls.radio_off(minutes).await;
        }
        self.due = Instant::now();
        Ok(())
    }

    async fn execute(&mut self, _: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        loop {
            if let Some(wake) = self.round.pop_front() {
                return Ok(wake);
            }
            tokio::select! {
                () = sleep_until(self.due) => {}
                () = self.controls.changed() => {}
            }
            self.due = Instant::now() + PERIOD;
            self.begin_round();
        }
    }
}

/// What the configured bearers have of these objects.
pub(crate) fn declarations(bearers: &[Bearer]) -> Vec<Declaration> {
    if bearers.is_empty() {
        return Vec::new();
    }
    declared(&cells(bearers))
}

pub(crate) fn limits() -> Limits {
    Limits {
        max_age: 2 * PERIOD,
        ..Limits::default()
    }
}

fn cells(bearers: &[Bearer]) -> Vec<Cell> {
    let numbered = (0..).zip(bearers);
    let cellular = numbered.filter(|(_, bearer)| bearer.kind == BearerKind::Cellular);
    let cell = |(number, bearer): (u16, &Bearer)| Cell {
        number,
        is_ours: bearer.manage == Manage::ModemManager,
    };
    cellular.map(cell).collect()
}

fn declared(cells: &[Cell]) -> Vec<Declaration> {
    let mut addresses: Vec<_> = selection::RESOURCES.map(|id| at(SELECTION, id)).to_vec();
    if !cells.is_empty() {
        addresses.extend(radio::RESOURCES.map(|id| at(RADIO, id)));
    }
    for cell in cells {
        let instance = InstancePath::new(PROFILE, cell.number);
        let resources = profile::RESOURCES.iter().copied();
        // Nobody can read it, and only where we connect there is somebody to tell it to.
        let resources = resources.filter(|id| *id != profile::SECRET || cell.is_ours);
        addresses.extend(resources.map(|id| at(instance, id)));
    }
    let declaration = |address| declaration(address, cells);
    addresses.into_iter().map(declaration).collect()
}

fn declaration(address: ResourceAddress, cells: &[Cell]) -> Declaration {
    let instance = address.path.instance;
    let id = address.path.resource.0;
    let cell = cells.iter().find(|cell| cell.number == instance.instance.0);
    let operations = match instance.object.0 {
        PROFILE => profile::operations(id, cell.is_some_and(|cell| cell.is_ours)),
        10 => radio::operations(id, cells.iter().any(|cell| cell.is_ours)),
        _ => Operations::RW,
    };
    Declaration {
        address,
        operations,
    }
}

const fn at(instance: InstancePath, resource: u16) -> ResourceAddress {
    ResourceAddress {
        scope: Scope::Gateway,
        path: instance.resource(resource),
    }
}

fn sample((instance, resource, index, value): Told, stamp: Stamp) -> Sample {
    Sample {
        address: at(instance, resource),
        index: index.map(ResourceInstanceId),
        value,
        at: stamp,
        source_time: None,
        quality: Quality::Good,
    }
}

/// Each with its number, as instances of a resource.
fn list(
    instance: InstancePath,
    resource: u16,
    values: impl IntoIterator<Item = Value>,
) -> Vec<Told> {
    let numbered = (0..).zip(values);
    numbered
        .map(|(index, value)| (instance, resource, Some(index), value))
        .collect()
}

fn bad(why: &str) -> Fault {
    Fault::BadValue(why.to_owned())
}

#[cfg(test)]
mod tests;
