//! `instance = "/3416/1"`: the objects that a switched line can be an instance of.

use lamplighter_model::{InstancePath, ObjectId, ResourcePath};

/// The command resource of each object that the site makes of a switched line, and the resources
/// that it fills besides.
const LAMPS: [(u16, u16, &[u16]); 4] = [
    (3306, 5850, &[]),
    (3311, 5850, &[]),
    (3312, 5850, &[]),
    (3416, 1, &[2, 3]),
];

/// First instance number of a group shown as an ordinary object.
pub(super) const FIRST_GROUP_INSTANCE: u16 = 60_000;

/// The resource of an instance that commands it.
pub(super) fn command(instance: InstancePath) -> Option<ResourcePath> {
    let (_, command, _) = LAMPS
        .iter()
        .find(|(object, ..)| ObjectId(*object) == instance.object)?;
    Some(instance.resource(*command))
}

/// All resources of a lamp's instance that a point may not declare besides.
pub(super) fn filled(instance: InstancePath) -> Vec<ResourcePath> {
    let lamp = LAMPS
        .iter()
        .find(|(object, ..)| ObjectId(*object) == instance.object);
    lamp.into_iter()
        .flat_map(|(_, command, others)| std::iter::once(command).chain(others.iter()))
        .map(|resource| instance.resource(*resource))
        .collect()
}

/// For people: the objects that can be one.
pub(super) fn objects() -> String {
    LAMPS.map(|(object, ..)| object.to_string()).join(", ")
}
