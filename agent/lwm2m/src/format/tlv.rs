//! TLV (11542): type, id, length, value (Core 1.2, 7.4.3).

use lamplighter_model::{
    DataType, InstancePath, ObjectId, ObjectInstanceId, ObjectLink, Path, ResourceId,
    ResourceInstanceId, ResourcePath, Value, object::Multiplicity,
};

use super::{
    Collector, Content, DecodeError, DecodeErrorKind, Decoded, EncodeError, Frame, MAX_VALUES,
    Node, UNASSIGNED,
};

/// Bits 7 and 6 of the type byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    ObjectInstance = 0,
    ResourceInstance = 1,
    MultipleResource = 2,
    Resource = 3,
}

/// One element of a payload.
#[derive(Clone, Copy, Debug)]
struct Element<'a> {
    kind: Kind,
    id: u16,
    value: &'a [u8],
    /// Where the element and its value begin in the payload.
    offset: usize,
    value_offset: usize,
}

pub(super) fn encode(frame: Frame<'_>, nodes: &[Node]) -> Result<Vec<u8>, EncodeError> {
    match frame.target {
        Path::Root => Err(EncodeError::NotAcceptable),
        Path::Object(_) => {
            let mut out = Vec::new();
            for nodes in nodes.chunk_by(|a, b| a.path.instance == b.path.instance) {
                let resources = encode_resources(frame, nodes)?;
                write(
                    &mut out,
                    Kind::ObjectInstance,
                    nodes[0].path.instance.instance.0,
                    &resources,
                )?;
            }
            Ok(out)
        }
        Path::Instance(_) | Path::Resource(_) => encode_resources(frame, nodes),
        Path::ResourceInstance(..) => encode_alone(frame, nodes),
    }
}

/// The instance of a resource as the whole payload, without the resource around it. The standard
/// shows none; Leshan takes no other form, and Anjay sends this one.
fn encode_alone(frame: Frame<'_>, nodes: &[Node]) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    for node in nodes {
        match &node.content {
            Content::Single(_) => return encode_resources(frame, nodes),
            Content::Multiple(values) => encode_instances(frame, node, values, &mut out)?,
        }
    }
    Ok(out)
}

fn encode_instances(
    frame: Frame<'_>,
    node: &Node,
    values: &[(ResourceInstanceId, Value)],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    for (index, value) in values {
        let value = encode_value(frame, node.path, value)?;
        write(out, Kind::ResourceInstance, index.0, &value)?;
    }
    Ok(())
}

fn encode_resources(frame: Frame<'_>, nodes: &[Node]) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    for node in nodes {
        let id = node.path.resource.0;
        match &node.content {
            Content::Single(value) => {
                write(
                    &mut out,
                    Kind::Resource,
                    id,
                    &encode_value(frame, node.path, value)?,
                )?;
            }
            Content::Multiple(values) => {
                let mut instances = Vec::new();
                encode_instances(frame, node, values, &mut instances)?;
                write(&mut out, Kind::MultipleResource, id, &instances)?;
            }
        }
    }
    Ok(out)
}

fn write(out: &mut Vec<u8>, kind: Kind, id: u16, value: &[u8]) -> Result<(), EncodeError> {
    let [_, id_low] = id.to_be_bytes();
    let wide_id = if id > 0xFF { 0x20 } else { 0 };
    let length = u32::try_from(value.len()).map_err(|_| EncodeError::TooLarge)?;
    let [too_long, length_bytes @ ..] = length.to_be_bytes();
    if too_long != 0 {
        return Err(EncodeError::TooLarge);
    }
    let (length_bits, length_bytes): (u8, &[u8]) = match (length, length_bytes) {
        (0..=7, [.., low]) => (low, &[]),
        (8..=0xFF, _) => (0x08, &length_bytes[2..]),
        (0x100..=0xFFFF, _) => (0x10, &length_bytes[1..]),
        (0x1_0000.., _) => (0x18, &length_bytes),
    };
    out.push((kind as u8) << 6 | wide_id | length_bits);
    if id > 0xFF {
        out.extend(id.to_be_bytes());
    } else {
        out.push(id_low);
    }
    out.extend(length_bytes);
    out.extend(value);
    Ok(())
}

fn encode_value(
    frame: Frame<'_>,
    path: ResourcePath,
    value: &Value,
) -> Result<Vec<u8>, EncodeError> {
    let value = frame.fitted(path, value)?;
    Ok(match value.as_ref() {
        Value::Boolean(on) => vec![u8::from(*on)],
        Value::Corelnk(text) | Value::String(text) => text.clone().into_bytes(),
        Value::Decimal(decimal) => encode_float(decimal.to_f64())?,
        Value::Float(float) => encode_float(*float)?,
        Value::Integer(integer) | Value::Time(integer) => encode_integer(*integer),
        Value::Objlnk(link) => [link.object.to_be_bytes(), link.instance.to_be_bytes()].concat(),
        Value::Opaque(bytes) => bytes.clone(),
        Value::Unsigned(unsigned) => encode_unsigned(*unsigned),
    })
}

/// The smallest of 1, 2, 4 and 8 bytes.
fn encode_integer(value: i64) -> Vec<u8> {
    if let Ok(value) = i8::try_from(value) {
        value.to_be_bytes().to_vec()
    } else if let Ok(value) = i16::try_from(value) {
        value.to_be_bytes().to_vec()
    } else if let Ok(value) = i32::try_from(value) {
        value.to_be_bytes().to_vec()
    } else {
        value.to_be_bytes().to_vec()
    }
}

fn encode_unsigned(value: u64) -> Vec<u8> {
    if let Ok(value) = u8::try_from(value) {
        vec![value]
    } else if let Ok(value) = u16::try_from(value) {
        value.to_be_bytes().to_vec()
    } else if let Ok(value) = u32::try_from(value) {
        value.to_be_bytes().to_vec()
    } else {
        value.to_be_bytes().to_vec()
    }
}

/// Four bytes where that loses nothing.
fn encode_float(value: f64) -> Result<Vec<u8>, EncodeError> {
    if !value.is_finite() {
        return Err(EncodeError::NotANumber);
    }
    let short = value as f32;
    Ok(if f64::from(short) == value {
        short.to_be_bytes().to_vec()
    } else {
        value.to_be_bytes().to_vec()
    })
}

pub(super) fn decode(frame: Frame<'_>, payload: &[u8]) -> Result<Decoded, DecodeError> {
    let mut reader = Decoder {
        frame,
        collector: Collector::default(),
    };
    let elements = elements(payload, 0)?;
    match frame.target {
        Path::Root => return Err(DecodeErrorKind::NotApplicable.at(0)),
        Path::Object(object) => reader.object(object, &elements)?,
        Path::Instance(path) => reader.wrapped_instance(path, &elements)?,
        Path::Resource(path) => reader.target_resource(path, &elements)?,
        Path::ResourceInstance(path, index) => {
            reader.target_resource_instance(path, index, &elements)?
        }
    }
    Ok(reader.collector.decoded)
}

struct Decoder<'a> {
    frame: Frame<'a>,
    collector: Collector,
}

impl Decoder<'_> {
    /// Instances, or the resources of one instance whose id is left to the client (Create).
    fn object(&mut self, object: ObjectId, elements: &[Element<'_>]) -> Result<(), DecodeError> {
        if elements
            .first()
            .is_some_and(|first| first.kind != Kind::ObjectInstance)
        {
            return self.resources(
                InstancePath {
                    object,
                    instance: UNASSIGNED,
                },
                elements,
            );
        }
        let mut seen = std::collections::BTreeSet::new();
        for element in elements {
            if element.kind != Kind::ObjectInstance {
                return Err(DecodeErrorKind::Misplaced.at(element.offset));
            }
            if !seen.insert(element.id) {
                return Err(DecodeErrorKind::Duplicate.at(element.offset));
            }
            self.instance(
                InstancePath {
                    object,
                    instance: ObjectInstanceId(element.id),
                },
                element,
            )?;
        }
        Ok(())
    }

    /// Resources; the wrapper of the instance is optional where the target names it.
    fn wrapped_instance(
        &mut self,
        path: InstancePath,
        elements: &[Element<'_>],
    ) -> Result<(), DecodeError> {
        match elements {
            [wrapper] if wrapper.kind == Kind::ObjectInstance => {
                if wrapper.id != path.instance.0 {
                    return Err(DecodeErrorKind::OutsideTarget.at(wrapper.offset));
                }
                self.instance(path, wrapper)
            }
            elements => self.resources(path, elements),
        }
    }

    fn instance(&mut self, path: InstancePath, element: &Element<'_>) -> Result<(), DecodeError> {
        if element.value.is_empty() {
            self.collector.decoded.empty_instances.push(path);
            return Ok(());
        }
        self.resources(path, &elements(element.value, element.value_offset)?)
    }

    fn resources(
        &mut self,
        path: InstancePath,
        elements: &[Element<'_>],
    ) -> Result<(), DecodeError> {
        for element in elements {
            self.resource(
                ResourcePath {
                    instance: path,
                    resource: ResourceId(element.id),
                },
                element,
            )?;
        }
        Ok(())
    }

    fn resource(&mut self, path: ResourcePath, element: &Element<'_>) -> Result<(), DecodeError> {
        let multiplicity = self.frame.multiplicity(path);
        match element.kind {
            Kind::ObjectInstance | Kind::ResourceInstance => {
                Err(DecodeErrorKind::Misplaced.at(element.offset))
            }
            Kind::Resource if multiplicity == Some(Multiplicity::Multiple) => {
                Err(DecodeErrorKind::Multiplicity.at(element.offset))
            }
            Kind::MultipleResource if multiplicity == Some(Multiplicity::Single) => {
                Err(DecodeErrorKind::Multiplicity.at(element.offset))
            }
            Kind::Resource => {
                let value = self.value(path, element)?;
                self.collector
                    .single(path, None, value)
                    .map_err(|kind| kind.at(element.offset))
            }
            Kind::MultipleResource => {
                self.collector
                    .empty(path)
                    .map_err(|kind| kind.at(element.offset))?;
                for instance in elements(element.value, element.value_offset)? {
                    self.resource_instance(path, &instance)?;
                }
                Ok(())
            }
        }
    }

    fn resource_instance(
        &mut self,
        path: ResourcePath,
        element: &Element<'_>,
    ) -> Result<(), DecodeError> {
        if element.kind != Kind::ResourceInstance {
            return Err(DecodeErrorKind::Misplaced.at(element.offset));
        }
        let value = self.value(path, element)?;
        self.collector
            .instance(path, None, ResourceInstanceId(element.id), value)
            .map_err(|kind| kind.at(element.offset))
    }

    fn target_resource(
        &mut self,
        path: ResourcePath,
        elements: &[Element<'_>],
    ) -> Result<(), DecodeError> {
        let element = only(elements)?;
        if matches!(element.kind, Kind::Resource | Kind::MultipleResource)
            && element.id != path.resource.0
        {
            return Err(DecodeErrorKind::OutsideTarget.at(element.offset));
        }
        self.resource(path, element)
    }

    /// The multiple resource with only this instance, or the instance alone.
    fn target_resource_instance(
        &mut self,
        path: ResourcePath,
        index: ResourceInstanceId,
        outer: &[Element<'_>],
    ) -> Result<(), DecodeError> {
        let element = only(outer)?;
        if element.kind == Kind::MultipleResource {
            if element.id != path.resource.0 {
                return Err(DecodeErrorKind::OutsideTarget.at(element.offset));
            }
            let inner = elements(element.value, element.value_offset)?;
            return self.target_instance_alone(path, index, only(&inner)?);
        }
        self.target_instance_alone(path, index, element)
    }

    fn target_instance_alone(
        &mut self,
        path: ResourcePath,
        index: ResourceInstanceId,
        element: &Element<'_>,
    ) -> Result<(), DecodeError> {
        if element.kind == Kind::ResourceInstance && element.id != index.0 {
            return Err(DecodeErrorKind::OutsideTarget.at(element.offset));
        }
        self.resource_instance(path, element)
    }

    fn value(&self, path: ResourcePath, element: &Element<'_>) -> Result<Value, DecodeError> {
        decode_value(element.value, self.frame.data_type(path))
            .map_err(|kind| kind.at(element.value_offset))
    }
}

fn only<'e, 'a>(elements: &'e [Element<'a>]) -> Result<&'e Element<'a>, DecodeError> {
    match elements {
        [] => Err(DecodeErrorKind::MissingValue.at(0)),
        [element] => Ok(element),
        [_, second, ..] => Err(DecodeErrorKind::OutsideTarget.at(second.offset)),
    }
}

fn elements(bytes: &[u8], base: usize) -> Result<Vec<Element<'_>>, DecodeError> {
    let mut elements = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (element, length) = element(&bytes[at..], base + at)
            .ok_or_else(|| DecodeErrorKind::Truncated.at(base + at))?;
        if elements.len() == MAX_VALUES {
            return Err(DecodeErrorKind::TooLarge.at(element.offset));
        }
        if element.id == u16::MAX {
            return Err(DecodeErrorKind::NotAPath.at(element.offset));
        }
        elements.push(element);
        at += length;
    }
    Ok(elements)
}

/// The first element of `bytes` and its whole length; `None` where it does not fit.
fn element(bytes: &[u8], offset: usize) -> Option<(Element<'_>, usize)> {
    let (&head, rest) = bytes.split_first()?;
    let kind = match head >> 6 {
        0 => Kind::ObjectInstance,
        1 => Kind::ResourceInstance,
        2 => Kind::MultipleResource,
        _ => Kind::Resource,
    };
    let (id, rest) = big_endian(rest, if head & 0x20 == 0 { 1 } else { 2 })?;
    let (length, rest) = match (head >> 3) & 0x03 {
        0 => (u32::from(head & 0x07), rest),
        width => big_endian(rest, usize::from(width))?,
    };
    let value = rest.get(..usize::try_from(length).ok()?)?;
    let header = bytes.len() - rest.len();
    let element = Element {
        kind,
        id: u16::try_from(id).ok()?,
        value,
        offset,
        value_offset: offset + header,
    };
    Some((element, header + value.len()))
}

fn big_endian(bytes: &[u8], width: usize) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_at_checked(width)?;
    Some((
        number
            .iter()
            .fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
        rest,
    ))
}

fn decode_value(bytes: &[u8], data_type: Option<DataType>) -> Result<Value, DecodeErrorKind> {
    match data_type {
        Some(DataType::Boolean) => match bytes {
            [0] => Ok(Value::Boolean(false)),
            [1] => Ok(Value::Boolean(true)),
            _ => Err(DecodeErrorKind::WrongType),
        },
        Some(DataType::Corelnk) => text(bytes).map(Value::Corelnk),
        Some(DataType::Float) => decode_float(bytes).map(Value::Float),
        Some(DataType::Integer) => decode_integer(bytes).map(Value::Integer),
        Some(DataType::Objlnk) => match *bytes {
            [a, b, c, d] => {
                let link = ObjectLink {
                    object: u16::from_be_bytes([a, b]),
                    instance: u16::from_be_bytes([c, d]),
                };
                Ok(Value::Objlnk(link))
            }
            _ => Err(DecodeErrorKind::WrongType),
        },
        Some(DataType::String) => text(bytes).map(Value::String),
        Some(DataType::Time) => decode_integer(bytes).map(Value::Time),
        Some(DataType::Unsigned) => decode_unsigned(bytes).map(Value::Unsigned),
        Some(DataType::None | DataType::Opaque) | None => Ok(Value::Opaque(bytes.to_vec())),
    }
}

fn text(bytes: &[u8]) -> Result<String, DecodeErrorKind> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| DecodeErrorKind::BadUtf8)
}

fn decode_integer(bytes: &[u8]) -> Result<i64, DecodeErrorKind> {
    Ok(match *bytes {
        [a] => i64::from(i8::from_be_bytes([a])),
        [a, b] => i64::from(i16::from_be_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_be_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => i64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => return Err(DecodeErrorKind::WrongType),
    })
}

fn decode_unsigned(bytes: &[u8]) -> Result<u64, DecodeErrorKind> {
    Ok(match *bytes {
        [a] => u64::from(a),
        [a, b] => u64::from(u16::from_be_bytes([a, b])),
        [a, b, c, d] => u64::from(u32::from_be_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => return Err(DecodeErrorKind::WrongType),
    })
}

fn decode_float(bytes: &[u8]) -> Result<f64, DecodeErrorKind> {
    let float = match *bytes {
        [a, b, c, d] => f64::from(f32::from_be_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => return Err(DecodeErrorKind::WrongType),
    };
    if float.is_finite() {
        Ok(float)
    } else {
        Err(DecodeErrorKind::NotANumber)
    }
}
