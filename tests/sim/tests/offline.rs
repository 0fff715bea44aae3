use std::time::Duration;

use lamplighter_sim_tests::{devices::TEMPERATURE, world::Loss};

use crate::town::{BOX, HOUR, MAIN, MINUTE, is_registered, is_well, numbers, path, registered};

#[test]
fn a_box_that_was_away_for_longer_than_its_lifetime_registers_again() {
    for loss in [Loss::Told, Loss::Silent] {
        let mut world = registered(1);
        world.watch(MAIN, BOX, path("/3303/0/5700"));
        world.wait(MINUTE);
        world.lose_bearer(BOX, loss);
        for _ in 0..60 {
            world.sample(BOX, TEMPERATURE);
            world.wait(MINUTE);
        }
        assert!(!world.is_registered(MAIN, BOX), "{loss:?}");
        world.restore_bearer(BOX);
        let back = world.until(2 * HOUR, |world| is_registered(world, MAIN, BOX));
        assert!(back, "{loss:?}");
        world.wait(2 * MINUTE);
        let told = numbers(&world.host(MAIN).told, "/3303/0/5700");
        for number in 1..=60 {
            let times = told.iter().filter(|told| **told == f64::from(number));
            // The last stands in the answer to the new Observe, too.
            let allowed = 1..=if number == 60 { 2 } else { 1 };
            let times = times.count();
            assert!(allowed.contains(&times), "{loss:?}: {number} of {told:?}");
        }
        is_well(&world);
    }
}

#[test]
fn a_short_interruption_costs_no_registration() {
    let mut world = registered(2);
    let registered_at = |world: &lamplighter_sim_tests::world::World| {
        world
            .host(MAIN)
            .lw
            .client("box-0000")
            .unwrap()
            .registered_at
    };
    let before = registered_at(&world);
    world.lose_bearer(BOX, Loss::Told);
    world.wait(Duration::from_secs(40));
    world.restore_bearer(BOX);
    world.wait(Duration::from_secs(300));
    assert!(is_registered(&world, MAIN, BOX));
    assert_eq!(registered_at(&world), before);
    is_well(&world);
}
