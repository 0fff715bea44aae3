//! `modbus scan`: every unit is asked once, at every speed that is to be tried.

use std::io::{IsTerminal as _, Write};

use indicatif::{ProgressBar, ProgressStyle};
use lamplighter_adapters::bus::LineSettings;
use serde::Serialize;
use serde_json::json;

use super::way::{Purpose, Wanted, Way};
use crate::{
    cli::{
        args::{self, Global},
        exit::{Exit, Failure},
        screen::{self, Table},
    },
    commission::{LineView, Probe},
};

/// Without a terminal a line of progress comes after so many questions.
const TOLD_EVERY: u64 = 50;

#[derive(Debug, Serialize)]
struct Report {
    bus: String,
    asked: u64,
    found: Vec<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    unit: u8,
    /// `9600-8E1`, of a serial line.
    line: Option<String>,
    answer: String,
    round_trip_ms: Option<f64>,
    device: Option<String>,
}

pub(super) fn scan(
    global: &Global,
    options: &args::ModbusScan,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let wanted = options.bus.as_deref().map_or(Wanted::Any, Wanted::Bus);
    let way = Way::open(global, &options.port, wanted, Purpose::Look)?;
    let line = line_of(options.bus.as_deref(), way.lines()?)?;
    let settings = settings_of(&line, options)?;
    let units = u64::from(*options.units.end() - *options.units.start()) + 1;
    let rounds = settings.len().max(1);
    let progress = Progress::new(units * u64::try_from(rounds).unwrap_or(1));
    let mut report = Report {
        bus: line.bus.clone(),
        asked: 0,
        found: Vec::new(),
    };
    for round in 0..rounds {
        let speed = settings.get(round).map(ToString::to_string);
        for unit in options.units.clone() {
            progress.tell(unit, speed.as_deref(), report.found.len());
            let probed = way.probe(&Probe {
                bus: line.bus.clone(),
                unit,
                line: speed.clone(),
                timeout_ms: options.port.timeout_ms,
            })?;
            report.asked += 1;
            progress.step();
            if let Some(answer) = probed.answer {
                report.found.push(Found {
                    unit,
                    line: speed.clone().or_else(|| line.line.clone()),
                    answer,
                    round_trip_ms: probed.round_trip_ms,
                    device: probed.device,
                });
            }
        }
    }
    progress.end();
    if global.json {
        screen::print_json(out, &json!(report))?;
    } else {
        report.print(out)?;
    }
    if report.found.is_empty() {
        return Err(Failure::new(
            Exit::Failed,
            "nobody answers: look at the wires (A and B swapped?), the termination, the speed and the parity",
        ));
    }
    Ok(())
}

/// The line that is meant.
fn line_of(name: Option<&str>, mut lines: Vec<LineView>) -> Result<LineView, Failure> {
    let known = lines.iter().map(|line| line.bus.clone());
    let known = known.collect::<Vec<_>>().join(", ");
    if let Some(name) = name {
        let found = lines.into_iter().find(|line| line.bus == name);
        return found
            .ok_or_else(|| Failure::usage(format!("no Modbus line {name}; there is {known}")));
    }
    match lines.len() {
        1 => Ok(lines.remove(0)),
        0 => Err(Failure::usage(
            "the agent uses no Modbus line; name a port: --port /dev/…",
        )),
        _ => Err(Failure::usage(format!("which line? there is {known}"))),
    }
}

/// Every combination that is to be tried; none where only the line's own is.
fn settings_of(line: &LineView, options: &args::ModbusScan) -> Result<Vec<LineSettings>, Failure> {
    if options.speeds.is_empty() && options.parity.is_empty() {
        return Ok(Vec::new());
    }
    let own = line
        .line
        .as_ref()
        .and_then(|own| own.parse::<LineSettings>().ok());
    let Some(own) = own else {
        return Err(Failure::usage(
            "only a serial line has a speed and a parity",
        ));
    };
    let speeds = if options.speeds.is_empty() {
        &[own.baud][..]
    } else {
        &options.speeds
    };
    let parities = if options.parity.is_empty() {
        &[own.parity][..]
    } else {
        &options.parity
    };
    let mut all = Vec::new();
    for baud in speeds {
        for parity in parities {
            let settings = LineSettings {
                baud: *baud,
                parity: *parity,
                ..own
            };
            if *baud == 0 || *baud > 4_000_000 {
                return Err(Failure::usage(format!("{baud} is not a speed")));
            }
            all.push(settings);
        }
    }
    Ok(all)
}

impl Report {
    fn print(&self, out: &mut impl Write) -> Result<(), Failure> {
        let mut table = Table::head(["UNIT", "LINE", "TOOK", "DEVICE", "ANSWER"]);
        for found in &self.found {
            table.row([
                found.unit.to_string(),
                found.line.clone().unwrap_or_default(),
                found
                    .round_trip_ms
                    .map_or_else(String::new, |took| format!("{took:.1} ms")),
                found.device.clone().unwrap_or_default(),
                found.answer.clone(),
            ]);
        }
        if !self.found.is_empty() {
            table.print(out, "")?;
        }
        let (found, asked) = (self.found.len(), self.asked);
        Ok(writeln!(
            out,
            "{found} of {asked} answered on {}",
            self.bus
        )?)
    }
}

/// A bar on a terminal, a line now and then elsewhere; both on stderr.
enum Progress {
    Bar(ProgressBar),
    Lines {
        done: std::cell::Cell<u64>,
        all: u64,
    },
}

impl Progress {
    fn new(all: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines {
                done: std::cell::Cell::new(0),
                all,
            };
        }
        let bar = ProgressBar::new(all);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} left  {msg}") {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    fn tell(&self, unit: u8, line: Option<&str>, found: usize) {
        if let Self::Bar(bar) = self {
            let line = line.map_or_else(String::new, |line| format!(" at {line}"));
            bar.set_message(format!("unit {unit}{line}, {found} found"));
        }
    }

    fn step(&self) {
        match self {
            Self::Bar(bar) => bar.inc(1),
            Self::Lines { done, all } => {
                done.set(done.get() + 1);
                if done.get().is_multiple_of(TOLD_EVERY) {
                    let mut err = std::io::stderr();
                    let _ = writeln!(err, "{} of {all} asked", done.get());
                }
            }
        }
    }

    fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
