//! Interlocks, hand switches and watches of lamps: what cannot be met is found before anything is switched.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_model::{DataType, ResourceAddress, Value, object::Definitions};
use lamplighter_site::boundary::{
    BootState, GroupConfig, InterlockConfig, LampWatchConfig, ManualConfig, PointConfig, PointKind,
};

use super::{Checker, below, key, site::find};
use crate::config::{layer::Key, schema};

impl Checker<'_> {
    pub(super) fn interlocks(
        &mut self,
        site: &schema::Site,
        points: &[PointConfig],
        groups: &[GroupConfig],
    ) -> Vec<InterlockConfig> {
        let mut interlocks = Vec::new();
        for (name, interlock) in &site.interlock {
            let at = key(&["site", "interlock", name]);
            self.name(&at);
            let within = below(&at, "never_together");
            let members = self.required(&at, "never_together", interlock.never_together.as_ref());
            let before = self.problems.len();
            let never_together =
                members.map_or_else(Vec::new, |members| self.members(&within, members, points));
            let is_complete = members.is_some() && self.problems.len() == before;
            if is_complete && never_together.len() < 2 {
                self.error(&within, "an interlock is between at least two outputs", "");
            }
            if is_complete {
                self.can_be_met(&within, &never_together, points);
                self.commanded_together(&within, &never_together, groups);
            }
            let dead_time = interlock.dead_time_s.unwrap_or(0);
            let dead_time = self.within(&below(&at, "dead_time_s"), dead_time, 0, 3600);
            interlocks.push(InterlockConfig {
                name: name.clone(),
                never_together,
                dead_time: Duration::from_secs(dead_time),
            });
        }
        interlocks
    }

    /// At most one of the members may be what nobody has to ask for.
    fn can_be_met(&mut self, at: &Key, members: &[ResourceAddress], points: &[PointConfig]) {
        let members = points
            .iter()
            .filter(|point| members.contains(&point.address));
        let unasked = members.filter_map(|point| Some((point, goes_on_unasked(point)?)));
        let unasked: Vec<String> = unasked
            .map(|(point, why)| format!("{} ({why})", point.name))
            .collect();
        if unasked.len() > 1 {
            let what = format!("go on by themselves: {}", unasked.join(" and "));
            let hint = "an interlock can be met where at most one of its members does";
            self.error(at, what, hint);
        }
    }

    fn commanded_together(
        &mut self,
        at: &Key,
        members: &[ResourceAddress],
        groups: &[GroupConfig],
    ) {
        for group in groups {
            let both = group
                .members
                .iter()
                .filter(|member| members.contains(member));
            if both.count() > 1 {
                let what = format!(
                    "the group {} switches several of them on together",
                    group.name
                );
                let hint = "one will go on, the others are overruled by the interlock";
                self.warning(at, what, hint);
            }
        }
    }

    pub(super) fn manual(
        &mut self,
        group: &Key,
        manual: &schema::Manual,
        points: &[PointConfig],
        definitions: &Definitions,
    ) -> ManualConfig {
        let at = below(group, "manual");
        if manual.input.is_none() && manual.off_input.is_none() {
            self.missing(&at, "input", "for example input = \"lamps.hand\"");
        }
        let mut seen = BTreeSet::new();
        let mut input = |name: &str, text: Option<&String>| {
            let at = below(&at, name);
            let input = self.input(&at, text?, points, definitions, &CONTACT)?;
            if !seen.insert(input) {
                self.error(&at, "both positions are the same contact", "");
            }
            Some(input)
        };
        let on = input("input", manual.input.as_ref());
        let off = input("off_input", manual.off_input.as_ref());
        let limit = manual
            .limit_s
            .map(|limit| self.within(&below(&at, "limit_s"), limit, 60, 604_800));
        ManualConfig {
            on,
            off,
            limit: limit.map(Duration::from_secs),
        }
    }

    pub(super) fn lamp_watches(
        &mut self,
        site: &schema::Site,
        points: &[PointConfig],
        definitions: &Definitions,
    ) -> Vec<LampWatchConfig> {
        let mut targets = BTreeMap::new();
        let mut watches = Vec::new();
        for (name, watch) in &site.lamp_watch {
            let at = key(&["site", "lamp_watch", name]);
            self.name(&at);
            let target = self.required(&at, "target", watch.target.as_ref());
            let target = target.and_then(|target| self.watched(&at, target, site, points));
            if let Some(target) = &target
                && let Some(other) = targets.insert(target.clone(), name)
            {
                let what = format!("{target} is also watched by {other}");
                self.error(&below(&at, "target"), what, "");
            }
            let input = self.required(&at, "input", watch.input.as_ref());
            let input = input.and_then(|input| {
                self.input(&below(&at, "input"), input, points, definitions, &NUMBER)
            });
            if watch.on_below.is_none() && watch.off_above.is_none() {
                let hint = "power below it while on: lamp failure; `off_above`: day burner";
                self.missing(&at, "on_below", hint);
            }
            let after = watch.after_s.unwrap_or(300);
            let after = self.within(&below(&at, "after_s"), after, 10, 86_400);
            let (Some(target), Some(input)) = (target, input) else {
                continue;
            };
            watches.push(LampWatchConfig {
                name: name.clone(),
                target,
                input,
                on_below: watch.on_below,
                off_above: watch.off_above,
                after: Duration::from_secs(after),
            });
        }
        watches
    }

    /// The name of an output or a group.
    fn watched(
        &mut self,
        watch: &Key,
        target: &str,
        site: &schema::Site,
        points: &[PointConfig],
    ) -> Option<String> {
        if site.group.contains_key(target) {
            return Some(target.to_owned());
        }
        let at = below(watch, "target");
        let Some(point) = find(points, target) else {
            self.unknown_member(&at, target, points);
            return None;
        };
        if point.kind == PointKind::Value {
            self.error(&at, format!("`{target}` cannot be switched"), "");
            return None;
        }
        Some(point.name.clone())
    }

    /// A point that is read and has one of these types.
    pub(super) fn input(
        &mut self,
        at: &Key,
        text: &str,
        points: &[PointConfig],
        definitions: &Definitions,
        wanted: &Wanted,
    ) -> Option<ResourceAddress> {
        let Some(point) = find(points, text) else {
            self.unknown_member(at, text, points);
            return None;
        };
        let path = point.address.path;
        let definition = definitions.resource(path.object(), path.resource);
        let fits = definition.is_some_and(|known| wanted.types.contains(&known.data_type));
        if point.kind != PointKind::Value || !fits {
            let Wanted { what, hint, .. } = wanted;
            self.error(at, format!("`{text}` is not {what}"), *hint);
            return None;
        }
        Some(point.address)
    }
}

/// What an input of a rule has to be.
pub(super) struct Wanted {
    pub(super) types: &'static [DataType],
    pub(super) what: &'static str,
    pub(super) hint: &'static str,
}

const CONTACT: Wanted = Wanted {
    types: &[DataType::Boolean],
    what: "a contact",
    hint: "a hand switch is an input, for example resource = \"/3342/0/5500\"",
};

const NUMBER: Wanted = Wanted {
    types: &[DataType::Float, DataType::Integer, DataType::Unsigned],
    what: "a measured number",
    hint: "power or current, for example resource = \"/3305/0/5800\"",
};

/// Why an output goes on without anybody's command.
fn goes_on_unasked(point: &PointConfig) -> Option<&'static str> {
    let is_on = |value: &Value| value.as_f64().is_some_and(|number| number != 0.0);
    let fail_safe = point.fail_safe.as_ref();
    if point.boot == BootState::On {
        Some("boot = \"on\"")
    } else if fail_safe.is_some_and(|rule| is_on(&rule.value)) {
        Some("fail_safe with a value that is on")
    } else {
        None
    }
}
