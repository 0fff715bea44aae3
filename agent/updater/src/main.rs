//! `lamplighter-updater [--config FILE] [--state-dir DIR] [--own-dir DIR]`: started by systemd as root,
//! when the agent asks for something and at each start of the machine.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use lamplighter_updater::{
    handover::UPDATER_DIR,
    transaction::{Places, Updater},
};

fn main() -> ExitCode {
    let done = places().and_then(|places| Updater::new(places)?.work());
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Nobody else can be told.
            let _ = writeln!(io::stderr(), "lamplighter-updater: {why}");
            ExitCode::FAILURE
        }
    }
}

fn places() -> Result<Places, String> {
    let mut places = Places {
        config: "/etc/lamplighter/lamplighter.toml".into(),
        state_dir: "/var/lib/lamplighter".into(),
        own_dir: UPDATER_DIR.into(),
    };
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let place: &mut PathBuf = match argument.to_str() {
            Some("--config") => &mut places.config,
            Some("--state-dir") => &mut places.state_dir,
            Some("--own-dir") => &mut places.own_dir,
            _ => return Err(format!("unknown option {}", argument.display())),
        };
        let value = arguments.next();
        *place = value.ok_or("a value is missing")?.into();
    }
    Ok(places)
}
