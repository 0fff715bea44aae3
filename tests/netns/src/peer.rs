//! Small programs that run in namespaces (`bin/netns-peer.rs`).

use std::time::Duration;

use lamplighter_interop::{agent::beside, lines::Lines};

use crate::{namespace::Namespace, wait::SOON};

/// Longer than the program itself waits for an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// One that runs, until it is dropped.
#[derive(Debug)]
pub struct Peer {
    lines: Lines,
}

impl Peer {
    /// Ready when this returns.
    pub fn start(namespace: &Namespace, arguments: &[&str]) -> Self {
        let mut command = namespace.command(beside("netns-peer"));
        let lines = Lines::start(command.args(arguments));
        let ready = lines.hear(SOON);
        assert_eq!(ready.as_deref(), Some("ready"), "netns-peer {arguments:?}");
        Self { lines }
    }

    /// What it answers to a line.
    pub fn ask(&mut self, line: &str) -> String {
        self.lines.say(line);
        self.lines.hear(ANSWER).expect("the peer answers")
    }
}
