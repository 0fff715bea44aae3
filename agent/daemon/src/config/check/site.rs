//! `[site]`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use lamplighter_model::{
    InstanceAddress, InstancePath, ObjectInstanceId, Path, ResourceAddress, Scope,
    object::Definitions, tables::VendorObject,
};
use lamplighter_site::boundary::{GroupConfig, PointConfig, PointKind, SiteConfig};

use super::{Checker, below, device::CheckedDevice, key, lamp, suggestion};
use crate::config::{layer::Key, schema};

/// The resource Command of the vendor object Group.
const GROUP_COMMAND: u16 = 2;
const MAX_GROUPS: usize = 1000;

impl Checker<'_> {
    pub(super) fn site(
        &mut self,
        site: &schema::Site,
        devices: &[CheckedDevice],
        definitions: &Arc<Definitions>,
    ) -> SiteConfig {
        let points: Vec<PointConfig> = devices
            .iter()
            .flat_map(|device| device.points.iter().cloned())
            .collect();
        let mut rules = self.rule_check(site, &points, definitions);
        let mut groups = Vec::new();
        let mut shown = BTreeMap::new();
        for (number, (name, group)) in site.group.iter().enumerate() {
            let at = key(&["site", "group", name]);
            self.name(&at);
            if number == MAX_GROUPS {
                self.error(&at, format!("more than {MAX_GROUPS} groups"), "");
                break;
            }
            let keys = group;
            let mut group = self.group(&at, name, keys, &points, definitions);
            self.group_rules(&at, keys, &mut group, &mut rules);
            if let Some(instance) = group.standard_instance
                && let Some(other) = shown.insert(instance, name)
            {
                let what = format!("{} also shows the group {other}", instance.path);
                self.error(&below(&at, "instance"), what, "");
            }
            let object = VendorObject::Group.id(self.vendor_object_base);
            let number = ObjectInstanceId(u16::try_from(number).unwrap_or(u16::MAX));
            let instance = InstancePath {
                object,
                instance: number,
            };
            self.names
                .insert_group(name, instance, instance.resource(GROUP_COMMAND).into());
            groups.push(group);
        }
        let interlocks = self.interlocks(site, &points, &groups);
        let lamp_watches = self.lamp_watches(site, &points, definitions);
        let thermostats = self.thermostats(site, &mut rules);
        let standstills =
            self.standstills(site, devices, &points, &groups, &thermostats, definitions);
        let position = rules.position();
        SiteConfig {
            definitions: Arc::clone(definitions),
            groups,
            interlocks,
            lamp_watches,
            points,
            seed: 0,
            position,
            standstills,
            thermostats,
            vendor_object_base: self.vendor_object_base,
        }
    }

    fn group(
        &mut self,
        at: &Key,
        name: &str,
        group: &schema::Group,
        points: &[PointConfig],
        definitions: &Definitions,
    ) -> GroupConfig {
        let members = self.required(at, "members", group.members.as_ref());
        let members = members.map_or_else(Vec::new, |members| {
            let at = below(at, "members");
            if members.is_empty() {
                self.error(&at, "a group has at least one member", "");
            }
            self.members(&at, members, points)
        });
        let stagger = self.within(
            &below(at, "stagger_ms"),
            group.stagger_ms.unwrap_or(300),
            0,
            60_000,
        );
        let instance = group
            .instance
            .as_ref()
            .and_then(|text| self.group_instance(&below(at, "instance"), text));
        GroupConfig {
            name: name.to_owned(),
            members,
            stagger: Duration::from_millis(stagger),
            standard_instance: instance.map(|path| InstanceAddress {
                scope: Scope::Gateway,
                path,
            }),
            manual: group
                .manual
                .as_ref()
                .map(|manual| self.manual(at, manual, points, definitions)),
            power_return_spread: self.power_return_spread(at, group.power_return_spread_s),
            schedule: None,
            photocell: None,
            until_next_event: true,
        }
    }

    pub(super) fn members(
        &mut self,
        at: &Key,
        members: &[String],
        points: &[PointConfig],
    ) -> Vec<ResourceAddress> {
        let mut seen = BTreeSet::new();
        let mut addresses = Vec::new();
        for (index, member) in members.iter().enumerate() {
            let at = below(at, &index.to_string());
            let Some(point) = find(points, member) else {
                self.unknown_member(&at, member, points);
                continue;
            };
            if point.kind == PointKind::Value {
                let hint = "members are lamps, relays and other outputs that are switched";
                self.error(&at, format!("`{member}` cannot be switched"), hint);
            } else if seen.insert(point.address) {
                addresses.push(point.address);
            } else {
                self.error(&at, format!("`{member}` is a member twice"), "");
            }
        }
        addresses
    }

    pub(super) fn unknown_member(&mut self, at: &Key, member: &str, points: &[PointConfig]) {
        // A point that is there but wrong was reported already.
        if let Some((device, point)) = member.split_once('.')
            && self
                .layers
                .find(&key(&["device", device, "point", point]))
                .is_some()
        {
            return;
        }
        let switched = points.iter().filter(|point| point.kind != PointKind::Value);
        let known: Vec<&str> = switched.map(|point| point.name.as_str()).collect();
        self.error(
            at,
            format!("there is no point `{member}`"),
            suggestion(member, &known),
        );
    }

    fn group_instance(&mut self, at: &Key, text: &str) -> Option<InstancePath> {
        if let Ok(Path::Instance(instance)) = text.parse()
            && lamp::can_be_group(instance)
        {
            return Some(instance);
        }
        let hint = format!(
            "an instance from {} of object {}, for example /3416/60000",
            lamp::FIRST_GROUP_INSTANCE,
            lamp::group_objects()
        );
        self.error(at, format!("`{text}` cannot show a group"), hint);
        None
    }
}

/// A member by its name, the path of its resource, or the path of the lamp's instance.
pub(super) fn find<'p>(points: &'p [PointConfig], member: &str) -> Option<&'p PointConfig> {
    let path: Option<Path> = member.parse().ok();
    points.iter().find(|point| match path {
        Some(Path::Instance(instance)) => {
            point.kind.is_lamp() && point.address.path.instance == instance
        }
        Some(path) => Path::Resource(point.address.path) == path,
        None => point.name == member,
    })
}
