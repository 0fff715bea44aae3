//! The devices behind a box, seen from its core: values with a number, outputs with a memory.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_model::{
    ResourceAddress, Sample, Stamp, Value,
    device::{Action, Answer, Declaration, Declared, DeviceEvent, DeviceRequest, Fault, OpId},
    object::Operations,
};

/// A measurement.
pub const TEMPERATURE: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
/// Another one of the same object.
pub const HUMIDITY: ResourceAddress = ResourceAddress::gateway(3304, 0, 5700);
/// A set point that servers write.
pub const SET_POINT: ResourceAddress = ResourceAddress::gateway(3308, 0, 5900);
/// An output.
pub const OUTPUT: ResourceAddress = ResourceAddress::gateway(3306, 0, 5850);

/// What was written, when.
pub type Written = (Duration, ResourceAddress, Value);

/// Devices that do at once, or after their time, what they are asked.
#[derive(Clone, Debug)]
pub struct Devices {
    declared: Vec<Declaration>,
    pub memory: BTreeMap<ResourceAddress, Value>,
    pub written: Vec<Written>,
    /// From request to answer.
    pub takes: Duration,
    /// While set, every request ends so.
    pub fault: Option<Fault>,
    /// Number of the last sample.
    pub last: u32,
    /// What the core was told of numbered values, with the time.
    pub given: Vec<Written>,
    /// Those of them that were new.
    pub fresh: Vec<Written>,
}

impl Default for Devices {
    fn default() -> Self {
        let declared = [
            (TEMPERATURE, Operations::R),
            (HUMIDITY, Operations::R),
            (SET_POINT, Operations::RW),
            (OUTPUT, Operations::RW),
        ];
        let memory = [
            (TEMPERATURE, Value::Float(0.0)),
            (HUMIDITY, Value::Float(0.0)),
            (SET_POINT, Value::Float(0.0)),
            (OUTPUT, Value::Boolean(false)),
        ];
        Self {
            declared: declared
                .into_iter()
                .map(|(address, operations)| Declaration {
                    address,
                    operations,
                })
                .collect(),
            memory: memory.into(),
            written: Vec::new(),
            takes: Duration::ZERO,
            fault: None,
            last: 0,
            given: Vec::new(),
            fresh: Vec::new(),
        }
    }
}

impl Devices {
    pub(crate) fn declared(&self) -> Declared {
        Declared {
            added: self.declared.clone(),
            removed: Vec::new(),
        }
    }

    /// All that is known, as adapters tell it after a start.
    pub(crate) fn all(&mut self, now: Duration, at: Stamp) -> DeviceEvent {
        let numbered = [TEMPERATURE, HUMIDITY].into_iter();
        let numbered = numbered.map(|address| (now, address, self.memory[&address].clone()));
        self.given.extend(numbered);
        let memory = self.memory.iter();
        DeviceEvent::Changed(
            memory
                .map(|(address, value)| Sample::good(*address, value.clone(), at))
                .collect(),
        )
    }

    pub(crate) fn set(&mut self, address: ResourceAddress, value: Value, at: Stamp) -> Sample {
        self.memory.insert(address, value.clone());
        Sample::good(address, value, at)
    }

    /// The next numbered value of a measurement.
    pub(crate) fn number(&mut self) -> Value {
        self.last += 1;
        Value::Float(f64::from(self.last))
    }

    pub(crate) fn answer(
        &mut self,
        op: OpId,
        request: DeviceRequest,
        now: Duration,
        at: Stamp,
    ) -> DeviceEvent {
        if let Some(fault) = &self.fault {
            return DeviceEvent::Done(op, Err(fault.clone()));
        }
        let told = match request.action {
            Action::Execute { .. } | Action::WritePart(_) => Vec::new(),
            Action::Read(addresses) => addresses,
            Action::Write { values, .. } => {
                let mut told = Vec::new();
                for assignment in values {
                    told.push(assignment.address);
                    self.memory
                        .insert(assignment.address, assignment.value.clone());
                    self.written
                        .push((now, assignment.address, assignment.value));
                }
                told
            }
        };
        let mut samples = Vec::new();
        for address in told {
            if let Some(value) = self.memory.get(&address).cloned() {
                self.given.push((now, address, value.clone()));
                samples.push(Sample::good(address, value, at));
            }
        }
        let answer = Answer {
            samples,
            failed: Vec::new(),
        };
        DeviceEvent::Done(op, Ok(answer))
    }
}
