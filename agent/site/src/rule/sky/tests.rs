use super::*;
use crate::rule::calendar::zone_of;
use proptest::prelude::*;

const BERLIN: (f64, f64) = (52.52, 13.40);
const TROMSO: (f64, f64) = (69.65, 18.96);
const CET: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
const MINUTE: i64 = 60;
/// 2026-01-01T00:00:00Z
const NEW_YEAR: i64 = 1_767_225_600;
const YEAR_MIN: i64 = 366 * 24 * 60;

fn sky((lat, lon): (f64, f64), zone: &str) -> Sky {
    Sky::new(Arc::new(zone_of(zone)), Some(Position { lat, lon }))
}

impl Sky {
    /// Whether it is on, whatever the level.
    fn state(&mut self, schedule: &Schedule, unix: i64) -> bool {
        self.level(schedule, unix) > 0
    }

    fn switches(&mut self, schedule: &Schedule, unix: i64) -> Option<(i64, bool)> {
        let (at, level) = self.next(schedule, unix)?;
        Some((at, level > 0))
    }
}

fn schedule(text: &str) -> Schedule {
    text.parse().unwrap()
}

/// When the sun is seen to cross the horizon, minute by minute: (minute, whether it rises).
fn crossings(lat: f64, lon: f64) -> Vec<(i64, bool)> {
    let position = Position { lat, lon };
    let up = |minute: i64| sun::elevation(position, NEW_YEAR + minute * MINUTE) > -50.0 / 60.0;
    let mut found = Vec::new();
    let step = 10;
    let mut minute = -3 * 1440;
    while minute < YEAR_MIN + 1440 {
        let before = up(minute);
        if up(minute + step) != before {
            let at = (minute..=minute + step).find(|at| up(*at) != before);
            found.push((at.unwrap(), !before));
        }
        minute += step;
    }
    found
}

/// What a person does at a minute.
enum Deed {
    Switch(bool),
    /// Whatever else: this, for the whole date.
    Whole(bool),
}

/// Follows a schedule for a year as a diligent person would, who looks at clock, calendar and sky
/// every minute, and compares with what is found out ahead. A minute late is no difference.
fn compare(mut sky: Sky, schedule: &Schedule, deeds: impl Fn(&Sky, i64) -> Vec<Deed>) {
    let end = NEW_YEAR + YEAR_MIN * MINUTE;
    let first = sky.state(schedule, NEW_YEAR);
    let mut ahead = vec![(NEW_YEAR, first)];
    let mut unix = NEW_YEAR;
    while unix < end {
        match sky.switches(schedule, unix) {
            Some(found) => {
                ahead.push(found);
                unix = found.0;
            }
            None => unix += 7 * DAY_S,
        }
    }
    let mut usual = false;
    for minute in -3 * 1440..YEAR_MIN {
        let unix = NEW_YEAR + minute * MINUTE;
        let mut whole = None;
        for deed in deeds(&sky, minute) {
            match deed {
                Deed::Switch(on) => usual = on,
                Deed::Whole(on) => whole = Some(on),
            }
        }
        if minute < 0 {
            continue;
        }
        let at = ahead.partition_point(|(at, _)| *at <= unix);
        let (since, state) = ahead[at - 1];
        if minute % 97 == 0 {
            let found = sky.state(schedule, unix);
            assert_eq!(found, state, "{schedule}: {}", sky.words(unix, None));
        }
        let until = ahead.get(at).map_or(i64::MAX, |(at, _)| *at);
        let is_edge = unix - since <= MINUTE || until - unix <= MINUTE;
        let lamp = whole.unwrap_or(usual);
        assert!(
            lamp == state || is_edge,
            "{schedule}: a person has {lamp} at {}",
            sky.words(unix, None)
        );
    }
}

/// Whether clocks begin to show this time of the day, or pass it because they are set forward.
fn shows(sky: &Sky, minute: i64, clock: i64) -> bool {
    let unix = NEW_YEAR + minute * MINUTE;
    let (day, now) = sky.zone.local(unix);
    let (day_before, before) = sky.zone.local(unix - MINUTE);
    let before = if day == day_before {
        before
    } else {
        before - 86_400
    };
    before < clock * MINUTE && clock * MINUTE <= now
}

#[test]
fn a_year_from_sunset_to_sunrise_is_what_a_person_does_who_looks_every_minute() {
    let seen = crossings(BERLIN.0, BERLIN.1);
    let text = schedule("on=sunset-00:15 off=sunrise+00:10");
    compare(sky(BERLIN, CET), &text, |_, minute| {
        let deeds = seen.iter().filter_map(|(at, rises)| {
            let offset = if *rises { 10 } else { -15 };
            (at + offset == minute).then_some(Deed::Switch(!rises))
        });
        deeds.collect()
    });
}

#[test]
fn a_year_with_a_night_break_is_what_a_person_does_who_looks_every_minute() {
    let seen = crossings(BERLIN.0, BERLIN.1);
    let text = schedule("on=sunset off=23:30 resume=05:00");
    compare(sky(BERLIN, CET), &text, |sky, minute| {
        let crossed = seen.iter().find(|(at, _)| *at == minute);
        let is_up = seen.iter().rev().find(|(at, _)| *at <= minute);
        let is_up = is_up.is_some_and(|(_, rises)| *rises);
        let mut deeds: Vec<Deed> = crossed
            .map(|(_, rises)| Deed::Switch(!rises))
            .into_iter()
            .collect();
        if shows(sky, minute, 23 * 60 + 30) {
            deeds.push(Deed::Switch(false));
        }
        // In summer the sun is up by then.
        if shows(sky, minute, 5 * 60) && !is_up {
            deeds.push(Deed::Switch(true));
        }
        deeds
    });
}

#[test]
fn a_year_with_weekends_and_special_days_is_what_a_person_does_who_looks_every_minute() {
    let text = schedule(
        "on=17:00 off=22:00 resume=02:30 end=06:00; sat: on=17:00 off=01:30; sun: always=off; \
         12-24..12-25: always=on; 2026-03-28: on=12:15 off=12:45",
    );
    compare(sky(BERLIN, CET), &text, |sky, minute| {
        let (day, _) = sky.zone.local(NEW_YEAR + minute * MINUTE);
        let date = |day: Day| {
            let date = day.date();
            (date.month, date.day)
        };
        let is_christmas = |day| matches!(date(day), (12, 24 | 25));
        let is_special = |day: Day| date(day) == (3, 28) && day.date().year == Some(2026);
        // Whose night goes on in the morning.
        let evening = day.plus(-1);
        let usual = |day: Day| day.weekday() != 5 && !is_special(day);
        let has = |clock| shows(sky, minute, clock);
        let mut deeds = Vec::new();
        if has(17 * 60) && !is_special(day) {
            deeds.push(Deed::Switch(true));
        }
        if has(22 * 60) && usual(day) {
            deeds.push(Deed::Switch(false));
        }
        if has(90) && evening.weekday() == 5 && !is_special(evening) {
            deeds.push(Deed::Switch(false));
        }
        if has(150) && usual(evening) {
            deeds.push(Deed::Switch(true));
        }
        if has(6 * 60) && usual(evening) {
            deeds.push(Deed::Switch(false));
        }
        if is_special(day) && has(735) {
            deeds.push(Deed::Switch(true));
        }
        if is_special(day) && has(765) {
            deeds.push(Deed::Switch(false));
        }
        if is_christmas(day) {
            deeds.push(Deed::Whole(true));
        } else if day.weekday() == 6 {
            deeds.push(Deed::Whole(false));
        }
        deeds
    });
}

#[test]
fn lamps_burn_through_the_polar_night_and_never_on_a_polar_day() {
    let mut sky = sky(TROMSO, CET);
    let noon = |month, day| zone_of(CET).unix(Day::of(2026, month, day), 43_200);
    for text in [
        "on=sunset off=sunrise",
        "on=sunset-00:15 off=sunrise+00:10",
        "on=sunset+00:30 off=sunrise-00:30",
    ] {
        let text = schedule(text);
        for (from, to, on) in [((12, 2), (12, 31), true), ((5, 25), (7, 20), false)] {
            let mut unix = noon(from.0, from.1);
            while unix < noon(to.0, to.1) {
                assert_eq!(
                    sky.state(&text, unix),
                    on,
                    "{text} {}",
                    sky.words(unix, None)
                );
                unix += 10 * MINUTE;
            }
            assert_eq!(sky.switches(&text, noon(from.0, from.1)), None, "{text}");
        }
        // And in spring as everywhere.
        let next = sky.switches(&text, noon(3, 20));
        assert!(next.is_some_and(|(_, on)| on));
    }
    // What is on by day burns through the polar day.
    let by_day = schedule("on=sunrise off=sunset");
    assert!(sky.state(&by_day, noon(6, 10)) && sky.state(&by_day, noon(6, 10) + 43_200));
    assert_eq!(sky.switches(&by_day, noon(6, 10)), None);
    assert!(!sky.state(&by_day, noon(12, 10)));
    // A break is kept in the polar night.
    let broken = schedule("on=sunset off=23:30 resume=05:00");
    let midnight = noon(12, 10) + 43_200;
    assert!(!sky.state(&broken, midnight));
    assert!(sky.state(&broken, midnight - 3600) && sky.state(&broken, midnight + 6 * 3600));
    assert!(!sky.state(&broken, noon(6, 10) + 11 * 3600));
}

#[test]
fn limits_hold_a_time_of_the_sun_within_the_clock() {
    let mut sky = sky(BERLIN, CET);
    let text = schedule("on=sunset>=17:00<=20:00 off=sunrise<=06:00");
    let mut at = |month, day| {
        let from = zone_of(CET).unix(Day::of(2026, month, day), 43_200);
        let (on, _) = sky.switches(&text, from).unwrap();
        let (off, _) = sky.switches(&text, on).unwrap();
        [on, off].map(|at| sky.words(at, None)[11..].to_owned())
    };
    assert_eq!(at(12, 21), ["17:00", "06:00"]);
    assert_eq!(at(6, 21), ["20:00", "04:43"]);
    // Sunset at about 18:18, sunrise the next day at about 06:09.
    assert_eq!(at(3, 20)[1], "06:00");
    assert!(at(3, 20)[0].starts_with("18:1"));
}

#[test]
fn the_last_switching_is_the_one_that_was_next() {
    let mut sky = sky(BERLIN, CET);
    for text in [
        "on=sunset-00:15 off=sunrise+00:10",
        "on=sunset off=23:30 resume=05:00; sun: always=off",
    ] {
        let text = schedule(text);
        let mut unix = NEW_YEAR;
        while unix < NEW_YEAR + 60 * DAY_S {
            let (at, on) = sky.switches(&text, unix).unwrap();
            assert_eq!(sky.last(&text, at), Some(at));
            assert_eq!(sky.last(&text, at + 600), Some(at));
            assert_eq!((sky.state(&text, at - 1), sky.state(&text, at)), (!on, on));
            unix = at;
        }
    }
}

#[test]
fn the_day_on_which_clocks_are_set_has_every_switching_once() {
    let mut sky = sky(BERLIN, CET);
    let text = schedule("on=02:15 off=02:45");
    let mut found = |month, day| {
        let from = zone_of(CET).unix(Day::of(2026, month, day), 0);
        let mut times = Vec::new();
        let mut unix = from;
        while let Some((at, _)) = sky
            .switches(&text, unix)
            .filter(|(at, _)| *at < from + 6 * 3600)
        {
            times.push(at - from);
            unix = at;
        }
        times
    };
    // In spring there is no 02:15 and no 02:45.
    assert_eq!(found(3, 29), Vec::<i64>::new());
    // In autumn both come twice.
    assert_eq!(found(10, 25), [2 * 3600 + 900, 2 * 3600 + 2700]);
    assert_eq!(found(10, 26), [2 * 3600 + 900, 2 * 3600 + 2700]);
}

#[test]
fn a_year_tells_whether_a_schedule_switches() {
    let year = |text: &str, lat| {
        let position = Position { lat, lon: 13.4 };
        Almanac::new(Some(position), NEW_YEAR).year(&schedule(text))
    };
    let usual = year("on=sunset off=sunrise", 52.52);
    assert!((730..=736).contains(&usual.switchings), "{usual:?}");
    let never = year("on=sunset+08:00 off=23:30", 52.52);
    assert_eq!((never.begins, never.switchings), (false, 0));
    let always = year("on=12:00 off=sunset; 12-24: on=12:00 off=13:00", -30.0);
    assert!(always.switchings > 700);
}

/// Any schedule, as text.
fn any_schedule() -> impl Strategy<Value = String> {
    let clock =
        || (0..1440u16).prop_map(|minutes| format!("{:02}:{:02}", minutes / 60, minutes % 60));
    let sun = || {
        let minutes = prop_oneof![2 => 0..720u16, 1 => 700..720u16];
        let offset = prop::option::of((any::<bool>(), minutes));
        (any::<bool>(), offset).prop_map(|(rise, offset)| {
            let event = if rise { "sunrise" } else { "sunset" };
            let offset = offset.map_or_else(String::new, |(plus, minutes)| {
                let sign = if plus { '+' } else { '-' };
                format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            });
            format!("{event}{offset}")
        })
    };
    let when = move || prop_oneof![clock(), sun()];
    let switched = move || {
        let again = prop::option::of((when(), prop::option::of(when())));
        (when(), when(), again).prop_map(|(on, off, again)| {
            let again = again.map_or_else(String::new, |(resume, end)| {
                let end = end.map_or_else(String::new, |end| format!(" end={end}"));
                format!(" resume={resume}{end}")
            });
            format!("on={on} off={off}{again}")
        })
    };
    let always = || prop_oneof![Just("always=on".to_owned()), Just("always=off".to_owned())];
    let programme = move || prop_oneof![4 => switched(), 1 => always()];
    let days = prop_oneof![
        Just("sat,sun"),
        Just("fri"),
        Just("06-20..07-10"),
        Just("03-29"),
        Just("10-25")
    ];
    let exceptions = prop::collection::btree_map(days, programme(), 0..3);
    (programme(), exceptions).prop_map(|(base, exceptions)| {
        exceptions
            .into_iter()
            .fold(base, |text, (days, programme)| {
                format!("{text}; {days}: {programme}")
            })
    })
}

/// Looks at it now and then, from a day of the year on.
fn changes_when_it_says(schedule: &Schedule, place: (f64, f64), start: i64, look: &[i64]) {
    let mut sky = sky(place, CET);
    let mut unix = NEW_YEAR + start * DAY_S;
    for &step in look {
        let state = sky.state(schedule, unix);
        let next = sky.switches(schedule, unix);
        let until = next.map_or(unix + 7 * DAY_S, |(at, _)| at);
        let between = unix + (until - unix) * step / 86_400;
        assert_eq!(sky.state(schedule, between.min(until - 1)), state);
        if let Some((at, on)) = next {
            assert_eq!((on, sky.state(schedule, at)), (!state, !state));
            assert_eq!(sky.last(schedule, at), Some(at));
        }
        unix = until + if step % 3 == 0 { step } else { 0 };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_schedule_it_changes_when_it_says_so_and_only_then(
        text in any_schedule(),
        // Half the world away from the middle of the zone, too.
        place in (-89.0..89.0f64, prop_oneof![2 => -180.0..180.0f64, 1 => 165.0..180.0f64]),
        start in 0..365i64,
        look in prop::collection::vec(0..86_400i64, 20),
    ) {
        let Ok(schedule) = text.parse::<Schedule>() else {
            return Ok(());
        };
        prop_assert_eq!(schedule.to_string().parse::<Schedule>(), Ok(schedule.clone()));
        changes_when_it_says(&schedule, place, start, &look);
    }
}

/// Levels of a schedule over some days, in minutes after noon.
fn levels(sky: &mut Sky, text: &str, from: i64, days: i64) -> Vec<(i64, u8)> {
    let schedule = schedule(text);
    let mut found = vec![(0, sky.level(&schedule, from))];
    let mut unix = from;
    while let Some((at, level)) = sky.next(&schedule, unix) {
        if at >= from + days * DAY_S {
            break;
        }
        assert_eq!(sky.last(&schedule, at + 30), Some(at));
        found.push(((at - from) / 60, level));
        unix = at;
    }
    found
}

#[test]
fn levels_follow_one_another_through_the_night() {
    let mut sky = sky(BERLIN, "UTC0");
    let noon = NEW_YEAR + 14 * DAY_S + NOON_S;
    let at = |hours: i64, minutes: i64| (hours - 12) * 60 + minutes;
    assert_eq!(
        levels(
            &mut sky,
            "on=18:00 off=06:00 level=80 dim=50@22:30,0@01:00,30@02:00,100@05:15",
            noon,
            1
        ),
        [
            (0, 0),
            (at(18, 0), 80),
            (at(22, 30), 50),
            (at(25, 0), 0),
            (at(26, 0), 30),
            (at(29, 15), 100),
            (at(30, 0), 0),
        ]
    );
    // A break at night, and a level that is reached within it.
    assert_eq!(
        levels(
            &mut sky,
            "on=18:00 off=23:00 resume=05:00 end=07:00 dim=50@22:00,70@02:00",
            noon,
            1
        ),
        [
            (0, 0),
            (at(18, 0), 100),
            (at(22, 0), 50),
            (at(23, 0), 0),
            (at(29, 0), 70),
            (at(31, 0), 0),
        ]
    );
    // A Friday: the night of Friday is dimmed, that of Saturday is not.
    let friday = zone_of("UTC0").unix(Day::of(2026, 1, 16), NOON_S);
    assert_eq!(
        levels(
            &mut sky,
            "on=18:00 off=01:00 dim=50@22:00; sat: on=18:00 off=01:00 level=90",
            friday,
            2
        ),
        [
            (0, 0),
            (at(18, 0), 100),
            (at(22, 0), 50),
            (at(25, 0), 0),
            (at(42, 0), 90),
            (at(49, 0), 0),
        ]
    );
}

#[test]
fn a_level_whose_time_has_come_before_the_lamps_go_on_holds_from_the_beginning() {
    // In summer the sun sets after nine in the evening.
    let mut sky = sky(BERLIN, CET);
    let noon = zone_of(CET).unix(Day::of(2026, 6, 21), NOON_S);
    let found = levels(
        &mut sky,
        "on=sunset off=sunrise dim=50@21:00,80@05:30",
        noon,
        1,
    );
    let found: Vec<u8> = found.into_iter().map(|(_, level)| level).collect();
    assert_eq!(found, [0, 50, 0], "and it rises before half past five");
}

#[test]
fn levels_that_go_by_the_sun_keep_to_it_through_polar_night_and_day() {
    let mut sky = sky(TROMSO, "UTC0");
    let text = "on=sunset off=sunrise dim=50@sunset+02:00,80@sunrise-01:00";
    // It is dark from noon to noon: both times are noons.
    let dark = zone_of("UTC0").unix(Day::of(2026, 12, 20), 0);
    assert!(
        levels(&mut sky, text, dark, 2)
            .iter()
            .all(|(_, level)| *level > 0)
    );
    let light = zone_of("UTC0").unix(Day::of(2026, 6, 20), 0);
    assert_eq!(levels(&mut sky, text, light, 2), [(0, 0)]);
}
