//! Plain text (0): a single value as people write it, opaque as base64.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lamplighter_model::{DataType, Value};

use super::{DecodeError, DecodeErrorKind, Decoded, EncodeError, Frame, Node};

pub(super) fn encode(frame: Frame<'_>, nodes: &[Node]) -> Result<Vec<u8>, EncodeError> {
    let value = frame.single_value(nodes)?;
    let text = match value.as_ref() {
        Value::Boolean(on) => u8::from(*on).to_string(),
        Value::Float(float) if !float.is_finite() => return Err(EncodeError::NotANumber),
        Value::Opaque(bytes) => STANDARD.encode(bytes),
        Value::Corelnk(text) | Value::String(text) => text.clone(),
        value @ (Value::Decimal(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Objlnk(_)
        | Value::Time(_)
        | Value::Unsigned(_)) => value.to_string(),
    };
    Ok(text.into_bytes())
}

pub(super) fn decode(frame: Frame<'_>, payload: &[u8]) -> Result<Decoded, DecodeError> {
    let path = frame.single_target()?;
    let text = std::str::from_utf8(payload)
        .map_err(|error| DecodeErrorKind::BadUtf8.at(error.valid_up_to()))?;
    let value = value(text, frame.data_type(path)).map_err(|kind| kind.at(0))?;
    Ok(frame.single_decoded(path, value))
}

fn value(text: &str, data_type: Option<DataType>) -> Result<Value, DecodeErrorKind> {
    match data_type {
        Some(DataType::Boolean) => match text {
            "0" => Ok(Value::Boolean(false)),
            "1" => Ok(Value::Boolean(true)),
            _ => Err(DecodeErrorKind::Syntax),
        },
        Some(DataType::Corelnk) => Ok(Value::Corelnk(text.to_owned())),
        Some(DataType::Float) => float(text).map(Value::Float),
        Some(DataType::Integer) => integer(text).map(Value::Integer),
        // Zephyr sends the terminator of its strings along.
        Some(DataType::Objlnk) => Ok(Value::Objlnk(text.trim_end_matches('\0').parse()?)),
        Some(DataType::Opaque) => STANDARD
            .decode(text)
            .map(Value::Opaque)
            .map_err(|_| DecodeErrorKind::BadBase64),
        Some(DataType::Time) => integer(text).map(Value::Time),
        Some(DataType::Unsigned) => digits(text)?
            .parse()
            .map(Value::Unsigned)
            .map_err(|_| DecodeErrorKind::OutOfRange),
        Some(DataType::None | DataType::String) | None => Ok(Value::String(text.to_owned())),
    }
}

/// Decimal digits with an optional minus; `+5`, `-0`, `0x10` and blanks are refused. An integral
/// fraction (`20.0`) is tolerated.
fn integer(text: &str) -> Result<i64, DecodeErrorKind> {
    let whole = match text.split_once('.') {
        Some((whole, fraction))
            if !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0') =>
        {
            whole
        }
        Some(_) | None => text,
    };
    digits(whole.strip_prefix('-').unwrap_or(whole))?;
    if whole == "-0" {
        return Err(DecodeErrorKind::Syntax);
    }
    whole.parse().map_err(|_| DecodeErrorKind::OutOfRange)
}

fn digits(text: &str) -> Result<&str, DecodeErrorKind> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text)
    } else {
        Err(DecodeErrorKind::Syntax)
    }
}

/// A decimal number with `.`, an exponent tolerated; no `+`, no `inf`, no `NaN`.
fn float(text: &str) -> Result<f64, DecodeErrorKind> {
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    digits(whole.strip_prefix('-').unwrap_or(whole))?;
    digits(fraction)?;
    digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))?;
    let float: f64 = text.parse().map_err(|_| DecodeErrorKind::Syntax)?;
    if float.is_finite() {
        Ok(float)
    } else {
        Err(DecodeErrorKind::OutOfRange)
    }
}
