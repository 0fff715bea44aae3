//! `[server.NAME.registration]`.

use std::time::Duration;

use lamplighter_lwm2m::client::{RegistrationConfig, RetryConfig};

use super::{Checker, below};
use crate::config::{layer::Key, schema};

const DAY: u32 = 86_400;

impl Checker<'_> {
    pub(super) fn registration(
        &mut self,
        at: &Key,
        own: &schema::Registration,
    ) -> RegistrationConfig {
        let mut number = |name: &str, value: Option<u32>, lowest, highest| {
            value.map(|value| self.within(&below(at, name), value, lowest, highest))
        };
        RegistrationConfig {
            bootstrap_on_failure: own.bootstrap_on_failure,
            failure_block: own.failure_block,
            initial_delay_s: number("initial_delay_s", own.initial_delay_s, 0, DAY),
            priority: own.priority,
            retry: RetryConfig {
                count: number("retry_count", own.retry_count, 1, 100),
                sequence_delay_s: number("sequence_delay_s", own.sequence_delay_s, 1, DAY),
                sequences: number("sequence_count", own.sequence_count, 1, 100),
                timer_s: number("retry_timer_s", own.retry_timer_s, 1, DAY),
            },
            return_spread: number("return_spread_s", own.return_spread_s, 0, DAY)
                .map(|seconds| Duration::from_secs(seconds.into())),
        }
    }
}
