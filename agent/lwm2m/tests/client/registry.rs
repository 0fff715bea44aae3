//! Every object of a copy of the OMA registry, where `LAMPLIGHTER_REGISTRY_DIR` names one, as an
//! object that servers create instances of.

#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that compares nothing says so; a panic is how a test fails"
)]

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use lamplighter_coap::{Code, Method};
use lamplighter_lwm2m::{
    client::{ClientConfig, Creation},
    format::{self, Content, ContentFormat, Node},
};
use lamplighter_model::{
    DataType, InstancePath, ObjectLink, Path, ResourceInstanceId, ResourcePath, Value,
    object::{Definitions, Multiplicity, ObjectDef, ResourceDef},
    xml,
};

use crate::common::{World, accept_all, accepting, config, definitions, request, text};

const STRUCTURED: [ContentFormat; 5] = [
    ContentFormat::Tlv,
    ContentFormat::Lwm2mJson,
    ContentFormat::SenmlJson,
    ContentFormat::SenmlCbor,
    ContentFormat::Lwm2mCbor,
];

/// Files of the registry that define no object.
const OTHERS: [&str; 3] = ["Common.xml", "DDF.xml", "LWM2M_senml_units.xml"];

/// The core's own, and those that hold keys.
const OWN: [u16; 7] = [0, 1, 2, 3, 7, 21, 23];

#[test]
fn an_instance_of_every_object_can_be_created_read_written_and_deleted() {
    let Some(directory) = std::env::var_os("LAMPLIGHTER_REGISTRY_DIR").map(PathBuf::from) else {
        eprintln!("skipped: LAMPLIGHTER_REGISTRY_DIR names no copy of the OMA registry");
        return;
    };
    let mut objects = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let is_definition = path.extension().is_some_and(|extension| extension == "xml")
            && !OTHERS.iter().any(|other| path.ends_with(other));
        if !is_definition {
            continue;
        }
        let file = std::fs::read_to_string(&path).unwrap();
        for object in xml::read(&file).unwrap_or_else(|error| panic!("{path:?}: {error}")) {
            if !OWN.contains(&object.id.0) {
                serve(&object);
                objects += 1;
            }
        }
    }
    assert!(objects > 300, "only {objects}");
}

fn serve(object: &ObjectDef) {
    let mut all = definitions();
    all.insert(object.clone());
    let config = ClientConfig {
        creation: Creation {
            objects: BTreeSet::from([object.id]),
            ..Creation::default()
        },
        definitions: Arc::new(all.clone()),
        ..config()
    };
    // Without the devices of the other tests.
    let mut world = World::without_devices(config, accept_all);
    world.run();
    let instance = InstancePath {
        object: object.id,
        instance: lamplighter_model::ObjectInstanceId(0),
    };
    for format in STRUCTURED {
        create(&mut world, object, instance, format, &all);
        replace(&mut world, object, instance, format, &all);
        read_single(&mut world, object, instance);
        let links = world.ask(accepting(&instance.to_string(), 40));
        assert_eq!(links.code, Code::CONTENT, "{instance}");
        let deleted = world.ask(request(Method::Delete, &instance.to_string(), None, b""));
        assert_eq!(deleted.code, Code::DELETED, "{instance}");
    }
}

/// With all mandatory resources that can be written.
fn create(
    world: &mut World,
    object: &ObjectDef,
    instance: InstancePath,
    format: ContentFormat,
    all: &Definitions,
) {
    let target = Path::Object(object.id);
    let nodes = nodes(object, instance, |resource| resource.mandatory);
    let payload = format::encode(format, target, "", &nodes, all).unwrap();
    let answer = world.ask(request(
        Method::Post,
        &target.to_string(),
        Some(format.number()),
        &payload,
    ));
    let said = text(&answer);
    assert_eq!(answer.code, Code::CREATED, "{instance} {format:?} {said}");
    assert_eq!(
        answer.location_path,
        [object.id.to_string(), "0".to_owned()]
    );
    let present = read(world, instance, format, all);
    for resource in object.resources.values() {
        let is_there = present.iter().any(|node| node.path.resource == resource.id);
        // The SenML formats have no record for a resource without instances.
        let must = resource.mandatory
            && resource.operations.read
            && resource.multiplicity == Multiplicity::Single;
        assert!(is_there || !must, "{instance}/{} is missing", resource.id);
    }
}

/// All that can be written is told back as it was written.
fn replace(
    world: &mut World,
    object: &ObjectDef,
    instance: InstancePath,
    format: ContentFormat,
    all: &Definitions,
) {
    let nodes = nodes(object, instance, |_| true);
    let payload = format::encode(format, instance.into(), "", &nodes, all).unwrap();
    let answer = world.ask(request(
        Method::Put,
        &instance.to_string(),
        Some(format.number()),
        &payload,
    ));
    let said = text(&answer);
    assert_eq!(answer.code, Code::CHANGED, "{instance} {format:?} {said}");
    let told = read(world, instance, format, all);
    for node in nodes {
        let readable = object.resources[&node.path.resource].operations.read;
        assert!(
            told.contains(&node) || !readable,
            "{} in {format:?}: {node:?} of {told:?}",
            node.path
        );
    }
}

fn read(
    world: &mut World,
    instance: InstancePath,
    format: ContentFormat,
    all: &Definitions,
) -> Vec<Node> {
    let answer = world.ask(accepting(&instance.to_string(), format.number()));
    assert_eq!(
        (answer.code, answer.content_format),
        (Code::CONTENT, Some(format.number())),
        "{instance}"
    );
    format::decode(format, instance.into(), "", &answer.payload, all)
        .unwrap_or_else(|error| panic!("{instance} {format:?}: {error}"))
        .nodes
}

/// In the formats of single values.
fn read_single(world: &mut World, object: &ObjectDef, instance: InstancePath) {
    let single = object.resources.values().filter(|resource| {
        resource.operations.read
            && resource.operations.write
            && resource.multiplicity == Multiplicity::Single
    });
    for resource in single {
        let path = format!("{instance}/{}", resource.id);
        for format in [0, 42, 60] {
            let expected = if format == 42 && resource.data_type != DataType::Opaque {
                Code::NOT_ACCEPTABLE
            } else {
                Code::CONTENT
            };
            let answer = world.ask(accepting(&path, format));
            assert_eq!(answer.code, expected, "{path} {format}");
            if expected == Code::CONTENT {
                let put = request(Method::Put, &path, Some(format), &answer.payload);
                let answer = world.ask(put);
                let said = text(&answer);
                assert_eq!(answer.code, Code::CHANGED, "{path} {format} {said}");
            }
        }
    }
}

/// A value for each writable resource that is wanted.
fn nodes(
    object: &ObjectDef,
    instance: InstancePath,
    wanted: impl Fn(&ResourceDef) -> bool,
) -> Vec<Node> {
    let writable = object
        .resources
        .values()
        .filter(|resource| resource.operations.write && wanted(resource));
    let node = |resource: &ResourceDef| {
        let value = value(resource);
        Node {
            path: ResourcePath {
                instance,
                resource: resource.id,
            },
            content: match resource.multiplicity {
                Multiplicity::Single => Content::Single(value),
                Multiplicity::Multiple => Content::Multiple(vec![
                    (ResourceInstanceId(0), value.clone()),
                    (ResourceInstanceId(7), value),
                ]),
            },
            time: None,
        }
    };
    writable.map(node).collect()
}

fn value(resource: &ResourceDef) -> Value {
    let (low, high) = resource.range.unwrap_or((0.0, 1.0));
    let length = low.max(1.0).min(high) as usize;
    match resource.data_type {
        DataType::Boolean => Value::Boolean(true),
        DataType::Corelnk => Value::Corelnk("</3/0>".to_owned()),
        DataType::Float => Value::Float(low.midpoint(high)),
        DataType::Integer => Value::Integer(low as i64),
        DataType::None => panic!("{} has no value", resource.id),
        DataType::Objlnk => Value::Objlnk(ObjectLink {
            object: 3,
            instance: 0,
        }),
        DataType::Opaque => Value::Opaque(vec![0xA5; length]),
        DataType::String => Value::String("x".repeat(length)),
        DataType::Time => Value::Time(low as i64),
        DataType::Unsigned => Value::Unsigned(low as u64),
    }
}
