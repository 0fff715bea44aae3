//! All deadlines of the site in one ordered set, so that a turn costs what has changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_model::{Now, device::OpId};

use crate::{
    moment::Moment, output::OutputIndex, rule::RuleIndex, site::WatchIndex, standstill::MotionIndex,
};

/// What a deadline is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Timer {
    /// The device of the output has been away for as long as its fail-safe allows.
    DeviceLost(OutputIndex),
    /// The output may be driven now (guard, stagger or retry).
    Drive(OutputIndex),
    /// A command of the output ends.
    Hold(OutputIndex),
    /// The dead time of an interlock ends for the output.
    Interlock(OutputIndex),
    /// The adapter should long have answered.
    Op(OpId),
    /// A feedback contact disagrees for too long.
    Relay(OutputIndex),
    /// A rule is to be looked at.
    Rule(RuleIndex),
    /// All servers have been away for as long as the output allows.
    ServerLost(OutputIndex),
    /// Nobody has told lately that something stands.
    Standstill(MotionIndex),
    /// Counters are published and kept, and how long commands still hold.
    Tick,
    /// The power of lamps has been wrong for long enough.
    Watch(WatchIndex),
}

#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    at: BTreeMap<Timer, Moment>,
    ordered: BTreeSet<(Moment, Timer)>,
}

impl Deadlines {
    /// Sets or moves a deadline.
    pub(crate) fn set(&mut self, timer: Timer, at: Moment) {
        self.clear(timer);
        self.at.insert(timer, at);
        self.ordered.insert((at, timer));
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.at.remove(&timer) {
            self.ordered.remove(&(at, timer));
        }
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.at.contains_key(&timer)
    }

    /// Outputs of which something ends by itself.
    pub(crate) fn holds(&self) -> impl Iterator<Item = OutputIndex> {
        let all = Timer::Hold(OutputIndex(0))..=Timer::Hold(OutputIndex(u16::MAX));
        let timers = self.at.range(all);
        timers.filter_map(|(timer, _)| match timer {
            Timer::Hold(index) => Some(*index),
            Timer::DeviceLost(_)
            | Timer::Drive(_)
            | Timer::Interlock(_)
            | Timer::Op(_)
            | Timer::Relay(_)
            | Timer::Rule(_)
            | Timer::ServerLost(_)
            | Timer::Standstill(_)
            | Timer::Tick
            | Timer::Watch(_) => None,
        })
    }

    /// The earliest deadline that has passed.
    pub(crate) fn pop_due(&mut self, now: Now) -> Option<Timer> {
        let (at, timer) = *self.ordered.first()?;
        if at > Moment::of(now) {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }

    pub(crate) fn earliest(&self) -> Option<(Duration, &'static str)> {
        let (at, timer) = self.ordered.first()?;
        let reason = match timer {
            Timer::DeviceLost(_) => "fail-safe of a lost device",
            Timer::Drive(_) => "guard, stagger or retry of an output",
            Timer::Hold(_) => "end of a command",
            Timer::Interlock(_) => "dead time of an interlock",
            Timer::Op(_) => "answer of an adapter",
            Timer::Relay(_) => "feedback contact",
            Timer::Rule(_) => "schedule, photocell or thermostat",
            Timer::ServerLost(_) => "fail-safe of lost servers",
            Timer::Standstill(_) => "standstill",
            Timer::Tick => "counters",
            Timer::Watch(_) => "power of lamps",
        };
        Some((at.mono(), reason))
    }
}
