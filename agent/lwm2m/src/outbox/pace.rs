//! How fast a server is told: on average one non-confirmable message per round trip (RFC 7641,
//! 4.5.1), a few at once after a pause.

use std::time::Duration;

/// The pace towards one server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    round_trip: Option<Duration>,
    /// When the last message would have left, had each waited for its turn.
    used_up: Duration,
}

/// RFC 7641, 4.5.1: where there is no estimate.
const UNKNOWN: Duration = Duration::from_secs(3);
/// Messages that may leave at once after a pause.
const BURST: u32 = 8;

impl Pace {
    /// A confirmable exchange took this long.
    pub(crate) fn measured(&mut self, took: Duration) {
        self.round_trip = Some(match self.round_trip {
            None => took,
            // RFC 6298: an eighth of the new one.
            Some(known) => (known * 7 + took) / 8,
        });
    }

    /// When the next message may leave.
    pub(crate) fn ready_at(&self) -> Duration {
        self.used_up
            .saturating_sub(self.interval().saturating_mul(BURST - 1))
    }

    /// A message leaves.
    pub(crate) fn take(&mut self, now: Duration) {
        self.used_up = self.used_up.max(now) + self.interval();
    }

    fn interval(&self) -> Duration {
        self.round_trip.unwrap_or(UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When `count` messages leave that are all ready at `from`.
    fn leave(pace: &mut Pace, from: u64, count: usize) -> Vec<u64> {
        let mut now = Duration::from_millis(from);
        let mut times = Vec::new();
        for _ in 0..count {
            now = now.max(pace.ready_at());
            pace.take(now);
            times.push(u64::try_from(now.as_millis()).unwrap());
        }
        times
    }

    #[test]
    fn a_few_leave_at_once_and_then_one_per_round_trip() {
        let mut pace = Pace::default();
        pace.measured(Duration::from_millis(50));
        let times = leave(&mut pace, 10_000, 11);
        assert_eq!(times[..8], [10_000; 8]);
        assert_eq!(times[8..], [10_050, 10_100, 10_150]);
        assert_eq!(leave(&mut pace, 60_000, 1), [60_000]);
    }

    #[test]
    fn without_an_estimate_one_leaves_every_three_seconds() {
        let mut pace = Pace::default();
        let times = leave(&mut pace, 100_000, 10);
        assert_eq!(times[7..], [100_000, 103_000, 106_000]);
    }

    #[test]
    fn the_estimate_follows_slowly() {
        let mut pace = Pace::default();
        pace.measured(Duration::from_millis(80));
        pace.measured(Duration::from_millis(160));
        assert_eq!(pace.interval(), Duration::from_millis(90));
    }
}
