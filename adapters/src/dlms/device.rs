//! The adapter of one DLMS meter.

use std::{fmt, time::Duration};

use lamplighter_model::{
    InstanceAddress, ResourceAddress, ResourceId, Sample,
    device::{Assignment, Declaration, Fault, Note},
};
use tokio::time::{Instant, sleep_until};

use super::{
    dialogue::{COUNTERS, Dialogue, Failure, Scalers, Told, Wanted},
    link::{Framing, Link},
    security::{Counter, CounterError, Security},
    value::Value,
};
use crate::{
    Adapter, Clock, Limits, Wake,
    bus::{Opener, SharedLine, Turn},
    meter::{Board, Content, Counters, Ledger, MeterPoint, MeterUnit, Reading, Readout, Register},
};

/// One configured meter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DlmsConfig {
    pub link: Link,
    /// Who we are to the meter: 16 is the public client.
    pub client: u8,
    pub security: Security,
    /// Where the meter tells the public client which invocation counter it has seen last; `None`: only
    /// what we have kept says that.
    pub counter_at: Option<[u8; 6]>,
    pub retries: u8,
    pub read_every: Duration,
    /// Points whose register is the [`Wanted`] in words.
    pub points: Vec<(Wanted, MeterPoint)>,
}

/// A meter on a line that it may share.
pub struct DlmsDevice<O: Opener> {
    line: SharedLine<O>,
    config: DlmsConfig,
    ledger: Ledger,
    clock: Clock,
    counter: Box<dyn Counter + Sync>,
    /// Scalers of the meter with this name.
    known: (Option<String>, Scalers),
    due: Option<Instant>,
    silent: u32,
    /// Told once.
    failure: Option<Failure>,
    board: Board,
}

/// The public client (IEC 62056-53, 4.2.3).
const PUBLIC: u8 = 16;
/// Pause after a failed readout, where the period is not shorter.
const RETRY: Duration = Duration::from_secs(30);
/// The longest pause while nobody answers.
const RETRY_MAX: Duration = Duration::from_secs(3600);
/// Readouts that nobody answers until it is asked only once.
const OFFLINE_AFTER: u32 = 3;

impl DlmsConfig {
    /// The limits of this meter's supervisor: a Read is answered from the last readout up to twice
    /// its period.
    pub fn limits(&self) -> Limits {
        Limits {
            operation: Duration::from_secs(120),
            max_age: self.read_every.saturating_mul(2),
            stale_after: Some(self.read_every.saturating_mul(3)),
            offline_after: OFFLINE_AFTER,
            retry_first: RETRY.min(self.read_every),
            retry_max: RETRY_MAX,
            ..Limits::default()
        }
    }
}

/// What a conversation brought.
struct Heard {
    device_name: Option<String>,
    told: Vec<Result<Told, String>>,
}

impl<O: Opener> DlmsDevice<O> {
    /// `counter` is asked only where messages are encrypted; `counters` is what the run before has kept
    /// of the readings.
    pub fn new(
        line: SharedLine<O>,
        config: DlmsConfig,
        counters: Counters,
        counter: impl Counter + Sync,
        clock: Clock,
    ) -> Self {
        let points = config.points.iter().map(|(_, point)| point.clone());
        Self {
            line,
            ledger: Ledger::new(points.collect(), counters),
            config,
            clock,
            counter: Box::new(counter),
            known: (None, Scalers::new()),
            due: None,
            silent: 0,
            failure: None,
            board: Board::default(),
        }
    }

    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// As often as is worth it: a frame that was lost is not repeated, the conversation is.
    async fn read_out(&mut self) -> Result<Heard, Failure> {
        let retries = if self.silent >= OFFLINE_AFTER {
            0
        } else {
            self.config.retries
        };
        let mut attempt = 0;
        loop {
            let was_open = self.line.state().borrow().is_open;
            match self.converse().await {
                Err(Failure::Line(_)) if was_open && attempt == 0 => (),
                Err(Failure::Silence | Failure::Garbled(_)) if attempt < retries => (),
                result => return result,
            }
            attempt += 1;
        }
    }

    async fn converse(&mut self) -> Result<Heard, Failure> {
        let line = self.line.clone();
        let mut turn = line.turn().await.map_err(|error| lost(&error))?;
        let result = self.converse_on(&mut turn).await;
        match &result {
            Err(Failure::Line(words)) => turn.lost(&std::io::Error::other(words.clone())),
            // What comes late would be taken for an answer to the next one.
            Err(_) if self.config.link.framing == Framing::Wrapper => turn.rest(),
            Ok(_) | Err(_) => {
                if self.config.link.framing == Framing::Wrapper {
                    turn.rest();
                } else {
                    turn.finish();
                }
            }
        }
        result
    }

    async fn converse_on(&mut self, turn: &mut Turn<'_, O>) -> Result<Heard, Failure> {
        let counter = match self.config.security {
            Security::Gmac { .. } => self.first_counter(turn).await?,
            Security::None | Security::Password(_) => 0,
        };
        let wanted = self
            .config
            .points
            .iter()
            .map(|(wanted, _)| *wanted)
            .collect();
        let (client, security) = (self.config.client, &self.config.security);
        let mut dialogue = Dialogue::new(client, security, counter, wanted)?;
        if self.known.0.is_some() {
            dialogue = dialogue.with_scalers(self.known.1.clone());
        }
        talk(turn, self.config.link, client, &mut dialogue).await?;
        let device_name = dialogue.device_name().map(str::to_owned);
        if device_name != self.known.0 && self.known.0.is_some() {
            // Another meter counts in other units: nothing of this conversation can be relied on.
            self.known = (None, Scalers::new());
            return Err(Failure::Garbled(
                "another name than before: it is read anew",
            ));
        }
        self.known = (device_name.clone(), dialogue.scalers().clone());
        Ok(Heard {
            device_name,
            told: dialogue.into_told(),
        })
    }

    /// The first of the numbers that this conversation may use, kept before any of them is used.
    async fn first_counter(&mut self, turn: &mut Turn<'_, O>) -> Result<u32, Failure> {
        let seen = match self.config.counter_at {
            Some(name) => self.seen_counter(turn, name).await?,
            None => 0,
        };
        let kept = self.counter.reserve(seen.saturating_add(1), COUNTERS);
        kept.map_err(|CounterError(why)| Failure::CounterNotKept(why))
    }

    async fn seen_counter(&self, turn: &mut Turn<'_, O>, name: [u8; 6]) -> Result<u32, Failure> {
        let wanted = Wanted {
            class: 1,
            name,
            attribute: 2,
        };
        let mut dialogue = Dialogue::new(PUBLIC, &Security::None, 0, vec![wanted])?;
        talk(turn, self.config.link, PUBLIC, &mut dialogue).await?;
        let told = dialogue.into_told().into_iter().next();
        if let Some(Ok(Told {
            value: Value::Number(number),
            ..
        })) = told
            && let Some(seen) = number
                .to_integer()
                .and_then(|seen| u32::try_from(seen).ok())
        {
            return Ok(seen);
        }
        Err(Failure::Refused(
            "its invocation counter to the public client",
        ))
    }

    fn fail(&mut self, failure: Failure) -> Fault {
        self.silent = if failure == Failure::Silence {
            self.silent.saturating_add(1)
        } else {
            0
        };
        if self.failure.as_ref() != Some(&failure) {
            tracing::warn!(%failure, "Meter cannot be read");
            self.failure = Some(failure.clone());
        }
        self.board.failed(failure.kind(), failure.to_string());
        failure.into()
    }
}

/// One conversation from the opening of the link to its end.
async fn talk<O: Opener>(
    turn: &mut Turn<'_, O>,
    link: Link,
    client: u8,
    dialogue: &mut Dialogue,
) -> Result<(), Failure> {
    let mut channel = link.channel(client);
    channel.open(turn).await?;
    let result = async {
        while let Some(apdu) = dialogue.say()? {
            match channel.exchange(turn, &apdu).await {
                Ok(answer) => dialogue.heard(&answer)?,
                // What was to be read is read; how the meter takes its leave does not matter.
                Err(_) if dialogue.is_read() => break,
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }
    .await;
    if !matches!(result, Err(Failure::Line(_) | Failure::Silence)) {
        // The next one opens the link anew, whatever becomes of this.
        let _ = channel.close(turn).await;
    }
    result
}

impl<O: Opener> Adapter for DlmsDevice<O> {
    fn declared(&self) -> Vec<Declaration> {
        self.ledger.declared()
    }

    /// One readout, whatever was asked for: the samples of all points.
    async fn read(&mut self, _: InstanceAddress, _: &[ResourceId]) -> Result<Vec<Sample>, Fault> {
        self.board.stage("reading");
        self.due = Some(Instant::now() + RETRY.min(self.config.read_every));
        let heard = match self.read_out().await {
            Ok(heard) => heard,
            Err(failure) => return Err(self.fail(failure)),
        };
        self.failure = None;
        self.silent = 0;
        self.due = Some(Instant::now() + self.config.read_every);
        let wanted = self.config.points.iter().map(|(wanted, _)| *wanted);
        let (readout, mut remarks) = readout_of(heard, wanted);
        let samples = self.ledger.take(&readout, self.clock.stamp());
        remarks.extend(self.ledger.remarks());
        self.board.done(readout, remarks, self.ledger.counters());
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

/// The readings that were wanted, named by them, and what was refused.
fn readout_of(heard: Heard, wanted: impl Iterator<Item = Wanted>) -> (Readout, Vec<String>) {
    let mut readout = Readout {
        meter: heard.device_name.clone().unwrap_or_default(),
        serial: heard.device_name,
        ..Readout::default()
    };
    let mut remarks = Vec::new();
    for (wanted, told) in wanted.zip(heard.told) {
        let content = told.and_then(|told| match told.value {
            Value::Number(number) => Ok((Content::Number(number), told.unit)),
            Value::Text(text) => Ok((Content::Text(text), told.unit)),
            Value::Boolean(state) => Ok((Content::Number(i64::from(state).into()), told.unit)),
            Value::Other(what) => Err(format!("{wanted} is {what}")),
        });
        match content {
            Ok((content, unit)) => {
                let register = Register::Record(wanted.to_string());
                let unit = MeterUnit::from_dlms(unit);
                readout
                    .readings
                    .push(Reading::good(register, content, unit));
            }
            Err(why) => remarks.push(why),
        }
    }
    (readout, remarks)
}

fn lost(error: &std::io::Error) -> Failure {
    Failure::Line(format!("the line is down: {error}"))
}

impl<O: Opener> fmt::Debug for DlmsDevice<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DlmsDevice")
            .field("line", &self.line)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
