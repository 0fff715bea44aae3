//! What stands between the engine and the link: datagrams both ways, and the timer of a flight.

use std::{collections::VecDeque, time::Duration};

#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) now: Duration,
    pub(crate) received: Option<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
    /// When the time of a flight is half over, and over.
    timer: Option<(Duration, Duration)>,
}

/// Datagrams that one call may produce. A flight has up to five; what a peer makes us repeat
/// beyond is not sent.
const MAX_SENT: usize = 32;

impl Wire {
    pub(crate) fn send(&mut self, datagram: &[u8]) {
        if self.sent.len() < MAX_SENT {
            self.sent.push_back(datagram.to_vec());
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Vec<u8>> {
        self.sent.pop_front()
    }

    /// The datagram that waits, if there is room for it.
    pub(crate) fn take(&mut self, room: usize) -> Option<Vec<u8>> {
        let datagram = self.received.take()?;
        (1..=room).contains(&datagram.len()).then_some(datagram)
    }

    /// In milliseconds from now; an `end` of 0 cancels.
    pub(crate) fn set_timer(&mut self, half: u32, end: u32) {
        let at = |millis: u32| self.now + Duration::from_millis(millis.into());
        self.timer = (end > 0).then(|| (at(half), at(end)));
    }

    /// What Mbed TLS wants to hear: -1 cancelled, 0 running, 1 half over, 2 over.
    pub(crate) fn timer(&self) -> i32 {
        match self.timer {
            None => -1,
            Some((_, end)) if self.now >= end => 2,
            Some((half, _)) if self.now >= half => 1,
            Some(_) => 0,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.timer.map(|(_, end)| end)
    }
}
