//! What a running process costs, from /proc.

use std::{fs, process::Child, time::Duration};

use crate::Failure;

/// A child that ends with this value.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

/// In kB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) anonymous: u64,
}

impl Running {
    /// Time on a core of all its threads so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let first = text.split_whitespace().next();
            nanoseconds += first.ok_or("schedstat is empty")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    pub(crate) fn memory(&self) -> Result<Memory, Failure> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = |name: &str| -> Result<u64, Failure> {
            let found = text.lines().find_map(|line| line.strip_prefix(name));
            let number = found.and_then(|rest| rest.split_whitespace().next());
            Ok(number.ok_or("the kernel does not say it")?.parse()?)
        };
        Ok(Memory {
            resident: line("VmRSS:")?,
            anonymous: line("RssAnon:")?,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
