//! Requests and their responses, matched by token: ours (`ours`), and the peer's (`theirs`).
//! Nothing here knows of message ids, acknowledgements, or the kind of link.

mod ours;
mod theirs;

pub(crate) use ours::{Ours, Taken, Todo};
pub(crate) use theirs::{Theirs, Verdict};

/// Names a request of ours until its last answer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ExchangeId(pub(crate) u64);
