//! What is stored for a server, and what of it is dropped.

use std::time::Duration;

use lamplighter_coap::{Code, Method, Request, Response};
use lamplighter_lwm2m::{
    boundary::{Event, Input},
    client::Change,
};
use lamplighter_model::{ResourceAddress, Value, device::Answer};

use crate::{
    common::{SSID, World, accept_all, get},
    stored::{
        SENML_CBOR, disconnect, forgetful, notified, number, numbers, observe, observing, outage,
        reconnect, sent, unmute, values,
    },
};

#[test]
fn with_storing_off_only_the_latest_is_told() {
    let mut world = observing(SENML_CBOR);
    world.put("/1/0/6", "0");
    disconnect(&mut world);
    numbers(&mut world, 1..6, 10);
    reconnect(&mut world);
    assert_eq!(notified(&world, "/3303/0/5700"), [(None, 5)]);
    assert!(world.kept.is_empty());
}

#[test]
fn storing_that_is_switched_off_discards_and_says_so() {
    let mut world = observing(SENML_CBOR);
    outage(&mut world, 1..81, 60);
    world.seconds(3600);
    assert_eq!(world.kept.len(), 80);
    world.put("/1/0/6", "0");
    assert!(world.kept.is_empty());
    let discarded = world
        .events
        .iter()
        .any(|event| matches!(event, Event::Discarded { samples: 80, .. }));
    assert!(discarded);
    let status = world.client.servers().next().unwrap();
    assert_eq!((status.queued, status.dropped.cancelled), (0, 80));
}

#[test]
fn a_refused_pack_is_told_one_by_one_and_only_the_bad_one_is_dropped() {
    fn picky(request: &Request) -> Option<Response> {
        let is_send = request.method == Method::Post && request.path == ["dp"];
        let has_two = request
            .payload
            .windows(3)
            .any(|bytes| bytes == [0xf9, 0x40, 0x00]);
        if is_send && has_two {
            return Some(Response::new(Code::BAD_REQUEST));
        }
        accept_all(request)
    }
    let mut world = observing(SENML_CBOR);
    unmute(&mut world);
    outage(&mut world, 1..5, 1000);
    world.script = picky;
    world.seconds(7200);
    let status = world.client.servers().next().unwrap();
    assert_eq!((status.queued, status.dropped.refused), (0, 1));
    let last = sent(&world);
    assert_eq!(values(&last[last.len() - 3..]), [2, 3, 4]);
}

fn until_register(world: &mut World) {
    let known = world.requests.len();
    for _ in 0..7200 {
        world.seconds(1);
        let mut since = world.requests[known..].iter();
        if since.any(|(_, request)| request.path == ["rd"]) {
            return;
        }
    }
    panic!("no Register came");
}

#[test]
fn a_send_refused_by_a_server_that_has_forgotten_us_is_told_after_the_new_registration() {
    fn unknown(request: &Request) -> Option<Response> {
        if request.path == ["dp"] {
            return Some(Response::new(Code::BAD_REQUEST));
        }
        forgetful(request)
    }
    let mut world = observing(SENML_CBOR);
    unmute(&mut world);
    outage(&mut world, 1..5, 1000);
    // It knows the Update that ends the outage, and is started again before the Send.
    until_register(&mut world);
    world.script = unknown;
    until_register(&mut world);
    world.script = accept_all;
    world.seconds(60);
    let status = world.client.servers().next().unwrap();
    assert_eq!((status.queued, status.dropped.refused), (0, 0));
    let last = sent(&world);
    assert_eq!(values(&last[last.len() - 4..]), [1, 2, 3, 4]);
}

#[test]
fn an_overloaded_server_is_asked_again_after_its_time() {
    fn overloaded(request: &Request) -> Option<Response> {
        if request.path == ["dp"] {
            return Some(Response {
                max_age: Some(120),
                ..Response::new(Code::SERVICE_UNAVAILABLE)
            });
        }
        accept_all(request)
    }
    let mut world = observing(SENML_CBOR);
    unmute(&mut world);
    outage(&mut world, 1..5, 1000);
    world.script = overloaded;
    world.seconds(3600);
    let times = world.times(&["dp"]);
    assert!(times.len() > 2);
    let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(
        pauses
            .clone()
            .all(|pause| pause == Duration::from_secs(120))
    );
    world.script = accept_all;
    world.seconds(120);
    assert!(world.kept.is_empty());
}

#[test]
fn resources_that_nobody_observes_are_not_stored() {
    let mut world = observing(SENML_CBOR);
    world.lossy = true;
    world.sample(ResourceAddress::gateway(3303, 1, 5700), Value::Float(1.0));
    assert!(world.kept.is_empty());
}

#[test]
fn a_cancelled_observation_takes_what_was_stored_for_it_along() {
    let mut world = observing(SENML_CBOR);
    outage(&mut world, 1..81, 60);
    world.seconds(3600);
    assert_eq!(world.kept.len(), 80, "the server has registered us anew");
    let id = world.server.request(
        Request {
            accept: Some(SENML_CBOR),
            observe: Some(0),
            ..get("/3303/0/5700")
        },
        world.now,
    );
    world.run();
    world.done(Ok(Answer::default()));
    world.server.stop_observing(id, world.now);
    world.run();
    world.seconds(10);
    number(&mut world, 81);
    world.seconds(10);
    assert!(world.kept.is_empty());
    let status = world.client.servers().next().unwrap();
    assert_eq!((status.queued, status.observations), (0, 0));
    assert_eq!(status.dropped.cancelled, 80);
}

#[test]
fn an_account_that_is_removed_takes_its_queue_along() {
    let mut world = observing(SENML_CBOR);
    disconnect(&mut world);
    numbers(&mut world, 1..6, 10);
    world.input(Input::Configure(Change::RemoveServer(SSID)));
    assert!(world.kept.is_empty());
    let told = world
        .events
        .iter()
        .any(|event| matches!(event, Event::Discarded { samples: 5, .. }));
    assert!(told);
}

#[test]
fn what_the_store_had_to_drop_is_counted() {
    let mut world = observing(SENML_CBOR);
    disconnect(&mut world);
    numbers(&mut world, 1..11, 10);
    world.kept = world.kept.split_off(&4);
    world.input(Input::KeptDropped(SSID, 4, 4));
    reconnect(&mut world);
    assert_eq!(
        values(&notified(&world, "/3303/0/5700")),
        [5, 6, 7, 8, 9, 10]
    );
    let status = world.client.servers().next().unwrap();
    assert_eq!((status.queued, status.dropped.bound), (0, 4));
}

#[test]
fn hqmax_keeps_the_newest_and_counts_the_others() {
    let mut world = observing(SENML_CBOR);
    assert_eq!(
        world.attributes("/3303/0/5700", &["hqmax=3"]).code,
        Code::CHANGED
    );
    disconnect(&mut world);
    numbers(&mut world, 1..11, 10);
    reconnect(&mut world);
    assert_eq!(values(&notified(&world, "/3303/0/5700")), [8, 9, 10]);
    assert_eq!(world.notifications.len(), 1);
    let status = world.client.servers().next().unwrap();
    assert_eq!((status.queued, status.dropped.limited), (0, 7));
}

#[test]
fn hqmax_counts_what_several_observations_tell_once() {
    let mut world = observing(SENML_CBOR);
    observe(&mut world, "/3303/0", SENML_CBOR);
    assert_eq!(
        world.attributes("/3303/0", &["hqmax=3"]).code,
        Code::CHANGED
    );
    disconnect(&mut world);
    numbers(&mut world, 1..11, 10);
    reconnect(&mut world);
    assert_eq!(values(&notified(&world, "/3303/0/5700")), [8, 9, 10]);
}

#[test]
fn hqmax_does_not_take_what_the_store_had_to_leave() {
    let mut world = observing(SENML_CBOR);
    world.attributes("/3303/0/5700", &["hqmax=3"]);
    disconnect(&mut world);
    numbers(&mut world, 1..11, 10);
    world.kept = world.kept.split_off(&8);
    world.input(Input::KeptDropped(SSID, 8, 8));
    reconnect(&mut world);
    assert_eq!(values(&notified(&world, "/3303/0/5700")), [9, 10]);
}
