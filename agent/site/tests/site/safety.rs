//! Random histories over all sources that can want something of an output, with a model of their
//! own that knows the table of the design and nothing of how the site does it.
//!
//! At the line, all the time: no compressor short-cycles, no lamp flickers, nothing goes on beside
//! what an interlock keeps from it. After quiet time: every output does what the table says.
//! Programs are killed between any two things that they say; power goes; adapters answer late,
//! wrongly or never; contacts lie.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod devices;
mod lived;
mod model;
mod plant;
mod step;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_model::{
    ResourceAddress, Value,
    device::{AdapterId, LinkState, OpId, Origin},
};
use lamplighter_site::boundary::{ClockTrust, LockRequest, PointConfig, SiteInput};
use proptest::prelude::*;

use self::{
    model::{Device, Table, Tables, Wanted, Wish},
    plant::{
        AIR, COMPRESSOR_AT, FAIL_SAFE_AFTER, FAN_AT, HAND, HEATER_AT, INPUTS, LOCKS, NAMES,
        SERVER_LOST_AFTER, STREET, TWILIGHT, covers, members, site,
    },
    step::{Step, step},
};
use crate::{
    outcome::Outcome,
    rig::{AHU, LAMPS, Rig, millis, secs, start},
};

struct World {
    rig: Rig,
    devices: Vec<Device>,
    addresses: Vec<ResourceAddress>,
    tables: Vec<Tables>,
    /// Locks that are there, and those of which nobody knows.
    locks: BTreeMap<&'static str, bool>,
    hand: bool,
    dark: bool,
    hot: bool,
    lost: BTreeMap<AdapterId, Duration>,
    no_server_since: Option<Duration>,
    /// What has become of that: at the compressor, in the street.
    server_lost: (bool, bool),
    open: BTreeMap<OpId, Wanted>,
    /// Commands of an output up to this number are over.
    released: [u64; NAMES.len()],
    sequence: u64,
    /// Until then the site may wait for an answer that never comes.
    silent_until: Duration,
    trust: ClockTrust,
    /// Time of the world when the present start of the machine began.
    epoch: Duration,
}

impl World {
    fn new() -> Self {
        let config = site();
        let device = |point: &PointConfig| Device {
            adapter: point.adapter,
            guard: point.guard,
            min_switch: point.min_switch,
            on: false,
            switched: None,
            starts: Vec::new(),
        };
        let mut world = Self {
            devices: config.points.iter().map(device).collect(),
            addresses: config.points.iter().map(|point| point.address).collect(),
            tables: NAMES.iter().map(|_| Tables::new()).collect(),
            rig: Rig::restarted(config, None, start()),
            locks: BTreeMap::new(),
            hand: false,
            dark: false,
            hot: false,
            lost: BTreeMap::new(),
            no_server_since: None,
            server_lost: (false, false),
            open: BTreeMap::new(),
            released: [0; NAMES.len()],
            sequence: 0,
            silent_until: Duration::ZERO,
            trust: ClockTrust::Trusted,
            epoch: Duration::ZERO,
        };
        world.boot();
        world
    }

    /// Adapters declare what they have, tell their inputs, and whether they hear their devices.
    fn boot(&mut self) {
        self.rig.trust(self.trust);
        for (device, address) in self.devices.iter().zip(&self.addresses) {
            self.rig.declare(device.adapter, *address);
        }
        self.rig.declare(LAMPS, HAND);
        self.rig.declare(INPUTS, TWILIGHT);
        self.rig.declare(INPUTS, AIR);
        for adapter in [LAMPS, AHU] {
            let state = if self.lost.contains_key(&adapter) {
                LinkState::Offline
            } else {
                LinkState::Online
            };
            self.rig.link(adapter, state);
        }
        let now = self.elapsed();
        self.lost.values_mut().for_each(|since| *since = now);
        self.tell_inputs();
    }

    fn tell_inputs(&mut self) {
        self.tell_hand();
        self.rig.sample(INPUTS, TWILIGHT, Value::Boolean(self.dark));
        let air = if self.hot { 25.0 } else { 15.0 };
        self.rig.sample(INPUTS, AIR, Value::Float(air));
    }

    fn tell_hand(&mut self) {
        if !self.lost.contains_key(&LAMPS) {
            self.rig.sample(LAMPS, HAND, Value::Boolean(self.hand));
        }
    }

    fn elapsed(&self) -> Duration {
        self.epoch + self.rig.now.mono
    }

    fn take(&mut self, step: Step) {
        self.perform(step);
        self.follow();
    }

    /// The model follows what was answered and what time has done.
    fn follow(&mut self) {
        let done = std::mem::take(&mut self.rig.done);
        for (op, result) in done {
            let Some(wanted) = self.open.remove(&op) else {
                continue;
            };
            if result.is_ok() {
                self.apply(&wanted, true);
            }
        }
        let now = self.elapsed();
        let over = |since: &Duration| *since + FAIL_SAFE_AFTER <= now;
        if self.lost.get(&AHU).is_some_and(over) {
            self.release(FAN_AT, |table| table.device_fail_safe = true);
        }
        let without = self.no_server_since.map(|since| now - since);
        if without.is_some_and(|without| without >= FAIL_SAFE_AFTER) && !self.server_lost.0 {
            self.release(COMPRESSOR_AT, |table| table.server_lost = true);
            self.server_lost.0 = true;
        }
        if without.is_some_and(|without| without >= SERVER_LOST_AFTER) && !self.server_lost.1 {
            STREET
                .iter()
                .for_each(|output| self.release(*output, |_| {}));
            self.server_lost.1 = true;
        }
    }

    fn release(&mut self, output: usize, then: impl Fn(&mut Table)) {
        self.released[output] = self.sequence;
        let release = |table: &mut Table| {
            table.command = None;
            table.group = None;
            then(table);
        };
        // What was not kept any more is begun anew after the kill.
        if self.rig.kill_after.is_some() {
            self.tables[output].may_change(release);
        } else {
            self.tables[output].change(release);
        }
    }

    /// A request was obeyed for sure, or may have been.
    fn apply(&mut self, wanted: &Wanted, is_certain: bool) {
        let mut change = |output: usize, change: &dyn Fn(&mut Table)| {
            if is_certain {
                self.tables[output].change(change);
            } else {
                self.tables[output].may_change(change);
            }
        };
        match wanted {
            Wanted::Command(output, wish, number) => {
                if *number > self.released[*output] {
                    // One that came later may have been accepted before.
                    self.released[*output] = *number;
                    change(*output, &|table| table.command = Some(*wish));
                }
            }
            Wanted::Group(group, wish) => {
                for output in members(*group) {
                    change(*output, &|table| {
                        table.group = Some(*wish);
                        table.command = table.command.filter(|command| command.held);
                    });
                }
            }
            Wanted::Lock(lock) => {
                let known = self.locks.get(LOCKS[*lock].0).copied();
                let certain = is_certain || known == Some(true);
                self.locks.insert(LOCKS[*lock].0, certain);
            }
            Wanted::Unlock(lock) => {
                let names = LOCKS.iter().enumerate();
                let freed = names.filter(|(at, _)| lock.is_none_or(|lock| lock == *at));
                for (_, (name, _)) in freed {
                    if is_certain {
                        self.locks.remove(name);
                    } else if let Some(known) = self.locks.get_mut(name) {
                        *known = false;
                    }
                }
            }
        }
    }

    fn perform(&mut self, step: Step) {
        match step {
            Step::Answer(adapter, outcome) => self.answer(adapter, outcome),
            Step::Back(adapter) => self.back(adapter),
            Step::Calm => {
                self.calm_down();
                self.check();
            }
            Step::Command { output, on, hold } => self.command(output, on, hold),
            Step::Crash => self.crash(),
            Step::Group { group, on, hold } => self.group(group, on, hold),
            Step::Dated => self.dated(),
            Step::Dark(dark) => {
                self.dark = dark;
                self.tell_inputs();
            }
            Step::Hot(hot) => {
                self.hot = hot;
                self.tell_inputs();
            }
            Step::Hand(on) => {
                self.hand = on;
                self.tell_hand();
            }
            Step::Kill(after, step) => {
                self.rig.kill_after = Some(after);
                self.perform(*step);
                self.follow();
                self.crash();
            }
            Step::Lie => self.lie(),
            Step::Lock(lock) => {
                let what = LOCKS[lock].0.to_owned();
                self.lock(LockRequest::Lock { what, by: anna() }, Wanted::Lock(lock));
            }
            Step::Lost(adapter) => {
                self.rig.link(adapter, LinkState::Offline);
                let now = self.elapsed();
                self.lost.entry(adapter).or_insert(now);
            }
            Step::Meddle { output, on } => self.meddle(output, on),
            Step::PowerCut { seconds, date } => self.power_cut(secs(seconds), date),
            Step::Seen(output) => self.seen(output),
            Step::ServerContact(contact) => self.server_contact(contact),
            Step::Unlock(lock) => {
                let what = lock.map(|lock| LOCKS[lock].0.to_owned());
                self.lock(
                    LockRequest::Unlock { what, by: anna() },
                    Wanted::Unlock(lock),
                );
            }
            Step::Wait(seconds) => self.wait(secs(seconds)),
            Step::WaitMillis(time) => self.wait(millis(time)),
        }
    }

    /// In portions, so that the model sees in which order things come.
    fn wait(&mut self, time: Duration) {
        let end = self.rig.now.mono + time;
        while self.rig.step(end) {
            self.follow();
        }
    }

    fn command(&mut self, output: usize, on: bool, hold: Option<u64>) {
        let is_lamp = self.devices[output].adapter == LAMPS;
        let value = if is_lamp {
            Value::Integer(if on { 100 } else { 0 })
        } else {
            Value::Boolean(on)
        };
        let address = self.addresses[output];
        self.sequence += 1;
        let op = self.rig.write_all(vec![(address, value)], hold.map(secs));
        let held = hold.is_some();
        let wanted = Wanted::Command(output, Wish { on, held }, self.sequence);
        self.open.insert(op, wanted);
    }

    fn group(&mut self, group: usize, on: bool, hold: Option<u64>) {
        let command = ResourceAddress::gateway(42801, u16::try_from(group).unwrap(), 2);
        let level = Value::Integer(if on { 100 } else { 0 });
        self.sequence += 1;
        let op = self.rig.write_all(vec![(command, level)], hold.map(secs));
        // What was wanted before and has no time of its own is released, also where its answer is
        // still to come.
        let late = self.open.iter().filter_map(|(op, wanted)| match wanted {
            Wanted::Command(output, wish, _) => {
                (members(group).contains(output) && !wish.held).then_some(*op)
            }
            Wanted::Group(..) | Wanted::Lock(_) | Wanted::Unlock(_) => None,
        });
        if self.rig.is_done(op) {
            let late: Vec<OpId> = late.collect();
            late.into_iter().for_each(|op| {
                self.open.remove(&op);
            });
        }
        let held = hold.is_some();
        self.open
            .insert(op, Wanted::Group(group, Wish { on, held }));
    }

    fn lock(&mut self, request: LockRequest, wanted: Wanted) {
        self.sequence += 1;
        let op = OpId(5_000_000 + self.sequence);
        self.open.insert(op, wanted);
        self.rig.tell(SiteInput::Lock(op, request));
    }

    fn server_contact(&mut self, contact: bool) {
        self.rig.tell(SiteInput::ServerContact(contact));
        let certain = self.rig.kill_after.is_none();
        if !contact {
            let now = self.elapsed();
            self.no_server_since.get_or_insert(now);
            return;
        }
        self.no_server_since = None;
        self.server_lost = (false, false);
        if certain {
            self.tables[COMPRESSOR_AT].change(|table| table.server_lost = false);
        } else {
            self.tables[COMPRESSOR_AT].may_change(|table| table.server_lost = false);
        }
    }

    /// Everything works, nobody wants anything.
    fn calm_down(&mut self) {
        self.rig.kill_after = None;
        self.back(LAMPS);
        self.back(AHU);
        self.server_contact(true);
        self.tell_inputs();
        for _ in 0..30 {
            (0..NAMES.len()).for_each(|output| self.seen(output));
            let end = self.rig.now.mono + secs(300);
            loop {
                self.follow();
                for adapter in [LAMPS, AHU] {
                    while self.rig.asked.iter().any(|(asked, _)| *asked == adapter) {
                        self.follow();
                        self.answer(adapter, Outcome::Done);
                    }
                }
                if !self.rig.step(end) {
                    break;
                }
            }
        }
        (0..NAMES.len()).for_each(|output| self.seen(output));
        self.follow();
        for (output, tables) in self.tables.iter_mut().enumerate() {
            let locked = self.locks.iter().any(|(name, _)| covers(name, output));
            tables.change(|table| {
                // Holding times are over, and what was lost is in its safe state.
                table.command = table.command.filter(|command| !command.held);
                table.group = table.group.filter(|command| !command.held);
                table.device_fail_safe &= locked;
            });
        }
    }

    fn check(&self) {
        assert!(self.open.is_empty(), "never answered: {:?}", self.open);
        assert!(self.rig.asked.is_empty());
        let wishes: Vec<_> = (0..NAMES.len()).map(|output| self.wishes(output)).collect();
        for (output, wishes) in wishes.iter().enumerate() {
            let on = self.devices[output].on;
            let fits = wishes.contains(&Some(on)) || wishes.contains(&None);
            let partner = match output {
                COMPRESSOR_AT => Some(HEATER_AT),
                HEATER_AT => Some(COMPRESSOR_AT),
                _ => None,
            };
            // What is on already wins, if anybody may want it or nobody wants anything of it.
            let overruled = partner.is_some_and(|partner| !on && self.devices[partner].on);
            assert!(
                fits || overruled,
                "{}: {on}, not {wishes:?}, {:?}",
                NAMES[output],
                self.rig.site.why(NAMES[output], self.rig.now)
            );
        }
        let both = self.devices[COMPRESSOR_AT].on && self.devices[HEATER_AT].on;
        assert!(!both, "both are on");
    }

    /// What an output may want after quiet time.
    fn wishes(&self, output: usize) -> BTreeSet<Option<bool>> {
        let rule = match output {
            COMPRESSOR_AT => Some(self.hot),
            _ => STREET.contains(&output).then_some(self.dark),
        };
        let default = (self.devices[output].adapter == LAMPS).then_some(false);
        let by_hand = (self.hand && STREET.contains(&output)).then_some(true);
        let covering = self.locks.iter().filter(|(name, _)| covers(name, output));
        let certain: Vec<bool> = covering.map(|(_, certain)| *certain).collect();
        let locked = self.tables[output].wishes(Some(false), rule, default);
        if certain.contains(&true) {
            return locked;
        }
        let mut wishes = self.tables[output].wishes(by_hand, rule, default);
        if !certain.is_empty() {
            wishes.extend(locked);
        }
        wishes
    }
}

fn anna() -> Origin {
    Origin::Local("anna".to_owned())
}

/// Half of the usual: each history has hours of quiet time at its end.
fn config_of_test() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: usual.cases / 2,
        failure_persistence: None,
        ..usual
    }
}

proptest! {
    #![proptest_config(config_of_test())]

    #[test]
    fn whoever_wants_what_the_line_is_safe_and_the_table_is_obeyed(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.take(step));
        world.calm_down();
        world.check();
    }
}
