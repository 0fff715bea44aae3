//! Loss, duplicates, nonsense, silence.

use std::time::Duration;

use lamplighter_coap::{Code, Method, Request, Response};
use lamplighter_lwm2m::{
    boundary::{Command, Event, Input, LinkEvent, LinkId},
    client::{Change, ServerConfig},
    server::ServerState,
};
use lamplighter_model::device::Answer;
use proptest::prelude::*;

use crate::common::{SSID, World, accept_all, config, get, segments, server_config};

fn state(world: &World) -> ServerState {
    world.client.servers().next().expect("a server").state
}

#[test]
fn registers_through_loss() {
    let mut world = World::new(config(), Vec::new(), accept_all);
    world.lossy = true;
    world.seconds(10);
    assert_eq!(state(&world), ServerState::Registering);
    world.lossy = false;
    world.seconds(30);
    assert_eq!(state(&world), ServerState::Registered);
    assert_eq!(world.opened.len(), 1);
}

#[test]
fn a_mute_server_is_tried_for_ever() {
    let mut world = World::new(config(), Vec::new(), accept_all);
    world.lossy = true;
    world.seconds(7 * 86_400);
    let status = world.client.servers().next().unwrap();
    assert!(
        status
            .last_error
            .unwrap()
            .contains("no answer from coap://server.example:5683")
    );
    assert!(
        (100..400).contains(&world.opened.len()),
        "{}",
        world.opened.len()
    );
    let longest = world
        .opened
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap();
    assert!(longest < Duration::from_secs(5400 + 100), "{longest:?}");
    world.lossy = false;
    world.seconds(5500);
    assert_eq!(state(&world), ServerState::Registered);
}

#[test]
fn a_link_that_does_not_open_is_told_with_its_reason() {
    let mut world = World::new(config(), Vec::new(), accept_all);
    world.links_work = false;
    world.seconds(200);
    let mut reasons = Vec::new();
    for event in &world.events {
        if let Event::RegistrationFailed { reason, .. } = event {
            reasons.push(reason.as_str());
        }
    }
    assert!(
        reasons.len() >= 2 && reasons.iter().all(|reason| *reason == "no route"),
        "{reasons:?}"
    );
    world.links_work = true;
    world.seconds(600);
    assert_eq!(state(&world), ServerState::Registered);
}

#[test]
fn a_silent_server_is_told_at_the_first_repetition_and_cleared_by_the_answer() {
    let mut world = World::new(config(), Vec::new(), accept_all);
    world.lossy = true;
    world.seconds(5);
    let unanswered = Event::Unanswered {
        ssid: SSID,
        reason: "no answer yet, asking again",
    };
    assert_eq!(world.events, [unanswered]);
    let status = world.client.servers().next().unwrap();
    assert_eq!(status.state, ServerState::Registering);
    assert_eq!(
        status.last_error.as_deref(),
        Some("no answer yet, asking again")
    );
    world.lossy = false;
    world.seconds(60);
    assert_eq!(world.events[1], Event::Answered(SSID));
    assert_eq!(world.client.servers().next().unwrap().last_error, None);
    assert_eq!(state(&world), ServerState::Registered);
}

#[test]
fn a_refused_datagram_is_told_at_once_and_once() {
    let mut world = World::new(config(), Vec::new(), accept_all);
    world.lossy = true;
    world.run();
    let link = world.link.unwrap();
    for _ in 0..3 {
        world.input(Input::Link(link, LinkEvent::Refused));
        world.seconds(5);
    }
    let unanswered = Event::Unanswered {
        ssid: SSID,
        reason: "nobody listens at that address",
    };
    assert_eq!(world.events, [unanswered]);
    assert_eq!(state(&world), ServerState::Registering);
}

#[test]
fn a_silent_server_stays_registered_with_its_reason_while_an_update_is_repeated() {
    let mut world = World::registered();
    world.lossy = true;
    world.input(Input::Command(Command::Update(SSID)));
    let last_error = |world: &World| world.client.servers().next().unwrap().last_error;
    assert_eq!(last_error(&world), None);
    world.seconds(5);
    assert_eq!(state(&world), ServerState::Registered);
    assert_eq!(
        last_error(&world).as_deref(),
        Some("no answer yet, asking again")
    );
    world.script = |_| Some(Response::new(Code::SERVICE_UNAVAILABLE));
    world.lossy = false;
    world.seconds(30);
    assert_eq!(last_error(&world), None, "an answer of any kind ends it");
}

#[test]
fn a_refused_registration_says_why() {
    fn refuse(request: &Request) -> Option<Response> {
        let _ = request;
        Some(Response {
            payload: b"unknown endpoint".to_vec(),
            ..Response::new(Code::FORBIDDEN)
        })
    }
    let mut world = World::new(config(), Vec::new(), refuse);
    world.seconds(1);
    let status = world.client.servers().next().unwrap();
    assert_eq!(status.state, ServerState::Offline);
    let reason = status.last_error.unwrap();
    assert!(
        reason.starts_with("4.03") && reason.contains("unknown endpoint"),
        "{reason}"
    );
}

#[test]
fn falls_back_to_the_older_version_and_speaks_it() {
    fn old(request: &Request) -> Option<Response> {
        let newer = ["lwm2m=1.2", "lwm2m=1.1"];
        if request
            .queries
            .iter()
            .any(|query| newer.contains(&query.as_str()))
        {
            return Some(Response::new(Code::PRECONDITION_FAILED));
        }
        accept_all(request)
    }
    let mut world = World::new(config(), Vec::new(), old);
    world.seconds(1);
    assert_eq!(state(&world), ServerState::Registered);
    assert_eq!(world.times(&["rd"]).len(), 3, "1.2, 1.1, 1.0 at once");
    let (_, register) = world.requests.last().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&register.payload),
        "</1/0>,</3/0>,</3303>;ver=\"1.1\",</3303/0>,</3303/1>,</3308/0>"
    );
    assert_eq!(
        world.get("/3/0").content_format,
        Some(11542),
        "the default of 1.0"
    );
}

#[test]
fn a_server_that_forgot_us_is_registered_with_anew() {
    fn forgetful(request: &Request) -> Option<Response> {
        if request.path.len() > 1 {
            return Some(Response::new(Code::NOT_FOUND));
        }
        accept_all(request)
    }
    let mut world = World::new(config(), Vec::new(), forgetful);
    world.seconds(1);
    world.ask(Request {
        observe: Some(0),
        ..get("/3/0/0")
    });
    assert_eq!(world.client.servers().next().unwrap().observations, 1);
    world.seconds(3600);
    assert!(world.times(&["rd"]).len() >= 2);
    assert_eq!(state(&world), ServerState::Registered);
    assert_eq!(
        world.client.servers().next().unwrap().observations,
        0,
        "a new Register ends them"
    );
}

#[test]
fn a_duplicated_execute_runs_once() {
    let mut world = World::registered();
    let link = world.link.unwrap();
    // CON POST /3303/0/5605, MID 0x7d34, token 4a.
    let datagram = b"\x41\x02\x7d\x34\x4a\xb43303\x010\x045605".to_vec();
    for _ in 0..3 {
        world.input(Input::Received(link, datagram.clone()));
    }
    assert_eq!(world.device.len(), 1);
    world.done(Ok(Answer::default()));
    world.input(Input::Received(link, datagram));
    assert!(world.device.is_empty());
}

#[test]
fn requests_are_ignored_until_the_registration_is_complete_and_then_answered() {
    fn mute(_: &Request) -> Option<Response> {
        None
    }
    let mut world = World::new(config(), Vec::new(), mute);
    world.run();
    world.request(get("/3/0/0"));
    world.wait(Duration::from_millis(500));
    assert!(world.responses.is_empty());
    world.script = accept_all;
    world.seconds(400);
    assert_eq!(state(&world), ServerState::Registered);
}

#[test]
fn stops_with_a_deregistration() {
    let mut world = World::registered();
    world.input(Input::Command(Command::Stop));
    assert_eq!(world.requests.last().unwrap().1.method, Method::Delete);
    assert_eq!(world.events.last(), Some(&Event::Stopped));
    assert_eq!(world.client.poll_timeout(), None);
    assert_eq!(world.link, None);
}

#[test]
fn stops_within_seconds_when_nobody_answers() {
    let mut world = World::registered();
    world.lossy = true;
    world.input(Input::Command(Command::Stop));
    world.seconds(6);
    assert_eq!(world.events.last(), Some(&Event::Stopped));
}

#[test]
fn a_better_path_is_used_at_once_and_the_old_one_closed_after_the_answer() {
    let mut world = World::registered();
    let old = world.link.unwrap();
    let new = LinkId(777);
    world.link = Some(new);
    world.input(Input::Link(old, LinkEvent::Replacement(new)));
    assert_eq!(world.requests.last().unwrap().1.path, segments("/rd/5a3f"));
    assert_eq!(state(&world), ServerState::Registered);
    assert_eq!(world.link, Some(new));
}

#[test]
fn a_lost_link_is_followed_by_an_update_over_a_new_one() {
    let mut world = World::registered();
    let link = world.link.unwrap();
    world.input(Input::Link(link, LinkEvent::Down("cable out".to_owned())));
    world.seconds(1);
    assert_eq!(world.opened.len(), 2);
    assert_eq!(world.requests.last().unwrap().1.path, segments("/rd/5a3f"));
}

#[test]
fn commands_of_people_reach_the_registration() {
    let mut world = World::registered();
    world.input(Input::Command(Command::Update(SSID)));
    assert_eq!(world.requests.last().unwrap().1.path, segments("/rd/5a3f"));
    world.input(Input::Command(Command::Deregister(None)));
    assert_eq!(state(&world), ServerState::Left);
    world.seconds(100_000);
    assert_eq!(state(&world), ServerState::Left);
    world.input(Input::Command(Command::Register(SSID)));
    assert_eq!(state(&world), ServerState::Registered);
}

#[test]
fn a_replaced_account_leaves_the_old_server_and_registers_with_the_new() {
    let mut world = World::registered();
    let server = ServerConfig {
        lifetime: Duration::from_secs(120),
        ..server_config()
    };
    world.input(Input::Configure(Change::AddServer(Box::new(server))));
    let methods: Vec<_> = world
        .requests
        .iter()
        .map(|(_, request)| request.method)
        .collect();
    assert_eq!(methods, [Method::Post, Method::Delete, Method::Post]);
    assert!(world.requests[2].1.queries.contains(&"lt=120".to_owned()));
    world.input(Input::Configure(Change::RemoveServer(SSID)));
    assert_eq!(world.client.servers().count(), 0);
    assert_eq!(world.link, None);
}

#[test]
fn a_long_list_of_objects_goes_block_by_block() {
    use lamplighter_model::{
        ResourceAddress,
        device::{Declaration, Declared, DeviceEvent},
        object::Operations,
    };
    let mut world = World::registered();
    let declare = |instance| Declaration {
        address: ResourceAddress::gateway(3303, instance, 5700),
        operations: Operations::R,
    };
    let added = (10..2000).map(declare).collect();
    world.input(Input::Device(DeviceEvent::Declared(Declared {
        added,
        removed: Vec::new(),
    })));
    world.seconds(5);
    let (_, update) = world.requests.last().unwrap();
    let now = world.now();
    assert_eq!(
        update.payload.len(),
        world.client.register_payload_size(&world.tree, now)
    );
    assert!(update.payload.len() > 20_000);
}

#[test]
fn a_peer_cannot_make_operations_wait_without_bound() {
    let mut world = World::registered();
    for _ in 0..400 {
        world.request(get("/3303/0/5700"));
    }
    assert!(world.device.len() <= 256, "{}", world.device.len());
    world.seconds(5);
    assert!(
        world
            .responses
            .iter()
            .all(|(_, response)| !response.code.is_success())
    );
}

#[test]
fn observations_have_a_limit_and_the_value_is_told_all_the_same() {
    let mut world = World::registered();
    for _ in 0..1100 {
        world.request(Request {
            observe: Some(0),
            ..get("/3/0/0")
        });
    }
    let (_, last) = world.responses.last().unwrap();
    assert_eq!((last.code, last.observe), (Code::CONTENT, None));
    assert_eq!(world.client.servers().next().unwrap().observations, 1024);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_datagram_makes_it_panic(datagrams: Vec<Vec<u8>>) {
        let mut world = World::registered();
        for datagram in datagrams {
            if let Some(link) = world.link {
                world.input(Input::Received(link, datagram));
            }
        }
        world.seconds(100);
    }

    #[test]
    fn no_request_makes_it_panic(
        code in 1u8..8,
        path in proptest::collection::vec("(3|0|3303|5700|11|[a-z/]{0,3}|65535)", 0..5),
        format: Option<u16>,
        accept: Option<u16>,
        observe in proptest::option::of(0u32..3),
        queries in proptest::collection::vec("(pmin|pmax|gt|x)?=?[0-9-]{0,3}", 0..3),
        payload: Vec<u8>,
    ) {
        let mut world = World::registered();
        let method = [Method::Get, Method::Post, Method::Put, Method::Delete, Method::Fetch, Method::Patch, Method::IPatch]
            [usize::from(code) % 7];
        world.request(Request {
            queries, content_format: format, accept, observe, payload,
            ..Request::new(method, path)
        });
        world.seconds(10);
        prop_assert!(!world.responses.is_empty());
    }
}
