//! Which GPIO lines are points.

use serde::{Deserialize, Serialize};

use crate::config::{Backend, Config, DeviceKind, Direction};

/// One of `GET /gpio`: a configured line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GpioLine {
    /// Label of its chip; `null`: the one that has the lines of its device.
    pub chip: Option<String>,
    /// There in memory only.
    pub simulated: bool,
    pub line: String,
    pub output: bool,
    pub active_low: bool,
    /// `lamps.l1`
    pub point: String,
    /// The pin of a Raspberry Pi that it is, where the agent drives its registers: the kernel does
    /// not know of that.
    #[serde(default)]
    pub pin: Option<u8>,
}

/// The pin of a Raspberry Pi: `GPIO17`, or `17`.
pub(crate) fn pin_of(line: &str) -> Option<u8> {
    line.strip_prefix("GPIO").unwrap_or(line).parse().ok()
}

/// All that are configured.
pub(crate) fn lines(config: &Config) -> Vec<GpioLine> {
    let mut lines = Vec::new();
    for device in &config.devices {
        let DeviceKind::Gpio(gpio) = &device.kind else {
            continue;
        };
        lines.extend(gpio.points.iter().map(|point| GpioLine {
            chip: gpio.chip.clone(),
            simulated: gpio.backend == Backend::Sim,
            line: point.line.clone(),
            output: matches!(point.direction, Direction::Output { .. }),
            active_low: point.active_low,
            point: point.point.name.clone(),
            pin: pin_of(&point.line).filter(|_| gpio.backend == Backend::Rppal),
        }));
    }
    lines
}
