//! One observation: what it watches, what the server was told of it, and when it is to be told
//! again (lwm2m/30, 4).
//!
//! A condition that was met once stays met until the notification has left (it is latched), so a
//! value that has gone back within pmin is told all the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_coap::Reliability;
use lamplighter_model::{
    Address, Path, ResourceAddress, ResourceInstanceId, ResourcePath, Scope, Ssid, Value,
    device::Origin,
};

use super::{AttributeStore, Attributes, condition::Judged, kind};
use crate::{
    access,
    catalogue::Catalogue,
    format::{Content, ContentFormat, Node},
    outbox::Part,
    tree::Owner,
};

/// What a server observes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Targets {
    /// Observe-Composite, in the order of the request.
    Composite(Vec<Address>),
    Single(Address),
}

/// What a server asks for with an Observe.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    /// Those of the request, which stand instead of all others (Core 1.2, 6.4.1).
    pub(crate) attributes: Option<Attributes>,
    pub(crate) format: ContentFormat,
    /// The Content-Format that the server calls it.
    pub(crate) number: u16,
    pub(crate) targets: Targets,
}

/// One observation.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    /// A state is to be told, which must not get lost.
    confirm: bool,
    /// What has changed since the server was told.
    dirty: BTreeSet<Part>,
    /// A confirmable notification is on its way; newer values wait for its end.
    in_flight: bool,
    /// When the server last confirmed that it listens.
    last_confirmed: Duration,
    last_sent: Duration,
    members: BTreeMap<Address, Member>,
    pace: Pace,
    queued: bool,
    pub(super) scheduled: Option<Duration>,
    /// Revision of the tree that the server was told.
    seen: u64,
    /// The server was told something in this run of the agent.
    spoken: bool,
    standing: Standing,
    pub(crate) subscription: Subscription,
}

/// Whether the server has it, as far as anybody can tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    /// A notification of it was confirmed over the present path.
    Confirmed,
    /// The server does not know it, and perhaps never did: what it would be told is stored, and
    /// waits for a new Observe.
    Doubted,
    /// The server has forgotten it by a new registration and may come back: what it would be told
    /// is stored.
    Forgotten,
    /// Nothing shows yet that the answer to the Observe has arrived, or that the server did not
    /// drop it as the path changed.
    Unconfirmed,
}

/// One of the paths that an observation watches.
#[derive(Clone, Debug)]
struct Member {
    /// When its value was last judged.
    evaluated: Duration,
    /// What a boolean was then.
    level: Option<bool>,
    /// A condition was met since the last notification.
    pending: bool,
    /// What the server was told, where it is one resource.
    told: Option<Content>,
    /// It changed and waits for its evaluation.
    touched: bool,
}

/// What the attributes of all members come to, so that a change of one need not look at the others.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// Next evaluation of any member; none of them is due before.
    evaluate: Option<Duration>,
    /// Smallest pmin of the members that have something to tell.
    pending: Option<u32>,
    /// Smallest pmax.
    pmax: Option<u32>,
}

/// What was sent to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    /// Its samples are stored until they are confirmed, so newer values need not wait.
    pub(crate) is_stored: bool,
    pub(crate) nodes: &'a [Node],
    pub(crate) reliability: Reliability,
    pub(crate) revision: u64,
}

/// Resources 2, 3 and 26 of the server's account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Defaults {
    /// Notifications are confirmable; false leaves it to the kind of what is told.
    pub(crate) con: bool,
    pub(crate) pmax: u32,
    pub(crate) pmin: u32,
}

/// What holds for the observations of one server at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) attributes: &'a AttributeStore,
    pub(crate) catalogue: Catalogue<'a>,
    pub(crate) defaults: Defaults,
    /// Whose observations they are.
    pub(crate) ssid: Ssid,
}

/// RFC 7641, 4.5: a confirmable notification at least every 24 hours; early enough for all its
/// retransmissions.
const CONFIRM_AFTER: Duration = Duration::from_secs(24 * 3600 - 93);
/// What is wide is told at most this often, in seconds: each time all of it is encoded.
const WIDE_PMIN: u32 = 1;
/// Paths that make an Observe-Composite wide.
const WIDE_COMPOSITE: usize = 64;

impl Targets {
    /// Each path, a repeated one as often as it was named.
    pub(crate) fn addresses(&self) -> &[Address] {
        match self {
            Self::Composite(addresses) => addresses,
            Self::Single(address) => std::slice::from_ref(address),
        }
    }

    pub(super) fn contain(&self, address: Address) -> bool {
        let mut targets = self.addresses().iter();
        targets.any(|target| target.scope == address.scope && target.path.contains(address.path))
    }

    /// What the answers are about as a whole.
    pub(crate) const fn common(&self) -> Address {
        match self {
            Self::Composite(_) => Address {
                scope: Scope::Gateway,
                path: Path::Root,
            },
            Self::Single(address) => *address,
        }
    }
}

impl Relation {
    /// An observation whose first answer has been made.
    pub(super) fn new(subscription: Subscription, sent: Sent<'_>, rules: Rules<'_>) -> Self {
        let now = rules.catalogue.now.mono;
        let member = |address: &Address| (*address, Member::new(now));
        let members = subscription.targets.addresses().iter().map(member);
        let mut relation = Self {
            confirm: false,
            dirty: BTreeSet::new(),
            in_flight: false,
            last_confirmed: now,
            last_sent: now,
            members: members.collect(),
            pace: Pace::default(),
            queued: false,
            scheduled: None,
            seen: 0,
            spoken: true,
            standing: Standing::Unconfirmed,
            subscription,
        };
        relation.sent(sent, rules);
        relation.in_flight = false;
        relation
    }

    /// An observation of an earlier run: its first notification tells the current value.
    pub(super) fn restored(subscription: Subscription, rules: Rules<'_>) -> Self {
        let sent = Sent {
            is_stored: false,
            nodes: &[],
            reliability: Reliability::NonConfirmable,
            revision: 0,
        };
        let mut relation = Self::new(subscription, sent, rules);
        relation.spoken = false;
        relation
            .members
            .values_mut()
            .for_each(|member| member.pending = true);
        relation.refresh(rules);
        relation
    }

    /// False for an observation that was taken up after a restart until its target has a value:
    /// devices may take a while to say what they have.
    pub(crate) const fn is_settled(&self) -> bool {
        self.spoken
    }

    /// The server knows it no more.
    pub(super) const fn orphan(&mut self) {
        self.standing = Standing::Forgotten;
        self.in_flight = false;
    }

    /// The server does not know it, though it may want it.
    pub(super) const fn doubt(&mut self) {
        self.standing = Standing::Doubted;
        self.in_flight = false;
    }

    /// What was confirmed over the former path says nothing of the new one.
    pub(super) const fn path_changed(&mut self) {
        if matches!(self.standing, Standing::Confirmed) {
            self.standing = Standing::Unconfirmed;
        }
    }

    pub(crate) const fn is_confirmed(&self) -> bool {
        matches!(self.standing, Standing::Confirmed)
    }

    pub(crate) const fn is_doubted(&self) -> bool {
        matches!(self.standing, Standing::Doubted)
    }

    pub(crate) const fn is_orphan(&self) -> bool {
        matches!(self.standing, Standing::Doubted | Standing::Forgotten)
    }

    /// What has changed since the server was told.
    pub(crate) const fn dirty(&self) -> &BTreeSet<Part> {
        &self.dirty
    }

    /// There is something to tell; otherwise only the longest time has passed.
    pub(crate) const fn is_pending(&self) -> bool {
        self.pace.pending.is_some()
    }

    pub(crate) const fn last_sent(&self) -> Duration {
        self.last_sent
    }

    pub(crate) fn covers(
        &self,
        resource: ResourceAddress,
        index: Option<ResourceInstanceId>,
    ) -> bool {
        let path = index.map_or(Path::Resource(resource.path), |index| {
            Path::ResourceInstance(resource.path, index)
        });
        let mut targets = self.members.keys();
        targets.any(|target| target.scope == resource.scope && target.path.contains(path))
    }

    /// How many samples of a part are kept for the server, where it says so.
    pub(crate) fn most_kept(&self, part: Part, rules: Rules<'_>) -> Option<u32> {
        let (resource, index) = part;
        let path = index.map_or(Path::Resource(resource.path), |index| {
            Path::ResourceInstance(resource.path, index)
        });
        let mut targets = self.members.keys();
        let target =
            targets.find(|target| target.scope == resource.scope && target.path.contains(path))?;
        self.attributes_of(*target, rules).hqmax
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = Address> {
        self.members.keys().copied()
    }

    /// How the next notification is sent.
    pub(crate) fn reliability(&self, rules: Rules<'_>) -> Reliability {
        let since = rules.catalogue.now.mono.saturating_sub(self.last_confirmed);
        // Core 1.2: confirmable if any part of it has con=1.
        let attached = self
            .members
            .keys()
            .map(|address| self.attributes_of(*address, rules).con)
            .max()
            .flatten();
        let wanted = attached.unwrap_or(rules.defaults.con || self.confirm);
        if wanted || since >= CONFIRM_AFTER {
            return Reliability::Confirmable;
        }
        Reliability::NonConfirmable
    }

    /// Whether a state or an alarm is to be told.
    pub(crate) const fn is_urgent(&self) -> bool {
        self.confirm
    }

    /// When the next thing is to be done.
    pub(super) fn due(&self) -> Option<Duration> {
        if self.queued || self.in_flight {
            return None;
        }
        [self.due_to_send(), self.pace.evaluate]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether a notification is to leave now. It is then in the outbox, until it was sent or
    /// skipped.
    pub(super) fn queue(&mut self, now: Duration) -> bool {
        self.queued = self.due_to_send().is_some_and(|due| due <= now);
        self.queued
    }

    /// Judges a change below one of the members.
    pub(super) fn changed(&mut self, target: Address, part: Part, rules: Rules<'_>) {
        let (what, _) = part;
        let wide = is_wide(target);
        if !rules.may_know(what) {
            return;
        }
        let news = rules.is_news(what, self.seen);
        if news {
            self.dirty.insert(part);
        }
        if wide && !news {
            return;
        }
        let Some(member) = self.members.get_mut(&target) else {
            return;
        };
        if wide {
            self.confirm |= rules.is_state(what);
        }
        if member.pending {
            return;
        }
        member.touched = true;
        let attributes = self.effective(target, rules);
        self.evaluate_member(target, attributes, rules);
        self.evaluate_by(target, attributes);
    }

    /// Something at an address or below it has come or gone: below one of the members, or perhaps
    /// a member itself.
    pub(super) fn structure_changed(
        &mut self,
        target: Address,
        changed: Address,
        rules: Rules<'_>,
    ) {
        if !target.path.contains(changed.path) && rules.catalogue.exists(target) {
            return;
        }
        let attributes = self.effective(target, rules);
        if let Some(member) = self.members.get_mut(&target) {
            member.pending = true;
            self.met(target, attributes, true);
        }
    }

    /// Judges the members whose time for it has come.
    pub(super) fn evaluate(&mut self, rules: Rules<'_>) {
        let now = rules.catalogue.now.mono;
        if self.pace.evaluate.is_none_or(|due| due > now) {
            return;
        }
        self.pace.evaluate = None;
        let targets: Vec<Address> = self.addresses().collect();
        for target in targets {
            let attributes = self.effective(target, rules);
            self.evaluate_member(target, attributes, rules);
            self.evaluate_by(target, attributes);
        }
    }

    fn evaluate_member(&mut self, target: Address, attributes: Attributes, rules: Rules<'_>) {
        let now = rules.catalogue.now.mono;
        let Some(member) = self.members.get_mut(&target) else {
            return;
        };
        let due = member.evaluation(target, attributes);
        if due.is_some_and(|due| due <= now) && member.evaluate(target, attributes, rules) {
            let state = single_of(target).is_some_and(|(resource, _)| rules.is_state(resource));
            self.met(target, attributes, state);
        }
    }

    /// Attributes or defaults are others: they count at once.
    pub(super) fn refresh(&mut self, rules: Rules<'_>) {
        self.pace = Pace::default();
        let targets: Vec<Address> = self.addresses().collect();
        for target in targets {
            let attributes = self.effective(target, rules);
            let pmin = attributes.pmin.unwrap_or(0);
            // A pmax below pmin is ignored; 0 stands for none.
            let pmax = attributes.pmax.filter(|pmax| *pmax > 0 && *pmax >= pmin);
            self.pace.pmax = earlier(self.pace.pmax, pmax);
            if self
                .members
                .get(&target)
                .is_some_and(|member| member.pending)
            {
                self.pace.pending = earlier(self.pace.pending, Some(pmin));
            }
            self.evaluate_by(target, attributes);
        }
    }

    /// A notification has left, or the first answer.
    pub(super) fn sent(&mut self, sent: Sent<'_>, rules: Rules<'_>) {
        let now = rules.catalogue.now.mono;
        self.confirm = false;
        self.dirty.clear();
        self.in_flight = sent.reliability == Reliability::Confirmable && !sent.is_stored;
        self.seen = sent.revision;
        self.spoken = true;
        let told: BTreeMap<ResourcePath, &Content> = sent
            .nodes
            .iter()
            .map(|node| (node.path, &node.content))
            .collect();
        for (target, member) in &mut self.members {
            member.told = single_of(*target).and_then(|(resource, _)| {
                let content = told.get(&resource.path)?;
                restrict(content, target.path)
            });
            member.level = level(*target, member.told.as_ref());
            member.evaluated = now;
            member.touched = false;
        }
        self.done(now, rules);
    }

    /// What was to be told is stored instead.
    pub(super) fn stored(&mut self, sent: Sent<'_>, rules: Rules<'_>) {
        let spoken = self.spoken || !sent.nodes.is_empty();
        self.sent(sent, rules);
        self.spoken = spoken;
    }

    /// There is nothing to tell for now; the next change asks again.
    pub(super) fn skipped(&mut self, rules: Rules<'_>) {
        self.done(rules.catalogue.now.mono, rules);
    }

    /// A confirmable notification has ended. What was not acknowledged is to be told again.
    pub(super) fn delivered(&mut self, acknowledged: bool, rules: Rules<'_>) {
        let was_waited_for = std::mem::take(&mut self.in_flight);
        if acknowledged {
            self.last_confirmed = rules.catalogue.now.mono;
            if !self.is_orphan() {
                self.standing = Standing::Confirmed;
            }
            return;
        }
        if !was_waited_for {
            // It was stored, and is told again by the one who stored it.
            return;
        }
        // What was to be confirmed still is.
        self.confirm = true;
        self.owe(rules);
    }

    /// All of it is to be told as it is now.
    pub(super) fn owe(&mut self, rules: Rules<'_>) {
        self.members
            .values_mut()
            .for_each(|member| member.pending = true);
        self.refresh(rules);
    }

    fn done(&mut self, now: Duration, rules: Rules<'_>) {
        self.last_sent = now;
        self.queued = false;
        self.members
            .values_mut()
            .for_each(|member| member.pending = false);
        self.refresh(rules);
    }

    fn due_to_send(&self) -> Option<Duration> {
        let after = |period: Option<u32>| period.map(|period| self.last_sent + seconds(period));
        earlier(after(self.pace.pmax), after(self.pace.pending))
    }

    fn met(&mut self, target: Address, attributes: Attributes, state: bool) {
        self.confirm |= state;
        if let Some(member) = self.members.get(&target)
            && member.pending
        {
            let pmin = attributes.pmin.unwrap_or(0);
            self.pace.pending = earlier(self.pace.pending, Some(pmin));
        }
    }

    fn evaluate_by(&mut self, target: Address, attributes: Attributes) {
        if let Some(member) = self.members.get(&target) {
            self.pace.evaluate = earlier(self.pace.evaluate, member.evaluation(target, attributes));
        }
    }

    /// The attributes that hold for a member, with the defaults of the account.
    fn effective(&self, target: Address, rules: Rules<'_>) -> Attributes {
        let mut attributes = self.attributes_of(target, rules).sound();
        attributes.pmin = attributes.pmin.or(Some(rules.defaults.pmin));
        if self.members.len() > WIDE_COMPOSITE || is_above_instances(target) {
            attributes.pmin = attributes.pmin.max(Some(WIDE_PMIN));
        }
        attributes.pmax = attributes.pmax.or(Some(rules.defaults.pmax));
        attributes
    }

    /// What is attached or inherited, or came with the Observe instead. Those of an
    /// Observe-Composite stand instead of all that can be attached to an object; conditions on
    /// values still come from their resources (lwm2m/30, 5).
    fn attributes_of(&self, target: Address, rules: Rules<'_>) -> Attributes {
        let attached = || rules.attributes.inherited(target);
        match (self.subscription.attributes, &self.subscription.targets) {
            (None, _) => attached(),
            (Some(own), Targets::Single(_)) => own,
            (Some(own), Targets::Composite(_)) => own.with_conditions_of(attached()),
        }
    }
}

impl Member {
    const fn new(now: Duration) -> Self {
        Self {
            evaluated: now,
            level: None,
            pending: false,
            told: None,
            touched: false,
        }
    }

    /// When it is to be judged: not before epmin is over, where it has changed; and when epmax is
    /// over, changed or not, as some values of the core change without saying so. Devices are
    /// polled as configured: what a server wishes does not reach the bus (design, section 6).
    fn evaluation(&self, target: Address, attributes: Attributes) -> Option<Duration> {
        let after = |period: u32| self.evaluated + seconds(period);
        let touched = self.touched.then(|| after(attributes.epmin.unwrap_or(0)));
        let epmax = attributes.epmax.filter(|_| !is_wide(target));
        earlier(touched, epmax.filter(|epmax| *epmax > 0).map(after))
    }

    /// Judges the value now; true where there is something to tell.
    fn evaluate(&mut self, target: Address, attributes: Attributes, rules: Rules<'_>) -> bool {
        self.evaluated = rules.catalogue.now.mono;
        let touched = std::mem::take(&mut self.touched);
        if is_wide(target) {
            self.pending |= touched;
            return self.pending;
        }
        let current = rules.catalogue.latest(target).into_iter().next();
        let current = current.map(|node| node.content);
        let before = std::mem::replace(&mut self.level, level(target, current.as_ref()));
        let (told, current) = (self.told.as_ref(), current.as_ref());
        self.pending |= match (scalar(target, told), scalar(target, current)) {
            (Some(told), Some(current)) => attributes.are_met(Judged {
                current,
                level: before,
                told,
            }),
            (None, _) | (_, None) => told != current,
        };
        self.pending
    }
}

impl Rules<'_> {
    /// Whether the server has the right to read it: without, nothing is told (Core 1.2, 6.4.4).
    fn may_know(self, what: ResourceAddress) -> bool {
        let reader = Origin::Server(self.ssid);
        access::may_read(&reader, what.path.into(), self.catalogue.core)
    }

    /// Whether a change of the resource is one that was not told yet. What the core answers for
    /// says so only where it has changed.
    fn is_news(self, changed: ResourceAddress, seen: u64) -> bool {
        let core = self
            .catalogue
            .resource(changed)
            .is_some_and(|found| found.owner == Owner::Core);
        core || self.catalogue.tree.changed_since(changed, seen)
    }

    /// Whether servers that observe nothing of it are told by Send (design, section 6).
    pub(crate) fn is_alarm(self, resource: ResourceAddress) -> bool {
        let object = self.catalogue.definition(resource.path.object());
        object.is_some_and(|object| {
            let definition = object.resources.get(&resource.path.resource);
            definition.is_some_and(|definition| kind::is_alarm(object, definition))
        })
    }

    fn is_state(self, resource: ResourceAddress) -> bool {
        let object = self.catalogue.definition(resource.path.object());
        object.is_some_and(|object| {
            let definition = object.resources.get(&resource.path.resource);
            definition.is_some_and(|definition| kind::is_state(object, definition))
        })
    }
}

/// Whether it stands for several resources.
const fn is_wide(target: Address) -> bool {
    single_of(target).is_none()
}

const fn is_above_instances(target: Address) -> bool {
    matches!(target.path, Path::Root | Path::Object(_))
}

/// The only resource of a target, and which of its instances.
const fn single_of(target: Address) -> Option<(ResourceAddress, Option<ResourceInstanceId>)> {
    let (path, index) = match target.path {
        Path::Root | Path::Object(_) | Path::Instance(_) => return None,
        Path::Resource(path) => (path, None),
        Path::ResourceInstance(path, index) => (path, Some(index)),
    };
    let scope = target.scope;
    Some((ResourceAddress { scope, path }, index))
}

/// The part of what a resource holds that a path names.
fn restrict(content: &Content, path: Path) -> Option<Content> {
    let (Path::ResourceInstance(_, index), Content::Multiple(values)) = (path, content) else {
        return Some(content.clone());
    };
    let value = values.iter().find(|(id, _)| *id == index)?;
    Some(Content::Multiple(vec![value.clone()]))
}

/// The only value, where the target can have no other.
fn scalar(target: Address, content: Option<&Content>) -> Option<&Value> {
    match (content?, target.path) {
        (Content::Single(value), _) => Some(value),
        (Content::Multiple(values), Path::ResourceInstance(..)) => {
            values.first().map(|(_, value)| value)
        }
        (Content::Multiple(_), _) => None,
    }
}

fn level(target: Address, content: Option<&Content>) -> Option<bool> {
    match scalar(target, content) {
        Some(Value::Boolean(level)) => Some(*level),
        Some(
            Value::Corelnk(_)
            | Value::Decimal(_)
            | Value::Float(_)
            | Value::Integer(_)
            | Value::Objlnk(_)
            | Value::Opaque(_)
            | Value::String(_)
            | Value::Time(_)
            | Value::Unsigned(_),
        )
        | None => None,
    }
}

const fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds as u64)
}

/// The smaller of two, where there are two.
fn earlier<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
