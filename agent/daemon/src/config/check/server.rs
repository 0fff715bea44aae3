//! `[server.NAME]`.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_coap::Params;
use lamplighter_lwm2m::{
    client::{ServerConfig, VersionChoice},
    security::SecurityAccount,
    server::ServerUri,
};
use lamplighter_model::{ObjectId, Ssid, object::Version};

use super::{Checker, below, key};
use crate::config::{layer::Key, schema};

impl Checker<'_> {
    /// `others`: a bootstrap server can give accounts.
    pub(super) fn servers(
        &mut self,
        servers: &BTreeMap<String, schema::Server>,
        others: bool,
    ) -> Vec<ServerConfig> {
        let mut checked = Vec::new();
        let mut ids = BTreeMap::new();
        for (name, server) in servers {
            let at = key(&["server", name]);
            self.name(&at);
            if let Some(id) = server.short_id
                && let Some(other) = ids.insert(id, name)
            {
                let what = format!("short_id {id} is also that of [server.{other}]");
                self.error(&below(&at, "short_id"), what, "every server has its own");
            }
            checked.extend(self.server(&at, name, server));
        }
        self.shares(servers);
        if servers.is_empty() && !others && !self.is_server_written() {
            self.warning(
                &Key::new(),
                "no server is configured",
                "run `lamplighter setup`",
            );
        }
        checked
    }

    /// Something that was meant as a server stands there, though nothing can be made of it.
    fn is_server_written(&self) -> bool {
        let written = self.layers.find(&key(&["server"]));
        written.is_some_and(|value| value.as_dict().is_none_or(|dict| !dict.is_empty()))
    }

    fn server(&mut self, at: &Key, name: &str, server: &schema::Server) -> Option<ServerConfig> {
        let uri = self.required(at, "uri", server.uri.as_ref());
        let uri = uri.and_then(|text| self.uri(&below(at, "uri"), text));
        let ssid = self.required(at, "short_id", server.short_id);
        let ssid = ssid.map(|id| Ssid(self.within(&below(at, "short_id"), id, 1, 65534)));
        let terms = (server.security.as_ref(), server.allow_unsecured);
        let security = self.account(at, uri.as_ref(), terms);
        let lifetime = server.lifetime_s.unwrap_or(3600);
        let lifetime = self.within(&below(at, "lifetime_s"), lifetime, 5, 31_536_000);
        let object_versions =
            self.object_versions(&below(at, "object_versions"), &server.object_versions);
        let coap = self.coap(&below(at, "coap"), &server.coap);
        let registration = self.registration(&below(at, "registration"), &server.registration);
        let rights = self.grants(at, server);
        let register_parameters = self.parameters(at, &server.register_parameters);
        Some(ServerConfig {
            coap,
            lifetime: Duration::from_secs(u64::from(lifetime)),
            mute_send: server.mute_send.unwrap_or(false),
            object_versions,
            queue_mode: server.queue_mode.unwrap_or(false),
            register_parameters,
            registration,
            rights,
            security: SecurityAccount { ssid, ..security },
            store_notifications: server.store_notifications.unwrap_or(true),
            version: match server.version.unwrap_or(schema::Version::Auto) {
                schema::Version::Auto => VersionChoice::Auto,
                schema::Version::V1_0 => VersionChoice::V1_0,
                schema::Version::V1_1 => VersionChoice::V1_1,
                schema::Version::V1_2 => VersionChoice::V1_2,
            },
            ..ServerConfig::new(name, ssid?, uri?)
        })
    }

    pub(super) fn coap(&mut self, at: &Key, coap: &schema::Coap) -> Params {
        let mut params = Params::default();
        if let Some(seconds) = coap.ack_timeout_s {
            let seconds = self.within(&below(at, "ack_timeout_s"), seconds, 0.1, 60.0);
            params.ack_timeout = Duration::from_secs_f64(seconds);
        }
        if let Some(factor) = coap.ack_random_factor {
            let factor = self.within(&below(at, "ack_random_factor"), factor, 1.0, 4.0);
            params.ack_random_factor = factor as f32;
        }
        if let Some(times) = coap.max_retransmit {
            params.max_retransmit = self.within(&below(at, "max_retransmit"), times, 0, 8);
        }
        if let Some(many) = coap.nstart {
            let many = self.within(&below(at, "nstart"), many, 1, 16);
            params.nstart = usize::try_from(many).unwrap_or(1);
        }
        params
    }

    pub(super) fn uri(&mut self, at: &Key, text: &str) -> Option<ServerUri> {
        match text.parse() {
            Ok(uri) => Some(uri),
            Err(error) => {
                self.error(
                    at,
                    format!("`{text}`: {error}"),
                    "coaps://HOST or coaps://HOST:PORT",
                );
                None
            }
        }
    }

    fn object_versions(
        &mut self,
        at: &Key,
        versions: &BTreeMap<String, String>,
    ) -> BTreeMap<ObjectId, Version> {
        let mut checked = BTreeMap::new();
        for (object, version) in versions {
            let at = below(at, object);
            match (object.parse().map(ObjectId), version.parse()) {
                (Ok(id), Ok(version)) => {
                    if self.surroundings.definitions.object(id).is_none() {
                        self.warning(&at, format!("no definition of object {id} is known"), "");
                    }
                    checked.insert(id, version);
                }
                (Err(_), _) => self.error(
                    &at,
                    format!("`{object}` is not the number of an object"),
                    "",
                ),
                (Ok(_), Err(_)) => self.error(
                    &at,
                    format!("`{version}` is not a version"),
                    "for example \"1.0\"",
                ),
            }
        }
        checked
    }
}
