//! Reads, writes and executes: what is checked, who answers, and that everybody is answered once.

use lamplighter_model::{
    ResourceAddress, Sample, Value,
    device::{Action, AdapterEvent, Answer, Fault, OpId},
};
use lamplighter_site::boundary::{
    Limit, OnViolation, PointConfig, PointKind, SiteEvent, SiteInput,
};

use crate::rig::{AHU, LAMPS, Rig, VENDOR, ahu_point, lamp, lamp_point, secs, server, write_of};

const ON: Value = Value::Boolean(true);
const OFF: Value = Value::Boolean(false);
const SETPOINT: ResourceAddress = ResourceAddress::gateway(3308, 0, 5900);
const SUPPLY_AIR: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);

fn setpoint(on_violation: OnViolation) -> PointConfig {
    let limit = Limit {
        min: Some(16.0),
        max: Some(28.0),
        on_violation,
    };
    PointConfig {
        limit: Some(limit),
        ..ahu_point("setpoint", SETPOINT, PointKind::Value)
    }
}

fn cabinet(on_violation: OnViolation) -> Rig {
    Rig::ready(vec![lamp_point(1), setpoint(on_violation)], vec![])
}

fn of_lamp(resource: u16) -> ResourceAddress {
    ResourceAddress::gateway(3416, 1, resource)
}

#[test]
fn values_pass_to_the_core_as_they_are() {
    let mut rig = cabinet(OnViolation::Reject);
    rig.sample(AHU, SETPOINT, Value::Float(21.5));
    assert_eq!(rig.value(SETPOINT), Some(Value::Float(21.5)));
    rig.sample(LAMPS, SETPOINT, Value::Float(0.0));
    assert_eq!(
        rig.value(SETPOINT),
        Some(Value::Float(21.5)),
        "only its own adapter may report it"
    );
}

#[test]
fn a_limit_rejects_or_clamps() {
    let mut rig = cabinet(OnViolation::Reject);
    let op = rig.write(SETPOINT, Value::Float(30.0));
    assert_eq!(
        rig.result(op),
        Some(&Err(Fault::BadValue(
            "the highest permitted value is 28".to_owned()
        )))
    );
    assert!(rig.asked.is_empty());

    let mut rig = cabinet(OnViolation::Clamp);
    let op = rig.write(SETPOINT, Value::Float(3.0));
    rig.accept(AHU, SETPOINT, &Value::Float(16.0));
    assert!(rig.is_done(op));
}

#[test]
fn values_that_do_not_fit_the_definition_are_refused() {
    let mut rig = cabinet(OnViolation::Reject);
    for (address, value) in [
        (SETPOINT, Value::String("warm".to_owned())),
        (SETPOINT, Value::Float(f64::NAN)),
        (lamp(1), Value::Integer(101)),
        (lamp(1), ON),
    ] {
        let op = rig.write(address, value);
        assert!(
            matches!(rig.result(op), Some(Err(Fault::BadValue(_)))),
            "{:?}",
            rig.result(op)
        );
    }
    for address in [
        of_lamp(2),
        of_lamp(3),
        of_lamp(15),
        ResourceAddress::gateway(VENDOR + 2, 0, 1),
    ] {
        let op = rig.write(address, Value::Integer(0));
        assert_eq!(rig.result(op), Some(&Err(Fault::Unsupported)), "{address}");
    }
    assert!(rig.asked.is_empty());
}

#[test]
fn one_value_that_may_not_be_written_stops_the_whole_write() {
    let mut rig = cabinet(OnViolation::Reject);
    let op = rig.write_all(
        vec![
            (lamp(1), Value::Integer(100)),
            (SETPOINT, Value::Float(30.0)),
        ],
        None,
    );
    assert!(matches!(rig.result(op), Some(Err(Fault::BadValue(_)))));
    assert!(rig.asked.is_empty());
}

#[test]
fn a_device_that_fails_after_another_has_taken_its_value_is_told() {
    let mut rig = cabinet(OnViolation::Reject);
    let op = rig.write_all(
        vec![
            (lamp(1), Value::Integer(100)),
            (SETPOINT, Value::Float(20.0)),
        ],
        None,
    );
    rig.accept(LAMPS, lamp(1), &ON);
    assert_eq!(rig.result(op), None);
    rig.answer(AHU, Err(Fault::Timeout));
    assert_eq!(rig.result(op), Some(&Err(Fault::Timeout)));
    let told = SiteEvent::PartlyApplied {
        applied: vec!["lamps.l1".to_owned()],
        failed: "ahu1.setpoint".to_owned(),
        reason: Fault::Timeout.to_string(),
    };
    assert!(rig.events.contains(&told));
}

#[test]
fn after_a_failure_nothing_more_is_begun() {
    let mut rig = Rig::ready((1..=3).map(lamp_point).collect(), vec![]);
    let values = (1..=3).map(|number| (lamp(number), Value::Integer(100)));
    let op = rig.write_all(values.collect(), None);
    rig.accept(LAMPS, lamp(1), &ON);
    rig.answer(LAMPS, Err(Fault::Unreachable));
    assert_eq!(rig.result(op), Some(&Err(Fault::Unreachable)));
    rig.wait(secs(1));
    assert_eq!(
        rig.answer(LAMPS, Ok(Answer::default())),
        write_of(lamp(2), &OFF),
        "put back, not tried again"
    );
    assert!(rig.asked.is_empty());
}

#[test]
fn a_later_command_answers_the_one_that_it_replaces() {
    let mut rig = cabinet(OnViolation::Reject);
    let first = rig.write(lamp(1), Value::Integer(100));
    let second = rig.write(lamp(1), Value::Integer(0));
    let third = rig.write(lamp(1), Value::Integer(100));
    assert!(matches!(
        rig.result(second),
        Some(Err(Fault::Refused { .. }))
    ));
    rig.accept(LAMPS, lamp(1), &ON);
    assert!(rig.is_done(first));
    rig.accept(LAMPS, lamp(1), &ON);
    assert!(rig.is_done(third));
}

#[test]
fn two_values_for_one_output_in_one_write_must_agree() {
    let light = ResourceAddress::gateway(3311, 0, 5850);
    let dimmer = ResourceAddress::gateway(3311, 0, 5851);
    let point = PointConfig {
        address: light,
        ..lamp_point(9)
    };
    let mut rig = Rig::ready(vec![point], vec![]);
    let op = rig.write_all(vec![(light, ON), (dimmer, Value::Integer(0))], None);
    assert!(matches!(rig.result(op), Some(Err(Fault::BadValue(_)))));
    let op = rig.write_all(vec![(light, ON), (dimmer, Value::Integer(100))], None);
    rig.accept(LAMPS, light, &ON);
    assert!(rig.is_done(op));
    assert_eq!(
        (rig.value(light), rig.value(dimmer)),
        (Some(ON), Some(Value::Integer(100)))
    );
}

#[test]
fn a_read_that_concerns_several_devices_is_answered_once_with_what_failed() {
    let mut rig = Rig::ready(vec![lamp_point(1), setpoint(OnViolation::Reject)], vec![]);
    rig.sample(LAMPS, lamp(1), ON);
    let op = rig.read(&[of_lamp(2), of_lamp(3), SETPOINT, SUPPLY_AIR]);
    let sample = Sample::good(SETPOINT, Value::Float(21.0), rig.now.stamp());
    rig.answer(
        AHU,
        Ok(Answer {
            samples: vec![sample.clone()],
            failed: vec![],
        }),
    );
    assert_eq!(rig.result(op), None);
    rig.answer(LAMPS, Err(Fault::Timeout));
    let answer = rig
        .result(op)
        .and_then(|result| result.as_ref().ok())
        .expect("a part was read");
    assert_eq!(answer.samples[0], sample);
    assert_eq!(answer.samples[1].address, of_lamp(2));
    assert_eq!(
        answer.failed,
        [
            (SUPPLY_AIR, Fault::Unsupported),
            (of_lamp(3), Fault::Timeout)
        ]
    );
}

#[test]
fn a_counter_counts_and_is_reset() {
    let mut rig = cabinet(OnViolation::Reject);
    rig.write(lamp(1), Value::Integer(100));
    rig.accept(LAMPS, lamp(1), &ON);
    rig.wait(secs(2 * 3600 + 1800));
    assert_eq!(
        rig.value(of_lamp(15)).and_then(|hours| hours.as_f64()),
        Some(2.5)
    );
    assert_eq!(rig.value(of_lamp(18)), Some(Value::Integer(1)));
    assert_eq!(rig.value(of_lamp(17)), Some(Value::Time(1_750_000_060)));
    for reset in [16, 19] {
        let op = rig.request(
            server(),
            Action::Execute {
                resource: of_lamp(reset),
                args: vec![],
            },
        );
        assert!(rig.is_done(op));
    }
    assert_eq!(
        rig.value(of_lamp(15)).and_then(|hours| hours.as_f64()),
        Some(0.0)
    );
    assert_eq!(rig.value(of_lamp(18)), Some(Value::Integer(0)));
}

#[test]
fn an_execute_of_a_device_is_passed_on() {
    let mut rig = cabinet(OnViolation::Reject);
    let op = rig.request(
        server(),
        Action::Execute {
            resource: SETPOINT,
            args: vec![],
        },
    );
    assert_eq!(
        rig.result(op),
        Some(&Err(Fault::Unsupported)),
        "it was not declared as executable"
    );
}

#[test]
fn answers_that_nobody_waits_for_are_ignored() {
    let mut rig = cabinet(OnViolation::Reject);
    let op = rig.write(lamp(1), Value::Integer(100));
    let ours = rig.asked[0].1.op;
    rig.tell(SiteInput::Adapter(
        AHU,
        AdapterEvent::Done(ours, Ok(Answer::default())),
    ));
    assert_eq!(rig.result(op), None, "another adapter cannot answer for it");
    rig.tell(SiteInput::Adapter(
        LAMPS,
        AdapterEvent::Done(OpId(77), Err(Fault::Timeout)),
    ));
    rig.tell(SiteInput::Adapter(
        LAMPS,
        AdapterEvent::Done(ours, Ok(Answer::default())),
    ));
    rig.tell(SiteInput::Adapter(
        LAMPS,
        AdapterEvent::Done(ours, Err(Fault::Timeout)),
    ));
    assert!(rig.is_done(op));
}

#[test]
fn an_adapter_that_never_answers_does_not_keep_a_request_for_ever() {
    let mut rig = cabinet(OnViolation::Reject);
    let write = rig.write(lamp(1), Value::Integer(100));
    let read = rig.read(&[SETPOINT]);
    rig.wait(secs(10));
    assert_eq!(rig.result(write), Some(&Err(Fault::Timeout)));
    rig.wait(secs(170));
    assert_eq!(rig.result(read), Some(&Err(Fault::Timeout)));
}

#[test]
fn more_requests_than_can_wait_are_refused() {
    let mut rig = cabinet(OnViolation::Reject);
    let ops = (0..1100).map(|_| rig.read(&[SETPOINT])).collect::<Vec<_>>();
    let refused = ops
        .iter()
        .filter(|op| rig.result(**op) == Some(&Err(Fault::Busy)))
        .count();
    assert_eq!(refused, 1100 - 1024);
}

#[test]
fn two_devices_cannot_own_one_resource() {
    let mut rig = cabinet(OnViolation::Reject);
    rig.declare(LAMPS, SETPOINT);
    rig.declare(LAMPS, of_lamp(15));
    rig.declare(AHU, ResourceAddress::gateway(VENDOR + 2, 0, 0));
    assert_eq!(rig.events.len(), 3);
    rig.remove(LAMPS, SETPOINT);
    assert!(
        rig.declared.contains_key(&SETPOINT),
        "who does not own it cannot take it away"
    );
}

#[test]
fn what_was_not_begun_before_the_core_gave_up_is_not_begun_any_more() {
    let mut rig = Rig::ready(vec![lamp_point(1), lamp_point(2)], vec![]);
    let on = Value::Integer(100);
    let op = rig.write_all(vec![(lamp(1), on.clone()), (lamp(2), on)], None);
    rig.advance(secs(5));
    rig.answer(LAMPS, Ok(Answer::default()));
    assert_eq!(rig.result(op), Some(&Err(Fault::Timeout)));
    assert!(rig.asked.is_empty(), "{:?}", rig.asked);
    rig.wait(secs(600));
    assert!(rig.asked.is_empty(), "{:?}", rig.asked);
}
