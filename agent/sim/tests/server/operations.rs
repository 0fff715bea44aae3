use lamplighter_coap::{Code, Delivery, Method, Reliability, Request, Response, Token};
use lamplighter_lwm2m::format::ContentFormat;
use lamplighter_model::{Path, Value};
use lamplighter_sim::server::{
    CancelMode, EndReason, Operation, RequestError, RequestId, ServerEvent, Side, WriteMode,
};

use crate::world::{World, address, at, register};

fn path(text: &str) -> Path {
    text.parse().expect("a path")
}

fn text(value: &str) -> Response {
    Response::content(Code::CONTENT, 0, value.as_bytes().to_vec())
}

/// Begins an observation of the temperature; its token at the client.
fn observe(world: &mut World) -> (RequestId, Token) {
    let observe = Operation::Observe(path("/3303/0/5700"), Some(ContentFormat::Text));
    let (id, request) = world.order(&observe);
    assert_eq!(request.observe, Some(0));
    let first = Response {
        observe: Some(0),
        ..text("20.5")
    };
    world.reply(first);
    let last = world.events.pop();
    let Some(ServerEvent::Answered(_, _, answer)) = last else {
        panic!("{last:?}")
    };
    assert!(answer.is_observed());
    assert_eq!(answer.value(), Some(&Value::Float(20.5)));
    (id, request.token)
}

fn notify(world: &mut World, token: Token, response: Response) {
    let now = world.now;
    world
        .client(1)
        .notify(&token, response, Reliability::Confirmable, now);
    world.run(address(1));
}

fn observed(value: &str) -> Response {
    Response {
        observe: Some(0),
        ..text(value)
    }
}

#[test]
fn read_asks_for_a_format_and_decodes_the_answer() {
    let (mut world, _) = World::registered();
    let read = Operation::Read(path("/3303/0/5700"), Some(ContentFormat::SenmlJson));
    let body = br#"[{"n":"/3303/0/5700","v":21.5}]"#.to_vec();
    let (request, answer) = world.exchange(&read, Response::content(Code::CONTENT, 110, body));
    assert_eq!(request.method, Method::Get);
    assert_eq!(request.path, ["3303", "0", "5700"]);
    assert_eq!((request.accept, request.observe), (Some(110), None));
    assert_eq!(answer.value(), Some(&Value::Float(21.5)));
    assert_eq!(answer.problem, None);
}

#[test]
fn a_refusal_carries_its_code_and_text() {
    let (mut world, _) = World::registered();
    let refusal = Response {
        payload: b"keys".to_vec(),
        ..Response::new(Code::UNAUTHORIZED)
    };
    let (_, answer) = world.exchange(&Operation::Read(path("/0/0"), None), refusal);
    assert_eq!(answer.code, Code::UNAUTHORIZED);
    assert_eq!(answer.diagnostic(), Some("keys"));
    let line = world.server.log(0).pop().expect("a line");
    assert_eq!((line.from, line.detail.as_str()), (Side::Server, "keys"));
}

#[test]
fn an_answer_that_cannot_be_decoded_says_why() {
    let (mut world, _) = World::registered();
    let (_, answer) = world.exchange(
        &Operation::Read(path("/3303/0/5700"), None),
        Response::content(Code::CONTENT, 0, b"warm".to_vec()),
    );
    assert!(answer.nodes.is_empty());
    assert!(answer.problem.is_some());
}

#[test]
fn write_replaces_by_put_and_updates_by_post() {
    let (mut world, _) = World::registered();
    for (mode, method) in [
        (WriteMode::Replace, Method::Put),
        (WriteMode::Partial, Method::Post),
    ] {
        let write = Operation::write_value(
            path("/3303/0/5700"),
            Value::Integer(3),
            ContentFormat::Text,
            mode,
        );
        let write = write.expect("a resource");
        let (request, answer) = world.exchange(&write, Response::new(Code::CHANGED));
        assert_eq!(request.method, method);
        assert_eq!(request.content_format, Some(0));
        assert_eq!(request.payload, b"3");
        assert_eq!(answer.code, Code::CHANGED);
    }
    let line = world.server.log(0).pop().expect("a line");
    assert_eq!(
        (line.operation, line.method, line.detail.as_str()),
        ("Write", "POST", "3")
    );
}

#[test]
fn what_cannot_be_written_is_not_sent() {
    let (mut world, _) = World::registered();
    let wrong = Operation::write_value(
        path("/3303/0/5700"),
        Value::String("warm".to_owned()),
        ContentFormat::Tlv,
        WriteMode::Replace,
    );
    let now = world.now;
    let sent = world
        .server
        .request("cab-17", &wrong.expect("a resource"), now);
    assert!(matches!(sent, Err(RequestError::Encode(_))), "{sent:?}");
    let instance = Operation::write_value(
        path("/3303/0"),
        Value::Integer(1),
        ContentFormat::Tlv,
        WriteMode::Replace,
    );
    assert_eq!(instance, Err(RequestError::NotAResource));
    let nobody = world
        .server
        .request("nobody", &Operation::Read(path("/3/0"), None), now);
    assert_eq!(nobody, Err(RequestError::NoSuchClient));
}

#[test]
fn execute_discover_and_write_attributes_stand_on_the_wire_as_the_standard_says() {
    let (mut world, _) = World::registered();
    let changed = || Response::new(Code::CHANGED);

    let plain = Operation::Execute(path("/3/0/4"), String::new());
    let (request, _) = world.exchange(&plain, changed());
    assert_eq!(
        (request.method, request.content_format),
        (Method::Post, None)
    );
    let arguments = Operation::Execute(path("/1/0/8"), "0='U'".to_owned());
    let (request, _) = world.exchange(&arguments, changed());
    assert_eq!(request.content_format, Some(0));
    assert_eq!(request.payload, b"0='U'");

    let discover = Operation::Discover(path("/3303"));
    let links = b"</3303>;ver=1.1;pmin=5,</3303/0>,</3303/0/5700>".to_vec();
    let (request, answer) = world.exchange(&discover, Response::content(Code::CONTENT, 40, links));
    assert_eq!((request.method, request.accept), (Method::Get, Some(40)));
    assert_eq!(answer.links.len(), 3);
    assert_eq!(answer.links[0].attribute("pmin"), Some("5"));

    let attributes = vec!["pmin=1".to_owned(), "pmax".to_owned()];
    let write = Operation::WriteAttributes(path("/3303/0/5700"), attributes.clone());
    let (request, _) = world.exchange(&write, changed());
    assert_eq!(request.method, Method::Put);
    assert_eq!(request.queries, attributes);
    assert_eq!((request.content_format, request.payload.len()), (None, 0));
}

#[test]
fn a_raw_request_leaves_as_it_is() {
    let (mut world, _) = World::registered();
    let raw = Request {
        queries: vec!["x".to_owned()],
        ..Request::new(Method::Fetch, vec!["a".to_owned(), "b".to_owned()])
    };
    let (request, _) = world.exchange(
        &Operation::Raw(Path::Root, raw.clone()),
        Response::new(Code::METHOD_NOT_ALLOWED),
    );
    let token = request.token;
    assert_eq!(request, Request { token, ..raw });
}

#[test]
fn notifications_follow_an_observation_until_it_is_cancelled_by_request() {
    let (mut world, _) = World::registered();
    let (id, token) = observe(&mut world);
    notify(&mut world, token, observed("21"));
    notify(&mut world, token, observed("22"));
    let values: Vec<_> = world
        .events
        .drain(..)
        .map(|event| {
            let ServerEvent::Notified(notified, _, answer) = event else {
                panic!("{event:?}")
            };
            assert_eq!(notified, id);
            answer.value().cloned()
        })
        .collect();
    assert_eq!(values, [Some(Value::Float(21.0)), Some(Value::Float(22.0))]);
    let line = world.server.log(0).pop().expect("a line");
    assert_eq!(
        (
            line.from,
            line.method,
            line.path.as_str(),
            line.detail.as_str()
        ),
        (Side::Client, "NOTIFY", "/3303/0/5700", "22")
    );

    let now = world.now;
    let cancel = world.server.cancel(id, CancelMode::Active, now);
    let request = cancel.expect("observed").expect("a request");
    world.run(address(1));
    let asked = &world.asked[0].2;
    assert_eq!((asked.observe, asked.token), (Some(1), token));
    world.reply(text("22"));
    let [
        ServerEvent::ObservationEnded(ended, _, EndReason::Cancelled),
        ServerEvent::Answered(answered, _, answer),
    ] = world.events.as_slice()
    else {
        panic!("{:?}", world.events)
    };
    assert_eq!((*ended, *answered), (id, request));
    assert!(!answer.is_observed());
    let again = world.server.cancel(id, CancelMode::Active, now);
    assert_eq!(again, Err(RequestError::NoSuchObservation));
}

#[test]
fn an_observation_can_be_ended_by_resetting_a_notification() {
    let (mut world, _) = World::registered();
    let (id, token) = observe(&mut world);
    notify(&mut world, token, observed("21"));
    let now = world.now;
    assert_eq!(world.server.cancel(id, CancelMode::Reset, now), Ok(None));
    notify(&mut world, token, observed("22"));
    assert_eq!(world.delivered, [Delivery::Acknowledged, Delivery::Reset]);
}

#[test]
fn an_error_as_notification_ends_the_observation() {
    let (mut world, _) = World::registered();
    let (id, token) = observe(&mut world);
    notify(&mut world, token, Response::new(Code::NOT_FOUND));
    let ended = EndReason::Refused(Code::NOT_FOUND);
    assert_eq!(
        world.events.pop(),
        Some(ServerEvent::ObservationEnded(id, "cab-17".into(), ended))
    );
}

#[test]
fn an_observation_that_is_refused_is_none() {
    let (mut world, _) = World::registered();
    let observe = Operation::Observe(path("/3303/0/5700"), None);
    let (_, answer) = world.exchange(&observe, text("20"));
    assert!(!answer.is_observed());
}

#[test]
fn what_was_asked_of_a_registration_ends_with_it() {
    let (mut world, location) = World::registered();
    let (observation, token) = observe(&mut world);
    let (request, _) = world.order(&Operation::Read(path("/3/0"), None));
    world.ask(1, at(Method::Delete, &location, &[]));
    let name = || "cab-17".into();
    let expected = [
        ServerEvent::ObservationEnded(observation, name(), EndReason::Gone),
        ServerEvent::Failed(request, name(), RequestError::Gone),
        ServerEvent::Deregistered(name()),
    ];
    assert_eq!(world.events, expected);
    notify(&mut world, token, observed("22"));
    assert_eq!(world.delivered, [Delivery::Reset]);
}

#[test]
fn a_new_register_and_a_new_address_end_observations() {
    let (mut world, _) = World::registered();
    let (first, _) = observe(&mut world);
    let response = world.ask(1, register("cab-17", &[]));
    let gone = ServerEvent::ObservationEnded(first, "cab-17".into(), EndReason::Gone);
    assert!(world.events.contains(&gone), "{:?}", world.events);

    let (second, _) = observe(&mut world);
    world.ask(2, at(Method::Post, &response.location_path, &[]));
    let moved = ServerEvent::ObservationEnded(second, "cab-17".into(), EndReason::Moved);
    assert!(world.events.contains(&moved), "{:?}", world.events);
}

#[test]
fn a_mute_client_makes_a_request_fail() {
    let (mut world, _) = World::registered();
    let now = world.now;
    world.clients.clear();
    let read = Operation::Read(path("/3/0"), None);
    let id = world.server.request("cab-17", &read, now).expect("sent");
    world.seconds(100);
    world.run(address(1));
    let failed = ServerEvent::Failed(
        id,
        "cab-17".into(),
        RequestError::Failed(lamplighter_coap::Failure::TimedOut),
    );
    assert_eq!(world.events, [failed]);
    let line = world.server.log(0).pop().expect("a line");
    assert_eq!((line.code, line.detail.as_str()), (None, "no answer"));
}

#[test]
fn open_requests_are_limited() {
    let (mut world, _) = World::registered();
    let now = world.now;
    let read = Operation::Read(path("/3/0"), None);
    let results: Vec<_> = (0..300)
        .map(|_| world.server.request("cab-17", &read, now))
        .collect();
    let sent = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(sent, 256);
    assert_eq!(results[299], Err(RequestError::TooMany));
}
