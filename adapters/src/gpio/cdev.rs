//! Lines of a Linux GPIO chip by its character device: the chip by its label, the lines by name.
//!
//! The kernel filters bounces, stamps edges and keeps others off the lines. All inputs are one
//! request; outputs are requested by their first Write, those of one Write together.

use std::{collections::BTreeMap, time::Duration};

use gpiocdev::{
    Request,
    chip::{self, Chip},
    line::{self, Offset, Value, Values},
    tokio::AsyncRequest,
};
use lamplighter_model::device::Fault;

use super::{Bias, Direction, Drive, Edge, Line, Lines, age_of};

/// Edges that the kernel keeps for us; the oldest go first.
const KERNEL_EDGES: u32 = 1024;

/// Shown by `gpioinfo` as the user of our lines.
const CONSUMER: &str = "lamplighter";

/// The lines of one chip.
#[derive(Debug, Default)]
pub struct CdevLines {
    /// `pinctrl-rp1`; `None`: the chip that has all lines.
    label: Option<String>,
    /// Offsets of the lines by number, and their chip, once found.
    found: Option<Found>,
    inputs: Option<AsyncRequest>,
    /// The number of the last change of each input.
    numbers: BTreeMap<Offset, u32>,
    /// Outputs that were driven, by request.
    outputs: Vec<Request>,
}

#[derive(Debug)]
struct Found {
    chip: Chip,
    offsets: Vec<Offset>,
}

impl CdevLines {
    /// `label`: of the chip, as `gpiodetect` shows it. Chips change their numbers between kernels,
    /// never their labels.
    pub fn new(label: Option<String>) -> Self {
        Self {
            label,
            ..Self::default()
        }
    }

    fn find(&mut self, lines: &[Line]) -> Result<&Found, Fault> {
        if self.found.is_none() {
            self.found = Some(self.search(lines)?);
        }
        self.found.as_ref().ok_or(Fault::Unreachable)
    }

    fn search(&self, lines: &[Line]) -> Result<Found, Fault> {
        let paths = chip::chips().unwrap_or_default();
        let mut missing = None;
        for path in paths {
            let Ok(chip) = Chip::from_path(&path) else {
                continue;
            };
            let label = chip.info().map(|info| info.label).unwrap_or_default();
            if self.label.as_ref().is_some_and(|wanted| *wanted != label) {
                continue;
            }
            match offsets(&chip, lines, self.label.is_some()) {
                Ok(offsets) => return Ok(Found { chip, offsets }),
                Err(name) => missing = missing.or(Some((name, label))),
            }
        }
        Err(words(match (missing, &self.label) {
            (Some((name, label)), Some(_)) => format!("GPIO chip {label} has no line {name}"),
            (Some(_), None) => {
                "no GPIO chip has all of these lines: name the chip, or use a device per chip"
                    .to_owned()
            }
            (None, Some(label)) => {
                format!("there is no GPIO chip {label}, or it may not be opened (group gpio)")
            }
            (None, None) => "there is no GPIO chip, or none may be opened (group gpio)".to_owned(),
        }))
    }

    /// Why a request failed, where the kernel only says "busy".
    fn refusal(&self, lines: &[Line], wanted: &[usize], error: &gpiocdev::Error) -> Fault {
        let used = self.found.as_ref().and_then(|found| {
            wanted.iter().find_map(|&number| {
                let info = found.chip.line_info(*found.offsets.get(number)?).ok()?;
                (info.used && info.consumer != CONSUMER)
                    .then(|| (lines[number].name.clone(), info.consumer))
            })
        });
        words(match used {
            Some((name, consumer)) if consumer.is_empty() => {
                format!("line {name} is used by the kernel")
            }
            Some((name, consumer)) => format!("line {name} is used by {consumer}"),
            None => format!("the GPIO lines were refused: {error}"),
        })
    }
}

impl Lines for CdevLines {
    const DEBOUNCES: bool = true;

    fn open(&mut self, lines: &[Line]) -> Result<Vec<(usize, bool)>, Fault> {
        self.inputs = None;
        self.numbers.clear();
        self.found = None;
        let wanted: Vec<usize> = numbers(lines, Direction::Input);
        let Found { chip, offsets } = self.find(lines)?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut request = Request::builder();
        request
            .on_chip(chip.path())
            .with_consumer(CONSUMER)
            .with_kernel_event_buffer_size(KERNEL_EDGES);
        for &number in &wanted {
            let line = &lines[number];
            request
                .with_line(offsets[number])
                .as_input()
                .with_bias(bias(line.bias))
                .with_edge_detection(line::EdgeDetection::BothEdges);
            if line.active_low {
                request.as_active_low();
            }
            if !line.debounce.is_zero() {
                request.with_debounce_period(line.debounce);
            }
        }
        let offsets: Vec<Offset> = wanted.iter().map(|&number| offsets[number]).collect();
        let request = request
            .request()
            .map_err(|error| self.refusal(lines, &wanted, &error))?;
        let mut values = Values::from_offsets(&offsets);
        request
            .values(&mut values)
            .map_err(|error| words(format!("the inputs cannot be read: {error}")))?;
        self.inputs = Some(AsyncRequest::new(request));
        let level = |(&number, offset): (&usize, &Offset)| {
            (number, values.get(*offset) == Some(Value::Active))
        };
        Ok(wanted.iter().zip(&offsets).map(level).collect())
    }

    fn drive(&mut self, lines: &[Line], levels: &[(usize, bool)]) -> Result<(), Fault> {
        let Found { chip, offsets } = self.find(lines)?;
        let (path, offsets) = (chip.path().to_owned(), offsets.clone());
        let mut first = Vec::new();
        let mut again: Vec<Values> = self.outputs.iter().map(|_| Values::default()).collect();
        for &(number, level) in levels {
            let offset = *offsets.get(number).ok_or(Fault::Unsupported)?;
            match self
                .outputs
                .iter()
                .position(|request| request.line_config(offset).is_some())
            {
                Some(at) => {
                    again[at].set(offset, level.into());
                }
                None => first.push((number, level)),
            }
        }
        if !first.is_empty() {
            let mut request = Request::builder();
            request.on_chip(path).with_consumer(CONSUMER);
            for &(number, level) in &first {
                let line = &lines[number];
                request
                    .with_line(offsets[number])
                    .as_output(level.into())
                    .with_bias(bias(line.bias))
                    .with_drive(drive(line.drive));
                if line.active_low {
                    request.as_active_low();
                }
            }
            let wanted: Vec<usize> = first.iter().map(|(number, _)| *number).collect();
            let request = request
                .request()
                .map_err(|error| self.refusal(lines, &wanted, &error))?;
            self.outputs.push(request);
        }
        for (request, values) in self
            .outputs
            .iter()
            .zip(&again)
            .filter(|(_, values)| !values.is_empty())
        {
            let result = request.set_values(values);
            result.map_err(|error| words(format!("the outputs cannot be driven: {error}")))?;
        }
        Ok(())
    }

    async fn edge(&mut self) -> Result<Edge, Fault> {
        let (Some(inputs), Some(found)) = (&self.inputs, &self.found) else {
            return std::future::pending().await;
        };
        loop {
            let event = inputs.read_edge_event().await;
            let event =
                event.map_err(|error| words(format!("the inputs cannot be watched: {error}")))?;
            if let Some(line) = found
                .offsets
                .iter()
                .position(|offset| *offset == event.offset)
            {
                let level = event.kind == line::EdgeKind::Rising;
                let last = self.numbers.insert(event.offset, event.line_seqno);
                let step = event.line_seqno.wrapping_sub(last.unwrap_or(0));
                return Ok(Edge {
                    missed: step.saturating_sub(1),
                    line,
                    level,
                    age: age_of(Duration::from_nanos(event.timestamp_ns)),
                });
            }
        }
    }
}

/// The offsets of lines by name, or of an unnamed line by its number on a chip that is named; else
/// the name that is missing.
fn offsets(chip: &Chip, lines: &[Line], is_named: bool) -> Result<Vec<Offset>, String> {
    let offset = |line: &Line| {
        let by_name = chip.find_line_info(&line.name).map(|info| info.offset);
        let by_number = || {
            line.name
                .parse()
                .ok()
                .filter(|offset| is_named && chip.line_info(*offset).is_ok())
        };
        by_name.or_else(by_number).ok_or_else(|| line.name.clone())
    };
    lines.iter().map(offset).collect()
}

fn numbers(lines: &[Line], direction: Direction) -> Vec<usize> {
    lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.direction == direction)
        .map(|(number, _)| number)
        .collect()
}

const fn bias(bias: Bias) -> Option<line::Bias> {
    match bias {
        Bias::AsIs => None,
        Bias::Disabled => Some(line::Bias::Disabled),
        Bias::PullDown => Some(line::Bias::PullDown),
        Bias::PullUp => Some(line::Bias::PullUp),
    }
}

const fn drive(drive: Drive) -> line::Drive {
    match drive {
        Drive::OpenDrain => line::Drive::OpenDrain,
        Drive::OpenSource => line::Drive::OpenSource,
        Drive::PushPull => line::Drive::PushPull,
    }
}

const fn words(text: String) -> Fault {
    Fault::Device(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chip_that_is_not_there_is_named() {
        let line = Line {
            name: "GPIO5".into(),
            direction: Direction::Input,
            active_low: false,
            bias: Bias::AsIs,
            drive: Drive::PushPull,
            debounce: Duration::ZERO,
        };
        let fault = CdevLines::new(Some("pinctrl-none".into()))
            .open(&[line])
            .unwrap_err();
        assert_eq!(
            fault.to_string(),
            "there is no GPIO chip pinctrl-none, or it may not be opened (group gpio)"
        );
    }
}
