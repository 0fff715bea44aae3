//! Queue mode.

use lamplighter_interop::{
    leshan::Version,
    station::{COUNT, SOON, Setup, Station},
};
use serde_json::json;

fn asleep_after(name: &'static str, server: &'static str, version: Version) -> Station {
    Setup {
        server,
        version,
        settings: json!({"awake_ms": 3000}),
        ..Setup::new(name)
    }
    .start()
}

#[test]
fn leshan_int_108_queue_mode() {
    let station = asleep_after("int-108", "queue_mode = true", Version::M18);
    assert_eq!(station.registered["queue"], true, "{}", station.registered);
    let station = asleep_after(
        "int-108-1-0",
        "queue_mode = true\nversion = \"1.0\"",
        Version::V1,
    );
    assert_eq!(station.registered["queue"], true, "{}", station.registered);
    assert_eq!(station.registered["binding"], "UQ");
}

#[test]
fn leshan_int_109_asleep_after_the_window_and_awake_by_an_update() {
    let mut station = asleep_after("int-109", "queue_mode = true", Version::M18);
    station.event("awake");
    assert_eq!(station.read("/3/0/17", None)["code"], 205);
    station.event("sleeping");
    assert!(
        station
            .agent
            .cli(&["server", "refresh", "main"])
            .status
            .success()
    );
    station.event("awake");
    assert_eq!(station.read("/3/0/17", None)["code"], 205);
}

#[test]
fn leshan_is_notified_while_it_takes_the_box_for_asleep() {
    let mut station = asleep_after("queue-notify", "queue_mode = true", Version::M18);
    assert_eq!(station.code(json!({"do": "observe", "path": COUNT})), 205);
    station.event("sleeping");
    station.count(5);
    station.leshan.event(SOON, |event| {
        event["event"] == "notification" && event["content"].as_f64() == Some(5.0)
    });
}
