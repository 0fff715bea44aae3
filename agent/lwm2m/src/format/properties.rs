//! Properties of all formats: nothing panics, what is written reads back, and what was read and
//! written again stays as it is.

use std::collections::BTreeMap;

use lamplighter_model::{
    Decimal, InstancePath, ObjectId, ObjectLink, ResourceId,
    object::{ObjectDef, Operations, ResourceDef, Version},
};
use proptest::{collection::btree_map, prelude::*, sample::select};

use super::*;

const OBJECT: u16 = 31_000;
const TYPES: [DataType; 9] = [
    DataType::Boolean,
    DataType::Corelnk,
    DataType::Float,
    DataType::Integer,
    DataType::Objlnk,
    DataType::Opaque,
    DataType::String,
    DataType::Time,
    DataType::Unsigned,
];
const FORMATS: [ContentFormat; 5] = [
    ContentFormat::Opaque,
    ContentFormat::SenmlCbor,
    ContentFormat::SenmlJson,
    ContentFormat::Text,
    ContentFormat::Tlv,
];

/// An object with a single resource of each type (0–8) and a multiple one (300–308).
fn definitions() -> Definitions {
    let resource = |id: usize, multiplicity| ResourceDef {
        id: ResourceId(u16::try_from(id).unwrap()),
        name: String::new(),
        operations: Operations::RW,
        multiplicity,
        mandatory: false,
        data_type: TYPES[id % 300],
        range: None,
        unit: String::new(),
    };
    let singles = (0..TYPES.len()).map(|id| resource(id, Multiplicity::Single));
    let multiples = (300..300 + TYPES.len()).map(|id| resource(id, Multiplicity::Multiple));
    let mut definitions = Definitions::default();
    definitions.insert(ObjectDef {
        id: ObjectId(OBJECT),
        name: String::new(),
        version: Version::V1_0,
        multiplicity: Multiplicity::Multiple,
        mandatory: false,
        resources: singles
            .chain(multiples)
            .map(|resource| (resource.id, resource))
            .collect(),
    });
    definitions
}

fn value(data_type: DataType) -> BoxedStrategy<Value> {
    match data_type {
        DataType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        DataType::Corelnk => ".{0,20}".prop_map(Value::Corelnk).boxed(),
        DataType::Float => prop_oneof![
            any::<f64>().prop_filter("finite", |float| float.is_finite()),
            any::<f32>()
                .prop_filter("finite", |float| float.is_finite())
                .prop_map(f64::from),
            (-4000i32..4000).prop_map(|quarters| f64::from(quarters) / 4.0),
        ]
        .prop_map(Value::Float)
        .boxed(),
        DataType::Integer => prop_oneof![any::<i64>(), -300i64..300]
            .prop_map(Value::Integer)
            .boxed(),
        DataType::None => unreachable!("no resource of the test has no value"),
        DataType::Objlnk => any::<(u16, u16)>()
            .prop_map(|(object, instance)| Value::Objlnk(ObjectLink { object, instance }))
            .boxed(),
        DataType::Opaque => prop::collection::vec(any::<u8>(), 0..300)
            .prop_map(Value::Opaque)
            .boxed(),
        DataType::String => "(?s).{0,300}".prop_map(Value::String).boxed(),
        DataType::Time => prop_oneof![any::<i64>(), 0i64..4_000_000_000]
            .prop_map(Value::Time)
            .boxed(),
        DataType::Unsigned => prop_oneof![any::<u64>(), 0u64..300]
            .prop_map(Value::Unsigned)
            .boxed(),
    }
}

fn node(instance: u16) -> impl Strategy<Value = Node> {
    let path = InstancePath::new(OBJECT, instance);
    (0..TYPES.len(), any::<bool>()).prop_flat_map(move |(kind, multiple)| {
        let id = u16::try_from(kind).unwrap();
        if multiple {
            btree_map(0u16..65535, value(TYPES[kind]), 1..4)
                .prop_map(move |values| {
                    let values = values
                        .into_iter()
                        .map(|(id, value)| (ResourceInstanceId(id), value));
                    Node::multiple(path.resource(300 + id), values.collect())
                })
                .boxed()
        } else {
            value(TYPES[kind])
                .prop_map(move |value| Node::single(path.resource(id), value))
                .boxed()
        }
    })
}

/// Nodes of one instance, each resource once.
fn instance(instance: u16) -> impl Strategy<Value = Vec<Node>> {
    prop::collection::vec(node(instance), 1..8).prop_map(|nodes| {
        let by_path: BTreeMap<_, _> = nodes.into_iter().map(|node| (node.path, node)).collect();
        by_path.into_values().collect()
    })
}

fn structured() -> impl Strategy<Value = ContentFormat> {
    select(vec![
        ContentFormat::SenmlCbor,
        ContentFormat::SenmlJson,
        ContentFormat::Tlv,
    ])
}

fn target() -> impl Strategy<Value = Path> {
    select(vec![
        "/",
        "/31000",
        "/31000/0",
        "/31000/0/2",
        "/31000/0/303",
        "/31000/0/303/1",
        "/31000/0/99",
    ])
    .prop_map(|path| path.parse().unwrap())
}

fn reads_back(
    format: ContentFormat,
    target: Path,
    prefix: &str,
    nodes: &[Node],
) -> Result<(), TestCaseError> {
    let definitions = definitions();
    let payload = encode(format, target, prefix, nodes, &definitions)
        .map_err(|error| TestCaseError::fail(error.to_string()))?;
    let decoded = decode(format, target, prefix, &payload, &definitions);
    prop_assert_eq!(decoded.map(|decoded| decoded.nodes), Ok(nodes.to_vec()));
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(target in target(), payload in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in FORMATS {
            let _ = decode(format, target, "", &payload, &definitions());
        }
        let _ = link::parse(&payload);
    }

    #[test]
    fn mutated_payloads_never_panic_and_stay_what_they_are(
        format in structured(),
        nodes in instance(0),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (definitions, target) = (definitions(), InstancePath::new(OBJECT, 0).into());
        let mut payload = encode(format, target, "", &nodes, &definitions).unwrap();
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Ok(decoded) = decode(format, target, "", &payload, &definitions) {
            let again = encode(format, target, "", &decoded.nodes, &definitions).unwrap();
            prop_assert_eq!(decode(format, target, "", &again, &definitions), Ok(decoded));
        }
    }

    #[test]
    fn an_instance_reads_back(format in structured(), nodes in instance(7), prefix in select(vec!["", "/d01"])) {
        reads_back(format, InstancePath::new(OBJECT, 7).into(), prefix, &nodes)?;
    }

    #[test]
    fn an_object_reads_back(format in structured(), first in instance(0), second in instance(300)) {
        reads_back(format, Path::Object(ObjectId(OBJECT)), "", &[first, second].concat())?;
    }

    #[test]
    fn a_resource_reads_back(format in structured(), node in node(1)) {
        reads_back(format, node.path.into(), "", std::slice::from_ref(&node))?;
    }

    #[test]
    fn a_resource_instance_reads_back(format in structured(), kind in 0usize..9, index in 0u16..65535, seed: u64) {
        let node = sample_instance(kind, index, seed);
        reads_back(format, Path::ResourceInstance(node.path, ResourceInstanceId(index)), "", &[node])?;
    }

    #[test]
    fn a_single_value_reads_back_as_text(node in node(0)) {
        match &node.content {
            Content::Single(_) => reads_back(ContentFormat::Text, node.path.into(), "", std::slice::from_ref(&node))?,
            Content::Multiple(_) => {
                let refused = encode(ContentFormat::Text, node.path.into(), "", &[node], &definitions());
                prop_assert_eq!(refused, Err(EncodeError::NotAcceptable));
            }
        }
    }

    #[test]
    fn times_read_back(
        format in select(vec![ContentFormat::SenmlCbor, ContentFormat::SenmlJson]),
        times in prop::collection::btree_set(
            prop_oneof![
                (1_600_000_000_000i64..1_900_000_000_000).prop_map(|time| RecordTime::Absolute(UnixTime(time))),
                (-1_000_000i64..-1).prop_map(RecordTime::Relative),
            ],
            1..6,
        ),
    ) {
        let path = ResourcePath::new(OBJECT, 0, 3);
        let nodes: Vec<_> =
            times.into_iter().rev().map(|time| Node { time: Some(time), ..Node::single(path, Value::Integer(1)) }).collect();
        reads_back(format, path.into(), "", &nodes)?;
    }

    #[test]
    fn links_read_back(targets in prop::collection::vec("/[a-z0-9/]{0,10}", 0..5), quoted in "[^\\x00-\\x1f]{0,10}") {
        let links: Vec<_> =
            targets.iter().map(|target| link::Link::new(target).quoted("rt", &quoted).number("gt", -5.25)).collect();
        prop_assert_eq!(link::parse(link::write(&links).as_bytes()), Ok(links));
    }

    #[test]
    fn a_decimal_keeps_its_digits_in_json(mantissa: i64, exponent in -18i8..=0) {
        let decimal = Decimal::new(mantissa, exponent);
        let path = ResourcePath::new(OBJECT, 0, 2);
        let nodes = [Node::single(path, Value::Decimal(decimal))];
        let payload = encode(ContentFormat::SenmlJson, path.into(), "", &nodes, &definitions()).unwrap();
        let digits = format!("[{{\"bn\":\"/31000/0/2\",\"v\":{decimal}}}]");
        prop_assert_eq!(String::from_utf8(payload), Ok(digits));
        for format in [ContentFormat::SenmlCbor, ContentFormat::Tlv] {
            let payload = encode(format, path.into(), "", &nodes, &definitions()).unwrap();
            let decoded = decode(format, path.into(), "", &payload, &definitions()).unwrap();
            prop_assert_eq!(&decoded.nodes, &[Node::single(path, Value::Float(decimal.to_f64()))]);
        }
    }
}

fn sample_instance(kind: usize, index: u16, seed: u64) -> Node {
    let value = match TYPES[kind] {
        DataType::Boolean => Value::Boolean(seed & 1 == 1),
        DataType::Corelnk => Value::Corelnk(seed.to_string()),
        DataType::Float => Value::Float(seed as f64),
        DataType::Integer | DataType::None => Value::Integer(seed.cast_signed()),
        DataType::Objlnk => Value::Objlnk(ObjectLink {
            object: index,
            instance: 0,
        }),
        DataType::Opaque => Value::Opaque(seed.to_be_bytes().to_vec()),
        DataType::String => Value::String(seed.to_string()),
        DataType::Time => Value::Time(seed.cast_signed()),
        DataType::Unsigned => Value::Unsigned(seed),
    };
    let id = u16::try_from(300 + kind).unwrap();
    Node::multiple(
        ResourcePath::new(OBJECT, 0, id),
        vec![(ResourceInstanceId(index), value)],
    )
}

#[test]
fn values_take_the_type_of_their_definition_or_are_refused() {
    let definitions = definitions();
    let float = ResourcePath::new(OBJECT, 0, 2);
    let written = |value| {
        encode(
            ContentFormat::Tlv,
            float.into(),
            "",
            &[Node::single(float, value)],
            &definitions,
        )
    };
    assert_eq!(
        written(Value::Integer(1)),
        Ok(vec![0xC4, 2, 0x3F, 0x80, 0, 0])
    );
    assert_eq!(written(Value::Boolean(true)), Err(EncodeError::WrongType));
    assert_eq!(
        written(Value::Float(f64::NAN)),
        Err(EncodeError::NotANumber)
    );
}

#[test]
fn formats_say_what_they_cannot_carry() {
    let definitions = definitions();
    let instance = Path::Instance(InstancePath::new(OBJECT, 0));
    for format in [
        ContentFormat::Text,
        ContentFormat::Opaque,
        ContentFormat::Link,
    ] {
        assert_eq!(
            encode(format, instance, "", &[], &definitions),
            Err(EncodeError::NotAcceptable)
        );
        assert_eq!(
            decode(format, instance, "", b"1", &definitions)
                .unwrap_err()
                .code(),
            415
        );
    }
    let number = ResourcePath::new(OBJECT, 0, 3);
    assert_eq!(
        decode(ContentFormat::Opaque, number.into(), "", b"1", &definitions)
            .unwrap_err()
            .code(),
        415
    );
    assert_eq!(
        decode(ContentFormat::Text, number.into(), "", b"x", &definitions)
            .unwrap_err()
            .code(),
        400
    );
    assert_eq!(EncodeError::NotAcceptable.code(), 406);
}

#[test]
fn a_payload_cannot_hold_more_values_than_the_limit() {
    let payload = [0xC0, 0].repeat(MAX_VALUES + 1);
    let target = InstancePath::new(OBJECT, 0).into();
    assert_eq!(
        decode(ContentFormat::Tlv, target, "", &payload, &definitions())
            .unwrap_err()
            .code(),
        413
    );
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    let target = InstancePath::new(OBJECT, 0).into();
    let json = format!("[{{\"x\":{}{}}}]", "[".repeat(100_000), "]".repeat(100_000));
    let cbor = [vec![0x81, 0xA1, 0x18, 99], vec![0x81; 100_000], vec![0]].concat();
    for (format, payload) in [
        (ContentFormat::SenmlJson, json.into_bytes()),
        (ContentFormat::SenmlCbor, cbor),
    ] {
        let error = decode(format, target, "", &payload, &definitions()).unwrap_err();
        assert_eq!(error.code(), 400);
    }
}
