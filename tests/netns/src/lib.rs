//! A gateway with three ways to the Internet, each behind a router of its own that can be made to fail
//! in every way that networks do, in network namespaces of this machine. Needs root, `ip`, `nft` and
//! `conntrack`; a missing one is a failure, never a skipped test. `make namespaces` runs all of it.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub mod cell;
pub mod cloud;
pub mod fault;
pub mod figures;
pub mod namespace;
pub mod network_manager;
pub mod numbers;
pub mod peer;
pub mod scene;
pub mod service;
pub mod site;
pub mod wait;
