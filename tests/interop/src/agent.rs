//! The agent as a user starts it.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{lines::Lines, target, write};

/// Between two questions to the same agent.
const PAUSE: Duration = Duration::from_millis(50);

/// Names below the directory of one test.
const CONFIGURATION: &str = "lamplighter.toml";
const LOG: &str = "log";

/// The program under test, built beside the tests.
pub fn program() -> PathBuf {
    beside("lamplighter")
}

/// A program of the workspace, built beside the tests.
pub fn beside(name: &str) -> PathBuf {
    let profile = std::env::current_exe()
        .ok()
        .and_then(|test| Some(test.ancestors().nth(2)?.to_owned()));
    let path = profile.unwrap_or_else(target).join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build -p lamplighter`",
        path.display()
    );
    path
}

/// A program that will run within a network namespace. Its process is its own: `ip` becomes it.
pub fn within(namespace: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// A running agent and the directories to talk to it.
#[derive(Debug)]
pub struct Agent {
    pub lines: Lines,
    pub state_dir: PathBuf,
    pub run_dir: PathBuf,
}

impl Agent {
    /// Starts `lamplighter ARGUMENTS… --state-dir … --run-dir …` below `directory`.
    pub fn start(directory: &Path, arguments: &[&str]) -> Self {
        let (state_dir, run_dir) = (directory.join("state"), directory.join("run"));
        for path in [&state_dir, &run_dir] {
            std::fs::create_dir_all(path).expect("the scratch directory can be written");
        }
        let mut command = Command::new(program());
        command
            .args(arguments)
            .arg("--state-dir")
            .arg(&state_dir)
            .arg("--run-dir")
            .arg(&run_dir);
        Self {
            lines: Lines::start(&mut command),
            state_dir,
            run_dir,
        }
    }

    /// Starts `lamplighter run` with this configuration. What it logs goes to `DIRECTORY/log`, not
    /// to the test's standard error.
    pub fn run(directory: &Path, configuration: &str, arguments: &[&str]) -> Self {
        write(&directory.join(CONFIGURATION), configuration);
        Self::rerun(directory, arguments)
    }

    /// As [`Self::run`], with variables of the environment.
    pub fn run_with(
        directory: &Path,
        configuration: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        write(&directory.join(CONFIGURATION), configuration);
        Self::rerun_with(directory, arguments, environment)
    }

    /// As [`Self::run`], by a command that ends in [`program`].
    pub fn run_by(command: Command, directory: &Path, configuration: &str) -> Self {
        write(&directory.join(CONFIGURATION), configuration);
        Self::begin(command, directory, &[], &[])
    }

    /// Starts `lamplighter run` with the files that are there.
    pub fn rerun(directory: &Path, arguments: &[&str]) -> Self {
        Self::rerun_with(directory, arguments, &[])
    }

    fn rerun_with(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::begin(Command::new(program()), directory, arguments, environment)
    }

    fn begin(
        mut command: Command,
        directory: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let log = File::options()
            .append(true)
            .create(true)
            .open(directory.join(LOG))
            .expect("the scratch directory can be written");
        let (state_dir, run_dir) = (directory.join("state"), directory.join("run"));
        command
            .arg("run")
            .args(arguments)
            .arg("--config")
            .arg(directory.join(CONFIGURATION))
            .arg("--state-dir")
            .arg(&state_dir)
            .arg("--run-dir")
            .arg(&run_dir)
            .envs(environment.iter().copied())
            .stderr(log);
        Self {
            lines: Lines::start(&mut command),
            state_dir,
            run_dir,
        }
    }

    /// Waits until the server has answered the registration.
    pub fn registered(&self, within: Duration) {
        self.until(&["status"], within, |status| {
            status["servers"][0]["state"] == "registered"
        });
    }

    /// Waits until all servers of these names have answered the registration.
    pub fn registered_with(&self, names: &[&str], within: Duration) {
        self.until(&["server", "list"], within, |servers| {
            let servers = servers.as_array().map(Vec::as_slice).unwrap_or_default();
            names.iter().all(|name| {
                let is_registered =
                    |server: &Value| server["name"] == *name && server["state"] == "registered";
                servers.iter().any(is_registered)
            })
        });
    }

    /// Waits until the log has a line with all these words.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test against a real process waits in real time"
    )]
    pub fn logged(&self, words: &[&str], within: Duration) {
        let path = self.state_dir.with_file_name(LOG);
        let deadline = Instant::now() + within;
        loop {
            let log = std::fs::read_to_string(&path).unwrap_or_default();
            let fits = |line: &str| words.iter().all(|word| line.contains(word));
            if log.lines().any(fits) {
                return;
            }
            assert!(Instant::now() < deadline, "{words:?} are not in {log}");
            std::thread::park_timeout(PAUSE);
        }
    }

    /// Posts to a call of the local API that has no command yet; the answer's status.
    pub fn post(&self, call: &str, body: &str) -> u16 {
        let mut socket = UnixStream::connect(self.run_dir.join("control.sock"))
            .expect("the agent has a control socket");
        write!(
            socket,
            "POST /api/v1/{call} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .expect("the agent listens");
        let mut answer = String::new();
        socket
            .read_to_string(&mut answer)
            .expect("the agent answers");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        status.unwrap_or_else(|| panic!("{answer}"))
    }

    /// Runs a command of the same program against this agent.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        Command::new(program())
            .args(arguments)
            .arg("--run-dir")
            .arg(&self.run_dir)
            .output()
            .expect("the program can be started")
    }

    /// What a command prints with `--json`.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.cli(&[arguments, &["--json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!(
                "{arguments:?}: {error} in {text}{}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    /// Asks until the answer fits; the last answer is in the panic where none does.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test against a real process waits in real time"
    )]
    pub fn until(
        &self,
        arguments: &[&str],
        within: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + within;
        loop {
            let output = self.cli(&[arguments, &["--json"]].concat());
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            if fits(&answer) {
                return answer;
            }
            assert!(
                Instant::now() < deadline,
                "{arguments:?} did not answer as awaited within {within:?}: {answer} {}",
                String::from_utf8_lossy(&output.stderr)
            );
            // Each question starts a process: leave the agent some of the machine.
            std::thread::park_timeout(PAUSE);
        }
    }
}
