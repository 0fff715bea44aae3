//! A child process that speaks one line at a time, killed when dropped.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// A running child and the lines of its standard output.
#[derive(Debug)]
pub struct Lines {
    child: Child,
    input: Option<ChildStdin>,
    output: mpsc::Receiver<String>,
}

impl Lines {
    /// Starts the command with both pipes open; standard error stays the test's.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let input = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout is piped");
        let (lines, output) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            input,
            output,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes one line to the child, at once: some would take each part for a message.
    pub fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("stdin is open");
        input
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| input.flush())
            .expect("the child listens");
    }

    /// The next line within the time.
    pub fn hear(&self, within: Duration) -> Option<String> {
        self.output.recv_timeout(within).ok()
    }

    /// Closes the child's input and waits for its end.
    pub fn finish(mut self) -> Option<i32> {
        self.input = None;
        self.child.wait().ok()?.code()
    }

    /// The code of a child that has ended by itself.
    pub fn ended(mut self) -> Option<i32> {
        // Standard output closes a moment before the process is gone.
        let running =
            self.output.recv_timeout(Duration::ZERO) == Err(mpsc::RecvTimeoutError::Timeout);
        if running {
            return None;
        }
        self.child.wait().ok()?.code()
    }

    /// Ends the child with a signal (SIGTERM, SIGKILL …) and waits for it.
    pub fn signal(&mut self, name: &str) -> Option<i32> {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "cannot send {name}"
        );
        self.child.wait().ok()?.code()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
