//! `instance = "/3416/1"`: the objects that a switched line can be an instance of.

use lamplighter_model::{InstancePath, ObjectId, ResourcePath};

/// The command resource of each object that the site makes of a switched line, all resources that
/// it fills, and whether a group can be shown as one.
const LAMPS: [(u16, u16, &[u16], bool); 5] = [
    (3201, 5550, &[5550], false),
    (3306, 5850, &[5850, 5852], true),
    (3311, 5850, &[5850, 5851, 5852], true),
    (3312, 5850, &[5850, 5851, 5852], true),
    (3416, 1, &[1, 2, 3, 15, 16, 17, 18, 19], true),
];

/// First instance number of a group shown as an ordinary object.
pub(super) const FIRST_GROUP_INSTANCE: u16 = 60_000;

/// The resource of an instance that commands it.
pub(super) fn command(instance: InstancePath) -> Option<ResourcePath> {
    let (_, command, ..) = of(instance)?;
    Some(instance.resource(*command))
}

/// All resources of a lamp's instance, which no point may declare besides.
pub(super) fn filled(instance: InstancePath) -> Vec<ResourcePath> {
    let filled = of(instance).map_or(&[][..], |(_, _, filled, _)| filled);
    filled
        .iter()
        .map(|resource| instance.resource(*resource))
        .collect()
}

/// Whether the object has a level.
pub(super) fn can_dim(instance: InstancePath) -> bool {
    matches!(instance.object.0, 3311 | 3312 | 3416)
}

/// Whether a group can be shown as this instance.
pub(super) fn can_be_group(instance: InstancePath) -> bool {
    let fits = of(instance).is_some_and(|(.., can_be_group)| *can_be_group);
    fits && instance.instance.0 >= FIRST_GROUP_INSTANCE
}

/// For people: the objects that can be lamps or relays.
pub(super) fn objects() -> String {
    LAMPS.map(|(object, ..)| object.to_string()).join(", ")
}

/// For people: the objects that a group can be shown as.
pub(super) fn group_objects() -> String {
    let objects: Vec<String> = LAMPS
        .iter()
        .filter(|(.., fits)| *fits)
        .map(|(object, ..)| object.to_string())
        .collect();
    objects.join(", ")
}

fn of(instance: InstancePath) -> Option<&'static (u16, u16, &'static [u16], bool)> {
    LAMPS
        .iter()
        .find(|(object, ..)| ObjectId(*object) == instance.object)
}
