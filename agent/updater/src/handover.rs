//! What agent and updater leave for each other.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::files;

/// Below the agent's state directory: what it hands over. Nothing in it is trusted.
pub const DIRECTORY: &str = "update";
/// The package as it was received.
pub const PACKAGE: &str = "package";
/// A [`Request`].
pub const REQUEST: &str = "request";
/// Below the updater's own directory: a [`Report`], for everybody to read.
pub const REPORT: &str = "report";
/// The updater's own directory, which only root writes.
pub const UPDATER_DIR: &str = "/var/lib/lamplighter-updater";

/// Longest request or report that is read.
const MAX_SMALL: u64 = 64 << 10;
/// Letters of an id, and of the words of a report.
const MAX_ID: usize = 64;
const MAX_WORDS: usize = 1000;

/// What the agent wants.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Request {
    /// Different for each; the report names it.
    pub id: String,
    pub wish: Wish,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// Install the package that lies beside the request.
    Install,
    /// Go back to the package that was installed before.
    Rollback,
}

/// What the updater does, or has done last.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Of the request.
    pub id: String,
    pub phase: Phase,
    /// Version that was installed when it began.
    #[serde(default)]
    pub from: Option<String>,
    /// Version that is to be installed.
    #[serde(default)]
    pub to: Option<String>,
    /// For people: what went wrong, or what it waits for.
    #[serde(default)]
    pub words: String,
}

/// In this order, up to one of the last four.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Checking,
    Installing,
    /// Installed; whether it works is watched.
    Proving,
    /// It does not; the one before is installed again.
    GoingBack,
    /// The new version runs.
    Installed,
    /// The version before runs again.
    RolledBack,
    /// The package was refused; nothing was changed.
    Refused(Reason),
    /// It could not be begun; nothing was changed.
    Failed,
}

/// Why a package is refused.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not signed by the key, or damaged.
    Integrity,
    /// Another package, another architecture, or no package at all.
    Unsupported,
    /// Older than what is installed, and not signed for that.
    Downgrade,
    /// No room on the disk.
    NoSpace,
}

impl Phase {
    /// Nothing follows by itself.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Failed | Self::Installed | Self::Refused(_) | Self::RolledBack => true,
            Self::Checking | Self::GoingBack | Self::Installing | Self::Proving => false,
        }
    }
}

/// Where the agent hands over.
pub fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join(DIRECTORY)
}

/// Puts a request there, all of it or nothing.
///
/// # Errors
/// Of the file system.
pub fn put_request(directory: &Path, request: &Request) -> io::Result<()> {
    files::replace(&directory.join(REQUEST), &json(request)?, 0o644)
}

/// `None`: there is none, or what is there is no request.
pub fn request(directory: &Path) -> Option<Request> {
    let request: Request = read(&directory.join(REQUEST), MAX_SMALL)?;
    (request.id.len() <= MAX_ID).then_some(request)
}

/// What the updater has told last; `None` where it has told nothing.
pub fn report(updater_dir: &Path) -> Option<Report> {
    read(&updater_dir.join(REPORT), MAX_SMALL)
}

/// What is too long to be read again is cut.
pub(crate) fn put_report(updater_dir: &Path, mut report: Report) -> io::Result<()> {
    if let Some((end, _)) = report.words.char_indices().nth(MAX_WORDS) {
        report.words.truncate(end);
    }
    files::replace(&updater_dir.join(REPORT), &json(&report)?, 0o644)
}

pub(crate) fn json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(io::Error::other)
}

pub(crate) fn read<T: for<'a> Deserialize<'a>>(path: &Path, max: u64) -> Option<T> {
    serde_json::from_slice(&files::read(path, max).ok()?).ok()
}
