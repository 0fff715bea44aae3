//! Information reporting: who watches what, and when he is told.
//!
//! 1. [`Observations`] keeps the relations of one server; `Index` finds those that a change
//!    concerns by looking up the changed address and its few ancestors.
//! 2. The trigger algorithm (`relation`, `condition`) says now, later, or not at all.
//! 3. What is due goes through `Due`; its content is read when it leaves, so that the newest value
//!    is told. What cannot be told is stored: `outbox/`.

mod attributes;
mod condition;
mod due;
mod engine;
mod index;
mod kind;
#[cfg(test)]
mod reference;
mod relation;
#[cfg(test)]
mod tests;

pub use attributes::Attributes;
pub(crate) use attributes::{Attribute, AttributeStore, Subject};
pub(crate) use engine::Observations;
pub(crate) use relation::{Defaults, Relation, Rules, Sent, Subscription, Targets};
