//! Several servers, and in which order they are registered with.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use lamplighter_coap::{Code, Endpoint, Event as Coap, Params, Response};
use lamplighter_lwm2m::{
    boundary::{Event, Input, LinkEvent, LinkId, Output},
    client::{Client, ClientConfig, RegistrationConfig, RetryConfig, ServerConfig},
    tree::Tree,
};
use lamplighter_model::{BootId, Now, Ssid, UnixTime};

use crate::common::{config, definitions, segments};

/// One box and servers that accept, refuse or keep silent.
struct Servers {
    client: Client,
    events: Vec<Event>,
    links: BTreeMap<LinkId, (u16, Endpoint)>,
    now: Duration,
    /// Who was asked to register, in order, without repetitions.
    asked: Vec<u16>,
    refusing: BTreeSet<u16>,
    tree: Tree,
}

impl Servers {
    fn new(accounts: &[(u16, RegistrationConfig)], refusing: &[u16]) -> Self {
        let definitions = Arc::new(definitions());
        let server = |(ssid, registration): &(u16, RegistrationConfig)| {
            let uri = format!("coap://host{ssid}").parse().expect("a URI");
            ServerConfig {
                registration: *registration,
                ..ServerConfig::new(&format!("s{ssid}"), Ssid(*ssid), uri)
            }
        };
        let config = ClientConfig {
            servers: accounts.iter().map(server).collect(),
            ..config()
        };
        let mut servers = Self {
            client: Client::new(config, Vec::new(), at(Duration::ZERO)),
            events: Vec::new(),
            links: BTreeMap::new(),
            now: Duration::ZERO,
            asked: Vec::new(),
            refusing: refusing.iter().copied().collect(),
            tree: Tree::new(definitions),
        };
        servers.run();
        servers
    }

    fn run(&mut self) {
        loop {
            let mut inputs = Vec::new();
            while let Some(output) = self.client.poll() {
                self.perform(output, &mut inputs);
            }
            self.serve(&mut inputs);
            if inputs.is_empty() {
                return;
            }
            for input in inputs {
                self.client.handle(input, &mut self.tree, at(self.now));
            }
        }
    }

    fn perform(&mut self, output: Output, inputs: &mut Vec<Input>) {
        match output {
            Output::Close(link) => {
                self.links.remove(&link);
            }
            Output::Commit(id, _) => inputs.push(Input::Committed(id)),
            Output::Event(event) => self.events.push(event),
            Output::Open(link, uri, _) => {
                let ssid = uri.host.trim_start_matches("host").parse().expect("an id");
                let endpoint = Endpoint::new(Params::default(), link.0);
                self.links.insert(link, (ssid, endpoint));
                inputs.push(Input::Link(link, LinkEvent::Up));
            }
            Output::Transmit(link, datagram) => {
                let (_, endpoint) = self.links.get_mut(&link).expect("an open link");
                endpoint.receive(&datagram, self.now);
            }
            Output::Answer(..)
            | Output::Device(..)
            | Output::Erase(..)
            | Output::Fetch(..)
            | Output::Forget(..)
            | Output::Host(_)
            | Output::Journal(_)
            | Output::Keep(..) => {}
        }
    }

    fn serve(&mut self, inputs: &mut Vec<Input>) {
        for (link, (ssid, endpoint)) in &mut self.links {
            while let Some(event) = endpoint.poll_event() {
                let Coap::Request(key, request) = event else {
                    continue;
                };
                if request.path == ["rd"] && self.asked.last() != Some(ssid) {
                    self.asked.push(*ssid);
                }
                let response = if self.refusing.contains(ssid) {
                    Response::new(Code::FORBIDDEN)
                } else if request.path != ["rd"] {
                    Response::new(Code::CHANGED)
                } else {
                    Response {
                        location_path: segments("/rd/1"),
                        ..Response::new(Code::CREATED)
                    }
                };
                endpoint.respond(key, response, self.now);
            }
            while let Some(datagram) = endpoint.poll_transmit() {
                inputs.push(Input::Received(*link, datagram));
            }
        }
    }

    fn seconds(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some((due, _)) = self.client.poll_timeout().filter(|(due, _)| *due <= end) {
            self.now = self.now.max(due);
            self.client
                .handle(Input::Timeout, &mut self.tree, at(self.now));
            self.run();
        }
        self.now = end;
    }

    fn bootstraps(&self) -> Vec<u16> {
        let wanted = self.events.iter().filter_map(|event| {
            if let Event::BootstrapWanted(ssid) = event {
                return Some(ssid.0);
            }
            None
        });
        wanted.collect()
    }
}

fn at(mono: Duration) -> Now {
    Now {
        boot: BootId(1),
        mono,
        unix: Some(UnixTime::from_seconds(
            1_790_000_000 + i64::try_from(mono.as_secs()).expect("a short time"),
        )),
    }
}

const NONE: RegistrationConfig = RegistrationConfig {
    bootstrap_on_failure: None,
    failure_block: None,
    initial_delay_s: None,
    priority: None,
    retry: RetryConfig {
        count: Some(2),
        sequence_delay_s: None,
        sequences: None,
        timer_s: Some(10),
    },
    return_spread: None,
};

fn ordered(priority: u32) -> RegistrationConfig {
    RegistrationConfig {
        priority: Some(priority),
        ..NONE
    }
}

#[test]
fn servers_without_a_priority_are_registered_with_at_once() {
    let servers = Servers::new(&[(1, NONE), (2, NONE)], &[]);
    assert_eq!(servers.asked, [1, 2]);
}

#[test]
fn servers_with_a_priority_follow_one_another() {
    let servers = Servers::new(&[(1, ordered(9)), (2, ordered(1)), (3, NONE)], &[]);
    let order: Vec<_> = servers.asked.iter().filter(|ssid| **ssid != 3).collect();
    assert_eq!(order, [&2, &1]);
}

#[test]
fn the_delay_of_a_later_server_counts_from_its_turn() {
    let late = RegistrationConfig {
        initial_delay_s: Some(30),
        ..ordered(2)
    };
    let first = RegistrationConfig {
        initial_delay_s: Some(20),
        ..ordered(1)
    };
    let mut servers = Servers::new(&[(1, first), (2, late)], &[]);
    servers.seconds(49);
    assert_eq!(servers.asked, [1]);
    servers.seconds(1);
    assert_eq!(servers.asked, [1, 2]);
}

#[test]
fn a_server_that_fails_lets_the_next_pass_and_is_tried_on() {
    let mut servers = Servers::new(&[(1, ordered(1)), (2, ordered(2))], &[1]);
    assert_eq!(servers.asked, [1, 2], "refused at once");
    servers.seconds(3 * 3600);
    assert_eq!(servers.asked, [1, 2, 1]);
    assert_eq!(
        servers.bootstraps(),
        [0; 0],
        "it does not block: only if all fail"
    );
}

#[test]
fn a_server_that_blocks_is_waited_for() {
    let blocking = RegistrationConfig {
        failure_block: Some(true),
        ..ordered(1)
    };
    let mut servers = Servers::new(&[(1, blocking), (2, ordered(2))], &[1]);
    servers.seconds(12 * 3600);
    assert_eq!(servers.asked, [1]);
    assert_eq!(servers.bootstraps(), [1]);
    servers.refusing.clear();
    servers.seconds(2 * 3600);
    assert_eq!(servers.asked, [1, 2]);
}

#[test]
fn all_servers_that_fail_make_a_bootstrap_due() {
    let mut servers = Servers::new(&[(1, ordered(1)), (2, ordered(2))], &[1, 2]);
    servers.seconds(3600);
    assert_eq!(servers.bootstraps(), [2]);
}
