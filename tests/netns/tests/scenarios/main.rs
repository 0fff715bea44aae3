//! What happens to bearers, to the program as it runs at a real Leshan: how long until messages flow
//! again, what that costs, what is shown, and that every number that was counted meanwhile comes.
//!
//! Times are those of design.md, section 9, for the pauses of [`lamplighter_netns::scene::QUICK`], with
//! room for a loaded machine; the figures themselves are printed at the end of `tests/run namespaces`.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod b3_3_provider_is_subscriber;
mod link;
mod modem;
mod nat;
mod network_manager;
mod other;
mod path;
mod switches;

use std::time::Duration;

/// For a switch after a loss that the kernel tells of. It takes 0.03 s where others work beside it.
const AT_ONCE: Duration = Duration::from_secs(1);
/// For all that follows from it.
const TOLD: Duration = Duration::from_secs(3);
/// For one that nobody tells of.
const UNTOLD: Duration = Duration::from_secs(10);
/// Of a stand-by to be found good, or of a bearer to be used again.
const SETTLED: Duration = Duration::from_secs(15);
