//! How many events of a class are logged: peers cause some of them, and a disk wears out.

use std::time::Duration;

/// Events of a class that may come at once.
const BURST: u32 = 200;
/// After that, one in this time.
const EVERY: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    left: u32,
    since: Duration,
    /// Not logged since the last that was.
    missed: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            left: BURST,
            since: Duration::ZERO,
            missed: 0,
        }
    }
}

impl Pace {
    /// Whether one more is logged, and how many were not before it.
    pub(super) fn pass(&mut self, mono: Duration) -> Option<u64> {
        let gained = mono.saturating_sub(self.since).as_millis() / EVERY.as_millis();
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        if gained > 0 {
            self.since = mono;
            self.left = self.left.saturating_add(gained).min(BURST);
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(std::mem::take(&mut self.missed))
            }
            None => {
                self.missed += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let mut pace = Pace::default();
        let now = Duration::from_secs(100);
        let passed = (0..1000).filter(|_| pace.pass(now).is_some()).count();
        assert_eq!(passed, 200);
        assert_eq!(pace.pass(now + EVERY), Some(800));
        assert_eq!(pace.pass(now + EVERY), None);
        assert_eq!(pace.pass(now + 2 * EVERY), Some(1));
    }

    #[test]
    fn rest_restores_no_more_than_a_burst() {
        let mut pace = Pace::default();
        let late = Duration::from_secs(1_000_000);
        let passed = (0..1000).filter(|_| pace.pass(late).is_some()).count();
        assert_eq!(passed, 200);
    }
}
