//! The adapter behind the supervisor, as in the product.

use lamplighter_adapters::{AdapterHandle, Limits, Port, supervise};
use lamplighter_model::{
    Value,
    device::{Action, AdapterEvent, AdapterRequest, Answer, Assignment, Fault, LinkState, OpId},
};

use super::*;

/// The adapter probes an offline device itself; the supervisor adds no pause of its own.
fn limits() -> Limits {
    Limits {
        retry_first: Duration::ZERO,
        retry_max: Duration::ZERO,
        ..Limits::default()
    }
}

/// A device with two points in two instances, read together, and its slave's switch to be mute.
fn supervised() -> (AdapterHandle, Units, Arc<AtomicU32>) {
    let (units, mute) = (counting_units(&[1]), Arc::new(AtomicU32::new(0)));
    let script = {
        let mute = Arc::clone(&mute);
        move |_: &Seen| {
            if mute.load(Ordering::Relaxed) == 1 {
                Behaviour::Mute
            } else {
                Behaviour::Answer
            }
        }
    };
    let (bus, _) = start(rtu_settings(), &units, script);
    let mut config = DeviceConfig::new("ahu", 1);
    let codec = plain(RegisterType::U16, DataType::Integer);
    config.points = vec![
        point("first", (3303, 0, 5700), Table::Holding, 3, codec.clone()),
        point("second", (3303, 1, 5700), Table::Holding, 4, codec),
    ];
    let (handle, port) = Port::pair();
    tokio::spawn(supervise(device(config, &bus), port, clock(), limits()));
    (handle, units, mute)
}

/// The next event that `wanted` picks; everything before it is passed over.
async fn event<T>(handle: &mut AdapterHandle, wanted: impl Fn(&AdapterEvent) -> Option<T>) -> T {
    loop {
        let event = handle.events.recv().await.unwrap();
        if let Some(found) = wanted(&event) {
            return found;
        }
    }
}

async fn link(handle: &mut AdapterHandle, wanted: LinkState) {
    event(handle, |event| {
        matches!(event, AdapterEvent::Link(state, _) if *state == wanted).then_some(())
    })
    .await;
}

async fn value(handle: &mut AdapterHandle, instance: u16) -> Value {
    let address = ResourceAddress::gateway(3303, instance, 5700);
    event(handle, |event| {
        let AdapterEvent::Changed(samples) = event else {
            return None;
        };
        samples
            .iter()
            .find(|sample| sample.address == address)
            .map(|sample| sample.value.clone())
    })
    .await
}

async fn done(handle: &mut AdapterHandle) -> Result<Answer, Fault> {
    event(handle, |event| {
        let AdapterEvent::Done(_, result) = event else {
            return None;
        };
        Some(result.clone())
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn one_request_feeds_all_its_instances() {
    let (mut handle, units, _) = supervised();
    assert_eq!(value(&mut handle, 1).await, Value::Integer(4));
    units.with(1, |bank| bank.holding.insert(4, 40));
    let before = Instant::now();
    assert_eq!(value(&mut handle, 1).await, Value::Integer(40));
    assert!(
        before.elapsed() <= Duration::from_millis(1100),
        "{:?}",
        before.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_is_done_when_it_was_read_back_and_the_new_value_is_told() {
    let (mut handle, units, _) = supervised();
    value(&mut handle, 0).await;
    let address = ResourceAddress::gateway(3303, 0, 5700);
    let values = vec![Assignment {
        address,
        index: None,
        value: Value::Integer(77),
    }];
    let request = AdapterRequest {
        op: OpId(1),
        action: Action::Write { values, hold: None },
    };
    handle.try_send(request).unwrap();
    let before = Instant::now();
    assert_eq!(value(&mut handle, 0).await, Value::Integer(77));
    assert!(done(&mut handle).await.is_ok());
    assert_eq!(units.with(1, |bank| bank.holding[&3]), 77);
    assert!(
        before.elapsed() < Duration::from_millis(200),
        "{:?}",
        before.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_device_goes_offline_and_comes_back_with_its_probe() {
    let (mut handle, _, mute) = supervised();
    link(&mut handle, LinkState::Online).await;
    mute.store(1, Ordering::Relaxed);
    link(&mut handle, LinkState::Offline).await;
    let address = ResourceAddress::gateway(3303, 0, 5700);
    tokio::time::sleep(Duration::from_secs(30)).await;
    handle
        .try_send(AdapterRequest {
            op: OpId(1),
            action: Action::Read(vec![address]),
        })
        .unwrap();
    assert_eq!(done(&mut handle).await, Err(Fault::Unreachable));
    mute.store(0, Ordering::Relaxed);
    let before = Instant::now();
    link(&mut handle, LinkState::Online).await;
    // After half a minute the pauses have grown to 40 s at most.
    assert!(
        before.elapsed() < Duration::from_secs(51),
        "{:?}",
        before.elapsed()
    );
}
