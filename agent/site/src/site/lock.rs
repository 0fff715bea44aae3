//! Maintenance locks: somebody works on the line, and only OFF passes.
//!
//! A lock has the name of what was locked and covers the outputs of that moment, also where the
//! configuration names them no more. An output is free again when no lock covers it.

use std::collections::{BTreeMap, BTreeSet};

use lamplighter_model::{
    Now,
    device::{Answer, Fault, OpId, Origin},
};

use super::{Named, Site};
use crate::{
    boundary::{ALL_OUTPUTS, LockRequest, LockView, SiteEvent, Slot},
    moment::Moment,
    output::OutputIndex,
    saved::SavedLock,
    slots::Entry,
};

/// Outputs that are named in a refusal.
const MOST_NAMES: usize = 8;

#[derive(Debug)]
pub(super) struct Lock {
    by: Origin,
    since: Moment,
    outputs: BTreeSet<OutputIndex>,
}

impl Site {
    /// All locks, by name.
    pub fn locks(&self, now: Now) -> Vec<LockView> {
        let locks = self.locks.iter().map(|(name, lock)| LockView {
            name: name.clone(),
            by: lock.by.clone(),
            since: lock.since.age(now),
            outputs: lock.outputs.len(),
        });
        locks.collect()
    }

    pub(super) fn on_lock(&mut self, op: OpId, request: LockRequest, now: Now) {
        let done = match request {
            LockRequest::Lock { what, by } => self.lock(what, by, now),
            LockRequest::Unlock { what, by } => self.unlock(what, &by, now),
        };
        if done.is_ok() && std::mem::take(&mut self.locks_unknown) {
            self.dirty = true;
            self.tell(SiteEvent::LocksUnknown { over: true });
        }
        self.answer(op, done.map(|()| Answer::default()));
    }

    fn lock(&mut self, what: String, by: Origin, now: Now) -> Result<(), Fault> {
        let Some(outputs) = self.lockable(&what) else {
            return Err(unknown(&what));
        };
        if let Some(names) = self.without_off(&outputs) {
            return Err(Fault::BadValue(format!(
                "nothing is locked: a lock cannot keep {names} off, which has no state that is off"
            )));
        }
        let before = self.locks.get(&what);
        let (by, since) = match before {
            // Who came first is who knows why.
            Some(lock) => (lock.by.clone(), lock.since),
            None => (by, Moment::of(now)),
        };
        if before.is_none() {
            self.tell(SiteEvent::Locked {
                name: what.clone(),
                by: by.clone(),
                again: false,
            });
        }
        let lock = Lock {
            by,
            since,
            outputs: outputs.clone(),
        };
        self.locks.insert(what, lock);
        self.dirty = true;
        for index in outputs {
            self.fill_lock(index);
            self.drive(index, now);
        }
        Ok(())
    }

    fn unlock(&mut self, what: Option<String>, by: &Origin, now: Now) -> Result<(), Fault> {
        let names = match what {
            None => self.locks.keys().cloned().collect(),
            Some(name) if self.locks.contains_key(&name) => vec![name],
            Some(name) if name == ALL_OUTPUTS || self.by_name.contains_key(&name) => {
                return Err(Fault::BadValue(format!("{name} is not locked")));
            }
            Some(name) => return Err(unknown(&name)),
        };
        let mut freed = BTreeSet::new();
        for name in names {
            let lock = self.locks.remove(&name);
            freed.extend(lock.into_iter().flat_map(|lock| lock.outputs));
            self.tell(SiteEvent::Unlocked {
                name,
                by: by.clone(),
            });
        }
        self.dirty |= !freed.is_empty();
        for index in freed {
            self.fill_lock(index);
            if self
                .output(index)
                .slots
                .get(Slot::MaintenanceLock)
                .is_none()
            {
                self.reassert(index, now);
            }
        }
        Ok(())
    }

    /// What a lock of this name covers.
    fn lockable(&self, what: &str) -> Option<BTreeSet<OutputIndex>> {
        if what == ALL_OUTPUTS {
            return Some(self.indices().collect());
        }
        match self.by_name.get(what)? {
            Named::Group(index) => Some(self.group(*index).members.iter().copied().collect()),
            Named::Output(index) => Some(BTreeSet::from([*index])),
            Named::Value(_) => None,
        }
    }

    /// Names of those that a lock cannot keep off: who works on them must know.
    fn without_off(&self, outputs: &BTreeSet<OutputIndex>) -> Option<String> {
        let outputs = outputs.iter().map(|index| self.output(*index));
        let names: Vec<&str> = outputs
            .filter(|output| output.off().is_none())
            .map(|output| output.config.name.as_str())
            .collect();
        let more = names.len().saturating_sub(MOST_NAMES);
        let named = names.get(..MOST_NAMES).unwrap_or(&names).join(", ");
        match (names.len(), more) {
            (0, _) => None,
            (_, 0) => Some(named),
            (_, more) => Some(format!("{named} and {more} more")),
        }
    }

    /// Fills the slot of an output with the oldest lock that covers it.
    fn fill_lock(&mut self, index: OutputIndex) {
        let covering = self
            .locks
            .values()
            .filter(|lock| lock.outputs.contains(&index));
        let oldest = covering.min_by_key(|lock| lock.since);
        let oldest = oldest.map(|lock| (lock.by.clone(), lock.since));
        let off = self.output(index).off();
        let (Some((by, since)), Some(value)) = (oldest, off) else {
            self.output_mut(index).slots.clear(Slot::MaintenanceLock);
            return;
        };
        let id = self.new_command();
        let output = self.output_mut(index);
        if output.slots.get(Slot::MaintenanceLock).is_none() {
            output.try_at_once();
        }
        output.slots.set(
            Slot::MaintenanceLock,
            Entry {
                id,
                value,
                by,
                since,
                until: None,
                group: None,
            },
        );
    }

    /// Nothing more is kept off because a list could not be read: a town in the dark is a danger
    /// too. People are told until one of them has looked.
    pub(super) fn restore_locks(
        &mut self,
        locks: BTreeMap<String, SavedLock>,
        is_unknown: bool,
        now: Now,
    ) {
        self.locks_unknown = is_unknown;
        if is_unknown {
            self.dirty = true;
            self.tell(SiteEvent::LocksUnknown { over: false });
        }
        for (name, saved) in locks {
            let mut outputs = self.lockable(&name).unwrap_or_default();
            outputs.extend(saved.outputs.iter().filter_map(|output| {
                match self.by_name.get(output)? {
                    Named::Output(index) => Some(*index),
                    Named::Group(_) | Named::Value(_) => None,
                }
            }));
            let since = Moment::past(saved.since, now).unwrap_or_else(|| Moment::of(now));
            self.tell(SiteEvent::Locked {
                name: name.clone(),
                by: saved.by.clone(),
                again: true,
            });
            let lock = Lock {
                by: saved.by,
                since,
                outputs: outputs.clone(),
            };
            if let Some(names) = self.without_off(&outputs) {
                let reason = format!("it cannot keep {names} off any more");
                self.tell(SiteEvent::Outdated {
                    name: format!("lock {name}"),
                    reason,
                });
            }
            self.locks.insert(name, lock);
            outputs.into_iter().for_each(|index| self.fill_lock(index));
        }
    }

    pub(super) fn saved_locks(&self, now: Now) -> BTreeMap<String, SavedLock> {
        let name = |index: &OutputIndex| self.output(*index).config.name.clone();
        let locks = self.locks.iter().map(|(what, lock)| {
            let saved = SavedLock {
                by: lock.by.clone(),
                since: lock.since.to_saved(now),
                // What it covers follows from the name.
                outputs: if what == ALL_OUTPUTS {
                    Vec::new()
                } else {
                    lock.outputs.iter().map(name).collect()
                },
            };
            (what.clone(), saved)
        });
        locks.collect()
    }
}

fn unknown(what: &str) -> Fault {
    Fault::BadValue(format!("there is no group or output {what}"))
}
