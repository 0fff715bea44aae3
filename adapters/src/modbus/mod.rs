//! Modbus RTU and TCP devices.
//!
//! One task owns each line ([`Bus`]) and lets one request at a time pass, checked against its
//! answer. [`ModbusDevice`] is the adapter of one device on a line: it reads in few large requests
//! ([`PollPlan`]) and turns registers into values and back with one codec ([`PointCodec`]).

mod bus;
mod codec;
mod config;
mod device;
mod frame;
mod guest;
mod health;
mod inspect;
mod layout;
mod merge;
mod plan;
mod rtu;
mod tcp;

pub use bus::{
    Answered, Ask, Bus, BusError, BusHandle, BusSettings, BusState, BusStats, Class, Framing,
};
pub use codec::{Byte, CodecError, Masked, Order, PointCodec, RegisterType, Scaling};
pub use config::{
    Addressing, DeviceConfig, PointConfig, Probe, Problem, ReadConfig, Verify, WriteConfig,
    WriteFunction,
};
pub use device::{DeviceStats, ModbusDevice};
pub use frame::{Answer, ExceptionCode, Reply, Request, RequestError, Table, find_answer};
pub use layout::DateLayout;
pub use plan::{CostModel, PlannedRequest, PollPlan, RegisterRange, plan};
