//! Nothing measured is lost: numbered samples through whatever comes between us and the server.

use std::{sync::Arc, time::Duration};

use lamplighter_coap::{Code, Method, Request, Response};
use lamplighter_lwm2m::{
    boundary::{Command, Event, Input, LinkEvent, LocalAnswer, RequestId, SendRequest},
    client::Change,
    format::{self, Content, ContentFormat, RecordTime},
};
use lamplighter_model::{
    Path, ResourceAddress, Sample, Value,
    device::{Answer, DeviceEvent},
};

use crate::common::{SSID, TEMPERATURE, World, accept_all, get};

const SENML_CBOR: u16 = 112;
const TLV: u16 = 11542;

/// A value of the temperature as the server was told: its time in seconds, where it has one.
type Told = (Option<i64>, i64);

fn observe(world: &mut World, path: &str, accept: u16) {
    world.request(Request {
        accept: Some(accept),
        observe: Some(0),
        ..get(path)
    });
    while !world.device.is_empty() {
        world.done(Ok(Answer::default()));
    }
    let (_, response) = world.responses.last().expect("an answer");
    assert_eq!(
        (response.code, response.observe.is_some()),
        (Code::CONTENT, true),
        "{response:?}"
    );
}

/// A server that observes the temperature, which is 0, and takes no Send.
fn observing(accept: u16) -> World {
    let mut world = World::registered();
    assert_eq!(world.put("/1/0/23", "1").code, Code::CHANGED);
    number(&mut world, 0);
    observe(&mut world, "/3303/0/5700", accept);
    world
}

fn number(world: &mut World, number: i64) {
    world.sample(TEMPERATURE, Value::Float(number as f64));
}

/// Numbered samples, one every so many seconds.
fn numbers(world: &mut World, numbers: std::ops::Range<i64>, every: u64) {
    for value in numbers {
        number(world, value);
        world.seconds(every);
    }
}

fn decode(world: &World, path: Path, content_format: Option<u16>, payload: &[u8]) -> Vec<Told> {
    let format = content_format.and_then(ContentFormat::from_number);
    let decoded = format::decode(
        format.expect("a format"),
        path,
        "",
        payload,
        &Arc::clone(world.tree.definitions()),
    )
    .expect("a payload that can be read");
    let mut told = Vec::new();
    for node in decoded.nodes {
        let time = match node.time {
            Some(RecordTime::Absolute(time)) => Some(time.seconds()),
            Some(RecordTime::Relative(_)) | None => None,
        };
        if let (Content::Single(value), true) = (node.content, node.path == TEMPERATURE.path) {
            told.push((time, value.as_f64().expect("a number") as i64));
        }
    }
    told
}

fn notified(world: &World, path: &str) -> Vec<Told> {
    let path: Path = path.parse().expect("a path");
    let notifications = world.notifications.iter();
    notifications
        .flat_map(|(_, _, response)| {
            decode(world, path, response.content_format, &response.payload)
        })
        .collect()
}

/// What came by Send.
fn sent(world: &World) -> Vec<Told> {
    let sends = world
        .requests
        .iter()
        .filter(|(_, request)| request.path == ["dp"]);
    sends
        .flat_map(|(_, request)| {
            decode(world, Path::Root, request.content_format, &request.payload)
        })
        .collect()
}

fn values(told: &[Told]) -> Vec<i64> {
    told.iter().map(|(_, value)| *value).collect()
}

/// Wall time of the test at a moment of its clock.
fn unix(at: Duration) -> i64 {
    1_790_000_000 + i64::try_from(at.as_secs()).expect("a short time")
}

fn unmute(world: &mut World) {
    assert_eq!(world.put("/1/0/23", "0").code, Code::CHANGED);
}

/// A server that has forgotten us.
fn forgetful(request: &Request) -> Option<Response> {
    match request.path.first().map(String::as_str) {
        Some("rd") if request.path.len() > 1 => Some(Response::new(Code::NOT_FOUND)),
        _ => accept_all(request),
    }
}

#[test]
fn while_the_server_listens_a_change_leaves_at_once_and_without_time() {
    let mut world = observing(SENML_CBOR);
    numbers(&mut world, 1..4, 1);
    assert_eq!(
        notified(&world, "/3303/0/5700"),
        [(None, 1), (None, 2), (None, 3)]
    );
    assert_eq!(world.kept.len(), 3, "nobody has confirmed them");
    world.input(Input::Command(Command::Update(SSID)));
    assert!(world.kept.is_empty(), "the answer to the Update shows it");
}

#[test]
fn what_is_measured_without_a_link_arrives_later_with_its_times_and_in_order() {
    let mut world = observing(SENML_CBOR);
    world.links_work = false;
    let link = world.link.expect("a link");
    world.input(Input::Link(link, LinkEvent::Down("no carrier".to_owned())));
    let began = world.now;
    numbers(&mut world, 1..6, 10);
    assert!(world.notifications.is_empty());
    world.links_work = true;
    world.seconds(70);
    let expected: Vec<Told> = (0..5u64)
        .map(|n| {
            let at = began + Duration::from_secs(10 * n);
            (Some(unix(at)), 1 + i64::try_from(n).unwrap())
        })
        .collect();
    assert_eq!(notified(&world, "/3303/0/5700"), expected);
    assert_eq!(world.notifications.len(), 1, "one pack");
    assert!(world.kept.is_empty());
    number(&mut world, 6);
    assert_eq!(notified(&world, "/3303/0/5700")[5..], [(None, 6)]);
}

#[test]
fn an_outage_longer_than_the_lifetime_is_told_by_send() {
    let mut world = observing(SENML_CBOR);
    unmute(&mut world);
    world.lossy = true;
    let began = world.now;
    numbers(&mut world, 1..81, 60);
    world.lossy = false;
    world.seconds(3600);
    let told = sent(&world);
    assert_eq!(values(&told), (1..81).collect::<Vec<_>>());
    assert_eq!(told[0].0, Some(unix(began)));
    assert!(world.notifications.is_empty());
    assert!(world.kept.is_empty());
}

#[test]
fn a_server_that_takes_no_send_gets_it_with_its_next_observation() {
    let mut world = observing(SENML_CBOR);
    world.lossy = true;
    numbers(&mut world, 1..81, 60);
    world.lossy = false;
    world.seconds(3600);
    number(&mut world, 81);
    assert!(sent(&world).is_empty(), "Send is muted");
    observe(&mut world, "/3303/0", SENML_CBOR);
    world.seconds(10);
    let told = notified(&world, "/3303/0");
    assert_eq!(values(&told), (1..82).collect::<Vec<_>>());
}

#[test]
fn disable_is_silent_and_loses_nothing() {
    let mut world = observing(SENML_CBOR);
    unmute(&mut world);
    world.put("/1/0/5", "600");
    world.execute("/1/0/4", "");
    let silent_from = world.sent.len();
    numbers(&mut world, 1..60, 10);
    assert_eq!(world.sent.len(), silent_from, "not one datagram");
    world.seconds(300);
    assert_eq!(values(&sent(&world)), (1..60).collect::<Vec<_>>());
}

#[test]
fn a_server_that_was_started_again_gets_what_it_missed() {
    let mut world = observing(SENML_CBOR);
    unmute(&mut world);
    world.lossy = true;
    numbers(&mut world, 1..11, 10);
    world.script = forgetful;
    world.lossy = false;
    world.seconds(4000);
    assert_eq!(values(&sent(&world)), (1..11).collect::<Vec<_>>());
}

#[test]
fn a_power_cut_during_the_outage_loses_nothing() {
    let mut world = observing(SENML_CBOR);
    unmute(&mut world);
    world.links_work = false;
    let link = world.link.expect("a link");
    world.input(Input::Link(link, LinkEvent::Down("no carrier".to_owned())));
    let began = world.now;
    numbers(&mut world, 1..6, 10);
    let mut again = world.restarted(Duration::from_secs(30), 1);
    again.links_work = false;
    again.run();
    numbers(&mut again, 6..11, 10);
    again.links_work = true;
    again.seconds(4000);
    let mut told = notified(&again, "/3303/0/5700");
    told.extend(sent(&again));
    assert_eq!(values(&told), (1..11).collect::<Vec<_>>());
    assert_eq!(told[0].0, Some(unix(began)));
    assert!(again.kept.is_empty());
}

#[test]
fn what_vanished_in_a_black_hole_is_told_again() {
    let mut world = observing(SENML_CBOR);
    unmute(&mut world);
    numbers(&mut world, 1..4, 1);
    world.lossy = true;
    numbers(&mut world, 4..8, 1);
    // The Update before the end of the lifetime finds nobody.
    world.seconds(3550);
    world.lossy = false;
    world.seconds(3600);
    let told = sent(&world);
    assert_eq!(
        values(&told),
        (1..8).collect::<Vec<_>>(),
        "from the last confirmation on"
    );
}

#[test]
fn with_storing_off_only_the_latest_is_told() {
    let mut world = observing(SENML_CBOR);
    world.put("/1/0/6", "0");
    world.links_work = false;
    let link = world.link.expect("a link");
    world.input(Input::Link(link, LinkEvent::Down("no carrier".to_owned())));
    numbers(&mut world, 1..6, 10);
    world.links_work = true;
    world.seconds(70);
    assert_eq!(notified(&world, "/3303/0/5700"), [(None, 5)]);
    assert!(world.kept.is_empty());
}

#[test]
fn storing_that_is_switched_off_discards_and_says_so() {
    let mut world = observing(SENML_CBOR);
    world.lossy = true;
    numbers(&mut world, 1..81, 60);
    world.lossy = false;
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
fn a_format_without_time_tells_one_value_after_another() {
    let mut world = observing(TLV);
    world.links_work = false;
    let link = world.link.expect("a link");
    world.input(Input::Link(link, LinkEvent::Down("no carrier".to_owned())));
    numbers(&mut world, 1..6, 10);
    world.links_work = true;
    world.seconds(70);
    let told = notified(&world, "/3303/0/5700");
    assert_eq!(values(&told), [1, 2, 3, 4, 5]);
    assert_eq!(world.notifications.len(), 5);
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
    world.lossy = true;
    numbers(&mut world, 1..5, 1000);
    world.lossy = false;
    world.script = picky;
    world.seconds(7200);
    let status = world.client.servers().next().unwrap();
    assert_eq!((status.queued, status.dropped.refused), (0, 1));
    let last = sent(&world);
    assert_eq!(values(&last[last.len() - 3..]), [2, 3, 4]);
}

fn until_register(world: &mut World) {
    let known = world.requests.len();
    for _ in 0..600 {
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
    world.lossy = true;
    numbers(&mut world, 1..5, 1000);
    world.lossy = false;
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
    world.lossy = true;
    numbers(&mut world, 1..5, 1000);
    world.lossy = false;
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

/// The path to the server is gone from now on.
fn disconnect(world: &mut World) {
    world.links_work = false;
    let link = world.link.expect("a link");
    world.input(Input::Link(link, LinkEvent::Down("no carrier".to_owned())));
}

/// The path is back, and what was stored has had its time.
fn reconnect(world: &mut World) {
    world.links_work = true;
    world.seconds(70);
}

#[test]
fn several_values_that_a_device_tells_at_once_are_all_told() {
    let mut world = observing(SENML_CBOR);
    disconnect(&mut world);
    let sample = |value: f64| Sample::good(TEMPERATURE, Value::Float(value), world.now().stamp());
    let batch = [1.0, 2.0, 3.0].map(sample).to_vec();
    world.input(Input::Device(DeviceEvent::Changed(batch)));
    reconnect(&mut world);
    assert_eq!(values(&notified(&world, "/3303/0/5700")), [1, 2, 3]);
}

#[test]
fn a_cancelled_observation_takes_what_was_stored_for_it_along() {
    let mut world = observing(SENML_CBOR);
    world.lossy = true;
    numbers(&mut world, 1..81, 60);
    world.lossy = false;
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
    world.server.cancel(id);
    world.seconds(10);
    number(&mut world, 81);
    world.seconds(10);
    assert!(world.kept.is_empty());
    let status = world.client.servers().next().unwrap();
    assert_eq!((status.queued, status.observations), (0, 0));
    assert_eq!(status.dropped.cancelled, 80);
}

#[test]
fn what_nobody_observes_again_does_not_hold_up_the_rest() {
    let other = ResourceAddress::gateway(3303, 1, 5700);
    let mut world = observing(SENML_CBOR);
    world.sample(other, Value::Float(0.0));
    observe(&mut world, "/3303/1/5700", SENML_CBOR);
    world.lossy = true;
    for value in 1..81 {
        number(&mut world, value);
        world.sample(other, Value::Float(value as f64));
        world.seconds(60);
    }
    world.lossy = false;
    world.seconds(3000);
    observe(&mut world, "/3303/0/5700", SENML_CBOR);
    world.seconds(20);
    assert_eq!(
        values(&notified(&world, "/3303/0/5700")),
        (1..81).collect::<Vec<_>>()
    );
    number(&mut world, 81);
    assert_eq!(world.notifications.last().unwrap().0, world.now, "at once");
    let status = world.client.servers().next().unwrap();
    assert_eq!((status.queued, status.dropped.total()), (80, 0));

    // Nothing of it is told twice after a restart, and the rest once it is observed.
    world.seconds(10);
    let mut again = world.restarted(Duration::from_secs(5), 1);
    again.seconds(20);
    again.sample(other, Value::Float(81.0));
    let before = again.notifications.len();
    observe(&mut again, "/3303/1/5700", SENML_CBOR);
    again.seconds(20);
    let told: Vec<i64> = again.notifications[before..]
        .iter()
        .flat_map(|(_, _, response)| all_numbers(&again, response))
        .collect();
    assert_eq!(told, (1..82).collect::<Vec<_>>());
    assert!(again.kept.is_empty());
}

/// The numbers in a notification, whatever they are of.
fn all_numbers(world: &World, response: &Response) -> Vec<i64> {
    let decoded = format::decode(
        ContentFormat::SenmlCbor,
        Path::Root,
        "",
        &response.payload,
        world.tree.definitions(),
    );
    let nodes = decoded.expect("SenML").nodes.into_iter();
    nodes
        .filter_map(|node| match node.content {
            Content::Single(value) => value.as_f64(),
            Content::Multiple(_) => None,
        })
        .map(|value| value as i64)
        .collect()
}

#[test]
fn send_on_request_tells_the_latest_with_its_time() {
    let mut world = observing(SENML_CBOR);
    unmute(&mut world);
    number(&mut world, 7);
    let at = world.now;
    world.seconds(30);
    send(&mut world, "/3303/0/5700");
    assert_eq!(world.answers, [(RequestId(9), Ok(LocalAnswer::Done))]);
    assert_eq!(sent(&world), [(Some(unix(at)), 7)]);
}

#[test]
fn send_on_request_is_refused_in_words() {
    let mut world = observing(SENML_CBOR);
    send(&mut world, "/3303/0/5700");
    unmute(&mut world);
    send(&mut world, "/3303/7/5700");
    send(&mut world, "/1/5/0");
    send(&mut world, "/");
    disconnect(&mut world);
    send(&mut world, "/3303/0/5700");
    let refused: Vec<String> = world
        .answers
        .iter()
        .map(|(_, answer)| answer.as_ref().unwrap_err().to_string())
        .collect();
    assert_eq!(
        refused,
        [
            "4.05 this server takes no Send (1/x/23)",
            "4.04 the resource does not exist",
            "4.04 the resource does not exist",
            "4.00 a path of an object or below is wanted",
            "5.03 not registered with this server",
        ]
    );
    assert!(sent(&world).is_empty());
}

fn send(world: &mut World, path: &str) {
    let request = SendRequest {
        paths: vec![path.parse().expect("a path")],
        ssid: None,
        user: "anna".to_owned(),
    };
    world.input(Input::Command(Command::Send(RequestId(9), request)));
}

#[test]
fn samples_of_an_unknown_date_wait_for_it() {
    let mut world = observing(SENML_CBOR);
    disconnect(&mut world);
    let known = world.unix.take();
    number(&mut world, 1);
    let at = world.now;
    world.links_work = true;
    world.seconds(100);
    assert!(world.notifications.is_empty());
    world.unix = known.map(|known| known + 100);
    world.seconds(600);
    assert_eq!(notified(&world, "/3303/0/5700"), [(Some(unix(at)), 1)]);
}

#[test]
fn samples_leave_as_soon_as_their_date_is_known() {
    let mut world = observing(SENML_CBOR);
    disconnect(&mut world);
    let known = world.unix.take();
    number(&mut world, 1);
    let at = world.now;
    world.links_work = true;
    world.seconds(100);
    world.unix = known.map(|known| known + 100);
    number(&mut world, 2);
    let told = [(Some(unix(at)), 1), (Some(unix(world.now)), 2)];
    world.seconds(5);
    assert_eq!(notified(&world, "/3303/0/5700"), told);
}

#[test]
fn samples_whose_date_never_becomes_known_are_told_without_and_counted() {
    let mut world = observing(SENML_CBOR);
    disconnect(&mut world);
    world.unix = None;
    numbers(&mut world, 1..3, 1);
    world.links_work = true;
    world.seconds(700);
    assert_eq!(notified(&world, "/3303/0/5700"), [(None, 1), (None, 2)]);
    let status = world.client.servers().next().unwrap();
    assert_eq!(status.dropped.undated, 2);
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
fn a_new_registration_needs_no_update() {
    let mut world = observing(SENML_CBOR);
    unmute(&mut world);
    world.put("/1/0/5", "600");
    world.execute("/1/0/4", "");
    numbers(&mut world, 1..3, 10);
    world.requests.clear();
    world.seconds(900);
    let paths: Vec<_> = world
        .requests
        .iter()
        .map(|(_, request)| request.path.join("/"))
        .collect();
    assert_eq!(paths, ["rd", "dp"]);
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

/// What six minutes without the server cost to make good, with an answer every `round_trip`.
#[test]
fn an_outage_is_told_again_in_less_than_a_tenth_of_it() {
    const POINTS: u64 = 2000;
    const MINUTES: u64 = 6;
    const ROUND_TRIP: Duration = Duration::from_millis(50);
    let mut world = observing(SENML_CBOR);
    unmute(&mut world);
    disconnect(&mut world);
    // As many samples as 2,000 points give, through one point: what counts is their
    // number.
    for minute in 0..MINUTES {
        let at = world.now().stamp();
        let samples = (0..POINTS).map(|point| {
            let value = 20.0 + ((point * 7 + minute) % 100) as f64 / 10.0;
            let step = Duration::from_millis(POINTS - point);
            let at = lamplighter_model::Stamp {
                mono: at.mono - step,
                ..at
            };
            Sample::good(TEMPERATURE, Value::Float(value), at)
        });
        let samples = samples.collect();
        world.input(Input::Device(DeviceEvent::Changed(samples)));
        world.seconds(60);
    }
    let stored = world.kept.len() as u64;
    assert!(stored > POINTS * MINUTES * 9 / 10, "{stored}");
    world.links_work = true;
    let before = world.bytes;
    world.seconds(3600);
    assert!(world.kept.is_empty());
    let packs = world.notifications.len() as u64;
    let bytes = world.bytes - before;
    let took = ROUND_TRIP * u32::try_from(packs).unwrap();
    let per_sample = bytes as f64 / stored as f64;
    assert!(
        took <= Duration::from_secs(MINUTES * 60 / 10),
        "{packs} packs, {took:?}"
    );
    assert!(
        per_sample < 32.0,
        "{per_sample} bytes on the wire per sample"
    );
}

#[test]
fn the_first_value_after_a_restart_without_a_link_is_stored() {
    let world = observing(SENML_CBOR);
    let mut again = world.restarted(Duration::from_secs(5), 1);
    again.links_work = false;
    number(&mut again, 1);
    again.seconds(10);
    number(&mut again, 2);
    again.links_work = true;
    again.seconds(100);
    assert_eq!(values(&notified(&again, "/3303/0/5700")), [1, 2]);
}

#[test]
fn of_many_observations_of_one_path_the_one_that_is_alive_is_told() {
    let mut world = observing(SENML_CBOR);
    let mut stale = Vec::new();
    for _ in 0..12 {
        let request = Request {
            accept: Some(SENML_CBOR),
            observe: Some(0),
            ..get("/3303/0/5700")
        };
        stale.push(world.server.request(request, world.now));
        world.run();
        while !world.device.is_empty() {
            world.done(Ok(Answer::default()));
        }
    }
    for id in stale {
        world.server.cancel(id);
    }
    number(&mut world, 1);
    world.seconds(60);
    assert!(values(&notified(&world, "/3303/0/5700")).contains(&1));
    assert_eq!(world.client.servers().next().unwrap().observations, 1);
    assert!(world.kept.is_empty());
}

#[test]
fn two_observations_of_one_path_store_a_sample_once() {
    let mut world = observing(SENML_CBOR);
    observe(&mut world, "/3303/0", SENML_CBOR);
    disconnect(&mut world);
    numbers(&mut world, 1..6, 10);
    assert_eq!(world.kept.len(), 5);
    reconnect(&mut world);
    assert_eq!(values(&notified(&world, "/3303/0")), [1, 2, 3, 4, 5]);
}

#[test]
fn an_alarm_that_nobody_observes_goes_by_send() {
    let alarms = |world: &World| {
        let sends = world.requests.iter();
        sends.filter(|(_, request)| request.path == ["dp"]).count()
    };
    let mut world = World::registered();
    let alarm = |code, present| Input::Command(Command::DeviceError { code, present });
    world.input(alarm(16, true));
    assert_eq!(alarms(&world), 1);
    disconnect(&mut world);
    world.input(alarm(2, true));
    world.seconds(10);
    world.input(alarm(2, false));
    reconnect(&mut world);
    assert_eq!(alarms(&world), 2, "one pack");
    assert!(world.kept.is_empty());
}
