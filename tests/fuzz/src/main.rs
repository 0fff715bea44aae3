//! Discovery by hand: `lamplighter-fuzz run SECONDS SECONDS_OF_HISTORIES [SEED [TARGET …]]`, and
//! `lamplighter-fuzz seed`, which writes the first inputs of all corpora anew.

use std::{
    env,
    fs::File,
    io::{self, Seek as _, Write as _},
    panic,
    process::ExitCode,
    time::Duration,
};

use lamplighter_fuzz::{
    TARGETS, Target, corpus, find,
    runner::{self, Limit},
    seeds,
};

const USAGE: &str = "lamplighter-fuzz seed | replay TARGET FILE … | run SECONDS SECONDS_OF_HISTORIES [SEED [TARGET …]]";

/// The input that runs now, for those that end the process.
const LAST: &str = "fuzz-last-input";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match act(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody is left to be told when this fails.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing was found.
fn act(arguments: &[String]) -> io::Result<bool> {
    let usage = || io::Error::other(USAGE);
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["seed"] => {
            let count = seeds::write()?;
            writeln!(io::stdout(), "{count} inputs")?;
            Ok(true)
        }
        ["replay", target, ref files @ ..] => {
            let target = find(target).ok_or_else(usage)?;
            for file in files {
                let result = runner::one(target, &std::fs::read(file)?);
                writeln!(io::stdout(), "{file}: {result:?}")?;
            }
            Ok(true)
        }
        ["run", each, histories, ref rest @ ..] => {
            let seconds = |text: &str| text.parse().map(Duration::from_secs);
            let (each, histories) = seconds(each)
                .and_then(|each| Ok((each, seconds(histories)?)))
                .map_err(|_| usage())?;
            let seed = rest.first().map_or(Ok(1), |seed| seed.parse());
            let seed = seed.map_err(|_| usage())?;
            let names = rest.get(1..).unwrap_or_default();
            run(each, histories, seed, names)
        }
        _ => Err(usage()),
    }
}

fn run(each: Duration, histories: Duration, seed: u64, names: &[&str]) -> io::Result<bool> {
    // Panics are finds and told with their target.
    panic::set_hook(Box::new(|_| {}));
    let mut is_clean = true;
    for target in TARGETS {
        if !names.is_empty() && !names.contains(&target.name) {
            continue;
        }
        let time = if target.name == "client_steps" {
            histories
        } else {
            each
        };
        is_clean &= discover(target, seed, time)?;
    }
    Ok(is_clean)
}

fn discover(target: &Target, seed: u64, time: Duration) -> io::Result<bool> {
    let inputs = corpus::read(target.name)?;
    let inputs: Vec<_> = inputs.into_iter().map(|(_, input)| input).collect();
    let path = env::temp_dir().join(format!("{LAST}-{}", target.name));
    let mut last = File::create(&path)?;
    let mut unwritten = Ok(());
    let outcome = runner::many(target, &inputs, seed, Limit::Time(time), |input| {
        let write = |last: &mut File| {
            last.rewind()?;
            last.write_all(input)?;
            last.set_len(input.len() as u64)
        };
        if unwritten.is_ok() {
            unwritten = write(&mut last);
        }
    });
    unwritten?;
    let mut out = io::stdout();
    writeln!(
        out,
        "{:<20} {:>9} executions in {:>4} s, {} finds",
        target.name,
        outcome.executions,
        outcome.took.as_secs(),
        outcome.finds.len()
    )?;
    for (number, find) in outcome.finds.iter().enumerate() {
        let name = format!("crash-{seed}-{number}");
        let path = corpus::write(target.name, &name, &find.input)?;
        writeln!(out, "  {}: {}", path.display(), find.why)?;
    }
    Ok(outcome.finds.is_empty())
}
