//! The agent managed by lwm2m-node-lib, a server that shares no code with Leshan: LwM2M 1.0, text.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{process::Command, time::Duration};

use lamplighter_interop::{
    agent::Agent,
    lines::Lines,
    peers, root, scratch,
    station::{COUNT, LAMP, LAMP_LEVEL, Plant, SETPOINT, SWITCH, configuration, number},
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

struct Witness {
    lines: Lines,
    agent: Agent,
    plant: Plant,
    endpoint: &'static str,
    registered: Value,
    /// Events that came while an answer was awaited.
    events: Vec<Value>,
}

impl Witness {
    fn start(name: &'static str) -> Self {
        let script = root().join("tests/interop/peers/node/server.js");
        let mut command = Command::new("node");
        let lines = Lines::start(command.arg(script).arg(peers().join("node")));
        let ready: Value = lines
            .hear(SOON)
            .map(|line| serde_json::from_str(&line).unwrap())
            .expect("lwm2m-node-lib starts: `make peers` installs it");
        let plant = Plant::start();
        let uri = format!("coap://127.0.0.1:{}", ready["port"]);
        let file = configuration(name, &uri, "version = \"1.0\"", &plant, "");
        let agent = Agent::run(&scratch(name), &file, &[]);
        let mut witness = Self {
            lines,
            agent,
            plant,
            endpoint: name,
            registered: Value::Null,
            events: Vec::new(),
        };
        witness.registered = witness.event(|event| event["event"] == "registered");
        witness.agent.registered(SOON);
        witness
    }

    fn hear(&self) -> Value {
        let line = self.lines.hear(SOON);
        let line = line.unwrap_or_else(|| panic!("nothing more than {:?}", self.events));
        serde_json::from_str(&line).unwrap()
    }

    fn event(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.events.iter().position(&fits) {
            return self.events.remove(at);
        }
        loop {
            let line = self.hear();
            if fits(&line) {
                return line;
            }
            self.events.push(line);
        }
    }

    fn ask(&mut self, mut command: Value) -> Value {
        command["id"] = json!(1);
        command["endpoint"] = json!(self.endpoint);
        self.lines.say(&command.to_string());
        self.event(|line| line["id"] == 1)
    }

    fn read(&mut self, path: &str) -> Value {
        let answer = self.ask(json!({"do": "read", "path": path}));
        assert!(answer["error"].is_null(), "{path}: {answer}");
        answer["content"].clone()
    }

    fn write(&mut self, path: &str, value: &str) {
        let answer = self.ask(json!({"do": "write", "path": path, "value": value}));
        assert!(answer["error"].is_null(), "{path}: {answer}");
    }
}

#[test]
fn witness_takes_the_registration_and_its_end() {
    let mut witness = Witness::start("witness-register");
    assert_eq!(witness.registered["version"], "1.0");
    assert_eq!(witness.registered["lifetime"], "3600");
    let links = witness.registered["links"].as_str().unwrap();
    assert!(
        links.contains("</3/0>") && links.contains("</3416/8>"),
        "{links}"
    );
    assert_eq!(witness.agent.lines.signal("TERM"), Some(0));
    witness.event(|event| event["event"] == "deregistered");
}

#[test]
fn witness_reads_and_discovers() {
    let mut witness = Witness::start("witness-read");
    assert_eq!(witness.read("/3/0/17"), "gateway");
    assert_eq!(witness.read("/1/0/1"), "3600");
    assert_eq!(witness.read(SWITCH), "0");
    let refused = witness.ask(json!({"do": "read", "path": "/3/0/4"}));
    assert!(!refused["error"].is_null(), "{refused}");
    let missing = witness.ask(json!({"do": "read", "path": "/3/0/50"}));
    assert!(!missing["error"].is_null(), "{missing}");
    let attributes =
        json!({"do": "attributes", "path": COUNT, "attributes": {"pmin": 1, "pmax": 60}});
    assert!(witness.ask(attributes)["error"].is_null());
    let links = witness.ask(json!({"do": "discover", "path": "/3305/0"}))["content"].clone();
    assert!(
        links
            .as_str()
            .unwrap()
            .contains("</3305/0/5800>;pmin=1;pmax=60"),
        "{links}"
    );
}

#[test]
fn witness_writes_and_executes() {
    let mut witness = Witness::start("witness-write");
    witness.write(SETPOINT, "21.5");
    assert!((number(&witness.read(SETPOINT)) - 21.5).abs() < 1e-6);
    witness.write(LAMP, "100");
    assert_eq!(witness.read(LAMP_LEVEL), "100");
    witness.write("/1/0/1", "120");
    witness.event(|event| event["event"] == "updated" && event["lifetime"] == "120");
    let update = witness.ask(json!({"do": "execute", "path": "/1/0/8", "value": ""}));
    assert!(update["error"].is_null(), "{update}");
    witness.event(|event| event["event"] == "updated");
}

#[test]
fn witness_is_notified_until_it_cancels() {
    let mut witness = Witness::start("witness-observe");
    let observed = witness.ask(json!({"do": "observe", "path": COUNT}));
    assert!(observed["error"].is_null(), "{observed}");
    for count in 1..=5 {
        witness.plant.counted(&witness.agent, count);
        witness.event(|event| {
            event["event"] == "notification"
                && event["path"] == COUNT
                && number(&event["content"]) == f64::from(count)
        });
    }
    let cancelled = witness.ask(json!({"do": "cancel", "path": COUNT}));
    assert!(cancelled["error"].is_null(), "{cancelled}");
}
