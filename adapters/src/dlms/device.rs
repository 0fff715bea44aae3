//! The adapter of one DLMS meter.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::timeout};

use super::{
    dialogue::{COUNTERS, Dialogue, Failure, Told, Wanted},
    link::{Framing, Link, settle},
    security::{Counter, CounterError, Security},
    value::Value,
};
use crate::{
    Clock, Limits,
    bus::{Opener, SharedLine, Turn},
    meter::{
        Board, Content, Counters, Ledger, MeterPoint, MeterUnit, Pull, PullDevice, READOUT_MAX,
        Reading, Readout, Register, shared_limits,
    },
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

/// The adapter of a meter on a line that it may share.
pub type DlmsDevice<O> = PullDevice<DlmsMeter<O>>;

/// How it is read out.
pub struct DlmsMeter<O: Opener> {
    line: SharedLine<O>,
    config: DlmsConfig,
    counter: Arc<dyn Counter>,
}

/// The public client (IEC 62056-53, 4.2.3).
const PUBLIC: u8 = 16;
impl DlmsConfig {
    /// The limits of this meter's supervisor.
    pub fn limits(&self) -> Limits {
        shared_limits(self.read_every)
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
        counter: Arc<dyn Counter>,
        clock: Clock,
    ) -> Self {
        let points = config.points.iter().map(|(_, point)| point.clone());
        let ledger = Ledger::new(points.collect(), counters);
        let read_every = config.read_every;
        let meter = DlmsMeter {
            line,
            config,
            counter,
        };
        Self::with(meter, ledger, read_every, clock)
    }
}

impl<O: Opener> Pull for DlmsMeter<O> {
    type Failure = Failure;

    /// As often as is worth it: a frame that was lost is not repeated, the conversation is.
    async fn read_out(
        &mut self,
        board: &Board,
        is_lost: bool,
    ) -> Result<(Readout, Vec<String>), Failure> {
        board.stage("reading");
        let retries = if is_lost { 0 } else { self.config.retries };
        let mut attempt = 0;
        let heard = loop {
            let was_open = self.line.state().borrow().is_open;
            match self.converse().await {
                Err(Failure::Line(_)) if was_open && attempt == 0 => (),
                Err(Failure::Silence | Failure::Garbled(_)) if attempt < retries => (),
                result => break result?,
            }
            attempt += 1;
        };
        let wanted = self.config.points.iter().map(|(wanted, _)| *wanted);
        Ok(readout_of(heard, wanted))
    }
}

impl<O: Opener> DlmsMeter<O> {
    async fn converse(&self) -> Result<Heard, Failure> {
        let line = self.line.clone();
        let mut turn = line.turn().await.map_err(|error| lost(&error))?;
        if turn.is_cut() {
            // An answer to whoever was dropped would be taken for one to us.
            turn = match self.config.link.framing {
                Framing::Wrapper => {
                    turn.rest();
                    line.turn().await.map_err(|error| lost(&error))?
                }
                Framing::Hdlc { .. } => {
                    settle(&mut turn).await?;
                    turn
                }
            };
        }
        // Waiting for the line is not the meter's fault; what comes now is.
        let result = timeout(READOUT_MAX, self.converse_on(&mut turn)).await;
        let result = result.unwrap_or(Err(Failure::TooLong));
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

    async fn converse_on(&self, turn: &mut Turn<'_, O>) -> Result<Heard, Failure> {
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
        let talked = talk(turn, self.config.link, client, &mut dialogue).await;
        if let Security::Gmac { .. } = security {
            let end = counter.saturating_add(COUNTERS);
            self.counter.give_back(dialogue.counter(), end);
        }
        talked?;
        Ok(Heard {
            device_name: dialogue.device_name().map(str::to_owned),
            told: dialogue.into_told(),
        })
    }

    /// The first of the numbers that this conversation may use, kept before any of them is used.
    async fn first_counter(&self, turn: &mut Turn<'_, O>) -> Result<u32, Failure> {
        let seen = match self.config.counter_at {
            Some(name) => self.seen_counter(turn, name).await?,
            None => 0,
        };
        let counter = Arc::clone(&self.counter);
        let reserved = spawn_blocking(move || counter.reserve(seen, COUNTERS)).await;
        let kept = reserved.map_err(|error| Failure::CounterNotKept(error.to_string()))?;
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

impl<O: Opener> fmt::Debug for DlmsMeter<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DlmsMeter")
            .field("line", &self.line)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
