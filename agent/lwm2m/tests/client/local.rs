//! People at the box: the same checks, the same path.

use std::time::Duration;

use lamplighter_coap::Code;
use lamplighter_lwm2m::boundary::{LocalAnswer, LocalOperation};
use lamplighter_model::{
    Path, Quality, Sample, Value,
    device::{Action, Answer, Fault, Origin},
};

use crate::common::{SET_POINT, TEMPERATURE, World};

fn path(text: &str) -> Path {
    text.parse().expect("a path")
}

#[test]
fn a_read_of_one_resource_goes_to_the_device() {
    let mut world = World::registered();
    world.local(LocalOperation::Read(path("/3303/0/5700")));
    assert_eq!(world.device[0].1.origin, Origin::Local("anna".to_owned()));
    let sample = Sample::good(TEMPERATURE, Value::Float(21.5), world.now().stamp());
    world.done(Ok(Answer {
        samples: vec![sample.clone()],
        failed: Vec::new(),
    }));
    assert_eq!(world.answers[0].1, Ok(LocalAnswer::Samples(vec![sample])));
}

#[test]
fn the_last_value_of_a_lost_device_is_shown_as_stale() {
    let mut world = World::registered();
    world.sample(TEMPERATURE, Value::Float(20.0));
    world.local(LocalOperation::Read(path("/3303/0/5700")));
    world.done(Err(Fault::Unreachable));
    let Ok(LocalAnswer::Samples(samples)) = &world.answers[0].1 else {
        panic!("{:?}", world.answers);
    };
    assert_eq!(
        (samples[0].quality, &samples[0].value),
        (Quality::Stale, &Value::Float(20.0))
    );
    world.local(LocalOperation::Read(path("/3308/0/5900")));
    world.done(Err(Fault::Unreachable));
    assert_eq!(
        world.answers[1].1.as_ref().unwrap_err().code,
        Code::GATEWAY_TIMEOUT
    );
}

#[test]
fn a_write_takes_its_holding_time_along() {
    let mut world = World::registered();
    let hold = Some(Duration::from_secs(7200));
    world.local(LocalOperation::Write {
        path: path("/3308/0/5900"),
        value: Value::Integer(21),
        hold,
    });
    let Action::Write { values, hold: kept } = &world.device[0].1.action else {
        panic!("{:?}", world.device);
    };
    assert_eq!(
        (values[0].address, &values[0].value, *kept),
        (SET_POINT, &Value::Float(21.0), hold)
    );
    world.done(Ok(Answer::default()));
    assert_eq!(world.answers[0].1, Ok(LocalAnswer::Done));
}

#[test]
fn the_checks_are_those_of_servers() {
    let mut world = World::registered();
    let write = |at: &str, value| LocalOperation::Write {
        path: path(at),
        value,
        hold: None,
    };
    for (operation, code) in [
        (LocalOperation::Read(path("/0/0/0")), Code::UNAUTHORIZED),
        (LocalOperation::Read(path("/50/0/0")), Code::NOT_FOUND),
        (
            LocalOperation::Read(path("/3303/0/5605")),
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            write("/3303/0/5700", Value::Float(1.0)),
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            write("/3308/0/5900", Value::Float(200.0)),
            Code::BAD_REQUEST,
        ),
        (
            write("/3308/0/5900", Value::Boolean(true)),
            Code::BAD_REQUEST,
        ),
        (
            LocalOperation::Execute {
                path: path("/3/0/4"),
                args: b"x".to_vec(),
            },
            Code::BAD_REQUEST,
        ),
        (LocalOperation::Discover(path("/3303/9")), Code::NOT_FOUND),
    ] {
        world.local(operation.clone());
        let (_, answer) = world.answers.pop().expect("an answer at once");
        assert_eq!(
            answer.map_err(|reject| reject.code),
            Err(code),
            "{operation:?}"
        );
    }
    assert!(world.device.is_empty());
}

#[test]
fn discover_and_wide_reads_answer_at_once() {
    let mut world = World::registered();
    world.sample(TEMPERATURE, Value::Float(20.0));
    world.local(LocalOperation::Read(path("/3303")));
    world.local(LocalOperation::Read(path("/3/0/0")));
    world.local(LocalOperation::Discover(path("/3303/1")));
    let [
        (_, Ok(LocalAnswer::Samples(wide))),
        (_, Ok(LocalAnswer::Samples(own))),
        (_, Ok(LocalAnswer::Links(links))),
    ] = &world.answers[..]
    else {
        panic!("{:?}", world.answers);
    };
    assert_eq!((wide.len(), own.len()), (1, 1));
    assert_eq!(links, "</3303/1>,</3303/1/5700>");

    world.local(LocalOperation::Discover(path("/")));
    let Some((_, Ok(LocalAnswer::Links(all)))) = world.answers.last() else {
        panic!("{:?}", world.answers);
    };
    assert!(
        all.contains("</3/0>") && all.contains("</3303/1>") && !all.contains("</0"),
        "{all}"
    );
}
