//! Pseudo-terminals: a simulated device keeps the master, the agent opens the slave by its path as
//! it would a serial port.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::symlink,
    },
    path::{Path, PathBuf},
    pin::Pin,
    process,
    sync::atomic::{AtomicU32, Ordering},
    task::{Context, Poll},
};

use nix::{
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    pty::openpty,
    sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr},
    unistd::ttyname,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::unix::pipe,
};

/// The device's end of a pseudo-terminal in raw mode. Dropping it hangs up the other end.
///
/// Reads stay pending while nobody has the path open, and after whoever had it open has closed it.
#[derive(Debug)]
pub struct Pty {
    reader: pipe::Receiver,
    writer: pipe::Sender,
    path: PathBuf,
    /// Keeps the master from reporting a hang-up while the agent has the port closed.
    _slave: OwnedFd,
    link: Option<PathBuf>,
}

/// Numbers the temporary names of links within this process.
static NEXT_LINK: AtomicU32 = AtomicU32::new(0);

impl Pty {
    /// Opens a pair. Must be called inside a tokio runtime with its IO driver on.
    ///
    /// # Errors
    /// Whatever the system says when no pseudo-terminal can be had.
    pub fn open() -> io::Result<Self> {
        let pair = openpty(None, None)?;
        let mut termios = tcgetattr(&pair.slave)?;
        cfmakeraw(&mut termios);
        tcsetattr(&pair.slave, SetArg::TCSANOW, &termios)?;
        for fd in [&pair.master, &pair.slave] {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
        let path = ttyname(&pair.slave)?;
        let writer = non_blocking(pair.master.try_clone()?)?;
        Ok(Self {
            reader: pipe::Receiver::from_owned_fd_unchecked(non_blocking(pair.master)?)?,
            writer: pipe::Sender::from_owned_fd_unchecked(writer)?,
            path,
            _slave: pair.slave,
            link: None,
        })
    }

    /// Opens a pair and points the symbolic link `link` at it, as udev does for `by-id` names. A
    /// link that is there is replaced in one step; the link goes when the device goes.
    ///
    /// # Errors
    /// As [`Pty::open`], and where the link cannot be made.
    pub fn open_linked(link: &Path) -> io::Result<Self> {
        let mut pty = Self::open()?;
        let number = NEXT_LINK.fetch_add(1, Ordering::Relaxed);
        let temporary = link.with_extension(format!("{}.{number}", process::id()));
        symlink(&pty.path, &temporary)?;
        fs::rename(&temporary, link)?;
        pty.link = Some(link.to_owned());
        Ok(pty)
    }

    /// The path that the agent opens: the link if there is one, else the slave's own.
    pub fn path(&self) -> &Path {
        self.link.as_deref().unwrap_or(&self.path)
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let Some(link) = &self.link else {
            return;
        };
        // A later device may have taken the name over.
        if fs::read_link(link).is_ok_and(|target| target == self.path) {
            let _gone = fs::remove_file(link);
        }
    }
}

impl AsyncRead for Pty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pty {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn non_blocking(fd: OwnedFd) -> io::Result<OwnedFd> {
    fcntl(
        fd.as_fd(),
        FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK),
    )?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::fs::OpenOptionsExt,
    };

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn open_slave(path: &Path) -> fs::File {
        fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(path)
            .unwrap()
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_unchanged() {
        let mut pty = Pty::open().unwrap();
        let mut slave = open_slave(pty.path());
        pty.write_all(b"\x01\x03\r\n\xff").await.unwrap();
        let mut bytes = [0; 5];
        slave.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"\x01\x03\r\n\xff");
        slave.write_all(b"\x11\x04\x00\x7f").unwrap();
        let mut bytes = [0; 4];
        pty.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"\x11\x04\x00\x7f");
    }

    #[tokio::test]
    async fn a_device_that_goes_hangs_up_and_its_name_moves_to_the_next() {
        let link = std::env::temp_dir().join(format!("lamplighter-pty-{}", process::id()));
        let first = Pty::open_linked(&link).unwrap();
        let mut slave = open_slave(first.path());
        let second = Pty::open_linked(&link).unwrap();
        drop(first);
        assert!(slave.read(&mut [0; 8]).map_or(true, |count| count == 0));
        assert_eq!(fs::read_link(&link).unwrap(), second.path);
        drop(second);
        assert!(!link.exists());
    }
}
