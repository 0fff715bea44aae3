//! Looks at NetworkManager for all bearers, and has it connect those that it shall.

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use zbus::{ObjectPath, OwnedObjectPath, OwnedVariant, Variant};

use super::{
    Bearers, Interfaces, Look, News, Source,
    bag::Bag,
    bus::{Bus, CallError, Service},
    keep_looking,
    network::{self, Device},
    tried::Tried,
};
use crate::{
    bearer::{BearerId, Meta},
    config::{Apn, Bearer, Manage},
};

const NETWORK_MANAGER: Service = Service {
    name: "org.freedesktop.NetworkManager",
    root: "/org/freedesktop",
};
const PROFILE: &str = "org.freedesktop.NetworkManager.Settings.Connection";

const MANAGER: &str = "/org/freedesktop/NetworkManager";

/// How long a device may be idle: NetworkManager connects by itself what it is told to. Then after
/// each try, and for all that follow.
const TRIES: [Duration; 5] = [
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
    Duration::from_secs(600),
];
/// How long a device may be on its way until it is told where it hangs.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often, where nothing is said.
const PERIOD: Duration = Duration::from_secs(60);
/// Between two looks: it speaks of every access point that it sees.
const PACE: Duration = Duration::from_millis(250);
const FAILURES_MAX: u32 = 3;
const CALL: Duration = Duration::from_secs(5);

/// Settings of a profile by their names.
type Settings = BTreeMap<String, BTreeMap<String, OwnedVariant>>;

#[derive(Debug)]
pub(super) struct Networks {
    bearers: Vec<Wire>,
    interfaces: watch::Receiver<Interfaces>,
    out: mpsc::Sender<News>,
    devices: Vec<Device>,
    failures: u32,
    told: BTreeMap<BearerId, Meta>,
    left: Tried,
}

/// A bearer.
#[derive(Debug)]
pub(super) struct Wire {
    id: BearerId,
    pub(super) bearer: Bearer,
    /// Since when it is idle, or was last tried.
    idle: Option<Instant>,
    /// Since when it is on its way, again and again.
    moving: Option<Instant>,
    tries: usize,
    trouble: Option<String>,
}

impl Networks {
    pub(super) fn new(
        bearers: &Bearers,
        interfaces: watch::Receiver<Interfaces>,
        out: mpsc::Sender<News>,
        left: Tried,
    ) -> Self {
        let wire = |(id, bearer): &(BearerId, Bearer)| {
            let before = left.take_wire(*id, bearer);
            before.unwrap_or_else(|| Wire {
                id: *id,
                bearer: bearer.clone(),
                idle: None,
                moving: None,
                tries: 0,
                trouble: None,
            })
        };
        Self {
            bearers: bearers.iter().map(wire).collect(),
            interfaces,
            out,
            devices: Vec::new(),
            failures: 0,
            told: BTreeMap::new(),
            left,
        }
    }

    pub(super) async fn run(self, address: Option<String>) {
        keep_looking(self, address).await;
    }

    async fn look(&mut self, bus: &Bus) {
        match devices(bus).await {
            Ok(devices) => {
                self.failures = 0;
                self.devices = devices;
            }
            Err(error) => {
                self.failures += 1;
                tracing::debug!(%error, "NetworkManager does not answer");
                if self.failures >= FAILURES_MAX {
                    self.devices.clear();
                }
            }
        }
        self.note();
        self.act(bus).await;
        self.tell().await;
    }

    fn note(&mut self) {
        let now = Instant::now();
        for at in 0..self.bearers.len() {
            let device = self.bearers.get(at).and_then(|wire| self.device(wire.id));
            let is_settled = device.is_none_or(Device::is_settled);
            let is_moving = device.is_some_and(|device| device.on_its_way().is_some());
            if let Some(wire) = self.bearers.get_mut(at) {
                wire.note(is_moving, is_settled, now);
            }
        }
    }

    async fn tell(&mut self) {
        let now = Instant::now();
        for wire in &self.bearers {
            let id = wire.id;
            let device = self.device(id);
            let mut meta = device.map(Device::meta).unwrap_or_default();
            let hangs = device.filter(|_| wire.hangs(now));
            meta.trouble = meta
                .trouble
                .or_else(|| wire.trouble.clone())
                .or_else(|| hangs?.on_its_way().map(str::to_owned));
            if self.told.get(&id) == Some(&meta) {
                continue;
            }
            self.told.insert(id, meta.clone());
            // Who does not listen any more is about to end us.
            let _ = self.out.send(News::Meta(id, Source::Network, meta)).await;
        }
    }

    fn device(&self, id: BearerId) -> Option<&Device> {
        let interfaces = self.interfaces.borrow();
        let name = interfaces.get(&id)?;
        self.devices.iter().find(|device| device.interface == *name)
    }

    /// Connects what has been idle for too long, and sets access points.
    async fn act(&mut self, bus: &Bus) {
        let now = Instant::now();
        for at in 0..self.bearers.len() {
            let Some(wire) = self.bearers.get(at).filter(|wire| wire.is_ours()) else {
                continue;
            };
            let Some(device) = self.device(wire.id).cloned() else {
                continue;
            };
            if let Some(wire) = self.bearers.get_mut(at) {
                wire.act(bus, &device, now).await;
            }
        }
    }

    /// When a device has been idle, or on its way, for too long.
    fn due(&self, looked: Instant) -> Instant {
        let due = self.bearers.iter();
        let due = due.flat_map(|wire| [wire.due(), wire.hangs_at()]).flatten();
        due.filter(|due| *due > looked)
            .fold(looked + PERIOD, Instant::min)
    }
}

/// A reload takes nothing back of what was tried.
impl Drop for Networks {
    fn drop(&mut self) {
        self.left.leave_wires(std::mem::take(&mut self.bearers));
    }
}

impl Wire {
    /// The same bearer after a reload.
    pub(super) fn renumbered(self, id: BearerId) -> Self {
        Self { id, ..self }
    }

    /// NetworkManager is to connect it.
    fn is_ours(&self) -> bool {
        self.bearer.manage == Manage::NetworkManager
    }

    /// What fails begins anew: between two tries it is disconnected for a moment.
    const fn note(&mut self, is_moving: bool, is_settled: bool, now: Instant) {
        if is_settled {
            self.moving = None;
        } else if is_moving && self.moving.is_none() {
            self.moving = Some(now);
        }
    }

    fn hangs(&self, now: Instant) -> bool {
        self.hangs_at().is_some_and(|at| at <= now)
    }

    fn hangs_at(&self) -> Option<Instant> {
        Some(self.moving? + PATIENCE)
    }

    async fn act(&mut self, bus: &Bus, device: &Device, now: Instant) {
        let wanted = self.bearer.apn.as_ref().filter(|_| device.is_modem);
        let is_elsewhere = wanted.is_some_and(|apn| device.apn.as_ref() != Some(&apn.name));
        if !device.is_idle() && !is_elsewhere {
            self.idle = None;
            self.trouble = None;
            self.tries = if device.is_activated() { 0 } else { self.tries };
            return;
        }
        self.idle.get_or_insert(now);
        if self.due().is_some_and(|due| due > now) {
            return;
        }
        let Some(profile) = device.usable() else {
            self.trouble = Some("NetworkManager has no connection profile for it".to_owned());
            return;
        };
        self.idle = Some(now);
        self.tries = self.tries.saturating_add(1);
        let done = async {
            if let Some(apn) = wanted.filter(|_| is_elsewhere) {
                set_apn(bus, profile, apn).await?;
            }
            activate(bus, profile, &device.path).await
        };
        let why = done.await.err();
        self.trouble = why.map(|why| format!("NetworkManager does not connect it: {why}"));
    }

    fn due(&self) -> Option<Instant> {
        let pause = TRIES.get(self.tries).or(TRIES.last())?;
        Some(self.idle? + *pause)
    }
}

async fn activate(bus: &Bus, profile: &str, device: &str) -> Result<(), CallError> {
    let odd = |_| CallError::Refused("a path that is none".to_owned());
    let arguments = (
        ObjectPath::try_from(profile).map_err(odd)?,
        ObjectPath::try_from(device).map_err(odd)?,
        ObjectPath::try_from("/").map_err(odd)?,
    );
    let (to, method) = (NETWORK_MANAGER, "ActivateConnection");
    let call = bus.call(to, MANAGER, NETWORK_MANAGER.name, method, &arguments, CALL);
    let _active: OwnedObjectPath = call.await?;
    Ok(())
}

/// Writes the profile anew, with the secrets that it has: what is not there would be forgotten.
async fn set_apn(bus: &Bus, profile: &str, apn: &Apn) -> Result<(), CallError> {
    let to = NETWORK_MANAGER;
    let get = bus.call(to, profile, PROFILE, "GetSettings", &(), CALL);
    let mut settings: Settings = get.await?;
    let secrets = bus.call(to, profile, PROFILE, "GetSecrets", &"gsm", CALL);
    // A profile without any answers with an error.
    let secrets: Settings = secrets.await.unwrap_or_default();
    for (name, values) in secrets {
        settings.entry(name).or_default().extend(values);
    }
    let gsm = settings.entry("gsm".to_owned()).or_default();
    let password = apn.password.as_ref();
    let password = password.and_then(|secret| str::from_utf8(secret.bytes()).ok());
    let wanted = [
        ("apn", Some(apn.name.as_str())),
        ("username", apn.user.as_deref()),
        ("password", password),
    ];
    for (name, value) in wanted {
        let value = value.and_then(|value| OwnedVariant::try_from(Variant::from(value)).ok());
        gsm.extend(value.map(|value| (name.to_owned(), value)));
    }
    bus.call(to, profile, PROFILE, "Update", &settings, CALL)
        .await
}

impl Look for Networks {
    async fn session(&mut self, bus: &Bus) {
        let Ok(pokes) = bus.follow(NETWORK_MANAGER).await else {
            return;
        };
        while !bus.is_closed() {
            self.look(bus).await;
            let looked = Instant::now();
            let due = self.due(looked);
            tokio::select! {
                () = pokes.next() => {}
                Ok(()) = self.interfaces.changed() => {}
                () = sleep_until(due) => {}
            }
            sleep_until(looked + PACE).await;
        }
    }

    async fn lost(&mut self) {
        self.devices.clear();
        self.tell().await;
    }
}

async fn devices(bus: &Bus) -> Result<Vec<Device>, CallError> {
    if !bus.has(NETWORK_MANAGER).await {
        return Ok(Vec::new());
    }
    let objects = bus.objects(NETWORK_MANAGER).await?;
    let mut devices = network::devices(&objects);
    for device in devices.iter_mut().filter(|device| device.is_modem) {
        // One that is gone by now has no access point either.
        if let Some(path) = device.usable() {
            let gsm = settings(bus, path).await.unwrap_or_default();
            device.apn = gsm.get("gsm").and_then(|gsm| gsm.text("apn"));
        }
    }
    Ok(devices)
}

/// Of a profile; without its secrets.
async fn settings(bus: &Bus, path: &str) -> Result<BTreeMap<String, Bag>, CallError> {
    let call = bus.call(NETWORK_MANAGER, path, PROFILE, "GetSettings", &(), CALL);
    let settings: Settings = call.await?;
    let named = settings.into_iter();
    Ok(named
        .map(|(name, values)| (name, Bag::new(values)))
        .collect())
}
