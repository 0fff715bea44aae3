//! What a reset in answer to a notification does to what is stored (RFC 7641, 3.6; lwm2m/30, 1).

use lamplighter_coap::{Code, ExchangeId, Request};
use lamplighter_lwm2m::boundary::{Event, Input, LinkEvent, LinkId};
use lamplighter_model::device::{Answer, Fault};

use crate::{
    common::{World, get},
    stored::{SENML_CBOR, notified, number, numbers, sent, values},
};

const PATH: &str = "/3303/0/5700";

/// Registered with a server that takes Sends, which must not tell it what it has cancelled.
fn registered() -> World {
    let mut world = World::registered();
    number(&mut world, 0);
    world
}

/// The server observes; what the device says, where it is asked, is up to the caller.
fn ask(world: &mut World) -> ExchangeId {
    let request = Request {
        accept: Some(SENML_CBOR),
        observe: Some(0),
        ..get(PATH)
    };
    let id = world.server.request(request, world.now);
    world.run();
    id
}

fn observe(world: &mut World) -> ExchangeId {
    let id = ask(world);
    world.done(Ok(Answer::default()));
    let (_, response) = world.responses.last().expect("an answer");
    assert!(response.observe.is_some(), "{response:?}");
    id
}

/// The server observes, and has confirmed a notification.
fn confirmed(world: &mut World) -> ExchangeId {
    let id = observe(world);
    numbers(world, 1..3, 61);
    assert_eq!(values(&notified(world, PATH)), [1, 2]);
    assert_eq!(world.confirmable, 1);
    id
}

fn discarded(world: &World) -> u64 {
    let events = world.events.iter();
    let discarded = events.filter_map(|event| {
        let Event::Discarded { samples, .. } = event else {
            return None;
        };
        Some(*samples)
    });
    discarded.sum()
}

const fn is_unanswered(event: &Event) -> bool {
    matches!(event, Event::Unanswered { .. })
}

#[test]
fn a_reset_right_after_an_observe_whose_answer_was_lost_loses_nothing() {
    let mut world = registered();
    let id = ask(&mut world);
    world.lossy = true;
    world.done(Ok(Answer::default()));
    world.seconds(1);
    world.lossy = false;
    world.server.cancel(id);
    numbers(&mut world, 1..4, 10);
    assert!(
        world.times(&["rd", "5a3f"]).len() == 1,
        "an Update asks why"
    );
    assert!(notified(&world, PATH).is_empty());
    world.seconds(60);
    observe(&mut world);
    world.seconds(10);
    assert_eq!(values(&notified(&world, PATH)), [1, 2, 3]);
    assert!(world.kept.is_empty());
    assert_eq!((sent(&world).len(), discarded(&world)), (0, 0));
}

#[test]
fn a_reset_after_a_move_loses_nothing_however_long_the_device_keeps_the_server_from_observing() {
    let mut world = registered();
    let id = confirmed(&mut world);
    let (old, new) = (world.link.unwrap(), LinkId(777));
    world.link = Some(new);
    world.lossy = true;
    world.input(Input::Link(old, LinkEvent::Replacement(new)));
    number(&mut world, 3);
    // The server drops what it observed under the former address.
    world.server.cancel(id);
    world.lossy = false;
    for value in 4..8 {
        world.seconds(100);
        number(&mut world, value);
        ask(&mut world);
        world.done(Err(Fault::Unreachable));
        let (_, response) = world.responses.last().unwrap();
        assert_eq!(response.code, Code::GATEWAY_TIMEOUT);
    }
    assert_eq!(values(&notified(&world, PATH)), [1, 2], "nobody listens");
    observe(&mut world);
    world.seconds(10);
    assert_eq!(values(&notified(&world, PATH)), [1, 2, 3, 4, 5, 6, 7]);
    assert!(world.kept.is_empty());
    assert_eq!((sent(&world).len(), discarded(&world)), (0, 0));
}

#[test]
fn a_reset_of_what_was_confirmed_before_cancels_at_once_and_nothing_more_is_sent() {
    let mut world = registered();
    let id = confirmed(&mut world);
    world.server.cancel(id);
    world.lossy = true;
    // A confirmable one finds nobody, and neither does the Update that follows.
    numbers(&mut world, 3..5, 61);
    while !world.events.iter().any(is_unanswered) {
        world.seconds(1);
    }
    number(&mut world, 5);
    assert_eq!((discarded(&world), world.kept.len()), (0, 3));
    world.lossy = false;
    world.seconds(60);
    let status = world.client.servers().next().unwrap();
    assert_eq!((status.observations, status.queued), (0, 0));
    assert_eq!((discarded(&world), status.dropped.cancelled), (3, 3));
    let before = world.sent.len();
    numbers(&mut world, 6..9, 10);
    assert_eq!(world.sent.len(), before, "not one datagram");
    assert!(world.kept.is_empty() && sent(&world).is_empty());
}

#[test]
fn what_is_not_observed_again_within_an_hour_is_discarded_and_never_sent() {
    let mut world = registered();
    let id = observe(&mut world);
    world.server.cancel(id);
    numbers(&mut world, 1..5, 600);
    let status = world.client.servers().next().unwrap();
    assert_eq!((status.observations, status.queued), (0, 4));
    assert!(notified(&world, PATH).is_empty() && sent(&world).is_empty());
    world.seconds(1300);
    let status = world.client.servers().next().unwrap();
    assert_eq!((status.queued, status.dropped.cancelled), (0, 4));
    assert_eq!(discarded(&world), 4);
    number(&mut world, 5);
    assert!(world.kept.is_empty() && sent(&world).is_empty());
}

#[test]
fn of_two_observations_of_one_path_a_reset_ends_the_one_and_the_other_is_told_as_before() {
    let mut world = registered();
    let stale = observe(&mut world);
    observe(&mut world);
    world.server.cancel(stale);
    numbers(&mut world, 1..4, 10);
    let told = notified(&world, PATH);
    assert_eq!(values(&told).last(), Some(&3));
    assert_eq!(told.last().unwrap().0, None, "as it happens");
    world.seconds(4000);
    assert_eq!(discarded(&world), 0);
}
