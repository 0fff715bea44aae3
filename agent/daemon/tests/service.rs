//! The program as a service manager sees it: what it says by `NOTIFY_SOCKET`, and how it obeys signals.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::{UnixDatagram, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const CONFIG: &str = r#"
[client]
endpoint = "cab-17"
[device.t]
adapter = "sim"
[device.t.point.a]
resource = "/3303/0/5700"
"#;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program under a service manager that only listens.
struct Service {
    child: Child,
    directory: PathBuf,
    manager: UnixDatagram,
    socket: PathBuf,
}

impl Service {
    fn start(config: &str) -> Self {
        Self::start_with(config, &[])
    }

    fn start_with(config: &str, options: &[&str]) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("service-{}-{made}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        // The path of a socket has room for 107 bytes, wherever the project stands.
        let socket = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&socket);
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        put(&directory, config);
        let child = Command::new(env!("CARGO_BIN_EXE_lamplighter"))
            .arg("run")
            .args(options)
            .arg("--config")
            .arg(directory.join("lamplighter.toml"))
            .arg("--state-dir")
            .arg(directory.join("state"))
            .arg("--run-dir")
            .arg(&directory)
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "300000")
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("log")).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            directory,
            manager,
            socket,
        }
    }

    /// The next message that begins with this; those before it are given too.
    fn until(&self, begin: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let mut buffer = [0; 512];
            let length = self.manager.recv(&mut buffer).unwrap();
            heard.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            if heard.last().unwrap().starts_with(begin) {
                return heard;
            }
        }
    }

    /// What the command line says of the running agent.
    fn ask(&self, words: &[&str]) -> String {
        let said = Command::new(env!("CARGO_BIN_EXE_lamplighter"))
            .args(words)
            .arg("--run-dir")
            .arg(&self.directory)
            .output()
            .unwrap();
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stdout).unwrap()
    }

    /// Answered once the files were looked at.
    fn reload(&self) {
        let mut stream = UnixStream::connect(self.directory.join("control.sock")).unwrap();
        let request =
            "POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

fn put(directory: &Path, config: &str) {
    let path = directory.join("lamplighter.toml");
    fs::File::create(path)
        .unwrap()
        .write_all(config.as_bytes())
        .unwrap();
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

#[test]
fn the_manager_hears_when_the_agent_runs_that_it_lives_and_when_it_stops() {
    let mut service = Service::start(CONFIG);
    let heard = service.until("WATCHDOG=1\n");
    assert_eq!(heard[0], "READY=1\n");
    assert!(
        heard.contains(&"STATUS=no server is known\n".to_owned()),
        "{heard:?}"
    );
    // Nothing happens at this site, and still the loop turns in time.
    service.until("WATCHDOG=1\n");
    service.until("WATCHDOG=1\n");
    service.signal(Signal::SIGTERM);
    service.until("STOPPING=1\n");
    assert_eq!(service.exit_code(), Some(0));
}

#[test]
fn the_manager_hears_of_a_reload_and_when_the_agent_runs_again() {
    let mut service = Service::start(CONFIG);
    service.until("READY=1\n");
    put(&service.directory, "[client]\nendpiont = \"cab-17\"\n");
    service.signal(Signal::SIGHUP);
    let heard = service.until("READY=1\n");
    let reloading = |message: &String| message.starts_with("RELOADING=1\nMONOTONIC_USEC=");
    assert!(heard.iter().any(reloading), "{heard:?}");
    // What runs goes on; with files in order it begins anew.
    put(&service.directory, &CONFIG.replace("device.t", "device.u"));
    service.signal(Signal::SIGHUP);
    let heard = service.until("READY=1\n");
    assert!(heard.iter().any(reloading), "{heard:?}");
    service.signal(Signal::SIGTERM);
    service.until("STOPPING=1\n");
    assert_eq!(service.exit_code(), Some(0));
    let log = fs::read_to_string(service.directory.join("log")).unwrap();
    let line = |words: &str| log.lines().position(|line| line.contains(words)).unwrap();
    assert!(line("endpiont") < line("Starting anew"), "{log}");
}

#[test]
fn the_manager_hears_why_the_agent_does_not_start() {
    let mut service = Service::start("[client]\nendpiont = \"cab-17\"\n");
    let heard = service.until("STATUS=");
    assert_eq!(heard, ["STATUS=the configuration has errors\n"]);
    assert_eq!(service.exit_code(), Some(3));
}

#[test]
fn a_reload_takes_nothing_back_of_what_was_commanded_and_never_ends_the_agent() {
    let bearer = "[bearer.lan]\nkind = \"ethernet\"\ninterface = \"none0\"\n";
    let mut service = Service::start_with(&[CONFIG, bearer].concat(), &["--strict"]);
    service.until("READY=1\n");
    let said = service.ask(&["offline", "--for", "2h"]);
    assert!(said.starts_with("offline for 2 h"), "{said}");
    service.reload();
    // Somebody makes an error after the files were found good: only the first start is strict.
    put(&service.directory, "[client]\nendpiont = \"cab-17\"\n");
    service.until("READY=1\n");
    let said = service.ask(&["bearer", "list"]);
    assert!(said.contains("offline for another 1 h 59"), "{said}");
    service.signal(Signal::SIGTERM);
    service.until("STOPPING=1\n");
    assert_eq!(service.exit_code(), Some(0));
    // What was counted is kept at the end.
    assert!(service.directory.join("state/bearers.cbor").exists());
    let log = fs::read_to_string(service.directory.join("log")).unwrap();
    assert!(log.contains("the last good one runs"), "{log}");
}
