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

    /// Whether a configured number means this one of a telegram: `1.8.0` is `1-b:1.8.0*255` for
    /// any b, but never the stored value `1.8.0*01`.
    pub fn matches(&self, other: &Self) -> bool {
        let agree = |a: Option<u8>, b: Option<u8>| a.zip(b).is_none_or(|(a, b)| a == b);
        let tariff = |obis: &Self| obis.tariff.unwrap_or(Group::Number(0));
        agree(self.medium, other.medium)
            && agree(self.channel, other.channel)
            && (self.quantity, self.kind) == (other.quantity, other.kind)
            && tariff(self) == tariff(other)
            && self.period == other.period
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
    fn a_number_reads_back_as_it_prints() {
        for text in ["1-0:1.8.0", "1.8.0*1", "F.F", "C.1.0", "0-0:96.7.21"] {
            assert_eq!(text.parse::<Obis>().unwrap().to_string(), text);
        }
    }
}
