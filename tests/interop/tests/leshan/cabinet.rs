//! The simulated cabinet of `lamplighter demo`, whose GPIO, Modbus and meter adapters speak to real
//! protocol peers, managed by a real Leshan server.

use std::time::Duration;

use lamplighter_interop::{
    agent::Agent,
    leshan::{Leshan, Version},
    scratch,
};
use serde_json::{Value, json};

use lamplighter_interop::station::{SOON, number};

/// Resources of the three device families, with the Leshan type of the writable ones.
const LAMP: &str = "/3416/1/1";
const LAMP_LEVEL: &str = "/3416/1/3";
const SUPPLY_AIR: &str = "/3303/0/5700";
const SETPOINT: &str = "/3308/0/5900";
const COMPRESSOR: &str = "/3306/0/5850";
const ENERGY: &str = "/3331/0/5700";
const POWER: &str = "/3305/0/5800";

/// A cabinet registered at a server of its own.
struct Site {
    leshan: Leshan,
    agent: Agent,
    endpoint: String,
    registered: Value,
}

impl Site {
    fn start(name: &str) -> Self {
        let directory = scratch(name);
        let mut leshan = Leshan::start(Version::M18);
        let uri = leshan.uri.clone();
        let agent = Agent::start(
            &directory,
            &["demo", "--http", "127.0.0.1:0", "--server", &uri],
        );
        let registered = leshan.event(SOON, |event| event["event"] == "registered");
        let endpoint = registered["endpoint"].as_str().unwrap().to_owned();
        let site = Self {
            leshan,
            agent,
            endpoint,
            registered,
        };
        site.all_points_good();
        site
    }

    fn all_points_good(&self) {
        self.agent.until(&["points"], SOON, |points| {
            let points = points.as_array().map(Vec::as_slice).unwrap_or_default();
            points.len() >= 13 && points.iter().all(|point| point["quality"] == "good")
        });
    }

    fn read(&mut self, path: &str, format: Option<&str>) -> Value {
        self.leshan.read(&self.endpoint, path, format)
    }

    fn code(&mut self, command: Value) -> i64 {
        let answer = self.leshan.ask(&self.endpoint, command);
        answer["code"]
            .as_i64()
            .unwrap_or_else(|| panic!("no code in {answer}"))
    }

    fn ask(&mut self, command: Value) -> Value {
        self.leshan.ask(&self.endpoint, command)
    }

    /// The value that the command line reads locally.
    fn local(&self, path: &str) -> Value {
        self.agent.json(&["read", path])["value"].clone()
    }
}

#[test]
fn registers_with_all_that_the_adapters_back() {
    let site = Site::start("registers");
    let links = site.registered["links"].as_str().unwrap();
    for instance in [
        "</1/0>",
        "</3/0>",
        "</4/0>",
        "</3416/1>",
        "</3416/8>",
        "</3416/60000>",
    ]
    .into_iter()
    .chain([
        "</3303/0>",
        "</3308/0>",
        "</3306/0>",
        "</3331/0>",
        "</3305/0>",
    ]) {
        assert!(links.contains(instance), "{instance} is not in {links}");
    }
    assert!(
        !links.contains("</0"),
        "the Security object is never announced: {links}"
    );
    assert_eq!(site.registered["version"], "1.1");
}

#[test]
fn reads_every_family_in_every_format() {
    let mut site = Site::start("reads");
    for path in [LAMP, SUPPLY_AIR, SETPOINT, ENERGY, POWER, COMPRESSOR] {
        for format in [
            None,
            Some("TEXT"),
            Some("TLV"),
            Some("SENML_JSON"),
            Some("SENML_CBOR"),
            Some("CBOR"),
            Some("JSON"),
        ] {
            let answer = site.read(path, format);
            assert_eq!(answer["code"], 205, "{path} as {format:?}: {answer}");
            assert!(
                !answer["content"].is_null(),
                "{path} as {format:?}: {answer}"
            );
        }
    }
    for path in ["/3416/1", "/3416", "/3303/0", "/3/0", "/1", "/3/0/11"] {
        for format in [
            None,
            Some("TLV"),
            Some("JSON"),
            Some("SENML_JSON"),
            Some("SENML_CBOR"),
        ] {
            assert_eq!(site.read(path, format)["code"], 205, "{path} as {format:?}");
        }
        assert_eq!(
            site.read(path, Some("TEXT"))["code"],
            406,
            "{path} cannot be text"
        );
    }
    let lamps = site.read("/3416", Some("SENML_CBOR"));
    assert_eq!(
        lamps["content"].as_object().unwrap().len(),
        10,
        "nine lamps and a group: {lamps}"
    );
}

#[test]
fn the_same_value_whatever_the_format() {
    let mut site = Site::start("same");
    let reference = number(&site.read(SETPOINT, Some("TEXT"))["content"]);
    for format in ["TLV", "SENML_JSON", "SENML_CBOR"] {
        assert!(
            (number(&site.read(SETPOINT, Some(format))["content"]) - reference).abs() < 1e-6,
            "{format}"
        );
    }
    assert!((number(&site.local(SETPOINT)) - reference).abs() < 1e-6);
}

#[test]
fn writes_reach_the_device_and_read_back() {
    let mut site = Site::start("writes");
    let endpoint = site.endpoint.clone();
    for (format, wanted) in [
        ("TEXT", 19.5),
        ("TLV", 20.0),
        ("SENML_JSON", 20.5),
        ("SENML_CBOR", 21.0),
        ("CBOR", 21.5),
        ("JSON", 20.0),
    ] {
        let answer = site
            .leshan
            .write(&endpoint, SETPOINT, format, "float", json!(wanted));
        assert_eq!(answer["code"], 204, "{format}: {answer}");
        assert!(
            (number(&site.read(SETPOINT, None)["content"]) - wanted).abs() < 1e-6,
            "{format}"
        );
        assert!(
            (number(&site.local(SETPOINT)) - wanted).abs() < 1e-6,
            "{format}"
        );
    }
    for (format, level) in [
        ("TEXT", 100),
        ("TLV", 0),
        ("SENML_JSON", 100),
        ("SENML_CBOR", 0),
    ] {
        let answer = site
            .leshan
            .write(&endpoint, LAMP, format, "integer", json!(level));
        assert_eq!(answer["code"], 204, "{format}: {answer}");
        assert_eq!(
            number(&site.read(LAMP_LEVEL, None)["content"]),
            f64::from(level),
            "{format}"
        );
    }
    let partial = json!({"do": "write", "path": "/3308/0", "replace": false, "format": "TLV",
        "resources": {"5900": ["float", 22.0]}});
    assert_eq!(site.code(partial), 204);
    assert!((number(&site.read(SETPOINT, None)["content"]) - 22.0).abs() < 1e-6);
}

#[test]
fn one_write_switches_the_group() {
    let mut site = Site::start("group");
    let endpoint = site.endpoint.clone();
    for level in [100, 0] {
        assert_eq!(
            site.leshan
                .write(&endpoint, "/3416/60000/1", "TLV", "integer", json!(level))["code"],
            204
        );
        let wanted = f64::from(level);
        for lamp in 1..=8 {
            let path = format!("/3416/{lamp}/3");
            site.agent.until(&["read", &path], SOON, |point| {
                point["value"].as_f64() == Some(wanted)
            });
        }
    }
}

#[test]
fn refuses_as_the_standard_says() {
    let mut site = Site::start("refuses");
    let endpoint = site.endpoint.clone();
    let read = |path: &str| json!({"do": "read", "path": path});
    for (command, code) in [
        (read("/0/0/0"), 401),
        (read("/3/1"), 404),
        (read("/3/0/50"), 404),
        (read("/3/0/4"), 405),
        (read("/50"), 404),
        (json!({"do": "discover", "path": "/50"}), 404),
        (json!({"do": "execute", "path": "/3/0/0"}), 405),
        (json!({"do": "execute", "path": "/3/0/50"}), 404),
        (json!({"do": "delete", "path": "/3/0"}), 405),
        (json!({"do": "delete", "path": "/3303/0"}), 405),
    ] {
        assert_eq!(site.code(command.clone()), code, "{command}");
    }
    assert_eq!(
        site.leshan
            .write(&endpoint, SUPPLY_AIR, "TLV", "float", json!(1.0))["code"],
        405
    );
    let above = site
        .leshan
        .write(&endpoint, SETPOINT, "TLV", "float", json!(90.0));
    assert_eq!(above["code"], 400, "above the limit of the site: {above}");
}

#[test]
fn executes_with_arguments() {
    let mut site = Site::start("executes");
    assert_eq!(site.code(json!({"do": "execute", "path": "/1/0/8"})), 204);
    site.leshan.event(SOON, |event| event["event"] == "updated");
    assert_eq!(site.code(json!({"do": "execute", "path": "/3/0/12"})), 204);
    assert_eq!(
        site.code(json!({"do": "execute", "path": "/3/0/12", "arguments": "0='a',2"})),
        204
    );
}

#[test]
fn discovers_with_attributes() {
    let mut site = Site::start("discovers");
    assert_eq!(
        site.code(json!({"do": "attributes", "path": SUPPLY_AIR, "attributes": "pmin=1&pmax=60"})),
        204
    );
    let links = site.ask(json!({"do": "discover", "path": "/3303/0"}))["links"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(links.contains("</3303/0/5700>;pmin=1;pmax=60"), "{links}");
    let lamp = site.ask(json!({"do": "discover", "path": "/3416/1"}))["links"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        lamp.contains("</3416/1/1>") && lamp.contains("</3416/1/3>"),
        "{lamp}"
    );
}

#[test]
fn a_written_lifetime_is_updated_at_once() {
    let mut site = Site::start("lifetime");
    let endpoint = site.endpoint.clone();
    site.leshan.forget_events();
    assert_eq!(
        site.leshan
            .write(&endpoint, "/1/0/1", "TLV", "integer", json!(120))["code"],
        204
    );
    site.leshan.event(SOON, |event| {
        event["event"] == "updated" && event["lifetime"] == 120
    });
}

#[test]
fn notifies_each_family_until_cancelled() {
    let mut site = Site::start("notifies");
    let endpoint = site.endpoint.clone();
    for format in ["TEXT", "TLV", "SENML_JSON", "SENML_CBOR"] {
        for path in [LAMP_LEVEL, SUPPLY_AIR, POWER] {
            let observed = site.ask(json!({"do": "observe", "path": path, "format": format}));
            assert_eq!(observed["code"], 205, "{path} as {format}: {observed}");
        }
        let before = number(&site.read(LAMP_LEVEL, None)["content"]);
        let wanted = if before > 50.0 { 0 } else { 100 };
        site.leshan.forget_events();
        assert_eq!(
            site.leshan
                .write(&endpoint, LAMP, "TLV", "integer", json!(wanted))["code"],
            204
        );
        // The GPIO line changes by command, the air handler and the meter by themselves.
        site.leshan.event(SOON, |event| {
            event["path"] == LAMP_LEVEL && number(&event["content"]) == f64::from(wanted)
        });
        for path in [SUPPLY_AIR, POWER] {
            site.leshan.event(Duration::from_secs(60), |event| {
                event["event"] == "notification" && event["path"] == path
            });
        }
        for path in [LAMP_LEVEL, SUPPLY_AIR, POWER] {
            assert_eq!(
                site.code(json!({"do": "cancel", "path": path})),
                205,
                "{path}"
            );
        }
    }
}

#[test]
fn deregisters_when_it_is_stopped() {
    let mut site = Site::start("stops");
    assert_eq!(site.agent.lines.signal("TERM"), Some(0));
    let gone = site
        .leshan
        .event(SOON, |event| event["event"] == "deregistered");
    assert_eq!(gone["expired"], false);
}
