//! What was measured, and whether servers are told that and nothing else, in its order, and all of
//! it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_lwm2m::format::{Content, Node, RecordTime};
use lamplighter_model::{Path, UnixTime};
use lamplighter_sim::server::RequestId;

use crate::{
    cabinet::{Cabinet, ssid_of},
    devices::Written,
    host::{How, Told},
    world::ServerId,
};

/// What each server was told of each path.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    paths: BTreeMap<(ServerId, Path), Listener>,
}

/// One server and one path.
#[derive(Debug, Default)]
struct Listener {
    /// The last that each observation told as it happened.
    live: BTreeMap<RequestId, u32>,
    /// The last that was told with its time.
    stored: u32,
    told: BTreeSet<u32>,
    /// Since when everything has to be told; `None` while nobody observes or where conditions hold.
    complete_since: Option<Duration>,
}

impl Telling {
    /// What a server was told.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn told(
        &mut self,
        server: ServerId,
        told: &Told,
        given: &[Written],
    ) -> Result<(), String> {
        for node in &told.nodes {
            let path = Path::Resource(node.path);
            let number = measured(node, told.at, given)
                .ok_or_else(|| format!("{server:?} was told {node:?}, which was never measured"))?;
            let listener = self.paths.entry((server, path)).or_default();
            listener.take(number, node, told).map_err(|before| {
                format!("{server:?} was told sample {number} of {path} after {before}")
            })?;
        }
        Ok(())
    }

    /// What is measured from now on has to be told, whatever happens.
    pub(crate) fn demand(&mut self, server: ServerId, path: Path, now: Duration) {
        let listener = self.paths.entry((server, path)).or_default();
        listener.complete_since.get_or_insert(now);
    }

    /// Somebody does not want to be told everything.
    pub(crate) fn waive(&mut self, server: ServerId, path: Path) {
        let listener = self.paths.entry((server, path)).or_default();
        listener.complete_since = None;
    }

    /// A sample that had to be told to this server and was not, nor was lost with the power, or
    /// measured while the box did not know of the observation, which was.
    pub(crate) fn missing(&self, server: ServerId, cabinet: &Cabinet) -> Option<(Path, u32)> {
        let ssid = ssid_of(server);
        let cut_off = cabinet.cut_off.iter().map(|(of, kept)| {
            let path = Path::Resource(kept.sample.address.path);
            (*of, path, &kept.sample.value)
        });
        let unasked = cabinet.unasked.iter();
        let unasked = unasked.map(|(of, path, value)| (*of, *path, value));
        let lost: BTreeSet<(Path, u32)> = cut_off
            .chain(unasked)
            .filter(|(of, ..)| *of == ssid)
            .filter_map(|(_, path, value)| Some((path, value.as_f64()? as u32)))
            .collect();
        let fresh = cabinet.devices.fresh.iter();
        let mut demanded = fresh.filter_map(|(at, address, value)| {
            let path = Path::Resource(address.path);
            let listener = self.paths.get(&(server, path))?;
            let is_due = listener.complete_since.is_some_and(|since| *at > since);
            let number = value.as_f64()? as u32;
            (is_due && !listener.told.contains(&number)).then_some((path, number))
        });
        demanded.find(|sample| !lost.contains(sample))
    }
}

impl Listener {
    /// # Errors
    /// The number that it should not come after.
    fn take(&mut self, number: u32, node: &Node, told: &Told) -> Result<(), u32> {
        match (told.how, node.time) {
            // What is so when the observation begins; what was stored before may follow.
            (How::Observed(id), None) => {
                self.live.insert(id, 0);
            }
            (How::Notified(id), None) => {
                let last = self.live.entry(id).or_default();
                if number < *last {
                    return Err(*last);
                }
                *last = number;
            }
            // The unconfirmed tail may come again, from some sample on.
            (How::Notified(_) | How::Observed(_) | How::Sent, Some(_)) => {
                if number < self.stored && !self.told.contains(&number) {
                    return Err(self.stored);
                }
                self.stored = number;
            }
            (How::Sent, None) => {}
        }
        self.told.insert(number);
        Ok(())
    }
}

/// The number of the sample that was told: of this value, and of this time where one was told.
fn measured(node: &Node, at: Duration, given: &[Written]) -> Option<u32> {
    let Content::Single(value) = &node.content else {
        return None;
    };
    let number = value.as_f64()?;
    let time = match node.time {
        None => None,
        Some(RecordTime::Absolute(time)) => Some(time),
        Some(RecordTime::Relative(before)) => Some(UnixTime(Cabinet::unix(at).0 + before)),
    };
    let is_it = |(taken, address, value): &&Written| {
        address.path == node.path
            && *taken <= at
            && value.as_f64() == Some(number)
            && time.is_none_or(|time| (Cabinet::unix(*taken).0 - time.0).abs() <= 1)
    };
    given.iter().find(is_it)?;
    Some(number as u32)
}
