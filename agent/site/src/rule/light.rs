//! Schedule and photocell of a group, together.

use lamplighter_model::Now;

use super::{
    Photocell, Verdict, Wanted, moment,
    photocell::combine,
    schedule::{FULL, Schedule},
    seconds,
    sky::{self, Sky},
};
use crate::{
    boundary::{GroupConfig, LightLevels, Policy},
    output::GroupIndex,
};

/// An extreme of the sun that has passed by more, in seconds, is not judged any more.
const LATE_S: i64 = 60;

/// Schedule and photocell of a group; at least one of them.
#[derive(Clone, Debug)]
pub(crate) struct Light {
    pub(crate) group: GroupIndex,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) photocell: Option<Photocell>,
    pub(crate) until_next_event: bool,
    pub(super) configured: Option<Schedule>,
    pub(super) ahead: Option<Ahead>,
    /// The next extreme of the sun, when the photocell is judged.
    judged_at: Option<i64>,
}

/// What was found out about a schedule, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    /// When this was found out.
    from: i64,
    level: u8,
    last: Option<i64>,
    pub(super) next: Option<(i64, u8)>,
}

impl Ahead {
    fn look(schedule: &Schedule, sky: &mut Sky, unix: i64) -> Self {
        Self {
            from: unix,
            level: sky.level(schedule, unix),
            last: sky.last(schedule, unix),
            next: sky.next(schedule, unix),
        }
    }

    /// Whether it is still so.
    fn holds(&self, unix: i64) -> bool {
        let until = self.next.map_or_else(|| horizon(self.from), |(at, _)| at);
        (self.from..until).contains(&unix)
    }
}

impl Light {
    /// `None` where the group has neither. `dark`: what held before the restart.
    pub(super) fn new(
        config: &GroupConfig,
        group: GroupIndex,
        dark: Option<bool>,
        now: Now,
    ) -> Option<Self> {
        if config.schedule.is_none() && config.photocell.is_none() {
            return None;
        }
        let photocell = config.photocell.clone();
        Some(Self {
            group,
            configured: config.schedule.clone(),
            schedule: config.schedule.clone(),
            photocell: photocell.map(|config| Photocell::new(config, dark, now)),
            until_next_event: config.until_next_event,
            ahead: None,
            judged_at: None,
        })
    }

    pub(super) fn levels(&mut self) -> Result<&mut LightLevels, String> {
        let levels = self
            .photocell
            .as_mut()
            .and_then(|cell| cell.levels.as_mut());
        levels.ok_or_else(|| "the photocell is a switch and has no levels".to_owned())
    }

    /// What the schedule says, found out anew only where that can have changed.
    pub(super) fn ahead(&mut self, sky: &mut Sky, now: Now) -> Option<Ahead> {
        let (schedule, unix) = self.schedule.as_ref().zip(seconds(now))?;
        let known = self.ahead.filter(|ahead| ahead.holds(unix));
        let ahead = known.unwrap_or_else(|| Ahead::look(schedule, sky, unix));
        self.ahead = Some(ahead);
        Some(ahead)
    }

    pub(super) fn look(
        &mut self,
        ahead: Option<Ahead>,
        before: Option<u8>,
        sky: &mut Sky,
        now: Now,
    ) -> Verdict {
        let unix = seconds(now);
        self.judge(sky, unix, now);
        let settled = self
            .photocell
            .as_mut()
            .and_then(|photocell| photocell.settle(now));
        let scheduled = ahead.map(|ahead| ahead.level > 0);
        let photocell = self.photocell.as_ref();
        let dark = photocell.and_then(Photocell::dark);
        let policy = photocell.map_or(Policy::Or, |photocell| photocell.config.policy);
        let awaited = photocell.is_some_and(|photocell| photocell.is_awaited(now));
        let wanted = match (scheduled, dark) {
            (None, None) if awaited => Wanted::Keep,
            (None, None) => Wanted::SwitchLamps,
            (None, Some(_)) | (Some(_), _) if combine(policy, scheduled, dark) => {
                Wanted::Level(self.level_when_on(ahead))
            }
            (None, Some(_)) | (Some(_), _) => Wanted::Level(0),
        };
        let event = match (ahead, &self.photocell, unix) {
            (Some(ahead), None, _) => ahead.last,
            (_, Some(_), Some(unix)) => {
                let both = before.zip(wanted.level());
                both.is_some_and(|(before, wanted)| before != wanted)
                    .then_some(unix)
            }
            (None, None, _) | (_, Some(_), None) => None,
        };
        let next = ahead.and_then(|ahead| ahead.next).map(|(at, _)| at);
        let times = [next, self.judged_at, unix.map(horizon)];
        let by_clock = times.into_iter().flatten().min();
        let by_clock = by_clock.and_then(|at| moment(at, now));
        Verdict {
            wanted,
            wake: [by_clock, settled].into_iter().flatten().min(),
            event,
            trouble: self.trouble(unix, now),
        }
    }

    /// As much as the schedule wants now, else as it usually begins with.
    fn level_when_on(&self, ahead: Option<Ahead>) -> u8 {
        let scheduled = ahead.map(|ahead| ahead.level).filter(|level| *level > 0);
        let usual = || self.schedule.as_ref().map_or(FULL, Schedule::usual_level);
        scheduled.unwrap_or_else(usual)
    }

    /// At noon and at midnight.
    fn judge(&mut self, sky: &mut Sky, unix: Option<i64>, now: Now) {
        let (Some(photocell), Some(unix)) = (&mut self.photocell, unix) else {
            self.judged_at = None;
            return;
        };
        if let Some(at) = self.judged_at
            && (at..at + LATE_S).contains(&unix)
            && let Some(elevation) = sky.elevation(at)
        {
            photocell.judge(elevation, now);
        }
        if self
            .judged_at
            .is_none_or(|at| at <= unix || at > unix + 2 * 86_400)
        {
            self.judged_at = sky.next_extreme(unix);
        }
    }

    fn trouble(&self, unix: Option<i64>, now: Now) -> Option<String> {
        let photocell = self.photocell.as_ref();
        let of_photocell = photocell.and_then(|photocell| photocell.trouble(now));
        let instead = match (&self.schedule, unix, of_photocell) {
            (Some(_), None, None) if photocell.is_some() => "the photocell alone decides",
            (Some(_), Some(_), _) => "the schedule alone decides",
            (_, _, _) => "lamps are on",
        };
        match (&self.schedule, unix, of_photocell) {
            (_, _, Some(trouble)) => Some(format!("{trouble}: {instead}")),
            (Some(_), None, None) => Some(format!("the date is not known: {instead}")),
            (None, _, None) | (Some(_), Some(_), None) => None,
        }
    }

    pub(super) fn says(
        &self,
        level: Option<u8>,
        next: Option<(i64, u8)>,
        sky: &Sky,
        now: Now,
    ) -> String {
        let state = level.map_or_else(|| "undecided".to_owned(), words);
        let dark = self.photocell.as_ref().and_then(Photocell::dark);
        let light = match dark {
            Some(true) => ", it is dark",
            Some(false) => ", it is light",
            None => "",
        };
        let until = match (&self.schedule, next) {
            (None, _) => String::new(),
            (Some(_), Some((at, next))) => {
                let word = words(next);
                let of_schedule = if dark.is_some() { "schedule " } else { "" };
                format!(", {of_schedule}{word} at {}", sky.words(at, seconds(now)))
            }
            (Some(_), None) => ", no switching in the next days".to_owned(),
        };
        format!("{state}{light}{until}")
    }
}

/// A level as people say it.
fn words(level: u8) -> String {
    match level {
        0 => "off".to_owned(),
        FULL => "on".to_owned(),
        level => format!("on at {level} %"),
    }
}

/// Latest time at which a rule is looked at again, though nothing happens until then.
const fn horizon(unix: i64) -> i64 {
    unix.saturating_add((sky::HORIZON_DAYS as i64 - 1) * 86_400)
}
