//! Programs of the system that are asked or told something. Found by the PATH that the service gives.

use std::{
    io::{self, Read as _},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Longest that a question may take.
const QUESTION: Duration = Duration::from_secs(60);
/// Of each stream, what is kept of it.
const MAX_OUTPUT: u64 = 1 << 20;

/// What a program has said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) is_ok: bool,
    /// `None`: a signal has ended it.
    code: Option<i32>,
    pub(crate) output: String,
    /// The end of what it complained about.
    complaint: String,
}

impl Ran {
    pub(crate) fn succeeded(self) -> io::Result<Self> {
        if self.is_ok {
            return Ok(self);
        }
        Err(io::Error::other(self.complaint))
    }
}

/// Asks a program.
pub(crate) fn run(
    program: &str,
    arguments: impl FnOnce(&mut Command) -> &mut Command,
) -> io::Result<Ran> {
    run_within(program, arguments, QUESTION)
}

/// Runs a program to its end, which must come in time.
pub(crate) fn run_within(
    program: &str,
    arguments: impl FnOnce(&mut Command) -> &mut Command,
    time: Duration,
) -> io::Result<Ran> {
    let mut command = Command::new(program);
    arguments(&mut command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8");
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{program}: {error}"));
    let mut child = command.spawn().map_err(named)?;
    let output = child.stdout.take().map(heard);
    let complaint = child.stderr.take().map(heard);
    let status = ended(&mut child, time).map_err(named)?;
    let is_ok = status.success();
    let text = |heard: Option<thread::JoinHandle<String>>| {
        let text = heard.and_then(|heard| heard.join().ok());
        text.unwrap_or_default()
    };
    let (output, complaint) = (text(output), text(complaint));
    let lines: Vec<&str> = complaint.lines().chain(output.lines()).collect();
    let complaint = match (is_ok, lines.last()) {
        (true, _) => String::new(),
        (false, None) => format!("{program} failed"),
        (false, Some(_)) => {
            let first = lines.iter().find(|line| line.contains("error"));
            let line = first
                .or_else(|| lines.last())
                .map_or("", |line| line.trim());
            format!("{program}: {line}")
        }
    };
    Ok(Ran {
        is_ok,
        code: status.code(),
        output,
        complaint,
    })
}

/// Reads a stream to its end, on a thread so that no pipe gets full.
fn heard(mut stream: impl io::Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        // What is lost is only for people.
        let _ = (&mut stream).take(MAX_OUTPUT).read_to_end(&mut kept);
        let _ = io::copy(&mut stream, &mut io::sink());
        String::from_utf8_lossy(&kept).into_owned()
    })
}

fn ended(child: &mut Child, time: Duration) -> io::Result<ExitStatus> {
    let end = now() + time;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if now() >= end {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(pause);
        pause = (2 * pause).min(Duration::from_millis(100));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own, which waits for others"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Of this box, in Debian's words.
pub(crate) fn architecture() -> io::Result<String> {
    match run("dpkg", |command| command.arg("--print-architecture")) {
        Ok(ran) => Ok(ran.succeeded()?.output.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(built_for().to_owned()),
        Err(error) => Err(error),
    }
}

/// Where there is no dpkg.
const fn built_for() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else if cfg!(target_arch = "arm") {
        "armhf"
    } else {
        "amd64"
    }
}

/// By Debian's rules; where there is no dpkg, by the numbers in them.
pub(crate) fn is_older(version: &str, than: &str) -> io::Result<bool> {
    let compared = run("dpkg", |command| {
        command.args(["--compare-versions", version, "lt", than])
    });
    match compared {
        // dpkg(1): 1 is "no", 2 is an error.
        Ok(ran) if ran.code == Some(1) => Ok(false),
        Ok(ran) => ran.succeeded().map(|_| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(numbers(version) < numbers(than))
        }
        Err(error) => Err(error),
    }
}

fn numbers(version: &str) -> Vec<u64> {
    let parts = version.split(|letter: char| !letter.is_ascii_digit());
    parts.filter_map(|part| part.parse().ok()).collect()
}

/// The installed version of a package; `None` where it is not there, or not whole.
pub(crate) fn installed(package: &str) -> io::Result<Option<String>> {
    let ran = run("dpkg-query", |command| {
        command.args(["-W", "-f", "${db:Status-Status} ${Version}", package])
    })?;
    let version = ran.output.strip_prefix("installed ").map(str::to_owned);
    Ok(version.filter(|_| ran.is_ok))
}
