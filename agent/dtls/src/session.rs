//! One session with one server over whatever link carries it at the moment.
//!
//! 1. [`Session::start`] on every new link; [`SessionEvent::Established`] says how it went.
//! 2. [`Session::receive`] for every datagram of the link, [`Session::send`] for every message.
//! 3. After each call, [`Session::poll`] until `None`, then [`Session::poll_timeout`].
//! 4. A request that nobody answers may mean that the server has lost its state: then
//!    [`Session::restart`] before anything else is tried.

use std::{collections::VecDeque, time::Duration};

use crate::{
    closed::Closed,
    dtls::Dtls,
    frozen::{Frozen, Mark, Stale},
    security::{Peer, Unusable},
    verify::Clock,
};

/// The security state towards one server. A closed set: there is no other way to talk.
#[derive(Debug)]
pub enum Session {
    Dtls(Box<Dtls>),
    /// No security at all; only where the configuration allows it by name.
    Plain(Plain),
}

/// What a session has to tell or to send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SessionEvent {
    /// A message of the peer, opened and checked.
    Application(Vec<u8>),
    /// The session ended; nothing is sent or received until the next [`Session::start`].
    Closed(Closed),
    Established(Established),
    /// A datagram for the link.
    Transmit(Vec<u8>),
}

/// How a session came to be. The registration depends on it: the peer knows a continued or resumed
/// session, a full handshake is a new one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Established {
    /// The former session goes on over the new link (no security, or a Connection ID).
    Continued,
    /// Keys were agreed anew.
    Full,
    /// Keys of a former session were taken up again.
    Resumed,
}

/// The session without security: every datagram is a message.
#[derive(Debug, Default)]
pub struct Plain {
    open: bool,
    events: VecDeque<SessionEvent>,
}

/// Events that may wait; the caller drains them after every call, so this is never reached but by
/// a datagram that consists of hundreds of records.
pub(crate) const MAX_EVENTS: usize = 1024;

impl Session {
    pub fn plain() -> Self {
        Self::Plain(Plain::default())
    }

    /// Checks the credentials; costs a few operations with the key.
    pub fn dtls(peer: Peer) -> Result<Self, Unusable> {
        Ok(Self::Dtls(Box::new(Dtls::new(peer)?)))
    }

    /// Takes up a session of the time before a restart. Both `frozen` and `mark` must be gone from
    /// the disk, and that synced, before this is called (see [`Frozen`]). `hardware`: what tells
    /// this machine from others.
    ///
    /// After an error there is nothing to take up; [`Self::dtls`] begins anew.
    pub fn thaw(
        peer: Peer,
        frozen: Frozen,
        mark: Option<Mark>,
        hardware: &[u8],
    ) -> Result<Self, Stale> {
        let dtls = Dtls::thaw(peer, frozen, mark, hardware)?;
        Ok(Self::Dtls(Box::new(dtls)))
    }

    /// A new link stands ready: continue, resume or begin. Certificates are judged by `clock`.
    pub fn start(&mut self, clock: Clock, now: Duration) {
        match self {
            Self::Dtls(dtls) => dtls.start(clock, now),
            Self::Plain(plain) => {
                plain.open = true;
                plain.push(SessionEvent::Established(Established::Continued));
            }
        }
    }

    /// The peer does not answer any more: agrees upon keys anew over the same link, by resumption
    /// or in full. `false`: there is nothing to agree upon, and nothing was done.
    pub fn restart(&mut self, clock: Clock, now: Duration) -> bool {
        match self {
            Self::Dtls(dtls) => {
                dtls.restart(clock, now);
                true
            }
            Self::Plain(_) => false,
        }
    }

    /// Whether the certificates by which the peer was believed would convince now. Dates come and
    /// go while a session lasts.
    pub fn is_valid(&self, clock: Clock) -> bool {
        match self {
            Self::Dtls(dtls) => dtls.is_valid(clock),
            Self::Plain(_) => true,
        }
    }

    /// As [`Self::restart`], but with the next link.
    pub fn distrust(&mut self) {
        match self {
            Self::Dtls(dtls) => dtls.distrust(),
            Self::Plain(_) => {}
        }
    }

    /// Whether messages can be exchanged.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Dtls(dtls) => dtls.is_open(),
            Self::Plain(plain) => plain.open,
        }
    }

    /// The most that a datagram of a handshake may have from now on; `None`: what passes every path
    /// of IPv6. How long messages are is the matter of whoever makes them.
    pub fn set_mtu(&mut self, most: Option<u16>) {
        match self {
            Self::Dtls(dtls) => dtls.set_mtu(most),
            Self::Plain(_) => {}
        }
    }

    /// A datagram came from the link.
    pub fn receive(&mut self, datagram: Vec<u8>, now: Duration) {
        match self {
            Self::Dtls(dtls) => dtls.receive(datagram, now),
            Self::Plain(plain) if plain.open => plain.push(SessionEvent::Application(datagram)),
            Self::Plain(_) => {}
        }
    }

    /// Sends a message; dropped while the session is not established.
    pub fn send(&mut self, message: Vec<u8>, now: Duration) {
        match self {
            Self::Dtls(dtls) => dtls.send(&message, now),
            Self::Plain(plain) if plain.open => plain.push(SessionEvent::Transmit(message)),
            Self::Plain(_) => {}
        }
    }

    /// Says goodbye to the peer where the protocol has words for it, and stops. What a resumption
    /// needs is kept.
    pub fn close(&mut self, _now: Duration) {
        match self {
            Self::Dtls(dtls) => dtls.close(),
            Self::Plain(plain) if plain.open => {
                plain.open = false;
                plain.push(SessionEvent::Closed(Closed::Locally));
            }
            Self::Plain(_) => {}
        }
    }

    /// Stops without a word and gives what the next start can go on with: the association where
    /// that is possible, else what a resumption needs.
    pub fn freeze(&mut self, hardware: &[u8]) -> Option<Frozen> {
        match self {
            Self::Dtls(dtls) => dtls.freeze(hardware),
            Self::Plain(_) => None,
        }
    }

    /// What a resumption needs, for a start after a crash. May be used more than once.
    pub fn remember(&self, hardware: &[u8]) -> Option<Frozen> {
        match self {
            Self::Dtls(dtls) => dtls.remember(hardware),
            Self::Plain(_) => None,
        }
    }

    /// The next thing to send or to know.
    pub fn poll(&mut self) -> Option<SessionEvent> {
        match self {
            Self::Dtls(dtls) => dtls.poll(),
            Self::Plain(plain) => plain.events.pop_front(),
        }
    }

    /// When [`Session::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self {
            Self::Dtls(dtls) => dtls.poll_timeout(),
            Self::Plain(_) => None,
        }
    }

    /// Repeats a flight that was not answered. Calls before the time do nothing.
    pub fn handle_timeout(&mut self, now: Duration) {
        match self {
            Self::Dtls(dtls) => dtls.handle_timeout(now),
            Self::Plain(_) => {}
        }
    }
}

impl Plain {
    fn push(&mut self, event: SessionEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_session_passes_messages_through_once_it_is_started() {
        let mut session = Session::plain();
        session.send(vec![1], Duration::ZERO);
        assert_eq!(session.poll(), None);
        session.start(Clock::default(), Duration::ZERO);
        session.send(vec![2], Duration::ZERO);
        session.receive(vec![3], Duration::ZERO);
        let events: Vec<_> = std::iter::from_fn(|| session.poll()).collect();
        assert_eq!(
            events,
            [
                SessionEvent::Established(Established::Continued),
                SessionEvent::Transmit(vec![2]),
                SessionEvent::Application(vec![3]),
            ]
        );
    }

    #[test]
    fn a_closed_session_is_silent_until_it_is_started_again() {
        let mut session = Session::plain();
        session.start(Clock::default(), Duration::ZERO);
        session.close(Duration::ZERO);
        session.receive(vec![3], Duration::ZERO);
        let events: Vec<_> = std::iter::from_fn(|| session.poll()).collect();
        assert_eq!(events.last(), Some(&SessionEvent::Closed(Closed::Locally)));
    }

    #[test]
    fn without_security_there_is_nothing_to_agree_upon_anew() {
        let mut session = Session::plain();
        assert!(!session.restart(Clock::default(), Duration::ZERO));
        assert!(session.freeze(b"board").is_none());
    }
}
