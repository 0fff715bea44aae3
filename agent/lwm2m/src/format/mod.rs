//! Content formats: how values stand in a payload. One file per format; what they share (types by
//! definition, placing of values, limits) is here, so a new format is one more file and one more
//! arm in [`encode`] and [`decode`].
//!
//! Payloads come from peers: nothing here panics, and what one payload can make of memory is
//! bounded by its length and by [`MAX_VALUES`].

use std::{borrow::Cow, collections::BTreeMap};

use lamplighter_model::{
    DataType, InstancePath, ObjectInstanceId, Path, ResourceInstanceId, ResourcePath, UnixTime,
    Value,
    object::{Definitions, Multiplicity},
};

mod cbor;
mod error;
pub mod link;
mod opaque;
mod senml;
mod senml_cbor;
mod senml_json;
mod text;
mod tlv;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod vectors;

pub use error::{DecodeError, DecodeErrorKind, EncodeError};

/// Values that one payload may hold.
pub const MAX_VALUES: usize = 65_536;

/// Stands for an instance id in decoded paths where the payload of a Create leaves the choice to
/// the client.
pub const UNASSIGNED: ObjectInstanceId = ObjectInstanceId(65535);

/// A content format that this box reads and writes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ContentFormat {
    Link,
    Opaque,
    SenmlCbor,
    SenmlJson,
    Text,
    Tlv,
}

/// A resource and what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub path: ResourcePath,
    pub content: Content,
    /// When the value was taken; only the SenML formats carry it.
    pub time: Option<RecordTime>,
}

/// What a resource holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Any number of resource instances, also none.
    Multiple(Vec<(ResourceInstanceId, Value)>),
    Single(Value),
}

/// The time of a record (RFC 8428, 4.5.3).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum RecordTime {
    Absolute(UnixTime),
    /// Milliseconds after the payload was made; negative is before.
    Relative(i64),
}

/// What a payload says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// In the order of the payload, every resource once (per time). An instance id is
    /// [`UNASSIGNED`] where the payload of a Create names none.
    pub nodes: Vec<Node>,
    /// Instances that the payload names without any resource (TLV `00 00`).
    pub empty_instances: Vec<InstancePath>,
}

/// What a payload is read or written against.
#[derive(Clone, Copy, Debug)]
struct Frame<'a> {
    target: Path,
    prefix: &'a str,
    definitions: &'a Definitions,
}

/// Writes `nodes` as an answer to a Read of `target`, or as the payload of a Write to it.
///
/// `prefix` stands in front of the names of the formats that have names: empty in the flat view,
/// `/d01` for a device behind a gateway. Values are converted to the type of their definition where
/// nothing is lost. The nodes of an instance must stand together.
///
/// # Errors
/// [`EncodeError::NotAcceptable`] where the format cannot carry the target (text of an instance).
pub fn encode(
    format: ContentFormat,
    target: Path,
    prefix: &str,
    nodes: &[Node],
    definitions: &Definitions,
) -> Result<Vec<u8>, EncodeError> {
    let frame = Frame {
        target,
        prefix,
        definitions,
    };
    match format {
        ContentFormat::Link => Err(EncodeError::NotAcceptable),
        ContentFormat::Opaque => opaque::encode(frame, nodes),
        ContentFormat::SenmlCbor => senml_cbor::encode(frame, nodes),
        ContentFormat::SenmlJson => senml_json::encode(frame, nodes),
        ContentFormat::Text => text::encode(frame, nodes),
        ContentFormat::Tlv => tlv::encode(frame, nodes),
    }
}

/// Reads a payload about `target`: of a Write, a Create (the target is the object), or the answer
/// to a Read.
///
/// Values have the type of their definition. Those of resources without definition (the caller
/// ignores them, or refuses them where one is the target) have the type that the format shows;
/// in TLV that is opaque. Ranges and the right to write are the caller's to check.
///
/// # Errors
/// [`DecodeError::code`] is the response code of each.
pub fn decode(
    format: ContentFormat,
    target: Path,
    prefix: &str,
    payload: &[u8],
    definitions: &Definitions,
) -> Result<Decoded, DecodeError> {
    let frame = Frame {
        target,
        prefix,
        definitions,
    };
    match format {
        ContentFormat::Link => Err(DecodeErrorKind::NotApplicable.at(0)),
        ContentFormat::Opaque => opaque::decode(frame, payload),
        ContentFormat::SenmlCbor => senml_cbor::decode(frame, payload),
        ContentFormat::SenmlJson => senml_json::decode(frame, payload),
        ContentFormat::Text => text::decode(frame, payload),
        ContentFormat::Tlv => tlv::decode(frame, payload),
    }
}

impl ContentFormat {
    /// The format behind a CoAP Content-Format number, the unregistered ones of old servers
    /// (1541 text, 1542 TLV, 1544 opaque) included.
    pub const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            0 | 1541 => Self::Text,
            40 => Self::Link,
            42 | 1544 => Self::Opaque,
            110 => Self::SenmlJson,
            112 => Self::SenmlCbor,
            11542 | 1542 => Self::Tlv,
            _ => return None,
        })
    }

    /// The registered Content-Format number.
    pub const fn number(self) -> u16 {
        match self {
            Self::Link => 40,
            Self::Opaque => 42,
            Self::SenmlCbor => 112,
            Self::SenmlJson => 110,
            Self::Text => 0,
            Self::Tlv => 11542,
        }
    }
}

impl Node {
    /// A single resource without time.
    pub const fn single(path: ResourcePath, value: Value) -> Self {
        Self {
            path,
            content: Content::Single(value),
            time: None,
        }
    }

    /// A multiple resource without time.
    pub const fn multiple(path: ResourcePath, values: Vec<(ResourceInstanceId, Value)>) -> Self {
        Self {
            path,
            content: Content::Multiple(values),
            time: None,
        }
    }
}

impl Frame<'_> {
    /// The type that a value must have; `None` where the definition is unknown or has no value.
    fn data_type(&self, path: ResourcePath) -> Option<DataType> {
        let definition = self.definitions.resource(path.object(), path.resource)?;
        (definition.data_type != DataType::None).then_some(definition.data_type)
    }

    fn multiplicity(&self, path: ResourcePath) -> Option<Multiplicity> {
        Some(
            self.definitions
                .resource(path.object(), path.resource)?
                .multiplicity,
        )
    }

    /// The value as the type of its definition, ready to be written.
    fn fitted<'v>(
        &self,
        path: ResourcePath,
        value: &'v Value,
    ) -> Result<Cow<'v, Value>, EncodeError> {
        let Some(data_type) = self.data_type(path) else {
            return Ok(Cow::Borrowed(value));
        };
        if let (DataType::String, Value::String(_)) | (DataType::Opaque, Value::Opaque(_)) =
            (data_type, value)
        {
            return Ok(Cow::Borrowed(value));
        }
        value
            .clone()
            .fit(data_type)
            .map(Cow::Owned)
            .map_err(|_| EncodeError::WrongType)
    }

    /// The only value of `nodes` where the format carries a single value: the target is a single
    /// resource or a resource instance.
    fn single_value<'n>(&self, nodes: &'n [Node]) -> Result<Cow<'n, Value>, EncodeError> {
        let [node] = nodes else {
            return Err(EncodeError::NotAcceptable);
        };
        let value = match (self.target, &node.content) {
            (Path::Resource(_), Content::Single(value)) => value,
            (Path::ResourceInstance(_, wanted), Content::Multiple(values)) => {
                match values.as_slice() {
                    [(index, value)] if *index == wanted => value,
                    _ => return Err(EncodeError::NotAcceptable),
                }
            }
            (Path::Root | Path::Object(_) | Path::Instance(_), _)
            | (Path::Resource(_), Content::Multiple(_))
            | (Path::ResourceInstance(..), Content::Single(_)) => {
                return Err(EncodeError::NotAcceptable);
            }
        };
        self.fitted(node.path, value)
    }

    /// The resource that a payload of a single value is about.
    fn single_target(&self) -> Result<ResourcePath, DecodeError> {
        let not_applicable = Err(DecodeErrorKind::NotApplicable.at(0));
        match self.target {
            Path::Root | Path::Object(_) | Path::Instance(_) => not_applicable,
            Path::Resource(path) if self.multiplicity(path) == Some(Multiplicity::Multiple) => {
                not_applicable
            }
            Path::Resource(path) | Path::ResourceInstance(path, _) => Ok(path),
        }
    }

    /// What was decoded when the payload is the value of the target itself.
    fn single_decoded(&self, path: ResourcePath, value: Value) -> Decoded {
        let node = match self.target {
            Path::ResourceInstance(_, index) => Node::multiple(path, vec![(index, value)]),
            Path::Root | Path::Object(_) | Path::Instance(_) | Path::Resource(_) => {
                Node::single(path, value)
            }
        };
        Decoded {
            nodes: vec![node],
            empty_instances: Vec::new(),
        }
    }
}

/// Collects decoded values, one node per resource and time.
#[derive(Debug, Default)]
struct Collector {
    decoded: Decoded,
    places: BTreeMap<(ResourcePath, Option<RecordTime>), Place>,
    values: usize,
}

/// Where a resource stands in the nodes, and which of its instances are there.
#[derive(Debug)]
struct Place {
    node: usize,
    instances: std::collections::BTreeSet<ResourceInstanceId>,
}

impl Collector {
    fn single(
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

    fn instance(
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
        if !place.instances.insert(index) {
            return Err(DecodeErrorKind::Duplicate);
        }
        values.push((index, value));
        Ok(())
    }

    /// A multiple resource without instances.
    fn empty(&mut self, path: ResourcePath) -> Result<(), DecodeErrorKind> {
        self.count()?;
        if self.places.contains_key(&(path, None)) {
            return Err(DecodeErrorKind::Duplicate);
        }
        self.add(path, None, Content::Multiple(Vec::new()));
        Ok(())
    }

    fn add(&mut self, path: ResourcePath, time: Option<RecordTime>, content: Content) {
        let place = Place {
            node: self.decoded.nodes.len(),
            instances: std::collections::BTreeSet::new(),
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
