//! Counters that never run backwards unnoticed.

use std::collections::BTreeMap;

use lamplighter_model::{Decimal, ResourceAddress};

/// Readings in a row that must agree before a counter that was set back is believed.
pub const CONFIRMATIONS: u8 = 3;

/// What became of a counter's reading.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Counted {
    /// It has gone on, or stands.
    On,
    /// It is smaller than this one, which holds until the smaller one is confirmed.
    Back {
        held: Decimal,
        /// Of those that do not confirm each other yet.
        is_first: bool,
    },
    /// The smaller reading was confirmed: it counts from there.
    Restarted { from: Decimal },
}

/// The last believed reading of each counter, and who counted it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    serial: Option<String>,
    counters: BTreeMap<ResourceAddress, Counter>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Counter {
    believed: Decimal,
    /// The last smaller reading, and how often in a row.
    doubted: Option<(Decimal, u8)>,
}

impl Counters {
    /// Another meter begins where it is: what the old one had counted says nothing of it. The number
    /// of the old one, where it is another.
    pub fn meter_is(&mut self, serial: Option<&str>) -> Option<String> {
        let serial = serial?;
        let before = self.serial.replace(serial.to_owned())?;
        if before == serial {
            return None;
        }
        self.counters.clear();
        Some(before)
    }

    /// Judges a reading.
    pub fn count(&mut self, address: ResourceAddress, value: Decimal) -> Counted {
        let counter = self.counters.entry(address).or_insert(Counter {
            believed: value,
            doubted: None,
        });
        if value >= counter.believed {
            *counter = Counter {
                believed: value,
                doubted: None,
            };
            return Counted::On;
        }
        let held = counter.believed;
        // Readings confirm each other only while they do not run backwards themselves.
        let times = match counter.doubted {
            Some((last, times)) if value >= last => times + 1,
            Some(_) | None => 1,
        };
        if times < CONFIRMATIONS {
            let is_first = counter.doubted.replace((value, times)).is_none();
            return Counted::Back { held, is_first };
        }
        *counter = Counter {
            believed: value,
            doubted: None,
        };
        Counted::Restarted { from: held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENERGY: ResourceAddress = ResourceAddress::gateway(3331, 0, 5700);

    fn number(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn a_smaller_reading_is_believed_only_when_confirmed() {
        let mut counters = Counters::default();
        let mut count = |text: &str| counters.count(ENERGY, number(text));
        let back = |is_first| Counted::Back {
            held: number("100.5"),
            is_first,
        };
        assert_eq!(count("100.5"), Counted::On);
        assert_eq!(count("100.50"), Counted::On);
        assert_eq!(count("0"), back(true));
        assert_eq!(count("100.5"), Counted::On, "once was a mistake");
        assert_eq!([count("7"), count("8")], [back(true), back(false)]);
        assert_eq!(count("3"), back(false), "which is smaller again");
        assert_eq!(count("3"), back(false));
        let restarted = Counted::Restarted {
            from: number("100.5"),
        };
        assert_eq!(count("3.1"), restarted);
        assert_eq!(count("3.1"), Counted::On);
    }

    #[test]
    fn another_meter_begins_anew() {
        let mut counters = Counters::default();
        assert_eq!(counters.meter_is(Some("1")), None);
        counters.count(ENERGY, number("100"));
        assert_eq!(counters.meter_is(None), None, "it did not say");
        assert_eq!(counters.meter_is(Some("1")), None);
        assert_eq!(counters.meter_is(Some("2")), Some("1".to_owned()));
        assert_eq!(counters.count(ENERGY, number("5")), Counted::On);
    }
}
