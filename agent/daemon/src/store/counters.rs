//! What counters of meters had counted, a small file for each meter, so that one that runs backwards,
//! or another meter, is noticed over a restart too. What is kept may be older than what was told: then
//! less is noticed, and nothing is doubted wrongly.

use std::path::{Path, PathBuf};

use lamplighter_adapters::meter::{Believed, Counters, MeterPoint};
use lamplighter_model::{Decimal, ResourceAddress};
use serde::{Deserialize, Serialize};

use super::{disk::StateDir, snapshot};

const FORMAT: &str = "lamplighter counters";
const VERSION: u32 = 1;
/// How the names of the files begin.
pub(super) const FILES: &str = "counters-";

/// The file of one meter.
#[derive(Clone, Debug)]
pub(crate) struct CounterFile {
    directory: PathBuf,
    file: String,
}

#[derive(Deserialize, Serialize)]
struct Saved {
    /// Numbers of the meter, and of those behind it by their channel.
    serials: Vec<(u8, String)>,
    counters: Vec<SavedCounter>,
}

#[derive(Deserialize, Serialize)]
struct SavedCounter {
    address: ResourceAddress,
    /// Register and unit as texts: of another, the number means nothing.
    register: String,
    unit: String,
    believed: Decimal,
}

impl CounterFile {
    /// `device`: as the configuration names it.
    pub(crate) fn new(directory: &Path, device: &str) -> Self {
        Self {
            directory: directory.to_owned(),
            file: format!("{FILES}{device}.cbor"),
        }
    }

    /// What was kept of these points.
    pub(crate) fn load(&self, points: &[MeterPoint]) -> Counters {
        let mut disk = StateDir::new(&self.directory);
        let found = snapshot::read::<Saved>(&mut disk, &self.file, FORMAT, VERSION);
        let Some(saved) = found.map(|found| found.body) else {
            return Counters::default();
        };
        let is_same = |counter: &SavedCounter| {
            points.iter().any(|point| {
                point.address == counter.address
                    && (point.register.to_string(), unit(point))
                        == (counter.register.clone(), counter.unit.clone())
            })
        };
        let counters = saved.counters.into_iter().filter(is_same);
        Counters::from(Believed {
            serials: saved.serials,
            counters: counters
                .map(|counter| (counter.address, counter.believed))
                .collect(),
        })
    }

    /// Waits for the disk.
    pub(crate) fn save(&self, believed: Believed, points: &[MeterPoint]) {
        let saved = |(address, believed)| {
            let point = points.iter().find(|point| point.address == address)?;
            Some(SavedCounter {
                address,
                register: point.register.to_string(),
                unit: unit(point),
                believed,
            })
        };
        let saved = Saved {
            serials: believed.serials,
            counters: believed.counters.into_iter().filter_map(saved).collect(),
        };
        let mut disk = StateDir::new(&self.directory);
        let file = &self.file;
        if let Err(error) = snapshot::write(&mut disk, file, FORMAT, VERSION, &saved) {
            tracing::error!(file, %error, "Cannot keep what a meter has counted");
        }
    }
}

fn unit(point: &MeterPoint) -> String {
    point.unit.map_or_else(String::new, |unit| unit.to_string())
}

#[cfg(test)]
mod tests {
    use lamplighter_adapters::meter::{Counted, Obis};
    use lamplighter_model::DataType;

    use super::*;

    #[test]
    fn what_was_counted_comes_back_for_the_same_register_and_unit() {
        let directory =
            std::env::temp_dir().join(format!("lamplighter-counters-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let address = ResourceAddress::gateway(3331, 0, 5700);
        let point = |unit: &str| {
            let obis: Obis = "1.8.0".parse().unwrap();
            MeterPoint {
                unit: Some(unit.parse().unwrap()),
                ..MeterPoint::new(address, obis.into(), DataType::Float)
            }
        };
        let points = [point("Wh")];
        let file = CounterFile::new(&directory, "main");
        assert_eq!(file.load(&points), Counters::default());
        let mut counters = Counters::default();
        counters.meter_is(0, "7", |_| true);
        counters.count(address, Decimal::from(100));
        file.save(counters.believed(), &points);

        let mut again = file.load(&points);
        assert_eq!(again, counters);
        assert!(matches!(
            again.count(address, Decimal::from(99)),
            Counted::Back { .. }
        ));
        let mut other_unit = file.load(&[point("kWh")]);
        assert_eq!(other_unit.count(address, Decimal::from(1)), Counted::On);
        assert_eq!(other_unit.meter_is(0, "8", |_| true), Some("7".to_owned()));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
