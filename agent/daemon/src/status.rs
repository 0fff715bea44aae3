//! The read model: what page, command line and bridges may know of the box.
//!
//! 1. The event loop tells it what happened (`on_*`), at a cost proportional to the change.
//! 2. Readers take copies of what they show; nobody holds the lock while printing or waiting.
//! 3. Watchers are told which values changed and fetch the newest when they are ready for it: a
//!    slow one sees fewer changes, never old ones, and costs no memory beyond one mark per value.

mod bearers;
mod catalogue;
mod metrics;
mod show;
pub mod time;
mod trend;
mod view;
mod watch;
mod wear;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lamplighter_lwm2m::{
    bootstrap::BootstrapStatus,
    boundary::{ClockTrust, Event},
    server::{Cause, Intrusions},
};
use lamplighter_model::{
    Now, ObjectId, Packed, Path, Quality, ResourceAddress, Sample, Ssid, Stamp, Value,
    device::{AdapterId, LinkState, Origin},
    object::Definitions,
};
use lamplighter_site::boundary::{Hand, PointKind, SiteEvent};

use catalogue::{Index, Key, lies_under};
use trend::Trends;
use watch::Watchers;

pub use catalogue::{Catalogue, DeviceEntry, GroupEntry, Named, PointEntry, ServerEntry};
pub use metrics::Counter;
pub use view::{
    BearerView, BootstrapView, ChoiceView, ClockView, DeviceView, GroupState, GroupView, KindView,
    PointView, ProblemView, ReadView, RuleView, ServerState, ServerView, StatusView, TrendView,
    json_of,
};
pub use watch::{Changes, TooManyWatchers, Watch};
pub use wear::{Wear, WearSource};

use crate::bearer::{Bearers, Board};

/// More values than any site has; a device that declares without end is not followed further.
const MAX_VALUES: usize = 100_000;
const MAX_PROBLEMS: usize = 256;
const LOCKS_UNKNOWN: &str = "maintenance locks";
/// Values printed while the loop waits: some ten microseconds.
const PORTION: usize = 64;
/// Of words that come from outside.
const MAX_TEXT: usize = 300;

/// Shared between the loop, which writes, and everybody else, who reads.
#[derive(Clone, Debug)]
pub struct Status(Arc<Mutex<Model>>);

#[derive(Debug)]
struct Model {
    index: Index,
    started: Stamp,
    bearers: Bearers,
    bootstrap: Option<BootstrapStatus>,
    clock: ClockTrust,
    demo: bool,
    servers: BTreeMap<Ssid, Server>,
    devices: BTreeMap<AdapterId, Device>,
    /// Of adapters that count their errors.
    wear: BTreeMap<AdapterId, WearSource>,
    groups_failed: BTreeMap<String, u16>,
    values: Packed<Key, Latest>,
    problems: BTreeMap<String, Problem>,
    counters: BTreeMap<Counter, u64>,
    trends: Trends,
    watchers: Watchers,
}

#[derive(Debug)]
struct Server {
    state: ServerState,
    since: Stamp,
    version: Option<&'static str>,
    last_error: Option<String>,
    /// Of the last error.
    cause: Option<Cause>,
    retry_at: Option<Duration>,
    /// Queue mode: it does not expect the box to hear it now.
    asleep: bool,
    /// Samples that it is still to be told, and those that it will not be told.
    queued: u64,
    dropped: u64,
    /// Datagrams that were not the server's.
    intrusions: Intrusions,
}

#[derive(Debug)]
struct Device {
    state: LinkState,
    since: Stamp,
    detail: String,
    samples: u64,
    changes: u64,
    /// Of its newest good value.
    last_good: Option<Stamp>,
}

#[derive(Clone, Debug)]
struct Latest {
    value: Value,
    at: Stamp,
    source_time: Option<lamplighter_model::UnixTime>,
    quality: Quality,
}

/// What is known of the way to a device.
#[derive(Clone, Debug)]
pub(crate) struct LinkFacts {
    pub(crate) id: AdapterId,
    pub(crate) name: String,
    pub(crate) adapter: String,
    pub(crate) state: LinkState,
    pub(crate) since: Stamp,
    pub(crate) last_good: Option<Stamp>,
    /// Why, in words.
    pub(crate) detail: String,
    /// Of every value that its points have.
    pub(crate) qualities: Vec<Quality>,
}

#[derive(Debug)]
struct Problem {
    text: String,
    since: Stamp,
}

/// What the event loop says.
impl Status {
    pub fn new(catalogue: Catalogue, now: Now) -> Self {
        Self(Arc::new(Mutex::new(Model::new(catalogue, now))))
    }

    /// The page offers what only `lamplighter demo` has.
    pub fn mark_demo(&self) {
        self.model().demo = true;
    }

    pub fn on_event(&self, event: &Event, now: Now) {
        self.model().on_event(event, now);
    }

    /// A server stands elsewhere now.
    pub fn on_server_state(&self, ssid: Ssid, state: ServerState, now: Now) {
        let mut model = self.model();
        let server = model.server(ssid, now);
        if server.state != state {
            server.become_state(state, now);
            model.watchers.status_changed();
        }
    }

    /// Who vouches for the date.
    pub fn on_clock(&self, trust: ClockTrust) {
        let mut model = self.model();
        model.clock = trust;
        model.watchers.status_changed();
    }

    pub fn on_bootstrap(&self, bootstrap: BootstrapStatus) {
        let mut model = self.model();
        let last_error = bootstrap.last_error.as_deref().map(bounded);
        model.bootstrap = Some(BootstrapStatus {
            last_error,
            ..bootstrap
        });
        model.watchers.status_changed();
    }

    /// Which servers there are: a bootstrap server may have changed that.
    pub fn on_servers(&self, servers: Vec<ServerEntry>, now: Now) {
        let mut model = self.model();
        let there = |ssid: &Ssid| servers.iter().any(|server| server.ssid == *ssid);
        model.servers.retain(|ssid, _| there(ssid));
        for server in &servers {
            model.server(server.ssid, now);
        }
        model.index.catalogue.servers = servers;
        model.watchers.status_changed();
    }

    /// Whether a server that was told of queue mode does not expect the box to hear it now.
    pub fn on_sleep(&self, ssid: Ssid, asleep: bool, now: Now) {
        let mut model = self.model();
        let server = model.server(ssid, now);
        if server.asleep != asleep {
            server.asleep = asleep;
            model.watchers.status_changed();
        }
    }

    /// How many samples are stored for a server, and how many it will never be told.
    pub fn on_queue(&self, ssid: Ssid, queued: u64, dropped: u64, now: Now) {
        let mut model = self.model();
        let server = model.server(ssid, now);
        (server.queued, server.dropped) = (queued, dropped);
    }

    pub fn on_site_event(&self, event: &SiteEvent, now: Now) {
        self.model().on_site_event(event, now);
    }

    /// The way to a device changed, with the reason in words. Gives the name of the device where the
    /// state is another than before, not only the words.
    pub fn on_link(
        &self,
        device: AdapterId,
        state: LinkState,
        detail: &str,
        now: Now,
    ) -> Option<String> {
        let mut model = self.model();
        let changed = model.on_link(device, state, detail, now);
        changed.then(|| model.device_name(device))
    }

    /// How a device is called.
    pub fn device_name(&self, device: AdapterId) -> String {
        self.model().device_name(device)
    }

    /// Where the errors of each adapter are counted.
    pub fn ask_wear_of(&self, sources: BTreeMap<AdapterId, WearSource>) {
        self.model().wear = sources;
    }

    /// Every `DeviceEvent::Changed` that the core is given.
    pub fn on_samples(&self, samples: &[Sample]) {
        self.model().on_samples(samples);
    }

    /// Resources that do not exist any more.
    pub fn on_removed(&self, removed: &[ResourceAddress]) {
        self.model()
            .values
            .retain(|(address, _), _| !removed.contains(address));
    }

    /// States a problem until it is [`Status::solved`]; `about` names its subject and is unique.
    pub fn problem(&self, about: &str, text: &str, now: Now) {
        self.model().problem(about, text, now);
    }

    pub fn solved(&self, about: &str) {
        self.model().solved(about);
    }

    /// Whether somebody works at the box: there are maintenance locks, or may be.
    pub(crate) fn is_locked(&self) -> bool {
        let model = self.model();
        let mut problems = model.problems.keys();
        problems.any(|about| about.starts_with("lock ") || about == LOCKS_UNKNOWN)
    }

    /// Changes what is known of the bearers; whoever follows is told where `change` says so.
    pub(crate) fn change_bearers(&self, change: impl FnOnce(&mut Bearers) -> bool) {
        let mut model = self.model();
        if change(&mut model.bearers) {
            model.watchers.status_changed();
        }
    }

    pub fn count(&self, counter: Counter, by: u64) {
        let mut model = self.model();
        let total = model.counters.entry(counter).or_default();
        *total = total.saturating_add(by);
    }
}

/// What readers ask.
impl Status {
    pub fn view(&self, now: Now) -> StatusView {
        self.model().view(now)
    }

    /// The same read model, for those who know bearers.
    pub fn board(&self) -> Board {
        Board::of(self.clone())
    }

    pub(crate) fn bearers<T>(&self, read: impl FnOnce(&Bearers) -> T) -> T {
        read(&self.model().bearers)
    }

    pub fn bearer_views(&self, now: Now) -> Vec<BearerView> {
        self.model().bearer_views(now)
    }

    pub fn devices(&self, now: Now) -> Vec<DeviceView> {
        self.model().device_views(now)
    }

    /// The way to each device.
    pub(crate) fn links(&self, now: Now) -> Vec<LinkFacts> {
        self.model().link_facts(now)
    }

    pub fn servers(&self, now: Now) -> Vec<ServerView> {
        self.model().server_views(now)
    }

    /// All configured points, in the order of their addresses, read or not.
    pub fn points(&self, now: Now) -> Vec<ReadView> {
        let keys: Vec<Key> = self
            .model()
            .index
            .by_address
            .keys()
            .map(|address| (*address, None))
            .collect();
        self.read_views(&keys, now)
    }

    /// The last known values under a path.
    pub fn last_known(&self, path: Path, now: Now) -> Vec<ReadView> {
        let known: Vec<Key> = self
            .model()
            .values
            .keys()
            .copied()
            .filter(|key| lies_under(path, *key))
            .collect();
        self.read_views(&known, now)
    }

    /// A value as the core answered it, with the names that people know it by.
    pub fn describe(&self, sample: &Sample, now: Now) -> ReadView {
        let latest = Latest::of(sample);
        self.model()
            .describe((sample.address, sample.index), Some(&latest), now)
    }

    /// Whether there are points under a path.
    pub fn has_points(&self, path: Path) -> bool {
        let model = self.model();
        let mut points = model.index.by_address.keys();
        points.any(|address| {
            let is_inside = |resource: &Path| match *resource {
                Path::ResourceInstance(of, _) => of == address.path,
                Path::Root | Path::Object(_) | Path::Instance(_) | Path::Resource(_) => false,
            };
            lies_under(path, (*address, None)) || is_inside(&path)
        })
    }

    /// Whether a device tells something of an object.
    pub fn tells(&self, device: AdapterId, object: ObjectId) -> bool {
        let model = self.model();
        let mut points = model.index.points_of(device).iter();
        points.any(|address| address.path.object() == object)
    }

    pub fn trend(&self, address: ResourceAddress, now: Now) -> Option<TrendView> {
        let values = self.model().trends.values(address, now)?;
        Some(TrendView {
            path: address.path.to_string(),
            values,
        })
    }

    /// What a name of the configuration stands for.
    pub fn named(&self, name: &str) -> Option<Named> {
        self.model().index.named(name)
    }

    pub fn definitions(&self) -> Arc<Definitions> {
        Arc::clone(&self.model().index.catalogue.definitions)
    }

    /// Prometheus text.
    pub fn metrics(&self, now: Now) -> String {
        let points = self.points(now);
        let (view, counters) = {
            let model = self.model();
            (model.view(now), model.counters.clone())
        };
        metrics::print(&view, &points, &counters)
    }

    /// Follows the values under `paths`; dropping the [`Watch`] ends it.
    pub fn watch(&self, paths: Vec<Path>) -> Result<Watch, TooManyWatchers> {
        let mut model = self.model();
        let marks = model.watchers.add(paths)?;
        let present: Vec<Key> = model.values.keys().copied().collect();
        marks.mark(&present);
        Ok(Watch::new(self.clone(), marks))
    }

    /// What is shown of each, in small portions: the loop never waits for a long list.
    fn read_views(&self, keys: &[Key], now: Now) -> Vec<ReadView> {
        let portion = |keys: &[Key]| -> Vec<ReadView> {
            let model = self.model();
            keys.iter().map(|key| model.read_view(*key, now)).collect()
        };
        keys.chunks(PORTION).flat_map(portion).collect()
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        // A panic aborts the release build; in tests the model of a failed test may be looked at.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Model {
    fn new(catalogue: Catalogue, now: Now) -> Self {
        let since = now.stamp();
        let servers = catalogue
            .servers
            .iter()
            .map(|server| (server.ssid, Server::new(since)))
            .collect();
        let devices = catalogue
            .devices
            .iter()
            .map(|device| (device.id, Device::new(since)))
            .collect();
        Self {
            trends: Trends::of(&catalogue),
            index: Index::new(catalogue),
            started: since,
            bearers: Bearers::default(),
            bootstrap: None,
            clock: ClockTrust::default(),
            demo: false,
            servers,
            devices,
            wear: BTreeMap::new(),
            groups_failed: BTreeMap::new(),
            values: Packed::new(),
            problems: BTreeMap::new(),
            counters: BTreeMap::new(),
            watchers: Watchers::default(),
        }
    }

    fn on_event(&mut self, event: &Event, now: Now) {
        match event {
            Event::Registered { ssid, version } => {
                self.count(Counter::Registrations);
                let server = self.server(*ssid, now);
                server.version = Some(version);
                server.become_state(ServerState::Registered, now);
            }
            Event::Updated(ssid) => {
                self.count(Counter::Updates);
                self.server(*ssid, now)
                    .become_state(ServerState::Registered, now);
            }
            Event::RegistrationFailed {
                cause,
                ssid,
                reason,
                retry_in,
            } => {
                self.count(Counter::RegistrationFailures);
                let server = self.server(*ssid, now);
                server.become_state(ServerState::Offline, now);
                server.last_error = Some(bounded(reason));
                server.cause = Some(*cause);
                server.retry_at = Some(now.mono.saturating_add(*retry_in));
            }
            Event::Answered(ssid) => self.server(*ssid, now).last_error = None,
            Event::Unanswered { ssid, reason } => {
                let server = self.server(*ssid, now);
                server.last_error = Some(bounded(reason));
                server.cause = Some(Cause::Silence);
            }
            Event::Deregistered(ssid) => self
                .server(*ssid, now)
                .become_state(ServerState::Disabled, now),
            Event::Intruded {
                ssid, intrusions, ..
            } => self.server(*ssid, now).intrusions = *intrusions,
            Event::Obeyed { .. } => self.count(Counter::Obeyed),
            Event::Refused { .. } => self.count(Counter::Refused),
            Event::TakenBack(path) => {
                let what = "what a server changed was undone: no server was reached since";
                self.problem(&format!("rights on {path}"), what, now);
            }
            Event::Bootstrap(_)
            | Event::BootstrapWanted(_)
            | Event::Discarded { .. }
            | Event::ListShortened(_)
            | Event::Stopped => {}
        }
        self.watchers.status_changed();
    }

    fn on_site_event(&mut self, event: &SiteEvent, now: Now) {
        match event {
            SiteEvent::Alarm {
                name,
                alarm,
                active,
            } => {
                let about = format!("alarm {name} ({alarm})");
                if *active {
                    self.problem(&about, &alarm.to_string(), now);
                } else {
                    self.solved(&about);
                }
            }
            SiteEvent::Armed { name, .. } => {
                let text = "a command waits for standstill";
                self.problem(&format!("armed {name}"), text, now);
            }
            SiteEvent::Disarmed { name, .. } => self.solved(&format!("armed {name}")),
            SiteEvent::Failed { name, reason } => {
                self.problem(&format!("output {name}"), reason, now)
            }
            SiteEvent::Outdated { name, reason } => {
                self.problem(&format!("kept {name}"), reason, now);
            }
            SiteEvent::PartlyApplied {
                applied,
                failed,
                reason,
            } => {
                let applied = applied.join(", ");
                self.problem(
                    &format!("output {failed}"),
                    &format!("{reason}; written before: {applied}"),
                    now,
                );
            }
            SiteEvent::HandSwitch { group, position } => {
                let about = format!("hand switch {group}");
                match position {
                    Hand::Auto => self.solved(&about),
                    Hand::Off | Hand::On => self.problem(&about, &position.to_string(), now),
                }
            }
            SiteEvent::Locked { name, by, .. } => {
                let by = match by {
                    Origin::Local(user) => format!(" by {user}"),
                    Origin::Mqtt | Origin::Rule(_) | Origin::Server(_) => String::new(),
                };
                let text = format!("locked for maintenance{by}");
                self.problem(&format!("lock {name}"), &text, now);
            }
            SiteEvent::LocksUnknown { over: true } => self.solved(LOCKS_UNKNOWN),
            SiteEvent::LocksUnknown { over: false } => {
                let text = "what was locked cannot be read any more: lock again what is worked on; \
                            `lamplighter unlock` where nothing is";
                self.problem(LOCKS_UNKNOWN, text, now);
            }
            SiteEvent::Unlocked { name, .. } => self.solved(&format!("lock {name}")),
            SiteEvent::GroupDone { name, failed, .. } => {
                self.groups_failed.insert(bounded(name), *failed);
                self.watchers.status_changed();
            }
            SiteEvent::Rule { name, trouble } => match trouble {
                Some(trouble) => self.problem(&format!("rule {name}"), trouble, now),
                None => {
                    self.problems.remove(&format!("rule {name}"));
                    self.watchers.status_changed();
                }
            },
            SiteEvent::Switched { name, .. } => {
                self.problems.remove(&format!("output {name}"));
                self.count(Counter::Switched);
                self.watchers.status_changed();
            }
        }
    }

    /// As the configuration names it.
    fn device_name(&self, id: AdapterId) -> String {
        let mut names = self.index.device_ids.iter();
        names
            .find(|(_, other)| **other == id)
            .map_or_else(|| format!("adapter {}", id.0), |(name, _)| name.clone())
    }

    /// True where the state is another than before.
    fn on_link(&mut self, id: AdapterId, state: LinkState, detail: &str, now: Now) -> bool {
        let device = self
            .devices
            .entry(id)
            .or_insert_with(|| Device::new(now.stamp()));
        let is_changed = device.state != state;
        if is_changed {
            device.state = state;
            device.since = now.stamp();
            device.changes = device.changes.saturating_add(1);
        }
        device.detail = bounded(detail);
        // Quality follows the link, so its values look different now.
        let keys: Vec<Key> = self
            .index
            .points_of(id)
            .iter()
            .map(|address| (*address, None))
            .collect();
        self.watchers.values_changed(&keys);
        self.watchers.status_changed();
        is_changed
    }

    fn on_samples(&mut self, samples: &[Sample]) {
        let mut changed = Vec::with_capacity(samples.len());
        for sample in samples {
            let key = (sample.address, sample.index);
            if self.values.len() >= MAX_VALUES && !self.values.contains_key(&key) {
                continue;
            }
            self.values.insert(key, Latest::of(sample));
            self.trends.record(sample);
            self.count_sample(sample);
            changed.push(key);
            changed.extend(
                self.index
                    .outputs
                    .get(&sample.address)
                    .map(|output| (*output, None)),
            );
        }
        self.watchers.values_changed(&changed);
    }

    fn count_sample(&mut self, sample: &Sample) {
        self.count(Counter::Samples);
        let id = self
            .index
            .by_address
            .get(&sample.address)
            .and_then(|point| self.index.device_ids.get(&*point.device));
        if let Some(device) = id.and_then(|id| self.devices.get_mut(id)) {
            device.samples = device.samples.saturating_add(1);
            if sample.quality == Quality::Good {
                device.last_good = Some(sample.at);
            }
        }
    }

    fn problem(&mut self, about: &str, text: &str, now: Now) {
        let text = bounded(text);
        if let Some(problem) = self.problems.get_mut(about) {
            problem.text = text;
        } else if self.problems.len() < MAX_PROBLEMS {
            self.problems.insert(
                about.to_owned(),
                Problem {
                    text,
                    since: now.stamp(),
                },
            );
        }
        self.watchers.status_changed();
    }

    fn solved(&mut self, about: &str) {
        if self.problems.remove(about).is_some() {
            self.watchers.status_changed();
        }
    }

    fn count(&mut self, counter: Counter) {
        let total = self.counters.entry(counter).or_default();
        *total = total.saturating_add(1);
    }

    fn server(&mut self, ssid: Ssid, now: Now) -> &mut Server {
        self.servers
            .entry(ssid)
            .or_insert_with(|| Server::new(now.stamp()))
    }
}

impl Server {
    fn new(since: Stamp) -> Self {
        Self {
            state: ServerState::Registering,
            since,
            version: None,
            last_error: None,
            cause: None,
            retry_at: None,
            asleep: false,
            queued: 0,
            dropped: 0,
            intrusions: Intrusions::default(),
        }
    }

    fn become_state(&mut self, state: ServerState, now: Now) {
        if self.state != state {
            self.state = state;
            self.since = now.stamp();
        }
        self.retry_at = None;
        if state == ServerState::Registered {
            self.last_error = None;
        }
    }
}

impl Device {
    fn new(since: Stamp) -> Self {
        Self {
            state: LinkState::Starting,
            since,
            detail: String::new(),
            samples: 0,
            last_good: None,
            changes: 0,
        }
    }
}

impl Latest {
    fn of(sample: &Sample) -> Self {
        Self {
            value: sample.value.clone(),
            at: sample.at,
            source_time: sample.source_time,
            quality: sample.quality,
        }
    }
}

/// Words from outside, cut to what a page can show.
fn bounded(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
