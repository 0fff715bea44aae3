//! Random histories over all sources that can want something of an output, with a model of their
//! own that knows the table of the design and nothing of how the site does it.
//!
//! At the line, all the time: no compressor short-cycles, no lamp flickers, nothing goes on beside
//! what an interlock keeps from it. After quiet time: every output does what the table says.
//! Programs are killed between any two things that they say; power goes; adapters answer late,
//! wrongly or never; contacts lie.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod lived;
mod model;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_model::{
    BootId, Now, ResourceAddress, UnixTime, Value,
    device::{Action, AdapterEvent, AdapterId, Answer, Fault, LinkState, OpId, Origin},
};
use lamplighter_site::boundary::{
    ClockTrust, FailSafe, FailSafeOn, Guard, InterlockConfig, LockRequest, ManualConfig, Mode,
    PhotocellConfig, PointConfig, PointKind, Policy, Setpoint, SiteConfig, SiteInput, Slot,
    ThermostatConfig, WhenLost, WhileWaiting,
};
use proptest::prelude::*;

use self::model::{Device, Table, Tables, Wanted, Wish};
use crate::{
    outcome::{Outcome, adapter, outcome},
    rig::{AHU, LAMPS, Rig, ahu_point, config, group, lamp_point, millis, secs, start},
};

const COMPRESSOR: ResourceAddress = ResourceAddress::gateway(3306, 0, 5850);
const HEATER: ResourceAddress = ResourceAddress::gateway(3306, 1, 5850);
const FAN: ResourceAddress = ResourceAddress::gateway(3306, 2, 5850);
/// Inputs that are never lost.
const INPUTS: AdapterId = AdapterId(7);
const TWILIGHT: ResourceAddress = ResourceAddress::gateway(3419, 0, 3);
const AIR: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
const HAND: ResourceAddress = ResourceAddress::gateway(3342, 9, 5500);
const DEAD_TIME: Duration = secs(60);
const FAIL_SAFE_AFTER: Duration = secs(120);
/// Without servers their commands end after this time where a rule takes over.
const SERVER_LOST_AFTER: Duration = secs(4 * 3600);
/// How long the site waits for an adapter.
const WAITED_FOR: Duration = secs(10);
const NAMES: [&str; 6] = [
    "lamps.l1",
    "lamps.l2",
    "lamps.l3",
    "ahu1.compressor",
    "ahu1.heater",
    "ahu1.fan",
];
const COMPRESSOR_AT: usize = 3;
const HEATER_AT: usize = 4;
const FAN_AT: usize = 5;
/// Members of the groups, by number of the output.
const STREET: [usize; 2] = [0, 1];
const PLANT: [usize; 3] = [2, COMPRESSOR_AT, HEATER_AT];

#[derive(Clone, Debug)]
enum Step {
    Answer(AdapterId, Outcome),
    Back(AdapterId),
    Calm,
    Command {
        output: usize,
        on: bool,
        hold: Option<u64>,
    },
    Crash,
    Dark(bool),
    /// The date is known, if it was not.
    Dated,
    Group {
        group: usize,
        on: bool,
        hold: Option<u64>,
    },
    Hand(bool),
    Hot(bool),
    /// The step begins, and the program is killed after it has said so much.
    Kill(usize, Box<Self>),
    /// The heater's contact says what is not so.
    Lie,
    Lock(usize),
    Lost(AdapterId),
    /// Somebody at the device switches it, which is seen at once.
    Meddle {
        output: usize,
        on: bool,
    },
    PowerCut {
        seconds: u64,
        date: Date,
    },
    Seen(usize),
    ServerContact(bool),
    Unlock(Option<usize>),
    Wait(u64),
    WaitMillis(u64),
}

/// What the box knows of the date after a power cut.
#[derive(Clone, Copy, Debug)]
enum Date {
    /// Believes nobody, and is wrong by so many seconds.
    Estimated(i64),
    Trusted,
    Unknown,
}

fn date() -> impl Strategy<Value = Date> {
    prop_oneof![
        2 => (-900i64..5000).prop_map(Date::Estimated),
        2 => Just(Date::Trusted),
        1 => Just(Date::Unknown),
    ]
}

fn plain_step() -> impl Strategy<Value = Step> {
    let hold = || prop::option::weighted(0.3, 1u64..600);
    prop_oneof![
        10 => (adapter(), outcome()).prop_map(|(adapter, outcome)| Step::Answer(adapter, outcome)),
        1 => adapter().prop_map(Step::Back),
        8 => (0..NAMES.len(), any::<bool>(), hold())
            .prop_map(|(output, on, hold)| Step::Command { output, on, hold }),
        1 => Just(Step::Crash),
        2 => any::<bool>().prop_map(Step::Dark),
        1 => Just(Step::Dated),
        2 => any::<bool>().prop_map(Step::Hot),
        4 => (0..2usize, any::<bool>(), hold())
            .prop_map(|(group, on, hold)| Step::Group { group, on, hold }),
        2 => any::<bool>().prop_map(Step::Hand),
        1 => Just(Step::Lie),
        1 => (0..LOCKS.len()).prop_map(Step::Lock),
        1 => adapter().prop_map(Step::Lost),
        1 => (0..NAMES.len(), any::<bool>())
            .prop_map(|(output, on)| Step::Meddle { output, on }),
        1 => (0u64..900, date())
            .prop_map(|(seconds, date)| Step::PowerCut { seconds, date }),
        4 => (0..NAMES.len()).prop_map(Step::Seen),
        1 => any::<bool>().prop_map(Step::ServerContact),
        1 => prop::option::of(0..LOCKS.len()).prop_map(Step::Unlock),
        6 => prop_oneof![0u64..3, 3u64..400].prop_map(Step::Wait),
        2 => (0u64..2500).prop_map(Step::WaitMillis),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => plain_step(),
        2 => (0..6usize, plain_step())
            .prop_map(|(after, step)| Step::Kill(after, Box::new(step))),
        1 => Just(Step::Calm),
    ]
}

/// What can be locked, and which outputs that covers.
const LOCKS: [(&str, &[usize]); 4] = [
    ("all", &[0, 1, 2, 3, 4, 5]),
    ("main_street", &STREET),
    ("plant", &PLANT),
    ("ahu1.fan", &[FAN_AT]),
];

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

fn site() -> SiteConfig {
    let slow = Guard {
        min_on: secs(180),
        min_off: secs(300),
        max_starts_per_hour: Some(4),
        while_waiting: WhileWaiting::Queue,
    };
    let off_when = |on| {
        Some(FailSafe {
            on,
            after: FAIL_SAFE_AFTER,
            value: Value::Boolean(false),
        })
    };
    let mut points = (1..=3).map(lamp_point).collect::<Vec<_>>();
    for lamp in &mut points {
        lamp.min_switch = secs(2);
    }
    points.push(PointConfig {
        guard: Some(slow),
        fail_safe: off_when(FailSafeOn::ServerLost),
        ..ahu_point("compressor", COMPRESSOR, PointKind::Output)
    });
    points.push(ahu_point("heater", HEATER, PointKind::Output));
    points.push(PointConfig {
        fail_safe: off_when(FailSafeOn::DeviceLost),
        ..ahu_point("fan", FAN, PointKind::Output)
    });
    let mut street = group(1..=2, millis(300));
    street.manual = Some(ManualConfig {
        on: Some(HAND),
        off: None,
        limit: None,
    });
    street.photocell = Some(PhotocellConfig {
        input: TWILIGHT,
        policy: Policy::Or,
        levels: None,
        dwell: Duration::ZERO,
        instance: None,
    });
    street.until_next_event = false;
    let mut plant = group(3..=3, millis(500));
    plant.name = "plant".to_owned();
    plant.standard_instance = None;
    plant.members.extend([COMPRESSOR, HEATER]);
    SiteConfig {
        interlocks: vec![InterlockConfig {
            name: "heat_cool".to_owned(),
            never_together: vec![COMPRESSOR, HEATER],
            dead_time: DEAD_TIME,
        }],
        thermostats: vec![ThermostatConfig {
            name: "cooling".to_owned(),
            sensor: AIR,
            setpoint: Setpoint::Fixed(20.0),
            on_threshold: 0.5,
            off_threshold: 0.5,
            output: COMPRESSOR,
            mode: Mode::Cool,
            when_lost: WhenLost::Release,
            max_age: secs(30 * 86_400),
            instance: None,
            limit: None,
        }],
        ..config(points, vec![street, plant])
    }
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

    fn answer(&mut self, adapter: AdapterId, outcome: Outcome) {
        let mut asked = self.rig.asked.iter();
        let Some(at) = asked.position(|(asked, _)| *asked == adapter) else {
            return;
        };
        let (_, request) = self.rig.asked.remove(at);
        let outcome = if self.lost.contains_key(&adapter) || self.is_late(request.op) {
            Outcome::Refused
        } else {
            outcome
        };
        let result = match outcome {
            Outcome::Done => {
                self.execute(request.op, &request.action);
                Ok(Answer::default())
            }
            Outcome::DoneUnheard => {
                self.execute(request.op, &request.action);
                Err(Fault::Timeout)
            }
            Outcome::Refused => Err(Fault::Unreachable),
            Outcome::Silent => {
                self.silent_until = self.elapsed() + WAITED_FOR;
                return;
            }
        };
        self.rig.tell(SiteInput::Adapter(
            adapter,
            AdapterEvent::Done(request.op, result),
        ));
    }

    /// The supervisor has answered by now, and does nothing afterwards.
    fn is_late(&self, op: OpId) -> bool {
        self.rig.asked_at[&op] + millis(3500) < self.rig.now.mono
    }

    fn execute(&mut self, op: OpId, action: &Action) {
        let Action::Write { values, .. } = action else {
            return;
        };
        let Value::Boolean(on) = values[0].value else {
            panic!("all outputs are booleans")
        };
        let (output, at) = (self.number(values[0].address), self.elapsed());
        if on && !self.devices[output].on {
            self.may_go_on(output, at);
        }
        // No guard holds back a lock or an interlock.
        let by = self.rig.asked_by.get(&op);
        let exempt = !on && by.is_some_and(|slot| *slot <= Slot::MaintenanceLock);
        self.devices[output].take(on, exempt, at);
    }

    /// Break before make, at the line.
    fn may_go_on(&self, output: usize, at: Duration) {
        let partner = match output {
            COMPRESSOR_AT => HEATER_AT,
            HEATER_AT => COMPRESSOR_AT,
            _ => return,
        };
        let other = &self.devices[partner];
        assert!(!other.on, "{} goes on beside the other", NAMES[output]);
        let rest = other.switched.map(|switched| at - switched);
        assert!(
            rest.is_none_or(|rest| rest >= DEAD_TIME),
            "{} goes on {rest:?} after the other",
            NAMES[output]
        );
    }

    fn number(&self, address: ResourceAddress) -> usize {
        let mut addresses = self.addresses.iter();
        addresses.position(|known| *known == address).unwrap()
    }

    fn seen(&mut self, output: usize) {
        let Device { adapter, on, .. } = self.devices[output];
        if !self.lost.contains_key(&adapter) {
            let address = self.addresses[output];
            self.rig.sample(adapter, address, Value::Boolean(on));
        }
    }

    /// Says on of what is off, or off of what is to be on.
    fn lie(&mut self) {
        let why = self.rig.site.why(NAMES[HEATER_AT], self.rig.now).unwrap();
        let on = self.devices[HEATER_AT].on;
        let wanted = why.commanded == Some(Value::Boolean(true));
        if !self.lost.contains_key(&AHU) && (!on || wanted) {
            self.rig.sample(AHU, HEATER, Value::Boolean(!on));
        }
    }

    fn meddle(&mut self, output: usize, on: bool) {
        let adapter = self.devices[output].adapter;
        // What is on its way cannot know of it.
        let asked = self.rig.asked.iter().any(|(asked, _)| *asked == adapter);
        if asked
            || self.elapsed() <= self.silent_until
            || self.lost.contains_key(&adapter)
            || self.rig.kill_after.is_some()
        {
            return;
        }
        let at = self.elapsed();
        self.devices[output].become_state(on, at);
        self.seen(output);
    }

    fn back(&mut self, adapter: AdapterId) {
        if self.lost.remove(&adapter).is_some() {
            self.rig.link(adapter, LinkState::Online);
        }
        if adapter == LAMPS {
            self.tell_hand();
        }
    }

    /// The program ends and starts again; what was on its way to devices arrives or does not.
    fn crash(&mut self) {
        for (number, (adapter, request)) in std::mem::take(&mut self.rig.asked).iter().enumerate() {
            let arrives = number % 2 == 0 && !self.is_late(request.op);
            if arrives && !self.lost.contains_key(adapter) {
                self.execute(request.op, &request.action);
            }
        }
        self.restart(self.rig.now);
    }

    /// The whole cabinet is without power.
    fn power_cut(&mut self, time: Duration, date: Date) {
        let at = self.elapsed();
        self.devices
            .iter_mut()
            .for_each(|device| device.become_state(false, at));
        self.rig.advance(time);
        let boot = BootId(self.rig.now.boot.0 + 1);
        self.epoch = self.elapsed() - secs(15);
        let (trust, unix) = match date {
            Date::Estimated(by) => (ClockTrust::Estimated, Some(self.date(by))),
            Date::Trusted => (ClockTrust::Trusted, Some(self.date(0))),
            Date::Unknown => (ClockTrust::Estimated, None),
        };
        self.trust = trust;
        self.restart(Now {
            boot,
            mono: secs(15),
            unix,
        });
    }

    /// The true date, or one that is wrong by so many seconds.
    fn date(&self, by: i64) -> UnixTime {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap();
        let begun = start();
        let since = millis(self.elapsed()) - millis(begun.mono);
        UnixTime(begun.unix.unwrap().0 + since + by * 1000)
    }

    fn dated(&mut self) {
        self.rig.now.unix = Some(self.date(0));
        self.trust = ClockTrust::Trusted;
        self.rig.trust(self.trust);
    }

    fn restart(&mut self, now: Now) {
        // Whether what was not answered was kept, nobody knows.
        for wanted in std::mem::take(&mut self.open).into_values() {
            self.apply(&wanted, false);
        }
        self.no_server_since = None;
        self.server_lost = (false, false);
        self.rig = Rig::restarted(site(), self.rig.saved.clone(), now);
        self.boot();
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

fn members(group: usize) -> &'static [usize] {
    if group == 0 { &STREET } else { &PLANT }
}

fn covers(lock: &str, output: usize) -> bool {
    let covered = LOCKS.iter().find(|(name, _)| *name == lock);
    covered.is_some_and(|(_, covered)| covered.contains(&output))
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
