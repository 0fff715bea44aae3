//! Which messages of the peer we have met, and what we replied. Every operation costs the same, however much is remembered.
//!
//! Two rings with their own bounds, so that a flood of reads never pushes out what must not run
//! twice: *once* for requests with effects, *again* for reads and responses.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use crate::{params::Params, wire};

/// May the message be handled again once it is forgotten early?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Class {
    Again,
    Once,
}

/// What a duplicate gets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Reply {
    /// These bytes again.
    Bytes(Vec<u8>),
    /// Nothing: the answer is being made, was dropped for lack of room, or none is due.
    Silence,
}

#[derive(Debug)]
pub(crate) struct Seen {
    /// Its order does not matter: whoever goes through it does the same to all.
    entries: HashMap<u16, Entry, BuildHasherDefault<MidHasher>>,
    again: VecDeque<Place>,
    once: VecDeque<Place>,
    /// How many at the front of `once` have lost their reply to the byte limit.
    stripped: usize,
    /// Bytes of replies held by entries of `once`.
    bytes: usize,
    serial: u64,
}

#[derive(Debug)]
struct Entry {
    class: Class,
    fingerprint: u64,
    reply: Reply,
    serial: u64,
}

/// Where an entry stands in its ring; stale if the serial is another.
#[derive(Debug)]
struct Place {
    mid: u16,
    serial: u64,
    since: Duration,
}

impl Seen {
    pub(crate) fn new() -> Self {
        Self {
            entries: HashMap::default(),
            again: VecDeque::new(),
            once: VecDeque::new(),
            stripped: 0,
            bytes: 0,
            serial: 0,
        }
    }

    /// What we replied to this message, if we know it. The same id with other bytes is a new
    /// message of a peer that has restarted or counts fast.
    pub(crate) fn reply(&self, mid: u16, fingerprint: u64) -> Option<&Reply> {
        self.entries
            .get(&mid)
            .filter(|entry| entry.fingerprint == fingerprint)
            .map(|entry| &entry.reply)
    }

    pub(crate) fn remember(
        &mut self,
        mid: u16,
        fingerprint: u64,
        class: Class,
        params: &Params,
        now: Duration,
    ) {
        self.serial += 1;
        let entry = Entry {
            class,
            fingerprint,
            reply: Reply::Silence,
            serial: self.serial,
        };
        if let Some(old) = self.entries.insert(mid, entry) {
            self.uncount(&old);
        }
        let place = Place {
            mid,
            serial: self.serial,
            since: now,
        };
        match class {
            Class::Again => self.again.push_back(place),
            Class::Once => self.once.push_back(place),
        }
        while self.again.len() > params.max_seen_again {
            self.drop_first(Class::Again);
        }
        while self.once.len() > params.max_seen_once {
            self.drop_first(Class::Once);
        }
    }

    /// Duplicates of this message get these bytes from now on.
    pub(crate) fn set_reply(&mut self, mid: u16, bytes: Vec<u8>, params: &Params) {
        let Some(entry) = self.entries.get_mut(&mid) else {
            return;
        };
        if entry.class == Class::Once {
            self.bytes += bytes.len();
            self.bytes -= entry.reply.len();
        }
        entry.reply = Reply::Bytes(bytes);
        self.strip(params.max_seen_bytes);
    }

    /// Duplicates of reads are not told again what was read: it may be secret by now.
    pub(crate) fn silence(&mut self) {
        let reads = self.entries.values_mut();
        let told = reads.filter(|entry| {
            entry.class == Class::Again
                && matches!(&entry.reply, Reply::Bytes(bytes) if wire::holds_content(bytes))
        });
        told.for_each(|entry| entry.reply = Reply::Silence);
    }

    /// Reads whose replies are longer than this are met as if they were new.
    pub(crate) fn forget_large(&mut self, longest: usize) {
        self.entries
            .retain(|_, entry| entry.class == Class::Once || entry.reply.len() <= longest);
    }

    /// Drops what is older than its time; says when to come again.
    pub(crate) fn forget(&mut self, params: &Params, now: Duration) -> Option<Duration> {
        let expiry = |place: &Place| place.since.saturating_add(params.exchange_lifetime());
        for class in [Class::Again, Class::Once] {
            while self
                .ring(class)
                .front()
                .is_some_and(|place| expiry(place) <= now)
            {
                self.drop_first(class);
            }
        }
        if self.entries.is_empty() {
            // An idle peer costs nothing.
            (self.entries, self.again, self.once, self.stripped) = Default::default();
        }
        // One visit when the newest is due is enough: until then memory is bounded anyway.
        [&self.again, &self.once]
            .into_iter()
            .filter_map(|ring| ring.back().map(expiry))
            .max()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn ring(&mut self, class: Class) -> &mut VecDeque<Place> {
        match class {
            Class::Again => &mut self.again,
            Class::Once => &mut self.once,
        }
    }

    fn drop_first(&mut self, class: Class) {
        let Some(place) = self.ring(class).pop_front() else {
            return;
        };
        if class == Class::Once {
            self.stripped = self.stripped.saturating_sub(1);
        }
        if self
            .entries
            .get(&place.mid)
            .is_some_and(|entry| entry.serial == place.serial)
            && let Some(old) = self.entries.remove(&place.mid)
        {
            self.uncount(&old);
        }
    }

    /// Takes the replies of the oldest until they fit; the entries stay, so nothing runs twice.
    fn strip(&mut self, limit: usize) {
        while self.bytes > limit {
            let Some(place) = self.once.get(self.stripped) else {
                return;
            };
            self.stripped += 1;
            if let Some(entry) = self.entries.get_mut(&place.mid)
                && entry.serial == place.serial
            {
                self.bytes -= entry.reply.len();
                entry.reply = Reply::Silence;
            }
        }
    }

    fn uncount(&mut self, entry: &Entry) {
        if entry.class == Class::Once {
            self.bytes -= entry.reply.len();
        }
    }
}

/// There are only 65536 keys: a multiplication spreads them well enough.
#[derive(Debug, Default)]
struct MidHasher(u64);

impl Hasher for MidHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u16(u16::from(*byte)));
    }

    fn write_u16(&mut self, number: u16) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Reply {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Silence => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        Params {
            max_seen_again: 2,
            max_seen_once: 3,
            max_seen_bytes: 100,
            ..Params::default()
        }
    }

    #[test]
    fn reads_do_not_push_out_what_must_not_run_twice() {
        let mut seen = Seen::new();
        seen.remember(1, 1, Class::Once, &params(), Duration::ZERO);
        (2..1000).for_each(|mid| seen.remember(mid, 1, Class::Again, &params(), Duration::ZERO));
        assert!(seen.reply(1, 1).is_some());
        assert_eq!(seen.reply(2, 1), None);
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn the_oldest_replies_go_first_when_bytes_run_out_but_stay_known() {
        let mut seen = Seen::new();
        for mid in 1..=3 {
            seen.remember(mid, 1, Class::Once, &params(), Duration::ZERO);
            seen.set_reply(mid, vec![0; 45], &params());
        }
        assert_eq!(seen.reply(1, 1), Some(&Reply::Silence));
        assert_eq!(seen.reply(2, 1), Some(&Reply::Bytes(vec![0; 45])));
        assert_eq!(seen.bytes, 90);
    }

    #[test]
    fn a_message_id_with_other_bytes_is_a_new_message() {
        let mut seen = Seen::new();
        seen.remember(1, 1, Class::Once, &params(), Duration::ZERO);
        seen.set_reply(1, vec![0; 10], &params());
        assert_eq!(seen.reply(1, 2), None);
        seen.remember(1, 2, Class::Once, &params(), Duration::ZERO);
        assert_eq!((seen.len(), seen.bytes), (1, 0));
    }

    #[test]
    fn everything_is_forgotten_after_the_exchange_lifetime() {
        let mut seen = Seen::new();
        seen.remember(1, 1, Class::Once, &params(), Duration::ZERO);
        seen.remember(2, 1, Class::Again, &params(), Duration::from_secs(10));
        assert_eq!(
            seen.forget(&params(), Duration::from_secs(247)),
            Some(Duration::from_secs(257))
        );
        assert_eq!(seen.len(), 1);
        assert_eq!(seen.forget(&params(), Duration::from_secs(257)), None);
        assert_eq!((seen.len(), seen.bytes), (0, 0));
    }
}
