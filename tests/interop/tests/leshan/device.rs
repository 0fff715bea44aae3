//! The device itself: its restart and its clock.

use lamplighter_interop::station::{COUNT, Station};
use serde_json::json;

/// The agent starts anew in the same process, after it has answered and said goodbye.
#[test]
fn leshan_int_241_reboot() {
    let mut station = Station::start("int-241");
    let before = station.registered["location"].clone();
    assert_eq!(station.write("/1/0/2", "TLV", "integer", json!(7)), 204);
    assert_eq!(station.code(json!({"do": "observe", "path": COUNT})), 205);
    station.leshan.forget_events();
    let reboot = json!({"do": "execute", "path": "/3/0/4"});
    assert_eq!(station.code(reboot), 204);
    assert_eq!(station.event("deregistered")["expired"], false);
    let registered = station.event("registered");
    assert_ne!(registered["location"], before);
    assert_eq!(station.read("/3/0/17", None)["code"], 205);
    assert_eq!(
        station.content("/1/0/2"),
        7,
        "what the server wrote survives"
    );
}

#[test]
fn leshan_int_241_reboot_is_refused_with_arguments_that_make_no_sense() {
    let mut station = Station::start("int-241-arguments");
    station.leshan.forget_events();
    let execute =
        |arguments: &str| json!({"do": "execute", "path": "/3/0/4", "arguments": arguments});
    let raw = json!({"do": "raw", "method": "POST", "path": "3/0/4", "payload": "3d3d"});
    assert_eq!(station.code(raw), 400);
    assert_eq!(station.read("/3/0/17", None)["code"], 205);
    let events = station.leshan.events();
    assert!(
        events.iter().all(|event| event["event"] != "deregistered"),
        "{events:?}"
    );
    assert_eq!(station.code(execute("0='later'")), 204);
    station.event("registered");
}
