//! Random histories against the model. `SIM_SEED=n` does only that one, `SIM_COUNT=n` so many.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use lamplighter_sim_tests::{
    history::{self, Failure, run_all, with_mutant},
    mutant::Mutant,
    step::History,
};

/// Histories of one run in CI.
const COUNT: u64 = 10_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap())
}

#[test]
fn every_history_holds() {
    if let Some(seed) = number("SIM_SEED") {
        let history = History::random(seed);
        if let Err(why) = history::run(&history) {
            let failure = history::shrink(Failure { history, why });
            panic!("{}", failure.report());
        }
        return;
    }
    let count = number("SIM_COUNT").unwrap_or(COUNT);
    let first = number("SIM_FIRST").unwrap_or(0);
    match run_all(first, count) {
        Ok(sum) => {
            assert_eq!(sum.histories, count);
            assert!(sum.lost > sum.delivered / 100, "{sum:?}");
        }
        Err(failure) => panic!("{}", failure.report()),
    }
}

/// Histories in which every mutant must have shown itself.
const MUTANT_HISTORIES: u64 = 3_000;

#[test]
fn every_mutant_is_found() {
    for mutant in Mutant::ALL {
        let mut histories = (0..MUTANT_HISTORIES).map(|seed| with_mutant(seed, mutant));
        let is_found = histories.any(|history| history::run(&history).is_err());
        assert!(is_found, "{mutant:?} was not found");
    }
}
