//! Days, and the local time of the machine.

use std::{fmt, str::FromStr};

use tz::TimeZone;

const DAY_S: i64 = 86_400;
/// The longest that clocks are set forward or back at once.
const LONGEST_SHIFT_S: i64 = DAY_S;

/// A day of the calendar, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Day(i32);

/// The days of the week, as in texts; their order is that of [`Day::weekday`].
pub(super) const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A month and a day, of one year or of every year.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Date {
    /// `None`: every year.
    pub(super) year: Option<i32>,
    pub(super) month: u8,
    pub(super) day: u8,
}

/// The rule of a time zone, with the changes to and from summer time.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(TimeZone);

impl Day {
    /// Proleptic Gregorian calendar.
    pub(super) fn of(year: i32, month: u8, day: u8) -> Self {
        // Years begin in March, so that the day that is left out sometimes is the last one.
        let shifted = i32::from(month <= 2);
        let year = year - shifted;
        let month = (i32::from(month) + 9) % 12;
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let of_year = (153 * month + 2) / 5 + i32::from(day) - 1;
        let days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        Self(era * 146_097 + days - 719_468)
    }

    pub(super) fn date(self) -> Date {
        let days = self.0 + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let shifted = i32::from(month >= 10);
        Date {
            year: Some(era * 400 + year + shifted),
            month: u8::try_from((month + 2) % 12 + 1).unwrap_or(1),
            day: u8::try_from(day).unwrap_or(1),
        }
    }

    /// 0 is Monday.
    pub(super) fn weekday(self) -> usize {
        usize::try_from((self.0 + 3).rem_euclid(7)).unwrap_or(0)
    }

    pub(super) const fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Days from `self` to `later`.
    pub(super) const fn until(self, later: Self) -> i32 {
        later.0.saturating_sub(self.0)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(f)
    }
}

impl Date {
    /// The day in this year, for dates of every year; `None` where that year has no such day.
    pub(super) fn in_year(self, year: i32) -> Option<Day> {
        let day = Day::of(self.year.unwrap_or(year), self.month, self.day);
        let found = day.date();
        (found.month == self.month && found.day == self.day).then_some(day)
    }
}

impl FromStr for Date {
    type Err = String;

    /// `2026-12-24` or `12-24`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a date like 12-24 or 2026-12-24");
        let parts: Vec<&str> = text.split('-').collect();
        let (year, month, day) = match parts[..] {
            [month, day] => (None, month, day),
            [year, month, day] if year.len() == 4 => (Some(year), month, day),
            _ => return Err(wrong()),
        };
        let number = |text: &str| {
            let two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            two.then(|| text.parse::<u8>().ok()).flatten()
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let year = match year.map(|year| (digits(year), year.parse::<u16>())) {
            Some((true, Ok(year))) => Some(i32::from(year)),
            Some(_) => return Err(wrong()),
            None => None,
        };
        let (Some(month), Some(day)) = (number(month), number(day)) else {
            return Err(wrong());
        };
        let date = Self { year, month, day };
        // In a leap year every day there ever is exists.
        date.in_year(2024).map(|_| date).ok_or_else(wrong)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(year) = self.year {
            write!(f, "{year:04}-")?;
        }
        write!(f, "{:02}-{:02}", self.month, self.day)
    }
}

impl Zone {
    pub fn utc() -> Self {
        Self(TimeZone::utc())
    }

    /// Hours east of Greenwich by the sun, for where nobody knows the zone.
    pub fn of_longitude(lon: f64) -> Self {
        let hours = (lon / 15.0).round().clamp(-12.0, 12.0) as i32;
        Self(TimeZone::fixed(hours * 3600).unwrap_or_else(|_| TimeZone::utc()))
    }

    /// The content of a file of the tz database (RFC 9636); `None` where it is none.
    pub fn from_tz_data(bytes: &[u8]) -> Option<Self> {
        TimeZone::from_tz_data(bytes).ok().map(Self)
    }

    /// Seconds east of Greenwich.
    fn offset(&self, unix: i64) -> i64 {
        self.0
            .find_local_time_type(unix)
            .map_or(0, |kind| i64::from(kind.ut_offset()))
    }

    /// The day, and the seconds that clocks show since its midnight.
    pub(super) fn local(&self, unix: i64) -> (Day, i64) {
        let local = unix.saturating_add(self.offset(unix));
        let day = i32::try_from(local.div_euclid(DAY_S)).unwrap_or(i32::MAX);
        (Day(day), local.rem_euclid(DAY_S))
    }

    /// When clocks show this time of the day, the first time. A time that is left out because
    /// clocks are set forward is when they are set.
    pub(super) fn unix(&self, day: Day, seconds: i64) -> i64 {
        let local = i64::from(day.0) * DAY_S + seconds;
        let before = self.offset(local - LONGEST_SHIFT_S);
        let after = self.offset(local + LONGEST_SHIFT_S);
        let (early, late) = (local - before, local - after);
        if self.offset(early) == before {
            return early;
        }
        if self.offset(late) == after {
            return late;
        }
        self.shift(late, early)
    }

    /// When clocks are set between two times with another offset.
    fn shift(&self, mut earlier: i64, mut later: i64) -> i64 {
        let before = self.offset(earlier);
        while later - earlier > 1 {
            let middle = earlier + (later - earlier) / 2;
            if self.offset(middle) == before {
                earlier = middle;
            } else {
                later = middle;
            }
        }
        later
    }
}

/// A file of the tz database that says everything by its rule (RFC 9636, 3).
#[cfg(test)]
pub(super) fn zone_of(rule: &str) -> Zone {
    let mut part = b"TZif2".to_vec();
    part.extend([0; 15]);
    for count in [0u32, 0, 0, 0, 1, 4] {
        part.extend(count.to_be_bytes());
    }
    part.extend([0; 6]);
    part.extend(b"LMT\0");
    let bytes = [part.clone(), part, format!("\n{rule}\n").into_bytes()].concat();
    Zone::from_tz_data(&bytes).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    #[test]
    fn days_and_dates_are_the_same_both_ways() {
        for number in -200_000..200_000 {
            let Date { year, month, day } = Day(number).date();
            assert_eq!(Day::of(year.unwrap(), month, day), Day(number));
        }
        assert_eq!(Day::of(1970, 1, 1), Day(0));
        assert_eq!(Day::of(2026, 11, 22).weekday(), 6, "a Sunday");
    }

    #[test]
    fn only_dates_that_there_are_are_read() {
        for good in ["12-24", "2026-12-24", "02-29"] {
            assert_eq!(good.parse::<Date>().unwrap().to_string(), good);
        }
        for bad in [
            "2-9",
            "02-30",
            "13-01",
            "00-10",
            "26-12-24",
            "",
            "12-24-",
            "+1-01",
            "+202-12-24",
        ] {
            assert!(bad.parse::<Date>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_that_is_left_out_is_when_clocks_are_set() {
        let zone = zone_of(BERLIN);
        let day = Day::of(2026, 3, 29);
        let set = 1_774_746_000; // 2026-03-29T01:00:00Z
        assert_eq!(zone.unix(day, 2 * 3600), set);
        assert_eq!(zone.unix(day, 2 * 3600 + 1800), set);
        assert_eq!(zone.unix(day, 3 * 3600), set);
        assert_eq!(zone.unix(day, 3600), set - 3600);
        assert_eq!(zone.local(set), (day, 3 * 3600));
    }

    #[test]
    fn of_a_time_that_comes_twice_the_first_counts() {
        let zone = zone_of(BERLIN);
        let day = Day::of(2026, 10, 25);
        let set = 1_792_890_000; // 2026-10-25T01:00:00Z
        assert_eq!(zone.unix(day, 2 * 3600 + 1800), set - 1800);
        assert_eq!(zone.unix(day, 3 * 3600), set + 3600);
        assert_eq!(zone.unix(day, 0), set - 3 * 3600);
    }

    #[test]
    fn a_whole_year_is_the_same_both_ways() {
        for rule in [BERLIN, "NST3:30NDT,M3.2.0,M11.1.0", "<+1245>-12:45"] {
            let zone = zone_of(rule);
            for hour in 0..366 * 24 {
                let unix = 1_767_225_600 + hour * 3600;
                let (day, seconds) = zone.local(unix);
                let back = zone.unix(day, seconds);
                assert!(back == unix || back == unix - 3600, "{rule} {unix}");
                assert_eq!(zone.local(back), (day, seconds));
            }
        }
    }
}
