//! `[site.standstill.NAME]`: what waits until something stands still, and that nothing else than a
//! command switches it meanwhile.

use std::time::Duration;

use lamplighter_model::{DataType, ResourceAddress, Value, object::Definitions};
use lamplighter_site::boundary::{
    BootState, GroupConfig, PointConfig, StandstillConfig, ThermostatConfig,
};

use super::{Checker, below, device::CheckedDevice, key, safety::Wanted};
use crate::config::{
    checked::{DeviceKind, MeterKind},
    layer::Key,
    schema,
};

const SPEED: Wanted = Wanted {
    types: &[DataType::Float, DataType::Integer, DataType::Unsigned],
    what: "a measured number",
    hint: "a speed, for example that of a receiver: speed = \"gps.speed\"",
};

/// What may switch outputs beside commands.
struct Others<'a> {
    points: &'a [PointConfig],
    groups: &'a [GroupConfig],
    thermostats: &'a [ThermostatConfig],
}

impl Checker<'_> {
    pub(super) fn standstills(
        &mut self,
        site: &schema::Site,
        devices: &[CheckedDevice],
        points: &[PointConfig],
        groups: &[GroupConfig],
        thermostats: &[ThermostatConfig],
        definitions: &Definitions,
    ) -> Vec<StandstillConfig> {
        let others = Others {
            points,
            groups,
            thermostats,
        };
        let mut known: Vec<(ResourceAddress, &String)> = Vec::new();
        let mut standstills = Vec::new();
        for (name, keys) in &site.standstill {
            let at = key(&["site", "standstill", name]);
            self.name(&at);
            let within = below(&at, "outputs");
            let outputs = self.required(&at, "outputs", keys.outputs.as_ref());
            let outputs =
                outputs.map_or_else(Vec::new, |outputs| self.members(&within, outputs, points));
            let on = match keys.state.unwrap_or(schema::OnOff::Off) {
                schema::OnOff::Off => false,
                schema::OnOff::On => true,
            };
            for output in &outputs {
                if let Some((_, other)) = known.iter().find(|(known, _)| known == output) {
                    let what = format!("one of them waits for [site.standstill.{other}] already");
                    self.error(&within, what, "");
                }
                known.push((*output, name));
                self.commands_only(&within, *output, on, &others);
            }
            let speed = self.required(&at, "speed", keys.speed.as_ref());
            let speed = speed.and_then(|text| {
                self.input(&below(&at, "speed"), text, points, definitions, &SPEED)
            });
            let limit = keys.below.unwrap_or(0.5);
            let limit = self.within(&below(&at, "below"), limit, 0.0, 1000.0);
            let lasts = keys.for_s.unwrap_or(10);
            let lasts = self.within(&below(&at, "for_s"), lasts, 1, 3600);
            let lasts = Duration::from_secs(lasts);
            if let Some(speed) = speed {
                self.told_often(&below(&at, "speed"), speed, lasts, devices);
            }
            standstills.extend(speed.map(|speed| StandstillConfig {
                name: name.clone(),
                outputs,
                on,
                speed,
                below: limit,
                lasts,
            }));
        }
        standstills
    }

    /// A speed is believed for as long as it must have stood: what is told less often never stands.
    fn told_often(
        &mut self,
        at: &Key,
        speed: ResourceAddress,
        lasts: Duration,
        devices: &[CheckedDevice],
    ) {
        let is_its = |device: &&CheckedDevice| {
            let mut points = device.points.iter();
            points.any(|point| point.address == speed)
        };
        let Some(CheckedDevice { device, .. }) = devices.iter().find(is_its) else {
            return;
        };
        let name = &device.name;
        if is_never_stale(&device.kind) {
            let what = format!("[device.{name}] has no `stale_after_s`");
            let hint = "a speed that is not told any more has to be noticed";
            self.error(at, what, hint);
        }
        if let Some(every) = told_every(&device.kind, speed).filter(|every| *every >= lasts) {
            let (every, lasts) = (every.as_secs_f64(), lasts.as_secs());
            let what = format!("[device.{name}] tells it every {every} s only");
            let hint = format!("more often, or a longer `for_s` than {lasts}");
            self.error(at, what, hint);
        }
    }

    /// What nobody has commanded cannot be armed.
    fn commands_only(&mut self, at: &Key, output: ResourceAddress, on: bool, others: &Others<'_>) {
        let Some(point) = others.points.iter().find(|point| point.address == output) else {
            return;
        };
        let name = &point.name;
        let mut groups = others.groups.iter();
        if let Some(group) = groups.find(|group| group.members.contains(&output)) {
            let what = format!("the group {} would switch {name} in motion", group.name);
            self.error(at, what, "what waits for standstill is commanded by itself");
        }
        let mut thermostats = others.thermostats.iter();
        if let Some(rule) = thermostats.find(|rule| rule.output == output) {
            let what = format!("the thermostat {} would switch {name} in motion", rule.name);
            self.error(at, what, "");
        }
        let is_on = |value: &Value| value.as_f64().is_some_and(|number| number != 0.0);
        if point
            .fail_safe
            .as_ref()
            .is_some_and(|rule| is_on(&rule.value) == on)
        {
            let what = format!("`fail_safe` would switch {name} in motion");
            self.error(at, what, "");
        }
        let waits_at_start = match point.boot {
            BootState::Adopt => false,
            BootState::Decide | BootState::Off => !on,
            BootState::On => on,
        };
        if waits_at_start {
            let what = format!("{name} is put into that state at start, whatever moves");
            let hint = if on {
                "boot = \"off\""
            } else {
                "boot = \"on\""
            };
            self.error(at, what, hint);
        }
    }
}

/// Whether what it told last may stand for ever.
const fn is_never_stale(kind: &DeviceKind) -> bool {
    match kind {
        DeviceKind::Mqtt(mqtt) => mqtt.config.stale_after.is_none(),
        DeviceKind::Remote(remote) => remote.limits.stale_after.is_none(),
        DeviceKind::Gpio(_)
        | DeviceKind::Location(_)
        | DeviceKind::Meter(_)
        | DeviceKind::Modbus(_)
        | DeviceKind::S0(_)
        | DeviceKind::Sim(_)
        | DeviceKind::System(_)
        | DeviceKind::W1(_) => false,
    }
}

/// How often a device tells a value; `None` where that is its own affair.
fn told_every(kind: &DeviceKind, address: ResourceAddress) -> Option<Duration> {
    match kind {
        DeviceKind::Location(location) => Some(location.every),
        DeviceKind::Meter(meter) => match &meter.kind {
            MeterKind::Dlms(config) => Some(config.read_every),
            MeterKind::Iec62056(config) => Some(config.read_every),
            MeterKind::Mbus(config) => Some(config.read_every),
            MeterKind::ModeD | MeterKind::P1 | MeterKind::Sml { .. } => None,
        },
        DeviceKind::Modbus(modbus) => {
            let mut points = modbus.config.points.iter();
            let point = points.find(|point| point.address == address)?;
            Some(point.poll)
        }
        DeviceKind::S0(meter) => Some(meter.every),
        DeviceKind::System(files) | DeviceKind::W1(files) => Some(files.period),
        DeviceKind::Gpio(_) | DeviceKind::Mqtt(_) | DeviceKind::Remote(_) | DeviceKind::Sim(_) => {
            None
        }
    }
}
