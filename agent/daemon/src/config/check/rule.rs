//! `photocell` of groups, `[site.thermostat.NAME]`, and what rules are checked against.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_model::{
    DataType, InstanceAddress, ObjectId, Path, ResourceAddress, ResourceId, ResourcePath, Scope,
    UnixTime, object::Definitions,
};
use lamplighter_site::{
    boundary::{
        FailSafeOn, GroupConfig, LightLevels, Mode, PhotocellConfig, PointConfig, PointKind,
        Policy, Position, Setpoint, ThermostatConfig, WhenLost,
    },
    rule::{Almanac, DEFAULT_MAX_AGE, MAX_THRESHOLD},
};

use super::{Checker, below, key, site::find, suggestion};
use crate::config::{layer::Key, schema};

const MAX_THERMOSTATS: usize = 1000;
/// A year from here on is looked at where the date is not known: 2026-01-01.
const SOME_YEAR: UnixTime = UnixTime::from_seconds(1_767_225_600);
const SETPOINT: (ObjectId, ResourceId) = (ObjectId(3308), ResourceId(5900));
const PHOTOCELL: ObjectId = ObjectId(3419);
const PHOTOCELL_RESOURCES: [u16; 3] = [1, 2, 3];

/// What rules are checked against.
pub(super) struct RuleCheck<'p> {
    pub(super) almanac: Almanac,
    definitions: &'p Definitions,
    pub(super) points: &'p [PointConfig],
    position: Option<Position>,
    /// The rule that switches an output, by slot.
    scheduled: BTreeMap<ResourceAddress, String>,
    regulated: BTreeMap<ResourceAddress, String>,
}

impl Checker<'_> {
    pub(super) fn rule_check<'p>(
        &self,
        site: &schema::Site,
        points: &'p [PointConfig],
        definitions: &'p Definitions,
    ) -> RuleCheck<'p> {
        let place = site.position.as_ref();
        let place = place.and_then(|place| place.lat.zip(place.lon));
        let position = place
            .filter(|(lat, lon)| lat.abs() <= 90.0 && lon.abs() <= 180.0)
            .map(|(lat, lon)| Position { lat, lon });
        let now = self.surroundings.now.unwrap_or(SOME_YEAR);
        RuleCheck {
            almanac: Almanac::new(position, now.seconds()),
            definitions,
            points,
            position,
            scheduled: BTreeMap::new(),
            regulated: BTreeMap::new(),
        }
    }

    pub(super) fn group_rules(
        &mut self,
        at: &Key,
        group: &schema::Group,
        checked: &mut GroupConfig,
        rules: &mut RuleCheck<'_>,
    ) {
        let schedule = group.schedule.as_ref();
        // Also by one of clock times: servers may write others.
        self.is_position_used |= schedule.is_some();
        let at_schedule = below(at, "schedule");
        checked.schedule =
            schedule.and_then(|schedule| self.schedule(&at_schedule, schedule, rules));
        if let Some(schedule) = &checked.schedule {
            self.levels_fit(&at_schedule, schedule, &checked.members, rules);
        }
        let photocell = group.photocell.as_ref();
        let at_photocell = below(at, "photocell");
        checked.photocell =
            photocell.and_then(|photocell| self.photocell(&at_photocell, photocell, rules));
        if let Some(hold) = group.commands_hold {
            checked.until_next_event = hold == schema::CommandsHold::UntilNextEvent;
            if schedule.is_none() && photocell.is_none() {
                let hint = "without schedule and photocell commands hold until the next one";
                self.warning(&below(at, "commands_hold"), "nothing ends commands", hint);
            }
        }
        let ruled = if schedule.is_some() {
            &at_schedule
        } else if photocell.is_some() {
            &at_photocell
        } else {
            return;
        };
        for member in &checked.members {
            let other = rules.scheduled.insert(*member, checked.name.clone());
            let Some(other) = other else { continue };
            let name = rules.name_of(*member);
            let what = format!("{name} already follows the group {other}");
            self.error(ruled, what, "an output has one schedule");
        }
        self.covers_fail_safe(ruled, &checked.members, "schedule", rules);
    }

    fn photocell(
        &mut self,
        at: &Key,
        photocell: &schema::Photocell,
        rules: &RuleCheck<'_>,
    ) -> Option<PhotocellConfig> {
        self.is_position_used |= rules.position.is_some();
        let input = self.required(at, "input", photocell.input.as_ref())?;
        let input = self.rule_point(&below(at, "input"), input, rules)?;
        let is_switch = rules.data_type(input) == Some(DataType::Boolean);
        let levels = self.levels(at, photocell, is_switch);
        let usual = if is_switch { 0 } else { 60 };
        let dwell = photocell.dwell_s.unwrap_or(usual);
        let dwell = self.within(&below(at, "dwell_s"), dwell, 0, 3600);
        let shown = photocell.instance.as_ref();
        let instance = shown.and_then(|text| {
            let at = below(at, "instance");
            if is_switch {
                let hint = "show the switch itself: resource = \"/3419/0/3\"";
                self.error(&at, "only a light sensor has levels to show", hint);
                return None;
            }
            let resources = PHOTOCELL_RESOURCES.map(ResourceId);
            self.rule_instance(&at, text, PHOTOCELL, &resources)
        });
        Some(PhotocellConfig {
            input,
            policy: match photocell.policy {
                Some(schema::Policy::And) => Policy::And,
                Some(schema::Policy::Or) | None => Policy::Or,
            },
            levels: levels?,
            dwell: Duration::from_secs(dwell),
            instance,
        })
    }

    /// `Some(None)`: a switch has none.
    fn levels(
        &mut self,
        at: &Key,
        photocell: &schema::Photocell,
        is_switch: bool,
    ) -> Option<Option<LightLevels>> {
        let (on, off) = (photocell.on_lux, photocell.off_lux);
        if is_switch {
            for (name, level) in [("on_lux", on), ("off_lux", off)] {
                if level.is_some() {
                    let what = format!("`{name}` is for light sensors, the input is a switch");
                    self.error(&below(at, name), what, "");
                }
            }
            return Some(None);
        }
        let on_lux = self.required(at, "on_lux", on);
        let off_lux = self.required(at, "off_lux", off);
        let levels = LightLevels {
            on_lux: on_lux?,
            off_lux: off_lux?,
        };
        match levels.check() {
            Ok(()) => Some(Some(levels)),
            Err(what) => {
                self.error(&below(at, "off_lux"), what, "");
                None
            }
        }
    }

    pub(super) fn thermostats(
        &mut self,
        site: &schema::Site,
        rules: &mut RuleCheck<'_>,
    ) -> Vec<ThermostatConfig> {
        let mut checked = Vec::new();
        for (number, (name, thermostat)) in site.thermostat.iter().enumerate() {
            let at = key(&["site", "thermostat", name]);
            self.name(&at);
            if number == MAX_THERMOSTATS {
                let what = format!("more than {MAX_THERMOSTATS} thermostats");
                self.error(&at, what, "");
                break;
            }
            checked.extend(self.thermostat(&at, name, thermostat, rules));
        }
        checked
    }

    fn thermostat(
        &mut self,
        at: &Key,
        name: &str,
        thermostat: &schema::Thermostat,
        rules: &mut RuleCheck<'_>,
    ) -> Option<ThermostatConfig> {
        let sensor = self.required(at, "sensor", thermostat.sensor.as_ref());
        let sensor =
            sensor.and_then(|sensor| self.number_point(&below(at, "sensor"), sensor, rules));
        let setpoint = self.required(at, "setpoint", thermostat.setpoint.as_ref());
        let setpoint = setpoint.and_then(|setpoint| self.setpoint(at, setpoint, rules));
        let output = self.required(at, "output", thermostat.output.as_ref());
        let output = output.and_then(|output| self.regulated(at, name, output, rules));
        let mode = self.required(at, "mode", thermostat.mode);
        let [on_threshold, off_threshold] = self.thresholds(at, thermostat, mode);
        let seconds = thermostat.lost_after_s.unwrap_or(DEFAULT_MAX_AGE.as_secs());
        let seconds = self.within(&below(at, "lost_after_s"), seconds, 10, 86_400);
        let shown = thermostat.instance.as_ref();
        let instance = shown.and_then(|text| {
            let at = below(at, "instance");
            if let Some(Setpoint::Point(_)) = setpoint {
                let hint = "servers change the set point of the device at its own path";
                self.error(&at, "only a set point that is a number is shown", hint);
                return None;
            }
            self.rule_instance(&at, text, SETPOINT.0, &[SETPOINT.1])
        });
        let limit = thermostat.limit.as_ref();
        let limit = limit.and_then(|limit| {
            if instance.is_none() {
                let hint = "show the set point as an `instance`, or limit the point that holds it";
                self.error(&below(at, "limit"), "nobody can write the set point", hint);
            }
            self.limit(at, limit, DataType::Float, true)
        });
        if let Some(Setpoint::Fixed(number)) = setpoint {
            self.obeys_limit(&below(at, "setpoint"), number, limit.as_ref(), "`limit`");
        }
        Some(ThermostatConfig {
            name: name.to_owned(),
            sensor: sensor?,
            setpoint: setpoint?,
            on_threshold,
            off_threshold,
            output: output?,
            mode: match mode? {
                schema::Mode::Cool => Mode::Cool,
                schema::Mode::Heat => Mode::Heat,
            },
            when_lost: match thermostat.when_lost {
                Some(schema::WhenLost::Off) => WhenLost::Off,
                Some(schema::WhenLost::On) => WhenLost::On,
                Some(schema::WhenLost::Release) | None => WhenLost::Release,
            },
            max_age: Duration::from_secs(seconds),
            instance,
            limit,
        })
    }

    /// Distances from the set point at which it switches on, and off.
    fn thresholds(
        &mut self,
        at: &Key,
        thermostat: &schema::Thermostat,
        mode: Option<schema::Mode>,
    ) -> [f64; 2] {
        let cool = [
            ("on_above", thermostat.on_above),
            ("off_below", thermostat.off_below),
        ];
        let heat = [
            ("on_below", thermostat.on_below),
            ("off_above", thermostat.off_above),
        ];
        let (ours, others, hint) = match mode {
            Some(schema::Mode::Heat) => (heat, cool, "heating has on_below and off_above"),
            Some(schema::Mode::Cool) | None => (cool, heat, "cooling has on_above and off_below"),
        };
        for (name, value) in others {
            if value.is_some() && mode.is_some() {
                let what = format!("`{name}` is not for this mode");
                self.error(&below(at, name), what, hint);
            }
        }
        let values = ours.map(|(name, value)| {
            self.within(&below(at, name), value.unwrap_or(0.5), 0.0, MAX_THRESHOLD)
        });
        if values[0] + values[1] <= 0.0 {
            let what = "there is no band between on and off";
            let hint = "the sum of both thresholds must be greater than 0";
            self.error(&below(at, ours[1].0), what, hint);
        }
        values
    }

    fn setpoint(
        &mut self,
        at: &Key,
        setpoint: &schema::Scalar,
        rules: &RuleCheck<'_>,
    ) -> Option<Setpoint> {
        let at = below(at, "setpoint");
        match setpoint.0.parse::<f64>() {
            Ok(number) if number.is_finite() => Some(Setpoint::Fixed(number)),
            Ok(_) => {
                self.error(&at, "a set point is a number", "");
                None
            }
            Err(_) => self
                .number_point(&at, &setpoint.0, rules)
                .map(Setpoint::Point),
        }
    }

    fn regulated(
        &mut self,
        at: &Key,
        name: &str,
        output: &str,
        rules: &mut RuleCheck<'_>,
    ) -> Option<ResourceAddress> {
        let at = below(at, "output");
        let output = self.rule_point(&at, output, rules)?;
        let point = rules.points.iter().find(|point| point.address == output)?;
        if point.kind == PointKind::Value {
            let hint = "an output is a relay, a coil or another point that is switched";
            self.error(&at, format!("`{}` cannot be switched", point.name), hint);
            return None;
        }
        if let Some(other) = rules.regulated.insert(output, name.to_owned()) {
            let what = format!("{} already follows the thermostat {other}", point.name);
            self.error(&at, what, "an output has one thermostat");
        }
        if let Some(group) = rules.scheduled.get(&output) {
            let what = format!("the schedule of {group} always wins over this thermostat");
            self.warning(&at, what, "leave the output out of one of them");
        }
        self.covers_fail_safe(&at, &[output], "thermostat", rules);
        Some(output)
    }

    /// design, 6: a rule goes on without servers and covers what the fail-safe would do.
    fn covers_fail_safe(
        &mut self,
        at: &Key,
        outputs: &[ResourceAddress],
        what: &str,
        rules: &RuleCheck<'_>,
    ) {
        for point in rules.points {
            let fail_safe = point.fail_safe.as_ref();
            let is_covered = fail_safe.is_some_and(|rule| rule.on == FailSafeOn::ServerLost);
            if is_covered && outputs.contains(&point.address) {
                let what = format!(
                    "the {what} goes on without a server: the fail-safe value of {} is not reached",
                    point.name
                );
                self.warning(at, what, "");
            }
        }
    }

    /// A point by its name or path.
    fn rule_point(
        &mut self,
        at: &Key,
        name: &str,
        rules: &RuleCheck<'_>,
    ) -> Option<ResourceAddress> {
        if let Some(point) = find(rules.points, name) {
            return Some(point.address);
        }
        // A point that is there but wrong was reported already.
        let is_there = name.split_once('.').is_some_and(|(device, point)| {
            let at = key(&["device", device, "point", point]);
            self.layers.find(&at).is_some()
        });
        if !is_there {
            let known = rules.points.iter().map(|point| point.name.as_str());
            let known: Vec<&str> = known.collect();
            let what = format!("there is no point `{name}`");
            self.error(at, what, suggestion(name, &known));
        }
        None
    }

    fn number_point(
        &mut self,
        at: &Key,
        name: &str,
        rules: &RuleCheck<'_>,
    ) -> Option<ResourceAddress> {
        let address = self.rule_point(at, name, rules)?;
        match rules.data_type(address) {
            Some(DataType::Float | DataType::Integer | DataType::Unsigned) | None => Some(address),
            Some(
                DataType::Boolean
                | DataType::Corelnk
                | DataType::None
                | DataType::Objlnk
                | DataType::Opaque
                | DataType::String
                | DataType::Time,
            ) => {
                self.error(at, format!("`{name}` is not a number"), "");
                None
            }
        }
    }

    /// An instance that a rule fills, which no device may have besides.
    fn rule_instance(
        &mut self,
        at: &Key,
        text: &str,
        object: ObjectId,
        resources: &[ResourceId],
    ) -> Option<InstanceAddress> {
        let Ok(Path::Instance(instance)) = text.parse() else {
            let what = format!("`{text}` is not an instance of object {object}");
            self.error(at, what, format!("for example /{object}/20"));
            return None;
        };
        if instance.object != object {
            let what = format!("`{text}` is not an instance of object {object}");
            self.error(at, what, format!("for example /{object}/20"));
            return None;
        }
        for resource in resources {
            let path = ResourcePath {
                instance,
                resource: *resource,
            };
            let address = ResourceAddress {
                scope: Scope::Gateway,
                path,
            };
            if let Some(other) = self.owners.insert(address, at.clone()) {
                let what = format!("{path} is also declared by `{}`", other.join("."));
                self.error(at, what, "every resource has one owner");
                return None;
            }
        }
        Some(InstanceAddress {
            scope: Scope::Gateway,
            path: instance,
        })
    }
}

impl RuleCheck<'_> {
    /// Where the sun is looked at from.
    pub(super) const fn position(&self) -> Option<Position> {
        self.position
    }

    fn data_type(&self, address: ResourceAddress) -> Option<DataType> {
        let path = address.path;
        let definition = self.definitions.resource(path.object(), path.resource);
        definition.map(|definition| definition.data_type)
    }

    fn name_of(&self, address: ResourceAddress) -> String {
        let point = self.points.iter().find(|point| point.address == address);
        point.map_or_else(|| address.to_string(), |point| point.name.clone())
    }
}
