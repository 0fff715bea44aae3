//! Observe, its attributes and its end.

use std::time::Duration;

use lamplighter_interop::station::{
    COUNT, LAMP, LAMP_LEVEL, SETPOINT, SINGLE, SOON, SWITCH, Station, number,
};
use serde_json::{Value, json};

fn observe(path: &str) -> Value {
    json!({"do": "observe", "path": path})
}

fn attributes(path: &str, attributes: &str) -> Value {
    json!({"do": "attributes", "path": path, "attributes": attributes})
}

/// The next notification of a path.
fn notified(station: &mut Station, path: &str) -> Value {
    station.leshan.event(SOON, |event| {
        event["event"] == "notification" && event["path"] == path
    })
}

/// Waits for the notification with this number; others may come before.
fn notified_of(station: &mut Station, path: &str, wanted: f64) {
    loop {
        let event = notified(station, path);
        assert_eq!(event["code"], 205, "{event}");
        if (number(&event["content"]) - wanted).abs() < 1e-6 {
            return;
        }
    }
}

/// What was notified of a path so far, as numbers.
fn heard(station: &mut Station, path: &str) -> Vec<f64> {
    let events = station.leshan.events();
    let of_path = events
        .iter()
        .filter(|event| event["event"] == "notification" && event["path"] == path);
    of_path.map(|event| number(&event["content"])).collect()
}

#[test]
fn leshan_int_301_observe_every_level() {
    let mut station = Station::start("int-301");
    for path in [LAMP_LEVEL, "/3416/1", "/3416", "/3"] {
        assert_eq!(station.code(observe(path)), 205, "{path}");
    }
    station.leshan.forget_events();
    assert_eq!(station.write(LAMP, "TLV", "integer", json!(100)), 204);
    notified_of(&mut station, LAMP_LEVEL, 100.0);
    let instance = notified(&mut station, "/3416/1");
    assert!(instance["content"]["3"].is_number(), "{instance}");
    let object = notified(&mut station, "/3416");
    assert!(object["content"]["1"]["3"].is_number(), "{object}");
}

#[test]
fn leshan_observes_in_every_format() {
    let mut station = Station::start("observe-formats");
    for (format, wanted) in SINGLE.iter().zip(1..) {
        let observed = station.ask(json!({"do": "observe", "path": COUNT, "format": format}));
        assert_eq!(observed["code"], 205, "{format}: {observed}");
        station.count(wanted);
        notified_of(&mut station, COUNT, f64::from(wanted));
        assert_eq!(station.code(json!({"do": "cancel", "path": COUNT})), 205);
    }
}

#[test]
fn leshan_int_302_a_reset_cancels() {
    let mut station = Station::start("int-302");
    assert_eq!(station.code(observe(COUNT)), 205);
    assert_eq!(
        station.ask(json!({"do": "forget", "path": COUNT}))["count"],
        1
    );
    station.counted(1);
    let reset = |station: &mut Station| {
        let messages = station.ask(json!({"do": "messages"}))["messages"].clone();
        messages
            .as_array()
            .unwrap()
            .iter()
            .any(|message| message["way"] == "sent" && message["type"] == "RST")
    };
    station.until("a Reset", reset);
    let notifications = |station: &mut Station| {
        let messages = station.ask(json!({"do": "messages"}))["messages"].clone();
        let of_observe = messages.as_array().unwrap().iter().filter(|message| {
            message["way"] == "received" && message["code"] == 205 && message["observe"].is_u64()
        });
        of_observe.count()
    };
    let before = notifications(&mut station);
    for count in 2..5 {
        station.counted(count);
    }
    assert_eq!(station.read(COUNT, None)["code"], 205);
    assert_eq!(notifications(&mut station), before);
}

#[test]
fn leshan_int_303_observe_1_cancels() {
    let mut station = Station::start("int-303");
    assert_eq!(station.code(observe(COUNT)), 205);
    station.count(1);
    notified_of(&mut station, COUNT, 1.0);
    assert_eq!(station.code(json!({"do": "cancel", "path": COUNT})), 205);
    station.leshan.forget_events();
    for count in 2..5 {
        station.counted(count);
    }
    assert_eq!(station.read(COUNT, None)["code"], 205);
    assert!(heard(&mut station, COUNT).is_empty());
}

#[test]
fn leshan_observe_failed() {
    let mut station = Station::start("observe-failed");
    for (path, code) in [
        ("/3/0/50", 404),
        ("/50", 404),
        ("/3/0/4", 405),
        ("/0/0/0", 401),
    ] {
        assert_eq!(station.code(observe(path)), code, "{path}");
    }
}

#[test]
fn leshan_is_told_of_a_change_by_itself_and_by_others() {
    let mut station = Station::start("observe-write");
    for path in [SETPOINT, SWITCH] {
        assert_eq!(station.code(observe(path)), 205);
    }
    assert_eq!(station.write(SETPOINT, "TLV", "float", json!(21.5)), 204);
    notified_of(&mut station, SETPOINT, 21.5);
    assert!(
        station
            .agent
            .cli(&["write", SETPOINT, "18.5"])
            .status
            .success()
    );
    notified_of(&mut station, SETPOINT, 18.5);
}

#[test]
fn leshan_pmin_holds_back_and_brings_the_latest() {
    let mut station = Station::start("pmin");
    assert_eq!(station.code(attributes(COUNT, "pmin=3")), 204);
    assert_eq!(station.code(observe(COUNT)), 205);
    for count in 1..=5 {
        station.counted(count);
    }
    notified_of(&mut station, COUNT, 5.0);
    // A slow machine may need more than one pmin for the five; it never tells all of them.
    assert!(heard(&mut station, COUNT).len() < 5);
}

#[test]
fn leshan_pmax_tells_without_a_change() {
    let mut station = Station::start("pmax");
    assert_eq!(station.code(attributes(COUNT, "pmax=1")), 204);
    assert_eq!(station.code(observe(COUNT)), 205);
    for _ in 0..3 {
        assert_eq!(number(&notified(&mut station, COUNT)["content"]), 0.0);
    }
}

#[test]
fn leshan_thresholds_and_steps() {
    for (name, condition, silent, told) in [
        ("gt", "gt=100", [1, 50, 99], 101),
        ("lt", "lt=100", [150, 130, 101], 99),
        ("st", "st=50", [1, 20, 40], 60),
    ] {
        let mut station = Station::start(name);
        if name == "lt" {
            station.counted(200);
        }
        assert_eq!(station.code(attributes(COUNT, condition)), 204);
        assert_eq!(station.code(observe(COUNT)), 205);
        for count in silent {
            station.counted(count);
        }
        station.counted(told);
        let first = notified(&mut station, COUNT);
        assert_eq!(
            number(&first["content"]),
            f64::from(told),
            "{condition}: {first}"
        );
    }
}

#[test]
fn leshan_attributes_are_inherited_and_overridden() {
    let mut station = Station::start("inherited");
    for (path, value) in [
        ("/3305", "pmax=300"),
        ("/3305/0", "pmin=0"),
        (COUNT, "pmax=1"),
    ] {
        assert_eq!(station.code(attributes(path, value)), 204, "{path}");
    }
    assert_eq!(station.code(observe(COUNT)), 205);
    notified(&mut station, COUNT);
    // Empty: what the resource said is gone, the object's counts again.
    assert_eq!(station.code(attributes(COUNT, "pmax")), 204);
    let links = station.ask(json!({"do": "discover", "path": COUNT}))["links"].clone();
    assert!(!links.as_str().unwrap().contains("pmax=1"), "{links}");
    assert_eq!(station.code(observe(COUNT)), 205);
    station.leshan.forget_events();
    station.counted(50);
    notified_of(&mut station, COUNT, 50.0);
    assert!(
        heard(&mut station, COUNT).is_empty(),
        "told again without a change"
    );
}

#[test]
fn leshan_attributes_that_contradict_are_refused() {
    let mut station = Station::start("contradict");
    for refused in [
        "gt=10&lt=20",
        "gt=20&lt=10&st=6",
        "epmin=20&epmax=10",
        "st=-1",
    ] {
        let query = refused;
        let raw = json!({"do": "raw", "method": "PUT", "path": &COUNT[1..], "query": query});
        assert_eq!(station.code(raw), 400, "{refused}");
    }
    // On text nothing can be greater.
    let raw = json!({"do": "raw", "method": "PUT", "path": "3/0/17", "query": "gt=1"});
    assert_eq!(station.code(raw), 400);
    assert_eq!(station.code(attributes("/3/0/50", "pmin=1")), 404);
}

#[test]
fn leshan_writes_an_attribute_to_a_resource_instance() {
    let mut station = Station::start("int-261");
    assert_eq!(station.code(attributes("/3/0/11/0", "pmin=1&pmax=60")), 204);
    let links = station.ask(json!({"do": "discover", "path": "/3/0/11"}))["links"].clone();
    assert!(
        links
            .as_str()
            .unwrap()
            .contains("</3/0/11/0>;pmin=1;pmax=60"),
        "{links}"
    );
}

#[test]
fn leshan_observes_the_instance_of_a_resource() {
    let mut station = Station::start("observe-riid");
    assert_eq!(station.code(attributes("/3/0/11/0", "pmax=1")), 204);
    let observed = station.ask(observe("/3/0/11/0"));
    assert_eq!(observed["code"], 205, "{observed}");
    let told = station.leshan.event(Duration::from_secs(10), |event| {
        event["event"] == "notification" && event["path"] == "/3/0/11/0"
    });
    assert_eq!(told["content"], observed["content"], "{told}");
}
