//! Devices that programs of this box serve: `adapters.sock`, who may come in, and for which device.
//!
//! 1. The kernel says who connects; the first line says for which device.
//! 2. Whoever may control the agent may serve every device, others those that name their user or a
//!    group of theirs.
//! 3. The connection is handed to the device's adapter, which speaks from then on.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lamplighter_adapters::remote::{
    Remote, RemoteConfig, RemotePoint, RemoteStats, Visitor, Wire,
    line::{self, Hello, Told},
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use super::Starter;
use crate::{
    catalogue::companions,
    config::{self, Config, Device, DeviceKind},
    events::{Class, EventLog, News},
    socket::{self, Entry, GROUP, Peer, SocketError, SocketFile},
    status::{Wear, WearSource},
    store::served::{self, Keeper},
};

/// Name of the socket in the run directory.
pub(crate) const SOCKET: &str = "adapters.sock";

/// Time for the first line.
const HELLO: Duration = Duration::from_secs(5);

/// Connections of one user that have not said hello yet; more are closed at once.
const PLACES: usize = 8;

/// A user that may not come in is told about once in this time.
const QUIET: Duration = Duration::from_secs(60);

/// Users that are told about in that time; of more nothing is said.
const REFUSED_MAX: usize = 64;

/// Pause after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// The bound socket.
#[derive(Debug)]
pub(super) struct Entrance {
    listener: UnixListener,
    file: SocketFile,
}

/// The way to one device.
#[derive(Debug)]
pub(super) struct Way {
    visitors: mpsc::Sender<Visitor<UnixStream>>,
    user: Option<String>,
    group: Option<String>,
}

/// Everything that connections are judged by.
pub(super) struct Door {
    pub(super) ways: BTreeMap<String, Way>,
    pub(super) events: EventLog,
    /// Connections without a hello, by user.
    places: Mutex<BTreeMap<u32, usize>>,
    refused: Mutex<Refused>,
}

/// When users were told about last.
#[derive(Debug, Default)]
struct Refused(BTreeMap<u32, Instant>);

/// Binds the socket where a program may serve a device.
pub(super) fn entrance(config: &Config, run_dir: &Path) -> Option<Result<Entrance, SocketError>> {
    let mut entry = None;
    for device in &config.devices {
        if let DeviceKind::Remote(remote) = &device.kind {
            let names_others = remote.user.is_some() || remote.group.is_some();
            let of_device = if names_others {
                Entry::Everybody
            } else {
                Entry::Group
            };
            entry = entry.max(Some(of_device));
        }
    }
    let bound = socket::bind(&run_dir.join(SOCKET), entry?);
    Some(bound.map(|(listener, file)| Entrance { listener, file }))
}

impl Starter<'_> {
    pub(super) fn remote(
        &mut self,
        device: &Device,
        remote: &config::Remote,
    ) -> Result<(), String> {
        if let Some(Err(why)) = &self.socket {
            return Err(why.clone());
        }
        let state_dir = self.state_dir.clone();
        let mut taken = remote.taken.clone();
        // Quality and unit of what devices measure are told by the agent itself.
        taken.extend(companions(self.config).addresses());
        let config = RemoteConfig {
            device: device.name.clone(),
            points: remote.points.iter().map(point).collect(),
            grants: remote.grants.clone(),
            taken,
            definitions: Arc::clone(&self.config.definitions),
            limits: remote.limits,
        };
        let kept = served::read(&state_dir, &device.name);
        let keeper = Box::new(Keeper::new(&state_dir, &device.name));
        let (adapter, visitors) = Remote::new(config, kept, keeper, self.clock.clone());
        let stats = adapter.stats();
        let wear = WearSource::new(move || wear_of(&stats.borrow()));
        self.wear.insert(device.id, wear);
        let way = Way {
            visitors,
            user: remote.user.clone(),
            group: remote.group.clone(),
        };
        self.ways.insert(device.name.clone(), way);
        self.supervise(device.id, adapter, remote.limits.supervised());
        Ok(())
    }
}

impl Starter<'_> {
    /// Opens the door once all devices that programs serve are there.
    pub(super) fn let_programs_in(&mut self, events: EventLog) {
        if let Some(Ok(entrance)) = self.socket.take() {
            let door = Door::new(std::mem::take(&mut self.ways), events);
            self.task(entrance.serve(door));
        }
    }
}

fn point(point: &config::RemotePoint) -> RemotePoint {
    RemotePoint {
        name: point.point.name.clone(),
        address: point.point.address,
        data_type: point.point.data_type,
        unit: point.point.unit.clone(),
        is_writable: point.point.writable,
        ask: point.ask,
    }
}

fn wear_of(stats: &RemoteStats) -> Wear {
    let program = stats.program.iter().map(|name| format!("served by {name}"));
    let complaint = stats.complaint.iter();
    let complaint = complaint.map(|words| format!("its program was told last: {words}"));
    let errors = stats.counts.iter();
    Wear {
        errors: errors
            .map(|(kind, count)| ((*kind).to_owned(), *count))
            .collect(),
        notes: program.chain(complaint).collect(),
        round_trip_ms: None,
    }
}

impl Entrance {
    /// Lets programs in until the future is dropped.
    pub(super) async fn serve(self, door: Door) {
        let Self { listener, file } = self;
        let door = Arc::new(door);
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let peer = stream.peer_cred().map_or(Peer::NOBODY, Peer::from);
                    // A closed connection is all that a crowd is told.
                    if let Some(place) = Place::take(&door, peer.uid) {
                        tokio::spawn(place.admit(stream, peer));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, socket = ?file, "Program cannot be let in");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// One of the places of a user that wait for their first line.
struct Place {
    door: Arc<Door>,
    uid: u32,
}

impl Place {
    fn take(door: &Arc<Door>, uid: u32) -> Option<Self> {
        let mut places = door.places.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = places.entry(uid).or_default();
        if *taken >= PLACES {
            return None;
        }
        *taken += 1;
        Some(Self {
            door: Arc::clone(door),
            uid,
        })
    }

    async fn admit(self, stream: UnixStream, peer: Peer) {
        let mut wire = Wire::new(stream);
        let Ok(Ok(line)) = timeout(HELLO, wire.line(None)).await else {
            return;
        };
        let reason = match self.door.judge(&line, peer).await {
            Ok((way, hello, user)) => {
                let visitor = Visitor { hello, wire, user };
                let Err(back) = way.visitors.try_send(visitor) else {
                    return;
                };
                wire = match back {
                    mpsc::error::TrySendError::Closed(visitor)
                    | mpsc::error::TrySendError::Full(visitor) => visitor.wire,
                };
                "another program waits for this device: come again".to_owned()
            }
            Err(reason) => reason,
        };
        let reason = &*reason;
        wire.close(&Told::Closing { reason }.to_line()).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.door.places.lock();
        let places = places.as_mut().map_err(|poisoned| poisoned.get_mut());
        let (Ok(places) | Err(places)) = places;
        if let Some(taken) = places.get_mut(&self.uid) {
            *taken -= 1;
            if *taken == 0 {
                places.remove(&self.uid);
            }
        }
    }
}

impl Door {
    pub(super) fn new(ways: BTreeMap<String, Way>, events: EventLog) -> Self {
        Self {
            ways,
            events,
            places: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// The way to the device that a program asks for, if it may have it, and whose program it is.
    async fn judge(&self, line: &[u8], peer: Peer) -> Result<(&Way, Hello, String), String> {
        let hello = line::hello(line).map_err(|garbled| garbled.0)?;
        if hello.version != line::VERSION {
            let (theirs, ours) = (hello.version, line::VERSION);
            return Err(format!("version {theirs} is not spoken here, {ours} is"));
        }
        let Some(way) = self.ways.get(&hello.device) else {
            return Err("no such device is configured with adapter = \"remote\"".to_owned());
        };
        let (user, group) = (way.user.clone(), way.group.clone());
        // Users and groups may come from the network: not on a thread that others need.
        let name = spawn_blocking(move || {
            let permitted = peer.permitted_name();
            permitted.or_else(|| peer.name_among(user.as_deref(), group.as_deref()))
        });
        match name.await.ok().flatten() {
            Some(user) => Ok((way, hello, user)),
            None => {
                self.tell_refused(&hello.device, peer.uid);
                Err(format!(
                    "no permission: [device.{}] names neither this user nor a group of it, and it \
                     is not in the group {GROUP}",
                    hello.device
                ))
            }
        }
    }

    fn tell_refused(&self, device: &str, uid: u32) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if !refused.is_news(uid, Instant::now()) {
            return;
        }
        let news = News::new(Class::Security, "program_refused");
        let news = news.about(device).by(format!("uid {uid}"));
        self.events.tell(news.text("it may not serve this device"));
    }
}

impl Refused {
    fn is_news(&mut self, uid: u32, now: Instant) -> bool {
        self.0
            .retain(|_, told| now.saturating_duration_since(*told) < QUIET);
        let is_news = self.0.len() < REFUSED_MAX && !self.0.contains_key(&uid);
        if is_news {
            self.0.insert(uid, now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_user_that_is_refused_is_told_about_once_a_minute_whatever_it_tries() {
        let mut refused = Refused::default();
        let begin = Instant::now();
        let told = |refused: &mut Refused, uid| {
            let times = (0..1800).map(|tenth| begin + Duration::from_millis(tenth * 100));
            times.filter(|now| refused.is_news(uid, *now)).count()
        };
        assert_eq!(told(&mut refused, 1000), 3);
        let now = begin + Duration::from_secs(179);
        assert!(refused.is_news(1001, now), "another user is news");
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_of_refused_users_is_not_remembered_without_end() {
        let mut refused = Refused::default();
        let now = Instant::now();
        let told = (0..10_000).filter(|uid| refused.is_news(*uid, now)).count();
        assert_eq!((told, refused.0.len()), (REFUSED_MAX, REFUSED_MAX));
        assert!(refused.is_news(1, now + QUIET));
        assert_eq!(refused.0.len(), 1);
    }
}
