//! Requests until they are answered: reads, executes, and what adapters say to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_model::{
    Now, ResourceAddress,
    device::{
        Action, AdapterId, AdapterRequest, Answer, DeviceEvent, DeviceRequest, Fault, OpId, Origin,
        Part,
    },
};

use super::{Site, route::Route, write::WriteRequest};
use crate::{boundary::SiteOutput, deadlines::Timer, moment::Moment, output::OutputIndex};

/// The supervisor in front of an adapter has its own, shorter deadlines and always answers; these
/// are for the case that it does not.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
const READ_DEADLINE: Duration = Duration::from_secs(180);
/// More requests than this are refused while they wait.
const MAX_REQUESTS: usize = 1024;
/// More adapter operations than this are not begun for requests.
const MAX_PENDING: usize = 8192;

/// A request that is not answered yet.
#[derive(Debug)]
pub(super) enum Request {
    Execute,
    Read(ReadRequest),
    Write(WriteRequest),
}

#[derive(Debug, Default)]
pub(super) struct ReadRequest {
    /// Adapters that have not answered.
    waiting: usize,
    answer: Answer,
    /// Answered by the site when all adapters have answered: the resource, and what of the device
    /// it depends on.
    own: Vec<(ResourceAddress, Option<ResourceAddress>)>,
    /// Asked of the device only to answer for something in `own`, and why it failed.
    sources: BTreeMap<ResourceAddress, Option<Fault>>,
}

/// An operation of ours that an adapter has not answered.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) adapter: AdapterId,
    pub(super) purpose: Purpose,
}

#[derive(Clone, Debug)]
pub(super) enum Purpose {
    Drive(OutputIndex),
    Execute {
        request: OpId,
    },
    Read {
        request: OpId,
        resources: Vec<ResourceAddress>,
    },
    Value {
        request: OpId,
        name: String,
    },
}

impl Site {
    pub(super) fn on_request(&mut self, op: OpId, request: DeviceRequest, now: Now) {
        if self.requests.contains_key(&op) {
            tracing::debug!(
                ?op,
                "A request with the number of one that is not answered yet"
            );
            return;
        }
        if self.requests.len() >= MAX_REQUESTS || self.pending.len() >= MAX_PENDING {
            self.answer(op, Err(Fault::Busy));
            return;
        }
        let DeviceRequest { origin, action } = request;
        match action {
            Action::Execute { resource, args } => self.execute(op, resource, args, &origin, now),
            Action::Read(resources) => self.read(op, resources, now),
            Action::Write { values, hold } => self.write(op, origin, values, hold, now),
            Action::WritePart(part) => self.write_part(op, part, now),
        }
    }

    pub(super) fn answer(&mut self, op: OpId, result: Result<Answer, Fault>) {
        self.core(DeviceEvent::Done(op, result));
    }

    /// Gives an operation to an adapter.
    pub(super) fn ask(
        &mut self,
        adapter: AdapterId,
        action: Action,
        purpose: Purpose,
        now: Now,
    ) -> OpId {
        let op = self.new_op();
        let deadline = match action {
            Action::Execute { .. } | Action::Write { .. } | Action::WritePart(_) => WRITE_DEADLINE,
            Action::Read(_) => READ_DEADLINE,
        };
        self.deadlines
            .set(Timer::Op(op), Moment::of(now).plus(deadline));
        self.pending.insert(op, Pending { adapter, purpose });
        self.out
            .push_back(SiteOutput::Adapter(adapter, AdapterRequest { op, action }));
        op
    }

    /// An adapter has answered.
    pub(super) fn on_done(
        &mut self,
        adapter: AdapterId,
        op: OpId,
        result: Result<Answer, Fault>,
        now: Now,
    ) {
        let Some(pending) = self
            .pending
            .get(&op)
            .filter(|pending| pending.adapter == adapter)
        else {
            tracing::debug!(?adapter, ?op, "An answer that nobody waits for");
            return;
        };
        let purpose = pending.purpose.clone();
        self.pending.remove(&op);
        self.deadlines.clear(Timer::Op(op));
        self.on_result(adapter, purpose, result, now);
    }

    /// An adapter has not answered for longer than any deadline of its supervisor.
    pub(super) fn on_silence(&mut self, op: OpId, now: Now) {
        if let Some(Pending { adapter, purpose }) = self.pending.remove(&op) {
            tracing::warn!(adapter = adapter.0, "An adapter has not answered");
            self.on_result(adapter, purpose, Err(Fault::Timeout), now);
        }
    }

    /// Whether what an adapter is asked to do, and was held up for long, may still be given to it. What
    /// may not is to be answered with an error instead (design: a command answered with an error is
    /// never executed later).
    pub fn may_be_late(&self, op: OpId, now: Now) -> bool {
        let purpose = self.pending.get(&op).map(|pending| &pending.purpose);
        match purpose {
            Some(Purpose::Drive(index)) => self.output(*index).may_be_late(now),
            Some(Purpose::Read { .. }) => true,
            Some(Purpose::Execute { .. } | Purpose::Value { .. }) | None => false,
        }
    }

    fn on_result(
        &mut self,
        adapter: AdapterId,
        purpose: Purpose,
        result: Result<Answer, Fault>,
        now: Now,
    ) {
        match purpose {
            Purpose::Drive(index) => {
                let result = self.written(adapter, result, now);
                self.on_driven(index, result, now);
                self.next_in_lane(adapter, now);
            }
            Purpose::Execute { request } => {
                self.requests.remove(&request);
                self.answer(request, result);
            }
            Purpose::Read { request, resources } => {
                self.on_read(adapter, request, resources, result, now)
            }
            Purpose::Value { request, name } => {
                let result = self.written(adapter, result, now);
                self.on_job_done(request, adapter, name, result, now);
            }
        }
    }

    /// A write may bring back what was read to verify it.
    fn written(
        &mut self,
        adapter: AdapterId,
        result: Result<Answer, Fault>,
        now: Now,
    ) -> Result<(), Fault> {
        let Answer { samples, failed } = result?;
        if !samples.is_empty() {
            self.on_changed(adapter, samples, now);
        }
        failed
            .into_iter()
            .next()
            .map_or(Ok(()), |(_, fault)| Err(fault))
    }

    fn execute(
        &mut self,
        op: OpId,
        resource: ResourceAddress,
        args: Vec<u8>,
        origin: &Origin,
        now: Now,
    ) {
        match self.routes.get(&resource).copied() {
            Some(Route::Adapter(adapter, operations)) if operations.execute => {
                self.requests.insert(op, Request::Execute);
                let action = Action::Execute { resource, args };
                self.ask(adapter, action, Purpose::Execute { request: op }, now);
            }
            Some(Route::Lamp(index, what)) => {
                let Some(reset) = what.reset() else {
                    return self.answer(op, Err(Fault::Unsupported));
                };
                tracing::info!(
                    name = self.output(index).config.name,
                    ?reset,
                    ?origin,
                    "Counter reset"
                );
                self.output_mut(index).counters.reset(reset, now);
                self.dirty_outputs = true;
                self.answer(op, Ok(Answer::default()));
            }
            Some(Route::Status(index, what)) => {
                self.execute_status(op, (index, what), &args, origin, now)
            }
            Some(Route::Adapter(..) | Route::Group(..) | Route::Output(..) | Route::Rule(..))
            | None => {
                self.answer(op, Err(Fault::Unsupported));
            }
        }
    }

    /// What is large is no output: nothing of the site has a say in it.
    fn write_part(&mut self, op: OpId, part: Part, now: Now) {
        match self.routes.get(&part.resource).copied() {
            Some(Route::Adapter(adapter, operations)) if operations.write => {
                self.requests.insert(op, Request::Execute);
                let purpose = Purpose::Execute { request: op };
                self.ask(adapter, Action::WritePart(part), purpose, now);
            }
            Some(_) | None => self.answer(op, Err(Fault::Unsupported)),
        }
    }

    fn read(&mut self, op: OpId, resources: Vec<ResourceAddress>, now: Now) {
        let mut request = ReadRequest::default();
        let mut asked: BTreeMap<AdapterId, BTreeSet<ResourceAddress>> = BTreeMap::new();
        for address in resources {
            match self.routes.get(&address).copied() {
                None => {
                    let fault = if self.points.contains_key(&address) {
                        Fault::Unreachable
                    } else {
                        Fault::Unsupported
                    };
                    request.answer.failed.push((address, fault));
                }
                Some(Route::Adapter(adapter, _)) => {
                    asked.entry(adapter).or_default().insert(address);
                }
                Some(Route::Output(index, _)) => {
                    asked
                        .entry(self.output(index).config.adapter)
                        .or_default()
                        .insert(address);
                }
                Some(Route::Lamp(index, what))
                    if what.is_measured() && !self.output(index).is_assumed() =>
                {
                    let point = &self.output(index).config;
                    asked
                        .entry(point.adapter)
                        .or_default()
                        .insert(point.address);
                    request.own.push((address, Some(point.address)));
                    request.sources.insert(point.address, None);
                }
                Some(Route::Group(..) | Route::Lamp(..) | Route::Rule(..) | Route::Status(..)) => {
                    request.own.push((address, None))
                }
            }
        }
        request.waiting = asked.len();
        for (adapter, resources) in asked {
            let resources = resources.into_iter().collect::<Vec<_>>();
            let purpose = Purpose::Read {
                request: op,
                resources: resources.clone(),
            };
            self.ask(adapter, Action::Read(resources), purpose, now);
        }
        self.requests.insert(op, Request::Read(request));
        self.finish_read(op, now);
    }

    fn on_read(
        &mut self,
        adapter: AdapterId,
        op: OpId,
        resources: Vec<ResourceAddress>,
        result: Result<Answer, Fault>,
        now: Now,
    ) {
        let Answer { samples, failed } = match result {
            Ok(answer) => answer,
            Err(fault) => {
                let failed = resources
                    .into_iter()
                    .map(|address| (address, fault.clone()));
                Answer {
                    samples: Vec::new(),
                    failed: failed.collect(),
                }
            }
        };
        // The tree and the outputs learn what was read on the same way as anything measured.
        if !samples.is_empty() {
            self.on_changed(adapter, samples.clone(), now);
        }
        let Some(Request::Read(request)) = self.requests.get_mut(&op) else {
            return;
        };
        let sources = &mut request.sources;
        request.answer.samples.extend(
            samples
                .into_iter()
                .filter(|sample| !sources.contains_key(&sample.address)),
        );
        for (address, fault) in failed {
            match sources.get_mut(&address) {
                Some(source) => *source = Some(fault),
                None => request.answer.failed.push((address, fault)),
            }
        }
        request.waiting = request.waiting.saturating_sub(1);
        self.finish_read(op, now);
    }

    /// Answers a read once all adapters have answered their part.
    fn finish_read(&mut self, op: OpId, now: Now) {
        let request = match self.requests.get(&op) {
            Some(Request::Read(request)) if request.waiting == 0 => self.requests.remove(&op),
            Some(Request::Execute | Request::Read(_) | Request::Write(_)) | None => return,
        };
        let Some(Request::Read(ReadRequest {
            mut answer,
            own,
            sources,
            ..
        })) = request
        else {
            return;
        };
        self.sum_up();
        for (address, source) in own {
            let fault = source.and_then(|source| sources.get(&source)?.clone());
            let samples = if fault.is_none() {
                self.samples_of(address, now)
            } else {
                Vec::new()
            };
            if samples.is_empty() {
                answer
                    .failed
                    .push((address, fault.unwrap_or(Fault::NoValue)));
            }
            answer.samples.extend(samples);
        }
        let all_failed = answer
            .failed
            .first()
            .filter(|_| answer.samples.is_empty())
            .map(|(_, fault)| fault.clone());
        self.answer(op, all_failed.map_or(Ok(answer), Err));
    }
}
