//! Makes the schema's types from the merged tree and finds *all* unknown keys and wrong types on
//! the way, where serde alone stops at the first.
//!
//! 1. A run extracts with serde. An unknown key is noted and not shown to serde at all.
//! 2. The first value that does not fit ends the run. It is noted and hidden from the next run.
//! 3. The run that succeeds ends it: every problem is known, and what was wrong is left out.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use figment::value::{Dict, Num, Value};
use serde::{
    Deserialize,
    de::{self, DeserializeSeed, IntoDeserializer, Unexpected, Visitor, value::StrDeserializer},
    forward_to_deserialize_any,
};

use super::{
    layer::{Key, Layers},
    problem::nearest,
    schema::{KIND_KEYS, Root},
};

/// More than this many wrong values are not listed.
const MAX_RUNS: usize = 200;

/// A key or value that the schema does not know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Misfit {
    pub(super) key: Key,
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

/// What could be extracted, and everything that could not. `hidden` is left out from the start.
pub(super) fn extract(layers: &Layers, hidden: BTreeSet<Key>) -> (Root, Vec<Misfit>) {
    let run = Run {
        layers,
        hidden: RefCell::new(hidden),
        unknown: RefCell::new(BTreeMap::new()),
    };
    let mut misfits = Vec::new();
    let mut root = None;
    while root.is_none() && misfits.len() < MAX_RUNS {
        match Root::deserialize(Reader {
            run: &run,
            key: Key::new(),
            value: &layers.root,
        }) {
            Ok(extracted) => root = Some(extracted),
            Err(Wrong { key, what, hint }) => {
                run.hidden.borrow_mut().insert(key.clone());
                misfits.push(Misfit { key, what, hint });
            }
        }
    }
    misfits.extend(run.unknown.into_inner().into_iter().map(|(key, hint)| {
        let what = format!("unknown key `{}`", key.last().map_or("", String::as_str));
        Misfit { key, what, hint }
    }));
    (root.unwrap_or_default(), misfits)
}

struct Run<'a> {
    layers: &'a Layers,
    hidden: RefCell<BTreeSet<Key>>,
    unknown: RefCell<BTreeMap<Key, Option<String>>>,
}

/// Shows one value of the merged tree to serde.
struct Reader<'a> {
    run: &'a Run<'a>,
    key: Key,
    value: &'a Value,
}

/// The value that ended a run.
#[derive(Debug)]
struct Wrong {
    key: Key,
    what: String,
    hint: Option<String>,
}

impl<'a> Reader<'a> {
    /// Whatever stands in the way of the type that was asked for.
    fn wrong(&self, expected: &str) -> Wrong {
        Wrong {
            key: self.key.clone(),
            what: format!("expected {expected}, found {}", kind_of(self.value)),
            hint: None,
        }
    }

    /// The text of an environment variable, which is read as the type that is asked for.
    fn variable(&self) -> Option<&'a str> {
        let text = self.value.as_str()?;
        self.run
            .layers
            .is_from_environment(self.value.tag())
            .then_some(text)
    }

    fn integer(&self, lowest: i64, highest: i64) -> Result<i64, Wrong> {
        let number = match (self.variable(), self.value) {
            (Some(text), _) => text.trim().parse().ok(),
            (None, Value::Num(_, number)) => whole(*number),
            (None, _) => None,
        };
        let number = number.ok_or_else(|| self.wrong("a whole number"))?;
        if (lowest..=highest).contains(&number) {
            return Ok(number);
        }
        Err(Wrong {
            key: self.key.clone(),
            what: format!("{number} is not within {lowest} to {highest}"),
            hint: None,
        })
    }

    fn dict(&self) -> Result<&'a Dict, Wrong> {
        match self.value {
            Value::Dict(_, dict) => Ok(dict),
            Value::Array(..)
            | Value::Bool(..)
            | Value::Char(..)
            | Value::Empty(..)
            | Value::Num(..)
            | Value::String(..) => Err(self.wrong("a table")),
        }
    }

    fn below(&self, name: &str) -> Key {
        let mut key = self.key.clone();
        key.push(name.to_owned());
        key
    }

    /// Hidden itself, or a table whose kind is not known, so that nothing in it can be.
    fn is_hidden(&self, key: &Key) -> bool {
        let hidden = self.run.hidden.borrow();
        let has_no_kind = |(_, name): &(&str, &str)| {
            let mut kind = key.clone();
            kind.push((*name).to_owned());
            hidden.contains(&kind)
        };
        hidden.contains(key) || KIND_KEYS.iter().any(has_no_kind)
    }

    /// Entries of a table that serde may see. `fields`: the keys that exist; none means any.
    fn entries(&self, fields: Option<&[&str]>, except: Option<&str>) -> Result<Entries<'a>, Wrong> {
        let mut left = Vec::new();
        for (name, value) in self.dict()? {
            let key = self.below(name);
            if self.is_hidden(&key) || except == Some(name) {
                continue;
            }
            if fields.is_some_and(|fields| !fields.contains(&name.as_str())) {
                let hint = fields.map(|fields| meant(name, fields));
                self.run.unknown.borrow_mut().insert(key, hint);
                continue;
            }
            left.push((name.as_str(), value));
        }
        left.reverse();
        Ok(Entries {
            run: self.run,
            above: self.key.clone(),
            left,
            value: None,
        })
    }
}

macro_rules! integers {
    ($($method:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
            let highest = i64::try_from(<$type>::MAX).unwrap_or(i64::MAX);
            let lowest = i64::try_from(<$type>::MIN).unwrap_or(i64::MIN);
            visitor.visit_i64(self.integer(lowest, highest)?)
        }
    )*};
}

impl<'a> de::Deserializer<'a> for Reader<'a> {
    type Error = Wrong;

    integers! {
        deserialize_i8 i8, deserialize_i16 i16, deserialize_i32 i32,
        deserialize_i64 i64, deserialize_u8 u8, deserialize_u16 u16,
        deserialize_u32 u32, deserialize_u64 u64
    }

    /// For a value whose type is known only with its resource.
    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.value {
            Value::Bool(_, on) => visitor.visit_bool(*on),
            Value::Num(_, number) => match (whole(*number), number.to_f64()) {
                (Some(whole), _) => visitor.visit_i64(whole),
                (None, Some(float)) if float.is_finite() => visitor.visit_f64(float),
                (None, _) => Err(self.wrong("a number")),
            },
            Value::String(_, text) => visitor.visit_borrowed_str(text),
            Value::Array(..) | Value::Char(..) | Value::Dict(..) | Value::Empty(..) => {
                Err(self.wrong("true, false, a number or a text"))
            }
        }
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let value = match self.variable() {
            Some(text) => text.trim().parse().ok(),
            None => self.value.to_bool(),
        };
        visitor.visit_bool(value.ok_or_else(|| self.wrong("true or false"))?)
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let number = match (self.variable(), self.value) {
            (Some(text), _) => text.trim().parse().ok(),
            (None, Value::Num(_, Num::F32(float))) => Some(f64::from(*float)),
            (None, Value::Num(_, Num::F64(float))) => Some(*float),
            (None, Value::Num(_, number)) => whole(*number).map(|whole| whole as f64),
            (None, _) => None,
        };
        // TOML has inf and nan; no key has a use for them.
        let finite = number.filter(|number: &f64| number.is_finite());
        visitor.visit_f64(finite.ok_or_else(|| self.wrong("a number"))?)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_borrowed_str(
            self.value
                .as_str()
                .ok_or_else(|| self.wrong("a text in quotes"))?,
        )
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let Value::Array(_, items) = self.value else {
            return Err(self.wrong("a list in brackets"));
        };
        let mut left: Vec<(Key, &Value)> = items
            .iter()
            .enumerate()
            .map(|(index, item)| (self.below(&index.to_string()), item))
            .collect();
        left.retain(|(key, _)| !self.is_hidden(key));
        left.reverse();
        visitor.visit_seq(Items {
            run: self.run,
            left,
        })
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_map(self.entries(None, None)?)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_map(self.entries(Some(fields), None)?)
    }

    /// A word, or a table whose kind stands in one of its keys.
    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let Some((_, kind_key)) = KIND_KEYS.iter().find(|(kind, _)| *kind == name) else {
            let word = self
                .value
                .as_str()
                .ok_or_else(|| self.wrong("a word in quotes"))?;
            return visitor
                .visit_enum(IntoDeserializer::<Wrong>::into_deserializer(word))
                .map_err(|wrong| wrong.at(&self.key));
        };
        let dict = self.dict()?;
        let known = || format!("one of {}", words(variants));
        let Some(kind) = dict.get(*kind_key) else {
            return Err(Wrong {
                key: self.key.clone(),
                what: format!("the key `{kind_key}` is missing"),
                hint: Some(known()),
            });
        };
        let key = self.below(kind_key);
        let kind = Reader {
            run: self.run,
            key,
            value: kind,
        };
        let Some(word) = kind.value.as_str() else {
            return Err(kind.wrong(&known()));
        };
        visitor
            .visit_enum(Kind {
                table: self,
                kind: word,
                kind_key,
            })
            .map_err(|wrong| wrong.at(&kind.key))
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        i128 u128 f32 char bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct identifier
    }
}

/// A table whose kind stands in one of its keys, as serde's enum.
struct Kind<'a> {
    table: Reader<'a>,
    kind: &'a str,
    kind_key: &'static str,
}

impl<'a> de::EnumAccess<'a> for Kind<'a> {
    type Error = Wrong;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<(S::Value, Self), Wrong> {
        let word: StrDeserializer<'a, Wrong> = self.kind.into_deserializer();
        Ok((seed.deserialize(word)?, self))
    }
}

impl<'a> de::VariantAccess<'a> for Kind<'a> {
    type Error = Wrong;

    fn newtype_variant_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<S::Value, Wrong> {
        seed.deserialize(Rest {
            table: self.table,
            kind_key: self.kind_key,
        })
    }

    fn unit_variant(self) -> Result<(), Wrong> {
        Err(self.table.wrong("a table"))
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, _: V) -> Result<V::Value, Wrong> {
        Err(self.table.wrong("a table"))
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Wrong> {
        Err(self.table.wrong("a table"))
    }
}

/// The table of a [`Kind`] without the key that says its kind.
struct Rest<'a> {
    table: Reader<'a>,
    kind_key: &'static str,
}

impl<'a> de::Deserializer<'a> for Rest<'a> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'a>>(self, _: V) -> Result<V::Value, Wrong> {
        Err(self.table.wrong("a table"))
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_map(self.table.entries(Some(fields), Some(self.kind_key))?)
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Entries<'a> {
    run: &'a Run<'a>,
    above: Key,
    /// Last first.
    left: Vec<(&'a str, &'a Value)>,
    value: Option<Reader<'a>>,
}

impl<'a> de::MapAccess<'a> for Entries<'a> {
    type Error = Wrong;

    fn next_key_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Wrong> {
        let Some((name, value)) = self.left.pop() else {
            return Ok(None);
        };
        let mut key = self.above.clone();
        key.push(name.to_owned());
        self.value = Some(Reader {
            run: self.run,
            key,
            value,
        });
        let word: StrDeserializer<'a, Wrong> = name.into_deserializer();
        seed.deserialize(word).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        let reader = self
            .value
            .take()
            .expect("serde asks for a value after its key");
        let key = reader.key.clone();
        seed.deserialize(reader).map_err(|wrong| wrong.at(&key))
    }
}

struct Items<'a> {
    run: &'a Run<'a>,
    /// Last first.
    left: Vec<(Key, &'a Value)>,
}

impl<'a> de::SeqAccess<'a> for Items<'a> {
    type Error = Wrong;

    fn next_element_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Wrong> {
        let Some((key, value)) = self.left.pop() else {
            return Ok(None);
        };
        let reader = Reader {
            run: self.run,
            key: key.clone(),
            value,
        };
        seed.deserialize(reader)
            .map(Some)
            .map_err(|wrong| wrong.at(&key))
    }
}

impl Wrong {
    /// The innermost key is the one that is kept.
    fn at(mut self, key: &Key) -> Self {
        if self.key.is_empty() {
            self.key.clone_from(key);
        }
        self
    }

    fn somewhere(what: String, hint: Option<String>) -> Self {
        Self {
            key: Key::new(),
            what,
            hint,
        }
    }
}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::somewhere(message.to_string(), None)
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::somewhere(format!("expected {expected}"), None)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::somewhere(
            format!("unknown value `{variant}`"),
            Some(meant(variant, expected)),
        )
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Wrong {}

pub(super) fn whole(number: Num) -> Option<i64> {
    match (number.to_u128(), number.to_i128()) {
        (Some(unsigned), _) => i64::try_from(unsigned).ok(),
        (None, Some(signed)) => i64::try_from(signed).ok(),
        (None, None) => None,
    }
}

pub(super) fn kind_of(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("the text \"{text}\""),
        Value::Char(_, letter) => format!("the text \"{letter}\""),
        Value::Bool(_, on) => on.to_string(),
        Value::Num(_, number) => match (whole(*number), number.to_f64()) {
            (Some(whole), _) => format!("the number {whole}"),
            (None, Some(float)) => format!("the number {float}"),
            (None, None) => "a number".to_owned(),
        },
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(..) => "a list".to_owned(),
    }
}

fn meant(wrong: &str, known: &[&str]) -> String {
    match nearest(wrong, known.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("known: {}", words(known)),
    }
}

fn words(known: &[&str]) -> String {
    let quoted: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}
