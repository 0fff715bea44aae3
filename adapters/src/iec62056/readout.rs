//! One readout of a meter, step by step.
//!
//! 1. At 300 Bd: wake-up if needed, sign-on `/?address!`.
//! 2. Identification; it names the mode and the speed.
//! 3. Mode C: acknowledge with the speed, at 300 Bd; then both sides change. Mode B: both change.
//!    Mode A: nothing changes.
//! 4. Data blocks up to ETX and check character; a damaged one is asked for again, once.

use std::{fmt, io, time::Duration};

use lamplighter_model::device::Fault;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    MeterConfig, Mode,
    telegram::{
        self, ACK, Block, BlockStep, IDENTIFICATION_MAX, Identification, NAK, Protocol,
        TELEGRAM_MAX, with_parity,
    },
};
use crate::{
    bus::{LineParity, LineSettings, Port},
    meter::{Board, Reading, Trouble, parse_lines},
};

/// Speed of the sign-on, in Bd.
const FIRST_SPEED: u32 = 300;
/// A character on the line: start, seven data, parity, stop.
const BITS_PER_CHARACTER: u32 = 10;
/// Longest silence between two characters, and before an answer.
const CHARACTER_TIMEOUT: Duration = Duration::from_millis(1500);
/// A line that never falls silent is not a meter.
const NOISE_MAX: usize = 4096;

/// What a meter told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    pub identification: Identification,
    pub readings: Vec<Reading>,
}

/// Why a readout failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The check character is wrong, also after a repetition.
    Checksum,
    /// The meter fell silent in the middle.
    Cut,
    /// The whole readout took too long.
    Deadline,
    /// The head is said to echo what is sent, and does not.
    Echo,
    /// What came is not an identification.
    Identification(String),
    /// The port itself failed.
    Line(String),
    /// It speaks another mode than configured.
    Mode(char),
    NoAnswer,
    /// Characters came, but no start of a block.
    NoStart,
    /// Characters arrive damaged, also after a repetition.
    Parity,
    /// The meter refuses what was asked.
    Refused,
    /// Nothing is understood behind the change to this speed.
    SpeedChange(u32),
    TooLong,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checksum => "the meter's telegram has a wrong check character",
            Self::Cut => "the meter's telegram was cut",
            Self::Deadline => "the readout took too long",
            Self::Echo => "the optical head does not echo, but is configured to",
            Self::Identification(text) => return write!(f, "not a meter's identification: {text}"),
            Self::Line(error) => error,
            Self::Mode(mode) => {
                return write!(f, "the meter speaks mode {mode}: see `mode` in the configuration");
            }
            Self::NoAnswer => "the meter does not answer",
            Self::NoStart => "the meter's telegram has no beginning",
            Self::Parity => "characters from the meter are damaged (parity)",
            Self::Refused => "the meter refuses the readout",
            Self::SpeedChange(speed) => {
                return write!(
                    f,
                    "nothing is understood behind the change to {speed} Bd: `baud_change_delay_ms` may \
                     be too short or too long, or `max_baud` too much"
                );
            }
            Self::TooLong => "the meter's telegram does not end",
        })
    }
}

impl Trouble for Failure {
    fn kind(&self) -> &'static str {
        match self {
            Self::Checksum => "checksum",
            Self::Cut => "cut",
            Self::Deadline => "deadline",
            Self::Echo => "echo",
            Self::Identification(_) => "identification",
            Self::Line(_) => "line_down",
            Self::Mode(_) => "mode",
            Self::NoStart => "no_start",
            Self::SpeedChange(_) => "speed_change",
            Self::NoAnswer => "timeout",
            Self::Parity => "parity",
            Self::Refused => "refused",
            Self::TooLong => "too_long",
        }
    }

    fn is_silence(&self) -> bool {
        *self == Self::NoAnswer
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Line(_) => Self::Unreachable,
            Failure::NoAnswer => Self::Timeout,
            Failure::Checksum
            | Failure::Cut
            | Failure::Deadline
            | Failure::Echo
            | Failure::Identification(_)
            | Failure::Mode(_)
            | Failure::NoStart
            | Failure::Parity
            | Failure::Refused
            | Failure::SpeedChange(_)
            | Failure::TooLong => Self::Device(failure.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Line(error.to_string())
    }
}

/// Reads a meter out.
///
/// # Errors
/// Every [`Failure`]; the line is then in an unknown state and to be opened anew.
pub async fn read_out<P: Port>(
    line: &mut P,
    config: &MeterConfig,
    board: &Board,
) -> Result<Told, Failure> {
    let talk = async {
        Talk {
            line,
            config,
            board,
            speed: FIRST_SPEED,
        }
        .read_out()
        .await
    };
    timeout(config.readout_deadline, talk)
        .await
        .unwrap_or(Err(Failure::Deadline))
}

struct Talk<'a, P> {
    line: &'a mut P,
    config: &'a MeterConfig,
    board: &'a Board,
    speed: u32,
}

impl<P: Port> Talk<'_, P> {
    async fn read_out(mut self) -> Result<Told, Failure> {
        self.set_speed(FIRST_SPEED)?;
        self.line.discard_input()?;
        if self.config.wake_up {
            self.board.stage("waking the meter up");
            self.wake_up().await?;
        }
        self.board.stage("signing on");
        self.send(format!("/?{}!\r\n", self.config.address).as_bytes())
            .await?;
        let identification = self.identification().await?;
        self.change_speed(&identification).await?;
        self.board.stage(format!("reading at {} Bd", self.speed));
        let text = self.data().await?;
        Ok(Told {
            identification,
            readings: parse_lines(&text),
        })
    }

    /// Zeros for 2.2 s, then silence for 1.6 s: battery meters need it.
    async fn wake_up(&mut self) -> Result<(), Failure> {
        self.send(&[0; 66]).await?;
        sleep(Duration::from_millis(1600)).await;
        Ok(())
    }

    async fn identification(&mut self) -> Result<Identification, Failure> {
        let mut line = Vec::new();
        for _ in 0..NOISE_MAX {
            let silence = if line.is_empty() {
                Failure::NoAnswer
            } else {
                Failure::Cut
            };
            match self.receive(silence).await?.byte {
                b'/' => line = vec![b'/'],
                b'\n' if !line.is_empty() => {
                    let line = line.trim_ascii_end();
                    let shown = || String::from_utf8_lossy(line).escape_debug().to_string();
                    return Identification::parse(line)
                        .ok_or_else(|| Failure::Identification(shown()));
                }
                _ if line.is_empty() => {}
                _ if line.len() >= IDENTIFICATION_MAX => break,
                byte => line.push(byte),
            }
        }
        Err(Failure::Identification("no end of line".to_owned()))
    }

    async fn change_speed(&mut self, identification: &Identification) -> Result<(), Failure> {
        match (self.config.mode, identification.protocol) {
            // A meter of mode C that gets no acknowledgement tells its data at 300 Bd.
            (Mode::Auto | Mode::A, Protocol::A) | (Mode::A, Protocol::C(_)) => Ok(()),
            (Mode::Auto | Mode::B, Protocol::B(speed)) => self.set_speed(speed),
            (Mode::Auto | Mode::C, Protocol::C(fastest)) => {
                let reaction = if identification.is_fast {
                    Duration::from_millis(20)
                } else {
                    self.config.reaction
                };
                sleep(reaction).await;
                let (digit, speed) = telegram::agree_speed(fastest, self.config.max_speed);
                self.acknowledge(['0', digit, '0']).await?;
                self.set_speed(speed)
            }
            (Mode::A, Protocol::B(_))
            | (Mode::B, Protocol::A | Protocol::C(_))
            | (Mode::C, Protocol::A | Protocol::B(_)) => {
                Err(Failure::Mode(identification.protocol.letter()))
            }
        }
    }

    /// `ACK V Z Y`, and the pause behind it.
    async fn acknowledge(&mut self, [v, z, y]: [char; 3]) -> Result<(), Failure> {
        let sent = Instant::now();
        self.send(format!("{}{v}{z}{y}\r\n", char::from(ACK)).as_bytes())
            .await?;
        // The acknowledgement must have left at the old speed; how long a USB head holds it back
        // only its user knows.
        let delay = self.config.speed_change_delay;
        sleep(delay.saturating_sub(sent.elapsed())).await;
        Ok(())
    }

    fn set_speed(&mut self, speed: u32) -> Result<(), Failure> {
        self.speed = speed;
        Ok(self
            .line
            .set_line(line_at(speed, self.config.software_parity))?)
    }

    /// All blocks, one after the other.
    async fn data(&mut self) -> Result<Vec<u8>, Failure> {
        let mut text = Vec::new();
        loop {
            let (block, is_last) = match self.block().await {
                Err(Failure::Checksum | Failure::NoStart | Failure::Parity) => {
                    self.send(&[NAK]).await?;
                    self.block().await
                }
                block => block,
            }
            .map_err(|failure| self.blame_speed(failure))?;
            text.extend(block);
            if is_last {
                return Ok(text);
            }
            if text.len() > TELEGRAM_MAX {
                return Err(Failure::TooLong);
            }
            self.send(&[ACK]).await?;
        }
    }

    /// Where nothing is understood behind a change of speed, the two sides have not changed together.
    fn blame_speed(&self, failure: Failure) -> Failure {
        let nothing_understood = matches!(failure, Failure::NoAnswer | Failure::NoStart);
        if nothing_understood && self.speed != FIRST_SPEED {
            Failure::SpeedChange(self.speed)
        } else {
            failure
        }
    }

    async fn block(&mut self) -> Result<(Vec<u8>, bool), Failure> {
        let mut block = Block::default();
        let mut is_damaged = false;
        for heard in 0..TELEGRAM_MAX + NOISE_MAX {
            let silence = match heard {
                _ if block.has_begun() => Failure::Cut,
                0 => Failure::NoAnswer,
                _ => Failure::NoStart,
            };
            let Received { byte, is_right } = match heard {
                // Without an acknowledgement it waits for one before it begins.
                0 => match self.receive(silence.clone()).await {
                    Err(Failure::NoAnswer) if self.speed == FIRST_SPEED => {
                        self.receive(silence).await?
                    }
                    received => received?,
                },
                _ => self.receive(silence).await?,
            };
            if !block.has_begun() && byte == NAK {
                return Err(Failure::Refused);
            }
            is_damaged |= !is_right && block.has_begun();
            match block.push(byte) {
                BlockStep::Damaged if is_damaged => return Err(Failure::Parity),
                BlockStep::Damaged => return Err(Failure::Checksum),
                BlockStep::Done { .. } if is_damaged => return Err(Failure::Parity),
                BlockStep::Done { is_last } => return Ok((block.into_text(), is_last)),
                BlockStep::More => {}
                BlockStep::NoStart => return Err(Failure::NoStart),
                BlockStep::TooLong => break,
            }
        }
        Err(Failure::TooLong)
    }

    /// Sends, and takes the head's echo back. Comes back when the last bit should have left.
    async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let on_line: Vec<u8> = if self.config.software_parity {
            bytes.iter().copied().map(with_parity).collect()
        } else {
            bytes.to_vec()
        };
        let left = Instant::now() + wire_time(bytes.len(), self.speed);
        let write = timeout(
            CHARACTER_TIMEOUT + wire_time(bytes.len(), self.speed),
            self.line.write_all(&on_line),
        );
        write
            .await
            .map_err(|_| Failure::Line("the port takes no characters".to_owned()))??;
        if self.config.echo {
            for byte in bytes {
                let echo = timeout_at(left + CHARACTER_TIMEOUT, self.receive(Failure::Echo)).await;
                if echo.unwrap_or(Err(Failure::Echo))?.byte != *byte {
                    return Err(Failure::Echo);
                }
            }
        }
        tokio::time::sleep_until(left).await;
        Ok(())
    }

    /// The next character; after too long a silence, `silence`.
    async fn receive(&mut self, silence: Failure) -> Result<Received, Failure> {
        let limit = CHARACTER_TIMEOUT + wire_time(1, self.speed);
        let Ok(byte) = timeout(limit, self.line.read_u8()).await else {
            return Err(silence);
        };
        let byte = byte.map_err(|error| {
            // A port that hangs up reads as an end of file.
            let is_gone = error.kind() == io::ErrorKind::UnexpectedEof;
            if is_gone {
                Failure::Line("the port is gone".to_owned())
            } else {
                error.into()
            }
        })?;
        self.board.heard(1);
        let is_right = !self.config.software_parity || with_parity(byte) == byte;
        Ok(Received {
            byte: byte & 0x7f,
            is_right,
        })
    }
}

/// A character in seven bits, and whether its parity was right.
struct Received {
    byte: u8,
    is_right: bool,
}

/// 7E1, or 8N1 where the parity bit is made in software.
pub fn line_at(speed: u32, software_parity: bool) -> LineSettings {
    let (data_bits, parity) = if software_parity {
        (8, LineParity::None)
    } else {
        (7, LineParity::Even)
    };
    LineSettings {
        baud: speed,
        data_bits,
        parity,
        stop_bits: 1,
    }
}

/// Time that characters take on the line.
fn wire_time(characters: usize, speed: u32) -> Duration {
    let bits = u64::try_from(characters)
        .unwrap_or(u64::MAX)
        .saturating_mul(u64::from(BITS_PER_CHARACTER));
    Duration::from_micros(bits.saturating_mul(1_000_000) / u64::from(speed.max(1)))
}
