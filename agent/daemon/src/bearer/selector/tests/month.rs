//! What the agent does and spends in a month without anything to say.

use super::*;
use crate::bearer::cost::{self, Cost};

const DAY: f64 = 86_400.0;
const V4: AddressFamily = AddressFamily::V4;

/// Each in use, with two stand-bys; a tenth of the month where every three seconds are looked at.
#[test]
fn a_month_of_watching_costs_what_is_said() {
    let cable = bearer("cable", BearerKind::Ethernet);
    let cell = bearer("cell", BearerKind::Cellular);
    let phone = bearer("phone", BearerKind::TetherUsb);
    for (bearers, days, wakes_most) in [
        ([cable.clone(), cell.clone(), phone.clone()], 3, 31_000),
        ([phone.clone(), cable.clone(), cell.clone()], 30, 5_000),
        ([cell, cable, phone], 30, 3_000),
    ] {
        let mut bearers = bearers;
        for (position, bearer) in bearers.iter_mut().enumerate() {
            bearer.tier = Some(Tier::Primary);
            bearer.priority = position as u16;
        }
        let mut rig = Rig::started(&bearers);
        let before = rig.wakes;
        rig.run(DAY * f64::from(days));
        let wakes = (rig.wakes - before) / days;
        let in_month = |counted: u64| counted * 30 / u64::from(days);
        let pings = in_month(rig.count(|action| *action == Action::Ping));
        let active = Cost::of(&bearers[0], V4).active;
        assert_close(pings * cost::ping(V4), active);
        assert!(rig.probes(0).is_empty());
        for id in [1, 2] {
            let standby = Cost::of(&bearers[usize::from(id)], V4).standby;
            assert_close(
                in_month(rig.probes(id).len() as u64) * cost::probe(V4),
                standby,
            );
        }
        assert!(wakes < wakes_most, "{} {wakes}", bearers[0].name);
        assert_eq!(rig.switches(0.0), []);
    }
}

/// Round trips and the first days apart.
fn assert_close(counted: u64, said: u64) {
    assert!(counted <= said, "{counted} {said}");
    assert!(counted * 100 >= said * 97, "{counted} {said}");
}
