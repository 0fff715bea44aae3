//! Ways to the server: pings, replaced links, what a path carries.

use std::time::Duration;

use lamplighter_coap::{Code, Request, Response};
use lamplighter_lwm2m::{
    boundary::{Command, Input, LinkEvent, LinkId},
    server::ServerState,
};
use lamplighter_model::{
    ResourceAddress, Value,
    device::{Answer, Declaration, Declared, DeviceEvent},
    object::Operations,
};

use crate::common::{SSID, TEMPERATURE, World, accept_all, config, get, segments};

const NEW: LinkId = LinkId::of_shell(1);

fn state(world: &World) -> ServerState {
    world.client.servers().next().expect("a server").state
}

fn updates(world: &World) -> usize {
    world.times(&["rd", "5a3f"]).len()
}

/// A better link stands ready; the one before.
fn replace(world: &mut World, new: LinkId) -> LinkId {
    let old = world.link.replace(new).expect("a link");
    world.input(Input::Link(old, LinkEvent::Replacement(new)));
    old
}

fn refuse(_: &Request) -> Option<Response> {
    Some(Response::new(Code::FORBIDDEN))
}

/// So many more instances.
fn declare(world: &mut World, instances: std::ops::Range<u16>) {
    let declare = |instance| Declaration {
        address: ResourceAddress::gateway(3303, instance, 5700),
        operations: Operations::R,
    };
    world.input(Input::Device(DeviceEvent::Declared(Declared {
        added: instances.map(declare).collect(),
        removed: Vec::new(),
    })));
}

#[test]
fn a_ping_is_heard_and_changes_nothing_else() {
    let mut world = World::registered();
    world.seconds(50);
    let before = (world.sent.len(), world.requests.len());
    world.input(Input::Command(Command::Ping));
    assert_eq!(world.client.heard(), Some(world.now));
    assert_eq!(world.client.awaited(), None);
    assert_eq!(before.0 + 1, world.sent.len());
    assert_eq!(before.1, world.requests.len());
}

#[test]
fn a_ping_without_an_answer_has_no_effect_on_the_registration() {
    let mut world = World::registered();
    world.seconds(50);
    let heard = world.client.heard();
    world.lossy = true;
    let begun = world.now;
    for _ in 0..30 {
        world.input(Input::Command(Command::Ping));
    }
    assert_eq!(world.client.awaited(), Some(begun));
    world.seconds(90);
    assert_eq!(world.client.heard(), heard);
    assert_eq!(state(&world), ServerState::Registered);
    assert_eq!((world.opened.len(), updates(&world)), (1, 0));
    world.seconds(10);
    assert_eq!(world.client.awaited(), None);
    assert!(world.sent.len() <= 6 + 1, "{:?}", world.sent);
}

#[test]
fn what_is_under_way_is_not_pinged_besides() {
    let mut world = World::registered();
    world.lossy = true;
    world.input(Input::Command(Command::Update(SSID)));
    let before = world.sent.len();
    world.input(Input::Command(Command::Ping));
    assert_eq!(world.sent.len(), before);
    assert_eq!(world.client.awaited(), Some(world.now));
}

#[test]
fn nobody_is_pinged_who_is_not_registered_with() {
    let mut world = World::registered();
    world.input(Input::Command(Command::Deregister(None)));
    let before = world.sent.len();
    world.input(Input::Command(Command::Ping));
    assert_eq!(world.sent.len(), before);
    assert_eq!(world.client.heard(), None);
}

#[test]
fn a_way_that_is_there_again_ends_the_wait_of_who_heard_nothing() {
    let mut world = World::new(config(), Vec::new(), accept_all);
    world.lossy = true;
    world.seconds(4000);
    let (opened, now) = (world.opened.len(), world.now);
    assert_eq!(state(&world), ServerState::Offline);
    world.lossy = false;
    world.input(Input::PathUp);
    assert_eq!(world.opened.len(), opened + 1);
    assert_eq!(state(&world), ServerState::Registered);
    assert_eq!(world.client.heard(), Some(now));
}

#[test]
fn a_way_that_is_there_again_ends_the_wait_for_a_link() {
    let mut world = World::registered();
    world.links_work = false;
    let link = world.link.unwrap();
    world.input(Input::Link(link, LinkEvent::Down("cable out".to_owned())));
    world.seconds(100);
    let opened = world.opened.len();
    world.links_work = true;
    world.input(Input::PathUp);
    assert_eq!(world.opened.len(), opened + 1);
    assert_eq!(updates(&world), 1, "the registration lives on");
}

#[test]
fn another_way_is_nothing_to_who_was_refused_or_has_left() {
    let mut world = World::new(config(), Vec::new(), refuse);
    world.run();
    let opened = world.opened.len();
    world.input(Input::PathUp);
    assert_eq!(world.opened.len(), opened);
    let mut world = World::registered();
    world.input(Input::PathUp);
    assert_eq!((world.opened.len(), updates(&world)), (1, 0));
    world.input(Input::Command(Command::Deregister(None)));
    world.input(Input::PathUp);
    assert_eq!(world.opened.len(), 1);
    assert_eq!(state(&world), ServerState::Left);
}

#[test]
fn a_disabled_server_is_left_alone_whatever_ways_there_are() {
    let mut world = World::registered();
    world.execute("/1/0/4", "");
    world.seconds(10);
    assert_eq!(state(&world), ServerState::Disabled);
    let before = world.sent.len();
    world.input(Input::PathUp);
    world.input(Input::Command(Command::Ping));
    world.seconds(10);
    assert_eq!((world.opened.len(), world.sent.len()), (1, before));
}

#[test]
fn the_former_link_is_used_again_where_the_new_one_breaks_before_an_answer() {
    let mut world = World::registered();
    world.lossy = true;
    let old = replace(&mut world, NEW);
    assert!(world.closed.is_empty());
    world.seconds(1);
    world.lossy = false;
    world.link = Some(old);
    let down = LinkEvent::Down("cable out".to_owned());
    world.input(Input::Link(NEW, down));
    assert_eq!(world.closed, [NEW]);
    assert_eq!(updates(&world), 1, "over the former link");
    assert_eq!((world.link, world.opened.len()), (Some(old), 1));
    world.seconds(100);
    assert_eq!(
        (updates(&world), state(&world)),
        (1, ServerState::Registered)
    );
}

#[test]
fn after_the_answer_the_former_link_is_closed_and_a_break_opens_another() {
    let mut world = World::registered();
    let old = replace(&mut world, NEW);
    assert_eq!(world.closed, [old]);
    world.input(Input::Link(NEW, LinkEvent::Down("cable out".to_owned())));
    world.seconds(1);
    assert_eq!(world.opened.len(), 2);
    assert_eq!(updates(&world), 2);
}

#[test]
fn the_server_is_listened_to_over_the_former_link_until_it_answers_over_the_new() {
    let mut world = World::registered();
    world.seconds(5);
    world.lossy = true;
    let old = replace(&mut world, NEW);
    world.server.request(get("/3/0/0"), world.now);
    let datagram = world.server.poll_transmit().unwrap();
    world.lossy = false;
    world.input(Input::Received(old, datagram));
    assert_eq!(world.responses.len(), 1);
    assert_eq!(world.client.heard(), None, "not over the new one");
    world.seconds(3);
    assert_eq!(world.closed, [old]);
    assert!(world.client.heard().is_some());
}

#[test]
fn of_two_links_in_a_row_the_one_that_has_worked_stays_open() {
    let mut world = World::registered();
    world.lossy = true;
    let old = replace(&mut world, NEW);
    let newer = LinkId::of_shell(2);
    replace(&mut world, newer);
    assert_eq!(world.closed, [NEW]);
    world.lossy = false;
    world.seconds(5);
    assert_eq!(world.closed, [NEW, old]);
    assert_eq!(updates(&world), 1);
}

#[test]
fn a_link_that_replaces_one_that_is_gone_is_closed() {
    let mut world = World::registered();
    let stale = LinkId(4711);
    world.input(Input::Link(stale, LinkEvent::Replacement(NEW)));
    assert_eq!(world.closed, [NEW]);
    world.lossy = true;
    world.input(Input::Command(Command::Deregister(None)));
    let link = world.link.unwrap();
    let newer = LinkId::of_shell(2);
    world.input(Input::Link(link, LinkEvent::Replacement(newer)));
    assert_eq!(world.closed, [NEW, newer], "farewells stay where they are");
}

#[test]
fn over_a_new_link_nothing_stored_leaves_before_the_answer() {
    let mut world = World::registered();
    world.lossy = true;
    replace(&mut world, NEW);
    let before = world.sent.len();
    let send = |world: &mut World, n: f64| {
        world.sample(TEMPERATURE, Value::Float(n));
        world.seconds(1);
    };
    send(&mut world, 1.0);
    assert_eq!(world.sent.len(), before);
    world.lossy = false;
    world.seconds(5);
    let (_, first) = &world.requests[1];
    assert_eq!(first.path, segments("/rd/5a3f"));
}

#[test]
fn a_path_with_smaller_packets_gets_smaller_blocks_for_all() {
    let mut world = World::registered();
    let link = world.link.unwrap();
    world.input(Input::Link(link, LinkEvent::MtuShrunk(576)));
    world.largest = 0;
    declare(&mut world, 10..300);
    world.seconds(5);
    let (_, update) = world.requests.last().unwrap();
    assert!(update.payload.len() > 2000);
    assert!(
        world.largest > 256 && world.largest < 400,
        "{}",
        world.largest
    );
    world.largest = 0;
    let response = world.get("/1");
    assert!(response.code.is_success());
    assert!(world.largest < 400, "{}", world.largest);
    world.input(Input::Link(link, LinkEvent::MtuShrunk(1500)));
    world.largest = 0;
    declare(&mut world, 300..400);
    world.seconds(5);
    assert!(world.largest < 400, "what was learned stays with the link");
    replace(&mut world, NEW);
    declare(&mut world, 400..500);
    world.seconds(5);
    assert!(world.largest > 1024, "{}", world.largest);
}

#[test]
fn a_hole_for_large_datagrams_is_gone_round() {
    let mut world = World::registered();
    world.hole = 650;
    world.largest = 0;
    let begun = world.now;
    declare(&mut world, 10..300);
    world.seconds(20);
    assert_eq!(updates(&world), 1);
    assert!(world.times(&["rd", "5a3f"])[0] - begun < Duration::from_secs(12));
    assert!(world.largest > 512, "{}", world.largest);
    assert_eq!(
        (world.opened.len(), state(&world)),
        (1, ServerState::Registered)
    );
}

#[test]
fn an_answer_that_a_hole_swallows_is_given_in_smaller_blocks() {
    let mut world = World::registered();
    declare(&mut world, 10..100);
    for instance in 10..100 {
        let address = ResourceAddress::gateway(3303, instance, 5700);
        world.sample(address, Value::Float(20.5));
    }
    world.seconds(5);
    world.hole = 650;
    world.request(get("/3303"));
    while !world.device.is_empty() {
        world.done(Ok(Answer::default()));
    }
    assert!(world.responses.is_empty());
    world.seconds(20);
    let (_, response) = world.responses.last().expect("an answer");
    assert_eq!(response.code, Code::CONTENT);
    assert!(response.payload.len() > 650);
}

#[test]
fn a_notification_that_a_hole_swallows_is_told_in_smaller_blocks() {
    let mut world = World::registered();
    declare(&mut world, 10..100);
    let address = |instance| ResourceAddress::gateway(3303, instance, 5700);
    for instance in 10..100 {
        world.sample(address(instance), Value::Float(20.5));
    }
    world.put("/1/0/26", "1");
    world.request(Request {
        observe: Some(0),
        ..get("/3303")
    });
    while !world.device.is_empty() {
        world.done(Ok(Answer::default()));
    }
    world.seconds(100);
    world.hole = 650;
    world.sample(address(50), Value::Float(21.5));
    assert!(world.notifications.is_empty());
    world.seconds(10);
    assert!(!world.notifications.is_empty());
    assert!(world.kept.is_empty(), "nobody doubts that it has arrived");
    assert_eq!(state(&world), ServerState::Registered);
}
