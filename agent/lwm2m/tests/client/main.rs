//! The whole core against a scripted server, in virtual time.

mod account;
mod codes;
mod common;
mod composite;
mod create;
mod local;
mod network;
mod observe;
mod operations;
mod order;
mod restart;
mod shelf;
