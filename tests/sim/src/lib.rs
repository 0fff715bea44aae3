//! Whole client cores against servers of ours, in virtual time.
//!
//! | what | file |
//! |---|---|
//! | time, power, who is handed what when | `world` |
//! | one box: core, tree, clock | `cabinet`, its store and devices `store`, `devices` |
//! | one server and who operates it | `host` |
//! | datagrams between them | `network`, `wire` |
//! | random histories, and what must hold in each | `step`, `model`, `told`, `history` |
//! | boxes that are wrong on purpose | `mutant`, `subject` |
//!
//! Everything that is left to chance comes from one seed.

pub mod cabinet;
pub mod chance;
pub mod devices;
pub mod history;
pub mod host;
mod logs;
pub mod model;
pub mod mutant;
pub mod network;
pub mod step;
pub mod store;
mod subject;
mod told;
pub mod wire;
pub mod world;
