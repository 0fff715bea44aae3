//! What is known of every bearer, for all who show it: page, command line, metrics, objects.
//!
//! The loop's bearers write it ([`Board::show`], [`Board::choose`]); where no `[bearer.NAME]` is
//! configured, what the box sees of its interfaces is written ([`Board::see`]). It stands in the read
//! model, so that whoever follows the status is told at once.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_model::Now;
use tokio::sync::watch;

use super::boundary::{BearerFacts, BearerId, Choice, Meta, Reason, Status};
use crate::{config, status};

/// A handle; all handles of one [`status::Status`] are the same board.
#[derive(Clone, Debug)]
pub struct Board(status::Status);

/// Who decides which bearer is used.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Chosen {
    pub choice: Choice,
    /// When it is taken back unless a server is reached: a time of the monotonic clock; `None`: it
    /// stays.
    pub trial_until: Option<Duration>,
}

/// What stands on the board.
#[derive(Debug, Default)]
pub(crate) struct Bearers {
    known: BTreeMap<BearerId, BearerFacts>,
    chosen: Chosen,
    /// Whether the agent chooses among them, instead of only seeing them.
    is_configured: bool,
    /// Changes with everything that readers are told at once.
    revision: watch::Sender<u64>,
}

impl Board {
    pub(crate) const fn of(status: status::Status) -> Self {
        Self(status)
    }

    /// These are there, and nobody has tried any of them yet.
    pub fn configure(&self, bearers: &[config::Bearer], now: Now) {
        let untried = bearers.iter().zip(0..).map(|(bearer, id)| BearerFacts {
            id: BearerId(id),
            name: bearer.name.clone(),
            kind: bearer.kind,
            interface: bearer.interface.clone(),
            status: Status::Disconnected,
            reason: Some(Reason::Untried),
            since: now.stamp(),
            is_current: false,
            is_urgent_only: false,
            last_exchange: None,
            round_trip: None,
            address: None,
            is_metered: bearer.metered.unwrap_or_else(|| bearer.kind.is_metered()),
            bytes_today: 0,
            bytes_month: 0,
            flaps: 0,
            meta: Meta::default(),
            link: None,
        });
        let known: Vec<_> = untried.collect();
        self.0.change_bearers(|bearers| {
            bearers.is_configured = !known.is_empty();
            bearers.replace(known)
        });
    }

    /// Whether the agent chooses among the bearers, instead of only seeing them.
    pub fn is_configured(&self) -> bool {
        self.0.bearers(Bearers::is_configured)
    }

    /// All that is known of one bearer now; gives back what was shown before. Readers are told at
    /// once, but of counters and signals, which they find when they look.
    pub fn show(&self, facts: BearerFacts) -> Option<BearerFacts> {
        let mut before = None;
        self.0.change_bearers(|bearers| {
            let (shown, is_news) = bearers.show(facts);
            before = shown;
            is_news
        });
        before
    }

    /// All that there is to be seen, where nothing is configured.
    pub fn see(&self, all: Vec<BearerFacts>) {
        self.0.change_bearers(|bearers| bearers.replace(all));
    }

    /// Who decides from now on.
    pub fn choose(&self, chosen: Chosen) {
        self.0.change_bearers(|bearers| {
            let is_news = bearers.chosen != chosen;
            bearers.chosen = chosen;
            bearers.revise(is_news)
        });
    }

    pub fn chosen(&self) -> Chosen {
        self.0.bearers(|bearers| bearers.chosen.clone())
    }

    /// In the order of their numbers.
    pub fn all(&self) -> Vec<BearerFacts> {
        self.0
            .bearers(|bearers| bearers.known.values().cloned().collect())
    }

    /// The one that sessions go over.
    pub fn current(&self) -> Option<BearerFacts> {
        self.0.bearers(|bearers| {
            let mut known = bearers.known.values();
            known.find(|facts| facts.is_current).cloned()
        })
    }

    pub fn named(&self, name: &str) -> Option<BearerFacts> {
        self.0.bearers(|bearers| {
            let mut known = bearers.known.values();
            known.find(|facts| facts.name == name).cloned()
        })
    }

    /// Changes with everything that readers are to be told at once.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.0.bearers(|bearers| bearers.revision.subscribe())
    }
}

impl Bearers {
    pub(crate) fn known(&self) -> impl Iterator<Item = &BearerFacts> {
        self.known.values()
    }

    pub(crate) const fn is_configured(&self) -> bool {
        self.is_configured
    }

    pub(crate) const fn chosen(&self) -> &Chosen {
        &self.chosen
    }

    pub(crate) fn name(&self, id: BearerId) -> Option<&str> {
        self.known.get(&id).map(|facts| facts.name.as_str())
    }

    /// What was shown before, and whether readers are to be told at once.
    fn show(&mut self, facts: BearerFacts) -> (Option<BearerFacts>, bool) {
        let steady_now = steady(&facts);
        let before = self.known.insert(facts.id, facts);
        let is_news = before.as_ref().map(steady) != Some(steady_now);
        (before, self.revise(is_news))
    }

    fn replace(&mut self, all: Vec<BearerFacts>) -> bool {
        let before: Vec<_> = self.known.values().map(steady).collect();
        self.known = all.into_iter().map(|facts| (facts.id, facts)).collect();
        self.revise(!self.known.values().map(steady).eq(before))
    }

    fn revise(&self, is_news: bool) -> bool {
        if is_news {
            self.revision.send_modify(|revision| *revision += 1);
        }
        is_news
    }
}

/// Without what changes all the time.
fn steady(facts: &BearerFacts) -> BearerFacts {
    BearerFacts {
        last_exchange: None,
        round_trip: None,
        bytes_today: 0,
        bytes_month: 0,
        meta: Meta {
            signal: None,
            quality: None,
            snr: None,
            ..facts.meta.clone()
        },
        ..facts.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, now_at};

    fn board() -> Board {
        status::Status::new(fake::catalogue(), now_at(0)).board()
    }

    #[test]
    fn readers_are_told_of_a_switch_at_once_and_not_of_every_byte() {
        let board = board();
        let mut told = board.revisions();
        let cell = fake::bearer(1, "cell");
        board.show(cell.clone());
        assert!(told.has_changed().unwrap());
        told.mark_unchanged();
        board.show(BearerFacts {
            bytes_today: 7,
            round_trip: Some(Duration::from_millis(40)),
            ..cell.clone()
        });
        assert!(!told.has_changed().unwrap());
        assert_eq!(board.all()[0].bytes_today, 7);
        assert_eq!(board.current(), None);
        board.show(BearerFacts {
            is_current: true,
            is_urgent_only: false,
            ..cell
        });
        assert!(told.has_changed().unwrap());
        assert_eq!(
            board.current().map(|facts| facts.name),
            Some("cell".to_owned())
        );
    }

    #[test]
    fn who_decides_is_told_once() {
        let board = board();
        let mut told = board.revisions();
        let chosen = Chosen {
            choice: Choice::Use(BearerId(1)),
            trial_until: Some(Duration::from_secs(600)),
        };
        board.choose(chosen.clone());
        assert!(told.has_changed().unwrap());
        told.mark_unchanged();
        board.choose(chosen.clone());
        assert!(!told.has_changed().unwrap());
        assert_eq!(board.chosen(), chosen);
    }

    #[test]
    fn what_is_not_seen_any_more_is_gone() {
        let board = board();
        board.see(vec![fake::bearer(0, "eth0"), fake::bearer(1, "wlan0")]);
        board.see(vec![fake::bearer(0, "wlan0")]);
        let names: Vec<_> = board.all().into_iter().map(|facts| facts.name).collect();
        assert_eq!(names, ["wlan0"]);
        assert_eq!(board.named("eth0"), None);
    }
}
