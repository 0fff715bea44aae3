//! Groups that follow the light, alone or with a schedule.

use super::*;

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
