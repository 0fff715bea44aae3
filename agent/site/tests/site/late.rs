//! What may still be given to an adapter after something has held it up for long.

use lamplighter_model::{ResourceAddress, Value, device::OpId};
use lamplighter_site::boundary::PointKind;

use crate::rig::{AHU, GROUP_COMMAND, LAMPS, Rig, ahu_point, group, lamp, lamp_point, millis};

const SETPOINT: ResourceAddress = ResourceAddress::gateway(3308, 0, 5900);

fn may_be_late(rig: &Rig) -> Vec<bool> {
    let asked = rig.asked.iter();
    asked
        .map(|(_, request)| rig.site.may_be_late(request.op, rig.now))
        .collect()
}

#[test]
fn what_somebody_waits_for_may_not() {
    let setpoint = ahu_point("setpoint", SETPOINT, PointKind::Value);
    let mut rig = Rig::ready(vec![lamp_point(1), setpoint], Vec::new());
    rig.write(lamp(1), Value::Integer(100));
    assert_eq!(may_be_late(&rig), [false]);
    rig.write(SETPOINT, Value::Float(21.5));
    assert_eq!(may_be_late(&rig), [false, false]);
    rig.read(&[SETPOINT]);
    assert_eq!(may_be_late(&rig), [false, false, true]);
    assert_eq!(rig.asked[1].0, AHU);
    assert!(!rig.site.may_be_late(OpId(0), rig.now), "given up");
}

#[test]
fn what_nobody_waits_for_may_go_off_and_on_only_while_it_still_shall() {
    let mut rig = Rig::ready(vec![lamp_point(1)], vec![group([1], millis(0))]);
    rig.write(GROUP_COMMAND, Value::Integer(100));
    assert_eq!(may_be_late(&rig), [true]);
    rig.write(GROUP_COMMAND, Value::Integer(0));
    assert_eq!(may_be_late(&rig), [false]);
    rig.accept(LAMPS, lamp(1), &Value::Boolean(true));
    assert_eq!(may_be_late(&rig), [true]);
    rig.write(GROUP_COMMAND, Value::Integer(100));
    assert_eq!(may_be_late(&rig), [true], "off is safe");
}
