//! The object definitions that the box knows without any file: standard objects and our own.
//!
//! The tables are text, one object or resource a line:
//!
//! ```text
//! = ID VERSION FLAGS NAME
//! ID OPERATIONS TYPE FLAGS RANGE UNIT NAME
//! ```
//!
//! `!` is mandatory and `?` optional, `1` single and `*` multiple; `-` is nothing. A range is of
//! numbers, or of bytes in a text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    DataType, ObjectId, ResourceId,
    object::{Definitions, Multiplicity, ObjectDef, Operations, ResourceDef, Version},
};

const STANDARD: [&str; 3] = [
    include_str!("tables/core.txt"),
    include_str!("tables/ipso.txt"),
    include_str!("tables/ucifi.txt"),
];
const VENDOR: &str = include_str!("tables/vendor.txt");

/// Number of [`vendor`] objects.
pub const VENDOR_OBJECTS: u16 = 5;

/// A version of LwM2M itself, as a client registers with it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Enabler {
    V1_0,
    V1_1,
    V1_2,
}

/// Our own objects, in the order of their numbers from the base.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum VendorObject {
    Bearer,
    Group,
    OutputStatus,
    DeviceLink,
    SiteRule,
}

/// Objects of the OMA registry, each in its newest version: core and connectivity objects, IPSO
/// objects, uCIFI objects for lighting and utilities.
pub fn standard() -> Definitions {
    let mut definitions = Definitions::default();
    STANDARD
        .iter()
        .flat_map(|table| objects(table))
        .for_each(|object| definitions.insert(object));
    definitions
}

/// Our own objects, numbered from `base` (`client.vendor_object_base`).
///
/// | object | resources (all readable; `*` has instances, `W` can be written) |
/// |---|---|
/// | +0 Bearer | 0 name, 1 kind, 2 interface, 3 status, 4 reason, 5 since, 6 last exchange, 7 round-trip time (ms), 8 connection address, 9 metered, 10 bytes today, 11 bytes this month, 12 flaps |
/// | +1 Group | 0 name, 1 members\*, 2 command W (0 off … 100 on), 3 state (`on`, `off`, `mixed`), 4 failed count, 5 result per member\* (instances as in 1), 6 progress (%) |
/// | +2 Output status | 0 target, 1 commanded, 2 in effect, 3 measured, 4 winner, 5 since, 6 until (0: not by itself), 7 by, 8 result, 9 guard time left (s) |
/// | +3 Device link | 0 device, 1 adapter, 2 state, 3 since, 4 last good, 5 errors by class\* (0 timeout, 1 unreachable, 2 refused by the device, 3 malformed), 6 round-trip time (ms), 7 points by quality\* (0 good, 1 stale, 2 bad, 3 unchecked), 8 reason |
/// | +4 Site rule | 0 name, 1 kind, 2 enabled W, 3 schedule W (text as in the configuration), 4 on threshold W, 5 off threshold W (of a thermostat distances from its set point, of a light sensor lux), 6 state in words, 7 targets\* |
///
/// Only types that LwM2M 1.0 has, so that every server can load them.
pub fn vendor(base: u16) -> Vec<ObjectDef> {
    let numbered = |object: ObjectDef| ObjectDef {
        id: ObjectId(base.saturating_add(object.id.0)),
        ..object
    };
    objects(VENDOR).map(numbered).collect()
}

impl Enabler {
    /// As `lwm2m=` of a Register says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }
}

impl VendorObject {
    /// The number of this object.
    pub const fn id(self, base: u16) -> ObjectId {
        let offset = match self {
            Self::Bearer => 0,
            Self::Group => 1,
            Self::OutputStatus => 2,
            Self::DeviceLink => 3,
            Self::SiteRule => 4,
        };
        ObjectId(base.saturating_add(offset))
    }
}

/// The version of an object that a server assumes where a Register gives no `ver`
/// (Core 1.2.2, 6.2.1): that bundled with the enabler, 1.0 for all objects outside of it.
pub const fn bundled_version(enabler: Enabler, object: ObjectId) -> Version {
    let (major, minor) = match (enabler, object.0) {
        (Enabler::V1_1, 0 | 1 | 3) | (Enabler::V1_2, 2 | 5) => (1, 1),
        (Enabler::V1_1, 4) | (Enabler::V1_2, 0 | 1 | 3) => (1, 2),
        (Enabler::V1_2, 4) => (1, 3),
        (Enabler::V1_2, 21) => (2, 0),
        (Enabler::V1_0 | Enabler::V1_1 | Enabler::V1_2, _) => (1, 0),
    };
    Version::new(major, minor)
}

/// The objects of a table. The tables are part of the program and tested whole, so a line that
/// cannot be read is a mistake of ours.
fn objects(table: &'static str) -> impl Iterator<Item = ObjectDef> {
    table
        .split("\n\n")
        .map(|text| object(text).expect("a test reads every table"))
}

fn object(text: &str) -> Option<ObjectDef> {
    let (head, rest) = text.split_once('\n')?;
    let [_, id, version, flags, name] = fields(head)?;
    let (mandatory, multiplicity) = flags_of(flags)?;
    let resources: Option<BTreeMap<_, _>> = rest
        .lines()
        .map(|line| Some(keyed(resource(line)?)))
        .collect();
    Some(ObjectDef {
        id: ObjectId(id.parse().ok()?),
        name: name.to_owned(),
        version: version.parse().ok()?,
        multiplicity,
        mandatory,
        resources: resources?,
    })
}

fn keyed(resource: ResourceDef) -> (ResourceId, ResourceDef) {
    (resource.id, resource)
}

fn resource(line: &str) -> Option<ResourceDef> {
    let [id, operations, data_type, flags, range, unit, name] = fields(line)?;
    let (mandatory, multiplicity) = flags_of(flags)?;
    Some(ResourceDef {
        id: ResourceId(id.parse().ok()?),
        name: name.to_owned(),
        operations: operations_of(operations)?,
        multiplicity,
        mandatory,
        data_type: data_type_of(data_type)?,
        range: range_of(range)?,
        unit: present(unit).unwrap_or_default().to_owned(),
    })
}

/// The words of a line, the last one with its blanks.
fn fields<const N: usize>(line: &str) -> Option<[&str; N]> {
    line.splitn(N, ' ').collect::<Vec<_>>().try_into().ok()
}

fn present(word: &str) -> Option<&str> {
    (word != "-").then_some(word)
}

fn flags_of(word: &str) -> Option<(bool, Multiplicity)> {
    Some(match word {
        "!1" => (true, Multiplicity::Single),
        "!*" => (true, Multiplicity::Multiple),
        "?1" => (false, Multiplicity::Single),
        "?*" => (false, Multiplicity::Multiple),
        _ => return None,
    })
}

fn operations_of(word: &str) -> Option<Operations> {
    Some(match word {
        "-" => Operations::NONE,
        "E" => Operations::E,
        "R" => Operations::R,
        "RW" => Operations::RW,
        "W" => Operations::W,
        _ => return None,
    })
}

fn data_type_of(word: &str) -> Option<DataType> {
    Some(match word {
        "-" => DataType::None,
        "bool" => DataType::Boolean,
        "corelnk" => DataType::Corelnk,
        "float" => DataType::Float,
        "int" => DataType::Integer,
        "objlnk" => DataType::Objlnk,
        "opaque" => DataType::Opaque,
        "str" => DataType::String,
        "time" => DataType::Time,
        "uint" => DataType::Unsigned,
        _ => return None,
    })
}

/// `None` where the word is no range.
#[expect(clippy::option_option, reason = "outer: readable, inner: has a range")]
fn range_of(word: &str) -> Option<Option<(f64, f64)>> {
    let Some(range) = present(word) else {
        return Some(None);
    };
    let (low, high) = range.split_once("..")?;
    Some(Some((low.parse().ok()?, high.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_read() {
        let definitions = standard();
        let lines = |mark: bool| {
            let lines = STANDARD
                .iter()
                .flat_map(|table| table.lines())
                .filter(|line| !line.is_empty());
            lines.filter(|line| line.starts_with('=') == mark).count()
        };
        assert_eq!(definitions.iter().count(), lines(true));
        assert_eq!(
            definitions
                .iter()
                .map(|object| object.resources.len())
                .sum::<usize>(),
            lines(false)
        );
        let temperature = definitions
            .resource(ObjectId(3303), ResourceId(5700))
            .unwrap();
        assert_eq!(
            (temperature.name.as_str(), temperature.data_type),
            ("Sensor Value", DataType::Float)
        );
        assert_eq!(temperature.operations, Operations::R);
    }

    #[test]
    fn our_own_objects_begin_at_the_base() {
        let all = [
            (VendorObject::Bearer, "Bearer"),
            (VendorObject::Group, "Group"),
            (VendorObject::OutputStatus, "Output Status"),
            (VendorObject::DeviceLink, "Device Link"),
            (VendorObject::SiteRule, "Site Rule"),
        ];
        let definitions = vendor(42_800);
        assert_eq!(definitions.len(), usize::from(VENDOR_OBJECTS));
        for (definition, (object, name)) in definitions.iter().zip(all) {
            assert_eq!(
                (definition.id, definition.name.as_str()),
                (object.id(42_800), name)
            );
        }
    }

    #[test]
    fn versions_are_assumed_by_enabler() {
        let version = |enabler, object| bundled_version(enabler, ObjectId(object)).to_string();
        assert_eq!(version(Enabler::V1_0, 3), "1.0");
        assert_eq!(version(Enabler::V1_1, 4), "1.2");
        assert_eq!(version(Enabler::V1_1, 5), "1.0");
        assert_eq!(version(Enabler::V1_2, 21), "2.0");
        assert_eq!(version(Enabler::V1_2, 3303), "1.0");
    }
}
