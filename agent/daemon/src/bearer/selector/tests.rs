//! A selector on a clock of the test, one rule after the other.

mod link;
mod month;
mod reach;
mod session;
mod world;

use std::{net::Ipv4Addr, time::Duration};

use lamplighter_model::{BootId, Now};

use super::Selector;
use crate::{
    bearer::{
        Action, AddressFamily, BearerEvent, BearerFacts, BearerId, Choice, LinkFacts, Reason,
        Status, Switch, Want,
    },
    config::{AtCap, Bearer, BearerKind, Cap, Tier},
};

const START: Duration = Duration::from_secs(1000);

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn bearer(name: &str, kind: BearerKind) -> Bearer {
    Bearer::new(name, kind)
}

fn facts(index: u32) -> LinkFacts {
    LinkFacts {
        index,
        interface: format!("if{index}"),
        is_up: true,
        v4: vec![Ipv4Addr::new(192, 168, index as u8, 2)],
        v6: Vec::new(),
        routes: vec![AddressFamily::V4],
        gateways: Vec::new(),
        mtu: 1500,
    }
}

/// A selector, and what it wants.
struct Rig {
    selector: Selector,
    now: Duration,
    /// Since the start of the rig, for each.
    actions: Vec<(f64, Action)>,
    /// Servers answer through these within this time.
    paths: Vec<Option<Duration>>,
    /// There is somebody to talk to.
    has_server: bool,
    /// The sessions over the current bearer are answered.
    is_session_good: bool,
    /// By the NAT on the path, until sockets are opened anew.
    is_mapped: bool,
    /// Something is without an answer since.
    awaited: Option<Duration>,
    /// Answers under way.
    due: Vec<(Duration, BearerEvent)>,
    /// Timeouts.
    wakes: u32,
}

impl Rig {
    fn new(bearers: &[Bearer]) -> Self {
        Self {
            selector: Selector::new(bearers, at(START)),
            now: START,
            actions: Vec::new(),
            paths: vec![Some(Duration::from_millis(50)); bearers.len()],
            has_server: true,
            is_session_good: true,
            is_mapped: true,
            awaited: None,
            due: Vec::new(),
            wakes: 0,
        }
    }

    /// All links up, the servers reached over the first choice, everything probed.
    fn started(bearers: &[Bearer]) -> Self {
        let mut rig = Self::new(bearers);
        for id in 0..bearers.len() as u16 {
            rig.link(id, Some(facts(u32::from(id) + 1)));
        }
        rig.run(40.0);
        rig.actions.clear();
        rig
    }

    fn link(&mut self, id: u16, link: Option<LinkFacts>) {
        self.handle(BearerEvent::Link(BearerId(id), link));
    }

    fn handle(&mut self, event: BearerEvent) {
        if matches!(event, BearerEvent::Heard(_)) && self.awaited.take().is_some() {
            self.handle(BearerEvent::Awaited(None));
        }
        self.selector.handle(event, at(self.now));
        while let Some(action) = self.selector.poll() {
            self.perform(&action);
            let since = (self.now - START).as_secs_f64();
            self.actions.push((since, action));
        }
    }

    fn perform(&mut self, action: &Action) {
        match action {
            Action::Probe(id, wait) => {
                let path = self.paths[usize::from(id.0)].filter(|path| path < wait);
                let (after, result) = match path {
                    _ if !self.has_server => (Duration::ZERO, Err(Reason::Untried)),
                    Some(path) => (path, Ok(path)),
                    None => (*wait, Err(Reason::Timeout)),
                };
                self.due
                    .push((self.now + after, BearerEvent::Probed(*id, result)));
            }
            Action::Ping => self.exchange(),
            Action::Switch(_) => {
                let is_heard = |event: &BearerEvent| matches!(event, BearerEvent::Heard(_));
                self.is_mapped = true;
                self.awaited = None; // from now on
                self.due.push((self.now, BearerEvent::Awaited(None)));
                self.due.retain(|(_, event)| !is_heard(event));
                self.exchange();
            }
            Action::Show(_) => {}
        }
    }

    /// Something is said in the sessions, and answered if it can be.
    fn exchange(&mut self) {
        let current = self.selector.current();
        let path = current.and_then(|id| self.paths[usize::from(id.0)]);
        let path = path.filter(|_| self.is_session_good && self.is_mapped);
        match path.map(|path| self.now + path) {
            Some(at) => self.due.push((at, BearerEvent::Heard(at))),
            None if current.is_some() && self.has_server => {
                // Those that are repeated included.
                let since = *self.awaited.get_or_insert(self.now);
                let event = BearerEvent::Awaited(Some(since));
                self.due.push((self.now, event));
            }
            None => {}
        }
    }

    /// When something happens next.
    fn next(&self) -> Option<Duration> {
        let answer = self.due.iter().map(|(at, _)| *at).min();
        let timeout = self.selector.poll_timeout();
        answer.into_iter().chain(timeout).min()
    }

    fn run(&mut self, seconds: f64) {
        let end = self.now + s(seconds);
        loop {
            let answer = self.due.iter().map(|(at, _)| *at).min();
            let Some(next) = self.next().filter(|next| *next <= end) else {
                break;
            };
            assert!(next >= self.now, "{next:?} is over at {:?}", self.now);
            self.now = next;
            if answer == Some(next) {
                let position = self.due.iter().position(|(at, _)| *at == next).unwrap();
                let (_, event) = self.due.remove(position);
                self.handle(event);
                continue;
            }
            self.wakes += 1;
            self.handle(BearerEvent::Timeout);
            let again = self.selector.poll_timeout();
            assert!(again.is_none_or(|again| again > self.now), "busy");
        }
        self.now = end;
    }

    fn since_start(&self) -> f64 {
        (self.now - START).as_secs_f64()
    }

    /// Time since `from`, and what was switched.
    fn switches(&self, from: f64) -> Vec<(f64, Option<u16>, Want)> {
        let mut switches = Vec::new();
        for (at, action) in &self.actions {
            if let Action::Switch(Switch { to, why }) = action
                && *at >= from
            {
                let after = ((at - from) * 1000.0).round() / 1000.0;
                switches.push((after, to.map(|id| id.0), *why));
            }
        }
        switches
    }

    fn count(&self, is: impl Fn(&Action) -> bool) -> u64 {
        self.actions.iter().filter(|(_, action)| is(action)).count() as u64
    }

    fn probes(&self, id: u16) -> Vec<f64> {
        let is_probe = |action: &Action| matches!(action, Action::Probe(of, _) if of.0 == id);
        let probes = self.actions.iter().filter(|(_, action)| is_probe(action));
        probes.map(|(at, _)| *at).collect()
    }

    fn facts(&self, id: u16) -> BearerFacts {
        self.selector.facts(BearerId(id))
    }

    fn status(&self, id: u16) -> (Status, Option<Reason>) {
        let facts = self.facts(id);
        (facts.status, facts.reason)
    }
}

fn at(mono: Duration) -> Now {
    Now {
        boot: BootId(1),
        mono,
        unix: None,
    }
}

const UP: (Status, Option<Reason>) = (Status::Connected, None);

const fn down(reason: Reason) -> (Status, Option<Reason>) {
    (Status::Disconnected, Some(reason))
}

/// Ethernet (0), then cellular (1).
fn two() -> Vec<Bearer> {
    vec![
        bearer("cable", BearerKind::Ethernet),
        bearer("cell", BearerKind::Cellular),
    ]
}
