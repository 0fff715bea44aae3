//! Looking around, on Modbus lines before all: who is there, what stands in a register, what becomes of it.
//!
//! The running agent and the command line without it use the same questions. They go to the owner of
//! the line behind everything else, so that polls and commands keep their times; what is written to a
//! register by hand may not be one that a point commands, which the site alone does.

pub(crate) mod gpio;
pub(crate) mod meter;
#[cfg(test)]
pub(crate) mod tests;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use lamplighter_adapters::{
    bus::LineSettings,
    modbus::{
        Answered, Ask, BusError, BusHandle, BusSettings, Class, DeviceConfig, Framing, PointConfig,
        RegisterRange, Request, RequestError, Table,
    },
};
use tokio::time::{Instant, timeout};

use crate::{
    config::{self, BusId, Config, DeviceKind},
    status::json_of,
};

pub use gpio::GpioLine;
pub(crate) use meter::Meters;
pub use meter::{MeterView, PlaceView, ReadingView, ReadoutView};
pub use words::{
    LineView, Outcome, PointView, Probe, Probed, Raw, RawRead, RawWrite, RawWritten, Unanswered,
    UnitView, Words,
};

/// A line that has no time for a guest for so long has none.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is on its way when the patience ends is waited for.
const LONGEST_EXCHANGE: Duration = Duration::from_secs(10);
/// A device that is there answers a short question within this time, at whatever speed.
const PROBE: Duration = Duration::from_millis(100);
/// Longest that a guest may have the line wait for one answer: polls and commands wait with it.
const MOST_TIMEOUT: Duration = Duration::from_secs(1);
/// Speeds that a port may be switched to for a guest.
const SPEEDS: RangeInclusive<u32> = 300..=4_000_000;

/// All Modbus lines, with what the configuration knows of them.
#[derive(Debug, Default)]
pub struct Commission {
    lines: BTreeMap<String, Line>,
    devices: Vec<Known>,
    gpio: Vec<GpioLine>,
    meters: Meters,
}

#[derive(Debug)]
struct Line {
    bus: BusHandle,
    settings: BusSettings,
    /// Where it is: a path, or an address.
    at: String,
    units: BTreeMap<u8, Unit>,
}

#[derive(Debug)]
struct Unit {
    device: String,
    timeout: Duration,
}

/// A device on one of the lines. Its points are looked up in it: people ask now and then, and there
/// are thousands.
#[derive(Debug)]
struct Known {
    line: String,
    name: String,
    config: Arc<DeviceConfig>,
    /// Of the values of its points, in their order.
    measured_in: Vec<Arc<str>>,
}

impl Commission {
    /// Of the lines of an agent.
    pub(crate) fn of(config: &Config, buses: &BTreeMap<BusId, (BusHandle, BusSettings)>) -> Self {
        let mut commission = Self::default();
        for (id, (bus, settings)) in buses {
            if let Some(of) = config.bus(*id) {
                commission.add(of, bus.clone(), settings.clone());
            }
        }
        commission.know(config);
        commission.gpio = gpio::lines(config);
        commission
    }

    /// Adds the meters of an agent.
    pub(crate) fn with_meters(self, meters: Meters) -> Self {
        Self { meters, ..self }
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Every GPIO line that is a point.
    pub(crate) fn gpio(&self) -> &[GpioLine] {
        &self.gpio
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, of: &config::Bus, bus: BusHandle, settings: BusSettings) {
        let line = Line {
            bus,
            settings,
            at: of.line.to_string(),
            units: BTreeMap::new(),
        };
        self.lines.insert(of.name.clone(), line);
    }

    /// Adds what is known of the devices of the lines that were added.
    pub(crate) fn know(&mut self, config: &Config) {
        let mut measures: BTreeSet<Arc<str>> = BTreeSet::new();
        for device in &config.devices {
            let DeviceKind::Modbus(modbus) = &device.kind else {
                continue;
            };
            let Some(bus) = config.bus(modbus.bus) else {
                continue;
            };
            let Some(line) = self.lines.get_mut(&bus.name) else {
                continue;
            };
            let unit = Unit {
                device: device.name.clone(),
                timeout: modbus.config.timeout,
            };
            line.units.entry(modbus.config.unit).or_insert(unit);
            let measured_in = modbus.points.iter().map(|point| {
                let measure = measures.get(point.unit.as_str()).cloned();
                measure.unwrap_or_else(|| {
                    let measure: Arc<str> = point.unit.as_str().into();
                    measures.insert(Arc::clone(&measure));
                    measure
                })
            });
            self.devices.push(Known {
                line: bus.name.clone(),
                name: device.name.clone(),
                config: Arc::clone(&modbus.config),
                measured_in: measured_in.collect(),
            });
        }
    }

    /// Every line, with who is configured on it.
    pub fn lines(&self) -> Vec<LineView> {
        let view = |(name, line): (&String, &Line)| {
            let state = line.bus.state().borrow().clone();
            let (kind, speed) = match line.settings.framing {
                Framing::Rtu(speed) => ("serial", Some(speed.to_string())),
                Framing::RtuOverTcp => ("rtu_over_tcp", None),
                Framing::Tcp => ("tcp", None),
            };
            let units = line.units.iter().map(|(unit, of)| UnitView {
                unit: *unit,
                device: of.device.clone(),
            });
            LineView {
                bus: name.clone(),
                kind: kind.to_owned(),
                at: line.at.clone(),
                line: speed,
                open: state.open,
                reason: state.reason,
                units: units.collect(),
            }
        };
        self.lines.iter().map(view).collect()
    }

    /// Whether anybody answers at a unit. Silence is an answer too.
    ///
    /// # Errors
    /// The question could not be asked.
    pub async fn probe(&self, probe: &Probe) -> Result<Probed, Unanswered> {
        let line = self.line(&probe.bus)?;
        line.permits(probe.unit, false)?;
        let speed = line.speed(probe.line.as_deref())?;
        let request = Request::Read {
            table: Table::Holding,
            at: 0,
            count: 1,
        };
        let known = line.units.get(&probe.unit);
        let wait = timeout_of(probe.timeout_ms, known.map_or(PROBE, |unit| unit.timeout))?;
        let answered = |answer: &str, round_trip| Probed {
            answer: Some(answer.to_owned()),
            round_trip_ms: Some(round_trip),
            device: known.map(|unit| unit.device.clone()),
        };
        match line.ask_at(speed, probe.unit, request, wait).await {
            Ok(Answered { round_trip, .. }) => {
                Ok(answered("holding register 0", milliseconds(round_trip)))
            }
            // Whoever refuses is there.
            Err(BusError::Exception(code)) if !code.is_gateway() => Ok(Probed {
                round_trip_ms: None,
                ..answered(&code.to_string(), 0.0)
            }),
            Err(BusError::Garbled) => Ok(Probed {
                round_trip_ms: None,
                ..answered("something that is no answer", 0.0)
            }),
            Err(BusError::Exception(_) | BusError::Timeout) => Ok(Probed {
                answer: None,
                round_trip_ms: None,
                device: known.map(|unit| unit.device.clone()),
            }),
            Err(error) => Err(line.unanswered(probe.unit, &error)),
        }
    }

    /// What stands in registers or bits; addresses count from 0.
    ///
    /// # Errors
    /// There is no such line, nobody answers, or the device refuses.
    pub async fn read(&self, read: &RawRead) -> Result<Raw, Unanswered> {
        let line = self.line(&read.bus)?;
        line.permits(read.unit, false)?;
        let table = table_of(&read.table)?;
        let range = RegisterRange {
            table,
            at: read.at,
            count: read.count,
        };
        let wait = line.timeout(read.unit, read.timeout_ms)?;
        let answer = line.ask(read.unit, range.read(), wait).await;
        let answer = answer.map_err(|error| line.unanswered(read.unit, &error))?;
        Ok(Raw::of(range, answer.reply, answer.round_trip))
    }

    /// Writes registers or coils that no point commands.
    ///
    /// # Errors
    /// As [`Self::read`], and where a point commands one of them.
    pub async fn write(&self, write: &RawWrite) -> Result<RawWritten, Unanswered> {
        let line = self.line(&write.bus)?;
        line.permits(write.unit, true)?;
        let table = table_of(&write.table)?;
        let count = u16::try_from(write.values.len()).unwrap_or(u16::MAX);
        let range = RegisterRange {
            table,
            at: write.at,
            count,
        };
        if let Some(name) = self.commanded_by(&write.bus, write.unit, range) {
            return Err(Unanswered::Refused(format!(
                "{table}:{} of unit {} is commanded by {name}: lamplighter modbus write {name} VALUE",
                write.at, write.unit
            )));
        }
        let request = request_of(table, write)?;
        let wait = line.timeout(write.unit, write.timeout_ms)?;
        let was_open = line.bus.state().borrow().open;
        let answer = match line.ask(write.unit, request, wait).await {
            Ok(answer) => answer,
            Err(error) if may_be_done(&error, was_open) => {
                let why = line.unanswered(write.unit, &error).to_string();
                return Ok(RawWritten::unconfirmed(range, Duration::ZERO, why));
            }
            Err(error) => return Err(line.unanswered(write.unit, &error)),
        };
        if write.unit == 0 {
            return Ok(RawWritten::to_all(range, answer.round_trip));
        }
        let back = line.ask(write.unit, range.read(), wait).await;
        Ok(match back {
            Ok(back) => RawWritten::read_back(range, &write.values, back.reply, back.round_trip),
            Err(error) => {
                let why = line.unanswered(write.unit, &error);
                let why = format!("the device took it, and cannot be read: {why}");
                RawWritten::unconfirmed(range, answer.round_trip, why)
            }
        })
    }

    /// What stands in the registers of a point, and what is made of it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn point(&self, name: &str) -> Result<PointView, Unanswered> {
        let Some((device, point, measured_in)) = self.point_named(name) else {
            return Err(Unanswered::Unknown(format!(
                "{name} is no point of a Modbus device; see lamplighter points"
            )));
        };
        let line = self.line(&device.line)?;
        let unit = device.config.unit;
        let Some(range) = point.place(device.config.addressing) else {
            return Err(Unanswered::Refused(format!("{name} has no register")));
        };
        let wait = line.timeout(unit, None)?;
        let answer = line.ask(unit, range.read(), wait).await;
        let answer = answer.map_err(|error| line.unanswered(unit, &error))?;
        let value = point.value_of(&answer.reply);
        Ok(PointView {
            name: name.to_owned(),
            path: point.address.path.to_string(),
            device: device.name.clone(),
            bus: device.line.clone(),
            unit_number: unit,
            raw: Raw::of(range, answer.reply, answer.round_trip),
            value: value.as_ref().map(|(value, _)| json_of(value)),
            unit: measured_in.to_owned(),
            quality: value.map(|(_, quality)| quality),
            writable: point.write.is_some(),
        })
    }

    fn line(&self, name: &str) -> Result<&Line, Unanswered> {
        self.lines.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.lines.keys().map(String::as_str).collect();
            let known = if known.is_empty() {
                "no Modbus line is in use".to_owned()
            } else {
                format!("there is {}", known.join(", "))
            };
            let name: String = name.chars().take(64).collect();
            Unanswered::Unknown(format!("no Modbus line {name}; {known}"))
        })
    }

    fn commanded_by(&self, bus: &str, unit: u8, range: RegisterRange) -> Option<&str> {
        // A broadcast reaches all of them, and many a device on the network answers for every unit.
        let is_reached = |theirs: u8| {
            theirs == unit || [unit, theirs].iter().any(|unit| [0, 255].contains(unit))
        };
        let devices = self.devices.iter();
        let mut devices =
            devices.filter(|device| device.line == bus && is_reached(device.config.unit));
        devices.find_map(|device| {
            let found = device.config.points.iter().find(|point| {
                let written = point.written_place(device.config.addressing);
                written.is_some_and(|written| written.overlaps(range))
            });
            found.map(|point| point.name.as_str())
        })
    }

    /// A point with its device, and what its value is measured in.
    fn point_named(&self, name: &str) -> Option<(&Known, &PointConfig, &str)> {
        self.devices.iter().find_map(|device| {
            let mut points = device.config.points.iter().zip(&device.measured_in);
            let (point, measure) = points.find(|(point, _)| point.name == name)?;
            Some((device, point, measure.as_ref()))
        })
    }
}

impl Line {
    async fn ask(&self, unit: u8, request: Request, wait: Duration) -> Result<Answered, BusError> {
        self.ask_at(None, unit, request, wait).await
    }

    async fn ask_at(
        &self,
        speed: Option<LineSettings>,
        unit: u8,
        request: Request,
        wait: Duration,
    ) -> Result<Answered, BusError> {
        let ask = Ask {
            unit,
            request,
            class: Class::Guest,
            timeout: wait,
            late_timeout: wait,
            // What is not sent by then is not sent at all.
            expires: Some(Instant::now() + PATIENCE),
        };
        let answer = async {
            match speed {
                Some(speed) => self.bus.ask_at(speed, ask).await,
                None => self.bus.ask(ask).await,
            }
        };
        timeout(PATIENCE + LONGEST_EXCHANGE, answer)
            .await
            .unwrap_or(Err(BusError::Expired))
    }

    /// Modbus over serial line 1.02, 2.2: 0 is everybody, 248 to 255 are reserved. On TCP 0 and 255
    /// mean the device itself.
    fn permits(&self, unit: u8, is_write: bool) -> Result<(), Unanswered> {
        let is_serial = match self.settings.framing {
            Framing::Rtu(_) | Framing::RtuOverTcp => true,
            Framing::Tcp => false,
        };
        let everybody = unit == 0 && (is_write || !is_serial);
        if everybody || (1..=247).contains(&unit) || (unit == 255 && !is_serial) {
            return Ok(());
        }
        Err(Unanswered::Senseless(format!(
            "unit {unit} is not within 1 to 247"
        )))
    }

    /// The speed that is asked for, where it is not the line's own.
    fn speed(&self, wanted: Option<&str>) -> Result<Option<LineSettings>, Unanswered> {
        let Some(text) = wanted else { return Ok(None) };
        let wanted: LineSettings = text.parse().map_err(|error| {
            let text: String = text.chars().take(64).collect();
            Unanswered::Senseless(format!("`{text}`: {error}"))
        })?;
        if !SPEEDS.contains(&wanted.baud) {
            return Err(Unanswered::Senseless(format!(
                "{} Bd is not within {} to {}",
                wanted.baud,
                SPEEDS.start(),
                SPEEDS.end()
            )));
        }
        match self.settings.framing {
            Framing::Rtu(own) => Ok(Some(wanted).filter(|wanted| *wanted != own)),
            Framing::RtuOverTcp | Framing::Tcp => {
                Err(Unanswered::Senseless(RequestError::NoSpeed.to_string()))
            }
        }
    }

    fn timeout(&self, unit: u8, wanted_ms: Option<u64>) -> Result<Duration, Unanswered> {
        let usual = self.units.get(&unit).map(|unit| unit.timeout);
        timeout_of(wanted_ms, usual.unwrap_or(Duration::from_millis(400)))
    }

    fn unanswered(&self, unit: u8, error: &BusError) -> Unanswered {
        match error {
            BusError::Down => {
                let state = self.bus.state().borrow().clone();
                Unanswered::Line(format!("{} is not open: {}", self.at, state.reason))
            }
            BusError::Exception(code) if code.is_gateway() => {
                Unanswered::Silent(format!("unit {unit} does not answer: {code}"))
            }
            BusError::Exception(code) => {
                Unanswered::Refused(format!("unit {unit} refuses: {code}"))
            }
            BusError::Timeout => Unanswered::Silent(format!("unit {unit} does not answer")),
            BusError::Garbled => Unanswered::Silent(format!(
                "unit {unit}: {error}; is the speed or the parity another one?"
            )),
            BusError::Invalid(error) => Unanswered::Senseless(error.to_string()),
            BusError::Deferred | BusError::Expired | BusError::Full => {
                Unanswered::Busy(error.to_string())
            }
        }
    }
}

/// Whether a request that has failed may have been carried out all the same.
const fn may_be_done(error: &BusError, was_open: bool) -> bool {
    match error {
        BusError::Garbled | BusError::Timeout => true,
        BusError::Down => was_open,
        // A gateway does not know more than we do.
        BusError::Exception(code) => code.is_gateway(),
        BusError::Deferred | BusError::Expired | BusError::Full | BusError::Invalid(_) => false,
    }
}

fn timeout_of(wanted_ms: Option<u64>, usual: Duration) -> Result<Duration, Unanswered> {
    let wanted = wanted_ms.map_or(usual, Duration::from_millis);
    if wanted.is_zero() || wanted > MOST_TIMEOUT {
        let most = MOST_TIMEOUT.as_millis();
        return Err(Unanswered::Senseless(format!(
            "a timeout is 1 to {most} milliseconds"
        )));
    }
    Ok(wanted)
}

fn table_of(text: &str) -> Result<Table, Unanswered> {
    text.parse().map_err(|()| {
        let text: String = text.chars().take(64).collect();
        Unanswered::Senseless(format!(
            "`{text}` is no table: coil, discrete, holding, input"
        ))
    })
}

fn request_of(table: Table, write: &RawWrite) -> Result<Request, Unanswered> {
    let at = write.at;
    match (table, write.values.as_slice()) {
        (Table::Discrete | Table::Input, _) => Err(Unanswered::Senseless(format!(
            "table {table} cannot be written"
        ))),
        (_, []) => Err(Unanswered::Senseless(RequestError::Count.to_string())),
        (Table::Coil, [value]) => Ok(Request::WriteCoil {
            at,
            on: *value != 0,
        }),
        (Table::Coil, values) => Ok(Request::WriteCoils {
            at,
            on: values.iter().map(|value| *value != 0).collect(),
        }),
        (Table::Holding, [value]) => Ok(Request::WriteRegister { at, value: *value }),
        (Table::Holding, values) => Ok(Request::WriteRegisters {
            at,
            values: values.to_vec(),
        }),
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
