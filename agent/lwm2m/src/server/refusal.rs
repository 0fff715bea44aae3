//! A server answers a notification with a reset: it does not know the observation.
//!
//! RFC 7641, 3.6, makes that the way to cancel without a word, and so does lwm2m/30, 1. But a server
//! also does not know what it has never heard of, as the answer to its Observe was lost, or what it
//! has dropped since we came from another address. It will observe again then, perhaps much later:
//! its own request may run for MAX_TRANSMIT_WAIT (RFC 7252, 4.8.2), and a new one is refused as long
//! as the device does not answer. So a reset cancels only what was confirmed over the present path.

use lamplighter_coap::Token;

use super::{Server, reporting::MAX_ORPHANED};
use crate::{observe::Relation, outbox::Part, perform::Turn};

/// An observation whose notification was refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    /// The server has had it, or has another instead: it does not want this one, unless it knows
    /// nothing of us at all.
    is_over: bool,
    token: Token,
}

impl Server {
    /// The server refuses a notification: it has cancelled the observation, has never heard of it,
    /// or was started again and knows nothing of us. An Update shows whether it is the last.
    pub(super) fn reset(&mut self, token: Token, turn: &mut Turn<'_>) {
        if !self.is_storing(turn) {
            return self.end_observation(token, turn);
        }
        let relation = self.observations.get(token);
        let is_over = relation.is_none_or(Relation::is_confirmed)
            || self.observations.is_told_by_another(token);
        if !is_over {
            // What was refused has not arrived, whatever the answer to the Update says.
            self.doubt();
        }
        self.forget_observer(token);
        self.observations.orphan(token);
        self.uplink.refused.push(Refused { is_over, token });
        self.uplink.is_suspect = true;
        self.registration.suspect(turn.now);
    }

    /// The server knows us. What it may not have known of is stored for a while, and told to it only
    /// once it observes again: to one that has cancelled nothing more is to be sent.
    pub(super) fn judge(&mut self, refused: Vec<Refused>, turn: &mut Turn<'_>) {
        for Refused { is_over, token } in refused {
            if is_over {
                self.end_observation(token, turn);
            } else if self.observations.get(token).is_some() {
                self.observations.doubt(token);
                self.orphans_until = Some(turn.now.mono + MAX_ORPHANED);
            }
        }
    }

    /// Whether it is told only once the server observes again. Alarms are told in any case.
    pub(super) fn awaits_observation(&self, part: Part, turn: &Turn<'_>) -> bool {
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        self.observations.is_doubted(part) && !rules.is_alarm(part.0)
    }
}
