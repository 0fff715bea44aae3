//! Identifiers and paths. A [`Path`] is what stands on the wire or in the configuration; an
//! [`Address`] is a path with the scope it belongs to, which only `lwm2m/src/view.rs` translates.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub u16);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// Number of an object definition, 0–65534.
    ObjectId
);
id!(
    /// Number of an instance of an object, 0–65534.
    ObjectInstanceId
);
id!(
    /// Number of a resource inside an object, 0–65534.
    ResourceId
);
id!(
    /// Number of an instance of a multiple resource, 0–65534.
    ResourceInstanceId
);
id!(
    /// Short Server ID, 1–65534 (resource 1/x/0).
    Ssid
);
id!(
    /// A configured device, numbered in the order of the configuration of this run.
    DeviceId
);

/// The id that the standard reserves: never an instance, in object 2 and in links "none".
pub(crate) const MAX_ID: u16 = 65535;

/// An instance of an object.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct InstancePath {
    pub object: ObjectId,
    pub instance: ObjectInstanceId,
}

/// A resource of an instance.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ResourcePath {
    pub instance: InstancePath,
    pub resource: ResourceId,
}

/// An LwM2M path of any depth. Ordered so that a parent stands before its children.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Path {
    Root,
    Object(ObjectId),
    Instance(InstancePath),
    Resource(ResourcePath),
    ResourceInstance(ResourcePath, ResourceInstanceId),
}

/// Whose tree a path belongs to: the box's own, or that of one device behind it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Scope {
    Gateway,
    Device(DeviceId),
}

/// A path inside the box.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Address {
    pub scope: Scope,
    pub path: Path,
}

/// An object instance inside the box.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct InstanceAddress {
    pub scope: Scope,
    pub path: InstancePath,
}

/// A resource inside the box.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ResourceAddress {
    pub scope: Scope,
    pub path: ResourcePath,
}

/// Why a text is not an LwM2M path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PathError {
    /// A segment is empty: a doubled or trailing slash.
    EmptySegment,
    /// A segment is not a decimal number without leading zeros in 0–65534.
    NotAnId,
    /// The text does not begin with a slash.
    NoSlash,
    /// More than four segments.
    TooDeep,
}

impl InstancePath {
    pub const fn new(object: u16, instance: u16) -> Self {
        Self {
            object: ObjectId(object),
            instance: ObjectInstanceId(instance),
        }
    }

    pub const fn resource(self, resource: u16) -> ResourcePath {
        ResourcePath {
            instance: self,
            resource: ResourceId(resource),
        }
    }
}

impl ResourcePath {
    pub const fn new(object: u16, instance: u16, resource: u16) -> Self {
        InstancePath::new(object, instance).resource(resource)
    }

    pub const fn object(self) -> ObjectId {
        self.instance.object
    }
}

impl Path {
    /// The path made of up to four ids; `None` where there are more or one is 65535.
    pub fn from_ids(ids: &[u16]) -> Option<Self> {
        if ids.contains(&MAX_ID) {
            return None;
        }
        Some(match *ids {
            [] => Self::Root,
            [o] => Self::Object(ObjectId(o)),
            [o, i] => Self::Instance(InstancePath::new(o, i)),
            [o, i, r] => Self::Resource(ResourcePath::new(o, i, r)),
            [o, i, r, j] => {
                Self::ResourceInstance(ResourcePath::new(o, i, r), ResourceInstanceId(j))
            }
            _ => return None,
        })
    }

    pub const fn object(self) -> Option<ObjectId> {
        match self {
            Self::Root => None,
            Self::Object(object) => Some(object),
            Self::Instance(instance) => Some(instance.object),
            Self::Resource(resource) | Self::ResourceInstance(resource, _) => {
                Some(resource.instance.object)
            }
        }
    }

    pub const fn instance(self) -> Option<InstancePath> {
        match self {
            Self::Root | Self::Object(_) => None,
            Self::Instance(instance) => Some(instance),
            Self::Resource(resource) | Self::ResourceInstance(resource, _) => {
                Some(resource.instance)
            }
        }
    }

    pub const fn resource(self) -> Option<ResourcePath> {
        match self {
            Self::Root | Self::Object(_) | Self::Instance(_) => None,
            Self::Resource(resource) | Self::ResourceInstance(resource, _) => Some(resource),
        }
    }

    /// One level up; the root is its own parent.
    pub const fn parent(self) -> Self {
        match self {
            Self::Root | Self::Object(_) => Self::Root,
            Self::Instance(instance) => Self::Object(instance.object),
            Self::Resource(resource) => Self::Instance(resource.instance),
            Self::ResourceInstance(resource, _) => Self::Resource(resource),
        }
    }

    /// All paths that this one contains, as ranges of the order of paths: that order goes level by
    /// level, so there is one range for each level.
    pub fn subtree(self) -> impl Iterator<Item = RangeInclusive<Self>> {
        let depth = match self {
            Self::Root => 0,
            Self::Object(_) => 1,
            Self::Instance(_) => 2,
            Self::Resource(_) => 3,
            Self::ResourceInstance(..) => 4,
        };
        (depth..=4).map(move |level| self.filled(level, 0)..=self.filled(level, u16::MAX))
    }

    /// The path of a level below this one whose further ids are all the same.
    fn filled(self, level: u8, id: u16) -> Self {
        let object = self.object().unwrap_or(ObjectId(id));
        let instance = self.instance().unwrap_or(InstancePath {
            object,
            instance: ObjectInstanceId(id),
        });
        let resource = self.resource().unwrap_or_else(|| instance.resource(id));
        match (level, self) {
            (0, _) => Self::Root,
            (1, _) => Self::Object(object),
            (2, _) => Self::Instance(instance),
            (3, _) => Self::Resource(resource),
            (_, Self::ResourceInstance(..)) => self,
            (_, _) => Self::ResourceInstance(resource, ResourceInstanceId(id)),
        }
    }

    /// Whether `other` is this path or lies below it.
    pub fn contains(self, other: Self) -> bool {
        match self {
            Self::Root => true,
            Self::Object(object) => other.object() == Some(object),
            Self::Instance(instance) => other.instance() == Some(instance),
            Self::Resource(resource) => other.resource() == Some(resource),
            Self::ResourceInstance(..) => self == other,
        }
    }
}

impl From<ResourcePath> for Path {
    fn from(path: ResourcePath) -> Self {
        Self::Resource(path)
    }
}

impl From<InstancePath> for Path {
    fn from(path: InstancePath) -> Self {
        Self::Instance(path)
    }
}

impl Address {
    /// An address of the box's own tree.
    pub fn gateway(path: impl Into<Path>) -> Self {
        Self {
            scope: Scope::Gateway,
            path: path.into(),
        }
    }
}

impl ResourceAddress {
    /// A resource of the box's own tree.
    pub const fn gateway(object: u16, instance: u16, resource: u16) -> Self {
        Self {
            scope: Scope::Gateway,
            path: ResourcePath::new(object, instance, resource),
        }
    }

    pub const fn instance(self) -> InstanceAddress {
        InstanceAddress {
            scope: self.scope,
            path: self.path.instance,
        }
    }
}

impl From<ResourceAddress> for Address {
    fn from(address: ResourceAddress) -> Self {
        Self {
            scope: address.scope,
            path: Path::Resource(address.path),
        }
    }
}

impl From<InstanceAddress> for Address {
    fn from(address: InstanceAddress) -> Self {
        Self {
            scope: address.scope,
            path: Path::Instance(address.path),
        }
    }
}

impl fmt::Display for InstancePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/{}", self.object, self.instance)
    }
}

impl fmt::Display for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.instance, self.resource)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("/"),
            Self::Object(object) => write!(f, "/{object}"),
            Self::Instance(instance) => instance.fmt(f),
            Self::Resource(resource) => resource.fmt(f),
            Self::ResourceInstance(resource, index) => write!(f, "{resource}/{index}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope {
            Scope::Gateway => self.path.fmt(f),
            Scope::Device(device) => write!(f, "device {device} {}", self.path),
        }
    }
}

impl fmt::Display for ResourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Address::from(*self).fmt(f)
    }
}

impl FromStr for Path {
    type Err = PathError;

    /// Reads `/3303/0/5700`; `/` is the root.
    fn from_str(text: &str) -> Result<Self, PathError> {
        let rest = text.strip_prefix('/').ok_or(PathError::NoSlash)?;
        if rest.is_empty() {
            return Ok(Self::Root);
        }
        let mut ids = Vec::with_capacity(4);
        for segment in rest.split('/') {
            if ids.len() == 4 {
                return Err(PathError::TooDeep);
            }
            ids.push(parse_id(segment)?);
        }
        Self::from_ids(&ids).ok_or(PathError::NotAnId)
    }
}

impl FromStr for ResourcePath {
    type Err = PathError;

    /// Reads a path that names exactly a resource.
    fn from_str(text: &str) -> Result<Self, PathError> {
        match text.parse()? {
            Path::Resource(path) => Ok(path),
            Path::Root | Path::Object(_) | Path::Instance(_) => Err(PathError::EmptySegment),
            Path::ResourceInstance(..) => Err(PathError::TooDeep),
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptySegment => "a path segment is missing or empty",
            Self::NotAnId => "a path segment is not a number from 0 to 65534",
            Self::NoSlash => "a path begins with a slash",
            Self::TooDeep => "a path has too many segments",
        })
    }
}

impl std::error::Error for PathError {}

/// One path segment: decimal, no leading zeros, below 65535.
fn parse_id(segment: &str) -> Result<u16, PathError> {
    if segment.is_empty() {
        return Err(PathError::EmptySegment);
    }
    let digits = segment.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (segment.len() > 1 && segment.starts_with('0')) {
        return Err(PathError::NotAnId);
    }
    match segment.parse() {
        Ok(MAX_ID) | Err(_) => Err(PathError::NotAnId),
        Ok(id) => Ok(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_back_as_it_prints() {
        for text in ["/", "/3", "/3/0", "/3303/0/5700", "/3/0/11/0"] {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_paths_are_told_apart() {
        for (text, error) in [
            ("3/0", PathError::NoSlash),
            ("/3/", PathError::EmptySegment),
            ("/3//0", PathError::EmptySegment),
            ("/03", PathError::NotAnId),
            ("/65535", PathError::NotAnId),
            ("/-1", PathError::NotAnId),
            ("/+1", PathError::NotAnId),
            ("/1/2/3/4/5", PathError::TooDeep),
        ] {
            assert_eq!(text.parse::<Path>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_subtree_is_what_the_path_contains() {
        let all = [
            "/", "/3", "/4", "/3/0", "/3/1", "/4/0", "/3/0/1", "/3/1/0", "/4/0/0", "/3/0/1/0",
            "/3/0/1/7", "/3/0/2/0", "/4/0/0/0",
        ];
        let path = |text: &str| text.parse::<Path>().unwrap();
        for above in all.map(path) {
            for below in all.map(path) {
                let within = above.subtree().any(|range| range.contains(&below));
                assert_eq!(within, above.contains(below), "{above} {below}");
            }
        }
    }

    #[test]
    fn a_parent_contains_its_children_and_stands_before_them() {
        let resource: Path = "/3303/0/5700".parse().unwrap();
        let mut above = resource.parent();
        loop {
            assert!(above.contains(resource) && above < resource);
            if above == Path::Root {
                break;
            }
            above = above.parent();
        }
        assert!(!resource.contains("/3303/0".parse().unwrap()));
    }
}
