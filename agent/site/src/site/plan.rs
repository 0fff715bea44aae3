//! What a write comes to: every value is looked at before anything is done.

use std::collections::BTreeMap;

use lamplighter_model::{
    Now, Value,
    device::{AdapterId, Assignment, Fault},
};

use super::{Site, route::Route};
use crate::{
    check,
    group::GroupResource,
    lamp::{LampResource, LampWrite, Reset},
    output::{GroupIndex, OutputIndex, is_on},
    rule::{Parameter, RuleIndex},
};

/// What a write comes to, after all checks.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) groups: BTreeMap<GroupIndex, u8>,
    pub(super) outputs: BTreeMap<OutputIndex, Value>,
    pub(super) resets: Vec<(OutputIndex, Reset)>,
    pub(super) rules: BTreeMap<RuleIndex, BTreeMap<Parameter, String>>,
    pub(super) values: Vec<(AdapterId, Assignment)>,
}

impl Site {
    /// Checks one value and says what writing it comes to.
    pub(super) fn plan(
        &self,
        assignment: Assignment,
        plan: &mut Plan,
        now: Now,
    ) -> Result<(), Fault> {
        let Assignment {
            address,
            index,
            value,
        } = assignment;
        let Some(route) = self.routes.get(&address).copied() else {
            return Err(if self.points.contains_key(&address) {
                Fault::Unreachable
            } else {
                Fault::Unsupported
            });
        };
        if !route.operations().write {
            return Err(Fault::Unsupported);
        }
        let path = address.path;
        let definition = self.definitions.resource(path.object(), path.resource);
        let value = check::fit(value, definition)?;
        match route {
            Route::Adapter(adapter, _) => {
                let limit = self
                    .points
                    .get(&address)
                    .and_then(|point| point.limit.as_deref());
                let value = check::within(
                    value,
                    limit,
                    definition.map(|definition| definition.data_type),
                )?;
                plan.values.push((
                    adapter,
                    Assignment {
                        address,
                        index,
                        value,
                    },
                ));
                Ok(())
            }
            Route::Output(output, _) => {
                let value = self.output(output).permitted(value)?;
                self.plan_output(output, value, plan, now)
            }
            Route::Lamp(output, resource) => match self.lamp_write(output, resource, &value)? {
                LampWrite::Reset(reset) => {
                    plan.resets.push((output, reset));
                    Ok(())
                }
                LampWrite::Level(level) => {
                    let lamp = self.output(output);
                    let value = lamp.value_of_level(level).ok_or(Fault::Unsupported)?;
                    self.plan_output(output, lamp.permitted(value)?, plan, now)
                }
                LampWrite::Switch(on) => {
                    let lamp = self.output(output);
                    let value = lamp.nearest_to_level(if on { 100 } else { 0 });
                    self.plan_output(output, value.ok_or(Fault::Unsupported)?, plan, now)
                }
            },
            Route::Group(group, resource) => self.plan_group(group, resource, &value, plan, now),
            Route::Rule(rule, resource) => self.plan_rule(rule, resource, value, plan),
            Route::Status(..) => Err(Fault::Unsupported),
        }
    }

    fn lamp_write(
        &self,
        output: OutputIndex,
        resource: LampResource,
        value: &Value,
    ) -> Result<LampWrite, Fault> {
        resource.write(value, self.output(output).config.kind)
    }

    fn plan_output(
        &self,
        index: OutputIndex,
        value: Value,
        plan: &mut Plan,
        now: Now,
    ) -> Result<(), Fault> {
        if let Some(fault) = self.refusal(index, &value, now) {
            return Err(fault);
        }
        if is_on(&value) {
            let mut others = plan.outputs.iter().filter(|(_, value)| is_on(value));
            let shared = others.find_map(|(other, _)| self.interlock_between(index, *other));
            if let Some(interlock) = shared {
                let what = format!("interlock {interlock} never lets two of these be on together");
                return Err(Fault::BadValue(what));
            }
        }
        match plan.outputs.insert(index, value.clone()) {
            Some(other) if other != value => {
                let name = &self.output(index).config.name;
                Err(Fault::BadValue(format!(
                    "{name} is told two different things in one write"
                )))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn plan_group(
        &self,
        index: GroupIndex,
        resource: GroupResource,
        value: &Value,
        plan: &mut Plan,
        now: Now,
    ) -> Result<(), Fault> {
        let number = value
            .as_f64()
            .filter(|number| number.fract() == 0.0 && (0.0..=100.0).contains(number));
        let level = match (resource, number) {
            (GroupResource::OnOff, Some(number)) => Some(if number == 0.0 { 0 } else { 100 }),
            (GroupResource::Command | GroupResource::Dimmer, Some(number)) => Some(number as u8),
            (
                GroupResource::DayBurner
                | GroupResource::Failed
                | GroupResource::LampFailure
                | GroupResource::Level
                | GroupResource::Members
                | GroupResource::Name
                | GroupResource::Progress
                | GroupResource::Results
                | GroupResource::State,
                _,
            )
            | (GroupResource::Command | GroupResource::Dimmer | GroupResource::OnOff, None) => None,
        };
        let Some(level) = level else {
            return Err(Fault::BadValue(
                "a group takes whole numbers from 0 to 100".to_owned(),
            ));
        };
        for member in &self.group(index).members {
            let output = self.output(*member);
            let name = &output.config.name;
            let Some(value) = output.value_of_level(level) else {
                return Err(Fault::BadValue(format!(
                    "{name} cannot dim: only 0 and 100 are possible"
                )));
            };
            // On is as much as the limit of each permits, a level is a level.
            if resource != GroupResource::OnOff
                && let Err(fault) = output.permitted(value)
            {
                return Err(Fault::BadValue(format!("{name}: {fault}")));
            }
        }
        if let Some(fault) = self.group_refusal(index, level, now) {
            return Err(fault);
        }
        match plan.groups.insert(index, level) {
            Some(other) if other != level => Err(Fault::BadValue(
                "the group is told two different things in one write".to_owned(),
            )),
            Some(_) | None => Ok(()),
        }
    }
}
