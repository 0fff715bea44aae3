//! Whole boxes against whole servers, one or two sharp cases per behaviour.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod disable;
mod observe;
mod offline;
mod power_cut;
mod queue_mode;
mod read;
mod registration;
mod roam;
mod town;
mod two_servers;
mod write;
