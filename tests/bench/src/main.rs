//! Plays the LwM2M server for a bare client and for an echo, by turns, and reads `/3/0/0` as fast as
//! they answer. What counts is the ratio of both within one run: absolute figures are the machine's.
//!
//! `lamplighter-bench PROGRAM [REQUESTS [ROUNDS]]`, pinned to a core; see `tests/bench/run`.
//! `lamplighter-bench modbus …` looks at the other side of the agent; see `tests/bench/run_modbus`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that is run by hand and says what it found"
)]

use std::{process::ExitCode, str::FromStr};

mod client;
mod echo;
mod figures;
mod message;
mod modbus;
mod process;
mod server;

use client::Client;
use figures::{Figures, Round};
use server::Server;

type Failure = Box<dyn std::error::Error>;

/// How many reads are under way at once.
const OUTSTANDING: [usize; 2] = [16, 1];

/// The first word that makes this program the echo.
pub(crate) const ECHO: &str = "echo";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [ECHO, port] => number(port).and_then(echo::run),
        ["modbus", ref rest @ ..] => modbus::bench(rest),
        [program] => bench(program, 20_000, 5),
        [program, requests] => number(requests).and_then(|n| bench(program, n, 5)),
        [program, requests, rounds] => {
            number(requests).and_then(|requests| bench(program, requests, number(rounds)?))
        }
        _ => Err("usage: lamplighter-bench PROGRAM [REQUESTS [ROUNDS]]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!(
                "lamplighter-bench: {failure}; the client's log is in {}",
                client::home().display()
            );
            ExitCode::FAILURE
        }
    }
}

fn number<T: FromStr<Err: std::error::Error + 'static>>(text: &str) -> Result<T, Failure> {
    Ok(text.parse()?)
}

fn bench(program: &str, requests: usize, rounds: usize) -> Result<(), Failure> {
    let mut figures = Figures::new(requests);
    for _ in 0..rounds {
        // By turns, so that what else the machine does hits both.
        figures.echo.push(round(&Client::Echo, requests)?);
        figures
            .client
            .push(round(&Client::Lamplighter(program.to_owned()), requests)?);
    }
    println!("{figures}");
    Ok(std::fs::remove_dir_all(client::home())?)
}

/// One client from its start to its end.
fn round(client: &Client, requests: usize) -> Result<Round, Failure> {
    let mut server = Server::bind()?;
    let running = client.start(server.port()?)?;
    server.registered()?;
    let fresh = running.memory()?;
    server.read(1, requests / 20)?;
    let mut loads = Vec::new();
    for outstanding in OUTSTANDING {
        let before = running.cpu()?;
        let took = server.read(outstanding, requests)?;
        loads.push((outstanding, took, running.cpu()? - before));
    }
    Ok(Round {
        fresh,
        loaded: running.memory()?,
        loads,
    })
}
