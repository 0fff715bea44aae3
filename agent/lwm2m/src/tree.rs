//! What exists behind the core: instances, who answers for each resource, and its latest sample.
//!
//! One tree belongs to the event loop and serves every [`crate::client::Client`] over it, so the
//! same event may arrive more than once: declaring and recording are idempotent.

use std::{collections::BTreeMap, fmt, sync::Arc};

use lamplighter_model::{
    InstanceAddress, InstancePath, ObjectId, ObjectInstanceId, Packed, ResourceAddress, ResourceId,
    ResourceInstanceId, Sample, Scope,
    device::{Declaration, Declared},
    object::{Definitions, Multiplicity, Operations, ResourceDef},
};

use crate::{format::Content, object, work};

mod resources;
mod stored;

use resources::Resources;
pub(crate) use stored::{Held, initial, size, value_size};

/// Objects, instances, owners and latest samples.
#[derive(Clone, Debug)]
pub struct Tree {
    definitions: Arc<Definitions>,
    instances: Packed<InstanceAddress, Instance>,
    /// Counts changes of the list of instances.
    listed: u64,
    /// Counts changes of values.
    revision: u64,
    /// Bytes of all values of instances that servers made.
    stored_bytes: usize,
}

/// Who answers for a resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    /// This crate: objects 1, 2 and 3.
    Core,
    /// The site and the devices behind it.
    Device,
    /// Nobody: a server made the instance, and it holds what servers write.
    Stored,
}

#[derive(Clone, Debug)]
struct Instance {
    /// Bytes of its values, counted for [`Owner::Stored`] only.
    bytes: usize,
    owner: Owner,
    resources: Resources,
}

/// A declared resource.
#[derive(Clone, Debug)]
pub struct Resource {
    /// What the device can do and the definition allows.
    pub operations: Operations,
    values: Values,
    /// [`Tree::revision`] at its last change.
    changed: u64,
}

/// Why a declaration was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Undeclarable {
    /// The core itself answers for it.
    Core,
    /// The object can only have instance 0.
    SingleInstance,
    /// The instance is one that a server made.
    Stored,
    /// Devices answer for the instance already.
    Taken,
    /// No definition names it.
    Unknown,
}

#[derive(Clone, Debug, Default)]
enum Values {
    #[default]
    None,
    Single(Sample),
    Multiple(BTreeMap<ResourceInstanceId, Sample>),
}

/// Instances of one multiple resource; an adapter gone wild cannot fill the memory.
const MAX_RESOURCE_INSTANCES: usize = 1024;

impl Tree {
    pub fn new(definitions: Arc<Definitions>) -> Self {
        Self {
            definitions,
            instances: Packed::new(),
            listed: 0,
            revision: 0,
            stored_bytes: 0,
        }
    }

    pub fn definitions(&self) -> &Arc<Definitions> {
        &self.definitions
    }

    /// Applies a change of what exists. What cannot be declared is left out and returned.
    pub fn declare(&mut self, change: &Declared) -> Vec<(ResourceAddress, Undeclarable)> {
        for address in &change.removed {
            self.remove(*address);
        }
        let mut refused = Vec::new();
        for declaration in &change.added {
            if let Err(why) = self.add(declaration) {
                refused.push((declaration.address, why));
            }
        }
        self.instances.pack();
        refused
    }

    /// Keeps the samples as the latest. Those of unknown resources or of the wrong type are
    /// dropped; the answer is how many.
    pub fn record(&mut self, samples: &[Sample]) -> usize {
        samples
            .iter()
            .filter(|sample| !self.record_one(sample))
            .count()
    }

    pub fn resource(&self, address: ResourceAddress) -> Option<&Resource> {
        self.owned(address).map(|(resource, _)| resource)
    }

    /// A resource, and who answers for it.
    pub fn owned(&self, address: ResourceAddress) -> Option<(&Resource, Owner)> {
        work::visit();
        let instance = self.instances.get(&address.instance())?;
        let resource = instance.resources.get(address.path.resource)?;
        Some((resource, instance.owner))
    }

    pub fn has_instance(&self, address: InstanceAddress) -> bool {
        work::visit();
        self.instances.contains_key(&address)
    }

    /// The resources that are declared of an instance, in order.
    pub fn resources(
        &self,
        address: InstanceAddress,
    ) -> impl Iterator<Item = (ResourceId, &Resource)> {
        self.instances
            .get(&address)
            .into_iter()
            .flat_map(|instance| instance.resources.iter())
            .inspect(|_| work::visit())
    }

    /// The instances of one object, in order.
    pub fn instances_of(
        &self,
        scope: Scope,
        object: ObjectId,
    ) -> impl Iterator<Item = InstancePath> {
        let at = |instance| InstanceAddress {
            scope,
            path: InstancePath {
                object,
                instance: ObjectInstanceId(instance),
            },
        };
        self.instances
            .range(at(0)..=at(u16::MAX))
            .inspect(|_| work::visit())
            .map(|(address, _)| address.path)
    }

    /// All instances of a scope, in order.
    pub fn instances(&self, scope: Scope) -> impl Iterator<Item = InstancePath> {
        let at = |id| InstanceAddress {
            scope,
            path: InstancePath::new(id, id),
        };
        self.instances
            .range(at(0)..=at(u16::MAX))
            .inspect(|_| work::visit())
            .map(|(address, _)| address.path)
    }

    /// Changes when instances appear or disappear.
    pub const fn listed(&self) -> u64 {
        self.listed
    }

    /// Grows with every change of a value; see [`Tree::changed_since`].
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether the value of a resource changed after the given revision, even if it has changed
    /// back since.
    pub fn changed_since(&self, address: ResourceAddress, revision: u64) -> bool {
        self.resource(address)
            .is_some_and(|resource| resource.changed > revision)
    }

    fn add(&mut self, declaration: &Declaration) -> Result<(), Undeclarable> {
        let ResourceAddress { path, .. } = declaration.address;
        if object::is_core_backed(path) {
            return Err(Undeclarable::Core);
        }
        let object = self
            .definitions
            .object(path.object())
            .ok_or(Undeclarable::Unknown)?;
        let definition = object
            .resources
            .get(&path.resource)
            .ok_or(Undeclarable::Unknown)?;
        if object.multiplicity == Multiplicity::Single && path.instance.instance.0 != 0 {
            return Err(Undeclarable::SingleInstance);
        }
        let operations = both(definition.operations, declaration.operations);
        let listed = &mut self.listed;
        let instance = self
            .instances
            .entry(declaration.address.instance())
            .or_insert_with(|| {
                *listed += 1;
                Instance::new(Owner::Device)
            });
        if instance.owner == Owner::Stored {
            return Err(Undeclarable::Stored);
        }
        let make = || Resource::new(operations);
        instance
            .resources
            .get_or_insert(path.resource, make)
            .operations = operations;
        Ok(())
    }

    fn remove(&mut self, address: ResourceAddress) {
        let Some(instance) = self
            .instances
            .get_mut(&address.instance())
            .filter(|instance| instance.owner == Owner::Device)
        else {
            return;
        };
        instance.resources.remove(address.path.resource);
        if instance.resources.is_empty() {
            self.instances.remove(&address.instance());
            self.listed += 1;
        }
    }

    fn record_one(&mut self, sample: &Sample) -> bool {
        work::visit();
        let path = sample.address.path;
        let Some(definition) = self.definitions.resource(path.object(), path.resource) else {
            return false;
        };
        let Some(resource) = self
            .instances
            .get_mut(&sample.address.instance())
            .filter(|instance| instance.owner == Owner::Device)
            .and_then(|instance| instance.resources.get_mut(path.resource))
        else {
            return false;
        };
        let Some(sample) = fitted(sample, definition) else {
            return false;
        };
        let Some(changed) = resource.values.replace(sample) else {
            return false;
        };
        if changed {
            self.revision += 1;
            resource.changed = self.revision;
        }
        true
    }
}

impl Instance {
    const fn new(owner: Owner) -> Self {
        Self {
            bytes: 0,
            owner,
            resources: Resources::new(),
        }
    }
}

impl Resource {
    const fn new(operations: Operations) -> Self {
        Self {
            operations,
            values: Values::None,
            changed: 0,
        }
    }

    /// What the resource holds. A multiple resource that servers write may hold nothing and be
    /// there all the same.
    pub(crate) fn content(&self) -> Option<Content> {
        match &self.values {
            Values::None => None,
            Values::Single(sample) => Some(Content::Single(sample.value.clone())),
            Values::Multiple(samples) => Some(Content::Multiple(
                samples
                    .iter()
                    .map(|(index, sample)| (*index, sample.value.clone()))
                    .collect(),
            )),
        }
    }

    /// The latest samples: none, one, or one per resource instance.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        let (single, multiple) = match &self.values {
            Values::None => (None, None),
            Values::Single(sample) => (Some(sample), None),
            Values::Multiple(samples) => (None, Some(samples.values())),
        };
        single.into_iter().chain(multiple.into_iter().flatten())
    }

    /// The latest sample of one resource instance.
    pub fn sample(&self, index: Option<ResourceInstanceId>) -> Option<&Sample> {
        match (&self.values, index) {
            (Values::Single(sample), None) => Some(sample),
            (Values::Multiple(samples), Some(index)) => samples.get(&index),
            (Values::None | Values::Single(_) | Values::Multiple(_), _) => None,
        }
    }
}

impl Values {
    /// Whether the value is another than before; `None` where there is no room for it.
    fn replace(&mut self, sample: Sample) -> Option<bool> {
        match (&mut *self, sample.index) {
            (Self::Multiple(samples), Some(index)) => {
                if samples.len() >= MAX_RESOURCE_INSTANCES && !samples.contains_key(&index) {
                    return None;
                }
                let value = sample.value.clone();
                let before = samples.insert(index, sample);
                Some(before.is_none_or(|before| before.value != value))
            }
            (Self::None | Self::Single(_), Some(index)) => {
                *self = Self::Multiple(BTreeMap::from([(index, sample)]));
                Some(true)
            }
            (Self::Single(before), None) => {
                let changed = before.value != sample.value;
                *before = sample;
                Some(changed)
            }
            (Self::None | Self::Multiple(_), None) => {
                *self = Self::Single(sample);
                Some(true)
            }
        }
    }
}

impl fmt::Display for Undeclarable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Core => "the agent itself answers for this resource",
            Self::SingleInstance => "this object has only instance 0",
            Self::Stored => "a server has made this instance",
            Self::Taken => "devices answer for this instance",
            Self::Unknown => "no object definition names this resource",
        })
    }
}

/// What both allow.
const fn both(a: Operations, b: Operations) -> Operations {
    Operations {
        read: a.read && b.read,
        write: a.write && b.write,
        execute: a.execute && b.execute,
    }
}

/// The sample with its value and index as the definition wants them.
fn fitted(sample: &Sample, definition: &ResourceDef) -> Option<Sample> {
    let value = sample.value.clone().fit(definition.data_type).ok()?;
    let index = match definition.multiplicity {
        Multiplicity::Single => None,
        Multiplicity::Multiple => Some(sample.index.unwrap_or(ResourceInstanceId(0))),
    };
    Some(Sample {
        value,
        index,
        ..sample.clone()
    })
}
