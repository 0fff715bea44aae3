//! Building the site from its configuration and from what was kept.

use std::collections::BTreeMap;

use lamplighter_model::{
    DataType, Now,
    device::{Declaration, Declared, DeviceEvent, Origin},
};

use super::{Known, Named, Site, route::Route};
use crate::{
    boundary::{GroupConfig, PointConfig, PointKind, SiteConfig, SiteEvent, Slot},
    group::{Group, GroupCommand, MemberResult},
    moment::Moment,
    output::{GroupIndex, Output, OutputIndex},
    power_return::PowerReturn,
    saved::{SavedGroup, SavedOutput, SavedSite},
    slots::Entry,
};

/// The highest instance id, and so the number of outputs and of groups, that the vendor objects
/// can show.
const MAX_INSTANCE: u16 = 65534;

impl Site {
    pub(super) fn restore(&mut self, config: SiteConfig, saved: Option<SavedSite>, now: Now) {
        self.power_return = PowerReturn::new(saved.as_ref(), config.seed, now);
        let SiteConfig {
            groups,
            interlocks,
            lamp_watches,
            points,
            standstills,
            thermostats,
            ..
        } = config;
        let mut saved = self.understood(saved);
        if saved.boot != Some(now.boot) {
            saved.holders.clear();
            let spreads = points.iter().map(|point| point.power_return_spread);
            let mut spreads = spreads.chain(groups.iter().map(|group| group.power_return_spread));
            let spread = spreads.any(|spread| !spread.is_zero());
            self.dirty |= spread || !interlocks.is_empty();
        }
        for point in points {
            self.add_point(point, &saved.outputs, now);
        }
        for (group, id) in groups.into_iter().zip(0..=MAX_INSTANCE) {
            let name = group.name.clone();
            self.add_group(group, GroupIndex(id), &saved.groups, now);
            self.add_hand(GroupIndex(id), saved.hands.get(&name), now);
        }
        self.add_interlocks(interlocks, &saved.holders);
        for index in self.indices() {
            let name = &self.output(index).config.name;
            if let Some(saved) = saved.outputs.get(name) {
                self.restore_slots(index, saved, now);
            }
            self.rearm_hold(index);
        }
        self.add_standstills(standstills, &saved.armed, now);
        self.add_rules(thermostats, &saved.rules, now);
        lamp_watches
            .into_iter()
            .for_each(|watch| self.add_watch(watch));
        self.restore_locks(saved.locks, saved.locks_unknown, now);
        self.delay_after_power_return();
        self.declare_own();
    }

    /// Members of a group wait alike, and keep its stagger.
    fn delay_after_power_return(&mut self) {
        let Some(power) = self.power_return else {
            return;
        };
        for group in self.groups.iter().rev() {
            let GroupConfig {
                name,
                power_return_spread: spread,
                stagger,
                ..
            } = &group.config;
            if spread.is_zero() {
                continue;
            }
            let mut delay = power.delay(name, *spread);
            for member in &group.members {
                self.outputs[usize::from(member.0)].power_return = Some(delay);
                delay.until = delay.until.plus(*stagger);
            }
        }
        for output in &mut self.outputs {
            let spread = output.config.power_return_spread;
            if !spread.is_zero() {
                output.power_return = Some(power.delay(&output.config.name, spread));
            }
        }
    }

    fn understood(&mut self, saved: Option<SavedSite>) -> SavedSite {
        let saved = saved.unwrap_or_default();
        if saved.version == SavedSite::VERSION {
            return saved;
        }
        let reason = format!(
            "was kept by another version of the program (format {})",
            saved.version
        );
        self.tell(SiteEvent::Outdated {
            name: "the state of the site".to_owned(),
            reason,
        });
        // Lives hang on these.
        SavedSite {
            locks: saved.locks,
            locks_unknown: saved.locks_unknown,
            ..SavedSite::default()
        }
    }

    fn add_point(&mut self, point: PointConfig, saved: &BTreeMap<String, SavedOutput>, now: Now) {
        let path = point.address.path;
        let data_type = match point.kind {
            PointKind::Value => {
                self.points.insert(point.address, Known::of(&point));
                self.by_name.insert(point.name, Named::Value(point.address));
                return;
            }
            PointKind::Dimmer => DataType::Integer,
            PointKind::Lamp => DataType::Boolean,
            PointKind::Output => {
                let known = self.definitions.resource(path.object(), path.resource);
                known.map_or(DataType::Boolean, |definition| definition.data_type)
            }
        };
        let Some(index) = u16::try_from(self.outputs.len())
            .ok()
            .filter(|index| *index <= MAX_INSTANCE)
        else {
            let reason = "there are more outputs than can be numbered".to_owned();
            self.tell(SiteEvent::Failed {
                name: point.name,
                reason,
            });
            return;
        };
        self.by_name
            .insert(point.name.clone(), Named::Output(OutputIndex(index)));
        self.points.insert(point.address, Known::of(&point));
        let saved = saved.get(&point.name);
        let mut output = Output::new(point, data_type, saved, now);
        if let Some(value) = output.default_value() {
            let id = self.new_command();
            let by = Origin::Rule("default".to_owned());
            output.slots.set(
                Slot::Default,
                Entry {
                    id,
                    value,
                    by,
                    since: Moment::of(now),
                    until: None,
                    group: None,
                },
            );
        }
        self.outputs.push(output);
        self.touched.insert(OutputIndex(index));
    }

    fn add_group(
        &mut self,
        config: GroupConfig,
        index: GroupIndex,
        saved: &BTreeMap<String, SavedGroup>,
        now: Now,
    ) {
        let mut members = Vec::new();
        for address in &config.members {
            let output = self.output_at(*address);
            match output {
                Some(output) if !members.contains(&output) => members.push(output),
                Some(_) => {}
                None => {
                    let reason = format!("its member {address} is not an output");
                    self.tell(SiteEvent::Failed {
                        name: config.name.clone(),
                        reason,
                    });
                }
            }
        }
        for member in &members {
            self.output_mut(*member).groups.push(index);
        }
        let saved = saved.get(&config.name).cloned();
        self.by_name
            .insert(config.name.clone(), Named::Group(index));
        let mut group = Group::new(config, members);
        if let Some(saved) = saved {
            let id = self.new_command();
            let since = Moment::past(saved.since, now).unwrap_or_else(|| Moment::of(now));
            group.start(GroupCommand {
                id,
                level: saved.level,
                by: saved.by,
                since,
            });
            group.set_all(&MemberResult::Replaced);
        }
        self.groups.push(group);
        self.touched_groups.insert(index);
    }

    fn restore_slots(&mut self, index: OutputIndex, saved: &SavedOutput, now: Now) {
        for kept in saved.slots.iter().filter(|kept| kept.slot.is_kept()) {
            let Ok(known) = kept.value.clone().fit(self.output(index).data_type) else {
                continue;
            };
            let value = self.output(index).nearest(known.clone());
            if value != known {
                let reason = format!("its limit does not permit {known} any more: {value} instead");
                self.tell(SiteEvent::Outdated {
                    name: self.output(index).config.name.clone(),
                    reason,
                });
                self.dirty = true;
            }
            let group = kept
                .group
                .as_ref()
                .and_then(|name| match self.by_name.get(name) {
                    Some(Named::Group(group)) => Some(*group),
                    Some(Named::Output(_) | Named::Value(_)) | None => None,
                });
            let of_group = group
                .and_then(|group| self.group(group).command.as_ref())
                .map(|command| command.id);
            let id = match of_group {
                Some(id) => id,
                None => self.new_command(),
            };
            let entry = Entry {
                id,
                value,
                by: kept.by.clone(),
                since: Moment::past(kept.since, now).unwrap_or_else(|| Moment::of(now)),
                until: kept.until.map(|end| end.restore(now)),
                group,
            };
            if entry.has_ended(now) {
                continue;
            }
            if let Some(group) = group {
                self.group_mut(group)
                    .set_result(index, MemberResult::Pending);
            }
            self.output_mut(index).restore_slot(kept.slot, entry);
        }
    }

    /// Declares the objects that belong to the site alone.
    fn declare_own(&mut self) {
        let groups = (0..).map(GroupIndex).take(self.groups.len());
        let groups = groups.flat_map(|index| {
            let addresses = self.group_addresses(index).into_iter();
            addresses.map(move |(address, resource)| (address, Route::Group(index, resource)))
        });
        let status = self.indices().flat_map(|index| {
            let addresses = self.status_addresses(index);
            addresses.map(move |(address, resource)| (address, Route::Status(index, resource)))
        });
        let rules = self.rules.indices().flat_map(|index| {
            let addresses = self.rule_addresses(index).into_iter();
            addresses.map(move |(address, resource)| (address, Route::Rule(index, resource)))
        });
        let own = groups
            .chain(status)
            .chain(rules)
            .filter(|(address, _)| !self.points.contains_key(address))
            .collect::<Vec<_>>();
        let added = own.iter().map(|(address, route)| Declaration {
            address: *address,
            operations: route.operations(),
        });
        let declared = Declared {
            added: added.collect(),
            removed: Vec::new(),
        };
        self.routes.extend(own);
        if !declared.added.is_empty() {
            self.core(DeviceEvent::Declared(declared));
        }
    }
}
