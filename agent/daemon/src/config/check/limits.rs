//! `[client.limits]`: what one server can make the box remember.

use lamplighter_coap::Params;
use lamplighter_lwm2m::client::{BootstrapConfig, Limits, ServerConfig};

use super::{Checker, below, key, schema};

/// The limits of all servers, those that a bootstrap server gives included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked {
    body: usize,
    limits: Limits,
}

impl Checker<'_> {
    pub(super) fn limits(&mut self, limits: &schema::Limits) -> Checked {
        let at = key(&["client", "limits"]);
        let usual = Limits::default();
        let mut limit = |name, value: Option<u32>, usual: usize, range: (u32, u32)| {
            value.map_or(usual, |value| {
                self.within(&below(&at, name), value, range.0, range.1) as usize
            })
        };
        let body = (1024, 1 << 28);
        let many = (1, 65_535);
        Checked {
            body: limit(
                "body_bytes",
                limits.body_bytes,
                Params::default().max_body,
                body,
            ),
            limits: Limits {
                attribute_paths: limit(
                    "attribute_paths",
                    limits.attribute_paths,
                    usual.attribute_paths,
                    many,
                ),
                observations: limit(
                    "observations",
                    limits.observations,
                    usual.observations,
                    many,
                ),
                observed_paths: limit(
                    "observed_paths",
                    limits.observed_paths,
                    usual.observed_paths,
                    many,
                ),
            },
        }
    }
}

impl Checked {
    pub(super) fn of_server(self, server: ServerConfig) -> ServerConfig {
        ServerConfig {
            coap: self.of_messages(server.coap),
            limits: self.limits,
            ..server
        }
    }

    pub(super) fn of_bootstrap(self, bootstrap: BootstrapConfig) -> BootstrapConfig {
        BootstrapConfig {
            coap: self.of_messages(bootstrap.coap),
            limits: self.limits,
            ..bootstrap
        }
    }

    fn of_messages(self, params: Params) -> Params {
        Params {
            max_body: self.body,
            max_observers: self.limits.observations,
            ..params
        }
    }
}
