//! One record of a telegram: a value, exact, and what it means.

use std::fmt;

use lamplighter_model::Decimal;

use super::meaning::Meaning;

/// A record of a meter.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The bytes that say what the value is, as they came.
    pub header: Vec<u8>,
    pub function: Function,
    /// 0 is now; others are values of earlier periods.
    pub storage: u64,
    /// 0 is the total.
    pub tariff: u32,
    /// Of a meter that counts for several.
    pub subunit: u32,
    pub meaning: Meaning,
    pub value: RecordValue,
}

/// What of the value in its period is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Function {
    Instantaneous,
    Maximum,
    Minimum,
    /// Of the time when the meter had an error.
    DuringError,
}

/// A value as it came, in the unit of its meaning.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordValue {
    Number(Decimal),
    Text(String),
    /// Local time of the meter, `2026-11-23 03:15` or a part of it.
    Moment(String),
    /// The lowest first; printed as one number.
    Bytes(Vec<u8>),
    /// There is none, and why.
    Missing(&'static str),
}

/// There is no further record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Ended<'a> {
    /// A byte without meaning.
    Filler,
    /// Data of the maker, to the end.
    Maker {
        has_more: bool,
        data: &'a [u8],
    },
    Unreadable(&'static str),
}

/// Extensions of a data field (EN 13757-3, 6.3.5).
const DIFE_MAX: usize = 10;
const CUT: &str = "a record is cut off";
const EXTENSION: u8 = 0x80;

impl Function {
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Instantaneous, "instantaneous"),
        (Self::Maximum, "maximum"),
        (Self::Minimum, "minimum"),
        (Self::DuringError, "during_error"),
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        let of = Self::ALL.iter().find(|(function, _)| *function == self);
        of.map_or("", |(_, word)| word)
    }
}

/// The record that `data` begins with, and what is behind it.
pub(super) fn next(data: &[u8], is_big_endian: bool) -> Result<(Record, &[u8]), Ended<'_>> {
    let (information, rest) = data_information(data)?;
    let (meaning, rest) = Meaning::read(rest).map_err(Ended::Unreadable)?;
    let header = &data[..data.len() - rest.len()];
    let (value, rest) = information.value(&meaning, rest, is_big_endian)?;
    let record = Record {
        header: header.to_vec(),
        function: information.function,
        storage: information.storage,
        tariff: information.tariff,
        subunit: information.subunit,
        meaning,
        value,
    };
    Ok((record, rest))
}

/// The data information field and its extensions.
struct DataInformation {
    function: Function,
    storage: u64,
    tariff: u32,
    subunit: u32,
    /// How the value is coded.
    coding: u8,
}

fn data_information(data: &[u8]) -> Result<(DataInformation, &[u8]), Ended<'_>> {
    let (&field, mut rest) = data.split_first().ok_or(Ended::Unreadable(CUT))?;
    match field {
        0x0F | 0x1F => {
            return Err(Ended::Maker {
                has_more: field == 0x1F,
                data: rest,
            });
        }
        0x2F => return Err(Ended::Filler),
        _ if field & 0x0F == 0x0F => return Err(Ended::Unreadable("a reserved data field")),
        _ => (),
    }
    let mut information = DataInformation {
        function: match field >> 4 & 3 {
            0 => Function::Instantaneous,
            1 => Function::Maximum,
            2 => Function::Minimum,
            _ => Function::DuringError,
        },
        storage: u64::from(field >> 6 & 1),
        tariff: 0,
        subunit: 0,
        coding: field & 0x0F,
    };
    let mut is_extended = field & EXTENSION != 0;
    let mut place = 0;
    while is_extended {
        if place == DIFE_MAX {
            return Err(Ended::Unreadable("too many extensions of a data field"));
        }
        let (&extension, behind) = rest.split_first().ok_or(Ended::Unreadable(CUT))?;
        rest = behind;
        // Ten extensions hold 41, 20 and 10 bits.
        information.storage |= u64::from(extension & 0x0F) << (place * 4 + 1);
        information.tariff |= u32::from(extension >> 4 & 3) << (place * 2);
        information.subunit |= u32::from(extension >> 6 & 1) << place;
        is_extended = extension & EXTENSION != 0;
        place += 1;
    }
    Ok((information, rest))
}

impl DataInformation {
    fn value<'a>(
        &self,
        meaning: &Meaning,
        data: &'a [u8],
        is_big_endian: bool,
    ) -> Result<(RecordValue, &'a [u8]), Ended<'a>> {
        let (coding, length, data) = match self.coding {
            0 | 8 => (Coding::None, 0, data),
            1..=4 => (Coding::Integer, usize::from(self.coding), data),
            5 => (Coding::Real, 4, data),
            6 => (Coding::Integer, 6, data),
            7 => (Coding::Integer, 8, data),
            9..=12 => (Coding::Bcd, usize::from(self.coding - 8), data),
            13 => variable(data)?,
            14 => (Coding::Bcd, 6, data),
            _ => return Err(Ended::Unreadable("a reserved data field")),
        };
        let (bytes, rest) = data
            .split_at_checked(length)
            .ok_or(Ended::Unreadable(CUT))?;
        let mut bytes = bytes.to_vec();
        if is_big_endian {
            bytes.reverse();
        }
        Ok((coding.read(meaning, &bytes), rest))
    }
}

/// How the bytes of a value are to be taken, the lowest first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Coding {
    Bcd,
    Bytes,
    Integer,
    NegativeBcd,
    None,
    Real,
    Text,
}

/// A length stands in front of the value and says its coding (EN 13757-3, 6.3.3).
fn variable(data: &[u8]) -> Result<(Coding, usize, &[u8]), Ended<'_>> {
    let (&length, rest) = data.split_first().ok_or(Ended::Unreadable(CUT))?;
    let places = usize::from(length);
    let (coding, length) = match length {
        0x00..=0xBF => (Coding::Text, places),
        0xC0..=0xC9 => (Coding::Bcd, places - 0xC0),
        0xD0..=0xD9 => (Coding::NegativeBcd, places - 0xD0),
        0xE0..=0xE8 => (Coding::Integer, places - 0xE0),
        0xE9..=0xEF => (Coding::Bytes, places - 0xE0),
        0xF0..=0xF4 => (Coding::Bytes, 4 * (places - 0xEC)),
        0xF5 => (Coding::Bytes, 48),
        0xF6 => (Coding::Bytes, 64),
        _ => return Err(Ended::Unreadable("a reserved length")),
    };
    Ok((coding, length, rest))
}

impl Coding {
    fn read(self, meaning: &Meaning, bytes: &[u8]) -> RecordValue {
        if let Some(why) = meaning.error {
            return RecordValue::Missing(why);
        }
        if let Some(moment) = meaning.moment(self == Self::Integer, bytes) {
            return moment;
        }
        let number = |mantissa: Option<i64>| {
            mantissa.map_or(RecordValue::Missing("it is no number"), |mantissa| {
                meaning.number(mantissa)
            })
        };
        match self {
            Self::Bcd => number(bcd(bytes)),
            Self::NegativeBcd => number(bcd(bytes).map(|value| -value)),
            Self::Integer => integer(bytes).map_or_else(
                || RecordValue::Bytes(bytes.to_vec()),
                |value| number(Some(value)),
            ),
            Self::Real => real(meaning, bytes),
            Self::Text => RecordValue::Text(text(bytes)),
            Self::Bytes => RecordValue::Bytes(bytes.to_vec()),
            Self::None => RecordValue::Missing("it has no data"),
        }
    }
}

/// Two's complement.
pub(super) fn integer(bytes: &[u8]) -> Option<i64> {
    let is_negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut all = [if is_negative { 0xFF } else { 0 }; 8];
    all.get_mut(..bytes.len())?.copy_from_slice(bytes);
    (!bytes.is_empty()).then(|| i64::from_le_bytes(all))
}

/// Two digits a byte; F in the highest place is the sign (EN 13757-3, annex B, type A). Other
/// digits above 9 mean that there is no value.
pub(super) fn bcd(bytes: &[u8]) -> Option<i64> {
    let (&highest, rest) = bytes.split_last()?;
    let is_negative = highest >> 4 == 0x0F;
    let highest = if is_negative { highest & 0x0F } else { highest };
    let bytes = std::iter::once(highest).chain(rest.iter().rev().copied());
    let value =
        bytes
            .flat_map(|byte| [byte >> 4, byte & 0x0F])
            .try_fold(0i64, |value, digit| {
                let digit = Some(digit).filter(|digit| *digit <= 9)?;
                value.checked_mul(10)?.checked_add(i64::from(digit))
            })?;
    Some(if is_negative { -value } else { value })
}

fn real(meaning: &Meaning, bytes: &[u8]) -> RecordValue {
    let none = RecordValue::Missing("it is no number");
    let Some(bytes) = bytes.first_chunk() else {
        return none;
    };
    // The shortest digits that name this number: what the meter meant, not what a float adds.
    let value: Result<Decimal, _> = f32::from_le_bytes(*bytes).to_string().parse();
    value
        .ok()
        .and_then(|value| meaning.scaled(value))
        .map_or(none, RecordValue::Number)
}

/// Characters come last first; what is no printable character of ISO 8859-1 is left out.
pub(super) fn text(bytes: &[u8]) -> String {
    let characters = bytes.iter().rev().map(|byte| char::from(*byte));
    let text: String = characters
        .filter(|character| !character.is_control())
        .collect();
    text.trim().to_owned()
}

impl Record {
    /// The bytes that say what the value is, as people write them.
    pub fn header_text(&self) -> String {
        let bytes: Vec<String> = self
            .header
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        bytes.join(" ")
    }
}

impl Record {
    /// What it is, in the words of the configuration, and its header.
    pub fn name(&self) -> String {
        let mut name = self.meaning.quantity.clone();
        for qualifier in &self.meaning.qualifiers {
            name.push(' ');
            name.push_str(qualifier);
        }
        if self.function != Function::Instantaneous {
            name.push(' ');
            name.push_str(self.function.word());
        }
        for (what, number) in [
            ("storage", self.storage),
            ("tariff", self.tariff.into()),
            ("subunit", self.subunit.into()),
        ] {
            if number != 0 {
                name.push_str(&format!(" {what} {number}"));
            }
        }
        format!("{name} [{}]", self.header_text())
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.meaning.quantity, self.value)?;
        if !self.meaning.unit.is_empty() {
            write!(f, " {}", self.meaning.unit)?;
        }
        if self.function != Function::Instantaneous {
            write!(f, ", {}", self.function.word())?;
        }
        for (name, number) in [
            ("storage", self.storage),
            ("tariff", self.tariff.into()),
            ("subunit", self.subunit.into()),
        ] {
            if number != 0 {
                write!(f, ", {name} {number}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for RecordValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) | Self::Moment(text) => f.write_str(text),
            Self::Bytes(bytes) => bytes
                .iter()
                .rev()
                .try_for_each(|byte| write!(f, "{byte:02X}")),
            Self::Missing(why) => write!(f, "none ({why})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(data: &[u8]) -> String {
        next(data, false).unwrap().0.to_string()
    }

    #[test]
    fn every_coding_is_exact() {
        for (data, expected) in [
            (&[0x01, 0x03, 0xFF][..], "energy -1 Wh"),
            (&[0x02, 0x2B, 0x34, 0x12], "power 4660 W"),
            (&[0x03, 0x13, 0xFF, 0xFF, 0xFF], "volume -0.001 m3"),
            (
                &[0x06, 0x03, 1, 0, 0, 0, 0, 0x80],
                "energy -140737488355327 Wh",
            ),
            (
                &[0x07, 0x03, 1, 0, 0, 0, 0, 0, 0x20, 0],
                "energy 9007199254740993 Wh",
            ),
            (&[0x05, 0x2B, 0xCD, 0xCC, 0xCC, 0x3D], "power 0.1 W"),
            (
                &[0x0C, 0x06, 0x78, 0x56, 0x34, 0x12],
                "energy 12345678000 Wh",
            ),
            (&[0x0A, 0x5A, 0x21, 0xF0], "flow_temperature -2.1 Cel"),
            (
                &[0x0E, 0x13, 0x12, 0x90, 0x78, 0x56, 0x34, 0x12],
                "volume 123456789.012 m3",
            ),
            (&[0x0D, 0x78, 3, b'C', b'B', b'A'], "fabrication_number ABC"),
            (&[0x0D, 0x03, 0xC2, 0x34, 0x12], "energy 1234 Wh"),
            (&[0x0D, 0x03, 0xD2, 0x34, 0x12], "energy -1234 Wh"),
            (&[0x0D, 0x03, 0xE2, 0x34, 0x12], "energy 4660 Wh"),
            (&[0x00, 0x03], "energy none (it has no data) Wh"),
            (
                &[0x0A, 0x03, 0xAB, 0x12],
                "energy none (it is no number) Wh",
            ),
            (
                &[0x05, 0x2B, 0, 0, 0xC0, 0x7F],
                "power none (it is no number) W",
            ),
        ] {
            assert_eq!(shown(data), expected, "{data:02X?}");
        }
    }

    #[test]
    fn extensions_number_storage_tariff_and_subunit() {
        let (record, _) = next(&[0xC1, 0xF1, 0x01, 0x03, 0x05], false).unwrap();
        assert_eq!((record.storage, record.tariff, record.subunit), (35, 3, 1));
        assert_eq!(record.header_text(), "C1 F1 01 03");
        let mut longest = vec![0x81];
        longest.extend([0xFF; 9]);
        longest.extend([0x7F, 0x03, 0x05]);
        let (record, _) = next(&longest, false).unwrap();
        assert_eq!(record.storage, (1 << 41) - 2);
        longest.insert(1, 0x80);
        assert_eq!(
            next(&longest, false),
            Err(Ended::Unreadable("too many extensions of a data field"))
        );
    }

    #[test]
    fn a_big_endian_value_is_turned_round() {
        let (record, _) = next(&[0x02, 0x2B, 0x12, 0x34], true).unwrap();
        assert_eq!(record.value.to_string(), "4660");
    }

    #[test]
    fn nothing_is_read_behind_the_end() {
        for data in [
            &[0x84][..],
            &[0x04],
            &[0x04, 0x83],
            &[0x04, 0x03, 1, 2, 3],
            &[0x0D, 0x03],
            &[0x0D, 0x03, 5, b'A'],
            &[0x02, 0xFC, 0x03, b'a'],
        ] {
            assert_eq!(
                next(data, false),
                Err(Ended::Unreadable(CUT)),
                "{data:02X?}"
            );
        }
        assert_eq!(
            next(&[0x0D, 0x03, 0xFA], false),
            Err(Ended::Unreadable("a reserved length"))
        );
    }
}
