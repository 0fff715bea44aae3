//! Outputs that follow a measured value.

use super::*;

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
fn a_set_point_of_the_device_outside_its_limit_counts_as_the_nearest_inside() {
    let mut config = cooled(thermostat(), None);
    config.points[1].limit = Some(Limit {
        min: Some(16.0),
        max: Some(28.0),
        on_violation: OnViolation::Reject,
    });
    let mut rig = ready(config, start());
    rig.sample(AHU, SETPOINT, Value::Float(3276.7));
    air(&mut rig, 29.0);
    assert_eq!(compressor(&rig), Some(Value::Boolean(true)));
    let trouble =
        "the device holds the set point 3276.7, which its limit does not permit: 28 counts";
    assert_eq!(
        says(&rig, "ahu1.compressor"),
        format!("on, off at 27.5 or below; {trouble}")
    );
    let told = |trouble: Option<String>| SiteEvent::Rule {
        name: "server_room".to_owned(),
        trouble,
    };
    assert!(rig.events.contains(&told(Some(trouble.to_owned()))));
    rig.sample(AHU, SETPOINT, Value::Float(21.0));
    assert!(rig.events.contains(&told(None)));
    assert_eq!(says(&rig, "ahu1.compressor"), "on, off at 20.5 or below");
}
