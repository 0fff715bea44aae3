//! What is measured for one server and cannot be told now is stored; what was told and may not have
//! arrived is told again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_coap::{NotificationId, Reliability, Token};
use lamplighter_model::{
    Address, Now, Path, ResourceAddress, ResourceInstanceId, ResourcePath, Sample, device::Origin,
};

use super::Server;
use crate::{
    access::{self, Right},
    boundary::{Event, Kept, Output},
    format::{Content, Node},
    observe::{Relation, Sent},
    outbox::{self, Loss, Outbox, Pace, Parked, Part},
    perform::{Shared, Turn},
    registration::Phase,
    saved::{Record, SavedParked, SavedQueue, SavedReading},
    tree::Owner,
};

use super::{refusal::Refused, sending::Flight};

/// The way to the server: what is under way, and how far it can be trusted.
#[derive(Debug)]
pub(super) struct Uplink {
    /// Samples out of the queue that are on their way.
    pub(super) flight: Option<Flight>,
    /// Nothing shows that the server can be reached: nothing but the registration is sent.
    pub(super) is_suspect: bool,
    /// Only what is urgent may leave.
    pub(super) is_frugal: bool,
    /// Observations of which something was neither told nor stored meanwhile.
    pub(super) owed: BTreeSet<Token>,
    /// Parts of which the server wants only so many kept.
    limits: BTreeMap<Part, Limit>,
    /// What this turn has lost, to be told to people.
    lost: Vec<(Loss, u64)>,
    /// Confirmable notifications under way.
    marks: BTreeMap<NotificationId, Mark>,
    pub(super) pace: Pace,
    /// What has no way to the server is not passed by before.
    pub(super) patient_until: Duration,
    patient_since: Duration,
    /// Messages of either side that had to be repeated, as far as they are judged.
    repeated: u64,
    /// The path loses messages here and there: until then everything is confirmed.
    loses_until: Option<Duration>,
    /// How far the queue was read is not what was saved last, since then.
    reading_changed: Option<Duration>,
    /// There may be a way for what was passed by.
    pub(super) reconsiders: bool,
    /// The registration request under way.
    request: Option<Mark>,
    /// Observations whose notifications were refused, until an Update shows why.
    pub(super) refused: Vec<Refused>,
    /// A Send was refused, and an Update was to show whether the server knows us at all.
    pub(super) has_asked: bool,
    /// What it observes it refuses by Send, in this registration: Leshan does so with instances that
    /// did not stand in Register.
    pub(super) refuses_observed: bool,
    /// Samples that are told one by one, since together they were refused.
    pub(super) singly: usize,
    /// When the first was told that is not confirmed.
    unconfirmed_since: Option<Duration>,
    /// What the server has cancelled, as far as the queue had come then.
    pub(super) cancelled: Vec<(Address, u64)>,
    pub(super) was_muted: bool,
    /// The server takes no Send in this registration.
    pub(super) takes_no_send: bool,
    /// Nothing out of the queue before.
    pub(super) not_before: Option<Duration>,
    /// It is the date that is waited for.
    pub(super) awaits_date: bool,
}

/// Attribute hqmax. It is counted in this run of the agent only: after a restart all that was
/// stored before is told.
#[derive(Clone, Copy, Debug, Default)]
struct Limit {
    most: u64,
    stored: u64,
}

/// What the answer to a message shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// All before this number were sent before it.
    told: u64,
    sent: Duration,
    /// Everything is confirmed one by one, so a repetition says nothing of what was told before.
    one_by_one: bool,
}

/// Samples that were told without any confirmation: the next notification asks for one.
const MAX_UNCONFIRMED: u64 = 256;
/// Cancelled paths that are remembered while something of them may be stored.
const MAX_CANCELLED: usize = 8192;
/// Confirmable notifications that may be on their way.
const MAX_CONFIRMABLE: usize = 16;
/// The same after this time, so that a path that has died in silence is noticed.
const CONFIRM_AFTER: Duration = Duration::from_secs(60);

/// How long everything is confirmed after a message of either side had to be repeated.
const CONFIRM_ALL: Duration = Duration::from_secs(600);

/// How long the first observations of a new registration are waited for.
const AWAIT_FIRST: Duration = Duration::from_secs(10);
/// How long the next is waited for after one.
pub(super) const AWAIT_NEXT: Duration = Duration::from_secs(3);
/// How long observations are waited for altogether.
const AWAIT_ALL: Duration = Duration::from_secs(30);
/// How often it is saved how far the queue was read.
const SAVE_READING: Duration = Duration::from_secs(10);

impl Default for Uplink {
    fn default() -> Self {
        Self {
            flight: None,
            is_suspect: true,
            is_frugal: false,
            owed: BTreeSet::new(),
            limits: BTreeMap::new(),
            lost: Vec::new(),
            marks: BTreeMap::new(),
            pace: Pace::default(),
            patient_until: Duration::ZERO,
            patient_since: Duration::ZERO,
            repeated: 0,
            loses_until: None,
            reading_changed: None,
            reconsiders: false,
            request: None,
            refused: Vec::new(),
            was_muted: true,
            cancelled: Vec::new(),
            has_asked: false,
            refuses_observed: false,
            singly: 0,
            takes_no_send: false,
            unconfirmed_since: None,
            not_before: None,
            awaits_date: false,
        }
    }
}

impl Server {
    pub(crate) fn restore_queue(&mut self, saved: SavedQueue) {
        self.outbox.restore(saved);
    }

    /// The store answers.
    pub(crate) fn fetched(&mut self, kept: Vec<Kept>) {
        self.outbox.fetched(kept);
    }

    /// The store had to drop the oldest.
    pub(crate) fn dropped(&mut self, first: u64, count: u64) {
        self.abandon_flight();
        // Of which parts they were is not known: rather tell too many than none.
        self.uplink.limits.clear();
        self.outbox.dropped(first, count);
    }

    /// Whether what cannot be told is stored (1/x/6).
    pub(super) fn is_storing(&self, turn: &Turn<'_>) -> bool {
        let account = turn.shared.core.account_of(self.config.ssid);
        account.is_some_and(|(_, account)| account.store_notifications)
    }

    /// So many were told without confirmation that one is asked for.
    pub(super) fn wants_confirmation(&self, now: Duration) -> bool {
        let since = self.uplink.unconfirmed_since;
        self.is_lossy(now)
            || self.outbox.unconfirmed() >= MAX_UNCONFIRMED
            || since.is_some_and(|since| since + CONFIRM_AFTER <= now)
    }

    fn is_lossy(&self, now: Duration) -> bool {
        self.uplink.loses_until.is_some_and(|until| now < until)
    }

    /// Where a message had to be repeated, others were lost that nobody repeats: what is told from
    /// now on is confirmed one by one, and what was told since the last answer is told again.
    pub(super) fn notice_loss(&mut self, now: Duration) {
        let counters = self.endpoint.counters();
        let repeated = counters.retransmissions + counters.duplicates;
        if repeated == self.uplink.repeated {
            return;
        }
        self.uplink.repeated = repeated;
        let was_lossy = self.is_lossy(now);
        self.uplink.loses_until = Some(now + CONFIRM_ALL);
        if !was_lossy {
            self.doubt();
        }
    }

    /// Stores what the observation is due to tell, which is as good as telling it.
    pub(super) fn keep(&mut self, token: Token, turn: &mut Turn<'_>) {
        let Some(relation) = self.observations.get(token) else {
            return;
        };
        let samples = self.samples_of(relation, turn);
        if samples.is_empty() && !relation.is_settled() {
            // Devices may take a while to say what they have after a restart.
            return self.skip(token, turn);
        }
        let targets = relation.subscription.targets.addresses().iter();
        let nodes: Vec<Node> = targets
            .flat_map(|target| turn.catalogue().latest(*target))
            .collect();
        // Another observation may have stored them already.
        let kept = self.outbox.queue(samples);
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        for part in kept.iter().map(outbox::part) {
            if let Some(most) = relation.most_kept(part, rules) {
                let limit = self.uplink.limits.entry(part).or_default();
                limit.most = u64::from(most).max(1);
                limit.stored += 1;
            }
        }
        self.hand_over(kept, turn.shared);
        let sent = Sent {
            is_stored: true,
            nodes: &nodes,
            reliability: Reliability::NonConfirmable,
            revision: turn.tree.revision(),
        };
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        self.observations.stored(token, sent, rules);
    }

    /// An alarm that the server does not observe goes by Send, as soon as it can.
    pub(super) fn keep_alarm(&mut self, part: Part, turn: &mut Turn<'_>) {
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        let (resource, index) = part;
        if !rules.is_alarm(resource)
            || self.observations.is_wanted(part)
            || !self.is_storing(turn)
            || !self.may_send(turn)
        {
            return;
        }
        let found = turn.catalogue().resource(resource);
        let is_core = found.is_some_and(|found| found.owner == Owner::Core);
        let mut samples = self.latest(resource, index, turn);
        // Devices tell again and again what they measure; the core only what has changed.
        samples.retain(|sample| is_core || !self.outbox.repeats(sample));
        self.send_alarm(&samples, turn);
        let kept = self.outbox.queue(samples);
        self.hand_over(kept, turn.shared);
    }

    /// Remembers what is told at this moment until it is confirmed.
    pub(super) fn remember(&mut self, samples: Vec<Sample>, turn: &mut Turn<'_>) {
        let kept = self.outbox.told(samples);
        if !kept.is_empty() {
            let now = turn.now.mono;
            self.uplink.unconfirmed_since.get_or_insert(now);
        }
        self.hand_over(kept, turn.shared);
    }

    fn hand_over(&self, kept: Vec<Kept>, shared: &mut Shared) {
        if !kept.is_empty() {
            shared.out.push(Output::Keep(self.config.ssid, kept));
        }
    }

    /// What the observation is due to tell: what has changed, or all that was measured again where
    /// the longest time has passed.
    pub(super) fn samples_of(&self, relation: &Relation, turn: &Turn<'_>) -> Vec<Sample> {
        let targets = relation.subscription.targets.addresses().iter();
        if !relation.is_settled() {
            return targets
                .flat_map(|target| self.below(*target, turn))
                .collect();
        }
        if relation.is_pending() {
            let dirty = relation.dirty().iter();
            return dirty
                .flat_map(|(resource, index)| self.latest(*resource, *index, turn))
                .collect();
        }
        targets
            .flat_map(|target| self.below(*target, turn))
            .filter(|sample| {
                sample.at.boot == turn.now.boot && sample.at.mono > relation.last_sent()
            })
            .collect()
    }

    /// The latest samples of all that lies below an address.
    pub(super) fn below(&self, target: Address, turn: &Turn<'_>) -> Vec<Sample> {
        let index = match target.path {
            Path::ResourceInstance(_, index) => Some(index),
            Path::Root | Path::Object(_) | Path::Instance(_) | Path::Resource(_) => None,
        };
        let nodes = turn.catalogue().latest(target).into_iter();
        let samples = nodes.flat_map(|node| {
            let resource = ResourceAddress {
                scope: target.scope,
                path: node.path,
            };
            self.latest(resource, index, turn)
        });
        samples.collect()
    }

    /// The latest sample of a resource instance, or of all where none is named; none where the
    /// server may not read it.
    fn latest(
        &self,
        resource: ResourceAddress,
        index: Option<ResourceInstanceId>,
        turn: &Turn<'_>,
    ) -> Vec<Sample> {
        let catalogue = turn.catalogue();
        let Some(found) = catalogue.resource(resource) else {
            return Vec::new();
        };
        if !found.operations.read || !self.may_read(resource.path, turn) {
            return Vec::new();
        }
        let samples: Vec<Sample> = match found.owner {
            Owner::Core => catalogue
                .content(resource)
                .map(|content| core_samples(resource, content, turn.now))
                .unwrap_or_default(),
            Owner::Device | Owner::Stored => {
                let known = turn.tree.resource(resource);
                let all = known.into_iter().flat_map(|known| known.samples().cloned());
                all.collect()
            }
        };
        samples
            .into_iter()
            .filter(|sample| index.is_none() || sample.index.is_none() || sample.index == index)
            .map(|sample| dated(sample, turn.now))
            .collect()
    }

    pub(super) fn may_read(&self, path: ResourcePath, turn: &Turn<'_>) -> bool {
        let (origin, instance) = (Origin::Server(self.config.ssid), path.instance);
        access::check(
            &origin,
            Right::Read,
            instance.object,
            instance.instance,
            &turn.shared.core,
        )
        .is_ok()
    }

    /// A confirmable notification leaves.
    pub(super) fn mark_notification(&mut self, id: NotificationId, now: Duration) {
        let mark = self.mark(now);
        self.uplink.marks.insert(id, mark);
    }

    /// A registration request leaves.
    pub(super) fn mark_request(&mut self, now: Duration) {
        self.uplink.request = Some(self.mark(now));
    }

    /// Whether a change can leave at once: nothing older waits.
    pub(super) fn is_live(&self) -> bool {
        self.registration.phase() == Phase::Registered
            && !self.uplink.is_suspect
            && self.outbox.is_drained()
            && !self.is_reconsidering()
    }

    /// What was passed by may have a way now, and goes before anything newer.
    pub(super) fn is_reconsidering(&self) -> bool {
        self.uplink.reconsiders && !self.outbox.parked().is_empty()
    }

    pub(super) fn mark(&self, now: Duration) -> Mark {
        Mark {
            told: self.outbox.mark(),
            sent: now,
            one_by_one: self.is_lossy(now),
        }
    }

    /// A server that refuses has perhaps forgotten us, and so not listened to what was told.
    pub(super) fn request_answered(&mut self, is_success: bool, turn: &mut Turn<'_>) {
        match self.uplink.request.take() {
            Some(mark) if is_success => self.arrived(mark, turn),
            Some(_) => self.doubt(),
            None => {}
        }
    }

    pub(super) fn notification_acknowledged(&mut self, id: NotificationId, turn: &mut Turn<'_>) {
        if let Some(mark) = self.uplink.marks.remove(&id) {
            self.arrived(mark, turn);
        }
    }

    pub(super) fn forget_mark(&mut self, id: NotificationId) {
        self.uplink.marks.remove(&id);
    }

    /// Nobody waits for the fate of what an observation was told.
    fn forget_notifications(&mut self, token: Token) {
        let told = self.notifications.iter();
        let ids: Vec<NotificationId> = told
            .filter(|(_, (of, _))| *of == token)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.notifications.remove(&id);
            self.forget_mark(id);
        }
    }

    /// Whether one more notification may wait for its confirmation. They leave one after another
    /// (NSTART), each with the value that it was made with.
    pub(super) fn has_room_to_confirm(&self) -> bool {
        self.uplink.marks.len() < MAX_CONFIRMABLE
    }

    /// A message was answered: what was sent before it has arrived too, as far as anybody can
    /// tell.
    pub(super) fn arrived(&mut self, mark: Mark, turn: &mut Turn<'_>) {
        if !self.measure(mark, turn.now) && !mark.one_by_one {
            return self.doubt();
        }
        self.confirm(mark.told, turn.shared);
    }

    /// All before this number have arrived, or nobody waits for them.
    pub(super) fn confirm(&mut self, mark: u64, shared: &mut Shared) {
        self.outbox.confirm(mark);
        if let Some(upto) = self.outbox.forget() {
            shared.out.push(Output::Forget(self.config.ssid, upto));
        }
        if self.outbox.unconfirmed() == 0 {
            self.uplink.unconfirmed_since = None;
        }
        let settled = self.outbox.settled();
        self.uplink.cancelled.retain(|(_, upto)| *upto > settled);
    }

    /// How long the answer took; false where the message had to be repeated. Then the path was
    /// broken for a while, and what went out without confirmation in that time may be lost.
    pub(super) fn measure(&mut self, mark: Mark, now: Now) -> bool {
        let took = now.mono.saturating_sub(mark.sent);
        // RFC 7252, 4.2: nothing is repeated earlier.
        let is_clean = took < self.endpoint.params().ack_timeout;
        if is_clean {
            self.uplink.pace.measured(took);
        }
        is_clean
    }

    /// Nobody knows whether the server can be reached, nor what it has heard lately.
    pub(super) fn distrust(&mut self, turn: &mut Turn<'_>) {
        self.uplink.is_suspect = true;
        self.uplink.request = None;
        self.withdraw_marked(turn);
        self.abandon_tellings(turn);
        self.abandon_flight();
        self.doubt();
    }

    /// Notifications on their way are too long for the path: they are made anew.
    pub(super) fn tell_again(&mut self, turn: &Turn<'_>) {
        self.withdraw_marked(turn);
        self.abandon_notified_flight();
        self.doubt();
    }

    fn withdraw_marked(&mut self, turn: &Turn<'_>) {
        for id in std::mem::take(&mut self.uplink.marks).into_keys() {
            self.endpoint.withdraw(id);
            if let Some((token, _)) = self.notifications.remove(&id) {
                self.delivered(token, false, turn);
            }
        }
    }

    /// What is not confirmed is to be told again.
    pub(super) fn doubt(&mut self) {
        if self.outbox.unconfirmed() > 0 {
            self.abandon_flight();
            self.outbox.doubt();
        }
    }

    /// Something was not answered: an Update shows whether the server is there.
    pub(super) fn lose_trust(&mut self, turn: &mut Turn<'_>) {
        if !self.uplink.is_suspect {
            self.distrust(turn);
            if !self.renew_session(turn) {
                self.registration.suspect(turn.now);
            }
        }
    }

    /// When something stored may leave that could not before.
    pub(super) fn uplink_timeout(&self) -> Option<Duration> {
        // An acknowledgement makes room, or the end of waiting for one. What is urgent is not paced.
        let is_paced = self.observations.has_waiting()
            && self.registration.phase() == Phase::Registered
            && !self.uplink.is_frugal
            && self.has_room_to_confirm();
        let paced = is_paced.then(|| self.uplink.pace.ready_at());
        self.replay_timeout().into_iter().chain(paced).min()
    }

    /// The server has answered a registration request.
    pub(super) fn trust(&mut self, anew: bool, turn: &mut Turn<'_>) {
        self.uplink.is_suspect = false;
        let refused = std::mem::take(&mut self.uplink.refused);
        if anew {
            self.uplink.takes_no_send = false;
            self.uplink.refuses_observed = false;
            self.uplink.not_before = None;
            self.await_observations(AWAIT_FIRST, turn.now.mono);
        } else {
            self.judge(refused, turn);
        }
    }

    /// Nothing is heard any more of what is under way to an observer.
    pub(super) fn forget_observer(&mut self, token: Token) {
        self.abandon_flight_to(token);
        self.endpoint.forget_observer(&token);
        self.forget_notifications(token);
    }

    /// The server may observe again what it wants: what has no way until then waits a little
    /// before it is passed by.
    pub(super) fn await_observations(&mut self, time: Duration, now: Duration) {
        let uplink = &mut self.uplink;
        if uplink.patient_until <= now {
            uplink.patient_since = now;
        }
        let latest = uplink.patient_since + AWAIT_ALL;
        uplink.patient_until = uplink.patient_until.max(now + time).min(latest);
        uplink.reconsiders = true;
    }

    /// The server does not want these any more: what is stored of them is discarded where nothing
    /// else asks for it.
    pub(super) fn cancel(&mut self, addresses: Vec<Address>, turn: &mut Turn<'_>) {
        let parts: Vec<Part> = self.outbox.parked().keys().copied().collect();
        let mut lost = 0;
        for part in parts {
            let is_cancelled = addresses.iter().any(|address| covers(*address, part));
            if is_cancelled && !self.observations.is_wanted(part) {
                lost += self.outbox.unpark_all(&part);
                self.reading_changed(turn.now.mono);
            }
        }
        self.lose(Loss::Cancelled, lost);
        if self.outbox.is_empty() {
            return;
        }
        note_cancelled(&mut self.uplink.cancelled, addresses, self.outbox.next());
        self.confirm(0, turn.shared);
    }

    /// Whether nobody waits for the sample since its observation was cancelled.
    pub(super) fn is_cancelled(&self, kept: &Kept) -> bool {
        let part = outbox::part(kept);
        let mut cancelled = self.uplink.cancelled.iter();
        cancelled.any(|(address, upto)| kept.number < *upto && covers(*address, part))
            && !self.observations.is_wanted(part)
    }

    /// Whether newer samples of the part are all that the server wants kept.
    pub(super) fn is_surplus(&self, kept: &Kept) -> bool {
        let limit = self.uplink.limits.get(&outbox::part(kept));
        limit.is_some_and(|limit| limit.stored > limit.most)
    }

    /// The first so many of those that wait are not stored any more.
    pub(super) fn uncount(&mut self, count: usize) {
        for kept in self.outbox.waiting().iter().take(count) {
            if let Some(limit) = self.uplink.limits.get_mut(&outbox::part(kept)) {
                limit.stored = limit.stored.saturating_sub(1);
            }
        }
        self.uplink.limits.retain(|_, limit| limit.stored > 0);
    }

    pub(super) fn reading_changed(&mut self, now: Duration) {
        self.uplink.reading_changed.get_or_insert(now);
    }

    /// Saves how far the queue was read; seldom, as it only spares repetitions after a restart.
    pub(super) fn journal_reading(&mut self, turn: &mut Turn<'_>) {
        let is_due = self
            .reading_timeout()
            .is_some_and(|due| due <= turn.now.mono);
        if !is_due {
            return;
        }
        self.uplink.reading_changed = None;
        let reading = self.saved_reading();
        let record = Record::Reading(self.config.ssid, reading);
        turn.shared.out.push(Output::Journal(record));
    }

    /// How far the queue was read, where something was passed by.
    pub(super) fn saved_reading(&self) -> Option<SavedReading> {
        let parked = self.outbox.parked();
        let saved = parked.iter().map(|(part, parked)| SavedParked {
            count: parked.count,
            first: parked.first,
            last: parked.last,
            path: self.view.wire(address_of(*part)).to_string(),
        });
        (!parked.is_empty()).then(|| SavedReading {
            cursor: self.outbox.settled(),
            parked: saved.collect(),
        })
    }

    pub(super) fn reading_timeout(&self) -> Option<Duration> {
        let since = self.uplink.reading_changed?;
        Some(if self.outbox.parked().is_empty() {
            since
        } else {
            since + SAVE_READING
        })
    }

    pub(crate) fn restore_reading(&mut self, saved: &SavedReading) {
        let parked = saved.parked.iter().filter_map(|saved| {
            let address = self.saved_address(&saved.path)?;
            let (path, index) = match address.path {
                Path::Resource(path) => (path, None),
                Path::ResourceInstance(path, index) => (path, Some(index)),
                Path::Root | Path::Object(_) | Path::Instance(_) => return None,
            };
            let resource = ResourceAddress {
                scope: address.scope,
                path,
            };
            let parked = Parked {
                count: saved.count,
                first: saved.first,
                last: saved.last,
            };
            Some(((resource, index), parked))
        });
        let parked = parked.collect();
        self.outbox.restore_position(saved.cursor, parked);
        self.uplink.reconsiders = true;
    }

    /// What was stored for the account before it was changed.
    pub(crate) fn take_over(&mut self, outbox: Outbox) {
        self.outbox = outbox;
        self.outbox.doubt();
    }

    /// The number that the next sample gets.
    pub(crate) const fn next_number(&self) -> u64 {
        self.outbox.next()
    }

    pub(crate) fn into_outbox(self) -> Outbox {
        self.outbox
    }

    /// Storing was switched off, or the account is removed.
    pub(super) fn discard_all(&mut self, shared: &mut Shared) {
        self.abandon_flight();
        if !self.outbox.parked().is_empty() {
            let record = Record::Reading(self.config.ssid, None);
            shared.out.push(Output::Journal(record));
        }
        self.uplink.limits.clear();
        if let Some((upto, lost)) = self.outbox.discard_all(Loss::Cancelled) {
            shared.out.push(Output::Forget(self.config.ssid, upto));
            self.uplink.lost.push((Loss::Cancelled, lost));
        }
    }

    pub(super) fn lose(&mut self, loss: Loss, samples: u64) {
        self.outbox.lose(loss, samples);
        match self.uplink.lost.last_mut() {
            Some((last, count)) if *last == loss => *count += samples,
            Some(_) | None => self.uplink.lost.push((loss, samples)),
        }
    }

    /// People are told of what this turn has lost.
    pub(super) fn tell_losses(&mut self, shared: &mut Shared) {
        for (loss, samples) in self.uplink.lost.drain(..) {
            if samples > 0 {
                shared.out.push(Output::Event(Event::Discarded {
                    ssid: self.config.ssid,
                    samples,
                    reason: loss.as_str(),
                }));
            }
        }
    }
}

/// A server that observes and cancels for ever, and takes nothing of what is stored, cannot fill
/// the memory: of too many the oldest are told all the same.
fn note_cancelled(known: &mut Vec<(Address, u64)>, addresses: Vec<Address>, upto: u64) {
    let new: BTreeSet<Address> = addresses.into_iter().take(MAX_CANCELLED).collect();
    known.retain(|(address, _)| !new.contains(address));
    known.extend(new.into_iter().map(|address| (address, upto)));
    let surplus = known.len().saturating_sub(MAX_CANCELLED);
    known.drain(..surplus);
}

const fn address_of((resource, index): Part) -> Address {
    let path = match index {
        None => Path::Resource(resource.path),
        Some(index) => Path::ResourceInstance(resource.path, index),
    };
    Address {
        scope: resource.scope,
        path,
    }
}

fn covers(address: Address, part: Part) -> bool {
    let part = address_of(part);
    address.scope == part.scope && address.path.contains(part.path)
}

/// The wall time of a sample is fixed when it is stored, so that a repetition tells the same.
pub(super) fn dated(sample: Sample, now: Now) -> Sample {
    Sample {
        source_time: sample.source_time.or_else(|| now.unix_of(sample.at)),
        ..sample
    }
}

/// Values that the core itself answers for, as measured now.
fn core_samples(address: ResourceAddress, content: Content, now: Now) -> Vec<Sample> {
    let sample = |index, value| Sample {
        index,
        ..Sample::good(address, value, now.stamp())
    };
    match content {
        Content::Single(value) => vec![sample(None, value)],
        Content::Multiple(values) => values
            .into_iter()
            .map(|(index, value)| sample(Some(index), value))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_model::InstancePath;

    use super::*;

    #[test]
    fn a_server_that_cancels_for_ever_does_not_fill_the_memory() {
        let address =
            |number: u16| Address::gateway(Path::Instance(InstancePath::new(3303, number)));
        let mut known = Vec::new();
        for upto in 1..100 {
            note_cancelled(&mut known, vec![address(1), address(1)], upto);
        }
        assert_eq!(known, [(address(1), 99)]);
        for number in 0..20_000 {
            note_cancelled(&mut known, vec![address(number)], 100);
        }
        assert_eq!(known.len(), MAX_CANCELLED);
        assert_eq!(known.last(), Some(&(address(19_999), 100)));
    }
}
