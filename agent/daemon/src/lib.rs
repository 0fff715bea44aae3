//! The shell: the only crate of the product with network sockets, files and clocks.

mod advice;
mod apart;
pub mod api;
pub mod ask;
mod atomic;
pub mod bearer;
mod catalogue;
pub mod cli;
pub mod clock;
pub mod commission;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod devices;
mod doctor;
pub mod events;
#[cfg(test)]
mod fake;
mod history;
mod link;
pub mod logging;
mod preview;
pub mod run;
mod socket;
pub mod start;
pub mod status;
mod store;
mod system;
mod systemd;
mod update;
pub mod web;

pub use store::{PackError, unpack};
