//! Servers of other versions: which version is registered, and what works with it.

use lamplighter_interop::{
    leshan::Version,
    station::{COUNT, LAMP_LEVEL, SETPOINT, SOON, Setup, Station, number},
};
use serde_json::json;

/// What Leshan 1.5 knows of the formats.
const OLD: [&str; 3] = ["TEXT", "TLV", "JSON"];

fn at(version: Version, name: &'static str) -> Station {
    Setup {
        version,
        ..Setup::new(name)
    }
    .start()
}

#[test]
fn leshan_steps_down_from_1_2_to_1_1() {
    let mut station = Station::start("step-down");
    assert_eq!(station.registered["version"], "1.1");
    let messages = station.ask(json!({"do": "messages"}))["messages"].clone();
    let registers: Vec<_> = messages
        .as_array()
        .unwrap()
        .iter()
        .filter(|message| message["path"] == "rd")
        .map(|message| message["query"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(registers.len(), 2, "{messages}");
    assert!(registers[0].contains("lwm2m=1.2"), "{registers:?}");
    assert!(registers[1].contains("lwm2m=1.1"), "{registers:?}");
    let refused = messages
        .as_array()
        .unwrap()
        .iter()
        .find(|message| message["way"] == "sent");
    assert_eq!(refused.unwrap()["code"], 412, "{messages}");
}

#[test]
fn leshan_m15_takes_the_registration_as_1_2() {
    let mut station = at(Version::M15, "m15-register");
    assert_eq!(station.registered["version"], "1.2");
    for path in ["/3/0", "/1", LAMP_LEVEL, SETPOINT] {
        assert_eq!(station.read(path, None)["code"], 205, "{path}");
    }
    assert_eq!(station.write("/1/0/1", "TLV", "integer", json!(120)), 204);
    station.leshan.event(SOON, |event| {
        event["event"] == "updated" && event["lifetime"] == 120
    });
}

#[test]
fn leshan_m15_reads_and_writes_every_format_at_1_2() {
    let mut station = at(Version::M15, "m15-formats");
    for (format, wanted) in lamplighter_interop::station::SINGLE.iter().zip(10..) {
        let wanted = f64::from(wanted) + 0.5;
        let code = station.write(SETPOINT, format, "float", json!(wanted));
        assert_eq!(code, 204, "{format}");
        let answer = station.read(SETPOINT, Some(format));
        assert!(
            (number(&answer["content"]) - wanted).abs() < 1e-6,
            "{answer}"
        );
    }
}

#[test]
fn leshan_m15_observes_and_deregisters_at_1_2() {
    let mut station = at(Version::M15, "m15-observe");
    assert_eq!(station.code(json!({"do": "observe", "path": COUNT})), 205);
    station.count(7);
    station.leshan.event(SOON, |event| {
        event["event"] == "notification" && event["content"].as_f64() == Some(7.0)
    });
    assert_eq!(station.agent.lines.signal("TERM"), Some(0));
    assert_eq!(station.event("deregistered")["expired"], false);
}

#[test]
fn leshan_1_5_registers_as_1_0() {
    let station = old("v1-register");
    assert_eq!(station.registered["version"], "1.0");
    assert_eq!(station.registered["binding"], "U");
    let links = station.registered["links"].as_str().unwrap();
    assert!(
        links.contains("</3/0>") && links.contains("</3416/1>"),
        "{links}"
    );
    assert!(!links.contains("</0"), "{links}");
}

#[test]
fn leshan_1_5_reads_and_writes_in_its_formats() {
    let mut station = old("v1-formats");
    for path in ["/3", "/3/0", "/1/0", "/3416", "/3308/0"] {
        for format in ["TLV", "JSON"] {
            assert_eq!(
                station.read(path, Some(format))["code"],
                205,
                "{path} as {format}"
            );
        }
    }
    for (format, wanted) in OLD.iter().zip(10..) {
        let wanted = f64::from(wanted) + 0.5;
        let code = station.write(SETPOINT, format, "float", json!(wanted));
        assert_eq!(code, 204, "{format}");
        let answer = station.read(SETPOINT, Some(format));
        assert!(
            (number(&answer["content"]) - wanted).abs() < 1e-6,
            "{answer}"
        );
        let code = station.write("/1/0/2", format, "integer", json!(3));
        assert_eq!(code, 204, "{format}");
    }
    for (path, code) in [
        ("/3/0/4", 405),
        ("/3/1", 404),
        ("/50", 404),
        ("/0/0/0", 401),
    ] {
        assert_eq!(station.read(path, None)["code"], code, "{path}");
    }
}

#[test]
fn leshan_1_5_updates_and_triggers() {
    let mut station = old("v1-update");
    assert_eq!(station.write("/1/0/1", "TLV", "integer", json!(120)), 204);
    station.leshan.event(SOON, |event| {
        event["event"] == "updated" && event["lifetime"] == 120
    });
    assert_eq!(
        station.code(json!({"do": "execute", "path": "/1/0/8"})),
        204
    );
    station.event("updated");
    assert_eq!(station.agent.lines.signal("TERM"), Some(0));
    assert_eq!(station.event("deregistered")["expired"], false);
}

#[test]
fn leshan_1_5_observes_until_cancelled() {
    let mut station = old("v1-observe");
    for format in OLD {
        let observe = json!({"do": "observe", "path": COUNT, "format": format});
        assert_eq!(station.code(observe), 205, "{format}");
        for count in [5, 6, 7] {
            station.counted(count);
            station.leshan.event(SOON, |event| {
                event["event"] == "notification"
                    && event["content"].as_f64() == Some(f64::from(count))
            });
        }
        assert_eq!(
            station.code(json!({"do": "cancel", "path": COUNT})),
            205,
            "{format}"
        );
        station.counted(0);
    }
}

#[test]
fn leshan_1_5_discovers_attributes() {
    let mut station = old("v1-discover");
    let attributes =
        json!({"do": "attributes", "path": COUNT, "attributes": "pmin=1&pmax=60&gt=5"});
    assert_eq!(station.code(attributes), 204);
    let links = station.ask(json!({"do": "discover", "path": "/3305/0"}))["links"].clone();
    let links = links.as_str().unwrap();
    assert!(links.contains("</3305/0/5800>;"), "{links}");
    for attribute in ["pmin=1", "pmax=60", "gt=5"] {
        assert!(links.contains(attribute), "{attribute} is not in {links}");
    }
}

/// At Leshan 1.5, as a client of 1.0.
fn old(name: &'static str) -> Station {
    Setup {
        version: Version::V1,
        server: "version = \"1.0\"",
        ..Setup::new(name)
    }
    .start()
}
