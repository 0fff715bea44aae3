//! Object 5 as a state machine: what servers and people may do when, and what follows. No files, no
//! network, no clock. // lwm2m/70, object 5
//!
//! ```text
//!            write URI / first part            whole and right            Update, or by itself
//!   0 Idle ─────────────────────► 1 Downloading ────────────► 2 Downloaded ────────────► 3 Updating
//!     ▲  ◄── fault, reset, cancel ──┘                           │ ▲                          │ │
//!     ├──────────────── reset, cancel ──────────────────────────┘ └── fault while updating ──┘ │
//!     └────────────────────────────────────────────────── it runs ────────────────────────────┘
//! ```

use std::time::Duration;

use lamplighter_updater::handover::{Phase, Reason, Report};
use serde::{Deserialize, Serialize};

/// 5/0/3
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum State {
    #[default]
    Idle = 0,
    Downloading = 1,
    Downloaded = 2,
    Updating = 3,
}

/// 5/0/5
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Outcome {
    #[default]
    Initial = 0,
    Success = 1,
    NoSpace = 2,
    ConnectionLost = 4,
    Integrity = 5,
    Unsupported = 6,
    InvalidUri = 7,
    Failed = 8,
    Protocol = 9,
    Cancelled = 10,
    Deferred = 11,
}

/// 5/0/11
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Severity {
    Critical = 0,
    #[default]
    Mandatory = 1,
    Optional = 2,
}

/// How the package comes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Source {
    #[default]
    None,
    /// Written to 5/0/0.
    Pushed,
    /// 5/0/1
    Uri(String),
    /// By a person at the box.
    Local,
}

/// What is left to be done by whoever owns files and network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Act {
    /// Begin to fetch the package from where 5/0/1 says.
    Download,
    /// Stop a download, forget the package.
    Discard,
    /// Hand the package over to the updater under this number.
    Install(u64),
    Nothing,
}

/// It is not the time for that. // 4.05
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NotNow;

/// Everything of object 5, and what survives a restart.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct Machine {
    pub(crate) state: State,
    pub(crate) outcome: Outcome,
    pub(crate) source: Source,
    /// Of the package that is there, once it was checked.
    pub(crate) package: Option<(String, String)>,
    pub(crate) severity: Severity,
    /// 5/0/13
    pub(crate) max_defer_s: u64,
    /// 5/0/14
    pub(crate) is_automatic: bool,
    /// It waits for the people at the cabinet; since then it has waited for so long.
    deferred: Option<Duration>,
    /// Of what was handed over last.
    number: u64,
    /// For people, about the last end.
    pub(crate) words: String,
    /// 5/0/12: seconds since 1970, where the date was known.
    pub(crate) changed: Option<i64>,
}

/// People at the cabinet may put an update off for so long, where no server says otherwise.
const MAX_DEFER_S: u64 = 3600;

impl Default for Machine {
    fn default() -> Self {
        Self {
            state: State::default(),
            outcome: Outcome::default(),
            source: Source::default(),
            package: None,
            severity: Severity::default(),
            max_defer_s: MAX_DEFER_S,
            is_automatic: false,
            deferred: None,
            number: 0,
            words: String::new(),
            changed: None,
        }
    }
}

impl Machine {
    /// Of what was handed over last.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// This number was used, whatever is known of it: what became of it is not told of the next.
    pub(crate) fn count_on_from(&mut self, used: u64) {
        if self.state != State::Updating {
            self.number = self.number.max(used);
        }
    }

    /// Nothing is new, but that it has waited for people a little longer.
    pub(crate) fn only_waits(&self, before: &Self) -> bool {
        self.deferred.is_some()
            && before.deferred.is_some()
            && *self
                == Self {
                    deferred: self.deferred,
                    ..before.clone()
                }
    }

    /// After a restart: a download goes on, a push does not; what was handed over may be lost.
    pub(crate) fn restarted(&mut self) -> Act {
        match (self.state, &self.source) {
            (State::Downloading, Source::Uri(_)) => Act::Download,
            (State::Downloading, _) => {
                self.fail(Outcome::ConnectionLost, "the agent was restarted")
            }
            (State::Updating, _) => Act::Install(self.number),
            (State::Idle | State::Downloaded, _) => Act::Nothing,
        }
    }

    /// 5/0/1
    pub(crate) fn write_uri(&mut self, uri: &str) -> Result<Act, NotNow> {
        if uri.is_empty() {
            return self.reset();
        }
        if self.state != State::Idle {
            return Err(NotNow);
        }
        self.begin(Source::Uri(uri.to_owned()));
        Ok(Act::Download)
    }

    /// The first part of 5/0/0. A push that was begun may begin again.
    pub(crate) fn begin_push(&mut self) -> Result<Act, NotNow> {
        match (self.state, &self.source) {
            (State::Idle, _) | (State::Downloading, Source::Pushed) => {
                self.begin(Source::Pushed);
                Ok(Act::Discard)
            }
            (State::Downloading | State::Downloaded | State::Updating, _) => Err(NotNow),
        }
    }

    /// A person brings a package, which is installed at once. `is_stuck`: the updater has said
    /// nothing new for long.
    pub(crate) fn begin_local(&mut self, is_stuck: bool) -> Result<Act, NotNow> {
        if self.state == State::Updating && !is_stuck {
            return Err(NotNow);
        }
        self.begin(Source::Local);
        Ok(Act::Discard)
    }

    /// A person wants the version back that was there before.
    pub(crate) fn roll_back(&mut self) -> Result<Act, NotNow> {
        if self.state == State::Updating {
            return Err(NotNow);
        }
        self.begin(Source::Local);
        Ok(self.install())
    }

    fn begin(&mut self, source: Source) {
        *self = Self {
            state: State::Downloading,
            outcome: Outcome::Initial,
            source,
            package: None,
            deferred: None,
            words: String::new(),
            ..self.clone()
        };
    }

    /// Whether parts of a push are expected.
    pub(crate) fn is_pushed(&self) -> bool {
        self.state == State::Downloading && self.source == Source::Pushed
    }

    /// Whether parts of a person's package are.
    pub(crate) fn is_local(&self) -> bool {
        self.state == State::Downloading && self.source == Source::Local
    }

    /// Nothing at 5/0/0 or 5/0/1.
    pub(crate) fn reset(&mut self) -> Result<Act, NotNow> {
        if self.state == State::Updating {
            return Err(NotNow);
        }
        self.idle(Outcome::Initial, "");
        Ok(Act::Discard)
    }

    /// 5/0/10
    pub(crate) fn cancel(&mut self) -> Result<Act, NotNow> {
        if self.state == State::Updating {
            return Err(NotNow);
        }
        self.idle(Outcome::Cancelled, "");
        Ok(Act::Discard)
    }

    /// The package is there as a whole, and signed for this box. `is_held`: people work at it.
    pub(crate) fn downloaded(&mut self, name: String, version: String, is_held: bool) -> Act {
        if self.state != State::Downloading {
            return Act::Nothing;
        }
        self.state = State::Downloaded;
        self.package = Some((name, version));
        match self.source {
            Source::Local => self.install(),
            _ if self.is_automatic => self.decide(is_held),
            Source::None | Source::Pushed | Source::Uri(_) => Act::Nothing,
        }
    }

    /// It will not come, or it is not right.
    pub(crate) fn fail(&mut self, outcome: Outcome, words: &str) -> Act {
        if self.state != State::Downloading {
            return Act::Nothing;
        }
        self.idle(outcome, words);
        Act::Discard
    }

    /// 5/0/2
    pub(crate) fn update(&mut self, is_held: bool) -> Result<Act, NotNow> {
        if self.state != State::Downloaded {
            return Err(NotNow);
        }
        Ok(self.decide(is_held))
    }

    /// Where people work at the box, what is not critical waits for them, but not for ever.
    fn decide(&mut self, is_held: bool) -> Act {
        if is_held && self.severity != Severity::Critical && self.max_defer_s > 0 {
            self.outcome = Outcome::Deferred;
            self.deferred.get_or_insert(Duration::ZERO);
            return Act::Nothing;
        }
        self.install()
    }

    /// So much time has passed.
    pub(crate) fn pass(&mut self, time: Duration, is_held: bool) -> Act {
        let Some(waited) = &mut self.deferred else {
            return Act::Nothing;
        };
        *waited += time;
        if is_held && waited.as_secs() < self.max_defer_s {
            return Act::Nothing;
        }
        self.install()
    }

    fn install(&mut self) -> Act {
        self.state = State::Updating;
        self.outcome = Outcome::Initial;
        self.deferred = None;
        self.number = self.number.wrapping_add(1);
        Act::Install(self.number)
    }

    /// What the updater says; of another number it is of no concern.
    pub(crate) fn on_report(&mut self, report: &Report) -> Act {
        if self.state != State::Updating || report.id != self.number.to_string() {
            return Act::Nothing;
        }
        let outcome = match report.phase {
            Phase::Checking | Phase::GoingBack | Phase::Installing | Phase::Proving => {
                return Act::Nothing;
            }
            Phase::Installed => Outcome::Success,
            // The package may be tried again.
            Phase::Failed | Phase::RolledBack if self.package.is_some() => {
                self.state = State::Downloaded;
                self.outcome = Outcome::Failed;
                self.words.clone_from(&report.words);
                return Act::Nothing;
            }
            Phase::Failed | Phase::RolledBack => Outcome::Failed,
            Phase::Refused(reason) => Outcome::from(reason),
        };
        self.idle(outcome, &report.words);
        Act::Discard
    }

    fn idle(&mut self, outcome: Outcome, words: &str) {
        *self = Self {
            state: State::Idle,
            outcome,
            source: Source::None,
            package: None,
            deferred: None,
            words: words.to_owned(),
            ..self.clone()
        };
    }
}

/// What is said in the place of an updater that says nothing.
pub(crate) fn nobody(id: &str) -> Report {
    Report {
        id: id.to_owned(),
        phase: Phase::Failed,
        from: None,
        to: None,
        words: "nobody installs it: systemctl status lamplighter-updater".to_owned(),
    }
}

impl From<Reason> for Outcome {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Downgrade => Self::Failed,
            Reason::Integrity => Self::Integrity,
            Reason::NoSpace => Self::NoSpace,
            Reason::Unsupported => Self::Unsupported,
        }
    }
}

impl TryFrom<i64> for Severity {
    type Error = ();

    fn try_from(number: i64) -> Result<Self, ()> {
        match number {
            0 => Ok(Self::Critical),
            1 => Ok(Self::Mandatory),
            2 => Ok(Self::Optional),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests;
