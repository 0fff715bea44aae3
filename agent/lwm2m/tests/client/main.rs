//! The whole core against a scripted server, in virtual time.

mod common;
mod first;
