//! CoAP for one peer, as a state machine: messages, reliability, exchanges, block-wise, observe.
//! No sockets, no clock, and it has never heard of objects.
//!
//! | layer | file | knows |
//! |---|---|---|
//! | composition | `endpoint` | everything below |
//! | observe | `observe` | tokens and sequence numbers |
//! | block-wise | `block` | bodies and blocks |
//! | exchanges | `exchange` | tokens, our requests, their requests |
//! | protection | `protect` | maps messages to messages (none yet, OSCORE later) |
//! | message layer | `udp`, `seen` | message ids, CON, NON, ACK, RST, retransmission, duplicates |
//! | codec | `message`, `wire` | values and bytes |

mod block;
mod context;
mod endpoint;
mod exchange;
mod message;
mod observe;
mod open;
mod params;
mod protect;
mod random;
mod seen;
mod timer;
mod udp;
mod wire;

pub use endpoint::{Counters, Delivery, Endpoint, Event, Failure};
pub use exchange::ExchangeId;
pub use message::{Code, ETag, Method, Part, Reliability, Request, Response, Token};
pub use observe::NotificationId;
pub use params::Params;
pub use udp::RequestKey;
