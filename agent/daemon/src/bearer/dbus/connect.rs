//! How a modem is brought to its network, and back to it. Pure: what the modem is like goes in, what
//! is to be done comes out, one thing at a time.
//!
//! 1. Unlock (once, see [`super::memory`]), enable, wait for the network, connect.
//! 2. What fails is tried again after longer and longer times; every third time everything is
//!    disconnected before, every sixth the modem is reset.
//! 3. A modem that stays where it should not be is reset as well. Resets have a budget: a modem that
//!    nothing helps is left to look for its network.

use std::{collections::VecDeque, time::Duration};

use super::modem::{Lock, State};

/// After each failure in a row; the last one for all that follow.
const DELAYS: [Duration; 6] = [
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
    Duration::from_secs(600),
];
const DISCONNECT_EACH: u32 = 3;
/// Until something is taken down again that did not go down.
const UNDO_PAUSE: Duration = Duration::from_secs(10);
const RESET_EACH: u32 = 6;
/// How long a modem may look for a network, or hang on its way.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long it must have been connected for its former failures to be forgotten.
const STABLE: Duration = Duration::from_secs(60);
/// Until a connection without any server behind it is opened anew once more: doubled each time, as
/// it may be the servers that are gone.
const DEAD_EACH: Duration = Duration::from_secs(600);
const DEAD_DOUBLINGS: u32 = 6;
const DEAD_RESET: u32 = 3;

const RESETS_MAX: usize = 4;
const RESETS_WITHIN: Duration = Duration::from_secs(86_400);
const RESET_GAP: Duration = Duration::from_secs(900);

/// Something that takes a while.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Job {
    Unlock,
    Enable,
    Connect(Families),
    /// All connections of the modem.
    Disconnect,
    Reset,
    /// No radio any more.
    Off,
}

/// Of addresses to be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Families {
    Both,
    V4,
}

/// What matters of a modem here.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) state: State,
    pub(super) lock: Lock,
    /// There is a PIN that was not found wrong, and tries for it are left.
    pub(super) may_unlock: bool,
    /// Somebody wants the radio off.
    pub(super) is_off: bool,
    /// Somebody wants a connection.
    pub(super) is_wanted: bool,
    /// The connection is to another access point than wanted.
    pub(super) is_elsewhere: bool,
}

#[derive(Debug, Default)]
pub(super) struct Connector {
    running: Option<Job>,
    failures: u32,
    retry_at: Duration,
    /// Before it nothing is taken down again that did not go down.
    undo_at: Duration,
    /// Where the modem is, and since when.
    at: Option<(State, Duration)>,
    resets: VecDeque<Duration>,
    is_reset_due: bool,
    is_disconnect_due: bool,
    /// Times in a row that no server was behind the connection.
    dead: u32,
    dead_at: Option<Duration>,
}

impl Connector {
    /// What is to be done now.
    pub(super) fn next(&mut self, view: &View, now: Duration) -> Option<Job> {
        let since = match self.at {
            Some((state, since)) if state == view.state => since,
            Some(_) | None => now,
        };
        self.at = Some((view.state, since));
        if self.running.is_some() {
            return None;
        }
        self.running = self.choose(view, now.saturating_sub(since), now);
        self.running
    }

    const fn undo(&mut self, job: Job, now: Duration) -> Job {
        self.undo_at = now.saturating_add(UNDO_PAUSE);
        job
    }

    fn choose(&mut self, view: &View, age: Duration, now: Duration) -> Option<Job> {
        if view.is_off {
            let is_on = view.state >= State::Enabling && self.undo_at <= now;
            return is_on.then(|| self.undo(Job::Off, now));
        }
        if std::mem::take(&mut self.is_reset_due) && self.may_reset(now) {
            return Some(Job::Reset);
        }
        let is_due = self.retry_at <= now;
        match view.state {
            State::Locked => {
                (view.lock == Lock::Pin && view.may_unlock && is_due).then_some(Job::Unlock)
            }
            State::Disabled => is_due.then_some(Job::Enable),
            State::Unknown
            | State::Failed(_)
            | State::Enabling
            | State::Enabled
            | State::Connecting => self.hangs(age, now),
            State::Registered if !view.is_wanted || !is_due => None,
            State::Registered if std::mem::take(&mut self.is_disconnect_due) => {
                Some(Job::Disconnect)
            }
            // A network that has only IPv4 may refuse both together.
            State::Registered => Some(Job::Connect(if self.failures.is_multiple_of(2) {
                Families::Both
            } else {
                Families::V4
            })),
            State::Connected => {
                if age >= STABLE {
                    self.failures = 0;
                }
                let is_wrong = !view.is_wanted || view.is_elsewhere;
                let is_due = is_wrong && self.undo_at <= now;
                (is_due || std::mem::take(&mut self.is_disconnect_due))
                    .then(|| self.undo(Job::Disconnect, now))
            }
        }
    }

    fn hangs(&mut self, age: Duration, now: Duration) -> Option<Job> {
        (age >= PATIENCE && self.may_reset(now)).then_some(Job::Reset)
    }

    fn may_reset(&mut self, now: Duration) -> bool {
        self.resets
            .retain(|at| now.saturating_sub(*at) < RESETS_WITHIN);
        let is_late = self
            .resets
            .back()
            .is_none_or(|at| now.saturating_sub(*at) >= RESET_GAP);
        is_late && self.resets.len() < RESETS_MAX
    }

    pub(super) fn done(&mut self, job: Job, has_worked: bool, now: Duration) {
        self.running = None;
        if job == Job::Reset {
            // Whether or not it says so: it will go and come back.
            self.resets.push_back(now);
            self.at = None;
        }
        if has_worked {
            match job {
                Job::Connect(_) | Job::Unlock | Job::Enable => self.retry_at = now,
                Job::Disconnect | Job::Off | Job::Reset => {}
            }
            return;
        }
        let delay = DELAYS.get(self.failures as usize).or(DELAYS.last());
        self.retry_at = now + delay.copied().unwrap_or_default();
        self.failures = self.failures.saturating_add(1);
        self.is_disconnect_due |= self.failures.is_multiple_of(DISCONNECT_EACH);
        self.is_reset_due |= self.failures.is_multiple_of(RESET_EACH);
    }

    /// No server answers over the connection, for long. // bearer.md, 1: linked but dead
    pub(super) fn is_dead(&mut self, now: Duration) {
        let doublings = self.dead.saturating_sub(1).min(DEAD_DOUBLINGS);
        let pause = DEAD_EACH * (1 << doublings);
        if self
            .dead_at
            .is_some_and(|at| now.saturating_sub(at) < pause)
        {
            return;
        }
        self.dead_at = Some(now);
        self.dead = self.dead.saturating_add(1);
        if self.dead.is_multiple_of(DEAD_RESET) {
            self.is_reset_due = true;
        } else {
            self.is_disconnect_due = true;
        }
    }

    pub(super) const fn is_alive(&mut self) {
        self.dead = 0;
    }

    /// Nobody will say how the running job ended.
    pub(super) fn abandoned(&mut self, now: Duration) {
        if let Some(job) = self.running {
            self.done(job, false, now);
        }
    }

    /// It was away, and is another one for ModemManager: that it failed before says little.
    pub(super) const fn is_back(&mut self, now: Duration) {
        self.retry_at = now;
        self.at = None;
    }

    /// Another access point is wanted: former failures say nothing of it.
    pub(super) fn anew(&mut self, now: Duration) {
        self.failures = 0;
        self.retry_at = now;
        self.undo_at = now;
    }

    /// When something may be due although nothing has happened.
    pub(super) fn due(&self, now: Duration) -> Option<Duration> {
        if self.running.is_some() {
            return None;
        }
        let patience = self.at.map(|(_, since)| since + PATIENCE);
        let times = [
            Some(self.retry_at),
            Some(self.undo_at),
            patience,
            self.resets.back().map(|at| *at + RESET_GAP),
        ];
        times.into_iter().flatten().filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests;
