//! Electricity, heat and other meters by IEC 62056-21 (formerly IEC 1107), modes A, B and C. Mode D
//! comes by itself and is read as other telegrams are ([`crate::p1`]). One readout at 300 Bd may take
//! more than a minute: each meter has a line and a task of its own, and one readout feeds all points.

mod readout;
mod telegram;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::{
    readout::{Failure, Told, line_at, read_out},
    telegram::{Block, BlockStep, Identification, Protocol, TELEGRAM_MAX},
};
use crate::{
    Clock, Limits,
    bus::Opener,
    meter::{Board, Counters, Ledger, MeterPoint, Obis, Pull, PullDevice, Readout},
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

/// The adapter of a meter behind a line of its own.
pub type MeterDevice<O> = PullDevice<Meter<O>>;

/// How it is read out.
#[derive(Debug)]
pub struct Meter<O: Opener> {
    opener: O,
    line: Option<O::Port>,
    config: MeterConfig,
}

impl<O: Opener> MeterDevice<O> {
    pub fn new(opener: O, config: MeterConfig, clock: Clock) -> Self {
        let ledger = Ledger::new(config.points.clone(), config.counters.clone());
        let read_every = config.read_every;
        let line = None;
        let meter = Meter {
            opener,
            line,
            config,
        };
        Self::with(meter, ledger, read_every, clock)
    }
}

impl<O: Opener> Pull for Meter<O> {
    type Failure = Failure;

    /// The line is kept only when it went well: whatever is left in it after a failure, or when this
    /// future is dropped, goes with it. Alone on its line, a lost meter takes nobody's time.
    async fn read_out(
        &mut self,
        board: &Board,
        _: bool,
    ) -> Result<(Readout, Vec<String>), Failure> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self
                .opener
                .open()
                .await
                .map_err(|error| Failure::Line(format!("cannot open the port: {error}")))?,
        };
        let told = read_out(&mut line, &self.config, board).await?;
        self.line = Some(line);
        Ok((told.into(), Vec::new()))
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
