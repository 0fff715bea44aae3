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
                let number = if let Value::Decimal(decimal) = value {
                    *decimal
                } else {
                    value.as_f64()?.to_string().parse().ok()?
                };
                Some(quotient(number, self.scale)?.to_string())
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

/// The message of a command: its pattern with the word in the place of `{value}`. A text can say
/// nothing but itself there: in JSON it is escaped, elsewhere it must need no escape. `None`: it does.
pub(super) fn filled(pattern: &str, word: &str, value: &Value) -> Option<String> {
    const PLACE: &str = "{value}";
    let put = |text: &str| pattern.replace(PLACE, text);
    // Numbers are made here, and the words of a Boolean stand in the configuration.
    let is_free = matches!(value, Value::String(_)) && pattern.trim() != PLACE;
    if !is_free {
        return Some(put(word));
    }
    let is_json = |text: &str| serde_json::from_str::<&RawValue>(text).is_ok();
    let quoted = serde_json::to_string(word).ok()?;
    let message = if is_json(&put("x")) {
        put(quoted.strip_prefix('"')?.strip_suffix('"')?)
    } else if is_json(&put("0")) {
        put(&quoted)
    } else {
        let needs_escape = |letter: char| letter.is_control() || matches!(letter, '"' | '\\');
        return (!word.contains(needs_escape)).then(|| put(word));
    };
    is_json(&message).then_some(message)
}

/// Twelve significant digits: more than any device has.
fn quotient(a: Decimal, b: Decimal) -> Option<Decimal> {
    const DIGITS: u128 = 1_000_000_000_000;
    let is_negative = (a.mantissa < 0) != (b.mantissa < 0);
    let (mut above, below) = (
        u128::from(a.mantissa.unsigned_abs()),
        u128::from(b.mantissa.unsigned_abs()),
    );
    let mut exponent = i32::from(a.exponent) - i32::from(b.exponent);
    if above == 0 {
        return Some(Decimal::from(0));
    }
    // Eighteen digits at least: mantissas have nineteen at most.
    while above < u128::MAX / 10 {
        above *= 10;
        exponent -= 1;
    }
    let mut digits = above.checked_div(below)?;
    let mut unit = 1;
    while digits / unit >= DIGITS {
        unit *= 10;
        exponent += 1;
    }
    digits = (digits + unit / 2) / unit;
    while digits % 10 == 0 {
        digits /= 10;
        exponent += 1;
    }
    let mantissa = i64::try_from(digits).ok()?;
    let mantissa = if is_negative { -mantissa } else { mantissa };
    Some(Decimal::new(mantissa, i8::try_from(exponent).ok()?))
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
        for (mantissa, exponent, value, word) in [
            (1, 6, 0.4, "0.0000004"),
            (3, 0, 1.0, "0.333333333333"),
            (-7, 0, 2.0, "-0.285714285714"),
            (1, -9, 9_007_199_254_740_993.0, "9007199254740000000000000"),
            (60, 0, 0.0, "0"),
        ] {
            let scaled = Form {
                scale: Decimal::new(mantissa, exponent),
                ..form("", DataType::Float)
            };
            let said = scaled.encode(&Value::Float(value));
            assert_eq!(
                said.as_deref(),
                Some(word),
                "{value} / {mantissa}e{exponent}"
            );
        }
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

    #[test]
    fn a_text_says_nothing_but_itself_in_a_message() {
        let evil = r#"a","state":"ON"#;
        for (pattern, text, message) in [
            ("{value}", evil, Some(evil)),
            (
                r#"{"text":"{value}"}"#,
                evil,
                Some(r#"{"text":"a\",\"state\":\"ON"}"#),
            ),
            (r#"{"mode":{value}}"#, "heat", Some(r#"{"mode":"heat"}"#)),
            ("[{value}]", "1,2", Some(r#"["1,2"]"#)),
            (r#"{"a":"{value}","b":{value}}"#, "x", None),
            ("text {value}", "a b", Some("text a b")),
            ("text '{value}", "a\"", None),
            ("text {value}", "a\\", None),
            ("text {value}", "a\nreset", None),
        ] {
            let value = Value::String(text.to_owned());
            let said = filled(pattern, text, &value);
            assert_eq!(said.as_deref(), message, "{text} in {pattern}");
        }
        let said = filled(r#"{"state":"{value}"}"#, "ON", &Value::Boolean(true));
        assert_eq!(said.as_deref(), Some(r#"{"state":"ON"}"#));
    }

    proptest! {
        #[test]
        fn a_text_in_a_message_reads_back(text: String) {
            let message = filled(r#"{"a":["{value}"],"b":1}"#, &text, &Value::String(text.clone()));
            prop_assert_eq!(field(&message.unwrap(), "/a/0"), Ok(text));
        }

        #[test]
        fn no_quotient_panics(a: i64, b: i64, x: i8, y: i8) {
            let _ = quotient(Decimal::new(a, x), Decimal::new(b, y));
        }

        #[test]
        fn no_message_panics(payload: Vec<u8>, pointer in "(/[a-z0-9~]{0,3}){0,4}") {
            for data_type in [DataType::Boolean, DataType::Float, DataType::Integer, DataType::String] {
                let _ = form(&pointer, data_type).decode(&payload);
            }
        }
    }
}
