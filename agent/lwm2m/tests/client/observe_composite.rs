//! Observe-Composite: one observation of many paths (lwm2m/30, 1 and 3; ETS 304, 305, 308, 309,
//! 310).

use lamplighter_coap::{Code, ExchangeId, Method, Request, Response};
use lamplighter_lwm2m::{
    boundary::Input,
    client::VersionChoice,
    saved::{Record, SavedObservation},
};
use lamplighter_model::{
    ResourceAddress, Value,
    device::{Declaration, Declared, DeviceEvent},
    object::Operations,
};

use crate::{
    common::{SET_POINT, TEMPERATURE, World, accept_all, request, text},
    shelf::{JSON, shelf, shelf_config},
};

const BOTH: &str = r#"[{"n":"/3303/0/5700"},{"n":"/3308/0/5900"}]"#;

fn composite(body: &str, queries: &[&str]) -> Request {
    Request {
        accept: Some(JSON),
        observe: Some(0),
        queries: queries.iter().map(|query| (*query).to_owned()).collect(),
        ..request(Method::Fetch, "/", Some(JSON), body.as_bytes())
    }
}

fn observe(world: &mut World, body: &str, queries: &[&str]) -> ExchangeId {
    let id = world.server.request(composite(body, queries), world.now);
    world.run();
    let (_, response) = world.responses.last().expect("an answer");
    assert_eq!(
        (response.code, response.observe.is_some()),
        (Code::CONTENT, true),
        "{response:?}"
    );
    id
}

fn world() -> World {
    let mut world = shelf(VersionChoice::Auto);
    world.sample(TEMPERATURE, Value::Float(20.0));
    world.sample(SET_POINT, Value::Float(21.0));
    world
}

fn told(world: &World) -> Vec<String> {
    world
        .notifications
        .iter()
        .map(|(_, _, response)| text(response).to_owned())
        .collect()
}

fn both(temperature: u32, set_point: u32) -> String {
    format!(
        r#"[{{"bn":"/3303/0/","n":"5700","v":{temperature}}},{{"bn":"/3308/0/","n":"5900","v":{set_point}}}]"#
    )
}

fn declare(world: &mut World, address: ResourceAddress) {
    let added = vec![Declaration {
        address,
        operations: Operations::R,
    }];
    let removed = Vec::new();
    world.input(Input::Device(DeviceEvent::Declared(Declared {
        added,
        removed,
    })));
}

fn remove(world: &mut World, address: ResourceAddress) {
    let (added, removed) = (Vec::new(), vec![address]);
    world.input(Input::Device(DeviceEvent::Declared(Declared {
        added,
        removed,
    })));
}

fn observations(world: &World) -> usize {
    world
        .client
        .servers()
        .next()
        .expect("a server")
        .observations
}

#[test]
fn a_change_of_one_path_tells_all_of_them_in_one_notification() {
    let mut world = world();
    observe(&mut world, BOTH, &[]);
    let (_, first) = world.responses.last().unwrap();
    assert_eq!(text(first), both(20, 21));
    world.sample(TEMPERATURE, Value::Float(25.0));
    world.sample(SET_POINT, Value::Float(22.0));
    assert_eq!(told(&world), [both(25, 21), both(25, 22)]);
    let format = world.notifications[0].2.content_format;
    assert_eq!(format, Some(JSON), "as in the first answer");
    world.sample(ResourceAddress::gateway(3303, 1, 5700), Value::Float(1.0));
    assert_eq!(told(&world).len(), 2, "a change of something else");
}

#[test]
fn each_path_keeps_to_its_own_attributes() {
    let mut world = world();
    world.attributes("/3303/0/5700", &["gt=30"]);
    world.attributes("/3308/0/5900", &["pmin=10"]);
    observe(&mut world, BOTH, &[]);
    world.sample(TEMPERATURE, Value::Float(25.0));
    assert!(told(&world).is_empty(), "gt is not crossed");
    world.sample(SET_POINT, Value::Float(22.0));
    world.seconds(9);
    assert!(told(&world).is_empty(), "pmin of the path that changed");
    world.seconds(2);
    assert_eq!(told(&world), [both(25, 22)]);
    world.sample(TEMPERATURE, Value::Float(31.0));
    assert_eq!(told(&world).len(), 2, "pmin is that of the other path");
}

#[test]
fn the_shortest_pmax_of_all_paths_counts() {
    let mut world = world();
    world.attributes("/3303/0/5700", &["pmax=30"]);
    world.attributes("/3308", &["pmax=20"]);
    observe(&mut world, BOTH, &[]);
    world.seconds(65);
    assert_eq!(told(&world).len(), 3);
    world.attributes("/3308", &["pmax=0"]);
    world.seconds(30);
    assert_eq!(told(&world).len(), 4);
}

#[test]
fn attributes_of_the_request_stand_instead_of_those_of_objects() {
    let mut world = world();
    world.attributes("/3303", &["pmin=1000"]);
    world.attributes("/3308", &["pmax=5"]);
    world.attributes("/3303/0/5700", &["gt=30"]);
    observe(&mut world, BOTH, &["epmin=30"]);
    world.seconds(20);
    assert!(told(&world).is_empty(), "no pmax");
    world.sample(TEMPERATURE, Value::Float(31.0));
    world.seconds(5);
    assert!(told(&world).is_empty(), "not evaluated before epmin");
    world.seconds(6);
    assert_eq!(told(&world), [both(31, 21)], "no pmin");
    world.sample(TEMPERATURE, Value::Float(35.0));
    world.seconds(100);
    assert_eq!(told(&world).len(), 1, "the condition on the value counts");
}

#[test]
fn only_attributes_that_suit_several_paths_are_taken() {
    let mut world = world();
    for query in [
        "gt=1", "lt=1", "st=1", "edge=1", "hqmax=5", "dim=1", "pmin=x",
    ] {
        let response = world.ask(composite(BOTH, &[query]));
        assert_eq!(response.code, Code::BAD_REQUEST, "{query}");
    }
    for query in ["pmin=1", "pmax=90", "epmin=1", "epmax=9", "con=1"] {
        observe(&mut world, BOTH, &[query]);
    }
    assert_eq!(observations(&world), 5, "each has its own token");
    let mut older = shelf(VersionChoice::V1_1);
    let response = older.ask(composite(BOTH, &["pmin=1"]));
    assert_eq!(response.code, Code::BAD_REQUEST);
    observe(&mut older, BOTH, &[]);
}

#[test]
fn instances_that_come_and_go_are_told() {
    let mut world = world();
    observe(&mut world, r#"[{"n":"/34"},{"n":"/3308/0/5900"}]"#, &[]);
    world.seconds(5);
    world.fill();
    world.seconds(2);
    assert_eq!(told(&world).len(), 1);
    assert!(told(&world)[0].contains(r#""bn":"/34/0/","n":"0","vs":"a""#));
    world.seconds(5);
    world.delete("/34/0");
    world.seconds(2);
    assert_eq!(
        told(&world)[1..],
        [r#"[{"bn":"/3308/0/","n":"5900","v":21}]"#]
    );
    assert_eq!(observations(&world), 1);
}

#[test]
fn what_does_not_exist_yet_is_told_when_it_does_and_goes_silently() {
    let mut world = world();
    let later = ResourceAddress::gateway(3303, 7, 5700);
    observe(
        &mut world,
        r#"[{"n":"/3303/7/5700"},{"n":"/3308/0/5900"}]"#,
        &[],
    );
    declare(&mut world, later);
    world.sample(later, Value::Float(5.0));
    let expected = r#"[{"bn":"/3303/7/","n":"5700","v":5},{"bn":"/3308/0/","n":"5900","v":21}]"#;
    assert_eq!(told(&world).last().unwrap(), expected);
    remove(&mut world, later);
    let (_, _, last) = world.notifications.last().unwrap();
    assert_eq!(text(last), r#"[{"bn":"/3308/0/","n":"5900","v":21}]"#);
    assert!(last.observe.is_some() && observations(&world) == 1);
}

#[test]
fn the_root_is_all_there_is_at_most_once_a_second() {
    let mut world = world();
    observe(&mut world, r#"[{"n":"/"}]"#, &[]);
    for tenth in 1..=25_u8 {
        world.sample(TEMPERATURE, Value::Float(tenth.into()));
        world.wait(std::time::Duration::from_millis(100));
    }
    assert_eq!(told(&world).len(), 2);
    assert!(told(&world)[1].contains(r#""bn":"/3308/0/""#));
    world.fill();
    world.seconds(2);
    assert!(told(&world).last().unwrap().contains("/34/0/"));
}

#[test]
fn it_ends_by_a_fetch_with_observe_1_and_by_a_reset() {
    let mut world = world();
    let id = observe(&mut world, BOTH, &["pmin=1"]);
    world.server.stop_observing(id, world.now);
    world.run();
    let (_, response) = world.responses.last().unwrap();
    assert_eq!((response.code, response.observe), (Code::CONTENT, None));
    assert_eq!(text(response), both(20, 21));
    assert_eq!(observations(&world), 0);
    let id = observe(&mut world, BOTH, &[]);
    assert_eq!(observations(&world), 1);
    world.server.cancel(id);
    world.sample(TEMPERATURE, Value::Float(1.0));
    assert_eq!(observations(&world), 0);
}

#[test]
fn large_notifications_are_fetched_block_by_block_each_its_own() {
    let mut world = world();
    for index in 0..60 {
        let address = ResourceAddress::gateway(3303, 100 + index, 5700);
        declare(&mut world, address);
        world.sample(address, Value::Float(f64::from(index)));
    }
    observe(&mut world, r#"[{"n":"/3303"}]"#, &[]);
    observe(&mut world, r#"[{"n":"/3303"},{"n":"/3308"}]"#, &[]);
    world.seconds(2);
    world.sample(
        ResourceAddress::gateway(3303, 107, 5700),
        Value::Float(777.0),
    );
    let told = told(&world);
    assert_eq!(told.len(), 2);
    for (payload, values) in told.iter().zip([61, 62]) {
        assert!(payload.len() > 1024 && payload.contains("777"));
        assert_eq!(payload.matches("\"v\":").count(), values);
    }
}

#[test]
fn it_goes_on_after_a_restart_with_its_paths_format_and_attributes() {
    let mut before = world();
    observe(&mut before, BOTH, &["pmin=7"]);
    let records = before.records();
    let saved = records.iter().find_map(|record| {
        let Record::Observation(_, _, saved) = record else {
            return None;
        };
        saved.as_ref()
    });
    let SavedObservation {
        attributes,
        composite,
        format,
        path,
        ..
    } = saved.expect("it is saved");
    let paths = ["/3303/0/5700".to_owned(), "/3308/0/5900".to_owned()];
    assert_eq!(composite.as_deref(), Some(&paths[..]));
    assert_eq!((path.as_str(), *format), ("/", JSON));
    assert_eq!(attributes.unwrap().pmin, Some(7));

    let mut after = World::at(
        before.now + std::time::Duration::from_secs(60),
        1,
        lamplighter_lwm2m::client::ClientConfig {
            seed: 8,
            ..shelf_config(VersionChoice::Auto)
        },
        records,
        accept_all,
    );
    after.server = before.server;
    after.run();
    after.sample(TEMPERATURE, Value::Float(30.0));
    after.sample(SET_POINT, Value::Float(31.0));
    after.seconds(8);
    let (_, _, last): &(_, _, Response) = after.notifications.last().expect("a notification");
    assert_eq!(text(last), both(30, 31));
}

#[test]
fn more_paths_than_there_is_room_for_are_read_and_not_observed() {
    let mut world = world();
    let many: Vec<String> = (0..9000)
        .map(|index| format!(r#"{{"n":"/3303/{index}"}}"#))
        .collect();
    let response = world.ask(composite(&format!("[{}]", many.join(",")), &[]));
    assert_eq!((response.code, response.observe), (Code::CONTENT, None));
    assert_eq!(observations(&world), 0);
}
