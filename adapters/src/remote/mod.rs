//! `adapter = "remote"`: a device that a program on this box serves, in whatever language, by lines
//! of JSON. `config/examples/README.md` is the protocol as programs see it.
//!
//! 1. A program that was let in comes as a [`Visitor`] and becomes the [`Session`]; a second one is
//!    sent away. It is told what it has to serve, and what of it exists already.
//! 2. Its lines are read no faster than it may send; what they bring waits in `pending` until the
//!    supervisor asks for it.
//! 3. A read, write or execute is told as a line with a number, and its answer is awaited while the
//!    other lines go on being taken.
//! 4. When the program goes, is silent or misbehaves, what it has declared stays, and is stale.

pub mod line;
mod pending;
mod session;
mod table;
#[cfg(test)]
mod tests;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use lamplighter_model::{
    DataType, InstanceAddress, Path, ResourceAddress, ResourceId, Sample,
    device::{Assignment, Declaration, Declared, Fault},
    object::Definitions,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout_at},
};

use self::{
    line::{Deadline, Hello, Refusal, Said, Told},
    pending::Pending,
    session::Session,
    table::{Table, Why},
    wire::Place,
};
pub use self::{
    table::{Kept, KeptResource},
    wire::{LINE_MAX, UNREAD_MAX, Wire, WireEnd},
};
use crate::{Adapter, Clock, Limits, Wake};

/// Lines with errors that a program may say within a minute; then it is sent away.
pub const ERRORS_MAX: u32 = 20;

/// Refusals that are named in one answer.
const REFUSALS_TOLD: usize = 16;

/// How long a device stays without a program after one was sent away, and from the coming of one
/// to that of the next.
const PAUSE: Duration = Duration::from_secs(1);

/// How often values are kept.
const KEEP_VALUES: Duration = Duration::from_secs(600);

/// What is declared is kept after this time, with what follows it,
const KEEP_TABLE: Duration = Duration::from_secs(2);

/// but not more often than this: a flash has its limits.
const KEEP_PAUSE: Duration = Duration::from_secs(60);

/// A device as it is configured.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    pub device: String,
    pub points: Vec<RemotePoint>,
    /// Below these paths a program may declare what it likes.
    pub grants: Vec<Path>,
    /// What belongs to other devices all the same.
    pub taken: BTreeSet<ResourceAddress>,
    pub definitions: Arc<Definitions>,
    pub limits: RemoteLimits,
}

/// What the configuration names.
#[derive(Clone, Debug, PartialEq)]
pub struct RemotePoint {
    pub name: String,
    pub address: ResourceAddress,
    pub data_type: DataType,
    pub unit: String,
    pub is_writable: bool,
    /// The program answers reads of it.
    pub ask: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RemoteLimits {
    /// From a request to its answer.
    pub answer: Duration,
    /// A program that says nothing for this time has hung.
    pub silence: Duration,
    /// Samples that are taken in a second; a program with more waits.
    pub samples_per_s: u32,
    /// Resources that it may declare.
    pub resources: usize,
    /// Age from which a value is stale.
    pub stale_after: Option<Duration>,
}

impl Default for RemoteLimits {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(3),
            silence: Duration::from_secs(30),
            samples_per_s: 1000,
            resources: 256,
            stale_after: None,
        }
    }
}

impl RemoteLimits {
    /// As the supervisor in front of the adapter takes them.
    pub fn supervised(&self) -> Limits {
        Limits {
            stale_after: self.stale_after,
            // There is nothing to be spared.
            retry_first: Duration::ZERO,
            retry_max: Duration::ZERO,
            ..Limits::default()
        }
    }
}

/// A program that has said hello and may serve the device.
#[derive(Debug)]
pub struct Visitor<S> {
    pub hello: Hello,
    pub wire: Wire<S>,
    /// The user that it runs as, for people.
    pub user: String,
}

/// Keeps what is to survive a restart; must not take long.
pub trait Keep: Send + 'static {
    fn keep(&self, kept: Kept);
}

/// What became of the lines, for people.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RemoteStats {
    /// By kind: `garbled`, `wrong_type`, `not_granted`, `held_back`, `late_answer` …
    pub counts: BTreeMap<&'static str, u64>,
    /// Who serves the device now.
    pub program: Option<String>,
    /// What was wrong last.
    pub complaint: Option<String>,
}

/// The device.
pub struct Remote<S> {
    config: Arc<RemoteConfig>,
    table: Table,
    visitors: mpsc::Receiver<Visitor<S>>,
    session: Option<Session<S>>,
    /// After a program was sent away, or came and went at once.
    closed_until: Option<Instant>,
    /// Until the first program is missed.
    awaited_until: Option<Instant>,
    pending: Pending,
    next_id: u64,
    asking: Option<Asking>,
    read_back: Vec<Sample>,
    keeper: Box<dyn Keep>,
    keep_at: Option<Instant>,
    kept: Option<Instant>,
    stats: watch::Sender<RemoteStats>,
    clock: Clock,
}

/// The request that is under way.
#[derive(Debug)]
struct Asking {
    id: u64,
    place: Place,
    answer: Option<Result<Vec<Sample>, Fault>>,
}

/// The one thing that happened at the socket.
enum Happened<S> {
    Held,
    Line(Result<Vec<u8>, WireEnd>),
    /// No program has come.
    Missed,
    Silent,
    Still,
    Visitor(Visitor<S>),
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Remote<S> {
    /// What was kept of its last life is told as stale. Programs come through the returned sender.
    pub fn new(
        config: RemoteConfig,
        kept: Kept,
        keeper: Box<dyn Keep>,
        clock: Clock,
    ) -> (Self, mpsc::Sender<Visitor<S>>) {
        let (sender, visitors) = mpsc::channel(1);
        let config = Arc::new(config);
        let table = Table::new(Arc::clone(&config), kept);
        let known: Vec<Sample> = table.samples().cloned().collect();
        let mut pending = Pending::default();
        pending.push(Wake::News(known));
        let remote = Self {
            table,
            visitors,
            session: None,
            closed_until: None,
            awaited_until: Some(Instant::now() + config.limits.silence),
            config,
            pending,
            next_id: 1,
            asking: None,
            read_back: Vec::new(),
            keeper,
            keep_at: None,
            kept: None,
            stats: watch::Sender::default(),
            clock,
        };
        (remote, sender)
    }

    pub fn stats(&self) -> watch::Receiver<RemoteStats> {
        self.stats.subscribe()
    }

    /// Takes the next thing that happens at the socket. May be dropped at any time.
    async fn step(&mut self) {
        match self.next().await {
            Happened::Held => self.count("held_back"),
            Happened::Line(Ok(line)) => self.on_line(&line).await,
            Happened::Line(Err(WireEnd::Gone)) => self.end(WireEnd::Gone.words()),
            Happened::Line(Err(end)) => self.send_away(end.words()).await,
            Happened::Missed => {
                self.awaited_until = None;
                self.push(Wake::Lost("no program serves it".to_owned()));
            }
            Happened::Silent => {
                let seconds = self.config.limits.silence.as_secs();
                self.count("silent");
                self.send_away(&format!("its program was silent for {seconds} s"))
                    .await;
            }
            Happened::Still => {
                if let Some(session) = &mut self.session {
                    session.tell(&Told::Alive);
                }
            }
            Happened::Visitor(visitor) => self.on_visitor(visitor).await,
        }
    }

    async fn next(&mut self) -> Happened<S> {
        let silence = self.config.limits.silence;
        let Some(session) = &mut self.session else {
            let missed = self.awaited_until;
            return tokio::select! {
                Some(visitor) = self.visitors.recv() => Happened::Visitor(visitor),
                () = at(missed) => Happened::Missed,
            };
        };
        if session.is_newly_held() {
            return Happened::Held;
        }
        let (silent, still) = (session.silent_at(silence), session.still_at(silence));
        let held = session.held_until();
        tokio::select! {
            biased;
            Some(visitor) = self.visitors.recv() => Happened::Visitor(visitor),
            line = session.wire.line(held) => Happened::Line(line),
            () = sleep_until(silent) => Happened::Silent,
            () = sleep_until(still) => Happened::Still,
        }
    }

    async fn on_visitor(&mut self, visitor: Visitor<S>) {
        let reason = if self.session.is_some() {
            "another program serves this device"
        } else if self
            .closed_until
            .is_some_and(|until| until > Instant::now())
        {
            "a program was here a moment ago: come again"
        } else {
            return self.begin(visitor);
        };
        visitor
            .wire
            .close(&Told::Closing { reason }.to_line())
            .await;
    }

    fn begin(&mut self, visitor: Visitor<S>) {
        let Visitor { hello, wire, user } = visitor;
        let mut session = Session::new(wire, self.config.limits.samples_per_s);
        session.tell(&Told::Welcome(self.welcome()));
        self.session = Some(session);
        self.awaited_until = None;
        let program = if hello.program.is_empty() {
            format!("a program of {user}")
        } else {
            format!("{} of {user}", session::printable(&hello.program))
        };
        tracing::info!(
            device = self.config.device,
            program,
            "Program serves a device"
        );
        self.stats
            .send_modify(|stats| stats.program = Some(program));
        self.push(Wake::Alive);
    }

    async fn on_line(&mut self, line: &[u8]) {
        let Some(session) = &mut self.session else {
            return;
        };
        session.on_line();
        session.pay(1);
        let said = match line::said(line) {
            Ok(said) => said,
            Err(garbled) => {
                self.count("garbled");
                return self.complain(&garbled.0, Vec::new()).await;
            }
        };
        session.pay(cost(&said).saturating_sub(1));
        match said {
            Said::Alive => {}
            Said::Declare(declare) => {
                let (change, refused) = self.table.declare(&declare);
                self.declared(change);
                self.refuse(refused).await;
            }
            Said::Done(id, samples) => {
                if self.is_awaited(id).await {
                    let (samples, refused) = self.table.take(&samples, self.clock.stamp());
                    self.answer(Ok(samples));
                    self.refuse(refused).await;
                }
            }
            Said::Failed(id, fault) => {
                if self.is_awaited(id).await {
                    self.answer(Err(fault));
                }
            }
            Said::Link(is_online, reason) => self.on_link(is_online, &reason),
            Said::Samples(samples) => {
                let (samples, refused) = self.table.take(&samples, self.clock.stamp());
                self.news(samples);
                self.refuse(refused).await;
            }
        }
    }

    fn declared(&mut self, change: Declared) {
        if change == Declared::default() {
            return;
        }
        self.push(Wake::Declared(change));
        self.keep_within(KEEP_TABLE);
    }

    fn on_link(&mut self, is_online: bool, reason: &str) {
        if let Some(session) = &mut self.session {
            session.is_online = is_online;
        }
        self.push(if is_online {
            Wake::Alive
        } else {
            let reason = session::printable(reason);
            Wake::Lost(format!(
                "its program says that it does not answer: {reason}"
            ))
        });
    }

    fn news(&mut self, samples: Vec<Sample>) {
        if samples.is_empty() {
            return;
        }
        if let Some(session) = &mut self.session {
            session.is_online = true;
        }
        self.keep_within(KEEP_VALUES);
        self.push(Wake::News(samples));
    }

    /// Whether this is the answer to the question. One that nobody waits for is counted and of no
    /// other use.
    async fn is_awaited(&mut self, id: u64) -> bool {
        let asking = self.asking.as_ref();
        if asking.is_some_and(|asking| asking.id == id && asking.answer.is_none()) {
            return true;
        }
        if (1..self.next_id).contains(&id) {
            self.count("late_answer");
        } else {
            self.count("garbled");
            self.complain("nothing of this number was asked", Vec::new())
                .await;
        }
        false
    }

    fn answer(&mut self, answer: Result<Vec<Sample>, Fault>) {
        if let Some(asking) = &mut self.asking {
            asking.answer = Some(answer);
        }
    }

    async fn refuse(&mut self, refused: Vec<(Why, Refusal)>) {
        let Some((_, first)) = refused.first() else {
            return;
        };
        let reason = format!("{}: {}", first.path, first.reason);
        for (why, _) in &refused {
            self.count(why.name());
        }
        let refused = refused.into_iter().map(|(_, refusal)| refusal);
        self.complain(&reason, refused.take(REFUSALS_TOLD).collect())
            .await;
    }

    /// Tells the program what is wrong with its line, and sends one away that goes on.
    async fn complain(&mut self, reason: &str, refused: Vec<Refusal>) {
        let reason = session::printable(reason);
        self.stats
            .send_modify(|stats| stats.complaint = Some(reason.clone()));
        let Some(session) = &mut self.session else {
            return;
        };
        session.complain(&reason, &refused);
        if session.errs_too_often() {
            let words = format!("its program said more than {ERRORS_MAX} wrong lines in a minute");
            self.send_away(&words).await;
        }
    }

    /// Ends the session with the reason as last words.
    async fn send_away(&mut self, reason: &str) {
        let Some(session) = self.end_session(reason) else {
            return;
        };
        self.closed_until = Some(Instant::now() + PAUSE);
        tracing::warn!(device = self.config.device, reason, "Program sent away");
        session
            .wire
            .close(&Told::Closing { reason }.to_line())
            .await;
    }

    fn end(&mut self, reason: &str) {
        if self.end_session(reason).is_some() {
            tracing::info!(device = self.config.device, reason, "Program gone");
        }
    }

    fn end_session(&mut self, reason: &str) -> Option<Session<S>> {
        let mut session = self.session.take()?;
        self.closed_until = Some(session.begun + PAUSE);
        self.stats.send_modify(|stats| stats.program = None);
        self.table.grow_stale();
        if let Some(asking) = &mut self.asking
            && asking.answer.is_none()
        {
            asking.answer = Some(Err(Fault::Unreachable));
            // Its last words follow.
            session.wire.take_back(asking.place.clone());
        }
        self.push(Wake::Lost(reason.to_owned()));
        Some(session)
    }

    /// Asks the program and waits for its answer.
    async fn ask(
        &mut self,
        told: impl FnOnce(u64, Deadline) -> Told<'static>,
    ) -> Result<Vec<Sample>, Fault> {
        self.forget_question();
        let answer_within = self.config.limits.answer;
        let deadline = Instant::now() + answer_within;
        let id = self.next_id;
        let Some(session) = self.session.as_mut().filter(|session| session.is_online) else {
            return Err(Fault::Unreachable);
        };
        self.next_id += 1;
        let uptime = self.clock.stamp().mono + answer_within;
        let until = Deadline {
            deadline_ms: milliseconds(answer_within),
            deadline_uptime_ms: milliseconds(uptime),
        };
        let place = session.ask(&told(id, until));
        self.asking = Some(Asking {
            id,
            place,
            answer: None,
        });
        let answer = async {
            loop {
                let asking = self.asking.take_if(|asking| asking.answer.is_some());
                match asking.and_then(|asking| asking.answer) {
                    Some(answer) => return answer,
                    None => self.step().await,
                }
            }
        };
        let answer = timeout_at(deadline, answer).await;
        answer.unwrap_or_else(|_| {
            self.forget_question();
            Err(Fault::Timeout)
        })
    }

    /// The supervisor has given up the last question, or we have: a program that has not begun to
    /// hear it never does.
    fn forget_question(&mut self) {
        let Some(Asking { id, place, .. }) = self.asking.take() else {
            return;
        };
        self.count("unanswered");
        if let Some(session) = &mut self.session
            && !session.wire.take_back(place)
        {
            session.tell(&Told::Expired { id });
        }
    }

    fn push(&mut self, wake: Wake) {
        for _ in 0..self.pending.push(wake) {
            self.count("dropped");
        }
    }

    fn keep_within(&mut self, time: Duration) {
        let now = Instant::now();
        let earliest = self.kept.map_or(now, |kept| kept + KEEP_PAUSE);
        let at = earliest.max(now + time);
        self.keep_at = Some(self.keep_at.map_or(at, |planned| planned.min(at)));
    }

    fn keep(&mut self) {
        self.keep_at = None;
        self.kept = Some(Instant::now());
        self.keeper.keep(self.table.to_kept());
    }
}

impl<S> Remote<S> {
    fn count(&self, kind: &'static str) {
        self.stats
            .send_modify(|stats| *stats.counts.entry(kind).or_default() += 1);
    }

    fn welcome(&self) -> line::Welcome<'_> {
        let limits = &self.config.limits;
        let point = |point: &'_ RemotePoint| line::path_of(point.address, None);
        line::Welcome {
            version: line::VERSION,
            device: &self.config.device,
            points: self
                .config
                .points
                .iter()
                .map(|it| line::ToldPoint {
                    name: &it.name,
                    path: point(it),
                    data_type: line::word_of(it.data_type),
                    unit: &it.unit,
                    write: it.is_writable,
                    ask: it.ask,
                })
                .collect(),
            grants: self.config.grants.iter().map(ToString::to_string).collect(),
            kept: self
                .table
                .declared()
                .map(|address| line::path_of(address, None))
                .collect(),
            limits: line::ToldLimits {
                line_bytes: LINE_MAX,
                samples_per_s: limits.samples_per_s,
                resources: limits.resources,
                silence_s: limits.silence.as_secs(),
                errors_per_min: ERRORS_MAX,
            },
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Adapter for Remote<S> {
    fn declared(&self) -> Vec<Declaration> {
        self.table.declarations()
    }

    async fn read(
        &mut self,
        instance: InstanceAddress,
        resources: &[ResourceId],
    ) -> Result<Vec<Sample>, Fault> {
        if !self
            .session
            .as_ref()
            .is_some_and(|session| session.is_online)
        {
            return Err(Fault::Unreachable);
        }
        let address = |resource: &ResourceId| ResourceAddress {
            scope: instance.scope,
            path: instance.path.resource(resource.0),
        };
        let (asked, told): (Vec<_>, Vec<_>) = resources
            .iter()
            .map(address)
            .partition(|address| self.table.is_asked(*address));
        let (now, stale_after) = (self.clock.stamp(), self.config.limits.stale_after);
        let told = told.into_iter();
        let mut samples: Vec<Sample> = told
            .flat_map(|address| self.table.last(address, now, stale_after))
            .collect();
        let mut fault = Fault::NoValue;
        if !asked.is_empty() {
            let paths = asked.iter().map(|address| line::path_of(*address, None));
            let paths = paths.collect();
            let question = |id, until| Told::Read { id, paths, until };
            match self.ask(question).await {
                Ok(read) => samples.extend(read),
                Err(why) => fault = why,
            }
        }
        if samples.is_empty() {
            return Err(fault);
        }
        Ok(samples)
    }

    async fn write(&mut self, values: &[Assignment]) -> Result<(), Fault> {
        let told = values.iter().map(line::to_value).collect();
        let question = |id, until| Told::Write {
            id,
            values: told,
            until,
        };
        let written = self.ask(question).await?;
        for value in values {
            let is_told = written.iter().any(|sample| sample.address == value.address);
            if !is_told {
                self.table.on_written(value.address);
            }
        }
        self.read_back = written;
        Ok(())
    }

    fn take_read_back(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.read_back)
    }

    async fn execute(&mut self, resource: ResourceAddress, args: &[u8]) -> Result<(), Fault> {
        let path = line::path_of(resource, None);
        // Arguments of Execute are text by the standard (Core 1.2, 6.3.5).
        let args = String::from_utf8_lossy(args).into_owned();
        let question = |id, until| Told::Execute {
            id,
            path,
            args,
            until,
        };
        let told = self.ask(question).await?;
        self.news(told);
        Ok(())
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        self.forget_question();
        loop {
            if let Some(wake) = self.pending.pop() {
                return Ok(wake);
            }
            let keep_at = self.keep_at;
            let is_due = tokio::select! {
                biased;
                () = at(keep_at) => true,
                () = self.step() => false,
            };
            if is_due {
                self.keep();
            }
        }
    }
}

/// What is known goes into the next life.
impl<S> Drop for Remote<S> {
    fn drop(&mut self) {
        self.keeper.keep(self.table.to_kept());
    }
}

impl<S> fmt::Debug for Remote<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.config.device)
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a line takes of the samples that a program may send.
fn cost(said: &Said) -> usize {
    let resources = match said {
        Said::Declare(declare) => declare.added.len() + declare.removed.len(),
        Said::Done(_, samples) | Said::Samples(samples) => samples.len(),
        Said::Alive | Said::Failed(..) | Said::Link(..) => 0,
    };
    resources.max(1)
}
