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
const FORMATS: [ContentFormat; 10] = [
    ContentFormat::Cbor,
    ContentFormat::Lwm2mCbor,
    ContentFormat::Lwm2mJson,
    ContentFormat::Opaque,
    ContentFormat::SenmlCbor,
    ContentFormat::SenmlEtchCbor,
    ContentFormat::SenmlEtchJson,
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
        ContentFormat::Lwm2mCbor,
        ContentFormat::Lwm2mJson,
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
            let _ = decode_paths(format, "", &payload);
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
            let decoded_again = decode(format, target, "", &again, &definitions).map(with_values);
            prop_assert_eq!(decoded_again, Ok(with_values(decoded)));
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
    fn a_single_value_reads_back_as_text_and_cbor(
        format in select(vec![ContentFormat::Cbor, ContentFormat::Text]),
        node in node(0),
    ) {
        match &node.content {
            Content::Single(_) => reads_back(format, node.path.into(), "", std::slice::from_ref(&node))?,
            Content::Multiple(_) => {
                let refused = encode(format, node.path.into(), "", &[node], &definitions());
                prop_assert_eq!(refused, Err(EncodeError::NotAcceptable));
            }
        }
    }

    #[test]
    fn times_read_back(
        format in select(vec![ContentFormat::Lwm2mJson, ContentFormat::SenmlCbor, ContentFormat::SenmlJson]),
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
    fn several_objects_read_back(
        format in select(vec![
            ContentFormat::Lwm2mCbor,
            ContentFormat::Lwm2mJson,
            ContentFormat::SenmlCbor,
            ContentFormat::SenmlEtchCbor,
            ContentFormat::SenmlEtchJson,
            ContentFormat::SenmlJson,
        ]),
        first in instance(0),
        second in instance(300),
        prefix in select(vec!["", "/d01"]),
    ) {
        let other = ResourcePath::new(OBJECT - 1, 0, 1);
        let nodes = [first, second, vec![Node::single(other, Value::String("other".to_owned()))]].concat();
        reads_back(format, Path::Root, prefix, &nodes)?;
    }

    #[test]
    fn paths_read_back(
        format in select(vec![
            ContentFormat::SenmlCbor,
            ContentFormat::SenmlEtchCbor,
            ContentFormat::SenmlEtchJson,
            ContentFormat::SenmlJson,
        ]),
        ids in prop::collection::btree_set(prop::collection::vec(0u16..65535, 0..5), 0..6),
        prefix in select(vec!["", "/d01"]),
    ) {
        let paths: Vec<_> = ids.iter().map(|ids| Path::from_ids(ids).unwrap()).collect();
        let payload = encode_paths(format, prefix, &paths).unwrap();
        prop_assert_eq!(decode_paths(format, prefix, &payload), Ok(paths));
    }

    #[test]
    fn nodes_in_any_order_are_one_map_for_each_place(nodes in prop::collection::vec((0u16..3, 0u16..3, 0u16..3), 0..12)) {
        let nodes: BTreeMap<_, _> = nodes.into_iter().rev().enumerate().map(|(at, path)| (path, at)).collect();
        let mut nodes: Vec<_> = nodes.into_iter().map(|((o, i, r), at)| (at, ResourcePath::new(o, i, r))).collect();
        nodes.sort_by_key(|(at, _)| *at);
        let nodes: Vec<_> = nodes.into_iter().map(|(_, path)| Node::single(path, Value::Boolean(true))).collect();
        let payload = encode(ContentFormat::Lwm2mCbor, Path::Root, "", &nodes, &definitions()).unwrap();
        let decoded = decode(ContentFormat::Lwm2mCbor, Path::Root, "", &payload, &definitions()).unwrap();
        let sorted = |nodes: Vec<Node>| {
            let mut nodes = nodes;
            nodes.sort_by_key(|node| node.path);
            nodes
        };
        prop_assert_eq!(sorted(decoded.nodes), sorted(nodes));
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
        for format in [ContentFormat::Cbor, ContentFormat::Lwm2mCbor, ContentFormat::Lwm2mJson, ContentFormat::SenmlCbor, ContentFormat::Tlv] {
            let payload = encode(format, path.into(), "", &nodes, &definitions()).unwrap();
            let decoded = decode(format, path.into(), "", &payload, &definitions()).unwrap();
            prop_assert_eq!(&decoded.nodes, &[Node::single(path, Value::Float(decimal.to_f64()))]);
        }
    }
}

/// What every format can say: not an instance without resources, nor a resource without values.
fn with_values(decoded: Decoded) -> Vec<Node> {
    let mut nodes = decoded.nodes;
    nodes.retain(|node| match &node.content {
        Content::Multiple(values) => !values.is_empty(),
        Content::Single(_) => true,
    });
    nodes
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
        ContentFormat::Cbor,
        ContentFormat::Link,
        ContentFormat::Opaque,
        ContentFormat::SenmlEtchCbor,
        ContentFormat::SenmlEtchJson,
        ContentFormat::Text,
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
fn only_senml_asks_for_paths() {
    for format in [
        ContentFormat::Cbor,
        ContentFormat::Link,
        ContentFormat::Lwm2mCbor,
        ContentFormat::Lwm2mJson,
        ContentFormat::Opaque,
        ContentFormat::Text,
        ContentFormat::Tlv,
    ] {
        assert_eq!(decode_paths(format, "", b"\x80").unwrap_err().code(), 415);
        let written = encode_paths(format, "", &[Path::Root]);
        assert_eq!(written, Err(EncodeError::NotAcceptable));
    }
}

#[test]
fn numbers_of_formats_are_those_registered_and_those_of_old_servers() {
    for (number, format) in [
        (0, ContentFormat::Text),
        (40, ContentFormat::Link),
        (42, ContentFormat::Opaque),
        (60, ContentFormat::Cbor),
        (110, ContentFormat::SenmlJson),
        (112, ContentFormat::SenmlCbor),
        (320, ContentFormat::SenmlEtchJson),
        (322, ContentFormat::SenmlEtchCbor),
        (11542, ContentFormat::Tlv),
        (11543, ContentFormat::Lwm2mJson),
        (11544, ContentFormat::Lwm2mCbor),
    ] {
        assert_eq!(ContentFormat::from_number(number), Some(format));
        assert_eq!(format.number(), number);
    }
    for (number, format) in [
        (1541, ContentFormat::Text),
        (1542, ContentFormat::Tlv),
        (1543, ContentFormat::Lwm2mJson),
        (1544, ContentFormat::Opaque),
    ] {
        assert_eq!(ContentFormat::from_number(number), Some(format));
    }
    assert_eq!(ContentFormat::from_number(310), None);
}

#[test]
fn several_values_of_one_resource_need_times() {
    let node = Node::single(ResourcePath::new(OBJECT, 0, 3), Value::Integer(1));
    let written = encode(
        ContentFormat::Lwm2mCbor,
        node.path.into(),
        "",
        &[node.clone(), node],
        &definitions(),
    );
    assert_eq!(written, Err(EncodeError::NotAcceptable));
}

#[test]
fn a_payload_cannot_hold_more_values_than_the_limit() {
    let target = InstancePath::new(OBJECT, 0).into();
    let (count, cbor_count) = (MAX_VALUES + 1, [0x9A, 0x00, 0x01, 0x00, 0x01]);
    let record = b"\xA1\x21\x68/31000/1";
    let entries = format!("{{\"e\":[{}0]}}", "0,".repeat(MAX_VALUES));
    for (format, target, payload) in [
        (ContentFormat::Tlv, target, [0xC0, 0].repeat(count)),
        (ContentFormat::Lwm2mJson, target, entries.into_bytes()),
        (
            ContentFormat::Lwm2mCbor,
            target,
            values_of_one_resource(count),
        ),
    ] {
        let error = decode(format, target, "", &payload, &definitions()).unwrap_err();
        assert_eq!(error.code(), 413, "{format:?}");
    }
    let paths = [&cbor_count[..], &record.repeat(count)].concat();
    let error = decode_paths(ContentFormat::SenmlCbor, "", &paths).unwrap_err();
    assert_eq!(error.code(), 413);
}

/// `{[31000,0,303]: {_ …}}`, then as many of the next resource.
fn values_of_one_resource(count: usize) -> Vec<u8> {
    let mut payload = b"\xBF".to_vec();
    for at in 0..count {
        let (resource, index) = (400 + at / 60_000, at % 60_000);
        payload.extend(b"\x84\x19\x79\x18\x00\x19");
        payload.extend(u16::try_from(resource).unwrap().to_be_bytes());
        payload.push(0x19);
        payload.extend(u16::try_from(index).unwrap().to_be_bytes());
        payload.push(0xF5);
    }
    payload.push(0xFF);
    payload
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    let target = InstancePath::new(OBJECT, 0).into();
    let json = format!("[{{\"x\":{}{}}}]", "[".repeat(100_000), "]".repeat(100_000));
    let cbor = [vec![0x81, 0xA1, 0x18, 99], vec![0x81; 100_000], vec![0]].concat();
    let old_json = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let maps = [0xA1, 0].repeat(100_000);
    for (format, payload) in [
        (ContentFormat::SenmlJson, json.into_bytes()),
        (ContentFormat::SenmlCbor, cbor),
        (ContentFormat::Lwm2mJson, old_json.into_bytes()),
        (ContentFormat::Lwm2mCbor, maps),
        (
            ContentFormat::Lwm2mCbor,
            [vec![0xA1], vec![0x81; 100_000]].concat(),
        ),
    ] {
        let error = decode(format, target, "", &payload, &definitions()).unwrap_err();
        assert_eq!(error.code(), 400);
    }
}
