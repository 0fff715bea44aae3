//! `lamplighter meter`: one readout, in the meter's own words; who is on an M-Bus.

mod scan;

use std::{
    cell::Cell,
    io::{IsTerminal as _, Write},
    path::PathBuf,
    pin::Pin,
    thread::sleep,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use lamplighter_adapters::{Adapter, Clock, mbus::ALONE, meter::Board, supervise::Limits};
use lamplighter_model::{ResourceAddress, Stamp, device::Fault, tables};
use serde_json::json;
use tokio::time::timeout;

use super::{
    args::{self, Global},
    client::Client,
    exit::{Exit, Failure},
    modbus::port,
    screen::{self, Table, plain},
};
use crate::{
    commission::{MeterView, Meters, ReadoutView, meter},
    config::{BusLine, Checked, Config, File, Hardware, Source},
    devices::meter::{Lines, Use, make},
};

/// How often the progress is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Without a terminal it is told after so many looks.
const TOLD_EVERY: u32 = 50;
/// Longer than any readout takes.
const MOST_LOOKS: u32 = 3300;
/// Name of the meter that --port makes.
const GIVEN: &str = "meter";

pub(super) fn meter(
    global: &Global,
    command: &args::meter::Meter,
    out: &mut impl Write,
) -> Result<(), Failure> {
    match command {
        args::meter::Meter::Read(options) => read(global, options, out),
        args::meter::Meter::Scan(options) => scan::scan(global, options, out),
    }
}

fn read(global: &Global, options: &args::meter::Read, out: &mut impl Write) -> Result<(), Failure> {
    let progress = Progress::new();
    let view = if options.port.is_some() {
        directly(global, &of_port(options)?, None, &progress)
    } else {
        let client = Client::new(&global.run_dir())?;
        if client.listens() {
            through_agent(&client, options.name.as_deref(), &progress)
        } else {
            let config = configuration(global)?;
            directly(global, &config, options.name.as_deref(), &progress)
        }
    };
    progress.end();
    let view = view?;
    let Some(readout) = &view.readout else {
        let words = view
            .failure
            .unwrap_or_else(|| "the meter told nothing".to_owned());
        return Err(Failure::new(Exit::Refused, words));
    };
    if global.json {
        return screen::print_json(out, &json!(view));
    }
    print(readout, &view, out)
}

/// The agent reads, we look on.
fn through_agent(
    client: &Client,
    name: Option<&str>,
    progress: &Progress,
) -> Result<MeterView, Failure> {
    let names: Vec<String> = typed(client.get("meters")?)?;
    let at = meter::which(&names, name).map_err(Failure::usage)?;
    let name = &names[at];
    let asked = client.post(&format!("meters/{name}/read"), &json!({}))?;
    let before = asked["ended"].as_u64().unwrap_or(0);
    for _ in 0..MOST_LOOKS {
        sleep(LOOK);
        let view = client.get(&format!("meters/{name}?after={before}"))?;
        let view: MeterView = typed(view)?;
        if view.ended > before {
            return Ok(match view.failure {
                Some(_) => MeterView {
                    readout: None,
                    ..view
                },
                None => view,
            });
        }
        progress.tell(&view);
    }
    Err(Failure::failed("the meter told nothing in time"))
}

/// We open the port ourselves.
fn directly(
    global: &Global,
    config: &Config,
    name: Option<&str>,
    progress: &Progress,
) -> Result<MeterView, Failure> {
    let (device, meter) = meter::pick(config, name).map_err(Failure::usage)?;
    let bus = config
        .bus(meter.bus)
        .ok_or_else(|| Failure::failed("its bus does not exist"))?;
    if let BusLine::Serial(serial) = &bus.line {
        port::is_free(&serial.device)?;
    }
    // Nobody asks when.
    let clock = Clock::new(Stamp::default);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut lines = Lines::new(&global.state_dir(), 0);
        let once = make(meter, bus, clock, &mut lines, Once).map_err(Failure::failed)?;
        let mut meters = Meters::default();
        meters.add(&device.name, meter, once.board);
        let mut reading = once.reading;
        let fault = loop {
            match timeout(LOOK, &mut reading).await {
                Ok(result) => break result.err(),
                Err(_) => {
                    if let Some(view) = meters.view(&device.name, None) {
                        progress.tell(&view);
                    }
                }
            }
        };
        let view = meters.view(&device.name, None).unwrap_or_default();
        Ok(MeterView {
            failure: view
                .failure
                .or_else(|| fault.map(|fault| fault.to_string())),
            ..view
        })
    })
}

/// An adapter that reads once.
struct Once;

struct Reading {
    reading: Pin<Box<dyn Future<Output = Result<(), Fault>>>>,
    board: Board,
}

impl Use for Once {
    type Out = Reading;

    fn with<A: Adapter>(self, mut adapter: A, limits: Limits, board: Board) -> Reading {
        let reading = async move {
            let anything = ResourceAddress::gateway(0, 0, 0).instance();
            timeout(limits.operation, adapter.read(anything, &[]))
                .await
                .unwrap_or(Err(Fault::Timeout))
                .map(drop)
        };
        Reading {
            reading: Box::pin(reading),
            board,
        }
    }
}

/// A configuration with nothing but the meter at the port that was given.
fn of_port(options: &args::meter::Read) -> Result<Config, Failure> {
    let path = options.port.clone().unwrap_or_default();
    let path = std::path::absolute(path)?;
    let is_pushed = options.mode.as_deref() == Some("D");
    let (adapter, usual) = match options.kind {
        args::meter::Kind::Iec62056 if is_pushed => ("iec62056", "2400-7E1"),
        args::meter::Kind::Iec62056 => ("iec62056", "300-7E1"),
        args::meter::Kind::Mbus => ("mbus", "2400-8E1"),
        args::meter::Kind::P1 => ("p1", "115200-8N1"),
        args::meter::Kind::Sml => ("sml", "9600-8N1"),
    };
    let line = options
        .line
        .map_or_else(|| usual.to_owned(), |line| line.to_string());
    let mut keys = Vec::new();
    let mut key = |name: &str, value: Option<serde_json::Value>| {
        keys.extend(value.map(|value| format!("{name} = {value}\n")));
    };
    key("mode", options.mode.as_ref().map(|mode| json!(mode)));
    if options.kind == args::meter::Kind::Mbus {
        let (name, value) = on_mbus(options.address.as_deref());
        key(name, Some(value));
    } else {
        key("address", options.address.as_ref().map(|text| json!(text)));
    }
    key("max_baud", options.max_baud.map(|baud| json!(baud)));
    let delay = options.baud_change_delay_ms;
    key("baud_change_delay_ms", delay.map(|delay| json!(delay)));
    key("wake_up", options.wake_up.then_some(json!(true)));
    let text = format!(
        "[client]\nendpoint = \"none\"\n[bus.{GIVEN}]\nkind = \"serial\"\ndevice = {}\nline = \"{line}\"\n\
         echo = {}\n{}[device.{GIVEN}]\nadapter = \"{adapter}\"\nbus = \"{GIVEN}\"\n\
         {}point = {{}}\n",
        json!(path.display().to_string()),
        options.echo,
        if options.software_parity {
            "software_parity = true\n"
        } else {
            ""
        },
        keys.concat()
    );
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
        text,
    });
    checked.config.ok_or_else(|| {
        let whats = checked.problems.iter().map(|problem| problem.what.as_str());
        Failure::usage(whats.collect::<Vec<_>>().join(", "))
    })
}

/// A number is a primary address, more digits are a secondary one; without either the only meter of
/// the line answers.
fn on_mbus(address: Option<&str>) -> (&'static str, serde_json::Value) {
    let Some(address) = address else {
        return ("address", json!(ALONE));
    };
    match address.parse::<u8>() {
        Ok(number) => ("address", json!(number)),
        Err(_) => ("secondary", json!(address)),
    }
}

fn configuration(global: &Global) -> Result<Config, Failure> {
    let Checked { config, problems } = Source::of_process(global.config()).check();
    config.ok_or_else(|| Failure::invalid(&problems))
}

fn typed<T: serde::de::DeserializeOwned>(answer: serde_json::Value) -> Result<T, Failure> {
    serde_json::from_value(answer)
        .map_err(|error| Failure::failed(format!("the agent's answer is not understood: {error}")))
}

fn print(readout: &ReadoutView, view: &MeterView, out: &mut impl Write) -> Result<(), Failure> {
    let mut table = Table::head(["OBIS", "VALUE", "UNIT", "PATH", "POINT"]);
    for reading in &readout.readings {
        let of = |each: fn(&crate::commission::PlaceView) -> &String| {
            let all = reading.points.iter().map(|place| each(place).clone());
            all.collect::<Vec<_>>().join(" ")
        };
        let path = match &reading.usual {
            Some(usual) => format!("({usual})"),
            None => of(|place| &place.path),
        };
        let obis = if reading.place == 0 {
            reading.obis.clone()
        } else {
            String::new()
        };
        table.row([
            obis,
            reading.value.clone(),
            reading.unit.clone(),
            path,
            of(|place| &place.point),
        ]);
    }
    let serial = readout.serial.as_ref();
    let serial = serial.map_or_else(String::new, |serial| format!(", number {serial}"));
    let took = readout.took_s.unwrap_or_default();
    let meter = plain(&readout.meter);
    writeln!(out, "{meter}{}, read in {took:.1} s", plain(&serial))?;
    if !readout.readings.is_empty() {
        table.print(out, "")?;
    }
    for remark in &view.remarks {
        writeln!(out, "{}", plain(remark))?;
    }
    Ok(())
}

/// A moving line on a terminal, a line now and then elsewhere; both on stderr.
enum Progress {
    Bar(ProgressBar),
    Lines(Cell<u32>),
}

impl Progress {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines(Cell::new(0));
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {msg}") {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    fn tell(&self, view: &MeterView) {
        let stage = if view.stage.is_empty() {
            "waiting for the meter"
        } else {
            &view.stage
        };
        let words = format!("{stage}, {} bytes", view.bytes);
        match self {
            Self::Bar(bar) => {
                bar.set_message(words);
                bar.tick();
            }
            Self::Lines(looks) => {
                looks.set(looks.get() + 1);
                if looks.get().is_multiple_of(TOLD_EVERY) {
                    let _ = writeln!(std::io::stderr(), "{words}");
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
