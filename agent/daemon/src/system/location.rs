//! Object 6, Location, of a box that stays where it is: what the configuration says. Where a device
//! tells the position, that device answers for the object and this part does not exist.

use lamplighter_model::{InstancePath, Now, UnixTime, Value};

use crate::config::Position;

pub(super) const INSTANCE: InstancePath = InstancePath::new(6, 0);

mod id {
    pub(super) const LATITUDE: u16 = 0;
    pub(super) const LONGITUDE: u16 = 1;
    pub(super) const ALTITUDE: u16 = 2;
    pub(super) const TIMESTAMP: u16 = 5;
}

#[derive(Debug)]
pub(super) struct Location {
    position: Position,
    /// When the position was taken over, as soon as the date is known: it does not tick.
    since: Option<UnixTime>,
}

impl Location {
    pub(super) const fn new(position: Position) -> Self {
        Self {
            position,
            since: None,
        }
    }

    pub(super) const fn position(&self) -> Position {
        self.position
    }

    pub(super) fn look(&mut self, now: Now) -> Vec<(u16, Value)> {
        self.since = self.since.or(now.unix);
        let Position {
            lat,
            lon,
            altitude_m,
        } = self.position;
        let altitude = altitude_m.map(|metres| (id::ALTITUDE, Value::Float(metres)));
        let time = |since: UnixTime| (id::TIMESTAMP, Value::Time(since.seconds()));
        let place = [
            (id::LATITUDE, Value::Float(lat)),
            (id::LONGITUDE, Value::Float(lon)),
        ];
        let place = place.into_iter().chain(altitude);
        place.chain(self.since.map(time)).collect()
    }

    /// Whether there is nothing more to be told than at the last look.
    pub(super) const fn is_complete(&self) -> bool {
        self.since.is_some()
    }
}

pub(super) fn resources(position: &Position) -> Vec<u16> {
    let altitude = position.altitude_m.map(|_| id::ALTITUDE);
    let place = [id::LATITUDE, id::LONGITUDE].into_iter().chain(altitude);
    place.chain([id::TIMESTAMP]).collect()
}
