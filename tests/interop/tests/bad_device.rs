//! Modbus devices that misbehave, on real pseudo-terminals: the others do not notice, people and
//! servers are told, and all is well again as soon as the device is.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use lamplighter_interop::{
    agent::Agent,
    coap::{Message, Server},
    scratch,
};
use lamplighter_sim::{
    modbus::{self, Bank, Behaviour, Framing, Seen, Units},
    pty::Pty,
};
use serde_json::Value;
use tokio::{runtime::Builder, sync::oneshot};

const SOON: Duration = Duration::from_secs(20);

const SICK: u8 = 17;
const WELL: u8 = 18;

/// A line with two units, one of which does what the test says.
struct Line {
    link: PathBuf,
    units: Units,
    behaviour: Arc<Mutex<Behaviour>>,
    /// Ends with what it is told, and the line with it.
    serving: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Line {
    fn plug(directory: &Path) -> Self {
        let units = Units::default();
        for unit in [SICK, WELL] {
            let bank = Bank {
                holding: [(5, 210)].into(),
                input: [(3, u16::from(unit) * 10)].into(),
                ..Bank::default()
            };
            units.insert(unit, bank);
        }
        let mut line = Self {
            link: directory.join("rs485"),
            units,
            behaviour: Arc::new(Mutex::new(Behaviour::Answer)),
            serving: None,
        };
        line.replug();
        line
    }

    fn replug(&mut self) {
        let behaviour = Arc::clone(&self.behaviour);
        let script = move |seen: &Seen| {
            if seen.unit == SICK {
                behaviour.lock().unwrap().clone()
            } else {
                Behaviour::Answer
            }
        };
        let (units, link) = (self.units.clone(), self.link.clone());
        let (opened, is_open) = mpsc::channel();
        let (unplug, unplugged) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let pty = Pty::open_linked(&link).unwrap();
                opened.send(()).unwrap();
                tokio::select! {
                    // Whichever way it ends, the line is cut.
                    _ = modbus::serve(pty, Framing::Rtu, units, script) => {}
                    _ = unplugged => {}
                }
            });
        });
        is_open.recv().unwrap();
        self.serving = Some((unplug, thread));
    }

    fn unplug(&mut self) {
        let (unplug, thread) = self.serving.take().unwrap();
        // It may have ended by itself.
        let _ = unplug.send(());
        thread.join().unwrap();
    }

    fn becomes(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }
}

fn start(directory: &Path, line: &Line, server: &Server) -> Agent {
    let device = |name: &str, unit: u8, instance: u8| {
        format!(
            r#"
[device.{name}]
adapter = "modbus"
bus = "rs485"
unit = {unit}
timeout_ms = 100
retries = 0
offline_after = 2
probe = {{ first_s = 1, max_s = 1 }}
[device.{name}.point.air]
resource = "/3303/{instance}/5700"
read = {{ table = "input", at = 3, type = "i16" }}
scale = 0.1
poll_s = 0.2
[device.{name}.point.setpoint]
resource = "/3308/{instance}/5900"
read = {{ table = "holding", at = 5, type = "i16" }}
write = {{ verify = "read_back" }}
scale = 0.1
poll_s = 0.2
"#
        )
    };
    let configuration = format!(
        r#"
[client]
endpoint = "tested"
[server.main]
uri = "coap://127.0.0.1:{}"
short_id = 101
security = {{ mode = "none" }}
allow_unsecured = true
[bus.rs485]
kind = "serial"
device = "{}"
line = "19200-8N1"
[device.lamps]
adapter = "gpio"
backend = "sim"
point.l1 = {{ line = "GPIO5", instance = "/3416/1" }}
{}{}"#,
        server.port(),
        line.link.display(),
        device("sick", SICK, 0),
        device("well", WELL, 1)
    );
    Agent::run(directory, &configuration, &[])
}

fn device<'a>(status: &'a Value, name: &str) -> &'a Value {
    let devices = status["devices"].as_array().map(Vec::as_slice);
    let found = devices
        .unwrap_or_default()
        .iter()
        .find(|device| device["name"] == name);
    found.unwrap_or(&Value::Null)
}

fn becomes(agent: &Agent, name: &str, state: &str) -> Value {
    agent.until(&["status"], SOON, |status| {
        device(status, name)["state"] == state
    })
}

/// How many errors of a kind the device has had.
fn errors(agent: &Agent, name: &str, kind: &str) -> u64 {
    let status = agent.json(&["status"]);
    device(&status, name)["errors"][kind]
        .as_u64()
        .unwrap_or_default()
}

/// Nobody else notices.
fn others_are_well(agent: &Agent) {
    let status = agent.json(&["status"]);
    assert_eq!(device(&status, "well")["state"], "online", "{status}");
    let point = agent.until(&["read", "well.air"], SOON, |point| {
        point["quality"] == "good"
    });
    assert_eq!(point["value"].as_f64(), Some(18.0), "{point}");
    for value in ["on", "off"] {
        let done = agent.cli(&[value, "lamps.l1"]);
        assert!(done.status.success(), "{done:?}");
    }
}

/// The last value is shown as what it is.
fn shown_as_stale(agent: &Agent) {
    let points = agent.until(&["points"], SOON, |points| {
        let points = points.as_array().map(Vec::as_slice).unwrap_or_default();
        points
            .iter()
            .any(|point| point["name"] == "sick.air" && point["quality"] == "stale")
    });
    let points = points.as_array().unwrap().clone();
    let point = points
        .iter()
        .find(|point| point["name"] == "sick.air")
        .unwrap();
    assert_eq!(point["value"].as_f64(), Some(17.0), "{point}");
    assert!(point["age_s"].as_f64() > Some(0.0), "{point}");
    let read = agent.cli(&["read", "sick.air"]);
    let words = String::from_utf8(read.stdout).unwrap();
    assert!(
        words.starts_with("17 ") && words.contains("stale"),
        "{words} {:?}",
        read.stderr
    );
}

#[test]
fn what_a_sick_device_does_is_told_and_disturbs_nobody() {
    let directory = scratch("device-sick");
    let mut server = Server::start();
    let line = Line::plug(&directory);
    let agent = start(&directory, &line, &server);
    server.accept();
    becomes(&agent, "sick", "online");
    agent.until(&["read", "sick.air"], SOON, |point| {
        point["value"].as_f64() == Some(17.0)
    });
    let mut id = 0x100;
    for (behaviour, error) in [
        (Behaviour::Mute, "timeout"),
        (Behaviour::Late(Duration::from_millis(350)), "timeout"),
        (Behaviour::HalfFrame, "garbled"),
        // Whole frames that are no answer: somebody else talks.
        (Behaviour::WrongUnit(WELL), "timeout"),
        (Behaviour::WrongUnit(99), "timeout"),
        (Behaviour::WrongCrc, "garbled"),
        (Behaviour::WrongLength, "timeout"),
        (Behaviour::Exception(0x0B), "exception_11"),
    ] {
        let before = errors(&agent, "sick", error);
        line.becomes(behaviour.clone());
        let status = becomes(&agent, "sick", "offline");
        let device = device(&status, "sick");
        assert!(
            !device["detail"].as_str().unwrap().is_empty(),
            "{behaviour:?}: {device}"
        );
        assert!(
            device["errors"][error].as_u64() > Some(before),
            "{behaviour:?}: {device}"
        );
        shown_as_stale(&agent);
        others_are_well(&agent);
        id += 1;
        let answer = server.ask(&Message::get(id, "/3303/0/5700"));
        assert_eq!(answer.code, 0xA4, "{behaviour:?}: {answer:?}");
        let refused = agent.cli(&["write", "sick.setpoint", "22"]);
        assert_eq!(refused.status.code(), Some(5), "{behaviour:?}: {refused:?}");
        // Whatever came through then, a command that was answered with an error is not repeated.
        line.units.with(SICK, |bank| bank.holding.insert(5, 210));
        line.becomes(Behaviour::Answer);
        becomes(&agent, "sick", "online");
        agent.until(&["read", "sick.air"], SOON, |point| {
            point["quality"] == "good"
        });
        id += 1;
        let answer = server.ask(&Message::get(id, "/3303/0/5700"));
        assert_eq!(
            (answer.code, answer.payload.as_slice()),
            (0x45, &b"17"[..]),
            "{answer:?}"
        );
        line.units.with(SICK, |bank| {
            assert_eq!(bank.holding[&5], 210, "{behaviour:?}")
        });
    }
    let log = std::fs::read_to_string(directory.join("log")).unwrap();
    let told = log
        .lines()
        .filter(|line| line.contains("state=Offline"))
        .count();
    assert_eq!(told, 8, "once per change:\n{log}");
    assert!(log.lines().count() < 150, "{log}");
    let table = agent.cli(&["devices"]);
    let words = String::from_utf8(table.stdout).unwrap();
    assert!(words.contains("exception_11 "), "{words}");
}

#[test]
fn a_device_that_only_refuses_is_no_lost_device() {
    let directory = scratch("device-refuses");
    let mut server = Server::start();
    let line = Line::plug(&directory);
    let agent = start(&directory, &line, &server);
    server.accept();
    agent.until(&["read", "sick.air"], SOON, |point| {
        point["quality"] == "good"
    });
    // Busy for long, then broken: it is there all the same.
    for code in [5, 6] {
        line.becomes(Behaviour::Exception(code));
        let kind = format!("exception_{code}");
        agent.until(&["status"], SOON, |status| {
            let sick = device(status, "sick");
            sick["errors"][&kind].as_u64() > Some(0) && sick["state"] == "suspect"
        });
        others_are_well(&agent);
        line.becomes(Behaviour::Answer);
        becomes(&agent, "sick", "online");
    }
    line.becomes(Behaviour::Exception(4));
    let status = agent.until(&["status"], SOON, |status| {
        let detail = &device(status, "sick")["detail"];
        detail
            .as_str()
            .is_some_and(|detail| detail.contains("exception") || detail.contains('4'))
    });
    assert_ne!(device(&status, "sick")["state"], "offline", "{status}");
    shown_as_stale(&agent);
    others_are_well(&agent);
    line.becomes(Behaviour::Answer);
    becomes(&agent, "sick", "online");
    agent.until(&["read", "sick.air"], SOON, |point| {
        point["quality"] == "good"
    });
}

#[test]
fn a_line_can_be_pulled_out_and_put_back() {
    let directory = scratch("device-unplugged");
    let mut server = Server::start();
    let mut line = Line::plug(&directory);
    let agent = start(&directory, &line, &server);
    server.accept();
    for round in 0..2 {
        for name in ["sick", "well"] {
            becomes(&agent, name, "online");
        }
        agent.until(&["read", "sick.air"], SOON, |point| {
            point["quality"] == "good"
        });
        // The first time in the middle of an answer.
        if round == 0 {
            line.becomes(Behaviour::CutOff);
            becomes(&agent, "sick", "offline");
            line.becomes(Behaviour::Answer);
        }
        line.unplug();
        for name in ["sick", "well"] {
            becomes(&agent, name, "offline");
        }
        shown_as_stale(&agent);
        let answer = server.ask(&Message::get(0x100 + round, "/3303/1/5700"));
        assert_eq!(answer.code, 0xA4, "{answer:?}");
        let lamp = server.ask(&Message {
            code: 3,
            payload: b"100".to_vec(),
            ..Message::get(0x200 + round, "/3416/1/1").option(12, &[])
        });
        assert_eq!(lamp.code, 0x44, "{lamp:?}");
        line.replug();
    }
    becomes(&agent, "sick", "online");
    let point = agent.until(&["read", "sick.air"], SOON, |point| {
        point["quality"] == "good"
    });
    assert_eq!(point["value"].as_f64(), Some(17.0));
}

#[test]
fn a_line_that_is_not_there_at_start_is_named_and_found_later() {
    let directory = scratch("device-missing");
    let mut server = Server::start();
    let mut line = Line::plug(&directory);
    line.unplug();
    let agent = start(&directory, &line, &server);
    server.accept();
    let status = becomes(&agent, "well", "offline");
    let detail = device(&status, "well")["detail"].as_str().unwrap();
    assert!(!detail.is_empty(), "{status}");
    // Never read is not the same as lost (design.md, 6).
    let answer = server.ask(&Message::get(0x100, "/3303/1/5700"));
    assert!([0xA3, 0xA4].contains(&answer.code), "{answer:?}");
    assert!(agent.cli(&["on", "lamps.l1"]).status.success());
    line.replug();
    becomes(&agent, "well", "online");
    others_are_well(&agent);
}
