//! One write, many members: order, stagger, results, and what a later command changes.

use std::time::Duration;

use lamplighter_model::{
    ResourceAddress, Value,
    device::{Answer, Fault, LinkState},
};
use lamplighter_site::boundary::{Guard, PointConfig, SiteEvent, Slot};

use crate::rig::{
    GROUP_COMMAND, GROUP_FAILED, GROUP_RESULTS, GROUP_STATE, LAMPS, Rig, group, lamp, lamp_point,
    millis, secs, write_of,
};

const ON: Value = Value::Boolean(true);
const OFF: Value = Value::Boolean(false);

fn street(lamps: u16) -> Rig {
    Rig::ready(
        (1..=lamps).map(lamp_point).collect(),
        vec![group(1..=lamps, millis(300))],
    )
}

fn result(rig: &Rig, member: u16) -> String {
    let sample = rig
        .tree
        .get(&(GROUP_RESULTS, Some(member)))
        .expect("every member has a result");
    words(&sample.value)
}

fn words(value: &Value) -> String {
    let Value::String(text) = value else {
        panic!("{value:?} is not a text")
    };
    text.clone()
}

fn text(rig: &Rig, address: ResourceAddress) -> String {
    words(&rig.value(address).expect("it was published"))
}

#[test]
fn a_group_command_is_answered_when_it_is_saved_and_reaches_its_members_one_after_the_other() {
    let mut rig = street(3);
    let op = rig.write(GROUP_COMMAND, Value::Integer(100));
    assert!(rig.is_done(op));
    assert_eq!(rig.trace.first(), Some(&"save"));
    for (member, left) in [(1, 2), (2, 1), (3, 0)] {
        assert_eq!(rig.asked.len(), 1, "one at a time");
        rig.accept(LAMPS, lamp(member), &ON);
        if left > 0 {
            rig.wait(millis(299));
            assert!(rig.asked.is_empty(), "the pause is kept");
            rig.wait(millis(1));
        }
    }
    assert_eq!(text(&rig, GROUP_STATE), "on");
    assert_eq!(rig.value(GROUP_FAILED), Some(Value::Integer(0)));
    assert!(rig.events.contains(&SiteEvent::GroupDone {
        name: "main_street".to_owned(),
        failed: 0,
        members: 3
    }));
}

#[test]
fn a_mute_member_does_not_delay_the_others_and_is_counted() {
    let mut rig = street(3);
    rig.write(GROUP_COMMAND, Value::Integer(100));
    let mute = rig.asked.remove(0);
    rig.wait(millis(300));
    rig.accept(LAMPS, lamp(2), &ON);
    rig.wait(millis(300));
    rig.accept(LAMPS, lamp(3), &ON);
    assert_eq!(
        (result(&rig, 0), result(&rig, 1)),
        ("waiting".to_owned(), "done".to_owned())
    );
    assert_eq!(text(&rig, GROUP_STATE), "mixed");
    rig.asked.push(mute);
    rig.answer(LAMPS, Err(Fault::Timeout));
    assert_eq!(rig.value(GROUP_FAILED), Some(Value::Integer(1)));
    assert!(result(&rig, 0).starts_with("failed: "));
    assert!(rig.events.contains(&SiteEvent::GroupDone {
        name: "main_street".to_owned(),
        failed: 1,
        members: 3
    }));

    rig.wait(secs(1));
    rig.accept(LAMPS, lamp(1), &ON);
    assert_eq!(
        (result(&rig, 0), text(&rig, GROUP_STATE)),
        ("done".to_owned(), "on".to_owned())
    );
    assert_eq!(rig.value(GROUP_FAILED), Some(Value::Integer(0)));
}

#[test]
fn a_newer_group_command_cancels_what_is_left_of_the_older() {
    let mut rig = street(3);
    rig.write(GROUP_COMMAND, Value::Integer(100));
    rig.accept(LAMPS, lamp(1), &ON);
    rig.write(GROUP_COMMAND, Value::Integer(0));
    assert!(
        rig.asked.is_empty(),
        "the stagger holds between the two commands as well"
    );
    rig.wait(millis(300));
    rig.accept(LAMPS, lamp(1), &OFF);
    rig.wait(millis(300));
    rig.accept(LAMPS, lamp(2), &OFF);
    rig.wait(millis(300));
    rig.accept(LAMPS, lamp(3), &OFF);
    rig.wait(secs(60));
    assert!(rig.asked.is_empty());
    assert_eq!(text(&rig, GROUP_STATE), "off");
}

#[test]
fn a_single_command_wins_over_the_group_until_the_next_group_command() {
    let mut rig = street(2);
    rig.write(GROUP_COMMAND, Value::Integer(100));
    rig.pass(secs(2));
    let op = rig.write(lamp(1), Value::Integer(0));
    rig.accept(LAMPS, lamp(1), &OFF);
    assert!(rig.is_done(op));
    assert_eq!(text(&rig, GROUP_STATE), "mixed");

    rig.write(GROUP_COMMAND, Value::Integer(100));
    rig.pass(secs(2));
    assert_eq!(text(&rig, GROUP_STATE), "on");
    let why = rig.site.why("lamps.l1", rig.now).expect("an output");
    assert_eq!(why.slots[0].slot, Slot::GroupCommand);
}

#[test]
fn a_single_command_with_a_holding_time_outlives_a_group_command() {
    let mut rig = street(2);
    rig.write_all(vec![(lamp(1), Value::Integer(100))], Some(secs(7200)));
    rig.accept(LAMPS, lamp(1), &ON);
    rig.write(GROUP_COMMAND, Value::Integer(0));
    rig.pass(secs(7199));
    assert_eq!(result(&rig, 0), "overruled by command");
    assert_eq!(text(&rig, GROUP_STATE), "mixed");
    rig.pass(secs(1));
    assert_eq!(
        (result(&rig, 0), text(&rig, GROUP_STATE)),
        ("done".to_owned(), "off".to_owned())
    );
}

#[test]
fn a_command_that_a_group_command_overtakes_is_answered() {
    let mut rig = street(1);
    rig.write(lamp(1), Value::Integer(100));
    let waiting = rig.write(lamp(1), Value::Integer(0));
    rig.write(GROUP_COMMAND, Value::Integer(100));
    assert!(matches!(
        rig.result(waiting),
        Some(Err(Fault::Refused { .. }))
    ));
    assert_eq!(
        rig.answer(LAMPS, Ok(Answer::default())),
        write_of(lamp(1), &ON)
    );
    rig.pass(secs(1));
    assert_eq!(text(&rig, GROUP_STATE), "on");
}

#[test]
fn a_group_of_relays_does_not_dim() {
    let mut rig = street(2);
    let op = rig.write(GROUP_COMMAND, Value::Integer(40));
    assert!(matches!(rig.result(op), Some(Err(Fault::BadValue(_)))));
    assert!(rig.asked.is_empty());
}

#[test]
fn the_standard_instance_commands_the_group_and_shows_its_mean_level() {
    let mut rig = street(4);
    let command = ResourceAddress::gateway(3416, 60000, 1);
    let level = ResourceAddress::gateway(3416, 60000, 3);
    rig.write(command, Value::Integer(100));
    rig.pass(secs(5));
    assert_eq!(
        (rig.value(command), rig.value(level)),
        (Some(Value::Integer(100)), Some(Value::Integer(100)))
    );
    rig.write(lamp(1), Value::Integer(0));
    rig.pass(secs(1));
    assert_eq!(rig.value(level), Some(Value::Integer(75)));
}

#[test]
fn a_large_group_never_overruns_the_queue_of_its_adapter() {
    let mut rig = Rig::new(
        (1..=200).map(lamp_point).collect(),
        vec![group(1..=200, secs(0))],
    );
    for number in 1..=200 {
        rig.declare(LAMPS, lamp(number));
        assert!(rig.asked.len() <= 16);
    }
    rig.pass(secs(1));
    rig.write(GROUP_COMMAND, Value::Integer(100));
    let mut most = 0;
    while !rig.asked.is_empty() {
        most = most.max(rig.asked.len());
        rig.answer(LAMPS, Ok(Answer::default()));
    }
    assert_eq!(most, 16);
    assert_eq!(text(&rig, GROUP_STATE), "on");
}

#[test]
fn a_command_overtakes_a_group_that_waits_for_room() {
    let mut rig = Rig::ready(
        (1..=50).map(lamp_point).collect(),
        vec![group(1..=50, secs(0))],
    );
    rig.write(GROUP_COMMAND, Value::Integer(100));
    assert_eq!(rig.asked.len(), 16);
    rig.write(lamp(50), Value::Integer(0));
    assert_eq!(
        rig.asked.last().map(|(_, request)| request.action.clone()),
        Some(write_of(lamp(50), &OFF))
    );
}

/// design: a command answered with an error is never executed later.
#[test]
fn a_command_that_waited_too_long_for_room_is_refused_and_not_begun() {
    let mut rig = Rig::ready((1..=30).map(lamp_point).collect(), Vec::new());
    rig.asked.clear();
    let ops: Vec<_> = (1..=25)
        .map(|number| rig.write(lamp(number), Value::Integer(100)))
        .collect();
    assert_eq!(rig.asked.len(), 24, "the last one waits for room");
    rig.wait(millis(600));
    rig.answer(LAMPS, Ok(Answer::default()));
    assert_eq!(rig.result(ops[24]), Some(&Err(Fault::Busy)));
    while !rig.asked.is_empty() {
        let begun = rig
            .asked
            .iter()
            .any(|(_, request)| request.action == write_of(lamp(25), &ON));
        assert!(!begun, "what was refused is begun after all");
        rig.answer(LAMPS, Ok(Answer::default()));
    }
}

#[test]
fn two_groups_that_share_a_member_do_not_wait_for_each_other() {
    let mut park = group(2..=3, millis(300));
    park.name = "park".to_owned();
    park.standard_instance = None;
    let mut rig = Rig::ready(
        (1..=3).map(lamp_point).collect(),
        vec![group(1..=2, millis(300)), park],
    );
    rig.write(GROUP_COMMAND, Value::Integer(100));
    let park_command = rig.site.resolve("park").expect("a group");
    rig.write(park_command, Value::Integer(0));
    rig.pass(secs(10));
    assert_eq!(
        (result(&rig, 0), result(&rig, 1)),
        ("done".to_owned(), "commanded by another group".to_owned())
    );
    assert_eq!(text(&rig, GROUP_STATE), "mixed");
    let done = rig
        .events
        .iter()
        .filter(|event| matches!(event, SiteEvent::GroupDone { .. }))
        .count();
    assert_eq!(done, 2);
}

#[test]
fn the_command_of_a_group_reads_what_was_found_until_the_first_command() {
    let mut rig = street(2);
    assert_eq!(rig.value(GROUP_COMMAND), Some(Value::Integer(0)));
    rig.sample(LAMPS, lamp(1), ON);
    rig.sample(LAMPS, lamp(2), ON);
    assert_eq!(rig.value(GROUP_COMMAND), Some(Value::Integer(100)));
    rig.sample(LAMPS, lamp(2), OFF);
    assert_eq!(rig.value(GROUP_COMMAND), Some(Value::Integer(50)));
    rig.sample(LAMPS, lamp(1), OFF);
    assert_eq!(rig.value(GROUP_COMMAND), Some(Value::Integer(0)));
    rig.write(GROUP_COMMAND, Value::Integer(100));
    assert_eq!(rig.value(GROUP_COMMAND), Some(Value::Integer(100)));
}

/// How long after the first each member of three is told to do this.
fn told_after(rig: &mut Rig, value: &Value) -> Vec<Duration> {
    let begun = rig.asked_at[&rig.asked[0].1.op];
    let mut told = Vec::new();
    for _ in 0..3 {
        let (_, request) = &rig.asked[0];
        told.push(rig.asked_at[&request.op] - begun);
        assert_eq!(rig.asked.len(), 1, "one at a time");
        let answered = rig.answer(LAMPS, Ok(Answer::default()));
        assert!((1..=3).any(|member| answered == write_of(lamp(member), value)));
        rig.wait(millis(300));
    }
    assert!(rig.asked.is_empty());
    told
}

const STAGGERED: [Duration; 3] = [Duration::ZERO, millis(300), millis(600)];

#[test]
fn members_that_a_guard_has_kept_from_their_turns_go_on_one_after_the_other() {
    let guard = Guard {
        min_off: secs(300),
        ..Guard::default()
    };
    let guarded = |number| PointConfig {
        guard: Some(guard),
        ..lamp_point(number)
    };
    let points: Vec<_> = (1..=3).map(guarded).collect();
    let mut rig = Rig::new(points, vec![group(1..=3, millis(300))]);
    (1..=3).for_each(|member| {
        rig.declare(LAMPS, lamp(member));
        rig.sample(LAMPS, lamp(member), OFF);
    });
    rig.pass(secs(10));
    rig.write(GROUP_COMMAND, Value::Integer(100));
    rig.wait(secs(289));
    assert!(rig.asked.is_empty(), "the guards hold");
    rig.wait(secs(1));
    assert_eq!(told_after(&mut rig, &ON), STAGGERED);
}

#[test]
fn members_whose_commands_end_together_are_switched_one_after_the_other() {
    let mut rig = street(3);
    let values = (1..=3).map(|member| (lamp(member), Value::Integer(100)));
    rig.write_all(values.collect(), Some(secs(60)));
    rig.pass(secs(30));
    rig.wait(secs(30));
    assert_eq!(told_after(&mut rig, &OFF), STAGGERED);
}

#[test]
fn members_whose_device_was_away_for_their_turns_go_on_one_after_the_other() {
    let mut rig = street(3);
    rig.write(GROUP_COMMAND, Value::Integer(100));
    for _ in 0..3 {
        rig.answer(LAMPS, Err(Fault::Unreachable));
        rig.wait(millis(300));
    }
    assert!(rig.asked.is_empty());
    rig.link(LAMPS, LinkState::Online);
    assert_eq!(told_after(&mut rig, &ON), STAGGERED);
}
