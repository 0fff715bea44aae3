//! Commands that do to the running agent what a server can: read, write, execute, discover, watch.

use std::io::{self, Write};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    args::{Global, Hold},
    client::{Client, query, target},
    exit::Failure,
    screen::{self, Table},
};

/// What the API says of one value, as far as people are shown it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reading {
    pub(super) path: String,
    pub(super) name: Option<String>,
    pub(super) value: Value,
    pub(super) unit: Option<String>,
    pub(super) time: Option<String>,
    pub(super) quality: Option<String>,
    pub(super) device: Option<String>,
    pub(super) age_s: Option<f64>,
    pub(super) resource: Option<String>,
    pub(super) error: Option<String>,
}

pub(super) fn read(global: &Global, path: &str, out: &mut impl Write) -> Result<(), Failure> {
    let answer = Client::new(&global.run_dir())?.get(&format!("objects/{}", target(path)))?;
    if global.json {
        return screen::print_json(out, &answer);
    }
    let is_list = answer.is_array();
    let readings = readings(answer)?;
    if let ([reading], false) = (readings.as_slice(), is_list) {
        return Ok(print_one(reading, out)?);
    }
    Ok(table(&readings).print(out, "")?)
}

pub(super) fn write(
    global: &Global,
    path: &str,
    value: &str,
    hold: Hold,
    out: &mut impl Write,
) -> Result<(), Failure> {
    // The agent knows the type of the resource and reads the text as that.
    let mut body = json!({ "value": value });
    if let Some(hold) = hold.hold {
        body["for_s"] = json!(hold.as_secs());
    }
    let answer =
        Client::new(&global.run_dir())?.put(&format!("objects/{}", target(path)), &body)?;
    done(global, &answer, out)
}

pub(super) fn execute(
    global: &Global,
    path: &str,
    args: Option<&str>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let body = json!({ "args": args.unwrap_or_default() });
    let answer =
        Client::new(&global.run_dir())?.post(&format!("objects/{}", target(path)), &body)?;
    done(global, &answer, out)
}

/// Done when the lock is on the disk.
pub(super) fn lock(global: &Global, name: &str, out: &mut impl Write) -> Result<(), Failure> {
    let answer = Client::new(&global.run_dir())?.post("lock", &json!({ "name": name }))?;
    done(global, &answer, out)
}

pub(super) fn unlock(
    global: &Global,
    name: Option<&str>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let body = name.map_or_else(|| json!({}), |name| json!({ "name": name }));
    let answer = Client::new(&global.run_dir())?.post("unlock", &body)?;
    done(global, &answer, out)
}

/// Done when the servers have confirmed it.
pub(super) fn send(
    global: &Global,
    paths: &[String],
    server: Option<&str>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut body = json!({ "paths": paths });
    if let Some(server) = server {
        body["server"] = json!(server);
    }
    let answer = Client::new(&global.run_dir())?.post("send", &body)?;
    done(global, &answer, out)
}

pub(super) fn discover(global: &Global, path: &str, out: &mut impl Write) -> Result<(), Failure> {
    let links =
        Client::new(&global.run_dir())?.get_text(&format!("objects/{}?discover", target(path)))?;
    let links: Vec<&str> = links.split(",<").collect();
    let links: Vec<String> = links
        .iter()
        .enumerate()
        .map(|(at, link)| {
            if at == 0 {
                (*link).to_owned()
            } else {
                format!("<{link}")
            }
        })
        .collect();
    if global.json {
        return screen::print_json(out, &json!(links));
    }
    for link in links {
        writeln!(out, "{link}")?;
    }
    Ok(())
}

pub(super) fn watch(
    global: &Global,
    paths: &[String],
    out: &mut impl Write,
) -> Result<(), Failure> {
    let queries: Vec<String> = paths
        .iter()
        .map(|path| format!("path={}", query(path)))
        .collect();
    Client::new(&global.run_dir())?.events(
        &format!("watch?{}", queries.join("&")),
        |event, data| {
            if !event.is_empty() {
                return Ok(());
            }
            if global.json {
                writeln!(out, "{data}")?;
            } else {
                let reading: Reading = serde_json::from_str(data).map_err(io::Error::from)?;
                print_line(&reading, out)?;
            }
            Ok(out.flush()?)
        },
    )
}

/// One reading or a list of them.
pub(super) fn readings(answer: Value) -> Result<Vec<Reading>, Failure> {
    let list = if answer.is_array() {
        answer
    } else {
        json!([answer])
    };
    serde_json::from_value(list)
        .map_err(|error| Failure::failed(format!("the agent's answer is not understood: {error}")))
}

/// Readings as rows.
pub(super) fn table(readings: &[Reading]) -> Table {
    let mut table = Table::head(["PATH", "NAME", "VALUE", "AGE", "QUALITY"]);
    for reading in readings {
        table.row([
            reading.path.clone(),
            reading
                .name
                .clone()
                .or_else(|| reading.resource.clone())
                .unwrap_or_default(),
            screen::value(&reading.value, reading.unit.as_deref()),
            reading.age_s.map(screen::duration).unwrap_or_default(),
            reading
                .quality
                .clone()
                .unwrap_or_else(|| "never read".to_owned()),
        ]);
    }
    table
}

fn print_one(reading: &Reading, out: &mut impl Write) -> io::Result<()> {
    let value = screen::value(&reading.value, reading.unit.as_deref());
    let age = reading.age_s.map_or_else(String::new, |age| {
        format!(", {} old", screen::duration(age))
    });
    let quality = reading.quality.as_deref().unwrap_or("never read");
    let device = reading
        .device
        .as_ref()
        .map_or_else(String::new, |device| format!(", from {device}"));
    writeln!(out, "{value}  ({quality}{age}{device})")?;
    match &reading.error {
        Some(error) => writeln!(out, "the last known value: {error}"),
        None => Ok(()),
    }
}

fn print_line(reading: &Reading, out: &mut impl Write) -> io::Result<()> {
    let name = reading.name.as_deref().unwrap_or(&reading.path);
    let value = screen::value(&reading.value, reading.unit.as_deref());
    let quality = match reading.quality.as_deref() {
        Some("good") => String::new(),
        Some(other) => format!("  {other}"),
        None => "  never read".to_owned(),
    };
    let time = reading
        .time
        .as_ref()
        .map_or_else(String::new, |time| format!("{time}  "));
    writeln!(out, "{time}{name}  {value}{quality}")
}

fn done(global: &Global, answer: &Value, out: &mut impl Write) -> Result<(), Failure> {
    if global.json {
        screen::print_json(out, answer)
    } else {
        Ok(())
    }
}
