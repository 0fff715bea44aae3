//! Relay failure, lamp failure, day burner, and the wait after a return of power.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use lamplighter_model::{
    ResourceAddress, Sample, Value,
    device::{AdapterEvent, AdapterId, Fault},
};
use lamplighter_site::boundary::{
    Alarm, GroupConfig, LampWatchConfig, ManualConfig, PointConfig, SiteConfig, SiteEvent,
    SiteInput,
};

use crate::rig::{GROUP_COMMAND, LAMPS, Rig, config, group, lamp, lamp_point, millis, secs, start};

const METER: AdapterId = AdapterId(5);
const POWER: ResourceAddress = ResourceAddress::gateway(3305, 0, 5800);
const HUNDRED: Value = Value::Integer(100);
const ON: Value = Value::Boolean(true);
const OFF: Value = Value::Boolean(false);

fn of_lamp(resource: u16) -> ResourceAddress {
    ResourceAddress::gateway(3416, 1, resource)
}

fn alarm(name: &str, alarm: Alarm, active: bool) -> SiteEvent {
    SiteEvent::Alarm {
        name: name.to_owned(),
        alarm,
        active,
    }
}

fn alarms(rig: &mut Rig) -> Vec<SiteEvent> {
    let events = std::mem::take(&mut rig.events);
    let is_alarm = |event: &SiteEvent| matches!(event, SiteEvent::Alarm { .. });
    events.into_iter().filter(is_alarm).collect()
}

fn with_contact() -> PointConfig {
    PointConfig {
        feedback: Some(millis(500)),
        ..lamp_point(1)
    }
}

#[test]
fn a_contact_that_does_not_follow_is_a_relay_failure_until_it_does() {
    let mut rig = Rig::ready(vec![with_contact()], Vec::new());
    assert_eq!(rig.value(of_lamp(9)), Some(OFF));
    rig.sample(LAMPS, lamp(1), OFF);
    rig.write(lamp(1), HUNDRED);
    let words = "feedback GPIO16 is still off".to_owned();
    rig.answer(LAMPS, Err(Fault::Device(words)));
    rig.sample(LAMPS, lamp(1), OFF);
    // The command was refused; in force again is what the contact says.
    rig.pass(secs(2));
    let [began, ended] = [true, false].map(|active| alarm("lamps.l1", Alarm::RelayFailure, active));
    assert_eq!(alarms(&mut rig), [began, ended]);
    rig.write(lamp(1), HUNDRED);
    rig.pass(millis(0));
    rig.wait(millis(500));
    assert_eq!(
        alarms(&mut rig),
        [alarm("lamps.l1", Alarm::RelayFailure, true)]
    );
    assert_eq!(rig.value(of_lamp(9)), Some(ON));
    assert_eq!(
        rig.value(of_lamp(3)),
        Some(Value::Integer(0)),
        "as measured"
    );
    rig.sample(LAMPS, lamp(1), ON);
    assert_eq!(
        alarms(&mut rig),
        [alarm("lamps.l1", Alarm::RelayFailure, false)]
    );
    assert_eq!(rig.value(of_lamp(9)), Some(OFF));
}

#[test]
fn a_contact_that_opens_by_itself_is_a_relay_failure_and_the_relay_is_told_again() {
    let mut rig = Rig::ready(vec![with_contact()], Vec::new());
    rig.write(lamp(1), HUNDRED);
    rig.accept(LAMPS, lamp(1), &ON);
    rig.sample(LAMPS, lamp(1), ON);
    rig.advance(secs(1000));
    rig.forget();
    rig.sample(LAMPS, lamp(1), OFF);
    rig.wait(millis(499));
    assert_eq!(alarms(&mut rig), []);
    rig.wait(millis(1));
    assert_eq!(
        alarms(&mut rig),
        [alarm("lamps.l1", Alarm::RelayFailure, true)]
    );
    rig.wait(millis(500));
    rig.accept(LAMPS, lamp(1), &ON);
    rig.sample(LAMPS, lamp(1), ON);
    assert_eq!(
        alarms(&mut rig),
        [alarm("lamps.l1", Alarm::RelayFailure, false)]
    );
}

#[test]
fn what_goes_astray_is_told_again_with_growing_pauses() {
    let mut rig = Rig::ready(vec![lamp_point(1)], Vec::new());
    rig.write(lamp(1), HUNDRED);
    rig.accept(LAMPS, lamp(1), &ON);
    for pause in [1, 2, 4, 8] {
        rig.advance(millis(1));
        rig.sample(LAMPS, lamp(1), OFF);
        rig.wait(millis(pause * 1000 - 1));
        assert!(rig.asked.is_empty(), "{pause}");
        rig.wait(millis(1));
        rig.accept(LAMPS, lamp(1), &ON);
    }
    let told = "it was told on and does something else";
    let failed =
        |event: &&SiteEvent| matches!(event, SiteEvent::Failed { reason, .. } if reason == told);
    assert_eq!(rig.events.iter().filter(failed).count(), 4);
}

fn watched(target: &str) -> SiteConfig {
    let watch = LampWatchConfig {
        name: "feeder".to_owned(),
        target: target.to_owned(),
        input: POWER,
        on_below: Some(40.0),
        off_above: Some(5.0),
        after: secs(300),
    };
    SiteConfig {
        lamp_watches: vec![watch],
        ..config(
            vec![lamp_point(1), lamp_point(2)],
            vec![group(1..=2, millis(0))],
        )
    }
}

fn start_with(config: SiteConfig) -> Rig {
    let mut rig = Rig::restarted(config, None, start());
    rig.declare(LAMPS, lamp(1));
    rig.declare(LAMPS, lamp(2));
    rig.declare(METER, POWER);
    rig.pass(secs(2));
    rig.forget();
    rig
}

fn power(rig: &mut Rig, watts: f64) {
    let sample = Sample::good(POWER, Value::Float(watts), rig.now.stamp());
    rig.tell(SiteInput::Adapter(
        METER,
        AdapterEvent::Changed(vec![sample]),
    ));
}

#[test]
fn a_lamp_without_power_for_long_enough_has_failed_until_it_is_seen_to_burn() {
    let mut rig = start_with(watched("lamps.l1"));
    assert_eq!(rig.value(of_lamp(5)), Some(OFF));
    power(&mut rig, 0.0);
    rig.advance(secs(1));
    rig.write(lamp(1), HUNDRED);
    rig.accept(LAMPS, lamp(1), &ON);
    rig.wait(secs(1000));
    assert_eq!(alarms(&mut rig), [], "the power was measured before");
    power(&mut rig, 12.0);
    rig.wait(secs(299));
    assert_eq!(alarms(&mut rig), []);
    rig.wait(secs(1));
    assert_eq!(
        alarms(&mut rig),
        [alarm("lamps.l1", Alarm::LampFailure, true)]
    );
    assert_eq!(rig.value(of_lamp(5)), Some(ON));
    // By day nobody knows.
    rig.write(lamp(1), Value::Integer(0));
    rig.accept(LAMPS, lamp(1), &OFF);
    power(&mut rig, 0.0);
    rig.wait(secs(1000));
    assert_eq!(alarms(&mut rig), []);
    rig.write(lamp(1), HUNDRED);
    rig.accept(LAMPS, lamp(1), &ON);
    power(&mut rig, 80.0);
    assert_eq!(
        alarms(&mut rig),
        [alarm("lamps.l1", Alarm::LampFailure, false)]
    );
}

#[test]
fn a_lamp_that_takes_power_while_it_is_off_is_a_day_burner() {
    let mut rig = start_with(watched("lamps.l1"));
    power(&mut rig, 80.0);
    rig.wait(secs(300));
    assert_eq!(
        alarms(&mut rig),
        [alarm("lamps.l1", Alarm::DayBurner, true)]
    );
    assert_eq!(rig.value(of_lamp(10)), Some(ON));
    power(&mut rig, 1.0);
    assert_eq!(
        alarms(&mut rig),
        [alarm("lamps.l1", Alarm::DayBurner, false)]
    );
}

#[test]
fn a_feeder_is_judged_while_all_its_lamps_are_told_the_same() {
    let mut rig = start_with(watched("main_street"));
    let of_group = ResourceAddress::gateway(3416, 60000, 5);
    assert!(
        !rig.declared.contains_key(&of_lamp(5)),
        "whose, nobody knows"
    );
    rig.write(lamp(1), HUNDRED);
    rig.pass(secs(1));
    power(&mut rig, 20.0);
    rig.pass(secs(1000));
    assert_eq!(alarms(&mut rig), []);
    rig.write(GROUP_COMMAND, HUNDRED);
    rig.pass(secs(1));
    power(&mut rig, 20.0);
    rig.pass(secs(300));
    assert_eq!(
        alarms(&mut rig),
        [alarm("main_street", Alarm::LampFailure, true)]
    );
    assert_eq!(rig.value(of_group), Some(ON));
}

#[test]
fn power_that_is_not_known_says_nothing() {
    let mut rig = start_with(watched("lamps.l1"));
    rig.write(lamp(1), HUNDRED);
    rig.accept(LAMPS, lamp(1), &ON);
    power(&mut rig, 0.0);
    rig.wait(secs(200));
    let mut sample = Sample::good(POWER, Value::Float(0.0), rig.now.stamp());
    sample.quality = lamplighter_model::Quality::Bad;
    rig.tell(SiteInput::Adapter(
        METER,
        AdapterEvent::Changed(vec![sample]),
    ));
    rig.wait(secs(1000));
    assert_eq!(alarms(&mut rig), []);
}

fn feeders() -> SiteConfig {
    let street = GroupConfig {
        power_return_spread: secs(120),
        ..group(1..=2, millis(300))
    };
    let manual = ManualConfig {
        on: Some(ResourceAddress::gateway(3342, 9, 5500)),
        off: None,
        limit: None,
    };
    let street = GroupConfig {
        manual: Some(manual),
        ..street
    };
    config(vec![lamp_point(1), lamp_point(2)], vec![street])
}

/// The street was on, and the power comes back.
fn power_returns(seed: u64) -> Rig {
    let mut rig = start_with(feeders());
    rig.pass(secs(200));
    rig.write(GROUP_COMMAND, HUNDRED);
    rig.pass(secs(2));
    let mut now = rig.now;
    now.boot.0 += 1;
    now.mono = secs(20);
    let config = SiteConfig { seed, ..feeders() };
    let mut rig = Rig::restarted(config, rig.saved.clone(), now);
    rig.declare(LAMPS, lamp(1));
    rig.declare(LAMPS, lamp(2));
    rig
}

/// When both lamps went on after the return.
fn on_after(rig: &mut Rig) -> Vec<u64> {
    let begin = rig.now.mono;
    let mut times = Vec::new();
    for _ in 0..2400 {
        for (_, request) in &rig.asked {
            let on = |number| request.action == crate::rig::write_of(lamp(number), &ON);
            if on(1) || on(2) {
                times.push(u64::try_from((rig.now.mono - begin).as_millis()).unwrap());
            }
        }
        rig.pass(millis(0));
        rig.wait(millis(100));
    }
    times
}

#[test]
fn after_a_return_of_power_a_street_waits_a_random_time_and_keeps_its_stagger() {
    let mut all = Vec::new();
    for seed in 0..8 {
        let mut rig = power_returns(seed);
        rig.accept(LAMPS, lamp(1), &OFF);
        rig.wait(millis(300));
        rig.accept(LAMPS, lamp(2), &OFF);
        let held = rig.site.why("lamps.l1", rig.now).unwrap().held_by;
        assert!(held.unwrap().starts_with("waits after the return of power"));
        let times = on_after(&mut rig);
        assert_eq!(times.len(), 2);
        assert!(
            times[0] <= 120_100 && times[1] >= times[0] + 200,
            "{times:?}"
        );
        all.push(times[0]);
    }
    all.sort_unstable();
    all.dedup();
    assert!(all.len() > 5, "{all:?}");
}

#[test]
fn a_restart_of_the_program_neither_begins_nor_ends_the_wait() {
    let mut rig = power_returns(3);
    let whole = on_after(&mut power_returns(3));
    assert!(whole[0] > 2000, "{whole:?}");
    rig.pass(secs(1));
    let config = SiteConfig {
        seed: 4,
        ..feeders()
    };
    let mut rig = Rig::restarted(config, rig.saved.clone(), rig.now);
    rig.declare(LAMPS, lamp(1));
    rig.declare(LAMPS, lamp(2));
    let rest = on_after(&mut rig);
    assert!(
        rest[0].abs_diff(whole[0] - 1000) <= 200,
        "{rest:?} {whole:?}"
    );
    rig.pass(secs(200));
    let mut rig = Rig::restarted(feeders(), rig.saved.clone(), rig.now);
    rig.declare(LAMPS, lamp(1));
    rig.accept(LAMPS, lamp(1), &ON);
}

#[test]
fn what_is_commanded_since_the_return_does_not_wait() {
    let mut rig = power_returns(3);
    rig.pass(secs(1));
    rig.write(lamp(1), HUNDRED);
    rig.accept(LAMPS, lamp(1), &ON);
    let hand = ResourceAddress::gateway(3342, 9, 5500);
    rig.declare(METER, hand);
    rig.sample(METER, hand, ON);
    rig.wait(secs(1));
    rig.accept(LAMPS, lamp(2), &ON);
}

#[test]
fn a_hand_switch_is_shown_as_manual_override() {
    let mut rig = start_with(feeders());
    assert_eq!(rig.value(of_lamp(54)), Some(OFF));
    let hand = ResourceAddress::gateway(3342, 9, 5500);
    rig.declare(METER, hand);
    rig.sample(METER, hand, ON);
    rig.pass(secs(1));
    assert_eq!(rig.value(of_lamp(54)), Some(ON));
    let since = rig.value(of_lamp(50));
    assert!(matches!(since, Some(Value::Time(since)) if since > 1_750_000_000));
    assert_eq!(rig.value(of_lamp(51)), Some(Value::Time(0)));
}
