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
    /// Numbers of the meter (0), and of those behind it by their channel.
    serials: BTreeMap<u8, String>,
    counters: BTreeMap<ResourceAddress, Counter>,
}

/// What is to be known after a restart.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Believed {
    pub serials: Vec<(u8, String)>,
    pub counters: Vec<(ResourceAddress, Decimal)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Counter {
    believed: Decimal,
    /// The last smaller reading, and how often in a row.
    doubted: Option<(Decimal, u8)>,
}

impl Counters {
    /// Another meter begins where it is: what the old one had counted (`is_its`) says nothing of it.
    /// The number of the old one, where it is another.
    pub fn meter_is(
        &mut self,
        channel: u8,
        serial: &str,
        is_its: impl Fn(ResourceAddress) -> bool,
    ) -> Option<String> {
        let before = self.serials.insert(channel, serial.to_owned())?;
        if before == serial {
            return None;
        }
        self.counters.retain(|address, _| !is_its(*address));
        Some(before)
    }

    /// What is to be known after a restart; doubts are not.
    pub fn believed(&self) -> Believed {
        let serials = self.serials.iter();
        let counters = self.counters.iter();
        Believed {
            serials: serials
                .map(|(channel, serial)| (*channel, serial.clone()))
                .collect(),
            counters: counters
                .map(|(address, counter)| (*address, counter.believed))
                .collect(),
        }
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

impl From<Believed> for Counters {
    fn from(believed: Believed) -> Self {
        let counter = |(address, believed)| {
            let counter = Counter {
                believed,
                doubted: None,
            };
            (address, counter)
        };
        Self {
            serials: believed.serials.into_iter().collect(),
            counters: believed.counters.into_iter().map(counter).collect(),
        }
    }
}

impl Believed {
    /// Whether keeping `self` cannot wait: what was kept before would doubt what is true now, or miss
    /// an exchange.
    pub fn is_urgent_after(&self, kept: &Self) -> bool {
        let went_back = |(address, now): &(ResourceAddress, Decimal)| {
            kept.counters
                .iter()
                .any(|(other, before)| other == address && now < before)
        };
        self.serials != kept.serials || self.counters.iter().any(went_back)
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
        let gas = ResourceAddress::gateway(3423, 0, 1);
        assert_eq!(counters.meter_is(0, "1", |_| true), None);
        assert_eq!(counters.meter_is(1, "9", |_| true), None);
        counters.count(ENERGY, number("100"));
        counters.count(gas, number("100"));
        let before = counters.believed();
        assert_eq!(counters.meter_is(0, "1", |_| true), None);
        let exchanged = counters.meter_is(0, "2", |address| address == ENERGY);
        assert_eq!(exchanged, Some("1".to_owned()));
        assert_eq!(counters.count(ENERGY, number("5")), Counted::On);
        assert!(matches!(
            counters.count(gas, number("5")),
            Counted::Back { .. }
        ));
        let now = counters.believed();
        assert!(now.is_urgent_after(&before));
        assert!(!now.is_urgent_after(&now));
        assert_eq!(Counters::from(now.clone()).believed(), now);
    }
}
