//! Whether servers can be reached over a bearer, by a throw-away exchange outside of any session.
//!
//! A server with DTLS is sent the first message of a handshake, which costs it nothing: it asks for
//! a cookie, and nobody comes back with it. A server without is sent a CoAP ping. Each probe has a
//! fresh socket that leaves by the bearer. Where nobody answers, a portal may stand in the way: that
//! is asked for by HTTP, seldom, and beside the probe.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use lamplighter_lwm2m::server::{Scheme, ServerUri};
use lamplighter_updater::knock;
use nix::errno::Errno;
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout_at},
};

use super::{
    BearerId, Reason,
    resolve::Resolver,
    way::{self, Way},
};

mod portal;

/// Probes of all bearers, one at a time for each.
#[derive(Debug)]
pub struct Prober {
    results: mpsc::UnboundedReceiver<Ended>,
    ending: mpsc::UnboundedSender<Ended>,
    /// The number of the probe that runs, and what works at it.
    running: BTreeMap<BearerId, (u64, AbortHandle)>,
    /// Those that have a result, and look for a portal.
    looking: Vec<AbortHandle>,
    next: u64,
    shared: Arc<Shared>,
}

/// What outlives a probe.
#[derive(Debug, Default)]
struct Shared {
    resolver: Resolver,
    /// Where names were found to lead, by interface and name.
    found: Mutex<BTreeMap<(String, String), Found>>,
    portals: Mutex<BTreeMap<BearerId, Portal>>,
}

#[derive(Clone, Debug)]
struct Found {
    addresses: Vec<IpAddr>,
    at: Instant,
}

/// What is known of portals in the way.
#[derive(Clone, Copy, Debug)]
struct Portal {
    asked: Instant,
    is_there: bool,
}

#[derive(Debug)]
struct Ended {
    bearer: BearerId,
    number: u64,
    result: Result<Duration, Reason>,
}

/// How long a name leads where it was found to.
const FOUND_FOR: Duration = Duration::from_secs(600);
/// Servers times bearers.
const MAX_FOUND: usize = 256;
/// How often a portal is asked for.
const PORTAL_PAUSE: Duration = Duration::from_secs(600);
/// Of one name, how many are tried in one probe.
const MAX_ADDRESSES: usize = 2;
const MAX_DATAGRAM: usize = 2048;

impl Default for Prober {
    fn default() -> Self {
        let (ending, results) = mpsc::unbounded_channel();
        Self {
            results,
            ending,
            running: BTreeMap::new(),
            looking: Vec::new(),
            next: 0,
            shared: Arc::default(),
        }
    }
}

impl Prober {
    /// Asks the targets over the bearer until one answers; the next is asked as well where the one
    /// before takes its share of the time. One that runs for this bearer is given up.
    pub fn start(
        &mut self,
        bearer: BearerId,
        way: Way,
        targets: Vec<ServerUri>,
        timeout: Duration,
    ) {
        self.stop(bearer);
        self.next += 1;
        let (number, ending) = (self.next, self.ending.clone());
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            let result = probe(&shared, &way, &targets, timeout).await;
            let result = shared.explained(bearer, result);
            // The receiver is gone only when the agent ends.
            let _ = ending.send(Ended {
                bearer,
                number,
                result,
            });
            shared.look_for_portal(bearer, result, &way, &targets).await;
        });
        let running = (number, task.abort_handle());
        self.running.insert(bearer, running);
    }

    /// Nobody wants to know any more, and nothing is to leave this box: no result comes.
    pub fn stop_all(&mut self) {
        let running = std::mem::take(&mut self.running).into_values();
        let tasks = running.map(|(_, task)| task).chain(self.looking.drain(..));
        tasks.for_each(|task| task.abort());
    }

    fn stop(&mut self, bearer: BearerId) {
        if let Some((_, task)) = self.running.remove(&bearer) {
            task.abort();
        }
    }

    /// The round-trip time, or why there is none.
    pub fn poll_result(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<(BearerId, Result<Duration, Reason>)> {
        while let Poll::Ready(Some(ended)) = self.results.poll_recv(context) {
            let Ended {
                bearer,
                number,
                result,
            } = ended;
            // One that was given up is of no interest.
            let running = self.running.get(&bearer);
            if running.is_none_or(|(running, _)| *running != number) {
                continue;
            }
            let ended = self.running.remove(&bearer);
            self.looking.retain(|task| !task.is_finished());
            self.looking.extend(ended.map(|(_, task)| task));
            return Poll::Ready((bearer, result));
        }
        Poll::Pending
    }
}

/// All targets within the time, the first answer counts.
async fn probe(
    shared: &Arc<Shared>,
    way: &Way,
    targets: &[ServerUri],
    patience: Duration,
) -> Result<Duration, Reason> {
    let end = Instant::now() + patience;
    let share = patience / u32::try_from(targets.len().max(1)).unwrap_or(u32::MAX);
    let mut tries = JoinSet::new();
    let mut waiting = targets.iter().cloned();
    let mut worst = None;
    loop {
        match waiting.next() {
            Some(target) => {
                let (shared, way) = (Arc::clone(shared), way.clone());
                tries.spawn(async move { ask(&shared, &way, &target, end).await });
            }
            None if tries.is_empty() => break,
            None => {}
        }
        let is_last = waiting.len() == 0;
        let pause = if is_last { patience } else { share };
        tokio::select! {
            ended = tries.join_next() => match ended {
                Some(Ok(Ok(round_trip))) => return Ok(round_trip),
                Some(Ok(Err(reason))) => worst = Some(worse(worst, reason)),
                Some(Err(_)) | None => {}
            },
            () = sleep(pause) => {}
        }
    }
    Err(worst.unwrap_or(Reason::Timeout))
}

/// What several targets say together: silence says least of what is wrong.
fn worse(before: Option<Reason>, now: Reason) -> Reason {
    match before {
        None | Some(Reason::Timeout) => now,
        Some(before) => before,
    }
}

async fn ask(
    shared: &Shared,
    way: &Way,
    target: &ServerUri,
    end: Instant,
) -> Result<Duration, Reason> {
    let host = &target.host;
    let Ok(found) = timeout_at(end, shared.addresses(host, way)).await else {
        return Err(Reason::Dns);
    };
    let mut last = Reason::NoAddress;
    let found = found?;
    let count = found.len().min(MAX_ADDRESSES);
    for (index, address) in found.into_iter().take(count).enumerate() {
        let to = SocketAddr::from((address, target.port));
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(count - index).unwrap_or(1);
        match ask_address(
            way,
            to,
            target.scheme == Scheme::Coaps,
            Instant::now() + share,
        )
        .await
        {
            Ok(round_trip) => return Ok(round_trip),
            Err(reason) => last = reason,
        }
    }
    if last == Reason::Timeout {
        shared.doubt(host, way);
    }
    Err(last)
}

async fn ask_address(
    way: &Way,
    to: SocketAddr,
    is_secured: bool,
    end: Instant,
) -> Result<Duration, Reason> {
    let socket = way::udp(Some(way), to).and_then(UdpSocket::from_std);
    let socket = socket.map_err(|error| reason(&error))?;
    let question = if is_secured {
        knock::dtls()
    } else {
        knock::coap()
    };
    let begun = Instant::now();
    let sent = socket.send(&question).await;
    sent.map_err(|error| reason(&error))?;
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        let Ok(received) = timeout_at(end, socket.recv(&mut buffer)).await else {
            return Err(Reason::Timeout);
        };
        let length = received.map_err(|error| reason(&error))?;
        let answer = &buffer[..length];
        let is_answer = if is_secured {
            knock::is_dtls(answer)
        } else {
            knock::is_coap(answer, &question)
        };
        if is_answer {
            return Ok(begun.elapsed());
        }
    }
}

/// What the kernel, or a router, says.
fn reason(error: &io::Error) -> Reason {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENODEV | Errno::ENETDOWN) => Reason::NoLink,
        Some(Errno::EADDRNOTAVAIL) => Reason::NoAddress,
        Some(Errno::ENETUNREACH) => Reason::NoRoute,
        Some(_) => Reason::Refused,
        None => Reason::NoAddress,
    }
}

impl Shared {
    /// Those found last where nobody says anything now.
    async fn addresses(&self, host: &str, way: &Way) -> Result<Vec<IpAddr>, Reason> {
        let key = (way.interface.clone(), host.to_owned());
        let known = lock(&self.found).get(&key).cloned();
        if let Some(found) = &known
            && found.at.elapsed() < FOUND_FOR
        {
            return Ok(found.addresses.clone());
        }
        let addresses = match (self.resolver.addresses(host, way).await, known) {
            (Ok(addresses), _) => addresses,
            (Err(_), Some(known)) => return Ok(known.addresses),
            (Err(why), None) => return Err(why.reason()),
        };
        let found = Found {
            addresses: addresses.clone(),
            at: Instant::now(),
        };
        let mut all = lock(&self.found);
        if all.len() >= MAX_FOUND && !all.contains_key(&key) {
            all.pop_first();
        }
        all.insert(key, found);
        Ok(addresses)
    }

    /// The name is looked up again before the next probe; what is known serves as the last resort.
    fn doubt(&self, host: &str, way: &Way) {
        let key = (way.interface.clone(), host.to_owned());
        if let Some(found) = lock(&self.found).get_mut(&key) {
            found.at = found.at.checked_sub(FOUND_FOR).unwrap_or(found.at);
            found.addresses.rotate_left(1);
        }
    }

    /// A portal that was found explains why nobody answers.
    fn explained(
        &self,
        bearer: BearerId,
        result: Result<Duration, Reason>,
    ) -> Result<Duration, Reason> {
        let mut portals = lock(&self.portals);
        match result {
            Ok(round_trip) => {
                if let Some(portal) = portals.get_mut(&bearer) {
                    portal.is_there = false;
                }
                Ok(round_trip)
            }
            Err(Reason::Timeout) if portals.get(&bearer).is_some_and(|portal| portal.is_there) => {
                Err(Reason::Captive)
            }
            Err(reason) => Err(reason),
        }
    }

    /// For the next probe.
    async fn look_for_portal(
        &self,
        bearer: BearerId,
        result: Result<Duration, Reason>,
        way: &Way,
        targets: &[ServerUri],
    ) {
        if !matches!(result, Err(Reason::Captive | Reason::Timeout)) {
            return;
        }
        let Some(target) = targets.first() else {
            return;
        };
        let asked = lock(&self.portals).get(&bearer).map(|portal| portal.asked);
        if asked.is_some_and(|asked| asked.elapsed() < PORTAL_PAUSE) {
            return;
        }
        let mut portal = Portal {
            asked: Instant::now(),
            is_there: false,
        };
        lock(&self.portals).insert(bearer, portal);
        let host = &target.host;
        let Ok(addresses) = self.addresses(host, way).await else {
            return;
        };
        if let Some(address) = addresses.first() {
            portal.is_there =
                portal::stands_before(host, (*address, portal::PORT).into(), way).await;
            lock(&self.portals).insert(bearer, portal);
        }
    }
}

/// A probe that has panicked leaves nothing half-done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
