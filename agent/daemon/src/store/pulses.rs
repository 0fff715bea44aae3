//! Counters of pulses, a small file for each meter. They are written by whoever counts, on a thread
//! of the runtime, since they have nothing to do with what servers are told.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use lamplighter_adapters::s0::{Keep, Kept};
use lamplighter_model::Decimal;
use serde::{Deserialize, Serialize};

use super::{
    disk::{Disk, StateDir},
    snapshot,
};

const FORMAT: &str = "lamplighter pulses";
const VERSION: u32 = 1;
/// How the names of the files begin.
pub(super) const FILES: &str = "pulses-";

/// The file of one meter.
#[derive(Debug)]
pub(crate) struct PulseFile {
    directory: PathBuf,
    file: String,
    /// How often it was to be written.
    asked: u64,
    /// Up to which of these it has been.
    written: Arc<Mutex<u64>>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Saved {
    start: Decimal,
    pulses_per_unit: u32,
    unit: String,
    base: Decimal,
    pulses: u64,
    is_open: bool,
    gaps: u32,
}

impl PulseFile {
    /// `device`: as the configuration names it.
    pub(crate) fn new(directory: PathBuf, device: &str) -> Self {
        Self {
            directory,
            file: format!("{FILES}{device}.cbor"),
            asked: 0,
            written: Arc::default(),
        }
    }

    /// What writes this, unless something newer was written before.
    fn writer(&mut self, kept: Kept) -> impl FnOnce() + Send + 'static {
        self.asked += 1;
        let (number, written) = (self.asked, Arc::clone(&self.written));
        let (directory, file) = (self.directory.clone(), self.file.clone());
        move || {
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            if *written > number {
                return;
            }
            let mut disk = StateDir::new(&directory);
            match snapshot::write(&mut disk, &file, FORMAT, VERSION, &Saved::from(kept)) {
                Ok(_) => *written = number,
                Err(error) => tracing::error!(file, %error, "Cannot keep a counter"),
            }
        }
    }
}

impl Keep for PulseFile {
    fn load(&mut self) -> Result<Option<Kept>, String> {
        let mut disk = StateDir::new(&self.directory);
        if let Some(found) = snapshot::read::<Saved>(&mut disk, &self.file, FORMAT, VERSION) {
            return Ok(Some(found.body.into()));
        }
        match disk.read(&self.file) {
            Ok(None) => Ok(None),
            Ok(Some(_)) | Err(_) => Err(format!(
                "what was counted cannot be read: {} is damaged or of a newer version; put it back \
                 from a backup, or move it away to begin anew",
                self.directory.join(&self.file).display()
            )),
        }
    }

    fn save(&mut self, kept: Kept) {
        let write = self.writer(kept);
        tokio::task::spawn_blocking(write);
    }

    fn finish(&mut self, kept: Kept) {
        self.writer(kept)();
    }
}

impl From<Kept> for Saved {
    fn from(kept: Kept) -> Self {
        let Kept {
            start,
            pulses_per_unit,
            unit,
            base,
            pulses,
            is_open,
            gaps,
        } = kept;
        Self {
            start,
            pulses_per_unit,
            unit,
            base,
            pulses,
            is_open,
            gaps,
        }
    }
}

impl From<Saved> for Kept {
    fn from(saved: Saved) -> Self {
        let Saved {
            start,
            pulses_per_unit,
            unit,
            base,
            pulses,
            is_open,
            gaps,
        } = saved;
        Self {
            start,
            pulses_per_unit,
            unit,
            base,
            pulses,
            is_open,
            gaps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(pulses: u64) -> Kept {
        Kept {
            start: "12.5".parse().unwrap(),
            pulses_per_unit: 1000,
            unit: "kWh".to_owned(),
            base: "12.5".parse().unwrap(),
            pulses,
            is_open: true,
            gaps: 2,
        }
    }

    #[tokio::test]
    async fn a_counter_comes_back_as_it_was_and_never_an_older_one() {
        let directory = crate::fake::directory("pulses");
        let mut file = PulseFile::new(directory.clone(), "heat_pump");
        assert_eq!(file.load(), Ok(None));
        let late = file.writer(kept(1));
        file.finish(kept(2));
        late();
        assert_eq!(file.load(), Ok(Some(kept(2))));
        assert_eq!(PulseFile::new(directory.clone(), "other").load(), Ok(None));
        let damaged = directory.join("pulses-damaged.cbor");
        crate::atomic::write(&damaged, b"nonsense", 0o600).unwrap();
        let why = PulseFile::new(directory, "damaged").load().unwrap_err();
        assert!(why.contains("cannot be read"), "{why}");
    }

    #[tokio::test]
    async fn a_factory_reset_forgets_what_was_counted() {
        let directory = crate::fake::directory("pulses-reset");
        let mut file = PulseFile::new(directory.clone(), "heat_pump");
        file.finish(kept(1));
        file.finish(kept(2));
        super::super::erase(&directory).unwrap();
        assert_eq!(file.load(), Ok(None));
        assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0);
    }
}
