//! One box: a client core with its tree, store, devices and clock. It can lose its power.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use lamplighter_lwm2m::{
    access::Grants,
    boundary::{Event, Kept, LinkId, LocalAnswer, Output, RequestId},
    client::{ClientConfig, Creation, DeviceDescription, ServerConfig, VersionChoice},
    reject::Reject,
    server::ServerState,
    tree::Tree,
};
use lamplighter_model::{
    BootId, Now, Path, ResourceAddress, Ssid, UnixTime, Value, object::Definitions,
};

use crate::{
    devices::Devices,
    mutant::Mutant,
    store::Store,
    subject::Subject,
    world::{BoxId, ServerId},
};

/// How a box is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    pub lifetime: Duration,
    pub servers: Vec<ServerId>,
    pub store_notifications: bool,
    pub version: VersionChoice,
    /// Servers are told that it listens for a while after each of its messages only.
    pub queue_mode: bool,
    pub mutant: Option<Mutant>,
    /// How long the disk takes for a commit.
    pub commit_takes: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(300),
            servers: vec![ServerId(0)],
            store_notifications: true,
            version: VersionChoice::Auto,
            queue_mode: false,
            mutant: None,
            commit_takes: Duration::from_millis(3),
        }
    }
}

/// A box with everything behind its network socket.
#[derive(Debug)]
pub struct Cabinet {
    pub(crate) id: BoxId,
    pub name: String,
    pub(crate) settings: Settings,
    pub(crate) subject: Option<Subject>,
    pub(crate) tree: Tree,
    pub store: Store,
    pub devices: Devices,
    /// Stored samples that power cuts took.
    pub cut_off: Vec<(Ssid, Kept)>,
    /// What was measured after a power cut had taken the observation, until it was observed again.
    pub unasked: Vec<(Ssid, Path, Value)>,
    boot: u32,
    booted: Duration,
    /// Starts of the process.
    pub(crate) run: u32,
    pub(crate) links: BTreeMap<LinkId, ServerId>,
    /// Those that stand.
    pub(crate) up: BTreeSet<LinkId>,
    /// The newest link to each server.
    pub(crate) newest: BTreeMap<ServerId, LinkId>,
    /// What people are told, with the time; bounded.
    pub events: VecDeque<(Duration, Event)>,
    pub answers: VecDeque<(RequestId, Result<LocalAnswer, Reject>)>,
    /// Outputs that are performed before the power fails, and for how long.
    pub(crate) fuse: Option<(u32, Duration)>,
    /// Timeouts that changed no deadline, one after the other.
    pub(crate) spins: u32,
}

/// Events and answers that are remembered.
const MEMORY: usize = 4096;

/// Date at the origin of the world's time.
const EPOCH: i64 = 1_790_000_000;

impl Cabinet {
    pub(crate) fn new(
        id: BoxId,
        settings: Settings,
        definitions: &Arc<Definitions>,
        now: Duration,
    ) -> Self {
        Self {
            id,
            name: name_of(id),
            settings,
            subject: None,
            tree: Tree::new(Arc::clone(definitions)),
            store: Store::default(),
            devices: Devices::default(),
            cut_off: Vec::new(),
            unasked: Vec::new(),
            boot: 1,
            booted: now,
            run: 0,
            links: BTreeMap::new(),
            up: BTreeSet::new(),
            newest: BTreeMap::new(),
            events: VecDeque::new(),
            answers: VecDeque::new(),
            fuse: None,
            spins: 0,
        }
    }

    /// Instance of object 1 that belongs to a server.
    pub fn account(&self, server: ServerId) -> Option<usize> {
        self.settings.servers.iter().position(|of| *of == server)
    }

    pub const fn is_on(&self) -> bool {
        self.subject.is_some()
    }

    /// The machine starts: its monotonic clock begins anew.
    pub(crate) const fn boot(&mut self, now: Duration) {
        self.boot += 1;
        self.booted = now;
    }

    /// The process starts.
    pub(crate) fn start(&mut self, definitions: &Arc<Definitions>, now: Duration) {
        self.run += 1;
        self.links.clear();
        self.newest.clear();
        self.up.clear();
        self.spins = 0;
        self.tree = Tree::new(Arc::clone(definitions));
        let config = self.config(definitions);
        let saved = self.store.load();
        let clock = self.clock(now);
        self.subject = Some(Subject::new(config, saved, self.settings.mutant, clock));
    }

    /// Wall time, to the millisecond, as the box knows it at this time of the world.
    pub fn unix(now: Duration) -> UnixTime {
        let since = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        UnixTime(EPOCH * 1000 + since)
    }

    pub(crate) fn clock(&self, now: Duration) -> Now {
        Now {
            boot: BootId(self.boot),
            mono: self.mono(now),
            unix: Some(Self::unix(now)),
        }
    }

    /// The devices have a new value, while the box is on.
    pub(crate) fn measured(&mut self, address: ResourceAddress, value: &Value, now: Duration) {
        let given = (now, address, value.clone());
        self.devices.given.push(given.clone());
        self.devices.fresh.push(given);
        let path = Path::Resource(address.path);
        for server in &self.settings.servers {
            let ssid = ssid_of(*server);
            if self.store.has_forgotten(ssid, path) {
                self.unasked.push((ssid, path, value.clone()));
            }
        }
    }

    pub(crate) fn timeout(&self, now: Duration) -> Option<(Duration, &'static str)> {
        let (mono, who) = self.subject.as_ref()?.timeout(self.mono(now))?;
        let at = self.booted + mono.saturating_sub(FIRST_MONO);
        Some((at, who))
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.subject.as_mut()?.poll()
    }

    /// Where the box believes to stand with this server; `None` while it is off.
    pub fn state(&self, server: ServerId) -> Option<ServerState> {
        let ssid = ssid_of(server);
        let mut states = self.subject.as_ref()?.states();
        states.find(|(of, _)| *of == ssid).map(|(_, state)| state)
    }

    pub(crate) fn note(&mut self, event: Event, now: Duration) {
        if self.events.len() >= MEMORY {
            self.events.pop_front();
        }
        self.events.push_back((now, event));
    }

    pub(crate) fn answered(&mut self, id: RequestId, answer: Result<LocalAnswer, Reject>) {
        if self.answers.len() >= MEMORY {
            self.answers.pop_front();
        }
        self.answers.push_back((id, answer));
    }

    fn mono(&self, now: Duration) -> Duration {
        now.saturating_sub(self.booted) + FIRST_MONO
    }

    fn config(&self, definitions: &Arc<Definitions>) -> ClientConfig {
        let servers = self.settings.servers.iter();
        ClientConfig {
            bootstrap: None,
            creation: Creation::default(),
            definitions: Arc::clone(definitions),
            device: DeviceDescription {
                manufacturer: "Lamplighter".to_owned(),
                ..DeviceDescription::default()
            },
            endpoint: self.name.clone(),
            seed: (self.id.0 as u64) << 32 | u64::from(self.run),
            servers: servers.map(|server| self.server(*server)).collect(),
        }
    }

    fn server(&self, server: ServerId) -> ServerConfig {
        let name = format!("server{}", server.0);
        let uri = format!("coap://{}", host_of(server))
            .parse()
            .expect("a host and no more");
        let settings = &self.settings;
        ServerConfig {
            lifetime: settings.lifetime,
            queue_mode: settings.queue_mode,
            // Rights are what `two_servers` is about.
            rights: Grants {
                owner: true,
                rights: BTreeMap::new(),
            },
            store_notifications: settings.store_notifications,
            version: settings.version,
            ..ServerConfig::new(&name, ssid_of(server), uri)
        }
    }
}

/// The machine has run for this long when the agent first starts.
const FIRST_MONO: Duration = Duration::from_secs(10);

fn name_of(id: BoxId) -> String {
    format!("box-{:04}", id.0)
}

/// The box of this name.
pub(crate) fn box_of(name: &str) -> Option<BoxId> {
    Some(BoxId(name.strip_prefix("box-")?.parse().ok()?))
}

/// The short id that boxes have for a server.
pub fn ssid_of(server: ServerId) -> Ssid {
    Ssid(101 + u16::try_from(server.0).expect("few servers"))
}

pub(crate) fn host_of(server: ServerId) -> String {
    format!("server{}.example", server.0)
}
