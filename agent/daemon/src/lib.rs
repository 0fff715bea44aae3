//! The shell: the only crate of the product with network sockets, files and clocks.

pub mod api;
pub mod ask;
mod atomic;
mod catalogue;
pub mod cli;
pub mod clock;
pub mod config;
mod connectivity;
#[cfg(feature = "demo")]
pub mod demo;
pub mod devices;
#[cfg(test)]
mod fake;
mod link;
pub mod logging;
mod memory;
mod preview;
pub mod run;
pub mod start;
pub mod status;
mod store;
pub mod web;

pub use store::{PackError, unpack};
