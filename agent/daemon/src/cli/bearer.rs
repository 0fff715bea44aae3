//! `lamplighter bearer list | use NAME | auto`, `lamplighter offline`, `lamplighter online`

use std::io::Write;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    args::{self, Global},
    client::{Client, query},
    exit::Failure,
    screen::{self, Table},
    show::{since, understood},
};

/// One of `GET /bearers`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Bearer {
    name: String,
    kind: String,
    interface: Option<String>,
    status: String,
    reason: Option<String>,
    since_s: Option<f64>,
    current: bool,
    round_trip_ms: Option<f64>,
    address: Option<String>,
    metered: bool,
    urgent_only: bool,
    bytes_today: u64,
    bytes_month: u64,
    flaps: u32,
    signal_dbm: Option<i32>,
    operator: Option<String>,
    trouble: Option<String>,
}

/// Who decides which is used, as `GET /status` says it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Choice {
    mode: String,
    bearer: Option<String>,
    ends_in_s: Option<f64>,
    trial_left_s: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    bearers: Vec<Bearer>,
    bearer_choice: Choice,
}

pub(super) fn bearer(
    global: &Global,
    command: &args::Bearer,
    out: &mut impl Write,
) -> Result<(), Failure> {
    match command {
        args::Bearer::Auto => {
            let done = "the agent chooses the bearer again";
            act(global, "bearers/auto", &json!({}), done, out)
        }
        args::Bearer::List => list(global, out),
        args::Bearer::Use { name } => {
            let call = format!("bearers/{}/use", query(name));
            act(global, &call, &json!({}), &format!("{name} is used"), out)
        }
    }
}

pub(super) fn offline(
    global: &Global,
    options: &args::Offline,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let body = options
        .time
        .map_or_else(|| json!({}), |time| json!({ "for_s": time.as_secs() }));
    let done = match options.time {
        None => "offline until `lamplighter online`; what is measured is stored".to_owned(),
        Some(time) => {
            let time = screen::duration(time.as_secs_f64());
            format!("offline for {time}; what is measured is stored")
        }
    };
    act(global, "offline", &body, &done, out)
}

pub(super) fn online(global: &Global, out: &mut impl Write) -> Result<(), Failure> {
    act(global, "online", &json!({}), "online again", out)
}

fn list(global: &Global, out: &mut impl Write) -> Result<(), Failure> {
    let client = Client::new(&global.run_dir())?;
    if global.json {
        return screen::print_json(out, &client.get("bearers")?);
    }
    let Status {
        bearers,
        bearer_choice,
    } = understood(client.get("status")?)?;
    if bearers.is_empty() {
        return Ok(writeln!(out, "no bearer is seen")?);
    }
    bearer_table(&bearers).print(out, "")?;
    match choice_words(&bearer_choice) {
        None => Ok(()),
        Some(words) => Ok(writeln!(out, "\n{words}")?),
    }
}

/// Done as soon as the agent has begun; `bearer list` shows what becomes of it.
fn act(
    global: &Global,
    call: &str,
    body: &Value,
    done: &str,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let answer = Client::new(&global.run_dir())?.post(call, body)?;
    if global.json {
        return screen::print_json(out, &answer);
    }
    let note = answer.get("note").and_then(Value::as_str);
    let note = note.map_or_else(String::new, |note| format!(", {}", screen::plain(note)));
    Ok(writeln!(
        out,
        "{done}{note}; lamplighter bearer list shows what becomes of it"
    )?)
}

/// Bearers as rows.
pub(super) fn bearer_table(bearers: &[Bearer]) -> Table {
    let mut table = Table::head([
        "BEARER",
        "KIND",
        "INTERFACE",
        "STATUS",
        "SINCE",
        "ROUND TRIP",
        "ADDRESS",
        "TODAY",
        "MONTH",
        "",
    ]);
    for bearer in bearers {
        let reason = bearer.reason.as_ref();
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let round_trip = bearer.round_trip_ms;
        // Without configuration nobody counts.
        let is_counted = bearer.bytes_month > 0 || bearer.bytes_today > 0;
        let counted = |number| {
            let words = is_counted.then(|| screen::bytes(number));
            words.unwrap_or_default()
        };
        table.row([
            bearer.name.clone(),
            bearer.kind.clone(),
            bearer.interface.clone().unwrap_or_default(),
            format!("{}{reason}", bearer.status),
            since(bearer.since_s),
            round_trip.map_or_else(String::new, |ms| format!("{ms:.0} ms")),
            bearer.address.clone().unwrap_or_default(),
            counted(bearer.bytes_today),
            counted(bearer.bytes_month),
            remarks(bearer).join("; "),
        ]);
    }
    table
}

/// What else there is to say of a bearer.
fn remarks(bearer: &Bearer) -> Vec<String> {
    let signal = bearer.signal_dbm.map(|signal| format!("{signal} dBm"));
    let flaps = (bearer.flaps > 0).then(|| format!("lost {} times", bearer.flaps));
    [
        bearer.current.then(|| "in use".to_owned()),
        bearer.trouble.clone(),
        bearer.operator.clone(),
        signal,
        bearer.metered.then(|| "metered".to_owned()),
        bearer
            .urgent_only
            .then(|| "cap reached: only what is urgent".to_owned()),
        flaps,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// `None`: the agent chooses, nothing to be said.
pub(super) fn choice_words(choice: &Choice) -> Option<String> {
    let left = |left: Option<f64>| left.map(screen::duration);
    let words = match choice.mode.as_str() {
        "offline" => match left(choice.ends_in_s) {
            None => "offline until `lamplighter online`".to_owned(),
            Some(left) => format!("offline for another {left}"),
        },
        "prefer" => "a server prefers the kinds of 13/0/0".to_owned(),
        "use" => {
            let name = choice.bearer.as_deref().unwrap_or("one bearer");
            format!("{name} is used by hand until `lamplighter bearer auto`")
        }
        _ => return None,
    };
    let trial = left(choice.trial_left_s);
    let trial = trial.map_or_else(String::new, |left| format!(", on trial for another {left}"));
    Some(format!("{}{trial}", screen::plain(&words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_decides_is_said_unless_it_is_the_agent() {
        assert_eq!(choice_words(&Choice::default()), None);
        let by_hand = Choice {
            mode: "use".to_owned(),
            bearer: Some("cell".to_owned()),
            ends_in_s: None,
            trial_left_s: Some(60.0),
        };
        assert_eq!(
            choice_words(&by_hand).unwrap(),
            "cell is used by hand until `lamplighter bearer auto`, on trial for another 1 min"
        );
    }
}
