//! Who may do what: the rights that the configuration gives to a server, and the question that
//! every operation asks. What object 2 holds is in `object/access_control.rs`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use lamplighter_model::{InstancePath, ObjectId, ObjectInstanceId, Path, device::Origin};

use crate::{object::CoreObjects, reject::Reject};

/// `owner` and `rights` of one `[server.NAME]`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Grants {
    /// All rights everywhere; the instances that the box makes belong to it.
    pub owner: bool,
    /// The longest pattern that fits an instance counts.
    pub rights: BTreeMap<Pattern, Rights>,
}

/// Which instances a right is about. The longer stands behind the shorter.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Pattern {
    /// `*`
    All,
    /// `/3416`
    Object(ObjectId),
    /// `/3416/1`
    Instance(InstancePath),
}

/// A set of rights, as the bits of resource 2/x/2.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rights(u8);

/// Why a text is not a pattern or not a set of rights.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GrantError {
    /// Another letter than R, W, E, D and C.
    Letter(char),
    /// Rights are given to objects and instances, not to resources.
    TooDeep,
    /// Neither `*` nor a path.
    Pattern,
}

/// What an operation does to an instance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Right {
    /// Asked about the object: its instance is not there yet.
    Create,
    Delete,
    Execute,
    Read,
    Write,
}

/// Security, OSCORE and COSE: nobody but a bootstrap server sees them, whether they exist or not.
const HIDDEN: [ObjectId; 3] = [ObjectId(0), ObjectId(21), ObjectId(23)];

/// The letters of the configuration with their bits in 2/x/2.
const LETTERS: [(char, u8); 5] = [('R', 1), ('W', 2), ('E', 4), ('D', 8), ('C', 16)];

/// Refuses everything about objects that hold keys.
pub(crate) fn check_object(object: ObjectId) -> Result<(), Reject> {
    if HIDDEN.contains(&object) {
        return Err(Reject::unauthorized(
            "this object is not for device management",
        ));
    }
    Ok(())
}

/// Whether the origin has the right on an instance. Roles judge people, not this.
pub(crate) fn check(
    origin: &Origin,
    right: Right,
    object: ObjectId,
    instance: ObjectInstanceId,
    core: &CoreObjects,
) -> Result<(), Reject> {
    if allows(origin, right, InstancePath { object, instance }, core) {
        return Ok(());
    }
    Err(Reject::unauthorized(format!(
        "there is no right to {right} here"
    )))
}

/// Whether the origin may override what protects an instance. People at the box may: they could as
/// well pull the plug.
pub(crate) fn check_force(
    origin: &Origin,
    path: InstancePath,
    core: &CoreObjects,
) -> Result<(), Reject> {
    let may = match origin {
        Origin::Server(ssid) => core.access.may_force(*ssid, path),
        Origin::Local(_) => true,
        Origin::Mqtt | Origin::Rule(_) => false,
    };
    if may {
        return Ok(());
    }
    Err(Reject::unauthorized("only the owner may force this"))
}

/// Whether somebody may be told what a path holds, or what its instances hold. To be asked when a
/// value leaves, not only when it was asked for: rights can be taken (Core 1.2, 6.4.4).
pub(crate) fn may_read(reader: &Origin, path: Path, core: &CoreObjects) -> bool {
    path.instance()
        .is_none_or(|instance| allows(reader, Right::Read, instance, core))
}

fn allows(origin: &Origin, right: Right, path: InstancePath, core: &CoreObjects) -> bool {
    match origin {
        Origin::Server(ssid) => core.access.allows(*ssid, right, path),
        Origin::Local(_) | Origin::Mqtt | Origin::Rule(_) => true,
    }
}

impl Rights {
    /// What a server may do to its own account, where nothing else is said.
    pub(crate) const ACCOUNT: Self = Self(7);
    pub(crate) const ALL: Self = Self(31);
    pub(crate) const CREATE: Self = Self(16);
    /// All that can be done to an instance.
    pub(crate) const INSTANCE: Self = Self(15);
    pub(crate) const WRITE_DELETE: Self = Self(10);

    /// The bits of a value of 2/x/2.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    pub const fn bits(self) -> u8 {
        self.0
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn contains(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }
}

impl Right {
    const fn bit(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
            Self::Execute => 4,
            Self::Delete => 8,
            Self::Create => 16,
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Execute => "execute",
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

impl FromStr for Rights {
    type Err = GrantError;

    /// Reads letters in any order: `RWE`; nothing for no right at all.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let mut rights = Self::default();
        for letter in text.chars() {
            let known = LETTERS.iter().find(|(known, _)| *known == letter);
            rights.0 |= known.ok_or(GrantError::Letter(letter))?.1;
        }
        Ok(rights)
    }
}

impl FromStr for Pattern {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        if text == "*" {
            return Ok(Self::All);
        }
        match text.parse().map_err(|_| GrantError::Pattern)? {
            Path::Root => Err(GrantError::Pattern),
            Path::Object(object) => Ok(Self::Object(object)),
            Path::Instance(instance) => Ok(Self::Instance(instance)),
            Path::Resource(_) | Path::ResourceInstance(..) => Err(GrantError::TooDeep),
        }
    }
}

impl fmt::Display for Rights {
    /// The letters, as the configuration has them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut held = LETTERS.iter().filter(|(_, bit)| self.0 & bit != 0);
        held.try_for_each(|(letter, _)| write!(f, "{letter}"))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Object(object) => write!(f, "/{object}"),
            Self::Instance(instance) => write!(f, "{instance}"),
        }
    }
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Letter(letter) => write!(f, "`{letter}` is not a right"),
            Self::TooDeep => f.write_str("rights are given to objects and instances"),
            Self::Pattern => f.write_str("this is neither a path nor `*`"),
        }
    }
}

impl std::error::Error for GrantError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_rights_stand_in_any_order() {
        for (text, bits) in [("", 0), ("R", 1), ("RWE", 7), ("DEW", 14), ("CDEWR", 31)] {
            assert_eq!(text.parse(), Ok(Rights::from_bits(bits)), "{text}");
        }
        assert_eq!(Rights::from_bits(14).to_string(), "WED");
        assert_eq!("RX".parse::<Rights>(), Err(GrantError::Letter('X')));
        assert_eq!("r".parse::<Rights>(), Err(GrantError::Letter('r')));
    }

    #[test]
    fn a_pattern_is_all_or_an_object_or_an_instance() {
        let lamp = InstancePath::new(3416, 1);
        for (text, pattern) in [
            ("*", Ok(Pattern::All)),
            ("/3416", Ok(Pattern::Object(ObjectId(3416)))),
            ("/3416/1", Ok(Pattern::Instance(lamp))),
            ("/3416/1/5850", Err(GrantError::TooDeep)),
            ("/", Err(GrantError::Pattern)),
            ("3416", Err(GrantError::Pattern)),
            ("/3416/*", Err(GrantError::Pattern)),
            ("", Err(GrantError::Pattern)),
        ] {
            assert_eq!(text.parse(), pattern, "{text}");
            if let Ok(pattern) = pattern {
                assert_eq!(pattern.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_grant_is_said_in_words() {
        for (text, words) in [("RX", "`X` is not a right"), ("rw", "`r` is not a right")] {
            assert_eq!(text.parse::<Rights>().unwrap_err().to_string(), words);
        }
        for (text, words) in [
            ("/3416/1/5850", "rights are given to objects and instances"),
            ("everything", "this is neither a path nor `*`"),
        ] {
            assert_eq!(text.parse::<Pattern>().unwrap_err().to_string(), words);
        }
    }
}
