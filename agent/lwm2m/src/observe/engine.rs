//! The observations of one server: finds those that an event concerns, and keeps what each of them
//! wants next in one ordered set of deadlines.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_coap::Token;
use lamplighter_model::{Address, ResourceAddress, ResourceInstanceId};

use super::{
    due::Due,
    index::Index,
    relation::{Relation, Rules, Sent, Subscription, Targets},
};
use crate::{config::Limits, outbox::Part, work};

/// The observations of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observations {
    deadlines: BTreeSet<(Duration, Token)>,
    due: Due,
    index: Index,
    limits: Limits,
    relations: BTreeMap<Token, Relation>,
    /// Targets of all relations together.
    targets: usize,
}

impl Observations {
    /// None yet, of one server.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Begins an observation with its first answer, or refreshes it. False where there is no room.
    pub(crate) fn begin(
        &mut self,
        token: Token,
        subscription: Subscription,
        sent: Sent<'_>,
        rules: Rules<'_>,
    ) -> bool {
        self.end(token);
        self.add(token, Relation::new(subscription, sent, rules))
    }

    /// Takes up an observation that was saved: its first notification tells the current value.
    pub(crate) fn restore(&mut self, token: Token, subscription: Subscription, rules: Rules<'_>) {
        self.end(token);
        self.add(token, Relation::restored(subscription, rules));
    }

    pub(crate) fn end(&mut self, token: Token) -> Option<Relation> {
        let relation = self.relations.remove(&token)?;
        for target in relation.addresses() {
            self.index.remove(target, token);
            self.targets -= 1;
        }
        self.due.remove(token);
        if let Some(scheduled) = relation.scheduled {
            self.deadlines.remove(&(scheduled, token));
        }
        Some(relation)
    }

    /// A resource was sampled or written.
    pub(crate) fn changed(
        &mut self,
        resource: ResourceAddress,
        index: Option<ResourceInstanceId>,
        rules: Rules<'_>,
    ) {
        for (token, target) in self.index.concerned(resource, index) {
            work::visit();
            self.update(token, |relation| {
                relation.changed(target, (resource, index), rules);
            });
        }
    }

    /// Something at an address or below it has come or gone.
    pub(crate) fn structure_changed(&mut self, changed: Address, rules: Rules<'_>) {
        for (token, target) in self.index.around(changed) {
            self.update(token, |relation| {
                relation.structure_changed(target, changed, rules);
            });
        }
    }

    /// Other attributes are attached to an address: they count at once.
    pub(crate) fn attributes_changed(&mut self, address: Address, rules: Rules<'_>) {
        for (token, _) in self.index.below(address) {
            self.update(token, |relation| relation.refresh(rules));
        }
    }

    /// The defaults of the account are others: they count at once.
    pub(crate) fn defaults_changed(&mut self, rules: Rules<'_>) {
        let tokens: Vec<Token> = self.relations.keys().copied().collect();
        for token in tokens {
            self.update(token, |relation| relation.refresh(rules));
        }
    }

    /// Evaluates what is due, and puts what is to be told into its queue.
    pub(crate) fn handle_timeout(&mut self, rules: Rules<'_>) {
        let now = rules.catalogue.now.mono;
        while let Some((due, token)) = self.deadlines.first().copied() {
            if due > now {
                return;
            }
            self.deadlines.pop_first();
            let Some(relation) = self.relations.get_mut(&token) else {
                continue;
            };
            relation.scheduled = None;
            relation.evaluate(rules);
            if relation.queue(now) {
                self.due.push(token);
            } else {
                self.schedule(token);
            }
        }
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.due.is_empty()
    }

    /// The next that is to be told.
    pub(crate) fn next(&mut self) -> Option<Token> {
        self.due.pop()
    }

    /// A notification has left.
    pub(crate) fn sent(&mut self, token: Token, sent: Sent<'_>, rules: Rules<'_>) {
        self.update(token, |relation| relation.sent(sent, rules));
    }

    /// What was to be told is stored, which is as good as told: attributes go on to be judged
    /// against it.
    pub(crate) fn stored(&mut self, token: Token, sent: Sent<'_>, rules: Rules<'_>) {
        self.update(token, |relation| relation.stored(sent, rules));
    }

    /// There is nothing to tell for now; the next change asks again.
    pub(crate) fn skipped(&mut self, token: Token, rules: Rules<'_>) {
        self.update(token, |relation| relation.skipped(rules));
    }

    /// All of it is to be told as it is now.
    pub(crate) fn owe(&mut self, token: Token, rules: Rules<'_>) {
        self.update(token, |relation| relation.owe(rules));
    }

    /// A confirmable notification has ended.
    pub(crate) fn delivered(&mut self, token: Token, acknowledged: bool, rules: Rules<'_>) {
        self.update(token, |relation| relation.delivered(acknowledged, rules));
    }

    /// How many the server observes by.
    pub(crate) fn len(&self) -> usize {
        let relations = self.relations.values();
        relations.filter(|relation| !relation.is_orphan()).count()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.relations.len() >= self.limits.observations
    }

    /// The server has registered us anew and knows none of them any more. They stay as what it may
    /// want to hear of. The answer is whose.
    pub(crate) fn orphan_all(&mut self) -> Vec<Token> {
        let tokens: Vec<Token> = self.relations.keys().copied().collect();
        tokens.iter().for_each(|token| self.orphan(*token));
        tokens
    }

    pub(crate) fn orphan(&mut self, token: Token) {
        self.update(token, Relation::orphan);
    }

    /// The server does not know it, though it may want it.
    pub(crate) fn doubt(&mut self, token: Token) {
        self.update(token, Relation::doubt);
    }

    /// The server is reached in another way than before.
    pub(crate) fn path_changed(&mut self) {
        self.relations.values_mut().for_each(Relation::path_changed);
    }

    /// Whether the server is told all of it by another observation.
    pub(crate) fn is_told_by_another(&self, token: Token) -> bool {
        let Some(relation) = self.relations.get(&token) else {
            return false;
        };
        let others = self.relations.iter().filter(|(of, _)| **of != token);
        let mut others = others.filter(|(_, other)| !other.is_orphan());
        others.any(|(_, other)| {
            let told = &other.subscription.targets;
            relation.addresses().all(|address| told.contain(address))
        })
    }

    /// Whether only such observations ask for it of which nobody knows whether the server still
    /// wants them.
    pub(crate) fn is_doubted(&self, (resource, index): Part) -> bool {
        let concerned = self.index.concerned(resource, index).into_iter();
        let relations = concerned.filter_map(|(token, _)| self.relations.get(&token));
        let mut asking = relations
            .filter(|relation| relation.covers(resource, index))
            .peekable();
        asking.peek().is_some() && asking.all(Relation::is_doubted)
    }

    /// Orphans that a new observation takes the place of.
    pub(crate) fn orphans_in(&self, targets: &Targets) -> Vec<Token> {
        let within = |address: Address| targets.contain(address);
        let orphans = self
            .relations
            .iter()
            .filter(|(_, relation)| relation.is_orphan() && relation.addresses().all(within));
        orphans.map(|(token, _)| *token).collect()
    }

    pub(crate) fn orphans(&self) -> Vec<Token> {
        let orphans = self.relations.iter();
        let orphans = orphans.filter(|(_, relation)| relation.is_orphan());
        orphans.map(|(token, _)| *token).collect()
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = Token> {
        self.relations.keys().copied()
    }

    pub(crate) fn get(&self, token: Token) -> Option<&Relation> {
        self.relations.get(&token)
    }

    /// Whether anybody wants to hear of it, now or when the server is back.
    pub(crate) fn is_wanted(&self, (resource, index): Part) -> bool {
        let concerned = self.index.concerned(resource, index).into_iter();
        let mut relations = concerned.filter_map(|(token, _)| self.relations.get(&token));
        relations.any(|relation| relation.covers(resource, index))
    }

    /// The observation by which a stored sample is told: one that can carry its time, else any;
    /// the nearest to the sample.
    pub(crate) fn covering(
        &self,
        resource: ResourceAddress,
        index: Option<ResourceInstanceId>,
    ) -> Option<(Token, &Relation)> {
        let concerned = self.index.concerned(resource, index).into_iter();
        let relations = concerned.filter_map(|(token, target)| {
            let relation = self.relations.get(&token)?;
            let tells = !relation.is_orphan() && relation.covers(resource, index);
            tells.then_some((token, target, relation))
        });
        let nearest = relations.max_by_key(|(token, target, relation)| {
            let format = relation.subscription.format;
            (format.has_time(), target.path, *token)
        });
        nearest.map(|(token, _, relation)| (token, relation))
    }

    fn add(&mut self, token: Token, relation: Relation) -> bool {
        let targets = relation.addresses().count();
        if self.is_full() || self.targets + targets > self.limits.observed_paths {
            return false;
        }
        for target in relation.addresses() {
            self.index.insert(target, token);
        }
        self.targets += targets;
        self.relations.insert(token, relation);
        self.schedule(token);
        true
    }

    fn update(&mut self, token: Token, change: impl FnOnce(&mut Relation)) {
        if let Some(relation) = self.relations.get_mut(&token) {
            change(relation);
            self.schedule(token);
        }
    }

    fn schedule(&mut self, token: Token) {
        work::visit();
        let Some(relation) = self.relations.get_mut(&token) else {
            return;
        };
        if let Some(before) = relation.scheduled.take() {
            self.deadlines.remove(&(before, token));
        }
        relation.scheduled = relation.due();
        if let Some(due) = relation.scheduled {
            self.deadlines.insert((due, token));
        }
    }
}
