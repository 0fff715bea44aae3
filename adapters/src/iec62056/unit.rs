//! Units of meter readings and their exact conversion by powers of ten.

use std::{fmt, str::FromStr};

use lamplighter_model::Decimal;

/// A base unit with a decimal prefix: `kWh` is Wh with 10³.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unit {
    base: &'static str,
    power: i8,
}

/// The text is not a unit that can be converted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotUnit;

/// Base units, as SenML writes them.
const BASES: [&str; 13] = [
    "Wh", "W", "varh", "var", "VAh", "VA", "V", "A", "Hz", "m3", "Cel", "J", "m3/h",
];

const PREFIXES: [(char, i8); 4] = [('m', -3), ('k', 3), ('M', 6), ('G', 9)];

impl Unit {
    /// The factor from this unit to another of the same kind, as a power of ten.
    pub fn power_to(self, other: Self) -> Option<i8> {
        (self.base == other.base).then(|| self.power - other.power)
    }

    /// The same quantity in another unit; `None` where the kinds differ or the number overflows.
    pub fn convert(self, value: Decimal, to: Self) -> Option<Decimal> {
        value.scaled(self.power_to(to)?)
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
        let prefix = text.chars().next().ok_or(NotUnit)?;
        let known =
            |(letter, _): &&(char, i8)| *letter == prefix || (*letter == 'k' && prefix == 'K');
        let (_, power) = PREFIXES.iter().find(known).ok_or(NotUnit)?;
        let base = base(&text[prefix.len_utf8()..]).ok_or(NotUnit)?;
        Ok(Self {
            base,
            power: *power,
        })
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = PREFIXES.iter().find(|(_, power)| *power == self.power);
        prefix.map_or(Ok(()), |(letter, _)| write!(f, "{letter}"))?;
        f.write_str(self.base)
    }
}

fn base(text: &str) -> Option<&'static str> {
    if matches!(text, "C" | "°C") {
        return Some("Cel");
    }
    BASES
        .into_iter()
        .find(|base| base.eq_ignore_ascii_case(text))
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
        assert_eq!(unit("kWh").unwrap().to_string(), "kWh");
    }
}
