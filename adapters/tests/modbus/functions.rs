//! Writing parts of registers, writing and reading in one, and writing to all devices.

use std::sync::Mutex;

use lamplighter_adapters::{
    Adapter,
    modbus::{Byte, Table},
};
use lamplighter_model::{
    Value,
    device::{Assignment, Fault},
};

use super::*;

const FLAG: (u16, u16, u16) = (3306, 0, 5850);

type Functions = Arc<Mutex<Vec<u8>>>;

/// A device with one writable point at holding register 7, and the functions it was asked.
fn one_point(
    kind: RegisterType,
    data_type: DataType,
    write: WriteConfig,
    units: &Units,
    script: impl Fn(&Seen) -> Behaviour + Clone + Send + 'static,
) -> (ModbusDevice, Functions) {
    let functions = Functions::default();
    let log = Arc::clone(&functions);
    let (bus, _) = start(rtu_settings(), units, move |seen: &Seen| {
        log.lock().unwrap().push(seen.function);
        script(seen)
    });
    let mut config = DeviceConfig::new("relays", 1);
    config.points = vec![PointConfig {
        write: Some(write),
        ..point("flag", FLAG, Table::Holding, 7, plain(kind, data_type))
    }];
    (device(config, &bus), functions)
}

fn by(function: WriteFunction) -> WriteConfig {
    WriteConfig {
        table: Table::Holding,
        at: 7,
        function,
        verify: Some(Verify::default()),
    }
}

fn set(value: Value) -> Assignment {
    Assignment {
        address: ResourceAddress::gateway(FLAG.0, FLAG.1, FLAG.2),
        index: None,
        value,
    }
}

fn holding(units: &Units) -> u16 {
    units.with(1, |bank| bank.holding[&7])
}

#[tokio::test(start_paused = true)]
async fn a_bit_is_written_by_the_function_for_it() {
    let units = counting_units(&[1]);
    units.with(1, |bank| bank.holding.insert(7, 0xA5A5));
    for function in [WriteFunction::Auto, WriteFunction::Mask] {
        let (mut device, functions) = one_point(
            RegisterType::Bit(1),
            DataType::Boolean,
            by(function),
            &units,
            |_| Behaviour::Answer,
        );
        device.write(&[set(Value::Boolean(true))]).await.unwrap();
        assert_eq!(holding(&units), 0xA5A7);
        device.write(&[set(Value::Boolean(false))]).await.unwrap();
        assert_eq!(holding(&units), 0xA5A5);
        assert_eq!(*functions.lock().unwrap(), [22, 3, 22, 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_without_that_function_is_read_changed_and_written() {
    let units = counting_units(&[1]);
    units.with(1, |bank| {
        bank.holding.insert(7, 0xA5A5);
        bank.lacks.push(22);
    });
    let (mut device, functions) = one_point(
        RegisterType::U8(Byte::High),
        DataType::Integer,
        by(WriteFunction::Auto),
        &units,
        |_| Behaviour::Answer,
    );
    device.write(&[set(Value::Integer(0x12))]).await.unwrap();
    assert_eq!(holding(&units), 0x12A5);
    // It is asked for the function once.
    device.write(&[set(Value::Integer(0x34))]).await.unwrap();
    assert_eq!(holding(&units), 0x34A5);
    assert_eq!(*functions.lock().unwrap(), [22, 3, 6, 3, 3, 6, 3]);
    // Who says that it must be this function gets no other.
    let (mut device, _) = one_point(
        RegisterType::U8(Byte::High),
        DataType::Integer,
        by(WriteFunction::Mask),
        &units,
        |_| Behaviour::Answer,
    );
    assert_eq!(
        device.write(&[set(Value::Integer(0x12))]).await,
        Err(Fault::Unsupported)
    );
    assert_eq!(holding(&units), 0x34A5);
}

#[tokio::test(start_paused = true)]
async fn a_register_that_another_master_changes_meanwhile_is_written_again() {
    let units = counting_units(&[1]);
    units.with(1, |bank| bank.holding.insert(7, 0x0100));
    let (other, writes) = (units.clone(), Arc::new(AtomicU32::new(0)));
    let (mut device, functions) = one_point(
        RegisterType::Bit(0),
        DataType::Boolean,
        by(WriteFunction::Single),
        &units,
        move |seen: &Seen| {
            // Its own write comes between ours and our look at it, once.
            if seen.function == 3 && writes.fetch_add(1, Ordering::Relaxed) == 1 {
                other.with(1, |bank| bank.holding.insert(7, 0x0F00));
            }
            Behaviour::Answer
        },
    );
    device.write(&[set(Value::Boolean(true))]).await.unwrap();
    assert_eq!(holding(&units), 0x0F01, "its part stays, ours is there");
    assert_eq!(*functions.lock().unwrap(), [3, 6, 3, 6, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_value_is_written_and_read_back_in_one_request() {
    let units = counting_units(&[1]);
    let (mut device, functions) = one_point(
        RegisterType::U32,
        DataType::Integer,
        by(WriteFunction::ReadWrite),
        &units,
        |_| Behaviour::Answer,
    );
    device
        .write(&[set(Value::Integer(0x0102_0304))])
        .await
        .unwrap();
    units.with(1, |bank| {
        assert_eq!((bank.holding[&7], bank.holding[&8]), (0x0102, 0x0304));
    });
    assert_eq!(*functions.lock().unwrap(), [23]);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_to_all_devices_reaches_them_and_nobody_is_waited_for() {
    let units = counting_units(&[1, 2, 3]);
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&arrivals);
    let (bus, _) = start(rtu_settings(), &units, move |seen: &Seen| {
        log.lock().unwrap().push((seen.unit, Instant::now()));
        Behaviour::Answer
    });
    let mut config = DeviceConfig::new("all", 0);
    let write = WriteConfig {
        verify: None,
        ..by(WriteFunction::Auto)
    };
    let codec = plain(RegisterType::U16, DataType::Integer);
    config.points = vec![PointConfig {
        operations: Operations::W,
        read: None,
        write: Some(write),
        ..point("clock", FLAG, Table::Holding, 7, codec)
    }];
    let mut all = device(config.clone(), &bus);
    let before = Instant::now();
    all.write(&[set(Value::Integer(99))]).await.unwrap();
    assert!(before.elapsed() < Duration::from_millis(20));
    // The next request leaves them time to obey.
    bus.ask(read(2, 7, 1)).await.unwrap();
    for unit in 1..=3 {
        assert_eq!(units.with(unit, |bank| bank.holding[&7]), 99, "unit {unit}");
    }
    {
        let arrivals = arrivals.lock().unwrap();
        let [(0, broadcast), (2, next)] = arrivals[..] else {
            panic!("{arrivals:?}")
        };
        assert!(next - broadcast >= rtu_settings().broadcast_pause);
    }
    assert_eq!(bus.stats().timeouts, 0);
    // What would have to be answered is refused before it starts.
    config.points[0].read = Some(ReadConfig {
        table: Table::Holding,
        at: 7,
    });
    let refused = ModbusDevice::new(config, bus, &rtu_settings(), clock(), 1);
    assert!(refused.is_err());
}
