//! Changes that can cut the box off from those who manage it, on trial: what was before comes back
//! unless a server is reached within the time (design, 6).
//!
//! What a change was made to is a [`Record`], and so is what undoes it. A trial outlives a restart
//! and then has its whole time again.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_model::{Now, device::Origin};

use crate::{
    object::CoreObjects,
    saved::{Record, RecordKey},
};

/// What is on trial.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trials {
    open: BTreeMap<RecordKey, Trial>,
}

#[derive(Clone, Debug)]
struct Trial {
    before: Record,
    /// The last change of it: only what is sent later proves anything.
    changed: Duration,
    due: Duration,
}

/// Enough for an Update, and for a Register behind it, over a link that loses much.
const WITHIN: Duration = Duration::from_secs(600);

/// What undoes those changes that a server should not be able to make for good and then be out of
/// reach.
pub(crate) fn risky(before: &CoreObjects, after: &CoreObjects, by: &Origin) -> Vec<Record> {
    match by {
        Origin::Server(ssid) => after.access.given_away(&before.access, *ssid),
        // Whoever stands at the box can stand there again.
        Origin::Local(_) | Origin::Mqtt | Origin::Rule(_) => Vec::new(),
    }
}

impl Trials {
    /// Begins a trial; `before` undoes the change. What is to be kept together with the change:
    /// nothing where the same thing is on trial already, which goes back to what it was first.
    pub(crate) fn begin(&mut self, before: Record, now: Now) -> Option<Record> {
        let key = before.key();
        if let Some(trial) = self.open.get_mut(&key) {
            trial.changed = now.mono;
            return None;
        }
        self.restore(before.clone(), now);
        Some(Record::Trial(key.to_string(), Some(Box::new(before))))
    }

    pub(crate) fn restore(&mut self, before: Record, now: Now) {
        let trial = Trial {
            changed: now.mono,
            due: now.mono + WITHIN,
            before,
        };
        self.open.insert(trial.before.key(), trial);
    }

    /// A server has answered what was sent to it at `sent`. What is to be kept.
    pub(crate) fn reached(&mut self, sent: Duration) -> Vec<Record> {
        let mut proven = Vec::new();
        self.open.retain(|key, trial| {
            let is_open = trial.changed > sent;
            proven.extend((!is_open).then(|| ended(key)));
            is_open
        });
        proven
    }

    /// What comes back now, with what is to be kept of the end of its trial.
    pub(crate) fn expired(&mut self, now: Now) -> Option<(Record, Record)> {
        let due = self.open.values().find(|trial| trial.due <= now.mono)?;
        let key = due.before.key();
        let trial = self.open.remove(&key)?;
        Some((trial.before, ended(&key)))
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.open.values().map(|trial| trial.due).min()
    }
}

fn ended(key: &RecordKey) -> Record {
    Record::Trial(key.to_string(), None)
}

#[cfg(test)]
mod tests {
    use lamplighter_model::BootId;

    use super::*;
    use crate::saved::SavedAccess;

    fn at(seconds: u64) -> Now {
        Now {
            boot: BootId(1),
            mono: Duration::from_secs(seconds),
            unix: None,
        }
    }

    fn before(path: &str, creator: u16) -> Record {
        let saved = SavedAccess {
            creator: Some(creator),
            ..SavedAccess::default()
        };
        Record::Access(path.to_owned(), Some(saved))
    }

    #[test]
    fn what_was_first_comes_back_after_its_time() {
        let mut trials = Trials::default();
        assert!(trials.begin(before("/3/0", 1), at(100)).is_some());
        assert_eq!(trials.begin(before("/3/0", 2), at(500)), None);
        assert_eq!(trials.timeout(), Some(Duration::from_secs(700)));
        assert_eq!(trials.expired(at(699)), None);
        let (back, kept) = trials.expired(at(700)).unwrap();
        assert_eq!(back, before("/3/0", 1));
        assert!(kept.is_removal());
        assert_eq!((trials.expired(at(9999)), trials.timeout()), (None, None));
    }

    #[test]
    fn an_answer_to_what_was_sent_later_ends_the_trial() {
        let mut trials = Trials::default();
        let _ = trials.begin(before("/3/0", 1), at(100));
        let _ = trials.begin(before("/4/0", 1), at(200));
        assert_eq!(trials.reached(Duration::from_secs(99)), []);
        assert_eq!(trials.reached(Duration::from_secs(150)).len(), 1);
        let _ = trials.begin(before("/4/0", 2), at(300));
        assert_eq!(trials.reached(Duration::from_secs(250)), []);
        assert_eq!(trials.reached(Duration::from_secs(300)).len(), 1);
        assert_eq!(trials.timeout(), None);
    }
}
