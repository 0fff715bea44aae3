//! Observe, RFC 7641: sequence numbers, who observes us, and the order of what we observe.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    block::Target,
    message::{Reliability, Token},
    udp::{SendId, UNCONFIRMED},
};

/// Names a notification until its fate is known.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NotificationId(pub(crate) u64);

/// 24 bits, RFC 7641, 4.4.
const SEQUENCE_MASK: u32 = 0x00ff_ffff;

/// The clock of sequence numbers. RFC 7641, 4.4: not more than 2^23 in 256 s, which are 32.768.
const TICKS_PER_MS: u64 = 32;

/// RFC 7641, 3.4: after this time any number is newer.
const REORDERING_LIMIT: Duration = Duration::from_secs(128);

/// Our side as a server.
#[derive(Debug, Default)]
pub(crate) struct Observers {
    /// What the peer observes, for block-wise fetching of large notifications.
    observed: BTreeMap<Token, Observed>,
    /// One counter for all tokens: it grows for each of them, also when a token is used again. Those
    /// above the 24 bits are not sent.
    sequence: u64,
    /// How far the clock that the counter keeps up with is ahead of ours.
    clock_ahead: Option<Duration>,
    next_id: u64,
    /// Notifications whose fate is not known yet.
    on_the_way: BTreeMap<SendId, (NotificationId, Token)>,
    /// Those that are not confirmable: they leave when the message layer cannot reset them any more.
    unconfirmed: VecDeque<SendId>,
}

/// What a peer observes: its address as a fingerprint, and the block size it wishes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed {
    pub(crate) target: Target,
    pub(crate) szx: u8,
}

impl Observers {
    pub(crate) fn add(&mut self, token: Token, observed: Observed, limit: usize) {
        if self.observed.len() < limit || self.observed.contains_key(&token) {
            self.observed.insert(token, observed);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.observed.len()
    }

    pub(crate) fn observed(&self, token: &Token) -> Option<Observed> {
        self.observed.get(token).copied()
    }

    pub(crate) fn follow_clock(&mut self, ahead: Duration) {
        self.clock_ahead = Some(ahead);
    }

    pub(crate) fn next_sequence(&mut self, now: Duration) -> u32 {
        let clock = self.clock_ahead.map_or(Duration::ZERO, |ahead| ahead + now);
        let ticks = clock.as_millis() as u64 * TICKS_PER_MS;
        self.sequence = ticks.max(self.sequence + 1);
        self.sequence as u32 & SEQUENCE_MASK
    }

    pub(crate) fn new_id(&mut self) -> NotificationId {
        self.next_id += 1;
        NotificationId(self.next_id)
    }

    pub(crate) fn sent(
        &mut self,
        send: SendId,
        id: NotificationId,
        token: Token,
        reliability: Reliability,
    ) {
        self.on_the_way.insert(send, (id, token));
        if reliability == Reliability::NonConfirmable {
            self.unconfirmed.push_back(send);
        }
        if self.unconfirmed.len() > UNCONFIRMED
            && let Some(oldest) = self.unconfirmed.pop_front()
        {
            self.on_the_way.remove(&oldest);
        }
    }

    pub(crate) fn concluded(&mut self, send: SendId) -> Option<(NotificationId, Token)> {
        self.on_the_way.remove(&send)
    }

    /// Takes one notification back; the answer is what is to be cancelled.
    pub(crate) fn withdraw(&mut self, id: NotificationId) -> Option<SendId> {
        let (send, _) = self
            .on_the_way
            .iter()
            .find(|(_, (known, _))| *known == id)?;
        let send = *send;
        self.on_the_way.remove(&send);
        Some(send)
    }

    /// Forgets the observer; what is still on the way to it is to be cancelled.
    pub(crate) fn forget(&mut self, token: &Token) -> Vec<SendId> {
        self.observed.remove(token);
        let sends: Vec<SendId> = self
            .on_the_way
            .iter()
            .filter(|(_, (_, to))| to == token)
            .map(|(send, _)| *send)
            .collect();
        for send in &sends {
            self.on_the_way.remove(send);
        }
        sends
    }
}

/// Our side as a client: the newest notification of one observation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freshness {
    sequence: u32,
    at: Duration,
}

impl Freshness {
    pub(crate) fn new(sequence: u32, at: Duration) -> Self {
        Self {
            sequence: sequence & SEQUENCE_MASK,
            at,
        }
    }

    pub(crate) fn sequence(self) -> u32 {
        self.sequence
    }

    /// Whether a notification with this number is newer; remembers it if so. RFC 7641, 3.4.
    pub(crate) fn advance(&mut self, sequence: u32, now: Duration) -> bool {
        let (v1, v2) = (self.sequence, sequence & SEQUENCE_MASK);
        let half = 1 << 23;
        let is_newer = v1 < v2 && v2 - v1 < half
            || v1 > v2 && v1 - v2 > half
            || now > self.at.saturating_add(REORDERING_LIMIT);
        if is_newer {
            *self = Self::new(v2, now);
        }
        is_newer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_is_judged_as_in_rfc_7641() {
        let at = Duration::from_secs;
        let newer = |v1, v2, t2| Freshness::new(v1, at(0)).advance(v2, at(t2));
        assert!(newer(1, 2, 0));
        assert!(!newer(2, 2, 1), "a repetition is not newer");
        assert!(!newer(2, 1, 1));
        assert!(newer(0x00ff_ffff, 0, 1), "numbers wrap");
        assert!(newer(0, (1 << 23) - 1, 1));
        assert!(
            !newer(0, 1 << 23, 1),
            "half way round is undecided, so not newer"
        );
        assert!(newer(2, 1, 129), "after 128 s anything is newer");
        assert!(!newer(2, 1, 128));
    }

    #[test]
    fn sequence_numbers_have_24_bits() {
        let mut observers = Observers {
            sequence: 0x00ff_fffe,
            ..Observers::default()
        };
        assert_eq!(observers.next_sequence(Duration::ZERO), 0x00ff_ffff);
        assert_eq!(observers.next_sequence(Duration::ZERO), 0);
    }

    #[test]
    fn numbers_of_a_later_run_are_newer_however_long_the_former_lasted() {
        let date = Duration::from_millis(1_800_000_000_123);
        let after = |ms: u64| {
            let mut observers = Observers::default();
            observers.follow_clock(date + Duration::from_millis(ms));
            observers
        };
        for lasted in [1, 50, 999, 60_000, 300_000, 86_400_000, 1_000_000_000] {
            let mut former = after(0);
            let end = Duration::from_millis(lasted);
            former.next_sequence(Duration::ZERO);
            let last = (0..20).map(|_| former.next_sequence(end)).last();
            let mut seen = Freshness::new(last.unwrap_or_default(), end);
            for pause in [1, 40, 1_000, 128_000] {
                // Another start of the machine: its own time begins anew.
                let first = after(lasted + pause).next_sequence(Duration::ZERO);
                let at = end + Duration::from_millis(pause);
                assert!(seen.clone().advance(first, at), "{lasted} ms, {pause} ms");
            }
            let next = former.next_sequence(end);
            assert!(seen.advance(next, end), "{lasted} ms");
        }
    }
}
