//! Break before make, as the adapter sees it.

use std::time::Duration;

use lamplighter_model::{
    ResourceAddress, Value,
    device::{Action, AdapterEvent, Answer, Fault, LinkState, OpId},
};
use lamplighter_site::boundary::{
    Guard, InterlockConfig, PointKind, SiteConfig, SiteInput, Slot, WhileWaiting,
};

use crate::rig::{AHU, Rig, ahu_point, config, lamp, lamp_point, secs, start, write_of};

const COOLER: ResourceAddress = ResourceAddress::gateway(3306, 0, 5850);
const HEATER: ResourceAddress = ResourceAddress::gateway(3306, 1, 5850);
const ON: Value = Value::Boolean(true);
const OFF: Value = Value::Boolean(false);

fn site() -> SiteConfig {
    let points = vec![
        ahu_point("cooler", COOLER, PointKind::Output),
        ahu_point("heater", HEATER, PointKind::Output),
    ];
    SiteConfig {
        interlocks: vec![heat_cool()],
        ..config(points, Vec::new())
    }
}

fn heat_cool() -> InterlockConfig {
    InterlockConfig {
        name: "heat_cool".to_owned(),
        never_together: vec![COOLER, HEATER],
        dead_time: secs(60),
    }
}

fn declared(site: SiteConfig) -> Rig {
    let mut rig = Rig::restarted(site, None, start());
    rig.declare(AHU, COOLER);
    rig.declare(AHU, HEATER);
    rig.link(AHU, LinkState::Online);
    rig
}

/// Both were seen off, the dead time long.
fn rested() -> Rig {
    let mut rig = declared(site());
    rig.sample(AHU, COOLER, OFF);
    rig.sample(AHU, HEATER, OFF);
    rig.pass(secs(60));
    rig.forget();
    rig
}

fn refusal(rig: &Rig, op: OpId) -> (String, Option<Duration>) {
    match rig.result(op) {
        Some(Err(Fault::Refused {
            reason,
            retry_after,
        })) => (reason.clone(), *retry_after),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn who_is_on_wins_and_the_other_is_refused_with_the_reason() {
    let mut rig = rested();
    let cool = rig.write(COOLER, ON);
    rig.accept(AHU, COOLER, &ON);
    assert!(rig.is_done(cool));
    let heat = rig.write(HEATER, ON);
    let expected = "ahu1.cooler is on (interlock heat_cool)".to_owned();
    assert_eq!(refusal(&rig, heat), (expected.clone(), None));
    assert!(rig.asked.is_empty());
    let why = rig.site.why("ahu1.heater", rig.now).unwrap();
    assert_eq!(why.refused.map(|refused| refused.reason), Some(expected));
}

#[test]
fn the_second_goes_on_only_when_the_first_is_known_off_and_the_dead_time_has_passed() {
    let mut rig = rested();
    rig.write(COOLER, ON);
    rig.accept(AHU, COOLER, &ON);
    rig.write(COOLER, OFF);
    let early = rig.write(HEATER, ON);
    assert_eq!(
        refusal(&rig, early).0,
        "ahu1.cooler is on (interlock heat_cool)"
    );
    rig.advance(secs(1));
    rig.accept(AHU, COOLER, &OFF);
    rig.advance(secs(20));
    let dead = rig.write(HEATER, ON);
    let text = "ahu1.cooler was on (dead time of interlock heat_cool), 40 s left";
    assert_eq!(refusal(&rig, dead), (text.to_owned(), Some(secs(40))));
    rig.advance(secs(40));
    rig.write(HEATER, ON);
    rig.accept(AHU, HEATER, &ON);
}

#[test]
fn what_a_rule_wants_waits_for_the_dead_time_and_is_explained() {
    let mut site = site();
    let mut lamps = lamp_point(1);
    lamps.boot = lamplighter_site::boundary::BootState::On;
    site.points.push(lamps);
    site.interlocks = vec![InterlockConfig {
        never_together: vec![COOLER, lamp(1)],
        ..heat_cool()
    }];
    let mut rig = declared(site);
    rig.declare(crate::rig::LAMPS, lamp(1));
    let asked: Vec<_> = rig.asked.drain(..).map(|(_, request)| request).collect();
    assert_eq!(asked.len(), 1, "at rest while nobody knows of the other");
    assert_eq!(asked[0].action, write_of(lamp(1), &OFF));
    rig.tell(SiteInput::Adapter(
        crate::rig::LAMPS,
        AdapterEvent::Done(asked[0].op, Ok(Answer::default())),
    ));
    let why = rig.site.why("lamps.l1", rig.now).unwrap();
    assert_eq!(why.slots[0].slot, Slot::Interlock);
    assert_eq!(
        why.held_by.as_deref(),
        Some("nobody knows whether ahu1.cooler is off (interlock heat_cool)")
    );
    rig.sample(AHU, COOLER, OFF);
    rig.wait(secs(59));
    assert!(rig.asked.is_empty());
    rig.wait(secs(1));
    rig.accept(crate::rig::LAMPS, lamp(1), &ON);
    let why = rig.site.why("lamps.l1", rig.now).unwrap();
    assert_eq!((why.slots[0].slot, why.held_by), (Slot::Default, None));
}

#[test]
fn a_partner_whose_device_is_lost_counts_as_on() {
    let mut rig = rested();
    rig.link(AHU, LinkState::Offline);
    let op = rig.write(HEATER, ON);
    let text = "nobody knows whether ahu1.cooler is off (interlock heat_cool)";
    assert_eq!(refusal(&rig, op).0, text);
    rig.link(AHU, LinkState::Online);
    rig.sample(AHU, COOLER, OFF);
    rig.advance(secs(60));
    rig.write(HEATER, ON);
    rig.accept(AHU, HEATER, &ON);
}

#[test]
fn an_answer_that_never_came_counts_as_on() {
    let mut rig = rested();
    rig.write(COOLER, ON);
    rig.answer(AHU, Err(Fault::Timeout));
    let op = rig.write(HEATER, ON);
    assert_eq!(
        refusal(&rig, op).0,
        "ahu1.cooler may be on (interlock heat_cool)"
    );
    rig.advance(secs(5));
    rig.sample(AHU, COOLER, OFF);
    rig.advance(secs(60));
    rig.write(HEATER, ON);
    rig.accept(AHU, HEATER, &ON);
}

#[test]
fn a_contact_that_says_off_of_what_is_to_be_on_is_not_believed() {
    let mut rig = rested();
    rig.write(COOLER, ON);
    rig.accept(AHU, COOLER, &ON);
    rig.advance(secs(5));
    rig.sample(AHU, COOLER, OFF);
    rig.advance(secs(100));
    let op = rig.write(HEATER, ON);
    assert_eq!(
        refusal(&rig, op).0,
        "ahu1.cooler is on (interlock heat_cool)"
    );
}

#[test]
fn one_that_is_seen_on_beside_the_holder_is_switched_off_whatever_its_guard_says() {
    let mut site = site();
    site.points[1].guard = Some(Guard {
        min_on: secs(600),
        while_waiting: WhileWaiting::Queue,
        ..Guard::default()
    });
    let mut rig = declared(site);
    rig.sample(AHU, COOLER, OFF);
    rig.sample(AHU, HEATER, OFF);
    rig.advance(secs(60));
    rig.write(COOLER, ON);
    rig.accept(AHU, COOLER, &ON);
    rig.advance(secs(1));
    rig.sample(AHU, HEATER, ON);
    rig.accept(AHU, HEATER, &OFF);
    rig.sample(AHU, HEATER, OFF);
    assert!(rig.asked.is_empty());
    assert!(
        rig.site
            .why("ahu1.heater", rig.now)
            .unwrap()
            .slots
            .is_empty()
    );
}

#[test]
fn two_in_one_write_are_refused_before_either_is_begun() {
    let mut rig = rested();
    let op = rig.write_all(vec![(COOLER, ON), (HEATER, ON)], None);
    assert!(matches!(rig.result(op), Some(Err(Fault::BadValue(_)))));
    assert!(rig.asked.is_empty());
}

#[test]
fn what_runs_goes_on_after_a_restart_of_the_program() {
    let mut rig = rested();
    rig.write(COOLER, ON);
    rig.accept(AHU, COOLER, &ON);
    let mut rig = Rig::restarted(site(), rig.saved.clone(), rig.now);
    rig.declare(AHU, HEATER);
    rig.declare(AHU, COOLER);
    rig.accept(AHU, COOLER, &ON);
    rig.link(AHU, LinkState::Online);
    let op = rig.write(HEATER, ON);
    assert_eq!(
        refusal(&rig, op).0,
        "ahu1.cooler is on (interlock heat_cool)"
    );
}

#[test]
fn after_a_power_cut_everybody_must_be_seen_off_again() {
    let mut rig = rested();
    rig.write(COOLER, ON);
    rig.accept(AHU, COOLER, &ON);
    let mut now = rig.now;
    now.boot.0 += 1;
    let mut rig = Rig::restarted(site(), rig.saved.clone(), now);
    rig.declare(AHU, COOLER);
    rig.declare(AHU, HEATER);
    rig.sample(AHU, COOLER, OFF);
    rig.wait(secs(300));
    assert!(rig.asked.is_empty(), "the heater was not seen");
    rig.sample(AHU, HEATER, OFF);
    rig.wait(secs(59));
    assert!(rig.asked.is_empty());
    rig.wait(secs(1));
    let (_, request) = rig.asked.remove(0);
    assert!(matches!(request.action, Action::Write { .. }));
    assert_eq!(request.action, write_of(COOLER, &ON));
}
