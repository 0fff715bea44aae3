//! What readers see of outputs and groups: samples made from the tables, told on change.

use lamplighter_model::{
    DataType, Now, ResourceAddress, ResourceInstanceId, Sample, Value, device::Origin,
};

use super::{Site, route::Route};
use crate::{
    boundary::{Alarm, Slot},
    group::GroupResource,
    lamp::{self, LampResource},
    output::{GroupIndex, OutputIndex, is_on},
    rule::RuleResource,
    status::StatusResource,
};

impl Site {
    /// Tells what has changed in this turn.
    pub(super) fn publish(&mut self, now: Now) {
        self.sum_up();
        let mut samples = Vec::new();
        for index in std::mem::take(&mut self.touched) {
            let lamp = self.output(index).config.kind.is_lamp();
            let lamp = lamp.then(|| {
                self.lamp_addresses(index)
                    .filter(|(_, what)| !what.is_measured())
            });
            let status = self
                .status_addresses(index)
                .filter(|(_, what)| *what != StatusResource::GuardLeft && what.operations().read);
            let status = status.map(|(address, _)| address);
            let addresses = lamp
                .into_iter()
                .flatten()
                .map(|(address, _)| address)
                .chain(status);
            samples.extend(addresses.flat_map(|address| self.samples_of(address, now)));
        }
        for index in std::mem::take(&mut self.touched_groups) {
            let results = std::mem::take(&mut self.groups[usize::from(index.0)].news);
            for (address, resource) in self.group_addresses(index) {
                match resource {
                    GroupResource::Results => {
                        samples.extend(
                            results
                                .iter()
                                .filter_map(|at| self.result_sample(address, index, *at, now)),
                        );
                    }
                    // Told once: they follow from the configuration.
                    GroupResource::Members
                        if self
                            .published
                            .contains_key(&(address, Some(ResourceInstanceId(0)))) => {}
                    GroupResource::Command
                    | GroupResource::DayBurner
                    | GroupResource::Dimmer
                    | GroupResource::Failed
                    | GroupResource::LampFailure
                    | GroupResource::Level
                    | GroupResource::Members
                    | GroupResource::Name
                    | GroupResource::OnOff
                    | GroupResource::Progress
                    | GroupResource::State => {
                        samples.extend(self.group_samples(address, index, resource, now))
                    }
                }
            }
        }
        for index in self.rules.take_touched() {
            for (address, resource) in self.rule_addresses(index) {
                // Told once: they follow from the configuration.
                let first = (address, Some(ResourceInstanceId(0)));
                if resource == RuleResource::Targets && self.published.contains_key(&first) {
                    continue;
                }
                samples.extend(self.rule_samples(address, index, resource, now));
            }
        }
        samples.retain(|sample| self.is_news(sample));
        self.changed(samples);
    }

    /// Groups learn what the outputs do that have changed in this turn.
    pub(super) fn sum_up(&mut self) {
        for index in &self.touched {
            let output = &self.outputs[usize::from(index.0)];
            for group in &output.groups {
                self.groups[usize::from(group.0)].see(*index, output.seen());
            }
        }
    }

    fn is_news(&mut self, sample: &Sample) -> bool {
        let key = (sample.address, sample.index);
        if self.published.get(&key) == Some(&sample.value) {
            return false;
        }
        self.published.insert(key, sample.value.clone());
        true
    }

    /// What a resource that the site answers for holds now; empty where there is no value.
    pub(super) fn samples_of(&self, address: ResourceAddress, now: Now) -> Vec<Sample> {
        match self.routes.get(&address) {
            Some(Route::Group(index, resource)) => {
                self.group_samples(address, *index, *resource, now)
            }
            Some(Route::Lamp(index, resource)) => self
                .lamp_sample(address, *index, *resource, now)
                .into_iter()
                .collect(),
            Some(Route::Output(index, _)) => self.output_sample(*index).into_iter().collect(),
            Some(Route::Rule(index, resource)) => {
                self.rule_samples(address, *index, *resource, now)
            }
            Some(Route::Status(index, resource)) => {
                let value = self.status_value(*index, *resource, now);
                value
                    .and_then(|value| self.own_sample(address, value, now))
                    .into_iter()
                    .collect()
            }
            Some(Route::Adapter(..)) | None => Vec::new(),
        }
    }

    /// What readers see of a measurement of an output.
    pub(super) fn measured_samples(&self, index: OutputIndex, now: Now) -> Vec<Sample> {
        if !self.output(index).config.kind.is_lamp() {
            return self.output_sample(index).into_iter().collect();
        }
        let measured = self
            .lamp_addresses(index)
            .filter(|(_, what)| what.is_measured());
        measured
            .filter_map(|(address, what)| self.lamp_sample(address, index, what, now))
            .collect()
    }

    fn output_sample(&self, index: OutputIndex) -> Option<Sample> {
        let output = self.output(index);
        let measured = output.measured.as_ref()?;
        let sample = Sample::good(output.config.address, measured.value.clone(), measured.at);
        Some(Sample {
            quality: measured.quality,
            ..sample
        })
    }

    fn lamp_sample(
        &self,
        address: ResourceAddress,
        index: OutputIndex,
        what: LampResource,
        now: Now,
    ) -> Option<Sample> {
        let output = self.output(index);
        let measured = |value: &dyn Fn(&Value) -> Value| {
            let measured = output.measured.as_ref()?;
            let sample = Sample::good(address, value(&measured.value), measured.at);
            Some(Sample {
                quality: measured.quality,
                ..sample
            })
        };
        let value = match what {
            LampResource::Command => lamp::level_of(output.commanded()?),
            LampResource::CommandInAction => lamp::level_of(output.in_effect.as_ref()?),
            LampResource::Dimmer | LampResource::Level => return measured(&lamp::level_of),
            LampResource::OnOff => return measured(&|value| Value::Boolean(is_on(value))),
            LampResource::OnTime => output.counters.on_time(now),
            LampResource::OnTimestamp => Value::Time(output.counters.switched_on(now)?.seconds()),
            LampResource::OperatingHours => output.counters.operating_hours(now),
            LampResource::SwitchCounter => output.counters.switches(),
            LampResource::DayBurner => Value::Boolean(self.has_alarm(index, Alarm::DayBurner)),
            LampResource::LampFailure => Value::Boolean(self.has_alarm(index, Alarm::LampFailure)),
            LampResource::RelayFailure => {
                Value::Boolean(self.has_alarm(index, Alarm::RelayFailure))
            }
            LampResource::ManualActive => {
                Value::Boolean(output.slots.get(Slot::HandSwitch).is_some())
            }
            LampResource::ManualEnd => {
                let until = output.slots.get(Slot::HandSwitch).map(|hand| hand.until);
                match until.flatten() {
                    Some(until) => Value::Time(until.unix(now)?.seconds()),
                    None => Value::Time(0),
                }
            }
            LampResource::ManualStart => match output.slots.get(Slot::HandSwitch) {
                Some(hand) => Value::Time(hand.since.unix(now)?.seconds()),
                None => Value::Time(0),
            },
            LampResource::OperatingHoursReset | LampResource::SwitchCounterReset => return None,
        };
        self.own_sample(address, value, now)
    }

    fn group_samples(
        &self,
        address: ResourceAddress,
        index: GroupIndex,
        what: GroupResource,
        now: Now,
    ) -> Vec<Sample> {
        let group = self.group(index);
        let value = match what {
            GroupResource::Members => {
                let names = group
                    .members
                    .iter()
                    .map(|member| self.output(*member).config.name.clone());
                let samples = names
                    .zip(0..)
                    .filter_map(|(name, at)| self.text_sample(address, at, name, now));
                return samples.collect();
            }
            GroupResource::Results => {
                let samples = (0..).take(group.results().len());
                return samples
                    .filter_map(|at| self.result_sample(address, index, at, now))
                    .collect();
            }
            GroupResource::Name => Some(Value::String(group.config.name.clone())),
            GroupResource::Command => group
                .command
                .as_ref()
                .map(|command| i64::from(command.level))
                .or_else(|| self.group_found(index))
                .map(Value::Integer),
            GroupResource::Failed => Some(Value::Integer(i64::from(group.failed()))),
            GroupResource::Progress => i64::try_from(group.progress()).ok().map(Value::Integer),
            GroupResource::State => Some(Value::String(group.summary.state().to_owned())),
            GroupResource::Level | GroupResource::Dimmer => {
                group.summary.level().map(Value::Integer)
            }
            GroupResource::DayBurner => self
                .has_group_alarm(index, Alarm::DayBurner)
                .map(Value::Boolean),
            GroupResource::LampFailure => self
                .has_group_alarm(index, Alarm::LampFailure)
                .map(Value::Boolean),
            GroupResource::OnOff => group.summary.is_any_on().map(Value::Boolean),
        };
        value
            .and_then(|value| self.own_sample(address, value, now))
            .into_iter()
            .collect()
    }

    fn result_sample(
        &self,
        address: ResourceAddress,
        index: GroupIndex,
        at: u16,
        now: Now,
    ) -> Option<Sample> {
        let result = self.group(index).results().get(usize::from(at))?;
        self.text_sample(address, at, result.to_string(), now)
    }

    pub(super) fn text_sample(
        &self,
        address: ResourceAddress,
        at: u16,
        text: String,
        now: Now,
    ) -> Option<Sample> {
        let sample = self.own_sample(address, Value::String(text), now)?;
        Some(Sample {
            index: Some(ResourceInstanceId(at)),
            ..sample
        })
    }

    /// What stands for the command of a group that was never commanded.
    fn group_found(&self, index: GroupIndex) -> Option<i64> {
        let summary = self.group(index).summary;
        match summary.state() {
            "on" => Some(100),
            "off" => Some(0),
            _ => summary.level(),
        }
    }

    fn status_value(&self, index: OutputIndex, what: StatusResource, now: Now) -> Option<Value> {
        let output = self.output(index);
        let winner = output.slots.winner();
        match what {
            StatusResource::Armed => Some(Value::Boolean(output.armed_or_begun().is_some())),
            StatusResource::Cancel | StatusResource::ShutDown => None,
            StatusResource::Target => Some(Value::String(output.config.name.clone())),
            StatusResource::Commanded => output.commanded().cloned(),
            StatusResource::InEffect => output.in_effect.clone(),
            StatusResource::Measured => output
                .measured
                .as_ref()
                .map(|measured| measured.value.clone()),
            StatusResource::Winner => Some(Value::String(
                winner.map_or_else(|| "none".to_owned(), |(slot, _)| slot.to_string()),
            )),
            StatusResource::Since => Some(Value::Time(winner?.1.since.unix(now)?.seconds())),
            StatusResource::Until => match winner.and_then(|(slot, entry)| {
                let next = || self.next_event(index, slot, now);
                entry.until.or_else(next)
            }) {
                Some(until) => Some(Value::Time(until.unix(now)?.seconds())),
                None => Some(Value::Time(0)),
            },
            StatusResource::By => Some(Value::String(
                winner.map_or_else(String::new, |(_, entry)| who(&entry.by)),
            )),
            StatusResource::Result => Some(Value::String(output.result.to_string())),
            StatusResource::GuardLeft => {
                let left = output
                    .guard_left(now)
                    .map_or(0, |left| left.as_nanos().div_ceil(1_000_000_000));
                Some(Value::Integer(i64::try_from(left).unwrap_or(i64::MAX)))
            }
        }
    }

    /// A value of the site's own as the definition wants it.
    pub(super) fn own_sample(
        &self,
        address: ResourceAddress,
        value: Value,
        now: Now,
    ) -> Option<Sample> {
        let definition = self
            .definitions
            .resource(address.path.object(), address.path.resource);
        let value = match definition {
            Some(definition) => present(value, definition.data_type)?,
            None => value,
        };
        Some(Sample::good(address, value, now.stamp()))
    }
}

/// A value of the site's own in the type that a definition asks for; states become words or levels.
fn present(value: Value, data_type: DataType) -> Option<Value> {
    match (data_type, &value) {
        (DataType::String, _) => Some(Value::String(words(&value))),
        (DataType::Float | DataType::Integer | DataType::Unsigned, Value::Boolean(on)) => {
            lamp::level(*on).fit(data_type).ok()
        }
        (
            DataType::Boolean
            | DataType::Corelnk
            | DataType::Float
            | DataType::Integer
            | DataType::None
            | DataType::Objlnk
            | DataType::Opaque
            | DataType::Time
            | DataType::Unsigned,
            _,
        ) => value.fit(data_type).ok(),
    }
}

/// A value as people say it.
pub(super) fn words(value: &Value) -> String {
    match value {
        Value::Boolean(true) => "on".to_owned(),
        Value::Boolean(false) => "off".to_owned(),
        Value::Corelnk(text) | Value::String(text) => text.clone(),
        Value::Decimal(decimal) => decimal.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Integer(number) | Value::Time(number) => number.to_string(),
        Value::Objlnk(link) => link.to_string(),
        Value::Opaque(bytes) => format!("{} bytes", bytes.len()),
        Value::Unsigned(number) => number.to_string(),
    }
}

/// Who gave a command, as people say it.
fn who(origin: &Origin) -> String {
    match origin {
        Origin::Local(user) => user.clone(),
        Origin::Mqtt => "mqtt".to_owned(),
        Origin::Rule(rule) => rule.clone(),
        Origin::Server(ssid) => format!("server {ssid}"),
    }
}
