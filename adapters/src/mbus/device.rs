//! The adapter of one meter on an M-Bus.

use std::time::Duration;

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
    Clock, Limits,
    bus::{Opener, SharedLine},
    meter::{
        Board, Content, Counters, Ledger, MeterPoint, MeterUnit, Pull, PullDevice, READINGS_MAX,
        Reading, Readout, Register, Unit, shared_limits,
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

/// The adapter of a meter on a line that it may share.
pub type MbusDevice<O> = PullDevice<MbusMeter<O>>;

/// How it is read out.
#[derive(Debug)]
pub struct MbusMeter<O: Opener> {
    line: SharedLine<O>,
    config: MbusConfig,
}

impl MbusConfig {
    /// The limits of this meter's supervisor.
    pub fn limits(&self) -> Limits {
        shared_limits(self.read_every)
    }
}

impl<O: Opener> MbusDevice<O> {
    /// `counters` is what the run before has kept.
    pub fn new(line: SharedLine<O>, config: MbusConfig, counters: Counters, clock: Clock) -> Self {
        let points = config.points.iter().map(|(_, point)| point.clone());
        let ledger = Ledger::new(points.collect(), counters);
        let read_every = config.read_every;
        Self::with(MbusMeter { line, config }, ledger, read_every, clock)
    }
}

impl<O: Opener> Pull for MbusMeter<O> {
    type Failure = Failure;

    async fn read_out(
        &mut self,
        board: &Board,
        is_lost: bool,
    ) -> Result<(Readout, Vec<String>), Failure> {
        board.stage("reading");
        let retries = if is_lost { 0 } else { self.config.retries };
        let readout = || ReadOut::new(self.config.address, retries);
        let was_open = self.line.state().borrow().is_open;
        let mut result = read_out(&self.line, self.config.timing, readout()).await;
        // An adapter that was plugged in again is noticed only by using it.
        if was_open && matches!(result, Err(Failure::Line(_))) {
            result = read_out(&self.line, self.config.timing, readout()).await;
        }
        let selectors = self.config.points.iter().map(|(selector, _)| selector);
        Ok(readout_of(&result?, selectors))
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
    address: lamplighter_model::ResourceAddress,
    data_type: lamplighter_model::DataType,
) -> MeterPoint {
    MeterPoint::new(address, Register::Record(selector.to_string()), data_type)
}
