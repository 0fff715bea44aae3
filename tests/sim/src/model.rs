//! A reference that knows what was asked and measured, and says what must hold after each step and
//! when all has calmed down.
//!
//! 1. [`Model::run`] does the steps, and listens to what servers are told and answered.
//! 2. Then every fault ends, and within [`RECOVERY`] the box must be registered everywhere, reachable
//!    and quiet: only Updates, in time, and one deadline.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_coap::Code;
use lamplighter_lwm2m::{
    boundary::Command,
    format::{Content, ContentFormat},
    server::ServerState,
};
use lamplighter_model::{Path, ResourceAddress, Value, device::Fault};
use lamplighter_sim::server::{
    Answer, Operation, RequestError, RequestId, ServerEvent, ServerOptions, WriteMode,
};

use crate::{
    devices::{HUMIDITY, SET_POINT, TEMPERATURE},
    network::Weather,
    step::{History, Measured, Step},
    told::Telling,
    wire::Kind,
    world::{BoxId, Loss, ServerId, World},
};

/// What is measured and observed.
pub const MEASURED: [ResourceAddress; 2] = [TEMPERATURE, HUMIDITY];

/// The box of every history.
const BOX: BoxId = BoxId(0);

/// The longest Disable with its spread (that of a write of 1/x/5 that got lost: a day and a quarter),
/// and the longest pause between attempts to register.
const RECOVERY: Duration = Duration::from_secs(33 * 3600);

/// What a request of a server was for, and what may come of it.
#[derive(Clone, Debug)]
enum Asked {
    Attributes,
    Disable { candidates: Vec<u32> },
    DisableTimeout(u32),
    Lifetime(u32),
    Read { least: u32 },
    Write(u32),
}

/// What the model knows of one server.
#[derive(Debug, Default)]
struct Known {
    asked: BTreeMap<RequestId, (Duration, Asked)>,
    /// What 1/x/1 may hold: the last that was confirmed, and what was not answered since.
    lifetimes: Vec<u32>,
    /// The same of 1/x/5.
    timeouts: Vec<u32>,
}

/// A history under way.
#[derive(Debug)]
pub struct Model {
    pub world: World,
    known: BTreeMap<ServerId, Known>,
    telling: Telling,
    /// Values of the set point that were confirmed, and those that may have been written.
    confirmed: Vec<u32>,
    attempted: Vec<u32>,
    /// The network may have lost what was not confirmed, and all was well again before anybody
    /// could know.
    is_foul: bool,
    /// Who has attached attributes to what.
    conditional: BTreeSet<(ServerId, Measured)>,
    stores: bool,
}

impl Model {
    /// Does a whole history.
    ///
    /// # Errors
    /// What did not hold, in words.
    pub fn run(history: &History) -> Result<Self, String> {
        let mut model = Self::new(history);
        model.go_through(history)?;
        Ok(model)
    }

    /// The same, and what happened, line by line.
    pub fn story(history: &History) -> Vec<String> {
        let mut model = Self::new(history);
        model.world.tell_story();
        // Why it fails is known.
        let _ = model.go_through(history);
        model.world.story().to_vec()
    }

    fn go_through(&mut self, history: &History) -> Result<(), String> {
        for (number, step) in history.steps.iter().enumerate() {
            self.take(step);
            self.listen();
            if let Some(verdict) = self.world.verdict() {
                return Err(format!("at step {number}, {step:?}: {verdict}"));
            }
        }
        self.calm_down();
        match self.world.verdict() {
            Some(verdict) => Err(format!("at the end: {verdict}")),
            None => Ok(()),
        }
    }

    fn new(history: &History) -> Self {
        let mut world = World::new(history.seed);
        let mut known = BTreeMap::new();
        for versions in &history.versions {
            let id = world.add_server(ServerOptions {
                versions: versions.clone(),
                ..ServerOptions::default()
            });
            let lifetime = u32::try_from(history.settings.lifetime.as_secs()).unwrap_or(u32::MAX);
            let of_server = Known {
                lifetimes: vec![lifetime],
                timeouts: vec![86_400],
                ..Known::default()
            };
            known.insert(id, of_server);
        }
        world.add_box(history.settings.clone(), Weather::FAIR);
        Self {
            world,
            known,
            telling: Telling::default(),
            confirmed: Vec::new(),
            attempted: Vec::new(),
            is_foul: false,
            conditional: BTreeSet::new(),
            stores: history.settings.store_notifications,
        }
    }

    fn take(&mut self, step: &Step) {
        let world = &mut self.world;
        match step {
            Step::BearerLost(loss) => {
                self.is_foul |= *loss == Loss::Silent;
                world.lose_bearer(BOX, *loss);
            }
            Step::BearerUp => world.restore_bearer(BOX),
            Step::ClientKilled => world.kill(BOX),
            Step::ClientPowerCut { outputs: 0, off } => world.cut_power(BOX, *off),
            Step::ClientPowerCut { outputs, off } => world.light_fuse(BOX, *outputs, *off),
            Step::DeviceChange(measured) => self.change(*measured),
            Step::DevicesDead(is_dead) => {
                world.cabinet_mut(BOX).devices.fault = is_dead.then_some(Fault::Unreachable);
            }
            Step::DevicesTake(time) => world.cabinet_mut(BOX).devices.takes = *time,
            Step::Disable(server, seconds) => self.disable(*server, *seconds),
            Step::Idle(time) => world.wait(*time),
            Step::LocalRegister(server) => {
                world.end_silence(BOX, *server);
                world.command(BOX, Command::Register(crate::cabinet::ssid_of(*server)));
            }
            Step::NatRebind => {
                self.is_foul = true;
                world.rebind(BOX);
            }
            Step::Overload(server, max_age) => world.overload(*server, *max_age),
            Step::Roam => world.roam(BOX),
            Step::ServerCancel(server, measured, mode) => {
                self.telling.waive(*server, path(*measured));
                world.host_mut(*server).unwatch(path(*measured));
                world.cancel(*server, BOX, path(*measured), *mode);
            }
            Step::ServerDown(server) => {
                self.is_foul = true;
                world.host_mut(*server).is_up = false;
            }
            Step::ServerObserve(server, measured) => world.watch(*server, BOX, path(*measured)),
            Step::ServerRead(server, measured) => self.read(*server, *measured),
            Step::ServerReboot(server) => world.reboot_server(*server),
            Step::ServerUp(server) => world.host_mut(*server).is_up = true,
            Step::ServerWrite(server, value) => self.write(*server, *value),
            Step::Update(server) => {
                world.command(BOX, Command::Update(crate::cabinet::ssid_of(*server)));
            }
            Step::Weather(weather) => {
                self.is_foul |= *weather != Weather::FAIR;
                world.set_weather(BOX, *weather);
            }
            Step::WriteAttributes(server, measured, attributes) => {
                self.conditional.insert((*server, *measured));
                self.telling.waive(*server, path(*measured));
                let attributes = attributes.iter().map(|text| (*text).to_owned());
                let operation = Operation::WriteAttributes(path(*measured), attributes.collect());
                self.ask(*server, &operation, Asked::Attributes);
            }
            Step::WriteLifetime(server, seconds) => {
                let operation = self.account_write(*server, 1, *seconds);
                self.ask(*server, &operation, Asked::Lifetime(*seconds));
            }
        }
    }

    fn change(&mut self, measured: Measured) {
        self.world.sample(BOX, MEASURED[measured]);
    }

    /// Number of the last sample; 0 before the first.
    fn last(&self, measured: Measured) -> u32 {
        let value = self
            .world
            .cabinet(BOX)
            .devices
            .memory
            .get(&MEASURED[measured]);
        value.and_then(Value::as_f64).unwrap_or_default() as u32
    }

    fn disable(&mut self, server: ServerId, seconds: u32) {
        let write = self.account_write(server, 5, seconds);
        self.ask(server, &write, Asked::DisableTimeout(seconds));
        let account = self.world.account(BOX, server);
        let execute = path_of(&format!("/1/{account}/4"));
        let candidates = self.known.entry(server).or_default().timeouts.clone();
        self.ask(
            server,
            &Operation::Execute(execute, String::new()),
            Asked::Disable { candidates },
        );
    }

    fn read(&mut self, server: ServerId, measured: Measured) {
        let least = self.last(measured);
        let read = Operation::Read(path(measured), None);
        self.ask(server, &read, Asked::Read { least });
    }

    fn write(&mut self, server: ServerId, value: u32) {
        let format = ContentFormat::Tlv;
        let resource = Path::Resource(SET_POINT.path);
        let written = Value::Float(value.into());
        let write = Operation::write_value(resource, written, format, WriteMode::Replace);
        let write = write.expect("a resource");
        if self.ask(server, &write, Asked::Write(value)) {
            self.attempted.push(value);
        }
    }

    fn account_write(&self, server: ServerId, resource: u16, value: u32) -> Operation {
        let account = self.world.account(BOX, server);
        let resource = path_of(&format!("/1/{account}/{resource}"));
        let value = Value::Integer(value.into());
        let write = Operation::write_value(resource, value, ContentFormat::Tlv, WriteMode::Replace);
        write.expect("a resource")
    }

    /// False where nobody is registered.
    fn ask(&mut self, server: ServerId, operation: &Operation, asked: Asked) -> bool {
        let now = self.world.now;
        let Ok(id) = self.world.request(server, BOX, operation) else {
            return false;
        };
        let known = self.known.entry(server).or_default();
        match &asked {
            Asked::DisableTimeout(seconds) => known.timeouts.push(*seconds),
            Asked::Lifetime(seconds) => known.lifetimes.push(*seconds),
            Asked::Attributes | Asked::Disable { .. } | Asked::Read { .. } | Asked::Write(_) => {}
        }
        known.asked.insert(id, (now, asked));
        true
    }

    /// Takes in what servers have heard since.
    fn listen(&mut self) {
        self.demand();
        for server in self.world.servers() {
            let host = self.world.host_mut(server);
            let events = host.take_events();
            let told = std::mem::take(&mut host.told);
            for (at, event) in events {
                match event {
                    ServerEvent::Answered(id, _, answer) => self.answered(server, id, at, &answer),
                    ServerEvent::Failed(id, _, error) => self.failed(server, id, error),
                    ServerEvent::Deregistered(_)
                    | ServerEvent::Expired(_)
                    | ServerEvent::Notified(..)
                    | ServerEvent::ObservationEnded(..)
                    | ServerEvent::Registered(_)
                    | ServerEvent::Sent(..)
                    | ServerEvent::Updated(_) => {}
                }
            }
            for told in told {
                let given = &self.world.cabinet(BOX).devices.given;
                if let Err(why) = self.telling.told(server, &told, given) {
                    self.world.blame(why);
                }
            }
        }
    }

    fn answered(&mut self, server: ServerId, id: RequestId, at: Duration, answer: &Answer) {
        let known = self.known.entry(server).or_default();
        let Some((since, asked)) = known.asked.remove(&id) else {
            return;
        };
        let most = self.world.cabinet(BOX).devices.last;
        let legal = match &asked {
            Asked::Attributes | Asked::Lifetime(_) | Asked::DisableTimeout(_) => {
                answer.code == Code::CHANGED
            }
            Asked::Disable { .. } => answer.code == Code::CHANGED,
            Asked::Read { least } => is_read(answer, *least, most),
            Asked::Write(_) => [Code::CHANGED, Code::GATEWAY_TIMEOUT].contains(&answer.code),
        };
        if !legal {
            let code = answer.code;
            let text = answer.diagnostic().unwrap_or_default().to_owned();
            return self.world.blame(format!(
                "{asked:?} was answered {code} {:?} {text}",
                answer.value()
            ));
        }
        match asked {
            Asked::Lifetime(seconds) => settled(&mut known.lifetimes, seconds),
            Asked::DisableTimeout(seconds) => settled(&mut known.timeouts, seconds),
            Asked::Disable { candidates } => {
                let shortest = candidates.iter().min().copied().unwrap_or(0);
                let until = since + Duration::from_secs(shortest.into());
                if until > at {
                    self.world.silence(BOX, server, until);
                }
            }
            Asked::Write(value) if answer.code == Code::CHANGED => self.confirmed.push(value),
            Asked::Attributes | Asked::Read { .. } | Asked::Write(_) => {}
        }
    }

    fn failed(&mut self, server: ServerId, id: RequestId, error: RequestError) {
        let known = self.known.entry(server).or_default();
        let Some((_, asked)) = known.asked.remove(&id) else {
            return;
        };
        match error {
            RequestError::Failed(_) | RequestError::Gone => {}
            RequestError::Encode(_)
            | RequestError::NoSuchClient
            | RequestError::NoSuchObservation
            | RequestError::NotAResource
            | RequestError::Stopped
            | RequestError::TooMany => self.world.blame(format!("{asked:?} failed: {error}")),
        }
    }

    /// Everything is well again: now all must be as if nothing had been.
    fn calm_down(&mut self) {
        self.mend();
        for _ in 0..20 {
            self.world.wait(Duration::from_secs(100));
            self.listen();
            if self.known.values().all(|known| known.asked.is_empty()) {
                break;
            }
        }
        let recovered = self.world.until(RECOVERY, |world| {
            world.servers().all(|server| is_registered(world, server))
        });
        if !recovered {
            return self.blame_unless(false, "not registered everywhere after all was mended");
        }
        // With an Update operators ask again for what they did not get.
        for server in self.world.servers() {
            let update = Command::Update(crate::cabinet::ssid_of(server));
            self.world.command(BOX, update);
        }
        self.world.wait(Duration::from_secs(250));
        self.listen();
        for server in self.world.servers() {
            self.clear_attributes(server);
        }
        self.told_of_changes();
        self.nothing_is_missing();
        self.accounts_hold();
        self.writes_hold();
        self.is_quiet();
    }

    fn mend(&mut self) {
        let world = &mut self.world;
        world.put_out_fuse(BOX);
        world.set_weather(BOX, Weather::FAIR);
        world.restore_bearer(BOX);
        let devices = &mut world.cabinet_mut(BOX).devices;
        devices.fault = None;
        devices.takes = Duration::ZERO;
        for server in world.servers() {
            world.host_mut(server).is_up = true;
            world.overload(server, None);
        }
    }

    fn clear_attributes(&mut self, server: ServerId) {
        for measured in 0..MEASURED.len() {
            let all = ["pmin", "pmax", "st", "gt"].map(str::to_owned).to_vec();
            let operation = Operation::WriteAttributes(path(measured), all);
            let answer = self.world.ask(server, BOX, &operation);
            let is_done = answer
                .as_ref()
                .is_ok_and(|answer| answer.code == Code::CHANGED);
            self.blame_unless(
                is_done,
                &format!("attributes stay at {server:?}: {answer:?}"),
            );
        }
        self.listen();
    }

    /// What is watched is told, once, within the time of the network.
    fn told_of_changes(&mut self) {
        self.world.wait(Duration::from_secs(30));
        for measured in 0..MEASURED.len() {
            self.listen();
            self.change(measured);
            self.world.wait(Duration::from_secs(5));
            let number = self.last(measured);
            for server in self.world.servers() {
                let host = self.world.host(server);
                let is_watched = host.watched.contains(&path(measured));
                let is_observed = host.is_observed(BOX, path(measured));
                let told = host.told.iter().flat_map(|told| &told.nodes);
                let told = told
                    .filter(|node| node.content == Content::Single(Value::Float(number.into())));
                let times = told.count();
                let verdict = match (is_watched, is_observed, times) {
                    // One that was ended by a reset is not ended before the next notification.
                    (false, ..) | (true, true, 1) => None,
                    (true, false, _) => Some("is not observed"),
                    (true, true, 0) => Some("is not told"),
                    (true, true, _) => Some("is told more than once"),
                };
                if let Some(verdict) = verdict {
                    let what = path(measured);
                    self.world
                        .blame(format!("{what} {verdict} at {server:?} when all is well"));
                }
            }
        }
        self.listen();
    }

    /// From when on a server observes without conditions, everything is told in the end.
    fn demand(&mut self) {
        for server in self.world.servers() {
            for measured in 0..MEASURED.len() {
                let host = self.world.host(server);
                let at = path(measured);
                if self.stores
                    && host.watched.contains(&at)
                    && host.is_observed(BOX, at)
                    && !self.conditional.contains(&(server, measured))
                {
                    self.telling.demand(server, at, self.world.now);
                }
            }
        }
    }

    fn nothing_is_missing(&mut self) {
        if self.is_foul {
            return;
        }
        for server in self.world.servers() {
            let missing = self.telling.missing(server, self.world.cabinet(BOX));
            if let Some((path, number)) = missing {
                self.world.blame(format!(
                    "{server:?} was never told sample {number} of {path}"
                ));
            }
        }
    }

    /// What a server wrote into its account is there, or was never confirmed.
    fn accounts_hold(&mut self) {
        for server in self.world.servers() {
            let account = self.world.account(BOX, server);
            for resource in [1, 5] {
                let at = path_of(&format!("/1/{account}/{resource}"));
                let answer = self.world.ask(server, BOX, &Operation::Read(at, None));
                let value = answer.ok().and_then(|answer| answer.value().cloned());
                let known = &self.known[&server];
                let candidates = if resource == 1 {
                    &known.lifetimes
                } else {
                    &known.timeouts
                };
                let is_known = candidates
                    .iter()
                    .any(|candidate| value == Some(Value::Integer((*candidate).into())));
                let what = format!("{at} of {server:?} is {value:?}, not one of {candidates:?}");
                self.blame_unless(is_known, &what);
                if let (1, Some(Value::Integer(seconds))) = (resource, value) {
                    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
                    self.known.entry(server).or_default().lifetimes = vec![seconds];
                }
            }
        }
    }

    /// Confirmed writes were done, and none twice.
    fn writes_hold(&mut self) {
        let written = &self.world.cabinet(BOX).devices.written;
        let times = |value: u32| {
            let value = Value::Float(value.into());
            written.iter().filter(|(.., done)| *done == value).count()
        };
        let attempts = |value: u32| {
            let attempted = self.attempted.iter().filter(|tried| **tried == value);
            attempted.count()
        };
        let lost = self.confirmed.iter().find(|value| times(**value) == 0);
        let doubled = self
            .attempted
            .iter()
            .find(|value| times(**value) > attempts(**value));
        let wrong = match (lost, doubled) {
            (Some(value), _) => format!("the write of {value} was confirmed and not done"),
            (None, Some(value)) => format!("the write of {value} was done more than once"),
            (None, None) => return,
        };
        self.world.blame(wrong);
    }

    /// Only Updates, each in time; one deadline.
    fn is_quiet(&mut self) {
        self.world.wait(Duration::from_secs(300));
        let before: BTreeMap<ServerId, _> = self
            .world
            .servers()
            .map(|server| (server, self.world.sent(BOX, server)))
            .collect();
        let calm = Duration::from_secs(3_600);
        self.world.wait(calm);
        // Not in the middle of an Update, nor before the box may sleep.
        let is_idle = |world: &World| world.deadline(BOX).is_some_and(|(_, who)| who == "update");
        self.world.until(Duration::from_secs(200), is_idle);
        let mut next = Duration::MAX;
        for server in self.world.servers() {
            let sent = self.world.sent(BOX, server).since(before[&server]);
            let lifetime = self.known[&server].lifetimes[0];
            let period = update_period(lifetime);
            let expected = calm.as_secs_f64() / period.as_secs_f64();
            let updates = sent.of(Kind::Update) as f64;
            if (updates - expected).abs() > 1.0 + expected / 50.0
                || sent.all() != sent.of(Kind::Update)
            {
                self.world.blame(format!(
                    "not quiet at {server:?}: {expected:.1} Updates expected, {sent:?}"
                ));
            }
            let name = &self.world.cabinet(BOX).name;
            let client = self.world.host(server).lw.client(name);
            let updated = client.map_or(Duration::MAX, |client| client.updated_at);
            next = next.min(updated.saturating_add(period));
        }
        let deadline = self.world.deadline(BOX);
        let near =
            deadline.is_some_and(|(at, _)| at.max(next) - at.min(next) < Duration::from_secs(1));
        let what = format!("the next deadline is {deadline:?} instead of {next:?}");
        self.blame_unless(near, &what);
        let (records, _) = self.world.cabinet(BOX).store.size();
        self.blame_unless(
            records <= MAX_RECORDS,
            &format!("{records} records are kept"),
        );
    }

    fn blame_unless(&mut self, holds: bool, what: &str) {
        if !holds {
            self.world.blame(what.to_owned());
        }
    }
}

/// Records of a box with two servers that observe two paths each, with attributes.
const MAX_RECORDS: usize = 20;

/// lwm2m/10: an Update leaves all its retransmissions time, or comes after half of the lifetime.
fn update_period(lifetime: u32) -> Duration {
    let lifetime = Duration::from_secs(lifetime.into());
    let margin = Duration::from_secs(93);
    if lifetime >= margin * 2 {
        lifetime - margin
    } else {
        lifetime / 2
    }
}

/// A value between the last before the question and the last before the answer, or that there is
/// none.
fn is_read(answer: &Answer, least: u32, most: u32) -> bool {
    match answer.code {
        Code::CONTENT => {
            let value = answer.value().and_then(Value::as_f64);
            value.is_some_and(|value| (f64::from(least)..=f64::from(most)).contains(&value))
        }
        code => [Code::GATEWAY_TIMEOUT, Code::SERVICE_UNAVAILABLE].contains(&code),
    }
}

/// This was confirmed: what was written before it is gone, what comes after it is not known here.
fn settled(candidates: &mut Vec<u32>, value: u32) {
    if let Some(at) = candidates.iter().position(|candidate| *candidate == value) {
        candidates.drain(..at);
    }
}

fn is_registered(world: &World, server: ServerId) -> bool {
    world.cabinet(BOX).state(server) == Some(ServerState::Registered)
        && world.is_reachable(server, BOX)
}

fn path(measured: Measured) -> Path {
    Path::Resource(MEASURED[measured].path)
}

fn path_of(text: &str) -> Path {
    text.parse().expect("a path")
}
