//! Lines of real chips.

use lamplighter_adapters::gpio::look::{self, ChipView, Held, LookError};
use serde_json::Value;

use super::Row;
use crate::{
    cli::exit::{Exit, Failure},
    commission::GpioLine,
};

pub(super) fn rows(known: &[GpioLine]) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    let chips = look::chips().map_err(failure)?;
    for chip in &chips {
        for line in &chip.lines {
            let place = (chip.name.as_str(), line.number);
            let point = known.iter().find(|known| has(&chips, known, place));
            rows.push(Row {
                chip: chip.label.clone(),
                line: line.name.clone(),
                number: Some(line.number),
                direction: if line.is_output { "output" } else { "input" },
                user: line.user.clone(),
                point: point.map(|known| known.point.clone()),
                value: Value::Null,
                quality: None,
            });
        }
    }
    Ok(rows)
}

/// The point that has a line, whatever either calls it.
pub(super) fn owner<'a>(
    known: &'a [GpioLine],
    chip: Option<&str>,
    line: &str,
) -> Option<&'a GpioLine> {
    // Without chips nothing can be driven.
    let chips = look::chips().ok()?;
    owner_among(&chips, known, chip, line)
}

fn owner_among<'a>(
    chips: &[ChipView],
    known: &'a [GpioLine],
    chip: Option<&str>,
    line: &str,
) -> Option<&'a GpioLine> {
    let wanted = places(chips, chip, line);
    known
        .iter()
        .find(|known| wanted.iter().any(|place| has(chips, known, *place)))
}

fn has(chips: &[ChipView], known: &GpioLine, place: Place<'_>) -> bool {
    let theirs = match known.pin {
        Some(pin) => places_of_pin(chips, pin),
        None => places(chips, known.chip.as_deref(), &known.line),
    };
    !known.simulated && theirs.contains(&place)
}

/// A line by its chip's name and its number there.
type Place<'a> = (&'a str, u32);

/// Where `look` finds a line.
fn places<'a>(chips: &'a [ChipView], label: Option<&str>, line: &str) -> Vec<Place<'a>> {
    let number: Option<u32> = line.parse().ok().filter(|_| label.is_some());
    let chips = chips
        .iter()
        .filter(|chip| label.is_none_or(|label| chip.label == label));
    let on_chip = |chip: &'a ChipView| {
        let found = chip
            .lines
            .iter()
            .filter(move |candidate| candidate.name == line || number == Some(candidate.number));
        found.map(|found| (chip.name.as_str(), found.number))
    };
    chips.flat_map(on_chip).collect()
}

/// The pins of a Raspberry Pi have their numbers on the chip of its processor.
fn places_of_pin(chips: &[ChipView], pin: u8) -> Vec<Place<'_>> {
    const PROCESSOR: &str = "pinctrl-";
    let mut found = places(chips, None, &format!("GPIO{pin}"));
    let processors = chips
        .iter()
        .filter(|chip| chip.label.starts_with(PROCESSOR));
    found.extend(processors.map(|chip| (chip.name.as_str(), u32::from(pin))));
    found
}

pub(super) fn level(chip: Option<&str>, line: &str) -> Result<bool, Failure> {
    look::level(chip, line).map_err(failure)
}

pub(super) fn hold(chip: Option<&str>, line: &str, high: bool) -> Result<Held, Failure> {
    look::hold(chip, line, high).map_err(failure)
}

fn failure(error: LookError) -> Failure {
    match error {
        LookError::NoChip => Failure::failed("this machine has no GPIO chip"),
        LookError::NoPermission(path) => Failure::new(
            Exit::NoPermission,
            format!("{path}: no permission; join the group `gpio`: sudo usermod -aG gpio $USER"),
        ),
        LookError::NoLine(text) | LookError::Kernel(text) => Failure::failed(text),
        LookError::InUse { line, user } => {
            Failure::failed(format!("line {line} is used by {user}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_adapters::gpio::look::LineView;

    use super::*;

    fn chip(name: &str, label: &str, lines: &[(u32, &str)]) -> ChipView {
        let line = |&(number, name): &(u32, &str)| LineView {
            number,
            name: name.to_owned(),
            is_output: false,
            active_low: false,
            user: None,
        };
        ChipView {
            label: label.to_owned(),
            name: name.to_owned(),
            lines: lines.iter().map(line).collect(),
        }
    }

    fn known(chip: Option<&str>, line: &str, pin: Option<u8>) -> GpioLine {
        GpioLine {
            chip: chip.map(str::to_owned),
            simulated: false,
            line: line.to_owned(),
            output: true,
            active_low: false,
            point: format!("lamps.{line}"),
            pin,
        }
    }

    #[test]
    fn an_output_is_found_by_every_name_of_its_line() {
        let chips = [
            chip("gpiochip0", "pinctrl-bcm2711", &[(17, "GPIO17"), (18, "")]),
            chip("gpiochip1", "expander", &[(0, "K1"), (17, "K18")]),
        ];
        let all = [
            known(None, "17", Some(17)),
            known(Some("expander"), "0", None),
            known(Some("pinctrl-bcm2711"), "18", None),
        ];
        let owner =
            |chip, line| owner_among(&chips, &all, chip, line).map(|known| known.point.as_str());
        let processor = Some("pinctrl-bcm2711");
        for (chip, line, point) in [
            (None, "GPIO17", Some("lamps.17")),
            (processor, "17", Some("lamps.17")),
            (None, "K1", Some("lamps.0")),
            (Some("expander"), "0", Some("lamps.0")),
            (processor, "18", Some("lamps.18")),
            (Some("expander"), "17", None),
            (None, "K18", None),
        ] {
            assert_eq!(owner(chip, line), point, "{chip:?} {line}");
        }
    }
}
