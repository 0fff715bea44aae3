//! The real NetworkManager connects the bearers.

use std::time::Duration;

use lamplighter_interop::scratch;
use lamplighter_netns::{
    network_manager::NetworkManager,
    scene::{Scene, Setup},
    service::NAME,
    site::{Site, Uplink},
    wait::SOON,
};

use super::{SETTLED, TOLD};

const ETH: Uplink = Uplink::Eth;
const USB: Uplink = Uplink::Usb;

/// How long a device may be idle that NetworkManager is to connect.
const IDLE: Duration = Duration::from_secs(30);

/// Behind the cable is a phone that says that it costs money; what is at the USB port says nothing.
fn start(name: &'static str) -> (Scene, NetworkManager) {
    let mut site = Site::new();
    site.dhcp(ETH, true);
    site.dhcp(USB, false);
    let directory = scratch(&format!("netns-{name}-bus"));
    let manager = NetworkManager::start(&site, &[ETH, USB], &directory);
    let managed = "manage = \"networkmanager\"".to_owned();
    let setup = Setup {
        uplinks: vec![ETH, USB],
        host: Some(NAME),
        metered: None,
        lines: vec![(ETH, managed.clone()), (USB, managed)],
        environment: vec![("DBUS_SYSTEM_BUS_ADDRESS", manager.address().to_owned())],
        ..Setup::new(name)
    };
    (setup.start_at(site, |_, _| ()), manager)
}

/// What it says of cost and name servers is believed; what it does not do is asked of it; that it is
/// gone changes nothing.
#[test]
fn networkmanager_is_read_and_told() {
    let (mut scene, mut manager) = start("networkmanager");
    // The name of the server is known to the name servers that DHCP has told of, to nobody else. Of
    // itself a cable would cost nothing, a phone would.
    scene.listed(ETH, SOON, |eth| eth["metered"] == true);
    scene.listed(USB, SOON, |usb| usb["metered"] == false);
    scene.uses(USB, SETTLED);
    scene.connected(ETH);
    let has_trouble = |trouble: &'static str| {
        move |bearer: &serde_json::Value| bearer["trouble"].as_str() == Some(trouble)
    };

    // The cable has no address any more, and there is nobody who would give it one.
    scene.site.end_services(ETH);
    manager.disconnect(ETH);
    scene.shows(
        ETH,
        "disconnected",
        &["no-address", "no-route", "no-link"],
        TOLD,
    );
    let trouble = "NetworkManager gets no address for it";
    scene.listed(ETH, IDLE + SOON, has_trouble(trouble));
    scene.uses(USB, TOLD);

    // Somebody takes the last way down: it is connected again.
    scene.forget_events();
    let mark = scene.mark();
    manager.disconnect(USB);
    scene.shows(
        USB,
        "disconnected",
        &["no-address", "no-route", "no-link"],
        TOLD,
    );
    let took = scene.moved(USB, "activated: Update answered", mark, IDLE + SOON);
    assert!(took >= IDLE, "{took:?}");
    scene.recovered("activated: next number", mark, IDLE + SOON);

    manager.kill();
    // As it would be without anybody who says so.
    scene.listed(USB, SOON, |usb| usb["metered"] == true);
    let mark = scene.mark();
    scene.hears(mark.number_after(5), SOON);
    scene.listed(USB, TOLD, |usb| {
        usb["status"] == "connected" && usb["current"] == true && usb["trouble"].is_null()
    });
    assert_eq!(scene.agreed_since(mark), 0);
    scene.complete();
}
