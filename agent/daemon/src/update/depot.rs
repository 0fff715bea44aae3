//! Files of an update below the state directory. Everything here may wait for the disk, so it is never
//! called on the loop.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use lamplighter_updater::{
    files,
    handover::{self, PACKAGE, REQUEST, Report, Request, Wish},
    verify::{self, Package, Refusal},
};
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use crate::config::Update;

const STATE: &str = "state";
/// What has come so far.
const PART: &str = "part";
/// All of it, not checked yet.
const WHOLE: &str = "whole";
/// Where it comes from.
const ORIGIN: &str = "origin";
/// The package taken out to be checked.
const TAKEN_OUT: &str = "checked";
const MAX_STATE: u64 = 64 << 10;
/// So many bytes go to the disk at once, so that the last of them do not wait for all others.
const SYNC_EACH: u64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Depot {
    directory: PathBuf,
    reports: PathBuf,
    settings: Update,
    /// What is being written.
    part: Mutex<Option<(File, u64)>>,
}

/// Where a part of a package comes from; what follows must come from the same version of it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Origin {
    pub(crate) uri: String,
    /// As the server gives it; without one nothing is added to what is there.
    pub(crate) etag: Option<Vec<u8>>,
}

/// Where the updater's directory is: beside the agent's, as both are given by the package.
pub(crate) fn updater_dir(state_dir: &Path) -> PathBuf {
    let mut name = state_dir.file_name().unwrap_or_default().to_owned();
    name.push("-updater");
    state_dir.with_file_name(name)
}

impl Depot {
    pub(crate) fn new(state_dir: &Path, settings: Update) -> Self {
        Self {
            directory: handover::directory(state_dir),
            reports: updater_dir(state_dir),
            settings,
            part: Mutex::new(None),
        }
    }

    pub(crate) fn load(&self) -> Machine {
        let content = files::read(&self.own(STATE), MAX_STATE).unwrap_or_default();
        let mut machine: Machine = serde_json::from_slice(&content).unwrap_or_default();
        // Its state may be lost while the updater still knows its numbers.
        let asked = handover::request(&self.directory).map(|request| request.id);
        let answered = self.report().map(|report| report.id);
        for used in asked.into_iter().chain(answered) {
            machine.count_on_from(used.parse().unwrap_or_default());
        }
        machine
    }

    pub(crate) fn save(&self, machine: &Machine) -> io::Result<()> {
        if !self.directory.is_dir() {
            fs::create_dir_all(&self.directory)?;
        }
        let content = serde_json::to_vec(machine).map_err(io::Error::other)?;
        files::replace(&self.own(STATE), &content, 0o600)
    }

    /// Begins with nothing.
    pub(crate) fn begin(&self, origin: &Origin) -> io::Result<()> {
        self.discard()?;
        fs::create_dir_all(&self.directory)?;
        self.keep_origin(origin)?;
        let file = files::create(&self.own(PART), 0o600)?;
        *self.part() = Some((file, 0));
        Ok(())
    }

    /// Bytes that are there of a package of this origin, to be gone on with.
    pub(crate) fn go_on(&self, uri: &str) -> Option<(Origin, u64)> {
        let content = files::read(&self.own(ORIGIN), MAX_STATE).ok()?;
        let origin: Origin = serde_json::from_slice(&content).ok()?;
        origin.etag.as_ref()?;
        if origin.uri != uri {
            return None;
        }
        let file = OpenOptions::new().append(true).open(self.own(PART)).ok()?;
        let length = file.metadata().ok()?.len();
        *self.part() = Some((file, length));
        Some((origin, length))
    }

    pub(crate) fn keep_origin(&self, origin: &Origin) -> io::Result<()> {
        let content = serde_json::to_vec(origin).map_err(io::Error::other)?;
        files::replace(&self.own(ORIGIN), &content, 0o600)
    }

    /// Adds what comes next. What is there already is not written again, a gap is refused.
    pub(crate) fn add(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut part = self.part();
        let Some((file, length)) = part.as_mut() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.settings.max_size {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if end <= *length {
            return Ok(());
        }
        if offset != *length {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        file.write_all(bytes)?;
        if *length / SYNC_EACH != end / SYNC_EACH {
            file.sync_data()?;
        }
        *length = end;
        Ok(())
    }

    /// Nothing follows: what has come survives a power cut from here on.
    pub(crate) fn complete(&self) -> io::Result<()> {
        let Some((file, _)) = self.part().take() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        file.sync_all()?;
        files::put_in_place(&self.own(PART), &self.own(WHOLE))
    }

    /// There is something to be checked.
    pub(crate) fn is_complete(&self) -> bool {
        self.own(WHOLE).exists()
    }

    /// What has come is handed over where it is signed for this box.
    pub(crate) fn finish(&self) -> Result<Package, Refusal> {
        let Update {
            key,
            installer,
            max_size,
            ..
        } = &self.settings;
        let (whole, taken_out) = (self.own(WHOLE), self.own(TAKEN_OUT));
        let package = verify::extract(&whole, &taken_out, key, installer, *max_size);
        let _ = files::remove(&taken_out);
        let package = package?;
        let placed = files::put_in_place(&whole, &self.own(PACKAGE));
        placed.map_err(|error| unwritten(&error))?;
        Ok(package)
    }

    /// Forgets everything that has come.
    pub(crate) fn discard(&self) -> io::Result<()> {
        *self.part() = None;
        for name in [PART, WHOLE, ORIGIN, PACKAGE, TAKEN_OUT, REQUEST] {
            files::remove(&self.own(name))?;
        }
        Ok(())
    }

    /// Asks the updater; once for each number, unless nobody has heard it.
    pub(crate) fn ask(&self, number: u64, wish: Wish) -> io::Result<()> {
        let id = number.to_string();
        fs::create_dir_all(&self.directory)?;
        handover::put_request(&self.directory, &Request { id, wish })
    }

    /// Nobody has taken up what was asked for, and nobody is to do it later.
    pub(crate) fn withdraw(&self) -> io::Result<()> {
        files::remove(&self.own(REQUEST))
    }

    pub(crate) fn report(&self) -> Option<Report> {
        handover::report(&self.reports)
    }

    pub(crate) const fn max_size(&self) -> u64 {
        self.settings.max_size
    }

    fn part(&self) -> std::sync::MutexGuard<'_, Option<(File, u64)>> {
        self.part.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

fn unwritten(error: &io::Error) -> Refusal {
    (handover::Reason::NoSpace, error.to_string())
}
