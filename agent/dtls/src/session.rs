//! One session with one server over whatever link carries it at the moment.
//!
//! 1. [`Session::start`] on every new link; [`SessionEvent::Established`] says how it went.
//! 2. [`Session::receive`] for every datagram of the link, [`Session::send`] for every message.
//! 3. After each call, [`Session::poll`] until `None`, then [`Session::poll_timeout`].

use std::{collections::VecDeque, time::Duration};

/// The security state towards one server. A closed set: there is no other way to talk.
#[derive(Debug)]
pub enum Session {
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

/// Who ended a session, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Closed {
    /// By [`Session::close`].
    Locally,
    /// The peer refused or closed it: the alert's number (RFC 5246, 7.2).
    Peer(u8),
    /// Nobody answered the handshake.
    TimedOut,
    /// The peer's credentials do not convince us.
    Untrusted(String),
}

/// The session without security: every datagram is a message.
#[derive(Debug, Default)]
pub struct Plain {
    open: bool,
    events: VecDeque<SessionEvent>,
}

/// Events that may wait; the caller drains them after every call, so this is never reached.
const MAX_EVENTS: usize = 1024;

impl Session {
    pub fn plain() -> Self {
        Self::Plain(Plain::default())
    }

    /// A new link stands ready: continue, resume or begin.
    pub fn start(&mut self, _now: Duration) {
        let Self::Plain(plain) = self;
        plain.open = true;
        plain.push(SessionEvent::Established(Established::Continued));
    }

    /// A datagram came from the link.
    pub fn receive(&mut self, datagram: Vec<u8>, _now: Duration) {
        let Self::Plain(plain) = self;
        if plain.open {
            plain.push(SessionEvent::Application(datagram));
        }
    }

    /// Sends a message; dropped while the session is not established.
    pub fn send(&mut self, message: Vec<u8>, _now: Duration) {
        let Self::Plain(plain) = self;
        if plain.open {
            plain.push(SessionEvent::Transmit(message));
        }
    }

    /// Says goodbye to the peer where the protocol has words for it, and stops.
    pub fn close(&mut self, _now: Duration) {
        let Self::Plain(plain) = self;
        if plain.open {
            plain.open = false;
            plain.push(SessionEvent::Closed(Closed::Locally));
        }
    }

    /// The next thing to send or to know.
    pub fn poll(&mut self) -> Option<SessionEvent> {
        let Self::Plain(plain) = self;
        plain.events.pop_front()
    }

    /// When [`Session::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let Self::Plain(_) = self;
        None
    }

    /// Repeats a flight that was not answered. Calls before the time do nothing.
    pub fn handle_timeout(&mut self, _now: Duration) {}
}

impl Plain {
    fn push(&mut self, event: SessionEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Locally => f.write_str("closed by us"),
            Self::Peer(alert) => write!(f, "closed by the server with alert {alert}"),
            Self::TimedOut => f.write_str("no answer to the handshake"),
            Self::Untrusted(why) => f.write_str(why),
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
        session.start(Duration::ZERO);
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
        session.start(Duration::ZERO);
        session.close(Duration::ZERO);
        session.receive(vec![3], Duration::ZERO);
        let events: Vec<_> = std::iter::from_fn(|| session.poll()).collect();
        assert_eq!(events.last(), Some(&SessionEvent::Closed(Closed::Locally)));
    }
}
