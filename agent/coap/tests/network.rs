//! Two endpoints over a network that loses, repeats and reorders datagrams, from a seed.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_coap::{
    Code, Endpoint, Event, ExchangeId, Method, Params, Reliability, Request, RequestKey, Response,
    Token,
};
use proptest::prelude::*;

/// What one run of the network does with datagrams.
#[derive(Clone, Copy, Debug)]
struct Weather {
    seed: u64,
    /// Percent.
    loss: u64,
    duplicates: u64,
    /// Up to this many milliseconds per datagram: reordering.
    delay_ms: u64,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Side {
    Client,
    Server,
}

struct World {
    weather: Weather,
    chance: u64,
    now: Duration,
    client: Endpoint,
    server: Endpoint,
    wire: BTreeMap<(Duration, u64), (Side, Vec<u8>)>,
    sent: u64,
    /// Requests that the server thinks about, by when it answers.
    thinking: BTreeMap<(Duration, RequestKey), Request>,
    carried_out: Vec<String>,
    answered: BTreeMap<ExchangeId, Vec<Event>>,
    notified: Vec<u32>,
    /// The token of the last request that the server got.
    observer: Option<Token>,
}

impl World {
    fn new(weather: Weather, params: &Params) -> Self {
        Self {
            weather,
            chance: weather.seed | 1,
            now: Duration::ZERO,
            client: Endpoint::new(params.clone(), weather.seed),
            server: Endpoint::new(params.clone(), !weather.seed),
            wire: BTreeMap::new(),
            sent: 0,
            thinking: BTreeMap::new(),
            carried_out: Vec::new(),
            answered: BTreeMap::new(),
            notified: Vec::new(),
            observer: None,
        }
    }

    fn roll(&mut self, below: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % below.max(1)
    }

    /// Until nothing is due any more, or for ten minutes.
    fn run(&mut self) {
        let end = self.now + Duration::from_secs(600);
        loop {
            self.drain();
            let wire = self.wire.keys().next().map(|(at, _)| *at);
            let thinking = self.thinking.keys().next().map(|(at, _)| *at);
            let due = [
                wire,
                thinking,
                self.client.poll_timeout(),
                self.server.poll_timeout(),
            ];
            let Some(next) = due.into_iter().flatten().min().filter(|next| *next <= end) else {
                return;
            };
            self.now = self.now.max(next);
            self.step();
        }
    }

    fn step(&mut self) {
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
        while let Some(entry) = self
            .wire
            .first_entry()
            .filter(|entry| entry.key().0 <= self.now)
        {
            let (to, datagram) = entry.remove();
            match to {
                Side::Client => self.client.receive(&datagram, self.now),
                Side::Server => self.server.receive(&datagram, self.now),
            }
            self.drain();
        }
        while let Some(entry) = self
            .thinking
            .first_entry()
            .filter(|entry| entry.key().0 <= self.now)
        {
            let ((_, key), request) = entry.remove_entry();
            let mut response = Response {
                payload: request.payload,
                ..Response::new(Code::CHANGED)
            };
            response.observe = request.observe;
            self.server.respond(key, response, self.now);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(datagram) = self.client.poll_transmit() {
            self.carry(Side::Server, &datagram);
        }
        while let Some(datagram) = self.server.poll_transmit() {
            self.carry(Side::Client, &datagram);
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Response(id, _) | Event::Failed(id, _) => {
                    self.answered.entry(id).or_default().push(event)
                }
                Event::Notification(_, response) => self.notified.push(response.observe.unwrap()),
                Event::Delivered(..) | Event::Request(..) => panic!("{event:?}"),
            }
        }
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::Request(key, request) => {
                    self.observer = Some(request.token);
                    self.carried_out.push(request.path[0].clone());
                    let after = Duration::from_millis(self.roll(3_000));
                    self.thinking.insert((self.now + after, key), request);
                }
                Event::Delivered(..) => {}
                Event::Failed(..) | Event::Notification(..) | Event::Response(..) => {
                    panic!("{event:?}")
                }
            }
        }
    }

    fn carry(&mut self, to: Side, datagram: &[u8]) {
        let copies = 1 + u64::from(self.roll(100) < self.weather.duplicates);
        for _ in 0..copies {
            if self.roll(100) >= self.weather.loss {
                let delay = Duration::from_millis(1 + self.roll(self.weather.delay_ms));
                self.sent += 1;
                self.wire
                    .insert((self.now + delay, self.sent), (to, datagram.to_vec()));
            }
        }
    }
}

fn weather(loss: u64) -> impl Strategy<Value = Weather> {
    (any::<u64>(), 0..=loss, 0..50u64, 0..4_000u64).prop_map(
        |(seed, loss, duplicates, delay_ms)| Weather {
            seed,
            loss,
            duplicates,
            delay_ms,
        },
    )
}

fn write(n: usize, size: usize) -> Request {
    Request {
        payload: vec![n as u8; size],
        ..Request::new(Method::Post, vec![format!("{n}")])
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_exchange_ends_once_and_runs_at_most_once(
        weather in weather(60),
        sizes in prop::collection::vec(0..200usize, 1..12),
        nstart in 1..4usize,
    ) {
        let params = Params { nstart, block_szx: 1, max_bodies: 16, ..Params::default() };
        let mut world = World::new(weather, &params);
        let ids: Vec<_> = sizes.iter().enumerate()
            .map(|(n, size)| world.client.request(write(n, *size), Duration::ZERO))
            .collect();
        while world.answered.len() < ids.len() {
            world.run();
        }
        for (n, id) in ids.iter().enumerate() {
            prop_assert_eq!(world.answered[id].len(), 1);
            let Event::Response(_, response) = &world.answered[id][0] else { continue };
            // Nothing is kept for ever: in very bad weather bodies are forgotten half-way.
            if response.code == Code::REQUEST_ENTITY_INCOMPLETE {
                continue;
            }
            prop_assert_eq!(response.code, Code::CHANGED);
            prop_assert_eq!(&response.payload, &vec![n as u8; sizes[n]]);
            let runs = world.carried_out.iter().filter(|path| **path == n.to_string()).count();
            prop_assert_eq!(runs, 1, "answered, so carried out");
        }
        let distinct: BTreeSet<_> = world.carried_out.iter().collect();
        prop_assert_eq!(distinct.len(), world.carried_out.len(), "nothing runs twice");
        world.run();
        prop_assert_eq!((world.client.poll_timeout(), world.server.poll_timeout()), (None, None), "idle in the end");
    }

    #[test]
    fn mild_loss_fails_nothing(weather in weather(5), sizes in prop::collection::vec(0..200usize, 1..6)) {
        let weather = Weather { delay_ms: weather.delay_ms / 8, ..weather };
        let params = Params { max_retransmit: 8, block_szx: 1, max_bodies: 16, ..Params::default() };
        let mut world = World::new(weather, &params);
        sizes.iter().enumerate().for_each(|(n, size)| _ = world.client.request(write(n, *size), Duration::ZERO));
        world.run();
        world.run();
        let ok = world.answered.values().filter(|events| matches!(events[..], [Event::Response(..)])).count();
        prop_assert_eq!(ok, sizes.len());
        prop_assert_eq!(world.carried_out.len(), sizes.len());
    }

    #[test]
    fn notifications_never_go_back(weather in weather(40)) {
        let mut world = World::new(weather, &Params::default());
        let request = Request { observe: Some(0), ..Request::new(Method::Get, vec!["o".into()]) };
        world.client.request(request, Duration::ZERO);
        world.run();
        let Some(token) = world.observer else { return Ok(()) };
        for n in 0..50 {
            let reliability = if n % 2 == 0 { Reliability::Confirmable } else { Reliability::NonConfirmable };
            world.server.notify(&token, Response::new(Code::CONTENT), reliability, world.now);
            world.run();
        }
        world.run();
        prop_assert!(world.notified.is_sorted_by(|a, b| a < b), "{:?}", world.notified);
    }

    #[test]
    fn any_bytes_do_no_harm(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..200),
        answer in any::<bool>(),
    ) {
        let mut endpoint = Endpoint::new(Params::default(), 1);
        for (n, datagram) in datagrams.iter().enumerate() {
            let now = Duration::from_secs(n as u64);
            endpoint.receive(datagram, now);
            endpoint.handle_timeout(now);
            while let Some(event) = endpoint.poll_event() {
                if let (Event::Request(key, _), true) = (event, answer) {
                    endpoint.respond(key, Response::content(Code::CONTENT, 0, vec![0; 3_000]), now);
                }
            }
            while endpoint.poll_transmit().is_some() {}
        }
    }
}
