//! What the server asks of clients: requests, answers, observations.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lamplighter_coap::{Endpoint, ExchangeId, Failure, Request, Response};
use lamplighter_model::Path;

use super::{
    Answer, CancelMode, EndReason, Exchange, LwServer, Operation, RequestError, RequestId,
    ServerEvent, Side,
    directory::method_name,
    operation::{failure_text, prefix},
    registry::Location,
};

/// A request that waits for its answer, or an observation.
#[derive(Debug)]
pub(super) struct Pending {
    asked: Asked,
    exchange: ExchangeId,
    is_observation: bool,
}

/// A request to a client that does not listen now.
#[derive(Debug)]
pub(super) struct Waiting {
    asked: Asked,
    request: Request,
}

/// What was asked of whom.
#[derive(Debug)]
struct Asked {
    to: SocketAddr,
    endpoint: Arc<str>,
    root: String,
    path: Path,
    method: &'static str,
    operation: &'static str,
    /// What was sent along.
    detail: String,
    since: Duration,
}

impl LwServer {
    /// Asks a client; [`ServerEvent::Answered`] or [`ServerEvent::Failed`] follows.
    ///
    /// # Errors
    /// Where nothing could be sent.
    pub fn request(
        &mut self,
        endpoint: &str,
        operation: &Operation,
        now: Duration,
    ) -> Result<RequestId, RequestError> {
        let location = self
            .registry
            .location(endpoint)
            .ok_or(RequestError::NoSuchClient)?;
        let registration = self
            .registry
            .at(location)
            .ok_or(RequestError::NoSuchClient)?;
        let client = &registration.client;
        let sleeps = client.is_sleepy() && registration.heard + self.options.awake <= now;
        let request = operation
            .request(&client.root, &self.options.definitions)
            .map_err(RequestError::Encode)?;
        let asked = Asked {
            to: client.address,
            endpoint: client.endpoint.clone(),
            root: client.root.clone(),
            path: operation.path(),
            method: method_name(request.method),
            operation: operation.name(),
            detail: operation.detail(),
            since: now,
        };
        if sleeps {
            return self.wait_for_client(Waiting { asked, request });
        }
        let id = self.new_request();
        self.start(id, asked, now, |endpoint| {
            Some(endpoint.request(request, now))
        })
    }

    /// A client has said something: what waited for that is asked now.
    pub(super) fn heard(&mut self, from: SocketAddr, now: Duration) {
        let Some(peer) = self.peers.get(&from) else {
            return;
        };
        let locations: Vec<Location> = peer.registrations.iter().copied().collect();
        for location in locations {
            let Some(registration) = self.registry.at(location) else {
                continue;
            };
            registration.heard = now;
            if self.asleep.is_empty() {
                continue;
            }
            let to = registration.client.address;
            let asleep = registration.requests.iter().copied();
            let asleep: Vec<RequestId> = asleep.filter(|id| self.asleep.contains_key(id)).collect();
            for id in asleep {
                self.wake(id, to, now);
            }
        }
    }

    fn wake(&mut self, id: RequestId, to: SocketAddr, now: Duration) {
        let Some(Waiting { asked, request }) = self.asleep.remove(&id) else {
            return;
        };
        if let Some(registration) = self.registry.named(&asked.endpoint) {
            registration.requests.remove(&id);
        }
        let endpoint = asked.endpoint.clone();
        // The client may be elsewhere than when it was asked.
        let asked = Asked { to, ..asked };
        let send = |endpoint: &mut Endpoint| Some(endpoint.request(request, now));
        if let Err(error) = self.start(id, asked, now, send) {
            self.events
                .push_back(ServerEvent::Failed(id, endpoint, error));
        }
    }

    fn wait_for_client(&mut self, waiting: Waiting) -> Result<RequestId, RequestError> {
        let id = self.new_request();
        let registration = self
            .registry
            .named(&waiting.asked.endpoint)
            .ok_or(RequestError::NoSuchClient)?;
        if registration.requests.len() >= self.options.max_requests {
            return Err(RequestError::TooMany);
        }
        registration.requests.insert(id);
        self.asleep.insert(id, waiting);
        Ok(id)
    }

    fn new_request(&mut self) -> RequestId {
        self.requests_ever += 1;
        RequestId(self.requests_ever)
    }

    /// Ends an observation. There is no request, so no id, where that is done by a reset.
    ///
    /// # Errors
    /// [`RequestError::NoSuchObservation`] where it is over, or its first answer has not come.
    pub fn cancel(
        &mut self,
        observation: RequestId,
        mode: CancelMode,
        now: Duration,
    ) -> Result<Option<RequestId>, RequestError> {
        let known = self.pending.get(&observation);
        if !known.is_some_and(|pending| pending.is_observation) {
            return Err(RequestError::NoSuchObservation);
        }
        let Pending {
            asked, exchange, ..
        } = self
            .take(observation)
            .ok_or(RequestError::NoSuchObservation)?;
        let endpoint = asked.endpoint.clone();
        self.events.push_back(ServerEvent::ObservationEnded(
            observation,
            endpoint,
            EndReason::Cancelled,
        ));
        match mode {
            CancelMode::Active => {
                let asked = Asked {
                    operation: "Cancel",
                    since: now,
                    ..asked
                };
                let id = self.new_request();
                self.start(id, asked, now, |endpoint| {
                    endpoint.stop_observing(exchange, now)
                })
                .map(Some)
            }
            CancelMode::Reset => {
                self.drop_exchange(asked.to, exchange);
                Ok(None)
            }
        }
    }

    fn start(
        &mut self,
        id: RequestId,
        asked: Asked,
        now: Duration,
        send: impl FnOnce(&mut Endpoint) -> Option<ExchangeId>,
    ) -> Result<RequestId, RequestError> {
        let registration = self
            .registry
            .named(&asked.endpoint)
            .ok_or(RequestError::NoSuchClient)?;
        if registration.requests.len() >= self.options.max_requests {
            return Err(RequestError::TooMany);
        }
        let peer = self
            .peers
            .get_mut(&asked.to)
            .ok_or(RequestError::NoSuchClient)?;
        let exchange = send(&mut peer.endpoint).ok_or(RequestError::NoSuchObservation)?;
        let to = asked.to;
        registration.requests.insert(id);
        peer.exchanges.insert(exchange, id);
        self.pending.insert(
            id,
            Pending {
                asked,
                exchange,
                is_observation: false,
            },
        );
        self.pump(to, now);
        Ok(id)
    }

    pub(super) fn on_response(
        &mut self,
        from: SocketAddr,
        exchange: ExchangeId,
        response: Response,
        now: Duration,
    ) {
        let Some((id, pending)) = self.pending_of(from, exchange) else {
            return;
        };
        let is_observed = response.code.is_success() && response.observe.is_some();
        pending.is_observation = is_observed;
        let took = now.saturating_sub(pending.asked.since);
        let Some((endpoint, answer)) = self.told(id, response, Told::Answer(took), now) else {
            return;
        };
        if !is_observed {
            self.take(id);
        }
        self.events
            .push_back(ServerEvent::Answered(id, endpoint, answer));
    }

    pub(super) fn on_notification(
        &mut self,
        from: SocketAddr,
        exchange: ExchangeId,
        response: Response,
        now: Duration,
    ) {
        let Some((id, _)) = self.pending_of(from, exchange) else {
            return;
        };
        let code = response.code;
        let is_last = response.observe.is_none();
        let Some((endpoint, answer)) = self.told(id, response, Told::Notification, now) else {
            return;
        };
        self.events
            .push_back(ServerEvent::Notified(id, endpoint, answer));
        if is_last {
            self.end_observation(id, EndReason::Refused(code));
        }
    }

    pub(super) fn on_failed(
        &mut self,
        from: SocketAddr,
        exchange: ExchangeId,
        failure: Failure,
        now: Duration,
    ) {
        let Some((id, pending)) = self.pending_of(from, exchange) else {
            return;
        };
        if pending.is_observation {
            return self.end_observation(id, EndReason::Failed(failure));
        }
        let Some(Pending { asked, .. }) = self.take(id) else {
            return;
        };
        let endpoint = asked.endpoint.clone();
        let error = RequestError::Failed(failure);
        self.log.add(Exchange {
            detail: failure_text(failure).to_owned(),
            ..asked.exchange(now)
        });
        self.events
            .push_back(ServerEvent::Failed(id, endpoint, error));
    }

    /// Decodes and logs what a client says about a request.
    fn told(
        &mut self,
        id: RequestId,
        response: Response,
        told: Told,
        now: Duration,
    ) -> Option<(Arc<str>, Answer)> {
        let asked = &self.pending.get(&id)?.asked;
        let definitions = &self.options.definitions;
        let mut answer = Answer::new(response, asked.path, &prefix(&asked.root), definitions);
        let line = Exchange {
            code: Some(answer.code),
            ..asked.exchange(now)
        };
        answer.number = self.log.add(match told {
            Told::Answer(took) => {
                answer.took = took;
                Exchange {
                    detail: joined(&asked.detail, &answer.detail()),
                    ..line
                }
            }
            Told::Notification => Exchange {
                from: Side::Client,
                method: "NOTIFY",
                operation: "Notify",
                took: Duration::ZERO,
                detail: answer.detail(),
                ..line
            },
        });
        Some((asked.endpoint.clone(), answer))
    }

    /// Ends what was asked of a client whose registration is over.
    pub(super) fn abandon(&mut self, id: RequestId) {
        if let Some(Waiting { asked, .. }) = self.asleep.remove(&id) {
            let gone = ServerEvent::Failed(id, asked.endpoint, RequestError::Gone);
            self.events.push_back(gone);
            return;
        }
        let Some(pending) = self.take(id) else {
            return;
        };
        let endpoint = pending.asked.endpoint;
        self.events.push_back(if pending.is_observation {
            ServerEvent::ObservationEnded(id, endpoint, EndReason::Gone)
        } else {
            ServerEvent::Failed(id, endpoint, RequestError::Gone)
        });
        self.drop_exchange(pending.asked.to, pending.exchange);
    }

    pub(super) fn end_if_observation(&mut self, id: RequestId, why: EndReason) {
        let known = self.pending.get(&id);
        if known.is_some_and(|pending| pending.is_observation) {
            self.end_observation(id, why);
        }
    }

    fn end_observation(&mut self, id: RequestId, why: EndReason) {
        let Some(pending) = self.take(id) else {
            return;
        };
        self.events.push_back(ServerEvent::ObservationEnded(
            id,
            pending.asked.endpoint,
            why,
        ));
        self.drop_exchange(pending.asked.to, pending.exchange);
    }

    fn pending_of(
        &mut self,
        from: SocketAddr,
        exchange: ExchangeId,
    ) -> Option<(RequestId, &mut Pending)> {
        let id = *self.peers.get(&from)?.exchanges.get(&exchange)?;
        Some((id, self.pending.get_mut(&id)?))
    }

    /// Removes a request from wherever it is known here; the endpoint still has it.
    fn take(&mut self, id: RequestId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        if let Some(peer) = self.peers.get_mut(&pending.asked.to) {
            peer.exchanges.remove(&pending.exchange);
        }
        if let Some(registration) = self.registry.named(&pending.asked.endpoint) {
            registration.requests.remove(&id);
        }
        Some(pending)
    }

    fn drop_exchange(&mut self, to: SocketAddr, exchange: ExchangeId) {
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.endpoint.cancel(exchange);
        }
        self.rearm(to);
    }
}

/// What a response is.
enum Told {
    /// With the time since its request.
    Answer(Duration),
    Notification,
}

impl Asked {
    /// Its line of the log, as long as nothing was answered.
    fn exchange(&self, now: Duration) -> Exchange {
        Exchange {
            number: 0,
            at: now,
            from: Side::Server,
            endpoint: self.endpoint.clone(),
            method: self.method,
            operation: self.operation,
            path: self.path.to_string(),
            code: None,
            took: now.saturating_sub(self.since),
            detail: self.detail.clone(),
        }
    }
}

fn joined(sent: &str, answered: &str) -> String {
    match (sent.is_empty(), answered.is_empty()) {
        (_, true) => sent.to_owned(),
        (true, false) => answered.to_owned(),
        (false, false) => format!("{sent}: {answered}"),
    }
}
