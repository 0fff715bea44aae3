use lamplighter_sim::server::ServerOptions;
use lamplighter_sim_tests::{
    cabinet::Settings,
    network::Weather,
    world::{ServerId, World},
};

use crate::town::{BOX, HOUR, MAIN, MINUTE, is_registered, is_well};

const OTHER: ServerId = ServerId(1);

#[test]
fn servers_do_not_hinder_each_other() {
    let mut world = World::new(1);
    world.add_server(ServerOptions::default());
    world.add_server(ServerOptions::default());
    world.host_mut(OTHER).is_up = false;
    let settings = Settings {
        servers: vec![MAIN, OTHER],
        ..Settings::default()
    };
    world.add_box(settings, Weather::FAIR);
    assert!(world.until(MINUTE, |world| is_registered(world, MAIN, BOX)));
    world.wait(HOUR);
    assert!(is_registered(&world, MAIN, BOX));
    world.host_mut(OTHER).is_up = true;
    assert!(world.until(2 * HOUR, |world| is_registered(world, OTHER, BOX)));
    world.reboot_server(MAIN);
    assert!(world.until(10 * MINUTE, |world| is_registered(world, MAIN, BOX)));
    assert!(is_registered(&world, OTHER, BOX));
    is_well(&world);
}
