//! Meters of all families.

use lamplighter_adapters::{
    Adapter, Clock,
    bus::{LineSettings, SerialOpener},
    iec62056::{self, MeterDevice, line_at},
    meter::{Board, MeterPoint, PushConfig, PushDevice, Telegrams},
    p1::TextTelegrams,
    sml::SmlTelegrams,
    supervise::Limits,
};

use super::Starter;
use crate::{
    config::{self, BusLine, Device, MeterKind, SerialLine},
    status::{Wear, WearSource},
};

/// What becomes of a meter's adapter: supervised in the agent, read once by the command line.
pub(crate) trait Use {
    type Out;

    fn with<A: Adapter>(self, adapter: A, limits: Limits, board: Board) -> Self::Out;
}

/// The adapter of a meter. A meter has its line to itself: one readout may take a minute.
pub(crate) fn make<U: Use>(
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
        let supervised = Supervised {
            starter: self,
            device,
            meter,
        };
        make(meter, bus, clock, supervised)
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
