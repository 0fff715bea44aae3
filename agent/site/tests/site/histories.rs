//! Random histories of commands, faults, restarts and power cuts, and what must hold whatever
//! happens: guards are kept at the device, every request is answered once, and after quiet time
//! every output does what its table says.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lamplighter_model::{
    BootId, Now, ResourceAddress, UnixTime, Value,
    device::{Action, AdapterEvent, AdapterId, Answer, Fault, LinkState, OpId},
};
use lamplighter_site::boundary::{
    Clock, ClockTrust, FailSafe, FailSafeOn, Guard, Mode, PointConfig, PointKind, Setpoint,
    SiteConfig, SiteInput, ThermostatConfig, WhenLost, WhileWaiting,
};
use lamplighter_site::rule::Zone;
use proptest::prelude::*;

use crate::{
    outcome::{Outcome, adapter, outcome},
    rig::{
        AHU, GROUP_COMMAND, GROUP_FAILED, LAMPS, Rig, ahu_point, config, group, lamp, lamp_point,
        millis, secs, start,
    },
};

const COMPRESSOR: ResourceAddress = ResourceAddress::gateway(3306, 0, 5850);
const FAN: ResourceAddress = ResourceAddress::gateway(3306, 1, 5850);
const AIR: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
const LAMPS_IN_SITE: u16 = 4;

#[derive(Clone, Debug)]
enum Step {
    /// The thermostat's sensor says something, in tenths of a degree.
    Air(u16),
    Answer(AdapterId, Outcome),
    Back(AdapterId),
    /// The clock is set by so many seconds.
    Clock(i64),
    Command {
        output: usize,
        on: bool,
        hold: Option<u64>,
    },
    Crash {
        executed: bool,
    },
    Group {
        group: u16,
        on: bool,
        hold: Option<u64>,
    },
    Lost(AdapterId),
    PowerCut {
        seconds: u64,
        dated: bool,
    },
    Read,
    Seen(usize),
    ServerContact(bool),
    /// Commands for several outputs in one write.
    Several(bool),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let hold = || prop::option::weighted(0.3, 1u64..600);
    prop_oneof![
        8 => (adapter(), outcome()).prop_map(|(adapter, outcome)| Step::Answer(adapter, outcome)),
        3 => (180..240u16).prop_map(Step::Air),
        1 => adapter().prop_map(Step::Back),
        1 => (-900..900i64).prop_map(Step::Clock),
        6 => (0..6usize, any::<bool>(), hold()).prop_map(|(output, on, hold)| Step::Command { output, on, hold }),
        1 => any::<bool>().prop_map(|executed| Step::Crash { executed }),
        3 => (0..2u16, any::<bool>(), hold()).prop_map(|(group, on, hold)| Step::Group { group, on, hold }),
        1 => adapter().prop_map(Step::Lost),
        1 => (0u64..900, any::<bool>()).prop_map(|(seconds, dated)| Step::PowerCut { seconds, dated }),
        1 => Just(Step::Read),
        3 => (0..6usize).prop_map(Step::Seen),
        1 => any::<bool>().prop_map(Step::ServerContact),
        1 => any::<bool>().prop_map(Step::Several),
        6 => prop_oneof![0u64..3, 3u64..400].prop_map(Step::Wait),
    ]
}

/// A device as it is in the world, over all restarts of the box.
#[derive(Debug)]
struct Device {
    adapter: AdapterId,
    guard: Option<Guard>,
    on: bool,
    switched: Option<Duration>,
    starts: Vec<Duration>,
}

impl Device {
    /// Told to take this state; its guard must allow it.
    fn take(&mut self, on: bool, at: Duration) {
        if self.on == on {
            return;
        }
        if let Some(guard) = self.guard {
            let least = if on { guard.min_off } else { guard.min_on };
            let rest = self.switched.map(|switched| at - switched);
            assert!(
                rest.is_none_or(|rest| rest >= least),
                "switched to {on} after {rest:?}, not {least:?}"
            );
            if on {
                let recent = self
                    .starts
                    .iter()
                    .filter(|start| **start + secs(3600) > at)
                    .count();
                let most = guard
                    .max_starts_per_hour
                    .map_or(usize::MAX, |most| most as usize);
                assert!(recent < most, "{recent} starts in the last hour");
                self.starts.push(at);
            }
        }
        self.on = on;
        self.switched = Some(at);
    }

    /// Without power it is off, whatever anybody wants.
    fn cut(&mut self, at: Duration) {
        if self.on {
            self.on = false;
            self.switched = Some(at);
        }
    }
}

struct World {
    rig: Rig,
    devices: BTreeMap<ResourceAddress, Device>,
    addresses: Vec<ResourceAddress>,
    lost: Vec<AdapterId>,
    requests: Vec<OpId>,
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
    let quick = Guard {
        min_on: secs(5),
        min_off: secs(10),
        while_waiting: WhileWaiting::Reject,
        ..Guard::default()
    };
    let off_when = |on| {
        Some(FailSafe {
            on,
            after: secs(120),
            value: Value::Boolean(false),
        })
    };
    let mut points = (1..=LAMPS_IN_SITE).map(lamp_point).collect::<Vec<_>>();
    points[3].guard = Some(quick);
    points.push(PointConfig {
        guard: Some(slow),
        fail_safe: off_when(FailSafeOn::ServerLost),
        ..ahu_point("compressor", COMPRESSOR, PointKind::Output)
    });
    points.push(PointConfig {
        fail_safe: off_when(FailSafeOn::DeviceLost),
        ..ahu_point("fan", FAN, PointKind::Output)
    });
    let mut park = group(2..=4, millis(500));
    park.name = "park".to_owned();
    park.standard_instance = None;
    park.members.push(COMPRESSOR);
    points.push(ahu_point("air", AIR, PointKind::Value));
    let mut street = group(1..=3, millis(300));
    // Begins a few minutes after the histories do, and goes on while everything calms down.
    let schedule = "on=15:10 off=15:14 resume=15:18 end=15:24; 06-16: on=15:10 off=16:10";
    street.schedule = schedule.parse().ok();
    assert!(street.schedule.is_some());
    let room = ThermostatConfig {
        name: "room".to_owned(),
        sensor: AIR,
        setpoint: Setpoint::Fixed(21.0),
        on_threshold: 0.5,
        off_threshold: 0.5,
        output: COMPRESSOR,
        mode: Mode::Cool,
        when_lost: WhenLost::Release,
        max_age: secs(300),
        instance: None,
        limit: None,
    };
    SiteConfig {
        thermostats: vec![room],
        ..config(points, vec![street, park])
    }
}

impl World {
    fn new() -> Self {
        let config = site();
        let outputs = config.points.iter();
        let outputs = outputs.filter(|point| point.kind != PointKind::Value);
        let devices = outputs.clone().map(|point| {
            let (adapter, guard) = (point.adapter, point.guard);
            (
                point.address,
                Device {
                    adapter,
                    guard,
                    on: false,
                    switched: None,
                    starts: Vec::new(),
                },
            )
        });
        let mut world = Self {
            devices: devices.collect(),
            addresses: outputs.map(|point| point.address).collect(),
            rig: Rig::restarted(config, None, start()),
            lost: Vec::new(),
            requests: Vec::new(),
            epoch: Duration::ZERO,
        };
        world.boot();
        world
    }

    /// Adapters declare what they have; those that can hear their device say so.
    fn boot(&mut self) {
        self.tell_clock();
        self.rig.declare(AHU, AIR);
        for address in self.addresses.clone() {
            self.rig.declare(self.devices[&address].adapter, address);
        }
        for adapter in [LAMPS, AHU] {
            let state = if self.lost.contains(&adapter) {
                LinkState::Offline
            } else {
                LinkState::Online
            };
            self.rig.link(adapter, state);
        }
    }

    fn tell_clock(&mut self) {
        self.rig.tell(SiteInput::Clock(Clock {
            trust: ClockTrust::Estimated,
            zone: Arc::new(Zone::utc()),
        }));
    }

    fn elapsed(&self) -> Duration {
        self.epoch + self.rig.now.mono
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Air(tenths) => {
                if !self.lost.contains(&AHU) {
                    let air = Value::Float(f64::from(tenths) / 10.0);
                    self.rig.sample(AHU, AIR, air);
                }
            }
            Step::Clock(seconds) => {
                let unix = self.rig.now.unix;
                self.rig.now.unix = unix.map(|unix| UnixTime(unix.0 + seconds * 1000));
                self.tell_clock();
            }
            Step::Answer(adapter, outcome) => self.answer(adapter, outcome),
            Step::Back(adapter) => self.back(adapter),
            Step::Command { output, on, hold } => self.command(output, on, hold),
            Step::Crash { executed } => self.crash(executed),
            Step::Group { group, on, hold } => {
                let command = ResourceAddress::gateway(42801, group, 2);
                self.write(
                    vec![(command, Value::Integer(if on { 100 } else { 0 }))],
                    hold,
                );
            }
            Step::Lost(adapter) => {
                self.rig.link(adapter, LinkState::Offline);
                self.lost.push(adapter);
            }
            Step::PowerCut { seconds, dated } => self.power_cut(secs(seconds), dated),
            Step::Read => {
                let addresses = self.addresses.clone();
                let op = self.rig.read(&addresses);
                self.requests.push(op);
            }
            Step::Seen(output) => self.seen(output),
            Step::ServerContact(contact) => self.rig.tell(SiteInput::ServerContact(contact)),
            Step::Several(on) => {
                let level = Value::Integer(if on { 100 } else { 0 });
                self.write(
                    vec![
                        (lamp(1), level.clone()),
                        (lamp(4), level),
                        (FAN, Value::Boolean(on)),
                    ],
                    None,
                );
            }
            Step::Wait(seconds) => self.rig.wait(secs(seconds)),
        }
    }

    fn command(&mut self, output: usize, on: bool, hold: Option<u64>) {
        let address = self.addresses[output];
        let is_lamp = self.devices[&address].adapter == LAMPS;
        let value = if is_lamp {
            Value::Integer(if on { 100 } else { 0 })
        } else {
            Value::Boolean(on)
        };
        self.write(vec![(address, value)], hold);
    }

    fn write(&mut self, values: Vec<(ResourceAddress, Value)>, hold: Option<u64>) {
        let op = self.rig.write_all(values, hold.map(secs));
        self.requests.push(op);
    }

    fn answer(&mut self, adapter: AdapterId, outcome: Outcome) {
        let Some(at) = self
            .rig
            .asked
            .iter()
            .position(|(asked, _)| *asked == adapter)
        else {
            return;
        };
        let (_, request) = self.rig.asked.remove(at);
        let outcome = if self.lost.contains(&adapter) || self.is_late(request.op) {
            Outcome::Refused
        } else {
            outcome
        };
        let result = match outcome {
            Outcome::Done => {
                self.execute(&request.action);
                Ok(Answer::default())
            }
            Outcome::DoneUnheard => {
                self.execute(&request.action);
                Err(Fault::Timeout)
            }
            Outcome::Refused => Err(Fault::Unreachable),
            Outcome::Silent => return,
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

    fn execute(&mut self, action: &Action) {
        let Action::Write { values, .. } = action else {
            return;
        };
        let at = self.elapsed();
        for assignment in values {
            let Value::Boolean(on) = assignment.value else {
                panic!("all outputs are booleans")
            };
            self.devices
                .get_mut(&assignment.address)
                .expect("a known output")
                .take(on, at);
        }
    }

    fn seen(&mut self, output: usize) {
        let address = self.addresses[output];
        let device = &self.devices[&address];
        if !self.lost.contains(&device.adapter) {
            let (adapter, on) = (device.adapter, device.on);
            self.rig.sample(adapter, address, Value::Boolean(on));
        }
    }

    fn back(&mut self, adapter: AdapterId) {
        if self.lost.contains(&adapter) {
            self.lost.retain(|lost| *lost != adapter);
            self.rig.link(adapter, LinkState::Online);
        }
    }

    /// The program ends and starts again; devices keep what they do.
    fn crash(&mut self, executed: bool) {
        if executed {
            for (adapter, request) in std::mem::take(&mut self.rig.asked) {
                if !self.lost.contains(&adapter) && !self.is_late(request.op) {
                    self.execute(&request.action);
                }
            }
        }
        self.restart(self.rig.now);
    }

    /// The whole cabinet is without power.
    fn power_cut(&mut self, time: Duration, dated: bool) {
        let at = self.elapsed();
        self.devices.values_mut().for_each(|device| device.cut(at));
        self.rig.advance(time);
        let unix = UnixTime::from_seconds(
            1_750_000_000 + i64::try_from(self.elapsed().as_secs()).expect("short"),
        );
        let boot = BootId(self.rig.now.boot.0 + 1);
        self.epoch = self.elapsed() - secs(15);
        self.restart(Now {
            boot,
            mono: secs(15),
            unix: dated.then_some(unix),
        });
    }

    fn restart(&mut self, now: Now) {
        // Requests of a run that has ended are not answered by the next one.
        self.requests.clear();
        self.rig = Rig::restarted(site(), self.rig.saved.clone(), now);
        self.boot();
    }

    /// Everything works, nobody wants anything.
    fn calm_down(&mut self) {
        self.back(LAMPS);
        self.back(AHU);
        self.rig.tell(SiteInput::ServerContact(true));
        for _ in 0..36 {
            (0..self.addresses.len()).for_each(|output| self.seen(output));
            let end = self.rig.now.mono + secs(300);
            loop {
                for adapter in [LAMPS, AHU] {
                    while self.rig.asked.iter().any(|(asked, _)| *asked == adapter) {
                        self.answer(adapter, Outcome::Done);
                    }
                }
                if !self.rig.step(end) {
                    break;
                }
            }
        }
        (0..self.addresses.len()).for_each(|output| self.seen(output));
    }

    fn check(&self) {
        for output in self.rig.site.outputs() {
            let device = &self.devices[&output.address];
            if let Some(commanded) = output.commanded {
                assert_eq!(
                    commanded,
                    Value::Boolean(device.on),
                    "{} commanded and done",
                    output.name
                );
            }
            assert_eq!(
                output.measured,
                Some(Value::Boolean(device.on)),
                "{} measured and done",
                output.name
            );
        }
        for op in &self.requests {
            assert!(self.rig.result(*op).is_some(), "{op:?} was never answered");
        }
        for (group, id) in self.rig.site.groups().iter().zip(0..) {
            let count = |what: &str| {
                group
                    .members
                    .iter()
                    .filter(|member| member.result.starts_with(what))
                    .count()
            };
            assert_eq!(usize::from(group.failed), count("failed"), "{group:?}");
            assert_eq!((count("waiting"), count("failed")), (0, 0), "{group:?}");
            let failed = ResourceAddress {
                path: GROUP_FAILED.path,
                ..GROUP_FAILED
            };
            if id == 0 {
                assert_eq!(self.rig.value(failed), Some(Value::Integer(0)));
                let shown = self.rig.value(GROUP_COMMAND);
                match group.commanded {
                    Some(level) => assert_eq!(shown, Some(Value::Integer(level.into()))),
                    None => assert!(shown.is_some(), "all members were seen"),
                }
            }
        }
        assert!(self.rig.asked.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_guards_hold_and_outputs_do_what_their_tables_say(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.take(step));
        world.calm_down();
        world.check();
    }
}
