//! Attributes: attached by Write-Attributes, or brought along by an Observe.

use lamplighter_coap::{Code, Request};
use lamplighter_lwm2m::{
    boundary::Input,
    client::{ServerConfig, VersionChoice},
    saved::{Record, SavedObservation},
};
use lamplighter_model::{
    Value,
    device::{Answer, Declared, DeviceEvent},
};

use crate::common::{TEMPERATURE, World, accept_all, config, get, server_config, text};

fn speaking(version: VersionChoice) -> World {
    let mut config = config();
    config.servers = vec![ServerConfig {
        version,
        ..server_config()
    }];
    let mut world = World::new(config, Vec::new(), accept_all);
    world.run();
    world.sample(TEMPERATURE, Value::Float(20.0));
    world
}

fn observing(world: &mut World, path: &str, queries: &[&str]) -> Code {
    world.request(Request {
        observe: Some(0),
        queries: queries.iter().map(|query| (*query).to_owned()).collect(),
        ..get(path)
    });
    while !world.device.is_empty() {
        world.done(Ok(Answer::default()));
    }
    world.responses.last().expect("an answer").1.code
}

fn told(world: &World) -> Vec<String> {
    world
        .notifications
        .iter()
        .map(|(_, _, response)| text(response).to_owned())
        .collect()
}

#[test]
fn each_version_has_its_attributes() {
    for (version, query, code) in [
        (VersionChoice::V1_0, "pmin=1", Code::CHANGED),
        (VersionChoice::V1_0, "epmin=1", Code::BAD_REQUEST),
        (VersionChoice::V1_1, "epmin=1", Code::CHANGED),
        (VersionChoice::V1_1, "epmax=1", Code::CHANGED),
        (VersionChoice::V1_1, "con=1", Code::BAD_REQUEST),
        (VersionChoice::V1_1, "hqmax=1", Code::BAD_REQUEST),
        (VersionChoice::V1_2, "con=1", Code::CHANGED),
        (VersionChoice::V1_2, "hqmax=10", Code::CHANGED),
    ] {
        // On every level, also those of which the text of 1.1 does not speak.
        for path in ["/3303", "/3303/0", "/3303/0/5700"] {
            let answer = speaking(version).attributes(path, &[query]);
            assert_eq!(answer.code, code, "{version:?} {path}?{query}");
        }
    }
}

#[test]
fn a_refused_write_of_attributes_changes_nothing() {
    let mut world = speaking(VersionChoice::V1_2);
    world.attributes("/3303/0/5700", &["epmax=10", "lt=5"]);
    for queries in [
        &["epmin=10"][..],
        &["gt=5"],
        &["pmin=3", "st=-1"],
        &["pmin=3", "colour=red"],
        &["pmin=3", "edge=1"],
    ] {
        let answer = world.attributes("/3303/0/5700", queries);
        assert_eq!(answer.code, Code::BAD_REQUEST, "{queries:?}");
    }
    let links = world.ask(crate::common::accepting("/3303/0/5700", 40));
    assert_eq!(text(&links), "</3303/0/5700>;lt=5;epmax=10");
}

#[test]
fn attributes_of_an_observe_stand_instead_of_all_others_and_are_not_discovered() {
    let mut world = speaking(VersionChoice::V1_2);
    world.attributes("/3303/0/5700", &["pmin=9999", "st=3"]);
    let code = observing(&mut world, "/3303/0/5700", &["gt=25", "pmax=60"]);
    assert_eq!(code, Code::CONTENT);
    for value in [24.0, 26.0] {
        world.sample(TEMPERATURE, Value::Float(value));
    }
    assert_eq!(
        told(&world),
        ["26"],
        "neither pmin nor st of the path count"
    );
    let links = world.ask(crate::common::accepting("/3303/0/5700", 40));
    assert_eq!(text(&links), "</3303/0/5700>;pmin=9999;st=3");
    world.seconds(61);
    assert_eq!(told(&world), ["26", "26"]);
    // For another observation of the same path what is attached counts: pmin holds it back.
    observing(&mut world, "/3303/0/5700", &[]);
    world.sample(TEMPERATURE, Value::Float(10.0));
    assert_eq!(told(&world), ["26", "26", "10"]);
}

#[test]
fn an_observe_is_refused_for_the_reasons_of_a_write_of_attributes() {
    let mut world = speaking(VersionChoice::V1_2);
    for queries in [
        &["gt=5", "lt=5"][..],
        &["st=-1"],
        &["epmin=5", "epmax=5"],
        &["edge=1"],
        &["depth=1"],
        &["pmin=x"],
    ] {
        let code = observing(&mut world, "/3303/0/5700", queries);
        assert_eq!(code, Code::BAD_REQUEST, "{queries:?}");
    }
    assert_eq!(observing(&mut world, "/3303", &["gt=5"]), Code::BAD_REQUEST);
    assert_eq!(world.client.servers().next().unwrap().observations, 0);
}

#[test]
fn before_1_2_an_observe_with_attributes_is_refused() {
    for version in [VersionChoice::V1_0, VersionChoice::V1_1] {
        let mut world = speaking(version);
        let code = observing(&mut world, "/3303/0/5700", &["pmin=1"]);
        assert_eq!(code, Code::BAD_REQUEST, "{version:?}");
    }
}

#[test]
fn attributes_of_an_observe_survive_a_restart() {
    let mut world = speaking(VersionChoice::V1_2);
    observing(&mut world, "/3303/0/5700", &["gt=25"]);
    let Some(Record::Observation(_, _, Some(saved))) = world
        .records()
        .into_iter()
        .find(|record| matches!(record, Record::Observation(..)))
    else {
        panic!("nothing was saved");
    };
    let SavedObservation {
        attributes, path, ..
    } = saved;
    assert_eq!(path, "/3303/0/5700");
    assert_eq!(attributes.unwrap().gt, Some(25.0));
}

#[test]
fn attributes_and_observations_die_with_the_account() {
    let mut world = speaking(VersionChoice::V1_2);
    world.attributes("/3303/0", &["pmin=5"]);
    observing(&mut world, "/3303/0/5700", &[]);
    let kept = |world: &World| {
        let records = world.records().into_iter();
        records
            .filter(|record| matches!(record, Record::Attributes(..) | Record::Observation(..)))
            .count()
    };
    assert_eq!(kept(&world), 2);
    let gone = lamplighter_lwm2m::client::Change::RemoveServer(crate::common::SSID);
    world.input(Input::Configure(gone));
    assert_eq!(kept(&world), 0);
}

/// As the first version wrote them.
#[test]
fn records_of_the_first_version_can_be_read() {
    let attributes = r#"{"Attributes":[101,"/3303/0/5700",{"pmin":20,"pmax":null,"gt":2.5,"lt":null,"st":null}]}"#;
    let Record::Attributes(_, _, Some(read)) = serde_json::from_str(attributes).unwrap() else {
        panic!("another record");
    };
    assert_eq!((read.pmin, read.gt, read.con), (Some(20), Some(2.5), None));
    let observation = r#"{"Observation":[101,[1,2],{"format":112,"path":"/3303/0"}]}"#;
    let Record::Observation(_, _, Some(read)) = serde_json::from_str(observation).unwrap() else {
        panic!("another record");
    };
    assert_eq!((read.attributes, read.composite), (None, None));
    assert_eq!(read.path, "/3303/0");
}

#[test]
fn attributes_die_with_the_instance() {
    let mut world = speaking(VersionChoice::V1_2);
    world.attributes("/3303/1/5700", &["pmin=5"]);
    world.attributes("/3303/0", &["pmin=5"]);
    world.attributes("/3303", &["pmax=50"]);
    let attached = |world: &World| {
        let mut paths = Vec::new();
        for record in world.records() {
            if let Record::Attributes(_, path, Some(_)) = record {
                paths.push(path);
            }
        }
        paths
    };
    assert_eq!(attached(&world).len(), 3);
    world.input(Input::Device(DeviceEvent::Declared(Declared {
        added: Vec::new(),
        removed: vec![lamplighter_model::ResourceAddress::gateway(3303, 1, 5700)],
    })));
    assert_eq!(attached(&world), ["/3303", "/3303/0"]);
}
