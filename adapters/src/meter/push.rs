//! Meters that send by themselves, whatever their telegrams are: nothing is ever sent to them.

#[cfg(test)]
#[cfg(all(feature = "p1", feature = "sml"))]
mod tests;

use std::time::Duration;

use lamplighter_model::{
    InstanceAddress, ResourceAddress, ResourceId, Sample,
    device::{Assignment, Declaration, Fault, Note},
};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout_at},
};

use super::{Board, Counters, Ledger, MeterPoint, Readout};
use crate::{
    Adapter, Clock, Limits, Wake,
    bus::{Opener, Port as _},
};

/// Takes a line byte by byte. No IO, bounded memory.
pub trait Telegrams: Send + 'static {
    /// What the byte has completed.
    fn push(&mut self, byte: u8) -> Option<Result<Readout, Spoilt>>;

    /// The line was opened anew.
    fn reset(&mut self);
}

/// Why a telegram is of no use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Spoilt {
    /// The check at its end is wrong, or it was cut.
    Checksum,
    /// It is encrypted, and there is no key, or the wrong one.
    Encrypted(String),
    /// What cannot be read, in words.
    Malformed(String),
    TooLong,
}

/// One configured meter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PushConfig {
    pub points: Vec<MeterPoint>,
    /// Only this meter is believed, by the number that it tells.
    pub serial: Option<String>,
    /// Longest time between two telegrams.
    pub silence: Duration,
    /// What the run before has kept.
    pub counters: Counters,
}

/// Damaged telegrams in a row until people are told.
const SPOILT_MAX: u32 = 3;
/// Bytes without any telegram among them that are no telegrams of this kind.
const NOISE_MAX: usize = 32 * 1024;

/// A meter that sends by itself.
#[derive(Debug)]
pub struct PushDevice<O: Opener, T> {
    opener: O,
    line: Option<O::Port>,
    telegrams: T,
    config: PushConfig,
    ledger: Ledger,
    board: Board,
    clock: Clock,
    /// Until then the next telegram is to come.
    due: Option<Instant>,
    /// Bytes since the last telegram.
    noise: usize,
    /// Damaged telegrams in a row; the first behind an opening does not count.
    spoilt: u32,
    is_first: bool,
    /// Told once.
    failure: Option<Failure>,
}

/// Why there is no readout.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Failure {
    Line(String),
    Noise,
    OtherMeter(String),
    Silent,
    Spoilt(Spoilt),
}

impl PushConfig {
    pub fn new(points: Vec<MeterPoint>, silence: Duration) -> Self {
        Self {
            points,
            serial: None,
            silence,
            counters: Counters::default(),
        }
    }

    /// The limits of this meter's supervisor.
    pub fn limits(&self) -> Limits {
        Limits {
            operation: self.silence + Duration::from_secs(1),
            max_age: self.silence,
            stale_after: Some(self.silence),
            ..Limits::default()
        }
    }
}

impl<O: Opener, T: Telegrams> PushDevice<O, T> {
    pub fn new(opener: O, telegrams: T, config: PushConfig, clock: Clock) -> Self {
        Self {
            opener,
            line: None,
            telegrams,
            ledger: Ledger::new(config.points.clone(), config.counters.clone()),
            config,
            board: Board::default(),
            clock,
            due: None,
            noise: 0,
            spoilt: 0,
            is_first: true,
            failure: None,
        }
    }

    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// The samples of the next telegram. May be dropped at will: what has arrived is kept.
    async fn next(&mut self) -> Result<Vec<Sample>, Fault> {
        let readout = match self.readout().await {
            Ok(readout) => readout,
            Err(failure) => return Err(self.fail(failure)),
        };
        let samples = self.ledger.take(&readout, self.clock.stamp());
        let (remarks, counters) = (self.ledger.remarks(), self.ledger.counters());
        self.board.done(readout, remarks, counters);
        if self.failure.take().is_some() {
            tracing::info!("Telegrams of the meter are read again");
        }
        samples
    }

    async fn readout(&mut self) -> Result<Readout, Failure> {
        self.open().await?;
        loop {
            let due = *self
                .due
                .get_or_insert_with(|| Instant::now() + self.config.silence);
            let Some(line) = self.line.as_mut() else {
                return Err(Failure::Line("the port is gone".to_owned()));
            };
            let Ok(byte) = timeout_at(due, line.read_u8()).await else {
                self.due = None;
                return Err(self.why_silent());
            };
            let byte = byte.map_err(|error| {
                self.line = None;
                Failure::Line(lost(&error))
            })?;
            self.noise += 1;
            if let Some(told) = self.telegrams.push(byte) {
                let readout = self.judge(told)?;
                if let Some(readout) = readout {
                    return Ok(readout);
                }
            } else if self.noise > NOISE_MAX {
                self.noise = 0;
                return Err(Failure::Noise);
            }
        }
    }

    async fn open(&mut self) -> Result<(), Failure> {
        if self.line.is_some() {
            return Ok(());
        }
        let line = self.opener.open().await;
        let mut line =
            line.map_err(|error| Failure::Line(format!("cannot open the port: {error}")))?;
        // What has waited in there is of another time.
        line.discard_input()
            .map_err(|error| Failure::Line(error.to_string()))?;
        self.line = Some(line);
        self.telegrams.reset();
        self.due = None;
        self.noise = 0;
        self.spoilt = 0;
        self.is_first = true;
        Ok(())
    }

    /// A telegram that is of use; `None` where the next may be better.
    fn judge(&mut self, told: Result<Readout, Spoilt>) -> Result<Option<Readout>, Failure> {
        self.noise = 0;
        let is_first = std::mem::take(&mut self.is_first);
        match told {
            // Mostly cut: we came in the middle of it.
            Err(Spoilt::Checksum | Spoilt::Malformed(_) | Spoilt::TooLong) if is_first => Ok(None),
            Ok(readout) => {
                self.spoilt = 0;
                self.due = None;
                match (&self.config.serial, &readout.serial) {
                    (Some(wanted), told) if told.as_ref() != Some(wanted) => Err(
                        Failure::OtherMeter(told.clone().unwrap_or_else(|| "nobody".to_owned())),
                    ),
                    (Some(_) | None, _) => Ok(Some(readout)),
                }
            }
            Err(spoilt) => {
                self.board.count(spoilt.kind());
                self.spoilt += 1;
                let is_hopeless = matches!(spoilt, Spoilt::Encrypted(_));
                if is_hopeless || self.spoilt >= SPOILT_MAX {
                    self.spoilt = 0;
                    self.due = None;
                    return Err(Failure::Spoilt(spoilt));
                }
                tracing::debug!(%spoilt, "Telegram dropped");
                Ok(None)
            }
        }
    }

    fn why_silent(&mut self) -> Failure {
        if std::mem::take(&mut self.noise) > 0 {
            Failure::Noise
        } else {
            Failure::Silent
        }
    }

    fn fail(&mut self, failure: Failure) -> Fault {
        self.board.failed(failure.kind(), failure.to_string());
        if self.failure.as_ref() != Some(&failure) {
            tracing::warn!(%failure, "Meter cannot be read");
            self.failure = Some(failure.clone());
        }
        match failure {
            Failure::Line(_) => Fault::Unreachable,
            Failure::Silent => Fault::Timeout,
            Failure::Noise | Failure::OtherMeter(_) | Failure::Spoilt(_) => {
                Fault::Device(failure.to_string())
            }
        }
    }
}

/// A port that hangs up reads as an end of file.
fn lost(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        "the port is gone".to_owned()
    } else {
        error.to_string()
    }
}

impl<O: Opener, T: Telegrams> Adapter for PushDevice<O, T>
where
    O::Port: Sync,
    T: Sync,
{
    fn declared(&self) -> Vec<Declaration> {
        self.ledger.declared()
    }

    /// The next telegram, whatever was asked for.
    async fn read(&mut self, _: InstanceAddress, _: &[ResourceId]) -> Result<Vec<Sample>, Fault> {
        self.next().await
    }

    async fn write(&mut self, _: &[Assignment]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn execute(&mut self, _: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        self.next().await.map(Wake::News)
    }

    fn take_notes(&mut self) -> Vec<Note> {
        self.ledger.take_notes()
    }
}

impl Spoilt {
    /// By which it is counted.
    fn kind(&self) -> &'static str {
        match self {
            Self::Checksum => "checksum",
            Self::Encrypted(_) => "encrypted",
            Self::Malformed(_) => "malformed",
            Self::TooLong => "too_long",
        }
    }
}

impl std::fmt::Display for Spoilt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Checksum => f.write_str("the meter's telegrams arrive damaged (checksum)"),
            Self::Encrypted(why) => write!(f, "the meter's telegrams are encrypted: {why}"),
            Self::Malformed(what) => {
                write!(f, "the meter's telegrams are not understood: {what}")
            }
            Self::TooLong => f.write_str("the meter's telegram does not end"),
        }
    }
}

impl Failure {
    fn kind(&self) -> &'static str {
        match self {
            Self::Line(_) => "line_down",
            Self::Noise => "noise",
            Self::OtherMeter(_) => "other_meter",
            Self::Silent => "timeout",
            Self::Spoilt(_) => "unreadable",
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(why) => why.fmt(f),
            Self::Noise => f.write_str(
                "what arrives is no telegram of this kind: look at speed and parity of the line, \
                 and whether it is inverted",
            ),
            Self::OtherMeter(serial) => {
                write!(f, "another meter sends here: {serial}")
            }
            Self::Silent => f.write_str("the meter sends nothing"),
            Self::Spoilt(spoilt) => spoilt.fmt(f),
        }
    }
}
