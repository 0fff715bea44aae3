//! `[client] creatable` and `[client.created]`: what servers may make, and how much of it.

use std::collections::BTreeSet;

use lamplighter_lwm2m::client::Creation;
use lamplighter_model::{ObjectId, object::Definitions};

use super::{Checker, below, key, schema};

/// Objects that the agent itself answers for.
const OWN: [u16; 6] = [0, 1, 2, 3, 21, 23];

impl Checker<'_> {
    /// Without `creatable` the standard ones, and the objects that nobody but a file beside the
    /// configuration defines.
    pub(super) fn creation(
        &mut self,
        client: &schema::Client,
        definitions: &Definitions,
    ) -> Creation {
        let usual = Creation::default();
        let objects = match &client.creatable {
            None => &usual.objects | &self.surroundings.added,
            Some(objects) => self.creatable(objects, definitions),
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

    fn creatable(&mut self, objects: &[u16], definitions: &Definitions) -> BTreeSet<ObjectId> {
        let at = key(&["client", "creatable"]);
        for object in objects {
            if OWN.contains(object) {
                let what = format!("instances of object {object} are made by the agent itself");
                self.error(&at, what, "");
            } else if definitions.object(ObjectId(*object)).is_none() {
                let what = format!("object {object} has no definition");
                let hint = "put its XML into objects/ beside the configuration";
                self.error(&at, what, hint);
            }
        }
        objects.iter().copied().map(ObjectId).collect()
    }
}
