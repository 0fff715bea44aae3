//! From the configuration to what the read model knows of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use lamplighter_model::{
    ObjectId, Path, ResourceAddress, Scope, device::AdapterId, tables::VendorObject,
};
use lamplighter_site::{
    boundary::{PointKind, SiteConfig},
    companions::{Companions, Measurement},
};

use crate::{
    bearer::objects,
    config::{Config, Device, DeviceKind, LocationSource, Point},
    devices,
    status::{Catalogue, DeviceEntry, GroupEntry, PointEntry, ServerEntry},
    system,
    update::object,
};

/// Built once per configuration.
pub(crate) fn catalogue(config: &Config) -> Catalogue {
    let limits: BTreeMap<_, _> = config
        .site
        .points
        .iter()
        .filter_map(|point| Some((point.address, point.limit?)))
        .collect();
    let mut units = BTreeSet::new();
    let mut points = Vec::new();
    for device in &config.devices {
        let name: Arc<str> = device.name.as_str().into();
        points.extend(device.points().into_iter().map(|point| PointEntry {
            name: point.name.as_str().into(),
            device: Arc::clone(&name),
            address: point.address,
            feedback: measured_at(point),
            kind: point.kind,
            limit: limits.get(&point.address).copied(),
            max_age: max_age(device, point),
            unit: (!point.unit.is_empty()).then(|| shared(&mut units, &point.unit)),
            writable: point.writable,
        }));
    }
    Catalogue {
        definitions: Arc::clone(&config.definitions),
        devices: config
            .devices
            .iter()
            .map(device_entry)
            .chain([monitor(config)])
            .chain(bearers(config))
            .chain(update(config))
            .collect(),
        endpoint: config.endpoint.name.clone(),
        groups: groups(config),
        parameters: parameters(&config.site),
        points,
        rules: Some(VendorObject::SiteRule.id(config.site.vendor_object_base)),
        servers: config
            .servers
            .iter()
            .map(|server| ServerEntry {
                name: server.name.clone(),
                ssid: server.ssid,
                uri: server.uri.to_string(),
                rights: server.rights.clone(),
            })
            .collect(),
    }
}

/// Few texts, and thousands of points that have one of them.
fn shared(texts: &mut BTreeSet<Arc<str>>, text: &str) -> Arc<str> {
    if let Some(known) = texts.get(text) {
        return Arc::clone(known);
    }
    let new: Arc<str> = text.into();
    texts.insert(Arc::clone(&new));
    new
}

/// What is told of measured values besides. Of several in one instance it is told of that which the
/// object is there for. Where a server knows an older definition of the object, which has nothing of
/// the kind, nothing is told.
pub(crate) fn companions(config: &Config) -> Companions {
    let is_optional = |address: &ResourceAddress| {
        let path = address.path;
        let definition = config.definitions.resource(path.object(), path.resource);
        definition.is_none_or(|definition| !definition.mandatory)
    };
    let is_old = |point: &&Point| {
        let object = point.address.path.object();
        let mut servers = config.servers.iter();
        servers.any(|server| server.object_versions.contains_key(&object))
    };
    let measured = config
        .points()
        .filter(|point| point.kind == PointKind::Value && !is_old(point));
    let mut measured: Vec<Measurement> = measured
        .map(|point| Measurement {
            address: point.address,
            unit: point.unit.clone(),
        })
        .collect();
    measured.sort_by_key(|point| (is_optional(&point.address), point.address));
    let taken = config.points().map(|point| point.address).collect();
    Companions::new(&config.definitions, measured, &taken)
}

fn device_entry(device: &Device) -> DeviceEntry {
    let adapter = match &device.kind {
        DeviceKind::Gpio(_) => "gpio",
        DeviceKind::Location(location) => match location.source {
            LocationSource::Gpsd { .. } => "gpsd",
            LocationSource::Nmea(_) => "nmea",
        },
        DeviceKind::Meter(meter) => meter.adapter(),
        DeviceKind::Modbus(_) => "modbus",
        DeviceKind::Mqtt(_) => "mqtt",
        DeviceKind::Remote(_) => "remote",
        DeviceKind::S0(_) => "s0",
        DeviceKind::Sim(_) => "sim",
        DeviceKind::System(_) => "system",
        DeviceKind::W1(_) => "w1",
    };
    DeviceEntry {
        id: device.id,
        name: device.name.clone(),
        adapter: adapter.to_owned(),
    }
}

/// The adapter of the box itself stands among the devices, so that its faults can be seen.
fn monitor(config: &Config) -> DeviceEntry {
    let id: AdapterId = devices::system_id(config);
    DeviceEntry {
        id,
        name: "connectivity".to_owned(),
        adapter: system::ADAPTER.to_owned(),
    }
}

/// So do objects 10, 11 and 13, where there are bearers.
fn bearers(config: &Config) -> Option<DeviceEntry> {
    (!config.bearers.is_empty()).then(|| DeviceEntry {
        id: devices::bearers_id(config),
        name: objects::ADAPTER.to_owned(),
        adapter: objects::ADAPTER.to_owned(),
    })
}

/// So does object 5, where a key is configured.
fn update(config: &Config) -> Option<DeviceEntry> {
    config.update.as_ref().map(|_| DeviceEntry {
        id: devices::update_id(config),
        name: object::ADAPTER.to_owned(),
        adapter: object::ADAPTER.to_owned(),
    })
}

fn groups(config: &Config) -> Vec<GroupEntry> {
    let entry = |group: &lamplighter_site::boundary::GroupConfig| {
        let Path::Resource(path) = config.names.resolve(&group.name)? else {
            return None;
        };
        Some(GroupEntry {
            name: group.name.clone(),
            command: ResourceAddress {
                scope: Scope::Gateway,
                path,
            },
            members: group.members.clone(),
        })
    };
    config.site.groups.iter().filter_map(entry).collect()
}

/// What can be changed of rules, as people name it: `main_street.schedule`,
/// `server_room.on_threshold`.
fn parameters(site: &SiteConfig) -> Vec<(String, ResourceAddress)> {
    const ENABLED: (&str, u16) = ("enabled", 2);
    const SCHEDULE: (&str, u16) = ("schedule", 3);
    const THRESHOLDS: [(&str, u16); 2] = [("on_threshold", 4), ("off_threshold", 5)];
    let lights = site.groups.iter().filter_map(|group| {
        let levels = group.photocell.as_ref().map(|photocell| photocell.levels);
        if group.schedule.is_none() && levels.is_none() {
            return None;
        }
        let levels = levels.flatten().map_or(&[][..], |_| &THRESHOLDS);
        let schedule = group.schedule.as_ref().map(|_| SCHEDULE);
        let all = schedule.into_iter().chain(levels.iter().copied());
        Some((&group.name, all.collect::<Vec<_>>()))
    });
    let thermostats = site.thermostats.iter();
    let thermostats = thermostats.map(|thermostat| (&thermostat.name, THRESHOLDS.to_vec()));
    let object = VendorObject::SiteRule.id(site.vendor_object_base);
    let rules = lights.chain(thermostats).zip(0u16..);
    rules
        .flat_map(|((name, parameters), instance)| {
            let all = parameters.into_iter().chain([ENABLED]);
            all.map(move |(parameter, resource)| {
                let address = ResourceAddress::gateway(object.0, instance, resource);
                (format!("{name}.{parameter}"), address)
            })
        })
        .collect()
}

/// Where a lamp says what was measured, if not where it is commanded: an outdoor lamp controller has
/// its dimming level.
fn measured_at(point: &Point) -> Option<ResourceAddress> {
    const OUTDOOR_LAMP_CONTROLLER: ObjectId = ObjectId(3416);
    const DIMMING_LEVEL: u16 = 3;
    let path = point.address.path;
    let is_controller = point.kind.is_lamp() && path.object() == OUTDOOR_LAMP_CONTROLLER;
    is_controller.then(|| ResourceAddress {
        path: path.instance.resource(DIMMING_LEVEL),
        ..point.address
    })
}

/// Older than twice its period is stale; what is told on change never is.
fn max_age(device: &Device, point: &Point) -> Option<Duration> {
    match &device.kind {
        DeviceKind::Gpio(_) | DeviceKind::S0(_) | DeviceKind::Sim(_) => None,
        DeviceKind::Location(location) => Some(location.stale_after),
        DeviceKind::Meter(meter) => Some(meter.stale_after),
        DeviceKind::Modbus(modbus) => {
            let of_point = modbus
                .config
                .points
                .iter()
                .find(|candidate| candidate.address == point.address);
            let of_poll = || of_point.map(|found| 3 * found.poll);
            modbus.stale_after.or_else(of_poll)
        }
        DeviceKind::Mqtt(mqtt) => mqtt.config.stale_after,
        DeviceKind::Remote(remote) => remote.limits.stale_after,
        DeviceKind::System(files) | DeviceKind::W1(files) => Some(3 * files.period),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lamps_show_what_was_measured() {
        let text = r#"
[client]
endpoint = "cab-17"
[device.lamps]
adapter = "gpio"
backend = "sim"
[device.lamps.point]
street = { line = "GPIO5", instance = "/3416/1" }
light = { line = "GPIO6", instance = "/3311/0" }
"#;
        let config = crate::fake::configured(text);
        let feedback: Vec<_> = catalogue(&config)
            .points
            .into_iter()
            .map(|point| (point.name.to_string(), point.feedback))
            .collect();
        let level = ResourceAddress::gateway(3416, 1, 3);
        assert_eq!(
            feedback,
            [
                ("lamps.light".to_owned(), None),
                ("lamps.street".to_owned(), Some(level)),
            ]
        );
    }
}
