//! One request at a time on a TCP connection. Answers carry the number of their request: older ones
//! are dropped, anything else means that the two ends are out of step and the connection ends.
//!
//! Many devices lose a request that comes while they are busy with another, so after a timeout the
//! late answer is waited for here as well, as long as on a serial line.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{
    bus::{Ask, Class, Wanted},
    frame::Answer,
    rtu::{Outcome, some},
};
use crate::bus::Port;

/// State of one connection.
#[derive(Debug)]
pub(crate) struct Tcp {
    transaction: u16,
    received: Vec<u8>,
    /// The first request since which nothing has come at all.
    silent_since: Option<Instant>,
    is_dead: bool,
    /// A request that was given up and how long its answer is waited for.
    outstanding: Option<(u16, Instant)>,
    quarantine_percent: u32,
    not_before: Instant,
    gap: Duration,
    late: u64,
}

/// Transaction, protocol, length (each u16), unit.
const HEADER: usize = 7;
/// Requests whose answers may still be on their way.
const OLDER: u16 = 64;
/// A half-open connection looks like a device that is mute; after so many timeouts it is renewed.
const SILENT_TIMEOUTS: u32 = 10;

impl Tcp {
    /// `quarantine_percent`: for how many hundredths of its timeout a late answer is waited for.
    /// `gap`: pause between an answer and the next request.
    pub(crate) fn new(quarantine_percent: u32, gap: Duration) -> Self {
        Self {
            not_before: Instant::now(),
            gap,
            transaction: 0,
            received: Vec::new(),
            silent_since: None,
            is_dead: false,
            outstanding: None,
            quarantine_percent,
            late: 0,
        }
    }

    /// The connection was renewed: nothing of the old one can come any more. The first request
    /// waits for `pause`.
    pub(crate) fn on_open(&mut self, pause: Duration) {
        self.not_before = Instant::now() + pause;
        self.received.clear();
        self.silent_since = None;
        self.is_dead = false;
        self.outstanding = None;
    }

    pub(crate) fn late(&self) -> u64 {
        self.late
    }

    pub(crate) fn must_reconnect(&self) -> bool {
        self.is_dead
    }

    /// Bytes that came while nothing was asked: answers that are too late.
    ///
    /// # Errors
    /// They are not that.
    pub(crate) fn on_stray(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.received.extend_from_slice(bytes);
        while let Some(frame) = self.next_frame()? {
            self.drop_older(&frame)?;
        }
        Ok(())
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// The connection cannot be used further.
    pub(crate) async fn exchange<P: Port>(
        &mut self,
        port: &mut P,
        ask: &Ask,
        is_wanted: Wanted<'_>,
    ) -> io::Result<Outcome> {
        let mut chunk = [0; 512];
        while let Some((_, until)) = self.outstanding {
            let Ok(count) = timeout_at(until, port.read(&mut chunk)).await else {
                self.outstanding = None;
                break;
            };
            self.on_stray(&chunk[..some(count?)?])?;
        }
        while let Ok(count) = timeout_at(self.not_before, port.read(&mut chunk)).await {
            self.on_stray(&chunk[..some(count?)?])?;
        }
        // As in `Rtu::exchange`.
        if !is_wanted() {
            return Ok(Outcome::Expired);
        }
        self.transaction = self.transaction.wrapping_add(1);
        let sent = Instant::now();
        let deadline = sent + ask.timeout;
        port.write_all(&ask.request.tcp_frame(ask.unit, self.transaction))
            .await?;
        let mut chunk = [0; 512];
        loop {
            while let Some(frame) = self.next_frame()? {
                if frame.transaction != self.transaction {
                    self.drop_older(&frame)?;
                    continue;
                }
                let round_trip = sent.elapsed();
                self.not_before = sent + round_trip + self.gap;
                return Ok(Outcome::Answered(frame.answer_to(ask)?, round_trip));
            }
            let Ok(count) = timeout_at(deadline, port.read(&mut chunk)).await else {
                self.give_up(ask, sent);
                return Ok(Outcome::Silent);
            };
            self.received.extend_from_slice(&chunk[..some(count?)?]);
        }
    }

    fn give_up(&mut self, ask: &Ask, sent: Instant) {
        // Whom a guest asks need not be there.
        if ask.class != Class::Guest {
            let silent_since = *self.silent_since.get_or_insert(sent);
            self.is_dead = silent_since.elapsed() >= ask.late_timeout * SILENT_TIMEOUTS;
        }
        self.outstanding = match ask.class {
            Class::Command | Class::Poll => Some((
                self.transaction,
                sent + ask.late_timeout * self.quarantine_percent / 100,
            )),
            Class::Guest | Class::Probe => None,
        };
    }

    fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        let &[t1, t0, p1, p0, l1, l0, unit, ..] = self.received.as_slice() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([l1, l0]));
        // Modbus messaging on TCP/IP 1.0b, 3.1.3: protocol 0; unit and PDU (at most 253) are counted.
        if (p1, p0) != (0, 0) || !(2..=254).contains(&length) {
            return Err(out_of_step("not a Modbus TCP header"));
        }
        let end = HEADER - 1 + length;
        if self.received.len() < end {
            return Ok(None);
        }
        // Late ones too show that the other end is there.
        self.silent_since = None;
        self.is_dead = false;
        let pdu = self.received[HEADER..end].to_vec();
        self.received.drain(..end);
        Ok(Some(Frame {
            transaction: u16::from_be_bytes([t1, t0]),
            unit,
            pdu,
        }))
    }

    fn drop_older(&mut self, frame: &Frame) -> io::Result<()> {
        let age = self.transaction.wrapping_sub(frame.transaction);
        if age > OLDER {
            return Err(out_of_step("an answer to no request"));
        }
        self.late += 1;
        self.outstanding = self
            .outstanding
            .filter(|(transaction, _)| *transaction != frame.transaction);
        Ok(())
    }
}

struct Frame {
    transaction: u16,
    unit: u8,
    pdu: Vec<u8>,
}

impl Frame {
    fn answer_to(&self, ask: &Ask) -> io::Result<Answer> {
        if self.unit != ask.unit {
            return Err(out_of_step("an answer of another unit"));
        }
        ask.request
            .answer_in(&self.pdu)
            .ok_or_else(|| out_of_step("an answer to another request"))
    }
}

fn out_of_step(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
