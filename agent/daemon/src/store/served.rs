//! What programs have declared of devices that they serve (`adapter = "remote"`), one snapshot each.

use std::{path::Path, sync::mpsc, thread};

use lamplighter_adapters::remote::{Keep, Kept};

use super::{
    disk::{Disk, StateDir},
    snapshot,
};

const FORMAT: &str = "lamplighter served";
const VERSION: u32 = 1;
const PREFIX: &str = "served-";

/// What was kept of a device; nothing where there is nothing that can be read.
pub(crate) fn read(state_dir: &Path, device: &str) -> Kept {
    let mut disk = StateDir::new(state_dir);
    let found = snapshot::read(&mut disk, &file(device), FORMAT, VERSION);
    found.map(|found| found.body).unwrap_or_default()
}

pub(super) fn is_file(name: &str) -> bool {
    name.starts_with(PREFIX)
}

fn file(device: &str) -> String {
    format!("{PREFIX}{device}.cbor")
}

/// Writes on a thread of its own. What comes faster than the disk takes it is passed over, but for
/// the last; dropping this waits for that.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// `None` once it ends.
    news: Option<mpsc::Sender<Kept>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Keeper {
    pub(crate) fn new(state_dir: &Path, device: &str) -> Self {
        let (news, heard) = mpsc::channel::<Kept>();
        let (mut disk, file) = (StateDir::new(state_dir), file(device));
        let mut written = None;
        let thread = thread::spawn(move || {
            while let Ok(kept) = heard.recv() {
                let kept = heard.try_iter().last().unwrap_or(kept);
                if written.as_ref() != Some(&kept) {
                    keep(&mut disk, &file, &kept);
                    written = Some(kept);
                }
            }
        });
        Self {
            news: Some(news),
            thread: Some(thread),
        }
    }
}

fn keep(disk: &mut dyn Disk, file: &str, kept: &Kept) {
    if let Err(error) = snapshot::write(disk, file, FORMAT, VERSION, kept) {
        tracing::warn!(file, %error, "What a program has declared cannot be kept");
    }
}

impl Keep for Keeper {
    fn keep(&self, kept: Kept) {
        if let Some(news) = &self.news {
            // The thread ends after this only.
            let _ = news.send(kept);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.news = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_adapters::remote::KeptResource;
    use lamplighter_model::{ResourceAddress, Sample, Stamp, Value};

    use super::*;

    #[test]
    fn what_is_kept_last_is_read_and_goes_with_a_factory_reset() {
        let directory = crate::fake::directory("served");
        assert_eq!(read(&directory, "boiler"), Kept::default());
        let address = ResourceAddress::gateway(3303, 7, 5700);
        let resource = KeptResource {
            address,
            read: true,
            write: false,
            execute: false,
            ask: false,
        };
        let of = |value| Kept {
            resources: vec![resource],
            samples: vec![Sample::good(address, Value::Float(value), Stamp::default())],
        };
        let keeper = Keeper::new(&directory, "boiler");
        keeper.keep(of(1.0));
        keeper.keep(of(2.0));
        drop(keeper);
        assert_eq!(read(&directory, "boiler"), of(2.0));
        super::super::erase(&directory).unwrap();
        assert_eq!(read(&directory, "boiler"), Kept::default());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
