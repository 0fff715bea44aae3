//! The way to a line: through the agent that runs, or by opening its port.

use std::{
    net::ToSocketAddrs as _,
    path::{Path, PathBuf},
    time::Duration,
};

use lamplighter_model::tables;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{runtime::Runtime, time::timeout};

use super::{
    super::client::{Client, target},
    port,
};
use crate::{
    cli::{
        args::{Global, ModbusPort},
        exit::{Exit, Failure},
    },
    clock,
    commission::{
        Commission, LineView, PointView, Probe, Probed, Raw, RawRead, RawWrite, RawWritten,
        Unanswered,
    },
    config::{self, BusLine, Checked, Config, File, Hardware, LineEnd, Source},
    devices::modbus,
};

/// How long a port may take to open.
const OPEN: Duration = Duration::from_secs(4);
/// Name of the bus that --port and --tcp make.
const GIVEN: &str = "port";

pub(super) enum Way {
    Agent(Client),
    Direct(Direct),
}

/// Lines that this process has opened.
pub(super) struct Direct {
    commission: Commission,
    runtime: Runtime,
}

/// Which of the configured lines is needed.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    Bus(&'a str),
    /// That of this device.
    Device(&'a str),
    /// The only one.
    Any,
}

/// What is to be done on a line.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Purpose {
    Look,
    Write,
}

impl Wanted<'_> {
    /// Whether these lines do not have it.
    fn is_lacking(self, lines: &[LineView]) -> bool {
        match self {
            Self::Bus(name) => !lines.iter().any(|line| line.bus == name),
            Self::Device(_) => false,
            Self::Any => lines.is_empty(),
        }
    }
}

impl Way {
    /// # Errors
    /// The port cannot be opened, it is not said which, or `purpose` is to write where a running
    /// agent has points.
    pub(super) fn open(
        global: &Global,
        port: &ModbusPort,
        wanted: Wanted<'_>,
        purpose: Purpose,
    ) -> Result<Self, Failure> {
        let client = Client::new(&global.run_dir())?;
        let agent = client.listens().then_some(Self::Agent(client));
        let owned = match &agent {
            Some(agent) => agent.lines()?,
            None => Vec::new(),
        };
        let direct = |config: &Config, bus: &config::Bus| {
            if purpose == Purpose::Write {
                belongs_to_nobody(&bus.line, &owned)?;
            }
            Ok(Self::Direct(Direct::open(config, bus)?))
        };
        if port.port.is_some() || port.tcp.is_some() {
            let config = of_port(port)?;
            return direct(&config, &config.buses[0]);
        }
        match agent {
            Some(agent) if !wanted.is_lacking(&owned) => return Ok(agent),
            // A line on which no device is configured yet belongs to nobody.
            Some(_) | None => {}
        }
        let config = configuration(global)?;
        direct(&config, pick(&config, wanted)?)
    }

    pub(super) fn lines(&self) -> Result<Vec<LineView>, Failure> {
        match self {
            Self::Agent(client) => typed(client.get("modbus")?),
            Self::Direct(direct) => Ok(direct.commission.lines()),
        }
    }

    pub(super) fn probe(&self, probe: &Probe) -> Result<Probed, Failure> {
        match self {
            Self::Agent(client) => typed(client.post("modbus/probe", &json!(probe))?),
            Self::Direct(direct) => direct.run(direct.commission.probe(probe)),
        }
    }

    pub(super) fn read(&self, read: &RawRead) -> Result<Raw, Failure> {
        match self {
            Self::Agent(client) => typed(client.post("modbus/read", &json!(read))?),
            Self::Direct(direct) => direct.run(direct.commission.read(read)),
        }
    }

    pub(super) fn write(&self, write: &RawWrite) -> Result<RawWritten, Failure> {
        match self {
            Self::Agent(client) => typed(client.post("modbus/write", &json!(write))?),
            Self::Direct(direct) => direct.run(direct.commission.write(write)),
        }
    }

    pub(super) fn point(&self, name: &str) -> Result<PointView, Failure> {
        match self {
            Self::Agent(client) => typed(client.post("modbus/point", &json!({ "name": name }))?),
            Self::Direct(direct) => direct.run(direct.commission.point(name)),
        }
    }

    /// As `lamplighter write`: only the agent knows what holds the point.
    pub(super) fn write_point(&self, name: &str, value: &str) -> Result<(), Failure> {
        match self {
            Self::Agent(client) => client
                .put(
                    &format!("objects/{}", target(name)),
                    &json!({ "value": value }),
                )
                .map(drop),
            Self::Direct(_) => Err(Failure::new(
                Exit::NotRunning,
                "the agent is not running, and only it knows limits, locks and who commands a point; \
                 write the register itself: lamplighter modbus write BUS:UNIT TABLE:AT VALUE",
            )),
        }
    }
}

impl Direct {
    fn open(config: &Config, bus: &config::Bus) -> Result<Self, Failure> {
        if let BusLine::Serial(serial) = &bus.line {
            port::is_free(&serial.device)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut commission = Commission::default();
        runtime
            .block_on(async {
                let (handle, settings, owner) = modbus::open(bus, clock::seed());
                tokio::spawn(owner);
                let mut state = handle.state();
                let opened = timeout(
                    OPEN,
                    state.wait_for(|state| state.open || !state.reason.is_empty()),
                );
                let opened = match opened.await {
                    Ok(Ok(state)) if state.open => Ok(()),
                    Ok(Ok(state)) => Err(state.reason.clone()),
                    Ok(Err(_)) | Err(_) => Err("nobody answers".to_owned()),
                };
                commission.add(bus, handle, settings);
                opened
            })
            .map_err(|reason| {
                Failure::failed(format!("{} cannot be opened: {reason}", bus.line))
            })?;
        commission.know(config);
        Ok(Self {
            commission,
            runtime,
        })
    }

    fn run<T>(&self, question: impl Future<Output = Result<T, Unanswered>>) -> Result<T, Failure> {
        self.runtime.block_on(question).map_err(|error| {
            let exit = match &error {
                Unanswered::Busy(_) | Unanswered::Line(_) => Exit::Failed,
                Unanswered::Refused(_) | Unanswered::Silent(_) | Unanswered::Unknown(_) => {
                    Exit::Refused
                }
                Unanswered::Senseless(_) => Exit::Usage,
            };
            Failure::new(exit, error.to_string())
        })
    }
}

fn typed<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer)
        .map_err(|error| Failure::failed(format!("the agent's answer is not understood: {error}")))
}

fn configuration(global: &Global) -> Result<Config, Failure> {
    let Checked { config, problems } = Source::of_process(global.config()).check();
    config.ok_or_else(|| Failure::invalid(&problems))
}

/// Only the agent knows what commands a register of its lines, and what holds that.
fn belongs_to_nobody(line: &BusLine, owned: &[LineView]) -> Result<(), Failure> {
    let ours = ends(&line.end());
    let is_ours = |owned: &&LineView| {
        let theirs = match owned.kind.as_str() {
            "serial" => LineEnd::device(Path::new(&owned.at)),
            _ => LineEnd::network(&owned.at),
        };
        ends(&theirs).iter().any(|end| ours.contains(end))
    };
    let Some(owner) = owned.iter().find(is_ours) else {
        return Ok(());
    };
    Err(Failure::new(
        Exit::Refused,
        format!(
            "{line} is bus {0} of the agent that runs, which knows what commands a register: \
             lamplighter modbus write {0}:UNIT TABLE:AT VALUE",
            owner.bus
        ),
    ))
}

/// A host has its addresses besides its name.
fn ends(end: &LineEnd) -> Vec<LineEnd> {
    let mut all = vec![end.clone()];
    if let LineEnd::Network(host, port) = end {
        let found = (host.as_str(), *port)
            .to_socket_addrs()
            .into_iter()
            .flatten();
        all.extend(found.map(|address| LineEnd::network(&address.to_string())));
    }
    all
}

/// The line that is meant; a meter has its own.
fn pick<'a>(config: &'a Config, wanted: Wanted<'_>) -> Result<&'a config::Bus, Failure> {
    let of_device = |name: &str| {
        let device = config.devices.iter().find(|device| device.name == name)?;
        let config::DeviceKind::Modbus(modbus) = &device.kind else {
            return None;
        };
        config.bus(modbus.bus)
    };
    let known: Vec<&str> = config.buses.iter().map(|bus| bus.name.as_str()).collect();
    let found = match wanted {
        Wanted::Bus(name) => config.buses.iter().find(|bus| bus.name == name),
        Wanted::Device(name) => of_device(name),
        Wanted::Any => None,
    };
    match (found, config.buses.as_slice()) {
        (Some(bus), _) => Ok(bus),
        (None, [only]) if !matches!(wanted, Wanted::Bus(_)) => Ok(only),
        (None, []) => Err(Failure::usage(
            "no bus is configured; name a port: --port /dev/… --line 9600-8E1",
        )),
        (None, _) => Err(Failure::usage(format!(
            "which line? there is {}",
            known.join(", ")
        ))),
    }
}

/// A configuration with nothing but the port that was given.
fn of_port(port: &ModbusPort) -> Result<Config, Failure> {
    let text = match (&port.port, &port.tcp) {
        (Some(path), _) => {
            let path = std::path::absolute(path)?;
            let line = port
                .line
                .map_or_else(|| "9600-8E1".to_owned(), |line| line.to_string());
            let path = json!(path.display().to_string());
            format!("kind = \"serial\"\ndevice = {path}\nline = \"{line}\"\n")
        }
        (None, tcp) => format!("kind = \"tcp\"\naddress = {}\n", json!(tcp)),
    };
    let nowhere = PathBuf::from("/nonexistent");
    let source = Source {
        main: nowhere.join("lamplighter.toml"),
        environment: Vec::new(),
        definitions: tables::standard(),
        hardware: Hardware::default(),
        templates: nowhere.clone(),
    };
    let checked = source.check_with(File {
        path: nowhere.join("conf.d/port.toml"),
        text: format!("[client]\nendpoint = \"none\"\n[bus.{GIVEN}]\n{text}"),
    });
    checked.config.ok_or_else(|| {
        let whats = checked.problems.iter().map(|problem| problem.what.as_str());
        Failure::usage(whats.collect::<Vec<_>>().join(", "))
    })
}
