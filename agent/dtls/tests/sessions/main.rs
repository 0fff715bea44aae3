//! Sessions against our own server, in virtual time.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod certificates;
mod frozen;
mod hostile;
mod ladder;
mod pair;
mod psk;
