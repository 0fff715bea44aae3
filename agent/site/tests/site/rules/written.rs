//! What servers write to rules, and what becomes of it over a restart.

use lamplighter_site::saved::{SavedParameter, SavedSite};

use super::*;

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
    let none = rig.write_all(
        vec![
            (rule(0, 4), Value::Float(0.0)),
            (rule(0, 5), Value::Float(0.0)),
        ],
        None,
    );
    assert!(
        matches!(rig.result(none), Some(Err(Fault::BadValue(reason))) if reason.contains("no band"))
    );
    for (threshold, why) in [
        (-1.0, "0 to 1000"),
        (1000.5, "0 to 1000"),
        (f64::INFINITY, "finite"),
        (f64::NAN, "finite"),
    ] {
        for resource in [4, 5] {
            let op = rig.write(rule(0, resource), Value::Float(threshold));
            let Some(Err(Fault::BadValue(reason))) = rig.result(op) else {
                panic!("{:?}", rig.result(op));
            };
            assert!(reason.contains(why), "{reason}");
        }
    }
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
fn state_of_a_version_without_rules_is_read() {
    let config = lamps(scheduled("on=20:00 off=06:00"));
    let mut rig = ready(config, at(NOON));
    rig.write(lamp(1), Value::Integer(100));
    let mut old = serde_json::to_value(rig.saved.clone().unwrap()).unwrap();
    assert!(old.as_object_mut().unwrap().remove("rules").is_some());
    let read: SavedSite = serde_json::from_value(old).unwrap();
    assert_eq!(read.outputs, rig.saved.unwrap().outputs);
}

/// The state of a box, with what servers had written there.
fn with_written(rig: &Rig, rule: &str, written: &[(&str, &str, &str)]) -> SavedSite {
    let mut saved = rig.saved.clone().expect("it was saved");
    let rule = saved.rules.get_mut(rule).expect("it is a rule");
    for (parameter, value, configured) in written {
        let saved = SavedParameter {
            value: (*value).to_owned(),
            configured: (*configured).to_owned(),
        };
        rule.written.insert((*parameter).to_owned(), saved);
    }
    saved
}

fn started_with(config: SiteConfig, saved: SavedSite, rig: &Rig) -> Rig {
    let mut rig = Rig::restarted(config, Some(saved), rig.now);
    rig.tell(clock());
    rig
}

fn left_out(rig: &Rig) -> Vec<String> {
    let mut reasons = Vec::new();
    for event in &rig.events {
        if let SiteEvent::Outdated { reason, .. } = event {
            reasons.push(reason.clone());
        }
    }
    reasons
}

#[test]
fn of_what_was_written_only_that_is_left_out_which_does_not_fit_any_more_and_it_is_told() {
    let limit = Limit {
        min: None,
        max: Some(28.0),
        on_violation: OnViolation::Reject,
    };
    let config = cooled(
        ThermostatConfig {
            setpoint: Setpoint::Fixed(21.0),
            instance: Some(InstanceAddress {
                scope: Scope::Gateway,
                path: InstancePath::new(3308, 20),
            }),
            limit: Some(limit),
            ..thermostat()
        },
        None,
    );
    let mut rig = ready(config.clone(), start());
    rig.write(rule(0, 4), Value::Float(1.0));
    // As a version kept it that took negative thresholds, before the set point had a limit.
    let saved = with_written(
        &rig,
        "thermostat server_room",
        &[
            ("off_threshold", "-0.25", "0.5"),
            ("setpoint", "30", "21"),
            ("enabled", "false", "true"),
            ("phase", "full", "new"),
        ],
    );
    let rig = started_with(config, saved, &rig);
    let value = |resource| rig.value(rule(0, resource));
    assert_eq!(value(2), Some(Value::Boolean(false)));
    assert_eq!(value(4), Some(Value::Float(1.0)));
    assert_eq!(value(5), Some(Value::Float(0.5)));
    let [told] = &left_out(&rig)[..] else {
        panic!("{:?}", rig.events);
    };
    for part in [
        "off_threshold = -0.25: a threshold is a distance",
        "setpoint = 30: the highest permitted value is 28",
        "phase = full: the rule has no such parameter",
    ] {
        assert!(told.contains(part), "{told}");
    }
    // It is told once.
    let kept = &rig.saved.as_ref().unwrap().rules["thermostat server_room"];
    assert_eq!(
        kept.written.keys().collect::<Vec<_>>(),
        ["enabled", "on_threshold"]
    );
}

#[test]
fn written_levels_that_fit_only_together_are_taken_together_beside_one_that_does_not_fit() {
    let mut config = lamps(GroupConfig {
        photocell: Some(lux()),
        ..scheduled("on=20:00 off=06:00")
    });
    let mut rig = ready(config.clone(), at(NOON));
    let written = rig.write_all(
        vec![
            (rule(0, 3), text("on=sunset off=sunrise")),
            (rule(0, 4), Value::Float(5.0)),
            (rule(0, 5), Value::Float(10.0)),
        ],
        None,
    );
    assert!(rig.is_done(written));
    // Nobody knows any more where the sun is.
    config.position = None;
    let rig = again(&rig, config, 60);
    assert_eq!(rig.value(rule(0, 3)), Some(text("on=20:00 off=06:00")));
    assert_eq!(rig.value(rule(0, 4)), Some(Value::Float(5.0)));
    assert_eq!(rig.value(rule(0, 5)), Some(Value::Float(10.0)));
    let [told] = &left_out(&rig)[..] else {
        panic!("{:?}", rig.events);
    };
    assert!(
        told.contains("schedule = on=sunset off=sunrise: no position"),
        "{told}"
    );
}
