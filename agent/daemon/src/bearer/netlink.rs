//! What the kernel says of the bearers' interfaces: [`BearerEvent::Link`] on each change, and what
//! went over them: [`BearerEvent::Usage`].
//!
//! A task reads a socket of rtnetlink. All tables are read at the start, every minute, where the
//! kernel is known to keep silent about a change, and after anything was lost.

pub(crate) mod address;
mod follower;
mod picture;
mod rules;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

pub(crate) use self::picture::Seen;
use self::{
    follower::{Follower, Next},
    picture::Picture,
    rules::{Kernel, Rules},
    socket::Socket,
};
use super::{
    AddressFamily, BearerEvent, BearerId, LinkFacts, classify,
    usage::{Reading, Saved, Usage},
};
use crate::{
    clock::Clock,
    config::{Bearer, BearerKind},
};

/// For what the kernel does not tell: it costs three requests.
const LOOK: Duration = Duration::from_secs(60);
/// Between two looks, however often there is a reason for one.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// Before a socket that failed is replaced: doubled each time, up to the latter.
const RETRY: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Events that nobody has taken yet; while it is full nothing is read.
const EVENTS_MAX: usize = 64;

/// Tells of the bearers' interfaces; ends when it is dropped.
#[derive(Debug)]
pub struct Monitor {
    events: mpsc::Receiver<BearerEvent>,
    usage: Arc<Mutex<Usage>>,
}

impl Monitor {
    /// Each bearer is told of once at the start, also where it has no interface. `sysfs`: usually
    /// `/sys`; `saved`: what [`Self::saved_usage`] gave before. Within a runtime.
    ///
    /// # Errors
    /// The kernel gives no socket of rtnetlink.
    pub(crate) fn start(
        bearers: &[Bearer],
        sysfs: PathBuf,
        saved: Saved,
        clock: Clock,
    ) -> io::Result<Self> {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let names = bearers.iter().map(|bearer| bearer.name.clone()).collect();
        let usage = Arc::new(Mutex::new(Usage::restore(names, saved)));
        let teller = Teller {
            wanted: wanted(bearers),
            sysfs,
            clock,
            usage: Arc::clone(&usage),
            told: BTreeMap::new(),
            told_usage: BTreeMap::new(),
            rules: Rules::default(),
            sender,
        };
        let socket = Socket::open()?;
        tokio::spawn(run(socket, teller));
        Ok(Self { events, usage })
    }

    /// What has been counted, to be kept: at the end, and now and then for the case of a power cut.
    /// Where only the agent ends nothing is lost by an older one: the interfaces go on counting.
    pub(crate) fn saved_usage(&self) -> Saved {
        lock(&self.usage).saved()
    }

    /// The next change.
    pub fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<BearerEvent> {
        match self.events.poll_recv(context) {
            Poll::Ready(Some(event)) => Poll::Ready(event),
            // The task ends with this.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// What there is now; waits for the kernel.
pub(crate) fn see() -> io::Result<Vec<Seen>> {
    let mut kernel = Kernel::open()?;
    let picture = look(&mut kernel)?;
    Ok(picture.seen(|index| kernel.is_lost(AddressFamily::V4, index)))
}

fn look(kernel: &mut Kernel) -> io::Result<Picture> {
    let mut follower = Follower::default();
    let mut next = Next::Ask(follower.look());
    loop {
        next = match next {
            Next::Go => follower.handle(kernel.more()?),
            Next::Ask(request) => follower.handle(kernel.ask(&request)?),
            Next::Anew(why) => return Err(io::Error::other(why)),
        };
        if let Some(picture) = follower.picture() {
            return Ok(picture.clone());
        }
    }
}

/// Whose interface a bearer wants.
#[derive(Debug)]
struct Wanted {
    bearer: BearerId,
    kind: BearerKind,
    /// `None`: the first of its kind.
    interface: Option<String>,
}

fn wanted(bearers: &[Bearer]) -> Vec<Wanted> {
    let numbered = (0..).map(BearerId).zip(bearers);
    numbered
        .map(|(id, bearer)| Wanted {
            bearer: id,
            kind: bearer.kind,
            interface: bearer.interface.clone(),
        })
        .collect()
}

/// Tells what has changed.
#[derive(Debug)]
struct Teller {
    wanted: Vec<Wanted>,
    sysfs: PathBuf,
    clock: Clock,
    usage: Arc<Mutex<Usage>>,
    told: BTreeMap<BearerId, Option<LinkFacts>>,
    told_usage: BTreeMap<BearerId, (u64, u64)>,
    rules: Rules,
    sender: mpsc::Sender<BearerEvent>,
}

/// Nobody listens any more.
struct Gone;

impl Teller {
    async fn tell(&mut self, picture: &Picture) -> Result<(), Gone> {
        let kind_of = |interface: &str| classify::kind(&self.sysfs, interface);
        let assigned = assign(picture, &self.wanted, kind_of);
        let facts = assigned.iter().filter_map(|(_, facts)| facts.as_ref());
        let interfaces: BTreeSet<u32> = facts.map(|facts| facts.index).collect();
        self.rules.follow(picture, &interfaces);
        for (bearer, facts) in assigned {
            let usage = facts
                .as_ref()
                .and_then(|facts| self.count(bearer, facts, picture));
            if self.told.get(&bearer) != Some(&facts) {
                self.told.insert(bearer, facts.clone());
                self.send(BearerEvent::Link(bearer, facts)).await?;
            }
            if let Some((today, month)) = usage {
                self.send(BearerEvent::Usage(bearer, today, month)).await?;
            }
        }
        Ok(())
    }

    /// Where there is more than was told.
    fn count(
        &mut self,
        bearer: BearerId,
        facts: &LinkFacts,
        picture: &Picture,
    ) -> Option<(u64, u64)> {
        let reading = Reading {
            index: facts.index,
            interface: &facts.interface,
            bytes: picture.bytes(facts.index)?,
        };
        let usage = lock(&self.usage).count(bearer, reading, self.clock.now());
        let former = self.told_usage.insert(bearer, usage);
        (former != Some(usage)).then_some(usage)
    }

    async fn send(&self, event: BearerEvent) -> Result<(), Gone> {
        self.sender.send(event).await.map_err(|_| Gone)
    }
}

fn lock(usage: &Mutex<Usage>) -> MutexGuard<'_, Usage> {
    usage.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each interface to one bearer: those that are named first, then the first of a kind.
fn assign(
    picture: &Picture,
    wanted: &[Wanted],
    kind_of: impl Fn(&str) -> Option<BearerKind>,
) -> Vec<(BearerId, Option<LinkFacts>)> {
    let named = |name: &str| {
        wanted
            .iter()
            .any(|one| one.interface.as_deref() == Some(name))
    };
    let free = picture.interfaces().filter(|(_, name)| !named(name));
    let mut free: Vec<(u32, BearerKind)> = if wanted.iter().all(|one| one.interface.is_some()) {
        Vec::new()
    } else {
        free.filter_map(|(index, name)| Some((index, kind_of(name)?)))
            .collect()
    };
    let mut find = |one: &Wanted| match &one.interface {
        // Of two with one name the former is about to go.
        Some(name) => picture
            .interfaces()
            .filter(|(_, other)| other == name)
            .last()
            .map(|(index, _)| index),
        None => {
            let at = free
                .iter()
                .position(|(_, kind)| classify::fits(*kind, one.kind))?;
            Some(free.remove(at).0)
        }
    };
    wanted
        .iter()
        .map(|one| (one.bearer, find(one).and_then(|index| picture.facts(index))))
        .collect()
}

/// Until nobody listens.
async fn run(socket: Socket, mut teller: Teller) {
    let mut follower = Follower::default();
    let (mut socket, mut pause) = (Some(socket), RETRY);
    loop {
        let opened = socket.take().map_or_else(Socket::open, Ok);
        let failed = match opened {
            Ok(socket) => follow(&socket, &mut follower, &mut teller, &mut pause).await,
            Err(error) => Err(error.to_string()),
        };
        let Err(why) = failed else {
            return;
        };
        tracing::debug!(why, ?pause, "Interfaces are looked at anew");
        if teller.sender.is_closed() {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Until nobody listens; the error says why another socket is needed.
async fn follow(
    socket: &Socket,
    follower: &mut Follower,
    teller: &mut Teller,
    pause: &mut Duration,
) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let mut buffer = socket::buffer();
    socket.send(&follower.look()).map_err(text)?;
    let mut looked = Instant::now();
    loop {
        let due = looked
            + if follower.wants_look() {
                LOOK_PAUSE
            } else {
                LOOK
            };
        let received = tokio::select! {
            received = timeout_at(due, socket.receive(&mut buffer)) => received,
            () = teller.sender.closed() => return Ok(()),
        };
        let Ok(received) = received else {
            if follower.is_looking() {
                return Err("the kernel does not answer".to_owned());
            }
            socket.send(&follower.look()).map_err(text)?;
            looked = Instant::now();
            continue;
        };
        let length = received.map_err(text)?;
        match follower.handle(buffer.get(..length).unwrap_or_default()) {
            Next::Go => (),
            Next::Ask(request) => socket.send(&request).map_err(text)?,
            Next::Anew(why) => return Err(why),
        }
        if !follower.is_looking() {
            *pause = RETRY;
        }
        let Some(picture) = follower.news() else {
            continue;
        };
        if teller.tell(picture).await.is_err() {
            return Ok(());
        }
    }
}
