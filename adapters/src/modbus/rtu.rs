//! One request at a time on a serial line.
//!
//! RTU answers carry neither a transaction number nor the address that was read. An answer that
//! comes after its request was given up would pass for the answer to the next one, so:
//!
//! 1. What is still on its way is waited for: after a timeout the line stays in quarantine until the
//!    late answer has come or the device has had its time for it; then for silence.
//! 2. Input is thrown away, the request is sent.
//! 3. Bytes are collected until they contain the answer, checked against the request, or until the
//!    deadline.

use std::{collections::BTreeMap, io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

use super::{
    bus::{Ask, Class, Wanted},
    frame::{Answer, Reply, Request, find_answer, only_frames},
};
use crate::bus::{Port, alarm::Alarm};

/// Times that the line prescribes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// One character; zero where the line has no speed of its own.
    pub(crate) char_time: Duration,
    /// Silence before a request.
    pub(crate) silence: Duration,
    /// Pause after a request to all devices.
    pub(crate) broadcast_pause: Duration,
    /// How long a late answer is waited for, from the request on, in hundredths of the timeout.
    pub(crate) quarantine_percent: u32,
    /// Whether our own bytes come back before the answer.
    pub(crate) echo: bool,
}

/// How an exchange ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// With the time from the first byte sent to the last received.
    Answered(Answer, Duration),
    /// Nothing was sent: by the time that the line was quiet nobody waited any more.
    Expired,
    /// Something came, but no answer to this request.
    Garbled,
    Silent,
}

/// What is known of the line; outlives the port, since late answers come to its successor too.
#[derive(Debug)]
pub(crate) struct Rtu {
    timing: Timing,
    alarm: Alarm,
    /// When the last byte was sent or received.
    last_byte: Instant,
    /// The whole line waits until then.
    line_until: Instant,
    /// Received and not yet understood, since the last request.
    received: Vec<u8>,
    /// Requests given up whose answers may still come, by unit.
    outstanding: BTreeMap<u8, Outstanding>,
    /// The slowest late answer of each unit.
    slowest: BTreeMap<u8, Duration>,
    /// Late answers that were recognised.
    late: u64,
}

#[derive(Debug)]
struct Outstanding {
    request: Request,
    sent: Instant,
    until: Instant,
}

/// All devices of a line: they obey and do not answer.
const BROADCAST: u8 = 0;
/// Enough for the longest frame behind as many bytes of something else.
const RECEIVED_MAX: usize = 512;
/// A line that is never silent makes a request fail after this time.
const BABBLE_MAX: Duration = Duration::from_secs(1);
/// However slow a device once was, the line does not wait longer.
/// What a driver may take beyond the time on the line until it has sent everything.
const END_OF_SENDING_MAX: Duration = Duration::from_millis(500);
const QUARANTINE_MAX: Duration = Duration::from_secs(30);

impl Rtu {
    pub(crate) fn new(timing: Timing) -> Self {
        let now = Instant::now();
        Self {
            timing,
            alarm: Alarm::Runtime,
            last_byte: now,
            line_until: now,
            received: Vec::new(),
            outstanding: BTreeMap::new(),
            slowest: BTreeMap::new(),
            late: 0,
        }
    }

    /// The port was opened; `pause` before the first request.
    pub(crate) fn on_open(&mut self, is_real_time: bool, pause: Duration) {
        self.alarm = if is_real_time {
            Alarm::fine()
        } else {
            Alarm::Runtime
        };
        self.line_until = self.line_until.max(Instant::now() + pause);
    }

    pub(crate) fn late(&self) -> u64 {
        self.late
    }

    /// Bytes that came while nothing was asked.
    pub(crate) fn on_stray(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        self.last_byte = now;
        self.received.extend_from_slice(bytes);
        self.settle_late_answers(now);
        if self.received.len() > RECEIVED_MAX {
            self.received
                .drain(..self.received.len() - RECEIVED_MAX / 2);
        }
    }

    /// Asks and waits for the answer. An error is one of the port.
    pub(crate) async fn exchange<P: Port>(
        &mut self,
        port: &mut P,
        ask: &Ask,
        is_wanted: Wanted<'_>,
    ) -> io::Result<Outcome> {
        if !self.quiet(port, ask.unit).await? {
            return Ok(Outcome::Garbled);
        }
        // design, 6: a command that was answered with an error is not executed later.
        if !is_wanted() {
            return Ok(Outcome::Expired);
        }
        port.discard_input()?;
        self.received.clear();
        self.outstanding.remove(&ask.unit);
        let frame = ask.request.rtu_frame(ask.unit);
        let sent = Instant::now();
        self.send(port, &frame).await?;
        if ask.unit == BROADCAST {
            self.line_until = self.last_byte + self.timing.broadcast_pause;
            return Ok(Outcome::Answered(Ok(Reply::Written), Duration::ZERO));
        }
        let deadline = self.last_byte + ask.timeout + self.line_time(ask.request.rtu_answer_len());
        let outcome = self.receive(port, ask, &frame, sent, deadline).await?;
        if !matches!(outcome, Outcome::Answered(..)) {
            self.give_up(ask, sent, deadline);
        }
        Ok(outcome)
    }

    async fn send<P: Port>(&mut self, port: &mut P, frame: &[u8]) -> io::Result<()> {
        port.begin_sending()?;
        port.write_all(frame).await?;
        // Written is not sent: the system passes the bytes on at the speed of the line.
        self.last_byte = Instant::now() + self.line_time(frame.len());
        if port.switches_direction() {
            self.alarm.wait_until(self.last_byte).await;
            let end = timeout(END_OF_SENDING_MAX, port.end_sending()).await;
            end.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            self.last_byte = Instant::now();
        }
        Ok(())
    }

    /// Waits out the quarantine and the silence. False where the line never becomes silent.
    async fn quiet<P: Port>(&mut self, port: &mut P, unit: u8) -> io::Result<bool> {
        let mut chunk = [0; RECEIVED_MAX];
        let limit = self.quiet_at(unit) + BABBLE_MAX;
        loop {
            let until = self.quiet_at(unit);
            if until > limit {
                return Ok(false);
            }
            // In this order bytes that are there are seen even when the time has passed.
            let count = tokio::select! {
                biased;
                count = port.read(&mut chunk) => some(count?)?,
                () = self.alarm.wait_until(until) => return Ok(true),
            };
            self.on_stray(&chunk[..count]);
        }
    }

    fn quiet_at(&self, unit: u8) -> Instant {
        let late = self
            .outstanding
            .get(&unit)
            .map_or(self.line_until, |outstanding| outstanding.until);
        (self.last_byte + self.timing.silence)
            .max(self.line_until)
            .max(late)
    }

    async fn receive<P: Port>(
        &mut self,
        port: &mut P,
        ask: &Ask,
        frame: &[u8],
        sent: Instant,
        deadline: Instant,
    ) -> io::Result<Outcome> {
        let mut chunk = [0; RECEIVED_MAX];
        let mut awaiting_echo = self.timing.echo;
        loop {
            let Ok(count) = timeout_at(deadline, port.read(&mut chunk)).await else {
                break;
            };
            self.last_byte = Instant::now();
            self.received.extend_from_slice(&chunk[..some(count?)?]);
            if awaiting_echo && self.received.len() >= frame.len() {
                if !self.received.starts_with(frame) {
                    return Ok(Outcome::Garbled);
                }
                self.received.drain(..frame.len());
                awaiting_echo = false;
            }
            if awaiting_echo {
                continue;
            }
            if let Some((answer, place)) = find_answer(&self.received, ask.unit, &ask.request) {
                self.received.truncate(place.start);
                self.settle_late_answers(self.last_byte);
                return Ok(Outcome::Answered(answer, self.last_byte - sent));
            }
            if self.received.len() > RECEIVED_MAX {
                self.received
                    .drain(..self.received.len() - RECEIVED_MAX / 2);
            }
        }
        self.settle_late_answers(Instant::now());
        Ok(if only_frames(&self.received) {
            Outcome::Silent
        } else {
            Outcome::Garbled
        })
    }

    /// Remembers that an answer may still come. A probe of a device that is offline holds up only its
    /// own device: an answer of another unit is never taken for it.
    fn give_up(&mut self, ask: &Ask, sent: Instant, deadline: Instant) {
        let learned = self
            .slowest
            .get(&ask.unit)
            .map_or(Duration::ZERO, |slowest| *slowest * 3 / 2);
        let usual = ask.late_timeout.max(ask.timeout) * self.timing.quarantine_percent / 100;
        let on_line = self.line_time(ask.request.rtu_len() + ask.request.rtu_answer_len());
        let until = sent + on_line + usual.max(learned).min(QUARANTINE_MAX);
        self.outstanding.insert(
            ask.unit,
            Outstanding {
                request: ask.request.clone(),
                sent,
                until,
            },
        );
        self.line_until = match ask.class {
            Class::Command | Class::Poll => until,
            Class::Guest | Class::Probe => deadline,
        };
    }

    /// A question at another speed was not answered: it may come yet, and the unit's only.
    pub(crate) fn give_up_guest(&mut self, ask: &Ask, sent: Instant) {
        let line_until = self.line_until;
        self.give_up(ask, sent, sent);
        self.line_until = line_until;
    }

    /// Finds answers that come late, ends their quarantine and learns how late they were.
    fn settle_late_answers(&mut self, now: Instant) {
        let received = &mut self.received;
        let (slowest, late, line_until) = (&mut self.slowest, &mut self.late, &mut self.line_until);
        self.outstanding.retain(|unit, given_up| {
            let Some((_, place)) = find_answer(received, *unit, &given_up.request) else {
                return true;
            };
            received.drain(..place.end);
            let took = now.saturating_duration_since(given_up.sent);
            let known = slowest.entry(*unit).or_default();
            *known = (*known).max(took);
            *late += 1;
            *line_until = (*line_until).min(now);
            false
        });
    }

    fn line_time(&self, chars: usize) -> Duration {
        self.timing.char_time * u32::try_from(chars).unwrap_or(u32::MAX)
    }
}

/// A port that delivers nothing has hung up; asking it again would spin.
pub(crate) fn some(count: usize) -> io::Result<usize> {
    if count == 0 {
        Err(io::ErrorKind::UnexpectedEof.into())
    } else {
        Ok(count)
    }
}
