use std::time::Duration;

use lamplighter_coap::{Code, Method};
use lamplighter_sim::server::{LwServer, Misbehaviour, Refusal, ServerOptions};

use crate::world::{World, address, at, register};

#[test]
fn a_mute_server_hears_after_the_client_has_repeated_itself() {
    let mut world = World::new();
    world.server.misbehave(Misbehaviour::Mute(2));
    world.send(1, register("cab-17", &[]));
    assert_eq!(world.answered.len(), 0);
    world.seconds(20);
    assert_eq!(world.answered[0].1.code, Code::CREATED);
}

#[test]
fn answers_of_choice_are_given_once_and_without_effect() {
    let mut world = World::new();
    let busy = Refusal {
        code: Code::SERVICE_UNAVAILABLE,
        max_age: Some(30),
    };
    world.server.misbehave(Misbehaviour::Register(busy));
    let refused = world.ask(1, register("cab-17", &[]));
    assert_eq!(
        (refused.code, refused.max_age),
        (Code::SERVICE_UNAVAILABLE, Some(30))
    );
    assert_eq!(world.server.clients().count(), 0);
    let location = world.ask(1, register("cab-17", &[])).location_path;

    let unknown = Refusal::new(Code::NOT_FOUND);
    world.server.misbehave(Misbehaviour::Update(unknown));
    world.server.misbehave(Misbehaviour::Deregister(unknown));
    let mut code = |method| world.ask(1, at(method, &location, &[])).code;
    assert_eq!(code(Method::Post), Code::NOT_FOUND);
    assert_eq!(code(Method::Post), Code::CHANGED);
    assert_eq!(code(Method::Delete), Code::NOT_FOUND);
    assert_eq!(code(Method::Delete), Code::DELETED);
}

#[test]
fn an_answer_can_leave_twice() {
    let mut world = World::new();
    world.server.misbehave(Misbehaviour::AnswerTwice);
    world.ask(1, register("cab-17", &[]));
    assert_eq!(world.datagrams, 2);
}

#[test]
fn a_late_answer_to_register_is_acknowledged_first() {
    let mut world = World::new();
    let late = Misbehaviour::RegisterLate(Duration::from_secs(8));
    world.server.misbehave(late);
    world.send(1, register("cab-17", &[]));
    assert!(world.server.client("cab-17").is_some());
    world.seconds(7);
    assert_eq!((world.answered.len(), world.datagrams), (0, 1));
    world.seconds(2);
    assert_eq!(world.answered[0].1.code, Code::CREATED);
    assert_eq!(world.failed, 0);
    let line = &world.server.log(0)[0];
    assert_eq!(line.took, Duration::from_secs(8));
}

#[test]
fn a_forgotten_registration_is_unknown_without_a_word() {
    let (mut world, location) = World::registered();
    let now = world.now;
    assert!(world.server.forget("cab-17", now));
    assert!(!world.server.forget("cab-17", now));
    assert_eq!(world.events, []);
    assert_eq!(
        world.ask(1, at(Method::Post, &location, &[])).code,
        Code::NOT_FOUND
    );
}

#[test]
fn datagrams_of_any_content_from_anybody_cost_little() {
    let options = ServerOptions {
        max_strangers: 10,
        ..ServerOptions::default()
    };
    let mut server = LwServer::new(options);
    let mut now = Duration::ZERO;
    for n in 0..1000u16 {
        let noise: Vec<u8> = (0..n % 50).map(|byte| (byte * 7 + n) as u8).collect();
        server.handle_datagram(address(n), &noise, now);
        while server.poll_transmit().is_some() {}
    }
    assert_eq!(server.peers(), 10);
    for _ in 0..100 {
        let Some(due) = server.poll_timeout() else {
            break;
        };
        now = due;
        server.handle_timeout(now);
    }
    assert_eq!(server.poll_timeout(), None);
    assert_eq!(server.peers(), 0);
    assert!(
        server.counters().timers_due <= 30,
        "{:?}",
        server.counters()
    );
}
