//! Outputs, values and lamps as core and adapters see them.

use crate::rig::{LAMPS, Rig, lamp, lamp_point, secs};
use lamplighter_model::{
    ResourceAddress, Value,
    device::{Action, Answer, Fault},
};
use lamplighter_site::boundary::Slot;

const ON: Value = Value::Boolean(true);
const OFF: Value = Value::Boolean(false);

fn of_lamp(number: u16, resource: u16) -> ResourceAddress {
    ResourceAddress::gateway(3416, number, resource)
}

#[test]
fn a_lamp_is_decided_before_it_is_first_driven() {
    let mut rig = Rig::new(vec![lamp_point(1)], vec![]);
    assert!(rig.asked.is_empty());
    rig.declare(LAMPS, lamp(1));
    rig.accept(LAMPS, lamp(1), &OFF);
    assert_eq!(rig.value(of_lamp(1, 3)), Some(Value::Integer(0)));
}

#[test]
fn a_command_is_saved_then_written_then_answered() {
    let mut rig = Rig::ready(vec![lamp_point(1)], vec![]);
    let op = rig.write(lamp(1), Value::Integer(100));
    assert_eq!(
        &rig.trace[..2],
        ["save", "adapter"].as_slice().get(..2).unwrap_or_default()
    );
    assert_eq!(rig.result(op), None);
    rig.accept(LAMPS, lamp(1), &ON);
    assert!(rig.is_done(op));
    for resource in [1, 2, 3] {
        assert_eq!(
            rig.value(of_lamp(1, resource)),
            Some(Value::Integer(100)),
            "/3416/1/{resource}"
        );
    }
}

#[test]
fn a_command_that_fails_is_withdrawn_and_the_last_one_is_in_force_again() {
    let mut rig = Rig::ready(vec![lamp_point(1)], vec![]);
    rig.write(lamp(1), Value::Integer(100));
    rig.accept(LAMPS, lamp(1), &ON);
    let op = rig.write(lamp(1), Value::Integer(0));
    rig.answer(LAMPS, Err(Fault::Timeout));
    assert_eq!(rig.result(op), Some(&Err(Fault::Timeout)));
    let why = rig.site.why("lamps.l1", rig.now).expect("an output");
    assert_eq!(
        (why.commanded, why.slots[0].slot),
        (Some(ON), Slot::Command)
    );
    rig.wait(secs(2));
    rig.accept(LAMPS, lamp(1), &ON);
}

#[test]
fn a_relay_does_not_dim() {
    let mut rig = Rig::ready(vec![lamp_point(1)], vec![]);
    let op = rig.write(lamp(1), Value::Integer(50));
    assert!(matches!(rig.result(op), Some(Err(Fault::BadValue(_)))));
    assert!(rig.asked.is_empty());
}

#[test]
fn a_read_of_the_level_asks_the_device_that_has_been_seen() {
    let mut rig = Rig::ready(vec![lamp_point(1)], vec![]);
    rig.sample(LAMPS, lamp(1), ON);
    let op = rig.read(&[of_lamp(1, 1), of_lamp(1, 3)]);
    let sample = lamplighter_model::Sample::good(lamp(1), OFF, rig.now.stamp());
    let action = rig.answer(
        LAMPS,
        Ok(Answer {
            samples: vec![sample],
            failed: vec![],
        }),
    );
    assert_eq!(action, Action::Read(vec![lamp(1)]));
    let answer = rig
        .result(op)
        .and_then(|result| result.as_ref().ok())
        .expect("it was read");
    let values = answer
        .samples
        .iter()
        .map(|sample| (sample.address, sample.value.clone()))
        .collect::<Vec<_>>();
    assert_eq!(
        values,
        [
            (of_lamp(1, 1), Value::Integer(0)),
            (of_lamp(1, 3), Value::Integer(0))
        ]
    );
}
