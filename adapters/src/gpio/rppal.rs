//! Lines of a Raspberry Pi through rppal, which writes the chip's registers. It is no longer
//! maintained upstream: `cdev` is the default, this one is for systems without character devices.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use lamplighter_model::device::Fault;
use rppal::gpio::{Event, Gpio, InputPin, Level, OutputPin, Trigger};
use tokio::sync::mpsc;

use super::{Bias, Direction, Drive, Edge, Line, Lines, age_of};

/// Edges waiting for the adapter; more are dropped, the level is then read.
const EDGES: usize = 1024;

/// The header pins; lines are named `GPIO17` as elsewhere.
#[derive(Debug)]
pub struct RppalLines {
    gpio: Option<Gpio>,
    /// By line number, with what is active.
    inputs: Vec<(usize, InputPin, bool)>,
    outputs: Vec<(usize, OutputPin)>,
    /// Edges for which the queue had no room, by line number.
    dropped: BTreeMap<usize, Arc<AtomicU32>>,
    edges: mpsc::Receiver<(usize, Event)>,
    sender: mpsc::Sender<(usize, Event)>,
}

impl Default for RppalLines {
    fn default() -> Self {
        let (sender, edges) = mpsc::channel(EDGES);
        Self {
            gpio: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            dropped: BTreeMap::new(),
            edges,
            sender,
        }
    }
}

impl RppalLines {
    fn gpio(&mut self) -> Result<Gpio, Fault> {
        if let Some(gpio) = &self.gpio {
            return Ok(gpio.clone());
        }
        let gpio = Gpio::new().map_err(|error| words(&error))?;
        self.gpio = Some(gpio.clone());
        Ok(gpio)
    }

    fn input(&mut self, number: usize, line: &Line) -> Result<bool, Fault> {
        let pin = self
            .gpio()?
            .get(pin(line)?)
            .map_err(|error| words(&error))?;
        let mut pin = match line.bias {
            Bias::AsIs | Bias::Disabled => pin.into_input(),
            Bias::PullDown => pin.into_input_pulldown(),
            Bias::PullUp => pin.into_input_pullup(),
        };
        let sender = self.sender.clone();
        let debounce = Some(line.debounce).filter(|debounce| !debounce.is_zero());
        // A full queue drops the edge: the next one tells the level again, and how many are missing.
        let dropped = Arc::clone(self.dropped.entry(number).or_default());
        let tell = move |event| {
            if sender.try_send((number, event)).is_err() {
                dropped.fetch_add(1, Ordering::Relaxed);
            }
        };
        pin.set_async_interrupt(Trigger::Both, debounce, tell)
            .map_err(|error| words(&error))?;
        let level = is_active(pin.read(), line.active_low);
        self.inputs.push((number, pin, line.active_low));
        Ok(level)
    }

    fn output(&mut self, number: usize, line: &Line, level: bool) -> Result<(), Fault> {
        let is_high = level != line.active_low;
        if let Some((_, pin)) = self.outputs.iter_mut().find(|(other, _)| *other == number) {
            pin.write(Level::from(is_high));
            return Ok(());
        }
        if (line.drive, line.bias) != (Drive::PushPull, Bias::AsIs) {
            return Err(Fault::Device(format!(
                "rppal drives {} push-pull without bias only",
                line.name
            )));
        }
        let pin = self
            .gpio()?
            .get(pin(line)?)
            .map_err(|error| words(&error))?;
        let mut pin = if is_high {
            pin.into_output_high()
        } else {
            pin.into_output_low()
        };
        pin.set_reset_on_drop(false);
        self.outputs.push((number, pin));
        Ok(())
    }
}

impl Lines for RppalLines {
    const DEBOUNCES: bool = true;

    fn open(&mut self, lines: &[Line]) -> Result<Vec<(usize, bool)>, Fault> {
        self.inputs.clear();
        let inputs = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.direction == Direction::Input);
        inputs
            .map(|(number, line)| Ok((number, self.input(number, line)?)))
            .collect()
    }

    fn drive(&mut self, lines: &[Line], levels: &[(usize, bool)]) -> Result<(), Fault> {
        for &(number, level) in levels {
            let line = lines.get(number).ok_or(Fault::Unsupported)?;
            self.output(number, line, level)?;
        }
        Ok(())
    }

    /// By software: the hardware's channels are on other pins on every board, and need an overlay.
    fn dim(
        &mut self,
        (number, line): (usize, &Line),
        hertz: u16,
        percent: u8,
    ) -> Result<(), Fault> {
        // A line that is new begins off, and is never on for longer than its level.
        if !self.outputs.iter().any(|(other, _)| *other == number) {
            self.output(number, line, percent == 100)?;
        }
        let Some((_, pin)) = self.outputs.iter_mut().find(|(other, _)| *other == number) else {
            return Err(Fault::Unreachable);
        };
        if percent == 0 || percent == 100 {
            pin.clear_pwm().map_err(|error| words(&error))?;
            pin.write(Level::from((percent == 100) != line.active_low));
            return Ok(());
        }
        let high = if line.active_low {
            100 - percent
        } else {
            percent
        };
        pin.set_pwm_frequency(f64::from(hertz), f64::from(high) / 100.0)
            .map_err(|error| words(&error))
    }

    async fn edge(&mut self) -> Result<Edge, Fault> {
        loop {
            let Some((line, event)) = self.edges.recv().await else {
                return std::future::pending().await;
            };
            let Some((_, _, active_low)) = self.inputs.iter().find(|(number, ..)| *number == line)
            else {
                continue;
            };
            let level = (event.trigger == Trigger::RisingEdge) != *active_low;
            let dropped = self.dropped.get(&line);
            return Ok(Edge {
                missed: dropped.map_or(0, |dropped| dropped.swap(0, Ordering::Relaxed)),
                line,
                level,
                age: age_of(event.timestamp),
            });
        }
    }
}

fn is_active(level: Level, active_low: bool) -> bool {
    (level == Level::High) != active_low
}

fn pin(line: &Line) -> Result<u8, Fault> {
    let number = line.name.strip_prefix("GPIO").unwrap_or(&line.name);
    number
        .parse()
        .map_err(|_| Fault::Device(format!("{} is no pin of a Raspberry Pi", line.name)))
}

fn words(error: &rppal::gpio::Error) -> Fault {
    Fault::Device(format!("GPIO: {error}"))
}
