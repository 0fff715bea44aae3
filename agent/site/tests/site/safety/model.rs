//! What is known of the world without the site: the devices, and the table of the design.

use std::{collections::BTreeSet, time::Duration};

use lamplighter_model::device::AdapterId;
use lamplighter_site::boundary::Guard;

use crate::rig::secs;

/// A device as it is in the world, over all restarts of the box.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) adapter: AdapterId,
    pub(super) guard: Option<Guard>,
    pub(super) min_switch: Duration,
    pub(super) on: bool,
    /// When it was last switched, by whomever.
    pub(super) switched: Option<Duration>,
    pub(super) starts: Vec<Duration>,
}

impl Device {
    /// Told to take this state. `exempt`: by a lock or an interlock that no guard holds back.
    pub(super) fn take(&mut self, on: bool, exempt: bool, at: Duration) {
        if self.on == on {
            return;
        }
        let guard = self.guard.unwrap_or_default();
        let least = if on { guard.min_off } else { guard.min_on };
        let least = least.max(self.min_switch);
        let rest = self.switched.map(|switched| at - switched);
        assert!(
            exempt || rest.is_none_or(|rest| rest >= least),
            "switched to {on} after {rest:?}, not {least:?}"
        );
        if on && let Some(most) = guard.max_starts_per_hour {
            let recent = self.starts.iter().filter(|start| **start + secs(3600) > at);
            assert!(recent.count() < most as usize, "too many starts in an hour");
            self.starts.push(at);
        }
        self.on = on;
        self.switched = Some(at);
    }

    /// Switched by somebody or something else.
    pub(super) fn become_state(&mut self, on: bool, at: Duration) {
        if self.on != on {
            self.on = on;
            self.switched = Some(at);
            if on {
                self.starts.push(at);
            }
        }
    }
}

/// The table of the design as far as its sources are played here: what stands in slots 4, 5, 6 and
/// 9 of one output.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Table {
    pub(super) device_fail_safe: bool,
    pub(super) command: Option<Wish>,
    pub(super) group: Option<Wish>,
    pub(super) server_lost: bool,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Wish {
    pub(super) on: bool,
    pub(super) held: bool,
}

/// All tables that an output may have: a program that was killed may or may not have kept the last.
#[derive(Debug)]
pub(super) struct Tables(BTreeSet<Table>);

impl Tables {
    pub(super) fn new() -> Self {
        Self(BTreeSet::from([Table::default()]))
    }

    pub(super) fn change(&mut self, change: impl Fn(&mut Table)) {
        let changed = std::mem::take(&mut self.0).into_iter().map(|mut table| {
            change(&mut table);
            table
        });
        self.0 = changed.collect();
    }

    /// The change may or may not have been kept.
    pub(super) fn may_change(&mut self, change: impl Fn(&mut Table)) {
        let before = self.0.clone();
        self.change(change);
        self.0.extend(before);
    }

    /// What the output may want after quiet time; `None` where nobody wants anything.
    pub(super) fn wishes(
        &self,
        higher: Option<bool>,
        rule: Option<bool>,
        default: Option<bool>,
    ) -> BTreeSet<Option<bool>> {
        let wish = |table: &Table| {
            let fail_safe = table.device_fail_safe.then_some(false);
            let lost = table.server_lost.then_some(false);
            let (command, group) = (table.command, table.group);
            higher
                .or(fail_safe)
                .or_else(|| command.map(|wish| wish.on))
                .or_else(|| group.map(|wish| wish.on))
                .or(rule)
                .or(lost)
                .or(default)
        };
        self.0.iter().map(wish).collect()
    }
}

/// A request that is not answered yet.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Command(usize, Wish, u64),
    Group(usize, Wish),
    Lock(usize),
    Unlock(Option<usize>),
}
