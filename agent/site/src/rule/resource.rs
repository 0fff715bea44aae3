//! The vendor object Site rule, and the standard objects that show parts of a rule.

use lamplighter_model::{
    InstanceAddress, ResourceAddress, ResourceId, ResourcePath, Value, object::Operations,
};

use super::{Parameter, Photocell, Rule, RuleKind};
use crate::boundary::Setpoint;

/// A resource of a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RuleResource {
    Name,
    /// `schedule`, `photocell` or `thermostat`
    Kind,
    Enabled,
    /// As people write it.
    Schedule,
    /// Of a thermostat the distance from its set point (also 3308 has none of its own), of a light
    /// sensor in lux (3419/1).
    OnThreshold,
    /// 3419/2
    OffThreshold,
    /// In words.
    State,
    /// Names of its outputs, one resource instance each.
    Targets,
    /// 3308/5900
    Setpoint,
    /// 3419/3
    Dark,
}

impl RuleResource {
    pub(crate) const fn operations(self) -> Operations {
        match self.parameter() {
            Some(_) => Operations::RW,
            None => Operations::R,
        }
    }

    /// What writing it changes.
    pub(crate) const fn parameter(self) -> Option<Parameter> {
        match self {
            Self::Enabled => Some(Parameter::Enabled),
            Self::OffThreshold => Some(Parameter::OffThreshold),
            Self::OnThreshold => Some(Parameter::OnThreshold),
            Self::Schedule => Some(Parameter::Schedule),
            Self::Setpoint => Some(Parameter::Setpoint),
            Self::Dark | Self::Kind | Self::Name | Self::State | Self::Targets => None,
        }
    }
}

impl Rule {
    /// Its resources; `own` is its instance of the vendor object.
    pub(crate) fn addresses(&self, own: InstanceAddress) -> Vec<(ResourceAddress, RuleResource)> {
        let mut vendor = vec![
            (0, RuleResource::Name),
            (1, RuleResource::Kind),
            (2, RuleResource::Enabled),
            (6, RuleResource::State),
            (7, RuleResource::Targets),
        ];
        let thresholds = [
            (4, RuleResource::OnThreshold),
            (5, RuleResource::OffThreshold),
        ];
        let mut standard = Vec::new();
        match &self.kind {
            RuleKind::Light(light) => {
                vendor.extend(
                    light
                        .schedule
                        .is_some()
                        .then_some((3, RuleResource::Schedule)),
                );
                let levels = light.photocell.as_ref().and_then(|cell| cell.levels);
                vendor.extend(levels.into_iter().flat_map(|_| thresholds));
                let shown = light
                    .photocell
                    .as_ref()
                    .and_then(|cell| cell.config.instance);
                let of_photocell = [
                    (1, RuleResource::OnThreshold),
                    (2, RuleResource::OffThreshold),
                    (3, RuleResource::Dark),
                ];
                let shown = shown.into_iter();
                standard.extend(shown.flat_map(|at| of_photocell.map(|found| (at, found))));
            }
            RuleKind::Thermostat(thermostat) => {
                vendor.extend(thresholds);
                let fixed = matches!(thermostat.config.setpoint, Setpoint::Fixed(_));
                let shown = thermostat.config.instance.filter(|_| fixed);
                standard.extend(shown.map(|at| (at, (5900, RuleResource::Setpoint))));
            }
        }
        let vendor = vendor.into_iter().map(|found| (own, found));
        vendor
            .chain(standard)
            .map(|(instance, (id, resource))| (resource_at(instance, id), resource))
            .collect()
    }

    /// What a resource holds; `Targets` and `State` are made by the site.
    pub(crate) fn value(&self, resource: RuleResource) -> Option<Value> {
        match (resource, &self.kind) {
            (RuleResource::Name, _) => Some(Value::String(self.name.clone())),
            (RuleResource::Kind, _) => Some(Value::String(self.kind_name().to_owned())),
            (RuleResource::Enabled, _) => Some(Value::Boolean(self.enabled)),
            (RuleResource::Schedule, RuleKind::Light(light)) => {
                Some(Value::String(light.schedule.as_ref()?.to_string()))
            }
            (RuleResource::OnThreshold, RuleKind::Light(light)) => {
                Some(Value::Float(light.photocell.as_ref()?.levels?.on_lux))
            }
            (RuleResource::OffThreshold, RuleKind::Light(light)) => {
                Some(Value::Float(light.photocell.as_ref()?.levels?.off_lux))
            }
            (RuleResource::Dark, RuleKind::Light(light)) => light
                .photocell
                .as_ref()
                .and_then(Photocell::dark)
                .map(Value::Boolean),
            (RuleResource::OnThreshold, RuleKind::Thermostat(thermostat)) => {
                Some(Value::Float(thermostat.thresholds.on))
            }
            (RuleResource::OffThreshold, RuleKind::Thermostat(thermostat)) => {
                Some(Value::Float(thermostat.thresholds.off))
            }
            (RuleResource::Setpoint, RuleKind::Thermostat(thermostat)) => {
                thermostat.setpoint.map(Value::Float)
            }
            (RuleResource::Setpoint, RuleKind::Light(_))
            | (RuleResource::Dark | RuleResource::Schedule, RuleKind::Thermostat(_))
            | (RuleResource::State | RuleResource::Targets, _) => None,
        }
    }
}

const fn resource_at(instance: InstanceAddress, id: u16) -> ResourceAddress {
    ResourceAddress {
        scope: instance.scope,
        path: ResourcePath {
            instance: instance.path,
            resource: ResourceId(id),
        },
    }
}
