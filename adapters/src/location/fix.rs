//! One position as a receiver says it, and its quantities as values of objects 6 and 3336.

use lamplighter_model::{ObjectId, Quality, ResourceId, UnixTime, Value};

use super::velocity;

/// What a receiver says.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    Fix(Fix),
    /// It is heard, and does not know where it is.
    NoFix,
}

/// A position, WGS 84.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fix {
    /// Degrees to the north.
    pub latitude: f64,
    /// Degrees to the east.
    pub longitude: f64,
    /// Metres above the sea.
    pub altitude: Option<f64>,
    /// How far off it may be, in metres.
    pub radius: Option<f64>,
    /// m/s over ground.
    pub speed: Option<f64>,
    /// Degrees clockwise from true north, 0 to 360.
    pub track: Option<f64>,
    /// m/s upwards.
    pub climb: Option<f64>,
    pub time: Option<UnixTime>,
    /// Reckoned, simulated or typed in, not measured.
    pub is_estimated: bool,
}

/// What of a fix a resource tells.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Quantity {
    Altitude,
    Direction,
    FractionalTime,
    Latitude,
    Longitude,
    Radius,
    Speed,
    Time,
    Velocity,
}

/// Objects that are filled, with their resources (LwM2M Core 1.2 Annex E.7; IPSO 3336 version 2.0).
const RESOURCES: &[(u16, &[(u16, Quantity)])] = &[
    (
        6,
        &[
            (0, Quantity::Latitude),
            (1, Quantity::Longitude),
            (2, Quantity::Altitude),
            (3, Quantity::Radius),
            (4, Quantity::Velocity),
            (5, Quantity::Time),
            (6, Quantity::Speed),
        ],
    ),
    (
        3336,
        &[
            (5517, Quantity::Velocity),
            (5518, Quantity::Time),
            (5705, Quantity::Direction),
            (6050, Quantity::FractionalTime),
            (6051, Quantity::Latitude),
            (6052, Quantity::Longitude),
            (6053, Quantity::Radius),
        ],
    ),
];

impl Quantity {
    /// What the resources of an object tell; nothing for objects that tell no position.
    pub fn of_object(object: ObjectId) -> impl Iterator<Item = (ResourceId, Self)> {
        let known = RESOURCES.iter().filter(move |(id, _)| *id == object.0);
        known.flat_map(|(_, resources)| {
            let resources = resources.iter();
            resources.map(|(id, quantity)| (ResourceId(*id), *quantity))
        })
    }

    /// How people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Altitude => "altitude",
            Self::Direction => "direction",
            Self::FractionalTime => "fractional_time",
            Self::Latitude => "latitude",
            Self::Longitude => "longitude",
            Self::Radius => "radius",
            Self::Speed => "speed",
            Self::Time => "time",
            Self::Velocity => "velocity",
        }
    }

    /// Its value; `None` where the receiver does not say.
    pub fn of(self, fix: &Fix) -> Option<Value> {
        let number = match self {
            Self::Altitude => fix.altitude,
            Self::Direction => fix.track,
            Self::FractionalTime => fix.time.map(fraction),
            Self::Latitude => Some(fix.latitude),
            Self::Longitude => Some(fix.longitude),
            Self::Radius => fix.radius,
            Self::Speed => fix.speed,
            Self::Time => return Some(Value::Time(fix.time?.seconds())),
            Self::Velocity => return velocity::encode(fix).map(Value::Opaque),
        };
        number.map(Value::Float)
    }
}

/// Milliseconds are exact: below 2^53.
fn fraction(time: UnixTime) -> f64 {
    time.0.rem_euclid(1000) as f64 / 1000.0
}

impl Fix {
    pub const fn quality(&self) -> Quality {
        if self.is_estimated {
            Quality::Unchecked
        } else {
            Quality::Good
        }
    }

    /// A place on earth, without what cannot be; `None` if the position itself cannot be.
    pub(super) fn sane(self) -> Option<Self> {
        let is_place =
            (-90.0..=90.0).contains(&self.latitude) && (-180.0..=180.0).contains(&self.longitude);
        let within = |value: Option<f64>, low: f64, high: f64| {
            value.filter(|value| (low..=high).contains(value))
        };
        is_place.then_some(Self {
            altitude: within(self.altitude, -1000.0, 100_000.0),
            radius: within(self.radius, 0.0, 20_000_000.0),
            speed: within(self.speed, 0.0, 100_000.0),
            track: within(self.track, 0.0, 360.0),
            climb: within(self.climb, -100_000.0, 100_000.0),
            ..self
        })
    }

    /// Metres between two positions on a sphere of the earth's mean radius (haversine).
    pub(super) fn distance(&self, other: &Self) -> f64 {
        const EARTH: f64 = 6_371_008.8;
        let (a, b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half = |from: f64, to: f64| ((to - from) / 2.0).sin().powi(2);
        let (from, to) = (self.longitude.to_radians(), other.longitude.to_radians());
        let h = half(a, b) + a.cos() * b.cos() * half(from, to);
        2.0 * EARTH * h.clamp(0.0, 1.0).sqrt().asin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degree_along_a_meridian_is_111_kilometres() {
        let at = |latitude, longitude| Fix {
            latitude,
            longitude,
            ..Fix::default()
        };
        let metres = at(52.0, 13.0).distance(&at(53.0, 13.0));
        assert!((metres - 111_195.0).abs() < 1.0, "{metres}");
        // Over the date line.
        let metres = at(0.0, 179.5).distance(&at(0.0, -179.5));
        assert!((metres - 111_195.0).abs() < 1.0, "{metres}");
    }

    #[test]
    fn what_cannot_be_is_not_told() {
        let fix = Fix {
            latitude: 52.0,
            longitude: 13.0,
            altitude: Some(f64::NAN),
            radius: Some(-1.0),
            speed: Some(f64::INFINITY),
            track: Some(400.0),
            ..Fix::default()
        };
        let sane = fix.clone().sane().unwrap();
        assert_eq!(
            (sane.altitude, sane.radius, sane.speed, sane.track),
            (None, None, None, None)
        );
        for latitude in [90.1, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(
                Fix {
                    latitude,
                    ..fix.clone()
                }
                .sane(),
                None
            );
        }
    }

    #[test]
    fn every_resource_of_both_objects_but_the_companions_has_a_quantity() {
        let of = |object| Quantity::of_object(ObjectId(object)).count();
        assert_eq!((of(6), of(3336), of(3303)), (7, 7, 0));
    }
}
