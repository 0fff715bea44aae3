//! What becomes of a command between its acceptance and the answer of the device.

use lamplighter_model::device::LinkState;
use lamplighter_site::boundary::{FailSafe, FailSafeOn, Limit, OnViolation};

use super::*;

const LEVEL: ResourceAddress = ResourceAddress::gateway(3311, 0, 5851);

impl Rig {
    /// It stands for long enough.
    fn stands(&mut self) {
        self.drives(0.0);
        self.goes_on(secs(10));
    }

    /// What the write of the engine that is under way was asked by.
    fn command(&self) -> Option<(Slot, Origin)> {
        let why = self.site.why("car.engine", self.now)?;
        let slot = why.slots.into_iter().next()?;
        Some((slot.slot, slot.by))
    }

    fn fails(&mut self) {
        let failed = Err(Fault::Device("relay stuck".to_owned()));
        assert_eq!(self.answer(LAMPS, failed), write_of(ENGINE, &OFF));
    }
}

fn disarmed(by: Option<Origin>) -> SiteEvent {
    let name = "car.engine".to_owned();
    SiteEvent::Disarmed { name, by }
}

/// Armed while it moves, and under way since it stands.
fn under_way() -> Rig {
    let mut rig = running();
    rig.drives(13.9);
    rig.write_all(vec![(ENGINE, OFF)], Some(secs(100)));
    rig.stands();
    assert_eq!(rig.asked.len(), 1);
    rig
}

#[test]
fn a_command_at_standstill_that_a_guard_delays_is_armed() {
    let guard = Guard {
        min_on: secs(1200),
        ..Guard::default()
    };
    let mut rig = running_with(Some(guard));
    rig.stands();
    let op = rig.write(ENGINE, OFF);
    assert!(rig.is_done(op) && rig.is_armed());
    let words = "armed: goes off at standstill; it stands, and is switched as soon as its guard \
                 lets it";
    assert_eq!(rig.held_by(), words);
    rig.drives(13.9);
    assert!(!rig.stops_within(secs(3600)), "it moves");
    rig.drives(0.0);
    assert!(rig.stops_within(secs(10)));
}

#[test]
fn a_command_that_is_still_waited_for_when_it_begins_to_move_is_armed() {
    let mut rig = running();
    rig.stands();
    rig.write(ENGINE, ON);
    let op = rig.write(ENGINE, OFF);
    assert_eq!(rig.result(op), None, "answered when it is done");
    rig.drives(13.9);
    rig.accept(LAMPS, ENGINE, &ON);
    assert!(rig.is_done(op) && rig.is_armed());
    // What was before is said once more.
    rig.accept(LAMPS, ENGINE, &ON);
    assert!(!rig.stops_within(secs(3600)));
    rig.drives(0.0);
    assert!(rig.stops_within(secs(10)));
}

#[test]
fn by_force_it_waits_for_nothing_also_behind_another_write() {
    let mut rig = running();
    rig.drives(13.9);
    rig.write(ENGINE, ON);
    let op = rig.execute(SHUT_DOWN, "1='force'");
    rig.accept(LAMPS, ENGINE, &ON);
    rig.accept(LAMPS, ENGINE, &OFF);
    assert!(rig.is_done(op) && !rig.is_armed());
}

#[test]
fn what_was_seen_once_lets_no_command_through() {
    let mut rig = running();
    let seen = Sample {
        quality: Quality::Stale,
        ..Sample::good(ENGINE, OFF, rig.now.stamp())
    };
    let news = AdapterEvent::Changed(vec![seen]);
    rig.tell(SiteInput::Adapter(LAMPS, news));
    rig.drives(13.9);
    let op = rig.write(ENGINE, OFF);
    assert!(rig.is_done(op) && rig.is_armed());
    // It says that it is off; it has been told to be on, and will be again.
    rig.sample(LAMPS, ENGINE, OFF);
    rig.write(ENGINE, OFF);
    assert!(rig.is_armed());
}

/// An engine that is throttled, within limits; the state that waits.
fn throttled(on: bool, (min, max): (f64, f64)) -> SiteConfig {
    let engine = PointConfig {
        name: "car.engine".to_owned(),
        address: LEVEL,
        kind: PointKind::Output,
        boot: BootState::Adopt,
        limit: Some(Limit {
            min: Some(min),
            max: Some(max),
            on_violation: OnViolation::Reject,
        }),
        ..lamp_point(0)
    };
    let mut config = car(None);
    config.points[0] = engine;
    config.standstills[0].outputs = vec![LEVEL];
    config.standstills[0].on = on;
    config
}

fn throttle(config: SiteConfig) -> Rig {
    let mut rig = Rig::restarted(config, None, crate::rig::start());
    rig.declare(LAMPS, LEVEL);
    rig.declare(GPS, SPEED);
    rig
}

#[test]
fn a_shut_down_stays_within_the_limit_also_of_another_configuration() {
    let mut rig = throttle(throttled(true, (0.0, 80.0)));
    rig.drives(13.9);
    rig.execute(SHUT_DOWN, "");
    let saved = rig.saved.clone();
    rig.execute(SHUT_DOWN, "1='force'");
    rig.accept(LAMPS, LEVEL, &Value::Integer(80));
    let mut rig = Rig::restarted(throttled(true, (0.0, 60.0)), saved, rig.now);
    rig.declare(LAMPS, LEVEL);
    rig.declare(GPS, SPEED);
    rig.stands();
    rig.accept(LAMPS, LEVEL, &Value::Integer(60));
    // There is no off within these.
    let mut rig = throttle(throttled(false, (20.0, 80.0)));
    let op = rig.execute(SHUT_DOWN, "1='force'");
    assert_eq!(rig.result(op), Some(&Err(Fault::Unsupported)));
    assert_eq!(rig.asked, []);
}

#[test]
fn a_command_under_way_is_in_its_slot_and_waits_again_when_it_fails() {
    let mut rig = under_way();
    assert!(rig.is_armed(), "it is still to be done");
    assert_eq!(rig.command(), Some((Slot::Command, server())));
    rig.drives(5.0);
    rig.fails();
    assert!(rig.is_armed());
    assert_eq!(rig.command().map(|(slot, _)| slot), Some(Slot::Default));
    assert!(!rig.events.contains(&disarmed(None)));
    rig.wait(secs(1));
    rig.accept(LAMPS, ENGINE, &ON);
    rig.stands();
    rig.accept(LAMPS, ENGINE, &OFF);
    assert!(!rig.is_armed());
    // Its holding time begins now.
    rig.goes_on(secs(99));
    assert_eq!(rig.asked, []);
    rig.goes_on(secs(1));
    rig.accept(LAMPS, ENGINE, &ON);
}

#[test]
fn what_was_called_off_under_way_does_not_wait_again() {
    let mut rig = under_way();
    rig.execute(CANCEL, "");
    assert!(!rig.is_armed());
    rig.fails();
    rig.pass(secs(1));
    rig.stands();
    assert_eq!(rig.asked, []);
    assert!(!rig.is_armed());
    let told = rig.events.iter();
    let told = told.filter(|event| matches!(event, SiteEvent::Disarmed { .. }));
    assert_eq!(told.collect::<Vec<_>>(), [&disarmed(Some(server()))]);
}

#[test]
fn a_later_command_takes_the_place_of_one_under_way() {
    let mut rig = under_way();
    let op = rig.write(ENGINE, ON);
    assert!(!rig.is_armed());
    rig.fails();
    rig.accept(LAMPS, ENGINE, &ON);
    assert!(rig.is_done(op) && !rig.is_armed());
    rig.stands();
    assert_eq!(rig.asked, []);
}

#[test]
fn what_was_under_way_when_the_program_ended_waits_again() {
    let rig = under_way();
    let mut rig = again(&rig);
    assert!(rig.is_armed());
    // It may have been carried out: the engine is told neither.
    rig.wait(secs(3600));
    assert_eq!(rig.asked, []);
    rig.stands();
    rig.accept(LAMPS, ENGINE, &OFF);
    assert!(!rig.is_armed());
    rig.goes_on(secs(100));
    rig.accept(LAMPS, ENGINE, &ON);
}

#[test]
fn what_may_have_been_carried_out_can_be_called_off() {
    let rig = under_way();
    let mut rig = again(&rig);
    rig.execute(CANCEL, "");
    rig.accept(LAMPS, ENGINE, &ON);
    rig.stands();
    assert_eq!(rig.asked, []);
}

fn with_fail_safe(on: FailSafeOn) -> Rig {
    let mut config = car(None);
    let after = secs(600);
    let value = ON;
    config.points[0].fail_safe = Some(FailSafe { on, after, value });
    let mut rig = Rig::restarted(config, None, crate::rig::start());
    rig.declare(LAMPS, ENGINE);
    rig.declare(GPS, SPEED);
    rig.link(LAMPS, LinkState::Online);
    rig.tell(SiteInput::ServerContact(true));
    rig.pass(secs(60));
    rig.drives(13.9);
    rig.write(ENGINE, OFF);
    assert!(rig.is_armed());
    rig
}

#[test]
fn what_is_armed_ends_when_the_device_was_lost_for_long() {
    let mut rig = with_fail_safe(FailSafeOn::DeviceLost);
    rig.link(LAMPS, LinkState::Offline);
    rig.wait(secs(599));
    assert!(rig.is_armed());
    rig.wait(secs(1));
    assert!(!rig.is_armed());
    let by = Origin::Rule("device lost".to_owned());
    assert!(rig.events.contains(&disarmed(Some(by))));
    rig.pass(secs(1));
    rig.link(LAMPS, LinkState::Online);
    rig.accept(LAMPS, ENGINE, &ON);
    rig.stands();
    assert_eq!(rig.asked, []);
}

#[test]
fn what_a_server_has_armed_ends_when_servers_were_lost_for_long() {
    let mut rig = with_fail_safe(FailSafeOn::ServerLost);
    rig.tell(SiteInput::ServerContact(false));
    rig.pass(secs(600));
    assert!(!rig.is_armed());
    rig.stands();
    assert_eq!(rig.asked, []);
    // What somebody at the box wants does not.
    let mut rig = with_fail_safe(FailSafeOn::ServerLost);
    let by = Origin::Local("anna (local)".to_owned());
    rig.request(by, write_of(ENGINE, &OFF));
    rig.tell(SiteInput::ServerContact(false));
    rig.pass(secs(600));
    assert!(rig.is_armed());
    rig.drives(0.0);
    assert!(rig.stops_within(secs(10)));
}

/// The number of the write that is under way.
fn asked(rig: &Rig) -> OpId {
    rig.asked[0].1.op
}

#[test]
fn what_was_held_up_on_its_way_is_too_late_once_it_moves() {
    let mut rig = under_way();
    assert!(rig.site.may_be_late(asked(&rig), rig.now));
    rig.drives(5.0);
    assert!(!rig.site.may_be_late(asked(&rig), rig.now));
}

#[test]
fn of_two_that_have_to_wait_the_later_one_does() {
    let mut rig = running();
    rig.stands();
    rig.write(ENGINE, ON);
    let first = rig.write(ENGINE, OFF);
    rig.drives(13.9);
    let hold = Some(secs(100));
    let second = rig.write_all(vec![(ENGINE, OFF)], hold);
    rig.accept(LAMPS, ENGINE, &ON);
    assert!(rig.is_done(first) && rig.is_done(second));
    rig.pass(secs(1));
    rig.stands();
    rig.accept(LAMPS, ENGINE, &OFF);
    rig.goes_on(secs(100));
    assert_eq!(rig.asked.len(), 1, "its holding time is over");
}
