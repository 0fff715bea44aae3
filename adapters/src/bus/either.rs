//! A line that is serial or behind a converter on the network, for families that do not care.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{LineSettings, Opener, Port, SerialLine, SerialOpener, TcpOpener};

/// Opens a line of one kind or the other.
#[derive(Clone, Debug)]
pub enum LineOpener {
    Serial(SerialOpener),
    Tcp(TcpOpener),
}

/// An open line of one kind or the other.
#[derive(Debug)]
pub enum LinePort {
    Serial(SerialLine),
    Tcp(TcpStream),
}

impl Opener for LineOpener {
    type Port = LinePort;

    async fn open(&mut self) -> io::Result<LinePort> {
        match self {
            Self::Serial(opener) => opener.open().await.map(LinePort::Serial),
            Self::Tcp(opener) => opener.open().await.map(LinePort::Tcp),
        }
    }

    fn is_present(&self) -> bool {
        match self {
            Self::Serial(opener) => opener.is_present(),
            Self::Tcp(opener) => opener.is_present(),
        }
    }
}

impl Port for LinePort {
    fn discard_input(&mut self) -> io::Result<()> {
        match self {
            Self::Serial(line) => line.discard_input(),
            Self::Tcp(stream) => stream.discard_input(),
        }
    }

    fn set_line(&mut self, settings: LineSettings) -> io::Result<()> {
        match self {
            Self::Serial(line) => line.set_line(settings),
            Self::Tcp(stream) => stream.set_line(settings),
        }
    }

    fn is_real_time(&self) -> bool {
        match self {
            Self::Serial(line) => line.is_real_time(),
            Self::Tcp(stream) => stream.is_real_time(),
        }
    }

    fn notice(&self) -> String {
        match self {
            Self::Serial(line) => line.notice(),
            Self::Tcp(stream) => stream.notice(),
        }
    }

    fn switches_direction(&self) -> bool {
        match self {
            Self::Serial(line) => line.switches_direction(),
            Self::Tcp(stream) => stream.switches_direction(),
        }
    }

    fn begin_sending(&mut self) -> io::Result<()> {
        match self {
            Self::Serial(line) => line.begin_sending(),
            Self::Tcp(stream) => stream.begin_sending(),
        }
    }

    async fn end_sending(&mut self) -> io::Result<()> {
        match self {
            Self::Serial(line) => line.end_sending().await,
            Self::Tcp(stream) => stream.end_sending().await,
        }
    }
}

impl AsyncRead for LinePort {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Serial(line) => Pin::new(line).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for LinePort {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Serial(line) => Pin::new(line).poll_write(cx, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Serial(line) => Pin::new(line).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Serial(line) => Pin::new(line).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
