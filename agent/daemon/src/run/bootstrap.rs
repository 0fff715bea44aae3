//! The bootstrap server: what people ask of it, what they are told of it, and which servers there are
//! when it has decided.

use std::collections::BTreeMap;

use lamplighter_coap::Code;
use lamplighter_lwm2m::{
    boundary::{BootstrapEvent, ClientId, Command, Input},
    client::Client,
    reject::Reject,
    server::ServerStatus,
};

use super::{Agent, THE_BOX};
use crate::{
    config::UNSECURED,
    events::{self, Class, News},
    status::ServerEntry,
};

impl Agent {
    pub(super) fn ask_for_bootstrap(&mut self, user: &str) -> Result<(), Reject> {
        let account = self.clients.get(&THE_BOX).map(Client::bootstrap);
        if account.is_none_or(|account| account.uri.is_none()) {
            let why = "there is no account of a bootstrap server";
            return Err(Reject::new(Code::NOT_FOUND, why));
        }
        tracing::info!(user, "Bootstrap asked for by a person");
        let news = News::new(Class::Event, "asked").about("bootstrap");
        self.events.tell(news.by(user));
        self.core(THE_BOX, Input::Command(Command::Bootstrap));
        Ok(())
    }

    pub(super) fn on_bootstrap(&mut self, event: &BootstrapEvent) {
        // Something else than the state may have changed.
        self.waiting.bootstrap = None;
        if matches!(
            event,
            BootstrapEvent::Finished(_) | BootstrapEvent::RolledBack
        ) {
            self.know_servers();
        }
    }

    pub(super) fn tell_bootstrap(&mut self) {
        let Some(client) = self.clients.get(&THE_BOX) else {
            return;
        };
        let state = client.bootstrap_state();
        if self.waiting.bootstrap.replace(state) != Some(state) {
            self.status.on_bootstrap(client.bootstrap());
        }
    }

    /// The names of the servers that there are now, which need not be those of the configuration.
    pub(super) fn know_servers(&mut self) {
        let mut servers: Vec<(ClientId, ServerStatus)> = Vec::new();
        for (id, client) in &self.clients {
            servers.extend(client.servers().map(|server| (*id, server)));
        }
        servers.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let name = |server: &ServerStatus| server.name.clone();
        let named = servers.iter();
        self.server_names = named
            .map(|(id, server)| (name(server), (*id, server.ssid)))
            .collect();
        let named = servers.iter();
        self.names = events::Names::new(named.map(|(_, server)| (server.ssid, name(server))));
        let now = self.clock.now();
        let entry = |(_, server): (_, ServerStatus)| ServerEntry {
            name: server.name,
            ssid: server.ssid,
            uri: server.uri,
            rights: server.rights,
        };
        self.status
            .on_servers(servers.into_iter().map(entry).collect(), now);
        self.warn_of_accounts();
    }

    /// What people shall know of accounts as long as it is so, whoever made them.
    fn warn_of_accounts(&mut self) {
        let mut warnings: BTreeMap<String, String> = self.account_warnings.clone();
        for name in self.clients.values().flat_map(Client::overruled) {
            let text = "a bootstrap server has decided about this account; the file does not count";
            warnings.insert(format!("[server.{name}]"), text.to_owned());
        }
        for name in self.clients.values().flat_map(Client::given_unsecured) {
            let text = format!("given by a bootstrap server, {UNSECURED}");
            warnings.insert(format!("account {name}"), text);
        }
        let now = self.clock.now();
        let told = std::mem::take(&mut self.waiting.account_warnings);
        for about in told.keys().filter(|about| !warnings.contains_key(*about)) {
            self.status.solved(about);
        }
        for (about, text) in &warnings {
            if told.get(about) != Some(text) {
                self.status.problem(about, text, now);
            }
        }
        self.waiting.account_warnings = warnings;
    }
}

/// Keys are in none of these; addresses stay at DEBUG.
pub(super) fn log(event: &BootstrapEvent) {
    match event {
        BootstrapEvent::AccountEnded => {
            tracing::info!("The account of the bootstrap server has had its time")
        }
        BootstrapEvent::Begun(why) => tracing::info!(why, "Bootstrap begun"),
        BootstrapEvent::Confirmed(ssid) => {
            tracing::info!(%ssid, "Registered with a new account; the former ones are removed")
        }
        BootstrapEvent::Failed {
            reason, retry_in, ..
        } => {
            tracing::warn!(reason, ?retry_in, "Bootstrap failed")
        }
        BootstrapEvent::Finished(servers) => tracing::info!(?servers, "Bootstrap finished"),
        BootstrapEvent::Inconsistent(reason) => {
            tracing::warn!(
                reason,
                "The bootstrap server's accounts do not hold together"
            )
        }
        BootstrapEvent::Obeyed { operation, path } => {
            tracing::debug!(operation, %path, "Obeyed the bootstrap server")
        }
        BootstrapEvent::Refused {
            operation,
            path,
            code,
        } => tracing::info!(operation, %path, code, "Refused the bootstrap server"),
        BootstrapEvent::RolledBack => {
            tracing::warn!("No new server has taken this box; the former accounts are back")
        }
    }
}
