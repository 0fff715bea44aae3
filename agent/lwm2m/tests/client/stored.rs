//! What a server was told of numbered samples, for the tests of storing.

use std::{sync::Arc, time::Duration};

use lamplighter_coap::{Code, Request, Response};
use lamplighter_lwm2m::{
    boundary::{Input, LinkEvent},
    format::{self, Content, ContentFormat, RecordTime},
};
use lamplighter_model::{Path, Value, device::Answer};

use crate::common::{TEMPERATURE, World, accept_all, get};

pub(crate) const SENML_CBOR: u16 = 112;
pub(crate) const TLV: u16 = 11542;

/// A value of the temperature as the server was told: its time in seconds, where it has one.
pub(crate) type Told = (Option<i64>, i64);

pub(crate) fn observe(world: &mut World, path: &str, accept: u16) {
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
pub(crate) fn observing(accept: u16) -> World {
    let mut world = World::registered();
    assert_eq!(world.put("/1/0/23", "1").code, Code::CHANGED);
    number(&mut world, 0);
    observe(&mut world, "/3303/0/5700", accept);
    world
}

pub(crate) fn number(world: &mut World, number: i64) {
    world.sample(TEMPERATURE, Value::Float(number as f64));
}

/// Numbered samples, one every so many seconds.
pub(crate) fn numbers(world: &mut World, numbers: std::ops::Range<i64>, every: u64) {
    for value in numbers {
        number(world, value);
        world.seconds(every);
    }
}

/// The same while every datagram is lost.
pub(crate) fn outage(world: &mut World, of: std::ops::Range<i64>, every: u64) {
    world.lossy = true;
    numbers(world, of, every);
    world.lossy = false;
}

pub(crate) fn decode(
    world: &World,
    path: Path,
    content_format: Option<u16>,
    payload: &[u8],
) -> Vec<Told> {
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

pub(crate) fn notified(world: &World, path: &str) -> Vec<Told> {
    let path: Path = path.parse().expect("a path");
    let notifications = world.notifications.iter();
    notifications
        .flat_map(|(_, _, response)| {
            decode(world, path, response.content_format, &response.payload)
        })
        .collect()
}

/// What came by Send.
pub(crate) fn sent(world: &World) -> Vec<Told> {
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

pub(crate) fn values(told: &[Told]) -> Vec<i64> {
    told.iter().map(|(_, value)| *value).collect()
}

/// Wall time of the test at a moment of its clock.
pub(crate) fn unix(at: Duration) -> i64 {
    1_790_000_000 + i64::try_from(at.as_secs()).expect("a short time")
}

pub(crate) fn unmute(world: &mut World) {
    assert_eq!(world.put("/1/0/23", "0").code, Code::CHANGED);
}

/// A server that has forgotten us.
pub(crate) fn forgetful(request: &Request) -> Option<Response> {
    match request.path.first().map(String::as_str) {
        Some("rd") if request.path.len() > 1 => Some(Response::new(Code::NOT_FOUND)),
        _ => accept_all(request),
    }
}

/// The path to the server is gone from now on.
pub(crate) fn disconnect(world: &mut World) {
    world.links_work = false;
    let link = world.link.expect("a link");
    world.input(Input::Link(link, LinkEvent::Down("no carrier".to_owned())));
}

/// The path is back, and what was stored has had its time.
pub(crate) fn reconnect(world: &mut World) {
    world.links_work = true;
    world.seconds(70);
}
