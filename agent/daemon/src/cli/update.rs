//! `lamplighter update FILE | status | rollback`

use std::{fs, io::Write, thread::sleep, time::Duration};

use serde_json::json;

use super::{
    args::Global,
    client::Client,
    exit::{Exit, Failure},
    screen,
    show::understood,
};
use crate::update::UpdateView;

/// How often it is looked at what became of it.
const LOOK: Duration = Duration::from_secs(1);
/// The agent is away while it is replaced, and the version before may have to come back.
const AWAY: u32 = 900;

pub(super) fn update(global: &Global, what: &str, out: &mut impl Write) -> Result<(), Failure> {
    match what {
        "rollback" => {
            let client = Client::new(&global.run_dir())?;
            client.post("update/rollback", &json!({}))?;
            follow(global, &client, out)
        }
        "status" => {
            let answer = Client::new(&global.run_dir())?.get("update")?;
            if global.json {
                return screen::print_json(out, &answer);
            }
            let view: UpdateView = understood(answer)?;
            Ok(writeln!(out, "{view}")?)
        }
        file => {
            let package = fs::read(file)
                .map_err(|error| Failure::failed(format!("cannot read {file}: {error}")))?;
            let client = Client::new(&global.run_dir())?;
            client.upload("update/package", package)?;
            follow(global, &client, out)
        }
    }
}

/// Says what becomes of it, each thing once.
fn follow(global: &Global, client: &Client, out: &mut impl Write) -> Result<(), Failure> {
    let mut said = String::new();
    let mut away = 0;
    loop {
        let view = match client.get("update") {
            Ok(answer) => understood::<UpdateView>(answer)?,
            Err(failure) if failure.exit == Exit::NotRunning && away < AWAY => {
                away += 1;
                sleep(LOOK);
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let words = view.to_string();
        if words != said && !global.json {
            writeln!(out, "{words}")?;
            out.flush()?;
        }
        said = words;
        if view.is_over() {
            if global.json {
                screen::print_json(out, &json!(view))?;
            }
            return match view.has_succeeded() {
                true => Ok(()),
                false => Err(Failure::new(Exit::Refused, said)),
            };
        }
        sleep(LOOK);
    }
}
