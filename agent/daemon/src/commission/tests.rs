//! Who looks around leaves the agent's own traffic alone.
#![cfg(feature = "demo")]

use std::{
    future::ready,
    io,
    sync::{Arc, Mutex},
};

use lamplighter_adapters::{
    Adapter as _, Clock, Wake,
    bus::Opener,
    modbus::{Bus, DeviceConfig, ModbusDevice, Order, PointCodec, ReadConfig, RegisterType},
};
use lamplighter_model::{BootId, DataType, ResourceAddress, Stamp, Value, object::Operations};
use lamplighter_sim::modbus::{self as sim, Behaviour, Seen, Units};
use tokio::{io::DuplexStream, time::Instant};

use super::*;

struct Once(Option<DuplexStream>);

impl Opener for Once {
    type Port = DuplexStream;

    fn open(&mut self) -> impl Future<Output = io::Result<DuplexStream>> + Send {
        ready(self.0.take().ok_or_else(|| io::ErrorKind::NotFound.into()))
    }
}

const PERIOD: Duration = Duration::from_secs(1);
const POLLED: u8 = 17;

fn device() -> DeviceConfig {
    let mut device = DeviceConfig::new("ahu", POLLED);
    device.points.push(PointConfig {
        name: "ahu.air".into(),
        address: ResourceAddress::gateway(3303, 0, 5700),
        operations: Operations::R,
        read: Some(ReadConfig {
            table: Table::Input,
            at: 3,
        }),
        write: None,
        codec: PointCodec::plain(RegisterType::I16, Order::Abcd, DataType::Float),
        poll: PERIOD,
    });
    device
}

/// A line whose polls of unit 17 are noted with their times; unit 40 is there too.
fn line(polls: &Arc<Mutex<Vec<Instant>>>) -> (BusHandle, BusSettings) {
    let units = Units::default();
    units.with(POLLED, |bank| bank.input.extend([(3, 215)]));
    units.with(40, |bank| bank.holding.extend([(0, 1)]));
    let polls = Arc::clone(polls);
    let script = move |seen: &Seen| {
        if seen.unit == POLLED && seen.function == 4 {
            polls.lock().unwrap().push(Instant::now());
        }
        Behaviour::Answer
    };
    let (ours, theirs) = tokio::io::duplex(4096);
    tokio::spawn(async move { sim::serve(theirs, sim::Framing::Rtu, units, script).await });
    let settings = BusSettings::new("line", Framing::Rtu("9600-8E1".parse().unwrap()));
    let (bus, owner) = Bus::new(Once(Some(ours)), settings.clone(), 1);
    tokio::spawn(owner.run());
    (bus, settings)
}

/// Nothing but this line, which is called `line`.
fn on_line(bus: BusHandle, settings: BusSettings) -> Commission {
    let mut commission = Commission::default();
    let line = Line {
        bus,
        settings,
        at: "/dev/a".to_owned(),
        units: BTreeMap::new(),
    };
    commission.lines.insert("line".to_owned(), line);
    commission
}

#[tokio::test(start_paused = true)]
async fn a_scan_of_all_units_leaves_polls_their_period_and_their_values() {
    let polls = Arc::default();
    let (bus, settings) = line(&polls);
    let clock = Clock::new(|| Stamp {
        boot: BootId(1),
        mono: Duration::ZERO,
    });
    let mut device = ModbusDevice::new(device(), bus.clone(), &settings, clock, 1).unwrap();
    let values = Arc::new(Mutex::new(Vec::new()));
    let read = Arc::clone(&values);
    tokio::spawn(async move {
        loop {
            if let Ok(Wake::Due(instance, resources)) = device.wait().await {
                let samples = device.read(instance, &resources).await.unwrap();
                read.lock()
                    .unwrap()
                    .extend(samples.into_iter().map(|sample| sample.value));
            }
        }
    });
    let commission = on_line(bus, settings);
    let begun = Instant::now();
    let mut found = Vec::new();
    for unit in 1..=247 {
        let probe = Probe {
            bus: "line".to_owned(),
            unit,
            ..Probe::default()
        };
        if commission.probe(&probe).await.unwrap().answer.is_some() {
            found.push(unit);
        }
    }
    let took = begun.elapsed();
    assert_eq!(found, [POLLED, 40]);
    assert!(took < Duration::from_secs(60), "{took:?}");
    let polls = polls.lock().unwrap();
    let expected = usize::try_from(took.as_secs()).unwrap();
    assert!(polls.len() >= expected, "{} of {expected}", polls.len());
    for pair in polls.windows(2).skip(1) {
        let apart = pair[1] - pair[0];
        let late = Duration::from_millis(200);
        assert!(apart < PERIOD + late && apart > PERIOD - late, "{apart:?}");
    }
    let values = values.lock().unwrap();
    assert!(
        values.iter().all(|value| *value == Value::Float(215.0)),
        "{values:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_down_and_one_that_nobody_has_are_told_apart() {
    let settings = BusSettings::new("line", Framing::Rtu("9600-8E1".parse().unwrap()));
    let (bus, owner) = Bus::new(Once(None), settings.clone(), 1);
    tokio::spawn(owner.run());
    let commission = on_line(bus, settings);
    let read = |bus: &str, line: Option<&str>| Probe {
        bus: bus.to_owned(),
        unit: 1,
        line: line.map(str::to_owned),
        timeout_ms: None,
    };
    let down = commission.probe(&read("line", None)).await;
    assert!(
        matches!(down, Err(Unanswered::Line(text)) if text.starts_with("/dev/a is not open: "))
    );
    let unknown = commission.probe(&read("lime", None)).await;
    assert_eq!(
        unknown,
        Err(Unanswered::Unknown(
            "no Modbus line lime; there is line".to_owned()
        ))
    );
    let senseless = commission.probe(&read("line", Some("9600"))).await;
    assert!(matches!(senseless, Err(Unanswered::Senseless(_))));
}
