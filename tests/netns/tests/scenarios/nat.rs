//! What routers do to the addresses of what passes.

use std::time::Duration;

use lamplighter_netns::{
    scene::{Scene, Setup},
    site::{Site, Uplink},
    wait::{SOON, now, until},
};
use serde_json::json;

use super::{TOLD, UNTOLD};

const ETH: Uplink = Uplink::Eth;

fn one(name: &'static str) -> Setup {
    Setup {
        uplinks: vec![ETH],
        ..Setup::new(name)
    }
}

/// The router takes another port or address while the session goes on.
fn rebound(setup: Setup, rebind: impl FnOnce(&mut Site)) {
    let with_cid = setup.with_cid;
    let within = if with_cid { TOLD } else { UNTOLD };
    let mut scene = setup.start();
    scene.connected(ETH);
    let mark = scene.mark();
    rebind(&mut scene.site);
    scene.recovered("next number", mark, within);
    if with_cid {
        found_again(&mut scene);
    }
    reads(&mut scene, within);
    scene.connected(ETH);
    let agreed = scene.agreed_since(mark);
    assert_eq!(agreed == 0, with_cid, "{agreed} messages of handshakes");
    scene.complete();
}

/// What the box says is taken as its own by its Connection ID, wherever it comes from. What Leshan says
/// goes to where the last Update came from; nothing tells the box that it came from elsewhere since.
fn found_again(scene: &mut Scene) {
    scene.forget_events();
    scene.refresh();
}

/// The server reaches the box.
fn reads(scene: &mut Scene, within: Duration) {
    let (endpoint, begin) = (scene.name(), now());
    until("an answer to the server", within, || {
        let ask = json!({"do": "read", "path": "/3/0/0", "timeout_ms": 3000});
        (scene.leshan.ask(endpoint, ask)["code"] == 205).then_some(())
    });
    scene.note("server reads", begin.elapsed());
}

#[test]
fn a_nat_takes_another_port() {
    rebound(one("nat-port"), |site| site.rebind_port(ETH));
}

#[test]
fn a_nat_takes_another_port_without_connection_ids() {
    let setup = Setup {
        with_cid: false,
        ..one("nat-port-no-cid")
    };
    rebound(setup, |site| site.rebind_port(ETH));
}

#[test]
fn a_nat_takes_another_address() {
    rebound(one("nat-address"), |site| site.rebind_address(ETH, 11));
}

#[test]
fn a_nat_takes_another_address_without_connection_ids() {
    let setup = Setup {
        with_cid: false,
        ..one("nat-address-no-cid")
    };
    rebound(setup, |site| site.rebind_address(ETH, 11));
}

/// The mapping of an idle session ends after 2 s: the box, which is asked every second, keeps it.
#[test]
fn a_nat_forgets_and_the_box_keeps_its_mapping() {
    let mut scene =
        one("nat-timeout-kept").start_at(Site::new(), |site, _| site.nat_timeout(ETH, 2));
    scene.connected(ETH);
    scene.numbers().rest(true);
    let begin = now();
    until("an idle while", SOON, || {
        (begin.elapsed() > Duration::from_secs(6)).then_some(())
    });
    reads(&mut scene, TOLD);
    scene.numbers().rest(false);
    scene.complete();
}

/// The mapping ends before the box would ask: what the server sends is lost. What the box says next is
/// taken, without a handshake; and its next Update makes it reachable.
#[test]
fn a_nat_forgets_before_the_box_asks() {
    let setup = Setup {
        probe: "active_s = 6\nstandby_s = 10\ntimeout_s = 0.5\ndown = 2\nup = 2\nhold_s = 1\n",
        ..one("nat-timeout-lost")
    };
    let mut scene = setup.start_at(Site::new(), |site, _| site.nat_timeout(ETH, 2));
    scene.connected(ETH);
    scene.numbers().rest(true);
    let public = scene.site.public(ETH);
    let forgotten = || {
        let list = scene
            .site
            .router(ETH)
            .run("conntrack", &["-L", "-p", "udp"]);
        (!list.contains(&public)).then_some(())
    };
    until("forgotten mapping", UNTOLD, forgotten);
    let mark = scene.mark();
    let ask = json!({"do": "read", "path": "/3/0/0", "timeout_ms": 500});
    let lost = scene.leshan.ask("nat-timeout-lost", ask);
    assert_eq!(lost["code"], serde_json::Value::Null, "{lost}");
    scene.numbers().rest(false);
    scene.recovered("next number", mark, TOLD);
    found_again(&mut scene);
    reads(&mut scene, TOLD);
    assert_eq!(scene.agreed_since(mark), 0);
    scene.complete();
}
