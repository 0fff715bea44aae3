//! Lines of real chips.

use lamplighter_adapters::gpio::look::{self, Held, LookError};
use serde_json::Value;

use super::Row;
use crate::{
    cli::exit::{Exit, Failure},
    commission::GpioLine,
};

pub(super) fn rows(known: &[GpioLine]) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for chip in look::chips().map_err(failure)? {
        for line in chip.lines {
            let point = known.iter().find(|known| {
                let is_chip = known.chip.as_ref().is_none_or(|label| *label == chip.label);
                let is_line = known.line == line.name
                    || (known.chip.is_some() && known.line == line.number.to_string());
                !known.simulated && is_chip && is_line
            });
            rows.push(Row {
                chip: chip.label.clone(),
                line: line.name,
                number: Some(line.number),
                direction: if line.is_output { "output" } else { "input" },
                user: line.user,
                point: point.map(|known| known.point.clone()),
                value: Value::Null,
                quality: None,
            });
        }
    }
    Ok(rows)
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
