//! CoAP with one peer: puts the layers together, decides nothing itself.

use std::{collections::VecDeque, time::Duration};

use crate::{
    block,
    context::Context,
    exchange::{ExchangeId, Ours, Taken, Theirs, Todo, Verdict},
    message::{Message, Reliability, Request, Response, Token},
    observe::{NotificationId, Observers},
    params::Params,
    protect::Protection,
    random::Random,
    timer::{Timer, Timers},
    udp::{Arrival, Incoming, RequestKey, SendId, Udp},
};

/// What the peer did, and what became of what we sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A notification was acknowledged, refused, or given up. Of non-confirmable ones only a reset
    /// is ever told.
    Delivered(NotificationId, Delivery),
    /// A request of ours ended without an answer.
    Failed(ExchangeId, Failure),
    /// A further answer to a request with `observe = Some(0)`. Without `observe` it is the last.
    Notification(ExchangeId, Response),
    /// A request of the peer with its whole body, told once. To be answered by [`Endpoint::respond`].
    Request(RequestKey, Request),
    /// The answer to a request of ours. More follow only if `observe` is set.
    Response(ExchangeId, Response),
}

/// The fate of a notification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    Acknowledged,
    Reset,
    TimedOut,
}

/// Who ended an exchange without an answer, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The peer: its answer cannot be understood, or its blocks do not fit together.
    BadResponse,
    /// The peer: it does not know what to do with our message.
    Reset,
    /// The network, or a mute peer.
    TimedOut,
    /// The peer, or our caller: a body is larger than allowed.
    TooLarge,
}

/// What was noticed and told to nobody.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Datagrams that are no CoAP messages.
    pub malformed: u64,
    /// Messages met before.
    pub duplicates: u64,
    /// Messages of ours sent again.
    pub retransmissions: u64,
    /// Requests beyond [`Params::max_incoming`] and acknowledgements that fit to nothing.
    pub refused: u64,
    /// Responses that nobody waits for.
    pub unmatched: u64,
}

/// CoAP with one peer over one datagram path.
///
/// After every call: [`Self::poll_transmit`] and [`Self::poll_event`] until `None`, then
/// [`Self::poll_timeout`]. All times count from one fixed origin.
#[derive(Debug)]
pub struct Endpoint {
    cx: Context,
    udp: Udp,
    protection: Protection,
    ours: Ours,
    theirs: Theirs,
    observers: Observers,
    unmatched: u64,
    events: VecDeque<Event>,
    /// Of the configuration: the path may want smaller blocks.
    largest_szx: u8,
}

/// What stands around a block in most messages.
const HEADROOM: usize = 64;

impl Endpoint {
    /// `seed`: for tokens, message ids and jitter; should differ from start to start.
    pub fn new(params: Params, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            udp: Udp::new(&mut random),
            protection: Protection::default(),
            ours: Ours::default(),
            theirs: Theirs::new(&mut random),
            observers: Observers::default(),
            unmatched: 0,
            events: VecDeque::new(),
            largest_szx: params.block_szx(),
            cx: Context {
                params,
                random,
                timers: Timers::default(),
                now: Duration::ZERO,
            },
        }
    }

    pub fn params(&self) -> &Params {
        &self.cx.params
    }

    /// The sequence numbers of notifications keep up with a clock that is this much ahead of the one
    /// of this endpoint. For an endpoint that takes up observations of an earlier one, which followed
    /// the same clock: the peer drops what looks older than what it has (RFC 7641, 4.4).
    pub fn follow_clock(&mut self, ahead: Duration) {
        self.observers.follow_clock(ahead);
    }

    /// A datagram of the peer, of any content.
    pub fn receive(&mut self, datagram: &[u8], now: Duration) {
        self.cx.now = now;
        match self.udp.receive(datagram, &mut self.cx) {
            None => {}
            Some(Incoming::Acknowledged(send)) => self.on_fate(send, Delivery::Acknowledged),
            Some(Incoming::Reset(send)) => self.on_fate(send, Delivery::Reset),
            Some(Incoming::Request(key, reliability, message)) => {
                self.on_request(key, reliability, message)
            }
            Some(Incoming::Response(arrival, message)) => self.on_response(arrival, message),
        }
    }

    /// Does what is due; calls without need do nothing.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.cx.now = now;
        self.udp.acknowledge_due(&self.cx);
        while let Some(timer) = self.cx.timers.pop_due(now) {
            self.on_timer(timer);
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let acknowledge = self.udp.acknowledge_at().into_iter();
        acknowledge.chain(self.cx.timers.next()).min()
    }

    /// The next datagram for the peer.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.udp.poll_transmit()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// A request of ours. Confirmable ones wait for their turn (NSTART); bodies go block by block.
    pub fn request(&mut self, request: Request, now: Duration) -> ExchangeId {
        self.cx.now = now;
        let (id, todo) = self.ours.start(request, &mut self.cx);
        self.perform(todo);
        id
    }

    /// Forgets a request of ours: no event follows, later answers are ignored, later notifications
    /// are reset.
    pub fn cancel(&mut self, exchange: ExchangeId) {
        let settled = self.ours.cancel(exchange, &mut self.cx.timers);
        self.settle(settled);
    }

    /// Ends an observation by asking the peer to (Observe 1, the same token). `None` if there is
    /// none; the old id is gone either way.
    pub fn stop_observing(&mut self, exchange: ExchangeId, now: Duration) -> Option<ExchangeId> {
        self.cx.now = now;
        let Some((id, settled, todo)) = self.ours.stop_observing(exchange, &mut self.cx) else {
            self.cancel(exchange);
            return None;
        };
        self.settle(settled);
        self.perform(todo);
        Some(id)
    }

    /// The answer to [`Event::Request`]; without effect if that is not waiting any more.
    pub fn respond(&mut self, key: RequestKey, response: Response, now: Duration) {
        self.cx.now = now;
        let Some(message) = self
            .theirs
            .respond(key, response, &mut self.observers, &mut self.cx)
        else {
            return;
        };
        self.answer(key, message);
    }

    /// Leaves an [`Event::Request`] without any answer, and without an acknowledgement if that was
    /// not sent yet. Its duplicates stay unanswered, too.
    pub fn ignore(&mut self, key: RequestKey) {
        self.theirs.forget(key);
        self.udp.ignore(key);
    }

    /// A notification for a token that the peer observes with; gets the next sequence number,
    /// unless it is an error.
    pub fn notify(
        &mut self,
        token: &Token,
        response: Response,
        reliability: Reliability,
        now: Duration,
    ) -> NotificationId {
        self.cx.now = now;
        let message = self
            .theirs
            .notification(*token, response, &mut self.observers, &mut self.cx);
        let message = self.protection.outgoing(message);
        let send = self.udp.send(message, reliability, &mut self.cx);
        let id = self.observers.new_id();
        self.observers.sent(send, id, *token, reliability);
        id
    }

    /// The peer does not observe with this token any more. What is still on the way to it is not
    /// repeated, and no [`Event::Delivered`] follows for it.
    pub fn forget_observer(&mut self, token: &Token) {
        // Newest first: what is held back must not go out in place of what is dropped.
        for send in self.observers.forget(token).into_iter().rev() {
            self.udp.cancel(send, &mut self.cx);
        }
    }

    /// Takes a notification back: it is not repeated, and no [`Event::Delivered`] follows.
    pub fn withdraw(&mut self, notification: NotificationId) {
        let send = self.observers.withdraw(notification);
        self.settle(send);
    }

    /// The peer may not know any more what it has read: no block follows that it has not fetched, and
    /// no answer that carries content is repeated.
    pub fn forget_content(&mut self) {
        self.theirs.forget_bodies(&mut self.cx.timers);
        self.udp.forget_content(&mut self.cx);
    }

    /// Whether a request of ours had to be sent more than once and is still not acknowledged.
    pub fn is_repeated(&self, exchange: ExchangeId) -> bool {
        let send = self.ours.send_of(exchange);
        send.is_some_and(|send| self.udp.is_repeated(send))
    }

    /// Asks the peer whether it is there, by an empty confirmable message (RFC 7252, 4.3): whatever
    /// it answers has been heard, and that nothing comes is told to nobody. False where something is
    /// on its way already, whose answer says the same.
    pub fn ping(&mut self, now: Duration) -> bool {
        self.cx.now = now;
        self.udp.is_idle() && self.udp.ping(&mut self.cx)
    }

    /// Since when the oldest confirmable message that is out is without an answer, over the present
    /// path.
    pub fn awaited(&self) -> Option<Duration> {
        self.udp.awaited()
    }

    /// Datagrams take another path from now on, of which nothing is known.
    pub fn path_changed(&mut self, now: Duration) {
        self.cx.now = now;
        self.cx.params.block_szx = self.largest_szx;
        self.udp.path_changed(&mut self.cx);
    }

    /// Whether small messages pass while a large one was repeated in vain: a hole for large
    /// datagrams, of which no router tells. [`Self::limit_blocks`] goes round it.
    pub fn has_lost_large(&self) -> bool {
        self.udp.has_lost_large()
    }

    /// Blocks are of this size at most, as `log2(size) - 4`, on this path: requests of ours that
    /// are under way go on with it, and reads of the peer are answered anew. Notifications on their
    /// way are repeated as they are, unless they are withdrawn.
    pub fn limit_blocks(&mut self, szx: u8, now: Duration) {
        self.cx.now = now;
        let szx = szx.min(self.cx.params.block_szx());
        self.cx.params.block_szx = szx;
        self.udp
            .forget_large(block::size_of_block(szx) + HEADROOM, &mut self.cx);
        for id in self.ours.larger_than(szx) {
            let (settled, todo) = self.ours.narrow(id, szx, &mut self.cx);
            self.settle(settled);
            self.perform(todo);
        }
    }

    pub fn counters(&self) -> Counters {
        let udp = self.udp.counters();
        Counters {
            malformed: udp.malformed,
            duplicates: udp.duplicates,
            retransmissions: udp.retransmissions,
            refused: udp.refused,
            unmatched: self.unmatched,
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Assembly(target) => self.theirs.on_assembly_due(target, &mut self.cx.timers),
            Timer::Exchange(id) => {
                let todo = self.ours.on_timeout(id, &mut self.cx.timers);
                self.perform(todo);
            }
            Timer::Forget => {
                self.udp.on_forget_due(&mut self.cx);
                while let Some(key) = self.udp.pop_unanswered(&self.cx) {
                    self.theirs.forget(key);
                }
            }
            Timer::Retransmit(mid) => {
                if let Some(send) = self.udp.on_retransmit_due(mid, &mut self.cx) {
                    self.on_fate(send, Delivery::TimedOut);
                }
            }
            Timer::Snapshot(target) => self.theirs.on_snapshot_due(target, &mut self.cx.timers),
        }
    }

    fn on_request(&mut self, key: RequestKey, reliability: Reliability, message: Message) {
        let Some(message) = self.protection.incoming(message) else {
            return self.udp.ignore(key);
        };
        match self
            .theirs
            .on_request(key, reliability, message, &mut self.cx)
        {
            Verdict::Answer(answer) => self.answer(key, answer),
            Verdict::Deliver(request) => self.events.push_back(Event::Request(key, request)),
            Verdict::Ignore => self.udp.ignore(key),
        }
    }

    fn on_response(&mut self, arrival: Arrival, message: Message) {
        let Some(message) = self.protection.incoming(message) else {
            return self.udp.reject(arrival, &self.cx.params);
        };
        let is_notification = message.options.observe.is_some();
        let Taken {
            is_accepted,
            settled,
            todo,
        } = self
            .ours
            .on_response(message, arrival.is_piggybacked(), &mut self.cx);
        match (is_accepted, is_notification) {
            (true, _) => self.udp.accept(arrival, &self.cx.params),
            (false, true) => self.udp.reject_loudly(arrival, &self.cx.params),
            (false, false) => self.udp.reject(arrival, &self.cx.params),
        }
        self.unmatched += u64::from(!is_accepted);
        self.settle(settled);
        self.perform(todo);
    }

    fn on_fate(&mut self, send: SendId, fate: Delivery) {
        if let Some((id, token)) = self.observers.concluded(send) {
            if fate == Delivery::Reset {
                self.forget_observer(&token);
            }
            return self.events.push_back(Event::Delivered(id, fate));
        }
        let todo = match fate {
            Delivery::Acknowledged => return self.ours.on_acknowledged(send, &mut self.cx),
            Delivery::Reset => self.ours.on_lost(send, Failure::Reset, &mut self.cx.timers),
            Delivery::TimedOut => self
                .ours
                .on_lost(send, Failure::TimedOut, &mut self.cx.timers),
        };
        self.perform(todo);
    }

    fn answer(&mut self, key: RequestKey, message: Message) {
        let message = self.protection.outgoing(message);
        self.udp.answer(key, message, &mut self.cx);
    }

    fn settle(&mut self, send: Option<SendId>) {
        if let Some(send) = send {
            self.udp.cancel(send, &mut self.cx);
        }
    }

    fn perform(&mut self, todo: Todo) {
        match todo {
            Todo::Nothing => {}
            Todo::Send(id, reliability, message) => {
                let message = self.protection.outgoing(message);
                let send = self.udp.send(message, reliability, &mut self.cx);
                self.ours.sent(id, send, &mut self.cx);
            }
            Todo::Tell(event) => self.events.push_back(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        block::Block,
        message::{Code, Method, Options},
        wire::{Envelope, Kind},
    };

    /// A well-formed message of any kind, with a new message id each time.
    fn any_message(random: &mut Random, mid: u16) -> Vec<u8> {
        let kind = [Kind::Confirmable, Kind::NonConfirmable][random.next() as usize % 2];
        let code = [1, 2, 3, 4, 5, 0x45, 0x44, 0x5f][random.next() as usize % 8];
        let token = Token::new(&random.next().to_be_bytes()).unwrap();
        let mut block = |more: bool| {
            let num = random.next() as u32 % 4;
            random
                .next()
                .is_multiple_of(3)
                .then_some(Block { num, more, szx: 2 })
        };
        let (block1, block2) = (block(true), block(false));
        let mut message = Message::new(Code::from_byte(code), token);
        message.options = Options {
            path: vec![(random.next() % 1_000).to_string()],
            observe: random.next().is_multiple_of(2).then_some(0),
            block1,
            block2,
            ..Options::default()
        };
        message.payload = vec![0; 64];
        Envelope { kind, mid, message }.encode()
    }

    #[test]
    fn a_flood_of_anything_stays_within_bounds_and_is_forgotten() {
        let params = Params {
            max_body: 10_000,
            ..Params::default()
        };
        let mut endpoint = Endpoint::new(params.clone(), 1);
        let mut random = Random::new(2);
        let mut waiting = VecDeque::new();
        for n in 0..60_000u64 {
            let now = Duration::from_millis(n);
            endpoint.receive(&any_message(&mut random, n as u16), now);
            endpoint.handle_timeout(now);
            while let Some(event) = endpoint.poll_event() {
                let Event::Request(key, _) = event else {
                    continue;
                };
                waiting.push_back(key);
            }
            if waiting.len() > 40 {
                let key = waiting.pop_front().unwrap();
                let response = Response {
                    observe: Some(0),
                    ..Response::content(Code::CONTENT, 0, vec![0; 3_000])
                };
                endpoint.respond(key, response, now);
            }
            while endpoint.poll_transmit().is_some() {}
        }
        let timers = endpoint.cx.timers.len();
        assert!(
            timers <= params.max_incoming + 2 * params.max_bodies + 1,
            "{timers} timers"
        );
        endpoint.udp.check_bounds(&params);
        endpoint.theirs.check_bounds(&params);
        assert!(endpoint.observers.len() <= params.max_observers);
        waiting.into_iter().for_each(|key| {
            endpoint.respond(key, Response::new(Code::CONTENT), Duration::from_secs(60))
        });
        while let Some(due) = endpoint.poll_timeout() {
            endpoint.handle_timeout(due);
        }
        let nothing = Params {
            max_incoming: 0,
            max_seen_once: 0,
            max_seen_again: 0,
            max_body: 0,
            max_bodies: 0,
            ..params
        };
        while endpoint.poll_transmit().is_some() {}
        endpoint.udp.check_bounds(&nothing);
        endpoint.theirs.check_bounds(&nothing);
    }

    fn read(mid: u16, block2: Option<Block>) -> Vec<u8> {
        let token = Token::new(&mid.to_be_bytes()).unwrap();
        let mut message = Message::new(Method::Get.code(), token);
        message.options = Options {
            path: vec!["6".to_owned()],
            block2,
            ..Options::default()
        };
        Envelope {
            kind: Kind::Confirmable,
            mid,
            message,
        }
        .encode()
    }

    fn answered(endpoint: &mut Endpoint, now: Duration) {
        let Some(Event::Request(key, _)) = endpoint.poll_event() else {
            panic!("no request");
        };
        let response = Response::content(Code::CONTENT, 0, vec![7; 3_000]);
        endpoint.respond(key, response, now);
    }

    fn sent(endpoint: &mut Endpoint) -> usize {
        std::iter::from_fn(|| endpoint.poll_transmit()).count()
    }

    #[test]
    fn what_was_read_is_neither_repeated_nor_continued_when_it_is_secret_by_now() {
        let mut endpoint = Endpoint::new(Params::default(), 1);
        let next = Block {
            num: 1,
            more: false,
            szx: 6,
        };
        // Answered in the acknowledgement, the rest to be fetched.
        endpoint.receive(&read(1, None), Duration::ZERO);
        answered(&mut endpoint, Duration::ZERO);
        endpoint.receive(&read(1, None), Duration::ZERO);
        endpoint.receive(&read(2, Some(next)), Duration::ZERO);
        assert_eq!(sent(&mut endpoint), 3);
        // Answered late, by a message that waits for its acknowledgement.
        endpoint.receive(&read(3, None), Duration::ZERO);
        let late = Duration::from_secs(5);
        endpoint.handle_timeout(late);
        answered(&mut endpoint, late);
        assert_eq!(sent(&mut endpoint), 2);

        endpoint.forget_content();
        for repeated in [read(1, None), read(2, Some(next)), read(3, None)] {
            endpoint.receive(&repeated, late);
        }
        assert_eq!(sent(&mut endpoint), 1, "the empty acknowledgement");
        while let Some(due) = endpoint.poll_timeout() {
            endpoint.handle_timeout(due);
        }
        assert_eq!(sent(&mut endpoint), 0);
        // The next block is asked for anew, and whoever answers looks at the rights.
        endpoint.receive(&read(4, Some(next)), late);
        assert!(matches!(endpoint.poll_event(), Some(Event::Request(..))));
    }
}
