//! Who answers for which resource: what adapters declare and report, seen with the site's eyes.

use lamplighter_model::{
    DataType, InstanceAddress, InstancePath, Now, Quality, ResourceAddress, ResourceId,
    ResourcePath, Sample, Scope, Value, ValueError,
    device::{AdapterId, Declaration, Declared, DeviceEvent},
    object::Operations,
};

use super::{Named, Site, TICK, publish::words};
use crate::{
    boundary::{Alarm, PointConfig, PointKind, SiteEvent},
    deadlines::Timer,
    group::{COMMAND as GROUP_COMMAND, GroupResource, standard_resources, vendor_resources},
    lamp::{self, LampResource},
    moment::Moment,
    output::{GroupIndex, Measured, OutputIndex},
    rule::{RuleIndex, RuleResource},
    status::{StatusResource, status_resources},
};

/// More resources than this are not taken from adapters.
const MAX_ROUTES: usize = 65_536;

/// Who answers for a resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Route {
    /// Passed on, after the checks that stand in the configuration.
    Adapter(AdapterId, Operations),
    Group(GroupIndex, GroupResource),
    Lamp(OutputIndex, LampResource),
    /// An output that the adapter shows as it is.
    Output(OutputIndex, Operations),
    Rule(RuleIndex, RuleResource),
    Status(OutputIndex, StatusResource),
}

impl Route {
    pub(super) const fn operations(self) -> Operations {
        match self {
            Self::Adapter(_, operations) | Self::Output(_, operations) => operations,
            Self::Group(_, resource) => resource.operations(),
            Self::Lamp(_, resource) => resource.operations(),
            Self::Rule(_, resource) => resource.operations(),
            Self::Status(_, resource) => resource.operations(),
        }
    }
}

impl Site {
    pub(super) fn on_declared(&mut self, adapter: AdapterId, change: Declared, now: Now) {
        let mut declared = Declared::default();
        for address in change.removed {
            self.remove(adapter, address, &mut declared);
        }
        let mut present = Vec::new();
        for declaration in change.added {
            present.extend(self.add(adapter, declaration, &mut declared));
        }
        if declared != Declared::default() {
            self.core(DeviceEvent::Declared(declared));
        }
        for index in present {
            self.on_present(index, now);
        }
    }

    /// Takes one resource; gives back the output that has become present by it.
    fn add(
        &mut self,
        adapter: AdapterId,
        declaration: Declaration,
        declared: &mut Declared,
    ) -> Option<OutputIndex> {
        let Declaration {
            address,
            operations,
        } = declaration;
        if let Some(owner) = self.owner(address) {
            if owner != Some(adapter) {
                self.refuse(address, "two devices answer for it; the first one keeps it");
            }
            return None;
        }
        if self
            .points
            .get(&address)
            .is_some_and(|point| point.adapter != adapter)
        {
            self.refuse(address, "it is configured for another device");
            return None;
        }
        if self.routes.len() >= MAX_ROUTES {
            self.refuse(address, "there are too many resources");
            return None;
        }
        let Some(index) = self.output_at(address) else {
            self.routes
                .insert(address, Route::Adapter(adapter, operations));
            declared.added.push(declaration);
            return None;
        };
        for (address, route) in self.routes_of_output(index, operations) {
            if self.routes.contains_key(&address) {
                self.refuse(address, "two devices answer for it; the first one keeps it");
                continue;
            }
            self.routes.insert(address, route);
            declared.added.push(Declaration {
                address,
                operations: route.operations(),
            });
        }
        self.output_mut(index).present = true;
        Some(index)
    }

    fn remove(&mut self, adapter: AdapterId, address: ResourceAddress, declared: &mut Declared) {
        if self.owner(address) != Some(Some(adapter)) {
            return;
        }
        let Some(index) = self.output_at(address) else {
            self.routes.remove(&address);
            declared.removed.push(address);
            return;
        };
        for (address, _) in self.routes_of_output(index, Operations::NONE) {
            let owned = self.routes.get(&address).is_some_and(|route| match route {
                Route::Lamp(owner, _) | Route::Output(owner, _) => *owner == index,
                Route::Adapter(..) | Route::Group(..) | Route::Rule(..) | Route::Status(..) => {
                    false
                }
            });
            if owned {
                self.routes.remove(&address);
                self.published.remove(&(address, None));
                declared.removed.push(address);
            }
        }
        let output = self.output_mut(index);
        output.present = false;
        output.contact.on_lost();
    }

    /// Who answers for a resource now: nobody, the site itself (`Some(None)`), or an adapter.
    fn owner(&self, address: ResourceAddress) -> Option<Option<AdapterId>> {
        if let Some(index) = self.output_at(address) {
            let output = self.output(index);
            return output.present.then_some(Some(output.config.adapter));
        }
        match *self.routes.get(&address)? {
            Route::Adapter(adapter, _) => Some(Some(adapter)),
            Route::Group(..)
            | Route::Lamp(..)
            | Route::Output(..)
            | Route::Rule(..)
            | Route::Status(..) => Some(None),
        }
    }

    fn refuse(&mut self, address: ResourceAddress, reason: &str) {
        self.tell(SiteEvent::Failed {
            name: address.to_string(),
            reason: reason.to_owned(),
        });
    }

    /// The output that the adapter knows by this address.
    pub(super) fn output_at(&self, address: ResourceAddress) -> Option<OutputIndex> {
        let point = self
            .points
            .get(&address)
            .filter(|point| point.kind != PointKind::Value)?;
        match self.by_name.get(&*point.name)? {
            Named::Output(index) => Some(*index),
            Named::Group(_) | Named::Value(_) => None,
        }
    }

    /// What readers see of an output once its adapter has declared it. A lamp's resource that is
    /// configured as a point of its own belongs to that point.
    fn routes_of_output(
        &self,
        index: OutputIndex,
        operations: Operations,
    ) -> Vec<(ResourceAddress, Route)> {
        let PointConfig { address, kind, .. } = self.output(index).config;
        match kind {
            PointKind::Output | PointKind::Value => {
                vec![(address, Route::Output(index, operations))]
            }
            PointKind::Dimmer | PointKind::Lamp => self
                .lamp_addresses(index)
                .map(|(at, what)| (at, Route::Lamp(index, what)))
                .collect(),
        }
    }

    pub(super) fn lamp_addresses(
        &self,
        index: OutputIndex,
    ) -> impl Iterator<Item = (ResourceAddress, LampResource)> {
        let own = self.output(index).config.address;
        let resources = lamp::resources(own.path).into_iter();
        let at = move |id| ResourceAddress {
            path: ResourcePath {
                instance: own.path.instance,
                resource: id,
            },
            ..own
        };
        resources
            .map(move |(id, resource)| (at(id), resource))
            .filter(move |(_, resource)| self.output(index).shows(*resource))
            .filter(move |(address, _)| *address == own || !self.points.contains_key(address))
    }

    pub(super) fn group_addresses(
        &self,
        index: GroupIndex,
    ) -> Vec<(ResourceAddress, GroupResource)> {
        let vendor = self.vendor_instance(1, index.0);
        let standard = self.group(index).config.standard_instance;
        let of_standard = standard.into_iter().flat_map(|instance| {
            standard_resources(instance.path.object)
                .map(move |(id, resource)| (resource_at(instance, id), resource))
        });
        vendor_resources()
            .map(|(id, resource)| (resource_at(vendor, id), resource))
            .chain(of_standard)
            .filter(|(_, resource)| self.group_shows(index, *resource))
            .collect()
    }

    fn group_shows(&self, index: GroupIndex, resource: GroupResource) -> bool {
        let alarm = match resource {
            GroupResource::DayBurner => Alarm::DayBurner,
            GroupResource::LampFailure => Alarm::LampFailure,
            GroupResource::Command
            | GroupResource::Dimmer
            | GroupResource::Failed
            | GroupResource::Level
            | GroupResource::Members
            | GroupResource::Name
            | GroupResource::OnOff
            | GroupResource::Progress
            | GroupResource::Results
            | GroupResource::State => return true,
        };
        self.has_group_alarm(index, alarm).is_some()
    }

    pub(super) fn status_addresses(
        &self,
        index: OutputIndex,
    ) -> impl Iterator<Item = (ResourceAddress, StatusResource)> + use<> {
        let vendor = self.vendor_instance(2, index.0);
        let waits = self.output(index).standstill.is_some();
        let shown = status_resources().filter(move |(_, what)| waits || what.is_for_all());
        shown.map(move |(id, resource)| (resource_at(vendor, id), resource))
    }

    pub(super) fn group_command_address(&self, index: GroupIndex) -> ResourceAddress {
        resource_at(self.vendor_instance(1, index.0), GROUP_COMMAND)
    }

    pub(super) fn vendor_instance(&self, offset: u16, instance: u16) -> InstanceAddress {
        let object = self.vendor_object_base.saturating_add(offset);
        InstanceAddress {
            scope: Scope::Gateway,
            path: InstancePath::new(object, instance),
        }
    }

    /// News of a device: values go on as they are, states of outputs are looked at first.
    pub(super) fn on_changed(&mut self, adapter: AdapterId, samples: Vec<Sample>, now: Now) {
        let mut passed = Vec::with_capacity(samples.len());
        let mut seen = Vec::new();
        for sample in samples {
            if self.owner(sample.address) != Some(Some(adapter)) {
                tracing::debug!(address = %sample.address, "Sample of a resource that the adapter has not declared");
                continue;
            }
            let Some(index) = self.output_at(sample.address) else {
                self.see_hand(&sample, now);
                self.see_power(&sample, now);
                self.see_speed(&sample, now);
                passed.push(sample);
                continue;
            };
            if self.measured(index, &sample, now) {
                passed.extend(self.measured_samples(index, now));
                seen.push(index);
            }
        }
        let inputs = self.rules.inputs_among(&passed);
        self.changed(passed);
        self.on_inputs(inputs, now);
        for index in seen {
            self.drive(index, now);
        }
    }

    /// Takes what a device was seen to do; false if it is not of use.
    fn measured(&mut self, index: OutputIndex, sample: &Sample, now: Now) -> bool {
        let output = self.output(index);
        if output
            .measured
            .as_ref()
            .is_some_and(|last| last.at > sample.at)
        {
            return false;
        }
        let Ok(value) = as_output(&sample.value, output.data_type) else {
            tracing::debug!(address = %sample.address, "Value of another type than the output's");
            return false;
        };
        self.take_measured(
            index,
            Measured {
                value,
                at: sample.at,
                quality: sample.quality,
                assumed: false,
            },
            now,
        );
        true
    }

    /// Where a device never says what it does, what it has accepted counts.
    pub(super) fn assume_measured(&mut self, index: OutputIndex, now: Now) {
        let output = self.output(index);
        if output
            .measured
            .as_ref()
            .is_some_and(|measured| !measured.assumed)
        {
            return;
        }
        let Some(value) = output.in_effect.clone() else {
            return;
        };
        let measured = Measured {
            value,
            at: now.stamp(),
            quality: Quality::Unchecked,
            assumed: true,
        };
        self.take_measured(index, measured, now);
        let samples = self.measured_samples(index, now);
        self.changed(samples);
    }

    fn take_measured(&mut self, index: OutputIndex, measured: Measured, now: Now) {
        let output = self.output_mut(index);
        let was_on = output.counters.is_counting();
        let goes_astray = output.on_measured(measured, now);
        let counts = output.counters.is_counting();
        let groups = output.groups.clone();
        self.touched_groups.extend(groups);
        if goes_astray {
            let output = self.output(index);
            let told = output.in_effect.as_ref().map_or_else(String::new, words);
            let name = output.config.name.clone();
            let reason = format!("it was told {told} and does something else");
            self.tell(SiteEvent::Failed { name, reason });
        }
        if was_on != counts && !self.deadlines.is_set(Timer::Tick) {
            self.deadlines.set(Timer::Tick, Moment::of(now).plus(TICK));
        }
    }
}

const fn resource_at(instance: InstanceAddress, resource: ResourceId) -> ResourceAddress {
    ResourceAddress {
        scope: instance.scope,
        path: ResourcePath {
            instance: instance.path,
            resource,
        },
    }
}

/// A device may report a state as a number; a number is never made of a state.
fn as_output(value: &Value, data_type: DataType) -> Result<Value, ValueError> {
    match (data_type, value.as_f64()) {
        (DataType::Boolean, Some(number)) => Ok(Value::Boolean(number != 0.0)),
        (data_type, _) => value.clone().fit(data_type),
    }
}
