//! `lamplighter gpio`: which lines there are, and one of them by hand.

#[cfg(feature = "gpio-cdev")]
mod chips;
#[cfg(not(feature = "gpio-cdev"))]
#[path = "gpio/no_chips.rs"]
mod chips;

use std::{
    io::{self, Write},
    thread,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    args::{Global, Hold, gpio as args},
    client::Client,
    exit::{Exit, Failure},
    operate, screen,
    screen::Table,
};
use crate::{
    commission::{GpioLine, gpio::lines},
    config::Source,
};

pub(super) fn gpio(
    global: &Global,
    command: &args::Gpio,
    out: &mut impl Write,
) -> Result<(), Failure> {
    match command {
        args::Gpio::Get(options) => get(global, options, out),
        args::Gpio::List => list(global, out),
        args::Gpio::Set(options) => set(global, options, out),
    }
}

/// One row of `gpio list`.
#[derive(Debug, Serialize)]
struct Row {
    chip: String,
    line: String,
    number: Option<u32>,
    direction: &'static str,
    /// Who has it.
    user: Option<String>,
    point: Option<String>,
    /// Of the point, as the agent knows it.
    value: Value,
    quality: Option<String>,
}

fn list(global: &Global, out: &mut impl Write) -> Result<(), Failure> {
    let known = known(global)?;
    let mut rows: Vec<Row> = known
        .iter()
        .filter(|known| known.simulated)
        .map(simulated)
        .collect();
    match chips::rows(&known) {
        Ok(of_chips) => rows.extend(of_chips),
        Err(failure) if rows.is_empty() => return Err(failure),
        Err(_) => (),
    }
    values(global, &mut rows);
    if global.json {
        return screen::print_json(out, &json!(rows));
    }
    let mut table = Table::head([
        "CHIP",
        "LINE",
        "NO",
        "DIRECTION",
        "USED BY",
        "POINT",
        "VALUE",
    ]);
    for row in rows {
        let number = row
            .number
            .map_or_else(String::new, |number| number.to_string());
        let value = match (&row.value, row.quality.as_deref()) {
            (Value::Null, _) => String::new(),
            (value, Some("good") | None) => screen::value(value, None),
            (value, Some(quality)) => format!("{} ({quality})", screen::value(value, None)),
        };
        table.row([
            row.chip,
            row.line,
            number,
            row.direction.to_owned(),
            row.user.unwrap_or_default(),
            row.point.unwrap_or_default(),
            value,
        ]);
    }
    Ok(table.print(out, "")?)
}

fn get(global: &Global, options: &args::Get, out: &mut impl Write) -> Result<(), Failure> {
    let known = known(global)?;
    let point = point_of(&known, &options.line, options.chip.as_deref())?;
    if let Some(point) = point
        && (Client::new(&global.run_dir())?.listens() || point.simulated)
    {
        return operate::read(global, &point.point, out);
    }
    let (chip, line, active_low) = match point {
        Some(known) => (known.chip.as_deref(), known.line.as_str(), known.active_low),
        None => (options.chip.as_deref(), options.line.as_str(), false),
    };
    let high = chips::level(chip, line)?;
    let is_on = high != active_low;
    if global.json {
        return screen::print_json(out, &json!({ "line": line, "high": high, "value": is_on }));
    }
    let level = if high { "high" } else { "low" };
    let state = if is_on { "on" } else { "off" };
    Ok(writeln!(out, "{state}  ({line} is {level})")?)
}

fn set(global: &Global, options: &args::Set, out: &mut impl Write) -> Result<(), Failure> {
    let known = known(global)?;
    let level = if options.level { "on" } else { "off" };
    let chip = options.chip.as_deref();
    let point = match point_of(&known, &options.line, chip)? {
        Some(point) => Some(point),
        // A line has several names.
        None => chips::owner(&known, chip, &options.line),
    };
    if let Some(known) = point {
        // Only the agent knows what else holds an output.
        let hold = Hold { hold: options.hold };
        return operate::write(global, &known.point, level, hold, out);
    }
    let _held = chips::hold(chip, &options.line, options.level)?;
    match options.hold {
        Some(time) => thread::sleep(time),
        None => {
            writeln!(
                io::stderr(),
                "{} is {level}; Enter lets go of it",
                options.line
            )?;
            io::stdin().read_line(&mut String::new())?;
        }
    }
    Ok(())
}

/// The point that is meant by its name or by its line.
fn point_of<'a>(
    known: &'a [GpioLine],
    wanted: &str,
    chip: Option<&str>,
) -> Result<Option<&'a GpioLine>, Failure> {
    if wanted.contains('.') {
        let found = known.iter().find(|known| known.point == wanted);
        return match found {
            Some(point) => Ok(Some(point)),
            None => Err(Failure::new(
                Exit::Refused,
                format!("{wanted} is no point on a GPIO line; see lamplighter gpio list"),
            )),
        };
    }
    let mut on_line = known.iter().filter(|known| {
        let of = known.chip.as_deref();
        known.line == wanted && (chip.is_none() || of.is_none() || of == chip)
    });
    match (on_line.next(), on_line.next()) {
        (found, None) => Ok(found),
        (_, Some(_)) => Err(Failure::usage(format!(
            "several points are on lines {wanted}: name the point"
        ))),
    }
}

/// What the agent has, else what is configured. Lines can be looked at whatever is wrong with the
/// configuration.
fn known(global: &Global) -> Result<Vec<GpioLine>, Failure> {
    let client = Client::new(&global.run_dir())?;
    if client.listens() {
        let lines = client.get("gpio")?;
        return serde_json::from_value(lines).map_err(|error| {
            Failure::failed(format!("the agent's answer is not understood: {error}"))
        });
    }
    let config = Source::of_process(global.config()).check().config;
    Ok(config.as_ref().map(lines).unwrap_or_default())
}

fn simulated(known: &GpioLine) -> Row {
    Row {
        chip: "sim".to_owned(),
        line: known.line.clone(),
        number: None,
        direction: if known.output { "output" } else { "input" },
        user: None,
        point: Some(known.point.clone()),
        value: Value::Null,
        quality: None,
    }
}

/// What the agent knows of the points; without one the rows stay as they are.
fn values(global: &Global, rows: &mut [Row]) {
    #[derive(Deserialize)]
    struct Point {
        name: Option<String>,
        value: Value,
        quality: Option<String>,
    }
    let Some(points) = Client::new(&global.run_dir())
        .ok()
        .and_then(|client| client.get("points").ok())
        .and_then(|points| serde_json::from_value::<Vec<Point>>(points).ok())
    else {
        return;
    };
    for row in rows {
        let known = points
            .iter()
            .find(|point| row.point.is_some() && point.name == row.point);
        if let Some(point) = known {
            row.value.clone_from(&point.value);
            row.quality.clone_from(&point.quality);
        }
    }
}
