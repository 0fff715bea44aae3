//! Interlocks and hand switches: what cannot be met is found before anything is switched.

use std::{collections::BTreeSet, time::Duration};

use lamplighter_model::{DataType, ResourceAddress, Value, object::Definitions};
use lamplighter_site::boundary::{
    BootState, GroupConfig, InterlockConfig, ManualConfig, PointConfig, PointKind,
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
            let input = self.boolean_input(&at, text?, points, definitions)?;
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

    /// A point that is read and is true or false.
    fn boolean_input(
        &mut self,
        at: &Key,
        text: &str,
        points: &[PointConfig],
        definitions: &Definitions,
    ) -> Option<ResourceAddress> {
        let Some(point) = find(points, text) else {
            self.unknown_member(at, text, points);
            return None;
        };
        let path = point.address.path;
        let definition = definitions.resource(path.object(), path.resource);
        let is_boolean = definition.is_some_and(|known| known.data_type == DataType::Boolean);
        if point.kind != PointKind::Value || !is_boolean {
            let hint = "a hand switch is an input, for example resource = \"/3342/0/5500\"";
            self.error(at, format!("`{text}` is not a contact"), hint);
            return None;
        }
        Some(point.address)
    }
}

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
