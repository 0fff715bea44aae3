//! Links that come, go and change.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

#[test]
fn the_first_choice_waits_until_all_interfaces_were_looked_for() {
    let mut bearers = two();
    bearers.swap(0, 1);
    let mut rig = Rig::new(&bearers);
    rig.link(0, Some(facts(1)));
    assert_eq!(rig.selector.current(), None);
    rig.link(1, Some(facts(2)));
    assert_eq!(rig.switches(0.0), [(0.0, Some(1), Want::First)]);
    rig.run(1.0);
    assert_eq!((rig.status(0), rig.status(1)), (UP, UP));
}

#[test]
fn the_first_choice_waits_no_longer_than_a_moment() {
    let mut rig = Rig::new(&two());
    rig.link(1, Some(facts(2)));
    rig.run(1.0);
    assert_eq!(rig.switches(0.0), [(0.3, Some(1), Want::First)]);
}

#[test]
fn a_link_lost_is_a_fail_over_at_once() {
    let mut rig = Rig::started(&two());
    let from = rig.since_start();
    let mut link = facts(1);
    link.is_up = false;
    rig.link(0, Some(link));
    assert_eq!(rig.switches(from), [(0.0, Some(1), Want::FailOver)]);
    assert_eq!(rig.status(0), down(Reason::NoLink));
    assert_eq!(rig.facts(0).flaps, 1);
}

#[test]
fn the_reason_says_what_is_missing() {
    let mut rig = Rig::started(&two());
    let mut link = facts(1);
    link.routes.clear();
    rig.link(0, Some(link.clone()));
    assert_eq!(rig.status(0), down(Reason::NoRoute));
    link.v4.clear();
    rig.link(0, Some(link));
    assert_eq!(rig.status(0), down(Reason::NoAddress));
    rig.link(0, None);
    assert_eq!(rig.status(0), down(Reason::NoLink));
    let meta = crate::bearer::Meta {
        registered: Some(false),
        ..Default::default()
    };
    rig.handle(BearerEvent::Meta(BearerId(1), meta));
    assert_eq!(rig.status(1), down(Reason::NotRegistered));
    assert_eq!(rig.selector.current(), None);
}

#[test]
fn a_route_of_the_other_family_is_no_route() {
    let mut rig = Rig::new(&two()[..1]);
    let mut link = facts(1);
    link.routes = vec![AddressFamily::V6];
    rig.link(0, Some(link.clone()));
    assert_eq!(rig.status(0), down(Reason::NoRoute));
    link.v6.push(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    rig.link(0, Some(link));
    rig.run(1.0);
    assert_eq!(rig.status(0), UP);
    assert!(
        rig.facts(0)
            .address
            .is_some_and(|address| address.is_ipv6())
    );
}

#[test]
fn a_fresh_link_is_not_connected_before_it_is_answered_twice() {
    let mut rig = Rig::started(&two());
    rig.link(0, None);
    rig.run(10.0);
    let from = rig.since_start();
    rig.link(0, Some(facts(7)));
    assert_eq!(rig.status(0), down(Reason::Untried));
    rig.run(0.07);
    assert_eq!(rig.status(0), down(Reason::Untried));
    rig.run(0.05);
    assert_eq!(rig.status(0), UP);
    let probes: Vec<f64> = rig.probes(0).into_iter().filter(|at| *at >= from).collect();
    assert_eq!(probes.len(), 2);
    assert!((probes[1] - from - 0.05).abs() < 1e-6);
}

#[test]
fn another_address_or_device_opens_the_sockets_anew_but_one_more_does_not() {
    let mut rig = Rig::started(&two());
    let from = rig.since_start();
    let mut link = facts(1);
    link.v4.push(Ipv4Addr::new(10, 0, 0, 1));
    rig.link(0, Some(link.clone()));
    assert_eq!(rig.switches(from), []);
    link.v4.remove(0);
    rig.link(0, Some(link.clone()));
    let renewed = (0.0, Some(0), Want::Renew);
    assert_eq!(rig.switches(from), [renewed]);
    link.index = 9;
    rig.link(0, Some(link));
    assert_eq!(rig.switches(from), [renewed, renewed]);
    rig.run(5.0);
    assert_eq!(rig.status(0), UP);
    assert_eq!(rig.switches(from).len(), 2);
}

#[test]
fn a_link_that_comes_and_goes_is_not_asked_each_time() {
    let mut rig = Rig::started(&two());
    for _ in 0..400 {
        rig.link(1, None);
        rig.run(0.125);
        rig.link(1, Some(facts(2)));
        rig.run(0.125);
    }
    assert!(rig.probes(1).len() < 40, "{:?}", rig.probes(1));
    rig.run(31.0);
    assert_eq!(rig.status(1), UP);
}
