//! What people look at when a device is put to work: where a point lies on the wire, and what is made
//! of what stands there.

use lamplighter_model::{Quality, Value};

use super::{
    codec::RegisterType,
    config::{Addressing, PointConfig},
    frame::{Reply, Request},
    plan::RegisterRange,
};

impl PointConfig {
    /// The registers that it is read from, else those that it is written to; counted as on the wire.
    pub fn place(&self, addressing: Addressing) -> Option<RegisterRange> {
        self.read_range(addressing)
            .or_else(|| self.write_range(addressing))
    }

    /// The registers that it is written to, counted as on the wire.
    pub fn written_place(&self, addressing: Addressing) -> Option<RegisterRange> {
        self.write_range(addressing)
    }

    /// The value of what was read from its place alone; `None` where that is something else.
    pub fn value_of(&self, reply: &Reply) -> Option<(Value, Quality)> {
        match reply {
            Reply::Bits(bits) if self.codec.kind == RegisterType::Bool => {
                Some(self.codec.decode_bit(*bits.first()?))
            }
            Reply::Registers(registers) if self.codec.kind != RegisterType::Bool => self
                .codec
                .decode(registers.get(..usize::from(self.codec.kind.width()))?),
            Reply::Bits(_) | Reply::Registers(_) | Reply::Written => None,
        }
    }
}

impl RegisterRange {
    /// The request that reads it.
    pub fn read(self) -> Request {
        Request::Read {
            table: self.table,
            at: self.at,
            count: self.count,
        }
    }
}
