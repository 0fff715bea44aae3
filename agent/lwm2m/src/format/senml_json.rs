//! SenML in JSON (110): RFC 8428, 5.

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{
        DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD,
    },
};
use lamplighter_model::{Decimal, Value};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    DecodeError, DecodeErrorKind, Decoded, EncodeError, Frame, MAX_VALUES, Node,
    senml::{self, Placer, Record},
};

const BASE64_ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn encode(frame: Frame<'_>, nodes: &[Node]) -> Result<Vec<u8>, EncodeError> {
    let mut out = String::from("[");
    for (number, record) in senml::records(frame, nodes)?.iter().enumerate() {
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
        fields.push(format!("\"bn\":{}", quoted(name)));
    }
    if let Some(time) = record.base_time {
        fields.push(format!("\"bt\":{}", Decimal::new(time, -3)));
    }
    if let Some(name) = &record.name {
        fields.push(format!("\"n\":{}", quoted(name)));
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
        Value::Corelnk(text) | Value::String(text) => format!("\"vs\":{}", quoted(text)),
        Value::Decimal(decimal) => format!("\"v\":{decimal}"),
        Value::Float(float) if !float.is_finite() => return Err(EncodeError::NotANumber),
        // Plain digits as long as they are few.
        Value::Float(float) if *float == 0.0 || (1e-7..1e17).contains(&float.abs()) => {
            format!("\"v\":{float}")
        }
        Value::Float(float) => format!("\"v\":{float:e}"),
        Value::Integer(integer) | Value::Time(integer) => format!("\"v\":{integer}"),
        Value::Objlnk(link) => format!("\"vlo\":\"{link}\""),
        Value::Opaque(bytes) => format!("\"vd\":\"{}\"", URL_SAFE_NO_PAD.encode(bytes)),
        Value::Unsigned(unsigned) => format!("\"v\":{unsigned}"),
    })
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(super) fn decode(frame: Frame<'_>, payload: &[u8]) -> Result<Decoded, DecodeError> {
    let text = std::str::from_utf8(payload)
        .map_err(|error| DecodeErrorKind::BadUtf8.at(error.valid_up_to()))?;
    let records: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|error| syntax(text, &error))?;
    if records.len() > MAX_VALUES {
        return Err(DecodeErrorKind::TooLarge.at(0));
    }
    let mut placer = Placer::new(frame);
    for record in records {
        let record = record.get();
        let offset = record.as_ptr().addr() - text.as_ptr().addr();
        read_record(record)
            .and_then(|record| placer.place(record))
            .map_err(|kind| kind.at(offset))?;
    }
    placer.finish()
}

fn syntax(text: &str, error: &serde_json::Error) -> DecodeError {
    if error.is_eof() {
        return DecodeErrorKind::Truncated.at(text.len());
    }
    let before: usize = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    DecodeErrorKind::Syntax.at((before + error.column().saturating_sub(1)).min(text.len()))
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
            Key::Data => record.set_value(Value::Opaque(data(&string(value)?)?))?,
            Key::Name => record.name = Some(string(value)?.into()),
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

/// Whole numbers of 64 bits stay whole.
fn number(value: &serde_json::Value) -> Result<Value, DecodeErrorKind> {
    let integer = value.as_i64().map(Value::Integer);
    let unsigned = || value.as_u64().map(Value::Unsigned);
    let float = || value.as_f64().map(Value::Float);
    integer
        .or_else(unsigned)
        .or_else(float)
        .ok_or(DecodeErrorKind::WrongType)
}

/// Base64url without padding; examples of LwM2M 1.2.0 have the other alphabet and padding.
fn data(text: &str) -> Result<Vec<u8>, DecodeErrorKind> {
    let url_safe = text.replace('+', "-").replace('/', "_");
    BASE64_ANY_PADDING
        .decode(url_safe)
        .map_err(|_| DecodeErrorKind::BadBase64)
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
