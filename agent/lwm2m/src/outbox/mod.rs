//! What a server is still to be told. The samples are with the store; here are the numbers of
//! those that matter, and the few that go out next.
//!
//! ```text
//!   first … confirmed … cursor … next
//!                     └ told, but nothing shows that it arrived
//!                              └ still to be told, oldest first; the beginning stands in `buffer`
//! ```
//!
//! 1. What is told at once ([`Outbox::told`]) is kept until something that was sent later is
//!    answered ([`Outbox::confirm`]).
//! 2. Where the path has become doubtful all that is not confirmed is to be told again
//!    ([`Outbox::doubt`]).
//! 3. What cannot be told now goes to the end ([`Outbox::queue`]) and out in packs
//!    ([`Outbox::waiting`], [`Outbox::delivered`]), so that nothing newer passes it.

use std::collections::VecDeque;

use lamplighter_model::Sample;

use crate::{boundary::Kept, saved::SavedQueue};

mod losses;
mod pace;

pub use losses::{Loss, Losses};
pub(crate) use pace::Pace;

/// The numbers of one server's queue, and the samples that go out next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    /// The first samples at or behind `cursor`.
    buffer: VecDeque<Kept>,
    confirmed: u64,
    cursor: u64,
    /// Up to here (exclusive) everything that is to be told stands in `buffer`.
    loaded: u64,
    losses: Losses,
    next: u64,
    /// What `next` was when the store was asked.
    asked: Option<u64>,
    /// Answers of the store that nobody wants any more.
    stale: usize,
}

/// Samples of one server in memory, and asked for at once.
const BUFFERED: usize = 512;
/// Fewer than this many are in memory: the store is asked for more.
const REFILL: usize = 128;

impl Outbox {
    /// Goes on with what the store holds.
    pub(crate) fn restore(&mut self, saved: SavedQueue) {
        *self = Self {
            confirmed: saved.first,
            cursor: saved.first,
            loaded: saved.first,
            next: saved.next.max(saved.first),
            ..Self::default()
        };
        self.losses.add(Loss::Bound, saved.dropped);
    }

    /// These were told just now, after all that was stored.
    pub(crate) fn told(&mut self, samples: Vec<Sample>) -> Vec<Kept> {
        debug_assert!(self.is_drained(), "something older waits");
        let kept = self.numbered(samples);
        self.cursor = self.next;
        self.loaded = self.next;
        kept
    }

    /// These are to be told after all that is stored.
    pub(crate) fn queue(&mut self, samples: Vec<Sample>) -> Vec<Kept> {
        let is_loaded = self.loaded == self.next;
        let kept = self.numbered(samples);
        if is_loaded && self.buffer.len() + kept.len() <= BUFFERED {
            self.buffer.extend(kept.iter().cloned());
            self.loaded = self.next;
        }
        kept
    }

    /// Nothing is to be told any more; some of it may be without confirmation.
    pub(crate) const fn is_drained(&self) -> bool {
        self.cursor == self.next
    }

    /// What goes out next, in order; more may follow from the store.
    pub(crate) const fn waiting(&self) -> &VecDeque<Kept> {
        &self.buffer
    }

    /// Nothing is stored for the server.
    pub(crate) const fn is_empty(&self) -> bool {
        self.confirmed == self.next
    }

    /// How many are still to be told, as far as the numbers say.
    pub(crate) const fn queued(&self) -> u64 {
        self.next - self.cursor
    }

    /// How many were told and are not confirmed.
    pub(crate) const fn unconfirmed(&self) -> u64 {
        self.cursor - self.confirmed
    }

    /// All before this number were told.
    pub(crate) const fn mark(&self) -> u64 {
        self.cursor
    }

    pub(crate) const fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Told without their time.
    pub(crate) const fn undated(&mut self, samples: u64) {
        self.losses.undated += samples;
    }

    pub(crate) fn lose(&mut self, loss: Loss, samples: u64) {
        self.losses.add(loss, samples);
    }

    /// All before the mark have arrived. The answer is up to which number the store may forget.
    pub(crate) fn confirm(&mut self, mark: u64) -> Option<u64> {
        let mark = mark.min(self.cursor);
        if mark <= self.confirmed {
            return None;
        }
        self.confirmed = mark;
        Some(mark - 1)
    }

    /// Nobody knows whether what is not confirmed has arrived: it is to be told again.
    pub(crate) fn doubt(&mut self) {
        if self.cursor == self.confirmed {
            return;
        }
        self.cursor = self.confirmed;
        self.reload();
    }

    /// The first of those that wait have been told, or are dropped for good.
    pub(crate) fn delivered(&mut self, count: usize) {
        for _ in 0..count {
            let Some(kept) = self.buffer.pop_front() else {
                break;
            };
            self.cursor = kept.number + 1;
        }
        if self.buffer.is_empty() {
            self.cursor = self.cursor.max(self.loaded);
        }
    }

    /// What is to be asked of the store now: from which number, and how many.
    pub(crate) fn fetch(&mut self) -> Option<(u64, usize)> {
        if self.asked.is_some() || self.buffer.len() >= REFILL || self.loaded >= self.next {
            return None;
        }
        self.asked = Some(self.next);
        Some((self.loaded, BUFFERED - self.buffer.len()))
    }

    /// The answer of the store.
    pub(crate) fn fetched(&mut self, kept: Vec<Kept>) {
        if self.stale > 0 {
            self.stale -= 1;
            return;
        }
        let Some(asked) = self.asked.take() else {
            return;
        };
        let from = self.loaded;
        let mut got = 0;
        for kept in kept {
            if kept.number >= self.loaded && kept.number < self.next {
                self.loaded = kept.number + 1;
                self.buffer.push_back(kept);
                got += 1;
            }
        }
        if got == 0 {
            // What the store was given and has no more cannot be told.
            self.loaded = self.loaded.max(asked);
            self.losses.add(Loss::Store, self.loaded - from);
            self.delivered(0);
        }
    }

    /// The store has dropped the oldest: those before `first`.
    pub(crate) fn dropped(&mut self, first: u64, count: u64) {
        self.losses.add(Loss::Bound, count);
        let first = first.min(self.next);
        self.confirmed = self.confirmed.max(first);
        if self.cursor >= first {
            return;
        }
        self.cursor = first;
        while self.buffer.front().is_some_and(|kept| kept.number < first) {
            self.buffer.pop_front();
        }
        if self.loaded < first {
            self.reload();
        }
    }

    /// Everything goes. The answer is up to which number the store is to forget, and how many
    /// nobody will be told.
    pub(crate) fn discard_all(&mut self, loss: Loss) -> Option<(u64, u64)> {
        if self.confirmed == self.next {
            return None;
        }
        let lost = self.queued();
        self.losses.add(loss, lost);
        self.confirmed = self.next;
        self.cursor = self.next;
        self.reload();
        Some((self.next - 1, lost))
    }

    fn numbered(&mut self, samples: Vec<Sample>) -> Vec<Kept> {
        let mut kept = Vec::with_capacity(samples.len());
        for sample in samples {
            kept.push(Kept {
                number: self.next,
                sample,
            });
            self.next += 1;
        }
        kept
    }

    fn reload(&mut self) {
        self.buffer.clear();
        self.loaded = self.cursor;
        if self.asked.take().is_some() {
            self.stale += 1;
        }
    }
}
