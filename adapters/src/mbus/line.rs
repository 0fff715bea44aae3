//! One frame and its answer on the line, with the times of the standard.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep_until, timeout_at},
};

use super::frame::{BadFrame, FRAME_MAX, Found, Frame, find};
use crate::bus::{LineParity, LineSettings, Opener, Port as _, Turn};

/// What most lines have; assumed behind a converter on the network, which does not say.
pub const USUAL_LINE: LineSettings = LineSettings {
    baud: 2400,
    data_bits: 8,
    parity: LineParity::Even,
    stop_bits: 1,
};

/// What an answer may take, and how it is recognised.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// Of the line; where it is a network converter's, what stands behind it.
    pub line: LineSettings,
    /// What the way to the line takes besides: a network, the buffers of a USB adapter.
    pub delay: Duration,
    /// The adapter returns what we send.
    pub echo: bool,
    /// How many times the standard's time a meter may take for an answer.
    pub factor: u32,
}

/// What came of one frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Heard {
    Frame(Frame),
    Garbled(BadFrame),
    /// We hear ourselves although nobody said so.
    Ourselves,
    Silence,
    /// What we hear of ourselves is not what we have said, or is missing.
    WrongEcho,
}

/// From the end of the question to the beginning of the answer (EN 13757-2, 5.7.3.2).
const ANSWER_BITS: u32 = 330;
const ANSWER_MORE: Duration = Duration::from_millis(50);
/// Silence before each question (EN 13757-2, 5.5.3).
const IDLE_BITS: u32 = 33;
/// Silence within an answer by which it has ended, besides [`IDLE_BITS`].
const GAP: Duration = Duration::from_millis(50);
/// What may still come of a conversation that was dropped.
const DRAIN: Duration = Duration::from_millis(500);
/// Bytes in one answer; more is somebody who never stops.
const RECEIVED_MAX: usize = 4 * FRAME_MAX;

impl Timing {
    fn bits(self, count: u32) -> Duration {
        Duration::from_secs(1) * count / self.line.baud.max(1)
    }

    /// From the last bit sent to the first one of the answer.
    pub fn answer(self) -> Duration {
        (self.bits(ANSWER_BITS) + ANSWER_MORE) * self.factor.max(1) + self.delay
    }

    fn gap(self) -> Duration {
        self.bits(IDLE_BITS) + GAP + self.delay
    }

    fn chars(self, count: usize) -> Duration {
        self.line.char_time() * u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// Says `frame` and returns the first frame that `is_wanted`; others are of earlier questions.
/// `listen_on`: an answer that is followed by anything is a collision.
///
/// # Errors
/// The port is lost.
pub async fn exchange<O: Opener>(
    turn: &mut Turn<'_, O>,
    timing: Timing,
    frame: &Frame,
    listen_on: bool,
    is_wanted: impl Fn(&Frame) -> bool + Send,
) -> io::Result<Heard> {
    quiet(turn, timing).await?;
    let bytes = frame.bytes();
    send(turn, timing, &bytes).await?;
    let mut received = Vec::new();
    let echo = timing.echo.then_some(bytes.as_slice());
    let mut until = turn.last_byte() + timing.answer();
    if let Some(echo) = echo {
        // What is heard of ourselves passes the same buffers as an answer.
        let echo_until = turn.last_byte() + timing.gap();
        while received.len() < echo.len() {
            if !listen(turn, echo_until, &mut received).await? {
                return Ok(Heard::WrongEcho);
            }
        }
        if !received.starts_with(echo) {
            return Ok(Heard::WrongEcho);
        }
        received.drain(..echo.len());
    }
    loop {
        if let Some(heard) = judge(&mut received, &bytes, &is_wanted) {
            let is_alone = received.is_empty()
                && !(listen_on
                    && listen(turn, turn.last_byte() + timing.gap(), &mut received).await?);
            return Ok(if is_alone || !listen_on {
                heard
            } else {
                Heard::Garbled(BadFrame::Start)
            });
        }
        if received.len() > RECEIVED_MAX || !listen(turn, until, &mut received).await? {
            return Ok(of_nothing(&received, &bytes));
        }
        until = turn.last_byte() + timing.gap();
    }
}

/// Waits until the line is idle, and throws away what has come.
async fn quiet<O: Opener>(turn: &mut Turn<'_, O>, timing: Timing) -> io::Result<()> {
    if turn.is_cut() {
        let until = Instant::now() + DRAIN;
        let mut rest = Vec::new();
        while rest.len() < RECEIVED_MAX && listen(turn, until, &mut rest).await? {}
    }
    sleep_until(turn.last_byte() + timing.bits(IDLE_BITS)).await;
    // A port that was lost while nobody looked at it says so here, before anything is sent.
    let mut stray = [0; FRAME_MAX];
    let port = turn.port()?;
    while let Ok(count) = timeout_at(Instant::now(), port.read(&mut stray)).await {
        if count? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    port.discard_input()
}

async fn send<O: Opener>(turn: &mut Turn<'_, O>, timing: Timing, bytes: &[u8]) -> io::Result<()> {
    let port = turn.port()?;
    port.begin_sending()?;
    port.write_all(bytes).await?;
    // Written is not sent: the system passes the bytes on at the speed of the line.
    let mut sent = Instant::now() + timing.chars(bytes.len());
    if port.switches_direction() {
        sleep_until(sent).await;
        port.end_sending().await?;
        sent = Instant::now();
    }
    turn.sent(sent);
    Ok(())
}

/// Adds what comes until then. False where nothing does.
async fn listen<O: Opener>(
    turn: &mut Turn<'_, O>,
    until: Instant,
    received: &mut Vec<u8>,
) -> io::Result<bool> {
    let mut chunk = [0; FRAME_MAX];
    let Ok(count) = timeout_at(until, turn.port()?.read(&mut chunk)).await else {
        return Ok(false);
    };
    let count = count?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    turn.heard();
    received.extend_from_slice(&chunk[..count]);
    Ok(true)
}

/// The wanted frame in what was received so far, which it is taken out of; frames that are not wanted
/// are too.
fn judge(received: &mut Vec<u8>, own: &[u8], is_wanted: &impl Fn(&Frame) -> bool) -> Option<Heard> {
    loop {
        if received.starts_with(own) {
            return Some(Heard::Ourselves);
        }
        let (frame, range) = first_frame(received)?;
        received.drain(range);
        if is_wanted(&frame) {
            return Some(Heard::Frame(frame));
        }
    }
}

/// A long frame is found behind noise too: two lengths, a check sum and a stop say that it is one. A
/// single character is not.
fn first_frame(received: &[u8]) -> Option<(Frame, std::ops::Range<usize>)> {
    match find(received) {
        Found::Frame(frame, length) => return Some((frame, 0..length)),
        Found::Part(_) => return None,
        Found::Nothing(_) => (),
    }
    (1..received.len()).find_map(|at| match find(&received[at..]) {
        Found::Frame(frame @ Frame::Long { .. }, length) => Some((frame, 0..at + length)),
        Found::Frame(Frame::Ack | Frame::Short { .. }, _) | Found::Part(_) | Found::Nothing(_) => {
            None
        }
    })
}

/// What the bytes are that contain no answer.
fn of_nothing(received: &[u8], own: &[u8]) -> Heard {
    if received.is_empty() {
        return Heard::Silence;
    }
    if received.starts_with(own) {
        return Heard::Ourselves;
    }
    Heard::Garbled(match find(received) {
        Found::Nothing(why) => why,
        // It has ended before its time.
        Found::Frame(..) | Found::Part(_) => BadFrame::Cut,
    })
}
