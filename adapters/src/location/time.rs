//! Dates as receivers write them.

use lamplighter_model::UnixTime;

const DAY_MS: i64 = 86_400_000;

/// Midnight of a day of the Gregorian calendar, from 1970; `None` for days that no calendar has.
pub(super) fn midnight(year: i64, month: i64, day: i64) -> Option<UnixTime> {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    // Whoever wrote them may have meant anything: what is beyond is not counted with.
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let index = usize::try_from(month - 1).ok()?;
    let before = *BEFORE.get(index)?;
    let next = BEFORE.get(index + 1).copied().unwrap_or(365);
    let leap = i64::from(month == 2 && is_leap(year));
    if !(1..=next - before + leap).contains(&day) {
        return None;
    }
    let past = year - 1;
    let leaps = past / 4 - past / 100 + past / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let leap_day = i64::from(month > 2 && is_leap(year));
    let days = (year - 1970) * 365 + leaps + before + leap_day + day - 1;
    Some(UnixTime(days * DAY_MS))
}

/// `hhmmss[.sss]` as milliseconds of the day.
pub(super) fn of_day(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 6 || !is_digits(whole) || !is_digits(fraction) || fraction.is_empty() {
        return None;
    }
    let two = |at: usize| whole[at..at + 2].parse::<u32>().ok();
    let (hour, minute, second) = (two(0)?, two(2)?, two(4)?);
    let ms: u32 = format!("{fraction:0<3}")[..3].parse().ok()?;
    // A leap second counts as the first of the next minute.
    (hour < 24 && minute < 60 && second <= 60)
        .then(|| ((hour * 60 + minute) * 60 + second) * 1000 + ms)
}

/// `2026-11-23T03:15:00.000Z`
pub(super) fn iso(text: &str) -> Option<UnixTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let of_day = of_day(&time.replace(':', ""))?;
    Some(UnixTime(midnight(year, month, day)?.0 + i64::from(of_day)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_counted_as_everywhere() {
        for (text, ms) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2026-11-23T03:15:00.250Z", 1_795_403_700_250),
            ("2100-03-01T00:00:00.000Z", 4_107_542_400_000),
        ] {
            assert_eq!(iso(text), Some(UnixTime(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:0äZ",
            "1969-01-01T00:00:00Z",
            "2026--9223372036854775808-01T00:00:00Z",
            "9223372036854775807-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
        ] {
            assert_eq!(iso(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_numbers_are_too_large_for_a_date(year: i64, month: i64, day: i64) {
            let _ = midnight(year, month, day);
            prop_assert!(midnight(year, 1, 1).is_none_or(|at| at.0 >= 0));
            prop_assert_eq!(midnight(2026, month, 1).is_some(), (1..=12).contains(&month));
            prop_assert_eq!(midnight(2026, 1, day).is_some(), (1..=31).contains(&day));
        }

        #[test]
        fn each_day_comes_after_the_one_before(days in 0i64..2_932_896) {
            let (mut year, mut month, mut day) = (1970, 1, 1);
            let mut left = days;
            let length = |year| midnight(year + 1, 1, 1).map_or(365, |next| {
                (next.0 - midnight(year, 1, 1).unwrap().0) / DAY_MS
            });
            while left >= length(year) {
                left -= length(year);
                year += 1;
            }
            while left > 0 {
                left -= 1;
                day += 1;
                if midnight(year, month, day).is_none() {
                    (month, day) = (month + 1, 1);
                }
            }
            prop_assert_eq!(midnight(year, month, day), Some(UnixTime(days * DAY_MS)));
        }

        #[test]
        fn no_text_panics(text: String, numbers in "[-0-9]{0,60}T[0-9.:é]{0,20}Z") {
            for text in [text, numbers] {
                let _ = (iso(&text), of_day(&text));
            }
        }
    }
}
