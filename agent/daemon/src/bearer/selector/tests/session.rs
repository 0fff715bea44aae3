//! The bearer in use.

use super::*;

/// Seconds until a black hole was seen, at the worst moment, idle and with a request outstanding.
fn black_hole(kind: BearerKind) -> (f64, f64) {
    let times = [false, true].map(|is_awaited| {
        let mut rig = Rig::started(&[bearer("one", kind), bearer("other", BearerKind::Cellular)]);
        rig.link(1, None);
        rig.run(1000.0);
        rig.handle(BearerEvent::Taken);
        let from = rig.since_start();
        rig.paths[0] = None;
        rig.due.clear();
        if is_awaited {
            rig.handle(BearerEvent::Awaited(Some(rig.now)));
        }
        rig.run(200.0);
        let [(after, None, Want::Offline)] = rig.switches(from)[..] else {
            panic!("{:?}", rig.switches(from));
        };
        after
    });
    (times[0], times[1])
}

#[test]
fn a_black_hole_is_seen_in_time_on_every_class() {
    let classes = [
        (BearerKind::Ethernet, 10.0),
        (BearerKind::Wifi, 10.0),
        (BearerKind::TetherUsb, 40.0),
        (BearerKind::TetherWifi, 40.0),
        (BearerKind::TetherBluetooth, 90.0),
        (BearerKind::Cellular, 90.0),
    ];
    for (kind, most) in classes {
        let (idle, awaited) = black_hole(kind);
        assert!(idle <= most && awaited < 10.0, "{kind:?} {idle} {awaited}");
    }
}

#[test]
fn a_slow_bearer_is_not_given_up_for_being_slow() {
    let mut rig = Rig::started(&two()[1..]);
    rig.paths[0] = Some(s(3.0));
    rig.run(3600.0);
    rig.actions.clear();
    rig.handle(BearerEvent::Awaited(Some(rig.now)));
    rig.run(9.0);
    assert_eq!(rig.switches(0.0), []);
    assert_eq!(rig.status(0), UP);
}

#[test]
fn a_mapping_that_a_nat_lost_is_renewed_and_learnt() {
    let mut rig = Rig::started(&two()[1..]);
    rig.run(600.0);
    rig.handle(BearerEvent::Taken);
    rig.due.clear();
    let from = rig.since_start();
    rig.is_session_good = false;
    rig.run(79.0); // 60 s, then two misses of 10 s
    assert_eq!(rig.switches(from), []);
    rig.is_session_good = true;
    rig.run(2.0);
    assert_eq!(rig.switches(from), [(80.0, Some(0), Want::Renew)]);
    assert_eq!(rig.status(0), UP);
    let pings = |rig: &Rig| {
        let pings = rig
            .actions
            .iter()
            .filter(|(_, action)| *action == Action::Ping);
        pings.map(|(at, _)| at.round()).collect::<Vec<_>>()
    };
    rig.actions.clear();
    rig.run(100.0);
    let learnt = pings(&rig);
    assert_eq!(learnt[1] - learnt[0], 45.0);
    rig.run(2.0 * 3600.0);
    let learnt = pings(&rig);
    assert_eq!(learnt[learnt.len() - 1] - learnt[learnt.len() - 2], 60.0);
}

#[test]
fn servers_that_stay_silent_on_a_good_path_are_asked_less_often_and_nothing_else() {
    let mut rig = Rig::started(&two());
    let from = rig.since_start();
    rig.is_session_good = false;
    rig.run(86_400.0);
    assert_eq!(rig.switches(from).len(), 1, "{:?}", rig.switches(from));
    assert_eq!(rig.switches(from)[0].2, Want::Renew);
    let is_ping = |action: &Action| *action == Action::Ping;
    let pings = rig
        .actions
        .iter()
        .filter(|(_, action)| is_ping(action))
        .count();
    assert!(pings < 4000, "{pings}");
}

#[test]
fn one_dead_server_of_two_is_not_the_bearer_s_fault() {
    let mut rig = Rig::started(&two());
    let from = rig.since_start();
    rig.handle(BearerEvent::Awaited(Some(rig.now)));
    for _ in 0..60 {
        rig.run(1.0);
        rig.handle(BearerEvent::Heard(rig.now));
    }
    rig.handle(BearerEvent::Failed(Reason::Timeout));
    rig.run(60.0);
    assert_eq!(rig.switches(from), []);
}

#[test]
fn the_probes_say_why_the_sessions_are_silent() {
    let mut rig = Rig::started(&two());
    rig.paths[0] = None;
    rig.due.clear();
    while rig.selector.current() == Some(BearerId(0)) {
        for (_, event) in &mut rig.due {
            if let BearerEvent::Probed(BearerId(0), result) = event {
                *result = Err(Reason::Captive);
            }
        }
        rig.run(0.1);
    }
    assert_eq!(rig.status(0), down(Reason::Captive));
}

#[test]
fn a_server_that_dies_while_another_was_heard_since_is_not_the_bearer_s_fault() {
    let mut rig = Rig::started(&two()[1..]);
    let from = rig.since_start();
    rig.handle(BearerEvent::Awaited(Some(rig.now)));
    rig.run(50.0); // the other one is asked, and answers
    rig.handle(BearerEvent::Awaited(None));
    rig.handle(BearerEvent::Failed(Reason::Timeout));
    rig.run(10.0);
    assert_eq!(rig.switches(from), []);
}

#[test]
fn a_session_that_fails_marks_the_bearer_at_once() {
    let mut rig = Rig::started(&two());
    rig.is_session_good = false;
    rig.run(2.5);
    let from = rig.since_start();
    rig.handle(BearerEvent::Failed(Reason::Dtls));
    assert_eq!(rig.switches(from), [(0.0, Some(1), Want::FailOver)]);
    assert_eq!(rig.status(0), down(Reason::Dtls));
}

#[test]
fn keys_that_fit_nowhere_do_not_make_a_storm() {
    let mut rig = Rig::new(&two());
    rig.is_session_good = false;
    rig.link(0, Some(facts(1)));
    rig.link(1, Some(facts(2)));
    for _ in 0..3600 {
        rig.run(1.0);
        rig.handle(BearerEvent::Failed(Reason::Dtls));
    }
    let switches = rig.switches(0.0).len();
    assert!(switches < 400, "{switches}");
}

#[test]
fn stand_bys_are_asked_when_the_current_one_starts_to_miss() {
    let mut rig = Rig::started(&[
        bearer("cable", BearerKind::Ethernet),
        bearer("cell", BearerKind::Cellular),
        bearer("wlan", BearerKind::Wifi),
    ]);
    rig.run(600.0);
    rig.actions.clear();
    rig.handle(BearerEvent::Taken);
    rig.due.clear();
    let from = rig.since_start();
    rig.paths[0] = None;
    rig.paths[2] = None;
    rig.run(9.5);
    let after = |id| {
        rig.probes(id)
            .iter()
            .map(|at| (at - from).round())
            .collect::<Vec<_>>()
    };
    assert!(after(2).contains(&5.0), "{:?}", after(2));
    assert!(after(1).contains(&7.0), "{:?}", after(1));
    assert_eq!(rig.switches(from), [(9.0, Some(1), Want::FailOver)]);
}
