//! OBIS numbers: what a meter's register means (IEC 62056-61, reduced forms of IEC 62056-21).

use std::{fmt, str::FromStr};

/// `A-B:C.D.E*F`; meters print reduced forms such as `1.8.0` or `F.F`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Obis {
    medium: Option<u8>,
    channel: Option<u8>,
    quantity: Group,
    kind: Group,
    tariff: Option<Group>,
    /// Stored values of earlier periods; 255 is the present one.
    period: u8,
}

/// A group that is a number, or a letter in the reduced form (`C`, `F`, `L`, `P`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Group {
    Letter(char),
    Number(u8),
}

/// The text is not an OBIS number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotObis;

/// Value group F of what holds now.
const PRESENT: u8 = 255;

impl Obis {
    /// The register of fatal errors.
    pub const ERRORS: Self = Self {
        medium: None,
        channel: None,
        quantity: Group::Letter('F'),
        kind: Group::Letter('F'),
        tariff: None,
        period: PRESENT,
    };

    /// Registers with a number of the meter itself, the best first: of the maker (C.1.n), of the owner
    /// (0.0.n). Those of other channels belong to meters behind it.
    pub fn serials() -> impl Iterator<Item = Self> {
        let of_maker = (0..=1).map(|n| Self::present(0, 96, 1, n));
        let of_owner = [0, 9].map(|n| Self::present(0, 0, 0, n));
        // Some print 1-1: before all.
        let of_channel_1 = [0, 9].map(|n| Self::present(1, 0, 0, n));
        of_maker.chain(of_owner).chain(of_channel_1)
    }

    const fn present(channel: u8, quantity: u8, kind: u8, tariff: u8) -> Self {
        Self {
            medium: None,
            channel: Some(channel),
            quantity: Group::Number(quantity),
            kind: Group::Number(kind),
            tariff: Some(Group::Number(tariff)),
            period: PRESENT,
        }
    }

    /// The six bytes of SML and DLMS/COSEM.
    pub const fn from_bytes(bytes: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = bytes;
        Self {
            medium: Some(a),
            channel: Some(b),
            quantity: Group::Number(c),
            kind: Group::Number(d),
            tariff: Some(Group::Number(e)),
            period: f,
        }
    }

    /// As six bytes; what is left out is 1-0 and tariff 0.
    pub fn to_bytes(self) -> [u8; 6] {
        [
            self.medium.unwrap_or(1),
            self.channel.unwrap_or(0),
            self.quantity.code(),
            self.kind.code(),
            self.tariff.map_or(0, Group::code),
            self.period,
        ]
    }

    /// Whether a configured number means this one of a telegram: `1.8.0` is `1-b:1.8.0*255` for
    /// any b, but never the stored value `1.8.0*01`.
    pub fn matches(&self, other: &Self) -> bool {
        let agree = |a: Option<u8>, b: Option<u8>| a.zip(b).is_none_or(|(a, b)| a == b);
        let tariff = |obis: &Self| obis.tariff.unwrap_or(Group::Number(0));
        agree(self.medium, other.medium)
            && agree(self.channel, other.channel)
            && self.quantity.code() == other.quantity.code()
            && self.kind.code() == other.kind.code()
            && tariff(self).code() == tariff(other).code()
            && self.period == other.period
    }
}

impl Group {
    /// Letters stand for numbers (IEC 62056-61, annex A): C for 96, F 97, L 98, P 99.
    fn code(self) -> u8 {
        match self {
            Self::Letter('C') => 96,
            Self::Letter('F') => 97,
            Self::Letter('L') => 98,
            Self::Letter('P') => 99,
            // Of no meaning in the standard: itself, beyond what it assigns.
            Self::Letter(letter) => u8::try_from(letter).unwrap_or(u8::MAX) | 0x80,
            Self::Number(number) => number,
        }
    }
}

impl FromStr for Obis {
    type Err = NotObis;

    fn from_str(text: &str) -> Result<Self, NotObis> {
        let (medium, rest) = match text.split_once('-') {
            Some((medium, rest)) => (Some(number(medium)?), rest),
            None => (None, text),
        };
        let (channel, rest) = match rest.split_once(':') {
            Some((channel, rest)) => (Some(number(channel)?), rest),
            None => (None, rest),
        };
        let (rest, period) = match rest.split_once(['*', '&']) {
            Some((rest, period)) => (rest, number(period)?),
            None => (rest, PRESENT),
        };
        let mut groups = rest.split('.').map(group);
        let quantity = groups.next().ok_or(NotObis)??;
        let kind = groups.next().ok_or(NotObis)??;
        let tariff = groups.next().transpose()?;
        if groups.next().is_some() {
            return Err(NotObis);
        }
        Ok(Self {
            medium,
            channel,
            quantity,
            kind,
            tariff,
            period,
        })
    }
}

impl fmt::Display for Obis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(medium) = self.medium {
            write!(f, "{medium}-")?;
        }
        if let Some(channel) = self.channel {
            write!(f, "{channel}:")?;
        }
        write!(f, "{}.{}", self.quantity, self.kind)?;
        if let Some(tariff) = self.tariff {
            write!(f, ".{tariff}")?;
        }
        if self.period != PRESENT {
            write!(f, "*{}", self.period)?;
        }
        Ok(())
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Letter(letter) => letter.fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl fmt::Display for NotObis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an OBIS number such as 1-0:1.8.0*255 or 1.8.0")
    }
}

impl std::error::Error for NotObis {}

fn number(text: &str) -> Result<u8, NotObis> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits {
        text.parse().map_err(|_| NotObis)
    } else {
        Err(NotObis)
    }
}

fn group(text: &str) -> Result<Group, NotObis> {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii_alphabetic() => {
            Ok(Group::Letter(letter.to_ascii_uppercase()))
        }
        _ => number(text).map(Group::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reduced_and_full_forms_mean_the_same() {
        for (configured, telegram, same) in [
            ("1-0:1.8.0*255", "1.8.0", true),
            ("1.8.0", "1-1:1.8.0", true),
            ("1-0:1.8.0", "1-1:1.8.0", false),
            ("1.8.0", "1.8.0*01", false),
            ("1.8.0*1", "1.8.0&01", true),
            ("1.8", "1.8.0", true),
            ("1.8.1", "1.8.2", false),
            ("f.f", "F.F", true),
            ("C.1.0", "0-0:C.1.0", true),
            ("C.1.0", "0-0:96.1.0*255", true),
            ("F.F", "97.97.0", true),
            ("7-0:3.0.0", "1-0:3.0.0", false),
        ] {
            let matches = configured
                .parse::<Obis>()
                .unwrap()
                .matches(&telegram.parse().unwrap());
            assert_eq!(matches, same, "{configured} {telegram}");
        }
        assert!(Obis::ERRORS.matches(&"F.F".parse().unwrap()));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "", "1", "1.8.0.0", "256.8.0", "1-:1.8.0", "1.8.", "AB.8.0", "1.8.0*", "+1.8.0",
        ] {
            assert_eq!(text.parse::<Obis>(), Err(NotObis), "{text}");
        }
    }

    #[test]
    fn six_bytes_are_a_full_form() {
        for (bytes, text) in [
            ([1, 0, 1, 8, 0, 255], "1-0:1.8.0"),
            ([0, 1, 24, 2, 1, 255], "0-1:24.2.1"),
            ([129, 129, 199, 130, 3, 255], "129-129:199.130.3"),
        ] {
            assert_eq!(Obis::from_bytes(bytes).to_string(), text);
            assert_eq!(text.parse::<Obis>().unwrap().to_bytes(), bytes);
        }
        assert_eq!(
            "C.1.0".parse::<Obis>().unwrap().to_bytes(),
            [1, 0, 96, 1, 0, 255]
        );
    }

    #[test]
    fn a_number_reads_back_as_it_prints() {
        for text in ["1-0:1.8.0", "1.8.0*1", "F.F", "C.1.0", "0-0:96.7.21"] {
            assert_eq!(text.parse::<Obis>().unwrap().to_string(), text);
        }
    }
}
