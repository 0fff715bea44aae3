//! The whole core against a scripted server, in virtual time.

mod account;
mod attributes;
mod codes;
mod common;
mod composite;
mod create;
mod device;
mod discover;
mod local;
mod network;
mod observe;
mod observe_composite;
mod operations;
mod order;
mod portfolio;
mod reasons;
mod refused;
mod registry;
mod restart;
mod rights;
mod shelf;
mod statistics;
mod storing;
mod telling;
mod writes;
