//! The history of points: found by path and time, bounded by itself.

use lamplighter_model::{Quality, UnixTime};

use super::*;
use crate::store::history::{Asked, Found};

/// The first of January 2027.
const BEGIN: i64 = 1_798_761_600;
const SMALL: usize = 4096;

fn config(history_max: u64) -> StoreConfig {
    StoreConfig {
        block: SMALL,
        history_max,
        queue_max: 1 << 20,
        ..StoreConfig::default()
    }
}

/// A sample of one of ten points each second.
fn sample(second: u64) -> Kept {
    let unix = UnixTime::from_seconds(BEGIN + second.cast_signed());
    let kept = kept(second);
    Kept {
        number: unix.0.cast_unsigned(),
        sample: Sample {
            address: ResourceAddress::gateway(3303, (second % 10) as u16, 5700),
            source_time: Some(unix),
            ..kept.sample
        },
    }
}

fn remember(still: &mut Still, seconds: std::ops::Range<u64>) -> Vec<Stored> {
    let samples = seconds.map(sample).collect();
    still.turn(|inbox| inbox.keep(HISTORY, samples))
}

fn all(path: &str) -> Search {
    Search {
        path: path.parse().unwrap(),
        from: None,
        to: None,
        next: None,
        limit: 1000,
    }
}

fn at(second: u64) -> Option<UnixTime> {
    Some(UnixTime::from_seconds(BEGIN + second.cast_signed()))
}

/// What one look finds.
fn look(still: &mut Still, search: Search) -> Found {
    let (reply, mut found) = oneshot::channel();
    still.turn(|inbox| inbox.searches.push(Asked { search, reply }));
    found.try_recv().unwrap()
}

/// The seconds of everything that is found, and how often it was looked.
fn seconds(still: &mut Still, mut search: Search) -> (Vec<u64>, usize) {
    let (mut seconds, mut looks) = (Vec::new(), 0);
    loop {
        let found = look(still, search);
        looks += 1;
        let second = |sample: &Sample| sample.source_time.unwrap().seconds() - BEGIN;
        let new = found.samples.iter().map(second);
        seconds.extend(new.map(i64::cast_unsigned));
        assert!(found.samples.len() <= search.limit);
        let Some(next) = found.next else {
            return (seconds, looks);
        };
        search.next = Some(next);
    }
}

#[test]
fn samples_are_found_by_path_and_time_across_blocks_and_the_newest() {
    let directory = crate::fake::directory("history");
    let mut still = Still::open(&directory, config(1 << 20));
    for begin in (0..5000).step_by(100) {
        remember(&mut still, begin..begin + 100);
    }
    let one = |range: std::ops::Range<u64>| range.filter(|s| s % 10 == 3).collect::<Vec<_>>();
    let (found, looks) = seconds(&mut still, all("/3303/3/5700"));
    assert_eq!(found, one(0..5000));
    assert!(looks > 3, "one block at a time: {looks}");
    let some = Search {
        from: at(1000),
        to: at(3003),
        limit: 7,
        ..all("/3303/3")
    };
    assert_eq!(seconds(&mut still, some).0, one(1000..3004));
    let newest = Search {
        from: at(4990),
        ..all("/3303")
    };
    assert_eq!(
        seconds(&mut still, newest).0,
        (4990..5000).collect::<Vec<_>>()
    );
    assert_eq!(seconds(&mut still, all("/3303/3/5701")).0, [0; 0]);
    assert_eq!(seconds(&mut still, all("/3303/3/5700/0")).0, [0; 0]);
}

#[test]
fn values_and_quality_come_back_as_they_were_also_after_a_restart() {
    let directory = crate::fake::directory("history");
    let mut still = Still::open(&directory, config(1 << 20));
    let bad = Kept {
        sample: Sample {
            quality: Quality::Bad,
            value: Value::String("off".to_owned()),
            ..sample(7).sample
        },
        ..sample(7)
    };
    still.turn(|inbox| inbox.keep(HISTORY, vec![bad.clone()]));
    drop(still);
    let mut still = Still::open(&directory, config(1 << 20));
    assert_eq!(look(&mut still, all("/3303")).samples, [bad.sample]);
    assert_eq!(still.loaded.history_next, bad.number + 1);
    let queues = |(_, record): &(ClientId, Record)| matches!(record, Record::Queue(..));
    assert!(
        !still.loaded.records.iter().any(queues),
        "it is no server's"
    );
}

#[test]
fn samples_without_a_date_are_there_where_none_is_asked_for_and_get_it_later() {
    let directory = crate::fake::directory("history");
    let undated = Kept {
        number: 5,
        sample: kept(5).sample,
    };
    let disk = || Box::new(StateDir::new(&directory));
    let mut still = Still::at_start(disk(), config(1 << 20), 1);
    still.turn(|inbox| inbox.keep(HISTORY, vec![undated]));
    // The clock of this test knows the date: the writer notes when this start was.
    still.writer.write();
    let mut still = Still::at_start(disk(), config(1 << 20), 2);
    let found = look(&mut still, all("/3303"));
    assert!(found.samples[0].source_time.is_some());
}

#[test]
fn the_oldest_goes_where_there_is_no_room_and_no_server_loses_anything() {
    let directory = crate::fake::directory("history");
    let mut still = Still::open(&directory, config(64 * 1024));
    still.keep(range(0..5000));
    let mut reports = Vec::new();
    for begin in (0..60_000).step_by(500) {
        reports.extend(remember(&mut still, begin..begin + 500));
    }
    assert_eq!(reports, [], "nobody waits for what goes");
    let (found, _) = seconds(&mut still, all("/3303"));
    assert!(found[0] > 10_000, "{}", found[0]);
    assert_eq!(found.last(), Some(&59_999));
    assert!(found.is_sorted());
    assert_eq!(still.fetch(0, 1)[0].number, 0, "the queue is as it was");
    assert!(still.shared.lock().kept.is_empty());
}

#[test]
fn the_history_stays_where_a_queue_is_full() {
    let directory = crate::fake::directory("history");
    let mut still = Still::open(&directory, config(1 << 20));
    remember(&mut still, 0..2000);
    for begin in (0..400_000).step_by(2000) {
        still.keep(range(begin..begin + 2000));
    }
    assert!(still.drops.count > 0);
    let (found, _) = seconds(&mut still, all("/3303"));
    assert_eq!(found.len(), 2000);
}

#[test]
fn a_factory_reset_forgets_it() {
    let directory = crate::fake::directory("history");
    let mut still = Still::open(&directory, config(1 << 20));
    remember(&mut still, 0..1000);
    drop(still);
    erase(&directory).unwrap();
    let mut still = Still::open(&directory, config(1 << 20));
    assert_eq!(look(&mut still, all("/3303")), Found::default());
}
