//! A real Leshan server, driven line by line (`peers/leshan/LeshanPeer.java`).

use std::{
    collections::VecDeque,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{lines::Lines, peers};

/// How long a JVM may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Longer than the peer's own request time-out.
const ANSWER: Duration = Duration::from_secs(30);

/// A running server.
#[derive(Debug)]
pub struct Leshan {
    lines: Lines,
    /// Events that came while an answer was awaited.
    events: VecDeque<Value>,
    next_id: u32,
    /// `coap://127.0.0.1:PORT`
    pub uri: String,
}

impl Leshan {
    /// Starts a server on a free port; `models` is a folder of object definitions (DDF XML).
    pub fn start(models: Option<&Path>) -> Self {
        let home = peers().join("leshan");
        assert!(
            home.join("classes").exists(),
            "no Leshan in {}: run `make peers`",
            home.display()
        );
        let classes = format!("{0}/lib/*:{0}/classes", home.display());
        let mut java = Command::new("java");
        java.args(["-Xmx256m", "-cp", &classes, "LeshanPeer", "0"]);
        java.arg(models.unwrap_or_else(|| Path::new("-")));
        let lines = Lines::start(&mut java);
        let mut server = Self {
            lines,
            events: VecDeque::new(),
            next_id: 0,
            uri: String::new(),
        };
        let started = server.event(START, |event| event["event"] == "started");
        started["uri"]
            .as_str()
            .expect("the peer says its URI")
            .clone_into(&mut server.uri);
        server
    }

    /// Sends one request to a client and waits for the answer: `{"code", "content", "links" …}`.
    pub fn ask(&mut self, endpoint: &str, mut command: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        command["id"] = json!(id);
        command["endpoint"] = json!(endpoint);
        self.lines.say(&command.to_string());
        self.until(ANSWER, |line| line["id"] == id)
    }

    pub fn read(&mut self, endpoint: &str, path: &str, format: Option<&str>) -> Value {
        self.ask(
            endpoint,
            json!({"do": "read", "path": path, "format": format}),
        )
    }

    /// Writes a single resource; `kind` is a data type as the peer names them.
    pub fn write(
        &mut self,
        endpoint: &str,
        path: &str,
        format: &str,
        kind: &str,
        value: Value,
    ) -> Value {
        self.ask(
            endpoint,
            json!({"do": "write", "path": path, "format": format, "type": kind, "value": value}),
        )
    }

    /// The first event that fits, among those that came and those to come.
    pub fn event(&mut self, within: Duration, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.events.iter().position(&fits) {
            return self.events.remove(at).expect("the position was just found");
        }
        self.until(within, fits)
    }

    /// Forgets the events that came so far.
    pub fn forget_events(&mut self) {
        while let Some(line) = self.lines.hear(Duration::ZERO) {
            drop(line);
        }
        self.events.clear();
    }

    /// The first line that fits; other events are kept for later.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test against a real server waits in real time"
    )]
    fn until(&mut self, within: Duration, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self
                .lines
                .hear(left)
                .unwrap_or_else(|| panic!("Leshan did not say it within {within:?}"));
            let value: Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
            if fits(&value) {
                return value;
            }
            if !value["event"].is_null() {
                self.events.push_back(value);
            }
        }
    }
}
