//! One function per decoder, and two for whole clients, that take any bytes. None of them may
//! panic, stand still or say two different things about the same content.
//!
//! | what | file |
//! |---|---|
//! | the table of targets | `targets` |
//! | content formats | `formats` |
//! | texts: paths, values, addresses, object definitions, the configuration | `texts` |
//! | answers of devices | `devices` |
//! | lines of programs, messages of a broker | `programs` |
//! | what receivers of a position say | `places` |
//! | what is read from the disk | `saved` |
//! | sessions of DTLS | `dtls` |
//! | CoAP, and a client that gets any messages | `coap`, `client` |
//! | whole histories of boxes and servers | `steps` |
//! | how inputs are changed, run and kept | `mutate`, `runner`, `corpus`, `seeds` |

mod client;
mod coap;
pub mod corpus;
mod devices;
mod dlms;
mod dtls;
mod formats;
mod input;
mod mbus;
mod meters;
pub mod mutate;
mod places;
mod programs;
pub mod runner;
mod saved;
pub mod seeds;
mod steps;
mod targets;
mod texts;

pub use targets::{TARGETS, Target, find};
