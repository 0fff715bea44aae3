//! Object 2: who may do what to which instance.

use std::collections::BTreeMap;

use lamplighter_model::{InstancePath, Ssid};

/// The state of object 2.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AccessControl {
    /// Instances that servers have made, and who.
    creators: BTreeMap<InstancePath, Ssid>,
}

impl AccessControl {
    /// A server has made an instance: it is its own.
    #[expect(dead_code, reason = "Create comes with the operation")]
    pub(crate) fn created(&mut self, by: Ssid, instance: InstancePath) {
        self.creators.insert(instance, by);
    }

    /// An instance is gone, and what was said of it.
    #[expect(dead_code, reason = "Delete comes with the operation")]
    pub(crate) fn deleted(&mut self, instance: InstancePath) {
        self.creators.remove(&instance);
    }
}
