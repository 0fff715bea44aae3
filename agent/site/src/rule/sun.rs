//! Where the sun is.

use solar_positioning::{Horizon, Location, SolarEvents, SolarPositions, time::JulianDate};

use crate::boundary::Position;

const DAY_S: i64 = 86_400;
const HALF_DAY_S: i64 = DAY_S / 2;
/// How much later clocks show a day than the turning earth does, in seconds; grows by about one in
/// several years, and a minute changes nothing here.
const DELTA_T: f64 = 69.2;
/// Julian date of 1970-01-01.
const EPOCH: f64 = 2_440_587.5;

/// Sunrise and sunset around one noon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct SunDay {
    /// When the sun stands lowest before noon, and when after; that of one day is the former of the
    /// next.
    pub(super) midnights: [i64; 2],
    pub(super) noon: i64,
    pub(super) rise: Crossing,
    pub(super) set: Crossing,
}

/// Whether the sun crosses the horizon between a midnight and noon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Crossing {
    At(i64),
    /// It stays below.
    Down,
    /// It stays above.
    Up,
}

/// The sun on the day that has noon at about `local_noon`.
pub(super) fn day(position: Position, local_noon: i64) -> SunDay {
    let of_longitude = (position.lon * 240.0).round() as i64;
    let turn = (local_noon + of_longitude).div_euclid(DAY_S);
    let mean_noon = turn * DAY_S + HALF_DAY_S - of_longitude;
    let [before, noon, after] =
        [-DAY_S, 0, DAY_S].map(|shift| transit(position, mean_noon + shift));
    let midnights = [(before + noon).div_euclid(2), (noon + after).div_euclid(2)];
    let events = SolarEvents::new();
    let at = location(position);
    let horizon = Horizon::SunriseSunset;
    let [dawn, middle, dusk] = [midnights[0], noon, midnights[1]].map(julian);
    let rise = events.next_rise_from_julian(dawn, middle, at, DELTA_T, horizon);
    let set = events.next_set_from_julian(middle, dusk, at, DELTA_T, horizon);
    let never = if elevation(position, noon) > horizon.elevation_angle() {
        Crossing::Up
    } else {
        Crossing::Down
    };
    let crossing = |found: Option<f64>| found.map_or(never, |date| Crossing::At(unix(date)));
    SunDay {
        midnights,
        noon,
        rise: crossing(rise.ok().flatten()),
        set: crossing(set.ok().flatten()),
    }
}

/// Degrees above the horizon, of the sun's centre.
pub(super) fn elevation(position: Position, unix: i64) -> f64 {
    let date = JulianDate::new(julian(unix), DELTA_T);
    let found = date.and_then(|date| {
        SolarPositions::new()
            .for_time_from_julian(date)?
            .at(location(position), 0.0, None)
    });
    found.map_or(0.0, |found| found.elevation_angle())
}

/// When the sun stands in the south, within half a day of `mean_noon`.
fn transit(position: Position, mean_noon: i64) -> i64 {
    let [from, to] = [mean_noon - HALF_DAY_S, mean_noon + HALF_DAY_S].map(julian);
    let found = SolarEvents::new().next_transit_from_julian(from, to, position.lon, DELTA_T);
    found.ok().flatten().map_or(mean_noon, unix)
}

const fn location(position: Position) -> Location {
    Location {
        latitude: position.lat,
        longitude: position.lon,
    }
}

fn julian(unix: i64) -> f64 {
    unix as f64 / DAY_S as f64 + EPOCH
}

fn unix(date: f64) -> i64 {
    ((date - EPOCH) * DAY_S as f64).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::calendar::{Day, zone_of};

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    fn at(lat: f64, lon: f64) -> Position {
        Position { lat, lon }
    }

    /// Local clock times of sunrise and sunset.
    fn clock(rule: &str, position: Position, date: [i32; 3]) -> [Option<(i64, i64)>; 2] {
        let zone = zone_of(rule);
        let [year, month, day] = date;
        let date = Day::of(
            year,
            u8::try_from(month).unwrap(),
            u8::try_from(day).unwrap(),
        );
        let sun = super::day(position, zone.unix(date, 12 * 3600));
        [sun.rise, sun.set].map(|crossing| match crossing {
            Crossing::At(at) => {
                let (_, seconds) = zone.local(at + 30);
                Some((seconds / 3600, seconds / 60 % 60))
            }
            Crossing::Down | Crossing::Up => None,
        })
    }

    fn about(found: Option<(i64, i64)>, published: (i64, i64)) {
        let (hour, minute) = found.unwrap();
        let minutes = (hour * 60 + minute) - (published.0 * 60 + published.1);
        assert!(minutes.abs() <= 1, "{found:?}, published is {published:?}");
    }

    #[test]
    fn sunrise_and_sunset_are_as_almanacs_publish_them() {
        // Place, zone, date, sunrise and sunset as almanacs print them.
        let published = [
            (at(52.52, 13.40), BERLIN, [2026, 6, 21], (4, 43), (21, 33)),
            (at(52.52, 13.40), BERLIN, [2026, 12, 21], (8, 15), (15, 54)),
            (
                at(51.4769, 0.0),
                "GMT0BST,M3.5.0/1,M10.5.0",
                [2026, 3, 20],
                (6, 3),
                (18, 12),
            ),
            (
                at(-33.87, 151.21),
                "AEST-10AEDT,M10.1.0,M4.1.0/3",
                [2026, 12, 22],
                (5, 41),
                (20, 5),
            ),
            (
                at(64.15, -21.94),
                "GMT0",
                [2026, 12, 21],
                (11, 22),
                (15, 30),
            ),
            (at(0.0, -78.5), "<-05>5", [2026, 3, 20], (6, 18), (18, 25)),
        ];
        for (position, zone, date, rise, set) in published {
            let [found_rise, found_set] = clock(zone, position, date);
            about(found_rise, rise);
            about(found_set, set);
        }
    }

    #[test]
    fn in_the_far_north_a_sunset_after_midnight_is_of_the_day_before() {
        // Reykjavik: 2026-06-21 sunrise 02:55, sunset 00:04 of the next day.
        let [rise, set] = clock("GMT0", at(64.15, -21.94), [2026, 6, 21]);
        about(rise, (2, 55));
        about(set, (0, 4));
    }

    #[test]
    fn polar_days_and_nights_are_told_apart() {
        let tromso = at(69.65, 18.96);
        let sun = |month, day| {
            super::day(
                tromso,
                zone_of(BERLIN).unix(Day::of(2026, month, day), 43_200),
            )
        };
        // Midnight sun from about May 18 to July 26, polar night from about November 27 to January 15.
        for (month, day) in [(5, 22), (6, 21), (7, 22)] {
            assert_eq!(
                (sun(month, day).rise, sun(month, day).set),
                (Crossing::Up, Crossing::Up)
            );
        }
        for (month, day) in [(12, 1), (12, 21), (1, 10)] {
            let found = sun(month, day);
            assert_eq!((found.rise, found.set), (Crossing::Down, Crossing::Down));
        }
        for (month, day) in [(3, 20), (5, 10), (8, 5), (11, 20), (1, 20)] {
            assert!(
                matches!(sun(month, day).rise, Crossing::At(_)),
                "{month}-{day}"
            );
        }
    }

    #[test]
    fn the_midnight_of_one_day_is_that_before_the_next() {
        for position in [at(52.52, 13.40), at(-45.0, -170.0), at(1.87, -157.4)] {
            let sun = |days: i64| day(position, 1_767_225_600 + days * DAY_S + HALF_DAY_S);
            for days in (0..400).step_by(7) {
                assert_eq!(sun(days).midnights[1], sun(days + 1).midnights[0]);
            }
        }
    }

    #[test]
    fn the_sun_is_as_high_as_it_should_be() {
        // At the solstice the sun stands 90° - latitude + 23.44° above the southern horizon.
        let noon = day(at(52.52, 13.40), 1_782_036_000).noon;
        let height = elevation(at(52.52, 13.40), noon);
        assert!((height - 60.92).abs() < 0.05, "{height}");
    }
}
