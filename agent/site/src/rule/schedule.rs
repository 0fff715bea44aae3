//! Schedules as people write them, and as servers read and write them:
//!
//! ```text
//! on=sunset-00:15 off=23:30 resume=05:00 end=sunrise; sat,sun: on=sunset off=01:00; 12-24: always=on
//! on=sunset off=sunrise level=80 dim=50@22:30,80@05:00
//! ```
//!
//! `level` is how much on is, in percent; `dim` are the levels from some times on.
//! The first part holds on every day; days that are named have a programme of their own. A programme
//! governs what begins on its day: the night of a Saturday goes on until Sunday morning. Only
//! `always` is of its whole date, from midnight to midnight.

mod text;

use std::{cmp::Reverse, collections::BTreeSet};

use super::calendar::{Date, Day};

/// A longer text is not read.
pub const MAX_TEXT: usize = 2000;
/// Days with another programme.
const MAX_EXCEPTIONS: usize = 64;
const DAY_MIN: u16 = 24 * 60;
const NOON_MIN: u16 = DAY_MIN / 2;
/// Levels of one day.
pub const MAX_STEPS: usize = 24;
/// All that there is.
pub const FULL: u8 = 100;
/// A clock time after a sunrise is on the same day from here on.
const EARLY_MIN: u16 = 3 * 60;

/// When outputs are on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Schedule {
    base: Programme,
    exceptions: Vec<(Days, Programme)>,
}

/// What happens on one day.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Programme {
    /// At this level; off at 0.
    Always(u8),
    Switched(Switched),
}

/// On from `on` to `off`, and once more, if wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Switched {
    on: When,
    off: When,
    /// After the break: on from the first to the second.
    again: Option<(When, When)>,
    /// How much on is, and from some times on, in the order of the night.
    level: u8,
    steps: Vec<Step>,
}

/// From a time on, the level is another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Step {
    pub(super) level: u8,
    pub(super) at: When,
}

/// A time of the day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum When {
    /// Minutes since midnight, up to 1440.
    Clock(u16),
    Sun(SunTime),
}

/// A time that moves with the sun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SunTime {
    pub(super) event: SunEvent,
    pub(super) offset_min: i16,
    /// Minutes since midnight.
    pub(super) not_before: Option<u16>,
    pub(super) not_after: Option<u16>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SunEvent {
    Sunrise,
    Sunset,
}

/// Days with another programme: at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Days(Vec<Span>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Span {
    /// Both of one year or both of every year.
    Dates(Date, Date),
    /// From one to another, both included; may go over the weekend.
    Weekdays(usize, usize),
}

/// How closely a span names a day; the greatest wins.
type Closeness = (u8, Reverse<i32>);

impl Schedule {
    /// Refused with words where it is not clear which programme a day has.
    pub fn new(base: Programme, exceptions: Vec<(Days, Programme)>) -> Result<Self, String> {
        if exceptions.len() > MAX_EXCEPTIONS {
            return Err(format!(
                "more than {MAX_EXCEPTIONS} days with another programme"
            ));
        }
        let spans = |days: &Days| days.0.clone();
        let all: Vec<Span> = exceptions
            .iter()
            .flat_map(|(days, _)| spans(days))
            .collect();
        for (at, one) in all.iter().enumerate() {
            if let Some(other) = all.iter().skip(at + 1).find(|other| one.clashes(**other)) {
                return Err(format!("{one} and {other} name the same days"));
            }
        }
        Ok(Self { base, exceptions })
    }

    /// The level that holds for the whole of this date, if any does.
    pub(super) fn always(&self, day: Day) -> Option<u8> {
        match self.exceptions(day).next() {
            Some((_, Programme::Always(level))) => Some(*level),
            Some((_, Programme::Switched(_))) => None,
            None => match self.base {
                // Ends nothing that has begun on another day.
                Programme::Always(0) | Programme::Switched(_) => None,
                Programme::Always(level) => Some(level),
            },
        }
    }

    /// What begins on this day.
    pub(super) fn switched(&self, day: Day) -> Option<&Switched> {
        let programmes = self.exceptions(day).map(|(_, programme)| programme);
        programmes
            .chain([&self.base])
            .find_map(|programme| match programme {
                Programme::Always(_) => None,
                Programme::Switched(switched) => Some(switched),
            })
    }

    /// How much on is where something else than this schedule wants it.
    pub(super) fn usual_level(&self) -> u8 {
        match &self.base {
            Programme::Always(0) => FULL,
            Programme::Always(level) => *level,
            Programme::Switched(switched) => switched.level,
        }
    }

    /// All levels but on and off, the lowest first.
    pub fn levels(&self) -> BTreeSet<u8> {
        let mut levels = BTreeSet::new();
        for programme in self.programmes() {
            match programme {
                Programme::Always(level) => drop(levels.insert(*level)),
                Programme::Switched(switched) => {
                    levels.insert(switched.level);
                    levels.extend(switched.steps.iter().map(|step| step.level));
                }
            }
        }
        levels.retain(|level| (1..FULL).contains(level));
        levels
    }

    fn programmes(&self) -> impl Iterator<Item = &Programme> {
        let exceptions = self.exceptions.iter().map(|(_, programme)| programme);
        exceptions.chain([&self.base])
    }

    /// The programmes that name this day, the closest first.
    fn exceptions(&self, day: Day) -> impl Iterator<Item = (Closeness, &Programme)> {
        let named = self.exceptions.iter();
        let named = named.filter_map(|(days, programme)| Some((days.names(day)?, programme)));
        let mut named: Vec<_> = named.collect();
        named.sort_by_key(|(closeness, _)| Reverse(*closeness));
        named.into_iter()
    }

    /// Whether any time of it moves with the sun.
    pub fn needs_sun(&self) -> bool {
        self.programmes().any(|programme| match programme {
            Programme::Always(_) => false,
            Programme::Switched(switched) => {
                let spans = switched.spans().into_iter();
                let ends = spans.flat_map(|(from, to)| [from, to]);
                let steps = switched.steps.iter().map(|step| step.at);
                ends.chain(steps).any(|when| matches!(when, When::Sun(_)))
            }
        })
    }

    /// Whether it says in so many words that nothing is ever switched.
    pub fn is_constant(&self) -> bool {
        matches!(self.base, Programme::Always(_)) && self.exceptions.is_empty()
    }
}

impl Switched {
    /// `end` is when it is off again after `resume`, by default at sunrise.
    pub fn new(
        on: When,
        off: When,
        resume: Option<When>,
        end: Option<When>,
    ) -> Result<Self, String> {
        let again = match (resume, end) {
            (Some(resume), end) => Some((resume, end.unwrap_or(When::SUNRISE))),
            (None, None) => None,
            (None, Some(_)) => return Err("`end` belongs to `resume`".to_owned()),
        };
        let switched = Self {
            on,
            off,
            again,
            level: FULL,
            steps: Vec::new(),
        };
        if switched
            .days()
            .into_iter()
            .flatten()
            .any(|(_, day)| day > 1)
        {
            return Err("it takes longer than until the end of the next day".to_owned());
        }
        Ok(switched)
    }

    /// With another level than full from the beginning, and others from some times on.
    pub fn dimmed(self, level: u8, steps: Vec<Step>) -> Result<Self, String> {
        if !(1..=FULL).contains(&level) {
            return Err(format!("the level {level} is not within 1 to {FULL}"));
        }
        if steps.len() > MAX_STEPS {
            return Err(format!("more than {MAX_STEPS} levels"));
        }
        let dimmed = Self {
            level,
            steps,
            ..self
        };
        let [first, again] = dimmed.days();
        let end = again.or(first).map_or(0, |(_, end)| end);
        let off = dimmed.again.map_or(dimmed.off, |(_, end)| end);
        for (step, day) in dimmed.steps() {
            if day + step.at.days_until(off) > end {
                return Err(format!(
                    "{step} comes when it is off, or after a later level"
                ));
            }
        }
        Ok(dimmed)
    }

    pub(super) const fn level(&self) -> u8 {
        self.level
    }

    /// The levels from some times on, and on which day after that of the programme.
    pub(super) fn steps(&self) -> impl Iterator<Item = (Step, i32)> {
        let mut last = (self.on, 0);
        self.steps.iter().map(move |step| {
            let day = last.1 + last.0.days_until(step.at);
            last = (step.at, day);
            (*step, day)
        })
    }

    /// From when to when it is on.
    pub(super) fn spans(&self) -> Vec<(When, When)> {
        [Some((self.on, self.off)), self.again]
            .into_iter()
            .flatten()
            .collect()
    }

    /// As [`Switched::spans`]: on which day after that of the programme they begin and end.
    pub(super) fn days(&self) -> [Option<(i32, i32)>; 2] {
        let off = self.on.days_until(self.off);
        let again = self.again.map(|(resume, end)| {
            let resumed = off + self.off.days_until(resume);
            (resumed, resumed + resume.days_until(end))
        });
        [Some((0, off)), again]
    }
}

impl Step {
    /// Refused with words where there is no such level.
    pub fn new(level: u8, at: When) -> Result<Self, String> {
        if level > FULL {
            return Err(format!("the level {level} is not within 0 to {FULL}"));
        }
        Ok(Self { level, at })
    }
}

impl When {
    const SUNRISE: Self = Self::Sun(SunTime {
        event: SunEvent::Sunrise,
        offset_min: 0,
        not_before: None,
        not_after: None,
    });

    /// Whether `later`, which comes after this in the programme, is on the same day or the next.
    /// Sunsets are of the day that had the noon before, sunrises of that which has the noon after.
    fn days_until(self, later: Self) -> i32 {
        let same_day = match (self, later) {
            (Self::Clock(one), Self::Clock(other)) => other > one,
            (Self::Clock(one), Self::Sun(sun)) => match sun.event {
                SunEvent::Sunrise => one < NOON_MIN,
                SunEvent::Sunset => true,
            },
            (Self::Sun(sun), Self::Clock(other)) => match sun.event {
                SunEvent::Sunrise => other > EARLY_MIN,
                SunEvent::Sunset => other >= NOON_MIN,
            },
            (Self::Sun(one), Self::Sun(other)) => match (one.event, other.event) {
                (SunEvent::Sunrise, SunEvent::Sunset) => true,
                (SunEvent::Sunset, SunEvent::Sunrise) => false,
                (SunEvent::Sunrise, SunEvent::Sunrise) | (SunEvent::Sunset, SunEvent::Sunset) => {
                    other.offset_min > one.offset_min
                }
            },
        };
        i32::from(!same_day)
    }
}

impl SunTime {
    /// Minutes of a limit since the midnight before the day of the event.
    pub(super) fn limit(self, clock: u16) -> u16 {
        match self.event {
            SunEvent::Sunset if clock < NOON_MIN => clock + DAY_MIN,
            SunEvent::Sunrise | SunEvent::Sunset => clock,
        }
    }
}

impl Days {
    fn names(&self, day: Day) -> Option<Closeness> {
        let spans = self.0.iter().filter(|span| span.contains(day));
        spans.map(|span| span.closeness()).max()
    }
}

impl Span {
    fn contains(self, day: Day) -> bool {
        match self {
            Self::Weekdays(from, to) => {
                let weekday = day.weekday();
                (weekday + 7 - from) % 7 <= (to + 7 - from) % 7
            }
            Self::Dates(from, to) => {
                let date = day.date();
                let of_date = |limit: Date| Date {
                    year: limit.year.and(date.year),
                    ..date
                };
                let (first, last) = (of_date(from) >= from, of_date(to) <= to);
                if from <= to {
                    first && last
                } else {
                    first || last
                }
            }
        }
    }

    fn closeness(self) -> Closeness {
        match self {
            Self::Weekdays(from, to) => {
                (0, Reverse(i32::try_from((to + 7 - from) % 7).unwrap_or(0)))
            }
            Self::Dates(from, to) => {
                let kind = if from.year.is_some() { 2 } else { 1 };
                (kind, Reverse(length(from, to)))
            }
        }
    }

    /// Whether there is a day that neither names more closely than the other.
    fn clashes(self, other: Self) -> bool {
        if self.closeness() != other.closeness() {
            return false;
        }
        let ends = |span: Self| match span {
            Self::Weekdays(from, _) => Day::of(2024, 1, 1).plus(i32::try_from(from).unwrap_or(0)),
            Self::Dates(from, _) => from.in_year(2024).unwrap_or_else(|| Day::of(2024, 1, 1)),
        };
        // Of two spans of one length that meet, one contains the first day of the other.
        self.contains(ends(other)) || other.contains(ends(self))
    }
}

/// Days from the first to the last.
fn length(from: Date, to: Date) -> i32 {
    // Of every year: as in a leap year, over its end where it goes that way.
    let day = |date: Date, year| date.in_year(year).unwrap_or_else(|| Day::of(year, 3, 1));
    let year = if from <= to { 2024 } else { 2025 };
    day(from, 2024).until(day(to, year))
}
