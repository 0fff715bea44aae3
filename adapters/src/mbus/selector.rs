//! Which record of a meter a point means.

use std::fmt;

use super::record::{Function, Record};

/// What a record must be. Several that fit are an error, unless [`Selector::number`] says which.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Selector {
    pub by: SelectBy,
    /// The how-manieth of those that fit, counted from 1.
    pub number: Option<u16>,
}

/// How a record is recognised.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SelectBy {
    /// The bytes in front of its value, as `meter read` prints them.
    Header(Vec<u8>),
    Meaning {
        /// As in [`super::Meaning::quantity`].
        quantity: String,
        function: Function,
        storage: u64,
        tariff: u32,
        subunit: u32,
        /// As in [`super::Meaning::qualifiers`]; `None`: it has none.
        qualifier: Option<String>,
    },
}

impl Selector {
    /// The place of the record that is meant.
    ///
    /// # Errors
    /// There is none, or there are several, in words.
    pub fn find<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> Result<usize, String> {
        let fitting: Vec<(usize, &Record)> = records
            .into_iter()
            .enumerate()
            .filter(|(_, record)| self.fits(record))
            .collect();
        match (self.number, &fitting[..]) {
            (None, [(at, _)]) => Ok(*at),
            (None, [(_, first), (_, second), ..]) => Err(format!(
                "the meter has {} records {self}, the first are {} and {}: say which",
                fitting.len(),
                first.header_text(),
                second.header_text()
            )),
            (Some(number), fitting) if usize::from(number) <= fitting.len() && number > 0 => {
                Ok(fitting[usize::from(number) - 1].0)
            }
            (None | Some(_), _) => Err(format!("the meter has no {self}")),
        }
    }

    fn fits(&self, record: &Record) -> bool {
        match &self.by {
            SelectBy::Header(header) => *header == record.header,
            SelectBy::Meaning {
                quantity,
                function,
                storage,
                tariff,
                subunit,
                qualifier,
            } => {
                let own: Vec<&str> = qualifier.iter().map(String::as_str).collect();
                *quantity == record.meaning.quantity
                    && *function == record.function
                    && (*storage, *tariff, *subunit)
                        == (record.storage, record.tariff, record.subunit)
                    && own == record.meaning.qualifiers
            }
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            SelectBy::Header(header) => {
                let bytes: Vec<String> = header.iter().map(|byte| format!("{byte:02X}")).collect();
                f.write_str(&bytes.join(" "))?;
            }
            SelectBy::Meaning {
                quantity,
                function,
                storage,
                tariff,
                subunit,
                qualifier,
            } => {
                f.write_str(quantity)?;
                if let Some(qualifier) = qualifier {
                    write!(f, " {qualifier}")?;
                }
                if *function != Function::Instantaneous {
                    write!(f, " {}", function.word())?;
                }
                for (name, number) in [
                    ("storage", *storage),
                    ("tariff", (*tariff).into()),
                    ("subunit", (*subunit).into()),
                ] {
                    if number != 0 {
                        write!(f, " {name} {number}")?;
                    }
                }
            }
        }
        match self.number {
            Some(number) => write!(f, ", number {number}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mbus::parse;

    fn energy() -> Selector {
        Selector {
            by: SelectBy::Meaning {
                quantity: "energy".into(),
                function: Function::Instantaneous,
                storage: 0,
                tariff: 0,
                subunit: 0,
                qualifier: None,
            },
            number: None,
        }
    }

    fn telegram() -> crate::mbus::Telegram {
        let data = [
            0x01, 0x03, 1, 0x41, 0x03, 2, 0x81, 0x10, 0x03, 3, 0x11, 0x03, 4, 0x02, 0xFD, 0xC8,
            0xFC, 0x01, 5, 0, 0x02, 0xFD, 0xC8, 0xFC, 0x02, 6, 0, 0x01, 0x2B, 7, 0x01, 0x2B, 8,
        ];
        let telegram = parse(0x78, &data).unwrap();
        assert_eq!((telegram.records.len(), telegram.lost), (8, None));
        telegram
    }

    fn found(selector: &Selector) -> Result<String, String> {
        let records = telegram().records;
        selector
            .find(&records)
            .map(|at| records[at].value.to_string())
    }

    fn by(quantity: &str) -> Selector {
        let mut selector = energy();
        if let SelectBy::Meaning { quantity: own, .. } = &mut selector.by {
            *own = quantity.into();
        }
        selector
    }

    #[test]
    fn a_record_is_found_by_what_it_means() {
        assert_eq!(found(&energy()).unwrap(), "1");
        for (change, value) in [(0, "2"), (1, "3"), (2, "4")] {
            let mut selector = energy();
            if let SelectBy::Meaning {
                storage,
                tariff,
                function,
                ..
            } = &mut selector.by
            {
                match change {
                    0 => *storage = 1,
                    1 => *tariff = 1,
                    _ => *function = Function::Maximum,
                }
            }
            assert_eq!(found(&selector).unwrap(), value, "{selector}");
        }
        let mut phase = by("voltage");
        if let SelectBy::Meaning { qualifier, .. } = &mut phase.by {
            *qualifier = Some("phase_l2".into());
        }
        assert_eq!(found(&phase).unwrap(), "0.6");
    }

    #[test]
    fn a_record_is_found_by_its_bytes_and_its_number() {
        let header = Selector {
            by: SelectBy::Header(vec![0x02, 0xFD, 0xC8, 0xFC, 0x01]),
            number: None,
        };
        assert_eq!(found(&header).unwrap(), "0.5");
        let second = Selector {
            number: Some(2),
            ..by("power")
        };
        assert_eq!(found(&second).unwrap(), "8");
    }

    #[test]
    fn none_and_several_are_named() {
        assert_eq!(
            found(&by("power")).unwrap_err(),
            "the meter has 2 records power, the first are 01 2B and 01 2B: say which"
        );
        for number in [0, 3] {
            let selector = Selector {
                number: Some(number),
                ..by("power")
            };
            let words = format!("the meter has no power, number {number}");
            assert_eq!(found(&selector).unwrap_err(), words);
        }
        assert_eq!(
            found(&by("voltage")).unwrap_err(),
            "the meter has no voltage"
        );
    }
}
