//! What a meter says in one long frame (EN 13757-3): who it is, and its records.

use std::fmt;

use super::{
    address::Secondary,
    fixed,
    record::{self, Ended, Record},
};

/// One answer of a meter, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telegram {
    pub header: Option<Header>,
    pub records: Vec<Record>,
    /// Another telegram follows.
    pub has_more: bool,
    /// What only the maker understands.
    pub maker_data: Vec<u8>,
    /// Why records at the end could not be read; empty where all were.
    pub lost: Option<&'static str>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// `None` where the meter sends only what changes.
    pub secondary: Option<Secondary>,
    /// Counts the answers of the meter.
    pub access: u8,
    pub status: Status,
}

/// What the meter says of itself with every answer (EN 13757-3, 5.9).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Status(pub u8);

/// Why an answer has no records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TelegramError {
    /// The meter says why it has none.
    Application(u8),
    Cut,
    /// The security mode.
    Encrypted(u8),
    /// Control information that is not understood.
    Unknown(u8),
}

/// Control information of answers.
mod information {
    pub(super) const ERROR: u8 = 0x70;
    pub(super) const ERROR_SHORT: u8 = 0x6E;
    pub(super) const ERROR_LONG: u8 = 0x6F;
    pub(super) const LONG: u8 = 0x72;
    pub(super) const LONG_BIG_ENDIAN: u8 = 0x76;
    pub(super) const FIXED: u8 = 0x73;
    pub(super) const FIXED_BIG_ENDIAN: u8 = 0x77;
    pub(super) const WITHOUT: u8 = 0x78;
    pub(super) const SHORT: u8 = 0x7A;
}

const LONG_HEADER: usize = 12;
const SHORT_HEADER: usize = 4;

/// Reads the user data of an answer with this control information.
///
/// # Errors
/// Why it has no records.
pub fn parse(information: u8, data: &[u8]) -> Result<Telegram, TelegramError> {
    match information {
        information::LONG | information::LONG_BIG_ENDIAN => {
            let is_big_endian = information == information::LONG_BIG_ENDIAN;
            let (header, records) = split(data, LONG_HEADER)?;
            let secondary = secondary(header, is_big_endian);
            variable(secondary, &header[8..], records, is_big_endian)
        }
        information::SHORT => {
            let (header, records) = split(data, SHORT_HEADER)?;
            variable(None, header, records, false)
        }
        information::WITHOUT => Ok(records(data, false)),
        information::FIXED | information::FIXED_BIG_ENDIAN => {
            fixed::parse(data, information == information::FIXED_BIG_ENDIAN)
        }
        information::ERROR => Err(TelegramError::Application(first(data))),
        information::ERROR_SHORT => {
            let (_, rest) = split(data, SHORT_HEADER)?;
            Err(TelegramError::Application(first(rest)))
        }
        information::ERROR_LONG => {
            let (_, rest) = split(data, LONG_HEADER)?;
            Err(TelegramError::Application(first(rest)))
        }
        other => Err(TelegramError::Unknown(other)),
    }
}

fn split(data: &[u8], header: usize) -> Result<(&[u8], &[u8]), TelegramError> {
    data.split_at_checked(header).ok_or(TelegramError::Cut)
}

/// An error without a code is an unspecified one (EN 13757-3, 9.2).
fn first(data: &[u8]) -> u8 {
    data.first().copied().unwrap_or(0)
}

fn secondary(header: &[u8], is_big_endian: bool) -> Option<Secondary> {
    let mut own: [u8; 8] = *header.first_chunk()?;
    if is_big_endian {
        own[..4].reverse();
        own[4..6].reverse();
    }
    Some(Secondary::from_header(&own))
}

/// `short`: access number, status and the word about encryption.
fn variable(
    secondary: Option<Secondary>,
    short: &[u8],
    data: &[u8],
    is_big_endian: bool,
) -> Result<Telegram, TelegramError> {
    let &[access, status, low, high] = short else {
        return Err(TelegramError::Cut);
    };
    let word = if is_big_endian { low } else { high };
    if let Some(mode) = security(word, data) {
        return Err(TelegramError::Encrypted(mode));
    }
    Ok(Telegram {
        header: Some(Header {
            secondary,
            access,
            status: Status(status),
        }),
        ..records(data, is_big_endian)
    })
}

/// The security mode, where one is used on wires (EN 13757-7, 7.6.5): older meters have put anything
/// into this word.
fn security(high: u8, data: &[u8]) -> Option<u8> {
    const ON_WIRES: [u8; 6] = [5, 7, 8, 9, 10, 13];
    let mode = high & 0x1F;
    // Data that were decrypted on the way begin with two fillers.
    let is_plain = data.is_empty() || data.starts_with(&[0x2F, 0x2F]);
    (ON_WIRES.contains(&mode) && !is_plain).then_some(mode)
}

fn records(mut data: &[u8], is_big_endian: bool) -> Telegram {
    let mut telegram = Telegram::default();
    while !data.is_empty() {
        match record::next(data, is_big_endian) {
            Ok((record, rest)) => {
                telegram.records.push(record);
                data = rest;
            }
            Err(Ended::Filler) => data = &data[1..],
            Err(Ended::Maker { has_more, data }) => {
                telegram.has_more = has_more;
                telegram.maker_data = data.to_vec();
                break;
            }
            Err(Ended::Unreadable(why)) => {
                telegram.lost = Some(why);
                break;
            }
        }
    }
    telegram
}

impl Status {
    /// The battery is low.
    pub fn is_power_low(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// An error of the meter itself, of now or for good; its values cannot be relied on.
    pub fn has_error(self) -> bool {
        self.0 & 0x18 != 0
    }

    /// What of it concerns people; empty where nothing does. The three highest bits are the maker's.
    pub fn words(self) -> Vec<&'static str> {
        let mut words = Vec::new();
        for (bit, word) in [
            (0x04, "low power"),
            (0x08, "permanent error"),
            (0x10, "temporary error"),
        ] {
            if self.0 & bit != 0 {
                words.push(word);
            }
        }
        match self.0 & 0x03 {
            1 => words.push("busy"),
            2 => words.push("application error"),
            3 => words.push("abnormal condition"),
            _ => (),
        }
        words
    }
}

impl fmt::Display for TelegramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // EN 13757-3, table 11.
            Self::Application(code) => {
                let words = match code {
                    0 => "unspecified",
                    1 => "it does not know this control information",
                    2 => "the request is too long",
                    3 => "too many records",
                    4 => "a record ends too early",
                    5 => "too many extensions of a data field",
                    6 => "too many extensions of a value field",
                    8 => "it is busy",
                    9 => "it was read too often",
                    _ => "a code of its own",
                };
                write!(f, "the meter reports error {code} ({words})")
            }
            Self::Cut => f.write_str("the answer is too short"),
            Self::Encrypted(mode) => write!(
                f,
                "the answer is encrypted (security mode {mode}), which is not supported"
            ),
            Self::Unknown(information) => {
                write!(f, "the answer has the unknown type {information:02X}")
            }
        }
    }
}

impl std::error::Error for TelegramError {}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [u8; 12] = [
        0x78, 0x56, 0x34, 0x12, 0x24, 0x40, 0x01, 0x07, 0x55, 0x00, 0x00, 0x00,
    ];

    fn long(header: [u8; 12], records: &[u8]) -> Result<Telegram, TelegramError> {
        parse(information::LONG, &[&header[..], records].concat())
    }

    #[test]
    fn the_example_of_the_standard_is_read() {
        // EN 13757-3, annex E: 12565 l, a maximum flow, 218.37 kWh of another device.
        let telegram = long(
            HEADER,
            &[
                0x03, 0x13, 0x15, 0x31, 0x00, 0xDA, 0x02, 0x3B, 0x13, 0x01, 0x8B, 0x60, 0x04, 0x37,
                0x18, 0x02,
            ],
        )
        .unwrap();
        let header = telegram.header.unwrap();
        assert_eq!(header.secondary.unwrap().to_string(), "1234567824400107");
        assert_eq!(header.access, 0x55);
        let shown: Vec<_> = telegram.records.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "volume 12.565 m3",
                "volume_flow 0.113 m3/h, maximum, storage 5",
                "energy 218370 Wh, tariff 2, subunit 1",
            ]
        );
        assert!(!telegram.has_more && telegram.lost.is_none());
    }

    #[test]
    fn an_error_of_the_meter_has_its_words() {
        for (data, words) in [
            (vec![8], "the meter reports error 8 (it is busy)"),
            (vec![], "the meter reports error 0 (unspecified)"),
        ] {
            let error = parse(information::ERROR, &data).unwrap_err();
            assert_eq!(error.to_string(), words);
        }
        assert_eq!(parse(0x00, &[1]), Err(TelegramError::Unknown(0)));
        assert_eq!(
            parse(information::LONG, &HEADER[..11]),
            Err(TelegramError::Cut)
        );
    }

    #[test]
    fn what_is_encrypted_is_named_and_old_signatures_are_not() {
        let mut header = HEADER;
        header[11] = 0x05;
        assert_eq!(long(header, &[0xAB; 16]), Err(TelegramError::Encrypted(5)));
        assert!(long(header, &[0x2F, 0x2F, 0x01, 0x13, 0x05]).is_ok());
        header[11] = 0xB6;
        assert!(long(header, &[0x01, 0x13, 0x05]).is_ok());
    }

    #[test]
    fn more_telegrams_and_makers_data_are_told_apart() {
        let more = long(HEADER, &[0x01, 0x13, 0x05, 0x1F]).unwrap();
        assert!(more.has_more && more.records.len() == 1);
        let last = long(HEADER, &[0x2F, 0x01, 0x13, 0x05, 0x0F, 0xAA, 0xBB]).unwrap();
        assert!(!last.has_more && last.maker_data == [0xAA, 0xBB]);
    }

    #[test]
    fn records_before_a_cut_are_kept() {
        let cut = long(HEADER, &[0x01, 0x13, 0x05, 0x04, 0x13, 0x01]).unwrap();
        assert_eq!(
            (cut.records.len(), cut.lost),
            (1, Some("a record is cut off"))
        );
    }

    #[test]
    fn the_status_has_words() {
        assert_eq!(Status(0x0C).words(), ["low power", "permanent error"]);
        assert!(Status(0x10).has_error() && !Status(0xE4).has_error());
    }
}
