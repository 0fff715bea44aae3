//! A pause that doubles each time something happens, and forgets it with time.

use std::time::Duration;

/// More doublings than any pause takes to its longest.
const STEPS_MAX: u32 = 16;

/// How a pause grows and shrinks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Damping {
    /// After the first time.
    pub(super) first: Duration,
    pub(super) longest: Duration,
    /// Takes back one doubling.
    pub(super) decay: Duration,
}

/// How often it has happened lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Damper {
    steps: u32,
    /// Time of the monotonic clock.
    latest: Duration,
}

impl Damper {
    pub(super) fn hit(&mut self, damping: &Damping, now: Duration) {
        self.steps = (self.steps(damping, now) + 1).min(STEPS_MAX);
        self.latest = now;
    }

    /// The pause at this time; `first` also where nothing has happened.
    pub(super) fn pause(&self, damping: &Damping, now: Duration) -> Duration {
        let doublings = self.steps(damping, now).saturating_sub(1);
        let longest = damping.longest.max(damping.first);
        damping.first.saturating_mul(1 << doublings).min(longest)
    }

    /// Whether the pause is over.
    pub(super) fn is_over(&self, damping: &Damping, now: Duration) -> bool {
        self.steps == 0 || now >= self.latest + self.pause(damping, self.latest)
    }

    fn steps(&self, damping: &Damping, now: Duration) -> u32 {
        let passed = now.saturating_sub(self.latest).as_nanos() / damping.decay.as_nanos().max(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        self.steps.saturating_sub(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Damping = Damping {
        first: Duration::from_secs(30),
        longest: Duration::from_secs(1800),
        decay: Duration::from_secs(3600),
    };

    #[test]
    fn doubles_up_to_its_longest_and_halves_each_hour() {
        let mut damper = Damper::default();
        let now = Duration::from_secs(100);
        let mut pauses = vec![damper.pause(&HOLD, now).as_secs()];
        for _ in 0..9 {
            damper.hit(&HOLD, now);
            pauses.push(damper.pause(&HOLD, now).as_secs());
        }
        assert_eq!(pauses, [30, 30, 60, 120, 240, 480, 960, 1800, 1800, 1800]);
        let in_hours = |hours: u64| now + Duration::from_secs(3600 * hours);
        assert_eq!(damper.pause(&HOLD, in_hours(6)).as_secs(), 120);
        assert_eq!(damper.pause(&HOLD, in_hours(100)).as_secs(), 30);
    }
}
