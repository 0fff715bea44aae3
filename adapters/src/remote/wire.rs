//! Lines over a stream. Everything can be dropped at any time: what has come is in the buffer, what
//! is to go leaves it byte by byte.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::{Instant, sleep_until},
};

/// Longest line of a program.
pub const LINE_MAX: usize = 65_536;

/// What a program may leave unread before it is let go.
pub const UNREAD_MAX: usize = 262_144;

/// Most bytes of one read.
const CHUNK: usize = 8192;

/// How long a last word may take.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Why there are no more lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WireEnd {
    /// The program is gone.
    Gone,
    /// A line is longer than [`LINE_MAX`].
    TooLong,
    /// It does not read what it is told.
    Unread,
}

/// One connection.
#[derive(Debug)]
pub struct Wire<S> {
    stream: S,
    input: Vec<u8>,
    /// No end of a line before here.
    searched: usize,
    /// Bytes of `input` that were handed out already.
    taken: usize,
    output: Vec<u8>,
    /// Bytes of `output` that have left.
    left: usize,
    /// Bytes that were in `output` once, for the places of lines.
    cleared: u64,
}

/// Where a line stands among all that is said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place(std::ops::Range<u64>);

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            input: Vec::new(),
            searched: 0,
            taken: 0,
            output: Vec::new(),
            left: 0,
            cleared: 0,
        }
    }

    /// Puts a line into the queue.
    pub fn tell(&mut self, line: &[u8]) {
        self.output.extend_from_slice(line);
    }

    /// As [`Self::tell`], for a line that may be taken back.
    pub(super) fn tell_for_now(&mut self, line: &[u8]) -> Place {
        let start = self.cleared + self.output.len() as u64;
        self.tell(line);
        Place(start..start + line.len() as u64)
    }

    /// Takes a line out of the queue again, the one that was told last for now; `false` where some of
    /// it has left.
    pub(super) fn take_back(&mut self, Place(place): Place) -> bool {
        let at = |place: u64| usize::try_from(place.checked_sub(self.cleared)?).ok();
        let (Some(start), Some(end)) = (at(place.start), at(place.end)) else {
            return false;
        };
        if start < self.left {
            return false;
        }
        self.output.drain(start..end);
        true
    }

    /// Whether a whole line is here already.
    pub fn has_line(&mut self) -> bool {
        self.end_of_line().is_some()
    }

    /// The next line, without its end; meanwhile what is to go goes. Before `not_before` nothing is
    /// read: the program waits once the buffers between are full.
    pub async fn line(&mut self, not_before: Option<Instant>) -> Result<Vec<u8>, WireEnd> {
        let mut held = not_before.filter(|at| *at > Instant::now());
        loop {
            if held.is_none()
                && let Some(line) = self.take_line()?
            {
                return Ok(line);
            }
            if self.output.len() - self.left > UNREAD_MAX {
                return Err(WireEnd::Unread);
            }
            self.turn(&mut held).await?;
        }
    }

    async fn turn(&mut self, held: &mut Option<Instant>) -> Result<(), WireEnd> {
        let until = *held;
        tokio::select! {
            biased;
            moved = poll_fn(|cx| self.poll_move(cx, until.is_none())) => moved,
            () = at(until) => {
                *held = None;
                Ok(())
            }
        }
    }

    /// Moves some bytes, in one direction or both.
    fn poll_move(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<Result<(), WireEnd>> {
        let mut has_moved = false;
        if self.left < self.output.len() {
            let sent = Pin::new(&mut self.stream).poll_write(cx, &self.output[self.left..]);
            if let Poll::Ready(sent) = sent {
                has_moved = true;
                // One that does not listen any more may have said something before it went.
                self.left = match sent {
                    Ok(sent) if sent > 0 => self.left + sent,
                    Ok(_) | Err(_) => self.output.len(),
                };
            }
            if self.left == self.output.len() {
                self.cleared += self.left as u64;
                self.output.clear();
                self.left = 0;
            }
        }
        if reads {
            let mut bytes = [0; CHUNK];
            let mut chunk = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(cx, &mut chunk) {
                Poll::Ready(Ok(())) if !chunk.filled().is_empty() => {
                    self.input.extend_from_slice(chunk.filled());
                    has_moved = true;
                }
                Poll::Ready(_) => return Poll::Ready(Err(WireEnd::Gone)),
                Poll::Pending => (),
            }
        }
        if has_moved {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Sends what is still to go and these last words, for a bounded time.
    pub async fn close(mut self, line: &[u8]) {
        self.tell(line);
        let rest = self.output.get(self.left..).unwrap_or_default();
        let _ = tokio::time::timeout(LAST_WORD, self.stream.write_all(rest)).await;
    }

    fn end_of_line(&mut self) -> Option<usize> {
        let from = self.searched.max(self.taken);
        let found = self.input[from..].iter().position(|byte| *byte == b'\n');
        if found.is_none() {
            self.searched = self.input.len();
        }
        found.map(|at| from + at)
    }

    fn take_line(&mut self) -> Result<Option<Vec<u8>>, WireEnd> {
        let Some(end) = self.end_of_line() else {
            if self.taken > 0 {
                self.input.drain(..self.taken);
                self.searched -= self.taken;
                self.taken = 0;
            }
            if self.input.len() > LINE_MAX {
                return Err(WireEnd::TooLong);
            }
            return Ok(None);
        };
        let line = self.input[self.taken..end].to_vec();
        self.taken = end + 1;
        if line.len() > LINE_MAX {
            return Err(WireEnd::TooLong);
        }
        Ok(Some(line))
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl WireEnd {
    pub const fn words(self) -> &'static str {
        match self {
            Self::Gone => "its program has gone",
            Self::TooLong => "its program says a line longer than 65536 bytes",
            Self::Unread => "its program does not read what it is told",
        }
    }
}
