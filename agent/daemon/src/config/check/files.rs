//! `adapter = "w1"` and `adapter = "system"`.

use std::{path::PathBuf, time::Duration};

use lamplighter_adapters::w1::{FilePoint, Source};
use lamplighter_model::device::AdapterId;
use lamplighter_site::boundary::PointConfig;

use super::{
    Checker, below,
    point::{Carries, Common, Writable},
};
use crate::config::{
    checked::{Files, Point},
    layer::Key,
    schema::{self, What},
};

impl Checker<'_> {
    pub(super) fn w1(
        &mut self,
        at: &Key,
        id: AdapterId,
        device: &schema::W1Device,
    ) -> (Files, Vec<PointConfig>) {
        let period = self.file_period(at, device.read_s, 30);
        let (mut points, mut configs) = (Vec::new(), Vec::new());
        for (name, point) in &device.point {
            let at = below(&below(at, "point"), name);
            let common = Common {
                resource: point.resource.as_ref(),
                ..Common::default()
            };
            let checked = self.point(&at, id, common, Carries::Number, Writable::No);
            let sensor = self.required(&at, "sensor", point.sensor.as_ref());
            let sensor = sensor.and_then(|sensor| self.sensor(&at, sensor));
            let (Some((checked, config)), Some(sensor)) = (checked, sensor) else {
                continue;
            };
            points.push(with_source(checked, Source::W1(sensor)));
            configs.push(config);
        }
        (Files { period, points }, configs)
    }

    /// Family, dash, number: never anything else than a name in a directory.
    fn sensor(&mut self, point: &Key, sensor: &str) -> Option<String> {
        let is_hex = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let parts = sensor.split_once('-');
        let fits = parts.is_some_and(|(family, number)| is_hex(family, 2) && is_hex(number, 12));
        if !fits {
            let what = format!("`{sensor}` is not the name of a sensor");
            let hint = "as in /sys/bus/w1/devices, for example 28-00000abcdef0";
            self.error(&below(point, "sensor"), what, hint);
        }
        fits.then(|| sensor.to_owned())
    }

    pub(super) fn system_device(
        &mut self,
        at: &Key,
        id: AdapterId,
        device: &schema::SystemDevice,
    ) -> (Files, Vec<PointConfig>) {
        let period = self.file_period(at, device.read_s, 60);
        let (mut points, mut configs) = (Vec::new(), Vec::new());
        for (name, point) in &device.point {
            let at = below(&below(at, "point"), name);
            let common = Common {
                resource: point.resource.as_ref(),
                unit: point.unit.as_ref(),
                ..Common::default()
            };
            let carries = match point.what {
                Some(What::Undervoltage) => Carries::Boolean,
                Some(What::CpuTemperature | What::DiskUsed | What::MemoryUsed) | None => {
                    Carries::Number
                }
            };
            let checked = self.point(&at, id, common, carries, Writable::No);
            let source = self.source(&at, point);
            let (Some((checked, config)), Some(source)) = (checked, source) else {
                continue;
            };
            points.push(with_source(checked, source));
            configs.push(config);
        }
        (Files { period, points }, configs)
    }

    fn source(&mut self, at: &Key, point: &schema::SystemPoint) -> Option<Source> {
        if point.directory.is_some() && point.what != Some(What::DiskUsed) {
            self.error(&below(at, "directory"), "only `disk_used` has one", "");
        }
        if point.scale.is_some() && point.file.is_none() {
            self.error(&below(at, "scale"), "only a `file` has one", "");
        }
        match (point.what, &point.file) {
            (Some(_), Some(_)) => {
                let what = "a point has `what` or `file`, not both";
                self.error(&below(at, "file"), what, "");
                None
            }
            (None, None) => {
                self.missing(at, "what", "for example what = \"cpu_temperature\"");
                None
            }
            (None, Some(file)) => {
                let factor = self.factor(at, point.scale);
                let file = self.absolute(&below(at, "file"), file)?;
                Some(Source::File(file, factor))
            }
            (Some(What::CpuTemperature), None) => Some(Source::CpuTemperature),
            (Some(What::DiskUsed), None) => {
                let directory = point.directory.as_deref().unwrap_or("/var");
                let directory = self.absolute(&below(at, "directory"), directory)?;
                Some(Source::DiskUsed(directory))
            }
            (Some(What::MemoryUsed), None) => Some(Source::MemoryUsed),
            (Some(What::Undervoltage), None) => Some(Source::Undervoltage),
        }
    }

    pub(super) fn absolute(&mut self, at: &Key, path: &str) -> Option<PathBuf> {
        if !path.starts_with('/') {
            self.error(at, format!("`{path}` is no absolute path"), "");
            return None;
        }
        Some(path.into())
    }

    fn file_period(&mut self, at: &Key, seconds: Option<u64>, usual: u64) -> Duration {
        let seconds = seconds.unwrap_or(usual);
        Duration::from_secs(self.within(&below(at, "read_s"), seconds, 1, 86_400))
    }
}

fn with_source(point: Point, source: Source) -> (Point, FilePoint) {
    let file = FilePoint {
        address: point.address,
        source,
        data_type: point.data_type,
    };
    (point, file)
}
