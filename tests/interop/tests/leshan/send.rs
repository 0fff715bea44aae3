//! Send, asked for by a person.

use lamplighter_interop::station::{COUNT, SETPOINT, Setup, Station, number};
use serde_json::json;

fn sends(station: &Station, paths: &[&str]) -> bool {
    let arguments = [&["send"], paths].concat();
    station.agent.cli(&arguments).status.success()
}

#[test]
fn leshan_int_306_send() {
    let mut station = Station::start("int-306");
    station.counted(42);
    assert!(sends(&station, &[COUNT, SETPOINT]));
    let sent = station.event("send");
    // One group of values for each time at which they were measured.
    let value = |path: &str| {
        let mut samples = sent["samples"].as_array().unwrap().iter();
        let sample = samples.find(|sample| sample["content"][path].is_number());
        number(&sample.unwrap_or_else(|| panic!("{path} is not in {sent}"))["content"][path])
    };
    assert_eq!(value(COUNT), 42.0);
    assert_eq!(value(SETPOINT), 0.0);
}

#[test]
fn leshan_int_307_send_is_muted() {
    let mut station = Station::start("int-307");
    assert_eq!(station.write("/1/0/23", "TLV", "boolean", json!(true)), 204);
    assert!(!sends(&station, &[COUNT]));
    assert_eq!(
        station.write("/1/0/23", "TLV", "boolean", json!(false)),
        204
    );
    assert!(sends(&station, &[COUNT]));
    station.event("send");
}

#[test]
fn leshan_send_of_an_object_goes_in_blocks() {
    let mut station = Station::start("send-object");
    assert!(sends(&station, &["/3416", "/42802"]));
    let sent = station.event("send");
    let samples = sent["samples"].to_string();
    assert!(samples.contains("/3416/8/"), "{sent}");
    let messages = station.ask(json!({"do": "messages"}))["messages"].to_string();
    assert!(
        messages.contains("231"),
        "no block was asked to be continued"
    );
}

/// For the box all resources of the shelf are texts, for the server this one is a number.
#[test]
fn leshan_refuses_a_send_with_an_invalid_payload() {
    let mut station = Setup {
        believes: Some(("<Type>Integer</Type>", "<Type>String</Type>")),
        tables: concat!(
            "[device.shelf]\nadapter = \"sim\"\n",
            "[device.shelf.point.v]\nresource = \"/43500/0/1\"\nvalue = \"seven\"\n",
        )
        .to_owned(),
        ..Setup::new("send-invalid")
    }
    .start();
    let refused = station.agent.cli(&["send", "/43500/0/1"]);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(5), "{why}");
    assert!(why.contains("refuses the Send"), "{why}");
    station.counted(7);
    assert!(
        sends(&station, &[COUNT]),
        "what the server understands passes"
    );
    assert!(station.event("send").to_string().contains(COUNT));
}
