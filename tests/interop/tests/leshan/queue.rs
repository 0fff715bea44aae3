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

#[test]
fn leshan_counts_the_box_as_awake_once_for_each_wake() {
    let mut station = asleep_after("queue-once", "queue_mode = true", Version::M18);
    station.event("awake");
    for _ in 0..3 {
        assert_eq!(station.read("/3/0/17", None)["code"], 205);
    }
    station.event("sleeping");
    let events = station.leshan.events();
    assert!(
        events.iter().all(|event| event["event"] != "awake"),
        "{events:?}"
    );
}

#[test]
fn leshan_takes_the_box_for_asleep_when_it_does_not_answer() {
    let mut station = Setup {
        server: "queue_mode = true",
        // Long enough not to end meanwhile.
        settings: json!({"awake_ms": 600_000}),
        relay: true,
        ..Setup::new("queue-timeout")
    }
    .start();
    station.event("awake");
    station.relay().cut();
    let read = json!({"do": "read", "path": "/3/0/17", "timeout_ms": 500});
    assert_eq!(station.ask(read)["error"], "timeout");
    station.event("sleeping");
    station.relay().mend();
    let refresh = station.agent.cli(&["server", "refresh", "main"]);
    assert!(refresh.status.success());
    station.event("awake");
    assert_eq!(station.read("/3/0/17", None)["code"], 205);
}
