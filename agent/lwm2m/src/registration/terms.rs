//! What a registration is made with.

use std::time::Duration;

use super::{Enabler, MAX_ABSENCE, RetryPolicy};
use crate::client::VersionChoice;

#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) choice: VersionChoice,
    /// Under which name at which address. A registration that was saved with another is not ours.
    pub(crate) identity: String,
    /// Zero: for ever.
    pub(crate) lifetime: Duration,
    /// How long before the end of the lifetime an Update goes out, so that it can use all its
    /// retransmissions (RFC 7252, 4.8.2: MAX_TRANSMIT_WAIT).
    pub(crate) margin: Duration,
    pub(crate) policy: RetryPolicy,
    pub(crate) queue_mode: bool,
    /// The longest random pause after the end of a Disable; `None`: as the Disable was long.
    pub(crate) return_spread: Option<Duration>,
}

impl Terms {
    /// lwm2m/10, 2: only 1.2 knows a registration for ever; others count the default.
    pub(crate) const fn lifetime(&self, version: Enabler) -> Duration {
        match version {
            Enabler::V1_0 | Enabler::V1_1 if self.lifetime.is_zero() => MAX_ABSENCE,
            Enabler::V1_0 | Enabler::V1_1 | Enabler::V1_2 => self.lifetime,
        }
    }

    /// When to send an Update after the last one. Where nothing asks for it, one a day tells that
    /// both sides are still there.
    pub(super) fn update_after(&self, version: Enabler) -> Duration {
        let lifetime = self.lifetime(version);
        if lifetime.is_zero() {
            return MAX_ABSENCE;
        }
        if lifetime >= self.margin.saturating_mul(2) {
            lifetime.saturating_sub(self.margin)
        } else {
            lifetime / 2
        }
    }

    /// How long a return may be put off at random, so that a thousand boxes do not return at once.
    pub(super) fn spread_of(&self, lasts: Duration) -> Duration {
        self.return_spread
            .unwrap_or_else(|| Duration::from_secs(60).max(lasts / 4))
    }
}
