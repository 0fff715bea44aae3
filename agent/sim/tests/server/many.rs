use std::time::Duration;

use lamplighter_coap::{Code, Method};
use lamplighter_sim::server::ServerEvent;

use crate::world::{World, address, at, register};

const CLIENTS: u16 = 1_000;

#[test]
fn the_cost_of_a_thousand_clients_is_that_of_what_they_say() {
    let mut world = World::new();
    let locations: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let response = world.ask(n, register(&format!("c{n}"), &["lt=3600"]));
            assert_eq!(response.code, Code::CREATED);
            response.location_path
        })
        .collect();
    assert_eq!(world.server.clients().count(), 1_000);
    let registered = world.server.counters();
    assert_eq!(registered.datagrams_in, 1_000);
    assert_eq!(registered.peers_touched, 1_000);

    // Nobody says anything: an hour of looks at the clock touches only what is to be forgotten.
    for minute in 0..50 {
        let now = world.now + Duration::from_secs(60 * minute);
        world.server.handle_timeout(now);
    }
    world.now += Duration::from_secs(60 * 49);
    let idle = world.server.counters();
    assert!(
        idle.peers_touched - registered.peers_touched <= 2_000,
        "{idle:?}"
    );
    for _ in 0..1000 {
        world.server.handle_timeout(world.now);
    }
    assert_eq!(world.server.counters(), idle, "looking costs");

    for (n, location) in (0..CLIENTS).zip(&locations) {
        let response = world.ask(n, at(Method::Post, location, &[]));
        assert_eq!(response.code, Code::CHANGED);
    }
    let updated = world.server.counters();
    assert_eq!(updated.peers_touched - idle.peers_touched, 1_000);
    assert_eq!(updated.datagrams_out, 2_000);

    // All but one fall silent; each ends once, at its own time.
    world.events.clear();
    world.now += Duration::from_secs(3_000);
    world.ask(7, at(Method::Post, &locations[7], &[]));
    world
        .server
        .handle_timeout(world.now + Duration::from_secs(700));
    world.run(address(7));
    let expired = world.events.iter();
    let expired = expired.filter(|event| matches!(event, ServerEvent::Expired(_)));
    assert_eq!(expired.count(), 999);
    assert_eq!(world.server.clients().count(), 1);
}
