//! What the box does by itself, between the core and the adapters. Pure: time is an argument.
//!
//! The core sees one back end behind its tree, and this is it. Limits, guards, priorities, groups
//! and fail-safe live here and nowhere else; adapters know lines and registers, nothing more.

pub mod boundary;
pub mod saved;
