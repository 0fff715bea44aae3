//! `[device.NAME]`.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_model::{DataType, device::AdapterId};
use lamplighter_site::boundary::{BootState, PointConfig, PointKind};

use super::{
    Checker, below, key,
    point::{Carries, Common, Writable, name_of},
};
use crate::{
    commission::gpio::pin_of,
    config::{
        checked::{
            BusId, Device, DeviceKind, Direction, Feedback, Gpio, GpioPoint, LocationSource, Meter,
            Modbus, SimPoint,
        },
        layer::Key,
        schema,
    },
};

/// A device with what the site must know of its points.
pub(super) struct CheckedDevice {
    pub(super) device: Device,
    pub(super) points: Vec<PointConfig>,
}

/// Which line of which chip, as it is written.
pub(super) type Line = (schema::Backend, String, String);
/// Where a line is told from others: simulated or real, its chip, its name.
pub(super) type LineKey = (bool, String, String);

impl Checker<'_> {
    pub(super) fn devices(
        &mut self,
        devices: &BTreeMap<String, schema::Device>,
    ) -> Vec<CheckedDevice> {
        let mut checked = Vec::new();
        let mut lines = BTreeMap::new();
        for (name, device) in devices {
            let at = key(&["device", name]);
            self.name(&at);
            let id = AdapterId(u16::try_from(checked.len()).unwrap_or(u16::MAX));
            let (kind, points) = match device {
                schema::Device::Dlms(meter) => meter_kind(self.dlms(&at, id, meter)),
                schema::Device::Gpio(gpio) => {
                    let (gpio, points) = self.gpio(&at, id, gpio, &mut lines);
                    (Some(DeviceKind::Gpio(gpio)), points)
                }
                schema::Device::Gpsd(gpsd) => {
                    let (location, points) = self.gpsd(&at, id, gpsd);
                    (location.map(DeviceKind::Location), points)
                }
                schema::Device::Iec62056(meter) => meter_kind(self.iec62056(&at, id, meter)),
                schema::Device::Mbus(meter) => meter_kind(self.mbus(&at, id, meter)),
                schema::Device::Modbus(modbus) => {
                    let (modbus, points) = self.modbus(&at, id, modbus);
                    (modbus.map(DeviceKind::Modbus), points)
                }
                schema::Device::Nmea(nmea) => {
                    let (location, points) = self.nmea(&at, id, nmea);
                    (location.map(DeviceKind::Location), points)
                }
                schema::Device::P1(meter) => meter_kind(self.p1(&at, id, meter)),
                schema::Device::Mqtt(mqtt) => {
                    let (mqtt, points) = self.mqtt_device(&at, id, mqtt);
                    (Some(DeviceKind::Mqtt(mqtt)), points)
                }
                schema::Device::Remote(remote) => {
                    let (remote, points) = self.remote(&at, id, remote);
                    (Some(DeviceKind::Remote(remote)), points)
                }
                schema::Device::S0(s0) => {
                    let (s0, points) = self.s0(&at, id, s0, &mut lines);
                    (s0.map(DeviceKind::S0), points)
                }
                schema::Device::Sml(meter) => meter_kind(self.sml(&at, id, meter)),
                schema::Device::Sim(sim) => {
                    let (sim, points) = self.sim(&at, id, sim);
                    (Some(DeviceKind::Sim(sim)), points)
                }
                schema::Device::System(system) => {
                    let (files, points) = self.system_device(&at, id, system);
                    (Some(DeviceKind::System(files)), points)
                }
                schema::Device::W1(w1) => {
                    let (files, points) = self.w1(&at, id, w1);
                    (Some(DeviceKind::W1(files)), points)
                }
            };
            // A device without points is of no use, but harms nobody.
            let is_useless = points.is_empty() && !kind.as_ref().is_some_and(DeviceKind::may_grow);
            if is_useless && self.layers.find(&below(&at, "point")).is_none() {
                self.warning(&at, "the device has no points", "");
            }
            let Some(kind) = kind else { continue };
            checked.push(CheckedDevice {
                device: Device {
                    id,
                    name: name.clone(),
                    kind,
                },
                points,
            });
        }
        self.shared_buses(&checked);
        self.grants_of_programs(&mut checked);
        checked
    }

    fn gpio(
        &mut self,
        at: &Key,
        id: AdapterId,
        device: &schema::GpioDevice,
        lines: &mut BTreeMap<LineKey, Key>,
    ) -> (Gpio, Vec<PointConfig>) {
        let backend = self.backend(at, device.backend);
        let chip = device
            .chip
            .as_ref()
            .and_then(|chip| self.chip(&below(at, "chip"), chip));
        let (mut points, mut configs) = (Vec::new(), Vec::new());
        for (name, point) in &device.point {
            let at = below(&below(at, "point"), name);
            let line = self.required(&at, "line", point.line.as_ref());
            if let Some(line) = line {
                let line = (backend, chip.clone().unwrap_or_default(), line.clone());
                self.claim_line(&at, "line", line, lines);
            }
            let common = Common {
                resource: point.resource.as_ref(),
                instance: point.instance.as_ref(),
                limit: point.limit.as_ref(),
                guard: point.guard.as_ref(),
                fail_safe: point.fail_safe.as_ref(),
                min_switch_s: point.min_switch_s.or(device.defaults.min_switch_s),
                power_return_spread_s: point.power_return_spread_s,
                dims: point.pwm_hz.is_some(),
                boot: match point
                    .boot
                    .or(device.defaults.boot)
                    .unwrap_or(schema::Boot::Decide)
                {
                    schema::Boot::Decide => BootState::Decide,
                    schema::Boot::Off => BootState::Off,
                    schema::Boot::On => BootState::On,
                },
                ..Common::default()
            };
            let Some((checked, config)) =
                self.point(&at, id, common, Carries::Boolean, Writable::AsDefined)
            else {
                continue;
            };
            let is_output = checked.writable;
            let feedback = point.feedback.as_ref().and_then(|feedback| {
                self.feedback(&at, feedback, is_output, (backend, &chip), lines)
            });
            let direction = self.direction(&at, point, &device.defaults, is_output);
            let pwm_hz = point
                .pwm_hz
                .map(|hertz| self.pwm(&at, hertz, checked.kind, backend));
            configs.push(PointConfig {
                feedback: feedback.as_ref().map(|feedback| feedback.within),
                ..config
            });
            points.push(GpioPoint {
                point: checked,
                line: line.cloned().unwrap_or_default(),
                active_low: point
                    .active_low
                    .or(device.defaults.active_low)
                    .unwrap_or(false),
                bias: point
                    .bias
                    .or(device.defaults.bias)
                    .unwrap_or(schema::Bias::AsIs),
                pwm_hz,
                direction,
                feedback,
            });
        }
        (
            Gpio {
                backend,
                chip,
                points,
            },
            configs,
        )
    }

    pub(super) fn backend(
        &mut self,
        at: &Key,
        backend: Option<schema::Backend>,
    ) -> schema::Backend {
        let backend = backend.unwrap_or(schema::Backend::Auto);
        if backend == schema::Backend::Rppal && !cfg!(feature = "gpio-rppal") {
            self.error(&below(at, "backend"), "this build has no rppal", "use cdev");
        }
        backend
    }

    pub(super) fn claim_line(
        &mut self,
        point: &Key,
        name: &str,
        (backend, chip, line): Line,
        lines: &mut BTreeMap<LineKey, Key>,
    ) {
        let pin = (backend == schema::Backend::Rppal).then(|| pin_of(&line));
        let named = match pin.flatten() {
            Some(pin) => format!("GPIO{pin}"),
            None => line.clone(),
        };
        let line_key = (backend == schema::Backend::Sim, chip, named);
        if let Some(other) = lines.insert(line_key, point.clone()) {
            let what = format!(
                "line {line} is also that of `{}` ({})",
                name_of(&other),
                self.place(&other)
            );
            self.error(&below(point, name), what, "a line has one owner");
        }
    }

    fn feedback(
        &mut self,
        point: &Key,
        feedback: &schema::Feedback,
        is_output: bool,
        (backend, chip): (schema::Backend, &Option<String>),
        lines: &mut BTreeMap<LineKey, Key>,
    ) -> Option<Feedback> {
        let at = below(point, "feedback");
        if !is_output {
            self.error(&at, "only an output has a feedback contact", "");
        }
        let line = self.required(&at, "line", feedback.line.as_ref());
        let within = feedback.within_ms.unwrap_or(500);
        let within = self.within(&below(&at, "within_ms"), within, 10, 3000);
        let debounce = feedback.debounce_ms.unwrap_or(0);
        let debounce = self.within(&below(&at, "debounce_ms"), debounce, 0, 1000);
        if debounce >= within {
            let what = "the contact cannot be steady for `debounce_ms` within `within_ms`";
            self.error(&below(&at, "debounce_ms"), what, "");
        }
        let line = line?.clone();
        let owned = (backend, chip.clone().unwrap_or_default(), line.clone());
        self.claim_line(point, "feedback", owned, lines);
        Some(Feedback {
            line,
            within: Duration::from_millis(within),
            active_low: feedback.active_low.unwrap_or(false),
            bias: feedback.bias.unwrap_or(schema::Bias::AsIs),
            debounce: Duration::from_millis(debounce),
        })
    }

    fn direction(
        &mut self,
        at: &Key,
        point: &schema::GpioPoint,
        defaults: &schema::GpioDefaults,
        is_output: bool,
    ) -> Direction {
        let refuse =
            |checker: &mut Self, name: &str, what: &str| checker.error(&below(at, name), what, "");
        if is_output {
            if point.debounce_ms.is_some() {
                refuse(self, "debounce_ms", "only an input is debounced");
            }
            return Direction::Output {
                exit: point.exit.or(defaults.exit).unwrap_or(schema::Exit::Keep),
            };
        }
        if point.boot.is_some() {
            refuse(self, "boot", "only an output has a first value");
        }
        if point.exit.is_some() {
            refuse(self, "exit", "only an output has a last value");
        }
        let debounce = point.debounce_ms.or(defaults.debounce_ms).unwrap_or(0);
        Direction::Input {
            debounce: Duration::from_millis(self.within(
                &below(at, "debounce_ms"),
                debounce,
                0,
                60_000,
            )),
        }
    }

    fn pwm(&mut self, point: &Key, hertz: u16, kind: PointKind, backend: schema::Backend) -> u16 {
        let at = below(point, "pwm_hz");
        if kind != PointKind::Dimmer {
            let what = "only an `instance` of 3311, 3312 or 3416 can be dimmed";
            self.error(&at, what, "");
        }
        match backend {
            schema::Backend::Rppal | schema::Backend::Sim => (),
            schema::Backend::Auto | schema::Backend::Cdev => {
                let what = "the kernel's character device cannot dim";
                self.error(&at, what, "backend = \"rppal\", on a Raspberry Pi");
            }
        }
        self.within(&at, hertz, 20, 2000)
    }

    pub(super) fn chip(&mut self, at: &Key, chip: &str) -> Option<String> {
        if let Some(label) = chip
            .strip_prefix("label:")
            .filter(|label| !label.is_empty())
        {
            return Some(label.to_owned());
        }
        let hint = "chip numbers change: write label:LABEL, see `gpiodetect`, or leave `chip` out";
        self.error(at, format!("`{chip}` is not the label of a chip"), hint);
        None
    }

    fn sim(
        &mut self,
        at: &Key,
        id: AdapterId,
        device: &schema::SimDevice,
    ) -> (Vec<SimPoint>, Vec<PointConfig>) {
        let (mut points, mut configs) = (Vec::new(), Vec::new());
        for (name, point) in &device.point {
            let at = below(&below(at, "point"), name);
            let common = Common {
                dims: false,
                resource: point.resource.as_ref(),
                instance: point.instance.as_ref(),
                unit: point.unit.as_ref(),
                limit: point.limit.as_ref(),
                guard: point.guard.as_ref(),
                fail_safe: point.fail_safe.as_ref(),
                min_switch_s: point.min_switch_s,
                power_return_spread_s: point.power_return_spread_s,
                boot: BootState::Adopt,
            };
            let writable = match point.writable {
                None => Writable::AsDefined,
                Some(true) => Writable::Yes,
                Some(false) => Writable::No,
            };
            let Some((checked, config)) = self.point(&at, id, common, Carries::Anything, writable)
            else {
                continue;
            };
            let first = schema::Scalar(first_value(checked.data_type).to_owned());
            let text = point.value.as_ref().unwrap_or(&first);
            let Some(value) = self.value(&below(&at, "value"), text, checked.data_type) else {
                continue;
            };
            points.push(SimPoint {
                point: checked,
                value,
            });
            configs.push(config);
        }
        (points, configs)
    }

    /// Who may share a bus with whom.
    fn shared_buses(&mut self, devices: &[CheckedDevice]) {
        let modbus: Vec<(&str, &Modbus)> = devices
            .iter()
            .filter_map(|checked| match &checked.device.kind {
                DeviceKind::Modbus(modbus) => Some((checked.device.name.as_str(), modbus)),
                DeviceKind::Gpio(_)
                | DeviceKind::Location(_)
                | DeviceKind::Meter(_)
                | DeviceKind::Mqtt(_)
                | DeviceKind::Remote(_)
                | DeviceKind::S0(_)
                | DeviceKind::Sim(_)
                | DeviceKind::System(_)
                | DeviceKind::W1(_) => None,
            })
            .collect();
        self.line_loads(modbus.iter().copied());
        self.same_unit_twice(modbus.into_iter());
        let meters = devices
            .iter()
            .filter_map(|checked| match &checked.device.kind {
                DeviceKind::Meter(meter) => Some((checked.device.name.as_str(), meter)),
                DeviceKind::Gpio(_)
                | DeviceKind::Location(_)
                | DeviceKind::Modbus(_)
                | DeviceKind::Mqtt(_)
                | DeviceKind::Remote(_)
                | DeviceKind::S0(_)
                | DeviceKind::Sim(_)
                | DeviceKind::System(_)
                | DeviceKind::W1(_) => None,
            });
        self.same_meter_twice(meters);
        let users = self.users_of_buses(devices);
        for users in users.values() {
            let meter = users.iter().find(|(_, is_alone)| *is_alone);
            if let Some((meter, _)) = meter
                && let Some((other, _)) = users.iter().find(|(name, _)| name != meter)
            {
                let what = format!("[device.{meter}] shares its line with [device.{other}]");
                self.error(
                    &key(&["device", meter, "bus"]),
                    what,
                    "a meter or receiver needs a bus of its own",
                );
            }
        }
        let idle: Vec<Key> = (0u16..)
            .zip(&self.buses)
            .filter(|(id, bus)| !users.contains_key(&BusId(*id)) && !self.is_named(&bus.name))
            .map(|(_, bus)| key(&["bus", &bus.name]))
            .collect();
        for bus in idle {
            self.warning(&bus, "no device uses this bus", "");
        }
    }

    /// Who stands on which bus, and whether it needs the line to itself.
    fn users_of_buses<'a>(
        &mut self,
        devices: &'a [CheckedDevice],
    ) -> BTreeMap<BusId, Vec<(&'a str, bool)>> {
        let mut users: BTreeMap<BusId, Vec<(&str, bool)>> = BTreeMap::new();
        let mut families: BTreeMap<BusId, (&str, &str)> = BTreeMap::new();
        for checked in devices {
            let name = checked.device.name.as_str();
            let (bus, is_alone, family) = match &checked.device.kind {
                DeviceKind::Meter(meter) => (meter.bus, !meter.shares_its_line(), meter.adapter()),
                DeviceKind::Modbus(modbus) => (modbus.bus, false, "modbus"),
                DeviceKind::Location(location) => match location.source {
                    LocationSource::Gpsd { .. } => continue,
                    LocationSource::Nmea(bus) => (bus, true, "nmea"),
                },
                DeviceKind::Gpio(_)
                | DeviceKind::Mqtt(_)
                | DeviceKind::Remote(_)
                | DeviceKind::S0(_)
                | DeviceKind::Sim(_)
                | DeviceKind::System(_)
                | DeviceKind::W1(_) => continue,
            };
            users.entry(bus).or_default().push((name, is_alone));
            if is_alone {
                continue;
            }
            let (first, spoken) = *families.entry(bus).or_insert((name, family));
            if spoken != family {
                let what =
                    format!("it speaks {family}, [device.{first}] on the same line {spoken}");
                let hint = "a line has one protocol: give it its own bus";
                self.error(&key(&["device", name, "bus"]), what, hint);
            }
        }
        users
    }
}

impl Checker<'_> {
    /// Whether a device names the bus, also one that could not be checked.
    fn is_named(&self, bus: &str) -> bool {
        let Some(figment::value::Value::Dict(_, devices)) = self.layers.find(&key(&["device"]))
        else {
            return false;
        };
        devices.keys().any(|device| {
            let named = self.layers.find(&key(&["device", device, "bus"]));
            named.and_then(figment::value::Value::as_str) == Some(bus)
        })
    }
}

fn meter_kind(
    (meter, points): (Option<Meter>, Vec<PointConfig>),
) -> (Option<DeviceKind>, Vec<PointConfig>) {
    (meter.map(DeviceKind::Meter), points)
}

fn first_value(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Objlnk => "65535:65535",
        DataType::Corelnk | DataType::None | DataType::Opaque | DataType::String => "",
        DataType::Boolean
        | DataType::Float
        | DataType::Integer
        | DataType::Time
        | DataType::Unsigned => "0",
    }
}
