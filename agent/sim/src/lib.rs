//! What tests and the demo need around the agent: an LwM2M server and devices that are real at the
//! protocol level.

pub mod bootstrap;
#[cfg(feature = "dlms")]
pub mod dlms;
#[cfg(feature = "io")]
pub mod mbus;
#[cfg(feature = "io")]
pub mod meter;
#[cfg(feature = "io")]
pub mod modbus;
#[cfg(feature = "io")]
pub mod null_modem;
#[cfg(feature = "io")]
pub mod pty;
#[cfg(feature = "io")]
pub mod pushing;
pub mod server;
