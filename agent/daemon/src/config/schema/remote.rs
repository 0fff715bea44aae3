//! `adapter = "remote"`: a device that a program of this box serves.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{FailSafe, Guard, Limit};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteDevice {
    /// Whose programs may serve the device, beside root, the agent's own user and the members of
    /// the group `lamplighter`. Example: `"boiler"`. Default: nobody.
    pub user: Option<String>,
    /// The same for all members of a group. Example: `"heating"`. Default: nobody.
    pub group: Option<String>,
    /// Objects, instances or resources that the program may declare beside the points.
    /// Example: `["/3303", "/3342/5"]`. Default: none.
    pub objects: Vec<String>,
    /// How long the answer to a read or a command may take in milliseconds, 100–3400. Default: 3000.
    pub answer_ms: Option<u64>,
    /// A program that says nothing for this time in seconds has hung, 5–3600. Default: 30.
    pub silence_s: Option<u64>,
    /// Samples that are taken in a second, 1–100000; a program that has more waits. Default: 1000.
    pub samples_per_s: Option<u32>,
    /// Resources that the program may declare, 1–4096. Default: 256.
    pub resources: Option<u32>,
    /// Age in seconds from which a value counts as stale. Default: when the program is gone.
    pub stale_after_s: Option<u64>,
    /// `[device.NAME.point.POINT]`.
    pub point: BTreeMap<String, RemotePoint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemotePoint {
    /// The resource that this point is. Required, or `instance`. Example: `"/3303/0/5700"`.
    pub resource: Option<String>,
    /// The lamp or relay instance that this point switches. Example: `"/3416/1"`.
    pub instance: Option<String>,
    /// Whether it may be written. Default: as the object definition says.
    pub writable: Option<bool>,
    /// Reads of it go to the program; else the last sample answers. Default: false.
    pub ask: Option<bool>,
    /// SenML unit of the value. Default: that of the object definition.
    pub unit: Option<String>,
    /// Shortest time between two switchings of an output in seconds, 0–3600. Default: 0.
    pub min_switch_s: Option<f64>,
    /// Longest random wait in seconds before the output goes on after a return of power, 0–600.
    /// Default: that of its groups.
    pub power_return_spread_s: Option<u64>,
    pub limit: Option<Limit>,
    pub guard: Option<Guard>,
    pub fail_safe: Option<FailSafe>,
}
