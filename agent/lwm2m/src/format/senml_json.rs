//! SenML in JSON (110): RFC 8428, 5.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lamplighter_model::{Decimal, Value};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    DecodeError, DecodeErrorKind, EncodeError, MAX_VALUES, json,
    senml::{self, Notation, Record},
};

pub(super) fn encode(records: &[Record<'_>]) -> Result<Vec<u8>, EncodeError> {
    let mut out = String::from("[");
    for (number, record) in records.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        write_record(&mut out, record)?;
    }
    out.push(']');
    Ok(out.into_bytes())
}

fn write_record(out: &mut String, record: &Record<'_>) -> Result<(), EncodeError> {
    let mut fields = Vec::with_capacity(5);
    if let Some(name) = &record.base_name {
        fields.push(format!("\"bn\":{}", json::quoted(name)));
    }
    if let Some(time) = record.base_time {
        fields.push(format!("\"bt\":{}", Decimal::new(time, -3)));
    }
    if let Some(name) = &record.name {
        fields.push(format!("\"n\":{}", json::quoted(name)));
    }
    if let Some(time) = record.time {
        fields.push(format!("\"t\":{}", Decimal::new(time, -3)));
    }
    if let Some(value) = &record.value {
        fields.push(write_value(value)?);
    }
    out.push('{');
    out.push_str(&fields.join(","));
    out.push('}');
    Ok(())
}

fn write_value(value: &Value) -> Result<String, EncodeError> {
    Ok(match value {
        Value::Boolean(on) => format!("\"vb\":{on}"),
        Value::Corelnk(text) | Value::String(text) => format!("\"vs\":{}", json::quoted(text)),
        Value::Decimal(decimal) => format!("\"v\":{decimal}"),
        Value::Float(float) => format!("\"v\":{}", json::float(*float)?),
        Value::Integer(integer) | Value::Time(integer) => format!("\"v\":{integer}"),
        Value::Objlnk(link) => format!("\"vlo\":\"{link}\""),
        Value::Opaque(bytes) => format!("\"vd\":\"{}\"", URL_SAFE_NO_PAD.encode(bytes)),
        Value::Unsigned(unsigned) => format!("\"v\":{unsigned}"),
    })
}

/// SenML in JSON, to be read.
pub(super) struct Json;

impl Notation for Json {
    fn read_records(
        payload: &[u8],
        mut take: impl FnMut(Record<'_>) -> Result<(), DecodeErrorKind>,
    ) -> Result<(), DecodeError> {
        let text = json::text(payload)?;
        let records: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|error| json::syntax(text, &error))?;
        if records.len() > MAX_VALUES {
            return Err(DecodeErrorKind::TooLarge.at(0));
        }
        for record in records {
            read_record(record.get())
                .and_then(&mut take)
                .map_err(|kind| kind.at(json::offset(text, record)))?;
        }
        Ok(())
    }
}

fn read_record(text: &str) -> Result<Record<'static>, DecodeErrorKind> {
    let Fields(fields) = serde_json::from_str(text).map_err(|_| DecodeErrorKind::Syntax)?;
    let mut record = Record::default();
    for (key, value) in fields {
        match key {
            Key::BaseName => record.base_name = Some(string(value)?.into()),
            Key::BaseTime => record.base_time = Some(senml::milliseconds(&number(&value)?)?),
            Key::BaseValue | Key::Mandatory => return Err(DecodeErrorKind::Unsupported),
            Key::Boolean => record.set_value(Value::Boolean(
                value.as_bool().ok_or(DecodeErrorKind::WrongType)?,
            ))?,
            Key::Data => record.set_value(Value::Opaque(json::base64(&string(value)?)?))?,
            Key::Name => record.name = Some(string(value)?.into()),
            Key::Number if value.is_null() => record.set_null()?,
            Key::Number => record.set_value(number(&value)?)?,
            Key::ObjectLink => {
                // Zephyr sends the terminator of its strings along.
                record.set_value(Value::Objlnk(
                    string(value)?.trim_end_matches('\0').parse()?,
                ))?;
            }
            Key::Other => {}
            Key::String => record.set_value(Value::String(string(value)?))?,
            Key::Time => record.time = Some(senml::milliseconds(&number(&value)?)?),
            Key::Version if number(&value)?.as_f64() > Some(senml::VERSION as f64) => {
                return Err(DecodeErrorKind::Unsupported);
            }
            Key::Version => {}
        }
    }
    Ok(record)
}

fn string(value: serde_json::Value) -> Result<String, DecodeErrorKind> {
    match value {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::Array(_)
        | serde_json::Value::Object(_) => Err(DecodeErrorKind::WrongType),
    }
}

fn number(value: &serde_json::Value) -> Result<Value, DecodeErrorKind> {
    json::number(value.as_number().ok_or(DecodeErrorKind::WrongType)?)
}

/// The fields of a record that mean something, each at most once.
struct Fields(Vec<(Key, serde_json::Value)>);

/// Labels of RFC 8428, table 1, and OMA's `vlo`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Key {
    BaseName,
    BaseTime,
    BaseValue,
    Boolean,
    Data,
    /// A name that ends in `_` and must be understood (RFC 8428, 4.4).
    Mandatory,
    Name,
    Number,
    ObjectLink,
    Other,
    String,
    Time,
    Version,
}

impl Key {
    fn new(label: &str) -> Self {
        match label {
            "bn" => Self::BaseName,
            "bt" => Self::BaseTime,
            "bv" => Self::BaseValue,
            "bver" => Self::Version,
            "n" => Self::Name,
            "t" => Self::Time,
            "v" => Self::Number,
            "vb" => Self::Boolean,
            "vd" => Self::Data,
            "vlo" => Self::ObjectLink,
            "vs" => Self::String,
            label if label.ends_with('_') => Self::Mandatory,
            _ => Self::Other,
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a SenML record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields: Vec<(Key, serde_json::Value)> = Vec::new();
                while let Some(label) = map.next_key::<String>()? {
                    let key = Key::new(&label);
                    if key == Key::Other {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if fields.iter().any(|(seen, _)| *seen == key) {
                        return Err(A::Error::custom("a field twice"));
                    }
                    fields.push((key, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}
