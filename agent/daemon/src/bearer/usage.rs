//! Bytes over each bearer, today and this month, by what the interfaces count.
//!
//! An interface counts from its making: from the start of the machine, or from when a stick was
//! plugged in. What is added is the difference to the last look, or all of it where the counter has
//! begun anew. Days and months are those of UTC; while the date is not known everything goes to the
//! latest that was.

use std::{collections::BTreeMap, io, path::Path};

use lamplighter_model::{BootId, Now};
use serde::{Deserialize, Serialize};

use super::BearerId;
use crate::{
    status::time,
    store::{StateDir, snapshot},
};

/// In the state directory.
const FILE: &str = "bearers.cbor";
const FORMAT: &str = "lamplighter bearers";
const VERSION: u32 = 1;

/// What an interface has counted, both ways.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Reading<'a> {
    pub(crate) index: u32,
    pub(crate) interface: &'a str,
    pub(crate) bytes: u64,
}

/// Counts of all bearers.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// In the order of the bearers.
    names: Vec<String>,
    counts: BTreeMap<String, Count>,
}

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct Count {
    today: u64,
    month: u64,
    /// How much of both was counted without a date since `day`.
    undated: u64,
    /// Since 1970-01-01.
    day: Option<i64>,
    last: Option<Last>,
}

/// The last look.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Last {
    boot: u32,
    index: u32,
    interface: String,
    bytes: u64,
}

/// What is kept over a restart, by the names of bearers.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Saved(BTreeMap<String, Count>);

impl Saved {
    /// Nothing, where there is nothing that can be read.
    pub(crate) fn read(state_dir: &Path) -> Self {
        let found = snapshot::read(&mut StateDir::new(state_dir), FILE, FORMAT, VERSION);
        found.map(|found| found.body).unwrap_or_default()
    }

    pub(crate) fn write(&self, state_dir: &Path) -> io::Result<()> {
        let mut disk = StateDir::new(state_dir);
        snapshot::write(&mut disk, FILE, FORMAT, VERSION, self).map(|_| ())
    }
}

impl Usage {
    /// Of these bearers; `saved`: what [`Self::saved`] gave before. What belongs to a bearer that is
    /// not configured any more is left out.
    pub(crate) fn restore(names: Vec<String>, saved: Saved) -> Self {
        let Saved(mut counts) = saved;
        counts.retain(|name, _| names.contains(name));
        Self { names, counts }
    }

    /// To be kept for [`Self::restore`].
    pub(crate) fn saved(&self) -> Saved {
        Saved(self.counts.clone())
    }

    /// Adds what has come since the last look; bytes of today and of this month.
    pub(crate) fn count(&mut self, bearer: BearerId, reading: Reading<'_>, now: Now) -> (u64, u64) {
        let Some(name) = self.names.get(usize::from(bearer.0)) else {
            return (0, 0);
        };
        let count = self.counts.entry(name.clone()).or_default();
        let day = now.unix.map(time::day_of);
        if let Some(day) = day {
            count.date(day);
        }
        count.add(reading, now.boot, day.is_none());
        (count.today, count.month)
    }
}

impl Count {
    fn date(&mut self, day: i64) {
        let former = self.day.replace(day);
        let undated = std::mem::take(&mut self.undated);
        // A clock that was set back ends no day: nobody is given his bytes twice.
        let Some(former) = former.filter(|former| *former < day) else {
            return;
        };
        self.today = undated;
        if time::month_of(former) != time::month_of(day) {
            self.month = undated;
        }
    }

    fn add(&mut self, reading: Reading<'_>, boot: BootId, is_undated: bool) {
        let bytes = self
            .last
            .as_ref()
            .map_or(0, |last| last.until(reading, boot));
        self.today = self.today.saturating_add(bytes);
        self.month = self.month.saturating_add(bytes);
        if is_undated {
            self.undated = self.undated.saturating_add(bytes);
        }
        self.last = Some(Last {
            boot: boot.0,
            index: reading.index,
            interface: reading.interface.to_owned(),
            bytes: reading.bytes,
        });
    }
}

impl Last {
    /// Bytes since this look.
    fn until(&self, reading: Reading<'_>, boot: BootId) -> u64 {
        let is_same = self.boot == boot.0 && self.index == reading.index;
        match reading.bytes.checked_sub(self.bytes) {
            Some(bytes) if is_same => bytes,
            // It was made anew, or its driver began anew.
            Some(_) | None if is_same || self.interface == reading.interface => reading.bytes,
            // The bearer has been given another one: what that one did before is not this bearer's.
            Some(_) | None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lamplighter_model::UnixTime;
    use proptest::prelude::*;

    use super::*;

    const BEARER: BearerId = BearerId(0);

    fn usage() -> Usage {
        Usage::restore(vec!["lte".to_owned()], Saved::default())
    }

    fn reading(index: u32, bytes: u64) -> Reading<'static> {
        Reading {
            index,
            interface: "wwan0",
            bytes,
        }
    }

    fn at(boot: u32, date: Option<&str>) -> Now {
        let date = date.map(|date| time::parse(&format!("{date}T12:00:00Z")).unwrap());
        Now {
            boot: BootId(boot),
            mono: Duration::ZERO,
            unix: date,
        }
    }

    fn on(date: &str) -> Now {
        at(1, Some(date))
    }

    #[test]
    fn what_was_before_the_first_look_is_not_counted() {
        let mut usage = usage();
        let now = on("2026-11-23");
        assert_eq!(usage.count(BEARER, reading(3, 5000), now), (0, 0));
        assert_eq!(usage.count(BEARER, reading(3, 5100), now), (100, 100));
        assert_eq!(usage.count(BearerId(7), reading(3, 1), now), (0, 0));
    }

    #[test]
    fn a_device_that_was_plugged_in_again_and_a_machine_that_started_again_count_from_zero() {
        let mut usage = usage();
        let now = on("2026-11-23");
        usage.count(BEARER, reading(3, 5000), now);
        // More than before, and yet all of it is new.
        assert_eq!(usage.count(BEARER, reading(4, 6000), now), (6000, 6000));
        assert_eq!(usage.count(BEARER, reading(4, 6001), now), (6001, 6001));
        let later = at(2, Some("2026-11-23"));
        assert_eq!(usage.count(BEARER, reading(4, 10), later), (6011, 6011));
        // The driver forgot.
        assert_eq!(usage.count(BEARER, reading(4, 3), later), (6014, 6014));
        let other = Reading {
            interface: "usb0",
            ..reading(9, 1_000_000)
        };
        assert_eq!(usage.count(BEARER, other, later), (6014, 6014));
    }

    #[test]
    fn days_and_months_end_by_the_date() {
        let mut usage = usage();
        usage.count(BEARER, reading(3, 0), on("2026-11-29"));
        assert_eq!(usage.count(BEARER, reading(3, 1), on("2026-11-29")), (1, 1));
        assert_eq!(usage.count(BEARER, reading(3, 3), on("2026-11-30")), (2, 3));
        assert_eq!(usage.count(BEARER, reading(3, 7), on("2026-12-01")), (4, 4));
        assert_eq!(usage.count(BEARER, reading(3, 8), on("2027-12-01")), (1, 1));
    }

    #[test]
    fn a_clock_that_is_set_back_ends_no_day() {
        let mut usage = usage();
        usage.count(BEARER, reading(3, 0), on("2026-12-01"));
        usage.count(BEARER, reading(3, 9), on("2026-12-01"));
        assert_eq!(usage.count(BEARER, reading(3, 9), on("2026-11-30")), (9, 9));
        assert_eq!(usage.count(BEARER, reading(3, 9), on("2026-12-01")), (0, 0));
    }

    #[test]
    fn bytes_without_a_date_go_to_the_day_that_turns_out() {
        let kept = {
            let mut usage = usage();
            usage.count(BEARER, reading(3, 0), on("2026-11-30"));
            usage.count(BEARER, reading(3, 100), on("2026-11-30"));
            usage.saved()
        };
        let restored = || Usage::restore(vec!["lte".to_owned()], kept.clone());
        let undated = at(2, None);
        for (date, expected) in [("2026-11-30", (117, 117)), ("2026-12-02", (17, 17))] {
            let mut usage = restored();
            assert_eq!(usage.count(BEARER, reading(3, 10), undated), (110, 110));
            let now = at(2, Some(date));
            assert_eq!(usage.count(BEARER, reading(3, 17), now), expected, "{date}");
        }
    }

    #[test]
    fn counts_come_back_as_they_were_and_nonsense_begins_anew() {
        let mut usage = usage();
        usage.count(BEARER, reading(3, 5), on("2026-11-30"));
        usage.count(BEARER, reading(3, 9), on("2026-11-30"));
        let directory = crate::fake::directory("usage");
        usage.saved().write(&directory).unwrap();
        let kept = || Saved::read(&directory);
        let names = || vec!["cable".to_owned(), "lte".to_owned()];
        let mut moved = Usage::restore(names(), kept());
        let now = on("2026-11-30");
        assert_eq!(moved.count(BearerId(1), reading(3, 10), now), (5, 5));
        assert_eq!(moved.count(BearerId(0), reading(2, 10), now), (0, 0));
        let gone = Usage::restore(vec!["cable".to_owned()], kept());
        assert!(gone.counts.is_empty());
        for bytes in [&b""[..], b"nonsense"] {
            crate::atomic::write(&directory.join(FILE), bytes, 0o600).unwrap();
            assert!(Usage::restore(names(), kept()).counts.is_empty());
        }
    }

    proptest! {
        /// Whatever interfaces count and clocks show, bytes never vanish within a day, and a day never
        /// has more than its month.
        #[test]
        fn today_is_never_more_than_this_month(
            steps in prop::collection::vec(
                (0u32..3, 0u32..3, 0u64..u64::MAX, prop::option::of(1_700_000_000_000i64..1_900_000_000_000)),
                1..40,
            ),
        ) {
            let mut usage = usage();
            for (boot, index, bytes, unix) in steps {
                let now = Now { boot: BootId(boot), mono: Duration::ZERO, unix: unix.map(UnixTime) };
                let (today, month) = usage.count(BEARER, reading(index, bytes), now);
                prop_assert!(today <= month);
            }
        }
    }
}
