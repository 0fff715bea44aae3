//! `[site] position` and `[client] location`: where the box is, and who is told.

use lamplighter_model::ObjectId;

use super::{Checker, below, key};
use crate::config::{checked::Position, layer::Key, schema};

const LOCATION: ObjectId = ObjectId(6);

impl Checker<'_> {
    /// What servers are told; `None` where nobody wants that, or a device tells it.
    pub(super) fn location(&mut self, root: &schema::Root) -> Option<Position> {
        let at = key(&["site", "position"]);
        let position = root.site.position.as_ref();
        let position = position.map(|position| self.position(&at, position));
        let wants = key(&["client", "location"]);
        match (root.client.location.unwrap_or(false), position) {
            (true, Some(position)) => {
                self.only_here(&wants);
                position
            }
            (true, None) => {
                if self.layers.find(&at).is_none() {
                    let hint = "for example position = { lat = 52.52, lon = 13.40 } in [site]";
                    self.error(&wants, "there is no `site.position` to tell", hint);
                }
                None
            }
            (false, Some(_)) if !self.is_position_used => {
                let hint = "servers are told with `location = true` in [client]";
                self.warning(&at, "nothing here uses the position", hint);
                None
            }
            (false, Some(_) | None) => None,
        }
    }

    fn position(&mut self, at: &Key, position: &schema::Position) -> Option<Position> {
        let lat = self.required(at, "lat", position.lat);
        let lat = lat.map(|lat| self.within(&below(at, "lat"), lat, -90.0, 90.0));
        let lon = self.required(at, "lon", position.lon);
        let lon = lon.map(|lon| self.within(&below(at, "lon"), lon, -180.0, 180.0));
        let altitude = position.altitude_m;
        let altitude_m = altitude.map(|metres| {
            let at = below(at, "altitude_m");
            self.within(&at, metres, -500.0, 10_000.0)
        });
        Some(Position {
            lat: lat?,
            lon: lon?,
            altitude_m,
        })
    }

    /// A device that moves knows better, and object 6 has one instance.
    fn only_here(&mut self, wants: &Key) {
        let mut owners = self.owners.iter();
        let told = owners.find(|(address, _)| address.path.object() == LOCATION);
        let Some((_, device)) = told.map(|(address, at)| (*address, at.clone())) else {
            return;
        };
        let what = format!("`{}` tells where the box is", device.join("."));
        self.error(
            wants,
            what,
            "leave `location` out: what a device tells is told",
        );
    }
}
