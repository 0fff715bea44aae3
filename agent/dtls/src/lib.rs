//! The security state of one server, which outlives links.
//!
//! Without sockets and without a clock: datagrams go in and out, the time and what is known of the
//! date are arguments. [`Session`] is the whole surface; [`Peer`] says who the server is and how
//! both sides prove it.

mod client;
mod closed;
mod codes;
mod dtls;
mod engine;
mod frozen;
mod pem;
mod security;
#[cfg(feature = "test-server")]
mod serving;
mod session;
mod suite;
#[cfg(feature = "test-server")]
pub mod test_server;
mod verify;
mod wire;

pub use closed::Closed;
pub use dtls::{Counters, Dtls};
pub use frozen::{Frozen, Mark, Stale};
pub use pem::{certificates, private_key, validity};
pub use security::{Certificate, Matching, Peer, Psk, Secret, Security, Timers, Unusable, Usage};
pub use session::{Established, Plain, Session, SessionEvent};
pub use suite::{Kind, SUITES, Suite};
pub use verify::{Clock, Time, Untrusted};
