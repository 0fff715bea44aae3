//! Bootstrap: a server gives this box its accounts (Core 1.2, 6.1).
//!
//! 1. Something makes it due ([`Cause`]); after the hold-off time a link is opened and the server is
//!    asked, for a pack where that is configured, else by a Bootstrap-Request.
//! 2. The server writes and deletes in a [`draft`]; nothing of it counts yet, and what it leaves
//!    behind when it goes away is dropped.
//! 3. At Finish the draft is checked ([`check`]) and kept as a whole, before the answer leaves
//!    ([`commit`]). The accounts before come back unless one of the new servers takes us.
//!
//! | what | file |
//! |---|---|
//! | when, and how often | here |
//! | link, session and messages | `visit` |
//! | one operation of the server | `operate` |
//! | what it writes | `draft`, `discover` |
//! | whether that holds together | `check` |
//! | whose accounts count | `accounts`, `commit` |

use std::time::Duration;

use lamplighter_dtls::SessionEvent;
use lamplighter_model::{Now, Ssid, Stamp};

use crate::{
    boundary::{BootstrapEvent, Event, LinkEvent, LinkId, Output, Transport},
    config::BootstrapConfig,
    object::Direction,
    perform::{Shared, Turn},
    registration::{Backoff, Enabler, RetryPolicy},
    rng::Rng,
    server::{self, Trouble},
};

mod accounts;
mod check;
mod commit;
mod discover;
mod draft;
mod operate;
mod visit;

pub(crate) use accounts::{Accounts, Wanted};
pub(crate) use check::Settled;
pub(crate) use commit::Left;

use draft::Draft;
use visit::{Asked, Visit};

/// What is going on with the bootstrap server.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    backoff: Backoff,
    cause: Option<Cause>,
    trouble: Option<Trouble>,
    /// After a failure nobody makes it come sooner.
    not_before: Duration,
    rng: Rng,
    /// What has been finished, for the client to keep and to carry out before anything is answered.
    settled: Option<Box<Settled>>,
    since: Stamp,
    state: State,
    visit: Option<Visit>,
}

/// Why a bootstrap server is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cause {
    /// There is no account of a server.
    NoServer,
    /// A server cannot be registered with (1/x/16).
    Registration(Ssid),
    /// By 1/x/9, or by a person.
    Requested,
}

#[derive(Debug)]
enum State {
    Asking,
    Idle,
    /// The server may repeat what it said last.
    Lingering {
        until: Duration,
    },
    /// The server may begin by itself.
    Listening {
        until: Duration,
    },
    Opening {
        until: Duration,
    },
    Waiting {
        until: Duration,
    },
    Writing {
        draft: Box<Draft>,
        /// However busy the server is.
        end: Duration,
        /// It has finished with what does not hold together; it may mend that.
        is_refused: bool,
        until: Duration,
    },
}

/// The bootstrap server, for `status` and the page.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BootstrapStatus {
    /// Why it went wrong last; `None` while all is well.
    pub cause: Option<server::Cause>,
    /// The same in words.
    pub last_error: Option<String>,
    pub since: Stamp,
    pub state: BootstrapState,
    /// `None`: there is no account.
    pub uri: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BootstrapState {
    /// The accounts were given, and no server has taken us yet.
    Confirming,
    Idle,
    /// Being asked, or writing.
    Running,
    /// For the hold-off time, or for the next attempt.
    Waiting,
}

/// A link that is not there by then is not coming.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// Nobody writes for longer.
const MAX_SESSION: Duration = Duration::from_secs(3600);

impl Bootstrap {
    pub(crate) fn new(seed: u64, now: Now) -> Self {
        // Another than that of any server.
        let rng = Rng::new(seed ^ (1 << 16));
        Self {
            backoff: Backoff::new(RetryPolicy::from(crate::client::RetryConfig::default())),
            cause: None,
            trouble: None,
            not_before: Duration::ZERO,
            rng,
            settled: None,
            since: now.stamp(),
            state: State::Idle,
            visit: None,
        }
    }

    /// Makes a bootstrap due. One that is under way, or about to be tried again, is left as it is.
    pub(crate) fn begin(
        &mut self,
        cause: Cause,
        terms: &BootstrapConfig,
        shared: &mut Shared,
        now: Now,
    ) {
        match self.state {
            State::Idle | State::Lingering { .. } => {}
            // Whoever asks wants it now, and not what the server was told to be of no use.
            State::Waiting { .. }
            | State::Writing {
                is_refused: true, ..
            } if cause == Cause::Requested => {}
            State::Asking
            | State::Listening { .. }
            | State::Opening { .. }
            | State::Waiting { .. }
            | State::Writing { .. } => return,
        }
        self.close(shared, now);
        self.backoff.set_policy(RetryPolicy::from(terms.retry));
        self.cause = Some(cause);
        let hold_off = if terms.server_initiated {
            Duration::ZERO
        } else {
            Duration::from_secs(terms.security.hold_off_s.into())
        };
        let wanted_now = cause == Cause::Requested;
        let earliest = if wanted_now {
            now.mono
        } else {
            self.not_before
        };
        let until = earliest.max(now.mono + hold_off);
        self.enter(State::Waiting { until }, now);
        tell(BootstrapEvent::Begun(cause.as_str()), shared);
    }

    /// Nothing more is wanted.
    pub(crate) fn stop(&mut self, shared: &mut Shared, now: Now) {
        self.close(shared, now);
        self.cause = None;
        self.enter(State::Idle, now);
    }

    pub(crate) const fn cause(&self) -> Option<Cause> {
        self.cause
    }

    /// Everything is well: what comes next is no repetition.
    pub(crate) const fn reset(&mut self) {
        self.backoff.reset();
        self.not_before = Duration::ZERO;
    }

    /// What a bootstrap gave was of no use.
    pub(crate) fn postpone(&mut self, now: Now) {
        self.not_before = now.mono + self.backoff.next(&mut self.rng);
    }

    pub(crate) const fn is_exhausted(&self) -> bool {
        self.backoff.is_exhausted()
    }

    /// A server is writing.
    pub(crate) const fn is_writing(&self) -> bool {
        matches!(self.state, State::Writing { .. })
    }

    /// The next attempt is due.
    pub(crate) fn is_due(&self, now: Now) -> bool {
        matches!(self.state, State::Waiting { until } if until <= now.mono)
    }

    pub(crate) fn owns(&self, link: LinkId) -> bool {
        self.visit.as_ref().is_some_and(|visit| visit.link == link)
    }

    /// What the server has finished, once. Its answer leaves with the next [`Self::settle`].
    pub(crate) const fn take_settled(&mut self) -> Option<Box<Settled>> {
        self.settled.take()
    }

    pub(crate) fn timeout(&self) -> Option<(Duration, &'static str)> {
        let own = match self.state {
            State::Asking | State::Idle => None,
            State::Lingering { until } => Some((until, "end of bootstrap")),
            State::Listening { until } => Some((until, "hold-off of bootstrap")),
            State::Opening { until } => Some((until, "opening of a link")),
            State::Waiting { until } => Some((until, "bootstrap")),
            State::Writing { until, .. } => Some((until, "bootstrap server")),
        };
        let visit = self.visit.as_ref().and_then(Visit::timeout);
        let visit = visit.map(|due| (due, "bootstrap message"));
        own.into_iter().chain(visit).min()
    }

    /// Opens a link to the server.
    pub(crate) fn attempt(&mut self, accounts: &Accounts, shared: &mut Shared, now: Now) {
        self.close(shared, now);
        let Some((_, account)) = accounts.bootstrap() else {
            return self.stop(shared, now);
        };
        let account = accounts.trusting(account);
        let coap = accounts.terms().coap;
        let (uri, session) = match account.check().and_then(|uri| {
            let session = account.session_over(&coap);
            Ok((uri, session.map_err(|why| vec![why.to_string()])?))
        }) {
            Ok(made) => made,
            Err(reasons) => {
                let trouble = server::Cause::Account.told(reasons.join("; "));
                return self.fail(trouble, shared, now);
            }
        };
        let link = shared.new_link();
        self.visit = Some(Visit::new(link, session, coap, self.rng.next()));
        shared.out.push(Output::Open(link, uri, Transport::Udp));
        let until = now.mono + OPEN_TIMEOUT;
        self.enter(State::Opening { until }, now);
    }

    pub(crate) fn receive(&mut self, datagram: Vec<u8>, shared: &mut Shared, now: Now) {
        let length = datagram.len();
        shared
            .core
            .count(Direction::Received, length, visit::HEADERS, now);
        if let Some(visit) = &mut self.visit {
            visit.session.receive(datagram, now.mono);
        }
    }

    pub(crate) fn on_link(&mut self, event: LinkEvent, shared: &mut Shared, now: Now) {
        let Some(visit) = &mut self.visit else {
            return;
        };
        match event {
            LinkEvent::Up => visit.start(shared.dates.clock(now), now.mono),
            LinkEvent::Down(_) if matches!(self.state, State::Lingering { .. }) => {
                self.close(shared, now);
                self.enter(State::Idle, now);
            }
            LinkEvent::Down(reason) => self.fail(server::Cause::Link.told(reason), shared, now),
            LinkEvent::Replacement(link) => self.replace_link(link, shared, now),
            LinkEvent::Refused => visit.is_refused = true,
            LinkEvent::MtuShrunk(_) => {}
        }
    }

    fn replace_link(&mut self, link: LinkId, shared: &mut Shared, now: Now) {
        let is_opening = matches!(self.state, State::Opening { .. });
        let Some(visit) = &mut self.visit else {
            return;
        };
        if is_opening || server::survives_move(&visit.session) {
            let former = std::mem::replace(&mut visit.link, link);
            shared.out.push(Output::Close(former));
            return visit.start(shared.dates.clock(now), now.mono);
        }
        shared.out.push(Output::Close(link));
        if matches!(self.state, State::Lingering { .. }) {
            return;
        }
        // The server would not know who that is: it is asked again.
        self.close(shared, now);
        self.enter(State::Waiting { until: now.mono }, now);
    }

    /// There is a way to servers again, or another.
    pub(crate) fn path_up(&mut self, shared: &mut Shared, now: Now) {
        let is_up = self.visit.as_ref().is_some_and(|visit| visit.is_up);
        let is_of_path = self.trouble.as_ref().is_some_and(Trouble::is_of_path);
        match self.state {
            State::Waiting { until } if is_of_path && until == self.not_before => {}
            State::Opening { .. } if !is_up => self.close(shared, now),
            State::Asking
            | State::Idle
            | State::Lingering { .. }
            | State::Listening { .. }
            | State::Opening { .. }
            | State::Waiting { .. }
            | State::Writing { .. } => return,
        }
        self.enter(State::Waiting { until: now.mono }, now);
    }

    pub(crate) fn heard(&self) -> Option<Duration> {
        self.visit.as_ref()?.heard
    }

    pub(crate) fn awaited(&self) -> Option<Duration> {
        self.visit.as_ref()?.awaited()
    }

    pub(crate) fn handle_timeout(&mut self, accounts: &Accounts, shared: &mut Shared, now: Now) {
        if let Some(visit) = &mut self.visit {
            visit.handle_timeout(now.mono);
        }
        match self.state {
            State::Opening { until } if until <= now.mono => {
                let words = "no link to the bootstrap server could be opened";
                self.fail(server::Cause::Link.told(words), shared, now);
            }
            State::Listening { until } if until <= now.mono => self.ask(accounts, shared, now),
            State::Writing { until, .. } if until <= now.mono => {
                let words = "the bootstrap server has not finished";
                self.fail(server::Cause::Silence.told(words), shared, now);
            }
            State::Lingering { until } if until <= now.mono => {
                self.close(shared, now);
                self.enter(State::Idle, now);
            }
            State::Asking
            | State::Idle
            | State::Lingering { .. }
            | State::Listening { .. }
            | State::Opening { .. }
            | State::Waiting { .. }
            | State::Writing { .. } => {}
        }
    }

    /// Carries on what this turn has begun, until nothing moves or there is something to be kept.
    pub(crate) fn settle(&mut self, accounts: &Accounts, turn: &mut Turn<'_>) {
        let now = turn.now;
        while self.settled.is_none()
            && let Some(visit) = &mut self.visit
        {
            if let Some(event) = visit.session.poll() {
                self.on_session(event, accounts, turn);
            } else if let Some(datagram) = visit.endpoint.poll_transmit() {
                visit.session.send(datagram, now.mono);
            } else if let Some(event) = visit.endpoint.poll_event() {
                self.on_event(event, accounts, turn);
            } else {
                return;
            }
        }
    }

    pub(crate) const fn state(&self, accounts: &Accounts) -> BootstrapState {
        match self.state {
            State::Waiting { .. } => BootstrapState::Waiting,
            State::Idle | State::Lingering { .. } if accounts.fallback().is_some() => {
                BootstrapState::Confirming
            }
            State::Idle | State::Lingering { .. } => BootstrapState::Idle,
            State::Asking
            | State::Listening { .. }
            | State::Opening { .. }
            | State::Writing { .. } => BootstrapState::Running,
        }
    }

    pub(crate) fn status(&self, accounts: &Accounts) -> BootstrapStatus {
        BootstrapStatus {
            cause: self.trouble.as_ref().map(|trouble| trouble.cause),
            last_error: self.trouble.as_ref().map(|trouble| trouble.words.clone()),
            since: self.since,
            state: self.state(accounts),
            uri: accounts.bootstrap().map(|(_, own)| own.uri.clone()),
        }
    }

    fn on_session(&mut self, event: SessionEvent, accounts: &Accounts, turn: &mut Turn<'_>) {
        let now = turn.now;
        let Some(visit) = &mut self.visit else {
            return;
        };
        match event {
            SessionEvent::Application(message) => {
                visit.heard = Some(now.mono);
                visit.endpoint.receive(&message, now.mono);
            }
            SessionEvent::Closed(why) => match self.state {
                State::Lingering { .. } => {
                    self.close(turn.shared, now);
                    self.enter(State::Idle, now);
                }
                State::Asking
                | State::Idle
                | State::Listening { .. }
                | State::Opening { .. }
                | State::Waiting { .. }
                | State::Writing { .. } => {
                    let trouble = server::Cause::Handshake(why).told(why.to_string());
                    self.fail(trouble, turn.shared, now);
                }
            },
            SessionEvent::Established(_) => self.on_established(accounts, turn),
            SessionEvent::Transmit(datagram) => {
                let (length, shared) = (datagram.len(), &mut turn.shared);
                shared
                    .core
                    .count(Direction::Sent, length, visit::HEADERS, now);
                shared.out.push(Output::Transmit(visit.link, datagram));
            }
        }
    }

    fn on_established(&mut self, accounts: &Accounts, turn: &Turn<'_>) {
        if !matches!(self.state, State::Opening { .. }) {
            return;
        }
        let terms = accounts.terms();
        if !terms.server_initiated {
            return self.ask(accounts, turn.shared, turn.now);
        }
        let hold_off = Duration::from_secs(terms.security.hold_off_s.into());
        let until = turn.now.mono + hold_off;
        self.enter(State::Listening { until }, turn.now);
    }

    /// The first request: a pack where that is wanted.
    fn ask(&mut self, accounts: &Accounts, shared: &Shared, now: Now) {
        let asked = if accounts.terms().pack {
            Asked::Pack
        } else {
            Asked::Request
        };
        self.enter(State::Asking, now);
        self.ask_for(asked, accounts, shared, now);
    }

    fn ask_for(&mut self, asked: Asked, accounts: &Accounts, shared: &Shared, now: Now) {
        let own = accounts.bootstrap().map(|(instance, _)| instance);
        if let Some(visit) = &mut self.visit {
            visit.ask(asked, &shared.endpoint, own, now.mono);
        }
    }

    /// The server begins to write, whether it has answered yet or not.
    fn begin_draft(&mut self, accounts: &Accounts, turn: &Turn<'_>) {
        let Some(visit) = &self.visit else {
            return;
        };
        if self.is_writing() {
            return;
        }
        let until = turn.now.mono + visit.patience();
        let draft = Box::new(accounts.draft(&turn.shared.core));
        let end = turn.now.mono + MAX_SESSION;
        let writing = State::Writing {
            draft,
            end,
            is_refused: false,
            until,
        };
        self.enter(writing, turn.now);
    }

    /// The server has done something that makes sense.
    fn renew(&mut self, now: Duration) {
        let patience = self.visit.as_ref().map(Visit::patience);
        if let State::Writing { end, until, .. } = &mut self.state {
            *until = (now + patience.unwrap_or_default()).min(*end);
        }
    }

    /// This attempt has come to nothing, and with it the draft.
    fn fail(&mut self, trouble: Trouble, shared: &mut Shared, now: Now) {
        self.close(shared, now);
        let delay = self.backoff.next(&mut self.rng);
        self.not_before = now.mono + delay;
        let until = self.not_before;
        self.enter(State::Waiting { until }, now);
        let failed = BootstrapEvent::Failed {
            cause: trouble.cause,
            reason: trouble.words.clone(),
            retry_in: Some(delay),
        };
        self.trouble = Some(trouble);
        tell(failed, shared);
    }

    fn close(&mut self, shared: &mut Shared, now: Now) {
        if let Some(mut visit) = self.visit.take() {
            visit.session.close(now.mono);
            while let Some(event) = visit.session.poll() {
                if let SessionEvent::Transmit(datagram) = event {
                    shared.out.push(Output::Transmit(visit.link, datagram));
                }
            }
            shared.out.push(Output::Close(visit.link));
        }
    }

    fn enter(&mut self, state: State, now: Now) {
        self.state = state;
        self.since = now.stamp();
    }

    fn enabler(&self) -> Enabler {
        let visit = self.visit.as_ref();
        visit.map_or(Enabler::V1_2, |visit| visit.enabler)
    }
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NoServer => "there is no account of a server",
            Self::Registration(_) => "a server cannot be registered with",
            Self::Requested => "on request",
        }
    }
}

impl BootstrapState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirming => "confirming",
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Waiting => "waiting",
        }
    }
}

pub(crate) fn tell(event: BootstrapEvent, shared: &mut Shared) {
    shared.out.push(Output::Event(Event::Bootstrap(event)));
}
