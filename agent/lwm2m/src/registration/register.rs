//! Register, and what its answers mean (lwm2m/10, 5).

use lamplighter_coap::Code;
use lamplighter_model::Now;

use super::{List, Registration, Reply, State, Step, update::Pending, version::Next};
use crate::server::Cause;

impl Registration {
    /// Register for a reason of our own.
    pub(super) fn register(&mut self, now: Now) {
        self.versions.begin(now);
        self.send_register();
    }

    pub(super) fn register_over_new_link(&mut self, now: Now) {
        self.steps.push_back(Step::Close);
        self.open(None, now);
    }

    pub(super) fn send_register(&mut self) {
        self.pending = Pending::default();
        self.state = State::Registering;
        self.steps.push_back(Step::Register);
    }

    pub(super) fn register_replied(&mut self, reply: Reply, now: Now) {
        if !matches!(self.state, State::Registering) {
            return;
        }
        match reply.code {
            Code::CREATED if reply.location.is_empty() => {
                let reason = "the server named no location for the registration";
                self.retry(Cause::Refused(reply.code).told(reason), None, now);
            }
            Code::CREATED => self.registered(reply.location, now),
            Code::PRECONDITION_FAILED => {
                let next = self.versions.unsupported(now);
                self.refused(next, &reply, now);
            }
            Code::BAD_REQUEST => {
                let next = self.versions.bad_request(now);
                self.refused(next, &reply, now);
            }
            Code::FORBIDDEN => self.refused(Next::Same, &reply, now),
            // Blocks of the size that the server named were tried by the exchange already.
            Code::REQUEST_ENTITY_TOO_LARGE if self.list == List::Full => {
                self.list = List::Short;
                self.steps.push_back(Step::ListShortened);
                self.send_register();
            }
            Code::SERVICE_UNAVAILABLE => self.retry(reply.trouble(), reply.max_age, now),
            _ => self.retry(reply.trouble(), None, now),
        }
    }

    fn refused(&mut self, next: Next, reply: &Reply, now: Now) {
        match next {
            Next::AtOnce => self.send_register(),
            Next::Later => self.retry(reply.trouble(), None, now),
            Next::Same => {
                self.retry(reply.trouble(), None, now);
                // lwm2m/10, 7: a rejection counts at once, whatever the table still holds.
                self.give_up();
            }
        }
    }

    fn registered(&mut self, location: Vec<String>, now: Now) {
        self.backoff.reset();
        self.has_given_up = false;
        self.versions.accepted();
        self.steps
            .push_back(Step::Save(self.saved(location.clone(), now)));
        self.steps.push_back(Step::Registered { anew: true });
        self.state = State::Registered(self.live(location, now));
        self.update_if_due(now);
    }
}
