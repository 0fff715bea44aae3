//! The queues of all servers, with one bound for all of them, and the history of points, which is kept
//! like a queue that nobody takes anything from.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
};

use lamplighter_lwm2m::{
    boundary::{ClientId, Kept},
    saved::{Record, SavedQueue},
};

use super::{
    base::{Block, Owner},
    queue::{self, HISTORY, Queue},
    shelf::{Dropped, Shelf},
};

#[derive(Debug, Default)]
pub(super) struct Queues(BTreeMap<Owner, Queue>);

impl Queues {
    /// What the files hold.
    pub(super) fn load(shelf: &mut Shelf) -> io::Result<Self> {
        let names = shelf.disk().names()?;
        let (blocks, cursors) = shelf.load(&names)?;
        let mut of: BTreeMap<Owner, VecDeque<Block>> = BTreeMap::new();
        for block in blocks {
            of.entry(block.owner).or_default().push_back(block);
        }
        let cursors: BTreeMap<Owner, _> = cursors.into_iter().collect();
        let tails = names.iter().filter_map(|name| queue::owner(name));
        let owners = tails
            .chain(cursors.keys().copied())
            .chain(of.keys().copied());
        let mut queues = BTreeMap::new();
        for owner in owners.collect::<std::collections::BTreeSet<_>>() {
            let saved = cursors.get(&owner).copied().unwrap_or_default();
            let blocks = of.remove(&owner).unwrap_or_default();
            queues.insert(owner, Queue::load(shelf, owner, saved, blocks));
        }
        Ok(Self(queues))
    }

    /// What the core is told at start.
    pub(super) fn records(&self) -> Vec<(ClientId, Record)> {
        let all = self.0.iter().filter(|(owner, _)| **owner != HISTORY);
        all.map(|((client, ssid), queue)| (*client, Record::Queue(*ssid, queue.saved())))
            .collect()
    }

    /// Appends samples, of which `lost` before them never came here. Tells how many were kept,
    /// which is all of them where the disk does not refuse.
    pub(super) fn keep(
        &mut self,
        shelf: &mut Shelf,
        owner: Owner,
        kept: &[Kept],
        lost: u64,
    ) -> (usize, io::Result<()>) {
        if let Err(error) = self.make_room(shelf, owner) {
            return (0, Err(error));
        }
        let queue = self.queue(shelf, owner);
        if lost > 0 {
            queue.add_dropped(shelf, lost);
        }
        queue.keep(shelf, kept)
    }

    /// At most so many samples from this number on; none where there are no more.
    pub(super) fn fetch(
        &mut self,
        shelf: &mut Shelf,
        owner: Owner,
        from: u64,
        limit: usize,
    ) -> io::Result<Vec<Kept>> {
        match self.0.get_mut(&owner) {
            Some(queue) => queue.fetch(shelf, from, limit),
            None => Ok(Vec::new()),
        }
    }

    /// The number that the next sample of the history gets at least.
    pub(super) fn history_next(&self) -> u64 {
        let history = self.0.get(&HISTORY);
        history.map_or(0, |queue| queue.saved().next)
    }

    /// Samples of the history, and from where to go on.
    pub(super) fn search(
        &mut self,
        shelf: &mut Shelf,
        from: u64,
        limit: usize,
        is_wanted: impl FnMut(&mut Kept) -> bool,
    ) -> io::Result<(Vec<Kept>, Option<u64>)> {
        match self.0.get_mut(&HISTORY) {
            Some(queue) => queue.search(shelf, from, limit, is_wanted),
            None => Ok((Vec::new(), None)),
        }
    }

    /// Everything up to and including this number is delivered or discarded.
    pub(super) fn forget(&mut self, shelf: &mut Shelf, owner: Owner, up_to: u64) -> io::Result<()> {
        match self.0.get_mut(&owner) {
            Some(queue) => queue.forget(shelf, up_to),
            None => Ok(()),
        }
    }

    /// Makes everything durable.
    pub(super) fn flush(&mut self, shelf: &mut Shelf) -> io::Result<()> {
        for queue in self.0.values_mut() {
            queue.sync(shelf)?;
        }
        shelf.sweep()
    }

    pub(super) fn is_unsynced(&self, shelf: &Shelf) -> bool {
        shelf.is_unsynced() || self.0.values().any(Queue::is_unsynced)
    }

    /// Samples that were dropped since it was last asked.
    pub(super) fn drops(shelf: &mut Shelf) -> Vec<Dropped> {
        shelf.take_drops()
    }

    /// Drops the oldest blocks of those that share a bound until another one fits.
    fn make_room(&mut self, shelf: &mut Shelf, owner: Owner) -> io::Result<()> {
        while shelf.is_full(owner) {
            let oldest = |queue: &&mut Queue| queue.oldest_block().map(|block| block.seq);
            let sharing = self
                .0
                .iter_mut()
                .filter(|(other, _)| (**other == HISTORY) == (owner == HISTORY));
            let with_blocks = sharing
                .map(|(_, queue)| queue)
                .filter(|queue| queue.oldest_block().is_some());
            let Some(queue) = with_blocks.min_by_key(oldest) else {
                return Ok(());
            };
            queue.drop_oldest(shelf)?;
        }
        Ok(())
    }

    fn queue(&mut self, shelf: &mut Shelf, owner: Owner) -> &mut Queue {
        let load = || Queue::load(shelf, owner, SavedQueue::default(), VecDeque::new());
        self.0.entry(owner).or_insert_with(load)
    }
}
