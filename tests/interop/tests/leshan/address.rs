//! The server sees the box at another address, or another server at its own: without security
//! Leshan knows a client by address and port.

use lamplighter_interop::station::{COUNT, SOON, Setup, Station};
use serde_json::{Value, json};

const OBSERVE: &str = r#"{"do": "observe", "path": "/3305/0/5800", "format": "SENML_CBOR"}"#;

/// At a Leshan with two ports, of which the box knows one.
fn start(name: &'static str) -> Station {
    Setup {
        settings: json!({"endpoints": ["coap", "coap"]}),
        server: "lifetime_s = 300",
        relay: true,
        ..Setup::new(name)
    }
    .start()
}

fn refresh(station: &Station) {
    let refresh = station.agent.cli(&["server", "refresh", "main"]);
    assert!(refresh.status.success());
}

fn observe(station: &mut Station) {
    let command: Value = serde_json::from_str(OBSERVE).unwrap();
    assert_eq!(station.code(command), 205);
}

fn told(station: &mut Station, count: f64) {
    station.leshan.event(SOON, |event| {
        event["event"] == "notification" && event["content"].as_f64() == Some(count)
    });
}

#[test]
fn leshan_dynamic_ip_an_update_from_a_new_address_is_taken() {
    let mut station = start("dynamic-update");
    observe(&mut station);
    let before = station.registered["port"].clone();
    station.relay().move_agent();
    station.leshan.forget_events();
    refresh(&station);
    let updated = station.event("updated");
    assert_ne!(updated["port"], before);
    assert_eq!(updated["location"], station.registered["location"]);
    assert_eq!(station.read("/3/0/17", None)["code"], 205);
    // The observation was one of the old address.
    observe(&mut station);
    station.count(7);
    told(&mut station, 7.0);
}

/// The refusal makes the box ask whether it is known, and that tells Leshan its new address.
#[test]
fn leshan_dynamic_ip_a_send_from_a_new_address_is_refused_until_the_update() {
    let mut station = start("dynamic-send");
    station.counted(5);
    station.leshan.forget_events();
    let before = station.registered["port"].clone();
    station.relay().move_agent();
    let refused = station.agent.cli(&["send", COUNT]);
    assert!(!refused.status.success());
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("refuses"), "{why}");
    station.leshan.event(SOON, |event| {
        event["event"] == "updated" && event["port"] != before
    });
    assert!(station.agent.cli(&["send", COUNT]).status.success());
    station.event("send");
}

#[test]
fn leshan_multi_endpoints_an_update_at_another_port_becomes_a_registration() {
    let mut station = start("multi-update");
    let other = station.leshan.uris[1].clone();
    station.relay().redirect(&other);
    refresh(&station);
    let registered = station.event("registered");
    assert_ne!(registered["location"], station.registered["location"]);
    assert_eq!(station.read("/3/0/17", None)["code"], 205);
}

#[test]
fn leshan_multi_endpoints_a_send_at_another_port_is_refused() {
    let mut station = start("multi-send");
    station.counted(5);
    let other = station.leshan.uris[1].clone();
    station.relay().redirect(&other);
    assert!(!station.agent.cli(&["send", COUNT]).status.success());
    // The other port does not know the box, which registers there.
    station.event("registered");
    assert!(station.agent.cli(&["send", COUNT]).status.success());
    station.event("send");
}

/// The box is stopped: it has said that it goes, and does not wait for another answer.
#[test]
fn leshan_multi_endpoints_a_refused_deregistration_does_not_keep_the_box() {
    let mut station = start("multi-deregister");
    let other = station.leshan.uris[1].clone();
    station.relay().redirect(&other);
    assert_eq!(station.agent.lines.signal("TERM"), Some(0));
    let registration = station.ask(json!({"do": "registration"}));
    assert_eq!(
        registration["location"], station.registered["location"],
        "the other port does not know the registration"
    );
}

#[test]
fn leshan_multi_endpoints_notifications_at_another_port_are_made_good() {
    let mut station = start("multi-notify");
    observe(&mut station);
    station.count(1);
    told(&mut station, 1.0);
    let other = station.leshan.uris[1].clone();
    station.relay().redirect(&other);
    station.counted(2);
    refresh(&station);
    station.event("registered");
    observe(&mut station);
    station.count(3);
    told(&mut station, 3.0);
}
