use std::time::Duration;

use lamplighter_coap::Code;
use lamplighter_lwm2m::format::ContentFormat;
use lamplighter_model::{Value, device::Fault};
use lamplighter_sim::server::Operation;
use lamplighter_sim_tests::{devices::TEMPERATURE, network::Weather};

use crate::town::{BOX, ask, is_well, path, read, registered};

#[test]
fn what_a_device_measured_is_read_in_every_format() {
    let mut world = registered(1);
    let value = world.sample(BOX, TEMPERATURE);
    for format in [
        ContentFormat::Text,
        ContentFormat::Tlv,
        ContentFormat::SenmlJson,
        ContentFormat::SenmlCbor,
        ContentFormat::Cbor,
    ] {
        let read = Operation::Read(path("/3303/0/5700"), Some(format));
        let answer = ask(&mut world, &read);
        assert_eq!(answer.value(), Some(&value), "{format:?}");
    }
    for object in ["/1", "/3/0"] {
        assert_eq!(ask(&mut world, &read(object)).code, Code::CONTENT);
    }
    is_well(&world);
}

#[test]
fn a_slow_device_is_waited_for_and_a_dead_one_is_told_about() {
    let mut world = registered(2);
    world.cabinet_mut(BOX).devices.takes = Duration::from_secs(3);
    let answer = ask(&mut world, &read("/3303/0/5700"));
    assert_eq!(answer.value(), Some(&Value::Float(0.0)));
    assert!(answer.took > Duration::from_secs(3));
    world.cabinet_mut(BOX).devices.fault = Some(Fault::Unreachable);
    let answer = ask(&mut world, &read("/3303/0/5700"));
    assert_eq!(answer.code, Code::GATEWAY_TIMEOUT);
    is_well(&world);
}

#[test]
fn a_read_gets_through_foul_weather() {
    let mut world = registered(3);
    world.set_weather(BOX, Weather::FOUL);
    let answered = (0..20)
        .filter(|_| world.ask(crate::town::MAIN, BOX, &read("/3/0/0")).is_ok())
        .count();
    assert!(answered >= 15, "{answered} of 20");
    assert!(world.carried().lost > 3);
    is_well(&world);
}
