//! A serial port: how it is opened, and how the direction of its RS-485 driver is switched.

use std::{
    future::Future,
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use nix::sys::termios::tcdrain;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::spawn_blocking,
};
use tokio_serial::{ClearBuffer, DataBits, Parity, SerialPort, SerialStream, StopBits};

use super::{LineParity, LineSettings, Opener, Port, Rs485, rs485};

/// A serial port by its path; stable names (`/dev/serial/by-id/…`) survive re-plugging.
#[derive(Clone, Debug)]
pub struct SerialOpener {
    pub device: PathBuf,
    pub line: LineSettings,
    pub rs485: Rs485,
    /// What is sent is heard, by way of the adapter.
    pub echo: bool,
}

/// An open serial port.
#[derive(Debug)]
pub struct SerialLine {
    stream: SerialStream,
    rts: Option<Rts>,
    notice: String,
}

/// RTS switches the direction.
#[derive(Debug)]
struct Rts {
    /// Of the same port, for waiting in another thread until all has gone out.
    drain: Arc<OwnedFd>,
}

impl SerialOpener {
    /// A port whose adapter does everything by itself.
    pub fn new(device: impl Into<PathBuf>, line: LineSettings) -> Self {
        Self {
            device: device.into(),
            line,
            rs485: Rs485::Adapter,
            echo: false,
        }
    }

    fn open_now(&self) -> io::Result<SerialLine> {
        let (data_bits, parity, stop_bits) = format_of(self.line);
        let builder = tokio_serial::new(self.device.to_string_lossy(), self.line.baud)
            .data_bits(data_bits)
            .parity(parity)
            .stop_bits(stop_bits);
        let mut stream = SerialStream::open(&builder)?;
        // A driver that cannot do this may be wired to an adapter that needs none of it: the line is
        // used all the same, and people are told.
        let switched = match self.rs485 {
            Rs485::Adapter => Ok(None),
            Rs485::Kernel => {
                rs485::let_the_kernel_switch(stream.as_raw_fd(), self.echo).map(|()| None)
            }
            Rs485::RtsHigh => Rts::new(&mut stream).map(Some),
        };
        let (rts, notice) = match switched {
            Ok(rts) => (rts, String::new()),
            Err(error) => {
                let notice = format!(
                    "rs485 = \"{}\" is not possible on this port ({error}): the adapter must switch \
                     the direction",
                    self.rs485
                );
                (None, notice)
            }
        };
        Ok(SerialLine {
            stream,
            rts,
            notice,
        })
    }
}

fn format_of(line: LineSettings) -> (DataBits, Parity, StopBits) {
    let data_bits = match line.data_bits {
        5 => DataBits::Five,
        6 => DataBits::Six,
        7 => DataBits::Seven,
        _ => DataBits::Eight,
    };
    let parity = match line.parity {
        LineParity::Even => Parity::Even,
        LineParity::None => Parity::None,
        LineParity::Odd => Parity::Odd,
    };
    let stop_bits = if line.stop_bits == 2 {
        StopBits::Two
    } else {
        StopBits::One
    };
    (data_bits, parity, stop_bits)
}

impl Opener for SerialOpener {
    type Port = SerialLine;

    // Opening a tty does not block with O_NONBLOCK, so no thread is needed for it.
    fn open(&mut self) -> impl Future<Output = io::Result<SerialLine>> + Send {
        std::future::ready(self.open_now())
    }

    fn is_present(&self) -> bool {
        self.device.exists()
    }
}

impl Rts {
    fn new(stream: &mut SerialStream) -> io::Result<Self> {
        stream.write_request_to_send(false)?;
        Ok(Self {
            drain: Arc::new(rs485::duplicate(stream)?),
        })
    }
}

impl Port for SerialLine {
    fn discard_input(&mut self) -> io::Result<()> {
        Ok(self.stream.clear(ClearBuffer::Input)?)
    }

    fn set_line(&mut self, line: LineSettings) -> io::Result<()> {
        let (data_bits, parity, stop_bits) = format_of(line);
        self.stream.set_baud_rate(line.baud)?;
        self.stream.set_data_bits(data_bits)?;
        self.stream.set_parity(parity)?;
        self.stream.set_stop_bits(stop_bits)?;
        Ok(())
    }

    fn is_real_time(&self) -> bool {
        true
    }

    fn notice(&self) -> String {
        self.notice.clone()
    }

    fn switches_direction(&self) -> bool {
        self.rts.is_some()
    }

    fn begin_sending(&mut self) -> io::Result<()> {
        if self.rts.is_some() {
            self.stream.write_request_to_send(true)?;
        }
        Ok(())
    }

    async fn end_sending(&mut self) -> io::Result<()> {
        let Some(rts) = &self.rts else {
            return Ok(());
        };
        let drain = Arc::clone(&rts.drain);
        spawn_blocking(move || tcdrain(drain))
            .await
            .map_err(io::Error::other)??;
        self.stream.write_request_to_send(false)?;
        Ok(())
    }
}

impl AsyncRead for SerialLine {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for SerialLine {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    // All that flushing would do is wait, with the whole thread, until the bytes have gone out.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
