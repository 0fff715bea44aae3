//! What all points have: the resource they are, its type, unit, limit and guard.

use std::time::Duration;

use lamplighter_model::{
    DataType, InstancePath, ObjectId, Path, ResourceAddress, ResourcePath, Scope, Value,
    device::AdapterId, object::ResourceDef, tables,
};
use lamplighter_site::boundary::{self, PointConfig, PointKind};

use super::{Checker, below, lamp, units};
use crate::config::{
    checked::{POWER_RESOURCES, Point},
    layer::Key,
    schema,
};

/// Objects that the agent answers itself.
const OWN_OBJECTS: [u16; 8] = [0, 1, 2, 3, 4, 7, 20, 21];

/// What feeds the box may be measured by a device of it.
fn is_power(path: ResourcePath) -> bool {
    path.instance == InstancePath::new(3, 0) && POWER_RESOURCES.contains(&path.resource.0)
}

/// Whether the agent itself answers for an object.
pub(super) fn is_own(object: ObjectId, vendor_object_base: u16) -> bool {
    let vendor = vendor_object_base..vendor_object_base + tables::VENDOR_OBJECTS;
    OWN_OBJECTS.contains(&object.0) || vendor.contains(&object.0)
}

/// The keys that points of several kinds share.
#[derive(Clone, Copy, Default)]
pub(super) struct Common<'a> {
    pub(super) resource: Option<&'a String>,
    pub(super) instance: Option<&'a String>,
    pub(super) unit: Option<&'a String>,
    pub(super) limit: Option<&'a schema::Limit>,
    pub(super) guard: Option<&'a schema::Guard>,
    pub(super) fail_safe: Option<&'a schema::FailSafe>,
    pub(super) min_switch_s: Option<f64>,
    pub(super) power_return_spread_s: Option<u64>,
    /// The line takes levels.
    pub(super) dims: bool,
    pub(super) boot: boundary::BootState,
}

/// What an adapter exchanges for a point.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Carries {
    /// Whatever the resource asks for.
    Anything,
    Boolean,
    /// Rounded where the resource is a whole number.
    Number,
    Text,
}

/// What becomes of the writes of servers and people.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Writable {
    /// As the definition of the resource says.
    AsDefined,
    No,
    Yes,
}

/// The resource that a point is.
struct Target {
    path: ResourcePath,
    lamp: Option<InstancePath>,
}

impl Checker<'_> {
    /// Everything about a point that does not depend on its adapter.
    pub(super) fn point(
        &mut self,
        at: &Key,
        adapter: AdapterId,
        common: Common<'_>,
        carries: Carries,
        writable: Writable,
    ) -> Option<(Point, PointConfig)> {
        self.name(at);
        let target = self.target(at, common);
        let definition = target
            .as_ref()
            .and_then(|target| self.definition(at, target.path));
        let (Some(target), Some(definition)) = (target, definition) else {
            self.without_resource(at, common);
            return None;
        };
        self.claim(at, &target);
        let writable = match writable {
            Writable::AsDefined => definition.operations.write,
            Writable::No => false,
            Writable::Yes => true,
        };
        if target.lamp.is_some() {
            self.lamp_fits(at, carries, writable);
        } else {
            self.type_fits(at, &definition, carries);
        }
        if writable && !definition.operations.write {
            let what = format!(
                "{} cannot be written by servers: its definition says so",
                target.path
            );
            self.warning(at, what, "choose a resource that can be written");
        }
        let unit = self.unit(at, &definition, common.unit);
        let data_type = if common.dims && target.lamp.is_some_and(lamp::can_dim) {
            DataType::Integer
        } else if target.lamp.is_some() {
            DataType::Boolean
        } else {
            definition.data_type
        };
        let kind = kind_of(&target, data_type, writable);
        let fail_safe = common.fail_safe;
        let fail_safe =
            fail_safe.and_then(|fail_safe| self.fail_safe(at, fail_safe, kind, data_type));
        let name = name_of(at);
        let address = ResourceAddress {
            scope: Scope::Gateway,
            path: target.path,
        };
        self.names.insert(&name, Path::Resource(target.path));
        let config = PointConfig {
            name: name.clone(),
            adapter,
            address,
            kind,
            limit: common
                .limit
                .and_then(|limit| self.limit(at, limit, data_type, writable)),
            guard: common.guard.map(|guard| self.guard(at, guard, kind)),
            fail_safe,
            boot: common.boot,
            min_switch: self.min_switch(at, common.min_switch_s, kind),
            feedback: None,
            power_return_spread: self.output_spread(at, common.power_return_spread_s, kind),
        };
        Some((
            Point {
                name,
                address,
                data_type,
                kind,
                writable,
                unit,
            },
            config,
        ))
    }

    /// What can be checked of a point whose resource is not known: all that does not depend on it.
    fn without_resource(&mut self, at: &Key, common: Common<'_>) {
        if let Some(limit) = common.limit {
            self.limit(at, limit, DataType::Float, true);
        }
        if let Some(guard) = common.guard {
            self.guard(at, guard, PointKind::Output);
        }
        if let Some(fail_safe) = common.fail_safe {
            self.fail_safe(at, fail_safe, PointKind::Output, DataType::String);
        }
    }

    fn target(&mut self, at: &Key, common: Common<'_>) -> Option<Target> {
        match (common.resource, common.instance) {
            (Some(resource), None) => self.resource(&below(at, "resource"), resource),
            (None, Some(instance)) => self.lamp(&below(at, "instance"), instance),
            (Some(_), Some(_)) => {
                let hint =
                    "`instance` is a lamp or relay with all its resources, `resource` a single one";
                self.error(
                    &below(at, "instance"),
                    "a point has a `resource` or an `instance`, not both",
                    hint,
                );
                None
            }
            (None, None) => {
                self.missing(at, "resource", "for example resource = \"/3303/0/5700\"");
                None
            }
        }
    }

    fn resource(&mut self, at: &Key, text: &str) -> Option<Target> {
        match text.parse() {
            Ok(path) => Some(Target { path, lamp: None }),
            Err(error) => {
                let what = format!("`{text}` does not name a resource: {error}");
                self.error(
                    at,
                    what,
                    "/OBJECT/INSTANCE/RESOURCE, for example /3303/0/5700",
                );
                None
            }
        }
    }

    fn lamp(&mut self, at: &Key, text: &str) -> Option<Target> {
        let Ok(Path::Instance(instance)) = text.parse() else {
            self.error(
                at,
                format!("`{text}` does not name an instance"),
                "/OBJECT/INSTANCE, for example /3416/1",
            );
            return None;
        };
        if instance.instance.0 >= lamp::FIRST_GROUP_INSTANCE {
            let what = format!(
                "instances from {} are for groups",
                lamp::FIRST_GROUP_INSTANCE
            );
            self.error(at, what, "");
        }
        let Some(path) = lamp::command(instance) else {
            let hint = format!(
                "only objects {} can be; others by `resource`",
                lamp::objects()
            );
            self.error(
                at,
                format!("object {} is not a lamp or relay", instance.object),
                hint,
            );
            return None;
        };
        Some(Target {
            path,
            lamp: Some(instance),
        })
    }

    fn definition(&mut self, at: &Key, path: ResourcePath) -> Option<ResourceDef> {
        let at = below(
            at,
            if self.layers.find(&below(at, "instance")).is_some() {
                "instance"
            } else {
                "resource"
            },
        );
        let object = path.object();
        if is_own(object, self.vendor_object_base) && !is_power(path) {
            self.error(
                &at,
                format!("object {object} belongs to the agent itself"),
                "",
            );
            return None;
        }
        let Some(definition) = self.surroundings.definitions.object(object) else {
            let known: Vec<String> = self
                .surroundings
                .definitions
                .iter()
                .map(|definition| definition.id.to_string())
                .collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let hint = crate::config::problem::nearest(&object.to_string(), known)
                .map_or_else(String::new, |near| format!("did you mean {near}?"));
            self.error(
                &at,
                format!("no definition of object {object} is known"),
                hint,
            );
            return None;
        };
        if let Some(resource) = definition.resources.get(&path.resource) {
            return Some(resource.clone());
        }
        let known: Vec<String> = definition
            .resources
            .keys()
            .map(ToString::to_string)
            .collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let what = format!(
            "object {object} ({}) has no resource {}",
            definition.name, path.resource
        );
        self.error(
            &at,
            what,
            super::suggestion(&path.resource.to_string(), &known),
        );
        None
    }

    /// Two owners of one resource are refused.
    fn claim(&mut self, at: &Key, target: &Target) {
        let filled = target.lamp.map_or_else(|| vec![target.path], lamp::filled);
        for path in filled {
            let address = ResourceAddress {
                scope: Scope::Gateway,
                path,
            };
            let Some(other) = self.owners.insert(address, at.clone()) else {
                continue;
            };
            let what = format!(
                "{path} is also declared by `{}` ({})",
                name_of(&other),
                self.place(&other)
            );
            self.error(at, what, "every resource has one owner");
            return;
        }
    }

    fn lamp_fits(&mut self, at: &Key, carries: Carries, writable: bool) {
        let at = below(at, "instance");
        if !matches!(carries, Carries::Anything | Carries::Boolean) {
            self.error(
                &at,
                "a lamp or relay is switched by a line, a coil or a bit",
                "",
            );
        }
        if !writable {
            self.error(
                &at,
                "a lamp or relay must be writable",
                "add `write = { … }`, or declare a `resource`",
            );
        }
    }

    fn type_fits(&mut self, at: &Key, definition: &ResourceDef, carries: Carries) {
        let needed = match definition.data_type {
            DataType::Boolean => "a line, a coil, a discrete input or a `bit`",
            DataType::Float | DataType::Integer | DataType::Time | DataType::Unsigned => "a number",
            DataType::String => "a text or a `map`",
            DataType::Corelnk | DataType::None | DataType::Objlnk | DataType::Opaque => {
                "something no adapter has"
            }
        };
        let fits = match (definition.data_type, carries) {
            (DataType::Corelnk | DataType::None | DataType::Objlnk | DataType::Opaque, _) => false,
            (_, Carries::Anything) => true,
            (DataType::Boolean, carries) => carries == Carries::Boolean,
            (
                DataType::Float | DataType::Integer | DataType::Time | DataType::Unsigned,
                carries,
            ) => carries == Carries::Number,
            (DataType::String, carries) => carries == Carries::Text,
        };
        if !fits {
            let what = format!(
                "`{}` ({:?}) needs {needed}",
                definition.name, definition.data_type
            );
            self.error(at, what, "");
        }
    }

    fn unit(&mut self, at: &Key, definition: &ResourceDef, unit: Option<&String>) -> String {
        let at = below(at, "unit");
        let Some(unit) = unit else {
            return definition.unit.clone();
        };
        if !definition.unit.is_empty() && definition.unit != *unit {
            let what = format!(
                "`{}` is measured in {}, not in {unit}",
                definition.name, definition.unit
            );
            self.error(&at, what, "use `scale` to convert");
        } else if !units::is_known(unit) {
            let hint = units::meant(unit)
                .map_or_else(String::new, |meant| format!("did you mean `{meant}`?"));
            self.warning(&at, format!("`{unit}` is not a SenML unit"), hint);
        }
        unit.clone()
    }

    pub(super) fn limit(
        &mut self,
        at: &Key,
        limit: &schema::Limit,
        data_type: DataType,
        writable: bool,
    ) -> Option<boundary::Limit> {
        let at = below(at, "limit");
        let is_number = matches!(
            data_type,
            DataType::Float | DataType::Integer | DataType::Time | DataType::Unsigned
        );
        if !is_number || !writable {
            self.error(&at, "a limit is for numbers that may be written", "");
            return None;
        }
        if let (Some(min), Some(max)) = (limit.min, limit.max)
            && min > max
        {
            self.error(&at, format!("min {min} is above max {max}"), "");
        }
        if limit.min.is_none() && limit.max.is_none() {
            self.error(&at, "the limit permits everything", "give `min` or `max`");
        }
        Some(boundary::Limit {
            min: limit.min,
            max: limit.max,
            on_violation: match limit.on_violation.unwrap_or(schema::OnViolation::Reject) {
                schema::OnViolation::Clamp => boundary::OnViolation::Clamp,
                schema::OnViolation::Reject => boundary::OnViolation::Reject,
            },
        })
    }

    /// Only outputs are switched; what stands in `defaults` means them alone.
    fn min_switch(&mut self, at: &Key, seconds: Option<f64>, kind: PointKind) -> Duration {
        let at = below(at, "min_switch_s");
        let seconds = self.within(&at, seconds.unwrap_or(0.0), 0.0, 3600.0);
        if kind != PointKind::Value {
            return Duration::try_from_secs_f64(seconds).unwrap_or_default();
        }
        if self.layers.find(&at).is_some() {
            self.error(&at, "only outputs are switched", "");
        }
        Duration::ZERO
    }

    fn output_spread(&mut self, at: &Key, seconds: Option<u64>, kind: PointKind) -> Duration {
        if kind == PointKind::Value && seconds.is_some() {
            let at = below(at, "power_return_spread_s");
            self.error(&at, "only outputs are switched", "");
        }
        self.power_return_spread(at, seconds)
    }

    pub(super) fn power_return_spread(&mut self, at: &Key, seconds: Option<u64>) -> Duration {
        let at = below(at, "power_return_spread_s");
        Duration::from_secs(self.within(&at, seconds.unwrap_or(0), 0, 600))
    }

    fn guard(&mut self, at: &Key, guard: &schema::Guard, kind: PointKind) -> boundary::Guard {
        let at = below(at, "guard");
        if kind == PointKind::Value {
            self.error(
                &at,
                "a guard is for outputs that are switched on and off",
                "",
            );
        }
        let mut seconds = |name: &str, value: Option<u64>| {
            Duration::from_secs(self.within(&below(&at, name), value.unwrap_or(0), 0, 86_400))
        };
        let (min_on, min_off) = (
            seconds("min_on_s", guard.min_on_s),
            seconds("min_off_s", guard.min_off_s),
        );
        let starts = guard.max_starts_per_h;
        boundary::Guard {
            min_on,
            min_off,
            max_starts_per_hour: starts
                .map(|most| self.within(&below(&at, "max_starts_per_h"), most, 1, 3600)),
            while_waiting: match guard.while_waiting.unwrap_or(schema::WhileWaiting::Queue) {
                schema::WhileWaiting::Queue => boundary::WhileWaiting::Queue,
                schema::WhileWaiting::Reject => boundary::WhileWaiting::Reject,
            },
        }
    }
}

impl Checker<'_> {
    fn fail_safe(
        &mut self,
        at: &Key,
        fail_safe: &schema::FailSafe,
        kind: PointKind,
        data_type: DataType,
    ) -> Option<boundary::FailSafe> {
        let at = below(at, "fail_safe");
        if kind == PointKind::Value {
            self.error(
                &at,
                "a fail-safe is for outputs that are switched on and off",
                "",
            );
        }
        let on = self.required(&at, "on", fail_safe.on);
        let after = fail_safe.after_s.unwrap_or(14_400);
        let after = self.within(&below(&at, "after_s"), after, 1, 604_800);
        let text = self.required(&at, "value", fail_safe.value.as_ref())?;
        let value = self.value(&below(&at, "value"), text, data_type);
        Some(boundary::FailSafe {
            on: match on? {
                schema::FailSafeOn::DeviceLost => boundary::FailSafeOn::DeviceLost,
                schema::FailSafeOn::ServerLost => boundary::FailSafeOn::ServerLost,
            },
            after: Duration::from_secs(after),
            value: value?,
        })
    }

    /// A value as the type of its resource.
    pub(super) fn value(
        &mut self,
        at: &Key,
        text: &schema::Scalar,
        data_type: DataType,
    ) -> Option<Value> {
        let parsed = Value::parse(&text.0, data_type);
        if let Err(error) = parsed {
            self.error(at, format!("`{}`: {error}", text.0), "");
        }
        parsed.ok()
    }
}

fn kind_of(target: &Target, data_type: DataType, writable: bool) -> PointKind {
    if target.lamp.is_some() {
        return if data_type == DataType::Boolean {
            PointKind::Lamp
        } else {
            PointKind::Dimmer
        };
    }
    let is_output = writable && data_type == DataType::Boolean;
    if is_output {
        PointKind::Output
    } else {
        PointKind::Value
    }
}

/// `device.ahu1.point.setpoint` → `ahu1.setpoint`
pub(super) fn name_of(at: &Key) -> String {
    match at.as_slice() {
        [_, device, _, point, ..] => format!("{device}.{point}"),
        other => other.join("."),
    }
}
