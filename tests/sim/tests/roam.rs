use std::time::Duration;

use lamplighter_sim_tests::{devices::TEMPERATURE, network::Weather};

use crate::town::{BOX, MAIN, MINUTE, is_registered, is_well, numbers, path, registered};

#[test]
fn an_address_that_changes_is_told_with_the_next_update() {
    let mut world = registered(1);
    let temperature = path("/3303/0/5700");
    let address = |world: &lamplighter_sim_tests::world::World| {
        world.host(MAIN).lw.client("box-0000").unwrap().address
    };
    let before = address(&world);
    world.host_mut(MAIN).watched = vec![temperature];
    world.rebind(BOX);
    assert!(world.until(5 * MINUTE, |world| address(world) != before));
    assert!(is_registered(&world, MAIN, BOX));
    is_well(&world);
}

#[test]
fn a_new_path_is_taken_by_an_update_over_it() {
    let mut world = registered(2);
    let before = world.host(MAIN).lw.client("box-0000").unwrap().clone();
    world.roam(BOX);
    world.wait(Duration::from_secs(2));
    let after = world.host(MAIN).lw.client("box-0000").unwrap();
    assert_ne!(after.address, before.address);
    assert_eq!(after.registered_at, before.registered_at);
    is_well(&world);
}

#[test]
fn a_nat_that_forgets_costs_no_more_than_what_is_said_meanwhile() {
    let mut world = registered(3);
    world.host_mut(MAIN).watched = vec![path("/3303/0/5700")];
    world.set_weather(
        BOX,
        Weather {
            nat_idle: Duration::from_secs(30),
            ..Weather::FAIR
        },
    );
    world.reboot_server(MAIN);
    for _ in 0..30 {
        world.wait(MINUTE);
        world.sample(BOX, TEMPERATURE);
    }
    world.wait(Duration::from_secs(1));
    assert!(is_registered(&world, MAIN, BOX));
    let told = numbers(&world.host(MAIN).told, "/3303/0/5700");
    assert!(!told.is_empty());
    assert!(told.is_sorted(), "{told:?}");
    is_well(&world);
}
