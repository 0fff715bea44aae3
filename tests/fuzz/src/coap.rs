//! One end of a CoAP path, with any datagrams, times and calls.

use std::{collections::VecDeque, time::Duration};

use lamplighter_coap::{
    Code, Endpoint, Event, ExchangeId, Method, Params, Reliability, Request, RequestKey, Response,
    Token,
};

use crate::input::Input;

/// Calls of the timer at one moment; more is standing still.
const SPINS: u32 = 1_000;
/// Datagrams and events of one call.
const BURST: u32 = 10_000;

struct Rig {
    endpoint: Endpoint,
    /// Takes everything that is sent: it must be CoAP.
    peer: Endpoint,
    now: Duration,
    asked: VecDeque<RequestKey>,
    own: VecDeque<ExchangeId>,
    observers: VecDeque<Token>,
}

/// A row of datagrams, pauses and calls.
pub(crate) fn run(bytes: &[u8]) {
    let params = Params {
        max_body: 4096,
        ..Params::default()
    };
    let mut rig = Rig {
        endpoint: Endpoint::new(params.clone(), 1),
        peer: Endpoint::new(params, 2),
        now: Duration::from_secs(1),
        asked: VecDeque::new(),
        own: VecDeque::new(),
        observers: VecDeque::new(),
    };
    let mut input = Input::new(bytes);
    while !input.is_empty() {
        rig.step(&mut input);
        rig.drain();
    }
}

impl Rig {
    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 10 {
            0..=3 => self.endpoint.receive(input.piece(), self.now),
            4 => self.pass(input.pause()),
            5 => self.respond(input),
            6 => {
                let mut request =
                    Request::new(Method::Post, vec!["rd".to_owned(), input.text().to_owned()]);
                request.payload = vec![7; usize::from(input.number() % 5000)];
                request.observe = input.is_set().then_some(0);
                let exchange = self.endpoint.request(request, self.now);
                self.own.push_back(exchange);
            }
            7 => match self.own.pop_front() {
                Some(exchange) if input.is_set() => self.endpoint.cancel(exchange),
                Some(exchange) => {
                    let again = self.endpoint.stop_observing(exchange, self.now);
                    self.own.extend(again);
                }
                None => {}
            },
            8 => self.notify(input),
            _ => match self.asked.pop_front() {
                Some(key) => self.endpoint.ignore(key),
                None => self.endpoint.handle_timeout(self.now),
            },
        }
    }

    fn respond(&mut self, input: &mut Input<'_>) {
        let Some(key) = self.asked.pop_front() else {
            return;
        };
        let size = usize::from(input.number() % 5000);
        let mut response = Response::content(Code::CONTENT, 0, vec![8; size]);
        response.observe = input.is_set().then_some(0);
        self.endpoint.respond(key, response, self.now);
    }

    fn notify(&mut self, input: &mut Input<'_>) {
        let Some(token) = self.observers.front().copied() else {
            return;
        };
        let size = usize::from(input.number() % 5000);
        let mut response = Response::content(Code::CONTENT, 0, vec![9; size]);
        response.observe = Some(0);
        let reliability = if input.is_set() {
            Reliability::Confirmable
        } else {
            Reliability::NonConfirmable
        };
        let id = self
            .endpoint
            .notify(&token, response, reliability, self.now);
        match input.byte() % 4 {
            0 => self.endpoint.withdraw(id),
            1 => self.endpoint.forget_observer(&token),
            _ => self.observers.rotate_left(1),
        }
    }

    fn pass(&mut self, pause: Duration) {
        let end = self.now + pause;
        for _ in 0..SPINS {
            match self.endpoint.poll_timeout() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => {
                    self.now = end;
                    return;
                }
            }
            self.endpoint.handle_timeout(self.now);
            self.drain();
            let next = self.endpoint.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "what was due at {:?} is due again",
                self.now
            );
        }
        panic!("{SPINS} deadlines within {pause:?}");
    }

    fn drain(&mut self) {
        for _ in 0..BURST {
            let event = self.endpoint.poll_event();
            let datagram = self.endpoint.poll_transmit();
            if event.is_none() && datagram.is_none() {
                return;
            }
            if let Some(datagram) = datagram {
                self.peer.receive(&datagram, self.now);
                assert_eq!(self.peer.counters().malformed, 0, "{datagram:02x?}");
                while self.peer.poll_transmit().is_some() {}
                while self.peer.poll_event().is_some() {}
            }
            if let Some(Event::Request(key, request)) = event {
                self.asked.push_back(key);
                if request.observe == Some(0) {
                    self.observers.push_back(request.token);
                }
            }
        }
        panic!("one call brought {BURST} datagrams");
    }
}
