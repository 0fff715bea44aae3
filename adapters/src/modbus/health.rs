//! Whether a device answers: polled while it does, probed with growing pauses when it does not.

use std::time::Duration;

use lamplighter_model::device::LinkState;
use tokio::time::Instant;

use super::config::{DeviceConfig, Probe};
use crate::bus::Backoff;

#[derive(Debug)]
pub(crate) struct Health {
    state: LinkState,
    /// Failed cycles in a row.
    failures: u32,
    offline_after: u32,
    probe: Probe,
    backoff: Backoff,
    probe_at: Instant,
    /// The slowest answer that came in time.
    slowest: Duration,
}

impl Health {
    pub(crate) fn new(config: &DeviceConfig, seed: u64) -> Self {
        Self {
            state: LinkState::Starting,
            failures: 0,
            offline_after: config.offline_after.max(1),
            probe: config.probe,
            backoff: Backoff::new(config.probe.first, config.probe.max, seed),
            probe_at: Instant::now(),
            slowest: Duration::ZERO,
        }
    }

    pub(crate) fn state(&self) -> LinkState {
        self.state
    }

    pub(crate) fn is_offline(&self) -> bool {
        self.state == LinkState::Offline
    }

    pub(crate) fn probe_at(&self) -> Instant {
        self.probe_at
    }

    /// Long enough for a device that was always slow, never longer than its own timeout.
    pub(crate) fn probe_timeout(&self, timeout: Duration) -> Duration {
        self.probe.timeout.max(self.slowest * 3 / 2).min(timeout)
    }

    /// A probe goes out; the next one follows later, whatever becomes of this one.
    pub(crate) fn on_probe(&mut self, now: Instant) {
        self.probe_at = now + self.backoff.next_pause();
    }

    /// The line was opened again: ask at once.
    pub(crate) fn on_line_open(&mut self, now: Instant) {
        self.backoff.reset();
        self.probe_at = now;
    }

    /// It answered, be it with a refusal. True where it was offline.
    pub(crate) fn on_answer(&mut self, round_trip: Duration) -> bool {
        self.failures = 0;
        self.slowest = self.slowest.max(round_trip);
        self.backoff.reset();
        std::mem::replace(&mut self.state, LinkState::Online) == LinkState::Offline
    }

    /// A cycle failed, with all its attempts. True where the device goes offline by it.
    pub(crate) fn on_failure(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.is_offline() {
            return false;
        }
        if self.failures < self.offline_after {
            if self.state == LinkState::Online {
                self.state = LinkState::Suspect;
            }
            return false;
        }
        self.state = LinkState::Offline;
        self.backoff.reset();
        self.probe_at = now + self.backoff.next_pause();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_device_goes_offline_after_its_failures_and_comes_back_with_one_answer() {
        let mut health = Health::new(&DeviceConfig::new("ahu", 1), 1);
        let now = Instant::now();
        assert!(!health.on_answer(Duration::from_millis(5)));
        assert!(!health.on_failure(now) && health.state() == LinkState::Suspect);
        assert!(!health.on_failure(now) && health.on_failure(now) && !health.on_failure(now));
        assert!(health.is_offline() && health.probe_at() >= now + Duration::from_secs(3));
        assert!(health.on_answer(Duration::from_millis(5)) && health.state() == LinkState::Online);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_device_is_probed_with_patience() {
        let mut health = Health::new(&DeviceConfig::new("ahu", 1), 1);
        let timeout = Duration::from_millis(400);
        assert_eq!(health.probe_timeout(timeout), Duration::from_millis(100));
        health.on_answer(Duration::from_millis(200));
        assert_eq!(health.probe_timeout(timeout), Duration::from_millis(300));
        assert_eq!(
            health.probe_timeout(Duration::from_millis(50)),
            Duration::from_millis(50)
        );
    }
}
