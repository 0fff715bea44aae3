//! Schedules, photocells and thermostats at work.

use std::sync::Arc;

use lamplighter_model::{
    BootId, InstanceAddress, InstancePath, Quality, ResourceAddress, Sample, Scope, UnixTime,
    Value,
    device::{Action, AdapterEvent, Answer, Fault, LinkState},
};
use lamplighter_site::{
    boundary::{
        Clock, ClockTrust, GroupConfig, Guard, LightLevels, Limit, Mode, OnViolation,
        PhotocellConfig, PointKind, Policy, Position, Setpoint, SiteConfig, SiteEvent, SiteInput,
        Slot, ThermostatConfig, WhenLost, Why,
    },
    rule::{DEFAULT_MAX_AGE, Zone},
};

use crate::rig::*;

const RULE: u16 = VENDOR + 4;
const TWILIGHT: ResourceAddress = ResourceAddress::gateway(3419, 0, 3);
const LUX: ResourceAddress = ResourceAddress::gateway(3301, 0, 5700);
const AIR: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
const SETPOINT: ResourceAddress = ResourceAddress::gateway(3308, 0, 5900);
const COMPRESSOR: ResourceAddress = ResourceAddress::gateway(3306, 0, 5850);
/// 2026-06-15T12:00:00Z
const NOON: i64 = 1_781_524_800;
const HOUR: u64 = 3600;

fn rule(instance: u16, resource: u16) -> ResourceAddress {
    ResourceAddress::gateway(RULE, instance, resource)
}

fn clock() -> SiteInput {
    SiteInput::Clock(Clock {
        trust: ClockTrust::Trusted,
        zone: Arc::new(Zone::utc()),
    })
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn scheduled(schedule: &str) -> GroupConfig {
    GroupConfig {
        schedule: Some(schedule.parse().expect("a schedule")),
        ..group([1, 2], millis(300))
    }
}

fn photocell(policy: Policy) -> PhotocellConfig {
    PhotocellConfig {
        input: TWILIGHT,
        policy,
        levels: None,
        dwell: secs(0),
        instance: None,
    }
}

fn lux() -> PhotocellConfig {
    PhotocellConfig {
        input: LUX,
        levels: Some(LightLevels {
            on_lux: 20.0,
            off_lux: 40.0,
        }),
        dwell: secs(60),
        instance: Some(InstanceAddress {
            scope: Scope::Gateway,
            path: InstancePath::new(3419, 1),
        }),
        ..photocell(Policy::Or)
    }
}

fn lamps(group: GroupConfig) -> SiteConfig {
    let mut points = vec![lamp_point(1), lamp_point(2)];
    points.push(ahu_point("twilight", TWILIGHT, PointKind::Value));
    points.push(ahu_point("lux", LUX, PointKind::Value));
    SiteConfig {
        position: Some(Position {
            lat: 52.52,
            lon: 13.40,
        }),
        ..config(points, vec![group])
    }
}

fn thermostat() -> ThermostatConfig {
    ThermostatConfig {
        name: "server_room".to_owned(),
        sensor: AIR,
        setpoint: Setpoint::Point(SETPOINT),
        on_threshold: 0.5,
        off_threshold: 0.5,
        output: COMPRESSOR,
        mode: Mode::Cool,
        when_lost: WhenLost::Release,
        max_age: DEFAULT_MAX_AGE,
        instance: None,
        limit: None,
    }
}

fn cooled(thermostat: ThermostatConfig, guard: Option<Guard>) -> SiteConfig {
    let mut points = vec![
        ahu_point("supply_air", AIR, PointKind::Value),
        ahu_point("setpoint", SETPOINT, PointKind::Value),
        ahu_point("compressor", COMPRESSOR, PointKind::Output),
    ];
    points[2].guard = guard;
    SiteConfig {
        thermostats: vec![thermostat],
        ..config(points, Vec::new())
    }
}

fn at(unix: i64) -> lamplighter_model::Now {
    lamplighter_model::Now {
        unix: Some(UnixTime::from_seconds(unix)),
        ..start()
    }
}

/// Started with the date known, everything declared and answered.
fn ready(config: SiteConfig, now: lamplighter_model::Now) -> Rig {
    let points = config.points.clone();
    let mut rig = Rig::restarted(config, None, now);
    rig.tell(clock());
    for point in points {
        rig.declare(point.adapter, point.address);
    }
    rig.pass(secs(2));
    rig.forget();
    rig
}

/// The same box again, after it was off for some time.
fn again(rig: &Rig, config: SiteConfig, off: u64) -> Rig {
    let now = lamplighter_model::Now {
        boot: BootId(rig.now.boot.0 + 1),
        mono: secs(20),
        unix: rig
            .now
            .unix
            .map(|unix| UnixTime(unix.0 + i64::try_from(off).expect("short") * 1000)),
    };
    let points = config.points.clone();
    let mut rig = Rig::restarted(config, rig.saved.clone(), now);
    rig.tell(clock());
    for point in points {
        rig.declare(point.adapter, point.address);
    }
    rig.pass(secs(2));
    rig
}

fn why(rig: &Rig, name: &str) -> Why {
    rig.site
        .why(name, rig.now)
        .expect("the name is an output's")
}

fn is_on(rig: &Rig, number: u16) -> bool {
    why(rig, &format!("lamps.l{number}")).commanded == Some(Value::Boolean(true))
}

fn winner(rig: &Rig, name: &str) -> Slot {
    why(rig, name).slots[0].slot
}

fn says(rig: &Rig, name: &str) -> String {
    why(rig, name).rules[0].says.clone()
}

fn step_clock(rig: &mut Rig, seconds: i64) {
    rig.now.unix = rig.now.unix.map(|unix| UnixTime(unix.0 + seconds * 1000));
    rig.tell(clock());
}

#[test]
fn lamps_follow_their_schedule_one_after_the_other() {
    let mut rig = ready(
        lamps(scheduled("on=20:00 off=23:30 resume=04:00 end=05:00")),
        at(NOON),
    );
    assert!(!is_on(&rig, 1));
    let mut found = Vec::new();
    for _ in 0..24 * 60 {
        rig.pass(secs(60));
        let on = is_on(&rig, 1);
        assert_eq!(on, is_on(&rig, 2));
        if found.last() != Some(&on) {
            found.push(on);
        }
    }
    assert_eq!(found, [false, true, false, true, false]);
    // Nothing but the first state and four switchings of two lamps.
    let switched = rig.events.iter().filter(|event| {
        matches!(
            event,
            SiteEvent::Switched {
                slot: Slot::Schedule,
                ..
            }
        )
    });
    assert_eq!(switched.count(), 8);
}

#[test]
fn members_are_switched_with_their_stagger() {
    let mut rig = ready(lamps(scheduled("on=20:00 off=06:00")), at(NOON));
    rig.wait(secs(8 * HOUR));
    rig.pass(secs(2));
    assert!(is_on(&rig, 1) && is_on(&rig, 2));
    let mut times: Vec<_> = rig.asked_at.values().rev().take(2).copied().collect();
    times.sort_unstable();
    assert!(times[1] - times[0] >= millis(300), "{times:?}");
}

#[test]
fn after_a_start_it_is_what_it_should_be_now_before_a_line_is_driven() {
    // 21:00, in the middle of the evening.
    let mut rig = Rig::restarted(
        lamps(scheduled("on=20:00 off=06:00")),
        None,
        at(NOON + 9 * 3600),
    );
    rig.tell(clock());
    rig.declare(LAMPS, lamp(1));
    rig.accept(LAMPS, lamp(1), &Value::Boolean(true));
    assert_eq!(rig.asked, []);
}

#[test]
fn a_step_of_the_clock_counts_at_once() {
    let mut rig = ready(lamps(scheduled("on=20:00 off=06:00")), at(NOON));
    step_clock(&mut rig, 9 * 3600);
    assert!(is_on(&rig, 1));
    step_clock(&mut rig, -9 * 3600);
    assert!(!is_on(&rig, 1));
    // Also where it is noticed late, after timers of the former time.
    rig.now.unix = rig.now.unix.map(|unix| UnixTime(unix.0 - 3600 * 1000));
    rig.tell(clock());
    rig.pass(secs(8 * HOUR + 1800));
    assert!(!is_on(&rig, 1), "it is half past seven");
    rig.pass(secs(1801));
    assert!(is_on(&rig, 1));
}

#[test]
fn a_command_holds_until_the_next_event_of_the_schedule() {
    let mut rig = ready(lamps(scheduled("on=20:00 off=06:00")), at(NOON));
    rig.write(lamp(1), Value::Integer(100));
    rig.write(GROUP_COMMAND, Value::Integer(100));
    rig.pass(secs(1));
    let until = why(&rig, "lamps.l1").slots[0].ends_in.unwrap();
    assert!(until.abs_diff(secs(8 * HOUR)) < secs(10), "{until:?}");
    rig.pass(secs(8 * HOUR));
    // At eight it is on anyway, and the schedule holds it.
    assert_eq!(winner(&rig, "lamps.l1"), Slot::Schedule);
    assert_eq!(winner(&rig, "lamps.l2"), Slot::Schedule);
    rig.write(lamp(1), Value::Integer(0));
    rig.pass(secs(9 * HOUR));
    assert_eq!(winner(&rig, "lamps.l1"), Slot::Command);
    rig.pass(secs(HOUR + 60));
    assert_eq!(winner(&rig, "lamps.l1"), Slot::Schedule);
    assert!(!is_on(&rig, 1) && !is_on(&rig, 2));
}

#[test]
fn a_command_with_a_time_holds_for_that_and_over_events() {
    let mut rig = ready(lamps(scheduled("on=20:00 off=06:00")), at(NOON));
    rig.write_all(vec![(lamp(1), Value::Integer(0))], Some(secs(10 * HOUR)));
    rig.pass(secs(9 * HOUR));
    assert_eq!(winner(&rig, "lamps.l1"), Slot::Command);
    assert!(!is_on(&rig, 1) && is_on(&rig, 2));
    rig.pass(secs(HOUR));
    assert!(is_on(&rig, 1));
}

#[test]
fn a_command_holds_for_ever_where_that_is_configured() {
    let config = lamps(GroupConfig {
        until_next_event: false,
        ..scheduled("on=20:00 off=06:00")
    });
    let mut rig = ready(config, at(NOON));
    rig.write(lamp(1), Value::Integer(0));
    rig.pass(secs(48 * HOUR));
    assert_eq!(winner(&rig, "lamps.l1"), Slot::Command);
    let why = why(&rig, "lamps.l1");
    assert_eq!(why.slots[0].ends_in, None);
}

#[test]
fn a_command_ends_by_an_event_that_passed_while_the_box_was_off() {
    let config = lamps(scheduled("on=20:00 off=06:00"));
    let mut rig = ready(config.clone(), at(NOON));
    rig.write(lamp(1), Value::Integer(100));
    rig.pass(secs(1));
    let same = again(&rig, config.clone(), HOUR);
    assert!(is_on(&same, 1), "nothing has happened in this hour");
    let later = again(&rig, config, 20 * HOUR);
    assert!(!is_on(&later, 1));
    assert_eq!(winner(&later, "lamps.l1"), Slot::Schedule);
}

#[test]
fn without_a_date_lamps_are_on_and_everything_else_stays() {
    let now = lamplighter_model::Now {
        unix: None,
        ..start()
    };
    let mut config = lamps(scheduled("on=20:00 off=06:00"));
    config
        .points
        .push(ahu_point("pump", COMPRESSOR, PointKind::Output));
    config.groups[0].members.push(COMPRESSOR);
    let mut rig = ready(config, now);
    assert!(is_on(&rig, 1));
    assert!(
        says(&rig, "lamps.l1").contains("date is not known"),
        "{}",
        says(&rig, "lamps.l1")
    );
    assert_eq!(why(&rig, "ahu1.pump").slots, []);
    // The date comes: it is noon.
    rig.now.unix = Some(UnixTime::from_seconds(NOON));
    rig.tell(clock());
    rig.pass(secs(1));
    assert!(!is_on(&rig, 1));
    assert!(
        says(&rig, "lamps.l1").contains("off, on at 20:00"),
        "{}",
        says(&rig, "lamps.l1")
    );
    assert!(rig.events.contains(&SiteEvent::Rule {
        name: "main_street".to_owned(),
        trouble: None
    }));
}

#[test]
fn without_a_date_the_photocell_decides() {
    let now = lamplighter_model::Now {
        unix: None,
        ..start()
    };
    let group = GroupConfig {
        photocell: Some(photocell(Policy::And)),
        ..scheduled("on=20:00 off=06:00")
    };
    let mut rig = ready(lamps(group), now);
    rig.sample(AHU, TWILIGHT, Value::Boolean(false));
    assert!(!is_on(&rig, 1));
    rig.sample(AHU, TWILIGHT, Value::Boolean(true));
    assert!(is_on(&rig, 1));
}

#[test]
fn photocell_and_schedule_go_together_by_or_and_by_and() {
    for (policy, on) in [
        // Of schedule and photocell: neither, the first, the second, both.
        (Policy::Or, [false, true, true, true]),
        (Policy::And, [false, false, false, true]),
    ] {
        let group = GroupConfig {
            photocell: Some(photocell(policy)),
            ..scheduled("on=20:00 off=06:00")
        };
        let mut rig = ready(lamps(group), at(NOON));
        rig.sample(AHU, TWILIGHT, Value::Boolean(false));
        let neither = is_on(&rig, 1);
        rig.sample(AHU, TWILIGHT, Value::Boolean(true));
        let second = is_on(&rig, 1);
        rig.sample(AHU, TWILIGHT, Value::Boolean(false));
        rig.pass(secs(9 * HOUR));
        let first = is_on(&rig, 1);
        rig.sample(AHU, TWILIGHT, Value::Boolean(true));
        assert_eq!([neither, first, second, is_on(&rig, 1)], on, "{policy:?}");
    }
}

#[test]
fn a_light_sensor_has_hysteresis_and_dwell() {
    let group = GroupConfig {
        photocell: Some(lux()),
        ..group([1, 2], millis(300))
    };
    let mut rig = ready(lamps(group), at(NOON));
    let dark = ResourceAddress::gateway(3419, 1, 3);
    rig.sample(AHU, LUX, Value::Float(100.0));
    assert_eq!(rig.value(dark), Some(Value::Boolean(false)));
    // A cloud, for less than a minute.
    rig.sample(AHU, LUX, Value::Float(10.0));
    rig.pass(secs(50));
    rig.sample(AHU, LUX, Value::Float(50.0));
    rig.pass(secs(600));
    assert!(!is_on(&rig, 1));
    rig.sample(AHU, LUX, Value::Float(10.0));
    rig.pass(secs(30));
    // Between the levels it stays as it was.
    rig.sample(AHU, LUX, Value::Float(30.0));
    rig.pass(secs(31));
    assert!(is_on(&rig, 1));
    assert_eq!(rig.value(dark), Some(Value::Boolean(true)));
    for lux in [39.0, 21.0, 39.9, 0.0] {
        rig.sample(AHU, LUX, Value::Float(lux));
        rig.pass(secs(120));
        assert!(is_on(&rig, 1));
    }
}

#[test]
fn a_photocell_that_is_dark_at_noon_is_not_believed() {
    let group = GroupConfig {
        photocell: Some(photocell(Policy::Or)),
        ..scheduled("on=20:00 off=06:00")
    };
    // The evening before.
    let mut rig = ready(lamps(group), at(NOON - 12 * 3600));
    rig.sample(AHU, TWILIGHT, Value::Boolean(true));
    rig.pass(secs(10 * HOUR));
    assert!(is_on(&rig, 1), "nobody can know yet");
    // Solar noon in Berlin is at about 11:07 UTC.
    rig.pass(secs(2 * HOUR));
    assert!(!is_on(&rig, 1));
    let trouble = "the photocell says dark at noon: the schedule alone decides".to_owned();
    assert_eq!(says(&rig, "lamps.l1"), trouble);
    let event = SiteEvent::Rule {
        name: "main_street".to_owned(),
        trouble: Some(trouble),
    };
    assert_eq!(rig.events.iter().filter(|told| **told == event).count(), 1);
    // It has seen the light, and is believed again.
    rig.sample(AHU, TWILIGHT, Value::Boolean(false));
    rig.sample(AHU, TWILIGHT, Value::Boolean(true));
    assert!(is_on(&rig, 1));
}

#[test]
fn a_photocell_that_is_lost_leaves_it_to_the_schedule_or_lights_the_lamps() {
    for (schedule, on) in [(Some("on=20:00 off=06:00"), false), (None, true)] {
        let group = GroupConfig {
            photocell: Some(photocell(Policy::Or)),
            schedule: schedule.map(|text| text.parse().unwrap()),
            ..group([1, 2], millis(300))
        };
        let mut rig = ready(lamps(group), at(NOON));
        rig.link(AHU, LinkState::Online);
        rig.sample(AHU, TWILIGHT, Value::Boolean(schedule.is_some()));
        assert_eq!(is_on(&rig, 1), schedule.is_some());
        rig.link(AHU, LinkState::Offline);
        assert_eq!(is_on(&rig, 1), on, "{schedule:?}");
        rig.sample(AHU, TWILIGHT, Value::Boolean(false));
        assert!(!is_on(&rig, 1));
        let stale = Sample {
            quality: Quality::Stale,
            ..Sample::good(TWILIGHT, Value::Boolean(false), rig.now.stamp())
        };
        rig.tell(SiteInput::Adapter(AHU, AdapterEvent::Changed(vec![stale])));
        assert_eq!(is_on(&rig, 1), on, "{schedule:?}");
    }
}

#[test]
fn a_photocell_that_never_says_anything_is_told_and_lamps_are_on() {
    let config = lamps(GroupConfig {
        photocell: Some(photocell(Policy::Or)),
        ..group([1, 2], millis(300))
    });
    let mut rig = ready(config, at(NOON));
    assert!(!is_on(&rig, 1), "it may still speak");
    rig.pass(secs(10));
    assert!(is_on(&rig, 1));
    assert_eq!(
        says(&rig, "lamps.l1"),
        "the photocell says nothing: lamps are on"
    );
}

#[test]
fn what_the_photocell_said_last_counts_after_a_restart_until_it_speaks() {
    let config = lamps(GroupConfig {
        photocell: Some(photocell(Policy::Or)),
        ..group([1, 2], millis(300))
    });
    let mut rig = ready(config.clone(), at(NOON));
    rig.sample(AHU, TWILIGHT, Value::Boolean(true));
    rig.pass(secs(1));
    assert!(is_on(&rig, 1));
    let rig = again(&rig, config, 60);
    assert!(is_on(&rig, 1));
}

#[test]
fn a_server_changes_a_schedule_and_it_stays_until_the_file_says_something_else() {
    let config = lamps(scheduled("on=20:00 off=06:00"));
    let mut rig = ready(config.clone(), at(NOON));
    assert_eq!(rig.value(rule(0, 3)), Some(text("on=20:00 off=06:00")));
    assert_eq!(rig.value(rule(0, 1)), Some(text("schedule")));
    let refused = rig.write(rule(0, 3), text("on=20:00"));
    let Some(Err(Fault::BadValue(reason))) = rig.result(refused) else {
        panic!("{:?}", rig.result(refused));
    };
    assert_eq!(reason, "`on` and `off` are needed");
    assert_eq!(rig.value(rule(0, 3)), Some(text("on=20:00 off=06:00")));
    rig.forget();
    let changed = rig.write(rule(0, 3), text("on=11:00  off=13:00"));
    assert!(rig.is_done(changed));
    assert!(
        rig.trace.iter().position(|what| *what == "save")
            < rig.trace.iter().position(|what| *what == "done")
    );
    assert!(is_on(&rig, 1));
    assert_eq!(rig.value(rule(0, 3)), Some(text("on=11:00 off=13:00")));
    let kept = again(&rig, config, 60);
    assert!(is_on(&kept, 1));
    assert_eq!(kept.value(rule(0, 3)), Some(text("on=11:00 off=13:00")));
    let edited = again(&rig, lamps(scheduled("on=20:01 off=06:00")), 60);
    assert!(!is_on(&edited, 1));
    assert_eq!(edited.value(rule(0, 3)), Some(text("on=20:01 off=06:00")));
}

#[test]
fn a_schedule_by_the_sun_is_refused_where_nobody_knows_the_place() {
    let mut config = lamps(scheduled("on=20:00 off=06:00"));
    config.position = None;
    let mut rig = ready(config, at(NOON));
    let refused = rig.write(rule(0, 3), text("on=sunset off=06:00"));
    assert!(
        matches!(rig.result(refused), Some(Err(Fault::BadValue(reason))) if reason.contains("position"))
    );
}

#[test]
fn a_rule_that_is_switched_off_lets_its_outputs_go_and_stays_off() {
    let config = lamps(scheduled("on=11:00 off=13:00"));
    let mut rig = ready(config.clone(), at(NOON));
    assert!(is_on(&rig, 1));
    rig.write(rule(0, 2), Value::Boolean(false));
    rig.pass(secs(1));
    assert!(!is_on(&rig, 1));
    assert_eq!(winner(&rig, "lamps.l1"), Slot::Default);
    let mut rig = again(&rig, config, 60);
    assert!(!is_on(&rig, 1));
    assert_eq!(says(&rig, "lamps.l1"), "not enabled");
    rig.write(rule(0, 2), Value::Boolean(true));
    rig.pass(secs(1));
    assert!(is_on(&rig, 1));
}

#[test]
fn levels_of_a_light_sensor_can_be_written_at_both_places_and_go_together() {
    let group = GroupConfig {
        photocell: Some(lux()),
        ..group([1, 2], millis(300))
    };
    let mut rig = ready(lamps(group), at(NOON));
    let [on, off] = [1, 2].map(|resource| ResourceAddress::gateway(3419, 1, resource));
    let crossed = rig.write(on, Value::Float(50.0));
    assert!(matches!(rig.result(crossed), Some(Err(Fault::BadValue(_)))));
    let both = rig.write_all(
        vec![(on, Value::Float(50.0)), (off, Value::Float(70.0))],
        None,
    );
    assert!(rig.is_done(both));
    assert_eq!(rig.value(rule(0, 4)), Some(Value::Float(50.0)));
    let other = rig.write(rule(0, 5), Value::Float(80.0));
    assert!(rig.is_done(other));
    assert_eq!(rig.value(off), Some(Value::Float(80.0)));
}

/// Lets the compressor do what it is told.
fn compressor(rig: &Rig) -> Option<Value> {
    why(rig, "ahu1.compressor").commanded
}

fn air(rig: &mut Rig, degrees: f64) {
    rig.sample(AHU, AIR, Value::Float(degrees));
    rig.pass(secs(1));
}

#[test]
fn cooling_goes_on_above_and_off_below_and_stays_in_between() {
    let mut rig = ready(cooled(thermostat(), None), start());
    air(&mut rig, 25.0);
    assert_eq!(compressor(&rig), None, "there is no set point yet");
    rig.sample(AHU, SETPOINT, Value::Float(21.0));
    let (on, off) = (Some(Value::Boolean(true)), Some(Value::Boolean(false)));
    assert_eq!(compressor(&rig), on);
    for (degrees, wanted) in [
        (21.4, &on),
        (20.6, &on),
        (20.5, &off),
        (21.4, &off),
        (21.5, &on),
        (f64::from(19), &off),
    ] {
        air(&mut rig, degrees);
        assert_eq!(compressor(&rig), *wanted, "{degrees}");
    }
    assert_eq!(says(&rig, "ahu1.compressor"), "off, on at 21.5 or above");
    assert_eq!(winner(&rig, "ahu1.compressor"), Slot::Thermostat);
}

#[test]
fn heating_is_the_other_way_round() {
    let config = ThermostatConfig {
        mode: Mode::Heat,
        setpoint: Setpoint::Fixed(20.0),
        ..thermostat()
    };
    let mut rig = ready(cooled(config, None), start());
    for (degrees, on) in [(19.6, false), (19.5, true), (20.4, true), (20.5, false)] {
        air(&mut rig, degrees);
        assert_eq!(compressor(&rig), Some(Value::Boolean(on)), "{degrees}");
    }
}

#[test]
fn both_thresholds_and_a_fixed_set_point_can_be_written_and_survive() {
    let config = cooled(
        ThermostatConfig {
            setpoint: Setpoint::Fixed(21.0),
            instance: Some(InstanceAddress {
                scope: Scope::Gateway,
                path: InstancePath::new(3308, 20),
            }),
            limit: Some(Limit {
                min: Some(16.0),
                max: Some(28.0),
                on_violation: OnViolation::Reject,
            }),
            ..thermostat()
        },
        None,
    );
    let shown = ResourceAddress::gateway(3308, 20, 5900);
    let mut rig = ready(config.clone(), start());
    air(&mut rig, 22.0);
    assert_eq!(compressor(&rig), Some(Value::Boolean(true)));
    for (address, value) in [(rule(0, 4), 1.5), (rule(0, 5), 0.25), (shown, 23.0)] {
        let op = rig.write(address, Value::Float(value));
        assert!(rig.is_done(op));
    }
    let hot = rig.write(shown, Value::Float(28.5));
    let Some(Err(Fault::BadValue(reason))) = rig.result(hot) else {
        panic!("{:?}", rig.result(hot));
    };
    assert_eq!(reason, "the highest permitted value is 28");
    let narrow = rig.write(rule(0, 5), Value::Float(-1.5));
    assert!(
        matches!(rig.result(narrow), Some(Err(Fault::BadValue(reason))) if reason.contains("no band"))
    );
    rig.tell(SiteInput::ServerContact(false));
    let mut rig = again(&rig, config, 60);
    assert_eq!(rig.value(shown), Some(Value::Float(23.0)));
    assert_eq!(rig.value(rule(0, 4)), Some(Value::Float(1.5)));
    for (degrees, on) in [(24.4, false), (24.5, true), (22.8, true), (22.75, false)] {
        air(&mut rig, degrees);
        assert_eq!(compressor(&rig), Some(Value::Boolean(on)), "{degrees}");
    }
}

#[test]
fn a_sensor_that_is_lost_has_its_configured_answer_and_an_event() {
    for (when_lost, wanted) in [
        (WhenLost::Release, None),
        (WhenLost::Off, Some(Value::Boolean(false))),
        (WhenLost::On, Some(Value::Boolean(true))),
    ] {
        let config = ThermostatConfig {
            setpoint: Setpoint::Fixed(21.0),
            when_lost,
            ..thermostat()
        };
        let mut rig = ready(cooled(config, None), start());
        air(&mut rig, 25.0);
        // Who says nothing new has nothing new to say, as long as somebody vouches for it.
        rig.pass(secs(5000));
        air(&mut rig, 25.0);
        let stale = Sample {
            quality: Quality::Stale,
            ..Sample::good(AIR, Value::Float(25.0), rig.now.stamp())
        };
        rig.tell(SiteInput::Adapter(AHU, AdapterEvent::Changed(vec![stale])));
        rig.pass(secs(590));
        assert_eq!(compressor(&rig), Some(Value::Boolean(true)));
        rig.pass(secs(10));
        assert_eq!(compressor(&rig), wanted, "{when_lost:?}");
        assert!(rig.events.iter().any(|event| matches!(
            event,
            SiteEvent::Rule {
                trouble: Some(_),
                ..
            }
        )));
        // One that says that it is broken is lost at once.
        air(&mut rig, 25.0);
        assert_eq!(compressor(&rig), Some(Value::Boolean(true)));
        let bad = Sample {
            quality: Quality::Bad,
            ..Sample::good(AIR, Value::Float(25.0), rig.now.stamp())
        };
        rig.tell(SiteInput::Adapter(AHU, AdapterEvent::Changed(vec![bad])));
        assert_eq!(compressor(&rig), wanted, "{when_lost:?}");
    }
}

#[test]
fn after_a_restart_a_thermostat_goes_on_where_it_was() {
    let config = cooled(thermostat(), None);
    let mut rig = ready(config.clone(), start());
    rig.sample(AHU, SETPOINT, Value::Float(21.0));
    air(&mut rig, 22.0);
    air(&mut rig, 21.2);
    let mut rig = again(&rig, config, 60);
    assert_eq!(
        compressor(&rig),
        Some(Value::Boolean(true)),
        "before anything is measured"
    );
    air(&mut rig, 20.8);
    assert_eq!(
        compressor(&rig),
        Some(Value::Boolean(true)),
        "in the band, with the set point of before"
    );
    air(&mut rig, 20.4);
    assert_eq!(compressor(&rig), Some(Value::Boolean(false)));
}

#[test]
fn a_thermostat_never_switches_in_its_band_nor_faster_than_its_guard() {
    let guard = Guard {
        min_on: secs(180),
        min_off: secs(300),
        ..Guard::default()
    };
    let config = ThermostatConfig {
        setpoint: Setpoint::Fixed(21.0),
        ..thermostat()
    };
    let mut rig = ready(cooled(config, Some(guard)), start());
    rig.pass(secs(400));
    // A walk that a fixed generator makes, faster than any room.
    let (mut seed, mut degrees) = (0x2545_f491_4f6c_dd1d_u64, 21.0);
    let (mut last, mut switched) = (None, rig.now.mono);
    for _ in 0..4000 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        degrees = (degrees + (seed % 200) as f64 / 100.0 - 0.995).clamp(18.0, 24.0);
        let before = compressor(&rig);
        rig.sample(AHU, AIR, Value::Float(degrees));
        let after = compressor(&rig);
        if before.is_some() && before != after {
            let on = after == Some(Value::Boolean(true));
            assert!(
                if on { degrees >= 21.5 } else { degrees <= 20.5 },
                "{degrees}"
            );
        }
        for _ in 0..10 {
            rig.pass(secs(1));
            let in_effect = why(&rig, "ahu1.compressor").in_effect;
            if in_effect != last {
                let on = in_effect == Some(Value::Boolean(true));
                let least = if on { 300 } else { 180 };
                if last.is_some() {
                    assert!(rig.now.mono - switched >= secs(least - 1));
                }
                (last, switched) = (in_effect, rig.now.mono);
            }
        }
    }
    assert!(last.is_some());
}

#[test]
fn two_hours_without_anybody_saying_that_servers_are_lost_change_nothing() {
    // A suspension: the daemon does not tell it as a loss.
    let mut rig = ready(lamps(scheduled("on=06:00 off=20:00")), at(NOON));
    rig.tell(SiteInput::ServerContact(true));
    rig.write(lamp(2), Value::Integer(0));
    rig.pass(secs(1));
    rig.forget();
    rig.pass(secs(2 * HOUR));
    assert!(is_on(&rig, 1) && !is_on(&rig, 2));
    assert_eq!(rig.events, []);
}

#[test]
fn state_of_a_version_without_rules_is_read() {
    let config = lamps(scheduled("on=20:00 off=06:00"));
    let mut rig = ready(config, at(NOON));
    rig.write(lamp(1), Value::Integer(100));
    let mut old = serde_json::to_value(rig.saved.clone().unwrap()).unwrap();
    assert!(old.as_object_mut().unwrap().remove("rules").is_some());
    let read: lamplighter_site::saved::SavedSite = serde_json::from_value(old).unwrap();
    assert_eq!(read.outputs, rig.saved.unwrap().outputs);
}

/// What outputs were told by a box that starts, before anybody measured anything.
fn told_at_start(rig: &mut Rig) -> Vec<Value> {
    let mut told = Vec::new();
    while let Some((adapter, request)) = rig.asked.first().cloned() {
        if let Action::Write { values, .. } = request.action {
            told.extend(values.into_iter().map(|assignment| assignment.value));
        }
        rig.answer(adapter, Ok(Answer::default()));
    }
    told
}

#[test]
fn a_crash_loop_switches_nothing() {
    // Dark by the photocell alone, and a compressor that runs inside its band.
    let mut config = lamps(GroupConfig {
        photocell: Some(photocell(Policy::Or)),
        ..scheduled("on=20:00 off=06:00")
    });
    config.points.extend(cooled(thermostat(), None).points);
    config.thermostats = vec![thermostat()];
    let mut rig = ready(config.clone(), at(NOON));
    rig.sample(AHU, TWILIGHT, Value::Boolean(true));
    rig.sample(AHU, SETPOINT, Value::Float(21.0));
    air(&mut rig, 22.0);
    air(&mut rig, 21.0);
    for crash in 0..40u32 {
        let now = lamplighter_model::Now {
            boot: BootId(rig.now.boot.0 + crash % 2),
            ..rig.now
        };
        rig = Rig::restarted(config.clone(), rig.saved.clone(), now);
        rig.tell(clock());
        for point in &config.points {
            rig.declare(point.adapter, point.address);
        }
        let mut told = told_at_start(&mut rig);
        for _ in 0..20 {
            let end = rig.now.mono + millis(100);
            while rig.step(end) {}
            told.extend(told_at_start(&mut rig));
        }
        assert!(told.len() >= 3, "{told:?}");
        assert!(
            told.iter().all(|value| *value == Value::Boolean(true)),
            "start {crash}: {told:?}"
        );
    }
}
