//! What meters have, in their own words: whole readouts.

use std::collections::BTreeMap;

use lamplighter_adapters::meter::{Board, Reading, Readout, Register, View, usual};
use lamplighter_model::{Quality, UnixTime};
use serde::{Deserialize, Serialize};

use crate::{
    config::{self, Config, DeviceKind, MeterPoint},
    status::time::rfc3339,
};

/// All meters of an agent, or the one that the command line has opened.
#[derive(Debug, Default)]
pub(crate) struct Meters(BTreeMap<String, Meter>);

#[derive(Debug)]
struct Meter {
    adapter: &'static str,
    points: Vec<MeterPoint>,
    board: Board,
}

/// `GET /meters/NAME`: a meter, and what it told last.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct MeterView {
    pub device: String,
    /// `iec62056`, `sml`, `p1` …
    pub adapter: String,
    /// What is being done with it now; empty while nothing is.
    pub stage: String,
    /// Of the readout that goes on.
    pub bytes: u64,
    /// Readouts that have come to an end, well or not.
    pub ended: u64,
    /// Why the last one failed.
    pub failure: Option<String>,
    /// What is wrong with what was read.
    pub remarks: Vec<String>,
    /// The last good one; null where there is none, or none since the one that was asked about.
    pub readout: Option<ReadoutView>,
}

/// Everything that a meter told in one go.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ReadoutView {
    /// As it calls itself.
    pub meter: String,
    pub serial: Option<String>,
    /// What the meter says is wrong with itself.
    pub error: Option<String>,
    pub took_s: Option<f64>,
    pub readings: Vec<ReadingView>,
}

/// One register, as the meter writes it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ReadingView {
    /// `1-0:1.8.0`
    pub obis: String,
    /// Of several values of one register the how-manieth.
    pub place: u8,
    pub value: String,
    pub unit: String,
    /// The meter's own time of the value.
    pub time: Option<String>,
    pub quality: String,
    /// Where it goes.
    pub points: Vec<PlaceView>,
    /// Object and resource that it usually is, where it goes nowhere: `/3331/N/5700`.
    pub usual: Option<String>,
}

/// A point that a register is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct PlaceView {
    pub point: String,
    pub path: String,
}

impl Meters {
    pub(crate) fn add(&mut self, device: &str, meter: &config::Meter, board: Board) {
        let meter = Meter {
            adapter: meter.adapter(),
            points: meter.points.clone(),
            board,
        };
        self.0.insert(device.to_owned(), meter);
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// A meter, with its readout where one has ended after the first `after` of them.
    pub(crate) fn view(&self, device: &str, after: Option<u64>) -> Option<MeterView> {
        let meter = self.0.get(device)?;
        let view = meter.board.view();
        let is_news = after.is_none_or(|after| view.ended > after);
        Some(MeterView {
            device: device.to_owned(),
            adapter: meter.adapter.to_owned(),
            stage: view.progress.stage.clone(),
            bytes: view.progress.bytes,
            ended: view.ended,
            failure: view.failure.clone(),
            remarks: view.remarks.clone(),
            readout: readout(&view, &meter.points).filter(|_| is_news),
        })
    }

    /// Asks a meter for a readout, and says how many had ended before.
    pub(crate) fn ask(&self, device: &str) -> Option<u64> {
        Some(self.0.get(device)?.board.ask())
    }
}

/// The only meter that is configured, or the one of this name.
pub(crate) fn pick<'a>(
    config: &'a Config,
    name: Option<&str>,
) -> Result<(&'a config::Device, &'a config::Meter), String> {
    let meters = config
        .devices
        .iter()
        .filter_map(|device| match &device.kind {
            DeviceKind::Meter(meter) => Some((device, meter)),
            DeviceKind::Gpio(_)
            | DeviceKind::Modbus(_)
            | DeviceKind::Remote(_)
            | DeviceKind::Sim(_) => None,
        });
    let meters: Vec<_> = meters.collect();
    let names = meters.iter().map(|(device, _)| device.name.clone());
    let at = which(&names.collect::<Vec<_>>(), name)?;
    Ok(meters[at])
}

/// The place of the name that is meant.
pub(crate) fn which(names: &[String], wanted: Option<&str>) -> Result<usize, String> {
    let known = names.join(", ");
    match (wanted, names) {
        (_, []) => Err("no meter is configured; name a port: --port /dev/…".to_owned()),
        (Some(wanted), names) => names
            .iter()
            .position(|name| name == wanted)
            .ok_or_else(|| format!("no meter {wanted}; there is {known}")),
        (None, [_]) => Ok(0),
        (None, _) => Err(format!("which meter? there is {known}")),
    }
}

fn readout(view: &View, points: &[MeterPoint]) -> Option<ReadoutView> {
    let Readout {
        meter,
        serial,
        error,
        readings,
    } = view.last.as_deref()?;
    Some(ReadoutView {
        meter: meter.clone(),
        serial: serial.clone(),
        error: error.clone(),
        took_s: view.took.map(|took| took.as_secs_f64()),
        readings: readings
            .iter()
            .map(|reading| reading_view(reading, points))
            .collect(),
    })
}

fn reading_view(reading: &Reading, points: &[MeterPoint]) -> ReadingView {
    let is_it = |point: &&MeterPoint| {
        reading.place == 0 && point.config.register.matches(&reading.register)
    };
    let places: Vec<PlaceView> = points
        .iter()
        .filter(is_it)
        .map(|point| PlaceView {
            point: point.point.name.clone(),
            path: point.point.address.to_string(),
        })
        .collect();
    let usual = match &reading.register {
        Register::Obis(obis) if reading.place == 0 && places.is_empty() => usual(obis),
        Register::Obis(_) | Register::Record(_) => None,
    };
    ReadingView {
        obis: reading.register.to_string(),
        place: reading.place,
        value: reading.content.to_string(),
        unit: reading.unit.to_string(),
        time: reading.time.map(|UnixTime(ms)| rfc3339(UnixTime(ms))),
        quality: match reading.quality {
            Quality::Bad => "bad",
            Quality::Good => "good",
            Quality::Stale => "stale",
            Quality::Unchecked => "unchecked",
        }
        .to_owned(),
        points: places,
        usual: usual.map(|usual| format!("/{}/N/{}", usual.object, usual.resource)),
    }
}
