//! The security state of one server, which outlives links.
//!
//! Only the plain session exists yet. What a DTLS engine needs is in the shape already: datagrams
//! in and out without sockets, a timer for flights, the way a session came to be (a continued one
//! needs no new Register), and why it ended.

mod session;

pub use session::{Closed, Established, Session, SessionEvent};
