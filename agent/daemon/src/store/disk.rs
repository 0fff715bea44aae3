//! All that the store asks of files, so that tests can take the power away between any two of it.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use crate::{atomic, clock};

/// Files of one directory, by name.
///
/// What was written is with the operating system: it survives the end of the process, not a power
/// cut. What was synced survives both.
pub(crate) trait Disk: Send + std::fmt::Debug {
    /// The content; `None` where there is no such file.
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// The length of a file and its last bytes, at most so many; `None` where there is no such file.
    fn end(&mut self, name: &str, most: usize) -> io::Result<Option<(u64, Vec<u8>)>>;
    /// Writes into a file, which is made where there is none.
    fn write_at(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// A second name for a file, in place of what has it.
    fn link(&mut self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// In place of what has the name; either both names change or none does.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    fn names(&mut self) -> io::Result<Vec<String>>;
    /// Makes durable which names there are.
    fn sync_names(&mut self) -> io::Result<()>;
    /// Opens a database, whose transactions are durable as a whole or not at all.
    fn database(&mut self, name: &str) -> rusqlite::Result<Connection>;
    /// A number that no other process has.
    fn process(&mut self) -> u64;
    /// Stands before every end of a transaction.
    fn before_commit(&mut self) -> io::Result<()>;
}

/// The state directory.
#[derive(Debug)]
pub(crate) struct StateDir {
    directory: PathBuf,
    open: BTreeMap<String, File>,
}

impl StateDir {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            open: BTreeMap::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn file(&mut self, name: &str) -> io::Result<&File> {
        let path = self.path(name);
        match self.open.entry(name.to_owned()) {
            std::collections::btree_map::Entry::Occupied(open) => Ok(open.into_mut()),
            std::collections::btree_map::Entry::Vacant(free) => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).mode(0o600);
                let file = options.truncate(false).open(&path)?;
                atomic::own_like(&path, &self.directory)?;
                Ok(free.insert(file))
            }
        }
    }

    fn forget(&mut self, name: &str) {
        self.open.remove(name);
    }
}

impl Disk for StateDir {
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn end(&mut self, name: &str, most: usize) -> io::Result<Option<(u64, Vec<u8>)>> {
        let file = match File::open(self.path(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        let from = length.saturating_sub(most as u64);
        let mut bytes = vec![0; usize::try_from(length - from).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, from)?;
        Ok(Some((length, bytes)))
    }

    fn write_at(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all_at(bytes, at)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn link(&mut self, from: &str, to: &str) -> io::Result<()> {
        match fs::remove_file(self.path(to)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.forget(to);
        fs::hard_link(self.path(from), self.path(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.forget(name);
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.forget(from);
        self.forget(to);
        fs::rename(self.path(from), self.path(to))
    }

    fn names(&mut self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn sync_names(&mut self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn database(&mut self, name: &str) -> rusqlite::Result<Connection> {
        let path = self.path(name);
        let connection = Connection::open(&path)?;
        // SQLite gives its journal the mode and owner of the database.
        let private =
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .and_then(|()| atomic::own_like(&path, &self.directory));
        if let Err(error) = private {
            tracing::warn!(file = %path.display(), %error, "Cannot keep the database private");
        }
        Ok(connection)
    }

    fn process(&mut self) -> u64 {
        clock::seed()
    }

    fn before_commit(&mut self) -> io::Result<()> {
        Ok(())
    }
}
