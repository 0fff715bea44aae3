//! Electricity, heat and other meters by IEC 62056-21 (formerly IEC 1107), mode C; modes A and B as
//! far as their readout goes. One readout at 300 Bd may take more than a minute: each meter has a
//! line and a task of its own, and one readout feeds all points.

mod obis;
mod port;
mod readout;
mod telegram;
#[cfg(test)]
mod tests;
mod unit;

use std::{collections::BTreeSet, time::Duration};

use lamplighter_model::{
    DataType, Decimal, InstanceAddress, Quality, ResourceAddress, ResourceId, Sample, Stamp, Value,
    device::{Assignment, Declaration, Fault},
    object::Operations,
};
use tokio::time::{Instant, sleep_until};

pub use self::{
    obis::{NotObis, Obis},
    port::{Line, Open, Serial},
    readout::{Failure, Readout, read_out},
    telegram::{
        Block, BlockStep, DataSet, Identification, Protocol, Reading, TELEGRAM_MAX, parse_data,
    },
    unit::{NotUnit, Unit},
};
use crate::{Adapter, Clock, Limits, Wake};

/// One configured meter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MeterConfig {
    pub points: Vec<MeterPoint>,
    /// Device address of the sign-on; empty for any.
    pub address: String,
    /// Fastest speed to agree to, in Bd.
    pub max_speed: u32,
    /// Pause before an answer, where the meter does not say that it is fast.
    pub reaction: Duration,
    /// From the acknowledgement to the change of speed.
    pub speed_change_delay: Duration,
    pub read_every: Duration,
    /// Longest time for one readout.
    pub readout_deadline: Duration,
    /// Battery meters: zeros before the sign-on. Each readout costs battery.
    pub wake_up: bool,
    /// The optical head returns what is sent.
    pub echo: bool,
    /// Parity in software over 8N1.
    pub software_parity: bool,
}

/// A register of the meter and where its value goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MeterPoint {
    pub address: ResourceAddress,
    pub obis: Obis,
    /// The type of the resource: a text is taken as it stands, anything else as a number.
    pub data_type: DataType,
    /// The unit that the value is converted to.
    pub unit: Option<Unit>,
    /// What the meter means where it names no unit.
    pub meter_unit: Option<Unit>,
}

impl Default for MeterConfig {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            address: String::new(),
            max_speed: 9600,
            reaction: Duration::from_millis(200),
            speed_change_delay: Duration::from_millis(300),
            read_every: Duration::from_secs(300),
            readout_deadline: Duration::from_secs(120),
            wake_up: false,
            echo: false,
            software_parity: false,
        }
    }
}

impl MeterConfig {
    /// The limits of this meter's supervisor: a Read is answered from the last readout up to twice
    /// its period.
    pub fn limits(&self) -> Limits {
        Limits {
            operation: self.readout_deadline + Duration::from_secs(1),
            max_age: self.read_every.saturating_mul(2),
            stale_after: Some(self.read_every.saturating_mul(3)),
            ..Limits::default()
        }
    }
}

/// Why a register gave no value; told once.
type Complaint = String;

/// Pause after a failed readout, where the period is not shorter.
const RETRY: Duration = Duration::from_secs(30);

/// A meter behind a line of its own.
#[derive(Debug)]
pub struct MeterDevice<O: Open> {
    opener: O,
    line: Option<O::Line>,
    config: MeterConfig,
    clock: Clock,
    due: Option<Instant>,
    complaints: BTreeSet<Complaint>,
    has_errors: bool,
    /// Told once.
    failure: Option<Failure>,
}

impl<O: Open> MeterDevice<O> {
    pub fn new(opener: O, config: MeterConfig, clock: Clock) -> Self {
        Self {
            opener,
            line: None,
            config,
            clock,
            due: None,
            complaints: BTreeSet::new(),
            has_errors: false,
            failure: None,
        }
    }

    /// One readout. The line is kept only when it went well: whatever is left in it after a
    /// failure, or when this future is dropped, goes with it.
    async fn read_out(&mut self) -> Result<Readout, Failure> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self
                .opener
                .open()
                .map_err(|error| Failure::Line(format!("cannot open the port: {error}")))?,
        };
        let readout = read_out(&mut line, &self.config).await?;
        self.line = Some(line);
        Ok(readout)
    }

    fn fail(&mut self, failure: Failure) -> Fault {
        if self.failure.as_ref() != Some(&failure) {
            tracing::warn!(%failure, "Meter cannot be read");
            self.failure = Some(failure.clone());
        }
        failure.into()
    }

    fn samples(&mut self, readout: &Readout, at: Stamp) -> Result<Vec<Sample>, Fault> {
        self.watch_errors(readout);
        let quality = if self.has_errors {
            Quality::Unchecked
        } else {
            Quality::Good
        };
        let values: Vec<_> = self
            .config
            .points
            .iter()
            .map(|point| (point.address, point.value(readout)))
            .collect();
        let mut samples = Vec::new();
        let mut complaints = BTreeSet::new();
        for (address, value) in values {
            match value {
                Ok(value) => samples.push(Sample {
                    quality,
                    ..Sample::good(address, value, at)
                }),
                Err(complaint) => {
                    complaints.insert(complaint);
                }
            }
        }
        for complaint in complaints.difference(&self.complaints) {
            tracing::warn!(%complaint, "Meter gives no value for a point");
        }
        let first = complaints.first().cloned();
        self.complaints = complaints;
        match first {
            Some(complaint) if samples.is_empty() => Err(Fault::Device(complaint)),
            _ => Ok(samples),
        }
    }

    /// F.F: anything but zero is a fatal error of the meter.
    fn watch_errors(&mut self, readout: &Readout) {
        let register = find(readout, &Obis::ERRORS).map_or("", |reading| reading.text.as_str());
        let has_errors = register.bytes().any(|byte| byte != b'0' && byte != b' ');
        if has_errors && !self.has_errors {
            tracing::warn!(register, "Meter reports an error of its own");
        }
        self.has_errors = has_errors;
    }
}

impl<O: Open> Adapter for MeterDevice<O>
where
    O::Line: Sync,
{
    fn declared(&self) -> Vec<Declaration> {
        let operations = Operations {
            read: true,
            write: false,
            execute: false,
        };
        self.config
            .points
            .iter()
            .map(|point| Declaration {
                address: point.address,
                operations,
            })
            .collect()
    }

    /// One readout, whatever was asked for: the samples of all points.
    async fn read(&mut self, _: InstanceAddress, _: &[ResourceId]) -> Result<Vec<Sample>, Fault> {
        self.due = Some(Instant::now() + RETRY.min(self.config.read_every));
        let readout = match self.read_out().await {
            Ok(readout) => readout,
            Err(failure) => return Err(self.fail(failure)),
        };
        self.failure = None;
        self.due = Some(Instant::now() + self.config.read_every);
        self.samples(&readout, self.clock.stamp())
    }

    async fn write(&mut self, _: &[Assignment]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn execute(&mut self, _: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        let Some(first) = self
            .config
            .points
            .first()
            .map(|point| point.address.instance())
        else {
            return std::future::pending().await;
        };
        if let Some(due) = self.due {
            sleep_until(due).await;
        }
        self.due = Some(Instant::now() + RETRY.min(self.config.read_every));
        let of_first = self
            .config
            .points
            .iter()
            .filter(|point| point.address.instance() == first);
        Ok(Wake::Due(
            first,
            of_first.map(|point| point.address.path.resource).collect(),
        ))
    }
}

impl MeterPoint {
    fn value(&self, readout: &Readout) -> Result<Value, Complaint> {
        let reading =
            find(readout, &self.obis).ok_or_else(|| format!("the meter has no {}", self.obis))?;
        if self.data_type == DataType::String {
            return Ok(Value::String(reading.text.clone()));
        }
        let number: Decimal = reading
            .text
            .parse()
            .map_err(|_| format!("{} is not a number: {}", self.obis, reading.text))?;
        let Some(wanted) = self.unit else {
            return Ok(Value::Decimal(number));
        };
        let given = match &reading.unit {
            Some(text) => text
                .parse()
                .map_err(|_| format!("{} comes in an unknown unit: {text}", self.obis))?,
            None => self
                .meter_unit
                .ok_or_else(|| format!("{} comes without a unit", self.obis))?,
        };
        let converted = given.convert(number, wanted);
        converted.map(Value::Decimal).ok_or_else(|| {
            format!(
                "{} comes in {given}, not convertible to {wanted}",
                self.obis
            )
        })
    }
}

/// The first value of a register.
fn find<'a>(readout: &'a Readout, obis: &Obis) -> Option<&'a Reading> {
    readout
        .data
        .iter()
        .find(|set| obis.matches(&set.obis))
        .and_then(|set| set.values.first())
}
