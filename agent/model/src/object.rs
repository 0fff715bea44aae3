//! Object definitions: what the standard or a vendor says an object consists of.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use crate::{DataType, ObjectId, ResourceId, ValueError};

/// Version of an object definition, major.minor.
#[derive(
    Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize,
)]
pub struct Version {
    pub major: u8,
    pub minor: u8,
}

/// What a server may do with a resource. All false: bootstrap and Send only.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Operations {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
}

/// Whether there may be several.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Multiplicity {
    Single,
    Multiple,
}

/// The definition of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceDef {
    pub id: ResourceId,
    pub name: String,
    pub operations: Operations,
    pub multiplicity: Multiplicity,
    pub mandatory: bool,
    pub data_type: DataType,
    /// Lowest and highest permitted number, or shortest and longest text in bytes.
    pub range: Option<(f64, f64)>,
    /// SenML unit, empty where the definition names none.
    pub unit: String,
}

/// The definition of one version of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectDef {
    pub id: ObjectId,
    pub name: String,
    pub version: Version,
    pub multiplicity: Multiplicity,
    pub mandatory: bool,
    pub resources: BTreeMap<ResourceId, ResourceDef>,
}

/// All definitions that the box knows, the newest version of each object first.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    objects: BTreeMap<ObjectId, Arc<ObjectDef>>,
}

impl Definitions {
    /// The definition in use of an object.
    pub fn object(&self, id: ObjectId) -> Option<&Arc<ObjectDef>> {
        self.objects.get(&id)
    }

    /// The definition of one resource.
    pub fn resource(&self, object: ObjectId, resource: ResourceId) -> Option<&ResourceDef> {
        self.objects.get(&object)?.resources.get(&resource)
    }

    /// Adds a definition; one of the same object is replaced.
    pub fn insert(&mut self, definition: ObjectDef) {
        self.objects.insert(definition.id, Arc::new(definition));
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<ObjectDef>> {
        self.objects.values()
    }
}

impl Version {
    pub const V1_0: Self = Self::new(1, 0);

    pub const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (major, minor) = text.split_once('.').ok_or(ValueError::Syntax)?;
        let number = |text: &str| text.parse().map_err(|_| ValueError::Syntax);
        Ok(Self::new(number(major)?, number(minor)?))
    }
}

impl Operations {
    pub const NONE: Self = Self {
        read: false,
        write: false,
        execute: false,
    };
    pub const R: Self = Self {
        read: true,
        write: false,
        execute: false,
    };
    pub const W: Self = Self {
        read: false,
        write: true,
        execute: false,
    };
    pub const RW: Self = Self {
        read: true,
        write: true,
        execute: false,
    };
    pub const E: Self = Self {
        read: false,
        write: false,
        execute: true,
    };
}
