//! What servers may change of a rule, and what of that holds after a restart.

use std::{collections::BTreeMap, fmt};

use lamplighter_model::Value;

use super::{Rule, RuleKind};
use crate::{
    boundary::{Limit, Setpoint},
    saved::SavedParameter,
};

/// What servers may change.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Parameter {
    Enabled,
    OffThreshold,
    OnThreshold,
    Schedule,
    Setpoint,
}

/// Their names in what is kept.
const PARAMETERS: [(Parameter, &str); 5] = [
    (Parameter::Enabled, "enabled"),
    (Parameter::OffThreshold, "off_threshold"),
    (Parameter::OnThreshold, "on_threshold"),
    (Parameter::Schedule, "schedule"),
    (Parameter::Setpoint, "setpoint"),
];

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = PARAMETERS.into_iter().find(|(known, _)| known == self);
        f.write_str(known.map_or("", |(_, key)| key))
    }
}

impl Rule {
    /// Takes what servers had written before a restart where the configuration says what it said
    /// then, one by one if need be. Tells what does not fit any more, in words.
    pub(crate) fn restore(
        &mut self,
        written: &BTreeMap<String, SavedParameter>,
        fits: impl Fn(&Self) -> Result<(), String>,
    ) -> Vec<String> {
        let mut dropped = Vec::new();
        let mut left = BTreeMap::new();
        for (key, SavedParameter { value, configured }) in written {
            let known = PARAMETERS.into_iter().find(|(_, known)| known == key);
            let known = known.and_then(|(known, _)| Some((known, self.configured(known)?)));
            match known {
                None => dropped.push(format!("{key} = {value}: the rule has no such parameter")),
                Some((parameter, now)) if now == *configured => {
                    left.insert(parameter, value.clone());
                }
                // Whoever has edited the file knows.
                Some(_) => {
                    tracing::info!(rule = self.name, key, value, "The file says else by now")
                }
            }
        }
        // Some fit only together: all that are left are tried, else the first that fits by itself.
        while !left.is_empty() {
            if let Ok(rule) = self.changed(&left, &fits) {
                *self = rule;
                break;
            }
            let alone = |(parameter, value): (&Parameter, &String)| {
                let one = BTreeMap::from([(*parameter, value.clone())]);
                self.changed(&one, &fits)
                    .map(|rule| (*parameter, rule))
                    .map_err(|reason| format!("{parameter} = {value}: {reason}"))
            };
            let (taken, refused): (Vec<_>, Vec<_>) =
                left.iter().map(alone).partition(Result::is_ok);
            let Some(Ok((parameter, rule))) = taken.into_iter().next() else {
                dropped.extend(refused.into_iter().filter_map(Result::err));
                break;
            };
            left.remove(&parameter);
            *self = rule;
        }
        dropped
    }

    /// As it would be with new parameters, all or none. Refused with words.
    pub(crate) fn changed(
        &self,
        changes: &BTreeMap<Parameter, String>,
        fits: impl Fn(&Self) -> Result<(), String>,
    ) -> Result<Self, String> {
        let mut rule = self.clone();
        for (parameter, text) in changes {
            set(&mut rule, *parameter, text)?;
            let saved = SavedParameter {
                value: text.clone(),
                configured: self.configured(*parameter).unwrap_or_default(),
            };
            rule.written.insert(*parameter, saved);
        }
        check(&rule.kind)?;
        fits(&rule)?;
        rule.forget_ahead();
        Ok(rule)
    }

    /// What the configuration says; `None` where the rule has no such parameter.
    fn configured(&self, parameter: Parameter) -> Option<String> {
        let number = |number: f64| number.to_string();
        match (&self.kind, parameter) {
            (_, Parameter::Enabled) => Some(true.to_string()),
            (RuleKind::Light(light), Parameter::Schedule) => {
                light.configured.as_ref().map(ToString::to_string)
            }
            (RuleKind::Light(light), Parameter::OnThreshold) => {
                Some(number(light.photocell.as_ref()?.config.levels?.on_lux))
            }
            (RuleKind::Light(light), Parameter::OffThreshold) => {
                Some(number(light.photocell.as_ref()?.config.levels?.off_lux))
            }
            (RuleKind::Thermostat(thermostat), Parameter::OnThreshold) => {
                Some(number(thermostat.config.on_threshold))
            }
            (RuleKind::Thermostat(thermostat), Parameter::OffThreshold) => {
                Some(number(thermostat.config.off_threshold))
            }
            (RuleKind::Thermostat(thermostat), Parameter::Setpoint) => {
                match thermostat.config.setpoint {
                    Setpoint::Fixed(value) => Some(number(value)),
                    Setpoint::Point(_) => None,
                }
            }
            (RuleKind::Light(_), Parameter::Setpoint)
            | (RuleKind::Thermostat(_), Parameter::Schedule) => None,
        }
    }

    /// Values that may be written of a parameter, where that is configured.
    pub(crate) fn limit(&self, parameter: Parameter) -> Option<&Limit> {
        match (&self.kind, parameter) {
            (RuleKind::Thermostat(thermostat), Parameter::Setpoint) => {
                thermostat.config.limit.as_ref()
            }
            (RuleKind::Light(_) | RuleKind::Thermostat(_), _) => None,
        }
    }
}

fn set(rule: &mut Rule, parameter: Parameter, text: &str) -> Result<(), String> {
    let number = || {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| format!("`{text}` is not a number"))
    };
    match (&mut rule.kind, parameter) {
        (_, Parameter::Enabled) => rule.enabled = text == "true",
        (RuleKind::Light(light), Parameter::Schedule) if light.configured.is_some() => {
            light.schedule = Some(text.parse()?);
        }
        (RuleKind::Light(light), Parameter::OnThreshold) => light.levels()?.on_lux = number()?,
        (RuleKind::Light(light), Parameter::OffThreshold) => light.levels()?.off_lux = number()?,
        (RuleKind::Thermostat(thermostat), Parameter::OnThreshold) => {
            thermostat.thresholds.on = number()?;
        }
        (RuleKind::Thermostat(thermostat), Parameter::OffThreshold) => {
            thermostat.thresholds.off = number()?;
        }
        (RuleKind::Thermostat(thermostat), Parameter::Setpoint) => {
            thermostat.setpoint = Some(number()?);
        }
        (RuleKind::Light(_), Parameter::Schedule | Parameter::Setpoint)
        | (RuleKind::Thermostat(_), Parameter::Schedule) => {
            return Err("the rule has no such parameter".to_owned());
        }
    }
    Ok(())
}

/// Whether parameters go together.
fn check(kind: &RuleKind) -> Result<(), String> {
    match kind {
        RuleKind::Light(light) => match light.photocell.as_ref().and_then(|cell| cell.levels) {
            Some(levels) => levels.check(),
            None => Ok(()),
        },
        RuleKind::Thermostat(thermostat) => {
            thermostat.thresholds.check()?;
            thermostat.check_setpoint()
        }
    }
}

/// What a written value means as a parameter.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Corelnk(_) | Value::Objlnk(_) | Value::Opaque(_) => None,
        Value::Decimal(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Time(_)
        | Value::Unsigned(_) => value.as_f64().map(|number| number.to_string()),
    }
}
