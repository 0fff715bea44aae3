//! The agent managed by real Leshan servers: `leshan_int_NNN_…` are the cases of the OMA Enabler Test
//! Specification of those numbers, the others are rows of Leshan's own integration tests. All at
//! 2.0.0-M18 but those that name another version.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod address;
mod attributes;
mod b1_streetlights;
mod b2_air_conditioning;
mod b3_1_own_sim;
mod b3_4_user_change;
mod b3_5_provider_change;
mod bootstrap;
mod cabinet;
mod composite;
mod device;
mod figures;
mod late;
mod many;
mod observe;
mod old;
mod place;
mod queue;
mod read;
mod register;
mod secure;
mod security;
mod send;
mod shelf;
mod storing;
mod town;
mod update;
mod versions;
mod write;
