//! The command line: arguments to exit code, nothing that the running agent decides.

mod args;
mod bearer;
mod check;
mod client;
mod doctor;
mod events;
mod exit;
mod export;
mod gpio;
mod meter;
mod modbus;
mod operate;
mod screen;
mod secret;
mod server;
mod setup;
mod show;
mod terminal;
mod update;
mod web;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser as _, error::ErrorKind};

use crate::{logging, start};

pub use args::{Cli, Command, Global};
pub use exit::{Exit, Failure};

/// Does what the arguments say.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        // clap's own words would list the commands that are not built.
        Err(error) if error.kind() == ErrorKind::MissingSubcommand => {
            let failure = Failure::usage("a command is missing; see lamplighter --help");
            let _ = writeln!(io::stderr(), "lamplighter: {failure}");
            return failure.exit.into();
        }
        Err(error) => {
            // Help and version are not errors, and go to stdout.
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            };
            let _ = error.print();
            return exit.into();
        }
    };
    match perform(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let _ = writeln!(io::stderr(), "lamplighter: {failure}");
            failure.exit.into()
        }
    }
}

fn perform(cli: Cli) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    let mut out = io::stdout().lock();
    let done = match command {
        Command::Bearer(command) => bearer::bearer(&global, &command, &mut out),
        Command::Bootstrap => server::bootstrap(&global, &mut out),
        Command::Check(check) => {
            return check::check(&global, &check, &mut out).or_else(closed_pipe);
        }
        Command::Doctor => return doctor::doctor(&global, &mut out).or_else(closed_pipe),
        Command::Demo(demo) => run_demo(&global, demo),
        Command::Devices => show::devices(&global, &mut out),
        Command::Discover { path } => operate::discover(&global, &path, &mut out),
        Command::Events(options) => events::events(&global, &options, &mut out),
        Command::Exec { path, args } => operate::execute(&global, &path, args.as_deref(), &mut out),
        Command::Gpio(command) => gpio::gpio(&global, &command, &mut out),
        Command::Meter(command) => meter::meter(&global, &command, &mut out),
        Command::Modbus(command) => modbus::modbus(&global, &command, &mut out),
        Command::Objects(args::Objects::Export { dir }) => export::export(&global, &dir, &mut out),
        Command::Lock { name } => operate::lock(&global, &name, &mut out),
        Command::Off { name, hold } => operate::write(&global, &name, "off", hold, &mut out),
        Command::Offline(options) => bearer::offline(&global, &options, &mut out),
        Command::Online => bearer::online(&global, &mut out),
        Command::On { name, hold } => operate::write(&global, &name, "on", hold, &mut out),
        Command::Points => show::points(&global, &mut out),
        Command::Read { path } => operate::read(&global, &path, &mut out),
        Command::Run(options) => {
            logging::start();
            start::run(&global.places(), options.strict).map_err(Failure::from)
        }
        Command::Secret(args::Secret::Set { name }) => secret::set(&global, &name, &mut out),
        Command::Send { paths, server } => {
            operate::send(&global, &paths, server.as_deref(), &mut out)
        }
        Command::Server(command) => server::server(&global, &command, &mut out),
        Command::Set { name, value, hold }
        | Command::Write {
            path: name,
            value,
            hold,
        } => operate::write(&global, &name, &value, hold, &mut out),
        Command::Setup(setup) => setup::setup(&global, &setup, &mut out),
        Command::Status => show::status(&global, &mut out),
        Command::Unlock { name } => operate::unlock(&global, name.as_deref(), &mut out),
        Command::Watch { paths } => operate::watch(&global, &paths, &mut out),
        Command::Web(args::Web::Enable(options)) => web::enable(&global, &options, &mut out),
        Command::Why { name } => show::why(&global, &name, &mut out),
        Command::Update { what } => update::update(&global, &what, &mut out),
        Command::Backup(_) | Command::Bundle(_) | Command::Restore(_) | Command::Simulate(_) => {
            Err(Failure::not_built("this command"))
        }
    };
    done.map(|()| Exit::Ok).or_else(closed_pipe)
}

#[cfg(feature = "demo")]
fn run_demo(global: &Global, options: args::Demo) -> Result<(), Failure> {
    use crate::demo::{self, DemoOptions};
    logging::start();
    let (state_dir, run_dir) = global.given_dirs();
    demo::run(&DemoOptions {
        http: options.http,
        server: options.server,
        state_dir,
        run_dir,
    })
    .map_err(Failure::from)
}

#[cfg(not(feature = "demo"))]
fn run_demo(_: &Global, _: args::Demo) -> Result<(), Failure> {
    Err(Failure::failed("this build has no demo"))
}

/// Who reads our output may have had enough of it.
fn closed_pipe(failure: Failure) -> Result<Exit, Failure> {
    if failure.is_closed_pipe() {
        Ok(Exit::Ok)
    } else {
        Err(failure)
    }
}
