//! The values that resources hold, and how one fits the type that a definition asks for.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::address::MAX_ID;

/// The data types of the standard (Core 1.2, annex C).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum DataType {
    Boolean,
    Corelnk,
    Float,
    Integer,
    /// Execute has no value.
    None,
    Objlnk,
    Opaque,
    String,
    Time,
    Unsigned,
}

/// An exact decimal number, `mantissa × 10^exponent`: meters count in these, never in floats.
/// Two decimals are equal when their digits are, after [`Decimal::normalized`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Decimal {
    pub mantissa: i64,
    pub exponent: i8,
}

/// A link to an object instance; `65535:65535` links to nothing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ObjectLink {
    pub object: u16,
    pub instance: u16,
}

/// A value of a resource or resource instance.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Value {
    Boolean(bool),
    /// CoRE links as text (RFC 6690).
    Corelnk(String),
    /// Stands where a Float or Integer resource is counted exactly.
    Decimal(Decimal),
    Float(f64),
    Integer(i64),
    Objlnk(ObjectLink),
    Opaque(Vec<u8>),
    String(String),
    /// Seconds since 1970-01-01 UTC.
    Time(i64),
    Unsigned(u64),
}

/// Why a value does not fit where it is put.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ValueError {
    /// The number does not fit the type (a fraction for an integer, a negative unsigned, overflow).
    OutOfRange,
    /// The text is not a value of the type.
    Syntax,
    /// A value of another kind.
    WrongType,
}

impl Value {
    /// The value as the type that a definition asks for: numbers are converted where nothing is
    /// lost, other kinds are refused.
    pub fn fit(self, data_type: DataType) -> Result<Self, ValueError> {
        match (data_type, self) {
            (DataType::Boolean, value @ Self::Boolean(_))
            | (DataType::Corelnk, value @ Self::Corelnk(_))
            | (DataType::Float, value @ (Self::Float(_) | Self::Decimal(_)))
            | (DataType::Integer, value @ Self::Integer(_))
            | (DataType::Objlnk, value @ Self::Objlnk(_))
            | (DataType::Opaque, value @ Self::Opaque(_))
            | (DataType::String, value @ Self::String(_))
            | (DataType::Time, value @ Self::Time(_))
            | (DataType::Unsigned, value @ Self::Unsigned(_)) => Ok(value),
            (DataType::Corelnk, Self::String(text)) => Ok(Self::Corelnk(text)),
            (DataType::Float, value @ (Self::Integer(_) | Self::Unsigned(_))) => {
                value.as_f64().map(Self::Float).ok_or(ValueError::WrongType)
            }
            (DataType::Integer, value) => value.integral().map(Self::Integer),
            (DataType::Time, value) => value.integral().map(Self::Time),
            (DataType::Unsigned, value) => u64::try_from(value.integral()?)
                .map(Self::Unsigned)
                .map_err(|_| ValueError::OutOfRange),
            (
                DataType::Boolean
                | DataType::Corelnk
                | DataType::Float
                | DataType::None
                | DataType::Objlnk
                | DataType::Opaque
                | DataType::String,
                _,
            ) => Err(ValueError::WrongType),
        }
    }

    /// Reads what people type: `on`/`off`/`true`/`1` for booleans, plain numbers, `66:7` for links,
    /// hexadecimal for opaque.
    pub fn parse(text: &str, data_type: DataType) -> Result<Self, ValueError> {
        let number = || text.parse::<Decimal>();
        match data_type {
            DataType::Boolean => match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "on" => Ok(Self::Boolean(true)),
                "0" | "false" | "off" => Ok(Self::Boolean(false)),
                _ => Err(ValueError::Syntax),
            },
            DataType::Corelnk => Ok(Self::Corelnk(text.to_owned())),
            DataType::Float => Ok(Self::Float(number()?.to_f64())),
            DataType::Integer | DataType::Time | DataType::Unsigned => {
                Self::Decimal(number()?).fit(data_type)
            }
            DataType::None => Err(ValueError::WrongType),
            DataType::Objlnk => text.parse().map(Self::Objlnk),
            DataType::Opaque => from_hex(text).map(Self::Opaque),
            DataType::String => Ok(Self::String(text.to_owned())),
        }
    }

    /// The number behind a numeric or boolean value.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Boolean(on) => Some(f64::from(u8::from(*on))),
            Self::Decimal(decimal) => Some(decimal.to_f64()),
            Self::Float(float) => Some(*float),
            Self::Integer(integer) | Self::Time(integer) => Some(*integer as f64),
            Self::Unsigned(unsigned) => Some(*unsigned as f64),
            Self::Corelnk(_) | Self::Objlnk(_) | Self::Opaque(_) | Self::String(_) => None,
        }
    }

    /// A whole number, where the value is one.
    fn integral(&self) -> Result<i64, ValueError> {
        match self {
            Self::Integer(integer) | Self::Time(integer) => Ok(*integer),
            Self::Unsigned(unsigned) => {
                i64::try_from(*unsigned).map_err(|_| ValueError::OutOfRange)
            }
            Self::Decimal(decimal) => decimal.to_integer().ok_or(ValueError::OutOfRange),
            Self::Float(float) => {
                // 2^63 is exact in f64; anything in between is a valid i64 when it has no fraction.
                let inside =
                    *float >= -9_223_372_036_854_775_808.0 && *float < 9_223_372_036_854_775_808.0;
                if inside && float.fract() == 0.0 {
                    Ok(*float as i64)
                } else {
                    Err(ValueError::OutOfRange)
                }
            }
            Self::Boolean(_)
            | Self::Corelnk(_)
            | Self::Objlnk(_)
            | Self::Opaque(_)
            | Self::String(_) => Err(ValueError::WrongType),
        }
    }
}

impl fmt::Display for Value {
    /// As people read it; [`Value::parse`] reads it back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(on) => on.fmt(f),
            Self::Corelnk(text) | Self::String(text) => text.fmt(f),
            Self::Decimal(decimal) => decimal.fmt(f),
            Self::Float(float) => float.fmt(f),
            Self::Integer(integer) | Self::Time(integer) => integer.fmt(f),
            Self::Objlnk(link) => link.fmt(f),
            Self::Opaque(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Unsigned(unsigned) => unsigned.fmt(f),
        }
    }
}

impl Decimal {
    pub const fn new(mantissa: i64, exponent: i8) -> Self {
        Self { mantissa, exponent }
    }

    /// The same number without trailing zeros in the mantissa; zero has exponent 0.
    pub fn normalized(self) -> Self {
        let Self {
            mut mantissa,
            mut exponent,
        } = self;
        if mantissa == 0 {
            return Self::new(0, 0);
        }
        while mantissa % 10 == 0 && exponent < i8::MAX {
            mantissa /= 10;
            exponent += 1;
        }
        Self { mantissa, exponent }
    }

    /// `self × 10^by`, exact; `None` where the exponent leaves its range.
    pub fn scaled(self, by: i8) -> Option<Self> {
        Some(Self::new(self.mantissa, self.exponent.checked_add(by)?))
    }

    /// Exact product; `None` on overflow.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        let (a, b) = (self.normalized(), other.normalized());
        Some(Self::new(
            a.mantissa.checked_mul(b.mantissa)?,
            a.exponent.checked_add(b.exponent)?,
        ))
    }

    /// Exact sum; `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent);
        let sum = self
            .at_exponent(exponent)?
            .checked_add(other.at_exponent(exponent)?)?;
        Some(Self::new(sum, exponent))
    }

    /// The nearest float.
    pub fn to_f64(self) -> f64 {
        const EXACT: u64 = 1 << 53;
        if self.mantissa.unsigned_abs() > EXACT || self.exponent.unsigned_abs() > 22 {
            return format!("{}e{}", self.mantissa, self.exponent)
                .parse()
                .expect("a decimal literal is a float");
        }
        // Mantissa and power are exact, so the result is rounded once.
        let power = 10f64.powi(i32::from(self.exponent).abs());
        if self.exponent < 0 {
            self.mantissa as f64 / power
        } else {
            self.mantissa as f64 * power
        }
    }

    /// The nearest whole number, halves away from zero.
    pub fn rounded(self) -> Self {
        if self.exponent >= 0 {
            return self;
        }
        let places = u32::from(self.exponent.unsigned_abs());
        let Some(unit) = 10i64.checked_pow(places) else {
            return Self::new(0, 0);
        };
        let (whole, rest) = (self.mantissa / unit, self.mantissa % unit);
        let carry = if rest.unsigned_abs() >= unit.unsigned_abs().div_ceil(2) {
            self.mantissa.signum()
        } else {
            0
        };
        Self::new(whole + carry, 0)
    }

    /// The whole number, where it is one and fits.
    pub fn to_integer(self) -> Option<i64> {
        self.normalized().at_exponent(0)
    }

    /// The mantissa of the same number at a smaller or equal exponent.
    fn at_exponent(self, exponent: i8) -> Option<i64> {
        if self.mantissa == 0 {
            return Some(0);
        }
        let shift = u32::try_from(i16::from(self.exponent) - i16::from(exponent)).ok()?;
        self.mantissa.checked_mul(10i64.checked_pow(shift)?)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.normalized(), other.normalized());
        (a.mantissa, a.exponent) == (b.mantissa, b.exponent)
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.normalized(), other.normalized());
        let by_sign = a.mantissa.signum().cmp(&b.mantissa.signum());
        if by_sign.is_ne() || a.mantissa == 0 {
            return by_sign;
        }
        let magnitude = |number: Self| {
            let digits = number.mantissa.unsigned_abs().ilog10();
            i64::from(digits) + i64::from(number.exponent)
        };
        let by_size = magnitude(a).cmp(&magnitude(b)).then_with(|| {
            // Of the same size, so at most 18 digits apart.
            let exponent = a.exponent.min(b.exponent);
            let aligned = |number: Self| {
                let shift = i16::from(number.exponent) - i16::from(exponent);
                u128::from(number.mantissa.unsigned_abs())
                    * 10u128.pow(u32::from(shift.unsigned_abs()))
            };
            aligned(a).cmp(&aligned(b))
        });
        if a.mantissa < 0 {
            by_size.reverse()
        } else {
            by_size
        }
    }
}

impl From<i64> for Decimal {
    fn from(mantissa: i64) -> Self {
        Self::new(mantissa, 0)
    }
}

impl fmt::Display for Decimal {
    /// Plain digits, never an exponent: `12345.678`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mantissa, exponent } = self.normalized();
        let digits = mantissa.unsigned_abs().to_string();
        if mantissa < 0 {
            f.write_str("-")?;
        }
        if exponent >= 0 {
            return write!(
                f,
                "{digits}{:0<1$}",
                "",
                usize::from(exponent.unsigned_abs())
            );
        }
        let places = usize::from(exponent.unsigned_abs());
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        write!(f, "{whole}.{fraction}")
    }
}

impl FromStr for Decimal {
    type Err = ValueError;

    /// Reads `-12.50` and `1.5e3`.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (number, power) = match text.split_once(['e', 'E']) {
            Some((number, power)) => (number, power.parse::<i8>().map_err(|_| ValueError::Syntax)?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
        let all_digits = digits
            .bytes()
            .chain(fraction.bytes())
            .all(|byte| byte.is_ascii_digit());
        if !all_digits || (digits.is_empty() && fraction.is_empty()) {
            return Err(ValueError::Syntax);
        }
        let places = i16::try_from(fraction.len()).map_err(|_| ValueError::OutOfRange)?;
        let digits = format!("{whole}{fraction}");
        // As `Display` writes large numbers: their zeros need no room in the mantissa.
        let significant = digits.trim_end_matches('0').len();
        let zeros = i8::try_from(digits.len() - significant).unwrap_or(i8::MAX);
        let (mantissa, zeros) = match digits.parse() {
            Ok(mantissa) => (mantissa, 0),
            Err(_) => {
                let end = digits.len() - usize::from(zeros.unsigned_abs());
                let mantissa = digits[..end].parse();
                (mantissa.map_err(|_| ValueError::OutOfRange)?, zeros)
            }
        };
        let shift = i8::try_from(i16::from(zeros) - places).map_err(|_| ValueError::OutOfRange)?;
        Self::new(mantissa, power)
            .scaled(shift)
            .ok_or(ValueError::OutOfRange)
    }
}

impl ObjectLink {
    /// The link to nothing.
    pub const NULL: Self = Self {
        object: MAX_ID,
        instance: MAX_ID,
    };
}

impl fmt::Display for ObjectLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.object, self.instance)
    }
}

impl FromStr for ObjectLink {
    type Err = ValueError;

    /// Reads `66:7`; leading zeros occur in published examples.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (object, instance) = text.split_once(':').ok_or(ValueError::Syntax)?;
        let id = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if digits {
                text.parse().map_err(|_| ValueError::OutOfRange)
            } else {
                Err(ValueError::Syntax)
            }
        };
        Ok(Self {
            object: id(object)?,
            instance: id(instance)?,
        })
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "the number does not fit the type",
            Self::Syntax => "the text is not a value of this type",
            Self::WrongType => "the value is of another type",
        })
    }
}

impl std::error::Error for ValueError {}

fn from_hex(text: &str) -> Result<Vec<u8>, ValueError> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return Err(ValueError::Syntax);
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| ValueError::Syntax))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_print_plain_digits() {
        for (mantissa, exponent, text) in [
            (12345678, -3, "12345.678"),
            (5, -3, "0.005"),
            (-5, 2, "-500"),
            (0, -4, "0"),
            (100, -2, "1"),
        ] {
            assert_eq!(Decimal::new(mantissa, exponent).to_string(), text);
        }
    }

    #[test]
    fn decimals_are_ordered_and_rounded_exactly() {
        let number = |text: &str| text.parse::<Decimal>().unwrap();
        let ordered = [
            "-9223372036854775807",
            "-12",
            "-1.2",
            "-1e-100",
            "0",
            "1e-120",
            "0.0999",
            "0.1",
            "1.25",
            "9007199254740993",
            "9007199254740993.5",
            "1e100",
        ];
        for pair in ordered.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
        assert!(number("1.50") <= number("1.5") && number("1.50") >= number("1.5"));
        for (text, rounded) in [
            ("1.5", 2),
            ("-1.5", -2),
            ("1.4999", 1),
            ("1e-100", 0),
            ("0.5", 1),
            ("20", 20),
        ] {
            assert_eq!(number(text).rounded(), Decimal::from(rounded), "{text}");
        }
    }

    #[test]
    fn numbers_fit_where_nothing_is_lost() {
        assert_eq!(
            Value::Float(20.0).fit(DataType::Integer),
            Ok(Value::Integer(20))
        );
        assert_eq!(
            Value::Float(20.5).fit(DataType::Integer),
            Err(ValueError::OutOfRange)
        );
        assert_eq!(
            Value::Integer(-1).fit(DataType::Unsigned),
            Err(ValueError::OutOfRange)
        );
        assert_eq!(
            Value::Integer(7).fit(DataType::Float),
            Ok(Value::Float(7.0))
        );
        assert_eq!(
            Value::Boolean(true).fit(DataType::Integer),
            Err(ValueError::WrongType)
        );
        assert_eq!(
            Value::parse("21.5", DataType::Float),
            Ok(Value::Float(21.5))
        );
        assert_eq!(
            Value::parse("on", DataType::Boolean),
            Ok(Value::Boolean(true))
        );
    }

    #[test]
    fn the_smallest_decimal_reads_back() {
        let smallest = Decimal::new(1, i8::MIN);
        assert_eq!(smallest.to_string().parse(), Ok(smallest));
    }

    proptest! {
        #[test]
        fn a_decimal_is_the_float_that_it_prints(mantissa: i64, exponent in -30i8..30) {
            let decimal = Decimal::new(mantissa, exponent);
            prop_assert_eq!(Ok(decimal.to_f64()), decimal.to_string().parse());
        }

        #[test]
        fn a_decimal_reads_back_as_it_prints(mantissa: i64, exponent in -18i8..=127) {
            let decimal = Decimal::new(mantissa, exponent);
            prop_assert_eq!(decimal.to_string().parse::<Decimal>(), Ok(decimal));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,24}") {
            for data_type in [DataType::Float, DataType::Integer, DataType::Objlnk, DataType::Opaque] {
                let _ = Value::parse(&text, data_type);
            }
        }
    }
}
