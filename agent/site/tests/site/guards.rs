//! Compressors: minimum times, starts per hour, and what counts when nobody knows.

use lamplighter_model::{
    ResourceAddress, Sample, Value,
    device::{AdapterEvent, Fault, LinkState},
};
use lamplighter_site::boundary::{
    BootState, Guard, PointConfig, PointKind, SiteInput, WhileWaiting,
};

use crate::rig::{AHU, Rig, ahu_point, config, secs, start};

const ON: Value = Value::Boolean(true);
const OFF: Value = Value::Boolean(false);
const COMPRESSOR: ResourceAddress = ResourceAddress::gateway(3306, 0, 5850);

fn compressor(while_waiting: WhileWaiting) -> PointConfig {
    let guard = Guard {
        min_on: secs(180),
        min_off: secs(300),
        max_starts_per_hour: Some(3),
        while_waiting,
    };
    PointConfig {
        guard: Some(guard),
        ..ahu_point("compressor", COMPRESSOR, PointKind::Output)
    }
}

/// A compressor that is seen to be off, and has been long enough.
fn rested(while_waiting: WhileWaiting) -> Rig {
    let mut rig = Rig::new(vec![compressor(while_waiting)], vec![]);
    rig.declare(AHU, COMPRESSOR);
    rig.sample(AHU, COMPRESSOR, OFF);
    rig.wait(secs(300));
    rig
}

#[test]
fn an_unknown_last_off_counts_as_just_now() {
    let mut rig = Rig::new(vec![compressor(WhileWaiting::Queue)], vec![]);
    rig.declare(AHU, COMPRESSOR);
    let op = rig.write(COMPRESSOR, ON);
    assert!(
        rig.is_done(op),
        "a command that the guard delays is accepted"
    );
    rig.wait(secs(299));
    assert!(rig.asked.is_empty());
    rig.wait(secs(1));
    rig.accept(AHU, COMPRESSOR, &ON);
}

#[test]
fn a_queued_command_waits_for_the_minimum_time_on() {
    let mut rig = rested(WhileWaiting::Queue);
    rig.write(COMPRESSOR, ON);
    rig.accept(AHU, COMPRESSOR, &ON);
    let op = rig.write(COMPRESSOR, OFF);
    assert!(rig.is_done(op));
    let why = rig.site.why("ahu1.compressor", rig.now).expect("an output");
    assert_eq!(
        (why.commanded, why.in_effect, why.guard_left),
        (Some(OFF), Some(ON), Some(secs(180)))
    );
    rig.wait(secs(180));
    rig.accept(AHU, COMPRESSOR, &OFF);
}

#[test]
fn a_guard_that_rejects_says_how_long_it_will() {
    let mut rig = rested(WhileWaiting::Reject);
    rig.write(COMPRESSOR, ON);
    rig.accept(AHU, COMPRESSOR, &ON);
    rig.wait(secs(60));
    let op = rig.write(COMPRESSOR, OFF);
    let Some(Err(Fault::Refused {
        reason,
        retry_after,
    })) = rig.result(op)
    else {
        panic!("it is refused")
    };
    assert_eq!(
        (reason.as_str(), *retry_after),
        (
            "the guard of ahu1.compressor waits, 2 min left",
            Some(secs(120))
        )
    );
    rig.wait(secs(3600));
    assert!(
        rig.asked.is_empty(),
        "what was refused is not carried out later"
    );
}

#[test]
fn a_command_to_stay_as_it_is_waits_for_nothing() {
    let mut rig = rested(WhileWaiting::Reject);
    rig.write(COMPRESSOR, ON);
    rig.accept(AHU, COMPRESSOR, &ON);
    let op = rig.write(COMPRESSOR, ON);
    rig.accept(AHU, COMPRESSOR, &ON);
    assert!(rig.is_done(op));
}

#[test]
fn the_starts_of_an_hour_are_counted() {
    let mut rig = rested(WhileWaiting::Queue);
    let first = rig.now.mono;
    for _ in 0..3 {
        rig.write(COMPRESSOR, ON);
        rig.pass(secs(180));
        rig.write(COMPRESSOR, OFF);
        rig.pass(secs(300));
    }
    rig.write(COMPRESSOR, ON);
    let left = rig
        .site
        .why("ahu1.compressor", rig.now)
        .and_then(|why| why.guard_left);
    assert_eq!(left, Some(first + secs(3600) - rig.now.mono));
}

#[test]
fn a_failed_start_may_be_tried_again_but_not_stopped_at_once() {
    let mut rig = rested(WhileWaiting::Queue);
    let op = rig.write(COMPRESSOR, ON);
    rig.answer(AHU, Err(Fault::Timeout));
    assert_eq!(rig.result(op), Some(&Err(Fault::Timeout)));
    let stop = rig.write(COMPRESSOR, OFF);
    assert!(
        rig.is_done(stop) && rig.asked.is_empty(),
        "it may have started: it keeps its time"
    );
    rig.write(COMPRESSOR, ON);
    rig.accept(AHU, COMPRESSOR, &ON);
}

#[test]
fn a_compressor_that_was_away_is_seen_before_it_is_started() {
    let mut rig = rested(WhileWaiting::Queue);
    rig.write(COMPRESSOR, ON);
    rig.accept(AHU, COMPRESSOR, &ON);
    rig.sample(AHU, COMPRESSOR, ON);
    for state in [LinkState::Online, LinkState::Offline, LinkState::Online] {
        rig.wait(secs(600));
        rig.link(AHU, state);
    }
    assert!(
        rig.asked.is_empty(),
        "it may have been without power just now"
    );
    rig.wait(secs(5));
    rig.sample(AHU, COMPRESSOR, ON);
    rig.accept(AHU, COMPRESSOR, &ON);
}

#[test]
fn a_guarded_line_rests_until_its_guard_lets_it_start() {
    let point = PointConfig {
        boot: BootState::On,
        ..compressor(WhileWaiting::Queue)
    };
    let mut rig = Rig::restarted(config(vec![point], vec![]), None, start());
    rig.declare(AHU, COMPRESSOR);
    rig.accept(AHU, COMPRESSOR, &OFF);
    rig.wait(secs(299));
    assert!(rig.asked.is_empty());
    rig.wait(secs(1));
    rig.accept(AHU, COMPRESSOR, &ON);
}

#[test]
fn a_start_that_is_tried_again_counts_once() {
    let mut rig = rested(WhileWaiting::Queue);
    for _ in 0..5 {
        rig.write(COMPRESSOR, ON);
        rig.answer(AHU, Err(Fault::Timeout));
    }
    rig.write(COMPRESSOR, ON);
    rig.accept(AHU, COMPRESSOR, &ON);
    rig.wait(secs(180));
    rig.write(COMPRESSOR, OFF);
    rig.accept(AHU, COMPRESSOR, &OFF);
    rig.write(COMPRESSOR, ON);
    let left = rig
        .site
        .why("ahu1.compressor", rig.now)
        .and_then(|why| why.guard_left);
    assert_eq!(
        left,
        Some(secs(300)),
        "two more starts are left in this hour"
    );
}

#[test]
fn a_sample_from_before_a_write_says_nothing_about_its_outcome() {
    let mut rig = rested(WhileWaiting::Queue);
    let before = Sample::good(COMPRESSOR, OFF, rig.now.stamp());
    rig.wait(secs(1));
    rig.write(COMPRESSOR, ON);
    rig.wait(secs(1));
    rig.accept(AHU, COMPRESSOR, &ON);
    rig.tell(SiteInput::Adapter(AHU, AdapterEvent::Changed(vec![before])));
    rig.write(COMPRESSOR, OFF);
    assert!(rig.asked.is_empty(), "it runs, and keeps its time");
    let left = rig
        .site
        .why("ahu1.compressor", rig.now)
        .and_then(|why| why.guard_left);
    assert_eq!(left, Some(secs(180)));
}

#[test]
fn what_the_device_does_by_itself_counts_as_well() {
    let mut rig = rested(WhileWaiting::Queue);
    rig.sample(AHU, COMPRESSOR, ON);
    rig.wait(secs(100));
    rig.write(COMPRESSOR, OFF);
    let left = rig
        .site
        .why("ahu1.compressor", rig.now)
        .and_then(|why| why.guard_left);
    assert_eq!(left, Some(secs(80)));
}
