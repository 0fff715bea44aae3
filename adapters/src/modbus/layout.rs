//! Layouts that processors do not know by themselves: half floats, decimal digits, dates. Pure
//! functions between the words of the standard's order and numbers.

/// How a date and time stands in registers. A device has no time zone: its clock is taken for UTC,
/// and a point's `offset` in seconds makes up for another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DateLayout {
    /// Three registers, one number per byte, each of two decimal digits: year of the century and
    /// month, day and hour, minute and second.
    Bcd,
    /// Three registers, one number per byte: year − 2000 and month, day and hour, minute and second.
    Bytes,
    /// Four registers as in IEC 870-5-4: year − 2000 in bits 6–0; month in bits 11–8 and day in bits
    /// 4–0; hour in bits 12–8, "invalid" in bit 7 and minute in bits 5–0; milliseconds of the minute.
    Iec870,
    /// Six registers, one number each: year, month, day, hour, minute, second.
    Words,
}

/// A moment as calendars write it.
#[derive(Clone, Copy)]
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

const DAY: i64 = 86_400;

impl DateLayout {
    /// Registers that it takes.
    pub const fn width(self) -> u16 {
        match self {
            Self::Bcd | Self::Bytes => 3,
            Self::Iec870 => 4,
            Self::Words => 6,
        }
    }

    /// Seconds since 1970; `None` where the registers hold no date.
    pub(super) fn decode(self, registers: &[u16]) -> Option<i64> {
        let byte = |index: usize| {
            let register = *registers.get(index / 2)?;
            Some(if index.is_multiple_of(2) {
                register >> 8
            } else {
                register & 0xFF
            })
        };
        let mut numbers = [0; 6];
        match self {
            Self::Bcd => {
                for (index, number) in numbers.iter_mut().enumerate() {
                    *number = i64::try_from(from_bcd(u64::from(byte(index)?))?).ok()?;
                }
                numbers[0] += 2000;
            }
            Self::Bytes => {
                for (index, number) in numbers.iter_mut().enumerate() {
                    *number = i64::from(byte(index)?);
                }
                numbers[0] += 2000;
            }
            Self::Iec870 => {
                let &[year, date, time, milliseconds] = registers else {
                    return None;
                };
                let is_invalid = time & 0x80 != 0 || milliseconds > 59_999;
                if is_invalid {
                    return None;
                }
                numbers = [
                    2000 + i64::from(year & 0x7F),
                    i64::from(date >> 8 & 0xF),
                    i64::from(date & 0x1F),
                    i64::from(time >> 8 & 0x1F),
                    i64::from(time & 0x3F),
                    i64::from(milliseconds / 1000),
                ];
            }
            Self::Words => {
                for (number, register) in numbers.iter_mut().zip(registers) {
                    *number = i64::from(*register);
                }
            }
        }
        let [year, month, day, hour, minute, second] = numbers;
        Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
        }
        .to_unix()
    }

    /// The registers for so many seconds since 1970; `None` where the layout cannot hold the year.
    pub(super) fn encode(self, unix: i64) -> Option<Vec<u16>> {
        let civil = Civil::from_unix(unix)?;
        let years = match self {
            Self::Bcd => 2000..2100,
            Self::Bytes => 2000..2256,
            Self::Iec870 => 2000..2128,
            Self::Words => 0..65_536,
        };
        if !years.contains(&civil.year) {
            return None;
        }
        let numbers = [
            civil.year - years.start,
            civil.month,
            civil.day,
            civil.hour,
            civil.minute,
            civil.second,
        ];
        let words = match self {
            Self::Bcd => pairs(numbers, |number| {
                to_bcd(u64::try_from(number).ok()?, 2).and_then(|bcd| u16::try_from(bcd).ok())
            })?,
            Self::Bytes => pairs(numbers, |number| u16::try_from(number).ok())?,
            Self::Iec870 => [
                numbers[0],
                civil.month << 8 | civil.day,
                civil.hour << 8 | civil.minute,
                civil.second * 1000,
            ]
            .map(u16::try_from)
            .into_iter()
            .collect::<Result<_, _>>()
            .ok()?,
            Self::Words => numbers
                .map(u16::try_from)
                .into_iter()
                .collect::<Result<_, _>>()
                .ok()?,
        };
        Some(words)
    }
}

impl Civil {
    fn to_unix(self) -> Option<i64> {
        let month_days = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if is_leap(self.year) => 29,
            2 => 28,
            1..=12 => 31,
            _ => return None,
        };
        let is_valid = (1..=month_days).contains(&self.day)
            && (0..24).contains(&self.hour)
            && (0..60).contains(&self.minute)
            && (0..60).contains(&self.second);
        is_valid.then(|| {
            days_from_civil(self.year, self.month, self.day) * DAY
                + self.hour * 3600
                + self.minute * 60
                + self.second
        })
    }

    fn from_unix(unix: i64) -> Option<Self> {
        // Beyond these years nothing that stands in registers lies.
        if !(-62_167_219_200..2_005_949_145_600).contains(&unix) {
            return None;
        }
        let (days, second) = (unix.div_euclid(DAY), unix.rem_euclid(DAY));
        let (year, month, day) = civil_from_days(days);
        Some(Self {
            year,
            month,
            day,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
        })
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days since 1970, counted in eras of 400 years that begin on 1 March (proleptic Gregorian).
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + (month <= 2) as i64;
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

fn pairs(numbers: [i64; 6], byte: impl Fn(i64) -> Option<u16>) -> Option<Vec<u16>> {
    numbers
        .chunks(2)
        .map(|pair| Some(byte(pair[0])? << 8 | byte(pair[1])?))
        .collect()
}

/// The number of the decimal digits, four bits each; `None` where one is none.
pub(super) fn from_bcd(bits: u64) -> Option<u64> {
    let mut number = 0;
    for shift in (0..16).rev() {
        let digit = bits >> (4 * shift) & 0xF;
        if digit > 9 {
            return None;
        }
        number = number * 10 + digit;
    }
    Some(number)
}

/// The number as so many decimal digits; `None` where it has more.
pub(super) fn to_bcd(mut number: u64, digits: u32) -> Option<u64> {
    let mut bits = 0;
    for digit in 0..digits.min(16) {
        bits |= (number % 10) << (4 * digit);
        number /= 10;
    }
    (number == 0).then_some(bits)
}

/// The value of an IEEE 754 half, the shortest decimal that names it.
pub(super) fn half_to_f64(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1F), f64::from(bits & 0x3FF));
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    let exact = if bits & 0x8000 == 0 {
        magnitude
    } else {
        -magnitude
    };
    // Five digits tell all halves apart.
    (0..5)
        .filter_map(|digits| format!("{exact:.digits$e}").parse().ok())
        .find(|short| half_from_f64(*short) == Some(bits))
        .unwrap_or(exact)
}

/// The half nearest to the number, halves to even; `None` where a finite number is beyond all.
pub(super) fn half_from_f64(number: f64) -> Option<u16> {
    const SMALLEST_NORMAL: f64 = 6.103_515_625e-5;
    const TOO_LARGE: f64 = 65_520.0;
    let sign = if number.is_sign_negative() { 0x8000 } else { 0 };
    if number.is_nan() {
        return Some(0x7E00);
    }
    let magnitude = number.abs();
    if magnitude.is_infinite() {
        return Some(sign | 0x7C00);
    }
    if magnitude >= TOO_LARGE {
        return None;
    }
    // Both casts are of whole numbers up to 2048, and a carry leads into the next exponent.
    if magnitude < SMALLEST_NORMAL {
        return Some(sign | (magnitude * 2f64.powi(24)).round_ties_even() as u16);
    }
    let exponent = i32::try_from(magnitude.to_bits() >> 52).ok()? - 1023;
    let fraction = (magnitude * 2f64.powi(10 - exponent)).round_ties_even() as u16;
    Some(sign | ((u16::try_from(exponent + 15).ok()? << 10) + (fraction - 1024)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAYOUTS: [DateLayout; 4] = [
        DateLayout::Bcd,
        DateLayout::Bytes,
        DateLayout::Iec870,
        DateLayout::Words,
    ];

    #[test]
    fn a_date_stands_where_its_layout_says() {
        // 2026-11-22 23:05:59 UTC.
        let unix = 1_795_388_759;
        for (layout, registers) in [
            (DateLayout::Bcd, vec![0x2611, 0x2223, 0x0559]),
            (DateLayout::Bytes, vec![0x1A0B, 0x1617, 0x053B]),
            (DateLayout::Iec870, vec![26, 0x0B16, 0x1705, 59_000]),
            (DateLayout::Words, vec![2026, 11, 22, 23, 5, 59]),
        ] {
            assert_eq!(layout.encode(unix), Some(registers.clone()), "{layout:?}");
            assert_eq!(layout.decode(&registers), Some(unix), "{layout:?}");
            assert_eq!(registers.len(), usize::from(layout.width()));
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for wrong in [
            [2026, 2, 29, 0, 0, 0],
            [2026, 13, 1, 0, 0, 0],
            [2026, 1, 0, 0, 0, 0],
            [2026, 1, 1, 24, 0, 0],
            [0; 6],
        ] {
            assert_eq!(DateLayout::Words.decode(&wrong), None, "{wrong:?}");
        }
        assert!(DateLayout::Words.decode(&[2028, 2, 29, 0, 0, 0]).is_some());
        assert_eq!(DateLayout::Bcd.decode(&[0x261A, 0x2223, 0]), None);
        // Marked as invalid by the device itself.
        assert_eq!(DateLayout::Iec870.decode(&[26, 0x0B16, 0x1785, 0]), None);
        assert_eq!(DateLayout::Bcd.encode(0), None);
        assert_eq!(DateLayout::Bytes.encode(i64::MAX), None);
    }

    #[test]
    fn every_half_comes_back_and_names_are_short() {
        for bits in 0..=u16::MAX {
            let number = half_to_f64(bits);
            if !number.is_nan() {
                assert_eq!(half_from_f64(number), Some(bits), "{number}");
            }
        }
        assert_eq!(half_to_f64(0x4D46), 21.1);
        assert_eq!(half_from_f64(65_519.0), Some(0x7BFF));
        assert_eq!(half_from_f64(65_520.0), None);
    }

    proptest! {
        #[test]
        fn every_second_comes_back(unix in 946_684_800i64..4_102_444_800) {
            for layout in LAYOUTS {
                prop_assert_eq!(layout.decode(&layout.encode(unix).unwrap()), Some(unix));
            }
        }

        #[test]
        fn no_registers_make_it_panic(registers in prop::collection::vec(any::<u16>(), 0..7), unix: i64) {
            for layout in LAYOUTS {
                let _ = layout.decode(&registers);
                let _ = layout.encode(unix);
            }
        }

        #[test]
        fn decimal_digits_come_back(number in 0u64..100_000_000) {
            prop_assert_eq!(from_bcd(to_bcd(number, 8).unwrap()), Some(number));
            prop_assert_eq!(to_bcd(number + 100_000_000, 8), None);
        }
    }
}
