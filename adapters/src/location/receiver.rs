//! The line to a receiver, held by a task of its own.

use std::{io, time::Duration};

use lamplighter_model::Stamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{Lines, Report};
use crate::{
    Clock,
    bus::{Backoff, Opener},
};

/// Reports that wait for the adapter; what comes beyond waits in the line.
pub(super) const QUEUE: usize = 16;
/// Receivers speak every second, whether they know where they are or not.
const SILENCE: Duration = Duration::from_secs(10);
/// More bytes in a second are left in the line: no receiver has so much to say.
const MOST_PER_SECOND: usize = 256 * 1024;
const CHUNK: usize = 4096;

const REOPEN_FIRST: Duration = Duration::from_secs(1);
const REOPEN_MAX: Duration = Duration::from_secs(30);

/// Understands what a kind of receiver says, line by line.
pub trait Decode: Send + 'static {
    /// Longest line, in bytes; longer ones are left out.
    const LINE_MAX: usize;

    /// What is sent when the line has been opened.
    fn hello(&self) -> Vec<u8>;

    /// One line, without its end. Lines that say nothing of the position give nothing.
    fn line(&mut self, line: &[u8]) -> Option<Report>;

    /// The line was opened anew.
    fn reset(&mut self);
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum News {
    Report(Report, Stamp),
    /// The line is down, or silent.
    Lost,
}

/// Nobody listens any more.
struct Gone;

/// Listens until the adapter is no more.
pub(super) async fn listen<O, D>(
    mut opener: O,
    mut decoder: D,
    clock: Clock,
    out: mpsc::Sender<News>,
    seed: u64,
) where
    O: Opener,
    D: Decode,
{
    let mut backoff = Backoff::new(REOPEN_FIRST, REOPEN_MAX, seed);
    let mut known = None;
    loop {
        let attempt = attend(&mut opener, &mut decoder, &clock, &out, &mut backoff).await;
        let Ok(Err(error)) = attempt else { return };
        if known.as_ref() != Some(&error) {
            tracing::warn!(error, "The receiver of the position is not heard");
            known = Some(error);
        }
        if out.send(News::Lost).await.is_err() {
            return;
        }
        sleep(backoff.next_pause()).await;
    }
}

/// One life of the line; ends with the reason in words.
async fn attend<O: Opener, D: Decode>(
    opener: &mut O,
    decoder: &mut D,
    clock: &Clock,
    out: &mpsc::Sender<News>,
    backoff: &mut Backoff,
) -> Result<Result<(), String>, Gone> {
    let hello = decoder.hello();
    let opened = async {
        let mut port = opener.open().await?;
        if !hello.is_empty() {
            port.write_all(&hello).await?;
            port.flush().await?;
        }
        Ok::<_, io::Error>(port)
    };
    let mut port = match timeout(SILENCE, opened).await {
        Ok(Ok(port)) => port,
        Ok(Err(error)) => return Ok(Err(format!("cannot be opened: {error}"))),
        Err(_) => return Ok(Err("cannot be opened in time".to_owned())),
    };
    decoder.reset();
    let mut lines = Lines::new(D::LINE_MAX);
    let mut chunk = vec![0; CHUNK];
    let mut budget = Budget::new();
    let mut heard = Instant::now();
    loop {
        budget.wait().await;
        let read = tokio::select! {
            () = sleep_until(heard + SILENCE) => {
                let words = format!("has said nothing for {} s", SILENCE.as_secs());
                return Ok(Err(words));
            }
            read = port.read(&mut chunk) => read,
        };
        let count = match read {
            Ok(0) => return Ok(Err("the line was closed".to_owned())),
            Ok(count) => count,
            Err(error) => return Ok(Err(error.to_string())),
        };
        budget.spend(count);
        let mut reports = Vec::new();
        lines.push(&chunk[..count], |line| reports.extend(decoder.line(line)));
        if reports.is_empty() {
            continue;
        }
        (heard, _) = (Instant::now(), backoff.reset());
        let at = clock.stamp();
        for report in reports {
            out.send(News::Report(report, at)).await.map_err(|_| Gone)?;
        }
    }
}

/// What may be read in this second.
struct Budget {
    since: Instant,
    spent: usize,
}

impl Budget {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            spent: 0,
        }
    }

    const fn spend(&mut self, bytes: usize) {
        self.spent = self.spent.saturating_add(bytes);
    }

    async fn wait(&mut self) {
        let end = self.since + Duration::from_secs(1);
        if self.spent >= MOST_PER_SECOND {
            sleep_until(end).await;
        }
        if Instant::now() >= end {
            *self = Self::new();
        }
    }
}
