//! The log of events: what is in its files after a kill, after a power cut, and when they are full.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    cut::{Chance, CutDisk},
    *,
};
use crate::events::{Entry, EventLog};

fn line(id: u64) -> String {
    let entry = json!({
        "id": id, "boot": 1, "ms": id, "class": "event", "what": "switched",
        "about": "lamps.l1", "text": "x".repeat(usize::try_from(id % 90).unwrap()),
    });
    format!("{entry}\n")
}

fn ids(loaded: &LoadedLog) -> Vec<u64> {
    loaded.lines.iter().map(|entry| entry.id).collect()
}

/// What object 20 holds after events up to this number, as good as any.
fn saved(last: u64) -> SavedLog {
    let log = json!({ "last": last, "collections": [] });
    serde_json::from_value(log).unwrap()
}

fn append(still: &mut Still, ids: std::ops::Range<u64>) {
    still.turn(|inbox| ids.for_each(|id| inbox.events.append(line(id))));
}

#[test]
fn lines_are_there_after_a_kill_and_numbers_go_on() {
    let state_dir = directory("events-kill");
    std::fs::create_dir_all(&state_dir).unwrap();
    let mut still = Still::open(&state_dir, StoreConfig::default());
    assert!(still.loaded.events.lines.is_empty());
    append(&mut still, 1..6);
    drop(still);
    let mut still = Still::open(&state_dir, StoreConfig::default());
    assert_eq!(ids(&still.loaded.events), [1, 2, 3, 4, 5]);
    append(&mut still, 6..8);
    drop(still);
    let still = Still::open(&state_dir, StoreConfig::default());
    assert_eq!(ids(&still.loaded.events), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn both_files_together_keep_the_bound_and_the_newest_lines() {
    let state_dir = directory("events-full");
    std::fs::create_dir_all(&state_dir).unwrap();
    let bounded = StoreConfig {
        events_max: 20_000,
        ..StoreConfig::default()
    };
    let mut still = Still::open(&state_dir, bounded);
    for id in 1..2000 {
        append(&mut still, id..id + 1);
        let size = |name| std::fs::metadata(state_dir.join(name)).map_or(0, |file| file.len());
        let bytes: u64 = EVENT_FILES.iter().map(size).sum();
        assert!(bytes <= 20_000, "{bytes} bytes after {id}");
    }
    drop(still);
    let found = ids(&Still::open(&state_dir, bounded).loaded.events);
    assert_eq!(found.last(), Some(&1999));
    assert!(found.len() > 60, "{}", found.len());
    assert!(found.windows(2).all(|two| two[1] == two[0] + 1));
}

#[test]
fn a_torn_line_costs_itself_only() {
    let state_dir = directory("events-torn");
    std::fs::create_dir_all(&state_dir).unwrap();
    let mut still = Still::open(&state_dir, StoreConfig::default());
    append(&mut still, 1..4);
    drop(still);
    let file = state_dir.join("events.jsonl");
    let whole = std::fs::read(&file).unwrap();
    let cut = std::fs::File::options().write(true).open(&file).unwrap();
    cut.set_len(whole.len() as u64 - 7).unwrap();
    let mut still = Still::open(&state_dir, StoreConfig::default());
    assert_eq!(ids(&still.loaded.events), [1, 2]);
    append(&mut still, 4..6);
    drop(still);
    let still = Still::open(&state_dir, StoreConfig::default());
    assert_eq!(ids(&still.loaded.events), [1, 2, 4, 5]);
}

#[test]
fn a_disk_that_refuses_gets_the_lines_later_and_nobody_waits() {
    let disk = CutDisk::new();
    let mut still = Still::on(Box::new(disk.clone()), StoreConfig::default());
    disk.world().cut = Some(0);
    let (written, mut when_written) = oneshot::channel();
    still.turn(|inbox| {
        inbox.events.append(line(1));
        inbox.events.save(saved(1), written);
    });
    assert_eq!(when_written.try_recv(), Ok(()));
    disk.world().cut = None;
    append(&mut still, 2..3);
    drop(still);
    let loaded = Still::on(Box::new(disk), StoreConfig::default()).loaded;
    assert_eq!(ids(&loaded.events), [1, 2]);
    assert_eq!(loaded.events.saved, Some(saved(1)));
}

/// A box that logs, saves what object 20 holds now and then, and loses its power before a step of
/// chance. What was synced is there, and a number is never given to two lines that both are.
fn history(seed: u64) {
    let mut chance = Chance::new(seed);
    let disk = CutDisk::new();
    let config = StoreConfig {
        events_max: 6000,
        flush: Duration::from_secs(3600),
        ..StoreConfig::default()
    };
    let mut synced = 0;
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    for _ in 0..8 {
        let mut still = Still::on(Box::new(disk.clone()), config);
        let LoadedLog {
            saved: found,
            lines,
        } = &still.loaded.events;
        let last_line = lines.last().map_or(0, |entry: &Entry| entry.id);
        let last_saved = found.as_ref().map_or(0, last_of);
        assert!(last_line >= synced, "seed {seed}: {last_line} of {synced}");
        assert!(
            last_saved <= last_line,
            "seed {seed}: the snapshot knows more than the files"
        );
        seen.extend(ids(&still.loaded.events));
        let mut next = last_line + 1;
        disk.world().steps = 0;
        disk.world().cut = Some(1 + chance.below(60));
        for _ in 0..chance.below(40) {
            match chance.below(4) {
                0 => still.writer.write(),
                1 => {
                    let (written, _) = oneshot::channel();
                    let log = saved(next - 1);
                    still.turn(|inbox| inbox.events.save(log, written));
                }
                _ => {
                    append(&mut still, next..next + 3);
                    next += 3;
                }
            }
            let is_on = {
                let world = disk.world();
                world.cut.is_none_or(|cut| world.steps <= cut)
            };
            if !is_on {
                break;
            }
            if !still.writer.has_unsynced_events() {
                synced = next - 1;
            }
        }
        drop(still);
        disk.world().lose(&mut chance);
        disk.world().cut = None;
    }
    assert!(!seen.is_empty(), "seed {seed}");
}

fn last_of(saved: &SavedLog) -> u64 {
    serde_json::to_value(saved).unwrap()["last"]
        .as_u64()
        .unwrap()
}

#[test]
fn what_was_synced_survives_a_power_cut_before_any_step() {
    for seed in 1..200 {
        let run = std::panic::catch_unwind(|| history(seed));
        assert!(run.is_ok(), "seed {seed}");
    }
}

#[tokio::test]
async fn older_events_are_read_from_the_files_and_newer_ones_from_memory() {
    let state_dir = directory("events-history");
    std::fs::create_dir_all(&state_dir).unwrap();
    let mut still = Still::open(&state_dir, StoreConfig::default());
    for thousand in 0..3 {
        append(&mut still, 1 + thousand * 1000..1001 + thousand * 1000);
    }
    drop(still);
    let (store, loaded) = Store::open(&state_dir, StoreConfig::default(), Clock::of(BootId(1)));
    let first = loaded.events.lines[0].id;
    assert!(
        first > 1000,
        "the end of the file is all that is read at start"
    );
    let kept = (store.event_sink(), state_dir);
    let log = EventLog::new(|| crate::fake::now_at(1), loaded.events, Some(kept));
    let mut since = 0;
    let mut all = Vec::new();
    loop {
        let page = log.events(Some(since), 700).await;
        let Some(last) = page.last() else { break };
        since = last.id;
        all.extend(page.into_iter().map(|event| event.id));
    }
    assert!(all.iter().copied().eq(1..3001), "{} events", all.len());
    let newest: Vec<u64> = log.events(None, 3).await.iter().map(|one| one.id).collect();
    assert_eq!(newest, [2998, 2999, 3000]);
    store.close();
}
