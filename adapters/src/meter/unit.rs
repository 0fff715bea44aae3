//! Units of meter readings and their exact conversion by powers of ten.

use std::{fmt, str::FromStr};

use lamplighter_model::Decimal;

/// A base unit with a decimal prefix: `kWh` is Wh with 10³.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unit {
    base: &'static str,
    power: i8,
}

/// What a meter says of the unit of a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MeterUnit {
    Foreign(String),
    Known(Unit),
    Missing,
}

/// The text is not a unit that can be converted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotUnit;

/// Base units, as SenML writes them where it knows them.
const BASES: [&str; 27] = [
    "Wh", "W", "varh", "var", "VAh", "VA", "V", "A", "Ah", "Hz", "m3", "m3/h", "Cel", "K", "J",
    "J/h", "bar", "Pa", "kg", "kg/h", "s", "min", "h", "d", "deg", "%", "Ohm",
];

const PREFIXES: [(char, i8); 4] = [('m', -3), ('k', 3), ('M', 6), ('G', 9)];

/// Units by their number in DLMS/COSEM (IEC 62056-62, also SML), with the power of ten where the
/// number means a part of ours. What stands here twice differs in what it measures only.
const BY_NUMBER: [(u8, &str, i8); 27] = [
    (4, "d", 0),
    (5, "h", 0),
    (6, "min", 0),
    (7, "s", 0),
    (8, "deg", 0),
    (9, "Cel", 0),
    (13, "m3", 0),
    (14, "m3", 0),
    (15, "m3/h", 0),
    (16, "m3/h", 0),
    (19, "m3", -3),
    (20, "kg", 0),
    (23, "Pa", 0),
    (24, "bar", 0),
    (25, "J", 0),
    (26, "J/h", 0),
    (27, "W", 0),
    (28, "VA", 0),
    (29, "var", 0),
    (30, "Wh", 0),
    (31, "VAh", 0),
    (32, "varh", 0),
    (33, "A", 0),
    (35, "V", 0),
    (44, "Hz", 0),
    (52, "K", 0),
    (56, "%", 0),
];

impl Unit {
    /// A base unit times a power of ten; `None` for a base that is not known.
    pub fn new(base: &str, power: i8) -> Option<Self> {
        let base = BASES.into_iter().find(|known| *known == base)?;
        Some(Self { base, power })
    }

    /// The factor from this unit to another of the same kind, as a power of ten.
    pub fn power_to(self, other: Self) -> Option<i8> {
        (self.base == other.base).then(|| self.power - other.power)
    }

    /// The same quantity in another unit; `None` where the kinds differ or the number overflows.
    pub fn convert(self, value: Decimal, to: Self) -> Option<Decimal> {
        value.scaled(self.power_to(to)?)
    }
}

impl MeterUnit {
    /// The unit of a text; an empty one is none.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        if text.is_empty() {
            return Self::Missing;
        }
        text.parse()
            .map_or_else(|NotUnit| Self::Foreign(text.to_owned()), Self::Known)
    }

    /// The unit of DLMS/COSEM and SML with this number; 255 and 0 are none.
    pub fn from_dlms(number: u8) -> Self {
        if matches!(number, 0 | 255) {
            return Self::Missing;
        }
        BY_NUMBER
            .iter()
            .find(|(known, ..)| *known == number)
            .and_then(|(_, base, power)| Unit::new(base, *power))
            .map_or_else(|| Self::Foreign(format!("unit {number}")), Self::Known)
    }
}

impl fmt::Display for MeterUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(text) => text.fmt(f),
            Self::Known(unit) => unit.fmt(f),
            Self::Missing => Ok(()),
        }
    }
}

impl FromStr for Unit {
    type Err = NotUnit;

    /// Reads `kWh`; meters differ in capitals (`kvarh`, `kVArh`), so only the prefix is exact.
    fn from_str(text: &str) -> Result<Self, NotUnit> {
        let text = text.trim();
        if let Some(base) = base(text) {
            return Ok(Self { base, power: 0 });
        }
        if matches!(text, "l" | "L" | "dm3" | "dm³") {
            return Self::new("m3", -3).ok_or(NotUnit);
        }
        let prefix = text.chars().next().ok_or(NotUnit)?;
        let known =
            |(letter, _): &&(char, i8)| *letter == prefix || (*letter == 'k' && prefix == 'K');
        let (_, power) = PREFIXES.iter().find(known).ok_or(NotUnit)?;
        let base = base(&text[prefix.len_utf8()..]).ok_or(NotUnit)?;
        // A cubic millimetre is no thousandth of a cubic metre.
        if base.starts_with("m3") {
            return Err(NotUnit);
        }
        Ok(Self {
            base,
            power: *power,
        })
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (self.base, self.power) == ("m3", -3) {
            return f.write_str("l");
        }
        let prefix = PREFIXES.iter().find(|(_, power)| *power == self.power);
        let prefix = prefix.filter(|_| !self.base.starts_with("m3"));
        match prefix {
            Some((letter, _)) => write!(f, "{letter}{}", self.base),
            None if self.power == 0 => f.write_str(self.base),
            None => write!(f, "10^{} {}", self.power, self.base),
        }
    }
}

fn base(text: &str) -> Option<&'static str> {
    if matches!(text, "C" | "°C") {
        return Some("Cel");
    }
    if text == "m³" {
        return Some("m3");
    }
    // Short ones would take each other's prefixes and letters: `K` is not `k`, `D` not `d`.
    BASES.into_iter().find(|base| {
        *base == text
            || (base.len() > 2 || matches!(*base, "Wh" | "W" | "VA" | "Hz" | "V" | "A" | "m3"))
                && base.eq_ignore_ascii_case(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversion_is_exact() {
        for (value, from, to, result) in [
            ("0012345.678", "kWh", "Wh", "12345678"),
            ("1.234", "MWh", "kWh", "1234"),
            ("00.350", "kW", "W", "350"),
            ("230.1", "V", "V", "230.1"),
            ("12", "kVArh", "varh", "12000"),
            ("9007199254740993", "kWh", "Wh", "9007199254740993000"),
        ] {
            let converted = from
                .parse::<Unit>()
                .unwrap()
                .convert(value.parse().unwrap(), to.parse().unwrap());
            assert_eq!(converted.unwrap().to_string(), result);
        }
    }

    #[test]
    fn kinds_do_not_mix() {
        let unit = |text: &str| text.parse::<Unit>();
        assert_eq!(unit("V").unwrap().power_to(unit("Wh").unwrap()), None);
        assert_eq!(unit("quux"), Err(NotUnit));
        assert_eq!(unit(""), Err(NotUnit));
        assert_eq!(unit("mm3"), Err(NotUnit));
        assert_eq!(unit("dm3"), unit("l"));
        let thousandth = Unit::new("m3/h", -3).unwrap().to_string();
        assert_eq!(thousandth, "10^-3 m3/h");
        assert_eq!(unit("kWh").unwrap().to_string(), "kWh");
    }

    #[test]
    fn numbers_of_dlms_are_units() {
        for (number, text) in [
            (30, "Wh"),
            (27, "W"),
            (19, "l"),
            (9, "Cel"),
            (255, ""),
            (0, ""),
        ] {
            assert_eq!(MeterUnit::from_dlms(number).to_string(), text, "{number}");
        }
        assert_eq!(
            MeterUnit::from_dlms(10),
            MeterUnit::Foreign("unit 10".into())
        );
        for (number, base, power) in BY_NUMBER {
            assert!(Unit::new(base, power).is_some(), "{number}");
        }
    }
}
