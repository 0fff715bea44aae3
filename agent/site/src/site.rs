//! Sends each input to the part that owns it, and holds what the parts share.
//!
//! 1. A request or an adapter's news changes slots, measurements or links.
//! 2. Each output concerned is looked at once more (`drive`): write, wait, or nothing.
//! 3. At the end of the turn, what has changed for readers goes to the core, and if anything must
//!    survive a restart, one [`SiteOutput::Save`] of what has changed goes before everything else of
//!    the turn.

mod alarm;
mod answer;
mod drive;
mod fail_safe;
mod hand;
mod interlock;
mod lock;
mod plan;
mod publish;
mod restore;
mod route;
mod rules;
mod standstill;
mod view;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use lamplighter_model::{
    Now, ResourceAddress, ResourceInstanceId, Sample, Value,
    device::{AdapterEvent, AdapterId, DeviceEvent, LinkState, OpId},
    object::Definitions,
};

pub use self::view::{GroupView, MemberView, OutputView};
use self::{
    alarm::LampWatch,
    answer::{Pending, Request},
    drive::Lane,
    hand::HandSwitch,
    interlock::Interlock,
    lock::Lock,
    route::Route,
    rules::Rules,
};
pub(crate) use self::{alarm::WatchIndex, interlock::InterlockIndex};
use crate::{
    boundary::{Limit, PointConfig, PointKind, SiteConfig, SiteEvent, SiteInput, SiteOutput},
    deadlines::{Deadlines, Timer},
    group::Group,
    moment::Moment,
    output::{GroupIndex, Output, OutputIndex},
    power_return::PowerReturn,
    saved::{SavedChange, SavedPart, SavedSite},
    slots::CommandId,
    standstill::{Motion, MotionIndex},
};

/// How often counters are published and kept while something is on, and the time that is left where
/// something ends by itself: where nobody knows the date after a power cut, that goes on.
const TICK: Duration = Duration::from_secs(15 * 60);

/// Stands between the core and the adapters; see [`crate::boundary`] for its surface.
#[derive(Debug)]
pub struct Site {
    definitions: Arc<Definitions>,
    vendor_object_base: u16,
    /// All points by the resource that the adapter knows.
    points: BTreeMap<ResourceAddress, Known>,
    outputs: Vec<Output>,
    groups: Vec<Group>,
    interlocks: Vec<Interlock>,
    hands: BTreeMap<GroupIndex, HandSwitch>,
    /// Which hand switches a resource belongs to.
    hand_inputs: BTreeMap<ResourceAddress, Vec<GroupIndex>>,
    locks: BTreeMap<String, Lock>,
    /// There may have been others before the program started.
    locks_unknown: bool,
    power_return: Option<PowerReturn>,
    watches: Vec<LampWatch>,
    /// Which watches a resource belongs to.
    watch_inputs: BTreeMap<ResourceAddress, Vec<WatchIndex>>,
    by_name: BTreeMap<String, Named>,
    routes: BTreeMap<ResourceAddress, Route>,
    rules: Rules,
    /// What moves, or does not.
    motions: Vec<Motion>,
    /// Whose speed a resource is.
    motion_inputs: BTreeMap<ResourceAddress, Vec<MotionIndex>>,
    links: BTreeMap<AdapterId, LinkState>,
    /// Since when no server is registered; `None` while one is, or before anybody said so.
    servers_lost: Option<Moment>,
    requests: BTreeMap<OpId, Request>,
    /// What adapters have not answered yet, by our own numbers.
    pending: BTreeMap<OpId, Pending>,
    lanes: BTreeMap<AdapterId, Lane>,
    next_op: u64,
    next_command: u64,
    deadlines: Deadlines,
    out: VecDeque<SiteOutput>,
    /// Something changed that must be kept before the turn's other outputs are performed.
    dirty: bool,
    /// The same, where nothing but outputs has changed.
    dirty_outputs: bool,
    /// Outputs that have changed since they were kept.
    unkept: BTreeSet<OutputIndex>,
    /// Everything was kept since the start.
    is_whole_kept: bool,
    touched: BTreeSet<OutputIndex>,
    touched_groups: BTreeSet<GroupIndex>,
    /// What readers were last told of the resources that the site owns.
    published: BTreeMap<(ResourceAddress, Option<ResourceInstanceId>), Value>,
}

/// What is looked up of a point; there are thousands of them. All of an output's configuration stands
/// in the output.
#[derive(Debug)]
struct Known {
    name: Box<str>,
    adapter: AdapterId,
    kind: PointKind,
    limit: Option<Box<Limit>>,
}

/// What a configured name stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Named {
    Group(GroupIndex),
    Output(OutputIndex),
    Value(ResourceAddress),
}

impl Known {
    fn of(point: &PointConfig) -> Self {
        Self {
            name: point.name.as_str().into(),
            adapter: point.adapter,
            kind: point.kind,
            limit: point.limit.map(Box::new),
        }
    }
}

impl Site {
    /// Nothing is driven before the adapters declare what they have.
    pub fn new(config: SiteConfig, saved: Option<SavedSite>, now: Now) -> Self {
        let mut site = Self {
            definitions: Arc::clone(&config.definitions),
            vendor_object_base: config.vendor_object_base,
            points: BTreeMap::new(),
            outputs: Vec::new(),
            groups: Vec::new(),
            interlocks: Vec::new(),
            hands: BTreeMap::new(),
            hand_inputs: BTreeMap::new(),
            locks: BTreeMap::new(),
            locks_unknown: false,
            power_return: None,
            watches: Vec::new(),
            watch_inputs: BTreeMap::new(),
            by_name: BTreeMap::new(),
            routes: BTreeMap::new(),
            rules: Rules::new(config.position),
            motions: Vec::new(),
            motion_inputs: BTreeMap::new(),
            links: BTreeMap::new(),
            servers_lost: None,
            requests: BTreeMap::new(),
            pending: BTreeMap::new(),
            lanes: BTreeMap::new(),
            next_op: 0,
            next_command: 0,
            deadlines: Deadlines::default(),
            out: VecDeque::new(),
            dirty: false,
            dirty_outputs: false,
            unkept: BTreeSet::new(),
            is_whole_kept: false,
            touched: BTreeSet::new(),
            touched_groups: BTreeSet::new(),
            published: BTreeMap::new(),
        };
        site.restore(config, saved, now);
        site.flush(0, now);
        site
    }

    pub fn handle(&mut self, input: SiteInput, now: Now) {
        let begun = self.out.len();
        match input {
            SiteInput::Adapter(adapter, AdapterEvent::Changed(samples)) => {
                self.on_changed(adapter, samples, now)
            }
            SiteInput::Adapter(adapter, AdapterEvent::Declared(change)) => {
                self.on_declared(adapter, change, now)
            }
            SiteInput::Adapter(adapter, AdapterEvent::Done(op, result)) => {
                self.on_done(adapter, op, result, now)
            }
            SiteInput::Adapter(adapter, AdapterEvent::Link(state, _)) => {
                self.on_link(adapter, state, now)
            }
            SiteInput::Adapter(_, AdapterEvent::Note(_)) => {}
            SiteInput::Lock(op, request) => self.on_lock(op, request, now),
            SiteInput::Clock(clock) => self.on_clock(clock, now),
            SiteInput::Request(op, request) => self.on_request(op, request, now),
            SiteInput::ServerContact(contact) => self.on_server_contact(contact, now),
            SiteInput::Timeout => {}
        }
        while let Some(timer) = self.deadlines.pop_due(now) {
            self.on_timer(timer, now);
        }
        self.flush(begun, now);
    }

    pub fn poll(&mut self) -> Option<SiteOutput> {
        self.out.pop_front()
    }

    /// When [`SiteInput::Timeout`] is due, on the monotonic clock, and what for.
    pub fn poll_timeout(&self) -> Option<(Duration, &'static str)> {
        self.deadlines.earliest()
    }

    fn on_timer(&mut self, timer: Timer, now: Now) {
        match timer {
            Timer::DeviceLost(index) => self.on_device_lost(index, now),
            Timer::Drive(index) | Timer::Interlock(index) => self.drive(index, now),
            Timer::Hold(index) => self.on_hold_end(index, now),
            Timer::Op(op) => self.on_silence(op, now),
            Timer::Relay(index) => self.judge_alarms(index, now),
            Timer::Rule(index) => self.look(index, now),
            Timer::ServerLost(index) => self.on_server_lost(index, now),
            Timer::Standstill(index) => self.judge_motion(index, now),
            Timer::Tick => self.on_tick(now),
            Timer::Watch(index) => self.judge_watch(index, now),
        }
    }

    fn on_tick(&mut self, now: Now) {
        self.dirty = true;
        let counting = self
            .indices()
            .filter(|index| self.output(*index).counters.is_counting())
            .collect::<Vec<_>>();
        self.arm_tick(!counting.is_empty(), now);
        self.unkept.extend(&counting);
        self.unkept.extend(self.deadlines.holds());
        self.touched.extend(counting);
    }

    fn arm_tick(&mut self, is_counting: bool, now: Now) {
        let needed = is_counting || self.deadlines.holds().next().is_some();
        if needed && !self.deadlines.is_set(Timer::Tick) {
            self.deadlines.set(Timer::Tick, Moment::of(now).plus(TICK));
        }
    }

    /// Ends a turn: tells readers what has changed, and puts the state to be kept before everything of
    /// the turn, whose first output is `begun`; the turns before it may not have been fetched yet.
    fn flush(&mut self, begun: usize, now: Now) {
        self.arm_tick(false, now);
        for index in &self.touched {
            if self.outputs[usize::from(index.0)].take_unkept() {
                self.unkept.insert(*index);
            }
        }
        self.publish(now);
        let has_rest = std::mem::take(&mut self.dirty);
        let is_due = std::mem::take(&mut self.dirty_outputs) || has_rest;
        if is_due && let Some(change) = self.change(has_rest, now) {
            self.out.insert(begun, SiteOutput::Save(change));
        }
    }

    /// What is to be kept, if anything has changed; `has_rest`: beside outputs something has.
    fn change(&mut self, has_rest: bool, now: Now) -> Option<SavedChange> {
        let unkept = std::mem::take(&mut self.unkept);
        if !std::mem::replace(&mut self.is_whole_kept, true) {
            return Some(SavedChange::Whole(SavedSite {
                outputs: self.saved_outputs(self.indices(), now),
                ..self.saved_rest(now)
            }));
        }
        if unkept.is_empty() && !has_rest {
            return None;
        }
        Some(SavedChange::Part(SavedPart {
            outputs: self.saved_outputs(unkept.into_iter(), now),
            rest: has_rest.then(|| Box::new(self.saved_rest(now))),
        }))
    }

    fn output(&self, index: OutputIndex) -> &Output {
        &self.outputs[usize::from(index.0)]
    }

    fn output_mut(&mut self, index: OutputIndex) -> &mut Output {
        self.touched.insert(index);
        &mut self.outputs[usize::from(index.0)]
    }

    fn group(&self, index: GroupIndex) -> &Group {
        &self.groups[usize::from(index.0)]
    }

    fn group_mut(&mut self, index: GroupIndex) -> &mut Group {
        self.touched_groups.insert(index);
        &mut self.groups[usize::from(index.0)]
    }

    fn indices(&self) -> impl Iterator<Item = OutputIndex> + use<> {
        (0..u16::try_from(self.outputs.len()).unwrap_or(u16::MAX)).map(OutputIndex)
    }

    fn outputs_of(&self, adapter: AdapterId) -> Vec<OutputIndex> {
        self.indices()
            .filter(|index| self.output(*index).config.adapter == adapter)
            .collect()
    }

    fn new_op(&mut self) -> OpId {
        self.next_op += 1;
        OpId(self.next_op)
    }

    fn new_command(&mut self) -> CommandId {
        self.next_command += 1;
        CommandId(self.next_command)
    }

    fn tell(&mut self, event: SiteEvent) {
        self.out.push_back(SiteOutput::Event(event));
    }

    fn core(&mut self, event: DeviceEvent) {
        self.out.push_back(SiteOutput::Core(event));
    }

    fn changed(&mut self, samples: Vec<Sample>) {
        if !samples.is_empty() {
            self.core(DeviceEvent::Changed(samples));
        }
    }
}
