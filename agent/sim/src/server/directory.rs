//! The resource directory: what clients ask of the server, and Send. Core 1.2, 6.2 and 6.4.6.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lamplighter_coap::{Code, Method, Reliability, Request, RequestKey, Response};
use lamplighter_lwm2m::format::{self, ContentFormat, Node};
use lamplighter_model::{Path, object::Definitions};

use super::{
    Due, EndReason, Exchange, Held, LwServer, ServerEvent, Side,
    answer::summary,
    mixed,
    operation::prefix,
    registry::{ClientInfo, Location, Parameters, Refused},
};

/// Core 1.0.2, 5.2.1: the lifetime where none is given.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(86_400);

/// What a request did: the answer, and for the log its name, who it came from, and a remark.
struct Outcome {
    response: Response,
    operation: &'static str,
    endpoint: Arc<str>,
    detail: String,
    /// How much later than it could the answer leaves.
    delay: Option<Duration>,
}

impl LwServer {
    pub(super) fn on_request(
        &mut self,
        from: SocketAddr,
        key: RequestKey,
        request: Request,
        now: Duration,
    ) {
        let method = method_name(request.method);
        let path = format!("/{}", request.path.join("/"));
        let outcome = self.directory(from, request, now);
        self.log.add(Exchange {
            number: 0,
            at: now,
            from: Side::Client,
            endpoint: outcome.endpoint,
            method,
            operation: outcome.operation,
            path,
            code: Some(outcome.response.code),
            took: outcome.delay.unwrap_or_default(),
            detail: outcome.detail,
        });
        let response = outcome.response;
        match outcome.delay {
            Some(delay) => {
                let to = from;
                self.hold(Held { to, key, response }, now.saturating_add(delay));
            }
            None => self.respond(from, key, response, now),
        }
    }

    fn directory(&mut self, from: SocketAddr, request: Request, now: Duration) -> Outcome {
        let segments: Vec<&str> = request.path.iter().map(String::as_str).collect();
        match (segments.as_slice(), request.method) {
            (["rd"], Method::Post) => self.on_register(from, &request, now),
            (["rd", location], Method::Post) => self.on_update(from, location, &request, now),
            (["rd", location], Method::Delete) => self.on_deregister(location, now),
            (["dp"], Method::Post) => self.on_send(from, &request),
            (["dp"] | ["rd"] | ["rd", _], _) => Outcome::stray(Code::METHOD_NOT_ALLOWED),
            _ => Outcome::stray(Code::NOT_FOUND),
        }
    }

    fn on_register(&mut self, from: SocketAddr, request: &Request, now: Duration) -> Outcome {
        let detail = request.queries.join("&");
        if let Some(refusal) = self.script.refuses_register() {
            return Outcome::new("Register", "", refusal.response(), detail);
        }
        let outcome = match self.register(from, request, now) {
            Ok((endpoint, location)) => {
                let response = Response {
                    location_path: vec!["rd".to_owned(), location.to_string()],
                    ..Response::new(Code::CREATED)
                };
                Outcome::new("Register", &endpoint, response, detail)
            }
            Err(refused) => Outcome::new("Register", "", refused.response(), detail),
        };
        Outcome {
            delay: self.script.delays_register(),
            ..outcome
        }
    }

    fn register(
        &mut self,
        from: SocketAddr,
        request: &Request,
        now: Duration,
    ) -> Result<(Arc<str>, Location), Refused> {
        // Transport 1.2, 6.4: Register is confirmable.
        if request.reliability == Reliability::NonConfirmable {
            return Err(Refused::bad("not confirmable"));
        }
        let parameters = Parameters::read(request)?;
        let version = parameters
            .version
            .ok_or(Refused::bad("no version of LwM2M"))?;
        if !self.options.versions.contains(&version) {
            return Err(Refused {
                code: Code::PRECONDITION_FAILED,
                reason: "this version of LwM2M is not supported",
            });
        }
        let name = parameters
            .endpoint
            .ok_or(Refused::bad("no endpoint name"))?;
        let list = parameters.list.ok_or(Refused::bad("no object list"))?;
        if let Some(old) = self.registry.location(&name) {
            // Core 1.2, 6.2.1: a Register with a known name replaces the old registration.
            self.end_registration(old, now);
        } else if self.registry.len() >= self.options.max_clients {
            return Err(Refused {
                code: Code::SERVICE_UNAVAILABLE,
                reason: "too many clients",
            });
        }
        self.registrations_ever += 1;
        let location = Location(mixed(!self.options.seed, self.registrations_ever));
        let client = ClientInfo {
            endpoint: name.into(),
            address: from,
            version,
            lifetime: parameters.lifetime.unwrap_or(DEFAULT_LIFETIME),
            binding: parameters.binding.unwrap_or_else(|| "U".to_owned()),
            is_queue_mode: parameters.is_queue_mode,
            location: location.to_string(),
            links: list.links,
            root: list.root,
            registered_at: now,
            updated_at: now,
            updates: 0,
        };
        self.events
            .push_back(ServerEvent::Registered(client.endpoint.clone()));
        self.arm_expiry(location, client.lifetime, now);
        self.peer(from).registrations.insert(location);
        self.strangers.set(from, None);
        let endpoint = client.endpoint.clone();
        self.registry.insert(location, client);
        Ok((endpoint, location))
    }

    fn on_update(
        &mut self,
        from: SocketAddr,
        location: &str,
        request: &Request,
        now: Duration,
    ) -> Outcome {
        let detail = request.queries.join("&");
        if let Some(refusal) = self.script.refuses_update() {
            return Outcome::new("Update", "", refusal.response(), detail);
        }
        match self.update(from, location, request, now) {
            Ok(endpoint) => {
                self.events
                    .push_back(ServerEvent::Updated(endpoint.clone()));
                Outcome::new("Update", &endpoint, Response::new(Code::CHANGED), detail)
            }
            Err(refused) => Outcome::new("Update", "", refused.response(), detail),
        }
    }

    fn update(
        &mut self,
        from: SocketAddr,
        location: &str,
        request: &Request,
        now: Duration,
    ) -> Result<Arc<str>, Refused> {
        let location = self.registry.find(location).ok_or(Refused::UNKNOWN)?;
        let parameters = Parameters::read(request)?;
        self.follow(location, from, now);
        let client = &mut self.registry.at(location).ok_or(Refused::UNKNOWN)?.client;
        // Core 1.2, 6.2.2: what is not named stays as it was.
        if let Some(lifetime) = parameters.lifetime {
            client.lifetime = lifetime;
        }
        if let Some(binding) = parameters.binding {
            client.binding = binding;
        }
        if let Some(list) = parameters.list {
            client.links = list.links;
            client.root = list.root;
        }
        client.updated_at = now;
        client.updates += 1;
        let (endpoint, lifetime) = (client.endpoint.clone(), client.lifetime);
        self.arm_expiry(location, lifetime, now);
        Ok(endpoint)
    }

    /// The client is where its Update came from.
    fn follow(&mut self, location: Location, to: SocketAddr, now: Duration) {
        let Some(registration) = self.registry.at(location) else {
            return;
        };
        let from = std::mem::replace(&mut registration.client.address, to);
        if from == to {
            return;
        }
        let requests = registration.requests.clone();
        for request in requests {
            self.end_if_observation(request, EndReason::Moved);
        }
        self.peer(to).registrations.insert(location);
        self.strangers.set(to, None);
        self.leave(location, from, now);
    }

    fn on_deregister(&mut self, location: &str, now: Duration) -> Outcome {
        if let Some(refusal) = self.script.refuses_deregister() {
            return Outcome::new("De-register", "", refusal.response(), String::new());
        }
        let client = self
            .registry
            .find(location)
            .and_then(|location| self.end_registration(location, now));
        let Some(client) = client else {
            let response = Refused::UNKNOWN.response();
            return Outcome::new("De-register", "", response, String::new());
        };
        self.events
            .push_back(ServerEvent::Deregistered(client.endpoint.clone()));
        let response = Response::new(Code::DELETED);
        Outcome::new("De-register", &client.endpoint, response, String::new())
    }

    /// Core 1.2, 6.4.6: values that nobody has asked for.
    fn on_send(&mut self, from: SocketAddr, request: &Request) -> Outcome {
        if let Some(refusal) = self.script.refuses_send() {
            return Outcome::new("Send", "", refusal.response(), String::new());
        }
        let location = self.peers.get(&from);
        let location = location.and_then(|peer| peer.registrations.first().copied());
        let Some(registration) = location.and_then(|location| self.registry.at(location)) else {
            return Outcome::new("Send", "", Refused::UNKNOWN.response(), String::new());
        };
        let client = &registration.client;
        let endpoint = client.endpoint.clone();
        match sent(&client.root, request, &self.options.definitions) {
            Ok(nodes) => {
                let detail = summary(&nodes);
                self.events
                    .push_back(ServerEvent::Sent(endpoint.clone(), nodes));
                Outcome::new("Send", &endpoint, Response::new(Code::CHANGED), detail)
            }
            Err(refused) => Outcome::new("Send", &endpoint, refused.response(), String::new()),
        }
    }

    pub(super) fn on_expired(&mut self, location: Location, now: Duration) {
        if let Some(client) = self.end_registration(location, now) {
            self.events.push_back(ServerEvent::Expired(client.endpoint));
        }
    }

    /// Removes a registration with all that belongs to it.
    pub(super) fn end_registration(
        &mut self,
        location: Location,
        now: Duration,
    ) -> Option<ClientInfo> {
        let registration = self.registry.remove(location)?;
        self.timers.set(Due::Expire(location), None);
        for request in registration.requests {
            self.abandon(request);
        }
        self.leave(location, registration.client.address, now);
        Some(registration.client)
    }

    /// This registration is no longer one of this address.
    fn leave(&mut self, location: Location, address: SocketAddr, now: Duration) {
        if let Some(peer) = self.peers.get_mut(&address) {
            peer.registrations.remove(&location);
        }
        self.rate_stranger(address, now);
    }

    fn arm_expiry(&mut self, location: Location, lifetime: Duration, now: Duration) {
        // Core 1.2, 6.2.1: 0 is infinite.
        let at = (!lifetime.is_zero()).then(|| now.saturating_add(lifetime));
        self.timers.set(Due::Expire(location), at);
    }
}

impl Outcome {
    fn new(operation: &'static str, endpoint: &str, response: Response, detail: String) -> Self {
        let detail = match std::str::from_utf8(&response.payload) {
            Ok(reason) if !reason.is_empty() => format!("{reason} ({detail})"),
            _ => detail,
        };
        Self {
            response,
            operation,
            endpoint: endpoint.into(),
            detail: super::answer::shortened(&detail),
            delay: None,
        }
    }

    /// A request for something that this server does not have.
    fn stray(code: Code) -> Self {
        Self::new("", "", Response::new(code), String::new())
    }
}

/// The values of a Send, in the order of the payload.
fn sent(root: &str, request: &Request, definitions: &Definitions) -> Result<Vec<Node>, Refused> {
    let format = request.content_format.and_then(ContentFormat::from_number);
    // Core 1.2, 6.4.6: SenML only; in 1.2 also LwM2M CBOR.
    let Some(
        format @ (ContentFormat::SenmlCbor | ContentFormat::SenmlJson | ContentFormat::Lwm2mCbor),
    ) = format
    else {
        return Err(Refused {
            code: Code::UNSUPPORTED_CONTENT_FORMAT,
            reason: "this is no format of a Send",
        });
    };
    let decoded = format::decode(
        format,
        Path::Root,
        &prefix(root),
        &request.payload,
        definitions,
    );
    match decoded {
        Ok(decoded) => Ok(decoded.nodes),
        Err(_) => Err(Refused::bad("the values cannot be read")),
    }
}

pub(super) fn method_name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Fetch => "FETCH",
        Method::Patch => "PATCH",
        Method::IPatch => "iPATCH",
    }
}
