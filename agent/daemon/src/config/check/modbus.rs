//! `adapter = "modbus"`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lamplighter_adapters::modbus::{Addressing, DeviceConfig, Order, Probe, RegisterRange};
use lamplighter_model::device::AdapterId;
use lamplighter_site::boundary::PointConfig;

use super::{Checker, below, key, register::Habits};
use crate::config::{
    checked::{BusId, BusLine, Modbus},
    layer::Key,
    not_built::NOT_AVAILABLE,
    schema,
};

/// More of a line's time than this leaves nothing for retries and writes.
const MOST_LOAD: f64 = 0.8;
/// Devices of a line that is too busy that are named.
const MOST_NAMED: usize = 4;

impl Checker<'_> {
    pub(super) fn modbus(
        &mut self,
        at: &Key,
        adapter: AdapterId,
        device: &schema::ModbusDevice,
    ) -> (Option<Modbus>, Vec<PointConfig>) {
        let bus = self.bus_of(at, device.bus.as_ref());
        if let Some(bus) = bus {
            self.modbus_line(bus);
        }
        let unit = self.required(at, "unit", device.unit);
        let unit = unit.map(|unit| self.modbus_unit(at, unit, bus));
        let max_registers = self.within(
            &below(at, "max_registers"),
            device.max_registers.unwrap_or(125),
            1,
            125,
        );
        let addressing = addressing_of(device.addressing.unwrap_or(schema::Addressing::ZeroBased));
        let order = order_of(device.order.unwrap_or(schema::Order::Abcd));
        let habits = Habits {
            adapter,
            addressing,
            order,
            max_registers,
            is_broadcast: unit == Some(0) && bus.is_some_and(|bus| self.is_rtu(bus)),
        };
        let mut config = DeviceConfig::new(at.last().map_or("", String::as_str), unit.unwrap_or(1));
        config.addressing = addressing;
        config.max_registers = max_registers;
        config.max_bits = self.within(
            &below(at, "max_bits"),
            device.max_bits.unwrap_or(2000),
            1,
            2000,
        );
        config.one_request_per_point = device.one_request_per_point.unwrap_or(false);
        let milliseconds = self.within(
            &below(at, "timeout_ms"),
            device.timeout_ms.unwrap_or(400),
            10,
            60_000,
        );
        config.timeout = Duration::from_millis(milliseconds);
        config.retries = self.within(&below(at, "retries"), device.retries.unwrap_or(1), 0, 5);
        config.offline_after = self
            .within(
                &below(at, "offline_after"),
                device.offline_after.unwrap_or(3),
                1,
                100,
            )
            .into();
        config.probe = self.probe(&below(at, "probe"), &device.probe);
        config.holes = self.holes(&below(at, "holes"), &device.holes, addressing);
        let (mut points, mut configs) = (Vec::new(), Vec::new());
        for (name, point) in &device.point {
            let at = below(&below(at, "point"), name);
            let Some((modbus, point, site)) = self.modbus_point(&at, habits, point) else {
                continue;
            };
            self.in_no_hole(&at, &config, &modbus);
            config.points.push(modbus);
            points.push(point);
            configs.push(site);
        }
        let stale_after = self.stale_after(at, device.stale_after_s);
        let checked = bus.and_then(|bus| {
            unit.map(|_| Modbus {
                bus,
                config: Arc::new(config),
                stale_after,
                points,
            })
        });
        (checked, configs)
    }

    fn modbus_line(&mut self, bus: BusId) {
        let Some(bus) = self.buses.get(usize::from(bus.0)) else {
            return;
        };
        if matches!(&bus.line, BusLine::Serial(line) if line.software_parity) {
            let at = key(&["bus", &bus.name, "software_parity"]);
            self.error(
                &at,
                format!("`software_parity` with Modbus: {NOT_AVAILABLE}"),
                "",
            );
        }
    }

    fn modbus_unit(&mut self, at: &Key, unit: u8, bus: Option<BusId>) -> u8 {
        // Modbus over serial line 1.02, 2.2: 0 is broadcast, 248–255 are reserved. On TCP 0 and 255
        // mean the device itself.
        let is_serial = bus.is_none_or(|bus| self.is_serial(bus));
        let permitted = unit <= 247 || (!is_serial && unit == 255);
        if !permitted {
            self.error(
                &below(at, "unit"),
                format!("`unit = {unit}` is not within 0 to 247"),
                "",
            );
        }
        unit
    }

    /// Whether unit 0 is all devices of the bus.
    fn is_rtu(&self, bus: BusId) -> bool {
        self.buses
            .get(usize::from(bus.0))
            .is_some_and(|bus| !matches!(bus.line, BusLine::Tcp(_)))
    }

    fn probe(&mut self, at: &Key, probe: &schema::Probe) -> Probe {
        let first = self.within(&below(at, "first_s"), probe.first_s.unwrap_or(5), 1, 3600);
        let longest = probe.max_s.unwrap_or_else(|| first.max(300));
        let longest = self.within(&below(at, "max_s"), longest, first, 86_400);
        let timeout = self.within(
            &below(at, "timeout_ms"),
            probe.timeout_ms.unwrap_or(100),
            10,
            10_000,
        );
        Probe {
            first: Duration::from_secs(first),
            max: Duration::from_secs(longest),
            timeout: Duration::from_millis(timeout),
        }
    }

    fn holes(&mut self, at: &Key, holes: &[String], addressing: Addressing) -> Vec<RegisterRange> {
        let mut checked = Vec::new();
        for (index, text) in holes.iter().enumerate() {
            match addressing.range(text) {
                Some(hole) => checked.push(hole),
                None => self.error(
                    &below(at, &index.to_string()),
                    format!("`{text}` is not a range of registers"),
                    "TABLE:FIRST..LAST, for example holding:120..127",
                ),
            }
        }
        checked
    }

    pub(super) fn stale_after(&mut self, at: &Key, seconds: Option<u64>) -> Option<Duration> {
        let seconds = self.within(&below(at, "stale_after_s"), seconds?, 1, 604_800);
        Some(Duration::from_secs(seconds))
    }

    /// A line has only so much time.
    pub(super) fn line_loads<'m>(&mut self, devices: impl Iterator<Item = (&'m str, &'m Modbus)>) {
        let mut loads: BTreeMap<BusId, Vec<(f64, &str)>> = BTreeMap::new();
        for (name, modbus) in devices {
            let Some(bus) = self.buses.get(usize::from(modbus.bus.0)) else {
                continue;
            };
            if matches!(bus.line, BusLine::Serial(_)) {
                let load = modbus.config.plan(&bus.modbus_settings()).load();
                loads.entry(modbus.bus).or_default().push((load, name));
            }
        }
        for (id, mut devices) in loads {
            let load: f64 = devices.iter().map(|(load, _)| load).sum();
            let Some(bus) = self
                .buses
                .get(usize::from(id.0))
                .filter(|_| load > MOST_LOAD)
            else {
                continue;
            };
            let at = key(&["bus", &bus.name]);
            let what = format!("polls take {:.0} % of the line's time", load * 100.0);
            devices.sort_by(|a, b| b.0.total_cmp(&a.0));
            let most = devices.iter().take(MOST_NAMED);
            let most: Vec<String> = most
                .map(|(load, name)| format!("{name} {:.0} %", load * 100.0))
                .collect();
            let hint = format!(
                "at most {:.0} %: longer `poll_s`, a faster line, or another bus; {}",
                MOST_LOAD * 100.0,
                most.join(", ")
            );
            self.error(&at, what, hint);
        }
    }

    /// Two devices that answer to one address would talk at once.
    pub(super) fn same_unit_twice<'m>(
        &mut self,
        devices: impl Iterator<Item = (&'m str, &'m Modbus)>,
    ) {
        let mut seen = BTreeMap::new();
        for (name, modbus) in devices {
            let unit = modbus.config.unit;
            if let Some(other) = seen.insert((modbus.bus, unit), name) {
                let what = format!("unit {unit} is also that of [device.{other}] on the same bus");
                self.warning(
                    &key(&["device", name, "unit"]),
                    what,
                    "one device can have all the points",
                );
            }
        }
    }
}

pub(super) fn order_of(order: schema::Order) -> Order {
    match order {
        schema::Order::Abcd => Order::Abcd,
        schema::Order::Badc => Order::Badc,
        schema::Order::Cdab => Order::Cdab,
        schema::Order::Dcba => Order::Dcba,
    }
}

fn addressing_of(addressing: schema::Addressing) -> Addressing {
    match addressing {
        schema::Addressing::Modicon => Addressing::Modicon,
        schema::Addressing::OneBased => Addressing::OneBased,
        schema::Addressing::ZeroBased => Addressing::ZeroBased,
    }
}
