//! What comes to a secured session and is not the server's: dropped by the session, told here.

use lamplighter_dtls::{Counters, Session};

use super::Server;
use crate::{
    boundary::{Event, Output},
    perform::Shared,
};

/// Datagrams that the session has dropped since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Intrusions {
    /// Made with another key, or altered.
    pub forged: u64,
    /// No records of this session at all.
    pub malformed: u64,
    /// They came before, or are too old to know.
    pub replayed: u64,
}

impl Intrusions {
    pub const fn total(self) -> u64 {
        self.forged + self.malformed + self.replayed
    }

    /// Whether the number has doubled since then: a flood is no flood of news.
    fn has_doubled_since(self, before: Self) -> bool {
        self.total().checked_ilog2() > before.total().checked_ilog2()
    }
}

impl From<Counters> for Intrusions {
    fn from(counters: Counters) -> Self {
        Self {
            forged: counters.forged,
            malformed: counters.malformed,
            replayed: counters.replayed,
        }
    }
}

impl Server {
    pub(super) fn tell_intruders(&mut self, shared: &mut Shared) {
        let Session::Dtls(dtls) = &self.session else {
            return;
        };
        let now = Intrusions::from(dtls.counters());
        let before = std::mem::replace(&mut self.intrusions, now);
        if now == before {
            return;
        }
        shared.out.push(Output::Event(Event::Intruded {
            ssid: self.config.ssid,
            intrusions: now,
            is_news: now.has_doubled_since(before),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_at_each_doubling() {
        let of = |forged| Intrusions {
            forged,
            ..Intrusions::default()
        };
        let told = (1..=1000).filter(|count| of(*count).has_doubled_since(of(count - 1)));
        assert_eq!(told.count(), 10);
    }
}
