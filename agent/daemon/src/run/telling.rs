//! What people, the log and the site are told of where the servers stand.

use std::fmt;

use lamplighter_lwm2m::{boundary::Event, client::Client, server::ServerState};
use lamplighter_model::Ssid;
use lamplighter_site::boundary::SiteInput;

use super::{Agent, bootstrap};
use crate::{status, systemd};

impl Agent {
    /// Tells people where the servers stand, and the site whether any can be reached.
    pub(super) fn tell_states(&mut self) -> bool {
        if self.are_states_told() {
            return false;
        }
        let now = self.clock.now();
        self.waiting.servers = self.clients.values().flat_map(Client::states).collect();
        for (ssid, state) in &self.waiting.servers {
            self.status.on_server_state(*ssid, shown(*state), now);
        }
        let Some(contact) = contact(&self.waiting.servers) else {
            return false;
        };
        if self.waiting.contact.replace(contact) == Some(contact) {
            return false;
        }
        self.site.handle(SiteInput::ServerContact(contact), now);
        true
    }

    fn are_states_told(&self) -> bool {
        let mut told = self.waiting.servers.iter();
        for client in self.clients.values() {
            for state in client.states() {
                if told.next() != Some(&state) {
                    return false;
                }
            }
        }
        told.next().is_none()
    }

    /// Tells the service manager where servers and devices stand, when that has changed.
    pub(super) fn tell_manager(&mut self) {
        let servers = &self.waiting.servers;
        let is_registered = |(_, state): &&(Ssid, ServerState)| *state == ServerState::Registered;
        let standing = Standing {
            registered: servers.iter().filter(is_registered).count(),
            servers: servers.len(),
            offline: self.waiting.offline.len(),
        };
        if self.waiting.standing.replace(standing) != Some(standing) {
            systemd::status(&standing);
        }
    }

    /// Tells people how much is stored for the servers.
    pub(super) fn tell_queues(&mut self) {
        if !std::mem::take(&mut self.waiting.is_queue_changed) {
            return;
        }
        let now = self.clock.now();
        for server in self.clients.values().flat_map(Client::servers) {
            let dropped = server.dropped.total();
            self.status
                .on_queue(server.ssid, server.queued, dropped, now);
        }
    }

    /// Tells people which servers do not expect to be heard.
    pub(super) fn tell_sleep(&mut self) {
        for client in self.clients.values() {
            for (ssid, asleep) in client.asleep() {
                let told = &mut self.waiting.asleep;
                let is_new = if asleep {
                    told.insert(ssid)
                } else {
                    told.remove(&ssid)
                };
                if is_new {
                    self.status.on_sleep(ssid, asleep, self.clock.now());
                }
            }
        }
    }
}

/// Where the agent stands, for the line in `systemctl status`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Standing {
    registered: usize,
    servers: usize,
    /// Devices that are given up.
    offline: usize,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.registered, self.servers) {
            (_, 0) => write!(f, "no server is known")?,
            (1, 1) => write!(f, "registered")?,
            (0, 1) => write!(f, "not registered")?,
            (registered, servers) => {
                write!(f, "registered with {registered} of {servers} servers")?
            }
        }
        match self.offline {
            0 => Ok(()),
            1 => write!(f, ", 1 device offline"),
            many => write!(f, ", {many} devices offline"),
        }
    }
}

/// Whether any server can be reached; `None` where there is no server. One that was suspended or
/// de-registered on purpose is not lost.
pub(super) fn contact(servers: &[(Ssid, ServerState)]) -> Option<bool> {
    let is_there = |(_, state): &(Ssid, ServerState)| match state {
        ServerState::Disabled | ServerState::Left | ServerState::Registered => true,
        ServerState::Offline | ServerState::Registering => false,
    };
    (!servers.is_empty()).then(|| servers.iter().any(is_there))
}

const fn shown(state: ServerState) -> status::ServerState {
    match state {
        ServerState::Disabled | ServerState::Left => status::ServerState::Disabled,
        ServerState::Offline => status::ServerState::Offline,
        ServerState::Registered => status::ServerState::Registered,
        ServerState::Registering => status::ServerState::Registering,
    }
}

/// INFO is what an operator wants to see per day; values and addresses stay at DEBUG.
pub(super) fn log(event: &Event) {
    match event {
        Event::Answered(ssid) => tracing::info!(%ssid, "Answered"),
        Event::Bootstrap(event) => bootstrap::log(event),
        Event::BootstrapWanted(ssid) => {
            tracing::warn!(%ssid, "Cannot be registered with; no bootstrap server is known")
        }
        Event::Deregistered(ssid) => tracing::info!(%ssid, "Deregistered"),
        Event::Discarded {
            ssid,
            samples,
            reason,
        } => tracing::warn!(%ssid, samples, reason, "Stored samples are not told"),
        Event::ListShortened(ssid) => {
            tracing::warn!(%ssid, "The list of objects is too long; many instances are not named")
        }
        Event::Obeyed {
            by,
            operation,
            path,
            detail,
        } => {
            tracing::info!(?by, operation, %path, "Obeyed");
            tracing::debug!(%path, detail, "Obeyed in detail");
        }
        Event::Refused {
            by,
            operation,
            path,
            code,
        } => {
            tracing::info!(?by, operation, %path, code, "Refused");
        }
        Event::Registered { ssid, version } => tracing::info!(%ssid, version, "Registered"),
        Event::RegistrationFailed {
            ssid,
            reason,
            retry_in,
            ..
        } => {
            tracing::warn!(%ssid, reason, ?retry_in, "Registration failed");
        }
        Event::Intruded {
            ssid,
            intrusions,
            is_news: true,
        } => tracing::warn!(%ssid, ?intrusions, "Datagrams were not the server's"),
        Event::Intruded { .. } => {}
        Event::Stopped => tracing::info!("Stopped"),
        Event::TakenBack(path) => {
            tracing::warn!(%path, "Rights were changed back: no server was reached since")
        }
        Event::Unanswered { ssid, reason } => tracing::info!(%ssid, reason, "Not answered"),
        Event::Updated(ssid) => tracing::debug!(%ssid, "Updated"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_shows_where_the_agent_stands_in_one_line() {
        let line = |registered, servers, offline| {
            let standing = Standing {
                registered,
                servers,
                offline,
            };
            standing.to_string()
        };
        assert_eq!(line(0, 0, 0), "no server is known");
        assert_eq!(line(0, 1, 0), "not registered");
        assert_eq!(line(1, 1, 2), "registered, 2 devices offline");
        assert_eq!(
            line(1, 2, 1),
            "registered with 1 of 2 servers, 1 device offline"
        );
    }
}
