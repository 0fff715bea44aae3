//! What stands in a message: the place of a value in it, and the value as words or number.

use lamplighter_model::{DataType, Decimal, Value};
use serde_json::value::RawValue;

/// Larger messages are not looked at.
pub const PAYLOAD_MAX: usize = 65_536;

/// How the value of a point stands in messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// Where in a JSON message (RFC 6901); empty: the message is the value.
    pub field: String,
    pub data_type: DataType,
    /// Words of a Boolean.
    pub on: String,
    pub off: String,
    /// Value = number × scale.
    pub scale: Decimal,
}

/// Why a message brings no value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoValue {
    /// It has no such field: other messages of the topic may.
    Absent,
    /// It is no JSON, not in UTF-8, too large.
    Garbled,
    /// What stands there is no value of this type.
    WrongType,
}

impl Form {
    /// The value that a message brings.
    ///
    /// # Errors
    /// It brings none.
    pub fn decode(&self, payload: &[u8]) -> Result<Value, NoValue> {
        if payload.len() > PAYLOAD_MAX {
            return Err(NoValue::Garbled);
        }
        let text = std::str::from_utf8(payload).map_err(|_| NoValue::Garbled)?;
        let text = if self.field.is_empty() {
            text.trim().to_owned()
        } else {
            field(text, &self.field)?
        };
        self.value(&text).ok_or(NoValue::WrongType)
    }

    /// The text of a value for a command; `None` where it cannot be said.
    pub fn encode(&self, value: &Value) -> Option<String> {
        match (self.data_type, value) {
            (DataType::Boolean, Value::Boolean(true)) => Some(self.on.clone()),
            (DataType::Boolean, Value::Boolean(false)) => Some(self.off.clone()),
            (DataType::String, Value::String(text)) => Some(text.clone()),
            (DataType::Float | DataType::Integer | DataType::Unsigned, value) => self.number(value),
            (
                DataType::Boolean
                | DataType::Corelnk
                | DataType::None
                | DataType::Objlnk
                | DataType::Opaque
                | DataType::String
                | DataType::Time,
                _,
            ) => None,
        }
    }

    fn value(&self, text: &str) -> Option<Value> {
        match self.data_type {
            DataType::Boolean if text == self.on => Some(Value::Boolean(true)),
            DataType::Boolean if text == self.off => Some(Value::Boolean(false)),
            DataType::String => Some(Value::String(text.to_owned())),
            DataType::Float | DataType::Integer | DataType::Unsigned => {
                let number: Decimal = text.parse().ok()?;
                let value = Value::Decimal(times(number, self.scale)?);
                value.fit(self.data_type).ok()
            }
            DataType::Boolean
            | DataType::Corelnk
            | DataType::None
            | DataType::Objlnk
            | DataType::Opaque
            | DataType::Time => None,
        }
    }

    fn number(&self, value: &Value) -> Option<String> {
        let plain = self.scale == Decimal::from(1);
        match value {
            value if !plain => {
                let number = value.as_f64()? / self.scale.to_f64();
                // Twelve digits are more than any device has; the rest is what floats leave over.
                let rounded = format!("{number:.6}");
                let number: Decimal = rounded.parse().ok()?;
                Some(number.to_string())
            }
            Value::Decimal(decimal) => Some(decimal.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Unsigned(number) => Some(number.to_string()),
            Value::Boolean(_)
            | Value::Corelnk(_)
            | Value::Objlnk(_)
            | Value::Opaque(_)
            | Value::String(_)
            | Value::Time(_) => None,
        }
    }
}

/// What stands at a place of a JSON text: a text without its quotes, anything else as it is written,
/// so that numbers keep their digits.
pub fn field(text: &str, pointer: &str) -> Result<String, NoValue> {
    let mut here: &RawValue = serde_json::from_str(text).map_err(|_| NoValue::Garbled)?;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        here = below(here, &step)?.ok_or(NoValue::Absent)?;
    }
    let raw = here.get();
    if raw.starts_with('"') {
        return serde_json::from_str(raw).map_err(|_| NoValue::Garbled);
    }
    Ok(raw.to_owned())
}

fn below<'a>(here: &'a RawValue, step: &str) -> Result<Option<&'a RawValue>, NoValue> {
    let raw = here.get();
    if raw.starts_with('{') {
        let object: std::collections::BTreeMap<std::borrow::Cow<'_, str>, &RawValue> =
            serde_json::from_str(raw).map_err(|_| NoValue::Garbled)?;
        return Ok(object.get(step).copied());
    }
    if raw.starts_with('[') {
        let list: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| NoValue::Garbled)?;
        let at: Option<usize> = step.parse().ok();
        return Ok(at.and_then(|at| list.get(at).copied()));
    }
    Ok(None)
}

/// Exact where the digits have room.
fn times(a: Decimal, b: Decimal) -> Option<Decimal> {
    let (a, b) = (a.normalized(), b.normalized());
    let mantissa = a.mantissa.checked_mul(b.mantissa)?;
    let exponent = a.exponent.checked_add(b.exponent)?;
    Some(Decimal::new(mantissa, exponent))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(field: &str, data_type: DataType) -> Form {
        Form {
            field: field.to_owned(),
            data_type,
            on: "ON".to_owned(),
            off: "OFF".to_owned(),
            scale: Decimal::from(1),
        }
    }

    #[test]
    fn values_are_found_where_they_stand() {
        let sensor =
            br#"{"Time":"2026","ENERGY":{"Total":12345.678,"Power":[7, 8]},"a/b":{"~":"x"}}"#;
        for (pointer, data_type, expected) in [
            (
                "/ENERGY/Total",
                DataType::Float,
                Ok(Value::Decimal(Decimal::new(12_345_678, -3))),
            ),
            ("/ENERGY/Power/1", DataType::Integer, Ok(Value::Integer(8))),
            (
                "/a~1b/~0",
                DataType::String,
                Ok(Value::String("x".to_owned())),
            ),
            ("/ENERGY/Voltage", DataType::Float, Err(NoValue::Absent)),
            ("/ENERGY", DataType::Float, Err(NoValue::WrongType)),
            ("/Time/deeper", DataType::Float, Err(NoValue::Absent)),
        ] {
            assert_eq!(
                form(pointer, data_type).decode(sensor),
                expected,
                "{pointer}"
            );
        }
        assert_eq!(
            form("/x", DataType::Float).decode(b"{\"x\":"),
            Err(NoValue::Garbled)
        );
        let plain = form("", DataType::Boolean);
        assert_eq!(plain.decode(b"ON"), Ok(Value::Boolean(true)));
        assert_eq!(plain.decode(b" OFF\n"), Ok(Value::Boolean(false)));
        assert_eq!(plain.decode(b"on"), Err(NoValue::WrongType));
        assert_eq!(plain.decode(&[0xff]), Err(NoValue::Garbled));
        assert_eq!(
            form("", DataType::String).decode(&vec![b'x'; PAYLOAD_MAX + 1]),
            Err(NoValue::Garbled)
        );
    }

    #[test]
    fn numbers_are_scaled_exactly_both_ways() {
        let scaled = Form {
            scale: Decimal::new(1, -1),
            ..form("", DataType::Float)
        };
        assert_eq!(
            scaled.decode(b"215"),
            Ok(Value::Decimal(Decimal::new(215, -1)))
        );
        assert_eq!(scaled.encode(&Value::Float(21.5)).as_deref(), Some("215"));
        assert_eq!(
            form("", DataType::Float)
                .encode(&Value::Float(0.1))
                .as_deref(),
            Some("0.1")
        );
        assert_eq!(
            form("", DataType::Boolean)
                .encode(&Value::Boolean(true))
                .as_deref(),
            Some("ON")
        );
    }

    proptest! {
        #[test]
        fn no_message_panics(payload: Vec<u8>, pointer in "(/[a-z0-9~]{0,3}){0,4}") {
            for data_type in [DataType::Boolean, DataType::Float, DataType::Integer, DataType::String] {
                let _ = form(&pointer, data_type).decode(&payload);
            }
        }
    }
}
