//! Where a meter hangs: a serial port, or any stream in tests.

use std::{io, path::PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_serial::{
    ClearBuffer, DataBits, Parity, SerialPort, SerialPortBuilderExt, SerialStream, StopBits,
};

/// A line that can change its speed.
pub trait Line: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    fn set_speed(&mut self, baud: u32) -> io::Result<()>;

    /// Forgets what has arrived and was not read.
    fn discard_input(&mut self) -> io::Result<()>;
}

/// Opens the line, again after each failure.
pub trait Open: Send + 'static {
    type Line: Line;

    fn open(&mut self) -> io::Result<Self::Line>;
}

/// A serial port by its path. Nobody else may have it open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Serial {
    /// Best a name below `/dev/serial/by-id`, which survives re-plugging.
    pub path: PathBuf,
    /// 8N1 on the line, the parity bit is made and checked in software.
    pub software_parity: bool,
}

impl Open for Serial {
    type Line = SerialStream;

    fn open(&mut self) -> io::Result<SerialStream> {
        let port = tokio_serial::new(self.path.to_string_lossy(), 300).stop_bits(StopBits::One);
        let port = if self.software_parity {
            port.data_bits(DataBits::Eight).parity(Parity::None)
        } else {
            port.data_bits(DataBits::Seven).parity(Parity::Even)
        };
        Ok(port.open_native_async()?)
    }
}

impl Line for SerialStream {
    fn set_speed(&mut self, baud: u32) -> io::Result<()> {
        Ok(self.set_baud_rate(baud)?)
    }

    fn discard_input(&mut self) -> io::Result<()> {
        Ok(self.clear(ClearBuffer::Input)?)
    }
}
