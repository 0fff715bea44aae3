//! Which resources tell a state and which a measurement. The loss of a measurement is made good by
//! the next one; a state that was lost stays wrong, so it is confirmed (design, section 6).

use lamplighter_model::{
    DataType, ObjectId, ResourceId,
    object::{ObjectDef, ResourceDef},
};

/// Our own object of what became of a command to an output. Its number is configured, its name is
/// not.
const OUTPUT_STATUS: &str = "Output Status";

/// What a lamp is commanded and seen to do, in percent, which servers cannot write: Command In Action
/// and Dimming Level of the Outdoor Lamp Controller. Nobody knows when it will be told next.
const LAMP_LEVELS: [(u16, u16); 2] = [(3416, 2), (3416, 3)];

/// Whether the resource is the state of an output, an alarm or a link, judged by its definition:
/// what is on or off, one of a few enumerated states, told in words, or commanded by servers.
pub(super) fn is_state(object: &ObjectDef, definition: &ResourceDef) -> bool {
    match definition.data_type {
        DataType::Float if object.name == OUTPUT_STATUS => true,
        // An alarm may be any number.
        DataType::Float | DataType::Integer | DataType::Unsigned
            if is_alarm(object, definition) =>
        {
            true
        }
        DataType::Boolean | DataType::Corelnk | DataType::Objlnk | DataType::String => true,
        DataType::Float | DataType::Integer | DataType::Unsigned => {
            definition.operations.write
                || is_enumeration(definition)
                || LAMP_LEVELS.contains(&(object.id.0, definition.id.0))
        }
        DataType::None | DataType::Opaque | DataType::Time => false,
    }
}

/// Whether the resource is an alarm: the error codes of the box, and what its definition calls one.
pub(super) fn is_alarm(object: &ObjectDef, definition: &ResourceDef) -> bool {
    let is_error_code = object.id == ObjectId(3) && definition.id == ResourceId(11);
    is_error_code || definition.name.to_ascii_lowercase().contains("alarm")
}

/// A number that stands for a word: whole, within bounds, measured in nothing. Error codes
/// (3/0/11), the network bearer (4/0/0) and the state of an update (5/0/3) are of this form.
fn is_enumeration(definition: &ResourceDef) -> bool {
    definition.data_type != DataType::Float
        && definition.range.is_some()
        && definition.unit.is_empty()
}

#[cfg(test)]
mod tests {
    use lamplighter_model::tables;

    use super::*;

    #[test]
    fn outputs_alarms_and_links_are_states_and_what_is_measured_is_not() {
        let mut objects = tables::standard();
        tables::vendor(42_800)
            .into_iter()
            .for_each(|object| objects.insert(object));
        let judged = |object: u16, resource: u16| {
            let object = objects.object(ObjectId(object)).unwrap();
            is_state(object, &object.resources[&ResourceId(resource)])
        };
        for (object, resource) in [
            (3306, 5850),
            (3311, 5850),
            (3311, 5851),
            (3342, 5500),
            (3, 11),
            (3, 20),
            (4, 0),
            (5, 3),
            (3416, 1),
            (3416, 2),
            (3416, 3),
            (42_800, 3),
            (42_801, 3),
            (42_802, 1),
            (42_802, 4),
            (42_803, 2),
        ] {
            assert!(judged(object, resource), "/{object}/0/{resource}");
        }
        for (object, resource) in [
            (3303, 5700),
            (3305, 5805),
            (3416, 15),
            (3, 9),
            (3, 10),
            (3, 13),
            (4, 2),
            (42_800, 7),
            (42_802, 9),
            (42_803, 4),
        ] {
            assert!(!judged(object, resource), "/{object}/0/{resource}");
        }
    }

    #[test]
    fn error_codes_and_what_is_called_an_alarm_are_alarms() {
        let objects = tables::standard();
        let judged = |object: u16, resource: u16, name: &str| {
            let object = objects.object(ObjectId(object)).unwrap();
            let definition = &object.resources[&ResourceId(resource)];
            let named = ResourceDef {
                name: name.to_owned(),
                ..definition.clone()
            };
            is_alarm(object, &named)
        };
        assert!(judged(3, 11, "Error Code"));
        assert!(!judged(3, 9, "Battery Level"));
        assert!(!judged(4, 11, "Another object's 11"));
        assert!(judged(3303, 5700, "High temperature ALARM"));
        let object = objects.object(ObjectId(3303)).unwrap();
        let alarm = ResourceDef {
            name: "Alarm Number".to_owned(),
            ..object.resources[&ResourceId(5700)].clone()
        };
        assert!(is_state(object, &alarm), "told confirmably");
        assert!(!judged(3303, 5700, "Sensor Value"));
    }
}
