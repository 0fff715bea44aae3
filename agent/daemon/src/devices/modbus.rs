//! Modbus lines and devices.

use std::{collections::BTreeSet, pin::Pin, time::Duration};

use lamplighter_adapters::{
    bus::{Rs485, SerialOpener, TcpOpener},
    modbus::{Bus, BusHandle, BusSettings, BusState, DeviceStats, ModbusDevice},
    supervise::Limits,
};
use tokio::runtime::Handle;

use super::{Starter, keep::RunningBus};
use crate::{
    config::{self, BusId, BusLine, Config, Device, DeviceKind},
    status::{Wear, WearSource},
    system::Counters,
};

/// The task of a line; it ends when nobody has the way to it any more.
pub(crate) type Owner = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long a device on the network may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// Where a device on the network listens, unless its address says something else.
pub(super) const MODBUS_PORT: u16 = 502;

/// The buses that Modbus devices stand on; a meter owns its line itself.
pub(super) fn buses(config: &Config) -> Vec<(BusId, &config::Bus)> {
    let used: BTreeSet<BusId> = config
        .devices
        .iter()
        .filter_map(|device| match &device.kind {
            DeviceKind::Modbus(modbus) => Some(modbus.bus),
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
    used.into_iter()
        .filter_map(|id| Some((id, config.bus(id)?)))
        .collect()
}

/// The owner of a line, and the way to it. Must be called inside the runtime.
pub(crate) fn open(bus: &config::Bus, seed: u64) -> (BusHandle, BusSettings, Owner) {
    let settings = bus.modbus_settings();
    match &bus.line {
        BusLine::Serial(line) => {
            let (handle, owner) = Bus::new(serial(line), settings.clone(), seed);
            (handle, settings, Box::pin(owner.run()))
        }
        BusLine::RtuOverTcp(address) | BusLine::Tcp(address) => {
            let (handle, owner) =
                Bus::new(tcp_opener(address, MODBUS_PORT), settings.clone(), seed);
            (handle, settings, Box::pin(owner.run()))
        }
    }
}

pub(super) fn serial(line: &config::SerialLine) -> SerialOpener {
    SerialOpener {
        device: line.device.clone(),
        line: line.settings,
        rs485: match line.rs485 {
            config::Rs485::Adapter | config::Rs485::Auto => Rs485::Adapter,
            config::Rs485::Kernel => Rs485::Kernel,
            config::Rs485::RtsHigh => Rs485::RtsHigh,
        },
        echo: line.echo,
    }
}

impl Starter<'_> {
    /// Starts the owner of a line, where none goes on.
    pub(super) fn modbus_bus(&mut self, bus: &config::Bus) -> (BusHandle, BusSettings) {
        let workshop = self.workshop();
        let _there = workshop.as_ref().map(Handle::enter);
        let running = self.kept.buses.remove(&bus.name).unwrap_or_else(|| {
            let (handle, settings, owner) = open(bus, self.seed);
            RunningBus::new(bus, handle, settings, tokio::spawn(owner))
        });
        let ways = (running.handle.clone(), running.settings.clone());
        self.devices.buses.insert(bus.name.clone(), running);
        ways
    }

    pub(super) fn modbus(
        &mut self,
        device: &Device,
        modbus: &config::Modbus,
    ) -> Result<(), String> {
        let (bus, settings) = self
            .buses
            .get(&modbus.bus)
            .ok_or("its bus does not exist")?;
        let adapter = ModbusDevice::new(
            modbus.config.clone(),
            bus.clone(),
            settings,
            self.clock.clone(),
            self.seed,
        )
        .map_err(|problems| {
            problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        })?;
        let counters = Counters::Modbus(adapter.stats());
        self.counters.insert(device.id, counters);
        let (stats, line) = (adapter.stats(), bus.state());
        let wear = WearSource::new(move || wear_of(&stats.borrow(), &line.borrow()));
        self.wear.insert(device.id, wear);
        let points = &modbus.config.points;
        let slowest = points
            .iter()
            .map(|point| point.poll)
            .max()
            .unwrap_or_default();
        let limits = Limits {
            max_age_of: points
                .iter()
                .map(|point| (point.address, 2 * point.poll))
                .collect(),
            stale_after: Some(modbus.stale_after.unwrap_or(3 * slowest)),
            offline_after: modbus.config.offline_after,
            // The device schedules its own probes.
            retry_first: Duration::ZERO,
            retry_max: Duration::ZERO,
            ..Limits::default()
        };
        self.supervise(device.id, adapter, limits);
        Ok(())
    }
}

/// The counters of a device, and the notice of its line.
fn wear_of(stats: &DeviceStats, line: &BusState) -> Wear {
    let counters = [
        ("garbled", stats.garbled),
        ("line_down", stats.line_down),
        ("timeout", stats.timeouts),
    ];
    let counters = counters.map(|(kind, count)| (kind.to_owned(), count));
    let exceptions = stats
        .exceptions
        .iter()
        .map(|(code, count)| (format!("exception_{code}"), *count));
    let refused = stats.refused.iter().map(|range| {
        if range.count == 1 {
            format!("does not have {range}")
        } else {
            format!("does not give {range} at once")
        }
    });
    let notice = Some(line.notice.clone()).filter(|notice| !notice.is_empty());
    let round_trip = stats.round_trip.as_secs_f64() * 1e3;
    Wear {
        errors: counters
            .into_iter()
            .chain(exceptions)
            .filter(|(_, count)| *count > 0)
            .collect(),
        notes: refused.chain(notice).collect(),
        round_trip_ms: (stats.answers > 0).then_some(round_trip),
    }
}

/// `HOST:PORT` as the check let it through; the port of the standard where none can be read.
pub(super) fn tcp_opener(address: &str, default_port: u16) -> TcpOpener {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    TcpOpener {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: port.parse().unwrap_or(default_port),
        connect_timeout: CONNECT,
    }
}
