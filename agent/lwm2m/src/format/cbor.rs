//! Single values in CBOR (RFC 8949), for all formats that are made of it.

use std::convert::Infallible;

use lamplighter_model::{DataType, Decimal, Value};
use minicbor::{
    data::{Tag, Type},
    decode, encode,
};

use super::{DecodeErrorKind, EncodeError};

pub(super) type Reader<'b> = minicbor::Decoder<'b>;
pub(super) type Writer = minicbor::Encoder<Vec<u8>>;
pub(super) type Written = Result<(), encode::Error<Infallible>>;

/// Days from year 0 to 1970-01-01 in the proleptic Gregorian calendar.
const EPOCH_DAYS: i64 = 719_528;

/// What the reader says of malformed input.
pub(super) fn error_kind(error: &decode::Error) -> DecodeErrorKind {
    if error.is_end_of_input() {
        DecodeErrorKind::Truncated
    } else if error.is_type_mismatch() {
        DecodeErrorKind::WrongType
    } else {
        DecodeErrorKind::Syntax
    }
}

/// Whether an array or map has no more elements; takes the break of an indefinite one.
pub(super) fn at_end(
    reader: &mut Reader<'_>,
    count: Option<u64>,
    done: u64,
) -> Result<bool, DecodeErrorKind> {
    if let Some(count) = count {
        return Ok(done == count);
    }
    let kind = reader.datatype().map_err(|error| error_kind(&error))?;
    if kind == Type::Break {
        reader.set_position(reader.position() + 1);
    }
    Ok(kind == Type::Break)
}

/// Reads one value of any kind.
pub(super) fn read_value(reader: &mut Reader<'_>) -> Result<Value, DecodeErrorKind> {
    let kind = reader.datatype().map_err(|error| error_kind(&error))?;
    if kind == Type::Tag {
        return read_tagged(reader);
    }
    read_untagged(reader, kind)
}

fn read_untagged(reader: &mut Reader<'_>, kind: Type) -> Result<Value, DecodeErrorKind> {
    let value = match kind {
        Type::Bool => reader.bool().map(Value::Boolean),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => reader
            .u64()
            .map(|value| i64::try_from(value).map_or(Value::Unsigned(value), Value::Integer)),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => reader.i64().map(Value::Integer),
        Type::F16 => return finite(reader.f16().map(f64::from)),
        Type::F32 => return finite(reader.f32().map(f64::from)),
        Type::F64 => return finite(reader.f64()),
        Type::Bytes | Type::BytesIndef => read_bytes(reader).map(Value::Opaque),
        Type::String | Type::StringIndef => return read_text(reader).map(Value::String),
        // A negative number beyond 64 bits.
        Type::Int => return Err(DecodeErrorKind::OutOfRange),
        Type::Break | Type::Unknown(_) => return Err(DecodeErrorKind::Syntax),
        Type::Null
        | Type::Undefined
        | Type::Simple
        | Type::Array
        | Type::ArrayIndef
        | Type::Map
        | Type::MapIndef
        | Type::Tag => return Err(DecodeErrorKind::WrongType),
    };
    value.map_err(|error| error_kind(&error))
}

/// RFC 8949, 3.4: times (0, 1) and decimal fractions (4); nothing else means a value to us.
fn read_tagged(reader: &mut Reader<'_>) -> Result<Value, DecodeErrorKind> {
    let tag = reader.tag().map_err(|error| error_kind(&error))?;
    let (date, epoch, fraction) = (Tag::new(0), Tag::new(1), Tag::new(4));
    if tag == date {
        let text = read_text(reader)?;
        return unix_seconds(&text)
            .map(Value::Time)
            .ok_or(DecodeErrorKind::Syntax);
    }
    if tag == fraction {
        return read_fraction(reader);
    }
    if tag != epoch {
        return Err(DecodeErrorKind::Unsupported);
    }
    let kind = reader.datatype().map_err(|error| error_kind(&error))?;
    match read_untagged(reader, kind)? {
        Value::Integer(seconds) => Ok(Value::Time(seconds)),
        value @ Value::Float(_) => Ok(value),
        Value::Boolean(_)
        | Value::Corelnk(_)
        | Value::Decimal(_)
        | Value::Objlnk(_)
        | Value::Opaque(_)
        | Value::String(_)
        | Value::Time(_)
        | Value::Unsigned(_) => Err(DecodeErrorKind::WrongType),
    }
}

/// An array of exponent and mantissa.
fn read_fraction(reader: &mut Reader<'_>) -> Result<Value, DecodeErrorKind> {
    if reader.array().map_err(|error| error_kind(&error))? != Some(2) {
        return Err(DecodeErrorKind::Syntax);
    }
    let exponent = reader.i8().map_err(|_| DecodeErrorKind::OutOfRange)?;
    let mantissa = reader.i64().map_err(|_| DecodeErrorKind::OutOfRange)?;
    Ok(Value::Decimal(Decimal::new(mantissa, exponent)))
}

/// The value as the type of its definition, where links between objects are texts.
pub(super) fn typed(value: Value, data_type: Option<DataType>) -> Result<Value, DecodeErrorKind> {
    match (data_type, value) {
        // Zephyr sends the terminator of its strings along.
        (Some(DataType::Objlnk), Value::String(text)) => {
            Ok(Value::Objlnk(text.trim_end_matches('\0').parse()?))
        }
        (data_type, value) => super::typed(value, data_type),
    }
}

fn finite(float: Result<f64, decode::Error>) -> Result<Value, DecodeErrorKind> {
    let float = float.map_err(|error| error_kind(&error))?;
    if float.is_finite() {
        Ok(Value::Float(float))
    } else {
        Err(DecodeErrorKind::NotANumber)
    }
}

fn read_bytes(reader: &mut Reader<'_>) -> Result<Vec<u8>, decode::Error> {
    let mut bytes = Vec::new();
    for chunk in reader.bytes_iter()? {
        bytes.extend(chunk?);
    }
    Ok(bytes)
}

/// A text of definite or indefinite length.
pub(super) fn read_text(reader: &mut Reader<'_>) -> Result<String, DecodeErrorKind> {
    // The reader has no kind of its own for bad UTF-8.
    let kind = |error: decode::Error| {
        let kind = error_kind(&error);
        if kind == DecodeErrorKind::Syntax {
            DecodeErrorKind::BadUtf8
        } else {
            kind
        }
    };
    let mut text = String::new();
    for chunk in reader.str_iter().map_err(kind)? {
        text.push_str(chunk.map_err(kind)?);
    }
    Ok(text)
}

/// Runs `write` over a new payload.
pub(super) fn written(write: impl FnOnce(&mut Writer) -> Written) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    write(&mut writer).expect("a vector takes every byte");
    writer.into_writer()
}

/// Refuses what CBOR could carry and the standard does not.
pub(super) fn check(value: &Value) -> Result<(), EncodeError> {
    match value {
        Value::Float(float) if !float.is_finite() => Err(EncodeError::NotANumber),
        Value::Boolean(_)
        | Value::Corelnk(_)
        | Value::Decimal(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Objlnk(_)
        | Value::Opaque(_)
        | Value::String(_)
        | Value::Time(_)
        | Value::Unsigned(_) => Ok(()),
    }
}

/// Writes one value: numbers in the fewest bytes that keep them, times untagged.
pub(super) fn write_value(writer: &mut Writer, value: &Value) -> Written {
    match value {
        Value::Boolean(on) => writer.bool(*on)?,
        Value::Corelnk(text) | Value::String(text) => writer.str(text)?,
        Value::Decimal(decimal) => return write_decimal(writer, *decimal),
        Value::Float(float) => return write_float(writer, *float),
        Value::Integer(integer) | Value::Time(integer) => writer.i64(*integer)?,
        Value::Objlnk(link) => writer.str(&link.to_string())?,
        Value::Opaque(bytes) => writer.bytes(bytes)?,
        Value::Unsigned(unsigned) => writer.u64(*unsigned)?,
    };
    Ok(())
}

/// A float where it says exactly the digits, since servers exist that take no integer for a Float
/// resource (Leshan 2.0.0-M18); else the integer, which counts on where floats have gaps.
fn write_decimal(writer: &mut Writer, decimal: Decimal) -> Written {
    let float = decimal.to_f64();
    let is_exact = float.to_string().parse() == Ok(decimal);
    match decimal.to_integer() {
        Some(integer) if !is_exact => writer.i64(integer).map(|_| ()),
        Some(_) | None => write_float(writer, float),
    }
}

pub(super) fn write_float(writer: &mut Writer, float: f64) -> Written {
    let short = float as f32;
    if f64::from(short) != float {
        writer.f64(float)?;
    } else if survives_half(short) {
        writer.f16(short)?;
    } else {
        writer.f32(short)?;
    }
    Ok(())
}

fn survives_half(float: f32) -> bool {
    let mut half = [0; 3];
    let written = minicbor::Encoder::new(half.as_mut_slice())
        .f16(float)
        .is_ok();
    written && Reader::new(&half).f16().is_ok_and(|read| read == float)
}

/// Seconds since 1970 of an RFC 3339 time, fractions dropped.
fn unix_seconds(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            digits.parse::<i64>().ok()
        } else {
            None
        }
    };
    let byte = |at: usize| text.as_bytes().get(at).copied();
    let separators = [(4, b"-"), (7, b"-"), (10, b"T"), (13, b":"), (16, b":")];
    if separators
        .iter()
        .any(|(at, mark)| byte(*at).map(|byte| byte.to_ascii_uppercase()) != Some(mark[0]))
    {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let valid = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let zone = text
        .get(19..)?
        .trim_start_matches(['.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    let offset = match zone.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), a, b, b':', c, d]
            if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()) =>
        {
            let digit = |byte: &u8| i64::from(byte - b'0');
            let seconds = (digit(a) * 10 + digit(b)) * 3600 + (digit(c) * 10 + digit(d)) * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    valid.then(|| days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

/// Days since 1970-01-01. Years are counted from March so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 + 60 - EPOCH_DAYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_as_text_is_a_time() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2013-05-02T12:00:00+02:00", 1_367_488_800),
            ("2000-02-29T23:59:59.5Z", 951_868_799),
            ("1969-12-31T23:59:59z", -1),
        ] {
            assert_eq!(unix_seconds(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "2013-05-02",
            "2013-13-02T12:00:00Z",
            "2013-05-02T12:00:00",
            "２013-05-02T12:00:00Z",
        ] {
            assert_eq!(unix_seconds(text), None, "{text}");
        }
    }
}
