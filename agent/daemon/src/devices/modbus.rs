//! Modbus lines and devices.

use std::{collections::BTreeSet, time::Duration};

use lamplighter_adapters::{
    bus::{LineParity, LineSettings, SerialOpener, TcpOpener},
    modbus::{
        Addressing, Bus, BusHandle, BusSettings, DeviceConfig, Framing, ModbusDevice, Order, PointCodec, PointConfig,
        Probe, ReadConfig, RegisterRange, RegisterType, Scaling, Table, Verify, WriteConfig, WriteFunction,
    },
    supervise::Limits,
};
use lamplighter_model::object::Operations;

use super::Starter;
use crate::config::{self, BusId, BusLine, Config, Device, DeviceKind, Parity, Raw, SerialLine};

/// How long a device on the network may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// The buses that Modbus devices stand on; a meter owns its line itself.
pub(super) fn buses(config: &Config) -> Vec<(BusId, &config::Bus)> {
    let used: BTreeSet<BusId> = config
        .devices
        .iter()
        .filter_map(|device| match &device.kind {
            DeviceKind::Modbus(modbus) => Some(modbus.bus),
            DeviceKind::Gpio(_) | DeviceKind::Iec62056(_) | DeviceKind::Sim(_) => None,
        })
        .collect();
    used.into_iter().filter_map(|id| Some((id, config.bus(id)?))).collect()
}

/// The line as the bus master sees it; `check` makes its plan from the same.
pub fn settings(bus: &config::Bus) -> BusSettings {
    let framing = match &bus.line {
        BusLine::RtuOverTcp(_) => Framing::RtuOverTcp,
        BusLine::Serial(line) => Framing::Rtu(line_settings(line)),
        BusLine::Tcp(_) => Framing::Tcp,
    };
    let mut settings = BusSettings::new(bus.name.clone(), framing);
    if let BusLine::Serial(line) = &bus.line {
        settings.silence_chars = line.silence_chars as f32;
        settings.echo = line.echo;
    }
    settings.gap = bus.gap;
    (settings.reopen_first, settings.reopen_max) = bus.reopen;
    settings.poll_floor_percent = (bus.poll_floor * 100.0).round() as u32;
    settings
}

/// A device as its adapter sees it; `check` makes its plan from the same.
pub fn device_config(device: &Device, modbus: &config::Modbus) -> DeviceConfig {
    let mut made = DeviceConfig::new(device.name.clone(), modbus.unit);
    made.timeout = modbus.timeout;
    made.retries = modbus.retries;
    made.max_registers = modbus.max_registers;
    made.holes = modbus.holes.iter().map(|hole| hole_of(*hole)).collect();
    // The configuration has turned all addresses into those on the wire.
    made.addressing = Addressing::ZeroBased;
    made.offline_after = u32::from(modbus.offline_after);
    made.probe = Probe { first: modbus.probe.first, max: modbus.probe.max, timeout: modbus.probe.timeout };
    made.points = modbus.points.iter().map(point_config).collect();
    made
}

impl Starter<'_> {
    /// Starts the owner of a line.
    pub(super) fn modbus_bus(&mut self, bus: &config::Bus) -> (BusHandle, BusSettings) {
        let settings = settings(bus);
        let seed = self.seed;
        let handle = match &bus.line {
            BusLine::Serial(line) => {
                let opener = SerialOpener { device: line.device.clone(), line: line_settings(line) };
                let (handle, owner) = Bus::new(opener, settings.clone(), seed);
                self.task(owner.run());
                handle
            }
            BusLine::RtuOverTcp(address) | BusLine::Tcp(address) => {
                let (host, port) = host_and_port(address);
                let (handle, owner) = Bus::new(TcpOpener { host, port, connect_timeout: CONNECT }, settings.clone(), seed);
                self.task(owner.run());
                handle
            }
        };
        (handle, settings)
    }

    pub(super) fn modbus(&mut self, device: &Device, modbus: &config::Modbus) -> Result<(), String> {
        let (bus, settings) = self.buses.get(&modbus.bus).ok_or("its bus does not exist")?;
        let made = device_config(device, modbus);
        let adapter = ModbusDevice::new(made, bus.clone(), settings, self.clock.clone(), self.seed)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))?;
        let slowest = modbus.points.iter().map(|point| point.poll).max().unwrap_or_default();
        let limits = Limits {
            max_age_of: modbus.points.iter().map(|point| (point.point.address, 2 * point.poll)).collect(),
            stale_after: Some(modbus.stale_after.unwrap_or(3 * slowest)),
            offline_after: u32::from(modbus.offline_after),
            ..Limits::default()
        };
        self.supervise(device.id, adapter, limits);
        Ok(())
    }
}

fn line_settings(line: &SerialLine) -> LineSettings {
    LineSettings {
        baud: line.baud,
        data_bits: line.data_bits,
        parity: match line.parity {
            Parity::Even => LineParity::Even,
            Parity::None => LineParity::None,
            Parity::Odd => LineParity::Odd,
        },
        stop_bits: line.stop_bits,
    }
}

/// `HOST:PORT` as the check let it through; the port of the standard where none can be read.
fn host_and_port(address: &str) -> (String, u16) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    (host.trim_matches(['[', ']']).to_owned(), port.parse().unwrap_or(502))
}

fn hole_of(hole: config::Hole) -> RegisterRange {
    RegisterRange { table: table(hole.table), at: hole.first, count: hole.last - hole.first + 1 }
}

fn point_config(point: &config::ModbusPoint) -> PointConfig {
    let (table, at) = (table(point.table), u32::from(point.at));
    let operations = if point.point.writable { Operations::RW } else { Operations::R };
    PointConfig {
        name: point.point.name.clone(),
        address: point.point.address,
        operations,
        read: Some(ReadConfig { table, at }),
        write: point.write.map(|write| WriteConfig {
            table,
            at,
            function: match write.function {
                config::WriteFunction::WriteCoil | config::WriteFunction::WriteSingle => WriteFunction::Single,
                config::WriteFunction::WriteMultiple => WriteFunction::Multiple,
            },
            verify: match write.verify {
                config::Verify::Answer => None,
                config::Verify::ReadBack => Some(Verify { tolerance: tolerance(write.tolerance), settle: write.settle }),
            },
        }),
        codec: PointCodec {
            kind: register_type(point.raw),
            order: match point.order {
                config::Order::Abcd => Order::Abcd,
                config::Order::Badc => Order::Badc,
                config::Order::Cdab => Order::Cdab,
                config::Order::Dcba => Order::Dcba,
            },
            scaling: Scaling { scale: point.scale, offset: point.offset },
            map: point.map.clone(),
            invalid: point.invalid.clone(),
            valid: point.valid,
            data_type: point.point.data_type,
        },
        poll: point.poll,
    }
}

/// Configured as a number that people write; its shortest decimal is what they wrote.
fn tolerance(tolerance: Option<f64>) -> Option<lamplighter_model::Decimal> {
    tolerance?.to_string().parse().ok()
}

const fn table(table: config::Table) -> Table {
    match table {
        config::Table::Coil => Table::Coil,
        config::Table::Discrete => Table::Discrete,
        config::Table::Holding => Table::Holding,
        config::Table::Input => Table::Input,
    }
}

const fn register_type(raw: Raw) -> RegisterType {
    match raw {
        Raw::Bit => RegisterType::Bool,
        Raw::BitOf(bit) => RegisterType::Bit(bit),
        Raw::Number(config::RegisterType::F32) => RegisterType::F32,
        Raw::Number(config::RegisterType::F64) => RegisterType::F64,
        Raw::Number(config::RegisterType::I16) => RegisterType::I16,
        Raw::Number(config::RegisterType::I32) => RegisterType::I32,
        Raw::Number(config::RegisterType::I64) => RegisterType::I64,
        Raw::Number(config::RegisterType::U16) => RegisterType::U16,
        Raw::Number(config::RegisterType::U32) => RegisterType::U32,
        Raw::Number(config::RegisterType::U64) => RegisterType::U64,
        // The configuration asks for the length of a text beside its type.
        Raw::Number(config::RegisterType::String) => RegisterType::Text(1),
        Raw::Text(registers) => RegisterType::Text(registers),
    }
}
