//! Power from the distance of pulses: while none comes it cannot be more than one pulse in that time,
//! and after a limit it is nothing.

use std::time::Duration;

/// When pulses came, on the clock of samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    zero_after: Duration,
    since: Duration,
    /// The last pulse of the window before, and the distance that was measured there.
    before: Option<Duration>,
    distance: Option<Duration>,
    /// The last pulse, and how many came since `before`.
    last: Option<Duration>,
    count: u64,
}

impl Rate {
    pub(super) const fn new(zero_after: Duration, now: Duration) -> Self {
        Self {
            zero_after,
            since: now,
            before: None,
            distance: None,
            last: None,
            count: 0,
        }
    }

    pub(super) fn on_pulses(&mut self, pulses: u64, at: Duration) {
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        self.count += pulses;
    }

    /// Pulses were missed, nobody knows when: distances begin anew.
    pub(super) const fn lose(&mut self, now: Duration) {
        self.since = now;
        (self.before, self.distance, self.last, self.count) = (None, None, None, 0);
    }

    /// Pulses in a second, since the look before; `None` while nobody knows.
    pub(super) fn look(&mut self, now: Duration) -> Option<f64> {
        let Some(last) = self.last else {
            let is_quiet = now.saturating_sub(self.since) >= self.zero_after;
            return is_quiet.then_some(0.0);
        };
        if self.count > 0 {
            if let Some(before) = self.before {
                let mean = last.saturating_sub(before).as_secs_f64() / self.count as f64;
                self.distance = Duration::try_from_secs_f64(mean).ok();
            }
            (self.before, self.count) = (Some(last), 0);
        }
        let age = now.saturating_sub(last);
        if age >= self.zero_after {
            return Some(0.0);
        }
        let longest = self.distance?.max(age).as_secs_f64();
        (longest > 0.0).then(|| 1.0 / longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn rate() -> Rate {
        Rate::new(ms(300_000), ms(0))
    }

    fn near(rate: Option<f64>, expected: f64) -> bool {
        rate.is_some_and(|rate| (rate - expected).abs() < 1e-9)
    }

    #[test]
    fn two_pulses_make_a_rate_and_one_does_not() {
        let mut rate = rate();
        assert_eq!(rate.look(ms(1000)), None);
        rate.on_pulses(1, ms(2000));
        assert_eq!(rate.look(ms(2000)), None);
        rate.on_pulses(1, ms(6000));
        assert!(near(rate.look(ms(7000)), 0.25));
        assert!(near(rate.look(ms(9000)), 0.25), "none is due before 10 s");
    }

    #[test]
    fn several_pulses_between_two_looks_make_their_mean() {
        let mut rate = rate();
        rate.on_pulses(1, ms(0));
        rate.look(ms(0));
        for pulse in 1..=8 {
            rate.on_pulses(1, ms(pulse * 100 + if pulse % 2 == 0 { 0 } else { 30 }));
        }
        assert!(near(rate.look(ms(810)), 10.0));
    }

    #[test]
    fn without_pulses_it_falls_and_is_nothing_in_the_end() {
        let mut rate = rate();
        rate.on_pulses(1, ms(0));
        rate.look(ms(0));
        rate.on_pulses(1, ms(1000));
        assert!(near(rate.look(ms(1500)), 1.0));
        assert!(near(rate.look(ms(11_000)), 0.1));
        assert!(near(rate.look(ms(101_000)), 0.01));
        assert_eq!(rate.look(ms(301_000)), Some(0.0));
        // The first pulse after a long time says only how long that was.
        rate.on_pulses(1, ms(401_000));
        assert!(near(rate.look(ms(402_000)), 1.0 / 400.0));
    }

    #[test]
    fn who_never_hears_a_pulse_says_nothing_after_a_while() {
        let mut rate = rate();
        assert_eq!(rate.look(ms(299_999)), None);
        assert_eq!(rate.look(ms(300_000)), Some(0.0));
    }
}
