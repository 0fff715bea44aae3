//! Values: written out with their kind, or as a difference to the last one of the same path.

use lamplighter_model::{Decimal, ObjectLink, Value};

use super::{Bytes, PackError, put_signed, put_unsigned};

/// Digits behind the point that a float is tried with: what a scaled register gives has few.
const MAX_PLACES: u8 = 9;
/// Whole numbers up to here are exact in a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

const FALSE: u8 = 0;
const TRUE: u8 = 1;
const CORELNK: u8 = 2;
const DECIMAL: u8 = 3;
/// A float that few decimal digits tell exactly.
const FLOAT_PLACES: u8 = 4;
/// A float that single precision tells exactly.
const FLOAT_SINGLE: u8 = 5;
const FLOAT: u8 = 6;
const INTEGER: u8 = 7;
const OBJLNK: u8 = 8;
const OPAQUE: u8 = 9;
const STRING: u8 = 10;
const TIME: u8 = 11;
const UNSIGNED: u8 = 12;

/// The last value of a path, as far as the next can be told by a difference to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LastValue {
    /// There is none.
    None,
    Boolean(bool),
    Decimal(Decimal),
    /// A float as a whole number of units of this many places.
    Places(i64, u8),
    Integer(i64),
    Time(i64),
    Unsigned(u64),
    /// A difference says that it is the same again.
    Same(Value),
}

impl LastValue {
    /// Writes the difference and remembers the value; `false`, with nothing written, where it
    /// cannot be told so.
    pub(super) fn put_difference(&mut self, value: &Value, out: &mut Vec<u8>) -> bool {
        match (&mut *self, value) {
            (Self::Boolean(last), Value::Boolean(on)) => {
                out.push(u8::from(*last != *on));
                *last = *on;
            }
            (Self::Decimal(last), Value::Decimal(next)) if last.exponent == next.exponent => {
                put_signed(out, next.mantissa.wrapping_sub(last.mantissa));
                *last = *next;
            }
            (Self::Places(last, places), Value::Float(next)) => {
                let Some(units) = units(*next, *places) else {
                    return false;
                };
                put_signed(out, units.wrapping_sub(*last));
                *last = units;
            }
            (Self::Integer(last), Value::Integer(next)) | (Self::Time(last), Value::Time(next)) => {
                put_signed(out, next.wrapping_sub(*last));
                *last = *next;
            }
            (Self::Unsigned(last), Value::Unsigned(next)) => {
                put_signed(out, next.wrapping_sub(*last).cast_signed());
                *last = *next;
            }
            (Self::Same(last), next) => return is_same(last, next),
            (
                Self::None
                | Self::Boolean(_)
                | Self::Decimal(_)
                | Self::Places(..)
                | Self::Integer(_)
                | Self::Time(_)
                | Self::Unsigned(_),
                _,
            ) => return false,
        }
        true
    }

    pub(super) fn difference(&mut self, bytes: &mut Bytes<'_>) -> Result<Value, PackError> {
        let begin = bytes.at;
        Ok(match self {
            Self::None => return Err(PackError::Unknown(begin)),
            Self::Boolean(last) => {
                *last ^= match bytes.byte()? {
                    0 => false,
                    1 => true,
                    _ => return Err(PackError::Unknown(begin)),
                };
                Value::Boolean(*last)
            }
            Self::Decimal(last) => {
                last.mantissa = last.mantissa.wrapping_add(bytes.signed()?);
                Value::Decimal(*last)
            }
            Self::Places(last, places) => {
                *last = last.wrapping_add(bytes.signed()?);
                Value::Float(float(*last, *places))
            }
            Self::Integer(last) => {
                *last = last.wrapping_add(bytes.signed()?);
                Value::Integer(*last)
            }
            Self::Time(last) => {
                *last = last.wrapping_add(bytes.signed()?);
                Value::Time(*last)
            }
            Self::Unsigned(last) => {
                *last = last.wrapping_add(bytes.signed()?.cast_unsigned());
                Value::Unsigned(*last)
            }
            Self::Same(last) => last.clone(),
        })
    }
}

/// Equal to the bit: a float is not taken for another that compares equal.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

/// Writes the value with its kind, and what it leaves for the next.
pub(super) fn put_whole(value: &Value, out: &mut Vec<u8>) -> LastValue {
    match value {
        Value::Boolean(on) => {
            out.push(if *on { TRUE } else { FALSE });
            LastValue::Boolean(*on)
        }
        Value::Corelnk(text) => put_bytes(CORELNK, text.as_bytes(), value, out),
        Value::Decimal(decimal) => {
            out.extend([DECIMAL, decimal.exponent.cast_unsigned()]);
            put_signed(out, decimal.mantissa);
            LastValue::Decimal(*decimal)
        }
        Value::Float(float) => put_float(*float, out),
        Value::Integer(integer) => {
            out.push(INTEGER);
            put_signed(out, *integer);
            LastValue::Integer(*integer)
        }
        Value::Objlnk(link) => {
            out.push(OBJLNK);
            put_unsigned(out, u64::from(link.object));
            put_unsigned(out, u64::from(link.instance));
            LastValue::Same(value.clone())
        }
        Value::Opaque(bytes) => put_bytes(OPAQUE, bytes, value, out),
        Value::String(text) => put_bytes(STRING, text.as_bytes(), value, out),
        Value::Time(time) => {
            out.push(TIME);
            put_signed(out, *time);
            LastValue::Time(*time)
        }
        Value::Unsigned(unsigned) => {
            out.push(UNSIGNED);
            put_unsigned(out, *unsigned);
            LastValue::Unsigned(*unsigned)
        }
    }
}

fn put_bytes(kind: u8, bytes: &[u8], value: &Value, out: &mut Vec<u8>) -> LastValue {
    out.push(kind);
    put_unsigned(out, bytes.len() as u64);
    out.extend(bytes);
    LastValue::Same(value.clone())
}

fn put_float(float: f64, out: &mut Vec<u8>) -> LastValue {
    let found = (0..=MAX_PLACES).find_map(|places| Some((units(float, places)?, places)));
    if let Some((units, places)) = found {
        out.extend([FLOAT_PLACES, places]);
        put_signed(out, units);
        return LastValue::Places(units, places);
    }
    let single = float as f32;
    if f64::from(single).to_bits() == float.to_bits() {
        out.push(FLOAT_SINGLE);
        out.extend(single.to_le_bytes());
    } else {
        out.push(FLOAT);
        out.extend(float.to_le_bytes());
    }
    LastValue::Same(Value::Float(float))
}

/// A value with its kind, and what it leaves for the next.
pub(super) fn whole(bytes: &mut Bytes<'_>) -> Result<(Value, LastValue), PackError> {
    let begin = bytes.at;
    let same = |value: Value| (value.clone(), LastValue::Same(value));
    Ok(match bytes.byte()? {
        FALSE => (Value::Boolean(false), LastValue::Boolean(false)),
        TRUE => (Value::Boolean(true), LastValue::Boolean(true)),
        CORELNK => same(Value::Corelnk(text(bytes)?)),
        DECIMAL => {
            let exponent = bytes.byte()?.cast_signed();
            let decimal = Decimal::new(bytes.signed()?, exponent);
            (Value::Decimal(decimal), LastValue::Decimal(decimal))
        }
        FLOAT_PLACES => {
            let places = bytes.byte()?;
            if places > MAX_PLACES {
                return Err(PackError::Unknown(begin));
            }
            let units = bytes.signed()?;
            let value = Value::Float(float(units, places));
            (value, LastValue::Places(units, places))
        }
        FLOAT_SINGLE => same(Value::Float(f32::from_le_bytes(array(bytes)?).into())),
        FLOAT => same(Value::Float(f64::from_le_bytes(array(bytes)?))),
        INTEGER => {
            let integer = bytes.signed()?;
            (Value::Integer(integer), LastValue::Integer(integer))
        }
        OBJLNK => same(Value::Objlnk(ObjectLink {
            object: bytes.u16()?,
            instance: bytes.u16()?,
        })),
        OPAQUE => same(Value::Opaque(counted(bytes)?.to_vec())),
        STRING => same(Value::String(text(bytes)?)),
        TIME => {
            let time = bytes.signed()?;
            (Value::Time(time), LastValue::Time(time))
        }
        UNSIGNED => {
            let unsigned = bytes.unsigned()?;
            (Value::Unsigned(unsigned), LastValue::Unsigned(unsigned))
        }
        _ => return Err(PackError::Unknown(begin)),
    })
}

fn counted<'a>(bytes: &mut Bytes<'a>) -> Result<&'a [u8], PackError> {
    let begin = bytes.at;
    let length = usize::try_from(bytes.unsigned()?).map_err(|_| PackError::TooLarge(begin))?;
    bytes.slice(length)
}

fn text(bytes: &mut Bytes<'_>) -> Result<String, PackError> {
    let begin = bytes.at;
    let text = std::str::from_utf8(counted(bytes)?).map_err(|_| PackError::Unknown(begin))?;
    Ok(text.to_owned())
}

fn array<const N: usize>(bytes: &mut Bytes<'_>) -> Result<[u8; N], PackError> {
    let begin = bytes.at;
    let slice = bytes.slice(N)?;
    slice.try_into().map_err(|_| PackError::Ended(begin))
}

/// The float as a whole number of units of so many places, where that gives it back to the bit.
fn units(value: f64, places: u8) -> Option<i64> {
    let units = (value * power(places)).round();
    if !units.is_finite() || units.abs() > EXACT {
        return None;
    }
    let units = units as i64;
    (float(units, places).to_bits() == value.to_bits()).then_some(units)
}

fn float(units: i64, places: u8) -> f64 {
    units as f64 / power(places)
}

fn power(places: u8) -> f64 {
    10f64.powi(i32::from(places))
}
