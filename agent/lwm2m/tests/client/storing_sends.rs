//! Sends on request and by themselves, and samples whose date is not known.

use std::sync::Arc;

use lamplighter_coap::Code;
use lamplighter_lwm2m::{
    boundary::{Command, Input, LocalAnswer, RequestId, SendRequest},
    client::ClientConfig,
    format::{self, Content, ContentFormat},
};
use lamplighter_model::{
    Path, ResourceAddress, Sample, Value,
    device::{Declaration, Declared, DeviceEvent},
    object::Operations,
    tables,
};

use crate::{
    common::{World, accept_all, config},
    stored::{
        SENML_CBOR, disconnect, notified, number, numbers, observing, reconnect, sent, unix, unmute,
    },
};

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
        samples: Vec::new(),
        ssid: None,
        user: Some("anna".to_owned()),
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

/// A box with all that the registry defines, and resources of object 20.
fn logging() -> World {
    let config = ClientConfig {
        definitions: Arc::new(tables::standard()),
        ..config()
    };
    let mut world = World::without_devices(config, accept_all);
    world.run();
    let declaration = |(resource, operations)| Declaration {
        address: ResourceAddress::gateway(20, 0, resource),
        operations,
    };
    let added = [(4014, Operations::R), (4016, Operations::NONE)].map(declaration);
    world.input(Input::Device(DeviceEvent::Declared(Declared {
        added: added.to_vec(),
        removed: Vec::new(),
    })));
    world
}

fn tell(world: &mut World, address: ResourceAddress) {
    let lines = Value::Opaque(b"a\nb".to_vec());
    let request = SendRequest {
        paths: Vec::new(),
        samples: vec![Sample::good(address, lines, world.now().stamp())],
        ssid: None,
        user: None,
    };
    world.input(Input::Command(Command::Send(RequestId(9), request)));
}

#[test]
fn what_is_only_sent_cannot_be_read_and_its_values_come_along() {
    let mut world = logging();
    let increment = ResourceAddress::gateway(20, 0, 4016);
    // lwm2m/70, object 20: 4016 stands in a Send only.
    assert_eq!(world.get("/20/0/4016").code, Code::METHOD_NOT_ALLOWED);
    assert_eq!(world.put("/20/0/4016", "x").code, Code::METHOD_NOT_ALLOWED);
    let before = world.events.len();
    tell(&mut world, increment);
    assert_eq!(world.answers, [(RequestId(9), Ok(LocalAnswer::Done))]);
    let (_, request) = world.requests.last().unwrap();
    assert_eq!(request.path, ["dp"]);
    let definitions = Arc::clone(world.tree.definitions());
    let format = ContentFormat::SenmlCbor;
    let sent = format::decode(format, Path::Root, "", &request.payload, &definitions).unwrap();
    assert_eq!(sent.nodes[0].path, increment.path);
    let lines = Content::Single(Value::Opaque(b"a\nb".to_vec()));
    assert_eq!(sent.nodes[0].content, lines);
    assert_eq!(world.events.len(), before, "nobody asked for it");
}

#[test]
fn a_value_of_what_does_not_exist_does_not_come_along() {
    let mut world = logging();
    let sends = world.requests.len();
    tell(&mut world, ResourceAddress::gateway(20, 7, 4016));
    let (_, answer) = world.answers.last().unwrap();
    let refused = answer.as_ref().unwrap_err().to_string();
    assert_eq!(refused, "4.04 the resource does not exist");
    assert_eq!(world.requests.len(), sends);
}
