//! Real Leshan servers, driven line by line (`peers/leshan`). All servers of one version share one
//! Java process per test program; each has a port of its own.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead as _, BufReader, Write as _},
    process::{ChildStdin, Command, Stdio},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    agent::{program, within},
    peers, scratch,
    station::definitions,
    write,
};

/// How long a Java process may take to start on a busy machine.
const START: Duration = Duration::from_secs(90);

/// Longer than the peer's own request time-out.
const ANSWER: Duration = Duration::from_secs(30);

/// Where Java runs; none: where the test does.
static NAMESPACE: OnceLock<String> = OnceLock::new();

/// Which Leshan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// The bootstrap server of 2.0.0-M15 (`peers/leshan/bootstrap`).
    Bootstrap,
    /// 2.0.0-M18: LwM2M 1.1, refuses 1.2 with 4.12.
    M18,
    /// 2.0.0-M15: LwM2M 1.1, takes whatever version a client names.
    M15,
    /// 1.5.0: LwM2M 1.0.
    V1,
}

impl Version {
    const fn name(self) -> &'static str {
        match self {
            Self::M18 => "2.0.0-M18",
            Self::Bootstrap | Self::M15 => "2.0.0-M15",
            Self::V1 => "1.5.0",
        }
    }

    /// The program that opens such servers.
    const fn front(self) -> &'static str {
        match self {
            Self::Bootstrap => "BootstrapPeer",
            Self::M18 | Self::M15 | Self::V1 => "LeshanPeer",
        }
    }

    fn java(self) -> &'static Java {
        static BOOTSTRAP: OnceLock<Java> = OnceLock::new();
        static M18: OnceLock<Java> = OnceLock::new();
        static M15: OnceLock<Java> = OnceLock::new();
        static V1: OnceLock<Java> = OnceLock::new();
        let java = match self {
            Self::Bootstrap => &BOOTSTRAP,
            Self::M18 => &M18,
            Self::M15 => &M15,
            Self::V1 => &V1,
        };
        java.get_or_init(|| Java::start(self))
    }
}

/// A running Java process; it ends when its input does, with the test program.
#[derive(Debug)]
struct Java {
    input: Mutex<ChildStdin>,
    servers: &'static Mutex<Servers>,
    next: AtomicU32,
}

/// Where the lines of each server go.
type Servers = BTreeMap<u64, mpsc::Sender<Value>>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Java {
    fn start(version: Version) -> Self {
        let home = peers().join(format!("leshan-{}", version.name()));
        assert!(
            home.join("stamp").exists(),
            "no Leshan in {}: run `make peers`",
            home.display()
        );
        let models = scratch(&format!("models-{version:?}"));
        let exported = Command::new(program())
            .args(["objects", "export"])
            .arg(&models)
            .stdout(Stdio::null())
            .status();
        assert!(exported.is_ok_and(|status| status.success()));
        for (name, definition) in definitions() {
            write(&models.join(name), definition);
        }
        let mut command = NAMESPACE
            .get()
            .map_or_else(|| Command::new("java"), |name| within(name, "java"));
        let mut child = command
            .args([
                "-Xmx512m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-cp",
            ])
            .arg(format!("{0}/lib/*:{0}/classes", home.display()))
            .arg(version.front())
            .arg(&models)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Java can be started");
        let (ready, started) = mpsc::channel();
        let input = child.stdin.take().expect("stdin is piped");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let servers: &'static Mutex<Servers> = Box::leak(Box::default());
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let line: Value =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
                let Some(server) = line["server"].as_u64() else {
                    let _ = ready.send(());
                    continue;
                };
                // A server that its test has dropped is not heard any more.
                if let Some(hearer) = locked(servers).get(&server) {
                    let _ = hearer.send(line);
                }
            }
            let _ = child.wait();
        });
        started.recv_timeout(START).expect("Leshan starts");
        Self {
            input: Mutex::new(input),
            servers,
            next: AtomicU32::new(1),
        }
    }

    fn say(&self, command: &Value) {
        let mut input = locked(&self.input);
        writeln!(input, "{command}")
            .and_then(|()| input.flush())
            .expect("Leshan listens");
    }
}

/// A running server.
#[derive(Debug)]
pub struct Leshan {
    java: &'static Java,
    server: u32,
    lines: mpsc::Receiver<Value>,
    /// Events that came while an answer was awaited.
    events: VecDeque<Value>,
    next_id: u32,
    /// `coap://127.0.0.1:PORT`
    pub uri: String,
    /// Of all ports that were asked for, the first of which is [`Self::uri`].
    pub uris: Vec<String>,
}

impl Leshan {
    /// Opens a server on a free port; it knows our objects.
    pub fn start(version: Version) -> Self {
        Self::start_with(version, json!({}))
    }

    /// From now on Java runs within this network namespace; to be said before the first server is opened.
    pub fn live_in(namespace: &str) {
        let _ = NAMESPACE.set(namespace.to_owned());
    }

    /// With `awake_ms`, how long a client in queue mode counts as awake, `endpoints` (`coap`, `coaps`,
    /// one port each), their `hosts` (default: 127.0.0.1), `properties` of Californium and Scandium by their names, and for `coaps`
    /// `identity` and `trust` (`peers/leshan/v2/Security.java`).
    pub fn start_with(version: Version, mut settings: Value) -> Self {
        let java = version.java();
        let server = java.next.fetch_add(1, Ordering::Relaxed);
        let (hearer, lines) = mpsc::channel();
        locked(java.servers).insert(u64::from(server), hearer);
        let mut leshan = Self {
            java,
            server,
            lines,
            events: VecDeque::new(),
            next_id: 0,
            uri: String::new(),
            uris: Vec::new(),
        };
        settings["do"] = json!("open");
        let opened = leshan.command(settings);
        let uris = opened["uris"].as_array();
        let uris = uris.unwrap_or_else(|| panic!("{opened}")).iter();
        leshan.uris = uris
            .map(|uri| uri.as_str().expect("a URI is text").to_owned())
            .collect();
        leshan.uri.clone_from(&leshan.uris[0]);
        leshan
    }

    /// Closes the port and forgets all registrations and observations.
    pub fn stop(&mut self) {
        self.done(json!({"do": "stop"}));
    }

    /// Opens the same port again.
    pub fn resume(&mut self) {
        self.done(json!({"do": "start"}));
    }

    fn done(&mut self, command: Value) {
        let answer = self.command(command);
        assert!(answer["error"].is_null(), "{answer}");
    }

    /// Sends one request to a client and waits for the answer: `{"code", "content", "links" …}`.
    #[track_caller]
    pub fn ask(&mut self, endpoint: &str, mut command: Value) -> Value {
        command["endpoint"] = json!(endpoint);
        self.command(command)
    }

    /// Sends one request without waiting; what comes is got by [`Self::answer`].
    pub fn begin(&mut self, endpoint: &str, mut command: Value) -> u32 {
        command["endpoint"] = json!(endpoint);
        self.say(command)
    }

    #[track_caller]
    pub fn answer(&mut self, id: u32) -> Value {
        self.event(ANSWER, |line| line["id"] == id)
    }

    #[track_caller]
    fn command(&mut self, command: Value) -> Value {
        let id = self.say(command);
        self.answer(id)
    }

    fn say(&mut self, mut command: Value) -> u32 {
        self.next_id += 1;
        command["id"] = json!(self.next_id);
        command["server"] = json!(self.server);
        self.java.say(&command);
        self.next_id
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
            json!({"do": "write", "path": path, "format": format, "node": [kind, value]}),
        )
    }

    /// The first event that fits, among those that came and those to come.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test against a real server waits in real time"
    )]
    #[track_caller]
    pub fn event(&mut self, within: Duration, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.events.iter().position(&fits) {
            return self.events.remove(at).expect("the position was just found");
        }
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!(
                    "Leshan did not say it within {within:?}, but {:#?}",
                    self.events
                );
            };
            if fits(&line) {
                return line;
            }
            self.events.push_back(line);
        }
    }

    /// The events that came so far, oldest first, and are forgotten.
    pub fn events(&mut self) -> Vec<Value> {
        while let Ok(line) = self.lines.try_recv() {
            self.events.push_back(line);
        }
        self.events.drain(..).collect()
    }

    /// Forgets the events that came so far.
    pub fn forget_events(&mut self) {
        drop(self.events());
    }
}

impl Drop for Leshan {
    fn drop(&mut self) {
        self.say(json!({"do": "close"}));
        locked(self.java.servers).remove(&u64::from(self.server));
    }
}
