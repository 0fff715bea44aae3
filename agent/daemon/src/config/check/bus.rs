//! `[bus.NAME]`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use lamplighter_adapters::bus::LineSettings;

use super::{Checker, below, key};
use crate::config::{
    checked::{Bus, BusLine, SerialLine},
    layer::Key,
    schema,
};

const SPEEDS: [u32; 13] = [
    300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600,
];

impl Checker<'_> {
    pub(super) fn buses(&mut self, buses: &BTreeMap<String, schema::Bus>) {
        let mut lines = BTreeMap::new();
        for (name, bus) in buses {
            let at = key(&["bus", name]);
            self.name(&at);
            let line = match bus {
                schema::Bus::RtuOverTcp(bus) => self.address(&at, bus).map(BusLine::RtuOverTcp),
                schema::Bus::Serial(bus) => self.serial(&at, bus).map(BusLine::Serial),
                schema::Bus::Tcp(bus) => self.address(&at, bus).map(BusLine::Tcp),
            };
            let Some(line) = line else { continue };
            if let Some(other) = lines.insert(line.end(), name) {
                let what = format!("{line} is also the line of [bus.{other}]");
                self.error(&at, what, "devices on one line share one bus");
            }
            let bus = self.bus(&at, name, bus, line);
            self.buses.push(bus);
        }
    }

    fn bus(&mut self, at: &Key, name: &str, bus: &schema::Bus, line: BusLine) -> Bus {
        let (gap_ms, connect_pause_ms, reopen, poll_floor) = match bus {
            schema::Bus::Serial(bus) => (
                bus.gap_ms,
                bus.connect_pause_ms,
                &bus.reopen,
                bus.poll_floor,
            ),
            schema::Bus::RtuOverTcp(bus) | schema::Bus::Tcp(bus) => (
                bus.gap_ms,
                bus.connect_pause_ms,
                &bus.reopen,
                bus.poll_floor,
            ),
        };
        let (broadcast_pause_ms, close_after_ms) = match bus {
            schema::Bus::Serial(bus) => (bus.broadcast_pause_ms, None),
            schema::Bus::RtuOverTcp(bus) | schema::Bus::Tcp(bus) => (None, bus.close_after_ms),
        };
        let pauses = below(at, "reopen");
        let first = self.within(
            &below(&pauses, "first_ms"),
            reopen.first_ms.unwrap_or(500),
            10,
            600_000,
        );
        let longest = reopen.max_ms.unwrap_or_else(|| first.max(30_000));
        let longest = self.within(&below(&pauses, "max_ms"), longest, first, 3_600_000);
        Bus {
            name: name.to_owned(),
            line,
            gap: self.pause(at, "gap_ms", gap_ms.unwrap_or(0)),
            connect_pause: self.pause(at, "connect_pause_ms", connect_pause_ms.unwrap_or(0)),
            broadcast_pause: self.pause(
                at,
                "broadcast_pause_ms",
                broadcast_pause_ms.unwrap_or(200),
            ),
            close_after: close_after_ms.map(|idle| {
                Duration::from_millis(self.within(&below(at, "close_after_ms"), idle, 10, 600_000))
            }),
            reopen: (Duration::from_millis(first), Duration::from_millis(longest)),
            poll_floor: self.within(
                &below(at, "poll_floor"),
                poll_floor.unwrap_or(0.2),
                0.0,
                0.9,
            ),
        }
    }

    fn pause(&mut self, at: &Key, name: &str, milliseconds: u64) -> Duration {
        Duration::from_millis(self.within(&below(at, name), milliseconds, 0, 10_000))
    }

    fn address(&mut self, at: &Key, bus: &schema::TcpBus) -> Option<String> {
        let address = self.required(at, "address", bus.address.as_ref())?;
        let port = address
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty());
        if port.is_none_or(|(_, port)| !port.parse().is_ok_and(|port: u16| port > 0)) {
            self.error(
                &below(at, "address"),
                format!("`{address}` is not HOST:PORT"),
                "for example 192.0.2.20:502",
            );
            return None;
        }
        Some(address.clone())
    }

    fn serial(&mut self, at: &Key, bus: &schema::SerialBus) -> Option<SerialLine> {
        let device = self.required(at, "device", bus.device.as_ref());
        if let Some(device) = device {
            self.serial_device(&below(at, "device"), device);
        }
        let text = bus.line.as_deref().unwrap_or("9600-8E1");
        let Some(settings) = parse_line(text) else {
            let hint = format!(
                "for example 9600-8E1; speeds: {}",
                SPEEDS.map(|speed| speed.to_string()).join(", ")
            );
            self.error(
                &below(at, "line"),
                format!("`{text}` is not a line setting"),
                hint,
            );
            return None;
        };
        let silence_chars = bus.silence_chars.unwrap_or(3.5);
        Some(SerialLine {
            device: PathBuf::from(device?),
            settings,
            echo: bus.echo.unwrap_or(false),
            rs485: bus.rs485.unwrap_or(schema::Rs485::Auto),
            silence_chars: self.within(&below(at, "silence_chars"), silence_chars, 1.5, 100.0),
            software_parity: bus.software_parity.unwrap_or(false),
        })
    }

    fn serial_device(&mut self, at: &Key, device: &str) {
        if !device.starts_with('/') {
            self.error(
                at,
                format!("`{device}` is not an absolute path"),
                "see `ls -l /dev/serial/by-id/`",
            );
        }
        if device.starts_with("/dev/ttyUSB") || device.starts_with("/dev/ttyACM") {
            let hint = "use its name in /dev/serial/by-id/ or /dev/serial/by-path/";
            self.warning(
                at,
                format!("the number of {device} changes when adapters are re-plugged"),
                hint,
            );
        }
    }
}

/// Reads `9600-8E1`, as far as serial drivers and meters know such a line.
fn parse_line(text: &str) -> Option<LineSettings> {
    let settings: LineSettings = text.parse().ok()?;
    let fits = SPEEDS.contains(&settings.baud) && matches!(settings.data_bits, 7 | 8);
    fits.then_some(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_setting_is_speed_and_frame() {
        assert!(parse_line("9600-8E1").is_some() && parse_line("300-7O2").is_some());
        for wrong in [
            "9600",
            "9601-8E1",
            "9600-9E1",
            "9600-8X1",
            "9600-8E3",
            "9600-8E11",
            "-8E1",
        ] {
            assert_eq!(parse_line(wrong), None, "{wrong}");
        }
    }
}
