//! What the lines of a text telegram say: those of IEC 62056-21 and what DSMR makes of them.

use lamplighter_model::{Quality, UnixTime};

use crate::meter::{
    Content, MeterUnit, Obis, READINGS_MAX, Reading, Readout, Register, parse_lines,
};

/// A telegram without its `!`.
pub(super) fn readout(telegram: &[u8]) -> Readout {
    let (identification, data) = match telegram.iter().position(|byte| *byte == b'\n') {
        Some(end) => telegram.split_at(end),
        None => (telegram, &[][..]),
    };
    let mut readout = Readout {
        meter: String::from_utf8_lossy(identification.trim_ascii())
            .escape_debug()
            .to_string(),
        readings: readings(data),
        ..Readout::default()
    };
    readout.serial = readout.text_of(Obis::serials());
    readout.error = readout.fatal_error();
    readout
}

/// The data lines of a customer port.
pub fn readings(data: &[u8]) -> Vec<Reading> {
    let joined = joined(data);
    let mut registers: Vec<Vec<Reading>> = Vec::new();
    for reading in parse_lines(&joined) {
        match registers.last_mut() {
            Some(values) if reading.place > 0 => values.push(reading),
            Some(_) | None => registers.push(vec![reading]),
        }
    }
    registers
        .into_iter()
        .flat_map(meant)
        .take(READINGS_MAX)
        .collect()
}

/// In versions 2 and 3 the value of a sub-meter stands in a line of its own.
fn joined(data: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(data.len());
    for line in data.split(|byte| matches!(byte, b'\r' | b'\n')) {
        if line.is_empty() {
            continue;
        }
        if line[0] != b'(' {
            joined.push(b'\n');
        }
        joined.extend(line);
    }
    joined
}

/// What the brackets of one register mean together.
fn meant(values: Vec<Reading>) -> Vec<Reading> {
    match values.as_slice() {
        // 0-1:24.2.1(101209112500W)(12785.123*m3): a sub-meter, with the time of its last value.
        [time, value] if is_time(time) => vec![Reading {
            place: 0,
            time: unix_time(&time.content.to_string()),
            ..value.clone()
        }],
        // 0-1:24.3.0(090212160000)(00)(60)(1)(0-1:24.2.1)(m3)(00000.001)
        [time, _, _, _, name, unit, value] if is_time(time) => {
            match old_sub_meter(name, unit, value) {
                Some(reading) => vec![Reading {
                    time: unix_time(&time.content.to_string()),
                    ..reading
                }],
                None => values,
            }
        }
        _ => values,
    }
}

fn old_sub_meter(name: &Reading, unit: &Reading, value: &Reading) -> Option<Reading> {
    let obis: Obis = name.content.to_string().parse().ok()?;
    Some(Reading {
        register: Register::Obis(obis),
        place: 0,
        content: value.content.clone(),
        unit: MeterUnit::parse(&unit.content.to_string()),
        time: None,
        quality: Quality::Good,
    })
}

fn is_time(reading: &Reading) -> bool {
    let Content::Text(text) = &reading.content else {
        return false;
    };
    let digits = text.strip_suffix(['S', 'W']).unwrap_or(text);
    digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `YYMMDDhhmmss` with S for summer time or W for winter time, in the time of Central Europe, where
/// these ports are. Without the letter the hour is not certain, and with letters of other times it
/// would be wrong: then there is none.
fn unix_time(text: &str) -> Option<UnixTime> {
    let (digits, offset_h) = match text.split_at_checked(12)? {
        (digits, "S") => (digits, 2),
        (digits, "W") => (digits, 1),
        _ => return None,
    };
    let mut pairs = digits
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| std::str::from_utf8(pair).ok()?.parse::<i64>().ok());
    let mut next = || pairs.next().flatten();
    let (year, month, day) = (2000 + next()?, next()?, next()?);
    let (hour, minute, second) = (next()?, next()?, next()?);
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 24
        || minute > 59
        || second > 59
    {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + (hour - offset_h) * 3600;
    Some(UnixTime::from_seconds(seconds + minute * 60 + second))
}

/// Of the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_central_europe() {
        for (text, expected) in [
            ("101209113020W", Some(1_291_890_620)),
            ("200630120000S", Some(1_593_511_200)),
            ("101209113020", None),
            ("109909113020W", None),
            ("short", None),
        ] {
            assert_eq!(unix_time(text).map(UnixTime::seconds), expected, "{text}");
        }
    }
}
