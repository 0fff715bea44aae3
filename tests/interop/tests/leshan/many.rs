//! A box with 2,000 lamps at a Leshan of which the limit for bodies is 8192 bytes, and at one where
//! it is raised.

use std::fmt::Write as _;

use lamplighter_interop::station::{LAMPS, SOON, Setup, Station};
use serde_json::json;

const MANY: u16 = 2000;

/// All lamps that a station has not anyway.
fn street() -> String {
    let mut tables = String::from(
        "[device.street]\nadapter = \"gpio\"\nbackend = \"sim\"\n[device.street.point]\n",
    );
    for lamp in LAMPS + 1..=MANY {
        let point = format!("{{ line = \"STREET{lamp}\", instance = \"/3416/{lamp}\" }}");
        writeln!(tables, "s{lamp} = {point}").unwrap();
    }
    tables
}

fn lamps(station: &mut Station, format: &str) -> usize {
    let answer = station.read("/3416", Some(format));
    assert_eq!(answer["code"], 205, "{}", answer["error"]);
    answer["content"].as_object().unwrap().len()
}

/// The unmodified server refuses the list of all instances with 4.13, and takes one of objects.
#[test]
fn leshan_takes_a_box_with_2000_lamps() {
    let mut station = Setup {
        tables: street(),
        ..Setup::new("many")
    }
    .start_within(SOON * 4);
    let links = station.registered["links"].as_str().unwrap();
    assert!(
        links.contains("</3416>") && !links.contains("</3416/1>"),
        "{links}"
    );
    let messages = station.ask(json!({"do": "messages"}))["messages"].clone();
    let refused = messages
        .as_array()
        .unwrap()
        .iter()
        .find(|message| message["code"] == 413);
    assert!(
        refused.is_some(),
        "the list of all instances was not refused"
    );
    for lamp in [1, 1000, MANY] {
        let path = format!("/3416/{lamp}/1");
        assert_eq!(
            station.write(&path, "TLV", "integer", json!(100)),
            204,
            "{path}"
        );
        let level = format!("/3416/{lamp}/3");
        station.until("the light", |station| station.content(&level) == 100);
    }
    // Leshan asks for the blocks of such an answer up to its limit and then hears nothing more.
    let whole = station.ask(json!({"do": "read", "path": "/3416", "timeout_ms": 5000}));
    assert_eq!(whole["error"], "timeout", "{}", whole["code"]);
    assert_eq!(
        station.read("/3416/1", None)["code"],
        205,
        "the box is fine"
    );
}

/// With `COAP.MAX_RESOURCE_BODY_SIZE` raised in its own properties, the server takes the whole list
/// and reads the object whole.
#[test]
fn leshan_with_a_raised_limit_reads_2000_lamps_whole() {
    let mut station = Setup {
        tables: street(),
        settings: json!({"properties": {"COAP.MAX_RESOURCE_BODY_SIZE": 1_000_000}}),
        ..Setup::new("many-raised")
    }
    .start_within(SOON * 4);
    let links = station.registered["links"].as_str().unwrap();
    assert!(links.contains("</3416/1>") && links.contains("</3416/2000>"));
    for format in ["TLV", "SENML_CBOR", "SENML_JSON"] {
        assert_eq!(lamps(&mut station, format), usize::from(MANY), "{format}");
    }
}
