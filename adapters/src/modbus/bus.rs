//! The owner of a line: the one task that touches its port.
//!
//! Requests wait in two bounded queues. Commands go first, but polls keep their share of the time.
//! A request whose asker has gone, or whose time is over, is dropped before it is sent. The port is
//! never closed because a device is silent; when the line itself goes, it is opened again with
//! growing pauses, at once when a serial adapter is plugged in again.

use std::{fmt, io, time::Duration};

use tokio::{
    io::AsyncReadExt,
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout_at},
};
use tracing::{debug, info, warn};

use super::{
    frame::{ExceptionCode, Reply, Request, RequestError},
    rtu::{Outcome, Rtu, Timing, some},
    tcp::Tcp,
};
use crate::bus::{Backoff, LineSettings, Opener, Port};

/// How requests are framed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    Rtu(LineSettings),
    /// Serial frames through a network gateway; any doubt ends the connection.
    RtuOverTcp,
    Tcp,
}

/// What a line needs besides its opener.
#[derive(Clone, Debug)]
pub struct BusSettings {
    /// Stands in the log.
    pub name: String,
    pub framing: Framing,
    /// Silence before a request in characters, 3.5 by the standard; fixed above 19200 Bd.
    pub silence_chars: f32,
    /// Pause that a device needs in addition.
    pub gap: Duration,
    /// Pause between opening the port and the first request.
    pub connect_pause: Duration,
    /// Pause after a request to all devices, which none of them answers (Modbus over serial line
    /// 1.02, 2.4.1: turnaround delay).
    pub broadcast_pause: Duration,
    /// A network connection is closed when nothing was asked for so long, for devices that accept
    /// one client at a time; `None` keeps it.
    pub close_after: Option<Duration>,
    /// The adapter returns what we send.
    pub echo: bool,
    pub reopen_first: Duration,
    pub reopen_max: Duration,
    /// Share of the time that polls keep when commands keep coming.
    pub poll_floor_percent: u32,
    /// How long a late answer is waited for, from its request on, in hundredths of the device's
    /// timeout; learned to be longer where a device was slower.
    pub quarantine_percent: u32,
}

/// Which queue a request waits in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// Writes and their verification.
    Command,
    Poll,
    /// The question whether an offline device is back. All of them together get 0.5 % of the time.
    Probe,
    /// Somebody who looks around on the line: asked only while nothing else waits.
    Guest,
}

/// A request to the owner of a line.
#[derive(Clone, Debug)]
pub struct Ask {
    pub unit: u8,
    pub request: Request,
    pub class: Class,
    /// From the last byte sent to the first received; time on the line is added.
    pub timeout: Duration,
    /// The device's usual timeout, by which late answers are waited for; above `timeout` in probes.
    pub late_timeout: Duration,
    /// Not sent any more after this time.
    pub expires: Option<Instant>,
}

/// A reply and how long the device took for it, time on the line included.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answered {
    pub reply: Reply,
    pub round_trip: Duration,
}

/// Why there is no reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BusError {
    /// A probe, for which the line has no time now.
    Deferred,
    /// The line cannot be opened, or was lost.
    Down,
    /// The device refuses.
    Exception(ExceptionCode),
    /// It waited too long and was never sent.
    Expired,
    /// The queue is full.
    Full,
    /// Something was received, but no valid answer.
    Garbled,
    Invalid(RequestError),
    Timeout,
}

/// State of the line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct BusState {
    pub open: bool,
    /// Why it is not open.
    pub reason: String,
    /// What the port cannot do that its settings ask for; empty where nothing is amiss.
    pub notice: String,
    /// How often it was opened.
    pub opened: u32,
}

/// Counters of the line since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BusStats {
    pub requests: u64,
    pub answers: u64,
    pub exceptions: u64,
    pub timeouts: u64,
    pub garbled: u64,
    /// Answers that came after their request was given up.
    pub late: u64,
    /// Requests dropped unsent because their time was over.
    pub expired: u64,
    /// Time spent on all requests, and on probes without an answer.
    pub busy: Duration,
    pub probing: Duration,
}

/// The way to the owner of a line; cheap to clone.
#[derive(Clone, Debug)]
pub struct BusHandle {
    commands: mpsc::Sender<Job>,
    polls: mpsc::Sender<Job>,
    pub(super) guests: mpsc::Sender<Job>,
    state: watch::Receiver<BusState>,
    stats: watch::Receiver<BusStats>,
}

/// The owner of a line; [`Bus::run`] is its task.
#[derive(Debug)]
pub struct Bus<O: Opener> {
    opener: O,
    pub(super) settings: BusSettings,
    commands: mpsc::Receiver<Job>,
    polls: mpsc::Receiver<Job>,
    guests: mpsc::Receiver<Job>,
    state: watch::Sender<BusState>,
    stats: watch::Sender<BusStats>,
    pub(super) line: Line,
    pub(super) port: PortState<O::Port>,
    contention: Contention,
    probes: ProbeBudget,
    backoff: Backoff,
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) ask: Ask,
    /// Speed and format, where they are not those of the line.
    pub(super) line: Option<LineSettings>,
    pub(super) done: oneshot::Sender<Result<Answered, BusError>>,
}

impl Job {
    /// Whether anybody still waits for it.
    pub(super) fn is_wanted(&self) -> bool {
        let has_time = self
            .ask
            .expires
            .is_none_or(|expires| Instant::now() < expires);
        has_time && !self.done.is_closed()
    }
}

/// Whether a request is still to be sent.
pub(super) type Wanted<'a> = &'a (dyn Fn() -> bool + Sync);

#[derive(Debug)]
pub(super) enum Line {
    Rtu(Rtu),
    Tcp(Tcp),
}

#[derive(Debug)]
pub(super) enum PortState<P> {
    Closed {
        /// When its presence is looked at.
        look: Instant,
        /// When it is tried to open, even if it was present all the time.
        retry: Instant,
        was_present: bool,
    },
    Open {
        port: P,
        /// Something was received since it was opened.
        proved: bool,
        /// The end of the last exchange.
        used: Instant,
    },
    /// A connection that was closed because nobody needed it; opened by the next request.
    Resting,
}

/// Time used by each class while both were waiting.
#[derive(Debug, Default)]
struct Contention {
    commands: Duration,
    polls: Duration,
}

/// The time that unanswered probes may take, saved up to [`PROBE_CREDIT_MAX`].
#[derive(Debug)]
struct ProbeBudget {
    credit: Duration,
    at: Instant,
}

const QUEUE: usize = 64;
/// Nobody looks around with more than a few requests at a time.
const GUESTS: usize = 8;
/// Above 19200 Bd the silence is fixed (Modbus over serial line 1.02, 2.5.1.1).
const FAST_SILENCE: Duration = Duration::from_micros(1750);
const FIXED_SILENCE_ABOVE: u32 = 19200;
/// Unanswered probes get a two-hundredth of the time.
const PROBE_SHARE: u32 = 200;
const PROBE_CREDIT_MAX: Duration = Duration::from_secs(2);

impl BusSettings {
    /// Settings with the defaults of every key.
    pub fn new(name: impl Into<String>, framing: Framing) -> Self {
        Self {
            name: name.into(),
            framing,
            silence_chars: 3.5,
            gap: Duration::ZERO,
            connect_pause: Duration::ZERO,
            broadcast_pause: Duration::from_millis(200),
            close_after: None,
            echo: false,
            reopen_first: Duration::from_millis(500),
            reopen_max: Duration::from_secs(30),
            poll_floor_percent: 20,
            quarantine_percent: 325,
        }
    }

    /// Whether nobody answers this unit because it is all of them.
    pub fn is_broadcast(&self, unit: u8) -> bool {
        match self.framing {
            Framing::Rtu(_) | Framing::RtuOverTcp => unit == 0,
            Framing::Tcp => false,
        }
    }

    /// Time of one character; zero on the network.
    pub fn char_time(&self) -> Duration {
        match self.framing {
            Framing::Rtu(line) => line.char_time(),
            Framing::RtuOverTcp | Framing::Tcp => Duration::ZERO,
        }
    }

    /// The pause before a request.
    pub fn silence(&self) -> Duration {
        let silence = match self.framing {
            Framing::Rtu(line) if line.baud > FIXED_SILENCE_ABOVE => FAST_SILENCE,
            Framing::Rtu(line) => line
                .char_time()
                .mul_f32(self.silence_chars.clamp(0.0, 1000.0)),
            Framing::RtuOverTcp | Framing::Tcp => Duration::ZERO,
        };
        silence + self.gap
    }

    pub(super) fn line(&self) -> Line {
        match self.framing {
            Framing::Rtu(_) | Framing::RtuOverTcp => Line::Rtu(Rtu::new(Timing {
                char_time: self.char_time(),
                silence: self.silence(),
                broadcast_pause: self.broadcast_pause,
                quarantine_percent: self.quarantine_percent,
                echo: self.echo,
            })),
            Framing::Tcp => Line::Tcp(Tcp::new(self.quarantine_percent, self.gap)),
        }
    }
}

impl BusHandle {
    /// Waits for its turn, asks the device and returns what it said. Dropping the future withdraws a
    /// request that was not sent yet; the line stays in step either way.
    ///
    /// # Errors
    /// Why there is no reply.
    pub async fn ask(&self, ask: Ask) -> Result<Answered, BusError> {
        ask.request.check().map_err(BusError::Invalid)?;
        let queue = match ask.class {
            Class::Command => &self.commands,
            Class::Poll | Class::Probe => &self.polls,
            Class::Guest => &self.guests,
        };
        let (done, reply) = oneshot::channel();
        queue
            .try_send(Job {
                ask,
                line: None,
                done,
            })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => BusError::Full,
                mpsc::error::TrySendError::Closed(_) => BusError::Down,
            })?;
        reply.await.unwrap_or(Err(BusError::Down))
    }

    /// The state of the line and its changes.
    pub fn state(&self) -> watch::Receiver<BusState> {
        self.state.clone()
    }

    /// The counters of the line.
    pub fn stats(&self) -> BusStats {
        *self.stats.borrow()
    }
}

impl<O: Opener> Bus<O> {
    /// A line that opens when it runs. Must be called inside a tokio runtime.
    pub fn new(opener: O, settings: BusSettings, seed: u64) -> (BusHandle, Self) {
        let (commands_in, commands) = mpsc::channel(QUEUE);
        let (polls_in, polls) = mpsc::channel(QUEUE);
        let (guests_in, guests) = mpsc::channel(GUESTS);
        let (state, state_out) = watch::channel(BusState::default());
        let (stats, stats_out) = watch::channel(BusStats::default());
        let now = Instant::now();
        let bus = Self {
            line: settings.line(),
            port: PortState::Closed {
                look: now,
                retry: now,
                was_present: true,
            },
            backoff: Backoff::new(settings.reopen_first, settings.reopen_max, seed),
            probes: ProbeBudget {
                credit: PROBE_CREDIT_MAX,
                at: now,
            },
            contention: Contention::default(),
            opener,
            settings,
            commands,
            polls,
            guests,
            state,
            stats,
        };
        (
            BusHandle {
                commands: commands_in,
                polls: polls_in,
                guests: guests_in,
                state: state_out,
                stats: stats_out,
            },
            bus,
        )
    }

    /// Serves the line until every handle is gone.
    pub async fn run(mut self) {
        loop {
            self.open_if_due().await;
            let job = match self.pick() {
                Some(job) => job,
                None => match self.idle().await {
                    Idle::Ended => return,
                    Idle::Job(job) => job,
                    Idle::Nothing => continue,
                },
            };
            self.serve(job).await;
        }
    }

    /// The next waiting request, if any.
    fn pick(&mut self) -> Option<Job> {
        if self.polls.is_empty() {
            self.contention = Contention::default();
        }
        if self
            .contention
            .polls_are_behind(self.settings.poll_floor_percent)
        {
            return self
                .polls
                .try_recv()
                .or_else(|_| self.commands.try_recv())
                .or_else(|_| self.guests.try_recv())
                .ok();
        }
        self.commands
            .try_recv()
            .or_else(|_| self.polls.try_recv())
            .or_else(|_| self.guests.try_recv())
            .ok()
    }

    /// Waits for a request, while what comes unasked is taken off the line and a lost port is seen.
    async fn idle(&mut self) -> Idle {
        let mut chunk = [0; 256];
        let from_line = async {
            match (&mut self.port, self.settings.close_after) {
                (PortState::Closed { look, .. }, _) => {
                    sleep_until(*look).await;
                    FromLine::Look
                }
                (PortState::Open { port, used, .. }, Some(rest)) => {
                    match timeout_at(*used + rest, port.read(&mut chunk)).await {
                        Ok(count) => FromLine::Read(count.and_then(some)),
                        Err(_elapsed) => FromLine::Rest,
                    }
                }
                (PortState::Open { port, .. }, None) => {
                    FromLine::Read(port.read(&mut chunk).await.and_then(some))
                }
                (PortState::Resting, _) => std::future::pending().await,
            }
        };
        let read = tokio::select! {
            biased;
            job = self.commands.recv() => return job.map_or(Idle::Ended, Idle::Job),
            job = self.polls.recv() => return job.map_or(Idle::Ended, Idle::Job),
            job = self.guests.recv() => return job.map_or(Idle::Ended, Idle::Job),
            read = from_line => read,
        };
        match read {
            FromLine::Look => {}
            FromLine::Rest => self.port = PortState::Resting,
            FromLine::Read(Err(error)) => self.close(&error),
            FromLine::Read(Ok(count)) => {
                let stray = match &mut self.line {
                    Line::Rtu(rtu) => {
                        rtu.on_stray(&chunk[..count]);
                        Ok(())
                    }
                    Line::Tcp(tcp) => tcp.on_stray(&chunk[..count]),
                };
                if let Err(error) = stray {
                    self.close(&error);
                }
            }
        }
        Idle::Nothing
    }

    async fn serve(&mut self, job: Job) {
        let now = Instant::now();
        if job.done.is_closed() {
            return;
        }
        if job.ask.expires.is_some_and(|expires| expires <= now) {
            self.stats.send_modify(|stats| stats.expired += 1);
            return answer(job, Err(BusError::Expired));
        }
        if job.ask.class == Class::Probe && !self.probes.allows(now) {
            return answer(job, Err(BusError::Deferred));
        }
        let contended = !self.polls.is_empty() || !self.commands.is_empty();
        let result = match job.line {
            Some(line) => self.exchange_at(line, &job).await,
            None => self.exchange(&job).await,
        };
        let took = now.elapsed();
        if contended {
            self.contention.add(job.ask.class, took);
        }
        self.count(&job.ask, &result, took);
        answer(job, result);
    }

    async fn exchange(&mut self, job: &Job) -> Result<Answered, BusError> {
        let ask = &job.ask;
        if matches!(self.port, PortState::Resting) {
            self.open().await;
        }
        let PortState::Open { port, proved, used } = &mut self.port else {
            return Err(BusError::Down);
        };
        let outcome = match &mut self.line {
            Line::Rtu(rtu) => rtu.exchange(port, ask, &|| job.is_wanted()).await,
            Line::Tcp(tcp) => tcp.exchange(port, ask, &|| job.is_wanted()).await,
        };
        *used = Instant::now();
        let result = match outcome {
            Ok(Outcome::Answered(answer, round_trip)) => {
                *proved = true;
                answer
                    .map(|reply| Answered { reply, round_trip })
                    .map_err(BusError::Exception)
            }
            Ok(Outcome::Expired) => {
                self.stats.send_modify(|stats| stats.expired += 1);
                Err(BusError::Expired)
            }
            Ok(Outcome::Garbled) => Err(BusError::Garbled),
            Ok(Outcome::Silent) => Err(BusError::Timeout),
            Err(error) => {
                self.close(&error);
                return Err(BusError::Down);
            }
        };
        // Nobody but the unit that a guest asked could be mistaken for it, and that one waits.
        if ask.class != Class::Guest && self.is_in_doubt(&result) {
            self.close(&io::ErrorKind::TimedOut.into());
        }
        result
    }

    /// Whether the connection is renewed after this result; a serial port never is.
    fn is_in_doubt(&self, result: &Result<Answered, BusError>) -> bool {
        match (&self.line, self.settings.framing) {
            (Line::Tcp(tcp), _) => tcp.must_reconnect(),
            (Line::Rtu(_), Framing::RtuOverTcp) => {
                matches!(result, Err(BusError::Timeout | BusError::Garbled))
            }
            (Line::Rtu(_), Framing::Rtu(_) | Framing::Tcp) => false,
        }
    }

    async fn open_if_due(&mut self) {
        let PortState::Closed {
            look,
            retry,
            was_present,
        } = &mut self.port
        else {
            return;
        };
        let now = Instant::now();
        if now < *look {
            return;
        }
        *look = now + self.settings.reopen_first;
        let present = self.opener.is_present();
        let appeared = !std::mem::replace(was_present, present) && present;
        if appeared {
            self.backoff.reset();
        } else if now < *retry {
            *look = (*look).min(*retry);
            return;
        }
        self.open().await;
    }

    async fn open(&mut self) {
        let is_present = self.opener.is_present();
        match self.opener.open().await {
            Ok(port) => self.on_open(port),
            Err(error) => {
                let now = Instant::now();
                let retry = now + self.backoff.next_pause();
                self.port = PortState::Closed {
                    look: retry.min(now + self.settings.reopen_first),
                    retry,
                    was_present: is_present,
                };
                self.report_closed(&error);
            }
        }
    }

    fn on_open(&mut self, port: O::Port) {
        let was_resting = matches!(self.port, PortState::Resting);
        let notice = port.notice();
        match &mut self.line {
            Line::Rtu(rtu) => rtu.on_open(port.is_real_time(), self.settings.connect_pause),
            Line::Tcp(tcp) => tcp.on_open(self.settings.connect_pause),
        }
        self.port = PortState::Open {
            port,
            proved: false,
            used: Instant::now(),
        };
        if was_resting {
            // What is closed and opened between requests is no news.
            self.state.send_if_modified(|state| {
                state.opened = state.opened.saturating_add(1);
                false
            });
            return;
        }
        info!(bus = self.settings.name, "Line is open");
        let old_notice = self.state.borrow().notice.clone();
        if !notice.is_empty() && notice != old_notice {
            warn!(
                bus = self.settings.name,
                notice, "Line works with a restriction"
            );
        }
        self.state.send_modify(|state| {
            *state = BusState {
                open: true,
                reason: String::new(),
                notice,
                opened: state.opened.saturating_add(1),
            };
        });
    }

    pub(super) fn close(&mut self, error: &io::Error) {
        let now = Instant::now();
        let is_present = self.opener.is_present();
        // A connection that worked is opened again at once; one that never did waits.
        let retry = match self.port {
            PortState::Open { proved: true, .. } => {
                self.backoff.reset();
                now
            }
            PortState::Open { .. } | PortState::Closed { .. } | PortState::Resting => {
                now + self.backoff.next_pause()
            }
        };
        self.port = PortState::Closed {
            look: retry.min(now + self.settings.reopen_first),
            retry,
            was_present: is_present,
        };
        self.report_closed(error);
    }

    /// Tells people once, then only that the reason has changed.
    fn report_closed(&self, error: &io::Error) {
        let reason = error.to_string();
        self.state.send_if_modified(|state| {
            if !state.open && state.reason == reason {
                return false;
            }
            if state.open || state.reason.is_empty() {
                warn!(bus = self.settings.name, reason, "Line is down");
            } else {
                debug!(bus = self.settings.name, reason, "Line is still down");
            }
            state.open = false;
            state.reason.clone_from(&reason);
            true
        });
    }

    fn count(&mut self, ask: &Ask, result: &Result<Answered, BusError>, took: Duration) {
        let late = match &self.line {
            Line::Rtu(rtu) => rtu.late(),
            Line::Tcp(tcp) => tcp.late(),
        };
        let unanswered = matches!(result, Err(BusError::Timeout | BusError::Garbled));
        if ask.class == Class::Probe && unanswered {
            self.probes.credit = self.probes.credit.saturating_sub(took);
        }
        self.stats.send_modify(|stats| {
            stats.late = late;
            stats.busy += took;
            // Who looks around asks where nobody is.
            if ask.class == Class::Guest {
                return;
            }
            stats.requests += 1;
            match result {
                Ok(_) => stats.answers += 1,
                Err(BusError::Exception(_)) => {
                    stats.answers += 1;
                    stats.exceptions += 1;
                }
                Err(BusError::Garbled) => stats.garbled += 1,
                Err(BusError::Timeout) => stats.timeouts += 1,
                Err(
                    BusError::Deferred
                    | BusError::Down
                    | BusError::Expired
                    | BusError::Full
                    | BusError::Invalid(_),
                ) => {}
            }
            if ask.class == Class::Probe && unanswered {
                stats.probing += took;
            }
        });
    }
}

enum FromLine {
    /// Time to look at a closed port.
    Look,
    Read(io::Result<usize>),
    /// Nobody has needed the connection for long enough.
    Rest,
}

enum Idle {
    Ended,
    Job(Job),
    Nothing,
}

impl Contention {
    fn polls_are_behind(&self, floor_percent: u32) -> bool {
        self.polls * 100 < (self.commands + self.polls) * floor_percent
    }

    fn add(&mut self, class: Class, took: Duration) {
        match class {
            Class::Command => self.commands += took,
            Class::Poll | Class::Probe => self.polls += took,
            Class::Guest => {}
        }
    }
}

impl ProbeBudget {
    fn allows(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at) / PROBE_SHARE;
        self.at = now;
        self.credit = (self.credit + earned).min(PROBE_CREDIT_MAX);
        self.credit > Duration::ZERO
    }
}

/// The asker may have gone meanwhile; then nobody needs the answer.
fn answer(job: Job, result: Result<Answered, BusError>) {
    let _asker_gone = job.done.send(result);
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deferred => f.write_str("the line has no time for a probe now"),
            Self::Down => f.write_str("the line is down"),
            Self::Exception(code) => code.fmt(f),
            Self::Expired => f.write_str("the line was busy for too long"),
            Self::Full => f.write_str("too many requests are waiting for the line"),
            Self::Garbled => f.write_str("no valid answer came"),
            Self::Invalid(error) => error.fmt(f),
            Self::Timeout => f.write_str("no answer came in time"),
        }
    }
}

impl std::error::Error for BusError {}
