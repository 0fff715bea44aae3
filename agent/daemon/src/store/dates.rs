//! When earlier starts of the machine were, as far as the date became known while they ran: samples
//! that were stored before that get their time from here.

use std::{collections::BTreeMap, io};

use lamplighter_lwm2m::boundary::Kept;
use lamplighter_model::{BootId, Now, UnixTime};
use serde::{Deserialize, Serialize};

use super::{disk::Disk, snapshot};

pub(super) const FILE: &str = "dates.cbor";
const FORMAT: &str = "lamplighter dates";
const VERSION: u32 = 1;

/// Starts that are remembered; nothing older is stored anywhere.
const MAX_STARTS: usize = 64;
/// A clock that is corrected by less is not written anew.
const STEP_MS: u64 = 1000;

/// The date of each start, in milliseconds since 1970, by its number.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Dates(BTreeMap<u32, i64>);

impl Dates {
    pub(super) fn load(disk: &mut dyn Disk) -> Self {
        let found = snapshot::read(disk, FILE, FORMAT, VERSION);
        found.map(|found| found.body).unwrap_or_default()
    }

    /// Remembers when this start was, once the date is known.
    pub(super) fn note(&mut self, disk: &mut dyn Disk, now: Now) -> io::Result<()> {
        let mono = i64::try_from(now.mono.as_millis()).map_err(io::Error::other)?;
        let Some(begin) = now.unix.map(|unix| unix.0.saturating_sub(mono)) else {
            return Ok(());
        };
        let known = self.0.get(&now.boot.0);
        if known.is_some_and(|known| known.abs_diff(begin) < STEP_MS) {
            return Ok(());
        }
        self.0.insert(now.boot.0, begin);
        while self.0.len() > MAX_STARTS {
            self.0.pop_first();
        }
        snapshot::write(disk, FILE, FORMAT, VERSION, self).map(drop)
    }

    /// Gives a sample of an earlier start its time, where it has none and it can be told.
    pub(super) fn date(&self, boot: BootId, kept: &mut Kept) {
        let sample = &mut kept.sample;
        if sample.source_time.is_some() || sample.at.boot == boot {
            return;
        }
        let mono = i64::try_from(sample.at.mono.as_millis());
        let begin = self.0.get(&sample.at.boot.0);
        if let (Some(begin), Ok(mono)) = (begin, mono) {
            sample.source_time = Some(UnixTime(begin.saturating_add(mono)));
        }
    }
}
