//! What lines have in common: their settings, how a port is opened and opened again, and the pauses
//! between attempts.

#[cfg(feature = "modbus")]
pub(crate) mod alarm;
mod either;
mod rs485;
mod serial;
mod shared;

use std::{fmt, future::Future, io, str::FromStr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

pub use either::{LineOpener, LinePort};
pub use rs485::Rs485;
pub use serial::{SerialLine, SerialOpener};
pub use shared::{LineState, SharedLine, SharedSettings, Turn};

/// A byte stream that a line runs on.
pub trait Port: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Throws away what the system has received and nobody has read; no-op where reading alone sees
    /// everything.
    fn discard_input(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Changes speed and format of an open port.
    ///
    /// # Errors
    /// It has none, or cannot.
    fn set_line(&mut self, _line: LineSettings) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether its time is that of the world, whatever tests do with the runtime's.
    fn is_real_time(&self) -> bool {
        false
    }

    /// What it cannot do that was asked for when it was opened; empty where nothing is amiss.
    fn notice(&self) -> String {
        String::new()
    }

    /// Whether [`Port::end_sending`] has something to do.
    fn switches_direction(&self) -> bool {
        false
    }

    /// Before the first byte of a frame.
    fn begin_sending(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// When the last byte of a frame is on its way: waits until it has gone out, then receives.
    fn end_sending(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        std::future::ready(Ok(()))
    }
}

/// Opens the port of a line, again and again while the product runs.
pub trait Opener: Send + 'static {
    type Port: Port;

    fn open(&mut self) -> impl Future<Output = io::Result<Self::Port>> + Send;

    /// Whether an attempt makes sense now; cheap, asked often. A serial adapter that is plugged in
    /// again is noticed by this.
    fn is_present(&self) -> bool {
        true
    }
}

/// Speed and character format of a serial line, written `9600-8E1`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LineSettings {
    pub baud: u32,
    /// 5–8.
    pub data_bits: u8,
    pub parity: LineParity,
    /// 1 or 2.
    pub stop_bits: u8,
}

/// Parity bit of a character.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LineParity {
    Even,
    None,
    Odd,
}

/// The text is not a line setting such as `9600-8E1`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LineSettingsError;

/// A device or gateway on the network, `host` resolved anew at every attempt.
#[derive(Clone, Debug)]
pub struct TcpOpener {
    pub host: String,
    pub port: u16,
    pub connect_timeout: Duration,
}

/// Pauses that double from `first` to `max`, each spread by ± 25 %.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    attempts: u32,
    jitter: Jitter,
}

/// A small seeded generator: spreads retries, never used for anything secret.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl LineSettings {
    /// Bits on the wire per character: start, data, parity, stop.
    pub fn bits_per_char(self) -> u32 {
        1 + u32::from(self.data_bits)
            + u32::from(self.parity != LineParity::None)
            + u32::from(self.stop_bits)
    }

    /// Time of one character on the wire.
    pub fn char_time(self) -> Duration {
        let nanos = u64::from(self.bits_per_char()) * 1_000_000_000 / u64::from(self.baud.max(1));
        Duration::from_nanos(nanos)
    }
}

impl FromStr for LineSettings {
    type Err = LineSettingsError;

    fn from_str(text: &str) -> Result<Self, LineSettingsError> {
        let (baud, format) = text.split_once('-').ok_or(LineSettingsError)?;
        let &[data_bits @ b'5'..=b'8', parity, stop_bits @ b'1'..=b'2'] = format.as_bytes() else {
            return Err(LineSettingsError);
        };
        let parity = match parity {
            b'E' => LineParity::Even,
            b'N' => LineParity::None,
            b'O' => LineParity::Odd,
            _ => return Err(LineSettingsError),
        };
        let baud = baud
            .parse()
            .ok()
            .filter(|baud| *baud > 0)
            .ok_or(LineSettingsError)?;
        Ok(Self {
            baud,
            data_bits: data_bits - b'0',
            parity,
            stop_bits: stop_bits - b'0',
        })
    }
}

impl fmt::Display for LineSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            LineParity::Even => 'E',
            LineParity::None => 'N',
            LineParity::Odd => 'O',
        };
        write!(
            f,
            "{}-{}{parity}{}",
            self.baud, self.data_bits, self.stop_bits
        )
    }
}

impl fmt::Display for LineSettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a line is written as speed, data bits, parity and stop bits: \"9600-8E1\"")
    }
}

impl std::error::Error for LineSettingsError {}

impl Port for TcpStream {}

impl Port for tokio::io::DuplexStream {}

impl Opener for TcpOpener {
    type Port = TcpStream;

    async fn open(&mut self) -> io::Result<TcpStream> {
        let connect = TcpStream::connect((self.host.as_str(), self.port));
        let stream = tokio::time::timeout(self.connect_timeout, connect)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Backoff {
    pub fn new(first: Duration, max: Duration, seed: u64) -> Self {
        Self {
            first,
            max,
            attempts: 0,
            jitter: Jitter::new(seed),
        }
    }

    /// The next pause, longer than the one before.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self
            .first
            .saturating_mul(1 << self.attempts.min(20))
            .min(self.max);
        self.attempts = self.attempts.saturating_add(1);
        self.jitter.spread(pause)
    }

    /// Starts again with the shortest pause.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

impl Jitter {
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    /// Evenly spread over the whole range (splitmix64, Steele et al. 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// `pause` × 0.75–1.25.
    pub fn spread(&mut self, pause: Duration) -> Duration {
        let percent = u32::try_from(75 + self.next() % 51).unwrap_or(100);
        pause.saturating_mul(percent) / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_settings_read_back_as_they_print() {
        for text in ["9600-8E1", "300-7E1", "19200-8N2", "115200-8O1"] {
            assert_eq!(text.parse::<LineSettings>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "9600",
            "9600-9E1",
            "9600-8X1",
            "9600-8E3",
            "0-8E1",
            "9600-8E1 ",
            "-8E1",
        ] {
            assert_eq!(
                text.parse::<LineSettings>(),
                Err(LineSettingsError),
                "{text}"
            );
        }
    }

    #[test]
    fn a_character_takes_its_bits() {
        let line: LineSettings = "9600-8E1".parse().unwrap();
        assert_eq!(line.bits_per_char(), 11);
        assert_eq!(line.char_time(), Duration::from_nanos(1_145_833));
    }

    #[test]
    fn pauses_double_up_to_their_cap() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10), 7);
        for expected in [1, 2, 4, 8, 10, 10] {
            let pause = backoff.next_pause();
            let expected = Duration::from_secs(expected);
            assert!(
                pause >= expected * 3 / 4 && pause <= expected * 5 / 4,
                "{pause:?} for {expected:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(1250));
    }
}
