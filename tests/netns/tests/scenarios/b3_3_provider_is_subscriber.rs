//! Use case B.3 case 3 (lwm2m/00): the service provider takes the network subscription itself. The
//! access point is written from afar, the box changes to it, and falls back where it does not work.

use std::time::Duration;

use lamplighter_interop::manager::{Call, Manager, Wanted};
use lamplighter_netns::{
    cell::Access,
    scene::{Scene, Setup},
    site::Uplink,
    wait::{SOON, until},
};
use serde_json::{Value, json};

use super::{
    SETTLED, TOLD,
    modem::{OWNER, read, start, told, write, write_apn},
};

const WWAN: Uplink = Uplink::Wwan;
/// Bearers are numbered by their names: eth, wwan.
const NUMBER: u16 = 1;
/// Of the vendor object Bearer.
const STATUS: &str = "/42800/1/3";
const ADDRESS: &str = "/42800/1/8";

const PROVIDER: Access = Access {
    name: "provider.example",
    login: Some(("box", "secret")),
    network: "10.65.65",
    public: 22,
    carries: true,
};
/// What nobody knows.
const TYPO: Access = Access {
    name: "provder.example",
    ..PROVIDER
};

/// It is tried three times, after 10 s and 30 s, before it is given up.
const REFUSED: Duration = Duration::from_secs(40);

#[test]
fn b3_3_provider_is_subscriber() {
    let setup = Setup {
        uplinks: vec![Uplink::Eth, WWAN],
        ..Setup::new("b3_3_provider_is_subscriber")
    };
    let (mut scene, manager) = start(setup, &[OWNER, PROVIDER]);
    in_the_workshop(&mut scene);
    cellular_is_preferred(&mut scene);
    // It leaves the workshop.
    scene.site.carrier_lost(Uplink::Eth);
    the_provider_subscribes(&mut scene, &manager);
    a_wrong_one_is_left(&mut scene, &manager);
    scene.restart();
    scene.connected(WWAN);
    scene.registered();
    assert_eq!(connected_to(&mut scene), PROVIDER.name);
    scene.complete();
}

/// What the server is told of the access point.
#[track_caller]
fn connected_to(scene: &mut Scene) -> Value {
    assert_eq!(read(scene, "/10/0/11"), json!({"0": "11:1"}));
    read(scene, "/11/1/1")
}

/// The cable is there, and the modem is connected for its owner.
fn in_the_workshop(scene: &mut Scene) {
    scene.uses(Uplink::Eth, SETTLED);
    scene.connected(WWAN);
    assert_eq!(connected_to(scene), OWNER.name);
    assert_eq!(read(scene, STATUS), "connected");
    assert_eq!(
        read(scene, "/11/1/15"),
        json!({"0": OWNER.address().to_string()})
    );
}

/// 13/0/0 = 1: any cellular network.
fn cellular_is_preferred(scene: &mut Scene) {
    let mark = scene.mark();
    let node = json!(["integer", {"0": 1}]);
    write(
        scene,
        json!({"do": "write", "path": "/13/0/0", "node": node}),
    );
    let public = scene.site.public_of(WWAN, &OWNER);
    scene.moved_to(&public, "13/0/0: Update answered", mark, SETTLED);
    scene.uses(WWAN, TOLD);
    assert_eq!(scene.agreed_since(mark), 0);
}

fn the_provider_subscribes(scene: &mut Scene, manager: &Manager) {
    scene.forget_events();
    let mark = scene.mark();
    let (user, secret) = PROVIDER.login.unwrap();
    write(
        scene,
        json!({"do": "write", "path": format!("/11/{NUMBER}"), "replace": false, "resources": {
            "1": ["string", PROVIDER.name], "5": ["string", user], "6": ["string", secret]}}),
    );
    let public = scene.site.public_of(WWAN, &PROVIDER);
    scene.moved_to(&public, "new APN: Update answered", mark, SETTLED);
    scene.recovered("new APN: next number", mark, SETTLED);
    told(scene, "apn_kept", TOLD);
    let asked = manager.called(&Call::Connect(Wanted {
        apn: PROVIDER.name.into(),
        user: Some(user.into()),
        password: Some(secret.into()),
        families: 4,
    }));
    assert!(asked.is_some(), "{:?}", manager.calls());
    // What the server reads now is true.
    assert_eq!(connected_to(scene), PROVIDER.name);
    assert_eq!(read(scene, STATUS), "connected");
    let address = PROVIDER.address().to_string();
    assert_eq!(read(scene, ADDRESS), address);
    assert_eq!(read(scene, "/11/1/15"), json!({"0": address}));
    assert_eq!(read(scene, "/11/1/5"), user);
    // The former address is gone from the interface.
    let addresses = ["-4", "-o", "addr", "show", "dev", WWAN.interface()];
    let addresses = scene.site.gateway.run("ip", &addresses);
    assert_eq!(addresses.lines().count(), 1, "{addresses}");
    assert_eq!(scene.agreed_since(mark), 0);
}

/// Back within its commit-confirm time, which is short where the network says no.
fn a_wrong_one_is_left(scene: &mut Scene, manager: &Manager) {
    scene.forget_events();
    let mark = scene.mark();
    let before = manager.access_points().len();
    write_apn(scene, NUMBER, &TYPO);
    scene.shows(WWAN, "disconnected", &["no-link"], SETTLED);
    scene.listed(WWAN, SETTLED, |wwan| {
        let trouble = wwan["trouble"].as_str().unwrap_or_default();
        trouble.contains("the network says")
    });
    let public = scene.site.public_of(WWAN, &PROVIDER);
    let took = scene.moved_to(&public, "wrong APN: Update answered", mark, REFUSED + SOON);
    assert!(took >= REFUSED, "{took:?}");
    scene.recovered("wrong APN: next number", mark, SOON);
    told(scene, "taken_back", TOLD);
    assert_eq!(
        manager.access_points()[before..],
        [TYPO.name, TYPO.name, TYPO.name, PROVIDER.name]
    );
    assert_eq!(connected_to(scene), PROVIDER.name);
    assert_eq!(read(scene, STATUS), "connected");
    // Newest first: connected, and three times refused. // lwm2m/70, object 11
    let results = json!({"0": 0, "1": 1, "2": 1, "3": 1, "4": 0});
    until("results of connections", TOLD, || {
        (read(scene, "/11/1/10") == results).then_some(())
    });
    assert_eq!(scene.agreed_since(mark), 0);
}
