//! The limit of an output, whoever wants something of it.

use lamplighter_model::{ResourceAddress, Value, device::Fault};
use lamplighter_site::boundary::{
    BootState, FailSafe, FailSafeOn, GroupConfig, Limit, ManualConfig, OnViolation, PointConfig,
    PointKind, SiteEvent, SiteInput,
};

use crate::rig::{
    AHU, GROUP_COMMAND, LAMPS, Rig, ahu_point, group, lamp, lamp_point, millis, secs,
};

const HAND: ResourceAddress = ResourceAddress::gateway(3342, 9, 5500);
/// 3311 has a switch and a level.
const SPOT: ResourceAddress = ResourceAddress::gateway(3311, 0, 5850);
const SPOT_LEVEL: ResourceAddress = ResourceAddress::gateway(3311, 0, 5851);
const ON: Value = Value::Boolean(true);

fn limit(on_violation: OnViolation) -> Limit {
    Limit {
        min: Some(10.0),
        max: Some(80.5),
        on_violation,
    }
}

/// A lamp that is dimmed between 10 and 80.
fn dimmer(number: u16, on_violation: OnViolation) -> PointConfig {
    PointConfig {
        kind: PointKind::Dimmer,
        limit: Some(limit(on_violation)),
        ..lamp_point(number)
    }
}

fn spot(on_violation: OnViolation) -> PointConfig {
    PointConfig {
        name: "lamps.spot".to_owned(),
        address: SPOT,
        ..dimmer(0, on_violation)
    }
}

fn street(on_violation: OnViolation) -> Rig {
    let points = vec![dimmer(1, on_violation), spot(on_violation)];
    let members = GroupConfig {
        members: vec![lamp(1), SPOT],
        ..group([], millis(0))
    };
    Rig::ready(points, vec![members])
}

fn refused(rig: &mut Rig, address: ResourceAddress, value: Value) -> String {
    let op = rig.write(address, value);
    match rig.result(op) {
        Some(Err(Fault::BadValue(reason))) => reason.clone(),
        other => panic!("{other:?}"),
    }
}

fn commanded(rig: &Rig, name: &str) -> Option<Value> {
    rig.site.why(name, rig.now)?.commanded
}

#[test]
fn a_level_outside_the_limit_is_refused_with_the_limit() {
    let mut rig = street(OnViolation::Reject);
    for address in [lamp(1), SPOT_LEVEL] {
        assert_eq!(
            refused(&mut rig, address, Value::Integer(81)),
            "the highest permitted value is 80.5"
        );
        assert_eq!(
            refused(&mut rig, address, Value::Integer(9)),
            "the lowest permitted value is 10"
        );
        assert!(rig.asked.is_empty());
        let inside = rig.write(address, Value::Integer(80));
        rig.pass(secs(0));
        assert!(rig.is_done(inside));
    }
}

#[test]
fn a_level_outside_the_limit_is_clamped_where_that_is_configured() {
    let mut rig = street(OnViolation::Clamp);
    for (level, told) in [(100, 80), (1, 10), (50, 50)] {
        let op = rig.write(lamp(1), Value::Integer(level));
        rig.accept(LAMPS, lamp(1), &Value::Integer(told));
        assert!(rig.is_done(op));
    }
}

/// Minimum levels are of ballasts; whoever works on the line needs off.
#[test]
fn off_is_no_level_and_always_permitted() {
    for on_violation in [OnViolation::Reject, OnViolation::Clamp] {
        let mut rig = street(on_violation);
        rig.write(lamp(1), Value::Integer(50));
        rig.pass(secs(1));
        let op = rig.write(lamp(1), Value::Integer(0));
        rig.accept(LAMPS, lamp(1), &Value::Integer(0));
        assert!(rig.is_done(op));
    }
}

#[test]
fn on_is_as_much_as_the_limit_permits() {
    let mut rig = street(OnViolation::Reject);
    let op = rig.write(SPOT, ON);
    rig.accept(LAMPS, SPOT, &Value::Integer(80));
    assert!(rig.is_done(op));
    let why = rig.site.why("lamps.spot", rig.now).unwrap();
    assert_eq!(
        why.limited.as_deref(),
        Some("on is 80: its limit permits no more")
    );
}

#[test]
fn a_group_is_refused_what_the_limit_of_one_member_forbids() {
    let mut points = vec![lamp_point(1), dimmer(2, OnViolation::Reject)];
    points[0].kind = PointKind::Dimmer;
    let mut rig = Rig::ready(points, vec![group(1..=2, millis(0))]);
    assert_eq!(
        refused(&mut rig, GROUP_COMMAND, Value::Integer(90)),
        "lamps.l2: the highest permitted value is 80.5"
    );
    assert!(rig.asked.is_empty());
    let op = rig.write(GROUP_COMMAND, Value::Integer(70));
    assert!(rig.is_done(op));
}

#[test]
fn members_of_a_group_are_clamped_each_to_its_own_limit() {
    let mut points = vec![lamp_point(1), dimmer(2, OnViolation::Clamp)];
    points[0].kind = PointKind::Dimmer;
    let mut rig = Rig::ready(points, vec![group(1..=2, millis(0))]);
    rig.write(GROUP_COMMAND, Value::Integer(90));
    rig.accept(LAMPS, lamp(1), &Value::Integer(90));
    rig.accept(LAMPS, lamp(2), &Value::Integer(80));
}

#[test]
fn a_hand_switch_and_a_schedule_stay_within_the_limit_and_why_says_so() {
    let manual = ManualConfig {
        on: Some(HAND),
        off: None,
        limit: None,
    };
    let by_hand = GroupConfig {
        manual: Some(manual),
        ..group([1], millis(0))
    };
    let by_clock = GroupConfig {
        schedule: Some("always=on".parse().unwrap()),
        ..group([1], millis(0))
    };
    for group in [by_hand, by_clock] {
        let mut rig = Rig::ready(vec![dimmer(1, OnViolation::Reject)], vec![group]);
        rig.declare(AHU, HAND);
        rig.tell(crate::rules::clock());
        rig.sample(AHU, HAND, ON);
        rig.pass(secs(1));
        let why = rig.site.why("lamps.l1", rig.now).unwrap();
        assert_eq!(why.in_effect, Some(Value::Integer(80)));
        assert!(why.limited.is_some());
    }
}

#[test]
fn what_the_configuration_wants_stays_within_the_limit() {
    let point = PointConfig {
        boot: BootState::On,
        fail_safe: Some(FailSafe {
            on: FailSafeOn::ServerLost,
            after: secs(60),
            value: Value::Integer(90),
        }),
        ..dimmer(1, OnViolation::Reject)
    };
    let mut rig = Rig::ready(vec![point], Vec::new());
    assert_eq!(commanded(&rig, "lamps.l1"), Some(Value::Integer(80)));
    rig.write(lamp(1), Value::Integer(20));
    rig.tell(SiteInput::ServerContact(false));
    rig.pass(secs(61));
    assert_eq!(commanded(&rig, "lamps.l1"), Some(Value::Integer(80)));
}

#[test]
fn a_command_of_before_that_the_limit_forbids_by_now_is_brought_inside_and_told() {
    let mut rig = Rig::ready(
        vec![PointConfig {
            limit: None,
            ..dimmer(1, OnViolation::Reject)
        }],
        Vec::new(),
    );
    rig.write(lamp(1), Value::Integer(95));
    rig.pass(secs(1));
    let config = crate::rig::config(vec![dimmer(1, OnViolation::Reject)], Vec::new());
    let rig = Rig::restarted(config, rig.saved.clone(), rig.now);
    assert_eq!(commanded(&rig, "lamps.l1"), Some(Value::Integer(80)));
    let told = SiteEvent::Outdated {
        name: "lamps.l1".to_owned(),
        reason: "its limit does not permit 95 any more: 80 instead".to_owned(),
    };
    assert!(rig.events.contains(&told), "{:?}", rig.events);
}

#[test]
fn an_output_that_is_no_lamp_has_its_limit_also_for_off() {
    let valve = PointConfig {
        limit: Some(limit(OnViolation::Reject)),
        ..ahu_point("valve", SPOT_LEVEL, PointKind::Output)
    };
    let mut rig = Rig::ready(vec![valve], Vec::new());
    assert_eq!(
        refused(&mut rig, SPOT_LEVEL, Value::Integer(0)),
        "the lowest permitted value is 10"
    );
}
