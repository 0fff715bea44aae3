//! A bounce filter for backends whose kernel has none: a level counts once it has stood still.

use std::collections::BTreeMap;

use lamplighter_model::Stamp;
use tokio::time::Instant;

/// Levels that have not stood still long enough yet, by line.
#[derive(Debug, Default)]
pub(crate) struct Debounce(BTreeMap<usize, Bouncing>);

#[derive(Clone, Copy, Debug)]
struct Bouncing {
    level: bool,
    at: Stamp,
    settles: Instant,
}

impl Debounce {
    pub(crate) fn on_edge(&mut self, line: usize, level: bool, at: Stamp, settles: Instant) {
        self.0.insert(line, Bouncing { level, at, settles });
    }

    /// When the next level counts.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.values().map(|bouncing| bouncing.settles).min()
    }

    /// Levels that count now, with the time of their last edge.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<(usize, bool, Stamp)> {
        let settled = self
            .0
            .iter()
            .filter(|(_, bouncing)| bouncing.settles <= now);
        let settled: Vec<_> = settled
            .map(|(line, bouncing)| (*line, bouncing.level, bouncing.at))
            .collect();
        for (line, ..) in &settled {
            self.0.remove(line);
        }
        settled
    }
}
