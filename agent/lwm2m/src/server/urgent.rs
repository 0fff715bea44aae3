//! The way to the server is nearly used up (a cap of its traffic): only what is urgent leaves.
//!
//! Registration, answers and changes of states and alarms go on. All that is measured is stored as
//! without a server, the urgent too: it comes once more, with its time, when the rest may leave.

use lamplighter_coap::{Code, Reliability, Response};
use lamplighter_model::Sample;

use super::Server;
use crate::{perform::Turn, registration::Phase};

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
        let relation = self.observations.get(token);
        let urgent = relation.filter(|relation| relation.is_urgent() && !relation.is_orphan());
        if let Some(subscription) = urgent.map(|relation| relation.subscription.clone())
            && let Ok(nodes) = self.current(&subscription.targets, turn)
            && let target = subscription.targets.common()
            && let Ok(payload) = self.encode(subscription.format, target, &nodes, turn)
        {
            let response = Response {
                observe: Some(0),
                ..Response::content(Code::CONTENT, subscription.number, payload)
            };
            self.notify(token, response, Reliability::Confirmable, turn);
        }
        if is_storing {
            self.keep(token, turn);
        } else {
            self.skip(token, turn);
        }
        true
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
