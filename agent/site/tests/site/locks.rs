//! Maintenance lock and hand switch.

use lamplighter_model::{
    ResourceAddress, Value,
    device::{AdapterId, Answer, Fault, OpId, Origin},
};
use lamplighter_site::{
    boundary::{
        GroupConfig, Hand, Limit, LockRequest, ManualConfig, OnViolation, PointConfig, PointKind,
        SiteConfig, SiteEvent, SiteInput, Slot,
    },
    saved::SavedSite,
};

use crate::rig::{
    GROUP_COMMAND, GROUP_RESULTS, LAMPS, Rig, ahu_point, config, group, lamp, lamp_point, millis,
    secs,
};

const HAND: ResourceAddress = ResourceAddress::gateway(3342, 9, 5500);
const HAND_OFF: ResourceAddress = ResourceAddress::gateway(3342, 8, 5500);
const VALVE: ResourceAddress = ResourceAddress::gateway(3306, 0, 5851);
const INPUTS: AdapterId = AdapterId(7);
const HUNDRED: Value = Value::Integer(100);
const ON: Value = Value::Boolean(true);
const OFF: Value = Value::Boolean(false);

fn anna() -> Origin {
    Origin::Local("anna (local)".to_owned())
}

fn request(rig: &mut Rig, op: u64, request: LockRequest) -> Result<Answer, Fault> {
    rig.tell(SiteInput::Lock(OpId(op), request));
    rig.result(OpId(op)).cloned().expect("answered at once")
}

fn lock(rig: &mut Rig, op: u64, what: &str) -> Result<Answer, Fault> {
    let what = what.to_owned();
    request(rig, op, LockRequest::Lock { what, by: anna() })
}

fn result_of(rig: &Rig, member: u16) -> &Value {
    &rig.tree[&(GROUP_RESULTS, Some(member))].value
}

fn unlock(rig: &mut Rig, op: u64, what: Option<&str>) -> Result<Answer, Fault> {
    let what = what.map(str::to_owned);
    request(rig, op, LockRequest::Unlock { what, by: anna() })
}

fn lit() -> Rig {
    let mut rig = Rig::ready(points(), vec![group(1..=2, millis(300))]);
    rig.write(GROUP_COMMAND, HUNDRED);
    rig.pass(secs(2));
    rig.forget();
    rig
}

fn points() -> Vec<PointConfig> {
    (1..=3).map(lamp_point).collect()
}

#[test]
fn a_lock_drives_its_outputs_off_and_lets_only_off_pass() {
    let mut rig = lit();
    assert_eq!(lock(&mut rig, 1, "main_street"), Ok(Answer::default()));
    assert_eq!(rig.trace.first(), Some(&"save"), "durable before anything");
    let locked = SiteEvent::Locked {
        name: "main_street".to_owned(),
        by: anna(),
        again: false,
    };
    assert!(rig.events.contains(&locked));
    rig.accept(LAMPS, lamp(1), &OFF);
    rig.accept(LAMPS, lamp(2), &OFF);
    let on = rig.write(lamp(1), HUNDRED);
    let text = "lamps.l1 is locked for maintenance by anna (local)";
    assert!(
        matches!(rig.result(on), Some(Err(Fault::Refused { reason, .. })) if reason == text),
        "{:?}",
        rig.result(on)
    );
    let off = rig.write(lamp(1), Value::Integer(0));
    assert!(rig.is_done(off));
    let all = rig.write(GROUP_COMMAND, HUNDRED);
    assert!(matches!(rig.result(all), Some(Err(Fault::Refused { .. }))));
    rig.pass(secs(5));
    assert!(
        rig.site.outputs()[..2]
            .iter()
            .all(|lamp| lamp.in_effect == Some(OFF))
    );
    let why = rig.site.why("lamps.l1", rig.now).unwrap();
    assert_eq!(why.slots[0].slot, Slot::MaintenanceLock);
    assert_eq!(why.held_by.as_deref(), Some(text));
    // The third lamp is nobody's business.
    let on = rig.write(lamp(3), HUNDRED);
    rig.pass(secs(1));
    assert!(rig.is_done(on));
}

/// A street that is being switched keeps nobody waiting who locks a lamp of it.
#[test]
fn a_lock_waits_for_no_turn() {
    let mut rig = Rig::ready(points(), vec![group(1..=2, secs(60))]);
    rig.write(GROUP_COMMAND, HUNDRED);
    rig.pass(secs(120));
    assert_eq!(rig.site.outputs()[1].in_effect, Some(ON));
    // The second has its turn in a minute.
    rig.write(GROUP_COMMAND, HUNDRED);
    rig.pass(secs(1));
    rig.forget();
    lock(&mut rig, 1, "lamps.l2").unwrap();
    rig.accept(LAMPS, lamp(2), &OFF);
}

#[test]
fn after_the_lock_the_table_decides_one_lamp_after_the_other() {
    let mut rig = lit();
    lock(&mut rig, 1, "all").unwrap();
    rig.pass(secs(2));
    assert_eq!(rig.site.locks(rig.now).len(), 1);
    unlock(&mut rig, 2, None).unwrap();
    rig.accept(LAMPS, lamp(1), &ON);
    assert!(
        rig.asked
            .iter()
            .all(|(_, request)| request.action != crate::rig::write_of(lamp(2), &ON))
    );
    rig.pass(millis(300));
    assert_eq!(rig.site.outputs()[1].in_effect, Some(ON));
    assert!(rig.site.locks(rig.now).is_empty());
}

#[test]
fn a_group_of_which_some_members_are_locked_says_which() {
    let mut rig = lit();
    lock(&mut rig, 1, "lamps.l1").unwrap();
    let all = rig.write(GROUP_COMMAND, HUNDRED);
    assert!(rig.is_done(all));
    rig.pass(secs(2));
    let text = |text: &str| Value::String(text.to_owned());
    assert_eq!(result_of(&rig, 0), &text("overruled by maintenance lock"));
    assert_eq!(result_of(&rig, 1), &text("done"));
}

#[test]
fn an_output_is_free_when_no_lock_covers_it_any_more() {
    let mut rig = lit();
    lock(&mut rig, 1, "main_street").unwrap();
    lock(&mut rig, 2, "lamps.l1").unwrap();
    unlock(&mut rig, 3, Some("main_street")).unwrap();
    rig.pass(secs(2));
    let state = |at: usize| rig.site.outputs()[at].in_effect.clone();
    assert_eq!((state(0), state(1)), (Some(OFF), Some(ON)));
    let unknown = unlock(&mut rig, 4, Some("lamps.l2"));
    assert_eq!(
        unknown,
        Err(Fault::BadValue("lamps.l2 is not locked".to_owned()))
    );
    assert!(lock(&mut rig, 5, "elsewhere").is_err());
}

#[test]
fn a_lock_survives_a_restart_and_a_changed_configuration() {
    let mut rig = lit();
    lock(&mut rig, 1, "main_street").unwrap();
    let saved = rig.saved.clone();
    let json = serde_json::to_string(&saved).unwrap();
    let saved = serde_json::from_str(&json).unwrap();
    let mut rig = Rig::restarted(config(points(), Vec::new()), saved, rig.now);
    let again = |event: &SiteEvent| matches!(event, SiteEvent::Locked { again: true, .. });
    assert!(rig.events.iter().any(again));
    rig.declare(LAMPS, lamp(1));
    rig.accept(LAMPS, lamp(1), &OFF);
    unlock(&mut rig, 2, Some("main_street")).unwrap();
    rig.accept(LAMPS, lamp(1), &ON);
}

fn by_hand(manual: ManualConfig) -> SiteConfig {
    let group = GroupConfig {
        manual: Some(manual),
        ..group(1..=2, millis(0))
    };
    config(points(), vec![group])
}

fn one_contact() -> ManualConfig {
    ManualConfig {
        on: Some(HAND),
        off: None,
        limit: None,
    }
}

fn start_with(config: SiteConfig, saved: Option<SavedSite>) -> Rig {
    let mut rig = Rig::restarted(config, saved, crate::rig::start());
    for number in 1..=3 {
        rig.declare(LAMPS, lamp(number));
    }
    for input in [HAND, HAND_OFF] {
        rig.declare(INPUTS, input);
    }
    rig.pass(secs(2));
    rig.forget();
    rig
}

fn states(rig: &Rig) -> Vec<Option<Value>> {
    let outputs = rig.site.outputs();
    outputs
        .iter()
        .take(2)
        .map(|lamp| lamp.in_effect.clone())
        .collect()
}

#[test]
fn the_hand_switch_wins_over_servers_and_gives_back_to_the_table() {
    let mut rig = start_with(by_hand(one_contact()), None);
    rig.sample(INPUTS, HAND, ON);
    rig.pass(secs(1));
    assert_eq!(states(&rig), [Some(ON), Some(ON)]);
    let event = SiteEvent::HandSwitch {
        group: "main_street".to_owned(),
        position: Hand::On,
    };
    assert!(rig.events.contains(&event));
    let op = rig.write(lamp(1), Value::Integer(0));
    let refused = Fault::Refused {
        reason: "hand switch on".to_owned(),
        retry_after: None,
    };
    assert_eq!(rig.result(op), Some(&Err(refused)));
    rig.write(GROUP_COMMAND, Value::Integer(0));
    rig.pass(secs(1));
    assert_eq!(states(&rig), [Some(ON), Some(ON)]);
    rig.sample(INPUTS, HAND, OFF);
    rig.pass(secs(1));
    assert_eq!(states(&rig), [Some(OFF), Some(OFF)]);
}

#[test]
fn a_limit_gives_the_time_left_and_ends_it_until_the_switch_is_moved() {
    let manual = ManualConfig {
        limit: Some(secs(3600)),
        ..one_contact()
    };
    let mut rig = start_with(by_hand(manual), None);
    rig.sample(INPUTS, HAND, ON);
    rig.pass(secs(3600 - 43 * 60));
    let op = rig.write(lamp(1), Value::Integer(0));
    let refused = Fault::Refused {
        reason: "hand switch on, 43 min left".to_owned(),
        retry_after: Some(secs(43 * 60)),
    };
    assert_eq!(rig.result(op), Some(&Err(refused)));
    rig.pass(secs(43 * 60));
    assert_eq!(states(&rig), [Some(OFF), Some(OFF)]);
    rig.sample(INPUTS, HAND, ON);
    rig.pass(secs(1));
    assert_eq!(states(&rig), [Some(OFF), Some(OFF)]);
    rig.sample(INPUTS, HAND, OFF);
    rig.sample(INPUTS, HAND, ON);
    rig.pass(secs(1));
    assert_eq!(states(&rig), [Some(ON), Some(ON)]);
}

#[test]
fn of_hand_and_zero_zero_wins() {
    let manual = ManualConfig {
        off: Some(HAND_OFF),
        ..one_contact()
    };
    let mut rig = start_with(by_hand(manual), None);
    rig.write(GROUP_COMMAND, HUNDRED);
    rig.pass(secs(1));
    rig.sample(INPUTS, HAND, OFF);
    assert_eq!(states(&rig), [Some(ON), Some(ON)]);
    rig.sample(INPUTS, HAND_OFF, ON);
    rig.pass(secs(1));
    assert_eq!(states(&rig), [Some(OFF), Some(OFF)]);
    rig.sample(INPUTS, HAND, ON);
    rig.pass(secs(1));
    assert_eq!(states(&rig), [Some(OFF), Some(OFF)]);
    rig.sample(INPUTS, HAND_OFF, OFF);
    rig.pass(secs(1));
    assert_eq!(states(&rig), [Some(ON), Some(ON)]);
}

#[test]
fn the_hand_switch_holds_over_a_restart_until_it_is_seen_elsewhere() {
    let mut rig = start_with(by_hand(one_contact()), None);
    rig.sample(INPUTS, HAND, ON);
    rig.pass(secs(1));
    let mut rig = start_with(by_hand(one_contact()), rig.saved.clone());
    assert_eq!(states(&rig), [Some(ON), Some(ON)]);
    rig.sample(INPUTS, HAND, OFF);
    rig.pass(secs(1));
    assert_eq!(states(&rig), [Some(OFF), Some(OFF)]);
}

#[test]
fn a_lock_overrules_the_hand_switch() {
    let mut rig = start_with(by_hand(one_contact()), None);
    rig.sample(INPUTS, HAND, ON);
    rig.pass(secs(1));
    lock(&mut rig, 1, "main_street").unwrap();
    rig.pass(secs(1));
    assert_eq!(states(&rig), [Some(OFF), Some(OFF)]);
}

#[test]
fn a_lamp_is_not_switched_twice_within_its_shortest_time() {
    let mut lamp_one = lamp_point(1);
    lamp_one.min_switch = secs(2);
    let mut rig = Rig::ready(vec![lamp_one], Vec::new());
    rig.write(lamp(1), HUNDRED);
    rig.accept(LAMPS, lamp(1), &ON);
    rig.advance(millis(500));
    let off = rig.write(lamp(1), Value::Integer(0));
    assert!(rig.is_done(off), "accepted, and done later");
    rig.wait(millis(1499));
    assert!(rig.asked.is_empty());
    rig.wait(millis(1));
    rig.accept(LAMPS, lamp(1), &OFF);
}

#[test]
fn a_line_stays_as_it_is_until_its_shortest_time_has_passed_since_the_start() {
    let mut lamp_one = lamp_point(1);
    lamp_one.min_switch = secs(2);
    let mut rig = Rig::new(vec![lamp_one], Vec::new());
    rig.declare(LAMPS, lamp(1));
    rig.wait(millis(1999));
    assert!(
        rig.asked.is_empty(),
        "it may have been switched just before"
    );
    rig.wait(millis(1));
    rig.accept(LAMPS, lamp(1), &OFF);
}

/// A valve that is never closed further than 10.
fn never_off() -> PointConfig {
    let limit = Limit {
        min: Some(10.0),
        max: None,
        on_violation: OnViolation::Clamp,
    };
    PointConfig {
        limit: Some(limit),
        ..ahu_point("valve", VALVE, PointKind::Output)
    }
}

#[test]
fn what_has_no_off_cannot_be_locked_and_whoever_wants_it_is_told() {
    // Texts have no off either.
    let mode = ahu_point(
        "mode",
        ResourceAddress::gateway(3306, 0, 5853),
        PointKind::Output,
    );
    let members = GroupConfig {
        members: vec![lamp(1), VALVE],
        ..group([], millis(0))
    };
    let mut rig = Rig::ready(vec![lamp_point(1), never_off(), mode], vec![members]);
    for (op, what, names) in [
        (1, "ahu1.valve", "ahu1.valve"),
        (2, "ahu1.mode", "ahu1.mode"),
        (3, "main_street", "ahu1.valve"),
        (4, "all", "ahu1.valve, ahu1.mode"),
    ] {
        let reason = format!(
            "nothing is locked: a lock cannot keep {names} off, which has no state that is off"
        );
        assert_eq!(lock(&mut rig, op, what), Err(Fault::BadValue(reason)));
    }
    assert_eq!(rig.site.locks(rig.now), []);
    assert!(lock(&mut rig, 5, "lamps.l1").is_ok());
}

#[test]
fn a_lock_that_a_new_limit_has_made_powerless_is_told() {
    let free = PointConfig {
        limit: None,
        ..never_off()
    };
    let mut rig = Rig::ready(vec![free], Vec::new());
    lock(&mut rig, 1, "ahu1.valve").unwrap();
    let rig = Rig::restarted(
        config(vec![never_off()], Vec::new()),
        rig.saved.clone(),
        rig.now,
    );
    let told = SiteEvent::Outdated {
        name: "lock ahu1.valve".to_owned(),
        reason: "it cannot keep ahu1.valve off any more".to_owned(),
    };
    assert!(rig.events.contains(&told), "{:?}", rig.events);
}

/// A lamp that is dimmed from 10 on has an off all the same.
#[test]
fn a_lock_drives_a_dimmed_lamp_off_below_its_lowest_level() {
    let dimmed = PointConfig {
        kind: PointKind::Dimmer,
        limit: never_off().limit,
        ..lamp_point(1)
    };
    let mut rig = Rig::ready(vec![dimmed], Vec::new());
    rig.write(lamp(1), Value::Integer(50));
    rig.pass(secs(1));
    lock(&mut rig, 1, "lamps.l1").unwrap();
    rig.accept(LAMPS, lamp(1), &Value::Integer(0));
}

#[test]
fn that_nobody_knows_what_was_locked_is_told_over_restarts_until_somebody_has_looked() {
    let unknown = |over| SiteEvent::LocksUnknown { over };
    let saved = SavedSite {
        locks_unknown: true,
        ..SavedSite::default()
    };
    let mut saved = Some(saved);
    for _ in 0..2 {
        let rig = Rig::restarted(config(points(), Vec::new()), saved, crate::rig::start());
        assert!(rig.events.contains(&unknown(false)));
        saved = rig.saved;
    }
    for by_lock in [false, true] {
        let mut rig = Rig::restarted(
            config(points(), Vec::new()),
            saved.clone(),
            crate::rig::start(),
        );
        assert!(unlock(&mut rig, 1, Some("lamps.l1")).is_err());
        assert!(!rig.events.contains(&unknown(true)));
        let done = match by_lock {
            true => lock(&mut rig, 2, "lamps.l1"),
            false => unlock(&mut rig, 2, None),
        };
        done.unwrap();
        assert!(rig.events.contains(&unknown(true)));
        let rig = Rig::restarted(config(points(), Vec::new()), rig.saved, rig.now);
        assert!(!rig.events.contains(&unknown(false)));
    }
}
