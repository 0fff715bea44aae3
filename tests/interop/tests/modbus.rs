//! Our Modbus master against pymodbus, over a real pseudo-terminal and over TCP.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{process::Command, time::Duration};

use lamplighter_adapters::{
    Adapter, Clock,
    bus::{Opener, SerialOpener, TcpOpener},
    modbus::{
        Ask, Bus, BusHandle, BusSettings, Class, DeviceConfig, Framing, ModbusDevice, Order,
        PointCodec, PointConfig, ReadConfig, RegisterType, Reply, Request, Table, Verify,
        WriteConfig, WriteFunction,
    },
};
use lamplighter_interop::{lines::Lines, peers, root};
use lamplighter_model::{
    BootId, DataType, Quality, ResourceAddress, Sample, Stamp, Value, device::Assignment,
    object::Operations,
};
use lamplighter_sim::pty::Pty;
use serde_json::Value as Json;
use tokio::time::Instant;

const UNIT: u8 = 17;
/// From here on the server's answers carry their register and the number of their request.
const COUNTED_FROM: u16 = 1000;
/// Short, so that thousands of reads with late answers end soon.
const TIMEOUT: Duration = Duration::from_millis(40);
const PATIENCE: Duration = Duration::from_secs(30);

/// A pymodbus server and what it says that it serves.
struct Server {
    _process: Lines,
    port: u16,
    entries: Vec<Json>,
    conversions: Vec<Json>,
}

fn pymodbus(arguments: &[&str]) -> Server {
    let script = root().join("tests/interop/peers/modbus_server.py");
    let mut command = Command::new(peers().join("python/bin/python3"));
    let process = Lines::start(command.arg(script).args(arguments));
    let line = process
        .hear(PATIENCE)
        .expect("pymodbus starts: `make peers` installs it");
    let ready: Json = serde_json::from_str(&line).unwrap();
    Server {
        _process: process,
        port: u16::try_from(ready["port"].as_u64().unwrap()).unwrap(),
        entries: ready["entries"].as_array().unwrap().clone(),
        conversions: ready["conversions"].as_array().unwrap().clone(),
    }
}

fn start(opener: impl Opener, settings: &BusSettings) -> BusHandle {
    let (bus, owner) = Bus::new(opener, settings.clone(), 1);
    tokio::spawn(owner.run());
    bus
}

fn over_tcp(server: &Server) -> TcpOpener {
    TcpOpener {
        host: "127.0.0.1".to_owned(),
        port: server.port,
        connect_timeout: PATIENCE,
    }
}

fn ask(at: u16, count: u16) -> Ask {
    let request = Request::Read {
        table: Table::Holding,
        at,
        count,
    };
    Ask {
        unit: UNIT,
        request,
        class: Class::Poll,
        timeout: TIMEOUT,
        late_timeout: TIMEOUT,
        expires: None,
    }
}

/// Reads that ended right, with another request's answer, and without one.
#[derive(Debug, Default)]
struct Tally {
    right: u32,
    wrong: u32,
    failed: u32,
    took: Duration,
}

async fn counted_reads(bus: &BusHandle, reads: u32) -> Tally {
    let (mut tally, start) = (Tally::default(), Instant::now());
    for number in 0..reads {
        let at = COUNTED_FROM + u16::try_from(number % 50).unwrap();
        match bus.ask(ask(at, 2)).await.map(|answered| answered.reply) {
            Ok(reply) if reply == Reply::Registers(vec![at, number as u16]) => tally.right += 1,
            Ok(_) => tally.wrong += 1,
            Err(_) => tally.failed += 1,
        }
    }
    tally.took = start.elapsed();
    tally
}

#[tokio::test]
async fn no_wrong_value_in_2000_reads_with_late_answers_over_a_pseudo_terminal() {
    // The server opens one terminal, we the other; what goes into one comes out of the other.
    let (mut ours, mut theirs) = (Pty::open().unwrap(), Pty::open().unwrap());
    let (device, server_device) = (ours.path().to_owned(), theirs.path().to_owned());
    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut ours, &mut theirs).await });
    let timeout_ms = TIMEOUT.as_millis().to_string();
    let _server = pymodbus(&["rtu", server_device.to_str().unwrap(), "5", &timeout_ms]);

    let line = "115200-8N1".parse().unwrap();
    let settings = BusSettings::new("pymodbus", Framing::Rtu(line));
    let bus = start(SerialOpener::new(device, line), &settings);
    let tally = counted_reads(&bus, 2000).await;
    assert_eq!(tally.wrong, 0, "{tally:?} {:?}", bus.stats());
    assert!(tally.right >= 1800, "{tally:?} {:?}", bus.stats());
    assert!(
        bus.stats().late >= 50,
        "late answers were recognised: {tally:?} {:?}",
        bus.stats()
    );
    assert!(tally.took < Duration::from_secs(60), "{tally:?}");
}

#[tokio::test]
async fn no_wrong_value_in_2000_reads_with_late_answers_over_tcp() {
    let timeout_ms = TIMEOUT.as_millis().to_string();
    let server = pymodbus(&["tcp", "5", &timeout_ms]);
    let bus = start(
        over_tcp(&server),
        &BusSettings::new("pymodbus", Framing::Tcp),
    );
    let tally = counted_reads(&bus, 2000).await;
    assert_eq!(tally.wrong, 0, "{tally:?} {:?}", bus.stats());
    assert!(tally.right >= 1800, "{tally:?} {:?}", bus.stats());
    assert_eq!(
        bus.state().borrow().opened,
        1,
        "lateness is no reason to connect again"
    );
}

fn order_of(entry: &Json) -> Order {
    entry["order"].as_str().unwrap().parse().unwrap()
}

fn codec_of(entry: &Json) -> PointCodec {
    let name = entry["type"].as_str().unwrap();
    let registers =
        (name == "string").then(|| u16::try_from(registers_of(&entry["registers"]).len()).unwrap());
    let kind = RegisterType::named(Some(name), Table::Holding, None, registers).unwrap();
    let data_type = match name {
        "f16" | "f32" | "f64" => DataType::Float,
        name if name.starts_with("date") => DataType::Time,
        "string" => DataType::String,
        "u64" => DataType::Unsigned,
        _ => DataType::Integer,
    };
    PointCodec::plain(kind, order_of(entry), data_type)
}

fn value_of(json: &Json, data_type: DataType) -> Value {
    match data_type {
        DataType::Float => Value::Float(json.as_f64().unwrap()),
        DataType::String => Value::String(json.as_str().unwrap().to_owned()),
        DataType::Time => Value::Time(json.as_i64().unwrap()),
        DataType::Unsigned => Value::Unsigned(json.as_u64().unwrap()),
        DataType::Boolean
        | DataType::Corelnk
        | DataType::Integer
        | DataType::None
        | DataType::Objlnk
        | DataType::Opaque => Value::Integer(json.as_i64().unwrap()),
    }
}

fn registers_of(json: &Json) -> Vec<u16> {
    json.as_array()
        .unwrap()
        .iter()
        .map(|word| u16::try_from(word.as_u64().unwrap()).unwrap())
        .collect()
}

/// One point per entry, in an instance of its own.
fn device_of(entries: &[Json]) -> DeviceConfig {
    let mut config = DeviceConfig::new("pymodbus", UNIT);
    config.timeout = Duration::from_secs(5);
    let point = |(number, entry): (u16, &Json)| {
        let at = u32::try_from(entry["at"].as_u64().unwrap()).unwrap();
        PointConfig {
            name: format!("{} {}", entry["type"], entry["order"]),
            address: address(number),
            operations: Operations::RW,
            read: Some(ReadConfig {
                table: Table::Holding,
                at,
            }),
            write: Some(WriteConfig {
                table: Table::Holding,
                at,
                function: WriteFunction::Auto,
                verify: Some(Verify::default()),
            }),
            codec: codec_of(entry),
            poll: Duration::from_secs(5),
        }
    };
    config.points = (0..).zip(entries).map(point).collect();
    config
}

fn address(number: u16) -> ResourceAddress {
    ResourceAddress::gateway(3300, number, 5700)
}

fn clock() -> Clock {
    let start = Instant::now();
    Clock::new(move || Stamp {
        boot: BootId(1),
        mono: start.elapsed(),
    })
}

/// The registers that mean the value; of part of a register, beside nothing.
fn encoded(codec: &PointCodec, value: &Value) -> Vec<u16> {
    if codec.kind.field().is_some() {
        vec![codec.encode_field(value).unwrap().set]
    } else {
        codec.encode(value).unwrap()
    }
}

#[tokio::test]
async fn every_type_in_every_order_is_laid_out_as_pymodbus_does() {
    let server = pymodbus(&["tcp", "0", "0"]);
    let types = 19;
    assert_eq!(server.entries.len(), 4 * types);
    // Other values in every run; a failure names them.
    assert_eq!(server.conversions.len(), 4 * types * 50);
    let written = server
        .entries
        .iter()
        .map(|entry| (entry, "value", "registers"));
    let next = server
        .entries
        .iter()
        .map(|entry| (entry, "next_value", "next_registers"));
    let random = server
        .conversions
        .iter()
        .map(|entry| (entry, "value", "registers"));
    for (entry, value, registers) in written.chain(next).chain(random) {
        let codec = codec_of(entry);
        let (value, registers) = (
            value_of(&entry[value], codec.data_type),
            registers_of(&entry[registers]),
        );
        assert_eq!(encoded(&codec, &value), registers, "{entry}");
        assert_eq!(
            codec.decode(&registers),
            Some((value, Quality::Good)),
            "{entry}"
        );
    }
}

#[tokio::test]
async fn every_type_in_every_order_is_read_and_written_over_tcp() {
    let server = pymodbus(&["tcp", "0", "0"]);
    let settings = BusSettings::new("pymodbus", Framing::Tcp);
    let bus = start(over_tcp(&server), &settings);
    let mut device = ModbusDevice::new(
        device_of(&server.entries),
        bus.clone(),
        &settings,
        clock(),
        1,
    )
    .unwrap();

    // All points are one run of registers, longer than one request.
    let mut samples = Vec::new();
    for number in 0..u16::try_from(server.entries.len()).unwrap() {
        let address = address(number);
        if !samples
            .iter()
            .any(|sample: &Sample| sample.address == address)
        {
            let more = device
                .read(address.instance(), &[address.path.resource])
                .await;
            samples.extend(more.unwrap());
        }
    }
    assert_eq!(samples.len(), server.entries.len());
    assert_eq!(bus.stats().requests, 2);
    for (number, entry) in (0..).zip(&server.entries) {
        let sample = samples
            .iter()
            .find(|sample| sample.address == address(number))
            .unwrap();
        assert_eq!(
            sample.value,
            value_of(&entry["value"], codec_of(entry).data_type),
            "{entry}"
        );
        assert_eq!(sample.quality, Quality::Good);
    }

    for (number, entry) in (0..).zip(&server.entries) {
        let value = value_of(&entry["next_value"], codec_of(entry).data_type);
        let assignment = Assignment {
            address: address(number),
            index: None,
            value,
        };
        device
            .write(&[assignment])
            .await
            .unwrap_or_else(|fault| panic!("{entry}: {fault}"));
        let registers = registers_of(&entry["next_registers"]);
        let at = u16::try_from(entry["at"].as_u64().unwrap()).unwrap();
        let stored = bus
            .ask(ask(at, u16::try_from(registers.len()).unwrap()))
            .await
            .unwrap();
        assert_eq!(stored.reply, Reply::Registers(registers), "{entry}");
    }
}
