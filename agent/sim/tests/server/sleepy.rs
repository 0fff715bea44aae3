use lamplighter_coap::{Code, Method, Response};
use lamplighter_model::Path;
use lamplighter_sim::server::{Operation, RequestError, RequestId, ServerEvent, ServerOptions};

use crate::world::{World, at, register};

fn read() -> Operation {
    Operation::Read("/3303/0/5700".parse::<Path>().expect("a path"), None)
}

/// With a client in queue mode, registered with these parameters, that has fallen asleep.
fn asleep(queries: &[&str]) -> (World, Vec<String>) {
    let mut world = World::new();
    let response = world.ask(1, register("cab-17", queries));
    assert_eq!(response.code, Code::CREATED);
    world.seconds(94);
    world.events.clear();
    (world, response.location_path)
}

fn order(world: &mut World) -> RequestId {
    let now = world.now;
    let id = world.server.request("cab-17", &read(), now).expect("taken");
    world.run(crate::world::address(1));
    id
}

#[test]
fn what_is_asked_of_a_sleeping_client_waits_until_it_says_something() {
    for queries in [&["Q"][..], &["b=UQ"]] {
        let (mut world, location) = asleep(queries);
        let id = order(&mut world);
        world.seconds(60);
        assert!(world.asked.is_empty(), "{queries:?}");
        let update = at(Method::Post, &location, &[]);
        assert_eq!(world.ask(1, update).code, Code::CHANGED);
        assert_eq!(world.asked.len(), 1, "{queries:?}");
        world.reply(Response::content(Code::CONTENT, 0, b"3".to_vec()));
        let last = world.events.pop();
        assert!(matches!(last, Some(ServerEvent::Answered(of, ..)) if of == id));
        // It listens now.
        order(&mut world);
        assert_eq!(world.asked.len(), 1, "{queries:?}");
    }
}

#[test]
fn what_waits_for_a_client_ends_with_its_registration() {
    let (mut world, location) = asleep(&["Q"]);
    let id = order(&mut world);
    let leave = at(Method::Delete, &location, &[]);
    assert_eq!(world.ask(1, leave).code, Code::DELETED);
    let gone = ServerEvent::Failed(id, "cab-17".into(), RequestError::Gone);
    assert!(world.events.contains(&gone), "{:?}", world.events);
    assert!(world.asked.is_empty());
}

#[test]
fn a_restart_forgets_who_is_registered_and_never_uses_a_name_twice() {
    let (mut world, location) = World::registered();
    let before = order(&mut world);
    let now = world.now;
    let options = ServerOptions {
        seed: 2,
        versions: vec!["1.1".to_owned()],
        ..ServerOptions::default()
    };
    world.server.restart(options, now);
    assert_eq!(world.server.clients().count(), 0);
    world.run(crate::world::address(1));
    let gone = ServerEvent::Failed(before, "cab-17".into(), RequestError::Gone);
    assert_eq!(world.events, [gone]);
    let update = at(Method::Post, &location, &[]);
    assert_eq!(world.ask(1, update).code, Code::NOT_FOUND);
    let again = world.ask(1, register("cab-17", &[]));
    assert_eq!(again.code, Code::CREATED);
    assert_ne!(again.location_path, location);
    let after = order(&mut world);
    assert!(after > before);
}
