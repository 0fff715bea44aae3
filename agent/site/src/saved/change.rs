//! What is kept of a change: as much as has changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{SavedOutput, SavedSite};

/// What is to be kept now.
#[derive(Clone, Debug, PartialEq)]
pub enum SavedChange {
    Part(SavedPart),
    /// Everything: what was kept before counts no more.
    Whole(SavedSite),
}

/// What is to be kept instead of the same that was kept before.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SavedPart {
    /// Outputs that have changed.
    pub outputs: BTreeMap<String, SavedOutput>,
    /// Everything but outputs, where any of it may have changed.
    pub rest: Option<Box<SavedSite>>,
}

impl SavedSite {
    pub fn apply(&mut self, change: SavedChange) {
        match change {
            SavedChange::Part(SavedPart { outputs, rest }) => {
                if let Some(rest) = rest {
                    let outputs = std::mem::take(&mut self.outputs);
                    *self = Self { outputs, ..*rest };
                }
                self.outputs.extend(outputs);
            }
            SavedChange::Whole(site) => *self = site,
        }
    }
}

impl SavedChange {
    /// Both as one.
    pub fn merge(&mut self, later: Self) {
        match (self, later) {
            (Self::Whole(site), later) => site.apply(later),
            (Self::Part(part), Self::Part(later)) => {
                part.outputs.extend(later.outputs);
                part.rest = later.rest.or_else(|| part.rest.take());
            }
            (part @ Self::Part(_), whole @ Self::Whole(_)) => *part = whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saved::SavedCounters;

    fn outputs(of: &[(&str, u64)]) -> BTreeMap<String, SavedOutput> {
        let output = |switches| SavedOutput {
            counters: SavedCounters {
                switches,
                ..SavedCounters::default()
            },
            ..SavedOutput::default()
        };
        let named = of.iter();
        named
            .map(|(name, switches)| ((*name).to_owned(), output(*switches)))
            .collect()
    }

    fn part(of: &[(&str, u64)], holder: Option<&str>) -> SavedChange {
        let rest = holder.map(|holder| SavedSite {
            holders: [("star".to_owned(), holder.to_owned())].into(),
            ..SavedSite::default()
        });
        SavedChange::Part(SavedPart {
            outputs: outputs(of),
            rest: rest.map(Box::new),
        })
    }

    #[test]
    fn changes_that_are_merged_come_to_the_same_as_one_after_the_other() {
        let whole = SavedChange::Whole(SavedSite {
            outputs: outputs(&[("b", 20)]),
            ..SavedSite::default()
        });
        let changes = [
            part(&[("a", 1), ("b", 1)], Some("a")),
            part(&[("b", 2)], None),
            part(&[("c", 3)], Some("c")),
            whole,
        ];
        for first in &changes {
            for second in &changes {
                let mut one_by_one = SavedSite {
                    outputs: outputs(&[("z", 9)]),
                    ..SavedSite::default()
                };
                let mut at_once = one_by_one.clone();
                one_by_one.apply(first.clone());
                one_by_one.apply(second.clone());
                let mut both = first.clone();
                both.merge(second.clone());
                at_once.apply(both);
                assert_eq!(at_once, one_by_one, "{first:?}, then {second:?}");
            }
        }
    }
}
