//! Answers to probes, and what is chosen by them.

use super::*;
use crate::bearer::Meta;

#[test]
fn a_stand_by_is_disconnected_after_so_many_misses() {
    let mut rig = Rig::started(&two());
    rig.paths[1] = None;
    rig.run(870.0); // asked every 900 s, and missed twice
    assert_eq!(rig.status(1), UP);
    rig.run(30.0);
    assert_eq!(rig.status(1), down(Reason::Timeout));
    assert_eq!(rig.facts(1).flaps, 1);
    assert_eq!(rig.switches(0.0), []);
}

#[test]
fn a_disconnected_one_is_asked_less_and_less_often() {
    let mut bearers = two();
    bearers.push(bearer("wlan", BearerKind::Wifi));
    let mut rig = Rig::new(&bearers);
    rig.paths[1] = None;
    rig.paths[2] = None;
    for id in 0..3 {
        rig.link(id, Some(facts(u32::from(id) + 1)));
    }
    rig.run(7200.0);
    let pauses = |id| {
        let probes = rig.probes(id);
        let last = probes.windows(2).last().unwrap();
        (probes.len(), (last[1] - last[0]).round())
    };
    assert_eq!(pauses(1).1, 900.0);
    assert_eq!(pauses(2).1, 60.0);
    assert!(pauses(2).0 < 130);
}

#[test]
fn a_network_that_refuses_is_a_miss_at_once() {
    let mut rig = Rig::started(&two());
    rig.link(1, None);
    rig.paths[1] = None;
    rig.run(100.0);
    rig.link(1, Some(facts(2)));
    for _ in 0..3 {
        rig.due.clear();
        rig.handle(BearerEvent::Probed(BearerId(1), Err(Reason::Refused)));
        rig.run(5.0); // half of the longest time for an answer
    }
    assert_eq!(rig.status(1), down(Reason::Refused));
}

#[test]
fn without_a_server_all_stay_untried_and_are_asked_soon_after_there_is_one() {
    let mut rig = Rig::new(&two());
    rig.has_server = false;
    rig.is_session_good = false;
    rig.link(0, Some(facts(1)));
    rig.link(1, Some(facts(2)));
    rig.run(3600.0);
    assert_eq!(rig.status(1), down(Reason::Untried));
    assert!(rig.probes(0).len() < 80, "{}", rig.probes(0).len());
    assert_eq!(rig.switches(0.0), [(0.0, Some(0), Want::First)]);
    rig.has_server = true;
    rig.is_session_good = true;
    rig.run(70.0);
    assert_eq!((rig.status(0), rig.status(1)), (UP, UP));
}

#[test]
fn a_black_hole_at_the_start_does_not_keep_others_from_being_used() {
    let mut rig = Rig::new(&two());
    rig.paths[0] = None;
    rig.link(0, Some(facts(1)));
    rig.link(1, Some(facts(2)));
    rig.run(10.0);
    let first = (0.0, Some(0), Want::First);
    assert_eq!(rig.switches(0.0), [first, (2.0, Some(1), Want::FailOver)]);
}

#[test]
fn goes_back_only_after_the_hold_and_later_after_each_flap() {
    let mut rig = Rig::started(&two());
    let mut back = Vec::new();
    for _ in 0..8 {
        rig.link(0, None);
        rig.run(1.0);
        let from = rig.since_start();
        rig.link(0, Some(facts(1)));
        rig.run(1900.0);
        let [(after, Some(0), Want::FailBack)] = rig.switches(from)[..] else {
            panic!("{:?}", rig.switches(from));
        };
        back.push((after - 0.1).round());
    }
    // Half an hour each: the time takes back a doubling at every second one.
    assert_eq!(
        back,
        [30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1800.0, 1800.0]
    );
}

#[test]
fn all_gone_is_offline_and_the_first_answer_wins() {
    let mut rig = Rig::started(&two());
    let from = rig.since_start();
    rig.paths = vec![None, None];
    rig.run(600.0);
    let switches = rig.switches(from);
    assert_eq!(switches.last().unwrap().1, None);
    assert_eq!(switches.last().unwrap().2, Want::Offline);
    assert_eq!(
        rig.selector.poll_timeout().map(|at| at > rig.now),
        Some(true)
    );
    let from = rig.since_start();
    rig.paths[1] = Some(s(0.1));
    rig.run(61.0);
    let switches = rig.switches(from);
    assert_eq!(switches.len(), 1);
    assert_eq!((switches[0].1, switches[0].2), (Some(1), Want::First));
    assert_eq!(rig.status(1), UP);
}

#[test]
fn a_backup_is_not_asked_while_a_better_one_works() {
    let mut bearers = two();
    bearers[1].tier = Some(Tier::Backup);
    let mut rig = Rig::started(&bearers);
    rig.run(86_400.0);
    assert!(rig.probes(1).is_empty());
    assert_eq!(rig.status(1), down(Reason::Untried));
    let from = rig.since_start();
    rig.link(0, None);
    rig.run(1.0);
    assert_eq!(rig.switches(from), [(0.0, Some(1), Want::FailOver)]);
    assert_eq!(rig.status(1), UP);
}

#[test]
fn a_bearer_that_is_never_used_is_never_asked() {
    let mut bearers = two();
    bearers[0].tier = Some(Tier::Never);
    let mut rig = Rig::started(&bearers[..1]);
    assert_eq!(rig.status(0), down(Reason::Disabled));
    assert_eq!(rig.selector.poll_timeout(), None);
    rig.handle(BearerEvent::Choose(Choice::Use(BearerId(0))));
    rig.run(60.0);
    assert_eq!(rig.actions, []);
}

#[test]
fn somebody_s_choice_is_followed_at_once_and_given_up_where_it_does_not_work() {
    let mut rig = Rig::started(&two());
    let from = rig.since_start();
    rig.handle(BearerEvent::Choose(Choice::Use(BearerId(1))));
    assert_eq!(rig.switches(from), [(0.0, Some(1), Want::Command)]);
    rig.run(100.0);
    let from = rig.since_start();
    rig.link(1, None);
    assert_eq!(rig.switches(from), [(0.0, Some(0), Want::FailOver)]);
    rig.run(100.0);
    let from = rig.since_start();
    rig.link(1, Some(facts(2)));
    rig.run(100.0);
    assert_eq!(rig.switches(from), [(60.1, Some(1), Want::FailBack)]);
    let from = rig.since_start();
    rig.handle(BearerEvent::Choose(Choice::Auto));
    assert_eq!(rig.switches(from), [(0.0, Some(0), Want::Command)]);
}

#[test]
fn a_choice_that_is_not_connected_is_waited_for() {
    let mut rig = Rig::started(&two());
    rig.link(1, None);
    rig.run(100.0);
    let from = rig.since_start();
    rig.handle(BearerEvent::Choose(Choice::Use(BearerId(1))));
    rig.run(20.0);
    assert_eq!(rig.switches(from), []);
    rig.link(1, Some(facts(2)));
    rig.run(20.0);
    assert_eq!(rig.switches(from), [(20.1, Some(1), Want::Command)]);
}

#[test]
fn the_order_of_a_server_goes_before_tier_and_priority() {
    let mut bearers = two();
    bearers.push(bearer("phone", BearerKind::TetherBluetooth));
    let mut rig = Rig::started(&bearers);
    for (order, expected) in [
        (vec![10, 3], 2),
        (vec![6, 16, 0], 1),
        (vec![9, 0, 3], 0),
        (vec![3], 1),
        (vec![], 0),
    ] {
        rig.handle(BearerEvent::Choose(Choice::Prefer(order)));
        assert_eq!(rig.selector.current(), Some(BearerId(expected)));
        rig.run(1.0);
    }
}

#[test]
fn offline_is_silence_until_the_time_or_the_word() {
    let mut rig = Rig::started(&two());
    let from = rig.since_start();
    let until = rig.now + s(7200.0);
    rig.handle(BearerEvent::Choose(Choice::Offline(Some(until))));
    assert_eq!(rig.switches(from), [(0.0, None, Want::Offline)]);
    assert_eq!(rig.status(0), down(Reason::Disabled));
    rig.actions.clear();
    rig.due.clear();
    rig.link(1, None);
    rig.link(1, Some(facts(2)));
    rig.run(7199.0);
    assert!(
        rig.actions
            .iter()
            .all(|(_, action)| matches!(action, Action::Show(_)))
    );
    rig.run(2.0);
    assert_eq!(rig.switches(from), [(7200.0, Some(0), Want::First)]);
    assert_eq!(rig.status(0), UP);
    assert_eq!(rig.facts(0).flaps, 0);
    rig.handle(BearerEvent::Choose(Choice::Offline(None)));
    assert_eq!(rig.selector.poll_timeout(), None);
    rig.handle(BearerEvent::Choose(Choice::Online));
    assert_eq!(rig.selector.current(), Some(BearerId(0)));
}

#[test]
fn quiet_freezes_what_is_known_but_not_the_links() {
    let mut rig = Rig::started(&two());
    rig.handle(BearerEvent::Quiet(true));
    rig.actions.clear();
    rig.due.clear();
    assert_eq!(rig.selector.poll_timeout(), None);
    rig.paths = vec![None, None];
    rig.run(86_400.0);
    rig.handle(BearerEvent::Timeout);
    assert_eq!(rig.actions, []);
    assert_eq!(rig.status(0), UP);
    rig.link(1, None);
    assert_eq!(rig.status(1), down(Reason::NoLink));
    rig.handle(BearerEvent::Quiet(false));
    rig.run(10.0);
    assert_eq!(rig.status(0), down(Reason::Timeout));
}

fn capped(at_cap: AtCap) -> Rig {
    let mut bearers = two();
    bearers[0].cap = Some(Cap {
        day: Some(1000),
        month: None,
        at_cap,
    });
    Rig::started(&bearers)
}

fn usage(rig: &mut Rig, today: u64) -> f64 {
    let from = rig.since_start();
    rig.actions.clear();
    rig.handle(BearerEvent::Usage(BearerId(0), today, today));
    from
}

#[test]
fn people_are_told_at_three_quarters_of_a_cap() {
    let mut rig = capped(AtCap::Warn);
    usage(&mut rig, 749);
    assert_eq!(rig.actions, []);
    let from = usage(&mut rig, 750);
    assert_eq!(rig.actions, [(from, Action::Show(BearerId(0)))]);
    usage(&mut rig, 5000);
    assert_eq!(rig.selector.current(), Some(BearerId(0)));
}

#[test]
fn a_cap_blocks_and_a_new_day_frees() {
    let mut rig = capped(AtCap::Block);
    let from = usage(&mut rig, 1000);
    assert_eq!(rig.switches(from), [(0.0, Some(1), Want::Cap)]);
    assert_eq!(rig.status(0), down(Reason::CapReached));
    rig.run(86_400.0);
    assert!(rig.probes(0).is_empty());
    let from = usage(&mut rig, 0);
    rig.run(100.0);
    assert_eq!(rig.switches(from), [(30.1, Some(0), Want::FailBack)]);
    assert_eq!(rig.facts(0).flaps, 0);
}

#[test]
fn a_cap_demotes_behind_all_others() {
    for (at_cap, is_urgent) in [(AtCap::Demote, false), (AtCap::Urgent, true)] {
        let mut rig = capped(at_cap);
        let from = usage(&mut rig, 1000);
        assert_eq!(rig.switches(from), [(0.0, Some(1), Want::Cap)]);
        assert_eq!(rig.facts(0).is_urgent_only, is_urgent);
        rig.run(10.0);
        rig.link(1, None);
        assert_eq!(rig.selector.current(), Some(BearerId(0)));
        rig.link(1, Some(facts(2)));
        rig.run(1.0);
        assert_eq!(rig.selector.current(), Some(BearerId(1)));
    }
}

#[test]
fn one_that_is_weaker_than_a_server_accepts_is_used_only_while_nothing_else_works() {
    let mut rig = Rig::started(&two());
    rig.run(60.0);
    let weak = |is_weak| Meta {
        is_weak,
        ..Meta::default()
    };
    let from = rig.since_start();
    rig.handle(BearerEvent::Meta(BearerId(0), weak(true)));
    rig.run(120.0);
    let switches: Vec<_> = rig.switches(from).into_iter().map(|it| it.1).collect();
    assert_eq!(switches, [Some(1)]);
    rig.link(1, None);
    rig.run(1.0);
    assert_eq!(rig.selector.current(), Some(BearerId(0)));
}
