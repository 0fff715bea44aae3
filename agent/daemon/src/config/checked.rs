//! The configuration as it is used: complete, with defaults filled in, nothing left to check.

mod bearer;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::Duration,
};

use lamplighter_adapters::{
    bus::LineSettings, dlms::DlmsConfig, iec62056, location::Quantity, mbus::MbusConfig, meter,
    modbus, mqtt::MqttConfig, remote::RemoteLimits, s0, w1::FilePoint,
};
use lamplighter_lwm2m::client::{BootstrapConfig, Creation, ServerConfig};
use lamplighter_model::{
    DataType, Decimal, InstancePath, Path, ResourceAddress, Value,
    device::AdapterId,
    object::{Definitions, ObjectDef},
};
use lamplighter_site::boundary::{PointKind, SiteConfig};
use lamplighter_updater::settings::{Installer, PublicKey};

use super::secret::Secret;
use crate::store::StoreConfig;

pub(in crate::config) use bearer::PRIORITY;
pub use bearer::{Apn, AtCap, Bearer, BearerKind, Cap, Manage, Tier, Timing};

pub use super::schema::{Backend, Bias, Exit, PowerSource, Rs485};

/// Everything the daemon is made of. Built by [`super::Source::check`] only.
#[derive(Clone, Debug)]
pub struct Config {
    pub bootstrap: Option<BootstrapConfig>,
    pub endpoint: Endpoint,
    pub creation: Creation,
    /// What servers are told of where this box is; `None` where they are not.
    pub location: Option<Position>,
    /// Empty: what the kernel says.
    pub power_sources: Vec<PowerSource>,
    /// In the order of their names.
    pub servers: Vec<ServerConfig>,
    /// In the order of their names; [`BearerId`](crate::bearer::BearerId) counts here. Empty: the
    /// kernel routes.
    pub bearers: Vec<Bearer>,
    /// In the order of their names; [`BusId`] counts here.
    pub buses: Vec<Bus>,
    /// In the order of their names; [`AdapterId`] counts here.
    pub devices: Vec<Device>,
    /// The broker of devices with `adapter = "mqtt"`.
    pub mqtt: Option<Broker>,
    pub site: SiteConfig,
    pub names: Names,
    pub store: StoreConfig,
    pub update: Option<Update>,
    pub web: Option<Web>,
    pub definitions: Arc<Definitions>,
}

/// Resources of 3/0 that tell what feeds the box: sources, voltages, currents, level and status of
/// the battery. Devices may tell them; of lists they fill the first instance.
pub const POWER_RESOURCES: [u16; 5] = [6, 7, 8, 9, 20];

/// A place on earth, WGS 84.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    pub lat: f64,
    pub lon: f64,
    pub altitude_m: Option<f64>,
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
    /// Pause between opening and the first request.
    pub connect_pause: Duration,
    /// Pause after a write to all devices of a serial line.
    pub broadcast_pause: Duration,
    /// Idle time after which a network connection is closed; `None` keeps it.
    pub close_after: Option<Duration>,
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
    pub settings: LineSettings,
    pub echo: bool,
    pub rs485: Rs485,
    pub silence_chars: f64,
    pub software_parity: bool,
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
    Location(Location),
    Meter(Meter),
    Modbus(Modbus),
    Mqtt(Mqtt),
    Remote(Remote),
    S0(S0),
    Sim(Vec<SimPoint>),
    System(Files),
    W1(Files),
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
    /// As the adapter takes it; its points are in the order of `points`.
    pub config: Arc<modbus::DeviceConfig>,
    /// `None`: twice the poll period of the point.
    pub stale_after: Option<Duration>,
    pub points: Vec<Point>,
}

/// A meter of any family.
#[derive(Clone, Debug, PartialEq)]
pub struct Meter {
    pub bus: BusId,
    pub kind: MeterKind,
    pub stale_after: Duration,
    pub points: Vec<MeterPoint>,
}

/// How a meter is spoken to.
#[derive(Clone, Debug, PartialEq)]
pub enum MeterKind {
    Dlms(DlmsConfig),
    /// Without its points, and what its line says.
    Iec62056(iec62056::MeterConfig),
    Mbus(MbusConfig),
    /// Sends text by itself: mode D of IEC 62056-21.
    ModeD,
    P1,
    Sml {
        /// The only meter that is believed.
        server_id: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct MeterPoint {
    pub point: Point,
    /// As the adapter takes it.
    pub config: meter::MeterPoint,
}

/// A meter with a pulse output.
#[derive(Clone, Debug, PartialEq)]
pub struct S0 {
    pub backend: Backend,
    pub chip: Option<String>,
    pub line: String,
    pub active_low: bool,
    pub bias: Bias,
    pub debounce: Duration,
    pub scale: s0::Scale,
    pub start: Decimal,
    pub every: Duration,
    pub zero_after: Duration,
    pub points: Vec<S0Point>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct S0Point {
    pub point: Point,
    pub quantity: s0::Quantity,
}

/// A receiver that tells where the box is.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    pub source: LocationSource,
    pub every: Duration,
    pub stale_after: Duration,
    pub max_speed_kmh: f64,
    pub points: Vec<LocationPoint>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LocationSource {
    Gpsd {
        /// `HOST:PORT`
        address: String,
        /// Only this one of its receivers.
        receiver: Option<String>,
    },
    Nmea(BusId),
}

#[derive(Clone, Debug, PartialEq)]
pub struct LocationPoint {
    pub point: Point,
    pub quantity: Quantity,
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
    /// Dimmed by pulses of this frequency.
    pub pwm_hz: Option<u16>,
    pub direction: Direction,
    /// Outputs only.
    pub feedback: Option<Feedback>,
}

/// A contact that says whether an output did what it was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Feedback {
    pub line: String,
    /// Time in which the contact follows.
    pub within: Duration,
    pub active_low: bool,
    pub bias: Bias,
    pub debounce: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    Input {
        debounce: Duration,
    },
    /// Its first value is the site's to decide.
    Output {
        exit: Exit,
    },
}

/// A device that a program serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Remote {
    /// Whose programs may, beside those who may control the agent.
    pub user: Option<String>,
    pub group: Option<String>,
    /// Below these paths the program may declare what it likes.
    pub grants: Vec<Path>,
    /// What belongs to other devices all the same.
    pub taken: BTreeSet<ResourceAddress>,
    pub limits: RemoteLimits,
    pub points: Vec<RemotePoint>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RemotePoint {
    pub point: Point,
    /// Reads go to the program.
    pub ask: bool,
}

/// `[mqtt]`
#[derive(Clone, Debug)]
pub struct Broker {
    pub host: String,
    pub port: u16,
    pub user: Option<(String, Secret)>,
    /// Certificates (DER) of whom the broker's own must come from; `None`: without TLS.
    pub ca: Option<Vec<Vec<u8>>>,
    pub client_id: String,
    pub keep_alive: Duration,
    /// Why it cannot be used: its credentials cannot.
    pub unusable: Option<String>,
}

/// A device that speaks through the broker.
#[derive(Clone, Debug, PartialEq)]
pub struct Mqtt {
    /// As the adapter takes it; its points are in the order of `points`.
    pub config: MqttConfig,
    pub points: Vec<Point>,
}

/// What the kernel shows as files.
#[derive(Clone, Debug, PartialEq)]
pub struct Files {
    pub period: Duration,
    pub points: Vec<(Point, FilePoint)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SimPoint {
    pub point: Point,
    pub value: Value,
}

/// `[update]`, as far as the agent itself needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    pub key: PublicKey,
    pub installer: Installer,
    /// Largest package in bytes.
    pub max_size: u64,
    /// Packages are fetched over bearers that cost, too.
    pub metered: bool,
    /// File with the authorities of HTTPS servers.
    pub ca: PathBuf,
}

/// `[web]`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Web {
    pub listen: SocketAddr,
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
    /// A copy that shares no memory with the original.
    pub(crate) fn apart(&self) -> Self {
        let mut copy = self.clone();
        let mut definitions = Definitions::default();
        for object in self.definitions.iter() {
            definitions.insert(ObjectDef::clone(object));
        }
        copy.definitions = Arc::new(definitions);
        copy.site.definitions = Arc::clone(&copy.definitions);
        for device in &mut copy.devices {
            if let DeviceKind::Modbus(modbus) = &mut device.kind {
                modbus.config = Arc::new(modbus::DeviceConfig::clone(&modbus.config));
            }
        }
        copy
    }

    pub fn bus(&self, id: BusId) -> Option<&Bus> {
        self.buses.get(usize::from(id.0))
    }

    /// Whether a device tells the resource.
    pub fn is_told_by_device(&self, address: ResourceAddress) -> bool {
        self.points().any(|point| point.address == address)
    }

    /// All points of all devices, in the order of the configuration.
    pub fn points(&self) -> impl Iterator<Item = &Point> {
        self.devices.iter().flat_map(Device::points)
    }
}

/// Where a line leads, whichever way it was written: whoever writes past its owner is found by it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LineEnd {
    Device(PathBuf),
    Network(String, u16),
}

impl LineEnd {
    /// Of a serial port; links are followed where there are any.
    pub fn device(path: &FilePath) -> Self {
        let real = path.canonicalize();
        Self::Device(real.unwrap_or_else(|_| path.components().collect()))
    }

    /// Of `HOST:PORT`; names are not looked up.
    pub fn network(address: &str) -> Self {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        let host = host.to_ascii_lowercase();
        let known = match host.as_str() {
            "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
            host => host.parse().ok(),
        };
        let host = known.map_or(host, |ip: IpAddr| ip.to_canonical().to_string());
        Self::Network(host, port.parse().unwrap_or_default())
    }
}

impl BusLine {
    pub fn end(&self) -> LineEnd {
        match self {
            Self::RtuOverTcp(address) | Self::Tcp(address) => LineEnd::network(address),
            Self::Serial(serial) => LineEnd::device(&serial.device),
        }
    }
}

/// As it was written: a path, or an address.
impl fmt::Display for BusLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RtuOverTcp(address) | Self::Tcp(address) => f.write_str(address),
            Self::Serial(serial) => serial.device.display().fmt(f),
        }
    }
}

impl Bus {
    /// The line as the owner of a Modbus line takes it.
    pub fn modbus_settings(&self) -> modbus::BusSettings {
        let framing = match &self.line {
            BusLine::RtuOverTcp(_) => modbus::Framing::RtuOverTcp,
            BusLine::Serial(line) => modbus::Framing::Rtu(line.settings),
            BusLine::Tcp(_) => modbus::Framing::Tcp,
        };
        let (silence_chars, echo) = match &self.line {
            BusLine::Serial(line) => (line.silence_chars, line.echo),
            BusLine::RtuOverTcp(_) | BusLine::Tcp(_) => (3.5, false),
        };
        modbus::BusSettings {
            // At most 100, and a percentage: neither loses anything that matters.
            silence_chars: silence_chars as f32,
            gap: self.gap,
            connect_pause: self.connect_pause,
            broadcast_pause: self.broadcast_pause,
            close_after: self.close_after,
            echo,
            reopen_first: self.reopen.0,
            reopen_max: self.reopen.1,
            poll_floor_percent: (self.poll_floor * 100.0).round() as u32,
            ..modbus::BusSettings::new(&self.name, framing)
        }
    }
}

impl DeviceKind {
    /// Whether there may be more of it than its points.
    pub(super) fn may_grow(&self) -> bool {
        match self {
            Self::Remote(remote) => !remote.grants.is_empty(),
            // All that it tells is known, and a mistake there has been told.
            Self::Location(_) => true,
            Self::Gpio(_)
            | Self::Meter(_)
            | Self::Modbus(_)
            | Self::Mqtt(_)
            | Self::S0(_)
            | Self::Sim(_)
            | Self::System(_)
            | Self::W1(_) => false,
        }
    }
}

impl Meter {
    /// Whether others of its kind may stand on the same line.
    pub fn shares_its_line(&self) -> bool {
        match self.kind {
            MeterKind::Dlms(_) | MeterKind::Mbus(_) => true,
            MeterKind::Iec62056(_) | MeterKind::ModeD | MeterKind::P1 | MeterKind::Sml { .. } => {
                false
            }
        }
    }

    /// As `adapter` names it.
    pub fn adapter(&self) -> &'static str {
        match self.kind {
            MeterKind::Dlms(_) => "dlms",
            MeterKind::Iec62056(_) | MeterKind::ModeD => "iec62056",
            MeterKind::Mbus(_) => "mbus",
            MeterKind::P1 => "p1",
            MeterKind::Sml { .. } => "sml",
        }
    }

    /// How often it is read; `None` where it sends by itself.
    pub fn period(&self) -> Option<Duration> {
        match &self.kind {
            MeterKind::Dlms(config) => Some(config.read_every),
            MeterKind::Iec62056(config) => Some(config.read_every),
            MeterKind::Mbus(config) => Some(config.read_every),
            MeterKind::ModeD | MeterKind::P1 | MeterKind::Sml { .. } => None,
        }
    }
}

impl Device {
    pub fn points(&self) -> Vec<&Point> {
        match &self.kind {
            DeviceKind::Gpio(gpio) => gpio.points.iter().map(|point| &point.point).collect(),
            DeviceKind::Location(location) => {
                location.points.iter().map(|point| &point.point).collect()
            }
            DeviceKind::Meter(meter) => meter.points.iter().map(|point| &point.point).collect(),
            DeviceKind::Modbus(modbus) => modbus.points.iter().collect(),
            DeviceKind::Mqtt(mqtt) => mqtt.points.iter().collect(),
            DeviceKind::Remote(remote) => remote.points.iter().map(|point| &point.point).collect(),
            DeviceKind::S0(meter) => meter.points.iter().map(|point| &point.point).collect(),
            DeviceKind::Sim(points) => points.iter().map(|point| &point.point).collect(),
            DeviceKind::System(files) | DeviceKind::W1(files) => {
                files.points.iter().map(|(point, _)| point).collect()
            }
        }
    }
}
