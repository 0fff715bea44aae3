//! The store thread: takes what waits, writes all of it, reports.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    time::Duration,
};

use lamplighter_lwm2m::boundary::{ClientId, Kept};
use lamplighter_model::Path;
use tokio::sync::mpsc;

use super::{
    Stored,
    base::Owner,
    dates::Dates,
    events::EventFiles,
    history::{Asked, Found},
    inbox::{Inbox, Shared, Waiting, Wanted},
    queue::HISTORY,
    queues::Queues,
    records::Records,
    shelf::Shelf,
    site::SiteFiles,
};
use crate::clock::{self, Clock};

/// Samples that are written in one go.
const AT_ONCE: usize = 1000;

/// What the disk may refuse, each on its own.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Part {
    Events,
    Queues,
    Records,
    Site,
}

/// What the disk held at start.
#[derive(Debug)]
pub(super) struct Everything {
    pub(super) shelf: Shelf,
    pub(super) records: Records,
    pub(super) site: SiteFiles,
    pub(super) queues: Queues,
    pub(super) dates: Dates,
    pub(super) events: EventFiles,
}

#[derive(Debug)]
pub(super) struct Writer {
    shelf: Shelf,
    records: Records,
    site: SiteFiles,
    queues: Queues,
    dates: Dates,
    events: EventFiles,
    clock: Clock,
    reports: mpsc::UnboundedSender<Stored>,
    flush: Duration,
    state: State,
}

/// What is not done yet.
#[derive(Debug, Default)]
struct State {
    /// When what waits for the disk is written at the latest.
    due: Option<Duration>,
    /// What is still to be erased.
    erased: BTreeMap<Owner, BTreeSet<Path>>,
    /// What the disk could not give.
    wanted: Vec<Wanted>,
    /// Why the disk has refused.
    troubles: BTreeMap<Part, String>,
    is_told: bool,
}

impl Writer {
    pub(super) fn new(
        kept: Everything,
        clock: Clock,
        reports: mpsc::UnboundedSender<Stored>,
        flush: Duration,
    ) -> Self {
        let Everything {
            shelf,
            records,
            site,
            queues,
            dates,
            events,
        } = kept;
        Self {
            shelf,
            records,
            site,
            queues,
            dates,
            events,
            clock,
            reports,
            flush,
            state: State::default(),
        }
    }

    /// Until the inbox is closed.
    pub(super) fn run(mut self, shared: &Shared) {
        loop {
            let patience = self.state.due.map(|due| due.saturating_sub(clock::mono()));
            let inbox = shared.take(patience);
            let is_closed = inbox.is_closed;
            self.turn(inbox, shared);
            self.flush_due();
            if is_closed {
                break;
            }
        }
        self.write();
        let closed = self.site.close(self.shelf.disk());
        self.note(Part::Site, closed);
        let mut inbox = shared.lock();
        inbox.is_dead = true;
        // Whoever has asked meanwhile hears that there is no answer.
        inbox.searches.clear();
    }

    /// Everything that waits is written at once, then all of it is reported.
    pub(super) fn turn(&mut self, inbox: Inbox, shared: &Shared) {
        let mut reports: Vec<Stored> = Vec::new();
        let committed = |(client, id): &(ClientId, _)| Stored::Committed(*client, *id);
        reports.extend(inbox.commits.iter().map(committed));
        reports.extend((0..inbox.sites).map(|_| Stored::SiteSaved));
        self.keep_records(inbox.changes.into_values(), !inbox.commits.is_empty());
        if let Some(change) = inbox.site {
            let written = self.site.keep(self.shelf.disk(), change);
            self.note(Part::Site, written);
        }
        let written = self.events.write(self.shelf.disk(), inbox.events);
        self.note(Part::Events, written);
        for (owner, waiting) in inbox.kept {
            self.keep(owner, waiting, shared);
        }
        for (owner, up_to) in inbox.forgotten {
            let forgotten = self.queues.forget(&mut self.shelf, owner, up_to);
            self.note(Part::Queues, forgotten);
        }
        for (owner, paths) in inbox.erased {
            self.state.erased.entry(owner).or_default().extend(paths);
        }
        self.erase(&mut reports);
        self.state.wanted.extend(inbox.wanted);
        self.fetch(&mut reports);
        inbox
            .searches
            .into_iter()
            .for_each(|asked| self.search(asked));
        self.tell_drops(&mut reports);
        self.tell_trouble();
        for report in reports {
            // The receiver is gone only when the agent ends.
            let _ = self.reports.send(report);
        }
    }

    fn keep_records<C>(&mut self, changes: C, is_urgent: bool)
    where
        C: ExactSizeIterator<Item = (ClientId, lamplighter_lwm2m::saved::Record)>,
    {
        if changes.len() == 0 {
            return;
        }
        let disk = self.shelf.disk();
        let mut written = self.records.keep(disk, changes);
        if is_urgent && written.is_ok() {
            written = self.records.sync(disk);
        }
        self.note(Part::Records, written);
    }

    fn keep(&mut self, owner: Owner, waiting: Waiting, shared: &Shared) {
        let Waiting {
            mut samples,
            mut lost,
        } = waiting;
        let samples = samples.make_contiguous();
        let mut done = 0;
        for some in samples.chunks(AT_ONCE) {
            let (count, kept) = self.queues.keep(&mut self.shelf, owner, some, lost);
            done += count;
            lost = 0;
            let is_refused = kept.is_err();
            self.note(Part::Queues, kept);
            if is_refused {
                break;
            }
        }
        let rest: std::collections::VecDeque<_> = samples.iter().skip(done).cloned().collect();
        if !rest.is_empty() {
            let refused = Waiting {
                samples: rest,
                lost: 0,
            };
            shared.lock().put_back(owner, refused);
        }
    }

    /// What cannot be erased now is tried again with the next flush.
    fn erase(&mut self, reports: &mut Vec<Stored>) {
        for (owner, paths) in std::mem::take(&mut self.state.erased) {
            let below: Vec<Path> = paths.iter().copied().collect();
            match self.queues.erase(&mut self.shelf, owner, &below) {
                Ok(count) => reports.push(Stored::Erased(owner.0, owner.1, count)),
                Err(error) => {
                    self.state.erased.insert(owner, paths);
                    self.note(Part::Queues, Err(error));
                }
            }
        }
    }

    /// What cannot be read now is tried again with the next flush.
    fn fetch(&mut self, reports: &mut Vec<Stored>) {
        for wanted in std::mem::take(&mut self.state.wanted) {
            let Wanted { owner, from, limit } = wanted;
            let found = self.queues.fetch(&mut self.shelf, owner, from, limit);
            match found {
                Ok(mut kept) => {
                    let boot = self.clock.now().boot;
                    kept.iter_mut().for_each(|kept| self.dates.date(boot, kept));
                    reports.push(Stored::Kept(owner.0, owner.1, kept));
                }
                Err(error) => {
                    self.state.wanted.push(wanted);
                    self.note(Part::Queues, Err(error));
                }
            }
        }
    }

    /// Whoever asks is answered in any case: by nothing where the disk refuses.
    fn search(&mut self, asked: Asked) {
        let Asked { search, reply } = asked;
        let now = self.clock.now();
        let Self {
            queues,
            shelf,
            dates,
            ..
        } = self;
        let date = |kept: &mut Kept| {
            dates.date(now.boot, kept);
            let sample = &mut kept.sample;
            sample.source_time = sample.source_time.or_else(|| now.unix_of(sample.at));
        };
        let is_wanted = |kept: &mut Kept| {
            search.is_about(kept) && {
                date(kept);
                search.is_within(kept)
            }
        };
        let found = queues.search(shelf, search.first_number(), search.limit, is_wanted);
        let found = found.map(|(kept, next)| Found {
            samples: kept.into_iter().map(|kept| kept.sample).collect(),
            next,
        });
        match found {
            Ok(found) => {
                // Nobody may be waiting any more.
                let _ = reply.send(found);
                self.note(Part::Queues, Ok(()));
            }
            Err(error) => self.note(Part::Queues, Err(error)),
        }
    }

    fn tell_drops(&mut self, reports: &mut Vec<Stored>) {
        let drops = Queues::drops(&mut self.shelf).into_iter();
        // The history is bounded, and nobody waits for what goes.
        for dropped in drops.filter(|dropped| dropped.owner != HISTORY) {
            let (client, ssid) = dropped.owner;
            reports.push(Stored::Dropped {
                client,
                ssid,
                first: dropped.first,
                count: dropped.count,
            });
        }
    }

    /// Writes what has waited long enough, however much else there is to do. What the disk refuses
    /// is tried again after the same time.
    pub(super) fn flush_due(&mut self) {
        let now = clock::mono();
        if self.state.due.is_some_and(|due| due <= now) {
            self.write();
            self.state.due = None;
        }
        let waits = self.records.is_unsynced()
            || self.site.is_unsynced()
            || self.events.is_unsynced()
            || !self.state.erased.is_empty()
            || !self.state.wanted.is_empty()
            || self.queues.is_unsynced(&self.shelf);
        match waits {
            true => drop(self.state.due.get_or_insert(now + self.flush)),
            false => self.state.due = None,
        }
    }

    /// Makes everything durable.
    pub(super) fn write(&mut self) {
        let flushed = self.records.flush(self.shelf.disk());
        self.note(Part::Records, flushed);
        let flushed = self.site.flush(self.shelf.disk());
        self.note(Part::Site, flushed);
        let flushed = self.events.flush(self.shelf.disk());
        self.note(Part::Events, flushed);
        let flushed = self.queues.flush(&mut self.shelf);
        let now = self.clock.now();
        let flushed = flushed.and_then(|()| self.dates.note(self.shelf.disk(), now));
        self.note(Part::Queues, flushed);
        let mut reports = Vec::new();
        self.erase(&mut reports);
        self.fetch(&mut reports);
        self.tell_trouble();
        for report in reports {
            let _ = self.reports.send(report);
        }
    }

    #[cfg(test)]
    pub(super) fn has_unsynced_events(&self) -> bool {
        self.events.is_unsynced()
    }

    fn note(&mut self, part: Part, done: io::Result<()>) {
        match done {
            Ok(()) => drop(self.state.troubles.remove(&part)),
            Err(error) => drop(self.state.troubles.insert(part, error.to_string())),
        }
    }

    fn tell_trouble(&mut self) {
        let trouble = self.state.troubles.values().next().cloned();
        if trouble.is_some() == self.state.is_told {
            return;
        }
        self.state.is_told = trouble.is_some();
        if let Some(error) = &trouble {
            tracing::error!(error, "Cannot write to the state directory");
        }
        let _ = self.reports.send(Stored::Trouble(trouble));
    }
}
