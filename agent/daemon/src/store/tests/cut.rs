//! A disk whose power can be taken away before any operation, and histories with kills and cuts.
//!
//! What was written and not synced may be lost in part: any of the writes, each also torn, in any
//! order; of changed names a prefix, as a journalling file system has it. A transaction of the
//! database is there or not.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
};

use lamplighter_model::{BootId, device::Origin};
use lamplighter_site::saved::{SavedCounters, SavedGroup, SavedMoment, SavedOutput, SavedPart};
use rusqlite::{Connection, OpenFlags};

use super::*;

/// A small generator, so that a seed gives the same history everywhere.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

#[derive(Debug, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Put(String, usize),
    Removed(String),
    Renamed(String, String),
}

/// What there is beside the process.
#[derive(Debug)]
pub(super) struct World {
    base: String,
    /// Keeps the database alive.
    _keeper: Connection,
    has_base: bool,
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    processes: u64,
    pub(super) steps: u64,
    /// The power goes before this step.
    pub(super) cut: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct CutDisk(Arc<Mutex<World>>);

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

fn apply(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    match change {
        NameChange::Put(name, inode) => drop(names.insert(name.clone(), *inode)),
        NameChange::Removed(name) => drop(names.remove(name)),
        NameChange::Renamed(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

impl World {
    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        match self.cut {
            Some(cut) if self.steps > cut => Err(io::Error::other("no power")),
            _ => Ok(()),
        }
    }

    fn change_names(&mut self, change: NameChange) {
        apply(&mut self.names, &change);
        self.pending_names.push(change);
    }

    /// What is left after the power came back.
    pub(super) fn lose(&mut self, chance: &mut Chance) {
        let mode = chance.below(4);
        let named = match mode {
            0 => 0,
            1 => self.pending_names.len(),
            _ => chance.below(self.pending_names.len() as u64 + 1) as usize,
        };
        for change in std::mem::take(&mut self.pending_names).iter().take(named) {
            apply(&mut self.durable_names, change);
        }
        self.names = self.durable_names.clone();
        for inode in &mut self.inodes {
            let mut content = std::mem::take(&mut inode.durable);
            for (at, bytes) in std::mem::take(&mut inode.pending) {
                let all = bytes.len();
                let kept = match mode {
                    0 => 0,
                    1 => all,
                    _ if chance.below(2) == 0 => 0,
                    2 => all,
                    _ => chance.below(all as u64 + 1) as usize,
                };
                put(&mut content, at, &bytes[..kept]);
            }
            inode.durable.clone_from(&content);
            inode.content = content;
        }
        (self.steps, self.cut) = (0, None);
    }
}

impl CutDisk {
    pub(super) fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let base = format!("file:cut{number}?mode=memory&cache=shared");
        Self(Arc::new(Mutex::new(World {
            _keeper: connect(&base).unwrap(),
            base,
            has_base: false,
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            processes: 0,
            steps: 0,
            cut: None,
        })))
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

fn connect(base: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(base, flags)
}

impl Disk for CutDisk {
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let world = self.world();
        let inode = world.names.get(name);
        Ok(inode.map(|inode| world.inodes[*inode].content.clone()))
    }

    fn end(&mut self, name: &str, most: usize) -> io::Result<Option<(u64, Vec<u8>)>> {
        let content = self.read(name)?;
        Ok(content.map(|content| {
            let from = content.len().saturating_sub(most);
            (content.len() as u64, content[from..].to_vec())
        }))
    }

    fn write_at(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.world();
        world.step()?;
        let inode = match world.names.get(name) {
            Some(inode) => *inode,
            None => {
                world.inodes.push(Inode::default());
                let inode = world.inodes.len() - 1;
                world.change_names(NameChange::Put(name.to_owned(), inode));
                inode
            }
        };
        let inode = &mut world.inodes[inode];
        put(&mut inode.content, at as usize, bytes);
        inode.pending.push((at as usize, bytes.to_vec()));
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.step()?;
        let inode = world.names[name];
        let inode = &mut world.inodes[inode];
        inode.durable.clone_from(&inode.content);
        inode.pending.clear();
        Ok(())
    }

    fn link(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.world();
        world.step()?;
        let inode = world.names.get(from).copied();
        let inode = inode.ok_or(io::ErrorKind::NotFound)?;
        world.change_names(NameChange::Removed(to.to_owned()));
        world.change_names(NameChange::Put(to.to_owned(), inode));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.step()?;
        world.change_names(NameChange::Removed(name.to_owned()));
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.world();
        world.step()?;
        world.change_names(NameChange::Renamed(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn names(&mut self) -> io::Result<Vec<String>> {
        let world = self.world();
        let base = world.has_base.then(|| base::FILE.to_owned());
        Ok(world.names.keys().cloned().chain(base).collect())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let mut world = self.world();
        world.step()?;
        world.pending_names.clear();
        world.durable_names = world.names.clone();
        Ok(())
    }

    fn database(&mut self, _: &str) -> rusqlite::Result<Connection> {
        let mut world = self.world();
        world.has_base = true;
        connect(&world.base)
    }

    fn process(&mut self) -> u64 {
        let mut world = self.world();
        world.processes += 1;
        world.processes
    }

    fn before_commit(&mut self) -> io::Result<()> {
        self.world().step()
    }
}

/// What of one key may be found: what it was told to be, in order, from the latest that must be
/// durable on.
#[derive(Clone, Debug)]
struct Known<T> {
    told: Vec<T>,
    durable: usize,
}

impl<T: Clone + PartialEq + std::fmt::Debug> Known<T> {
    fn new(first: T) -> Self {
        Self {
            told: vec![first],
            durable: 0,
        }
    }

    fn tell(&mut self, value: T) {
        self.told.push(value);
    }

    fn flushed(&mut self) {
        self.durable = self.told.len() - 1;
    }

    fn found(&mut self, value: T, lost_power: bool, what: &str) {
        let possible = match lost_power {
            true => &self.told[self.durable..],
            false => &self.told[self.told.len() - 1..],
        };
        assert!(
            possible.contains(&value),
            "{what}: {value:?} of {possible:?}"
        );
        if lost_power {
            *self = Self::new(value);
        }
    }
}

/// What must be found.
struct Model {
    accounts: BTreeMap<u16, Known<u32>>,
    site: Known<u64>,
    /// Of every number that may be there.
    values: BTreeMap<u64, Kept>,
    next: u64,
    flushed_next: u64,
    forgotten: u64,
    flushed_forgotten: u64,
    /// Below it everything may have been dropped.
    dropped_below: u64,
    serial: u64,
}

const ACCOUNTS: u16 = 3;

/// A client of its own for each account; 0 is the box.
fn account(serial: u32) -> Record {
    record(&serial.to_string())
}

/// All of the site, or the lamp alone.
fn site(serial: u64, chance: &mut Chance) -> SavedChange {
    let counters = SavedCounters {
        switches: serial,
        ..SavedCounters::default()
    };
    let output = SavedOutput {
        counters,
        ..SavedOutput::default()
    };
    let outputs = [("lamp".to_owned(), output)].into();
    if chance.below(4) == 0 {
        return SavedChange::Whole(SavedSite {
            outputs,
            ..SavedSite::default()
        });
    }
    let filler = SavedGroup {
        level: 0,
        // Fills the tail sooner.
        by: Origin::Rule("x".repeat(chance.below(20_000) as usize)),
        since: SavedMoment {
            boot: BootId(1),
            mono_ns: 0,
            unix: None,
        },
    };
    let rest = (chance.below(2) == 0).then(|| SavedSite {
        groups: [("filler".to_owned(), filler)].into(),
        ..SavedSite::default()
    });
    SavedChange::Part(SavedPart {
        outputs,
        rest: rest.map(Box::new),
    })
}

impl Model {
    fn new() -> Self {
        Self {
            accounts: (1..=ACCOUNTS).map(|id| (id, Known::new(0))).collect(),
            site: Known::new(0),
            values: BTreeMap::new(),
            next: 0,
            flushed_next: 0,
            forgotten: 0,
            flushed_forgotten: 0,
            dropped_below: 0,
            serial: 0,
        }
    }

    fn flushed(&mut self) {
        self.accounts.values_mut().for_each(Known::flushed);
        self.flushed_next = self.next;
        self.flushed_forgotten = self.forgotten;
    }

    /// One thing that the loop does; `false` when the power is gone.
    fn act(&mut self, still: &mut Still, disk: &CutDisk, chance: &mut Chance) -> bool {
        self.serial += 1;
        let serial = self.serial;
        match chance.below(10) {
            0 | 1 => self.change_account(still, chance, serial),
            2 => {
                self.site.tell(serial);
                let change = site(serial, chance);
                still.turn(|inbox| inbox.save_site(change));
                if is_on(disk) {
                    self.site.flushed();
                }
            }
            3..=6 => self.keep(still, chance, serial),
            7 => {
                let wanted = self.next - self.forgotten;
                self.forgotten += chance.below(wanted + 1);
                if self.forgotten > 0 {
                    still.forget(self.forgotten - 1);
                }
            }
            8 => self.check_fetch(still, disk, chance),
            _ => {
                still.writer.write();
                if is_on(disk) {
                    self.flushed();
                }
            }
        }
        self.dropped_below = self.dropped_below.max(still.drops.first);
        is_on(disk)
    }

    fn change_account(&mut self, still: &mut Still, chance: &mut Chance, serial: u64) {
        let id = 1 + chance.below(u64::from(ACCOUNTS)) as u16;
        let known = self.accounts.get_mut(&id).unwrap();
        known.tell(serial as u32);
        let record = account(serial as u32);
        // Fills the tail sooner.
        let filler = self::record(&"x".repeat(chance.below(9000) as usize));
        let is_urgent = chance.below(2) == 0;
        let mut together = vec![record.clone()];
        if chance.below(4) == 0 {
            // Keys are others: what came before is written over.
            together.push(Record::Given(None));
        }
        let reports = still.turn(|inbox| match is_urgent {
            true => inbox.commit(ClientId(id), CommitId(serial), together),
            false => {
                inbox.journal(BOX, filler);
                inbox.journal(ClientId(id), record);
            }
        });
        let refused = |report: &Stored| matches!(report, Stored::Trouble(Some(_)));
        if is_urgent && !reports.iter().any(refused) {
            known.flushed();
        }
    }

    fn keep(&mut self, still: &mut Still, chance: &mut Chance, serial: u64) {
        let samples: Vec<Kept> = (0..1 + chance.below(6))
            .map(|_| {
                let mut kept = kept(self.next);
                let mut bytes = serial.to_le_bytes().to_vec();
                let length = match chance.below(30) {
                    0 => 40_000,
                    _ => 10 + chance.below(4000) as usize,
                };
                bytes.resize(length, 0);
                kept.sample.value = Value::Opaque(bytes);
                self.values.insert(self.next, kept.clone());
                self.next += 1;
                kept
            })
            .collect();
        still.keep(samples);
    }

    fn check_fetch(&self, still: &mut Still, disk: &CutDisk, chance: &mut Chance) {
        let from = self.dropped_below.max(self.forgotten);
        let from = from + chance.below(self.next.max(from) - from + 1);
        let limit = 1 + chance.below(40) as usize;
        let found = still.fetch_all(from, limit);
        if is_on(disk) {
            let expected = self.values.range(from..self.next).take(limit);
            let expected: Vec<_> = expected.map(|(_, kept)| kept.clone()).collect();
            assert_eq!(numbers(&found), numbers(&expected));
            assert_eq!(found, expected);
        }
    }

    /// Compares what a new process finds, and goes on from there.
    fn found(&mut self, still: &mut Still, lost_power: bool) {
        for (id, known) in &mut self.accounts {
            let of = |(client, record): &(ClientId, Record)| {
                let Record::Device(saved) = record else {
                    return None;
                };
                let mine = saved.timezone.as_ref().filter(|_| client.0 == *id);
                mine.and_then(|serial| serial.parse().ok())
            };
            let found = still.loaded.records.iter().find_map(of).unwrap_or_default();
            known.found(found, lost_power, "account");
        }
        let saved = still.loaded.site.as_ref();
        let switches = saved.map_or(0, |site| site.outputs["lamp"].counters.switches);
        self.site.found(switches, lost_power, "site");
        self.found_queue(still, lost_power);
        if !lost_power {
            return;
        }
        self.flushed_next = self.next;
        self.flushed_forgotten = self.forgotten;
    }

    fn found_queue(&mut self, still: &mut Still, lost_power: bool) {
        let saved = still.queue();
        let found = still.fetch_all(0, usize::MAX);
        let there = numbers(&found);
        let (must_next, must_forgotten) = match lost_power {
            true => (self.flushed_next, self.flushed_forgotten),
            false => (self.next, self.forgotten),
        };
        assert!(
            saved.next >= must_next && saved.next <= self.next,
            "{saved:?}"
        );
        let first = there.first().copied().unwrap_or(saved.next);
        assert!(
            first >= must_forgotten.min(saved.next),
            "{first} {must_forgotten}"
        );
        assert!(there.is_sorted_by(|a, b| a + 1 == *b), "{there:?}");
        let needed = self.forgotten.max(self.dropped_below);
        let needed: Vec<u64> = (needed..must_next).collect();
        assert!(
            needed.iter().all(|number| there.contains(number)),
            "{needed:?} {there:?}"
        );
        for kept in &found {
            assert_eq!(self.values.get(&kept.number), Some(kept));
        }
        if !there.is_empty() {
            assert_eq!(
                (first, there.last()),
                (saved.first, Some(&(saved.next - 1)))
            );
        }
        if !lost_power {
            return;
        }
        self.next = saved.next;
        self.forgotten = self.forgotten.min(first).max(must_forgotten.min(first));
        self.dropped_below = self.dropped_below.min(first);
        self.values = found.into_iter().map(|kept| (kept.number, kept)).collect();
    }
}

fn numbers(samples: &[Kept]) -> Vec<u64> {
    samples.iter().map(|kept| kept.number).collect()
}

fn is_on(disk: &CutDisk) -> bool {
    let world = disk.world();
    world.cut.is_none_or(|cut| world.steps <= cut)
}

fn bound() -> StoreConfig {
    StoreConfig {
        history_max: 1 << 20,
        queue_max: 400_000,
        flush: Duration::from_secs(3600),
        events_max: 400_000,
        block: 32 * 1024,
    }
}

fn process(disk: &CutDisk) -> Still {
    Still::on(Box::new(disk.clone()), bound())
}

/// Lives of a box, each ended by a kill or by a power cut before a step of chance.
fn history(seed: u64) {
    let mut chance = Chance::new(seed);
    let disk = CutDisk::new();
    let mut model = Model::new();
    let mut lost_power = None;
    for _ in 0..6 {
        let mut still = process(&disk);
        if let Some(lost_power) = lost_power {
            model.found(&mut still, lost_power);
        }
        disk.world().steps = 0;
        disk.world().cut = (chance.below(3) > 0).then(|| 1 + chance.below(120));
        for _ in 0..10 + chance.below(60) {
            if !model.act(&mut still, &disk, &mut chance) {
                break;
            }
        }
        drop(still);
        let is_cut = disk.world().cut.is_some();
        if is_cut {
            disk.world().lose(&mut chance);
        }
        lost_power = Some(is_cut);
    }
}

/// `STORE_HISTORIES` says how many, where 100 are not enough.
#[test]
fn kills_and_power_cuts_leave_the_old_or_the_new_state() {
    let more = std::env::var("STORE_HISTORIES").ok();
    let histories = more.and_then(|more| more.parse().ok()).unwrap_or(100);
    for seed in 0..histories {
        let run = std::panic::catch_unwind(|| history(seed));
        assert!(run.is_ok(), "seed {seed}");
    }
}

/// One history, cut before each of its steps in turn.
#[test]
fn there_is_no_step_before_which_a_power_cut_harms() {
    for seed in 0..6 {
        for cut in 0.. {
            let mut chance = Chance::new(1000 + seed);
            let disk = CutDisk::new();
            let mut model = Model::new();
            let mut still = process(&disk);
            disk.world().cut = Some(cut);
            let is_through = (0..60).all(|_| model.act(&mut still, &disk, &mut chance));
            drop(still);
            let mut chance = Chance::new(cut);
            disk.world().lose(&mut chance);
            let mut still = process(&disk);
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                model.found(&mut still, true);
            }));
            assert!(found.is_ok(), "seed {seed} cut {cut}");
            if is_through {
                break;
            }
        }
    }
}
