//! Two pseudo-terminals joined as two ports by a null modem, with the speed of a real line: every
//! byte takes its time on the wire, and is written down with it.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    pty::openpty,
    sys::{
        prctl::set_timerslack,
        termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr},
    },
    unistd::{read, ttyname, write},
};
use tokio::time::Instant;

/// The line; its threads end when it is dropped.
#[derive(Debug)]
pub struct NullModem {
    paths: [PathBuf; 2],
    /// Open for good, so that the line stays when a side closes its port.
    _ports: [OwnedFd; 2],
    passed: Arc<Mutex<Vec<Passed>>>,
    over: Arc<AtomicBool>,
}

/// One byte on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// Sent by the port at the near end, the master's.
    pub is_from_near: bool,
    pub byte: u8,
    pub start: Instant,
    pub end: Instant,
}

/// What the near end sent, and what came back until it sent again.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    pub request: (Instant, Instant),
    pub reply: (Instant, Instant),
    /// Bytes of both.
    pub bytes: u32,
}

impl NullModem {
    /// A line on which every character takes `char_time`.
    ///
    /// # Errors
    /// Whatever the system says when no pseudo-terminal can be had.
    pub fn open(char_time: Duration) -> io::Result<Self> {
        let (near_master, near) = raw_pty()?;
        let (far_master, far) = raw_pty()?;
        let modem = Self {
            paths: [ttyname(&near)?, ttyname(&far)?],
            _ports: [near, far],
            passed: Arc::default(),
            over: Arc::default(),
        };
        let (near_to, far_to) = (near_master.try_clone()?, far_master.try_clone()?);
        modem.join(near_master, far_to, true, char_time);
        modem.join(far_master, near_to, false, char_time);
        Ok(modem)
    }

    /// The port that the master opens.
    pub fn near(&self) -> &Path {
        &self.paths[0]
    }

    /// The port that the slave opens.
    pub fn far(&self) -> &Path {
        &self.paths[1]
    }

    /// Takes all bytes so far, as exchanges; one that has no reply yet is left out.
    pub fn take_exchanges(&self) -> Vec<Exchange> {
        let passed = std::mem::take(&mut *lock(&self.passed));
        let runs: Vec<&[Passed]> = passed
            .chunk_by(|a, b| a.is_from_near == b.is_from_near)
            .collect();
        let exchange = |pair: &[&[Passed]]| {
            let [request @ [first, ..], reply @ [begin, ..]] = pair else {
                return None;
            };
            Some(Exchange {
                request: (first.start, request.last()?.end),
                reply: (begin.start, reply.last()?.end),
                bytes: u32::try_from(request.len() + reply.len()).ok()?,
            })
        };
        let skipped = usize::from(runs.first().is_some_and(|run| !run[0].is_from_near));
        runs[skipped..].chunks(2).filter_map(exchange).collect()
    }

    fn join(&self, from: OwnedFd, to: OwnedFd, is_from_near: bool, char_time: Duration) {
        let (passed, over) = (Arc::clone(&self.passed), Arc::clone(&self.over));
        thread::spawn(move || {
            // A thread that cannot be woken exactly is still woken.
            let _as_exact_as_possible = set_timerslack(1);
            let mut free = Instant::now();
            let mut bytes = [0; 512];
            while !over.load(Ordering::Relaxed) {
                // What waits already follows without a gap, however late this thread is.
                if !is_readable(&from, PollTimeout::ZERO) {
                    if !is_readable(&from, PollTimeout::from(100u8)) {
                        continue;
                    }
                    free = free.max(Instant::now());
                }
                let Ok(count) = read(&from, &mut bytes) else {
                    return;
                };
                for byte in &bytes[..count] {
                    let start = free;
                    free += char_time;
                    thread::sleep(free.saturating_duration_since(Instant::now()));
                    lock(&passed).push(Passed {
                        is_from_near,
                        byte: *byte,
                        start,
                        end: free,
                    });
                    if write(&to, std::slice::from_ref(byte)).is_err() {
                        return;
                    }
                }
            }
        });
    }
}

impl Drop for NullModem {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_readable(port: &OwnedFd, within: PollTimeout) -> bool {
    let mut ready = [PollFd::new(port.as_fd(), PollFlags::POLLIN)];
    poll(&mut ready, within).is_ok_and(|count| count > 0)
}

fn raw_pty() -> io::Result<(OwnedFd, OwnedFd)> {
    let pair = openpty(None, None)?;
    let mut termios = tcgetattr(&pair.slave)?;
    cfmakeraw(&mut termios);
    tcsetattr(&pair.slave, SetArg::TCSANOW, &termios)?;
    Ok((pair.master, pair.slave))
}
