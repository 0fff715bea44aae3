//! What nobody tells of: packets are lost, refused, late or too large.

use std::time::Duration;

use lamplighter_netns::{
    fault::Direction,
    scene::{Scene, Setup},
    site::{Site, Uplink},
    wait::{SOON, now, until},
};
use serde_json::json;

use super::{SETTLED, TOLD, UNTOLD, link::settled};

/// The path of the best bearer breaks, and heals.
fn fails_over(setup: Setup, reasons: &[&str], fail: impl FnOnce(&mut Site)) {
    let with_cid = setup.with_cid;
    let mut scene = setup.start();
    settled(&scene);
    scene.forget_events();
    let mark = scene.mark();
    fail(&mut scene.site);
    scene.moved(Uplink::Usb, "Update answered", mark, UNTOLD);
    scene.recovered("next number", mark, UNTOLD);
    scene.shows(Uplink::Eth, "disconnected", reasons, SETTLED);
    let back = scene.mark();
    scene.site.heal(Uplink::Eth);
    scene.moved(Uplink::Eth, "back (probes, hold 1 s)", back, SOON);
    scene.connected(Uplink::Eth);
    let agreed = scene.agreed_since(mark);
    assert_eq!(agreed == 0, with_cid, "{agreed} messages of handshakes");
    scene.complete();
}

#[test]
fn everything_is_lost_without_a_word() {
    fails_over(Setup::new("black-hole"), &["timeout"], |site| {
        site.black_hole(Uplink::Eth, Direction::Both);
    });
}

#[test]
fn everything_is_lost_without_connection_ids() {
    let setup = Setup {
        with_cid: false,
        ..Setup::new("black-hole-no-cid")
    };
    fails_over(setup, &["timeout"], |site| {
        site.black_hole(Uplink::Eth, Direction::Both);
    });
}

/// design.md, section 9: less than 10 s, with the pauses of a cable as they are where nothing is
/// configured.
#[test]
fn everything_is_lost_with_the_pauses_of_a_cable() {
    let setup = Setup {
        probe: "",
        ..Setup::new("black-hole-defaults")
    };
    let mut scene = setup.start();
    settled(&scene);
    let mark = scene.mark();
    scene.site.black_hole(Uplink::Eth, Direction::Both);
    scene.moved(Uplink::Usb, "Update answered", mark, UNTOLD);
    scene.recovered("next number", mark, UNTOLD);
    assert_eq!(scene.agreed_since(mark), 0);
    scene.complete();
}

#[test]
fn what_the_box_sends_is_lost() {
    fails_over(Setup::new("black-hole-up"), &["timeout"], |site| {
        site.black_hole(Uplink::Eth, Direction::Up);
    });
}

#[test]
fn what_the_server_sends_is_lost() {
    fails_over(Setup::new("black-hole-down"), &["timeout"], |site| {
        site.black_hole(Uplink::Eth, Direction::Down);
    });
}

#[test]
fn a_router_refuses() {
    fails_over(Setup::new("rejected"), &["refused"], |site| {
        site.reject(Uplink::Eth);
    });
}

#[test]
fn everything_passes_but_udp() {
    fails_over(Setup::new("udp-blocked"), &["timeout"], |site| {
        site.udp_blocked(Uplink::Eth);
    });
}

/// While the server answers nobody knows of the portal; the reason is looked for afterwards.
#[test]
fn a_portal_wants_a_login() {
    fails_over(Setup::new("captive"), &["captive"], |site| {
        site.captive(Uplink::Eth);
    });
}

/// 30 % each way: half of all exchanges need a second try.
#[test]
fn a_third_of_all_packets_is_lost() {
    let setup = Setup {
        uplinks: vec![Uplink::Eth],
        probe: "",
        ..Setup::new("loss-30")
    };
    let mut scene = setup.start();
    scene.connected(Uplink::Eth);
    let mark = scene.mark();
    scene.site.loss(Uplink::Eth, 30);
    scene.repeats_an_update();
    scene.note("loss noticed", mark.at.elapsed());
    let noticed = scene.mark();
    let fifty = || (scene.numbers().last() >= noticed.number_after(50)).then_some(());
    until("50 numbers", SOON, fifty);
    scene.site.heal(Uplink::Eth);
    let mark = scene.mark();
    scene.recovered("next number after it healed", mark, SOON * 2);
    // A message that was lost four times is repeated after up to 48 s.
    scene.complete_since(noticed);
}

/// A modem far out: 0.7 s each way, with the pauses of a cellular network scaled down.
#[test]
fn every_packet_takes_long() {
    let wwan = Uplink::Wwan;
    let setup = Setup {
        uplinks: vec![wwan],
        probe: "active_s = 3\nstandby_s = 5\ntimeout_s = 3\ndown = 2\nup = 1\nhold_s = 1\n",
        ..Setup::new("delay-700")
    };
    let delay = Duration::from_millis(700);
    let mut scene = setup.start_at(Site::new(), |site, port| site.delay(wwan, port, delay));
    scene.connected(wwan);
    let mark = scene.mark();
    scene.recovered("next number", mark, UNTOLD);
    let shown = scene.listed(wwan, UNTOLD, |bearer| {
        bearer["round_trip_ms"]
            .as_f64()
            .is_some_and(|time| time >= 1400.0)
    });
    assert_eq!(shown["status"], "connected");
    scene.hears(mark.number_after(40), SOON);
    let shown = scene.listed(wwan, TOLD, |_| true);
    assert_eq!(shown["flaps"], 0, "{shown}");
    scene.complete();
}

/// Large packets vanish: small ones go on, and what is large is read in smaller blocks.
#[test]
fn large_packets_are_lost() {
    let setup = Setup {
        uplinks: vec![Uplink::Eth],
        ..Setup::new("mtu-hole")
    };
    let mut scene = setup.start();
    scene.connected(Uplink::Eth);
    let large = json!({
        "do": "read-composite",
        "paths": ["/1", "/3", "/4", "/7", "/42800"],
        "format": "SENML_JSON",
        "answer_format": "SENML_JSON",
        "timeout_ms": 60_000,
    });
    let before = scene.site.counted(Uplink::Eth).up_bytes;
    assert_eq!(scene.leshan.ask("mtu-hole", large.clone())["code"], 205);
    let answer = scene.site.counted(Uplink::Eth).up_bytes - before;
    assert!(answer > 1000, "{answer} bytes are not large");
    let mark = scene.mark();
    scene.site.mtu_hole(Uplink::Eth, 800);
    scene.recovered("next number", mark, TOLD);
    let begin = now();
    assert_eq!(scene.leshan.ask("mtu-hole", large)["code"], 205);
    scene.note("a large Read answered", begin.elapsed());
    scene.shows(Uplink::Eth, "connected", &[], TOLD);
    scene.complete();
}

fn all_lost(setup: Setup, lose: impl Fn(&mut Site, Uplink), mend: impl Fn(&mut Site, Uplink)) {
    let mut scene = setup.start();
    settled(&scene);
    for uplink in Uplink::ALL {
        lose(&mut scene.site, uplink);
    }
    let begin = now();
    for uplink in Uplink::ALL {
        scene.shows(uplink, "disconnected", &["timeout", "no-link"], SOON);
    }
    let outage = Duration::from_secs(20);
    until("end of 20 s", SOON, || {
        (begin.elapsed() >= outage).then_some(())
    });
    let mark = scene.mark();
    mend(&mut scene.site, Uplink::Wwan);
    // The only one that works is used, however bad: after the pause between two probes at most.
    scene.moved(Uplink::Wwan, "Update answered", mark, SOON);
    scene.recovered("next number", mark, SOON);
    let left = [Uplink::Eth, Uplink::Usb];
    left.into_iter()
        .for_each(|uplink| mend(&mut scene.site, uplink));
    let back = scene.mark();
    scene.uses(Uplink::Eth, SOON * 3);
    scene.note("best one used again", back.elapsed());
    scene.complete();
}

#[test]
fn all_links_are_lost_for_twenty_seconds() {
    all_lost(
        Setup::new("all-links-lost"),
        |site, uplink| site.carrier_lost(uplink),
        |site, uplink| site.carrier_back(uplink),
    );
}

#[test]
fn all_paths_are_lost_for_twenty_seconds() {
    all_lost(
        Setup::new("all-paths-lost"),
        |site, uplink| site.black_hole(uplink, Direction::Both),
        Site::heal,
    );
}

#[test]
fn the_server_reads_through_whatever_bearer_is_used() {
    let mut scene = Setup::new("reads").start();
    settled(&scene);
    let read = |scene: &mut Scene| {
        let ask = json!({"do": "read", "path": "/3/0/0", "timeout_ms": 5000});
        let answer = scene.leshan.ask("reads", ask);
        assert_eq!(answer["code"], 205, "{answer}");
    };
    read(&mut scene);
    for uplink in [Uplink::Eth, Uplink::Usb] {
        let mark = scene.mark();
        scene.site.link_down(uplink);
        scene.recovered("next number", mark, TOLD);
        read(&mut scene);
    }
    scene.uses(Uplink::Wwan, TOLD);
    scene.complete();
}
