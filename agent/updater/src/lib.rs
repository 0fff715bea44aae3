//! Installs signed packages as root, keeps the one before, and goes back to it where the new one does
//! not prove itself.
//!
//! The agent has no rights for that. It leaves a package and a small request in its state directory
//! ([`handover`]); systemd starts the program `lamplighter-updater`, which trusts neither: it copies
//! first and checks the copy. What becomes of it stands in a file that the agent may read
//! ([`handover::Report`]). The agent uses the same checks early, so that a server learns at once what
//! is wrong with a package.

pub mod container;
pub mod files;
pub mod handover;
pub mod knock;
pub mod settings;
#[cfg(feature = "test-signer")]
pub mod signer;
pub mod transaction;
pub mod verify;

mod commands;
mod health;
mod keep;
