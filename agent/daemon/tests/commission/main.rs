//! Commands with which people put devices to work, at simulated devices: through a running agent, and
//! without one.
#![cfg(feature = "demo")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod gpio;
mod meter;
mod modbus;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::Value as Json;

/// Each starts the program once.
const TRIES: u32 = 500;

/// A directory with a configuration, and where an agent keeps its things.
struct Place(PathBuf);

struct Agent(Child);

struct Said {
    exit: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("commission-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn configure(&self, text: &str) {
        let mut file = fs::File::create(self.0.join("lamplighter.toml")).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lamplighter"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.0.join("lamplighter.toml"))
            .arg("--run-dir")
            .arg(&self.0)
            .arg("--state-dir")
            .arg(self.0.join("state"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments).output().unwrap();
        Said {
            exit: status.code().unwrap(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    fn json(&self, arguments: &[&str]) -> Json {
        let said = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(said.exit, 0, "{arguments:?} {} {}", said.out, said.err);
        serde_json::from_str(&said.out).unwrap()
    }

    /// An agent that has a value of this point.
    fn agent(&self, point: &str) -> Agent {
        let mut child = self
            .command(&["run"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut lines = log.lines();
        assert!(lines.any(|line| line.unwrap().contains("Started")));
        // What else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let answers = || self.run(&["read", point]).exit == 0;
        assert!((0..TRIES).any(|_| answers()), "the device never answers");
        Agent(child)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
