//! Values of COSEM attributes, exact.

use std::fmt;

use dlms_cosem_rs::axdr::{Data, DateTime};
use lamplighter_model::Decimal;

/// A value as a meter sends it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value {
    Boolean(bool),
    /// Whole, or a decimal fraction.
    Number(Decimal),
    Text(String),
    /// Something that is none of these, such as a table.
    Other(&'static str),
}

impl Value {
    pub(super) fn of(data: &Data<'_>) -> Self {
        if let Some(number) = data.as_i64() {
            return Self::Number(number.into());
        }
        match data {
            Data::Boolean(state) => Self::Boolean(*state),
            Data::OctetString(bytes) => octets(bytes),
            Data::VisibleString(bytes) | Data::Utf8String(bytes) => {
                Self::Text(String::from_utf8_lossy(bytes).trim().to_owned())
            }
            Data::Bcd(_) => data
                .as_bcd()
                .map_or(Self::Other("no decimal digits"), |digits| {
                    Self::Number(i64::from(digits).into())
                }),
            // The shortest digits that name this number.
            Data::Float32(number) => decimal(&number.to_string()),
            Data::Float64(number) => decimal(&number.to_string()),
            Data::DateTime(time) => Self::Text(time.to_string()),
            Data::Date(date) => Self::Text(date.to_string()),
            Data::Time(time) => Self::Text(time.to_string()),
            Data::BitString(bits) => Self::Text(hex(bits.as_bytes())),
            Data::Null | Data::DontCare => Self::Other("no value"),
            Data::Array(_) | Data::CompactArray(_) => Self::Other("a table"),
            Data::Structure(_) => Self::Other("a structure"),
            Data::Long64Unsigned(_) => Self::Other("too large a number"),
            Data::DeltaDoubleLong(_)
            | Data::DeltaDoubleLongUnsigned(_)
            | Data::DeltaInteger(_)
            | Data::DeltaLong(_)
            | Data::DeltaLongUnsigned(_)
            | Data::DeltaUnsigned(_)
            | Data::DoubleLong(_)
            | Data::DoubleLongUnsigned(_)
            | Data::Enum(_)
            | Data::Integer(_)
            | Data::Long(_)
            | Data::Long64(_)
            | Data::LongUnsigned(_)
            | Data::Unsigned(_) => Self::Other("no number"),
        }
    }

    /// Times ten to this power, where it is a number.
    pub(super) fn scaled(self, power: i8) -> Self {
        match self {
            Self::Number(number) => number
                .scaled(power)
                .map_or(Self::Other("too large a number"), Self::Number),
            other @ (Self::Boolean(_) | Self::Other(_) | Self::Text(_)) => other,
        }
    }
}

/// The scaler and the number of the unit (IEC 62056-62, `scal_unit_type`).
pub(super) fn scaler_and_unit(data: &Data<'_>) -> Option<(i8, u8)> {
    let pair = data.as_structure()?;
    let (scaler, unit) = (pair.get(0).ok()?, pair.get(1).ok()?);
    let scaler = i8::try_from(scaler.as_i64()?).ok()?;
    let unit = u8::try_from(unit.as_i64()?).ok()?;
    (pair.len() == 2).then_some((scaler, unit))
}

/// Twelve bytes that make a time are one; text is text; anything else is bytes.
fn octets(bytes: &[u8]) -> Value {
    let is_text = !bytes.is_empty() && bytes.iter().all(|byte| (0x20..0x7F).contains(byte));
    if is_text {
        return Value::Text(String::from_utf8_lossy(bytes).trim().to_owned());
    }
    if let Ok(bytes) = <[u8; 12]>::try_from(bytes) {
        let time = DateTime::from_bytes(bytes);
        let is_time = (1..=12).contains(&bytes[2]) && (1..=31).contains(&bytes[3]) && bytes[5] < 24;
        if is_time {
            return Value::Text(time.to_string());
        }
    }
    Value::Text(hex(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn decimal(text: &str) -> Value {
    text.parse()
        .map_or(Value::Other("no number"), Value::Number)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(state) => state.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Other(what) => f.write_str(what),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_exact() {
        for (data, power, shown) in [
            (Data::DoubleLongUnsigned(12_345_678), -3, "12345.678"),
            (Data::Long64(9_007_199_254_740_993), 0, "9007199254740993"),
            (Data::Long64Unsigned(u64::MAX), 0, "too large a number"),
            (Data::Integer(-5), 2, "-500"),
            (Data::Float32(0.1), 0, "0.1"),
            (Data::Float64(f64::NAN), 0, "no number"),
            (Data::Bcd(0x25), 0, "25"),
            (Data::VisibleString(b"ISK 1030"), -1, "ISK 1030"),
            (Data::OctetString(b"LGZ12345"), 0, "LGZ12345"),
            (Data::OctetString(&[1, 2, 255]), 0, "0102FF"),
            (
                Data::OctetString(&[0x07, 0xEA, 11, 23, 1, 3, 15, 0, 0, 0xFF, 0xC4, 0]),
                0,
                "2026-11-23T03:15:00+01:00",
            ),
            (Data::Boolean(true), 0, "true"),
            (Data::Null, 0, "no value"),
        ] {
            assert_eq!(
                Value::of(&data).scaled(power).to_string(),
                shown,
                "{data:?}"
            );
        }
    }

    #[test]
    fn a_scaler_and_unit_is_a_structure_of_two() {
        let read = |bytes: &[u8]| scaler_and_unit(&Data::from_bytes_in(bytes).unwrap());
        assert_eq!(read(&[2, 2, 0x0F, 0xFD, 0x16, 30]), Some((-3, 30)));
        assert_eq!(read(&[2, 1, 0x0F, 0xFD]), None);
        assert_eq!(read(&[2, 2, 0x06, 0, 1, 0, 0, 0x16, 30]), None);
        assert_eq!(read(&[0x0F, 0xFD]), None);
    }
}
