//! What is known of the date, for the judgement of certificates (design, 6 "Clock").

use lamplighter_dtls::{Clock, Time};
use lamplighter_model::{Now, UnixTime};

use crate::{boundary::ClockTrust, saved::Record};

/// The last date that was certain, over restarts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dates {
    kept: i64,
    last: i64,
    trust: ClockTrust,
}

/// 2026-11-22. `tests/tidy` says when it is to be raised.
const WRITTEN: i64 = 1_795_305_600;
/// When this version was made: it cannot be earlier. Packages are built with the variable, which
/// has the date of their changelog (reproducible-builds.org). Seconds since 1970.
const RELEASED: i64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => later(text, WRITTEN),
    None => WRITTEN,
};
/// Seconds after which the date is kept again, for the sake of the flash.
const KEPT_EVERY: i64 = 86_400;

impl Default for Dates {
    fn default() -> Self {
        Self {
            kept: RELEASED,
            last: RELEASED,
            trust: ClockTrust::default(),
        }
    }
}

/// A number, if it is one and the greater.
const fn later(text: &str, date: i64) -> i64 {
    match i64::from_str_radix(text, 10) {
        Ok(number) if number > date => number,
        Ok(_) | Err(_) => date,
    }
}

impl Dates {
    pub(crate) fn restore(&mut self, date: UnixTime) {
        let date = date.seconds().max(self.last);
        (self.kept, self.last) = (date, date);
    }

    /// What the dates of this client are worth from now on.
    pub(crate) const fn trust(&mut self, trust: ClockTrust) {
        self.trust = trust;
    }

    /// What certificates are judged by.
    pub(crate) fn clock(&mut self, now: Now) -> Clock {
        let time = match (now.unix.map(UnixTime::seconds), self.trust) {
            (None, _) => Time::Unknown,
            // It is known to be wrong.
            (Some(date), ClockTrust::Estimated) if date < self.last => Time::Unknown,
            (Some(date), ClockTrust::Estimated) => Time::Estimated(date),
            (Some(date), ClockTrust::Trusted) => {
                self.last = self.last.max(date);
                Time::Trusted(date)
            }
        };
        let floor = self.last;
        Clock { floor, time }
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

    fn trusting() -> Dates {
        let mut dates = Dates::default();
        dates.trust(ClockTrust::Trusted);
        dates
    }

    #[test]
    fn a_date_for_which_nobody_vouches_is_an_estimate_and_is_not_kept() {
        let mut dates = Dates::default();
        let later = RELEASED + 2 * KEPT_EVERY;
        let clock = dates.clock(at(Some(later)));
        assert_eq!(
            (clock.floor, clock.time),
            (RELEASED, Time::Estimated(later))
        );
        assert_eq!(dates.poll_save(), None);
        // It is known to be wrong.
        let earlier = dates.clock(at(Some(RELEASED - 1)));
        assert_eq!(earlier.time, Time::Unknown);
        dates.trust(ClockTrust::Trusted);
        let clock = dates.clock(at(Some(later)));
        assert_eq!((clock.floor, clock.time), (later, Time::Trusted(later)));
    }

    #[test]
    fn a_later_date_of_the_build_counts() {
        assert_eq!(later("1800000000", 5), 1_800_000_000);
        for text in ["4", "", "x", "99999999999999999999"] {
            assert_eq!(later(text, 5), 5);
        }
    }

    #[test]
    fn a_date_that_was_certain_is_never_forgotten() {
        let mut dates = trusting();
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
        let mut dates = trusting();
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
