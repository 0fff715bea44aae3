//! What exists of a device that a program serves: what the configuration names, what the program
//! has declared within its grants, and the last sample of each. It outlives the program, and this
//! one with what [`Kept`] holds.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lamplighter_model::{
    DataType, Path, Quality, ResourceAddress, ResourceInstanceId, Sample, Stamp, UnixTime,
    device::{Declaration, Declared},
    object::{Multiplicity, Operations, ResourceDef},
};
use serde::{Deserialize, Serialize};

use super::{
    RemoteConfig,
    line::{self, Declare, DeclaredResource, RawQuality, RawSample, Refusal},
};

/// Instances of one multiple resource; more are refused.
const INSTANCES_MAX: usize = 64;

/// What is kept of a table over a restart.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Kept {
    pub resources: Vec<KeptResource>,
    pub samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct KeptResource {
    pub address: ResourceAddress,
    pub read: bool,
    pub write: bool,
    pub execute: bool,
    pub ask: bool,
}

/// Why something of a line is refused; each is counted by its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Why {
    BadTime,
    NoPath,
    NotDeclared,
    NotDefined,
    NotGranted,
    Taken,
    TooMany,
    WrongType,
    WrongUnit,
}

#[derive(Debug)]
pub(super) struct Table {
    config: Arc<RemoteConfig>,
    resources: BTreeMap<ResourceAddress, Resource>,
}

#[derive(Debug)]
struct Resource {
    operations: Operations,
    ask: bool,
    data_type: DataType,
    multiplicity: Multiplicity,
    unit: String,
    /// Named by the configuration: no program can remove it.
    is_point: bool,
    samples: BTreeMap<Option<ResourceInstanceId>, Sample>,
    /// A write has made the samples history.
    is_written: bool,
}

impl Table {
    pub(super) fn new(config: Arc<RemoteConfig>, kept: Kept) -> Self {
        let mut resources = BTreeMap::new();
        for point in &config.points {
            let definition = config
                .definitions
                .resource(point.address.path.object(), point.address.path.resource);
            let resource = Resource {
                operations: Operations {
                    read: true,
                    write: point.is_writable,
                    execute: false,
                },
                ask: point.ask,
                data_type: point.data_type,
                multiplicity: definition.map_or(Multiplicity::Single, |def| def.multiplicity),
                unit: point.unit.clone(),
                is_point: true,
                samples: BTreeMap::new(),
                is_written: false,
            };
            resources.insert(point.address, resource);
        }
        let mut table = Self { config, resources };
        for kept in kept.resources {
            let operations = Operations {
                read: kept.read,
                write: kept.write,
                execute: kept.execute,
            };
            // The configuration may have changed since.
            if let Ok(definition) = table.permitted(kept.address) {
                let resource = Resource::declared(&definition, operations, kept.ask);
                table.resources.entry(kept.address).or_insert(resource);
            }
        }
        table.keep_samples(kept.samples);
        table
    }

    fn keep_samples(&mut self, samples: Vec<Sample>) {
        for mut sample in samples {
            let Some(resource) = self.resources.get_mut(&sample.address) else {
                continue;
            };
            let Ok(value) = sample.value.fit(resource.data_type) else {
                continue;
            };
            sample.value = value;
            sample.quality = Quality::Stale;
            resource.samples.insert(sample.index, sample);
        }
    }

    pub(super) fn to_kept(&self) -> Kept {
        let kept = |(address, resource): (&ResourceAddress, &Resource)| KeptResource {
            address: *address,
            read: resource.operations.read,
            write: resource.operations.write,
            execute: resource.operations.execute,
            ask: resource.ask,
        };
        let declared = self
            .resources
            .iter()
            .filter(|(_, resource)| !resource.is_point);
        Kept {
            resources: declared.map(kept).collect(),
            samples: self.samples().cloned().collect(),
        }
    }

    pub(super) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.resources
            .values()
            .flat_map(|resource| resource.samples.values())
    }

    pub(super) fn declarations(&self) -> Vec<Declaration> {
        let declaration = |(address, resource): (&ResourceAddress, &Resource)| Declaration {
            address: *address,
            operations: resource.operations,
        };
        self.resources.iter().map(declaration).collect()
    }

    /// What a program has declared, not the configuration.
    pub(super) fn declared(&self) -> impl Iterator<Item = ResourceAddress> {
        let declared = self
            .resources
            .iter()
            .filter(|(_, resource)| !resource.is_point);
        declared.map(|(address, _)| *address)
    }

    /// Takes over what a program declares, as far as it may.
    pub(super) fn declare(&mut self, declare: &Declare) -> (Declared, Vec<(Why, Refusal)>) {
        let mut change = Declared::default();
        let mut refusals = Vec::new();
        let mut said = Vec::new();
        for path in &declare.removed {
            match line::place(path) {
                Some((address, _)) => self.remove(address, &mut change),
                None => refusals.push(refusal(Why::NoPath, path)),
            }
        }
        for added in &declare.added {
            match self.add(added, &mut change) {
                Ok(address) => said.push(address),
                Err(why) => refusals.push(refusal(why, &added.path)),
            }
        }
        if declare.all {
            let gone: Vec<_> = self.declared().filter(|at| !said.contains(at)).collect();
            for address in gone {
                self.remove(address, &mut change);
            }
        }
        (change, refusals)
    }

    fn remove(&mut self, address: ResourceAddress, change: &mut Declared) {
        let is_declared = |resource: &Resource| !resource.is_point;
        if self.resources.get(&address).is_some_and(is_declared) {
            self.resources.remove(&address);
            change.removed.push(address);
            change.added.retain(|added| added.address != address);
        }
    }

    fn add(
        &mut self,
        declared: &DeclaredResource,
        change: &mut Declared,
    ) -> Result<ResourceAddress, Why> {
        let Some((address, None)) = line::place(&declared.path) else {
            return Err(Why::NoPath);
        };
        let operations = Operations::from(declared);
        if let Some(resource) = self.resources.get_mut(&address) {
            if resource.is_point || resource.operations == operations {
                resource.ask |= declared.ask;
                return Ok(address);
            }
            self.remove(address, change);
        }
        let definition = self.permitted(address)?;
        if self.declared().count() >= self.config.limits.resources {
            return Err(Why::TooMany);
        }
        let resource = Resource::declared(&definition, operations, declared.ask);
        self.resources.insert(address, resource);
        change.added.push(Declaration {
            address,
            operations,
        });
        Ok(address)
    }

    /// The definition of a resource that the program may declare.
    fn permitted(&self, address: ResourceAddress) -> Result<ResourceDef, Why> {
        let path = Path::Resource(address.path);
        if !self.config.grants.iter().any(|grant| grant.contains(path)) {
            return Err(Why::NotGranted);
        }
        if self.config.taken.contains(&address) {
            return Err(Why::Taken);
        }
        let definition = self
            .config
            .definitions
            .resource(address.path.object(), address.path.resource);
        definition.cloned().ok_or(Why::NotDefined)
    }

    /// Takes over samples; what cannot be true of them is refused, one by one.
    pub(super) fn take(
        &mut self,
        samples: &[RawSample],
        now: Stamp,
    ) -> (Vec<Sample>, Vec<(Why, Refusal)>) {
        let mut taken = Vec::with_capacity(samples.len());
        let mut refusals = Vec::new();
        for raw in samples {
            match self.sample(raw, now) {
                Ok(sample) => taken.push(sample),
                Err(why) => refusals.push(refusal(why, &raw.path)),
            }
        }
        (taken, refusals)
    }

    fn sample(&mut self, raw: &RawSample, now: Stamp) -> Result<Sample, Why> {
        let (address, index) = raw.place().ok_or(Why::NoPath)?;
        let resource = self.resources.get_mut(&address).ok_or(Why::NotDeclared)?;
        if index.is_some() != (resource.multiplicity == Multiplicity::Multiple) {
            return Err(Why::NoPath);
        }
        let differs = |unit: &String| !resource.unit.is_empty() && *unit != resource.unit;
        if raw.unit.as_ref().is_some_and(differs) {
            return Err(Why::WrongUnit);
        }
        let last = resource.samples.get(&index);
        let value = match last {
            // Broken, says the device: what it said last is not true any more.
            Some(last) if raw.is_null() && raw.quality != RawQuality::Good => last.value.clone(),
            Some(_) | None => line::value(&raw.value, resource.data_type).ok_or(Why::WrongType)?,
        };
        let source_time = raw.milliseconds().map_err(|_| Why::BadTime)?;
        if last.is_none() && resource.samples.len() >= INSTANCES_MAX {
            return Err(Why::TooMany);
        }
        let sample = Sample {
            address,
            index,
            value,
            at: now,
            source_time: source_time.map(UnixTime),
            quality: match raw.quality {
                RawQuality::Bad => Quality::Bad,
                RawQuality::Good => Quality::Good,
                RawQuality::Stale => Quality::Stale,
                RawQuality::Unchecked => Quality::Unchecked,
            },
        };
        resource.samples.insert(index, sample.clone());
        resource.is_written = false;
        Ok(sample)
    }

    /// The last samples of a resource, as old as they are.
    pub(super) fn last(
        &self,
        address: ResourceAddress,
        now: Stamp,
        stale_after: Option<Duration>,
    ) -> Vec<Sample> {
        let Some(resource) = self.resources.get(&address).filter(|it| !it.is_written) else {
            return Vec::new();
        };
        let is_old = |sample: &Sample| {
            let age = now.mono.saturating_sub(sample.at.mono);
            sample.at.boot != now.boot || stale_after.is_some_and(|after| age >= after)
        };
        let samples = resource.samples.values().cloned();
        samples
            .map(|sample| Sample {
                quality: if is_old(&sample) {
                    Quality::Stale
                } else {
                    sample.quality
                },
                ..sample
            })
            .collect()
    }

    /// Whether the program answers reads of it.
    pub(super) fn is_asked(&self, address: ResourceAddress) -> bool {
        self.resources
            .get(&address)
            .is_some_and(|resource| resource.ask)
    }

    pub(super) fn on_written(&mut self, address: ResourceAddress) {
        if let Some(resource) = self.resources.get_mut(&address) {
            resource.is_written = true;
        }
    }

    /// Nobody vouches for the samples any more.
    pub(super) fn grow_stale(&mut self) {
        let resources = self.resources.values_mut();
        for sample in resources.flat_map(|resource| resource.samples.values_mut()) {
            sample.quality = Quality::Stale;
        }
    }
}

impl Resource {
    fn declared(definition: &ResourceDef, operations: Operations, ask: bool) -> Self {
        Self {
            operations,
            ask,
            data_type: definition.data_type,
            multiplicity: definition.multiplicity,
            unit: definition.unit.clone(),
            is_point: false,
            samples: BTreeMap::new(),
            is_written: false,
        }
    }
}

impl Why {
    /// As it is counted.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::BadTime => "bad_time",
            Self::NoPath => "no_path",
            Self::NotDeclared => "not_declared",
            Self::NotDefined => "not_defined",
            Self::NotGranted => "not_granted",
            Self::Taken => "taken",
            Self::TooMany => "too_many",
            Self::WrongType => "wrong_type",
            Self::WrongUnit => "wrong_unit",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::BadTime => "its time is no number of seconds",
            Self::NoPath => {
                "it names no resource, or an instance of one that has none, or lacks that"
            }
            Self::NotDeclared => "it was not declared",
            Self::NotDefined => "no definition of it is known",
            Self::NotGranted => "the configuration does not grant it",
            Self::Taken => "it belongs to another device, or the agent tells it",
            Self::TooMany => "there are too many",
            Self::WrongType => "its value is of another type",
            Self::WrongUnit => "its unit is another one",
        }
    }
}

fn refusal(why: Why, path: &str) -> (Why, Refusal) {
    let refusal = Refusal {
        path: path.to_owned(),
        reason: why.words().to_owned(),
    };
    (why, refusal)
}
