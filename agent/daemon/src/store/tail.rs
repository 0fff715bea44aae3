//! What was appended last, in a file of fixed size: written over in place, so that a sync costs the
//! changed pages and no change of the file system.
//!
//! The file has two halves of a fixed size. A half begins with its generation and the number of the
//! process that wrote it, `u64` each; frames follow: `length u16, checksum u32, body`,
//! little-endian. The checksum runs on over all of the half, so that what an older generation, or
//! one that a power cut undid, has left behind the last frame never counts. The half of the
//! highest generation with at least one whole frame is the one that counts; what is on the disk is
//! written over only when its successor is there too.

use std::io;

use zeroize::Zeroizing;

use super::disk::Disk;

const HEAD: usize = 16;
const FRAME: usize = 6;
/// The longest body of a frame.
pub(super) const MAX_BODY: usize = u16::MAX as usize;

const CHECKSUM: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// The end of the half that counts.
#[derive(Debug)]
pub(super) struct Tail {
    file: String,
    /// Bytes of a half.
    half: usize,
    generation: u64,
    /// Of this process; a generation may be begun twice, by two of them.
    process: u64,
    /// Where the next frame begins in its half.
    at: usize,
    chain: u32,
    /// What waits for a sync.
    unsynced: bool,
    trust: Trust,
    /// Whether it is the second half that counts.
    is_second: bool,
    /// The file has its full size.
    is_made: bool,
}

/// Whether the generation that counts is on the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Trust {
    /// Its beginning is.
    Durable,
    /// Nobody has asked for that since this process began it.
    Young,
    /// A former process wrote it.
    Unknown,
}

/// Whether a frame was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Room {
    Written,
    /// Nothing was written: the half is full.
    Full,
}

impl Tail {
    /// Reads the frames that count; none where there is no file. Nothing can be appended to them:
    /// behind them there may be frames that a power cut has separated from their predecessors, and
    /// that the same predecessors would bring back.
    pub(super) fn load(disk: &mut dyn Disk, file: &str, half: usize) -> (Self, Vec<Vec<u8>>) {
        let content = match disk.read(file) {
            Ok(content) => content.unwrap_or_default(),
            Err(error) => {
                tracing::error!(file, %error, "Cannot read what was stored last");
                Vec::new()
            }
        };
        let mut tail = Self {
            file: file.to_owned(),
            half,
            generation: 0,
            process: disk.process(),
            at: half,
            chain: 0,
            // What the last process wrote may still be with the operating system only.
            unsynced: !content.is_empty(),
            trust: Trust::Unknown,
            is_second: false,
            is_made: content.len() == 2 * half,
        };
        let mut newest = Vec::new();
        for (place, content) in content.chunks(half).enumerate() {
            let Some((generation, frames)) = read_half(content) else {
                continue;
            };
            if generation > tail.generation {
                (tail.generation, tail.is_second) = (generation, place == 1);
                newest = frames;
            }
        }
        (tail, newest)
    }

    pub(super) const fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Whether a new generation would cost fewer pages than to go on.
    pub(super) const fn is_past(&self, bytes: usize) -> bool {
        self.at > bytes
    }

    /// Nothing can be appended any more.
    pub(super) fn end(&mut self) {
        self.at = self.half;
    }

    /// Appends a frame.
    pub(super) fn append(&mut self, disk: &mut dyn Disk, body: &[u8]) -> io::Result<Room> {
        let Ok(length) = u16::try_from(body.len()) else {
            return Ok(Room::Full);
        };
        let end = self.at + FRAME + body.len();
        if end > self.half {
            return Ok(Room::Full);
        }
        let chain = next(self.chain, length, body);
        // It may hold keys.
        let frame = [&length.to_le_bytes(), &chain.to_le_bytes()[..], body].concat();
        let frame = Zeroizing::new(frame);
        let at = self.place(self.is_second) + self.at;
        disk.write_at(&self.file, at as u64, &frame)?;
        (self.at, self.chain, self.unsynced) = (end, chain, true);
        Ok(Room::Written)
    }

    /// Begins a generation with this frame, which must fit. What the former holds counts until it
    /// is on the disk; where none of that `matters`, a power cut may also leave neither.
    pub(super) fn begin(
        &mut self,
        disk: &mut dyn Disk,
        first: &[u8],
        matters: bool,
    ) -> io::Result<()> {
        self.make(disk)?;
        if self.trust == Trust::Unknown || (self.trust == Trust::Young && matters) {
            self.sync(disk)?;
        }
        // What is on the disk stays there as long as its successor is not.
        let is_second = self.is_second ^ (self.trust == Trust::Durable);
        let generation = self.generation + 1;
        let mut half = [generation.to_le_bytes(), self.process.to_le_bytes()].concat();
        let length = u16::try_from(first.len()).map_err(io::Error::other)?;
        let chain = next(CHECKSUM.checksum(&half), length, first);
        half.extend(length.to_le_bytes());
        half.extend(chain.to_le_bytes());
        half.extend(first);
        if half.len() > self.half {
            return Err(io::Error::other("a generation begins with too much"));
        }
        disk.write_at(&self.file, self.place(is_second) as u64, &half)?;
        (self.generation, self.at, self.chain) = (generation, half.len(), chain);
        (self.unsynced, self.trust) = (true, Trust::Young);
        self.is_second = is_second;
        Ok(())
    }

    pub(super) fn sync(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        disk.sync(&self.file)?;
        (self.unsynced, self.trust) = (false, Trust::Durable);
        Ok(())
    }

    /// Makes what counts durable, and writes over all that is behind it and before it.
    pub(super) fn wipe_rest(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        self.sync(disk)?;
        let other = self.place(!self.is_second);
        disk.write_at(&self.file, other as u64, &vec![0; self.half])?;
        let rest = self.half.saturating_sub(self.at);
        let behind = self.place(self.is_second) + self.at;
        disk.write_at(&self.file, behind as u64, &vec![0; rest])?;
        self.sync(disk)
    }

    /// Gives the file its size and its name for good, once.
    fn make(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        if self.is_made {
            return Ok(());
        }
        // What counts stays as it is.
        let size = disk.read(&self.file)?.map_or(0, |content| content.len());
        let missing = (2 * self.half).saturating_sub(size);
        disk.write_at(&self.file, size as u64, &vec![0; missing])?;
        disk.sync(&self.file)?;
        disk.sync_names()?;
        self.is_made = true;
        Ok(())
    }

    const fn place(&self, is_second: bool) -> usize {
        if is_second { self.half } else { 0 }
    }
}

fn next(chain: u32, length: u16, body: &[u8]) -> u32 {
    let mut digest = CHECKSUM.digest();
    digest.update(&chain.to_le_bytes());
    digest.update(&length.to_le_bytes());
    digest.update(body);
    digest.finalize()
}

/// Generation and whole frames; `None` where not even the first is whole.
fn read_half(half: &[u8]) -> Option<(u64, Vec<Vec<u8>>)> {
    let (head, mut rest) = half.split_first_chunk::<HEAD>()?;
    let (generation, _) = head.split_first_chunk()?;
    let mut chain = CHECKSUM.checksum(head);
    let mut frames = Vec::new();
    while let Some((body, checksum, behind)) = frame(rest) {
        let length = u16::try_from(body.len()).ok()?;
        if next(chain, length, body) != checksum {
            break;
        }
        chain = checksum;
        frames.push(body.to_vec());
        rest = behind;
    }
    let is_whole = !frames.is_empty();
    is_whole.then(|| (u64::from_le_bytes(*generation), frames))
}

fn frame(bytes: &[u8]) -> Option<(&[u8], u32, &[u8])> {
    let (length, bytes) = bytes.split_first_chunk()?;
    let (checksum, bytes) = bytes.split_first_chunk()?;
    let (body, behind) = bytes.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    Some((body, u32::from_le_bytes(*checksum), behind))
}
