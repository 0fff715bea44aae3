//! Instances that servers made: they hold what servers write, and nobody else answers for them.

use std::collections::BTreeMap;

use lamplighter_model::{
    DataType, InstanceAddress, ObjectId, ObjectLink, Quality, ResourceAddress, ResourceId,
    ResourceInstanceId, ResourcePath, Sample, Stamp, Value,
    object::{Multiplicity, ObjectDef, ResourceDef},
};

use super::{Instance, Owner, Resource, Tree, Undeclarable, Values};
use crate::{format::Content, object};

/// What an instance that servers made holds: the resources that have a value.
pub(crate) type Held = BTreeMap<ResourceId, Content>;

impl Tree {
    /// Whether a server made the instance.
    pub(crate) fn is_stored(&self, address: InstanceAddress) -> bool {
        self.instances
            .get(&address)
            .is_some_and(|instance| instance.owner == Owner::Stored)
    }

    /// Bytes of the values of all instances that servers made.
    pub(crate) const fn stored_bytes(&self) -> usize {
        self.stored_bytes
    }

    /// What an instance that a server made holds; `None` where there is no such instance.
    pub(crate) fn held(&self, address: InstanceAddress) -> Option<Held> {
        let instance = self.instances.get(&address)?;
        let held = instance.resources.iter();
        (instance.owner == Owner::Stored).then(|| {
            held.filter_map(|(id, resource)| Some((id, resource.content()?)))
                .collect()
        })
    }

    /// What still fits a definition that may be another than when it was kept.
    pub(crate) fn fitting(&self, object: ObjectId, kept: Vec<(ResourceId, Content)>) -> Held {
        let fits = |id: &ResourceId, content: &Content| {
            self.definitions
                .resource(object, *id)
                .is_some_and(|definition| is_fitting(content, definition))
        };
        let fitting = kept.into_iter().filter(|(id, content)| fits(id, content));
        fitting.collect()
    }

    /// Makes an instance, or gives it other values. The resources whose value is another now.
    ///
    /// # Errors
    /// Where the instance cannot be one that servers make.
    pub(crate) fn store(
        &mut self,
        address: InstanceAddress,
        held: &Held,
        at: Stamp,
    ) -> Result<Vec<ResourceId>, Undeclarable> {
        if object::is_core_object(address.path.object) {
            return Err(Undeclarable::Core);
        }
        let definitions = self.definitions.clone();
        let definition = definitions
            .object(address.path.object)
            .ok_or(Undeclarable::Unknown)?;
        if definition.multiplicity == Multiplicity::Single && address.path.instance.0 != 0 {
            return Err(Undeclarable::SingleInstance);
        }
        let listed = &mut self.listed;
        let instance = self.instances.entry(address).or_insert_with(|| {
            *listed += 1;
            supported(definition)
        });
        if instance.owner != Owner::Stored {
            return Err(Undeclarable::Taken);
        }
        let mut changed = Vec::new();
        for (id, resource) in instance.resources.iter_mut() {
            let content = held.get(&id);
            if resource.content().as_ref() != content {
                let path = ResourceAddress {
                    scope: address.scope,
                    path: ResourcePath {
                        instance: address.path,
                        resource: id,
                    },
                };
                self.revision += 1;
                resource.changed = self.revision;
                resource.values = content.map_or(Values::None, |content| values(path, content, at));
                changed.push(id);
            }
        }
        self.stored_bytes -= instance.bytes;
        instance.bytes = size(held);
        self.stored_bytes += instance.bytes;
        Ok(changed)
    }

    /// Removes an instance; false where no server made it.
    pub(crate) fn discard(&mut self, address: InstanceAddress) -> bool {
        if !self.is_stored(address) {
            return false;
        }
        if let Some(instance) = self.instances.remove(&address) {
            self.stored_bytes -= instance.bytes;
            self.listed += 1;
        }
        true
    }
}

/// An instance of an object without any value. What nobody can execute is there only where the
/// definition demands it.
fn supported(definition: &ObjectDef) -> Instance {
    let resources = definition.resources.values();
    Instance {
        resources: resources
            .filter(|resource| !resource.operations.execute || resource.mandatory)
            .map(|resource| (resource.id, Resource::new(resource.operations)))
            .collect(),
        ..Instance::new(Owner::Stored)
    }
}

/// What a new instance holds of a resource that it must have and that servers cannot write
/// (lwm2m/20, 7: the client sets it): nothing of several, else the emptiest value in its range.
pub(crate) fn initial(definition: &ResourceDef) -> Option<Content> {
    let (low, high) = definition.range.unwrap_or((f64::MIN, f64::MAX));
    let number = 0f64.clamp(low.min(high), high.max(low));
    let value = match definition.data_type {
        DataType::None => return None,
        _ if definition.multiplicity == Multiplicity::Multiple => {
            return Some(Content::Multiple(Vec::new()));
        }
        DataType::Boolean => Value::Boolean(false),
        DataType::Corelnk => Value::Corelnk(String::new()),
        DataType::Float => Value::Float(number),
        DataType::Integer => Value::Integer(number as i64),
        DataType::Objlnk => Value::Objlnk(ObjectLink::NULL),
        DataType::Opaque => Value::Opaque(Vec::new()),
        DataType::String => Value::String(String::new()),
        DataType::Time => Value::Time(number as i64),
        DataType::Unsigned => Value::Unsigned(number as u64),
    };
    Some(Content::Single(value))
}

fn is_fitting(content: &Content, definition: &ResourceDef) -> bool {
    let fits = |value: &Value| value.clone().fit(definition.data_type).is_ok();
    match (content, definition.multiplicity) {
        (Content::Single(value), Multiplicity::Single) => fits(value),
        (Content::Multiple(values), Multiplicity::Multiple) => {
            values.iter().all(|(_, value)| fits(value))
        }
        (Content::Single(_), Multiplicity::Multiple)
        | (Content::Multiple(_), Multiplicity::Single) => false,
    }
}

/// Bytes that a value takes.
pub(crate) const fn value_size(value: &Value) -> usize {
    match value {
        Value::Boolean(_)
        | Value::Decimal(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Objlnk(_)
        | Value::Time(_)
        | Value::Unsigned(_) => 8,
        Value::Corelnk(text) | Value::String(text) => text.len(),
        Value::Opaque(bytes) => bytes.len(),
    }
}

/// Bytes that an instance is counted with: its values, and what it takes to keep them apart.
pub(crate) fn size(held: &Held) -> usize {
    const EACH: usize = 64;
    let contents = held.values().map(|content| match content {
        Content::Multiple(values) => values
            .iter()
            .map(|(_, value)| EACH + value_size(value))
            .sum(),
        Content::Single(value) => value_size(value),
    });
    EACH + contents.map(|size: usize| EACH + size).sum::<usize>()
}

fn values(address: ResourceAddress, content: &Content, at: Stamp) -> Values {
    let sample = |index: Option<ResourceInstanceId>, value: &Value| Sample {
        index,
        quality: Quality::Unchecked,
        ..Sample::good(address, value.clone(), at)
    };
    match content {
        Content::Multiple(values) => Values::Multiple(
            values
                .iter()
                .map(|(index, value)| (*index, sample(Some(*index), value)))
                .collect(),
        ),
        Content::Single(value) => Values::Single(sample(None, value)),
    }
}
