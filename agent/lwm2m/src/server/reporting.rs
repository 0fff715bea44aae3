//! Answers and notifications of one server.

use lamplighter_coap::{Code, Reliability, Response, Token};
use lamplighter_model::{Address, Path, ResourceAddress, ResourceInstanceId, device::Origin};

use super::{MAX_NOTIFICATIONS, Server};
use crate::{
    boundary::Output,
    format::{self, ContentFormat, Node},
    observe::Sent,
    operation::{self, Watch},
    perform::{Reply, Shared, Turn},
    registration::Phase,
    reject::Reject,
    saved::{Record, SavedObservation},
};

impl Server {
    /// A resource has another value.
    pub(crate) fn changed(
        &mut self,
        resource: ResourceAddress,
        index: Option<ResourceInstanceId>,
        turn: &Turn<'_>,
    ) {
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        self.observations.changed(resource, index, rules);
        self.observations.handle_timeout(turn.now.mono);
    }

    /// Instances or resources of an object came or went.
    pub(crate) fn object_changed(&mut self, object: Address, turn: &Turn<'_>) {
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        self.observations.object_changed(object, rules);
        self.observations.handle_timeout(turn.now.mono);
    }

    /// What was attached to an address and below it is gone.
    pub(crate) fn remove_attributes(&mut self, address: Address, shared: &mut Shared) {
        for address in self.attributes.remove_below(address) {
            let path = self.view.wire(address).to_string();
            let record = Record::Attributes(self.config.ssid, path, None);
            shared.out.push(Output::Journal(record));
        }
    }

    /// The server's defaults for pmin and pmax are others.
    pub(crate) fn reschedule(&mut self, turn: &Turn<'_>) {
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        self.observations.reschedule(rules);
    }

    /// The CoAP answer to an operation.
    pub(super) fn response(
        &mut self,
        reply: Reply,
        address: Address,
        (accept, token, watch): (Option<u16>, Token, Watch),
        turn: &mut Turn<'_>,
    ) -> Result<Response, Reject> {
        match reply {
            Reply::Attributes(changes) => {
                let attached = self.attributes.change(address, &changes)?;
                let path = self.view.wire(address).to_string();
                turn.shared.out.push(Output::Journal(Record::Attributes(
                    self.config.ssid,
                    path,
                    attached,
                )));
                self.reschedule(turn);
                Ok(Response::new(Code::CHANGED))
            }
            Reply::Content(nodes) => {
                let enabler = self.registration.version();
                let format =
                    operation::answer_format(address.path, accept, enabler, turn.catalogue())?;
                let payload = self.encode(format, address, &nodes, turn)?;
                let response = Response::content(Code::CONTENT, format.number(), payload);
                match watch {
                    Watch::Begin if self.observe(token, address, format, &nodes, turn) => {
                        Ok(Response {
                            observe: Some(0),
                            ..response
                        })
                    }
                    Watch::Begin | Watch::End | Watch::No => Ok(response),
                }
            }
            Reply::Composite(_, nodes) => {
                let format = operation::composite_format(accept)?;
                let payload = self.encode(format, address, &nodes, turn)?;
                Ok(Response::content(Code::CONTENT, format.number(), payload))
            }
            Reply::Created(path) => Ok(Response {
                location_path: self.view.location(address.scope, path),
                ..Response::new(Code::CREATED)
            }),
            Reply::Deleted => Ok(Response::new(Code::DELETED)),
            Reply::Done | Reply::Samples(_) => Ok(Response::new(Code::CHANGED)),
            Reply::Links(links) => Ok(Response::content(
                Code::CONTENT,
                ContentFormat::Link.number(),
                links.into_bytes(),
            )),
        }
    }

    /// Sends the next notification; false where none waits or none can leave.
    pub(super) fn notify_next(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.registration.phase() != Phase::Registered || !self.observations.has_waiting() {
            return false;
        }
        let Some((token, relation)) = self.observations.next() else {
            return false;
        };
        let (target, format, reliability) = (
            relation.target,
            relation.format,
            relation.reliability(turn.now.mono),
        );
        let settled = relation.is_settled();
        let payload = self.current(target, turn).and_then(|nodes| {
            let payload = self.encode(format, target, &nodes, turn)?;
            Ok((nodes, payload))
        });
        match payload {
            Ok((nodes, _)) if nodes.is_empty() && !settled => self.skip(token, turn),
            Ok((nodes, payload)) => {
                let response = Response {
                    observe: Some(0),
                    ..Response::content(Code::CONTENT, format.number(), payload)
                };
                self.notify(token, response, reliability, turn);
                let sent = Sent {
                    nodes: &nodes,
                    reliability,
                    revision: turn.tree.revision(),
                };
                let rules = Self::rules(&self.attributes, self.config.ssid, turn);
                self.observations.sent(token, sent, rules);
            }
            Err(reject) if !settled || reject.code != Code::NOT_FOUND => self.skip(token, turn),
            // RFC 7641, 4.2: an error ends the observation.
            Err(reject) => {
                self.notify(
                    token,
                    reject.into_response(),
                    Reliability::Confirmable,
                    turn,
                );
                self.drop_observation(token, turn);
            }
        }
        true
    }

    fn skip(&mut self, token: Token, turn: &Turn<'_>) {
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        self.observations.skipped(token, rules);
    }

    pub(super) fn delivered(&mut self, token: Token, acknowledged: bool, turn: &Turn<'_>) {
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        self.observations.delivered(token, acknowledged, rules);
        self.observations.handle_timeout(turn.now.mono);
    }

    /// The server does not listen any more.
    pub(super) fn end_observation(&mut self, token: Token, turn: &mut Turn<'_>) {
        self.endpoint.forget_observer(&token);
        self.notifications.retain(|_, (of, _)| *of != token);
        self.drop_observation(token, turn);
    }

    /// After a new Register the server knows nothing of former observations (RFC 7641).
    pub(super) fn forget_observations(&mut self, turn: &mut Turn<'_>) {
        for token in self.observations.clear() {
            self.endpoint.forget_observer(&token);
            self.journal_observation(token, None, turn);
        }
        self.notifications.clear();
    }

    fn drop_observation(&mut self, token: Token, turn: &mut Turn<'_>) {
        if self.observations.end(token).is_some() {
            self.journal_observation(token, None, turn);
        }
    }

    fn observe(
        &mut self,
        token: Token,
        target: Address,
        format: ContentFormat,
        nodes: &[Node],
        turn: &mut Turn<'_>,
    ) -> bool {
        let sent = Sent {
            nodes,
            reliability: Reliability::Confirmable,
            revision: turn.tree.revision(),
        };
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        let accepted = self.observations.begin(token, target, format, sent, rules);
        if accepted {
            let saved = SavedObservation {
                format: format.number(),
                path: self.view.wire(target).to_string(),
            };
            self.journal_observation(token, Some(saved), turn);
        }
        accepted
    }

    /// What an observed target holds now, from what was last heard.
    fn current(&self, target: Address, turn: &Turn<'_>) -> Result<Vec<Node>, Reject> {
        let catalogue = turn.catalogue();
        let exists = match target.path {
            Path::Root | Path::Object(_) => true,
            Path::Instance(path) => catalogue.has_instance(lamplighter_model::InstanceAddress {
                scope: target.scope,
                path,
            }),
            Path::Resource(path) | Path::ResourceInstance(path, _) => catalogue
                .resource(ResourceAddress {
                    scope: target.scope,
                    path,
                })
                .is_some(),
        };
        if !exists {
            return Err(Reject::not_found("what was observed is gone"));
        }
        // A right that was taken since silences the observation, it does not end it.
        operation::content(target, &Origin::Server(self.config.ssid), catalogue)
    }

    fn encode(
        &self,
        format: ContentFormat,
        target: Address,
        nodes: &[Node],
        turn: &Turn<'_>,
    ) -> Result<Vec<u8>, Reject> {
        let (path, prefix) = (self.view.wire(target), self.view.prefix(target.scope));
        Ok(format::encode(
            format,
            path,
            prefix,
            nodes,
            turn.tree.definitions(),
        )?)
    }

    fn notify(
        &mut self,
        token: Token,
        response: Response,
        reliability: Reliability,
        turn: &Turn<'_>,
    ) {
        let id = self
            .endpoint
            .notify(&token, response, reliability, turn.now.mono);
        self.notifications.insert(id, (token, reliability));
        if self.notifications.len() > MAX_NOTIFICATIONS {
            // Of those that are not confirmed only a reset is ever told. An observation waits for
            // the end of a confirmable one: that must not be forgotten.
            let oldest = self
                .notifications
                .iter()
                .find(|(_, (_, reliability))| *reliability == Reliability::NonConfirmable)
                .map(|(id, _)| *id);
            oldest.map(|id| self.notifications.remove(&id));
        }
    }

    fn journal_observation(
        &self,
        token: Token,
        saved: Option<SavedObservation>,
        turn: &mut Turn<'_>,
    ) {
        let record = Record::Observation(self.config.ssid, token.as_bytes().to_vec(), saved);
        turn.shared.out.push(Output::Journal(record));
    }
}
