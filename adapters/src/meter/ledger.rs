//! What becomes of readouts: samples of the points, complaints, notes.

use std::collections::BTreeSet;

use lamplighter_model::{
    Decimal, InstanceAddress, Quality, ResourceId, Sample, Stamp, Value,
    device::{Declaration, Fault},
    object::Operations,
};

use super::{Counted, Counters, MeterPoint, Note, Obis, Readout, Register, point::Measured};

/// The points of one meter, and what is remembered of its readouts.
#[derive(Clone, Debug)]
pub struct Ledger {
    points: Vec<MeterPoint>,
    counters: Counters,
    /// Why registers gave no value in the last readout; each is told once.
    complaints: BTreeSet<String>,
    /// What is wrong with counters, for people; of those that are not believed now.
    doubts: BTreeSet<String>,
    error: Option<String>,
    notes: Vec<Note>,
}

impl Ledger {
    /// `counters` is what the run before has kept.
    pub fn new(points: Vec<MeterPoint>, counters: Counters) -> Self {
        Self {
            points,
            counters,
            complaints: BTreeSet::new(),
            doubts: BTreeSet::new(),
            error: None,
            notes: Vec::new(),
        }
    }

    pub fn points(&self) -> &[MeterPoint] {
        &self.points
    }

    /// For the next run.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub fn declared(&self) -> Vec<Declaration> {
        let operations = Operations {
            read: true,
            write: false,
            execute: false,
        };
        let declared = |point: &MeterPoint| Declaration {
            address: point.address,
            operations,
        };
        self.points.iter().map(declared).collect()
    }

    /// What a supervisor is to ask for when a readout is due: one instance stands for all points.
    pub fn due(&self) -> Option<(InstanceAddress, Vec<ResourceId>)> {
        let first = self.points.first()?.address.instance();
        let of_first = self
            .points
            .iter()
            .filter(|point| point.address.instance() == first);
        let resources = of_first.map(|point| point.address.path.resource);
        Some((first, resources.collect()))
    }

    /// The samples of all points that the readout has something for.
    ///
    /// # Errors
    /// There is none: the first complaint.
    pub fn take(&mut self, readout: &Readout, at: Stamp) -> Result<Vec<Sample>, Fault> {
        self.watch_meter(readout);
        self.watch_errors(readout);
        let mut samples = Vec::new();
        let mut complaints = BTreeSet::new();
        let mut doubts = BTreeSet::new();
        for point in &self.points {
            match point.measure(readout) {
                Ok(measured) => {
                    let measured = if point.monotonic {
                        let judged = judge(point, measured, &mut self.counters, &mut self.notes);
                        doubts.extend(judged.doubt);
                        judged.measured
                    } else {
                        measured
                    };
                    samples.push(sample(point, measured, readout, at));
                }
                Err(complaint) => {
                    complaints.insert(complaint);
                }
            }
        }
        for complaint in complaints.difference(&self.complaints) {
            tracing::warn!(%complaint, "Meter gives no value for a point");
        }
        self.complaints = complaints;
        self.doubts = doubts;
        match self.complaints.first() {
            Some(complaint) if samples.is_empty() => Err(Fault::Device(complaint.clone())),
            Some(_) | None => Ok(samples),
        }
    }

    /// What happened since this was asked last.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// What is wrong now, as lines for people.
    pub fn remarks(&self) -> Vec<String> {
        let error = self
            .error
            .iter()
            .map(|error| format!("the meter reports an error of its own: {error}"));
        error
            .chain(self.doubts.iter().cloned())
            .chain(self.complaints.iter().cloned())
            .collect()
    }

    /// The meter itself, and those behind it that points belong to.
    fn watch_meter(&mut self, readout: &Readout) {
        let channels: BTreeSet<u8> = self.points.iter().map(channel).collect();
        for of in channels {
            let after = match of {
                0 => readout.serial.clone(),
                behind => readout.text_of(Obis::serials_behind(behind)),
            };
            let Some(after) = after else { continue };
            let points = &self.points;
            let is_its = |address| {
                points
                    .iter()
                    .any(|point| point.address == address && channel(point) == of)
            };
            let Some(before) = self.counters.meter_is(of, &after, is_its) else {
                continue;
            };
            tracing::warn!("Another meter is in this place");
            tracing::debug!(before, after, "Numbers of the meters");
            self.notes.push(Note {
                what: "meter_exchanged",
                text: "another meter is in this place: its counters count from where they are"
                    .into(),
                detail: format!("{before} before, {after} now"),
            });
        }
    }

    fn watch_errors(&mut self, readout: &Readout) {
        if let Some(register) = readout.error.as_ref().filter(|_| self.error.is_none()) {
            tracing::warn!(register, "Meter reports an error of its own");
            self.notes.push(Note {
                what: "meter_error",
                text: "the meter reports an error of its own".into(),
                detail: register.clone(),
            });
        }
        self.error.clone_from(&readout.error);
    }
}

/// Of the meter behind this one that the point belongs to; 0 is this one.
fn channel(point: &MeterPoint) -> u8 {
    match &point.register {
        Register::Obis(obis) => obis.channel_behind(),
        Register::Record(_) => 0,
    }
}

struct Judged {
    measured: Measured,
    doubt: Option<String>,
}

/// A counter's reading as it is believed.
fn judge(
    point: &MeterPoint,
    measured: Measured,
    counters: &mut Counters,
    notes: &mut Vec<Note>,
) -> Judged {
    // What is not believed anyway must not become what the next reading is held against.
    let number = number(&measured.value).filter(|_| measured.quality != Quality::Bad);
    let Some(number) = number else {
        return Judged {
            measured,
            doubt: None,
        };
    };
    let register = &point.register;
    match counters.count(point.address, number) {
        Counted::On => Judged {
            measured,
            doubt: None,
        },
        Counted::Back { held, is_first } => {
            let doubt = format!("{register} has gone from {held} back to {number}: not believed");
            if is_first {
                tracing::warn!(%register, "Counter has gone backwards");
                notes.push(Note {
                    what: "counter_back",
                    text: format!("counter {register} has gone backwards and is not believed"),
                    detail: format!("from {held} to {number}"),
                });
            }
            let value = Value::Decimal(held).fit(point.data_type);
            Judged {
                measured: Measured {
                    value: value.unwrap_or(measured.value),
                    quality: Quality::Bad,
                    time: None,
                },
                doubt: Some(doubt),
            }
        }
        Counted::Restarted { from } => {
            tracing::warn!(%register, "Counter counts anew");
            notes.push(Note {
                what: "counter_restarted",
                text: format!("counter {register} counts from a smaller number on"),
                detail: format!("from {from} to {number}"),
            });
            Judged {
                measured,
                doubt: None,
            }
        }
    }
}

fn number(value: &Value) -> Option<Decimal> {
    match value {
        Value::Decimal(number) => Some(*number),
        Value::Integer(number) | Value::Time(number) => Some(Decimal::from(*number)),
        Value::Unsigned(number) => i64::try_from(*number).ok().map(Decimal::from),
        Value::Boolean(_)
        | Value::Corelnk(_)
        | Value::Float(_)
        | Value::Objlnk(_)
        | Value::Opaque(_)
        | Value::String(_) => None,
    }
}

fn sample(point: &MeterPoint, measured: Measured, readout: &Readout, at: Stamp) -> Sample {
    let quality = match measured.quality {
        Quality::Good if readout.error.is_some() => Quality::Unchecked,
        quality @ (Quality::Bad | Quality::Good | Quality::Stale | Quality::Unchecked) => quality,
    };
    Sample {
        quality,
        source_time: measured.time,
        ..Sample::good(point.address, measured.value, at)
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_model::{BootId, DataType, ResourceAddress};

    use super::*;
    use crate::meter::{Content, MeterUnit, Reading};

    const ENERGY: ResourceAddress = ResourceAddress::gateway(3331, 0, 5700);
    const VOLTAGE: ResourceAddress = ResourceAddress::gateway(3316, 0, 5700);
    const SERIAL: ResourceAddress = ResourceAddress::gateway(3331, 0, 5750);
    const FAILURES: ResourceAddress = ResourceAddress::gateway(3421, 0, 37);
    const AT: Stamp = Stamp {
        boot: BootId(1),
        mono: std::time::Duration::ZERO,
    };

    fn point(address: ResourceAddress, obis: &str, data_type: DataType, unit: &str) -> MeterPoint {
        let obis: Obis = obis.parse().unwrap();
        MeterPoint {
            unit: (!unit.is_empty()).then(|| unit.parse().unwrap()),
            ..MeterPoint::new(address, obis.into(), data_type)
        }
    }

    fn reading(obis: &str, text: &str, unit: &str) -> Reading {
        let obis: Obis = obis.parse().unwrap();
        Reading::good(
            obis.into(),
            Content::Text(text.to_owned()),
            MeterUnit::parse(unit),
        )
    }

    fn ledger() -> Ledger {
        let energy = MeterPoint {
            monotonic: true,
            ..point(ENERGY, "1-0:1.8.0", DataType::Float, "Wh")
        };
        let voltage = MeterPoint {
            valid: Some((Decimal::from(100), Decimal::from(300))),
            ..point(VOLTAGE, "32.7.0", DataType::Float, "V")
        };
        let serial = point(SERIAL, "C.1.0", DataType::String, "");
        let failures = point(FAILURES, "96.7.21", DataType::Integer, "");
        Ledger::new(vec![energy, voltage, serial, failures], Counters::default())
    }

    fn readout(energy: &str, serial: &str) -> Readout {
        Readout {
            serial: Some(serial.to_owned()),
            readings: vec![
                reading("1-0:1.8.0*255", energy, "kWh"),
                reading("32.7.0", "230.1", "V"),
                reading("0-0:96.1.0", serial, ""),
                reading("0-0:96.7.21", "00004", ""),
            ],
            ..Readout::default()
        }
    }

    fn shown(samples: &[Sample]) -> Vec<String> {
        samples
            .iter()
            .map(|sample| format!("{} {} {:?}", sample.address, sample.value, sample.quality))
            .collect()
    }

    fn noted(ledger: &mut Ledger) -> Vec<&'static str> {
        ledger.take_notes().iter().map(|note| note.what).collect()
    }

    #[test]
    fn one_readout_feeds_all_points_exactly() {
        let mut ledger = ledger();
        let samples = ledger.take(&readout("0012345.678", "0007"), AT).unwrap();
        assert_eq!(
            shown(&samples),
            [
                "/3331/0/5700 12345678 Good",
                "/3316/0/5700 230.1 Good",
                "/3331/0/5750 0007 Good",
                "/3421/0/37 4 Good",
            ]
        );
        assert!(matches!(samples[0].value, Value::Decimal(_)));
        assert!(ledger.remarks().is_empty());
    }

    #[test]
    fn a_counter_that_runs_backwards_keeps_its_value_and_is_told_once() {
        let mut ledger = ledger();
        ledger.take(&readout("100", "7"), AT).unwrap();
        for _ in 0..2 {
            let samples = ledger.take(&readout("99", "7"), AT).unwrap();
            assert_eq!(shown(&samples)[0], "/3331/0/5700 100000 Bad");
            assert_eq!(
                ledger.remarks(),
                ["1-0:1.8.0 has gone from 100000 back to 99000: not believed"]
            );
        }
        assert_eq!(noted(&mut ledger), ["counter_back"]);
        let samples = ledger.take(&readout("99", "7"), AT).unwrap();
        assert_eq!(shown(&samples)[0], "/3331/0/5700 99000 Good");
        assert_eq!(noted(&mut ledger), ["counter_restarted"]);
        assert!(ledger.remarks().is_empty());
    }

    #[test]
    fn an_exchanged_meter_counts_from_where_it_is() {
        let mut ledger = ledger();
        ledger.take(&readout("100", "7"), AT).unwrap();
        let samples = ledger.take(&readout("3", "8"), AT).unwrap();
        assert_eq!(shown(&samples)[0], "/3331/0/5700 3000 Good");
        assert_eq!(noted(&mut ledger), ["meter_exchanged"]);
    }

    #[test]
    fn an_error_of_the_meter_makes_its_values_unchecked_and_is_told_once() {
        let mut ledger = ledger();
        let broken = Readout {
            error: Some("00000080".into()),
            ..readout("100", "7")
        };
        for _ in 0..2 {
            let samples = ledger.take(&broken, AT).unwrap();
            assert_eq!(shown(&samples)[0], "/3331/0/5700 100000 Unchecked");
        }
        assert_eq!(noted(&mut ledger), ["meter_error"]);
        assert_eq!(
            ledger.remarks(),
            ["the meter reports an error of its own: 00000080"]
        );
    }

    #[test]
    fn values_beyond_belief_are_bad() {
        let mut ledger = ledger();
        let mut absurd = readout("100", "7");
        absurd.readings[1] = reading("32.7.0", "9999", "V");
        let samples = ledger.take(&absurd, AT).unwrap();
        assert_eq!(shown(&samples)[1], "/3316/0/5700 9999 Bad");
    }

    #[test]
    fn what_gives_no_value_is_left_out_with_a_reason() {
        let mut ledger = ledger();
        let odd = Readout {
            readings: vec![
                reading("1-0:1.8.0", "1O0", "kWh"),
                reading("32.7.0", "230", "quux"),
            ],
            ..Readout::default()
        };
        let fault = ledger.take(&odd, AT).unwrap_err();
        assert_eq!(
            fault,
            Fault::Device("1-0:1.8.0 is not a number: 1O0".into())
        );
        assert_eq!(
            ledger.remarks(),
            [
                "1-0:1.8.0 is not a number: 1O0",
                "32.7.0 comes in an unknown unit: quux",
                "the meter has no 96.7.21",
                "the meter has no C.1.0",
            ]
        );
    }
}
