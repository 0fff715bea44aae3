//! Runs histories, many at once, and makes one that fails as short as it can be.

use std::{
    fmt::Write as _,
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use crate::{model::Model, mutant::Mutant, step::History};

/// What many histories came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    pub histories: u64,
    pub steps: u64,
    /// Time that passed in them.
    pub simulated: Duration,
    pub delivered: u64,
    pub lost: u64,
}

/// A history that failed, shortened.
#[derive(Clone, Debug)]
pub struct Failure {
    pub history: History,
    pub why: String,
}

/// Attempts to leave something out.
const ATTEMPTS: usize = 400;

/// Does all histories from `first` on, on all processors. The failure with the lowest number of
/// those that were found, if any.
///
/// # Errors
/// A history that did not hold.
pub fn run_all(first: u64, count: u64) -> Result<Sum, Box<Failure>> {
    let next = AtomicU64::new(first);
    let end = first.saturating_add(count);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<Result<Sum, Box<Failure>>> = thread::scope(|scope| {
        let work = || {
            let mut sum = Sum::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end {
                    return Ok(sum);
                }
                let history = History::random(seed);
                match run(&history) {
                    Ok(model) => sum.add(&history, &model),
                    Err(why) => {
                        // Nobody needs to find another one.
                        next.store(end, Ordering::Relaxed);
                        return Err(Box::new(Failure { history, why }));
                    }
                }
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(thread::ScopedJoinHandle::join);
        results
            .map(|result| result.expect("panics are caught"))
            .collect()
    });
    let mut sum = Sum::default();
    let mut failed: Option<Box<Failure>> = None;
    for result in results {
        match result {
            Ok(of_worker) => sum.join(of_worker),
            Err(other) => {
                if failed
                    .as_ref()
                    .is_none_or(|known| other.history.seed < known.history.seed)
                {
                    failed = Some(other);
                }
            }
        }
    }
    match failed {
        None => Ok(sum),
        Some(failure) => Err(Box::new(shrink(*failure))),
    }
}

/// One history; a panic of the core is a failure like others.
///
/// # Errors
/// What did not hold.
pub fn run(history: &History) -> Result<Model, String> {
    let run = || Model::run(history);
    match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result,
        Err(cause) => {
            let text = cause.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| cause.downcast_ref::<&str>().copied());
            Err(format!("panic: {}", text.unwrap_or_default()))
        }
    }
}

/// The same history with this mutant in the place of the core.
pub fn with_mutant(seed: u64, mutant: Mutant) -> History {
    let mut history = History::random(seed);
    history.settings.mutant = Some(mutant);
    history
}

/// Leaves out whatever can be left out so that it still fails, whatever for.
pub fn shrink(failure: Failure) -> Failure {
    let mut best = failure;
    let mut attempts = 0;
    let mut piece = best.history.steps.len() / 2;
    while piece > 0 && attempts < ATTEMPTS {
        let mut at = 0;
        let mut is_shorter = false;
        while at < best.history.steps.len() && attempts < ATTEMPTS {
            attempts += 1;
            let mut steps = best.history.steps.clone();
            let end = (at + piece).min(steps.len());
            steps.drain(at..end);
            let history = History {
                steps,
                ..best.history.clone()
            };
            match run(&history) {
                Ok(_) => at += piece,
                Err(why) => {
                    best = Failure { history, why };
                    is_shorter = true;
                }
            }
        }
        if !is_shorter || piece > 1 {
            piece /= 2;
        }
    }
    best
}

impl Sum {
    fn add(&mut self, history: &History, model: &Model) {
        let carried = model.world.carried();
        self.join(Self {
            histories: 1,
            steps: history.steps.len() as u64,
            simulated: model.world.now,
            delivered: carried.delivered,
            lost: carried.lost,
        });
    }

    const fn join(&mut self, other: Self) {
        self.histories += other.histories;
        self.steps += other.steps;
        self.simulated = self.simulated.saturating_add(other.simulated);
        self.delivered += other.delivered;
        self.lost += other.lost;
    }
}

impl Failure {
    /// For people: how it is run again, and what happened.
    pub fn report(&self) -> String {
        let history = &self.history;
        let mut text = format!(
            "SIM_SEED={} fails: {}\nservers {:?}\n{:?}\n",
            history.seed, self.why, history.versions, history.settings
        );
        for (number, step) in history.steps.iter().enumerate() {
            let _ = writeln!(text, "{number:3}  {step:?}");
        }
        let story = Model::story(history);
        let last = story.len().saturating_sub(STORY);
        let _ = writeln!(text, "the last of {} lines:", story.len());
        for line in &story[last..] {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

/// Lines of a story that a report shows.
const STORY: usize = 80;
