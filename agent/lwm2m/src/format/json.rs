//! What the formats made of JSON share.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use lamplighter_model::Value;
use serde_json::{Number, value::RawValue};

use super::{DecodeError, DecodeErrorKind, EncodeError};

const BASE64_ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Plain digits as long as they are few.
pub(super) fn float(float: f64) -> Result<String, EncodeError> {
    if !float.is_finite() {
        return Err(EncodeError::NotANumber);
    }
    Ok(if float == 0.0 || (1e-7..1e17).contains(&float.abs()) {
        float.to_string()
    } else {
        format!("{float:e}")
    })
}

/// The payload as text.
pub(super) fn text(payload: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(payload).map_err(|error| DecodeErrorKind::BadUtf8.at(error.valid_up_to()))
}

/// Whether the text is an array, which serde takes for a struct too: its fields in order.
pub(super) fn is_array(text: &str) -> bool {
    text.trim_start().starts_with('[')
}

/// Where in the text the parser stopped.
pub(super) fn syntax(text: &str, error: &serde_json::Error) -> DecodeError {
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

/// Where a part of the text begins.
pub(super) fn offset(text: &str, part: &RawValue) -> usize {
    part.get()
        .as_ptr()
        .addr()
        .saturating_sub(text.as_ptr().addr())
}

/// Whole numbers of 64 bits stay whole.
pub(super) fn number(number: &Number) -> Result<Value, DecodeErrorKind> {
    let integer = number.as_i64().map(Value::Integer);
    let unsigned = || number.as_u64().map(Value::Unsigned);
    let float = || number.as_f64().map(Value::Float);
    integer
        .or_else(unsigned)
        .or_else(float)
        .ok_or(DecodeErrorKind::OutOfRange)
}

/// Base64url without padding; examples of LwM2M 1.2.0 and all of LwM2M JSON have the other alphabet
/// and padding.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, DecodeErrorKind> {
    let url_safe = text.replace('+', "-").replace('/', "_");
    BASE64_ANY_PADDING
        .decode(url_safe)
        .map_err(|_| DecodeErrorKind::BadBase64)
}
