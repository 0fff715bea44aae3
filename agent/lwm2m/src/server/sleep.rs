//! Queue mode: how long the server may count on reaching us (lwm2m/10, 11).
//!
//! The box stays awake for MAX_TRANSMIT_WAIT after the last message of either side. Asleep it sends
//! nothing by itself but what wakes it: Update, Notify, Send. The socket stays open: a new one would
//! mean a new address, which without a session means a new registration, and listening costs a box
//! on the mains nothing; a request that comes all the same is answered.

use std::time::Duration;

use super::Server;
use crate::registration::Phase;

/// When the last message came or went; `None` while the box sleeps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wake(Option<Duration>);

impl Server {
    /// Something was sent or received.
    pub(super) const fn stir(&mut self, now: Duration) {
        self.wake.0 = Some(now);
    }

    pub(super) fn fall_asleep(&mut self, now: Duration) {
        if self.sleep_at().is_some_and(|at| at <= now) {
            self.wake.0 = None;
        }
    }

    /// When the server has to count on our sleep; nothing is due where it does not matter.
    pub(super) fn sleep_at(&self) -> Option<Duration> {
        let last = self.wake.0.filter(|_| self.registration.queue_mode())?;
        Some(last.saturating_add(self.config.coap.max_transmit_wait()))
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.registration.queue_mode()
            && self.registration.phase() == Phase::Registered
            && self.wake.0.is_none()
    }
}
