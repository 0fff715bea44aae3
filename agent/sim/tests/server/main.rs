//! The server against scripted clients, in virtual time over a perfect wire.

mod composite;
mod many;
mod misbehaviour;
mod operations;
mod registration;
mod sleepy;
mod world;
