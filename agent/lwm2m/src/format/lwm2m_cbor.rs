//! LwM2M CBOR (11544): a tree of maps whose keys are the ids of paths, any number of levels in one key.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use lamplighter_model::{Path, ResourceInstanceId, ResourcePath, Value, object::Multiplicity};
use minicbor::data::Type;

use super::{
    Collector, Content, DecodeError, DecodeErrorKind, Decoded, EncodeError, Frame, Node,
    UNASSIGNED,
    cbor::{self, Reader, Writer, Written},
    unassigned,
};

/// Levels of a path: object, instance, resource, resource instance.
const LEVELS: usize = 4;

/// The level of resources.
const RESOURCE: usize = 3;

/// A resource that is written.
struct Entry<'n> {
    path: ResourcePath,
    values: Values<'n>,
}

enum Values<'n> {
    /// One resource instance, which is the target.
    Instance(ResourceInstanceId, Cow<'n, Value>),
    Multiple(Vec<(ResourceInstanceId, Cow<'n, Value>)>),
    Single(Cow<'n, Value>),
}

pub(super) fn encode(frame: Frame<'_>, nodes: &[Node]) -> Result<Vec<u8>, EncodeError> {
    let entries = entries(frame, nodes)?;
    let prefix = frame.prefix.trim_start_matches('/');
    Ok(cbor::written(|writer| write_tree(writer, prefix, &entries)))
}

/// What is to be written, the resources of an instance and the instances of an object together: a
/// map has every key once. Resources without values stay out, as maps are never empty.
fn entries<'n>(frame: Frame<'_>, nodes: &'n [Node]) -> Result<Vec<Entry<'n>>, EncodeError> {
    let (mut objects, mut instances) = (BTreeMap::new(), BTreeMap::new());
    let mut resources = BTreeSet::new();
    let mut entries = Vec::with_capacity(nodes.len());
    for node in nodes {
        let Some(values) = values(frame, node)? else {
            continue;
        };
        let path = node.path;
        if !resources.insert(path) {
            return Err(EncodeError::NotAcceptable);
        }
        let order = objects.len();
        let object = *objects.entry(path.object()).or_insert(order);
        let order = instances.len();
        let instance = *instances.entry(path.instance).or_insert(order);
        entries.push(((object, instance), Entry { path, values }));
    }
    entries.sort_by_key(|(order, _)| *order);
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

fn values<'n>(frame: Frame<'_>, node: &'n Node) -> Result<Option<Values<'n>>, EncodeError> {
    let fitted = |value: &'n Value| {
        let value = frame.fitted(node.path, value)?;
        cbor::check(&value)?;
        Ok(value)
    };
    let pair = |(index, value): &'n (ResourceInstanceId, Value)| Ok((*index, fitted(value)?));
    Ok(match (&node.content, frame.target) {
        (Content::Single(value), _) => Some(Values::Single(fitted(value)?)),
        (Content::Multiple(values), Path::ResourceInstance(..)) => {
            let [(index, value)] = values.as_slice() else {
                return Err(EncodeError::NotAcceptable);
            };
            Some(Values::Instance(*index, fitted(value)?))
        }
        (Content::Multiple(values), _) if values.is_empty() => None,
        (Content::Multiple(values), _) => {
            let pairs: Result<_, EncodeError> = values.iter().map(pair).collect();
            Some(Values::Multiple(pairs?))
        }
    })
}

/// Levels that have one branch are merged into the first key, as in the examples of Core 1.2.
fn write_tree(writer: &mut Writer, prefix: &str, entries: &[Entry<'_>]) -> Written {
    let objects: Vec<_> = entries
        .chunk_by(|a, b| a.path.object() == b.path.object())
        .collect();
    writer.map(objects.len() as u64)?;
    objects
        .into_iter()
        .try_for_each(|object| write_object(writer, prefix, object))
}

fn write_object(writer: &mut Writer, prefix: &str, entries: &[Entry<'_>]) -> Written {
    let instances: Vec<_> = entries
        .chunk_by(|a, b| a.path.instance == b.path.instance)
        .collect();
    let [first, ..] = entries else {
        return Ok(());
    };
    let (object, instance) = (first.path.object().0, first.path.instance.instance.0);
    match (instances.as_slice(), entries) {
        (_, [entry]) => {
            let ids = [object, instance, entry.path.resource.0];
            match &entry.values {
                Values::Instance(index, value) => {
                    write_key(writer, prefix, &[&ids[..], &[index.0]].concat())?;
                    cbor::write_value(writer, value)
                }
                values @ (Values::Multiple(_) | Values::Single(_)) => {
                    write_key(writer, prefix, &ids)?;
                    write_values(writer, values)
                }
            }
        }
        ([_], entries) => {
            write_key(writer, prefix, &[object, instance])?;
            write_resources(writer, entries)
        }
        (instances, _) => {
            write_key(writer, prefix, &[object])?;
            writer.map(instances.len() as u64)?;
            instances.iter().try_for_each(|entries| {
                let [first, ..] = entries else {
                    return Ok(());
                };
                writer.u16(first.path.instance.instance.0)?;
                write_resources(writer, entries)
            })
        }
    }
}

fn write_resources(writer: &mut Writer, entries: &[Entry<'_>]) -> Written {
    writer.map(entries.len() as u64)?;
    entries.iter().try_for_each(|entry| {
        writer.u16(entry.path.resource.0)?;
        write_values(writer, &entry.values)
    })
}

fn write_values(writer: &mut Writer, values: &Values<'_>) -> Written {
    match values {
        Values::Instance(index, value) => {
            writer.map(1)?.u16(index.0)?;
            cbor::write_value(writer, value)
        }
        Values::Multiple(values) => {
            writer.map(values.len() as u64)?;
            values.iter().try_for_each(|(index, value)| {
                writer.u16(index.0)?;
                cbor::write_value(writer, value)
            })
        }
        Values::Single(value) => cbor::write_value(writer, value),
    }
}

/// The first key: one id, or an array of several pieces.
fn write_key(writer: &mut Writer, prefix: &str, ids: &[u16]) -> Written {
    let pieces = ids.len() + usize::from(!prefix.is_empty());
    if pieces > 1 {
        writer.array(pieces as u64)?;
    }
    if !prefix.is_empty() {
        writer.str(prefix)?;
    }
    ids.iter().try_for_each(|id| writer.u16(*id).map(|_| ()))
}

/// Keys are absolute since 1.2.1. LwM2M 1.2.0 let those of a Write or Create begin below the target:
/// such a payload has values where the absolute one has maps.
pub(super) fn decode(frame: Frame<'_>, payload: &[u8]) -> Result<Decoded, DecodeError> {
    let absolute = Place {
        is_rooted: frame.prefix.is_empty(),
        ..Place::default()
    };
    match (Decoder::run(frame, absolute, payload), frame.target) {
        (Err(error), Path::Object(_) | Path::Instance(_) | Path::Resource(_))
            if error.kind == DecodeErrorKind::Misplaced =>
        {
            Decoder::run(frame, Place::of(frame.target), payload).or(Err(error))
        }
        (decoded, _) => decoded,
    }
}

/// The keys on the way to an element.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    ids: [u16; LEVELS],
    depth: usize,
    /// Whether the prefix was named, or needs not to be.
    is_rooted: bool,
}

impl Place {
    fn of(target: Path) -> Self {
        let mut place = Self {
            is_rooted: true,
            ..Self::default()
        };
        let instance = target.instance().map(|path| path.instance.0);
        let resource = target.resource().map(|path| path.resource.0);
        let ids = [target.object().map(|object| object.0), instance, resource];
        for (slot, id) in place.ids.iter_mut().zip(ids.into_iter().flatten()) {
            *slot = id;
            place.depth += 1;
        }
        place
    }

    fn below(mut self, id: u16) -> Result<Self, DecodeErrorKind> {
        if !self.is_rooted {
            return Err(DecodeErrorKind::OutsideTarget);
        }
        let slot = self
            .ids
            .get_mut(self.depth)
            .ok_or(DecodeErrorKind::NotAPath)?;
        *slot = id;
        self.depth += 1;
        Ok(self)
    }

    fn ids(&self) -> &[u16] {
        self.ids.get(..self.depth).unwrap_or(&self.ids)
    }
}

struct Decoder<'a, 'p> {
    frame: Frame<'a>,
    reader: Reader<'p>,
    collector: Collector,
}

impl<'a, 'p> Decoder<'a, 'p> {
    fn run(frame: Frame<'a>, start: Place, payload: &'p [u8]) -> Result<Decoded, DecodeError> {
        let mut decoder = Self {
            frame,
            reader: Reader::new(payload),
            collector: Collector::default(),
        };
        decoder.map(start)?;
        let end = decoder.reader.position();
        if end != payload.len() {
            return Err(DecodeErrorKind::TrailingBytes.at(end));
        }
        decoder.collector.finish(frame)
    }

    /// The depth of the recursion is that of paths: every key has one piece at least.
    fn map(&mut self, place: Place) -> Result<(), DecodeError> {
        let start = self.reader.position();
        let count = self
            .reader
            .map()
            .map_err(|error| cbor::error_kind(&error).at(start))?;
        let mut done = 0;
        loop {
            let offset = self.reader.position();
            if cbor::at_end(&mut self.reader, count, done).map_err(|kind| kind.at(offset))? {
                break;
            }
            let below = self.key(place).map_err(|kind| kind.at(offset))?;
            self.content(below)?;
            done += 1;
        }
        if done == 0 {
            return self.empty(place).map_err(|kind| kind.at(start));
        }
        Ok(())
    }

    fn key(&mut self, place: Place) -> Result<Place, DecodeErrorKind> {
        let kind = self.kind()?;
        if !matches!(kind, Type::Array | Type::ArrayIndef) {
            return self.piece(place);
        }
        let count = self
            .reader
            .array()
            .map_err(|error| cbor::error_kind(&error))?;
        let (mut below, mut done) = (place, 0);
        while !cbor::at_end(&mut self.reader, count, done)? {
            below = self.piece(below)?;
            done += 1;
        }
        if done == 0 {
            return Err(DecodeErrorKind::NotAPath);
        }
        Ok(below)
    }

    fn piece(&mut self, place: Place) -> Result<Place, DecodeErrorKind> {
        if matches!(self.kind()?, Type::String | Type::StringIndef) {
            let text = cbor::read_text(&mut self.reader)?;
            let is_prefix = !place.is_rooted && self.frame.prefix.trim_start_matches('/') == text;
            return if is_prefix {
                Ok(Place {
                    is_rooted: true,
                    ..place
                })
            } else {
                Err(DecodeErrorKind::OutsideTarget)
            };
        }
        let id = self
            .reader
            .u64()
            .map_err(|error| cbor::error_kind(&error))?;
        place.below(u16::try_from(id).map_err(|_| DecodeErrorKind::NotAPath)?)
    }

    fn content(&mut self, place: Place) -> Result<(), DecodeError> {
        let offset = self.reader.position();
        let kind = self.kind().map_err(|kind| kind.at(offset))?;
        if matches!(kind, Type::Map | Type::MapIndef) {
            return self.map(place);
        }
        self.value(place).map_err(|kind| kind.at(offset))
    }

    fn value(&mut self, place: Place) -> Result<(), DecodeErrorKind> {
        if place.depth < RESOURCE {
            return Err(DecodeErrorKind::Misplaced);
        }
        let path = self.path(place)?;
        let value = cbor::read_value(&mut self.reader)?;
        self.collector
            .value(self.frame, path, None, value, cbor::typed)
    }

    /// The grammar has no empty maps. The one around everything says "nothing", as does that of a
    /// multiple resource; an instance without resources is created by one.
    fn empty(&mut self, place: Place) -> Result<(), DecodeErrorKind> {
        if place.depth == 0 {
            return Ok(());
        }
        match self.path(place)? {
            Path::Instance(path) => self.collector.empty_instance(path),
            Path::Resource(path) if self.frame.multiplicity(path) == Some(Multiplicity::Single) => {
                Err(DecodeErrorKind::Multiplicity)
            }
            Path::Resource(path) => self.collector.empty(path),
            Path::Root | Path::Object(_) | Path::ResourceInstance(..) => {
                Err(DecodeErrorKind::WrongType)
            }
        }
    }

    fn path(&self, place: Place) -> Result<Path, DecodeErrorKind> {
        let target = self.frame.target;
        let path = match (target, place.ids()) {
            // Core 1.2.1: the id of a new instance that is left to the client.
            (Path::Object(_), [object, id, below @ ..]) if *id == UNASSIGNED.0 => {
                let ids = [&[*object, 0], below].concat();
                unassigned(Path::from_ids(&ids).ok_or(DecodeErrorKind::NotAPath)?)
            }
            (_, ids) => Path::from_ids(ids).ok_or(DecodeErrorKind::NotAPath)?,
        };
        if target.contains(path) {
            Ok(path)
        } else {
            Err(DecodeErrorKind::OutsideTarget)
        }
    }

    fn kind(&self) -> Result<Type, DecodeErrorKind> {
        self.reader
            .datatype()
            .map_err(|error| cbor::error_kind(&error))
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_model::object::Definitions;
    use proptest::prelude::*;

    use super::*;

    /// A value and the ids on the way to it.
    type Leaf = (Vec<u16>, Value);

    /// Resources from 10 on are multiple.
    fn leaves() -> impl Strategy<Value = BTreeMap<Vec<u16>, Value>> {
        let single = prop::array::uniform3(0u16..10).prop_map(|ids| ids.to_vec());
        let multiple = (0u16..10, 0u16..10, 10u16..20, 0u16..65535).prop_map(
            |(object, instance, resource, index)| vec![object, instance, resource, index],
        );
        let value = any::<i64>().prop_map(Value::Integer);
        prop::collection::btree_map(prop_oneof![single, multiple], value, 1..20)
    }

    /// A map of `leaves` whose keys are as long as the next choice says, where all leaves are that deep.
    fn write_merged(
        writer: &mut Writer,
        leaves: &[Leaf],
        choices: &mut impl Iterator<Item = (usize, bool)>,
    ) -> Written {
        let (wanted, is_definite) = choices.next().expect("no end of choices");
        let shortest = leaves.iter().map(|(ids, _)| ids.len()).min().unwrap_or(1);
        let length = wanted.min(shortest);
        let branches: Vec<_> = leaves
            .chunk_by(|a, b| a.0[..length] == b.0[..length])
            .collect();
        if is_definite {
            writer.map(branches.len() as u64)?;
        } else {
            writer.begin_map()?;
        }
        for branch in branches {
            let (key, _) = branch[0].0.split_at(length);
            match (key, choices.next()) {
                ([id], Some((_, true))) => drop(writer.u16(*id)?),
                (key, Some((_, true))) => drop(writer.encode(key)?),
                (key, _) => {
                    writer.begin_array()?;
                    key.iter().try_for_each(|id| writer.u16(*id).map(drop))?;
                    writer.end()?;
                }
            }
            match branch {
                [(ids, value)] if ids.len() == length => cbor::write_value(writer, value)?,
                branch => {
                    let below = |(ids, value): &Leaf| (ids[length..].to_vec(), value.clone());
                    let below: Vec<_> = branch.iter().map(below).collect();
                    write_merged(writer, &below, choices)?;
                }
            }
        }
        if !is_definite {
            writer.end()?;
        }
        Ok(())
    }

    fn flat(decoded: Decoded) -> BTreeMap<Vec<u16>, Value> {
        let mut leaves = BTreeMap::new();
        for node in decoded.nodes {
            let instance = node.path.instance;
            let ids = vec![instance.object.0, instance.instance.0, node.path.resource.0];
            match node.content {
                Content::Single(value) => drop(leaves.insert(ids, value)),
                Content::Multiple(values) => leaves.extend(
                    values
                        .into_iter()
                        .map(|(index, value)| ([&ids[..], &[index.0]].concat(), value)),
                ),
            }
        }
        leaves
    }

    proptest! {
        #[test]
        fn however_levels_are_merged_the_values_are_the_same(
            leaves in leaves(),
            choices in prop::collection::vec((1usize..5, any::<bool>()), 1..40),
        ) {
            let list: Vec<Leaf> = leaves.clone().into_iter().collect();
            let mut choices = choices.into_iter().cycle();
            let payload = cbor::written(|writer| write_merged(writer, &list, &mut choices));
            let definitions = Definitions::default();
            let frame = Frame { target: Path::Root, prefix: "", definitions: &definitions };
            let decoded = decode(frame, &payload).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(flat(decoded), leaves);
        }

        #[test]
        fn wherever_a_payload_is_cut_it_is_truncated(
            leaves in leaves(),
            at in any::<prop::sample::Index>(),
            choices in prop::collection::vec((1usize..5, any::<bool>()), 1..40),
        ) {
            let list: Vec<Leaf> = leaves.into_iter().collect();
            let mut choices = choices.into_iter().cycle();
            let payload = cbor::written(|writer| write_merged(writer, &list, &mut choices));
            let cut = &payload[..at.index(payload.len())];
            let definitions = Definitions::default();
            let frame = Frame { target: Path::Root, prefix: "", definitions: &definitions };
            prop_assert_eq!(decode(frame, cut).map_err(|error| error.kind), Err(DecodeErrorKind::Truncated));
        }
    }
}
