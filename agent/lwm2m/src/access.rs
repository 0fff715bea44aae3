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

impl Rights {
    /// The bits of a value of 2/x/2.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    pub const fn bits(self) -> u8 {
        self.0
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
        }
    }
}
