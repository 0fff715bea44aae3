//! What the kernel tells of.

use std::time::Duration;

use lamplighter_netns::{
    scene::{Scene, Setup},
    site::{Site, Uplink},
    wait::{SOON, pass, until},
};

use super::{AT_ONCE, SETTLED, TOLD};

/// All bearers are connected, the best one is used.
pub(crate) fn settled(scene: &Scene) {
    scene.uses(Uplink::Eth, SETTLED);
    for uplink in Uplink::ALL {
        scene.connected(uplink);
    }
}

/// The best bearer goes by `fail`, and comes back by `mend`.
fn fails_over(
    setup: Setup,
    reason: &str,
    fail: impl FnOnce(&mut Site),
    mend: impl FnOnce(&mut Site),
) {
    let with_cid = setup.with_cid;
    let mut scene = setup.start();
    settled(&scene);
    scene.forget_events();
    let mark = scene.mark();
    fail(&mut scene.site);
    scene.moved(Uplink::Usb, "Update answered", mark, AT_ONCE);
    scene.recovered("next number", mark, TOLD);
    scene.shows(Uplink::Eth, "disconnected", &[reason], TOLD);
    scene.agent.until(&["events"], TOLD, |events| {
        let mut events = events.as_array().into_iter().flatten();
        events.any(|event| {
            event["text"]
                .as_str()
                .is_some_and(|text| text.starts_with("from eth to usb"))
        })
    });
    let back = scene.mark();
    mend(&mut scene.site);
    scene.moved(Uplink::Eth, "back (hold 1 s)", back, SETTLED);
    scene.connected(Uplink::Eth);
    let agreed = scene.agreed_since(mark);
    assert_eq!(agreed == 0, with_cid, "{agreed} messages of handshakes");
    scene.complete();
}

fn cable_pulled(setup: Setup) {
    fails_over(
        setup,
        "no-link",
        |site| site.link_down(Uplink::Eth),
        |site| site.link_up(Uplink::Eth),
    );
}

#[test]
fn a_cable_is_pulled() {
    cable_pulled(Setup::new("cable-pulled"));
}

#[test]
fn a_cable_is_pulled_without_connection_ids() {
    cable_pulled(Setup {
        with_cid: false,
        ..Setup::new("cable-pulled-no-cid")
    });
}

#[test]
fn a_carrier_is_lost() {
    fails_over(
        Setup::new("carrier-lost"),
        "no-link",
        |site| site.carrier_lost(Uplink::Eth),
        |site| site.carrier_back(Uplink::Eth),
    );
}

fn unplugged(setup: Setup) {
    fails_over(
        setup,
        "no-link",
        |site| site.unplug(Uplink::Eth),
        |site| site.replug(Uplink::Eth),
    );
}

#[test]
fn a_device_is_unplugged_and_plugged_in_again() {
    unplugged(Setup::new("unplugged"));
}

/// A socket may be bound to a device once by those who have no capability.
#[test]
fn a_device_is_plugged_in_again_for_a_service_without_capabilities() {
    unplugged(Setup {
        without_capabilities: true,
        ..Setup::new("unplugged-no-capability")
    });
}

#[test]
fn a_private_address_is_another() {
    let mut scene = Setup::new("renumbered").start();
    settled(&scene);
    let mark = scene.mark();
    scene.site.renumber(Uplink::Eth, 99);
    scene.recovered("next number", mark, TOLD);
    scene.listed(Uplink::Eth, TOLD, |eth| {
        eth["address"] == "192.168.10.99" && eth["current"] == true
    });
    assert_eq!(scene.agreed_since(mark), 0);
    scene.complete();
}

/// B.3.2: the phone leaves, and comes back with another address; there is no other bearer.
#[test]
fn b3_2_tethered() {
    let usb = Uplink::Usb;
    let mut scene = Setup {
        uplinks: vec![usb],
        ..Setup::new("b3_2_tethered")
    }
    .start();
    scene.connected(usb);
    scene.site.unplug(usb);
    scene.shows(usb, "disconnected", &["no-link"], TOLD);
    scene.agent.until(&["status"], TOLD * 4, |status| {
        status["servers"][0]["state"] != "registered"
    });
    // Meanwhile the box goes on counting.
    let before = scene.numbers().last();
    until("numbers", SOON, || {
        (scene.numbers().last() > before + 10).then_some(())
    });
    let mark = scene.mark();
    scene.site.replug_elsewhere(usb, "172.20.10", 2);
    scene.moved(usb, "Update answered", mark, AT_ONCE);
    scene.recovered("next number", mark, TOLD * 2);
    scene.connected(usb);
    scene.listed(usb, TOLD, |phone| phone["address"] == "172.20.10.2");
    assert_eq!(scene.agreed_since(mark), 0);
    scene.complete();
}

#[test]
fn a_link_flaps_and_the_box_does_not() {
    let mut scene = Setup::new("flapping").start();
    settled(&scene);
    scene.forget_events();
    let mark = scene.mark();
    for _ in 0..10 {
        scene.site.carrier_lost(Uplink::Eth);
        pass(Duration::from_millis(250));
        scene.site.carrier_back(Uplink::Eth);
        pass(Duration::from_millis(250));
    }
    scene.recovered("next number after 20 changes", mark, TOLD * 2);
    let moves = scene.moves();
    assert!(moves.len() <= 3, "{moves:?}");
    scene.uses(Uplink::Eth, SOON * 2);
    assert_eq!(scene.agreed_since(mark), 0);
    scene.complete();
}

#[test]
fn a_phone_that_only_charges_steals_the_default_route() {
    let mut scene = Setup::new("route-stolen").start();
    settled(&scene);
    scene.forget_events();
    let mark = scene.mark();
    scene.site.steal_route(Uplink::Usb);
    scene.recovered("next number", mark, TOLD);
    scene.hears(mark.number_after(10), TOLD * 2);
    scene.uses(Uplink::Eth, TOLD);
    let (public, moves) = (scene.site.public(Uplink::Eth), scene.moves());
    assert!(moves.iter().all(|from| *from == public), "{moves:?}");
    assert_eq!(scene.agreed_since(mark), 0);
    scene.complete();
}

#[test]
fn two_bearers_have_one_network() {
    let mut site = Site::new();
    site.same_network(Uplink::Eth, Uplink::Usb, 50);
    let mut scene = Setup::new("one-network").start_at(site, |_, _| ());
    settled(&scene);
    let mark = scene.mark();
    scene.site.carrier_lost(Uplink::Eth);
    scene.moved(Uplink::Usb, "Update answered", mark, AT_ONCE);
    scene.recovered("next number", mark, TOLD);
    scene.shows(Uplink::Eth, "disconnected", &["no-link"], TOLD);
    assert_eq!(scene.agreed_since(mark), 0);
    scene.complete();
}
