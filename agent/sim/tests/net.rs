//! The server behind a real UDP socket, with a client on another.

use std::{net::SocketAddr, time::Duration};

use lamplighter_coap::{
    Code, Endpoint, Event, Method, Params, Reliability, Request, Response, Token,
};
use lamplighter_lwm2m::format::ContentFormat;
use lamplighter_model::{Path, Value};
use lamplighter_sim::server::{
    CancelMode, RequestError, ServerOptions, Side, WriteMode,
    net::{self, LwServerHandle},
};
use tokio::{net::UdpSocket, sync::mpsc, time::Instant};

/// A lamp that can be read, switched and observed: `/3311/0/5850`.
struct Lamp {
    socket: UdpSocket,
    endpoint: Endpoint,
    origin: Instant,
    is_on: bool,
    observer: Option<Token>,
    answers: mpsc::UnboundedSender<Response>,
}

fn lamp() -> Path {
    "/3311/0/5850".parse().expect("a path")
}

async fn server() -> LwServerHandle {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    net::start(any, ServerOptions::default())
        .await
        .expect("a socket")
}

impl Lamp {
    /// Registers, then serves until the runtime ends; the answers of the server.
    async fn start(server: SocketAddr) -> mpsc::UnboundedReceiver<Response> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        socket.connect(server).await.expect("an address");
        let (answers, received) = mpsc::unbounded_channel();
        let lamp = Self {
            socket,
            endpoint: Endpoint::new(Params::default(), 5),
            origin: Instant::now(),
            is_on: false,
            observer: None,
            answers,
        };
        tokio::spawn(lamp.run());
        received
    }

    async fn run(mut self) {
        let register = Request {
            queries: ["ep=lamp", "lwm2m=1.1", "lt=60"]
                .map(str::to_owned)
                .to_vec(),
            content_format: Some(40),
            payload: b"</1/0>,</3/0>,</3311/0>".to_vec(),
            ..Request::new(Method::Post, vec!["rd".to_owned()])
        };
        self.endpoint.request(register, Duration::ZERO);
        let mut datagram = [0; 2048];
        loop {
            while let Some(event) = self.endpoint.poll_event() {
                self.on_event(event);
            }
            while let Some(datagram) = self.endpoint.poll_transmit() {
                self.socket.send(&datagram).await.expect("sent");
            }
            let due = self.endpoint.poll_timeout();
            let due = due.unwrap_or(Duration::from_secs(3600));
            tokio::select! {
                length = self.socket.recv(&mut datagram) => {
                    let length = length.expect("received");
                    self.endpoint.receive(&datagram[..length], self.origin.elapsed());
                }
                () = tokio::time::sleep_until(self.origin + due) => {
                    self.endpoint.handle_timeout(self.origin.elapsed());
                }
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Request(key, request) => {
                let now = self.origin.elapsed();
                let response = self.serve(&request);
                self.endpoint.respond(key, response, now);
                if let (Method::Put, Some(token)) = (request.method, self.observer) {
                    let news = self.state();
                    let sent = Reliability::NonConfirmable;
                    self.endpoint.notify(&token, news, sent, now);
                }
            }
            Event::Response(_, response) => self.answers.send(response).expect("a receiver"),
            Event::Delivered(..) => self.observer = None,
            event @ (Event::Failed(..) | Event::Notification(..)) => panic!("{event:?}"),
        }
    }

    fn serve(&mut self, request: &Request) -> Response {
        match (request.method, request.path.join("/").as_str()) {
            (Method::Get, "3311/0/5850") => {
                self.observer = match request.observe {
                    Some(0) => Some(request.token),
                    Some(_) => None,
                    None => self.observer,
                };
                Response {
                    observe: self.observer.and(request.observe).filter(|n| *n == 0),
                    ..self.state()
                }
            }
            (Method::Put, "3311/0/5850") if request.content_format.is_some() => {
                self.is_on = request.payload.ends_with(&[1]) || request.payload == b"1";
                Response::new(Code::CHANGED)
            }
            (Method::Put | Method::Post, "3311/0/5850") => Response::new(Code::CHANGED),
            _ => Response::new(Code::NOT_FOUND),
        }
    }

    fn state(&self) -> Response {
        let text = if self.is_on { "1" } else { "0" };
        Response {
            observe: Some(0),
            ..Response::content(Code::CONTENT, 0, text.as_bytes().to_vec())
        }
    }
}

#[tokio::test]
async fn a_lamp_is_read_switched_and_observed() {
    let server = server().await;
    let mut answers = Lamp::start(server.local_addr()).await;
    let client = server.registered(Some("lamp")).await.expect("registered");
    assert_eq!(answers.recv().await.expect("2.01").code, Code::CREATED);
    assert_eq!((client.version.as_str(), client.links.len()), ("1.1", 3));
    assert_eq!(server.clients().await, [client]);

    let text = Some(ContentFormat::Text);
    let answer = server.read("lamp", lamp(), text).await.expect("an answer");
    assert_eq!(answer.value(), Some(&Value::Boolean(false)));
    let missing = "/3/0/0".parse().expect("a path");
    let answer = server.read("lamp", missing, None).await.expect("an answer");
    assert_eq!(answer.code, Code::NOT_FOUND);

    let observed = server.observe("lamp", lamp(), text).await;
    let mut observation = observed.expect("an answer");
    assert!(observation.first.is_observed());
    let line = server.write_to_first(lamp(), Value::Boolean(true)).await;
    let line = line.expect("an answer");
    assert_eq!(
        (line.from, line.method, line.code_text().as_str()),
        (Side::Server, "PUT", "2.04")
    );
    let news = observation.notifications.recv().await.expect("a change");
    assert_eq!(news.value(), Some(&Value::Boolean(true)));

    let cancelled = server.cancel(observation.id, CancelMode::Active).await;
    let answer = cancelled.expect("an answer").expect("an answer");
    assert_eq!(answer.value(), Some(&Value::Boolean(true)));
    assert!(observation.notifications.recv().await.is_none());

    let attributes = vec!["pmin=1".to_owned()];
    let written = server.write_attributes("lamp", lamp(), attributes).await;
    assert_eq!(written.expect("an answer").code, Code::CHANGED);
    let operations: Vec<_> = server
        .log(0)
        .await
        .iter()
        .map(|line| line.operation)
        .collect();
    assert_eq!(operations.first(), Some(&"Register"));
    for operation in ["Read", "Observe", "Write", "Notify", "Cancel"] {
        assert!(
            operations.contains(&operation),
            "no {operation} in {operations:?}"
        );
    }
    let last = server.log(0).await.last().expect("a line").number;
    assert_eq!(server.log(last).await, []);
}

#[tokio::test]
async fn an_observation_that_nobody_wants_is_reset() {
    let server = server().await;
    let _answers = Lamp::start(server.local_addr()).await;
    server.registered(None).await.expect("registered");
    let text = Some(ContentFormat::Text);
    drop(server.observe("lamp", lamp(), text).await);
    let write = |value| {
        let mode = WriteMode::Replace;
        server.write(
            "lamp",
            lamp(),
            Value::Boolean(value),
            ContentFormat::Text,
            mode,
        )
    };
    // The first notification is refused, the ones after are reset: in the end none is sent.
    let mut notified = 0;
    for round in 0..10 {
        write(round % 2 == 0).await.expect("an answer");
        let lines = server.log(0).await;
        notified = lines.iter().filter(|line| line.method == "NOTIFY").count();
    }
    assert_eq!(notified, 1);
}

#[tokio::test]
async fn requests_to_nobody_and_forgotten_clients_fail_by_name() {
    let server = server().await;
    let nobody = server.read("lamp", lamp(), None).await;
    assert_eq!(nobody, Err(RequestError::NoSuchClient));
    let _answers = Lamp::start(server.local_addr()).await;
    server.registered(None).await.expect("registered");
    assert_eq!(server.forget("lamp").await, Ok(true));
    assert_eq!(server.clients().await, []);
    let first = server.write_to_first(lamp(), Value::Boolean(true)).await;
    assert_eq!(first, Err(RequestError::NoSuchClient));
}

#[tokio::test]
async fn the_socket_is_free_again_when_the_last_handle_is_gone() {
    let server = server().await;
    let address = server.local_addr();
    let mut registrations = server.registrations();
    drop(server);
    assert!(registrations.changed().await.is_err(), "the task goes on");
    UdpSocket::bind(address).await.expect("free");
}
