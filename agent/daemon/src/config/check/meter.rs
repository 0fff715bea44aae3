//! `[device.NAME]` of meters.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_adapters::{
    iec62056::{self, Mode},
    meter::{self, Obis, Register, Unit},
};
use lamplighter_model::device::AdapterId;
use lamplighter_site::boundary::PointConfig;

use super::{
    Checker, below, key,
    point::{Carries, Common, Writable},
};
use crate::config::{
    checked::{BusId, BusLine, Meter, MeterKind, MeterPoint, Point},
    layer::Key,
    schema,
};

/// What is made of a meter: nothing where it cannot be used.
pub(super) type Made = (Option<Meter>, Vec<PointConfig>);

/// Units that readings are converted to.
const UNITS: &str =
    "Wh, W, varh, var, VAh, VA, V, A, Hz, m3, m3/h, J, K, Cel, bar, %, with m, k, M or G";

impl Checker<'_> {
    pub(super) fn iec62056(
        &mut self,
        at: &Key,
        id: AdapterId,
        device: &schema::Iec62056Device,
    ) -> Made {
        let bus = self.bus_of(at, device.bus.as_ref());
        let (points, configs) = self.meter_points(at, id, &device.point);
        let config = self.asked(at, device);
        let stale_after = self.stale_after(at, device.stale_after_s);
        let is_pushed = device.mode == Some(schema::MeterMode::D);
        if is_pushed {
            self.only_pushed(at, device);
        }
        if let Some(bus) = bus {
            let wanted = if is_pushed { "2400-7E1" } else { "300-7E1" };
            self.meter_line(at, bus, &[wanted], "meters of this mode");
        }
        let default = if is_pushed {
            Duration::from_secs(60)
        } else {
            2 * config.read_every
        };
        let kind = if is_pushed {
            MeterKind::ModeD
        } else {
            MeterKind::Iec62056(config)
        };
        let meter = bus.map(|bus| Meter {
            bus,
            kind,
            stale_after: stale_after.unwrap_or(default),
            points,
        });
        (meter, configs)
    }

    pub(super) fn sml(&mut self, at: &Key, id: AdapterId, device: &schema::SmlDevice) -> Made {
        let bus = self.bus_of(at, device.bus.as_ref());
        let (points, configs) = self.meter_points(at, id, &device.point);
        let server_id = device.server_id.as_ref().map(|id| id.to_uppercase());
        let is_number = |id: &String| {
            !id.is_empty() && id.len() % 2 == 0 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        if server_id.as_ref().is_some_and(|id| !is_number(id)) {
            self.error(
                &below(at, "server_id"),
                "a server id is written in hexadecimal",
                "as `lamplighter meter read` prints it, for example 0A01454D480000ABCDEF",
            );
        }
        if let Some(bus) = bus {
            self.meter_line(at, bus, &["9600-8N1"], "most SML meters");
        }
        let meter = bus.map(|bus| Meter {
            bus,
            kind: MeterKind::Sml { server_id },
            stale_after: self.silence(at, device.stale_after_s, 20),
            points,
        });
        (meter, configs)
    }

    pub(super) fn p1(&mut self, at: &Key, id: AdapterId, device: &schema::P1Device) -> Made {
        let bus = self.bus_of(at, device.bus.as_ref());
        let (points, configs) = self.meter_points(at, id, &device.point);
        if let Some(bus) = bus {
            self.meter_line(at, bus, &["115200-8N1", "9600-7E1"], "customer ports");
        }
        let meter = bus.map(|bus| Meter {
            bus,
            kind: MeterKind::P1,
            stale_after: self.silence(at, device.stale_after_s, 60),
            points,
        });
        (meter, configs)
    }

    /// What is asked of a meter that is asked.
    fn asked(&mut self, at: &Key, device: &schema::Iec62056Device) -> iec62056::MeterConfig {
        let address = device.address.clone().unwrap_or_default();
        // IEC 62056-21, 6.3.1: at most 32 characters of those printable ones that mean nothing else.
        if address.len() > 32
            || !address
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
        {
            self.error(
                &below(at, "address"),
                "an address has at most 32 letters and digits",
                "\"\" is any meter",
            );
        }
        let max_speed = device.max_baud.unwrap_or(9600);
        if ![300, 600, 1200, 2400, 4800, 9600, 19_200].contains(&max_speed) {
            self.error(
                &below(at, "max_baud"),
                format!("{max_speed} is not a speed of this protocol"),
                "300 to 19200",
            );
        }
        let mut number = |name: &str, value: Option<u64>, default, least, most| {
            self.within(&below(at, name), value.unwrap_or(default), least, most)
        };
        let period = number("read_s", device.read_s, 300, 5, 86_400);
        let reaction = number("reaction_ms", device.reaction_ms, 200, 20, 1500);
        let delay = device.baud_change_delay_ms;
        let delay = number("baud_change_delay_ms", delay, 250, 0, 1500);
        let readout = number("readout_s", device.readout_s, 120, 5, 600);
        iec62056::MeterConfig {
            mode: match device.mode {
                Some(schema::MeterMode::A) => Mode::A,
                Some(schema::MeterMode::B) => Mode::B,
                Some(schema::MeterMode::C) => Mode::C,
                Some(schema::MeterMode::Auto | schema::MeterMode::D) | None => Mode::Auto,
            },
            address,
            max_speed,
            reaction: Duration::from_millis(reaction),
            speed_change_delay: Duration::from_millis(delay),
            read_every: Duration::from_secs(period),
            readout_deadline: Duration::from_secs(readout),
            wake_up: device.wake_up.unwrap_or(false),
            ..iec62056::MeterConfig::default()
        }
    }

    /// Nothing is ever sent to a meter that sends by itself.
    fn only_pushed(&mut self, at: &Key, device: &schema::Iec62056Device) {
        for (name, is_there) in [
            ("address", device.address.is_some()),
            ("max_baud", device.max_baud.is_some()),
            ("reaction_ms", device.reaction_ms.is_some()),
            (
                "baud_change_delay_ms",
                device.baud_change_delay_ms.is_some(),
            ),
            ("wake_up", device.wake_up.is_some()),
            ("readout_s", device.readout_s.is_some()),
            ("read_s", device.read_s.is_some()),
        ] {
            if is_there {
                let what = "in mode D the meter sends by itself, and is never asked";
                self.error(&below(at, name), what, "leave it out");
            }
        }
    }

    fn silence(&mut self, at: &Key, seconds: Option<u64>, default: u64) -> Duration {
        let seconds = seconds.unwrap_or(default);
        Duration::from_secs(self.within(&below(at, "stale_after_s"), seconds, 5, 3600))
    }

    fn meter_points(
        &mut self,
        at: &Key,
        id: AdapterId,
        of: &BTreeMap<String, schema::MeterPoint>,
    ) -> (Vec<MeterPoint>, Vec<PointConfig>) {
        let (mut points, mut configs) = (Vec::new(), Vec::new());
        for (name, point) in of {
            let at = below(&below(at, "point"), name);
            let obis = self.required(&at, "obis", point.obis.as_ref());
            let obis = obis.and_then(|obis| self.obis(&below(&at, "obis"), obis));
            let common = Common {
                resource: point.resource.as_ref(),
                unit: point.unit.as_ref(),
                ..Common::default()
            };
            let checked = self.point(&at, id, common, Carries::Anything, Writable::No);
            let unit = checked
                .as_ref()
                .and_then(|(point, _)| self.meter_unit(&at, point));
            let valid = point.valid.as_ref();
            let valid = valid.and_then(|valid| self.valid(&below(&at, "valid"), valid));
            let (Some(obis), Some((checked, config))) = (obis, checked) else {
                continue;
            };
            let (address, data_type) = (checked.address, checked.data_type);
            points.push(MeterPoint {
                config: meter::MeterPoint {
                    unit,
                    valid,
                    monotonic: point.monotonic.unwrap_or(false),
                    ..meter::MeterPoint::new(address, Register::Obis(obis), data_type)
                },
                point: checked,
            });
            configs.push(config);
        }
        (points, configs)
    }

    pub(super) fn obis(&mut self, at: &Key, text: &str) -> Option<Obis> {
        let obis = text.parse().ok();
        if obis.is_none() {
            let what = format!("`{text}` is not an OBIS code");
            self.error(at, what, "for example 1-0:1.8.0*255");
        }
        obis
    }

    /// What the meter says is converted to this unit; only powers of ten are exact.
    pub(super) fn meter_unit(&mut self, at: &Key, point: &Point) -> Option<Unit> {
        if point.unit.is_empty() {
            return None;
        }
        let unit = point.unit.parse().ok();
        if unit.is_none() {
            let what = format!("readings cannot be converted to {}", point.unit);
            self.error(&below(at, "unit"), what, UNITS);
        }
        unit
    }

    /// A meter has its line to itself; `usual` is what those of its kind have.
    pub(super) fn meter_line(&mut self, device: &Key, bus: BusId, usual: &[&str], who: &str) {
        let Some(bus) = self.buses.get(usize::from(bus.0)) else {
            return;
        };
        let (name, line) = (bus.name.clone(), bus.line.clone());
        let BusLine::Serial(line) = line else {
            let what = format!("[bus.{name}] is not serial");
            let hint = "a meter needs kind = \"serial\"";
            self.error(&below(device, "bus"), what, hint);
            return;
        };
        let settings = line.settings.to_string();
        let is_usual = usual.contains(&settings.as_str())
            || (line.software_parity && settings.ends_with("-8N1"));
        if !is_usual {
            let usual = usual.join(" or ");
            let what = format!("{who} have {usual}, this line has {settings}");
            self.warning(
                &key(&["bus", &name, "line"]),
                what,
                format!("line = \"{usual}\""),
            );
        }
    }
}
