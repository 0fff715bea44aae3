//! Object 7: how much goes over the links of this client, while somebody wants it counted.
//!
//! Counted are the datagrams of LwM2M sessions, handshakes and retransmissions included: 2 and 3 with
//! their IP and UDP headers, 4 and 5 without. What else the box sends is not: the standard's "data" is
//! open to either, and this is what a server can do something about.

use std::time::Duration;

use lamplighter_model::{Now, ResourceId, Value};

use super::{Effect, number};
use crate::{reject::Reject, saved::SavedStatistics};

/// The resources that the core answers for. There are no short messages to be counted (0, 1).
pub(super) const RESOURCES: [u16; 7] = [
    id::SENT,
    id::RECEIVED,
    id::LARGEST,
    id::AVERAGE,
    id::START,
    id::STOP,
    PERIOD,
];

/// The only instance of object 7.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Statistics {
    collection: Collection,
    counts: Counts,
    /// Zero: until Stop.
    period_s: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Collection {
    Since(Duration),
    #[default]
    Stopped,
}

/// What was counted since Start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    /// Bytes of all messages, without headers of the network.
    bytes: u64,
    /// Bytes of the largest message.
    largest: u64,
    messages: u64,
    /// Bytes on the network.
    received: u64,
    sent: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Direction {
    Received,
    Sent,
}

mod id {
    pub(super) const SENT: u16 = 2;
    pub(super) const RECEIVED: u16 = 3;
    pub(super) const LARGEST: u16 = 4;
    pub(super) const AVERAGE: u16 = 5;
    pub(super) const START: u16 = 6;
    pub(super) const STOP: u16 = 7;
}

/// Collection Period.
pub(super) const PERIOD: u16 = 8;

/// What Start empties.
pub(crate) const COUNTERS: [u16; 4] = [id::SENT, id::RECEIVED, id::LARGEST, id::AVERAGE];

/// 7/0/2 and 7/0/3 are in units of this many bytes.
const KILOBYTE: u64 = 1000;

impl Statistics {
    pub(crate) const fn restore(&mut self, saved: SavedStatistics) {
        self.period_s = saved.period_s;
    }

    pub(crate) const fn saved(&self) -> SavedStatistics {
        SavedStatistics {
            period_s: self.period_s,
        }
    }

    /// 7/0/6: from nothing.
    pub(crate) fn start(&mut self, now: Now) {
        self.counts = Counts::default();
        self.collection = Collection::Since(now.mono);
    }

    /// 7/0/7: what was counted stays.
    pub(crate) const fn stop(&mut self) {
        self.collection = Collection::Stopped;
    }

    /// A datagram: its payload and the headers in front of it, in bytes.
    pub(crate) fn count(&mut self, direction: Direction, payload: usize, headers: u64, now: Now) {
        if !self.is_collecting(now) {
            return;
        }
        let payload = u64::try_from(payload).unwrap_or(u64::MAX);
        let counts = &mut self.counts;
        counts.messages += 1;
        counts.bytes = counts.bytes.saturating_add(payload);
        counts.largest = counts.largest.max(payload);
        let all = match direction {
            Direction::Received => &mut counts.received,
            Direction::Sent => &mut counts.sent,
        };
        *all = all.saturating_add(payload.saturating_add(headers));
    }

    pub(super) fn read(&self, resource: ResourceId) -> Option<Value> {
        let counts = &self.counts;
        let value = match resource.0 {
            id::SENT => counts.sent / KILOBYTE,
            id::RECEIVED => counts.received / KILOBYTE,
            id::LARGEST => counts.largest,
            id::AVERAGE => counts.bytes.checked_div(counts.messages).unwrap_or(0),
            PERIOD => self.period_s.into(),
            _ => return None,
        };
        Some(Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    pub(super) fn write(
        &mut self,
        resource: ResourceId,
        value: &Value,
        now: Now,
    ) -> Result<(), Reject> {
        if resource.0 != PERIOD {
            return Err(Reject::method_not_allowed("the resource cannot be written"));
        }
        let period_s = number(value, 0..=u32::MAX)?;
        self.set_period(period_s, now);
        Ok(())
    }

    /// Part of a Replace that does not name the resource.
    pub(super) fn reset(&mut self, resource: ResourceId, now: Now) {
        if resource.0 == PERIOD {
            self.set_period(0, now);
        }
    }

    pub(super) const fn execute(resource: ResourceId) -> Option<Effect> {
        match resource.0 {
            id::START => Some(Effect::StartStatistics),
            id::STOP => Some(Effect::StopStatistics),
            _ => None,
        }
    }

    /// A collection that is over is not taken up by a longer period.
    fn set_period(&mut self, period_s: u32, now: Now) {
        if !self.is_collecting(now) {
            self.stop();
        }
        self.period_s = period_s;
    }

    fn is_collecting(&self, now: Now) -> bool {
        match self.collection {
            Collection::Since(_) if self.period_s == 0 => true,
            Collection::Since(start) => {
                now.mono.saturating_sub(start) < Duration::from_secs(self.period_s.into())
            }
            Collection::Stopped => false,
        }
    }
}
