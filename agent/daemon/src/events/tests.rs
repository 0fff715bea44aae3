//! The log as a whole.

use std::{path::Path, sync::Arc, time::Duration};

use lamplighter_lwm2m::boundary::Event;
use lamplighter_model::{BootId, Ssid, device::Origin};

use super::*;
use crate::{
    clock::Clock,
    fake::now_at,
    store::{Store, StoreConfig},
};

fn refused(path: &str) -> News {
    let event = Event::Refused {
        by: Origin::Server(Ssid(102)),
        operation: "execute",
        path: path.parse().unwrap(),
        code: "4.01 there is no right to execute here".to_owned(),
    };
    let names = [(Ssid(102), "b".to_owned())].into_iter();
    Names::new(names).of_core(&event).unwrap()
}

fn in_memory() -> EventLog {
    EventLog::new(|| now_at(100), LoadedLog::default(), None)
}

/// As the agent starts it.
fn on_disk(directory: &Path) -> (EventLog, Store) {
    let clock = Clock::of(BootId(1));
    let (store, loaded) = Store::open(directory, StoreConfig::default(), clock);
    let kept = (store.event_sink(), directory.to_owned());
    (
        EventLog::new(|| now_at(100), loaded.events, Some(kept)),
        store,
    )
}

fn data(log: &EventLog, instance: u16) -> String {
    let data = log
        .collection(instance)
        .unwrap()
        .data(instance, now_at(100));
    String::from_utf8(data).unwrap()
}

#[tokio::test]
async fn what_was_refused_is_told_to_people_and_stands_in_object_20() {
    let log = in_memory();
    log.tell(refused("/3/0/4"));
    log.tell(News::new(Class::System, "started"));
    let events = log.events(None, 10).await;
    let shown: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event.id,
                event.class,
                event.what.as_str(),
                event.about.as_str(),
            )
        })
        .collect();
    let expected = [
        (1, Class::Security, "refused", "/3/0/4"),
        (2, Class::System, "started", ""),
    ];
    assert_eq!(shown, expected);
    assert_eq!(
        (events[0].by.as_str(), events[0].time.is_some()),
        ("server b", true)
    );
    let line = "1970-01-01T00:01:40.000Z security refused /3/0/4 by server b: execute: 4.01 there \
        is no right to execute here";
    assert_eq!(data(&log, 0), line);
    assert_eq!(data(&log, 1).lines().count(), 2);
}

#[tokio::test]
async fn values_that_were_written_are_for_people_only() {
    let log = in_memory();
    let obeyed = Event::Obeyed {
        by: Origin::Local("anna (local)".to_owned()),
        operation: "write",
        path: "/3308/0/5900".parse().unwrap(),
        detail: "/3308/0/5900 = 21.5".to_owned(),
    };
    log.tell(Names::default().of_core(&obeyed).unwrap());
    let events = log.events(None, 10).await;
    assert_eq!(events[0].text, "write /3308/0/5900 = 21.5");
    assert_eq!(events[0].by, "anna (local)");
    assert!(data(&log, 1).ends_with("event obeyed /3308/0/5900 by anna (local): write"));
}

#[test]
fn accounts_and_rights_are_matters_of_security() {
    for (path, class) in [
        ("/1/0/1", Class::Security),
        ("/2/3/2", Class::Security),
        ("/3/0/13", Class::Event),
    ] {
        let obeyed = Event::Obeyed {
            by: Origin::Server(Ssid(101)),
            operation: "write",
            path: path.parse().unwrap(),
            detail: String::new(),
        };
        assert_eq!(
            Names::default().of_core(&obeyed).unwrap().class,
            class,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_flood_is_cut_counted_and_seen_in_object_20() {
    let seconds = Arc::new(std::sync::atomic::AtomicU64::new(100));
    let clock = Arc::clone(&seconds);
    let now = move || now_at(clock.load(std::sync::atomic::Ordering::Relaxed));
    let log = EventLog::new(now, LoadedLog::default(), None);
    for _ in 0..1000 {
        log.tell(refused("/3/0/4"));
    }
    log.tell(News::new(Class::System, "started"));
    let events = log.events(Some(0), 1000).await;
    assert_eq!(events.len(), 201, "the other classes are not hindered");
    assert_eq!(log.collection(0).unwrap().status() & 0b100, 0b100);
    seconds.store(102, std::sync::atomic::Ordering::Relaxed);
    log.tell(refused("/3/0/5"));
    let events = log.events(Some(201), 1000).await;
    assert_eq!(events[0].text, "800 events of this class were not logged");
    assert_eq!(events[1].about, "/3/0/5");
}

#[tokio::test]
async fn a_log_that_was_stopped_stays_so_over_a_restart() {
    let directory = crate::fake::directory("events-stopped");
    let (log, store) = on_disk(&directory);
    log.tell(refused("/3/0/4"));
    let stop = |collection: &mut Collection| {
        collection.stop(false);
        Ok(())
    };
    log.change(0, stop).await.unwrap();
    log.change(1, |collection| collection.set_format(2))
        .await
        .unwrap();
    log.tell(refused("/3/0/5"));
    // Killed: nothing is written that was not already.
    wait_for_line(&directory, "/3/0/5");
    std::mem::forget(store);
    let (log, _store) = on_disk(&directory);
    assert_eq!(log.collection(0).unwrap().status(), 0b11);
    assert_eq!(data(&log, 0).lines().count(), 1);
    assert_eq!(log.collection(1).unwrap().format(), 2);
    let all = data(&log, 1);
    assert!(all.contains("/3/0/4") && all.contains("/3/0/5"), "{all}");
    log.tell(refused("/3/0/6"));
    assert_eq!(log.events(None, 1).await[0].id, 3);
}

/// The thread writes as soon as it is told.
fn wait_for_line(directory: &Path, words: &str) {
    let file = directory.join("events.jsonl");
    while !std::fs::read_to_string(&file)
        .unwrap_or_default()
        .contains(words)
    {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn what_object_20_holds_is_found_again_behind_any_number_of_events() {
    let directory = crate::fake::directory("events-many");
    let (log, store) = on_disk(&directory);
    log.tell(refused("/3/0/4"));
    for round in 0..6 {
        // Each class has its own pace.
        for class in [Class::Event, Class::System] {
            for _ in 0..200 {
                let text = "y".repeat(180);
                log.tell(
                    News::new(class, "filler")
                        .about(round.to_string())
                        .text(text),
                );
            }
        }
    }
    store.close();
    let (log, _store) = on_disk(&directory);
    assert_eq!(log.collection(0).unwrap().status(), 0b10);
    assert!(data(&log, 0).contains("refused /3/0/4"));
}

#[tokio::test]
async fn a_bad_value_changes_nothing() {
    let log = in_memory();
    let before = log.collection(0);
    let change = |collection: &mut Collection| {
        collection.set_format(2)?;
        collection.set_class(77)
    };
    assert!(matches!(
        log.change(0, change).await,
        Err(Fault::BadValue(_))
    ));
    assert_eq!(log.collection(0), before);
    assert!(matches!(
        log.change(9, |_| Ok(())).await,
        Err(Fault::Unsupported)
    ));
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_is_told_of_what_comes() {
    let log = in_memory();
    let mut revisions = log.revisions();
    log.tell(refused("/3/0/4"));
    tokio::time::timeout(Duration::from_secs(1), revisions.changed())
        .await
        .unwrap()
        .unwrap();
}
