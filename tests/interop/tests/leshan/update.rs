//! A new version by object 5, from a Leshan: pushed, or fetched from a CoAP or HTTP server that it names.
//! Whoever installs is the real `lamplighter-updater`, with a script in the place of dpkg.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
    thread,
    time::Duration,
};

use lamplighter_coap::{Code, ETag, Endpoint, Event, Params, Response};
use lamplighter_interop::{
    agent::{beside, program},
    scratch,
    station::{Setup, Station},
    write,
};
use lamplighter_updater::signer::Signer;
use serde_json::{Value, json};

/// Larger than what is held of any other body.
const SIZE: usize = 1_200_000;

/// A box with a key, and what installs there.
struct Rig {
    station: Station,
    /// Of the programs that are not the box's own.
    tools: PathBuf,
}

fn start(name: &'static str) -> Rig {
    let tools = scratch(&format!("{name}-tools"));
    let key = tools.join("update.pub");
    write(&key, Signer::new(1).public_key());
    let script = tools.join("image");
    let tables = format!(
        "[update]\nkey = {key:?}\ninstaller = \"script\"\ncommand = [{script:?}]\nprove_s = 0\n"
    );
    let station = Setup {
        tables,
        ..Setup::new(name)
    }
    .start();
    let run_dir = station.agent.run_dir.display();
    // Nobody starts the agent anew here, as a package does: it says that somebody has.
    let asks = format!(
        "#!/bin/sh\n{} --run-dir {run_dir} \"$@\" | sed 's/\"uptime_ms\": *[0-9]*/\"uptime_ms\": 0/'\n",
        program().display()
    );
    let installs = format!("#!/bin/sh\necho \"$@\" >>{}/calls\n", tools.display());
    for (path, text) in [(tools.join("lamplighter"), asks), (script, installs)] {
        write(&path, text);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    Rig { station, tools }
}

/// What is as large as a program, and its signature.
fn package() -> Vec<u8> {
    let image: Vec<u8> = (0..SIZE).map(|number| (number * 7 % 253) as u8).collect();
    Signer::new(1).pack("image", &image, "version:9.9 architecture:all")
}

impl Rig {
    fn state(&mut self) -> Value {
        self.station.content("/5/0/3")
    }

    #[track_caller]
    fn becomes(&mut self, state: u8, result: u8) {
        let is = json!([state, result]);
        let what = format!("state and result {is}");
        self.station.until(&what, |station| {
            json!([station.content("/5/0/3"), station.content("/5/0/5")]) == is
        });
    }

    fn push(&mut self, format: &str, package: &[u8]) -> i64 {
        let hex: String = package.iter().map(|byte| format!("{byte:02x}")).collect();
        self.station
            .code(json!({"do": "write", "path": "/5/0/0", "format": format,
            "node": ["opaque", hex], "timeout_ms": 60_000}))
    }

    fn execute(&mut self, path: &str) -> i64 {
        self.station.code(json!({"do": "execute", "path": path}))
    }

    /// As systemd does when the agent has left its request.
    fn install(&self) {
        let directory = &self.station.directory;
        let path = format!("{}:/usr/bin:/bin", self.tools.display());
        let done = Command::new(beside("lamplighter-updater"))
            .env("PATH", path)
            .arg("--config")
            .arg(directory.join("lamplighter.toml"))
            .arg("--state-dir")
            .arg(directory.join("state"))
            .arg("--own-dir")
            .arg(directory.join("state-updater"))
            .status();
        assert!(done.unwrap().success());
    }

    fn calls(&self) -> String {
        let calls = std::fs::read_to_string(self.tools.join("calls")).unwrap();
        let verbs = calls.lines().filter_map(|line| line.split(' ').next());
        verbs.collect::<Vec<_>>().join(" ")
    }

    /// From a package that is there to one that runs.
    fn is_installed(&mut self) {
        self.becomes(2, 0);
        assert_eq!(self.station.content("/5/0/7"), "9.9");
        assert_eq!(self.execute("/5/0/2"), 204);
        assert_eq!(self.state(), 3);
        assert_eq!(self.execute("/5/0/10"), 405);
        self.install();
        self.becomes(0, 1);
        assert_eq!(self.calls(), "install good");
    }
}

#[test]
fn leshan_update_a_package_is_pushed_by_blocks() {
    let mut update = start("update-push");
    assert_eq!(update.station.content("/5/0/9"), 2);
    assert_eq!(update.execute("/5/0/2"), 405);
    assert_eq!(update.push("OPAQUE", b"no package"), 204);
    update.becomes(0, 6);
    assert_eq!(update.push("TLV", &package()), 204);
    update.becomes(2, 0);
    assert_eq!(update.push("OPAQUE", &package()), 405);
    assert_eq!(update.push("OPAQUE", &[0]), 204);
    update.becomes(0, 0);
    assert_eq!(update.push("OPAQUE", &package()), 204);
    update.station.kill_and_restart();
    update.station.event("updated");
    update.is_installed();
}

#[test]
fn leshan_update_a_package_is_fetched_by_coap() {
    let mut update = start("update-coap");
    let uri = coap_server(package());
    assert_eq!(
        update.station.write("/5/0/1", "TEXT", "string", json!(uri)),
        204
    );
    update.is_installed();
}

#[test]
fn leshan_update_a_package_is_fetched_by_http_and_goes_on_after_a_break() {
    let mut update = start("update-http");
    let uri = http_server(package());
    assert_eq!(
        update.station.write("/5/0/1", "TEXT", "string", json!(uri)),
        204
    );
    update.is_installed();
    let nobody = "http://127.0.0.1:1/";
    assert_eq!(
        update
            .station
            .write("/5/0/1", "TEXT", "string", json!(nobody)),
        204
    );
    assert_eq!(update.state(), 1);
    assert_eq!(
        update
            .station
            .write("/5/0/1", "TEXT", "string", json!(nobody)),
        405
    );
    assert_eq!(update.execute("/5/0/10"), 204);
    update.becomes(0, 10);
}

/// Until the test ends.
fn coap_server(body: Vec<u8>) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let params = Params {
            max_body: 8 << 20,
            ..Params::default()
        };
        let mut endpoint = Endpoint::new(params, 1);
        let mut datagram = [0; 2048];
        for number in 0.. {
            let (length, from) = socket.recv_from(&mut datagram).unwrap();
            let now = Duration::from_millis(number);
            endpoint.handle_timeout(now);
            endpoint.receive(&datagram[..length], now);
            while let Some(event) = endpoint.poll_event() {
                if let Event::Request(key, _) = event {
                    let response = Response {
                        etag: ETag::new(b"one"),
                        ..Response::content(Code::CONTENT, 42, body.clone())
                    };
                    endpoint.respond(key, response, now);
                }
            }
            while let Some(answer) = endpoint.poll_transmit() {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    format!("coap://{address}/package")
}

/// Hangs up once, in the middle.
fn http_server(body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let total = body.len();
        for end in [total / 2, total] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut start = 0;
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let line = line.unwrap().to_lowercase();
                if let Some(range) = line.strip_prefix("range: bytes=") {
                    start = range.trim_end_matches('-').parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            let left = total - start;
            let status = if start == 0 { "200 OK" } else { "206 Part" };
            let head = format!(
                "HTTP/1.1 {status}\r\nETag: \"one\"\r\nContent-Length: {left}\r\n\
                 Content-Range: bytes {start}-{}/{total}\r\n\r\n",
                total - 1
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body[start..end]).unwrap();
        }
    });
    format!("http://{address}/package?of=box")
}
