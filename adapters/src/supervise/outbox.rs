//! Events on their way to the daemon, in order, bounded.

use std::collections::VecDeque;

use lamplighter_model::{
    Sample,
    device::{AdapterEvent, LinkState},
};

/// Reached only when the daemon takes no events at all.
const EVENTS_MAX: usize = 1024;

/// While the daemon does not take events, samples merge into the last [`AdapterEvent::Changed`];
/// only answers and states stand between two of them, and both are bounded by the requests taken in.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    events: VecDeque<AdapterEvent>,
    merged: u64,
}

impl Outbox {
    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The daemon is stuck; nothing more may be asked of the adapter.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= EVENTS_MAX
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn pop(&mut self) -> Option<AdapterEvent> {
        let event = self.events.pop_front();
        if self.events.is_empty() && self.merged > 0 {
            tracing::debug!(
                merged = self.merged,
                "Samples came faster than they were taken"
            );
            self.merged = 0;
        }
        event
    }

    pub(super) fn push(&mut self, event: AdapterEvent) {
        self.events.push_back(event);
    }

    /// Adds samples; of each resource only the newest stays in one event.
    pub(super) fn push_samples(&mut self, samples: Vec<Sample>) {
        if samples.is_empty() {
            return;
        }
        let Some(AdapterEvent::Changed(waiting)) = self.events.back_mut() else {
            self.events.push_back(AdapterEvent::Changed(samples));
            return;
        };
        for sample in samples {
            let same =
                |other: &Sample| (other.address, other.index) == (sample.address, sample.index);
            match waiting.iter().position(same) {
                Some(at) => {
                    self.merged += 1;
                    waiting[at] = sample;
                }
                None => waiting.push(sample),
            }
        }
    }

    /// The newest state takes the place of one that was not told yet.
    pub(super) fn push_link(&mut self, state: LinkState, words: String) {
        let link = AdapterEvent::Link(state, words);
        match self
            .events
            .iter_mut()
            .find(|event| matches!(event, AdapterEvent::Link(..)))
        {
            Some(waiting) => *waiting = link,
            None => self.events.push_back(link),
        }
    }
}
