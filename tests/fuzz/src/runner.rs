//! Runs a target with the inputs of its corpus, changed.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    time::Duration,
};

use lamplighter_sim_tests::chance::Chance;
use nix::time::{ClockId, clock_gettime};

use crate::{Target, mutate};

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    Changes(u64),
    /// Of the processor.
    Time(Duration),
}

/// An input that a target did not bear.
#[derive(Clone, Debug)]
pub struct Find {
    pub input: Vec<u8>,
    pub why: String,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub executions: u64,
    /// Processor time.
    pub took: Duration,
    pub finds: Vec<Find>,
}

/// Finds of one target that are kept; more of them say the same.
const FINDS: usize = 5;

/// The processor time of this thread, so that a busy machine neither shortens a run nor makes an
/// input look slow.
fn clock() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// One input.
///
/// # Errors
/// Why the target does not bear it: the words of its panic, or its time.
pub fn one(target: &Target, input: &[u8]) -> Result<(), String> {
    let begin = clock();
    panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|cause| said(&*cause))?;
    let took = clock().saturating_sub(begin);
    if took > target.patience {
        return Err(format!("it took {took:?}"));
    }
    Ok(())
}

/// Changed inputs, the same ones for the same seed. `before` is told each input first, for those
/// that end the process.
pub fn many(
    target: &Target,
    corpus: &[Vec<u8>],
    seed: u64,
    limit: Limit,
    mut before: impl FnMut(&[u8]),
) -> Outcome {
    let begin = clock();
    let mut chance = Chance::new(seed);
    let mut outcome = Outcome::default();
    let nothing = Vec::new();
    loop {
        outcome.took = clock().saturating_sub(begin);
        let is_over = match limit {
            Limit::Changes(changes) => outcome.executions >= changes,
            Limit::Time(time) => outcome.took >= time,
        };
        if is_over || outcome.finds.len() >= FINDS {
            return outcome;
        }
        let input = corpus.get(chance.index(corpus.len())).unwrap_or(&nothing);
        let other = corpus.get(chance.index(corpus.len())).unwrap_or(&nothing);
        let input = mutate::changed(&mut chance, input, other, target.longest);
        before(&input);
        outcome.executions += 1;
        if let Err(why) = one(target, &input) {
            outcome.finds.push(Find { input, why });
        }
    }
}

fn said(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| cause.downcast_ref::<&str>().copied());
    text.unwrap_or_default().to_owned()
}
