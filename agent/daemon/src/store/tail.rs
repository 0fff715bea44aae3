//! What was appended last, in a file of fixed size: written over in place, so that a sync costs the
//! changed pages and no change of the file system.
//!
//! The file has two halves, written in turn. A half begins with its generation; frames follow:
//! `length u16, checksum u32, body`, little-endian. The checksum runs on over all frames of the
//! half, so that frames of an older generation behind the last one never count. The half of the
//! highest generation with at least one whole frame is the one that counts; it is written over only
//! when its successor is on the disk.

use std::io;

use super::disk::Disk;

/// Bytes of a half.
pub(super) const HALF: usize = 32 * 1024;
const GENERATION: usize = 8;
const FRAME: usize = 6;
/// The longest body that fits into a fresh half, with room for the first frame.
pub(super) const MAX_BODY: usize = HALF - GENERATION - 2 * FRAME - MAX_FIRST;
/// The longest first frame.
const MAX_FIRST: usize = 64;

const CHECKSUM: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// The end of the half that counts.
#[derive(Debug)]
pub(super) struct Tail {
    file: String,
    generation: u64,
    /// Where the next frame begins in its half.
    at: usize,
    chain: u32,
    /// What waits for a sync.
    unsynced: bool,
    /// The current generation may not be on the disk yet.
    is_young: bool,
    /// The file has its full size.
    is_made: bool,
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
    pub(super) fn load(disk: &mut dyn Disk, file: &str) -> (Self, Vec<Vec<u8>>) {
        let content = match disk.read(file) {
            Ok(content) => content.unwrap_or_default(),
            Err(error) => {
                tracing::error!(file, %error, "Cannot read what was stored last");
                Vec::new()
            }
        };
        let mut tail = Self {
            file: file.to_owned(),
            generation: 0,
            at: HALF,
            chain: 0,
            unsynced: false,
            // What the last process wrote may still be with the operating system only.
            is_young: true,
            is_made: content.len() == 2 * HALF,
        };
        let mut newest = Vec::new();
        for half in content.chunks(HALF) {
            let Some((generation, frames)) = read_half(half) else {
                continue;
            };
            if generation > tail.generation {
                tail.generation = generation;
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
    pub(super) const fn end(&mut self) {
        self.at = HALF;
    }

    /// Appends a frame.
    pub(super) fn append(&mut self, disk: &mut dyn Disk, body: &[u8]) -> io::Result<Room> {
        let Ok(length) = u16::try_from(body.len()) else {
            return Ok(Room::Full);
        };
        let end = self.at + FRAME + body.len();
        if end > HALF {
            return Ok(Room::Full);
        }
        let chain = next(self.chain, length, body);
        let frame = [&length.to_le_bytes(), &chain.to_le_bytes()[..], body].concat();
        let at = self.place(self.generation) + self.at;
        disk.write_at(&self.file, at as u64, &frame)?;
        (self.at, self.chain, self.unsynced) = (end, chain, true);
        Ok(Room::Written)
    }

    /// Begins a generation with these frames, which must fit. What the former holds counts until
    /// the first of them is on the disk; where none of it `matters`, a power cut may also leave
    /// neither.
    pub(super) fn begin(
        &mut self,
        disk: &mut dyn Disk,
        frames: &[&[u8]],
        matters: bool,
    ) -> io::Result<()> {
        self.make(disk)?;
        if self.is_young && matters {
            self.sync(disk)?;
        }
        let generation = self.generation + 1;
        let mut half = generation.to_le_bytes().to_vec();
        let mut chain = CHECKSUM.checksum(&half);
        for body in frames {
            let length = u16::try_from(body.len()).map_err(io::Error::other)?;
            chain = next(chain, length, body);
            half.extend(length.to_le_bytes());
            half.extend(chain.to_le_bytes());
            half.extend(*body);
        }
        if half.len() > HALF {
            return Err(io::Error::other("a generation begins with too much"));
        }
        disk.write_at(&self.file, self.place(generation) as u64, &half)?;
        (self.generation, self.at, self.chain) = (generation, half.len(), chain);
        (self.unsynced, self.is_young) = (true, true);
        Ok(())
    }

    pub(super) fn sync(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        disk.sync(&self.file)?;
        (self.unsynced, self.is_young) = (false, false);
        Ok(())
    }

    /// Gives the file its size and its name for good, once.
    fn make(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        if self.is_made {
            return Ok(());
        }
        // What counts stays as it is.
        let size = disk.read(&self.file)?.map_or(0, |content| content.len());
        let missing = (2 * HALF).saturating_sub(size);
        disk.write_at(&self.file, size as u64, &vec![0; missing])?;
        disk.sync(&self.file)?;
        disk.sync_names()?;
        self.is_made = true;
        Ok(())
    }

    const fn place(&self, generation: u64) -> usize {
        if generation.is_multiple_of(2) {
            0
        } else {
            HALF
        }
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
    let (generation, mut rest) = half.split_first_chunk::<GENERATION>()?;
    let mut chain = CHECKSUM.checksum(generation);
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
