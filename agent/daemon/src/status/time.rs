//! How times look in everything that the API prints: RFC 3339, UTC, milliseconds
//! (`2026-08-01T12:00:00.000Z`), or null while the date is unknown.

use lamplighter_model::{Now, Stamp, UnixTime};

const DAY_MS: i64 = 86_400_000;

/// Wall time of a stamp, as text.
pub fn text_of(stamp: Stamp, now: Now) -> Option<String> {
    now.unix_of(stamp).map(rfc3339)
}

pub fn rfc3339(time: UnixTime) -> String {
    let (year, month, day) = civil(day_of(time));
    let ms = time.0.rem_euclid(DAY_MS);
    let (s, ms) = (ms / 1000, ms % 1000);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z",
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}

/// Days since 1970-01-01.
pub(crate) const fn day_of(time: UnixTime) -> i64 {
    time.0.div_euclid(DAY_MS)
}

/// Year and month of a day counted from 1970-01-01.
pub(crate) fn month_of(day: i64) -> (i64, i64) {
    let (year, month, _) = civil(day);
    (year, month)
}

/// Date of a day counted from 1970-01-01, in the proleptic Gregorian calendar: years are counted
/// from March, so that the leap day is the last of its year, in cycles of 400 years (146,097 days).
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468; // days from 0000-03-01 to 1970-01-01
    let (cycle, in_cycle) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (in_cycle - in_cycle / 1460 + in_cycle / 36_524 - in_cycle / 146_096) / 365;
    let in_year = in_cycle - (365 * year + year / 4 - year / 100);
    let march_month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (cycle * 400 + year + i64::from(month <= 2), month, day)
}

/// Of [`rfc3339`], also without fraction and with an offset; or seconds since 1970.
pub fn parse(text: &str) -> Option<UnixTime> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(UnixTime(seconds.checked_mul(1000)?));
    }
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let zone = rest.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = rest.split_at_checked(zone)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = digits(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = digits(time, ':', [2, 2, 2])?;
    let is_time = hour < 24 && minute < 60 && second < 60;
    let days = days_of(year, month, day)?;
    let seconds = (hour * 60 + minute) * 60 + second - offset(zone)? * 60;
    let ms = days * DAY_MS + seconds * 1000 + milliseconds(fraction)?;
    is_time.then_some(UnixTime(ms))
}

/// Numbers of so many digits each.
fn digits<const N: usize>(text: &str, between: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let parts: Vec<&str> = text.split(between).collect();
    let parts: [&str; N] = parts.try_into().ok()?;
    let mut numbers = [0; N];
    for ((number, part), length) in numbers.iter_mut().zip(parts).zip(lengths) {
        let is_number = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = part.parse().ok().filter(|_| is_number)?;
    }
    Some(numbers)
}

/// Minutes of `Z` or `+02:00`.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let [hours, minutes] = digits(rest, ':', [2, 2])?;
    let minutes = (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)?;
    Some(if sign == "-" { -minutes } else { minutes })
}

fn milliseconds(fraction: &str) -> Option<i64> {
    let is_number = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let three: String = fraction.chars().chain("00".chars()).take(3).collect();
    three.parse().ok().filter(|_| is_number)
}

/// The inverse of [`civil`]; `None` for a day that no month has.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) {
        return None;
    }
    let year_of_march = year - i64::from(month <= 2);
    let (cycle, in_cycle) = (year_of_march.div_euclid(400), year_of_march.rem_euclid(400));
    let month_of_march = (month + 9) % 12;
    let in_year = (153 * month_of_march + 2) / 5 + day - 1;
    let days = cycle * 146_097 + in_cycle * 365 + in_cycle / 4 - in_cycle / 100 + in_year - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_print_as_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_078_012_800_123, "2004-02-29T00:00:00.123Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(UnixTime(ms)), text);
            assert_eq!(parse(text), Some(UnixTime(ms)));
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, ms) in [
            ("0", 0),
            ("1767225599", 1_767_225_599_000),
            ("-60", -60_000),
            ("2026-01-01T01:59:59+02:00", 1_767_225_599_000),
            ("2025-12-31 20:29:59.5-03:30", 1_767_225_599_500),
            ("2000-02-29t00:00:00.1234z", 951_782_400_123),
        ] {
            assert_eq!(parse(text), Some(UnixTime(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-01-01",
            "2026-01-01T12:00:00",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-1-1T00:00:00Z",
            "2026-01-01T00:00:00+2",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00Zulu",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:00ä",
            "99999999999999999999",
            "9223372036854775807",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
