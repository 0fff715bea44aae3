//! Servers of other versions: which version is registered, and what works with it.

use lamplighter_interop::{
    leshan::Version,
    station::{COUNT, LAMP, LAMP_LEVEL, SETPOINT, SOON, Setup, Station, number},
};
use serde_json::{Value, json};

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

/// What a server of 1.2 adds to Leshan's own requests (Core 1.2, 7.3).
#[test]
fn leshan_m15_takes_attributes_of_1_2() {
    let mut station = at(Version::M15, "m15-attributes");
    let query = "edge=1&con=1&hqmax=3";
    let raw = json!({"do": "raw", "method": "PUT", "path": "3306/0/5850", "query": query});
    assert_eq!(station.code(raw), 204);
    let links = json!({"do": "raw", "method": "GET", "path": "3306/0", "accept": 40});
    let answer = station.ask(links);
    assert_eq!(answer["code"], 205, "{answer}");
    let payload = answer["payload"].as_str().unwrap();
    let bytes: Vec<u8> = (0..payload.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&payload[at..at + 2], 16).unwrap())
        .collect();
    let links = String::from_utf8(bytes).unwrap();
    for one in query.split('&') {
        assert!(links.contains(one), "{one} is not in {links}");
    }
}

#[test]
fn leshan_m15_creates_and_deletes_at_1_2() {
    let mut station = at(Version::M15, "m15-create");
    create_and_delete(&mut station, "SENML_CBOR");
}

#[test]
fn leshan_m15_composites_and_send_at_1_2() {
    let mut station = at(Version::M15, "m15-composite");
    for format in ["SENML_JSON", "SENML_CBOR"] {
        let write = json!({"do": "write-composite", "format": format, "nodes": {
            "/1/0/2": ["integer", 7], SETPOINT: ["float", 19.5]}});
        assert_eq!(station.code(write), 204, "{format}");
        let paths = ["/1/0/2", "/3/0/17"];
        let read = json!({"do": "read-composite", "paths": paths, "format": format, "answer_format": format});
        let content = station.ask(read)["content"].clone();
        assert_eq!(content, json!({"/1/0/2": 7, "/3/0/17": "gateway"}));
    }
    let observe = json!({"do": "observe-composite", "paths": [COUNT, SETPOINT],
        "format": "SENML_CBOR", "answer_format": "SENML_CBOR"});
    assert_eq!(station.code(observe), 205);
    station.count(9);
    station.leshan.event(SOON, |event| {
        event["event"] == "composite-notification" && event["content"][COUNT].as_f64() == Some(9.0)
    });
    assert!(station.agent.cli(&["send", COUNT]).status.success());
    let sent = station.event("send");
    assert!(sent["samples"].to_string().contains("9.0"), "{sent}");
}

#[test]
fn leshan_m15_queue_mode_at_1_2() {
    let mut station = Setup {
        version: Version::M15,
        server: "queue_mode = true",
        settings: json!({"awake_ms": 2000}),
        ..Setup::new("m15-queue")
    }
    .start();
    assert_eq!(station.registered["queue"], true, "{}", station.registered);
    sleeps_and_wakes(&mut station);
}

/// An instance whose id the server says, found, announced and gone again.
pub(crate) fn create_and_delete(station: &mut Station, format: &str) {
    station.leshan.forget_events();
    let create = json!({"do": "create", "path": "/43500", "format": format,
        "instances": {"12": {"0": ["string", format]}}});
    assert_eq!(station.code(create.clone()), 201, "{format}");
    let announced = |event: &Value| {
        let links = event["links"].as_str().unwrap_or_default();
        event["event"] == "updated" && links.contains("</43500/12>")
    };
    station.leshan.event(SOON, announced);
    assert_eq!(station.content("/43500/12"), json!({"0": format}));
    let again = station.code(create);
    assert!((400..=405).contains(&again), "{format}: {again}");
    let delete = json!({"do": "delete", "path": "/43500/12"});
    assert_eq!(station.code(delete.clone()), 202, "{format}");
    station.leshan.event(SOON, |event| {
        event["event"] == "updated" && !announced(event)
    });
    assert_eq!(station.code(delete), 404, "{format}");
}

/// Asleep after the window, awake again by an Update.
pub(crate) fn sleeps_and_wakes(station: &mut Station) {
    station.event("awake");
    assert_eq!(station.read("/3/0/17", None)["code"], 205);
    station.event("sleeping");
    let refresh = station.agent.cli(&["server", "refresh", "main"]);
    assert!(refresh.status.success());
    station.event("awake");
    assert_eq!(station.read("/3/0/17", None)["code"], 205);
}

/// A server that has only the first definition of lamp controllers and of object 3308: they are
/// announced as it knows them, and what is in both is read and written by it.
#[test]
fn leshan_is_told_the_versions_of_objects_that_it_knows() {
    let mut station = Setup {
        server: "object_versions = { 3416 = \"1.0\", 3308 = \"1.0\" }",
        ..Setup::new("object-versions")
    }
    .start();
    let links = station.registered["links"].as_str().unwrap();
    assert!(links.contains("</3416/1>"), "{links}");
    // 1.0 is what no version means (Core 1.2, 6.4.2).
    assert!(
        !links.contains("</3416>;ver") && !links.contains("</3308>;ver"),
        "{links}"
    );
    assert!(links.contains("</3306>;ver=1.1"), "{links}");
    assert_eq!(station.write(LAMP, "TLV", "integer", json!(100)), 204);
    // Leshan cannot tell what the number is without a definition of that version.
    station
        .agent
        .until(&["read", LAMP_LEVEL], SOON, |level| level["value"] == 100);
}
