//! How a meter is called on the line: by its primary number, or selected by what is written on it.

use std::{fmt, str::FromStr};

use super::frame::{Frame, control};

/// A meter on the line.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Address {
    /// 1–250, set in the meter; 0 is that of a new one, 254 whichever is there alone.
    Primary(u8),
    Secondary(Secondary),
}

/// Identification, maker, version and medium, or a pattern of them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Secondary {
    /// Eight digits, the first on the plate first; [`ANY_DIGIT`] fits every digit.
    digits: [u8; 8],
    /// `None` fits every maker.
    manufacturer: Option<u16>,
    version: Option<u8>,
    medium: Option<u8>,
}

/// The text is no address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotAddress;

/// In place of a digit: any.
pub const ANY_DIGIT: u8 = 0xF;
/// Of the meter that is selected (EN 13757-2, 5.7.5).
pub(super) const SELECTED: u8 = 253;
/// Every meter answers; on a line with one meter.
pub const ALONE: u8 = 254;
/// Control information of a selection (EN 13757-3, 11.3).
const SELECT: u8 = 0x52;
const ANY_WORD: u16 = 0xFFFF;
const ANY_BYTE: u8 = 0xFF;

impl Secondary {
    /// Fits every meter.
    pub const ANY: Self = Self {
        digits: [ANY_DIGIT; 8],
        manufacturer: None,
        version: None,
        medium: None,
    };

    /// Reads the first eight bytes of a long header. Some meters have other than decimal digits.
    pub(super) fn from_header(header: &[u8; 8]) -> Self {
        let mut digits = [0; 8];
        for (pair, byte) in digits.chunks_mut(2).zip(header[..4].iter().rev()) {
            pair[0] = byte >> 4;
            pair[1] = byte & 0x0F;
        }
        Self {
            digits,
            manufacturer: Some(u16::from_le_bytes([header[4], header[5]])),
            version: Some(header[6]),
            medium: Some(header[7]),
        }
    }

    fn header(self) -> [u8; 8] {
        let mut header = [0; 8];
        for (byte, pair) in header[..4].iter_mut().rev().zip(self.digits.chunks(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        let maker = self.manufacturer.unwrap_or(ANY_WORD).to_le_bytes();
        header[4..6].copy_from_slice(&maker);
        header[6] = self.version.unwrap_or(ANY_BYTE);
        header[7] = self.medium.unwrap_or(ANY_BYTE);
        header
    }

    /// The frame that makes the meters that fit answer to [`SELECTED`], and no other.
    pub(super) fn selection(self) -> Frame {
        Frame::Long {
            control: control::SND_UD,
            address: SELECTED,
            information: SELECT,
            data: self.header().to_vec(),
        }
    }

    /// Whether a meter that calls itself `other` is meant.
    pub fn fits(self, other: Self) -> bool {
        let digits = self.digits.iter().zip(other.digits);
        let digits_fit = digits
            .into_iter()
            .all(|(own, other)| *own == ANY_DIGIT || *own == other);
        digits_fit
            && (self.manufacturer.is_none() || self.manufacturer == other.manufacturer)
            && (self.version.is_none() || self.version == other.version)
            && (self.medium.is_none() || self.medium == other.medium)
    }

    /// With a digit in this place, counted from the left.
    #[must_use]
    pub fn with_digit(mut self, place: usize, digit: u8) -> Self {
        if let Some(place) = self.digits.get_mut(place) {
            *place = digit & 0x0F;
        }
        self
    }

    /// The digit in this place, counted from the left.
    pub(super) fn digit(self, place: usize) -> u8 {
        self.digits.get(place).copied().unwrap_or(ANY_DIGIT)
    }

    /// The number on the plate.
    pub fn identification(self) -> String {
        self.digits
            .iter()
            .map(|digit| format!("{digit:X}"))
            .collect()
    }

    /// The maker's three letters (EN 13757-3, 5.6); empty where it fits every maker.
    pub fn maker(self) -> String {
        let letter = |code: u16, shift: u16| {
            let place = u8::try_from(code >> shift & 0x1F).unwrap_or(0);
            char::from(place + 64)
        };
        self.manufacturer
            .map(|code| [10, 5, 0].map(|shift| letter(code, shift)))
            .map_or_else(String::new, |letters| letters.iter().collect())
    }

    /// What it measures, in words (EN 13757-7, table 13); `None` where that is open or not known.
    pub fn medium_word(self) -> Option<&'static str> {
        const WORDS: [(u8, &str); 17] = [
            (0x00, "other"),
            (0x01, "oil"),
            (0x02, "electricity"),
            (0x03, "gas"),
            (0x04, "heat"),
            (0x05, "steam"),
            (0x06, "warm water"),
            (0x07, "water"),
            (0x08, "heat cost"),
            (0x0A, "cooling, outlet"),
            (0x0B, "cooling, inlet"),
            (0x0C, "heat, inlet"),
            (0x0D, "heat and cooling"),
            (0x15, "hot water"),
            (0x16, "cold water"),
            (0x1B, "room sensor"),
            (0x31, "converter"),
        ];
        let known = WORDS
            .iter()
            .find(|(medium, _)| Some(*medium) == self.medium);
        known.map(|(_, word)| *word)
    }

    /// What it measures; `None` where it fits every medium.
    pub fn medium(self) -> Option<u8> {
        self.medium
    }

    pub fn version(self) -> Option<u8> {
        self.version
    }
}

impl FromStr for Secondary {
    type Err = NotAddress;

    /// The eight digits on the plate, or the sixteen characters that scanning programs print:
    /// identification, maker, version and medium, in the order of the wire; `F` fits any.
    fn from_str(text: &str) -> Result<Self, NotAddress> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || !matches!(text.len(), 8 | 16) {
            return Err(NotAddress);
        }
        let mut address = Self::ANY;
        for (place, digit) in text.chars().take(8).enumerate() {
            let digit = digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok());
            address.digits[place] = digit.ok_or(NotAddress)?;
        }
        if text.len() == 8 {
            return Ok(address);
        }
        let number = |from: usize, to: usize| {
            u16::from_str_radix(&text[from..to], 16).map_err(|_| NotAddress)
        };
        let byte = |from: usize| -> Result<Option<u8>, NotAddress> {
            let byte = u8::try_from(number(from, from + 2)?).map_err(|_| NotAddress)?;
            Ok(Some(byte).filter(|byte| *byte != ANY_BYTE))
        };
        let maker = number(8, 12)?.swap_bytes();
        address.manufacturer = Some(maker).filter(|maker| *maker != ANY_WORD);
        address.version = byte(12)?;
        address.medium = byte(14)?;
        Ok(address)
    }
}

impl fmt::Display for Secondary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.identification())?;
        self.header()[4..]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary(number) => number.fmt(f),
            Self::Secondary(secondary) => secondary.fmt(f),
        }
    }
}

impl fmt::Display for NotAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("eight digits, or sixteen hexadecimal ones with maker, version and medium")
    }
}

impl std::error::Error for NotAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_it_prints() {
        for text in ["2671859024232804", "FFFFFFFFFFFFFFFF", "1234567824FF0107"] {
            assert_eq!(text.parse::<Secondary>().unwrap().to_string(), text);
        }
        let plate: Secondary = "26718590".parse().unwrap();
        assert_eq!(plate.to_string(), "26718590FFFFFFFF");
        for wrong in [
            "",
            "1234567",
            "2671859024232",
            "2671859G",
            "26718590242328040",
        ] {
            assert_eq!(wrong.parse::<Secondary>(), Err(NotAddress), "{wrong}");
        }
    }

    #[test]
    fn the_selection_has_the_order_of_the_wire() {
        let address: Secondary = "2671859024232804".parse().unwrap();
        assert_eq!(address.maker(), "HYD");
        let expected = [
            0x68, 0x0B, 0x0B, 0x68, 0x53, 0xFD, 0x52, 0x90, 0x85, 0x71, 0x26, 0x24, 0x23, 0x28,
            0x04, 0xC1, 0x16,
        ];
        assert_eq!(address.selection().bytes(), expected);
        let header = [0x90, 0x85, 0x71, 0x26, 0x24, 0x23, 0x28, 0x04];
        assert_eq!(Secondary::from_header(&header), address);
    }

    #[test]
    fn a_pattern_fits_what_it_leaves_open() {
        let meter: Secondary = "2671859024232804".parse().unwrap();
        let fits = |text: &str| text.parse::<Secondary>().unwrap().fits(meter);
        assert!(fits("26718590") && fits("2FFFFFFF") && fits("FFFFFFFFFFFFFF04"));
        assert!(!fits("26718591") && !fits("FFFFFFFFFFFFFF07") && !fits("267185902423FF07"));
        assert!(Secondary::ANY.with_digit(0, 2).fits(meter));
        assert!(!Secondary::ANY.with_digit(7, 2).fits(meter));
    }
}
