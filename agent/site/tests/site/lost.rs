//! Devices and servers that are not there.

use lamplighter_model::{
    ResourceAddress, Value,
    device::{Fault, LinkState, OpId},
};
use lamplighter_site::boundary::{
    ClockTrust, FailSafe, FailSafeOn, LockRequest, Mode, PointConfig, PointKind, Setpoint,
    SiteConfig, SiteInput, Slot, ThermostatConfig, WhenLost,
};

use crate::rig::{AHU, LAMPS, Rig, ahu_point, config, lamp, lamp_point, secs, start};

const ON: Value = Value::Boolean(true);
const OFF: Value = Value::Boolean(false);
const FAN: ResourceAddress = ResourceAddress::gateway(3306, 0, 5850);

fn fan(on: FailSafeOn) -> PointConfig {
    let fail_safe = FailSafe {
        on,
        after: secs(600),
        value: OFF,
    };
    PointConfig {
        fail_safe: Some(fail_safe),
        ..ahu_point("fan", FAN, PointKind::Output)
    }
}

fn running(on: FailSafeOn) -> Rig {
    let mut rig = Rig::ready(vec![fan(on)], vec![]);
    rig.link(AHU, LinkState::Online);
    rig.tell(SiteInput::ServerContact(true));
    rig.write(FAN, ON);
    rig.accept(AHU, FAN, &ON);
    rig
}

fn winner(rig: &Rig) -> Option<Slot> {
    rig.site.outputs().first().and_then(|output| output.winner)
}

#[test]
fn the_winner_is_written_anew_when_a_device_comes_back() {
    let mut rig = Rig::ready(vec![lamp_point(1)], vec![]);
    rig.write(lamp(1), Value::Integer(100));
    rig.accept(LAMPS, lamp(1), &ON);
    rig.link(LAMPS, LinkState::Offline);
    rig.wait(secs(600));
    assert!(rig.asked.is_empty());
    rig.link(LAMPS, LinkState::Online);
    rig.accept(LAMPS, lamp(1), &ON);
}

#[test]
fn a_device_that_was_lost_for_long_is_put_into_its_safe_state_and_its_command_ends() {
    let mut rig = running(FailSafeOn::DeviceLost);
    rig.link(AHU, LinkState::Offline);
    rig.wait(secs(599));
    assert_eq!(winner(&rig), Some(Slot::Command));
    rig.wait(secs(1));
    assert_eq!(winner(&rig), Some(Slot::DeviceFailSafe));
    let refused = rig.write(FAN, ON);
    assert!(matches!(
        rig.result(refused),
        Some(Err(Fault::Refused { .. }))
    ));
    rig.answer(AHU, Err(Fault::Unreachable));
    rig.link(AHU, LinkState::Online);
    rig.accept(AHU, FAN, &OFF);
    assert_eq!(winner(&rig), None);
    rig.wait(secs(600));
    assert!(rig.asked.is_empty());
}

/// Whoever has put it into its safe state: it is in it.
#[test]
fn a_device_that_comes_back_under_a_lock_is_not_held_by_its_fail_safe_afterwards() {
    let mut rig = running(FailSafeOn::DeviceLost);
    rig.link(AHU, LinkState::Offline);
    rig.wait(secs(600));
    assert_eq!(winner(&rig), Some(Slot::DeviceFailSafe));
    rig.answer(AHU, Err(Fault::Unreachable));
    let by = lamplighter_model::device::Origin::Local("anna (local)".to_owned());
    let what = "fan".to_owned();
    rig.tell(SiteInput::Lock(
        OpId(1),
        LockRequest::Lock {
            what,
            by: by.clone(),
        },
    ));
    rig.link(AHU, LinkState::Online);
    rig.accept(AHU, FAN, &OFF);
    let what = Some("fan".to_owned());
    rig.tell(SiteInput::Lock(OpId(2), LockRequest::Unlock { what, by }));
    assert_eq!(winner(&rig), None);
    rig.write(FAN, ON);
    rig.accept(AHU, FAN, &ON);
}

#[test]
fn a_short_loss_of_the_device_ends_no_command() {
    let mut rig = running(FailSafeOn::DeviceLost);
    rig.link(AHU, LinkState::Offline);
    rig.wait(secs(599));
    rig.link(AHU, LinkState::Online);
    rig.accept(AHU, FAN, &ON);
    rig.wait(secs(3600));
    assert_eq!(winner(&rig), Some(Slot::Command));
}

#[test]
fn lost_servers_end_their_commands_after_the_outputs_time() {
    let mut rig = running(FailSafeOn::ServerLost);
    rig.tell(SiteInput::ServerContact(false));
    rig.wait(secs(599));
    assert!(rig.asked.is_empty());
    rig.wait(secs(1));
    rig.accept(AHU, FAN, &OFF);
    assert_eq!(winner(&rig), Some(Slot::ServerLost));
    rig.tell(SiteInput::ServerContact(true));
    assert_eq!(winner(&rig), None);
    rig.wait(secs(7200));
    assert!(
        rig.asked.is_empty(),
        "with nobody to decide it stays as it is"
    );
}

#[test]
fn without_a_fall_back_lost_servers_change_nothing() {
    let mut rig = Rig::ready(vec![lamp_point(1)], vec![]);
    rig.write(lamp(1), Value::Integer(100));
    rig.accept(LAMPS, lamp(1), &ON);
    rig.tell(SiteInput::ServerContact(false));
    rig.wait(secs(24 * 3600));
    assert!(rig.asked.is_empty());
    assert_eq!(winner(&rig), Some(Slot::Command));
}

#[test]
fn an_output_whose_device_is_gone_cannot_be_commanded() {
    let mut rig = Rig::ready(vec![lamp_point(1)], vec![]);
    rig.remove(LAMPS, lamp(1));
    let op = rig.write(lamp(1), Value::Integer(100));
    assert_eq!(rig.result(op), Some(&Err(Fault::Unreachable)));
    let read = rig.read(&[lamp(1)]);
    assert_eq!(rig.result(read), Some(&Err(Fault::Unreachable)));
    rig.declare(LAMPS, lamp(1));
    rig.accept(LAMPS, lamp(1), &OFF);
}

#[test]
fn a_device_that_refuses_is_tried_again_with_growing_pauses() {
    let mut rig = Rig::new(vec![lamp_point(1)], vec![]);
    rig.declare(LAMPS, lamp(1));
    for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        rig.answer(LAMPS, Err(Fault::Device("busy".to_owned())));
        rig.wait(secs(pause) - secs(1).min(secs(pause) / 2));
        assert!(rig.asked.is_empty(), "pause {pause}");
        rig.wait(secs(1).min(secs(pause) / 2));
        assert_eq!(rig.asked.len(), 1, "pause {pause}");
    }
    assert_eq!(rig.events.len(), 1, "told once");
}

#[test]
fn an_output_that_a_rule_leaves_for_want_of_its_sensor_goes_to_another_that_wants_it() {
    let sensor = |number| ResourceAddress::gateway(3303, number, 5700);
    let cooling = |number| ThermostatConfig {
        name: format!("room {number}"),
        sensor: sensor(number),
        setpoint: Setpoint::Fixed(20.0),
        on_threshold: 0.5,
        off_threshold: 0.5,
        output: FAN,
        mode: Mode::Cool,
        when_lost: WhenLost::Release,
        max_age: secs(86_400),
        instance: None,
        limit: None,
    };
    let point = ahu_point("fan", FAN, PointKind::Output);
    let thermostats = vec![cooling(0), cooling(1)];
    let config = SiteConfig {
        thermostats,
        ..config(vec![point], Vec::new())
    };
    let mut rig = Rig::restarted(config, None, start());
    rig.trust(ClockTrust::Trusted);
    rig.declare(AHU, FAN);
    for number in 0..2 {
        rig.declare(AHU, sensor(number));
        rig.sample(AHU, sensor(number), Value::Float(25.0));
    }
    rig.pass(secs(30));
    assert_eq!(winner(&rig), Some(Slot::Thermostat));
    rig.sample(AHU, sensor(1), Value::String("broken wire".to_owned()));
    assert_eq!(winner(&rig), None);
    rig.sample(AHU, sensor(0), Value::Float(25.0));
    assert_eq!(winner(&rig), Some(Slot::Thermostat));
}
