//! From the edge of a contact to the datagram that tells it (design, 9: p99 below 5 ms).

use std::{
    net::UdpSocket,
    thread,
    time::{Duration, Instant},
};

use lamplighter_adapters::{
    gpio::{Bias, Direction, Drive, Gpio, GpioPoint, sim::SimPins},
    supervise::{Limits, Port, supervise},
};
use lamplighter_coap::{Code, Endpoint, Event, ExchangeId, Method, Params, Request, Response};
use lamplighter_model::ResourceAddress;

use super::agent;
use crate::clock::mono;

const LINE: &str = "GPIO22";
const DOOR: ResourceAddress = ResourceAddress::gateway(3342, 9, 5500);
const EDGES: usize = 500;
/// On a machine that does other things as well; the figure that counts is printed.
const BOUND: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that takes a box, observes the contact and acknowledges at once.
struct Server {
    endpoint: Endpoint,
    socket: UdpSocket,
    told: usize,
}

impl Server {
    fn new(socket: UdpSocket) -> Self {
        Self {
            endpoint: Endpoint::new(Params::default(), 5),
            socket,
            told: 0,
        }
    }

    /// Handles the next datagram of the box.
    fn serve(&mut self) {
        let mut bytes = [0; 2048];
        let (length, from) = self.socket.recv_from(&mut bytes).unwrap();
        self.socket.connect(from).unwrap();
        self.endpoint.receive(&bytes[..length], mono());
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Request(key, _) => {
                    let answer = Response {
                        location_path: vec!["rd".to_owned(), "1".to_owned()],
                        ..Response::new(Code::CREATED)
                    };
                    self.endpoint.respond(key, answer, mono());
                }
                Event::Response(..) | Event::Notification(..) => self.told += 1,
                Event::Delivered(..) | Event::Failed(..) => {}
            }
        }
        self.flush();
    }

    fn observe(&mut self) -> ExchangeId {
        let path = DOOR.path.to_string();
        let path = path.split('/').skip(1).map(str::to_owned).collect();
        let request = Request {
            observe: Some(0),
            ..Request::new(Method::Get, path)
        };
        let id = self.endpoint.request(request, mono());
        self.flush();
        id
    }

    fn flush(&mut self) {
        while let Some(datagram) = self.endpoint.poll_transmit() {
            self.socket.send(&datagram).unwrap();
        }
    }

    /// Until it has been told something new.
    fn hear(&mut self) {
        let before = self.told;
        while self.told == before {
            self.serve();
        }
    }
}

/// How long each edge took to its datagram.
#[expect(clippy::disallowed_methods, reason = "it is the time that is measured")]
fn measure(socket: UdpSocket, pins: &SimPins) -> Vec<Duration> {
    let mut server = Server::new(socket);
    server.serve();
    server.observe();
    server.hear();
    let mut took = Vec::new();
    for edge in 0..EDGES {
        let begin = Instant::now();
        pins.set_input(LINE, edge % 2 == 0);
        server.hear();
        took.push(begin.elapsed());
    }
    took.sort();
    took
}

#[expect(clippy::print_stdout, reason = "a figure for the documentation")]
#[tokio::test]
async fn an_edge_is_told_at_once() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut agent = agent(&format!(
        "[client]\nendpoint = \"cab-17\"\n[server.main]\nuri = \"coap://{}\"\nshort_id = 101\n\
         security = {{ mode = \"none\" }}\nallow_unsecured = true\n\
         [device.door]\nadapter = \"gpio\"\nbackend = \"sim\"\n[device.door.point]\n\
         contact = {{ line = \"{LINE}\", resource = \"{}\" }}\n",
        socket.local_addr().unwrap(),
        DOOR.path
    ));
    let pins = SimPins::default();
    let point = GpioPoint {
        active_low: false,
        address: DOOR,
        bias: Bias::AsIs,
        debounce: Duration::ZERO,
        direction: Direction::Input,
        drive: Drive::default(),
        exit: None,
        feedback: None,
        line: LINE.to_owned(),
        pwm: None,
    };
    let clock = agent.clock.for_adapters();
    let adapter = Gpio::new(pins.lines(), &[point], clock.clone());
    let limits = Limits {
        max_age: Duration::MAX,
        ..Limits::default()
    };
    let (handle, port) = Port::pair();
    tokio::spawn(supervise(adapter, port, clock, limits));
    agent
        .adapters
        .insert(lamplighter_model::device::AdapterId(0), handle);
    let (done, mut measured) = tokio::sync::oneshot::channel();
    thread::spawn(move || done.send(measure(socket, &pins)));
    let took = tokio::select! {
        ended = agent.run() => panic!("the agent has ended: {ended:?}"),
        took = &mut measured => took.expect("all edges were told"),
    };
    let at = |percent: usize| took[EDGES * percent / 100];
    println!("edge to datagram: median {:?}, p99 {:?}", at(50), at(99));
    assert!(at(50) < BOUND, "{:?}", at(50));
}
