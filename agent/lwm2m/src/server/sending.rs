//! What was stored goes out, oldest first: one pack at a time, each confirmed before the next.

use std::{collections::BTreeSet, time::Duration};

use lamplighter_coap::{
    Code, ExchangeId, Method, NotificationId, Reliability, Request, Response, Token,
};
use lamplighter_model::{Address, Path, Sample, Scope, UnixTime};

use super::{Server, keeping::Mark};
use crate::{
    boundary::{Kept, Output},
    format::{self, Content, ContentFormat, EncodeError, Node, RecordTime},
    outbox::{self, Loss, Part},
    perform::Turn,
    registration::{Enabler, Phase, Reply},
};

/// Samples that are on their way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    /// The first so many of those that wait.
    count: usize,
    mark: Mark,
    via: Via,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Via {
    Notification(NotificationId, Token),
    Send(ExchangeId),
}

/// How the first of those that wait can be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Route {
    /// By this observation, together with so many behind it.
    Notify(Token, usize),
    Send,
    /// Not now.
    Wait,
}

/// Samples in one message; its size is bounded by the block size.
const MAX_PACK: usize = 128;
/// An observation that covers so many in a row is used although a Send could take more.
const WORTHWHILE: usize = 16;
/// RFC 7252, 5.10.5: Max-Age where the option is absent.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(60);
const MAX_PAUSE: Duration = Duration::from_secs(3600);
/// How long a sample waits for the date to become known.
const DATE_WAIT: Duration = Duration::from_secs(600);

impl Server {
    /// Sends the next pack; false where none waits or none can leave.
    pub(super) fn replay_next(&mut self, turn: &mut Turn<'_>) -> bool {
        let has_date = self.uplink.awaits_date && turn.now.unix.is_some();
        let paused = self.uplink.not_before.filter(|_| !has_date);
        let is_paused = paused.is_some_and(|until| until > turn.now.mono);
        if self.registration.phase() != Phase::Registered
            || self.uplink.is_suspect
            || self.uplink.is_frugal
            || self.uplink.flight.is_some()
            || is_paused
        {
            return false;
        }
        self.uplink.not_before = None;
        self.uplink.awaits_date = false;
        self.reconsider(turn);
        if self.is_reconsidering() {
            return false;
        }
        if let Some((from, most)) = self.outbox.fetch() {
            turn.shared
                .out
                .push(Output::Fetch(self.config.ssid, from, most));
        }
        let Some(head) = self.outbox.waiting().front() else {
            return false;
        };
        if !self.outbox.is_due(head) {
            self.outbox.advance(1);
            return true;
        }
        if self.is_surplus(head) {
            self.drop_first(Loss::Limited, turn);
            return true;
        }
        if self.is_cancelled(head) {
            self.drop_first(Loss::Cancelled, turn);
            return true;
        }
        if !self.may_read(head.sample.address.path, turn) {
            self.drop_first(Loss::Unauthorized, turn);
            return true;
        }
        if let Some(until) = date_wait(&head.sample, turn) {
            self.uplink.not_before = Some(until);
            self.uplink.awaits_date = true;
            return false;
        }
        let overtakes = self.outbox.overtakes(head);
        match self.route(turn) {
            Route::Notify(..) | Route::Send if let Some(first) = overtakes => {
                self.outbox.reread(first);
            }
            Route::Notify(token, count) => self.replay_by(token, count, turn),
            Route::Send => self.replay_by_send(turn),
            Route::Wait if self.uplink.patient_until > turn.now.mono => {
                self.uplink.not_before = Some(self.uplink.patient_until);
                return false;
            }
            Route::Wait => self.pass_by(turn),
        }
        true
    }

    /// What was passed by is read again where there is a way for it now.
    fn reconsider(&mut self, turn: &Turn<'_>) {
        let is_muted = !self.may_send(turn);
        if self.uplink.was_muted && !is_muted {
            self.uplink.reconsiders = true;
        }
        self.uplink.was_muted = is_muted;
        if !self.uplink.reconsiders || self.uplink.patient_until > turn.now.mono {
            return;
        }
        self.uplink.reconsiders = false;
        let parked = self.outbox.parked().iter();
        let has_way = |part: &Part| {
            let is_sent = !is_muted && !self.awaits_observation(*part, turn);
            is_sent || self.observations.covering(part.0, part.1).is_some()
        };
        let from = parked
            .filter(|(part, _)| has_way(part))
            .map(|(_, parked)| parked.first)
            .min();
        if let Some(from) = from {
            self.outbox.reread(from);
        }
    }

    fn pass_by(&mut self, turn: &mut Turn<'_>) {
        let was_confirmed = self.outbox.unconfirmed() == 0;
        if !self.outbox.park() {
            self.lose(Loss::Bound, 1);
        }
        self.reading_changed(turn.now.mono);
        if was_confirmed {
            self.confirm_all(turn);
        }
    }

    /// When stored samples are to be tried again.
    pub(super) fn replay_timeout(&self) -> Option<Duration> {
        let can_leave = self.uplink.flight.is_none()
            && !self.uplink.is_suspect
            && !self.uplink.is_frugal
            && self.registration.phase() == Phase::Registered;
        if !can_leave {
            return None;
        }
        let paused = self.uplink.not_before.filter(|_| !self.outbox.is_drained());
        let patient = self.is_reconsidering().then_some(self.uplink.patient_until);
        paused.into_iter().chain(patient).min()
    }

    fn route(&self, turn: &Turn<'_>) -> Route {
        let waiting = self.outbox.waiting();
        let Some(head) = waiting.front() else {
            return Route::Wait;
        };
        let by_send = self.may_send(turn);
        let covering = self
            .observations
            .covering(head.sample.address, head.sample.index);
        let Some((token, relation)) = covering else {
            let is_sent = by_send && !self.awaits_observation(outbox::part(head), turn);
            return if is_sent { Route::Send } else { Route::Wait };
        };
        let by_send = by_send && !self.uplink.refuses_observed;
        let covered = waiting
            .iter()
            .take(self.pack_limit())
            .take_while(|kept| self.outbox.is_due(kept))
            .take_while(|kept| relation.covers(kept.sample.address, kept.sample.index));
        if !relation.subscription.format.has_time() {
            if by_send {
                return Route::Send;
            }
            // One value each, as the format has no time that could tell several apart.
            return Route::Notify(token, 1);
        }
        let count = covered.count();
        let rest = usize::try_from(self.outbox.behind()).unwrap_or(usize::MAX);
        if by_send && count < WORTHWHILE && count < rest {
            return Route::Send;
        }
        Route::Notify(token, count)
    }

    /// Whether the server takes a Send now (lwm2m/30, 7).
    pub(super) fn may_send(&self, turn: &Turn<'_>) -> bool {
        let account = turn.shared.core.account_of(self.config.ssid);
        let is_muted = account.is_none_or(|(_, account)| account.mute_send);
        !is_muted && !self.uplink.takes_no_send && self.registration.version() >= Enabler::V1_1
    }

    const fn pack_limit(&self) -> usize {
        if self.uplink.singly > 0 { 1 } else { MAX_PACK }
    }

    fn replay_by(&mut self, token: Token, count: usize, turn: &mut Turn<'_>) {
        let Some(relation) = self.observations.get(token) else {
            return;
        };
        let subscription = &relation.subscription;
        let (target, format) = (subscription.targets.common(), subscription.format);
        let number = subscription.number;
        let Some((payload, count)) = self.pack(target, format, count, turn) else {
            return self.drop_first(Loss::Refused, turn);
        };
        let response = Response {
            observe: Some(0),
            ..Response::content(Code::CONTENT, number, payload)
        };
        let mark = self.mark(turn.now.mono);
        let id = self
            .endpoint
            .notify(&token, response, Reliability::Confirmable, turn.now.mono);
        self.uplink.flight = Some(Flight {
            count,
            mark,
            via: Via::Notification(id, token),
        });
    }

    fn replay_by_send(&mut self, turn: &mut Turn<'_>) {
        let root = Address {
            scope: Scope::Gateway,
            path: Path::Root,
        };
        let format = ContentFormat::SenmlCbor;
        let limit = self.pack_limit();
        let Some((payload, count)) = self.pack(root, format, limit, turn) else {
            return self.drop_first(Loss::Refused, turn);
        };
        let mark = self.mark(turn.now.mono);
        let request = Request {
            content_format: Some(format.number()),
            payload,
            ..Request::new(Method::Post, vec!["dp".to_owned()])
        };
        let id = self.endpoint.request(request, turn.now.mono);
        self.uplink.flight = Some(Flight {
            count,
            mark,
            via: Via::Send(id),
        });
    }

    /// The payload of at most so many of those that wait, and how many it holds. `None` where the
    /// first of them cannot be written.
    fn pack(
        &mut self,
        target: Address,
        format: ContentFormat,
        most: usize,
        turn: &Turn<'_>,
    ) -> Option<(Vec<u8>, usize)> {
        let size = 16 << self.endpoint.params().block_szx();
        let mut count = most.min(self.outbox.waiting().len());
        let mut told = BTreeSet::new();
        let nodes: Vec<Node> = self
            .outbox
            .waiting()
            .iter()
            .take(count)
            .take_while(|kept| self.may_leave(kept, turn))
            // RFC 8428: a name has one value at a time.
            .take_while(|kept| told.insert((outbox::part(kept), time(&kept.sample, turn))))
            .map(|kept| node(&kept.sample, format, turn))
            .collect();
        count = nodes.len();
        loop {
            let nodes = nodes.get(..count)?;
            match self.encode_all(format, target, nodes, turn) {
                Ok(payload) if payload.len() <= size || count == 1 => {
                    self.count_undated(nodes, format);
                    return Some((payload, count));
                }
                Ok(payload) => count = (count * size / payload.len()).clamp(1, count - 1),
                Err(_) if count > 1 => count = 1,
                Err(error) => {
                    tracing::warn!(%error, "A stored sample cannot be written");
                    return None;
                }
            }
        }
    }

    fn may_leave(&self, kept: &Kept, turn: &Turn<'_>) -> bool {
        self.outbox.is_due(kept)
            && self.outbox.overtakes(kept).is_none()
            && !self.is_surplus(kept)
            && !self.is_cancelled(kept)
            && !self.awaits_observation(outbox::part(kept), turn)
            && self.may_read(kept.sample.address.path, turn)
            && date_wait(&kept.sample, turn).is_none()
    }

    fn encode_all(
        &self,
        format: ContentFormat,
        target: Address,
        nodes: &[Node],
        turn: &Turn<'_>,
    ) -> Result<Vec<u8>, EncodeError> {
        let (path, prefix) = (self.view.wire(target), self.view.prefix(target.scope));
        format::encode(format, path, prefix, nodes, turn.tree.definitions())
    }

    fn count_undated(&mut self, nodes: &[Node], format: ContentFormat) {
        if format.has_time() {
            let undated = nodes.iter().filter(|node| node.time.is_none()).count();
            self.outbox.undated(undated as u64);
        }
    }

    /// Whether the notification was a pack of ours; then it is dealt with.
    pub(super) fn pack_delivered(
        &mut self,
        id: NotificationId,
        is_acknowledged: bool,
        turn: &mut Turn<'_>,
    ) -> Option<Token> {
        let flight = self.uplink.flight?;
        let Via::Notification(of, token) = flight.via else {
            return None;
        };
        if of != id {
            return None;
        }
        self.uplink.flight = None;
        if is_acknowledged {
            self.landed(flight, turn);
        }
        Some(token)
    }

    /// Whether the answer is one to a Send; then it is dealt with.
    pub(super) fn send_answered(
        &mut self,
        id: ExchangeId,
        reply: &Reply,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(flight) = self.take_send(id) else {
            return false;
        };
        match reply.code {
            Code::CHANGED => self.landed(flight, turn),
            Code::SERVICE_UNAVAILABLE => self.pause(reply.max_age, turn),
            // lwm2m/30, 7: these two are what the standard knows. One by one the good ones pass.
            Code::BAD_REQUEST | Code::NOT_FOUND | Code::REQUEST_ENTITY_TOO_LARGE => {
                self.refused(flight, reply.code, turn)
            }
            code if code.class() == 4 || code == Code::NOT_IMPLEMENTED => {
                tracing::info!(ssid = %self.config.ssid, %code, "The server takes no Send");
                self.uplink.takes_no_send = true;
            }
            _ => self.pause(reply.max_age, turn),
        }
        true
    }

    /// Whether a request without answer was a Send.
    pub(super) fn send_unanswered(&mut self, id: ExchangeId) -> bool {
        self.take_send(id).is_some()
    }

    fn take_send(&mut self, id: ExchangeId) -> Option<Flight> {
        self.uplink
            .flight
            .take_if(|flight| flight.via == Via::Send(id))
    }

    /// What is under way will not be heard of.
    pub(super) fn abandon_flight(&mut self) {
        match self.uplink.flight.take().map(|flight| flight.via) {
            None => {}
            Some(Via::Notification(id, _)) => self.endpoint.withdraw(id),
            Some(Via::Send(id)) => self.endpoint.cancel(id),
        }
    }

    pub(super) fn abandon_notified_flight(&mut self) {
        let is_notified = |flight: &Flight| match flight.via {
            Via::Notification(..) => true,
            Via::Send(_) => false,
        };
        if self.uplink.flight.as_ref().is_some_and(is_notified) {
            self.abandon_flight();
        }
    }

    pub(super) fn abandon_flight_to(&mut self, observer: Token) {
        let is_to = |flight: &mut Flight| matches!(flight.via, Via::Notification(_, token) if token == observer);
        if let Some(flight) = self.uplink.flight.take_if(is_to)
            && let Via::Notification(id, _) = flight.via
        {
            self.endpoint.withdraw(id);
        }
    }

    fn landed(&mut self, flight: Flight, turn: &mut Turn<'_>) {
        self.uplink.singly = self.uplink.singly.saturating_sub(flight.count);
        self.uplink.has_asked &= self.uplink.singly > 0;
        let is_clean = self.measure(flight.mark, turn.now);
        let was_confirmed = self.outbox.unconfirmed() == 0;
        self.uncount(flight.count);
        self.outbox.advance(flight.count);
        if is_clean || was_confirmed {
            self.confirm_all(turn);
        } else {
            self.doubt();
        }
        if !self.outbox.parked().is_empty() {
            self.reading_changed(turn.now.mono);
        }
    }

    fn refused(&mut self, flight: Flight, code: Code, turn: &mut Turn<'_>) {
        // Leshan says 4.00, others 4.04, to whom they do not know: after a restart of their own, or
        // as the address is another. That is not the fault of what is told.
        let may_be_unknown = code != Code::REQUEST_ENTITY_TOO_LARGE;
        if may_be_unknown && !std::mem::replace(&mut self.uplink.has_asked, true) {
            self.uplink.is_suspect = true;
            self.registration.suspect(turn.now);
            return;
        }
        if flight.count > 1 {
            self.uplink.singly = flight.count;
            return;
        }
        if self.is_first_observed() && !std::mem::replace(&mut self.uplink.refuses_observed, true) {
            tracing::info!(ssid = %self.config.ssid, %code, "The server takes by notification only what it observes");
            return;
        }
        tracing::warn!(ssid = %self.config.ssid, %code, "The server refuses a stored sample");
        self.uplink.singly = self.uplink.singly.saturating_sub(1);
        self.drop_first(Loss::Refused, turn);
    }

    fn is_first_observed(&self) -> bool {
        let head = self.outbox.waiting().front().map(|head| &head.sample);
        let covering = head.and_then(|one| self.observations.covering(one.address, one.index));
        covering.is_some()
    }

    fn drop_first(&mut self, loss: Loss, turn: &mut Turn<'_>) {
        let was_confirmed = self.outbox.unconfirmed() == 0;
        self.uncount(1);
        self.outbox.advance(1);
        self.lose(loss, 1);
        if was_confirmed {
            self.confirm_all(turn);
        }
    }

    fn confirm_all(&mut self, turn: &mut Turn<'_>) {
        self.confirm(self.outbox.mark(), turn.shared);
    }

    fn pause(&mut self, max_age: Option<Duration>, turn: &Turn<'_>) {
        let pause = max_age.unwrap_or(DEFAULT_MAX_AGE);
        let pause = pause.clamp(Duration::from_secs(1), MAX_PAUSE);
        self.uplink.not_before = Some(turn.now.mono + pause);
        self.uplink.awaits_date = false;
    }
}

/// Until when a sample without date waits for the clock of the box to be set.
fn date_wait(sample: &Sample, turn: &Turn<'_>) -> Option<Duration> {
    let waits =
        sample.source_time.is_none() && turn.now.unix.is_none() && sample.at.boot == turn.now.boot;
    let until = sample.at.mono + DATE_WAIT;
    (waits && until > turn.now.mono).then_some(until)
}

pub(super) fn node(sample: &Sample, format: ContentFormat, turn: &Turn<'_>) -> Node {
    let content = match sample.index {
        None => Content::Single(sample.value.clone()),
        Some(index) => Content::Multiple(vec![(index, sample.value.clone())]),
    };
    let unix = time(sample, turn).filter(|_| format.has_time());
    Node {
        path: sample.address.path,
        content,
        time: unix.map(RecordTime::Absolute),
    }
}

fn time(sample: &Sample, turn: &Turn<'_>) -> Option<UnixTime> {
    sample.source_time.or_else(|| turn.now.unix_of(sample.at))
}
