use lamplighter_coap::Code;
use lamplighter_model::Value;
use lamplighter_sim_tests::{devices::SET_POINT, network::Weather};

use crate::town::{BOX, MAIN, ask, is_well, read, registered, write};

#[test]
fn a_write_reaches_the_device_once_and_is_read_back() {
    let mut world = registered(1);
    let answer = ask(&mut world, &write("/3308/0/5900", Value::Float(21.5)));
    assert_eq!(answer.code, Code::CHANGED);
    let [(_, address, value)] = world.cabinet(BOX).devices.written.as_slice() else {
        panic!("{:?}", world.cabinet(BOX).devices.written)
    };
    assert_eq!((*address, value), (SET_POINT, &Value::Float(21.5)));
    let answer = ask(&mut world, &read("/3308/0/5900"));
    assert_eq!(answer.value(), Some(&Value::Float(21.5)));
    is_well(&world);
}

#[test]
fn no_write_is_done_twice_however_often_its_datagrams_are_repeated() {
    let mut world = registered(2);
    let weather = Weather {
        doubled: 500,
        ..Weather::FOUL
    };
    world.set_weather(BOX, weather);
    let mut answered = Vec::new();
    for n in 0..30 {
        let value = Value::Float(f64::from(n));
        let answer = world.ask(MAIN, BOX, &write("/3308/0/5900", value.clone()));
        answered.extend(answer.ok().map(|_| value));
    }
    let written = &world.cabinet(BOX).devices.written;
    let written: Vec<_> = written.iter().map(|(_, _, value)| value.clone()).collect();
    for value in &answered {
        let times = written.iter().filter(|done| *done == value).count();
        assert_eq!(times, 1, "{value}");
    }
    assert!(answered.len() >= 20);
    is_well(&world);
}
