//! The LwM2M client core. Everything enters by [`boundary::Input`] and leaves by
//! [`boundary::Output`]; there is no socket, file, clock or runtime in this crate.

pub mod access;
pub mod bootstrap;
pub mod boundary;
mod catalogue;
pub mod client;
mod config;
mod confirm;
mod date;
pub mod format;
mod object;
pub mod observe;
mod operation;
pub mod outbox;
mod perform;
pub mod registration;
pub mod reject;
mod rng;
pub mod saved;
pub mod security;
pub mod server;
pub mod tree;
mod view;
mod waiting;
mod work;
