//! Meters of all families.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use lamplighter_adapters::{
    Adapter, Clock,
    bus::{LineOpener, LineSettings, SerialOpener, SharedLine, SharedSettings, TcpOpener},
    dlms::DlmsDevice,
    iec62056::{self, MeterDevice, line_at},
    mbus::MbusDevice,
    meter::{Board, Counters, MeterPoint, PushConfig, PushDevice, Telegrams},
    p1::TextTelegrams,
    sml::SmlTelegrams,
    supervise::Limits,
};

use super::{
    Starter,
    counter::KeptCounter,
    modbus::{CONNECT, host_and_port, serial},
};
use crate::{
    config::{self, BusId, BusLine, Device, MeterKind, SerialLine},
    status::{Wear, WearSource},
};

/// What becomes of a meter's adapter: supervised in the agent, read once by the command line.
pub(crate) trait Use {
    type Out;

    fn with<A: Adapter>(self, adapter: A, limits: Limits, board: Board) -> Self::Out;
}

/// Lines that meters share, as far as they were made, and where their counters are kept.
#[derive(Debug)]
pub(crate) struct Lines {
    lines: BTreeMap<BusId, SharedLine<LineOpener>>,
    counters: PathBuf,
    seed: u64,
}

impl Lines {
    /// `state_dir`: where counters are kept that may never be used twice.
    pub(crate) fn new(state_dir: &Path, seed: u64) -> Self {
        Self {
            lines: BTreeMap::new(),
            counters: state_dir.join("dlms"),
            seed,
        }
    }

    fn line(&mut self, id: BusId, bus: &config::Bus) -> SharedLine<LineOpener> {
        let made = self.lines.entry(id);
        let line = made.or_insert_with(|| {
            let settings = SharedSettings {
                name: bus.name.clone(),
                reopen_first: bus.reopen.0,
                reopen_max: bus.reopen.1,
                connect_pause: bus.connect_pause,
            };
            SharedLine::new(opener(bus), settings, self.seed)
        });
        line.clone()
    }
}

fn opener(bus: &config::Bus) -> LineOpener {
    match &bus.line {
        BusLine::Serial(line) => LineOpener::Serial(serial(line)),
        BusLine::RtuOverTcp(address) | BusLine::Tcp(address) => {
            let (host, port) = host_and_port(address);
            LineOpener::Tcp(TcpOpener {
                host,
                port,
                connect_timeout: CONNECT,
            })
        }
    }
}

/// The adapter of a meter.
pub(crate) fn make<U: Use>(
    (name, meter): (&str, &config::Meter),
    bus: &config::Bus,
    clock: Clock,
    lines: &mut Lines,
    user: U,
) -> Result<U::Out, String> {
    let counters = Counters::default();
    match &meter.kind {
        MeterKind::Dlms(config) => {
            let mut limits = config.limits();
            limits.stale_after = Some(meter.stale_after);
            let line = lines.line(meter.bus, bus);
            let counter = KeptCounter::new(&lines.counters, name);
            let adapter = DlmsDevice::new(line, config.clone(), counters, counter, clock);
            let board = adapter.board();
            Ok(user.with(adapter, limits, board))
        }
        MeterKind::Mbus(config) => {
            let mut limits = config.limits();
            limits.stale_after = Some(meter.stale_after);
            let line = lines.line(meter.bus, bus);
            let adapter = MbusDevice::new(line, config.clone(), counters, clock);
            let board = adapter.board();
            Ok(user.with(adapter, limits, board))
        }
        MeterKind::Iec62056(_) | MeterKind::ModeD | MeterKind::P1 | MeterKind::Sml { .. } => {
            alone(meter, bus, clock, user)
        }
    }
}

/// The adapter of a meter that has its line to itself: one readout may take a minute.
fn alone<U: Use>(
    meter: &config::Meter,
    bus: &config::Bus,
    clock: Clock,
    user: U,
) -> Result<U::Out, String> {
    let BusLine::Serial(line) = &bus.line else {
        return Err(format!("bus {} is no serial line", bus.name));
    };
    let points = meter.points.iter().map(|point| point.config.clone());
    let points: Vec<MeterPoint> = points.collect();
    let config = PushConfig::new(points, meter.stale_after);
    Ok(match &meter.kind {
        MeterKind::Iec62056(asked) => {
            let config = iec62056::MeterConfig {
                points: config.points,
                echo: line.echo,
                software_parity: line.software_parity,
                ..asked.clone()
            };
            let mut limits = config.limits();
            limits.stale_after = Some(meter.stale_after);
            let opener = SerialOpener::new(&line.device, line_at(300, line.software_parity));
            let adapter = MeterDevice::new(opener, config, clock);
            let board = adapter.board();
            user.with(adapter, limits, board)
        }
        MeterKind::ModeD | MeterKind::P1 => {
            let telegrams = TextTelegrams::new(line.software_parity);
            pushing(line, config, clock, telegrams, user)
        }
        MeterKind::Sml { server_id } => {
            let serial = server_id.clone();
            let config = PushConfig { serial, ..config };
            pushing(line, config, clock, SmlTelegrams::default(), user)
        }
        MeterKind::Dlms(_) | MeterKind::Mbus(_) => return Err("it shares its line".to_owned()),
    })
}

/// A meter that sends by itself.
fn pushing<T: Telegrams + Sync, U: Use>(
    line: &SerialLine,
    config: PushConfig,
    clock: Clock,
    telegrams: T,
    user: U,
) -> U::Out {
    let limits = config.limits();
    let opener = SerialOpener::new(&line.device, on_the_wire(line));
    let adapter = PushDevice::new(opener, telegrams, config, clock);
    let board = adapter.board();
    user.with(adapter, limits, board)
}

impl Starter<'_> {
    pub(super) fn meter(&mut self, device: &Device, meter: &config::Meter) -> Result<(), String> {
        let bus = self.config.bus(meter.bus).ok_or("its bus does not exist")?;
        let clock = self.clock.clone();
        let mut lines = self.lines.take().ok_or("its lines are in use")?;
        let supervised = Supervised {
            starter: self,
            device,
            meter,
        };
        let made = make((&device.name, meter), bus, clock, &mut lines, supervised);
        self.lines = Some(lines);
        made
    }
}

struct Supervised<'a, 's> {
    starter: &'a mut Starter<'s>,
    device: &'a Device,
    meter: &'a config::Meter,
}

impl Use for Supervised<'_, '_> {
    type Out = ();

    fn with<A: Adapter>(self, adapter: A, limits: Limits, board: Board) {
        let Self {
            starter,
            device,
            meter,
        } = self;
        starter.meters.add(&device.name, meter, board.clone());
        let wear = WearSource::new(move || wear_of(&board));
        starter.wear.insert(device.id, wear);
        starter.supervise(device.id, adapter, limits);
    }
}

/// Parity that is made in software is a bit of data to the port.
fn on_the_wire(line: &SerialLine) -> LineSettings {
    if line.software_parity {
        line_at(line.settings.baud, true)
    } else {
        line.settings
    }
}

/// What went wrong so far, and what is wrong with the last readout.
fn wear_of(board: &Board) -> Wear {
    let view = board.view();
    let errors = view.errors.into_iter();
    Wear {
        errors: errors
            .map(|(kind, count)| (kind.to_owned(), count))
            .collect(),
        notes: view.failure.into_iter().chain(view.remarks).collect(),
        round_trip_ms: view.took.map(|took| took.as_secs_f64() * 1e3),
    }
}
