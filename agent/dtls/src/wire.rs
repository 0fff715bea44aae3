//! What stands between the engine and the link: datagrams both ways, and the timer of a flight.

use std::{collections::VecDeque, time::Duration};

#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) now: Duration,
    /// Length of our own Connection ID.
    pub(crate) own_id: usize,
    received: Option<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
    /// When the time of a flight is half over, and over.
    timer: Option<(Duration, Duration)>,
}

/// Datagrams that one call may produce. A flight has up to five; what a peer makes us repeat
/// beyond is not sent.
const MAX_SENT: usize = 32;

/// What stands before the content of a record without Connection ID. // RFC 6347, 4.1
const HEADER: usize = 13;
/// Where its length stands.
const LENGTH: usize = 11;
/// The content type of records with a Connection ID. // RFC 9146, 4
const WITH_CONNECTION_ID: u8 = 25;

impl Wire {
    /// A datagram of the peer, which replaces one that was not looked at.
    pub(crate) fn put(&mut self, mut datagram: Vec<u8>) {
        datagram.truncate(whole_records(&datagram, self.own_id));
        self.received = Some(datagram);
    }

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

    /// What Mbed TLS wants to hear: -1 cancelled, 0 running, 1 half over, 2 over. It does not look
    /// at what came when the time is over, so it is told that later.
    pub(crate) fn timer(&self) -> i32 {
        match self.timer {
            None => -1,
            Some((_, end)) if self.now >= end && self.received.is_none() => 2,
            Some((half, _)) if self.now >= half => 1,
            Some(_) => 0,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.timer.map(|(_, end)| end)
    }
}

/// How much of a datagram is to be looked at. What is shorter than a header, behind whole records,
/// Mbed TLS takes for an error of its own, and ends the association: anybody could send that.
fn whole_records(datagram: &[u8], own_id: usize) -> usize {
    let mut at = 0;
    while let Some(record) = datagram.get(at..).filter(|rest| rest.len() >= HEADER) {
        let id = if record[0] == WITH_CONNECTION_ID {
            own_id
        } else {
            0
        };
        let Some([high, low]) = record.get(LENGTH + id..HEADER + id) else {
            return datagram.len();
        };
        let length = HEADER + id + usize::from(u16::from_be_bytes([*high, *low]));
        if record.len() < length {
            return datagram.len();
        }
        at += length;
    }
    if at == 0 { datagram.len() } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, content: usize) -> Vec<u8> {
        let mut record = vec![kind, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1];
        record.extend(u16::try_from(content).unwrap().to_be_bytes());
        record.resize(record.len() + content, 7);
        record
    }

    #[test]
    fn a_tail_that_is_no_header_is_cut() {
        for content in [0, 1, 40] {
            let one = record(23, content);
            assert_eq!(whole_records(&one, 0), one.len());
            for tail in 1..HEADER {
                let mut both = [one.clone(), one.clone()].concat();
                both.resize(both.len() + tail, 0);
                assert_eq!(whole_records(&both, 0), 2 * one.len());
            }
            // What has a header is for the engine to judge.
            let long = [one.clone(), vec![0xff; HEADER]].concat();
            assert_eq!(whole_records(&long, 0), long.len());
            assert_eq!(whole_records(&[7; 5], 0), 5);
        }
    }

    #[test]
    fn what_comes_when_the_time_is_over_is_looked_at_first() {
        let mut wire = Wire::default();
        wire.set_timer(250, 1000);
        wire.now = Duration::from_secs(1);
        assert_eq!(wire.timer(), 2);
        wire.put(record(22, 5));
        assert_eq!(wire.timer(), 1);
        assert!(wire.take(100).is_some());
        assert_eq!(wire.timer(), 2);
    }
}
