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

/// A line of one device that does what `script` says, which is called `line`.
fn scripted(script: impl sim::Script + 'static) -> (Commission, Units) {
    let units = Units::default();
    units.with(40, |bank| bank.holding.extend([(0, 1), (1, 2)]));
    let (ours, theirs) = tokio::io::duplex(4096);
    let bank = units.clone();
    tokio::spawn(async move { sim::serve(theirs, sim::Framing::Rtu, bank, script).await });
    let settings = BusSettings::new("line", Framing::Rtu("9600-8E1".parse().unwrap()));
    let (bus, owner) = Bus::new(Once(Some(ours)), settings.clone(), 1);
    tokio::spawn(owner.run());
    (on_line(bus, settings), units)
}

/// The same, and nobody there answers.
pub(crate) fn silent() -> Commission {
    scripted(|_: &Seen| Behaviour::Mute).0
}

fn write(values: &[u16]) -> RawWrite {
    RawWrite {
        bus: "line".to_owned(),
        unit: 40,
        table: "holding".to_owned(),
        at: 0,
        values: values.to_vec(),
        timeout_ms: None,
    }
}

const READ: u8 = 3;

#[tokio::test(start_paused = true)]
async fn a_write_that_reads_back_as_it_was_written_is_written() {
    let (commission, _units) = scripted(sim::Obedient);
    let written = commission.write(&write(&[7, 8])).await.unwrap();
    assert_eq!(written.outcome, Outcome::Written);
    assert_eq!(written.raw.words, Words::Registers(vec![7, 8]));
    assert_eq!(written.doubt(), None);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_reads_back_otherwise_is_told_with_what_stands_there() {
    let device = Arc::<Mutex<Option<Units>>>::default();
    let limits = Arc::clone(&device);
    let (commission, units) = scripted(move |seen: &Seen| {
        if seen.function == READ
            && let Some(units) = &*limits.lock().unwrap()
        {
            units.with(40, |bank| bank.holding.insert(0, 5));
        }
        Behaviour::Answer
    });
    *device.lock().unwrap() = Some(units);
    let written = commission.write(&write(&[7])).await.unwrap();
    assert_eq!(written.outcome, Outcome::Differs);
    assert_eq!(written.doubt().unwrap(), "written, but reads 5");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_nobody_confirms_is_told_neither_as_done_nor_as_not_done() {
    for (mute, words) in [
        (
            READ,
            "sent, but not confirmed: the device took it, and cannot be read",
        ),
        (6, "sent, but not confirmed: unit 40 does not answer"),
    ] {
        let (commission, units) = scripted(move |seen: &Seen| {
            if seen.function == mute {
                Behaviour::Mute
            } else {
                Behaviour::Answer
            }
        });
        let written = commission.write(&write(&[7])).await.unwrap();
        assert_eq!(written.outcome, Outcome::Unconfirmed);
        let doubt = written.doubt().unwrap();
        assert!(doubt.starts_with(words), "{doubt}");
        assert_eq!(units.with(40, |bank| bank.holding[&0]), 7);
    }
    let (commission, units) = scripted(|_: &Seen| Behaviour::Exception(2));
    let refused = commission.write(&write(&[7])).await;
    assert!(
        matches!(refused, Err(Unanswered::Refused(_))),
        "{refused:?}"
    );
    assert_eq!(units.with(40, |bank| bank.holding[&0]), 1);
}

#[tokio::test(start_paused = true)]
async fn a_guest_holds_the_line_for_a_second_at_most_and_at_speeds_that_there_are() {
    let (commission, _units) = scripted(sim::Obedient);
    let probe = |line: Option<&str>, timeout_ms| Probe {
        bus: "line".to_owned(),
        unit: 40,
        line: line.map(str::to_owned),
        timeout_ms,
    };
    for (line, timeout_ms, words) in [
        (None, Some(1001), "a timeout is 1 to 1000 milliseconds"),
        (None, Some(0), "a timeout is 1 to 1000 milliseconds"),
        (Some("299-8E1"), None, "299 Bd is not within 300 to 4000000"),
        (
            Some("4000001-8N1"),
            None,
            "4000001 Bd is not within 300 to 4000000",
        ),
    ] {
        let refused = commission.probe(&probe(line, timeout_ms)).await;
        assert_eq!(refused, Err(Unanswered::Senseless(words.to_owned())));
    }
    for line in ["300-8E1", "4000000-8N1"] {
        let answer = commission.probe(&probe(Some(line), Some(1000))).await;
        // Whether this port has such a speed is another matter.
        let is_other = |error: &Unanswered| !error.to_string().contains(" Bd ");
        assert!(answer.as_ref().err().is_none_or(is_other), "{answer:?}");
    }
}
