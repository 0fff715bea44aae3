//! `lamplighter modbus`.

use lamplighter_sim::{
    modbus::{Framing, Obedient, Units, serve, serve_tcp},
    pty::Pty,
};
use serde_json::Value as Json;

use crate::{Agent, Place, Said};

/// A line with units 3 and 17.
struct Site {
    place: Place,
    units: Units,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Site {
    fn new() -> Self {
        let place = Place::new();
        let units = Units::default();
        units.with(17, |bank| {
            bank.input.extend([(3, 215)]);
            bank.holding.extend([(5, 190), (6, 0), (7, 0)]);
            bank.coils.extend([(14, true), (15, false)]);
        });
        units.with(3, |bank| {
            bank.holding.extend([(100, 0x4148), (101, 0)]);
        });
        let line = place.0.join("line");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (opened, is_open) = std::sync::mpsc::channel();
        let (slaves, link) = (units.clone(), line.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let pty = Pty::open_linked(&link).unwrap();
                opened.send(()).unwrap();
                tokio::select! {
                    ended = serve(pty, Framing::Rtu, slaves, Obedient) => ended.unwrap(),
                    _site_is_gone = stopped => {}
                }
            });
        });
        is_open.recv().unwrap();
        let text = format!(
            r#"[client]
endpoint = "cab-17"
[bus.line]
kind = "serial"
device = "{}"
[device.ahu1]
adapter = "modbus"
bus = "line"
unit = 17
point.supply_air = {{ resource = "/3303/0/5700", read = {{ table = "input", at = 3, type = "i16" }}, scale = 0.1, poll_s = 1 }}
point.setpoint = {{ resource = "/3308/0/5900", read = {{ table = "holding", at = 5, type = "i16" }}, write = {{}}, scale = 0.1, unit = "Cel", limit = {{ min = 16.0, max = 28.0 }}, poll_s = 1 }}
"#,
            line.display()
        );
        place.configure(&text);
        Self {
            place,
            units,
            _stop: stop,
        }
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.place.run(arguments)
    }

    fn json(&self, arguments: &[&str]) -> Json {
        self.place.json(arguments)
    }

    fn agent(&self) -> Agent {
        self.place.agent("ahu1.setpoint")
    }
}

fn found(report: &Json) -> Vec<u64> {
    let found = report["found"].as_array().unwrap();
    found
        .iter()
        .map(|one| one["unit"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_line_is_looked_at_without_an_agent() {
    let site = Site::new();
    let report = site.json(&["modbus", "scan", "line", "--units", "1-20"]);
    assert_eq!(found(&report), [3, 17]);
    assert_eq!(report["found"][1]["device"], "ahu1");
    assert_eq!(report["found"][0]["line"], "9600-8E1");
    let port = site.place.0.join("line");
    let port = ["--port", port.to_str().unwrap(), "--line", "19200-8N1"];
    let report = site.json(&[&["modbus", "scan", "--units", "3-4"][..], &port].concat());
    assert_eq!(
        (found(&report), &report["found"][0]["line"]),
        (vec![3], &"19200-8N1".into())
    );
    let raw = site.json(&[&["modbus", "read", "3", "holding:100..101"][..], &port].concat());
    assert_eq!(raw["registers"], serde_json::json!([0x4148, 0]));
    let said = site.run(&["modbus", "read", "line:3", "holding:100..101"]);
    assert!(
        said.out.contains("holding:100") && said.out.contains("12.5"),
        "{}",
        said.out
    );
    let said = site.run(&["modbus", "read", "ahu1.supply_air"]);
    for words in [
        "/3303/0/5700",
        "ahu1 unit 17 on line, input:3",
        "raw    00D7",
        "21.5",
    ] {
        assert!(
            said.out.contains(words),
            "{words} is missing in\n{}",
            said.out
        );
    }
    assert_eq!(
        site.json(&["modbus", "write", "line:17", "coil:15", "on"])["bits"],
        serde_json::json!([true])
    );
    assert!(site.units.with(17, |bank| bank.coils[&15]));
    // Limits and locks are the agent's to know.
    let said = site.run(&["modbus", "write", "ahu1.setpoint", "21"]);
    assert_eq!(said.exit, 4, "{}", said.err);
}

#[test]
fn a_line_in_use_is_looked_at_through_the_agent() {
    let site = Site::new();
    let _agent = site.agent();
    let report = site.json(&["modbus", "scan", "--units", "1-20"]);
    assert_eq!(found(&report), [3, 17]);
    let speeds = ["--speeds", "9600,19200", "--parity", "E,N"];
    let report = site.json(&[&["modbus", "scan", "--units", "3-4"][..], &speeds].concat());
    // A pseudo-terminal carries everything at any speed.
    let lines: Vec<&str> = report["found"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| found["line"].as_str().unwrap())
        .collect();
    assert_eq!(lines, ["9600-8E1", "9600-8N1", "19200-8E1", "19200-8N1"]);
    let point = site.json(&["modbus", "read", "ahu1.supply_air"]);
    assert_eq!(
        (&point["value"], &point["raw"]["registers"]),
        (&21.5.into(), &serde_json::json!([215]))
    );
    let both = site.json(&["modbus", "write", "ahu1.setpoint", "22.5"]);
    assert_eq!(both["before"]["raw"]["registers"], serde_json::json!([190]));
    assert_eq!(both["after"]["raw"]["registers"], serde_json::json!([225]));
    assert_eq!(
        site.json(&["modbus", "read", "ahu1", "coil:14..15"])["bits"],
        serde_json::json!([true, false])
    );
    assert_eq!(
        site.json(&["modbus", "write", "line:17", "holding:6", "-2"])["registers"],
        serde_json::json!([65534])
    );
    let events = site.run(&["events"]).out;
    assert!(
        events.contains("register_written") && events.contains("line unit 17 holding:6"),
        "{events}"
    );
    assert_eq!(site.json(&["devices"])[0]["state"], "online");
}

#[test]
fn nobody_writes_past_the_agent_to_a_line_that_it_has() {
    let place = Place::new();
    let units = Units::default();
    units.with(17, |bank| bank.holding.extend([(5, 190), (6, 1)]));
    let (bound, port) = std::sync::mpsc::channel();
    let slaves = units.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            bound.send(listener.local_addr().unwrap().port()).unwrap();
            // Ends with the test.
            serve_tcp(listener, Framing::Tcp, slaves, Obedient).await
        })
    });
    let port = port.recv().unwrap();
    place.configure(&format!(
        r#"[client]
endpoint = "cab-17"
[bus.net]
kind = "tcp"
address = "127.0.0.1:{port}"
close_after_ms = 10
[device.ahu1]
adapter = "modbus"
bus = "net"
unit = 17
point.setpoint = {{ resource = "/3308/0/5900", read = {{ table = "holding", at = 5, type = "i16" }}, write = {{}}, poll_s = 1 }}
"#
    ));
    let _agent = place.agent("ahu1.setpoint");
    for host in ["127.0.0.1", "localhost"] {
        let address = format!("{host}:{port}");
        let said = place.run(&[
            "modbus",
            "write",
            "--tcp",
            &address,
            "17",
            "holding:5",
            "400",
        ]);
        assert_eq!(said.exit, 5, "{host} {}", said.err);
        let words = "is bus net of the agent that runs";
        assert!(said.err.contains(words), "{host} {}", said.err);
    }
    let said = place.run(&["modbus", "write", "net:17", "holding:6", "7"]);
    assert_eq!(said.exit, 0, "{}", said.err);
    assert_eq!(
        units.with(17, |bank| (bank.holding[&5], bank.holding[&6])),
        (190, 7)
    );
}

/// Arguments, exit code, and what is said.
const REFUSED: &[(&[&str], i32, &str)] = &[
    (
        &["modbus", "read", "line:9", "holding:0"],
        5,
        "unit 9 does not answer",
    ),
    (
        &["modbus", "read", "line:17", "holding:999"],
        5,
        "unit 17 refuses: ",
    ),
    (
        &["modbus", "read", "line:0", "holding:0"],
        5,
        "unit 0 is not within 1 to 247",
    ),
    (
        &["modbus", "read", "line:300", "holding:0"],
        2,
        "unit 300 is not within 1 to 247",
    ),
    (
        &["modbus", "scan", "line", "--units", "0-300"],
        2,
        "units are 1 to 247",
    ),
    (&["modbus", "scan", "lime"], 2, "which line? there is line"),
    (
        &["modbus", "scan", "line", "--units", "4-5"],
        1,
        "nobody answers",
    ),
    (
        &["modbus", "read", "ahu1.nothing"],
        5,
        "ahu1.nothing is no point of a Modbus device",
    ),
    (
        &["modbus", "read", "line:17", "holdin:0"],
        5,
        "`holdin` is no table",
    ),
    (&["modbus", "read", "line:17"], 2, "which registers?"),
    (
        &["modbus", "write", "ahu1.setpoint", "40"],
        5,
        "refused with 4.00",
    ),
    (
        &["modbus", "write", "line:17", "holding:5", "400"],
        5,
        "is commanded by ahu1.setpoint",
    ),
    (
        &["modbus", "write", "line:0", "holding:5", "400"],
        5,
        "is commanded by ahu1.setpoint",
    ),
    (
        &["modbus", "write", "line:17", "input:3", "1"],
        5,
        "table input cannot be written",
    ),
    (
        &["modbus", "write", "line:17", "holding:6", "70000"],
        2,
        "`70000` is not what a register holds",
    ),
];

#[test]
fn what_cannot_be_done_on_a_line_has_its_words_and_its_exit_code() {
    let site = Site::new();
    let nowhere = site.run(&["modbus", "scan", "--port", "/dev/serial/by-id/nothing"]);
    assert_eq!(nowhere.exit, 1);
    assert!(
        nowhere
            .err
            .contains("there is no /dev/serial/by-id/nothing"),
        "{}",
        nowhere.err
    );
    let _agent = site.agent();
    let port = site.place.0.join("line");
    for (arguments, exit, words) in REFUSED {
        let said = site.run(arguments);
        assert_eq!(said.exit, *exit, "{arguments:?} {}", said.err);
        assert!(
            said.err.contains(words),
            "{words} is missing in {}",
            said.err
        );
    }
    let said = site.run(&["modbus", "scan", "--port", port.to_str().unwrap()]);
    assert_eq!(said.exit, 1);
    assert!(said.err.contains("lamplighter (process "), "{}", said.err);
    assert_eq!(
        site.units.with(17, |bank| bank.holding[&5]),
        190,
        "nothing was written"
    );
}

#[test]
fn what_a_value_is_worth_can_be_read_beside_it() {
    let site = Site::new();
    let _agent = site.place.agent("ahu1.supply_air");
    let read = |path: &str| site.json(&["read", path])["value"].clone();
    assert_eq!(
        (read("/3303/0/6042"), read("/3303/0/6049")),
        (4.into(), 100.into())
    );
    let instance = site.json(&["read", "/3303/0"]);
    let paths: Vec<&str> = instance
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/3303/0/5700", "/3303/0/6042", "/3303/0/6049"]);
    let link = site.json(&["read", "/42803/0/2"]);
    assert_eq!(link["value"], "online");
    site.units.with(17, |bank| bank.input.clear());
    let answers = || read("/3303/0/6042") == 4;
    assert!(
        (0..crate::TRIES).any(|_| !answers()),
        "a value that cannot be read is never fresh"
    );
}
