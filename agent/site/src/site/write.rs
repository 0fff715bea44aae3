//! Writes: all checks first, then applied.
//!
//! 1. [`Site::plan`] looks at every value; the first that may not be written refuses the whole request.
//! 2. Group commands and counter resets are accepted on the spot.
//! 3. Outputs and values become jobs: one after the other at one adapter, adapters side by side.
//! 4. After the first job that fails no other is begun, and people are told what was applied.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use lamplighter_model::{
    Now, ResourceAddress, Value,
    device::{Action, AdapterId, Answer, Assignment, Fault, OpId, Origin},
};

use super::{
    Site,
    answer::{Purpose, Request},
    plan::Plan,
};
use crate::{
    boundary::{SiteEvent, Slot},
    deadlines::Timer,
    group::{GroupCommand, MemberResult},
    moment::Moment,
    output::{GroupIndex, OutputIndex, Refused},
    slots::Entry,
};

/// Longer holding times than this mean the same to everybody.
const LONGEST_HOLD: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// A job that is not begun by then is not begun at all: the core has answered, or is about to
/// (design: within 4 s; a command answered with an error is never executed later).
const BEGIN_WITHIN: Duration = Duration::from_secs(4);

/// A write that is not answered yet.
#[derive(Debug)]
pub(super) struct WriteRequest {
    begun: Moment,
    origin: Origin,
    hold: Option<Duration>,
    jobs: BTreeMap<AdapterId, VecDeque<Job>>,
    under_way: usize,
    /// Names of what was written.
    applied: Vec<String>,
    failed: Option<(String, Fault)>,
}

/// One thing to be written to one adapter.
#[derive(Debug)]
enum Job {
    Output(OutputIndex, Value),
    Value(Assignment),
}

impl Site {
    pub(super) fn write(
        &mut self,
        op: OpId,
        origin: Origin,
        values: Vec<Assignment>,
        hold: Option<Duration>,
        now: Now,
    ) {
        let mut plan = Plan::default();
        for assignment in values {
            let (address, value) = (assignment.address, assignment.value.clone());
            if let Err(fault) = self.plan(assignment, &mut plan, now) {
                if let Some(index) = self.output_behind(address) {
                    self.note_refused(index, value, origin, &fault, now);
                }
                return self.answer(op, Err(fault));
            }
        }
        if let Err(fault) = self.check_rules(&plan.rules) {
            return self.answer(op, Err(fault));
        }
        let Plan {
            groups,
            outputs,
            resets,
            rules,
            values,
        } = plan;
        let hold = hold.map(|hold| hold.min(LONGEST_HOLD));
        let mut applied = Vec::new();
        for (group, level) in groups {
            self.command_group(group, level, &origin, hold, now);
            applied.push(self.group(group).config.name.clone());
        }
        for (rule, changes) in rules {
            self.change_rule(rule, &changes, &origin, now);
            applied.push(self.rules.get(rule).name.clone());
        }
        for (index, reset) in resets {
            self.output_mut(index).counters.reset(reset, now);
            self.dirty_outputs = true;
        }
        let mut jobs: BTreeMap<_, VecDeque<_>> = BTreeMap::new();
        for (index, value) in outputs {
            jobs.entry(self.output(index).config.adapter)
                .or_default()
                .push_back(Job::Output(index, value));
        }
        for (adapter, assignment) in values {
            jobs.entry(adapter)
                .or_default()
                .push_back(Job::Value(assignment));
        }
        let adapters = jobs.keys().copied().collect::<Vec<_>>();
        let request = WriteRequest {
            begun: Moment::of(now),
            origin,
            hold,
            jobs,
            under_way: 0,
            applied,
            failed: None,
        };
        self.requests.insert(op, Request::Write(request));
        for adapter in adapters {
            self.next_job(op, adapter, now);
        }
        self.finish_write(op);
    }

    /// The command of a single output, by other means than a write of its resource.
    pub(super) fn write_output(
        &mut self,
        op: OpId,
        index: OutputIndex,
        value: Value,
        by: &Origin,
        now: Now,
    ) {
        let adapter = self.output(index).config.adapter;
        let job = Job::Output(index, value);
        let request = WriteRequest {
            begun: Moment::of(now),
            origin: by.clone(),
            hold: None,
            jobs: BTreeMap::from([(adapter, VecDeque::from([job]))]),
            under_way: 0,
            applied: Vec::new(),
            failed: None,
        };
        self.requests.insert(op, Request::Write(request));
        self.next_job(op, adapter, now);
        self.finish_write(op);
    }

    /// Begins the next job at an adapter; those that are done at once let the next one follow.
    fn next_job(&mut self, op: OpId, adapter: AdapterId, now: Now) {
        loop {
            let Some(Request::Write(request)) = self.requests.get_mut(&op) else {
                return;
            };
            if request.failed.is_some() {
                request.jobs.clear();
            }
            let Some(job) = request.jobs.get_mut(&adapter).and_then(VecDeque::pop_front) else {
                return;
            };
            request.under_way += 1;
            if request.begun.plus(BEGIN_WITHIN) <= Moment::of(now) {
                let name = self.name_of_job(&job);
                self.note_job(op, name, Err(Fault::Timeout));
                continue;
            }
            let (origin, hold) = (request.origin.clone(), request.hold);
            let name = self.name_of_job(&job);
            let progress = match job {
                Job::Output(index, value) => self.command(op, index, value, origin, hold, now),
                Job::Value(assignment) => {
                    let action = Action::Write {
                        values: vec![assignment],
                        hold: None,
                    };
                    self.ask(
                        adapter,
                        action,
                        Purpose::Value {
                            request: op,
                            name: name.clone(),
                        },
                        now,
                    );
                    Ok(Progress::UnderWay)
                }
            };
            match progress {
                Ok(Progress::UnderWay) => return,
                Ok(Progress::Accepted) => self.note_job(op, name, Ok(())),
                Err(fault) => self.note_job(op, name, Err(fault)),
            }
        }
    }

    /// A job that was under way is done.
    pub(super) fn on_job_done(
        &mut self,
        op: OpId,
        adapter: AdapterId,
        name: String,
        result: Result<(), Fault>,
        now: Now,
    ) {
        self.note_job(op, name, result);
        self.next_job(op, adapter, now);
        self.finish_write(op);
    }

    fn note_job(&mut self, op: OpId, name: String, result: Result<(), Fault>) {
        let Some(Request::Write(request)) = self.requests.get_mut(&op) else {
            return;
        };
        request.under_way = request.under_way.saturating_sub(1);
        match result {
            Ok(()) => request.applied.push(name),
            Err(fault) => {
                request.failed.get_or_insert((name, fault));
            }
        }
    }

    fn finish_write(&mut self, op: OpId) {
        let Some(Request::Write(request)) = self.requests.get(&op) else {
            return;
        };
        let idle = request.under_way == 0;
        let left = request.failed.is_none() && request.jobs.values().any(|jobs| !jobs.is_empty());
        if !idle || left {
            return;
        }
        let Some(Request::Write(WriteRequest {
            applied, failed, ..
        })) = self.requests.remove(&op)
        else {
            return;
        };
        let Some((name, fault)) = failed else {
            return self.answer(op, Ok(Answer::default()));
        };
        if !applied.is_empty() {
            self.tell(SiteEvent::PartlyApplied {
                applied,
                failed: name,
                reason: fault.to_string(),
            });
        }
        self.answer(op, Err(fault));
    }

    /// Why an output may not be commanded to this value now.
    pub(super) fn refusal(&self, index: OutputIndex, value: &Value, now: Now) -> Option<Fault> {
        let interlock = self.interlock_refusal(index, value, now);
        interlock
            .filter(|_| self.output(index).present)
            .or_else(|| self.output(index).refusal(value, now))
    }

    /// Why no member at all would obey: a lock, a hand switch or an interlock holds each of them.
    pub(super) fn group_refusal(&self, index: GroupIndex, level: u8, now: Now) -> Option<Fault> {
        let members = self.group(index).members.iter();
        let held = members.map(|member| {
            let value = self.output(*member).value_of_level(level)?;
            let interlock = self.interlock_refusal(*member, &value, now);
            interlock.or_else(|| self.output(*member).held_against(&value, now))
        });
        held.reduce(|first, other| other.and(first)).flatten()
    }

    /// For those who ask later why nothing has happened.
    fn note_refused(
        &mut self,
        index: OutputIndex,
        value: Value,
        by: Origin,
        fault: &Fault,
        now: Now,
    ) {
        self.output_mut(index).refused = Some(Box::new(Refused {
            value,
            by,
            reason: fault.to_string(),
            at: Moment::of(now),
        }));
    }

    /// Puts a command into its slot. It has passed the checks of the plan, but time may have passed.
    fn command(
        &mut self,
        request: OpId,
        index: OutputIndex,
        value: Value,
        by: Origin,
        hold: Option<Duration>,
        now: Now,
    ) -> Result<Progress, Fault> {
        if let Some(fault) = self.refusal(index, &value, now) {
            self.note_refused(index, value, by, &fault, now);
            return Err(fault);
        }
        if self.armed_instead(index, &value, &by, hold, now) {
            return Ok(Progress::Accepted);
        }
        let guarded = self
            .output(index)
            .guard_wait(Slot::Command, &value, now)
            .is_some();
        let since = Moment::of(now);
        let until = hold.map(|hold| since.plus(hold));
        let entry = Entry {
            id: self.new_command(),
            value,
            by,
            since,
            until,
            group: None,
        };
        let waiter = (!guarded).then_some(request);
        let output = self.output_mut(index);
        if let Some(rule) = output.standstill.as_mut().filter(|rule| rule.is_forced) {
            rule.forced = Some(entry.id);
        }
        let replaced = output.command(entry, waiter);
        self.dirty_outputs = true;
        self.answer_replaced(replaced, index, now);
        self.rearm_hold(index);
        self.drive(index, now);
        Ok(if guarded {
            Progress::Accepted
        } else {
            Progress::UnderWay
        })
    }

    /// The request of a command that another one has replaced before it was carried out.
    pub(super) fn answer_replaced(&mut self, request: Option<OpId>, index: OutputIndex, now: Now) {
        let Some(request) = request else { return };
        let reason = "a later command came before this one was carried out".to_owned();
        self.answer_waiter(
            request,
            index,
            Err(Fault::Refused {
                reason,
                retry_after: None,
            }),
            now,
        );
    }

    pub(super) fn answer_waiter(
        &mut self,
        request: OpId,
        index: OutputIndex,
        result: Result<(), Fault>,
        now: Now,
    ) {
        let config = &self.output(index).config;
        self.on_job_done(request, config.adapter, config.name.clone(), result, now);
    }

    fn command_group(
        &mut self,
        index: GroupIndex,
        level: u8,
        by: &Origin,
        hold: Option<Duration>,
        now: Now,
    ) {
        let since = Moment::of(now);
        let id = self.new_command();
        let until = hold.map(|hold| since.plus(hold));
        self.group_mut(index).start(GroupCommand {
            id,
            level,
            by: by.clone(),
            since,
        });
        self.dirty = true;
        for member in self.group(index).members.clone() {
            let Some(value) = self.output(member).nearest_to_level(level) else {
                continue;
            };
            self.set_result(index, member, MemberResult::Pending);
            let turn = if self.output(member).present {
                self.group_mut(index).pace(since)
            } else {
                since
            };
            let entry = Entry {
                id,
                value,
                by: by.clone(),
                since,
                until,
                group: Some(index),
            };
            let replaced = self.output_mut(member).group_command(entry, turn);
            self.answer_replaced(replaced, member, now);
            self.rearm_hold(member);
            self.drive(member, now);
        }
        self.finish_group(index);
    }

    pub(super) fn rearm_hold(&mut self, index: OutputIndex) {
        match self.output(index).slots.next_end() {
            Some(end) => self.deadlines.set(Timer::Hold(index), end),
            None => self.deadlines.clear(Timer::Hold(index)),
        }
    }

    fn name_of_job(&self, job: &Job) -> String {
        match job {
            Job::Output(index, _) => self.output(*index).config.name.clone(),
            Job::Value(assignment) => self.name_of(assignment.address),
        }
    }

    fn name_of(&self, address: ResourceAddress) -> String {
        self.points
            .get(&address)
            .map_or_else(|| address.to_string(), |point| point.name.to_string())
    }
}

/// What has become of a job when it was begun.
enum Progress {
    /// To be carried out later, by the guard.
    Accepted,
    UnderWay,
}
