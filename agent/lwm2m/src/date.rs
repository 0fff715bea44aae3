//! What is known of the date, for the judgement of certificates (design, 6 "Clock").

use lamplighter_dtls::{Clock, Time};
use lamplighter_model::{Now, UnixTime};

use crate::saved::Record;

/// The last date that was certain, over restarts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dates {
    kept: i64,
    last: i64,
}

/// It is not earlier than this version: 2026-11-22. Seconds since 1970.
const RELEASED: i64 = 1_795_305_600;
/// Seconds after which the date is kept again, for the sake of the flash.
const KEPT_EVERY: i64 = 86_400;

impl Default for Dates {
    fn default() -> Self {
        Self {
            kept: RELEASED,
            last: RELEASED,
        }
    }
}

impl Dates {
    pub(crate) fn restore(&mut self, date: UnixTime) {
        let date = date.seconds().max(self.last);
        (self.kept, self.last) = (date, date);
    }

    /// What certificates are judged by.
    pub(crate) fn clock(&mut self, now: Now) -> Clock {
        let time = now.unix.map(UnixTime::seconds);
        self.last = time.map_or(self.last, |time| time.max(self.last));
        Clock {
            floor: self.last,
            time: time.map_or(Time::Unknown, Time::Trusted),
        }
    }

    /// What is to be kept of it, once a day.
    pub(crate) fn poll_save(&mut self) -> Option<Record> {
        if self.last < self.kept.saturating_add(KEPT_EVERY) {
            return None;
        }
        self.kept = self.last;
        Some(Record::Date(UnixTime::from_seconds(self.last)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lamplighter_model::BootId;

    use super::*;

    fn at(unix: Option<i64>) -> Now {
        Now {
            boot: BootId(1),
            mono: Duration::ZERO,
            unix: unix.map(UnixTime::from_seconds),
        }
    }

    #[test]
    fn a_date_that_was_certain_is_never_forgotten() {
        let mut dates = Dates::default();
        assert_eq!(dates.clock(at(None)).floor, RELEASED);
        let later = RELEASED + 1000;
        assert_eq!(dates.clock(at(Some(later))).time, Time::Trusted(later));
        // The clock was set back, or is lost.
        let earlier = dates.clock(at(Some(5)));
        assert_eq!((earlier.floor, earlier.time), (later, Time::Trusted(5)));
        let unknown = dates.clock(at(None));
        assert_eq!((unknown.floor, unknown.time), (later, Time::Unknown));
    }

    #[test]
    fn it_is_kept_once_a_day() {
        let mut dates = Dates::default();
        assert_eq!(dates.poll_save(), None);
        dates.clock(at(Some(RELEASED + KEPT_EVERY)));
        let Some(Record::Date(kept)) = dates.poll_save() else {
            panic!("the date is not kept");
        };
        assert_eq!(dates.poll_save(), None);
        let mut restored = Dates::default();
        restored.restore(kept);
        assert_eq!(restored.clock(at(None)).floor, RELEASED + KEPT_EVERY);
        assert_eq!(restored.poll_save(), None);
    }
}
