//! The last minutes of some numbers, in memory, for the page's small charts. Not the history that
//! the store keeps.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use lamplighter_model::{DataType, Now, ResourceAddress, Sample};
use lamplighter_site::boundary::PointKind;

use super::Catalogue;

/// Points followed: the first of the configuration that are numbers. 64 × 240 × 24 bytes.
const MAX_POINTS: usize = 64;
const MAX_VALUES: usize = 240;
/// Values that are closer replace each other, so a chart covers at least twenty minutes.
const SPACING: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Trends(BTreeMap<ResourceAddress, VecDeque<(Duration, f64)>>);

impl Trends {
    pub(super) fn of(catalogue: &Catalogue) -> Self {
        let number = |address: &ResourceAddress| {
            let definition = catalogue
                .definitions
                .resource(address.path.object(), address.path.resource);
            definition.is_some_and(|def| {
                matches!(
                    def.data_type,
                    DataType::Float | DataType::Integer | DataType::Unsigned
                )
            })
        };
        let measured = catalogue
            .points
            .iter()
            .filter(|point| point.kind == PointKind::Value);
        let numbers = measured.map(|point| point.address).filter(number);
        Self(
            numbers
                .take(MAX_POINTS)
                .map(|address| (address, VecDeque::new()))
                .collect(),
        )
    }

    pub(super) fn record(&mut self, sample: &Sample) {
        let Some(values) = self.0.get_mut(&sample.address) else {
            return;
        };
        let Some(number) = sample.value.as_f64().filter(|number| number.is_finite()) else {
            return;
        };
        if let Some([before, last]) = values.make_contiguous().last_chunk()
            && last.0.saturating_sub(before.0) < SPACING
        {
            values.pop_back();
        }
        if values.len() >= MAX_VALUES {
            values.pop_front();
        }
        values.push_back((sample.at.mono, number));
    }

    /// Age in seconds and value, oldest first; `None` for what is not followed.
    pub(super) fn values(&self, address: ResourceAddress, now: Now) -> Option<Vec<(f64, f64)>> {
        let values = self.0.get(&address)?;
        Some(
            values
                .iter()
                .map(|(at, value)| (now.mono.saturating_sub(*at).as_secs_f64(), *value))
                .collect(),
        )
    }
}
