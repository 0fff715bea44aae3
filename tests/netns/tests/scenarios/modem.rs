//! A modem that a ModemManager connects as the agent wants it: the manager is ours, all behind the
//! interface is as with the other bearers.

use std::time::Duration;

use lamplighter_interop::{
    manager::{Call, Manager},
    scratch,
};
use lamplighter_netns::{
    cell::Access,
    scene::{Scene, Setup},
    site::{Site, Uplink},
    wait::{SOON, until},
};
use serde_json::{Value, json};

use super::{SETTLED, TOLD};

const WWAN: Uplink = Uplink::Wwan;

/// That of the SIM's former subscriber.
pub(crate) const OWNER: Access = Access {
    name: "owner.example",
    login: None,
    network: "10.64.64",
    public: 21,
    carries: true,
};
/// Connects, and goes nowhere.
const ISLAND: Access = Access {
    name: "island.example",
    login: None,
    network: "10.66.66",
    public: 23,
    carries: false,
};

/// MM_MODEM_POWER_STATE_LOW
const LOW: u32 = 2;
/// 10/0/1 is in minutes.
const MINUTE: Duration = Duration::from_secs(60);
/// The deadline is kept as a date, which is in seconds.
const DATE: Duration = Duration::from_secs(1);

/// A box whose modem is in this cell, connected by the agent itself.
pub(crate) fn start(setup: Setup, access: &[Access]) -> (Scene, Manager) {
    let site = Site::new();
    let cell = site.cell(WWAN, access);
    let directory = scratch(&format!("netns-{}-bus", setup.name));
    let manager = Manager::start(&directory, WWAN.interface(), cell);
    let managed = format!("manage = \"modemmanager\"\napn = \"{}\"", OWNER.name);
    let setup = Setup {
        lines: vec![(WWAN, managed)],
        environment: vec![("DBUS_SYSTEM_BUS_ADDRESS", manager.address.clone())],
        ..setup
    };
    (setup.start_at(site, |_, _| ()), manager)
}

/// A box that has nothing but its modem.
fn alone(name: &'static str, access: &[Access]) -> (Scene, Manager) {
    let setup = Setup {
        uplinks: vec![WWAN],
        ..Setup::new(name)
    };
    start(setup, access)
}

/// What the server reads.
#[track_caller]
pub(crate) fn read(scene: &mut Scene, path: &str) -> Value {
    let name = scene.name();
    let answer = scene.leshan.read(name, path, None);
    assert_eq!(answer["code"], 205, "{path}: {answer}");
    answer["content"].clone()
}

/// What the server writes is taken.
#[track_caller]
pub(crate) fn write(scene: &mut Scene, command: Value) {
    let name = scene.name();
    let answer = scene.leshan.ask(name, command);
    assert_eq!(answer["code"], 204, "{answer}");
}

#[track_caller]
pub(crate) fn write_apn(scene: &mut Scene, instance: u16, apn: &Access) {
    let path = format!("/11/{instance}/1");
    write(
        scene,
        json!({"do": "write", "path": path, "node": ["string", apn.name]}),
    );
}

/// Waits until the event log tells it.
#[track_caller]
pub(crate) fn told(scene: &Scene, what: &str, within: Duration) {
    scene.agent.until(&["events"], within, |events| {
        let mut events = events.as_array().into_iter().flatten();
        events.any(|event| event["what"] == what)
    });
}

/// The network knows it and gives an address, but no server answers.
#[test]
fn an_access_point_without_a_server_behind_it_is_left() {
    let (mut scene, manager) = alone("apn-island", &[OWNER, ISLAND]);
    scene.connected(WWAN);
    scene.forget_events();
    let mark = scene.mark();
    write_apn(&mut scene, 0, &ISLAND);
    scene.shows(WWAN, "disconnected", &["timeout"], SETTLED);
    scene.listed(WWAN, TOLD, |wwan| {
        wwan["address"] == ISLAND.address().to_string() && wwan["apn"] == ISLAND.name
    });
    let public = scene.site.public_of(WWAN, &OWNER);
    // A minute of silence, and it has to be found to be silent before.
    scene.moved_to(&public, "Update answered", mark, MINUTE + SOON);
    scene.recovered("next number", mark, MINUTE + SOON);
    assert_eq!(
        manager.access_points(),
        [OWNER.name, ISLAND.name, OWNER.name]
    );
    assert_eq!(read(&mut scene, "/11/0/1"), OWNER.name);
    told(&scene, "taken_back", TOLD);
    assert_eq!(scene.agreed_since(mark), 0);
    scene.complete();
}

/// 10/0/1: answered first, then silence, which a restart of the program neither ends nor makes longer.
#[test]
fn the_radio_is_off_for_as_long_as_a_server_wants() {
    let (mut scene, manager) = alone("radio-off", &[OWNER]);
    scene.connected(WWAN);
    let mark = scene.mark();
    write(
        &mut scene,
        json!({"do": "write", "path": "/10/0/1", "node": ["integer", 1]}),
    );
    let is_off = |event: &Call| manager.called(event);
    let off = until("radio off", SOON, || is_off(&Call::Power(LOW)));
    assert!(is_off(&Call::Enable(false)).is_some());
    scene.shows(WWAN, "disconnected", &["not-registered"], TOLD);
    told(&scene, "radio_off", TOLD);
    let left = scene.agent.json(&["read", "/10/0/1"]);
    assert_eq!(left["value"], 1, "{left}");
    let enabled = is_off(&Call::Enable(true));
    scene.restart();
    let again = until("radio on", MINUTE + SOON, || {
        is_off(&Call::Enable(true)).filter(|at| Some(*at) != enabled)
    });
    let silence = again - off;
    scene.note("radio off for 1 min", silence);
    assert!(
        silence >= MINUTE - DATE && silence <= MINUTE + TOLD,
        "{silence:?}"
    );
    scene.recovered("next number", mark, SOON);
    scene.connected(WWAN);
    assert_eq!(read(&mut scene, "/10/0/1"), 0);
    scene.complete();
}

/// 11/x/3: off while there is another way, and on again.
#[test]
fn a_server_closes_the_connection_and_opens_it_again() {
    let setup = Setup {
        uplinks: vec![Uplink::Eth, WWAN],
        ..Setup::new("modem-disabled")
    };
    let (mut scene, manager) = start(setup, &[OWNER]);
    scene.uses(Uplink::Eth, SETTLED);
    scene.connected(WWAN);
    let enable = |scene: &mut Scene, is_enabled: bool| {
        let node = json!(["boolean", is_enabled]);
        write(
            scene,
            json!({"do": "write", "path": "/11/1/3", "node": node}),
        );
    };
    enable(&mut scene, false);
    scene.shows(WWAN, "disconnected", &["no-link"], SETTLED);
    assert!(manager.called(&Call::Disconnect).is_some());
    assert_eq!(read(&mut scene, "/11/1/3"), false);
    assert_eq!(manager.access_points(), [OWNER.name]);
    enable(&mut scene, true);
    scene.connected(WWAN);
    assert_eq!(manager.access_points(), [OWNER.name, OWNER.name]);
    assert_eq!(read(&mut scene, "/11/1/3"), true);
    scene.complete();
}

/// The network closes the connection, as networks do each night: it is opened anew at once.
#[test]
fn a_network_takes_the_connection_away() {
    let (mut scene, manager) = alone("modem-hung-up", &[OWNER]);
    scene.connected(WWAN);
    scene.forget_events();
    let mark = scene.mark();
    manager.hang_up();
    let public = scene.site.public_of(WWAN, &OWNER);
    scene.moved_to(&public, "Update answered", mark, TOLD);
    scene.recovered("next number", mark, TOLD);
    scene.connected(WWAN);
    assert_eq!(manager.access_points(), [OWNER.name, OWNER.name]);
    assert_eq!(scene.agreed_since(mark), 0);
    scene.complete();
}

/// What nothing else helps is reset: after six times in vain, in nine minutes. The modem that comes back
/// has another name on the bus.
#[test]
#[ignore = "ten minutes: NAMESPACES=--ignored"]
fn a_modem_that_does_not_connect_is_reset() {
    let (mut scene, manager) = alone("modem-reset", &[OWNER]);
    scene.connected(WWAN);
    scene.forget_events();
    let mark = scene.mark();
    manager.stick();
    scene.shows(WWAN, "disconnected", &["no-link"], TOLD);
    let public = scene.site.public_of(WWAN, &OWNER);
    scene.moved_to(&public, "Update answered", mark, 12 * MINUTE);
    scene.recovered("next number", mark, MINUTE);
    let resets = manager.calls().into_iter();
    let resets = resets.filter(|(_, call)| *call == Call::Reset).count();
    assert_eq!(resets, 1);
    assert_eq!(manager.access_points().len(), 1 + 6 + 1);
    told(&scene, "modem_reset", TOLD);
    scene.connected(WWAN);
    scene.complete();
}
