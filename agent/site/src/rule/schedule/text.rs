//! Schedules as text, both ways.

use std::{fmt, str::FromStr};

use super::{
    DAY_MIN, Days, FULL, MAX_EXCEPTIONS, MAX_TEXT, Programme, Schedule, Span, Step, SunEvent,
    SunTime, Switched, When,
};
use crate::rule::calendar::{Date, WEEKDAYS};

const MAX_OFFSET_MIN: u16 = 12 * 60;

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("longer than {MAX_TEXT} characters"));
        }
        let mut parts = text.split(';').map(str::trim);
        let base = parts.next().unwrap_or_default();
        let base = base.parse()?;
        let exceptions = parts.filter(|part| !part.is_empty()).map(|part| {
            let (days, programme) = part
                .split_once(": ")
                .ok_or_else(|| format!("`{part}`: days, a colon and a programme are expected"))?;
            Ok((days.parse()?, programme.parse()?))
        });
        let exceptions: Result<Vec<_>, String> = exceptions.collect();
        Self::new(base, exceptions?)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.base.fmt(f)?;
        for (days, programme) in &self.exceptions {
            write!(f, "; {days}: {programme}")?;
        }
        Ok(())
    }
}

impl FromStr for Programme {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let [mut on, mut off, mut resume, mut end] = [None; 4];
        let [mut always, mut level, mut dim] = [None; 3];
        for part in text.split_whitespace() {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}` is not of the form key=value"))?;
            let place = match key {
                "always" => &mut always,
                "dim" => &mut dim,
                "end" => &mut end,
                "level" => &mut level,
                "off" => &mut off,
                "on" => &mut on,
                "resume" => &mut resume,
                _ => {
                    return Err(format!(
                        "`{key}` is none of on, off, resume, end, level, dim, always"
                    ));
                }
            };
            if place.replace(value).is_some() {
                return Err(format!("`{key}` is there twice"));
            }
        }
        let level = level.map_or(Ok(FULL), percent)?;
        if let Some(always) = always {
            let times = [on, off, resume, end, dim];
            return match always {
                _ if times.iter().any(Option::is_some) => {
                    Err("`always` stands alone, or with a level".to_owned())
                }
                "off" if level == FULL => Ok(Self::Always(0)),
                "on" if level > 0 => Ok(Self::Always(level)),
                _ => Err("`always` is `on` or `off`, and `on` may have a level".to_owned()),
            };
        }
        let when = |text: Option<&str>| text.map(str::parse::<When>).transpose();
        let steps = dim.map(|dim| dim.split(',').map(str::parse).collect());
        match (on, off) {
            (Some(on), Some(off)) => {
                let switched = Switched::new(on.parse()?, off.parse()?, when(resume)?, when(end)?);
                let dimmed = switched?.dimmed(level, steps.transpose()?.unwrap_or_default());
                dimmed.map(Self::Switched)
            }
            (None, _) | (_, None) => Err("`on` and `off` are needed".to_owned()),
        }
    }
}

impl fmt::Display for Programme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always(0) => f.write_str("always=off"),
            Self::Always(FULL) => f.write_str("always=on"),
            Self::Always(level) => write!(f, "always=on level={level}"),
            Self::Switched(switched) => switched.fmt(f),
        }
    }
}

impl fmt::Display for Switched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "on={} off={}", self.on, self.off)?;
        match self.again {
            Some((resume, When::SUNRISE)) => write!(f, " resume={resume}")?,
            Some((resume, end)) => write!(f, " resume={resume} end={end}")?,
            None => {}
        }
        if self.level != FULL {
            write!(f, " level={}", self.level)?;
        }
        for (at, step) in self.steps.iter().enumerate() {
            write!(f, "{}{step}", if at == 0 { " dim=" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Step {
    type Err = String;

    /// `50@22:30`, `80@sunrise-01:00`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (level, at) = text
            .split_once('@')
            .ok_or_else(|| format!("`{text}` is no level from a time on: for example 50@22:30"))?;
        Self::new(percent(level)?, at.parse()?)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.level, self.at)
    }
}

fn percent(text: &str) -> Result<u8, String> {
    let is_plain = text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_plain);
    number
        .filter(|level| *level <= FULL)
        .ok_or_else(|| format!("`{text}` is no level from 0 to {FULL}"))
}

impl FromStr for When {
    type Err = String;

    /// `23:30`, `sunset-00:15`, `sunrise+00:10>=06:00<=07:30`.
    fn from_str(text: &str) -> Result<Self, String> {
        let events = [("sunrise", SunEvent::Sunrise), ("sunset", SunEvent::Sunset)];
        let found = events
            .into_iter()
            .find_map(|(word, event)| Some((event, text.strip_prefix(word)?)));
        let Some((event, rest)) = found else {
            return minutes(text, DAY_MIN).map(Self::Clock).ok_or_else(|| {
                format!("`{text}` is no time: for example 23:30, sunset, sunrise+00:10")
            });
        };
        let wrong = || {
            format!(
                "`{text}`: after the word come +00:10 or -00:10, then limits as >=16:30 and <=22:00"
            )
        };
        let (rest, not_after) = limit(rest, "<=").ok_or_else(wrong)?;
        let (rest, not_before) = limit(rest, ">=").ok_or_else(wrong)?;
        let (sign, offset) = match rest.as_bytes().first() {
            None => (1, Some(0)),
            Some(b'+') => (1, minutes(&rest[1..], MAX_OFFSET_MIN)),
            Some(b'-') => (-1, minutes(&rest[1..], MAX_OFFSET_MIN)),
            Some(_) => return Err(wrong()),
        };
        let offset = offset.ok_or_else(|| format!("`{text}`: an offset is at most 12:00"))?;
        let sun = SunTime {
            event,
            offset_min: sign * i16::try_from(offset).unwrap_or(0),
            not_before,
            not_after,
        };
        let limits = not_before.zip(not_after);
        if limits.is_some_and(|(first, last)| sun.limit(first) > sun.limit(last)) {
            return Err(format!("`{text}`: the limits leave no time"));
        }
        Ok(Self::Sun(sun))
    }
}

/// What stands before a limit, and the limit.
fn limit<'a>(text: &'a str, sign: &str) -> Option<(&'a str, Option<u16>)> {
    match text.split_once(sign) {
        None => Some((text, None)),
        Some((before, clock)) => Some((before, Some(minutes(clock, DAY_MIN - 1)?))),
    }
}

/// `HH:MM`
fn minutes(text: &str, most: u16) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let minutes = two(minutes).filter(|minutes| *minutes < 60)?;
    Some(two(hours)? * 60 + minutes).filter(|all| *all <= most)
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        match self {
            Self::Clock(minutes) => f.write_str(&clock(*minutes)),
            Self::Sun(sun) => {
                f.write_str(match sun.event {
                    SunEvent::Sunrise => "sunrise",
                    SunEvent::Sunset => "sunset",
                })?;
                if sun.offset_min != 0 {
                    let sign = if sun.offset_min < 0 { '-' } else { '+' };
                    write!(f, "{sign}{}", clock(sun.offset_min.unsigned_abs()))?;
                }
                if let Some(minutes) = sun.not_before {
                    write!(f, ">={}", clock(minutes))?;
                }
                match sun.not_after {
                    Some(minutes) => write!(f, "<={}", clock(minutes)),
                    None => Ok(()),
                }
            }
        }
    }
}

impl FromStr for Days {
    type Err = String;

    /// `sat,sun`, `mon-fri`, `12-24..12-26`, `2026-12-31`.
    fn from_str(text: &str) -> Result<Self, String> {
        let spans: Result<Vec<Span>, String> =
            text.split(',').map(|part| part.trim().parse()).collect();
        let spans = spans?;
        if spans.len() > MAX_EXCEPTIONS {
            return Err(format!("more than {MAX_EXCEPTIONS} days"));
        }
        Ok(Self(spans))
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, span) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            span.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let weekday = |word: &str| WEEKDAYS.iter().position(|known| *known == word);
        if let Some(only) = weekday(text) {
            return Ok(Self::Weekdays(only, only));
        }
        if let Some((from, to)) = text.split_once('-')
            && let (Some(from), Some(to)) = (weekday(from), weekday(to))
        {
            return Ok(Self::Weekdays(from, to));
        }
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let wrong = |_| format!("`{text}` names no days: for example sat,sun or 12-24..12-26");
        let (from, to): (Date, Date) = (from.parse().map_err(wrong)?, to.parse().map_err(wrong)?);
        match (from.year, to.year) {
            (None, None) => Ok(Self::Dates(from, to)),
            (Some(_), Some(_)) if from <= to => Ok(Self::Dates(from, to)),
            (Some(_), Some(_)) => Err(format!("`{text}` ends before it begins")),
            (None, Some(_)) | (Some(_), None) => {
                Err(format!("`{text}`: a year stands at both ends or at none"))
            }
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dates(from, to) if from == to => from.fmt(f),
            Self::Dates(from, to) => write!(f, "{from}..{to}"),
            Self::Weekdays(from, to) if from == to => f.write_str(WEEKDAYS[*from]),
            Self::Weekdays(from, to) => write!(f, "{}-{}", WEEKDAYS[*from], WEEKDAYS[*to]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{calendar::Day, schedule::MAX_STEPS};

    fn read(text: &str) -> Schedule {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_text_is_read_and_written_the_same() {
        for text in [
            "on=sunset-00:15 off=sunrise+00:10",
            "on=sunset off=23:30 resume=05:00",
            "on=06:00 off=12:00 resume=13:00 end=18:00; sat,sun: always=off",
            "on=sunset>=16:30<=22:00 off=24:00; mon-fri: on=sunset off=01:00; sun-mon: always=on",
            "always=off; 12-24..01-06: on=sunset off=sunrise; 2026-12-31: always=on",
            "on=sunset+12:00 off=sunrise-12:00",
            "on=sunset off=sunrise level=80 dim=50@22:30,80@05:00",
            "on=20:00 off=23:30 resume=05:00 end=07:00 dim=0@21:00,30@sunset+02:00,100@06:00",
            "always=on level=60; sun: on=sunset off=01:00 level=1",
        ] {
            assert_eq!(read(text).to_string(), text);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_words() {
        for (text, why) in [
            ("", "needed"),
            ("on=sunset", "needed"),
            ("on=sunset off=25:00", "no time"),
            ("on=sunset off=24:01", "no time"),
            ("on=sunset off=sunrise level=0", "not within 1 to 100"),
            ("on=sunset off=sunrise level=101", "no level"),
            ("on=sunset off=sunrise dim=22:30", "for example 50@22:30"),
            ("on=sunset off=sunrise dim=+5@22:30", "no level"),
            ("on=sunset off=sunrise dim=5@22:30,", "for example"),
            ("on=sunset off=sunrise dim=5@dusk", "no time"),
            (
                "on=20:00 off=06:00 dim=50@07:00",
                "50@07:00 comes when it is off",
            ),
            (
                "on=20:00 off=06:00 dim=50@05:00,80@23:00",
                "80@23:00 comes when it is off, or after",
            ),
            ("always=off level=50", "`on` may have a level"),
            ("always=on dim=50@22:30", "stands alone"),
            ("on=sunset+13:00 off=06:00", "at most 12:00"),
            ("on=sunset00:10 off=06:00", "after the word"),
            ("on=sunset>=22:00<=16:00 off=06:00", "leave no time"),
            ("on=dusk off=06:00", "no time"),
            ("on=sunset off=06:00 on=07:00", "twice"),
            ("always=on off=06:00", "stands alone"),
            ("always=maybe", "is `on` or `off`"),
            ("on=sunset off=06:00 end=07:00", "belongs to"),
            ("on=10:00 off=09:00 resume=08:00 end=07:00", "next day"),
            ("on=sunset off=06:00 colour=red", "none of"),
            ("on=sunset off=06:00; always=on", "a colon"),
            ("always=off; 13-01: always=on", "names no days"),
            ("always=off; 2026-12-24..12-26: always=on", "at both ends"),
            (
                "always=off; 2026-12-24..2026-12-22: always=on",
                "before it begins",
            ),
            (
                "always=off; sat,sun: always=on; sun: always=off",
                "same days",
            ),
            (
                "always=off; 12-01..12-05: always=on; 12-04..12-08: always=off",
                "same days",
            ),
        ] {
            let refused = text.parse::<Schedule>().unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
        let long = format!("always=off{}", " ".repeat(MAX_TEXT));
        assert!(long.parse::<Schedule>().unwrap_err().contains("longer"));
    }

    #[test]
    fn the_closest_name_of_a_day_wins() {
        let schedule = read(
            "always=off; mon-fri: on=01:00 off=02:00; fri: on=03:00 off=04:00; \
             12-01..12-31: on=05:00 off=06:00; 12-24: on=07:00 off=08:00; 2026-12-24: on=09:00 off=10:00",
        );
        let on = |year, month, day| {
            let switched = schedule.switched(Day::of(year, month, day));
            switched.map(|switched| switched.on.to_string())
        };
        assert_eq!(on(2026, 11, 23).as_deref(), Some("01:00"), "a Monday");
        assert_eq!(on(2026, 11, 27).as_deref(), Some("03:00"), "a Friday");
        assert_eq!(on(2026, 11, 28), None, "a Saturday");
        assert_eq!(on(2026, 12, 5).as_deref(), Some("05:00"));
        assert_eq!(on(2027, 12, 24).as_deref(), Some("07:00"));
        assert_eq!(on(2026, 12, 24).as_deref(), Some("09:00"));
    }

    #[test]
    fn days_may_go_over_the_end_of_the_week_and_of_the_year() {
        let schedule = read("always=off; sat-mon: always=on; 12-30..01-02: always=on");
        let days = [
            (2026, 11, 20, false),
            (2026, 11, 21, true),
            (2026, 11, 23, true),
            (2026, 11, 24, false),
            (2026, 12, 29, false),
            (2026, 12, 31, true),
            (2027, 1, 1, true),
            (2027, 1, 5, false),
        ];
        for (year, month, day, on) in days {
            let found = schedule.always(Day::of(year, month, day));
            assert_eq!(found == Some(FULL), on, "{year}-{month}-{day}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_text_is_read_or_refused(text in "(on|off|resume|end|always|level|dim|@|sun(set|rise)|sat|-|\\+|[0-9]{2}|:|;|=|,|\\.\\.|>=|<=| |.){0,40}") {
            if let Ok(schedule) = text.parse::<Schedule>() {
                proptest::prop_assert_eq!(schedule.to_string().parse::<Schedule>(), Ok(schedule));
            }
        }
    }

    #[test]
    fn more_levels_than_a_day_can_have_are_refused() {
        let steps: Vec<_> = (0..=MAX_STEPS).map(|at| format!("50@21:{at:02}")).collect();
        let text = format!("on=20:00 off=06:00 dim={}", steps.join(","));
        let refused = text.parse::<Schedule>().unwrap_err();
        assert!(refused.contains("more than 24 levels"), "{refused}");
    }
}
