//! Where decoded values come together, whatever their format.

use std::collections::{BTreeMap, BTreeSet};

use lamplighter_model::{
    DataType, InstancePath, Path, ResourceInstanceId, ResourcePath, Value, object::Multiplicity,
};

use super::{Content, DecodeError, DecodeErrorKind, Decoded, Frame, MAX_VALUES, Node, RecordTime};

/// Collects decoded values, one node per resource and time.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub(super) decoded: Decoded,
    deleted: BTreeSet<(ResourcePath, ResourceInstanceId)>,
    empty_instances: BTreeSet<InstancePath>,
    places: BTreeMap<(ResourcePath, Option<RecordTime>), Place>,
    values: usize,
}

/// Where a resource stands in the nodes, and which of its instances are there.
#[derive(Debug)]
struct Place {
    node: usize,
    instances: BTreeSet<ResourceInstanceId>,
}

impl Collector {
    /// Takes a value in the place that its path and its definition give it.
    pub(super) fn value(
        &mut self,
        frame: Frame<'_>,
        path: Path,
        time: Option<RecordTime>,
        value: Value,
        typed: impl FnOnce(Value, Option<DataType>) -> Result<Value, DecodeErrorKind>,
    ) -> Result<(), DecodeErrorKind> {
        match path {
            Path::Root | Path::Object(_) | Path::Instance(_) => Err(DecodeErrorKind::Misplaced),
            Path::Resource(path) => {
                if frame.multiplicity(path) == Some(Multiplicity::Multiple) {
                    return Err(DecodeErrorKind::Multiplicity);
                }
                self.single(path, time, typed(value, frame.data_type(path))?)
            }
            Path::ResourceInstance(path, index) => {
                if frame.multiplicity(path) == Some(Multiplicity::Single) {
                    return Err(DecodeErrorKind::Multiplicity);
                }
                self.instance(path, time, index, typed(value, frame.data_type(path))?)
            }
        }
    }

    pub(super) fn single(
        &mut self,
        path: ResourcePath,
        time: Option<RecordTime>,
        value: Value,
    ) -> Result<(), DecodeErrorKind> {
        self.count()?;
        if self.places.contains_key(&(path, time)) {
            return Err(DecodeErrorKind::Duplicate);
        }
        self.add(path, time, Content::Single(value));
        Ok(())
    }

    pub(super) fn instance(
        &mut self,
        path: ResourcePath,
        time: Option<RecordTime>,
        index: ResourceInstanceId,
        value: Value,
    ) -> Result<(), DecodeErrorKind> {
        self.count()?;
        if !self.places.contains_key(&(path, time)) {
            self.add(path, time, Content::Multiple(Vec::new()));
        }
        let place = self
            .places
            .get_mut(&(path, time))
            .ok_or(DecodeErrorKind::Duplicate)?;
        let Content::Multiple(values) = &mut self.decoded.nodes[place.node].content else {
            return Err(DecodeErrorKind::Duplicate);
        };
        if !place.instances.insert(index) || self.deleted.contains(&(path, index)) {
            return Err(DecodeErrorKind::Duplicate);
        }
        values.push((index, value));
        Ok(())
    }

    /// A multiple resource without instances.
    pub(super) fn empty(&mut self, path: ResourcePath) -> Result<(), DecodeErrorKind> {
        self.count()?;
        if self.places.contains_key(&(path, None)) {
            return Err(DecodeErrorKind::Duplicate);
        }
        self.add(path, None, Content::Multiple(Vec::new()));
        Ok(())
    }

    /// An instance without any resource.
    pub(super) fn empty_instance(&mut self, path: InstancePath) -> Result<(), DecodeErrorKind> {
        self.count()?;
        if !self.empty_instances.insert(path) {
            return Err(DecodeErrorKind::Duplicate);
        }
        self.decoded.empty_instances.push(path);
        Ok(())
    }

    /// A resource instance that goes.
    pub(super) fn delete(
        &mut self,
        path: ResourcePath,
        index: ResourceInstanceId,
    ) -> Result<(), DecodeErrorKind> {
        self.count()?;
        let place = self.places.get(&(path, None));
        let is_written = place.is_some_and(|place| place.instances.contains(&index));
        if is_written || !self.deleted.insert((path, index)) {
            return Err(DecodeErrorKind::Duplicate);
        }
        self.decoded.deleted.push((path, index));
        Ok(())
    }

    /// What was collected. Nothing at all is an empty resource where the target is a multiple one,
    /// and too little where it stands for a value.
    pub(super) fn finish(mut self, frame: Frame<'_>) -> Result<Decoded, DecodeError> {
        let nothing = self.decoded.nodes.is_empty();
        match frame.target {
            Path::Resource(path)
                if nothing && frame.multiplicity(path) == Some(Multiplicity::Multiple) =>
            {
                self.empty(path).map_err(|kind| kind.at(0))?;
            }
            Path::Resource(_) | Path::ResourceInstance(..) if nothing => {
                return Err(DecodeErrorKind::MissingValue.at(0));
            }
            Path::Root
            | Path::Object(_)
            | Path::Instance(_)
            | Path::Resource(_)
            | Path::ResourceInstance(..) => {}
        }
        Ok(self.decoded)
    }

    fn add(&mut self, path: ResourcePath, time: Option<RecordTime>, content: Content) {
        let place = Place {
            node: self.decoded.nodes.len(),
            instances: BTreeSet::new(),
        };
        self.places.insert((path, time), place);
        self.decoded.nodes.push(Node {
            path,
            content,
            time,
        });
    }

    fn count(&mut self) -> Result<(), DecodeErrorKind> {
        self.values += 1;
        if self.values > MAX_VALUES {
            Err(DecodeErrorKind::TooLarge)
        } else {
            Ok(())
        }
    }
}
