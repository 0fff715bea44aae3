//! The disk and the database as the queues see them: blocks in and out, with the bound of all
//! queues together, and another of the history.

use std::{collections::BTreeMap, io};

use lamplighter_lwm2m::saved::SavedQueue;

use super::{
    base::{self, Base, Block, Changes, Owner},
    disk::Disk,
    queue::HISTORY,
};

/// What a block costs beside its bytes, in the database's pages.
const OVERHEAD: u64 = 2048;

#[derive(Debug)]
pub(super) struct Shelf {
    disk: Box<dyn Disk>,
    /// Opened when there is something to put in or to take out.
    base: Option<Base>,
    /// Of all blocks, and how many there may be.
    queues: Room,
    history: Room,
    half: usize,
    /// Number of the next block. None is given twice while the process lives, so that whoever reads
    /// one never takes another for it.
    next: i64,
    /// Blocks that wait for being deleted, with the cursors that made them useless.
    gone: Vec<i64>,
    cursors: BTreeMap<Owner, SavedQueue>,
    drops: Vec<Dropped>,
}

/// Bytes of blocks, and their bound.
#[derive(Clone, Copy, Debug)]
struct Room {
    bytes: u64,
    max: u64,
}

/// Samples that were dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Dropped {
    pub(super) owner: Owner,
    /// The first that is still there.
    pub(super) first: u64,
    pub(super) count: u64,
}

/// What the database says of the queues.
pub(super) type Contents = (Vec<Block>, Vec<(Owner, SavedQueue)>);

impl Shelf {
    /// With the bounds of all queues together, and of the history.
    pub(super) fn new(disk: Box<dyn Disk>, queues: u64, history: u64, half: usize) -> Self {
        let room = |max| Room { bytes: 0, max };
        Self {
            disk,
            base: None,
            queues: room(queues),
            history: room(history),
            half,
            next: 1,
            gone: Vec::new(),
            cursors: BTreeMap::new(),
            drops: Vec::new(),
        }
    }

    /// What is in the database, if there is one.
    pub(super) fn load(&mut self, names: &[String]) -> io::Result<Contents> {
        if !names.iter().any(|name| name == base::FILE) {
            return Ok((Vec::new(), Vec::new()));
        }
        let base = self.base()?;
        let contents = (base.blocks()?, base.cursors()?);
        self.next = contents.0.last().map_or(1, |block| block.seq + 1);
        for block in &contents.0 {
            self.room_of(block.owner).bytes += block.bytes + OVERHEAD;
        }
        Ok(contents)
    }

    pub(super) fn disk(&mut self) -> &mut dyn Disk {
        self.disk.as_mut()
    }

    /// Bytes of a half of a queue's tail, and so of a block.
    pub(super) const fn half(&self) -> usize {
        self.half
    }

    /// Whether another full block of this owner would exceed the bound.
    pub(super) fn is_full(&mut self, owner: Owner) -> bool {
        let half = self.half as u64;
        let room = self.room_of(owner);
        room.bytes + half + OVERHEAD > room.max
    }

    fn room_of(&mut self, owner: Owner) -> &mut Room {
        match owner == HISTORY {
            true => &mut self.history,
            false => &mut self.queues,
        }
    }

    /// A block goes in; it is durable when it returns, and its tail is not needed any more.
    pub(super) fn put(
        &mut self,
        block: Block,
        bytes: &[u8],
        saved: SavedQueue,
    ) -> io::Result<Block> {
        let block = Block {
            seq: self.next,
            ..block
        };
        self.cursors.insert(block.owner, saved);
        self.change(Some((block, bytes)))?;
        self.next += 1;
        self.room_of(block.owner).bytes += block.bytes + OVERHEAD;
        Ok(block)
    }

    pub(super) fn get(&mut self, seq: i64) -> io::Result<Vec<u8>> {
        self.base()?.block(seq)
    }

    /// A block is not needed any more.
    pub(super) fn remove(&mut self, block: Block) {
        let room = self.room_of(block.owner);
        room.bytes = room.bytes.saturating_sub(block.bytes + OVERHEAD);
        self.gone.push(block.seq);
    }

    pub(super) fn dropped(&mut self, owner: Owner, saved: SavedQueue, count: u64) {
        self.cursors.insert(owner, saved);
        self.drops.push(Dropped {
            owner,
            first: saved.first,
            count,
        });
    }

    pub(super) fn take_drops(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.drops)
    }

    pub(super) fn is_unsynced(&self) -> bool {
        !self.gone.is_empty()
    }

    /// Deletes what is not needed any more.
    pub(super) fn sweep(&mut self) -> io::Result<()> {
        if self.is_unsynced() {
            self.change(None)?;
        }
        Ok(())
    }

    fn change(&mut self, added: Option<(Block, &[u8])>) -> io::Result<()> {
        self.base()?;
        let Some(base) = &mut self.base else {
            return Err(io::Error::other("no database"));
        };
        let changes = Changes {
            added,
            removed: &self.gone,
            cursors: &self.cursors,
        };
        base.change(self.disk.as_mut(), &changes)?;
        self.gone.clear();
        self.cursors.clear();
        Ok(())
    }

    fn base(&mut self) -> io::Result<&mut Base> {
        let base = match self.base.take() {
            Some(base) => base,
            None => Base::open(self.disk.as_mut())?,
        };
        Ok(self.base.insert(base))
    }
}
