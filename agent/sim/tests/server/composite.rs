use lamplighter_coap::{Code, Method, Request, Response};
use lamplighter_lwm2m::format::{ContentFormat, Node, RecordTime, UNASSIGNED};
use lamplighter_model::{
    InstancePath, ObjectId, Path, ResourceAddress, ResourcePath, UnixTime, Value,
};
use lamplighter_sim::server::{Misbehaviour, Operation, Refusal, ServerEvent};

use crate::world::{World, at, register};

const SENML_JSON: u16 = 110;

fn path(text: &str) -> Path {
    text.parse().expect("a path")
}

fn temperature() -> ResourcePath {
    ResourceAddress::gateway(3303, 0, 5700).path
}

fn send(body: &[u8]) -> Request {
    Request {
        content_format: Some(SENML_JSON),
        payload: body.to_vec(),
        ..Request::new(Method::Post, vec!["dp".to_owned()])
    }
}

#[test]
fn composite_requests_name_their_paths_in_the_body() {
    let (mut world, _) = World::registered();
    let paths = vec![path("/3303/0/5700"), path("/3/0")];
    let json = ContentFormat::SenmlJson;
    let read = Operation::ReadComposite(paths.clone(), json, Some(json));
    let body = br#"[{"n":"/3303/0/5700","v":21.5}]"#.to_vec();
    let (request, answer) = world.exchange(&read, Response::content(Code::CONTENT, 110, body));
    assert_eq!(request.method, Method::Fetch);
    assert!(request.path.is_empty());
    assert_eq!(request.payload, br#"[{"n":"/3303/0/5700"},{"n":"/3/0"}]"#);
    assert_eq!(answer.value(), Some(&Value::Float(21.5)));

    let observe = Operation::ObserveComposite(paths, json, None);
    let (_, request) = world.order(&observe);
    assert_eq!((request.method, request.observe), (Method::Fetch, Some(0)));
    world.reply(Response::new(Code::NOT_FOUND));

    let nodes = vec![Node::single(temperature(), Value::Float(3.0))];
    let write = Operation::WriteComposite(nodes, json);
    let (request, answer) = world.exchange(&write, Response::new(Code::CHANGED));
    assert_eq!(request.method, Method::IPatch);
    assert_eq!(request.payload, br#"[{"bn":"/3303/0/","n":"5700","v":3}]"#);
    assert_eq!(answer.code, Code::CHANGED);
}

#[test]
fn create_and_delete_ask_for_instances() {
    let (mut world, _) = World::registered();
    let mut node = Node::single(temperature(), Value::Float(3.0));
    let create = |node: Node, format| Operation::Create {
        object: ObjectId(3303),
        nodes: vec![node],
        format,
    };
    node.path.instance = InstancePath {
        object: ObjectId(3303),
        instance: UNASSIGNED,
    };
    let created = Response::new(Code::CREATED);
    let operation = create(node.clone(), ContentFormat::Tlv);
    let (request, _) = world.exchange(&operation, created.clone());
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.path, ["3303"]);
    // A resource with value, no instance around it.
    assert_eq!(request.payload[0] >> 6, 0b11);

    node.path.instance.instance.0 = 7;
    let (request, answer) = world.exchange(&create(node, ContentFormat::Tlv), created);
    assert_eq!(request.payload[0] >> 6, 0b00);
    assert_eq!(answer.code, Code::CREATED);

    let delete = Operation::Delete(path("/3303/7"));
    let (request, _) = world.exchange(&delete, Response::new(Code::DELETED));
    assert_eq!(
        (request.method, request.path.join("/").as_str()),
        (Method::Delete, "3303/7")
    );
}

#[test]
fn an_observe_may_carry_attributes() {
    let (mut world, _) = World::registered();
    let attributes = vec!["pmin=5".to_owned(), "edge=1".to_owned()];
    let observe = Operation::ObserveWith(path("/3303/0/5700"), attributes.clone(), None);
    let (_, request) = world.order(&observe);
    assert_eq!(
        (request.observe, request.queries),
        (Some(0), attributes.clone())
    );
    world.reply(Response::new(Code::NOT_FOUND));
    let write = Operation::WriteAttributes(path("/3303"), attributes);
    let (_, request) = world.order(&write);
    assert_eq!(request.method, Method::Put);
}

#[test]
fn what_a_client_sends_is_told_with_its_times() {
    let (mut world, _) = World::registered();
    let body = br#"[{"bn":"/3303/0/","n":"5700","bt":1000000000,"v":1},{"n":"5700","t":60,"v":2}]"#;
    assert_eq!(world.ask(1, send(body)).code, Code::CHANGED);
    let last = world.events.pop();
    let Some(ServerEvent::Sent(name, nodes)) = last else {
        panic!("{last:?}")
    };
    assert_eq!(&*name, "cab-17");
    let times: Vec<_> = nodes.iter().map(|node| node.time).collect();
    let at = |seconds| Some(RecordTime::Absolute(UnixTime::from_seconds(seconds)));
    assert_eq!(times, [at(1_000_000_000), at(1_000_000_060)]);
}

#[test]
fn a_send_of_a_stranger_or_of_nonsense_is_refused() {
    let (mut world, _) = World::registered();
    let body = br#"[{"n":"/3303/0/5700","v":1}]"#;
    assert_eq!(world.ask(2, send(body)).code, Code::NOT_FOUND);
    assert_eq!(world.ask(1, send(b"[{")).code, Code::BAD_REQUEST);
    let text = Request {
        content_format: Some(0),
        ..send(b"1")
    };
    assert_eq!(world.ask(1, text).code, Code::UNSUPPORTED_CONTENT_FORMAT);
    let muted = Refusal::new(Code::METHOD_NOT_ALLOWED);
    world.server.misbehave(Misbehaviour::Send(muted));
    assert_eq!(world.ask(1, send(body)).code, Code::METHOD_NOT_ALLOWED);
    assert_eq!(world.events, []);
    let get = at(Method::Get, &["dp".to_owned()], &[]);
    assert_eq!(world.ask(1, get).code, Code::METHOD_NOT_ALLOWED);
}

#[test]
fn an_overloaded_server_says_for_how_long_until_it_is_well_again() {
    let (mut world, location) = World::registered();
    world.server.misbehave(Misbehaviour::Overload(Some(30)));
    for request in [
        register("cab-18", &[]),
        at(Method::Post, &location, &[]),
        send(br#"[{"n":"/3303/0/5700","v":1}]"#),
    ] {
        let answer = world.ask(1, request);
        assert_eq!(
            (answer.code, answer.max_age),
            (Code::SERVICE_UNAVAILABLE, Some(30))
        );
    }
    world.server.misbehave(Misbehaviour::Overload(None));
    let update = at(Method::Post, &location, &[]);
    assert_eq!(world.ask(1, update).code, Code::CHANGED);
}
