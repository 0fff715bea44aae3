//! Links of all servers, and what is known of the ways to them.

use std::time::Duration;

use lamplighter_model::Now;

use super::Client;
use crate::{
    boundary::{LinkEvent, LinkId, Output},
    perform::Turn,
    server::Server,
    tree::Tree,
};

impl Client {
    /// When a server was last heard over the link that it has now, the bootstrap server included.
    /// What says something without being asked counts too; without security nobody can tell whose
    /// words they are.
    pub fn heard(&self) -> Option<Duration> {
        let servers = self.servers.values().filter_map(Server::heard);
        servers.chain(self.bootstrap.heard()).max()
    }

    /// Since when the oldest message that wants an answer has been without one over the present
    /// link of its server, a handshake included; `None`: nothing is awaited.
    pub fn awaited(&self) -> Option<Duration> {
        let servers = self.servers.values().filter_map(Server::awaited);
        servers.chain(self.bootstrap.awaited()).min()
    }

    pub(super) fn on_link(&mut self, link: LinkId, event: LinkEvent, tree: &mut Tree, now: Now) {
        let mut turn = Turn {
            now,
            shared: &mut self.shared,
            tree,
        };
        if let Some(server) = self.servers.values_mut().find(|server| server.owns(link)) {
            server.on_link(link, event, &mut turn);
        } else if self.bootstrap.owns(link) {
            self.bootstrap.on_link(event, turn.shared, now);
        } else if let LinkEvent::Replacement(new) = event {
            // The one that it was to replace was closed meanwhile.
            self.shared.out.push(Output::Close(new));
        }
    }

    pub(super) fn on_path_up(&mut self, now: Now) {
        for server in self.servers.values_mut() {
            server.path_up(now);
        }
        self.bootstrap.path_up(&mut self.shared, now);
    }

    pub(super) fn on_urgent_only(&mut self, is_urgent_only: bool) {
        self.shared.is_urgent_only = is_urgent_only;
        let servers = self.servers.values_mut();
        servers.for_each(|server| server.be_frugal(is_urgent_only));
    }

    pub(super) fn ping(&mut self, now: Now) {
        for server in self.servers.values_mut() {
            server.ping(now.mono);
        }
    }
}
