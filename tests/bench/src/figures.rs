//! Medians and their spread, as a table.

use std::{fmt, fs, time::Duration};

use crate::process::Memory;

/// What one client did in one round.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// After its registration.
    pub(crate) fresh: Memory,
    /// After all reads.
    pub(crate) loaded: Memory,
    /// Outstanding reads, how long all took, and the client's time on its core.
    pub(crate) loads: Vec<(usize, Duration, Duration)>,
}

/// All rounds of both.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) echo: Vec<Round>,
    pub(crate) client: Vec<Round>,
    requests: usize,
}

/// The median of some figures, and the least and the largest.
#[derive(Clone, Copy, Debug)]
struct Spread {
    median: f64,
    low: f64,
    high: f64,
}

impl Figures {
    pub(crate) const fn new(requests: usize) -> Self {
        Self {
            echo: Vec::new(),
            client: Vec::new(),
            requests,
        }
    }

    fn rates(&self, rounds: &[Round], at: usize) -> Spread {
        let rate = |round: &Round| self.requests as f64 / round.loads[at].1.as_secs_f64();
        Spread::of(rounds.iter().map(rate))
    }

    /// Microseconds.
    fn costs(&self, rounds: &[Round], at: usize) -> Spread {
        let cost = |round: &Round| round.loads[at].2.as_secs_f64() * 1e6 / self.requests as f64;
        Spread::of(rounds.iter().map(cost))
    }
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: at(figures.len() / 2),
            low: at(0),
            high: at(figures.len().saturating_sub(1)),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load: Vec<_> = load.split(' ').take(3).collect();
        writeln!(
            f,
            "GET /3/0/0, {} requests per round, {} rounds by turns, medians (lowest to highest); \
             client on core 0, generator on core 1; {}; load average {}\n",
            self.requests,
            self.client.len(),
            processor(),
            load.join(" "),
        )?;
        writeln!(
            f,
            "| outstanding | | echo | lamplighter | ratio |\n|---|---|---|---|---|"
        )?;
        let outstanding = self.client.first().map(|round| &round.loads);
        for (at, (outstanding, ..)) in outstanding.into_iter().flatten().enumerate() {
            let (echo, ours) = (self.rates(&self.echo, at), self.rates(&self.client, at));
            let ratio = ours.median / echo.median;
            writeln!(
                f,
                "| {outstanding} | requests/s | {echo:.0} | {ours:.0} | {ratio:.2} |"
            )?;
            let (echo, ours) = (self.costs(&self.echo, at), self.costs(&self.client, at));
            let (ratio, more) = (ours.median / echo.median, ours.median - echo.median);
            writeln!(
                f,
                "| {outstanding} | CPU µs/request | {echo:.2} | {ours:.2} | {ratio:.2} ({more:+.2} µs) |"
            )?;
        }
        for (words, of) in [("registered", false), ("after the reads", true)] {
            let memory = |round: &Round| if of { round.loaded } else { round.fresh };
            let kilobytes = |pick: fn(Memory) -> u64| {
                Spread::of(self.client.iter().map(|round| pick(memory(round)) as f64))
            };
            let (resident, anonymous) = (kilobytes(|m| m.resident), kilobytes(|m| m.anonymous));
            writeln!(f, "| {words} | RSS kB | | {resident:.0} | |")?;
            writeln!(f, "| {words} | of it anonymous | | {anonymous:.0} | |")?;
        }
        Ok(())
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Self { median, low, high } = self;
        write!(f, "{median:.digits$} ({low:.digits$} to {high:.digits$})")
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = name.map(|rest| rest.trim_start_matches([' ', '\t', ':']));
    name.unwrap_or("unknown processor").to_owned()
}
