use std::time::Duration;

use lamplighter_coap::Code;
use lamplighter_sim::server::{CancelMode, Operation};
use lamplighter_sim_tests::devices::TEMPERATURE;

use crate::town::{BOX, MAIN, ask, is_registered, is_well, numbers, path, registered};

#[test]
fn a_change_is_told_at_once_and_in_order() {
    let mut world = registered(1);
    world.host_mut(MAIN).watched = vec![path("/3303/0/5700")];
    world.reboot_server(MAIN);
    assert!(world.until(Duration::from_secs(400), |world| {
        is_registered(world, MAIN, BOX) && world.host(MAIN).is_observed(BOX, path("/3303/0/5700"))
    }));
    world.host_mut(MAIN).told.clear();
    for _ in 0..10 {
        let changed = world.now;
        world.sample(BOX, TEMPERATURE);
        world.wait(Duration::from_secs(1));
        let told = world.host(MAIN).told.last().unwrap();
        // One way through the network.
        assert!(told.at - changed <= Duration::from_millis(40));
    }
    let told = numbers(&world.host(MAIN).told, "/3303/0/5700");
    let expected: Vec<f64> = (1..=10).map(f64::from).collect();
    assert_eq!(told, expected);
    is_well(&world);
}

#[test]
fn pmin_and_pmax_hold() {
    let mut world = registered(2);
    let temperature = path("/3303/0/5700");
    let attributes = vec!["pmin=10".to_owned(), "pmax=60".to_owned()];
    let answer = ask(
        &mut world,
        &Operation::WriteAttributes(temperature, attributes),
    );
    assert_eq!(answer.code, Code::CHANGED);
    let observe = Operation::Observe(temperature, None);
    let id = world.request(MAIN, BOX, &observe).unwrap();
    world.wait(Duration::from_secs(1));
    let notified = |world: &lamplighter_sim_tests::world::World| {
        let events = world.host(MAIN).events.iter();
        events
            .filter(|(_, event)| {
                matches!(event, lamplighter_sim::server::ServerEvent::Notified(of, ..) if *of == id)
            })
            .count()
    };
    for _ in 0..5 {
        world.sample(BOX, TEMPERATURE);
        world.wait(Duration::from_secs(1));
    }
    world.wait(Duration::from_secs(15));
    assert_eq!(notified(&world), 1, "pmin");
    world.wait(Duration::from_secs(185));
    assert_eq!(notified(&world), 4, "pmax");
    let now = world.now;
    let cancelled = world.host_mut(MAIN).lw.cancel(id, CancelMode::Reset, now);
    assert_eq!(cancelled, Ok(None));
    world.wait(Duration::from_secs(70));
    let before = world.carried().delivered;
    world.sample(BOX, TEMPERATURE);
    world.wait(Duration::from_secs(20));
    assert_eq!(world.carried().delivered, before, "a reset ends it");
    is_well(&world);
}
