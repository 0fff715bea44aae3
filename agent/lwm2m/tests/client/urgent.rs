//! A way that is nearly used up: what is urgent leaves at once, all else waits for a better one.

use lamplighter_coap::Code;
use lamplighter_lwm2m::boundary::{Command, Input};
use lamplighter_model::Value;

use crate::{
    common::{SET_POINT, SSID, World},
    stored::{SENML_CBOR, notified, number, numbers, observe, observing, sent, unmute, values},
};

fn set_point(world: &mut World, value: f64) {
    world.sample(SET_POINT, Value::Float(value));
}

/// Restricted, and observing the temperature and the set point, which is a state.
fn restricted() -> World {
    let mut world = observing(SENML_CBOR);
    set_point(&mut world, 20.0);
    observe(&mut world, "/3308/0/5900", SENML_CBOR);
    world.confirmable = 0;
    world.input(Input::UrgentOnly(true));
    world
}

#[test]
fn what_is_measured_waits_and_arrives_with_its_times() {
    let mut world = restricted();
    numbers(&mut world, 1..11, 10);
    assert!(world.notifications.is_empty());
    world.input(Input::UrgentOnly(false));
    world.seconds(10);
    let told = notified(&world, "/3303/0/5700");
    assert_eq!(values(&told), (1..11).collect::<Vec<_>>());
    assert!(told.iter().all(|(time, _)| time.is_some()));
    assert!(world.kept.is_empty());
}

#[test]
fn a_state_is_told_at_once_and_once_more_with_its_time() {
    let mut world = restricted();
    number(&mut world, 1);
    set_point(&mut world, 21.0);
    assert_eq!((world.notifications.len(), world.confirmable), (1, 1));
    world.seconds(60);
    assert_eq!(world.notifications.len(), 1);
    unmute(&mut world);
    world.input(Input::UrgentOnly(false));
    world.seconds(10);
    assert!(world.kept.is_empty());
    assert_eq!(values(&sent(&world)), [1], "all that is stored by one Send");
}

#[test]
fn an_alarm_that_nobody_observes_goes_past_what_is_stored() {
    let mut world = restricted();
    unmute(&mut world);
    numbers(&mut world, 1..11, 10);
    let alarm = |present| Command::DeviceError { code: 16, present };
    world.input(Input::Command(alarm(true)));
    let sends = |world: &World| {
        let requests = world.requests.iter();
        requests.filter(|(_, one)| one.path == ["dp"]).count()
    };
    assert_eq!(sends(&world), 1);
    assert_eq!(sent(&world), [], "nothing came along");
    world.seconds(100);
    assert_eq!(sends(&world), 1);
    // What is asked for is answered, and the registration goes on.
    assert_eq!(world.put("/1/0/1", "300").code, Code::CHANGED);
    let before = world.requests.len();
    world.input(Input::Command(Command::Update(SSID)));
    assert_eq!(world.requests.len(), before + 1);
}

#[test]
fn without_a_store_the_latest_is_told_afterwards() {
    let mut world = restricted();
    assert_eq!(world.put("/1/0/6", "0").code, Code::CHANGED);
    numbers(&mut world, 1..4, 1);
    // There and back: both are told.
    set_point(&mut world, 22.0);
    set_point(&mut world, 20.0);
    assert_eq!(world.notifications.len(), 2);
    world.notifications.clear();
    world.input(Input::UrgentOnly(false));
    assert_eq!(values(&notified(&world, "/3303/0/5700")), [3]);
}

#[test]
fn without_a_store_a_state_that_was_lost_is_told_again() {
    let mut world = restricted();
    assert_eq!(world.put("/1/0/6", "0").code, Code::CHANGED);
    world.lossy = true;
    set_point(&mut world, 22.0);
    number(&mut world, 7);
    world.seconds(100);
    world.lossy = false;
    world.notifications.clear();
    world.seconds(3600);
    assert!(!world.notifications.is_empty());
}

/// More states than may wait for their confirmation: the agent waits, and does not ask again and again.
#[test]
fn without_room_nothing_is_due_until_something_is_confirmed() {
    let mut world = restricted();
    world.lossy = true;
    for value in 0..40 {
        set_point(&mut world, f64::from(value));
        let due = world.client.poll_timeout();
        assert!(
            due.is_none_or(|(due, _)| due > world.now),
            "{value}: {due:?}"
        );
    }
}

#[test]
fn what_cannot_be_delivered_is_stored_as_ever() {
    let mut world = restricted();
    unmute(&mut world);
    world.lossy = true;
    for value in 0..40 {
        set_point(&mut world, f64::from(value));
        world.seconds(10);
    }
    assert_eq!(world.kept.len(), 40);
    world.lossy = false;
    world.seconds(4000);
    assert_eq!(
        world.kept.len(),
        40,
        "registered again, and still restricted"
    );
    world.input(Input::UrgentOnly(false));
    world.seconds(60);
    assert!(world.kept.is_empty());
}
