//! A site between a scripted core and simulated devices, in virtual time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lamplighter_model::{
    BootId, InstanceAddress, InstancePath, Now, ResourceAddress, Sample, Scope, Ssid, UnixTime,
    Value,
    device::{
        Action, AdapterEvent, AdapterId, AdapterRequest, Answer, Assignment, Declaration, Declared,
        DeviceEvent, DeviceRequest, Fault, LinkState, OpId, Origin,
    },
    object::{Definitions, Operations},
    tables,
};
use lamplighter_site::{
    Site,
    boundary::{
        BootState, Clock, ClockTrust, GroupConfig, PointConfig, PointKind, SiteConfig, SiteEvent,
        SiteInput, SiteOutput, Slot,
    },
    rule::Zone,
    saved::SavedSite,
};

pub(crate) const LAMPS: AdapterId = AdapterId(0);
pub(crate) const AHU: AdapterId = AdapterId(1);
pub(crate) const VENDOR: u16 = 42800;
pub(crate) const GROUP_COMMAND: ResourceAddress = ResourceAddress::gateway(VENDOR + 1, 0, 2);
pub(crate) const GROUP_STATE: ResourceAddress = ResourceAddress::gateway(VENDOR + 1, 0, 3);
pub(crate) const GROUP_FAILED: ResourceAddress = ResourceAddress::gateway(VENDOR + 1, 0, 4);
pub(crate) const GROUP_RESULTS: ResourceAddress = ResourceAddress::gateway(VENDOR + 1, 0, 5);

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn server() -> Origin {
    Origin::Server(Ssid(101))
}

pub(crate) fn lamp(number: u16) -> ResourceAddress {
    ResourceAddress::gateway(3416, number, 1)
}

/// A relay in the cabinet, decided at start.
pub(crate) fn lamp_point(number: u16) -> PointConfig {
    PointConfig {
        name: format!("lamps.l{number}"),
        adapter: LAMPS,
        address: lamp(number),
        kind: PointKind::Lamp,
        limit: None,
        guard: None,
        fail_safe: None,
        boot: BootState::Decide,
        min_switch: Duration::ZERO,
        feedback: None,
        power_return_spread: Duration::ZERO,
    }
}

/// A point of the air handler, adopted as it is found.
pub(crate) fn ahu_point(name: &str, address: ResourceAddress, kind: PointKind) -> PointConfig {
    PointConfig {
        name: format!("ahu1.{name}"),
        adapter: AHU,
        address,
        kind,
        boot: BootState::Adopt,
        ..lamp_point(0)
    }
}

pub(crate) fn group(members: impl IntoIterator<Item = u16>, stagger: Duration) -> GroupConfig {
    GroupConfig {
        name: "main_street".to_owned(),
        members: members.into_iter().map(lamp).collect(),
        stagger,
        standard_instance: Some(InstanceAddress {
            scope: Scope::Gateway,
            path: InstancePath::new(3416, 60000),
        }),
        manual: None,
        power_return_spread: Duration::ZERO,
        schedule: None,
        photocell: None,
        until_next_event: true,
    }
}

pub(crate) fn definitions() -> Arc<Definitions> {
    let mut definitions = tables::standard();
    tables::vendor(VENDOR)
        .into_iter()
        .for_each(|object| definitions.insert(object));
    Arc::new(definitions)
}

pub(crate) fn config(points: Vec<PointConfig>, groups: Vec<GroupConfig>) -> SiteConfig {
    SiteConfig {
        definitions: definitions(),
        groups,
        interlocks: Vec::new(),
        lamp_watches: Vec::new(),
        points,
        seed: 7,
        position: None,
        standstills: Vec::new(),
        thermostats: Vec::new(),
        vendor_object_base: VENDOR,
    }
}

/// The site, what it said, and a clock.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) site: Site,
    pub(crate) now: Now,
    /// Requests to adapters that are not answered yet.
    pub(crate) asked: Vec<(AdapterId, AdapterRequest)>,
    /// When they were asked.
    pub(crate) asked_at: BTreeMap<OpId, Duration>,
    /// Which slot decided when an output was written.
    pub(crate) asked_by: BTreeMap<OpId, Slot>,
    pub(crate) done: Vec<(OpId, Result<Answer, Fault>)>,
    pub(crate) events: Vec<SiteEvent>,
    pub(crate) saved: Option<SavedSite>,
    /// Latest sample of each resource that the core was told.
    pub(crate) tree: BTreeMap<(ResourceAddress, Option<u16>), Sample>,
    pub(crate) declared: BTreeMap<ResourceAddress, Operations>,
    /// What the site may still say before the program is killed.
    pub(crate) kill_after: Option<usize>,
    /// In which order things were said.
    pub(crate) trace: Vec<&'static str>,
    next: u64,
}

impl Rig {
    pub(crate) fn new(points: Vec<PointConfig>, groups: Vec<GroupConfig>) -> Self {
        Self::restarted(config(points, groups), None, start())
    }

    pub(crate) fn restarted(config: SiteConfig, saved: Option<SavedSite>, now: Now) -> Self {
        let mut rig = Self {
            site: Site::new(config, saved.clone(), now),
            now,
            asked: Vec::new(),
            asked_at: BTreeMap::new(),
            asked_by: BTreeMap::new(),
            done: Vec::new(),
            events: Vec::new(),
            saved,
            tree: BTreeMap::new(),
            declared: BTreeMap::new(),
            kill_after: None,
            trace: Vec::new(),
            next: 0,
        };
        rig.drain();
        rig
    }

    /// With all points declared, and the first writes answered.
    pub(crate) fn ready(points: Vec<PointConfig>, groups: Vec<GroupConfig>) -> Self {
        let mut rig = Self::new(points.clone(), groups);
        for point in points {
            rig.declare(point.adapter, point.address);
        }
        rig.pass(secs(60));
        rig.forget();
        rig
    }

    pub(crate) fn forget(&mut self) {
        self.done.clear();
        self.events.clear();
        self.trace.clear();
    }

    pub(crate) fn tell(&mut self, input: SiteInput) {
        self.site.handle(input, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.site.poll() {
            match &mut self.kill_after {
                Some(0) => continue,
                Some(left) => *left -= 1,
                None => {}
            }
            match output {
                SiteOutput::Adapter(adapter, request) => {
                    self.trace.push("adapter");
                    self.asked_at.insert(request.op, self.now.mono);
                    self.asked_by
                        .extend(self.winner(&request).map(|slot| (request.op, slot)));
                    self.asked.push((adapter, request));
                }
                SiteOutput::Core(DeviceEvent::Changed(samples)) => {
                    self.trace.push("changed");
                    for sample in samples {
                        self.tree
                            .insert((sample.address, sample.index.map(|index| index.0)), sample);
                    }
                }
                SiteOutput::Core(DeviceEvent::Declared(change)) => {
                    for declaration in change.added {
                        let twice = self
                            .declared
                            .insert(declaration.address, declaration.operations);
                        assert_eq!(twice, None, "{} is declared twice", declaration.address);
                    }
                    for address in change.removed {
                        assert!(
                            self.declared.remove(&address).is_some(),
                            "{address} was never declared"
                        );
                    }
                }
                SiteOutput::Core(DeviceEvent::Done(op, result)) => {
                    self.trace.push("done");
                    assert!(
                        self.done.iter().all(|(known, _)| *known != op),
                        "{op:?} is answered twice"
                    );
                    self.done.push((op, result));
                }
                SiteOutput::Event(event) => self.events.push(event),
                SiteOutput::Save(change) => {
                    self.trace.push("save");
                    self.saved.get_or_insert_default().apply(change);
                }
            }
        }
    }

    /// Who decides what is written.
    fn winner(&self, request: &AdapterRequest) -> Option<Slot> {
        let Action::Write { values, .. } = &request.action else {
            return None;
        };
        let why = self.site.why_address(values.first()?.address, self.now)?;
        Some(why.slots.first()?.slot)
    }

    /// The site is told of the clock; nobody is told of the sun.
    pub(crate) fn trust(&mut self, trust: ClockTrust) {
        let zone = Arc::new(Zone::utc());
        self.tell(SiteInput::Clock(Clock { trust, zone }));
    }

    pub(crate) fn declare(&mut self, adapter: AdapterId, address: ResourceAddress) {
        let added = vec![Declaration {
            address,
            operations: Operations::RW,
        }];
        let declared = Declared {
            added,
            removed: Vec::new(),
        };
        self.tell(SiteInput::Adapter(
            adapter,
            AdapterEvent::Declared(declared),
        ));
    }

    pub(crate) fn remove(&mut self, adapter: AdapterId, address: ResourceAddress) {
        let declared = Declared {
            added: Vec::new(),
            removed: vec![address],
        };
        self.tell(SiteInput::Adapter(
            adapter,
            AdapterEvent::Declared(declared),
        ));
    }

    pub(crate) fn link(&mut self, adapter: AdapterId, state: LinkState) {
        self.tell(SiteInput::Adapter(
            adapter,
            AdapterEvent::Link(state, String::new()),
        ));
    }

    pub(crate) fn sample(&mut self, adapter: AdapterId, address: ResourceAddress, value: Value) {
        let sample = Sample::good(address, value, self.now.stamp());
        self.tell(SiteInput::Adapter(
            adapter,
            AdapterEvent::Changed(vec![sample]),
        ));
    }

    pub(crate) fn request(&mut self, origin: Origin, action: Action) -> OpId {
        self.next += 1;
        let op = OpId(1_000_000 + self.next);
        self.tell(SiteInput::Request(op, DeviceRequest { origin, action }));
        op
    }

    pub(crate) fn write(&mut self, address: ResourceAddress, value: Value) -> OpId {
        self.write_all(vec![(address, value)], None)
    }

    pub(crate) fn write_all(
        &mut self,
        values: Vec<(ResourceAddress, Value)>,
        hold: Option<Duration>,
    ) -> OpId {
        let values = values.into_iter().map(|(address, value)| Assignment {
            address,
            index: None,
            value,
        });
        self.request(
            server(),
            Action::Write {
                values: values.collect(),
                hold,
            },
        )
    }

    pub(crate) fn read(&mut self, addresses: &[ResourceAddress]) -> OpId {
        self.request(server(), Action::Read(addresses.to_vec()))
    }

    /// The oldest question to this adapter, answered.
    pub(crate) fn answer(&mut self, adapter: AdapterId, result: Result<Answer, Fault>) -> Action {
        let at = self
            .asked
            .iter()
            .position(|(asked, _)| *asked == adapter)
            .expect("the adapter was asked something");
        let (_, request) = self.asked.remove(at);
        self.tell(SiteInput::Adapter(
            adapter,
            AdapterEvent::Done(request.op, result),
        ));
        request.action
    }

    /// The oldest question is a write of this value, and is answered well.
    pub(crate) fn accept(&mut self, adapter: AdapterId, address: ResourceAddress, value: &Value) {
        assert_eq!(
            self.answer(adapter, Ok(Answer::default())),
            write_of(address, value)
        );
    }

    /// Lets time pass; devices accept everything at once.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        loop {
            while let Some((adapter, _)) = self.asked.first() {
                let adapter = *adapter;
                self.answer(adapter, Ok(Answer::default()));
            }
            if !self.step(end) {
                return;
            }
        }
    }

    /// Lets time pass; nobody answers.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while self.step(end) {}
    }

    /// To the next deadline or the end; false at the end.
    pub(crate) fn step(&mut self, end: Duration) -> bool {
        let next = self
            .site
            .poll_timeout()
            .map(|(at, _)| at)
            .filter(|at| *at <= end);
        let target = next.unwrap_or(end).max(self.now.mono);
        self.advance(target - self.now.mono);
        if next.is_some() {
            self.tell(SiteInput::Timeout);
        }
        next.is_some()
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        self.now.mono += time;
        let millis = i64::try_from(time.as_millis()).expect("tests are short");
        self.now.unix = self.now.unix.map(|unix| UnixTime(unix.0 + millis));
    }

    pub(crate) fn value(&self, address: ResourceAddress) -> Option<Value> {
        self.tree
            .get(&(address, None))
            .map(|sample| sample.value.clone())
    }

    pub(crate) fn result(&self, op: OpId) -> Option<&Result<Answer, Fault>> {
        self.done
            .iter()
            .find(|(done, _)| *done == op)
            .map(|(_, result)| result)
    }

    pub(crate) fn is_done(&self, op: OpId) -> bool {
        self.result(op) == Some(&Ok(Answer::default()))
    }
}

pub(crate) fn start() -> Now {
    Now {
        boot: BootId(1),
        mono: secs(1000),
        unix: Some(UnixTime::from_seconds(1_750_000_000)),
    }
}

pub(crate) fn write_of(address: ResourceAddress, value: &Value) -> Action {
    Action::Write {
        values: vec![Assignment {
            address,
            index: None,
            value: value.clone(),
        }],
        hold: None,
    }
}
