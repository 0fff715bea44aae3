//! Commands that show the state of the running agent.

use std::{collections::BTreeMap, io::Write};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    args::Global,
    bearer::{Bearer, Choice, bearer_table, choice_words},
    client::{Client, query},
    exit::Failure,
    operate::{readings, table},
    screen::{self, Table},
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) servers: Vec<Server>,
    bearers: Vec<Bearer>,
    bearer_choice: Choice,
    devices: Vec<Device>,
    rules: Vec<Rule>,
    problems: Vec<ProblemLine>,
    endpoint: String,
    version: String,
    uptime_s: f64,
    bootstrap: Option<Bootstrap>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Bootstrap {
    uri: String,
    state: String,
    since_s: Option<f64>,
    last_error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) state: String,
    since_s: Option<f64>,
    pub(super) uri: String,
    version: Option<String>,
    pub(super) last_error: Option<String>,
    retry_in_s: Option<f64>,
    asleep: bool,
    queued: u64,
    dropped: u64,
    owner: bool,
    rights: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Device {
    name: String,
    adapter: String,
    state: String,
    since_s: Option<f64>,
    detail: String,
    points: u64,
    points_good: u64,
    errors: BTreeMap<String, u64>,
    notes: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rule {
    name: String,
    kind: String,
    state: String,
    path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemLine {
    about: String,
    text: String,
    since_s: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Why {
    name: String,
    commanded: Value,
    in_effect: Value,
    measured: Value,
    slots: Vec<WhySlot>,
    guard_left_s: Option<f64>,
    held_by: Option<String>,
    limited: Option<String>,
    refused: Option<WhyRefused>,
    rules: Vec<WhyRule>,
    result: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WhyRefused {
    value: Value,
    by: String,
    reason: String,
    since_s: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WhyRule {
    name: String,
    kind: String,
    says: String,
    next_in_s: Option<f64>,
    next: Option<bool>,
    next_level: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WhySlot {
    slot: String,
    value: Value,
    by: String,
    since_s: f64,
    ends_in_s: Option<f64>,
}

pub(super) fn status(global: &Global, out: &mut impl Write) -> Result<(), Failure> {
    let answer = Client::new(&global.run_dir())?.get("status")?;
    if global.json {
        return screen::print_json(out, &answer);
    }
    let status: Status = understood(answer)?;
    writeln!(
        out,
        "{}: lamplighter {}, up {}",
        status.endpoint,
        status.version,
        screen::duration(status.uptime_s)
    )?;
    if status.servers.is_empty() && status.bootstrap.is_none() {
        writeln!(out, "not configured: lamplighter setup")?;
    }
    if let Some(bootstrap) = &status.bootstrap {
        let error = bootstrap.last_error.as_deref();
        writeln!(
            out,
            "bootstrap server {}: {} ({}){}",
            bootstrap.uri,
            bootstrap.state,
            since(bootstrap.since_s),
            error.map_or_else(String::new, |why| format!(": {why}"))
        )?;
    }
    if !status.servers.is_empty() {
        writeln!(out)?;
        server_table(&status.servers).print(out, "")?;
    }
    if !status.bearers.is_empty() {
        writeln!(out)?;
        bearer_table(&status.bearers).print(out, "")?;
    }
    if let Some(words) = choice_words(&status.bearer_choice) {
        writeln!(out, "{words}")?;
    }
    if !status.devices.is_empty() {
        writeln!(out)?;
        device_table(&status.devices).print(out, "")?;
    }
    if !status.rules.is_empty() {
        writeln!(out)?;
        let mut rules = Table::head(["RULE", "KIND", "STATE", "PARAMETERS"]);
        for Rule {
            name,
            kind,
            state,
            path,
        } in status.rules
        {
            rules.row([name, kind, state, path]);
        }
        rules.print(out, "")?;
    }
    if !status.problems.is_empty() {
        writeln!(out)?;
    }
    for problem in &status.problems {
        writeln!(
            out,
            "! {}: {} ({})",
            problem.about,
            problem.text,
            since(problem.since_s)
        )?;
    }
    Ok(())
}

pub(super) fn devices(global: &Global, out: &mut impl Write) -> Result<(), Failure> {
    let answer = Client::new(&global.run_dir())?.get("devices")?;
    if global.json {
        return screen::print_json(out, &answer);
    }
    let devices: Vec<Device> = understood(answer)?;
    Ok(device_table(&devices).print(out, "")?)
}

pub(super) fn points(global: &Global, out: &mut impl Write) -> Result<(), Failure> {
    let answer = Client::new(&global.run_dir())?.get("points")?;
    if global.json {
        return screen::print_json(out, &answer);
    }
    Ok(table(&readings(answer)?).print(out, "")?)
}

pub(super) fn why(global: &Global, name: &str, out: &mut impl Write) -> Result<(), Failure> {
    let answer = Client::new(&global.run_dir())?.get(&format!("why?name={}", query(name)))?;
    if global.json {
        return screen::print_json(out, &answer);
    }
    let why: Why = understood(answer)?;
    let value = |value: &Value| screen::value(value, None);
    writeln!(
        out,
        "{}: commanded {}, in effect {}, measured {}",
        why.name,
        value(&why.commanded),
        value(&why.in_effect),
        value(&why.measured)
    )?;
    let mut slots = Table::head(["", "WHO", "VALUE", "BY", "SINCE", "ENDS"]);
    for (at, slot) in why.slots.iter().enumerate() {
        slots.row([
            if at == 0 { "commands" } else { "overruled" }.to_owned(),
            words(&slot.slot),
            value(&slot.value),
            slot.by.clone(),
            since(Some(slot.since_s)),
            slot.ends_in_s
                .map_or_else(String::new, |left| format!("in {}", screen::duration(left))),
        ]);
    }
    slots.print(out, "  ")?;
    if let Some(reason) = &why.held_by {
        writeln!(out, "held: {reason}")?;
    }
    if let Some(words) = &why.limited {
        writeln!(out, "limited: {words}")?;
    }
    if let Some(refused) = &why.refused {
        writeln!(
            out,
            "last refused: {} by {} ({}): {}",
            value(&refused.value),
            refused.by,
            since(Some(refused.since_s)),
            refused.reason
        )?;
    }
    if let Some(left) = why.guard_left_s {
        writeln!(
            out,
            "a guard holds it back for another {}",
            screen::duration(left)
        )?;
    }
    for rule in &why.rules {
        let next = rule.next_in_s.zip(rule.next).map(|(left, on)| {
            let word = match (on, rule.next_level) {
                (true, Some(level)) if level < 100 => format!("{level} %"),
                (true, _) => "on".to_owned(),
                (false, _) => "off".to_owned(),
            };
            format!(" ({word} in {})", screen::duration(left))
        });
        writeln!(
            out,
            "{} {}: {}{}",
            rule.kind,
            rule.name,
            rule.says,
            next.unwrap_or_default()
        )?;
    }
    if !why.result.is_empty() {
        writeln!(out, "last write: {}", why.result)?;
    }
    Ok(())
}

pub(super) fn understood<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer)
        .map_err(|error| Failure::failed(format!("the agent's answer is not understood: {error}")))
}

/// Servers as rows.
pub(super) fn server_table(list: &[Server]) -> Table {
    let mut servers = Table::head(["SERVER", "STATE", "SINCE", "VERSION", "ADDRESS", ""]);
    for server in list {
        servers.row([
            server.name.clone(),
            server.state.clone(),
            since(server.since_s),
            server.version.clone().unwrap_or_default(),
            server.uri.clone(),
            remarks(server).join("; "),
        ]);
    }
    servers
}

/// Servers as rows with what they may do.
pub(super) fn rights_table(list: &[Server]) -> Table {
    let mut servers = Table::head(["SERVER", "OWNER", "RIGHTS"]);
    for server in list {
        let rights = server.rights.iter();
        let rights: Vec<String> = rights
            .map(|(pattern, letters)| format!("{pattern} {letters}"))
            .collect();
        servers.row([
            server.name.clone(),
            if server.owner { "yes" } else { "no" }.to_owned(),
            if rights.is_empty() {
                "as object 2 says".to_owned()
            } else {
                rights.join(", ")
            },
        ]);
    }
    servers
}

/// What else there is to say of a server.
fn remarks(server: &Server) -> Vec<String> {
    let retry = server.retry_in_s.map_or_else(String::new, |retry| {
        format!(", again in {}", screen::duration(retry))
    });
    let error = server.last_error.as_ref();
    let error = error.map(|error| format!("{error}{retry}"));
    let queued = (server.queued > 0).then(|| format!("{} samples stored", server.queued));
    let dropped = (server.dropped > 0).then(|| format!("{} samples dropped", server.dropped));
    let asleep = server.asleep.then(|| "asleep".to_owned());
    [error, asleep, queued, dropped]
        .into_iter()
        .flatten()
        .collect()
}

fn device_table(devices: &[Device]) -> Table {
    let mut table = Table::head(["DEVICE", "ADAPTER", "STATE", "SINCE", "POINTS", ""]);
    for device in devices {
        table.row([
            device.name.clone(),
            device.adapter.clone(),
            device.state.clone(),
            since(device.since_s),
            format!("{} of {} good", device.points_good, device.points),
            device_words(device),
        ]);
    }
    table
}

/// The reason of its state, then what it has been through.
fn device_words(device: &Device) -> String {
    let errors = device
        .errors
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"));
    let mut words: Vec<String> = [device.detail.clone()].into();
    words.extend((!device.errors.is_empty()).then(|| errors.collect::<Vec<_>>().join(", ")));
    words.extend(device.notes.iter().cloned());
    words.join("; ")
}

pub(super) fn since(seconds: Option<f64>) -> String {
    seconds.map_or_else(String::new, |seconds| {
        format!("{} ago", screen::duration(seconds))
    })
}

/// `GroupCommand` → `group command`
fn words(slot: &str) -> String {
    let mut words = String::new();
    for letter in slot.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_named_in_words() {
        assert_eq!(words("GroupCommand"), "group command");
        assert_eq!(words("Command"), "command");
    }
}
