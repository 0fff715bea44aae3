//! Who is told, and how: states and measurements, the level of the observation, rights, limits.

use lamplighter_coap::{Code, Method, Request, Response};
use lamplighter_lwm2m::{
    boundary::Input,
    client::{ServerConfig, VersionChoice},
};
use lamplighter_model::{
    ResourceAddress, Ssid, Value,
    device::{Answer, Declaration, Declared, DeviceEvent},
    object::Operations,
};

use crate::{
    common::{
        SET_POINT, TEMPERATURE, World, accept_all, accepting, config, get, request, server_config,
        text,
    },
    shelf::{JSON, shelf},
};

fn observe(world: &mut World, path: &str, queries: &[&str]) -> Response {
    world.request(Request {
        observe: Some(0),
        queries: queries.iter().map(|query| (*query).to_owned()).collect(),
        ..get(path)
    });
    while !world.device.is_empty() {
        world.done(Ok(Answer::default()));
    }
    world.confirmable = 0;
    world.responses.last().expect("an answer").1.clone()
}

fn told(world: &World) -> Vec<String> {
    let payload = |(_, _, response): &(_, _, Response)| text(response).to_owned();
    world.notifications.iter().map(payload).collect()
}

fn world() -> World {
    let mut world = shelf(VersionChoice::Auto);
    world.sample(TEMPERATURE, Value::Float(20.0));
    world.sample(SET_POINT, Value::Float(21.0));
    world.fill();
    world
}

fn switch(world: &mut World, on: bool) {
    let digit = if on { "1" } else { "0" };
    assert_eq!(world.put("/34/0/10", digit).code, Code::CHANGED);
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
fn states_are_confirmable_and_measurements_are_not() {
    let mut world = world();
    observe(&mut world, "/3303/0/5700", &[]);
    world.sample(TEMPERATURE, Value::Float(25.0));
    assert_eq!((told(&world).len(), world.confirmable), (1, 0));
    observe(&mut world, "/3308/0/5900", &[]);
    world.sample(SET_POINT, Value::Float(22.0));
    assert_eq!((told(&world).len(), world.confirmable), (2, 1));
}

#[test]
fn of_an_instance_the_change_of_a_state_is_confirmable() {
    let mut world = world();
    switch(&mut world, false);
    observe(&mut world, "/34/0", &[]);
    switch(&mut world, true);
    assert_eq!((world.notifications.len(), world.confirmable), (1, 1));
}

#[test]
fn what_the_server_says_about_confirmation_counts_more_than_the_kind() {
    let mut world = world();
    world.attributes("/3303", &["con=1"]);
    world.attributes("/3308/0/5900", &["con=0"]);
    observe(&mut world, "/3303/0/5700", &[]);
    world.sample(TEMPERATURE, Value::Float(25.0));
    assert_eq!((told(&world).len(), world.confirmable), (1, 1));
    observe(&mut world, "/3308/0/5900", &[]);
    world.sample(SET_POINT, Value::Float(22.0));
    assert_eq!((told(&world).len(), world.confirmable), (2, 0));
}

#[test]
fn the_default_mode_of_the_account_counts_where_nothing_is_attached() {
    let mut world = world();
    observe(&mut world, "/3303/0/5700", &[]);
    assert_eq!(world.put("/1/0/26", "2").code, Code::BAD_REQUEST);
    assert_eq!(world.put("/1/0/26", "1").code, Code::CHANGED);
    world.confirmable = 0;
    world.sample(TEMPERATURE, Value::Float(25.0));
    assert_eq!((told(&world).len(), world.confirmable), (1, 1));
    assert_eq!(world.put("/1/0/26", "0").code, Code::CHANGED);
    world.sample(TEMPERATURE, Value::Float(26.0));
    assert_eq!((told(&world).len(), world.confirmable), (2, 1));
}

#[test]
fn of_several_paths_one_with_con_is_enough() {
    let mut world = world();
    world.attributes("/3308/0/5900", &["con=1"]);
    let body = r#"[{"n":"/3303/0/5700"},{"n":"/3308/0/5900"}]"#;
    world.request(Request {
        observe: Some(0),
        ..request(Method::Fetch, "/", Some(JSON), body.as_bytes())
    });
    world.confirmable = 0;
    world.sample(TEMPERATURE, Value::Float(25.0));
    assert_eq!(world.confirmable, 1);
}

#[test]
fn newer_values_take_the_place_of_one_that_waits_for_its_confirmation() {
    let mut world = world();
    observe(&mut world, "/3308/0/5900", &[]);
    world.lossy = true;
    for value in [30.0, 31.0, 32.0] {
        world.sample(SET_POINT, Value::Float(value));
    }
    assert_eq!(world.confirmable, 1, "one is on its way");
    world.lossy = false;
    world.seconds(10);
    assert_eq!(told(&world).last().map(String::as_str), Some("32"));
}

#[test]
fn a_state_that_changes_faster_than_it_is_confirmed_fills_no_queue() {
    let mut world = world();
    observe(&mut world, "/3308/0/5900", &[]);
    world.lossy = true;
    for number in 0..1000 {
        world.sample(SET_POINT, Value::Float(f64::from(number % 100)));
    }
    assert!(world.confirmable <= 1, "one at a time");
    world.lossy = false;
    world.seconds(600);
    world.sample(SET_POINT, Value::Float(55.5));
    world.seconds(10);
    assert_eq!(told(&world).last().map(String::as_str), Some("55.5"));
}

#[test]
fn the_edge_that_is_wanted_is_told_each_time() {
    for (edge, expected) in [("edge=1", ["1", "1"]), ("edge=0", ["0", "0"])] {
        let mut world = world();
        switch(&mut world, false);
        observe(&mut world, "/34/0/10", &[edge]);
        for on in [true, false, true, false] {
            switch(&mut world, on);
        }
        assert_eq!(told(&world), expected, "{edge}");
    }
}

#[test]
fn a_value_is_not_looked_at_before_epmin_is_over() {
    let mut world = world();
    observe(&mut world, "/3303/0/5700", &["epmin=10", "gt=30"]);
    world.sample(TEMPERATURE, Value::Float(35.0));
    world.seconds(5);
    world.sample(TEMPERATURE, Value::Float(25.0));
    world.seconds(20);
    assert!(told(&world).is_empty(), "between two evaluations");
    world.sample(TEMPERATURE, Value::Float(35.0));
    assert_eq!(told(&world), ["35"]);
}

#[test]
fn epmax_looks_at_what_changes_without_saying_so() {
    let mut world = world();
    observe(&mut world, "/3/0/13", &["epmax=60"]);
    world.seconds(59);
    assert!(told(&world).is_empty());
    world.seconds(2);
    assert_eq!(told(&world).len(), 1, "the time of day");
}

#[test]
fn an_instance_of_a_resource_is_observed_alone() {
    let mut world = world();
    let response = observe(&mut world, "/34/0/1/1", &[]);
    assert_eq!(
        (text(&response), response.observe.is_some()),
        ("Green", true)
    );
    let put = |world: &mut World, index: u16, word: &str| {
        let path = format!("/34/0/1/{index}");
        assert_eq!(world.put(&path, word).code, Code::CHANGED);
    };
    put(&mut world, 0, "Blue");
    assert!(told(&world).is_empty(), "its neighbour");
    put(&mut world, 1, "Yellow");
    assert_eq!(told(&world), ["Yellow"]);
    assert_eq!(world.delete("/34/0/1/1").code, Code::DELETED);
    let (_, _, last) = world.notifications.last().expect("the end");
    assert_eq!((last.code, last.observe), (Code::NOT_FOUND, None));
    assert_eq!(observations(&world), 0);
}

/// The standard is silent; Anjay tells nobody of his own write, Leshan's tests wait for the
/// notification of a value that the same server wrote. What is told twice does no harm.
#[test]
fn a_server_is_told_of_what_it_wrote_itself() {
    let mut world = world();
    observe(&mut world, "/34/0/0", &[]);
    world.put("/34/0/0", "b");
    assert_eq!(told(&world), ["b"]);
    world.put("/34/0/0", "b");
    assert_eq!(told(&world), ["b"], "nothing has changed");
}

#[test]
fn a_token_that_is_used_again_refreshes_its_observation() {
    let mut world = world();
    let mut peer = lamplighter_coap::Endpoint::new(lamplighter_coap::Params::default(), 99);
    std::mem::swap(&mut world.server, &mut peer);
    observe(&mut world, "/3303/0/5700", &["pmin=100"]);
    // A peer that is started again from the same seed chooses the same tokens.
    world.seconds(300);
    world.server = lamplighter_coap::Endpoint::new(lamplighter_coap::Params::default(), 99);
    observe(&mut world, "/3303/0/5700", &[]);
    assert_eq!(observations(&world), 1);
    world.sample(TEMPERATURE, Value::Float(25.0));
    assert_eq!(told(&world), ["25"], "pmin is gone");
}

#[test]
fn more_observations_than_there_is_room_for_are_answered_without_the_option() {
    let mut world = world();
    for _ in 0..1024 {
        assert!(observe(&mut world, "/34/0/0", &[]).observe.is_some());
    }
    let response = observe(&mut world, "/34/0/0", &[]);
    assert_eq!((response.code, response.observe), (Code::CONTENT, None));
    assert_eq!(observations(&world), 1024);
}

#[test]
fn attributes_of_a_resource_hold_for_its_instances() {
    let mut world = World::registered();
    assert_eq!(
        world.attributes("/3/0/11", &["gt=5", "pmax=60"]).code,
        Code::CHANGED
    );
    let links = world.ask(accepting("/3/0/11", 40));
    assert_eq!(
        text(&links),
        "</3/0/11>;dim=1;pmax=60;gt=5,</3/0/11/0>",
        "each where it is attached"
    );
    let mut old = World::new(
        lamplighter_lwm2m::client::ClientConfig {
            servers: vec![ServerConfig {
                version: VersionChoice::V1_0,
                ..server_config()
            }],
            ..config()
        },
        Vec::new(),
        accept_all,
    );
    old.run();
    let refused = old.attributes("/3/0/11", &["gt=5"]).code;
    assert_eq!(refused, Code::BAD_REQUEST, "it has no instances in 1.0");
}

/// Of two servers the first owns the box, the other is never reached.
fn two_servers() -> World {
    let owner = ServerConfig {
        rights: lamplighter_lwm2m::access::Grants {
            owner: true,
            ..Default::default()
        },
        ..server_config()
    };
    let other = ServerConfig {
        name: "other".to_owned(),
        ssid: Ssid(102),
        uri: "coap://unreachable.example".parse().expect("a URI"),
        ..server_config()
    };
    let mut definitions = crate::common::definitions();
    let standard = lamplighter_model::tables::standard();
    let access_control = standard.object(lamplighter_model::ObjectId(2));
    definitions.insert(access_control.expect("object 2").as_ref().clone());
    let mut world = World::new(
        lamplighter_lwm2m::client::ClientConfig {
            definitions: std::sync::Arc::new(definitions),
            servers: vec![owner, other],
            ..config()
        },
        Vec::new(),
        accept_all,
    );
    world.run();
    world.sample(TEMPERATURE, Value::Float(20.0));
    world
}

/// The path of the access rights of an instance.
fn rights_of(world: &mut World, object: u16, instance: u16) -> String {
    let all = world.fetch(r#"[{"n":"/2"}]"#);
    let records: Vec<serde_json::Value> = serde_json::from_str(text(&all)).expect("JSON");
    let mut base = String::new();
    let mut found = String::new();
    let mut is_object = false;
    for record in records {
        if let Some(name) = record.get("bn").and_then(|name| name.as_str()) {
            name.clone_into(&mut base);
        }
        let value = record.get("v").and_then(serde_json::Value::as_u64);
        match record.get("n").and_then(|name| name.as_str()) {
            Some("0") => is_object = value == Some(object.into()),
            Some("1") if is_object && value == Some(instance.into()) => found.clone_from(&base),
            _ => {}
        }
    }
    found
}

#[test]
fn nothing_is_told_while_the_right_to_read_is_taken() {
    let mut world = two_servers();
    observe(&mut world, "/3303/0/5700", &["pmax=100"]);
    observe(&mut world, "/3303", &[]);
    let rights = rights_of(&mut world, 3303, 0);
    let set = |world: &mut World, bits: u8| {
        let body = format!(r#"[{{"bn":"{rights}2/","n":"101","v":{bits}}}]"#);
        let response = world.ask(request(
            Method::Put,
            &format!("{rights}2"),
            Some(JSON),
            body.as_bytes(),
        ));
        assert_eq!(response.code, Code::CHANGED, "{}", text(&response));
    };
    set(&mut world, 0);
    world.seconds(2);
    let before = world.notifications.len();
    world.sample(TEMPERATURE, Value::Float(25.0));
    world.seconds(250);
    assert_eq!(
        world.notifications.len(),
        before,
        "neither a change nor pmax"
    );
    assert_eq!(observations(&world), 2, "they are kept");
    set(&mut world, 1);
    world.sample(TEMPERATURE, Value::Float(30.0));
    world.seconds(2);
    assert!(world.notifications.len() >= before + 2);
}

/// Neither what is stored, as nothing shows that it has arrived, nor what is on its way.
#[test]
fn what_was_told_before_the_right_was_taken_is_not_told_again() {
    let mut world = two_servers();
    observe(&mut world, "/3303/0/5700", &["con=1"]);
    let rights = rights_of(&mut world, 3303, 0);
    let temperatures = |world: &World| {
        let kept = world.kept.values();
        kept.filter(|kept| kept.sample.address == TEMPERATURE)
            .count()
    };
    world.seconds(10);
    world.lossy = true;
    world.sample(TEMPERATURE, Value::Float(25.0));
    world.lossy = false;
    assert_eq!(temperatures(&world), 1);
    let body = format!(r#"[{{"bn":"{rights}2/","n":"101","v":0}}]"#);
    let path = format!("{rights}2");
    let response = world.ask(request(Method::Put, &path, Some(JSON), body.as_bytes()));
    assert_eq!(response.code, Code::CHANGED, "{}", text(&response));
    assert_eq!(temperatures(&world), 0);
    let told = world.notifications.len();
    world.seconds(250);
    assert_eq!(world.notifications.len(), told);
    let status = world.client.servers().next().expect("the owner");
    assert_eq!(status.dropped.unauthorized, 1);
}

/// Core and devices may both have something to say in one instance; object 2 speaks of it once.
#[test]
fn object_2_tells_each_instance_once() {
    let mut world = two_servers();
    let battery = ResourceAddress::gateway(3, 0, 9);
    let declared = Declared {
        added: vec![Declaration {
            address: battery,
            operations: Operations::R,
        }],
        removed: Vec::new(),
    };
    world.input(Input::Device(DeviceEvent::Declared(declared)));
    let all = world.ask(accepting("/2", JSON));
    let records: Vec<serde_json::Value> = serde_json::from_str(text(&all)).expect("JSON");
    let about_device = records.iter().filter(|record| {
        let name = record["n"].as_str().unwrap_or_default();
        name.ends_with('0') && record["v"] == 3
    });
    assert_eq!(about_device.count(), 1, "{}", text(&all));
}
