//! `schedule` of groups: what it says, whether it ever switches, whether its outputs can do it.

use lamplighter_model::ResourceAddress;
use lamplighter_site::{
    boundary::PointKind,
    rule::schedule::{Days, FULL, Programme, Schedule, Step, Switched, When},
};

use super::{Checker, below, key, rule::RuleCheck};
use crate::config::{layer::Key, schema};

/// Farther to the north or south there is no east, and so no sunrise, to speak of.
const MAX_LATITUDE: f64 = 89.9;

impl Checker<'_> {
    pub(super) fn schedule(
        &mut self,
        at: &Key,
        schedule: &schema::Schedule,
        rules: &mut RuleCheck<'_>,
    ) -> Option<Schedule> {
        // What it is on days that have no name.
        let usual = schema::Programme {
            on: schedule.on.clone(),
            off: schedule.off.clone(),
            resume: schedule.resume.clone(),
            end: schedule.end.clone(),
            always: schedule.always,
            level: schedule.level,
            dim: schedule.dim.clone(),
        };
        let base = self.programme(at, &usual);
        let mut exceptions = Vec::new();
        for (name, programme) in &schedule.days {
            let at = below(&below(at, "days"), name);
            let programme = self.programme(&at, programme);
            match name.parse::<Days>() {
                Ok(days) => exceptions.extend(programme.map(|programme| (days, programme))),
                Err(what) => self.error(&at, what, ""),
            }
        }
        let schedule = match Schedule::new(base?, exceptions) {
            Ok(schedule) => schedule,
            Err(what) => {
                self.error(&below(at, "days"), what, "");
                return None;
            }
        };
        self.schedule_works(at, &schedule, rules);
        Some(schedule)
    }

    fn programme(&mut self, at: &Key, keys: &schema::Programme) -> Option<Programme> {
        let level = keys.level.unwrap_or(FULL);
        let level = self.within(&below(at, "level"), level, 1, FULL);
        if let Some(always) = keys.always {
            return Some(self.always(at, keys, always, level));
        }
        // One that is there but wrong was reported already.
        if self.layers.find(&below(at, "always")).is_some() {
            return None;
        }
        let steps = self.steps(&below(at, "dim"), keys.dim.as_deref().unwrap_or_default());
        let mut when = |name: &str, text: &Option<String>| {
            let parsed = text.as_ref()?.parse::<When>();
            let complaint = parsed.as_ref().err().cloned();
            if let Some(what) = complaint {
                self.error(&below(at, name), what, "");
            }
            Some(parsed.ok())
        };
        let (resume, end) = (when("resume", &keys.resume), when("end", &keys.end));
        let times = (when("on", &keys.on), when("off", &keys.off));
        let on = self.required(at, "on", times.0);
        let off = self.required(at, "off", times.1);
        if resume == Some(None) || end == Some(None) {
            return None;
        }
        let switched = match Switched::new(on??, off??, resume.flatten(), end.flatten()) {
            Ok(switched) => switched,
            Err(what) => {
                self.error(at, what, "");
                return None;
            }
        };
        match switched.dimmed(level, steps?) {
            Ok(dimmed) => Some(Programme::Switched(dimmed)),
            Err(what) => {
                self.error(&below(at, "dim"), what, "the order is that of the night");
                None
            }
        }
    }

    fn always(
        &mut self,
        at: &Key,
        keys: &schema::Programme,
        always: schema::OnOff,
        level: u8,
    ) -> Programme {
        let times = [&keys.on, &keys.off, &keys.resume, &keys.end];
        if keys.dim.is_some() || times.iter().any(|key| key.is_some()) {
            let hint = "leave either `always` or the times out";
            self.error(&below(at, "always"), "`always` stands alone", hint);
        }
        match always {
            schema::OnOff::On => Programme::Always(level),
            schema::OnOff::Off => {
                if keys.level.is_some() {
                    self.error(&below(at, "level"), "off has no level", "");
                }
                Programme::Always(0)
            }
        }
    }

    /// `None` where one of them is wrong.
    fn steps(&mut self, at: &Key, texts: &[String]) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match text.parse() {
                Ok(step) => steps.push(step),
                Err(what) => self.error(&below(at, &index.to_string()), what, ""),
            }
        }
        (steps.len() == texts.len()).then_some(steps)
    }

    /// Whether all members can have the levels of a schedule.
    pub(super) fn levels_fit(
        &mut self,
        at: &Key,
        schedule: &Schedule,
        members: &[ResourceAddress],
        rules: &RuleCheck<'_>,
    ) {
        let levels = schedule.levels();
        let points = rules.points.iter();
        for point in points.filter(|point| members.contains(&point.address)) {
            let Some(first) = levels.first() else { return };
            if point.kind != PointKind::Dimmer {
                let what = format!("{} cannot dim: it has no {first} %", point.name);
                self.error(at, what, "a group of its own with levels of 0 and 100");
                continue;
            }
            let whose = format!("`limit` of {}", point.name);
            for level in &levels {
                self.obeys_limit(at, f64::from(*level), point.limit.as_ref(), &whose);
            }
        }
    }

    /// Whether it ever switches here.
    fn schedule_works(&mut self, at: &Key, schedule: &Schedule, rules: &mut RuleCheck<'_>) {
        if schedule.needs_sun() && !self.sees_sun(at, rules) {
            return;
        }
        let year = rules.almanac.year(schedule);
        if year.switchings == 0 && !schedule.is_constant() {
            let state = if year.begins { "on" } else { "off" };
            let what = format!("this schedule never switches: it is {state} all year");
            self.error(at, what, "`always` says that in so many words");
        }
    }

    /// Whether sunrise and sunset can be told.
    fn sees_sun(&mut self, at: &Key, rules: &RuleCheck<'_>) -> bool {
        let hint = "for example position = { lat = 52.52, lon = 13.40 } in [site]";
        match rules.position() {
            None => {
                if self.layers.find(&key(&["site", "position"])).is_none() {
                    self.error(at, "there is no `site.position` to see the sun from", hint);
                }
                false
            }
            Some(position) if position.lat.abs() > MAX_LATITUDE => {
                let what = "at the pole the sun rises and sets once a year";
                self.error(at, what, "use clock times");
                false
            }
            Some(_) => true,
        }
    }
}
