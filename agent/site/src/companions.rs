//! What is told of a measured value besides: its quality and its unit, as resources of the same
//! instance, where the object defines them (6042 and 6049 Measurement Quality, 5701 Sensor Units) and
//! no device fills them itself.
//!
//! They follow the value on its way to the core: declared with it, told when they change, and put
//! into the answer of a read. Whoever looks at an instance sees what its value is worth.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use lamplighter_model::{
    InstanceAddress, Packed, Quality, ResourceAddress, ResourceId, Sample, Stamp, Value,
    device::{Action, Answer, Declaration, Declared, DeviceEvent, DeviceRequest, Fault, OpId},
    object::{Definitions, Operations},
};

/// OMA reusable resources.
const SENSOR_UNITS: u16 = 5701;
const QUALITY_INDICATOR: u16 = 6042;
const QUALITY_LEVEL: u16 = 6049;
const COMPANIONS: [u16; 3] = [SENSOR_UNITS, QUALITY_INDICATOR, QUALITY_LEVEL];

/// Stands between site and core; knows nothing of either.
#[derive(Debug, Default)]
pub struct Companions {
    instances: Packed<InstanceAddress, Measured>,
    /// Reads that the devices have not answered, with what they want to know of ours.
    waiting: BTreeMap<OpId, Vec<ResourceAddress>>,
}

#[derive(Debug)]
struct Measured {
    /// The value that they are told of.
    value: ResourceAddress,
    /// Values of one unit share it.
    unit: Arc<str>,
    /// Which of [`COMPANIONS`] the object has.
    has: [bool; COMPANIONS.len()],
    /// Of the newest value.
    last: Option<(Quality, Stamp)>,
    told: Option<Quality>,
}

/// A value that a device measures.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Measurement {
    pub address: ResourceAddress,
    /// SenML unit; empty where there is none.
    pub unit: String,
}

impl Companions {
    /// `measurements`: what devices measure, the first of an instance is what its quality and unit
    /// are told of. `taken`: resources that devices answer for.
    pub fn new(
        definitions: &Definitions,
        measurements: impl IntoIterator<Item = Measurement>,
        taken: &BTreeSet<ResourceAddress>,
    ) -> Self {
        let mut instances = Packed::new();
        let mut units: BTreeSet<Arc<str>> = BTreeSet::new();
        for Measurement { address, unit } in measurements {
            let instance = address.instance();
            let of = |resource: u16| ResourceAddress {
                scope: address.scope,
                path: instance.path.resource(resource),
            };
            let Some(object) = definitions.object(address.path.object()) else {
                continue;
            };
            let has = COMPANIONS.map(|resource| {
                let has_sense = resource != SENSOR_UNITS || !unit.is_empty();
                let is_defined = object.resources.contains_key(&ResourceId(resource));
                has_sense && is_defined && !taken.contains(&of(resource))
            });
            if has == [false; COMPANIONS.len()] {
                continue;
            }
            let known = units.get(unit.as_str()).cloned();
            let unit = known.unwrap_or_else(|| Arc::from(unit));
            units.insert(Arc::clone(&unit));
            instances.entry(instance).or_insert(Measured {
                value: address,
                unit,
                has,
                last: None,
                told: None,
            });
            instances.pack();
        }
        Self {
            instances,
            waiting: BTreeMap::new(),
        }
    }

    /// Everything that is told besides.
    pub fn addresses(&self) -> impl Iterator<Item = ResourceAddress> {
        self.instances.values().flat_map(Measured::addresses)
    }

    /// What is left of a request for the devices, or its answer where nothing is.
    ///
    /// # Errors
    /// The answer.
    pub fn on_request(
        &mut self,
        op: OpId,
        mut request: DeviceRequest,
    ) -> Result<DeviceRequest, DeviceEvent> {
        let Action::Read(wanted) = &mut request.action else {
            return Ok(request);
        };
        let (ours, theirs): (Vec<_>, Vec<_>) = std::mem::take(wanted)
            .into_iter()
            .partition(|address| self.is_ours(*address));
        if ours.is_empty() {
            *wanted = theirs;
            return Ok(request);
        }
        if theirs.is_empty() {
            let mut answer = Answer::default();
            self.tell(&ours, &mut answer);
            return Err(DeviceEvent::Done(op, Ok(answer)));
        }
        *wanted = theirs;
        self.waiting.insert(op, ours);
        Ok(request)
    }

    /// The same with what there is to say besides.
    pub fn on_event(&mut self, event: DeviceEvent) -> DeviceEvent {
        match event {
            DeviceEvent::Changed(mut samples) => {
                let news = self.news(&samples);
                samples.extend(news);
                DeviceEvent::Changed(samples)
            }
            DeviceEvent::Declared(declared) => DeviceEvent::Declared(self.declare(declared)),
            DeviceEvent::Done(op, result) => {
                let ours = self.waiting.remove(&op);
                let result = result.map(|mut answer| {
                    answer.samples.iter().for_each(|sample| self.note(sample));
                    if let Some(ours) = ours {
                        self.tell(&ours, &mut answer);
                    }
                    answer
                });
                DeviceEvent::Done(op, result)
            }
        }
    }

    fn is_ours(&self, address: ResourceAddress) -> bool {
        let measured = self.instances.get(&address.instance());
        measured
            .is_some_and(|measured| measured.resources().any(|it| it == address.path.resource.0))
    }

    fn declare(&mut self, mut declared: Declared) -> Declared {
        let added: Vec<ResourceAddress> =
            declared.added.iter().map(|added| added.address).collect();
        for address in added {
            if let Some(measured) = self.measured(address) {
                let ours = measured.addresses().map(|address| Declaration {
                    address,
                    operations: Operations::R,
                });
                declared.added.extend(ours);
            }
        }
        for address in declared.removed.clone() {
            if let Some(measured) = self.measured(address) {
                (measured.last, measured.told) = (None, None);
                declared.removed.extend(measured.addresses());
            }
        }
        declared
    }

    /// What has become other with these values.
    fn news(&mut self, samples: &[Sample]) -> Vec<Sample> {
        let mut news = Vec::new();
        for sample in samples {
            self.note(sample);
            let Some(measured) = self.measured(sample.address) else {
                continue;
            };
            if measured.told == Some(sample.quality) {
                continue;
            }
            let is_first = measured.told.replace(sample.quality).is_none();
            let told = measured
                .resources()
                .filter(|resource| is_first || *resource != SENSOR_UNITS);
            news.extend(told.filter_map(|resource| measured.sample(resource)));
        }
        news
    }

    fn note(&mut self, sample: &Sample) {
        if let Some(measured) = self.measured(sample.address) {
            measured.last = Some((sample.quality, sample.at));
        }
    }

    fn tell(&self, wanted: &[ResourceAddress], answer: &mut Answer) {
        for address in wanted {
            let measured = self.instances.get(&address.instance());
            match measured.and_then(|measured| measured.sample(address.path.resource.0)) {
                Some(sample) => answer.samples.push(sample),
                None => answer.failed.push((*address, Fault::NoValue)),
            }
        }
    }

    fn measured(&mut self, value: ResourceAddress) -> Option<&mut Measured> {
        let measured = self.instances.get_mut(&value.instance())?;
        (measured.value == value).then_some(measured)
    }
}

impl Measured {
    fn resources(&self) -> impl Iterator<Item = u16> {
        let all = COMPANIONS.into_iter().zip(self.has);
        all.filter_map(|(resource, has)| has.then_some(resource))
    }

    fn addresses(&self) -> impl Iterator<Item = ResourceAddress> {
        self.resources().map(|resource| self.address(resource))
    }

    fn address(&self, resource: u16) -> ResourceAddress {
        ResourceAddress {
            scope: self.value.scope,
            path: self.value.instance().path.resource(resource),
        }
    }

    /// Nothing is known before the first value.
    fn sample(&self, resource: u16) -> Option<Sample> {
        let (quality, at) = self.last?;
        let value = match resource {
            SENSOR_UNITS => Value::String(self.unit.to_string()),
            QUALITY_INDICATOR => Value::Integer(indicator(quality)),
            _ => Value::Integer(level(quality)),
        };
        Some(Sample::good(self.address(resource), value, at))
    }
}

/// 0 unchecked, 1 rejected with certainty, 3 accepted but suspicious, 4 accepted (OMA reusable
/// resources, 6042).
const fn indicator(quality: Quality) -> i64 {
    match quality {
        Quality::Bad => 1,
        Quality::Good => 4,
        Quality::Stale => 3,
        Quality::Unchecked => 0,
    }
}

/// 100 has passed every check, the less the more caution, 0 is to be rejected (OMA reusable
/// resources, 6049).
const fn level(quality: Quality) -> i64 {
    match quality {
        Quality::Bad => 0,
        Quality::Good => 100,
        Quality::Stale => 10,
        Quality::Unchecked => 50,
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_model::{device::Origin, tables};

    use super::*;

    const AIR: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
    const INDICATOR: ResourceAddress = ResourceAddress::gateway(3303, 0, 6042);
    const LEVEL: ResourceAddress = ResourceAddress::gateway(3303, 0, 6049);
    const UNITS: ResourceAddress = ResourceAddress::gateway(3303, 0, 5701);
    const SETPOINT: ResourceAddress = ResourceAddress::gateway(3308, 0, 5900);

    fn companions(taken: &[ResourceAddress]) -> Companions {
        let measured = |address, unit: &str| Measurement {
            address,
            unit: unit.to_owned(),
        };
        let all = [measured(AIR, "Cel"), measured(SETPOINT, "")];
        Companions::new(&tables::standard(), all, &taken.iter().copied().collect())
    }

    fn sample(quality: Quality) -> Sample {
        Sample {
            quality,
            ..Sample::good(AIR, Value::Float(21.0), Stamp::default())
        }
    }

    fn told(event: DeviceEvent) -> Vec<(ResourceAddress, Value)> {
        let samples = match event {
            DeviceEvent::Changed(samples) => samples,
            DeviceEvent::Done(_, Ok(answer)) => answer.samples,
            DeviceEvent::Declared(_) | DeviceEvent::Done(_, Err(_)) => Vec::new(),
        };
        samples
            .into_iter()
            .map(|sample| (sample.address, sample.value))
            .collect()
    }

    fn read(wanted: &[ResourceAddress]) -> DeviceRequest {
        DeviceRequest {
            origin: Origin::Local("anna".to_owned()),
            action: Action::Read(wanted.to_vec()),
        }
    }

    #[test]
    fn quality_and_unit_are_declared_with_the_value_and_told_when_they_change() {
        let mut companions = companions(&[]);
        let ours = [UNITS, INDICATOR, LEVEL];
        assert_eq!(companions.addresses().collect::<Vec<_>>(), ours);
        let declared = |address| Declaration {
            address,
            operations: Operations::R,
        };
        let event = companions.on_event(DeviceEvent::Declared(Declared {
            added: vec![declared(AIR), declared(SETPOINT)],
            removed: Vec::new(),
        }));
        let DeviceEvent::Declared(all) = event else {
            panic!()
        };
        let added: Vec<_> = all.added.iter().map(|added| added.address).collect();
        assert_eq!(
            added,
            [AIR, SETPOINT, UNITS, INDICATOR, LEVEL],
            "a set point has no quality"
        );
        let first = told(companions.on_event(DeviceEvent::Changed(vec![sample(Quality::Good)])));
        let of = |address, number| (address, Value::Integer(number));
        let value = (AIR, Value::Float(21.0));
        let unit = (UNITS, Value::String("Cel".to_owned()));
        assert_eq!(
            first,
            [value.clone(), unit, of(INDICATOR, 4), of(LEVEL, 100)]
        );
        let same = told(companions.on_event(DeviceEvent::Changed(vec![sample(Quality::Good)])));
        assert_eq!(same, std::slice::from_ref(&value));
        let stale = told(companions.on_event(DeviceEvent::Changed(vec![sample(Quality::Stale)])));
        assert_eq!(stale, [value, of(INDICATOR, 3), of(LEVEL, 10)]);
        let gone = companions.on_event(DeviceEvent::Declared(Declared {
            added: Vec::new(),
            removed: vec![AIR],
        }));
        let DeviceEvent::Declared(gone) = gone else {
            panic!()
        };
        assert_eq!(gone.removed, [AIR, UNITS, INDICATOR, LEVEL]);
    }

    #[test]
    fn a_read_of_the_instance_asks_the_device_for_the_value_alone_and_is_answered_whole() {
        let mut companions = companions(&[]);
        let op = OpId(7);
        let asked = companions
            .on_request(op, read(&[AIR, INDICATOR, LEVEL]))
            .unwrap();
        assert_eq!(asked.action, Action::Read(vec![AIR]));
        let answer = Answer {
            samples: vec![sample(Quality::Bad)],
            failed: Vec::new(),
        };
        let answer = told(companions.on_event(DeviceEvent::Done(op, Ok(answer))));
        let of = |address, number| (address, Value::Integer(number));
        assert_eq!(
            answer,
            [(AIR, Value::Float(21.0)), of(INDICATOR, 1), of(LEVEL, 0)]
        );
        let alone = companions
            .on_request(OpId(8), read(&[INDICATOR]))
            .unwrap_err();
        assert_eq!(told(alone), [of(INDICATOR, 1)]);
        let other = companions.on_request(OpId(9), read(&[SETPOINT])).unwrap();
        assert_eq!(other, read(&[SETPOINT]));
    }

    #[test]
    fn nothing_is_known_of_a_value_that_was_never_read_and_what_a_device_tells_is_left_to_it() {
        let mut companions = companions(&[INDICATOR]);
        let DeviceEvent::Done(_, Ok(answer)) =
            companions.on_request(OpId(1), read(&[LEVEL])).unwrap_err()
        else {
            panic!()
        };
        assert_eq!(answer.failed, [(LEVEL, Fault::NoValue)]);
        let left = companions.on_request(OpId(2), read(&[INDICATOR])).unwrap();
        assert_eq!(left, read(&[INDICATOR]));
    }
}
