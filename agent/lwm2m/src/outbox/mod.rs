//! What a server is still to be told. The samples are with the store; here are the numbers of
//! those that matter, and the few that go out next.
//!
//! ```text
//!   first … confirmed … cursor … next
//!     │               └ told, but nothing shows that it arrived
//!     │                        └ still to be told, oldest first; the beginning stands in `buffer`
//!     └ with the store; before `confirmed` only what is parked still matters
//! ```
//!
//! 1. What is told at once ([`Outbox::told`]) is kept until something that was sent later is
//!    answered ([`Outbox::confirm`]).
//! 2. Where the path has become doubtful all that is not confirmed is to be told again
//!    ([`Outbox::doubt`]).
//! 3. What cannot be told now goes to the end ([`Outbox::queue`]) and out in packs
//!    ([`Outbox::waiting`], [`Outbox::advance`]), so that nothing newer passes it.
//! 4. What has no way to the server at all is passed by ([`Outbox::park`]), so that it does not
//!    hold up the rest; once there is a way it is read again ([`Outbox::reread`]) before anything
//!    newer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lamplighter_model::{Path, ResourceAddress, ResourceInstanceId, Sample, Stamp, Value};

use crate::{boundary::Kept, saved::SavedQueue};

mod losses;
mod pace;

pub use losses::{Loss, Losses};
pub(crate) use pace::Pace;

/// The numbers of one server's queue, and the samples that go out next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    /// What `next` was when the store was asked.
    asked: Option<u64>,
    /// The first samples at or behind the position.
    buffer: VecDeque<Kept>,
    confirmed: u64,
    cursor: u64,
    /// So many of those that were to be told the store has no more, and that is counted already.
    erased: u64,
    /// The oldest that the store has to hold.
    first: u64,
    /// Everything from the position up to here (exclusive) stands in `buffer`.
    loaded: u64,
    losses: Losses,
    newest: BTreeMap<Part, Newest>,
    next: u64,
    parked: BTreeMap<Part, Parked>,
    /// What was parked is read again.
    rereading: Option<Rereading>,
    /// Answers of the store that nobody wants any more.
    stale: usize,
}

/// A resource, or one instance of it.
pub(crate) type Part = (ResourceAddress, Option<ResourceInstanceId>);

/// Samples of one part that were passed by, as far as they still wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Parked {
    pub(crate) count: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// Reading again, from `start` to `end` (exclusive).
#[derive(Clone, Debug)]
struct Rereading {
    at: u64,
    end: u64,
    /// Parts that were passed by once more: they wait for the next time.
    passed: BTreeSet<Part>,
    start: u64,
}

/// The sample of a part that was stored last.
#[derive(Clone, Debug)]
struct Newest {
    at: Stamp,
    is_queued: bool,
    value: Value,
}

/// Parts whose newest sample is remembered; where it is not, it may be stored twice.
const MAX_NEWEST: usize = 16_384;
/// Samples of one server in memory, and asked for at once.
const BUFFERED: usize = 512;
/// Fewer than this many are in memory: the store is asked for more.
const REFILL: usize = 128;
/// Parts that may be parked; samples of more are lost.
pub(crate) const MAX_PARKED: usize = 4096;

impl Outbox {
    /// Goes on with what the store holds.
    pub(crate) fn restore(&mut self, saved: SavedQueue) {
        self.first = saved.first;
        self.next = saved.next.max(saved.first);
        self.losses.add(Loss::Bound, saved.dropped);
        self.cursor = self.first;
        self.confirmed = self.first;
        self.reload();
    }

    /// Goes on where reading had come to before the restart.
    pub(crate) fn restore_position(&mut self, cursor: u64, parked: BTreeMap<Part, Parked>) {
        self.cursor = cursor.clamp(self.first, self.next);
        self.confirmed = self.cursor;
        self.parked = parked;
        self.parked.retain(|_, parked| parked.last >= self.first);
        self.unpark_behind();
        self.reload();
    }

    /// These were told just now, after all that was stored.
    pub(crate) fn told(&mut self, samples: Vec<Sample>) -> Vec<Kept> {
        debug_assert!(self.is_drained(), "something older waits");
        let kept = self.numbered(samples, false);
        self.cursor = self.next;
        self.loaded = self.next;
        kept
    }

    /// These are to be told after all that is stored.
    pub(crate) fn queue(&mut self, samples: Vec<Sample>) -> Vec<Kept> {
        let is_loaded = self.loaded == self.next && self.rereading.is_none();
        let kept = self.numbered(samples, true);
        if is_loaded && self.buffer.len() + kept.len() <= BUFFERED {
            self.buffer.extend(kept.iter().cloned());
            self.loaded = self.next;
        }
        kept
    }

    /// Nothing is to be told any more but what is parked; some of it may be without confirmation.
    pub(crate) const fn is_drained(&self) -> bool {
        self.cursor == self.next && self.rereading.is_none()
    }

    /// Nothing is with the store.
    pub(crate) const fn is_empty(&self) -> bool {
        self.first == self.next
    }

    /// What goes out next, in order; more may follow from the store.
    pub(crate) const fn waiting(&self) -> &VecDeque<Kept> {
        &self.buffer
    }

    /// How many are behind the cursor, as far as the numbers say.
    pub(crate) const fn behind(&self) -> u64 {
        self.next - self.cursor
    }

    /// How many are still to be told, parked ones included.
    pub(crate) fn queued(&self) -> u64 {
        let parked: u64 = self.parked.values().map(|parked| parked.count).sum();
        self.behind() + parked
    }

    /// How many were told and are not confirmed.
    pub(crate) const fn unconfirmed(&self) -> u64 {
        self.cursor - self.confirmed
    }

    /// All before this number were told.
    pub(crate) const fn mark(&self) -> u64 {
        self.cursor
    }

    /// The number that the next sample gets.
    pub(crate) const fn next(&self) -> u64 {
        self.next
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

    /// All before the mark have arrived.
    pub(crate) fn confirm(&mut self, mark: u64) {
        self.confirmed = self.confirmed.max(mark.min(self.cursor));
    }

    /// Nobody knows whether what is not confirmed has arrived: it is to be told again.
    pub(crate) fn doubt(&mut self) {
        self.cursor = self.confirmed;
        self.rereading = None;
        self.unpark_behind();
        self.reload();
    }

    /// Up to which number the store may forget, where that is more than before.
    pub(crate) fn forget(&mut self) -> Option<u64> {
        let parked = self.parked.values().map(|parked| parked.first).min();
        let first = parked.map_or(self.confirmed, |parked| parked.min(self.confirmed));
        if first <= self.first {
            return None;
        }
        self.first = first;
        Some(first - 1)
    }

    /// The first of those that wait were told, or are lost.
    pub(crate) fn advance(&mut self, count: usize) {
        for _ in 0..count {
            let Some(kept) = self.buffer.pop_front() else {
                break;
            };
            if self.rereading.is_some() && self.is_due(&kept) {
                self.unpark(&kept);
            }
            self.move_to(kept.number + 1);
        }
        self.skip_gap();
    }

    /// The first of those that wait has no way to the server. False where too many parts are
    /// parked already; then it is lost.
    pub(crate) fn park(&mut self) -> bool {
        let Some(kept) = self.buffer.pop_front() else {
            return true;
        };
        let has_room = self.parked.len() < MAX_PARKED || self.parked.contains_key(&part(&kept));
        if let Some(rereading) = &mut self.rereading {
            rereading.passed.insert(part(&kept));
        } else if has_room {
            let new = Parked {
                count: 0,
                first: kept.number,
                last: kept.number,
            };
            let parked = self.parked.entry(part(&kept)).or_insert(new);
            parked.count += 1;
            parked.last = kept.number;
        }
        self.move_to(kept.number + 1);
        self.skip_gap();
        has_room
    }

    pub(crate) const fn parked(&self) -> &BTreeMap<Part, Parked> {
        &self.parked
    }

    /// Nobody waits for what is parked of this part. The answer is how many samples that were.
    pub(crate) fn unpark_all(&mut self, part: &Part) -> u64 {
        self.parked.remove(part).map_or(0, |parked| parked.count)
    }

    /// Reads what is parked again, from this number on.
    pub(crate) fn reread(&mut self, from: u64) {
        let from = from.max(self.first);
        if from < self.cursor {
            self.rereading = Some(Rereading {
                at: from,
                end: self.cursor,
                passed: BTreeSet::new(),
                start: from,
            });
            self.reload();
        }
    }

    /// How far is settled: all before it were confirmed, are lost, or are parked.
    pub(crate) const fn settled(&self) -> u64 {
        self.confirmed
    }

    /// Whether it still waits; while rereading most of what passes was told long ago, and what is
    /// parked since before the start goes with the next time.
    pub(crate) fn is_due(&self, kept: &Kept) -> bool {
        let Some(rereading) = &self.rereading else {
            return true;
        };
        let part = part(kept);
        self.parked.get(&part).is_some_and(|parked| {
            parked.first >= rereading.start
                && (parked.first..=parked.last).contains(&kept.number)
                && !rereading.passed.contains(&part)
        })
    }

    /// The first of the part that is parked, where the sample is to wait for it.
    pub(crate) fn overtakes(&self, kept: &Kept) -> Option<u64> {
        let parked = self.parked.get(&part(kept))?;
        self.rereading.is_none().then_some(parked.first)
    }

    /// What is to be asked of the store now: from which number, and how many.
    pub(crate) fn fetch(&mut self) -> Option<(u64, usize)> {
        let end = self.end();
        if self.asked.is_some() || self.buffer.len() >= REFILL || self.loaded >= end {
            return None;
        }
        self.asked = Some(end);
        let most = usize::try_from(end - self.loaded).unwrap_or(usize::MAX);
        Some((self.loaded, most.min(BUFFERED - self.buffer.len())))
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
        let (from, end) = (self.loaded, self.end());
        let mut got = false;
        for kept in kept {
            if (self.loaded..end).contains(&kept.number) {
                self.loaded = kept.number + 1;
                self.buffer.push_back(kept);
                got = true;
            }
        }
        if !got {
            // What the store was given and has no more cannot be told.
            self.loaded = self.loaded.max(asked);
            if self.rereading.is_none() {
                let missing = self.loaded - from;
                let known = missing.min(self.erased);
                self.erased -= known;
                self.losses.add(Loss::Store, missing - known);
            }
        }
        self.skip_gap();
    }

    /// The store has dropped the oldest: those before `first`.
    pub(crate) fn dropped(&mut self, first: u64, count: u64) {
        self.losses.add(Loss::Bound, count);
        let first = first.min(self.next);
        self.first = self.first.max(first);
        self.confirmed = self.confirmed.max(first);
        self.parked.retain(|_, parked| parked.last >= first);
        for parked in self.parked.values_mut() {
            parked.first = parked.first.max(first);
        }
        if self.position() >= first {
            return;
        }
        self.cursor = self.cursor.max(first);
        while self.buffer.front().is_some_and(|kept| kept.number < first) {
            self.buffer.pop_front();
        }
        self.move_to(first);
        if self.loaded < first {
            self.reload();
        }
    }

    /// What lies below is not to be told any more; the store erases it, and counts.
    pub(crate) fn erase(&mut self, below: Path) {
        let is_below = |part: &Part| below.contains(Path::Resource(part.0.path));
        self.buffer.retain(|kept| !is_below(&part(kept)));
        self.newest.retain(|part, _| !is_below(part));
        self.parked.retain(|part, _| !is_below(part));
        self.skip_gap();
    }

    /// The store has erased so many of those that were to be told, which its next answers will lack.
    pub(crate) fn erased(&mut self, count: u64) {
        self.erased = self.erased.saturating_add(count);
    }

    /// Whether the newest of its part had the same value.
    pub(crate) fn repeats(&self, sample: &Sample) -> bool {
        let newest = self.newest.get(&(sample.address, sample.index));
        newest.is_some_and(|newest| newest.value == sample.value)
    }

    /// Others have stored under the same id: their samples are behind ours, up to this number.
    pub(crate) fn go_on(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// Whether an answer of the store is under way.
    pub(crate) const fn is_waiting_for_store(&self) -> bool {
        self.asked.is_some() || self.stale > 0
    }

    /// Everything goes. The answer is up to which number the store is to forget, and how many
    /// nobody will be told.
    pub(crate) fn discard_all(&mut self, loss: Loss) -> Option<(u64, u64)> {
        if self.is_empty() {
            return None;
        }
        let lost = self.queued();
        self.losses.add(loss, lost);
        self.parked.clear();
        self.newest.clear();
        self.first = self.next;
        self.confirmed = self.next;
        self.cursor = self.next;
        self.rereading = None;
        self.reload();
        Some((self.next - 1, lost))
    }

    const fn position(&self) -> u64 {
        match &self.rereading {
            Some(Rereading { at, .. }) => *at,
            None => self.cursor,
        }
    }

    const fn end(&self) -> u64 {
        match &self.rereading {
            Some(Rereading { end, .. }) => *end,
            None => self.next,
        }
    }

    fn move_to(&mut self, number: u64) {
        match &mut self.rereading {
            Some(rereading) if number < rereading.end => rereading.at = number,
            Some(_) => self.end_rereading(),
            None => self.cursor = self.cursor.max(number),
        }
    }

    /// Numbers that the store does not have need not be waited for.
    fn skip_gap(&mut self) {
        if self.buffer.is_empty() && self.loaded > self.position() {
            self.move_to(self.loaded);
        }
    }

    /// What was passed by behind the cursor comes by again.
    fn unpark_behind(&mut self) {
        let cursor = self.cursor;
        self.parked.retain(|_, parked| {
            if parked.last >= cursor {
                parked.last = cursor.saturating_sub(1);
                // How many of them stand before the cursor is not known.
                parked.count = 0;
            }
            parked.first < cursor
        });
    }

    /// All that is parked has come by: what is left of parts that were not passed by again is
    /// nowhere any more.
    fn end_rereading(&mut self) {
        let Some(ended) = self.rereading.take() else {
            return;
        };
        let losses = &mut self.losses;
        self.parked.retain(|part, parked| {
            let is_left = parked.first < ended.start || ended.passed.contains(part);
            if !is_left {
                losses.add(Loss::Store, parked.count);
            }
            is_left
        });
        self.reload();
    }

    fn unpark(&mut self, kept: &Kept) {
        let part = part(kept);
        let Some(parked) = self.parked.get_mut(&part) else {
            return;
        };
        parked.first = kept.number + 1;
        parked.count = parked.count.saturating_sub(1);
        if parked.first > parked.last {
            self.parked.remove(&part);
        }
    }

    /// Several observations may be due to tell the same sample, which is stored once. One that was
    /// told by some of them is stored for the others all the same.
    fn numbered(&mut self, samples: Vec<Sample>, is_queued: bool) -> Vec<Kept> {
        let mut kept = Vec::with_capacity(samples.len());
        for sample in samples {
            let part = (sample.address, sample.index);
            let newest = Newest {
                at: sample.at,
                is_queued,
                value: sample.value.clone(),
            };
            if self
                .newest
                .get(&part)
                .is_some_and(|known| known.stands_for(&newest))
            {
                continue;
            }
            if self.newest.len() >= MAX_NEWEST {
                self.newest.clear();
            }
            self.newest.insert(part, newest);
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
        self.loaded = self.position();
        if self.asked.take().is_some() {
            self.stale += 1;
        }
    }
}

impl Newest {
    fn stands_for(&self, other: &Self) -> bool {
        self.at == other.at && self.value == other.value && self.is_queued >= other.is_queued
    }
}

pub(crate) const fn part(kept: &Kept) -> Part {
    (kept.sample.address, kept.sample.index)
}

#[cfg(test)]
mod tests;
