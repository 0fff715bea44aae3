//! Meters with a pulse output.

use lamplighter_adapters::{
    gpio::{Direction, Drive, Line, Lines, sim::SimPins},
    s0::{Quantity, S0, S0Config, S0Point},
    supervise::Limits,
};
use lamplighter_model::{ResourceAddress, ResourceId};

use super::Starter;
use crate::{
    config::{self, Backend, Device},
    status::{Wear, WearSource},
    store::PulseFile,
};

/// Reset Cumulative energy, of the object that shows the counter.
const RESET: ResourceId = ResourceId(5822);

impl Starter<'_> {
    pub(super) fn s0(&mut self, device: &Device, meter: &config::S0) -> Result<(), String> {
        match meter.backend {
            Backend::Auto | Backend::Cdev => self.s0_cdev(device, meter),
            Backend::Rppal => self.s0_rppal(device, meter),
            Backend::Sim => self.pulses(device, meter, SimPins::default().lines()),
        }
    }

    #[cfg(feature = "gpio-cdev")]
    fn s0_cdev(&mut self, device: &Device, meter: &config::S0) -> Result<(), String> {
        self.pulses(
            device,
            meter,
            lamplighter_adapters::gpio::cdev::CdevLines::new(meter.chip.clone()),
        )
    }

    #[cfg(not(feature = "gpio-cdev"))]
    #[expect(clippy::unused_self, reason = "the same call as with the feature")]
    fn s0_cdev(&self, _: &Device, _: &config::S0) -> Result<(), String> {
        Err("this build has no backend for the GPIO character device".to_owned())
    }

    #[cfg(feature = "gpio-rppal")]
    fn s0_rppal(&mut self, device: &Device, meter: &config::S0) -> Result<(), String> {
        self.pulses(
            device,
            meter,
            lamplighter_adapters::gpio::rppal::RppalLines::default(),
        )
    }

    #[cfg(not(feature = "gpio-rppal"))]
    #[expect(clippy::unused_self, reason = "the same call as with the feature")]
    fn s0_rppal(&self, _: &Device, _: &config::S0) -> Result<(), String> {
        Err("this build has no rppal backend".to_owned())
    }

    fn pulses(
        &mut self,
        device: &Device,
        meter: &config::S0,
        backend: impl Lines,
    ) -> Result<(), String> {
        let told = meter.points.iter().map(|point| S0Point {
            address: point.point.address,
            quantity: point.quantity,
        });
        let config = S0Config {
            line: Line {
                name: meter.line.clone(),
                direction: Direction::Input,
                active_low: meter.active_low,
                bias: super::gpio::bias(meter.bias),
                drive: Drive::default(),
                debounce: meter.debounce,
            },
            scale: meter.scale,
            start: meter.start,
            points: told.chain(self.resets(meter)).collect(),
            every: meter.every,
            zero_after: meter.zero_after,
        };
        let keep = PulseFile::new(self.state_dir.clone(), &device.name);
        let adapter = S0::new(backend, keep, config, self.clock.clone())?;
        let stats = adapter.stats();
        let wear = WearSource::new(move || {
            let stats = *stats.borrow();
            let errors = [
                ("missed_edges", stats.missed),
                ("ended_without_notice", stats.gaps.into()),
            ];
            let errors = errors.into_iter().filter(|(_, count)| *count > 0);
            Wear {
                errors: errors
                    .map(|(kind, count)| (kind.to_owned(), count))
                    .collect(),
                ..Wear::default()
            }
        });
        self.wear.insert(device.id, wear);
        // Told on change only; what stands still is not old.
        let limits = Limits {
            max_age: 2 * meter.every,
            ..Limits::default()
        };
        self.supervise(device.id, adapter, limits);
        Ok(())
    }

    /// Where the object that shows a counter can be reset, it is this counter that is.
    fn resets(&self, meter: &config::S0) -> Vec<S0Point> {
        let reset = |point: &config::S0Point| {
            let Quantity::Counter(_) = point.quantity else {
                return None;
            };
            let path = point.point.address.path;
            let definition = self.config.definitions.resource(path.object(), RESET)?;
            let address = ResourceAddress {
                path: path.instance.resource(RESET.0),
                ..point.point.address
            };
            definition.operations.execute.then_some(S0Point {
                address,
                quantity: Quantity::Reset,
            })
        };
        meter.points.iter().filter_map(reset).collect()
    }
}
