//! Device families, one module and one feature each, behind one trait.
//!
//! An adapter knows lines and registers. What its values mean for the site, who may write them and
//! how often is not its business. It runs in a task of its own under [`supervise()`], which owns
//! deadlines, retry pauses, freshness and bounded queues, so no device can delay another.

#[cfg(feature = "serial")]
pub mod bus;
#[cfg(feature = "dlms")]
pub mod dlms;
pub mod gpio;
#[cfg(feature = "iec62056")]
pub mod iec62056;
#[cfg(feature = "location")]
pub mod location;
#[cfg(feature = "mbus")]
pub mod mbus;
pub mod meter;
#[cfg(feature = "modbus")]
pub mod modbus;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "p1")]
pub mod p1;
#[cfg(feature = "remote")]
pub mod remote;
pub mod s0;
pub mod sim;
#[cfg(feature = "sml")]
pub mod sml;
pub mod supervise;
#[cfg(feature = "w1")]
pub mod w1;

use std::{fmt, future::Future, sync::Arc};

use lamplighter_model::{
    InstanceAddress, ResourceAddress, ResourceId, Sample, Stamp,
    device::{Assignment, Declaration, Declared, Fault, Note, Part},
};

pub use supervise::{AdapterHandle, Ended, Handles, Limits, Port, supervise};

/// The one trait that every device family implements.
///
/// Futures of `read`, `write` and `execute` are dropped at their deadline; the next call brings the
/// line back into step first. `wait` is dropped whenever a request arrives and may not use the bus.
pub trait Adapter: Send + 'static {
    /// The resources it answers for; more may come later by [`Wake::Declared`].
    fn declared(&self) -> Vec<Declaration>;

    /// Reads from the device. Samples of resources that could not be read are left out only if at
    /// least one was read.
    fn read(
        &mut self,
        instance: InstanceAddress,
        resources: &[ResourceId],
    ) -> impl Future<Output = Result<Vec<Sample>, Fault>> + Send;

    /// Writes and, where so configured, verifies.
    fn write(&mut self, values: &[Assignment]) -> impl Future<Output = Result<(), Fault>> + Send;

    /// A piece of a value that is too large for [`Self::write`]; only what takes files has such.
    fn write_part(&mut self, _: &Part) -> impl Future<Output = Result<(), Fault>> + Send {
        std::future::ready(Err(Fault::Unsupported))
    }

    /// What the last [`Self::write`] has read back, once: readers need not wait for a read of its own.
    fn take_read_back(&mut self) -> Vec<Sample> {
        Vec::new()
    }

    /// What has happened at the device since this was asked last, for the event log.
    fn take_notes(&mut self) -> Vec<Note> {
        Vec::new()
    }

    /// Runs an executable resource.
    fn execute(
        &mut self,
        resource: ResourceAddress,
        args: &[u8],
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Waits until the device has news or something is due to be read.
    fn wait(&mut self) -> impl Future<Output = Result<Wake, Fault>> + Send;
}

/// Why [`Adapter::wait`] came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Wake {
    /// The device is there; it has nothing to tell.
    Alive,
    Declared(Declared),
    /// These are due; the supervisor calls [`Adapter::read`] for them.
    Due(InstanceAddress, Vec<ResourceId>),
    /// The device is gone, as it says itself or whoever stands for it, with the words for people.
    Lost(String),
    /// Samples that are stale already say nothing about the link.
    News(Vec<Sample>),
}

/// Gives the stamps of samples. The daemon's clock in the product, tokio's paused clock in tests.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Stamp + Send + Sync>);

impl Clock {
    pub fn new(now: impl Fn() -> Stamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub fn stamp(&self) -> Stamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The guide "write an adapter": its code is run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Guide;
