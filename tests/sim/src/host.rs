//! A server and its operator, who observes what he is told to whenever a box registers, as the
//! operators of real servers do.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use lamplighter_lwm2m::format::{ContentFormat, Node};
use lamplighter_model::Path;
use lamplighter_sim::server::{
    CancelMode, LwServer, Operation, RequestId, ServerEvent, ServerOptions,
};

use crate::{
    cabinet::box_of,
    world::{BoxId, ServerId},
};

/// Values that a server was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub at: Duration,
    pub by: BoxId,
    pub how: How,
    pub nodes: Vec<Node>,
}

/// By what values were told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// The answer to an Observe.
    Observed(RequestId),
    Notified(RequestId),
    Sent,
}

/// One server.
#[derive(Debug)]
pub struct Host {
    pub id: ServerId,
    pub(crate) options: ServerOptions,
    pub lw: LwServer,
    /// While it is down nothing is heard.
    pub is_up: bool,
    /// What happened, with the time; bounded.
    pub events: VecDeque<(Duration, ServerEvent)>,
    /// What was told, in the order of arrival. Whoever reads it may clear it.
    pub told: Vec<Told>,
    /// What the operator observes of every box.
    pub watched: Vec<Path>,
    observations: BTreeMap<RequestId, (BoxId, Path)>,
    asked: BTreeMap<RequestId, (BoxId, Path)>,
    /// Boxes that registered and did not yet answer every Observe.
    wanting: BTreeSet<(BoxId, Path)>,
    /// Datagrams in each window of [`WINDOW`].
    pub load: Vec<u32>,
}

/// Width of the windows in which load is counted.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Events that are remembered.
const MEMORY: usize = 8192;

impl Host {
    pub(crate) fn new(id: ServerId, options: ServerOptions) -> Self {
        Self {
            id,
            lw: LwServer::new(options.clone()),
            options,
            is_up: true,
            events: VecDeque::new(),
            told: Vec::new(),
            watched: Vec::new(),
            observations: BTreeMap::new(),
            asked: BTreeMap::new(),
            wanting: BTreeSet::new(),
            load: Vec::new(),
        }
    }

    /// The observations that stand, by what is observed.
    pub fn observations(&self) -> impl Iterator<Item = (RequestId, BoxId, Path)> {
        let observations = self.observations.iter();
        observations.map(|(id, (of, path))| (*id, *of, *path))
    }

    pub fn is_observed(&self, of: BoxId, path: Path) -> bool {
        self.observations()
            .any(|(_, by, at)| (by, at) == (of, path))
    }

    /// The operator does not want this any more of anybody.
    pub fn unwatch(&mut self, path: Path) {
        self.watched.retain(|watched| *watched != path);
        self.wanting.retain(|(_, wanted)| *wanted != path);
    }

    /// The operator wants this of every box that registers, and of this one now.
    pub(crate) fn watch(&mut self, name: &str, of: BoxId, path: Path, now: Duration) {
        if !self.watched.contains(&path) {
            self.watched.push(path);
        }
        if !self.is_observed(of, path) && self.lw.client(name).is_some() {
            self.wanting.insert((of, path));
            self.ask_for(name, of, now);
        }
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> VecDeque<(Duration, ServerEvent)> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn count(&mut self, now: Duration) {
        let window = usize::try_from(now.as_secs() / WINDOW.as_secs()).unwrap_or(0);
        if self.load.len() <= window {
            self.load.resize(window + 1, 0);
        }
        self.load[window] += 1;
    }

    /// Starts anew and knows nobody.
    pub(crate) fn restart(&mut self, now: Duration) {
        self.options.seed = self.options.seed.wrapping_add(1);
        self.lw.restart(self.options.clone(), now);
    }

    /// Takes what the server has to say, and does what the operator does about it. How many events
    /// there were.
    pub(crate) fn operate(&mut self, now: Duration) -> usize {
        let mut count = 0;
        while let Some(event) = self.lw.poll_event() {
            self.on_event(&event, now);
            if self.events.len() >= MEMORY {
                self.events.pop_front();
            }
            self.events.push_back((now, event));
            count += 1;
        }
        count
    }

    fn on_event(&mut self, event: &ServerEvent, now: Duration) {
        match event {
            ServerEvent::Registered(name) => {
                let Some(of) = box_of(name) else { return };
                let wanted = self.watched.iter().map(|path| (of, *path));
                self.wanting.extend(wanted.collect::<Vec<_>>());
                self.ask_for(name, of, now);
            }
            ServerEvent::Updated(name) => {
                let Some(of) = box_of(name) else { return };
                self.ask_for(name, of, now);
            }
            ServerEvent::Answered(id, name, answer) => {
                let Some((of, path)) = self.asked.remove(id) else {
                    return;
                };
                if answer.is_observed() && !self.watched.contains(&path) {
                    // Nobody wants it any more; what has ended already needs no end.
                    let _ = self.lw.cancel(*id, CancelMode::Active, now);
                } else if answer.is_observed() {
                    self.wanting.remove(&(of, path));
                    self.observations.insert(*id, (of, path));
                    self.tell(name, How::Observed(*id), &answer.nodes, now);
                }
            }
            ServerEvent::Failed(id, name, _) => {
                if let Some((of, _)) = self.asked.remove(id) {
                    self.ask_for(name, of, now);
                }
            }
            ServerEvent::Notified(id, name, answer) => {
                self.tell(name, How::Notified(*id), &answer.nodes, now);
            }
            ServerEvent::ObservationEnded(id, name, _) => {
                let Some((of, path)) = self.observations.remove(id) else {
                    return;
                };
                if self.watched.contains(&path) {
                    self.wanting.insert((of, path));
                    self.ask_for(name, of, now);
                }
            }
            ServerEvent::Sent(name, nodes) => self.tell(name, How::Sent, nodes, now),
            ServerEvent::Deregistered(name) | ServerEvent::Expired(name) => {
                let Some(of) = box_of(name) else { return };
                self.wanting.retain(|(wanted, _)| *wanted != of);
            }
        }
    }

    fn ask_for(&mut self, name: &str, of: BoxId, now: Duration) {
        let wanted = self.wanting.iter().filter(|(by, _)| *by == of);
        let wanted: Vec<Path> = wanted.map(|(_, path)| *path).collect();
        for path in wanted {
            if self.asked.values().any(|asked| *asked == (of, path)) {
                continue;
            }
            let observe = Operation::Observe(path, Some(ContentFormat::SenmlCbor));
            // Somebody who is no longer registered is asked when he is.
            if let Ok(id) = self.lw.request(name, &observe, now) {
                self.asked.insert(id, (of, path));
            }
        }
    }

    fn tell(&mut self, name: &str, how: How, nodes: &[Node], at: Duration) {
        let Some(by) = box_of(name) else { return };
        self.told.push(Told {
            at,
            by,
            how,
            nodes: nodes.to_vec(),
        });
    }
}
