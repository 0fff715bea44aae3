//! The configuration as it is used: complete, with defaults filled in, nothing left to check.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use lamplighter_lwm2m::client::ServerConfig;
use lamplighter_model::{
    DataType, Decimal, InstancePath, Path, ResourceAddress, Value, device::AdapterId,
    object::Definitions,
};
use lamplighter_site::boundary::{PointKind, SiteConfig};

pub use super::schema::{
    Backend, Bias, Boot, Exit, MeterMode, Order, RegisterType, Rs485, Table, Verify, WriteFunction,
};

/// Everything the daemon is made of. Built by [`super::load`] only.
#[derive(Clone, Debug)]
pub struct Config {
    pub endpoint: Endpoint,
    /// In the order of their names; at most one as long as access control is not built.
    pub servers: Vec<ServerConfig>,
    /// In the order of their names; [`BusId`] counts here.
    pub buses: Vec<Bus>,
    /// In the order of their names; [`AdapterId`] counts here.
    pub devices: Vec<Device>,
    pub site: SiteConfig,
    pub names: Names,
    pub web: Option<Web>,
    pub definitions: Arc<Definitions>,
}

/// The endpoint client name, and why it is this one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    pub name: String,
    /// For people: `client.endpoint`, or which hardware serial it was made from.
    pub source: String,
}

/// One `[bus.NAME]`, by its position.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BusId(pub u16);

#[derive(Clone, Debug, PartialEq)]
pub struct Bus {
    pub name: String,
    pub line: BusLine,
    /// Extra pause between requests.
    pub gap: Duration,
    /// First and longest pause before the line is opened again.
    pub reopen: (Duration, Duration),
    /// Share of the bus time that polls keep against writes.
    pub poll_floor: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum BusLine {
    /// `HOST:PORT`
    RtuOverTcp(String),
    Serial(SerialLine),
    /// `HOST:PORT`
    Tcp(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct SerialLine {
    pub device: PathBuf,
    pub baud: u32,
    /// 7 or 8.
    pub data_bits: u8,
    pub parity: Parity,
    /// 1 or 2.
    pub stop_bits: u8,
    pub echo: bool,
    pub rs485: Rs485,
    pub silence_chars: f64,
    pub software_parity: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parity {
    Even,
    None,
    Odd,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    pub id: AdapterId,
    pub name: String,
    pub kind: DeviceKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum DeviceKind {
    Gpio(Gpio),
    Iec62056(Iec62056),
    Modbus(Modbus),
    Sim(Vec<SimPoint>),
}

/// What every point of every device has.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// `ahu1.setpoint`
    pub name: String,
    /// The resource that the adapter answers for; of a lamp its command.
    pub address: ResourceAddress,
    /// Of the value that the adapter exchanges; boolean for a lamp.
    pub data_type: DataType,
    pub kind: PointKind,
    pub writable: bool,
    /// SenML unit; empty where there is none.
    pub unit: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Modbus {
    pub bus: BusId,
    pub unit: u8,
    pub timeout: Duration,
    pub retries: u8,
    pub offline_after: u8,
    pub probe: Probe,
    pub max_registers: u16,
    pub holes: Vec<Hole>,
    /// `None`: twice the poll period of the point.
    pub stale_after: Option<Duration>,
    pub points: Vec<ModbusPoint>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Probe {
    pub first: Duration,
    pub max: Duration,
    pub timeout: Duration,
}

/// Registers that may not be read across, both ends included, zero-based.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hole {
    pub table: Table,
    pub first: u16,
    pub last: u16,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ModbusPoint {
    pub point: Point,
    pub table: Table,
    /// Zero-based, as on the wire.
    pub at: u16,
    pub raw: Raw,
    pub order: Order,
    pub write: Option<ModbusWrite>,
    pub scale: Decimal,
    pub offset: Decimal,
    pub poll: Duration,
    pub invalid: Vec<i64>,
    /// Lowest and highest credible value.
    pub valid: Option<(f64, f64)>,
    /// Text of each raw number.
    pub map: BTreeMap<i64, String>,
}

/// What stands in the coil or the registers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Raw {
    /// A coil or discrete input.
    Bit,
    /// One bit of a register, 0 is the least significant.
    BitOf(u8),
    Number(RegisterType),
    /// Text of this many registers.
    Text(u16),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModbusWrite {
    pub function: WriteFunction,
    pub verify: Verify,
    /// Largest difference that reading back takes as equal.
    pub tolerance: Option<f64>,
    pub settle: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Iec62056 {
    pub bus: BusId,
    pub mode: MeterMode,
    /// Empty: any meter.
    pub address: String,
    pub max_baud: u32,
    pub reaction: Duration,
    pub baud_change_delay: Duration,
    pub period: Duration,
    pub stale_after: Duration,
    pub points: Vec<MeterPoint>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MeterPoint {
    pub point: Point,
    /// As configured, e.g. `1-0:1.8.0*255`.
    pub obis: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Gpio {
    pub backend: Backend,
    /// Label of the chip; `None`: the one that has lines of these names.
    pub chip: Option<String>,
    pub points: Vec<GpioPoint>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GpioPoint {
    pub point: Point,
    pub line: String,
    pub active_low: bool,
    pub bias: Bias,
    pub direction: Direction,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    Input { debounce: Duration },
    Output { boot: Boot, exit: Exit },
}

#[derive(Clone, Debug, PartialEq)]
pub struct SimPoint {
    pub point: Point,
    pub value: Value,
}

/// `[web]`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Web {
    pub listen: SocketAddr,
    /// Reference to the hash of the password, where one is set.
    pub password: Option<super::secret::Reference>,
}

/// Names of the configuration for paths, both ways: `ahu1.setpoint`, `main_street`.
#[derive(Clone, Debug, Default)]
pub struct Names {
    paths: BTreeMap<String, Path>,
    names: BTreeMap<Path, String>,
    groups: BTreeMap<String, InstancePath>,
}

impl Names {
    pub(super) fn insert(&mut self, name: &str, path: Path) {
        self.paths.insert(name.to_owned(), path);
        self.names.insert(path, name.to_owned());
    }

    pub(super) fn insert_group(&mut self, name: &str, instance: InstancePath, command: Path) {
        self.groups.insert(name.to_owned(), instance);
        self.insert(name, command);
    }

    /// What a person typed: a path, or a name (of a point, or of a group for its command).
    pub fn resolve(&self, text: &str) -> Option<Path> {
        if text.starts_with('/') {
            text.parse().ok()
        } else {
            self.paths.get(text).copied()
        }
    }

    /// The configured name of a path.
    pub fn name_of(&self, path: Path) -> Option<&str> {
        self.names.get(&path).map(String::as_str)
    }

    /// The vendor Group instance of a group.
    pub fn group(&self, name: &str) -> Option<InstancePath> {
        self.groups.get(name).copied()
    }

    /// The known name that `wrong` was probably meant to be.
    pub fn nearest(&self, wrong: &str) -> Option<&str> {
        super::problem::nearest(wrong, self.paths.keys().map(String::as_str))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Path)> {
        self.paths.iter().map(|(name, path)| (name.as_str(), *path))
    }
}

impl Config {
    pub fn bus(&self, id: BusId) -> Option<&Bus> {
        self.buses.get(usize::from(id.0))
    }

    /// All points of all devices, in the order of the configuration.
    pub fn points(&self) -> impl Iterator<Item = &Point> {
        self.devices.iter().flat_map(Device::points)
    }
}

impl Device {
    pub fn points(&self) -> Vec<&Point> {
        match &self.kind {
            DeviceKind::Gpio(gpio) => gpio.points.iter().map(|point| &point.point).collect(),
            DeviceKind::Iec62056(meter) => meter.points.iter().map(|point| &point.point).collect(),
            DeviceKind::Modbus(modbus) => modbus.points.iter().map(|point| &point.point).collect(),
            DeviceKind::Sim(points) => points.iter().map(|point| &point.point).collect(),
        }
    }
}
