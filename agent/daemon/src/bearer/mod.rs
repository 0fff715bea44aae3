//! Bearers: the ways from this box to its servers.
//!
//! 1. [`netlink`] and the managers (NetworkManager, ModemManager) say what there is:
//!    [`BearerEvent::Link`], [`BearerEvent::Meta`].
//! 2. The selector, a pure machine, decides whom to probe and which bearer to use.
//! 3. The loop does it: one fresh socket for each server and switch, bound to the bearer's device.
//!
//! Connected means: messages can be exchanged with a server through this bearer. Everything else is
//! disconnected, with a reason.

mod board;
mod boundary;
pub(crate) mod classify;
pub mod cost;
pub mod dbus;
pub(crate) mod netlink;
pub(crate) mod objects;
mod probe;
pub(crate) mod resolve;
mod selector;
pub(crate) mod usage;
pub(crate) mod way;

pub(crate) use board::Bearers;
pub use board::{Board, Chosen};
pub use boundary::{
    Action, AddressFamily, BearerEvent, BearerFacts, BearerId, Choice, LinkFacts, Meta, Reason,
    Status, Switch, Want,
};
pub use netlink::Monitor;
pub use probe::Prober;
pub(crate) use selector::Level;
pub use selector::Selector;
pub use way::Way;
