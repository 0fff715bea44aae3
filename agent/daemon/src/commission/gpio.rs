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
        }));
    }
    lines
}
