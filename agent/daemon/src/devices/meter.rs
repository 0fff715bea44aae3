//! Meters behind an optical head.

use lamplighter_adapters::{
    bus::SerialOpener,
    iec62056::{MeterConfig, MeterDevice, line_at},
    meter::{MeterPoint, Obis, Unit},
};

use super::Starter;
use crate::config::{self, BusLine, Device};

impl Starter<'_> {
    /// A meter has its line to itself: one readout may take a minute.
    pub(super) fn meter(
        &mut self,
        device: &Device,
        meter: &config::Iec62056,
    ) -> Result<(), String> {
        let bus = self.config.bus(meter.bus).ok_or("its bus does not exist")?;
        let BusLine::Serial(line) = &bus.line else {
            return Err(format!("bus {} is no serial line", bus.name));
        };
        let config = MeterConfig {
            points: meter.points.iter().map(point).collect::<Result<_, _>>()?,
            address: meter.address.clone(),
            max_speed: meter.max_baud,
            reaction: meter.reaction,
            speed_change_delay: meter.baud_change_delay,
            read_every: meter.period,
            echo: line.echo,
            software_parity: line.software_parity,
            ..MeterConfig::default()
        };
        let mut limits = config.limits();
        limits.stale_after = Some(meter.stale_after);
        let opener = SerialOpener::new(&line.device, line_at(300, line.software_parity));
        let adapter = MeterDevice::new(opener, config, self.clock.clone());
        self.supervise(device.id, adapter, limits);
        Ok(())
    }
}

fn point(point: &config::MeterPoint) -> Result<MeterPoint, String> {
    let obis: Obis = point
        .obis
        .parse()
        .map_err(|_| format!("{} is no OBIS code", point.obis))?;
    let unit = &point.point.unit;
    let unit: Option<Unit> = match unit.as_str() {
        "" => None,
        text => Some(
            text.parse()
                .map_err(|_| format!("no meter counts in {text}"))?,
        ),
    };
    let register = obis.into();
    Ok(MeterPoint {
        unit,
        ..MeterPoint::new(point.point.address, register, point.point.data_type)
    })
}
