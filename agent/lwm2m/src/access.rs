//! Who may do what. With one server account every right is granted but to the objects that hold
//! keys (Core 1.2, 8.2); the rights of object 2 will be looked up here.

use lamplighter_model::{ObjectId, ObjectInstanceId, device::Origin};

use crate::{object::CoreObjects, reject::Reject};

/// What an operation does to an instance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Right {
    Execute,
    Read,
    Write,
}

/// Security, OSCORE and COSE: nobody but a bootstrap server sees them, whether they exist or not.
const HIDDEN: [ObjectId; 3] = [ObjectId(0), ObjectId(21), ObjectId(23)];

/// Refuses everything about objects that hold keys.
pub(crate) fn check_object(object: ObjectId) -> Result<(), Reject> {
    if HIDDEN.contains(&object) {
        return Err(Reject::unauthorized(
            "this object is not for device management",
        ));
    }
    Ok(())
}

/// Whether the origin has the right on an instance.
pub(crate) fn check(
    origin: &Origin,
    _right: Right,
    object: ObjectId,
    instance: ObjectInstanceId,
    core: &CoreObjects,
) -> Result<(), Reject> {
    let Origin::Server(ssid) = origin else {
        return Ok(());
    };
    if object != ObjectId(1)
        || core
            .account_of(*ssid)
            .is_some_and(|(own, _)| own == instance)
    {
        return Ok(());
    }
    Err(Reject::unauthorized(
        "this account belongs to another server",
    ))
}
