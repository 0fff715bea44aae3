//! What is stored for servers that are not there now, or were before another took their id.

use lamplighter_model::{Path, Ssid};

use super::Client;
use crate::{
    boundary::{Event, Kept, Output},
    outbox::{Loss, Outbox},
    saved::SavedQueue,
};

impl Client {
    /// The store answers; those that were there first have asked first.
    pub(super) fn on_kept(&mut self, ssid: Ssid, kept: Vec<Kept>) {
        let former = self.former.get_mut(&ssid);
        match former.filter(|former| former.is_waiting_for_store()) {
            Some(former) => former.fetched(kept),
            None => {
                if let Some(server) = self.servers.get_mut(&ssid) {
                    server.fetched(kept);
                }
            }
        }
    }

    /// The store had to drop the oldest of an id.
    pub(super) fn on_dropped(&mut self, ssid: Ssid, first: u64, count: u64) {
        let former = self.former.get_mut(&ssid);
        let is_former = former.is_some();
        if let Some(former) = former {
            former.dropped(first, count);
        }
        let own = self.accounts.parted(ssid).is_none_or(|from| first > from);
        if let Some(server) = self.servers.get_mut(&ssid).filter(|_| own) {
            server.dropped(first, if is_former { 0 } else { count });
        }
    }

    /// What the store holds for an id, after a start.
    pub(super) fn restore_queue(&mut self, ssid: Ssid, saved: SavedQueue) {
        let server = self.servers.get_mut(&ssid);
        match (server, self.accounts.parted(ssid)) {
            (Some(server), None) => {
                let from = self.accounts.stored_from(ssid);
                let lost = saved.first < from;
                server.restore_queue(SavedQueue {
                    first: saved.first.max(from),
                    next: saved.next.max(from),
                    ..saved
                });
                if lost {
                    // The power went before the store had forgotten it.
                    self.shared.out.push(Output::Forget(ssid, from - 1));
                }
            }
            // Its numbers go on where the account comes back.
            (None, _) => self.former.entry(ssid).or_default().restore(saved),
            (Some(server), Some(from)) => {
                server.restore_queue(SavedQueue {
                    dropped: 0,
                    first: saved.first.max(from),
                    next: saved.next.max(from),
                });
                let former = self.former.entry(ssid).or_default();
                former.restore(SavedQueue {
                    first: saved.first.min(from),
                    next: from,
                    ..saved
                });
            }
        }
    }

    /// What is stored for a server that goes, beside what was stored under its id before.
    pub(super) fn put_away(&mut self, ssid: Ssid, outbox: Outbox) {
        match self.former.get_mut(&ssid) {
            Some(former) => former.go_on(outbox.next()),
            None => drop(self.former.insert(ssid, outbox)),
        }
    }

    /// After a start: of accounts that a bootstrap server has taken away for good the store may not
    /// have forgotten everything.
    pub(super) fn discard_removed(&mut self) {
        if self.accounts.fallback().is_some() {
            return;
        }
        let removed = self.accounts.removed();
        self.discard_of(|ssid| removed.contains(&ssid));
    }

    /// Nobody comes back any more to whom it could be told.
    pub(super) fn discard_former(&mut self) {
        self.discard_of(|_| true);
    }

    fn discard_of(&mut self, is_meant: impl Fn(Ssid) -> bool) {
        let former = self.former.iter_mut();
        for (ssid, outbox) in former.filter(|(ssid, _)| is_meant(**ssid)) {
            let is_shared = self.servers.contains_key(ssid);
            if let Some((upto, samples)) = outbox.discard_all(Loss::Cancelled) {
                self.shared.out.push(Output::Forget(*ssid, upto));
                self.shared.out.push(Output::Event(Event::Discarded {
                    ssid: *ssid,
                    samples,
                    reason: Loss::Cancelled.as_str(),
                }));
            }
            // What another has stored under the same id since stays.
            let erased = if is_shared {
                Vec::new()
            } else {
                vec![Path::Root]
            };
            self.shared.out.push(Output::Erase(*ssid, erased));
        }
        let servers = &self.servers;
        self.former.retain(|ssid, _| !servers.contains_key(ssid));
    }
}
