//! The trigger algorithm (lwm2m/30, 4): now, later, or not at all.
//!
//! A condition that was met once stays met until the notification has left (it is latched), so a
//! value that has gone back within pmin is told all the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_coap::{Reliability, Token};
use lamplighter_model::{Address, Path, ResourceAddress, ResourceInstanceId, Value};

use super::{AttributeStore, Attributes, due::Due, index::Index};
use crate::{
    catalogue::Catalogue,
    format::{Content, ContentFormat, Node},
    tree::Owner,
    work,
};

/// The observations of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observations {
    deadlines: BTreeSet<(Duration, Token)>,
    due: Due,
    index: Index,
    relations: BTreeMap<Token, Relation>,
}

/// One observation.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    /// What has changed since the server was told, and is wanted.
    dirty: BTreeSet<(ResourceAddress, Option<ResourceInstanceId>)>,
    pub(crate) format: ContentFormat,
    /// A confirmable notification is on its way; newer values wait for its end.
    in_flight: bool,
    /// When the server last confirmed that it listens.
    last_confirmed: Duration,
    pub(crate) last_sent: Duration,
    /// The server has forgotten it by a new registration and may come back: what it would be told
    /// is stored.
    is_orphan: bool,
    /// A condition was met since the last notification.
    pending: bool,
    queued: bool,
    scheduled: Option<Duration>,
    /// Revision of the tree that the server was told.
    seen: u64,
    pub(crate) target: Address,
    /// The server was told something in this run of the agent.
    spoken: bool,
    /// What the server was told, where the target is one value.
    told: Option<Value>,
}

/// What was sent to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    pub(crate) nodes: &'a [Node],
    pub(crate) reliability: Reliability,
    /// Its samples are stored until they are confirmed, so newer values need not wait.
    pub(crate) is_stored: bool,
    pub(crate) revision: u64,
}

/// Resources 2 and 3 of the server's account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) pmax: u32,
    pub(crate) pmin: u32,
}

/// Observations that one server may have.
const MAX_RELATIONS: usize = 1024;
/// RFC 7641, 4.5: a confirmable notification at least every 24 hours; early enough for all its
/// retransmissions.
const CONFIRM_AFTER: Duration = Duration::from_secs(24 * 3600 - 93);

/// Whole objects are told at most this often, in seconds: each time all of it is encoded.
const WIDE_PMIN: u32 = 1;

/// What holds for one relation at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) attributes: &'a AttributeStore,
    pub(crate) catalogue: Catalogue<'a>,
    pub(crate) defaults: Defaults,
}

impl Observations {
    /// Begins an observation with its first answer, or refreshes it. False where there is no room.
    pub(crate) fn begin(
        &mut self,
        token: Token,
        target: Address,
        format: ContentFormat,
        sent: Sent<'_>,
        rules: Rules<'_>,
    ) -> bool {
        self.end(token);
        if self.relations.len() >= MAX_RELATIONS {
            return false;
        }
        let now = rules.catalogue.now.mono;
        let relation = Relation {
            dirty: BTreeSet::new(),
            format,
            in_flight: false,
            is_orphan: false,
            last_confirmed: now,
            last_sent: now,
            pending: false,
            queued: false,
            scheduled: None,
            seen: sent.revision,
            spoken: true,
            target,
            told: single(sent.nodes),
        };
        self.relations.insert(token, relation);
        self.index.insert(target, token);
        self.schedule(token, rules);
        true
    }

    /// Takes up an observation that was saved: its first notification tells the current value.
    pub(crate) fn restore(
        &mut self,
        token: Token,
        target: Address,
        format: ContentFormat,
        rules: Rules<'_>,
    ) {
        let sent = Sent {
            nodes: &[],
            reliability: Reliability::Confirmable,
            is_stored: false,
            revision: 0,
        };
        if !self.begin(token, target, format, sent, rules) {
            return;
        }
        if let Some(relation) = self.relations.get_mut(&token) {
            relation.spoken = false;
        }
        self.met(token, rules);
    }

    pub(crate) fn end(&mut self, token: Token) -> Option<Relation> {
        let relation = self.relations.remove(&token)?;
        self.index.remove(relation.target, token);
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
        for token in self.index.concerned(resource, index) {
            work::visit();
            let Some(relation) = self.relations.get_mut(&token) else {
                continue;
            };
            if relation.is_met(resource, rules) {
                relation.dirty.insert((resource, index));
                if !relation.pending {
                    self.met(token, rules);
                }
            }
        }
    }

    /// Instances or resources of an object have come or gone.
    pub(crate) fn object_changed(&mut self, object: Address, rules: Rules<'_>) {
        for token in self.index.of_object(object) {
            let wide =
                self.relations
                    .get(&token)
                    .is_some_and(|relation| match relation.target.path {
                        Path::Root | Path::Object(_) | Path::Instance(_) => true,
                        Path::Resource(path) | Path::ResourceInstance(path, _) => rules
                            .catalogue
                            .resource(ResourceAddress {
                                scope: relation.target.scope,
                                path,
                            })
                            .is_none(),
                    });
            if wide {
                self.met(token, rules);
            }
        }
    }

    /// Attributes or defaults are others: they count at once.
    pub(crate) fn reschedule(&mut self, rules: Rules<'_>) {
        let tokens: Vec<Token> = self.relations.keys().copied().collect();
        tokens
            .into_iter()
            .for_each(|token| self.schedule(token, rules));
    }

    /// Puts what is due into its queue.
    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        while let Some((due, token)) = self.deadlines.first().copied() {
            if due > now {
                return;
            }
            self.deadlines.pop_first();
            if let Some(relation) = self.relations.get_mut(&token) {
                relation.scheduled = None;
                relation.queued = true;
                self.due.push(token);
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
        let now = rules.catalogue.now.mono;
        if let Some(relation) = self.relations.get_mut(&token) {
            relation.dirty.clear();
            relation.in_flight = sent.reliability == Reliability::Confirmable && !sent.is_stored;
            relation.last_sent = now;
            relation.pending = false;
            relation.queued = false;
            relation.seen = sent.revision;
            relation.spoken = true;
            relation.told = single(sent.nodes);
            self.schedule(token, rules);
        }
    }

    /// What was to be told is stored, which is as good as told: attributes go on to be judged
    /// against it.
    pub(crate) fn stored(&mut self, token: Token, sent: Sent<'_>, rules: Rules<'_>) {
        let spoken = self.relations.get(&token).map(|relation| relation.spoken);
        self.sent(token, sent, rules);
        if let (Some(relation), Some(spoken)) = (self.relations.get_mut(&token), spoken) {
            relation.spoken = spoken;
        }
    }

    /// There is nothing to tell for now; the next change asks again.
    pub(crate) fn skipped(&mut self, token: Token, rules: Rules<'_>) {
        if let Some(relation) = self.relations.get_mut(&token) {
            relation.last_sent = rules.catalogue.now.mono;
            relation.pending = false;
            relation.queued = false;
            self.schedule(token, rules);
        }
    }

    /// A confirmable notification has ended.
    pub(crate) fn delivered(&mut self, token: Token, acknowledged: bool, rules: Rules<'_>) {
        if let Some(relation) = self.relations.get_mut(&token) {
            // What was stored is told again by the one who stored it.
            let was_waited_for = std::mem::take(&mut relation.in_flight);
            if acknowledged {
                relation.last_confirmed = rules.catalogue.now.mono;
            } else if was_waited_for {
                relation.pending = true;
            }
            self.schedule(token, rules);
        }
    }

    /// How many the server observes by.
    pub(crate) fn len(&self) -> usize {
        self.relations
            .values()
            .filter(|relation| !relation.is_orphan)
            .count()
    }

    /// The server has registered us anew and knows none of them any more. They stay as what it may
    /// want to hear of. The answer is whose.
    pub(crate) fn orphan_all(&mut self) -> Vec<Token> {
        let tokens: Vec<Token> = self.relations.keys().copied().collect();
        tokens.iter().for_each(|token| self.orphan(*token));
        tokens
    }

    pub(crate) fn orphan(&mut self, token: Token) {
        if let Some(relation) = self.relations.get_mut(&token) {
            relation.is_orphan = true;
            relation.in_flight = false;
        }
    }

    /// Orphans that a new observation takes the place of.
    pub(crate) fn orphans_in(&self, target: Address) -> Vec<Token> {
        let covered = self
            .relations
            .iter()
            .filter(|(_, relation)| relation.is_orphan && contains(target, relation.target));
        covered.map(|(token, _)| *token).collect()
    }

    pub(crate) fn orphans(&self) -> Vec<Token> {
        let orphans = self
            .relations
            .iter()
            .filter(|(_, relation)| relation.is_orphan);
        orphans.map(|(token, _)| *token).collect()
    }

    pub(crate) fn get(&self, token: Token) -> Option<&Relation> {
        self.relations.get(&token)
    }

    /// The observation by which a stored sample is told: one that can carry its time, else any;
    /// the nearest to the sample.
    pub(crate) fn covering(
        &self,
        resource: ResourceAddress,
        index: Option<ResourceInstanceId>,
    ) -> Option<(Token, &Relation)> {
        let tokens = self.index.concerned(resource, index).into_iter();
        tokens
            .filter_map(|token| Some((token, self.relations.get(&token)?)))
            .filter(|(_, relation)| !relation.is_orphan && relation.covers(resource, index))
            .max_by_key(|(token, relation)| {
                (relation.format.has_time(), relation.target.path, *token)
            })
    }

    /// The observation is to be told again as soon as it may.
    pub(crate) fn met(&mut self, token: Token, rules: Rules<'_>) {
        if let Some(relation) = self.relations.get_mut(&token) {
            relation.pending = true;
            self.schedule(token, rules);
        }
    }

    fn schedule(&mut self, token: Token, rules: Rules<'_>) {
        work::visit();
        let Some(relation) = self.relations.get_mut(&token) else {
            return;
        };
        if let Some(before) = relation.scheduled.take() {
            self.deadlines.remove(&(before, token));
        }
        relation.scheduled = relation.due(rules.effective(relation.target));
        if let Some(due) = relation.scheduled {
            self.deadlines.insert((due, token));
        }
    }
}

impl Relation {
    pub(crate) const fn is_orphan(&self) -> bool {
        self.is_orphan
    }

    /// What has changed and is wanted; empty where the longest time has passed without.
    pub(crate) const fn dirty(&self) -> &BTreeSet<(ResourceAddress, Option<ResourceInstanceId>)> {
        &self.dirty
    }

    pub(crate) const fn is_pending(&self) -> bool {
        self.pending
    }

    pub(crate) fn covers(
        &self,
        resource: ResourceAddress,
        index: Option<ResourceInstanceId>,
    ) -> bool {
        let path = index.map_or(Path::Resource(resource.path), |index| {
            Path::ResourceInstance(resource.path, index)
        });
        self.target.scope == resource.scope && self.target.path.contains(path)
    }

    /// False for an observation that was taken up after a restart until its target has a value:
    /// devices may take a while to say what they have.
    pub(crate) const fn is_settled(&self) -> bool {
        self.spoken
    }

    /// How the next notification is sent.
    pub(crate) fn reliability(&self, now: Duration) -> Reliability {
        if now.saturating_sub(self.last_confirmed) >= CONFIRM_AFTER {
            return Reliability::Confirmable;
        }
        Reliability::NonConfirmable
    }

    fn due(&self, attributes: Attributes) -> Option<Duration> {
        if self.queued || self.in_flight {
            return None;
        }
        let pmin = attributes.pmin.unwrap_or(0);
        let after = |seconds: u32| self.last_sent + Duration::from_secs(seconds.into());
        // A pmax below pmin is ignored; 0 stands for none.
        let pmax = attributes
            .pmax
            .filter(|pmax| *pmax > 0 && *pmax >= pmin)
            .map(after);
        let pending = self.pending.then(|| after(pmin));
        [pmax, pending].into_iter().flatten().min()
    }

    /// Whether a change of the resource is one that the server wants to hear of.
    fn is_met(&self, changed: ResourceAddress, rules: Rules<'_>) -> bool {
        let current = match self.target.path {
            Path::Root | Path::Object(_) | Path::Instance(_) => None,
            Path::Resource(_) | Path::ResourceInstance(..) => {
                single(&rules.catalogue.latest(self.target))
            }
        };
        let (Some(told), Some(current)) = (&self.told, current) else {
            let core = rules
                .catalogue
                .resource(changed)
                .is_some_and(|found| found.owner == Owner::Core);
            return core || rules.catalogue.tree.changed_since(changed, self.seen);
        };
        let attributes = rules.effective(self.target);
        if let (true, Some(before), Some(now)) = (
            attributes.has_value_condition(),
            told.as_f64(),
            current.as_f64(),
        ) {
            return is_crossed(attributes, before, now);
        }
        *told != current
    }
}

impl Rules<'_> {
    fn effective(&self, target: Address) -> Attributes {
        let mut attributes = self.attributes.inherited(target);
        if attributes.check().is_err() {
            // Separate writes or inheritance made them contradict each other: none of them counts.
            attributes = Attributes {
                gt: None,
                lt: None,
                st: None,
                ..attributes
            };
        }
        let set = |seconds: u32| (seconds > 0).then_some(seconds);
        attributes.pmin = attributes.pmin.or_else(|| set(self.defaults.pmin));
        if let Path::Root | Path::Object(_) = target.path {
            attributes.pmin = attributes.pmin.max(Some(WIDE_PMIN));
        }
        attributes.pmax = attributes.pmax.or_else(|| set(self.defaults.pmax));
        attributes
    }
}

fn contains(outer: Address, inner: Address) -> bool {
    outer.scope == inner.scope && outer.path.contains(inner.path)
}

/// Compared with what the server was told, in both directions.
fn is_crossed(attributes: Attributes, told: f64, now: f64) -> bool {
    let crossed = |limit: f64| (told <= limit && now > limit) || (told >= limit && now < limit);
    attributes.gt.is_some_and(crossed)
        || attributes.lt.is_some_and(crossed)
        || attributes.st.is_some_and(|st| (now - told).abs() >= st)
}

/// The only value of an answer.
fn single(nodes: &[Node]) -> Option<Value> {
    let [node] = nodes else {
        return None;
    };
    match &node.content {
        Content::Single(value) => Some(value.clone()),
        Content::Multiple(values) => match values.as_slice() {
            [(_, value)] => Some(value.clone()),
            _ => None,
        },
    }
}
