//! The real client core against this server, in virtual time over a network with latency and loss.

use std::time::Duration;

use lamplighter_coap::{Code, Failure};
use lamplighter_lwm2m::{
    boundary::{Command, Event, Input},
    format::ContentFormat,
};
use lamplighter_model::{Path, Value};
use lamplighter_sim::server::{
    CancelMode, EndReason, Misbehaviour, Operation, Refusal, RequestError, ServerEvent,
    ServerOptions, WriteMode,
};

use crate::world::{FAIR, NAME, SET_POINT, TEMPERATURE, Weather, World};

mod world;

fn path(text: &str) -> Path {
    text.parse().expect("a path")
}

fn write(value: f64) -> Operation {
    let path = Path::Resource(SET_POINT.path);
    let mode = WriteMode::Replace;
    Operation::write_value(path, Value::Float(value), ContentFormat::Tlv, mode).expect("a resource")
}

fn read(text: &str, format: ContentFormat) -> Operation {
    Operation::Read(path(text), Some(format))
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_client_registers_with_its_objects() {
    let world = World::registered(FAIR, 300);
    let client = world.server.client(NAME).expect("registered");
    let paths: Vec<String> = client.paths().map(|path| path.to_string()).collect();
    for wanted in ["/1/0", "/3/0", "/3303/0", "/3308/0"] {
        assert!(
            paths.iter().any(|path| path == wanted),
            "{wanted}: {paths:?}"
        );
    }
    assert_eq!(client.lifetime, Duration::from_secs(300));
}

#[test]
fn core_objects_and_a_device_are_read_in_every_format() {
    let mut world = World::registered(FAIR, 300);
    let structured = [
        ContentFormat::Tlv,
        ContentFormat::SenmlJson,
        ContentFormat::SenmlCbor,
    ];
    for format in structured {
        for object in ["/1", "/3", "/3/0"] {
            let answer = world.ask(&read(object, format)).expect("an answer");
            assert_eq!(answer.code, Code::CONTENT, "{object} {format:?}");
            assert_eq!(answer.problem, None, "{object} {format:?}");
            assert!(!answer.nodes.is_empty(), "{object} {format:?}");
        }
        let answer = world.ask(&read("/3303/0/5700", format)).expect("an answer");
        assert_eq!(answer.value(), Some(&Value::Float(20.5)), "{format:?}");
    }
    let text = read("/3/0/0", ContentFormat::Text);
    let answer = world.ask(&text).expect("an answer");
    assert_eq!(
        answer.value(),
        Some(&Value::String("Lamplighter".to_owned()))
    );
}

#[test]
fn what_a_server_may_not_do_is_refused() {
    let mut world = World::registered(FAIR, 300);
    let mut code = |operation: Operation| world.ask(&operation).expect("an answer").code;
    assert_eq!(code(Operation::Read(path("/0"), None)), Code::UNAUTHORIZED);
    assert_eq!(code(Operation::Read(path("/9/0"), None)), Code::NOT_FOUND);
    let temperature = path("/3303/0/5700");
    let write = Operation::write_value(
        temperature,
        Value::Float(1.0),
        ContentFormat::Text,
        WriteMode::Replace,
    );
    assert_eq!(code(write.expect("a resource")), Code::METHOD_NOT_ALLOWED);
    let execute = Operation::Execute(temperature, String::new());
    assert_eq!(code(execute), Code::METHOD_NOT_ALLOWED);
}

#[test]
fn a_write_reaches_the_device() {
    let mut world = World::registered(FAIR, 300);
    let answer = world.ask(&write(23.5)).expect("an answer");
    assert_eq!(answer.code, Code::CHANGED);
    assert_eq!(world.written, [(SET_POINT, Value::Float(23.5))]);
    let text = read("/3308/0/5900", ContentFormat::Text);
    let answer = world.ask(&text).expect("an answer");
    assert_eq!(answer.value(), Some(&Value::Float(23.5)));
}

#[test]
fn discover_lists_what_is_there() {
    let mut world = World::registered(FAIR, 300);
    let answer = world
        .ask(&Operation::Discover(path("/3303")))
        .expect("an answer");
    let targets: Vec<_> = answer
        .links
        .iter()
        .map(|link| link.target.as_str())
        .collect();
    assert!(targets.contains(&"/3303/0/5700"), "{targets:?}");
}

#[test]
fn notifications_keep_pmin_and_pmax() {
    let mut world = World::registered(FAIR, 3_600);
    let temperature = path("/3303/0/5700");
    let periods = vec!["pmin=10".to_owned(), "pmax=60".to_owned()];
    let attributes = Operation::WriteAttributes(temperature, periods);
    assert_eq!(
        world.ask(&attributes).expect("an answer").code,
        Code::CHANGED
    );
    world
        .ask(&read("/3303/0/5700", ContentFormat::Text))
        .expect("an answer");
    let (id, first) = world.observe(temperature);
    assert!(first.is_observed());
    assert_eq!(first.value(), Some(&Value::Float(20.5)));
    let begun = world.now;

    // Five changes within five seconds are one notification, with the last of them.
    for n in 0..5 {
        world.change(TEMPERATURE, Value::Float(21.0 + f64::from(n)));
        world.seconds(1);
    }
    world.seconds(15);
    let [(at, value)] = world.notified().try_into().expect("one notification");
    assert_eq!(value, Some(Value::Float(25.0)));
    let after = at - begun;
    assert!((9..=11).contains(&after.as_secs()), "pmin: {after:?}");

    // Without any change there is one a minute.
    world.seconds(185);
    let repeated = world.notified();
    assert_eq!(repeated.len(), 3, "pmax: {repeated:?}");

    let cancel = world.server.cancel(id, CancelMode::Active, world.now);
    let cancel = cancel.expect("observed").expect("a request");
    world.settle();
    assert!(!world.answer(cancel).expect("an answer").is_observed());
    world.change(TEMPERATURE, Value::Float(5.0));
    world.seconds(200);
    assert_eq!(world.notified(), []);
}

#[test]
fn an_observation_that_is_reset_is_over_for_the_client_too() {
    let mut world = World::registered(FAIR, 3_600);
    let (id, _) = world.observe(path("/3303/0/5700"));
    let cancelled = world.server.cancel(id, CancelMode::Reset, world.now);
    assert_eq!(cancelled, Ok(None));
    for n in 0..3 {
        world.change(TEMPERATURE, Value::Float(30.0 + f64::from(n)));
        world.seconds(5);
    }
    let before = world.server.counters().datagrams_in;
    world.change(TEMPERATURE, Value::Float(40.0));
    world.seconds(5);
    assert_eq!(world.server.counters().datagrams_in, before);
}

#[test]
fn an_update_comes_before_the_lifetime_ends() {
    let mut world = World::registered(FAIR, 300);
    world.seconds(3_000);
    let is_expired =
        |(_, event): &(Duration, ServerEvent)| matches!(event, ServerEvent::Expired(_));
    assert!(!world.events.iter().any(is_expired));
    let client = world.server.client(NAME).expect("registered");
    assert!((10..=20).contains(&client.updates), "{}", client.updates);
}

#[test]
fn a_lifetime_that_the_server_writes_is_confirmed_by_an_update() {
    let mut world = World::registered(FAIR, 3_600);
    let lifetime = path("/1/0/1");
    let mode = WriteMode::Replace;
    let write = Operation::write_value(lifetime, Value::Integer(120), ContentFormat::Text, mode);
    let answer = world.ask(&write.expect("a resource")).expect("an answer");
    assert_eq!(answer.code, Code::CHANGED);
    world.seconds(10);
    let client = world.server.client(NAME).expect("registered");
    assert_eq!(client.lifetime, Duration::from_secs(120));
}

#[test]
fn a_client_registers_anew_when_the_server_has_forgotten_it() {
    let mut world = World::registered(FAIR, 300);
    assert!(world.server.forget(NAME, world.now));
    world.until(Duration::from_secs(300), |world| {
        world.server.client(NAME).is_some()
    });
    world.seconds(1);
    let text = read("/3303/0/5700", ContentFormat::Text);
    assert_eq!(world.ask(&text).expect("an answer").code, Code::CONTENT);
}

#[test]
fn a_client_that_stops_deregisters() {
    let mut world = World::registered(FAIR, 300);
    world.input(Input::Command(Command::Stop));
    world.seconds(5);
    assert!(world.server.client(NAME).is_none());
    assert!(world.told(|event| *event == Event::Stopped));
    let deregistered = ServerEvent::Deregistered(NAME.into());
    assert!(world.events.iter().any(|(_, event)| *event == deregistered));
}

#[test]
fn one_datagram_lost_in_five_delays_much_and_breaks_nothing() {
    const SEEDS: u64 = 20;
    let unanswered: usize = (0..SEEDS).map(hour_of_foul_weather).sum();
    // An attempt fails with 1 - 0.8 × 0.8 = 36 %, all five of an exchange with 0.6 %: of 1,600
    // exchanges ten are expected to end without an answer.
    assert!((1..=20).contains(&unanswered), "{unanswered} of 1600");
}

/// 40 times a Write, a Read and a change; how many of the requests had no answer.
fn hour_of_foul_weather(seed: u64) -> usize {
    let foul = Weather {
        latency: Duration::from_millis(300),
        loss: 20,
        seed,
    };
    let mut world = World::registered(foul, 600);
    let (_, first) = world.observe(path("/3303/0/5700"));
    assert!(first.is_observed());
    let mut unanswered = 0;
    for n in 0..40 {
        let value = 20.0 + f64::from(n);
        match world.ask(&write(value)) {
            Ok(answer) => assert_eq!(answer.code, Code::CHANGED, "seed {seed}"),
            Err(error) => {
                assert_eq!(
                    error,
                    RequestError::Failed(Failure::TimedOut),
                    "seed {seed}"
                );
                unanswered += 1;
            }
        }
        let in_memory = world.memory[&SET_POINT].clone();
        match world.ask(&read("/3308/0/5900", ContentFormat::SenmlJson)) {
            Ok(answer) => assert_eq!(answer.value(), Some(&in_memory), "seed {seed}"),
            Err(error) => {
                assert_eq!(
                    error,
                    RequestError::Failed(Failure::TimedOut),
                    "seed {seed}"
                );
                unanswered += 1;
            }
        }
        world.change(TEMPERATURE, Value::Float(value));
        world.seconds(30);
    }
    // No Write was done twice, however often its datagrams were repeated.
    let mut written = world.written.clone();
    written.dedup();
    assert_eq!(written, world.written, "seed {seed}");
    assert!(written.len() + unanswered >= 40, "seed {seed}");
    assert!(world.lost > 20, "seed {seed}: only {} lost", world.lost);
    let notified = world.notified().len();
    // An Update without answer leads to a Register, and that ends observations.
    let is_new = world
        .events
        .iter()
        .any(|(_, event)| matches!(event, ServerEvent::ObservationEnded(.., EndReason::Gone)));
    assert!(notified >= 20 || is_new, "seed {seed}: {notified} of 40");
    world.seconds(3_000);
    assert!(world.server.client(NAME).is_some(), "seed {seed}");
    unanswered
}

#[test]
fn a_server_of_the_old_version_gets_a_client_of_the_old_version() {
    let options = ServerOptions {
        versions: vec!["1.0".to_owned()],
        ..ServerOptions::default()
    };
    let mut world = World::new(FAIR, 300, options);
    world.until(MINUTE, |world| world.server.client(NAME).is_some());
    world.seconds(1);
    let client = world.server.client(NAME).expect("registered");
    assert_eq!(client.version, "1.0");
    assert_eq!(client.preferred_format(), ContentFormat::Tlv);
    let answer = world.ask(&Operation::Read(path("/3303/0"), None));
    let answer = answer.expect("an answer");
    assert_eq!(answer.content_format, Some(ContentFormat::Tlv.number()));
}

#[test]
fn a_server_that_is_mute_late_or_says_everything_twice_is_borne_with() {
    let misbehaviours = [
        Misbehaviour::Mute(3),
        Misbehaviour::RegisterLate(Duration::from_secs(20)),
        Misbehaviour::AnswerTwice,
    ];
    for act in misbehaviours {
        let mut world = World::new(FAIR, 300, ServerOptions::default());
        world.server.misbehave(act.clone());
        world.seconds(60);
        assert!(
            world.told(|event| matches!(event, Event::Registered { .. })),
            "{act:?}"
        );
        let lines = world.server.log(0);
        let registers = lines.iter().filter(|line| line.operation == "Register");
        assert_eq!(registers.count(), 1, "{act:?}");
    }
}

#[test]
fn a_server_that_refuses_is_asked_again_later() {
    for code in [
        Code::FORBIDDEN,
        Code::INTERNAL_SERVER_ERROR,
        Code::SERVICE_UNAVAILABLE,
    ] {
        let mut world = World::new(FAIR, 300, ServerOptions::default());
        world
            .server
            .misbehave(Misbehaviour::Register(Refusal::new(code)));
        world.seconds(5);
        assert!(world.server.client(NAME).is_none(), "{code}");
        world.until(10 * MINUTE, |world| world.server.client(NAME).is_some());
    }
}

#[test]
fn an_update_that_is_refused_leads_to_a_register() {
    let mut world = World::registered(FAIR, 300);
    let unknown = Refusal::new(Code::NOT_FOUND);
    world.server.misbehave(Misbehaviour::Update(unknown));
    let registered = ServerEvent::Registered(NAME.into());
    world.until(5 * MINUTE, |world| {
        world.events.iter().any(|(_, event)| *event == registered)
    });
}
