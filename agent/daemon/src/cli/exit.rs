//! How the program ends: every expected failure has a number of its own.
//!
//! systemd's `RestartPreventExitStatus` names [`Exit::Configuration`]: starting again would not help.

use std::{fmt, io, process::ExitCode};

use crate::{
    config::{Problem, Severity},
    start::StartError,
};

/// The exit codes of the contract.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Exit {
    Ok = 0,
    /// Anything else; the reason is on stderr.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The configuration has errors.
    Configuration = 3,
    /// The agent does not run.
    NotRunning = 4,
    /// The agent, a server or a device refused.
    Refused = 5,
    /// This user may not.
    NoPermission = 6,
}

/// Why a command failed, as a fragment that fits after `lamplighter: `.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    pub exit: Exit,
    pub text: String,
    /// Who read our output has closed it: nothing to complain about.
    is_closed_pipe: bool,
}

impl Failure {
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self {
            exit,
            text: text.into(),
            is_closed_pipe: false,
        }
    }

    pub(super) fn is_closed_pipe(&self) -> bool {
        self.is_closed_pipe
    }

    pub fn failed(text: impl Into<String>) -> Self {
        Self::new(Exit::Failed, text)
    }

    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    /// The same, with where it happened.
    pub(super) fn at(self, place: impl fmt::Display) -> Self {
        Self {
            text: format!("{place}: {}", self.text),
            ..self
        }
    }

    /// What needs a valid configuration found none.
    pub(super) fn invalid(problems: &[Problem]) -> Self {
        let is_error = |problem: &&Problem| match problem.severity {
            Severity::Account | Severity::Error => true,
            Severity::Warning => false,
        };
        let errors = problems.iter().filter(is_error);
        let lines: Vec<String> = errors.map(ToString::to_string).collect();
        Self::new(
            Exit::Configuration,
            format!("the configuration is invalid\n{}", lines.join("\n")),
        )
    }

    /// A command of the contract that this version does not have.
    pub fn not_built(what: &str) -> Self {
        Self::failed(format!("{what}: {}", crate::config::NOT_AVAILABLE))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let is_forbidden = error.kind() == io::ErrorKind::PermissionDenied;
        let exit = if is_forbidden {
            Exit::NoPermission
        } else {
            Exit::Failed
        };
        let is_closed_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self {
            is_closed_pipe,
            ..Self::new(exit, error.to_string())
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Configuration(problems) => Self::invalid(&problems),
            StartError::Socket(error) => Self::failed(error.to_string()),
            error @ StartError::StateInUse(_) => Self::failed(error.to_string()),
            StartError::Io { what, path, error } => Self::from(error).at(format!("{what} {path}")),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
