//! Who may do what where a bootstrap has made several servers (design, 6; lwm2m/20, 11).

use lamplighter_coap::{Code, Method, Request};
use lamplighter_lwm2m::{
    boundary::Command, client::ClientConfig, format::ContentFormat, server::ServerState,
};
use lamplighter_model::Value;

use crate::world::*;

fn zone(world: &mut World, host: &str) -> Code {
    let write = Request {
        content_format: Some(0),
        payload: b"UTC".to_vec(),
        ..request(Method::Put, "/3/0/15")
    };
    world.ask(host, write).code
}

fn begin(config: ClientConfig) -> World {
    let mut world = World::new(config);
    world.wait(1);
    world.command(Command::Bootstrap);
    world
}

/// Two servers in the place of what there was.
fn two() -> Vec<Request> {
    vec![
        request(Method::Delete, "/0"),
        request(Method::Delete, "/1"),
        security(1, 103, A),
        server(0, 103, 600),
        security(2, SSID_B, B),
        server(1, SSID_B, 600),
    ]
}

#[test]
fn two_servers_of_which_nobody_may_write_are_not_accepted() {
    let mut world = begin(config(&[(SSID_A, A)]));
    for request in two() {
        assert!(world.ask(BS, request).code.is_success());
    }
    let answer = world.ask(BS, finish());
    assert_eq!(answer.code, Code::NOT_ACCEPTABLE);
    let why = String::from_utf8(answer.payload).expect("a text");
    assert!(why.contains("102 and 103 may write"), "{why}");
    // The bootstrap server puts it right in the same session.
    let rights = [
        ("/2/0/0", Value::Integer(3)),
        ("/2/0/1", Value::Integer(0)),
        ("/2/0/2/102", Value::Integer(3)),
        ("/2/0/3", Value::Integer(102)),
    ];
    world.ask(BS, write("/2/0", &rights, ContentFormat::Tlv));
    assert_eq!(world.ask(BS, finish()).code, Code::CHANGED);
    world.wait(2);
    assert_eq!(zone(&mut world, B), Code::CHANGED);
    assert_eq!(zone(&mut world, A), Code::UNAUTHORIZED);
    // What was said of them goes on to count in the next.
    world.command(Command::Bootstrap);
    assert_eq!(world.ask(BS, finish()).code, Code::CHANGED);
    world.command(Command::Bootstrap);
    world.ask(BS, request(Method::Delete, "/2"));
    assert_eq!(world.ask(BS, finish()).code, Code::NOT_ACCEPTABLE);
}

#[test]
fn the_file_may_say_who_may_write() {
    let mut owned = config(&[(SSID_B, B)]);
    owned.servers[0].rights.owner = true;
    let mut world = begin(owned);
    for request in two() {
        assert!(world.ask(BS, request).code.is_success());
    }
    assert_eq!(world.ask(BS, finish()).code, Code::CHANGED);
    world.wait(2);
    assert_eq!(zone(&mut world, B), Code::CHANGED);
    assert_eq!(zone(&mut world, A), Code::UNAUTHORIZED);
}

#[test]
fn a_server_that_was_alone_and_stays_still_may_do_everything() {
    for is_written in [false, true] {
        let mut world = begin(config(&[(SSID_A, A)]));
        if is_written {
            world.ask(BS, server(0, SSID_A, 700));
        }
        for request in [security(2, SSID_B, B), server(1, SSID_B, 600), finish()] {
            assert!(world.ask(BS, request).code.is_success());
        }
        world.wait(2);
        for restarts in [false, true] {
            if restarts {
                world = world.restarted(config(&[(SSID_A, A)]), 5);
                world.wait(1);
            }
            assert_eq!(
                world.states(),
                [
                    (SSID_A, ServerState::Registered),
                    (SSID_B, ServerState::Registered)
                ]
            );
            assert_eq!(zone(&mut world, A), Code::CHANGED);
            assert_eq!(zone(&mut world, B), Code::UNAUTHORIZED);
        }
        // A third may come as well, until the owner goes.
        world.command(Command::Bootstrap);
        world.ask(BS, security(3, 103, A));
        world.ask(BS, server(2, 103, 600));
        assert_eq!(world.ask(BS, finish()).code, Code::CHANGED);
        world.wait(2);
        assert_eq!(zone(&mut world, B), Code::UNAUTHORIZED);
        let owners: Vec<String> = vec!["/0".to_owned(), "/1".to_owned()];
        world.command(Command::Bootstrap);
        for path in owners {
            world.ask(BS, request(Method::Delete, &path));
        }
        for request in two().split_off(2) {
            world.ask(BS, request);
        }
        assert_eq!(world.ask(BS, finish()).code, Code::NOT_ACCEPTABLE);
    }
}

/// The short id alone makes nobody the former server.
#[test]
fn another_server_with_the_same_id_is_not_the_former() {
    let mut world = begin(config(&[(SSID_A, A)]));
    for request in [
        request(Method::Delete, "/0"),
        request(Method::Delete, "/1"),
        security(1, SSID_A, B),
        server(0, SSID_A, 600),
        security(2, 103, A),
        server(1, 103, 600),
    ] {
        assert!(world.ask(BS, request).code.is_success());
    }
    assert_eq!(world.ask(BS, finish()).code, Code::NOT_ACCEPTABLE);
}
