//! Answers and notifications of one server.

use std::time::Duration;

use lamplighter_coap::{Code, Reliability, Response, Token};
use lamplighter_model::{Address, Path, ResourceAddress, ResourceInstanceId};

use super::{MAX_NOTIFICATIONS, Server, keeping::AWAIT_NEXT};
use crate::{
    boundary::Output,
    format::{self, ContentFormat, Node},
    observe::{Attributes, Sent, Subscription, Targets},
    operation::{self, Watch},
    perform::{Reply, Shared, Turn},
    registration::Phase,
    reject::Reject,
    saved::{Record, SavedObservation},
    waiting::Ask,
};

/// How long what a server observed and knows no more is stored for it, at most.
pub(super) const MAX_ORPHANED: Duration = Duration::from_secs(3600);

impl Server {
    /// A resource has another value.
    pub(crate) fn changed(
        &mut self,
        resource: ResourceAddress,
        index: Option<ResourceInstanceId>,
        turn: &mut Turn<'_>,
    ) {
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        self.observations.changed(resource, index, rules);
        self.observations.handle_timeout(rules);
        self.keep_alarm((resource, index), turn);
    }

    /// Something below the address, or the instance itself, came or went.
    pub(crate) fn object_changed(&mut self, changed: Address, turn: &Turn<'_>) {
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        self.observations.structure_changed(changed, rules);
        self.observations.handle_timeout(rules);
    }

    /// Attributes die with what they are attached to (lwm2m/30, 3).
    pub(crate) fn remove_stale_attributes(&mut self, instance: Address, turn: &mut Turn<'_>) {
        let stale: Vec<Address> = self
            .attributes
            .below(instance)
            .filter(|address| !turn.catalogue().exists(*address))
            .collect();
        for address in stale {
            self.remove_attributes(address, turn.shared);
        }
    }

    /// What was attached to an address and below it is gone.
    pub(crate) fn remove_attributes(&mut self, address: Address, shared: &mut Shared) {
        for address in self.attributes.remove_below(address) {
            self.journal_attributes(address, None, shared);
        }
    }

    /// The server's defaults for attributes are others.
    pub(crate) fn defaults_changed(&mut self, turn: &Turn<'_>) {
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        self.observations.defaults_changed(rules);
    }

    /// The CoAP answer to an operation.
    pub(super) fn response(
        &mut self,
        reply: Reply,
        address: Address,
        ask: Ask,
        turn: &mut Turn<'_>,
    ) -> Result<Response, Reject> {
        match reply {
            Reply::Attributes(changes) => {
                let attached = self.attributes.change(address, &changes)?;
                self.journal_attributes(address, attached, turn.shared);
                let rules = Self::rules(&self.attributes, self.config.ssid, turn);
                self.observations.attributes_changed(address, rules);
                Ok(Response::new(Code::CHANGED))
            }
            Reply::Content(nodes) => {
                let enabler = self.registration.version();
                let format =
                    operation::answer_format(address.path, ask.accept, enabler, turn.catalogue())?;
                let payload = self.encode(format, address, &nodes, turn)?;
                let number = format.number_in(ask.accept);
                let response = Response::content(Code::CONTENT, number, payload);
                let subscription = Subscription {
                    attributes: ask.attributes,
                    format,
                    number,
                    targets: Targets::Single(address),
                };
                Ok(self.watched(response, ask, subscription, &nodes, turn))
            }
            Reply::Composite(targets, nodes) => {
                let format = operation::composite_format(ask.accept)?;
                let payload = self.encode(format, address, &nodes, turn)?;
                let number = format.number_in(ask.accept);
                let response = Response::content(Code::CONTENT, number, payload);
                let subscription = Subscription {
                    attributes: ask.attributes,
                    format,
                    number,
                    targets: Targets::Composite(targets),
                };
                Ok(self.watched(response, ask, subscription, &nodes, turn))
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

    /// Tells or stores the next thing that is due; false where nothing is, or nothing can leave.
    pub(super) fn notify_next(&mut self, turn: &mut Turn<'_>) -> bool {
        let is_storing = self.is_storing(turn);
        if !is_storing && !self.outbox.is_empty() {
            self.discard_all(turn.shared);
        }
        if self.is_frugal() {
            return self.observations.has_waiting() && self.notify_frugally(is_storing, turn);
        }
        if self.uplink.is_frugal && !is_storing {
            return false;
        }
        if self.observations.has_waiting() {
            let is_ready =
                self.uplink.pace.ready_at() <= turn.now.mono && self.has_room_to_confirm();
            if is_storing && !(is_ready && self.is_live()) {
                return self.store_next(turn);
            }
            if is_ready && self.registration.phase() == Phase::Registered {
                return self.tell_next(is_storing, turn);
            }
        }
        is_storing && self.replay_next(turn)
    }

    /// What is due cannot be told now.
    fn store_next(&mut self, turn: &mut Turn<'_>) -> bool {
        let Some(token) = self.observations.next() else {
            return false;
        };
        self.keep(token, turn);
        true
    }

    fn tell_next(&mut self, is_storing: bool, turn: &mut Turn<'_>) -> bool {
        let Some(token) = self.observations.next() else {
            return false;
        };
        let Some(relation) = self.observations.get(token) else {
            return true;
        };
        if relation.is_orphan() {
            self.keep(token, turn);
            return true;
        }
        let subscription = relation.subscription.clone();
        let settled = relation.is_settled();
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        let reliability = if is_storing && self.wants_confirmation(turn.now.mono) {
            Reliability::Confirmable
        } else {
            relation.reliability(rules)
        };
        let samples = if is_storing {
            self.samples_of(relation, turn)
        } else {
            Vec::new()
        };
        let payload = self.current(&subscription.targets, turn).and_then(|nodes| {
            let target = subscription.targets.common();
            let payload = self.encode(subscription.format, target, &nodes, turn)?;
            Ok((nodes, payload))
        });
        match payload {
            Ok((nodes, _)) if nodes.is_empty() && !settled => self.skip(token, turn),
            Ok((nodes, payload)) => {
                let response = Response {
                    observe: Some(0),
                    ..Response::content(Code::CONTENT, subscription.number, payload)
                };
                self.remember(samples, turn);
                self.notify(token, response, reliability, turn);
                let sent = Sent {
                    is_stored: is_storing,
                    nodes: &nodes,
                    reliability,
                    revision: turn.tree.revision(),
                };
                let rules = Self::rules(&self.attributes, self.config.ssid, turn);
                self.observations.sent(token, sent, rules);
            }
            Err(reject) if !settled || !ends_observation(reject.code) => self.skip(token, turn),
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

    pub(super) fn skip(&mut self, token: Token, turn: &Turn<'_>) {
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        self.observations.skipped(token, rules);
    }

    pub(super) fn delivered(&mut self, token: Token, acknowledged: bool, turn: &Turn<'_>) {
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        self.observations.delivered(token, acknowledged, rules);
        self.observations.handle_timeout(rules);
    }

    /// The server does not listen any more.
    pub(super) fn end_observation(&mut self, token: Token, turn: &mut Turn<'_>) {
        self.forget_observer(token);
        let relation = self.observations.get(token);
        let addresses = relation.map(|relation| relation.subscription.targets.addresses().to_vec());
        self.drop_observation(token, turn);
        self.cancel(addresses.unwrap_or_default(), turn);
    }

    /// After a new Register the server knows nothing of former observations (RFC 7641).
    pub(super) fn forget_observations(&mut self, turn: &mut Turn<'_>) {
        let is_storing = self.is_storing(turn);
        for token in self.observations.orphan_all() {
            self.forget_observer(token);
            match self.observations.get(token) {
                Some(relation) if is_storing => {
                    let saved = self.saved_observation(&relation.subscription, true);
                    self.journal_observation(token, Some(saved), turn);
                }
                Some(_) | None => self.drop_observation(token, turn),
            }
        }
        self.notifications.clear();
        let lasts = self.registration.lifetime().min(MAX_ORPHANED);
        let is_awaited = !self.observations.orphans().is_empty();
        self.orphans_until = is_awaited.then(|| turn.now.mono + lasts);
    }

    /// Attributes and observations die with the account.
    pub(super) fn forget_reporting(&mut self, turn: &mut Turn<'_>) {
        for scope in self.view.scopes() {
            let path = Path::Root;
            self.remove_attributes(Address { scope, path }, turn.shared);
        }
        for token in self.observations.orphan_all() {
            self.drop_observation(token, turn);
        }
    }

    /// The server has not come back to what it observed before it registered us anew. What it did
    /// not know although it knew us it does not want: that is discarded.
    pub(super) fn end_orphans(&mut self, turn: &mut Turn<'_>) {
        if self.orphans_until.is_none_or(|until| until > turn.now.mono) {
            return;
        }
        self.orphans_until = None;
        for token in self.observations.orphans() {
            let relation = self.observations.get(token);
            if relation.is_some_and(|relation| relation.is_doubted()) {
                self.end_observation(token, turn);
            } else {
                self.drop_observation(token, turn);
            }
        }
    }

    /// A new observation takes the place of what the server observed before.
    fn replace_orphans(&mut self, targets: &Targets, turn: &mut Turn<'_>) {
        let mut ended = self.observations.orphans_in(targets);
        if ended.is_empty() && self.observations.is_full() {
            ended.extend(self.observations.orphans().first());
        }
        for token in ended {
            self.drop_observation(token, turn);
        }
    }

    fn drop_observation(&mut self, token: Token, turn: &mut Turn<'_>) {
        if self.observations.end(token).is_some() {
            self.journal_observation(token, None, turn);
        }
    }

    /// The answer to a Read that may begin an observation. Where there is no room for one, the
    /// server sees that by the missing option (RFC 7641, 4.1).
    fn watched(
        &mut self,
        response: Response,
        ask: Ask,
        subscription: Subscription,
        nodes: &[Node],
        turn: &mut Turn<'_>,
    ) -> Response {
        if ask.watch != Watch::Begin {
            return response;
        }
        self.replace_orphans(&subscription.targets, turn);
        let sent = Sent {
            is_stored: false,
            nodes,
            reliability: Reliability::Confirmable,
            revision: turn.tree.revision(),
        };
        let saved = self.saved_observation(&subscription, false);
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        if !self
            .observations
            .begin(ask.token, subscription, sent, rules)
        {
            // It may have refreshed one that is gone now.
            self.journal_observation(ask.token, None, turn);
            return response;
        }
        self.journal_observation(ask.token, Some(saved), turn);
        self.await_observations(AWAIT_NEXT, turn.now.mono);
        Response {
            observe: Some(0),
            ..response
        }
    }

    fn saved_observation(&self, subscription: &Subscription, is_orphan: bool) -> SavedObservation {
        let wire = |address: Address| self.view.wire(address).to_string();
        SavedObservation {
            attributes: subscription.attributes,
            composite: match &subscription.targets {
                Targets::Composite(targets) => Some(targets.iter().copied().map(wire).collect()),
                Targets::Single(_) => None,
            },
            format: subscription.number,
            is_orphan,
            path: wire(subscription.targets.common()),
        }
    }

    /// What is observed holds now, from what was last heard.
    pub(super) fn current(&self, targets: &Targets, turn: &Turn<'_>) -> Result<Vec<Node>, Reject> {
        let catalogue = turn.catalogue();
        let caller = self.caller();
        // A right that was taken since silences the observation, it does not end it.
        match targets {
            Targets::Composite(targets) => {
                operation::composite_content(targets, &caller, catalogue)
            }
            Targets::Single(target) if !catalogue.exists(*target) => {
                Err(Reject::not_found("what was observed is gone"))
            }
            Targets::Single(target) => operation::content(*target, &caller.origin, catalogue),
        }
    }

    pub(super) fn encode(
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

    pub(super) fn notify(
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
        match reliability {
            Reliability::Confirmable => self.mark_notification(id, turn.now.mono),
            Reliability::NonConfirmable => self.uplink.pace.take(turn.now.mono),
        }
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

    fn journal_attributes(
        &self,
        address: Address,
        attached: Option<Attributes>,
        shared: &mut Shared,
    ) {
        let path = self.view.wire(address).to_string();
        let record = Record::Attributes(self.config.ssid, path, attached);
        shared.out.push(Output::Journal(record));
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

/// What was observed is gone or cannot be read any more, or its values cannot be told in the format
/// of the observation. That there is no value for now (5.03) does not end it.
const fn ends_observation(code: Code) -> bool {
    matches!(
        code,
        Code::NOT_FOUND
            | Code::METHOD_NOT_ALLOWED
            | Code::NOT_ACCEPTABLE
            | Code::INTERNAL_SERVER_ERROR
    )
}
