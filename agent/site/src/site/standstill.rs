//! Commands that are armed while something moves.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_model::{
    Now, Quality, Sample, Value,
    device::{Answer, Fault, OpId, Origin},
};

use super::{Named, Site};
use crate::{
    boundary::SiteEvent,
    deadlines::Timer,
    moment::Moment,
    output::{OutputIndex, is_on},
    saved::SavedArmed,
    slots::Entry,
    standstill::{Armed, Motion, MotionIndex, Standstill, StandstillConfig},
    status::StatusResource,
};

/// The argument of an Execute that switches at once; the core lets only the owner give it.
const FORCE: &[u8] = b"1='force'";

impl Site {
    /// After the outputs, and before what they are told is looked at.
    pub(super) fn add_standstills(
        &mut self,
        configs: Vec<StandstillConfig>,
        saved: &BTreeMap<String, SavedArmed>,
        now: Now,
    ) {
        for config in configs {
            let motion = MotionIndex(self.motions.len());
            let found = config.outputs.iter();
            let outputs: Vec<OutputIndex> = found.filter_map(|at| self.output_at(*at)).collect();
            for index in &outputs {
                self.output_mut(*index).standstill = Some(Box::new(Standstill {
                    motion,
                    on: config.on,
                    still_until: None,
                    armed: None,
                    is_forced: false,
                    forced: None,
                }));
            }
            let inputs = self.motion_inputs.entry(config.speed).or_default();
            inputs.push(motion);
            self.motions.push(Motion::new(config, outputs));
        }
        for (name, kept) in saved {
            self.restore_armed(name, kept, now);
        }
    }

    /// What waited before the restart still does: whether anything moves is not known yet.
    fn restore_armed(&mut self, name: &str, kept: &SavedArmed, now: Now) {
        let Some(Named::Output(index)) = self.by_name.get(name).copied() else {
            return;
        };
        let output = self.output(index);
        let Ok(value) = kept.value.clone().fit(output.data_type) else {
            return;
        };
        let value = output.nearest(value);
        if !output.must_arm(&value, now) {
            self.dirty = true;
            let (name, by) = (name.to_owned(), None);
            return self.tell(SiteEvent::Disarmed { name, by });
        }
        let since = Moment::past(kept.since, now).unwrap_or_else(|| Moment::of(now));
        let is_unsure = (self.output_mut(index)).take_unsure(&value, &kept.by, since);
        let entry = Entry {
            id: self.new_command(),
            value,
            by: kept.by.clone(),
            since,
            until: None,
            group: None,
        };
        let armed = Armed {
            entry,
            hold: kept.hold,
            is_unsure,
        };
        self.arm(index, armed, true);
    }

    pub(super) fn saved_armed(&self, now: Now) -> BTreeMap<String, SavedArmed> {
        let armed = self.outputs.iter().filter_map(|output| {
            let Armed { entry, hold, .. } = output.armed_to_keep()?;
            let kept = SavedArmed {
                value: entry.value.clone(),
                by: entry.by.clone(),
                since: entry.since.to_saved(now),
                hold: *hold,
            };
            Some((output.config.name.clone(), kept))
        });
        armed.collect()
    }

    /// A value of a device that may be the speed of something.
    pub(super) fn see_speed(&mut self, sample: &Sample, now: Now) {
        let Some(motions) = self.motion_inputs.get(&sample.address).cloned() else {
            return;
        };
        // What nobody has checked may be from before: what a broker has kept, or a guess of a receiver.
        let is_good = sample.quality == Quality::Good;
        let speed = sample.value.as_f64().filter(|_| is_good);
        let at = Moment::of_stamp(sample.at, now).min(Moment::of(now));
        for index in motions {
            self.motions[index.0].see(speed, at);
            self.judge_motion(index, now);
        }
    }

    pub(super) fn judge_motion(&mut self, index: MotionIndex, now: Now) {
        let motion = &mut self.motions[index.0];
        motion.forget_old(Moment::of(now));
        let still_until = motion.still_until();
        let outputs = motion.outputs.clone();
        match motion.known_until() {
            Some(at) => self.deadlines.set(Timer::Standstill(index), at),
            None => self.deadlines.clear(Timer::Standstill(index)),
        }
        for output in outputs {
            let Some(standstill) = self.outputs[usize::from(output.0)].standstill.as_mut() else {
                continue;
            };
            standstill.still_until = still_until;
            if standstill.armed.is_some() {
                self.drive(output, now);
            }
        }
    }

    /// Takes a command that has passed its checks, where it has to wait; false where it need not. A
    /// later command takes the place of one that waits, whatever it wants.
    pub(super) fn armed_instead(
        &mut self,
        index: OutputIndex,
        value: &Value,
        by: &Origin,
        hold: Option<Duration>,
        now: Now,
    ) -> bool {
        if !self.output(index).must_arm(value, now) {
            self.disarm(index, Some(by));
            return false;
        }
        let entry = Entry {
            id: self.new_command(),
            value: value.clone(),
            by: by.clone(),
            since: Moment::of(now),
            until: None,
            group: None,
        };
        let is_unsure = false;
        let armed = Armed {
            entry,
            hold,
            is_unsure,
        };
        self.arm(index, armed, false);
        true
    }

    fn arm(&mut self, index: OutputIndex, armed: Armed, again: bool) {
        let by = armed.entry.by.clone();
        self.output_mut(index).arm(armed);
        self.tell_armed(index, by, again);
    }

    fn tell_armed(&mut self, index: OutputIndex, by: Origin, again: bool) {
        self.dirty = true;
        let name = self.output(index).config.name.clone();
        self.tell(SiteEvent::Armed { name, by, again });
    }

    /// Arms a command that could not be begun in time.
    pub(super) fn arm_late(&mut self, index: OutputIndex, now: Now) {
        // Nearly no output waits for standstill.
        if self.output(index).standstill.is_none() {
            return;
        }
        let Some(request) = self.output_mut(index).arm_late(now) else {
            return;
        };
        self.rearm_hold(index);
        if let Some(by) = self
            .output(index)
            .armed()
            .map(|armed| armed.entry.by.clone())
        {
            self.tell_armed(index, by, false);
        }
        self.answer_waiter(request, index, Ok(()), now);
    }

    /// Forgets a command that waits.
    pub(super) fn disarm(&mut self, index: OutputIndex, by: Option<&Origin>) {
        if self.output(index).armed_to_keep().is_none() || !self.output_mut(index).disarm() {
            return;
        }
        self.dirty = true;
        let name = self.output(index).config.name.clone();
        let by = by.cloned();
        self.tell(SiteEvent::Disarmed { name, by });
    }

    /// A command that waited has been carried out; `is_news`: nobody has called it off meanwhile.
    pub(super) fn on_carried_out(&mut self, index: OutputIndex, is_news: bool) {
        self.dirty = true;
        self.rearm_hold(index);
        if is_news {
            let name = self.output(index).config.name.clone();
            self.tell(SiteEvent::Disarmed { name, by: None });
        }
    }

    /// Why a command waits, in words.
    pub(super) fn armed_in_words(&self, index: OutputIndex) -> Option<String> {
        self.output(index).armed_or_begun()?;
        let standstill = self.output(index).standstill.as_ref()?;
        let why = self.motions[standstill.motion.0].in_words();
        let state = if standstill.on { "on" } else { "off" };
        Some(format!("armed: goes {state} at standstill; {why}"))
    }

    /// Execute of a resource of Output status.
    pub(super) fn execute_status(
        &mut self,
        op: OpId,
        (index, what): (OutputIndex, StatusResource),
        args: &[u8],
        by: &Origin,
        now: Now,
    ) {
        match what {
            StatusResource::Cancel => {
                self.disarm(index, Some(by));
                self.drive(index, now);
                self.answer(op, Ok(Answer::default()));
            }
            StatusResource::ShutDown => match args {
                [] => self.shut_down(op, index, by, false, now),
                FORCE => self.shut_down(op, index, by, true, now),
                _ => {
                    let words = "the only argument is 1='force'".to_owned();
                    self.answer(op, Err(Fault::BadValue(words)));
                }
            },
            StatusResource::Armed
            | StatusResource::By
            | StatusResource::Commanded
            | StatusResource::GuardLeft
            | StatusResource::InEffect
            | StatusResource::Measured
            | StatusResource::Result
            | StatusResource::Since
            | StatusResource::Target
            | StatusResource::Until
            | StatusResource::Winner => self.answer(op, Err(Fault::Unsupported)),
        }
    }

    /// A command of the state that waits for standstill; `force`d it waits for nothing.
    fn shut_down(&mut self, op: OpId, index: OutputIndex, by: &Origin, force: bool, now: Now) {
        let output = &mut self.outputs[usize::from(index.0)];
        let Some(standstill) = output.standstill.as_mut() else {
            return self.answer(op, Err(Fault::Unsupported));
        };
        standstill.is_forced = force;
        let on = standstill.on;
        let value = output.nearest_to_level(if on { 100 } else { 0 });
        match value.filter(|value| is_on(value) == on) {
            Some(value) => self.write_output(op, index, value, by, now),
            None => self.answer(op, Err(Fault::Unsupported)),
        }
        if let Some(standstill) = &mut self.outputs[usize::from(index.0)].standstill {
            standstill.is_forced = false;
        }
    }
}
