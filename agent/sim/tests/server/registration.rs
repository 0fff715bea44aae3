use std::time::Duration;

use lamplighter_coap::{Code, Method, Reliability, Request};
use lamplighter_lwm2m::format::ContentFormat;
use lamplighter_model::Path;
use lamplighter_sim::server::{ServerEvent, ServerOptions};

use crate::world::{World, address, at, register};

#[test]
fn a_register_is_answered_with_a_location_of_two_options() {
    let mut world = World::new();
    let response = world.ask(1, register("cab-17", &["lt=300", "b=U", "Q"]));
    assert_eq!(response.code, Code::CREATED);
    let [rd, location] = response.location_path.as_slice() else {
        panic!("{:?}", response.location_path)
    };
    assert_eq!(rd, "rd");
    assert_eq!(world.events, [ServerEvent::Registered("cab-17".into())]);
    let client = world.server.client("cab-17").expect("registered");
    assert_eq!(client.location, *location);
    assert_eq!(client.address, address(1));
    assert_eq!(client.version, "1.1");
    assert_eq!(client.lifetime, Duration::from_secs(300));
    assert!(client.is_queue_mode);
    let paths: Vec<String> = client.paths().map(|path| path.to_string()).collect();
    assert_eq!(paths, ["/", "/1/0", "/3/0", "/3303", "/3303/0"]);
    assert_eq!(client.links[3].attribute("ver"), Some("1.1"));
    assert_eq!(client.preferred_format(), ContentFormat::SenmlCbor);
}

#[test]
fn an_update_changes_only_what_it_names() {
    let (mut world, location) = World::registered();
    let response = world.ask(1, at(Method::Post, &location, &["lt=60"]));
    assert_eq!(response.code, Code::CHANGED);
    assert_eq!(world.events, [ServerEvent::Updated("cab-17".into())]);
    let client = world.server.client("cab-17").expect("registered");
    assert_eq!(client.lifetime, Duration::from_secs(60));
    assert_eq!((client.links.len(), client.updates), (5, 1));

    let update = Request {
        content_format: Some(40),
        payload: b"</1/0>,</3/0>".to_vec(),
        ..at(Method::Post, &location, &[])
    };
    assert_eq!(world.ask(1, update).code, Code::CHANGED);
    let client = world.server.client("cab-17").expect("registered");
    assert_eq!(client.links.len(), 2);
    assert_eq!(client.lifetime, Duration::from_secs(60));
}

#[test]
fn a_registration_ends_when_its_lifetime_passes_without_an_update() {
    let (mut world, location) = World::registered();
    world.seconds(290);
    assert_eq!(
        world.ask(1, at(Method::Post, &location, &[])).code,
        Code::CHANGED
    );
    world.seconds(299);
    assert!(world.server.client("cab-17").is_some());
    world.events.clear();
    world.seconds(2);
    assert_eq!(world.events, [ServerEvent::Expired("cab-17".into())]);
    let late = world.ask(1, at(Method::Post, &location, &[]));
    assert_eq!(late.code, Code::NOT_FOUND);
}

#[test]
fn a_lifetime_of_zero_never_ends() {
    let mut world = World::new();
    world.ask(1, register("cab-17", &["lt=0"]));
    world.seconds(100_000_000);
    assert!(world.server.client("cab-17").is_some());
}

#[test]
fn deregister_removes_and_a_second_one_finds_nothing() {
    let (mut world, location) = World::registered();
    let delete = at(Method::Delete, &location, &[]);
    assert_eq!(world.ask(1, delete.clone()).code, Code::DELETED);
    assert_eq!(world.events, [ServerEvent::Deregistered("cab-17".into())]);
    assert_eq!(world.server.clients().count(), 0);
    assert_eq!(world.ask(1, delete).code, Code::NOT_FOUND);
}

#[test]
fn a_register_of_the_same_name_replaces_the_old_one() {
    let (mut world, old) = World::registered();
    let new = world.ask(2, register("cab-17", &[])).location_path;
    assert_ne!(old, new);
    assert_eq!(world.server.clients().count(), 1);
    assert_eq!(
        world.ask(1, at(Method::Post, &old, &[])).code,
        Code::NOT_FOUND
    );
    assert_eq!(
        world.ask(2, at(Method::Post, &new, &[])).code,
        Code::CHANGED
    );
}

#[test]
fn the_address_follows_the_update() {
    let (mut world, location) = World::registered();
    assert_eq!(
        world.ask(2, at(Method::Post, &location, &[])).code,
        Code::CHANGED
    );
    let client = world.server.client("cab-17").expect("registered");
    assert_eq!(client.address, address(2));
}

#[test]
fn a_version_it_does_not_know_gets_4_12() {
    let options = ServerOptions {
        versions: vec!["1.0".to_owned()],
        ..ServerOptions::default()
    };
    let mut world = World::with(options);
    let response = world.ask(1, register("cab-17", &[]));
    assert_eq!(response.code, Code::PRECONDITION_FAILED);
    assert_eq!(world.server.clients().count(), 0);
    let line = &world.server.log(0)[0];
    assert_eq!(
        (line.operation, line.code_text().as_str()),
        ("Register", "4.12")
    );
}

#[test]
fn a_register_that_breaks_the_rules_gets_4_00() {
    let good = || register("cab-17", &[]);
    let with_queries = |queries: &[&str]| at_rd(queries, good().payload);
    let with_list = |list: &str| Request {
        payload: list.as_bytes().to_vec(),
        ..good()
    };
    let cases = [
        ("no name", with_queries(&["lwm2m=1.1"])),
        ("an empty name", with_queries(&["ep=", "lwm2m=1.1"])),
        ("no version", with_queries(&["ep=a"])),
        (
            "a version of three parts",
            with_queries(&["ep=a", "lwm2m=1.1.1"]),
        ),
        ("a lifetime in words", register("a", &["lt=long"])),
        ("a negative lifetime", register("a", &["lt=-1"])),
        ("two lifetimes", register("a", &["lt=1", "lt=1"])),
        ("a binding of no letter", register("a", &["b=X"])),
        ("queue mode with a value", register("a", &["Q=1"])),
        ("no list", with_list("")),
        ("half a list", with_list("</1/0>,<")),
        ("a list of text", with_list("hello")),
        ("a list of a root only", with_list("</>;rt=\"oma.lwm2m\"")),
        ("a list with keys", with_list("</0/0>,</3/0>")),
        ("a list of resources", with_list("</3/0/1>")),
        (
            "a list of another format",
            Request {
                content_format: Some(0),
                ..good()
            },
        ),
        (
            "not confirmable",
            Request {
                reliability: Reliability::NonConfirmable,
                ..good()
            },
        ),
    ];
    for (what, request) in cases {
        let mut world = World::new();
        let response = world.ask(1, request);
        assert_eq!(response.code, Code::BAD_REQUEST, "{what}");
        assert!(!response.payload.is_empty(), "{what}: no reason");
        assert_eq!(world.server.clients().count(), 0, "{what}");
    }
}

fn at_rd(queries: &[&str], payload: Vec<u8>) -> Request {
    Request {
        content_format: Some(40),
        payload,
        ..at(Method::Post, &["rd".to_owned()], queries)
    }
}

#[test]
fn what_is_not_there_is_4_04_and_what_cannot_be_done_4_05() {
    let (mut world, location) = World::registered();
    let mut code = |method, path: &[&str]| {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        world.ask(1, at(method, &path, &[])).code
    };
    assert_eq!(code(Method::Post, &["bs"]), Code::NOT_FOUND);
    assert_eq!(code(Method::Post, &["dq"]), Code::NOT_FOUND);
    assert_eq!(code(Method::Post, &["rd", "nobody"]), Code::NOT_FOUND);
    let joined = location.join("/");
    assert_eq!(code(Method::Post, &[&joined]), Code::NOT_FOUND);
    assert_eq!(
        code(Method::Get, &["rd", &location[1]]),
        Code::METHOD_NOT_ALLOWED
    );
}

#[test]
fn a_large_list_comes_block_by_block() {
    let mut world = World::new();
    let list: Vec<String> = (0..2000).map(|n| format!("</3303/{n}>")).collect();
    let request = Request {
        payload: list.join(",").into_bytes(),
        ..register("cab-17", &[])
    };
    assert_eq!(world.ask(1, request).code, Code::CREATED);
    let client = world.server.client("cab-17").expect("registered");
    assert_eq!(client.links.len(), 2000);
}

#[test]
fn an_alternative_root_stands_in_front_of_every_path() {
    let mut world = World::new();
    let request = Request {
        payload: b"</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/3/0>".to_vec(),
        ..register("cab-17", &[])
    };
    assert_eq!(world.ask(1, request).code, Code::CREATED);
    let client = world.server.client("cab-17").expect("registered");
    let paths: Vec<Path> = client.paths().collect();
    assert_eq!(
        paths,
        ["/", "/3/0"].map(|path| path.parse().expect("a path"))
    );
    let read = lamplighter_sim::server::Operation::Read("/3/0/0".parse().expect("a path"), None);
    let (_, request) = world.order(&read);
    assert_eq!(request.path, ["lwm2m", "3", "0", "0"]);
}
