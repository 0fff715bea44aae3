//! Outputs, values and lamps as core and adapters see them.

use crate::rig::{GROUP_COMMAND, LAMPS, Rig, VENDOR, definitions, group, lamp, lamp_point, secs};
use lamplighter_model::{
    ResourceAddress, Value,
    device::{Action, Answer, Fault},
};
use lamplighter_site::boundary::{PointConfig, SiteInput, Slot};

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

#[test]
fn everything_that_the_site_answers_for_is_defined_and_may_be_done() {
    let light = PointConfig {
        address: ResourceAddress::gateway(3311, 0, 5850),
        ..lamp_point(8)
    };
    let relay = PointConfig {
        address: ResourceAddress::gateway(3306, 0, 5850),
        ..lamp_point(9)
    };
    let power = PointConfig {
        address: ResourceAddress::gateway(3312, 0, 5850),
        ..lamp_point(10)
    };
    let line = PointConfig {
        address: ResourceAddress::gateway(3201, 0, 5550),
        ..lamp_point(11)
    };
    let points = vec![lamp_point(1), lamp_point(2), light, relay, power, line];
    let mut rig = Rig::ready(points, vec![group(1..=2, secs(0))]);
    rig.write(GROUP_COMMAND, Value::Integer(100));
    rig.pass(secs(1));
    let definitions = definitions();
    for (address, operations) in &rig.declared {
        let defined = definitions
            .resource(address.path.object(), address.path.resource)
            .expect("it is defined");
        let allowed = defined.operations;
        assert!(allowed.read || !operations.read, "{address}");
        assert!(allowed.write || !operations.write, "{address}");
        assert_eq!(allowed.execute, operations.execute, "{address}");
    }
    let addresses = rig
        .declared
        .iter()
        .filter(|(_, operations)| operations.read)
        .map(|(address, _)| *address);
    let addresses = addresses.collect::<Vec<_>>();
    let op = rig.read(&addresses);
    let answer = rig
        .result(op)
        .and_then(|result| result.as_ref().ok())
        .expect("it was read");
    let without: Vec<_> = answer
        .failed
        .iter()
        .map(|(address, _)| address.path.object().0)
        .collect();
    assert!(without.is_empty(), "{:?}", answer.failed);
    for sample in &answer.samples {
        let defined =
            definitions.resource(sample.address.path.object(), sample.address.path.resource);
        let data_type = defined.expect("it is defined").data_type;
        assert_eq!(
            sample.value.clone().fit(data_type).as_ref(),
            Ok(&sample.value),
            "{}",
            sample.address
        );
    }
}

#[test]
fn the_status_of_an_output_tells_three_values_and_who_decides() {
    let mut rig = Rig::ready(vec![lamp_point(1)], vec![]);
    rig.sample(LAMPS, lamp(1), OFF);
    rig.write(lamp(1), Value::Integer(100));
    let status = |rig: &Rig, resource| rig.value(ResourceAddress::gateway(VENDOR + 2, 0, resource));
    let text = |text: &str| Some(Value::String(text.to_owned()));
    assert_eq!(status(&rig, 0), text("lamps.l1"));
    assert_eq!(status(&rig, 1), Some(Value::Float(100.0)), "commanded");
    assert_eq!(status(&rig, 2), Some(Value::Float(0.0)), "in effect");
    assert_eq!(status(&rig, 3), Some(Value::Float(0.0)), "measured");
    assert_eq!(status(&rig, 4), text("command"));
    assert_eq!(status(&rig, 5), Some(Value::Time(1_750_000_060)));
    assert_eq!(status(&rig, 6), Some(Value::Time(0)));
    assert_eq!(status(&rig, 7), text("server 101"));
    rig.accept(LAMPS, lamp(1), &ON);
    assert_eq!(status(&rig, 2), Some(Value::Float(100.0)));
    assert_eq!(
        status(&rig, 3),
        Some(Value::Float(0.0)),
        "a device that says what it does is believed"
    );
    rig.sample(LAMPS, lamp(1), ON);
    assert_eq!(status(&rig, 3), Some(Value::Float(100.0)));
}

#[test]
fn only_what_has_changed_is_told() {
    let mut rig = Rig::ready((1..=50).map(lamp_point).collect(), vec![]);
    rig.tree.clear();
    rig.write(lamp(7), Value::Integer(100));
    rig.accept(LAMPS, lamp(7), &ON);
    assert!(rig.tree.len() < 16, "{:?}", rig.tree.keys());
    rig.tree.clear();
    rig.tell(SiteInput::Timeout);
    assert!(rig.tree.is_empty());
}

#[test]
fn a_command_ends_when_its_time_has_passed() {
    let mut rig = Rig::ready(vec![lamp_point(1)], vec![]);
    rig.write_all(vec![(lamp(1), Value::Integer(100))], Some(secs(600)));
    rig.accept(LAMPS, lamp(1), &ON);
    rig.wait(secs(599));
    assert!(rig.asked.is_empty());
    rig.wait(secs(1));
    rig.accept(LAMPS, lamp(1), &OFF);
}

#[test]
fn a_failure_does_not_delay_the_command_that_came_after_it() {
    let mut rig = Rig::ready(vec![lamp_point(1)], vec![]);
    rig.write(lamp(1), Value::Integer(100));
    let op = rig.write(lamp(1), Value::Integer(0));
    rig.answer(LAMPS, Err(Fault::Timeout));
    rig.accept(LAMPS, lamp(1), &OFF);
    assert!(rig.is_done(op));
}

#[test]
fn a_command_that_a_group_has_released_does_not_come_back() {
    let mut rig = Rig::ready(vec![lamp_point(1)], vec![group(1..=1, secs(0))]);
    rig.write(lamp(1), Value::Integer(100));
    rig.write(GROUP_COMMAND, Value::Integer(0));
    rig.accept(LAMPS, lamp(1), &ON);
    rig.accept(LAMPS, lamp(1), &OFF);
    rig.write(lamp(1), Value::Integer(100));
    rig.answer(LAMPS, Err(Fault::Device("overload".to_owned())));
    let why = rig.site.why("lamps.l1", rig.now).expect("an output");
    assert_eq!(
        (why.slots[0].slot, why.commanded),
        (Slot::GroupCommand, Some(OFF))
    );
}
