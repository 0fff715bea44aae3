//! Values of D-Bus as they may be: of another type than expected, too many, too long. What does not
//! fit is as if it was not there.

use std::{collections::BTreeMap, net::IpAddr};

use zbus::{OwnedVariant, Variant};

/// Of a text; what is longer is cut.
const TEXT_MAX: usize = 256;
/// Of a list.
const LIST_MAX: usize = 256;
/// Variants in variants.
const DEPTH_MAX: usize = 4;

/// Names and their values: the properties of an interface, or a dictionary among them.
#[derive(Clone, Debug, Default)]
pub(super) struct Bag(BTreeMap<String, OwnedVariant>);

impl Bag {
    pub(super) const fn new(properties: BTreeMap<String, OwnedVariant>) -> Self {
        Self(properties)
    }

    /// Not empty, without control characters.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        text(self.get(name)?)
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        number(self.get(name)?)
    }

    /// As what it is on the bus: no negative ones, none that is too large.
    pub(super) fn unsigned(&self, name: &str) -> Option<u32> {
        u32::try_from(self.number(name)?).ok()
    }

    pub(super) fn real(&self, name: &str) -> Option<f64> {
        let Variant::F64(real) = self.get(name)? else {
            return None;
        };
        real.is_finite().then_some(*real)
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        let Variant::Bool(flag) = self.get(name)? else {
            return None;
        };
        Some(*flag)
    }

    /// `None` for `/`, which stands for nothing.
    pub(super) fn path(&self, name: &str) -> Option<String> {
        path(self.get(name)?)
    }

    pub(super) fn paths(&self, name: &str) -> Vec<String> {
        let elements = self.elements(name);
        elements.filter_map(path).collect()
    }

    /// Lists of bytes in a list.
    pub(super) fn byte_lists(&self, name: &str, max: usize) -> Vec<Vec<u8>> {
        let elements = self.elements(name);
        elements.filter_map(|list| bytes(list, max)).collect()
    }

    pub(super) fn bag(&self, name: &str) -> Self {
        self.get(name).map(bag).unwrap_or_default()
    }

    pub(super) fn bags(&self, name: &str) -> Vec<Self> {
        self.elements(name).map(bag).collect()
    }

    /// Fields of a structure, or of each structure of a list, as numbers or texts.
    pub(super) fn structures(&self, name: &str) -> Vec<Vec<Field>> {
        let Some(value) = self.get(name) else {
            return Vec::new();
        };
        if let Variant::Structure(_) = value {
            return vec![fields(value)];
        }
        self.elements(name).map(fields).collect()
    }

    /// The value under a number in a dictionary.
    pub(super) fn text_under(&self, name: &str, key: u32) -> Option<String> {
        text(self.under(name, key)?)
    }

    pub(super) fn number_under(&self, name: &str, key: u32) -> Option<i64> {
        number(self.under(name, key)?)
    }

    fn under(&self, name: &str, key: u32) -> Option<&Variant<'_>> {
        let Variant::Dict(dict) = self.get(name)? else {
            return None;
        };
        let is_key = |found: &Variant<'_>| number(found) == Some(i64::from(key));
        let (_, value) = dict.iter().find(|(found, _)| is_key(found))?;
        Some(inner(value))
    }

    pub(super) fn address(&self, name: &str) -> Option<IpAddr> {
        self.text(name)?.parse().ok()
    }

    fn get(&self, name: &str) -> Option<&Variant<'static>> {
        self.0.get(name).map(|value| inner(value))
    }

    fn elements<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Variant<'a>> {
        let elements = if let Some(Variant::Array(array)) = self.get(name) {
            array.inner()
        } else {
            &[]
        };
        elements.iter().take(LIST_MAX).map(inner)
    }
}

/// A part of a structure.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Field {
    Number(i64),
    Text(String),
    /// Neither.
    Other,
}

impl Field {
    pub(super) const fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) | Self::Other => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Other => None,
        }
    }
}

/// Without the variants around it.
fn inner<'a, 'v>(value: &'a Variant<'v>) -> &'a Variant<'v> {
    let mut value = value;
    for _ in 0..DEPTH_MAX {
        let Variant::Variant(boxed) = value else {
            break;
        };
        value = boxed;
    }
    value
}

fn text(value: &Variant<'_>) -> Option<String> {
    let Variant::Str(text) = value else {
        return None;
    };
    let plain = text.as_str().chars().filter(|c| !c.is_control());
    let text: String = plain.take(TEXT_MAX).collect();
    (!text.is_empty()).then_some(text)
}

fn path(value: &Variant<'_>) -> Option<String> {
    let Variant::ObjectPath(path) = value else {
        return None;
    };
    let path = path.as_str();
    (path != "/" && path.len() <= TEXT_MAX).then(|| path.to_owned())
}

fn bytes(value: &Variant<'_>, max: usize) -> Option<Vec<u8>> {
    let Variant::Array(array) = value else {
        return None;
    };
    let elements = array.inner();
    let byte = |element: &Variant<'_>| {
        let Variant::U8(byte) = element else {
            return None;
        };
        Some(*byte)
    };
    if elements.is_empty() || elements.len() > max {
        return None;
    }
    elements.iter().map(byte).collect()
}

fn bag(value: &Variant<'_>) -> Bag {
    let Variant::Dict(dict) = value else {
        return Bag::default();
    };
    let entries = dict.iter().take(LIST_MAX).filter_map(|(key, value)| {
        let owned = OwnedVariant::try_from(inner(value)).ok()?;
        Some((text(key)?, owned))
    });
    Bag(entries.collect())
}

fn fields(value: &Variant<'_>) -> Vec<Field> {
    let Variant::Structure(structure) = value else {
        return Vec::new();
    };
    let fields = structure.fields().iter().take(LIST_MAX).map(inner);
    let field = |value: &Variant<'_>| {
        let number = number(value).map(Field::Number);
        let field = number.or_else(|| text(value).map(Field::Text));
        field.unwrap_or(Field::Other)
    };
    fields.map(field).collect()
}

fn number(value: &Variant<'_>) -> Option<i64> {
    match value {
        Variant::U8(number) => Some(i64::from(*number)),
        Variant::I16(number) => Some(i64::from(*number)),
        Variant::U16(number) => Some(i64::from(*number)),
        Variant::I32(number) => Some(i64::from(*number)),
        Variant::U32(number) => Some(i64::from(*number)),
        Variant::I64(number) => Some(*number),
        Variant::U64(number) => i64::try_from(*number).ok(),
        Variant::Bool(_)
        | Variant::F64(_)
        | Variant::Str(_)
        | Variant::Signature(_)
        | Variant::ObjectPath(_)
        | Variant::Variant(_)
        | Variant::Array(_)
        | Variant::Dict(_)
        | Variant::Structure(_)
        | Variant::Fd(_) => None,
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, Variant<'static>); N]> for Bag {
    fn from(entries: [(&str, Variant<'static>); N]) -> Self {
        let owned = entries.map(|(name, value)| {
            let value = OwnedVariant::try_from(value).expect("no descriptor among them");
            (name.to_owned(), value)
        });
        Self(owned.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_another_type_is_as_if_it_was_not_there() {
        let bag = Bag::from([
            ("text", Variant::U32(7)),
            ("number", Variant::from("seven")),
            ("real", Variant::F64(f64::NAN)),
            ("negative", Variant::I32(-1)),
            ("large", Variant::U64(u64::MAX)),
            ("path", Variant::from("/no/path")),
        ]);
        assert_eq!(bag.text("text"), None);
        assert_eq!(bag.number("number"), None);
        assert_eq!(bag.number("large"), None);
        assert_eq!(bag.real("real"), None);
        assert_eq!(bag.unsigned("negative"), None);
        assert_eq!(bag.path("path"), None);
        assert!(bag.paths("text").is_empty());
        assert!(bag.structures("number").is_empty());
        assert_eq!(bag.bag("number").text("x"), None);
        assert_eq!(bag.flag("absent"), None);
    }

    #[test]
    fn texts_and_lists_are_bounded() {
        let long = "x\u{7}".repeat(10_000);
        let bag = Bag::from([
            ("text", Variant::from(long)),
            ("list", Variant::from(vec![vec![1u8; 200]; 10_000])),
        ]);
        assert_eq!(bag.text("text"), Some("x".repeat(TEXT_MAX)));
        assert_eq!(bag.byte_lists("list", 199), [[0u8; 0]; 0]);
        assert_eq!(bag.byte_lists("list", 200).len(), LIST_MAX);
    }
}
