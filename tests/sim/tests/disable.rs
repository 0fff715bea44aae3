use std::time::Duration;

use lamplighter_coap::Code;
use lamplighter_lwm2m::server::ServerState;
use lamplighter_model::Value;
use lamplighter_sim::server::Operation;
use lamplighter_sim_tests::world::World;

use crate::town::{BOX, HOUR, MAIN, ask, is_registered, is_well, path, registered, write};

/// Disables the box for ten minutes; when that began.
fn disable(world: &mut World) -> Duration {
    assert_eq!(
        ask(world, &write("/1/0/5", Value::Integer(600))).code,
        Code::CHANGED
    );
    let begun = world.now;
    let disable = Operation::Execute(path("/1/0/4"), String::new());
    assert_eq!(ask(world, &disable).code, Code::CHANGED);
    world.wait(Duration::from_secs(6));
    assert_eq!(world.cabinet(BOX).state(MAIN), Some(ServerState::Disabled));
    assert!(!world.is_registered(MAIN, BOX));
    world.silence(BOX, MAIN, begun + Duration::from_secs(600));
    begun
}

#[test]
fn a_disabled_box_is_silent_until_the_end_and_comes_back() {
    let mut world = registered(1);
    let begun = disable(&mut world);
    assert!(world.until(2 * HOUR, |world| is_registered(world, MAIN, BOX)));
    let away = world.now - begun;
    assert!(away >= Duration::from_secs(600), "{away:?}");
    // Design: the return is spread over a quarter of the time.
    assert!(away <= Duration::from_secs(600 + 150 + 1), "{away:?}");
    is_well(&world);
}

#[test]
fn a_power_cut_does_not_end_the_silence() {
    for off in [5, 700] {
        let mut world = registered(2);
        let begun = disable(&mut world);
        world.wait(Duration::from_secs(100));
        world.cut_power(BOX, Duration::from_secs(off));
        assert!(world.until(2 * HOUR, |world| is_registered(world, MAIN, BOX)));
        let away = world.now - begun;
        assert!(away >= Duration::from_secs(600), "{away:?}");
        assert!(away <= Duration::from_secs(850), "{away:?}");
        is_well(&world);
    }
}

#[test]
fn a_disable_that_was_confirmed_holds_after_a_cut_between_any_two_outputs() {
    for outputs in 1..8 {
        let mut world = registered(3);
        ask(&mut world, &write("/1/0/5", Value::Integer(600)));
        world.wait(Duration::from_secs(1));
        let asked = world.now;
        world.light_fuse(BOX, outputs, Duration::from_secs(1));
        let disable = Operation::Execute(path("/1/0/4"), String::new());
        let answer = world.ask(MAIN, BOX, &disable);
        if answer.is_ok_and(|answer| answer.code == Code::CHANGED) {
            world.silence(BOX, MAIN, asked + Duration::from_secs(600));
        }
        world.put_out_fuse(BOX);
        world.wait(Duration::from_secs(1_000));
        assert_eq!(world.verdict(), None, "after {outputs} outputs");
    }
}
