//! Hand switches: who stands before the cabinet wins over everybody else, lock and interlock
//! excepted.
//!
//! 1. An input of the switch is seen; the position follows from both inputs.
//! 2. A new position fills or empties the slot of every member. Of several switches over one
//!    output, one that says off wins.
//! 3. Where the switch has a limit, the slot ends by itself and goes to the next switch that stands on
//!    something; this one must be moved to begin anew.
//!
//! The position survives a restart and holds until the inputs are seen again, as long as was left of
//! its limit.

use std::collections::BTreeMap;

use lamplighter_model::{Now, Quality, ResourceAddress, Sample, device::Origin};

use super::Site;
use crate::{
    boundary::{Hand, ManualConfig, SiteEvent, Slot},
    moment::Moment,
    output::{GroupIndex, OutputIndex, is_on},
    saved::{SavedEnd, SavedHand},
    slots::Entry,
};

/// The hand switch of a group.
#[derive(Debug)]
pub(super) struct HandSwitch {
    config: ManualConfig,
    /// What each input was last seen to say; `None` for one that was not seen yet.
    on: Option<bool>,
    off: Option<bool>,
    position: Hand,
    since: Moment,
    until: Option<Moment>,
}

impl HandSwitch {
    fn new(config: ManualConfig, now: Now) -> Self {
        Self {
            config,
            on: None,
            off: None,
            position: Hand::Auto,
            since: Moment::of(now),
            until: None,
        }
    }

    fn restore(&mut self, saved: &SavedHand, now: Now) {
        self.position = saved.position;
        self.since = Moment::past(saved.since, now).unwrap_or_else(|| Moment::of(now));
        let end = self.config.limit.map(|limit| self.since.plus(limit));
        let kept = saved.until.map(|end| end.restore(now));
        self.until = end.map(|end| kept.map_or(end, |kept| kept.min(end)));
    }

    /// Takes what an input says; true if the switch stands elsewhere now.
    fn see(&mut self, address: ResourceAddress, level: bool, now: Now) -> bool {
        if self.config.on == Some(address) {
            self.on = Some(level);
        }
        if self.config.off == Some(address) {
            self.off = Some(level);
        }
        let unseen =
            |input: Option<ResourceAddress>, seen: Option<bool>| input.is_some() && seen.is_none();
        // After a restart both inputs are waited for: one alone might say that it has been moved.
        if unseen(self.config.on, self.on) || unseen(self.config.off, self.off) {
            return false;
        }
        let position = match (self.on, self.off) {
            (_, Some(true)) => Hand::Off,
            (Some(true), _) => Hand::On,
            (Some(false) | None, Some(false) | None) => Hand::Auto,
        };
        if position == self.position {
            return false;
        }
        self.position = position;
        self.since = Moment::of(now);
        self.until = self.config.limit.map(|limit| self.since.plus(limit));
        true
    }

    /// What the switch wants now, and until when.
    fn demand(&self, now: Now) -> Option<(Hand, Moment, Option<Moment>)> {
        let over = self.until.is_some_and(|until| until <= Moment::of(now));
        (self.position != Hand::Auto && !over).then_some((self.position, self.since, self.until))
    }
}

impl Site {
    pub(super) fn add_hand(&mut self, index: GroupIndex, saved: Option<&SavedHand>, now: Now) {
        let Some(config) = self.group(index).config.manual.clone() else {
            return;
        };
        for input in [config.on, config.off].into_iter().flatten() {
            self.hand_inputs.entry(input).or_default().push(index);
        }
        let mut switch = HandSwitch::new(config, now);
        if let Some(saved) = saved {
            switch.restore(saved, now);
            let group = self.group(index).config.name.clone();
            let position = saved.position;
            self.tell(SiteEvent::HandSwitch { group, position });
        }
        self.hands.insert(index, switch);
        for member in self.group(index).members.clone() {
            self.output_mut(member).has_hand = true;
            self.fill_hand(member, now);
        }
    }

    /// A value of a device that may be an input of a hand switch.
    pub(super) fn see_hand(&mut self, sample: &Sample, now: Now) {
        let Some(groups) = self.hand_inputs.get(&sample.address).cloned() else {
            return;
        };
        if !matches!(sample.quality, Quality::Good | Quality::Unchecked) {
            return;
        }
        let level = is_on(&sample.value);
        for group in groups {
            let switch = self.hands.get_mut(&group);
            if switch.is_some_and(|switch| switch.see(sample.address, level, now)) {
                self.on_hand(group, now);
            }
        }
    }

    fn on_hand(&mut self, index: GroupIndex, now: Now) {
        let Some(position) = self.hands.get(&index).map(|switch| switch.position) else {
            return;
        };
        self.dirty = true;
        let group = self.group(index).config.name.clone();
        self.tell(SiteEvent::HandSwitch { group, position });
        for member in self.group(index).members.clone() {
            self.fill_hand(member, now);
            self.rearm_hold(member);
            let turn = self.group_mut(index).pace(Moment::of(now));
            self.output_mut(member).set_turn((index, turn));
            self.drive(member, now);
        }
    }

    /// Fills the slot of an output with what its hand switches say.
    pub(super) fn fill_hand(&mut self, index: OutputIndex, now: Now) {
        let groups = self.output(index).groups.iter();
        let demands = groups.filter_map(|group| {
            let demand = self.hands.get(group)?.demand(now)?;
            Some((demand, *group))
        });
        let strongest =
            demands.min_by_key(|((position, since, _), _)| (*position != Hand::Off, *since));
        let Some(((position, since, until), group)) = strongest else {
            self.output_mut(index).slots.clear(Slot::HandSwitch);
            return;
        };
        let level = if position == Hand::On { 100 } else { 0 };
        let Some(value) = self.output(index).value_of_level(level) else {
            return;
        };
        let by = Origin::Rule(format!("hand switch of {}", self.group(group).config.name));
        let id = self.new_command();
        self.output_mut(index).slots.set(
            Slot::HandSwitch,
            Entry {
                id,
                value,
                by,
                since,
                until,
                group: None,
            },
        );
    }

    pub(super) fn saved_hands(&self, now: Now) -> BTreeMap<String, SavedHand> {
        let standing = self
            .hands
            .iter()
            .filter(|(_, switch)| switch.position != Hand::Auto);
        let saved = standing.map(|(index, switch)| {
            let saved = SavedHand {
                position: switch.position,
                since: switch.since.to_saved(now),
                until: switch.until.map(|end| SavedEnd::of(end, now)),
            };
            (self.group(*index).config.name.clone(), saved)
        });
        saved.collect()
    }
}
