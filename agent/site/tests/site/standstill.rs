//! What is not switched while something moves (design, 6 "Engine or machine shut-down").

mod begun;
mod told;

use std::time::Duration;

use lamplighter_model::{
    Now, Quality, ResourceAddress, Sample, Value,
    device::{Action, AdapterEvent, AdapterId, Answer, Fault, OpId, Origin},
};
use lamplighter_site::boundary::{
    BootState, Guard, LockRequest, PointConfig, PointKind, SiteConfig, SiteEvent, SiteInput, Slot,
    StandstillConfig,
};

use crate::rig::{LAMPS, Rig, VENDOR, config, lamp_point, secs, server, write_of};

const ON: Value = Value::Boolean(true);
const OFF: Value = Value::Boolean(false);
const ENGINE: ResourceAddress = ResourceAddress::gateway(3306, 0, 5850);
const SPEED: ResourceAddress = ResourceAddress::gateway(6, 0, 6);
const ARMED: ResourceAddress = ResourceAddress::gateway(VENDOR + 2, 0, 10);
const SHUT_DOWN: ResourceAddress = ResourceAddress::gateway(VENDOR + 2, 0, 11);
const CANCEL: ResourceAddress = ResourceAddress::gateway(VENDOR + 2, 0, 12);
const GPS: AdapterId = AdapterId(5);

fn car(guard: Option<Guard>) -> SiteConfig {
    let engine = PointConfig {
        name: "car.engine".to_owned(),
        address: ENGINE,
        kind: PointKind::Output,
        boot: BootState::On,
        guard,
        ..lamp_point(0)
    };
    let speed = PointConfig {
        name: "gps.speed".to_owned(),
        adapter: GPS,
        address: SPEED,
        kind: PointKind::Value,
        ..lamp_point(0)
    };
    let standstill = StandstillConfig {
        name: "engine".to_owned(),
        outputs: vec![ENGINE],
        on: false,
        speed: SPEED,
        below: 0.5,
        lasts: secs(10),
    };
    SiteConfig {
        standstills: vec![standstill],
        ..config(vec![engine, speed], Vec::new())
    }
}

/// The engine runs; nobody has said how fast the car is.
fn running_with(guard: Option<Guard>) -> Rig {
    let mut rig = Rig::restarted(car(guard), None, crate::rig::start());
    rig.declare(LAMPS, ENGINE);
    rig.declare(GPS, SPEED);
    rig.pass(secs(600));
    rig.sample(LAMPS, ENGINE, ON);
    rig.forget();
    rig
}

fn running() -> Rig {
    running_with(None)
}

fn again(rig: &Rig) -> Rig {
    let now = Now {
        mono: rig.now.mono + secs(5),
        ..rig.now
    };
    let mut next = Rig::restarted(car(None), rig.saved.clone(), now);
    next.declare(LAMPS, ENGINE);
    next.declare(GPS, SPEED);
    next
}

impl Rig {
    fn drives(&mut self, speed: f64) {
        self.sample(GPS, SPEED, Value::Float(speed));
    }

    /// The receiver tells it every second.
    fn goes_on(&mut self, time: Duration) {
        for _ in 0..time.as_secs() {
            self.wait(secs(1));
            let last = self.tree.get(&(SPEED, None)).cloned();
            if let Some(last) = last.filter(|last| last.quality == Quality::Good) {
                self.sample(GPS, SPEED, last.value);
            }
        }
    }

    fn execute(&mut self, resource: ResourceAddress, args: &str) -> OpId {
        let args = args.as_bytes().to_vec();
        self.request(server(), Action::Execute { resource, args })
    }

    fn is_armed(&self) -> bool {
        self.value(ARMED) == Some(ON)
    }

    fn held_by(&self) -> String {
        let why = self.site.why("car.engine", self.now);
        why.and_then(|why| why.held_by).unwrap_or_default()
    }

    fn in_effect(&self) -> Option<Value> {
        self.site.why("car.engine", self.now)?.in_effect
    }

    fn lose(&mut self) {
        let sample = Sample {
            quality: Quality::Stale,
            ..Sample::good(SPEED, Value::Float(0.0), self.now.stamp())
        };
        let news = AdapterEvent::Changed(vec![sample]);
        self.tell(SiteInput::Adapter(GPS, news));
    }

    /// Whether the engine is told to stop within this time; the device obeys.
    fn stops_within(&mut self, time: Duration) -> bool {
        self.goes_on(time);
        if self.asked.is_empty() {
            return false;
        }
        self.accept(LAMPS, ENGINE, &OFF);
        true
    }
}

#[test]
fn a_command_waits_for_standstill_and_is_then_one_like_any_other() {
    let mut rig = running();
    rig.drives(13.9);
    assert_eq!(rig.value(ARMED), Some(OFF));
    let op = rig.write(ENGINE, OFF);
    assert!(rig.is_done(op), "accepted at once");
    let saved = rig.trace.iter().position(|said| *said == "save");
    let done = rig.trace.iter().position(|said| *said == "done");
    assert!(saved < done, "kept before it is answered: {:?}", rig.trace);
    assert!(rig.is_armed());
    assert_eq!(
        rig.held_by(),
        "armed: goes off at standstill; it moves (13.9)"
    );
    assert!(!rig.stops_within(secs(60)));
    rig.drives(0.3);
    assert!(!rig.stops_within(secs(9)));
    assert_eq!(
        rig.held_by(),
        "armed: goes off at standstill; it does not stand for 10 s yet"
    );
    assert!(rig.stops_within(secs(1)));
    assert!(!rig.is_armed());
    assert_eq!(rig.in_effect(), Some(OFF));
    let why = rig.site.why("car.engine", rig.now).unwrap();
    assert_eq!(
        (why.slots[0].slot, why.slots[0].by.clone()),
        (Slot::Command, server())
    );
    // Towed away it stays off.
    rig.drives(20.0);
    rig.wait(secs(600));
    assert_eq!(rig.asked, []);
    let told: Vec<&SiteEvent> = rig.events.iter().collect();
    let name = "car.engine".to_owned();
    let armed = SiteEvent::Armed {
        name: name.clone(),
        by: server(),
        again: false,
    };
    let over = SiteEvent::Disarmed { name, by: None };
    assert!(told.contains(&&armed) && told.contains(&&over), "{told:?}");
}

#[test]
fn an_unknown_speed_counts_as_moving() {
    let mut rig = running();
    let op = rig.write(ENGINE, OFF);
    assert!(rig.is_done(op) && rig.is_armed());
    assert!(!rig.stops_within(secs(3600)));
    let words = "armed: goes off at standstill; the speed is not known";
    assert_eq!(rig.held_by(), words);
    // Nine seconds of standing, then nobody knows: it begins anew.
    rig.drives(0.0);
    assert!(!rig.stops_within(secs(9)));
    rig.lose();
    assert!(!rig.stops_within(secs(3600)));
    rig.drives(f64::NAN);
    assert!(!rig.stops_within(secs(3600)));
    rig.drives(0.0);
    assert!(!rig.stops_within(secs(9)));
    assert!(rig.stops_within(secs(1)));
}

#[test]
fn stop_and_go_is_no_standstill() {
    let mut rig = running();
    rig.write(ENGINE, OFF);
    for _ in 0..20 {
        rig.drives(0.0);
        assert!(!rig.stops_within(secs(9)));
        rig.drives(3.0);
        assert!(!rig.stops_within(secs(5)));
    }
    assert!(rig.is_armed());
}

#[test]
fn who_stands_is_switched_at_once_and_going_on_waits_for_nothing() {
    let mut rig = running();
    rig.drives(0.0);
    rig.goes_on(secs(10));
    let op = rig.write(ENGINE, OFF);
    assert!(!rig.is_done(op), "answered when it is done");
    rig.accept(LAMPS, ENGINE, &OFF);
    assert!(rig.is_done(op));
    rig.sample(LAMPS, ENGINE, OFF);
    rig.drives(10.0);
    let op = rig.write(ENGINE, OFF);
    assert!(!rig.is_armed(), "it is off already");
    rig.accept(LAMPS, ENGINE, &OFF);
    assert!(rig.is_done(op));
    rig.write(ENGINE, ON);
    rig.accept(LAMPS, ENGINE, &ON);
}

#[test]
fn an_armed_command_can_be_called_off() {
    let mut rig = running();
    rig.drives(13.9);
    rig.write(ENGINE, OFF);
    let op = rig.execute(CANCEL, "");
    assert!(rig.is_done(op) && !rig.is_armed());
    let by = Some(server());
    let name = "car.engine".to_owned();
    assert!(rig.events.contains(&SiteEvent::Disarmed { name, by }));
    rig.drives(0.0);
    assert!(!rig.stops_within(secs(3600)));
    // A later command to go on does the same.
    rig.drives(13.9);
    rig.write(ENGINE, OFF);
    rig.write(ENGINE, ON);
    rig.accept(LAMPS, ENGINE, &ON);
    assert!(!rig.is_armed());
    rig.drives(0.0);
    assert!(!rig.stops_within(secs(3600)));
}

#[test]
fn shut_down_is_a_command_and_by_force_it_waits_for_nothing() {
    let mut rig = running();
    rig.drives(13.9);
    let op = rig.execute(SHUT_DOWN, "");
    assert!(rig.is_done(op) && rig.is_armed());
    let op = rig.execute(SHUT_DOWN, "1='gently'");
    assert!(matches!(rig.result(op), Some(Err(Fault::BadValue(_)))));
    let op = rig.execute(SHUT_DOWN, "1='force'");
    assert_eq!(rig.result(op), None, "answered when it is done");
    rig.accept(LAMPS, ENGINE, &OFF);
    assert!(rig.is_done(op) && !rig.is_armed());
    rig.sample(LAMPS, ENGINE, OFF);
    // The force was of that command alone.
    rig.write(ENGINE, ON);
    rig.accept(LAMPS, ENGINE, &ON);
    rig.sample(LAMPS, ENGINE, ON);
    rig.write(ENGINE, OFF);
    assert!(rig.is_armed());
}

#[test]
fn what_is_armed_survives_a_restart_and_the_engine_runs_on_meanwhile() {
    let mut rig = running();
    rig.drives(13.9);
    rig.write_all(vec![(ENGINE, OFF)], Some(secs(100)));
    let mut rig = again(&rig);
    assert!(rig.is_armed());
    // The line is driven to what was before.
    rig.accept(LAMPS, ENGINE, &ON);
    rig.sample(LAMPS, ENGINE, ON);
    assert!(!rig.stops_within(secs(3600)), "the speed is not known");
    let name = "car.engine".to_owned();
    let by = server();
    let again = SiteEvent::Armed {
        name,
        by,
        again: true,
    };
    assert!(rig.events.contains(&again), "{:?}", rig.events);
    rig.drives(0.0);
    assert!(rig.stops_within(secs(10)));
    rig.sample(LAMPS, ENGINE, OFF);
    // Its holding time has begun with that.
    rig.wait(secs(99));
    assert_eq!(rig.asked, []);
    rig.wait(secs(1));
    rig.accept(LAMPS, ENGINE, &ON);
}

#[test]
fn what_was_carried_out_is_so_after_a_restart_whatever_moves() {
    let mut rig = running();
    rig.drives(13.9);
    rig.execute(SHUT_DOWN, "1='force'");
    rig.accept(LAMPS, ENGINE, &OFF);
    let mut rig = again(&rig);
    rig.drives(13.9);
    rig.accept(LAMPS, ENGINE, &OFF);
    assert!(!rig.is_armed());
}

#[test]
fn a_device_that_refuses_is_not_asked_again_while_it_moves() {
    let mut rig = running();
    rig.write(ENGINE, OFF);
    rig.drives(0.0);
    rig.goes_on(secs(10));
    let failed = Err(Fault::Device("relay stuck".to_owned()));
    assert_eq!(rig.answer(LAMPS, failed), write_of(ENGINE, &OFF));
    assert!(rig.is_armed(), "it is still to be done");
    rig.drives(5.0);
    rig.wait(secs(1));
    // Nobody knows what the relay has made of it: it is told to go on.
    rig.accept(LAMPS, ENGINE, &ON);
    assert!(!rig.stops_within(secs(3600)));
    rig.drives(0.0);
    assert!(rig.stops_within(secs(10)));
    assert!(!rig.is_armed());
}

#[test]
fn a_guard_that_delays_does_not_let_it_be_done_in_motion() {
    let guard = Guard {
        min_on: secs(1200),
        ..Guard::default()
    };
    let mut rig = running_with(Some(guard));
    rig.write(ENGINE, OFF);
    assert!(rig.is_armed());
    rig.drives(0.0);
    assert!(!rig.stops_within(secs(100)), "the guard");
    rig.drives(5.0);
    assert!(!rig.stops_within(secs(3600)), "it moves");
    rig.drives(0.0);
    assert!(rig.stops_within(secs(10)));
}

#[test]
fn a_maintenance_lock_waits_for_nothing_and_refuses_what_it_refuses_elsewhere() {
    let mut rig = running();
    rig.drives(13.9);
    rig.write(ENGINE, OFF);
    let by = Origin::Local("anna (local)".to_owned());
    let what = "car.engine".to_owned();
    rig.tell(SiteInput::Lock(
        OpId(1),
        LockRequest::Lock {
            what,
            by: by.clone(),
        },
    ));
    rig.accept(LAMPS, ENGINE, &OFF);
    rig.sample(LAMPS, ENGINE, OFF);
    let op = rig.write(ENGINE, ON);
    assert!(matches!(rig.result(op), Some(Err(Fault::Refused { .. }))));
    assert!(rig.is_armed(), "what is refused changes nothing");
    let what = None;
    rig.tell(SiteInput::Lock(OpId(2), LockRequest::Unlock { what, by }));
    rig.accept(LAMPS, ENGINE, &ON);
    rig.drives(0.0);
    assert!(rig.stops_within(secs(10)));
}

#[test]
fn outputs_that_wait_for_nothing_have_nothing_to_be_armed() {
    let rig = Rig::ready(vec![lamp_point(1)], Vec::new());
    let status = |resource| ResourceAddress::gateway(VENDOR + 2, 0, resource);
    assert!(rig.declared.contains_key(&status(9)));
    for resource in 10..=12 {
        assert!(!rig.declared.contains_key(&status(resource)), "{resource}");
    }
    let mut rig = running();
    let op = rig.execute(ARMED, "");
    assert_eq!(rig.result(op), Some(&Err(Fault::Unsupported)));
    let op = rig.execute(CANCEL, "");
    assert_eq!(rig.result(op), Some(&Ok(Answer::default())));
}
