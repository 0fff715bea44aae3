//! `[bootstrap]`.

use std::time::Duration;

use lamplighter_lwm2m::{
    client::{BootstrapConfig, RetryConfig},
    security::SecurityAccount,
};

use super::{Checker, below, key};
use crate::config::{layer::Key, schema};

impl Checker<'_> {
    pub(super) fn bootstrap(&mut self, bootstrap: &schema::Bootstrap) -> Option<BootstrapConfig> {
        let at = key(&["bootstrap"]);
        let uri = self.required(&at, "uri", bootstrap.uri.as_ref());
        let uri = uri.and_then(|text| self.uri(&below(&at, "uri"), text));
        let terms = (bootstrap.security.as_ref(), bootstrap.allow_unsecured);
        let security = self.account(&at, uri.as_ref(), terms);
        let hold_off_s = self.seconds(&at, "hold_off_s", bootstrap.hold_off_s, (0, 86_400));
        let account_timeout_s = self.seconds(
            &at,
            "account_timeout_s",
            bootstrap.account_timeout_s,
            (0, 31_536_000),
        );
        let rollback = self.seconds(&at, "rollback_s", bootstrap.rollback_s, (5, 86_400));
        let retry = RetryConfig {
            count: self.seconds(&at, "retry_count", bootstrap.retry_count, (1, 100)),
            timer_s: self.seconds(&at, "retry_timer_s", bootstrap.retry_timer_s, (1, 86_400)),
            ..RetryConfig::default()
        };
        let coap = self.coap(&below(&at, "coap"), &bootstrap.coap);
        let security = SecurityAccount {
            account_timeout_s: account_timeout_s.unwrap_or(0),
            hold_off_s: hold_off_s.unwrap_or(0),
            ..security
        };
        uri?;
        let standard = BootstrapConfig::new(security);
        let rollback = rollback.map(|seconds| Duration::from_secs(seconds.into()));
        Some(BootstrapConfig {
            allow_unsecured: bootstrap.allow_unsecured == Some(true),
            coap,
            pack: bootstrap.pack.unwrap_or(false),
            retry,
            rollback: rollback.unwrap_or(standard.rollback),
            server_initiated: bootstrap.server_initiated.unwrap_or(false),
            ..standard
        })
    }

    /// The number, where there is one, pulled into its range.
    fn seconds(
        &mut self,
        at: &Key,
        name: &str,
        value: Option<u32>,
        (lowest, highest): (u32, u32),
    ) -> Option<u32> {
        value.map(|value| self.within(&below(at, name), value, lowest, highest))
    }
}
