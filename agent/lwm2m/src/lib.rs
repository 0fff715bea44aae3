//! The LwM2M client core. Everything enters by [`boundary::Input`] and leaves by
//! [`boundary::Output`]; there is no socket, file, clock or runtime in this crate.

pub mod boundary;
pub mod client;
pub mod format;
pub mod reject;
pub mod saved;
pub mod server;
