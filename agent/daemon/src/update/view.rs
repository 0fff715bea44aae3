//! What people see of an update.

use std::fmt;

use lamplighter_updater::handover::Phase;
use serde::{Deserialize, Serialize};

use super::{
    Shown,
    machine::{Machine, Outcome, State},
};

/// `GET /update`. Fields are added, never renamed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct UpdateView {
    /// `idle`, `downloading`, `downloaded` or `updating`.
    pub(crate) state: String,
    /// 5/0/5
    pub(crate) result: u8,
    /// Version of this program.
    pub(crate) running: String,
    /// Of the package that is there.
    pub(crate) package: Option<String>,
    /// What the updater does: `checking`, `installing`, `proving`, `going_back`.
    pub(crate) phase: Option<String>,
    /// What went wrong.
    pub(crate) words: String,
}

impl UpdateView {
    pub(super) fn of(shown: &Shown) -> Self {
        let machine = &shown.machine;
        let state = match machine.state {
            State::Idle => "idle",
            State::Downloading => "downloading",
            State::Downloaded => "downloaded",
            State::Updating => "updating",
        };
        let phase = shown.phase.as_ref().and_then(|report| match report.phase {
            Phase::Checking => Some("checking"),
            Phase::GoingBack => Some("going_back"),
            Phase::Installing => Some("installing"),
            Phase::Proving => Some("proving"),
            Phase::Failed | Phase::Installed | Phase::Refused(_) | Phase::RolledBack => None,
        });
        let words = match &shown.phase {
            Some(report) if machine.state == State::Updating => report.words.clone(),
            Some(_) | None => machine.words.clone(),
        };
        Self {
            state: state.to_owned(),
            result: machine.outcome as u8,
            running: env!("CARGO_PKG_VERSION").to_owned(),
            package: machine.package.as_ref().map(|(_, version)| version.clone()),
            phase: phase.map(str::to_owned),
            words,
        }
    }

    /// Nothing follows by itself.
    pub(crate) fn is_over(&self) -> bool {
        let is_failed = self.result == Outcome::Failed as u8;
        self.state == "idle" || self.state == "downloaded" && is_failed
    }

    pub(crate) fn has_succeeded(&self) -> bool {
        self.result == Outcome::Success as u8
    }

    fn result_words(&self) -> &'static str {
        match self.result {
            1 => "the new version runs",
            2 => "there is no room",
            4 => "the connection was lost",
            5 => "the package is damaged, or signed by another key",
            6 => "the package is not for this box",
            7 => "the address of the package is wrong",
            8 => "the version before runs again",
            9 => "the address of the package is of a kind that is not spoken",
            10 => "it was cancelled",
            11 => "it waits until nobody works at the box",
            _ => "no update",
        }
    }
}

/// What the log of events says of a change; `None`: nothing that matters.
pub(super) fn news(machine: &Machine, before: &Machine) -> Option<String> {
    let is = (machine.state, machine.outcome);
    if is == (before.state, before.outcome) {
        return None;
    }
    let version = machine.package.as_ref().or(before.package.as_ref());
    let version = version.map_or_else(String::new, |(_, version)| format!(" {version}"));
    Some(match is {
        (State::Downloading, _) => "a package is on its way".to_owned(),
        (State::Downloaded, Outcome::Deferred) => {
            format!("version{version} waits until nobody works at the box")
        }
        (State::Downloaded, Outcome::Failed) => format!("version{version} failed"),
        (State::Downloaded, _) => format!("version{version} is ready to be installed"),
        (State::Updating, _) => format!("version{version} is being installed"),
        (State::Idle, Outcome::Success) => format!("version{version} runs"),
        (State::Idle, Outcome::Initial | Outcome::Cancelled) => "no update".to_owned(),
        (State::Idle, _) => format!("version{version} is not installed"),
    })
}

/// One line.
impl fmt::Display for UpdateView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let package = self.package.as_deref().unwrap_or("the version before");
        match (self.state.as_str(), self.phase.as_deref()) {
            ("downloading", _) => f.write_str("a package is on its way")?,
            ("downloaded", _) if self.result == 0 => {
                write!(f, "{package} is ready to be installed")?
            }
            ("updating", None) => write!(f, "{package} is handed over to be installed")?,
            ("updating", Some("checking")) => write!(f, "{package} is being checked")?,
            ("updating", Some("installing")) => write!(f, "{package} is being installed")?,
            ("updating", Some("proving")) => {
                write!(f, "{package} is installed and has to prove itself")?
            }
            ("updating", Some(_)) => f.write_str("the version before is being installed again")?,
            _ => f.write_str(self.result_words())?,
        }
        if self.words.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.words)
    }
}
