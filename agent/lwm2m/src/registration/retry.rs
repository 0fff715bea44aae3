//! When to try again: the table of object 1 (17–20), then one attempt per hour for ever.

use std::time::Duration;

use super::MAX_ABSENCE;
use crate::{client::RetryConfig, rng::Rng};

/// Resources 17 to 20 of object 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RetryPolicy {
    /// Attempts in one sequence.
    pub(crate) count: u32,
    /// Pause between sequences.
    pub(crate) sequence_delay: Duration,
    pub(crate) sequences: u32,
    /// Pause before the first retry; doubles each time.
    pub(crate) timer: Duration,
}

/// Counts failures and says how long to wait.
#[derive(Debug)]
pub(crate) struct Backoff {
    /// Failed attempts of the running sequence.
    attempts: u32,
    policy: RetryPolicy,
    /// Sequences that failed.
    sequences: u32,
}

/// Design: there is no final state, one attempt per hour ± 50 %.
const FLOOR: Duration = Duration::from_secs(3600);
/// 1/x/19: only one sequence, whatever 1/x/20 says.
const NO_MORE_SEQUENCES: u32 = u32::MAX;

impl From<RetryConfig> for RetryPolicy {
    /// With what the standard recommends where resources are absent.
    fn from(config: RetryConfig) -> Self {
        let seconds =
            |own: Option<u32>, standard| Duration::from_secs(own.unwrap_or(standard).into());
        let sequences = match config.sequence_delay_s {
            Some(NO_MORE_SEQUENCES) => 1,
            Some(_) | None => config.sequences.unwrap_or(1),
        };
        Self {
            count: config.count.unwrap_or(5),
            sequence_delay: seconds(config.sequence_delay_s, 86_400),
            sequences,
            timer: seconds(config.timer_s, 60),
        }
    }
}

impl Backoff {
    pub(crate) const fn new(policy: RetryPolicy) -> Self {
        Self {
            attempts: 0,
            policy,
            sequences: 0,
        }
    }

    pub(crate) const fn set_policy(&mut self, policy: RetryPolicy) {
        self.policy = policy;
    }

    /// The table is through: what follows is the floor.
    pub(crate) const fn is_exhausted(&self) -> bool {
        self.sequences >= self.policy.sequences
    }

    /// All is well again.
    pub(crate) const fn reset(&mut self) {
        self.attempts = 0;
        self.sequences = 0;
    }

    /// An attempt failed: the pause before the next.
    pub(crate) fn next(&mut self, rng: &mut Rng) -> Duration {
        if !self.is_exhausted() {
            self.attempts = self.attempts.saturating_add(1);
            if self.attempts < self.policy.count {
                let factor = 1u32.checked_shl(self.attempts - 1).unwrap_or(u32::MAX);
                return jittered(self.policy.timer.saturating_mul(factor), rng);
            }
            self.attempts = 0;
            self.sequences += 1;
        }
        if !self.is_exhausted() {
            return jittered(self.policy.sequence_delay, rng);
        }
        rng.between(FLOOR / 2, FLOOR + FLOOR / 2)
    }
}

/// A tenth more at most, so that boxes that failed together do not return together.
fn jittered(delay: Duration, rng: &mut Rng) -> Duration {
    let delay = delay.min(MAX_ABSENCE);
    rng.between(delay, delay + delay / 10)
}
