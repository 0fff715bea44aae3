//! Object 13, Bearer Selection (lwm2m/70): which bearer a server prefers, and how weak a signal may
//! be. Locking of cells and lists of operators have no safe way through ModemManager, and are absent.

use std::collections::BTreeMap;

use lamplighter_model::{
    Value,
    device::{Assignment, Fault},
};

use super::{SELECTION, Told, bad, list};
use crate::bearer::dbus::Controls;

const PREFERRED: u16 = 0;
/// What may be received by GSM, UMTS, LTE, 1xEV-DO and NB-IoT, in dBm.
const LEVELS: [u16; 5] = [1, 2, 3, 4, 10];
pub(super) const RESOURCES: [u16; 6] = [PREFERRED, 1, 2, 3, 4, 10];
/// No box has more bearers.
const PREFERRED_MAX: usize = 16;

/// What a server wants.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    preferred: Option<Vec<u8>>,
    levels: BTreeMap<u16, i32>,
}

pub(super) fn look(controls: &Controls) -> Vec<Told> {
    let preferred = controls.preferred();
    let codes = preferred
        .into_iter()
        .map(|code| Value::Integer(code.into()));
    let mut told = list(SELECTION, PREFERRED, codes);
    let levels = controls.levels().into_iter();
    told.extend(levels.map(|(id, level)| (SELECTION, id, None, Value::Integer(level.into()))));
    told
}

pub(super) fn check(values: &[&Assignment], controls: &Controls) -> Result<Wanted, Fault> {
    let mut wanted = Wanted::default();
    let mut codes = BTreeMap::new();
    for value in values {
        let resource = value.address.path.resource.0;
        let Value::Integer(number) = value.value else {
            return Err(bad("a number is wanted"));
        };
        if resource == PREFERRED {
            let index = value.index.map(|index| index.0).unwrap_or_default();
            codes.insert(index, preferred(number)?);
        } else if LEVELS.contains(&resource) {
            let level = i32::try_from(number)
                .ok()
                .filter(|level| (-200..=0).contains(level));
            let level = level.ok_or_else(|| bad("a level in dBm is wanted"))?;
            wanted.levels.insert(resource, level);
        } else {
            return Err(Fault::Unsupported);
        }
    }
    if !codes.is_empty() {
        wanted.preferred = Some(merged(codes, controls.preferred())?);
    }
    Ok(wanted)
}

pub(super) async fn apply(wanted: Wanted, controls: &Controls) -> Result<(), Fault> {
    if let Some(preferred) = wanted.preferred {
        controls.prefer(preferred).await?;
    }
    if !wanted.levels.is_empty() {
        controls.set_levels(&wanted.levels).await;
    }
    Ok(())
}

/// 0 any, 1 any cellular one, 2 GSM, 3 UMTS, 4 LTE, 5 1xEV-DO, 7 WLAN, 8 Ethernet, 9 DSL, 10
/// Bluetooth, 12 to 15 LTE for things, 16 NR. Circuits (6) carry nothing here, and nobody has WiMAX
/// (11) any more.
fn preferred(number: i64) -> Result<u8, Fault> {
    match number {
        0..=5 | 7..=10 | 12..=16 => u8::try_from(number).map_err(|_| bad("no such bearer")),
        _ => Err(bad("no bearer here is of that kind")),
    }
}

/// A list from its beginning on takes the place of the former one; other instances change it.
fn merged(codes: BTreeMap<u16, u8>, former: Vec<u8>) -> Result<Vec<u8>, Fault> {
    let is_whole = codes.keys().copied().eq(0..codes.len() as u16);
    let mut all = BTreeMap::new();
    if !is_whole {
        all.extend((0..).zip(former));
    }
    all.extend(codes);
    if all.len() > PREFERRED_MAX {
        return Err(bad("at most 16 bearers can be listed"));
    }
    Ok(all.into_values().collect())
}
