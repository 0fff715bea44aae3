//! Requests of one server, from arrival to answer.

use std::time::Duration;

use lamplighter_coap::{Request, RequestKey};
use lamplighter_model::{Address, device::Origin};

use super::Server;
use crate::{
    operation::{self, Caller, Operation, Watch, request},
    perform::{Reply, Turn, Wish},
    registration::Phase,
    reject::Reject,
    waiting::{Ask, Asker},
};

/// Requests kept while the registration is being completed; UDP may bring them before its answer.
const MAX_HELD: usize = 16;
/// When to come back while a bootstrap server is writing.
const BOOTSTRAP: Duration = Duration::from_secs(30);

impl Server {
    /// Answers an operation that has waited for devices.
    pub(crate) fn answer(
        &mut self,
        asker: &Asker,
        wish: (Address, Result<Reply, Reject>),
        turn: &mut Turn<'_>,
    ) {
        let Asker::Server { ask, key, .. } = asker else {
            return;
        };
        let (address, result) = wish;
        let response = match result.and_then(|reply| self.response(reply, address, *ask, turn)) {
            Ok(response) => response,
            Err(reject) => reject.into_response(),
        };
        self.endpoint.respond(*key, response, turn.now.mono);
    }

    pub(super) fn on_request(&mut self, key: RequestKey, request: Request, turn: &mut Turn<'_>) {
        match self.registration.phase() {
            // Core 1.2, 6.1.7: what is written now must not be changed from elsewhere.
            Phase::Registered if turn.shared.is_bootstrapped => {
                let busy = Reject::temporary("a bootstrap server is writing", Some(BOOTSTRAP));
                self.endpoint
                    .respond(key, busy.into_response(), turn.now.mono);
            }
            Phase::Registered => self.operate(key, &request, turn),
            // Core 1.2, 6.2: ignored until the registration is complete; its answer may be late.
            Phase::Registering if self.held.len() < MAX_HELD => self.held.push_back((key, request)),
            Phase::Disabled | Phase::Left | Phase::Offline | Phase::Registering => {
                tracing::debug!(ssid = %self.config.ssid, "Ignored a request of a server that has not registered us");
                self.endpoint.ignore(key);
            }
        }
    }

    pub(super) fn operate(&mut self, key: RequestKey, request: &Request, turn: &mut Turn<'_>) {
        let address = match self.view.address(&request.path) {
            Ok(address) => address,
            Err(reject) => {
                return self
                    .endpoint
                    .respond(key, reject.into_response(), turn.now.mono);
            }
        };
        let operation = match request.part {
            None => Ok(request::operation(request, address.path)),
            Some(part) => {
                operation::part::piece(request, part, &mut self.envelope).map(Operation::WritePart)
            }
        };
        let operation = match operation {
            Ok(operation) => operation,
            Err(reject) => {
                return self
                    .endpoint
                    .respond(key, reject.into_response(), turn.now.mono);
            }
        };
        if operation.watch() == Watch::End {
            // RFC 7641, 3.6: whatever becomes of the Read.
            self.end_observation(request.token, turn);
        }
        let caller = self.caller();
        let attributes = match operation::observe_attributes(
            &request.queries,
            &operation,
            address.path,
            (caller.enabler, turn.catalogue()),
        ) {
            Ok(attributes) => attributes,
            Err(reject) => {
                return self
                    .endpoint
                    .respond(key, reject.into_response(), turn.now.mono);
            }
        };
        let asker = Asker::Server {
            ask: Ask {
                accept: request.accept,
                attributes,
                token: request.token,
                watch: operation.watch(),
            },
            key,
            ssid: self.config.ssid,
        };
        let wish = Wish {
            address,
            asker: asker.clone(),
            caller,
            operation,
        };
        let prefix = self.view.prefix(address.scope);
        if let Some(result) = turn.begin(wish, Some(&self.attributes), prefix) {
            self.answer(&asker, (address, result), turn);
        }
    }

    /// This server as the one who wants something.
    pub(super) fn caller(&self) -> Caller {
        Caller {
            enabler: self.registration.version(),
            origin: Origin::Server(self.config.ssid),
        }
    }
}
