//! The queue of one server: its newest samples stand in a tail file, what fills that goes into the
//! database as a block.

use std::{collections::VecDeque, io};

use lamplighter_lwm2m::{boundary::Kept, saved::SavedQueue};
use lamplighter_model::Path;

use super::{
    base::{Block, Owner},
    pack::{self, PackError, Packer, Unpacker},
    shelf::Shelf,
    tail::{MAX_BODY, Room, Tail},
};

/// Frames of the tail: cursor, next number and count of dropped ones, then samples.
const STATE: u8 = 0;
/// Samples only.
const SAMPLES: u8 = 1;

/// The owner of the history of points: the box itself, which is no server.
pub(super) const HISTORY: Owner = (
    lamplighter_lwm2m::boundary::ClientId(u16::MAX),
    lamplighter_model::Ssid(0),
);
const HISTORY_FILE: &str = "history.tail";

/// A tail without anything in it that is longer begins anew, so that few pages change.
const IDLE: usize = 4096;

/// What one server is still to be told.
#[derive(Debug)]
pub(super) struct Queue {
    owner: Owner,
    tail: Tail,
    packed: Packed,
    blocks: VecDeque<Block>,
    /// Everything below is delivered, discarded or dropped.
    cursor: u64,
    next: u64,
    dropped: u64,
    /// The tail does not say yet where the cursor is.
    is_behind: bool,
    reader: Option<Reader>,
}

/// Samples as a block, and what it takes to append to it.
#[derive(Debug)]
struct Packed {
    bytes: Vec<u8>,
    packer: Packer,
    first: u64,
    last: u64,
    samples: u64,
}

/// Goes through one block.
#[derive(Debug)]
struct Reader {
    seq: i64,
    bytes: Vec<u8>,
    at: usize,
    unpacker: Unpacker,
    /// Everything below was read.
    next: u64,
}

/// What happens to the samples in a tail that begins anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Few {
    Carried,
    Sealed,
}

impl Packed {
    fn new() -> Self {
        Self {
            bytes: vec![pack::VERSION],
            packer: Packer::default(),
            first: 0,
            last: 0,
            samples: 0,
        }
    }

    fn push(&mut self, kept: &Kept) {
        self.packer.push(kept, &mut self.bytes);
        if self.samples == 0 {
            self.first = kept.number;
        }
        self.last = kept.number;
        self.samples += 1;
    }

    /// The block that it replaces, as it is then.
    const fn as_block(&self, block: Block) -> Block {
        Block {
            first: self.first,
            last: self.last,
            samples: self.samples,
            bytes: self.bytes.len() as u64,
            ..block
        }
    }
}

/// The name of a queue's tail file.
pub(super) fn file(owner: Owner) -> String {
    if owner == HISTORY {
        return HISTORY_FILE.to_owned();
    }
    let (client, server) = owner;
    format!("queue-{}-{server}.tail", client.0)
}

/// Whose tail file has this name.
pub(super) fn owner(file: &str) -> Option<Owner> {
    if file == HISTORY_FILE {
        return Some(HISTORY);
    }
    let name = file.strip_prefix("queue-")?.strip_suffix(".tail")?;
    let (client, server) = name.split_once('-')?;
    let client = lamplighter_lwm2m::boundary::ClientId(client.parse().ok()?);
    Some((client, lamplighter_model::Ssid(server.parse().ok()?)))
}

impl Queue {
    /// What the files hold for this server. `saved` is what the database says of it.
    pub(super) fn load(
        shelf: &mut Shelf,
        owner: Owner,
        saved: SavedQueue,
        blocks: VecDeque<Block>,
    ) -> Self {
        let half = shelf.half();
        let (tail, frames) = Tail::load(shelf.disk(), &file(owner), half);
        let sealed = blocks.back().map_or(0, |block| block.last + 1);
        let mut queue = Self {
            owner,
            tail,
            packed: Packed::new(),
            blocks,
            cursor: saved.first,
            next: saved.next.max(sealed),
            dropped: saved.dropped,
            is_behind: false,
            reader: None,
        };
        let mut unpacker = Unpacker::default();
        for frame in frames {
            if let Err(error) = queue.replay(&frame, &mut unpacker) {
                tracing::error!(file = file(owner), %error, "A queue is not understood to its end");
                break;
            }
        }
        queue.prune(shelf);
        queue
    }

    fn replay(&mut self, frame: &[u8], unpacker: &mut Unpacker) -> Result<(), PackError> {
        let Some((kind, body)) = frame.split_first() else {
            return Err(PackError::Ended(0));
        };
        match *kind {
            STATE => {
                let ([cursor, next, dropped], samples) = pack::numbers(body)?;
                self.cursor = self.cursor.max(cursor);
                self.next = self.next.max(next);
                self.dropped = self.dropped.max(dropped);
                self.replay_samples(samples, unpacker)
            }
            SAMPLES => self.replay_samples(body, unpacker),
            _ => Err(PackError::Unknown(0)),
        }
    }

    fn replay_samples(&mut self, body: &[u8], unpacker: &mut Unpacker) -> Result<(), PackError> {
        let Self { packed, next, .. } = self;
        unpacker.unpack(body, |kept| {
            *next = (*next).max(kept.number.saturating_add(1));
            packed.push(&kept);
        })
    }

    /// What the core is told at start.
    pub(super) fn saved(&self) -> SavedQueue {
        let oldest = match self.blocks.front() {
            Some(block) => block.first,
            None if self.packed.samples > 0 => self.packed.first,
            None => self.next,
        };
        SavedQueue {
            dropped: self.dropped,
            first: oldest.max(self.cursor).min(self.next),
            next: self.next,
        }
    }

    pub(super) fn oldest_block(&self) -> Option<Block> {
        self.blocks.front().copied()
    }

    /// Appends samples. They are with the operating system when it returns, all of them or, where
    /// the disk refuses, so many of the first.
    pub(super) fn keep(&mut self, shelf: &mut Shelf, kept: &[Kept]) -> (usize, io::Result<()>) {
        let mut done = 0;
        while let Some(rest) = kept.get(done..).filter(|rest| !rest.is_empty()) {
            match self.keep_some(shelf, rest) {
                Ok(count) => done += count,
                Err(error) => {
                    // What the packer has seen is not in the file.
                    self.tail.end();
                    return (done, Err(error));
                }
            }
        }
        (done, Ok(()))
    }

    fn keep_some(&mut self, shelf: &mut Shelf, rest: &[Kept]) -> io::Result<usize> {
        let known = rest.iter().take_while(|kept| kept.number < self.next);
        let known = known.count();
        if known > 0 {
            return Ok(known);
        }
        let (piece, count) = piece(&mut self.packed.packer, rest, shelf.half() / 4);
        let some = rest.get(..count).unwrap_or_default();
        if self.append(shelf, &piece, some)? {
            return Ok(count);
        }
        for few in [Few::Carried, Few::Sealed] {
            self.renew(shelf, few)?;
            // The same samples: written anew they may take another number of bytes.
            let (piece, _) = self::piece(&mut self.packed.packer, some, usize::MAX);
            if self.append(shelf, &piece, some)? {
                return Ok(count);
            }
        }
        self.keep_large(shelf, some)
    }

    /// Whether there was room for it.
    fn append(&mut self, shelf: &mut Shelf, piece: &[u8], some: &[Kept]) -> io::Result<bool> {
        let [before @ .., last] = some else {
            return Ok(true);
        };
        if piece.len() > MAX_BODY || self.tail.append(shelf.disk(), piece)? == Room::Full {
            self.tail.end();
            return Ok(false);
        }
        let first = before.first().unwrap_or(last);
        let packed = &mut self.packed;
        packed.bytes.extend(piece.get(1..).unwrap_or_default());
        packed.samples += some.len() as u64;
        packed.last = last.number;
        if packed.samples == some.len() as u64 {
            packed.first = first.number;
        }
        self.appended(first.number, last.number);
        Ok(true)
    }

    fn appended(&mut self, first: u64, last: u64) {
        if self.cursor >= self.next {
            // Nothing was there: nothing is missing before it.
            self.cursor = first;
        }
        self.next = last.saturating_add(1);
    }

    /// Samples that do not fit into a tail are a block at once; the tail holds nothing then.
    fn keep_large(&mut self, shelf: &mut Shelf, some: &[Kept]) -> io::Result<usize> {
        let mut packed = Packed::new();
        some.iter().for_each(|kept| packed.push(kept));
        let (first, last) = (packed.first, packed.last);
        self.seal(shelf, &packed)?;
        self.appended(first, last);
        Ok(some.len())
    }

    /// Begins the tail anew with what it still has to hold.
    fn renew(&mut self, shelf: &mut Shelf, few: Few) -> io::Result<()> {
        self.tail.end();
        let live = self.live(|_| true)?;
        self.renew_with(shelf, few, live)
    }

    /// The same, with only this of it.
    fn renew_with(&mut self, shelf: &mut Shelf, few: Few, mut live: Packed) -> io::Result<()> {
        // Little enough to be written anew; more becomes a block.
        let carried = shelf.half() / 4;
        let mut matters = live.samples > 0;
        if matters && (few == Few::Sealed || live.bytes.len() > carried) {
            self.seal(shelf, &live)?;
            live = Packed::new();
            matters = false;
        }
        // One frame: half of it would be a queue that has lost samples.
        let mut first = self.state();
        first.extend(live.bytes.get(1..).unwrap_or_default());
        self.tail.begin(shelf.disk(), &first, matters)?;
        self.packed = live;
        self.is_behind = false;
        Ok(())
    }

    /// Nothing of what lies below these paths is on the disk when it returns: neither what is still to
    /// be told nor what was delivered. Tells how much of the former that was.
    pub(super) fn erase(&mut self, shelf: &mut Shelf, paths: &[Path]) -> io::Result<u64> {
        let stays = |kept: &Kept| !kept.is_below(paths);
        let (before, live) = (self.live(|_| true)?.samples, self.live(stays)?);
        let mut erased = before - live.samples;
        let mut rewritten = Vec::new();
        for block in &self.blocks {
            let (packed, gone) = self.without(shelf, *block, paths)?;
            erased += gone;
            if packed.samples < block.samples {
                rewritten.push((*block, packed));
            }
        }
        self.reader = None;
        self.tail.end();
        self.renew_with(shelf, Few::Carried, live)?;
        self.tail.wipe_rest(shelf.disk())?;
        let saved = match paths.contains(&Path::Root) {
            true => SavedQueue::default(),
            false => self.saved(),
        };
        self.rewrite(shelf, saved, &rewritten)?;
        Ok(erased)
    }

    /// What stays of a block, and how many of the others were still to be told.
    fn without(
        &self,
        shelf: &mut Shelf,
        block: Block,
        paths: &[Path],
    ) -> io::Result<(Packed, u64)> {
        let mut all = Vec::new();
        let mut reader = Reader::new(block.seq, shelf.get(block.seq)?);
        // Of a block that is damaged, what can be read stays.
        let _ = reader.read(0, usize::MAX, &mut all);
        let (mut packed, mut gone) = (Packed::new(), 0);
        for kept in all {
            if !kept.is_below(paths) {
                packed.push(&kept);
            } else if kept.number >= self.cursor {
                gone += 1;
            }
        }
        Ok((packed, gone))
    }

    fn rewrite(
        &mut self,
        shelf: &mut Shelf,
        saved: SavedQueue,
        rewritten: &[(Block, Packed)],
    ) -> io::Result<()> {
        let changed: Vec<(Block, &[u8])> = rewritten
            .iter()
            .map(|(block, packed)| (packed.as_block(*block), &packed.bytes[..]))
            .collect();
        shelf.erase(self.owner, saved, &changed)?;
        for (block, _) in changed {
            match self.blocks.iter_mut().find(|known| known.seq == block.seq) {
                Some(known) if block.samples > 0 => *known = block,
                Some(_) | None => self.blocks.retain(|known| known.seq != block.seq),
            }
        }
        Ok(())
    }

    fn state(&self) -> Vec<u8> {
        let mut frame = vec![STATE];
        pack::put_numbers(&[self.cursor, self.next, self.dropped], &mut frame);
        frame
    }

    /// First number that the tail is responsible for.
    fn floor(&self) -> u64 {
        let sealed = self.blocks.back().map_or(0, |block| block.last + 1);
        sealed.max(self.cursor)
    }

    /// What the tail holds and is still needed, as far as it `stays`.
    fn live(&self, stays: impl Fn(&Kept) -> bool) -> io::Result<Packed> {
        let floor = self.floor();
        let mut live = Packed::new();
        let body = self.packed.bytes.get(1..).unwrap_or_default();
        let each = |kept: Kept| {
            if kept.number >= floor && stays(&kept) {
                live.push(&kept);
            }
        };
        let unpacked = Unpacker::default().unpack(body, each);
        unpacked.map_err(io::Error::other)?;
        Ok(live)
    }

    fn seal(&mut self, shelf: &mut Shelf, packed: &Packed) -> io::Result<()> {
        let block = Block {
            seq: 0,
            owner: self.owner,
            first: packed.first,
            last: packed.last,
            samples: packed.samples,
            bytes: packed.bytes.len() as u64,
        };
        let saved = SavedQueue {
            first: self.cursor,
            next: self.next.max(block.last.saturating_add(1)),
            dropped: self.dropped,
        };
        let block = shelf.put(block, &packed.bytes, saved)?;
        self.blocks.push_back(block);
        Ok(())
    }

    /// At most so many samples from this number on; none where there are no more.
    pub(super) fn fetch(
        &mut self,
        shelf: &mut Shelf,
        from: u64,
        limit: usize,
    ) -> io::Result<Vec<Kept>> {
        let from = from.max(self.cursor);
        let mut found = Vec::new();
        while found.len() < limit {
            let from = found.last().map_or(from, |kept: &Kept| kept.number + 1);
            let Some(block) = self.blocks.iter().find(|block| block.last >= from) else {
                break;
            };
            let block = *block;
            let before = found.len();
            let read = self.read_block(shelf, block, from, limit, &mut found)?;
            if read.is_err() || found.len() == before {
                self.lose(shelf, block);
            }
        }
        let from = found.last().map_or(from, |kept| kept.number + 1);
        let from = from.max(self.floor());
        let body = self.packed.bytes.get(1..).unwrap_or_default();
        let each = |kept: Kept| {
            if kept.number >= from && found.len() < limit {
                found.push(kept);
            }
        };
        let unpacked = Unpacker::default().unpack(body, each);
        unpacked.map_err(io::Error::other)?;
        Ok(found)
    }

    /// Those from this number on that are wanted, in order, at most so many, and from where to go on;
    /// `None`: that was all. It looks into one block at a time, so that a long search holds up
    /// nobody.
    pub(super) fn search(
        &mut self,
        shelf: &mut Shelf,
        from: u64,
        limit: usize,
        mut is_wanted: impl FnMut(&mut Kept) -> bool,
    ) -> io::Result<(Vec<Kept>, Option<u64>)> {
        let from = from.max(self.cursor);
        let block = self.blocks.iter().find(|block| block.last >= from).copied();
        let (bytes, from) = match block {
            Some(block) => (shelf.get(block.seq)?, from),
            None => (self.packed.bytes.clone(), from.max(self.floor())),
        };
        let mut found: Vec<Kept> = Vec::new();
        let each = |mut kept: Kept| {
            // One more says where to go on.
            if kept.number >= from && found.len() <= limit && is_wanted(&mut kept) {
                found.push(kept);
            }
        };
        let is_known = bytes.first() == Some(&pack::VERSION);
        let body = bytes.get(1..).filter(|_| is_known).unwrap_or_default();
        let unpacked = Unpacker::default().unpack(body, each);
        if let (Some(block), true) = (block, unpacked.is_err() || !is_known) {
            self.lose(shelf, block);
        }
        let next = match (found.get(limit), block) {
            (Some(kept), _) => Some(kept.number),
            (None, Some(block)) => Some(block.last.saturating_add(1)),
            (None, None) => None,
        };
        found.truncate(limit);
        Ok((found, next))
    }

    fn read_block(
        &mut self,
        shelf: &mut Shelf,
        block: Block,
        from: u64,
        limit: usize,
        found: &mut Vec<Kept>,
    ) -> io::Result<Result<(), PackError>> {
        let usable = |reader: &Reader| reader.seq == block.seq && reader.next <= from;
        let reader = match self.reader.take().filter(usable) {
            Some(reader) => reader,
            None => Reader::new(block.seq, shelf.get(block.seq)?),
        };
        let reader = self.reader.insert(reader);
        Ok(reader.read(from, limit, found))
    }

    /// A block that cannot be read is dropped.
    fn lose(&mut self, shelf: &mut Shelf, block: Block) {
        tracing::error!(?block, "A block of a queue is damaged");
        self.blocks.retain(|other| other.seq != block.seq);
        self.reader = None;
        self.dropped += block.samples;
        shelf.remove(block);
        shelf.dropped(self.owner, self.saved(), block.samples);
    }

    /// Drops the oldest block.
    pub(super) fn drop_oldest(&mut self, shelf: &mut Shelf) -> io::Result<()> {
        let Some(block) = self.blocks.front().copied() else {
            return Ok(());
        };
        let mut count = block.samples;
        if self.cursor > block.first {
            let mut rest = Vec::new();
            let mut reader = Reader::new(block.seq, shelf.get(block.seq)?);
            // What cannot be read was not there to be dropped.
            let _ = reader.read(self.cursor, usize::MAX, &mut rest);
            count = rest.len() as u64;
        }
        self.blocks.pop_front();
        self.reader = None;
        self.cursor = self.cursor.max(block.last.saturating_add(1));
        self.dropped += count;
        shelf.remove(block);
        shelf.dropped(self.owner, self.saved(), count);
        self.is_behind = true;
        self.write_state(shelf)
    }

    /// Samples that never came here.
    pub(super) fn add_dropped(&mut self, shelf: &mut Shelf, count: u64) {
        self.dropped += count;
        self.is_behind = true;
        shelf.dropped(self.owner, self.saved(), count);
    }

    /// Everything up to and including this number is delivered or discarded.
    pub(super) fn forget(&mut self, shelf: &mut Shelf, up_to: u64) -> io::Result<()> {
        let cursor = up_to.saturating_add(1).min(self.next);
        if cursor <= self.cursor {
            return Ok(());
        }
        self.cursor = cursor;
        self.prune(shelf);
        self.is_behind = true;
        self.write_state(shelf)
    }

    /// Gives up the blocks that are delivered.
    fn prune(&mut self, shelf: &mut Shelf) {
        let cursor = self.cursor;
        while let Some(block) = self.blocks.front().filter(|block| block.last < cursor) {
            shelf.remove(*block);
            self.blocks.pop_front();
        }
    }

    /// Brings the tail up to date with the cursor.
    pub(super) fn write_state(&mut self, shelf: &mut Shelf) -> io::Result<()> {
        if !self.is_behind {
            return Ok(());
        }
        let is_idle = self.cursor >= self.next && self.tail.is_past(IDLE);
        if is_idle || self.tail.append(shelf.disk(), &self.state())? == Room::Full {
            return self.renew(shelf, Few::Carried);
        }
        self.is_behind = false;
        Ok(())
    }

    pub(super) fn sync(&mut self, shelf: &mut Shelf) -> io::Result<()> {
        self.write_state(shelf)?;
        if self.tail.is_unsynced() {
            self.tail.sync(shelf.disk())?;
        }
        Ok(())
    }

    pub(super) const fn is_unsynced(&self) -> bool {
        self.is_behind || self.tail.is_unsynced()
    }
}

impl Reader {
    fn new(seq: i64, bytes: Vec<u8>) -> Self {
        Self {
            seq,
            bytes,
            at: 0,
            unpacker: Unpacker::default(),
            next: 0,
        }
    }

    /// Adds samples from this number on until there are `limit`, or the block ends.
    fn read(&mut self, from: u64, limit: usize, found: &mut Vec<Kept>) -> Result<(), PackError> {
        if self.at == 0 {
            if self.bytes.first() != Some(&pack::VERSION) {
                return Err(PackError::Unknown(0));
            }
            self.at = 1;
        }
        while found.len() < limit && self.at < self.bytes.len() {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let next = &mut self.next;
            let each = |kept: Kept| {
                *next = kept.number.saturating_add(1);
                if kept.number >= from {
                    found.push(kept);
                }
            };
            self.at += self.unpacker.unpack_some(rest, 1, each)?;
        }
        Ok(())
    }
}

/// A frame of samples: at least one, and more as long as they are no more bytes than `limit`. Also
/// how many they are.
fn piece(packer: &mut Packer, rest: &[Kept], limit: usize) -> (Vec<u8>, usize) {
    let mut piece = vec![SAMPLES];
    let mut count = 0;
    for kept in rest {
        packer.push(kept, &mut piece);
        count += 1;
        if piece.len() > limit {
            break;
        }
    }
    (piece, count)
}
