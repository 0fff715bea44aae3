//! What people can ask the site, and what it keeps.

use std::collections::BTreeMap;

use lamplighter_model::{Now, ResourceAddress, Value};

use super::{Named, Site, route::Route};
use crate::{
    boundary::{Slot, Why, WhyRefused, WhySlot},
    moment::Moment,
    output::{GroupIndex, Output, OutputIndex},
    saved::{SavedGroup, SavedOutput, SavedSite},
};

/// An output as the page shows it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct OutputView {
    pub name: String,
    /// Where a person's write goes.
    pub address: ResourceAddress,
    /// Its adapter has declared it.
    pub present: bool,
    pub commanded: Option<Value>,
    pub in_effect: Option<Value>,
    pub measured: Option<Value>,
    pub winner: Option<Slot>,
    /// What happened to the last write, in words.
    pub result: String,
}

/// A group as the page shows it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct GroupView {
    pub name: String,
    /// Where a person's write (0–100) goes.
    pub address: ResourceAddress,
    /// The last command, 0–100.
    pub commanded: Option<u8>,
    /// `on`, `off`, `mixed` or `unknown`, as measured.
    pub state: &'static str,
    pub failed: u16,
    pub members: Vec<MemberView>,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct MemberView {
    pub name: String,
    /// What became of the group's last command, in words.
    pub result: String,
}

impl Site {
    /// Who commands an output, and what was overruled; `None` where the name is no output's.
    pub fn why(&self, name: &str, now: Now) -> Option<Why> {
        match self.by_name.get(name)? {
            Named::Output(index) => Some(self.why_output(*index, now)),
            Named::Group(_) | Named::Value(_) => None,
        }
    }

    /// As [`Site::why`], for any resource that shows or commands an output.
    pub fn why_address(&self, address: ResourceAddress, now: Now) -> Option<Why> {
        Some(self.why_output(self.output_behind(address)?, now))
    }

    /// The output that a resource shows or commands.
    pub(super) fn output_behind(&self, address: ResourceAddress) -> Option<OutputIndex> {
        match self.routes.get(&address) {
            Some(Route::Lamp(index, _) | Route::Output(index, _) | Route::Status(index, _)) => {
                Some(*index)
            }
            Some(Route::Adapter(..) | Route::Group(..) | Route::Rule(..)) => None,
            None => self.output_at(address),
        }
    }

    /// The resource that a configured name stands for when it is read or written: of an output the
    /// one that commands it, of a group its Command (0–100).
    pub fn resolve(&self, name: &str) -> Option<ResourceAddress> {
        match *self.by_name.get(name)? {
            Named::Group(index) => Some(self.group_command_address(index)),
            Named::Output(index) => Some(self.output(index).config.address),
            Named::Value(address) => Some(address),
        }
    }

    /// All outputs, in the order of the configuration.
    pub fn outputs(&self) -> Vec<OutputView> {
        self.outputs.iter().map(OutputView::of).collect()
    }

    /// All groups, in the order of the configuration.
    pub fn groups(&self) -> Vec<GroupView> {
        let indices = (0..).map(GroupIndex).zip(&self.groups);
        let views = indices.map(|(index, group)| GroupView {
            name: group.config.name.clone(),
            address: self.group_command_address(index),
            commanded: group.command.as_ref().map(|command| command.level),
            state: group.summary.state(),
            failed: group.failed(),
            members: group
                .members
                .iter()
                .zip(group.results())
                .map(|(member, result)| MemberView {
                    name: self.output(*member).config.name.clone(),
                    result: result.to_string(),
                })
                .collect(),
        });
        views.collect()
    }

    fn why_output(&self, index: OutputIndex, now: Now) -> Why {
        let output = self.output(index);
        let slots = output.slots.occupied().map(|(slot, entry)| WhySlot {
            slot,
            value: entry.value.clone(),
            by: entry.by.clone(),
            since: entry.since.age(now),
            ends_in: entry
                .until
                .or_else(|| self.next_event(index, slot, now))
                .map(|until| Moment::of(now).until(until)),
        });
        Why {
            name: output.config.name.clone(),
            commanded: output.commanded().cloned(),
            in_effect: output.in_effect.clone(),
            measured: output
                .measured
                .as_ref()
                .map(|measured| measured.value.clone()),
            slots: slots.collect(),
            guard_left: output.guard_left(now),
            held_by: self
                .armed_in_words(index)
                .or_else(|| output.held_in_words(now)),
            limited: output.limited(),
            refused: output.refused.as_ref().map(|refused| WhyRefused {
                value: refused.value.clone(),
                by: refused.by.clone(),
                reason: refused.reason.clone(),
                since: refused.at.age(now),
            }),
            rules: self.rules_of(index, now),
            result: output.result.to_string(),
        }
    }

    pub(super) fn saved_outputs(
        &self,
        outputs: impl Iterator<Item = OutputIndex>,
        now: Now,
    ) -> BTreeMap<String, SavedOutput> {
        let group_name = |index: GroupIndex| Some(self.group(index).config.name.clone());
        let dated = self.rules.is_dated(now);
        let outputs = outputs.map(|index| {
            let output = self.output(index);
            let saved = output.to_saved(group_name, dated, now);
            (output.config.name.clone(), saved)
        });
        outputs.collect()
    }

    /// All that is kept but outputs.
    pub(super) fn saved_rest(&self, now: Now) -> SavedSite {
        let groups = self.groups.iter().filter_map(|group| {
            let command = group.command.as_ref()?;
            let since = command.since.to_saved(now);
            Some((
                group.config.name.clone(),
                SavedGroup {
                    level: command.level,
                    by: command.by.clone(),
                    since,
                },
            ))
        });
        SavedSite {
            version: SavedSite::VERSION,
            outputs: BTreeMap::new(),
            groups: groups.collect(),
            boot: Some(now.boot),
            hands: self.saved_hands(now),
            holders: self.holders(),
            locks: self.saved_locks(now),
            locks_unknown: self.locks_unknown,
            power_return: self.power_return.map(|power| power.to_saved(now)),
            armed: self.saved_armed(now),
            rules: self.rules.to_saved(),
        }
    }
}

impl OutputView {
    fn of(output: &Output) -> Self {
        Self {
            name: output.config.name.clone(),
            address: output.config.address,
            present: output.present,
            commanded: output.commanded().cloned(),
            in_effect: output.in_effect.clone(),
            measured: output
                .measured
                .as_ref()
                .map(|measured| measured.value.clone()),
            winner: output.slots.winner().map(|(slot, _)| slot),
            result: output.result.to_string(),
        }
    }
}
