//! The whole core against a scripted server, in virtual time.

mod attributes;
mod codes;
mod common;
mod local;
mod network;
mod observe;
mod operations;
mod restart;
mod storing;
