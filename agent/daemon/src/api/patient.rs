//! A connection that is closed when nothing moves on it for a while, and counted until then.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// Longer than the pause between two keep-alive lines of a watcher.
const PATIENCE: Duration = Duration::from_secs(60);

/// `S` is held as long as the connection lives: a place among the permitted number.
pub(crate) struct Patient<T, S> {
    inner: T,
    idle: Pin<Box<Sleep>>,
    _place: S,
}

impl<T, S> Patient<T, S> {
    pub(crate) fn new(inner: T, place: S) -> Self {
        Self {
            inner,
            idle: Box::pin(sleep(PATIENCE)),
            _place: place,
        }
    }

    /// What the inner connection says; an error when it has been waiting for too long.
    fn judge<R>(
        &mut self,
        poll: Poll<io::Result<R>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        if poll.is_ready() {
            self.idle.as_mut().reset(Instant::now() + PATIENCE);
            return poll;
        }
        self.idle
            .as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin, S: Unpin> AsyncRead for Patient<T, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.judge(poll, context)
    }
}

impl<T: AsyncWrite + Unpin, S: Unpin> AsyncWrite for Patient<T, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.judge(poll, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_flush(context);
        if poll.is_ready() {
            poll
        } else {
            self.judge(poll, context)
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_shutdown(context);
        self.judge(poll, context)
    }
}

impl<T, S> fmt::Debug for Patient<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Patient")
    }
}
