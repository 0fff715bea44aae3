//! Modbus slaves: several units on one serial line, or one behind TCP, with registers that tests and
//! the demo change, and faults on request. Written against the specification alone, so that it does
//! not share the errors of the agent's own codec.

mod bank;
mod wire;

use std::{collections::BTreeMap, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    time::{Instant, sleep_until},
};

pub use bank::{Bank, Units};
pub use wire::Framing;

/// A request as a slave sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    pub unit: u8,
    pub function: u8,
    /// First register or coil.
    pub at: u16,
    /// How many, or the value of a single write.
    pub count: u16,
}

/// What a slave does about a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Behaviour {
    Answer,
    /// Closes the line in the middle of the answer.
    CutOff,
    /// Refuses with this exception code.
    Exception(u8),
    /// These bytes stand behind the answer.
    ExtraAfter(Vec<u8>),
    /// These bytes stand before the answer.
    ExtraBefore(Vec<u8>),
    HalfFrame,
    /// Closes the line.
    HangUp,
    /// Takes the values now, answers after this time.
    Late(Duration),
    /// Obeys, but does not answer.
    Mute,
    WrongCrc,
    /// Gives one register less than it was asked for, in a frame that is whole.
    WrongLength,
    /// Answers in the name of another unit.
    WrongUnit(u8),
}

/// Decides what becomes of each request; may change registers before it is answered.
pub trait Script: Send {
    fn on_request(&mut self, seen: &Seen) -> Behaviour;
}

impl<F: FnMut(&Seen) -> Behaviour + Send> Script for F {
    fn on_request(&mut self, seen: &Seen) -> Behaviour {
        self(seen)
    }
}

/// Slaves that answer what they are asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Obedient;

impl Script for Obedient {
    fn on_request(&mut self, _: &Seen) -> Behaviour {
        Behaviour::Answer
    }
}

/// Serves the units on one line until it ends. Each unit finishes one answer before the next; units
/// do not wait for each other.
///
/// # Errors
/// What the stream reports; its end is none.
pub async fn serve<S>(
    stream: S,
    framing: Framing,
    units: Units,
    script: impl Script,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let mut line = Line {
        stream,
        framing,
        units,
        script,
        received: Vec::new(),
        answers: BTreeMap::new(),
        requests: 0,
        free: BTreeMap::new(),
        is_cut: false,
    };
    line.run().await
}

/// Serves one TCP connection after the other.
///
/// # Errors
/// What the listener reports.
pub async fn serve_tcp(
    listener: TcpListener,
    framing: Framing,
    units: Units,
    mut script: impl Script,
) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        if let Err(error) = serve(stream, framing, units.clone(), |seen: &Seen| {
            script.on_request(seen)
        })
        .await
        {
            tracing::debug!(%error, "Connection to the simulated slave ended");
        }
    }
}

struct Line<S, X> {
    stream: S,
    framing: Framing,
    units: Units,
    script: X,
    received: Vec<u8>,
    /// Answers by the time at which they go out, numbered in the order of their requests.
    answers: BTreeMap<(Instant, u64), Vec<u8>>,
    requests: u64,
    /// When each unit has finished its last answer.
    free: BTreeMap<u8, Instant>,
    /// The next answer is the last.
    is_cut: bool,
}

/// Requests that are not answered yet; more are dropped, as a slow device does.
const ANSWERS_MAX: usize = 64;

impl<S: AsyncRead + AsyncWrite + Send + Unpin, X: Script> Line<S, X> {
    async fn run(&mut self) -> io::Result<()> {
        let mut chunk = [0; 512];
        loop {
            let next = self.answers.first_key_value().map(|((at, _), _)| *at);
            let send = async {
                match next {
                    // Timers tick in milliseconds; what is due now does not wait for one.
                    Some(at) if at <= Instant::now() => {}
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = send => {
                    if let Some((_, bytes)) = self.answers.pop_first() {
                        self.stream.write_all(&bytes).await?;
                        self.stream.flush().await?;
                        if self.is_cut {
                            return Ok(());
                        }
                    }
                }
                read = self.stream.read(&mut chunk) => {
                    let count = read?;
                    if count == 0 {
                        return Ok(());
                    }
                    self.received.extend_from_slice(&chunk[..count]);
                    while let Some(request) = self.framing.take_request(&mut self.received) {
                        if self.on_request(&request) {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// True where the line is to be closed.
    fn on_request(&mut self, request: &wire::Request) -> bool {
        let unit = request.unit;
        if !self.units.answers_for(unit) {
            return false;
        }
        let behaviour = self.script.on_request(&request.seen());
        let answer = match behaviour {
            Behaviour::Exception(code) => vec![request.function() | 0x80, code],
            Behaviour::WrongLength => shortened(self.units.obey(unit, &request.pdu)),
            Behaviour::Answer
            | Behaviour::CutOff
            | Behaviour::ExtraAfter(_)
            | Behaviour::ExtraBefore(_)
            | Behaviour::HalfFrame
            | Behaviour::HangUp
            | Behaviour::Late(_)
            | Behaviour::Mute
            | Behaviour::WrongCrc
            | Behaviour::WrongUnit(_) => self.units.obey(unit, &request.pdu),
        };
        // Modbus over serial line 1.02, 2.1: nobody answers a broadcast.
        if unit == 0 && self.framing == Framing::Rtu {
            return false;
        }
        let from = if let Behaviour::WrongUnit(other) = behaviour {
            other
        } else {
            unit
        };
        let mut bytes = self.framing.frame(from, request.transaction, &answer);
        let mut delay = Duration::ZERO;
        match behaviour {
            Behaviour::Answer
            | Behaviour::Exception(_)
            | Behaviour::WrongLength
            | Behaviour::WrongUnit(_) => {}
            Behaviour::CutOff => {
                bytes.truncate(bytes.len() / 2);
                self.is_cut = true;
            }
            Behaviour::ExtraAfter(extra) => bytes.extend_from_slice(&extra),
            Behaviour::ExtraBefore(extra) => bytes.splice(..0, extra).for_each(drop),
            Behaviour::HalfFrame => bytes.truncate(bytes.len() / 2),
            Behaviour::HangUp => return true,
            Behaviour::Late(by) => delay = by,
            Behaviour::Mute => return false,
            Behaviour::WrongCrc => bytes
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|byte| *byte ^= 0x55),
        }
        let now = Instant::now();
        let at = self.free.get(&unit).map_or(now, |free| now.max(*free)) + delay;
        if self.answers.len() < ANSWERS_MAX {
            self.free.insert(unit, at);
            self.requests += 1;
            self.answers.insert((at, self.requests), bytes);
        }
        false
    }
}

/// One register less; what is no answer to a read stays as it is.
fn shortened(mut pdu: Vec<u8>) -> Vec<u8> {
    if let [3 | 4, count @ 2..=255, ..] = pdu.as_mut_slice() {
        *count -= 2;
        pdu.truncate(pdu.len() - 2);
    }
    pdu
}
