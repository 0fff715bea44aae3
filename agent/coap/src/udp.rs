//! The message layer over datagrams. RFC 7252, 4.
//!
//! A confirmable message of ours: queued while NSTART is reached → sent → repeated with doubled
//! waits → acknowledged, reset or timed out. A request of the peer: known → its old reply again;
//! new → handed up, answered in the acknowledgement or, after `separate_after`, by itself.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    context::Context,
    message::{Code, Message, Method, Reliability, Token},
    open::Open,
    params::Params,
    random::{Fingerprint, Random},
    seen::{Class, Reply, Seen},
    timer::Timer,
    wire::{self, Envelope, Kind},
};

/// Names a request of the peer until it is answered.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestKey(pub(crate) u64);

/// Names a message that we sent, until its fate is known.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct SendId(u64);

/// What a datagram meant.
#[derive(Debug)]
pub(crate) enum Incoming {
    Acknowledged(SendId),
    Request(RequestKey, Reliability, Message),
    Reset(SendId),
    Response(Arrival, Message),
}

/// How a response came; to be accepted or rejected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    mid: u16,
    kind: Kind,
}

/// Does a message of ours count against NSTART?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// Ends what the peer began. RFC 7252, 4.7 limits only what we begin.
    Answer,
    /// Asks whether the peer is there. It gives way to whatever begins.
    Ping,
    Start,
}

/// What happened here that nobody was told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct UdpCounters {
    pub(crate) malformed: u64,
    pub(crate) duplicates: u64,
    pub(crate) retransmissions: u64,
    pub(crate) refused: u64,
}

#[derive(Debug)]
pub(crate) struct Udp {
    next_mid: u16,
    next_id: u64,
    next_key: u64,
    hash_seed: u64,
    /// Ours, to be acknowledged.
    in_flight: BTreeMap<u16, Pending>,
    /// Message ids of `in_flight`.
    mids: BTreeMap<SendId, u16>,
    starts: usize,
    answers: usize,
    /// Ours, held back by NSTART, oldest first.
    queue: BTreeMap<SendId, Message>,
    /// Our last non-confirmable messages: a reset names them by message id only.
    unconfirmed: VecDeque<(u16, SendId)>,
    /// Theirs, not answered yet.
    waiting: Open<Waiting>,
    seen: Seen,
    forget_at: Option<Duration>,
    path: Path,
    outbox: VecDeque<Vec<u8>>,
    counters: UdpCounters,
}

#[derive(Debug)]
struct Pending {
    id: SendId,
    bytes: Vec<u8>,
    token: Token,
    role: Role,
    /// Since when the peer owes an answer over this path.
    since: Duration,
    repeated: u32,
    /// Of these, over the present path; the first of them.
    repeated_here: u32,
    repeated_at: Duration,
    wait: Duration,
    deadline: Duration,
}

/// What is known of the way to the peer.
#[derive(Debug, Default)]
struct Path {
    heard: Option<Duration>,
    /// The message id of the ping that is not answered.
    ping: Option<u16>,
    /// The request of the peer that was last repeated although it has a long answer, and how often.
    repeated: (u16, u32),
}

#[derive(Debug)]
struct Waiting {
    mid: u16,
    since: Duration,
    /// When the empty acknowledgement goes out; `None` once it has, or if none is due.
    acknowledge_at: Option<Duration>,
    kind: Kind,
}

/// How many non-confirmable messages can still be reset by the peer.
pub(crate) const UNCONFIRMED: usize = 64;

/// Far below the number of message ids.
const MAX_NSTART: usize = 4096;

/// Bytes of a message that a path may swallow although small ones pass: every path of IPv4 carries
/// 576 with its headers. // RFC 791, 3.1
const LARGE: usize = 600;
/// How often the same message is repeated before its size is blamed.
const MANY_TIMES: u32 = 2;

impl Path {
    const fn count(&mut self, mid: u16) {
        let (last, times) = self.repeated;
        self.repeated = (mid, if last == mid { times + 1 } else { 1 });
    }
}

impl Arrival {
    /// It came inside the acknowledgement of our request.
    pub(crate) fn is_piggybacked(self) -> bool {
        self.kind == Kind::Acknowledgement
    }
}

impl Udp {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self {
            next_mid: random.next() as u16,
            next_id: 0,
            next_key: 0,
            hash_seed: random.next(),
            in_flight: BTreeMap::new(),
            mids: BTreeMap::new(),
            starts: 0,
            answers: 0,
            queue: BTreeMap::new(),
            unconfirmed: VecDeque::new(),
            waiting: Open::default(),
            seen: Seen::new(),
            forget_at: None,
            path: Path::default(),
            outbox: VecDeque::new(),
            counters: UdpCounters::default(),
        }
    }

    pub(crate) fn receive(&mut self, datagram: &[u8], cx: &mut Context) -> Option<Incoming> {
        let Ok(envelope) = Envelope::decode(datagram) else {
            self.on_malformed(datagram);
            return None;
        };
        let Envelope { kind, mid, message } = envelope;
        self.path.heard = Some(cx.now);
        match kind {
            Kind::Acknowledgement => self.on_acknowledgement(mid, message, cx),
            Kind::Reset => self.on_reset(mid, &message, cx),
            Kind::Confirmable if message.code == Code::EMPTY => {
                // RFC 7252, 4.3: a ping.
                self.outbox.push_back(wire::empty(Kind::Reset, mid));
                None
            }
            Kind::NonConfirmable if message.code == Code::EMPTY => {
                self.counters.malformed += 1;
                None
            }
            Kind::Confirmable | Kind::NonConfirmable => {
                self.on_message(kind, mid, message, datagram, cx)
            }
        }
    }

    /// The response is for somebody here.
    pub(crate) fn accept(&mut self, arrival: Arrival, params: &Params) {
        self.conclude(arrival, Kind::Acknowledgement, params);
    }

    /// Nobody here waits for this response, or it cannot be understood. RFC 7252, 4.2 and 4.3.
    pub(crate) fn reject(&mut self, arrival: Arrival, params: &Params) {
        self.conclude(arrival, Kind::Reset, params);
    }

    /// A reset also for a non-confirmable message: RFC 7641, 3.6, an unwanted notification.
    pub(crate) fn reject_loudly(&mut self, arrival: Arrival, params: &Params) {
        match arrival.kind {
            Kind::NonConfirmable => self.outbox.push_back(wire::empty(Kind::Reset, arrival.mid)),
            Kind::Acknowledgement | Kind::Confirmable | Kind::Reset => self.reject(arrival, params),
        }
    }

    /// Sends what we begin: a request or a notification.
    pub(crate) fn send(
        &mut self,
        message: Message,
        reliability: Reliability,
        cx: &mut Context,
    ) -> SendId {
        let id = self.new_id();
        match reliability {
            Reliability::Confirmable => {
                self.queue.insert(id, message);
                self.fill(cx);
            }
            Reliability::NonConfirmable => self.send_unconfirmed(id, message),
        }
        id
    }

    /// Stops repeating or never sends; nothing is reported of it any more.
    pub(crate) fn cancel(&mut self, id: SendId, cx: &mut Context) {
        if self.queue.remove(&id).is_some() {
            return;
        }
        if let Some(mid) = self.mids.get(&id).copied() {
            self.settle(mid, cx);
        }
    }

    /// Answers a request of the peer: in the acknowledgement, by itself, or non-confirmable.
    pub(crate) fn answer(&mut self, key: RequestKey, message: Message, cx: &mut Context) {
        let Some(waiting) = self.waiting.remove(key) else {
            return;
        };
        match (waiting.kind, waiting.acknowledge_at) {
            (Kind::Confirmable, Some(_)) => {
                let bytes = Envelope {
                    kind: Kind::Acknowledgement,
                    mid: waiting.mid,
                    message,
                }
                .encode();
                self.seen.set_reply(waiting.mid, bytes.clone(), &cx.params);
                self.outbox.push_back(bytes);
            }
            (Kind::Confirmable, None) => {
                let id = self.new_id();
                self.transmit(id, message, Role::Answer, cx);
            }
            (Kind::NonConfirmable | Kind::Acknowledgement | Kind::Reset, _) => {
                let id = self.new_id();
                self.send_unconfirmed(id, message);
            }
        }
    }

    /// What was read is not repeated any more.
    pub(crate) fn forget_content(&mut self, cx: &mut Context) {
        self.seen.silence();
        let is_content =
            |pending: &Pending| pending.role == Role::Answer && wire::holds_content(&pending.bytes);
        let answers = self.in_flight.iter();
        let answers: Vec<u16> = answers
            .filter(|(_, pending)| is_content(pending))
            .map(|(mid, _)| *mid)
            .collect();
        for mid in answers {
            self.settle(mid, cx);
        }
    }

    /// A request of the peer that gets no answer at all.
    pub(crate) fn ignore(&mut self, key: RequestKey) {
        self.waiting.remove(key);
    }

    /// When a request of the peer has to be acknowledged although it has no answer yet.
    pub(crate) fn acknowledge_at(&self) -> Option<Duration> {
        self.next_to_acknowledge().map(|(_, at)| at)
    }

    /// Acknowledges empty what is still without answer.
    pub(crate) fn acknowledge_due(&mut self, cx: &Context) {
        while let Some((key, at)) = self.next_to_acknowledge()
            && at <= cx.now
            && let Some(waiting) = self.waiting.item(key)
        {
            waiting.acknowledge_at = None;
            let bytes = wire::empty(Kind::Acknowledgement, waiting.mid);
            self.seen.set_reply(waiting.mid, bytes.clone(), &cx.params);
            self.outbox.push_back(bytes);
        }
    }

    /// Most requests are answered at once, so these deadlines are not among the timers. All wait
    /// equally long: the oldest is the first.
    fn next_to_acknowledge(&self) -> Option<(RequestKey, Duration)> {
        let mut waiting = self.waiting.iter();
        waiting.find_map(|(key, waiting)| Some((key, waiting.acknowledge_at?)))
    }

    /// Repeats a message; the id if that was tried often enough.
    pub(crate) fn on_retransmit_due(&mut self, mid: u16, cx: &mut Context) -> Option<SendId> {
        let pending = self.in_flight.get_mut(&mid)?;
        if pending.repeated >= cx.params.max_retransmit {
            return self.settle(mid, cx);
        }
        pending.repeated += 1;
        pending.repeated_here += 1;
        if pending.repeated_here == 1 {
            pending.repeated_at = cx.now;
        }
        pending.wait = pending.wait.saturating_mul(2);
        pending.deadline = cx.arm_in(pending.wait, Timer::Retransmit(mid));
        self.outbox.push_back(pending.bytes.clone());
        self.counters.retransmissions += 1;
        if pending.repeated_here == 1 && pending.bytes.len() > LARGE {
            // Whether small ones pass.
            self.ping(cx);
        }
        None
    }

    /// Asks whether the peer is there; false where it is being asked already.
    pub(crate) fn ping(&mut self, cx: &mut Context) -> bool {
        if self.path.ping.is_some() {
            return false;
        }
        let id = self.new_id();
        // RFC 7252, 4.3: an empty confirmable message provokes a reset.
        let message = Message::new(Code::EMPTY, Token::default());
        self.transmit(id, message, Role::Ping, cx);
        true
    }

    /// Nothing of ours is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.queue.is_empty()
    }

    /// Since when the oldest confirmable message is without an answer.
    pub(crate) fn awaited(&self) -> Option<Duration> {
        self.in_flight.values().map(|pending| pending.since).min()
    }

    /// Another path: what was sent is owed an answer from now on, and nothing is known of sizes.
    pub(crate) fn path_changed(&mut self, cx: &mut Context) {
        self.end_ping(cx);
        self.path = Path::default();
        for pending in self.in_flight.values_mut() {
            pending.since = cx.now;
            pending.repeated_here = 0;
        }
    }

    /// Small messages pass, and a large one does not.
    pub(crate) fn has_lost_large(&self) -> bool {
        let mut large = self
            .in_flight
            .values()
            .filter(|pending| pending.bytes.len() > LARGE && pending.repeated_here >= MANY_TIMES);
        let heard = self.path.heard;
        large.any(|pending| heard.is_some_and(|heard| heard >= pending.repeated_at))
            || self.path.repeated.1 >= MANY_TIMES
    }

    /// Answers longer than this are not repeated: a request that comes again is carried out again,
    /// where that does no harm.
    pub(crate) fn forget_large(&mut self, longest: usize, cx: &mut Context) {
        self.path.repeated = (0, 0);
        self.seen.forget_large(longest);
        let answers = self.in_flight.iter();
        let answers: Vec<u16> = answers
            .filter(|(_, pending)| pending.role == Role::Answer && pending.bytes.len() > longest)
            .map(|(mid, _)| *mid)
            .collect();
        for mid in answers {
            self.settle(mid, cx);
        }
    }

    pub(crate) fn is_repeated(&self, id: SendId) -> bool {
        let pending = self.mids.get(&id).and_then(|mid| self.in_flight.get(mid));
        pending.is_some_and(|pending| pending.repeated > 0)
    }

    pub(crate) fn on_forget_due(&mut self, cx: &mut Context) {
        self.forget_at = self.seen.forget(&cx.params, cx.now);
        self.forget_at
            .into_iter()
            .for_each(|at| cx.timers.arm(at, Timer::Forget));
    }

    /// Gives up a request that was told so long ago that the peer cannot wait for an answer any
    /// more; otherwise those that nobody answers would shut out all others one day.
    pub(crate) fn pop_unanswered(&mut self, cx: &Context) -> Option<RequestKey> {
        let lifetime = cx.params.exchange_lifetime();
        self.waiting
            .pop_first_if(|waiting| waiting.since.saturating_add(lifetime) <= cx.now)
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop_front()
    }

    pub(crate) fn counters(&self) -> UdpCounters {
        self.counters
    }

    #[cfg(test)]
    pub(crate) fn check_bounds(&self, params: &Params) {
        assert!(self.seen.len() <= params.max_seen_once + params.max_seen_again);
        assert!(self.waiting.len() + self.in_flight.len() <= params.max_incoming);
        assert!(self.unconfirmed.len() <= UNCONFIRMED);
        assert_eq!(self.in_flight.len(), self.mids.len());
        assert!(self.queue.is_empty() && self.outbox.is_empty());
    }

    fn on_malformed(&mut self, datagram: &[u8]) {
        self.counters.malformed += 1;
        // RFC 7252, 4.2: a confirmable message that cannot be processed is reset, 4.3: others are ignored.
        if let Some(mid) = wire::confirmable_mid(datagram) {
            self.outbox.push_back(wire::empty(Kind::Reset, mid));
        }
    }

    fn on_acknowledgement(
        &mut self,
        mid: u16,
        message: Message,
        cx: &mut Context,
    ) -> Option<Incoming> {
        if message.code == Code::EMPTY {
            return self.settle(mid, cx).map(Incoming::Acknowledged);
        }
        // RFC 7252, 5.3.2: message id and token of a piggy-backed response must both match.
        let expected = self
            .in_flight
            .get(&mid)
            .is_some_and(|pending| pending.token == message.token);
        if !expected || !message.code.is_response() {
            self.counters.refused += 1;
            return None;
        }
        self.settle(mid, cx);
        Some(Incoming::Response(
            Arrival {
                mid,
                kind: Kind::Acknowledgement,
            },
            message,
        ))
    }

    fn on_reset(&mut self, mid: u16, message: &Message, cx: &mut Context) -> Option<Incoming> {
        if message.code != Code::EMPTY {
            self.counters.malformed += 1;
            return None;
        }
        if let Some(id) = self.settle(mid, cx) {
            return Some(Incoming::Reset(id));
        }
        let position = self
            .unconfirmed
            .iter()
            .rposition(|(sent, _)| *sent == mid)?;
        self.unconfirmed
            .remove(position)
            .map(|(_, id)| Incoming::Reset(id))
    }

    fn on_message(
        &mut self,
        kind: Kind,
        mid: u16,
        message: Message,
        datagram: &[u8],
        cx: &mut Context,
    ) -> Option<Incoming> {
        let fingerprint = Fingerprint::new(self.hash_seed).bytes(datagram).finish();
        if let Some(reply) = self.seen.reply(mid, fingerprint) {
            self.counters.duplicates += 1;
            if let Reply::Bytes(bytes) = reply {
                if bytes.len() > LARGE {
                    self.path.count(mid);
                }
                self.outbox.push_back(bytes.clone());
            }
            return None;
        }
        if message.code.is_request() && self.waiting.len() + self.answers >= cx.params.max_incoming
        {
            self.refuse_for_now(kind, mid, message.token);
            return None;
        }
        let safe = Method::from_code(message.code).is_none_or(Method::is_safe);
        let class = if safe { Class::Again } else { Class::Once };
        self.seen
            .remember(mid, fingerprint, class, &cx.params, cx.now);
        if self.forget_at.is_none() {
            self.on_forget_due(cx);
        }
        if message.code.is_response() {
            return Some(Incoming::Response(Arrival { mid, kind }, message));
        }
        let reliability = match kind {
            Kind::NonConfirmable => Reliability::NonConfirmable,
            Kind::Acknowledgement | Kind::Confirmable | Kind::Reset => Reliability::Confirmable,
        };
        Some(Incoming::Request(
            self.wait(kind, mid, cx),
            reliability,
            message,
        ))
    }

    fn wait(&mut self, kind: Kind, mid: u16, cx: &Context) -> RequestKey {
        self.next_key += 1;
        let key = RequestKey(self.next_key);
        let acknowledge_at = match kind {
            Kind::Confirmable => Some(cx.now.saturating_add(cx.params.separate_after)),
            Kind::Acknowledgement | Kind::NonConfirmable | Kind::Reset => None,
        };
        self.waiting.push(
            key,
            Waiting {
                mid,
                since: cx.now,
                acknowledge_at,
                kind,
            },
        );
        key
    }

    /// Too many requests at once; nothing is remembered of this one, so that it may come again.
    fn refuse_for_now(&mut self, kind: Kind, mid: u16, token: Token) {
        self.counters.refused += 1;
        if kind == Kind::Confirmable {
            let mut message = Message::new(Code::SERVICE_UNAVAILABLE, token);
            message.options.max_age = Some(1);
            self.outbox.push_back(
                Envelope {
                    kind: Kind::Acknowledgement,
                    mid,
                    message,
                }
                .encode(),
            );
        }
    }

    fn conclude(&mut self, arrival: Arrival, reply: Kind, params: &Params) {
        if arrival.kind != Kind::Confirmable {
            return;
        }
        let bytes = wire::empty(reply, arrival.mid);
        self.seen.set_reply(arrival.mid, bytes.clone(), params);
        self.outbox.push_back(bytes);
    }

    fn send_unconfirmed(&mut self, id: SendId, message: Message) {
        let mid = self.new_mid();
        if self.unconfirmed.len() >= UNCONFIRMED {
            self.unconfirmed.pop_front();
        }
        self.unconfirmed.push_back((mid, id));
        self.outbox.push_back(
            Envelope {
                kind: Kind::NonConfirmable,
                mid,
                message,
            }
            .encode(),
        );
    }

    /// RFC 7252, 4.7: no more than NSTART at once.
    fn fill(&mut self, cx: &mut Context) {
        while self.starts < cx.params.nstart.clamp(1, MAX_NSTART) {
            let Some((id, message)) = self.queue.pop_first() else {
                return;
            };
            self.transmit(id, message, Role::Start, cx);
        }
    }

    fn transmit(&mut self, id: SendId, message: Message, role: Role, cx: &mut Context) {
        let (mid, token) = (self.new_mid(), message.token);
        let bytes = Envelope {
            kind: Kind::Confirmable,
            mid,
            message,
        }
        .encode();
        let wait = cx.params.first_timeout(cx.random.fraction());
        let deadline = cx.arm_in(wait, Timer::Retransmit(mid));
        let mut since = cx.now;
        match role {
            Role::Answer => self.answers += 1,
            Role::Ping => self.path.ping = Some(mid),
            Role::Start => {
                self.starts += 1;
                // RFC 7252, 4.7: not both. It asks the same, and the time counts on.
                since = self.end_ping(cx).unwrap_or(since);
            }
        }
        self.outbox.push_back(bytes.clone());
        self.mids.insert(id, mid);
        self.in_flight.insert(
            mid,
            Pending {
                id,
                bytes,
                token,
                role,
                since,
                repeated: 0,
                repeated_here: 0,
                repeated_at: cx.now,
                wait,
                deadline,
            },
        );
    }

    /// The message is done with, whatever the reason; the next may go.
    fn settle(&mut self, mid: u16, cx: &mut Context) -> Option<SendId> {
        let pending = self.in_flight.remove(&mid)?;
        self.mids.remove(&pending.id);
        cx.timers.disarm(pending.deadline, Timer::Retransmit(mid));
        match pending.role {
            Role::Answer => self.answers -= 1,
            Role::Ping => self.path.ping = None,
            Role::Start => self.starts -= 1,
        }
        self.fill(cx);
        Some(pending.id)
    }

    /// Since when the peer was asked.
    fn end_ping(&mut self, cx: &mut Context) -> Option<Duration> {
        let mid = self.path.ping.take()?;
        let pending = self.in_flight.remove(&mid)?;
        self.mids.remove(&pending.id);
        cx.timers.disarm(pending.deadline, Timer::Retransmit(mid));
        Some(pending.since)
    }

    fn new_id(&mut self) -> SendId {
        self.next_id += 1;
        SendId(self.next_id)
    }

    fn new_mid(&mut self) -> u16 {
        let mut mid = self.next_mid;
        // The number of messages in flight is far below that of ids, so this ends.
        while self.in_flight.contains_key(&mid) {
            mid = mid.wrapping_add(1);
        }
        self.next_mid = mid.wrapping_add(1);
        mid
    }
}
