//! What people see of a server.

use lamplighter_model::{Ssid, Stamp};

use super::Server;
use crate::{access::Grants, outbox::Losses, registration::Phase};

/// One server, for `status` and the page.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerStatus {
    /// Samples that are not told any more, by reason.
    pub dropped: Losses,
    /// Queue mode: the server does not expect us to hear it now.
    pub asleep: bool,
    /// What went wrong last, in words; `None` while all is well.
    pub last_error: Option<String>,
    pub name: String,
    /// Relations that the server observes by.
    pub observations: usize,
    /// Stored samples that the server is still to be told.
    pub queued: u64,
    /// What the configuration lets it do where there are several servers; what a bootstrap server or
    /// servers have said since stands in object 2.
    pub rights: Grants,
    pub since: Stamp,
    pub ssid: Ssid,
    pub state: ServerState,
    pub uri: String,
    /// Version of LwM2M that is spoken with it.
    pub version: &'static str,
}

/// Where a server stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ServerState {
    /// By the server's own command, for its time.
    Disabled,
    /// De-registered by a person, or because the agent ends.
    Left,
    /// Waiting for the next attempt, or for its turn.
    Offline,
    Registered,
    Registering,
}

impl Server {
    pub(crate) const fn state(&self) -> ServerState {
        match self.shown.0 {
            Phase::Disabled => ServerState::Disabled,
            Phase::Left => ServerState::Left,
            Phase::Offline => ServerState::Offline,
            Phase::Registered => ServerState::Registered,
            Phase::Registering => ServerState::Registering,
        }
    }

    pub(crate) fn status(&self) -> ServerStatus {
        let (_, since) = self.shown;
        ServerStatus {
            dropped: *self.outbox.losses(),
            asleep: self.is_asleep(),
            last_error: self.last_error.clone(),
            name: self.config.name.clone(),
            observations: self.observations.len(),
            queued: self.outbox.queued(),
            rights: self.config.rights.clone(),
            since,
            ssid: self.config.ssid,
            state: self.state(),
            uri: self.config.uri.to_string(),
            version: self.registration.version().as_str(),
        }
    }
}

impl ServerState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Left | Self::Offline => "offline",
            Self::Registered => "registered",
            Self::Registering => "registering",
        }
    }
}
