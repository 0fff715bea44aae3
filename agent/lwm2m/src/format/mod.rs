//! Content formats: how values stand in a payload. One file per format; what they share (types by
//! definition, placing of values, limits) is here, so a new format is one more file and one more
//! arm in [`encode`] and [`decode`].
//!
//! Payloads come from peers: nothing here panics, and what one payload can make of memory is
//! bounded by its length and by [`MAX_VALUES`].

use std::borrow::Cow;

use lamplighter_model::{
    DataType, InstancePath, ObjectInstanceId, Path, ResourceInstanceId, ResourcePath, UnixTime,
    Value,
    object::{Definitions, Multiplicity},
};
use serde::{Deserialize, Serialize};

mod cbor;
mod collector;
mod error;
mod json;
pub mod link;
mod lwm2m_cbor;
mod lwm2m_json;
mod opaque;
mod senml;
mod senml_cbor;
mod senml_json;
mod single_cbor;
mod text;
mod tlv;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod vectors;

use collector::Collector;
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
use senml::Dialect;

/// Values that one payload may hold.
pub const MAX_VALUES: usize = 65_536;

/// Stands for an instance id in decoded paths where the payload of a Create leaves the choice to
/// the client.
pub const UNASSIGNED: ObjectInstanceId = ObjectInstanceId(65535);

/// A content format that this box reads and writes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ContentFormat {
    /// A single value (RFC 8949).
    Cbor,
    Link,
    Lwm2mCbor,
    Lwm2mJson,
    Opaque,
    SenmlCbor,
    /// Bodies of composite requests only (RFC 8790).
    SenmlEtchCbor,
    /// Bodies of composite requests only (RFC 8790).
    SenmlEtchJson,
    SenmlJson,
    Text,
    Tlv,
}

/// A resource and what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub path: ResourcePath,
    pub content: Content,
    /// When the value was taken; only the SenML formats and LwM2M JSON carry it.
    pub time: Option<RecordTime>,
}

/// What a resource holds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
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
    /// Resource instances that a Write-Composite deletes (RFC 8790, 3.2: the value is null); only
    /// the SenML-ETCH formats have them.
    pub deleted: Vec<(ResourcePath, ResourceInstanceId)>,
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
/// [`EncodeError::NotAcceptable`] where the format cannot carry the target (text of an instance),
/// or several values of one resource (LwM2M CBOR has no times).
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
        ContentFormat::Cbor => single_cbor::encode(frame, nodes),
        ContentFormat::Link => Err(EncodeError::NotAcceptable),
        ContentFormat::Lwm2mCbor => lwm2m_cbor::encode(frame, nodes),
        ContentFormat::Lwm2mJson => lwm2m_json::encode(frame, nodes),
        ContentFormat::Opaque => opaque::encode(frame, nodes),
        ContentFormat::SenmlEtchCbor | ContentFormat::SenmlEtchJson if target != Path::Root => {
            Err(EncodeError::NotAcceptable)
        }
        ContentFormat::SenmlCbor | ContentFormat::SenmlEtchCbor => {
            senml_cbor::encode(&senml::records(frame, nodes)?)
        }
        ContentFormat::SenmlJson | ContentFormat::SenmlEtchJson => {
            senml_json::encode(&senml::records(frame, nodes)?)
        }
        ContentFormat::Text => text::encode(frame, nodes),
        ContentFormat::Tlv => tlv::encode(frame, nodes),
    }
}

/// Reads a payload about `target`: of a Write, a Create (the target is the object), a
/// Write-Composite (the target is the root), or the answer to a Read.
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
        ContentFormat::Cbor => single_cbor::decode(frame, payload),
        ContentFormat::Link => Err(DecodeErrorKind::NotApplicable.at(0)),
        ContentFormat::Lwm2mCbor => lwm2m_cbor::decode(frame, payload),
        ContentFormat::Lwm2mJson => lwm2m_json::decode(frame, payload),
        ContentFormat::Opaque => opaque::decode(frame, payload),
        ContentFormat::SenmlCbor => {
            senml::decode::<senml_cbor::Cbor>(frame, Dialect::Senml, payload)
        }
        ContentFormat::SenmlEtchCbor | ContentFormat::SenmlEtchJson if target != Path::Root => {
            Err(DecodeErrorKind::NotApplicable.at(0))
        }
        ContentFormat::SenmlEtchCbor => {
            senml::decode::<senml_cbor::Cbor>(frame, Dialect::Etch, payload)
        }
        ContentFormat::SenmlEtchJson => {
            senml::decode::<senml_json::Json>(frame, Dialect::Etch, payload)
        }
        ContentFormat::SenmlJson => {
            senml::decode::<senml_json::Json>(frame, Dialect::Senml, payload)
        }
        ContentFormat::Text => text::decode(frame, payload),
        ContentFormat::Tlv => tlv::decode(frame, payload),
    }
}

/// Reads the body of a Read-Composite or Observe-Composite: the paths that are asked for, each once,
/// in the order of the payload. The root stands for everything.
///
/// # Errors
/// [`DecodeError::code`] is the response code of each; 4.15 for a format that has no such bodies
/// (Core 1.2, 6.3.8: LwM2M CBOR is one of them).
pub fn decode_paths(
    format: ContentFormat,
    prefix: &str,
    payload: &[u8],
) -> Result<Vec<Path>, DecodeError> {
    match format {
        ContentFormat::SenmlCbor | ContentFormat::SenmlEtchCbor => {
            senml::decode_paths::<senml_cbor::Cbor>(prefix, payload)
        }
        ContentFormat::SenmlEtchJson | ContentFormat::SenmlJson => {
            senml::decode_paths::<senml_json::Json>(prefix, payload)
        }
        ContentFormat::Cbor
        | ContentFormat::Link
        | ContentFormat::Lwm2mCbor
        | ContentFormat::Lwm2mJson
        | ContentFormat::Opaque
        | ContentFormat::Text
        | ContentFormat::Tlv => Err(DecodeErrorKind::NotApplicable.at(0)),
    }
}

/// Writes the body of a Read-Composite or Observe-Composite.
///
/// # Errors
/// [`EncodeError::NotAcceptable`] where the format has no such bodies.
pub fn encode_paths(
    format: ContentFormat,
    prefix: &str,
    paths: &[Path],
) -> Result<Vec<u8>, EncodeError> {
    let records = senml::path_records(prefix, paths);
    match format {
        ContentFormat::SenmlCbor | ContentFormat::SenmlEtchCbor => senml_cbor::encode(&records),
        ContentFormat::SenmlEtchJson | ContentFormat::SenmlJson => senml_json::encode(&records),
        ContentFormat::Cbor
        | ContentFormat::Link
        | ContentFormat::Lwm2mCbor
        | ContentFormat::Lwm2mJson
        | ContentFormat::Opaque
        | ContentFormat::Text
        | ContentFormat::Tlv => Err(EncodeError::NotAcceptable),
    }
}

impl ContentFormat {
    /// The format behind a CoAP Content-Format number, the unregistered ones of old servers
    /// (1541 text, 1542 TLV, 1543 LwM2M JSON, 1544 opaque) included.
    pub const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            0 | 1541 => Self::Text,
            40 => Self::Link,
            42 | 1544 => Self::Opaque,
            60 => Self::Cbor,
            110 => Self::SenmlJson,
            112 => Self::SenmlCbor,
            320 => Self::SenmlEtchJson,
            322 => Self::SenmlEtchCbor,
            11542 | 1542 => Self::Tlv,
            11543 | 1543 => Self::Lwm2mJson,
            11544 => Self::Lwm2mCbor,
            _ => return None,
        })
    }

    /// Whether values stand in it with their times.
    pub const fn has_time(self) -> bool {
        match self {
            Self::Lwm2mJson | Self::SenmlCbor | Self::SenmlJson => true,
            Self::Cbor
            | Self::Link
            | Self::Lwm2mCbor
            | Self::Opaque
            | Self::SenmlEtchCbor
            | Self::SenmlEtchJson
            | Self::Text
            | Self::Tlv => false,
        }
    }

    /// The number to answer with: the one that was asked for, which may be one of old servers.
    pub(crate) fn number_in(self, accept: Option<u16>) -> u16 {
        accept
            .filter(|accept| Self::from_number(*accept) == Some(self))
            .unwrap_or_else(|| self.number())
    }

    /// The registered Content-Format number.
    pub const fn number(self) -> u16 {
        match self {
            Self::Cbor => 60,
            Self::Link => 40,
            Self::Lwm2mCbor => 11544,
            Self::Lwm2mJson => 11543,
            Self::Opaque => 42,
            Self::SenmlCbor => 112,
            Self::SenmlEtchCbor => 322,
            Self::SenmlEtchJson => 320,
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
            ..Decoded::default()
        }
    }
}

/// The value as the type of its definition; without definition as it is.
fn typed(value: Value, data_type: Option<DataType>) -> Result<Value, DecodeErrorKind> {
    match (data_type, value) {
        (None, value) => Ok(value),
        // Fractions of seconds are legal in CBOR and mean nothing to a Time resource.
        (Some(DataType::Time), Value::Float(seconds)) => {
            Ok(Value::Float(seconds.floor()).fit(DataType::Time)?)
        }
        // Leshan writes links as strings in SenML.
        (Some(DataType::Objlnk), Value::String(text)) => Ok(Value::Objlnk(text.parse()?)),
        (Some(data_type), value) => Ok(value.fit(data_type)?),
    }
}

/// The path in an instance whose id is left to the client.
const fn unassigned(path: Path) -> Path {
    match path {
        Path::Root | Path::Object(_) => path,
        Path::Instance(path) => Path::Instance(unassigned_instance(path)),
        Path::Resource(path) => Path::Resource(unassigned_resource(path)),
        Path::ResourceInstance(path, index) => {
            Path::ResourceInstance(unassigned_resource(path), index)
        }
    }
}

const fn unassigned_resource(path: ResourcePath) -> ResourcePath {
    ResourcePath {
        instance: unassigned_instance(path.instance),
        ..path
    }
}

const fn unassigned_instance(path: InstancePath) -> InstancePath {
    InstancePath {
        instance: UNASSIGNED,
        ..path
    }
}
