//! What is due when: one ordered structure, so a thousand clients cost nothing while none is due.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// At most one time per key.
#[derive(Debug)]
pub(super) struct Timers<K> {
    queue: BTreeSet<(Duration, K)>,
    times: BTreeMap<K, Duration>,
}

impl<K: Copy + Ord> Timers<K> {
    pub(super) fn new() -> Self {
        Self {
            queue: BTreeSet::new(),
            times: BTreeMap::new(),
        }
    }

    /// Replaces the time of this key; `None` removes it.
    pub(super) fn set(&mut self, key: K, at: Option<Duration>) {
        let before = match at {
            Some(at) => self.times.insert(key, at),
            None => self.times.remove(&key),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, key));
        }
        if let Some(at) = at {
            self.queue.insert((at, key));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.queue.first().map(|(at, _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Duration) -> Option<K> {
        self.next().filter(|at| *at <= now)?;
        self.pop_first()
    }

    pub(super) fn pop_first(&mut self) -> Option<K> {
        let (_, key) = self.queue.pop_first()?;
        self.times.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_key_is_due_once_at_its_last_time() {
        let mut timers = Timers::new();
        timers.set('a', Some(at(1)));
        timers.set('b', Some(at(2)));
        timers.set('a', Some(at(3)));
        timers.set('c', Some(at(1)));
        timers.set('c', None);
        assert_eq!(timers.next(), Some(at(2)));
        assert_eq!(timers.pop_due(at(1)), None);
        assert_eq!(timers.pop_due(at(9)), Some('b'));
        assert_eq!(timers.pop_due(at(9)), Some('a'));
        assert_eq!(timers.pop_due(at(9)), None);
    }
}
