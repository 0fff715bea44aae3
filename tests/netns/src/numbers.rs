//! Numbered samples: a program beside the agent counts up, the server must be told each number, or
//! the agent must say that it dropped some.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::wait::{self, SOON};

/// What the numbers are the values of.
pub const NUMBER: &str = "/3303/0/5700";

/// A program that serves the device `numbers`, on a thread that ends when dropped.
#[derive(Debug)]
pub struct Numbers {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The newest that the agent was told.
    last: AtomicU32,
    /// Nothing is counted for now.
    rests: AtomicBool,
    ended: AtomicBool,
}

impl Numbers {
    /// Counts as soon as the agent has welcomed the program, one number each `pace`.
    pub fn start(run_dir: &Path, pace: Duration) -> Self {
        Self::go_on(run_dir, pace, 0)
    }

    /// As [`Self::start`], behind this number.
    pub fn go_on(run_dir: &Path, pace: Duration, last: u32) -> Self {
        let shared = Arc::new(Shared {
            last: AtomicU32::new(last),
            ..Shared::default()
        });
        let mut program = Program::start(&run_dir.join("adapters.sock"));
        let counted = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            while !counted.ended.load(Ordering::Relaxed) {
                if !counted.rests.load(Ordering::Relaxed) {
                    let number = counted.last.load(Ordering::Relaxed) + 1;
                    if program.tell(number).is_err() {
                        return; // the agent has ended
                    }
                    counted.last.store(number, Ordering::Relaxed);
                }
                wait::pass(pace);
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    pub fn last(&self) -> u32 {
        self.shared.last.load(Ordering::Relaxed)
    }

    pub fn rest(&self, rests: bool) {
        self.shared.rests.store(rests, Ordering::Relaxed);
    }

    /// Counts no more, and gives the last number.
    pub fn end(&mut self) -> u32 {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the program did not panic");
        }
        self.last()
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

/// The other end of `adapters.sock`.
struct Program {
    lines: BufReader<UnixStream>,
}

impl Program {
    fn start(path: &Path) -> Self {
        let connect = || UnixStream::connect(path).ok();
        let socket = wait::until("socket for programs", SOON, connect);
        socket.set_read_timeout(Some(SOON)).unwrap();
        let mut program = Self {
            lines: BufReader::new(socket),
        };
        let hello = json!({"type": "hello", "version": 1, "device": "numbers"});
        program.say(&hello).expect("the agent listens");
        let mut line = String::new();
        program
            .lines
            .read_line(&mut line)
            .expect("the agent answers");
        assert!(line.contains("welcome"), "{line}");
        program
    }

    fn tell(&mut self, number: u32) -> std::io::Result<()> {
        let sample = json!({"path": NUMBER, "value": number});
        self.say(&json!({"type": "samples", "samples": [sample]}))
    }

    fn say(&mut self, line: &Value) -> std::io::Result<()> {
        self.lines
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
    }
}

/// What a server was told, and when first.
#[derive(Debug, Default)]
pub struct Ledger {
    told: BTreeMap<u32, Instant>,
    repeated: u32,
}

impl Ledger {
    /// Whether the event brings numbers.
    pub fn concerns(event: &Value) -> bool {
        let name = event["event"].as_str().unwrap_or_default();
        name == "send" || (name == "notification" && event["path"] == NUMBER)
    }

    pub fn note(&mut self, event: &Value) {
        let at = wait::now();
        let value_of = |content: &Value| match event["event"] == "send" {
            true => number(&content[NUMBER]),
            false => number(content),
        };
        let samples = event["samples"].as_array().into_iter().flatten();
        let told: Vec<u32> = samples
            .filter_map(|sample| value_of(&sample["content"]))
            .chain(value_of(&event["content"]))
            .collect();
        for number in told {
            if self.told.insert(number, at).is_some() {
                self.repeated += 1;
            }
        }
    }

    pub fn newest(&self) -> u32 {
        self.told.last_key_value().map_or(0, |(number, _)| *number)
    }

    pub fn missing(&self, up_to: u32) -> Vec<u32> {
        let all = self.first()..=up_to;
        all.filter(|number| !self.told.contains_key(number))
            .collect()
    }

    /// What was there before the server asked to be told is not owed to it.
    fn first(&self) -> u32 {
        self.told.first_key_value().map_or(1, |(number, _)| *number)
    }
}

fn number(value: &Value) -> Option<u32> {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    (number >= 1.0).then_some(number as u32)
}
