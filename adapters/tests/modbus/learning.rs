//! What a device teaches: ranges that it refuses, lengths that it does not give, and how long it
//! takes.

use std::{collections::BTreeMap, sync::Mutex};

use lamplighter_adapters::{Adapter, Wake, modbus::Table};
use lamplighter_model::{
    InstanceAddress, InstancePath, ResourceId, Sample, Scope,
    device::{Fault, LinkState},
};

use super::*;

type Asked = Arc<Mutex<Vec<(u16, u16)>>>;

/// One integer point per register, each in an instance of its own.
fn points_at(registers: impl IntoIterator<Item = u16>) -> DeviceConfig {
    let mut config = DeviceConfig::new("meter", 1);
    let codec = plain(RegisterType::U16, DataType::Integer);
    config.points = registers
        .into_iter()
        .map(|at| {
            let resource = (3303, at, 5700);
            point(
                &format!("r{at}"),
                resource,
                Table::Holding,
                at.into(),
                codec.clone(),
            )
        })
        .collect();
    config
}

fn started(
    config: DeviceConfig,
    units: &Units,
    script: impl Fn(&Seen) -> Behaviour + Clone + Send + 'static,
) -> (ModbusDevice, Asked) {
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    let (bus, _) = start(rtu_settings(), units, move |seen: &Seen| {
        log.lock().unwrap().push((seen.at, seen.count));
        script(seen)
    });
    (device(config, &bus), asked)
}

fn value(register: u16) -> (InstanceAddress, [ResourceId; 1]) {
    let instance = InstanceAddress {
        scope: Scope::Gateway,
        path: InstancePath::new(3303, register),
    };
    (instance, [ResourceId(5700)])
}

async fn read_due(device: &mut ModbusDevice) -> Result<Vec<Sample>, Fault> {
    let Ok(Wake::Due(instance, resources)) = device.wait().await else {
        panic!("a Modbus device only says what is due");
    };
    device.read(instance, &resources).await
}

fn take(asked: &Asked) -> Vec<(u16, u16)> {
    std::mem::take(&mut *asked.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_hole_is_found_at_the_first_read_and_never_read_across_again() {
    let units = counting_units(&[1]);
    units.with(1, |bank| bank.holding.retain(|at, _| !(3..6).contains(at)));
    let (mut device, asked) = started(points_at([0, 1, 2, 6, 7]), &units, |_| Behaviour::Answer);
    let stats = device.stats();
    // All five come with the first read already.
    assert_eq!(read_due(&mut device).await.unwrap().len(), 5);
    assert_eq!(take(&asked), [(0, 8), (0, 3), (6, 2), (2, 5)]);
    assert_eq!(stats.borrow().refused.len(), 1);
    assert_eq!(stats.borrow().state, LinkState::Online);
    for _ in 0..4 {
        read_due(&mut device).await.unwrap();
    }
    let mut later = take(&asked);
    later.sort_unstable();
    assert_eq!(later, [(0, 3), (0, 3), (6, 2), (6, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_point_that_is_not_there_costs_its_neighbours_nothing() {
    let units = counting_units(&[1]);
    units.with(1, |bank| bank.holding.remove(&5));
    let (mut device, asked) = started(points_at(0..20), &units, |_| Behaviour::Answer);
    assert_eq!(read_due(&mut device).await.unwrap().len(), 19);
    // Bisected, not tried one by one.
    assert!(take(&asked).len() <= 11);
    let mut again = 0;
    while again < 19 {
        again += read_due(&mut device).await.unwrap().len();
    }
    assert_eq!(take(&asked).len(), 2, "one request on each side of it");
    // Who asks for it hears why; when the device has it, it is polled again.
    let (instance, resource) = value(5);
    assert_eq!(
        device.read(instance, &resource).await,
        Err(Fault::Unsupported)
    );
    units.with(1, |bank| bank.holding.insert(5, 55));
    assert_eq!(device.read(instance, &resource).await.unwrap().len(), 1);
    take(&asked);
    assert_eq!(read_due(&mut device).await.unwrap().len(), 20);
    assert_eq!(take(&asked), [(0, 20)]);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_gives_less_at_once_than_it_says_is_asked_for_less() {
    for code in [2, 3] {
        let units = counting_units(&[1]);
        let script = move |seen: &Seen| match seen.count {
            0..=16 => Behaviour::Answer,
            _ => Behaviour::Exception(code),
        };
        let (mut device, asked) = started(points_at(0..40), &units, script);
        let mut known = read_due(&mut device).await.unwrap().len();
        assert_eq!(known, 40, "all come with the first read");
        known = 0;
        take(&asked);
        while known < 40 {
            known += read_due(&mut device).await.unwrap().len();
        }
        assert!(take(&asked).iter().all(|(_, count)| *count <= 16));
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_comes_back_is_given_a_new_chance() {
    let units = counting_units(&[1]);
    let mute = Arc::new(AtomicU32::new(0));
    let script = {
        let mute = Arc::clone(&mute);
        move |_: &Seen| match mute.load(Ordering::Relaxed) {
            0 => Behaviour::Answer,
            _ => Behaviour::Mute,
        }
    };
    units.with(1, |bank| bank.holding.remove(&1));
    let (mut device, asked) = started(points_at([0, 2]), &units, script);
    let stats = device.stats();
    read_due(&mut device).await.unwrap();
    assert_eq!(stats.borrow().refused.len(), 1);
    mute.store(1, Ordering::Relaxed);
    while stats.borrow().state != LinkState::Offline {
        let _silent = read_due(&mut device).await;
    }
    // Somebody has put another one in its place.
    units.with(1, |bank| bank.holding.insert(1, 1));
    mute.store(0, Ordering::Relaxed);
    while stats.borrow().state != LinkState::Online {
        let _silent = read_due(&mut device).await;
    }
    assert!(stats.borrow().refused.is_empty());
    take(&asked);
    assert_eq!(read_due(&mut device).await.unwrap().len(), 2);
    assert_eq!(take(&asked), [(0, 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_device_without_merged_reads_is_asked_point_by_point() {
    let units = counting_units(&[1]);
    let mut config = points_at([0, 1, 2]);
    config.one_request_per_point = true;
    let (mut device, asked) = started(config, &units, |_| Behaviour::Answer);
    for _ in 0..3 {
        assert_eq!(read_due(&mut device).await.unwrap().len(), 1);
    }
    let mut asked = take(&asked);
    asked.sort_unstable();
    assert_eq!(asked, [(0, 1), (1, 1), (2, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_rare_point_that_rides_along_is_told_no_more_often_than_it_asks_for() {
    let units = counting_units(&[1]);
    let mut config = points_at(0..5);
    config.points[4].poll = Duration::from_secs(8);
    let (mut device, asked) = started(config, &units, |_| Behaviour::Answer);
    let (start, mut told) = (Instant::now(), BTreeMap::<u16, u32>::new());
    while start.elapsed() < Duration::from_secs(300) {
        for sample in read_due(&mut device).await.unwrap() {
            *told
                .entry(sample.address.path.instance.instance.0)
                .or_default() += 1;
        }
    }
    assert!(take(&asked).iter().all(|request| *request == (0, 5)));
    assert!((299..=302).contains(&told[&0]), "{told:?}");
    assert!((37..=39).contains(&told[&4]), "{told:?}");
    // Who asks for it gets it at any time.
    let (instance, resource) = value(4);
    assert_eq!(device.read(instance, &resource).await.unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_slow_device_is_read_across_longer_gaps() {
    let units = counting_units(&[1]);
    // Forty registers apart: at 19200 Bd dearer than a second request, unless the device takes long.
    let (mut device, asked) = started(points_at([0, 41]), &units, |_| {
        Behaviour::Late(Duration::from_millis(80))
    });
    for _ in 0..70 {
        read_due(&mut device).await.unwrap();
    }
    let asked = take(&asked);
    assert_eq!(asked[0].1, 1);
    assert_eq!(asked.last(), Some(&(0, 42)));
}

#[tokio::test(start_paused = true)]
async fn a_search_that_takes_too_long_ends_and_the_device_is_read_point_by_point() {
    const SLOW: Duration = Duration::from_millis(300);
    let units = counting_units(&[1]);
    let script = |seen: &Seen| match seen.count {
        1 => Behaviour::Late(SLOW),
        _ => Behaviour::Exception(3),
    };
    let mut config = points_at(0..40);
    config.timeout = 2 * SLOW;
    let (mut device, asked) = started(config, &units, script);
    let begun = Instant::now();
    read_due(&mut device).await.unwrap();
    let took = begun.elapsed();
    // The first poll may be due two seconds after the start, and the last answer is waited for.
    assert!(took < Duration::from_secs(2 + 2) + 3 * SLOW, "{took:?}");
    take(&asked);
    for _ in 0..40 {
        read_due(&mut device).await.unwrap();
    }
    let asked = take(&asked);
    assert!(asked.iter().all(|(_, count)| *count == 1), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_device_refused_is_asked_for_again_after_ten_minutes() {
    let units = counting_units(&[1]);
    units.with(1, |bank| bank.holding.remove(&1));
    let (mut device, asked) = started(points_at([0, 2]), &units, |_| Behaviour::Answer);
    let (stats, begun) = (device.stats(), Instant::now());
    read_due(&mut device).await.unwrap();
    assert_eq!(stats.borrow().refused.len(), 1);
    units.with(1, |bank| bank.holding.insert(1, 1));
    take(&asked);
    while begun.elapsed() < Duration::from_secs(590) {
        read_due(&mut device).await.unwrap();
    }
    assert!(take(&asked).iter().all(|(_, count)| *count == 1));
    while begun.elapsed() < Duration::from_secs(610) {
        read_due(&mut device).await.unwrap();
    }
    assert_eq!(take(&asked).last(), Some(&(0, 3)));
    assert!(stats.borrow().refused.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_was_learned_leaves_out_no_point_that_is_wider() {
    let units = counting_units(&[1]);
    let script = |seen: &Seen| match seen.count {
        0..=4 => Behaviour::Answer,
        _ => Behaviour::Exception(2),
    };
    let mut config = points_at(0..5);
    let wide = plain(RegisterType::U64, DataType::Integer);
    let resource = (3303, 90, 5700);
    config
        .points
        .push(point("wide", resource, Table::Holding, 90, wide));
    let (mut device, asked) = started(config, &units, script);
    for _ in 0..2 {
        read_due(&mut device).await.unwrap();
    }
    let first = take(&asked);
    assert!(first.contains(&(0, 5)), "{first:?}");
    for _ in 0..6 {
        read_due(&mut device).await.unwrap();
    }
    let later = take(&asked);
    assert!(later.contains(&(90, 4)), "{later:?}");
    assert!(later.iter().all(|(_, count)| *count <= 4), "{later:?}");
}
