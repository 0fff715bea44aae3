//! The adapter of one meter on an M-Bus.

use std::time::Duration;

use lamplighter_model::{
    InstanceAddress, ResourceAddress, ResourceId, Sample,
    device::{Assignment, Declaration, Fault, Note},
};
use tokio::time::{Instant, sleep_until};

use super::{
    address::Address,
    line::Timing,
    readout::{Failure, ReadOut},
    record::{Record, RecordValue},
    scan::read_out,
    selector::Selector,
    telegram::Telegram,
};
use crate::{
    Adapter, Clock, Limits, Wake,
    bus::{Opener, SharedLine},
    meter::{
        Board, Content, Counters, Ledger, MeterPoint, MeterUnit, READINGS_MAX, Reading, Readout,
        Register, Unit,
    },
};

/// One configured meter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MbusConfig {
    pub address: Address,
    /// Further attempts before a readout has failed.
    pub retries: u8,
    pub timing: Timing,
    pub read_every: Duration,
    /// Points whose register is the [`Selector`] in words.
    pub points: Vec<(Selector, MeterPoint)>,
}

/// A meter on a line that it may share.
#[derive(Debug)]
pub struct MbusDevice<O: Opener> {
    line: SharedLine<O>,
    config: MbusConfig,
    ledger: Ledger,
    clock: Clock,
    due: Option<Instant>,
    /// Readouts in a row that nobody answered.
    silent: u32,
    /// Told once.
    failure: Option<Failure>,
    board: Board,
}

/// Pause after a failed readout, where the period is not shorter.
const RETRY: Duration = Duration::from_secs(30);
/// The longest pause while nobody answers.
const RETRY_MAX: Duration = Duration::from_secs(3600);
/// Readouts that nobody answers until it is asked only once, so that it does not take the others' time.
const OFFLINE_AFTER: u32 = 3;

impl MbusConfig {
    /// The limits of this meter's supervisor: a Read is answered from the last readout up to twice
    /// its period. A readout of some telegrams, behind those of other meters, may take a minute.
    pub fn limits(&self) -> Limits {
        Limits {
            operation: Duration::from_secs(120),
            max_age: self.read_every.saturating_mul(2),
            stale_after: Some(self.read_every.saturating_mul(3)),
            offline_after: OFFLINE_AFTER,
            retry_first: RETRY.min(self.read_every),
            retry_max: RETRY_MAX,
            ..Limits::default()
        }
    }
}

impl<O: Opener> MbusDevice<O> {
    /// `counters` is what the run before has kept.
    pub fn new(line: SharedLine<O>, config: MbusConfig, counters: Counters, clock: Clock) -> Self {
        let points = config.points.iter().map(|(_, point)| point.clone());
        Self {
            line,
            ledger: Ledger::new(points.collect(), counters),
            config,
            clock,
            due: None,
            silent: 0,
            failure: None,
            board: Board::default(),
        }
    }

    pub fn board(&self) -> Board {
        self.board.clone()
    }

    async fn read_out(&self) -> Result<Vec<Telegram>, Failure> {
        let retries = if self.silent >= OFFLINE_AFTER {
            0
        } else {
            self.config.retries
        };
        let readout = || ReadOut::new(self.config.address, retries);
        let was_open = self.line.state().borrow().is_open;
        let result = read_out(&self.line, self.config.timing, readout()).await;
        // An adapter that was plugged in again is noticed only by using it.
        if was_open && matches!(result, Err(Failure::Line(_))) {
            return read_out(&self.line, self.config.timing, readout()).await;
        }
        result
    }

    fn fail(&mut self, failure: Failure) -> Fault {
        self.silent = if failure.is_silence() {
            self.silent.saturating_add(1)
        } else {
            0
        };
        let address = self.config.address;
        if self.failure.as_ref() != Some(&failure) {
            tracing::warn!(%address, %failure, "Meter cannot be read");
            self.failure = Some(failure.clone());
        }
        self.board.failed(failure.kind(), failure.to_string());
        failure.into()
    }
}

impl<O: Opener> Adapter for MbusDevice<O> {
    fn declared(&self) -> Vec<Declaration> {
        self.ledger.declared()
    }

    /// One readout, whatever was asked for: the samples of all points.
    async fn read(&mut self, _: InstanceAddress, _: &[ResourceId]) -> Result<Vec<Sample>, Fault> {
        self.board.stage("reading");
        self.due = Some(Instant::now() + RETRY.min(self.config.read_every));
        let telegrams = match self.read_out().await {
            Ok(telegrams) => telegrams,
            Err(failure) => return Err(self.fail(failure)),
        };
        self.failure = None;
        self.silent = 0;
        self.due = Some(Instant::now() + self.config.read_every);
        let selectors = self.config.points.iter().map(|(selector, _)| selector);
        let (readout, mut remarks) = readout_of(&telegrams, selectors);
        let samples = self.ledger.take(&readout, self.clock.stamp());
        remarks.extend(self.ledger.remarks());
        self.board.done(readout, remarks, self.ledger.counters());
        samples
    }

    async fn write(&mut self, _: &[Assignment]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn execute(&mut self, _: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        let Some((instance, resources)) = self.ledger.due() else {
            return std::future::pending().await;
        };
        if let Some(due) = self.due {
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.board.wanted() => {}
            }
        }
        self.due = Some(Instant::now() + RETRY.min(self.config.read_every));
        Ok(Wake::Due(instance, resources))
    }

    fn take_notes(&mut self) -> Vec<Note> {
        self.ledger.take_notes()
    }
}

/// All readings, those that selectors find named by them, and what people should know of the rest.
fn readout_of<'a>(
    telegrams: &[Telegram],
    selectors: impl Iterator<Item = &'a Selector>,
) -> (Readout, Vec<String>) {
    let header = telegrams.iter().find_map(|telegram| telegram.header);
    let secondary = header.and_then(|header| header.secondary);
    let mut remarks: Vec<String> = telegrams
        .iter()
        .filter_map(|telegram| telegram.lost)
        .map(|why| format!("records at the end of a telegram are lost: {why}"))
        .collect();
    let status = header.map(|header| header.status).unwrap_or_default();
    if status.is_power_low() {
        remarks.push("the meter's power is low".to_owned());
    }
    let mut readout = Readout {
        meter: secondary.map(|meter| meter.to_string()).unwrap_or_default(),
        serial: secondary.map(|meter| meter.identification()),
        error: status.has_error().then(|| status.words().join(", ")),
        readings: Vec::new(),
    };
    let records: Vec<&Record> = telegrams
        .iter()
        .flat_map(|telegram| &telegram.records)
        .take(READINGS_MAX)
        .collect();
    let mut names = vec![Vec::new(); records.len()];
    for selector in selectors {
        match selector.find(records.iter().copied()) {
            Ok(at) => names[at].push(selector.to_string()),
            Err(why) if selector.number.is_none() => remarks.push(why),
            // The ledger says the same.
            Err(_) => (),
        }
    }
    for (record, names) in records.into_iter().zip(names) {
        let is_wanted = !names.is_empty();
        let names = if is_wanted {
            names
        } else {
            vec![record.name()]
        };
        for name in names {
            match reading(&name, record) {
                Ok(reading) => readout.readings.push(reading),
                Err(why) if is_wanted => remarks.push(format!("{name}: {why}")),
                Err(_) => (),
            }
        }
    }
    (readout, remarks)
}

/// A record under a name.
fn reading(name: &str, record: &Record) -> Result<Reading, &'static str> {
    let content = match &record.value {
        RecordValue::Number(number) => Content::Number(*number),
        RecordValue::Text(text) | RecordValue::Moment(text) => Content::Text(text.clone()),
        RecordValue::Bytes(_) => Content::Text(record.value.to_string()),
        RecordValue::Missing(why) => return Err(why),
    };
    let unit = record.meaning.unit;
    let unit = match Unit::new(unit, 0) {
        Some(unit) => MeterUnit::Known(unit),
        None if unit.is_empty() => MeterUnit::Missing,
        None => MeterUnit::Foreign(unit.to_owned()),
    };
    let register = Register::Record(name.to_owned());
    Ok(Reading::good(register, content, unit))
}

/// A point for the record that a selector finds.
pub fn point(
    selector: &Selector,
    address: ResourceAddress,
    data_type: lamplighter_model::DataType,
) -> MeterPoint {
    MeterPoint::new(address, Register::Record(selector.to_string()), data_type)
}
