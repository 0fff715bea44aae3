//! How a device has answered since the start, for whoever shows it.

use std::time::Duration;

use lamplighter_model::device::Fault;
use tokio::{sync::watch, time::Instant};

/// Counters of one adapter.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Health {
    /// Errors by their class.
    pub timeouts: u64,
    pub unreachable: u64,
    /// The device answered with an error of its own.
    pub refused: u64,
    /// It answered what cannot be.
    pub malformed: u64,
    /// How long the last read of the device took.
    pub round_trip: Option<Duration>,
}

/// Counts where somebody wants to know.
#[derive(Debug)]
pub(super) struct Pulse {
    told: Option<watch::Sender<Health>>,
    reading_since: Option<Instant>,
}

impl Pulse {
    pub(super) fn new(told: Option<watch::Sender<Health>>) -> Self {
        Self {
            told,
            reading_since: None,
        }
    }

    pub(super) fn reading(&mut self, now: Instant) {
        self.reading_since = Some(now);
    }

    pub(super) fn read(&mut self, now: Instant) {
        let took = self.reading_since.take().map(|since| now - since);
        self.count(|health| health.round_trip = took.or(health.round_trip));
    }

    pub(super) fn fault(&mut self, fault: &Fault) {
        self.reading_since = None;
        self.count(|health| {
            let counter = match fault {
                Fault::Timeout => &mut health.timeouts,
                Fault::Unreachable => &mut health.unreachable,
                Fault::Busy | Fault::Device(_) => &mut health.refused,
                Fault::BadValue(_) => &mut health.malformed,
                Fault::NoValue | Fault::Refused { .. } | Fault::TooLarge | Fault::Unsupported => {
                    return;
                }
            };
            *counter = counter.saturating_add(1);
        });
    }

    fn count(&self, change: impl FnOnce(&mut Health)) {
        if let Some(told) = &self.told {
            told.send_modify(change);
        }
    }
}
