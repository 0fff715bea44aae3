//! One box and one server, as most scenarios have them.

use std::time::Duration;

use lamplighter_lwm2m::{
    format::{Content, ContentFormat},
    server::ServerState,
};
use lamplighter_model::{Path, Value};
use lamplighter_sim::server::{Answer, Operation, ServerOptions, WriteMode};
use lamplighter_sim_tests::{
    cabinet::Settings,
    host::Told,
    network::Weather,
    world::{BoxId, ServerId, World},
};

pub(crate) const BOX: BoxId = BoxId(0);
pub(crate) const MAIN: ServerId = ServerId(0);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn path(text: &str) -> Path {
    text.parse().unwrap()
}

pub(crate) fn read(text: &str) -> Operation {
    Operation::Read(path(text), Some(ContentFormat::SenmlCbor))
}

pub(crate) fn write(text: &str, value: Value) -> Operation {
    let format = ContentFormat::SenmlCbor;
    Operation::write_value(path(text), value, format, WriteMode::Replace).unwrap()
}

/// A box with these settings, registered at one server.
pub(crate) fn registered_with(settings: Settings, seed: u64) -> World {
    let mut world = World::new(seed);
    world.add_server(ServerOptions::default());
    let of = world.add_box(settings, Weather::FAIR);
    assert!(world.until(MINUTE, |world| is_registered(world, MAIN, of)));
    world.wait(Duration::from_secs(1));
    world
}

pub(crate) fn registered(seed: u64) -> World {
    registered_with(Settings::default(), seed)
}

/// By the word of both.
pub(crate) fn is_registered(world: &World, server: ServerId, of: BoxId) -> bool {
    let state = world.cabinet(of).state(server);
    world.is_registered(server, of) && state == Some(ServerState::Registered)
}

pub(crate) fn ask(world: &mut World, operation: &Operation) -> Answer {
    let answer = world.ask(MAIN, BOX, operation).unwrap();
    assert_eq!(world.verdict(), None);
    answer
}

/// Nothing was wrong.
pub(crate) fn is_well(world: &World) {
    assert_eq!(world.verdict(), None);
}

/// The numbers in what a server was told, in the order of arrival.
pub(crate) fn numbers(told: &[Told], of: &str) -> Vec<f64> {
    let nodes = told.iter().flat_map(|told| &told.nodes);
    nodes
        .filter(|node| node.path.to_string() == of)
        .filter_map(|node| match &node.content {
            Content::Single(value) => value.as_f64(),
            Content::Multiple(_) => None,
        })
        .collect()
}
