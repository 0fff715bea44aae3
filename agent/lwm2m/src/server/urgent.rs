//! The way to the server is nearly used up (a cap of its traffic): only what is urgent leaves.
//!
//! Registration, answers and changes of states and alarms go on. All that is measured is stored as
//! without a server, the urgent too: it comes once more, with its time, when the rest may leave.

use lamplighter_coap::{Code, Reliability, Response, Token};
use lamplighter_model::Sample;

use super::Server;
use crate::{format::Node, observe::Sent, perform::Turn, registration::Phase};

impl Server {
    /// Whether urgent things leave, and nothing else.
    pub(super) fn is_frugal(&self) -> bool {
        self.uplink.is_frugal
            && self.registration.phase() == Phase::Registered
            && !self.uplink.is_suspect
    }

    pub(crate) const fn be_frugal(&mut self, is_frugal: bool) {
        self.uplink.is_frugal = is_frugal;
    }

    /// Tells and stores the next thing that is due, or only stores it; false where nothing is.
    pub(super) fn notify_frugally(&mut self, is_storing: bool, turn: &mut Turn<'_>) -> bool {
        if !self.has_room_to_confirm() {
            return false;
        }
        let Some(token) = self.observations.next() else {
            return false;
        };
        let told = self.tell_urgent(token, turn);
        if is_storing {
            self.keep(token, turn);
        } else if let Some(nodes) = told {
            let sent = Sent {
                is_stored: false,
                nodes: &nodes,
                reliability: Reliability::Confirmable,
                revision: turn.tree.revision(),
            };
            let rules = Self::rules(&self.attributes, self.config.ssid, turn);
            self.observations.sent(token, sent, rules);
        } else {
            self.uplink.owed.insert(token);
            self.skip(token, turn);
        }
        true
    }

    /// What the observer was told, where that is urgent.
    fn tell_urgent(&mut self, token: Token, turn: &Turn<'_>) -> Option<Vec<Node>> {
        let relation = self.observations.get(token)?;
        if !relation.is_urgent() || relation.is_orphan() {
            return None;
        }
        let subscription = relation.subscription.clone();
        let nodes = self.current(&subscription.targets, turn).ok()?;
        let target = subscription.targets.common();
        let payload = self
            .encode(subscription.format, target, &nodes, turn)
            .ok()?;
        let response = Response {
            observe: Some(0),
            ..Response::content(Code::CONTENT, subscription.number, payload)
        };
        self.notify(token, response, Reliability::Confirmable, turn);
        Some(nodes)
    }

    /// The rest may leave again: what was neither told nor stored is told as it is now.
    pub(super) fn tell_owed(&mut self, turn: &Turn<'_>) {
        if self.uplink.is_frugal || self.uplink.owed.is_empty() {
            return;
        }
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        for token in std::mem::take(&mut self.uplink.owed) {
            self.observations.owe(token, rules);
        }
        self.observations.handle_timeout(rules);
    }

    /// Sends an alarm past all that is stored. It is stored as well: where it does not arrive, it comes
    /// with the rest.
    pub(super) fn send_alarm(&mut self, samples: &[Sample], turn: &Turn<'_>) {
        if samples.is_empty() || !self.is_frugal() {
            return;
        }
        let sent = self
            .check_send(turn)
            .and_then(|()| self.send_now(None, samples, turn));
        if let Err(reject) = sent {
            tracing::info!(why = %reject.detail, "An alarm waits with the rest");
        }
    }
}
