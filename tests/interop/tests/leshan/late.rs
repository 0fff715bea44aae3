//! Answers of a slow device: within a second in the acknowledgement, later in a message of their own
//! (RFC 7252, 5.2.1 and 5.2.2).

use std::time::Duration;

use lamplighter_interop::station::{COUNT, SETPOINT, SINGLE, SOON, SWITCH, Setup, Station, number};
use serde_json::{Value, json};

/// One answer of the plant that takes this long goes in the acknowledgement; a write takes several.
const LATE: Duration = Duration::from_millis(500);
/// Longer than a request waits for its acknowledgement.
const LATER: Duration = Duration::from_millis(1200);
const BOTH: [&str; 2] = ["SENML_JSON", "SENML_CBOR"];

/// A station whose plant takes its time.
fn late(name: &'static str, late: Duration) -> Station {
    let station = Station::start(name);
    station.plant.answer_after(late);
    station
}

/// Asks until the answer came separately: a sample of the plant that is young enough answers at once.
fn separate(station: &mut Station, command: Value, fits: impl Fn(&Value) -> bool) {
    station.until("a separate answer", |station| {
        let answer = station.ask(command.clone());
        assert!(fits(&answer), "{command}: {answer}");
        answer["type"] == "CON"
    });
}

#[test]
fn leshan_async_read_in_every_format() {
    let mut station = late("late-read", LATER);
    for format in SINGLE {
        let command = json!({"do": "read", "path": COUNT, "format": format});
        separate(&mut station, command, |answer| {
            answer["code"] == 205 && number(&answer["content"]) == 0.0
        });
    }
}

#[test]
fn leshan_async_write_in_every_format() {
    let mut station = late("late-write", LATE);
    for (format, wanted) in SINGLE.iter().zip([19.5, 20.5, 21.5, 22.5, 23.5, 24.5]) {
        let command =
            json!({"do": "write", "path": SETPOINT, "format": format, "node": ["float", wanted]});
        let answer = station.ask(command);
        assert_eq!(
            (&answer["code"], &answer["type"]),
            (&json!(204), &json!("CON")),
            "{format}: {answer}"
        );
        assert_eq!(number(&station.content(SETPOINT)), wanted, "{format}");
    }
}

#[test]
fn leshan_async_composites_in_both_formats() {
    let mut station = late("late-composite", LATE);
    for (format, wanted) in BOTH.iter().zip([19.5, 20.5]) {
        let write = json!({"do": "write-composite", "format": format, "nodes": {
            SETPOINT: ["float", wanted], SWITCH: ["boolean", true], "/1/0/2": ["integer", 1]}});
        let answer = station.ask(write);
        assert_eq!(
            (&answer["code"], &answer["type"]),
            (&json!(204), &json!("CON")),
            "{format}: {answer}"
        );
        // A composite reads what the box knows and waits for no device; it knows the new value soon.
        let paths = [SETPOINT, COUNT, "/3/0/17"];
        let read = json!({"do": "read-composite", "paths": paths, "format": format, "answer_format": format});
        station.until("the new value", |station| {
            let answer = station.ask(read.clone());
            assert_eq!(answer["code"], 205, "{answer}");
            answer["content"][SETPOINT].as_f64() == Some(wanted)
        });
    }
}

/// Observe also answers from what is known; Execute is not here, as no device has anything to execute.
#[test]
fn leshan_async_observe_in_every_format() {
    let mut station = late("late-observe", LATE);
    for (format, wanted) in SINGLE.iter().zip(1..) {
        let command = json!({"do": "observe", "path": COUNT, "format": format});
        assert_eq!(station.code(command), 205, "{format}");
        station.count(wanted);
        station.leshan.event(SOON, |event| {
            event["event"] == "notification" && event["content"].as_f64() == Some(f64::from(wanted))
        });
    }
}

#[test]
fn leshan_asks_others_while_an_answer_is_late() {
    let mut station = late("late-between", LATE);
    let endpoint = station.endpoint;
    let write = json!({"do": "write", "path": SETPOINT, "format": "TLV", "node": ["float", 19.5]});
    let slow = station.leshan.begin(endpoint, write);
    let quick = station.read("/3/0/17", None);
    assert_eq!(quick["code"], 205);
    assert_eq!(quick["type"], "ACK", "{quick}");
    assert_eq!(station.leshan.answer(slow)["code"], 204);
}

/// 5 kB that the server gives up after a few blocks, then sends again (RFC 7959, 2.5).
#[test]
fn leshan_blockwise_2_an_aborted_transfer_changes_nothing_and_is_made_again() {
    let mut station = Setup {
        relay: true,
        ..Setup::new("blockwise-aborted")
    }
    .start();
    let create = json!({"do": "create", "path": "/43500", "instances": {
        "0": {"0": ["string", "made"], "4": ["opaque", "00ff"]}}});
    assert_eq!(station.code(create), 201);
    let body: String = (0..5000_u32)
        .map(|byte| format!("{:02x}", byte * 11 % 253))
        .collect();
    for format in ["OPAQUE", "TLV", "SENML_CBOR"] {
        assert_eq!(
            station.write("/43500/0/4", format, "opaque", json!("00ff")),
            204
        );
        station.relay().cut_after(4);
        let aborted = station.ask(
            json!({"do": "write", "path": "/43500/0/4", "format": format,
            "node": ["opaque", body], "timeout_ms": 1000}),
        );
        assert_eq!(aborted["error"], "timeout", "{format}: {}", aborted["code"]);
        station.relay().mend();
        assert_eq!(station.content("/43500/0/4"), "00ff", "{format}");
        assert_eq!(
            station.write("/43500/0/4", format, "opaque", json!(body)),
            204,
            "{format}"
        );
        assert_eq!(station.content("/43500/0/4"), body, "{format}");
    }
}
