//! How much is written and how much room it takes, with values as a site has them.
//!
//! CI takes a part of a day, scaled; `STORE_MINUTES` says more and prints the figures: 10080 are the
//! seven days of the design.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use lamplighter_model::{Now, Quality, UnixTime};
use rusqlite::Connection;

use super::*;
use crate::history::Recorder;

/// What a disk writes at least for one changed byte.
const PAGE: u64 = 4096;
const MINUTES_OF_A_DAY: u64 = 24 * 60;

/// Counts what reaches the disk: whole pages at every sync.
#[derive(Debug)]
struct Counted {
    inner: StateDir,
    dirty: BTreeMap<String, BTreeSet<u64>>,
    pages: Arc<AtomicU64>,
    /// Bytes that were not written by the database.
    own: Arc<AtomicU64>,
}

impl Disk for Counted {
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.inner.read(name)
    }

    fn end(&mut self, name: &str, most: usize) -> io::Result<Option<(u64, Vec<u8>)>> {
        self.inner.end(name, most)
    }

    fn write_at(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let end = at + bytes.len() as u64;
        let dirty = self.dirty.entry(name.to_owned()).or_default();
        dirty.extend(at / PAGE..end.div_ceil(PAGE));
        self.own.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.inner.write_at(name, at, bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let pages = self.dirty.remove(name).unwrap_or_default().len() as u64;
        self.pages.fetch_add(pages, Ordering::Relaxed);
        // Nothing here depends on the disk having it.
        Ok(())
    }

    fn link(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.inner.link(from, to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn names(&mut self) -> io::Result<Vec<String>> {
        self.inner.names()
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.pages.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn database(&mut self, name: &str) -> rusqlite::Result<Connection> {
        self.inner.database(name)
    }

    fn process(&mut self) -> u64 {
        1
    }

    fn before_commit(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Values as a site has them: scaled registers, counters, computed floats, contacts.
struct Points {
    values: Vec<Value>,
    seed: u64,
    number: u64,
}

impl Points {
    fn new(count: u16) -> Self {
        let value = |point: u16| match point % 10 {
            0..=4 => Value::Float(f64::from(150 + point % 200) / 10.0),
            5 | 6 => Value::Decimal(lamplighter_model::Decimal::new(
                123_456_789 + i64::from(point),
                -3,
            )),
            7 => Value::Float(f64::from(230.0f32 + f32::from(point) / 7.0)),
            8 => Value::Integer(i64::from(point)),
            _ => Value::Boolean(point % 20 == 9),
        };
        Self {
            values: (0..count).map(value).collect(),
            seed: 1,
            number: 0,
        }
    }

    fn chance(&mut self, limit: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.seed >> 33) % limit
    }

    /// The next sample of a point; the poll takes place at about the same time of each minute.
    fn next(&mut self, minute: u64, point: usize) -> Kept {
        let noise = self.chance(9) as i64 - 4;
        let value = match &self.values[point] {
            Value::Float(float) if (float * 10.0).fract() == 0.0 => {
                Value::Float(((float * 10.0).round() + noise as f64) / 10.0)
            }
            Value::Float(float) => {
                Value::Float(f64::from(*float as f32 + self.chance(1000) as f32 / 977.0))
            }
            Value::Decimal(decimal) => Value::Decimal(lamplighter_model::Decimal::new(
                decimal.mantissa + 17 + noise,
                decimal.exponent,
            )),
            Value::Integer(integer) => Value::Integer(integer + noise),
            Value::Boolean(on) => Value::Boolean(*on != (noise == 0)),
            other @ (Value::Corelnk(_)
            | Value::Objlnk(_)
            | Value::Opaque(_)
            | Value::String(_)
            | Value::Time(_)
            | Value::Unsigned(_)) => other.clone(),
        };
        self.values[point] = value.clone();
        let share = 60_000 * point as u64 / self.values.len() as u64;
        let ms = minute * 60_000 + share + self.chance(40);
        let number = self.number;
        self.number += 1;
        let instance = point as u16;
        let sample = Sample {
            address: ResourceAddress::gateway(3300, instance, 5700),
            index: None,
            value,
            at: Stamp {
                boot: BootId(1),
                mono: Duration::from_millis(ms),
            },
            source_time: Some(UnixTime(1_800_000_000_000 + ms.cast_signed())),
            quality: Quality::Good,
        };
        Kept { number, sample }
    }
}

/// What storing so many minutes has cost.
#[derive(Debug)]
struct Cost {
    minutes: u64,
    samples: u64,
    written: u64,
    room: u64,
}

impl Cost {
    fn per_day(&self) -> u64 {
        self.written * MINUTES_OF_A_DAY / self.minutes
    }

    fn bytes_per_sample(&self) -> f64 {
        self.room as f64 / self.samples as f64
    }
}

fn minutes(default: u64) -> u64 {
    let more = std::env::var("STORE_MINUTES").ok();
    more.and_then(|more| more.parse().ok()).unwrap_or(default)
}

/// Everything is stored for a server that cannot be reached; every sample comes alone, which costs
/// most.
fn store(name: &str, points: u16, minutes: u64) -> Cost {
    store_both(name, points, minutes, false)
}

/// The same, with the history of all of it.
fn store_both(name: &str, points: u16, minutes: u64, has_history: bool) -> Cost {
    let state_dir = crate::fake::directory(name);
    let (pages, own) = (Arc::default(), Arc::default());
    let disk = Counted {
        inner: StateDir::new(&state_dir),
        dirty: BTreeMap::new(),
        pages: Arc::clone(&pages),
        own: Arc::clone(&own),
    };
    let huge = StoreConfig {
        history_max: 1 << 40,
        queue_max: 1 << 40,
        ..StoreConfig::default()
    };
    let mut still = Still::on(Box::new(disk), huge);
    let before = written();
    let mut site = Points::new(points);
    let address = |point| ResourceAddress::gateway(3300, point, 5700);
    let mut recorder = Recorder::new((0..points).map(address), 0);
    for minute in 0..minutes {
        for point in 0..usize::from(points) {
            let kept = site.next(minute, point);
            if has_history {
                remember(&mut still, &mut recorder, &kept);
            }
            still.keep(vec![kept]);
        }
        still.writer.write();
    }
    let by_base = written() - before - own.load(Ordering::Relaxed);
    let base = std::fs::metadata(state_dir.join("store.db")).map_or(0, |base| base.len());
    let _ = std::fs::remove_dir_all(&state_dir);
    Cost {
        minutes,
        samples: site.number,
        written: pages.load(Ordering::Relaxed) * PAGE + by_base,
        room: base,
    }
}

fn remember(still: &mut Still, recorder: &mut Recorder, kept: &Kept) {
    let now = Now {
        boot: BootId(1),
        mono: kept.sample.at.mono,
        unix: kept.sample.source_time,
    };
    let chosen = recorder.take(std::slice::from_ref(&kept.sample), now);
    if !chosen.is_empty() {
        still.turn(|inbox| inbox.keep(HISTORY, chosen));
    }
}

/// Bytes that this thread has written.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.unwrap().parse().unwrap()
}

/// The figures, for whoever asked for more than CI does.
fn tell(figures: &str) {
    if std::env::var_os("STORE_MINUTES").is_some() {
        let _ = writeln!(io::stdout(), "{figures}");
    }
}

#[test]
fn two_thousand_points_a_minute_cost_little_flash_and_little_room() {
    let cost = store("flash-2000", 2000, minutes(30));
    let (per_day, each) = (cost.per_day(), cost.bytes_per_sample());
    tell(&format!(
        "{cost:?}: {per_day} bytes a day, {each:.2} a sample"
    ));
    assert!(per_day <= 100_000_000, "{per_day}");
    assert!(each <= 12.0, "{each}");
    let week = each * (7 * MINUTES_OF_A_DAY * 2000) as f64;
    assert!(week <= 512.0 * 1024.0 * 1024.0, "{week}");
}

#[test]
fn a_site_of_fifty_points_costs_little_flash() {
    let cost = store("flash-50", 50, minutes(600));
    let per_day = cost.per_day();
    tell(&format!("{cost:?}: {per_day} bytes a day"));
    assert!(per_day <= 25_000_000, "{per_day}");
}

#[test]
fn the_history_beside_the_queue_costs_no_more_flash_than_is_allowed() {
    let (large, small) = (minutes(30), minutes(600));
    let per_day = store_both("flash-both", 2000, large, true).per_day();
    tell(&format!("with the history: {per_day} bytes a day"));
    assert!(per_day <= 100_000_000, "{per_day}");
    let per_day = store_both("flash-both-50", 50, small, true).per_day();
    tell(&format!("with the history: {per_day} bytes a day"));
    assert!(per_day <= 25_000_000, "{per_day}");
}
