//! The adapter: what it reads and writes, and how it says that it could not.

use std::sync::Mutex;

use lamplighter_adapters::{
    Adapter, Wake,
    modbus::{Scaling, Table},
};
use lamplighter_model::{
    Decimal, InstanceAddress, InstancePath, Quality, ResourceId, Sample, Scope, Value,
    device::{Assignment, Fault, LinkState},
};

use super::*;

/// The air handler of field-example.toml.
fn air_handler() -> DeviceConfig {
    let mut config = DeviceConfig::new("ahu1", 17);
    let tenths = PointCodec {
        scaling: Scaling {
            scale: Decimal::new(1, -1),
            offset: Decimal::new(0, 0),
        },
        invalid: vec![Decimal::from(32767)],
        ..plain(RegisterType::I16, DataType::Float)
    };
    let modes = PointCodec {
        map: [(0, "cool".to_owned()), (1, "heat".to_owned())].into(),
        ..plain(RegisterType::U16, DataType::String)
    };
    let switch = plain(RegisterType::Bool, DataType::Boolean);
    config.points = vec![
        point(
            "supply_air",
            (3303, 0, 5700),
            Table::Input,
            3,
            tenths.clone(),
        ),
        point("setpoint", (3308, 0, 5900), Table::Holding, 5, tenths),
        point("mode", (3306, 0, 5853), Table::Holding, 1, modes),
        point(
            "compressor",
            (3306, 0, 5850),
            Table::Coil,
            14,
            switch.clone(),
        ),
        point("heater", (3306, 1, 5850), Table::Coil, 15, switch),
        point(
            "runtime",
            (3306, 0, 5852),
            Table::Holding,
            10,
            plain(RegisterType::U32, DataType::Integer),
        ),
    ];
    config
}

fn air_handler_registers() -> Units {
    let units = counting_units(&[17]);
    units.with(17, |bank| {
        bank.input.insert(3, 215);
        bank.holding.extend([(1, 1), (5, 220), (10, 1), (11, 2)]);
    });
    units
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// The air handler, its registers and what it was asked.
fn air_handler_with(
    script: impl Fn(&Seen) -> Behaviour + Clone + Send + 'static,
) -> (ModbusDevice, Units, Log) {
    let (units, log) = (air_handler_registers(), Log::default());
    let script = {
        let log = Arc::clone(&log);
        move |seen: &Seen| {
            log.lock().unwrap().push(seen.clone());
            script(seen)
        }
    };
    let (bus, _) = start(rtu_settings(), &units, script);
    (device(air_handler(), &bus), units, log)
}

fn obedient() -> (ModbusDevice, Units, Log) {
    air_handler_with(|_| Behaviour::Answer)
}

fn instance(object: u16, instance: u16) -> InstanceAddress {
    InstanceAddress {
        scope: Scope::Gateway,
        path: InstancePath::new(object, instance),
    }
}

fn set(resource: (u16, u16, u16), value: Value) -> Assignment {
    Assignment {
        address: ResourceAddress::gateway(resource.0, resource.1, resource.2),
        index: None,
        value,
    }
}

fn value_of(samples: &[Sample], resource: (u16, u16, u16)) -> (Value, Quality) {
    let address = ResourceAddress::gateway(resource.0, resource.1, resource.2);
    let sample = samples
        .iter()
        .find(|sample| sample.address == address)
        .unwrap();
    (sample.value.clone(), sample.quality)
}

const SETPOINT: (u16, u16, u16) = (3308, 0, 5900);

#[tokio::test(start_paused = true)]
async fn everything_is_due_soon_and_read_in_three_requests() {
    let (mut device, _, log) = obedient();
    assert_eq!(device.declared().len(), 6);
    let mut samples = Vec::new();
    for _ in 0..3 {
        let Ok(Wake::Due(instance, resources)) = device.wait().await else {
            panic!("a Modbus device only says what is due");
        };
        samples.extend(device.read(instance, &resources).await.unwrap());
    }
    assert_eq!(samples.len(), 6);
    let good = |value| (value, Quality::Good);
    assert_eq!(
        value_of(&samples, (3303, 0, 5700)),
        good(Value::Decimal("21.5".parse().unwrap()))
    );
    assert_eq!(
        value_of(&samples, SETPOINT),
        good(Value::Decimal("22".parse().unwrap()))
    );
    assert_eq!(
        value_of(&samples, (3306, 0, 5853)),
        good(Value::String("heat".into()))
    );
    assert_eq!(
        value_of(&samples, (3306, 0, 5850)),
        good(Value::Boolean(false))
    );
    assert_eq!(
        value_of(&samples, (3306, 1, 5850)),
        good(Value::Boolean(true))
    );
    assert_eq!(
        value_of(&samples, (3306, 0, 5852)),
        good(Value::Integer(65538))
    );
    let asked: Vec<_> = log
        .lock()
        .unwrap()
        .iter()
        .map(|seen| (seen.function, seen.at, seen.count))
        .collect();
    let mut sorted = asked.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [(1, 14, 2), (3, 1, 11), (4, 3, 1)]);
    // Each comes again after its period, and only then.
    let mut due = Vec::new();
    let before = Instant::now();
    while before.elapsed() < Duration::from_secs(10) {
        let Ok(Wake::Due(instance, resources)) = device.wait().await else {
            panic!("a Modbus device only says what is due");
        };
        device.read(instance, &resources).await.unwrap();
        due.push(Instant::now());
    }
    assert!((30..=33).contains(&due.len()), "{}", due.len());
    let closest = due.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
    assert!(
        closest > Duration::from_millis(250),
        "requests are spread, not bunched: {closest:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_read_takes_only_the_requests_that_bring_its_resources() {
    let (mut device, _, log) = obedient();
    let samples = device
        .read(instance(3303, 0), &[ResourceId(5700)])
        .await
        .unwrap();
    assert_eq!(samples.len(), 1);
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_is_read_back_and_shows_up_at_once() {
    let (mut device, units, log) = obedient();
    let writes = [
        set(SETPOINT, Value::Float(19.5)),
        set((3306, 0, 5853), Value::String("cool".into())),
        set((3306, 0, 5850), Value::Boolean(true)),
        set((3306, 0, 5852), Value::Integer(0x0102_0304)),
    ];
    device.write(&writes).await.unwrap();
    units.with(17, |bank| {
        assert_eq!(
            (bank.holding[&5], bank.holding[&1], bank.coils[&14]),
            (195, 0, true)
        );
        assert_eq!((bank.holding[&10], bank.holding[&11]), (0x0102, 0x0304));
    });
    let functions: Vec<_> = log
        .lock()
        .unwrap()
        .iter()
        .map(|seen| seen.function)
        .collect();
    assert_eq!(functions, [6, 3, 6, 3, 5, 1, 16, 3]);
    let told: Vec<_> = device
        .take_read_back()
        .into_iter()
        .map(|sample| (sample.address, sample.value.to_string()))
        .collect();
    let written: Vec<_> = writes
        .iter()
        .map(|write| (write.address, write.value.to_string()))
        .collect();
    assert_eq!(told, written);
    assert_eq!(device.take_read_back(), []);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_when_one_of_several_values_cannot_be() {
    let (mut device, _, log) = obedient();
    let writes = [
        set(SETPOINT, Value::Float(19.5)),
        set((3306, 0, 5853), Value::String("dry".into())),
    ];
    assert!(matches!(
        device.write(&writes).await,
        Err(Fault::BadValue(_))
    ));
    assert!(log.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_value_that_does_not_read_back_is_a_fault_unless_it_is_near() {
    let units = air_handler_registers();
    // The controller clamps its set point.
    let clamp = units.clone();
    let (bus, _) = start(rtu_settings(), &units, move |seen: &Seen| {
        if seen.function == 3 {
            clamp.with(17, |bank| bank.holding.insert(5, bank.holding[&5].min(280)));
        }
        Behaviour::Answer
    });
    let mut strict = device(air_handler(), &bus);
    assert!(matches!(
        strict.write(&[set(SETPOINT, Value::Float(28.4))]).await,
        Err(Fault::Device(_))
    ));
    let mut config = air_handler();
    let verify = Verify {
        tolerance: Some("0.5".parse().unwrap()),
        settle: Duration::from_millis(200),
    };
    config.points[1].write.as_mut().unwrap().verify = Some(verify);
    let mut lenient = device(config, &bus);
    let before = Instant::now();
    assert_eq!(
        lenient.write(&[set(SETPOINT, Value::Float(28.4))]).await,
        Ok(())
    );
    assert!(before.elapsed() >= verify.settle);
    assert!(
        lenient
            .write(&[set(SETPOINT, Value::Float(28.6))])
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn refusals_of_the_device_become_the_faults_that_they_mean() {
    for (code, on_read, on_write, attempts) in [
        (1, Fault::Unsupported, Fault::Unsupported, 1),
        (2, Fault::Unsupported, Fault::Unsupported, 1),
        (
            3,
            Fault::Device(String::new()),
            Fault::BadValue(String::new()),
            1,
        ),
        (
            4,
            Fault::Device(String::new()),
            Fault::Device(String::new()),
            1,
        ),
        (6, Fault::Busy, Fault::Busy, 6),
        (0x0B, Fault::Unreachable, Fault::Unreachable, 1),
    ] {
        let (mut device, _, log) = air_handler_with(move |_| Behaviour::Exception(code));
        let stats = device.stats();
        let kind = |fault: &Fault| std::mem::discriminant(fault);
        let fault = device
            .read(instance(3303, 0), &[ResourceId(5700)])
            .await
            .unwrap_err();
        assert_eq!(kind(&fault), kind(&on_read), "exception {code} on a read");
        assert_eq!(log.lock().unwrap().len(), attempts, "exception {code}");
        let fault = device
            .write(&[set(SETPOINT, Value::Float(20.0))])
            .await
            .unwrap_err();
        assert_eq!(kind(&fault), kind(&on_write), "exception {code} on a write");
        assert_eq!(stats.borrow().exceptions[&code], 2 * attempts as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_busy_for_a_moment_is_asked_again() {
    let asked = Arc::new(AtomicU32::new(0));
    let (mut device, ..) = air_handler_with(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0..3 => Behaviour::Exception(6),
        _ => Behaviour::Answer,
    });
    assert!(
        device
            .read(instance(3303, 0), &[ResourceId(5700)])
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_device_times_out_then_is_offline_and_costs_nothing() {
    let (mut device, _, log) = air_handler_with(|_| Behaviour::Mute);
    let stats = device.stats();
    for _ in 0..3 {
        assert_eq!(
            device
                .read(instance(3306, 0), &[ResourceId(5850), ResourceId(5853)])
                .await,
            Err(Fault::Timeout)
        );
    }
    // Two attempts each, and none for the second request of a device that is silent.
    assert_eq!(log.lock().unwrap().len(), 6);
    assert_eq!(stats.borrow().state, LinkState::Offline);
    let before = Instant::now();
    assert_eq!(
        device.read(instance(3303, 0), &[ResourceId(5700)]).await,
        Err(Fault::Unreachable)
    );
    assert_eq!(before.elapsed(), Duration::ZERO);
    // A command is tried all the same, once.
    assert_eq!(
        device.write(&[set(SETPOINT, Value::Float(20.0))]).await,
        Err(Fault::Timeout)
    );
    assert_eq!(log.lock().unwrap().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_down_is_unreachable() {
    let units = air_handler_registers();
    let (bus, _) = start(rtu_settings(), &units, |_: &Seen| Behaviour::HangUp);
    let mut device = device(air_handler(), &bus);
    assert_eq!(
        device.read(instance(3303, 0), &[ResourceId(5700)]).await,
        Err(Fault::Unreachable)
    );
    assert!(!bus.state().borrow().open);
}

#[tokio::test(start_paused = true)]
async fn what_the_device_does_not_have_is_unsupported() {
    let (mut device, ..) = obedient();
    let resource = ResourceAddress::gateway(3303, 0, 5605);
    assert_eq!(device.execute(resource, b"").await, Err(Fault::Unsupported));
    assert_eq!(
        device.read(instance(3303, 0), &[ResourceId(5605)]).await,
        Err(Fault::NoValue)
    );
    // Read only, and beyond its registers.
    assert_eq!(
        device
            .write(&[set((3303, 0, 5700), Value::Float(1.0))])
            .await,
        Err(Fault::Unsupported)
    );
    let too_hot = set(SETPOINT, Value::Float(5000.0));
    assert!(matches!(
        device.write(&[too_hot]).await,
        Err(Fault::BadValue(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_read_dropped_at_its_deadline_in_mid_frame_does_no_harm() {
    let halves = Arc::new(AtomicU32::new(0));
    let script = move |_: &Seen| match halves.fetch_add(1, Ordering::Relaxed) % 3 {
        0 => Behaviour::HalfFrame,
        1 => Behaviour::Late(Duration::from_millis(300)),
        _ => Behaviour::Answer,
    };
    let (mut device, ..) = air_handler_with(script);
    let mut right = 0;
    for _ in 0..60 {
        let read = device.read(instance(3303, 0), &[ResourceId(5700)]);
        if let Ok(Ok(samples)) = tokio::time::timeout(Duration::from_millis(50), read).await {
            assert_eq!(
                value_of(&samples, (3303, 0, 5700)).0,
                Value::Decimal("21.5".parse().unwrap())
            );
            right += 1;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert!(right > 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_sensor_calls_broken_is_bad() {
    let (mut device, units, _) = obedient();
    units.with(17, |bank| bank.input.insert(3, 32767));
    let samples = device
        .read(instance(3303, 0), &[ResourceId(5700)])
        .await
        .unwrap();
    assert_eq!(value_of(&samples, (3303, 0, 5700)).1, Quality::Bad);
}
