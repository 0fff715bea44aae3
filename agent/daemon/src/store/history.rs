//! The history of points, as it is read: a search goes to the store thread, which looks into one block
//! at a time, so that commits do not wait for it.

use lamplighter_lwm2m::boundary::Kept;
use lamplighter_model::{Path, Sample, Scope, UnixTime};
use tokio::sync::oneshot;

use super::inbox::Shared;

/// Searches that may wait at once.
const MAX_ASKED: usize = 16;

/// Where the history is read.
#[derive(Clone, Debug)]
pub(crate) struct History(Shared);

/// What is looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Search {
    pub(crate) path: Path,
    /// From this time on.
    pub(crate) from: Option<UnixTime>,
    /// Up to and including this time.
    pub(crate) to: Option<UnixTime>,
    /// Where an earlier search has ended.
    pub(crate) next: Option<u64>,
    pub(crate) limit: usize,
}

/// Samples in the order in which they came, and where to go on; `None`: there are no more.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    pub(crate) samples: Vec<Sample>,
    pub(crate) next: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) search: Search,
    pub(super) reply: oneshot::Sender<Found>,
}

impl History {
    pub(super) const fn new(shared: Shared) -> Self {
        Self(shared)
    }

    /// What one block has; `None` where the store is busy or cannot read.
    pub(crate) async fn search(&self, search: Search) -> Option<Found> {
        let (reply, found) = oneshot::channel();
        self.0.put(|inbox| {
            if !inbox.is_dead && inbox.searches.len() < MAX_ASKED {
                inbox.searches.push(Asked { search, reply });
            }
        });
        found.await.ok()
    }
}

impl Search {
    /// Samples are numbered by the milliseconds of their date, as far as that rises and is known: a
    /// block tells so from when to when it is.
    pub(super) fn from_number(&self) -> u64 {
        let from = self.from.map_or(0, |from| from.0.max(0).cast_unsigned());
        self.next.unwrap_or(from)
    }

    pub(super) fn is_about(&self, kept: &Kept) -> bool {
        let address = kept.sample.address;
        let whole = Path::Resource(address.path);
        let index = kept.sample.index;
        let path = index.map_or(whole, |index| Path::ResourceInstance(address.path, index));
        address.scope == Scope::Gateway && self.path.contains(path)
    }

    /// What has no date is only there where none is asked for.
    pub(super) fn is_within(&self, kept: &Kept) -> bool {
        let Some(time) = kept.sample.source_time else {
            return self.from.is_none() && self.to.is_none();
        };
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time <= to)
    }
}
