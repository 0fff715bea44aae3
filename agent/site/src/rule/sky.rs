//! When a schedule switches, at this place and in this zone.
//!
//! Where the sun does not cross the horizon on a day, a time that belongs to that crossing is the
//! noon of a day without sunrise, or the midnight of a day without sunset, whatever its offset: so
//! lamps from sunset to sunrise burn through the polar night, and never on a polar day.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    calendar::{Day, Zone},
    schedule::{FULL, Schedule, SunEvent, SunTime, Switched, When},
    sun::{self, Crossing, SunDay},
};
use crate::boundary::Position;

/// So far ahead and back the next and the last switching are looked for.
pub(crate) const HORIZON_DAYS: i32 = 8;
/// What begins on a day may reach so many days further: far from the middle of its zone the sun sets
/// up to a day after noon by the clock, offsets add half a day, and a second span ends a day later.
const REACH_DAYS: i32 = 4;
/// And it may begin so many days before, by the sun of the morning less its offset.
const LEAD_DAYS: i32 = 2;
/// Days whose sun is remembered.
const MAX_DAYS: usize = 512;
const DAY_S: i64 = 86_400;
const NOON_S: i64 = DAY_S / 2;

/// Place, zone, and what was found out about the sun.
#[derive(Clone, Debug)]
pub(crate) struct Sky {
    pub(crate) zone: Arc<Zone>,
    position: Option<Position>,
    days: BTreeMap<Day, SunDay>,
}

/// What a schedule does over a year.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Year {
    /// Whether it is on at the beginning.
    pub begins: bool,
    /// Changes of the level.
    pub switchings: u32,
}

/// Which end of a span a time is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    First,
    Last,
}

impl Sky {
    pub(crate) const fn new(zone: Arc<Zone>, position: Option<Position>) -> Self {
        Self {
            zone,
            position,
            days: BTreeMap::new(),
        }
    }

    /// In another zone from now on.
    pub(crate) fn set_zone(&mut self, zone: Arc<Zone>) {
        self.zone = zone;
        self.days.clear();
    }

    pub(crate) const fn has_position(&self) -> bool {
        self.position.is_some()
    }

    /// The level that the schedule wants its outputs at; 0: off.
    pub(crate) fn level(&mut self, schedule: &Schedule, unix: i64) -> u8 {
        let (day, _) = self.zone.local(unix);
        schedule
            .always(day)
            .unwrap_or_else(|| self.level_in_span(schedule, day, unix))
    }

    /// When the schedule switches next, and to what; `None` where it does not within
    /// [`HORIZON_DAYS`].
    pub(crate) fn next(&mut self, schedule: &Schedule, unix: i64) -> Option<(i64, u8)> {
        let (day, _) = self.zone.local(unix);
        let present = self.level(schedule, unix);
        // Few days are looked at where it switches every day.
        [(2, unix + DAY_S), (HORIZON_DAYS, i64::MAX)]
            .into_iter()
            .find_map(|(ahead, latest)| {
                let edges =
                    self.edges(schedule, day.plus(-REACH_DAYS), day.plus(ahead + LEAD_DAYS));
                let mut later = edges
                    .into_iter()
                    .filter(|at| (unix + 1..=latest).contains(at));
                later.find_map(|at| {
                    let level = self.level(schedule, at);
                    (level != present).then_some((at, level))
                })
            })
    }

    /// When the schedule has switched last; `None` where it has not within [`HORIZON_DAYS`].
    pub(crate) fn last(&mut self, schedule: &Schedule, unix: i64) -> Option<i64> {
        let (day, _) = self.zone.local(unix);
        let edges = self.edges(schedule, day.plus(-HORIZON_DAYS), day.plus(LEAD_DAYS));
        let mut edges: Vec<i64> = edges.into_iter().filter(|at| *at <= unix).collect();
        while let Some(at) = edges.pop() {
            if self.level(schedule, at) != self.level(schedule, at - 1) {
                return Some(at);
            }
        }
        None
    }

    /// Twelve months of a schedule from a time on.
    pub(crate) fn year(&mut self, schedule: &Schedule, unix: i64) -> Year {
        let (first, _) = self.zone.local(unix);
        let last = first.plus(366);
        let edges = self.edges(schedule, first.plus(-REACH_DAYS), last);
        let begins = self.level(schedule, unix);
        let (mut level, mut switchings) = (begins, 0);
        for at in edges.into_iter().filter(|at| *at > unix) {
            let next = self.level(schedule, at);
            switchings += u32::from(next != level);
            level = next;
        }
        Year {
            begins: begins > 0,
            switchings,
        }
    }

    /// The next time when the sun is highest or lowest.
    pub(crate) fn next_extreme(&mut self, unix: i64) -> Option<i64> {
        let (day, _) = self.zone.local(unix);
        let mut times = Vec::new();
        for day in [day.plus(-1), day, day.plus(1)] {
            let sun = self.sun(day)?;
            times.extend([sun.midnights[0], sun.noon, sun.midnights[1]]);
        }
        times.into_iter().filter(|at| *at > unix).min()
    }

    /// A time as people say it: `23:30`, or with its date where that is not today's.
    pub(crate) fn words(&self, at: i64, now: Option<i64>) -> String {
        let (day, seconds) = self.zone.local(at);
        let clock = format!("{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
        if now.is_some_and(|now| self.zone.local(now).0 == day) {
            clock
        } else {
            format!("{day} {clock}")
        }
    }

    /// Degrees above the horizon.
    pub(crate) fn elevation(&self, unix: i64) -> Option<f64> {
        self.position.map(|position| sun::elevation(position, unix))
    }

    fn level_in_span(&mut self, schedule: &Schedule, day: Day, unix: i64) -> u8 {
        let levels = (-REACH_DAYS..=LEAD_DAYS).map(|shift| {
            let day = day.plus(shift);
            let spans = self.spans(schedule, day);
            let is_on = spans.iter().any(|(from, to)| (*from..*to).contains(&unix));
            if is_on {
                self.dimmed(schedule, day, unix)
            } else {
                0
            }
        });
        levels.max().unwrap_or(0)
    }

    /// How much on is by the programme of this day.
    fn dimmed(&mut self, schedule: &Schedule, day: Day, unix: i64) -> u8 {
        let usual = schedule.switched(day).map_or(FULL, Switched::level);
        let steps = self.steps(schedule, day).into_iter();
        let mut passed = steps.filter(|(at, _)| *at <= unix);
        passed.next_back().map_or(usual, |(_, level)| level)
    }

    /// Every time at which the schedule may switch because of these days, in order.
    fn edges(&mut self, schedule: &Schedule, from: Day, to: Day) -> BTreeSet<i64> {
        let mut edges = BTreeSet::new();
        let mut day = from;
        while day <= to {
            let spans = self.spans(schedule, day);
            edges.extend(spans.into_iter().flat_map(|(from, to)| [from, to]));
            edges.extend(self.steps(schedule, day).into_iter().map(|(at, _)| at));
            if schedule.always(day).is_some() {
                edges.extend([day, day.plus(1)].map(|day| self.zone.unix(day, 0)));
            }
            day = day.plus(1);
        }
        edges
    }

    /// From when to when it is on because of what begins on this day.
    fn spans(&mut self, schedule: &Schedule, day: Day) -> Vec<(i64, i64)> {
        let Some(switched) = schedule.switched(day) else {
            return Vec::new();
        };
        let days = switched.days().into_iter().flatten();
        let spans = switched.spans().into_iter().zip(days);
        let found = spans.filter_map(|((on, off), (first, last))| {
            let from = self.time(on, day.plus(first), End::First)?;
            let to = self.time(off, day.plus(last), End::Last)?;
            (from < to).then_some((from, to))
        });
        found.collect()
    }

    /// From when on there are other levels because of what begins on this day. One that goes by a
    /// sun that does not cross the horizon is left out where it would be light.
    fn steps(&mut self, schedule: &Schedule, day: Day) -> Vec<(i64, u8)> {
        let Some(switched) = schedule.switched(day) else {
            return Vec::new();
        };
        let steps = switched.steps().filter_map(|(step, after)| {
            let end = match step.at {
                When::Clock(_) => End::First,
                When::Sun(time) => night_end(time.event),
            };
            Some((self.time(step.at, day.plus(after), end)?, step.level))
        });
        steps.collect()
    }

    /// `None` where there is no such time on that day, and so no span.
    fn time(&mut self, when: When, day: Day, end: End) -> Option<i64> {
        match when {
            When::Clock(minutes) => Some(self.zone.unix(day, i64::from(minutes) * 60)),
            When::Sun(time) => self.sun_time(time, day, end),
        }
    }

    fn sun_time(&mut self, time: SunTime, day: Day, end: End) -> Option<i64> {
        let sun = self.sun(day)?;
        let (crossing, midnight) = match time.event {
            SunEvent::Sunrise => (sun.rise, sun.midnights[0]),
            SunEvent::Sunset => (sun.set, sun.midnights[1]),
        };
        match (crossing, end == night_end(time.event)) {
            (Crossing::At(at), _) => {
                let at = at + i64::from(time.offset_min) * 60;
                let limit = |clock| self.zone.unix(day, i64::from(time.limit(clock)) * 60);
                let at = time.not_before.map_or(at, |clock| at.max(limit(clock)));
                Some(time.not_after.map_or(at, |clock| at.min(limit(clock))))
            }
            // It would be dark from now on, or until then; and light.
            (Crossing::Down, true) | (Crossing::Up, false) => Some(if crossing == Crossing::Down {
                sun.noon
            } else {
                midnight
            }),
            (Crossing::Down, false) | (Crossing::Up, true) => None,
        }
    }

    fn sun(&mut self, day: Day) -> Option<SunDay> {
        let position = self.position?;
        if let Some(known) = self.days.get(&day) {
            return Some(*known);
        }
        let found = sun::day(position, self.zone.unix(day, NOON_S));
        if self.days.len() >= MAX_DAYS {
            self.days.pop_first();
        }
        self.days.insert(day, found);
        Some(found)
    }
}

/// Which end of a night an event of the sun is.
const fn night_end(event: SunEvent) -> End {
    match event {
        SunEvent::Sunrise => End::Last,
        SunEvent::Sunset => End::First,
    }
}

/// Tells what schedules do over a year, for the check of a configuration.
#[derive(Debug)]
pub struct Almanac {
    sky: Sky,
    from: i64,
}

impl Almanac {
    /// The year from this time on, in seconds since 1970. Clocks go by the hours of the longitude.
    pub fn new(position: Option<Position>, from: i64) -> Self {
        let zone = position.map_or_else(Zone::utc, |position| Zone::of_longitude(position.lon));
        let sky = Sky::new(Arc::new(zone), position);
        Self { sky, from }
    }

    pub fn year(&mut self, schedule: &Schedule) -> Year {
        self.sky.year(schedule, self.from)
    }
}

#[cfg(test)]
mod tests;
