//! The store as a whole, on real files.

mod board;
mod cut;
mod erase;
mod events;
mod flash;
mod history;

use std::path::PathBuf;

use lamplighter_lwm2m::{
    saved::{
        GivenAccount, Moment, SavedDevice, SavedFallback, SavedGiven, SavedInstance, SavedQueue,
    },
    security::{Secret, SecurityAccount},
};
use lamplighter_model::{BootId, Now, ResourceAddress, Sample, Stamp, Value};

use super::{inbox::Inbox, *};

const BOX: ClientId = ClientId(0);
const SERVER: Ssid = Ssid(101);

fn record(zone: &str) -> Record {
    Record::Device(SavedDevice {
        timezone: Some(zone.to_owned()),
        utc_offset: None,
    })
}

fn kept(number: u64) -> Kept {
    let at = Stamp {
        boot: BootId(1),
        mono: Duration::from_millis(number * 20),
    };
    let address = ResourceAddress::gateway(3303, (number % 7) as u16, 5700);
    let value = Value::Float((number * 7919 % 1000) as f64 / 8.0);
    Kept {
        number,
        sample: Sample::good(address, value, at),
    }
}

fn range(numbers: std::ops::Range<u64>) -> Vec<Kept> {
    numbers.map(kept).collect()
}

/// A writer whose thread does not run, and what it reports.
struct Still {
    writer: Writer,
    shared: Shared,
    stored: mpsc::UnboundedReceiver<Stored>,
    loaded: Loaded,
    /// Reported since the start.
    drops: Drops,
}

#[derive(Clone, Copy, Debug, Default)]
struct Drops {
    first: u64,
    count: u64,
}

impl Still {
    fn open(state_dir: &Path, config: StoreConfig) -> Self {
        Self::on(Box::new(StateDir::new(state_dir)), config)
    }

    fn on(disk: Box<dyn Disk>, config: StoreConfig) -> Self {
        Self::at_start(disk, config, 1)
    }

    /// A process at this start of the machine.
    fn at_start(disk: Box<dyn Disk>, config: StoreConfig, boot: u32) -> Self {
        let clock = Clock::of(BootId(boot));
        let (reports, stored) = mpsc::unbounded_channel();
        let (writer, loaded) = load(disk, config, clock, reports);
        Self {
            writer,
            shared: Shared::default(),
            stored,
            loaded,
            drops: Drops::default(),
        }
    }

    fn turn(&mut self, change: impl FnOnce(&mut Inbox)) -> Vec<Stored> {
        self.shared.put(change);
        let inbox = self.shared.take(Some(Duration::ZERO));
        self.writer.turn(inbox, &self.shared);
        self.reports()
    }

    fn reports(&mut self) -> Vec<Stored> {
        let reports: Vec<_> = std::iter::from_fn(|| self.stored.try_recv().ok()).collect();
        for report in &reports {
            if let Stored::Dropped { first, count, .. } = report {
                self.drops.first = *first;
                self.drops.count += count;
            }
        }
        reports
    }

    fn keep(&mut self, samples: Vec<Kept>) -> Vec<Stored> {
        self.turn(|inbox| inbox.keep((BOX, SERVER), samples))
    }

    fn fetch(&mut self, from: u64, limit: usize) -> Vec<Kept> {
        let owner = (BOX, SERVER);
        let reports = self.turn(|inbox| inbox.wanted.push(Wanted { owner, from, limit }));
        let [Stored::Kept(BOX, SERVER, found)] = &reports[..] else {
            panic!("{reports:?}");
        };
        found.clone()
    }

    /// What is found, also where the disk refuses.
    fn fetch_all(&mut self, from: u64, limit: usize) -> Vec<Kept> {
        let owner = (BOX, SERVER);
        let reports = self.turn(|inbox| inbox.wanted.push(Wanted { owner, from, limit }));
        let kept = reports.into_iter().find_map(|report| match report {
            Stored::Kept(BOX, SERVER, found) => Some(found),
            Stored::Kept(..)
            | Stored::Committed(..)
            | Stored::Dropped { .. }
            | Stored::Erased(..)
            | Stored::SiteSaved
            | Stored::Trouble(_) => None,
        });
        kept.unwrap_or_default()
    }

    fn forget(&mut self, up_to: u64) {
        self.turn(|inbox| {
            inbox.forgotten.insert((BOX, SERVER), up_to);
        });
    }

    fn queue(&self) -> SavedQueue {
        let of = |(_, record): &(ClientId, Record)| {
            let Record::Queue(SERVER, saved) = record else {
                return None;
            };
            Some(*saved)
        };
        self.loaded.records.iter().find_map(of).unwrap_or_default()
    }
}

fn config(flush: Duration) -> StoreConfig {
    StoreConfig {
        flush,
        ..StoreConfig::default()
    }
}

fn directory(name: &str) -> PathBuf {
    crate::fake::directory(name).join("later")
}

/// `core.cbor` and `site.cbor` as the first version left them, without a tail.
#[test]
fn what_the_first_version_saved_is_understood() {
    let state_dir = crate::fake::directory("first-version");
    let mut disk = StateDir::new(&state_dir);
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/saved");
    for (vector, name) in [("core-1.cbor", "core.cbor"), ("site-1.cbor", "site.cbor")] {
        let bytes = std::fs::read(vectors.join(vector)).unwrap();
        disk.write_at(name, 0, &bytes).unwrap();
    }
    let loaded = Still::open(&state_dir, StoreConfig::default()).loaded;
    let keys = loaded
        .records
        .iter()
        .map(|(_, record)| record.key().to_string());
    assert_eq!(
        keys.collect::<Vec<_>>(),
        [
            "account/101",
            "attributes/101/3303/0/5700",
            "device",
            "observation/101/046e4837",
            "observation/101/2aecff2f",
            "registration/101",
            "registration/102",
            "registration/103",
        ]
    );
    let site = loaded.site.unwrap();
    assert!(site.outputs.contains_key("lamps.l1"), "{site:?}");
}

#[test]
fn what_the_disk_refused_is_written_when_it_takes_again() {
    let state_dir = directory("refused");
    let mut still = Still::open(&state_dir, config(Duration::ZERO));
    let reports = still.turn(|inbox| {
        inbox.commit(BOX, CommitId(1), vec![record("a")]);
        inbox.save_site(SavedChange::Whole(SavedSite::default()));
        inbox.keep((BOX, SERVER), range(0..3));
    });
    assert!(
        matches!(
            reports[..],
            [
                Stored::Trouble(Some(_)),
                Stored::Committed(BOX, CommitId(1)),
                Stored::SiteSaved
            ]
        ),
        "{reports:?}"
    );
    std::fs::create_dir(&state_dir).unwrap();
    let inbox = still.shared.take(Some(Duration::ZERO));
    still.writer.turn(inbox, &still.shared);
    still.writer.flush_due();
    still.writer.flush_due();
    assert_eq!(still.reports(), [Stored::Trouble(None)]);
    let mut again = Still::open(&state_dir, StoreConfig::default());
    assert_eq!(again.loaded.records[0], (BOX, record("a")));
    assert!(again.loaded.site.is_some());
    assert_eq!(again.fetch(0, 9), range(0..3));
}

#[test]
fn a_journalled_record_is_there_after_a_kill() {
    let state_dir = crate::fake::directory("journalled");
    let mut still = Still::open(&state_dir, config(Duration::from_secs(3600)));
    for zone in ["a", "b"] {
        still.turn(|inbox| {
            inbox.journal(BOX, record(zone));
        });
    }
    let loaded = Still::open(&state_dir, StoreConfig::default()).loaded;
    assert_eq!(loaded.records, [(BOX, record("b"))]);
}

#[test]
fn nobody_waits_for_a_store_that_has_ended() {
    let (mut store, _) = Store::open(
        &crate::fake::directory("ended"),
        StoreConfig::default(),
        Clock::of(BootId(1)),
    );
    store.shared.lock().is_dead = true;
    store.commit(BOX, CommitId(7), vec![record("a")]);
    assert!(matches!(
        store.stored.try_recv(),
        Ok(Stored::Trouble(Some(_)))
    ));
    assert_eq!(
        store.stored.try_recv(),
        Ok(Stored::Committed(BOX, CommitId(7)))
    );
}

#[test]
fn samples_come_back_in_order_after_kills_and_are_gone_when_forgotten() {
    let state_dir = crate::fake::directory("queue");
    let mut next = 0;
    for life in 0..4 {
        let mut still = Still::open(&state_dir, StoreConfig::default());
        let expected = SavedQueue {
            first: if life == 0 { 0 } else { next / 2 },
            next,
            dropped: 0,
        };
        assert_eq!(still.queue(), expected);
        for _ in 0..30 {
            still.keep(range(next..next + 400));
            next += 400;
        }
        let mut from = next / 2;
        while from < next {
            let found = still.fetch(from, 1000);
            assert_eq!(found, range(from..(from + 1000).min(next)));
            from += 1000;
        }
        assert_eq!(still.fetch(next, 10), []);
        still.forget(next / 2 - 1);
        assert_eq!(still.fetch(0, 2), range(next / 2..next / 2 + 2));
    }
}

#[test]
fn what_exceeds_the_bound_is_dropped_oldest_first_and_counted() {
    let state_dir = crate::fake::directory("bound");
    let bound = StoreConfig {
        queue_max: 1024 * 1024,
        ..StoreConfig::default()
    };
    let mut still = Still::open(&state_dir, bound);
    let (mut next, mut dropped, mut first) = (0, 0, 0);
    while dropped < 100_000 {
        for report in still.keep(range(next..next + 1000)) {
            let Stored::Dropped {
                first: f, count, ..
            } = report
            else {
                panic!("{report:?}");
            };
            (first, dropped) = (f, dropped + count);
        }
        next += 1000;
    }
    assert_eq!(first, dropped);
    assert_eq!(still.fetch(0, 1), range(first..first + 1));
    let size = std::fs::metadata(state_dir.join("store.db")).unwrap().len();
    assert!(size < 1200 * 1024, "{size}");
    let saved = Still::open(&state_dir, bound).queue();
    assert_eq!(
        saved,
        SavedQueue {
            first,
            next,
            dropped
        }
    );
}

#[test]
fn a_sample_larger_than_a_tail_is_kept_in_its_place() {
    let state_dir = crate::fake::directory("large");
    let mut still = Still::open(&state_dir, StoreConfig::default());
    let mut all = range(0..20);
    all[10].sample.value = Value::Opaque(vec![7; 100_000]);
    still.keep(all.clone());
    assert_eq!(still.fetch(0, 100), all);
    let mut again = Still::open(&state_dir, StoreConfig::default());
    assert_eq!(again.fetch(0, 100), all);
    assert_eq!(again.queue().next, 20);
}

#[test]
fn samples_of_an_earlier_start_get_their_date_where_it_became_known() {
    let state_dir = crate::fake::directory("dates");
    let mut still = Still::open(&state_dir, StoreConfig::default());
    still.keep(range(0..2));
    assert_eq!(still.fetch(0, 9), range(0..2));
    still.writer.write();
    let now = Clock::of(BootId(1)).now();
    let begin = now.unix.unwrap().0 - i64::try_from(now.mono.as_millis()).unwrap();
    let disk = Box::new(StateDir::new(&state_dir));
    let mut later = Still::at_start(disk, StoreConfig::default(), 2);
    for kept in later.fetch(0, 9) {
        let expected = begin + i64::try_from(kept.sample.at.mono.as_millis()).unwrap();
        let told = kept.sample.source_time.unwrap().0;
        assert!(told.abs_diff(expected) < 2000, "{told} {expected}");
    }
}

#[test]
fn a_disk_that_hangs_costs_bounded_memory_and_the_oldest_samples() {
    let mut still = Still::open(&directory("hangs"), StoreConfig::default());
    let (mut next, mut dropped) = (0, 0);
    for _ in 0..40 {
        for report in still.keep(range(next..next + 1000)) {
            match report {
                Stored::Dropped { count, .. } => dropped += count,
                Stored::Trouble(Some(_)) => {}
                Stored::Committed(..)
                | Stored::Erased(..)
                | Stored::Kept(..)
                | Stored::SiteSaved
                | Stored::Trouble(None) => panic!("{report:?}"),
            }
        }
        next += 1000;
    }
    let inbox = still.shared.take(Some(Duration::ZERO));
    let waiting = &inbox.kept[&(BOX, SERVER)];
    let there = waiting.samples.len() as u64;
    assert!(
        there > 1000 && there + waiting.lost + dropped == next,
        "{there}"
    );
    assert_eq!(waiting.samples.back().unwrap().number, next - 1);
}

/// Where a key may stand: as the store writes it, and as it is.
fn forms(key: &[u8]) -> [Vec<u8>; 2] {
    let stored = minicbor_serde::to_vec(Secret::new(key.to_vec())).unwrap();
    [stored, key.to_vec()]
}

fn files_with(state_dir: &Path, key: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(state_dir).unwrap() {
        let path = entry.unwrap().path();
        let content = std::fs::read(&path).unwrap();
        let stands = |form: &Vec<u8>| content.windows(form.len()).any(|part| part == form);
        if forms(key).iter().any(stands) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found.sort();
    found
}

fn given(key: &[u8]) -> Record {
    let account = SecurityAccount {
        secret_key: Secret::new(key.to_vec()),
        ..SecurityAccount::default()
    };
    Record::Given(Some(Box::new(SavedGiven {
        servers: vec![GivenAccount {
            from: 0,
            security: (1, account),
            server: (0, SavedInstance::default()),
            ssid: SERVER,
        }],
        ..SavedGiven::default()
    })))
}

#[test]
fn keys_that_do_not_count_any_more_stand_nowhere() {
    const OLD: &[u8] = b"former-swordfish-of-provider-a";
    const NEW: &[u8] = b"sailfish-of-provider-b-of-today";
    for fillers in [0, 40] {
        let state_dir = crate::fake::directory(&format!("wiped-{fillers}"));
        let mut still = Still::open(&state_dir, StoreConfig::default());
        let mut number = 0;
        let mut commit = |still: &mut Still, records: Vec<Record>| {
            number += 1;
            let reports = still.turn(|inbox| inbox.commit(BOX, CommitId(number), records));
            assert_eq!(reports, [Stored::Committed(BOX, CommitId(number))]);
            for _ in 0..fillers {
                // Enough for some snapshots.
                let filler = record(&"x".repeat(3000));
                still.turn(|inbox| assert!(inbox.journal(BOX, filler)));
            }
        };
        commit(&mut still, vec![given(OLD)]);
        let now = Now {
            boot: BootId(1),
            mono: Duration::ZERO,
            unix: None,
        };
        let fallback = SavedFallback {
            awaited: vec![SERVER],
            began: Moment::of(now),
            parted: Vec::new(),
            records: vec![given(OLD)],
        };
        let on_trial = Record::Fallback(Some(Box::new(fallback)));
        commit(&mut still, vec![given(NEW), on_trial]);
        assert!(!files_with(&state_dir, OLD).is_empty());
        commit(&mut still, vec![Record::Fallback(None)]);
        assert_eq!(files_with(&state_dir, OLD), [""; 0]);
        // And the new one twice, should one of the files be damaged.
        let both = ["core.cbor", "core.cbor.previous"];
        assert_eq!(files_with(&state_dir, NEW), both);
        let again = Still::open(&state_dir, StoreConfig::default());
        assert!(again.loaded.records.contains(&(BOX, given(NEW))));
    }
}
