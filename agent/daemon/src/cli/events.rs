//! `lamplighter events`: what happened at this box.

use std::io::{self, Write};

use serde::Deserialize;
use serde_json::Value;

use super::{
    args::{Events, Global},
    client::Client,
    exit::Failure,
    screen::{self, Table},
    show::understood,
};

/// As many as one answer of the agent holds.
const PAGE: usize = 1000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    id: u64,
    time: Option<String>,
    class: String,
    what: String,
    about: String,
    by: String,
    text: String,
}

pub(super) fn events(
    global: &Global,
    options: &Events,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let client = Client::new(&global.run_dir())?;
    if options.follow {
        let since = options.since.map(|since| format!("?since={since}"));
        let call = format!("events/follow{}", since.unwrap_or_default());
        return client.events(&call, |_, data| follow_one(global, data, out));
    }
    let mut all = Vec::new();
    let mut call = match options.since {
        Some(since) => format!("events?since={since}&limit={PAGE}"),
        None => "events".to_owned(),
    };
    loop {
        let page: Vec<Value> = understood(client.get(&call)?)?;
        let last = page.last().and_then(|event| event["id"].as_u64());
        let is_full = page.len() == PAGE;
        all.extend(page);
        match last {
            Some(last) if is_full => call = format!("events?since={last}&limit={PAGE}"),
            Some(_) | None => break,
        }
    }
    if global.json {
        return screen::print_json(out, &Value::Array(all));
    }
    let events: Vec<Event> = understood(Value::Array(all))?;
    let mut table = Table::head(["ID", "TIME", "CLASS", "WHAT", "ABOUT", "BY", ""]);
    for event in events {
        table.row([
            event.id.to_string(),
            event.time.unwrap_or_else(|| "–".to_owned()),
            event.class,
            event.what,
            event.about,
            event.by,
            event.text,
        ]);
    }
    Ok(table.print(out, "")?)
}

/// A line as soon as it happens.
fn follow_one(global: &Global, data: &str, out: &mut impl Write) -> Result<(), Failure> {
    if global.json {
        writeln!(out, "{data}")?;
    } else {
        let event: Event = serde_json::from_str(data).map_err(io::Error::from)?;
        let time = event.time.unwrap_or_else(|| "–".to_owned());
        let mut line = format!("{time}  {}  {}", event.class, event.what);
        for (before, words) in [
            (" ", &event.about),
            (" by ", &event.by),
            (": ", &event.text),
        ] {
            if !words.is_empty() {
                line.push_str(before);
                line.push_str(words);
            }
        }
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}
