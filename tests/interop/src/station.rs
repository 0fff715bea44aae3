//! A box with lamps and a Modbus plant, at a Leshan of its own.

use std::{
    ffi::OsString,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use lamplighter_sim::modbus::{Bank, Behaviour, Framing, Seen, Units, serve_tcp};
use serde_json::{Value, json};

use crate::{
    agent::Agent,
    leshan::{Leshan, Version},
    relay::Relay,
    root, scratch, write,
};

pub const SOON: Duration = Duration::from_secs(30);

/// Lamps of every station: /3416/1 and so on.
pub const LAMPS: u16 = 8;

/// Between two looks at what a test waits for.
const PAUSE: Duration = Duration::from_millis(50);

/// Of the plant.
pub const UNIT: u8 = 17;
/// Registers and coils of the plant.
const COUNT_AT: u16 = 0;
const SETPOINT_AT: u16 = 2;
const SWITCH_AT: u16 = 0;

/// What the plant counts, set by the test; a new value is there within 0.1 s.
pub const COUNT: &str = "/3305/0/5800";
pub const SETPOINT: &str = "/3308/0/5900";
pub const SWITCH: &str = "/3306/0/5850";
pub const LAMP: &str = "/3416/1/1";
pub const LAMP_LEVEL: &str = "/3416/1/3";

/// All formats in which one value of any type can be read and written.
pub const SINGLE: [&str; 6] = ["TEXT", "TLV", "SENML_JSON", "SENML_CBOR", "CBOR", "JSON"];
/// Formats that hold more than one value.
pub const MANY: [&str; 4] = ["TLV", "SENML_JSON", "SENML_CBOR", "JSON"];

pub fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .or_else(|| value.as_str()?.parse().ok())
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// How a station is made; the name is its endpoint and its directory.
#[derive(Debug)]
pub struct Setup {
    pub name: &'static str,
    pub version: Version,
    /// Further lines of `[server.main]`.
    pub server: &'static str,
    /// Further tables.
    pub tables: String,
    /// See [`Leshan::start_with`].
    pub settings: Value,
    /// With a network that can be cut.
    pub relay: bool,
    /// What the box believes of objects, where that is not what the server does: text of a definition,
    /// and what stands there instead.
    pub believes: Option<(&'static str, &'static str)>,
}

impl Setup {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            version: Version::M18,
            server: "",
            tables: String::new(),
            settings: json!({}),
            relay: false,
            believes: None,
        }
    }

    /// Waits until the box is registered and all its points have values.
    pub fn start(self) -> Station {
        self.start_within(SOON)
    }

    /// For a box that has much to do before it registers.
    pub fn start_within(self, within: Duration) -> Station {
        let directory = scratch(self.name);
        let mut leshan = Leshan::start_with(self.version, self.settings.clone());
        let relay = self.relay.then(|| Relay::start(&leshan.uri));
        let plant = Plant::start();
        let uri = relay
            .as_ref()
            .map_or_else(|| leshan.uri.clone(), Relay::uri);
        define(&directory, self.believes);
        let file = configuration(self.name, &uri, self.server, &plant, &self.tables);
        let agent = Agent::run(&directory, &file, &[]);
        let registered = leshan.event(within, |event| event["event"] == "registered");
        agent.registered(SOON);
        let station = Station {
            leshan,
            agent,
            endpoint: self.name,
            registered,
            relay,
            plant,
            directory,
        };
        station.all_points_good();
        station
    }
}

/// The box `name` at the server `uri`, with further lines of `[server.main]` and further tables.
pub fn configuration(name: &str, uri: &str, server: &str, plant: &Plant, tables: &str) -> String {
    let lamps: String = (1..=LAMPS)
        .map(|lamp| {
            format!("point.l{lamp} = {{ line = \"GPIO{lamp}\", instance = \"/3416/{lamp}\" }}\n")
        })
        .collect();
    format!(
        r#"
[client]
endpoint = "{name}"
[server.main]
uri = "{uri}"
short_id = 101
security = {{ mode = "none" }}
allow_unsecured = true
{server}
[device.lamps]
adapter = "gpio"
backend = "sim"
{lamps}
[bus.plant]
kind = "tcp"
address = "127.0.0.1:{port}"
[device.plant]
adapter = "modbus"
bus = "plant"
unit = {UNIT}
timeout_ms = 2000
[device.plant.point.count]
resource = "{COUNT}"
read = {{ table = "holding", at = {COUNT_AT}, type = "u32" }}
unit = "W"
poll_s = 0.1
[device.plant.point.setpoint]
resource = "{SETPOINT}"
read = {{ table = "holding", at = {SETPOINT_AT}, type = "f32" }}
write = {{ verify = "read_back" }}
unit = "Cel"
poll_s = 0.5
limit = {{ min = -40.0, max = 60.0, on_violation = "reject" }}
[device.plant.point.switch]
resource = "{SWITCH}"
read = {{ table = "coil", at = {SWITCH_AT} }}
write = {{ verify = "read_back" }}
poll_s = 0.5
{tables}
"#,
        port = plant.port,
    )
}

/// Puts the definitions of our test objects beside the configuration of a box.
pub fn define(directory: &Path, believes: Option<(&str, &str)>) {
    for (name, definition) in definitions() {
        let mut definition = String::from_utf8(definition).unwrap();
        if let Some((text, instead)) = believes {
            definition = definition.replace(text, instead);
        }
        write(&directory.join("objects").join(name), definition);
    }
}

/// Definitions of objects that neither the box nor a server has, as files: name and content.
pub(crate) fn definitions() -> Vec<(OsString, Vec<u8>)> {
    let folder = root().join("tests/interop/peers/objects");
    let files = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    files
        .map(|file| (file.file_name(), std::fs::read(file.path()).unwrap()))
        .collect()
}

/// The Modbus slave behind a station.
#[derive(Debug)]
pub struct Plant {
    /// Milliseconds until it answers.
    late_ms: Arc<AtomicU64>,
    units: Units,
    port: u16,
}

impl Plant {
    /// Has all that [`configuration`] names.
    pub fn start() -> Self {
        let units = Units::default();
        let mut bank = Bank::default();
        bank.holding.extend((0..4).map(|register| (register, 0)));
        bank.coils.insert(SWITCH_AT, false);
        units.insert(UNIT, bank);
        Self::of(units)
    }

    /// Whatever units there are behind one TCP gateway.
    pub fn of(units: Units) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = units.clone();
        let late_ms = Arc::new(AtomicU64::new(0));
        let behaviour = {
            let late_ms = late_ms.clone();
            move |_: &Seen| Behaviour::Late(Duration::from_millis(late_ms.load(Ordering::Relaxed)))
        };
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let _ = serve_tcp(listener, Framing::Tcp, served, behaviour).await;
            });
        });
        Self {
            late_ms,
            units,
            port,
        }
    }

    /// From now on each answer takes so long.
    pub fn answer_after(&self, late: Duration) {
        let late_ms = u64::try_from(late.as_millis()).unwrap();
        self.late_ms.store(late_ms, Ordering::Relaxed);
    }

    pub const fn units(&self) -> &Units {
        &self.units
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Sets holding registers from this one on, whether they are there or not.
    pub fn set(&self, at: u16, registers: &[u16]) {
        self.units.with(UNIT, |bank| {
            bank.holding.extend((at..).zip(registers.iter().copied()));
        });
    }

    /// Sets what the plant counts.
    pub fn count(&self, count: u16) {
        self.units.with(UNIT, |bank| {
            bank.holding.insert(COUNT_AT + 1, count);
        });
    }

    /// Sets what the plant counts and waits until the box has seen it.
    pub fn counted(&self, agent: &Agent, count: u16) {
        self.count(count);
        agent.until(&["read", COUNT], SOON, |point| {
            point["value"].as_f64() == Some(f64::from(count))
        });
    }
}

/// A registered box.
#[derive(Debug)]
pub struct Station {
    pub leshan: Leshan,
    pub agent: Agent,
    pub endpoint: &'static str,
    /// The event of its first registration.
    pub registered: Value,
    relay: Option<Relay>,
    pub plant: Plant,
    pub directory: PathBuf,
}

impl Station {
    /// At Leshan 2.0.0-M18 with the defaults.
    pub fn start(name: &'static str) -> Self {
        Setup::new(name).start()
    }

    fn all_points_good(&self) {
        self.agent.until(&["points"], SOON, |points| {
            let points = points.as_array().map(Vec::as_slice).unwrap_or_default();
            points.len() >= 11 && points.iter().all(|point| point["quality"] == "good")
        });
    }

    pub fn ask(&mut self, command: Value) -> Value {
        self.leshan.ask(self.endpoint, command)
    }

    #[track_caller]
    pub fn code(&mut self, command: Value) -> i64 {
        let answer = self.ask(command.clone());
        answer["code"]
            .as_i64()
            .unwrap_or_else(|| panic!("no code in {answer} to {command}"))
    }

    pub fn read(&mut self, path: &str, format: Option<&str>) -> Value {
        self.leshan.read(self.endpoint, path, format)
    }

    /// What a Read brings, which must succeed.
    #[track_caller]
    pub fn content(&mut self, path: &str) -> Value {
        let answer = self.read(path, None);
        assert_eq!(answer["code"], 205, "{path}: {answer}");
        answer["content"].clone()
    }

    /// Writes a resource or resource instance; the code.
    #[track_caller]
    pub fn write(&mut self, path: &str, format: &str, kind: &str, value: Value) -> i64 {
        self.code(json!({"do": "write", "path": path, "format": format, "node": [kind, value]}))
    }

    /// Waits for an event of this name.
    #[track_caller]
    pub fn event(&mut self, name: &str) -> Value {
        self.leshan.event(SOON, |event| event["event"] == name)
    }

    pub fn relay(&self) -> &Relay {
        self.relay.as_ref().expect("the setup asked for a relay")
    }

    /// Sets what the plant counts.
    pub fn count(&self, count: u16) {
        self.plant.count(count);
    }

    /// Sets what the plant counts and waits until the box has seen it.
    pub fn counted(&self, count: u16) {
        self.plant.counted(&self.agent, count);
    }

    /// Asks again and again until it is so.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test against a real server waits in real time"
    )]
    #[track_caller]
    pub fn until(&mut self, what: &str, is_so: impl Fn(&mut Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !is_so(self) {
            assert!(
                Instant::now() < deadline,
                "{what} did not come within {SOON:?}"
            );
            thread::park_timeout(PAUSE);
        }
    }

    /// Ends the agent as a power cut does, and starts it again.
    pub fn kill_and_restart(&mut self) {
        self.agent.lines.signal("KILL");
        self.agent = Agent::rerun(&self.directory, &[]);
    }
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "times of the agent are compared with the machine's"
)]
pub fn unix_now() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs_f64()
}
