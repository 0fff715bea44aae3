//! When a server is told, and when not.

use std::time::Duration;

use lamplighter_coap::{Code, Request};
use lamplighter_lwm2m::boundary::Input;
use lamplighter_model::{
    ResourceAddress, Value,
    device::{Declaration, Declared, DeviceEvent},
    object::Operations,
};

use crate::common::{TEMPERATURE, World, accepting, get, text};

/// A server that observes the temperature, which is 20.
fn observing(attributes: &[&str]) -> World {
    let mut world = World::registered();
    if !attributes.is_empty() {
        assert_eq!(
            world.attributes("/3303/0/5700", attributes).code,
            Code::CHANGED
        );
    }
    world.sample(TEMPERATURE, Value::Float(20.0));
    observe(&mut world, "/3303/0/5700");
    world
}

/// Observes; a device that is asked has nothing newer than what is known.
fn observe(world: &mut World, path: &str) {
    world.request(Request {
        observe: Some(0),
        ..get(path)
    });
    while !world.device.is_empty() {
        world.done(Ok(lamplighter_model::device::Answer::default()));
    }
    let (_, response) = world.responses.last().expect("an answer");
    assert_eq!(
        (response.code, response.observe.is_some()),
        (Code::CONTENT, true),
        "{response:?}"
    );
}

fn told(world: &World) -> Vec<String> {
    world
        .notifications
        .iter()
        .map(|(_, _, response)| text(response).to_owned())
        .collect()
}

fn celsius(world: &mut World, value: f64) {
    world.sample(TEMPERATURE, Value::Float(value));
}

#[test]
fn a_change_is_told_at_once_and_the_same_value_is_not() {
    let mut world = observing(&[]);
    celsius(&mut world, 21.0);
    assert_eq!(told(&world), ["21"]);
    celsius(&mut world, 21.0);
    world.seconds(3000);
    assert_eq!(told(&world), ["21"]);
}

#[test]
fn pmin_delays_and_tells_the_newest() {
    let mut world = observing(&["pmin=10"]);
    world.seconds(4);
    celsius(&mut world, 21.0);
    celsius(&mut world, 22.0);
    world.wait(Duration::from_millis(5900));
    assert!(told(&world).is_empty());
    world.wait(Duration::from_millis(200));
    assert_eq!(told(&world), ["22"]);
}

#[test]
fn a_change_that_went_back_within_pmin_is_told_all_the_same() {
    let mut world = observing(&["pmin=10"]);
    celsius(&mut world, 25.0);
    celsius(&mut world, 20.0);
    world.seconds(11);
    assert_eq!(told(&world), ["20"]);
}

#[test]
fn pmax_tells_even_what_has_not_changed() {
    let mut world = observing(&["pmin=5", "pmax=30"]);
    world.seconds(95);
    assert_eq!(told(&world), ["20", "20", "20"]);
}

#[test]
fn a_pmax_below_pmin_is_ignored() {
    let mut world = observing(&["pmin=30", "pmax=10"]);
    world.seconds(300);
    assert!(told(&world).is_empty());
}

#[test]
fn the_defaults_of_the_account_count_at_once() {
    let mut world = observing(&[]);
    world.put("/1/0/3", "20");
    world.seconds(45);
    assert_eq!(told(&world).len(), 2);
    world.put("/1/0/2", "50");
    celsius(&mut world, 21.0);
    world.seconds(15);
    assert_eq!(
        told(&world).len(),
        2,
        "pmin of 50 s holds it back, and outdoes pmax"
    );
    world.seconds(40);
    assert_eq!(told(&world).len(), 3);
}

#[test]
fn attributes_written_during_an_observation_count_at_once() {
    let mut world = observing(&[]);
    world.seconds(100);
    world.attributes("/3303", &["pmax=5"]);
    world.seconds(1);
    assert_eq!(told(&world).len(), 1, "pmax is long over");
}

#[test]
fn conditions_compare_with_what_was_last_told() {
    for (attributes, values, expected) in [
        (&["gt=45", "st=10"][..], &[50.0][..], &["50"][..]),
        (&["gt=25"], &[22.0, 25.0, 25.5], &["25.5"]),
        (&["gt=25"], &[26.0, 27.0, 24.0], &["26", "24"]),
        (&["lt=15"], &[16.0, 15.0, 14.0, 16.0], &["14", "16"]),
        (&["st=5"], &[24.0, 25.0, 21.0, 20.0], &["25", "20"]),
        (
            &["lt=5", "gt=40", "st=10"],
            &[29.0, 30.0, 41.0],
            &["30", "41"],
        ),
    ] {
        let mut world = observing(attributes);
        values.iter().for_each(|value| celsius(&mut world, *value));
        assert_eq!(told(&world), expected, "{attributes:?} {values:?}");
    }
}

#[test]
fn changes_in_one_turn_make_one_notification() {
    let mut world = World::registered();
    world.sample(TEMPERATURE, Value::Float(20.0));
    observe(&mut world, "/3303");
    let at = world.now().stamp();
    let sample = |instance, value| {
        let address = ResourceAddress::gateway(3303, instance, 5700);
        lamplighter_model::Sample::good(address, Value::Float(value), at)
    };
    let samples = vec![sample(0, 1.0), sample(1, 2.0), sample(0, 3.0)];
    world.seconds(2);
    world.input(Input::Device(DeviceEvent::Changed(samples)));
    assert_eq!(world.notifications.len(), 1);
}

#[test]
fn a_whole_object_is_told_at_most_once_a_second() {
    let mut world = World::registered();
    celsius(&mut world, 20.0);
    observe(&mut world, "/3303");
    for tenth in 1..=25 {
        celsius(&mut world, f64::from(tenth));
        world.wait(Duration::from_millis(100));
    }
    assert_eq!(world.notifications.len(), 2);
}

#[test]
fn changes_elsewhere_are_not_told() {
    let mut world = observing(&[]);
    world.sample(ResourceAddress::gateway(3303, 1, 5700), Value::Float(1.0));
    world.sample(crate::common::SET_POINT, Value::Float(1.0));
    assert!(told(&world).is_empty());
}

#[test]
fn an_observation_ends_by_observe_1_and_the_value_is_told_a_last_time() {
    let mut world = World::registered();
    let id = world.server.request(
        Request {
            observe: Some(0),
            ..get("/3/0/0")
        },
        world.now,
    );
    world.run();
    world.server.stop_observing(id, world.now);
    world.run();
    let (_, response) = world.responses.last().unwrap();
    assert_eq!((response.code, response.observe), (Code::CONTENT, None));
    assert_eq!(world.client.servers().next().unwrap().observations, 0);
}

#[test]
fn observe_1_ends_the_observation_of_a_device_that_does_not_answer() {
    let mut world = World::registered();
    world.sample(TEMPERATURE, Value::Float(20.0));
    let id = world.server.request(
        Request {
            observe: Some(0),
            ..get("/3303/0/5700")
        },
        world.now,
    );
    world.run();
    world.done(Ok(lamplighter_model::device::Answer::default()));
    world.server.stop_observing(id, world.now);
    world.run();
    world.done(Err(lamplighter_model::device::Fault::Unreachable));
    let (_, response) = world.responses.last().unwrap();
    assert_eq!(response.code, Code::GATEWAY_TIMEOUT);
    assert_eq!(world.client.servers().next().unwrap().observations, 0);
}

#[test]
fn a_flood_of_notifications_does_not_hide_the_end_of_a_confirmable_one() {
    let mut world = observing(&[]);
    world.seconds(24 * 3600);
    // The confirmable one, not acknowledged, while another observation floods.
    world.lossy = true;
    celsius(&mut world, 21.0);
    world.lossy = false;
    observe(&mut world, "/3/0/11");
    for number in 0..2_100 {
        let error = lamplighter_lwm2m::boundary::Command::DeviceError {
            code: 16,
            present: number % 2 == 0,
        };
        world.input(Input::Command(error));
    }
    world.seconds(10);
    celsius(&mut world, 22.0);
    world.seconds(5);
    let newest = |(_, _, response): &(_, _, lamplighter_coap::Response)| response.payload == b"22";
    assert!(world.notifications.iter().any(newest));
}

#[test]
fn a_reset_ends_the_observation() {
    let mut world = World::registered();
    world.sample(TEMPERATURE, Value::Float(20.0));
    let id = world.server.request(
        Request {
            observe: Some(0),
            ..get("/3303/0/5700")
        },
        world.now,
    );
    world.run();
    world.done(Ok(lamplighter_model::device::Answer::default()));
    assert_eq!(world.client.servers().next().unwrap().observations, 1);
    world.server.cancel(id);
    celsius(&mut world, 21.0);
    assert_eq!(world.client.servers().next().unwrap().observations, 0);
}

#[test]
fn an_observation_of_what_disappears_ends_with_not_found() {
    let mut world = observing(&[]);
    let removed = vec![TEMPERATURE];
    world.input(Input::Device(DeviceEvent::Declared(Declared {
        added: Vec::new(),
        removed,
    })));
    let (_, _, last) = world.notifications.last().unwrap();
    assert_eq!((last.code, last.observe), (Code::NOT_FOUND, None));
    assert_eq!(world.client.servers().next().unwrap().observations, 0);
}

#[test]
fn a_new_instance_is_told_to_who_observes_the_object_and_to_the_registration() {
    let mut world = World::registered();
    observe(&mut world, "/3303");
    let address = ResourceAddress::gateway(3303, 7, 5700);
    let added = vec![Declaration {
        address,
        operations: Operations::R,
    }];
    world.input(Input::Device(DeviceEvent::Declared(Declared {
        added,
        removed: Vec::new(),
    })));
    world.seconds(2);
    assert_eq!(world.notifications.len(), 1);
    let (_, update) = world.requests.last().unwrap();
    assert!(String::from_utf8_lossy(&update.payload).contains("</3303/7>"));
}

#[test]
fn a_confirmable_notification_goes_out_every_day() {
    let mut world = observing(&["pmax=3600"]);
    world.put("/1/0/1", "4000000");
    let before = world.client.servers().next().unwrap();
    assert_eq!(before.observations, 1);
    world.seconds(25 * 3600);
    assert_eq!(told(&world).len(), 25);
    // A server that stops to listen is found out by it: nobody acknowledges, an Update follows.
    let updates = world.times(&["rd", "5a3f"]).len();
    world.lossy = true;
    world.seconds(24 * 3600 + 200);
    world.lossy = false;
    world.seconds(6000);
    assert!(world.times(&["rd", "5a3f"]).len() + world.times(&["rd"]).len() > updates + 1);
}

#[test]
fn object_one_can_be_observed_too() {
    let mut world = World::registered();
    observe(&mut world, "/1/0/2");
    world.put("/1/0/2", "7");
    assert_eq!(
        told(&world),
        Vec::<String>::new(),
        "the new pmin holds it back"
    );
    world.seconds(8);
    assert_eq!(told(&world), ["7"]);
}

#[test]
fn notifications_keep_the_format_of_the_first_answer() {
    for (accept, payload) in [
        (60, &b"\xF9\x4D\x40"[..]),
        (11543, br#"{"bn":"/3303/0/5700","e":[{"v":21}]}"#),
        (11544, b"\xA1\x83\x19\x0C\xE7\x00\x19\x16\x44\xF9\x4D\x40"),
    ] {
        let mut world = World::registered();
        world.sample(TEMPERATURE, Value::Float(20.0));
        world.request(Request {
            observe: Some(0),
            ..accepting("/3303/0/5700", accept)
        });
        world.done(Ok(lamplighter_model::device::Answer::default()));
        celsius(&mut world, 21.0);
        let (_, _, told) = world.notifications.last().expect("a notification");
        assert_eq!(told.content_format, Some(accept));
        assert_eq!(
            String::from_utf8_lossy(&told.payload),
            String::from_utf8_lossy(payload)
        );
    }
}

#[test]
fn what_is_gone_is_told_whatever_else_is_observed() {
    let mut world = observing(&[]);
    world.sample(crate::common::SET_POINT, Value::Float(1.0));
    for path in ["/3303", "/3308", "/3308/0", "/3308/0/5900"] {
        observe(&mut world, path);
    }
    world.input(Input::Device(DeviceEvent::Declared(Declared {
        added: Vec::new(),
        removed: vec![TEMPERATURE],
    })));
    let (_, _, last) = world.notifications.last().unwrap();
    assert_eq!((last.code, last.observe), (Code::NOT_FOUND, None));
}

#[test]
fn a_new_instance_is_not_told_to_who_observes_another() {
    let mut world = World::registered();
    celsius(&mut world, 20.0);
    observe(&mut world, "/3303/0");
    let declaration = Declaration {
        address: ResourceAddress::gateway(3303, 7, 5700),
        operations: Operations::R,
    };
    world.input(Input::Device(DeviceEvent::Declared(Declared {
        added: vec![declaration],
        removed: Vec::new(),
    })));
    world.seconds(5);
    assert!(world.notifications.is_empty());
}
