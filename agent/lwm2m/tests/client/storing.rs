//! Nothing measured is lost: numbered samples through whatever comes between us and the server.

use std::time::Duration;

use lamplighter_coap::{Code, Request, Response};
use lamplighter_lwm2m::{
    boundary::{Command, Input},
    format::{self, Content, ContentFormat},
};
use lamplighter_model::{
    Path, ResourceAddress, Sample, Value,
    device::{Answer, DeviceEvent},
};

use crate::{
    common::{SSID, TEMPERATURE, World, accept_all, get},
    stored::{
        SENML_CBOR, TLV, Told, disconnect, forgetful, notified, number, numbers, observe,
        observing, outage, reconnect, sent, unix, unmute, values,
    },
};

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
    disconnect(&mut world);
    let began = world.now;
    numbers(&mut world, 1..6, 10);
    assert!(world.notifications.is_empty());
    reconnect(&mut world);
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
    outage(&mut world, 1..81, 60);
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
    disconnect(&mut world);
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

/// Before something had to be repeated nobody knows of the loss: what a lucky confirmation has passed
/// by until then is gone. From then on nothing is.
#[test]
fn a_path_that_loses_every_third_packet_is_noticed_and_loses_nothing_more() {
    const WORLDS: u32 = 20;
    let (mut early, mut late) = (0, 0);
    for dice in 0..WORLDS {
        let mut world = observing(SENML_CBOR);
        unmute(&mut world);
        (world.dice, world.loss_percent) = (dice, 30);
        numbers(&mut world, 1..201, 5);
        world.loss_percent = 0;
        world.seconds(600);
        let mut told = values(&notified(&world, "/3303/0/5700"));
        told.extend(values(&sent(&world)));
        early += (1..101).filter(|number| !told.contains(number)).count();
        late += (101..201).filter(|number| !told.contains(number)).count();
        assert!(world.kept.is_empty());
    }
    assert_eq!(late, 0);
    assert!(early < 8 * WORLDS as usize, "{early} in {WORLDS} worlds");
}

#[test]
fn a_loss_of_long_ago_confirms_nothing() {
    let mut world = observing(SENML_CBOR);
    world.lossy = true;
    world.input(Input::Command(Command::Update(SSID)));
    world.seconds(1);
    world.lossy = false;
    world.seconds(5);
    let confirmed = |world: &mut World, from: i64| {
        let before = world.confirmable;
        numbers(world, from..from + 3, 1);
        world.confirmable - before
    };
    assert_eq!(confirmed(&mut world, 1), 3, "its Update was repeated");
    world.seconds(601);
    assert_eq!(confirmed(&mut world, 4), 0);
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
fn a_format_without_time_tells_one_value_after_another() {
    let mut world = observing(TLV);
    disconnect(&mut world);
    numbers(&mut world, 1..6, 10);
    reconnect(&mut world);
    let told = notified(&world, "/3303/0/5700");
    assert_eq!(values(&told), [1, 2, 3, 4, 5]);
    assert_eq!(world.notifications.len(), 5);
}

/// Leshan answers so where an instance did not stand in Register, as the list was too long for it.
#[test]
fn what_is_refused_by_send_and_observed_goes_by_notification() {
    let mut world = observing(TLV);
    unmute(&mut world);
    world.script = |request| match request.path.as_slice() {
        [path] if path == "dp" => Some(Response::new(Code::NOT_FOUND)),
        _ => accept_all(request),
    };
    for round in 0..2 {
        disconnect(&mut world);
        let first = 1 + 5 * round;
        numbers(&mut world, first..first + 5, 10);
        reconnect(&mut world);
        assert_eq!(
            values(&notified(&world, "/3303/0/5700")),
            (1..first + 5).collect::<Vec<_>>()
        );
    }
    // Together, alone, and after it was known nothing any more.
    let sends = world.requests.iter();
    let sends = sends.filter(|(_, request)| request.path == ["dp"]).count();
    assert!(sends <= 3, "{sends}");
    let status = world.client.servers().next().unwrap();
    assert_eq!(status.dropped.refused, 0);
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
fn what_was_measured_again_without_a_change_is_stored_once_in_the_longest_time() {
    let mut world = observing(SENML_CBOR);
    world.attributes("/3303/0/5700", &["pmax=60"]);
    disconnect(&mut world);
    for _ in 0..12 {
        number(&mut world, 0);
        world.seconds(15);
    }
    let kept: Vec<_> = world
        .kept
        .values()
        .map(|kept| kept.sample.at.mono)
        .collect();
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert!(
        kept.windows(2)
            .all(|pair| pair[1] - pair[0] == Duration::from_secs(60))
    );
}

#[test]
fn of_what_is_observed_together_only_what_has_changed_is_stored() {
    let other = ResourceAddress::gateway(3303, 1, 5700);
    let mut world = observing(SENML_CBOR);
    world.sample(other, Value::Float(20.0));
    observe(&mut world, "/3303", SENML_CBOR);
    disconnect(&mut world);
    world.seconds(10);
    world.sample(other, Value::Float(20.0));
    number(&mut world, 1);
    world.seconds(10);
    let kept: Vec<_> = world
        .kept
        .values()
        .map(|kept| kept.sample.address)
        .collect();
    assert_eq!(kept, [TEMPERATURE]);
}
