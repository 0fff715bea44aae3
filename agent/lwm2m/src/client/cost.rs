//! What one Read and one change of a value cost, counted in entries of tables that are looked at:
//! not more with many instances and observations than with few.

use std::sync::Arc;

use lamplighter_coap::{Code, Endpoint, Event as Coap, Method, Params, Request, Response};
use lamplighter_model::{
    BootId, DataType, ObjectId, ResourceId, Sample, Scope, Value,
    device::{Answer, Declaration, Declared, DeviceEvent, OpId},
    object::{Definitions, Multiplicity, ObjectDef, Operations, ResourceDef, Version},
};

use super::*;
use crate::{
    access::{Grants, Pattern},
    boundary::{LinkEvent, LinkId},
    work,
};

const NOW: Now = Now {
    boot: BootId(1),
    mono: Duration::from_secs(1000),
    unix: None,
};
const FEW: u16 = 10;
const MANY: u16 = 10_000;

/// A registered client with temperatures, and its server.
struct Pair {
    client: Client,
    asked: Option<OpId>,
    link: LinkId,
    responses: Vec<Response>,
    notified: usize,
    server: Endpoint,
    tree: Tree,
}

impl Pair {
    fn new(instances: u16) -> Self {
        Self::beside(instances, Vec::new())
    }

    /// With more accounts, whose servers cannot be reached.
    fn beside(instances: u16, others: Vec<ServerConfig>) -> Self {
        let main = ServerConfig {
            rights: Grants {
                owner: false,
                rights: BTreeMap::from([(Pattern::Object(ObjectId(3303)), "R".parse().unwrap())]),
            },
            ..ServerConfig::new("main", Ssid(101), "coap://server.example".parse().unwrap())
        };
        let config = ClientConfig {
            bootstrap: None,
            creation: Creation::default(),
            definitions: definitions(),
            device: DeviceDescription::default(),
            endpoint: "cab-17".to_owned(),
            seed: 7,
            servers: std::iter::once(main).chain(others).collect(),
        };
        let mut pair = Self {
            client: Client::new(config, Vec::new(), NOW),
            asked: None,
            link: LinkId(0),
            responses: Vec::new(),
            notified: 0,
            server: Endpoint::new(
                Params {
                    nstart: usize::MAX,
                    ..Params::default()
                },
                1,
            ),
            tree: Tree::new(definitions()),
        };
        pair.run();
        let link = pair.link;
        pair.input(Input::Link(link, LinkEvent::Up));
        let added = (0..instances).map(|instance| Declaration {
            address: temperature(instance),
            operations: Operations::R,
        });
        let declared = Declared {
            added: added.collect(),
            removed: Vec::new(),
        };
        pair.input(Input::Device(DeviceEvent::Declared(declared)));
        let samples = (0..instances).map(|instance| sample(instance, 20.0));
        let event = DeviceEvent::Changed(samples.collect());
        pair.input(Input::Device(event));
        pair
    }

    fn input(&mut self, input: Input) {
        self.client.handle(input, &mut self.tree, NOW);
        self.run();
    }

    /// Passes datagrams until nobody has anything to say.
    fn run(&mut self) {
        loop {
            while let Some(output) = self.client.poll() {
                self.perform(output);
            }
            while let Some(event) = self.server.poll_event() {
                self.on_event(event);
            }
            let Some(datagram) = self.server.poll_transmit() else {
                return;
            };
            let input = Input::Received(self.link, datagram);
            self.client.handle(input, &mut self.tree, NOW);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Commit(id, _) => {
                self.client
                    .handle(Input::Committed(id), &mut self.tree, NOW);
            }
            Output::Device(op, _) => self.asked = Some(op),
            Output::Open(link, uri, _) if uri.host == "server.example" => self.link = link,
            Output::Transmit(_, datagram) => self.server.receive(&datagram, NOW.mono),
            Output::Answer(..)
            | Output::Open(..)
            | Output::Close(_)
            | Output::Erase(..)
            | Output::Event(_)
            | Output::Fetch(..)
            | Output::Forget(..)
            | Output::Host(_)
            | Output::Journal(_)
            | Output::Keep(..) => {}
        }
    }

    fn on_event(&mut self, event: Coap) {
        match event {
            Coap::Request(key, _) => {
                let response = Response {
                    location_path: vec!["rd".to_owned(), "1".to_owned()],
                    ..Response::new(Code::CREATED)
                };
                self.server.respond(key, response, NOW.mono);
            }
            Coap::Response(_, response) => self.responses.push(response),
            Coap::Notification(..) => self.notified += 1,
            Coap::Delivered(..) | Coap::Failed(..) => {}
        }
    }

    /// Asks for a temperature and answers for its device.
    fn get(&mut self, instance: u16, observe: Option<u32>) {
        let path = ["3303".to_owned(), instance.to_string(), "5700".to_owned()];
        let request = Request {
            observe,
            ..Request::new(Method::Get, path.to_vec())
        };
        let before = self.responses.len();
        self.server.request(request, NOW.mono);
        self.run();
        let op = self.asked.take().expect("the device is asked");
        let answer = Answer {
            samples: vec![sample(instance, 20.0)],
            failed: Vec::new(),
        };
        self.input(Input::Device(DeviceEvent::Done(op, Ok(answer))));
        assert_eq!(self.responses.len(), before + 1, "one answer");
        assert_eq!(self.responses[before].code, Code::CONTENT);
    }

    /// Observes the temperatures of these instances at once, and nothing of it is told for now.
    fn fetch(&mut self, instances: std::ops::Range<u16>) {
        let path = |instance| format!(r#"{{"n":"/3303/{instance}/5700"}}"#);
        let paths: Vec<String> = instances.map(path).collect();
        let request = Request {
            content_format: Some(110),
            observe: Some(0),
            payload: format!("[{}]", paths.join(",")).into_bytes(),
            queries: vec!["pmin=3600".to_owned()],
            ..Request::new(Method::Fetch, Vec::new())
        };
        let before = self.responses.len();
        self.server.request(request, NOW.mono);
        self.run();
        assert!(self.responses[before].observe.is_some(), "it is observed");
    }

    fn change(&mut self, instance: u16) {
        let before = self.notified;
        self.sample(instance);
        assert_eq!(self.notified, before + 1, "one notification");
    }

    fn sample(&mut self, instance: u16) {
        let samples = vec![sample(instance, 21.0)];
        self.input(Input::Device(DeviceEvent::Changed(samples)));
    }
}

fn temperature(instance: u16) -> ResourceAddress {
    ResourceAddress::gateway(3303, instance, 5700)
}

fn sample(instance: u16, value: f64) -> Sample {
    Sample::good(temperature(instance), Value::Float(value), NOW.stamp())
}

fn definitions() -> Arc<Definitions> {
    let temperature = ResourceDef {
        id: ResourceId(5700),
        name: "value".to_owned(),
        operations: Operations::R,
        multiplicity: Multiplicity::Single,
        mandatory: true,
        data_type: DataType::Float,
        range: None,
        unit: String::new(),
    };
    let mut definitions = Definitions::default();
    definitions.insert(ObjectDef {
        id: ObjectId(3303),
        name: "temperature".to_owned(),
        version: Version::V1_0,
        multiplicity: Multiplicity::Multiple,
        mandatory: false,
        resources: [(temperature.id, temperature)].into(),
    });
    Arc::new(definitions)
}

/// Ten instances against ten thousand, in percent.
fn growth(few: u64, many: u64) -> u64 {
    assert!(few > 0, "nothing was counted");
    many * 100 / few
}

#[test]
fn a_read_of_one_resource_costs_the_same_with_ten_and_ten_thousand_instances() {
    let cost = |instances| {
        let mut pair = Pair::new(instances);
        work::visits(|| pair.get(instances / 2, None))
    };
    assert_eq!(growth(cost(FEW), cost(MANY)), 100);
}

#[test]
fn a_change_costs_the_same_with_ten_and_ten_thousand_instances() {
    let cost = |instances| {
        let mut pair = Pair::new(instances);
        pair.get(instances / 2, Some(0));
        work::visits(|| pair.change(instances / 2))
    };
    assert_eq!(growth(cost(FEW), cost(MANY)), 100);
}

#[test]
fn rights_cost_the_same_with_ten_and_ten_thousand_instances() {
    let cost = |instances| {
        let uri = "coap://other.example".parse().unwrap();
        let other = ServerConfig::new("other", Ssid(102), uri);
        let mut pair = Pair::beside(instances, vec![other]);
        assert!(pair.client.shared.core.access.is_enabled());
        let read = work::visits(|| pair.get(instances / 2, Some(0)));
        (read, work::visits(|| pair.change(instances / 2)))
    };
    let (few, many) = (cost(FEW), cost(MANY));
    assert_eq!((growth(few.0, many.0), growth(few.1, many.1)), (100, 100));
}

#[test]
fn a_change_costs_the_same_whatever_else_is_observed() {
    let cost = |observed| {
        let mut pair = Pair::new(MANY);
        (0..observed).for_each(|instance| pair.get(instance, Some(0)));
        work::visits(|| pair.change(0))
    };
    assert_eq!(growth(cost(1), cost(1000)), 100);
}

#[test]
fn a_change_costs_the_same_whatever_else_is_observed_by_many_paths() {
    let cost = |observed: u16| {
        let mut pair = Pair::new(MANY);
        pair.get(0, Some(0));
        // 1 or 8,000 paths.
        (0..observed).for_each(|many| pair.fetch(1 + 1000 * many..1 + 1000 * (many + 1)));
        work::visits(|| pair.change(0))
    };
    assert_eq!(growth(cost(0), cost(8)), 100);
}

#[test]
fn a_change_below_an_observation_costs_the_same_with_ten_and_with_thousands_of_paths() {
    let cost = |paths| {
        let mut pair = Pair::new(MANY);
        pair.fetch(0..paths);
        work::visits(|| {
            pair.sample(5);
            assert_eq!(pair.notified, 0, "pmin holds it back");
        })
    };
    assert_eq!(growth(cost(FEW), cost(8000)), 100);
}

#[test]
fn an_instance_that_goes_costs_the_same_whatever_else_is_observed() {
    let cost = |observed| {
        let mut pair = Pair::new(MANY);
        (0..observed).for_each(|instance| pair.get(instance, Some(0)));
        let removed = Declared {
            added: Vec::new(),
            removed: vec![temperature(0)],
        };
        let before = pair.notified;
        let visits = work::visits(|| pair.input(Input::Device(DeviceEvent::Declared(removed))));
        assert_eq!(pair.notified, before + 1, "it is gone");
        visits
    };
    assert_eq!(growth(cost(1), cost(1000)), 100);
}

#[test]
fn the_count_sees_work_that_grows() {
    let cost = |instances| {
        let pair = Pair::new(instances);
        work::visits(|| {
            assert_eq!(
                pair.tree.instances(Scope::Gateway).count(),
                usize::from(instances)
            )
        })
    };
    assert_eq!(growth(cost(FEW), cost(MANY)), 100_000);
}
