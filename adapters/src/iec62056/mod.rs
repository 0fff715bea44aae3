//! Electricity, heat and other meters by IEC 62056-21 (formerly IEC 1107), modes A, B and C. Mode D
//! comes by itself and is read as other telegrams are ([`crate::p1`]). One readout at 300 Bd may take
//! more than a minute: each meter has a line and a task of its own, and one readout feeds all points.

mod readout;
mod telegram;
#[cfg(test)]
mod tests;

use std::time::Duration;

use lamplighter_model::{
    InstanceAddress, ResourceAddress, ResourceId, Sample,
    device::{Assignment, Declaration, Fault, Note},
};
use tokio::time::{Instant, sleep_until};

pub use self::{
    readout::{Failure, Told, line_at, read_out},
    telegram::{Block, BlockStep, Identification, Protocol, TELEGRAM_MAX},
};
use crate::{
    Adapter, Clock, Limits, Wake,
    bus::Opener,
    meter::{Board, Counters, Ledger, MeterPoint, Obis, Readout},
};

/// How the protocol is spoken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// As the meter says of itself.
    #[default]
    Auto,
    /// The speed is never changed, also where the meter offers it.
    A,
    B,
    C,
}

/// One configured meter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MeterConfig {
    pub points: Vec<MeterPoint>,
    pub mode: Mode,
    /// Device address of the sign-on; empty for any.
    pub address: String,
    /// Fastest speed to agree to, in Bd.
    pub max_speed: u32,
    /// Pause before an answer, where the meter does not say that it is fast.
    pub reaction: Duration,
    /// From the acknowledgement to the change of speed.
    pub speed_change_delay: Duration,
    pub read_every: Duration,
    /// Longest time for one readout.
    pub readout_deadline: Duration,
    /// Battery meters: zeros before the sign-on. Each readout costs battery.
    pub wake_up: bool,
    /// The optical head returns what is sent.
    pub echo: bool,
    /// Parity in software over 8N1.
    pub software_parity: bool,
    /// What the run before has kept of the counters.
    pub counters: Counters,
}

impl Default for MeterConfig {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            mode: Mode::Auto,
            address: String::new(),
            max_speed: 9600,
            reaction: Duration::from_millis(200),
            speed_change_delay: Duration::from_millis(300),
            read_every: Duration::from_secs(300),
            readout_deadline: Duration::from_secs(120),
            wake_up: false,
            echo: false,
            software_parity: false,
            counters: Counters::default(),
        }
    }
}

impl MeterConfig {
    /// The limits of this meter's supervisor: a Read is answered from the last readout up to twice
    /// its period.
    pub fn limits(&self) -> Limits {
        Limits {
            operation: self.readout_deadline + Duration::from_secs(1),
            max_age: self.read_every.saturating_mul(2),
            stale_after: Some(self.read_every.saturating_mul(3)),
            ..Limits::default()
        }
    }
}

/// Pause after a failed readout, where the period is not shorter.
const RETRY: Duration = Duration::from_secs(30);

/// A meter behind a line of its own.
#[derive(Debug)]
pub struct MeterDevice<O: Opener> {
    opener: O,
    line: Option<O::Port>,
    config: MeterConfig,
    ledger: Ledger,
    board: Board,
    clock: Clock,
    due: Option<Instant>,
    /// Told once.
    failure: Option<Failure>,
}

impl<O: Opener> MeterDevice<O> {
    pub fn new(opener: O, config: MeterConfig, clock: Clock) -> Self {
        Self {
            opener,
            line: None,
            ledger: Ledger::new(config.points.clone(), config.counters.clone()),
            board: Board::default(),
            config,
            clock,
            due: None,
            failure: None,
        }
    }

    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// One readout. The line is kept only when it went well: whatever is left in it after a
    /// failure, or when this future is dropped, goes with it.
    async fn read_out(&mut self) -> Result<Readout, Failure> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self
                .opener
                .open()
                .await
                .map_err(|error| Failure::Line(format!("cannot open the port: {error}")))?,
        };
        let told = read_out(&mut line, &self.config, &self.board).await?;
        self.line = Some(line);
        Ok(told.into())
    }

    fn fail(&mut self, failure: Failure) -> Fault {
        self.board.failed(failure.kind(), failure.to_string());
        if self.failure.as_ref() != Some(&failure) {
            tracing::warn!(%failure, "Meter cannot be read");
            self.failure = Some(failure.clone());
        }
        failure.into()
    }
}

impl From<Told> for Readout {
    fn from(told: Told) -> Self {
        let mut readout = Self {
            meter: told.identification.to_string(),
            readings: told.readings,
            ..Self::default()
        };
        readout.error = readout.fatal_error();
        readout.serial = readout.text_of(Obis::serials());
        readout
    }
}

impl<O: Opener> Adapter for MeterDevice<O> {
    fn declared(&self) -> Vec<Declaration> {
        self.ledger.declared()
    }

    /// One readout, whatever was asked for: the samples of all points.
    async fn read(&mut self, _: InstanceAddress, _: &[ResourceId]) -> Result<Vec<Sample>, Fault> {
        self.due = Some(Instant::now() + RETRY.min(self.config.read_every));
        let readout = match self.read_out().await {
            Ok(readout) => readout,
            Err(failure) => return Err(self.fail(failure)),
        };
        self.failure = None;
        self.due = Some(Instant::now() + self.config.read_every);
        let samples = self.ledger.take(&readout, self.clock.stamp());
        let (remarks, counters) = (self.ledger.remarks(), self.ledger.counters());
        self.board.done(readout, remarks, counters);
        samples
    }

    async fn write(&mut self, _: &[Assignment]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn execute(&mut self, _: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        let Some((instance, resources)) = self.ledger.due() else {
            return std::future::pending().await;
        };
        if let Some(due) = self.due {
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.board.wanted() => {}
            }
        }
        self.due = Some(Instant::now() + RETRY.min(self.config.read_every));
        Ok(Wake::Due(instance, resources))
    }

    fn take_notes(&mut self) -> Vec<Note> {
        self.ledger.take_notes()
    }
}
