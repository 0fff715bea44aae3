//! Meters of all families.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lamplighter_adapters::{
    Adapter, Clock,
    bus::{LineOpener, LineSettings, SerialOpener, SharedLine, SharedSettings},
    dlms::DlmsDevice,
    iec62056::{self, MeterDevice, line_at},
    mbus::MbusDevice,
    meter::{Board, Counters, MeterPoint, PushConfig, PushDevice, Telegrams},
    p1::TextTelegrams,
    sml::SmlTelegrams,
    supervise::Limits,
};
use tokio::{task::spawn_blocking, time::Instant};

use super::{
    Starter,
    counter::KeptCounter,
    modbus::{MODBUS_PORT, serial, tcp_opener},
};
use crate::{
    config::{self, BusId, BusLine, Device, MeterKind, SerialLine},
    status::{Wear, WearSource},
    store::CounterFile,
};

/// How often what counters have counted is written where nothing is urgent: a disk wears out.
const KEEP_EVERY: Duration = Duration::from_secs(900);

/// What becomes of a meter's adapter: supervised in the agent, read once by the command line.
pub(crate) trait Use {
    type Out;

    /// What was kept of its counters.
    fn counters(&self) -> Counters {
        Counters::default()
    }

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
            LineOpener::Tcp(tcp_opener(address, MODBUS_PORT))
        }
    }
}

/// The adapter of a meter.
pub(crate) fn make<U: Use>(
    meter: &config::Meter,
    bus: &config::Bus,
    clock: Clock,
    lines: &mut Lines,
    user: U,
) -> Result<U::Out, String> {
    let counters = user.counters();
    match &meter.kind {
        MeterKind::Dlms(config) => {
            let mut limits = config.limits();
            limits.stale_after = Some(meter.stale_after);
            let line = lines.line(meter.bus, bus);
            let counter = Arc::new(KeptCounter::of(&lines.counters, &config.security));
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
    let config = PushConfig {
        counters: user.counters(),
        ..PushConfig::new(points, meter.stale_after)
    };
    Ok(match &meter.kind {
        MeterKind::Iec62056(asked) => {
            let config = iec62056::MeterConfig {
                points: config.points,
                counters: config.counters,
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
        let made = make(meter, bus, clock, &mut lines, supervised);
        self.lines = Some(lines);
        made
    }
}

struct Supervised<'a, 's> {
    starter: &'a mut Starter<'s>,
    device: &'a Device,
    meter: &'a config::Meter,
}

impl Supervised<'_, '_> {
    fn file(&self) -> CounterFile {
        CounterFile::new(&self.starter.state_dir, &self.device.name)
    }

    /// Those that count.
    fn points(&self) -> Vec<MeterPoint> {
        let points = self.meter.points.iter().map(|point| &point.config);
        points.filter(|point| point.monotonic).cloned().collect()
    }
}

/// Keeps what counters have counted: an exchange and a smaller number at once, else now and then.
async fn keep(board: Board, file: CounterFile, points: Vec<MeterPoint>) {
    if points.is_empty() {
        return;
    }
    let mut view = board.watch();
    let mut kept = view.borrow().counters.believed();
    let mut due = Instant::now();
    let mut ended = 0;
    loop {
        let believed = match view.wait_for(|view| view.ended != ended).await {
            Ok(view) => {
                ended = view.ended;
                view.counters.believed()
            }
            Err(_) => return,
        };
        if believed == kept || (Instant::now() < due && !believed.is_urgent_after(&kept)) {
            continue;
        }
        kept.clone_from(&believed);
        due = Instant::now() + KEEP_EVERY;
        let (file, points) = (file.clone(), points.clone());
        // One after the other, on a thread that may wait for the disk.
        let _ = spawn_blocking(move || file.save(believed, &points)).await;
    }
}

impl Use for Supervised<'_, '_> {
    type Out = ();

    fn counters(&self) -> Counters {
        self.file().load(&self.points())
    }

    fn with<A: Adapter>(self, adapter: A, limits: Limits, board: Board) {
        let (file, points) = (self.file(), self.points());
        let Self {
            starter,
            device,
            meter,
        } = self;
        starter.task(keep(board.clone(), file, points));
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
