//! The adapter of the box itself, as its supervisor calls it.

use lamplighter_model::{BootId, ResourceInstanceId, Stamp, Value};

use super::*;
use crate::{
    events::{Class, LoadedLog, News},
    fake::now_at,
};

fn log() -> EventLog {
    EventLog::new(|| now_at(100), LoadedLog::default(), None)
}

fn system(log: &EventLog) -> System {
    let clock = Clock::new(|| Stamp {
        boot: BootId(1),
        mono: Duration::ZERO,
    });
    System::new(clock, "/".into(), log.clone())
}

fn address(instance: InstancePath) -> InstanceAddress {
    InstanceAddress {
        scope: Scope::Gateway,
        path: instance,
    }
}

/// The newest value among samples.
fn value(samples: &[Sample], resource: ResourceAddress) -> Option<&Value> {
    let mut of = samples.iter().rev();
    of.find(|sample| sample.address == resource)
        .map(|sample| &sample.value)
}

async fn news(system: &mut System) -> Vec<Sample> {
    loop {
        if let Wake::News(samples) = system.wait().await.unwrap() {
            return samples;
        }
    }
}

const SECURITY: InstancePath = InstancePath::new(20, 0);

#[tokio::test(start_paused = true)]
async fn interfaces_then_memory_are_due_at_start_and_every_half_a_minute() {
    let log = log();
    let mut system = system(&log);
    let start = Instant::now();
    let mut due = Vec::new();
    while due.len() < 4 {
        if let Wake::Due(instance, resources) = system.wait().await.unwrap() {
            let samples = system.read(instance, &resources).await.unwrap();
            assert!(!samples.is_empty());
            due.push((instance.path.object.0, start.elapsed().as_secs()));
        }
    }
    assert_eq!(due, [(4, 0), (3, 0), (4, 30), (3, 30)]);
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_declared_of_the_log_is_told_at_once() {
    let log = log();
    let mut system = system(&log);
    let told = news(&mut system).await;
    for declaration in log::declarations().filter(|declaration| declaration.operations.read) {
        assert!(
            value(&told, declaration.address).is_some(),
            "{}",
            declaration.address
        );
    }
    assert_eq!(value(&told, at(SECURITY, 4010)), Some(&Value::Integer(2)));
    assert_eq!(value(&told, at(SECURITY, 4013)), Some(&Value::Integer(0)));
    assert!(
        told.iter()
            .all(|sample| sample.index.is_none_or(|ResourceInstanceId(id)| id == 0))
    );
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_events_is_told_once_a_second() {
    let log = log();
    let mut system = system(&log);
    news(&mut system).await;
    let start = Instant::now();
    for _ in 0..50 {
        log.tell(News::new(Class::Security, "refused"));
    }
    let told = news(&mut system).await;
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    assert_eq!(
        value(&told, at(SECURITY, 4013)),
        Some(&Value::Integer(0b10))
    );
    let Some(Value::Opaque(data)) = value(&told, at(SECURITY, 4014)) else {
        panic!("{told:?}");
    };
    assert_eq!(data.iter().filter(|byte| **byte == b'\n').count(), 49);
}

#[tokio::test(start_paused = true)]
async fn a_server_stops_and_starts_the_log() {
    let log = log();
    let mut system = system(&log);
    log.tell(News::new(Class::Security, "refused"));
    for (resource, args, status) in [
        (4012, &b""[..], 0b11),
        (4011, b"0='1'", 0b10),
        (4012, b"0='1'", 0b01),
        (4011, b"0", 0b00),
    ] {
        system.execute(at(SECURITY, resource), args).await.unwrap();
        let wanted = [ResourceId(4013)];
        let samples = system.read(address(SECURITY), &wanted).await.unwrap();
        let shown = value(&samples, at(SECURITY, 4013));
        assert_eq!(shown, Some(&Value::Integer(status)), "{resource} {args:?}");
        assert_eq!(samples.len(), 1);
    }
    for args in [&b"1"[..], b"0='2'", b"0='1',1", b"0=''"] {
        let refused = system.execute(at(SECURITY, 4011), args).await;
        assert!(matches!(refused, Err(Fault::BadValue(_))), "{args:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn class_and_format_are_written_together_or_not_at_all() {
    let log = log();
    let mut system = system(&log);
    let write = |class, format| {
        [(4010, class), (4015, format)].map(|(resource, number)| Assignment {
            address: at(SECURITY, resource),
            index: None,
            value: Value::Integer(number),
        })
    };
    system.write(&write(3, 2)).await.unwrap();
    let refused = system.write(&write(1, 9)).await;
    assert!(matches!(refused, Err(Fault::BadValue(_))));
    let wanted = [ResourceId(4010), ResourceId(4015)];
    let samples = system.read(address(SECURITY), &wanted).await.unwrap();
    assert_eq!(
        value(&samples, at(SECURITY, 4010)),
        Some(&Value::Integer(3))
    );
    assert_eq!(
        value(&samples, at(SECURITY, 4015)),
        Some(&Value::Integer(2))
    );
}

#[tokio::test]
async fn what_is_not_ours_is_refused() {
    let log = log();
    let mut system = system(&log);
    let other = InstancePath::new(20, 2);
    assert!(
        system
            .read(address(other), &[ResourceId(4014)])
            .await
            .is_err()
    );
    assert!(system.execute(at(SECURITY, 4014), b"").await.is_err());
}
