//! How long a NAT on the path keeps a mapping, learnt from those that were lost.

use std::time::Duration;

/// No NAT is asked more often for its own sake.
const SHORTEST: Duration = Duration::from_secs(15);
/// A success for this long, and the pause grows by a quarter.
const GROWTH: Duration = Duration::from_secs(3600);

/// The idle time after which servers are asked; `None`: as configured.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeepAlive {
    learnt: Option<Learnt>,
}

#[derive(Clone, Copy, Debug)]
struct Learnt {
    idle: Duration,
    /// Of the last change, on the monotonic clock.
    since: Duration,
}

impl KeepAlive {
    pub(super) fn idle(&self, configured: Duration) -> Duration {
        self.learnt
            .map_or(configured, |learnt| learnt.idle.min(configured))
    }

    /// The mapping was lost while nothing was sent for this long.
    pub(super) fn learn(&mut self, gap: Duration, configured: Duration, now: Duration) {
        let idle = (gap * 3 / 4).max(SHORTEST);
        if idle < self.idle(configured) {
            self.learnt = Some(Learnt { idle, since: now });
        }
    }

    /// A server was heard.
    pub(super) fn hold(&mut self, configured: Duration, now: Duration) {
        let Some(learnt) = &mut self.learnt else {
            return;
        };
        if now < learnt.since + GROWTH {
            return;
        }
        learnt.idle = learnt.idle * 5 / 4;
        learnt.since = now;
        if learnt.idle >= configured {
            self.learnt = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn learns_three_quarters_of_the_gap_and_forgets_by_a_quarter_an_hour() {
        let mut keep_alive = KeepAlive::default();
        keep_alive.learn(s(60), s(60), s(0));
        assert_eq!(keep_alive.idle(s(60)), s(45));
        keep_alive.learn(s(16), s(60), s(100));
        assert_eq!(keep_alive.idle(s(60)), s(15));
        keep_alive.learn(s(50), s(60), s(100)); // no news
        let mut hours = 0;
        while keep_alive.idle(s(60)) < s(60) {
            hours += 1;
            keep_alive.hold(s(60), s(100) + s(3600) * hours);
        }
        assert_eq!(hours, 7); // 15 × 1.25^7 = 71
    }

    #[test]
    fn never_asks_less_often_than_configured() {
        let mut keep_alive = KeepAlive::default();
        keep_alive.learn(s(4), s(3), s(0));
        assert_eq!(keep_alive.idle(s(3)), s(3));
    }
}
