//! What the service manager is told: that the agent runs, where it stands, and that its loop still
//! turns. Where there is no manager, nothing is said.

use std::{fmt, time::Duration};

use sd_notify::NotifyState;

/// How often the watchdog is fed in the time after which it bites.
const MEALS: u32 = 3;

/// The watchdog of the service manager. Only the event loop feeds it: an agent whose loop is stuck
/// is killed and started again.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// Between two meals; `None` where nobody watches.
    every: Option<Duration>,
    due: Duration,
}

impl Watchdog {
    /// As the service manager asks for it.
    pub(crate) fn of_process() -> Self {
        Self::biting_after(sd_notify::watchdog_enabled())
    }

    fn biting_after(patience: Option<Duration>) -> Self {
        let every = patience
            .map(|patience| patience / MEALS)
            .filter(|every| !every.is_zero());
        let due = every.map_or(Duration::MAX, |_| Duration::ZERO);
        Self { every, due }
    }

    /// When the next meal is due.
    pub(crate) const fn due(&self) -> Duration {
        self.due
    }

    pub(crate) fn is_fed(&self) -> bool {
        self.every.is_some()
    }

    /// Feeds it when it is time.
    pub(crate) fn look(&mut self, mono: Duration) {
        if self.advance(mono) {
            tell(&[NotifyState::Watchdog]);
        }
    }

    fn advance(&mut self, mono: Duration) -> bool {
        let Some(every) = self.every.filter(|_| mono >= self.due) else {
            return false;
        };
        self.due = mono + every;
        true
    }
}

/// The loop runs, after a start or a reload.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload has begun; [`ready`] ends it.
pub(crate) fn reloading() {
    // Newer managers tell by the time which request this answers.
    match NotifyState::monotonic_usec_now() {
        Ok(since) => tell(&[NotifyState::Reloading, since]),
        Err(error) => tracing::error!(%error, "The monotonic clock cannot be read"),
    }
}

pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub(crate) fn status(words: &dyn fmt::Display) {
    // A line break would begin another message.
    let line = words.to_string().replace('\n', " ");
    tell(&[NotifyState::Status(&line)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "The service manager was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_three_times_before_it_bites() {
        let seconds = Duration::from_secs;
        let mut watchdog = Watchdog::biting_after(Some(seconds(30)));
        let fed: Vec<u64> = (100..160)
            .filter(|second| watchdog.advance(seconds(*second)))
            .collect();
        assert_eq!(fed, [100, 110, 120, 130, 140, 150]);
        assert_eq!(watchdog.due(), seconds(160));
    }

    #[test]
    fn where_nobody_watches_nothing_is_due() {
        for patience in [None, Some(Duration::ZERO)] {
            let mut watchdog = Watchdog::biting_after(patience);
            assert!(!watchdog.is_fed());
            assert!(!watchdog.advance(Duration::from_secs(1 << 40)));
            assert_eq!(watchdog.due(), Duration::MAX);
        }
    }
}
