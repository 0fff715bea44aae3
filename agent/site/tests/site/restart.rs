//! What survives, and what is made of it at the next start.

use std::time::Duration;

use lamplighter_model::{
    BootId, Now, ResourceAddress, UnixTime, Value,
    device::{Action, Assignment, DeviceRequest, OpId, Origin},
};
use lamplighter_site::{
    boundary::{
        ClockTrust, Guard, LockRequest, PointConfig, PointKind, SiteConfig, SiteInput, Slot,
    },
    saved::SavedSite,
};

use crate::rig::{
    AHU, GROUP_COMMAND, LAMPS, Rig, ahu_point, config, group, lamp, lamp_point, millis, secs,
    server,
};

const ON: Value = Value::Boolean(true);
const OFF: Value = Value::Boolean(false);
const COMPRESSOR: ResourceAddress = ResourceAddress::gateway(3306, 0, 5850);

fn site() -> SiteConfig {
    let guard = Guard {
        min_on: secs(180),
        min_off: secs(300),
        ..Guard::default()
    };
    let compressor = PointConfig {
        guard: Some(guard),
        ..ahu_point("compressor", COMPRESSOR, PointKind::Output)
    };
    config(
        vec![lamp_point(1), lamp_point(2), compressor],
        vec![group(1..=2, millis(300))],
    )
}

fn run() -> Rig {
    let config = site();
    let mut rig = Rig::ready(config.points, config.groups);
    rig.trust(ClockTrust::Trusted);
    rig.sample(AHU, COMPRESSOR, OFF);
    rig.wait(secs(600));
    rig
}

/// The same machine after a restart of the program.
fn again(rig: &Rig, pause: Duration) -> Rig {
    let now = Now {
        mono: rig.now.mono + pause,
        ..rig.now
    };
    Rig::restarted(site(), rig.saved.clone(), now)
}

/// After a power cut of this length; the date is known or not.
fn power_cut(rig: &Rig, pause: Duration, dated: bool) -> Rig {
    let unix = rig.now.unix.filter(|_| dated);
    let unix = unix
        .map(|unix| UnixTime(unix.0 + i64::try_from(pause.as_millis()).expect("tests are short")));
    Rig::restarted(
        site(),
        rig.saved.clone(),
        Now {
            boot: BootId(2),
            mono: secs(20),
            unix,
        },
    )
}

#[test]
fn commands_survive_and_are_the_first_that_is_driven() {
    let mut rig = run();
    rig.write(GROUP_COMMAND, Value::Integer(100));
    rig.pass(secs(5));
    rig.write(lamp(2), Value::Integer(0));
    rig.pass(secs(5));
    let mut rig = power_cut(&rig, secs(3600), true);
    assert!(rig.asked.is_empty());
    rig.declare(LAMPS, lamp(1));
    rig.accept(LAMPS, lamp(1), &ON);
    rig.declare(LAMPS, lamp(2));
    rig.wait(millis(300));
    rig.accept(LAMPS, lamp(2), &OFF);
    let slots = |name| rig.site.why(name, rig.now).expect("an output").slots;
    assert_eq!(slots("lamps.l1")[0].slot, Slot::GroupCommand);
    assert_eq!(slots("lamps.l1")[0].since.as_secs(), 3610);
    assert_eq!(slots("lamps.l2")[0].slot, Slot::Command);
    assert_eq!(rig.site.groups()[0].commanded, Some(100));
}

#[test]
fn a_holding_time_goes_on_over_a_power_cut() {
    let mut rig = run();
    rig.write_all(vec![(lamp(1), Value::Integer(100))], Some(secs(7200)));
    rig.pass(secs(0));
    for (pause, dated, left) in [
        (secs(3600), true, Some(3600)),
        (secs(3600), false, Some(7200)),
        (secs(7200), true, None),
    ] {
        let rig = power_cut(&rig, pause, dated);
        let why = rig.site.why("lamps.l1", rig.now).expect("an output");
        let command = why.slots.iter().find(|slot| slot.slot == Slot::Command);
        assert_eq!(
            command.map(|slot| slot.ends_in),
            left.map(|left| Some(secs(left))),
            "{pause:?} {dated}"
        );
    }
}

#[test]
fn a_crash_loop_does_not_short_cycle_a_compressor() {
    let mut rig = run();
    rig.write(COMPRESSOR, ON);
    rig.accept(AHU, COMPRESSOR, &ON);
    for _ in 0..20 {
        rig = again(&rig, secs(10));
        rig.declare(AHU, COMPRESSOR);
        rig.wait(secs(10));
        assert!(rig.asked.is_empty(), "nobody knows whether it still runs");
    }
    rig.sample(AHU, COMPRESSOR, ON);
    rig.accept(AHU, COMPRESSOR, &ON);
}

/// How long the guard of the compressor still holds it off.
fn guard_left(rig: &mut Rig) -> Option<Duration> {
    rig.write(COMPRESSOR, ON);
    let why = rig.site.why("ahu1.compressor", rig.now);
    why.and_then(|why| why.guard_left)
}

/// The compressor has run, and has just been switched off.
fn stopped(trust: ClockTrust) -> Rig {
    let mut rig = run();
    rig.trust(trust);
    rig.write(COMPRESSOR, ON);
    rig.pass(secs(200));
    rig.write(COMPRESSOR, OFF);
    rig.pass(secs(0));
    rig
}

#[test]
fn the_rest_of_a_compressor_counts_over_a_restart() {
    let rig = stopped(ClockTrust::Estimated);
    let mut rig = again(&rig, secs(100));
    rig.declare(AHU, COMPRESSOR);
    assert_eq!(guard_left(&mut rig), Some(secs(200)));
}

#[test]
fn the_rest_of_a_compressor_counts_over_a_power_cut_where_the_date_is_trusted_before_and_after() {
    use ClockTrust::{Estimated, Trusted};
    let cases = [
        (Trusted, Trusted, true, 200),
        (Trusted, Trusted, false, 300),
        (Trusted, Estimated, true, 300),
        (Estimated, Trusted, true, 300),
    ];
    for (before, after, dated, left) in cases {
        let rig = stopped(before);
        let mut rig = power_cut(&rig, secs(100), dated);
        rig.trust(after);
        rig.declare(AHU, COMPRESSOR);
        let found = guard_left(&mut rig);
        assert_eq!(found, Some(secs(left)), "{before:?} {after:?} {dated}");
    }
}

#[test]
fn a_date_that_comes_later_lets_a_rested_compressor_go_on() {
    let rig = stopped(ClockTrust::Trusted);
    let mut rig = power_cut(&rig, secs(290), true);
    rig.trust(ClockTrust::Estimated);
    rig.declare(AHU, COMPRESSOR);
    rig.accept(AHU, COMPRESSOR, &OFF);
    rig.sample(AHU, COMPRESSOR, OFF);
    assert_eq!(guard_left(&mut rig), Some(secs(300)));
    rig.wait(secs(20));
    assert!(rig.asked.is_empty());
    rig.trust(ClockTrust::Trusted);
    rig.accept(AHU, COMPRESSOR, &ON);
}

#[test]
fn starts_of_the_last_hour_are_as_long_ago_as_a_trusted_date_says() {
    let mut site = site();
    let guard = site.points[2].guard.as_mut().expect("the compressor's");
    guard.max_starts_per_hour = Some(1);
    for (trust, left) in [(ClockTrust::Trusted, 600), (ClockTrust::Estimated, 3600)] {
        let mut rig = Rig::restarted(site.clone(), None, crate::rig::start());
        rig.declare(AHU, COMPRESSOR);
        rig.sample(AHU, COMPRESSOR, OFF);
        rig.trust(ClockTrust::Trusted);
        rig.wait(secs(600));
        rig.write(COMPRESSOR, ON);
        rig.pass(secs(200));
        rig.write(COMPRESSOR, OFF);
        rig.pass(secs(0));
        let now = power_cut(&rig, secs(2800), true).now;
        let mut rig = Rig::restarted(site.clone(), rig.saved.clone(), now);
        rig.trust(trust);
        rig.declare(AHU, COMPRESSOR);
        assert_eq!(guard_left(&mut rig), Some(secs(left)), "{trust:?}");
    }
}

#[test]
fn counters_survive() {
    let mut rig = run();
    rig.write(lamp(1), Value::Integer(100));
    rig.pass(secs(3600));
    let hours = ResourceAddress::gateway(3416, 1, 15);
    let mut rig = power_cut(&rig, secs(60), true);
    rig.declare(LAMPS, lamp(1));
    assert_eq!(rig.value(hours).and_then(|hours| hours.as_f64()), Some(1.0));
}

#[test]
fn the_state_of_a_later_version_is_not_used() {
    let mut rig = run();
    rig.write(lamp(1), Value::Integer(100));
    rig.pass(secs(0));
    let saved = rig.saved.clone().map(|saved| SavedSite {
        version: SavedSite::VERSION + 1,
        ..saved
    });
    let rig = Rig::restarted(site(), saved, rig.now);
    assert_eq!(rig.site.outputs()[0].winner, Some(Slot::Default));
    assert_eq!(rig.events.len(), 1);
}

#[test]
fn the_locks_of_a_later_version_hold() {
    let mut rig = run();
    let (what, by) = ("lamps.l1".to_owned(), Origin::Local("anna".to_owned()));
    rig.tell(SiteInput::Lock(OpId(1), LockRequest::Lock { what, by }));
    let saved = rig.saved.clone().map(|saved| SavedSite {
        version: SavedSite::VERSION + 1,
        ..saved
    });
    let rig = Rig::restarted(site(), saved, rig.now);
    assert_eq!(rig.site.locks(rig.now)[0].name, "lamps.l1");
    assert_eq!(rig.site.outputs()[0].winner, Some(Slot::MaintenanceLock));
}

#[test]
fn what_is_kept_reads_back_as_it_was() {
    let mut rig = run();
    rig.write_all(vec![(lamp(1), Value::Integer(100))], Some(secs(7200)));
    rig.write(GROUP_COMMAND, Value::Integer(0));
    rig.write(COMPRESSOR, ON);
    rig.pass(secs(5));
    let saved = rig.saved.clone().expect("it was saved");
    let text = serde_json::to_string(&saved).expect("it has a form");
    assert_eq!(
        serde_json::from_str::<SavedSite>(&text).expect("it is read"),
        saved
    );
    let kept = |rig: &Rig| {
        let why = rig.site.why("lamps.l1", rig.now).expect("an output");
        let kept = why
            .slots
            .into_iter()
            .filter(|slot| slot.slot != Slot::Default);
        kept.collect::<Vec<_>>()
    };
    assert_eq!(kept(&again(&rig, secs(0))), kept(&rig));
}

#[test]
fn a_write_that_was_under_way_when_the_program_ended_counts_from_the_restart() {
    let mut rig = run();
    rig.write(COMPRESSOR, ON);
    rig.pass(secs(200));
    rig.write(COMPRESSOR, OFF);
    let mut rig = again(&rig, secs(3));
    rig.declare(AHU, COMPRESSOR);
    rig.sample(AHU, COMPRESSOR, OFF);
    rig.accept(AHU, COMPRESSOR, &OFF);
    rig.write(COMPRESSOR, ON);
    let left = rig
        .site
        .why("ahu1.compressor", rig.now)
        .and_then(|why| why.guard_left);
    assert_eq!(left, Some(secs(300)));
}

#[test]
fn what_is_kept_goes_out_in_the_order_in_which_it_came_to_be() {
    let mut rig = run();
    // Two turns before anybody fetches anything.
    for (op, level) in [(OpId(1), 100), (OpId(2), 0)] {
        let values = vec![Assignment {
            address: lamp(1),
            index: None,
            value: Value::Integer(level),
        }];
        let action = Action::Write { values, hold: None };
        let origin = server();
        let request = DeviceRequest { origin, action };
        rig.site.handle(SiteInput::Request(op, request), rig.now);
    }
    rig.tell(SiteInput::Timeout);
    let kept = rig.saved.as_ref().unwrap();
    let mut slots = kept.outputs["lamps.l1"].slots.iter();
    let command = slots.find(|kept| kept.slot == Slot::Command);
    assert_eq!(command.map(|kept| &kept.value), Some(&OFF));
}
