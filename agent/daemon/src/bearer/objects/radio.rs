//! Object 10, Cellular Connectivity (lwm2m/70): when the radio is off, and which profiles are in use.
//! Power saving and release assistance have no way through ModemManager, and are absent.

use lamplighter_model::{
    ObjectLink, Value,
    device::{Assignment, Fault},
    object::Operations,
};

use super::{PROFILE, RADIO, Told, bad, list};
use crate::bearer::dbus::{Controls, Profile};

/// In minutes; what is left of them is read.
const DISABLE_PERIOD: u16 = 1;
const ACTIVATED: u16 = 11;
const POWER_SAVING: u16 = 12;
pub(super) const RESOURCES: [u16; 3] = [DISABLE_PERIOD, ACTIVATED, POWER_SAVING];

pub(super) fn look(controls: &Controls, profiles: &[Profile]) -> Vec<Told> {
    let left = i64::try_from(controls.radio_off_left()).unwrap_or(i64::MAX);
    let connected = profiles.iter().filter(|profile| profile.is_connected);
    let links = connected.map(|profile| {
        Value::Objlnk(ObjectLink {
            object: PROFILE,
            instance: profile.bearer,
        })
    });
    let mut told = vec![
        (RADIO, DISABLE_PERIOD, None, Value::Integer(left)),
        (RADIO, POWER_SAVING, None, Value::Unsigned(0)),
    ];
    told.extend(list(RADIO, ACTIVATED, links));
    told
}

pub(super) fn operations(resource: u16, is_ours: bool) -> Operations {
    if resource == DISABLE_PERIOD && is_ours {
        Operations::RW
    } else {
        Operations::R
    }
}

/// Minutes without radio.
pub(super) fn check(values: &[&Assignment]) -> Result<Option<u16>, Fault> {
    let mut minutes = None;
    for value in values {
        if value.address.path.resource.0 != DISABLE_PERIOD {
            return Err(Fault::Unsupported);
        }
        let Value::Integer(number) = value.value else {
            return Err(bad("a number of minutes is wanted"));
        };
        let number = u16::try_from(number);
        minutes = Some(number.map_err(|_| bad("0 to 65535 minutes are possible"))?);
    }
    Ok(minutes)
}
