//! Slaves that are dead, beside others.

use std::{collections::BTreeMap, sync::Mutex};

use lamplighter_adapters::{Adapter, Wake};
use lamplighter_model::{
    Value,
    device::{Assignment, LinkState},
};
use tokio::sync::{mpsc, oneshot};

use super::*;

/// A value to write, and who waits for it.
type Command = (Assignment, oneshot::Sender<()>);
type Reads = Arc<Mutex<BTreeMap<u8, Vec<Instant>>>>;

fn sensor(unit: u8) -> DeviceConfig {
    let mut config = DeviceConfig::new(format!("unit {unit}"), unit);
    let codec = plain(RegisterType::U16, DataType::Integer);
    config.points = vec![point(
        "value",
        (3303, u16::from(unit), 5700),
        Table::Holding,
        3,
        codec,
    )];
    config
}

/// What the supervisor does, without its rules: reads what is due, writes what is asked.
async fn supervise(
    mut device: ModbusDevice,
    unit: u8,
    reads: Reads,
    mut writes: mpsc::Receiver<Command>,
) {
    loop {
        tokio::select! {
            biased;
            Some((write, done)) = writes.recv() => {
                device.write(&[write]).await.unwrap();
                done.send(()).unwrap();
            }
            wake = device.wait() => {
                let Ok(Wake::Due(instance, resources)) = wake else {
                    panic!("a Modbus device only says what is due");
                };
                if device.read(instance, &resources).await.is_ok() {
                    reads.lock().unwrap().entry(unit).or_default().push(Instant::now());
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_mute_slaves_of_eight_do_not_slow_the_others() {
    const TURNAROUND: Duration = Duration::from_millis(20);
    let units = counting_units(&[1, 2, 3, 4, 5, 6, 7, 8]);
    let (bus, _) = start(rtu_settings(), &units, |seen: &Seen| match seen.unit {
        4 | 7 => Behaviour::Mute,
        _ => Behaviour::Late(TURNAROUND),
    });
    let reads = Reads::default();
    let mut writers = Vec::new();
    let mut states = Vec::new();
    for unit in 1..=8 {
        let device = device(sensor(unit), &bus);
        states.push(device.stats());
        let (writer, writes) = mpsc::channel(1);
        writers.push(writer);
        tokio::spawn(supervise(device, unit, Arc::clone(&reads), writes));
    }
    // Long enough for the probes to reach their longest pause.
    tokio::time::sleep(Duration::from_secs(1200)).await;
    for (state, unit) in states.iter().zip(1u8..) {
        let expected = if matches!(unit, 4 | 7) {
            LinkState::Offline
        } else {
            LinkState::Online
        };
        assert_eq!(state.borrow().state, expected, "unit {unit}");
    }
    reads.lock().unwrap().clear();
    let (before, since) = (bus.stats(), Instant::now());
    let mut slowest = Duration::ZERO;
    for number in 0..1800u64 {
        tokio::time::sleep(Duration::from_millis(1973 + number % 50)).await;
        let address = ResourceAddress::gateway(3303, 1, 5700);
        let asked = Instant::now();
        let write = Assignment {
            address,
            index: None,
            value: Value::Integer(number as i64),
        };
        let (done, written) = oneshot::channel();
        writers[0].send((write, done)).await.unwrap();
        written.await.unwrap();
        slowest = slowest.max(asked.elapsed());
    }
    let probing =
        (bus.stats().probing - before.probing).as_secs_f64() / since.elapsed().as_secs_f64();
    assert!(probing > 0.0 && probing <= 0.005, "{probing}");
    assert!(slowest < Duration::from_millis(300), "{slowest:?}");
    let reads = reads.lock().unwrap();
    for unit in [1, 2, 3, 5, 6, 8] {
        let times = &reads[&unit];
        let period = since.elapsed() / u32::try_from(times.len()).unwrap();
        let longest = times
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap();
        assert!(
            period <= Duration::from_millis(1100),
            "unit {unit}: {period:?} on average"
        );
        assert!(
            longest <= Duration::from_millis(1200),
            "unit {unit}: {longest:?} at most"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_comes_back_is_polled_again() {
    let units = counting_units(&[1]);
    let mute = Arc::new(AtomicU32::new(1));
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
    let device = device(sensor(1), &bus);
    let mut stats = device.stats();
    let reads = Reads::default();
    let (_writer, writes) = mpsc::channel(1);
    tokio::spawn(supervise(device, 1, Arc::clone(&reads), writes));
    stats
        .wait_for(|stats| stats.state == LinkState::Offline)
        .await
        .unwrap();
    mute.store(0, Ordering::Relaxed);
    let before = Instant::now();
    stats
        .wait_for(|stats| stats.state == LinkState::Online)
        .await
        .unwrap();
    assert!(
        before.elapsed() < Duration::from_secs(7),
        "the first probe comes after 5 s"
    );
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(reads.lock().unwrap()[&1].len() >= 10);
}
