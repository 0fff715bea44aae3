//! What was measured, and whether servers are told that and nothing else, in its order.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_lwm2m::format::Content;
use lamplighter_model::Path;
use lamplighter_sim::server::RequestId;

use crate::{host::Told, world::ServerId};

/// Numbered samples of every path, and the last that each observation told.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    samples: BTreeMap<Path, Vec<(u32, Duration)>>,
    told: BTreeMap<(ServerId, Option<RequestId>, Path), u32>,
}

impl Telling {
    pub(crate) fn sampled(&mut self, path: Path, number: u32, at: Duration) {
        self.samples.entry(path).or_default().push((number, at));
    }

    /// Number of the last sample; 0 before the first.
    pub(crate) fn last(&self, path: Path) -> u32 {
        let samples = self.samples.get(&path);
        samples
            .and_then(|samples| samples.last())
            .map_or(0, |(number, _)| *number)
    }

    /// What a server was told.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn told(&mut self, server: ServerId, told: &Told) -> Result<(), String> {
        for node in &told.nodes {
            let path = Path::Resource(node.path);
            let Content::Single(value) = &node.content else {
                return Err(format!("{server:?} was told several values of {path}"));
            };
            let known = self.samples.get(&path).into_iter().flatten();
            let mut known = known
                .filter(|(_, at)| *at <= told.at)
                .map(|(number, _)| *number)
                .chain([0]);
            let number = known.find(|number| value.as_f64() == Some(f64::from(*number)));
            let Some(number) = number else {
                return Err(format!(
                    "{server:?} was told {value} of {path}, which was never measured"
                ));
            };
            let last = self
                .told
                .entry((server, told.observation, path))
                .or_default();
            if number < *last {
                return Err(format!(
                    "{server:?} was told sample {number} of {path} after {last}"
                ));
            }
            *last = number;
        }
        Ok(())
    }
}
