//! Object 6: where the box is, is for its owner and for those whom the configuration names, in every
//! way in which a server can be told of it (design, 6, "Location").

use std::time::Duration;

use lamplighter_coap::Code;
use lamplighter_lwm2m::{
    boundary::{Command, Input, RequestId, SendRequest},
    format::ContentFormat,
};
use lamplighter_model::{ResourceAddress, Value};
use lamplighter_sim::server::{Operation, WriteMode};

use crate::{
    OWNER, acl, list,
    world::{A, B, Share, World, path, ssid},
};

const LATITUDE: ResourceAddress = ResourceAddress::gateway(6, 0, 0);
const LONGITUDE: ResourceAddress = ResourceAddress::gateway(6, 0, 1);

/// A box that knows where it is, and has told its servers what there is.
fn located(shares: &[Share<'_>]) -> World {
    let mut world = World::new(shares, &[]);
    world.declare(&[LATITUDE, LONGITUDE]);
    world.change(LATITUDE, 52.52);
    world.change(LONGITUDE, 13.4);
    world.seconds(10);
    world
}

fn world(other: Share<'_>) -> World {
    located(&[OWNER, other])
}

/// Paths of what a server is told by a Send of everything here.
fn sent(world: &mut World, server: usize, paths: &[&str]) -> Vec<String> {
    let request = SendRequest {
        paths: paths.iter().map(|text| path(text)).collect(),
        samples: Vec::new(),
        ssid: Some(ssid(server)),
        user: Some("anna".to_owned()),
    };
    world.input(Input::Command(Command::Send(RequestId(7), request)));
    world.sent(server)
}

fn composite(paths: &[&str]) -> Operation {
    let paths = paths.iter().map(|text| path(text)).collect();
    Operation::ReadComposite(paths, ContentFormat::SenmlCbor, None)
}

#[test]
fn only_the_owner_is_told_where_the_box_is() {
    for rights in [
        &[("*", "RWEDC")][..],
        &[("*", "R"), ("/3303", "RW")],
        &[("/3303", "R")],
    ] {
        let mut world = world((false, rights));
        assert!(world.listed(A).contains("/6/0"));
        assert!(!world.listed(B).contains("/6/0"), "Register, {rights:?}");
        for (text, code) in [
            ("/6", Code::NOT_FOUND),
            ("/6/0", Code::NOT_FOUND),
            ("/6/0/0", Code::NOT_FOUND),
        ] {
            let discovered = world.code(B, &Operation::Discover(path(text)));
            assert_eq!(discovered, code, "Discover {text}, {rights:?}");
            assert_eq!(
                world.code(A, &Operation::Discover(path(text))),
                Code::CONTENT
            );
        }
        for text in ["/6/0", "/6/0/0", "/6/0/1"] {
            assert_eq!(
                world.read(B, text).code,
                Code::UNAUTHORIZED,
                "Read {text}, {rights:?}"
            );
            let observed = world.code(B, &Operation::Observe(path(text), None));
            assert_eq!(observed, Code::UNAUTHORIZED, "Observe {text}, {rights:?}");
            assert_eq!(world.read(A, text).code, Code::CONTENT, "{text}");
        }
        // An object shows the instances that may be read (Core 1.2, 8.2.1).
        assert_eq!(world.read(B, "/6").nodes, []);
        assert_eq!(world.read(A, "/6").nodes.len(), 2);
        world.observe(B, "/6");
        world.change(LATITUDE, 48.0);
        world.seconds(120);
        assert_eq!(world.notified(B), [], "{rights:?}");
    }
}

#[test]
fn what_a_composite_or_a_send_covers_leaves_the_position_out() {
    let mut world = world((false, &[("*", "R")]));
    let answer = world.ask(B, &composite(&["/6/0", "/3303/0"]));
    assert_eq!(answer.code, Code::CONTENT);
    assert!(
        answer.nodes.iter().all(|node| node.path.object().0 == 3303),
        "{answer:?}"
    );
    assert_eq!(world.code(B, &composite(&["/6"])), Code::UNAUTHORIZED);
    let answer = world.ask(A, &composite(&["/6/0", "/3303/0"]));
    assert_eq!(answer.nodes.len(), 3);

    assert_eq!(sent(&mut world, A, &["/6/0", "/3303/0"]).len(), 3);
    let told = sent(&mut world, B, &["/6/0", "/3303/0"]);
    assert!(!told.iter().any(|path| path.starts_with("/6")), "{told:?}");
}

#[test]
fn a_server_that_the_configuration_names_is_told_too() {
    for pattern in ["/6", "/6/0"] {
        let mut world = world((false, &[("*", "R"), (pattern, "R")]));
        assert!(world.listed(B).contains("/6/0"));
        assert_eq!(world.read(B, "/6/0/0").value(), Some(&Value::Float(52.52)));
        world.observe(B, "/6/0/0");
        world.seconds(1);
        world.change(LATITUDE, 52.53);
        let told: Vec<(Duration, Value)> = world.notified(B);
        assert_eq!(told.len(), 1);
    }
}

#[test]
fn where_nobody_owns_the_box_nobody_is_told_by_the_way() {
    let reader: Share<'_> = (false, &[("*", "R")]);
    let mut world = located(&[reader, reader]);
    for server in [A, B] {
        assert!(!world.listed(server).contains("/6/0"));
        assert_eq!(world.read(server, "/6/0/0").code, Code::UNAUTHORIZED);
    }
}

#[test]
fn a_single_server_is_told() {
    let mut world = located(&[(false, &[])]);
    assert!(world.listed(A).contains("/6/0"));
    assert_eq!(world.read(A, "/6/0/0").value(), Some(&Value::Float(52.52)));
}

#[test]
fn what_the_owner_grants_and_takes_is_obeyed_at_once() {
    let mut world = world((false, &[("*", "R")]));
    let about = world.about(A, 6, 0).expect("an instance of object 2");
    assert_eq!(acl(&mut world, A, &about), [(ssid(A).0, 15)]);
    let grant = list(&about, WriteMode::Partial, &[(ssid(B).0, 1)]);
    assert_eq!(world.code(A, &grant), Code::CHANGED);
    world.seconds(10);
    assert!(world.listed(B).contains("/6/0"), "the Update lists it");
    world.observe(B, "/6/0/0");
    let take = list(&about, WriteMode::Partial, &[(ssid(B).0, 0)]);
    assert_eq!(world.code(A, &take), Code::CHANGED);
    world.seconds(10);
    assert!(!world.listed(B).contains("/6/0"));
    world.change(LATITUDE, 48.0);
    world.seconds(120);
    assert_eq!(world.notified(B), []);
    assert_eq!(world.read(B, "/6/0/0").code, Code::UNAUTHORIZED);
}

#[test]
fn a_position_of_ipso_is_as_much_the_owners() {
    let latitude = ResourceAddress::gateway(3336, 0, 6051);
    let mut world = World::new(&[OWNER, (false, &[("*", "RWEDC")])], &[]);
    world.declare(&[latitude]);
    world.change(latitude, 52.52);
    world.seconds(10);
    assert!(world.listed(A).contains("/3336/0"));
    assert!(!world.listed(B).contains("/3336/0"));
    assert_eq!(world.read(B, "/3336/0/6051").code, Code::UNAUTHORIZED);
    let discovered = world.code(B, &Operation::Discover(path("/3336")));
    assert_eq!(discovered, Code::NOT_FOUND);
}

/// Design, 6: a user change removes the former user's queued data.
#[test]
fn where_the_box_was_is_not_told_later_to_who_may_not_know_it_any_more() {
    for is_taken in [false, true] {
        let mut world = world((false, &[("*", "R"), ("/6", "R")]));
        world.observe(B, "/6/0/0");
        world.seconds(1);
        world.notified(B);
        world.silence(B, true);
        for step in 0..5 {
            world.change(LATITUDE, 50.0 + f64::from(step));
            world.seconds(60);
        }
        if is_taken {
            let about = world.about(A, 6, 0).expect("an instance of object 2");
            let take = list(&about, WriteMode::Partial, &[(ssid(B).0, 0)]);
            assert_eq!(world.code(A, &take), Code::CHANGED);
        }
        world.silence(B, false);
        world.seconds(2 * 3600);
        assert!(world.is_registered(B));
        let told = world.notified(B).len() + world.sent(B).len();
        assert_eq!(told == 0, is_taken, "{told}");
    }
}
