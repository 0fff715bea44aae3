use std::time::Duration;

use lamplighter_coap::Code;
use lamplighter_sim_tests::cabinet::Settings;

use crate::town::{BOX, MAIN, MINUTE, ask, is_well, read, registered_with};

#[test]
fn what_is_asked_of_a_sleeping_box_is_answered_with_its_next_update() {
    let settings = Settings {
        queue_mode: true,
        ..Settings::default()
    };
    let mut world = registered_with(settings, 1);
    let client = world.host(MAIN).lw.client("box-0000").unwrap();
    assert!(client.is_sleepy());
    // Awake, it answers at once.
    assert!(ask(&mut world, &read("/3/0/0")).took < Duration::from_secs(1));
    world.wait(2 * MINUTE);
    let updates = |world: &lamplighter_sim_tests::world::World| {
        world.host(MAIN).lw.client("box-0000").unwrap().updates
    };
    let before = updates(&world);
    let answer = ask(&mut world, &read("/3/0/0"));
    assert_eq!(answer.code, Code::CONTENT);
    assert_eq!(updates(&world), before + 1);
    assert_eq!(world.cabinet(BOX).devices.written.len(), 0);
    is_well(&world);
}
