//! What a supervisor knows: last samples, open requests, what is to be done next. No IO.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::RangeInclusive,
};

use lamplighter_model::{
    InstanceAddress, Packed, Quality, ResourceAddress, ResourceId, ResourceInstanceId, Sample,
    device::{
        Action, AdapterEvent, AdapterRequest, Answer, Assignment, Declaration, Declared, Fault,
        LinkState, Note, OpId, Part,
    },
    object::Operations,
};
use tokio::time::Instant;

use super::{
    Limits,
    health::Pulse,
    link::{self, Link, Meaning},
    outbox::Outbox,
};
use crate::Clock;

/// Samples kept for one adapter; more instances of multiple resources than this are passed on but
/// not kept.
const SAMPLES_MAX: usize = 65_536;

/// A resource, or an instance of a multiple one.
type SampleKey = (ResourceAddress, Option<ResourceInstanceId>);

/// What to do with the device next.
pub(super) enum Work {
    Execute {
        op: OpId,
        resource: ResourceAddress,
        args: Vec<u8>,
        deadline: Instant,
    },
    Read(Flight),
    /// The device is left alone after a fault.
    Rest {
        until: Instant,
    },
    /// Something was written; the adapter may know its new value without a read.
    Settle,
    Wait,
    Write {
        op: OpId,
        values: Vec<Assignment>,
        deadline: Instant,
    },
    WritePart {
        op: OpId,
        part: Part,
        deadline: Instant,
    },
}

/// One read of the device.
pub(super) struct Flight {
    why: Why,
    pub(super) instance: InstanceAddress,
    pub(super) resources: Vec<ResourceId>,
}

#[derive(Clone, Copy)]
enum Why {
    /// A request waits for it.
    Asked,
    /// The adapter said so.
    Due,
}

#[derive(Debug)]
pub(super) struct Desk {
    clock: Clock,
    limits: Limits,
    declared: BTreeMap<ResourceAddress, Operations>,
    samples: Packed<SampleKey, Kept>,
    link: Link,
    pulse: Pulse,
    pub(super) outbox: Outbox,
    commands: VecDeque<Command>,
    reads: Vec<Reading>,
    /// Instances that a request waits for, in their order.
    asked: Flights,
    /// Instances that the adapter said are due.
    due: Flights,
    /// Readable resources that were written and not seen since.
    written: Flights,
    stale_check: Option<Instant>,
}

#[derive(Debug)]
struct Kept {
    sample: Sample,
    refreshed: Instant,
    /// A write has made it history.
    superseded: bool,
}

#[derive(Debug)]
struct Command {
    op: OpId,
    deadline: Instant,
    kind: CommandKind,
}

#[derive(Debug)]
enum CommandKind {
    Execute(ResourceAddress, Vec<u8>),
    Write(Vec<Assignment>),
    WritePart(Part),
}

/// A Read that waits for the device.
#[derive(Debug)]
struct Reading {
    op: OpId,
    deadline: Instant,
    missing: BTreeSet<ResourceAddress>,
    answer: Answer,
}

/// Reads of the device to be made: one per instance.
#[derive(Debug, Default)]
struct Flights(VecDeque<(InstanceAddress, BTreeSet<ResourceId>)>);

/// The keys of a resource and of all its instances.
fn all_of(address: ResourceAddress) -> RangeInclusive<SampleKey> {
    (address, None)..=(address, Some(ResourceInstanceId(u16::MAX)))
}

impl Desk {
    pub(super) fn new(clock: Clock, limits: Limits) -> Self {
        let (link, starting) = Link::new();
        let mut desk = Self {
            clock,
            pulse: Pulse::new(limits.health.clone()),
            limits,
            declared: BTreeMap::new(),
            samples: Packed::new(),
            link,
            outbox: Outbox::default(),
            commands: VecDeque::new(),
            reads: Vec::new(),
            asked: Flights::default(),
            due: Flights::default(),
            written: Flights::default(),
            stale_check: None,
        };
        desk.tell_link(starting);
        desk
    }

    /// Tells somebody new all that is known, and forgets what others asked for.
    pub(super) fn introduce(&mut self) {
        self.commands.clear();
        self.reads.clear();
        self.asked = Flights::default();
        self.outbox = Outbox::default();
        let (state, words) = self.link.told();
        self.outbox.push_link(state, words);
        let declared = self.declared.iter();
        let added = declared.map(|(address, operations)| Declaration {
            address: *address,
            operations: *operations,
        });
        self.outbox.push(AdapterEvent::Declared(Declared {
            added: added.collect(),
            removed: Vec::new(),
        }));
        let samples = self.samples.values().map(|kept| kept.sample.clone());
        self.outbox.push_samples(samples.collect());
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether a request may be taken in; else it stays in its queue, where its sender sees it.
    pub(super) fn has_room(&self) -> bool {
        self.outbox.len() < 2 * self.limits.queue.max(1)
    }

    pub(super) fn wants_device(&self) -> bool {
        !self.commands.is_empty() || !self.asked.0.is_empty()
    }

    pub(super) fn next(&mut self, now: Instant) -> Work {
        if let Some(Command { op, deadline, kind }) = self.commands.pop_front() {
            return match kind {
                CommandKind::Execute(resource, args) => Work::Execute {
                    op,
                    resource,
                    args,
                    deadline,
                },
                CommandKind::Write(values) => Work::Write {
                    op,
                    values,
                    deadline,
                },
                CommandKind::WritePart(part) => Work::WritePart { op, part, deadline },
            };
        }
        while let Some((instance, mut resources)) = self.asked.0.pop_front() {
            if self.is_awaited(instance) {
                resources.extend(self.due.take(instance));
                self.pulse.reading(now);
                return Work::Read(Flight::new(Why::Asked, instance, resources));
            }
        }
        if let Some(until) = self.link.rests_until(now) {
            return Work::Rest { until };
        }
        match self.due.0.pop_front() {
            Some((instance, resources)) => {
                self.pulse.reading(now);
                Work::Read(Flight::new(Why::Due, instance, resources))
            }
            None if self.written.0.is_empty() => Work::Wait,
            None => Work::Settle,
        }
    }

    /// The adapter told nothing about what was written: read it.
    pub(super) fn read_written(&mut self) {
        for (instance, resources) in self.written.0.drain(..) {
            self.due.add(instance, resources);
        }
    }

    /// When [`Desk::expire`] has something to do.
    pub(super) fn timer(&self) -> Option<Instant> {
        let reads = self.reads.iter().map(|read| read.deadline);
        let commands = self.commands.iter().map(|command| command.deadline);
        reads.chain(commands).chain(self.stale_check).min()
    }

    pub(super) fn declare(&mut self, declared: Declared) {
        for address in &declared.removed {
            self.declared.remove(address);
            let keys: Vec<SampleKey> = self
                .samples
                .range(all_of(*address))
                .map(|(key, _)| *key)
                .collect();
            for key in keys {
                self.samples.remove(&key);
            }
        }
        self.declared.extend(
            declared
                .added
                .iter()
                .map(|added| (added.address, added.operations)),
        );
        if declared != Declared::default() {
            self.outbox.push(AdapterEvent::Declared(declared));
        }
    }

    pub(super) fn on_request(&mut self, request: AdapterRequest, now: Instant) {
        let AdapterRequest { op, action } = request;
        if self.commands.len() + self.reads.len() >= self.limits.queue {
            return self.refuse(op, Fault::Busy);
        }
        let deadline = now + self.limits.deadline;
        let kind = match action {
            Action::Read(addresses) => return self.on_read_request(op, addresses, deadline, now),
            Action::Execute { resource, .. }
                if !self.allows(resource, |operations| operations.execute) =>
            {
                return self.refuse(op, Fault::Unsupported);
            }
            Action::Write { values, .. }
                if !values
                    .iter()
                    .all(|value| self.allows(value.address, |operations| operations.write)) =>
            {
                return self.refuse(op, Fault::Unsupported);
            }
            Action::WritePart(part)
                if !self.allows(part.resource, |operations| operations.write) =>
            {
                return self.refuse(op, Fault::Unsupported);
            }
            Action::Execute { resource, args } => CommandKind::Execute(resource, args),
            Action::Write { values, .. } => CommandKind::Write(values),
            Action::WritePart(part) => CommandKind::WritePart(part),
        };
        self.commands.push_back(Command { op, deadline, kind });
    }

    fn on_read_request(
        &mut self,
        op: OpId,
        addresses: Vec<ResourceAddress>,
        deadline: Instant,
        now: Instant,
    ) {
        let mut reading = Reading {
            op,
            deadline,
            missing: BTreeSet::new(),
            answer: Answer::default(),
        };
        for address in addresses {
            if !self.allows(address, |operations| operations.read) {
                reading.answer.failed.push((address, Fault::Unsupported));
            } else if let Some(young) = self.young(address) {
                reading.answer.samples.extend(young);
            } else if self.link.is_offline() && self.link.rests_until(now).is_some() {
                reading.answer.failed.push((address, Fault::Unreachable));
            } else {
                reading.missing.insert(address);
            }
        }
        for address in &reading.missing {
            self.asked
                .add(address.instance(), BTreeSet::from([address.path.resource]));
        }
        self.reads.push(reading);
        self.finish_reads();
    }

    pub(super) fn on_due(&mut self, instance: InstanceAddress, resources: Vec<ResourceId>) {
        let declared = |resource: &ResourceId| {
            self.declared.contains_key(&ResourceAddress {
                scope: instance.scope,
                path: instance.path.resource(resource.0),
            })
        };
        let resources: BTreeSet<ResourceId> = resources.into_iter().filter(declared).collect();
        if !resources.is_empty() {
            self.due.add(instance, resources);
        }
    }

    pub(super) fn on_news(&mut self, samples: Vec<Sample>) {
        if samples.is_empty() {
            return;
        }
        if samples
            .iter()
            .any(|sample| sample.quality != Quality::Stale)
        {
            self.on_alive();
        }
        self.record(samples);
    }

    pub(super) fn on_alive(&mut self) {
        let change = self.link.heard();
        self.tell_link(change);
    }

    pub(super) fn on_lost(&mut self, words: &str) {
        let change = self.link.lost(words);
        self.tell_link(change);
    }

    pub(super) fn on_notes(&mut self, notes: Vec<Note>) {
        let notes = notes.into_iter().map(AdapterEvent::Note);
        notes.for_each(|note| self.outbox.push(note));
    }

    /// A fault of what the adapter does by itself: waiting for news, reading what is due.
    pub(super) fn on_fault(&mut self, fault: &Fault, now: Instant) {
        self.pulse.fault(fault);
        let change = match link::meaning(fault) {
            Meaning::None => None,
            Meaning::Refused => self.link.refused(fault, &self.limits, now),
            Meaning::Silence => self.link.missed(fault, &self.limits, now),
        };
        self.tell_link(change);
    }

    /// A fault of what was asked for. That a device refuses it says nothing about its link.
    fn on_request_fault(&mut self, fault: &Fault, now: Instant) {
        if link::meaning(fault) == Meaning::Silence {
            self.on_fault(fault, now);
        }
    }

    pub(super) fn on_read(
        &mut self,
        flight: &Flight,
        result: Result<Vec<Sample>, Fault>,
        now: Instant,
    ) {
        let (samples, fault) = match result {
            Ok(samples) => {
                self.pulse.read(now);
                (samples, Fault::NoValue)
            }
            Err(fault) => {
                match flight.why {
                    Why::Asked => self.on_request_fault(&fault, now),
                    Why::Due => self.on_fault(&fault, now),
                }
                (Vec::new(), fault)
            }
        };
        for reading in &mut self.reads {
            reading.take(&samples);
            reading.fail(flight.addresses(), &fault);
        }
        self.on_news(samples);
        self.finish_reads();
    }

    pub(super) fn on_written(
        &mut self,
        op: OpId,
        values: &[Assignment],
        result: Result<(), Fault>,
        read_back: Vec<Sample>,
        now: Instant,
    ) {
        if result.is_ok() {
            for value in values {
                self.supersede(value.address);
            }
        }
        if !read_back.is_empty() {
            self.on_news(read_back);
        }
        self.on_executed(op, result, now);
    }

    pub(super) fn on_executed(&mut self, op: OpId, result: Result<(), Fault>, now: Instant) {
        match &result {
            Ok(()) => {
                let change = self.link.heard();
                self.tell_link(change);
            }
            Err(fault) => self.on_request_fault(fault, now),
        }
        self.outbox
            .push(AdapterEvent::Done(op, result.map(|()| Answer::default())));
    }

    /// Ends what has waited too long.
    pub(super) fn expire(&mut self, now: Instant) {
        for reading in &mut self.reads {
            if reading.deadline <= now {
                let missing = std::mem::take(&mut reading.missing);
                reading
                    .answer
                    .failed
                    .extend(missing.into_iter().map(|address| (address, Fault::Timeout)));
            }
        }
        self.finish_reads();
        let (late, waiting) = std::mem::take(&mut self.commands)
            .into_iter()
            .partition(|command| command.deadline <= now);
        let late: VecDeque<Command> = late;
        self.commands = waiting;
        late.into_iter()
            .for_each(|command| self.refuse(command.op, Fault::Timeout));
        if self.stale_check.is_some_and(|at| at <= now) {
            self.age(now);
        }
    }

    pub(super) fn refuse(&mut self, op: OpId, fault: Fault) {
        self.outbox.push(AdapterEvent::Done(op, Err(fault)));
    }

    /// The adapter is no more: everything open fails, everything known is stale.
    pub(super) fn abandon(&mut self, words: &str) {
        let open: Vec<OpId> = self
            .commands
            .drain(..)
            .map(|command| command.op)
            .chain(self.reads.drain(..).map(|read| read.op))
            .collect();
        open.into_iter()
            .for_each(|op| self.refuse(op, Fault::Unreachable));
        self.on_lost(&format!("the adapter stopped: {words}"));
    }

    fn allows(&self, address: ResourceAddress, what: impl Fn(&Operations) -> bool) -> bool {
        self.declared.get(&address).is_some_and(what)
    }

    /// All samples of a resource, if none is too old.
    fn young(&self, address: ResourceAddress) -> Option<Vec<Sample>> {
        let samples = self.samples.range(all_of(address)).map(|(_, kept)| kept);
        samples.clone().next()?;
        let max_age = self
            .limits
            .max_age_of
            .get(&address)
            .unwrap_or(&self.limits.max_age);
        let now = self.clock.stamp();
        let is_young = |kept: &Kept| {
            let Kept {
                sample, superseded, ..
            } = kept;
            let age = now.mono.saturating_sub(sample.at.mono);
            !superseded
                && sample.quality != Quality::Stale
                && sample.at.boot == now.boot
                && age <= *max_age
        };
        samples
            .clone()
            .all(is_young)
            .then(|| samples.map(|kept| kept.sample.clone()).collect())
    }

    fn is_awaited(&self, instance: InstanceAddress) -> bool {
        self.reads.iter().any(|read| {
            read.missing
                .iter()
                .any(|address| address.instance() == instance)
        })
    }

    /// Keeps samples and passes them on; those of resources that nobody declared are dropped.
    fn record(&mut self, mut samples: Vec<Sample>) {
        let (now, at) = (Instant::now(), self.clock.stamp());
        samples.retain(|sample| self.declared.contains_key(&sample.address));
        for sample in &samples {
            // What an adapter has kept is as old as it was.
            let age = at.mono.saturating_sub(sample.at.mono);
            let refreshed = now.checked_sub(age).unwrap_or(now);
            let key = (sample.address, sample.index);
            if self.samples.len() >= SAMPLES_MAX && !self.samples.contains_key(&key) {
                continue;
            }
            let kept = Kept {
                sample: sample.clone(),
                refreshed,
                superseded: false,
            };
            self.samples.insert(key, kept);
            self.written.remove(sample.address);
            if let Some(stale_after) = self.limits.stale_after {
                let due = refreshed + stale_after;
                self.stale_check = Some(self.stale_check.map_or(due, |check| check.min(due)));
            }
        }
        self.outbox.push_samples(samples);
    }

    /// After a write the last sample is history; where the adapter tells nothing by itself, the
    /// resource is read again.
    fn supersede(&mut self, address: ResourceAddress) {
        if self.allows(address, |operations| operations.read) {
            self.written
                .add(address.instance(), BTreeSet::from([address.path.resource]));
        }
        for (_, kept) in self.samples.range_mut(all_of(address)) {
            kept.superseded = true;
        }
    }

    fn finish_reads(&mut self) {
        let (done, waiting) = std::mem::take(&mut self.reads)
            .into_iter()
            .partition::<Vec<_>, _>(|read| read.missing.is_empty());
        self.reads = waiting;
        for Reading { op, mut answer, .. } in done {
            let result = match answer.failed.first() {
                Some((_, fault)) if answer.samples.is_empty() => Err(fault.clone()),
                _ => {
                    answer.failed.sort_by_key(|(address, _)| *address);
                    Ok(answer)
                }
            };
            self.outbox.push(AdapterEvent::Done(op, result));
        }
    }

    fn tell_link(&mut self, change: link::Change) {
        let Some((state, words)) = change else { return };
        self.outbox.push_link(state, words);
        if state == LinkState::Offline {
            self.make_stale(|_| true);
        }
    }

    /// Marks what was not refreshed in time.
    fn age(&mut self, now: Instant) {
        self.stale_check = None;
        let Some(stale_after) = self.limits.stale_after else {
            return;
        };
        self.make_stale(|kept| kept.refreshed + stale_after <= now);
        let fresh = self
            .samples
            .values()
            .filter(|kept| kept.sample.quality != Quality::Stale);
        self.stale_check = fresh.map(|kept| kept.refreshed + stale_after).min();
    }

    fn make_stale(&mut self, which: impl Fn(&Kept) -> bool) {
        let mut changed = Vec::new();
        for kept in self.samples.values_mut() {
            if kept.sample.quality != Quality::Stale && which(kept) {
                kept.sample.quality = Quality::Stale;
                changed.push(kept.sample.clone());
            }
        }
        self.outbox.push_samples(changed);
    }
}

impl Flight {
    fn new(why: Why, instance: InstanceAddress, resources: BTreeSet<ResourceId>) -> Self {
        let resources = resources.into_iter().collect();
        Self {
            why,
            instance,
            resources,
        }
    }

    fn addresses(&self) -> impl Iterator<Item = ResourceAddress> {
        let InstanceAddress { scope, path } = self.instance;
        let address = move |resource: &ResourceId| ResourceAddress {
            scope,
            path: path.resource(resource.0),
        };
        self.resources.iter().map(address)
    }
}

impl Reading {
    fn take(&mut self, samples: &[Sample]) {
        let found = samples
            .iter()
            .filter(|sample| self.missing.contains(&sample.address));
        self.answer.samples.extend(found.cloned());
        for sample in samples {
            self.missing.remove(&sample.address);
        }
    }

    fn fail(&mut self, read: impl Iterator<Item = ResourceAddress>, fault: &Fault) {
        for address in read
            .filter(|address| self.missing.contains(address))
            .collect::<Vec<_>>()
        {
            self.missing.remove(&address);
            self.answer.failed.push((address, fault.clone()));
        }
    }
}

impl Flights {
    fn add(&mut self, instance: InstanceAddress, resources: BTreeSet<ResourceId>) {
        match self.0.iter_mut().find(|(waiting, _)| *waiting == instance) {
            Some((_, waiting)) => waiting.extend(resources),
            None => self.0.push_back((instance, resources)),
        }
    }

    fn remove(&mut self, address: ResourceAddress) {
        if let Some((_, resources)) = self
            .0
            .iter_mut()
            .find(|(instance, _)| *instance == address.instance())
        {
            resources.remove(&address.path.resource);
        }
        self.0.retain(|(_, resources)| !resources.is_empty());
    }

    fn take(&mut self, instance: InstanceAddress) -> BTreeSet<ResourceId> {
        let Some(at) = self.0.iter().position(|(waiting, _)| *waiting == instance) else {
            return BTreeSet::new();
        };
        self.0
            .remove(at)
            .map(|(_, resources)| resources)
            .unwrap_or_default()
    }
}
