use std::time::Duration;

use lamplighter_coap::Code;
use lamplighter_lwm2m::{
    boundary::{Command, Event},
    format::ContentFormat,
};
use lamplighter_model::Value;
use lamplighter_sim::server::{Misbehaviour, Operation, Refusal, ServerEvent, ServerOptions};
use lamplighter_sim_tests::{cabinet::Settings, network::Weather, world::World};

use crate::town::{
    BOX, HOUR, MAIN, MINUTE, ask, is_registered, is_well, path, read, registered, write,
};

/// A box that has not registered yet, and a server that does this.
fn begun(act: Option<Misbehaviour>, options: ServerOptions) -> World {
    let mut world = World::new(7);
    world.add_server(options);
    world.add_box(Settings::default(), Weather::FAIR);
    if let Some(act) = act {
        world.host_mut(MAIN).lw.misbehave(act);
    }
    world
}

fn registers(world: &World) -> usize {
    let events = world.host(MAIN).events.iter();
    events
        .filter(|(_, event)| matches!(event, ServerEvent::Registered(_)))
        .count()
}

#[test]
fn a_box_registers_with_its_objects_and_updates_in_time() {
    let mut world = registered(1);
    let client = world.host(MAIN).lw.client("box-0000").unwrap();
    let paths: Vec<String> = client.paths().map(|path| path.to_string()).collect();
    for wanted in ["/1/0", "/3/0", "/3303/0", "/3308/0"] {
        assert!(
            paths.iter().any(|path| path == wanted),
            "{wanted}: {paths:?}"
        );
    }
    assert_eq!(client.lifetime, Duration::from_secs(300));
    world.wait(HOUR);
    let client = world.host(MAIN).lw.client("box-0000").unwrap();
    assert!((12..=20).contains(&client.updates), "{}", client.updates);
    assert_eq!(registers(&world), 1);
    is_well(&world);
}

#[test]
fn what_a_server_may_not_do_is_refused() {
    let mut world = registered(2);
    let mut code = |operation: Operation| ask(&mut world, &operation).code;
    assert_eq!(code(read("/0")), Code::UNAUTHORIZED);
    assert_eq!(code(read("/9/0")), Code::NOT_FOUND);
    let to_sensor = write("/3303/0/5700", Value::Float(1.0));
    assert_eq!(code(to_sensor), Code::METHOD_NOT_ALLOWED);
    let execute = Operation::Execute(path("/3303/0/5700"), String::new());
    assert_eq!(code(execute), Code::METHOD_NOT_ALLOWED);
    let answer = ask(&mut world, &Operation::Discover(path("/3303")));
    let targets: Vec<_> = answer.links.iter().map(|link| &*link.target).collect();
    assert!(targets.contains(&"/3303/0/5700"), "{targets:?}");
}

#[test]
fn a_lifetime_that_the_server_writes_is_confirmed_by_an_update() {
    let mut world = registered(3);
    let answer = ask(&mut world, &write("/1/0/1", Value::Integer(120)));
    assert_eq!(answer.code, Code::CHANGED);
    world.wait(Duration::from_secs(10));
    let client = world.host(MAIN).lw.client("box-0000").unwrap();
    assert_eq!(client.lifetime, Duration::from_secs(120));
    is_well(&world);
}

#[test]
fn a_server_that_forgets_or_refuses_an_update_gets_a_register() {
    let mut world = registered(4);
    world.reboot_server(MAIN);
    assert!(world.until(5 * MINUTE, |world| is_registered(world, MAIN, BOX)));
    let unknown = Refusal::new(Code::NOT_FOUND);
    let before = registers(&world);
    let act = Misbehaviour::Update(unknown);
    world.host_mut(MAIN).lw.misbehave(act);
    assert!(world.until(5 * MINUTE, |world| registers(world) > before));
    is_well(&world);
}

#[test]
fn a_box_that_stops_deregisters() {
    let mut world = registered(5);
    world.command(BOX, Command::Stop);
    world.wait(Duration::from_secs(5));
    assert!(!world.is_registered(MAIN, BOX));
    let mut events = world.cabinet(BOX).events.iter();
    assert!(events.any(|(_, event)| *event == Event::Stopped));
    let deregistered = ServerEvent::Deregistered("box-0000".into());
    let mut events = world.host(MAIN).events.iter();
    assert!(events.any(|(_, event)| *event == deregistered));
}

#[test]
fn a_server_of_an_old_version_gets_a_box_of_the_old_version() {
    let options = ServerOptions {
        versions: vec!["1.0".to_owned()],
        ..ServerOptions::default()
    };
    let mut world = begun(None, options);
    assert!(world.until(MINUTE, |world| is_registered(world, MAIN, BOX)));
    world.wait(Duration::from_secs(1));
    let client = world.host(MAIN).lw.client("box-0000").unwrap();
    assert_eq!(client.version, "1.0");
    let answer = ask(&mut world, &Operation::Read(path("/3303/0"), None));
    assert_eq!(answer.content_format, Some(ContentFormat::Tlv.number()));
}

#[test]
fn a_server_that_is_mute_late_or_says_everything_twice_is_borne_with() {
    for act in [
        Misbehaviour::Mute(3),
        Misbehaviour::RegisterLate(Duration::from_secs(20)),
        Misbehaviour::AnswerTwice,
    ] {
        let mut world = begun(Some(act.clone()), ServerOptions::default());
        world.wait(MINUTE);
        assert!(is_registered(&world, MAIN, BOX), "{act:?}");
        assert_eq!(registers(&world), 1, "{act:?}");
        is_well(&world);
    }
}

#[test]
fn a_server_that_refuses_is_asked_again_later() {
    for code in [Code::FORBIDDEN, Code::INTERNAL_SERVER_ERROR] {
        let refusal = Misbehaviour::Register(Refusal::new(code));
        let mut world = begun(Some(refusal), ServerOptions::default());
        world.wait(Duration::from_secs(5));
        assert!(!world.is_registered(MAIN, BOX), "{code}");
        let limit = 10 * MINUTE;
        assert!(world.until(limit, |world| is_registered(world, MAIN, BOX)));
    }
}

#[test]
fn an_overloaded_server_is_left_alone_for_as_long_as_it_asks() {
    let overload = Misbehaviour::Overload(Some(400));
    let mut world = begun(Some(overload), ServerOptions::default());
    world.wait(Duration::from_secs(5));
    let sent = world.sent(BOX, MAIN).all();
    world.overload(MAIN, None);
    world.wait(Duration::from_secs(390));
    assert_eq!(world.sent(BOX, MAIN).all(), sent);
    assert!(world.until(2 * MINUTE, |world| is_registered(world, MAIN, BOX)));
    is_well(&world);
}
