//! Relays that do not follow, lamps that do not burn, lamps that burn by day.
//!
//! 1. A feedback contact that disagrees with what was told, for longer than it may: relay failure.
//! 2. Power below the threshold while all lamps of a watch are told to be on, for as long as
//!    configured: lamp failure. Power above the other while all are told to be off: day burner.
//! 3. An alarm is over when the contrary was seen under the same condition: what a lamp did by night
//!    is not known by day.

use lamplighter_model::{Now, Quality, Sample};

use super::{Named, Site};
use crate::{
    boundary::{Alarm, LampWatchConfig, SiteEvent},
    deadlines::Timer,
    moment::Moment,
    output::{GroupIndex, OutputIndex, is_on},
};

/// A watch, in the order of the configuration.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct WatchIndex(usize);

#[derive(Debug)]
pub(super) struct LampWatch {
    config: LampWatchConfig,
    members: Vec<OutputIndex>,
    /// How many of them were told to be on, and off.
    on: usize,
    off: usize,
    /// The group that is watched, where it is not a single output.
    group: Option<GroupIndex>,
    /// What all members were told, and since when; `None` while they differ.
    told: Option<(bool, Moment)>,
    /// Measured power, where it can be relied on.
    power: Option<(f64, Moment)>,
    /// Since when it is wrong.
    wrong_since: Option<Moment>,
    is_failed: bool,
    is_day_burner: bool,
}

impl LampWatch {
    /// Whether the power is wrong for what the lamps were told; `None` where nobody knows.
    fn judge(&self) -> Option<(Alarm, bool)> {
        let (on, since) = self.told?;
        let (power, _) = self.power.filter(|(_, at)| *at >= since)?;
        if on {
            let low = self.config.on_below.map(|threshold| power < threshold)?;
            Some((Alarm::LampFailure, low))
        } else {
            let high = self.config.off_above.map(|threshold| power > threshold)?;
            Some((Alarm::DayBurner, high))
        }
    }

    /// A member was told something else.
    fn count(&mut self, before: Option<bool>, now: Option<bool>) {
        self.on = self.on + usize::from(now == Some(true)) - usize::from(before == Some(true));
        self.off = self.off + usize::from(now == Some(false)) - usize::from(before == Some(false));
    }

    /// What all members were told; `None` where they differ or nobody knows.
    fn told_all(&self) -> Option<bool> {
        let all = self.members.len();
        let says = [(self.on, true), (self.off, false)];
        let says = says.into_iter().find(|(count, _)| *count == all)?;
        Some(says.1).filter(|_| all > 0)
    }

    const fn alarm(&mut self, alarm: Alarm) -> Option<&mut bool> {
        match alarm {
            Alarm::DayBurner => Some(&mut self.is_day_burner),
            Alarm::LampFailure => Some(&mut self.is_failed),
            Alarm::RelayFailure => None,
        }
    }
}

impl Site {
    pub(super) fn add_watch(&mut self, config: LampWatchConfig) {
        let index = WatchIndex(self.watches.len());
        let (members, group) = match self.by_name.get(&config.target) {
            Some(Named::Group(group)) => (self.group(*group).members.clone(), Some(*group)),
            Some(Named::Output(output)) => (vec![*output], None),
            Some(Named::Value(_)) | None => (Vec::new(), None),
        };
        for member in &members {
            let output = self.output_mut(*member);
            output.watches.push(index);
            output.shows_lamp_alarms |= group.is_none();
        }
        if let Some(group) = group {
            self.group_mut(group).watches.push(index);
        }
        self.watch_inputs
            .entry(config.input)
            .or_default()
            .push(index);
        self.watches.push(LampWatch {
            config,
            members,
            on: 0,
            off: 0,
            group,
            told: None,
            power: None,
            wrong_since: None,
            is_failed: false,
            is_day_burner: false,
        });
    }

    /// A value of a device that may be the power of lamps.
    pub(super) fn see_power(&mut self, sample: &Sample, now: Now) {
        let Some(watches) = self.watch_inputs.get(&sample.address).cloned() else {
            return;
        };
        let usable = matches!(sample.quality, Quality::Good | Quality::Unchecked);
        let power = sample.value.as_f64().filter(|_| usable);
        let at = Moment::of_stamp(sample.at, now);
        for index in watches {
            self.watches[index.0].power = power.map(|power| (power, at));
            self.judge_watch(index, now);
        }
    }

    /// What an output was told, or is seen to do, may have changed.
    pub(super) fn judge_alarms(&mut self, index: OutputIndex, now: Now) {
        self.judge_relay(index, now);
        let output = self.output(index);
        let (before, told) = (output.watched, output.in_effect.as_ref().map(is_on));
        if before == told {
            return;
        }
        self.output_mut(index).watched = told;
        for watch in self.output(index).watches.clone() {
            let watched = &mut self.watches[watch.0];
            watched.count(before, told);
            let all = watched.told_all();
            if watched.told.map(|(on, _)| on) != all {
                watched.told = all.map(|on| (on, Moment::of(now)));
                self.judge_watch(watch, now);
            }
        }
    }

    pub(super) fn judge_watch(&mut self, index: WatchIndex, now: Now) {
        let watch = &mut self.watches[index.0];
        let Some((alarm, is_wrong)) = watch.judge() else {
            watch.wrong_since = None;
            self.deadlines.clear(Timer::Watch(index));
            return;
        };
        if !is_wrong {
            watch.wrong_since = None;
            self.deadlines.clear(Timer::Watch(index));
            self.set_lamp_alarm(index, alarm, false);
            return;
        }
        let since = *watch.wrong_since.get_or_insert_with(|| Moment::of(now));
        let due = since.plus(watch.config.after);
        if due <= Moment::of(now) {
            self.set_lamp_alarm(index, alarm, true);
        } else {
            self.deadlines.set(Timer::Watch(index), due);
        }
    }

    fn set_lamp_alarm(&mut self, index: WatchIndex, alarm: Alarm, active: bool) {
        let watch = &mut self.watches[index.0];
        let Some(state) = watch.alarm(alarm) else {
            return;
        };
        if std::mem::replace(state, active) == active {
            return;
        }
        let name = watch.config.target.clone();
        let group = watch.group;
        let members = watch.members.clone();
        self.tell(SiteEvent::Alarm {
            name,
            alarm,
            active,
        });
        match group {
            Some(group) => {
                self.touched_groups.insert(group);
            }
            None => self.touched.extend(members),
        }
    }

    /// A contact that disagrees while a write is under way, or just after it, is only slow.
    fn judge_relay(&mut self, index: OutputIndex, now: Now) {
        let output = self.output(index);
        let Some(within) = output.config.feedback else {
            return;
        };
        let Some(disagrees) = output.disagrees() else {
            return;
        };
        let (before, since) = (output.relay_failure, output.disagrees_since);
        if !disagrees {
            self.deadlines.clear(Timer::Relay(index));
            if before || since.is_some() {
                let output = self.output_mut(index);
                output.relay_failure = false;
                output.disagrees_since = None;
            }
            if before {
                self.tell_relay(index, false);
            }
            return;
        }
        let since = since.unwrap_or_else(|| Moment::of(now));
        self.output_mut(index).disagrees_since = Some(since);
        let due = since.plus(within);
        if due > Moment::of(now) {
            self.deadlines.set(Timer::Relay(index), due);
        } else if !before {
            self.output_mut(index).relay_failure = true;
            self.tell_relay(index, true);
        }
    }

    fn tell_relay(&mut self, index: OutputIndex, active: bool) {
        let name = self.output(index).config.name.clone();
        self.tell(SiteEvent::Alarm {
            name,
            alarm: Alarm::RelayFailure,
            active,
        });
    }

    /// Whether an alarm of an output holds.
    pub(super) fn has_alarm(&self, index: OutputIndex, alarm: Alarm) -> bool {
        let mut watches = self.output(index).watches.iter();
        let own = |watch: &LampWatch| watch.group.is_none();
        match alarm {
            Alarm::DayBurner => watches.any(|watch| {
                let watch = &self.watches[watch.0];
                own(watch) && watch.is_day_burner
            }),
            Alarm::LampFailure => watches.any(|watch| {
                let watch = &self.watches[watch.0];
                own(watch) && watch.is_failed
            }),
            Alarm::RelayFailure => self.output(index).relay_failure,
        }
    }

    /// Whether an alarm of a group as a whole holds; `None` where nobody watches it.
    pub(super) fn has_group_alarm(&self, index: GroupIndex, alarm: Alarm) -> Option<bool> {
        let watches = self.group(index).watches.iter();
        let states = watches.map(|watch| match alarm {
            Alarm::DayBurner => self.watches[watch.0].is_day_burner,
            Alarm::LampFailure => self.watches[watch.0].is_failed,
            Alarm::RelayFailure => false,
        });
        states.reduce(|any, holds| any || holds)
    }
}
