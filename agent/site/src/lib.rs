//! What the box does by itself, between the core and the adapters. Pure: time is an argument.
//!
//! The core sees one back end behind its tree, and this is it. Limits, guards, priorities, groups
//! and fail-safe live here and nowhere else; adapters know lines and registers, nothing more.

pub mod boundary;
mod check;
pub mod companions;
mod contact;
mod deadlines;
mod group;
mod guard;
mod lamp;
mod moment;
mod output;
mod power_return;
pub mod rule;
pub mod saved;
mod site;
mod slots;
mod standstill;
mod status;

pub use site::{GroupView, MemberView, OutputView, Site};
