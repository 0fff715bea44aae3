use std::time::Duration;

use lamplighter_coap::Code;
use lamplighter_lwm2m::boundary::Event;
use lamplighter_model::Value;
use lamplighter_sim_tests::devices::TEMPERATURE;

use crate::town::{
    BOX, HOUR, MAIN, MINUTE, ask, is_registered, is_well, path, read, registered, write,
};

#[test]
fn a_box_goes_on_with_an_update_after_a_power_cut_and_tells_on() {
    let mut world = registered(1);
    let temperature = path("/3303/0/5700");
    world.host_mut(MAIN).watched = vec![temperature];
    world.reboot_server(MAIN);
    let observed = |world: &lamplighter_sim_tests::world::World| {
        world.host(MAIN).is_observed(BOX, temperature)
    };
    assert!(world.until(10 * MINUTE, observed));
    // By now everything is on the disk.
    world.wait(2 * MINUTE);
    let registered_at = world
        .host(MAIN)
        .lw
        .client("box-0000")
        .unwrap()
        .registered_at;
    world.cut_power(BOX, Duration::from_secs(30));
    world.cabinet_mut(BOX).events.clear();
    assert!(world.until(5 * MINUTE, |world| {
        let events = &world.cabinet(BOX).events;
        events
            .iter()
            .any(|(_, event)| matches!(event, Event::Updated(_)))
    }));
    let client = world.host(MAIN).lw.client("box-0000").unwrap();
    assert_eq!(client.registered_at, registered_at);
    is_well(&world);
}

#[test]
fn what_a_server_wrote_is_old_or_new_after_a_cut_between_any_two_outputs() {
    for fuse in 1..12 {
        let mut world = registered(2);
        let before = world.now;
        world.light_fuse(BOX, fuse, Duration::from_secs(5));
        let answered = world.ask(MAIN, BOX, &write("/1/0/1", Value::Integer(120)));
        world.put_out_fuse(BOX);
        assert!(world.until(3 * HOUR, |world| is_registered(world, MAIN, BOX)));
        // The Update that tells the new address has to arrive.
        world.wait(Duration::from_secs(5));
        let answer = ask(&mut world, &read("/1/0/1"));
        let lifetime = answer.value().unwrap().clone();
        match answered {
            Ok(answer) if answer.code == Code::CHANGED => {
                assert_eq!(lifetime, Value::Integer(120), "fuse {fuse}");
            }
            Ok(_) | Err(_) => {
                let known = [Value::Integer(120), Value::Integer(300)];
                assert!(known.contains(&lifetime), "fuse {fuse}: {lifetime}");
            }
        }
        world.sample(BOX, TEMPERATURE);
        assert!(world.now > before);
        is_well(&world);
    }
}
