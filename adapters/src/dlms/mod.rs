//! DLMS/COSEM meters (IEC 62056-53, -62) over HDLC on a serial line or the wrapper on TCP.
//!
//! A [`Dialogue`] knows what to say next: associate, prove who we are, read each register with its
//! scaler and unit, release. It is the only thing here that touches `dlms-cosem-rs` besides the framing
//! of `link`. [`DlmsDevice`] is the adapter of one meter; several may share a line.

mod device;
mod dialogue;
mod link;
mod security;
#[cfg(test)]
mod tests;
mod value;

pub use device::{DlmsConfig, DlmsDevice};
pub use dialogue::{Dialogue, Failure, Told, Wanted};
pub use link::{Framing, Link};
pub use security::{Counter, CounterError, Key, Secret, Security};
pub use value::Value;
