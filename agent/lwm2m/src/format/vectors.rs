//! The golden vectors of `tests/vectors`: decode, encode, compare. The format of the files is
//! described in `tests/vectors/README.md`.

use std::collections::BTreeMap;

use lamplighter_model::{
    ObjectId,
    object::{ObjectDef, Operations, ResourceDef, Version},
};
use serde_json::Value as Json;

use super::*;

#[test]
fn tlv_vectors_hold() {
    run(
        include_str!("../../../../tests/vectors/tlv/vectors.json"),
        |_| ContentFormat::Tlv,
    );
}

#[test]
fn senml_vectors_hold() {
    run(
        include_str!("../../../../tests/vectors/senml/vectors.json"),
        senml_format,
    );
}

#[test]
fn cbor_vectors_hold() {
    run(
        include_str!("../../../../tests/vectors/cbor/vectors.json"),
        |_| ContentFormat::Cbor,
    );
}

#[test]
fn lwm2m_cbor_vectors_hold() {
    run(
        include_str!("../../../../tests/vectors/lwm2m_cbor/vectors.json"),
        |_| ContentFormat::Lwm2mCbor,
    );
}

#[test]
fn lwm2m_json_vectors_hold() {
    run(
        include_str!("../../../../tests/vectors/lwm2m_json/vectors.json"),
        |_| ContentFormat::Lwm2mJson,
    );
}

#[test]
fn etch_vectors_hold() {
    run(
        include_str!("../../../../tests/vectors/etch/vectors.json"),
        senml_format,
    );
}

#[test]
fn vectors_of_composite_requests_hold() {
    let vectors: Vec<Json> =
        serde_json::from_str(include_str!("../../../../tests/vectors/paths/vectors.json")).unwrap();
    for vector in &vectors {
        let format = senml_format(vector);
        let name = format!("{format:?}: {}", text(vector, "name"));
        let prefix = vector
            .get("prefix")
            .map_or("", |prefix| prefix.as_str().unwrap());
        let payload = payload(vector, format);
        let decoded = decode_paths(format, prefix, &payload);
        if let Some(error) = error(vector) {
            assert_eq!(
                decoded.map_err(|error| (format!("{:?}", error.kind), error.offset)),
                Err(error),
                "{name}"
            );
            continue;
        }
        let paths: Vec<_> = list(vector, "paths").iter().map(path_of).collect();
        assert_eq!(decoded.as_ref(), Ok(&paths), "{name}");
        if vector.get("decode_only").is_none() {
            assert_eq!(encode_paths(format, prefix, &paths), Ok(payload), "{name}");
        }
    }
}

#[test]
fn text_vectors_hold() {
    run(
        include_str!("../../../../tests/vectors/text/vectors.json"),
        |_| ContentFormat::Text,
    );
}

#[test]
fn link_vectors_hold() {
    let vectors: Vec<Json> =
        serde_json::from_str(include_str!("../../../../tests/vectors/link/vectors.json")).unwrap();
    for vector in &vectors {
        let name = text(vector, "name");
        let payload = text(vector, "payload");
        let parsed = link::parse(payload.as_bytes());
        if let Some(error) = error(vector) {
            assert_eq!(
                parsed.map_err(|error| (format!("{:?}", error.kind), error.offset)),
                Err(error),
                "{name}"
            );
            continue;
        }
        let links: Vec<_> = list(vector, "links").iter().map(link_of).collect();
        assert_eq!(parsed.as_ref(), Ok(&links), "{name}");
        if vector.get("decode_only").is_none() {
            assert_eq!(link::write(&links), payload, "{name}");
        }
    }
}

fn senml_format(vector: &Json) -> ContentFormat {
    match text(vector, "format") {
        "cbor" => ContentFormat::SenmlCbor,
        "etch_cbor" => ContentFormat::SenmlEtchCbor,
        "etch_json" => ContentFormat::SenmlEtchJson,
        "json" => ContentFormat::SenmlJson,
        other => panic!("unknown format {other}"),
    }
}

fn run(file: &str, format: impl Fn(&Json) -> ContentFormat) {
    let vectors: Vec<Json> = serde_json::from_str(file).unwrap();
    for vector in &vectors {
        check(vector, format(vector));
    }
}

fn check(vector: &Json, format: ContentFormat) {
    let name = format!("{format:?}: {}", text(vector, "name"));
    let definitions = definitions(vector);
    let target: Path = text(vector, "target").parse().unwrap();
    let prefix = vector
        .get("prefix")
        .map_or("", |prefix| prefix.as_str().unwrap());
    let payload = payload(vector, format);
    let decoded = decode(format, target, prefix, &payload, &definitions);
    if let Some(error) = error(vector) {
        assert_eq!(
            decoded.map_err(|error| (format!("{:?}", error.kind), error.offset)),
            Err(error),
            "{name}"
        );
        return;
    }
    let nodes: Vec<_> = list(vector, "nodes").iter().map(node_of).collect();
    let empty_instances = list(vector, "empty_instances")
        .iter()
        .map(|path| instance_path(path.as_str().unwrap()));
    let wanted = Decoded {
        nodes,
        empty_instances: empty_instances.collect(),
        deleted: list(vector, "deleted").iter().map(deleted_of).collect(),
    };
    assert_eq!(decoded.as_ref(), Ok(&wanted), "{name}");
    if vector.get("decode_only").is_none() {
        let encoded = encode(format, target, prefix, &wanted.nodes, &definitions).unwrap();
        assert_eq!(
            Value::Opaque(encoded).to_string(),
            Value::Opaque(payload).to_string(),
            "{name}"
        );
    }
}

/// The values' own types as the definitions.
fn definitions(vector: &Json) -> Definitions {
    let mut objects: BTreeMap<ObjectId, ObjectDef> = BTreeMap::new();
    for node in list(vector, "nodes").iter().chain(list(vector, "types")) {
        let Some(data_type) = data_type(node) else {
            continue;
        };
        let path = resource_path(node);
        let multiple = node.get("instances").is_some();
        let object = objects.entry(path.object()).or_insert_with(|| ObjectDef {
            id: path.object(),
            name: String::new(),
            version: Version::V1_0,
            multiplicity: Multiplicity::Multiple,
            mandatory: false,
            resources: BTreeMap::new(),
        });
        let resource = ResourceDef {
            id: path.resource,
            name: String::new(),
            operations: Operations::RW,
            multiplicity: if multiple {
                Multiplicity::Multiple
            } else {
                Multiplicity::Single
            },
            mandatory: false,
            data_type,
            range: None,
            unit: String::new(),
        };
        object.resources.insert(path.resource, resource);
    }
    let mut definitions = Definitions::default();
    objects
        .into_values()
        .for_each(|object| definitions.insert(object));
    definitions
}

fn node_of(node: &Json) -> Node {
    let content = match node.get("instances") {
        None => Content::Single(value_of(node, &node["value"])),
        Some(instances) => {
            let pair = |pair: &Json| {
                let index = u16::try_from(pair[0].as_u64().unwrap()).unwrap();
                (ResourceInstanceId(index), value_of(node, &pair[1]))
            };
            Content::Multiple(instances.as_array().unwrap().iter().map(pair).collect())
        }
    };
    let milliseconds = |key: &str| node.get(key).map(|time| time.as_i64().unwrap());
    let absolute = milliseconds("time").map(|time| RecordTime::Absolute(UnixTime(time)));
    let time = absolute.or_else(|| milliseconds("relative_time").map(RecordTime::Relative));
    Node {
        path: resource_path(node),
        content,
        time,
    }
}

fn value_of(node: &Json, value: &Json) -> Value {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    match (node["type"].as_str().unwrap(), data_type(node)) {
        ("Decimal", _) => Value::Decimal(text.parse().unwrap()),
        ("Opaque", _) => Value::Opaque(hex(&text)),
        ("unknown", _) if value.is_string() => Value::Opaque(hex(&text)),
        ("unknown", _) => Value::Integer(value.as_i64().unwrap()),
        ("Float", _) => Value::Float(text.parse().unwrap()),
        ("Unsigned", _) => Value::Unsigned(text.parse().unwrap()),
        (_, data_type) => Value::parse(&text, data_type.unwrap()).unwrap(),
    }
}

fn data_type(node: &Json) -> Option<DataType> {
    Some(match text(node, "type") {
        "Boolean" => DataType::Boolean,
        "Corelnk" => DataType::Corelnk,
        "Decimal" | "Float" => DataType::Float,
        "Integer" => DataType::Integer,
        "Objlnk" => DataType::Objlnk,
        "Opaque" => DataType::Opaque,
        "String" => DataType::String,
        "Time" => DataType::Time,
        "Unsigned" => DataType::Unsigned,
        "unknown" => return None,
        other => panic!("unknown type {other}"),
    })
}

fn link_of(link: &Json) -> link::Link {
    let attribute = |attribute: &Json| {
        let value = match attribute.get(1).map(|value| value.as_str().unwrap()) {
            None => link::AttributeValue::Flag,
            Some(value) => match value
                .strip_prefix('"')
                .and_then(|value| value.strip_suffix('"'))
            {
                Some(value) => link::AttributeValue::Quoted(value.to_owned()),
                None => link::AttributeValue::Plain(value.to_owned()),
            },
        };
        link::Attribute {
            name: attribute[0].as_str().unwrap().to_owned(),
            value,
        }
    };
    let attributes = list(link, "attributes").iter().map(attribute).collect();
    link::Link {
        target: text(link, "target").to_owned(),
        attributes,
    }
}

/// `/9/65535/7` stands for an instance whose id is left to the client.
fn resource_path(node: &Json) -> ResourcePath {
    let text = text(node, "path");
    let mut path = text
        .replace("/65535", "/0")
        .parse::<ResourcePath>()
        .unwrap();
    if text.contains("/65535") {
        path.instance.instance = UNASSIGNED;
    }
    path
}

fn deleted_of(path: &Json) -> (ResourcePath, ResourceInstanceId) {
    let Path::ResourceInstance(path, index) = path_of(path) else {
        panic!("{path} is no resource instance");
    };
    (path, index)
}

fn instance_path(text: &str) -> InstancePath {
    let ids: Vec<_> = text
        .split('/')
        .skip(1)
        .map(|id| id.parse().unwrap())
        .collect();
    InstancePath::new(ids[0], ids[1])
}

fn path_of(path: &Json) -> Path {
    path.as_str().unwrap().parse().unwrap()
}

fn payload(vector: &Json, format: ContentFormat) -> Vec<u8> {
    let text = text(vector, "payload");
    match format {
        ContentFormat::Cbor
        | ContentFormat::Lwm2mCbor
        | ContentFormat::Opaque
        | ContentFormat::SenmlCbor
        | ContentFormat::SenmlEtchCbor
        | ContentFormat::Tlv => hex(text),
        ContentFormat::Link
        | ContentFormat::Lwm2mJson
        | ContentFormat::SenmlEtchJson
        | ContentFormat::SenmlJson
        | ContentFormat::Text => text.as_bytes().to_vec(),
    }
}

/// Hexadecimal with blanks; `AA*300` repeats the byte, at the end only.
fn hex(text: &str) -> Vec<u8> {
    let (digits, count) = text.split_once('*').unwrap_or((text, "1"));
    let digits: Vec<_> = digits.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    let mut bytes: Vec<_> = digits.chunks(2).map(byte).collect();
    if let Some(last) = bytes.last().copied() {
        bytes.extend(vec![last; count.parse::<usize>().unwrap() - 1]);
    }
    bytes
}

fn error(vector: &Json) -> Option<(String, usize)> {
    vector.get("error")?;
    Some((text(vector, "error").to_owned(), offset(vector)))
}

fn offset(vector: &Json) -> usize {
    usize::try_from(vector["offset"].as_u64().unwrap()).unwrap()
}

fn text<'v>(vector: &'v Json, key: &str) -> &'v str {
    vector[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} missing in {vector}"))
}

fn list<'v>(vector: &'v Json, key: &str) -> &'v [Json] {
    vector.get(key).map_or(&[], |list| list.as_array().unwrap())
}
