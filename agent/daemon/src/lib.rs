//! The shell: the only crate of the product with network sockets, files and clocks.

pub mod config;
