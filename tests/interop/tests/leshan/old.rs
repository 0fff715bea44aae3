//! Leshan 1.5, which speaks LwM2M 1.0 only.

use lamplighter_interop::{
    leshan::Version,
    station::{COUNT, SETPOINT, SOON, Setup, Station, number},
};
use serde_json::{Value, json};

use crate::versions::{create_and_delete, sleeps_and_wakes};

/// What it knows of the formats.
const OLD: [&str; 3] = ["TEXT", "TLV", "JSON"];

/// At Leshan 1.5, as a client of 1.0.
fn old(name: &'static str) -> Station {
    Setup {
        version: Version::V1,
        server: "version = \"1.0\"",
        ..Setup::new(name)
    }
    .start()
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
fn leshan_1_5_creates_and_deletes() {
    let mut station = old("v1-create");
    for format in ["TLV", "JSON"] {
        create_and_delete(&mut station, format);
    }
    for (path, codes) in [("/3", 400..=405), ("/50", 404..=404), ("/0", 401..=401)] {
        let create = json!({"do": "create", "path": path, "format": "TLV",
            "resources": {"0": ["string", "x"]}});
        let code = station.code(create);
        assert!(codes.contains(&code), "{path}: {code}");
    }
    assert_eq!(station.code(json!({"do": "delete", "path": "/3/0"})), 405);
}

#[test]
fn leshan_1_5_leaves_the_id_to_the_box() {
    let mut station = old("v1-create-id");
    let create = json!({"do": "create", "path": "/43500", "format": "TLV",
        "resources": {"0": ["string", "made"]}});
    let created = station.ask(create);
    assert_eq!(created["code"], 201, "{created}");
    let location = created["location"].as_str().unwrap();
    let path = format!("/{}", location.trim_start_matches('/'));
    assert_eq!(station.content(&path), json!({"0": "made"}));
}

#[test]
fn leshan_1_5_replaces_and_updates_an_instance() {
    let mut station = old("v1-replace");
    let create =
        json!({"do": "create", "path": "/43500", "instances": {"0": {"0": ["string", "made"]}}});
    assert_eq!(station.code(create), 201);
    for format in ["TLV", "JSON"] {
        let write = |replace: bool, resources: Value| json!({"do": "write", "path": "/43500/0", "format": format, "replace": replace, "resources": resources});
        let all = json!({"0": ["string", "made"], "11": ["integer", {"0": 1, "5": 50}]});
        assert_eq!(station.code(write(true, all)), 204, "{format}");
        let some = json!({"1": ["integer", 3], "11": ["integer", {"7": 70}]});
        assert_eq!(station.code(write(false, some)), 204, "{format}");
        assert_eq!(
            station.content("/43500/0"),
            json!({"0": "made", "1": 3, "11": {"0": 1, "5": 50, "7": 70}}),
            "{format}"
        );
    }
}

#[test]
fn leshan_1_5_executes() {
    let mut station = old("v1-execute");
    let execute = |path: &str, arguments: &str| json!({"do": "execute", "path": path, "arguments": arguments});
    for (path, arguments, code) in [
        ("/3/0/12", "", 204),
        ("/3/0/12", "0='a',2", 204),
        ("/3/0/0", "", 405),
        ("/3/0/50", "", 404),
        ("/50/0/0", "", 404),
    ] {
        assert_eq!(
            station.code(execute(path, arguments)),
            code,
            "{path} {arguments}"
        );
    }
    assert_eq!(station.code(execute("/3/0/4", "")), 204);
    station.event("deregistered");
    station.event("registered");
}

#[test]
fn leshan_1_5_takes_the_box_for_asleep_until_it_updates() {
    let mut station = Setup {
        version: Version::V1,
        server: "version = \"1.0\"\nqueue_mode = true",
        settings: json!({"awake_ms": 2000}),
        ..Setup::new("v1-queue")
    }
    .start();
    assert_eq!(station.registered["binding"], "UQ");
    sleeps_and_wakes(&mut station);
}

#[test]
fn leshan_1_5_is_notified_while_it_takes_the_box_for_asleep() {
    let mut station = Setup {
        version: Version::V1,
        server: "version = \"1.0\"\nqueue_mode = true",
        settings: json!({"awake_ms": 2000}),
        ..Setup::new("v1-queue-notify")
    }
    .start();
    assert_eq!(station.code(json!({"do": "observe", "path": COUNT})), 205);
    station.event("sleeping");
    station.count(5);
    station.leshan.event(SOON, |event| {
        event["event"] == "notification" && event["content"].as_f64() == Some(5.0)
    });
}

#[test]
fn leshan_1_5_observes_every_level() {
    let mut station = old("v1-levels");
    for path in [SETPOINT, "/3308/0", "/3308"] {
        assert_eq!(
            station.code(json!({"do": "observe", "path": path})),
            205,
            "{path}"
        );
    }
    assert_eq!(station.write(SETPOINT, "TLV", "float", json!(19.5)), 204);
    for (path, inner) in [(SETPOINT, ""), ("/3308/0", "/5900"), ("/3308", "/0/5900")] {
        station.leshan.event(SOON, |event| {
            event["event"] == "notification"
                && event["path"] == path
                && event["content"].pointer(inner).and_then(Value::as_f64) == Some(19.5)
        });
    }
    assert_eq!(
        station.ask(json!({"do": "forget", "path": SETPOINT}))["count"],
        1
    );
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
