//! Pulses on simulated lines, in virtual time.

use std::sync::{Arc, Mutex};

use lamplighter_model::Quality;
use tokio::time::{advance, timeout};

use super::*;
use crate::gpio::{Bias, Direction, Drive, sim::SimPins};

const ENERGY: ResourceAddress = ResourceAddress::gateway(3331, 0, 5700);
const RESET: ResourceAddress = ResourceAddress::gateway(3331, 0, 5822);
const POWER: ResourceAddress = ResourceAddress::gateway(3305, 0, 5800);
const LINE: &str = "GPIO27";

/// A disk that a power cut takes back to what was written.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<(Option<Kept>, u32)>>);

impl Disk {
    fn put(&self, kept: Kept) {
        let mut disk = self.0.lock().unwrap();
        *disk = (Some(kept), disk.1 + 1);
    }

    fn writes(&self) -> u32 {
        self.0.lock().unwrap().1
    }
}

impl Keep for Disk {
    fn load(&mut self) -> Result<Option<Kept>, String> {
        let kept = self.0.lock().map(|disk| disk.0.clone());
        Ok(kept.unwrap_or_default())
    }

    fn save(&mut self, kept: Kept) {
        self.put(kept);
    }

    fn finish(&mut self, kept: Kept) {
        self.put(kept);
    }
}

struct World {
    pins: SimPins,
    disk: Disk,
    start: Instant,
}

impl World {
    fn new() -> Self {
        Self {
            pins: SimPins::default(),
            disk: Disk::default(),
            start: Instant::now(),
        }
    }

    fn meter(&self, debounce_ms: u64) -> S0<crate::gpio::sim::SimLines, Disk> {
        let start = self.start;
        let clock = Clock::new(move || Stamp {
            mono: start.elapsed(),
            ..Stamp::default()
        });
        let config = S0Config {
            line: Line {
                name: LINE.to_owned(),
                direction: Direction::Input,
                active_low: true,
                bias: Bias::PullUp,
                drive: Drive::default(),
                debounce: Duration::from_millis(debounce_ms),
            },
            scale: Scale {
                pulses_per_unit: 1000,
                unit: "kWh".parse().unwrap(),
            },
            start: "100".parse().unwrap(),
            points: vec![
                S0Point {
                    address: ENERGY,
                    quantity: Quantity::Counter("Wh".parse().unwrap()),
                },
                S0Point {
                    address: POWER,
                    quantity: Quantity::Power(3),
                },
                S0Point {
                    address: RESET,
                    quantity: Quantity::Reset,
                },
            ],
            every: Duration::from_secs(10),
            zero_after: Duration::from_secs(300),
        };
        S0::new(self.pins.lines(), self.disk.clone(), config, clock).unwrap()
    }

    /// Pulses of 40 ms, one in this time.
    async fn pulse(&self, times: u64, every: Duration) {
        let width = Duration::from_millis(40);
        for _ in 0..times {
            self.pins.set_input(LINE, false);
            advance(width).await;
            self.pins.set_input(LINE, true);
            advance(every - width).await;
        }
    }
}

/// What the meter has said until nothing more comes.
async fn told<L: Lines, K: Keep>(meter: &mut S0<L, K>) -> Vec<Sample> {
    let mut all = Vec::new();
    while let Ok(wake) = timeout(Duration::from_millis(1), meter.wait()).await {
        let Wake::News(samples) = wake.unwrap() else {
            panic!("a meter tells nothing but news");
        };
        all.extend(samples);
    }
    all
}

fn last(samples: &[Sample], address: ResourceAddress) -> Option<Value> {
    let mut of = samples.iter().rev();
    of.find(|sample| sample.address == address)
        .map(|sample| sample.value.clone())
}

fn wh(text: &str) -> Option<Value> {
    Some(Value::Decimal(text.parse().unwrap()))
}

#[tokio::test(start_paused = true)]
async fn pulses_are_counted_and_their_distance_is_the_power() {
    let world = World::new();
    world.pins.set_input(LINE, true);
    let mut meter = world.meter(0);
    let first = told(&mut meter).await;
    assert_eq!(last(&first, ENERGY), wh("100000"));
    assert_eq!(last(&first, POWER), None, "nobody knows yet");
    // One pulse in 3.6 s is a kilowatt.
    for _ in 0..10 {
        world.pulse(1, Duration::from_millis(3600)).await;
        told(&mut meter).await;
    }
    advance(Duration::from_secs(7)).await;
    let samples = told(&mut meter).await;
    assert_eq!(last(&samples, ENERGY), wh("100010"));
    let Some(Value::Float(power)) = last(&samples, POWER) else {
        panic!("{samples:?}");
    };
    assert!((300.0..=1000.0).contains(&power), "{power}");
    assert!(samples.iter().all(|sample| sample.quality == Quality::Good));
    // It falls, and is nothing in the end; then nothing more is told.
    let mut before = power;
    for _ in 0..35 {
        advance(Duration::from_secs(10)).await;
        if let Some(Value::Float(power)) = last(&told(&mut meter).await, POWER) {
            assert!(power < before, "{power} after {before}");
            before = power;
        }
    }
    assert!(before.abs() < f64::EPSILON);
    assert_eq!(told(&mut meter).await, []);
}

#[tokio::test(start_paused = true)]
async fn bounces_are_no_pulses_and_what_waited_is_not_lost() {
    let world = World::new();
    world.pins.set_input(LINE, true);
    let mut meter = world.meter(10);
    told(&mut meter).await;
    // Each pulse bounces at both ends; the adapter looks only after all of them.
    for _ in 0..100 {
        for level in [false, true, false, true, false] {
            world.pins.set_input(LINE, level);
            advance(Duration::from_millis(2)).await;
        }
        advance(Duration::from_millis(40)).await;
        for level in [true, false, true] {
            world.pins.set_input(LINE, level);
            advance(Duration::from_millis(2)).await;
        }
        advance(Duration::from_millis(40)).await;
    }
    told(&mut meter).await;
    assert_eq!(meter.counter.pulses(), 100);
}

#[tokio::test(start_paused = true)]
async fn what_the_queue_could_not_hold_is_counted_by_its_numbers_and_told() {
    let world = World::new();
    world.pins.set_input(LINE, true);
    let mut meter = world.meter(0);
    let stats = meter.stats();
    told(&mut meter).await;
    // 20,000 changes; the queue takes 4096.
    world.pulse(10_000, Duration::from_millis(100)).await;
    told(&mut meter).await;
    assert_eq!(meter.counter.pulses(), 10_000);
    assert_eq!(stats.borrow().missed, 20_000 - 4096);
    world.pulse(1, Duration::from_secs(1)).await;
    told(&mut meter).await;
    assert_eq!(meter.counter.pulses(), 10_001);
}

/// The issue: exact over 10^6 pulses with restarts.
#[tokio::test(start_paused = true)]
async fn a_million_pulses_with_restarts_are_a_million() {
    const PULSES: u64 = 1_000_000;
    const PART: u64 = 1000;
    let world = World::new();
    world.pins.set_input(LINE, true);
    let mut meter = world.meter(0);
    told(&mut meter).await;
    for part in 0..PULSES / PART {
        for level in [false, true].into_iter().cycle().take(2 * PART as usize) {
            world.pins.set_input(LINE, level);
        }
        advance(Duration::from_secs(60)).await;
        told(&mut meter).await;
        if part % 37 == 36 {
            drop(meter);
            meter = world.meter(0);
            told(&mut meter).await;
        }
    }
    assert_eq!(meter.stats().borrow().gaps, 0);
    meter.told = None;
    assert_eq!(last(&meter.tell().unwrap(), ENERGY), wh("1100000"));
}

#[tokio::test(start_paused = true)]
async fn an_end_without_notice_costs_what_was_not_written_and_is_told() {
    let world = World::new();
    world.pins.set_input(LINE, true);
    let mut meter = world.meter(0);
    told(&mut meter).await;
    world
        .pulse(SAVE_PULSES + 300, Duration::from_millis(100))
        .await;
    told(&mut meter).await;
    let written = world.disk.clone().load().unwrap().unwrap();
    let counted = meter.counter.pulses();
    assert!(
        written.is_open && counted - written.pulses < SAVE_PULSES,
        "{written:?}"
    );
    // The power goes: nothing of the meter is written any more.
    std::mem::forget(meter);
    let meter = world.meter(0);
    assert_eq!(meter.counter.pulses(), written.pulses);
    assert_eq!(meter.stats().borrow().gaps, 1);
    drop(meter);
    assert_eq!(
        world.meter(0).stats().borrow().gaps,
        1,
        "this time it ended well"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_meter_is_written_now_and_then_only() {
    let world = World::new();
    world.pins.set_input(LINE, true);
    let mut meter = world.meter(0);
    told(&mut meter).await;
    let before = world.disk.writes();
    for _ in 0..60 {
        world.pulse(60, Duration::from_secs(1)).await;
        told(&mut meter).await;
    }
    let writes = world.disk.writes() - before;
    assert!((11..=12).contains(&writes), "{writes} in an hour");
}

#[tokio::test(start_paused = true)]
async fn a_reset_begins_at_zero_and_stays_so() {
    let world = World::new();
    world.pins.set_input(LINE, true);
    let mut meter = world.meter(0);
    told(&mut meter).await;
    world.pulse(5, Duration::from_secs(1)).await;
    told(&mut meter).await;
    assert_eq!(meter.execute(ENERGY, b"").await, Err(Fault::Unsupported));
    assert_eq!(meter.execute(RESET, b"").await, Ok(()));
    assert_eq!(last(&told(&mut meter).await, ENERGY), wh("0"));
    world.pulse(2, Duration::from_secs(1)).await;
    told(&mut meter).await;
    drop(meter);
    let mut meter = world.meter(0);
    assert_eq!(last(&told(&mut meter).await, ENERGY), wh("2"));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_was_lost_is_counted_on_when_it_is_back() {
    let world = World::new();
    world.pins.set_input(LINE, true);
    let mut meter = world.meter(0);
    told(&mut meter).await;
    world.pulse(5, Duration::from_secs(1)).await;
    told(&mut meter).await;
    world.pins.break_down(Some("unplugged"));
    let lost = meter.wait().await;
    assert_eq!(lost, Err(Fault::Device("unplugged".to_owned())));
    world.pulse(3, Duration::from_secs(1)).await;
    world.pins.break_down(None);
    told(&mut meter).await;
    world.pulse(5, Duration::from_secs(1)).await;
    told(&mut meter).await;
    assert_eq!(
        meter.counter.pulses(),
        10,
        "those that came meanwhile nobody has seen"
    );
}
