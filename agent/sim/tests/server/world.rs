use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use lamplighter_coap::{Code, Endpoint, Event, Method, Params, Request, RequestKey, Response};
use lamplighter_sim::server::{Answer, LwServer, Operation, RequestId, ServerEvent, ServerOptions};

/// A server, clients of which every word is written in the test, and what passed between them.
pub(crate) struct World {
    pub(crate) server: LwServer,
    pub(crate) clients: BTreeMap<SocketAddr, Endpoint>,
    pub(crate) now: Duration,
    pub(crate) events: Vec<ServerEvent>,
    /// Answers of the server.
    pub(crate) answered: Vec<(SocketAddr, Response)>,
    /// Requests of the server that wait for an answer.
    pub(crate) asked: Vec<(SocketAddr, RequestKey, Request)>,
    pub(crate) failed: usize,
    pub(crate) delivered: Vec<lamplighter_coap::Delivery>,
    /// Datagrams from the server.
    pub(crate) datagrams: usize,
}

pub(crate) fn address(n: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 10_000 + n))
}

pub(crate) fn register(name: &str, queries: &[&str]) -> Request {
    let mut all = vec![format!("ep={name}"), "lwm2m=1.1".to_owned()];
    all.extend(queries.iter().map(|query| (*query).to_owned()));
    Request {
        queries: all,
        content_format: Some(40),
        payload: b"</>;ct=\"110 112\",</1/0>,</3/0>,</3303>;ver=1.1,</3303/0>".to_vec(),
        ..Request::new(Method::Post, vec!["rd".to_owned()])
    }
}

pub(crate) fn at(method: Method, path: &[String], queries: &[&str]) -> Request {
    Request {
        queries: queries.iter().map(|query| (*query).to_owned()).collect(),
        ..Request::new(method, path.to_vec())
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(ServerOptions::default())
    }

    pub(crate) fn with(options: ServerOptions) -> Self {
        Self {
            server: LwServer::new(options),
            clients: BTreeMap::new(),
            now: Duration::from_secs(10),
            events: Vec::new(),
            answered: Vec::new(),
            asked: Vec::new(),
            failed: 0,
            delivered: Vec::new(),
            datagrams: 0,
        }
    }

    /// With `cab-17` registered from address 1.
    pub(crate) fn registered() -> (Self, Vec<String>) {
        let mut world = Self::new();
        let response = world.ask(1, register("cab-17", &["lt=300"]));
        assert_eq!(response.code, Code::CREATED);
        world.events.clear();
        (world, response.location_path)
    }

    pub(crate) fn client(&mut self, n: u16) -> &mut Endpoint {
        let seed = u64::from(n);
        self.clients
            .entry(address(n))
            .or_insert_with(|| Endpoint::new(Params::default(), seed))
    }

    /// A request of a client.
    pub(crate) fn send(&mut self, from: u16, request: Request) {
        let now = self.now;
        self.client(from).request(request, now);
        self.run(address(from));
    }

    /// A request of a client and its answer.
    pub(crate) fn ask(&mut self, from: u16, request: Request) -> Response {
        let before = self.answered.len();
        self.send(from, request);
        assert_eq!(self.answered.len(), before + 1, "no answer, or several");
        self.answered.last().expect("an answer").1.clone()
    }

    /// A request of the server to `cab-17`, as it comes in there.
    pub(crate) fn order(&mut self, operation: &Operation) -> (RequestId, Request) {
        let now = self.now;
        let id = self.server.request("cab-17", operation, now).expect("sent");
        self.run(address(1));
        (id, self.asked.last().expect("a request").2.clone())
    }

    /// Answers the oldest request of the server.
    pub(crate) fn reply(&mut self, response: Response) {
        let (address, key, _) = self.asked.remove(0);
        let now = self.now;
        let client = self.clients.get_mut(&address).expect("a client");
        client.respond(key, response, now);
        self.run(address);
    }

    /// A request of the server to `cab-17`, and what the server makes of this answer.
    pub(crate) fn exchange(
        &mut self,
        operation: &Operation,
        response: Response,
    ) -> (Request, Answer) {
        let (id, request) = self.order(operation);
        self.reply(response);
        let last = self.events.pop();
        let Some(ServerEvent::Answered(answered, name, answer)) = last else {
            panic!("{last:?}")
        };
        assert_eq!((answered, &*name), (id, "cab-17"));
        (request, answer)
    }

    /// Carries datagrams between this client and the server until both are silent.
    pub(crate) fn run(&mut self, address: SocketAddr) {
        loop {
            let mut is_silent = true;
            if let Some(client) = self.clients.get_mut(&address) {
                while let Some(datagram) = client.poll_transmit() {
                    is_silent = false;
                    self.server.handle_datagram(address, &datagram, self.now);
                }
            }
            while let Some((to, datagram)) = self.server.poll_transmit() {
                is_silent = false;
                self.datagrams += 1;
                if let Some(client) = self.clients.get_mut(&to) {
                    client.receive(&datagram, self.now);
                }
            }
            if is_silent {
                break;
            }
        }
        while let Some(event) = self.server.poll_event() {
            self.events.push(event);
        }
        let Some(client) = self.clients.get_mut(&address) else {
            return;
        };
        while let Some(event) = client.poll_event() {
            match event {
                Event::Request(key, request) => self.asked.push((address, key, request)),
                Event::Response(_, response) => self.answered.push((address, response)),
                Event::Failed(..) => self.failed += 1,
                Event::Delivered(_, delivery) => self.delivered.push(delivery),
                Event::Notification(..) => panic!("the server is not observed"),
            }
        }
    }

    /// Lets time pass, every timer at its moment.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let clients = self.clients.values().filter_map(Endpoint::poll_timeout);
            let due = clients.chain(self.server.poll_timeout()).min();
            let Some(due) = due.filter(|due| *due <= end) else {
                break;
            };
            self.now = due.max(self.now);
            self.server.handle_timeout(self.now);
            let now = self.now;
            let addresses: Vec<_> = self.clients.keys().copied().collect();
            for address in addresses {
                self.clients
                    .get_mut(&address)
                    .expect("a client")
                    .handle_timeout(now);
                self.run(address);
            }
        }
        self.now = end;
    }

    pub(crate) fn seconds(&mut self, seconds: u64) {
        self.wait(Duration::from_secs(seconds));
    }
}
