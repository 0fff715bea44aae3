//! Devices that tell where the box is: `adapter = "gpsd"` and `"nmea"`.

use std::time::Duration;

use lamplighter_adapters::location::Quantity;
use lamplighter_model::{InstancePath, ObjectId, Path, device::AdapterId};
use lamplighter_site::boundary::PointConfig;

use super::{
    Checker, below,
    point::{Carries, Common, Writable},
};
use crate::config::{
    checked::{Location, LocationPoint, LocationSource},
    layer::Key,
    schema,
};

const GPSD: &str = "127.0.0.1:2947";
const EXAMPLE: &str = "for example instances = [\"/6/0\", \"/3336/0\"]";

/// What both kinds have.
struct Told<'a> {
    instances: Option<&'a Vec<String>>,
    every_s: Option<u64>,
    stale_after_s: Option<u64>,
    max_speed_kmh: Option<f64>,
}

impl Checker<'_> {
    pub(super) fn gpsd(
        &mut self,
        at: &Key,
        id: AdapterId,
        device: &schema::GpsdDevice,
    ) -> (Option<Location>, Vec<PointConfig>) {
        let address = device.address.as_deref().unwrap_or(GPSD);
        let address = self.host_and_port(at, address, GPSD);
        let receiver = device.receiver.clone();
        let source = address.map(|address| LocationSource::Gpsd { address, receiver });
        let told = Told {
            instances: device.instances.as_ref(),
            every_s: device.every_s,
            stale_after_s: device.stale_after_s,
            max_speed_kmh: device.max_speed_kmh,
        };
        self.receiver(at, id, source, &told)
    }

    pub(super) fn nmea(
        &mut self,
        at: &Key,
        id: AdapterId,
        device: &schema::NmeaDevice,
    ) -> (Option<Location>, Vec<PointConfig>) {
        let bus = self.bus_of(at, device.bus.as_ref());
        let told = Told {
            instances: device.instances.as_ref(),
            every_s: device.every_s,
            stale_after_s: device.stale_after_s,
            max_speed_kmh: device.max_speed_kmh,
        };
        self.receiver(at, id, bus.map(LocationSource::Nmea), &told)
    }

    fn receiver(
        &mut self,
        at: &Key,
        id: AdapterId,
        source: Option<LocationSource>,
        told: &Told<'_>,
    ) -> (Option<Location>, Vec<PointConfig>) {
        let standard = vec!["/6/0".to_owned()];
        let instances = told.instances.unwrap_or(&standard);
        if instances.is_empty() {
            self.error(
                &below(at, "instances"),
                "nobody is told the position",
                EXAMPLE,
            );
        }
        let (mut points, mut configs) = (Vec::new(), Vec::new());
        for (number, text) in instances.iter().enumerate() {
            let Some(instance) = self.place_instance(&below(at, "instances"), text) else {
                continue;
            };
            for (resource, quantity) in Quantity::of_object(instance.object) {
                // Of several instances only the first has plain names.
                let name = if number == 0 {
                    quantity.name().to_owned()
                } else {
                    let InstancePath { object, instance } = instance;
                    format!("{}_{object}_{instance}", quantity.name())
                };
                let resource = instance.resource(resource.0).to_string();
                let common = Common {
                    resource: Some(&resource),
                    ..Common::default()
                };
                let at = below(&below(at, "point"), &name);
                let carries = match quantity {
                    Quantity::Velocity => Carries::Bytes,
                    Quantity::Altitude
                    | Quantity::Direction
                    | Quantity::FractionalTime
                    | Quantity::Latitude
                    | Quantity::Longitude
                    | Quantity::Radius
                    | Quantity::Speed
                    | Quantity::Time => Carries::Number,
                };
                let point = self.point(&at, id, common, carries, Writable::No);
                if let Some((point, config)) = point {
                    points.push(LocationPoint { point, quantity });
                    configs.push(config);
                }
            }
        }
        let every = told.every_s.unwrap_or(5);
        let every = self.within(&below(at, "every_s"), every, 1, 3600);
        let stale_after = told.stale_after_s.unwrap_or_else(|| (3 * every).max(15));
        let stale_after = self.within(&below(at, "stale_after_s"), stale_after, 3, 86_400);
        if stale_after <= every {
            let what = "the position would be stale before it is told again";
            self.error(&below(at, "stale_after_s"), what, "more than `every_s`");
        }
        let speed = told.max_speed_kmh.unwrap_or(400.0);
        let speed = self.within(&below(at, "max_speed_kmh"), speed, 1.0, 100_000.0);
        let location = source.map(|source| Location {
            source,
            every: Duration::from_secs(every),
            stale_after: Duration::from_secs(stale_after),
            max_speed_kmh: speed,
            points,
        });
        (location, configs)
    }

    /// Object 6 has one instance (Core 1.2, Annex E.7).
    fn place_instance(&mut self, at: &Key, text: &str) -> Option<InstancePath> {
        let Ok(Path::Instance(instance)) = text.parse() else {
            self.error(at, format!("`{text}` does not name an instance"), EXAMPLE);
            return None;
        };
        if Quantity::of_object(instance.object).next().is_none() {
            let what = format!("object {} tells no position", instance.object);
            self.error(at, what, "6 and 3336 do");
            return None;
        }
        if instance.object == ObjectId(6) && instance.instance.0 != 0 {
            self.error(at, "object 6 has one instance, /6/0", "");
            return None;
        }
        Some(instance)
    }
}
