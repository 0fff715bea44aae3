//! Receivers that tell where the box is.

use lamplighter_adapters::{
    bus::{Opener, Rs485, SerialOpener, TcpOpener},
    location::{self, Decode, LocationConfig, gpsd::Gpsd, nmea::Nmea},
};

use super::{Starter, modbus::tcp_opener};
use crate::config::{BusLine, Device, Location, LocationSource};

/// Of gpsd, where the address says none.
const GPSD_PORT: u16 = 2947;

impl Starter<'_> {
    pub(super) fn location(&mut self, device: &Device, location: &Location) -> Result<(), String> {
        match &location.source {
            LocationSource::Gpsd { address, receiver } => {
                let opener: TcpOpener = tcp_opener(address, GPSD_PORT);
                self.receiver(device, location, opener, Gpsd::new(receiver.clone()));
            }
            LocationSource::Nmea(bus) => {
                let bus = self.config.bus(*bus).ok_or("its bus does not exist")?;
                match &bus.line {
                    BusLine::Serial(line) => {
                        let opener = SerialOpener {
                            device: line.device.clone(),
                            line: line.settings,
                            rs485: Rs485::Adapter,
                            echo: false,
                        };
                        self.receiver(device, location, opener, Nmea::default());
                    }
                    BusLine::RtuOverTcp(address) | BusLine::Tcp(address) => {
                        let opener = tcp_opener(address, 0);
                        self.receiver(device, location, opener, Nmea::default());
                    }
                }
            }
        }
        Ok(())
    }

    fn receiver<O: Opener, D: Decode>(
        &mut self,
        device: &Device,
        location: &Location,
        opener: O,
        decoder: D,
    ) {
        let points = location.points.iter();
        let config = LocationConfig {
            points: points
                .map(|point| location::LocationPoint {
                    address: point.point.address,
                    quantity: point.quantity,
                })
                .collect(),
            every: location.every,
            stale_after: location.stale_after,
            max_speed: location.max_speed_kmh / 3.6,
        };
        let limits = config.limits();
        let clock = self.clock.clone();
        let adapter = location::Location::new(opener, decoder, config, clock, self.seed);
        self.supervise(device.id, adapter, limits);
    }
}
