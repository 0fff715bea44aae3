//! The date becomes known, or is believed no longer.

use lamplighter_model::Now;

use super::Client;
use crate::{
    boundary::{ClockTrust, Output},
    perform::Turn,
    tree::Tree,
};

impl Client {
    /// Sessions that were accepted while nobody knew the date, or whose certificates have ended
    /// since, are agreed upon anew, which tells why that fails. // design, 6 "Clock"
    pub(super) fn on_clock(&mut self, trust: ClockTrust, tree: &mut Tree, now: Now) {
        let mut turn = Turn {
            now,
            shared: &mut self.shared,
            tree,
        };
        turn.shared.dates.trust(trust);
        for server in self.servers.values_mut() {
            server.judge_session(&mut turn);
        }
        if let Some(date) = turn.shared.dates.poll_save() {
            turn.shared.out.push(Output::Journal(date));
        }
    }
}
