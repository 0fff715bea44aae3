//! Groups that follow the clock and the sun.

use super::*;

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

/// Lamps that are dimmed, the second between 10 and 80.
fn dimmed(group: GroupConfig) -> SiteConfig {
    let mut config = lamps(group);
    for point in &mut config.points[..2] {
        point.kind = PointKind::Dimmer;
    }
    config.points[1].limit = Some(Limit {
        min: Some(10.0),
        max: Some(80.0),
        on_violation: OnViolation::Reject,
    });
    config
}

fn level(rig: &Rig, number: u16) -> Option<f64> {
    why(rig, &format!("lamps.l{number}")).in_effect?.as_f64()
}

#[test]
fn lamps_follow_the_levels_of_the_night_within_their_limits() {
    let profile = "on=20:00 off=06:00 dim=50@22:30,30@01:00,100@05:00";
    let mut rig = ready(dimmed(scheduled(profile)), at(NOON));
    let mut found = Vec::new();
    for hour in 12..31 {
        let both = (level(&rig, 1), level(&rig, 2));
        if found.last().is_none_or(|(_, known)| *known != both) {
            found.push((hour, both));
        }
        rig.pass(secs(HOUR));
    }
    let levels = |one: u8, other: u8| (Some(f64::from(one)), Some(f64::from(other)));
    assert_eq!(
        found,
        [
            (12, levels(0, 0)),
            (20, levels(100, 80)),
            (23, levels(50, 50)),
            (25, levels(30, 30)),
            (29, levels(100, 80)),
            (30, levels(0, 0)),
        ]
    );
}

#[test]
fn why_says_which_level_holds_and_which_comes_next() {
    let profile = "on=20:00 off=06:00 level=80 dim=50@22:30";
    let mut rig = ready(dimmed(scheduled(profile)), at(NOON));
    rig.pass(secs(9 * HOUR));
    assert_eq!(says(&rig, "lamps.l1"), "on at 80 %, on at 50 % at 22:30");
    let (left, next) = why(&rig, "lamps.l1").rules[0].next.unwrap();
    // It has been up for two seconds.
    assert_eq!((left, next), (secs(5400 - 2), 50));
}

#[test]
fn a_level_is_an_event_that_ends_commands() {
    let profile = "on=20:00 off=06:00 dim=50@22:30";
    let mut rig = ready(dimmed(scheduled(profile)), at(NOON));
    rig.pass(secs(9 * HOUR));
    rig.write(lamp(1), Value::Integer(20));
    rig.pass(secs(60));
    assert_eq!(level(&rig, 1), Some(20.0));
    rig.pass(secs(2 * HOUR));
    assert_eq!(level(&rig, 1), Some(50.0));
}

#[test]
fn the_level_that_held_is_there_again_after_a_restart_without_a_date() {
    let profile = "on=20:00 off=06:00 dim=50@22:30";
    let mut config = dimmed(scheduled(profile));
    config.groups[0].photocell = Some(photocell(Policy::Or));
    let mut rig = ready(config.clone(), at(NOON));
    rig.pass(secs(11 * HOUR));
    assert_eq!(level(&rig, 1), Some(50.0));
    rig.now.unix = None;
    let rig = again(&rig, config, 60);
    assert_eq!(why(&rig, "lamps.l1").commanded, Some(Value::Integer(50)));
}

#[test]
fn levels_that_a_member_cannot_have_are_refused_and_one_that_was_kept_is_left_out() {
    let mut config = dimmed(scheduled("on=20:00 off=06:00"));
    config.points[0].kind = PointKind::Lamp;
    let mut rig = ready(config.clone(), at(NOON));
    for (written, why) in [
        (
            "on=20:00 off=06:00 dim=50@22:30",
            "lamps.l1 cannot dim: only 0 and 100 are possible",
        ),
        (
            "on=20:00 off=06:00 level=81",
            "lamps.l1 cannot dim: only 0 and 100 are possible",
        ),
    ] {
        let op = rig.write(rule(0, 3), text(written));
        assert_eq!(rig.result(op), Some(&Err(Fault::BadValue(why.to_owned()))));
    }
    // Off and on again are for relays too.
    let op = rig.write(rule(0, 3), text("on=20:00 off=06:00 dim=0@23:00,100@05:00"));
    assert!(rig.is_done(op));
    config.points[0].kind = PointKind::Dimmer;
    let mut rig = ready(config.clone(), at(NOON));
    let op = rig.write(rule(0, 3), text("on=20:00 off=06:00 dim=9@22:30"));
    let why = "lamps.l2: the lowest permitted value is 10".to_owned();
    assert_eq!(rig.result(op), Some(&Err(Fault::BadValue(why))));
    let op = rig.write(rule(0, 3), text("on=20:00 off=06:00 dim=50@22:30"));
    assert!(rig.is_done(op));
    assert_eq!(
        rig.value(rule(0, 3)),
        Some(text("on=20:00 off=06:00 dim=50@22:30"))
    );
    config.points[0].kind = PointKind::Lamp;
    let rig = again(&rig, config, 60);
    assert_eq!(rig.value(rule(0, 3)), Some(text("on=20:00 off=06:00")));
    assert!(
        rig.events
            .iter()
            .any(|event| matches!(event, SiteEvent::Outdated { .. }))
    );
}

#[test]
fn lamps_that_the_photocell_switches_on_burn_as_the_schedule_usually_begins() {
    let mut config = dimmed(scheduled("on=20:00 off=06:00 level=60 dim=50@22:30"));
    config.groups[0].photocell = Some(photocell(Policy::Or));
    let mut rig = ready(config, at(NOON));
    rig.sample(AHU, TWILIGHT, Value::Boolean(true));
    rig.pass(secs(1));
    assert_eq!(level(&rig, 1), Some(60.0));
}
