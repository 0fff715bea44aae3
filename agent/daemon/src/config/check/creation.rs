//! `[client] creatable` and `[client.created]`: what servers may make, and how much of it.

use std::collections::BTreeSet;

use lamplighter_lwm2m::client::Creation;
use lamplighter_model::{ObjectId, tables};
use lamplighter_site::boundary::SiteConfig;

use super::{Checker, below, key, schema};

/// Objects that the agent itself answers for.
const OWN: [u16; 10] = [0, 1, 2, 3, 4, 6, 7, 20, 21, 23];

impl Checker<'_> {
    /// Without `creatable` the standard ones, and the objects that nobody but a file beside the
    /// configuration defines. Nothing that a server makes may look like a device.
    pub(super) fn creation(&mut self, client: &schema::Client, site: &SiteConfig) -> Creation {
        let usual = Creation::default();
        let taken = self.taken(site);
        let objects = match &client.creatable {
            None => &(&usual.objects | &self.surroundings.added) - &taken,
            Some(objects) => self.creatable(objects, &taken, site),
        };
        let limits = &client.created;
        let at = key(&["client", "created"]);
        let mut limit = |name, value: Option<u32>, usual: usize, highest: u32| {
            value.map_or(usual, |value| {
                self.within(&below(&at, name), value, 1, highest) as usize
            })
        };
        Creation {
            max_instances: limit("instances", limits.instances, usual.max_instances, 65_535),
            max_value: limit("value_bytes", limits.value_bytes, usual.max_value, 1 << 20),
            max_bytes: limit("bytes", limits.bytes, usual.max_bytes, 1 << 28),
            objects,
        }
    }

    /// Objects of devices, of groups, and our own.
    fn taken(&self, site: &SiteConfig) -> BTreeSet<ObjectId> {
        let devices = self.owners.keys().map(|address| address.path.object());
        let groups = site.groups.iter();
        let groups = groups.filter_map(|group| group.standard_instance);
        let vendor = self.vendor_object_base..self.vendor_object_base + tables::VENDOR_OBJECTS;
        devices
            .chain(groups.map(|instance| instance.path.object))
            .chain(vendor.map(ObjectId))
            .collect()
    }

    fn creatable(
        &mut self,
        objects: &[u16],
        taken: &BTreeSet<ObjectId>,
        site: &SiteConfig,
    ) -> BTreeSet<ObjectId> {
        let at = key(&["client", "creatable"]);
        for object in objects {
            if OWN.contains(object) || taken.contains(&ObjectId(*object)) {
                let what = format!("instances of object {object} are made here, not by servers");
                self.error(&at, what, "");
            } else if site.definitions.object(ObjectId(*object)).is_none() {
                let what = format!("object {object} has no definition");
                let hint = "put its XML into objects/ beside the configuration";
                self.error(&at, what, hint);
            }
        }
        objects.iter().copied().map(ObjectId).collect()
    }
}
