//! The words that core, site, adapters and daemon share: ids and addresses, values, samples,
//! object definitions, and what they say to each other about devices. No IO, no wire formats.

mod address;
pub mod device;
pub mod object;
mod packed;
mod sample;
pub mod tables;
mod value;
pub mod xml;

pub use address::{
    Address, DeviceId, InstanceAddress, InstancePath, ObjectId, ObjectInstanceId, Path, PathError,
    ResourceAddress, ResourceId, ResourceInstanceId, ResourcePath, Scope, Ssid,
};
pub use packed::Packed;
pub use sample::{BootId, Now, Quality, Sample, Stamp, UnixTime};
pub use value::{DataType, Decimal, ObjectLink, Value, ValueError};
