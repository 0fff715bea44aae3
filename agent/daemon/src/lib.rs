//! The shell: the only crate of the product with network sockets, files and clocks.

pub mod config;
pub mod api;
pub mod ask;
#[cfg(test)]
mod fake;
pub mod status;
pub mod web;
