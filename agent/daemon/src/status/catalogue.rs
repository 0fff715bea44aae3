//! What is configured: the fixed part of the read model.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lamplighter_lwm2m::access::Grants;
use lamplighter_model::{
    ObjectId, Path, ResourceAddress, ResourceInstanceId, Scope, Ssid, device::AdapterId,
    object::Definitions,
};
use lamplighter_site::boundary::{Limit, PointKind};

/// Built once per configuration, by `devices.rs` and `run.rs`.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    pub definitions: Arc<Definitions>,
    pub devices: Vec<DeviceEntry>,
    /// Endpoint client name.
    pub endpoint: String,
    pub groups: Vec<GroupEntry>,
    /// What can be changed of rules, by name.
    pub parameters: Vec<(String, ResourceAddress)>,
    pub points: Vec<PointEntry>,
    /// Our object Site rule.
    pub rules: Option<ObjectId>,
    pub servers: Vec<ServerEntry>,
}

#[derive(Clone, Debug)]
pub struct DeviceEntry {
    pub id: AdapterId,
    pub name: String,
    /// `modbus`, `gpio` … as configured.
    pub adapter: String,
}

#[derive(Clone, Debug)]
pub struct GroupEntry {
    pub name: String,
    /// What a command to the group is written to.
    pub command: ResourceAddress,
    /// Addresses of the points in it.
    pub members: Vec<ResourceAddress>,
}

#[derive(Clone, Debug)]
pub struct PointEntry {
    /// `ahu1.setpoint`
    pub name: Arc<str>,
    /// Name of its device; its points share it.
    pub device: Arc<str>,
    /// As in the site's configuration of the point; of a lamp its Command.
    pub address: ResourceAddress,
    /// Where the measured state of an output is read, if not at `address`.
    pub feedback: Option<ResourceAddress>,
    pub kind: PointKind,
    pub limit: Option<Limit>,
    /// Older is stale.
    pub max_age: Option<Duration>,
    /// SenML unit as configured; else the definition's is shown.
    pub unit: Option<Arc<str>>,
    pub writable: bool,
}

#[derive(Clone, Debug)]
pub struct ServerEntry {
    pub name: String,
    pub ssid: Ssid,
    pub uri: String,
    pub rights: Grants,
}

/// One value in the read model.
pub(super) type Key = (ResourceAddress, Option<ResourceInstanceId>);

/// The catalogue with its indexes.
#[derive(Debug)]
pub(super) struct Index {
    /// Its points stand by their addresses.
    pub(super) catalogue: Catalogue,
    pub(super) by_address: BTreeMap<ResourceAddress, PointEntry>,
    pub(super) device_ids: BTreeMap<String, AdapterId>,
    by_device: BTreeMap<AdapterId, Vec<ResourceAddress>>,
    /// From the measured state of an output to the output.
    pub(super) outputs: BTreeMap<ResourceAddress, ResourceAddress>,
    names: BTreeMap<Arc<str>, Named>,
}

/// What a name of the configuration stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Named {
    /// The command of a group.
    Group(ResourceAddress),
    Point(ResourceAddress),
}

impl Index {
    pub(super) fn new(mut catalogue: Catalogue) -> Self {
        let device_ids: BTreeMap<String, AdapterId> = catalogue
            .devices
            .iter()
            .map(|device| (device.name.clone(), device.id))
            .collect();
        let mut by_device: BTreeMap<AdapterId, Vec<ResourceAddress>> = BTreeMap::new();
        for point in &catalogue.points {
            if let Some(id) = device_ids.get(&*point.device) {
                by_device.entry(*id).or_default().push(point.address);
            }
        }
        let feedback = |point: &PointEntry| Some((point.feedback?, point.address));
        let outputs = catalogue.points.iter().filter_map(feedback).collect();
        let groups = catalogue
            .groups
            .iter()
            .map(|group| (group.name.as_str().into(), Named::Group(group.command)));
        let points = catalogue
            .points
            .iter()
            .map(|point| (point.name.clone(), Named::Point(point.address)));
        // A point of that name is meant before.
        let parameters = catalogue.parameters.iter();
        let parameters = parameters.map(|(name, address)| {
            let name: Arc<str> = name.as_str().into();
            (name, Named::Point(*address))
        });
        let names = parameters.chain(groups).chain(points).collect();
        let points = std::mem::take(&mut catalogue.points).into_iter();
        let by_address = points.map(|point| (point.address, point)).collect();
        Self {
            catalogue,
            by_address,
            device_ids,
            by_device,
            outputs,
            names,
        }
    }

    pub(super) fn points_of(&self, device: AdapterId) -> &[ResourceAddress] {
        self.by_device.get(&device).map_or(&[], Vec::as_slice)
    }

    pub(super) fn named(&self, name: &str) -> Option<Named> {
        self.names.get(name).copied()
    }
}

impl Named {
    pub fn address(self) -> ResourceAddress {
        match self {
            Self::Group(address) | Self::Point(address) => address,
        }
    }

    /// As a person at the box writes it; only the box's own tree has such paths so far.
    pub fn path(self) -> Path {
        Path::Resource(self.address().path)
    }
}

/// Whether a value lies under a path of the box's own tree.
pub(super) fn lies_under(path: Path, (address, index): Key) -> bool {
    if address.scope != Scope::Gateway {
        return false;
    }
    path.contains(index.map_or(Path::Resource(address.path), |index| {
        Path::ResourceInstance(address.path, index)
    }))
}
