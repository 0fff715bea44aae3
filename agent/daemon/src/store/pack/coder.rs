//! What both directions remember of the samples before, and the two directions.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_lwm2m::boundary::Kept;
use lamplighter_model::{
    BootId, DeviceId, Quality, ResourceAddress, ResourceId, ResourceInstanceId, ResourcePath,
    Sample, Scope, Stamp, UnixTime,
};

use super::{
    Bytes, NEW_BOOT, NEW_QUALITY, PATH, PATH_EXPECTED, PATH_KNOWN, PATH_NEW, PackError, SKIPPED,
    SOURCE, SOURCE_EXPECTED, SOURCE_NONE, SOURCE_OTHER, WHOLE_VALUE, put_signed, put_unsigned,
    value::{self, LastValue},
};

/// What a sample is of.
type Target = (ResourceAddress, Option<ResourceInstanceId>);

/// What the samples before let expect.
#[derive(Debug, Default)]
struct Expected {
    boot: BootId,
    /// Milliseconds of the sample before.
    mono: u64,
    number: u64,
    paths: Vec<Known>,
    /// The path before, as a place in `paths`.
    path: Option<usize>,
    /// Ids of the path that was last written out.
    ids: [u16; 3],
    /// Wall time at the start of the machine, as the source times have it.
    source: i64,
}

/// A path of this block.
#[derive(Debug)]
struct Known {
    target: Target,
    last: LastValue,
    quality: Quality,
    /// The path that followed it last time.
    follower: Option<usize>,
}

/// Turns samples into bytes, in the order of their numbers.
#[derive(Debug, Default)]
pub(in crate::store) struct Packer {
    expected: Expected,
    places: BTreeMap<Target, usize>,
}

/// Turns bytes into samples, in as many pieces as they were packed in.
#[derive(Debug, Default)]
pub(in crate::store) struct Unpacker {
    expected: Expected,
}

impl Expected {
    /// Place of the path that should come now.
    fn follower(&self) -> Option<usize> {
        self.paths.get(self.path?)?.follower
    }

    /// Goes on to the path at this place.
    fn follow(&mut self, place: usize) {
        if let Some(before) = self.path.and_then(|path| self.paths.get_mut(path)) {
            before.follower = Some(place);
        }
        self.path = Some(place);
    }
}

impl Packer {
    /// Appends a sample. Times are kept to the millisecond.
    pub(in crate::store) fn push(&mut self, kept: &Kept, out: &mut Vec<u8>) {
        let sample = &kept.sample;
        let begin = out.len();
        out.push(0);
        let mut head = self.put_number(kept.number, out);
        let (bits, place) = self.put_path(sample, out);
        head |= bits;
        head |= self.put_time(sample.at, out);
        head |= self.put_source(sample.source_time, out);
        head |= self.put_value(place, sample, out);
        if let Some(byte) = out.get_mut(begin) {
            *byte = head;
        }
    }

    fn put_number(&mut self, number: u64, out: &mut Vec<u8>) -> u8 {
        let skipped = number.wrapping_sub(self.expected.number);
        self.expected.number = number.wrapping_add(1);
        if skipped == 0 {
            return 0;
        }
        put_unsigned(out, skipped);
        SKIPPED
    }

    fn put_path(&mut self, sample: &Sample, out: &mut Vec<u8>) -> (u8, usize) {
        let target = (sample.address, sample.index);
        let (bits, place) = match self.places.get(&target) {
            Some(place) if self.expected.follower() == Some(*place) => (PATH_EXPECTED, *place),
            Some(place) => {
                put_unsigned(out, *place as u64);
                (PATH_KNOWN, *place)
            }
            None => {
                self.put_target(target, out);
                let place = self.expected.paths.len();
                self.places.insert(target, place);
                self.expected.paths.push(Known::new(target));
                (PATH_NEW, place)
            }
        };
        self.expected.follow(place);
        (bits, place)
    }

    fn put_target(&mut self, (address, index): Target, out: &mut Vec<u8>) {
        let device = match address.scope {
            Scope::Gateway => 0,
            Scope::Device(device) => u64::from(device.0) + 1,
        };
        put_unsigned(out, device);
        put_unsigned(out, index.map_or(0, |index| u64::from(index.0) + 1));
        let path = address.path;
        let ids = [path.object().0, path.instance.instance.0, path.resource.0];
        for (id, before) in ids.iter().zip(self.expected.ids) {
            put_signed(out, i64::from(*id) - i64::from(before));
        }
        self.expected.ids = ids;
    }

    fn put_time(&mut self, at: Stamp, out: &mut Vec<u8>) -> u8 {
        let mono = u64::try_from(at.mono.as_millis()).unwrap_or(u64::MAX);
        let mut bits = 0;
        if at.boot != self.expected.boot {
            put_unsigned(out, u64::from(at.boot.0));
            bits = NEW_BOOT;
        }
        put_signed(out, mono.wrapping_sub(self.expected.mono).cast_signed());
        self.expected.boot = at.boot;
        self.expected.mono = mono;
        bits
    }

    fn put_source(&mut self, source: Option<UnixTime>, out: &mut Vec<u8>) -> u8 {
        let Some(UnixTime(source)) = source else {
            return SOURCE_NONE;
        };
        let begin = source.wrapping_sub(self.expected.mono.cast_signed());
        let other = begin.wrapping_sub(self.expected.source);
        self.expected.source = begin;
        if other == 0 {
            return SOURCE_EXPECTED;
        }
        put_signed(out, other);
        SOURCE_OTHER
    }

    fn put_value(&mut self, place: usize, sample: &Sample, out: &mut Vec<u8>) -> u8 {
        let Some(known) = self.expected.paths.get_mut(place) else {
            return 0;
        };
        let mut bits = 0;
        if known.quality != sample.quality {
            known.quality = sample.quality;
            out.push(quality_code(sample.quality));
            bits |= NEW_QUALITY;
        }
        if !known.last.put_difference(&sample.value, out) {
            known.last = value::put_whole(&sample.value, out);
            bits |= WHOLE_VALUE;
        }
        bits
    }
}

impl Unpacker {
    /// The samples of the next piece. What is not understood ends it: the rest has no meaning
    /// without what came before.
    pub(in crate::store) fn unpack(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(Kept),
    ) -> Result<(), PackError> {
        let mut bytes = Bytes { all: piece, at: 0 };
        while !bytes.is_empty() {
            each(self.next(&mut bytes)?);
        }
        Ok(())
    }

    /// At most `limit` samples, and where they end in the piece.
    pub(in crate::store) fn unpack_some(
        &mut self,
        piece: &[u8],
        limit: usize,
        mut each: impl FnMut(Kept),
    ) -> Result<usize, PackError> {
        let mut bytes = Bytes { all: piece, at: 0 };
        for _ in 0..limit {
            if bytes.is_empty() {
                break;
            }
            each(self.next(&mut bytes)?);
        }
        Ok(bytes.at)
    }

    fn next(&mut self, bytes: &mut Bytes<'_>) -> Result<Kept, PackError> {
        let head = bytes.byte()?;
        let number = self.number(head, bytes)?;
        let place = self.path(head, bytes)?;
        let at = self.time(head, bytes)?;
        let source_time = self.source(head, bytes)?;
        let begin = bytes.at;
        let known = self.expected.paths.get_mut(place);
        let known = known.ok_or(PackError::NoPath(begin))?;
        if head & NEW_QUALITY != 0 {
            known.quality = quality_of(bytes.byte()?).ok_or(PackError::Unknown(begin))?;
        }
        let value = if head & WHOLE_VALUE == 0 {
            known.last.difference(bytes)?
        } else {
            let (value, last) = value::whole(bytes)?;
            known.last = last;
            value
        };
        let (address, index) = known.target;
        let sample = Sample {
            address,
            index,
            value,
            at,
            source_time,
            quality: known.quality,
        };
        Ok(Kept { number, sample })
    }

    fn number(&mut self, head: u8, bytes: &mut Bytes<'_>) -> Result<u64, PackError> {
        let skipped = match head & SKIPPED {
            0 => 0,
            _ => bytes.unsigned()?,
        };
        let number = self.expected.number.wrapping_add(skipped);
        self.expected.number = number.wrapping_add(1);
        Ok(number)
    }

    fn path(&mut self, head: u8, bytes: &mut Bytes<'_>) -> Result<usize, PackError> {
        let begin = bytes.at;
        let place = match head & PATH {
            PATH_EXPECTED => self.expected.follower(),
            PATH_KNOWN => usize::try_from(bytes.unsigned()?).ok(),
            PATH_NEW => {
                let target = self.target(bytes)?;
                self.expected.paths.push(Known::new(target));
                Some(self.expected.paths.len() - 1)
            }
            _ => return Err(PackError::Unknown(begin)),
        };
        let place = place.filter(|place| *place < self.expected.paths.len());
        let place = place.ok_or(PackError::NoPath(begin))?;
        self.expected.follow(place);
        Ok(place)
    }

    fn target(&mut self, bytes: &mut Bytes<'_>) -> Result<Target, PackError> {
        let begin = bytes.at;
        let scope = match bytes.unsigned()? {
            0 => Scope::Gateway,
            device => {
                let device = u16::try_from(device - 1).map_err(|_| PackError::TooLarge(begin))?;
                Scope::Device(DeviceId(device))
            }
        };
        let index = match bytes.unsigned()? {
            0 => None,
            index => Some(u16::try_from(index - 1).map_err(|_| PackError::TooLarge(begin))?),
        };
        for id in &mut self.expected.ids {
            let difference = bytes.signed()?;
            let next = i64::from(*id).checked_add(difference);
            let next = next.and_then(|next| u16::try_from(next).ok());
            *id = next.ok_or(PackError::NoPath(begin))?;
        }
        let [object, instance, resource] = self.expected.ids;
        let path = ResourcePath {
            resource: ResourceId(resource),
            ..ResourcePath::new(object, instance, resource)
        };
        Ok((
            ResourceAddress { scope, path },
            index.map(ResourceInstanceId),
        ))
    }

    fn time(&mut self, head: u8, bytes: &mut Bytes<'_>) -> Result<Stamp, PackError> {
        if head & NEW_BOOT != 0 {
            self.expected.boot = BootId(bytes.u32()?);
        }
        let difference = bytes.signed()?;
        self.expected.mono = self.expected.mono.wrapping_add(difference.cast_unsigned());
        Ok(Stamp {
            boot: self.expected.boot,
            mono: Duration::from_millis(self.expected.mono),
        })
    }

    fn source(&mut self, head: u8, bytes: &mut Bytes<'_>) -> Result<Option<UnixTime>, PackError> {
        let begin = bytes.at;
        match head & SOURCE {
            SOURCE_NONE => return Ok(None),
            SOURCE_EXPECTED => {}
            SOURCE_OTHER => {
                let other = bytes.signed()?;
                self.expected.source = self.expected.source.wrapping_add(other);
            }
            _ => return Err(PackError::Unknown(begin)),
        }
        let mono = self.expected.mono.cast_signed();
        Ok(Some(UnixTime(self.expected.source.wrapping_add(mono))))
    }
}

impl Known {
    const fn new(target: Target) -> Self {
        Self {
            target,
            last: LastValue::None,
            quality: Quality::Good,
            follower: None,
        }
    }
}

const fn quality_code(quality: Quality) -> u8 {
    match quality {
        Quality::Bad => 0,
        Quality::Good => 1,
        Quality::Stale => 2,
        Quality::Unchecked => 3,
    }
}

const fn quality_of(code: u8) -> Option<Quality> {
    Some(match code {
        0 => Quality::Bad,
        1 => Quality::Good,
        2 => Quality::Stale,
        3 => Quality::Unchecked,
        _ => return None,
    })
}
