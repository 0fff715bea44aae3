//! Which bearer is used now, and when that is to be asked again.

use std::{cmp::Reverse, time::Duration};

use lamplighter_model::Now;

use super::{Selector, Start, Watch, rank::Rank, watch::Reach};
use crate::bearer::{Action, BearerId, Choice, Switch, Want};

impl Selector {
    pub(super) fn choose(&mut self, now: Now) {
        let Some(switch) = self.wanted(now.mono) else {
            return;
        };
        let former = std::mem::replace(&mut self.current, switch.to);
        self.session = self.session.reopened(now.mono);
        for id in former.into_iter().chain(switch.to) {
            self.tell(id);
        }
        if switch.to.is_none() && self.offline.is_none() {
            self.watches.iter_mut().for_each(Watch::hurry);
        }
        self.actions.push_back(Action::Switch(switch));
    }

    fn wanted(&self, now: Duration) -> Option<Switch> {
        let to = |to: BearerId, why| Some(Switch { to: Some(to), why });
        if let Choice::Offline(_) = self.choice() {
            let why = Want::Offline;
            return self.current.map(|_| Switch { to: None, why });
        }
        let best = self.best();
        let Some(current) = self.current else {
            if self.start != Start::Done {
                return None;
            }
            return best.and_then(|best| to(best, Want::First));
        };
        let watch = self.at(current);
        if !watch.is_usable() {
            let why = match (best, watch.is_blocked()) {
                (_, true) => Want::Cap,
                (Some(_), false) => Want::FailOver,
                (None, false) => Want::Offline,
            };
            return Some(Switch { to: best, why });
        }
        if !watch.is_connected() {
            // The first one is used untried, until it misses.
            let best = best.filter(|best| watch.misses > 0 && self.at(*best).is_connected());
            return best.and_then(|best| to(best, Want::FailOver));
        }
        if self.is_quiet {
            return None; // what is known is frozen
        }
        let mut better: Vec<BearerId> = self.better(current).collect();
        better.sort_by_key(|id| self.rank(*id));
        if let Some(best) = better.first()
            && self.wish.is_fresh(now)
        {
            return to(*best, Want::Command);
        }
        let is_capped = |id: BearerId| self.at(id).is_demoted();
        let uncapped = better.iter().find(|id| !is_capped(**id));
        if let Some(uncapped) = uncapped.filter(|_| is_capped(current)) {
            return to(*uncapped, Want::Cap);
        }
        let ready = better.iter().find(|id| self.at(**id).ready_at <= now);
        ready.and_then(|ready| to(*ready, Want::FailBack))
    }

    /// When a better one has been connected for long enough.
    pub(super) fn fail_back_at(&self) -> Option<Duration> {
        let current = self.current.filter(|id| self.at(*id).is_connected())?;
        self.better(current).map(|id| self.at(id).ready_at).min()
    }

    pub(super) fn rank(&self, id: BearerId) -> Rank {
        self.wish.rank(id, self.at(id))
    }

    /// Connected ones that are preferred to this one.
    fn better(&self, current: BearerId) -> impl Iterator<Item = BearerId> {
        let rank = self.rank(current);
        self.ids().filter(move |id| {
            let watch = self.at(*id);
            watch.is_connected() && watch.misses == 0 && self.rank(*id) < rank
        })
    }

    /// Of those that may work, the best one.
    fn best(&self) -> Option<BearerId> {
        let others = self.ids().filter(|id| self.at(*id).is_usable());
        others.min_by_key(|id| {
            let watch = self.at(*id);
            let is_answering = watch.reach == Reach::Connected || watch.hits > 0;
            let is_connected = watch.reach == Reach::Connected && watch.misses == 0;
            let grade = (is_connected, is_answering);
            (Reverse(grade), self.rank(*id))
        })
    }
}
