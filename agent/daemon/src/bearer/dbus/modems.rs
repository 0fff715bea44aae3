//! Looks at ModemManager for the cellular bearers, and brings those to the network that are ours.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep_until},
};
use zbus::ObjectPath;

use super::{
    Bearers, Interfaces, Look, News, Order, Source,
    bus::{Bus, CallError, Pokes, Service},
    connect::Job,
    controls::{Off, Profile, Sharing},
    jobs::perform,
    keep_looking,
    line::Line,
    memory::Memory,
    modem::{Connection, Feature, LAC_AND_CELL, LOCATION, MESSAGING, Modem, SIGNAL, Sim, State},
    sms::{Sms, Verdict},
    tried::Tried,
};
use crate::bearer::BearerId;

pub(super) const MODEM_MANAGER: Service = Service {
    name: "org.freedesktop.ModemManager1",
    root: "/org/freedesktop/ModemManager1",
};
pub(super) const SIM: &str = "org.freedesktop.ModemManager1.Sim";
const BEARER: &str = "org.freedesktop.ModemManager1.Bearer";
const SMS: &str = "org.freedesktop.ModemManager1.Sms";

/// Modems that are looked at.
const MODEMS_MAX: usize = 8;
/// How often, where nothing is said.
const PERIOD: Duration = Duration::from_secs(30);
/// Between two looks, however much is said.
const PACE: Duration = Duration::from_millis(50);
/// Between two looks for which nothing has happened.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Looks in a row without an answer after which nothing is known any more.
const FAILURES_MAX: u32 = 3;
/// How often the modem measures what it receives, in seconds.
const SIGNAL_RATE: u32 = 60;
/// Until a feature that could not be switched on is tried again.
const FEATURE_RETRY: Duration = Duration::from_secs(600);
const CALL: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Modems {
    lines: Vec<Line>,
    interfaces: watch::Receiver<Interfaces>,
    orders: mpsc::Receiver<Order>,
    out: mpsc::Sender<News>,
    memory: Memory,
    start: Instant,
    left: Tried,
    modems: Vec<Modem>,
    failures: u32,
    /// Which modem is whose, of [`Self::modems`].
    owned: BTreeMap<BearerId, usize>,
    /// When a feature of a modem was last switched on.
    switched: BTreeMap<(String, &'static str), Instant>,
    jobs: JoinSet<(BearerId, Job, Result<(), CallError>)>,
    off: watch::Receiver<Off>,
    cellular: watch::Sender<Vec<Profile>>,
    /// There are messages left to read.
    is_unread: bool,
}

impl Modems {
    pub(super) fn new(
        bearers: Bearers,
        interfaces: watch::Receiver<Interfaces>,
        orders: mpsc::Receiver<Order>,
        out: mpsc::Sender<News>,
        sharing: Sharing,
    ) -> Self {
        let Sharing {
            memory,
            off,
            cellular,
            tried,
        } = sharing;
        let lines = bearers.into_iter().map(|(id, bearer)| {
            let left = tried.take_line(id, &bearer);
            left.unwrap_or_else(|| Line::new(id, bearer, &memory))
        });
        Self {
            lines: lines.collect(),
            interfaces,
            orders,
            out,
            memory,
            start: tried.start(),
            left: tried,
            modems: Vec::new(),
            failures: 0,
            owned: BTreeMap::new(),
            switched: BTreeMap::new(),
            jobs: JoinSet::new(),
            off,
            cellular,
            is_unread: false,
        }
    }

    pub(super) async fn run(self, address: Option<String>) {
        keep_looking(self, address).await;
    }

    async fn look(&mut self, bus: &Bus) {
        match modems(bus).await {
            Ok(modems) => {
                self.failures = 0;
                self.modems = modems;
            }
            Err(error) => {
                self.failures += 1;
                tracing::debug!(%error, "ModemManager does not answer");
                if self.failures >= FAILURES_MAX {
                    self.modems.clear();
                }
            }
        }
        let ids: Vec<_> = self.lines.iter().map(|line| line.id).collect();
        self.owned = owners(&ids, &self.interfaces.borrow(), &self.modems);
        self.tell().await;
        self.read_messages(bus).await;
        self.switch_on(bus).await;
        self.set_up_addresses().await;
        self.act(bus).await;
        self.show();
    }

    async fn tell(&mut self) {
        let now = self.start.elapsed();
        let levels = self.memory.look(|saved| saved.levels.clone());
        for line in &mut self.lines {
            let modem = self.owned.get(&line.id).and_then(|at| self.modems.get(*at));
            let meta = line.meta(modem, &levels, now);
            if line.told.as_ref() == Some(&meta) {
                continue;
            }
            line.told = Some(meta.clone());
            // Who does not listen any more is about to end us.
            let _ = self
                .out
                .send(News::Meta(line.id, Source::Modem, meta))
                .await;
        }
    }

    /// Those of senders that may wake the box; the others are left in their places.
    async fn read_messages(&mut self, bus: &Bus) {
        let now = self.start.elapsed();
        self.is_unread = false;
        for line in &mut self.lines {
            let modem = self.owned.get(&line.id).and_then(|at| self.modems.get(*at));
            let Some(modem) = modem.filter(|_| !line.bearer.sms_from.is_empty()) else {
                continue;
            };
            let mut was_read = false;
            for path in &line.inbox.unread(&modem.messages) {
                // Gone in the meantime: it is not listed next time.
                let Ok(sms) = bus.properties(MODEM_MANAGER, path, SMS).await else {
                    continue;
                };
                let verdict = Sms::read(&sms).verdict(&line.bearer.sms_from);
                line.inbox.read(path, verdict);
                was_read = true;
                if verdict == Verdict::Wakes {
                    delete(bus, modem, path).await;
                }
            }
            self.is_unread |= was_read && line.inbox.has_new(&modem.messages);
            if line.inbox.wakes(now) {
                let _ = self.out.send(News::Wake(line.id)).await;
            }
        }
    }

    /// Cells and levels are told by modems only after somebody has asked for it.
    async fn switch_on(&mut self, bus: &Bus) {
        let now = Instant::now();
        self.switched.retain(|_, at| now - *at < FEATURE_RETRY);
        for at in self.owned.values() {
            let Some(modem) = self.modems.get(*at) else {
                continue;
            };
            if modem.state < State::Enabled {
                continue;
            }
            for (interface, feature) in [(LOCATION, modem.has_place), (SIGNAL, modem.has_signal)] {
                let key = (modem.path.clone(), interface);
                if feature != Feature::Off || self.switched.contains_key(&key) {
                    continue;
                }
                let done = if interface == LOCATION {
                    let wanted = (modem.sources | LAC_AND_CELL, true);
                    set_up(bus, modem, interface, &wanted).await
                } else {
                    set_up(bus, modem, interface, &SIGNAL_RATE).await
                };
                if let Err(error) = done {
                    tracing::debug!(%error, interface, "A modem does not tell everything");
                }
                self.switched.insert(key, now);
            }
        }
    }

    async fn set_up_addresses(&mut self) {
        for line in &mut self.lines {
            let modem = self.owned.get(&line.id).and_then(|at| self.modems.get(*at));
            let connection = modem.and_then(|modem| line.to_set_up(modem)).cloned();
            if connection.is_none() && line.given.is_empty() {
                line.note_address(None);
                continue;
            }
            let mut given = std::mem::take(&mut line.given);
            // The kernel may take its time.
            let followed = spawn_blocking(move || {
                let trouble = given.follow(connection.as_ref());
                (given, trouble)
            });
            if let Ok((given, trouble)) = followed.await {
                line.given = given;
                line.note_address(trouble);
            }
        }
    }

    /// The time without radio is over: no restart begins it anew.
    fn forget_off(&self) {
        let until = self.off.borrow().map(|(_, until)| until);
        let is_over = until.is_none_or(|until| until <= Instant::now());
        if is_over && self.memory.look(|saved| saved.radio_off.is_some()) {
            self.memory.change_soon(|saved| saved.radio_off = None);
        }
    }

    async fn act(&mut self, bus: &Bus) {
        let now = self.start.elapsed();
        let is_off = self.is_off();
        self.forget_off();
        for line in &mut self.lines {
            let modem = self.owned.get(&line.id).and_then(|at| self.modems.get(*at));
            let Some(modem) = modem else {
                continue;
            };
            let (job, told) = line.next(modem, &self.memory, is_off, now);
            if let Some((job, work)) = job {
                let (id, bus) = (line.id, bus.clone());
                tracing::debug!(
                    ?job,
                    bearer = line.bearer.name,
                    "Something to do with a modem"
                );
                self.jobs
                    .spawn(async move { (id, job, perform(bus, job, work).await) });
            }
            if let Some(told) = told {
                line.keep(told, &self.memory).await;
                let _ = self.out.send(News::Told(line.id, told)).await;
            }
        }
    }

    fn is_off(&self) -> bool {
        let now = Instant::now();
        let off = *self.off.borrow();
        off.is_some_and(|(from, until)| from <= now && now < until)
    }

    /// For servers.
    fn show(&self) {
        let profile = |line: &Line| {
            let modem = self.owned.get(&line.id).and_then(|at| self.modems.get(*at));
            Profile::of(line, modem)
        };
        let profiles: Vec<_> = self.lines.iter().map(profile).collect();
        self.cellular.send_if_modified(|shown| {
            let is_news = *shown != profiles;
            if is_news {
                *shown = profiles;
            }
            is_news
        });
    }

    async fn done(&mut self, id: BearerId, job: Job, result: Result<(), CallError>) {
        let now = self.start.elapsed();
        let Some(line) = self.line(id) else {
            return;
        };
        if let Err(error) = &result {
            tracing::debug!(%error, ?job, bearer = line.bearer.name, "A modem did not do it");
        }
        let result = result.map_err(|error| error.to_string());
        if let Some(told) = line.done(job, result, now) {
            let _ = self.out.send(News::Told(id, told)).await;
        }
    }

    fn obey(&mut self, order: Order) {
        let now = self.start.elapsed();
        match order {
            Order::Change(id, change) => {
                if let Some(line) = self.line(id) {
                    line.set_apn(change.of(line.access.used()), now);
                }
            }
            Order::Enable(id, is_enabled) => {
                if let Some(line) = self.line(id) {
                    line.enable(is_enabled, now);
                }
            }
            Order::Serves(id, serves) => {
                for line in &mut self.lines {
                    line.serves(id, serves, now);
                }
            }
        }
    }

    fn line(&mut self, id: BearerId) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.id == id)
    }

    /// Until there is a reason to look again.
    async fn wait(&mut self, pokes: &Pokes, looked: Instant) {
        let due = self.due(looked);
        tokio::select! {
            () = pokes.next() => {}
            Ok(()) = self.interfaces.changed() => {}
            Ok(()) = self.off.changed() => {}
            Some(order) = self.orders.recv() => self.obey(order),
            Some(ended) = self.jobs.join_next() => {
                // One that panicked has said so already; it is told as failed with the others.
                if let Ok((id, job, result)) = ended {
                    self.done(id, job, result).await;
                }
            }
            () = sleep_until(due) => {}
        }
    }

    fn due(&self, looked: Instant) -> Instant {
        if self.is_unread {
            return looked;
        }
        let now = self.start.elapsed();
        let lines = self.lines.iter().filter_map(|line| line.due(now));
        // What waits for a modem that is not there must not be looked for without a pause.
        let lines = lines.map(|due| (self.start + due).max(looked + LOOK_PAUSE));
        let (from, until) = self.off.borrow().unzip();
        let off = [from, until].into_iter().flatten();
        let off = off.filter(|at| *at > looked);
        let period = looked + PERIOD;
        lines.chain(off).fold(period, Instant::min)
    }
}

/// A reload takes nothing back of what was tried or asked for.
impl Drop for Modems {
    fn drop(&mut self) {
        while let Ok(order) = self.orders.try_recv() {
            self.obey(order);
        }
        let now = self.start.elapsed();
        for line in &mut self.lines {
            line.abandoned(now);
        }
        self.left.leave_lines(std::mem::take(&mut self.lines));
    }
}

impl Look for Modems {
    async fn session(&mut self, bus: &Bus) {
        let Ok(pokes) = bus.follow(MODEM_MANAGER).await else {
            return;
        };
        while !bus.is_closed() {
            self.look(bus).await;
            let looked = Instant::now();
            self.wait(&pokes, looked).await;
            sleep_until(looked + PACE).await;
        }
    }

    async fn lost(&mut self) {
        self.jobs.shutdown().await;
        let now = self.start.elapsed();
        for line in &mut self.lines {
            line.abandoned(now);
        }
        self.modems.clear();
        self.owned.clear();
        self.switched.clear();
        self.tell().await;
        self.show();
    }
}

/// Everything about all modems.
async fn modems(bus: &Bus) -> Result<Vec<Modem>, CallError> {
    if !bus.has(MODEM_MANAGER).await {
        return Ok(Vec::new());
    }
    let objects = bus.objects(MODEM_MANAGER).await?;
    let modems = objects
        .iter()
        .filter_map(|(path, object)| Modem::read(path, object));
    let mut modems: Vec<_> = modems.take(MODEMS_MAX).collect();
    for modem in &mut modems {
        // These come and go while we ask: what is gone is left out.
        if let Some(path) = &modem.sim_path {
            let sim = bus.properties(MODEM_MANAGER, path, SIM).await;
            modem.sim = sim.ok().map(|sim| Sim::read(&sim));
        }
        for path in &modem.bearer_paths {
            if let Ok(bearer) = bus.properties(MODEM_MANAGER, path, BEARER).await {
                modem.bearers.push(Connection::read(path, &bearer));
            }
        }
    }
    Ok(modems)
}

async fn set_up<B>(bus: &Bus, modem: &Modem, interface: &str, wanted: &B) -> Result<(), CallError>
where
    B: serde::Serialize + zbus::DynamicType + Sync,
{
    let path = &modem.path;
    let call = bus.call(MODEM_MANAGER, path, interface, "Setup", wanted, CALL);
    call.await
}

/// Cards have room for some thirty messages.
async fn delete(bus: &Bus, modem: &Modem, message: &str) {
    let Ok(message) = ObjectPath::try_from(message) else {
        return;
    };
    let path = &modem.path;
    let call = bus.call(MODEM_MANAGER, path, MESSAGING, "Delete", &message, CALL);
    let deleted: Result<(), CallError> = call.await;
    if let Err(error) = deleted {
        tracing::debug!(%error, "A message that was read cannot be deleted");
    }
}

/// Each modem has one bearer at most: the one with its interface; where packets go by PPP, or the
/// interface is not known yet, the first that has none.
pub(super) fn owners(
    bearers: &[BearerId],
    interfaces: &Interfaces,
    modems: &[Modem],
) -> BTreeMap<BearerId, usize> {
    let mut owned = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let has = |modem: &Modem, name: &String| {
        let mut used = modem.bearers.iter().filter_map(|b| b.interface.as_ref());
        modem.interfaces.contains(name) || used.any(|interface| interface == name)
    };
    for id in bearers {
        let name = interfaces.get(id);
        let at = name.and_then(|name| modems.iter().position(|modem| has(modem, name)));
        if let Some(at) = at.filter(|at| taken.insert(*at)) {
            owned.insert(*id, at);
        }
    }
    for id in bearers {
        if owned.contains_key(id) {
            continue;
        }
        let is_open = !interfaces.contains_key(id);
        let free = modems
            .iter()
            .enumerate()
            .find(|(at, modem)| !taken.contains(at) && (is_open || modem.interfaces.is_empty()));
        if let Some((at, _)) = free {
            taken.insert(at);
            owned.insert(*id, at);
        }
    }
    owned
}
