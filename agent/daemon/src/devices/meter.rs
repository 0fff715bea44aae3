//! Meters of all families.

use lamplighter_adapters::{
    Adapter,
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

impl Starter<'_> {
    /// A meter has its line to itself: one readout may take a minute.
    pub(super) fn meter(&mut self, device: &Device, meter: &config::Meter) -> Result<(), String> {
        let bus = self.config.bus(meter.bus).ok_or("its bus does not exist")?;
        let BusLine::Serial(line) = &bus.line else {
            return Err(format!("bus {} is no serial line", bus.name));
        };
        let points = meter.points.iter().map(|point| point.config.clone());
        let points: Vec<MeterPoint> = points.collect();
        match &meter.kind {
            MeterKind::Iec62056(asked) => {
                let config = iec62056::MeterConfig {
                    points,
                    echo: line.echo,
                    software_parity: line.software_parity,
                    ..asked.clone()
                };
                let limits = config.limits();
                let opener = SerialOpener::new(&line.device, line_at(300, line.software_parity));
                let adapter = MeterDevice::new(opener, config, self.clock.clone());
                let board = adapter.board();
                self.supervise_meter(device, meter, adapter, limits, board);
            }
            MeterKind::ModeD | MeterKind::P1 => {
                let telegrams = TextTelegrams::new(line.software_parity);
                let config = PushConfig::new(points, meter.stale_after);
                self.pushing(device, meter, (line, config), telegrams);
            }
            MeterKind::Sml { server_id } => {
                let config = PushConfig {
                    serial: server_id.clone(),
                    ..PushConfig::new(points, meter.stale_after)
                };
                self.pushing(device, meter, (line, config), SmlTelegrams::default());
            }
        }
        Ok(())
    }

    /// A meter that sends by itself.
    fn pushing<T: Telegrams + Sync>(
        &mut self,
        device: &Device,
        meter: &config::Meter,
        (line, config): (&SerialLine, PushConfig),
        telegrams: T,
    ) {
        let limits = config.limits();
        let opener = SerialOpener::new(&line.device, on_the_wire(line));
        let adapter = PushDevice::new(opener, telegrams, config, self.clock.clone());
        let board = adapter.board();
        self.supervise_meter(device, meter, adapter, limits, board);
    }

    fn supervise_meter<A: Adapter>(
        &mut self,
        device: &Device,
        meter: &config::Meter,
        adapter: A,
        mut limits: Limits,
        board: Board,
    ) {
        limits.stale_after = Some(meter.stale_after);
        let wear = WearSource::new(move || wear_of(&board));
        self.wear.insert(device.id, wear);
        self.supervise(device.id, adapter, limits);
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
